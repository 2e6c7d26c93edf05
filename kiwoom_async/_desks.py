"""The order desks: arguments in, one checked request out. No logic of sending lives here."""

from __future__ import annotations

from datetime import date
from typing import Final

from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.validation import check_count, check_loan, check_quantity
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderType, Route, Side
from kiwoom_async._order_call import OrderCall
from kiwoom_async._order_form import Counter, OrderForm
from kiwoom_async.errors import ValidationError

__all__ = ["MAX_ATTEMPTS", "Counter", "CreditDesk", "OrderDesk"]

MAX_ATTEMPTS: Final = 2
"""Sends in all where `resend_within` allows a second one. Source: the promise of the product; see `resend_within`."""


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
            send under the same id. None: never send again. No proof is strong while an assumption behind it was seen
            not to hold: see `client.health()`.
        max_attempts: Sends in all, with `resend_within`.

    Raises:
        ValidationError: An argument is not allowed, or the client may not place live orders. Nothing was journaled,
            nothing was sent.
        LimitExceeded: It would exceed the client's `OrderLimits`; a ValidationError, and the id may be used again.
        ClientOrderIdConflict: The id belongs to another request.
        NotSent: No byte left, for example because the kill switch is engaged. You may call again with the same id.
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
        self._form = OrderForm(desk, counter)

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

        Source: kt10000, kt10006, kt50000.
        """
        request = self._form.new(Side.BUY, symbol, quantity, price, order_type, route, stop_price)
        return self._form.call(request, client_order_id, deadline, resend_within, max_attempts)

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
        request = self._form.new(Side.SELL, symbol, quantity, price, order_type, route, stop_price)
        return self._form.call(request, client_order_id, deadline, resend_within, max_attempts)

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

        Source: kt10002, kt10008, kt50002.
        """
        original = self._form.original(order, symbol, route)
        if original.number is None and not (isinstance(order, Order) and order.is_dry):
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
        return self._form.call(request, client_order_id, deadline, resend_within, max_attempts, original.objection)

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
        `NotSent`. A cancel that comes after the last fill is no error: the order it returns is FILLED. Where a modify
        may have taken the last of it instead, Kiwoom's refusal is raised: the order lives on under the modify's number.

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

        Source: kt10003, kt10009, kt50003.
        """
        original = self._form.original(order, symbol, route)
        request = original.to_request(
            Action.CANCEL, quantity=None if quantity is None else check_quantity(self._desk, quantity)
        )
        return self._form.call(request, client_order_id, deadline, resend_within, max_attempts, original.objection)


class CreditDesk:
    """Buy, sell, modify and cancel shares on credit (신용거래): the verbs of `OrderDesk`, with loans.

    Arguments, errors, delivery and cancellation are those of `OrderDesk`. A credit order is modified and canceled
    here, never at `client.stock`. While one of unknown outcome waits for the ledger, an order for cash with the same
    symbol, quantity and price is told apart by the ledger's own words; where it has none, neither is claimed.

    Attributes:
        buy: `OrderDesk.buy`, with a new loan (신용매수, 융자; kt10006).
        modify: `OrderDesk.modify`; the loans stay what they are (신용정정; kt10008).
        cancel: `OrderDesk.cancel` (신용취소; kt10009).
    """

    def __init__(self, counter: Counter) -> None:
        self._form = OrderForm(Desk.CREDIT, counter)
        # Not written down a second time: the same verbs, with the signatures and the words of the other desks.
        desk = OrderDesk(Desk.CREDIT, counter)
        self.buy: Final = desk.buy
        self.modify: Final = desk.modify
        self.cancel: Final = desk.cancel

    def sell(  # noqa: PLR0913 - an order has many fields, all but the first by name
        self,
        symbol: str,
        quantity: int,
        *,
        credit: CreditKind | str | None = None,
        loan_date: date | str | None = None,
        price: int | None = None,
        order_type: OrderType | str | None = None,
        route: Route | str | None = None,
        stop_price: int | None = None,
        client_order_id: str | None = None,
        deadline: float | None = None,
        resend_within: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> OrderCall:
        """Sell what was bought on credit, and repay the loan with it (신용매도).

        Args:
            symbol: See `OrderDesk.buy`, as for all that are not named here.
            quantity: Shares.
            credit: A `CreditKind` or its text: "loan" (융자) repays the one loan of `loan_date`, "all_loans" (융자합)
                the loans of the stock taken together. None: "loan" with a `loan_date`, "all_loans" without.
            loan_date: The day of the loan (대출일), a date or its text, "20261001" or "2026-10-01". None: no single
                loan is meant.
            price: KRW.
            order_type: See `OrderDesk.buy`.
            route: See `OrderDesk.buy`.
            stop_price: KRW.
            client_order_id: See `OrderDesk`, as for the following ones.
            deadline: Seconds.
            resend_within: Seconds.
            max_attempts: A count.

        Source: kt10007.
        """
        kind, day = check_loan(credit, loan_date)
        request = self._form.new(
            Side.SELL, symbol, quantity, price, order_type, route, stop_price, credit=kind, loan_date=day
        )
        return self._form.call(request, client_order_id, deadline, resend_within, max_attempts)
