"""What one client measures of the assumptions, what it keeps of that, and what it tells people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import anyio
import pytest
from attrs import Factory, define, evolve

from kiwoom_async._domain.absence import Strength
from kiwoom_async._domain.feed_status import FeedState, FeedStatus
from kiwoom_async._domain.health import (
    Assumption,
    Breach,
    BreachKind,
    DurableHealth,
    HealthState,
    JournalFacts,
    KeptBreach,
)
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, ResolvedBy
from kiwoom_async._execution import monitor as room
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._journal.records import Claim, Finding
from kiwoom_async.errors import JournalError, JournalLocked
from tests.domain.test_matching import BUY, CANCEL, attempt
from tests.domain.test_matching import row as ledger_row
from tests.journal.builders import DAY, NOON, FixedAmbient, report

TIMING: Final = Timing(acceptance_bound=10, visibility_bound=6, clock_skew=4, reconcile_interval=2)
HERE: Final = "boot-1"
SENT: Final = attempt(day=DAY, boot_id=HERE, dispatched_at=NOON, broker_order_id="0000101", state=Delivery.ACKNOWLEDGED)
OWNED: Final = evolve(
    SENT, resolved_by=ResolvedBy.RESPONSE, ended=1002.0, ended_at=NOON + timedelta(seconds=2), client_order_id="ours"
)
PLACE: Final = (DAY, "0000101")
STEADY: Final = FeedStatus(FeedState.LIVE)
FOUND: Final = Breach(BreachKind.NOT_LISTED, "the ledger does not list our order 0000101")


@define
class Journal:
    """A journal that keeps findings, unless it is locked."""

    path: str = "orders.db"
    kept: list[Breach] = Factory(list)
    errors: list[JournalError | None] = Factory(list)
    durable: DurableHealth = Factory(DurableHealth)
    open: list[Attempt] = Factory(list)
    absent: list[Attempt] = Factory(list)
    claimed: dict[tuple[Desk, date, str], str] = Factory(dict)
    since: list[date] = Factory(list)
    meanwhile: list[Callable[[], object]] = Factory(list)

    async def note_breaches(self, found: Sequence[Breach]) -> None:
        """Keep them."""
        await anyio.lowlevel.checkpoint()
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.kept += found

    async def health(self) -> DurableHealth:
        """Tell what is kept."""
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return self.durable

    async def open_attempts(self) -> tuple[Attempt, ...]:
        """Give what is open."""
        return tuple(self.open)

    async def watched_attempts(self, since: date) -> tuple[Attempt, ...]:
        """Give what was proven absent."""
        self.since.append(since)
        return tuple(self.absent)

    async def claim_of(self, desk: Desk, day: date, number: str) -> str | None:
        """Give whose a number is."""
        return self.claimed.get((desk, day, number))


@define
class Watch:
    """A monitor and what it works with."""

    journal: Journal = Factory(Journal)
    ambient: FixedAmbient = Factory(FixedAmbient)
    difference: float = 0.0
    environment: Environment = Factory(lambda: Environment("http://127.0.0.1"))

    def monitor(self, *, is_exclusive: bool = True, is_own_transport: bool = True) -> Monitor:
        """Give the monitor."""
        return Monitor(
            cast("Any", self.journal),
            self.ambient,
            TIMING,
            self.environment,
            is_exclusive=is_exclusive,
            is_own_transport=is_own_transport,
            clock_difference=lambda: self.difference,
        )


def row(number: int = 101, **changes: Any) -> LedgerOrder:
    """Give a row of the day, stamped at noon."""
    return ledger_row(number, **{"day": DAY, "ordered_at": NOON, **changes})


def look(*rows: LedgerOrder, **changes: Any) -> Snapshot:
    """Give a look three seconds after the answer."""
    made = Snapshot(Desk.STOCK, DAY, 0, rows, began=1005.0, finished=1005.5, is_final=False, queries=1)
    return evolve(made, **changes)


def claims(*owners: Attempt) -> dict[str, tuple[Claim, Attempt]]:
    """Give our numbers."""
    return {
        str(owner.broker_order_id): (
            Claim("key-1", DAY, str(owner.broker_order_id), owner.client_order_id, 1, None, 0, None, None),
            owner,
        )
        for owner in owners
    }


def answer(seconds: float = 2.0, **changes: Any) -> Finding:
    """Give the answer to an order, some seconds after it was sent."""
    made = Finding(
        Event.ACKNOWLEDGED,
        broker_order_id="0000101",
        resolved_by=ResolvedBy.RESPONSE,
        is_answered=True,
        ended=1000.0 + seconds,
    )
    return evolve(made, **changes)


def noted(monitor: Monitor) -> list[tuple[BreachKind, str]]:
    """List what is found and not written yet."""
    return [(kept.breach.kind, kept.breach.text) for kept in monitor.unwritten]


async def measured(monitor: Monitor) -> Mapping[str, str]:
    """Read what was measured, by the name of the assumption."""
    return {one.assumption.value: one.measured for one in (await monitor.health(STEADY)).assumptions}


# ---------------------------------------------------------------------- findings


def test_same_finding_counts_once_in_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A ledger that stands still is found to do so at every look; another finding is another one."""
    watch = Watch()
    monitor = watch.monitor()
    other = evolve(FOUND, text="another")
    for waited in (0.0, 30.0, 29.9):
        watch.ambient.seconds += waited
        monitor.note(FOUND)
    assert [kept.breach for kept in monitor.unwritten] == [FOUND]
    monitor.note(other)
    watch.ambient.seconds += 0.1
    monitor.note(FOUND)
    watch.ambient.seconds += 59.0
    monitor.note(other)
    now = watch.ambient.now()
    assert monitor.unwritten == tuple(KeptBreach(one, now, now, 1) for one in (FOUND, other, FOUND))
    assert len(caplog.records) == 3
    watch.ambient.seconds += 1.0
    monitor.note(other)
    assert len(monitor._noted) == 1


