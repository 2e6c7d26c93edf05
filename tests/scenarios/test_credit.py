"""Orders on credit through the whole client: the same promises as for cash, and never taken for each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    ClientOrderIdConflict,
    Desk,
    KiwoomClient,
    Order,
    OrderEventKind,
    OrderNotAccepted,
    OrderRefused,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
    Side,
)
from kiwoom_async._desks import CreditDesk, OrderDesk
from kiwoom_async.simulator import (
    BookOrder,
    Channel,
    Fault,
    FaultKind,
    FeedHabits,
    Reporting,
    Simulator,
)
from tests.scenarios.listening import listener_of, on_the_book
from tests.scenarios.trading import (
    CREDIT_TRS,
    QUICK,
    SYMBOL,
    TIMING,
    broker_of,
    client_of,
    eventually,
    on_book,
    opened,
    orders_received,
    resolved,
)
from tests.wire.rejections import EMPTY_LISTS, REFUSALS

E = OrderEventKind
BUY, SELL, MODIFY, CANCEL = "kt10006", "kt10007", "kt10008", "kt10009"
KEY = "one"
LOAN_DAY = "20261001"
EVERY_BOUND = 1.5 * (TIMING.acceptance_bound + 4 * TIMING.visibility_bound)
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)
AMBIGUOUS = [
    FaultKind.DROP_AFTER_ACCEPTANCE,
    FaultKind.RESET_AFTER_BYTES,
    FaultKind.TRUNCATED_JSON,
    FaultKind.NO_ORDER_NUMBER,
    FaultKind.RATE_LIMITED_GHOST,
    FaultKind.WRONG_API_ID,
]


async def place(client: KiwoomClient, side: str = "buy", key: str | None = None, **changes: Any) -> Order:
    """Place an order on credit that rests in the book; a sale repays the loan of one day."""
    arguments: dict[str, Any] = {"price": 70_000, "client_order_id": key}
    if side == "sell":
        return await client.credit.sell(SYMBOL, 10, **({"loan_date": LOAN_DAY} | arguments | changes))
    return await client.credit.buy(SYMBOL, 10, **(arguments | changes))


def row_of(broker: Simulator, number: str | None) -> BookOrder:
    """Give an order of the book as it is now."""
    return next(row for row in broker.orders if row.broker_order_id == number)


def bodies(broker: Simulator, api_id: str) -> list[dict[str, str]]:
    """List what arrived for a TR."""
    return [json.loads(request.body) for request in broker.requests if request.api_id == api_id]


def only_credit(broker: Simulator) -> bool:
    """Tell whether every order request went through the credit TRs, on their path."""
    asked = orders_received(broker)
    return all(one.api_id in CREDIT_TRS and one.path == "/api/dostk/crdordr" for one in asked)


async def made_unknown(
    broker: Simulator, client: KiwoomClient, *faults: Fault, calls: Sequence[Awaitable[Order]]
) -> None:
    """Place orders that meet these faults while the ledger cannot be read, and give up waiting for them."""
    await opened(broker)
    broker.set_faults([*faults, BLIND])
    waiting = [asyncio.ensure_future(call) for call in calls]
    await eventually(lambda: sum(broker.faults_injected[kind] for kind in {one.kind for one in faults}) == len(faults))
    async with asyncio.timeout(10):
        while len(await client.orders.unresolved()) < len(waiting):  # noqa: ASYNC110 - the journal has no event for it
            await asyncio.sleep(0.005)
    assert [task.done() for task in waiting] == [False] * len(waiting)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@pytest.mark.parametrize("tells_credit", [True, False])
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("kind", AMBIGUOUS)
async def test_lost_answer_is_found_on_the_ledger(
    tmp_path: Path, kind: FaultKind, side: str, *, tells_credit: bool
) -> None:
    """An order on credit whose answer was lost gets its number from the stock ledger, whatever the ledger tells."""
    async with broker_of(kind, ledger_tells_credit=tells_credit) as broker, client_of(broker, tmp_path) as client:
        order = await place(client, side, KEY)
        (row,) = on_book(broker, KEY)
        assert (order.broker_order_id, order.resolved_by) == (row.broker_order_id, ResolvedBy.LEDGER)
        assert (order.desk, order.side) == (Desk.CREDIT, row.side)
        assert await place(client, side, KEY) == order
        assert len(orders_received(broker)) == 1
        assert only_credit(broker)


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    "kind", [FaultKind.DROP_BEFORE_ACCEPTANCE, FaultKind.RATE_LIMITED, FaultKind.UNEXPECTED_ERROR, FaultKind.HTML_OK]
)
async def test_absence_is_proven(tmp_path: Path, kind: FaultKind, side: str) -> None:
    """An order on credit that never arrived ends with the proof of it, once and for ever."""
    async with broker_of(kind) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(OrderNotAccepted) as caught:
            await place(client, side, KEY)
        assert caught.value.proof.attempt_key == "one#1"
        with pytest.raises(OrderNotAccepted):
            await place(client, side, KEY)
        assert (broker.orders, len(orders_received(broker))) == ((), 1)


@asynccontextmanager
async def witnesses(client: KiwoomClient) -> AsyncIterator[None]:
    """Place orders for cash meanwhile: they stand in the same ledger and show how fresh it is."""

    async def go_on() -> None:
        for number in range(1, 1000):
            await client.stock.sell(SYMBOL, number, price=71_000)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_proven_absence_is_followed_by_one_more_send_of_the_same_loan(tmp_path: Path) -> None:
    """With `resend_within`, under a proof of its own: the same body again, and one order on the book."""
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=SELL)
    async with broker_of(lost) as broker, client_of(broker, tmp_path) as client:
        async with witnesses(client):
            order = await place(client, "sell", KEY, resend_within=60)
        assert (order.status, order.attempts) == (OrderStatus.WORKING, 2)
        assert len(on_book(broker, KEY)) == 1
        first, second = bodies(broker, SELL)
        assert first == second
        assert (first["crd_deal_tp"], first["crd_loan_dt"]) == ("33", LOAN_DAY)


# ---------------------------------------------------------------- modify and cancel


@pytest.mark.parametrize("is_accepted", [True, False])
@pytest.mark.parametrize("side", ["buy", "sell"])
async def test_lost_modify_is_resolved_by_its_row(tmp_path: Path, side: str, *, is_accepted: bool) -> None:
    """A modify is found by the row that names its original, or proven absent; never sent twice."""
    kind = FaultKind.DROP_AFTER_ACCEPTANCE if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client, side)
        broker.set_faults([Fault(kind, api_ids=MODIFY)])
        if is_accepted:
            modified = await client.credit.modify(order, price=70_100, client_order_id=KEY)
            (row,) = on_book(broker, KEY)
            assert (modified.broker_order_id, modified.resolved_by) == (row.broker_order_id, ResolvedBy.LEDGER)
            assert (modified.desk, modified.price) == (Desk.CREDIT, 70_100)
            assert (await client.credit.cancel(modified)).status is OrderStatus.CANCELED
            assert row_of(broker, modified.broker_order_id).leaves_quantity == 0
        else:
            with pytest.raises(OrderNotAccepted):
                await client.credit.modify(order, price=70_100, client_order_id=KEY)
            assert row_of(broker, order.broker_order_id).leaves_quantity == 10
        assert broker.count(MODIFY) == 1
        assert only_credit(broker)


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE_ACCEPTANCE, FaultKind.DROP_AFTER_ACCEPTANCE])
async def test_lost_full_cancel_takes_effect_once(tmp_path: Path, kind: FaultKind) -> None:
    """A full cancel may be sent again, and ends with nothing in the book."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        broker.set_faults([Fault(kind, api_ids=CANCEL)])
        canceled = await client.credit.cancel(order, client_order_id=KEY)
        assert (canceled.status, canceled.desk) == (OrderStatus.CANCELED, Desk.CREDIT)
        assert row_of(broker, order.broker_order_id).leaves_quantity == 0
        assert len(on_book(broker, KEY)) == 1
        assert only_credit(broker)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_lost_partial_cancel_is_never_sent_again(tmp_path: Path, *, is_accepted: bool) -> None:
    """The ledger tells what became of it."""
    kind = FaultKind.DROP_AFTER_ACCEPTANCE if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        broker.set_faults([Fault(kind, api_ids=CANCEL)])
        if is_accepted:
            part = await client.credit.cancel(order, quantity=3, client_order_id=KEY)
            assert (part.resolved_by, part.quantity) == (ResolvedBy.LEDGER, 3)
        else:
            with pytest.raises(OrderNotAccepted):
                await client.credit.cancel(order, quantity=3, client_order_id=KEY)
        assert row_of(broker, order.broker_order_id).leaves_quantity == (7 if is_accepted else 10)
        assert [body["cncl_qty"] for body in bodies(broker, CANCEL)] == ["3"]


