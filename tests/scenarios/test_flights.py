"""What carries one id through this process: who may join it, who is told early, and what a fault means for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import (
    ClientOrderIdConflict,
    Delivery,
    JournalError,
    KiwoomClient,
    Limits,
    NotSent,
    Order,
    OrderNotAccepted,
    OrderRefused,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
)
from kiwoom_async._domain.intents import Intent, OrderRequest
from kiwoom_async._domain.midnight import day_of_answer
from kiwoom_async._domain.states import Event
from kiwoom_async._execution import sender as sender_module
from kiwoom_async._execution.dispatcher import AGAIN_PATIENCE, Again
from kiwoom_async._execution.findings import NOTHING_LEFT
from kiwoom_async._execution.flights import Flight, Stage
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.records import Finding
from kiwoom_async._transport.mark import DeliveryMark
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import WIDE
from tests.journal.builders import BUY, CANCEL, intent, obligation
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    broker_of,
    client_of,
    eventually,
    gateway_of,
    left_open,
    on_book,
    orders_received,
)

KEY = "one"
ACCEPTED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)
ABSENT = Finding(Event.PROVEN_ABSENT, reason="as if")


async def buy(client: KiwoomClient, key: str = KEY, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


async def intent_of(client: KiwoomClient, key: str = KEY) -> Intent:
    """Read what was asked for."""
    record = await client._journal.find(key)
    assert record is not None
    return record.intent


async def cancel(client: KiwoomClient, **changes: Any) -> Order:
    """Cancel that order, found or not."""
    order = await client.orders.get(KEY)
    assert order is not None
    return await client.stock.cancel(order, client_order_id="cancel", **changes)


async def _await(call: Awaitable[Order]) -> Order:
    return await call


async def owe_a_cancel(client: KiwoomClient) -> None:
    """Leave an order unknown, and a cancel of it that stands in the journal until the order is found."""
    await left_open(lambda: buy(client, deadline=0.3))
    await left_open(lambda: cancel(client, deadline=0.05))


# ---------------------------------------------------------------------- joining and carrying on


async def test_what_is_under_way_is_not_begun_again(tmp_path: Path) -> None:
    """The reconciler carries on with what nobody carries; a closing client begins nothing."""
    slow = Fault(FaultKind.DELAY_ANSWER, api_ids="kt10000", seconds=0.2)
    async with broker_of(slow) as broker, client_of(broker, tmp_path) as client:
        placing = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        flights = dict(client._dispatcher._flights)
        client._dispatcher.resume(await intent_of(client))
        assert client._dispatcher._flights == flights
        await placing
        await client._dispatcher.drain(0)
        client._dispatcher.resume(await intent_of(client))
        assert client._dispatcher._flights == {}
        assert len(orders_received(broker)) == 1


async def test_who_waits_is_told_before_the_late_answer(tmp_path: Path) -> None:
    """The ledger knows the order while its own answer is on its way: the caller has it, and the request goes on."""
    late = Fault(FaultKind.DELAY_ANSWER, api_ids="kt10000", seconds=0.8)
    async with broker_of(late) as broker, client_of(broker, tmp_path) as client:
        placing = asyncio.create_task(buy(client))
        await eventually(lambda: len(on_book(broker, KEY)) == 1)
        (flight,) = client._dispatcher._flights.values()
        record = await client._journal.find(KEY)
        assert record is not None
        found = Finding(
            Event.ACKNOWLEDGED,
            broker_order_id=on_book(broker, KEY)[0].broker_order_id,
            resolved_by=ResolvedBy.LEDGER,
        )
        await client._journal.conclude(record.last, found)
        await client._dispatcher.tell_early(KEY)
        assert (await placing).resolved_by is ResolvedBy.LEDGER
        assert flight.stage is Stage.IN_THE_AIR


async def test_nothing_is_carried_on_for_nobody(tmp_path: Path) -> None:
    """Without an answer and with nobody who waits, the reconciler alone has the order."""
    hangs = Fault(FaultKind.HANG, api_ids="kt10000", seconds=5, accepted=False)
    async with broker_of(hangs, BLIND) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        assert client._dispatcher._flights  # its request is on the wire
        await eventually(lambda: not client._dispatcher._flights)
        assert [entry.client_order_id for entry in await client.orders.unresolved()] == [KEY]


async def test_unknown_outcome_wakes_the_reconciler(tmp_path: Path) -> None:
    """It is looked for at once, and not when the reconciler would have looked again by itself."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client._reconciler.reconcile()
        client._reconciler._bell.muffle()
        bell = client._reconciler._bell._event
        await buy(client)
        assert not bell.is_set()
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")])
        await buy(client, "two")
        assert bell.is_set()


