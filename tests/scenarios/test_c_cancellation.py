"""Section C: whatever ends the caller, an order is on the book at most once, and its id still tells the truth."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import define, evolve

from kiwoom_async import KiwoomClient, NotSent, Order, OrderNotAccepted, OutcomeUnknown, ResolvedBy
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.states import Delivery
from kiwoom_async._journal import journal as journal_module
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    gateway_of,
    landed,
    ledger_queries,
    left_open,
    on_book,
    orders_received,
    resolved,
)

KEY = "one"
STEPS = 40
"""Turns of the event loop that an order takes at most, with room to spare."""


def buy(client: KiwoomClient, key: str = KEY, quantity: int = 10, **changes: Any) -> Coroutine[Any, Any, Order]:
    """Call for the order of these tests."""
    return client.stock.buy(SYMBOL, quantity, price=70_000, client_order_id=key, **changes)


async def turns(count: int) -> None:
    """Let the event loop run this many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def assert_told_truly(
    broker: Simulator, client: KiwoomClient, key: str = KEY, quantity: int = 10
) -> Order | None:
    """Ask the same id again, twice: one order and its number, or a lasting and true absence."""
    answers: list[Order | str] = []
    while len(answers) < 2:
        try:
            answers.append(await buy(client, key, quantity))
        except OrderNotAccepted as error:
            answers.append(str(error))
        except NotSent:
            # The cancelled attempt was being called off just then: true, and safe to repeat.
            assert on_book(broker, key) == []
            await landed(client, key)
    assert answers[0] == answers[1]
    rows = on_book(broker, key)
    if isinstance(answers[0], Order):
        assert [row.broker_order_id for row in rows] == [answers[0].broker_order_id]
        return answers[0]
    assert rows == []
    return None


def call_now(action: Callable[[], object]) -> None:
    """Do something now."""
    action()


def call_soon(action: Callable[[], object]) -> None:
    """Do something in the next turn of the loop."""
    asyncio.get_running_loop().call_soon(action)


async def cancelled(task: asyncio.Task[Any]) -> bool:
    """Wait for a task; tell whether it ended as cancelled."""
    await asyncio.wait([task])
    return task.cancelled()


