"""The monitors of the assumptions: what one client measures, and what it finds to keep.

Nothing here decides about an order, holds one up, or fails because the journal does: what cannot be kept at once is
kept later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import anyio

from kiwoom_async._domain.absence import AbsenceProof, Strength
from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.feed_status import FeedStatus
from kiwoom_async._domain.health import (
    Assumption,
    Breach,
    BreachKind,
    DurableHealth,
    Health,
    HealthState,
    JournalFacts,
    KeptBreach,
    judge,
)
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.monitors import (
    Looking,
    Series,
    clock_gap,
    explain_missing,
    is_own_answer,
    judge_answer,
    judge_clock,
    judge_delay,
    judge_row,
    rounded_down,
)
from kiwoom_async._domain.relations import ChannelKnowledge
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, ResolvedBy
from kiwoom_async._execution.settlements import Bell
from kiwoom_async._execution.tasks import complete
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Claim, Finding
from kiwoom_async._workplace import workplace_of
from kiwoom_async.errors import JournalError

_LOG: Final = logging.getLogger("kiwoom_async")

REPEAT_AFTER: Final = 60.0
"""Seconds in which the same finding counts once. Source: our choice; a ledger that stands still is found to do so at
every look."""

JUDGED_AT_ONCE: Final = 1_000
"""Pairs of rows and attempts up to which they are judged on the event loop; more go to a thread. Source: as
`MATCHED_AT_ONCE` of the matching."""

MOST_REMEMBERED: Final = 20_000
"""Order numbers that are remembered. Source: our choice, far more than a bot places in a day."""

_T = TypeVar("_T")
_Place = tuple[Desk, date, str]


class _Memory(dict[Any, Any]):
    """A dictionary that forgets what is oldest."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > MOST_REMEMBERED:
            del self[next(iter(self))]


