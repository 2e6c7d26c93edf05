"""Clients of one journal that have not the same settings: what is concluded of an order holds by its sender's, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async import (
    Delivery,
    Desk,
    KiwoomClient,
    NotSent,
    Order,
    OrderLimits,
    OrderNotAccepted,
    OutcomeUnknown,
    Side,
)
from kiwoom_async._domain.settings import KST
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.views import of_desk
from kiwoom_async._journal.records import OrderRecord
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    Hands,
    broker_of,
    client_of,
    eventually,
    landed,
    left_open,
    on_book,
    opened,
    orders_received,
)

KEY: Final = "one"
LOST: Final = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
CANCEL_LOST: Final = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10003")
BLIND: Final = Fault(FaultKind.QUERY_ERROR, api_ids="kt00007", times=100_000)
PATIENT: Final = evolve(QUICK, acceptance_bound=1_000.0)


async def buy(client: KiwoomClient, key: str = KEY, **changes: Any) -> Order:
    """Buy ten, so that a limit on a single order may be below it."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


async def record_of(client: KiwoomClient, key: str = KEY) -> OrderRecord:
    """Read what the journal knows."""
    record = await client._journal.find(key)
    assert record is not None
    return record


def hands_of(broker: Simulator) -> Hands:
    """Give the clocks that broker and clients share."""
    assert isinstance(broker.ambient, Hands)
    return broker.ambient


def evening(hour: int, minute: int) -> Hands:
    """Make clocks that show a time of today."""
    now = datetime.now(KST)
    return Hands(offset=datetime.combine(now.date(), time(hour, minute), KST) - now)


def wait_minutes(broker: Simulator, minutes: float) -> None:
    """Let both clocks go on."""
    hands = hands_of(broker)
    hands.elapsed += 60 * minutes
    hands.offset += timedelta(minutes=minutes)


@asynccontextmanager
async def strangers(broker: Simulator) -> AsyncIterator[None]:
    """Let others trade meanwhile: they show how fresh the ledger is."""

    async def go_on() -> None:
        while True:
            broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=99, price=80_000)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


# ---------------------------------------------------------------- bounds


async def test_hasty_client_proves_no_absence_before_the_senders_bounds_are_over(tmp_path: Path) -> None:
    """It proves that of its own later orders meanwhile."""
    async with (
        broker_of(LOST) as broker,
        client_of(broker, tmp_path, timing=PATIENT) as patient,
        client_of(broker, tmp_path, timing=QUICK) as hasty,
    ):
        await opened(broker)
        await left_open(lambda: buy(patient, deadline=0.1))
        await landed(patient, KEY)
        for number in range(3):
            broker.set_faults([LOST])
            async with strangers(broker):
                with pytest.raises(OrderNotAccepted):
                    await buy(hasty, f"own-{number}", quantity=1)
        assert (await record_of(hasty)).last.state is Delivery.UNKNOWN
        assert len(orders_received(broker, KEY)) == 1


async def test_sender_is_given_up_only_after_its_own_patience(tmp_path: Path) -> None:
    """A client that waits shorter for answers does not take another one's order for lost."""
    patient = evolve(QUICK, response_timeout=500.0)
    async with (
        broker_of(Fault(FaultKind.HANG, api_ids="kt10000")) as broker,
        client_of(broker, tmp_path, timing=patient) as sender,
        client_of(broker, tmp_path, timing=QUICK) as hasty,
    ):
        with pytest.raises(OutcomeUnknown):
            await buy(sender, deadline=0.3)
        sent = (await record_of(hasty)).last
        assert sent.state is Delivery.DISPATCHED
        hands_of(broker).elapsed += 400
        assert not hasty._reconciler._is_overdue(sent)
        assert hasty._reconciler._is_overdue(evolve(sent, relied_on=None))


