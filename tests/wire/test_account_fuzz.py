"""A bad value in any field of any record is an error that names the field, and never a wrong number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import attrs
import pytest
from attrs import frozen
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kiwoom_async._domain.vocabulary import Desk, Route, Side
from kiwoom_async._wire import account, buying_power, executions, fields, ledger, quotes
from kiwoom_async.errors import QueryFailed
from tests.nasty import NO_NUMBERS, NO_TEXTS
from tests.wire import account_samples as samples
from tests.wire.test_executions import ROW as EXECUTION
from tests.wire.test_ledger import GOLD_ROW, OPEN_ROW, STOCK_ROW

DAY = date(2026, 11, 2)
SYMBOL = "005930"
GOLD_OPEN_ROW = GOLD_ROW | {"orig_ord_no": "0000000", "ord_remnq": "0000000010", "cnfm_qty": "0000000000"}


@frozen
class View:
    """One answer and what reads it.

    Attributes:
        key: The list whose first row is read; "" for the head.
        read: Makes the record, or the records of the list.
        table: The attributes, their fields, and what these must be.
    """

    name: str
    body: Mapping[str, Any]
    key: str
    read: Callable[[Mapping[str, Any]], Any]
    table: fields.Table

    def record(self, changes: Mapping[str, Any], *, without: str = "") -> Any:
        """Read the record with some fields changed, or without one."""
        row = self.body[self.key][0] if self.key else self.body
        row = {name: text for name, text in {**row, **changes}.items() if name != without}
        found = self.read({**self.body, self.key: [row]} if self.key else row)
        return found[0] if self.key else found


def named(names: Mapping[str, fields.Kind] | list[str], kind: fields.Kind = fields.TEXT) -> fields.Table:
    """Make a table of fields whose attribute is not looked at."""
    items = names.items() if isinstance(names, Mapping) else ((name, kind) for name in names)
    return {f"?{name}": (name, kind) for name, kind in items}


def capacities(prefixes: Mapping[str, Any], *, has_reuse: bool) -> fields.Table:
    """Make a table of what may be ordered at each rate."""
    tables = (buying_power.capacity_table(prefix, has_reuse=has_reuse) for prefix in prefixes)
    return named(dict(pair for table in tables for pair in table.values()))


def rows_of(kind: type, words: str = "", named_only: str = "") -> fields.Table:
    """Make a table of what a row of the book is read by: texts take any text, numbers and times do not."""
    texts = {field.name for field in attrs.fields(kind) if field.type in {"str", "Symbol"}} - set(words.split())
    skipped = set(named_only.split())
    kinds = {
        field.name: fields.TEXT if field.name in texts else fields.COUNT
        for field in attrs.fields(kind)
        if field.name not in skipped
    }
    return named(kinds)


LEVELS = [pair for side in ("sel", "buy") for pair in quotes.level_fields(side)]
FULL_BOOK = samples.order_book(
    [(str(70_100 + 100 * place), "5") for place in range(10)],
    [(str(70_000 - 100 * place), "5") for place in range(10)],
)
RATES = {f"{rate}stk_ord_alow_amt": fields.AMOUNT for rate in account.MARGIN_RATES}

VIEWS = (
    View(
        "kt00018 row",
        samples.BALANCE,
        account.HOLDINGS_KEY,
        lambda body: account.decode_holdings("kt00018", body),
        account.HOLDING,
    ),
    View(
        "kt00018 head",
        samples.BALANCE,
        "",
        lambda body: account.decode_balance_totals("kt00018", body),
        account.BALANCE_TOTALS,
    ),
    View(
        "kt00005 row",
        samples.FILLED_BALANCE,
        account.POSITIONS_KEY,
        lambda body: account.decode_filled_positions("kt00005", body),
        account.FILLED_POSITION,
    ),
    View(
        "kt00005 head",
        samples.FILLED_BALANCE,
        "",
        lambda body: account.decode_filled_totals("kt00005", body),
        account.FILLED_TOTALS,
    ),
    View(
        "kt00001",
        samples.DEPOSIT,
        "",
        lambda body: account.decode_deposit("kt00001", body),
        {**account.DEPOSIT, **named(RATES)},
    ),
    View(
        "kt50020 row",
        samples.GOLD_BALANCE,
        account.GOLD_HOLDINGS_KEY,
        lambda body: account.decode_gold_holdings("kt50020", body),
        account.GOLD_HOLDING,
    ),
    View(
        "kt50020 head",
        samples.GOLD_BALANCE,
        "",
        lambda body: account.decode_gold_totals("kt50020", body),
        account.GOLD_TOTALS,
    ),
    View(
        "kt50021",
        samples.GOLD_DEPOSIT,
        "",
        lambda body: account.decode_gold_deposit("kt50021", body),
        account.GOLD_DEPOSIT,
    ),
    View(
        "ka00001",
        {"acctNo": "8812345611"},
        "",
        lambda body: account.decode_account_number("ka00001", body),
        {"value": ("acctNo", fields.ACCOUNT_NUMBER)},
    ),
    View(
        "kt00011",
        samples.BUYING_POWER,
        "",
        lambda body: buying_power.decode_buying_power("kt00011", SYMBOL, None, body),
        {**buying_power.BUYING_POWER, **capacities(buying_power.MARGIN_PREFIXES, has_reuse=True)},
    ),
    View(
        "kt00012",
        samples.CREDIT_BUYING_POWER,
        "",
        lambda body: buying_power.decode_credit_buying_power("kt00012", SYMBOL, None, body),
        {**buying_power.CREDIT_BUYING_POWER, **capacities(buying_power.DEPOSIT_PREFIXES, has_reuse=True)},
    ),
    View(
        "kt00010",
        samples.ORDER_FUNDS,
        "",
        lambda body: buying_power.decode_order_funds("kt00010", SYMBOL, Side.BUY, 70_000, body),
        {
            **buying_power.ORDER_FUNDS,
            **capacities(buying_power.MARGIN_PREFIXES | buying_power.REDUCED_PREFIXES, has_reuse=False),
        },
    ),
    View(
        "ka10001",
        samples.QUOTE,
        "",
        lambda body: quotes.decode_quote("ka10001", SYMBOL, Route.KRX, body),
        quotes.QUOTE,
    ),
    View(
        "ka10004",
        FULL_BOOK,
        "",
        lambda body: quotes.decode_order_book("ka10004", SYMBOL, Route.KRX, body),
        {**quotes.ORDER_BOOK, **named([name for pair in LEVELS for name in pair], fields.COUNT)},
    ),
    View(
        "kt00007",
        {"acnt_ord_cntr_prps_dtl": [STOCK_ROW]},
        "acnt_ord_cntr_prps_dtl",
        lambda body: ledger.decode_ledger("kt00007", Desk.STOCK, DAY, body),
        rows_of(ledger._StockLedgerRow, "io_tp_nm"),
    ),
    View(
        "kt50031",
        {"acnt_ord_cntr_prps_dtl": [GOLD_ROW]},
        "acnt_ord_cntr_prps_dtl",
        lambda body: ledger.decode_ledger("kt50031", Desk.GOLD, DAY, body),
        rows_of(ledger._StockLedgerRow, "io_tp_nm"),
    ),
    View(
        "ka10075",
        {"oso": [OPEN_ROW]},
        "oso",
        lambda body: ledger.decode_open_orders("ka10075", Desk.STOCK, body),
        rows_of(ledger._StockOpenRow, "io_tp_nm", "acnt_no"),
    ),
    View(
        "kt50075",
        {"acnt_ord_oso_prst": [GOLD_OPEN_ROW]},
        "acnt_ord_oso_prst",
        lambda body: ledger.decode_open_orders("kt50075", Desk.GOLD, body),
        rows_of(ledger._GoldOpenRow, "io_tp_nm"),
    ),
    View(
        "ka10076",
        {"cntr": [EXECUTION]},
        "cntr",
        lambda body: executions.decode_executions("ka10076", Desk.STOCK, DAY, body),
        rows_of(executions._Row),
    ),
)

FIELDS = [(view, attribute) for view in VIEWS for attribute in view.table]
NUMBERS = [(view, attribute) for view, attribute in FIELDS if view.table[attribute][1].parse is not fields.TEXT.parse]
PLAIN = [
    (view, attribute)
    for view, attribute in NUMBERS
    if attribute[0] != "?"
    and view.table[attribute][1].words in {fields.AMOUNT.words, fields.COUNT.words, fields.AVERAGE.words}
    and view.name != "ka10001"
]
NUMERIC = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?%?|[0-9]{2}:?[0-9]{2}:?[0-9]{2}|\*?[0-9A-Z]{6,9}")


def name_case(case: tuple[View, str]) -> str:
    """Name a field of a view in the report."""
    return f"{case[0].name} {case[0].table[case[1]][0]}"


def require_named_error(view: View, attribute: str, value: Any) -> None:
    """Read the record with a bad value, which must be an error that names the field."""
    name = view.table[attribute][0]
    try:
        made = view.record({name: value})
    except QueryFailed as error:
        assert name in str(error)  # noqa: PT017 - what was made otherwise has to be shown
        return
    pytest.fail(f"{view.name}: {name}={value!r} was read as {made!r}")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_the_samples_can_be_read(view: View) -> None:
    """Otherwise every error below would be one of the sample."""
    assert view.record({}) is not None


@pytest.mark.parametrize("case", NUMBERS, ids=name_case)
def test_what_is_no_number_is_an_error(case: tuple[View, str]) -> None:
    """Each field of each record, with each kind of nonsense."""
    for text in NO_NUMBERS:
        require_named_error(*case, text)


@pytest.mark.parametrize("case", FIELDS, ids=name_case)
def test_what_is_no_text_is_an_error(case: tuple[View, str]) -> None:
    """Every value is a text on this wire; a number of JSON would have lost its digits already."""
    for value in NO_TEXTS:
        require_named_error(*case, value)


@settings(deadline=None)
@given(case=st.sampled_from(NUMBERS), text=st.text(min_size=1, max_size=20))
def test_no_text_is_read_as_a_number_by_chance(case: tuple[View, str], text: str) -> None:
    """Whatever stands in a field of numbers, dates or times: it has their form, is empty, or is an error."""
    assume(text.strip() and not NUMERIC.fullmatch(text.strip()))
    require_named_error(*case, text)


@settings(deadline=None)
@given(
    case=st.sampled_from(PLAIN),
    number=st.integers(min_value=0, max_value=10**15),
    width=st.integers(min_value=1, max_value=18),
    before=st.sampled_from(["", " "]),
    sign=st.sampled_from(["", "+", "-"]),
)
def test_every_number_is_read_exactly(case: tuple[View, str], number: int, width: int, before: str, sign: str) -> None:
    """With any padding and a blank before it; a minus counts where there can be one, and is an error elsewhere."""
    view, attribute = case
    name, kind = view.table[attribute]
    text = f"{before}{sign}{number:0{width}d}"
    if sign == "-" and kind.words != fields.AMOUNT.words and not kind.is_optional:
        require_named_error(view, attribute, text)
        return
    try:
        value = getattr(view.record({name: text}), attribute)
    except QueryFailed as error:
        assert sign == "-"
        assert name in str(error)  # noqa: PT017 - an error is one of two right answers
        return
    is_mark = kind.parse is fields.MARKET_PRICE.parse
    wanted = (number or None) if is_mark else -number if sign == "-" else number
    assert value == wanted
    assert isinstance(value, int | Decimal | None)


@pytest.mark.parametrize("case", [case for case in FIELDS if case[1][0] != "?"], ids=name_case)
def test_a_missing_field_is_an_error_or_nothing(case: tuple[View, str]) -> None:
    """It is never a zero; what may be missing reads as None, and a text as an empty one."""
    view, attribute = case
    name, kind = view.table[attribute]
    try:
        value = getattr(view.record({}, without=name), attribute)
    except QueryFailed as error:
        assert name in str(error)  # noqa: PT017 - an error is one of two right answers
        return
    assert value == "" if kind is fields.TEXT else value is None
    for text in ("", "  ", None):
        assert getattr(view.record({name: text}), attribute) == value
