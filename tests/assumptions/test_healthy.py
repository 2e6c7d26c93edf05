"""A healthy day raises no alarm; and what health says, it says to everybody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kiwoom_async import (
    Assumption,
    ConfigurationError,
    FeedState,
    HealthState,
    OrderRefused,
    Side,
    Timing,
)
from kiwoom_async.simulator import Channel, Fault, FaultKind
from tests.assumptions.breaking import KEY, WIDE, buy, durable_kinds
from tests.scenarios.listening import PATIENT, listener_of
from tests.scenarios.trading import SYMBOL, Hands, broker_of, client_of, eventually, left_open, on_book


async def test_a_healthy_day_is_all_well(tmp_path: Path) -> None:
    """Orders of every kind, a person's orders beside them, a refusal, a lost answer, fills, the close: no alarm."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker, listener_of(broker, tmp_path, timing=Timing()) as (client, record):
        first = await buy(client)
        await client.stock.modify(first, price=70_500)
        second = await client.stock.sell(SYMBOL, 5, price=71_000)
        await client.stock.cancel(second)
        market = await client.stock.buy(SYMBOL, 3)
        await client.gold.buy("M04020000", 1, price=180_000)
        for channel in (Channel.HOME_TRADING, Channel.MOBILE):
            broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=channel)
        broker.set_faults(
            [
                Fault(FaultKind.ORDER_REFUSED, api_ids="kt10000"),
                Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10001"),
            ]
        )
        with pytest.raises(OrderRefused):
            await client.stock.buy(SYMBOL, 4, price=70_000)
        lost = await client.stock.sell(SYMBOL, 6, price=71_500)
        broker.fill(str(lost.broker_order_id), 2)
        await client.orders.wait_filled(market)
        assert (await client.reconcile()).alarms == ()
        health = await client.health()
        assert [one.state for one in health.assumptions] == [HealthState.OK] * 11, health
        assert health.state is HealthState.OK
        assert (health.revived, health.duplicates, health.unresolved, health.oldest_unresolved) == (0, 0, 0, None)
        assert (health.feed.state, health.journal.is_durable) == (FeedState.LIVE, True)
        assert [one.assumption for one in health.assumptions] == list(Assumption)
        assert "none" not in health["A4"].measured + health["A5"].measured.partition(";")[0]
        assert "'REST API'" in health["A9"].measured
        assert not health["A10"].measured.startswith("0 ")
        hands.next_day()
        async with asyncio.timeout(20):
            while not (await client.reconcile()).closed:  # noqa: ASYNC110 - a close has no event
                await asyncio.sleep(0.05)
        assert (await client.health()).state is HealthState.OK
        assert durable_kinds(client) == set()
        assert record.events


async def test_unresolved_orders_are_counted_with_their_age(tmp_path: Path) -> None:
    """While anything is unresolved, all is not well; it is not an alarm."""
    faults = [Fault(FaultKind.DROP_AFTER_ACCEPTANCE), Fault(FaultKind.QUERY_ERROR, times=100_000)]
    hands = Hands()
    async with broker_of(*faults, ambient=hands) as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        await left_open(lambda: buy(client, deadline=0.3))
        async with asyncio.timeout(10):
            while not (health := await client.health()).unresolved:  # noqa: ASYNC110 - health has no event
                await asyncio.sleep(0.01)
        assert (health.state, health.unresolved, health.alarms) == (HealthState.WARNING, 1, ())
        assert health.oldest_unresolved is not None
        assert 0 <= health.oldest_unresolved < 60
        broker.set_faults(None)
        assert (await buy(client)).broker_order_id == on_book(broker, KEY)[0].broker_order_id
        assert (await client.health()).state is HealthState.OK


async def test_health_asks_nobody(tmp_path: Path) -> None:
    """It answers while the broker is away, and before and after that is refused with an explanation."""
    async with broker_of() as broker:
        client = client_of(broker, tmp_path, timing=WIDE)
        with pytest.raises(ConfigurationError, match="open client"):
            await client.health()
        async with client:
            await buy(client)
            async with broker.refusing_connections():
                asked = len(broker.requests)
                assert (await client.health()).state is HealthState.OK
                assert len(broker.requests) == asked
        with pytest.raises(ConfigurationError, match="open client"):
            await client.health()


async def test_repr_tells_nothing_that_is_private(tmp_path: Path) -> None:
    """No key, no token, no account number in its repr, whatever went wrong."""
    faults = [Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")]
    async with broker_of(*faults) as broker, listener_of(broker, tmp_path, timing=PATIENT) as (client, _):
        await buy(client)
        broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=Channel.REST_API)
        await client.reconcile()
        text = repr(await client.health())
        assert "secret" not in text
        assert "earer" not in text
        assert broker.account not in text
        token = await client._gateway._tokens.get()
        assert token.authorization.split()[-1] not in text


async def test_findings_reach_the_next_run_although_the_client_closed_at_once(tmp_path: Path) -> None:
    """What was not written yet is written by the close."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, timing=WIDE) as client:
            client._monitor.held_back("some-order")
        async with client_of(broker, tmp_path, timing=WIDE) as later:
            found = (await later.health())["A2"]
            assert (found.state, found.times) == (HealthState.WARNING, 1)
            assert "some-order" in found.text


async def test_the_same_finding_counts_once_a_minute(tmp_path: Path) -> None:
    """A ledger that stands still is found at every look; the record does not grow with the looks."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        for _ in range(50):
            client._monitor.held_back("some-order")
        client._monitor.held_back("another")
        await eventually(lambda: not client._monitor._pending)
        assert (await client.health())["A2"].times == 2
