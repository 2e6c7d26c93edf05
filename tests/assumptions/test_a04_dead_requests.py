"""A4 broken on purpose: requests that are accepted later than `acceptance_bound`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async import Delivery, HealthState, KiwoomClient, OrderNotAccepted, OutcomeUnknown, ResolvedBy, Side
from kiwoom_async.simulator import Channel, Fault, FaultKind, Simulator
from tests.assumptions.breaking import (
    KEY,
    WIDE,
    alarmed,
    assert_one_order,
    assert_only,
    buy,
    strangers_trade,
)
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    TIMING,
    broker_of,
    client_of,
    eventually,
    ledger_queries,
    left_open,
    on_book,
    orders_received,
)

LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)
PATIENT = evolve(QUICK, clock_skew=30)


def accept_late(broker: Simulator, quantity: int = 10) -> str:
    """Let the broker accept now what it got long ago, at a moment that no timer decides."""
    late = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=quantity, price=70_000, channel=Channel.REST_API)
    return late.broker_order_id


async def test_order_accepted_after_its_proof_of_absence_is_an_alarm(tmp_path: Path) -> None:
    """It is revived: one order, an alarm, a counter, and the next client of the journal sees all that."""
    async with broker_of(LOST) as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            with pytest.raises(OrderNotAccepted):
                await buy(client)
            number = accept_late(broker)
            await client.reconcile()
            assert number in (await alarmed(client, "A4")).text
            health = await client.health()
            assert (health.revived, health.duplicates, health.state) == (1, 0, HealthState.ALARM)
            assert_only(health, "A4")
            assert (await buy(client)).broker_order_id == number
            assert len(orders_received(broker, KEY)) == 1
        async with client_of(broker, tmp_path, timing=QUICK) as later:
            health = await later.health()
            assert (health["A4"].state, health["A4"].times, health.revived) == (HealthState.ALARM, 1, 1)


async def test_pass_that_finds_a_late_order_reports_it(tmp_path: Path) -> None:
    """Whoever asks for the pass reads which order turned up, and what that means."""
    timing = evolve(QUICK, watch_interval=3600)
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=timing) as client:
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        number = accept_late(broker)
        told = f"order {KEY} was proven absent and is on the book as {number}: a bound in Timing is too tight"
        assert told in (await client.reconcile()).alarms


async def test_late_acceptance_after_a_resend_is_a_duplicate(tmp_path: Path) -> None:
    """With `resend_within`, at most one order too many; it is found and reported the same day."""
    timing = evolve(TIMING, clock_skew=0.05)
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=timing) as client:
        order = asyncio.create_task(buy(client, resend_within=60))
        for number in range(1, 1000):
            await client.stock.sell(SYMBOL, number, price=71_000)  # shows how fresh the ledger is
            await asyncio.sleep(0.05)
            if order.done():
                break
        assert (await order).attempts == 2
        surplus = accept_late(broker)
        await client.reconcile()
        found = await alarmed(client, "A4")
        assert "twice" in found.text
        assert surplus in found.text
        health = await client.health()
        assert (health.revived, health.duplicates) == (0, 1)
        assert_only(health, "A4")
        assert len(orders_received(broker, KEY)) == 2
        assert await buy(client) == await order


async def test_nothing_is_sent_again_on_the_day_of_a_late_order(tmp_path: Path) -> None:
    """The bound was seen to be too tight: the next proof of absence informs, and says so, and no order is doubled."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        accept_late(broker)
        await client.reconcile()
        await alarmed(client, "A4")
        broker.set_faults([LOST])
        async with strangers_trade(broker):
            with pytest.raises(OrderNotAccepted, match="A4: order one was proven absent") as caught:
                await buy(client, quantity=7, client_order_id="two", resend_within=60)
        assert not caught.value.proof.allows_resend
        assert len(orders_received(broker, "two")) == 1


async def test_slow_answers_are_a_warning(tmp_path: Path) -> None:
    """An answer that takes more than half of the bound says that the bound is too tight."""
    timing = evolve(WIDE, acceptance_bound=0.4)
    slow = Fault(FaultKind.DELAY_ANSWER, seconds=0.5, api_ids="kt10000")
    async with broker_of(slow) as broker, client_of(broker, tmp_path, timing=timing) as client:
        await buy(client)
        found = await alarmed(client, "A4", state=HealthState.WARNING)
        assert "acceptance_bound" in found.text
        assert_one_order(broker)


async def lose_two(broker: Simulator, client: KiwoomClient, second: Fault) -> None:
    """Prove the first order absent, then lose the answer to an identical one, and keep everybody from looking."""
    with pytest.raises(OrderNotAccepted):
        await buy(client, client_order_id="absent")
    broker.set_faults([second, BLIND])
    await left_open(lambda: buy(client, deadline=0.2))


async def test_row_that_may_be_the_late_order_of_a_twin_is_said_so(tmp_path: Path) -> None:
    """The second order is found; the claim names the twin whose late order it would be, and health warns."""
    found = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=PATIENT) as client:
        await lose_two(broker, client, found)
        broker.set_faults(None)
        order = await buy(client)
        assert order.broker_order_id == on_book(broker, KEY)[0].broker_order_id
        assert order.resolved_by is ResolvedBy.LEDGER
        assert "late order of absent#1" in (await alarmed(client, "A4", state=HealthState.WARNING)).text
        (claimed,) = [entry for entry in await client.orders.history(KEY) if entry.event == "acknowledged"]
        assert claimed.evidence["or_late_order_of"] == ["absent#1"]
        assert_one_order(broker, KEY, "absent")


@pytest.mark.parametrize("is_second_accepted", [False, True])
async def test_late_order_of_a_twin_is_never_claimed_once_the_bound_is_broken(
    tmp_path: Path, *, is_second_accepted: bool
) -> None:
    """An order of today was late already: a row that may be another late one is a candidate, and nobody's."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=PATIENT) as client:
        with pytest.raises(OrderNotAccepted):
            await buy(client, client_order_id="late", quantity=7)
        accept_late(broker, 7)
        await client.reconcile()
        await alarmed(client, "A4")
        broker.set_faults([LOST])
        second = FaultKind.DROP_AFTER_ACCEPTANCE if is_second_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
        await lose_two(broker, client, Fault(second, api_ids="kt10000"))
        if not is_second_accepted:
            accept_late(broker)
        broker.set_faults(None)
        async with asyncio.timeout(20):
            while (await client.orders.unresolved())[0].state is not Delivery.CANDIDATES:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        looks = ledger_queries(broker)
        await eventually(lambda: ledger_queries(broker) > looks + 3)
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=0.2)
        record = await client.orders.get(KEY)
        assert record is not None
        assert (record.delivery, record.broker_order_id) == (Delivery.CANDIDATES, None)
        assert_only(await client.health(), "A4")
        assert_one_order(broker, KEY, "absent", "late")
