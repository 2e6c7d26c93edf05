"""The wait for a rate-limit slot."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from kiwoom_async._domain.budgets import RequestClass
from kiwoom_async._domain.settings import Limits
from kiwoom_async._transport.limiter import Limiter, SlotDenied
from tests.transport.clocks import SteppedClock

ORDERS, QUERIES = RequestClass.ORDERS, RequestClass.QUERIES


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    """Replace time."""
    clock = SteppedClock()
    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    return clock


async def test_slots_are_given_in_the_order_of_asking(clock: SteppedClock) -> None:
    """First come, first served, and never more than five in a second."""
    limiter, starts = Limiter(Limits(), clock), []

    async def ask(number: int) -> None:
        await limiter.slot("kt10000", ORDERS)
        starts.append((number, clock.monotonic() - 100))

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(ask(number))
        await clock.run(110)
    assert [number for number, _ in starts] == list(range(12))
    assert [round(moment, 2) for _, moment in starts] == [0.0] * 5 + [1.05] * 5 + [2.1] * 2


async def test_rate_limiter_denied_locally_is_not_sent(clock: SteppedClock) -> None:
    """A slot after the deadline is refused at once, without waiting and without reserving."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await limiter.slot("kt10000", ORDERS, deadline=100.0)
    with pytest.raises(SlotDenied) as caught:
        await limiter.slot("kt10000", ORDERS, deadline=101.0)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.api_id == "kt10000"
    assert clock.monotonic() == 100.0
    waiter = asyncio.create_task(limiter.slot("kt10000", ORDERS, deadline=101.06))
    await clock.run(101.05)
    await waiter


async def test_cancellation_gives_the_slot_back(clock: SteppedClock) -> None:
    """Who goes away while waiting costs the others nothing."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await limiter.slot("kt10000", ORDERS)
    gone = asyncio.create_task(limiter.slot("kt10000", ORDERS))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    waiter = asyncio.create_task(limiter.slot("kt10000", ORDERS, deadline=101.1))
    await clock.run(101.05)
    await waiter


async def test_stall_that_moves_the_slot_behind_the_deadline_denies_it(clock: SteppedClock) -> None:
    """The loop stood still: the limit holds, and the deadline too."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await limiter.slot("kt10000", ORDERS)
    first = asyncio.create_task(limiter.slot("kt10000", ORDERS))
    second = asyncio.create_task(limiter.slot("kt10000", ORDERS, deadline=102.5))
    await clock.run(104, late=0.6)
    await first
    with pytest.raises(SlotDenied):
        await second


async def test_orders_do_not_wait_for_queries(clock: SteppedClock) -> None:
    """Both classes have budgets of their own."""
    limiter = Limiter(Limits(queries_per_second=1), clock)
    await limiter.slot("ka10075", QUERIES)
    await limiter.slot("kt10000", ORDERS, deadline=100.0)
    with pytest.raises(SlotDenied):
        await limiter.slot("kt00007", QUERIES, deadline=100.5)


async def test_limits_off_never_wait(clock: SteppedClock) -> None:
    """For a simulator."""
    limiter = Limiter(Limits.off(), clock)
    for _ in range(1000):
        await limiter.slot("kt10000", ORDERS, deadline=0.0)