class Monitor:
    """Watch the assumptions on behalf of one client.

    Args:
        journal: Keeps what is found.
        ambient: The clocks.
        timing: The bounds that are watched.
        environment: Its hours say which stamps mean anything.
        is_exclusive: No other program places orders that could be taken for ours.
        is_own_transport: Requests leave by our transport, which sends each once.
        clock_difference: Gives by how many seconds the clocks are proven to differ.
    """

    def __init__(
        self,
        journal: Journal,
        ambient: Ambient,
        timing: Timing,
        environment: Environment,
        *,
        is_exclusive: bool,
        is_own_transport: bool,
        clock_difference: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._ambient = ambient
        self._timing = timing
        self._environment = environment
        self._is_exclusive = is_exclusive
        self._is_own_transport = is_own_transport
        self._clock_difference = clock_difference
        self._bell = Bell()
        self._pending: list[Breach] = []
        self._noted: dict[Breach, float] = {}
        self._answers = Series()
        self._listed = Series()
        self._unlisted = Series()
        self._stamps = Series()
        self._before_answer = Series()
        self._after_answer = Series()
        self._answered: _Memory = _Memory()
        self._reported: _Memory = _Memory()
        self._seen: _Memory = _Memory()
        self._unseen: _Memory = _Memory()
        self._cleared: _Memory = _Memory()
        self._sends = self._held_back = self._numbers = self._looks = self._void = 0
        self._proofs: dict[Strength, int] = dict.fromkeys(Strength, 0)
        self._own_channels: set[str] = set()

    # ------------------------------------------------------------------ findings

    def note(self, breach: Breach, *, is_told: bool = False) -> None:
        """Keep a finding, unless it was kept a moment ago.

        Args:
            breach: It.
            is_told: It stands in the log already.
        """
        now = self._ambient.monotonic()
        if now < self._noted.get(breach, float("-inf")) + REPEAT_AFTER:
            return
        self._noted = {kept: at for kept, at in self._noted.items() if now < at + REPEAT_AFTER} | {breach: now}
        self._pending.append(breach)
        self._bell.ring()
        if not is_told:
            level = logging.ERROR if breach.state is HealthState.ALARM else logging.WARNING
            _LOG.log(level, "%s: %s. %s.", breach.assumption.value, breach.text, breach.advice)

    @property
    def unwritten(self) -> tuple[KeptBreach, ...]:
        """Give the findings that the journal does not have yet."""
        now = self._ambient.now()
        return tuple(KeptBreach(breach, now, now, 1) for breach in self._pending)

    async def run(self) -> None:
        """Write findings down as they come, for as long as the client lives."""
        while True:
            self._bell.muffle()
            if not await self.flush():
                await anyio.sleep(self._timing.reconcile_interval)
            elif not self._pending:
                await self._bell.wait()

    async def flush(self) -> bool:
        """Write down what was found so far; give whether it is written."""
        found = tuple(self._pending)
        if not found:
            return True
        try:
            # To its end: what is written and still waits would be counted twice.
            _, cancellation = await complete(self._journal.note_breaches(found))
        except JournalError as error:
            _LOG.warning("findings about the assumptions are written later: %s", error)
            return False
        del self._pending[: len(found)]
        if cancellation is not None:
            raise cancellation
        return True

    # ------------------------------------------------------------------ what is measured

    def answered(self, attempt: Attempt, finding: Finding) -> None:
        """Learn from what became of a send."""
        if finding.event is Event.PROVEN_UNSENT:
            return
        self._sends += 1
        if not finding.is_answered or finding.ended is None:
            return
        seconds = finding.ended - attempt.dispatched
        self._answers.add(seconds)
        self._keep_all(judge_answer(attempt.client_order_id, seconds, self._timing))
        self._keep_all(judge_clock(self._clock_difference(), self._timing))
        number = finding.broker_order_id
        if finding.resolved_by is not ResolvedBy.RESPONSE or number is None or attempt.broker_order_id != number:
            return  # a number that stays another order's is looked for as that one's
        self._numbers += 1
        place = attempt.request.desk.ledger, finding.claim_day or attempt.day, number
        self._answered[place] = finding.ended
        if attempt.request.action is Action.NEW:
            self._unseen[place] = attempt.mark
        if place in self._reported:
            self._before_answer.add(max(0.0, finding.ended - self._reported[place]))

    def held_back(self, client_order_id: str) -> None:
        """Learn that a send came too late to use its permission, and was held back (A2)."""
        self._held_back += 1
        text = f"order {client_order_id} was held back: its process woke after the permission to send had run out"
        self.note(Breach(BreachKind.SENDER_LATE, text))

    def reported(self, report: OrderReport, received_at: datetime) -> None:
        """Learn from a report of the feed: whether it came before the answer, and what its time says."""
        place = report.desk.ledger, report.day, report.broker_order_id
        now = self._ambient.monotonic()
        if place not in self._reported:
            self._reported[place] = now
            if place in self._answered:
                self._after_answer.add(max(0.0, now - self._answered[place]))
        if report.at is not None:
            # It may come late, and never before it happened.
            self._keep_all(self._judge_stamp(max(0.0, (report.at - received_at).total_seconds())))

    def unreadable(self, reason: str, *, is_of_the_future: bool) -> None:
        """Learn that a report of the feed could not be read, or tells a time that has not come."""
        kind = BreachKind.CLOCK_OFF if is_of_the_future else BreachKind.REPORT_UNREADABLE
        self.note(Breach(kind, f"a report of the feed was not taken: {reason}"), is_told=True)

    def void(self) -> None:
        """Learn that a look was not complete: nothing was concluded from it (A6)."""
        self._void += 1

    def proved(self, proof: AbsenceProof) -> None:
        """Learn that an absence was proven, and by what (A7)."""
        self._proofs[proof.strength] += 1

    async def looked(
        self,
        snapshot: Snapshot,
        claims: Mapping[str, tuple[Claim, Attempt]],
        channels: frozenset[str],
    ) -> tuple[Breach, ...]:
        """Learn from a complete look at a ledger.

        Args:
            snapshot: The look.
            claims: Our numbers of its day, read after it was taken.
            channels: How the ledger names the channel of our orders.

        Returns:
            What is wrong with it; it is kept and logged already.

        Raises:
            JournalError: What else may be the owner of a row could not be read.
        """
        self._looks += 1
        looking = Looking(self._timing, self._environment, self._ambient.boot_id, ChannelKnowledge(channels))
        listed = {row.broker_order_id: row for row in snapshot.rows}
        # First: from here to the end nothing waits, so that what is marked as seen is also told.
        found = await self._find_images(snapshot, claims, looking)
        for number, (_, attempt) in claims.items():
            if not is_own_answer(attempt) or attempt.ended is None or int(number) <= snapshot.since:
                continue
            row = listed.get(number)
            if row is None:
                found += self._not_listed(number, attempt, snapshot)
            elif (snapshot.desk, snapshot.day, number) not in self._seen:
                found += self._first_seen(attempt, row, snapshot, looking)
        told = tuple(dict.fromkeys(found))
        for breach in told:
            self.note(breach)
        return told

    def unseen(self, today: date) -> Mapping[Desk, int]:
        """Give, by ledger, the mark after which a look has to begin that lists what no look has listed yet."""
        marks: dict[Desk, int] = {}
        for desk, day, number in [place for place in self._unseen if place[1] != today]:
            del self._unseen[desk, day, number]
        for (desk, _, _), mark in self._unseen.items():
            marks[desk] = min(marks.get(desk, mark), mark)
        return marks

    def was_seen(self, desk: Desk, day: date, number: str) -> bool:
        """Tell whether an earlier look has listed a number."""
        return (desk.ledger, day, number) in self._seen

    def _not_listed(self, number: str, attempt: Attempt, snapshot: Snapshot) -> Iterable[Breach]:
        if attempt.ended is None or attempt.boot_id != self._ambient.boot_id or snapshot.is_final:
            return
        seconds = snapshot.began - attempt.ended
        if seconds <= 0:
            return
        self._unlisted.add(seconds)
        breach = judge_delay(number, seconds, self._timing)
        if breach is not None:
            yield breach

    def _first_seen(self, attempt: Attempt, row: LedgerOrder, snapshot: Snapshot, looking: Looking) -> Iterable[Breach]:
        place = snapshot.desk.ledger, snapshot.day, row.broker_order_id
        self._seen[place] = None
        self._unseen.pop(place, None)
        if attempt.ended is not None and attempt.boot_id == self._ambient.boot_id:
            self._listed.add(max(0.0, snapshot.finished - attempt.ended))
        if row.channel:
            self._own_channels.add(row.channel)
        yield from judge_row(looking.claimant(attempt, snapshot), row)
        if row.ordered_at is not None and attempt.ended_at is not None and looking.is_stamped_at_once(attempt):
            breach = self._judge_stamp(clock_gap(row.ordered_at, attempt.dispatched_at, attempt.ended_at))
            if breach is not None:
                yield breach

    def _judge_stamp(self, gap: float) -> Breach | None:
        """Judge what a stamp proves beyond what the answers have proven already, and matching allows for."""
        self._stamps.add(gap)
        return judge_clock(gap, self._timing) if judge_clock(gap - self._clock_difference(), self._timing) else None

    async def _find_images(
        self, snapshot: Snapshot, claims: Mapping[str, tuple[Claim, Attempt]], looking: Looking
    ) -> list[Breach]:
        """Find rows that look like orders of ours, and are not (A3, A9)."""
        if not self._is_exclusive:
            return []
        place = snapshot.desk.ledger, snapshot.day
        strangers = [
            row
            for row in snapshot.rows
            if row.action is Action.NEW
            and row.broker_order_id not in claims
            and (*place, row.broker_order_id) not in self._cleared
        ]
        # Where a person was wrong about a number, the order's own row would look like its image.
        owners = [attempt for _, attempt in claims.values() if attempt.resolved_by is not ResolvedBy.OPERATOR]
        suspects = await self._judge_pairs(
            len(strangers) * len(owners), partial(looking.find_suspects, snapshot, strangers, owners)
        )
        unclear = await self._find_unclear([suspect.row for suspect in suspects], snapshot, looking)
        for row in strangers:
            if row.broker_order_id not in unclear:
                self._cleared[(*place, row.broker_order_id)] = None
        return [
            suspect.to_breach(is_own_transport=self._is_own_transport)
            for suspect in suspects
            if suspect.row.broker_order_id not in unclear
        ]

    async def _find_unclear(self, rows: Sequence[LedgerOrder], snapshot: Snapshot, looking: Looking) -> frozenset[str]:
        """Find the rows of which an attempt that has no number may be the owner, or one that has got it meanwhile."""
        if not rows:
            return frozenset()
        # In this order: whatever leaves the first list has entered the second one.
        since = snapshot.day - timedelta(days=1) - SHOWS_UP_WITHIN
        attempts = [*await self._journal.open_attempts(), *await self._journal.watched_attempts(since)]
        now, monotonic, boot_id = self._ambient.now(), self._ambient.monotonic(), self._ambient.boot_id
        owners = [
            attempt.dated_by(now, monotonic, boot_id)
            for attempt in attempts
            if attempt.state is not Delivery.PREPARED and attempt.request.desk.ledger is snapshot.desk.ledger
        ]
        related = await self._judge_pairs(
            len(rows) * len(owners), partial(looking.find_related, snapshot, rows, owners)
        )
        claimed = {
            row.broker_order_id
            for row in rows
            if row.broker_order_id not in related
            and await self._journal.claim_of(snapshot.desk, row.day, row.broker_order_id) is not None
        }
        return related | claimed

    async def _judge_pairs(self, pairs: int, judge: Callable[[], _T]) -> _T:
        """Judge rows against attempts: a few at once, many where they do not hold up the event loop."""
        return judge() if pairs < JUDGED_AT_ONCE else await workplace_of(self._ambient).run(judge)

    def missing(self, number: str, snapshot: Snapshot, *, is_open: bool = False) -> Breach:
        """Say what a look breaks that does not list an order of ours although every bound is over."""
        was_seen = self.was_seen(snapshot.desk, snapshot.day, number)
        return explain_missing(number, snapshot, was_seen=was_seen, is_open=is_open)

    def overdue(self, snapshot: Snapshot, claims: Mapping[str, tuple[Claim, Attempt]]) -> tuple[str, ...]:
        """List our orders that a look should list by now, and does not."""
        listed = {row.broker_order_id for row in snapshot.rows}
        return tuple(
            number
            for number, (_, attempt) in claims.items()
            if number not in listed
            and int(number) > snapshot.since
            and not snapshot.is_final
            and is_own_answer(attempt)
            and attempt.boot_id == self._ambient.boot_id
            and attempt.ended is not None
            and snapshot.began - attempt.ended > self._timing.visibility_bound
        )

    def _keep_all(self, *breaches: Breach | None) -> None:
        for breach in breaches:
            if breach is not None:
                self.note(breach)

    # ------------------------------------------------------------------ what is told

    async def health(self, feed: FeedStatus) -> Health:
        """Sum up how the assumptions are doing. Reads the journal and memory, and asks nobody."""
        now = self._ambient.now()
        fresh = list(self._pending)
        try:
            durable = await self._journal.health()
        except JournalError as error:
            durable = DurableHealth(facts=JournalFacts(str(self._journal.path)))
            fresh.append(Breach(BreachKind.JOURNAL_UNREADABLE, str(error).rstrip(".")))
        if durable.has_lost_rows:
            lost = Breach(BreachKind.JOURNAL_LOST_ROWS, "the journal has lost rows that were committed")
            self.note(lost)
            fresh.append(lost)
        clock = judge_clock(self._clock_difference(), self._timing)
        if clock is not None:
            self.note(clock)
            fresh.append(clock)
        known = {kept.breach for kept in durable.kept}
        return judge(
            durable,
            now=now,
            measured=self._measured(durable.facts),
            fresh=[breach for breach in dict.fromkeys(fresh) if breach not in known],
            feed=feed,
        )

    def _measured(self, facts: JournalFacts) -> Mapping[Assumption, str]:
        timing = self._timing
        written = "synchronous=FULL" if facts.is_durable else "NOT known to be synchronous"
        strong, weak = self._proofs[Strength.STRONG], self._proofs[Strength.WEAK]
        channels = ", ".join(map(repr, sorted(self._own_channels))) or "none seen yet"
        difference = self._clock_difference()
        return {
            Assumption.A1: f"SQLite {facts.sqlite}, {written}, schema {facts.schema}, {facts.size} bytes",
            Assumption.A2: f"{self._sends} sends by this client, {self._held_back} held back for coming too late",
            Assumption.A3: f"{self._sends} sends, {self._answers.count} answers",
            Assumption.A4: f"answers: {self._answers}; acceptance_bound {timing.acceptance_bound:g} s",
            Assumption.A5: (
                f"from the answer to the first look that lists: {self._listed}; "
                f"not listed yet after: {self._unlisted}; visibility_bound {timing.visibility_bound:g} s"
            ),
            Assumption.A6: f"{self._looks} complete looks, {self._void} thrown away",
            Assumption.A7: f"absences proven with a witness: {strong}, without one: {weak}",
            Assumption.A8: f"{self._numbers} numbers by answers",
            Assumption.A9: f"channel of our own orders: {channels}",
            Assumption.A10: f"{len(self._seen)} rows held against what was sent",
            Assumption.A11: (
                f"proven by answers: {rounded_down(difference)} s; by stamps: {self._stamps}; "
                f"clock_skew {timing.clock_skew:g} s; "
                f"reports before the answer: {self._before_answer}; after it: {self._after_answer}"
            ),
        }
