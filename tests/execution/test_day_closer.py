"""When the books of a day are closed, what their close says of every row and order, and when that has to wait."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import evolve

from kiwoom_async import Delivery, QueryFailed, Timing
from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.settings import KST, Environment
from kiwoom_async._domain.vocabulary import Action, Desk, ResolvedBy
from kiwoom_async._execution.day_closer import DayCloser
from kiwoom_async._journal.records import ReportNews
from kiwoom_async.errors import RateLimited
from tests.domain.test_matching import BUY, CANCEL, attempt
from tests.domain.test_matching import row as ledger_row
from tests.execution.stand_ins import DAY, NOON, Clock, Ledger, Shelf, Told, Watch, owned

TOMORROW = DAY + timedelta(days=1)
MIDNIGHT = datetime.combine(TOMORROW, datetime.min.time(), KST)
MORNING = MIDNIGHT + timedelta(hours=7)
PLACE = (Desk.STOCK, DAY)


class Office:
    """The one who closes the books, with all it looks at; a day after that of the orders."""

    def __init__(
        self, *rows: LedgerOrder, shelf: Shelf | None = None, at: datetime = MORNING, is_over: bool = True
    ) -> None:
        self.clock = Clock(at)
        self.shelf = shelf or Shelf()
        self.shelf.over = self.shelf.over or [PLACE]
        self.ledger = Ledger(rows={DAY: rows}, final={DAY} if is_over else set())
        self.told, self.watch = Told(), Watch()
        self.closer = DayCloser(
            cast("Any", self.shelf),
            cast("Any", self.ledger),
            cast("Any", self.told),
            cast("Any", self.clock),
            Environment("http://127.0.0.1"),
            Timing(),
            cast("Any", self.watch),
        )

    async def close(self) -> DayClose | None:
        """Close the books of the day."""
        return await self.closer.close(*PLACE)

    async def closed(self) -> DayClose:
        """Close the books of the day, which must not have to wait."""
        close = await self.close()
        assert close is not None
        assert ("close", close) in self.shelf.asked
        return close

    def written(self, kind: str) -> list[Any]:
        """Give what was written."""
        return [what for name, what in self.shelf.asked if name == kind]


# ---------------------------------------------------------------------- which days are due


@pytest.mark.parametrize(("seconds", "is_due"), [(4.9, False), (5.0, True)])
async def test_day_is_due_when_both_clocks_agree_that_it_is_over(seconds: float, *, is_due: bool) -> None:
    """The broker's may be behind by as much as the clocks may differ (A11)."""
    office = Office(at=MIDNIGHT + timedelta(seconds=seconds))
    assert await office.closer.due([]) == ((PLACE,) if is_due else ())


@pytest.mark.parametrize(
    ("attempts", "is_due"),
    [
        pytest.param([], True, id="none is open"),
        pytest.param([attempt()], False, id="one is open"),
        pytest.param([attempt(request=evolve(BUY, desk=Desk.CREDIT))], False, id="one on credit stands there too"),
        pytest.param([attempt(request=evolve(BUY, desk=Desk.GOLD))], True, id="one of the other ledger"),
        pytest.param(
            [attempt(boot_id="before", day=TOMORROW, dispatched_at=MORNING, ended=None, ended_at=None)],
            True,
            id="one of today",
        ),
    ],
)
async def test_day_waits_for_the_open_orders_that_it_may_list(attempts: list[Attempt], *, is_due: bool) -> None:
    """An order whose outcome is open may still be told by the rows."""
    assert await Office().closer.due(attempts) == ((PLACE,) if is_due else ())


@pytest.mark.parametrize(("set_back", "is_due"), [(0, True), (86_400, False)])
async def test_day_waits_for_an_order_that_is_of_it_by_the_other_clock(set_back: float, *, is_due: bool) -> None:
    """The clock was set back by a day after the send: the broker's times may fit either."""
    sent = attempt(day=TOMORROW, dispatched_at=MORNING, ended=None, ended_at=None)
    office = Office()
    office.clock.jumped = (MORNING - NOON).total_seconds() - set_back
    assert await office.closer.due([sent]) == ((PLACE,) if is_due else ())


