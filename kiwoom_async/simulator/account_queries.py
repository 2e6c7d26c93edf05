"""The queries that answer with one statement: who writes which, and how the rows of a statement become pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kiwoom_async.simulator.account_views import deposit, filled_balance, holdings
from kiwoom_async.simulator.books import Books
from kiwoom_async.simulator.buying_power_views import buying_power, credit_buying_power, order_funds
from kiwoom_async.simulator.gold_views import gold_balance, gold_deposit
from kiwoom_async.simulator.queries import Cursor
from kiwoom_async.simulator.quotes_views import order_book, quote
from kiwoom_async.simulator.rendering import Row
from kiwoom_async.simulator.statements import Body, Told

STATEMENTS: Final[Mapping[str, Callable[[Body, Books], Told]]] = {
    "ka10001": quote,
    "ka10004": order_book,
    "kt00001": deposit,
    "kt00005": filled_balance,
    "kt00010": order_funds,
    "kt00011": buying_power,
    "kt00012": credit_buying_power,
    "kt00018": holdings,
    "kt50020": gold_balance,
    "kt50021": gold_deposit,
}

MAY_BE_NOTHING: Final = frozenset({"kt00005", "kt00018", "kt50020"})
"""Where a list without a row can be answered by an error that says so; kt00001 has a list that never is."""


def cut_rows(rows: tuple[Row, ...], start: int, page_size: int, digest: str) -> tuple[list[Row], Cursor | None]:
    """Cut one page out of the rows of a statement, which have no number to go by.

    Returns:
        The rows, and the cursor of the next page; None at the end.
    """
    page = list(rows[start : start + page_size])
    end = start + len(page)
    return page, Cursor(end, "0", digest) if page and end < len(rows) else None
