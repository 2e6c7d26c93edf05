"""An order number means one order on one day: modifies and cancels are sent on that day or not at all."""

from __future__ import annotations

import asyncio
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from kiwoom_async import (
    Delivery,
    Desk,
    KiwoomClient,
    NotSent,
    Order,
    OrderNotAccepted,
    OrderStatus,
    ValidationError,
)
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.reports import Snapshot
from kiwoom_async._domain.states import Event
from kiwoom_async._domain.vocabulary import Action, OrderType, Route, Side
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.originals import Originals, OriginalState
from kiwoom_async._journal.records import Finding
from kiwoom_async.errors import QueryFailed
from kiwoom_async.simulator import BookOrder, Fault, FaultKind, Simulator
from kiwoom_async.simulator.orders import OrderRequest
from tests.scenarios.trading import (
    SYMBOL,
    Hands,
    broker_of,
    client_of,
    eventually,
    left_open,
    on_book,
    orders_received,
    resolved,
)

BUY, MODIFY, CANCEL = "kt10000", "kt10002", "kt10003"
BLIND = Fault(FaultKind.QUERY_DROP, times=100_000)


def give_number(broker: Simulator, number: str | None) -> BookOrder:
    """Let a person's order of today get a number that was ours on another day."""
    request = OrderRequest(
        Action.NEW,
        Desk.STOCK,
        SYMBOL,
        Side.BUY,
        quantity=7,
        price=69_000,
        order_type=OrderType.LIMIT,
        route=Route.KRX,
        stop_price=None,
        channel="영웅문4",
        is_foreign=True,
    )
    return broker._service.exchange.place(request, broker._service.now(), number)


def next_day(broker: Simulator) -> None:
    """Let both clocks arrive at the next day."""
    assert isinstance(broker.ambient, Hands)
    broker.ambient.live_through_the_night()


def is_untouched(broker: Simulator, other: BookOrder) -> bool:
    """Tell whether the other person's order is as it was."""
    now = [row for row in broker.all_orders if (row.day, row.broker_order_id) == (other.day, other.broker_order_id)]
    return now == [other]


async def buy(client: KiwoomClient, key: str = "buy") -> Order:
    """Place an order that rests in the book."""
    return await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id=key)


class OneSymbolFails:
    """A ledger reader whose looks at one symbol, those at an original, fail for a while."""

    def __init__(self, failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = failures
        self.failed = 0
        self._read = LedgerReader._read_ledger

        async def read(*arguments: Any) -> Snapshot:
            return await self.read(*arguments)

        monkeypatch.setattr(LedgerReader, "_read_ledger", read)

    async def read(self, reader: LedgerReader, desk: Desk, day: date, since: int, symbol: str) -> Snapshot:
        """Read, or fail."""
        if symbol and self.left:
            self.left -= 1
            self.failed += 1
            raise QueryFailed("kt00007", "HTTP 502")
        return await self._read(reader, desk, day, since, symbol)


async def test_failed_look_at_the_original_sends_no_cancel_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that failed does not say that the original is open; only one that shows it open repeats the cancel."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        looks = OneSymbolFails(100_000, monkeypatch)
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=CANCEL)])
        await left_open(lambda: client.stock.cancel(order, client_order_id="cancel", deadline=0.1))
        await eventually(lambda: looks.failed >= 3)
        assert broker.count(CANCEL) == 1
        looks.left = 0
        canceled = await client.stock.cancel(order, client_order_id="cancel")
        assert canceled.status is OrderStatus.CANCELED
        assert broker.count(CANCEL) == 2
        assert len(on_book(broker, "cancel")) == 1


