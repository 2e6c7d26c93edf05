"""The records of the simulated broker: order requests, orders on the book, fills, received requests.

All are frozen. A change of an order is a new record with the same number; `ledger.py` keeps the succession.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum, unique
from typing import Final

from attrs import frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, Route, Side

NO_ORIGINAL: Final = "0000000"
"""What the wire shows where an order has no original."""


@unique
class Flavour(StrEnum):
    """Which of Kiwoom's two environments is played."""

    REAL = "real"
    MOCK = "mock"


@unique
class Channel(StrEnum):
    """The program an order came from, as the ledger prints it (통신구분)."""

    REST_API = "REST API"
    HOME_TRADING = "영웅문4"
    MOBILE = "영웅문S#"


@frozen
class Instant:
    """One moment on both clocks: `at` is what the wire shows, `tick` orders and delays."""

    at: datetime
    tick: float


@frozen
class OrderRequest:
    """What somebody asks the broker to do, already read from the wire.

    Attributes:
        side: None for a modify or a cancel: the original tells.
        quantity: None: everything that is left (modify and cancel only).
        price: None: the type needs none.
        original: The order number that a modify or a cancel names.
        loan_date: The day of the one loan that a credit sale repays; None: of all, or it is no such sale.
    """

    action: Action
    desk: Desk
    symbol: str
    side: Side | None = None
    quantity: int | None = None
    price: int | None = None
    order_type: OrderType = OrderType.LIMIT
    route: Route = Route.KRX
    stop_price: int | None = None
    original: str | None = None
    channel: str = Channel.REST_API
    idempotency_key: str | None = None
    is_foreign: bool = False
    loan_date: date | None = None


@frozen
class BookOrder:
    """One order request that the broker accepted, as it stands now.

    A cancel is a row of its own with status CANCELED. An order whose rest was moved away by a modify is
    CANCELED too: what is left of it lives under the number of the modify.

    Attributes:
        original: The number that a modify or a cancel addressed; None for a new order.
        root: The first number of the chain; its own number for a new order.
        confirmed_quantity: What a modify really moved, or a cancel really cancelled (cnfm_qty).
        idempotency_key: The header as received. The broker ignores it; it is here for audits.
        working_price: The limit the order works with; differs from `price` for types that take it from the
            book.
        filled_amount: Won traded so far.
        is_armed: A stop order whose stop has not been reached.
        is_foreign: Placed by `place_foreign`, not by a request.
        refusal: Why the exchange refused it after it had been accepted; "" for all others.
        loan_date: The day of the one loan that a credit sale repays; None for all others.
    """

    day: date
    broker_order_id: str
    action: Action
    desk: Desk
    symbol: str
    side: Side
    quantity: int
    price: int | None
    order_type: OrderType
    route: Route
    stop_price: int | None
    original: str | None
    root: str
    channel: str
    accepted_at: datetime
    accepted_tick: float
    filled_quantity: int
    leaves_quantity: int
    confirmed_quantity: int
    status: OrderStatus
    idempotency_key: str | None
    working_price: int | None = None
    filled_amount: int = 0
    confirmed_at: datetime | None = None
    filled_at: datetime | None = None
    execution_id: str | None = None
    is_armed: bool = False
    is_foreign: bool = False
    refusal: str = ""
    loan_date: date | None = None

    @property
    def average_fill_price(self) -> int | None:
        """The average won per unit, rounded as the ledger prints it; None without a fill."""
        return round(self.filled_amount / self.filled_quantity) if self.filled_quantity else None

    @property
    def is_working(self) -> bool:
        """Whether something of it can still trade."""
        return self.leaves_quantity > 0


@frozen
class Fill:
    """One execution."""

    day: date
    broker_order_id: str
    execution_id: str
    symbol: str
    side: Side
    quantity: int
    price: int
    at: datetime


@frozen
class ReceivedRequest:
    """A request as it arrived on the wire, before any fault.

    Attributes:
        headers: Names in lower case; the value of `authorization` is not kept.
        body: The text of the body.
        at: When, by the broker's clock.
    """

    api_id: str
    path: str
    headers: Mapping[str, str]
    body: str
    at: datetime