async def test_days_are_closed_in_turn_and_those_that_have_to_wait_are_left_out() -> None:
    """Each is its own; one that cannot be read holds no other one up."""
    before = DAY - timedelta(days=1)
    office = Office(shelf=Shelf(over=[(Desk.STOCK, before), PLACE]))
    office.ledger.final = {DAY}
    assert [close.day for close in await office.closer.close_all([])] == [DAY]
    assert await office.closer.due([]) == (PLACE,)


@pytest.mark.parametrize(
    "failure",
    [QueryFailed("kt00007", "no answer"), RateLimited("slow down", api_id="kt00007", code="1700", broker_message="")],
)
async def test_day_that_cannot_be_read_is_tried_again_ever_more_rarely(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """After 30 s, then twice as long each time, up to an hour; and from the start once it could be."""
    caplog.set_level(logging.INFO)
    office = Office()
    office.ledger.failures = [failure] * 10
    for pause in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]:
        assert await office.close() is None
        office.clock.at += timedelta(seconds=pause - 0.5)
        assert await office.closer.due([]) == ()
        office.clock.at += timedelta(seconds=0.5)
        assert await office.closer.due([]) == (PLACE,)
    assert f"the books of {DAY} cannot be closed yet: {failure}" in caplog.text
    assert await office.close() is None
    await office.closed()
    assert f"the books of {DAY} are closed: " in caplog.text
    assert await office.closer.due([]) == (PLACE,)
    office.ledger.failures = [failure]
    assert await office.close() is None
    office.clock.at += timedelta(seconds=30)
    assert await office.closer.due([]) == (PLACE,)


async def test_day_that_is_not_over_for_the_broker_is_not_closed() -> None:
    """What is left in the book has not expired yet."""
    office = Office(ledger_row(150), is_over=False)
    assert await office.close() is None
    assert office.shelf.asked == []
    assert office.ledger.asked == [(Desk.STOCK, DAY, 0)]


# ---------------------------------------------------------------------- what the rows say


async def test_rows_are_ours_or_declared_foreign_or_left_to_a_person() -> None:
    """One that may be an order whose outcome is not known is nobody's until a person has looked."""
    rows = [ledger_row(101), ledger_row(103, quantity=3), ledger_row(150), ledger_row(152, quantity=2), ledger_row(99)]
    unknown = attempt(client_order_id="u", state=Delivery.UNRESOLVED_AT_CLOSE)
    absent = attempt(client_order_id="n", state=Delivery.NOT_ACCEPTED, request=evolve(BUY, quantity=2))
    shelf = Shelf(claimed=[owned(101, resolved_by=ResolvedBy.RESPONSE)], left=[unknown], absent=[absent])
    office = Office(*rows, shelf=shelf)
    assert await office.closed() == DayClose(
        day=DAY,
        desk=Desk.STOCK,
        closed_at=MORNING,
        rows=5,
        own=1,
        foreign=2,
        residue=("0000150", "0000152"),
        unresolved=("u",),
        resolved_by={"response": 1},
    )
    (news,) = office.written("ledger")
    assert (news.account, news.desk, news.day, news.is_final, news.highest) == ("key-1", Desk.STOCK, DAY, True, 152)
    assert [row.broker_order_id for row in news.own] == ["0000101"]
    assert [row.broker_order_id for row in news.foreign] == ["0000103", "0000099"]
    assert news.changes == ()


async def test_what_modifies_and_cancels_have_taken_is_written() -> None:
    """Anybody's: an order that lost something to one of them was not filled."""
    taken = ledger_row(160, action=Action.CANCEL, original="0000101", confirmed_quantity=4)
    office = Office(ledger_row(101), taken)
    await office.closed()
    (news,) = office.written("ledger")
    assert news.changes == (taken,)