async def test_day_is_over_by_the_senders_bound_on_the_clocks(tmp_path: Path) -> None:
    """A look shortly after midnight is final for nobody who has to expect the old day to go on for the broker."""
    async with (
        broker_of(LOST, ambient=evening(23, 50)) as broker,
        client_of(broker, tmp_path, timing=evolve(PATIENT, clock_skew=400.0)) as sender,
        client_of(broker, tmp_path, timing=QUICK) as hasty,
    ):
        await opened(broker)
        await left_open(lambda: buy(sender, deadline=0.1))
        await landed(sender, KEY)
        wait_minutes(broker, 13)
        wanted = of_desk(Desk.STOCK, await hasty._journal.open_attempts())
        resolver = hasty._reconciler._resolver
        finals = [
            [snapshot.is_final for snapshot in (await resolver._views.take(Desk.STOCK, attempts, ())).snapshots]
            for attempts in (wanted, [evolve(attempt, relied_on=None) for attempt in wanted])
        ]
        assert (any(finals[0]), finals[1][0]) == (False, True)


async def test_proven_difference_of_the_clocks_is_added_to_the_senders_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is to the bound of the process that looks (A11)."""
    monkeypatch.setattr(LedgerReader, "proven_clock_difference", property(lambda _: 407.0))
    async with (
        broker_of(LOST) as broker,
        client_of(broker, tmp_path, timing=evolve(PATIENT, clock_skew=400.0)) as sender,
        client_of(broker, tmp_path, timing=QUICK) as hasty,
    ):
        await left_open(lambda: buy(sender, deadline=0.1))
        resolver = hasty._reconciler._resolver
        (seen,) = await resolver._views.as_seen_now(await hasty._journal.open_attempts())
        assert seen.bounds(resolver._views.timing).clock_skew == 807


async def test_cancel_is_not_repeated_where_it_may_arrive_after_midnight_by_the_senders_bounds(tmp_path: Path) -> None:
    """The number would be somebody else's by then, and the sender had to expect that."""
    async with (
        broker_of(ambient=evening(23, 30)) as broker,
        client_of(broker, tmp_path, timing=PATIENT) as sender,
        client_of(broker, tmp_path, timing=QUICK) as hasty,
    ):
        order = await buy(sender)
        broker.set_faults([CANCEL_LOST, BLIND])
        await left_open(lambda: sender.stock.cancel(order, client_order_id="cancel", deadline=0.1))
        await landed(sender, "cancel")
        wait_minutes(broker, 20)
        record = await record_of(hasty, "cancel")
        assert not await hasty._dispatcher.repeat(record.intent, record.last)
        assert len(orders_received(broker, "cancel")) == 1
        assert await hasty._dispatcher.repeat(record.intent, evolve(record.last, relied_on=None))


async def test_owed_cancel_is_not_sent_by_an_heir_where_it_may_arrive_after_midnight(tmp_path: Path) -> None:
    """Neither is it owed any more then: whoever waits is told so."""
    async with broker_of(ambient=evening(23, 30)) as broker:
        async with client_of(broker, tmp_path, timing=evolve(PATIENT, drain_timeout=0.01)) as sender:
            await opened(broker)
            broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000"), BLIND])
            await left_open(lambda: buy(sender, deadline=0.1))
            target = await sender.orders.get(KEY)
            assert target is not None
            with pytest.raises(OutcomeUnknown):
                await sender.stock.cancel(target, client_order_id="cancel", deadline=0.1)
        wait_minutes(broker, 20)
        broker.set_faults(None)
        async with client_of(broker, tmp_path, timing=QUICK) as heir:
            with pytest.raises(NotSent, match="not found before the day was over"):
                await heir.stock.cancel(target, client_order_id="cancel")
        assert orders_received(broker, "cancel") == []


# ---------------------------------------------------------------- whose account it is


async def test_order_of_a_shared_account_is_claimed_by_no_client(tmp_path: Path) -> None:
    """Its sender knew of other programs; one that does not know of them leaves the stranger's order alone."""
    async with (
        broker_of(LOST) as broker,
        client_of(broker, tmp_path, account_exclusive=False, timing=PATIENT) as shared,
        client_of(broker, tmp_path, timing=QUICK) as exclusive,
    ):
        await opened(broker)
        await left_open(lambda: buy(shared, deadline=0.1))
        await landed(shared, KEY)
        broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel="REST API")
        for _ in range(3):
            await exclusive.reconcile()
        found = (await record_of(exclusive)).last
        assert (found.state, found.broker_order_id) == (Delivery.CANDIDATES, None)


