"""Two accounts in one journal: neither sees, moves or holds up the other's orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    ClientOrderIdConflict,
    Credentials,
    Delivery,
    KiwoomClient,
    Order,
    ResolvedBy,
    ValidationError,
)
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import SYMBOL, broker_of, client_of, left_open, on_book, orders_received, resolved

BLIND = Fault(FaultKind.QUERY_DROP, times=100_000)


async def buy(client: KiwoomClient, key: str, **changes: Any) -> Order:
    """Place an order."""
    return await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id=key, **changes)


@asynccontextmanager
async def two_accounts(folder: Path) -> AsyncIterator[tuple[Simulator, KiwoomClient, Simulator, KiwoomClient]]:
    """Open two accounts at brokers of their own, which give the same numbers, on one journal."""
    async with (
        broker_of() as first,
        broker_of() as second,
        client_of(first, folder, credentials=Credentials(app_key="first", secret_key="secret")) as mine,
        client_of(second, folder, credentials=Credentials(app_key="second", secret_key="secret")) as theirs,
    ):
        yield first, mine, second, theirs


async def test_order_of_another_account_is_not_shown(tmp_path: Path) -> None:
    """Its id is unknown here: no order, no history, nothing unresolved; and the id cannot be used again."""
    async with two_accounts(tmp_path) as (first, mine, second, theirs):
        first.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), BLIND])
        await left_open(lambda: buy(mine, "mine", deadline=0.1))
        assert await theirs.orders.get("mine") is None
        assert await theirs.orders.history("mine") == ()
        assert await theirs.orders.unresolved() == ()
        assert (await theirs.reconcile()).unresolved == ()
        with pytest.raises(ClientOrderIdConflict, match="app key"):
            await buy(theirs, "mine")
        assert orders_received(second) == []
        assert [left.client_order_id for left in await mine.orders.unresolved()] == ["mine"]


@pytest.mark.parametrize("verdict", [{"not_accepted": True}, {"accepted_as": "0000002"}])
async def test_order_of_another_account_is_not_settled_by_hand(tmp_path: Path, verdict: dict[str, Any]) -> None:
    """An operator at the wrong client changes nothing."""
    async with two_accounts(tmp_path) as (first, mine, _, theirs):
        first.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), BLIND])
        await left_open(lambda: buy(mine, "mine", deadline=0.1))
        with pytest.raises(ValidationError):
            await theirs.orders.resolve("mine", reason="seen on the screen", **verdict)
        first.set_faults(None)
        order = await buy(mine, "mine")
        assert order.resolved_by is ResolvedBy.LEDGER
        assert [row.broker_order_id for row in on_book(first, "mine")] == [order.broker_order_id]


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("verb", ["cancel", "modify"])
async def test_order_of_another_account_is_neither_modified_nor_canceled(
    tmp_path: Path, verb: str, *, is_known: bool
) -> None:
    """Its number is somebody else's order here: refused before anything is recorded or sent."""
    async with two_accounts(tmp_path) as (first, mine, second, theirs):
        if not is_known:
            first.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), BLIND])
            await left_open(lambda: buy(mine, "mine", deadline=0.1))
        order = await buy(mine, "mine") if is_known else await mine.orders.get("mine")
        same = await buy(theirs, "theirs")
        assert order is not None
        assert on_book(first, "mine")[0].broker_order_id == same.broker_order_id
        changes = {"price": 71_000} if verb == "modify" else {}
        for key in (None, "again"):
            with pytest.raises(ValidationError, match="own account"):
                await getattr(theirs.stock, verb)(order, client_order_id=key, **changes)
        assert len(orders_received(second)) == 1
        assert on_book(second, "theirs")[0].leaves_quantity == 10
        assert await mine.orders.get("again") is None


async def test_account_that_cannot_look_does_not_hold_up_another(tmp_path: Path) -> None:
    """While one account's look hangs, and its lease with it, the other's order is resolved."""
    async with two_accounts(tmp_path) as (first, mine, second, theirs):
        is_looking, may_go_on = asyncio.Event(), asyncio.Event()

        async def hang(*_: object) -> None:
            is_looking.set()
            await may_go_on.wait()

        theirs._reconciler._resolver.resolve_desk = hang  # type: ignore[method-assign,assignment]
        second.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
        await left_open(lambda: buy(theirs, "theirs", deadline=0.05))
        async with asyncio.timeout(5):
            await is_looking.wait()
        first.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
        order = await buy(mine, "mine", deadline=5)
        assert [row.broker_order_id for row in on_book(first, "mine")] == [order.broker_order_id]
        left = await theirs.orders.get("theirs")
        assert left is not None
        assert left.delivery is Delivery.UNKNOWN
        del theirs._reconciler._resolver.resolve_desk
        may_go_on.set()
        await resolved(theirs)