async def test_cancel_of_an_unknown_order_is_owed_to_the_credit_desk(tmp_path: Path) -> None:
    """A cancel of an order of unknown outcome is sent when the order is found, through kt10009."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await made_unknown(broker, client, Fault(FaultKind.DROP_AFTER_ACCEPTANCE), calls=[place(client, key="target")])
        order = await client.orders.get("target")
        assert order is not None
        canceling = asyncio.create_task(client.credit.cancel(order, client_order_id=KEY))
        looked = broker.faults_injected[FaultKind.QUERY_ERROR]
        await eventually(lambda: broker.faults_injected[FaultKind.QUERY_ERROR] > looked + 2)
        assert broker.count(CANCEL) == 0
        broker.set_faults(None)
        assert (await canceling).status is OrderStatus.CANCELED
        assert broker.orders[0].leaves_quantity == 0
        assert broker.count(CANCEL) == 1
        assert only_credit(broker)


async def test_cancel_after_the_last_fill_is_no_error(tmp_path: Path) -> None:
    """It says FILLED."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client)
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id)
        assert (await client.credit.cancel(order)).status is OrderStatus.FILLED


# ---------------------------------------------------------------- twins at the two desks


async def buy_at_both_desks(client: KiwoomClient, **changes: Any) -> dict[str, Order | BaseException]:
    """Place the same order for cash and on credit at the same moment; give what became of each."""
    cash, credit = await asyncio.gather(
        client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="cash", **changes),
        client.credit.buy(SYMBOL, 10, price=70_000, client_order_id="credit", **changes),
        return_exceptions=True,
    )
    return {"cash": cash, "credit": credit}


