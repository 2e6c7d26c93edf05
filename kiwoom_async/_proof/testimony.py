"""What the client tells and what the broker's book says, in the words of the history checker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from attrs import evolve

from kiwoom_async._audit import Answer, Ask, BookEntry, Terms, Verdict
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


def number_of(day: date, broker_order_id: str | None) -> str | None:
    """Name an order by its day too: numbers begin anew every day (A8)."""
    return None if broker_order_id is None else f"{day:%d}/{broker_order_id}"


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
        original=number_of(order.day, order.original_broker_order_id),
    )


def book_entry(order: BookOrder) -> BookEntry:
    """Give an order of the simulator's book."""
    return BookEntry(
        broker_order_id=f"{order.day:%d}/{order.broker_order_id}",
        terms=Terms(
            desk=order.desk.value,
            action=order.action.value,
            symbol=order.symbol,
            side=order.side.value,
            quantity=order.quantity,
            price=None if order.action is Action.CANCEL else order.price,
            route=None if order.desk is Desk.GOLD else order.route.value,
            original=number_of(order.day, order.original),
        ),
        client_order_id=order.idempotency_key,
        filled_quantity=order.filled_quantity,
        is_working=order.is_working,
        is_foreign=order.is_foreign,
    )


def renamed(asks: Iterable[Ask], answers: Iterable[Answer], book: Sequence[BookEntry]) -> list[BookEntry]:
    """Give twins each other's orders where the client took them so: nobody can tell orders apart that are alike.

    Which of two identical orders, in the air at the same time, has which number is a name and no fact (section 6 of the
    theory: true up to renaming interchangeable intents). How many there are is a fact: an order beyond those that were
    told stays with its own id, or goes to a twin that was told that it has none.
    """
    classes: dict[Terms, dict[str, None]] = defaultdict(dict)
    for ask in asks:
        if ask.target is None:
            classes[ask.terms][ask.client_order_id] = None
    told = {answer.client_order_id: answer.broker_order_id for answer in answers if answer.broker_order_id is not None}
    names: dict[str, str | None] = {}
    for twins in classes.values():
        entries = [entry for entry in book if entry.client_order_id in twins and not entry.is_foreign]
        numbers = {entry.broker_order_id for entry in entries}
        taken = {told[name]: name for name in twins if told.get(name) in numbers}
        names |= taken
        left = [entry for entry in entries if entry.broker_order_id not in taken]
        free = [name for name in twins if name not in taken.values()]
        for entry in sorted(left, key=lambda entry: entry.client_order_id not in free):
            if entry.client_order_id in free:
                free.remove(entry.client_order_id)
            elif free:
                names[entry.broker_order_id] = free.pop(0)
    return [evolve(entry, client_order_id=names.get(entry.broker_order_id, entry.client_order_id)) for entry in book]
