"""The wait for a rate-limit slot."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import anyio
import pytest

from kiwoom_async._domain.budgets import HANGS_AFTER, MARGIN, Budgets, News, Rank, RequestClass, Sight, look
from kiwoom_async._domain.limit_status import LimitStatus
from kiwoom_async._domain.settings import Limits
from kiwoom_async._domain.sharing import SharedStateUnusable
from kiwoom_async._transport import limiter as limiter_module
from kiwoom_async._transport.limiter import MANY, TRY_AGAIN_AFTER, Limiter, SlotDenied
from tests.transport.clocks import SteppedClock

ORDERS, QUERIES = RequestClass.ORDERS, RequestClass.QUERIES


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    """Replace time."""
    clock = SteppedClock()
    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    return clock


async def send(limiter: Limiter, api_id: str = "kt10000", kind: RequestClass = ORDERS, **options: object) -> None:
    """Send a request that is answered at once."""
    slot = await limiter.slot(api_id, kind, **options)  # type: ignore[arg-type]
    slot.end()


async def test_slots_are_given_in_the_order_of_asking(clock: SteppedClock) -> None:
    """First come, first served, and never more than five in a second."""
    limiter, starts = Limiter(Limits(), clock), []

    async def ask(number: int) -> None:
        await send(limiter)
        starts.append((number, clock.monotonic() - 100))

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(ask(number))
        await clock.run(110)
    assert [number for number, _ in starts] == list(range(12))
    assert [round(moment, 2) for _, moment in starts] == [0.0] * 5 + [1.05] * 5 + [2.1] * 2
    await limiter.aclose()


async def test_rest_shorter_than_a_clock_can_show_comes_to_an_end(clock: SteppedClock) -> None:
    """The loop's clock wakes us a rounding too early; a rest of what is left would wake us there again, for ever."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await send(limiter)
    waiter = asyncio.create_task(send(limiter))
    async with asyncio.timeout(10):
        await clock.run(110, late=-1e-11)
    await waiter
    await limiter.aclose()


async def test_cancel_overtakes_the_orders_that_wait(clock: SteppedClock) -> None:
    """Who wants out goes first, although it asked last; next is what is sent again and has waited its turn before."""
    limiter, starts = Limiter(Limits(orders_per_second=1), clock), []

    async def ask(name: str, api_id: str, rank: Rank) -> None:
        await send(limiter, api_id, rank=rank)
        starts.append(name)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(ask(f"buy {number}", "kt10000", Rank.USUAL))
        await clock.run(100.5)
        group.create_task(ask("again", "kt10000", Rank.AGAIN))
        group.create_task(ask("cancel", "kt10003", Rank.CANCEL))
        await clock.run(110)
    assert starts == ["buy 0", "cancel", "again", "buy 1", "buy 2"]


async def test_rate_limiter_denied_locally_is_not_sent(clock: SteppedClock) -> None:
    """A slot after the deadline is refused at once, without waiting and without reserving."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await send(limiter, deadline=100.0)
    with pytest.raises(SlotDenied) as caught:
        await limiter.slot("kt10000", ORDERS, deadline=101.0)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.api_id == "kt10000"
    assert clock.monotonic() == 100.0
    waiter = asyncio.create_task(send(limiter, deadline=101.06))
    await clock.run(101.05)
    await waiter
    assert limiter.status.denied == 1


async def test_order_that_more_urgent_ones_push_behind_its_deadline_is_denied(clock: SteppedClock) -> None:
    """As soon as that is known, not at the deadline."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await send(limiter)
    buy = asyncio.create_task(limiter.slot("kt10000", ORDERS, deadline=101.5))
    await clock.run(100.1)
    cancel = asyncio.create_task(send(limiter, "kt10003", rank=Rank.CANCEL))
    await clock.run(100.2)
    with pytest.raises(SlotDenied):
        await buy
    assert clock.monotonic() < 101
    await clock.run(102)
    await cancel


async def test_cancellation_gives_the_slot_back(clock: SteppedClock) -> None:
    """Who goes away while waiting costs the others nothing."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await send(limiter)
    gone = asyncio.create_task(limiter.slot("kt10000", ORDERS))
    await clock.run(100.1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    waiter = asyncio.create_task(send(limiter, deadline=101.1))
    await clock.run(101.05)
    await waiter


async def test_slot_that_arrives_together_with_a_cancellation_is_given_back(clock: SteppedClock) -> None:
    """Nobody will ever send with it."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    gone = asyncio.create_task(limiter.slot("kt10000", ORDERS))
    while not limiter.status.begun:  # noqa: ASYNC110 - the very turn of the loop in which it begins
        await asyncio.sleep(0)
    gone.cancel()
    with suppress(asyncio.CancelledError):
        (await gone).give_back()
    await send(limiter, deadline=100.0)