async def test_empty_day_is_closed() -> None:
    """Nothing was ordered; everybody is told."""
    office = Office()
    assert await office.closed() == DayClose(day=DAY, desk=Desk.STOCK, closed_at=MORNING)
    assert [news.highest for news in office.written("ledger")] == [0]
    assert office.told.news == [office.shelf.news, ReportNews(touched=("closed",))]


async def test_close_counts_how_numbers_were_learnt_and_what_broke_a_bound() -> None:
    """Anything but zero revived or duplicate says that a bound is wrong."""
    states = [
        (101, ResolvedBy.RESPONSE, Delivery.ACKNOWLEDGED),
        (102, ResolvedBy.LEDGER, Delivery.REVIVED),
        (103, ResolvedBy.RESPONSE, Delivery.REVIVED),
        (104, None, Delivery.DUPLICATE),
    ]
    claimed = [owned(number, client_order_id=f"o{number}", resolved_by=by, state=to) for number, by, to in states]
    close = await Office(*map(ledger_row, (101, 102, 103, 104)), shelf=Shelf(claimed=claimed)).closed()
    assert list(close.resolved_by.items()) == [("ledger", 1), ("response", 2)]
    assert (close.revived, close.duplicates, close.own, close.foreign) == (2, 1, 4, 0)


FIRST = DAY - timedelta(days=1) - SHOWS_UP_WITHIN


@pytest.mark.parametrize(
    ("changes", "is_residue"),
    [
        pytest.param({}, True, id="of the day"),
        pytest.param({"request": evolve(BUY, desk=Desk.CREDIT)}, False, id="on credit, and the row is not"),
        pytest.param({"request": evolve(BUY, quantity=9)}, False, id="unlike the row"),
        pytest.param({"day": FIRST}, True, id="sent long before"),
        pytest.param({"day": FIRST - timedelta(days=1)}, False, id="sent too long before"),
        pytest.param({"day": TOMORROW, "dispatched_at": MORNING, "ended_at": MORNING}, False, id="sent afterwards"),
        pytest.param({"mark": 150}, False, id="sent after the row was there"),
    ],
)
async def test_row_that_may_be_an_undecided_order_is_not_foreign(changes: dict[str, Any], *, is_residue: bool) -> None:
    """As far back as an order may show up."""
    listed = ledger_row(150, is_credit=False)
    left = attempt(state=Delivery.UNRESOLVED_AT_CLOSE, boot_id="before", **changes)
    close = await Office(listed, shelf=Shelf(left=[left])).closed()
    assert close.residue == (("0000150",) if is_residue else ())
    assert close.foreign == (not is_residue)


async def test_order_of_the_other_ledger_says_nothing_about_this_one() -> None:
    """Neither of its rows, nor of what the day leaves to a person."""
    gold = attempt(state=Delivery.UNRESOLVED_AT_CLOSE, request=evolve(BUY, desk=Desk.GOLD))
    close = await Office(ledger_row(150), shelf=Shelf(left=[gold])).closed()
    assert (close.residue, close.unresolved, close.foreign) == ((), (), 1)


async def test_row_may_be_an_order_sent_by_a_clock_that_was_set_since() -> None:
    """The broker's time fits the clock as it is now."""
    left = attempt(state=Delivery.UNRESOLVED_AT_CLOSE)
    office = Office(ledger_row(150, ordered_at=NOON + timedelta(hours=2)), shelf=Shelf(left=[left]))
    assert (await office.closed()).residue == ()
    office.clock.jumped = 7200
    assert (await office.closed()).residue == ("0000150",)


# ---------------------------------------------------------------------- what the ledger does not list


