"""What a look must list, by when its silence says something, and what it says beside another day's ledger."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async import Delivery, Timing
from kiwoom_async._domain.absence import Round
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
        pytest.param([look(TODAY, 0)], 1, False, id="nothing is listed yet"),
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
        report(day=DAY, number=number, at=NOON, symbol=symbol)
        for number, symbol in [
            ("0000150", "005930"),
            ("0000151", "000660"),
            ("0000152", "005930"),
            ("0000153", "005930"),
        ]
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


def bound(seen: BookView) -> dict[str, str]:
    """Give what a view binds."""
    return {key: row.broker_order_id for key, row in seen.match_open().bindings.items()}


def test_claimed_row_is_nobody_elses() -> None:
    """By its day and number: yesterday's claim on the same number, or today's on another, leaves it free."""
    free = view(of_day(ledger_row(150)), attempts=(attempt(),))
    assert bound(free) == {"a#1": "0000150"}
    (place, owner), (other, _) = owned(150), owned(151)
    assert bound(evolve(free, claims={place: owner})) == {}
    assert bound(evolve(free, claims={other: owner, (YESTERDAY, "0000150"): owner})) == {"a#1": "0000150"}
    assert evolve(free, claims={place: owner}).own_rows == (ledger_row(150),)


def test_attempt_left_to_a_person_competes_and_is_told_nothing() -> None:
    """A row that may be its order is not claimed for a twin; a row for each is, for the one that is open."""
    left = attempt(client_order_id="b", state=Delivery.UNRESOLVED_AT_CLOSE)
    seen = view(of_day(ledger_row(150), began=9999.0), attempts=(attempt(),), left=(left,))
    assert bound(seen) == {}
    assert list(seen.match_open().candidates) == ["a#1"]
    assert "b#1" not in seen.match_open().absent


def test_late_order_is_found_whenever_it_comes() -> None:
    """What was proven absent has no end of its window any more."""
    late = ledger_row(150, ordered_at=NOON + timedelta(hours=2))
    seen = view(of_day(late, began=9999.0), watched=(attempt(state=Delivery.NOT_ACCEPTED),))
    assert list(seen.match_watched([late]).bindings) == ["a#1"]


def test_channels_of_the_journal_and_of_the_look_both_count() -> None:
    """A text that our own orders have shown tells them from others', wherever it was learnt."""
    ours, theirs = ledger_row(150, channel="ours"), ledger_row(151, channel="theirs")
    place, owner = owned(149, resolved_by=ResolvedBy.RESPONSE)
    learnt = view(of_day(ledger_row(149, channel="ours"), ours, theirs), attempts=(attempt(),), claims={place: owner})
    known = view(of_day(ours, theirs), attempts=(attempt(),), channels=frozenset({"ours"}))
    for seen in (learnt, known):
        assert bound(seen) == {"a#1": "0000150"}
        rival = attempt(client_order_id="b", state=Delivery.NOT_ACCEPTED)
        doubting = evolve(seen, rivals=(rival,))
        assert doubting.rivals_for(ours) == (rival,)
        by_hand = ledger_row(152, channel="영웅문4")
        assert doubting.rivals_for(by_hand) == ()
        assert evolve(doubting, channels=frozenset({"영웅문4"})).rivals_for(by_hand) == (rival,)


@pytest.mark.parametrize(("first", "second"), [(2000.0, 9999.0), (9999.0, 2000.0)])
def test_attempt_may_be_hidden_from_the_earliest_look(first: float, second: float) -> None:
    """Of several days the look that was taken first decides: by then the order may not have been listed."""
    patient = Timing(acceptance_bound=5000)
    seen = view(of_day(began=first), of_day(began=second), attempts=(attempt(),), timing=patient)
    assert seen.match_open().absent == frozenset()
    assert evolve(seen, timing=Timing()).match_open().absent == {"a#1"}


