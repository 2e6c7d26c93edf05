"""Which orders on the book an accepted journal has forgotten, and how long they are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, cast

import pytest
from attrs import evolve

from kiwoom_async import Delivery, Timing
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.vocabulary import Action, Desk, Side
from kiwoom_async._execution.forgotten import LEDGERS, ForgottenOrders
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.seals import Acceptance
from kiwoom_async.errors import QueryFailed, RateLimited
from tests.journal.builders import ACCOUNT, BUY, DAY, NOON, FixedAmbient, row

TIMING: Final = Timing(acceptance_bound=10, visibility_bound=4, clock_skew=2, watch_interval=30)
BOUNDS: Final = 16.0
"""Seconds after which whatever was sent before is listed: the sum of the first three."""
ACCEPTED: Final = Acceptance(NOON, "operator", "the disk was replaced", 7)


def attempt(state: Delivery = Delivery.UNKNOWN, **changes: Any) -> Attempt:
    """Make an attempt that was sent a minute before the journal was accepted."""
    at = NOON - timedelta(minutes=1)
    made = Attempt("a", 1, ACCOUNT, BUY, state, DAY, 0, "r", "boot-1", at, 940.0, 945.0, 950.0, at)
    return evolve(made, **changes)


class Book:
    """Stand in for journal and reader: a journal that was accepted at noon, and the ledgers of that day."""

    def __init__(self, *rows: LedgerOrder, attempts: tuple[Attempt, ...] = (), timing: Timing = TIMING) -> None:
        self.rows = {Desk.STOCK: rows, Desk.GOLD: ()}
        self.attempts = attempts
        self.timing = timing
        self.accepted: Acceptance | None = ACCEPTED
        self.own: set[str] = set()
        self.learnt: dict[Desk, frozenset[str]] = {}
        self.fails: dict[Desk, Exception] = {}
        self.questions: list[tuple[Desk, date, int]] = []
        self.times_asked = 0
        self.clock = FixedAmbient()

    def look_for(self) -> ForgottenOrders:
        """Make what looks at it."""
        return ForgottenOrders(
            cast("Journal", self), cast("LedgerReader", self), self.clock, self.timing, Environment("http://127.0.0.1")
        )

    async def look_after(self, seconds: float) -> tuple[str, ...]:
        """Take one look, some seconds after noon."""
        self.clock.seconds = 1000.0 + seconds
        return await look(self.look_for())

    async def acceptance(self) -> Acceptance | None:
        """Give since when the journal lacks records."""
        self.times_asked += 1
        return self.accepted

    async def open_attempts(self) -> tuple[Attempt, ...]:
        """Give what is not settled."""
        return self.attempts

    async def claims(self, desk: Desk, day: date, since: int) -> Mapping[str, None]:
        """Give our numbers."""
        assert (day, since) == (DAY, 0)
        return dict.fromkeys(self.own if desk is Desk.STOCK else ())

    async def channels(self, desk: Desk) -> frozenset[str]:
        """Give the channel texts of our orders."""
        return self.learnt.get(desk, frozenset())

    async def fetch_snapshot(self, desk: Desk, day: date, since: int) -> Snapshot:
        """Give a day's ledger."""
        self.questions.append((desk, day, since))
        if desk in self.fails:
            raise self.fails[desk]
        seconds = self.clock.seconds
        return Snapshot(desk, day, since, self.rows[desk], seconds, seconds + 1, is_final=False, queries=1)


async def look(forgotten: ForgottenOrders) -> tuple[str, ...]:
    """Look as a pass does, which need not have been asked for by this."""
    return await forgotten.look()


def numbers(alarms: tuple[str, ...]) -> list[str]:
    """Give the order number that each alarm begins with."""
    return [alarm.split()[1] for alarm in alarms]


async def test_alarm_says_which_order_is_forgotten() -> None:
    """With its number, what it is, how much the journal lacks, since when, and what not to do."""
    forgotten = row(side=Side.SELL, quantity=3, symbol="000660")
    (alarm,) = await Book(forgotten).look_after(0)
    assert alarm.startswith("order 0000101 (new sell 3 000660) is on the book and not in the journal")
    assert "lacks 7 records of before 12:00:00" in alarm
    assert "do not ask for it again" in alarm


