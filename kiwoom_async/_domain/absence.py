"""Proof of absence: an object made of evidence, not a timeout.

It takes two complete looks at every ledger that may list the attempt, both begun after the broker can have
accepted it and must have listed it, far enough apart, and a witness that the last look was not a stale copy.
Anything less is `NotYet`, which says what is missing. A proof without a witness is weak: it informs, and
never authorizes a resend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from attrs import frozen

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.relations import later_days
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.vocabulary import Desk

NO_FEED = "no feed"


@unique
class Strength(StrEnum):
    """How far a proof carries."""

    STRONG = "strong"
    """A witness shows that the last look was fresh, or the days are over. Authorizes a resend."""
    WEAK = "weak"
    """Without a witness, on doubled margins; or beside an assumption that was seen not to hold. Informs only."""


@unique
class WitnessKind(StrEnum):
    """Whose order shows that a look was fresh."""

    OWN_ORDER = "own_order"
    FOREIGN_ORDER = "foreign_order"


@unique
class Missing(StrEnum):
    """What a proof of absence still lacks."""

    SENDER_FINISHED = "the sender may still be at work"
    SAME_BOOT = "the attempt's stamps are of another run of the operating system"
    DAY_OVER = "the order may still show up on a day that is not over"
    LOOK = "there was no complete look"
    LOOK_AFTER_BOUNDS = "no look began after the acceptance and visibility bounds"
    COVERAGE = "the last look does not cover every day and order number"
    NO_CANDIDATE = "a row may be this attempt"
    SECOND_LOOK = "no second look far enough from the first"
    STEADY_LEDGER = "a row that was listed is not listed any more"
    WITNESS = "nothing shows that the last look was fresh"


@frozen
class Round:
    """One complete look on behalf of an attempt: a snapshot of every ledger that may list it.

    A look in which any query failed is not a round.

    Attributes:
        boot_id: The run of the operating system in which the snapshots' stamps are valid.
        snapshots: One for each day that may list the attempt; others do not matter.
        candidates: Numbers of the unclaimed rows that may be the attempt, after matching.
    """

    boot_id: str
    snapshots: tuple[Snapshot, ...]
    candidates: tuple[str, ...] = ()

    @property
    def began(self) -> float:
        """Give the monotonic second before the first request left."""
        return min(snapshot.began for snapshot in self.snapshots)

    def find(self, desk: Desk, day: date) -> Snapshot | None:
        """Give the snapshot of a day of the ledger in which the desk's orders stand."""
        for snapshot in self.snapshots:
            if snapshot.day == day and snapshot.desk.ledger is desk.ledger:
                return snapshot
        return None


@frozen
class NotYet:
    """No proof so far.

    Attributes:
        reason: What is missing.
        not_before: Monotonic second before which another look cannot help; None where time alone does not
            help.
    """

    reason: Missing
    not_before: float | None = None


@frozen
class Witness:
    """An order on the last look that is known to be newer than the moment the attempt was dead.

    Attributes:
        description: What makes it newer, in words.
    """

    kind: WitnessKind
    broker_order_id: str
    description: str


@frozen
class SnapshotSummary:
    """What a proof keeps of a snapshot."""

    day: date
    desk: Desk
    since: int
    began: float
    finished: float
    rows: int
    highest_number: int
    is_final: bool
    queries: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> SnapshotSummary:
        """Summarize a snapshot."""
        return cls(
            day=snapshot.day,
            desk=snapshot.desk,
            since=snapshot.since,
            began=snapshot.began,
            finished=snapshot.finished,
            rows=len(snapshot.rows),
            highest_number=max((row.number for row in snapshot.rows), default=0),
            is_final=snapshot.is_final,
            queries=snapshot.queries,
        )


@frozen
class AbsenceProof:
    """Evidence that an attempt was not accepted, and never will be; kept in the journal.

    Attributes:
        attempt_key: The attempt.
        days: The days whose ledgers were looked at.
        since_mark: Orders of the attempt's day up to this number are older than the attempt.
        snapshots: First and last look, in this order.
        dead_since: Monotonic second after which the broker could not accept the request any more (A4).
        proven_at: On the wall clock.
        boot_id: The run of the operating system in which the monotonic stamps are valid.
        witness: None where there was none, or the days were over.
        feed: What the real-time feed certifies.
        acceptance_bound: The bound relied on, in seconds (A4).
        visibility_bound: The bound relied on, in seconds (A5).
    """

    attempt_key: str
    days: tuple[date, ...]
    since_mark: int
    snapshots: tuple[SnapshotSummary, ...]
    dead_since: float
    proven_at: datetime
    boot_id: str
    witness: Witness | None
    strength: Strength
    acceptance_bound: float
    visibility_bound: float
    feed: str = NO_FEED

    @property
    def allows_resend(self) -> bool:
        """Tell whether the order may be sent again on this proof. A weak one never authorizes that."""
        return self.strength is Strength.STRONG


