"""Section H: what happens to an order after it was accepted, heard by the feed and by the ledger, counted once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async import Delivery, FeedState, OrderEvent, OrderEventKind, OrderStatus, ResolvedBy, StreamError
from kiwoom_async.simulator import Fault, FaultKind, FeedFault, FeedFaultKind, Liquidity, Simulator
from tests.scenarios.listening import PATIENT, listener_of, live, on_the_book, record_of
from tests.scenarios.trading import SYMBOL, broker_of, client_of, eventually, landed, ledger_queries, on_book

E = OrderEventKind
LOST = Fault(FaultKind.DROP_AFTER_ACCEPTANCE)


def looks(broker: Simulator) -> int:
    """Count every question about executed or listed orders but the first of the day."""
    return ledger_queries(broker) + broker.count("ka10075") + broker.count("ka10076")


async def test_fill_event_before_order_response_buffered(tmp_path: Path) -> None:
    """A market order is filled before its answer comes: the fill is kept, and told after the acceptance."""
    async with (
        broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.3)) as broker,
        listener_of(broker, tmp_path) as (client, record),
    ):
        order = await client.stock.buy(SYMBOL, 3, client_order_id="market")
        assert order.resolved_by is ResolvedBy.RESPONSE
        done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity, done.leaves_quantity) == (OrderStatus.FILLED, 3, 0)
        assert done.average_fill_price == broker.fills[0].price
        await eventually(lambda: record.kinds("market") == [E.ACCEPTED, E.FILLED])
        assert record.events[1].source is ResolvedBy.EVENT
        assert record.events[1].execution_id == broker.fills[0].execution_id


async def test_event_for_unknown_ord_no_adopted_after_claim(tmp_path: Path) -> None:
    """Fills of a number that nobody has yet are kept until the ledger shows whose order it is, and are told then."""
    async with broker_of(LOST) as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 3, client_order_id="market")
        assert order.resolved_by is ResolvedBy.LEDGER
        await eventually(lambda: record.kinds("market") == [E.ACCEPTED, E.FILLED])
        assert record.filled() == on_the_book(broker)


async def test_lost_response_is_settled_by_the_feed_without_any_look_at_the_ledger(tmp_path: Path) -> None:
    """Once the feed has taught how our orders look, it settles a lost one by itself."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="teacher")
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        await eventually(lambda: len(broker.feed_frames) > 0)
        broker.set_faults([LOST])
        before = looks(broker)
        order = await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost")
        assert order.resolved_by is ResolvedBy.EVENT
        assert looks(broker) == before
        assert [entry.broker_order_id for entry in broker.orders][-1] == order.broker_order_id


