"""When to ask the broker what became of orders whose outcome is not known, and what to tell people about it.

Nothing here ever sends an order because a query failed or a timer ran out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import anyio
from attrs import frozen

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.monitors import rounded_down
from kiwoom_async._domain.reconciliation import ReconciliationReport, UnresolvedOrder
from kiwoom_async._domain.settings import Timing
from kiwoom_async._domain.states import UNRESOLVED, Delivery, Event
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.day_closer import DayCloser
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._execution.findings import PassFindings
from kiwoom_async._execution.follower import Follower
from kiwoom_async._execution.forgotten import ForgottenOrders
from kiwoom_async._execution.ledger_reader import LedgerReader, WrongAccount
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._execution.resolver import Resolver
from kiwoom_async._execution.settlements import Bell
from kiwoom_async._execution.surplus import SurplusCanceler
from kiwoom_async._execution.views import of_desk
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, LedgerNews
from kiwoom_async.errors import JournalError, KiwoomError, QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")

LEASE_SECONDS: Final = 60.0
"""How long one pass may take before another process may begin one. Source: our choice; a pass is a handful of
requests, and two passes at once are wasteful but not dangerous."""

IDLE_INTERVAL: Final = 5.0
"""Seconds between two looks into the journal for what other processes left behind. Source: our choice."""

SLOWEST: Final = 8
"""Looks that bring nothing new are spaced out, up to this many reconcile intervals. Source: our choice."""

AUDIT_EVERY: Final = 300.0
"""Seconds between two looks at orders that were answered and that no look has listed yet, so that the assumptions are
watched where nothing is unresolved. Source: our choice; one query in five minutes, and none where nothing was sent."""

OWN_GRACE: Final = 60.0
"""The same for a send of this process, which reports its end itself unless it met a fault. Source: our choice, longer
than the looks that a cancel may still take after its answer."""

OVERDUE_GRACE: Final = 1.0
"""Seconds past its own time limits after which another process's send counts as lost. Source: our choice."""


@frozen
class FeedWatch:
    """What the reconciler has to know of the feed.

    Attributes:
        bell: Rings when a report names a number that nobody has.
        is_live: Tells whether this process hears everything at this moment.
    """

    bell: Bell
    is_live: Callable[[], bool]


