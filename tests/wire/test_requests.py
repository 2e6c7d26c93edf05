"""Every request body exactly as Kiwoom takes it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.vocabulary import ORDER_TYPE_RULES, Action, CreditKind, Desk, OrderType, Route, Side
from kiwoom_async._wire.requests import encode_order, ledger_call, open_orders_call, order_api_id

DAY = date(2026, 11, 2)
STOCK = OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, 70_000, OrderType.LIMIT, Route.KRX)
CREDIT = evolve(STOCK, desk=Desk.CREDIT)
SALE = evolve(CREDIT, side=Side.SELL, credit=CreditKind.ALL_LOANS)
GOLD = OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.BUY, 3, 180_000, OrderType.LIMIT)

CODES = {
    OrderType.LIMIT: "0",
    OrderType.MARKET: "3",
    OrderType.CONDITIONAL_LIMIT: "5",
    OrderType.POST_MARKET_CLOSE: "81",
    OrderType.PRE_MARKET_CLOSE: "61",
    OrderType.AFTER_HOURS_SINGLE: "62",
    OrderType.BEST_LIMIT: "6",
    OrderType.PRIORITY_LIMIT: "7",
    OrderType.LIMIT_IOC: "10",
    OrderType.MARKET_IOC: "13",
    OrderType.BEST_LIMIT_IOC: "16",
    OrderType.LIMIT_FOK: "20",
    OrderType.MARKET_FOK: "23",
    OrderType.BEST_LIMIT_FOK: "26",
    OrderType.STOP_LIMIT: "28",
    OrderType.MIDPOINT: "29",
    OrderType.MIDPOINT_IOC: "30",
    OrderType.MIDPOINT_FOK: "31",
}
"""`trde_tp` as the field table of kt10000 has it."""


@pytest.mark.parametrize("order_type", list(OrderType))
@pytest.mark.parametrize(("side", "api_id"), [(Side.BUY, "kt10000"), (Side.SELL, "kt10001")])
def test_stock_order(order_type: OrderType, side: Side, api_id: str) -> None:
    """kt10000 and kt10001, with every order type; an empty text where a type has no price."""
    rule = ORDER_TYPE_RULES[order_type]
    price, stop_price = 70_000 if rule.needs_price else None, 69_000 if rule.needs_stop_price else None
    call = encode_order(evolve(STOCK, side=side, order_type=order_type, price=price, stop_price=stop_price))
    assert (call.api_id, call.path) == (api_id, "/api/dostk/ordr")
    assert call.body == {
        "dmst_stex_tp": "KRX",
        "stk_cd": "005930",
        "ord_qty": "10",
        "ord_uv": "70000" if rule.needs_price else "",
        "trde_tp": CODES[order_type],
        "cond_uv": "69000" if rule.needs_stop_price else "",
    }


@pytest.mark.parametrize("order_type", list(OrderType))
def test_credit_purchase(order_type: OrderType) -> None:
    """kt10006, on its own path, with every order type and the fields of kt10000: a new loan is not named."""
    rule = ORDER_TYPE_RULES[order_type]
    price, stop_price = 70_000 if rule.needs_price else None, 69_000 if rule.needs_stop_price else None
    call = encode_order(evolve(CREDIT, order_type=order_type, price=price, stop_price=stop_price))
    assert (call.api_id, call.path) == ("kt10006", "/api/dostk/crdordr")
    assert call.body == {
        "dmst_stex_tp": "KRX",
        "stk_cd": "005930",
        "ord_qty": "10",
        "ord_uv": "70000" if rule.needs_price else "",
        "trde_tp": CODES[order_type],
        "cond_uv": "69000" if rule.needs_stop_price else "",
    }


@pytest.mark.parametrize(
    ("credit", "loan_date", "code", "day"),
    [(CreditKind.LOAN, date(2026, 10, 1), "33", "20261001"), (CreditKind.ALL_LOANS, None, "99", "")],
)
def test_credit_sale(credit: CreditKind, loan_date: date | None, code: str, day: str) -> None:
    """kt10007: 33 for one loan with its day, 99 for all of them without."""
    call = encode_order(evolve(SALE, credit=credit, loan_date=loan_date))
    assert (call.api_id, call.path) == ("kt10007", "/api/dostk/crdordr")
    assert call.body == {
        "dmst_stex_tp": "KRX",
        "stk_cd": "005930",
        "ord_qty": "10",
        "ord_uv": "70000",
        "trde_tp": "0",
        "cond_uv": "",
        "crd_deal_tp": code,
        "crd_loan_dt": day,
    }


@pytest.mark.parametrize("desk", [Desk.STOCK, Desk.CREDIT])
@pytest.mark.parametrize("route", list(Route))
def test_route_goes_with_every_stock_verb(desk: Desk, route: Route) -> None:
    """The route of the request is `dmst_stex_tp`: a cancel by another route is refused."""
    for action in Action:
        request = evolve(STOCK, desk=desk, action=action, route=route, original="0000101")
        assert encode_order(request).body["dmst_stex_tp"] == route


@pytest.mark.parametrize(
    ("order_type", "code"), [(OrderType.LIMIT, "00"), (OrderType.LIMIT_IOC, "10"), (OrderType.LIMIT_FOK, "20")]
)
@pytest.mark.parametrize(("side", "api_id"), [(Side.BUY, "kt50000"), (Side.SELL, "kt50001")])
def test_gold_order(order_type: OrderType, code: str, side: Side, api_id: str) -> None:
    """kt50000 and kt50001: no route, no stop price, two digits for a limit order."""
    call = encode_order(evolve(GOLD, side=side, order_type=order_type))
    assert (call.api_id, call.path) == (api_id, "/api/dostk/ordr")
    assert call.body == {"stk_cd": "M04020000", "ord_qty": "3", "ord_uv": "180000", "trde_tp": code}


MODIFY = {"action": Action.MODIFY, "original": "0000101", "price": 70_500, "order_type": None}
CANCEL = {"action": Action.CANCEL, "original": "0000101", "price": None, "order_type": None}


@pytest.mark.parametrize(
    ("request_", "api_id", "body"),
    [
        (
            evolve(STOCK, **MODIFY, quantity=None),  # type: ignore[arg-type]
            "kt10002",
            {
                "dmst_stex_tp": "KRX",
                "orig_ord_no": "0000101",
                "stk_cd": "005930",
                "mdfy_qty": "0",
                "mdfy_uv": "70500",
                "mdfy_cond_uv": "",
            },
        ),
        (
            evolve(STOCK, **MODIFY, quantity=4, stop_price=69_000),  # type: ignore[arg-type]
            "kt10002",
            {
                "dmst_stex_tp": "KRX",
                "orig_ord_no": "0000101",
                "stk_cd": "005930",
                "mdfy_qty": "4",
                "mdfy_uv": "70500",
                "mdfy_cond_uv": "69000",
            },
        ),
        (
            evolve(STOCK, **CANCEL, quantity=None),  # type: ignore[arg-type]
            "kt10003",
            {"dmst_stex_tp": "KRX", "orig_ord_no": "0000101", "stk_cd": "005930", "cncl_qty": "0"},
        ),
        (
            evolve(STOCK, **CANCEL, quantity=4, side=None),  # type: ignore[arg-type]
            "kt10003",
            {"dmst_stex_tp": "KRX", "orig_ord_no": "0000101", "stk_cd": "005930", "cncl_qty": "4"},
        ),
        (
            evolve(GOLD, **MODIFY, quantity=None),  # type: ignore[arg-type]
            "kt50002",
            {"orig_ord_no": "0000101", "stk_cd": "M04020000", "mdfy_qty": "0", "mdfy_uv": "70500"},
        ),
        (
            evolve(GOLD, **CANCEL, quantity=2),  # type: ignore[arg-type]
            "kt50003",
            {"orig_ord_no": "0000101", "stk_cd": "M04020000", "cncl_qty": "2"},
        ),
    ],
)
def test_modify_and_cancel(request_: OrderRequest, api_id: str, body: dict[str, str]) -> None:
    """kt10002, kt10003, kt50002 and kt50003: "0" means all that is left."""
    call = encode_order(request_)
    assert (call.api_id, call.path, call.body) == (api_id, "/api/dostk/ordr", body)
    assert order_api_id(request_) == api_id


@pytest.mark.parametrize("side", [None, Side.BUY, Side.SELL])
@pytest.mark.parametrize(
    ("changes", "api_id"),
    [
        (MODIFY | {"quantity": None}, "kt10008"),
        (MODIFY | {"quantity": 4, "stop_price": 69_000}, "kt10008"),
        (CANCEL | {"quantity": None}, "kt10009"),
        (CANCEL | {"quantity": 4}, "kt10009"),
    ],
)
def test_credit_modify_and_cancel(side: Side | None, changes: dict[str, Any], api_id: str) -> None:
    """kt10008 and kt10009, on their own path: the fields of kt10002 and kt10003, and no word of loans."""
    call = encode_order(evolve(CREDIT, side=side, **changes))
    assert (call.api_id, call.path) == (api_id, "/api/dostk/crdordr")
    assert call.body == encode_order(evolve(STOCK, **changes)).body


@pytest.mark.parametrize(("desk", "api_id"), [(Desk.STOCK, "kt00007"), (Desk.GOLD, "kt50031")])
def test_ledger_query(desk: Desk, api_id: str) -> None:
    """The day's orders of every side, symbol and venue, from a number on or from the first."""
    whole = {
        "ord_dt": "20261102",
        "qry_tp": "1",
        "stk_bond_tp": "0",
        "sell_tp": "0",
        "stk_cd": "",
        "fr_ord_no": "",
        "dmst_stex_tp": "%",
    }
    call = ledger_call(desk, DAY, 0)
    assert (call.api_id, call.path, call.body) == (api_id, "/api/dostk/acnt", whole)
    assert ledger_call(desk, DAY, 101).body == whole | {"fr_ord_no": "0000101"}
    assert ledger_call(desk, DAY, 0, symbol="005930").body == whole | {"stk_cd": "005930"}


