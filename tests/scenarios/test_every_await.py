"""Cancelled at each of its awaits in turn, an order is on the book at most once and its id tells the truth.

Both sides: the caller's task, and the library's own task that carries the order (which is what closing a client does).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, frozen

from kiwoom_async import KiwoomClient, KiwoomError, NotSent, Order, OrderNotAccepted, OutcomeUnknown
from kiwoom_async._audit import Answer, Ask, Terms, Verdict, check_history
from kiwoom_async._execution.tasks import OwnTasks
from kiwoom_async._journal.workers import CommittingWorker
from kiwoom_async._proof.evidence import book_entry, terms_of
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import QUICK, SYMBOL, broker_of, client_of, landed, on_book, orders_received

PRICE: Final = 70_000
MOST: Final = 200
"""Awaits of one order at most, with room to spare."""

FEWEST: Final = 3
"""Awaits of the task that carries an order, at least: two commits and the request between them."""


@define
class Counted:
    """An awaitable that strikes at the N-th suspension of what it awaits."""

    work: Coroutine[Any, Any, Any]
    at: int
    strike: Callable[[], object]
    count: int = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass everything through, both ways."""
        error: BaseException | None = None
        while True:
            try:
                waited = self.work.send(None) if error is None else self.work.throw(error)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self.at:
                self.strike()
            error = None
            try:
                yield waited
            except BaseException as thrown:  # noqa: BLE001 - handed on at once
                error = thrown


def cancel_this_task() -> None:
    """Cancel the task that is about to suspend."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@frozen
class Verb:
    """One of the three, as these tests call it."""

    call: Callable[[KiwoomClient, str, Order | None], Coroutine[Any, Any, Order]]
    api_id: str
    terms: Terms
    has_target: bool = True


VERBS: Final = {
    "buy": Verb(
        lambda client, key, _: client.stock.buy(SYMBOL, 7, price=PRICE, client_order_id=key),
        "kt10000",
        Terms("stock", "new", SYMBOL, "buy", 7, PRICE),
        has_target=False,
    ),
    "modify": Verb(
        lambda client, key, target: client.stock.modify(_order(target), price=PRICE + 100, client_order_id=key),
        "kt10002",
        Terms("stock", "modify", SYMBOL, "buy"),
    ),
    "cancel": Verb(
        lambda client, key, target: client.stock.cancel(_order(target), client_order_id=key),
        "kt10003",
        Terms("stock", "cancel", SYMBOL, "buy"),
    ),
}


def _order(target: Order | None) -> Order:
    assert target is not None
    return target


def slow_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each commit take long enough for everything else to happen meanwhile."""
    carry_out = CommittingWorker._carry_out

    def slowly(worker: CommittingWorker, operations: Any) -> Any:
        time.sleep(0.01)
        return carry_out(worker, operations)

    monkeypatch.setattr(CommittingWorker, "_carry_out", slowly)


TROUBLE: Final = ("none", "lost_answer", "slow_commit")


