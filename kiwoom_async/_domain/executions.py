"""What the broker lists as executed: one statement per order number, all its fills together."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from attrs import frozen

from kiwoom_async._domain.vocabulary import Desk, Side


@frozen
class ExecutedOrder:
    """One row of the day's executions (체결), ours or somebody's on the same account. Orders without a fill have none.

    Behind each field stand Kiwoom's own word and its name in ka10076.

    Attributes:
        desk: STOCK, also for orders on credit; the view does not know gold.
        day: The day it was asked for: the view shows today only, and no date.
        broker_order_id: 주문번호 (ord_no), seven digits.
        symbol: 종목코드 (stk_cd).
        quantity: 주문수량 (ord_qty) of the order.
        filled_quantity: 체결량 (cntr_qty): all fills of the order so far.
        average_fill_price: 체결가 (cntr_pric), KRW; None where the row shows none.
        leaves_quantity: 미체결수량 (oso_qty): what is left in the book; None where the row does not tell.
        side: 주문구분 (io_tp_nm); None where the text names neither side.
        price: 주문가격 (ord_pric), KRW; None where the row shows none (or zero, as for market orders).
        original: 원주문번호 (orig_ord_no); None for an original order.
        ordered_at: 주문시간 (ord_tm): the broker's clock, Korean time, whole seconds; None where the row shows none.
        commission: 당일매매수수료 (tdy_trde_cmsn), KRW; None where the row does not tell.
        tax: 당일매매세금 (tdy_trde_tax), KRW; None where the row does not tell.
    """

    desk: Desk
    day: date
    broker_order_id: str
    symbol: str
    quantity: int
    filled_quantity: int
    average_fill_price: Decimal | None
    leaves_quantity: int | None
    side: Side | None = None
    price: int | None = None
    original: str | None = None
    ordered_at: datetime | None = None
    commission: int | None = None
    tax: int | None = None
