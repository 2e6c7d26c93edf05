"""What a look must list, by when its silence says something, and what it says beside another day's ledger."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async import Delivery, Timing
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder, ReportKind, Snapshot
from kiwoom_async._domain.settings import KST, Environment
from kiwoom_async._domain.vocabulary import Action, Desk, ResolvedBy, Route, Side
from kiwoom_async._execution.book_view import BookView, is_answer_late
from kiwoom_async._journal.records import Claim
from tests.domain.test_matching import CANCEL, DAY, MODIFY, NOON, attempt
from tests.domain.test_matching import row as ledger_row
from tests.journal.builders import report

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


# ---------------------------------------------------------------------- what our own orders teach


def owned(number: int, **changes: Any) -> tuple[tuple[date, str], tuple[Claim, Attempt]]:
    """Give an order of ours with its number."""
    known = attempt(state=Delivery.ACKNOWLEDGED, broker_order_id=f"{number:07d}", **changes)
    return (DAY, f"{number:07d}"), (Claim("key-1", DAY, f"{number:07d}", "a", 1, None, 0, None, None), known)


def of_day(*rows: LedgerOrder, since: int = 0, began: float = 2000.0) -> Snapshot:
    """Give a look at the day of these orders, long after they were sent."""
    return Snapshot(Desk.STOCK, DAY, since, rows, began, began + 1, is_final=False, queries=1)


def test_only_an_answer_teaches_how_our_orders_look() -> None:
    """A match may rest on the very text; an empty text says nothing, and another boot's clock tells no time."""
    ours = dict(
        [
            owned(101, resolved_by=ResolvedBy.RESPONSE),
            owned(102, resolved_by=ResolvedBy.LEDGER),
            owned(103, resolved_by=ResolvedBy.OPERATOR),
            owned(104, resolved_by=ResolvedBy.RESPONSE, boot_id="before"),
            owned(105, resolved_by=ResolvedBy.EVENT),
        ]
    )
    channels = {101: "ours", 102: "matched", 103: "told", 104: "", 105: "reported", 106: "theirs"}
    seen = view(of_day(*(ledger_row(number, channel=text) for number, text in channels.items())), claims=ours)
    assert seen.own_channels == {"ours"}
    assert seen.own_dispatches == {(DAY, "0000101"): 1000.0}


# ---------------------------------------------------------------------- what a look must list


@pytest.mark.parametrize(
    ("since", "began", "changes", "is_missing"),
    [
        pytest.param(100, 1032.1, {}, True, id="missing"),
        pytest.param(101, 1032.1, {}, False, id="the look begins after it"),
        pytest.param(100, 1032.0, {}, False, id="within the bound"),
        pytest.param(100, 1032.1, {"ended": None}, False, id="its send has not ended"),
        pytest.param(100, 1032.1, {"boot_id": "before"}, False, id="by another clock"),
        pytest.param(100, 1032.1, {"request": CANCEL}, False, id="a cancel"),
        pytest.param(100, 1032.1, {"state": Delivery.REFUSED}, False, id="refused"),
    ],
)
def test_own_order_that_a_look_must_list(
    since: int, began: float, changes: dict[str, Any], *, is_missing: bool
) -> None:
    """Whatever a fresh and complete look would not have to show voids none."""
    place, (claim, known) = owned(101, resolved_by=ResolvedBy.RESPONSE)
    seen = view(of_day(since=since, began=began), claims={place: (claim, evolve(known, **changes))}, timing=TIMING)
    assert seen.unlisted_own_orders() == ((place,) if is_missing else ())


def test_own_order_of_another_day_is_not_missing_on_this_one() -> None:
    """Numbers begin anew every day."""
    place, owner = owned(101, resolved_by=ResolvedBy.RESPONSE)
    other = Snapshot(Desk.STOCK, TODAY, 0, (), 2000.0, 2001.0, is_final=False, queries=1)
    assert view(other, claims={place: owner}, timing=TIMING).unlisted_own_orders() == ()


LATEST: Final = NOON + timedelta(seconds=100) - timedelta(seconds=TIMING.visibility_bound + TIMING.clock_skew + 1)
"""By the broker's clock, whatever was reported before must be listed by a look that begins 100 s after noon."""


