"""Prices and books of symbols: ka10001 and ka10004.

Prices carry a mark for up or down that is no sign of the number, numbers are bare, and what there is none of is empty
or a zero. The market maker stands at the last price and below it, one step after the other, with the orders of the
account among his.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from kiwoom_async._domain.vocabulary import Desk, Side
from kiwoom_async.simulator.books import Books
from kiwoom_async.simulator.rejections import GatewayRefusal, is_known_symbol, tick_size
from kiwoom_async.simulator.rendering import Row, name_of
from kiwoom_async.simulator.statements import Body, Statement, Told, empty, marked, percent, signed

_SUFFIXES: Final = ("", "_NX", "_AL")
_BAND: Final = 30
_DEPTH: Final = 10
_LOT: Final = 1_000
"""Shares the market maker shows at each price; he trades any quantity. Our choice."""
_UNKNOWN: Final = GatewayRefusal("1902", 2, "입력 값 오류입니다", "종목 정보가 없습니다")
"""The code is published [O]; with which return_code it comes is not known."""
_DONE: Final = "정상적으로 처리되었습니다"
_COMPANY: Final = (
    "setl_mm fav cap flo_stk crd_rt oyr_hgst oyr_lwst mac mac_wght for_exh_rt repl_pric per eps roe pbr ev bps "
    "sale_amt bus_pro cup_nga 250hgst 250lwst 250hgst_pric_dt 250hgst_pric_pre_rt 250lwst_pric_dt "
    "250lwst_pric_pre_rt trde_pre fav_unit dstr_stk dstr_rt"
)
"""Fields of ka10001 about the company and its year."""


def _symbol(body: Body) -> str | None:
    """Read whom a quote is about; None: no such symbol."""
    code, mark, market = body["stk_cd"].partition("_")
    return code if mark + market in _SUFFIXES and is_known_symbol(Desk.STOCK, code) else None


def band(base: int) -> tuple[int, int]:
    """Give the lowest and the highest price of the day that are on the grid."""
    lowest, highest = -(-base * (100 - _BAND) // 100), base * (100 + _BAND) // 100
    step = tick_size(Desk.STOCK, lowest)
    top = tick_size(Desk.STOCK, highest)
    return -(-lowest // step) * step, highest // top * top


def quote(body: Body, books: Books) -> Told:
    """Answer ka10001: the price of a symbol and its daily band."""
    symbol = _symbol(body)
    if symbol is None:
        return _UNKNOWN
    base, last = books.base_price(symbol), books.last_price(symbol)
    lowest, highest = band(base)
    fills = [fill for fill in books.exchange.fills if fill.symbol == symbol and fill.day == books.day]
    prices = [fill.price for fill in fills]
    head = {
        # Which market was asked for is not repeated.
        "stk_cd": symbol,
        "stk_nm": name_of(symbol),
        **empty(_COMPANY),
        "high_pric": marked(max(prices, default=None), base),
        "open_pric": marked(prices[0] if prices else None, base),
        "low_pric": marked(min(prices, default=None), base),
        "upl_pric": f"+{highest}",
        "lst_pric": f"-{lowest}",
        "base_pric": str(base),
        "exp_cntr_pric": "",
        "exp_cntr_qty": "",
        "cur_prc": marked(last, base),
        "pre_sig": "2" if last > base else "5" if last < base else "3",
        "pred_pre": signed(last - base),
        "flu_rt": f"{'+' if last > base else ''}{percent(last - base, base)}",
        "trde_qty": str(sum(fill.quantity for fill in fills)),
    }
    return Statement(head, message=_DONE)


def order_book(body: Body, books: Books) -> Told:
    """Answer ka10004: the ten best prices of each side."""
    symbol = _symbol(body)
    if symbol is None:
        return _UNKNOWN
    base = books.base_price(symbol)
    sides = {"sel": _levels(books, symbol, Side.SELL), "buy": _levels(books, symbol, Side.BUY)}
    head: Row = {"bid_req_base_tm": books.at.strftime("%H%M%S")}
    for side, levels in sides.items():
        for place in range(1, _DEPTH + 1):
            price, quantity = levels[place - 1] if place <= len(levels) else (None, 0)
            named = f"{side}_fpr" if place == 1 else f"{side}_{place}th_pre"
            head[f"{named}_bid"] = marked(price, base)
            head[f"{named}_req"] = str(quantity)
            head[f"{side}_{place}th_pre_req_pre"] = "0"
        head[f"tot_{side}_req"] = str(sum(quantity for _, quantity in levels))
        head |= {f"tot_{side}_req_jub_pre": "0", f"ovt_{side}_req": "0", f"ovt_{side}_req_pre": "0"}
    return Statement(head, message=_DONE)


def _levels(books: Books, symbol: str, side: Side) -> list[tuple[int, int]]:
    """Add up what is offered or wanted at each price, the best first."""
    quantities: Counter[int] = Counter()
    for order in books.orders:
        is_here = order.symbol == symbol and order.side is side and order.day == books.day
        if is_here and order.leaves_quantity and order.working_price and not order.is_armed:
            quantities[order.working_price] += order.leaves_quantity
    lowest, highest = band(books.base_price(symbol))
    last = books.last_price(symbol)
    if books.exchange.liquidity.market_maker:
        price = last if side is Side.SELL else last - tick_size(Desk.STOCK, last - 1)
        for _ in range(_DEPTH):
            if not lowest <= price <= highest:
                break
            quantities[price] += _LOT
            price += tick_size(Desk.STOCK, price) if side is Side.SELL else -tick_size(Desk.STOCK, price - 1)
    return sorted(quantities.items(), reverse=side is Side.BUY)[:_DEPTH]
