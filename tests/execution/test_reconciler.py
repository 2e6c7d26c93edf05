"""When the reconciler asks the broker, for what, how long it pauses in between, and what it tells people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import anyio
import pytest
from attrs import Factory, define, evolve

from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.intents import SHOWS_UP_WITHIN, Attempt
from kiwoom_async._domain.reconciliation import ForeignOrder, ReconciliationReport, UnresolvedOrder
from kiwoom_async._domain.settings import Reliance, Timing
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.findings import PassFindings
from kiwoom_async._execution.ledger_reader import WrongAccount
from kiwoom_async._execution.reconciler import FeedWatch, Reconciler
from kiwoom_async._execution.settlements import Bell
from kiwoom_async._journal.records import Finding, LedgerNews, OrderRecord
from kiwoom_async.errors import JournalLocked, KiwoomError, QueryFailed, Refused
from tests.domain.test_matching import BUY, CANCEL, attempt
from tests.journal.builders import DAY, NOON, FixedAmbient, intent, obligation, row

TIMING: Final = Timing(reconcile_interval=2.0, watch_interval=30.0, response_timeout=30.0)
HERE: Final = "boot-1"
UNKNOWN: Final = attempt(client_order_id="unknown", boot_id=HERE, day=DAY, ended=900.0)
IN_FLIGHT: Final = evolve(UNKNOWN, client_order_id="flying", state=Delivery.DISPATCHED, ended=None, ended_at=None)
"""Sent at noon by this process: its permission ends at 1005."""
THEIRS: Final = evolve(IN_FLIGHT, client_order_id="theirs", runner="other")
WAITING: Final = evolve(obligation(runner="r"), client_order_id="waiting")
ABSENT: Final = evolve(UNKNOWN, client_order_id="absent", state=Delivery.NOT_ACCEPTED)
ANSWERED: Final = evolve(UNKNOWN, client_order_id="answered", state=Delivery.ACKNOWLEDGED)


@define
class Around:
    """Everything that a reconciler works with; what it was asked for stands in `asked`, in order."""

    ambient: FixedAmbient = Factory(FixedAmbient)
    account: str = "key-1"
    runner: str = "r"
    asked: list[tuple[Any, ...]] = Factory(list)
    # The journal.
    open: list[Attempt] = Factory(list)
    left: list[Attempt] = Factory(list)
    absent: list[Attempt] = Factory(list)
    records: dict[str, OrderRecord] = Factory(dict)
    leases: list[bool] = Factory(list)
    release_error: KiwoomError | None = None
    # The reader of the ledger.
    queries: int = 0
    proven_clock_difference: float = 0.0
    highest: int | KiwoomError = 7
    # The resolver.
    by_the_feed: list[Callable[[PassFindings], None]] = Factory(list)
    by_the_ledger: list[Callable[[PassFindings], None]] = Factory(list)
    days: dict[str, tuple[date, ...]] = Factory(dict)
    # The others.
    is_forgotten_due: bool = False
    is_surplus_due: bool = False
    is_close_due: bool = False
    is_live: bool = False
    forgotten_texts: tuple[str, ...] = ()
    closed: list[DayClose] = Factory(list)
    marks: dict[Desk, int] = Factory(dict)
    audited: tuple[Breach, ...] = ()
    timing: Timing = TIMING

    def reconciler(self, bell: Any = None, feed_bell: Any = None) -> Reconciler:
        """Give a reconciler in the middle of all this."""
        forgotten = SimpleNamespace(is_due=self._is_forgotten_due, look=self._look_for_forgotten)
        surplus = SimpleNamespace(is_due=self._is_surplus_due, begin=self._begin_surplus)
        me = cast("Any", self)
        feed = FeedWatch(feed_bell or Bell(), lambda: self.is_live)
        return Reconciler(
            *(me, me, me, me, me, cast("Any", forgotten), cast("Any", surplus)),
            feed,
            bell or Bell(),
            self.ambient,
            self.timing,
            me,
            me,
        )

    def all_asked(self, name: str) -> list[tuple[Any, ...]]:
        """List how often something was asked for, and with what."""
        return [told[1:] for told in self.asked if told[0] == name]

    async def adopt_orphans(self) -> None:
        """Take over what dead processes left."""
        self.asked.append(("adopt",))

    async def open_attempts(self) -> tuple[Attempt, ...]:
        """Give what is open."""
        return tuple(self.open)

    async def left_unresolved(self) -> tuple[Attempt, ...]:
        """Give what closed days have left."""
        return tuple(self.left)

    async def watched_attempts(self, since: date) -> tuple[Attempt, ...]:
        """Give what was proven absent."""
        self.asked.append(("watched", since))
        return tuple(self.absent)

    async def note_ledger(self, news: LedgerNews) -> None:
        """Learn."""
        self.asked.append(("news", news))

    async def take_lease(self, name: str, seconds: float) -> float | None:
        """Let it have its turn, or another process."""
        self.asked.append(("lease", name, seconds))
        return 1.0 if not self.leases or self.leases.pop(0) else None

    async def release_lease(self, name: str) -> None:
        """Take it back, which takes a moment."""
        await anyio.lowlevel.checkpoint()
        if self.release_error is not None:
            raise self.release_error
        self.asked.append(("release", name))

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """Give an order."""
        return self.records.get(client_order_id)

    async def conclude(self, concerned: Attempt, finding: Finding) -> None:
        """Write down what became of a send."""
        self.asked.append(("conclude", concerned.key, finding))
        self.open = [evolve(one, state=Delivery.UNKNOWN) if one is concerned else one for one in self.open]

    async def fetch_highest_number(self, desk: Desk, day: date) -> int:
        """Give the highest number of a day."""
        self.asked.append(("mark", desk, day))
        if isinstance(self.highest, KiwoomError):
            raise self.highest
        return self.highest

    async def resolve_from_feed(self, found: PassFindings) -> None:
        """Do what the test wants next."""
        self.asked.append(("feed",))
        if self.by_the_feed:
            self.by_the_feed.pop(0)(found)

    async def resolve_desk(
        self, desk: Desk, wanted: Sequence[Attempt], watched: Sequence[Attempt], found: PassFindings
    ) -> None:
        """Look at the ledger: two queries."""
        self.asked.append(("desk", desk, [one.key for one in wanted], [one.key for one in watched]))
        self.queries += 2
        await anyio.lowlevel.checkpoint()
        if self.by_the_ledger:
            self.by_the_ledger.pop(0)(found)

    def forget_settled(self, wanted: Sequence[Attempt]) -> None:
        """Forget about all but these."""
        self.asked.append(("forget", [one.key for one in wanted]))

    def days_of(self, one: Attempt) -> tuple[date, ...]:
        """Give the days of an attempt."""
        return self.days.get(one.client_order_id, (one.day,))

    def last_candidates(self, one: Attempt) -> tuple[str, ...]:
        """Give the numbers it may have."""
        return ("0000009",) if one.state is Delivery.CANDIDATES else ()

    def day_of_candidate(self, one: Attempt, number: str) -> date | None:
        """Give the day of such a number."""
        return one.day if number == "0000009" else None

    def resume(self, decided: Any) -> None:
        """Go on with an order that waits."""
        self.asked.append(("resume", decided))

    async def due(self, attempts: Sequence[Attempt]) -> bool:
        """Tell whether a day has to be closed."""
        assert list(attempts) == self.open
        return self.is_close_due

    async def close_all(self, attempts: Sequence[Attempt]) -> list[DayClose]:
        """Close days."""
        self.asked.append(("close", [one.key for one in attempts]))
        return self.closed

    async def _is_forgotten_due(self) -> bool:
        return self.is_forgotten_due

    async def _look_for_forgotten(self) -> tuple[str, ...]:
        return self.forgotten_texts

    async def _is_surplus_due(self) -> bool:
        return self.is_surplus_due

    async def _begin_surplus(self) -> None:
        self.asked.append(("surplus",))

    def unseen(self, today: date) -> dict[Desk, int]:
        """Give what no look has listed yet."""
        assert today == DAY
        return self.marks

    def void(self) -> None:
        """Count a look that failed."""
        self.asked.append(("void",))

    def note(self, breach: Breach, *, is_told: bool = False) -> None:
        """Keep a finding."""
        self.asked.append(("note", breach, is_told))

    async def audit(self) -> tuple[Breach, ...]:
        """Look at what no look has listed yet."""
        self.asked.append(("audit",))
        return self.audited


def failing(error: BaseException) -> Callable[[PassFindings], None]:
    """Let a step of the resolver fail."""

    def fail(_: PassFindings) -> None:
        raise error

    return fail


def finds(*resolved: str, next_look: Sequence[float] = (), alarm: str = "") -> Callable[[PassFindings], None]:
    """Let a step of the resolver find something."""

    def find(found: PassFindings) -> None:
        found.resolved += resolved
        found.next_look += next_look
        if alarm:
            found.raise_alarm(BreachKind.REVIVED, alarm)

    return find


END: Final = failing(asyncio.CancelledError())
"""Ends a loop that would go on for as long as the client lives."""


def sleeps_of(patch: pytest.MonkeyPatch, ambient: FixedAmbient) -> list[float]:
    """Let time pass by itself instead of sleeping; give the seconds."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        ambient.seconds += seconds

    patch.setattr(anyio, "sleep", sleep)
    return slept


