"""A8 broken on purpose: order numbers that come twice, and numbers that fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.assumptions.breaking import KEY, WIDE, LyingTransport, alarmed, assert_one_order, assert_only, buy
from tests.scenarios.trading import SYMBOL, broker_of, client_of, on_book


async def test_number_that_comes_twice_is_not_believed(tmp_path: Path) -> None:
    """An answer with the number of another order of ours: the ledger tells which one it is."""
    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker)
        async with client_of(broker, tmp_path, timing=WIDE, transport=lying) as client:
            first = await client.stock.buy(SYMBOL, 3, price=69_000, client_order_id="first")

            def repeat(answer: dict[str, Any]) -> dict[str, Any]:
                return answer | {"ord_no": first.broker_order_id}

            lying.answers["kt10000"] = repeat
            order = await buy(client)
            assert order.broker_order_id == on_book(broker, KEY)[0].broker_order_id != first.broker_order_id
            assert "already claimed" in (await alarmed(client, "A8")).text
            assert_only(await client.health(), "A8")
            assert_one_order(broker, KEY, "first")


async def test_number_that_falls_is_an_alarm(tmp_path: Path) -> None:
    """A later order gets a lower number: marks prove nothing any more."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        broker.place_stranger(500)
        high = await client.stock.buy(SYMBOL, 3, price=69_000)
        broker._service.exchange._last_number = 0
        low = await buy(client)
        assert int(str(low.broker_order_id)) < int(str(high.broker_order_id))
        assert str(low.broker_order_id) in (await alarmed(client, "A8")).text
        assert_only(await client.health(), "A8")
        assert_one_order(broker)