async def test_lost_response_is_settled_by_the_ledger_while_the_feed_is_cut(tmp_path: Path) -> None:
    """Without the feed the ledger does it."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="teacher")
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        async with broker.refusing_feed():
            broker.cut_feed()
            await eventually(lambda: client.feed.state is FeedState.CONNECTING)
            broker.set_faults([LOST])
            order = await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost")
            assert order.resolved_by is ResolvedBy.LEDGER


async def test_answer_that_is_late_is_not_waited_for_once_the_feed_has_told(tmp_path: Path) -> None:
    """The caller gets the number that the feed reported; the answer is read all the same, and agrees."""
    timing = evolve(PATIENT, response_timeout=60, default_deadline=60)
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=timing) as (client, record):
        await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="teacher")
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        broker.set_faults([Fault(FaultKind.DELAY_ANSWER, seconds=3, api_ids="kt10000")])
        order = await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="slow")
        assert order.resolved_by is ResolvedBy.EVENT
        assert [row.broker_order_id for row in on_book(broker, "slow")] == [order.broker_order_id]
        assert await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="slow") == order
        await landed(client, "slow")
        history = await client.orders.history("slow")
        assert [entry.state for entry in history] == [Delivery.DISPATCHED, *[Delivery.ACKNOWLEDGED] * 2]
        assert history[-1].evidence["confirms"] == "acknowledged"
        assert len(on_book(broker, "slow")) == 1


async def test_twins_whose_answers_are_late_wait_for_them(tmp_path: Path) -> None:
    """Which of two reported numbers is whose only the answers can tell, so nothing is guessed before they come."""
    timing = evolve(PATIENT, response_timeout=60, default_deadline=60)
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=timing) as (client, record):
        await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="teacher")
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        broker.set_faults([Fault(FaultKind.DELAY_ANSWER, seconds=1, api_ids="kt10000", times=2)])
        orders = await asyncio.gather(
            *(client.stock.buy(SYMBOL, 2, price=69_000, client_order_id=key) for key in ("a", "b"))
        )
        assert [order.resolved_by for order in orders] == [ResolvedBy.RESPONSE] * 2
        for order in orders:
            assert [row.broker_order_id for row in on_book(broker, order.client_order_id)] == [order.broker_order_id]


async def test_persons_twin_on_the_feed_is_not_taken_for_ours(tmp_path: Path) -> None:
    """An identical order of another terminal does not settle ours, which is not on the book."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="teacher")
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE)])
        asked = asyncio.create_task(client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost"))
        await eventually(lambda: broker.faults_injected[FaultKind.DROP_BEFORE_ACCEPTANCE] == 1)
        broker.place_foreign(symbol=SYMBOL, side="buy", quantity=2, price=69_000)
        outcome = (await asyncio.gather(asked, return_exceptions=True))[0]
        assert type(outcome).__name__ == "OrderNotAccepted"
        assert "lost" not in {event.client_order_id for event in record.events}


@pytest.mark.parametrize("kind", [FeedFaultKind.REPEAT_FRAME, FeedFaultKind.GARBAGE, FeedFaultKind.UNKNOWN_TYPE])
async def test_duplicate_fill_event_once(tmp_path: Path, kind: FeedFaultKind) -> None:
    """A frame that comes twice counts once; what nobody understands counts for nothing."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        broker.set_feed_faults([FeedFault(kind, times=4)])
        order = await client.stock.buy(SYMBOL, 3, client_order_id="market")
        await client.orders.wait_filled(order)
        await client.stock.buy(SYMBOL, 1, client_order_id="next")
        await eventually(lambda: record.kinds("next") == [E.ACCEPTED, E.FILLED])
        assert record.kinds("market") == [E.ACCEPTED, E.FILLED]
        assert record.filled() == on_the_book(broker)


async def test_fill_from_rest_and_ws_once(tmp_path: Path) -> None:
    """What the ledger has told while the feed was down is not told again when the feed is back, nor the other way."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id, 4)
        await eventually(lambda: record.kinds("parts") == [E.ACCEPTED, E.FILLED])
        async with broker.refusing_feed():
            broker.cut_feed()
            await eventually(lambda: client.feed.state is FeedState.CONNECTING)
            broker.fill(order.broker_order_id, 3)
            await eventually(lambda: len(record.of(E.FILLED)) == 2)
        await live(client)
        broker.fill(order.broker_order_id, 3)
        done = await client.orders.wait_filled(order)
        await eventually(lambda: len(record.of(E.FILLED)) == 3)
        assert [event.quantity for event in record.of(E.FILLED)] == [4, 3, 3]
        assert [event.source for event in record.of(E.FILLED)] == [
            ResolvedBy.EVENT,
            ResolvedBy.LEDGER,
            ResolvedBy.EVENT,
        ]
        assert done.filled_quantity == 10


@pytest.mark.parametrize("kind", [FeedFaultKind.REORDER, FeedFaultKind.INVERT, FeedFaultKind.DELAY_FRAME])
async def test_fills_out_of_order_converge(tmp_path: Path, kind: FeedFaultKind) -> None:
    """Frames that overtake each other end in the same sum."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        broker.set_feed_faults([FeedFault(kind), FeedFault(kind)])
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        for part in (1, 2, 3, 4):
            broker.fill(order.broker_order_id, part)
        done = await client.orders.wait_filled(order)
        assert done.filled_quantity == 10
        await eventually(lambda: record.filled()[str(order.broker_order_id)] == 10)
        assert done.average_fill_price == 69_000


async def test_dropped_fill_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    """The totals are cumulative, so a frame that never came is counted with the one after it."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.set_feed_faults([FeedFault(FeedFaultKind.DROP_FRAME, states="체결")])
        broker.fill(order.broker_order_id, 4)
        broker.fill(order.broker_order_id, 6)
        await client.orders.wait_filled(order)
        await eventually(lambda: [event.quantity for event in record.of(E.FILLED)] == [10])
        assert record.of(E.FILLED)[0].price == 69_000
        assert record.of(E.FILLED)[0].execution_id is None


async def test_last_fill_that_never_came_is_found_by_the_rare_look(tmp_path: Path) -> None:
    """A live feed that leaves out the last frame of an order shows no gap; the ledger is looked at all the same."""
    timing = evolve(PATIENT, watch_interval=0.2, poll_interval=0.05)
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=timing) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.set_feed_faults([FeedFault(FeedFaultKind.DROP_FRAME, states="체결")])
        broker.fill(order.broker_order_id, 10)
        async with asyncio.timeout(20):
            done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 10)
        await eventually(lambda: record.filled() == on_the_book(broker))