async def test_cancel_at_every_turn_of_the_loop(tmp_path: Path) -> None:
    """Cancelled after any number of turns, the caller sees a cancellation, and the id places one order in the end."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        for step in range(STEPS):
            key, quantity = f"step{step}", step + 1
            task = asyncio.create_task(buy(client, key, quantity))
            await turns(step)
            if task.cancel():
                assert await cancelled(task)
            else:
                await task
            assert len(on_book(broker, key)) <= 1
            order = await assert_told_truly(broker, client, key, quantity)
            assert order is not None
            assert len(orders_received(broker, key)) == 1
        assert await client.orders.unresolved() == ()


async def test_close_at_every_turn_of_the_loop(tmp_path: Path) -> None:
    """Closed after any number of turns, the next client tells the truth, as the first caller was told."""
    async with broker_of() as broker:
        for step in range(0, STEPS, 2):
            key, quantity = f"step{step}", step + 1
            async with client_of(broker, tmp_path, timing=QUICK) as client:
                task = asyncio.create_task(buy(client, key, quantity))
                await turns(step)
            await asyncio.wait([task], timeout=5)
            error = task.exception()
            assert error is None or isinstance(error, NotSent | OutcomeUnknown)
            if isinstance(error, NotSent):
                assert on_book(broker, key) == []
            async with client_of(broker, tmp_path, timing=QUICK) as client:
                order = await assert_told_truly(broker, client, key, quantity)
                if error is None:
                    assert task.result() == order
            assert len(orders_received(broker, key)) <= 1


@pytest.mark.parametrize("seconds", [0.0, 0.02])
async def test_close_with_an_order_on_the_wire(tmp_path: Path, seconds: float) -> None:
    """A client that closes waits shortly for the answer, and gives it to the caller; or it records that it is open."""
    timing = evolve(QUICK, response_timeout=5, drain_timeout=5 if seconds else 0.05)
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=seconds or 2)) as broker:
        async with client_of(broker, tmp_path, timing=timing) as client:
            task = asyncio.create_task(buy(client))
            await eventually(lambda: len(orders_received(broker)) == 1)
        if seconds:
            assert (await task).broker_order_id == broker.orders[0].broker_order_id
        else:
            with pytest.raises(OutcomeUnknown):
                await task
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            order = await assert_told_truly(broker, client)
            assert order is not None
            assert order.resolved_by is (ResolvedBy.RESPONSE if seconds else ResolvedBy.LEDGER)
        assert len(orders_received(broker)) == 1


async def test_cancel_before_dispatch_never_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while it waits for its slot, an order leaves nothing: no row, no request."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        gate = asyncio.Event()
        gateway = gateway_of(client)
        make_ready = gateway.make_ready

        async def wait_first(*arguments: Any, **options: Any) -> Any:
            await gate.wait()
            return await make_ready(*arguments, **options)

        monkeypatch.setattr(gateway, "make_ready", wait_first)
        task = asyncio.create_task(buy(client))
        await turns(10)
        task.cancel()
        assert await cancelled(task)
        await turns(3)
        gate.set()
        assert await client.orders.get(KEY) is None
        assert orders_received(broker) == []
        assert await assert_told_truly(broker, client) is not None
        assert len(orders_received(broker)) == 1


@define
class Latecomer(Hands):
    """Clocks that can be found to have gone on meanwhile."""

    slept: float = 0.0

    def monotonic(self) -> float:
        """Read the clock that never jumps: for a process that was asleep it seems to."""
        return Hands.monotonic(self) + self.slept


async def test_permission_that_ran_out_sends_nothing(tmp_path: Path) -> None:
    """Between commit and write the machine sleeps past the time of the permission: no byte leaves, and it is told."""
    hands = Latecomer()

    def oversleep() -> None:
        hands.slept = TIMING.connect_timeout + 1

    async with broker_of() as broker, client_of(broker, tmp_path, ambient=hands) as client:
        hands.actions[Checkpoint.AFTER_COMMIT_BEFORE_WRITE] = oversleep
        with pytest.raises(NotSent, match="ran out"):
            await buy(client)
        assert hands.slept
        assert orders_received(broker) == []
        assert await assert_told_truly(broker, client) is not None
        assert len(orders_received(broker)) == 1


async def test_cancel_during_commit_thread_then_no_orphan_send(tmp_path: Path) -> None:
    """Cancelled while the commit is in its thread, an order is recorded as not sent, and no request ever leaves."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path) as client:
        task = asyncio.create_task(buy(client))
        hands.actions[Checkpoint.BEFORE_COMMIT] = lambda: call_soon(task.cancel)
        assert await cancelled(task)
        await landed(client, KEY)
        assert [entry.state for entry in await client.orders.history(KEY)] == [Delivery.DISPATCHED, Delivery.NOT_SENT]
        assert orders_received(broker) == []
        order = await assert_told_truly(broker, client)
        assert order is not None
        assert order.attempts == 1
        assert len(orders_received(broker)) == 1


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint.BEFORE_COMMIT,
        Checkpoint.AFTER_COMMIT_BEFORE_WRITE,
        Checkpoint.AFTER_WRITE_BEFORE_RESPONSE,
        Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT,
        Checkpoint.AFTER_RESULT_COMMIT,
    ],
)
async def test_cancel_at_every_checkpoint(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Cancelled in the moment of a checkpoint, an order is sent at most once and its id tells the truth."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path) as client:
        task = asyncio.create_task(buy(client))
        hands.actions[checkpoint] = lambda: call_now(task.cancel)
        assert await cancelled(task)
        assert await assert_told_truly(broker, client) is not None
        assert len(orders_received(broker)) == 1


async def test_cancel_after_dispatch_keeps_reading_and_records_result(tmp_path: Path) -> None:
    """Cancelled while the answer is on its way, the library reads on and records the response."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.1)) as broker, client_of(broker, tmp_path) as client:
        task = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        task.cancel()
        assert await cancelled(task)
        await landed(client, KEY)
        order = await client.orders.get(KEY)
        assert order is not None
        assert (order.resolved_by, order.delivery) == (ResolvedBy.RESPONSE, Delivery.ACKNOWLEDGED)
        assert order == await buy(client)
        assert ledger_queries(broker) == 0
        assert len(orders_received(broker)) == 1


async def test_asyncio_timeout_raises_pending_with_handle(tmp_path: Path) -> None:
    """`asyncio.timeout()` and `deadline` end the waiting alike; the id is the handle that gives the answer later."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.9)) as broker, client_of(broker, tmp_path) as client:
        call = client.stock.buy(SYMBOL, 10, price=70_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await call
        with pytest.raises(OutcomeUnknown) as caught:
            await buy(client, call.client_order_id, deadline=0.05)
        assert caught.value.client_order_id == call.client_order_id
        order = await buy(client, call.client_order_id)
        assert order.resolved_by is ResolvedBy.RESPONSE
        assert len(orders_received(broker)) == 1


async def together(*calls: Coroutine[Any, Any, object]) -> None:
    """Run calls in one task group."""
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call)


async def test_taskgroup_sibling_failure_does_not_lose_order(tmp_path: Path) -> None:
    """A sibling that fails cancels the caller and not the order."""

    async def fail(broker: Simulator) -> None:
        await eventually(lambda: len(orders_received(broker)) == 1)
        raise ValueError("the sibling")

    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.1)) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(ExceptionGroup) as caught:
            await together(buy(client), fail(broker))
        assert caught.group_contains(ValueError)
        assert await assert_told_truly(broker, client) is not None
        assert len(orders_received(broker)) == 1


