"""Our own check of an order, before anything is journaled or sent.

Only what is certain is refused here: types, signs, forms of symbols, which type takes which price. What the markets ask
for (ticks, bands, hours) is in `market_rules`; what the broker alone can know (buying power) is left to the broker.
"""

from __future__ import annotations

import re
import sys
from datetime import date, datetime
from enum import StrEnum
from typing import Final, TypeVar

from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, ORDER_TYPE_RULES, CreditKind, Desk, OrderType, Route
from kiwoom_async.errors import ValidationError

_Choice = TypeVar("_Choice", bound=StrEnum)

_STOCK_SYMBOL: Final = re.compile(r"[0-9A-Z]{6}")
_PREFIXED: Final = re.compile(r"[AJQ][0-9A-Z]{6}")
_ORDER_NUMBER: Final = re.compile(r"\d{1,7}")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_DAY: Final = re.compile(r"[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLIENT_ORDER_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

_MOST_DIGITS: Final = 10
"""The ledger shows quantities and prices in ten digits (kt00007), so a larger one could not be recognized there."""


def check_symbol(desk: Desk, symbol: object) -> str:
    """Give the plain code: "A005930" and "005930" are the same stock."""
    if desk is Desk.GOLD:
        allowed = "one of " + ", ".join(f"{code} ({name})" for code, name in GOLD_SYMBOLS.items())
        if not isinstance(symbol, str) or symbol not in GOLD_SYMBOLS:
            raise ValidationError("symbol", symbol, allowed)
        return symbol
    allowed = "a code of six characters (종목코드) such as '005930', with or without the prefix A, J or Q"
    if not isinstance(symbol, str):
        raise ValidationError("symbol", symbol, allowed)
    if symbol.endswith(("_NX", "_AL")):
        raise ValidationError("symbol", symbol, f"{allowed}; the market is chosen by route=, not by a suffix")
    if _PREFIXED.fullmatch(symbol):
        return symbol[1:]
    if not _STOCK_SYMBOL.fullmatch(symbol):
        raise ValidationError("symbol", symbol, allowed)
    return symbol


def check_count(argument: str, value: object, *, unit: str) -> int:
    """Check a whole number above zero, given as an integer or as its digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**_MOST_DIGITS:
        raise ValidationError(
            argument, value, f"a whole number above zero with at most {_MOST_DIGITS} digits, in {unit}"
        )
    return value


def check_quantity(desk: Desk, value: object) -> int:
    """Check 주문수량."""
    return check_count("quantity", value, unit="grams" if desk is Desk.GOLD else "shares")


def choose(argument: str, kind: type[_Choice], value: object) -> _Choice:
    """Turn a member of an enumeration, or its text, into the member."""
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValidationError(argument, value, "one of " + ", ".join(repr(choice.value) for choice in kind)) from None


def check_route(desk: Desk, route: object, environment: Environment) -> Route | None:
    """Give the route; None asks for KRX, the one every environment takes. Gold has no route."""
    if desk is Desk.GOLD:
        if route is not None:
            raise ValidationError("route", route, "nothing: gold trades on KRX only, leave route out")
        return None
    chosen = Route.KRX if route is None else choose("route", Route, route)
    if chosen.value not in environment.routes:
        allowed = " or ".join(sorted(environment.routes))
        raise ValidationError("route", chosen.value, f"{allowed} in this environment (mock trading knows KRX only)")
    return chosen


def check_order_type(desk: Desk, order_type: object, *, has_price: bool) -> OrderType:
    """Give the order type; None means a limit order where a price is given, and a market order where none is."""
    if order_type is None:
        if desk is Desk.GOLD and not has_price:
            raise ValidationError("price", None, "a price in KRW per gram: gold takes limit orders only")
        return OrderType.LIMIT if has_price else OrderType.MARKET
    chosen = choose("order_type", OrderType, order_type)
    if desk not in ORDER_TYPE_RULES[chosen].desks:
        fitting = ", ".join(repr(kind.value) for kind, rule in ORDER_TYPE_RULES.items() if desk in rule.desks)
        raise ValidationError("order_type", chosen.value, f"one of {fitting} on the {desk.value} desk")
    return chosen


def check_prices(order_type: OrderType, price: object, stop_price: object) -> tuple[int | None, int | None]:
    """Check 주문단가 and 스톱가 against what the order type takes."""
    rule = ORDER_TYPE_RULES[order_type]
    name = f"order type {order_type.value!r} ({rule.korean})"
    if rule.needs_price and price is None:
        raise ValidationError("price", price, f"a price in KRW: {name} needs one")
    if not rule.needs_price and price is not None:
        raise ValidationError("price", price, f"None: {name} takes no price")
    if rule.needs_stop_price and stop_price is None:
        raise ValidationError("stop_price", stop_price, f"a stop price in KRW: {name} needs one")
    if not rule.needs_stop_price and stop_price is not None:
        raise ValidationError("stop_price", stop_price, f"None: {name} takes no stop price")
    return (
        None if price is None else check_count("price", price, unit="KRW"),
        None if stop_price is None else check_count("stop_price", stop_price, unit="KRW"),
    )


def check_loan(credit: object, loan_date: object) -> tuple[CreditKind, date | None]:
    """Check which loans a credit sale repays (신용거래구분, 대출일).

    None for `credit` means the loan of the date where one is given, and all loans together where none is.
    """
    day = None if loan_date is None else _check_loan_date(loan_date)
    if credit is None:
        return (CreditKind.ALL_LOANS if day is None else CreditKind.LOAN), day
    chosen = choose("credit", CreditKind, credit)
    if chosen is CreditKind.LOAN and day is None:
        raise ValidationError("loan_date", None, "the day of the loan (대출일): credit 'loan' (융자) needs one")
    if chosen is CreditKind.ALL_LOANS and day is not None:
        raise ValidationError("loan_date", loan_date, "None: credit 'all_loans' (융자합) concerns every loan")
    return chosen, day


def _check_loan_date(value: object) -> date:
    # A day to come is let through: a loan may bear the day on which its purchase is settled.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValidationError("loan_date", value, "a date, or its text such as '20261001' or '2026-10-01'")


def check_order_number(argument: str, number: object) -> str:
    """Give a broker order number in seven digits."""
    if not isinstance(number, str) or not _ORDER_NUMBER.fullmatch(number) or not number.isascii() or not int(number):
        raise ValidationError(
            argument, number, "an Order, or a broker order number (주문번호) of up to seven digits as text"
        )
    return f"{int(number):07d}"


def check_client_order_id(value: object) -> str:
    """Check an idempotency key: it travels in an HTTP header."""
    if not isinstance(value, str) or not _CLIENT_ORDER_ID.fullmatch(value):
        raise ValidationError(
            "client_order_id",
            value,
            "1 to 128 visible ASCII characters without blanks, for example 'alpha-0001'",
        )
    return value


def check_seconds(argument: str, value: object, *, may_be_zero: bool = False) -> float | None:
    """Check a number of seconds; None stays None."""
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (0 <= value <= sys.float_info.max) or (value == 0 and not may_be_zero):  # type: ignore[operator]
        least = "zero or more seconds" if may_be_zero else "a number of seconds above zero"
        raise ValidationError(argument, value, f"{least}, or None")
    return float(value)  # type: ignore[arg-type]


def check_attempts(value: object) -> int:
    """Check how often an order may be sent in all."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValidationError("max_attempts", value, "a whole number of sends in all, 1 or more")
    return value
