"""A7 broken on purpose: a snapshot of the past that repeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwoom_async import OutcomeUnknown
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import KEY, alarmed, assert_one_order, assert_only, buy
from tests.scenarios.listening import listener_of
from tests.scenarios.trading import QUICK, SYMBOL, broker_of, client_of, eventually, left_open, on_book

ACCEPTED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
STALE = Fault(FaultKind.STALE_LEDGER, seconds=3600, times=100_000)
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)


async def test_ledger_that_stands_still_is_an_alarm(tmp_path: Path) -> None:
    """It does not list what it has listed before: an accepted order is not called absent, nor sent again."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        broker.set_faults([ACCEPTED, BLIND])
        await left_open(lambda: buy(client, deadline=0.2, resend_within=60))
        seen = await client.stock.sell(SYMBOL, 5, price=71_000)
        # One look at it, and none at the other order.
        client._monitor._seen[seen.desk, seen.day, str(seen.broker_order_id)] = None
        broker.set_faults([STALE])
        assert str(seen.broker_order_id) in (await alarmed(client, "A7")).text
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=1, resend_within=60)
        assert_only(await client.health(), "A7")
        broker.set_faults(None)
        assert (await buy(client)).broker_order_id == on_book(broker, KEY)[0].broker_order_id
        assert_one_order(broker)


async def test_ledger_behind_the_feed_is_an_alarm(tmp_path: Path) -> None:
    """The feed has reported an order that the ledger does not list when it must."""
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=QUICK) as (client, _):
        broker.set_faults([lost, STALE])
        await left_open(lambda: buy(client, deadline=0.2))
        broker.place_foreign(symbol=SYMBOL, side="sell", quantity=3, price=71_000)
        await eventually(lambda: len(broker.feed_frames) > 0)
        assert "the feed has reported" in (await alarmed(client, "A7")).text
        assert_only(await client.health(), "A7")
        assert_one_order(broker)
