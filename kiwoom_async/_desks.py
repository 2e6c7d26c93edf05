"""The order desks: arguments in, one checked request out. No logic of sending lives here."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import date
from typing import Any, Final, TypeAlias

from attrs import frozen

from kiwoom_async._domain.ambient import Ambient, korean_day, new_identifier
from kiwoom_async._domain.intents import Intent, OrderRequest
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.validation import (
    check_attempts,
    check_client_order_id,
    check_count,
    check_order_number,
    check_order_type,
    check_prices,
    check_quantity,
    check_route,
    check_seconds,
    check_symbol,
)
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async._order_call import OrderCall
from kiwoom_async.errors import ConfigurationError, ValidationError

Place: TypeAlias = Callable[[Intent, float | None, bool, ValidationError | None], Coroutine[Any, Any, Order]]

MAX_ATTEMPTS: Final = 2
"""Sends in all where `resend_within` allows a second one. Source: the promise of the product; see `resend_within`."""


@frozen
class Counter:
    """What every desk needs of its client.

    Attributes:
        place: Takes an intent, the deadline, whether its id is new, and an objection to sending it, which does not
            hold back the stored answer of an earlier call.
    """

    ambient: Ambient
    environment: Environment
    account: str
    place: Place


class OrderDesk:
    """Buy, sell, modify and cancel one kind of product.

    Every verb returns an awaitable that also knows its `client_order_id` before it is awaited. All of them share:

    Args:
        client_order_id: Your idempotency key, 1 to 128 visible ASCII characters. The same id with the same request
            gives the same answer, for ever, and never a second order; with another request it is
            `ClientOrderIdConflict`. None: a time-ordered one is generated.
        deadline: Seconds you are willing to wait. After it `OutcomeUnknown` (or `NotSent`, if no byte has left) is
            raised, and the library goes on resolving. None: `Timing.default_deadline`.
        resend_within: Seconds since the first call within which a *strongly* proven absence is followed by another
            send under the same id. None: never send again.
        max_attempts: Sends in all, with `resend_within`.

    Raises:
        ValidationError: An argument is not allowed. Nothing was journaled, nothing was sent.
        ClientOrderIdConflict: The id belongs to another request.
        NotSent: No byte left. You may call again with the same id.
        OrderRefused: Kiwoom refused it; `.code` says why.
        InvalidRequest: Kiwoom did not understand it.
        AuthenticationError: Kiwoom refused the key or the token.
        OutcomeUnknown: It may be at the broker. Do not send it again under another id.
        OrderNotAccepted: It is proven absent; `.proof` is the evidence.
        JournalError: There is no durable record, so nothing was sent.

    Delivery: The intent is durable before the first byte leaves, and the answer before it is returned.

    Cancellation: Safe at any moment. Before the first byte it calls the order off; after it the library reads on, and
        the same id gives the answer later.
    """

    def __init__(self, desk: Desk, counter: Counter) -> None:
        self._desk = desk
        self._counter = counter

    def buy(  # noqa: PLR0913 - an order has many fields, all but the first by name
        self,
        symbol: str,
        quantity: int,
        *,
        price: int | None = None,
        order_type: OrderType | str | None = None,
        route: Route | str | None = None,
        stop_price: int | None = None,
        client_order_id: str | None = None,
        deadline: float | None = None,
        resend_within: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> OrderCall:
        """Buy (매수).

        Args:
            symbol: Code of the stock, "005930" or "A005930"; for gold "M04020000" or "M04020100".
            quantity: Shares, or grams of gold.
            price: KRW per share or gram. None: a market order, or a type that takes no price.
            order_type: An `OrderType` or its text. None: limit with a price, market without.
            route: "KRX", "NXT" or "SOR". None: KRX. Not for gold.
            stop_price: 스톱가 in KRW, for STOP_LIMIT only.
            client_order_id: See the class, as for the following ones.
            deadline: Seconds.
            resend_within: Seconds.
            max_attempts: A count.

        Source: kt10000, kt50000.
        """
        request = self._new(Side.BUY, symbol, quantity, price, order_type, route, stop_price)
        return self._call(request, client_order_id, deadline, resend_within, max_attempts)

    def sell(  # noqa: PLR0913 - an order has many fields, all but the first by name
        self,
        symbol: str,
        quantity: int,
        *,
        price: int | None = None,
        order_type: OrderType | str | None = None,
        route: Route | str | None = None,
        stop_price: int | None = None,
        client_order_id: str | None = None,
        deadline: float | None = None,
        resend_within: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> OrderCall:
        """Sell (매도). The arguments are those of `buy`.

        Source: kt10001, kt50001.
        """
        request = self._new(Side.SELL, symbol, quantity, price, order_type, route, stop_price)
        return self._call(request, client_order_id, deadline, resend_within, max_attempts)

    def modify(  # noqa: PLR0913 - an order has many fields, all but the first by name
        self,
        order: Order | str,
        *,
        price: int,
        quantity: int | None = None,
        stop_price: int | None = None,
        symbol: str | None = None,
        route: Route | str | None = None,
        client_order_id: str | None = None,
        deadline: float | None = None,
        resend_within: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> OrderCall:
        """Change the price of an order (정정). The order you get back has a new number, and is the order from then on.

        Args:
            order: An `Order`, or a broker order number of today together with `symbol` (and `route`, if not KRX).
            price: New price in KRW.
            quantity: How much of it; None means all that is left.
            stop_price: New stop price in KRW, for stop orders.
            symbol: Only with a broker order number.
            route: Only with a broker order number: the route of the original.
            client_order_id: See the class, as for the following ones.
            deadline: Seconds.
            resend_within: Seconds.
            max_attempts: A count.

        Source: kt10002, kt50002.
        """
        original = self._original(order, symbol, route)
        if original.number is None:
            raise ValidationError(
                "order",
                order,
                "an order whose number is known; this one is unknown so far, so cancel it instead",
            )
        if self._desk is Desk.GOLD and stop_price is not None:
            raise ValidationError("stop_price", stop_price, "None: gold has no stop orders")
        request = original.to_request(
            Action.MODIFY,
            quantity=None if quantity is None else check_quantity(self._desk, quantity),
            price=check_count("price", price, unit="KRW"),
            stop_price=None if stop_price is None else check_count("stop_price", stop_price, unit="KRW"),
        )
        return self._call(request, client_order_id, deadline, resend_within, max_attempts, original.objection)

    def cancel(
        self,
        order: Order | str,
        *,
        quantity: int | None = None,
        symbol: str | None = None,
        route: Route | str | None = None,
        client_order_id: str | None = None,
        deadline: float | None = None,
        resend_within: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> OrderCall:
        """Cancel an order (취소), or a part of it.

        An order whose outcome is unknown can be canceled, too (take it from `client.orders.get`): the cancel is
        recorded durably and sent when the order is found; if the order turns out not to be there, it ends as
        `NotSent`. A cancel that comes after the last fill is no error: the order it returns is FILLED.

        Args:
            order: An `Order`, or a broker order number of today together with `symbol` (and `route`, if not KRX).
            quantity: How much of it; None means all that is left.
            symbol: Only with a broker order number.
            route: Only with a broker order number: the route of the original, which a cancel must name.
            client_order_id: See the class, as for the following ones.
            deadline: Seconds.
            resend_within: Seconds. A full cancel of unknown outcome is sent again in any case: twice is the same as
                once.
            max_attempts: A count.

        Source: kt10003, kt50003.
        """
        original = self._original(order, symbol, route)
        request = original.to_request(
            Action.CANCEL, quantity=None if quantity is None else check_quantity(self._desk, quantity)
        )
        return self._call(request, client_order_id, deadline, resend_within, max_attempts, original.objection)

    def _new(
        self,
        side: Side,
        symbol: object,
        quantity: object,
        price: object,
        order_type: object,
        route: object,
        stop_price: object,
    ) -> OrderRequest:
        chosen = check_order_type(self._desk, order_type, has_price=price is not None)
        checked_price, checked_stop = check_prices(chosen, price, stop_price)
        return OrderRequest(
            desk=self._desk,
            action=Action.NEW,
            symbol=check_symbol(self._desk, symbol),
            side=side,
            quantity=check_quantity(self._desk, quantity),
            price=checked_price,
            order_type=chosen,
            route=check_route(self._desk, route, self._counter.environment),
            stop_price=checked_stop,
        )

    def _original(self, order: object, symbol: object, route: object) -> _Original:
        if isinstance(order, Order):
            return self._original_of(order, symbol, route)
        number = check_order_number("order", order)
        if symbol is None:
            raise ValidationError(
                "symbol", symbol, "the code of the order's stock, because a broker order number is given"
            )
        return _Original(
            self._desk,
            check_symbol(self._desk, symbol),
            None,
            check_route(self._desk, route, self._counter.environment),
            number,
            korean_day(self._counter.ambient.now()),
            None,
        )

    def _original_of(self, order: Order, symbol: object, route: object) -> _Original:
        for name, value in (("symbol", symbol), ("route", route)):
            if value is not None:
                raise ValidationError(name, value, "None: the Order you gave knows it")
        if order.desk is not self._desk:
            raise ValidationError(
                "order",
                order.client_order_id,
                f"an order of the {self._desk.value} desk; this one is {order.desk.value}",
            )
        if order.account != self._counter.account:
            raise ValidationError("order", order.client_order_id, "an order of this client's own account")
        if order.action is Action.CANCEL:
            raise ValidationError(
                "order", order.client_order_id, "an order that can be in the book; this one is a cancel"
            )
        today: date = korean_day(self._counter.ambient.now())
        objection = None
        if order.broker_order_id is not None and order.day != today:
            allowed = f"an order of today ({today}); this number was valid on {order.day}"
            objection = ValidationError("order", order.client_order_id, allowed)
        return _Original(
            self._desk,
            order.symbol,
            order.side,
            order.route,
            order.broker_order_id,
            order.day,
            order.client_order_id,
            objection,
        )

    def _call(
        self,
        request: OrderRequest,
        client_order_id: str | None,
        deadline: float | None,
        resend_within: float | None,
        max_attempts: int,
        objection: ValidationError | None = None,
    ) -> OrderCall:
        counter = self._counter
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
        if is_fresh and objection is not None:
            raise objection
        return OrderCall(chosen, counter.place(intent, seconds, is_fresh, objection))


@frozen
class _Original:
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


class ClosedDesk:
    """A desk that this release does not serve yet."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, verb: str) -> Any:
        if verb in {"buy", "sell", "modify", "cancel"}:
            raise ConfigurationError(f"client.{self._name}.{verb} is not part of this release; nothing was sent.")
        raise AttributeError(verb)
