"""What the feed alone shows of orders that nobody of us has."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from kiwoom_async import Desk
from kiwoom_async._domain.reports import ReportKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._execution.feed_view import snapshots_of
from tests.journal.builders import DAY, fill, report

MIDNIGHT = datetime.combine(DAY, datetime.min.time(), KST)


def numbers(*reports: object) -> list[str]:
    """List the numbers that a view of these reports shows."""
    return [row.broker_order_id for view in snapshots_of(Desk.STOCK, reports) for row in view.rows]  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "is_shown"), [(1, False), (299, False), (301, True), (36_000, True)])
def test_fill_right_after_midnight_says_nothing_of_the_days_numbers(seconds: int, *, is_shown: bool) -> None:
    """It may be that of an order of the day before, whose number means another one today."""
    assert numbers(fill(1, 1, at=MIDNIGHT + timedelta(seconds=seconds))) == (["0000101"] if is_shown else [])


def test_acceptance_says_whose_day_a_number_is_of() -> None:
    """Its time is that of the order, by the broker's own clock."""
    accepted = report(ReportKind.ACCEPTED, at=MIDNIGHT + timedelta(seconds=1))
    assert numbers(accepted, fill(1, 1, at=MIDNIGHT + timedelta(seconds=2))) == ["0000101"]


def test_row_tells_by_when_its_order_was_there() -> None:
    """The first report that tells a time does, whatever it is about."""
    noon = MIDNIGHT + timedelta(hours=12)
    ((row,),) = (
        view.rows for view in snapshots_of(Desk.STOCK, (fill(2, 1, at=noon), fill(1, 1, at=noon - timedelta(1))))
    )
    assert (row.there_by, row.ordered_at) == (noon - timedelta(1), None)