@pytest.mark.parametrize(
    ("kind", "level"), [(BreachKind.NOT_LISTED, logging.ERROR), (BreachKind.ANSWER_SLOW, logging.WARNING)]
)
def test_finding_is_logged_with_what_to_do(kind: BreachKind, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """An alarm as an error; what stands in the log already is not repeated."""
    breach = Breach(kind, "seen")
    Watch().monitor().note(breach, is_told=True)
    assert caplog.records == []
    Watch().monitor().note(breach)
    (told,) = caplog.records
    assert told.levelno == level
    assert told.message == f"{breach.assumption.value}: seen. {breach.advice}."


async def test_finding_is_written_once_and_again_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be kept at once is kept later."""
    watch = Watch(Journal(errors=[JournalLocked("locked")]))
    monitor = watch.monitor()
    assert await monitor.flush() is True
    monitor.note(FOUND, is_told=True)
    assert await monitor.flush() is False
    assert [kept.breach for kept in monitor.unwritten] == [FOUND]
    assert "findings about the assumptions are written later: locked" in caplog.text
    assert await monitor.flush() is True
    assert await monitor.flush() is True
    assert watch.journal.kept == [FOUND]
    assert monitor.unwritten == ()


async def test_finding_is_written_once_though_the_writer_is_cancelled() -> None:
    """It is written to its end, and the cancellation is heard."""
    watch = Watch()
    monitor = watch.monitor()
    monitor.note(FOUND, is_told=True)
    writing = asyncio.ensure_future(monitor.flush())
    watch.journal.meanwhile = [writing.cancel]
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert watch.journal.kept == [FOUND]
    assert monitor.unwritten == ()


async def test_findings_are_written_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that come while others are written; after an error there is a pause."""
    watch = Watch()
    monitor = watch.monitor()
    written = asyncio.Event()
    slept: list[float] = []
    late, last = evolve(FOUND, text="late"), evolve(FOUND, text="last")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(anyio, "sleep", sleep)
    watch.journal.errors = [JournalLocked("locked")]
    monitor.note(FOUND, is_told=True)
    watch.journal.meanwhile = [
        lambda: None,
        lambda: monitor.note(late, is_told=True),
        lambda: None,
        written.set,
    ]
    looks = 0
    flush = monitor.flush

    async def count() -> bool:
        nonlocal looks
        looks += 1
        if looks > 10:
            raise RuntimeError("it never waits")
        return await flush()

    monkeypatch.setattr(monitor, "flush", count)
    running = asyncio.ensure_future(monitor.run())
    for _ in range(30):
        await asyncio.sleep(0)
    assert watch.journal.kept == [FOUND, late]
    assert not running.done()
    monitor.note(last, is_told=True)
    async with asyncio.timeout(1):
        await written.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert watch.journal.kept == [FOUND, late, last]
    assert slept == [2]


def test_memory_forgets_what_is_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot may run for months."""
    monkeypatch.setattr(room, "MOST_REMEMBERED", 2)
    memory = room._Memory()
    for number in (1, 2, 3):
        memory[number] = -number
    assert memory == {2: -2, 3: -3}


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("finding", "sends", "answers", "numbers"),
    [
        pytest.param(answer(), 1, 1, 1, id="accepted"),
        pytest.param(Finding(Event.PROVEN_UNSENT), 0, 0, 0, id="not sent"),
        pytest.param(Finding(Event.LOST, ended=1002.0), 1, 0, 0, id="lost"),
        pytest.param(answer(ended=None), 1, 0, 0, id="an end that nobody knows"),
        pytest.param(Finding(Event.REFUSED, is_answered=True, ended=1002.0), 1, 1, 0, id="refused"),
        pytest.param(answer(resolved_by=ResolvedBy.LEDGER), 1, 1, 0, id="found elsewhere"),
        pytest.param(answer(broker_order_id="0000102"), 1, 1, 0, id="a number that stays another order's"),
    ],
)
async def test_sends_answers_and_numbers_are_counted(finding: Finding, sends: int, answers: int, numbers: int) -> None:
    """Where nothing left there is nothing to count; only an answer of its own gives a number."""
    monitor = Watch().monitor()
    monitor.answered(evolve(SENT, request=BUY), finding)
    told = await measured(monitor)
    assert told["A2"].startswith(f"{sends} sends by this client, 0 held back")
    assert told["A3"] == f"{sends} sends, {answers} answers"
    assert told["A8"] == f"{numbers} numbers by answers"
    assert bool(monitor.unseen(DAY)) is bool(numbers)


def test_answer_without_a_number_teaches_no_number() -> None:
    """Neither does one to an order that has none."""
    monitor = Watch().monitor()
    monitor.answered(evolve(SENT, broker_order_id=None), answer(broker_order_id=None))
    assert monitor._numbers == 0


async def test_time_of_an_answer_is_held_against_the_bounds() -> None:
    """A warning comes at half of it, and so for the clocks."""
    watch = Watch(difference=2.5)
    monitor = watch.monitor()
    monitor.answered(SENT, answer(5.5))
    slow, clock = noted(monitor)
    assert slow == (BreachKind.ANSWER_SLOW, "the answer to order a took 5.500 s; acceptance_bound is 10 s")
    assert clock[0] is BreachKind.CLOCK_NEAR
    assert (await measured(monitor))["A4"] == "answers: 5.500 s at most, 5.500 s last, in 1; acceptance_bound 10 s"
    calm = Watch().monitor()
    calm.answered(SENT, answer(5.0))
    assert noted(calm) == []


def test_look_for_what_was_not_listed_begins_at_the_oldest_mark() -> None:
    """By ledger, of today, of new orders only; credit orders stand among the stocks."""
    monitor = Watch().monitor()
    gold = evolve(SENT, request=evolve(BUY, desk=Desk.GOLD))
    credit = evolve(SENT, request=evolve(BUY, desk=Desk.CREDIT), broker_order_id="0000104", mark=90)
    yesterday = DAY - timedelta(days=1)
    sends: list[tuple[Attempt, dict[str, Any]]] = [
        (evolve(SENT, mark=100), {}),
        (credit, {"broker_order_id": "0000104"}),
        (evolve(SENT, mark=95, broker_order_id="0000105"), {"broker_order_id": "0000105"}),
        (evolve(gold, mark=7), {}),
        (evolve(SENT, mark=1, request=CANCEL, broker_order_id="0000106"), {"broker_order_id": "0000106"}),
        (evolve(SENT, mark=2, broker_order_id="0000107"), {"broker_order_id": "0000107", "claim_day": yesterday}),
        (evolve(SENT, mark=3, day=yesterday, broker_order_id="0000108"), {"broker_order_id": "0000108"}),
    ]
    for sent, changes in sends:
        monitor.answered(sent, answer(**changes))
    assert monitor.unseen(DAY) == {Desk.STOCK: 90, Desk.GOLD: 7}
    assert monitor.unseen(yesterday) == {}, "what is over is forgotten"


async def test_late_send_that_was_held_back_is_told() -> None:
    """It did not leave."""
    monitor = Watch().monitor()
    monitor.held_back("order-7")
    text = "order order-7 was held back: its process woke after the permission to send had run out"
    assert noted(monitor) == [(BreachKind.SENDER_LATE, text)]
    assert (await measured(monitor))["A2"] == "0 sends by this client, 1 held back for coming too late"


# ---------------------------------------------------------------------- reports of the feed


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"desk": Desk.CREDIT}, True),
        ({"desk": Desk.GOLD}, False),
        ({"day": DAY + timedelta(days=1)}, False),
        ({"broker_order_id": "0000102"}, False),
    ],
)
@pytest.mark.parametrize("is_report_first", [True, False])
async def test_time_between_report_and_answer_is_measured(
    changes: dict[str, Any], *, is_same: bool, is_report_first: bool
) -> None:
    """Of the same number on the same day of the same ledger, by the first report."""
    watch = Watch()
    monitor = watch.monitor()
    watch.ambient.seconds = 1000.25
    told = report(at=None, **changes)
    if is_report_first:
        monitor.reported(told, NOON)
        watch.ambient.seconds = 1001.0
        monitor.reported(told, NOON)
        monitor.answered(SENT, answer(0.75))
    else:
        monitor.answered(SENT, answer(-0.25))
        monitor.reported(told, NOON)
        watch.ambient.seconds = 1001.0
        monitor.reported(told, NOON)
    one = "0.500 s at most, 0.500 s last, in 1" if is_same else "none"
    before, after = (one, "none") if is_report_first else ("none", one)
    text = (await measured(monitor))["A11"]
    assert text.endswith(f"reports before the answer: {before}; after it: {after}")


@pytest.mark.parametrize("is_report_first", [True, False])
async def test_report_at_the_very_moment_of_the_answer_is_no_time_apart(*, is_report_first: bool) -> None:
    """Clocks that are read one after the other make no negative times."""
    watch = Watch()
    monitor = watch.monitor()
    if is_report_first:
        monitor.reported(report(at=None), NOON)
        monitor.answered(SENT, answer(-1.0))
    else:
        monitor.answered(SENT, answer(1.0))
        monitor.reported(report(at=None), NOON)
    assert "0.000 s at most, 0.000 s last, in 1" in (await measured(monitor))["A11"]


@pytest.mark.parametrize(
    ("seconds", "difference", "kinds", "gap"),
    [
        pytest.param(-90.0, 0.0, [], "0.000", id="late, which says nothing"),
        pytest.param(0.5, 0.0, [], "0.500", id="a little early"),
        pytest.param(3.0, 0.0, [BreachKind.CLOCK_NEAR], "3.000", id="early"),
        pytest.param(5.0, 0.0, [BreachKind.CLOCK_OFF], "5.000", id="too early"),
        pytest.param(5.0, 4.0, [], "5.000", id="as the answers have proven already"),
    ],
)
async def test_report_from_the_future_tells_of_the_clocks(
    seconds: float, difference: float, kinds: list[BreachKind], gap: str
) -> None:
    """It may come late, and never before it happened."""
    monitor = Watch(difference=difference).monitor()
    monitor.reported(report(at=NOON + timedelta(seconds=seconds)), NOON)
    assert [kind for kind, _ in noted(monitor)] == kinds
    assert f"by stamps: {gap} s at most" in (await measured(monitor))["A11"]


@pytest.mark.parametrize(
    ("is_of_the_future", "kind"), [(True, BreachKind.CLOCK_OFF), (False, BreachKind.REPORT_UNREADABLE)]
)
def test_report_that_was_not_taken_is_kept_and_not_logged_again(
    kind: BreachKind, caplog: pytest.LogCaptureFixture, *, is_of_the_future: bool
) -> None:
    """Whoever refused it has logged it."""
    monitor = Watch().monitor()
    monitor.unreadable("no number", is_of_the_future=is_of_the_future)
    assert noted(monitor) == [(kind, "a report of the feed was not taken: no number")]
    assert caplog.records == []


# ---------------------------------------------------------------------- looks


async def looked(monitor: Monitor, snapshot: Snapshot, *owners: Attempt) -> list[BreachKind]:
    """Let it look; give what is wrong."""
    told = await monitor.looked(snapshot, claims(*owners), frozenset())
    assert isinstance(told, tuple)
    return [breach.kind for breach in told]


@pytest.mark.parametrize(
    ("changes", "view", "seconds"),
    [
        pytest.param({}, {}, "3.000", id="not listed yet"),
        pytest.param({"ended": 1004.5}, {}, "0.500", id="just answered"),
        pytest.param({"ended": 1005.0}, {}, None, id="answered while it was looked"),
        pytest.param({"ended": None}, {}, None, id="no end"),
        pytest.param({"boot_id": "before"}, {}, None, id="by another clock"),
        pytest.param({}, {"is_final": True}, None, id="the day is over"),
        pytest.param({}, {"since": 101}, None, id="the look begins after it"),
        pytest.param({}, {"since": 100}, "3.000", id="the first of the look"),
        pytest.param({"resolved_by": ResolvedBy.LEDGER}, {}, None, id="found on the ledger"),
        pytest.param({"request": CANCEL}, {}, None, id="a cancel"),
    ],
)
async def test_time_for_which_an_order_is_not_listed_is_measured(
    changes: dict[str, Any], view: dict[str, Any], seconds: str | None
) -> None:
    """Of orders that were answered, in looks that have to list them."""
    monitor = Watch().monitor()
    assert await looked(monitor, look(**view), evolve(OWNED, **changes)) == []
    told = "none" if seconds is None else f"{seconds} s at most, {seconds} s last, in 1"
    text = (await measured(monitor))["A5"]
    assert text == (
        f"from the answer to the first look that lists: none; not listed yet after: {told}; visibility_bound 6 s"
    )


async def test_order_that_is_listed_slowly_is_told() -> None:
    """Others of the look are judged all the same."""
    monitor = Watch().monitor()
    other = evolve(OWNED, broker_order_id="0000102", resolved_by=ResolvedBy.LEDGER)
    assert await looked(monitor, look(began=1005.5), other, OWNED) == [BreachKind.LISTED_SLOWLY]
    ((kind, text),) = noted(monitor)
    assert kind is BreachKind.LISTED_SLOWLY
    assert text == "order 0000101 was not listed 3.500 s after its answer; visibility_bound is 6 s"


async def test_row_is_learnt_from_once() -> None:
    """It is held against what was sent, and the order needs no look of its own any more."""
    monitor = Watch().monitor()
    monitor.answered(OWNED, answer())
    odd = row(price=71_000)
    assert await looked(monitor, look(odd), OWNED) == [BreachKind.ECHO_DIFFERS]
    assert monitor.unseen(DAY) == {}
    assert await looked(monitor, look(odd, finished=1009.0), OWNED) == []
    told = await measured(monitor)
    assert told["A5"].startswith("from the answer to the first look that lists: 3.500 s at most, 3.500 s last, in 1;")
    assert told["A6"] == "2 complete looks, 0 thrown away"
    assert told["A9"] == "channel of our own orders: 'REST API'"
    assert told["A10"] == "1 rows held against what was sent"
    assert monitor.was_seen(Desk.STOCK, DAY, "0000101")
    assert monitor.was_seen(Desk.CREDIT, DAY, "0000101")
    assert not monitor.was_seen(Desk.GOLD, DAY, "0000101")
    assert not monitor.was_seen(Desk.STOCK, DAY + timedelta(days=1), "0000101")
    assert not monitor.was_seen(Desk.STOCK, DAY, "0000102")


async def test_each_order_is_learnt_from() -> None:
    """Number, day and ledger make it."""
    monitor = Watch().monitor()
    other = evolve(OWNED, broker_order_id="0000102", request=evolve(BUY, price=70_001))
    await looked(monitor, look(row()), OWNED)
    assert await looked(monitor, look(row(), row(102, price=70_002)), OWNED, other) == [BreachKind.ECHO_DIFFERS]
    tomorrow = DAY + timedelta(days=1)
    await monitor.looked(look(row(day=tomorrow), day=tomorrow), claims(evolve(OWNED, day=tomorrow)), frozenset())
    gold = evolve(OWNED, request=evolve(BUY, desk=Desk.GOLD))
    await looked(monitor, look(row(desk=Desk.GOLD), desk=Desk.GOLD), gold)
    assert (await measured(monitor))["A10"] == "4 rows held against what was sent"


@pytest.mark.parametrize(
    ("changes", "view", "told"),
    [
        ({"boot_id": "before"}, {}, "none"),
        ({"ended": 1005.5}, {}, "0.000 s at most, 0.000 s last, in 1"),
        ({"ended": 1005.25}, {}, "0.250 s at most, 0.250 s last, in 1"),
    ],
)
async def test_time_until_an_order_is_listed_is_measured_by_one_clock(
    changes: dict[str, Any], view: dict[str, Any], told: str
) -> None:
    """That of another boot tells nothing."""
    monitor = Watch().monitor()
    await looked(monitor, look(row(channel=""), **view), evolve(OWNED, **changes))
    text = await measured(monitor)
    assert text["A5"].startswith(f"from the answer to the first look that lists: {told};")
    assert text["A9"] == "channel of our own orders: none seen yet"


@pytest.mark.parametrize(
    ("stamped", "changes", "hours", "kinds", "is_measured"),
    [
        pytest.param(0, {}, {}, [], True, id="in time"),
        pytest.param(5, {}, {}, [BreachKind.CLOCK_NEAR], True, id="near the bound"),
        pytest.param(None, {}, {}, [], False, id="no stamp"),
        pytest.param(5, {"ended_at": None}, {}, [], False, id="no end"),
        pytest.param(5, {}, {"opens_at": NOON.time().replace(hour=13)}, [], False, id="outside of the hours"),
    ],
)
async def test_stamp_of_a_row_tells_of_the_clocks(
    stamped: int | None, changes: dict[str, Any], hours: dict[str, Any], kinds: list[BreachKind], *, is_measured: bool
) -> None:
    """It lies between the send and its end, where it is that of the acceptance."""
    monitor = Watch(environment=Environment("http://127.0.0.1", **hours)).monitor()
    at = None if stamped is None else NOON + timedelta(seconds=stamped)
    assert await looked(monitor, look(row(ordered_at=at)), evolve(OWNED, **changes)) == kinds
    assert ("by stamps: none" not in (await measured(monitor))["A11"]) is is_measured


# ---------------------------------------------------------------------- images of our orders


TWIN: Final = row(109)
LOST: Final = evolve(OWNED, client_order_id="lost", state=Delivery.UNKNOWN, broker_order_id=None, resolved_by=None)


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({}, [BreachKind.FOREIGN_TWIN]),
        ({"is_own_transport": False}, [BreachKind.SECOND_ORDER]),
        ({"is_exclusive": False}, []),
    ],
)
async def test_image_of_an_order_of_ours_is_an_alarm(settings: dict[str, bool], kinds: list[BreachKind]) -> None:
    """Another program placed it, or it was sent twice; where others trade as well it says nothing."""
    monitor = Watch().monitor(**settings)
    assert await looked(monitor, look(row(), TWIN), OWNED) == kinds
    assert [kind for kind, _ in noted(monitor)] == kinds
    assert all(
        text.startswith("order 0000109 is on the book beside 0000101, the number of ours") for _, text in noted(monitor)
    )
    assert await looked(monitor, look(row(), TWIN), OWNED) == [], "it is told once"


@pytest.mark.parametrize(
    ("twin", "owner"),
    [
        pytest.param(evolve(TWIN, action=Action.CANCEL), {}, id="a cancel"),
        pytest.param(evolve(TWIN, quantity=11), {}, id="another size"),
        pytest.param(TWIN, {"resolved_by": ResolvedBy.OPERATOR}, id="a person may have been wrong about ours"),
    ],
)
async def test_row_that_is_no_image_of_ours(twin: LedgerOrder, owner: dict[str, Any]) -> None:
    """Nothing is said of it."""
    assert await looked(Watch().monitor(), look(row(), twin), evolve(OWNED, **owner)) == []


@pytest.mark.parametrize(
    ("journal", "is_told"),
    [
        pytest.param({"open": [LOST]}, False, id="an open one"),
        pytest.param({"absent": [LOST]}, False, id="one proven absent"),
        pytest.param({"claimed": {(Desk.STOCK, DAY, "0000109"): "b"}}, False, id="it got its number meanwhile"),
        pytest.param({"open": [evolve(LOST, state=Delivery.PREPARED)]}, True, id="one that was not sent"),
        pytest.param({"open": [evolve(LOST, request=evolve(BUY, symbol="000660"))]}, True, id="of another symbol"),
        pytest.param({"open": [evolve(LOST, request=evolve(BUY, desk=Desk.GOLD))]}, True, id="of another ledger"),
    ],
)
async def test_row_that_may_be_an_order_of_ours_without_a_number_is_no_image(
    journal: dict[str, Any], *, is_told: bool
) -> None:
    """It is judged once nothing unclear is left."""
    watch = Watch(Journal(**journal))
    monitor = watch.monitor()
    twins = [BreachKind.FOREIGN_TWIN]
    assert await looked(monitor, look(row(), TWIN), OWNED) == (twins if is_told else [])
    assert watch.journal.since == [DAY - timedelta(days=1) - SHOWS_UP_WITHIN]
    watch.journal.open, watch.journal.absent, watch.journal.claimed = [], [], {}
    assert await looked(monitor, look(row(), TWIN), OWNED) == ([] if is_told else twins)


async def test_one_row_may_be_ours_and_another_one_have_its_number_and_a_third_be_foreign() -> None:
    """Each is judged by itself."""
    watch = Watch(Journal(claimed={(Desk.STOCK, DAY, "0000109"): "b"}))
    monitor = watch.monitor()
    snapshot = look(row(), TWIN, row(110), row(111, symbol="000660"))
    watch.journal.open = [evolve(LOST, request=evolve(BUY, symbol="000660"))]
    other = evolve(OWNED, broker_order_id="0000102", request=evolve(BUY, symbol="000660"))
    assert await looked(monitor, snapshot, OWNED, other) == [BreachKind.FOREIGN_TWIN]
    assert "order 0000110 is on the book" in noted(monitor)[0][1]


async def test_clear_row_of_a_day_says_nothing_of_the_same_number_elsewhere() -> None:
    """Numbers begin anew every day, and each ledger has its own."""
    monitor = Watch().monitor()
    await looked(monitor, look(row(), TWIN), OWNED)
    gold = evolve(OWNED, request=evolve(BUY, desk=Desk.GOLD))
    rows = (row(desk=Desk.GOLD), row(109, desk=Desk.GOLD), row(110, desk=Desk.GOLD))
    again = await monitor.looked(look(*rows, desk=Desk.GOLD), claims(gold), frozenset())
    assert [breach.text.split()[1] for breach in again] == ["0000109", "0000110"]


async def test_image_is_looked_for_anew_every_day() -> None:
    """Numbers begin anew: one that was cleared yesterday is another order's today."""
    monitor = Watch().monitor()
    await looked(monitor, look(row(), TWIN), OWNED)
    after = timedelta(days=1)
    ours = evolve(OWNED, day=DAY + after, dispatched_at=NOON + after, ended_at=NOON + after)
    rows = [evolve(one, day=DAY + after, ordered_at=NOON + after) for one in (row(), TWIN)]
    assert await looked(monitor, look(*rows, day=DAY + after), ours) == [BreachKind.FOREIGN_TWIN]


async def test_order_whose_end_nobody_knows_teaches_nothing() -> None:
    """Its row may be that of a send that is still under way."""
    monitor = Watch().monitor()
    assert await looked(monitor, look(row(price=71_000)), evolve(OWNED, ended=None)) == []
    assert not monitor.was_seen(Desk.STOCK, DAY, "0000101")


async def test_channel_that_ours_have_taught_makes_an_image() -> None:
    """As the ledger spells it."""
    twin = row(109, channel="제휴")
    assert await Watch().monitor().looked(look(row(), twin), claims(OWNED), frozenset()) == ()
    assert len(await Watch().monitor().looked(look(row(), twin), claims(OWNED), frozenset({"제휴"}))) == 1


@pytest.mark.parametrize(("pairs", "is_elsewhere"), [(999, False), (1000, True)])
async def test_many_pairs_are_judged_off_the_event_loop(pairs: int, *, is_elsewhere: bool) -> None:
    """An order's send must not wait for them."""
    told: list[str] = []

    async def run(work: Callable[[], str]) -> str:
        told.append("elsewhere")
        return work()

    watch = Watch()
    cast("Any", watch.ambient).workplace = SimpleNamespace(run=run, begin=None)
    monitor = watch.monitor()
    assert await monitor._judge_pairs(pairs, lambda: "judged") == "judged"
    assert bool(told) is is_elsewhere


# ---------------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("changes", "view", "is_overdue"),
    [
        pytest.param({}, {}, True, id="overdue"),
        pytest.param({"ended": 1004.0}, {}, False, id="within the bound"),
        pytest.param({}, {"rows": (row(),)}, False, id="listed"),
        pytest.param({}, {"since": 101}, False, id="the look begins after it"),
        pytest.param({}, {"since": 100}, True, id="the first of the look"),
        pytest.param({}, {"is_final": True}, False, id="the day is over"),
        pytest.param({"resolved_by": ResolvedBy.EVENT}, {}, False, id="told by the feed"),
        pytest.param({"boot_id": "before"}, {}, False, id="by another clock"),
        pytest.param({"ended": None}, {}, False, id="no end"),
    ],
)
def test_order_that_a_look_should_list_by_now(
    changes: dict[str, Any], view: dict[str, Any], *, is_overdue: bool
) -> None:
    """One that was answered longer ago than `visibility_bound`."""
    snapshot = look(**{"began": 1010.0, **view})
    found = Watch().monitor().overdue(snapshot, claims(evolve(OWNED, **{"ended": 1003.9, **changes})))
    assert found == (("0000101",) if is_overdue else ())


