"""A clock, a journal and a ledger that say what they are told to say, for tests of what is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

from attrs import define, evolve, field

from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.health import Breach, BreachKind, KeptBreach
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, Snapshot
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal.records import Claim, LedgerNews, ReportNews
from tests.domain.test_matching import CANCEL, DAY, NOON, attempt


@define
class Clock:
    """Both clocks of a process, at second 1000 of the one that never jumps at noon.

    Attributes:
        jumped: Seconds by which the wall clock was set forward since noon.
    """

    at: datetime = NOON
    jumped: float = 0.0
    boot_id: str = "boot"

    def now(self) -> datetime:
        """Read the wall clock."""
        return self.at

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return 1000.0 + (self.at - NOON).total_seconds() - self.jumped


def owned(number: int, **changes: Any) -> tuple[Claim, Attempt]:
    """Give an order of ours with its number."""
    made = evolve(attempt(state=Delivery.ACKNOWLEDGED, broker_order_id=f"{number:07d}"), **changes)
    return Claim("key-1", made.day, f"{number:07d}", made.client_order_id, 1, None, 0, None, None), made


def kept(kind: BreachKind, at: datetime = NOON) -> KeptBreach:
    """Make a finding of a monitor."""
    return KeptBreach(Breach(kind, "seen"), at, at, 1)


@define
class Shelf:
    """A journal.

    Attributes:
        asked: The questions that were put to it, and what was written.
        aims: By order number: what that order of ours was aimed at.
    """

    account: str = "key-1"
    open: list[Attempt] = field(factory=list)
    left: list[Attempt] = field(factory=list)
    absent: list[Attempt] = field(factory=list)
    claimed: list[tuple[Claim, Attempt]] = field(factory=list)
    found: list[KeptBreach] = field(factory=list)
    reports: list[OrderReport] = field(factory=list)
    aims: Mapping[str, str] = field(factory=dict)
    over: list[tuple[Desk, date]] = field(factory=list)
    working: list[Any] = field(factory=list)
    news: ReportNews = field(factory=ReportNews)
    asked: list[tuple[Any, ...]] = field(factory=list)

    async def open_attempts(self) -> list[Attempt]:
        """Give what is not decided."""
        return self.open

    async def left_unresolved(self) -> list[Attempt]:
        """Give what is left to a person."""
        return self.left

    async def absent_twins(self, since: date, like: set[str]) -> list[Attempt]:
        """Give the attempts proven absent of some fingerprints."""
        return [one for one in self.absent if one.day >= since and one.request.fingerprint in like]

    async def watched_attempts(self, since: date) -> list[Attempt]:
        """Give what may turn up."""
        return [one for one in (*self.left, *self.absent) if one.day >= since]

    async def findings(self) -> list[KeptBreach]:
        """Give what monitors found."""
        return self.found

    async def kept_reports(self, desk: Desk, since: date) -> tuple[OrderReport, ...]:
        """Give what the feed has told of nobody's numbers."""
        return tuple(one for one in self.reports if one.desk is desk and one.day >= since)

    async def channels(self, desk: Desk) -> frozenset[str]:
        """Give what our orders' channels are called."""
        return frozenset({f"ours in {desk.value}"})

    async def claims(self, desk: Desk, day: date, since: int) -> Mapping[str, tuple[Claim, Attempt]]:
        """Give our numbers after one."""
        return {
            claim.broker_order_id: (claim, owner)
            for claim, owner in self.claimed
            if owner.request.desk.ledger is desk and claim.day == day and int(claim.broker_order_id) > since
        }

    async def claim_of(self, _: Desk, day: date, number: str) -> Claim | None:
        """Give whose a number is."""
        return Claim("key-1", day, number, number, 1, None, 0, None, None) if number in self.aims else None

    async def find(self, client_order_id: str) -> Any:
        """Give what was asked for."""
        return SimpleNamespace(speaking=SimpleNamespace(request=evolve(CANCEL, original=self.aims[client_order_id])))

    async def days_to_close(self, today: date) -> list[tuple[Desk, date]]:
        """Give the days before today."""
        return [(desk, day) for desk, day in self.over if day < today]

    async def working_orders(self) -> list[Any]:
        """Give what is in the book."""
        return self.working

    async def note_ledger(self, news: LedgerNews) -> ReportNews:
        """Keep what a look taught."""
        self.asked.append(("ledger", news))
        return self.news

    async def note_executions(self, executed: tuple[ExecutedOrder, ...]) -> ReportNews:
        """Keep what was filled."""
        self.asked.append(("executions", executed))
        return ReportNews(events=1)

    async def note_reports(self, reports: list[OrderReport]) -> ReportNews:
        """Keep what was reported."""
        self.asked.append(("reports", reports))
        return self.news

    async def close_day(self, close: Any) -> ReportNews:
        """Close a day."""
        self.asked.append(("close", close))
        return ReportNews(touched=("closed",))


