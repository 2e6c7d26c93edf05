"""What the feed has told of numbers that nobody of us has, in the form the matcher reasons about. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from attrs import evolve

from kiwoom_async._domain.feed_status import Continuity
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.midnight import may_be_near
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind, Snapshot
from kiwoom_async._domain.vocabulary import Desk

NO_FEED: Final = "no feed"
UNBROKEN: Final = "unbroken from before the send until the request was dead: no report of it"
BROKEN: Final = "not unbroken while the order could have been reported"


def terminal_channel(terminal: str) -> str:
    """Name the channel that a terminal text stands for.

    Never empty: a feed that does not tell the terminal tells nothing about who placed the order.
    """
    return f"terminal {terminal or 'not told'}"


def snapshots_of(desk: Desk, reports: Iterable[OrderReport]) -> tuple[Snapshot, ...]:
    """Give the reported numbers as if a ledger listed them, a row each, by day.

    Such a view is never complete, so it began before everything: no absence follows from it. A fill around midnight may
    be that of an order of the day before, whose number means another order on this one: only a ledger can tell.
    """
    first: dict[tuple[date, str], OrderReport] = {}
    there_by: dict[tuple[date, str], datetime] = {}
    for report in reports:
        place = report.day, report.broker_order_id
        if report.at is not None:
            there_by[place] = min(report.at, there_by.get(place, report.at))
        known = first.get(place)
        # The report of the acceptance is the one that tells when the order was placed.
        if known is None or (known.kind is not ReportKind.ACCEPTED and report.kind is ReportKind.ACCEPTED):
            first[place] = report
    never = float("-inf")
    return tuple(
        Snapshot(
            desk=desk,
            day=day,
            since=0,
            rows=tuple(
                evolve(_row(report), there_by=there_by.get(place))
                for place, report in first.items()
                if place[0] == day and _is_of_its_day(report)
            ),
            began=never,
            finished=never,
            is_final=False,
            queries=0,
        )
        for day in sorted({day for day, _ in first})
    )


def _is_of_its_day(report: OrderReport) -> bool:
    if report.kind is ReportKind.ACCEPTED:
        return True
    return report.at is None or not may_be_near((report.at,), report.day)


def _row(report: OrderReport) -> LedgerOrder:
    return LedgerOrder(
        day=report.day,
        desk=report.desk,
        broker_order_id=report.broker_order_id,
        action=report.action,
        symbol=report.symbol,
        side=report.side,
        quantity=report.quantity,
        price=report.price,
        order_types=report.order_types,
        route=report.route,
        stop_price=None,
        original=report.original,
        channel=terminal_channel(report.terminal),
        ordered_at=report.at if report.kind is ReportKind.ACCEPTED else None,
        filled_quantity=report.filled_quantity,
        average_fill_price=None,
        leaves_quantity=report.leaves_quantity,
        confirmed_quantity=0,
        is_credit=report.is_credit,
    )


def what_the_feed_certifies(attempt: Attempt, dead_since: float | None, feed: Continuity | None) -> str:
    """Say what the absence of a report is worth for an attempt."""
    if feed is None:
        return NO_FEED
    is_covered = dead_since is not None and feed.covers(attempt.boot_id, attempt.dispatched, dead_since)
    return UNBROKEN if is_covered else BROKEN
