"""A3 broken on purpose: a transport that sends twice."""

from __future__ import annotations

from pathlib import Path

from tests.assumptions.breaking import KEY, WIDE, LyingTransport, alarmed, assert_only, buy
from tests.scenarios.trading import broker_of, client_of, on_book


async def test_transport_that_sends_twice_is_noticed(tmp_path: Path) -> None:
    """Nobody below the transport can keep it from that; but the second order is reported, and not claimed."""
    broker = broker_of(listen=False)
    twice = LyingTransport(broker, copies=2)
    async with broker, client_of(broker, tmp_path, timing=WIDE, transport=twice) as client:
        order = await buy(client)
        surplus = next(row for row in on_book(broker, KEY) if row.broker_order_id != order.broker_order_id)
        report = await client.reconcile()
        assert any(surplus.broker_order_id in alarm for alarm in report.alarms)
        assert surplus.broker_order_id in (await alarmed(client, "A3")).text
        assert_only(await client.health(), "A3")
        assert (await client.orders.get(KEY)) == order
        assert (await client.reconcile()).alarms == ()  # said once
