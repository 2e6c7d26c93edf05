"""What the broker says: rows of the day's ledger, whole snapshots of it, and reports of the real-time feed."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum, unique

from attrs import frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, Route, Side


@frozen
class LedgerOrder:
    """One row of the day's ledger: an order, a modify or a cancel, ours or somebody's on the same account.

    Behind each field stand Kiwoom's own word and its name in kt00007 and, for gold, kt50031.

    Attributes:
        day: 주문일자 (ord_dt of the question; the rows carry none).
        desk: STOCK, also for orders on credit, or GOLD.
        broker_order_id: 주문번호 (ord_no): seven digits, unique on its day only.
        action: 원주문 (ori_ord) and 정정취소 (mdfy_cncl): an order, a modify or a cancel.
        symbol: 종목번호 (stk_cd), without the prefix.
        side: 주문구분 (io_tp_nm).
        quantity: 주문수량 (ord_qty).
        price: 주문단가 (ord_uv), KRW; None where the row shows none (or zero, as for market orders).
        order_types: 매매구분 (trde_tp): the types its text can stand for; all of them where the text is not known.
        route: 국내거래소구분 (dmst_stex_tp); None where the row does not tell.
        stop_price: 스톱가 (cond_uv); None where the row shows none.
        original: 원주문 (ori_ord): number of the order that a modify or cancel names; None for an original order.
        channel: 통신구분 (comm_ord_tp): the broker's own words for where the order came from, for example "REST API".
        ordered_at: 주문시간 (ord_tm): the broker's clock, Korean time, whole seconds; None where the row shows none.
        filled_quantity: 체결수량 (cntr_qty), all fills together.
        average_fill_price: 체결단가 (cntr_uv), KRW per share; None while nothing is filled.
        leaves_quantity: 주문잔량 (ord_remnq): what is left in the book; None where the view leaves it empty, and for
            gold, whose view shows a zero for an untouched order.
        confirmed_quantity: 확인수량 (cnfm_qty): what a cancel or modify really took.
        is_credit: 주문구분 and 신용구분 (io_tp_nm, crd_tp): whether the row says that the order was placed on credit
            (신용), or for cash (현금); None where it does not tell.
        loan_date: 대출일 (loan_dt): the day of the loan that a credit sale repays; None where the row shows none.
        there_by: A moment by which the order was on the book, by the broker's clock: something was reported of it then.
    """

    day: date
    desk: Desk
    broker_order_id: str
    action: Action
    symbol: str
    side: Side
    quantity: int
    price: int | None
    order_types: frozenset[OrderType]
    route: Route | None
    stop_price: int | None
    original: str | None
    channel: str
    ordered_at: datetime | None
    filled_quantity: int
    average_fill_price: Decimal | None
    leaves_quantity: int | None
    confirmed_quantity: int
    is_credit: bool | None = None
    loan_date: date | None = None
    there_by: datetime | None = None

    @property
    def number(self) -> int:
        """Give the order number as a number: it rises with acceptance within a day (A8)."""
        return int(self.broker_order_id)

    @property
    def size(self) -> int | None:
        """Give how large the order is; None where the row does not tell.

        A modify may ask for more than was left, or for 0, which means all; the confirmed quantity is the truth.
        """
        moved = self.confirmed_quantity if self.action is Action.MODIFY else 0
        return moved or self.quantity or None

    @property
    def status(self) -> OrderStatus:
        """Say in what state the row shows the order to be.

        An order that is neither filled nor in the book was canceled, refused or expired; a ledger row alone does not
        tell which, so it reads as canceled here.
        """
        if self.size is not None and self.filled_quantity >= self.size:
            return OrderStatus.FILLED
        if self.leaves_quantity == 0:
            return OrderStatus.CANCELED
        return OrderStatus.PARTIALLY_FILLED if self.filled_quantity else OrderStatus.WORKING


@frozen
class OpenOrder:
    """One row of the open orders (미체결), ours or somebody's on the same account.

    Behind each field stand Kiwoom's own word and its name in ka10075 and, for gold, kt50075.

    Attributes:
        desk: STOCK, also for orders on credit, or GOLD.
        broker_order_id: 주문번호 (ord_no), seven digits.
        symbol: 종목코드 (stk_cd).
        side: 주문구분 (io_tp_nm).
        quantity: 주문수량 (ord_qty).
        price: 주문가격 (ord_pric; gold ord_uv), KRW; None where the row shows none (or zero, as for market orders).
        leaves_quantity: 미체결수량 (oso_qty; gold ord_remnq, reckoned where it is empty).
        filled_quantity: 체결량 (cntr_qty), all fills together.
        original: 원주문번호 (orig_ord_no); None for an original order.
        account_digest: Names the account the row shows (acnt_no), without its number; None where the view does not
            show it.
        order_time: 시간 (tm) of the order, Korean time; the answer names no day. None for gold, which shows none.
        order_types: 매매구분 (trde_tp): the types its text can stand for; all of them where the text is not known.
        route: 거래소구분 (sor_yn, stex_tp_txt; gold dmst_stex_tp); None where the row does not tell.
        stop_price: 스톱가 (stop_pric; gold cond_uv), KRW; None where the row shows none.
    """

    desk: Desk
    broker_order_id: str
    symbol: str
    side: Side
    quantity: int
    price: int | None
    leaves_quantity: int
    filled_quantity: int
    original: str | None
    account_digest: str | None = None
    order_time: time | None = None
    order_types: frozenset[OrderType] = frozenset(OrderType)
    route: Route | None = None
    stop_price: int | None = None


@frozen
class Snapshot:
    """A complete view of one desk's ledger of one day, from an order number on.

    Only a query that succeeded to its last page makes one.

    Attributes:
        since: Orders up to this number may be missing; all later ones are there.
        began: Monotonic second before the first request left.
        finished: Monotonic second after the last answer came.
        is_final: The day was over when the snapshot was taken.
        queries: Requests it took.
    """

    desk: Desk
    day: date
    since: int
    rows: tuple[LedgerOrder, ...]
    began: float
    finished: float
    is_final: bool
    queries: int

    @property
    def changes(self) -> tuple[LedgerOrder, ...]:
        """Give the modifies and cancels, anybody's, that have taken something from their originals."""
        return tuple(row for row in self.rows if row.action is not Action.NEW and row.confirmed_quantity)