async def test_what_is_told_at_the_end_of_a_send_is_what_is_told_ever_after(tmp_path: Path) -> None:
    """Proven absent by another process while its answer was awaited: the proof is told, not only that it failed."""
    hangs = Fault(FaultKind.HANG, api_ids="kt10000", seconds=5, accepted=False)
    async with broker_of(hangs) as broker, client_of(broker, tmp_path) as client:
        placing = asyncio.create_task(buy(client))
        await eventually(lambda: len(orders_received(broker)) == 1)
        async with client_of(broker, tmp_path) as other:
            record = await other._journal.find(KEY)
            assert record is not None
            lost = Finding(Event.LOST, reason="as if", ended=record.last.dispatched, ended_at=record.last.dispatched_at)
            await other._journal.conclude(record.last, lost)
            with pytest.raises(OrderNotAccepted) as told_there:
                await buy(other)
        with pytest.raises(OrderNotAccepted) as told_here:
            await placing
        assert str(told_here.value) == str(told_there.value)
        assert told_here.value.proof == told_there.value.proof is not None


# ---------------------------------------------------------------------- once more


async def test_resend_says_that_it_was_sent(tmp_path: Path) -> None:
    """And nothing is sent once it is known that the order is there."""
    async with broker_of(LOST, BLIND) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await left_open(lambda: buy(client, deadline=0.5))
        record = await client._journal.find(KEY)
        assert record is not None
        async with client._reconciler._pass:
            assert await client._dispatcher.resend(record.intent, record.last, ABSENT, within=60) is Again.SENT
            await eventually(lambda: not client._dispatcher._repeats)
            assert await client._dispatcher.resend(record.intent, record.last, ABSENT, within=60) is Again.NOT
        assert len(orders_received(broker)) == 2


