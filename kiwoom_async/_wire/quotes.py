"""Quotes needed to order: the calls, and their answers as domain records."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from kiwoom_async._domain.quotes import OrderBook, PriceLevel, Quote
from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._wire.fields import (
    AMOUNT,
    CLOCK,
    COUNT,
    MARKET_PRICE,
    RATE,
    TEXT,
    Table,
    read_field,
    read_fields,
    show,
)
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import QueryFailed

_STOCK_PATH: Final = "/api/dostk/stkinfo"
_MARKET_PATH: Final = "/api/dostk/mrkcond"
_SUFFIXES: Final = {Route.KRX: "", Route.NXT: "_NX", Route.SOR: "_AL"}
"""What quotes have behind the code instead of a field for the market [O]."""

QUOTE: Final[Table] = {
    "name": ("stk_nm", TEXT),
    "last_price": ("cur_prc", MARKET_PRICE),
    "base_price": ("base_pric", MARKET_PRICE),
    "upper_limit": ("upl_pric", MARKET_PRICE),
    "lower_limit": ("lst_pric", MARKET_PRICE),
    "open_price": ("open_pric", MARKET_PRICE),
    "high_price": ("high_pric", MARKET_PRICE),
    "low_price": ("low_pric", MARKET_PRICE),
    "expected_price": ("exp_cntr_pric", MARKET_PRICE),
    "expected_quantity": ("exp_cntr_qty", COUNT.optional),
    "change": ("pred_pre", AMOUNT.optional),
    "change_rate": ("flu_rt", RATE.optional),
    "volume": ("trde_qty", COUNT.optional),
}
"""ka10001; the company's figures among its 45 fields are left out."""
_NEEDED: Final = ("cur_prc", "base_pric", "upl_pric", "lst_pric")
"""May be empty, but an answer without them is about something else."""

ORDER_BOOK: Final[Table] = {
    "at": ("bid_req_base_tm", CLOCK.optional),
    "ask_total": ("tot_sel_req", COUNT.optional),
    "bid_total": ("tot_buy_req", COUNT.optional),
    "after_hours_ask_total": ("ovt_sel_req", COUNT.optional),
    "after_hours_bid_total": ("ovt_buy_req", COUNT.optional),
}
"""ka10004, without its levels."""


def level_fields(side: str) -> tuple[tuple[str, str], ...]:
    """Name price and quantity of the ten levels of a side ("sel" or "buy"), the best first [O].

    Both are called after a bid on the wire, on both sides.
    """
    deeper = ((f"{side}_{place}th_pre_bid", f"{side}_{place}th_pre_req") for place in range(2, 11))
    return (f"{side}_fpr_bid", f"{side}_fpr_req"), *deeper


def quote_call(symbol: str, route: Route) -> Call:
    """Ask for the price of a symbol (ka10001)."""
    return Call("ka10001", _STOCK_PATH, {"stk_cd": symbol + _SUFFIXES[route]})


def order_book_call(symbol: str, route: Route) -> Call:
    """Ask for the book of a symbol (ka10004)."""
    return Call("ka10004", _MARKET_PATH, {"stk_cd": symbol + _SUFFIXES[route]})


def decode_quote(api_id: str, symbol: str, route: Route, body: Mapping[str, Any]) -> Quote:
    """Read ka10001.

    Raises:
        QueryFailed: A field is missing or unreadable, or the answer contradicts itself; the text names the field.
    """
    answered = read_field(api_id, body, "stk_cd", TEXT)
    if answered and answered.partition("_")[0] not in {symbol, *(prefix + symbol for prefix in "AJQ")}:
        raise QueryFailed(api_id, f"stk_cd={show(answered)} is not the symbol that was asked for")
    for name in _NEEDED:
        if name not in body:
            raise QueryFailed(api_id, f"{name} is missing")
    quote = Quote(symbol=symbol, route=route, **read_fields(api_id, body, QUOTE))
    _check_band(api_id, quote)
    return quote


def _check_band(api_id: str, quote: Quote) -> None:
    # In the published example the values are shifted against the names: such an answer must not pass for prices.
    band = [price for price in (quote.lower_limit, quote.base_price, quote.upper_limit) if price is not None]
    if band != sorted(band):
        raise QueryFailed(api_id, "lst_pric, base_pric and upl_pric are not in rising order")


def decode_order_book(api_id: str, symbol: str, route: Route, body: Mapping[str, Any]) -> OrderBook:
    """Read ka10004.

    Raises:
        QueryFailed: A field is missing or unreadable, or the prices of a side are not in order; the text names it.
    """
    return OrderBook(
        symbol=symbol,
        route=route,
        asks=_read_levels(api_id, body, "sel", direction=1),
        bids=_read_levels(api_id, body, "buy", direction=-1),
        **read_fields(api_id, body, ORDER_BOOK),
    )


def _read_levels(api_id: str, body: Mapping[str, Any], side: str, direction: int) -> tuple[PriceLevel, ...]:
    levels: list[PriceLevel] = []
    hole = ""
    for price_name, quantity_name in level_fields(side):
        for name in (price_name, quantity_name):
            if name not in body:
                raise QueryFailed(api_id, f"{name} is missing")
        price = read_field(api_id, body, price_name, MARKET_PRICE)
        quantity = read_field(api_id, body, quantity_name, COUNT.optional)
        if price is None:
            if quantity:
                raise QueryFailed(api_id, f"{quantity_name} has shares, but {price_name} no price")
            hole = hole or price_name
            continue
        if quantity is None:
            raise QueryFailed(api_id, f"{quantity_name} is missing")
        if hole:
            raise QueryFailed(api_id, f"{price_name} follows on {hole}, which has no price")
        levels.append(PriceLevel(price, quantity))
    if any((worse.price - better.price) * direction <= 0 for better, worse in pairwise(levels)):
        raise QueryFailed(api_id, f"the prices {side}_…_bid are not in order")
    return tuple(levels)
