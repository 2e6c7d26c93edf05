"""A6 broken on purpose: a page that is lost silently, and the rows of another account or day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from attrs import evolve

from kiwoom_async import OrderNotAccepted, OutcomeUnknown, Side
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.assumptions.breaking import (
    KEY,
    LyingTransport,
    Rows,
    alarmed,
    assert_one_order,
    assert_only,
    buy,
)
from tests.scenarios.trading import QUICK, SYMBOL, broker_of, client_of, left_open, on_book, opened

ACCEPTED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)


def fill_page(broker: Simulator) -> None:
    """Let others fill more than a page."""
    for number in range(4):
        broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=100 + number, price=71_000)


def lose_pages(api_id: str, headers: httpx.Headers) -> None:
    """Say of every page of the ledger that it is the last one."""
    if api_id == "kt00007":
        headers["cont-yn"], headers["next-key"] = "N", ""


@pytest.mark.parametrize("lie", ["page", "day"])
async def test_look_that_leaves_orders_out_is_an_alarm(tmp_path: Path, lie: str) -> None:
    """An open order of ours is not in it: it is incomplete, and an accepted order is not called absent."""
    async with broker_of(listen=False, page_size=3) as broker:
        lying = LyingTransport(broker)
        if lie == "page":
            lying.headers = lose_pages
        else:
            lying.day = f"{broker.day - timedelta(days=1):%Y%m%d}"
        async with client_of(broker, tmp_path, timing=QUICK, transport=lying) as client:
            await opened(broker)
            fill_page(broker)
            broker.set_faults([ACCEPTED, BLIND])
            await left_open(lambda: buy(client, deadline=0.2))
            await client.stock.sell(SYMBOL, 5, price=71_000)
            broker.set_faults(None)
            assert "which is open" in (await alarmed(client, "A6")).text
            with pytest.raises(OutcomeUnknown):
                await buy(client, deadline=1)
            assert_only(await client.health(), "A6")
            lying.headers, lying.day = None, None
            assert (await buy(client)).broker_order_id == on_book(broker, KEY)[0].broker_order_id
            assert_one_order(broker)


async def test_open_orders_that_the_ledger_lacks_hold_a_proof_back(tmp_path: Path) -> None:
    """Somebody's open order is not in the ledger: then ours may be missing as well."""
    async with broker_of(LOST, listen=False) as broker:
        lying = LyingTransport(broker)
        async with client_of(broker, tmp_path, timing=QUICK, transport=lying) as client:
            await opened(broker)
            await left_open(lambda: buy(client, deadline=0.05))
            hidden = broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=3, price=71_000).broker_order_id
            broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=4, price=71_000)
            lying.rows["kt00007"] = lambda rows: [row for row in rows if row["ord_no"] != hidden]
            assert hidden in (await alarmed(client, "A6")).text
            with pytest.raises(OutcomeUnknown):
                await buy(client, deadline=0.5)
            del lying.rows["kt00007"]
            with pytest.raises(OrderNotAccepted):
                await buy(client)
            assert_one_order(broker)


async def test_open_order_that_the_ledger_lists_a_little_later_is_no_alarm(tmp_path: Path) -> None:
    """Within visibility_bound it may not be listed yet: the look counts for nothing, and no assumption is broken."""
    async with broker_of(LOST, listen=False) as broker:
        lying = LyingTransport(broker)
        timing = evolve(QUICK, visibility_bound=1.0)
        async with client_of(broker, tmp_path, timing=timing, transport=lying) as client:
            await opened(broker)
            await left_open(lambda: buy(client, deadline=0.05))
            hidden = broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=3, price=71_000).broker_order_id
            broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=4, price=71_000)
            asked = []

            def list_now(rows: Rows) -> Rows:
                asked.append(len(rows))
                lying.rows.pop("kt00007", None)
                return rows

            lying.rows["kt00007"] = lambda rows: [row for row in rows if row["ord_no"] != hidden]
            lying.rows["ka10075"] = list_now
            with pytest.raises(OrderNotAccepted):
                await buy(client)
            assert len(asked) > 1
            assert_only(await client.health())
            assert_one_order(broker)


async def test_rows_of_another_account_are_an_alarm(tmp_path: Path) -> None:
    """The open orders suddenly show another account number: the look counts for nothing."""

    def disguise(rows: Rows) -> Rows:
        return [row | {"acnt_no": "9999999999"} for row in rows]

    async with broker_of(LOST, listen=False) as broker:
        lying = LyingTransport(broker)
        async with client_of(broker, tmp_path, timing=QUICK, transport=lying) as client:
            await opened(broker)
            broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=3, price=71_000)
            with pytest.raises(OrderNotAccepted):
                await buy(client, client_order_id="first")
            lying.rows["ka10075"] = disguise
            broker.set_faults([evolve(LOST)])
            with pytest.raises(OutcomeUnknown):
                await buy(client, quantity=11, deadline=2)
            found = await alarmed(client, "A6")
            assert "another account" in found.text
            assert "9999999999" not in found.text
            assert_only(await client.health(), "A6")
            del lying.rows["ka10075"]
            with pytest.raises(OrderNotAccepted):
                await buy(client, quantity=11)
            assert_one_order(broker, KEY, "first")
