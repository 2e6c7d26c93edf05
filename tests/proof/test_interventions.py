"""What is done to a whole account: a finding for each thing that must not happen, and none where all is well."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve

from kiwoom_async._audit import Answer, Ask, BookEntry, Terms, Verdict
from kiwoom_async._domain.cancellations import CancelOutcome, CancelReport, CancelResult
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._proof import day as planning
from kiwoom_async._proof.additions import Additions
from kiwoom_async._proof.campaign import Ground, ground
from kiwoom_async._proof.day import Day, Happening, plan_day, seed_of
from kiwoom_async._proof.interventions import (
    Hold,
    Swept,
    find_departures,
    find_excess,
    find_unswept,
    find_wet,
    swept_history,
)
from kiwoom_async._proof.network import Departure
from kiwoom_async._proof.testimony import number_of

BUY = Terms("stock", "new", "005930", "buy", 10, 70_000, "KRX")
ORDER = BookEntry("0000001", BUY, "a", is_working=True, day="2026-03-03", accepted_at=5.0)
UNSEEN = evolve(ORDER, broker_order_id="0000002", client_order_id="b")
CANCEL = Terms("stock", "cancel", "005930", route="KRX", original="0000001")


@pytest.fixture
def place() -> Iterator[Ground]:
    """Give a place for days."""
    with ground() as made:
        yield made


@pytest.mark.parametrize(
    ("at", "api_id", "is_found"),
    [
        (9.9, "kt10000", False),
        (10.1, "kt10000", True),
        (10.1, "kt10002", True),
        (10.1, "kt10006", True),
        (10.1, "kt10003", False),
        (10.1, "kt10009", False),
        (10.1, "kt50003", False),
        (12.0, "kt10000", False),
        (20.5, "kt10000", True),
    ],
)
def test_only_cancels_leave_while_orders_are_held(at: float, api_id: str, *, is_found: bool) -> None:
    """New orders and modifies of every desk are held, from the answer to `engage` until somebody releases it."""
    holds = [Hold(10.0, 12.0), Hold(20.0)]
    assert bool(list(find_departures([Departure(at, "A1", api_id, "a")], holds))) is is_found


def test_more_orders_than_the_limit_are_found() -> None:
    """New ones of ours count, by the day; cancels and other people's do not."""
    others = [evolve(ORDER, is_foreign=True), evolve(ORDER, terms=CANCEL), evolve(ORDER, day="2026-03-04")]
    assert list(find_excess([ORDER, UNSEEN, *others], 2)) == []
    assert list(find_excess([ORDER, UNSEEN, *others], 1)) == ["limit: 2 new orders on 2026-03-03, 1 are allowed"]


def test_what_leaves_a_dry_run_is_found() -> None:
    """Whatever it is."""
    departures = [Departure(1.0, "A1", "kt10000", "a"), Departure(2.0, "dry run", "kt10003", "b")]
    assert list(find_wet(departures, "dry run")) == ["dry b: it left at 2.000 s"]


def result(outcome: CancelOutcome, name: str | None, number: str | None) -> CancelResult:
    """Make what became of one order."""
    return CancelResult(outcome, Desk.STOCK, "005930", None, name, number)


def unswept(*results: CancelResult, book: tuple[BookEntry, ...] = (ORDER,), asks: tuple[Ask, ...] = ()) -> list[str]:
    """Judge a report that was asked for after a second and told after ten, when all of the book could trade."""
    working = {number_of(entry): entry.accepted_at for entry in book if entry.accepted_at is not None}
    return list(find_unswept(Swept(6.0, 10.0, CancelReport(results), working), book, asks))


def test_an_order_that_is_told_to_be_gone_and_is_not_is_found() -> None:
    """By its number, and by its id where the number was not known yet."""
    assert len(unswept(result(CancelOutcome.CANCELED, "a", "0000001"))) == 1
    assert len(unswept(result(CancelOutcome.FINISHED, "a", None))) == 1
    assert unswept(result(CancelOutcome.UNKNOWN, "a", None)) == []
    assert unswept(result(CancelOutcome.FAILED, "a", "0000001")) == []


