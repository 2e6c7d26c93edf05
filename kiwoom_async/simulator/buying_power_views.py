"""How much may be ordered: kt00010, kt00011 and kt00012.

What they say is what the check of orders lets pass: one share more than the quantity is refused. Every symbol has the
full margin here, so the fields of the other rates stay empty, as in the published example.
"""

from __future__ import annotations

from typing import Final

from kiwoom_async.simulator.account_views import MARGIN_RATES
from kiwoom_async.simulator.books import Books
from kiwoom_async.simulator.orders import Flavour
from kiwoom_async.simulator.rejections import GatewayCode, Refusal, gateway_refusal
from kiwoom_async.simulator.rendering import Row, padded
from kiwoom_async.simulator.statements import NARROW, Body, Statement, Told, empty, zeros

_FULL: Final = 100
_DEPOSIT_RATES: Final = (30, 40, 50, 60)
_DEPOSIT_CLASS: Final = ("C", "60%")
"""`stk_assr_rt` and its name, for every symbol. Our choice; the published example has another letter."""
_QUANTITY: Final = 10
_BUY: Final = "2"


def _number(body: Body, name: str) -> int | None:
    """Read a number; 0: empty, None: unreadable."""
    text = body.get(name, "")
    if not text:
        return 0
    return int(text) if text.isascii() and text.isdigit() else None


def _money(books: Books) -> Row:
    cash = books.cash()
    return {
        "entr": padded(cash.deposit, NARROW),
        **zeros("repl_amt uncla ord_pos_repl", NARROW),
        "ord_alowa": padded(cash.orderable, NARROW),
    }


def _capacity(prefix: str, money: int, quantity: int) -> Row:
    return {
        f"{prefix}ord_alow_amt": padded(money, NARROW),
        f"{prefix}ord_alowq": padded(quantity, NARROW),
        **zeros(f"{prefix}pred_reu_amt {prefix}tdy_reu_amt", NARROW),
    }


def _no_capacity(prefix: str) -> Row:
    return empty(f"{prefix}ord_alow_amt {prefix}ord_alowq {prefix}pred_reu_amt {prefix}tdy_reu_amt")


def buying_power(body: Body, books: Books) -> Told:
    """Answer kt00011: what may be bought for cash."""
    price = _number(body, "uv")
    if price is None:
        return gateway_refusal(GatewayCode.FIELD_MALFORMED, "uv")
    money = books.cash().orderable
    quantity = money // (price or books.last_price(body["stk_cd"]))
    rates: Row = {}
    for rate in MARGIN_RATES:
        prefix = f"profa_{rate}"
        rates |= _capacity(prefix, money, quantity) if rate == _FULL else _no_capacity(prefix)
    head = {
        "stk_profa_rt": "100%",
        "profa_rt": "100%",
        "aplc_rt": "100%",
        **rates,
        **_capacity("min_", money, quantity),
    }
    return Statement(head | _money(books), message="자료를 조회하였습니다.")


def credit_buying_power(body: Body, books: Books) -> Told:
    """Answer kt00012: what may be bought on credit, which takes as much cash here as any other purchase."""
    price = _number(body, "uv")
    if price is None:
        return gateway_refusal(GatewayCode.FIELD_MALFORMED, "uv")
    money = books.cash().orderable
    quantity = money // (price or books.last_price(body["stk_cd"]))
    rates: Row = {}
    for rate in _DEPOSIT_RATES:
        rates |= _capacity(f"assr_{rate}", money, quantity)
    letter, named = _DEPOSIT_CLASS
    head = {"stk_assr_rt": letter, "stk_assr_rt_nm": named, **rates, **_money(books)}
    most = {"out_alowa": padded(money, NARROW), "out_pos_qty": padded(quantity, NARROW)}
    least = {"min_amt": padded(money, NARROW), "min_qty": padded(quantity, NARROW)}
    return Statement(head | most | least, message="자료를 조회하였습니다.")


def order_funds(body: Body, books: Books) -> Told:
    """Answer kt00010: what an order would do to the cash; the mock does not serve it [M]."""
    if books.flavour is Flavour.MOCK:
        return Refusal.with_code("RC7006")
    price, quantity = _number(body, "uv"), _number(body, "trde_qty")
    if not price:
        return gateway_refusal(GatewayCode.FIELD_MALFORMED, "uv")
    if quantity is None:
        return gateway_refusal(GatewayCode.FIELD_MALFORMED, "trde_qty")
    cash = books.cash()
    worth = price * quantity if body["trde_tp"] == _BUY else 0
    rates: Row = {}
    for prefix in (*(f"profa_{rate}" for rate in MARGIN_RATES[:-1]), "profa_rdex_60", f"profa_{_FULL}"):
        rates |= {
            f"{prefix}ord_alow_amt": padded(cash.orderable, NARROW),
            f"{prefix}ord_alowq": padded(cash.orderable // price, _QUANTITY),
        }
    return Statement(
        {
            **rates,
            **zeros("pred_reu_alowa tdy_reu_alowa", NARROW),
            **_money(books),
            "wthd_alowa": padded(cash.withdrawable, NARROW),
            "nxdy_wthd_alowa": padded(max(0, min(cash.in_1_day, cash.withdrawable)), NARROW),
            "pur_amt": padded(worth, NARROW),
            "cmsn": padded(0, NARROW),
            "pur_exct_amt": padded(worth, NARROW),
            "d2entra": padded(cash.in_2_days - worth, NARROW),
            "profa_rdex_aplc_tp": "0",
        },
        message="주문/인출가능금액 시뮬레이션 조회완료하였습니다.",
    )