async def test_frame_that_cannot_be_read_causes_a_look(tmp_path: Path) -> None:
    """Garbage may have been the report of a fill, so the ledger is asked at once; without the executions, too."""
    no_executions = Fault(FaultKind.QUERY_ERROR, api_ids="ka10076", times=100_000)
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.set_faults([no_executions])
        broker.set_feed_faults(
            [FeedFault(FeedFaultKind.GARBAGE, states="체결"), FeedFault(FeedFaultKind.DROP_FRAME, states="체결")]
        )
        broker.fill(order.broker_order_id, 4)
        broker.fill(order.broker_order_id, 6)
        done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 10)
        await eventually(lambda: record.filled() == on_the_book(broker))
        await live(client)


async def test_fill_after_cancel_confirmed_applied(tmp_path: Path) -> None:
    """A fill whose report comes after the cancel's is counted, and the order stays canceled."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.set_feed_faults([FeedFault(FeedFaultKind.DELAY_FRAME, states="체결", seconds=0.3)])
        broker.fill(order.broker_order_id, 4)
        await client.stock.cancel(order)
        done = await client.orders.wait_filled(order)
        assert done.status is OrderStatus.CANCELED
        await eventually(lambda: record.filled()[str(order.broker_order_id)] == 4)
        final = await client.orders.get("parts")
        assert final is not None
        assert (final.status, final.filled_quantity, final.leaves_quantity) == (OrderStatus.CANCELED, 4, 0)


async def test_reject_event_after_acceptance(tmp_path: Path) -> None:
    """An order that the exchange refuses after it was accepted says so, and why."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="late-no")
        assert order.broker_order_id is not None
        broker.refuse(order.broker_order_id, reason="호가단위 오류")
        done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity) == (OrderStatus.REFUSED, 0)
        await eventually(lambda: record.kinds("late-no") == [E.ACCEPTED, E.REFUSED])
        assert "호가단위" in record.of(E.REFUSED)[0].text


async def test_modified_order_lives_on_under_its_new_number(tmp_path: Path) -> None:
    """The old number says where it went; the new one is accepted and filled."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="old")
        modified = await client.stock.modify(order, price=69_100, client_order_id="new")
        await eventually(lambda: record.kinds("old") == [E.ACCEPTED, E.MODIFIED])
        assert record.of(E.MODIFIED)[0].replaced_by == modified.broker_order_id
        assert modified.broker_order_id is not None
        broker.fill(modified.broker_order_id)
        done = await client.orders.wait_filled(modified)
        assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 10)
        await eventually(lambda: record.kinds("new") == [E.ACCEPTED, E.FILLED])


async def test_partial_cancel_leaves_the_rest(tmp_path: Path) -> None:
    """A part that is canceled leaves the book; the rest can be filled."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        await client.stock.cancel(order, quantity=4)
        await eventually(lambda: [event.leaves_quantity for event in record.of(E.CANCELED)] == [6])
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id)
        done = await client.orders.wait_filled(order)
        assert (done.filled_quantity, done.leaves_quantity) == (6, 0)


@pytest.mark.parametrize("has_feed", [True, False])
@pytest.mark.parametrize("quantity", [4, 10])
async def test_modify_that_names_its_quantity_is_no_cancellation(
    tmp_path: Path, quantity: int, *, has_feed: bool
) -> None:
    """What it moved lives on under its number: whoever took it for canceled would order it again."""
    async with broker_of() as broker, client_of(broker, tmp_path, feed=has_feed) as client, record_of(client) as record:
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="old")
        modified = await client.stock.modify(order, price=69_100, quantity=quantity, client_order_id="new")
        await eventually(lambda: record.kinds("old") == [E.ACCEPTED, E.MODIFIED])
        (event,) = record.of(E.MODIFIED)
        assert (event.quantity, event.leaves_quantity, event.replaced_by) == (
            quantity,
            10 - quantity,
            modified.broker_order_id,
        )
        assert record.of(E.CANCELED) == []


