"""Rows of the day's ledger and of the open orders, from Kiwoom's text to domain records.

Every field is parsed or raises: an unreadable number in one row makes the whole page a failed query, which names the
field and the text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, NewType, TypeVar

import cattrs
from attrs import frozen

from kiwoom_async._domain.reports import LedgerOrder, OpenOrder
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async._wire.credit import parse_credit, parse_loan_date
from kiwoom_async.errors import QueryFailed

Padded = NewType("Padded", int)
"""A number in zero-padded text, for example "0000000010"; must be there."""
OptionalPadded = NewType("OptionalPadded", int)
"""The same, where an empty text means that the view does not tell."""
Number = NewType("Number", str)
"""An order number of seven digits."""
Symbol = NewType("Symbol", str)
"""A code without the one-letter prefix some views put before it."""
Clock = NewType("Clock", time)
"""`HH:mm:ss` or `HHmmss`, Korean time."""

LoanDate = NewType("LoanDate", date)
"""`YYYYMMDD`; empty or zeros for none."""
Price = NewType("Price", Decimal)
"""A price with or without an up or down mark before it and digits behind the point."""
AccountDigest = NewType("AccountDigest", str)
"""An account number, made unreadable as soon as it is read."""

_Row = TypeVar("_Row")


@frozen
class _StockLedgerRow:
    """kt00007, and kt50031 for gold, which has the same fields [O]."""

    ord_no: Number
    stk_cd: Symbol
    trde_tp: str
    io_tp_nm: str
    ord_qty: Padded
    ord_uv: OptionalPadded | None
    cntr_qty: Padded
    ord_tm: Clock | None
    ori_ord: Number | None = None
    cntr_uv: OptionalPadded | None = None
    ord_remnq: OptionalPadded | None = None
    cnfm_qty: OptionalPadded | None = None
    mdfy_cncl: str = ""
    comm_ord_tp: str = ""
    dmst_stex_tp: str = ""
    cond_uv: OptionalPadded | None = None
    crd_tp: str = ""
    loan_dt: LoanDate | None = None


@frozen
class _StockOpenRow:
    """ka10075."""

    ord_no: Number
    stk_cd: Symbol
    io_tp_nm: str
    ord_qty: Padded
    ord_pric: OptionalPadded | None
    oso_qty: Padded
    cntr_qty: OptionalPadded | None = None
    orig_ord_no: Number | None = None
    acnt_no: AccountDigest | None = None
    tm: Clock | None = None
    trde_tp: str = ""
    stex_tp_txt: str = ""
    sor_yn: str = ""
    stop_pric: OptionalPadded | None = None


@frozen
class _GoldOpenRow:
    """kt50075."""

    ord_no: Number
    stk_cd: Symbol
    io_tp_nm: str
    ord_qty: Padded
    ord_uv: OptionalPadded | None
    cntr_qty: Padded
    ord_remnq: OptionalPadded | None = None
    cnfm_qty: OptionalPadded | None = None
    orig_ord_no: Number | None = None
    trde_tp: str = ""
    dmst_stex_tp: str = ""
    cond_uv: OptionalPadded | None = None


_ACCOUNT_LIKE: Final = re.compile(r"[0-9]{9,}")
"""An account number has ten digits [O]; a day, which may be shown, has eight."""
_LONGEST_QUOTE: Final = 80
"""Characters of a wrong text that an error repeats. Source: our choice."""
_BEYOND_NUMBERS: Final = 10_000_000
"""Order numbers have seven digits [O]; the journal compares them as texts of that length."""

_INTEGER: Final = re.compile(r"\+?[0-9]{1,18}")
_PRICE: Final = re.compile(r"[+-]?([0-9]{1,18}(?:\.[0-9]{1,9})?)")
_CLOCK: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})|([0-9]{2})([0-9]{2})([0-9]{2})")


def parse_integer(text: object) -> int:
    """Read a whole number; nothing that an order's row counts can be below zero."""
    if not isinstance(text, str) or not _INTEGER.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text.strip())