async def test_slot_that_was_not_used_is_free_again(clock: SteppedClock) -> None:
    """An order that the journal answered by itself took nothing."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    for _ in range(3):
        slot = await limiter.slot("kt10000", ORDERS, deadline=100.0)
        slot.give_back()
        slot.end()


async def test_request_counts_when_it_was_answered(clock: SteppedClock) -> None:
    """It may have been counted at the broker at any moment until then; one that hangs does not hold the others long."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    slot = await limiter.slot("kt10000", ORDERS)
    second = asyncio.create_task(send(limiter))
    clock.passed += 0.7
    slot.end()
    await clock.run(101.74)
    assert not second.done()
    await clock.run(101.76)
    await second
    hanging = asyncio.create_task(limiter.slot("kt10001", ORDERS))
    await clock.run(102.9)
    began = clock.monotonic()
    assert hanging.done()
    fourth = asyncio.create_task(send(limiter))
    await clock.run(began + HANGS_AFTER)
    assert not fourth.done()
    await clock.run(began + HANGS_AFTER + 1 + MARGIN)
    await fourth


async def test_stall_that_moves_the_slot_behind_the_deadline_denies_it(clock: SteppedClock) -> None:
    """The loop stood still: the limit holds, and the deadline too."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await send(limiter)
    first = asyncio.create_task(send(limiter))
    second = asyncio.create_task(limiter.slot("kt10000", ORDERS, deadline=102.5))
    await clock.run(104, late=0.6)
    await first
    with pytest.raises(SlotDenied):
        await second


async def test_orders_do_not_wait_for_queries(clock: SteppedClock) -> None:
    """Both classes have budgets of their own."""
    limiter = Limiter(Limits(queries_per_second=1), clock)
    await send(limiter, "ka10075", QUERIES)
    await send(limiter, deadline=100.0)
    with pytest.raises(SlotDenied):
        await limiter.slot("kt00007", QUERIES, deadline=100.5)


async def test_limits_off_never_wait(clock: SteppedClock) -> None:
    """For a simulator."""
    limiter = Limiter(Limits.off(), clock)
    for _ in range(1000):
        await send(limiter, deadline=0.0)
    limiter.note_refusal("kt10000", 1)
    assert limiter.status == LimitStatus(refused=1)


async def test_waiting_is_visible(clock: SteppedClock, caplog: pytest.LogCaptureFixture) -> None:
    """Counts, and one line in the log for a wait of more than a second."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    with caplog.at_level(logging.INFO, "kiwoom_async"):
        tasks = [asyncio.create_task(send(limiter)) for _ in range(4)]
        await clock.run(100.9)
        status = limiter.status
        assert (status.waiting, status.begun, round(status.longest_wait, 1)) == (3, 1, 0.9)
        await clock.run(110)
    await asyncio.gather(*tasks)
    status = limiter.status
    assert (status.waiting, status.begun, status.delayed, round(status.longest_wait, 2)) == (0, 4, 3, 3.15)
    assert status.total_wait == pytest.approx(1.05 + 2.1 + 3.15)
    assert not status.is_shared
    assert [record.getMessage()[:23] for record in caplog.records] == ["kt10000 has waited 1.0 s"[:23]]


async def test_refusal_lowers_the_rate_for_a_while(clock: SteppedClock) -> None:
    """The limit that Kiwoom states holds from then on, and the usual one later."""
    limiter = Limiter(Limits(), clock)
    limiter.note_refusal("ka10081", 1.0)
    first = asyncio.create_task(send(limiter, "ka10081", QUERIES))
    await clock.run(101.04)
    assert not first.done()
    await clock.run(101.06)
    await first
    assert limiter.status.lowered == {"ka10081": 1.0}
    await send(limiter, "kt00007", QUERIES, deadline=clock.monotonic())
    with pytest.raises(SlotDenied):
        await limiter.slot("ka10081", QUERIES, deadline=clock.monotonic() + 0.5)
    clock.passed += 60
    for _ in range(2):
        await send(limiter, "ka10081", QUERIES, deadline=clock.monotonic())
    assert limiter.status.lowered == {}


async def test_close_denies_those_who_wait(clock: SteppedClock) -> None:
    """Nothing of the limiter outlives it."""
    limiter = Limiter(Limits(orders_per_second=1), clock)
    await send(limiter)
    waiter = asyncio.create_task(limiter.slot("kt10000", ORDERS))
    await clock.run(100.1)
    await limiter.aclose()
    await limiter.aclose()
    with pytest.raises(SlotDenied):
        await waiter
    with pytest.raises(SlotDenied):
        await limiter.slot("kt10000", ORDERS)


