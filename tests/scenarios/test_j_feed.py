"""Section J and the feed itself: sessions, gaps, several processes' clients, and the end of the day."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from kiwoom_async import (
    DayClose,
    Delivery,
    FeedState,
    KiwoomClient,
    OrderEventKind,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
    ValidationError,
)
from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution import feed_keeper
from kiwoom_async.errors import AmbiguousMatch
from kiwoom_async.simulator import Fault, FaultKind, FeedFault, FeedFaultKind, FeedHabits, Simulator
from tests.scenarios.listening import PATIENT, listener_of, live, on_the_book, record_of
from tests.scenarios.trading import QUICK, SYMBOL, Hands, broker_of, client_of, eventually, left_open

E = OrderEventKind


@pytest.mark.parametrize("seed", [1, 2])
async def test_feed_cut_a_hundred_times_counts_every_fill_once(tmp_path: Path, seed: int) -> None:
    """Whatever was missed while the feed was down is asked for; in the end the sums are those of the book."""
    chance = random.Random(seed)  # noqa: S311 - a test's order of events, not a secret
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=QUICK) as (client, record):
        cuts = 0
        while cuts < 100:
            order = await client.stock.buy(SYMBOL, 12, price=69_000)
            number = order.broker_order_id
            assert number is not None
            parts = [3, 4, 5]
            while parts or chance.random() < 0.3:
                if parts and chance.random() < 0.5:
                    broker.fill(number, parts.pop())
                else:
                    broker.cut_feed()
                    cuts += 1
                await asyncio.sleep(chance.choice([0, 0.001, 0.01]))
            done = await client.orders.wait_filled(order)
            assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 12)
        await eventually(lambda: record.filled() == on_the_book(broker))
        assert not record.of(E.ALARM)
        assert len(record.of(E.ACCEPTED)) == len(broker.orders)


@pytest.mark.parametrize("kind", [FeedFaultKind.CUT, FeedFaultKind.CLOSE, FeedFaultKind.BIG])
async def test_feed_that_breaks_is_taken_up_again(tmp_path: Path, kind: FeedFaultKind) -> None:
    """However a session ends, the fill it did not tell is asked for, and the next session hears the next one."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.set_feed_faults([FeedFault(kind, states="체결")])
        broker.fill(order.broker_order_id, 4)
        await eventually(lambda: record.filled()[str(order.broker_order_id)] == 4)
        await live(client)
        broker.fill(order.broker_order_id, 6)
        assert (await client.orders.wait_filled(order)).filled_quantity == 10
        assert broker.feed_logins == (1 if kind is FeedFaultKind.BIG else 2)


async def test_silent_feed_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that stays open and says nothing, not even PING, is no feed."""
    monkeypatch.setattr(feed_keeper, "SILENCE_LIMIT", 0.4)
    async with (
        broker_of(feed=FeedHabits(ping_interval=0.1)) as broker,
        listener_of(broker, tmp_path) as (client, record),
    ):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.set_feed_faults([FeedFault(FeedFaultKind.HALF_OPEN, states="체결")])
        broker.fill(order.broker_order_id, 4)
        await eventually(lambda: record.filled()[str(order.broker_order_id)] == 4)
        await eventually(lambda: broker.feed_logins == 2)


async def test_pings_keep_the_session(tmp_path: Path) -> None:
    """Every PING is echoed: the broker never has a reason to end the session."""
    habits = FeedHabits(ping_interval=0.05, ping_patience=1.0)
    async with broker_of(feed=habits) as broker, listener_of(broker, tmp_path) as (client, _):
        await asyncio.sleep(0.5)
        assert client.feed.state is FeedState.LIVE
        assert broker.feed_logins == 1


async def test_refused_token_is_renewed_for_the_login(tmp_path: Path) -> None:
    """A login refused for its token is tried again with a new one."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, _):
        broker.expire_token()
        broker.cut_feed()
        await eventually(lambda: client.feed.state is not FeedState.LIVE)
        await live(client)
        assert broker.feed_logins == 2


