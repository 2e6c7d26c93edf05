"""Two clocks that tell two days: numbers begin anew at midnight, and one day's number is another's order."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest
from attrs import evolve

from kiwoom_async import NotSent, Order, ValidationError
from kiwoom_async._domain.intents import Intent
from kiwoom_async._domain.settings import KST, Reliance
from kiwoom_async._execution import sender
from kiwoom_async._execution.flights import Flight
from kiwoom_async._execution.sender import Ready
from kiwoom_async._wire.outcomes import Accepted
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.assumptions.breaking import KEY, LyingTransport, buy
from tests.journal.builders import CANCEL
from tests.scenarios.trading import (
    QUICK,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    left_open,
    on_book,
    orders_received,
)

BLIND: Final = Fault(FaultKind.QUERY_ERROR, times=100_000)
WIDE: Final = evolve(TIMING, clock_skew=400.0)


def hands_at(clock: time, *, days: int = 0) -> Hands:
    """Make an ambient whose wall clock shows a time."""
    now = datetime.now(KST)
    return Hands(offset=datetime.combine(now.date() + timedelta(days=days), clock, KST) - now)


def before_midnight() -> Simulator:
    """Make a broker for whom the old day lasts another two minutes."""
    return Simulator(ambient=hands_at(time(23, 58)))


class Slow(LyingTransport):
    """The answer to an order comes when our clock shows the next day, with or without the broker's clock."""

    def __init__(self, broker: Simulator, hands: Hands, *, tells: bool) -> None:
        """Lie about the time it takes."""
        super().__init__(broker, headers=self._take_long)
        self._hands = hands
        self._tells = tells

    def _take_long(self, api_id: str, headers: httpx.Headers) -> None:
        if api_id != "kt10000":
            return
        self._hands.offset += timedelta(seconds=630)
        self._hands.elapsed += 630
        if not self._tells:
            headers.pop("date", None)


def assert_of_the_brokers_day(order: Order, broker: Simulator) -> None:
    """The number is told with the day on which it is that order's."""
    (mine,) = on_book(broker, KEY)
    assert (order.broker_order_id, order.day) == (mine.broker_order_id, mine.day)


async def test_answered_order_is_of_the_brokers_day(tmp_path: Path) -> None:
    """Our clock tells the next day already; the number is valid on the day that the broker's answer tells."""
    async with before_midnight() as broker:
        hands = hands_at(time(23, 50))
        slow = Slow(broker, hands, tells=True)
        async with client_of(broker, tmp_path, timing=WIDE, ambient=hands, transport=slow) as client:
            order = await buy(client)
            assert_of_the_brokers_day(order, broker)
            assert await buy(client) == order
            with pytest.raises((NotSent, ValidationError), match="day"):
                await client.stock.cancel(order)
        async with client_of(broker, tmp_path, timing=WIDE, ambient=hands_at(time(0, 0, 30), days=1)) as client:
            assert_of_the_brokers_day(await buy(client), broker)
        assert len(orders_received(broker)) == 1


async def test_answered_order_of_no_certain_day_is_looked_up(tmp_path: Path) -> None:
    """Where the answer does not tell the broker's clock, the ledgers of both days are asked whose number it is."""
    async with before_midnight() as broker:
        hands = hands_at(time(23, 50))
        slow = Slow(broker, hands, tells=False)
        async with client_of(broker, tmp_path, timing=WIDE, ambient=hands, transport=slow) as client:
            order = await buy(client)
            assert_of_the_brokers_day(order, broker)
            assert order.resolved_by == "ledger"
        assert len(orders_received(broker)) == 1