async def test_cancel_then_same_key_attaches_to_running_attempt(tmp_path: Path) -> None:
    """The same id, called while the cancelled caller's order is on the wire, waits for that one."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.2)) as broker, client_of(broker, tmp_path) as client:
        task = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        task.cancel()
        order, was_cancelled = await asyncio.gather(buy(client), cancelled(task))
        assert was_cancelled
        assert order.resolved_by is ResolvedBy.RESPONSE
        assert len(orders_received(broker)) == len(broker.orders) == 1


async def test_late_response_after_caller_timeout_resolves_key(tmp_path: Path) -> None:
    """An answer after the caller's deadline settles the id: from the response, without a look at the ledger."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.3)) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        waiting = await client.orders.unresolved()
        assert [order.client_order_id for order in waiting] == [KEY]
        await landed(client, KEY)
        order = await buy(client)
        assert order.resolved_by is ResolvedBy.RESPONSE
        assert await client.orders.unresolved() == ()
        assert ledger_queries(broker) == 0


async def test_double_cancel_of_waiters(tmp_path: Path) -> None:
    """Waiters that are cancelled, one after the other and twice, leave the rest of them waiting for the one order."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.2)) as broker, client_of(broker, tmp_path) as client:
        waiters = [asyncio.create_task(buy(client)) for _ in range(5)]
        await eventually(lambda: len(orders_received(broker)) == 1)
        for waiter in waiters[:4]:
            waiter.cancel()
            waiter.cancel()
        await turns(1)
        for waiter in waiters[:4]:
            waiter.cancel()
            assert await cancelled(waiter)
        order = await waiters[4]
        assert [row.broker_order_id for row in broker.orders] == [order.broker_order_id]
        assert len(orders_received(broker)) == 1


async def test_all_waiters_cancelled_while_the_ledger_decides(tmp_path: Path) -> None:
    """Nobody waits while an order is unknown; it is resolved all the same."""
    lagging = broker_of(FaultKind.DROP_AFTER_ACCEPTANCE, ledger_lag=0.1)
    async with lagging as broker, client_of(broker, tmp_path) as client:
        waiters = [asyncio.create_task(buy(client)) for _ in range(3)]
        await eventually(lambda: ledger_queries(broker) > 0)
        for waiter in waiters:
            waiter.cancel()
            assert await cancelled(waiter)
        await resolved(client)
        order = await client.orders.get(KEY)
        assert order is not None
        assert order.resolved_by is ResolvedBy.LEDGER
        assert [row.broker_order_id for row in broker.orders] == [order.broker_order_id]


async def test_journal_that_fails_after_the_send_is_no_reason_to_send_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answer cannot be recorded, the caller hears `OutcomeUnknown`; it is recorded as soon as it can be."""
    monkeypatch.setitem(journal_module.Journal.__init__.__kwdefaults__ or {}, "busy_timeout", 0.1)
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.1)) as broker, client_of(broker, tmp_path) as client:
        task = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        holder = apsw.Connection(str(tmp_path / "orders.db"))
        holder.set_busy_timeout(5000)  # the client writes on its own account, too
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutcomeUnknown):
            await task
        holder.execute("ROLLBACK")
        holder.close()
        assert await assert_told_truly(broker, client) is not None
        assert len(orders_received(broker)) == 1
        assert await client.orders.unresolved() == ()


