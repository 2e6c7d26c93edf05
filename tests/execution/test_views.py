"""Which ledgers a view of the book asks, and what of the journal's knowledge it is put beside."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, cast

import pytest
from attrs import evolve

from kiwoom_async import Delivery, Timing
from kiwoom_async._domain.health import BreachKind, KeptBreach
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.reports import Snapshot
from kiwoom_async._domain.settings import KST, Environment, Reliance
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.book_view import BookView
from kiwoom_async._execution.doubts import Doubts
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._execution.originals import Originals
from kiwoom_async._execution.views import Rules, Views
from kiwoom_async._journal.journal import Journal
from tests.domain.test_matching import BUY, CANCEL, attempt
from tests.execution.stand_ins import DAY, NOON, Clock, Ledger, Shelf, kept, owned
from tests.journal.builders import report

YESTERDAY, TOMORROW = DAY - timedelta(days=1), DAY + timedelta(days=1)
MIDNIGHT = datetime.combine(TOMORROW, datetime.min.time(), KST)
ENVIRONMENT = Environment("http://127.0.0.1")
WIDE = Reliance.of(Timing(clock_skew=60), is_exclusive=True)
GOLD = evolve(BUY, desk=Desk.GOLD, symbol="M04020000", route=None)


def views(shelf: Shelf | None = None, ledger: Ledger | None = None, clock: Clock | None = None) -> Views:
    """Take views of this ledger and this journal by this clock."""
    journal, reader = cast("Journal", shelf or Shelf()), cast("LedgerReader", ledger or Ledger())
    doubts = Doubts(journal, cast("Monitor", None))
    return Views(
        journal,
        reader,
        Originals(journal, reader),
        doubts,
        cast("Any", clock or Clock(NOON + timedelta(minutes=5))),
        Rules(Timing(), ENVIRONMENT, is_exclusive=True),
    )


async def beside(shelf: Shelf, *days: date, desk: Desk = Desk.STOCK, clock: Clock | None = None) -> BookView:
    """Put a journal beside looks at some days that were taken before."""
    looks = [Snapshot(desk, day, 0, (), 9000.0, 9001.0, is_final=False, queries=1) for day in days or (DAY,)]
    return await views(shelf, clock=clock).make(desk, looks, frozenset({"learnt"}))


def names(attempts: tuple[Attempt, ...]) -> list[str]:
    """Give the client order ids."""
    return [one.client_order_id for one in attempts]


# ---------------------------------------------------------------------- by which clocks and bounds


@pytest.mark.parametrize(("proven", "skew"), [(0.0, 5.0), (5.0, 5.0), (7.0, 12.0)])
def test_bound_on_the_clocks_allows_for_what_is_proven(proven: float, skew: float) -> None:
    """Beyond the bound it holds only on top of what the broker's answers have proven (A11)."""
    assert views(ledger=Ledger(proven_clock_difference=proven)).timing == Timing(clock_skew=skew)


@pytest.mark.parametrize(("proven", "days"), [(0.0, (TOMORROW,)), (7.0, (DAY, TOMORROW))])
def test_days_of_an_order_reach_as_far_as_the_clocks_may_differ(proven: float, days: tuple[date, ...]) -> None:
    """Eight seconds after midnight is another day by a clock that is twelve seconds behind."""
    sent = attempt(
        day=TOMORROW, dispatched_at=MIDNIGHT + timedelta(seconds=8), ended_at=MIDNIGHT + timedelta(minutes=1)
    )
    assert views(ledger=Ledger(proven_clock_difference=proven)).days_of(sent) == days


async def test_attempts_are_seen_by_both_clocks_and_without_marks_that_prove_nothing() -> None:
    """The wall clock was set, the clocks are proven to differ, and numbers were seen to fall (A8, A11)."""
    sent = attempt(relied_on=Reliance.of(Timing(), is_exclusive=True))
    clock = Clock(NOON + timedelta(minutes=5), jumped=100.0)
    plain = views(ledger=Ledger(proven_clock_difference=7.0), clock=clock)
    (seen,) = await plain.as_seen_now([sent])
    assert (seen.dispatched_at, seen.ended_at) == (NOON, NOON + timedelta(seconds=130))
    assert seen.relied_on == Reliance.of(Timing(clock_skew=12), is_exclusive=True)
    assert seen.mark == 100
    fallen = views(Shelf(found=[kept(BreachKind.NUMBER_FELL)]))
    assert [one.mark for one in await fallen.as_seen_now([sent])] == [0]


# ---------------------------------------------------------------------- which ledgers are asked


USUAL = attempt()
LATE = attempt(boot_id="before", dispatched_at=MIDNIGHT - timedelta(seconds=3), ended_at=MIDNIGHT, ended=1003.0)
EARLY = attempt(
    boot_id="before", day=TOMORROW, dispatched_at=MIDNIGHT + timedelta(minutes=1), mark=7, ended=None, ended_at=None
)


