"""The cancel of a surplus order: of which orders, when, and once."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from datetime import date
from typing import Any, cast

import pytest
from attrs import evolve

from kiwoom_async import Delivery
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, ResolvedBy, Route, Side
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.surplus import SurplusCanceler
from kiwoom_async._execution.tasks import OwnTasks
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Claim, OrderRecord
from kiwoom_async.errors import NotSent, OutcomeUnknown, QueryFailed, RateLimited
from tests.journal.builders import ACCOUNT, BUY, CANCEL, DAY, NOON, TOMORROW, FixedAmbient, intent, row

SELL = evolve(BUY, desk=Desk.CREDIT, symbol="000660", side=Side.SELL, route=Route.NXT)


def attempt(number: int = 1, request: OrderRequest = SELL, **changes: Any) -> Attempt:
    """Make a send that turned up on the book after its proof of absence."""
    made = Attempt("order-1", number, ACCOUNT, request, Delivery.DUPLICATE, DAY, 0, "r", "boot-1", NOON, 1000.0, 1005.0)
    return evolve(made, **{"resolved_by": ResolvedBy.LEDGER, "broker_order_id": "0000101"} | changes)


def claim(number: str = "0000101", **changes: Any) -> Claim:
    """Make the claim of its number; nothing of it has traded."""
    return evolve(Claim(ACCOUNT, DAY, number, "order-1", 1, OrderStatus.WORKING, 0, None, 10), **changes)


SURPLUS = attempt()
SECOND = attempt(2, state=Delivery.ACKNOWLEDGED, broker_order_id="0000102", resolved_by=ResolvedBy.RESPONSE)


def record(*claims: Claim, first: Attempt = SURPLUS, answered_by: int = 2) -> OrderRecord:
    """Make the record of an order that was sent twice; the second send has its answer."""
    second = evolve(SECOND, client_order_id=first.client_order_id)
    asked = intent(first.client_order_id, first.request)
    return OrderRecord(asked, (first, second), claims or (claim(),), {}, answered_by)


class Clock(FixedAmbient):
    """Notes the checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[Checkpoint] = []

    def reached(self, checkpoint: Checkpoint) -> None:
        """Note it."""
        self.passed.append(checkpoint)


