"""What happens to an order after it was accepted, as a strategy hears it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum, unique

from attrs import frozen

from kiwoom_async._domain.vocabulary import OrderStatus, ResolvedBy, Side


@unique
class OrderEventKind(StrEnum):
    """What happened."""

    ACCEPTED = "accepted"
    """The order has a broker order number."""
    FILLED = "filled"
    """It has traded; `quantity` and `price` are of what is new, so that they may be summed."""
    CANCELED = "canceled"
    """What was left of it has gone, or a part of that; `leaves_quantity` tells."""
    MODIFIED = "modified"
    """It lives on, all of it or a part, under the number `replaced_by`."""
    REFUSED = "refused"
    """The exchange refused it after it had been accepted; `text` says why."""
    EXPIRED = "expired"
    """The day ended with a part of it unfilled."""
    ALARM = "alarm"
    """The broker says what cannot be true; `text` says what. Nothing was counted. Look at Kiwoom's own screen."""


@frozen
class OrderEvent:
    """One thing that happened to one of our orders, durable in the journal.

    Attributes:
        sequence: Rises with every event of the journal file; pass it to `client.orders.events(since=…)` to go on after
            it.
        quantity: With FILLED: what was filled since the last event. With MODIFIED: what lives on under `replaced_by`.
            With CANCELED and EXPIRED: what left the book, as far as fills were known then (one that is told later was
            no part of it). None if not known, as of a modify of all that was left whose row nobody has seen.
        price: With FILLED: KRW per share of `quantity`, an average if it was several executions; None if not known.
        filled_quantity: All that is filled after this event.
        leaves_quantity: What is left in the book after this event; None if not known.
        status: After this event.
        source: The evidence: the answer, the feed, the ledger, or a person.
        at: The broker's clock where it told, otherwise ours.
        recorded_at: When it was written down.
        execution_id: The broker's number of the fill (체결번호), where the event is exactly one.
        replaced_by: With MODIFIED: the new broker order number, if known.
    """

    sequence: int
    kind: OrderEventKind
    client_order_id: str
    broker_order_id: str
    symbol: str
    side: Side | None
    day: date
    at: datetime
    recorded_at: datetime
    source: ResolvedBy
    status: OrderStatus | None
    quantity: int | None = None
    price: Decimal | None = None
    filled_quantity: int = 0
    leaves_quantity: int | None = None
    execution_id: str | None = None
    replaced_by: str | None = None
    text: str = ""