def parse_price(text: object) -> Decimal | None:
    """Read a price; None for an empty one. A sign before it marks up or down and is no part of it [O]."""
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    found = _PRICE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a price")
    return Decimal(found[1])


def parse_number(text: object) -> str | None:
    """Read an order number; None for an empty one and for zeros, which both mean that there is none."""
    value = parse_integer(text) if text not in ("", None) else 0
    if value >= _BEYOND_NUMBERS:
        # It would pass for the highest number of the day, and every order sent later for older than its mark.
        raise ValueError(f"{text!r} is not an order number")
    return f"{value:07d}" if value else None


def require_number(text: object) -> str:
    """Read an order number that must be there."""
    number = parse_number(text)
    if number is None:
        raise ValueError(f"{text!r} is not an order number")
    return number


def parse_symbol(text: object) -> str:
    """Strip one leading letter, only if six characters remain (A stocks, J ELW, Q ETN)."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{text!r} is not a symbol")
    symbol = text.strip()
    return symbol[1:] if len(symbol) == 7 and symbol[0] in "AJQ" else symbol


def parse_clock(text: object) -> time | None:
    """Read a time of day, `HH:mm:ss` or `HHmmss`; None for an empty one."""
    if text in ("", None):
        return None
    found = _CLOCK.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a time of day")
    hour, minute, second = (int(part) for part in found.groups() if part is not None)
    return time(hour, minute, second)


def parse_text(text: object) -> str:
    """Strip a text; an absent one is empty."""
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text")  # noqa: TRY004 - cattrs collects ValueErrors with their field
    # Half a surrogate pair is valid JSON, and no text that a file can hold.
    return text.strip().encode("utf-8", "backslashreplace").decode()


def make_digest(value: object) -> str | None:
    """Make an account number unreadable, whatever it is made of: it is only compared, and may be in no error text."""
    return None if value in ("", None) else hashlib.sha256(str(value).encode()).hexdigest()[:16]


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    hooks: dict[Any, Callable[[Any, Any], Any]] = {
        Padded: lambda text, _: parse_integer(text),
        OptionalPadded | None: lambda text, _: None if text in ("", None) else parse_integer(text),
        Number: lambda text, _: require_number(text),
        Number | None: lambda text, _: parse_number(text),
        Symbol: lambda text, _: parse_symbol(text),
        Clock | None: lambda text, _: parse_clock(text),
        LoanDate | None: lambda text, _: parse_loan_date(text),
        Price | None: lambda text, _: parse_price(text),
        AccountDigest | None: lambda text, _: make_digest(text),
        str: lambda text, _: parse_text(text),
    }
    for kind, hook in hooks.items():
        converter.register_structure_hook(kind, hook)
    return converter


_CONVERTER: Final = _make_converter()


def structure_rows(api_id: str, body: Mapping[str, Any], key: str, kind: type[_Row]) -> list[_Row]:
    """Read the rows of a page's list.

    Raises:
        QueryFailed: There is no such list, or a field is missing or unreadable; the text names it.
    """
    raw = body.get(key)
    if raw is None and not body:
        return []  # the broker said by its code that the list is empty
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise QueryFailed(api_id, f"the answer has no list {key!r}")
    rows = []
    for position, row in enumerate(raw, start=1):
        try:
            rows.append(_CONVERTER.structure(row, kind))
        except cattrs.BaseValidationError as error:
            where = f"{key}[{position}]"
            problems = "; ".join(cattrs.transform_error(error, path=where, format_exception=_describe))
            # Not from the cause, which quotes the fields as they came, and a misplaced account number with them.
            raise QueryFailed(api_id, f"unreadable row: {problems}") from None
        except (TypeError, AttributeError, ValueError, RecursionError):
            raise QueryFailed(api_id, f"unreadable row {position} of {key}") from None
    return rows


def _describe(error: BaseException, _: type | None) -> str:
    return "the field is missing" if isinstance(error, KeyError) else mask(str(error))


def mask(text: str) -> str:
    """Shorten what is quoted in an error, and hide what may be an account number that stands where it should not."""
    return _ACCOUNT_LIKE.sub("…", text)[:_LONGEST_QUOTE]


_LEDGER_KEY: Final = "acnt_ord_cntr_prps_dtl"


def decode_ledger(api_id: str, desk: Desk, day: date, body: Mapping[str, Any]) -> tuple[LedgerOrder, ...]:
    """Read a page of kt00007 or kt50031.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    rows = structure_rows(api_id, body, _LEDGER_KEY, _StockLedgerRow)
    return tuple(_to_ledger_order(api_id, desk, day, row) for row in rows)


