"""What the client tells and what the broker's book says, in the words of the history checker."""

from __future__ import annotations

from typing import Final

from kiwoom_async._audit import BookEntry, Terms, Verdict
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.vocabulary import Action, Desk
from kiwoom_async.errors import (
    AuthenticationError,
    KiwoomError,
    NotSent,
    OrderNotAccepted,
    OutcomeUnknown,
    Refused,
    ValidationError,
)
from kiwoom_async.simulator import BookOrder

_VERDICTS: Final[tuple[tuple[type[Exception], Verdict], ...]] = (
    (OutcomeUnknown, Verdict.UNKNOWN),
    (NotSent, Verdict.NOT_SENT),
    # Like NotSent: no order, and the same id may be used again.
    (AuthenticationError, Verdict.NOT_SENT),
    (ValidationError, Verdict.NOT_SENT),
    (OrderNotAccepted, Verdict.NOT_ACCEPTED),
    (Refused, Verdict.REFUSED),
)


def verdict_on(error: KiwoomError) -> Verdict:
    """Say what an error means for the order; one that says nothing about it is a fault of the client."""
    return next((verdict for kind, verdict in _VERDICTS if isinstance(error, kind)), Verdict.ERROR)


def terms_of(order: Order) -> Terms:
    """Give the fields of an order as our client reports them."""
    return Terms(
        desk=order.desk.value,
        action=order.action.value,
        symbol=order.symbol,
        side=None if order.side is None else order.side.value,
        quantity=order.quantity,
        price=order.price,
        route=None if order.route is None else order.route.value,
        original=order.original_broker_order_id,
    )


def book_entry(order: BookOrder) -> BookEntry:
    """Give an order of the simulator's book."""
    return BookEntry(
        broker_order_id=order.broker_order_id,
        terms=Terms(
            desk=order.desk.value,
            action=order.action.value,
            symbol=order.symbol,
            side=order.side.value,
            quantity=order.quantity,
            price=None if order.action is Action.CANCEL else order.price,
            route=None if order.desk is Desk.GOLD else order.route.value,
            original=order.original,
        ),
        client_order_id=order.idempotency_key,
        filled_quantity=order.filled_quantity,
        is_working=order.is_working,
        is_foreign=order.is_foreign,
    )