async def test_slot_of_an_order_that_got_no_permission_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that fails takes nothing from the rate: the next order need not wait."""
    limits = Limits(orders_per_second=1, queries_per_second=None, per_tr_per_second=None)

    async def fail(*_: object) -> None:
        raise JournalError("as if")

    async with broker_of() as broker, client_of(broker, tmp_path, limits=limits) as client:
        with monkeypatch.context() as patch:
            patch.setattr(client._journal, "dispatch", fail)
            with pytest.raises(JournalError):
                await buy(client)
        await buy(client, deadline=0.5)
        assert len(orders_received(broker)) == 1


async def test_cancel_that_is_sent_again_waits_for_its_slot(tmp_path: Path) -> None:
    """A rate limit without room at this moment puts the second send of a cancel off, within its patience."""
    limits = Limits(orders_per_second=2, queries_per_second=None, per_tr_per_second=None)
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10003")
    async with broker_of(lost) as broker, client_of(broker, tmp_path, limits=limits) as client:
        order = await buy(client)
        broker.set_faults([lost, BLIND])
        async with client._reconciler._pass:  # this test does its work
            await left_open(lambda: client.stock.cancel(order, client_order_id="cancel", deadline=0.3))
            await buy(client, "room", quantity=1)
            await buy(client, "none", quantity=2)
            record = await client._journal.find("cancel")
            assert record is not None
            assert await client._dispatcher.repeat(record.intent, record.last)
            await eventually(lambda: len(orders_received(broker, "cancel")) == 2, within=AGAIN_PATIENCE)


@pytest.mark.parametrize("is_own", [True, False])
async def test_order_that_is_held_back_is_left_to_its_own_process(tmp_path: Path, *, is_own: bool) -> None:
    """What holds this process back ends its own orders, and not those of another one that lives."""
    async with (
        broker_of(LOST, BLIND) as broker,
        client_of(broker, tmp_path) as sender,
        client_of(broker, tmp_path) as other,
    ):
        await left_open(lambda: buy(sender, deadline=0.5))
        record = await sender._journal.find(KEY)
        assert record is not None
        asked = (sender if is_own else other)._dispatcher
        await asked.drain(0)
        again = await asked.resend(record.intent, record.last, ABSENT, within=60)
        assert again is (Again.NOT if is_own else Again.HELD)
        assert len(orders_received(broker, KEY)) == 1


async def test_slot_of_an_order_that_waits_for_its_twin_is_free_again(tmp_path: Path) -> None:
    """While it waits, others are sent."""
    limits = Limits(orders_per_second=1, queries_per_second=None, per_tr_per_second=None)
    async with broker_of(LOST, BLIND) as broker, client_of(broker, tmp_path, limits=limits) as client:
        await left_open(lambda: buy(client, deadline=0.5))
        await asyncio.sleep(1.0)
        waiting = asyncio.create_task(buy(client, "twin"))
        flights = client._dispatcher._flights
        await eventually(lambda: "twin" in flights and flights["twin"].stage is Stage.ON_THE_GROUND)
        await asyncio.sleep(0.1)
        await buy(client, "three", quantity=3, deadline=0.5)
        assert not waiting.done()
        assert [len(orders_received(broker, key)) for key in (KEY, "twin", "three")] == [1, 0, 1]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


# ---------------------------------------------------------------------- faults and failures on the way


async def test_fault_while_the_id_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was sent before is not known then, and that is what is said."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        with monkeypatch.context() as patch:
            patch.setattr(client._journal, "find", lambda _: 1 // 0)
            with pytest.raises(OutcomeUnknown, match="a fault of the library, ZeroDivisionError"):
                await buy(client)
        assert orders_received(broker) == []


@pytest.mark.parametrize("error", [ZeroDivisionError, JournalError])
async def test_call_for_an_owed_cancel_is_never_told_that_it_was_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """The cancel stands in the journal, so it is carried out later whatever becomes of a call that asks for it."""

    async def fail(*_: object) -> None:
        raise error("as if")

    async with broker_of(LOST, BLIND) as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            await owe_a_cancel(client)
            assert [entry.attempt for entry in await client.orders.history("cancel")] == [1]
        async with client_of(broker, tmp_path, timing=QUICK) as client, client._reconciler._pass:
            monkeypatch.setattr(client._journal, "prepare", fail)
            with pytest.raises(OutcomeUnknown):
                await cancel(client)
            # The same, begun by the library and joined by a caller.
            client._dispatcher.resume(await intent_of(client, "cancel"))
            with pytest.raises(OutcomeUnknown):
                await cancel(client)


async def write_slowly(client: KiwoomClient, seconds: float = 0.5) -> asyncio.Task[None]:
    """Keep the thread that commits busy, so that what is handed in from now on is written later."""
    busy = asyncio.create_task(client._journal._write(lambda _: time.sleep(seconds)))
    await asyncio.sleep(0.02)
    return busy


async def state_of(client: KiwoomClient, key: str) -> Delivery:
    """Read what the journal says of the last send of an id."""
    record = await client._journal.find(key)
    assert record is not None
    return record.last.state


async def test_deadline_while_an_owed_cancel_is_written_down(tmp_path: Path) -> None:
    """It stands once that is done, and is carried out when its order is found: nobody is told that it was not sent."""
    async with broker_of(ACCEPTED, BLIND) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await left_open(lambda: buy(client, deadline=0.3))
        busy = await write_slowly(client)
        with pytest.raises(OutcomeUnknown):
            await cancel(client, deadline=0.1)
        await busy
        broker.set_faults(None)
        assert (await cancel(client)).status is OrderStatus.CANCELED
        assert len(orders_received(broker, "cancel")) == 1


async def test_closing_while_an_owed_cancel_is_written_down(tmp_path: Path) -> None:
    """The next start owes it, also under an id that nobody else can know."""
    async with broker_of(LOST, BLIND) as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            await left_open(lambda: buy(client, deadline=0.3))
            order = await client.orders.get(KEY)
            assert order is not None
            await write_slowly(client)
            call = client.stock.cancel(order)
            placing = asyncio.create_task(_await(call))
            await asyncio.sleep(0.1)
        with pytest.raises(OutcomeUnknown):
            await placing
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            assert await state_of(client, call.client_order_id) is Delivery.PREPARED


async def test_cancel_that_another_process_owes_is_not_told_as_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked up before the other one wrote it down, and no slot before the deadline: the other one will send it."""

    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async with (
        broker_of(LOST, BLIND) as broker,
        client_of(broker, tmp_path, timing=QUICK) as owing,
        client_of(broker, tmp_path, timing=QUICK) as late,
    ):
        await left_open(lambda: buy(owing, deadline=0.3))
        monkeypatch.setattr(gateway_of(late), "make_ready", hang)
        order = await late.orders.get(KEY)
        assert order is not None
        known = evolve(order, broker_order_id="0000123")
        asked = asyncio.create_task(_await(late.stock.cancel(known, client_order_id="cancel", deadline=1)))
        await eventually(lambda: "cancel" in late._dispatcher._flights)
        await asyncio.sleep(0.1)
        await left_open(lambda: cancel(owing, deadline=0.1))
        with pytest.raises((OutcomeUnknown, ClientOrderIdConflict)):
            await asked
        assert await state_of(owing, "cancel") is Delivery.PREPARED