class Ringing(Bell):
    """A bell that rings at once, and tells how long one would have listened to it."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.muffled = 0

    def muffle(self) -> None:
        """Count it."""
        self.muffled += 1

    async def wait(self) -> None:
        """Note how long somebody would wait."""
        self.pauses.append(round(anyio.current_effective_deadline() - anyio.current_time(), 1))


# ---------------------------------------------------------------------- which attempts need work


@pytest.mark.parametrize("state", list(Delivery))
@pytest.mark.parametrize("is_ours", [True, False])
def test_what_needs_work(state: Delivery, *, is_ours: bool) -> None:
    """What is unresolved, whoever sent it; and what waits here for the number of its target."""
    concerned = evolve(UNKNOWN, state=state, runner="r" if is_ours else "other")
    unresolved = {Delivery.UNKNOWN, Delivery.CANDIDATES, Delivery.UNRESOLVED_AT_CLOSE}
    is_needed = state in unresolved or (state is Delivery.PREPARED and is_ours)
    assert Around().reconciler()._needs_work(concerned) is is_needed


@pytest.mark.parametrize(
    ("sent", "now", "is_overdue"),
    [
        pytest.param(THEIRS, 1036.0, False, id="another's, in time"),
        pytest.param(THEIRS, 1036.1, True, id="another's, late"),
        pytest.param(IN_FLIGHT, 1095.0, False, id="ours, in time"),
        pytest.param(IN_FLIGHT, 1095.1, True, id="ours, late"),
        pytest.param(evolve(THEIRS, boot_id="before"), 9999.0, False, id="by another clock"),
        pytest.param(evolve(THEIRS, state=Delivery.PREPARED), 9999.0, False, id="not sent"),
        pytest.param(evolve(THEIRS, state=Delivery.ACKNOWLEDGED), 9999.0, False, id="answered"),
        pytest.param(
            evolve(THEIRS, relied_on=Reliance.of(Timing(response_timeout=60.0), is_exclusive=True)),
            1066.0,
            False,
            id="its sender waits longer",
        ),
    ],
)
def test_send_of_which_nothing_is_heard_is_lost_only_after_its_own_limits(
    sent: Attempt, now: float, *, is_overdue: bool
) -> None:
    """One called lost too early would be looked for while its sender may still write."""
    around = Around(FixedAmbient(monotonic=now))
    assert around.reconciler()._is_overdue(sent) is is_overdue
    assert around.reconciler()._needs_work(sent) is is_overdue


@pytest.mark.parametrize(
    ("changes", "days", "is_watched"),
    [
        pytest.param({}, (DAY,), True, id="today"),
        pytest.param({}, (DAY - timedelta(days=1),), True, id="yesterday, whose last look may be missing"),
        pytest.param({}, (DAY - timedelta(days=2),), False, id="over"),
        pytest.param({}, (DAY - timedelta(days=2), DAY), True, id="its last day counts"),
        pytest.param({"state": Delivery.REVIVED}, (DAY,), False, id="it has turned up"),
    ],
)
async def test_proven_absence_is_watched_until_its_days_are_over(
    changes: dict[str, Any], days: tuple[date, ...], *, is_watched: bool
) -> None:
    """The order would be on the book beside its second send if a bound did not hold."""
    proven = evolve(ABSENT, **changes)
    around = Around(absent=[proven], days={"absent": days})
    assert await around.reconciler()._watched() == ((proven,) if is_watched else ())
    assert around.asked == [("watched", DAY - timedelta(days=1) - SHOWS_UP_WITHIN)]


# ---------------------------------------------------------------------- when a pass is due


@pytest.mark.parametrize(
    ("changes", "is_due"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"open": [IN_FLIGHT]}, False, id="all in flight"),
        pytest.param({"open": [IN_FLIGHT, UNKNOWN]}, True, id="one unresolved among others"),
        pytest.param({"absent": [ABSENT]}, True, id="one to watch"),
        pytest.param({"marks": {Desk.STOCK: 0}}, False, id="an audit, before its time"),
        pytest.param({"is_forgotten_due": True}, True, id="forgotten orders"),
        pytest.param({"is_surplus_due": True}, True, id="surplus orders"),
        pytest.param({"is_close_due": True}, True, id="a day to close"),
    ],
)
async def test_pass_is_done_where_there_is_something_to_do(changes: dict[str, Any], *, is_due: bool) -> None:
    """Otherwise the journal is looked at again a little later, and the broker is asked nothing."""
    around = Around(**changes)
    pause = await around.reconciler()._work()
    assert bool(around.all_asked("feed")) is is_due
    assert pause == (2.0 if is_due else 5.0)
    assert around.asked[0] == ("adopt",)


@pytest.mark.parametrize(
    ("waited", "marks", "is_done"),
    [
        pytest.param(299.9, {Desk.STOCK: 0}, False, id="not yet"),
        pytest.param(300.0, {Desk.STOCK: 0}, True, id="after five minutes"),
        pytest.param(300.0, {}, False, id="nothing to see"),
    ],
)
async def test_audit_comes_every_five_minutes_while_something_was_not_listed(
    waited: float, marks: dict[Desk, int], *, is_done: bool
) -> None:
    """The assumptions are watched also where nothing is unresolved; an account without orders is asked nothing."""
    around = Around(marks=marks)
    reconciler = around.reconciler()
    around.ambient.seconds += waited
    await reconciler._work()
    await reconciler._work()  # not a second time
    assert len(around.all_asked("audit")) == is_done
    around.ambient.seconds += 300.0
    await reconciler._work()
    assert len(around.all_asked("audit")) == bool(marks) + is_done


async def test_pass_for_other_reasons_audits_only_when_that_is_due() -> None:
    """A query in five minutes is what it costs; a full pass on demand does everything, and counts as an audit."""
    around = Around(open=[UNKNOWN], marks={Desk.STOCK: 0})
    reconciler = around.reconciler()
    await reconciler._work()
    assert around.all_asked("audit") == []
    around.ambient.seconds += 299.0
    await reconciler.reconcile()
    assert len(around.all_asked("audit")) == 1
    around.ambient.seconds += 299.0
    await reconciler._work()
    assert len(around.all_asked("audit")) == 1


async def test_absences_are_watched_at_their_own_pace() -> None:
    """At the first pass and every `watch_interval`; a full pass looks at them whenever it is asked for."""
    around = Around(open=[UNKNOWN], absent=[ABSENT])
    reconciler = around.reconciler()
    for waited in (0.0, 29.9, 0.1):
        around.ambient.seconds += waited
        await reconciler._work()
    await reconciler.reconcile()
    both: tuple[list[str], list[str]] = (["unknown#1"], ["absent#1"])
    one: tuple[list[str], list[str]] = (["unknown#1"], [])
    assert [(wanted, watched) for _, wanted, watched in around.all_asked("desk")] == [both, one, both, both]


async def test_first_look_is_at_once_on_a_machine_that_has_just_started() -> None:
    """Its clock begins near zero, and what was proven absent before may turn up now."""
    around = Around(FixedAmbient(monotonic=0.5), absent=[ABSENT])
    await around.reconciler()._work()
    assert around.all_asked("desk") == [(Desk.STOCK, [], ["absent#1"])]
    around = Around(FixedAmbient(monotonic=2.5), is_surplus_due=True, is_live=True)
    await around.reconciler()._work()
    assert around.all_asked("surplus") == [()]


async def test_absence_is_watched_anew_only_after_the_interval_also_where_nothing_else_is_to_do() -> None:
    """However often the journal is looked into meanwhile."""
    around = Around(absent=[ABSENT])
    reconciler = around.reconciler()
    looks = []
    for waited in (0.0, 0.0, 29.9, 0.1):
        around.ambient.seconds += waited
        await reconciler._work()
        looks.append(len(around.all_asked("desk")))
    assert looks == [1, 1, 1, 2]


# ---------------------------------------------------------------------- how long it pauses


async def test_looks_that_bring_nothing_new_are_spaced_out() -> None:
    """Up to eight intervals; what is resolved brings the next one near again."""
    around = Around(open=[UNKNOWN])
    reconciler = around.reconciler()
    assert [await reconciler._work() for _ in range(6)] == [2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
    around.by_the_ledger = [finds("unknown")]
    assert await reconciler._work() <= 2.0
    assert [await reconciler._work() for _ in range(2)] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("next_look", "pause"),
    [([], 2.0), ([1000.25], 0.25), ([1001.5, 1000.5], 0.5), ([1009.0], 2.0), ([1000.0], 2.0), ([990.0], 2.0)],
)
async def test_next_look_is_when_it_can_prove_something(next_look: list[float], pause: float) -> None:
    """A moment that has passed calls for nothing more."""
    around = Around(open=[UNKNOWN], by_the_ledger=[finds(next_look=next_look)])
    assert await around.reconciler()._work() == pause


async def test_pass_of_another_process_is_not_done_twice() -> None:
    """This one looks again a little later."""
    around = Around(open=[UNKNOWN], leases=[False])
    assert await around.reconciler()._work() == 2.0
    assert around.all_asked("feed") == around.all_asked("release") == []
    assert around.all_asked("lease") == [("reconciler of key-1", 60.0)]


JUST_ENDED: Final = evolve(UNKNOWN, client_order_id="just", ended=999.5)


@pytest.mark.parametrize(
    ("changes", "pause"),
    [
        pytest.param({"open": [JUST_ENDED]}, 1.5, id="just ended"),
        pytest.param({"open": [JUST_ENDED, IN_FLIGHT]}, 1.5, id="others are in flight"),
        pytest.param({"open": [JUST_ENDED, evolve(JUST_ENDED, ended=998.5)]}, 0.5, id="the first that ended counts"),
        pytest.param({"open": [JUST_ENDED], "is_live": False}, None, id="no feed"),
        pytest.param({"open": [evolve(JUST_ENDED, ended=998.0)]}, None, id="it had its time"),
        pytest.param({"open": [JUST_ENDED, evolve(JUST_ENDED, boot_id="before")]}, None, id="one by another clock"),
        pytest.param({"open": [JUST_ENDED, evolve(JUST_ENDED, ended=None)]}, None, id="one without an end"),
        pytest.param({"open": [JUST_ENDED, WAITING]}, None, id="one waits for something else"),
        pytest.param({"open": [JUST_ENDED, evolve(WAITING, ended=999.0)]}, None, id="one waits, whatever it shows"),
        pytest.param({"open": [JUST_ENDED], "absent": [ABSENT]}, None, id="one is watched"),
        pytest.param({"is_surplus_due": True}, None, id="another duty"),
    ],
)
async def test_live_feed_spares_the_ledger_for_a_moment(changes: dict[str, Any], pause: float | None) -> None:
    """It tells within a round trip what it will ever tell; what it cannot tell of does not wait for it."""
    around = Around(**{"is_live": True, **changes, "records": {"waiting": record_of(WAITING)}})
    assert await around.reconciler()._work() == (2.0 if pause is None else pause)
    assert bool(around.all_asked("feed")) is (pause is None)


# ---------------------------------------------------------------------- the high-water mark


async def test_mark_is_learnt_once_a_day() -> None:
    """From then on no look has to read the whole day."""
    around = Around(highest=42)
    reconciler = around.reconciler()
    await reconciler._learn_mark()
    await reconciler._learn_mark()
    assert around.all_asked("mark") == [(Desk.STOCK, DAY)]
    assert around.all_asked("news") == [(LedgerNews("key-1", Desk.STOCK, DAY, (), (), 42),)]
    around.ambient.seconds += 86_400
    await reconciler._learn_mark()
    assert around.all_asked("mark") == [(Desk.STOCK, DAY), (Desk.STOCK, DAY + timedelta(days=1))]
    assert len(around.all_asked("news")) == 2


@pytest.mark.parametrize("error", [QueryFailed("kt00007", "no"), Refused("no", code="1", broker_message="no")])
async def test_mark_that_cannot_be_learnt_holds_nothing_up(error: KiwoomError) -> None:
    """Failure is not zero: nothing is written, and looks are longer and as right."""
    around = Around(highest=error, open=[UNKNOWN])
    reconciler = around.reconciler()
    await reconciler._work()
    await reconciler._work()
    assert len(around.all_asked("mark")) == 1
    assert around.all_asked("news") == []
    assert len(around.all_asked("desk")) == 2


async def test_background_pass_learns_the_mark() -> None:
    """Before there is anything to resolve."""
    around = Around()
    await around.reconciler()._work()
    assert len(around.all_asked("news")) == 1


# ---------------------------------------------------------------------- one pass


def record_of(*attempts: Attempt) -> OrderRecord:
    """Give the record of an order."""
    return OrderRecord(intent(attempts[0].client_order_id, attempts[0].request), attempts, (), {})


async def test_pass_declares_lost_what_its_sender_left_and_looks_for_it() -> None:
    """Its permission had ended by then, on both clocks; what is in flight is left to its sender."""
    around = Around(FixedAmbient(monotonic=1040.0), open=[THEIRS, IN_FLIGHT])
    await around.reconciler()._do_pass(is_full=False)
    lost = Finding(
        Event.LOST,
        reason="the process that sent it does not answer",
        ended=1005.0,
        ended_at=THEIRS.dispatched_at + timedelta(seconds=5),
    )
    assert around.all_asked("conclude") == [("theirs#1", lost)]
    assert around.all_asked("desk") == [(Desk.STOCK, ["theirs#1"], [])]
    assert around.all_asked("forget") == [(["theirs#1"],)]
    assert around.all_asked("close") == [(["theirs#1", "flying#1"],)]
    assert around.all_asked("surplus") == [()]
    assert around.all_asked("resume") == []


async def test_pass_goes_on_with_what_waits_here() -> None:
    """What another process prepared is its own; what is unresolved is not sent by a pass."""
    known = record_of(WAITING)
    elsewhere = evolve(WAITING, client_order_id="elsewhere", runner="other")
    around = Around(
        open=[WAITING, elsewhere, UNKNOWN, IN_FLIGHT],
        records={one.client_order_id: record_of(one) for one in (elsewhere, UNKNOWN, IN_FLIGHT)} | {"waiting": known},
    )
    await around.reconciler()._do_pass(is_full=False)
    assert around.all_asked("resume") == [(known.intent,)]
    assert around.all_asked("conclude") == []


async def test_each_ledger_is_looked_at_once_and_for_its_own() -> None:
    """Credit orders stand among the stocks; gold has a ledger of its own."""
    credit = evolve(UNKNOWN, client_order_id="credit", request=evolve(BUY, desk=Desk.CREDIT))
    gold = evolve(ABSENT, client_order_id="gold", request=evolve(BUY, desk=Desk.GOLD))
    around = Around(open=[UNKNOWN, credit], absent=[gold])
    await around.reconciler()._do_pass(is_full=True)
    assert around.all_asked("desk") == [(Desk.STOCK, ["unknown#1", "credit#1"], []), (Desk.GOLD, [], ["gold#1"])]


@pytest.mark.parametrize(
    ("error", "alarms"),
    [
        (QueryFailed("kt00007", "no answer"), []),
        (Refused("too many", code="1700", broker_message="too many"), []),
        (WrongAccount("kt00007", "another account"), [BreachKind.OTHER_ACCOUNT]),
    ],
)
async def test_look_that_fails_is_no_look(error: KiwoomError, alarms: list[BreachKind]) -> None:
    """The other ledger is looked at all the same; people hear what keeps the order open, and which account it was."""
    gold = evolve(UNKNOWN, client_order_id="gold", request=evolve(BUY, desk=Desk.GOLD))
    around = Around(open=[UNKNOWN, gold], by_the_ledger=[failing(error)])
    found = await around.reconciler()._do_pass(is_full=False)
    assert len(around.all_asked("desk")) == 2
    assert found.why == {"unknown#1": f"the last look failed: {error}"}
    assert around.all_asked("void") == [()]
    assert [breach.kind for breach in found.breaches] == alarms
    assert found.alarms == ([f"a look at the stock ledger failed: {error}"] if alarms else [])


async def test_pass_reports_what_it_has_found() -> None:
    """Alarms of the audit and of orders that the journal lacks among it."""
    foreign = ForeignOrder.of(row("0000009"))
    closed = DayClose(DAY, Desk.STOCK, NOON, 0, 0, 0, (), ())
    seen = Breach(BreachKind.NOT_LISTED, "not listed")
    around = Around(
        open=[UNKNOWN],
        forgotten_texts=("the journal lacks 0000008",),
        closed=[closed],
        audited=(seen,),
        queries=5,
        by_the_ledger=[lambda found: found.foreign.append(foreign)],
        by_the_feed=[finds("order-7")],
    )
    assert await around.reconciler().reconcile() == ReconciliationReport(
        resolved=("order-7",),
        unresolved=(UnresolvedOrder("unknown", 1, Delivery.UNKNOWN, UNKNOWN.dispatched_at, "it is being sent"),),
        foreign=(foreign,),
        alarms=("the journal lacks 0000008", "not listed"),
        queries=2,
        closed=(closed,),
    )
    lacks = Breach(BreachKind.FORGOTTEN_ORDER, "the journal lacks 0000008")
    assert around.all_asked("note") == [(lacks, True)]


async def test_report_says_why_the_last_look_failed() -> None:
    """That is news; without a look it is what the journal says."""
    around = Around(
        open=[evolve(UNKNOWN, reason="no answer came")], by_the_ledger=[failing(QueryFailed("kt00007", "no"))]
    )
    reconciler = around.reconciler()
    (told,) = (await reconciler.reconcile()).unresolved
    assert told.why.startswith("the last look failed: ")
    (kept,) = await reconciler.list_unresolved()
    assert kept.why == "no answer came"


@pytest.mark.parametrize(("difference", "is_told"), [(5.0, False), (5.19, True)])
async def test_clock_that_is_proven_off_is_an_alarm(difference: float, *, is_told: bool) -> None:
    """It says by how much at the least, and what to do."""
    around = Around(proven_clock_difference=difference)
    found = await around.reconciler()._do_pass(is_full=False)
    text = "our clock is off the broker's by 5.1 s or more: set the clock"
    assert found.alarms == ([text] if is_told else [])
    assert around.all_asked("note") == ([(Breach(BreachKind.CLOCK_OFF, text), True)] if is_told else [])


async def test_alarm_that_lasts_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And again when it comes back; what the audit has found is in the log already."""
    around = Around(open=[UNKNOWN], audited=(Breach(BreachKind.NOT_LISTED, "not listed"),))
    reconciler = around.reconciler()
    told = []
    for alarm in ("revived", "revived", "", "revived"):
        around.by_the_ledger = [finds(alarm=alarm)]
        caplog.clear()
        report = await reconciler.reconcile()
        assert report.alarms == (*([alarm] if alarm else []), "not listed")
        told.append([one.message for one in caplog.records if one.levelno == logging.ERROR])
    assert told == [["revived"], [], [], ["revived"]]