LOOKS_KEPT: Final = 24
"""Looks remembered for an attempt. Source: our choice; a proof needs two far enough apart, the others hold what was
once listed and must stay so."""


def thin_out(rounds: Sequence[Round]) -> list[Round]:
    """Keep looks that are spread over the whole time, however fast they follow each other.

    Dropped are looks between two others that are close to each other. A look with candidates is not dropped between two
    without any, nor the other way round: the last of them is where a proof may begin.
    """
    kept = list(rounds)
    while len(kept) > LOOKS_KEPT:
        gaps = {
            middle: kept[middle + 1].began - kept[middle - 1].began
            for middle in range(1, len(kept) - 1)
            if bool(kept[middle - 1].candidates) == bool(kept[middle].candidates) == bool(kept[middle + 1].candidates)
        }
        del kept[min(gaps, key=gaps.__getitem__, default=0)]
    return kept


def vanished_rows(first: Round, second: Round) -> tuple[LedgerOrder, ...]:
    """List the rows of a look that a later look of the same ledgers does not show any more.

    An accepted order stays listed that day (A5). Where that fails, a missing order proves nothing.
    """
    gone: list[LedgerOrder] = []
    for before in first.snapshots:
        after = second.find(before.desk, before.day)
        if after is not None and after is not before:
            listed = {row.number for row in after.rows}
            gone += [row for row in before.rows if row.number > after.since and row.number not in listed]
    return tuple(gone)


@frozen
class _Case:
    """What is looked for, once the sender is known to be finished."""

    attempt: Attempt
    days: tuple[date, ...]
    final_days: frozenset[date]
    dead_since: float
    dead_at: datetime
    timing: Timing

    def covers(self, look: Round) -> bool:
        """Tell whether a look would have shown the attempt, on whichever day it is listed."""
        return all(self._is_covered(look, day) for day in self.days)

    def _is_covered(self, look: Round, day: date) -> bool:
        snapshot = look.find(self.attempt.request.desk, day)
        # The mark is a number of the attempt's own day; another day must be read from its start.
        floor = self.attempt.mark if day == self.attempt.day else 0
        return snapshot is not None and snapshot.since <= floor

    def is_over(self, look: Round, days: Iterable[date]) -> bool:
        """Tell whether a look was taken after the end of all these days."""
        found = [look.find(self.attempt.request.desk, day) for day in days]
        return all(snapshot is not None and snapshot.is_final for snapshot in found)

    def looks_after(self, rounds: Sequence[Round], margin: float) -> list[Round]:
        """Give the looks that must have shown an accepted order, with this margin for its listing."""
        return [look for look in rounds if look.began >= self.dead_since + margin]


def prove_absence(  # noqa: PLR0913 - each is another kind of evidence
    attempt: Attempt,
    history: Sequence[Round],
    *,
    now_monotonic: float,
    now: datetime,
    boot_id: str,
    timing: Timing,
    environment: Environment,
    own_dispatches: Mapping[tuple[date, str], float],
    feed: str = NO_FEED,
) -> AbsenceProof | NotYet:
    """Prove that an attempt was not accepted, or say what is missing.

    Args:
        attempt: The attempt, unresolved.
        history: The complete looks taken for it in this process, oldest first. A failed query makes no round.
        now_monotonic: Second on the clock of this boot.
        now: The wall clock.
        boot_id: This run of the operating system.
        timing: The bounds relied on; where the attempt's sender relied on longer ones, those count.
        environment: Tells whether the order may show up on the next day.
        own_dispatches: Day and number of orders of ours to the monotonic second of this boot at which they
            were sent; only those whose number came by an answer or an event, for a number found by matching
            is no witness of its own time.
        feed: What the real-time feed certifies.
    """
    timing = attempt.bounds(timing)
    dead_since = attempt.dead_after(timing)
    if dead_since is None or attempt.ended is None or attempt.ended_at is None:
        return NotYet(Missing.SENDER_FINISHED)
    if attempt.boot_id != boot_id:
        return NotYet(Missing.SAME_BOOT)
    case = _Case(
        attempt=attempt,
        days=attempt.days(timing, environment),
        final_days=later_days(attempt, timing, environment),
        dead_since=dead_since,
        dead_at=attempt.ended_at + timedelta(seconds=dead_since - attempt.ended),
        timing=timing,
    )
    rounds = [look for look in history if look.boot_id == boot_id and look.snapshots and look.began <= now_monotonic]
    if not rounds:
        return NotYet(Missing.LOOK, dead_since + timing.visibility_bound)
    lacking = _what_rounds_lack(case, rounds)
    if lacking is not None:
        return lacking
    return _weigh(case, _usable(case, rounds), now, own_dispatches, feed)