@pytest.mark.parametrize(
    ("flight", "told"),
    [
        pytest.param({"stage": Stage.ON_THE_GROUND, "is_fresh": True}, NotSent, id="nobody else has its id"),
        pytest.param({"stage": Stage.ON_THE_GROUND}, OutcomeUnknown, id="another process may have sent it"),
        pytest.param({"stage": Stage.LOOKING_UP}, OutcomeUnknown, id="not looked up yet"),
        pytest.param({"stage": Stage.COMMITTING, "is_unsent": True}, NotSent, id="permitted and not handed over"),
        pytest.param({"stage": Stage.COMMITTING, "is_unsent": True, "is_ours": True}, OutcomeUnknown, id="owed"),
        pytest.param({"stage": Stage.COMMITTING, "is_fresh": True, "last": obligation()}, OutcomeUnknown, id="owes"),
        pytest.param({"stage": Stage.IN_THE_AIR, "is_fresh": True}, OutcomeUnknown, id="in the air"),
    ],
)
async def test_what_a_task_that_was_ended_can_say(
    tmp_path: Path, flight: dict[str, Any], told: type[Exception]
) -> None:
    """It cannot ask the journal any more."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        cut = Flight(intent("id"), **{"is_fresh": False, "deadline": None, "mark": DeliveryMark()} | flight)
        answer = client._dispatcher._cut_off(cut)
        assert type(answer) is told
        is_in_doubt = told is OutcomeUnknown and cut.stage not in {Stage.LOOKING_UP, Stage.IN_THE_AIR}
        assert ("does not look it up" in str(answer)) == is_in_doubt


async def test_deadline_before_the_permission_while_the_journal_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have sent the id meanwhile; as long as nobody can look, it is unknown."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        find, looks = client._journal.find, 0

        async def find_once(key: str) -> Any:
            nonlocal looks
            looks += 1
            if looks > 1:
                raise JournalError("as if")
            return await find(key)

        async def hang(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(client._journal, "find", find_once)
        monkeypatch.setattr(gateway_of(client), "make_ready", hang)
        with pytest.raises(OutcomeUnknown) as caught:
            await buy(client, deadline=0.05)
        assert isinstance(caught.value.__cause__, JournalError)
        assert orders_received(broker) == []


# ---------------------------------------------------------------------- what is asked for and written down


@pytest.mark.parametrize(
    ("twins", "request_", "follows", "waits"),
    [
        ("serialize", BUY, 0, True),
        ("serialize", BUY, 1, False),  # it follows a proof about the whole class
        ("serialize", CANCEL, 0, False),  # twice is the same as once
        ("serialize", evolve(CANCEL, quantity=3), 0, True),
        ("fail", BUY, 0, True),
        ("allow", BUY, 0, False),
    ],
)
async def test_who_waits_for_a_twin(
    tmp_path: Path, twins: str, request_: OrderRequest, follows: int, *, waits: bool
) -> None:
    """A new order while the outcome of an identical one is unknown, unless the user says otherwise."""
    async with broker_of() as broker, client_of(broker, tmp_path, twins=twins) as client:
        sender = client._dispatcher._sender
        plan = sender._plan(intent("id", request_), request_, follows, Terms())
        assert (plan.waits_for_twins, plan.follows) == (waits, follows)


async def test_cancel_that_came_too_late_keeps_what_the_broker_said(tmp_path: Path) -> None:
    """The refusal and what became of the original stand beside each other."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        broker.fill(str(order.broker_order_id))
        assert (await cancel(client)).status is OrderStatus.FILLED
        evidence = (await client.orders.history("cancel"))[-1].evidence
        assert evidence["original_status"] == "filled"
        assert evidence["code"] in NOTHING_LEFT


async def test_how_long_an_answer_took_is_told_by_the_clock_that_never_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts from the permission, and decides near midnight on which day a number is valid."""
    took: list[float] = []

    def note(*given: Any, **known: Any) -> Any:
        took.append(known["took"])
        return day_of_answer(*given, **known)

    monkeypatch.setattr(sender_module, "day_of_answer", note)
    slow = Fault(FaultKind.DELAY_ANSWER, api_ids="kt10000", seconds=0.2)
    async with broker_of(slow) as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        began = client._ambient.monotonic()
        await buy(client)
        assert [0.2 <= seconds <= client._ambient.monotonic() - began for seconds in took] == [True]


async def test_usual_order_is_no_news_for_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Accepted or refused: nothing is on the book "after all", and nobody is called to look."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        await buy(client)
        broker.set_faults([Fault(FaultKind.ORDER_REFUSED, api_ids="kt10000")])
        with pytest.raises(OrderRefused):
            await buy(client, "two", quantity=11)
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
