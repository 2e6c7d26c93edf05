"""Section I: modifies and cancels, whose originals are known, under every fault."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    Action,
    Delivery,
    KiwoomClient,
    NotSent,
    Order,
    OrderEventKind,
    OrderNotAccepted,
    OrderRefused,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
)
from kiwoom_async.simulator import BookOrder, Fault, FaultKind, Simulator
from tests.scenarios.listening import record_of
from tests.scenarios.trading import (
    QUICK,
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

MODIFY, CANCEL = "kt10002", "kt10003"
KEY = "one"
EVERY_BOUND = 1.5 * (TIMING.acceptance_bound + 4 * TIMING.visibility_bound)
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)


async def place(client: KiwoomClient, **changes: Any) -> Order:
    """Place an order that rests in the book."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000}
    return await client.stock.buy(**(arguments | changes))


def book_row(broker: Simulator, number: str | None) -> BookOrder:
    """Give an order of the book as it is now."""
    return next(row for row in broker.orders if row.broker_order_id == number)


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.DROP_BEFORE_ACCEPTANCE,
        FaultKind.DROP_AFTER_ACCEPTANCE,
        FaultKind.RESET_AFTER_BYTES,
        FaultKind.TRUNCATED_JSON,
        FaultKind.UNEXPECTED_ERROR,
        FaultKind.RATE_LIMITED_GHOST,
    ],
)
async def test_ambiguous_full_cancel_is_safe_to_resend(tmp_path: Path, kind: FaultKind) -> None:
    """A full cancel of unknown outcome ends with nothing left in the book, the same answer always, and one effect."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            order = await place(client)
            broker.set_faults([Fault(kind, api_ids=CANCEL)])
            canceled = await client.stock.cancel(order, client_order_id=KEY)
            assert canceled.status is OrderStatus.CANCELED
            assert await client.orders.unresolved() == (), "it has its answer, whatever became of its first send"
            assert (await client.health()).unresolved == 0
            assert book_row(broker, order.broker_order_id).leaves_quantity == 0
            assert len(on_book(broker, KEY)) == 1
            assert broker.count(CANCEL) <= 2
            assert canceled.broker_order_id in {None, on_book(broker, KEY)[0].broker_order_id}
            await resolved(client)
            again = await client.stock.cancel(order, client_order_id=KEY)
            assert (again.status, again.broker_order_id) == (canceled.status, canceled.broker_order_id)
        async with client_of(broker, tmp_path) as client:
            again = await client.stock.cancel(order, client_order_id=KEY)
            assert (again.status, again.broker_order_id) == (canceled.status, canceled.broker_order_id)


@pytest.mark.parametrize("is_refused", [False, True])
async def test_full_cancel_is_sent_again_beside_a_modify_of_a_part(tmp_path: Path, *, is_refused: bool) -> None:
    """What a modify has not moved is in the book under the old number, and a lost cancel of it is sent again."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        part = await client.stock.modify(order, price=70_100, quantity=4)
        if is_refused:
            assert part.broker_order_id is not None
            broker.refuse(part.broker_order_id, "거부")
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=CANCEL)])
        canceled = await client.stock.cancel(order, client_order_id=KEY)
        assert canceled.status is OrderStatus.CANCELED
        assert book_row(broker, order.broker_order_id).leaves_quantity == 0
        assert book_row(broker, part.broker_order_id).leaves_quantity == (0 if is_refused else 4)
        assert broker.count(CANCEL) == 2


