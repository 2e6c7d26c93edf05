"""How clients, flights and ids end: whoever cancels what, and whatever fails after the send."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
from attrs import evolve

from kiwoom_async import (
    AuthenticationError,
    Delivery,
    KiwoomClient,
    NotSent,
    Order,
    OutcomeUnknown,
    ResolvedBy,
)
from kiwoom_async._execution.sender import Ready, Sender
from kiwoom_async._journal.journal import Journal
from kiwoom_async.errors import JournalLocked
from kiwoom_async.simulator import Fault, FaultKind
from tests.on_disk import value_of
from tests.scenarios.trading import (
    SYMBOL,
    TIMING,
    broker_of,
    client_of,
    eventually,
    landed,
    left_open,
    on_book,
    orders_received,
    resolved,
)

KEY = "one"
BUY = "kt10000"


async def buy(client: KiwoomClient, key: str = KEY, **changes: Any) -> Order:
    """Place the order of these tests."""
    return await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id=key, **changes)


@asynccontextmanager
async def witnesses(client: KiwoomClient) -> AsyncIterator[None]:
    """Place other orders meanwhile: they show how fresh the ledger is."""

    async def place() -> None:
        for number in range(1, 1000):
            await client.stock.sell(SYMBOL, number, price=71_000)
            await asyncio.sleep(0.03)

    task = asyncio.create_task(place())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


# ---------------------------------------------------------------- the end of a client


def tasks_left() -> list[str]:
    """Name the library's tasks that still run."""
    return sorted(task.get_name() for task in asyncio.all_tasks() if "kiwoom" in task.get_name())


def threads_left(before: set[threading.Thread]) -> list[str]:
    """Name the library's threads that were started since."""
    return [one.name for one in threading.enumerate() if one not in before and "journal" in one.name]


def lock_files_left(folder: Path) -> list[str]:
    """Name the lock files of living processes."""
    return [path.name for path in folder.rglob("*.lock")]


def runners_left(folder: Path) -> int:
    """Count the processes that the journal takes for living."""
    return int(value_of(folder / "orders.db", "SELECT count(*) FROM runners"))


async def within_a_cancel_scope(client: KiwoomClient, is_under_way: Callable[[], bool]) -> None:
    """Cancel the whole block by an anyio scope, which cancels again at every await."""
    with anyio.CancelScope() as scope:
        async with client, anyio.create_task_group() as group:
            group.start_soon(buy, client)
            await eventually(is_under_way)
            scope.cancel()
    assert scope.cancelled_caught


async def within_a_task(client: KiwoomClient, is_under_way: Callable[[], bool], cancels: int) -> None:
    """Cancel the task of the block, once or again while the client is closing."""
    opened = asyncio.Event()

    async def block() -> None:
        async with client:
            opened.set()
            await buy(client)

    task = asyncio.create_task(block())
    await eventually(lambda: opened.is_set() and is_under_way())
    for _ in range(cancels):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("cancels", [0, 1, 2, 5])
async def test_client_that_is_cancelled_leaves_nothing_behind(tmp_path: Path, cancels: int) -> None:
    """An anyio scope, one native cancel or several: no task, no thread, no lock file and no runner row is left."""
    before = set(threading.enumerate())
    slow = Fault(FaultKind.DELAY_ANSWER, seconds=0.3)
    async with broker_of(slow) as broker:
        client = client_of(broker, tmp_path)

        def is_under_way() -> bool:
            return len(orders_received(broker)) == 1

        if cancels:
            await within_a_task(client, is_under_way, cancels)
        else:
            await within_a_cancel_scope(client, is_under_way)
        assert tasks_left() == []
        assert threads_left(before) == []
        assert lock_files_left(tmp_path) == []
        assert runners_left(tmp_path) == 0
        async with client_of(broker, tmp_path) as again:
            order = await buy(again)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert len(orders_received(broker)) == 1


async def test_closing_waits_for_a_resend_on_the_wire(tmp_path: Path) -> None:
    """A resend in the background is waited for like any other order: its answer is in the journal at the end."""
    timing = evolve(TIMING, response_timeout=5)
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=BUY)
    slow = Fault(FaultKind.DELAY_ANSWER, seconds=0.4, api_ids=BUY)
    async with broker_of(lost, slow) as broker:
        async with client_of(broker, tmp_path, timing=timing) as client:
            async with witnesses(client):
                task = asyncio.create_task(buy(client, resend_within=60))
                await eventually(lambda: len(orders_received(broker, KEY)) == 2)
            assert client._dispatcher._repeats
        await asyncio.wait([task], timeout=5)
        error = task.exception()
        assert error is None or isinstance(error, OutcomeUnknown)
        async with client_of(broker, tmp_path, timing=timing) as client:
            assert await client.orders.unresolved() == ()
            order = await buy(client)
        assert (order.resolved_by, order.attempts) == (ResolvedBy.RESPONSE, 2)
        assert len(on_book(broker, KEY)) == 1


