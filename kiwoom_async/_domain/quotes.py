"""What one has to know of a symbol before ordering it: its price, its daily band, its book.

Behind each field stand Kiwoom's own word and the name it has on the wire.
"""

from __future__ import annotations

from datetime import time
from decimal import Decimal

from attrs import frozen

from kiwoom_async._domain.vocabulary import Route


@frozen
class Quote:
    """The price of a symbol and the band it may trade in today (주식기본정보, TR ka10001). Prices are KRW.

    Attributes:
        symbol: 종목코드 (stk_cd), without a suffix.
        route: The market it was asked for.
        name: 종목명 (stk_nm).
        last_price: 현재가 (cur_prc); None before the first trade.
        base_price: 기준가 (base_pric): what the band is measured from.
        upper_limit: 상한가 (upl_pric); None where there is none.
        lower_limit: 하한가 (lst_pric); None where there is none.
        open_price: 시가 (open_pric); None before the first trade of the day.
        high_price: 고가 (high_pric); None before the first trade of the day.
        low_price: 저가 (low_pric); None before the first trade of the day.
        expected_price: 예상체결가 (exp_cntr_pric) of an auction; None outside of one.
        expected_quantity: 예상체결수량 (exp_cntr_qty) of an auction; None where there is none.
        change: 전일대비 (pred_pre), with its sign.
        change_rate: 등락율 (flu_rt), percent, with its sign.
        volume: 거래량 (trde_qty), shares.
    """

    symbol: str
    route: Route
    name: str
    last_price: int | None
    base_price: int | None
    upper_limit: int | None
    lower_limit: int | None
    open_price: int | None
    high_price: int | None
    low_price: int | None
    expected_price: int | None
    expected_quantity: int | None
    change: int | None
    change_rate: Decimal | None
    volume: int | None


@frozen
class PriceLevel:
    """One price of a book.

    Attributes:
        price: 호가 (…_bid on the wire, on both sides), KRW.
        quantity: 잔량 (…_req), shares.
    """

    price: int
    quantity: int


@frozen
class OrderBook:
    """The ten best prices of each side (주식호가, TR ka10004).

    Attributes:
        symbol: As it was asked for.
        route: The market it was asked for.
        at: 호가잔량기준시간 (bid_req_base_tm), Korean time; the answer names no day. None where it is empty.
        asks: 매도호가, the best (lowest) first; places without a price are left out.
        bids: 매수호가, the best (highest) first; places without a price are left out.
        ask_total: 총매도잔량 (tot_sel_req).
        bid_total: 총매수잔량 (tot_buy_req).
        after_hours_ask_total: 시간외매도잔량 (ovt_sel_req).
        after_hours_bid_total: 시간외매수잔량 (ovt_buy_req).
    """

    symbol: str
    route: Route
    at: time | None
    asks: tuple[PriceLevel, ...]
    bids: tuple[PriceLevel, ...]
    ask_total: int | None
    bid_total: int | None
    after_hours_ask_total: int | None
    after_hours_bid_total: int | None