def test_an_order_that_was_asked_for_again_meanwhile_was_placed_meanwhile() -> None:
    """It had come to nothing when it was told so."""
    told, again = result(CancelOutcome.FINISHED, "a", None), Ask("a", BUY, asked_at=7.0)
    placed = (evolve(ORDER, accepted_at=8.0),)
    assert unswept(told, book=placed, asks=(again,)) == []
    assert len(unswept(told, book=placed, asks=(evolve(again, asked_at=5.0),))) == 1, "before it was swept"
    assert len(unswept(told, book=placed, asks=(evolve(again, asked_at=9.0),))) == 1, "after it was accepted"
    assert len(unswept(told, book=placed, asks=(evolve(again, client_order_id="b"),))) == 1


def test_an_order_that_the_report_does_not_tell_of_is_found() -> None:
    """Whatever was in the book before it was asked for; what came later was not seen."""
    told = result(CancelOutcome.UNKNOWN, "a", None)
    assert len(unswept(told, book=(ORDER, UNSEEN))) == 1
    assert unswept(told, book=(ORDER, evolve(UNSEEN, accepted_at=7.0))) == []


def test_cancels_that_came_to_nothing_are_not_asked_for() -> None:
    """What the death of the asker left without a send needs no answer; what may have left needs one."""
    asks = [Ask("cancel-all-1:a#1", CANCEL), Ask("cancel-all-1:b#1", CANCEL), Ask("mine", BUY)]
    told = [Answer("mine", Verdict.ACCEPTED, "0000001")]
    assert swept_history(asks, told, []) == ([], [])
    found, _ = swept_history(asks, told, ["cancel-all-1:b#1", "mine"])
    assert found == asks[1:2]


def test_what_is_added_changes_no_other_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of its own: without the additions every day is what it is, in all else."""
    days = [plan_day(seed_of(1, number)) for number in range(60)]
    monkeypatch.setattr(planning, "draw_additions", lambda *_: Additions())
    plain = [plan_day(day.seed) for day in days]
    added = {Happening.LEDGER_AWAY, Happening.FEED_BIG}
    assert any(day != bare for day, bare in zip(days, plain, strict=True))
    for day, bare in zip(days, plain, strict=True):
        assert day.chains[: len(bare.chains)] == bare.chains
        assert [event for event in day.events if event.happening not in added] == list(bare.events)
        drawn = ("chains", "machines", "events", "halt", "orders_per_day", "rehearsal", "order_faults")
        assert evolve(day, **{name: getattr(bare, name) for name in drawn}) == bare
        if day.chains == bare.chains and not day.has_sweep:
            assert day.machines == bare.machines


def happened(place: Ground, number: int, what: str) -> list[str]:
    """List what happened in a day, of one kind."""
    result = place.run(1, number, keeps_timeline=True)
    assert result.violations == ()
    return [text for _, _, kind, text in result.timeline.entries if kind == what]


def days(may_show: Callable[[Day], object]) -> Iterator[int]:
    """Number the days of a campaign that have something."""
    return (number for number in range(400) if may_show(plan_day(seed_of(1, number))))


def test_the_kill_switch_is_moved(place: Ground) -> None:
    """Not on paper alone: it is engaged, released as often and once more in the morning, and holds orders."""
    halted = days(lambda day: day.halt is not None and day.halt.death is None and day.reboot_at is None)
    number = next(halted)
    assert len(happened(place, number, "halts")) == len(happened(place, number, "resumes")) - 1 > 0
    assert any("the kill switch" in text for number in halted for text in happened(place, number, "told"))


@pytest.mark.parametrize(
    ("may_show", "kind", "text"),
    [
        (lambda day: day.has_sweep, "swept", " canceled"),
        (lambda day: any(new.desk is Desk.CREDIT for new, *_ in day.chains), "arrived", "kt10006"),
        (lambda day: day.rehearsal is not None, "told", "accepted in a dry run"),
        (lambda day: day.orders_per_day is not None, "told", "LimitExceeded"),
        (lambda day: any(one.happening is Happening.FEED_BIG for one in day.events), "log", "(WebSocketError)"),
    ],
    ids=["everything_canceled", "on_credit", "dry_run", "limit", "big_frame"],
)
def test_additions_take_place(place: Ground, may_show: Callable[[Day], object], kind: str, text: str) -> None:
    """What some days have besides shows in one of them."""
    assert any(text in told for number in days(may_show) for told in happened(place, number, kind))
