"""What a look must list, by when its silence says something, and what it says beside another day's ledger."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any, Final

import pytest

from kiwoom_async import Delivery, Timing
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder, Snapshot
from kiwoom_async._domain.settings import KST, Environment
from kiwoom_async._domain.vocabulary import Action, Desk, Route, Side
from kiwoom_async._execution.book_view import BookView
from kiwoom_async._journal.records import Claim
from tests.domain.test_matching import DAY, attempt

YESTERDAY, TODAY = date(2026, 11, 19), date(2026, 11, 20)


def row(day: date, number: int) -> LedgerOrder:
    """Give a row of somebody's order."""
    return LedgerOrder(
        day=day,
        desk=Desk.STOCK,
        broker_order_id=f"{number:07d}",
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=1,
        price=70_000,
        order_types=frozenset(),
        route=Route.KRX,
        original=None,
        ordered_at=None,
        channel="REST API",
        stop_price=None,
        filled_quantity=0,
        average_fill_price=None,
        leaves_quantity=1,
        confirmed_quantity=0,
    )


def look(day: date, since: int, *numbers: int) -> Snapshot:
    """Give a look at a day's ledger."""
    rows = tuple(row(day, number) for number in numbers)
    return Snapshot(Desk.STOCK, day, since, rows, 0.0, 1.0, is_final=day == YESTERDAY, queries=1)


def view(*snapshots: Snapshot, **changes: Any) -> BookView:
    """Give a view of these looks, taken today."""
    fields: dict[str, Any] = {
        "desk": Desk.STOCK,
        "snapshots": snapshots,
        "attempts": (),
        "watched": (),
        "claims": {},
        "channels": frozenset(),
        "owed": frozenset(),
        "ancestors": {},
        "timing": Timing(),
        "environment": Environment("http://127.0.0.1"),
        "boot_id": "boot",
        "is_exclusive": True,
        "looked_at": datetime.combine(TODAY, time(10), KST),
    }
    return BookView(**fields | changes)


MISSED: Final = look(TODAY, 0, 40, 60)


@pytest.mark.parametrize(
    ("snapshots", "number", "is_missing"),
    [
        pytest.param([MISSED], 50, True, id="missing"),
        pytest.param([MISSED], 40, False, id="listed"),
        pytest.param([MISSED], 70, False, id="newer than the look"),
        pytest.param([look(TODAY, 50, 60)], 50, False, id="before the look's beginning"),
        pytest.param([look(YESTERDAY, 0, 50, 90), MISSED], 50, True, id="another order had the number yesterday"),
        pytest.param([look(YESTERDAY, 80, 90), MISSED], 50, True, id="yesterday's look began later"),
        pytest.param([look(YESTERDAY, 0, 90), MISSED], 70, False, id="yesterday's numbers went further"),
        pytest.param([look(YESTERDAY, 0, 40, 60)], 50, False, id="only yesterday was looked at"),
    ],
)
def test_open_orders_are_held_against_todays_ledger_only(
    snapshots: list[Snapshot], number: int, *, is_missing: bool
) -> None:
    """Open orders are of today, and numbers begin anew every day: another day's ledger says nothing of them (A6)."""
    order = OpenOrder(Desk.STOCK, f"{number:07d}", "005930", Side.BUY, 1, 70_000, 1, 0, None)
    assert view(*snapshots).unlisted_open_orders([order]) == ((f"{number:07d}",) if is_missing else ())


TIMING: Final = Timing(acceptance_bound=10, visibility_bound=2)


@pytest.mark.parametrize(("looked", "is_void"), [(1031.9, False), (1032.1, True)])
def test_own_order_must_be_listed_within_the_bound_of_its_end(looked: float, *, is_void: bool) -> None:
    """A look that lacks it is void, also where the feed told of it a moment ago: only the alarm can wait."""
    known = attempt(state=Delivery.ACKNOWLEDGED, broker_order_id="0000101")
    claim = Claim("key-1", DAY, "0000101", "a", 1, None, 0, None, None)
    empty = Snapshot(Desk.STOCK, DAY, 0, (), began=looked, finished=looked + 0.1, is_final=False, queries=1)
    seen = view(empty, claims={(DAY, "0000101"): (claim, known)}, timing=TIMING)
    assert seen.unlisted_own_orders() == (((DAY, "0000101"),) if is_void else ())
