"""Orders sent while nothing trades: they may show up on any day until trading has gone on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async import Delivery, Desk, KiwoomClient, Order, OrderStatus, Side, ValidationError
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, OrderType, Route
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from kiwoom_async.simulator.orders import OrderRequest
from tests.assumptions.breaking import KEY, buy
from tests.scenarios.trading import QUICK, SYMBOL, Hands, client_of, eventually, left_open, opened, orders_received

LOST: Final = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
BLIND: Final = Fault(FaultKind.QUERY_ERROR, times=100_000)
FRIDAY_EVENING: Final = datetime(2026, 11, 6, 21, tzinfo=KST)


def evening() -> Hands:
    """Make an ambient whose wall clock shows a Friday evening."""
    return Hands(offset=FRIDAY_EVENING - datetime.now(KST))


def client_with_hours(broker: Simulator, folder: Path, **changes: Any) -> KiwoomClient:
    """Make a client for whom the market has hours."""
    hours = evolve(broker.environment, opens_at=time(7), closes_at=time(20))
    return client_of(broker, folder, environment=hours, timing=QUICK, **changes)


@asynccontextmanager
async def lost_on_friday(folder: Path) -> AsyncIterator[Simulator]:
    """Lose an order on a Friday evening, and go on to Saturday morning."""
    hands = evening()
    async with Simulator(ambient=hands) as broker:
        async with client_with_hours(broker, folder) as client:
            await opened(broker)
            broker.set_faults([LOST])
            await left_open(lambda: buy(client, deadline=0.1))
        broker.set_faults(None)
        forward(broker, timedelta(hours=13))
        yield broker
        assert len(orders_received(broker)) == 1


def forward(broker: Simulator, passed: timedelta) -> None:
    """Let time pass on both clocks."""
    hands = broker.ambient
    assert isinstance(hands, Hands)
    hands.offset += passed
    hands.elapsed += passed.total_seconds()
    broker.settle()


def release(broker: Simulator) -> str:
    """Put on the book what was sent while nothing traded; give its number."""
    kept = OrderRequest(
        action=Action.NEW,
        desk=Desk.STOCK,
        symbol=SYMBOL,
        side=Side.BUY,
        quantity=10,
        price=70_000,
        order_type=OrderType.LIMIT,
        route=Route.KRX,
        idempotency_key=KEY,
    )
    return broker._service.exchange.place(kept, broker._service.now()).broker_order_id


async def look_long(client: KiwoomClient) -> Order:
    """Look more often than any proof of absence needs; give the order as it is known then."""
    for _ in range(6):
        await client.reconcile()
        forward_by = QUICK.acceptance_bound + QUICK.visibility_bound
        client._ambient.elapsed += forward_by  # type: ignore[attr-defined]
    found = await client.orders.get(KEY)
    assert found is not None
    return found


async def test_order_of_friday_evening_is_found_on_monday(tmp_path: Path) -> None:
    """It is not absent on Saturday, nor on Sunday: the next day of trading decides."""
    async with lost_on_friday(tmp_path) as broker:
        for _ in ("Saturday", "Sunday"):
            async with client_with_hours(broker, tmp_path) as client:
                assert (await look_long(client)).delivery is Delivery.UNKNOWN
            forward(broker, timedelta(days=1))
        number = release(broker)
        async with client_with_hours(broker, tmp_path) as client:
            order = await buy(client)
            assert (order.broker_order_id, order.day) == (number, datetime(2026, 11, 9, tzinfo=KST).date())


async def test_order_that_never_shows_up_is_absent_once_the_next_trading_day_is_over(tmp_path: Path) -> None:
    """Nothing is waited for after that."""
    async with lost_on_friday(tmp_path) as broker:
        forward(broker, timedelta(days=3))
        async with client_with_hours(broker, tmp_path) as client:
            assert (await look_long(client)).delivery is Delivery.NOT_ACCEPTED


async def test_verdict_by_a_candidates_number_is_of_its_day(tmp_path: Path) -> None:
    """Numbers begin anew every day: the row that was shown says on which of them this one is the order's."""
    async with lost_on_friday(tmp_path) as broker:
        forward(broker, timedelta(days=2))
        number = release(broker)
        async with client_with_hours(broker, tmp_path, account_exclusive=False) as client:
            await look_long(client)
            (left,) = await client.orders.unresolved()
            assert (left.candidates, left.why) == ((number,), f"it may be any of the orders {number} of 2026-11-09")
            settled = await client.orders.resolve(KEY, accepted_as=number, reason="seen on the screen")
            assert (settled.broker_order_id, settled.day) == (number, date(2026, 11, 9))
            broker.fill(number)
            async with asyncio.timeout(10):
                assert (await client.orders.wait_filled(KEY)).status is OrderStatus.FILLED


async def test_verdict_by_a_number_that_no_look_has_shown_needs_its_day(tmp_path: Path) -> None:
    """On Monday it may be of four days, and a guess would claim somebody else's order; the same evening, of one."""
    async with lost_on_friday(tmp_path) as broker:
        forward(broker, timedelta(days=2))
        number = release(broker)
        broker.set_faults([BLIND])
        async with client_with_hours(broker, tmp_path) as client:
            with pytest.raises(ValidationError, match="day"):
                await client.orders.resolve(KEY, accepted_as=number, reason="seen on the screen")
            monday = date(2026, 11, 9)
            settled = await client.orders.resolve(KEY, accepted_as=number, reason="seen on the screen", day=monday)
            assert (settled.broker_order_id, settled.day) == (number, monday)


async def test_verdict_of_the_same_evening_needs_no_day(tmp_path: Path) -> None:
    """Only that day's list can have been seen."""
    async with Simulator(ambient=evening()) as broker, client_with_hours(broker, tmp_path) as client:
        await opened(broker)
        broker.set_faults([evolve(LOST, kind=FaultKind.DROP_AFTER_ACCEPTANCE), BLIND])
        await left_open(lambda: buy(client, deadline=0.1))
        await eventually(lambda: bool(broker.orders))
        (mine,) = broker.orders
        settled = await client.orders.resolve(KEY, accepted_as=mine.broker_order_id, reason="seen on the screen")
        assert (settled.broker_order_id, settled.day) == (mine.broker_order_id, FRIDAY_EVENING.date())


async def test_order_of_friday_evening_is_watched_until_monday(tmp_path: Path) -> None:
    """A person says on Saturday that it is not there; on Monday it is, and that is told."""
    async with lost_on_friday(tmp_path) as broker:
        async with client_with_hours(broker, tmp_path) as client:
            await client.orders.resolve(KEY, not_accepted=True, reason="not on the screen")
        forward(broker, timedelta(days=2))
        number = release(broker)
        async with client_with_hours(broker, tmp_path) as client:
            await client.reconcile()
            found = await client.orders.get(KEY)
            assert found is not None
            assert (found.delivery, found.broker_order_id) == (Delivery.REVIVED, number)