@pytest.mark.parametrize(
    ("wanted", "watched", "now", "asked"),
    [
        pytest.param([USUAL], [], NOON, {DAY: 100}, id="after the mark"),
        pytest.param([USUAL, evolve(USUAL, mark=50), evolve(USUAL, mark=70)], [], NOON, {DAY: 50}, id="the lowest"),
        pytest.param([USUAL], [evolve(USUAL, mark=50)], NOON, {DAY: 50}, id="of a watched one as well"),
        pytest.param([], [evolve(USUAL, mark=50)], NOON, {DAY: 50}, id="of a watched one alone"),
        pytest.param([LATE], [], MIDNIGHT - timedelta(seconds=1), {DAY: 100}, id="not before a day begins"),
        pytest.param([LATE], [], MIDNIGHT, {DAY: 100, TOMORROW: 0}, id="a mark is of its day"),
        pytest.param([EARLY], [], MIDNIGHT + timedelta(minutes=2), {TOMORROW: 7}, id="after the mark of the day"),
        pytest.param([LATE, EARLY], [], MIDNIGHT + timedelta(minutes=2), {DAY: 100, TOMORROW: 0}, id="the older one"),
    ],
)
async def test_every_ledger_is_asked_that_may_list_an_order(
    wanted: list[Attempt], watched: list[Attempt], now: datetime, asked: dict[date, int]
) -> None:
    """Of all days that have begun, oldest first, each from the lowest mark of those whose order it may list."""
    ledger = Ledger()
    seen = await views(ledger=ledger, clock=Clock(now)).take(Desk.STOCK, wanted, watched)
    assert ledger.asked == [(Desk.STOCK, day, since) for day, since in asked.items()]
    assert [snapshot.day for snapshot in seen.snapshots] == list(asked)
    assert seen.looked_at == now


@pytest.mark.parametrize(
    ("seconds", "is_wanted_wide", "is_watched_wide", "is_over", "is_final"),
    [
        pytest.param(120, False, False, True, True, id="over for everybody"),
        pytest.param(120, False, False, False, False, id="not over for the reader"),
        pytest.param(4, False, False, True, False, id="not over by the other clock"),
        pytest.param(6, False, False, True, True, id="over by both clocks"),
        pytest.param(30, True, False, True, False, id="not over by the bound of a sender"),
        pytest.param(30, False, True, True, False, id="not over by the bound of one that is watched"),
        pytest.param(-120, False, False, True, False, id="not begun to be over"),
    ],
)
async def test_day_is_over_when_it_is_by_everybodys_bounds(
    seconds: int, *, is_wanted_wide: bool, is_watched_wide: bool, is_over: bool, is_final: bool
) -> None:
    """A look that is called final too early would settle orders that the other clock can still accept (A11)."""
    wanted = attempt(relied_on=WIDE if is_wanted_wide else None)
    watched = attempt(client_order_id="b", relied_on=WIDE if is_watched_wide else None)
    ledger = Ledger(final={DAY} if is_over else set())
    clock = Clock(MIDNIGHT + timedelta(seconds=seconds))
    assert (await views(ledger=ledger, clock=clock).take(Desk.STOCK, [wanted], [watched])).is_final(DAY) is is_final


async def test_view_holds_what_the_feed_has_told_and_what_is_watched() -> None:
    """From the first day on which one of them can have been reported, by the broker's clock."""
    old = report(day=YESTERDAY - timedelta(days=1), number="0000149")
    told = [report(day=YESTERDAY, number="0000150"), report(day=DAY, number="0000151")]
    first = attempt(boot_id="before", dispatched_at=MIDNIGHT - timedelta(days=1, minutes=-1))
    shelf = Shelf(reports=[old, *told])
    for wanted, watched in (([first], [attempt()]), ([attempt()], [first])):
        seen = await views(shelf, Ledger()).take(Desk.STOCK, wanted, watched)
        assert list(seen.reported) == told
        assert list(seen.watched) == list(watched)
        assert seen.channels == {"ours in stock"}


# ---------------------------------------------------------------------- what the journal knows


async def test_numbers_of_ours_are_those_of_their_day() -> None:
    """The same number means another order on another day."""
    today, before = owned(101), owned(101, client_order_id="b", day=YESTERDAY)
    seen = await beside(Shelf(claimed=[today, before, owned(102, day=TOMORROW)]), YESTERDAY, DAY)
    assert seen.claims == {(DAY, "0000101"): today, (YESTERDAY, "0000101"): before}
    assert seen.channels == {"learnt"}


async def test_what_has_not_been_sent_competes_for_nothing() -> None:
    """A cancel that waits for the number of its order is owed to that order; whatever was sent is owed nothing."""
    waiting = evolve(CANCEL, original=None, target="a")
    shelf = Shelf(
        open=[
            attempt(),
            attempt(client_order_id="b", state=Delivery.PREPARED, request=waiting),
            attempt(client_order_id="c", state=Delivery.PREPARED),
            attempt(client_order_id="d", request=evolve(CANCEL, target="e")),
        ]
    )
    seen = await beside(shelf)
    assert names(seen.attempts) == ["a", "d"]
    assert seen.owed == {"a"}


