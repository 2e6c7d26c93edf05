"""What the broker lists as executed: one statement per order number, all its fills together."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from attrs import frozen

from kiwoom_async._domain.vocabulary import Desk


@frozen
class ExecutedOrder:
    """One row of the day's executions (체결), ours or somebody's on the same account. Orders without a fill have none.

    Attributes:
        day: The day it was asked for: the view shows today only, and no date.
        quantity: Of the order.
        filled_quantity: All fills of the order so far.
        average_fill_price: KRW; None where the row shows none.
        leaves_quantity: What is left in the book; None where the row does not tell.
    """

    desk: Desk
    day: date
    broker_order_id: str
    symbol: str
    quantity: int
    filled_quantity: int
    average_fill_price: Decimal | None
    leaves_quantity: int | None
