"""From what the feed reports to what the journal knows; and the looks at the ledger that close its gaps."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import LedgerNews, ReportNews
from kiwoom_async._wire.frames import ORDER_REPORTS, RealEntry, decode_report
from kiwoom_async.errors import UnreadableReport

_LOG: Final = logging.getLogger("kiwoom_async")


class Follower:
    """Write down what happens to orders.

    Args:
        journal: Where it is written.
        reader: Looks at the ledger.
        events: Told when there is something to hear.
        on_unclaimed: Called when a report names a number that nobody has claimed: an unresolved order may be it.
        ambient: The clocks.
    """

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        events: EventLog,
        on_unclaimed: Callable[[], None],
        ambient: Ambient,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._events = events
        self._on_unclaimed = on_unclaimed
        self._ambient = ambient
        self._owes_a_look = False

    @property
    def owes_a_look(self) -> bool:
        """Tell whether something was reported that only the ledger can explain."""
        return self._owes_a_look

    def owe_a_look(self) -> None:
        """Note that something may have been missed."""
        self._owes_a_look = True

    async def take(self, entries: Sequence[RealEntry]) -> None:
        """Write down a batch of the feed.

        Raises:
            JournalError: It is not written; give the same batch again, repetition does no harm.
        """
        reports = self._decode(entries)
        if reports:
            self._spread(await self._journal.note_reports(reports))

    def _decode(self, entries: Sequence[RealEntry]) -> list[OrderReport]:
        reports = []
        day = korean_day(self._ambient.now())
        for entry in entries:
            if entry.type != ORDER_REPORTS:
                continue
            try:
                reports.append(decode_report(entry, day))
            except UnreadableReport as error:
                # It may be about an order of ours, and nothing may be counted that is not understood.
                self.owe_a_look()
                _LOG.error("a report of the feed cannot be read, so the ledger is asked: %s", error)
        return reports

    def _spread(self, news: ReportNews) -> None:
        self._owes_a_look = self._owes_a_look or news.wants_look
        for alarm in news.alarms:
            _LOG.error("%s", alarm)
        if news.events:
            self._events.ring()
        if news.unclaimed:
            self._on_unclaimed()

    async def catch_up(self) -> None:
        """Ask the ledger about every working order of today: afterwards nothing before this call is missed.

        Raises:
            QueryFailed: A look was not complete; what was missed is still missed.
            Refused: The broker did not let us look.
            JournalError: It could not be written down.
        """
        self._owes_a_look = False
        try:
            await self._catch_up()
        except BaseException:
            self.owe_a_look()
            raise

    async def _catch_up(self) -> None:
        today = korean_day(self._ambient.now())
        working: dict[Desk, list[str]] = defaultdict(list)
        for order in await self._journal.working_orders():
            if order.day == today:
                working[order.desk].append(order.broker_order_id)
        for desk, numbers in working.items():
            await self._look(desk, today, numbers)
        if working.get(Desk.STOCK):
            # The second view: a fill may be in one of them and not in the other yet.
            self._spread(await self._journal.note_executions(await self._reader.fetch_executions(today)))

    async def _look(self, desk: Desk, day: date, numbers: Sequence[str]) -> None:
        snapshot = await self._reader.fetch_snapshot(desk, day, min(map(int, numbers)) - 1)
        own = await self._journal.claims(desk, day, snapshot.since)
        news = LedgerNews(
            account=self._journal.account,
            desk=desk,
            day=day,
            own=tuple(row for row in snapshot.rows if row.broker_order_id in own),
            foreign=(),
            highest=max((row.number for row in snapshot.rows), default=0),
            is_final=snapshot.is_final,
        )
        self._spread(await self._journal.note_ledger(news))