async def test_missing_order_is_explained_by_what_was_seen_of_it() -> None:
    """Whether it was never listed, has gone, or is open at the same moment, are different assumptions."""
    monitor = Watch().monitor()
    empty = look()
    assert monitor.missing("0000101", empty).kind is BreachKind.NOT_LISTED
    assert monitor.missing("0000101", empty, is_open=True).kind is BreachKind.LEDGER_INCOMPLETE
    await looked(monitor, look(row()), OWNED)
    assert monitor.missing("0000101", empty).kind is BreachKind.LEDGER_STALE
    assert monitor.missing("0000101", look(row(102))).kind is BreachKind.ROW_DISAPPEARED


# ---------------------------------------------------------------------- what is told


async def test_health_counts_what_was_measured() -> None:
    """With units, and beside the bound that it is held against."""
    watch = Watch(difference=0.39)
    watch.journal.durable = DurableHealth(facts=JournalFacts("orders.db", 9, 4096, True, "3.50"))
    monitor = watch.monitor()
    monitor.void()
    for strength in (Strength.STRONG, Strength.WEAK, Strength.WEAK):
        monitor.proved(cast("Any", SimpleNamespace(strength=strength)))
    health = await monitor.health(STEADY)
    assert (health.state, health.at, health.feed) == (HealthState.OK, watch.ambient.now(), STEADY)
    assert {one.assumption: one.measured for one in health.assumptions} == {
        Assumption.A1: "SQLite 3.50, synchronous=FULL, schema 9, 4096 bytes",
        Assumption.A2: "0 sends by this client, 0 held back for coming too late",
        Assumption.A3: "0 sends, 0 answers",
        Assumption.A4: "answers: none; acceptance_bound 10 s",
        Assumption.A5: (
            "from the answer to the first look that lists: none; not listed yet after: none; visibility_bound 6 s"
        ),
        Assumption.A6: "0 complete looks, 1 thrown away",
        Assumption.A7: "absences proven with a witness: 1, without one: 2",
        Assumption.A8: "0 numbers by answers",
        Assumption.A9: "channel of our own orders: none seen yet",
        Assumption.A10: "0 rows held against what was sent",
        Assumption.A11: (
            "proven by answers: 0.3 s; by stamps: none; clock_skew 4 s; reports before the answer: none; after it: none"
        ),
    }
    watch.journal.durable = DurableHealth(facts=JournalFacts("orders.db"))
    assert "NOT known to be synchronous" in (await measured(monitor))["A1"]