class Store:
    """Budgets in memory that several limiters share; `is_broken` makes them unusable, `first` happens to one look."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.budgets = Budgets()
        self.is_broken = False
        self.looks = 0
        self.first: Callable[[], Awaitable[object]] | None = None
        self.answers: asyncio.Event | None = None

    async def look(self, limits: Limits, news: News) -> Sight:
        """Look."""
        self.looks += 1
        await asyncio.sleep(0)
        if self.first is not None:
            first, self.first = self.first, None
            await first()
        if self.is_broken:
            raise SharedStateUnusable
        self.budgets, sight = look(self.budgets, self.clock.monotonic(), limits, news)
        if self.answers is not None:
            await self.answers.wait()
        return sight


async def test_limiters_of_one_store_share_their_budgets(clock: SteppedClock) -> None:
    """Two clients together stay within the limit; a cancel of one overtakes the orders of the other."""
    store, starts = Store(clock), []
    one, other = (Limiter(Limits(orders_per_second=1), clock, store) for _ in range(2))

    async def ask(name: str, limiter: Limiter, api_id: str, rank: Rank) -> None:
        await send(limiter, api_id, rank=rank)
        starts.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(ask(f"one {number}", one, "kt10000", Rank.USUAL))
            group.create_task(ask(f"other {number}", other, "kt10000", Rank.USUAL))
        await clock.run(100.2)
        group.create_task(ask("cancel", other, "kt10003", Rank.CANCEL))
        await clock.run(120)
    assert [name for name, _ in starts][1] == "cancel"
    assert len(starts) == 5
    assert all(later - sooner >= 1.0 for (_, sooner), (_, later) in pairwise(starts))
    assert one.status.is_shared
    await one.aclose()
    await other.aclose()
    assert store.budgets.waiting == ()


async def test_unusable_store_is_gone_without(clock: SteppedClock) -> None:
    """Requests go on by this client's own count, which knows what it has sent; later the file is tried again."""
    store = Store(clock)
    limiter = Limiter(Limits(orders_per_second=1), clock, store)
    await send(limiter)
    store.is_broken = True
    with pytest.raises(SlotDenied):
        await limiter.slot("kt10000", ORDERS, deadline=100.5)
    assert not limiter.status.is_shared
    waiter = asyncio.create_task(send(limiter, deadline=101.1))
    await clock.run(101.06)
    await waiter
    store.is_broken = False
    looks = store.looks
    clock.passed += TRY_AGAIN_AFTER
    await send(limiter)
    assert store.looks > looks
    assert limiter.status.is_shared
    await limiter.aclose()


async def test_flood_that_trickles_in_is_looked_at_together(clock: SteppedClock) -> None:
    """A look costs in proportion to those who wait, so that one for each of them would take the event loop over."""
    store = Store(clock)
    limiter = Limiter(Limits(orders_per_second=1), clock, store)
    flood = [asyncio.create_task(limiter.slot("kt10000", ORDERS)) for _ in range(MANY + 1)]
    await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    looks = store.looks
    for _ in range(50):
        flood.append(asyncio.create_task(limiter.slot("kt10000", ORDERS)))
        for _ in range(5):
            await asyncio.sleep(0)
    assert store.looks <= looks + 2
    cancel = asyncio.create_task(send(limiter, "kt10003", rank=Rank.CANCEL))
    (await flood[0]).end()
    await clock.run(101.1)
    await cancel
    await limiter.aclose()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_slot_that_arrives_together_with_the_timeout_is_given_back(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file answers late, in the very turn of the loop in which its answer is given up."""
    monkeypatch.setattr(limiter_module, "_GRACE", 0.02)
    store = Store(clock)
    store.answers = asyncio.Event()
    limiter = Limiter(Limits(orders_per_second=1), clock, store)
    waiter = asyncio.create_task(limiter.slot("kt10000", ORDERS, deadline=clock.monotonic()))
    while not store.budgets.starts:  # noqa: ASYNC110 - the look has no event
        await asyncio.sleep(0)
    store.answers.set()
    time.sleep(0.04)  # noqa: ASYNC251 - a busy loop: now both are due
    with pytest.raises(SlotDenied):
        await waiter
    store.answers = None
    await send(limiter, deadline=clock.monotonic())
    await limiter.aclose()


async def test_news_of_a_look_that_fails_is_told_by_the_next_one(clock: SteppedClock) -> None:
    """A slot that was given back stays given back, whatever the store meets meanwhile."""
    store = Store(clock)
    limiter = Limiter(Limits(orders_per_second=1), clock, store)
    slot = await limiter.slot("kt10000", ORDERS)

    async def fail() -> None:
        raise RuntimeError("a fault")

    store.first = fail
    slot.give_back()
    limiter.note_refusal("kt10001", 1.0)
    with pytest.raises(RuntimeError):
        await limiter.slot("kt10000", ORDERS, deadline=clock.monotonic())
    await send(limiter, deadline=clock.monotonic())
    assert set(limiter.status.lowered) == {"kt10001"}
    await limiter.aclose()


async def test_news_of_a_look_that_the_close_ends_is_told(clock: SteppedClock) -> None:
    """The other processes need not wait for a request that was not sent."""
    store, entered = Store(clock), asyncio.Event()
    limiter = Limiter(Limits(orders_per_second=1), clock, store)
    slot = await limiter.slot("kt10000", ORDERS)

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    store.first = hang
    slot.give_back()
    await entered.wait()
    await limiter.aclose()
    assert store.budgets.starts == ()