async def test_warning_of_a_pass_is_kept_and_still_has_to_be_logged() -> None:
    """Only alarms stand in the log already."""
    warning = Breach(BreachKind.MAY_BE_LATE_TWIN, "may be late")
    around = Around(open=[UNKNOWN], by_the_ledger=[lambda found: found.note(warning)])
    assert (await around.reconciler().reconcile()).alarms == ()
    assert around.all_asked("note") == [(warning, False)]


# ---------------------------------------------------------------------- whose turn it is


async def test_full_pass_waits_for_that_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes over what died meanwhile, and counts its own queries only."""
    around = Around(open=[UNKNOWN], leases=[False, False, True])
    slept = sleeps_of(monkeypatch, around.ambient)
    assert (await around.reconciler().reconcile()).queries == 2
    assert slept == [2.0, 2.0]
    assert len(around.all_asked("adopt")) == 3
    assert around.all_asked("release") == [("reconciler of key-1",)]


async def test_lease_is_given_back_whatever_the_pass_meets() -> None:
    """A cancellation among it, which must not keep the next process waiting."""
    around = Around(open=[UNKNOWN])
    reconciler = around.reconciler()
    with anyio.CancelScope() as scope:
        around.by_the_feed = [lambda _: scope.cancel()]
        await reconciler.reconcile()
    assert scope.cancelled_caught
    assert len(around.all_asked("release")) == 1
    around.by_the_feed = [failing(JournalLocked("locked"))]
    with pytest.raises(JournalLocked):
        await reconciler.reconcile()
    assert len(around.all_asked("release")) == 2


async def test_lease_that_cannot_be_given_back_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It runs out by itself; what the pass has found counts."""
    around = Around(open=[UNKNOWN], by_the_feed=[finds("order-1")], release_error=JournalLocked("locked"))
    assert (await around.reconciler().reconcile()).resolved == ("order-1",)
    assert "lease of the reconciler is not given back: locked" in caplog.text