async def make_twins_unknown(broker: Simulator, client: KiwoomClient, *lost: str) -> None:
    """Place the twins, of which these never reach the book, and leave both unknown."""
    kinds = {
        key: FaultKind.DROP_BEFORE_ACCEPTANCE if key in lost else FaultKind.DROP_AFTER_ACCEPTANCE
        for key in ("cash", "credit")
    }
    cash, credit = Fault(kinds["cash"], api_ids="kt10000"), Fault(kinds["credit"], api_ids=BUY)
    asked = [desk.buy(SYMBOL, 10, price=70_000, client_order_id=key) for desk, key in _desks(client)]
    await made_unknown(broker, client, cash, credit, calls=asked)
    assert len(orders_received(broker)) == 2
    broker.set_faults(None)


def _desks(client: KiwoomClient) -> list[tuple[OrderDesk | CreditDesk, str]]:
    return [(client.stock, "cash"), (client.credit, "credit")]


async def test_twins_of_both_desks_are_told_apart_by_the_ledger(tmp_path: Path) -> None:
    """Both accepted, both answers lost: 현금매수 is the one, 융자매수 the other."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await make_twins_unknown(broker, client)
        answers = await buy_at_both_desks(client)
        for key, desk in (("cash", Desk.STOCK), ("credit", Desk.CREDIT)):
            answer = answers[key]
            assert isinstance(answer, Order)
            (row,) = on_book(broker, key)
            assert (row.broker_order_id, row.desk) == (answer.broker_order_id, desk)
        assert len(orders_received(broker)) == 2


@pytest.mark.parametrize("there", ["cash", "credit"])
async def test_twin_of_the_other_desk_is_no_candidate(tmp_path: Path, there: str) -> None:
    """One accepted, the other not: the ledger's words say which, and the other one is proven absent."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await make_twins_unknown(broker, client, "credit" if there == "cash" else "cash")
        answers = await buy_at_both_desks(client)
        for key, answer in answers.items():
            assert type(answer) is (Order if key == there else OrderNotAccepted)
        assert [row.idempotency_key for row in broker.orders] == [there]


async def test_silent_ledger_leaves_the_twins_of_both_desks_open(tmp_path: Path) -> None:
    """Where the rows do not tell credit from cash, neither twin is claimed nor called absent; a person decides."""
    async with broker_of(ledger_tells_credit=False) as broker, client_of(broker, tmp_path) as client:
        await make_twins_unknown(broker, client)
        answers = await buy_at_both_desks(client, deadline=EVERY_BOUND)
        assert {type(answer) for answer in answers.values()} == {OutcomeUnknown}
        numbers = {row.broker_order_id for row in broker.orders}
        assert [set(one.candidates) for one in await client.orders.unresolved()] == [numbers, numbers]
        (row,) = on_book(broker, "credit")
        decided = await client.orders.resolve("credit", accepted_as=row.broker_order_id, reason="seen on the screen")
        assert decided.resolved_by is ResolvedBy.OPERATOR
        await resolved(client)
        left = await client.orders.get("cash")
        assert left is not None
        assert [row.broker_order_id for row in on_book(broker, "cash")] == [left.broker_order_id]


