"""The words of an order, each spelled once.

Kiwoom's own codes for them stand in the tables of `_wire`; here are only the ideas.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from attrs import frozen


@unique
class Desk(StrEnum):
    """The order desk: which product is traded, and so which TRs carry the order."""

    STOCK = "stock"
    GOLD = "gold"
    CREDIT = "credit"

    @property
    def ledger(self) -> Desk:
        """Name the desk whose ledger lists this desk's orders: credit orders stand among the stocks."""
        return Desk.GOLD if self is Desk.GOLD else Desk.STOCK


@unique
class Action(StrEnum):
    """What a request asks the broker to do."""

    NEW = "new"
    MODIFY = "modify"
    CANCEL = "cancel"


@unique
class Side(StrEnum):
    """매수 or 매도."""

    BUY = "buy"
    SELL = "sell"


@unique
class Route(StrEnum):
    """Where an order is asked to go (국내거래소구분). The venue of a fill may differ for SOR."""

    KRX = "KRX"
    NXT = "NXT"
    SOR = "SOR"


@unique
class OrderType(StrEnum):
    """How an order behaves in the book (매매구분), time in force included."""

    LIMIT = "limit"
    MARKET = "market"
    CONDITIONAL_LIMIT = "conditional_limit"
    BEST_LIMIT = "best_limit"
    PRIORITY_LIMIT = "priority_limit"
    LIMIT_IOC = "limit_ioc"
    MARKET_IOC = "market_ioc"
    BEST_LIMIT_IOC = "best_limit_ioc"
    LIMIT_FOK = "limit_fok"
    MARKET_FOK = "market_fok"
    BEST_LIMIT_FOK = "best_limit_fok"
    STOP_LIMIT = "stop_limit"
    MIDPOINT = "midpoint"
    MIDPOINT_IOC = "midpoint_ioc"
    MIDPOINT_FOK = "midpoint_fok"
    PRE_MARKET_CLOSE = "pre_market_close"
    POST_MARKET_CLOSE = "post_market_close"
    AFTER_HOURS_SINGLE = "after_hours_single"


@unique
class CreditKind(StrEnum):
    """Which loans the sale of shares bought on credit repays (신용거래구분)."""

    LOAN = "loan"
    """융자: one loan, named by its loan date (대출일)."""
    ALL_LOANS = "all_loans"
    """융자합: the loans of the stock taken together; no loan date."""


@unique
class OrderStatus(StrEnum):
    """What the broker says about an order it has acknowledged."""

    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REFUSED = "refused"
    EXPIRED = "expired"


@unique
class ResolvedBy(StrEnum):
    """The evidence an acceptance rests on."""

    RESPONSE = "response"
    EVENT = "event"
    LEDGER = "ledger"
    OPERATOR = "operator"


@frozen
class OrderTypeRule:
    """What an order type asks of its arguments."""

    korean: str
    needs_price: bool
    needs_stop_price: bool = False
    desks: frozenset[Desk] = frozenset({Desk.STOCK, Desk.CREDIT})


_EVERY_DESK: Final = frozenset(Desk)

ORDER_TYPE_RULES: Final[dict[OrderType, OrderTypeRule]] = {
    OrderType.LIMIT: OrderTypeRule("보통(지정가)", needs_price=True, desks=_EVERY_DESK),
    OrderType.MARKET: OrderTypeRule("시장가", needs_price=False),
    OrderType.CONDITIONAL_LIMIT: OrderTypeRule("조건부지정가", needs_price=True),
    OrderType.BEST_LIMIT: OrderTypeRule("최유리지정가", needs_price=False),
    OrderType.PRIORITY_LIMIT: OrderTypeRule("최우선지정가", needs_price=False),
    OrderType.LIMIT_IOC: OrderTypeRule("보통(IOC)", needs_price=True, desks=_EVERY_DESK),
    OrderType.MARKET_IOC: OrderTypeRule("시장가(IOC)", needs_price=False),
    OrderType.BEST_LIMIT_IOC: OrderTypeRule("최유리(IOC)", needs_price=False),
    OrderType.LIMIT_FOK: OrderTypeRule("보통(FOK)", needs_price=True, desks=_EVERY_DESK),
    OrderType.MARKET_FOK: OrderTypeRule("시장가(FOK)", needs_price=False),
    OrderType.BEST_LIMIT_FOK: OrderTypeRule("최유리(FOK)", needs_price=False),
    OrderType.STOP_LIMIT: OrderTypeRule("스톱지정가", needs_price=True, needs_stop_price=True),
    OrderType.MIDPOINT: OrderTypeRule("중간가", needs_price=False),
    OrderType.MIDPOINT_IOC: OrderTypeRule("중간가(IOC)", needs_price=False),
    OrderType.MIDPOINT_FOK: OrderTypeRule("중간가(FOK)", needs_price=False),
    OrderType.PRE_MARKET_CLOSE: OrderTypeRule("장시작전시간외", needs_price=False),
    OrderType.POST_MARKET_CLOSE: OrderTypeRule("장마감후시간외", needs_price=False),
    OrderType.AFTER_HOURS_SINGLE: OrderTypeRule("시간외단일가", needs_price=True),
}
"""Source: the price policy of Kiwoom's published command-line client; gold takes 00, 10 and 20 only (TR kt50000)."""

GOLD_SYMBOLS: Final[dict[str, str]] = {"M04020000": "금 99.99_1kg", "M04020100": "미니금 99.99_100g"}
"""The two gold products. Source: TR kt50000."""