# ---------------------------------------------------------------------- the loop itself ends


LEAKED: list[asyncio.Task[Order]] = []
"""Tasks that a program leaves behind; held here, because the loop holds them weakly."""


def run_twice(
    folder: Path, first: Callable[[Simulator, KiwoomClient], Awaitable[object]], ends_with: type[BaseException] | None
) -> None:
    """Run a program that ends in its own way, against a broker that outlives it; then ask the same id again."""
    started, done = threading.Event(), threading.Event()
    brokers: list[Simulator] = []
    hands = Hands()

    def serve() -> None:
        async def main() -> None:
            async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.3), ambient=Hands(hands.offset)) as broker:
                brokers.append(broker)
                started.set()
                await asyncio.to_thread(done.wait)

        asyncio.run(main())

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(5)
    broker = brokers[0]

    async def program() -> None:
        async with client_of(broker, folder, timing=QUICK, ambient=hands) as client:
            await first(broker, client)

    async def ask_again() -> None:
        async with client_of(broker, folder, timing=TIMING, ambient=hands) as client:
            await assert_told_truly(broker, client)
            assert await client.orders.unresolved() == ()

    try:
        if ends_with is None:
            asyncio.run(program())
        else:
            with pytest.raises(ends_with):
                asyncio.run(program())
        hands.actions.clear()
        asyncio.run(ask_again())
        assert len(orders_received(broker)) <= 1
    finally:
        done.set()
        thread.join()
        while LEAKED:
            # On a slow machine the answer may come before the client has stopped waiting for it.
            error = LEAKED.pop().exception()
            assert error is None or isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("awaited", [True, False])
def test_loop_shutdown_drains_or_marks_unknown(tmp_path: Path, *, awaited: bool) -> None:
    """A loop that ends with an order in flight leaves a journal that the next start can settle."""

    async def end(broker: Simulator, client: KiwoomClient) -> None:
        task = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        if awaited:
            raise SystemExit
        LEAKED.append(task)

    run_twice(tmp_path, end, SystemExit if awaited else None)


def test_loop_shutdown_that_cancels_everything_marks_unknown(tmp_path: Path) -> None:
    """Cancelling every task of the loop, the library's own among them, loses no record."""

    async def end(broker: Simulator, client: KiwoomClient) -> None:
        task = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            other.cancel()
        await asyncio.wait([task])

    run_twice(tmp_path, end, None)


@pytest.mark.parametrize("is_signal", [True, False], ids=["signal", "raised"])
@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint.AFTER_COMMIT_BEFORE_WRITE,
        Checkpoint.AFTER_WRITE_BEFORE_RESPONSE,
        Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT,
    ],
)
def test_keyboard_interrupt_between_commit_and_write(
    tmp_path: Path, checkpoint: Checkpoint, *, is_signal: bool
) -> None:
    """Ctrl-C at the worst moments ends the program; the next start settles the order truly."""

    def interrupt() -> None:
        if is_signal:
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt

    async def end(_: Simulator, client: KiwoomClient) -> None:
        hands = client._ambient
        assert isinstance(hands, Hands)
        hands.actions[checkpoint] = interrupt
        await buy(client)

    run_twice(tmp_path, end, KeyboardInterrupt)