# ---------------------------------------------------------------------- what is unresolved


async def test_unresolved_orders_of_open_and_of_closed_days_are_listed_once() -> None:
    """What a close leaves meanwhile is in both lists, and its later state counts."""
    before = evolve(UNKNOWN, state=Delivery.UNRESOLVED_AT_CLOSE, reason="day over")
    now = evolve(UNKNOWN, state=Delivery.CANDIDATES, reason="two look alike")
    other = evolve(before, client_order_id="other", number=2)
    around = Around(left=[before, other], open=[now])
    assert await around.reconciler().list_unresolved({"other#2": "asked in vain"}) == (
        UnresolvedOrder(
            "unknown", 1, Delivery.CANDIDATES, UNKNOWN.dispatched_at, "two look alike", candidates=("0000009",)
        ),
        UnresolvedOrder("other", 2, Delivery.UNRESOLVED_AT_CLOSE, UNKNOWN.dispatched_at, "asked in vain"),
    )


@pytest.mark.parametrize(
    ("request_of_it", "others", "is_listed"),
    [
        pytest.param(CANCEL, [Delivery.ACKNOWLEDGED], False, id="the second cancel was answered"),
        pytest.param(CANCEL, [Delivery.REFUSED], True, id="the second cancel was refused"),
        pytest.param(CANCEL, None, True, id="the journal knows nothing of it"),
        pytest.param(evolve(CANCEL, quantity=1), [Delivery.ACKNOWLEDGED], True, id="a part, which may go twice"),
        pytest.param(BUY, [Delivery.ACKNOWLEDGED], True, id="a new order, which may be there twice"),
    ],
)
async def test_cancel_that_was_answered_by_another_send_is_not_unresolved(
    request_of_it: Any, others: list[Delivery] | None, *, is_listed: bool
) -> None:
    """The order it names is gone, whichever send it was; of anything else two sends are two orders."""
    first = evolve(UNKNOWN, request=request_of_it)
    known = [first, *(evolve(first, number=2, state=state) for state in others or ())]
    around = Around(open=[first], records={"unknown": record_of(*known)} if others else {})
    assert len(await around.reconciler().list_unresolved()) == is_listed


