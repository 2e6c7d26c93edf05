"""Closing the books of a day: every row of its ledger is ours or declared foreign, every order settled or listed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from attrs import evolve

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.relations import ChannelKnowledge, Claimant, Relation, relation
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, ResolvedBy
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import LedgerNews
from kiwoom_async.errors import QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")

OLDEST: Final = timedelta(days=7)
"""Days that ended longer ago are closed without their ledger. Source: our choice; nobody has measured how far back the
ledger goes on every environment."""

LONGEST_PAUSE: Final = 3600.0
"""Seconds between two tries to close a day whose ledger cannot be read. Source: our choice."""


class DayCloser:
    """Close the days that are over, once each."""

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        events: EventLog,
        ambient: Ambient,
        environment: Environment,
        timing: Timing,
        monitor: Monitor,
    ) -> None:
        self._monitor = monitor
        self._journal = journal
        self._reader = reader
        self._events = events
        self._ambient = ambient
        self._environment = environment
        self._timing = timing
        self._next_try: dict[tuple[Desk, date], float] = {}
        self._pause: dict[tuple[Desk, date], float] = {}

    async def due(self, attempts: Iterable[Attempt]) -> tuple[tuple[Desk, date], ...]:
        """List the ledger days that are over, not closed, and wait for no open attempt."""
        now = self._ambient.now()
        # By then both clocks agree that the day is over (A11).
        today = korean_day(now - timedelta(seconds=self._timing.clock_skew))
        days = await self._journal.days_to_close(today)
        open_days = {
            (attempt.request.desk.ledger, day)
            for attempt in self._dated(attempts)
            for day in attempt.days(self._timing, self._environment)
        }
        tick = self._ambient.monotonic()
        return tuple(
            (desk, day)
            for desk, day in days
            if (desk, day) not in open_days and self._next_try.get((desk, day), tick) <= tick
        )

    async def close_all(self, attempts: Iterable[Attempt]) -> list[DayClose]:
        """Close the books of every day that is due."""
        closed = [await self.close(desk, day) for desk, day in await self.due(attempts)]
        return [close for close in closed if close is not None]

    async def close(self, desk: Desk, day: date) -> DayClose | None:
        """Close the books of one ledger day; None where that has to wait.

        What is left in the book has expired. What nobody of us has, and no order unresolved or proven absent can be, is
        foreign.
        """
        place = desk, day
        try:
            is_in_reach = day >= korean_day(self._ambient.now()) - OLDEST
            done = await (self._close(desk, day) if is_in_reach else self._close_unread(desk, day))
        except (QueryFailed, Refused) as error:
            _LOG.info("the books of %s cannot be closed yet: %s", day, error)
            done = None
        if done is None:
            pause = self._pause[place] = min(LONGEST_PAUSE, 2 * self._pause.get(place, self._timing.watch_interval / 2))
            self._next_try[place] = self._ambient.monotonic() + pause
            return None
        self._next_try.pop(place, None)
        self._pause.pop(place, None)
        _LOG.info("the books of %s are closed: %s", day, done)
        return done

    async def _close(self, desk: Desk, day: date) -> DayClose | None:
        snapshot = await self._reader.fetch_snapshot(desk, day, 0)
        if not snapshot.is_final:
            return None
        claims = await self._journal.claims(desk, day, 0)
        await self._monitor.looked(snapshot, claims, await self._journal.channels(desk))
        listed = {row.broker_order_id for row in snapshot.rows}
        missing = {
            number: attempt
            for number, (_, attempt) in claims.items()
            # A cancel has nothing in the book, and not every ledger lists it.
            if number not in listed and attempt.request.action is not Action.CANCEL
        }
        for number, attempt in missing.items():
            # A person may have been wrong about a number; the broker is not about one that it has told us.
            if attempt.resolved_by is not ResolvedBy.OPERATOR:
                self._monitor.note(self._monitor.missing(number, snapshot))
                raise QueryFailed("ledger", f"the final ledger of {day} does not list our order {number}")
        attempts = [
            attempt
            # Unresolved at the close, or proven absent: both may be among the rows that nobody has.
            for attempt in self._dated(await self._journal.watched_attempts(day - timedelta(days=1) - SHOWS_UP_WITHIN))
            if attempt.request.desk.ledger is desk and day in attempt.days(self._timing, self._environment)
        ]
        strangers = [row for row in snapshot.rows if row.broker_order_id not in claims]
        residue = frozenset(row.broker_order_id for row in strangers if self._may_be_one_of(row, attempts, snapshot))
        foreign = tuple(row for row in strangers if row.broker_order_id not in residue)
        news = await self._journal.note_ledger(
            LedgerNews(
                account=self._journal.account,
                desk=desk,
                day=day,
                own=tuple(row for row in snapshot.rows if row.broker_order_id in claims),
                foreign=foreign,
                highest=max((row.number for row in snapshot.rows), default=0),
                is_final=True,
                changes=snapshot.changes,
            )
        )
        for alarm in news.alarms:
            _LOG.error("%s", alarm)
        self._events.tell(news)
        close = _sum_up(
            desk, day, self._ambient.now(), snapshot, [attempt for _, attempt in claims.values()], attempts, residue
        )
        return await self._write(evolve(close, unlisted=_ids(missing.values())))

    async def _close_unread(self, desk: Desk, day: date) -> DayClose:
        """Close a day that ended too long ago to be read: what is not settled by now has expired all the same."""
        working = {order.client_order_id for order in await self._journal.working_orders() if order.day == day}
        claims = await self._journal.claims(desk, day, 0)
        left = [attempt for _, attempt in claims.values() if attempt.client_order_id in working]
        return await self._write(DayClose(desk=desk, day=day, closed_at=self._ambient.now(), unlisted=_ids(left)))

    async def _write(self, close: DayClose) -> DayClose:
        if close.unlisted:
            _LOG.error(
                "the ledger of %s does not say what became of %s: look at Kiwoom's own screen",
                close.day,
                ", ".join(close.unlisted),
            )
        self._events.tell(await self._journal.close_day(close))
        return close

    def _dated(self, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
        """See attempts by this clock and by their sender's, where one of them was set."""
        now, monotonic, boot_id = self._ambient.now(), self._ambient.monotonic(), self._ambient.boot_id
        return tuple(attempt.dated_by(now, monotonic, boot_id) for attempt in attempts)

    def _may_be_one_of(self, row: LedgerOrder, attempts: Sequence[Attempt], snapshot: Snapshot) -> bool:
        return any(
            relation(
                Claimant.of(
                    attempt,
                    timing=self._timing,
                    environment=self._environment,
                    boot_id=self._ambient.boot_id,
                    looked=snapshot.began,
                ),
                row,
                ChannelKnowledge(),
            )
            is not Relation.NONE
            for attempt in attempts
        )


def _ids(attempts: Iterable[Attempt]) -> tuple[str, ...]:
    return tuple(sorted(attempt.client_order_id for attempt in attempts))


def _sum_up(
    desk: Desk,
    day: date,
    closed_at: datetime,
    snapshot: Snapshot,
    claimed: Sequence[Attempt],
    watched: Sequence[Attempt],
    residue: frozenset[str],
) -> DayClose:
    by = Counter(attempt.resolved_by.value for attempt in claimed if attempt.resolved_by is not None)
    states = Counter(attempt.state for attempt in claimed)
    own = {attempt.broker_order_id for attempt in claimed}
    return DayClose(
        day=day,
        desk=desk,
        closed_at=closed_at,
        rows=len(snapshot.rows),
        own=sum(row.broker_order_id in own for row in snapshot.rows),
        foreign=sum(row.broker_order_id not in own | residue for row in snapshot.rows),
        residue=tuple(sorted(residue)),
        unresolved=tuple(
            sorted(attempt.client_order_id for attempt in watched if attempt.state is Delivery.UNRESOLVED_AT_CLOSE)
        ),
        resolved_by=dict(sorted(by.items())),
        revived=states[Delivery.REVIVED],
        duplicates=states[Delivery.DUPLICATE],
    )
