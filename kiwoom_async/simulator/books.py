"""What the account holds and what it may spend, told from the fills and the funds it began with.

Pure. As every view it is asked as of a moment: an order that the views do not show yet has bought nothing yet. Our
choices where the real rules are not known or not needed: nothing costs a commission or a tax; a trade is settled two
days of the simulator's calendar later; a purchase on credit takes its full worth from the cash, as the check of orders
does; gold and stocks are paid from one purse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final, Self

from attrs import define, evolve, frozen

from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, Desk, Side
from kiwoom_async.simulator.exchange import Exchange
from kiwoom_async.simulator.loans import loans_left
from kiwoom_async.simulator.orders import BookOrder, Fill, Flavour, Instant
from kiwoom_async.simulator.rejections import Funds

LIMITLESS_CASH: Final = 100_000_000_000
"""Won that an account without a limit is said to begin with. Our choice: twelve digits, the widest amount of a view."""
SETTLEMENT: Final = 2
"""Days from a trade to its settlement."""


@frozen
class Position:
    """What the account holds of one symbol: for cash, or of one loan.

    Attributes:
        loan_date: The day of the loan; None for cash.
        sellable: What no open order offers.
        settled: What is paid.
        cost: Won paid for what is still there.
        realized: Won that today's sales brought beyond the cost of what was sold.
    """

    symbol: str
    desk: Desk
    loan_date: date | None
    quantity: int
    sellable: int
    settled: int
    cost: Fraction
    bought_today: int = 0
    sold_today: int = 0
    bought_yesterday: int = 0
    sold_yesterday: int = 0
    realized: Fraction = Fraction(0)

    def merged(self, other: Position) -> Position:
        """Add another position of the same symbol."""
        return evolve(
            self,
            loan_date=None,
            quantity=self.quantity + other.quantity,
            sellable=self.sellable + other.sellable,
            settled=self.settled + other.settled,
            cost=self.cost + other.cost,
            bought_today=self.bought_today + other.bought_today,
            sold_today=self.sold_today + other.sold_today,
            bought_yesterday=self.bought_yesterday + other.bought_yesterday,
            sold_yesterday=self.sold_yesterday + other.sold_yesterday,
            realized=self.realized + other.realized,
        )


@frozen
class Cash:
    """The money of the account, in won.

    Attributes:
        deposit: What is settled.
        in_1_day, in_2_days: What will be, by what has been traded.
        orderable: What open purchases have not reserved.
        bought, sold: Worth of the trades that are settled in so many days.
    """

    deposit: int
    in_1_day: int
    in_2_days: int
    orderable: int
    bought: Mapping[int, int]
    sold: Mapping[int, int]

    @property
    def withdrawable(self) -> int:
        """What may leave the account today."""
        return max(0, min(self.deposit, self.in_2_days, self.orderable))

    @property
    def margin(self) -> int:
        """What orders and unsettled purchases hold of the deposit."""
        return max(0, self.deposit - self.orderable)


@define
class _Tally:
    """Units and their cost while fills are counted; a sale takes them at their average."""

    quantity: int = 0
    cost: Fraction = Fraction(0)
    realized: Fraction = Fraction(0)

    def count(self, fill: Fill, *, is_today: bool) -> None:
        if fill.side is Side.BUY:
            self.quantity += fill.quantity
            self.cost += fill.quantity * fill.price
            return
        # An account without a limit sells what it never bought; that leaves nothing behind.
        sold = min(fill.quantity, self.quantity)
        if sold:
            part = self.cost * sold / self.quantity
            self.quantity -= sold
            self.cost -= part
            if is_today:
                self.realized += sold * fill.price - part


@frozen
class Books:
    """The book of the account at one moment.

    Attributes:
        at: The moment, by the broker's clock.
        orders: Of every day, as the views show them, in the order of acceptance.
        fills: What these orders have traded, in the order of the trades.
    """

    flavour: Flavour
    exchange: Exchange
    funds: Funds
    at: datetime
    orders: tuple[BookOrder, ...]
    fills: tuple[Fill, ...]

    @classmethod
    def opened(cls, flavour: Flavour, exchange: Exchange, funds: Funds, now: Instant, *, age: float = 0.0) -> Self:
        """Look at the book as the views show it, or showed it so many seconds ago."""
        seen = (entry.seen_at(now.tick - age) for entry in exchange.ledger.accepted)
        orders = tuple(order for order in seen if order is not None)
        shown = {(order.day, order.broker_order_id): order.filled_quantity for order in orders}
        fills = []
        for fill in exchange.fills:
            key = fill.day, fill.broker_order_id
            if shown.get(key, 0):
                # The views show the fills of an order in the order they happened, and each of them whole.
                shown[key] -= fill.quantity
                fills.append(fill)
        return cls(flavour, exchange, funds, now.at, orders, tuple(fills))

    @property
    def day(self) -> date:
        """The trading day that is open."""
        return self.exchange.day

    def base_price(self, symbol: str) -> int:
        """Give the price the daily band is measured from; for a symbol without a known one the last price."""
        return self.exchange.prices.get(symbol) or self.last_price(symbol)

    def last_price(self, symbol: str) -> int:
        """Give the price a symbol traded at last."""
        return self.exchange.last_price(symbol, Desk.GOLD if symbol in GOLD_SYMBOLS else Desk.STOCK)

    def worth(self, position: Position) -> int:
        """Evaluate a position at the last price."""
        return position.quantity * self.last_price(position.symbol)

    def cash(self) -> Cash:
        """Count the money."""
        start = LIMITLESS_CASH if self.funds.cash is None else self.funds.cash
        bought, sold = dict.fromkeys(range(SETTLEMENT + 1), 0), dict.fromkeys(range(SETTLEMENT + 1), 0)
        for fill in self.fills:
            due = max(0, SETTLEMENT - (self.day - fill.day).days)
            (bought if fill.side is Side.BUY else sold)[due] += fill.quantity * fill.price
        flow = [sum(sold[due] - bought[due] for due in range(until + 1)) for until in range(SETTLEMENT + 1)]
        reserved = sum(
            order.leaves_quantity * (order.price or order.working_price or 0)
            for order in self.orders
            if order.day == self.day and order.side is Side.BUY
        )
        orderable = max(0, start + flow[SETTLEMENT] - reserved)
        return Cash(start + flow[0], start + flow[1], start + flow[2], orderable, bought, sold)

    def positions(self, *, is_gold: bool) -> list[Position]:
        """List what is held of gold, or of everything else: the cash positions and each loan, by symbol."""
        start = {symbol for held in (self.funds.holdings, self.funds.loans) for symbol in held or {}}
        symbols = sorted({fill.symbol for fill in self.fills} | start)
        wanted = [symbol for symbol in symbols if (symbol in GOLD_SYMBOLS) is is_gold]
        found = [part for symbol in wanted for part in (self._paid(symbol), *self._lent(symbol))]
        return [position for position in found if position.quantity]

    def _paid(self, symbol: str) -> Position:
        desk = Desk.GOLD if symbol in GOLD_SYMBOLS else Desk.STOCK
        orders = [order for order in self.orders if order.symbol == symbol and order.desk is desk]
        fills = self._fills_of(orders)
        units = (self.funds.holdings or {}).get(symbol, 0)
        tally = _Tally(units, Fraction(units * self.base_price(symbol)))
        for fill in fills:
            tally.count(fill, is_today=fill.day == self.day)
        offered = sum(order.leaves_quantity for order in orders if order.side is Side.SELL and order.day == self.day)
        signed = [fill.quantity * (1 if fill.side is Side.BUY else -1) for fill in fills if self._is_settled(fill)]
        position = Position(
            symbol,
            desk,
            None,
            tally.quantity,
            max(0, tally.quantity - offered),
            max(0, units + sum(signed)),
            tally.cost,
            realized=tally.realized,
        )
        return self._with_trades(position, fills)

    def _lent(self, symbol: str) -> list[Position]:
        orders = [order for order in self.orders if order.symbol == symbol and order.desk is Desk.CREDIT]
        start = (self.funds.loans or {}).get(symbol, {})
        held = loans_left(start, (evolve(order, leaves_quantity=0) for order in orders))
        sellable = loans_left(start, orders)
        positions = []
        for day in sorted(held):
            fills = [fill for fill in self._fills_of(orders) if fill.day == day and fill.side is Side.BUY]
            units, cost = start.get(day, 0), Fraction(start.get(day, 0) * self.base_price(symbol))
            units += sum(fill.quantity for fill in fills)
            cost += sum(fill.quantity * fill.price for fill in fills)
            settled = held[day] if day + timedelta(SETTLEMENT) <= self.day or day in start else 0
            left = cost * held[day] / units if units else Fraction(0)
            position = Position(symbol, Desk.CREDIT, day, held[day], sellable[day], settled, left)
            positions.append(self._with_trades(position, fills))
        return positions

    def _fills_of(self, orders: Iterable[BookOrder]) -> list[Fill]:
        keys = {(order.day, order.broker_order_id) for order in orders}
        return [fill for fill in self.fills if (fill.day, fill.broker_order_id) in keys]

    def _is_settled(self, fill: Fill) -> bool:
        return (self.day - fill.day).days >= SETTLEMENT

    def _with_trades(self, position: Position, fills: Iterable[Fill]) -> Position:
        counts = {(age, side): 0 for age in (0, 1) for side in Side}
        for fill in fills:
            key = (self.day - fill.day).days, fill.side
            if key in counts:
                counts[key] += fill.quantity
        return evolve(
            position,
            bought_today=counts[0, Side.BUY],
            sold_today=counts[0, Side.SELL],
            bought_yesterday=counts[1, Side.BUY],
            sold_yesterday=counts[1, Side.SELL],
        )
