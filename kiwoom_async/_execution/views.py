"""Views of a desk's book: the ledger first, and then what the journal knows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta

from attrs import evolve, frozen

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.clock_watch import allow_for
from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.midnight import first_day
from kiwoom_async._domain.reports import Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.book_view import BookView
from kiwoom_async._execution.doubts import Doubts
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.originals import Originals
from kiwoom_async._journal.journal import Journal


@frozen
class Rules:
    """What conclusions rest on.

    Attributes:
        is_exclusive: No other program places orders on the account that could be taken for ours.
    """

    timing: Timing
    environment: Environment
    is_exclusive: bool


class Views:
    """Take views of the book as this process may see it: by its clock, its settings, and what was seen not to hold."""

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        originals: Originals,
        doubts: Doubts,
        ambient: Ambient,
        rules: Rules,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._originals = originals
        self._doubts = doubts
        self._ambient = ambient
        self._rules = rules

    @property
    def timing(self) -> Timing:
        """Give the bounds, with the clocks as far apart as the broker's answers have proven them to be (A11)."""
        timing = self._rules.timing
        return evolve(timing, clock_skew=allow_for(timing.clock_skew, self._reader.proven_clock_difference))

    def days_of(self, attempt: Attempt) -> tuple[date, ...]:
        """Give the days whose ledger may list an attempt."""
        return attempt.days(self.timing, self._rules.environment)

    async def take(self, desk: Desk, wanted: Sequence[Attempt], watched: Sequence[Attempt]) -> BookView:
        """Read the ledgers of every day that may list an attempt, and then the journal.

        Args:
            desk: Whose ledger.
            wanted: Its unresolved attempts.
            watched: Attempts proven absent that may still turn up. There is at least one of both.

        Raises:
            QueryFailed: The look was not complete.
            Refused: The broker did not let us look.
        """
        wanted, watched = await self.as_seen_now(wanted), await self.as_seen_now(watched)
        looked_at = self._ambient.now()
        today = korean_day(looked_at)
        reported = await self._journal.kept_reports(desk, earliest_day([*wanted, *watched]))
        since: dict[date, int] = {}
        for attempt in [*wanted, *watched]:
            for day in self.days_of(attempt):
                if day <= today:
                    mark = attempt.mark if day == attempt.day else 0
                    since[day] = min(since.get(day, mark), mark)
        # A day is over when it is by the bounds of everybody whose order is looked for.
        skew = max(attempt.bounds(self.timing).clock_skew for attempt in [*wanted, *watched])
        first_open = korean_day(looked_at - timedelta(seconds=skew))
        snapshots: list[Snapshot] = []
        for day, number in sorted(since.items()):
            snapshot = await self._reader.fetch_snapshot(desk, day, number)
            snapshots.append(evolve(snapshot, is_final=snapshot.is_final and day < first_open))
        return evolve(
            await self.make(desk, tuple(snapshots), await self._journal.channels(desk)),
            watched=tuple(watched),
            reported=reported,
            looked_at=looked_at,
        )

    async def make(self, desk: Desk, snapshots: Sequence[Snapshot], channels: frozenset[str]) -> BookView:
        """Put what the journal knows beside snapshots that were taken before."""
        # Only now: whatever the snapshots list, the journal has known for longer.
        attempts = await self.as_seen_now(of_desk(desk, await self._journal.open_attempts()))
        claims = {}
        for snapshot in snapshots:
            for broker_order_id, claimed in (await self._journal.claims(desk, snapshot.day, snapshot.since)).items():
                claims[snapshot.day, broker_order_id] = claimed
        sent = tuple(attempt for attempt in attempts if attempt.state is not Delivery.PREPARED)
        rivals = await self._find_rivals(sent)
        left = await self._find_left(desk, {snapshot.day for snapshot in snapshots}, sent) if sent else ()
        return BookView(
            desk=desk,
            snapshots=tuple(snapshots),
            attempts=sent,
            watched=(),
            claims=claims,
            channels=channels,
            owed=frozenset(
                attempt.request.target
                for attempt in attempts
                if attempt.state is Delivery.PREPARED and attempt.request.target is not None
            ),
            ancestors={attempt.key: await self._originals.read_ancestors(attempt) for attempt in (*sent, *left)},
            timing=self.timing,
            environment=self._rules.environment,
            boot_id=self._ambient.boot_id,
            is_exclusive=self._rules.is_exclusive,
            rivals=rivals,
            left=left,
            is_bound_broken=bool(rivals) and await self._is_bound_broken(),
        )

    async def _find_left(self, desk: Desk, days: Collection[date], sent: Sequence[Attempt]) -> tuple[Attempt, ...]:
        """Find the attempts that a close has left to a person, and whose order may be among the rows of some days."""
        # One that was closed since the open ones were read is among those.
        known = {attempt.key for attempt in sent}
        left = await self.as_seen_now(of_desk(desk, await self._journal.left_unresolved()))
        return tuple(
            attempt for attempt in left if attempt.key not in known and not set(days).isdisjoint(self.days_of(attempt))
        )

    async def _find_rivals(self, sent: Sequence[Attempt]) -> tuple[Attempt, ...]:
        """Find the attempts proven absent that are the like of one that is unresolved."""
        like = {attempt.request.fingerprint for attempt in sent}
        if not like:
            return ()
        since = earliest_day(sent) - timedelta(days=1) - SHOWS_UP_WITHIN
        return await self._doubts.unmark(await self._journal.absent_twins(since, like))

    async def _is_bound_broken(self) -> bool:
        """Tell whether an order of today has turned up after it was proven absent (A4)."""
        today = korean_day(self._ambient.now())
        return any(
            one.breach.kind in {BreachKind.REVIVED, BreachKind.DUPLICATE} and korean_day(one.last_at) == today
            for one in await self._journal.findings()
        )

    async def as_seen_now(self, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
        """See attempts by this clock and by their sender's, and by marks that still prove something."""
        unmarked = await self._doubts.unmark(attempts)
        now, monotonic, boot_id = self._ambient.now(), self._ambient.monotonic(), self._ambient.boot_id
        apart = self._reader.proven_clock_difference
        return tuple(attempt.dated_by(now, monotonic, boot_id).with_clocks_apart(apart) for attempt in unmarked)


def earliest_day(attempts: Iterable[Attempt]) -> date:
    """Give the first day on which the broker may have reported one of some attempts."""
    return min(map(first_day, attempts))


def of_desk(desk: Desk, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Give the attempts that stand in a desk's ledger."""
    return tuple(attempt for attempt in attempts if attempt.request.desk.ledger is desk)