@pytest.mark.parametrize("is_final", [True, False])
def test_order_that_may_be_listed_on_the_next_day_is_hidden_until_that_is_over(*, is_final: bool) -> None:
    """Only a ledger that was read after the day's end settles it."""
    hours = Environment("http://127.0.0.1", opens_at=time(8), closes_at=time(20))
    tomorrow = DAY + timedelta(days=1)
    evening = NOON + timedelta(hours=9)
    sent = attempt(dispatched_at=evening, ended_at=evening + timedelta(seconds=30))
    later = Snapshot(Desk.STOCK, tomorrow, 0, (), 9999.0, 10_000.0, is_final=is_final, queries=1)
    seen = view(of_day(began=9999.0), later, attempts=(sent,), environment=hours)
    assert (seen.is_final(DAY), seen.is_final(tomorrow)) == (False, is_final)
    assert seen.match_open().absent == ({"a#1"} if is_final else set())


def test_day_is_final_by_its_own_look() -> None:
    """Another day's end says nothing, and a day that was not looked at is not final."""
    seen = view(look(YESTERDAY, 0, 1), look(TODAY, 0, 1))
    assert (seen.is_final(YESTERDAY), seen.is_final(TODAY), seen.is_final(DAY)) == (True, False, False)
    assert evolve(seen, looked_at=None).today == TODAY


def test_cancel_that_is_owed_makes_twins_two() -> None:
    """Which of two twins has which number matters to the cancel of one of them, so neither is named."""
    twins = (attempt(), attempt(client_order_id="b"))
    seen = view(of_day(ledger_row(150), ledger_row(151)), attempts=twins)
    assert bound(seen) == {"a#1": "0000150", "b#1": "0000151"}
    assert bound(evolve(seen, owed=frozenset({"b"}))) == {}


@pytest.mark.parametrize(("late_since", "is_bound"), [(1000.0, True), (999.0, False), (None, False)])
def test_order_in_flight_is_claimed_once_its_answer_is_late(late_since: float | None, *, is_bound: bool) -> None:
    """Until then its own answer names it."""
    flying = attempt(state=Delivery.DISPATCHED, ended=None, ended_at=None)
    seen = view(of_day(ledger_row(150)), attempts=(flying,), late_since=late_since)
    assert bound(seen) == ({"a#1": "0000150"} if is_bound else {})


def test_rival_is_never_told_to_be_there() -> None:
    """It only keeps the row from being another's."""
    rival = attempt(client_order_id="b", state=Delivery.NOT_ACCEPTED)
    seen = view(of_day(ledger_row(150), ledger_row(151)), rivals=(rival,), is_bound_broken=True)
    matching = seen.match_open()
    assert (dict(matching.bindings), dict(matching.candidates), matching.absent) == ({}, {}, frozenset())


def test_look_remembers_what_it_has_seen() -> None:
    """The snapshots in the clock of their boot, and the numbers that an attempt may be."""
    seen = view(MISSED)
    assert seen.look([ledger_row(150)]) == Round("boot", (MISSED,), ("0000150",))
    assert seen.look() == Round("boot", (MISSED,))


def test_number_that_a_person_has_given_voids_no_look() -> None:
    """It may be wrong: that it is not listed is said, and the look counts."""
    (told, by_hand), (place, answered) = owned(101, resolved_by=ResolvedBy.OPERATOR), owned(102)
    seen = view(of_day(began=5000.0), claims={told: by_hand, place: answered}, timing=TIMING)
    assert seen.unlisted_verdicts() == (("a", "0000101"),)
    assert seen.unlisted_own_orders() == (place,)
    listed = evolve(seen, snapshots=(of_day(ledger_row(101), ledger_row(102), began=5000.0),))
    assert (listed.unlisted_verdicts(), listed.unlisted_own_orders()) == ((), ())


def test_final_ledger_is_not_behind_the_feed() -> None:
    """What it does not list is not going to be listed."""
    final = evolve(of_day(ledger_row(102)), is_final=True)
    said = report(day=DAY, at=NOON)
    seen = view(final, reported=(said,), looked_at=NOON + timedelta(hours=1), timing=TIMING)
    assert seen.unlisted_reports() == ()


def test_what_is_bound_is_no_candidate_by_a_report() -> None:
    """The ledger's own row decides; another report of a like order makes no doubt of it."""
    seen = view(of_day(ledger_row(150)), attempts=(attempt(),), reported=(report(day=DAY, number="0000151", at=NOON),))
    assert bound(seen) == {"a#1": "0000150"}
    assert dict(seen.match_open().candidates) == {}
