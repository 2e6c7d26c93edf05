"""One desk's book and our side of it at the same moment: what a pass of the reconciler reasons about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from kiwoom_async._domain.absence import Round
from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.matching import Matching, match
from kiwoom_async._domain.relations import ChannelKnowledge, Claimant, Relation, relation
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder, OrderReport, ReportKind, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import IN_FLIGHT, ON_THE_BOOK, UNRESOLVED
from kiwoom_async._domain.vocabulary import Action, Desk, ResolvedBy
from kiwoom_async._execution.feed_view import snapshots_of
from kiwoom_async._journal.records import Claim

_DIRECT: Final = frozenset({ResolvedBy.RESPONSE})
"""Evidence that names the number itself. A number that the feed reported was found by matching, as the ledger's are."""


def is_answer_late(attempt: Attempt, boot_id: str, late_since: float | None) -> bool:
    """Tell whether an attempt in flight was sent before a moment of this boot's clock."""
    return (
        late_since is not None
        and attempt.state in IN_FLIGHT
        and attempt.boot_id == boot_id
        and attempt.dispatched <= late_since
    )


@frozen
class BookView:
    """Snapshots of one ledger, and what the journal knew after the last of them was taken.

    The order matters: whatever a snapshot lists was dispatched before, so the journal read afterwards knows of it.

    Attributes:
        attempts: Every unresolved attempt and every one in flight.
        watched: Attempts proven absent, which may still prove us wrong.
        claims: (day, number) of our orders, with their attempts.
        owed: Client order ids that a durable cancel waits for: which of two twins is on the book matters to it.
        ancestors: Attempt key to the earlier numbers of the chain it modifies or cancels.
        reported: What the feed has reported of numbers that nobody of us has. One that the ledger does not list, and
            that may be an attempt's, is a candidate of it: no absence is concluded beside it.
        looked_at: On the wall clock, before the first snapshot.
        rivals: Attempts proven absent whose like is unresolved: a row may be the late order of one of them.
        left: Attempts that the close of a day has left to a person. Their orders may be among the rows still, when a
            process died between closing two twins.
        is_bound_broken: An order has turned up today after it was proven absent, so a rival is as good an owner of a
            row as any other, and nothing is claimed beside it.
        late_since: Attempts in flight that were sent before this moment of the monotonic clock are not left to their
            answer any more. Only a view of the feed has one: its rows name numbers as directly as answers do.
    """

    desk: Desk
    snapshots: tuple[Snapshot, ...]
    attempts: tuple[Attempt, ...]
    watched: tuple[Attempt, ...]
    claims: Mapping[tuple[date, str], tuple[Claim, Attempt]]
    channels: frozenset[str]
    owed: frozenset[str]
    ancestors: Mapping[str, frozenset[str]]
    timing: Timing
    environment: Environment
    boot_id: str
    is_exclusive: bool
    reported: tuple[OrderReport, ...] = ()
    looked_at: datetime | None = None
    rivals: tuple[Attempt, ...] = ()
    left: tuple[Attempt, ...] = ()
    is_bound_broken: bool = False
    late_since: float | None = None

    @property
    def rows(self) -> tuple[LedgerOrder, ...]:
        """Give every row of every snapshot."""
        return tuple(row for snapshot in self.snapshots for row in snapshot.rows)

    def is_final(self, day: date) -> bool:
        """Tell whether a day was over when its ledger was read."""
        return any(snapshot.is_final for snapshot in self.snapshots if snapshot.day == day)

    @property
    def own_rows(self) -> tuple[LedgerOrder, ...]:
        """Give the rows of orders that are claimed."""
        return tuple(row for row in self.rows if (row.day, row.broker_order_id) in self.claims)

    @property
    def unclaimed_rows(self) -> tuple[LedgerOrder, ...]:
        """Give the rows nobody of us has."""
        return tuple(row for row in self.rows if (row.day, row.broker_order_id) not in self.claims)

    def match_open(self) -> Matching:
        """Match the unresolved attempts, with those in flight as competitors, against the unclaimed rows."""
        matching = self._match(
            [
                *map(self._claimant, self.attempts),
                *map(self._left_one, self.left),
                *(map(self._rival, self.rivals) if self.is_bound_broken else ()),
            ],
            self.unclaimed_rows,
        )
        reported = {key: rows for key, rows in self._reported_candidates().items() if key not in matching.bindings}
        candidates = {
            key: (*matching.candidates.get(key, ()), *reported.get(key, ()))
            for key in {**matching.candidates, **reported}
        }
        return evolve(matching, candidates=candidates, absent=matching.absent - reported.keys())

    def _reported_candidates(self) -> Mapping[str, tuple[LedgerOrder, ...]]:
        """Give the orders that only the feed tells of, by the unresolved attempts that they may be."""
        listed = {(row.day, row.broker_order_id) for row in self.rows}
        only_reported = [
            row
            for snapshot in snapshots_of(self.desk, self.reported)
            for row in snapshot.rows
            if (row.day, row.broker_order_id) not in {*listed, *self.claims}
        ]
        found = {}
        for attempt in self.attempts if only_reported else ():
            if attempt.state not in UNRESOLVED:
                continue
            claimant = self._claimant(attempt)
            # Nothing is learnt about terminals here: whoever placed it, it may be this attempt.
            rows = tuple(
                row for row in only_reported if relation(claimant, row, ChannelKnowledge()) is not Relation.NONE
            )
            if rows:
                found[attempt.key] = rows
        return found

    def match_watched(self, rows: Iterable[LedgerOrder]) -> Matching:
        """Match the attempts proven absent against rows that are nobody's.

        Their windows have no end: what turns up after a proof of absence has broken the bound that would end them.
        """
        return self._match((evolve(self._claimant(attempt), latest=None) for attempt in self.watched), rows)

    def _match(self, claimants: Iterable[Claimant], rows: Iterable[LedgerOrder]) -> Matching:
        return match(
            claimants,
            rows,
            is_exclusive=self.is_exclusive,
            channels=ChannelKnowledge(self.channels | self.own_channels),
        )

    def _claimant(self, attempt: Attempt) -> Claimant:
        claimant = Claimant.of(
            attempt,
            timing=self.timing,
            environment=self.environment,
            boot_id=self.boot_id,
            looked=min(snapshot.began for snapshot in self.snapshots),
            final_days=[snapshot.day for snapshot in self.snapshots if snapshot.is_final],
            obligation="a cancel is owed" if attempt.client_order_id in self.owed else "",
            ancestors=self.ancestors.get(attempt.key, frozenset()),
        )
        # It stays interchangeable with nothing, since its own answer may still name its number.
        return (
            evolve(claimant, is_claimable=True) if is_answer_late(attempt, self.boot_id, self.late_since) else claimant
        )

    def _rival(self, attempt: Attempt) -> Claimant:
        """See an attempt proven absent as one that may be accepted at any time: it competes, and is told nothing."""
        return evolve(
            self._claimant(attempt), latest=None, is_claimable=False, obligation=f"proven absent: {attempt.key}"
        )

    def _left_one(self, attempt: Attempt) -> Claimant:
        """See an attempt that is left to a person: it competes, and nothing is concluded of it."""
        return evolve(self._claimant(attempt), is_claimable=False, obligation=f"left to a person: {attempt.key}")

    def rivals_for(self, row: LedgerOrder) -> tuple[Attempt, ...]:
        """List the attempts proven absent whose late order a row would be if a bound were broken (A4)."""
        return tuple(
            attempt
            for attempt in self.rivals
            if relation(self._rival(attempt), row, ChannelKnowledge(self.channels | self.own_channels))
            is not Relation.NONE
        )

    def look(self, candidates: Iterable[LedgerOrder] = ()) -> Round:
        """Give this view as a complete look on behalf of one attempt."""
        return Round(self.boot_id, self.snapshots, tuple(row.broker_order_id for row in candidates))

    @property
    def own_channels(self) -> frozenset[str]:
        """Give the channel texts of our orders whose number came by an answer.

        A number found by matching teaches nothing: the match may have rested on the text.
        """
        return frozenset(
            row.channel
            for row in self.own_rows
            if self.claims[row.day, row.broker_order_id][1].resolved_by in _DIRECT and row.channel
        )

    @property
    def own_dispatches(self) -> Mapping[tuple[date, str], float]:
        """Give when our acknowledged orders were sent, for those whose number came by an answer."""
        return {
            place: attempt.dispatched
            for place, (_, attempt) in self.claims.items()
            if attempt.boot_id == self.boot_id and attempt.resolved_by in _DIRECT
        }

    def unlisted_own_orders(self) -> tuple[tuple[date, str], ...]:
        """List our acknowledged orders that a fresh and complete ledger would show and this one does not (A5, A7).

        A number that a person has given is none: it may be wrong, and would void every look of its day.
        """
        return tuple(
            place for place, attempt in self._unlisted_orders() if attempt.resolved_by is not ResolvedBy.OPERATOR
        )

    def unlisted_verdicts(self) -> tuple[tuple[str, str], ...]:
        """List the orders, with their numbers, that a person has settled by a number that the ledger does not list."""
        return tuple(
            (attempt.client_order_id, number)
            for (_, number), attempt in self._unlisted_orders()
            if attempt.resolved_by is ResolvedBy.OPERATOR
        )

    def _unlisted_orders(self) -> Iterator[tuple[tuple[date, str], Attempt]]:
        listed = {(row.day, row.broker_order_id) for row in self.rows}
        for snapshot in self.snapshots:
            yield from (
                (place, attempt)
                for place, (claim, attempt) in self.claims.items()
                if place not in listed
                and claim.day == snapshot.day
                and int(claim.broker_order_id) > snapshot.since
                and attempt.request.action is Action.NEW
                and attempt.state in ON_THE_BOOK
                and attempt.boot_id == self.boot_id
                and attempt.ended is not None
                and attempt.ended + self.timing.visibility_bound < snapshot.began
            )

    def unlisted_reports(self) -> tuple[str, ...]:
        """List orders that the feed has told of and a fresh, complete ledger would show, but this one does not (A7)."""
        if self.looked_at is None:
            return ()
        listed = {(row.day, row.broker_order_id) for row in self.rows}
        # What a final ledger does not list is not going to be listed, and so tells nothing about how fresh it is.
        since = {snapshot.day: snapshot.since for snapshot in self.snapshots if not snapshot.is_final}
        latest = self.looked_at - timedelta(seconds=self.timing.visibility_bound + self.timing.clock_skew + 1)
        return tuple(
            report.broker_order_id
            for report in self.reported
            if report.day in since
            and report.kind is ReportKind.ACCEPTED
            and report.action is Action.NEW
            and report.at is not None
            and report.at < latest
            and int(report.broker_order_id) > since[report.day]
            and (report.day, report.broker_order_id) not in {*listed, *self.claims}
        )

    @property
    def today(self) -> date:
        """Give the day of the look: that of its clock, or of its newest ledger."""
        if self.looked_at is not None:
            return korean_day(self.looked_at)
        return max(snapshot.day for snapshot in self.snapshots)

    def unlisted_open_orders(self, open_orders: Iterable[OpenOrder]) -> tuple[str, ...]:
        """List open orders that today's ledger should show and does not (A6).

        Open orders are of today, and numbers begin anew every day: another day's ledger says nothing about them. An
        order newer than everything in the ledger was accepted after the snapshot and proves nothing.
        """
        snapshot = next((snapshot for snapshot in self.snapshots if snapshot.day == self.today), None)
        if snapshot is None:
            return ()
        listed = {row.number for row in snapshot.rows}
        highest = max(listed, default=0)
        return tuple(
            order.broker_order_id
            for order in open_orders
            if snapshot.since < int(order.broker_order_id) <= highest and int(order.broker_order_id) not in listed
        )
