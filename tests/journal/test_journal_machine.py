"""The journal against a plain model of it: what runners, crashes and late news do to attempts, claims and history.

The model is written from `docs/guarantees.md` (states, claims, resends), not from the code: a list of attempts per id,
a table of what evidence does, and who has which number.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import apsw
import pytest
from attrs import define, evolve, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Desk, ResolvedBy
from kiwoom_async._journal import queries
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, Known, TwinOpen
from kiwoom_async._journal.records import Finding
from kiwoom_async.errors import IllegalTransition, NotSent
from tests.journal.builders import (
    ACCOUNT,
    BUY,
    CANCEL,
    DAY,
    FixedAmbient,
    intent,
    news_of,
    obligation,
    plan,
    report,
    row,
)
from tests.profiles import examples, machine, pick

_T = TypeVar("_T")
_D, _E = Delivery, Event

REQUESTS: Final[dict[str, OrderRequest]] = {
    "twin-1": BUY,
    "twin-2": BUY,
    "other": evolve(BUY, quantity=11),
    "cancel": CANCEL,
    "late": evolve(CANCEL, original="0000101", target="twin-1"),
}
NUMBERS: Final = ("0000101", "0000102", "0000103")
UNSETTLED: Final = (_D.UNKNOWN, _D.CANDIDATES, _D.UNRESOLVED_AT_CLOSE)
ON_BOOK: Final = (_D.ACKNOWLEDGED, _D.REVIVED, _D.DUPLICATE)
EVIDENCE: Final[dict[tuple[Delivery, Event], Delivery]] = {
    **{(state, _E.ACKNOWLEDGED): _D.ACKNOWLEDGED for state in (_D.DISPATCHED, *UNSETTLED)},
    **{(state, _E.REFUSED): _D.REFUSED for state in (_D.DISPATCHED, *UNSETTLED)},
    **{(state, _E.PROVEN_UNSENT): _D.NOT_SENT for state in (_D.PREPARED, _D.DISPATCHED, *UNSETTLED)},
    **{(state, _E.PROVEN_ABSENT): _D.NOT_ACCEPTED for state in UNSETTLED},
    **{(state, _E.CANDIDATES_SIGHTED): _D.CANDIDATES for state in UNSETTLED},
    (_D.CANDIDATES, _E.CANDIDATES_GONE): _D.UNKNOWN,
    (_D.UNKNOWN, _E.DAY_CLOSED): _D.UNRESOLVED_AT_CLOSE,
    (_D.CANDIDATES, _E.DAY_CLOSED): _D.UNRESOLVED_AT_CLOSE,
    (_D.DISPATCHED, _E.LOST): _D.UNKNOWN,
    (_D.NOT_ACCEPTED, _E.REAPPEARED): _D.REVIVED,
    (_D.NOT_ACCEPTED, _E.DUPLICATED): _D.DUPLICATE,
    (_D.REVIVED, _E.DUPLICATED): _D.DUPLICATE,
}
"""What evidence does to an attempt (guarantees, 4). Everything else is written down and moves nothing."""

CLAIMING: Final = (_E.ACKNOWLEDGED, _E.REAPPEARED, _E.DUPLICATED)


@define(eq=False)
class Sent:
    """An attempt as the model knows it."""

    state: Delivery
    runner: str
    number: str | None = None
    by: ResolvedBy | None = None


@define(eq=False)
class Model:
    """What must be in the journal."""

    orders: dict[str, list[Sent]] = field(factory=dict)
    kept: set[str] = field(factory=set)
    is_halted: bool = False
    highest: int = 0
    lease: tuple[str, int, float] | None = None

    def holder(self, number: str) -> Sent | None:
        """Say who has a number."""
        return next((one for sent in self.orders.values() for one in sent if one.number == number), None)

    def may_send(self, name: str, follows: int) -> bool:
        """Tell whether another send may be permitted (guarantees, 4 and 8)."""
        sent = self.orders.get(name, [])
        if any(one.state in ON_BOOK for one in sent):
            return False
        if all(one.state in {_D.NOT_SENT, _D.PREPARED} for one in sent):
            return True
        came_to_nothing = (_D.REFUSED, _D.NOT_ACCEPTED, _D.NOT_SENT)
        is_repeatable = name in {"cancel", "late"}
        return bool(follows) and all(
            one.state in came_to_nothing or (is_repeatable and one.state in UNSETTLED) for one in sent
        )

    def twin_of(self, name: str) -> str | None:
        """Name an identical order whose outcome is not known."""
        other = {"twin-1": "twin-2", "twin-2": "twin-1"}.get(name, "")
        is_open = any(one.state in {_D.UNKNOWN, _D.CANDIDATES} for one in self.orders.get(other, []))
        return other if is_open else None

    def learn(self, name: str, place: int, finding: Finding) -> None:
        """Take evidence about an attempt."""
        sent = self.orders[name]
        one = sent[place]
        event = finding.event
        is_on_book = any(other.state in ON_BOOK for other in sent if other is not one)
        if event is _E.ACKNOWLEDGED and one.state is _D.NOT_ACCEPTED:
            event = _E.DUPLICATED if is_on_book else _E.REAPPEARED
        number = finding.broker_order_id
        holder = None if number is None else self.holder(number)
        if (
            holder not in {None, one}
            and (holder.by, holder.state) == (ResolvedBy.OPERATOR, _D.ACKNOWLEDGED)
            and finding.resolved_by is ResolvedBy.RESPONSE
            and one.number is None
            and one.state in {_D.DISPATCHED, *UNSETTLED}
        ):
            # The broker knows better whose it is than a person.
            holder.state, holder.number, holder.by = _D.UNKNOWN, None, None
        is_taken = number is not None and self.holder(number) not in {None, one}
        if is_taken or (number is not None and one.number not in {None, number}):
            return
        if event is _E.PROVEN_ABSENT and finding.resolved_by is None and self.kept and one.state in UNSETTLED:
            return  # the feed has told of an order that the proof does not know
        state = EVIDENCE.get((one.state, event))
        if state is None:
            self._confirm(one, event, finding)
            return
        one.state, one.by = state, finding.resolved_by or one.by
        self._claim(one, number, one.by)
        if state in ON_BOOK:
            for other in sent:
                if other is not one and other.state is _D.REVIVED:
                    other.state = _D.DUPLICATE

    def _confirm(self, one: Sent, event: Event, finding: Finding) -> None:
        agrees = {
            _E.ACKNOWLEDGED: one.state in ON_BOOK,
            _E.REFUSED: one.state in {_D.REFUSED, _D.NOT_ACCEPTED},
            _E.PROVEN_UNSENT: one.state in {_D.NOT_SENT, _D.NOT_ACCEPTED},
            _E.PROVEN_ABSENT: one.state is _D.NOT_ACCEPTED,
        }.get(event, False)
        if agrees and one.by is ResolvedBy.OPERATOR and finding.resolved_by is not None:
            one.by = finding.resolved_by
        if agrees and one.state in ON_BOOK and one.number is None:
            self._claim(one, finding.broker_order_id, finding.resolved_by or one.by)

    def _claim(self, one: Sent, number: str | None, by: ResolvedBy | None) -> None:
        if number is not None:
            one.number = number
            self.kept.discard(number)
            if by is not ResolvedBy.OPERATOR:  # a person may be wrong about it
                self.highest = max(self.highest, int(number))


names = st.sampled_from(sorted(REQUESTS))
sides = st.integers(0, 1)
sources = st.sampled_from([None, ResolvedBy.RESPONSE, ResolvedBy.LEDGER, ResolvedBy.OPERATOR, ResolvedBy.OPERATOR])
numbers = st.sampled_from(NUMBERS)
CONCLUDING: Final = [event for event in Event if event not in {_E.DISPATCHED, _E.WITHDRAWN}]
USUAL: Final = (_E.ACKNOWLEDGED, _E.LOST, _E.PROVEN_ABSENT, _E.REFUSED, _E.CANDIDATES_SIGHTED, _E.PROVEN_UNSENT)


class JournalMachine(RuleBasedStateMachine):
    """Two runners on one file, and everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.root = Path(tempfile.mkdtemp(prefix="kiwoom-journal-"))
        self.ambient = FixedAmbient()
        self.files = 0
        self.model = Model()
        self.seen: dict[str, list[Any]] = {}
        self.journals: list[Journal] = []
        self.dead: set[str] = set()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do it now."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Open the file twice."""
        self.journals = [self._opened(), self._opened()]
        self.eye = self._looking()
        for place, name in enumerate(("twin-1", "other", "cancel")):
            self.dispatch(name, place % 2, is_following=False)

    def _looking(self) -> apsw.Connection:
        return apsw.Connection(str(self.root / f"{self.files}.db"), flags=apsw.SQLITE_OPEN_READONLY)

    def _opened(self) -> Journal:
        journal = Journal(self.root / f"{self.files}.db", self.ambient, ACCOUNT)
        return self.run(journal.__aenter__())

    def teardown(self) -> None:
        """Close everything."""
        self.eye.close()
        for journal in self.journals:
            self.run(journal.__aexit__())
        self.runner.close()
        shutil.rmtree(self.root)

    def _attempts(self) -> list[tuple[str, int]]:
        return [(name, place) for name, sent in self.model.orders.items() for place in range(len(sent))]

    def _attempt(self, name: str, place: int) -> Attempt:
        record = queries.read_record(self.eye, name)
        assert record is not None, f"{name} has gone"
        return record.attempts[place]

    # ------------------------------------------------------------ what callers do

    @rule(name=names, side=sides, is_following=st.booleans())
    def dispatch(self, name: str, side: int, *, is_following: bool) -> None:
        """Ask for the permission to send."""
        journal = self.journals[side]
        sent = self.model.orders.get(name, [])
        follows = self._decisive(name) if is_following and sent else 0
        wanted = plan(name, REQUESTS[name], runner=journal.runner, follows=follows)
        if name == "late":
            wanted = evolve(wanted, intent=evolve(wanted.intent, request=evolve(REQUESTS[name], original=None)))
        may = self.model.may_send(name, follows)
        try:
            permission = self.run(journal.dispatch(wanted))
        except NotSent:
            assert self.model.is_halted, "only the kill switch holds anything here"
            assert name not in {"cancel", "late"}, "cancels go through"
            return
        if isinstance(permission, TwinOpen):
            assert permission.client_order_id == self.model.twin_of(name)
            return
        if isinstance(permission, Known):
            assert sent, "nothing is known of it"
            assert not may or (is_following and follows == 0), "it could have been sent"
            return
        assert may, "a send that nothing permits"
        assert not self.model.is_halted or name in {"cancel", "late"}
        assert self.model.twin_of(name) is None, "an identical order is unknown"
        self._sent(name, permission, journal)

    def _decisive(self, name: str) -> int:
        record = queries.read_record(self.eye, name)
        assert record is not None
        return record.decisive.number

    def _sent(self, name: str, permission: Dispatched, journal: Journal) -> None:
        assert permission.attempt.mark == self.model.highest, "the mark is not the highest number known"
        sent = self.model.orders.setdefault(name, [])
        if sent and sent[-1].state is _D.PREPARED:
            sent.pop()
        sent.append(Sent(_D.DISPATCHED, journal.runner))
        assert permission.attempt.number == len(sent)

    @rule(side=sides)
    def prepare(self, side: int) -> None:
        """Note a cancel that waits for the number of its order."""
        request = evolve(REQUESTS["late"], original=None)
        attempt = evolve(obligation("late", "twin-1", self.journals[side].runner), request=request)
        found = self.run(self.journals[side].prepare(intent("late", request), attempt))
        assert isinstance(found, Known) == ("late" in self.model.orders)
        if isinstance(found, Dispatched):
            self.model.orders["late"] = [Sent(_D.PREPARED, self.journals[side].runner)]

    # ------------------------------------------------------------ what is learnt

    def _open(self) -> list[tuple[str, int]]:
        is_open = (_D.PREPARED, _D.DISPATCHED, *UNSETTLED)
        return [(name, place) for name, place in self._attempts() if self.model.orders[name][place].state in is_open]

    @precondition(lambda self: self._open())
    @rule(data=st.data(), side=sides, event=st.sampled_from(USUAL), source=sources, number=numbers)
    def settle(
        self, data: st.DataObject | Random, side: int, event: Event, source: ResolvedBy | None, number: str
    ) -> None:
        """Bring what usually comes about an attempt that is open."""
        self._conclude(pick(data, self._open()), side, event, source, number)

    @precondition(lambda self: self._attempts())
    @rule(data=st.data(), side=sides, event=st.sampled_from(CONCLUDING), source=sources, number=numbers)
    def conclude(
        self, data: st.DataObject | Random, side: int, event: Event, source: ResolvedBy | None, number: str
    ) -> None:
        """Bring evidence of any kind about any attempt."""
        self._conclude(pick(data, self._attempts()), side, event, source, number)

    def _conclude(
        self, attempt: tuple[str, int], side: int, event: Event, source: ResolvedBy | None, number: str
    ) -> None:
        name, place = attempt
        finding = Finding(
            event,
            reason="told",
            broker_order_id=number if event in CLAIMING else None,
            # A verdict or a witness stands behind nothing else.
            resolved_by=source if event in {*CLAIMING, _E.PROVEN_ABSENT} else None,
            ended=self.ambient.seconds,
            ended_at=self.ambient.now(),
        )
        self.run(self.journals[side].conclude(self._attempt(name, place), finding))
        self.model.learn(name, place, finding)

    @precondition(lambda self: self._attempts())
    @rule(data=st.data(), side=sides, event=st.sampled_from([_E.PROVEN_ABSENT, _E.REFUSED]))
    def replace(self, data: st.DataObject | Random, side: int, event: Event) -> None:
        """Close an attempt with a proof, and ask to send again in the same transaction."""
        name, place = pick(data, self._attempts())
        journal = self.journals[side]
        one = self.model.orders[name][place]
        before = one.state
        wanted = plan(name, REQUESTS[name], runner=journal.runner, follows=place + 1)
        if name == "late":
            wanted = evolve(wanted, intent=evolve(wanted.intent, request=evolve(REQUESTS[name], original=None)))
        finding = Finding(event, reason="proven")
        is_late = any(each.state in {_D.REVIVED, _D.DUPLICATE} for sent in self.model.orders.values() for each in sent)
        try:
            permission = self.run(journal.replace(self._attempt(name, place), finding, wanted))
        except NotSent:
            assert self.model.is_halted
            return  # nothing of it is written: the attempt is as unknown as it was
        self.model.learn(name, place, finding)
        if isinstance(permission, Dispatched):
            assert before in {_D.DISPATCHED, *UNSETTLED}, "an answer that was given before is no news"
            assert one.state in {_D.REFUSED, _D.NOT_ACCEPTED}, "a resend without a proof"
            assert self.model.may_send(name, place + 1), "a resend beside another that may be on the book"
            assert event is _E.REFUSED or not is_late, "a resend on a proof like one that was seen to be wrong"
            self._sent(name, permission, journal)

    @precondition(lambda self: len(self._open()) < len(self._attempts()))
    @rule(data=st.data(), side=sides)
    def withdraw(self, data: st.DataObject | Random, side: int) -> None:
        """Take back a verdict: only an operator's can be."""
        settled = [one for one in self._attempts() if one not in self._open()]
        name, place = pick(data, settled)
        one = self.model.orders[name][place]
        may = one.by is ResolvedBy.OPERATOR and one.state in {_D.ACKNOWLEDGED, _D.NOT_ACCEPTED}
        try:
            self.run(self.journals[side].withdraw(self._attempt(name, place), "a mistake"))
        except IllegalTransition:
            assert not may, "an operator's verdict can be taken back"
            return
        assert may, "evidence was taken back"
        one.state, one.number, one.by = _D.UNKNOWN, None, None

    @rule(number=numbers, side=sides)
    def hear(self, number: str, side: int) -> None:
        """Hear of an order on the feed."""
        self.run(self.journals[side].note_reports([report(number=number)]))
        if self.model.holder(number) is None:
            self.model.kept.add(number)

    def see(self, number: str, side: int, filled: int) -> None:
        """See an order on the ledger and among the executions."""
        journal = self.journals[side]
        self.run(journal.note_ledger(news_of(row(number, filled=filled, leaves=10 - filled), highest=int(number))))
        executed = ExecutedOrder(Desk.STOCK, DAY, number, "005930", 10, filled, None, 10 - filled)
        self.run(journal.note_executions([executed]))
        self.model.highest = max(self.model.highest, int(number))

    def close_day(self, side: int) -> None:
        """Close the books of the day."""
        self.run(self.journals[side].close_day(DayClose(DAY, Desk.STOCK, self.ambient.now())))
        self.model.kept.clear()

    @rule(side=sides, is_engaged=st.sampled_from([False, False, True]))
    def switch(self, side: int, *, is_engaged: bool) -> None:
        """Move the kill switch."""
        told = self.run(
            self.journals[side].move_switch(KillSwitchState(is_engaged, "reason", "somebody", self.ambient.now()))
        )
        self.model.is_halted = is_engaged
        assert told.is_engaged == is_engaged

    # ------------------------------------------------------------ time, crashes, heirs

    @rule(side=sides, number=numbers, what=st.sampled_from(["see", "close", "wait", "lease", "lease", "adopt"]))
    def go_on(self, side: int, number: str, what: str) -> None:
        """Do what clients do all day."""
        match what:
            case "see":
                self.see(number, side, int(number) % 10)
            case "close":
                self.close_day(side)
            case "wait":
                self.ambient.seconds += 6.0  # no time changes anything but leases
            case "lease":
                self.lease(side)
            case "adopt":
                self.adopt(side)

    def lease(self, side: int) -> None:
        """Take the lease, or renew it."""
        journal = self.journals[side]
        epoch = self.run(journal.take_lease("reconciler", 10.0))
        held = self.model.lease
        if held is not None and held[0] != journal.runner:
            is_free = held[0] in self.dead or held[2] <= self.ambient.seconds
            assert (epoch is not None) == is_free, "a lease that another living one holds"
            assert epoch in {None, held[1] + 1}, "a new holder has a new epoch"
        else:
            assert epoch == (1 if held is None else held[1])
        if epoch is not None:
            self.model.lease = (journal.runner, epoch, self.ambient.seconds + 10.0)

    @rule(side=sides, is_crash=st.booleans())
    def restart(self, side: int, *, is_crash: bool) -> None:
        """Let one close and open again, or let the machine crash."""
        if is_crash:
            self.crash()
        else:
            self.reopen(side)

    def reopen(self, side: int) -> None:
        """Close the file and open it again: another runner."""
        old = self.journals[side]
        self.run(old.__aexit__())
        self.dead.add(old.runner)
        self.journals[side] = self._opened()

    def crash(self) -> None:
        """Go on with the files as they are at this moment; whoever had them open is gone."""
        old, before = self.journals, self.root / f"{self.files}.db"
        self.files += 1
        for suffix in ("", "-wal"):
            kept = before.with_name(before.name + suffix)
            if kept.exists():
                shutil.copy(kept, self.root / f"{self.files}.db{suffix}")
        for journal in old:
            self.run(journal.__aexit__())
            self.dead.add(journal.runner)
        self.journals = [self._opened(), self._opened()]
        self.eye.close()
        self.eye = self._looking()
        self.run(self.journals[0].adopt_orphans())
        self._adopted(self.journals[0])

    def adopt(self, side: int) -> None:
        """Take over what senders left behind that are gone."""
        self.run(self.journals[side].adopt_orphans())
        self._adopted(self.journals[side])

    def _adopted(self, heir: Journal) -> None:
        for sent in self.model.orders.values():
            for one in sent:
                if one.runner in self.dead and one.state in {_D.PREPARED, _D.DISPATCHED}:
                    one.runner = heir.runner
                    one.state = _D.UNKNOWN if one.state is _D.DISPATCHED else one.state

    # ------------------------------------------------------------ what must always be true

    @invariant()
    def the_file_is_the_model(self) -> None:
        """Every attempt is in the state of the model, with its number; nothing is forgotten, nothing added."""
        if not self.journals:
            return
        opened: set[str] = set()
        for name in REQUESTS:
            record = queries.read_record(self.eye, name)
            sent = self.model.orders.get(name, [])
            assert (record is None) == (not sent), f"{name} has appeared or gone"
            if record is None:
                continue
            found = [(one.state, one.broker_order_id) for one in record.attempts]
            assert found == [(one.state, one.number) for one in sent], name
            claimed = {claim.attempt: claim.broker_order_id for claim in record.claims}
            assert claimed == {place: one.number for place, one in enumerate(sent, 1) if one.number is not None}
            is_open = (_D.PREPARED, _D.DISPATCHED, _D.UNKNOWN, _D.CANDIDATES)
            opened |= {f"{name}#{place}" for place, one in enumerate(sent, 1) if one.state in is_open}
        assert {one.key for one in queries.read_open(self.eye, ACCOUNT)} == opened

    @invariant()
    def history_only_grows(self) -> None:
        """What was written stays, word for word, and the last line of an attempt is its present state."""
        if not self.journals:
            return
        for name, sent in self.model.orders.items():
            history = list(queries.read_history(self.eye, name))
            before = self.seen.get(name, [])
            assert history[: len(before)] == before, "history was rewritten"
            self.seen[name] = history
            for place, one in enumerate(sent, 1):
                assert [entry.state for entry in history if entry.attempt == place][-1] is one.state

    # ------------------------------------------------------------ another driver

    def step(self, chance: Random) -> None:
        """Do something, the more telling things more often, and look at everything."""
        side, number = chance.randrange(2), chance.choice(NUMBERS)
        source = chance.choice([None, ResolvedBy.RESPONSE, ResolvedBy.LEDGER, ResolvedBy.OPERATOR])
        deed = chance.choice(
            ["dispatch"] * 6 + ["settle"] * 10 + ["conclude"] * 4 + ["replace", "withdraw"] * 2 + OTHERS
        )
        attempts, still_open = self._attempts(), self._open()
        if deed == "dispatch":
            self.dispatch(chance.choice(sorted(REQUESTS)), side, is_following=chance.random() < 0.4)
        elif deed == "settle" and still_open:
            self.settle(chance, side, chance.choice(USUAL), source, number)
        elif deed == "conclude" and attempts:
            self.conclude(chance, side, chance.choice(CONCLUDING), source, number)
        elif deed == "replace" and attempts:
            self.replace(chance, side, chance.choice([_E.PROVEN_ABSENT, _E.REFUSED]))
        elif deed == "withdraw" and len(still_open) < len(attempts):
            self.withdraw(chance, side)
        elif deed == "hear":
            self.hear(number, side)
        elif deed == "prepare":
            self.prepare(side)
        elif deed == "switch":
            self.switch(side, is_engaged=chance.random() < 0.3)
        elif deed == "restart":
            self.restart(side, is_crash=chance.random() < 0.5)
        else:
            self.go_on(side, number, chance.choice(["see", "close", "wait", "lease", "lease", "adopt"]))
        self.the_file_is_the_model()
        self.history_only_grows()


OTHERS: Final = [*["hear"] * 4, "prepare", "switch", "restart", *["go on"] * 4]


@pytest.mark.parametrize("seed", range(examples(16)))
def test_long_walks_through_the_journal(seed: int) -> None:
    """The same machine, driven by a seed: hypothesis finds short ways to a fault, and seldom goes far."""
    chance = Random(seed)  # noqa: S311 - a replayable walk
    walk = JournalMachine()
    try:
        walk.open()
        for _ in range(60):
            walk.step(chance)
    finally:
        walk.teardown()


TestJournal = JournalMachine.TestCase
TestJournal.settings = machine(8, 20)
