"""Prices and books of symbols."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Any

import pytest

from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._wire.quotes import decode_order_book, decode_quote, order_book_call, quote_call
from kiwoom_async.errors import QueryFailed
from kiwoom_async.records import OrderBook, PriceLevel, Quote
from tests.wire import account_samples as samples
from tests.wire.account_samples import order_book

SYMBOL = "005930"

SHIFTED = {
    "stk_cd": "005930",
    "stk_nm": "삼성전자",
    "high_pric": "95400",
    "open_pric": "-0",
    "low_pric": "0",
    "upl_pric": "20241016",
    "lst_pric": "-47.41",
    "base_pric": "20231024",
    "exp_cntr_pric": "+26.69",
    "cur_prc": "0.00",
}
"""The published example of ka10001: its values stand beside the wrong names."""


def read(body: dict[str, Any]) -> Quote:
    """Read a quote."""
    return decode_quote("ka10001", SYMBOL, Route.KRX, body)


def read_book(body: dict[str, Any]) -> OrderBook:
    """Read a book."""
    return decode_order_book("ka10004", SYMBOL, Route.KRX, body)


def test_quote() -> None:
    """Marks before prices are no signs; the change has one; a zero and an empty text are no price."""
    assert read(samples.QUOTE) == Quote(
        symbol=SYMBOL,
        route=Route.KRX,
        name="삼성전자",
        last_price=69_750,
        base_price=70_000,
        upper_limit=91_000,
        lower_limit=49_000,
        open_price=69_800,
        high_price=71_200,
        low_price=69_500,
        expected_price=None,
        expected_quantity=None,
        change=-250,
        change_rate=Decimal("-0.36"),
        volume=5_158_006,
    )


def test_before_the_first_trade() -> None:
    """There is no open, high or low price then, and no price of zero."""
    quote = read(samples.QUOTE | {"open_pric": "-0", "high_pric": "0", "low_pric": "", "trde_qty": "0"})
    assert (quote.open_price, quote.high_price, quote.low_price, quote.volume) == (None, None, None, 0)


@pytest.mark.parametrize("code", ["005930", "A005930", "005930_NX", "005930_AL", ""])
def test_a_quote_of_the_symbol(code: str) -> None:
    """However the broker writes the code back."""
    assert read(samples.QUOTE | {"stk_cd": code}).symbol == SYMBOL


def test_a_quote_of_another_symbol_is_no_answer() -> None:
    """Nobody may order by it."""
    with pytest.raises(QueryFailed, match="stk_cd='000660'"):
        read(samples.QUOTE | {"stk_cd": "000660"})


def test_shifted_values_do_not_pass_for_prices() -> None:
    """The published example is unusable, and is found out."""
    with pytest.raises(QueryFailed, match="cur_prc"):
        read(SHIFTED)
    with pytest.raises(QueryFailed, match="rising order"):
        read(samples.QUOTE | {"upl_pric": "20241016", "lst_pric": "47", "base_pric": "20251024"})


@pytest.mark.parametrize("name", ["cur_prc", "base_pric", "upl_pric", "lst_pric"])
def test_a_quote_without_its_prices_is_about_something_else(name: str) -> None:
    """They may be empty, but they have to be there."""
    with pytest.raises(QueryFailed, match=f"{name} is missing"):
        read({field: text for field, text in samples.QUOTE.items() if field != name})
    assert read(samples.QUOTE | {name: ""}).symbol == SYMBOL


def test_order_book() -> None:
    """The best first on both sides; places without a price are left out; the time is Korean."""
    assert read_book(samples.ORDER_BOOK) == OrderBook(
        symbol=SYMBOL,
        route=Route.KRX,
        at=time(15, 41, 13, tzinfo=KST),
        asks=(PriceLevel(70_100, 12), PriceLevel(70_200, 4_000)),
        bids=(PriceLevel(70_000, 300), PriceLevel(69_900, 1_000), PriceLevel(69_800, 2_000)),
        ask_total=4_012,
        bid_total=3_300,
        after_hours_ask_total=0,
        after_hours_bid_total=None,
    )


def test_an_empty_book() -> None:
    """Before the market opens there may be nothing on either side."""
    book = read_book(order_book([], [], bid_req_base_tm=""))
    assert (book.asks, book.bids, book.at) == ((), (), None)


def test_all_ten_levels_are_read() -> None:
    """Each from its own fields."""
    levels = [(str(70_100 + 100 * place), str(place + 1)) for place in range(10)]
    book = read_book(order_book(levels, levels[::-1]))
    assert book.asks == tuple(PriceLevel(int(price), int(quantity)) for price, quantity in levels)
    assert book.bids == book.asks[::-1]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (order_book([("70200", "1"), ("70100", "1")], []), "sel_…_bid"),
        (order_book([], [("70100", "1"), ("70100", "1")]), "buy_…_bid"),
        (order_book([("70100", "1"), ("0", "0"), ("70300", "1")], []), "sel_3th_pre_bid follows on sel_2th_pre_bid"),
        (order_book([("70100", "1"), ("", "7")], []), "sel_2th_pre_req has shares, but sel_2th_pre_bid no price"),
        (order_book([("70100", "")], []), "sel_fpr_req is missing"),
        (order_book([("70100", "-5")], []), "sel_fpr_req='-5'"),
        (order_book([("70100.5", "5")], []), "sel_fpr_bid"),
        (order_book([], [], bid_req_base_tm="246060"), "bid_req_base_tm"),
    ],
)
def test_a_book_that_does_not_fit_together_fails(body: dict[str, Any], named: str) -> None:
    """No level is guessed, moved up or dropped."""
    with pytest.raises(QueryFailed) as caught:
        read_book(body)
    assert named in str(caught.value)


def test_queries() -> None:
    """The market stands behind the code."""
    for route, code in {Route.KRX: "005930", Route.NXT: "005930_NX", Route.SOR: "005930_AL"}.items():
        call = quote_call(SYMBOL, route)
        assert (call.api_id, call.path, call.body) == ("ka10001", "/api/dostk/stkinfo", {"stk_cd": code})
        call = order_book_call(SYMBOL, route)
        assert (call.api_id, call.path, call.body) == ("ka10004", "/api/dostk/mrkcond", {"stk_cd": code})
