"""The views on the book: which rows a query lists, in which order, and how they are cut into pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum, StrEnum, auto, unique
from typing import Final

from attrs import frozen

from kiwoom_async._domain.vocabulary import Desk, Route, Side
from kiwoom_async.simulator.orders import BookOrder
from kiwoom_async.simulator.rendering import (
    Row,
    Scene,
    gold_row,
    ka10075_row,
    ka10076_row,
    ka10088_row,
    kt00007_row,
    kt00009_row,
    kt50031_row,
    kt50075_row,
)

Body = Mapping[str, str]


class MalformedField(ValueError):
    """A field of the request cannot be read; the argument is its name."""


@unique
class EmptyList(StrEnum):
    """How an empty list is answered; all were seen."""

    SUCCESS = "success"
    ERROR = "error"  # return_code 20 and a code of its own
    UNCODED_ERROR = "uncoded_error"  # return_code 1 and a text only


class _Order(Enum):
    BY_CODE = auto()  # qry_tp 2 is the reverse
    DESCENDING = auto()


_Test = Callable[[BookOrder, str], bool]


def _is_open(order: BookOrder) -> bool:
    return order.leaves_quantity > 0


def _has_fills(order: BookOrder) -> bool:
    return order.filled_quantity > 0


def _is_listed(order: BookOrder) -> bool:  # noqa: ARG001 - the ledgers keep everything
    return True


@frozen
class View:
    """One query TR.

    Attributes:
        list_key: Name of the list in the answer.
        lists: Which orders the view shows whatever the request says.
        empty_code: The code of an empty list where that is an error.
        has_blank: Whether return_msg begins with a blank.
        has_day: Whether `ord_dt` chooses the day.
    """

    list_key: str
    row: Callable[[BookOrder, Scene], Row]
    is_gold: bool
    lists: Callable[[BookOrder], bool]
    order: _Order = _Order.BY_CODE
    empty_code: str = "501724"
    has_blank: bool = False
    has_day: bool = True


_NOTHING_OPEN: Final = "571758"
VIEWS: Final[Mapping[str, View]] = {
    "ka10075": View("oso", ka10075_row, False, _is_open, _Order.DESCENDING, _NOTHING_OPEN, True, False),
    "ka10076": View("cntr", ka10076_row, False, _has_fills, _Order.DESCENDING, has_blank=True, has_day=False),
    "ka10088": View("osop", ka10088_row, False, _is_open, empty_code=_NOTHING_OPEN, has_blank=True, has_day=False),
    "kt00007": View("acnt_ord_cntr_prps_dtl", kt00007_row, False, _is_listed),
    "kt00009": View("acnt_ord_cntr_prst_array", kt00009_row, False, _is_listed),
    "kt50030": View("acnt_ord_cntr_prst", gold_row, True, _is_listed),
    "kt50031": View("acnt_ord_cntr_prps_dtl", kt50031_row, True, _is_listed),
    "kt50075": View("acnt_ord_oso_prst", kt50075_row, True, _is_open, empty_code=_NOTHING_OPEN),
}

_SIDES: Final = {"1": Side.SELL, "2": Side.BUY}
_VENUES: Final = {"1": Route.KRX, "2": Route.NXT}


def _has_side(order: BookOrder, value: str) -> bool:
    return value not in _SIDES or order.side is _SIDES[value]


def _has_symbol(order: BookOrder, value: str) -> bool:
    return value in {"", order.symbol, f"A{order.symbol}"}


def _has_route(order: BookOrder, value: str) -> bool:
    return value in {"", "%"} or order.route.value == value


def _has_venue(order: BookOrder, value: str) -> bool:
    return value not in _VENUES or order.route is _VENUES[value]


def _is_not_bond(order: BookOrder, value: str) -> bool:  # noqa: ARG001 - there are no bonds here
    return value != "2"


_FILTERS: Final[Mapping[str, _Test]] = {
    "sell_tp": _has_side,
    "slby_tp": _has_side,
    "stk_cd": _has_symbol,
    "dmst_stex_tp": _has_route,
    "stex_tp": _has_venue,
    "stk_bond_tp": _is_not_bond,
}

_OF_KIND: Final[Mapping[tuple[str, str], Callable[[BookOrder], bool]]] = {
    ("kt00007", "3"): _is_open,
    ("kt00007", "4"): _has_fills,
    ("kt50031", "3"): _is_open,
    ("kt50031", "4"): _has_fills,
    ("kt00009", "1"): _has_fills,
}


def requested_day(api_id: str, body: Body, today: date) -> date:
    """Read which day a query is about; an empty field means today.

    Raises:
        MalformedField: `ord_dt` is no date.
    """
    text = body.get("ord_dt", "") if VIEWS[api_id].has_day else ""
    if not text:
        return today
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a calendar day
    except ValueError as error:
        raise MalformedField("ord_dt") from error


def select(api_id: str, body: Body, orders: list[BookOrder], *, is_from_inclusive: bool) -> list[BookOrder]:
    """Choose and sort the orders a query lists."""
    view = VIEWS[api_id]
    tests = [(test, body[name]) for name, test in _FILTERS.items() if name in body]
    if api_id == "ka10075":
        # In this request trde_tp is the side, and the symbol counts only where all_stk_tp asks for one.
        tests.append((_has_side, body["trde_tp"]))
    if body.get("all_stk_tp") == "0" or (api_id == "ka10076" and body["qry_tp"] == "0"):
        tests = [(test, value) for test, value in tests if test is not _has_symbol]
    of_kind = _OF_KIND.get((api_id, body.get("qry_tp", "")), _is_listed)
    chosen = [
        order
        for order in orders
        if (order.desk is Desk.GOLD) is view.is_gold
        and view.lists(order)
        and of_kind(order)
        and all(test(order, value) for test, value in tests)
        and _is_in_range(api_id, body, order, is_from_inclusive=is_from_inclusive)
    ]
    is_reverse = view.order is _Order.DESCENDING or (body.get("qry_tp") == "2" and view.order is _Order.BY_CODE)
    return chosen[::-1] if is_reverse else chosen


def _is_in_range(api_id: str, body: Body, order: BookOrder, *, is_from_inclusive: bool) -> bool:
    number = order.broker_order_id
    first = body.get("fr_ord_no", "")
    if first:
        first = first.zfill(len(number))
        return number >= first if is_from_inclusive else number > first
    named = body.get("ord_no", "")
    if named and api_id == "ka10088":
        return number == named.zfill(len(number))
    if named and api_id == "ka10076":
        return number < named.zfill(len(number))
    return True


@frozen
class Cursor:
    """The place a page begins at; the text of it is the `next-key`.

    Attributes:
        offset: Rows before the page, as counted when the key was made.
        anchor: Number of the row right before the page. Going by it is immune to rows that come in between.
        digest: Of the request; a key goes with the same body only.
    """

    offset: int
    anchor: str
    digest: str

    @property
    def key(self) -> str:
        """The text of the cursor."""
        return f"{self.digest}{self.offset:07d}{self.anchor}"

    @classmethod
    def read(cls, key: str, digest: str) -> Cursor:
        """Read a key that came back.

        Raises:
            MalformedField: It was not made for this request.
        """
        head, offset, anchor = key[: len(digest)], key[len(digest) : len(digest) + 7], key[len(digest) + 7 :]
        if head != digest or not offset.isdigit() or not anchor.isdigit():
            raise MalformedField("next-key")
        return cls(int(offset), anchor, digest)


def digest_of(api_id: str, body: Body) -> str:
    """Name a request, so that its keys cannot be used with another."""
    text = "\x1f".join([api_id, *(f"{name}={body[name]}" for name in sorted(body))])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def cut(
    rows: list[BookOrder], cursor: Cursor | None, page_size: int, digest: str, *, is_by_offset: bool
) -> tuple[list[BookOrder], Cursor | None]:
    """Cut one page out of a list.

    Returns:
        The rows, and the cursor of the next page; None at the end.
    """
    start = 0
    if cursor is not None:
        start = cursor.offset if is_by_offset else _after(rows, cursor)
    page = rows[start : start + page_size]
    end = start + len(page)
    if not page or end >= len(rows):
        return page, None
    return page, Cursor(end, page[-1].broker_order_id, digest)


def _after(rows: list[BookOrder], cursor: Cursor) -> int:
    numbers = [row.broker_order_id for row in rows]
    if cursor.anchor in numbers:
        return numbers.index(cursor.anchor) + 1
    # The anchor has left the view (it was filled): go on behind where it stood.
    is_falling = len(numbers) > 1 and numbers[0] > numbers[-1]
    return sum(1 for n in numbers if (n > cursor.anchor if is_falling else n < cursor.anchor))