@pytest.mark.parametrize(("desk", "expected"), [(Desk.STOCK, ["a", "c"]), (Desk.GOLD, ["g"])])
async def test_order_stands_in_one_ledger(desk: Desk, expected: list[str]) -> None:
    """Gold has its own; orders on credit stand among the stocks."""
    gold, credit = attempt(client_order_id="g", request=GOLD), evolve(BUY, desk=Desk.CREDIT)
    shelf = Shelf(open=[attempt(), attempt(client_order_id="c", request=credit), gold])
    shelf.left = [evolve(one, client_order_id=f"left {one.client_order_id}") for one in shelf.open]
    seen = await beside(shelf, desk=desk)
    assert names(seen.attempts) == expected
    assert names(seen.left) == [f"left {name}" for name in expected]
    assert seen.desk is desk


async def test_chains_are_known_of_all_who_compete() -> None:
    """The ledger may name any number of the chain, for an open one and for one that is left to a person."""
    first = attempt(request=evolve(CANCEL, original="0000050", original_day=DAY))
    second = evolve(first, client_order_id="b", state=Delivery.UNRESOLVED_AT_CLOSE)
    second = evolve(second, request=evolve(second.request, original="0000060"))
    seen = await beside(Shelf(open=[first], left=[second], aims={"0000050": "0000040", "0000060": "0000041"}))
    assert seen.ancestors == {"a#1": {"0000040"}, "b#1": {"0000041"}}


@pytest.mark.parametrize(
    ("others", "left", "expected"),
    [
        pytest.param([attempt()], [{}], ["b"], id="left on the day of the look"),
        pytest.param([], [{}], [], id="nobody to compete with"),
        pytest.param(
            [attempt()], [{"day": YESTERDAY, "dispatched_at": NOON - timedelta(days=1)}], [], id="another day"
        ),
        pytest.param([attempt(client_order_id="b")], [{}], [], id="closed while the journal was read"),
    ],
)
async def test_what_is_left_to_a_person_competes(
    others: list[Attempt], left: list[dict[str, Any]], expected: list[str]
) -> None:
    """Where its order may be among the rows; and once, where it is among the open ones too."""
    usual = {"client_order_id": "b", "boot_id": "before", "ended": None, "ended_at": None}
    shelf = Shelf(open=others, left=[attempt(**usual | changes) for changes in left])
    assert names((await beside(shelf)).left) == expected


# ---------------------------------------------------------------------- what was proven absent


FIRST = DAY - timedelta(days=1) - SHOWS_UP_WITHIN


@pytest.mark.parametrize(
    ("changes", "is_rival"),
    [
        ({}, True),
        ({"request": evolve(BUY, quantity=9)}, False),
        ({"day": FIRST, "dispatched_at": NOON - timedelta(days=1) - SHOWS_UP_WITHIN}, True),
        ({"day": FIRST - timedelta(days=1), "dispatched_at": NOON - timedelta(days=2) - SHOWS_UP_WITHIN}, False),
    ],
)
async def test_like_of_an_open_order_that_was_proven_absent_is_its_rival(
    changes: dict[str, Any], *, is_rival: bool
) -> None:
    """As far back as its order may show up on a day of the other, whatever the clocks say near midnight."""
    absent = attempt(client_order_id="b", state=Delivery.NOT_ACCEPTED, **changes)
    young = attempt(client_order_id="c", day=TOMORROW, dispatched_at=MIDNIGHT + timedelta(hours=1))
    seen = await beside(Shelf(open=[attempt(), young], absent=[absent]))
    assert names(seen.rivals) == ["b"] * is_rival
    assert (await beside(Shelf(absent=[absent]))).rivals == ()


async def test_mark_of_a_rival_proves_nothing_once_numbers_fell() -> None:
    """It may be the owner of an older row as well (A8)."""
    absent = attempt(client_order_id="b", state=Delivery.NOT_ACCEPTED)
    shelf = Shelf(open=[attempt()], absent=[absent], found=[kept(BreachKind.NUMBER_FELL)])
    assert [one.mark for one in (await beside(shelf)).rivals] == [0]


REVIVED, DUPLICATE = kept(BreachKind.REVIVED), kept(BreachKind.DUPLICATE)
OTHER, OLD = kept(BreachKind.CLOCK_OFF), kept(BreachKind.REVIVED, NOON - timedelta(days=1))


@pytest.mark.parametrize(
    ("found", "is_broken"),
    [
        ([], False),
        ([REVIVED], True),
        ([DUPLICATE], True),
        ([OTHER, REVIVED], True),
        ([OLD, DUPLICATE], True),
        ([OTHER], False),
        ([OLD], False),
        ([OLD, OTHER], False),
    ],
)
async def test_bound_is_broken_when_an_absent_order_has_turned_up_today(
    found: list[KeptBreach], *, is_broken: bool
) -> None:
    """From then on a rival is as good an owner of a row as any other (A4); without a rival that means nothing."""
    absent = attempt(client_order_id="b", state=Delivery.NOT_ACCEPTED)
    assert (await beside(Shelf(open=[attempt()], absent=[absent], found=found))).is_bound_broken is is_broken
    assert (await beside(Shelf(open=[attempt()], found=found))).is_bound_broken is False
