"""One id asked for in two processes, one of which cannot send: it must not tell that nothing was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import ClientOrderIdConflict, KiwoomClient, NotSent, Order, OrderRefused, OutcomeUnknown
from kiwoom_async._journal.permissions import DispatchPlan, Permission
from kiwoom_async.simulator import Fault, FaultKind
from tests.scenarios.trading import SYMBOL, broker_of, client_of, gateway_of, on_book, orders_received

ID = "shared"


def hold(
    client: KiwoomClient, patch: pytest.MonkeyPatch, error: type[Exception] = NotSent
) -> tuple[asyncio.Event, asyncio.Event]:
    """Keep a client from getting ready to send; give what tells that it tries, and what lets it fail."""
    tries, may_fail = asyncio.Event(), asyncio.Event()

    async def make_ready(*_: Any, **__: Any) -> None:
        tries.set()
        await may_fail.wait()
        raise error("there is no token")

    patch.setattr(gateway_of(client), "make_ready", make_ready)
    return tries, may_fail


def buy(client: KiwoomClient, quantity: int = 2, deadline: float = 10) -> Awaitable[Order]:
    """Ask for the order."""
    return client.stock.buy(SYMBOL, quantity, price=70_000, client_order_id=ID, deadline=deadline)


async def test_sent_elsewhere_before_we_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that gets no token gives the order that another one has placed under the id."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, may_fail = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held))
        await tries.wait()
        sent = await buy(free)
        may_fail.set()
        assert (await asking).broker_order_id == sent.broker_order_id
        assert len(on_book(broker, ID)) == len(orders_received(broker, ID)) == 1


async def test_sent_elsewhere_before_our_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one whose deadline passes while it waits for its turn."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, _ = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held, deadline=2.5))
        await tries.wait()
        sent = await buy(free)
        assert (await asking).broker_order_id == sent.broker_order_id


async def test_refused_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that another process was told is the answer of the id everywhere."""
    async with (
        broker_of(FaultKind.ORDER_REFUSED) as broker,
        client_of(broker, tmp_path) as held,
        client_of(broker, tmp_path) as free,
    ):
        tries, may_fail = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held))
        await tries.wait()
        with pytest.raises(OrderRefused):
            await buy(free)
        may_fail.set()
        with pytest.raises(OrderRefused):
            await asking


async def test_unknown_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process waits for the answer, ours is "unknown" at its deadline, and never "not sent"."""
    async with (
        broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=60)) as broker,
        client_of(broker, tmp_path) as held,
        client_of(broker, tmp_path) as free,
    ):
        tries, _ = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held, deadline=0.8))
        await tries.wait()
        other = asyncio.ensure_future(buy(free))
        with pytest.raises(OutcomeUnknown):
            await asking
        await other


def cut_off(client: KiwoomClient) -> None:
    """End the task that carries the order, as a loop does that is torn down."""
    (task,) = [task for task in client._tasks._tasks if task.get_name().startswith("kiwoom order")]
    task.cancel()


async def test_cut_off_is_not_certain_of_what_others_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is ended cannot look any more, so it does not say "not sent" of an id that another process knows."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, _ = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held))
        await tries.wait()
        sent = await buy(free)
        cut_off(held)
        with pytest.raises(OutcomeUnknown, match="does not look it up"):
            await asking
        assert (await buy(held)).broker_order_id == sent.broker_order_id


async def test_cut_off_while_the_permission_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal denies the permission because another process has sent the id, and nobody is there to hear it."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        dispatch, asks, may_ask = held._journal.dispatch, asyncio.Event(), asyncio.Event()

        async def ask_late(plan: DispatchPlan) -> Permission:
            asks.set()
            await may_ask.wait()
            return await dispatch(plan)

        monkeypatch.setattr(held._journal, "dispatch", ask_late)
        asking = asyncio.ensure_future(buy(held))
        await asks.wait()
        sent = await buy(free)
        cut_off(held)
        may_ask.set()
        with pytest.raises(OutcomeUnknown):
            await asking
        assert (await buy(held)).broker_order_id == sent.broker_order_id


async def test_cut_off_with_an_id_of_its_own_was_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that was made here is nobody else's: what did not leave here did not leave."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        tries, _ = hold(client, monkeypatch)
        asking = asyncio.ensure_future(client.stock.buy(SYMBOL, 2, price=70_000))
        await tries.wait()
        cut_off(client)
        with pytest.raises(NotSent):
            await asking
        assert orders_received(broker) == []


async def test_fault_after_it_was_sent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the library before the order is ready does not say "not sent" of what another process has sent."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, may_fail = hold(held, monkeypatch, RuntimeError)
        asking = asyncio.ensure_future(buy(held))
        await tries.wait()
        sent = await buy(free)
        may_fail.set()
        assert (await asking).broker_order_id == sent.broker_order_id


async def test_fault_after_another_request_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it hide that the id is another order's."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, may_fail = hold(held, monkeypatch, RuntimeError)
        asking = asyncio.ensure_future(buy(held))
        await tries.wait()
        await buy(free, quantity=3)
        may_fail.set()
        with pytest.raises(ClientOrderIdConflict):
            await asking


async def test_fault_where_nobody_has_sent_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the journal knows of no send, a fault before the order is ready is "not sent", with what it was."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held:
        _, may_fail = hold(held, monkeypatch, RuntimeError)
        may_fail.set()
        with pytest.raises(NotSent, match="RuntimeError") as caught:
            await buy(held)
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert orders_received(broker) == []


async def test_another_request_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that another process has used for another order meanwhile is a conflict."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, may_fail = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held))
        await tries.wait()
        await buy(free, quantity=3)
        may_fail.set()
        with pytest.raises(ClientOrderIdConflict):
            await asking


@pytest.mark.parametrize("fail", [True, False], ids=["no_token", "deadline"])
async def test_sent_nowhere_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: bool) -> None:
    """Where nobody has sent it, that is the answer, and the id is free."""
    async with broker_of() as broker, client_of(broker, tmp_path) as held, client_of(broker, tmp_path) as free:
        tries, may_fail = hold(held, monkeypatch)
        asking = asyncio.ensure_future(buy(held, deadline=10 if fail else 0.1))
        await tries.wait()
        if fail:
            may_fail.set()
        with pytest.raises(NotSent):
            await asking
        assert (await buy(free)).quantity == 2
