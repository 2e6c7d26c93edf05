"""Section A: the journal of intents and what a client order id means, over the whole client."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import apsw
import httpx
import pytest

from kiwoom_async import (
    ClientOrderIdConflict,
    Credentials,
    JournalError,
    KiwoomClient,
    KiwoomError,
    NotSent,
    Order,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
)
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._journal import journal as journal_module
from kiwoom_async.errors import JournalLocked, JournalReadOnly
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.on_disk import states_of
from tests.scenarios.trading import (
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    left_open,
    on_book,
    orders_received,
    resolved,
)


class LookingTransport(httpx.AsyncBaseTransport):
    """Look at the disk in the moment an order is to be sent."""

    def __init__(self, broker: Simulator, journal: Path) -> None:
        self._broker = broker
        self._journal = journal
        self.seen: list[list[str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Look, then pass the request on."""
        key = request.headers.get("idempotency-key")
        if key is not None:
            self.seen.append(states_of(self._journal, key))
        return await self._broker.transport.handle_async_request(request)


async def test_intent_row_is_durable_before_first_byte(tmp_path: Path) -> None:
    """When the transport is asked to send, another connection already reads the DISPATCHED row."""
    async with broker_of(listen=False) as broker:
        looking = LookingTransport(broker, tmp_path / "orders.db")
        async with client_of(broker, tmp_path, transport=looking) as client:
            await client.stock.buy(SYMBOL, 1, price=70_000, client_order_id="one")
            await client.stock.buy(SYMBOL, 2, price=70_000)
        assert looking.seen == [["dispatched"], ["dispatched"]]
        assert len(broker.orders) == 2


def long_key(number: int) -> str:
    """Make an id that takes room."""
    return f"{'x' * 100}{number}"


async def fill_the_disk(client: KiwoomClient) -> tuple[int, JournalReadOnly]:
    """Place orders until the journal refuses one; give its number and the error.

    Where the disk fills up between an order and its answer, the order is unknown until there is room to write it down.
    """
    for number in range(200):
        try:
            await client.stock.buy(SYMBOL, 2 + number, price=70_000, client_order_id=long_key(number))
        except JournalReadOnly as error:
            return number, error
        except OutcomeUnknown:
            continue
    pytest.fail("the disk is never full")


async def test_no_send_when_commit_fails_disk_full(tmp_path: Path) -> None:
    """A journal that cannot grow raises `JournalReadOnly`, and no order request leaves; room makes it work again."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client.stock.buy(SYMBOL, 1, price=70_000)
        worker = client._journal._writer
        assert worker is not None
        pages = worker._connection.pragma("page_count")
        worker._connection.pragma("max_page_count", pages)
        number, error = await fill_the_disk(client)
        assert "full" in str(error)
        assert len(orders_received(broker)) == len(broker.orders) == number + 1
        worker._connection.pragma("max_page_count", 2**30)
        refused = long_key(number)
        assert await client.orders.get(refused) is None
        order = await client.stock.buy(SYMBOL, 2 + number, price=70_000, client_order_id=refused)
        assert [row.broker_order_id for row in on_book(broker, refused)] == [order.broker_order_id]
        await resolved(client)


async def test_no_send_when_db_locked_past_busy_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the file, orders end as `JournalLocked` and no request leaves."""
    monkeypatch.setitem(journal_module.Journal.__init__.__kwdefaults__ or {}, "busy_timeout", 0.1)
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        holder = apsw.Connection(str(tmp_path / "orders.db"))
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLocked):
            await client.stock.buy(SYMBOL, 1, price=70_000, client_order_id="one")
        assert orders_received(broker) == []
        holder.execute("ROLLBACK")
        holder.close()
        await client.stock.buy(SYMBOL, 1, price=70_000, client_order_id="one")
        assert len(broker.orders) == 1