@define
class Ledger:
    """A reader of the broker's ledger.

    Attributes:
        rows: By day.
        final: The days that are over.
        failures: What the next looks raise.
        executed: What the second view shows, or raises.
        before_look: Happens after a question has left.
    """

    rows: dict[date, tuple[LedgerOrder, ...]] = field(factory=dict)
    final: set[date] = field(factory=set)
    failures: list[Exception] = field(factory=list)
    executed: tuple[ExecutedOrder, ...] | Exception = ()
    proven_clock_difference: float = 0.0
    before_look: Callable[[], None] = lambda: None
    asked: list[tuple[Desk, date, int]] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)

    async def fetch_snapshot(self, desk: Desk, day: date, since: int) -> Snapshot:
        """Look at a day."""
        self.asked.append((desk, day, since))
        self.before_look()
        if self.failures:
            raise self.failures.pop(0)
        rows = tuple(row for row in self.rows.get(day, ()) if row.number > since and row.desk is desk)
        return Snapshot(desk, day, since, rows, 9000.0, 9001.0, is_final=day in self.final, queries=1)

    async def fetch_executions(self, day: date) -> tuple[ExecutedOrder, ...]:
        """Look at the second view."""
        self.counts[f"executions of {day}"] += 1
        if isinstance(self.executed, Exception):
            raise self.executed
        return self.executed


@define
class Told:
    """Keeps what it is told."""

    news: list[ReportNews] = field(factory=list)

    def tell(self, news: ReportNews) -> None:
        """Keep it."""
        self.news.append(news)


@define
class Watch:
    """A monitor.

    Attributes:
        findings: What it finds at every look.
        late: The numbers it takes for overdue.
        marks: What no look has listed yet.
    """

    findings: tuple[Breach, ...] = ()
    late: tuple[str, ...] = ()
    marks: Mapping[Desk, int] = field(factory=dict)
    noted: list[Breach] = field(factory=list)
    calls: list[tuple[Any, ...]] = field(factory=list)

    async def looked(
        self, snapshot: Snapshot, claims: Mapping[str, tuple[Claim, Attempt]], channels: frozenset[str]
    ) -> tuple[Breach, ...]:
        """Learn from a look."""
        self.calls.append(("looked", snapshot.day, list(claims), set(channels)))
        return self.findings

    def missing(self, number: str, _: Snapshot) -> Breach:
        """Say that a number is missing."""
        return Breach(BreachKind.LEDGER_INCOMPLETE, f"{number} is missing")

    def overdue(self, *_: object) -> tuple[str, ...]:
        """List what is overdue."""
        return self.late

    def note(self, breach: Breach) -> None:
        """Keep a finding."""
        self.noted.append(breach)

    def unseen(self, today: date) -> Mapping[Desk, int]:
        """Give what no look has listed."""
        self.calls.append(("unseen", today))
        return self.marks

    def void(self) -> None:
        """Learn that a look failed."""
        self.calls.append(("void",))

    def reported(self, report: OrderReport, received_at: datetime) -> None:
        """Learn from a report."""
        self.calls.append(("reported", report.broker_order_id, received_at))

    def unreadable(self, reason: str, *, is_of_the_future: bool) -> None:
        """Learn that a report means nothing."""
        self.calls.append(("unreadable", reason, is_of_the_future))


__all__ = ["DAY", "NOON", "Clock", "Ledger", "Shelf", "Told", "Watch", "kept", "owned"]
