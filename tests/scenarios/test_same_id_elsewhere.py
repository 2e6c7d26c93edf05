"""One id asked for in two processes, one of which cannot send: it must not tell that nothing was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import ClientOrderIdConflict, KiwoomClient, NotSent, Order, OrderRefused, OutcomeUnknown
from kiwoom_async.simulator import Fault, FaultKind
from tests.scenarios.trading import SYMBOL, broker_of, client_of, gateway_of, on_book, orders_received

ID = "shared"


def hold(client: KiwoomClient, patch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Keep a client from getting ready to send; give what tells that it tries, and what lets it fail."""
    tries, may_fail = asyncio.Event(), asyncio.Event()

    async def make_ready(*_: Any, **__: Any) -> None:
        tries.set()
        await may_fail.wait()
        raise NotSent("there is no token")

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