@pytest.mark.parametrize(
    ("told", "since", "is_missing"),
    [
        pytest.param({"at": LATEST - timedelta(seconds=1)}, 100, True, id="missing"),
        pytest.param({"at": LATEST}, 100, False, id="within the bound"),
        pytest.param({"at": None}, 100, False, id="at no time that was told"),
        pytest.param({"at": LATEST - timedelta(seconds=1)}, 101, False, id="the look begins after it"),
        pytest.param({"at": LATEST - timedelta(seconds=1), "action": Action.CANCEL}, 100, False, id="a cancel"),
        pytest.param({"at": LATEST - timedelta(seconds=1), "kind": ReportKind.FILLED}, 100, False, id="a fill"),
        pytest.param({"at": LATEST - timedelta(seconds=1), "day": TODAY}, 100, False, id="of another day"),
        pytest.param({"at": LATEST - timedelta(seconds=1), "broker_order_id": "0000102"}, 100, False, id="listed"),
        pytest.param({"at": LATEST - timedelta(seconds=1), "broker_order_id": "0000103"}, 100, False, id="ours"),
    ],
)
def test_reported_order_that_a_look_must_list(told: dict[str, Any], since: int, *, is_missing: bool) -> None:
    """The feed has told of its acceptance for longer than the ledger may take to list it (A7)."""
    said = evolve(report(day=DAY), **told)
    seen = view(
        of_day(ledger_row(102), since=since),
        claims=dict([owned(103)]),
        reported=(said,),
        looked_at=NOON + timedelta(seconds=100),
        timing=TIMING,
    )
    assert seen.unlisted_reports() == (("0000101",) if is_missing else ())
    assert evolve(seen, looked_at=None).unlisted_reports() == ()


# ---------------------------------------------------------------------- who may be what


@pytest.mark.parametrize(
    ("changes", "late_since", "is_late"),
    [
        ({"state": Delivery.DISPATCHED}, 1000.0, True),
        ({"state": Delivery.DISPATCHED}, 999.9, False),
        ({"state": Delivery.DISPATCHED}, None, False),
        ({"state": Delivery.DISPATCHED, "boot_id": "before"}, 1000.0, False),
        ({"state": Delivery.UNKNOWN}, 1000.0, False),
    ],
)
def test_answer_that_is_late(changes: dict[str, Any], late_since: float | None, *, is_late: bool) -> None:
    """In flight, sent before that moment, by the same clock."""
    assert is_answer_late(attempt(**changes), "boot", late_since) is is_late


def test_order_that_only_the_feed_tells_of_is_a_candidate() -> None:
    """Unless it is listed, is somebody's, or cannot be it; and for those alone whose outcome is open."""
    reported = tuple(
        report(day=DAY, number=number, at=NOON, **changes)
        for number, changes in {
            "0000150": {},
            "0000151": {"symbol": "000660"},
            "0000152": {},
            "0000153": {},
        }.items()
    )
    seen = view(
        of_day(ledger_row(152, quantity=99)),
        attempts=(attempt(), attempt(client_order_id="b", state=Delivery.DISPATCHED)),
        claims=dict([owned(153)]),
        reported=reported,
    )
    matching = seen.match_open()
    assert {key: [row.broker_order_id for row in rows] for key, rows in matching.candidates.items()} == {
        "a#1": ["0000150"]
    }
    assert "a#1" not in matching.absent
    assert "a#1" in evolve(seen, reported=()).match_open().absent


def test_attempt_proven_absent_competes_once_the_bound_is_broken() -> None:
    """Until then the row is claimed for the unresolved one; after that it may be either's, at whatever time it came."""
    late = ledger_row(150, ordered_at=NOON + timedelta(hours=2))
    rival = attempt(client_order_id="b", state=Delivery.NOT_ACCEPTED)
    seen = view(of_day(ledger_row(150), began=9999.0), attempts=(attempt(),), rivals=(rival,))
    assert list(seen.match_open().bindings) == ["a#1"]
    assert list(evolve(seen, is_bound_broken=True).match_open().bindings) == []
    assert seen.rivals_for(late) == (rival,)


def test_modify_is_found_under_an_earlier_number_of_its_original() -> None:
    """The ledger may name any number of the chain."""
    modify = attempt(request=evolve(MODIFY, original="0000060"))
    named = ledger_row(150, action=Action.MODIFY, original="0000050", price=70_500)
    seen = view(of_day(named, began=9999.0), attempts=(modify,), ancestors={"a#1": frozenset({"0000050"})})
    assert [row.broker_order_id for row in seen.match_open().candidates.get("a#1", ())] == ["0000150"]
    assert evolve(seen, ancestors={}).match_open().candidates.get("a#1", ()) == ()
