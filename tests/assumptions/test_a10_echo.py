"""A10 broken on purpose: the ledger repeats orders in another form."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwoom_async import OrderNotAccepted
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import (
    KEY,
    WIDE,
    LyingTransport,
    Rows,
    alarmed,
    assert_one_order,
    assert_only,
    buy,
    strangers_trade,
)
from tests.scenarios.listening import record_of
from tests.scenarios.trading import QUICK, SYMBOL, broker_of, client_of, eventually

FORMS = {
    "price": {"ord_uv": "0000070100"},
    "quantity": {"ord_qty": "0000000100"},
    "route": {"dmst_stex_tp": "NXT"},
    "order type": {"trde_tp": "시장가"},
    "symbol, side or kind": {"io_tp_nm": "현금매도"},
}


@pytest.mark.parametrize("name", FORMS)
async def test_another_echo_is_an_alarm(tmp_path: Path, name: str) -> None:
    """The first look at an answered order already tells; a lost order of that form would not be found."""

    def twist(rows: Rows) -> Rows:
        return [row | FORMS[name] for row in rows]

    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker, rows={"kt00007": twist})
        async with client_of(broker, tmp_path, timing=WIDE, transport=lying) as client:
            order = await buy(client)
            report = await client.reconcile()
            assert any(f"another {name}" in alarm for alarm in report.alarms)
            assert str(order.broker_order_id) in (await alarmed(client, "A10")).text
            assert_only(await client.health(), "A10")
            assert (await client.orders.get(KEY)) is not None
            assert_one_order(broker)


@pytest.mark.parametrize("resend_within", [None, 60])
async def test_lost_order_in_another_form_is_never_sent_twice(tmp_path: Path, resend_within: float | None) -> None:
    """The alarm came before: the wrong absence costs an error that says how little it is worth, and no order."""

    def twist(rows: Rows) -> Rows:
        return [row | {"ord_uv": "0000070100"} for row in rows]

    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker, rows={"kt00007": twist, "ka10075": lambda rows: rows})
        async with client_of(broker, tmp_path, timing=QUICK, transport=lying) as client:
            await client.stock.buy(SYMBOL, 3, price=70_000)
            await client.reconcile()
            await alarmed(client, "A10")
            broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")])
            async with strangers_trade(broker):
                with pytest.raises(OrderNotAccepted, match="A10: the ledger repeats") as caught:
                    await buy(client, resend_within=resend_within)
            assert not caught.value.proof.allows_resend
            assert_one_order(broker)


async def test_statement_that_cannot_be_true_is_an_alarm(tmp_path: Path) -> None:
    """More is filled than was ordered: nothing of it is counted."""

    def overfill(rows: Rows) -> Rows:
        return [row | {"cntr_qty": "0000000011", "cntr_uv": "0000070000"} for row in rows]

    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker)
        async with client_of(broker, tmp_path, timing=WIDE, transport=lying) as client, record_of(client) as record:
            await buy(client)
            lying.rows["kt00007"] = overfill
            await alarmed(client, "A10")
            await eventually(lambda: any(event.kind.value == "alarm" for event in record.events))
            assert record.filled() == {}
