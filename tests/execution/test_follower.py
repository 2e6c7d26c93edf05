"""What is made of the feed's reports, when a look at the ledger is owed, and what that look teaches."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kiwoom_async import QueryFailed
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.vocabulary import Action, Desk
from kiwoom_async._execution.follower import Follower
from kiwoom_async._journal.records import Doubt, ReportNews
from kiwoom_async._wire.frames import RealEntry
from kiwoom_async.errors import RateLimited
from tests.domain.test_matching import row as ledger_row
from tests.execution.stand_ins import DAY, NOON, Clock, Ledger, Shelf, Told, Watch, owned
from tests.wire.test_frames import ACCEPTED

YESTERDAY = DAY - timedelta(days=1)
REFUSED = RateLimited("slow down", api_id="kt00007", code="1700", broker_message="")
FAILED = QueryFailed("kt00007", "no answer")
EXECUTED = ExecutedOrder(Desk.STOCK, DAY, "0000101", "005930", 10, 4, None, 6, None, None, None, None, None, None)


class Desks:
    """A follower, and all it writes to and asks, at noon."""

    def __init__(self, shelf: Shelf | None = None, ledger: Ledger | None = None) -> None:
        self.shelf, self.ledger = shelf or Shelf(), ledger or Ledger()
        self.told, self.watch, self.clock = Told(), Watch(), Clock()
        self.rings = 0
        self.unclaimed = 0
        self.follower = Follower(
            cast("Any", self.shelf),
            cast("Any", self.ledger),
            cast("Any", self.told),
            cast("Any", self),
            self.note_unclaimed,
            cast("Any", self.clock),
            cast("Any", self.watch),
        )

    def ring(self) -> None:
        """Count a ring of the bell."""
        self.rings += 1

    def note_unclaimed(self) -> None:
        """Count what nobody has claimed."""
        self.unclaimed += 1

    def asked(self) -> list[tuple[Desk, int]]:
        """Give the desks that were asked, each after which number; all of today."""
        assert {day for _, day, _ in self.ledger.asked} <= {DAY}
        return [(desk, since) for desk, _, since in self.ledger.asked]

    def written(self, kind: str) -> list[Any]:
        """Give what was written."""
        return [what for name, what in self.shelf.asked if name == kind]


def entry(received_at: datetime | None = NOON, kind: str = "00", **values: str) -> RealEntry:
    """Give an entry of the feed."""
    return RealEntry(kind, "", ACCEPTED | values, received_at)


def working(number: int, desk: Desk = Desk.STOCK, day: Any = DAY) -> Any:
    """Give an order of ours that is in the book."""
    return SimpleNamespace(desk=desk, day=day, broker_order_id=f"{number:07d}")


# ---------------------------------------------------------------------- reports


@pytest.mark.parametrize("received_at", [NOON - timedelta(minutes=1), None])
async def test_reports_are_written_and_told(received_at: datetime | None) -> None:
    """As of the day on which they came, by our clock now where that was not noted; what is no report is passed over."""
    desks = Desks(Shelf(news=ReportNews(events=1, touched=("a",))))
    await desks.follower.take([entry(kind="04"), entry(received_at), entry(received_at, **{"9203": "0119434"})])
    (reports,) = desks.written("reports")
    assert [(one.broker_order_id, one.day) for one in reports] == [("0119433", DAY), ("0119434", DAY)]
    assert desks.watch.calls == [("reported", f"011943{one}", received_at or NOON) for one in (3, 4)]
    assert desks.told.news == [desks.shelf.news]
    assert (desks.rings, desks.unclaimed, desks.follower.owes_a_look) == (0, 0, False)


async def test_nothing_is_written_where_nothing_is_reported() -> None:
    """Balances are no reports of orders."""
    desks = Desks()
    await desks.follower.take([entry(kind="04")])
    assert desks.shelf.asked == []
    assert desks.told.news == []


@pytest.mark.parametrize(
    ("values", "reason", "is_of_the_future"),
    [
        ({"900": "many"}, "says 'many'", False),
        ({"908": "120501"}, "says a time that has not come yet: it is not of today", True),
    ],
)
async def test_report_that_means_nothing_owes_a_look(
    values: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture, *, is_of_the_future: bool
) -> None:
    """It may be about an order of ours; the rest of its batch counts."""
    desks = Desks()
    await desks.follower.take([entry(NOON, **values), entry()])
    assert [len(reports) for reports in desks.written("reports")] == [1]
    assert desks.follower.owes_a_look
    assert desks.rings == 1
    assert desks.watch.calls[0] == ("unreadable", reason, is_of_the_future)
    assert "so the ledger is asked" in caplog.text
    assert reason in caplog.text
    assert ("field 908" in caplog.text) is is_of_the_future


async def test_report_from_before_midnight_is_of_the_day_before() -> None:
    """It tells a time of day only, and numbers begin anew every day."""
    desks = Desks()
    midnight = datetime.combine(DAY, datetime.min.time(), NOON.tzinfo)
    await desks.follower.take([entry(midnight + timedelta(seconds=2), **{"908": "235959"})])
    ((report,),) = desks.written("reports")
    assert report.day == YESTERDAY


@pytest.mark.parametrize(("day", "is_owed"), [(DAY, True), (YESTERDAY, False)])
async def test_doubt_about_todays_number_owes_a_look(day: Any, *, is_owed: bool) -> None:
    """Earlier days are settled by the close of their books."""
    desks = Desks()
    desks.follower.spread(ReportNews(doubts=(Doubt(Desk.STOCK, day, "0000101"),)))
    assert desks.follower.owes_a_look is is_owed
    assert desks.rings == is_owed
    assert await desks.follower.catch_up() is is_owed
    assert desks.asked() == [(Desk.STOCK, 100)] * is_owed
    assert not desks.follower.owes_a_look


async def test_doubt_of_the_day_before_is_not_asked_about() -> None:
    """Midnight came before the look: the number means another order now."""
    desks = Desks()
    desks.follower.spread(ReportNews(doubts=(Doubt(Desk.STOCK, DAY, "0000101"),)))
    desks.clock.at += timedelta(days=1)
    assert await desks.follower.catch_up() is False
    assert desks.ledger.asked == []


def test_news_are_told_to_everybody_whom_they_concern(caplog: pytest.LogCaptureFixture) -> None:
    """Listeners, the log, and the one who resolves: a number that nobody has may be an unresolved order."""
    desks = Desks()
    news = ReportNews(unclaimed=True, alarms=("more was filled than ordered",))
    desks.follower.spread(news)
    assert (desks.told.news, desks.unclaimed) == ([news], 1)
    assert [record.getMessage() for record in caplog.records] == ["more was filled than ordered"]
    assert caplog.records[0].levelno == logging.ERROR


# ---------------------------------------------------------------------- the look that is owed


async def test_nothing_is_asked_where_nothing_works() -> None:
    """Even where something may have been missed: it was no order of ours, and what was missed is known now."""
    desks = Desks(Shelf(working=[working(101, day=YESTERDAY)]))
    desks.follower.owe_a_look()
    assert (desks.follower.owes_a_look, desks.rings) == (True, 1)
    assert await desks.follower.catch_up() is False
    assert not desks.follower.owes_a_look
    assert desks.ledger.asked == []
    assert not desks.ledger.counts


async def test_every_ledger_is_asked_once_from_its_lowest_number() -> None:
    """About what works and what is in doubt; orders on credit stand among the stocks, gold apart."""
    desks = Desks(Shelf(working=[working(150), working(140, Desk.CREDIT), working(9, Desk.GOLD)]))
    desks.follower.spread(ReportNews(doubts=(Doubt(Desk.STOCK, DAY, "0000120"),)))
    assert await desks.follower.catch_up() is True
    assert desks.asked() == [(Desk.STOCK, 119), (Desk.GOLD, 8)]
    assert desks.ledger.counts == {f"executions of {DAY}": 1}


async def test_second_view_does_not_know_gold() -> None:
    """Nothing is asked there that it cannot list."""
    desks = Desks(Shelf(working=[working(9, Desk.GOLD)]))
    assert await desks.follower.catch_up() is True
    assert not desks.ledger.counts


async def test_fills_of_the_second_view_are_written_and_told() -> None:
    """A fill may be in one of them and not in the other yet."""
    desks = Desks(Shelf(working=[working(101)]), Ledger(executed=(EXECUTED,)))
    await desks.follower.catch_up()
    assert desks.written("executions") == [(EXECUTED,)]
    assert desks.told.news == [desks.shelf.news, ReportNews(events=1)]


@pytest.mark.parametrize("failure", [FAILED, REFUSED])
async def test_second_view_that_does_not_answer_loses_nothing(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger lists fills as well."""
    caplog.set_level(logging.INFO)
    desks = Desks(Shelf(working=[working(101)]), Ledger(executed=failure))
    assert await desks.follower.catch_up() is True
    assert desks.written("executions") == []
    assert f"the ledger is relied on alone: {failure}" in caplog.text
    assert not desks.follower.owes_a_look