async def test_every_ledger_is_looked_at_on_the_day_of_the_acceptance() -> None:
    """From its first number on; an order of gold is forgotten as easily as one of stocks."""
    book = Book(row())
    book.rows[Desk.GOLD] = (row("0000201", desk=Desk.GOLD),)
    forgotten = book.look_for()
    assert numbers(await look(forgotten)) == ["0000101", "0000201"]
    assert numbers(forgotten.alarms) == ["0000101", "0000201"]
    assert book.questions == [(Desk.STOCK, DAY, 0), (Desk.GOLD, DAY, 0)]
    assert LEDGERS == (Desk.STOCK, Desk.GOLD)


@pytest.mark.parametrize(
    ("changes", "is_alarm"),
    [
        pytest.param({}, True, id="placed before"),
        pytest.param({"ordered_at": None}, True, id="at no time that is told"),
        pytest.param({"ordered_at": NOON + timedelta(seconds=2)}, True, id="as early as the clocks allow"),
        pytest.param({"ordered_at": NOON + timedelta(seconds=3)}, False, id="placed afterwards"),
        pytest.param({"broker_order_id": "0000102"}, False, id="in the journal"),
        pytest.param({"channel": "영웅문4"}, False, id="placed by a person"),
        pytest.param({"channel": "제휴"}, False, id="by a channel that may be anybody's"),
        pytest.param({"channel": "ours"}, True, id="by a channel of ours"),
    ],
)
async def test_order_that_is_forgotten(changes: dict[str, Any], *, is_alarm: bool) -> None:
    """One that our program may have placed before, and that no record knows."""
    book = Book(row(**changes))
    book.own, book.learnt = {"0000102"}, {Desk.STOCK: frozenset({"ours"})}
    assert bool(await book.look_after(0)) == is_alarm


@pytest.mark.parametrize(
    ("known", "is_alarm"),
    [
        pytest.param(attempt(), False, id="unresolved"),
        pytest.param(attempt(Delivery.DISPATCHED), False, id="in flight"),
        pytest.param(attempt(Delivery.PREPARED), True, id="not sent yet"),
        pytest.param(attempt(request=evolve(BUY, desk=Desk.GOLD, route=None)), True, id="of the other ledger"),
        pytest.param(attempt(request=evolve(BUY, desk=Desk.CREDIT)), False, id="credit orders stand among stocks"),
        pytest.param(attempt(request=evolve(BUY, symbol="000660")), True, id="of another symbol"),
        pytest.param(attempt(request=evolve(BUY, action=Action.CANCEL)), True, id="a cancel"),
        pytest.param(attempt(dispatched_at=NOON + timedelta(seconds=60), dispatched=1060.0), True, id="sent later"),
    ],
)
async def test_order_whose_outcome_is_open_is_not_called_forgotten(known: Attempt, *, is_alarm: bool) -> None:
    """Its number is not known yet: the row may be it."""
    assert bool(await Book(row(), attempts=(known,)).look_after(120.0)) == is_alarm


async def test_order_that_may_be_an_open_one_is_looked_at_again() -> None:
    """Until it is known whose the row is."""
    book = Book(row(), attempts=(attempt(Delivery.DISPATCHED),))
    forgotten = book.look_for()
    for is_alarm in (False, True):
        book.clock.seconds += 30.0
        assert await forgotten.is_due()
        assert bool(await forgotten.look()) == is_alarm
        book.attempts = ()
    book.clock.seconds += 30.0
    assert not await forgotten.is_due()


@pytest.mark.parametrize(
    ("dispatched", "boot_id", "is_alarm"),
    [
        pytest.param(1060.0, "boot-1", True, id="never set"),
        pytest.param(1000.0, "boot-1", False, id="set back by a minute"),
        pytest.param(1000.0, "boot-0", True, id="nothing tells after another start of the machine"),
    ],
)
async def test_clock_that_was_set_makes_no_alarm(dispatched: float, boot_id: str, *, is_alarm: bool) -> None:
    """A row may be the order that was sent a minute later by a clock that was set since."""
    at = NOON + timedelta(seconds=60)
    sent = attempt(dispatched_at=at, ended_at=at, dispatched=dispatched, boot_id=boot_id)
    assert bool(await Book(row(), attempts=(sent,)).look_after(120.0)) == is_alarm


async def test_what_was_never_accepted_has_forgotten_nothing() -> None:
    """No ledger is read for it."""
    book = Book(row())
    book.accepted = None
    forgotten = book.look_for()
    assert not await forgotten.is_due()
    assert await look(forgotten) == ()
    assert book.questions == []


