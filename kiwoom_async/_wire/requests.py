"""Order requests and account queries as Kiwoom's request bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

from attrs import frozen

from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Side
from kiwoom_async._wire.codes import (
    ACCOUNT_PATH,
    CREDIT_CODES,
    GOLD_ORDER_TYPE_CODES,
    ORDER_PATHS,
    ORDER_TRS,
    ORDER_TYPE_CODES,
)

_ALL_LEFT = "0"
"""What `mdfy_qty` and `cncl_qty` take for all that is left [O]."""


@frozen
class Call:
    """One TR with its body, ready to be sent."""

    api_id: str
    path: str
    body: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Give the body as JSON."""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


def order_api_id(request: OrderRequest) -> str:
    """Name the TR that carries a request."""
    return ORDER_TRS[request.desk, request.action, request.side if request.action is Action.NEW else None]


def encode_order(request: OrderRequest) -> Call:
    """Write an order, a modify or a cancel as Kiwoom takes it."""
    body = _ENCODERS[request.action](request)
    if request.desk is not Desk.GOLD:
        assert request.route is not None, "checked by the order desk"  # noqa: S101
        body = {"dmst_stex_tp": request.route.value, **body}
    return Call(order_api_id(request), ORDER_PATHS[request.desk], body)


def _encode_new(request: OrderRequest) -> dict[str, str]:
    assert request.order_type is not None, "checked by the order desk"  # noqa: S101
    body = {
        "stk_cd": request.symbol,
        "ord_qty": _text(request.quantity),
        "ord_uv": _text(request.price),
        "trde_tp": _order_type_code(request.desk, request.order_type),
    }
    if request.desk is not Desk.GOLD:
        body["cond_uv"] = _text(request.stop_price)
    if request.desk is Desk.CREDIT and request.side is Side.SELL:
        assert request.credit is not None, "checked by the order desk"  # noqa: S101
        body["crd_deal_tp"] = CREDIT_CODES[request.credit]
        body["crd_loan_dt"] = "" if request.loan_date is None else f"{request.loan_date:%Y%m%d}"
    return body


def _encode_modify(request: OrderRequest) -> dict[str, str]:
    body = {
        "orig_ord_no": _original(request),
        "stk_cd": request.symbol,
        "mdfy_qty": _text(request.quantity) or _ALL_LEFT,
        "mdfy_uv": _text(request.price),
    }
    if request.desk is not Desk.GOLD:
        body["mdfy_cond_uv"] = _text(request.stop_price)
    return body


def _encode_cancel(request: OrderRequest) -> dict[str, str]:
    return {
        "orig_ord_no": _original(request),
        "stk_cd": request.symbol,
        "cncl_qty": _text(request.quantity) or _ALL_LEFT,
    }


_ENCODERS = {Action.NEW: _encode_new, Action.MODIFY: _encode_modify, Action.CANCEL: _encode_cancel}


def _order_type_code(desk: Desk, order_type: OrderType) -> str:
    return (GOLD_ORDER_TYPE_CODES if desk is Desk.GOLD else ORDER_TYPE_CODES)[order_type]


def _original(request: OrderRequest) -> str:
    assert request.original is not None, "an obligation is aimed at its number before it is encoded"  # noqa: S101
    return request.original


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def ledger_call(desk: Desk, day: date, since: int, symbol: str = "", *, newest_first: bool = False) -> Call:
    """Ask for the day's orders from an order number on: every side and venue, and every symbol unless one is named.

    Whether `fr_ord_no` includes the number itself is not known; callers must not need that row.
    """
    body = {
        "ord_dt": f"{day:%Y%m%d}",
        "qry_tp": "2" if newest_first else "1",
        "stk_bond_tp": "0",
        "sell_tp": "0",
        "stk_cd": symbol,
        "fr_ord_no": f"{since:07d}" if since else "",
        "dmst_stex_tp": "%",
    }
    return Call("kt50031" if desk is Desk.GOLD else "kt00007", ACCOUNT_PATH, body)


def open_orders_call(desk: Desk, day: date, symbol: str = "") -> Call:
    """Ask for the orders still in the book: every side and venue, and every symbol unless one is named."""
    if desk is Desk.GOLD:
        body = {
            "ord_dt": f"{day:%Y%m%d}",
            "qry_tp": "1",
            "mrkt_deal_tp": "5",
            "stk_bond_tp": "0",
            "sell_tp": "0",
            "stk_cd": symbol,
            "fr_ord_no": "",
            "dmst_stex_tp": "%",
        }
        return Call("kt50075", ACCOUNT_PATH, body)
    body = {"all_stk_tp": "1" if symbol else "0", "trde_tp": "0", "stk_cd": symbol, "stex_tp": "0"}
    return Call("ka10075", ACCOUNT_PATH, body)


def executions_call(symbol: str = "") -> Call:
    """Ask for today's orders with fills: every side and venue, and every symbol unless one is named.

    No order number is named: it would be an upper bound, with only what is older than it in the answer [O].
    """
    body = {"stk_cd": symbol, "qry_tp": "1" if symbol else "0", "sell_tp": "0", "ord_no": "", "stex_tp": "0"}
    return Call("ka10076", ACCOUNT_PATH, body)