class Desks:
    """Stand in for journal, reader, dispatcher and tasks at once."""

    def __init__(self, *records: OrderRecord) -> None:
        self.records = {one.intent.client_order_id: one for one in records}
        self.unfounded: tuple[Attempt, ...] = ()
        self.rows: tuple[LedgerOrder, ...] = (row("0000100", filled=10, leaves=0), row())
        self.fails: dict[str, Exception] = {}
        self.questions: list[tuple[Any, ...]] = []
        self.asked_days: list[date] = []
        self.placed: list[Intent] = []
        self.refusal: Exception | None = None
        self.waiting: list[Coroutine[Any, Any, None]] = []
        self.clock = Clock()

    def canceler(self, *, is_wanted: bool = True) -> SurplusCanceler:
        """Make a canceler that works with these."""
        return SurplusCanceler(
            cast("Journal", self),
            cast("LedgerReader", self),
            cast("Dispatcher", self),
            cast("OwnTasks", self),
            self.clock,
            is_wanted=is_wanted,
        )

    async def duplicates(self, day: date) -> tuple[Attempt, ...]:
        """Give the first send of every order that was sent twice."""
        self.asked_days.append(day)
        return (*self.unfounded, *(one.attempts[0] for one in self.records.values() if len(one.attempts) > 1))

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """Give what the journal knows."""
        return self.records.get(client_order_id)

    async def fetch_snapshot(self, desk: Desk, day: date, since: int, *, symbol: str) -> Snapshot:
        """Give the ledger after a number."""
        self.questions.append((desk, day, since, symbol))
        if symbol in self.fails:
            raise self.fails[symbol]
        return Snapshot(desk, day, since, self.rows, 0.0, 1.0, is_final=False, queries=1)

    async def place(self, asked: Intent, *, deadline: float | None, is_fresh: bool) -> None:
        """Take an order; the journal may know it by its id, and the usual deadline counts."""
        assert deadline is None
        assert not is_fresh
        self.placed.append(asked)
        if self.refusal is not None:
            raise self.refusal

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Keep a task until `answer`."""
        assert name.startswith("kiwoom order surplus:")
        self.waiting.append(work)

    async def answer(self) -> list[str | None]:
        """Let the tasks run to their ends; give the numbers whose cancels were placed since the last time."""
        for work in self.waiting:
            await work
        self.waiting.clear()
        numbers = [asked.request.original for asked in self.placed]
        self.placed.clear()
        return numbers


async def test_cancel_is_of_all_that_is_left_of_that_order() -> None:
    """It names the number on its own day, and the desk, symbol, side and route of what was sent."""
    desks = Desks(record(claim("0000102", attempt=2), claim(day=TOMORROW)))
    canceler = desks.canceler()
    assert await canceler.is_due()
    await canceler.begin()
    assert len(desks.waiting) == 1
    await desks.waiting.pop()
    (sent,) = desks.placed
    assert sent.request == OrderRequest(
        Desk.CREDIT,
        Action.CANCEL,
        "000660",
        Side.SELL,
        None,
        route=Route.NXT,
        original="0000101",
        original_day=TOMORROW,
    )
    assert (sent.account, sent.created_at, sent.resend_within) == (ACCOUNT, NOON, None)
    assert desks.questions == [(Desk.STOCK, TOMORROW, 100, "000660")]
    assert desks.asked_days == [DAY, DAY]
    assert desks.clock.passed == [Checkpoint.DURING_AUTO_CANCEL]


async def test_id_of_a_cancel_is_the_same_for_ever() -> None:
    """A cancel that an earlier release has sent is not sent again under another name."""
    desks = Desks(record(), record(first=evolve(SURPLUS, client_order_id="order-2")))
    for _ in range(2):
        await desks.canceler().begin()
        for work in desks.waiting:
            await work
        desks.waiting.clear()
    assert [asked.client_order_id for asked in desks.placed] == 2 * [
        "surplus:2026-11-02:686ad5fcf1feb1584e8862fc503e6f8d",
        "surplus:2026-11-02:11a2743cabf45721cd34b7c6be54394e",
    ]


async def test_nothing_is_canceled_unless_somebody_asked_for_it() -> None:
    """A duplicate is reported in any case."""
    desks = Desks(record())
    assert not await desks.canceler(is_wanted=False).is_due()
    await desks.canceler(is_wanted=False).begin()
    assert await desks.answer() == []
    assert desks.asked_days == []


@pytest.mark.parametrize(
    ("known", "is_due"),
    [
        pytest.param(record(), True, id="untouched"),
        pytest.param(record(claim(status=None)), True, id="nothing was reported of it"),
        pytest.param(record(first=evolve(SURPLUS, resolved_by=ResolvedBy.EVENT)), True, id="the feed told of it"),
        pytest.param(record(first=evolve(SURPLUS, resolved_by=None)), False, id="nothing shows that it is ours"),
        pytest.param(record(first=evolve(SURPLUS, resolved_by=ResolvedBy.OPERATOR)), False, id="a person said so"),
        pytest.param(record(answered_by=1), False, id="it is the order that the caller was told of"),
        pytest.param(record(first=evolve(SURPLUS, request=CANCEL)), False, id="a cancel"),
        pytest.param(record(first=evolve(SURPLUS, state=Delivery.REVIVED)), False, id="the only one on the book"),
        pytest.param(record(claim(attempt=2)), False, id="its number is not known"),
        pytest.param(record(claim(filled_quantity=1)), False, id="traded"),
        pytest.param(record(claim(filled_quantity=1, status=None)), False, id="traded, with no status"),
        pytest.param(record(claim(status=OrderStatus.CANCELED)), False, id="canceled"),
        pytest.param(record(claim(status=OrderStatus.EXPIRED)), False, id="expired"),
    ],
)
async def test_order_that_is_surplus(known: OrderRecord, *, is_due: bool) -> None:
    """A new order of ours that has not traded, beside the one that the caller holds, by the broker's own word."""
    desks = Desks(known)
    assert await desks.canceler().is_due() == is_due
    await desks.canceler().begin()
    assert await desks.answer() == (["0000101"] if is_due else [])


async def test_one_that_is_not_surplus_keeps_no_other_from_being_canceled() -> None:
    """Each is judged by itself, and one that the journal does not find is none."""
    traded, unfounded = (evolve(SURPLUS, client_order_id=name) for name in ("order-2", "order-3"))
    desks = Desks(record(claim(filled_quantity=1), first=traded), record())
    desks.unfounded = (unfounded,)
    await desks.canceler().begin()
    assert await desks.answer() == ["0000101"]


