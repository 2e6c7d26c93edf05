"""`client.account`: what the broker says about the account, and about the symbols it may trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from kiwoom_async._domain.account import (
    AccountNumber,
    Balance,
    Deposit,
    FilledBalance,
    FilledPosition,
    GoldBalance,
    GoldDeposit,
    GoldHolding,
    Holding,
)
from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.buying_power import BuyingPower, CreditBuyingPower, OrderFunds
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.quotes import OrderBook, Quote
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder
from kiwoom_async._domain.validation import check_count, check_symbol, choose
from kiwoom_async._domain.vocabulary import Desk, Route, Side
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.steady_list import read_steadily
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.account import (
    account_number_call,
    balance_call,
    decode_account_number,
    decode_balance_totals,
    decode_deposit,
    decode_filled_positions,
    decode_filled_totals,
    decode_gold_deposit,
    decode_gold_holdings,
    decode_gold_totals,
    decode_holdings,
    deposit_call,
    filled_balance_call,
    gold_balance_call,
    gold_deposit_call,
)
from kiwoom_async._wire.buying_power import (
    buying_power_call,
    credit_buying_power_call,
    decode_buying_power,
    decode_credit_buying_power,
    decode_order_funds,
    order_funds_call,
)
from kiwoom_async._wire.quotes import decode_order_book, decode_quote, order_book_call, quote_call
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import QueryFailed, ValidationError

_Row = TypeVar("_Row")
_Totals = TypeVar("_Totals")


class Account:
    """Read the account. Nothing here is kept: each call asks the broker, within the rate limit of queries.

    All of these coroutines share:

    Raises:
        QueryFailed: There is no complete, readable answer; the text names the field. It never means that there is
            nothing.
        AuthenticationError: The credentials were refused.
        RateLimited: Kiwoom's rate limit.
        InvalidRequest: Kiwoom did not understand the query.
        ValidationError: An argument is wrong; nothing was asked.

    Delivery: A query changes nothing at the broker.

    Cancellation: Ends the query and nothing else.
    """

    def __init__(
        self, gateway: Gateway, reader: LedgerReader, ambient: Ambient, on_quote: Callable[[Quote], None]
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._ambient = ambient
        self._on_quote = on_quote

    async def open_orders(self, *, desk: Desk | str = Desk.STOCK) -> tuple[OpenOrder, ...]:
        """Read the orders still in the book (미체결), ours and everybody's on the account.

        Args:
            desk: STOCK and CREDIT share one book; GOLD has its own.

        Source: TRs ka10075 and, for gold, kt50075.
        """
        return await self._reader.fetch_steady_open_orders(choose("desk", Desk, desk).ledger)

    async def executions(self) -> tuple[ExecutedOrder, ...]:
        """Read what today's stock orders have filled (체결), one record for each order number, in their order.

        Source: TR ka10076, which knows neither other days nor gold; `ledger` does.
        """
        today = self._today()
        found = await self._reader.fetch_executions(today)
        if self._today() != today:
            raise QueryFailed("ka10076", "midnight passed while it was read")
        # An order may stand on two pages, with a fill between them. Quantities are totals: the larger is the later one.
        latest: dict[str, ExecutedOrder] = {}
        for order in sorted(found, key=lambda order: order.filled_quantity):
            latest[order.broker_order_id] = order
        return tuple(sorted(latest.values(), key=lambda order: order.broker_order_id))

    async def ledger(self, day: date | None = None, desk: Desk | str = Desk.STOCK) -> tuple[LedgerOrder, ...]:
        """Read every order, modify and cancel of a day (주문체결내역), ours and everybody's on the account.

        Args:
            day: A Korean calendar day, today's or one before it; None: today.
            desk: STOCK and CREDIT share one ledger; GOLD has its own.

        Source: TRs kt00007 and, for gold, kt50031. On the mock, past days are said not to be there.
        """
        wanted = _check_day(day, self._today())
        snapshot = await self._reader.fetch_snapshot(choose("desk", Desk, desk).ledger, wanted, 0)
        return snapshot.rows

    async def balance(self, *, route: Route | str = Route.KRX, each_loan: bool = False) -> Balance:
        """Read the holdings with their worth and profit (계좌평가잔고).

        Args:
            route: KRX or NXT: whose prices they are worth.
            each_loan: A row for each credit loan, instead of one for each symbol.

        Source: TR kt00018.
        """
        call = balance_call(_choose_venue(route), each_loan=each_loan)
        totals, holdings = await self._read_list(
            call, decode_balance_totals, decode_holdings, _name_holding, may_repeat=each_loan
        )
        return Balance(totals, holdings)

    async def filled_balance(self, *, route: Route | str = Route.KRX) -> FilledBalance:
        """Read cash and positions with today's fills in them (체결잔고).

        Args:
            route: KRX or NXT: whose prices the positions are worth.

        Source: TR kt00005; the mock does not serve it (RC9000).
        """
        call = filled_balance_call(_choose_venue(route))
        totals, positions = await self._read_list(
            call, decode_filled_totals, decode_filled_positions, _name_position, may_repeat=True
        )
        return FilledBalance(totals, positions)

    async def deposit(self, *, estimated: bool = True) -> Deposit:
        """Read the cash of the account (예수금).

        Args:
            estimated: 추정조회: with what today's trading will settle. False: 일반조회.

        Source: TR kt00001.
        """
        call = deposit_call(estimated=estimated)
        return decode_deposit(call.api_id, await self._read_one(call))

    async def buying_power(self, symbol: str, *, price: int | None = None) -> BuyingPower:
        """Ask how much of a symbol may be bought with cash and substitutes (증거금율별주문가능수량).

        Args:
            symbol: 종목코드.
            price: KRW per share that the quantities are reckoned with. None: the broker takes its own.

        Source: TR kt00011. It lags behind fills, so leave a little room.
        """
        symbol, checked = check_symbol(Desk.STOCK, symbol), _check_price(price)
        call = buying_power_call(symbol, checked)
        return decode_buying_power(call.api_id, symbol, checked, await self._read_one(call))

    async def credit_buying_power(self, symbol: str, *, price: int | None = None) -> CreditBuyingPower:
        """Ask how much of a symbol may be bought on credit (신용보증금율별주문가능수량).

        Args:
            symbol: 종목코드.
            price: KRW per share that the quantities are reckoned with. None: the broker takes its own.

        Source: TR kt00012.
        """
        symbol, checked = check_symbol(Desk.STOCK, symbol), _check_price(price)
        call = credit_buying_power_call(symbol, checked)
        return decode_credit_buying_power(call.api_id, symbol, checked, await self._read_one(call))

    async def order_funds(
        self, symbol: str, *, price: int, side: Side | str = Side.BUY, quantity: int | None = None
    ) -> OrderFunds:
        """Ask what an order would do to the cash, and what could be withdrawn (주문인출가능금액).

        Args:
            symbol: 종목코드.
            price: KRW per share.
            side: Of the order asked about.
            quantity: Shares of the order asked about. None: the broker reckons without an order.

        Source: TR kt00010; the mock does not serve it (RC7006).
        """
        symbol, chosen = check_symbol(Desk.STOCK, symbol), choose("side", Side, side)
        price = check_count("price", price, unit="KRW")
        count = None if quantity is None else check_count("quantity", quantity, unit="shares")
        call = order_funds_call(symbol, chosen, price, count)
        return decode_order_funds(call.api_id, symbol, chosen, price, await self._read_one(call))

    async def gold_balance(self) -> GoldBalance:
        """Read the gold of the account (금현물 잔고). It needs the app key of a gold account.

        Source: TR kt50020.
        """
        call = gold_balance_call()
        totals, holdings = await self._read_list(call, decode_gold_totals, decode_gold_holdings, _name_gold)
        return GoldBalance(totals, holdings)

    async def gold_deposit(self) -> GoldDeposit:
        """Read the cash of the gold account (금현물 예수금). It needs the app key of a gold account.

        Source: TR kt50021.
        """
        call = gold_deposit_call()
        return decode_gold_deposit(call.api_id, await self._read_one(call))

    async def number(self) -> AccountNumber:
        """Read the account number (계좌번호). It is in no repr, log or error; ask `.value` for it.

        Source: TR ka00001.
        """
        call = account_number_call()
        return decode_account_number(call.api_id, await self._read_one(call))

    async def quote(self, symbol: str, *, route: Route | str = Route.KRX) -> Quote:
        """Read the price of a symbol and its daily band (주식기본정보); orders of today are checked against the band.

        Args:
            symbol: 종목코드.
            route: The market the price is from; SOR stands for all of them together.

        Source: TR ka10001.
        """
        symbol, chosen = check_symbol(Desk.STOCK, symbol), choose("route", Route, route)
        call = quote_call(symbol, chosen)
        quote = decode_quote(call.api_id, symbol, chosen, await self._read_one(call))
        self._on_quote(quote)
        return quote

    async def order_book(self, symbol: str, *, route: Route | str = Route.KRX) -> OrderBook:
        """Read the ten best prices of each side (호가).

        Args:
            symbol: 종목코드.
            route: The market the book is from; SOR stands for all of them together.

        Source: TR ka10004.
        """
        symbol, chosen = check_symbol(Desk.STOCK, symbol), choose("route", Route, route)
        call = order_book_call(symbol, chosen)
        return decode_order_book(call.api_id, symbol, chosen, await self._read_one(call))

    def _today(self) -> date:
        return korean_day(self._ambient.now())

    async def _read_one(self, call: Call) -> Mapping[str, Any]:
        """Read an answer that is one statement. What a second page could hold are lists we do not read (kt00001)."""
        return (await self._gateway.fetch_page(call)).body

    async def _read_list(
        self,
        call: Call,
        decode_totals: Callable[[str, Mapping[str, Any]], _Totals | None],
        decode_rows: Callable[[str, Mapping[str, Any]], tuple[_Row, ...]],
        name: Callable[[_Row], tuple[object, ...]],
        *,
        may_repeat: bool = False,
    ) -> tuple[_Totals | None, tuple[_Row, ...]]:
        """Read a list to its last page, and the sums at the head of its first.

        Args:
            call: The query.
            decode_totals: Reads the head of a page.
            decode_rows: Reads the rows of a page.
            name: Tells a row from the others, whatever its numbers are.
            may_repeat: Two loans of a symbol can have the same name: same kind, same day.

        Raises:
            QueryFailed: A page failed, or the rows moved while they were read, at each of several looks.
        """
        head, rows = await read_steadily(self._gateway, call, decode_rows, name, may_repeat=may_repeat)
        return decode_totals(call.api_id, head), rows


def _name_holding(row: Holding) -> tuple[object, ...]:
    return row.symbol, row.credit_code, row.loan_date


def _name_position(row: FilledPosition) -> tuple[object, ...]:
    return row.symbol, row.credit_code, row.loan_date


def _name_gold(row: GoldHolding) -> tuple[object, ...]:
    return (row.symbol,)


def _choose_venue(route: Route | str) -> Route:
    chosen = choose("route", Route, route)
    if chosen is Route.SOR:
        raise ValidationError(
            "route", chosen.value, "'KRX' or 'NXT': holdings are valued with the prices of one market"
        )
    return chosen


def _check_day(day: object, today: date) -> date:
    if day is None:
        return today
    if not isinstance(day, date) or isinstance(day, datetime) or day > today:
        raise ValidationError("day", day, "None for today, or a date that is not after today in Korea")
    return day


def _check_price(price: int | None) -> int | None:
    return None if price is None else check_count("price", price, unit="KRW")