# ---------------------------------------------------------------- faults after the send


async def test_fault_in_a_resend_leaves_it_unknown_and_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resend that meets a fault of the library is looked for in the ledger; it is not on its way for ever."""
    real = Sender.send

    async def send(sender: Sender, flight: Any, ready: Ready) -> Any:
        found = await real(sender, flight, ready)
        if ready.attempt.number == 2:
            raise ZeroDivisionError
        return found

    monkeypatch.setattr(Sender, "send", send)
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=BUY)
    async with broker_of(lost) as broker, client_of(broker, tmp_path) as client, witnesses(client):
        order = await buy(client, resend_within=60)
        assert (order.resolved_by, order.attempts) == (ResolvedBy.LEDGER, 2)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert len(orders_received(broker, KEY)) == 2
        states = [(entry.attempt, entry.state) for entry in await client.orders.history(KEY)]
        assert (2, Delivery.UNKNOWN) in states


def fails(*_: object) -> NoReturn:
    """Fail as a journal does that another program has locked."""
    raise JournalLocked("The journal is locked.")


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_journal_that_fails_after_the_send_means_an_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_accepted: bool
) -> None:
    """`JournalError` promises that nothing was sent; once the order may have left, it is `OutcomeUnknown`."""
    kind = FaultKind.DROP_AFTER_ACCEPTANCE if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    async with broker_of(kind) as broker, client_of(broker, tmp_path) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "find", fails)
            with pytest.raises(OutcomeUnknown) as caught:
                await client.stock.buy(SYMBOL, 10, price=70_000)
        assert isinstance(caught.value.__cause__, JournalLocked)
        await resolved(client)
        assert caught.value.client_order_id is not None
        order = await client.orders.get(caught.value.client_order_id)
        assert order is not None
        assert order.delivery is (Delivery.ACKNOWLEDGED if is_accepted else Delivery.NOT_ACCEPTED)
        assert len(orders_received(broker)) == 1


async def test_journal_that_fails_before_the_look_up_means_an_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that may have been sent by an earlier call is not called unsent because it cannot be looked up."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "find", fails)
            with pytest.raises(OutcomeUnknown):
                await buy(client)
        assert await buy(client) == order
        assert len(orders_received(broker)) == 1


async def test_journal_that_fails_before_the_send_is_a_journal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a durable record nothing is sent, and that is what the caller is told."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "dispatch", fails)
            with pytest.raises(JournalLocked):
                await client.stock.buy(SYMBOL, 10, price=70_000)
        assert orders_received(broker) == []


# ---------------------------------------------------------------- tokens and ids


async def test_token_refused_twice_does_not_use_up_the_id(tmp_path: Path) -> None:
    """Two refused tokens say nothing about the order: the same id may be sent again, and is one order in the end."""
    async with broker_of(Fault(FaultKind.TOKEN_DIES, times=2)) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(AuthenticationError):
            await buy(client)
        assert on_book(broker, KEY) == []
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert await buy(client) == order
        assert len(orders_received(broker)) <= 4


async def test_token_refused_to_nobody_does_not_use_up_the_id(tmp_path: Path) -> None:
    """Nor does a refusal whose caller has gone before there was another token."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client.stock.sell(SYMBOL, 1, price=72_000)
        broker.set_faults([Fault(FaultKind.TOKEN_DIES)])
        with pytest.raises((OutcomeUnknown, NotSent, AuthenticationError)):
            await buy(client, deadline=0.02)
        await landed(client, KEY)
        await resolved(client)
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]


async def test_two_clients_with_one_refused_token_place_an_order_once(tmp_path: Path) -> None:
    """A refusal of the token that two callers of one id see is no answer to either: one order, and one number."""
    async with (
        broker_of(Fault(FaultKind.TOKEN_DIES)) as broker,
        client_of(broker, tmp_path) as one,
        client_of(broker, tmp_path) as two,
    ):
        answers = await asyncio.gather(buy(one), buy(two))
        assert answers[0] == answers[1]
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [answers[0].broker_order_id]


# ---------------------------------------------------------------- patience


async def test_watch_over_an_open_order_never_ends_however_long_it_takes(tmp_path: Path) -> None:
    """After any number of looks that brought nothing, the pause is the longest one, and no overflow."""
    async with (
        broker_of(Fault(FaultKind.DROP_AFTER_ACCEPTANCE)) as broker,
        client_of(broker, tmp_path, account_exclusive=False) as client,
    ):
        await left_open(lambda: buy(client, deadline=0.2))
        for passes in (0, 1, 10, 1023, 1024, 1025, 10**6, 10**9):
            client._reconciler._idle_passes = passes
            assert 0 <= await client._reconciler._work() <= 8 * TIMING.reconcile_interval
