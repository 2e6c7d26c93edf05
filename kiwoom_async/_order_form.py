"""From arguments to one checked request: what every order desk does before anything is journaled or sent."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import date
from typing import Any, TypeAlias

from attrs import frozen

from kiwoom_async._domain.ambient import Ambient, korean_day, new_identifier
from kiwoom_async._domain.intents import Intent, OrderRequest
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.validation import (
    check_attempts,
    check_client_order_id,
    check_order_number,
    check_order_type,
    check_prices,
    check_quantity,
    check_route,
    check_seconds,
    check_symbol,
)
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, Route, Side
from kiwoom_async._order_call import OrderCall
from kiwoom_async.errors import ValidationError

Check: TypeAlias = Callable[[Intent], ValidationError | None]
Place: TypeAlias = Callable[[Intent, float | None, bool, ValidationError | None], Coroutine[Any, Any, Order]]


@frozen
class Counter:
    """What every desk needs of its client.

    Attributes:
        place: Takes an intent, the deadline, whether its id is new, and an objection to sending it, which does not
            hold back the stored answer of an earlier call.
        check: Finds what the rules of the market say against an intent.
        is_dry: Nothing is sent, so orders that were not sent either can be modified and canceled.
    """

    ambient: Ambient
    environment: Environment
    account: str
    place: Place
    check: Check
    is_dry: bool = False


@frozen
class OrderForm:
    """The form that a desk fills in for a caller."""

    desk: Desk
    counter: Counter

    def new(  # noqa: PLR0913 - an order has many fields
        self,
        side: Side,
        symbol: object,
        quantity: object,
        price: object,
        order_type: object,
        route: object,
        stop_price: object,
        *,
        credit: CreditKind | None = None,
        loan_date: date | None = None,
    ) -> OrderRequest:
        """Check a new order; `credit` and `loan_date` are checked already."""
        chosen = check_order_type(self.desk, order_type, has_price=price is not None)
        checked_price, checked_stop = check_prices(chosen, price, stop_price)
        return OrderRequest(
            desk=self.desk,
            action=Action.NEW,
            symbol=check_symbol(self.desk, symbol),
            side=side,
            quantity=check_quantity(self.desk, quantity),
            price=checked_price,
            order_type=chosen,
            route=check_route(self.desk, route, self.counter.environment),
            stop_price=checked_stop,
            credit=credit,
            loan_date=loan_date,
        )

    def original(self, order: object, symbol: object, route: object) -> Original:
        """Find the order that a modify or a cancel names, an `Order` or a broker order number with its symbol."""
        if isinstance(order, Order):
            return self._original_of(order, symbol, route)
        number = check_order_number("order", order)
        if symbol is None:
            raise ValidationError(
                "symbol", symbol, "the code of the order's stock, because a broker order number is given"
            )
        return Original(
            self.desk,
            check_symbol(self.desk, symbol),
            None,
            check_route(self.desk, route, self.counter.environment),
            number,
            korean_day(self.counter.ambient.now()),
            None,
        )

    def _original_of(self, order: Order, symbol: object, route: object) -> Original:
        for name, value in (("symbol", symbol), ("route", route)):
            if value is not None:
                raise ValidationError(name, value, "None: the Order you gave knows it")
        if order.desk is not self.desk:
            raise ValidationError(
                "order",
                order.client_order_id,
                f"an order of client.{self.desk.value}; this one is of client.{order.desk.value}, give it there",
            )
        if order.is_dry and not self.counter.is_dry:
            raise ValidationError(
                "order", order.client_order_id, "an order that was sent; this one is of a dry run and not at the broker"
            )
        if order.account != self.counter.account:
            raise ValidationError("order", order.client_order_id, "an order of this client's own account")
        if order.action is Action.CANCEL:
            raise ValidationError(
                "order", order.client_order_id, "an order that can be in the book; this one is a cancel"
            )
        today: date = korean_day(self.counter.ambient.now())
        objection = None
        if order.broker_order_id is not None and order.day != today:
            allowed = f"an order of today ({today}); this number was valid on {order.day}"
            objection = ValidationError("order", order.client_order_id, allowed)
        return Original(
            self.desk,
            order.symbol,
            order.side,
            order.route,
            order.broker_order_id,
            order.day,
            order.client_order_id,
            objection,
        )

    def call(
        self,
        request: OrderRequest,
        client_order_id: str | None,
        deadline: float | None,
        resend_within: float | None,
        max_attempts: int,
        objection: ValidationError | None = None,
    ) -> OrderCall:
        """Hand a request over, under its client order id."""
        counter = self.counter
        is_fresh = client_order_id is None
        chosen = new_identifier(counter.ambient) if client_order_id is None else check_client_order_id(client_order_id)
        intent = Intent(
            client_order_id=chosen,
            account=counter.account,
            request=request,
            created_at=counter.ambient.now(),
            resend_within=check_seconds("resend_within", resend_within),
            max_attempts=check_attempts(max_attempts),
        )
        seconds = check_seconds("deadline", deadline)
        objection = objection or counter.check(intent)
        if is_fresh and objection is not None:
            raise objection
        return OrderCall(chosen, counter.place(intent, seconds, is_fresh, objection))


@frozen
class Original:
    """The order that a modify or cancel names."""

    desk: Desk
    symbol: str
    side: Side | None
    route: Route | None
    number: str | None
    day: date | None
    target: str | None
    objection: ValidationError | None = None

    def to_request(
        self, action: Action, *, quantity: int | None, price: int | None = None, stop_price: int | None = None
    ) -> OrderRequest:
        """Make the request that changes it."""
        return OrderRequest(
            desk=self.desk,
            action=action,
            symbol=self.symbol,
            side=self.side,
            quantity=quantity,
            price=price,
            route=self.route,
            stop_price=stop_price,
            original=self.number,
            original_day=None if self.number is None else self.day,
            target=self.target,
        )