async def test_health_tells_of_findings_before_they_are_written_and_once_afterwards() -> None:
    """Whether the journal has a finding makes no difference to who asks."""
    watch = Watch()
    monitor = watch.monitor()
    monitor.note(FOUND, is_told=True)
    before = (await monitor.health(STEADY))["A5"]
    assert (before.state, before.times) == (HealthState.ALARM, 1)
    assert FOUND.text in before.text
    now = watch.ambient.now()
    watch.journal.durable = DurableHealth(kept=(KeptBreach(FOUND, now, now, 1),))
    assert (await monitor.health(STEADY))["A5"] == before


@pytest.mark.parametrize(
    ("journal", "difference", "kind", "is_kept"),
    [
        pytest.param(
            {"errors": [JournalLocked("it is locked.")]}, 0.0, BreachKind.JOURNAL_UNREADABLE, False, id="unreadable"
        ),
        pytest.param(
            {"durable": DurableHealth(has_lost_rows=True)}, 0.0, BreachKind.JOURNAL_LOST_ROWS, True, id="lost rows"
        ),
        pytest.param({}, 4.5, BreachKind.CLOCK_OFF, True, id="clock off"),
    ],
)
async def test_health_tells_of_what_is_wrong_at_this_moment(
    journal: dict[str, Any], difference: float, kind: BreachKind, *, is_kept: bool
) -> None:
    """It never fails, and keeps what the journal can keep."""
    monitor = Watch(Journal(**journal), difference=difference).monitor()
    health = await monitor.health(STEADY)
    (alarm,) = health.alarms
    wrong = Breach(kind, "")
    assert alarm.assumption is wrong.assumption
    assert alarm.text.endswith(f". {wrong.advice}.")
    assert ".." not in alarm.text
    assert health.journal.path == ("orders.db" if kind is BreachKind.JOURNAL_UNREADABLE else "")
    assert [one for one, _ in noted(monitor)] == ([kind] if is_kept else [])