@pytest.mark.parametrize(
    ("has_missed", "doubts"), [(True, ()), (False, ("0000120",)), (True, ("0000120",)), (False, ())]
)
async def test_look_that_fails_is_still_owed(doubts: tuple[str, ...], *, has_missed: bool) -> None:
    """What was missed is still missed, and what was in doubt is asked about again."""
    desks = Desks(Shelf(working=[working(150)]), Ledger(failures=[FAILED]))
    if has_missed:
        desks.follower.owe_a_look()
    desks.follower.spread(ReportNews(doubts=tuple(Doubt(Desk.STOCK, DAY, number) for number in doubts)))
    with pytest.raises(QueryFailed):
        await desks.follower.catch_up()
    assert desks.follower.owes_a_look is (has_missed or bool(doubts))
    desks.shelf.working = []
    assert await desks.follower.catch_up() is bool(doubts)
    assert desks.asked()[1:] == [(Desk.STOCK, int(number) - 1) for number in doubts]
    assert not desks.follower.owes_a_look


async def test_what_is_missed_while_a_look_fails_is_owed_as_well() -> None:
    """Both what it was taken for and what came up meanwhile."""
    desks = Desks(ledger=Ledger(failures=[FAILED]))
    old, new = Doubt(Desk.STOCK, DAY, "0000120"), Doubt(Desk.GOLD, DAY, "0000007")
    desks.follower.spread(ReportNews(doubts=(old,)))
    desks.ledger.before_look = lambda: desks.follower.spread(ReportNews(doubts=(new,)))
    with pytest.raises(QueryFailed):
        await desks.follower.catch_up()
    desks.ledger.before_look = lambda: None
    assert await desks.follower.catch_up() is True
    assert desks.asked() == [(Desk.STOCK, 119), (Desk.STOCK, 119), (Desk.GOLD, 6)]