async def test_final_ledger_that_lacks_an_order_of_ours_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    """The broker has told us its number, so the look is wrong; that is an alarm, and nothing is closed (A6)."""
    caplog.set_level(logging.INFO)
    office = Office(ledger_row(102), shelf=Shelf(claimed=[owned(101, resolved_by=ResolvedBy.RESPONSE)]))
    assert await office.close() is None
    assert [breach.text for breach in office.watch.noted] == ["0000101 is missing"]
    assert f"the final ledger of {DAY} does not list our order 0000101" in caplog.text
    assert office.shelf.asked == []
    assert office.watch.calls == [("looked", DAY, ["0000101"], {"ours in stock"})]


@pytest.mark.parametrize(
    ("changes", "unlisted"),
    [
        pytest.param({"resolved_by": ResolvedBy.RESPONSE, "request": CANCEL}, (), id="a cancel"),
        pytest.param({"resolved_by": ResolvedBy.OPERATOR}, ("a",), id="a person's number"),
    ],
)
async def test_order_that_the_ledger_need_not_list(
    changes: dict[str, Any], unlisted: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Not every ledger lists cancels, and a person may have been wrong about a number: that is said."""
    close = await Office(ledger_row(102), shelf=Shelf(claimed=[owned(101, **changes)])).closed()
    assert (close.unlisted, close.own, close.foreign) == (unlisted, 0, 1)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"the ledger of {DAY} does not say what became of a: look at Kiwoom's own screen"] * bool(unlisted)


async def test_alarms_of_the_last_look_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be true is said aloud."""
    office = Office(shelf=Shelf(news=ReportNews(alarms=("more was filled than ordered",))))
    await office.closed()
    assert "more was filled than ordered" in caplog.text


@pytest.mark.parametrize(("days", "is_read"), [(7, True), (8, False)])
async def test_day_that_is_out_of_reach_is_closed_unread(days: int, *, is_read: bool) -> None:
    """Beyond a week nobody knows whether the ledger tells: what is not settled by then has expired all the same."""
    numbers = {101: "b", 102: "a", 103: "c"}
    claimed = [owned(number, client_order_id=name) for number, name in numbers.items()]
    working = [
        SimpleNamespace(client_order_id="a", day=DAY),
        SimpleNamespace(client_order_id="b", day=DAY),
        SimpleNamespace(client_order_id="c", day=TOMORROW),
    ]
    shelf = Shelf(claimed=claimed, working=working)
    office = Office(*map(ledger_row, numbers), shelf=shelf, at=NOON + timedelta(days=days))
    close = await office.closed()
    assert bool(office.ledger.asked) is is_read
    assert close.unlisted == (() if is_read else ("a", "b"))
    assert (close.day, close.desk, close.closed_at) == (DAY, Desk.STOCK, office.clock.at)
    assert office.told.news[-1] == ReportNews(touched=("closed",))


async def test_first_order_of_a_day_is_ours_as_well() -> None:
    """Numbers begin at one every day; neither a close nor one of a day out of reach forgets it."""
    shelf = Shelf(claimed=[owned(1)], working=[SimpleNamespace(client_order_id="a", day=DAY)])
    close = await Office(ledger_row(1), shelf=shelf).closed()
    assert (close.own, close.foreign) == (1, 0)
    assert (await Office(shelf=shelf, at=NOON + timedelta(days=8)).closed()).unlisted == ("a",)


async def test_close_leaves_to_a_person_what_is_of_its_day() -> None:
    """An order that was left on another day is not told of again."""
    before = {
        "day": DAY - timedelta(days=1),
        "dispatched_at": NOON - timedelta(days=1),
        "ended": None,
        "ended_at": None,
    }
    ours = attempt(state=Delivery.UNRESOLVED_AT_CLOSE)
    old = attempt(client_order_id="b", state=Delivery.UNRESOLVED_AT_CLOSE, boot_id="before", **before)
    assert (await Office(shelf=Shelf(left=[old, ours])).closed()).unresolved == ("a",)