@pytest.mark.parametrize("there", ["cash", "credit"])
async def test_silent_row_that_may_be_either_twin_settles_neither(tmp_path: Path, there: str) -> None:
    """One accepted, the other not, and the row does not tell: both stay unknown, and nothing is sent again."""
    async with broker_of(ledger_tells_credit=False) as broker, client_of(broker, tmp_path) as client:
        await make_twins_unknown(broker, client, "credit" if there == "cash" else "cash")
        answers = await buy_at_both_desks(client, deadline=EVERY_BOUND, resend_within=60)
        assert {type(answer) for answer in answers.values()} == {OutcomeUnknown}
        assert len(orders_received(broker)) == 2


@pytest.mark.parametrize("asked", ["stock", "credit"])
async def test_order_of_the_other_kind_by_another_program_is_not_claimed(tmp_path: Path, asked: str) -> None:
    """Same fields and same channel, but the ledger says that it is of the other kind: ours is absent."""
    other = Desk.CREDIT if asked == "stock" else Desk.STOCK
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        desk = client.stock if asked == "stock" else client.credit
        call = desk.buy(SYMBOL, 10, price=70_000, client_order_id=KEY)
        await made_unknown(broker, client, Fault(FaultKind.DROP_BEFORE_ACCEPTANCE), calls=[call])
        broker.place_foreign(
            symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=Channel.REST_API, desk=other
        )
        broker.set_faults(None)
        with pytest.raises(OrderNotAccepted):
            await desk.buy(SYMBOL, 10, price=70_000, client_order_id=KEY)


@pytest.mark.parametrize("shown", [None, date(2026, 10, 2)])
async def test_another_loan_date_on_the_ledger_blocks_and_is_not_claimed(tmp_path: Path, shown: date | None) -> None:
    """That the ledger repeats the loan date nobody has seen: another one is no proof either way, none is no sign."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        call = place(client, "sell", KEY)
        await made_unknown(broker, client, Fault(FaultKind.DROP_BEFORE_ACCEPTANCE), calls=[call])
        other = broker.place_foreign(
            symbol=SYMBOL,
            side=Side.SELL,
            quantity=10,
            price=70_000,
            channel=Channel.REST_API,
            desk=Desk.CREDIT,
            loan_date=shown,
        )
        broker.set_faults(None)
        if shown is None:
            # On an exclusive account an order that looks like ours is ours.
            assert (await place(client, "sell", KEY)).broker_order_id == other.broker_order_id
            return
        with pytest.raises(OutcomeUnknown):
            await place(client, "sell", KEY, deadline=EVERY_BOUND)
        (left,) = await client.orders.unresolved()
        assert left.candidates == (other.broker_order_id,)


# ---------------------------------------------------------------- the feed


@pytest.mark.parametrize("tells_credit", [True, False])
async def test_life_of_a_credit_order_is_heard_by_the_feed(tmp_path: Path, *, tells_credit: bool) -> None:
    """Acceptance, fills, modify and cancel: told once each, whatever the frames say of credit."""
    habits = FeedHabits(reporting=Reporting(tells_credit=tells_credit))
    async with broker_of(feed=habits) as broker, listener_of(broker, tmp_path) as (client, record):
        order = await place(client, key="bought")
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id, 4)
        await eventually(lambda: record.kinds("bought") == [E.ACCEPTED, E.FILLED])
        broker.fill(order.broker_order_id)
        done = await client.orders.wait_filled(order)
        assert (done.status, done.filled_quantity, done.desk) == (OrderStatus.FILLED, 10, Desk.CREDIT)
        sale = await place(client, "sell", "sold", price=71_000)
        moved = await client.credit.modify(sale, price=71_100, client_order_id="moved")
        await client.credit.cancel(moved, client_order_id="gone")
        await eventually(lambda: E.CANCELED in record.kinds("moved"))
        assert record.kinds("bought") == [E.ACCEPTED, E.FILLED, E.FILLED]
        assert record.kinds("sold")[0] is E.ACCEPTED
        assert record.filled() == on_the_book(broker)


@pytest.mark.parametrize("tells_credit", [True, False])
async def test_lost_answer_is_settled_by_the_feed(tmp_path: Path, *, tells_credit: bool) -> None:
    """Once the feed has taught how our orders look, it settles a lost one on credit as well."""
    habits = FeedHabits(reporting=Reporting(tells_credit=tells_credit))
    async with broker_of(feed=habits) as broker, listener_of(broker, tmp_path) as (client, record):
        await place(client, key="teacher", price=69_000)
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE), BLIND])
        order = await place(client, key=KEY)
        (row,) = on_book(broker, KEY)
        assert (order.broker_order_id, order.resolved_by) == (row.broker_order_id, ResolvedBy.EVENT)


@pytest.mark.parametrize("tells_credit", [True, False])
async def test_feed_never_gives_a_twin_the_number_of_the_other_desk(tmp_path: Path, *, tells_credit: bool) -> None:
    """Both lost: each gets its own number, by the feed where it tells and by the ledger where it does not."""
    habits = FeedHabits(reporting=Reporting(tells_credit=tells_credit))
    async with broker_of(feed=habits) as broker, listener_of(broker, tmp_path) as (client, record):
        await place(client, key="teacher", price=69_000)
        await eventually(lambda: record.kinds("teacher") == [E.ACCEPTED])
        lost = [Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=api_id) for api_id in ("kt10000", BUY)]
        broker.set_faults(lost)
        answers = await buy_at_both_desks(client)
        for key, desk in (("cash", Desk.STOCK), ("credit", Desk.CREDIT)):
            answer = answers[key]
            assert isinstance(answer, Order)
            (row,) = on_book(broker, key)
            assert (row.broker_order_id, row.desk) == (answer.broker_order_id, desk)


# ---------------------------------------------------------------- restart, ids, refusals


@pytest.mark.parametrize("side", ["buy", "sell"])
async def test_unknown_credit_order_is_found_after_a_restart(tmp_path: Path, side: str) -> None:
    """The next run knows that it was on credit and which loan it repays, finds it, and cancels it at its desk."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            call = place(client, side, KEY)
            await made_unknown(broker, client, Fault(FaultKind.DROP_AFTER_ACCEPTANCE), calls=[call])
        broker.set_faults(None)
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            await resolved(client)
            order = await place(client, side, KEY)
            (row,) = on_book(broker, KEY)
            assert (order.broker_order_id, order.desk) == (row.broker_order_id, Desk.CREDIT)
            if side == "sell":
                with pytest.raises(ClientOrderIdConflict) as caught:
                    await place(client, side, KEY, loan_date="20261002")
                assert set(caught.value.differences) == {"loan_date"}
            listed = await client.orders.open()
            assert [one.broker_order_id for one in listed] == [order.broker_order_id]
            assert (await client.credit.cancel(listed[0])).status is OrderStatus.CANCELED
        assert len(orders_received(broker, KEY)) == 1
        assert only_credit(broker)