def give_trouble(trouble: str, verb: Verb, broker: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare what goes wrong with the next request of the verb."""
    if trouble == "lost_answer":
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=verb.api_id)])
    if trouble == "slow_commit":
        slow_commits(monkeypatch)


_VERDICTS: Final = {
    NotSent: Verdict.NOT_SENT,
    OrderNotAccepted: Verdict.NOT_ACCEPTED,
    OutcomeUnknown: Verdict.UNKNOWN,
}


async def answer_to(key: str, call: Awaitable[Order]) -> Answer:
    """Wait for an order; say what became of it."""
    try:
        order = await call
    except KiwoomError as error:
        return Answer(key, _VERDICTS.get(type(error), Verdict.ERROR), detail=str(error))
    by = None if order.resolved_by is None else order.resolved_by.value
    return Answer(key, Verdict.ACCEPTED, order.broker_order_id, terms_of(order), order.filled_quantity, by)


async def place_target(client: KiwoomClient, verb: Verb, number: int) -> Order | None:
    """Place what is to be modified or cancelled."""
    if not verb.has_target:
        return None
    return await client.stock.buy(SYMBOL, 7, price=PRICE, client_order_id=f"target-{number}")


async def assert_true(
    broker: Simulator, client: KiwoomClient, verb: Verb, number: int, target: Order | None, told: list[Answer]
) -> None:
    """Ask the id again, twice; hold everything that was ever told of it against the book and the journal."""
    key = f"order-{number}"
    # Whatever has reached the broker has a row in the journal.
    assert not orders_received(broker, key) or await client.orders.get(key) is not None
    answers = list(told)
    while len(answers) - len(told) < 2:
        answer = await answer_to(key, verb.call(client, key, target))
        answers.append(answer)
        if answer.verdict is Verdict.NOT_SENT:
            # The one before was being called off just then: true, and safe to repeat.
            assert on_book(broker, key) == []
            await landed(client, key)
            told = answers.copy()
    asks = [Ask(key, verb.terms, None if target is None else target.client_order_id)]
    book = [book_entry(row) for row in broker.all_orders if row.idempotency_key == key]
    if target is not None:
        asks.insert(0, Ask(target.client_order_id, VERBS["buy"].terms))
        book += [book_entry(row) for row in on_book(broker, target.client_order_id)]
        answers.insert(0, await answer_to(target.client_order_id, _as_is(target)))
    assert check_history(asks, answers, book).violations == (), key
    assert await client.orders.unresolved() == ()


async def _as_is(order: Order) -> Order:
    return order


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("name", VERBS)
async def test_caller_is_cancelled_at_every_await(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trouble: str
) -> None:
    """The caller's task is cancelled while it waits for the N-th time, for every N there is."""
    verb = VERBS[name]
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        for number in range(1, MOST):
            target = await place_target(client, verb, number)
            give_trouble(trouble, verb, broker, monkeypatch)
            counted = Counted(verb.call(client, f"order-{number}", target), number, cancel_this_task)
            task = asyncio.ensure_future(_run(counted))
            await asyncio.wait([task])
            told = [] if task.cancelled() else [await answer_to(f"order-{number}", task)]
            assert task.cancelled() is (counted.count >= number)
            await assert_true(broker, client, verb, number, target, told)
            assert len(orders_received(broker, f"order-{number}")) <= (2 if name == "cancel" else 1)
            if not task.cancelled():
                break
            monkeypatch.undo()
        assert number > 1
        assert client._dispatcher._flights == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _run(counted: Counted) -> Any:
    return await counted


@define
class Trap:
    """Cancels the library's own task of an order at its N-th suspension."""

    key: str
    at: int
    count: int = 0

    def set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lie in wait for the task."""
        start = OwnTasks.start

        def start_counted(tasks: OwnTasks, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
            if name != f"kiwoom order {self.key}":
                return start(tasks, work, name)
            counted = Counted(work, self.at, cancel_this_task)

            async def run() -> None:
                try:
                    await counted
                finally:
                    self.count = counted.count

            return start(tasks, run(), name)

        monkeypatch.setattr(OwnTasks, "start", start_counted)


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("name", VERBS)
async def test_own_task_is_cancelled_at_every_await(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trouble: str
) -> None:
    """The task that carries the order is cancelled while it waits for the N-th time, and the client is closed."""
    verb = VERBS[name]
    async with broker_of() as broker:
        for number in range(1, MOST):
            trap = Trap(f"order-{number}", number)
            async with client_of(broker, tmp_path, timing=QUICK) as client:
                target = await place_target(client, verb, number)
                give_trouble(trouble, verb, broker, monkeypatch)
                trap.set(monkeypatch)
                told = await answer_to(trap.key, verb.call(client, trap.key, target))
            monkeypatch.undo()
            async with client_of(broker, tmp_path, timing=QUICK) as client:
                await assert_true(broker, client, verb, number, target, [told])
            assert len(orders_received(broker, trap.key)) <= (2 if name == "cancel" else 1)
            assert asyncio.all_tasks() - {asyncio.current_task()} == set()
            if trap.count < number:
                assert told.verdict is Verdict.ACCEPTED
                break
        assert number > FEWEST