@pytest.mark.parametrize("is_seen", [True, False])
async def test_full_cancel_after_a_modify_of_a_part_and_the_last_fill(tmp_path: Path, *, is_seen: bool) -> None:
    """It is FILLED where the part was seen to stay; else the modify may have taken the last, and it is a refusal."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        assert order.broker_order_id is not None
        await client.stock.modify(order, price=70_100, quantity=4)
        if is_seen:
            async with record_of(client) as record:
                await eventually(lambda: [event.leaves_quantity for event in record.of(OrderEventKind.MODIFIED)] == [6])
        broker.fill(order.broker_order_id)
        if is_seen:
            assert (await client.stock.cancel(order, client_order_id=KEY)).status is OrderStatus.FILLED
        else:
            with pytest.raises(OrderRefused):
                await client.stock.cancel(order, client_order_id=KEY)


async def test_full_cancel_after_a_cancel_of_a_part_and_the_last_fill_is_filled(tmp_path: Path) -> None:
    """Three were canceled and the other seven filled: the cancel that came after them found nothing, and says so."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        assert order.broker_order_id is not None
        await client.stock.cancel(order, quantity=3)
        broker.fill(order.broker_order_id)
        assert (await client.stock.cancel(order, client_order_id=KEY)).status is OrderStatus.FILLED


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_ambiguous_partial_cancel_never_resent(tmp_path: Path, *, is_accepted: bool) -> None:
    """A partial cancel is sent once; the ledger tells what became of it."""
    kind = FaultKind.DROP_AFTER_ACCEPTANCE if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        broker.set_faults([Fault(kind, api_ids=CANCEL)])
        if is_accepted:
            part = await client.stock.cancel(order, quantity=3, client_order_id=KEY)
            assert (part.resolved_by, part.quantity) == (ResolvedBy.LEDGER, 3)
            assert [row.broker_order_id for row in on_book(broker, KEY)] == [part.broker_order_id]
        else:
            with pytest.raises(OrderNotAccepted):
                await client.stock.cancel(order, quantity=3, client_order_id=KEY)
        assert book_row(broker, order.broker_order_id).leaves_quantity == (7 if is_accepted else 10)
        assert broker.count(CANCEL) == 1


async def test_partial_cancel_is_not_resent_by_itself_while_unknown(tmp_path: Path) -> None:
    """As long as the ledger cannot be read, a partial cancel stays one request."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=CANCEL), BLIND])
        with pytest.raises(OutcomeUnknown):
            await client.stock.cancel(order, quantity=3, client_order_id=KEY, deadline=EVERY_BOUND)
        assert broker.count(CANCEL) == 1


@pytest.mark.parametrize("is_accepted", [True, False])
@pytest.mark.parametrize("quantity", [None, 4])
async def test_ambiguous_modify_resolved_by_orig_ord_no_row(
    tmp_path: Path, quantity: int | None, *, is_accepted: bool
) -> None:
    """A modify of unknown outcome is found by the row that names its original, and is never sent again."""
    kind = FaultKind.DROP_AFTER_ACCEPTANCE if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        broker.set_faults([Fault(kind, api_ids=MODIFY)])
        if is_accepted:
            modified = await client.stock.modify(order, price=70_100, quantity=quantity, client_order_id=KEY)
            (row,) = on_book(broker, KEY)
            assert modified.broker_order_id == row.broker_order_id != order.broker_order_id
            assert (modified.original_broker_order_id, modified.price) == (order.broker_order_id, 70_100)
            assert modified.resolved_by is ResolvedBy.LEDGER
            canceled = await client.stock.cancel(modified)
            assert canceled.status is OrderStatus.CANCELED
            assert book_row(broker, modified.broker_order_id).leaves_quantity == 0
        else:
            with pytest.raises(OrderNotAccepted):
                await client.stock.modify(order, price=70_100, quantity=quantity, client_order_id=KEY)
            assert book_row(broker, order.broker_order_id).leaves_quantity == 10
        assert broker.count(MODIFY) == 1


async def test_double_modify_second_rejected_because_root_consumed(tmp_path: Path) -> None:
    """A modify moves the order to a new number: a second one of the old number is refused, one of the new is taken."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        modified = await client.stock.modify(order, price=70_100)
        with pytest.raises(OrderRefused):
            await client.stock.modify(order, price=70_200, client_order_id=KEY)
        with pytest.raises(OrderRefused):
            await client.stock.modify(order, price=70_200, client_order_id=KEY)
        assert broker.count(MODIFY) == 2
        again = await client.stock.modify(modified, price=70_200)
        assert again.original_broker_order_id == modified.broker_order_id
        assert book_row(broker, again.broker_order_id).leaves_quantity == 10