# ---------------------------------------------------------------- guards


LIMITED: Final = {"order_limits": OrderLimits(quantity_per_order=1)}
NOT_LIVE: Final = {"allow_live_orders": False}
CLOSING: Final = {"account_exclusive": True}


async def why_of(client: KiwoomClient, call: asyncio.Task[Order], text: str) -> None:
    """Let a client look until it says why it leaves the order alone."""
    why = ""
    async with asyncio.timeout(60):
        while text not in why:
            assert not call.done(), call
            why = " ".join(entry.why for entry in (await client.reconcile()).unresolved)


@pytest.mark.parametrize("settings", [LIMITED, NOT_LIVE, CLOSING], ids=["limits", "not live", "closing"])
async def test_client_that_may_not_send_does_not_end_anothers_order(tmp_path: Path, settings: dict[str, Any]) -> None:
    """It is proven absent and may be sent again: who may do that does, and the call gets its order."""
    async with broker_of(LOST) as broker:
        everyone = {"environment": evolve(broker.environment, is_live=True), "timing": QUICK, "allow_live_orders": True}
        async with (
            client_of(broker, tmp_path, **everyone) as sender,
            client_of(broker, tmp_path, **(everyone | settings)) as other,
            strangers(broker),
        ):
            await opened(broker)
            async with sender._reconciler._pass:  # it gets no turn
                call = asyncio.create_task(buy(sender, resend_within=600, deadline=60))
                await eventually(lambda: len(orders_received(broker, KEY)) == 1)
                if settings is CLOSING:
                    await other._dispatcher.drain(0)
                await why_of(other, call, "left to other processes")
            order = await call
            assert (order.attempts, len(on_book(broker, KEY)), len(orders_received(broker, KEY))) == (2, 1, 2)


async def test_order_of_a_client_that_is_gone_is_left_to_those_who_may_send(tmp_path: Path) -> None:
    """As long as somebody else is there; whoever is alone decides by its own guards."""
    async with broker_of(LOST, BLIND) as broker:
        async with client_of(broker, tmp_path, timing=evolve(QUICK, drain_timeout=0.01)) as sender:
            await left_open(lambda: buy(sender, resend_within=600, deadline=0.3))
        async with client_of(broker, tmp_path, timing=QUICK, **LIMITED) as limited, strangers(broker):
            async with client_of(broker, tmp_path, timing=QUICK) as heir:
                async with heir._reconciler._pass:
                    broker.set_faults([LOST])
                    call = asyncio.create_task(buy(limited, resend_within=600, deadline=60))
                    await why_of(limited, call, "left to other processes")
                await eventually(lambda: len(orders_received(broker, KEY)) == 2)
            with pytest.raises(OrderNotAccepted):
                await call
        assert on_book(broker, KEY) == []


async def test_engaged_switch_holds_everybody_and_ends_the_order(tmp_path: Path) -> None:
    """Nobody may send it, so nobody waits for somebody who does; after a release nothing is sent by itself."""
    async with (
        broker_of(LOST) as broker,
        client_of(broker, tmp_path, timing=QUICK) as sender,
        client_of(broker, tmp_path, timing=QUICK) as other,
    ):
        await opened(broker)
        async with sender._reconciler._pass:
            call = asyncio.create_task(buy(sender, resend_within=600, deadline=60))
            await eventually(lambda: len(orders_received(broker, KEY)) == 1)
            await other.kill_switch.engage(reason="stop")
            async with strangers(broker), asyncio.timeout(60):
                while not call.done():
                    await other.reconcile()
            with pytest.raises(OrderNotAccepted):
                await call
        assert len(orders_received(broker, KEY)) == 1