@pytest.mark.parametrize("shows", ["nothing, the look fails", "an open order"])
async def test_cancel_is_not_sent_again_on_another_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows: str
) -> None:
    """Whatever a look at yesterday's original shows, today its number is somebody else's."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            order = await buy(client)
            broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=CANCEL), BLIND])
            await left_open(lambda: client.stock.cancel(order, client_order_id="cancel", deadline=0.1))
        next_day(broker)
        broker.set_faults(None)
        other = give_number(broker, order.broker_order_id)
        looked: list[int] = []
        if shows == "an open order":

            async def show_open(_: Originals, __: object) -> OriginalState:
                looked.append(1)
                return OriginalState.OPEN

            monkeypatch.setattr(Originals, "fetch_state", show_open)
            fails = OneSymbolFails(0, monkeypatch)
        else:
            fails = OneSymbolFails(3, monkeypatch)
        async with client_of(broker, tmp_path) as client:
            await eventually(lambda: len(looked) >= 3 or fails.failed == 3)
            await client.reconcile()
            if not looked:
                await resolved(client)
        assert broker.count(CANCEL) == 1
        assert is_untouched(broker, other)


async def test_cancel_that_is_owed_is_not_sent_on_another_day(tmp_path: Path) -> None:
    """A durable cancel whose target is found on the next day is called off: nothing is left to cancel by then."""
    async with broker_of(Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=BUY), BLIND) as broker:
        async with client_of(broker, tmp_path) as client:
            await left_open(lambda: client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="buy", deadline=0.1))
            unknown = await client.orders.get("buy")
            assert unknown is not None
            await left_open(lambda: client.stock.cancel(unknown, client_order_id="cancel", deadline=0.1))
        (bought,) = broker.orders
        next_day(broker)
        broker.set_faults(None)
        other = give_number(broker, bought.broker_order_id)
        async with client_of(broker, tmp_path) as client:
            found = await buy(client)
            assert (found.broker_order_id, found.day) == (bought.broker_order_id, bought.day)
            await resolved(client)
            with pytest.raises(NotSent):
                await client.stock.cancel(unknown, client_order_id="cancel")
        assert broker.count(CANCEL) == 0
        assert is_untouched(broker, other)


@pytest.mark.parametrize("verb", ["cancel", "modify"])
async def test_order_of_yesterday_is_neither_modified_nor_canceled(tmp_path: Path, verb: str) -> None:
    """An `Order` that a bot has kept over night is refused by name, under a new id and under a given one."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        next_day(broker)
        other = give_number(broker, order.broker_order_id)
        changes = {"price": 71_000} if verb == "modify" else {}
        for key in (None, "again"):
            with pytest.raises(ValidationError, match="an order of today"):
                await getattr(client.stock, verb)(order, client_order_id=key, **changes)
        assert len(orders_received(broker)) == 1
        assert is_untouched(broker, other)


@pytest.mark.parametrize("is_named_by_number", [False, True])
@pytest.mark.parametrize("verb", ["cancel", "modify"])
async def test_midnight_before_the_permission_stops_a_modify_or_cancel(
    tmp_path: Path, verb: str, *, is_named_by_number: bool
) -> None:
    """Called on one day and ready to be sent on the next: it is `NotSent`, and nothing reaches the broker."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        assert isinstance(broker.ambient, Hands)
        broker.ambient.actions[Checkpoint.BEFORE_COMMIT] = broker.ambient.next_day
        changes = {"price": 71_000} if verb == "modify" else {}
        original: Order | str = order
        if is_named_by_number:
            assert order.broker_order_id is not None
            original, changes = order.broker_order_id, {**changes, "symbol": SYMBOL}  # type: ignore[dict-item]
        with pytest.raises(NotSent, match="means its original on"):
            await getattr(client.stock, verb)(original, client_order_id=verb, **changes)
        assert broker.count(CANCEL) == broker.count(MODIFY) == 0


@pytest.mark.parametrize("is_midnight", [False, True])
async def test_modify_is_not_resent_on_another_day(tmp_path: Path, *, is_midnight: bool) -> None:
    """A modify proven absent is sent again within its window; not if midnight comes before the permission."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        assert isinstance(broker.ambient, Hands)
        if is_midnight:
            broker.ambient.actions[Checkpoint.DURING_RESEND_DECISION] = broker.ambient.next_day
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=MODIFY)])
        call = client.stock.modify(order, price=71_000, client_order_id="modify", resend_within=100_000)
        task = asyncio.create_task(call)
        for number in range(1, 200):
            await client.stock.sell(SYMBOL, number, price=72_000)
            if (await asyncio.wait([task], timeout=0.05))[0]:
                break
        if is_midnight:
            with pytest.raises(OrderNotAccepted):
                await task
        else:
            assert (await task).attempts == 2
        assert broker.count(MODIFY) == (1 if is_midnight else 2)


async def test_order_names_the_day_its_number_is_valid_on(tmp_path: Path) -> None:
    """Sent in the evening and listed after midnight, an order has the day of its row, and can be canceled on it."""
    async with broker_of(Fault(FaultKind.ACCEPT_LATE, seconds=0.3)) as broker:
        hands = broker.ambient
        assert isinstance(hands, Hands)
        hands.offset += timedelta(hours=12)
        evening = hands.now().date()
        hours = evolve(broker.environment, opens_at=time(7), closes_at=time(20))

        def pass_midnight() -> None:
            hands.offset += timedelta(hours=3)

        hands.actions[Checkpoint.AFTER_WRITE_BEFORE_RESPONSE] = pass_midnight
        async with client_of(broker, tmp_path, environment=hours) as client:
            order = await buy(client)
            (row,) = broker.orders
            assert (order.broker_order_id, order.day) == (row.broker_order_id, row.day)
            assert order.day == evening + timedelta(days=1)
            assert await client.orders.get("buy") == order
            canceled = await client.stock.cancel(order)
            assert canceled.status is OrderStatus.CANCELED
            assert broker.count(CANCEL) == 1


