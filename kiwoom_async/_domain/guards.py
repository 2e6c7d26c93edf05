"""What a careful person puts in the way of orders: limits, a kill switch, a dry run. Decisions only, as tables.

A cancel takes risk away, so nothing here ever holds one back or counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.validation import check_symbol
from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, Action, Desk
from kiwoom_async.errors import ConfigurationError, LimitExceeded

HELD: Final = frozenset({Action.NEW, Action.MODIFY})
"""What guards may hold back."""


def _freeze(prices: Mapping[str, int]) -> Mapping[str, int]:
    plain = {check_symbol(Desk.GOLD if name in GOLD_SYMBOLS else Desk.STOCK, name): prices[name] for name in prices}
    return MappingProxyType(plain)


@frozen(kw_only=True)
class OrderLimits:
    """How much may be ordered. A value of None means: no limit.

    The day is the Korean calendar day on which an order is sent. What counts is everything that was sent to Kiwoom
    by any client of the same journal and account, whether that client has limits or not, except for orders that are
    proven not to be on the book. Filled and canceled orders go on counting. Cancels never count and are never held.

    Attributes:
        quantity_per_order: Shares (grams of gold) of one order.
        value_per_order: KRW of one order, quantity times price; of a modify, what the order is worth afterwards.
            A sale counts at its own limit, as a buy does, although it may be filled at any higher price.
        orders_per_day: New orders a day.
        quantity_per_day: Shares and grams of new orders a day.
        value_per_day: KRW a day of new orders, buys and sells alike, and of what modifies add.
        orders_per_symbol: As `orders_per_day`, of each symbol.
        quantity_per_symbol: As `quantity_per_day`, of each symbol.
        value_per_symbol: As `value_per_day`, of each symbol.
        reference_prices: KRW at which to count orders without a price of their own (market orders above all), by
            symbol. A symbol that is not named is counted at today's upper price limit (상한가, TR ka10001), which is
            asked once a day. Before 09:00, after 20:00 and on a day without trading the quote may show the limit of
            the day before, so it is asked for each order then, and counted with 30 % more, the most that the next
            limit can be above it (as much as the band of the quote is wide, where that is more). An order that cannot
            be valued is refused while there is a limit on values.
    """

    quantity_per_order: int | None = None
    value_per_order: int | None = None
    orders_per_day: int | None = None
    quantity_per_day: int | None = None
    value_per_day: int | None = None
    orders_per_symbol: int | None = None
    quantity_per_symbol: int | None = None
    value_per_symbol: int | None = None
    reference_prices: Mapping[str, int] = field(factory=dict, converter=_freeze)

    def __attrs_post_init__(self) -> None:
        named = {rule.name: getattr(self, rule.name) for rule in _RULES}
        for name, value in named.items():
            if value is not None and (type(value) is not int or value < 0):
                raise ConfigurationError(f"OrderLimits({name}={value!r}) must be a whole number, or None for no limit.")
        for symbol, price in self.reference_prices.items():
            if type(price) is not int or price <= 0:
                raise ConfigurationError(f"OrderLimits(reference_prices={{{symbol!r}: {price!r}}}) must be whole KRW.")

    @property
    def needs_value(self) -> bool:
        """Tell whether orders have to be valued."""
        return any(rule.measure is _Measure.VALUE and getattr(self, rule.name) is not None for rule in _RULES)


@frozen
class Burden:
    """What one send counts.

    Attributes:
        orders: 1 for a new order, 0 for a modify.
        quantity: What it adds to the day's quantity.
        value: What it adds to the day's value in KRW; None if nobody knows.
        whole_quantity: What is ordered after it; None if nobody knows (a modify of all that is left).
        whole_value: What that is worth; None if nobody knows.
    """

    orders: int
    quantity: int
    value: int | None
    whole_quantity: int | None
    whole_value: int | None


@frozen
class Totals:
    """What the sends of a day count together.

    Attributes:
        unvalued: How many of them nobody could value.
    """

    orders: int = 0
    quantity: int = 0
    value: int = 0
    unvalued: int = 0

    def plus(self, burden: Burden, sign: int = 1) -> Totals:
        """Add a send, or with -1 take one away."""
        return Totals(
            orders=self.orders + sign * burden.orders,
            quantity=self.quantity + sign * burden.quantity,
            value=self.value + sign * (burden.value or 0),
            unvalued=self.unvalued + sign * (burden.value is None),
        )


@frozen
class Original:
    """The order that a modify names, as far as the journal knows it.

    Attributes:
        quantity: The most that can be left of it; None if not known.
        price: At which it is counted, KRW; None if not known.
    """

    quantity: int | None = None
    price: int | None = None


def burden_of(request: OrderRequest, reference_price: int | None, original: Original | None = None) -> Burden | None:
    """Say what sending a request counts; None for a cancel, which counts nothing.

    Args:
        request: What is sent.
        reference_price: KRW at which to value it if it has no price; None if there is none.
        original: For a modify: the order it names.
    """
    if request.action not in HELD:
        return None
    if request.action is Action.NEW:
        assert request.quantity is not None, "a new order has a quantity"  # noqa: S101
        value = _times(request.quantity, request.price if request.price is not None else reference_price)
        return Burden(1, request.quantity, value, request.quantity, value)
    known = original or Original()
    quantity = known.quantity if request.quantity is None else request.quantity
    value = _times(quantity, request.price)
    # What the old price has counted for is counted already; a price that is lowered gives nothing back.
    raised = None if request.price is None else max(0, request.price - (known.price or 0))
    added = 0 if raised == 0 else _times(quantity, raised)
    return Burden(0, 0, added, quantity, value)


def _times(quantity: int | None, price: int | None) -> int | None:
    return None if quantity is None or price is None else quantity * price


# ---------------------------------------------------------------- limits


@unique
class _Scope(StrEnum):
    ORDER = "of one order"
    DAY = "of the day"
    SYMBOL = "of the day and the symbol"


@unique
class _Measure(StrEnum):
    ORDERS = "orders"
    QUANTITY = "quantity"
    VALUE = "value"


@frozen
class _Rule:
    name: str
    scope: _Scope
    measure: _Measure


_RULES: Final = (
    _Rule("quantity_per_order", _Scope.ORDER, _Measure.QUANTITY),
    _Rule("value_per_order", _Scope.ORDER, _Measure.VALUE),
    _Rule("orders_per_symbol", _Scope.SYMBOL, _Measure.ORDERS),
    _Rule("quantity_per_symbol", _Scope.SYMBOL, _Measure.QUANTITY),
    _Rule("value_per_symbol", _Scope.SYMBOL, _Measure.VALUE),
    _Rule("orders_per_day", _Scope.DAY, _Measure.ORDERS),
    _Rule("quantity_per_day", _Scope.DAY, _Measure.QUANTITY),
    _Rule("value_per_day", _Scope.DAY, _Measure.VALUE),
)

_HOW_TO_VALUE: Final = {
    Action.NEW: "give it a price, or its symbol an entry in OrderLimits(reference_prices=…)",
    Action.MODIFY: "the order it names is not one of this journal, so give the modify its quantity=",
}


def check_limits(
    limits: OrderLimits, request: OrderRequest, burden: Burden, *, day: Totals, symbol: Totals, client_order_id: str
) -> None:
    """Refuse what would exceed a limit.

    Args:
        limits: Of this client.
        request: What is to be sent.
        burden: What it counts.
        day: What was counted today.
        symbol: What was counted today for its symbol.
        client_order_id: For the text.

    Raises:
        LimitExceeded: Names the limit, its value and what is left.
    """
    totals = {_Scope.ORDER: Totals(), _Scope.DAY: day, _Scope.SYMBOL: symbol}
    for rule in _RULES:
        maximum: int | None = getattr(limits, rule.name)
        if maximum is None:
            continue
        used = totals[rule.scope]
        asked = _asked(rule, burden)
        if asked == 0 and rule.scope is not _Scope.ORDER:
            continue  # it adds nothing, so it cannot exceed anything
        if asked is None and rule.measure is _Measure.QUANTITY:
            continue  # a modify of all that is left cannot make an order larger
        spent: int | None = getattr(used, rule.measure.value)
        why = ""
        if asked is None:
            why = f"it cannot be valued: {_HOW_TO_VALUE[request.action]}"
        elif rule.measure is _Measure.VALUE and used.unvalued:
            spent = None
            why = (
                f"{used.unvalued} sends of today cannot be valued, because the client that made them has no limit on "
                "values; give every client of the journal the same OrderLimits, or go on tomorrow"
            )
        if asked is None or spent is None or spent + asked > maximum:
            raise LimitExceeded(
                rule.name, maximum=maximum, used=spent, asked=asked, client_order_id=client_order_id, explanation=why
            )


def _asked(rule: _Rule, burden: Burden) -> int | None:
    prefix = "whole_" if rule.scope is _Scope.ORDER else ""
    asked: int | None = getattr(burden, prefix + rule.measure.value)
    return asked


GIVEN_BACK: Final = frozenset({Delivery.REFUSED, Delivery.NOT_SENT, Delivery.NOT_ACCEPTED})
"""States in which a send is proven not to be on the book, so that it counts no longer."""

MAY_BE_RECOUNTED: Final = GIVEN_BACK | {Delivery.REVIVED, Delivery.DUPLICATE, Delivery.UNKNOWN}
"""States that an attempt can reach and that change whether it counts: what turns up after all counts again, and so does
what an operator calls unknown again."""


def is_counted(state: Delivery, *, is_weak: bool = False) -> bool:
    """Tell whether a send in this state counts. A weak proof of absence gives nothing back."""
    return state not in GIVEN_BACK or (state is Delivery.NOT_ACCEPTED and is_weak)


# ---------------------------------------------------------------- the kill switch


@frozen
class KillSwitchState:
    """What the kill switch of a journal was last told.

    Attributes:
        is_engaged: New orders and modifies are held; cancels go through.
        reason: In the words of whoever moved it; "" if nobody ever did.
        by: Who moved it.
        at: When; None if nobody ever did.
    """

    is_engaged: bool = False
    reason: str = ""
    by: str = ""
    at: datetime | None = None


def halted_text(client_order_id: str, state: KillSwitchState) -> str:
    """Say why an order was held, and how to go on."""
    since = "" if state.at is None else f" since {state.at:%Y-%m-%d %H:%M:%S}"
    return (
        f"Order {client_order_id!r} was not sent: the kill switch of this journal is engaged{since} by {state.by} "
        f"({state.reason}). Cancels go through. Release it with await client.kill_switch.release(reason=…) or with "
        "kiwoom-async resume JOURNAL --reason …; then you may call again with the same client_order_id."
    )
