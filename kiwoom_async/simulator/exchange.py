"""The exchange: order books with price-time priority, order numbers, fills, the end of the day.

Pure: no I/O, no clock (`now` is an argument), chance only from the generator it is given. It takes requests
that `rejections.py` has let pass; a request that cannot be carried out is a `ValueError`, the mistake of the
caller.

The market around our account is a single market maker who trades any quantity at the last price of a symbol.
A plain limit order rests unless the liquidity says otherwise, because most tests want an order that stays
open.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum, StrEnum, auto, unique
from typing import Final

from attrs import define, field, frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, Side
from kiwoom_async.simulator.chance import Generator
from kiwoom_async.simulator.ledger import Ledger
from kiwoom_async.simulator.orders import BookOrder, Fill, Instant, OrderRequest

DEFAULT_PRICES: Final[Mapping[Desk, int]] = {Desk.STOCK: 70_000, Desk.CREDIT: 70_000, Desk.GOLD: 180_000}
"""Where a symbol trades before anybody has named a price for it. Our choice."""

LARGEST_NUMBER: Final = 9_999_999
LARGEST_GAP: Final = 5
"""Other accounts take fewer numbers than this between two of ours. Our choice; on the mock, 8 to 800."""


@unique
class LimitFill(StrEnum):
    """What becomes of a plain limit order that meets nobody in the book."""

    REST = "rest"
    MARKETABLE = "marketable"  # trades with the market maker when its price reaches the last price
    ALWAYS = "always"  # trades with the market maker at its own price


@frozen
class Liquidity:
    """How willingly the market trades.

    Attributes:
        limit_orders: What happens to plain limit orders.
        probability: Share of the limit orders (not resting ones) that trade; drawn from the seed.
        after: Seconds until such an order trades.
        in_parts: Such an order trades in two fills.
        market_maker: Whether market orders find a counterparty outside of the book.
    """

    limit_orders: LimitFill = LimitFill.REST
    probability: float = 1.0
    after: float = 0.0
    in_parts: bool = False
    market_maker: bool = True


class _Pricing(Enum):
    """Where the limit of an order comes from."""

    OWN = auto()
    NONE = auto()
    OPPOSITE_BEST = auto()
    OWN_BEST = auto()
    LAST = auto()


class _Rest(Enum):
    """What happens to the part that does not trade at once."""

    STAYS = auto()
    CANCELED = auto()
    ALL_OR_NONE = auto()


@frozen
class _Behavior:
    pricing: _Pricing
    rest: _Rest = _Rest.STAYS
    meets_market_maker: bool = True


_BEHAVIORS: Final[Mapping[OrderType, _Behavior]] = {
    OrderType.LIMIT: _Behavior(_Pricing.OWN, meets_market_maker=False),
    OrderType.CONDITIONAL_LIMIT: _Behavior(_Pricing.OWN, meets_market_maker=False),
    OrderType.STOP_LIMIT: _Behavior(_Pricing.OWN, meets_market_maker=False),
    OrderType.AFTER_HOURS_SINGLE: _Behavior(_Pricing.OWN, meets_market_maker=False),
    OrderType.PRE_MARKET_CLOSE: _Behavior(_Pricing.LAST, meets_market_maker=False),
    OrderType.POST_MARKET_CLOSE: _Behavior(_Pricing.LAST, meets_market_maker=False),
    OrderType.PRIORITY_LIMIT: _Behavior(_Pricing.OWN_BEST, meets_market_maker=False),
    OrderType.MIDPOINT: _Behavior(_Pricing.LAST, meets_market_maker=False),
    OrderType.MARKET: _Behavior(_Pricing.NONE),
    OrderType.BEST_LIMIT: _Behavior(_Pricing.OPPOSITE_BEST),
    OrderType.LIMIT_IOC: _Behavior(_Pricing.OWN, _Rest.CANCELED),
    OrderType.MARKET_IOC: _Behavior(_Pricing.NONE, _Rest.CANCELED),
    OrderType.BEST_LIMIT_IOC: _Behavior(_Pricing.OPPOSITE_BEST, _Rest.CANCELED),
    OrderType.MIDPOINT_IOC: _Behavior(_Pricing.LAST, _Rest.CANCELED),
    OrderType.LIMIT_FOK: _Behavior(_Pricing.OWN, _Rest.ALL_OR_NONE),
    OrderType.MARKET_FOK: _Behavior(_Pricing.NONE, _Rest.ALL_OR_NONE),
    OrderType.BEST_LIMIT_FOK: _Behavior(_Pricing.OPPOSITE_BEST, _Rest.ALL_OR_NONE),
    OrderType.MIDPOINT_FOK: _Behavior(_Pricing.LAST, _Rest.ALL_OR_NONE),
}

_OPPOSITE: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def _is_reached(side: Side, limit: int | None, price: int) -> bool:
    """Whether an order with this limit may trade at a price."""
    return limit is None or (price <= limit if side is Side.BUY else price >= limit)


@define
class _Queue:
    """One side of a book: the best price first, within a price the oldest first."""

    side: Side
    places: list[tuple[int, int, str]] = field(factory=list)
    keys: dict[str, tuple[int, int, str]] = field(factory=dict)

    def join(self, number: str, price: int, turn: int) -> None:
        key = (-price if self.side is Side.BUY else price, turn, number)
        insort(self.places, key)
        self.keys[number] = key

    def leave(self, number: str) -> None:
        key = self.keys.pop(number, None)
        if key is not None:
            del self.places[bisect_left(self.places, key)]

    def price_of(self, place: tuple[int, int, str]) -> int:
        return -place[0] if self.side is Side.BUY else place[0]

    def best(self) -> int | None:
        return self.price_of(self.places[0]) if self.places else None


@define
class _Book:
    """The book of one symbol, with the stop orders that wait beside it."""

    last: int
    queues: dict[Side, _Queue] = field(factory=lambda: {side: _Queue(side) for side in Side})
    armed: list[str] = field(factory=list)


@define(eq=False)
class Exchange:
    """All books of the broker.

    Attributes:
        day: The trading day that is open.
        random: The generator of the simulator.
        lag: Draws how many seconds later the views show an order.
        prices: Symbols with a known price; the daily band is checked for these only.
    """

    day: date
    random: Generator
    liquidity: Liquidity = Liquidity()
    lag: Callable[[], float] = float
    prices: dict[str, int] = field(factory=dict)
    ledger: Ledger = field(factory=Ledger)
    fills: list[Fill] = field(factory=list)
    _books: dict[str, _Book] = field(factory=dict)
    _due: list[tuple[float, int, str, int]] = field(factory=list)
    _turn: int = 0
    _last_number: int = 0
    _last_execution: int = 0

    def place(self, request: OrderRequest, now: Instant, number: str | None = None) -> BookOrder:
        """Accept a new order and trade what can be traded; without a number it gets the next one."""
        if request.side is None or request.quantity is None:
            raise ValueError("A new order needs a side and a quantity.")
        hint = request.price
        if request.stop_price and request.order_type is OrderType.STOP_LIMIT:
            # Where nobody knows the price, a stop order is taken to be out of reach.
            hint = request.stop_price + (-1 if request.side is Side.BUY else 1)
        book = self._book(request.symbol, request.desk, hint)
        number = number or self.next_number()
        order = self._admit(request, now, number, request.side, request.quantity)
        if order.order_type is OrderType.STOP_LIMIT:
            self._change(number, now, is_armed=True)
            book.armed.append(number)
        else:
            self._work(number, now)
        self._fire_stops(book, now)
        return self.get(number)

    def modify(self, request: OrderRequest, now: Instant) -> BookOrder:
        """Move the rest of an order, or a part of it, to a new price under a new number."""
        parent = self.get(request.original or "")
        moved = request.quantity or parent.leaves_quantity
        if not 0 < moved <= parent.leaves_quantity:
            raise ValueError(f"Order {parent.broker_order_id} has {parent.leaves_quantity} left, not {moved}.")
        number = self.next_number()
        self._admit(request, now, number, parent.side, moved, parent=parent)
        self._change(number, now, confirmed_quantity=moved)
        self._take_away(parent, moved, now, Action.MODIFY)
        book = self._books[parent.symbol]
        if parent.is_armed:
            self._change(number, now, is_armed=True)
            book.armed.append(number)
        else:
            self._work(number, now)
        self._fire_stops(book, now)
        return self.get(number)

    def cancel(self, request: OrderRequest, now: Instant) -> BookOrder:
        """Cancel the rest of an order, or a part of it. The cancel is a row of its own."""
        parent = self.get(request.original or "")
        if not parent.leaves_quantity:
            raise ValueError(f"Order {parent.broker_order_id} has nothing left.")
        asked = request.quantity or parent.leaves_quantity
        taken = min(asked, parent.leaves_quantity)
        number = self.next_number()
        self._admit(request, now, number, parent.side, asked, parent=parent)
        self._change(number, now, leaves_quantity=0, confirmed_quantity=taken, status=OrderStatus.CANCELED)
        self._take_away(parent, taken, now, Action.CANCEL)
        return self.get(number)

    def carry_out(self, request: OrderRequest, now: Instant) -> BookOrder:
        """Do what a request asks."""
        if request.action is Action.NEW:
            return self.place(request, now)
        return self.modify(request, now) if request.action is Action.MODIFY else self.cancel(request, now)

    def fill(self, number: str, quantity: int | None, price: int | None, now: Instant) -> BookOrder:
        """Let a stranger trade with a working order.

        Args:
            number: An order of today.
            quantity: None: all that is left.
            price: None: the price the order works with.
            now: The moment of the trade.

        Raises:
            ValueError: There is no such order, or less of it is left.
        """
        order = self.get(number)
        traded = order.leaves_quantity if quantity is None else quantity
        if not 0 < traded <= order.leaves_quantity:
            raise ValueError(f"Order {number} has {order.leaves_quantity} left; it cannot trade {traded}.")
        book = self._books[order.symbol]
        self._execute(number, traded, price or order.working_price or book.last, now)
        self._fire_stops(book, now)
        return self.get(number)

    def refuse(self, number: str, reason: str, now: Instant) -> BookOrder:
        """Refuse what is left of an order that was accepted.

        Raises:
            ValueError: There is no such order today, or nothing of it is left.
        """
        order = self.get(number)
        if not order.leaves_quantity:
            raise ValueError(f"Order {number} has nothing left to refuse.")
        self._withdraw(order)
        return self._change(number, now, leaves_quantity=0, is_armed=False, status=OrderStatus.REFUSED, refusal=reason)

    def move_price(self, symbol: str, price: int, now: Instant, desk: Desk = Desk.STOCK) -> None:
        """Let the market trade a symbol at a price; stops fire.

        Limit orders that it reaches trade where the liquidity says so.
        """
        book = self._book(symbol, desk, price)
        book.last = price
        if self.liquidity.limit_orders is LimitFill.MARKETABLE:
            for queue in book.queues.values():
                for place in list(queue.places):
                    if _is_reached(queue.side, queue.price_of(place), price):
                        self._execute(place[2], self.get(place[2]).leaves_quantity, price, now)
        self._fire_stops(book, now)

    def settle(self, now: Instant) -> None:
        """Carry out the fills whose time has come."""
        while self._due and self._due[0][0] <= now.tick:
            tick, _, number, quantity = heapq.heappop(self._due)
            order = self.ledger.find(self.day, number)
            if order is not None and order.leaves_quantity:
                traded = min(quantity, order.leaves_quantity)
                self.fill(number, traded, None, Instant(now.at, tick))

    def open_day(self, day: date, now: Instant) -> None:
        """End the open day and begin another: what still works expires, the numbers restart low."""
        self.settle(now)
        for order in list(self.ledger.of_day(self.day)):
            if not order.is_working:
                continue
            if order.order_type is OrderType.CONDITIONAL_LIMIT and self.liquidity.market_maker:
                # 조건부지정가 becomes a market order in the closing auction.
                self._execute(order.broker_order_id, order.leaves_quantity, self._books[order.symbol].last, now)
            else:
                self._change(order.broker_order_id, now, leaves_quantity=0, is_armed=False, status=OrderStatus.EXPIRED)
        for book in self._books.values():
            book.queues = {side: _Queue(side) for side in Side}
            book.armed.clear()
        self._due.clear()
        self.day = day
        self._last_number = self._last_execution = 0

    def get(self, number: str) -> BookOrder:
        """Give an order of today as it is now.

        Raises:
            ValueError: There is none with that number.
        """
        order = self.ledger.find(self.day, number)
        if order is None:
            raise ValueError(f"There is no order {number} on {self.day}.")
        return order

    def next_number(self, strangers: int | None = None) -> str:
        """Draw the next order number; the numbers in between belong to other accounts."""
        skipped = self.random.randrange(LARGEST_GAP) if strangers is None else strangers
        self._last_number += 1 + skipped
        if self._last_number > LARGEST_NUMBER:
            raise ValueError("The order numbers of the day are used up; advance the day.")
        return f"{self._last_number:07d}"

    def skipped_number(self, below: str) -> str | None:
        """Give the largest number of today that was skipped below one; None if there is none."""
        # Another day's list may have gone further than today's numbers: what is not drawn yet was not skipped.
        highest = min(int(below) - 1, self._last_number)
        free = (f"{number:07d}" for number in range(highest, 0, -1))
        return next((number for number in free if self.ledger.find(self.day, number) is None), None)

    def skip_numbers(self, count: int) -> None:
        """Let other accounts take order numbers."""
        self._last_number += count

    def last_price(self, symbol: str, desk: Desk = Desk.STOCK) -> int:
        """Give the price a symbol traded at last."""
        book = self._books.get(symbol)
        return book.last if book else self.prices.get(symbol, DEFAULT_PRICES[desk])

    def _book(self, symbol: str, desk: Desk, price: int | None) -> _Book:
        book = self._books.get(symbol)
        if book is None:
            # A symbol without a known price trades around the first price that somebody names.
            book = self._books[symbol] = _Book(self.prices.get(symbol) or price or DEFAULT_PRICES[desk])
        return book

    def _admit(
        self,
        request: OrderRequest,
        now: Instant,
        number: str,
        side: Side,
        quantity: int,
        parent: BookOrder | None = None,
    ) -> BookOrder:
        is_modify = request.action is Action.MODIFY
        order = BookOrder(
            day=self.day,
            broker_order_id=number,
            action=request.action,
            desk=request.desk,
            symbol=request.symbol,
            side=side,
            quantity=quantity,
            price=request.price,
            order_type=parent.order_type if parent else request.order_type,
            route=parent.route if parent else request.route,
            stop_price=request.stop_price or (parent.stop_price if parent and is_modify else None),
            original=parent.broker_order_id if parent else None,
            root=parent.root if parent else number,
            channel=request.channel,
            accepted_at=now.at,
            accepted_tick=now.tick,
            filled_quantity=0,
            leaves_quantity=quantity,
            confirmed_quantity=0,
            status=OrderStatus.WORKING,
            idempotency_key=request.idempotency_key,
            confirmed_at=now.at if parent else None,
            is_foreign=request.is_foreign,
            loan_date=parent.loan_date if parent else request.loan_date,
        )
        self.ledger.add(order, now, self.lag())
        return order

    def _change(self, number: str, now: Instant, *, taken_by: Action | None = None, **changes: object) -> BookOrder:
        return self.ledger.change(self.day, number, now, taken_by=taken_by, **changes)

    def _take_away(self, order: BookOrder, quantity: int, now: Instant, taken_by: Action) -> None:
        """Remove a part of an order that a modify or a cancel has consumed; what stays keeps its turn."""
        left = order.leaves_quantity - quantity
        if left:
            self._change(order.broker_order_id, now, taken_by=taken_by, leaves_quantity=left)
            return
        self._withdraw(order)
        self._change(
            order.broker_order_id,
            now,
            taken_by=taken_by,
            leaves_quantity=0,
            is_armed=False,
            status=OrderStatus.CANCELED,
        )

    def _withdraw(self, order: BookOrder) -> None:
        book = self._books[order.symbol]
        book.queues[order.side].leave(order.broker_order_id)
        if order.broker_order_id in book.armed:
            book.armed.remove(order.broker_order_id)

    def _limit(self, order: BookOrder, book: _Book) -> int | None:
        """Find the limit an order works with; None: any price."""
        pricing = _BEHAVIORS[order.order_type].pricing
        if pricing is _Pricing.OWN or order.price:
            return order.price
        if pricing is _Pricing.NONE:
            return None
        if pricing is _Pricing.LAST:
            return book.last
        side = order.side if pricing is _Pricing.OWN_BEST else _OPPOSITE[order.side]
        return book.queues[side].best() or book.last

    def _work(self, number: str, now: Instant) -> None:
        """Trade what can be traded at once; then the rest stays, or goes, as the type says."""
        order = self.get(number)
        book = self._books[order.symbol]
        behavior = _BEHAVIORS[order.order_type]
        limit = self._limit(order, book)
        order = self._change(number, now, working_price=limit)
        outside = self._outside_price(order, behavior, limit, book)
        is_all_or_none = behavior.rest is _Rest.ALL_OR_NONE and outside is None
        if is_all_or_none and self._available(order, limit, book) < order.leaves_quantity:
            self._change(number, now, leaves_quantity=0, status=OrderStatus.CANCELED)
            return
        self._cross(order, limit, outside, book, now)
        order = self.get(number)
        if order.leaves_quantity and outside is not None:
            order = self._execute(number, order.leaves_quantity, outside, now)
        if not order.leaves_quantity:
            return
        if behavior.rest is not _Rest.STAYS:
            self._change(number, now, leaves_quantity=0, status=OrderStatus.CANCELED)
            return
        self._rest(order, limit, book, now)

    def _outside_price(self, order: BookOrder, behavior: _Behavior, limit: int | None, book: _Book) -> int | None:
        """Find the price at which the market maker takes the order at once; None if he does not."""
        if behavior.meets_market_maker and self.liquidity.market_maker and _is_reached(order.side, limit, book.last):
            return book.last
        return None

    def _available(self, order: BookOrder, limit: int | None, book: _Book) -> int:
        queue = book.queues[_OPPOSITE[order.side]]
        reached = (place for place in queue.places if _is_reached(order.side, limit, queue.price_of(place)))
        return sum(self.get(place[2]).leaves_quantity for place in reached)

    def _cross(self, order: BookOrder, limit: int | None, outside: int | None, book: _Book, now: Instant) -> None:
        """Trade with the orders in the book that are at least as good as the market maker."""
        queue = book.queues[_OPPOSITE[order.side]]
        bound = limit if outside is None else outside
        left = order.leaves_quantity
        while left and queue.places:
            place = queue.places[0]
            price = queue.price_of(place)
            if not _is_reached(order.side, bound, price):
                return
            traded = min(left, self.get(place[2]).leaves_quantity)
            self._execute(place[2], traded, price, now)
            self._execute(order.broker_order_id, traded, price, now)
            left -= traded

    def _rest(self, order: BookOrder, limit: int | None, book: _Book, now: Instant) -> None:
        """Put the rest of an order into the book, or let it trade as the liquidity says."""
        number = order.broker_order_id
        price = book.last if limit is None else limit
        self._turn += 1
        book.queues[order.side].join(number, price, self._turn)
        self._change(number, now, working_price=price)
        mode = self.liquidity.limit_orders
        if mode is LimitFill.REST or self.random.random() >= self.liquidity.probability:
            return
        if mode is LimitFill.MARKETABLE and not _is_reached(order.side, price, book.last):
            return
        left = order.leaves_quantity
        first = self.random.randrange(1, left) if self.liquidity.in_parts and left > 1 else left
        for part in filter(None, (first, left - first)):
            if self.liquidity.after > 0:
                heapq.heappush(self._due, (now.tick + self.liquidity.after, self._turn, number, part))
            else:
                self._execute(number, part, price, now)

    def _execute(self, number: str, quantity: int, price: int, now: Instant) -> BookOrder:
        order = self.get(number)
        self._last_execution += 1 + self.random.randrange(LARGEST_GAP)
        execution_id = str(self._last_execution)
        left = order.leaves_quantity - quantity
        # Before the change: whoever hears of it finds the market as the trade has left it.
        self.fills.append(Fill(self.day, number, execution_id, order.symbol, order.side, quantity, price, now.at))
        self._books[order.symbol].last = price
        if not left:
            self._withdraw(order)
        return self._change(
            number,
            now,
            filled_quantity=order.filled_quantity + quantity,
            filled_amount=order.filled_amount + quantity * price,
            leaves_quantity=left,
            filled_at=now.at,
            execution_id=execution_id,
            is_armed=False,
            status=OrderStatus.PARTIALLY_FILLED if left else OrderStatus.FILLED,
        )

    def _fire_stops(self, book: _Book, now: Instant) -> None:
        """Send the stop orders whose stop the last price has reached to the book, the oldest first."""
        while True:
            reached = (number for number in book.armed if self._is_stop_reached(self.get(number), book.last))
            number = next(reached, None)
            if number is None:
                return
            book.armed.remove(number)
            self._change(number, now, is_armed=False)
            self._work(number, now)

    @staticmethod
    def _is_stop_reached(order: BookOrder, last: int) -> bool:
        stop = order.stop_price or 0
        return last >= stop if order.side is Side.BUY else last <= stop