class Reconciler:
    """Resolve what is unresolved, in the background and on demand."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a pass works with, made in one place
        self,
        journal: Journal,
        reader: LedgerReader,
        resolver: Resolver,
        dispatcher: Dispatcher,
        closer: DayCloser,
        forgotten: ForgottenOrders,
        surplus: SurplusCanceler,
        feed: FeedWatch,
        bell: Bell,
        ambient: Ambient,
        timing: Timing,
        monitor: Monitor,
        follower: Follower,
    ) -> None:
        self._monitor = monitor
        self._follower = follower
        self._next_audit = ambient.monotonic() + AUDIT_EVERY
        self._journal = journal
        self._reader = reader
        self._resolver = resolver
        self._dispatcher = dispatcher
        self._closer = closer
        self._forgotten = forgotten
        self._surplus = surplus
        self._feed = feed
        self._bell = bell
        self._ambient = ambient
        self._timing = timing
        self._pass = anyio.Lock()
        self._lease = f"reconciler of {journal.account}"
        self._idle_passes = 0
        self._next_watch = 0.0
        self._raised: frozenset[str] = frozenset()
        self._marked_day: date | None = None

    # ------------------------------------------------------------------ when

    async def follow_feed(self) -> None:
        """Resolve from the feed whenever it reports a number nobody has, for as long as the client lives."""
        while True:
            self._feed.bell.muffle()
            try:
                pause = await self._resolve_from_feed()
            except KiwoomError as error:
                _LOG.warning("reports of the feed are matched later: %s", error)
                await anyio.sleep(self._timing.reconcile_interval)
                continue  # nobody rings again for what was reported already
            except Exception:  # noqa: BLE001 - as in `run`
                _LOG.exception("matching reports of the feed met a fault of the library")
                await anyio.sleep(self._timing.reconcile_interval)
                continue
            with anyio.move_on_after(pause):
                await self._feed.bell.wait()

    async def _resolve_from_feed(self) -> float | None:
        """Resolve what can be; give the seconds after which there is more to do without another report."""
        async with self._pass:
            found = PassFindings()
            await self._resolver.resolve_from_feed(found)
        for alarm in found.alarms:
            _LOG.error("%s", alarm)
        self._keep(found)
        return max(0.0, min(found.next_look) - self._ambient.monotonic()) if found.next_look else None

    async def run(self) -> None:
        """Reconcile for as long as the client lives: at once when woken, and in growing steps while nothing changes."""
        while True:
            self._bell.muffle()
            began = self._ambient.monotonic()
            pause = self._timing.reconcile_interval
            try:
                pause = await self._work()
            except KiwoomError as error:
                _LOG.warning("reconciliation goes on later: %s", error)
            except Exception:  # noqa: BLE001 - see below
                # A fault of ours must not end the watch over open orders.
                _LOG.exception("reconciliation met a fault of the library and goes on later")
            with anyio.move_on_after(pause):
                await self._bell.wait()
                self._idle_passes = 0
            # Whatever became unknown meanwhile is resolved by the same look.
            rest = began + self._timing.reconcile_interval - self._ambient.monotonic()
            await anyio.sleep(max(0.0, rest))

    async def _work(self) -> float:
        await self._journal.adopt_orphans()
        await self._learn_mark()
        attempts = await self._journal.open_attempts()
        is_watch_due = self._ambient.monotonic() >= self._next_watch
        watched = await self._watched() if is_watch_due else ()
        is_needed = any(self._needs_work(attempt) for attempt in attempts)
        has_duty = is_needed or bool(watched) or self._is_audit_due()
        has_duty = has_duty or await self._forgotten.is_due() or await self._surplus.is_due()
        if not has_duty and not await self._closer.due(attempts):
            return IDLE_INTERVAL
        if (pause := self._time_for_the_feed(attempts)) > 0 and not watched:
            return pause
        found = await self._take_turn()
        if found is None:
            return self._timing.reconcile_interval
        self._idle_passes = 0 if found.resolved else self._idle_passes + 1
        slow = self._timing.reconcile_interval * min(2.0 ** min(self._idle_passes - 1, 10), SLOWEST)
        now = self._ambient.monotonic()
        due = [moment - now for moment in found.next_look if moment > now]
        return max(0.0, min([slow, *due]))

    def _time_for_the_feed(self, attempts: Sequence[Attempt]) -> float:
        """Give how long the feed may still spare us the ledger: it tells within a round trip what it will ever tell."""
        ended = [
            attempt.ended
            for attempt in attempts
            if self._needs_work(attempt)
            and attempt.state in UNRESOLVED
            and attempt.boot_id == self._ambient.boot_id
            and attempt.ended is not None
        ]
        if not self._feed.is_live() or len(ended) < sum(map(self._needs_work, attempts)):
            return 0.0
        return min(ended, default=0.0) + self._timing.reconcile_interval - self._ambient.monotonic()

    async def _learn_mark(self) -> None:
        """Learn a high-water mark once a day, so that no look has to read the whole day."""
        today = korean_day(self._ambient.now())
        if today == self._marked_day:
            return
        self._marked_day = today  # one try: without a mark looks are longer, and as right
        try:
            highest = await self._reader.fetch_highest_number(Desk.STOCK, today)
        except (QueryFailed, Refused) as error:
            _LOG.info("no high-water mark for %s: %s", today, error)
            return
        await self._journal.note_ledger(
            LedgerNews(self._journal.account, Desk.STOCK, today, own=(), foreign=(), highest=highest)
        )

    def _is_audit_due(self) -> bool:
        is_time = self._ambient.monotonic() >= self._next_audit
        return is_time and bool(self._monitor.unseen(korean_day(self._ambient.now())))

    def _needs_work(self, attempt: Attempt) -> bool:
        return (
            attempt.state in UNRESOLVED
            or self._is_overdue(attempt)
            or (attempt.state is Delivery.PREPARED and attempt.runner == self._journal.runner)
        )

    def _is_overdue(self, attempt: Attempt) -> bool:
        is_ours = attempt.runner == self._journal.runner
        grace = OWN_GRACE if is_ours else OVERDUE_GRACE
        limit = attempt.write_until + attempt.bounds(self._timing).response_timeout + grace
        return (
            attempt.state is Delivery.DISPATCHED
            and attempt.boot_id == self._ambient.boot_id
            and self._ambient.monotonic() > limit
        )

    async def _watched(self) -> tuple[Attempt, ...]:
        """Give the attempts proven absent of which one of their days may still prove us wrong."""
        yesterday = korean_day(self._ambient.now()) - timedelta(days=1)
        watched = await self._journal.watched_attempts(yesterday - SHOWS_UP_WITHIN)
        return tuple(
            attempt
            for attempt in watched
            if attempt.state is Delivery.NOT_ACCEPTED and self._resolver.days_of(attempt)[-1] >= yesterday
        )

    def wake(self) -> None:
        """Look at once, in the background."""
        self._bell.ring()

    async def reconcile(self) -> ReconciliationReport:
        """Do one full pass now; wait for one that is under way.

        Raises:
            KiwoomError: The journal or the broker could not be asked; nothing was concluded from that.
        """
        while True:
            await self._journal.adopt_orphans()
            before = self._reader.queries
            found = await self._take_turn(is_full=True)
            if found is not None:
                return await self._report(found, self._reader.queries - before)
            await anyio.sleep(self._timing.reconcile_interval)

    async def _take_turn(self, *, is_full: bool = False) -> PassFindings | None:
        """Do one pass, if no other process is at it."""
        async with self._pass:
            if await self._journal.take_lease(self._lease, LEASE_SECONDS) is None:
                return None
            try:
                return await self._do_pass(is_full=is_full)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._release_lease()

    async def _release_lease(self) -> None:
        try:
            await self._journal.release_lease(self._lease)
        except JournalError as error:
            # It runs out by itself, and this process gets it whenever it asks. Raised, it would hide what the pass has
            # found, or the cancellation that ended it.
            _LOG.warning("the lease of the reconciler is not given back: %s", error)

    async def _report(self, found: PassFindings, queries: int) -> ReconciliationReport:
        return ReconciliationReport(
            resolved=tuple(found.resolved),
            unresolved=await self.list_unresolved(found.why),
            foreign=tuple(found.foreign),
            alarms=tuple(found.alarms),
            queries=queries,
            closed=tuple(found.closed),
        )

    async def list_unresolved(self, why: Mapping[str, str] | None = None) -> tuple[UnresolvedOrder, ...]:
        """List every order without an answer, from the journal alone."""
        # In this order: what a close leaves unresolved meanwhile is in both.
        open_attempts = await self._journal.open_attempts()
        attempts = {attempt.key: attempt for attempt in [*await self._journal.left_unresolved(), *open_attempts]}
        return tuple(
            [
                UnresolvedOrder(
                    client_order_id=attempt.client_order_id,
                    attempt=attempt.number,
                    state=attempt.state,
                    since=attempt.dispatched_at,
                    why=(why or {}).get(attempt.key) or attempt.reason or "it is being sent",
                    candidates=self._resolver.last_candidates(attempt),
                )
                for attempt in attempts.values()
                if not await self._is_answered(attempt)
            ]
        )

    async def _is_answered(self, attempt: Attempt) -> bool:
        """Tell whether the order has its answer by another send: full cancels are sent again while one is unknown."""
        if not attempt.request.is_repeatable:
            return False
        record = await self._journal.find(attempt.client_order_id)
        return record is not None and record.is_on_the_book

    def days_of(self, attempt: Attempt) -> tuple[date, ...]:
        """Give the days whose ledger may list an attempt."""
        return self._resolver.days_of(attempt)

    def day_of_candidate(self, attempt: Attempt, number: str) -> date | None:
        """Give the day on which the last look in this process has shown a number as a candidate of an attempt."""
        return self._resolver.day_of_candidate(attempt, number)

    # ------------------------------------------------------------------ one pass

    async def _do_pass(self, *, is_full: bool) -> PassFindings:
        found = PassFindings()
        await self._resolver.resolve_from_feed(found)
        attempts = await self._journal.open_attempts()
        for attempt in attempts:
            if self._is_overdue(attempt):
                await self._declare_lost(attempt)
            elif attempt.state is Delivery.PREPARED and attempt.runner == self._journal.runner:
                await self._resume(attempt)
        attempts = await self._journal.open_attempts()
        watched: tuple[Attempt, ...] = ()
        if is_full or self._ambient.monotonic() >= self._next_watch:
            watched = await self._watched()
            self._next_watch = self._ambient.monotonic() + self._timing.watch_interval
        wanted = [attempt for attempt in attempts if attempt.state in UNRESOLVED]
        for desk in dict.fromkeys(attempt.request.desk.ledger for attempt in [*wanted, *watched]):
            try:
                await self._resolver.resolve_desk(desk, of_desk(desk, wanted), of_desk(desk, watched), found)
            except (QueryFailed, Refused) as error:
                # A failed look is no look. What it would have been for stays as it is.
                _LOG.info("a look at the %s ledger failed: %s", desk.value, error)
                found.why.update((attempt.key, f"the last look failed: {error}") for attempt in of_desk(desk, wanted))
                self._monitor.void()
                if isinstance(error, WrongAccount):
                    found.raise_alarm(BreachKind.OTHER_ACCOUNT, f"a look at the {desk.value} ledger failed: {error}")
        self._resolver.forget_settled(wanted)
        found.closed += await self._closer.close_all(await self._journal.open_attempts())
        for text in await self._forgotten.look():
            found.raise_alarm(BreachKind.FORGOTTEN_ORDER, text)
        await self._surplus.begin()
        if is_full or self._is_audit_due():
            self._next_audit = self._ambient.monotonic() + AUDIT_EVERY
            found.take(await self._follower.audit())
        self._tell(found)
        return found

    def _tell(self, found: PassFindings) -> None:
        difference = self._reader.proven_clock_difference
        if difference > self._timing.clock_skew:
            text = f"our clock is off the broker's by {rounded_down(difference)} s or more: set the clock"
            found.raise_alarm(BreachKind.CLOCK_OFF, text)
        for alarm in found.alarms:
            if alarm not in self._raised | found.told:
                _LOG.error("%s", alarm)
        self._raised = frozenset(found.alarms)
        self._keep(found)

    def _keep(self, found: PassFindings) -> None:
        """Keep what the pass has found out about the assumptions; alarms stand in the log already."""
        for breach in found.breaches:
            self._monitor.note(breach, is_told=breach.text in found.alarms)

    async def _declare_lost(self, attempt: Attempt) -> None:
        reason = "the process that sent it does not answer"
        finding = Finding(
            Event.LOST,
            reason=reason,
            ended=attempt.write_until,
            ended_at=attempt.dispatched_at + timedelta(seconds=attempt.write_until - attempt.dispatched),
        )
        await self._journal.conclude(attempt, finding)

    async def _resume(self, attempt: Attempt) -> None:
        record = await self._journal.find(attempt.client_order_id)
        assert record is not None, "an attempt is one of an order"  # noqa: S101
        self._dispatcher.resume(record.intent)