@pytest.mark.parametrize(
    ("accepted_at", "is_due"),
    [
        pytest.param(NOON, True, id="today"),
        pytest.param(NOON - timedelta(hours=12), True, id="since midnight"),
        pytest.param(NOON - timedelta(hours=12, seconds=1), False, id="yesterday"),
    ],
)
async def test_book_is_looked_at_on_that_day_only(accepted_at: datetime, *, is_due: bool) -> None:
    """On later days the ledger lists other orders."""
    book = Book(row())
    book.accepted = evolve(ACCEPTED, at=accepted_at)
    forgotten = book.look_for()
    assert await forgotten.is_due() == is_due
    await look(forgotten)
    assert bool(book.questions) == is_due


async def test_first_look_is_due_at_once() -> None:
    """Also on a machine that has just been started, whose clock that never jumps tells next to nothing."""
    book = Book(row())
    book.clock = FixedAmbient(monotonic=0.0)
    assert await book.look_for().is_due()


async def test_journal_is_asked_once_whether_it_was_accepted() -> None:
    """It cannot be accepted while a client is open on it, and every pass of every client would read it anew."""
    book = Book()
    forgotten = book.look_for()
    for seconds in (0.0, 30.0, 30.0):
        book.clock.seconds += seconds
        await look(forgotten)
    assert book.times_asked == 1


async def test_looks_follow_each_other_at_the_pace_of_a_watch() -> None:
    """Until everything that was sent before must be listed; then there is no more to look for."""
    book = Book()
    forgotten = book.look_for()
    taken = []
    for seconds in (0.0, 29.9, 0.1, 29.9, 0.1):
        book.clock.seconds += seconds
        is_due = await forgotten.is_due()
        book.questions.clear()
        await forgotten.look()
        assert bool(book.questions) == is_due
        taken.append(is_due)
    assert taken == [True, False, True, False, False]


@pytest.mark.parametrize(("seconds", "is_over"), [(BOUNDS - 0.1, False), (BOUNDS, True), (BOUNDS + 0.1, True)])
async def test_last_look_comes_after_every_bound(seconds: float, *, is_over: bool) -> None:
    """Until then an order that was sent before may be accepted and listed (A4, A5), by whichever clock (A11)."""
    book = Book()
    forgotten = book.look_for()
    book.clock.seconds += seconds
    await look(forgotten)
    book.clock.seconds += 30.0
    assert await forgotten.is_due() != is_over


@pytest.mark.parametrize(
    ("known", "is_over"),
    [
        pytest.param(attempt(dispatched_at=NOON), False, id="sent before"),
        pytest.param(attempt(dispatched_at=NOON + timedelta(seconds=1)), True, id="sent afterwards"),
        pytest.param(attempt(Delivery.DISPATCHED), True, id="its sender is at work"),
    ],
)
async def test_book_is_looked_at_while_an_order_sent_before_is_open(known: Attempt, *, is_over: bool) -> None:
    """Its number may be claimed still, and what is left then is forgotten."""
    book = Book(attempts=(known,))
    forgotten = book.look_for()
    book.clock.seconds += 60.0
    await look(forgotten)
    book.clock.seconds += 30.0
    assert await forgotten.is_due() != is_over


@pytest.mark.parametrize(
    "error", [QueryFailed("kt00007", "a page is missing"), RateLimited("Too many.", code="1700", broker_message="")]
)
async def test_look_that_fails_is_repeated(error: Exception) -> None:
    """It hides neither what another ledger shows nor what an earlier look has shown, and settles nothing."""
    book = Book(row())
    book.rows[Desk.GOLD] = (row("0000201", desk=Desk.GOLD),)
    forgotten = book.look_for()
    book.clock.seconds += 60.0
    book.fails = {Desk.STOCK: error}
    assert numbers(await look(forgotten)) == ["0000201"]
    book.clock.seconds += 30.0
    book.questions.clear()
    book.fails.clear()
    assert await forgotten.is_due()
    assert sorted(numbers(await look(forgotten))) == ["0000101", "0000201"]
    assert book.questions == [(Desk.STOCK, DAY, 0)]
    book.clock.seconds += 30.0
    assert not await forgotten.is_due()


async def test_alarm_ends_when_its_order_is_claimed() -> None:
    """The last look counts; between looks the alarms stay what they were."""
    book = Book(row())
    forgotten = book.look_for()
    assert numbers(await look(forgotten)) == ["0000101"]
    book.own = {"0000101"}
    book.clock.seconds += 1.0
    assert numbers(await look(forgotten)) == ["0000101"]
    book.clock.seconds += 30.0
    assert await look(forgotten) == ()
    assert forgotten.alarms == ()