async def test_order_waits_while_two_clocks_may_tell_two_days(tmp_path: Path) -> None:
    """It leaves once its day is certain; who does not wait that long is told that it was not sent."""
    ambient = hands_at(time(0, 0), days=1)
    timing = evolve(TIMING, clock_skew=3.0)
    async with Simulator(ambient=ambient) as broker, client_of(broker, tmp_path, timing=timing) as client:
        with pytest.raises(NotSent, match="either of two days"):
            await buy(client, deadline=0.2, client_order_id="hurried")
        order = await buy(client)
        assert order.day == ambient.now().date()
        assert ambient.now().time() >= time(0, 0, 3)
        assert len(orders_received(broker)) == 1


async def test_resend_waits_while_two_clocks_may_tell_two_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not given up for good as long as somebody wants it."""
    seconds = [0.0]
    monkeypatch.setattr(sender, "seconds_to_one_day", lambda *_: seconds[0])
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
    async with broker_of(lost) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        placing = asyncio.create_task(buy(client, resend_within=60, deadline=60))
        await eventually(lambda: broker.count("kt10000") == 1)
        seconds[0] = 30.0

        async def look() -> str:
            broker.place_foreign(symbol="000660", side="sell", quantity=1, price=75_000)
            return " ".join(entry.why for entry in (await client.reconcile()).unresolved)

        async with asyncio.timeout(60):
            while "midnight is near" not in await look():
                assert not placing.done()
        seconds[0] = 0.0
        async with asyncio.timeout(60):
            while not placing.done():
                await look()
        assert (await placing).attempts == 2


async def test_cancel_that_may_arrive_after_midnight_is_not_sent(tmp_path: Path) -> None:
    """The number would be somebody else's by then."""
    timing = evolve(TIMING, acceptance_bound=300.0)
    async with before_midnight() as broker:
        async with client_of(broker, tmp_path, timing=timing) as client:
            order = await buy(client)
            with pytest.raises(NotSent, match="somebody else's"):
                await client.stock.cancel(order)
        assert len(orders_received(broker)) == 1


@pytest.mark.parametrize("is_owed_by_another", [True, False])
async def test_owed_cancel_keeps_to_the_bounds_of_whoever_owes_it(tmp_path: Path, *, is_owed_by_another: bool) -> None:
    """By the longer ones it may arrive after midnight, although by our own it would not."""
    longer = evolve(TIMING, acceptance_bound=300.0) if is_owed_by_another else TIMING
    async with before_midnight() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        sending = client._dispatcher._sender
        request = evolve(
            CANCEL, side=order.side, symbol=order.symbol, original=order.broker_order_id, original_day=order.day
        )
        cancel = Intent("cancel", client._journal.account, request, client._ambient.now())
        owed = evolve(sending.plan_obligation(cancel), relied_on=Reliance.of(longer, is_exclusive=True))
        flight = Flight(cancel, is_fresh=False, deadline=None, is_ours=True, last=owed)
        if is_owed_by_another:
            with pytest.raises(NotSent, match="somebody else's"):
                await sending.request_permission(flight, request, None)
            return
        ready = await sending.request_permission(flight, request, None)
        assert isinstance(ready, Ready)
        outcome, _ = await sending.send(flight, ready)
        assert isinstance(outcome, Accepted)


async def test_verdict_on_an_order_sent_around_midnight_needs_a_day(tmp_path: Path) -> None:
    """A number alone could mean another order; no guess is made, and a day before the send is refused."""
    hands = hands_at(time(23, 58, 30))
    async with before_midnight() as broker, client_of(broker, tmp_path, ambient=hands) as client:
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), BLIND])
        await left_open(lambda: buy(client, deadline=0.05))
        await eventually(lambda: bool(on_book(broker, KEY)))
        (mine,) = on_book(broker, KEY)
        for day in (None, mine.day - timedelta(days=1)):
            with pytest.raises(ValidationError, match="day"):
                await client.orders.resolve(KEY, accepted_as=mine.broker_order_id, reason="seen", day=day)
        order = await client.orders.resolve(KEY, accepted_as=mine.broker_order_id, reason="seen", day=mine.day)
        assert_of_the_brokers_day(order, broker)