async def test_what_may_be_missed_while_a_look_fails_or_works_is_owed() -> None:
    """It came up after the question had left."""
    desks = Desks(Shelf(working=[working(150)]), Ledger(failures=[FAILED]))
    desks.ledger.before_look = desks.follower.owe_a_look
    with pytest.raises(QueryFailed):
        await desks.follower.catch_up()
    assert desks.follower.owes_a_look
    await desks.follower.catch_up()
    assert desks.follower.owes_a_look


# ---------------------------------------------------------------------- what a look teaches


async def test_rows_of_ours_are_written_and_nobody_is_declared_foreign() -> None:
    """Only a close can tell whose the others are."""
    taken = ledger_row(160, action=Action.CANCEL, original="0000101", confirmed_quantity=4)
    rows = (ledger_row(101), ledger_row(150), taken)
    claimed = [owned(101), owned(90)]
    desks = Desks(Shelf(working=[working(101)], claimed=claimed), Ledger(rows={DAY: rows}, final={DAY}))
    await desks.follower.catch_up()
    (news,) = desks.written("ledger")
    assert (news.account, news.desk, news.day, news.highest, news.is_final) == ("key-1", Desk.STOCK, DAY, 160, True)
    assert (news.own, news.foreign, news.changes) == ((rows[0],), (), (taken,))
    assert desks.watch.calls == [("looked", DAY, ["0000101"], {"ours in stock"})]


async def test_look_at_an_empty_ledger_knows_no_number() -> None:
    """Not a row was listed, and the day is not over."""
    desks = Desks(Shelf(working=[working(101)]))
    await desks.follower.catch_up()
    assert [(news.highest, news.is_final) for news in desks.written("ledger")] == [(0, False)]


async def test_audit_looks_at_what_no_look_has_listed() -> None:
    """It gives what the look found, and the first of the orders that should be listed by now; that is noted."""
    desks = Desks()
    found = Breach(BreachKind.ECHO_DIFFERS, "another price")
    desks.watch.marks = {Desk.STOCK: 100, Desk.GOLD: 5}
    desks.watch.findings, desks.watch.late = (found,), ("0000101", "0000102")
    missing = Breach(BreachKind.LEDGER_INCOMPLETE, "0000101 is missing")
    assert await desks.follower.audit() == (found, missing) * 2
    assert desks.asked() == [(Desk.STOCK, 100), (Desk.GOLD, 5)]
    assert desks.watch.noted == [missing, missing]
    assert desks.watch.calls[0] == ("unseen", DAY)


@pytest.mark.parametrize("failure", [FAILED, REFUSED])
async def test_audit_goes_on_where_a_look_fails(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is thrown away, counted and told; the other desk is looked at."""
    caplog.set_level(logging.INFO)
    desks = Desks(ledger=Ledger(failures=[failure]))
    desks.watch.marks = {Desk.STOCK: 100, Desk.GOLD: 5}
    assert await desks.follower.audit() == ()
    assert ("void",) in desks.watch.calls
    assert f"a look at the stock ledger for the monitors failed: {failure}" in caplog.text
    assert [news.desk for news in desks.written("ledger")] == [Desk.GOLD]