async def test_same_id_at_another_desk_is_another_request(tmp_path: Path) -> None:
    """Cash and credit are not the same order; nothing is sent."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await place(client, key=KEY)
        with pytest.raises(ClientOrderIdConflict) as caught:
            await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id=KEY)
        assert caught.value.differences == {"desk": (Desk.CREDIT, Desk.STOCK)}
        with pytest.raises(ClientOrderIdConflict):
            await place(client, "sell", KEY)
        assert len(orders_received(broker)) == 1


@pytest.mark.parametrize("api_id", sorted(CREDIT_TRS))
async def test_every_rejection_ends_in_its_error(tmp_path: Path, api_id: str) -> None:
    """Each code of the collection, as an answer to each credit TR: refused with code and text, or found out."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await place(client, key="original")
        before = len(broker.orders)

        async def ask(key: str) -> Order:
            if api_id == MODIFY:
                return await client.credit.modify(order, price=70_100, client_order_id=key)
            if api_id == CANCEL:
                return await client.credit.cancel(order, quantity=1, client_order_id=key)
            return await place(client, "buy" if api_id == BUY else "sell", key)

        for code in REFUSALS:
            broker.set_faults([Fault(FaultKind.ORDER_REFUSED, api_ids=api_id, code=code)])
            with pytest.raises(OrderRefused) as caught:
                await ask(code)
            assert caught.value.code == code
            assert code in str(caught.value)
        for code in EMPTY_LISTS:
            # About an order these prove nothing, so that the ledger decides.
            broker.set_faults([Fault(FaultKind.ORDER_REFUSED, api_ids=api_id, code=code)])
            with pytest.raises(OrderNotAccepted):
                await ask(code)
        assert len(broker.orders) == before
        assert broker.count(api_id) == len(REFUSALS) + len(EMPTY_LISTS) + (api_id == BUY)