async def test_gold_without_a_feed_ends_when_nothing_is_left(tmp_path: Path) -> None:
    """Its ledger does not tell what is left: that is what was neither filled nor canceled."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client, record_of(client) as record:
        order = await client.gold.buy("M04020000", 10, price=180_000, client_order_id="gold")
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id, 4)
        await eventually(lambda: record.kinds("gold") == [E.ACCEPTED, E.FILLED])
        filled = await client.orders.get("gold")
        assert filled is not None
        assert (filled.filled_quantity, filled.leaves_quantity) == (4, 6)
        await client.gold.cancel(order, quantity=3)
        await eventually(
            lambda: [(event.quantity, event.leaves_quantity) for event in record.of(E.CANCELED)] == [(3, 3)]
        )
        broker.fill(order.broker_order_id)
        async with asyncio.timeout(10):
            done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity, done.leaves_quantity) == (OrderStatus.CANCELED, 7, 0)


async def test_rest_of_an_immediate_order_is_canceled_by_the_exchange(tmp_path: Path) -> None:
    """What an IOC order does not trade at once is reported as canceled."""
    async with (
        broker_of(liquidity=Liquidity(market_maker=False)) as broker,
        listener_of(broker, tmp_path) as (client, record),
    ):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, order_type="limit_ioc", client_order_id="ioc")
        done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity) == (OrderStatus.CANCELED, 0)
        await eventually(lambda: record.kinds("ioc") == [E.ACCEPTED, E.CANCELED])


async def test_gold_is_heard_as_stocks_are(tmp_path: Path) -> None:
    """The feed carries both desks."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.gold.buy("M04020000", 2, price=180_000, client_order_id="gold")
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id)
        done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 2)
        await eventually(lambda: record.kinds("gold") == [E.ACCEPTED, E.FILLED])


async def test_other_peoples_orders_make_no_events(tmp_path: Path) -> None:
    """What others do on the account is nobody's event."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        other = broker.place_foreign(symbol=SYMBOL, side="buy", quantity=5, price=69_000)
        broker.fill(other.broker_order_id)
        order = await client.stock.buy(SYMBOL, 1, client_order_id="ours")
        await client.orders.wait_filled(order)
        await eventually(lambda: record.kinds("ours") == [E.ACCEPTED, E.FILLED])
        assert {event.client_order_id for event in record.events} == {"ours"}


async def test_without_a_feed_the_ledger_tells_whoever_waits(tmp_path: Path) -> None:
    """`wait_filled` and `events` work all the same, as fast as the ledger is asked."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client, record_of(client) as record:
        assert client.feed.state is FeedState.OFF
        order = await client.stock.buy(SYMBOL, 3, price=69_000, client_order_id="slow")
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id)
        done = await client.orders.wait_filled(order)
        assert done.status is OrderStatus.FILLED
        await eventually(lambda: record.kinds("slow") == [E.ACCEPTED, E.FILLED])
        assert broker.feed_logins == 0


async def test_wait_ends_with_the_client(tmp_path: Path) -> None:
    """Whoever still waits when the client is closed is told so."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, timing=PATIENT) as client:
            order = await client.stock.buy(SYMBOL, 3, price=69_000)
            waiting = asyncio.create_task(client.orders.wait_filled(order))
            await asyncio.sleep(0)

            async def listen() -> OrderEvent:
                return await anext(client.orders.events(since=999))

            listening = asyncio.create_task(listen())
            await asyncio.sleep(0.05)
        outcomes = await asyncio.gather(waiting, listening, return_exceptions=True)
        assert isinstance(outcomes[0], StreamError)
        assert isinstance(outcomes[1], StopAsyncIteration | RuntimeError)


async def test_events_are_replayed_since_a_sequence(tmp_path: Path) -> None:
    """A restarted strategy catches up: nothing twice, nothing missed."""
    async with broker_of() as broker:
        async with listener_of(broker, tmp_path) as (client, record):
            for number in range(3):
                await client.orders.wait_filled(await client.stock.buy(SYMBOL, 1 + number))
            await eventually(lambda: len(record.events) == 6)
            seen = record.events[2].sequence
        async with listener_of(broker, tmp_path) as (client, again):
            await client.orders.wait_filled(await client.stock.buy(SYMBOL, 9))
            await eventually(lambda: len(again.events) == 8)
            assert again.events[:6] == record.events
            rest = client.orders.events(since=seen)
            assert [await anext(rest) for _ in range(5)] == again.events[3:]
            await rest.aclose()  # type: ignore[attr-defined]


async def test_many_listeners_at_their_own_pace(tmp_path: Path) -> None:
    """A slow listener delays nobody and loses nothing."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        slow = client.orders.events(since=0)
        for number in range(1, 9):
            await client.orders.wait_filled(await client.stock.buy(SYMBOL, number))
        await eventually(lambda: len(record.events) == 16)
        assert [await anext(slow) for _ in range(16)] == record.events
        await slow.aclose()  # type: ignore[attr-defined]