async def test_session_taken_over_is_not_fought_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clients that reconnect at once end each other's session for ever: ours says so, waits, and then gives up."""
    monkeypatch.setattr(feed_keeper, "REPLACED_PAUSES", (0.2, 0.2))
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        for logins in (1, 2, 3):
            await live(client)
            assert broker.feed_logins == logins
            broker.take_over_session()
            await eventually(lambda: client.feed.state is FeedState.REPLACED)
        assert "R10001" in client.feed.text
        await asyncio.sleep(0.5)
        assert broker.feed_logins == 3
        # Orders are followed all the same.
        order = await client.stock.buy(SYMBOL, 2, client_order_id="ledger")
        assert (await client.orders.wait_filled(order)).status is OrderStatus.FILLED
        await eventually(lambda: record.kinds("ledger") == [E.ACCEPTED, E.FILLED])


async def test_session_that_a_sibling_had_taken_over_is_nobody_elses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A holder that stalled hears late that its session was closed: another process of ours had the feed in between."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, _):
        for logins in range(1, 5):
            await live(client)
            assert broker.feed_logins == logins
            connection = apsw.Connection(str(tmp_path / "orders.db"))
            connection.set_busy_timeout(10_000)
            connection.execute(
                "UPDATE leases SET holder = 'sibling', epoch = epoch + 1, expires = 0 WHERE name LIKE 'feed of %'"
            )
            connection.close()
            broker.take_over_session()
            await eventually(lambda: client.feed.state is not FeedState.LIVE)
        await live(client)
    assert "another program" not in caplog.text
    assert caplog.text.count("another process of this journal had taken it over") == 4


async def test_one_client_holds_the_feed_and_the_other_takes_over(tmp_path: Path) -> None:
    """One session serves all clients of a journal; when its holder goes, another one takes it."""
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=PATIENT) as other:
        await live(other)
        async with client_of(broker, tmp_path, feed=True, timing=PATIENT) as client, record_of(client) as record:
            await eventually(lambda: client.feed.state is FeedState.ELSEWHERE)
            order = await client.stock.buy(SYMBOL, 2, client_order_id="first")
            assert (await client.orders.wait_filled(order)).status is OrderStatus.FILLED
            await eventually(lambda: record.kinds("first") == [E.ACCEPTED, E.FILLED])
            assert broker.feed_logins == 1
            await other.__aexit__(None, None, None)
            await live(client)
            order = await client.stock.buy(SYMBOL, 2, client_order_id="second")
            await client.orders.wait_filled(order)
            await eventually(lambda: record.kinds("second") == [E.ACCEPTED, E.FILLED])
            assert broker.feed_logins == 2