def _to_ledger_order(api_id: str, desk: Desk, day: date, row: _StockLedgerRow) -> LedgerOrder:
    # The gold ledger shows zero for an order that is untouched in the book [O, example]; kt50075 tells the truth.
    leaves = None if desk is Desk.GOLD else row.ord_remnq
    confirmed = row.cnfm_qty or 0
    return LedgerOrder(
        day=day,
        desk=desk,
        broker_order_id=row.ord_no,
        action=parse_action(row.ori_ord, row.mdfy_cncl, row.io_tp_nm),
        symbol=row.stk_cd,
        side=_require_side(api_id, row.io_tp_nm),
        quantity=row.ord_qty,
        price=row.ord_uv or None,
        order_types=parse_order_types(row.trde_tp),
        route=ROUTES.get(row.dmst_stex_tp.upper()),
        stop_price=row.cond_uv or None,
        original=row.ori_ord,
        channel=row.comm_ord_tp,
        ordered_at=None if row.ord_tm is None else datetime.combine(day, row.ord_tm, KST),
        filled_quantity=row.cntr_qty,
        average_fill_price=Decimal(row.cntr_uv) if row.cntr_qty and row.cntr_uv else None,
        leaves_quantity=leaves,
        confirmed_quantity=confirmed,
        is_credit=None if desk is Desk.GOLD else parse_credit(row.io_tp_nm, row.crd_tp, row.loan_dt),
        loan_date=row.loan_dt,
    )