def test_open_orders_query() -> None:
    """ka10075 and kt50075: every open order of the account."""
    stock = open_orders_call(Desk.STOCK, DAY)
    assert (stock.api_id, stock.path) == ("ka10075", "/api/dostk/acnt")
    assert stock.body == {"all_stk_tp": "0", "trde_tp": "0", "stk_cd": "", "stex_tp": "0"}
    gold = open_orders_call(Desk.GOLD, DAY)
    assert (gold.api_id, gold.path) == ("kt50075", "/api/dostk/acnt")
    assert gold.body == {
        "ord_dt": "20261102",
        "qry_tp": "1",
        "mrkt_deal_tp": "5",
        "stk_bond_tp": "0",
        "sell_tp": "0",
        "stk_cd": "",
        "fr_ord_no": "",
        "dmst_stex_tp": "%",
    }


def test_bodies_are_json_of_texts() -> None:
    """Every value is a text, and the bytes are the same each time."""
    for request_ in (STOCK, GOLD, CREDIT, SALE, evolve(STOCK, action=Action.CANCEL, original="0000101")):
        call = encode_order(request_)
        read: dict[str, Any] = json.loads(call.to_bytes())
        assert read == call.body
        assert all(isinstance(value, str) for value in read.values())
        assert call.to_bytes() == encode_order(request_).to_bytes()