async def test_two_modifies_at_once_only_one_takes_effect(tmp_path: Path) -> None:
    """Two different modifies of one order at the same moment: one is taken, the other refused, both told so."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        answers = await asyncio.gather(
            *(client.stock.modify(order, price=price, client_order_id=f"p{price}") for price in (70_100, 70_200)),
            return_exceptions=True,
        )
        taken = [answer for answer in answers if isinstance(answer, Order)]
        assert [type(answer) for answer in answers if not isinstance(answer, Order)] == [OrderRefused]
        assert book_row(broker, taken[0].broker_order_id).leaves_quantity == 10


@pytest.mark.parametrize("ledger_lag", [0.0, 0.15])
@pytest.mark.parametrize("is_ambiguous", [False, True])
async def test_cancel_races_fill_not_error(tmp_path: Path, ledger_lag: float, *, is_ambiguous: bool) -> None:
    """A cancel that comes after the last fill gives the FILLED order, always, also where its answer was lost."""
    async with broker_of(ledger_lag=ledger_lag) as broker:
        async with client_of(broker, tmp_path) as client:
            order = await place(client)
            assert order.broker_order_id is not None
            broker.fill(order.broker_order_id)
            if is_ambiguous:
                broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=CANCEL)])
            canceled = await client.stock.cancel(order, client_order_id=KEY)
            assert canceled.status is OrderStatus.FILLED
            assert await client.stock.cancel(order, client_order_id=KEY) == canceled
        async with client_of(broker, tmp_path) as client:
            assert await client.stock.cancel(order, client_order_id=KEY) == canceled
        assert on_book(broker, KEY) == []


async def test_cancel_of_what_is_cancelled_is_not_an_error(tmp_path: Path) -> None:
    """A second cancel, under another id, finds nothing left and says CANCELED."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        await client.stock.cancel(order)
        assert (await client.stock.cancel(order, client_order_id=KEY)).status is OrderStatus.CANCELED


async def unknown_order(broker: Simulator, client: KiwoomClient, *, is_accepted: bool) -> Order:
    """Place an order whose outcome is unknown, while the ledger cannot be read."""
    kind = FaultKind.DROP_AFTER_ACCEPTANCE if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    broker.set_faults([Fault(kind, api_ids="kt10000"), BLIND])
    await left_open(lambda: place(client, client_order_id="target", deadline=0.1))
    order = await client.orders.get("target")
    assert order is not None
    assert order.broker_order_id is None
    return order


async def test_cancel_target_unknown_key_waits_then_cancels_late_cancel(tmp_path: Path) -> None:
    """A cancel of an unknown order waits until it is found, and then cancels it, once."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await unknown_order(broker, client, is_accepted=True)
        canceling = asyncio.create_task(client.stock.cancel(order, client_order_id=KEY))
        await eventually(lambda: broker.faults_injected[FaultKind.QUERY_ERROR] > 2)
        assert broker.count(CANCEL) == 0
        broker.set_faults(None)
        canceled = await canceling
        assert canceled.status is OrderStatus.CANCELED
        assert canceled.original_broker_order_id == broker.orders[0].broker_order_id
        assert broker.orders[0].leaves_quantity == 0
        assert broker.count(CANCEL) == 1
        assert await client.stock.cancel(order, client_order_id=KEY) == canceled


async def test_cancel_of_an_unknown_order_that_is_not_there(tmp_path: Path) -> None:
    """A cancel whose target turns out not to be on the book ends as `NotSent`; no request leaves."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await unknown_order(broker, client, is_accepted=False)
        broker.set_faults(None)
        with pytest.raises(NotSent):
            await client.stock.cancel(order, client_order_id=KEY)
        assert broker.count(CANCEL) == 0
        record = await client.orders.get(KEY)
        assert record is not None
        assert record.delivery is Delivery.NOT_SENT


@pytest.mark.parametrize("restart", [False, True])
async def test_late_cancel_is_carried_out_although_nobody_waits(tmp_path: Path, *, restart: bool) -> None:
    """The caller may give up or the program may end: a cancel that is owed is carried out once the order is found."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            order = await unknown_order(broker, client, is_accepted=True)
            await left_open(lambda: client.stock.cancel(order, client_order_id=KEY, deadline=0.1))
            if not restart:
                broker.set_faults(None)
                await eventually(lambda: broker.count(CANCEL) == 1)
        broker.set_faults(None)
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            await eventually(lambda: broker.count(CANCEL) == 1)
            await resolved(client)
            canceled = await client.stock.cancel(order, client_order_id=KEY)
            assert canceled.status is OrderStatus.CANCELED
        assert [row.action for row in broker.orders] == [Action.NEW, Action.CANCEL]
        assert len(orders_received(broker, KEY)) == 1


async def test_number_of_yesterday_is_not_cancelled_today(tmp_path: Path) -> None:
    """An order number is valid on its day only, and may be somebody else's on the next."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        hands.next_day()
        with pytest.raises(ValueError, match="today"):
            await client.stock.cancel(order)
        assert broker.count(CANCEL) == 0