def decode_open_orders(api_id: str, desk: Desk, body: Mapping[str, Any]) -> tuple[OpenOrder, ...]:
    """Read a page of ka10075 or kt50075.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    if desk is Desk.GOLD:
        return tuple(
            OpenOrder(
                desk=desk,
                broker_order_id=row.ord_no,
                symbol=row.stk_cd,
                side=_require_side(api_id, row.io_tp_nm),
                quantity=row.ord_qty,
                price=row.ord_uv or None,
                leaves_quantity=row.ord_remnq or _compute_leaves(api_id, row),
                filled_quantity=row.cntr_qty,
                original=row.orig_ord_no,
                order_types=parse_order_types(row.trde_tp),
                route=ROUTES.get(row.dmst_stex_tp.upper()),
                stop_price=row.cond_uv or None,
            )
            for row in structure_rows(api_id, body, "acnt_ord_oso_prst", _GoldOpenRow)
        )
    return tuple(
        OpenOrder(
            desk=desk,
            broker_order_id=row.ord_no,
            symbol=row.stk_cd,
            side=_require_side(api_id, row.io_tp_nm),
            quantity=row.ord_qty,
            price=row.ord_pric or None,
            leaves_quantity=row.oso_qty,
            filled_quantity=row.cntr_qty or 0,
            original=row.orig_ord_no,
            account_digest=row.acnt_no,
            order_time=None if row.tm is None else row.tm.replace(tzinfo=KST),
            order_types=parse_order_types(row.trde_tp),
            route=Route.SOR if row.sor_yn.upper() == "Y" else ROUTES.get(row.stex_tp_txt.upper()),
            stop_price=row.stop_pric or None,
        )
        for row in structure_rows(api_id, body, "oso", _StockOpenRow)
    )


def _compute_leaves(api_id: str, row: _GoldOpenRow) -> int:
    # The gold views leave the remainder empty at times [O, example].
    leaves = row.ord_qty - row.cntr_qty - (row.cnfm_qty or 0)
    if leaves < 0:
        raise QueryFailed(api_id, f"order {row.ord_no} has more filled and confirmed than its {row.ord_qty}")
    return leaves


ROUTES: Final = {"KRX": Route.KRX, "NXT": Route.NXT, "SOR": Route.SOR}
"""Any other text does not tell: history is said to report 1 and 2, and children of a split order `S-KRX` [F]."""


def parse_side(text: str) -> Side | None:
    """Find the side in a kind of order; None where it names neither, or both.

    Containment, never equality: 현금매수, +매수, 융자매수 K and 매수취소 all occur.
    """
    if ("매수" in text) == ("매도" in text):
        return None
    return Side.BUY if "매수" in text else Side.SELL


def _require_side(api_id: str, text: str) -> Side:
    side = parse_side(text)
    if side is None:
        raise QueryFailed(api_id, f"io_tp_nm={mask(repr(text))} names neither 매수 nor 매도")
    return side


def parse_action(original: str | None, change: str, kind: str) -> Action:
    """Tell an order from a modify and a cancel.

    An original order that was canceled may carry 취소 in its own row, so the original number decides first.
    """
    if original is None:
        return Action.NEW
    if "취소" in change or "취소" in kind:
        return Action.CANCEL
    if "정정" in change or "정정" in kind:
        return Action.MODIFY
    return Action.NEW  # a child of a split SOR order


_PLAIN_LIMIT: Final = frozenset(
    {
        OrderType.LIMIT,
        OrderType.LIMIT_IOC,
        OrderType.LIMIT_FOK,
        # These turn into limit orders once they are in the book, and the text may follow.
        OrderType.CONDITIONAL_LIMIT,
        OrderType.BEST_LIMIT,
        OrderType.PRIORITY_LIMIT,
        OrderType.STOP_LIMIT,
        OrderType.AFTER_HOURS_SINGLE,
    }
)
_BEST: Final = frozenset({OrderType.BEST_LIMIT, OrderType.BEST_LIMIT_IOC, OrderType.BEST_LIMIT_FOK})
_MARKET: Final = frozenset({OrderType.MARKET, OrderType.MARKET_IOC, OrderType.MARKET_FOK})
_MIDPOINT: Final = frozenset({OrderType.MIDPOINT, OrderType.MIDPOINT_IOC, OrderType.MIDPOINT_FOK})
_IOC: Final = frozenset({kind for kind in OrderType if kind.value.endswith("_ioc")})
_FOK: Final = frozenset({kind for kind in OrderType if kind.value.endswith("_fok")})

_TYPE_WORDS: Final[tuple[tuple[str, frozenset[OrderType]], ...]] = (
    ("시간외단일가", frozenset({OrderType.AFTER_HOURS_SINGLE})),
    ("시간외", frozenset({OrderType.PRE_MARKET_CLOSE, OrderType.POST_MARKET_CLOSE})),
    ("조건부", frozenset({OrderType.CONDITIONAL_LIMIT})),
    ("최유리", _BEST),
    ("최우선", frozenset({OrderType.PRIORITY_LIMIT})),
    ("스톱", frozenset({OrderType.STOP_LIMIT})),
    ("중간가", _MIDPOINT),
    ("시장가", _MARKET),
    ("보통", _PLAIN_LIMIT),
    ("지정가", _PLAIN_LIMIT),
)
"""Words of `trde_tp` in answers, the more particular first. Only 보통, 시장가 and 지정가 are published [O]."""


def parse_order_types(text: str) -> frozenset[OrderType]:
    """Give the types a text can stand for: every type where the text is not known.

    Too many is safe (it makes a match ambiguous), too few is not (it would prove a false absence).
    """
    for word, kinds in _TYPE_WORDS:
        if word in text:
            for mark, narrow in (("IOC", _IOC), ("FOK", _FOK)):
                if mark in text.upper() and kinds & narrow:
                    return kinds & narrow
            return kinds
    return frozenset(OrderType)