def test_days_and_candidates_are_those_of_the_resolver() -> None:
    """An operator settles by them."""
    reconciler = Around(days={"unknown": (DAY,)}).reconciler()
    assert reconciler.days_of(UNKNOWN) == (DAY,)
    assert reconciler.day_of_candidate(UNKNOWN, "0000009") == DAY
    assert reconciler.day_of_candidate(UNKNOWN, "0000008") is None


# ---------------------------------------------------------------------- the loops


async def test_background_goes_on_after_errors_and_waits_between_looks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours must not end the watch over open orders, and none makes it ask the broker without a pause."""
    around = Around(open=[UNKNOWN], by_the_feed=[failing(JournalLocked("locked")), failing(RuntimeError("ours")), END])
    bell = Ringing()
    slept = sleeps_of(monkeypatch, around.ambient)
    with pytest.raises(asyncio.CancelledError):
        await around.reconciler(bell).run()
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.WARNING, "reconciliation goes on later: locked"),
        (logging.ERROR, "reconciliation met a fault of the library and goes on later"),
    ]
    assert bell.pauses == slept == [2.0, 2.0]
    assert bell.muffled == 3


async def test_ring_brings_the_next_looks_near_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody rings when there is something new: spacing out begins anew."""
    around = Around(open=[UNKNOWN], by_the_feed=[finds()] * 4 + [END])
    bell = Ringing()
    slept = sleeps_of(monkeypatch, around.ambient)
    with pytest.raises(asyncio.CancelledError):
        await around.reconciler(bell).run()
    assert bell.pauses == slept == [2.0] * 4


