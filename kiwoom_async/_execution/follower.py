"""From what the feed reports to what the journal knows; and the looks at the ledger that close its gaps."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.health import Breach
from kiwoom_async._domain.midnight import date_report
from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._execution.settlements import Bell
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Doubt, LedgerNews, ReportNews
from kiwoom_async._wire.frames import ORDER_REPORTS, RealEntry, decode_report
from kiwoom_async.errors import QueryFailed, Refused, UnreadableReport

_LOG: Final = logging.getLogger("kiwoom_async")


class _NotYet(UnreadableReport):
    """It tells a time that has not come."""


class Follower:
    """Write down what happens to orders.

    Args:
        journal: Where it is written.
        reader: Looks at the ledger.
        events: Told when there is something to hear.
        bell: Rung when a look at the ledger is owed.
        on_unclaimed: Called when a report names a number that nobody has claimed: an unresolved order may be it.
        ambient: The clocks.
        monitor: Learns from what is reported.
    """

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        events: EventLog,
        bell: Bell,
        on_unclaimed: Callable[[], None],
        ambient: Ambient,
        monitor: Monitor,
    ) -> None:
        self._monitor = monitor
        self._journal = journal
        self._reader = reader
        self._events = events
        self._bell = bell
        self._on_unclaimed = on_unclaimed
        self._ambient = ambient
        self._may_have_missed = False
        self._doubts: dict[Doubt, None] = {}  # in the order in which they came up, whatever they hash to

    @property
    def owes_a_look(self) -> bool:
        """Tell whether something was reported that only the ledger can explain."""
        return self._may_have_missed or bool(self._doubts)

    def owe_a_look(self) -> None:
        """Note that something may have been missed."""
        self._may_have_missed = True
        self._bell.ring()

    async def take(self, entries: Sequence[RealEntry]) -> None:
        """Write down a batch of the feed.

        Raises:
            JournalError: It is not written; give the same batch again, repetition does no harm.
        """
        reports = self._decode(entries)
        if reports:
            self.spread(await self._journal.note_reports(reports))

    def _decode(self, entries: Sequence[RealEntry]) -> list[OrderReport]:
        reports = []
        for entry in entries:
            if entry.type != ORDER_REPORTS:
                continue
            try:
                reports.append(self._read(entry))
            except UnreadableReport as error:
                # It may be about an order of ours, and nothing may be counted that is not understood.
                self.owe_a_look()
                self._monitor.unreadable(error.text, is_of_the_future=isinstance(error, _NotYet))
                _LOG.error("a report of the feed cannot be read, so the ledger is asked: %s", error)
        return reports

    def _read(self, entry: RealEntry) -> OrderReport:
        received_at = entry.received_at or self._ambient.now()
        # It tells a time and no day, and numbers begin anew every day.
        report = date_report(decode_report(entry, korean_day(received_at)), received_at)
        if report is None:
            raise _NotYet("908", "says a time that has not come yet: it is not of today")
        self._monitor.reported(report, received_at)
        return report

    def spread(self, news: ReportNews) -> None:
        """Tell everybody whom it concerns what was written down."""
        today = korean_day(self._ambient.now())
        # Earlier days are settled by the close of their books.
        if doubts := {doubt: None for doubt in news.doubts if doubt.day == today}:
            self._doubts |= doubts
            self._bell.ring()
        for alarm in news.alarms:
            _LOG.error("%s", alarm)
        self._events.tell(news)
        if news.unclaimed:
            self._on_unclaimed()

    async def catch_up(self) -> bool:
        """Ask the ledger about every working order of today and about what is in doubt.

        Afterwards nothing is missed that the ledger has listed by then.

        Returns:
            Whether there was anything to ask about.

        Raises:
            QueryFailed: A look was not complete; what was missed is still missed.
            Refused: The broker did not let us look.
            JournalError: It could not be written down.
        """
        had_missed, self._may_have_missed = self._may_have_missed, False
        doubts, self._doubts = self._doubts, {}
        try:
            return await self._catch_up(doubts)
        except BaseException:
            self._may_have_missed = self._may_have_missed or had_missed
            self._doubts = doubts | self._doubts
            raise

    async def _catch_up(self, doubts: Iterable[Doubt]) -> bool:
        today = korean_day(self._ambient.now())
        wanted: dict[tuple[Desk, date], list[str]] = defaultdict(list)
        for order in await self._journal.working_orders():
            if order.day == today:
                wanted[order.desk.ledger, order.day].append(order.broker_order_id)
        for doubt in (doubt for doubt in doubts if doubt.day == today):
            wanted[doubt.desk, doubt.day].append(doubt.broker_order_id)
        for (desk, day), numbers in wanted.items():
            await self._look(desk, day, min(map(int, numbers)) - 1)
        if (Desk.STOCK, today) in wanted:
            await self._look_at_executions(today)
        return bool(wanted)

    async def _look_at_executions(self, day: date) -> None:
        """Ask the second view: a fill may be in one of them and not in the other yet.

        The ledger lists fills as well, so where this view does not answer (it is said to be empty on some mock
        accounts), nothing is missed for good.
        """
        try:
            executed = await self._reader.fetch_executions(day)
        except (QueryFailed, Refused) as error:
            _LOG.info("the executions cannot be read, and the ledger is relied on alone: %s", error)
            return
        self.spread(await self._journal.note_executions(executed))

    async def audit(self) -> tuple[Breach, ...]:
        """Look once at today's orders that no look has listed yet, for the monitors; give what is wrong.

        Raises:
            JournalError: It could not be written down.
        """
        today = korean_day(self._ambient.now())
        found: list[Breach] = []
        for desk, mark in self._monitor.unseen(today).items():
            try:
                found += await self._look(desk, today, mark)
            except (QueryFailed, Refused) as error:
                self._monitor.void()
                _LOG.info("a look at the %s ledger for the monitors failed: %s", desk.value, error)
        return tuple(found)

    async def _look(self, desk: Desk, day: date, since: int) -> tuple[Breach, ...]:
        snapshot = await self._reader.fetch_snapshot(desk, day, since)
        own = await self._journal.claims(desk, day, snapshot.since)
        found = await self._monitor.looked(snapshot, own, await self._journal.channels(desk))
        overdue = [self._monitor.missing(number, snapshot) for number in self._monitor.overdue(snapshot, own)[:1]]
        for breach in overdue:
            self._monitor.note(breach)
        news = LedgerNews(
            account=self._journal.account,
            desk=desk,
            day=day,
            own=tuple(row for row in snapshot.rows if row.broker_order_id in own),
            foreign=(),
            highest=max((row.number for row in snapshot.rows), default=0),
            is_final=snapshot.is_final,
            changes=snapshot.changes,
        )
        self.spread(await self._journal.note_ledger(news))
        return (*found, *overdue)