@unique
class ReportKind(StrEnum):
    """What a report of the feed says happened to its order number (주문상태)."""

    ACCEPTED = "accepted"
    """접수: it is at the exchange."""
    FILLED = "filled"
    """체결: a part of it or all."""
    CONFIRMED = "confirmed"
    """확인: a modify or cancel has taken effect."""
    CANCELED = "canceled"
    """취소: what was left has gone."""
    REFUSED = "refused"
    """거부: it was refused, possibly after it had been accepted."""


@frozen
class OrderReport:
    """One statement of the real-time feed about one order number of the account, whoever placed it.

    The feed has no sequence number: reports can be missed, repeated and out of order. What it counts is cumulative, so
    that each report says all there was up to it.

    Attributes:
        day: Of the order number: the Korean day on which the report came.
        desk: Stock or gold, by the form of the symbol; an order on credit stands among the stocks.
        action: What the number stands for: an order, a modify or a cancel.
        quantity: Of the order.
        price: KRW; None where the report shows none (or zero, as for market orders).
        order_types: The types its text can stand for; all of them where the text is not known.
        route: None where the report does not tell.
        original: Number of the order that a modify or cancel names; None for an original order.
        leaves_quantity: What is left in the book; None where the report does not tell.
        filled_quantity: All fills of this number so far; 0 where it tells of none.
        filled_amount: KRW of all those fills; None where the report does not tell.
        fill_quantity, fill_price, execution_id: The single fill that this report is about; None for other reports.
        at: The broker's clock, whole seconds; None where the report does not tell.
        reason: Why it was refused; "" for all others.
        terminal: The broker's text for where the order came from (단말); "" where there is none.
        account_digest: Names the account, without its number; None where the report does not show it.
        is_credit: Whether the report says that the order was placed on credit (신용), or for cash; None where it does
            not tell.
    """

    kind: ReportKind
    day: date
    desk: Desk
    broker_order_id: str
    action: Action
    symbol: str
    side: Side
    quantity: int
    price: int | None
    order_types: frozenset[OrderType]
    route: Route | None
    original: str | None
    leaves_quantity: int | None
    filled_quantity: int
    filled_amount: int | None
    fill_quantity: int | None
    fill_price: int | None
    execution_id: str | None
    at: datetime | None
    reason: str = ""
    terminal: str = ""
    account_digest: str | None = None
    is_credit: bool | None = None
