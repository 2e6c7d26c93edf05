"""Records read by a table: for each attribute the name of the field on the wire, and what its text must be.

Every field is parsed or raises. An error names the field and shows its text, except that long runs of digits are
hidden: one of them may be an account number that stands where it should not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from attrs import frozen

from kiwoom_async._domain.settings import KST
from kiwoom_async._wire.ledger import parse_symbol, parse_text
from kiwoom_async.errors import QueryFailed

_Record = TypeVar("_Record")

_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,18}")
_COUNT: Final = re.compile(r"\+?[0-9]{1,18}")
_MARKED: Final = re.compile(r"[+-]?([0-9]{1,18})")
_AVERAGE: Final = re.compile(r"\+?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_RATE: Final = re.compile(r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,9})?)%?")
_SYMBOL: Final = re.compile(r"\*?([0-9A-Z]{6,9})")
"""Rows of a credit loan are said to carry a star before the code [F]."""
_CLOCK: Final = re.compile(r"([0-9]{2}):?([0-9]{2}):?([0-9]{2})")
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_ACCOUNT_NUMBER: Final = re.compile(r"[0-9]{10}")
_ACCOUNT_LIKE: Final = re.compile(r"[0-9]{8,}")
_LONGEST_TEXT: Final = 40


@frozen
class Kind:
    """What a text must be.

    Attributes:
        words: Names it in errors: "is not …".
        parse: Reads a text, or raises ValueError without quoting it.
        is_optional: An empty text, and a field that is not there, read as None.
        is_secret: Errors show nothing of the text.
    """

    words: str
    parse: Callable[[str], Any]
    is_optional: bool = False
    is_secret: bool = False

    @property
    def optional(self) -> Kind:
        """The same, where an empty text means that the view does not tell."""
        return Kind(self.words, self.parse, is_optional=True, is_secret=self.is_secret)


Table: TypeAlias = Mapping[str, tuple[str, Kind]]
"""For each attribute of a record: the field's name on the wire, and what it must be."""


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError("it has another form")
    return found


def _read_marked(text: str) -> int | None:
    return int(_match(_MARKED, text)[1]) or None


def _read_symbol(text: str) -> str:
    return parse_symbol(_match(_SYMBOL, text)[1])


def _read_clock(text: str) -> time:
    hour, minute, second = map(int, _match(_CLOCK, text).groups())
    return time(hour, minute, second, tzinfo=KST)


def _read_date(text: str) -> date | None:
    year, month, day = map(int, _match(_DATE, text).groups())
    return date(year, month, day) if year or month or day else None


def _read_flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError("it is neither")
    return text == "1"


AMOUNT: Final = Kind("a whole number", lambda text: int(_match(_AMOUNT, text)[0]))
"""KRW with zeros and a minus before it, for example "-00000003201"."""
COUNT: Final = Kind("a whole number of at least zero", lambda text: int(_match(_COUNT, text)[0]))
AVERAGE: Final = Kind("a price", lambda text: Decimal(_match(_AVERAGE, text)[0]))
"""A price with or without digits behind the point."""
RATE: Final = Kind("a percentage", lambda text: Decimal(_match(_RATE, text)[1]))
MARKET_PRICE: Final = Kind("a price", _read_marked, is_optional=True)
"""A sign before it marks up or down and is no part of it [O]; an empty text and zero mean that there is none."""
SYMBOL: Final = Kind("a symbol", _read_symbol)
CLOCK: Final = Kind("a time of day", _read_clock)
DATE: Final = Kind("a date", _read_date, is_optional=True)
"""`YYYYMMDD`; empty or zeros for none."""
FLAG: Final = Kind("0 or 1", _read_flag)
TEXT: Final = Kind("a text", parse_text)
ACCOUNT_NUMBER: Final = Kind("ten digits", lambda text: _match(_ACCOUNT_NUMBER, text)[0], is_secret=True)


def read_field(api_id: str, body: Mapping[str, Any], name: str, kind: Kind, where: str = "") -> Any:
    """Read one field.

    Raises:
        QueryFailed: It is missing or unreadable; the text names it.
    """
    text = body.get(name)
    is_empty = text is None or (isinstance(text, str) and not text.strip())
    if is_empty and (kind.is_optional or kind is TEXT):
        return "" if kind is TEXT else None
    if name not in body:
        raise QueryFailed(api_id, f"{where}{name} is missing")
    try:
        if not isinstance(text, str):
            raise ValueError("it is no text")  # noqa: TRY004 - handled right below
        return kind.parse(text.strip())
    except ValueError as error:
        shown = "" if kind.is_secret else f"={show(text)}"
        raise QueryFailed(api_id, f"{where}{name}{shown} is not {kind.words}") from error


def show(text: object) -> str:
    """Quote a text in an error: shortened, and without what may be an account number."""
    return _ACCOUNT_LIKE.sub("…", ascii(text) if not isinstance(text, str) else repr(parse_text(text)))[:_LONGEST_TEXT]


def read_fields(api_id: str, body: Mapping[str, Any], table: Table, where: str = "") -> dict[str, Any]:
    """Read all fields of a table, by the names of the attributes.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return {attribute: read_field(api_id, body, name, kind, where) for attribute, (name, kind) in table.items()}


def read_rows(
    api_id: str, body: Mapping[str, Any], key: str, table: Table, make: Callable[..., _Record]
) -> tuple[_Record, ...]:
    """Read the rows of a page's list.

    Raises:
        QueryFailed: There is no such list, or a field is missing or unreadable; the text names it.
    """
    if not body:
        return ()  # the broker said by its code that the list is empty
    raw = body.get(key)
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise QueryFailed(api_id, f"the answer has no list {key!r}")
    records = []
    for position, row in enumerate(raw, start=1):
        where = f"{key}[{position}]"
        if not isinstance(row, Mapping):
            raise QueryFailed(api_id, f"{where} is not an object")
        records.append(make(**read_fields(api_id, row, table, f"{where}.")))
    return tuple(records)
