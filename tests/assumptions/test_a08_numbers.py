"""A8 broken on purpose: order numbers that come twice, and numbers that fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import OrderNotAccepted
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import (
    KEY,
    WIDE,
    LyingTransport,
    alarmed,
    assert_one_order,
    assert_only,
    buy,
    strangers_trade,
)
from tests.scenarios.trading import QUICK, SYMBOL, broker_of, client_of, on_book, opened, orders_received


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


async def test_lost_order_with_a_number_that_fell_is_found(tmp_path: Path) -> None:
    """Numbers of two ranges: the mark of the higher one hides no order of the lower one, which is not sent again."""
    async with broker_of() as broker:
        broker._service.exchange._last_number = 5_000
        broker.place_foreign(symbol=SYMBOL, side="sell", quantity=99, price=80_000)
        broker._service.exchange._last_number = 0
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            await opened(broker)
            await client.reconcile()
            await client.stock.buy(SYMBOL, 3, price=69_000)
            await alarmed(client, "A8")
            broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")])
            async with strangers_trade(broker):
                order = await buy(client, resend_within=60)
            assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
            assert_one_order(broker)


async def test_nothing_is_sent_again_where_a_number_came_twice(tmp_path: Path) -> None:
    """What has the number of another order cannot be told from it: a proof of absence informs, and no more."""
    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker)
        async with client_of(broker, tmp_path, timing=QUICK, transport=lying) as client:
            first = await client.stock.buy(SYMBOL, 3, price=69_000)
            lying.answers["kt10000"] = lambda answer: answer | {"ord_no": first.broker_order_id}
            await client.stock.buy(SYMBOL, 4, price=69_000)
            lying.answers.clear()
            await alarmed(client, "A8")
            broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")])
            async with strangers_trade(broker):
                with pytest.raises(OrderNotAccepted, match="A8") as caught:
                    await buy(client, resend_within=60)
            assert not caught.value.proof.allows_resend
            assert len(orders_received(broker, KEY)) == 1