async def test_look_that_took_long_is_followed_by_the_next_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval is from begin to begin; a ring cuts it no shorter, so that one look serves all that is new."""
    around = Around(open=[UNKNOWN])

    def taking(seconds: float) -> Callable[[PassFindings], None]:
        def take(_: PassFindings) -> None:
            around.ambient.seconds += seconds

        return take

    around.by_the_feed = [taking(0.5), taking(7.0), END]
    slept = sleeps_of(monkeypatch, around.ambient)
    with pytest.raises(asyncio.CancelledError):
        await around.reconciler(Ringing()).run()
    assert slept == [1.5, 0.0]


async def test_wake_ends_the_pause() -> None:
    """The background looks at once."""
    bell = Bell()
    around = Around()
    around.reconciler(bell).wake()
    with anyio.fail_after(1):
        await bell.wait()


async def test_feed_is_followed_for_as_long_as_the_client_lives(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an error it tries again by itself: nobody rings again for what was reported already."""
    around = Around(
        by_the_feed=[
            failing(JournalLocked("locked")),
            failing(RuntimeError("ours")),
            finds(),
            finds(next_look=[1010.5, 1007.0]),
            finds(next_look=[1004.5]),
            finds(alarm="twice on the book"),
            END,
        ]
    )
    bell = Ringing()
    slept = sleeps_of(monkeypatch, around.ambient)
    with pytest.raises(asyncio.CancelledError):
        await around.reconciler(feed_bell=bell).follow_feed()
    assert slept == [2.0, 2.0]
    assert bell.pauses == [float("inf"), 3.0, 0.5, float("inf")]
    assert bell.muffled == 7
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.WARNING, "reports of the feed are matched later: locked"),
        (logging.ERROR, "matching reports of the feed met a fault of the library"),
        (logging.ERROR, "twice on the book"),
    ]
    assert around.all_asked("note") == [(Breach(BreachKind.REVIVED, "twice on the book"), True)]