async def test_same_key_same_params_returns_same_result_object(tmp_path: Path) -> None:
    """The same id with the same request gives an equal order, without a second request."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        first = await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        again = await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        assert again == first
        assert len(orders_received(broker)) == 1


async def test_same_key_concurrent_calls_one_post_all_waiters_share(tmp_path: Path) -> None:
    """Fifty calls of one id at once are one request, and all get the same order."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.05)) as broker, client_of(broker, tmp_path) as client:
        calls = (client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one") for _ in range(50))
        orders = await asyncio.gather(*calls)
        assert all(order == orders[0] for order in orders)
        assert len(orders_received(broker)) == len(broker.orders) == 1


async def test_same_key_different_qty_raises_conflict_no_post(tmp_path: Path) -> None:
    """An id with another quantity is a conflict that names both, in flight and afterwards; nothing is sent."""
    async with broker_of(Fault(FaultKind.DELAY_ANSWER, seconds=0.1)) as broker, client_of(broker, tmp_path) as client:
        running = asyncio.create_task(client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one"))
        await eventually(lambda: len(orders_received(broker)) == 1)
        for _ in range(2):
            with pytest.raises(ClientOrderIdConflict) as caught:
                await client.stock.buy(SYMBOL, 11, price=70_000, client_order_id="one")
            assert caught.value.differences == {"quantity": (10, 11)}
            await running
        assert len(orders_received(broker)) == 1


DIFFERENT: dict[str, dict[str, Any]] = {
    "price": {"price": 70_100},
    "side": {"verb": "sell"},
    "symbol": {"symbol": "000660"},
    "venue": {"route": "NXT"},
    "order_type": {"order_type": "limit_ioc"},
    "stop_price": {"order_type": "stop_limit", "stop_price": 69_000},
}


@pytest.mark.parametrize("changed", DIFFERENT)
async def test_same_key_different_price_side_symbol_venue_account_order_type(tmp_path: Path, changed: str) -> None:
    """Every field of a request makes it another one: a conflict, and nothing is sent."""
    asked = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, **DIFFERENT[changed]}
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        with pytest.raises(ClientOrderIdConflict) as caught:
            await getattr(client.stock, asked.pop("verb", "buy"))(**asked, client_order_id="one")
        assert changed in caught.value.differences or changed == "venue"
        assert len(orders_received(broker)) == 1


@pytest.mark.parametrize("is_settled", [True, False])
async def test_same_key_of_another_account_raises_conflict(tmp_path: Path, *, is_settled: bool) -> None:
    """An id belongs to one account; with another app key it is a conflict, settled or not, and nothing is sent."""
    fault = Fault(FaultKind.DELAY_ANSWER, seconds=0.05 if is_settled else 0.8)
    other = Credentials(app_key="other", secret_key="secret")
    async with (
        broker_of(fault) as broker,
        client_of(broker, tmp_path) as client,
        client_of(broker, tmp_path, credentials=other) as stranger,
    ):
        running = asyncio.create_task(client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one"))
        await eventually(lambda: len(orders_received(broker)) == 1)
        if is_settled:
            await running
        with pytest.raises(ClientOrderIdConflict) as caught:
            await stranger.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        assert "account" in caught.value.differences
        await running
        assert len(orders_received(broker)) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"symbol": "005930"}, {"symbol": "A005930"}),
        ({"quantity": 10}, {"quantity": "10"}),
        ({"price": 70_000}, {"price": "70000"}),
        ({"route": None}, {"route": "KRX"}),
        ({"order_type": None}, {"order_type": "limit"}),
    ],
    ids=["symbol", "quantity", "price", "route", "order_type"],
)
async def test_same_params_normalised_not_conflict(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Two spellings of one request are one request."""
    usual: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": "one"}
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await client.stock.buy(**(usual | first))
        assert await client.stock.buy(**(usual | second)) == order
        assert len(orders_received(broker)) == 1


async def test_same_key_after_definite_reject_returns_reject_not_resend(tmp_path: Path) -> None:
    """A refused id stays refused, with the same code, also after a restart; it is not sent again."""
    async with broker_of(Fault(FaultKind.ORDER_REFUSED, code="855056")) as broker:
        for _ in range(2):
            async with client_of(broker, tmp_path) as client:
                for _ in range(2):
                    with pytest.raises(OrderRefused) as caught:
                        await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
                    assert caught.value.code == "855056"
        assert len(orders_received(broker)) == 1
        assert broker.orders == ()


@pytest.mark.parametrize("fault", [None, FaultKind.DROP_AFTER_ACCEPTANCE, FaultKind.DROP_BEFORE_ACCEPTANCE])
async def test_same_key_after_restart_returns_stored_result(tmp_path: Path, fault: FaultKind | None) -> None:
    """A later client on the same journal gives what the first one gave, without a request."""

    async def ask(client: KiwoomClient) -> Order | str:
        try:
            return await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        except OrderNotAccepted as error:
            return f"{error} {error.proof}"

    async with broker_of(*([] if fault is None else [fault])) as broker:
        async with client_of(broker, tmp_path) as client:
            first = await ask(client)
        async with client_of(broker, tmp_path) as client:
            assert await ask(client) == first
        assert len(orders_received(broker)) == 1


async def test_same_key_next_trading_day_returns_yesterdays_result(tmp_path: Path) -> None:
    """An id is for ever: on the next day it gives yesterday's order and sends nothing."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker:
        async with client_of(broker, tmp_path) as client:
            first = await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        hands.next_day()
        assert broker.day == first.day + timedelta(days=1)
        async with client_of(broker, tmp_path) as client:
            assert await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one") == first
        assert len(orders_received(broker)) == 1


async def test_in_progress_claim_never_expires(tmp_path: Path) -> None:
    """However late it is asked again, an id whose outcome is open is not sent again."""
    hands = Hands()
    async with broker_of(FaultKind.DROP_BEFORE_ACCEPTANCE, ambient=hands) as broker:
        # Nothing can be learnt: every look fails.
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE), Fault(FaultKind.QUERY_ERROR, times=10_000)])
        async with client_of(broker, tmp_path) as client:
            for _ in range(3):
                await left_open(lambda: client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one", deadline=0.1))
                hands.next_day()
        hands.boot_id = "another boot"
        async with client_of(broker, tmp_path) as client:
            await left_open(lambda: client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one", deadline=0.1))
        assert len(orders_received(broker)) == 1


@asynccontextmanager
async def failing_at(hands: Hands, checkpoint: Checkpoint, error: Exception) -> AsyncIterator[None]:
    """Let a fault of the library happen at a checkpoint."""

    def fail() -> None:
        raise error

    hands.actions[checkpoint] = fail
    yield
    assert checkpoint not in hands.actions, "it was reached"


@pytest.mark.parametrize(
    "checkpoint", [Checkpoint.AFTER_COMMIT_BEFORE_WRITE, Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT]
)
async def test_exception_never_releases_claim(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """A fault of the library after the durable record leaves the id taken: the same id does not send again."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker:
        async with client_of(broker, tmp_path) as client:
            async with failing_at(hands, checkpoint, RuntimeError("a fault")):
                with pytest.raises(OutcomeUnknown):
                    await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
            sent = len(orders_received(broker, "one"))
            # Unknown so far, or found on the ledger already; in no case sent again.
            with suppress(OutcomeUnknown):
                await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one", deadline=0.3)
        async with client_of(broker, tmp_path) as client:
            is_on_book = bool(on_book(broker, "one"))
            if is_on_book:
                order = await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
                assert [row.broker_order_id for row in on_book(broker, "one")] == [order.broker_order_id]
            else:
                with pytest.raises(OrderNotAccepted):
                    await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        assert len(orders_received(broker, "one")) == sent
        assert len(on_book(broker, "one")) <= 1


async def test_fault_before_the_durable_record_is_not_sent(tmp_path: Path) -> None:
    """Nothing was committed, so nothing can have left: the caller hears that, and the same id may be sent again."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path) as client:
        async with failing_at(hands, Checkpoint.BEFORE_COMMIT, RuntimeError("a fault")):
            with pytest.raises(NotSent, match="fault of the library"):
                await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        assert orders_received(broker) == []
        assert await client.orders.unresolved() == ()
        await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="one")
        assert len(orders_received(broker, "one")) == 1


async def test_missing_key_generates_and_returns_key_before_await(tmp_path: Path) -> None:
    """A call without an id has one before it is awaited; it is the order's, and it travels in the header."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        call = client.stock.buy(SYMBOL, 10, price=70_000)
        assert orders_received(broker) == []
        order = await call
        assert order.client_order_id == call.client_order_id
        assert orders_received(broker)[0].headers["idempotency-key"] == call.client_order_id
        other = client.stock.buy(SYMBOL, 10, price=70_000)
        assert other.client_order_id > call.client_order_id
        other.close()
        assert len(orders_received(broker)) == 1


async def test_key_survives_pickle_of_exception(tmp_path: Path) -> None:
    """Every order error still knows its id after a pickle."""
    faults = (
        Fault(FaultKind.ORDER_REFUSED, code="855056"),
        Fault(FaultKind.DROP_BEFORE_ACCEPTANCE),
        Fault(FaultKind.HANG),
    )
    caught: list[KiwoomError] = []
    async with broker_of(*faults) as broker, client_of(broker, tmp_path) as client:
        for key, deadline in (("refused", 5.0), ("absent", 5.0), ("open", 0.1), ("unsent", 5.0)):
            async with AsyncExitStack() as stack:
                if key == "unsent":
                    await stack.enter_async_context(broker.refusing_connections())
                try:
                    quantity = 11 if key == "unsent" else 10
                    await client.stock.buy(SYMBOL, quantity, price=70_000, client_order_id=key, deadline=deadline)
                except KiwoomError as error:
                    caught.append(error)
    assert [type(error) for error in caught] == [OrderRefused, OrderNotAccepted, OutcomeUnknown, NotSent]
    for key, original in zip(("refused", "absent", "open", "unsent"), caught, strict=True):
        copy = pickle.loads(pickle.dumps(original))  # noqa: S301 - our own
        assert (copy.client_order_id, str(copy), type(copy)) == (key, str(original), type(original))


async def test_no_client_without_a_journal(tmp_path: Path) -> None:
    """A journal that cannot be opened keeps the client from opening; no token is asked for."""
    (tmp_path / "orders.db").write_bytes(b"not a journal" * 100)
    async with broker_of() as broker:
        with pytest.raises(JournalError):
            async with client_of(broker, tmp_path):
                pytest.fail("it opened")
        assert broker.requests == []


async def test_orders_of_one_moment_share_commits(tmp_path: Path) -> None:
    """A hundred different orders at once are all placed, each once."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=TIMING) as client:
        with anyio.fail_after(20):
            orders = await asyncio.gather(
                *(client.stock.buy(SYMBOL, 1 + n, price=70_000, client_order_id=f"n{n}") for n in range(100))
            )
        assert len({order.broker_order_id for order in orders}) == len(broker.orders) == 100
        assert all(len(on_book(broker, f"n{n}")) == 1 for n in range(100))
