"""Our own check: what is certainly wrong is refused by name, value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import Any

import pytest

from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.validation import (
    check_attempts,
    check_client_order_id,
    check_count,
    check_loan,
    check_order_number,
    check_order_type,
    check_prices,
    check_quantity,
    check_route,
    check_seconds,
    check_symbol,
    choose,
)
from kiwoom_async._domain.vocabulary import ORDER_TYPE_RULES, CreditKind, Desk, OrderType, Route, Side
from kiwoom_async.errors import ValidationError

LOCAL = Environment(rest_url="http://127.0.0.1:9000")


def refuse(check: Callable[[], Any], argument: str, allowed: str) -> None:
    """Expect a refusal that names the argument and what is allowed."""
    with pytest.raises(ValidationError) as caught:
        check()
    assert caught.value.argument == argument
    assert allowed in caught.value.allowed
    text = str(caught.value)
    assert argument in text
    assert caught.value.allowed in text
    assert "Nothing was journaled or sent" in text


@pytest.mark.parametrize(
    ("symbol", "plain"),
    [
        ("005930", "005930"),
        ("A005930", "005930"),
        ("J52A123", "52A123"),
        ("Q500001", "500001"),
        ("0001A0", "0001A0"),
        ("A12345", "A12345"),
    ],
)
@pytest.mark.parametrize("desk", [Desk.STOCK, Desk.CREDIT])
def test_symbol_has_one_normal_form(desk: Desk, symbol: str, plain: str) -> None:
    """A005930 and 005930 are the same stock."""
    assert check_symbol(desk, symbol) == plain


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "5930",
        "00593",
        "0059300",
        "B005930",
        "a005930",
        "005930 ",
        "00593０",
        "005930\n",
        "M04020000",
        5930,
        None,
        [],
    ],
)
def test_symbol_that_is_none(symbol: object) -> None:
    """A code has six characters, or seven with a prefix that Kiwoom uses."""
    refuse(lambda: check_symbol(Desk.STOCK, symbol), "symbol", "six characters")


@pytest.mark.parametrize("symbol", ["005930_NX", "005930_AL"])
def test_symbol_with_a_market_suffix(symbol: str) -> None:
    """The market is chosen by route."""
    refuse(lambda: check_symbol(Desk.STOCK, symbol), "symbol", "route=")


def test_gold_has_two_symbols() -> None:
    """Only the two gold products."""
    for symbol in ("M04020000", "M04020100"):
        assert check_symbol(Desk.GOLD, symbol) == symbol
    for wrong in ("005930", "M04020001", "", None, 1, [1]):
        refuse(partial(check_symbol, Desk.GOLD, wrong), "symbol", "M04020000")


@pytest.mark.parametrize(
    ("value", "count"), [(10, 10), ("10", 10), ("0010", 10), (1, 1), (9_999_999_999, 9_999_999_999)]
)
def test_count_has_one_normal_form(value: object, count: int) -> None:
    """The text 10 and the number 10 are the same quantity."""
    assert check_quantity(Desk.STOCK, value) == count
    assert type(check_count("price", value, unit="KRW")) is int


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "-1",
        "+1",
        "",
        " 1",
        "1_0",
        "1.0",
        "ten",
        "１０",
        1.0,
        True,
        None,
        [],
        10_000_000_000,
        "9" * 5000,
        math.inf,
    ],
)
def test_count_that_is_none(value: object) -> None:
    """A whole number above zero that the ledger can show."""
    refuse(lambda: check_quantity(Desk.STOCK, value), "quantity", "in shares")
    refuse(lambda: check_quantity(Desk.GOLD, value), "quantity", "in grams")
    refuse(lambda: check_count("price", value, unit="KRW"), "price", "in KRW")


def test_choice_by_member_or_text() -> None:
    """A member, or its text, and nothing else."""
    assert choose("side", Side, Side.BUY) is Side.BUY
    assert choose("side", Side, "buy") is Side.BUY
    for wrong in ("BUY", "", None, 1, [1], {"buy": 1}):
        refuse(partial(choose, "side", Side, wrong), "side", "'buy', 'sell'")


def test_route() -> None:
    """KRX unless told otherwise, within what the environment takes; gold has none."""
    assert check_route(Desk.STOCK, None, LOCAL) is Route.KRX
    assert check_route(Desk.STOCK, "SOR", LOCAL) is Route.SOR
    assert check_route(Desk.CREDIT, Route.NXT, Environment.LIVE) is Route.NXT
    assert check_route(Desk.GOLD, None, LOCAL) is None
    refuse(lambda: check_route(Desk.GOLD, "KRX", LOCAL), "route", "gold trades on KRX only")
    refuse(lambda: check_route(Desk.STOCK, "NXT", Environment.MOCK), "route", "KRX in this environment")
    refuse(lambda: check_route(Desk.STOCK, "nyse", LOCAL), "route", "'KRX', 'NXT', 'SOR'")


@pytest.mark.parametrize("order_type", list(OrderType))
def test_order_type_by_desk(order_type: OrderType) -> None:
    """Stocks and credit take every type, gold three."""
    for desk in Desk:
        if desk in ORDER_TYPE_RULES[order_type].desks:
            assert check_order_type(desk, order_type.value, has_price=True) is order_type
        else:
            refuse(
                partial(check_order_type, desk, order_type, has_price=True),
                "order_type",
                "'limit', 'limit_ioc', 'limit_fok' on the gold desk",
            )
    assert (Desk.GOLD in ORDER_TYPE_RULES[order_type].desks) == order_type.value.startswith("limit")


def test_order_type_by_price() -> None:
    """No type: a limit order with a price, a market order without one, which gold has not."""
    assert check_order_type(Desk.STOCK, None, has_price=True) is OrderType.LIMIT
    assert check_order_type(Desk.STOCK, None, has_price=False) is OrderType.MARKET
    assert check_order_type(Desk.GOLD, None, has_price=True) is OrderType.LIMIT
    refuse(lambda: check_order_type(Desk.GOLD, None, has_price=False), "price", "gold takes limit orders only")
    refuse(lambda: check_order_type(Desk.STOCK, "iceberg", has_price=True), "order_type", "'market'")


@pytest.mark.parametrize("order_type", list(OrderType))
def test_prices_by_order_type(order_type: OrderType) -> None:
    """Each type takes exactly the prices it needs."""
    rule = ORDER_TYPE_RULES[order_type]
    price, stop_price = 70_000 if rule.needs_price else None, 69_000 if rule.needs_stop_price else None
    assert check_prices(order_type, price, stop_price) == (price, stop_price)
    other_price, other_stop = None if rule.needs_price else 1, None if rule.needs_stop_price else 1
    wanted = "needs one" if rule.needs_price else "takes no price"
    refuse(lambda: check_prices(order_type, other_price, stop_price), "price", wanted)
    wanted = "needs one" if rule.needs_stop_price else "takes no stop price"
    refuse(lambda: check_prices(order_type, price, other_stop), "stop_price", wanted)


def test_only_the_stop_limit_order_has_a_stop_price() -> None:
    """The price policy of the published client, in short."""
    assert [kind for kind, rule in ORDER_TYPE_RULES.items() if rule.needs_stop_price] == [OrderType.STOP_LIMIT]
    assert check_prices(OrderType.STOP_LIMIT, "70000", "69000") == (70_000, 69_000)
    refuse(lambda: check_prices(OrderType.STOP_LIMIT, 70_000, 0), "stop_price", "above zero")
    refuse(lambda: check_prices(OrderType.LIMIT, 70_000.5, None), "price", "above zero")


@pytest.mark.parametrize(("number", "padded"), [("0000101", "0000101"), ("101", "0000101"), ("9999999", "9999999")])
def test_order_number_has_one_normal_form(number: str, padded: str) -> None:
    """Seven digits."""
    assert check_order_number("order", number) == padded


@pytest.mark.parametrize("number", ["", "0", "0000000", "10000000", "-1", "1a", " 101", "１０１", "101\n", 101, None])
def test_order_number_that_is_none(number: object) -> None:
    """A number above zero, as text."""
    refuse(lambda: check_order_number("order", number), "order", "up to seven digits")


@pytest.mark.parametrize("value", ["alpha-0001", "x", "~" * 128, "a|b#c", "!"])
def test_client_order_id(value: str) -> None:
    """Visible ASCII, as it travels in a header."""
    assert check_client_order_id(value) == value


@pytest.mark.parametrize("value", ["", " ", "a b", "a\n", "\r\nX: y", "a\x00", "가", "x" * 129, None, 1, b"x"])
def test_client_order_id_that_is_none(value: object) -> None:
    """Nothing that could end or break a header."""
    refuse(lambda: check_client_order_id(value), "client_order_id", "1 to 128 visible ASCII")


def test_seconds() -> None:
    """A number above zero, or None; zero only where it means something."""
    assert check_seconds("deadline", None) is None
    assert check_seconds("deadline", 5) == 5.0
    assert check_seconds("deadline", 0.001) == 0.001
    assert check_seconds("deadline", 0, may_be_zero=True) == 0.0
    for wrong in (0, -1, -0.5, math.inf, math.nan, True, "5", [1], 10**400):
        refuse(partial(check_seconds, "deadline", wrong), "deadline", "above zero, or None")
    refuse(lambda: check_seconds("resend_within", -1, may_be_zero=True), "resend_within", "zero or more")


def test_attempts() -> None:
    """One send or more."""
    assert check_attempts(1) == 1
    assert check_attempts(7) == 7
    for wrong in (0, -1, True, 1.0, "2", None):
        refuse(partial(check_attempts, wrong), "max_attempts", "1 or more")


def test_refusal_is_a_value_error() -> None:
    """Callers that know nothing of this library catch it as what it is."""
    with pytest.raises(ValueError, match="quantity=0 is not allowed"):
        check_quantity(Desk.STOCK, 0)


OCTOBER = date(2026, 10, 1)


@pytest.mark.parametrize(
    ("credit", "loan_date", "expected"),
    [
        (None, None, (CreditKind.ALL_LOANS, None)),
        (None, OCTOBER, (CreditKind.LOAN, OCTOBER)),
        (None, "20261001", (CreditKind.LOAN, OCTOBER)),
        ("loan", "2026-10-01", (CreditKind.LOAN, OCTOBER)),
        (CreditKind.LOAN, OCTOBER, (CreditKind.LOAN, OCTOBER)),
        ("all_loans", None, (CreditKind.ALL_LOANS, None)),
        ("loan", date(2099, 1, 1), (CreditKind.LOAN, date(2099, 1, 1))),
    ],
)
def test_loans_have_one_normal_form(
    credit: object, loan_date: object, expected: tuple[CreditKind, date | None]
) -> None:
    """융자 with its day, 융자합 without; a day to come may be the day of settlement."""
    assert check_loan(credit, loan_date) == expected


@pytest.mark.parametrize("credit", ["33", "융자", "LOAN", 33, "", True])
def test_unknown_kind_of_credit(credit: object) -> None:
    """The words are named."""
    refuse(partial(check_loan, credit, None), "credit", "'loan', 'all_loans'")


@pytest.mark.parametrize(
    "loan_date",
    ["", "2026", "20261301", "2026-W40-4", "2026-02-30", "2026/10/01", "1.10.2026", "２０２６１００１", 20261001, True],
)
def test_unreadable_loan_date(loan_date: object) -> None:
    """Nothing is guessed from a text that is no day."""
    refuse(partial(check_loan, None, loan_date), "loan_date", "20261001")


def test_loan_date_is_no_moment() -> None:
    """A moment is a day in one time zone and another day in the next."""
    refuse(partial(check_loan, "loan", datetime(2026, 10, 1, 9, 0)), "loan_date", "20261001")  # noqa: DTZ001


def test_loan_and_its_day_go_together() -> None:
    """융자 needs the day, 융자합 takes none."""
    refuse(partial(check_loan, "loan", None), "loan_date", "needs one")
    refuse(partial(check_loan, "all_loans", OCTOBER), "loan_date", "None")
