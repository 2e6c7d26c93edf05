"""Requests as the gateway has read them, and the orders in their bodies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from attrs import frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route
from kiwoom_async.simulator.catalog import GOLD_TYPE_CODES, ONE_LOAN, ORDER_TYPE_CODES, TransactionRule
from kiwoom_async.simulator.orders import Channel, OrderRequest
from kiwoom_async.simulator.queries import MalformedField
from kiwoom_async.simulator.rejections import is_known_symbol


@frozen
class Request:
    """A request that the gateway has read."""

    rule: TransactionRule
    headers: Mapping[str, str]
    body: Mapping[str, str]

    @property
    def idempotency_key(self) -> str | None:
        """Give the key that goes with an order; the server does nothing with it."""
        return self.headers.get("idempotency-key")

    @property
    def next_key(self) -> str:
        """Give the key of the page that is asked for; "" for the first one."""
        return self.headers.get("next-key", "") if self.headers.get("cont-yn") == "Y" else ""


def _number(body: Mapping[str, str], name: str) -> int | None:
    """Read a number of a request; None: empty."""
    text = body.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise MalformedField(name)
    return int(text)


_DAY_LENGTH: Final = 8


def _loan_date(body: Mapping[str, str]) -> date | None:
    """Read the day of the loan that is repaid; None where all are."""
    if body.get("crd_deal_tp") != ONE_LOAN:
        return None
    text = body["crd_loan_dt"]
    try:
        if len(text) == _DAY_LENGTH and text.isascii() and text.isdigit():
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise MalformedField("crd_loan_dt")


_QUANTITY_FIELDS: Final = {Action.NEW: "ord_qty", Action.MODIFY: "mdfy_qty", Action.CANCEL: "cncl_qty"}


def read_order(request: Request) -> OrderRequest:
    """Read the body of an order TR.

    Raises:
        MalformedField: A field is none that the TR knows.
    """
    rule, body = request.rule, request.body
    if rule.desk is None or rule.action is None:
        raise MalformedField("api-id")
    symbol = body["stk_cd"]
    if not is_known_symbol(rule.desk, symbol):
        raise MalformedField("stk_cd")
    is_new = rule.action is Action.NEW
    quantity = _number(body, _QUANTITY_FIELDS[rule.action])
    if is_new and not quantity:
        raise MalformedField("ord_qty")
    codes = GOLD_TYPE_CODES if rule.desk is Desk.GOLD else ORDER_TYPE_CODES
    return OrderRequest(
        rule.action,
        rule.desk,
        symbol,
        rule.side,
        quantity=quantity or None,
        price=_number(body, "ord_uv" if is_new else "mdfy_uv") or None,
        route=Route(body.get("dmst_stex_tp", Route.KRX)),
        stop_price=_number(body, "cond_uv" if is_new else "mdfy_cond_uv") or None,
        original=None if is_new else body["orig_ord_no"].zfill(7),
        channel=Channel.REST_API,
        idempotency_key=request.idempotency_key,
        # A modify and a cancel have the type of their original; the exchange knows it.
        order_type=codes[body["trde_tp"]] if is_new else OrderType.LIMIT,
        loan_date=_loan_date(body),
    )
