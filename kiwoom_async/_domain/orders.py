"""What a caller holds in the end: an order the broker has acknowledged."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from attrs import frozen

from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, ResolvedBy, Route, Side


@frozen
class Order:
    """One order, modify or cancel, as the journal knows it at this moment.

    Attributes:
        client_order_id: Your idempotency key.
        broker_order_id: Kiwoom's number (주문번호), seven digits, unique on `day` only. None while the outcome is
            unknown, and for a cancel whose effect is seen but whose own number is not listed.
        symbol: Plain code, for example "005930".
        side: None for a modify or cancel of an order whose side was not told.
        quantity: Shares, or grams of gold; for a modify or cancel what it was asked for. None: all that was left.
        price: KRW; None for types without a price.
        status: What the broker last said; None while it has acknowledged nothing. Right after an acceptance this is
            WORKING even if the fill came at once: the ledger or the feed tells. For a cancel, CANCELED says that its
            quantity left the book (of a part only, if it asked for a part), FILLED that it came after the last fill,
            REFUSED that the exchange refused it after it had been accepted.
        filled_quantity: As last reported.
        average_fill_price: KRW per share; None while no fill was reported.
        leaves_quantity: What is left in the book, as last reported; None if not known.
        resolved_by: The evidence the acceptance rests on; None while unknown.
        attempts: Sends so far that may have reached the broker.
        action: New, modify or cancel.
        desk: Stock, gold or credit.
        stop_price: 스톱가, where the type has one.
        original_broker_order_id: For a modify or cancel: the order it names.
        day: The Korean day the number is valid on.
        delivery: What is known about the delivery of the last send.
        account: The name the journal has for the account; not its number.
        is_dry: A client with `dry_run=True` took it, and nothing was sent: there is no number and no status, and there
            never will be.
    """

    client_order_id: str
    broker_order_id: str | None
    symbol: str
    side: Side | None
    quantity: int | None
    price: int | None
    order_type: OrderType | None
    route: Route | None
    status: OrderStatus | None
    filled_quantity: int
    average_fill_price: Decimal | None
    leaves_quantity: int | None
    resolved_by: ResolvedBy | None
    attempts: int
    action: Action
    desk: Desk
    stop_price: int | None
    original_broker_order_id: str | None
    day: date
    delivery: Delivery
    account: str
    is_dry: bool = False
