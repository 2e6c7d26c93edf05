"""A5 broken on purpose: an order that is listed too late, and one that is listed no more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async import HealthState, OutcomeUnknown, ResolvedBy
from kiwoom_async._domain.states import Event
from kiwoom_async._journal.records import Finding
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import (
    KEY,
    WIDE,
    LyingTransport,
    alarmed,
    assert_one_order,
    assert_only,
    buy,
    durable_kinds,
    without,
)
from tests.scenarios.listening import record_of
from tests.scenarios.trading import SYMBOL, broker_of, client_of, eventually, left_open, on_book


async def test_listing_later_than_its_bound_is_an_alarm(tmp_path: Path) -> None:
    """An answered order that the ledger does not list when it must: nothing is concluded about another one."""
    timing = evolve(WIDE, visibility_bound=0.2, acceptance_bound=0.2, response_timeout=0.5, reconcile_interval=0.05)
    hung = Fault(FaultKind.HANG, accepted=True, api_ids="kt10000")
    async with broker_of(hung, ledger_lag=30) as broker, client_of(broker, tmp_path, timing=timing) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        await client.stock.sell(SYMBOL, 5, price=71_000)
        assert "not list" in (await alarmed(client, "A5")).text
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=1)
        assert_one_order(broker)
        assert {one.assumption.value for one in (await client.health()).alarms} <= {"A4", "A5"}


async def test_late_acceptance_that_the_feed_told_of_is_not_listed_too_late(tmp_path: Path) -> None:
    """It may have been accepted a moment ago: the look is void all the same, and no bound is called broken."""
    timing = evolve(WIDE, visibility_bound=0.05, acceptance_bound=60, reconcile_interval=0.05)
    lost = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000", times=2)
    async with broker_of(lost, ledger_lag=3600) as broker, client_of(broker, tmp_path, timing=timing) as client:
        await left_open(lambda: buy(client, deadline=0.2))
        await left_open(lambda: buy(client, quantity=5, client_order_id="two", deadline=0.2))
        await eventually(lambda: bool(on_book(broker, KEY)))
        (mine,) = on_book(broker, KEY)
        (attempt, _) = await client._journal.open_attempts()
        number = mine.broker_order_id
        told = Finding(Event.ACKNOWLEDGED, broker_order_id=number, resolved_by=ResolvedBy.EVENT)
        await client._journal.conclude(attempt, told)
        await asyncio.sleep(2 * timing.visibility_bound)
        report = await client.reconcile()
        assert [(one.client_order_id, number in one.why) for one in report.unresolved] == [("two", True)]
        assert report.alarms == ()
        assert_only(await client.health())


async def test_slow_listing_is_a_warning(tmp_path: Path) -> None:
    """More than half of the bound is too much."""
    timing = evolve(WIDE, visibility_bound=60, poll_interval=0.05)
    async with broker_of(ledger_lag=3600) as broker, client_of(broker, tmp_path, timing=timing) as client:
        await buy(client)
        monitor = client._monitor
        monitor._timing = evolve(timing, visibility_bound=1000 * 60)
        await client.reconcile()
        assert (await client.health())["A5"].state is HealthState.OK
        ((place, ended),) = list(monitor._answered.items())
        assert place[2] == broker.orders[0].broker_order_id
        monitor._timing = evolve(timing, visibility_bound=1.5 * (client._ambient.monotonic() - ended) + 1)
        async with asyncio.timeout(20):
            while (await client.health())["A5"].state is HealthState.OK:
                await client.reconcile()
        assert (await client.health())["A5"].state is HealthState.WARNING


async def test_row_that_disappears_is_an_alarm(tmp_path: Path) -> None:
    """A working order that was listed is not listed any more, while a later one is."""
    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker)
        timing = evolve(WIDE, visibility_bound=0.2)
        async with client_of(broker, tmp_path, timing=timing, transport=lying) as client, record_of(client):
            order = await buy(client)
            await client.stock.sell(SYMBOL, 5, price=71_000)
            await client.reconcile()
            assert (await client.health())["A5"].state is not HealthState.ALARM
            lying.rows["kt00007"] = without(order.broker_order_id)
            assert str(order.broker_order_id) in (await alarmed(client, "A5")).text
            await eventually(lambda: "row_disappeared" in durable_kinds(client))
            assert_only(await client.health(), "A5")
            assert (await client.orders.get(KEY)) is not None
            assert_one_order(broker)