def _what_rounds_lack(case: _Case, rounds: Sequence[Round]) -> NotYet | None:
    last = rounds[-1]
    if not case.is_over(last, case.final_days):
        return NotYet(Missing.DAY_OVER)
    if not case.covers(last):
        return NotYet(Missing.COVERAGE)
    if last.candidates:
        return NotYet(Missing.NO_CANDIDATE)
    if not case.looks_after(_usable(case, rounds), case.timing.visibility_bound):
        return NotYet(Missing.LOOK_AFTER_BOUNDS, case.dead_since + case.timing.visibility_bound)
    if any(vanished_rows(look, last) for look in rounds[:-1]):
        return NotYet(Missing.STEADY_LEDGER)
    return None


def _usable(case: _Case, rounds: Sequence[Round]) -> list[Round]:
    """Keep the looks since the last one that was incomplete for the attempt or showed a candidate."""
    usable: list[Round] = []
    for look in reversed(rounds):
        if look.candidates or not case.covers(look) or not case.is_over(look, case.final_days):
            break
        usable.append(look)
    return usable[::-1]


def _weigh(
    case: _Case,
    rounds: Sequence[Round],
    now: datetime,
    own_dispatches: Mapping[tuple[date, str], float],
    feed: str,
) -> AbsenceProof | NotYet:
    """Look for a strong pair of looks, then for a weak one on doubled margins."""
    bound, last = case.timing.visibility_bound, rounds[-1]
    looks = case.looks_after(rounds, bound)
    if last.began < looks[0].began + bound:
        return NotYet(Missing.SECOND_LOOK, looks[0].began + bound)
    witnesses = {day: _find_witness(case, last, day, now, own_dispatches) for day in case.days}
    unwitnessed = [day for day in case.days if witnesses[day] is None]
    # A ledger whose day was over at both looks needs no witness: nothing is added to it any more.
    firsts = looks if case.is_over(last, unwitnessed) else []
    for first in firsts:
        if last.began >= first.began + bound and case.is_over(first, unwitnessed):
            witness = next((found for found in reversed(witnesses.values()) if found is not None), None)
            return _to_proof(case, (first, last), now, feed, witness=witness, strength=Strength.STRONG)
    patient = case.looks_after(rounds, 2 * bound)
    if not patient:
        return NotYet(Missing.WITNESS, case.dead_since + 2 * bound)
    if last.began < patient[0].began + 2 * bound:
        return NotYet(Missing.WITNESS, patient[0].began + 2 * bound)
    return _to_proof(case, (patient[0], last), now, feed, witness=None, strength=Strength.WEAK)


def _to_proof(
    case: _Case,
    looks: tuple[Round, Round],
    now: datetime,
    feed: str,
    *,
    witness: Witness | None,
    strength: Strength,
) -> AbsenceProof:
    found = [look.find(case.attempt.request.desk, day) for look in looks for day in case.days]
    return AbsenceProof(
        attempt_key=case.attempt.key,
        days=case.days,
        since_mark=case.attempt.mark,
        snapshots=tuple(SnapshotSummary.of(snapshot) for snapshot in found if snapshot is not None),
        dead_since=case.dead_since,
        proven_at=now,
        boot_id=case.attempt.boot_id,
        witness=witness,
        strength=strength,
        feed=feed,
        acceptance_bound=case.timing.acceptance_bound,
        visibility_bound=case.timing.visibility_bound,
    )


def _find_witness(
    case: _Case, look: Round, day: date, now: datetime, own_dispatches: Mapping[tuple[date, str], float]
) -> Witness | None:
    snapshot = look.find(case.attempt.request.desk, day)
    skew = timedelta(seconds=case.timing.clock_skew)
    # The broker's stamps are whole seconds. One that is still to come is a reservation's, and tells nothing.
    oldest, newest = case.dead_at + skew + timedelta(seconds=1), now + skew
    for row in () if snapshot is None else snapshot.rows:
        sent = own_dispatches.get((row.day, row.broker_order_id))
        if sent is not None and sent >= case.dead_since:
            words = f"sent by us {sent - case.dead_since:.3f} s after the attempt was dead"
            return Witness(WitnessKind.OWN_ORDER, row.broker_order_id, words)
        if row.ordered_at is not None and oldest <= row.ordered_at <= newest:
            words = f"stamped {row.ordered_at.isoformat()}: after the attempt was dead, whatever the clocks say"
            kind = WitnessKind.FOREIGN_ORDER if sent is None else WitnessKind.OWN_ORDER
            return Witness(kind, row.broker_order_id, words)
    return None
