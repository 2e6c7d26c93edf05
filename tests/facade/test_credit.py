"""The credit desk: what it takes, what it sends, and what it refuses before anything is journaled."""

from __future__ import annotations

import inspect
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    ClientOrderIdConflict,
    ConfigurationError,
    Credentials,
    CreditKind,
    KiwoomClient,
    OrderType,
    Route,
    ValidationError,
)
from kiwoom_async._desks import CreditDesk, OrderDesk
from kiwoom_async.simulator import Flavour, Simulator
from tests.scenarios.trading import CREDIT_TRS, orders_received

SYMBOL = "005930"
CREDENTIALS = Credentials(app_key="key", secret_key="secret")


def a_client(broker: Simulator, folder: Path, **settings: Any) -> KiwoomClient:
    """Make a client for a simulator."""
    arguments: dict[str, Any] = {"environment": broker.environment, "journal": folder / "orders.db", "feed": False}
    return KiwoomClient(CREDENTIALS, **(arguments | settings))


def sent(broker: Simulator) -> list[tuple[str, dict[str, str]]]:
    """List the order requests that arrived, with their TRs."""
    return [(request.api_id, json.loads(request.body)) for request in orders_received(broker)]


async def test_four_verbs_on_the_wire(tmp_path: Path) -> None:
    """Each verb goes through its own TR of the credit path, with the fields of its table and no other."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        bought = await client.credit.buy("A005930", 10, price=70_000, route="SOR")
        moved = await client.credit.modify(bought, price=70_100, quantity=4)
        await client.credit.cancel(moved, quantity=1)
        await client.credit.sell(SYMBOL, 3, loan_date=date(2026, 10, 1), price=71_000)
        await client.credit.sell(SYMBOL, 3, order_type="market")
        assert {request.path for request in orders_received(broker)} == {"/api/dostk/crdordr"}
        common = {"dmst_stex_tp": "SOR", "stk_cd": SYMBOL}
        sale = {"dmst_stex_tp": "KRX", "stk_cd": SYMBOL, "ord_qty": "3", "cond_uv": ""}
        assert sent(broker) == [
            ("kt10006", {**common, "ord_qty": "10", "ord_uv": "70000", "trde_tp": "0", "cond_uv": ""}),
            (
                "kt10008",
                {
                    **common,
                    "orig_ord_no": bought.broker_order_id,
                    "mdfy_qty": "4",
                    "mdfy_uv": "70100",
                    "mdfy_cond_uv": "",
                },
            ),
            ("kt10009", {**common, "orig_ord_no": moved.broker_order_id, "cncl_qty": "1"}),
            ("kt10007", {**sale, "ord_uv": "71000", "trde_tp": "0", "crd_deal_tp": "33", "crd_loan_dt": "20261001"}),
            ("kt10007", {**sale, "ord_uv": "", "trde_tp": "3", "crd_deal_tp": "99", "crd_loan_dt": ""}),
        ]


async def test_stop_orders_on_credit(tmp_path: Path) -> None:
    """A stop limit order and its modify carry both prices."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        order = await client.credit.buy(SYMBOL, 1, price=71_500, stop_price=71_000, order_type=OrderType.STOP_LIMIT)
        await client.credit.modify(order, price=71_600, stop_price=71_200)
        (_, first), (_, second) = sent(broker)
        assert (first["trde_tp"], first["ord_uv"], first["cond_uv"]) == ("28", "71500", "71000")
        assert (second["mdfy_uv"], second["mdfy_cond_uv"], second["mdfy_qty"]) == ("71600", "71200", "0")