async def test_order_found_on_the_next_day_has_expired(tmp_path: Path) -> None:
    """The final ledger shows nothing left of it, because its day is over: nobody has canceled it."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=BUY), BLIND])
            await left_open(lambda: client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="lost", deadline=0.3))
            broker.fill(broker.orders[0].broker_order_id, 4)
        next_day(broker)
        broker.set_faults(None)
        async with client_of(broker, tmp_path) as client:
            await resolved(client)
            order = await client.orders.wait_filled("lost")
            assert (order.status, order.filled_quantity, order.leaves_quantity) == (OrderStatus.EXPIRED, 4, 0)
            told = await client._journal.order_events(0, limit=9)
        assert [(event.kind.value, event.quantity) for event in told] == [
            ("accepted", None),
            ("filled", 4),
            ("expired", 6),
        ]


async def test_part_that_was_canceled_or_modified_does_not_expire(tmp_path: Path) -> None:
    """Nobody has looked before the day was over: the final ledger tells what became of each part."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            order = await buy(client)
            modified = await client.stock.modify(order, price=70_100, quantity=4, client_order_id="part")
            await client.stock.cancel(order, quantity=3)
        next_day(broker)
        async with client_of(broker, tmp_path) as client:
            await client.orders.wait_filled(order)
            told = [event for event in await client._journal.order_events(0, limit=99) if event.quantity]
        assert [(event.client_order_id, event.kind.value, event.quantity, event.replaced_by) for event in told] == [
            ("buy", "modified", 4, modified.broker_order_id),
            ("buy", "canceled", 3, None),
            ("buy", "expired", 3, None),
            ("part", "expired", 4, None),
        ]


async def test_modify_that_the_final_ledger_does_not_explain_is_listed_at_the_close(tmp_path: Path) -> None:
    """The original expired with the day, so nobody can tell whether the modify took any of it: a person must look."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        broker.set_faults([BLIND, Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=MODIFY)])
        await left_open(lambda: client.stock.modify(order, price=70_100, client_order_id="modify", deadline=0.3))
        next_day(broker)
        broker.set_faults(None)

        async def listed() -> bool:
            found = await client.orders.unresolved()
            return [entry.state for entry in found] == [Delivery.UNRESOLVED_AT_CLOSE]

        with anyio.fail_after(10):
            while not await listed():
                await client.reconcile()
        assert "the day is over" in (await client.orders.unresolved())[0].why
        for _ in range(9):
            next_day(broker)
        assert await listed()  # until a person has decided
        assert (await client.health()).unresolved == 1
        await left_open(lambda: client.stock.modify(order, price=70_100, client_order_id="modify", deadline=0.1))
        assert len(orders_received(broker, "modify")) == 1


async def buy_by(client: KiwoomClient, route: Route, **changes: Any) -> Order:
    """Place the same order by a route, under its name."""
    return await client.stock.buy(SYMBOL, 10, price=70_000, route=route, client_order_id=route.value, **changes)


async def test_order_left_to_a_person_still_competes_for_its_row(tmp_path: Path) -> None:
    """A process died between closing two orders that one row may be: the other one does not get it for that."""
    faults = [
        Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=BUY),
        Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=BUY),
        BLIND,
    ]
    async with Simulator(ambient=Hands()) as broker, client_of(broker, tmp_path, account_exclusive=True) as client:
        broker.set_faults(faults)
        for route in (Route.KRX, Route.SOR):
            await left_open(partial(buy_by, client, route, deadline=0.1))
        await eventually(lambda: len(orders_received(broker)) == 2)
        (closed, _) = await client._journal.open_attempts()
        assert closed.client_order_id == "KRX"
        await client._journal.conclude(closed, Finding(Event.DAY_CLOSED, reason="left to a person"))
        find_left = client._reconciler._resolver._views._find_left
        assert [left.key for left in await find_left(Desk.STOCK, {closed.day}, ())] == [closed.key]
        assert await find_left(Desk.STOCK, {closed.day}, (closed,)) == (), "closed since: it competes once"
        assert await find_left(Desk.STOCK, {closed.day - timedelta(days=1)}, ()) == ()
        broker.set_faults(None)
        await client.reconcile()
        assert {left.client_order_id for left in await client.orders.unresolved()} == {"KRX", "SOR"}
        (row,) = on_book(broker, "KRX")
        order = await client.orders.resolve("KRX", accepted_as=row.broker_order_id, reason="seen on the screen")
        assert order.delivery is Delivery.ACKNOWLEDGED
        with pytest.raises(OrderNotAccepted):
            await buy_by(client, Route.SOR)