async def test_feed_that_contradicts_the_ledger_stops_a_proof(tmp_path: Path) -> None:
    """A ledger that does not list what the feed has reported is stale: nothing is proven absent from it."""
    timing = evolve(PATIENT, acceptance_bound=3.5)
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=timing) as (client, _):
        broker.set_faults(
            [
                Fault(FaultKind.DROP_BEFORE_ACCEPTANCE),
                Fault(FaultKind.STALE_LEDGER, seconds=100.0, api_ids="kt00007", times=100_000),
            ]
        )
        asked = asyncio.create_task(client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost", deadline=6.0))
        await eventually(lambda: broker.faults_injected[FaultKind.DROP_BEFORE_ACCEPTANCE] == 1)
        broker.place_foreign(symbol=SYMBOL, side="buy", quantity=5, price=68_000)
        with pytest.raises(OutcomeUnknown):
            await asked
        report = await client.reconcile()
        assert [entry.client_order_id for entry in report.unresolved] == ["lost"]
        assert any("the feed has reported" in alarm for alarm in report.alarms)


# ---------------------------------------------------------------------- the end of the day


async def books_of_yesterday(broker: Simulator, client: KiwoomClient) -> DayClose:
    """Wait until yesterday's books are closed, by a pass of ours or by one of the client's own."""
    assert broker.ambient is not None
    yesterday = korean_day(broker.ambient.now()) - timedelta(days=1)
    async with asyncio.timeout(60):
        while (close := await client._journal.day_close(Desk.STOCK, yesterday)) is None:
            await client.reconcile()
    return close


def next_day(broker: Simulator) -> None:
    """Let both clocks arrive at the next day."""
    assert isinstance(broker.ambient, Hands)
    broker.ambient.live_through_the_night()


async def test_eod_close(tmp_path: Path) -> None:
    """Every row of the day's ledger is claimed or declared foreign, what was left in the book has expired."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client, record_of(client) as record:
        working = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="working")
        assert working.broker_order_id is not None
        broker.fill(working.broker_order_id, 4)
        await client.stock.buy(SYMBOL, 1, client_order_id="filled")
        broker.place_foreign(symbol=SYMBOL, side="sell", quantity=5, price=75_000)
        next_day(broker)
        close = await books_of_yesterday(broker, client)
        assert (close.rows, close.own, close.foreign) == (3, 2, 1)
        assert (close.residue, close.unresolved) == ((), ())
        done = await client.orders.wait_filled("working")
        assert (done.status, done.filled_quantity) == (OrderStatus.EXPIRED, 4)
        await eventually(lambda: record.kinds("working")[-1:] == [E.EXPIRED])
        assert record.of(E.EXPIRED)[0].quantity == 6
        assert not (await client.reconcile()).closed


async def test_books_wait_for_what_is_unknown_and_list_what_stays_so(tmp_path: Path) -> None:
    """An order that the final ledger does not decide is listed for the operator, and the day is closed around it."""
    changes = {"account_exclusive": False}
    async with broker_of() as broker, client_of(broker, tmp_path, **changes) as client:
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
        await left_open(lambda: client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost", deadline=0.5))
        assert broker.orders[0].idempotency_key == "lost"
        broker.place_foreign(symbol=SYMBOL, side="buy", quantity=2, price=69_000, channel="API X")
        next_day(broker)
        close = await books_of_yesterday(broker, client)
        assert close.unresolved == ("lost",)
        assert broker.orders[0].broker_order_id in close.residue
        (left,) = await client.orders.unresolved()
        assert left.state is Delivery.UNRESOLVED_AT_CLOSE
        with pytest.raises(OutcomeUnknown) as caught:
            await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost")
        assert isinstance(caught.value.__cause__, AmbiguousMatch)
        assert set(caught.value.__cause__.candidates) == {row.broker_order_id for row in broker.all_orders}
        settled = await client.orders.resolve("lost", accepted_as=broker.orders[0].broker_order_id, reason="seen")
        assert settled.resolved_by is ResolvedBy.OPERATOR


async def test_resolve_is_reversible_while_nothing_but_a_person_says_so(tmp_path: Path) -> None:
    """A wrong number is taken back and told as an alarm; then the order is found by its evidence."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client, record_of(client) as record:
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), Fault(FaultKind.QUERY_ERROR, times=100_000)])
        await left_open(lambda: client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost", deadline=0.2))
        wrong = await client.orders.resolve("lost", accepted_as="0000999", reason="a slip of the pen")
        assert (wrong.broker_order_id, wrong.resolved_by) == ("0000999", ResolvedBy.OPERATOR)
        broker.set_faults(None)
        again = await client.orders.take_back("lost", reason="it was another number")
        assert (again.broker_order_id, again.delivery) == (None, Delivery.UNKNOWN)
        order = await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost")
        assert (order.broker_order_id, order.resolved_by) == (broker.orders[0].broker_order_id, ResolvedBy.LEDGER)
        await eventually(lambda: record.kinds("lost") == [E.ACCEPTED, E.ALARM, E.ACCEPTED])
        with pytest.raises(ValidationError, match="settled by hand"):
            await client.orders.take_back("lost", reason="nothing to take back any more")
        assert len(broker.orders) == 1