@pytest.mark.parametrize(
    ("verb", "arguments", "named"),
    [
        ("buy", {"symbol": "5930"}, "symbol"),
        ("buy", {"symbol": "M04020000"}, "symbol"),
        ("buy", {"quantity": 0}, "quantity"),
        ("buy", {"quantity": 1.5}, "quantity"),
        ("buy", {"price": -1}, "price"),
        ("buy", {"price": 70_000, "order_type": "market"}, "price"),
        ("buy", {"order_type": "limit", "price": None}, "price"),
        ("buy", {"stop_price": 69_000}, "stop_price"),
        ("buy", {"route": "NASDAQ"}, "route"),
        ("buy", {"deadline": -1}, "deadline"),
        ("buy", {"client_order_id": "a b"}, "client_order_id"),
        ("sell", {"credit": "33"}, "credit"),
        ("sell", {"credit": "융자"}, "credit"),
        ("sell", {"credit": "loan"}, "loan_date"),
        ("sell", {"credit": "all_loans", "loan_date": "20261001"}, "loan_date"),
        ("sell", {"loan_date": "20261301"}, "loan_date"),
        ("sell", {"loan_date": 20261001}, "loan_date"),
        ("sell", {"quantity": "ten"}, "quantity"),
        ("sell", {"max_attempts": 0}, "max_attempts"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_happens(
    tmp_path: Path, verb: str, arguments: dict[str, Any], named: str
) -> None:
    """The argument is named; nothing is journaled, nothing is sent, and the id is still free."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        asked = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": "one"} | arguments
        with pytest.raises(ValidationError) as caught:
            await getattr(client.credit, verb)(**asked)
        assert caught.value.argument == named
        assert await client.orders.get("one") is None
        assert orders_received(broker) == []
        await client.credit.buy(SYMBOL, 1, price=70_000, client_order_id="one")


async def test_orders_stay_at_their_desk(tmp_path: Path) -> None:
    """A desk that is given an order of another one says where it belongs, and sends nothing."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        cash = await client.stock.buy(SYMBOL, 10, price=70_000)
        credit = await client.credit.buy(SYMBOL, 10, price=69_900)
        for desk, order, right in (
            (client.stock, credit, "client.credit"),
            (client.credit, cash, "client.stock"),
            (client.gold, credit, "client.credit"),
        ):
            with pytest.raises(ValidationError, match=right) as caught:
                await desk.cancel(order)
            assert caught.value.argument == "order"
            with pytest.raises(ValidationError, match=right):
                await desk.modify(order, price=70_100, client_order_id="modify")
        assert await client.orders.get("modify") is None
        assert [api_id for api_id, _ in sent(broker)] == ["kt10000", "kt10006"]


async def test_broker_order_number_with_its_symbol(tmp_path: Path) -> None:
    """A number alone is modified and canceled at the credit desk as well."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        number = (await client.credit.buy(SYMBOL, 10, price=70_000, route=Route.NXT)).broker_order_id
        assert number is not None
        with pytest.raises(ValidationError, match="symbol"):
            await client.credit.cancel(number)
        moved = await client.credit.modify(number, symbol=SYMBOL, route="NXT", price=70_100)
        assert moved.broker_order_id is not None
        await client.credit.cancel(moved.broker_order_id, symbol=SYMBOL, route="NXT")
        assert [row.leaves_quantity for row in broker.orders] == [0, 0, 0]
        assert {api_id for api_id, _ in sent(broker)} <= CREDIT_TRS


async def test_cancel_all_takes_each_order_to_its_own_desk(tmp_path: Path) -> None:
    """Ours by the journal, others' by the words of the ledger."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        await client.stock.buy(SYMBOL, 10, price=70_000)
        await client.credit.buy(SYMBOL, 10, price=70_000)
        broker.place_foreign(symbol=SYMBOL, side="sell", quantity=3, price=75_000, desk="credit")
        await client.orders.cancel_all(include_foreign=True)
        assert sum(row.leaves_quantity for row in broker.all_orders) == 0
        asked = sorted(api_id for api_id, body in sent(broker) if "cncl_qty" in body)
        assert asked == ["kt10003", "kt10009", "kt10009"]


async def test_loans_are_part_of_the_request(tmp_path: Path) -> None:
    """The same id with the same loan, however it is written, is the same order; with another loan it is a conflict."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        order = await client.credit.sell(SYMBOL, 3, price=71_000, loan_date="20261001", client_order_id="one")
        for same in (
            {"loan_date": date(2026, 10, 1)},
            {"credit": "loan", "loan_date": "2026-10-01"},
            {"credit": CreditKind.LOAN, "loan_date": "20261001"},
        ):
            assert await client.credit.sell(SYMBOL, 3, price=71_000, client_order_id="one", **same) == order
        with pytest.raises(ClientOrderIdConflict) as caught:
            await client.credit.sell(SYMBOL, 3, price=71_000, client_order_id="one")
        assert set(caught.value.differences) == {"credit", "loan_date"}
        assert len(sent(broker)) == 1


async def test_mock_trading_knows_krx_only(tmp_path: Path) -> None:
    """As for cash."""
    async with Simulator(flavour=Flavour.MOCK) as broker, a_client(broker, tmp_path) as client:
        with pytest.raises(ValidationError, match="route"):
            await client.credit.buy(SYMBOL, 1, price=70_000, route="NXT")
        assert orders_received(broker) == []


async def test_desk_of_a_closed_client_says_so(tmp_path: Path) -> None:
    """Before the client is open there is no desk."""
    async with Simulator() as broker:
        with pytest.raises(ConfigurationError, match=r"client\.credit"):
            _ = a_client(broker, tmp_path).credit


async def test_credit_desk_has_the_verbs_of_every_desk(tmp_path: Path) -> None:
    """Same names, same signatures, same words; a sale may name its loan besides."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        for verb in ("buy", "modify", "cancel"):
            mine, theirs = getattr(client.credit, verb), getattr(client.stock, verb)
            assert inspect.signature(mine) == inspect.signature(theirs)
            assert inspect.getdoc(mine) == inspect.getdoc(theirs)
    sale = dict(inspect.signature(CreditDesk.sell).parameters)
    assert {sale.pop("credit").default, sale.pop("loan_date").default} == {None}
    assert sale == dict(inspect.signature(OrderDesk.sell).parameters)
