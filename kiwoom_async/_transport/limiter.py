"""The wait for a rate-limit slot: the budgets of the domain, a clock, a sleep, and a file where it is shared.

One task looks for all who wait, so that a thousand waiting requests are one timer and, where the budgets are shared
with other processes, one short transaction at a time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from typing import Final

import anyio
from attrs import define, field

from kiwoom_async._domain.ambient import Ambient, new_identifier
from kiwoom_async._domain.budgets import (
    Budgets,
    News,
    Purpose,
    Rank,
    Refusal,
    RequestClass,
    Sight,
    Waiter,
    follow,
    look,
)
from kiwoom_async._domain.limit_status import LimitStatus
from kiwoom_async._domain.settings import Limits
from kiwoom_async._domain.sharing import RateStore, SharedStateUnusable

_LOG: Final = logging.getLogger("kiwoom_async")

SHORTEST_REST: Final = 1e-6
"""Seconds of a rest, at least: the loop's clock and ours begin elsewhere, and what is left may be less than one of them
can show. A clock that stands still between two looks, as a simulated one does, would never get there.
Source: our choice, far above the rounding of a clock that has run for years, and far below any request."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at shared budgets: another process may have ended a request or gone away, and it must see
that we still wait. Source: our choice, a sixth of `FORGET_AFTER`."""

TRY_AGAIN_AFTER: Final = 30.0
"""Seconds without the shared file after it failed. Source: our choice: a file that is locked for long costs a second
each time."""

LONG_WAIT: Final = 1.0
"""A wait of so many seconds is told in the log. Source: our choice: a burst that was a little too fast waits less."""

TELL_EVERY: Final = 10.0
"""Seconds between two such lines. Source: our choice, so that a flood does not fill the log."""

MANY: Final = 100
"""So many waiting requests make a look cost more than a millisecond, and news is gathered between two of them. Source:
measured: a look takes 14 µs for each request that waits."""

GATHER_FOR_EACH: Final = 5e-5
"""Seconds of gathering for each waiting request. Source: our choice: looks take a quarter of the time at most."""

GATHER_AT_MOST: Final = 0.05
"""Seconds. Source: our choice: a cancel that comes while a thousand orders wait is looked at that much later."""

_GRACE: Final = 1.0
"""Seconds beyond a deadline after which a look that has not come back is given up. Source: our choice."""


class SlotDenied(TimeoutError):
    """The next free slot comes after the deadline. Nothing was reserved and nothing was sent.

    Attributes:
        api_id: The TR.
    """

    def __init__(self, api_id: str) -> None:
        super().__init__(f"no rate-limit slot for {api_id} before the deadline")
        self.api_id = api_id


class Slot:
    """The right to send one request now. Say `end` when its answer was read, or `give_back` if it was not sent.

    A slot that nobody ends counts as long as an answer may take.
    """

    def __init__(self, limiter: Limiter | None, number: int) -> None:
        self._limiter = limiter
        self._number = number

    def end(self) -> None:
        """Count the request at this moment. Does nothing the second time."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.note_end(self._number)

    def give_back(self) -> None:
        """Count nothing: the request did not leave. Does nothing after `end`."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.note_return(self._number)


@define(eq=False)
class _Wait:
    """A waiting request and whoever waits for it."""

    waiter: Waiter
    future: asyncio.Future[Slot]


@define
class _Unsaid:
    """News that the next look takes along."""

    ended: dict[int, float] = field(factory=dict)
    returned: set[int] = field(factory=set)
    refusals: list[Refusal] = field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.ended or self.returned or self.refusals)

    def put_back(self, news: News) -> None:
        """Keep for the next look what one that failed had taken along. What is told twice counts once."""
        self.ended = {**news.ended, **self.ended}
        self.returned |= news.returned
        self.refusals[:0] = news.refusals


@define
class _Counts:
    """What `LimitStatus` tells."""

    longest_wait: float = 0.0
    total_wait: float = 0.0
    begun: int = 0
    delayed: int = 0
    denied: int = 0
    refused: int = 0


class Limiter:
    """Let requests start no faster than the limits allow.

    Args:
        limits: The rates. `Limits.off()` makes `slot` return at once.
        ambient: The clock.
        store: The budgets that the processes of this key share. None: this client counts alone.
    """

    def __init__(self, limits: Limits, ambient: Ambient, store: RateStore | None = None) -> None:
        self._limits = limits
        self._ambient = ambient
        self._store = store
        self._is_off = limits == Limits.off()
        self._owner = new_identifier(ambient)
        self._budgets = Budgets()
        self._sight = Sight()
        self._waiting: dict[int, _Wait] = {}
        self._asked = 0
        self._unsaid = _Unsaid()
        self._counts = _Counts()
        self._poked = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._alone_until = -math.inf
        self._told_at = -math.inf
        self._is_closed = False

    @property
    def status(self) -> LimitStatus:
        """Tell how the limits hold requests up."""
        now, counts = self._ambient.monotonic(), self._counts
        going_on = [now - wait.waiter.asked for wait in self._waiting.values()]
        return LimitStatus(
            waiting=len(self._waiting),
            longest_wait=max([counts.longest_wait, *going_on]),
            total_wait=counts.total_wait + sum(going_on),
            begun=counts.begun,
            delayed=counts.delayed,
            denied=counts.denied,
            refused=counts.refused,
            lowered={lesson.scope: lesson.rate for lesson in self._sight.lessons if now < lesson.until},
            is_shared=self._shares(),
        )

    async def slot(
        self,
        api_id: str,
        kind: RequestClass,
        deadline: float | None = None,
        *,
        rank: Rank = Rank.USUAL,
        purpose: Purpose = Purpose.CALLER,
    ) -> Slot:
        """Wait for the slot of one request.

        Args:
            api_id: The TR.
            kind: Orders or queries.
            deadline: A value of `Ambient.monotonic`. None: wait as long as it takes.
            rank: Cancels go first.
            purpose: The library's own looks take turns with the caller's requests.

        Raises:
            SlotDenied: The slot would come after the deadline. Decided at once, not after waiting, unless somebody
                more urgent comes in between. Or the client was closed.

        Cancellation: The slot is given back.
        """
        if self._is_off:
            return Slot(None, 0)
        if self._is_closed:
            raise SlotDenied(api_id)
        now = self._ambient.monotonic()
        self._asked += 1
        number = self._asked
        future: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        waiter = Waiter(self._owner, number, api_id, kind, rank, now, deadline, purpose)
        self._waiting[number] = _Wait(waiter, future)
        self._poke()
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - now) + _GRACE):
                return await future
        except BaseException as error:
            # A slot may have come in the same turn of the loop as the timeout or the cancellation.
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().give_back()
            if isinstance(error, TimeoutError) and not isinstance(error, SlotDenied):
                self._counts.denied += 1
                raise SlotDenied(api_id) from error
            raise
        finally:
            if self._waiting.pop(number, None) is not None:
                self._poke()

    def note_end(self, number: int) -> None:
        """Note that the answer to a request was read."""
        self._unsaid.ended[number] = self._ambient.monotonic()
        self._poke()

    def note_return(self, number: int) -> None:
        """Note that a request was not sent."""
        self._unsaid.returned.add(number)
        self._poke()

    def note_refusal(self, scope: str, stated: float | None) -> None:
        """Learn from a rate-limit answer.

        Args:
            scope: The TR, or a class.
            stated: The limit that it states, per second. None: it states none.
        """
        self._counts.refused += 1
        if self._is_off:
            return
        self._unsaid.refusals.append(Refusal(scope, stated))
        self._poke()

    async def aclose(self) -> None:
        """Deny all who wait, and tell the other processes that we do not wait any more."""
        self._is_closed = True
        task, self._looking = self._looking, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for wait in self._waiting.values():
            if not wait.future.done():
                wait.future.set_exception(SlotDenied(wait.waiter.api_id))
        self._waiting.clear()
        if self._asked and self._store is not None and self._shares():
            with suppress(SharedStateUnusable):
                await self._store.look(self._limits, self._take_news())

    def _shares(self) -> bool:
        return self._store is not None and not self._is_off and self._ambient.monotonic() >= self._alone_until

    def _poke(self) -> None:
        self._poked.set()
        if self._looking is None and not self._is_closed:
            self._looking = asyncio.create_task(self._look_for_all(), name="kiwoom_async rate limits")

    async def _look_for_all(self) -> None:
        try:
            while self._waiting or self._unsaid:
                self._poked.clear()
                self._tell_all(await self._look())
                await self._gather()
                if self._waiting and not self._poked.is_set():
                    await self._rest()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits, not to this task
            _LOG.exception("the rate limits cannot be kept; nothing is sent until they can")
            for wait in self._waiting.values():
                if not wait.future.done():
                    wait.future.set_exception(error)
        finally:
            self._looking = None

    async def _look(self) -> Sight:
        news = self._take_news()
        try:
            return await self._look_with(news)
        except BaseException:
            self._unsaid.put_back(news)
            raise

    async def _look_with(self, news: News) -> Sight:
        if self._store is not None and self._shares():
            try:
                sight = await self._store.look(self._limits, news)
            except SharedStateUnusable:
                # It has told people why. What this process has begun until now stands in `_budgets` as well.
                self._alone_until = self._ambient.monotonic() + TRY_AGAIN_AFTER
            else:
                self._budgets = follow(self._budgets, self._ambient.monotonic(), self._limits, news, sight)
                return sight
        self._budgets, sight = look(self._budgets, self._ambient.monotonic(), self._limits, news)
        return sight

    def _take_news(self) -> News:
        unsaid, self._unsaid = self._unsaid, _Unsaid()
        return News(
            self._owner,
            tuple(wait.waiter for wait in self._waiting.values()),
            unsaid.ended,
            frozenset(unsaid.returned),
            tuple(unsaid.refusals),
        )

    def _tell_all(self, sight: Sight) -> None:
        self._sight = sight
        for number in sorted(sight.begun):
            wait = self._waiting.pop(number, None)
            if wait is None or wait.future.done():
                # It went away while we looked.
                self._unsaid.returned.add(number)
                continue
            self._count(wait.waiter)
            slot = Slot(self, number)
            wait.future.set_result(slot)
        for number in sight.denied:
            wait = self._waiting.pop(number, None)
            if wait is not None and not wait.future.done():
                self._counts.denied += 1
                wait.future.set_exception(SlotDenied(wait.waiter.api_id))

    def _count(self, waiter: Waiter) -> None:
        now, counts = self._ambient.monotonic(), self._counts
        seconds = now - waiter.asked
        counts.begun += 1
        counts.total_wait += seconds
        counts.longest_wait = max(counts.longest_wait, seconds)
        counts.delayed += seconds >= LOOK_EVERY / 10
        if seconds >= LONG_WAIT and now >= self._told_at + TELL_EVERY:
            self._told_at = now
            _LOG.info(
                "%s has waited %.1f s for the rate limit; %d more requests wait (client.limits tells more)",
                waiter.api_id,
                seconds,
                len(self._waiting),
            )

    async def _gather(self) -> None:
        """Let news come together, so that a flood that trickles in does not cause a look for each of its requests."""
        if len(self._waiting) >= MANY:
            longest = min(GATHER_AT_MOST, GATHER_FOR_EACH * len(self._waiting))
            await anyio.sleep(max(0.0, min(longest, self._next_moment() - self._ambient.monotonic())))

    def _next_moment(self) -> float:
        return min((at for number, at in self._sight.moments.items() if number in self._waiting), default=math.inf)

    async def _rest(self) -> None:
        now = self._ambient.monotonic()
        seconds = min(self._next_moment() - now, LOOK_EVERY if self._shares() else math.inf)
        tasks: set[asyncio.Future[object]] = {asyncio.ensure_future(self._poked.wait())}
        if seconds < math.inf:
            tasks.add(asyncio.ensure_future(anyio.sleep(max(SHORTEST_REST, seconds))))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
