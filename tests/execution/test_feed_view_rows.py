"""How a row that only the feed tells of reads, and what the feed's silence is worth."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from kiwoom_async import Desk
from kiwoom_async._domain.feed_status import Continuity
from kiwoom_async._domain.reports import OrderReport, ReportKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._execution.feed_view import (
    BROKEN,
    NO_FEED,
    UNBROKEN,
    snapshots_of,
    terminal_channel,
    what_the_feed_certifies,
)
from tests.domain.test_matching import attempt
from tests.journal.builders import DAY, NOON, fill, report

TOMORROW = DAY + timedelta(days=1)
MIDNIGHT = datetime.combine(DAY, datetime.min.time(), KST)
LATER = NOON + timedelta(seconds=9)


@pytest.mark.parametrize(
    ("reports", "ordered_at"),
    [
        pytest.param([report(at=NOON)], NOON, id="the acceptance"),
        pytest.param([fill(1, 1), report(at=NOON)], NOON, id="the acceptance after a fill"),
        pytest.param([report(at=NOON), fill(1, 1)], NOON, id="the acceptance before a fill"),
        pytest.param([report(at=NOON), report(at=LATER)], NOON, id="the first acceptance"),
        pytest.param([fill(1, 1), fill(2, 1)], None, id="no acceptance"),
        pytest.param([report(at=None)], None, id="an acceptance without a time"),
    ],
)
def test_acceptance_tells_when_an_order_was_placed(reports: list[OrderReport], ordered_at: datetime | None) -> None:
    """Whatever came before or after it; a fill tells when it was filled, and nothing else."""
    ((row,),) = (view.rows for view in snapshots_of(Desk.STOCK, reports))
    assert row.ordered_at == ordered_at


def test_first_report_of_a_fill_stands_for_its_order() -> None:
    """Until the acceptance is reported."""
    ((row,),) = (view.rows for view in snapshots_of(Desk.STOCK, [fill(1, 1), fill(3, 2)]))
    assert row.filled_quantity == 1


def test_no_absence_follows_from_what_the_feed_tells() -> None:
    """It is never complete: it began before everything, has asked nobody, and ends no day."""
    (view,) = snapshots_of(Desk.STOCK, [report()])
    assert (view.since, view.is_final, view.queries) == (0, False, 0)
    assert view.began == view.finished == float("-inf")


def test_each_day_has_its_own_numbers() -> None:
    """The same number means another order on another day."""
    first, second = report(quantity=3), report(day=TOMORROW, at=NOON + timedelta(days=1), quantity=5)
    views = snapshots_of(Desk.STOCK, [second, first])
    assert [(view.day, [row.quantity for row in view.rows]) for view in views] == [(DAY, [3]), (TOMORROW, [5])]


@pytest.mark.parametrize(
    ("changes", "is_shown"), [({"at": None}, True), ({"at": MIDNIGHT + timedelta(seconds=1)}, False)]
)
def test_fill_without_a_time_is_of_the_day_on_which_it_came(changes: dict[str, Any], *, is_shown: bool) -> None:
    """Only a time near midnight can be that of the other day."""
    (view,) = snapshots_of(Desk.STOCK, [fill(1, 1, **changes)])
    assert len(view.rows) == is_shown


@pytest.mark.parametrize("is_credit", [True, False, None])
def test_row_tells_what_its_report_does(is_credit: bool | None) -> None:
    """Credit or cash, and the terminal; nothing was taken by a modify or cancel that it could tell of."""
    ((row,),) = (view.rows for view in snapshots_of(Desk.STOCK, [report(is_credit=is_credit)]))
    assert (row.is_credit, row.channel, row.confirmed_quantity) == (is_credit, "terminal 6801005", 0)


def test_terminal_that_is_not_told_is_no_empty_channel() -> None:
    """An empty text would read as that of an order which tells nothing to compare."""
    assert terminal_channel("") == "terminal not told"
    assert report(ReportKind.ACCEPTED).terminal in terminal_channel(report().terminal)


@pytest.mark.parametrize(
    ("dead_since", "feed", "worth"),
    [
        pytest.param(1040.0, None, NO_FEED, id="no feed"),
        pytest.param(1040.0, Continuity("boot", 1000.0, 1040.0), UNBROKEN, id="unbroken"),
        pytest.param(1040.0, Continuity("boot", 1000.1, 1040.0), BROKEN, id="begun after the send"),
        pytest.param(1040.0, Continuity("boot", 1000.0, 1039.9), BROKEN, id="not heard until it was dead"),
        pytest.param(1040.0, Continuity("other", 1000.0, 1040.0), BROKEN, id="by another clock"),
        pytest.param(None, Continuity("boot", 1000.0, 1040.0), BROKEN, id="not dead"),
    ],
)
def test_silence_of_the_feed_is_worth_what_it_covers(
    dead_since: float | None, feed: Continuity | None, worth: str
) -> None:
    """From before the send until the request was dead."""
    assert what_the_feed_certifies(attempt(), dead_since, feed) == worth