@pytest.mark.parametrize(
    ("seen", "is_canceled"),
    [
        pytest.param(row(), True, id="untouched"),
        pytest.param(row(leaves=None), True, id="its ledger does not tell what is left"),
        pytest.param(row(filled=1, leaves=9), False, id="traded"),
        pytest.param(row(filled=1, leaves=None), False, id="traded, where its ledger tells no more"),
        pytest.param(row(leaves=0), False, id="over"),
    ],
)
async def test_broker_is_asked_whether_it_has_traded(
    seen: LedgerOrder, caplog: pytest.LogCaptureFixture, *, is_canceled: bool
) -> None:
    """What has traded is a position: a person is told once, and decides."""
    desks = Desks(record())
    desks.rows = (row("0000100", filled=10, leaves=0), seen, row("0000102", filled=10, leaves=0))
    canceler = desks.canceler()
    with caplog.at_level(logging.INFO, "kiwoom_async"):
        await canceler.begin()
    told = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]
    assert [("0000101" in text, "decide" in text) for text in told] == ([] if is_canceled else [(True, True)])
    assert not await canceler.is_due()
    await canceler.begin()
    assert len(desks.questions) == 1
    assert await desks.answer() == (["0000101"] if is_canceled else [])
    assert await canceler.is_due() == is_canceled


@pytest.mark.parametrize(
    "error",
    [
        QueryFailed("kt00007", "a page is missing"),
        RateLimited("Too many.", code="1700", broker_message="too many"),
        pytest.param(None, id="not listed"),
    ],
)
async def test_order_that_cannot_be_looked_at_is_looked_at_later(error: Exception | None) -> None:
    """Failure is not absence; and it keeps no other order from being canceled."""
    other = evolve(SURPLUS, client_order_id="order-2", request=evolve(SELL, symbol="035720"))
    desks = Desks(record(), record(claim("0000103"), first=other))
    desks.rows = (row("0000103"),)
    if error is not None:
        desks.fails["000660"] = error
    canceler = desks.canceler()
    await canceler.begin()
    assert await desks.answer() == ["0000103"]
    desks.fails.clear()
    desks.rows = (row(), row("0000103"))
    await canceler.begin()
    assert await desks.answer() == ["0000101", "0000103"]


async def test_traded_order_keeps_no_other_from_being_canceled() -> None:
    """The next one may have the time still."""
    other = evolve(SURPLUS, client_order_id="order-2")
    desks = Desks(record(), record(claim("0000103"), first=other))
    desks.rows = (row(filled=1), row("0000103"))
    await desks.canceler().begin()
    assert await desks.answer() == ["0000103"]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (OutcomeUnknown("surplus", "no answer yet"), logging.WARNING),
        (NotSent("The market is closed."), logging.ERROR),
        (None, logging.WARNING),
    ],
)
async def test_cancel_is_told_of_and_never_raises(
    error: Exception | None, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it: the log names the order, and what became of the cancel where it is not done."""
    desks = Desks(record())
    desks.refusal = error
    with caplog.at_level(logging.INFO, "kiwoom_async"):
        await desks.canceler().begin()
        await desks.answer()
    assert all("0000101" in entry.getMessage() for entry in caplog.records)
    assert [entry.levelno for entry in caplog.records] == [logging.WARNING, *([level] if error else [])]


async def test_cancel_is_sent_once() -> None:
    """While it is on its way, and once the journal knows that it left; one that has not left is sent again."""
    desks = Desks(record())
    canceler = desks.canceler()
    await canceler.begin()
    assert not await canceler.is_due()
    await canceler.begin()
    assert len(desks.waiting) == 1
    for work in desks.waiting:
        await work
    desks.waiting.clear()
    (sent,) = desks.placed
    assert await canceler.is_due()
    unsent = evolve(SURPLUS, client_order_id=sent.client_order_id, request=sent.request, state=Delivery.NOT_SENT)
    for state, is_due in ((Delivery.NOT_SENT, True), (Delivery.UNKNOWN, False), (Delivery.REFUSED, False)):
        name = sent.client_order_id
        desks.records[name] = OrderRecord(sent, (evolve(unsent, state=state),), (), {})
        assert await canceler.is_due() == is_due
