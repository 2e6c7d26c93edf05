"""Section H, the hard part: what was reported, or may have been, while nobody could know whose it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve

from kiwoom_async import FeedState, KiwoomClient, OrderStatus, OutcomeUnknown, ResolvedBy
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._wire.frames import RealEntry
from kiwoom_async.simulator import Fault, FaultKind, FeedFault, FeedFaultKind, FeedHabits, Reporting, Simulator
from tests.scenarios.listening import PATIENT, listener_of, live, on_the_book
from tests.scenarios.trading import SYMBOL, Hands, broker_of, client_of, eventually, on_book, orders_received, resolved


async def wait_for_report(broker: Simulator, client: KiwoomClient) -> None:
    """Wait until the journal keeps a report of a number that nobody has."""
    today = broker.all_orders[0].accepted_at.date()
    async with asyncio.timeout(10):
        while not await client._journal.kept_reports(Desk.STOCK, today):  # noqa: ASYNC110 - as in `resolved`
            await asyncio.sleep(0.005)


def reported_values(broker: Simulator) -> list[dict[str, str]]:
    """List what the frames about orders said, by field number."""
    entries = [entry for frame in broker.feed_frames for entry in cast("list[dict[str, Any]]", frame["data"])]
    return [entry["values"] for entry in entries if entry["type"] == "00"]


async def cut(broker: Simulator, client: KiwoomClient) -> None:
    """Cut the feed and wait until the client knows."""
    broker.cut_feed()
    await eventually(lambda: client.feed.state is FeedState.CONNECTING)


@pytest.mark.parametrize("is_exclusive", [True, False])
async def test_order_that_the_feed_has_reported_is_never_sent_again(tmp_path: Path, *, is_exclusive: bool) -> None:
    """Refused for the rate and accepted all the same; the ledger lists it late, but the feed has told of it."""
    lags = iter([4.0])
    async with (
        broker_of(ledger_lag=lambda _: next(lags, 0.0)) as broker,
        listener_of(broker, tmp_path, account_exclusive=is_exclusive) as (client, _),
    ):
        broker.set_faults([Fault(FaultKind.RATE_LIMITED_GHOST)])
        lost = client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost", deadline=60, resend_within=60)
        asked = asyncio.create_task(lost)
        await eventually(lambda: len(broker.orders) == 1)
        await wait_for_report(broker, client)
        await client.stock.sell(SYMBOL, 1, price=75_000, client_order_id="witness")
        if is_exclusive:
            order = await asked
            assert [row.broker_order_id for row in on_book(broker, "lost")] == [order.broker_order_id]
        else:
            await eventually(lambda: broker.count("kt00007") > 8)
            (left,) = await client.orders.unresolved()
            assert left.candidates == (broker.orders[0].broker_order_id,)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        assert len(orders_received(broker, "lost")) == 1


async def test_order_that_the_feed_has_reported_is_not_called_absent(tmp_path: Path) -> None:
    """Its acceptance was left out and its fill was told: with a stale ledger, that is a candidate and no absence."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, _):
        broker.set_feed_faults([FeedFault(FeedFaultKind.DROP_FRAME, states="접수")])
        stale = Fault(FaultKind.STALE_LEDGER, seconds=100.0, times=100_000)
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), stale])
        with pytest.raises(OutcomeUnknown):
            await client.stock.buy(SYMBOL, 2, client_order_id="lost", deadline=5)
        (left,) = await client.orders.unresolved()
        assert left.candidates == (broker.orders[0].broker_order_id,)
        broker.set_faults(None)
        await resolved(client)
        found = await client.orders.get("lost")
        assert found is not None
        assert found.broker_order_id == broker.orders[0].broker_order_id


async def test_order_answered_after_the_gap_was_closed_is_asked_about(tmp_path: Path) -> None:
    """Filled while nobody listened, and ours only when its answer comes: the look at the gap could not know of it."""
    timing = evolve(PATIENT, response_timeout=60)
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=timing) as (client, record):
        async with broker.refusing_feed():
            await cut(broker, client)
            broker.set_faults([Fault(FaultKind.DELAY_ANSWER, seconds=2.0)])
            asked = asyncio.create_task(client.stock.buy(SYMBOL, 3, client_order_id="market"))
            await eventually(lambda: len(broker.fills) == 1)
        await live(client)
        done = await client.orders.wait_filled(await asked)
        assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 3)
        await eventually(lambda: record.filled() == on_the_book(broker))


async def test_gap_is_closed_only_when_the_ledger_must_have_listed_it(tmp_path: Path) -> None:
    """A view that lags within its bound hides a fill from the first look; the feed is not live before another."""
    timing = evolve(PATIENT, visibility_bound=1.0)
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=timing) as (client, _):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        async with broker.refusing_feed():
            await cut(broker, client)
            broker.set_faults([Fault(FaultKind.STALE_LEDGER, seconds=0.5, times=100_000)])
            broker.fill(order.broker_order_id, 10)
        await live(client)
        found = await client.orders.get("parts")
        assert found is not None
        assert found.status is OrderStatus.FILLED


async def test_cancel_of_somebody_before_our_answer_is_asked_about(tmp_path: Path) -> None:
    """Told under the cancel's own number only, and before anybody knew that the original is ours."""
    habits = FeedHabits(reporting=Reporting(cancel_reports_original=False))
    timing = evolve(PATIENT, response_timeout=60)
    async with broker_of(feed=habits) as broker, listener_of(broker, tmp_path, timing=timing) as (client, _):
        broker.set_faults([Fault(FaultKind.DELAY_ANSWER, seconds=1.0)])
        asked = asyncio.create_task(client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="ours"))
        await eventually(lambda: len(broker.orders) == 1)
        broker.cancel_foreign(broker.orders[0].broker_order_id)
        done = await client.orders.wait_filled(await asked)
        assert (done.status, done.leaves_quantity) == (OrderStatus.CANCELED, 0)


async def test_number_that_no_ledger_lists_holds_up_proofs_only(tmp_path: Path) -> None:
    """A part of somebody's order, a strange number: what the ledger does list is found all the same."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, record):
        await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="teacher")
        await eventually(lambda: len(record.events) == 1)
        values = reported_values(broker)[0]
        strange = {"9203": "0900000", "9001": "A000660", "921": "other", "908": "090000"}
        async with broker.refusing_feed():
            await cut(broker, client)
            await client._keeper._follower.take([RealEntry("00", "", {**values, **strange})])
            broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
            order = await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="lost")
            assert order.resolved_by is ResolvedBy.LEDGER
            assert [row.broker_order_id for row in on_book(broker, "lost")] == [order.broker_order_id]


async def test_report_of_another_day_fills_no_order_of_today(tmp_path: Path) -> None:
    """Numbers begin anew every day: what waited over midnight is of the day on which it came, or of none."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, _):
        assert isinstance(broker.ambient, Hands)
        keys = [f"yesterday{number}" for number in range(4)]
        for key in keys:
            await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id=key)
        for order in broker.orders:
            broker.fill(order.broker_order_id, 10)
        broker.ambient.next_day()
        for number in range(4):
            order_of_today = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id=f"today{number}")
            assert order_of_today.broker_order_id is not None
        await live(client)
        for number in range(4):
            found = await client.orders.get(f"today{number}")
            assert found is not None
            assert (found.status, found.filled_quantity) == (OrderStatus.WORKING, 0)


async def test_report_from_the_future_is_of_another_day(tmp_path: Path) -> None:
    """A report tells a time and no day; one that has not come yet counts for nothing, and the ledger is asked."""
    async with broker_of() as broker, listener_of(broker, tmp_path) as (client, _):
        order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id, 4)
        await eventually(lambda: len(broker.feed_frames) > 1)
        late = (broker.ambient or Hands()).now() + timedelta(minutes=6)
        values = {**reported_values(broker)[-1], "911": "10", "902": "0", "908": late.strftime("%H%M%S")}
        await client._keeper._follower.take([RealEntry("00", "", values)])
        await eventually(lambda: not client._keeper._follower.owes_a_look)
        found = await client.orders.get("parts")
        assert found is not None
        assert (found.status, found.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, 4)


async def test_refused_logins_do_not_throw_the_token_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are sent with the same token: after one new one, a login that is refused has another reason."""
    async with broker_of() as broker:
        monkeypatch.setattr(type(broker._feed.office), "holder", lambda *_: None, raising=True)
        async with client_of(broker, tmp_path, feed=True, timing=PATIENT) as client:
            await eventually(lambda: client.feed.state is FeedState.REFUSED)
            await client.stock.buy(SYMBOL, 1, price=69_000)
            assert broker.tokens_issued <= 2


async def test_order_of_a_day_long_past_has_expired(tmp_path: Path) -> None:
    """A bot that was off for days: what was left of its order is over, and what nobody can tell any more is listed."""
    async with broker_of() as broker:
        assert isinstance(broker.ambient, Hands)
        async with client_of(broker, tmp_path) as client:
            order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="old")
            # How large it is, nobody has ever told: neither the answer nor a row.
            await client.stock.modify(order, price=69_100, client_order_id="moved")
        for _ in range(9):
            broker.ambient.next_day()
        async with client_of(broker, tmp_path) as client:
            for name in ("old", "moved"):
                async with asyncio.timeout(10):
                    done = await client.orders.wait_filled(name)
                assert done.status is OrderStatus.EXPIRED
            day = broker.all_orders[0].accepted_at.date()
            close = await client._journal.day_close(Desk.STOCK, day)
            assert close is not None
            assert close.unlisted == ("moved", "old")
