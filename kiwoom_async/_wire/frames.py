"""Frames of the real-time feed, both ways, and its reports of orders.

Reading a frame never raises: the feed outlives whatever is sent over it. Reading a report parses every field or raises:
a report that is half understood counts for nothing, and the ledger is asked instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from attrs import field, frozen

from kiwoom_async._domain.reports import OrderReport, ReportKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, Route, Side
from kiwoom_async._wire.codes import CODE_MEANINGS, CodeMeaning
from kiwoom_async._wire.credit import parse_credit
from kiwoom_async._wire.json_text import read_json
from kiwoom_async._wire.ledger import (
    make_digest,
    parse_action,
    parse_clock,
    parse_integer,
    parse_number,
    parse_order_types,
    parse_price,
    parse_side,
    parse_symbol,
    parse_text,
    require_number,
)
from kiwoom_async.errors import UnreadableReport

ORDER_REPORTS: Final = "00"
"""주문체결. Source: the real-time items of the specification [O]."""
BALANCES: Final = "04"
"""잔고. Source: the same."""
FEED_TYPES: Final = (ORDER_REPORTS, BALANCES)

REPLACED: Final = "R10001"
"""`SYSTEM`: another login with the same app key [M]."""
NO_HEARTBEAT: Final = "R10002"
"""`SYSTEM`: the server misses the echo of its PING and hangs up [S]."""

_LOGIN_FAILED: Final = 805004
"""`LOGIN`: the token did not pass [M]."""
_LOGIN_CODE: Final = re.compile(r"CODE=(\d{3,5})\b|\[(\d{3,5}):")
"""The gateway's code inside the text of a refused login [M]."""

_LONGEST_TEXT: Final = 200
"""Characters of a text of the server that are kept. Source: our choice; those seen have under 80."""

_T = TypeVar("_T")


@frozen
class LoginAnswer:
    """The answer to LOGIN; `code` 0 is success."""

    code: int
    message: str

    @property
    def is_token_refused(self) -> bool:
        """Tell whether a new token may help."""
        found = _LOGIN_CODE.search(self.message)
        inner = "" if found is None else found[1] or found[2]
        return self.code == _LOGIN_FAILED or CODE_MEANINGS.get(inner) is CodeMeaning.TOKEN_REFUSED


@frozen
class RegisterAnswer:
    """The answer to REG; `code` 0 is success."""

    code: int
    message: str


@frozen
class Ping:
    """Asks for an echo of `text`, unchanged."""

    text: str


@frozen
class System:
    """A notice of the server about the connection."""

    code: str
    message: str


@frozen
class RealEntry:
    """One statement of a REAL frame.

    Attributes:
        type: Which real-time item, for example "00".
        item: A symbol, or what the item is about.
        values: By field number (FID). Not in the repr: there is an account number among them.
        received_at: When it came, on our wall clock: a report tells a time and no day.
    """

    type: str
    item: str
    values: Mapping[str, Any] = field(repr=False)
    received_at: datetime | None = field(default=None, eq=False)


@frozen
class Real:
    """What was registered for.

    Attributes:
        unreadable: Entries that are none; whatever they said is lost.
    """

    entries: tuple[RealEntry, ...]
    unreadable: int = 0


@frozen
class Unknown:
    """A frame with a name (`trnm`) that means nothing to us."""

    trnm: str


@frozen
class Malformed:
    """Not a frame. The reason quotes nothing of it."""

    reason: str


Frame: TypeAlias = LoginAnswer | RegisterAnswer | Ping | System | Real | Unknown | Malformed


def login_frame(token: str) -> str:
    """Write the frame that must come first.

    Args:
        token: The access token, without "Bearer".
    """
    return json.dumps({"trnm": "LOGIN", "token": token})


def register_frame(types: Sequence[str] = FEED_TYPES) -> str:
    """Register for real-time items of the whole account.

    The items are ignored for 00 and 04; one empty text is what the published client and bots send [O, M].
    """
    data = [{"item": [""], "type": list(types)}]
    return json.dumps({"trnm": "REG", "grp_no": "1", "refresh": "1", "data": data})


def read_frame(text: str) -> Frame:
    """Read what came over the feed. Never raises."""
    try:
        body = read_json(text)
    except ValueError:
        return Malformed("not JSON")
    if not isinstance(body, dict):
        return Malformed("JSON that is not an object")
    name = body.get("trnm")
    if not isinstance(name, str):
        return Malformed("an object without trnm")
    reader = _READERS.get(name)
    return Unknown(_keep_text(name)[:20]) if reader is None else reader(body, text)


def _read_login(body: Mapping[str, Any], _: str) -> Frame:
    code = _read_code(body)
    if code is None:
        return Malformed("LOGIN without return_code")
    return LoginAnswer(code, _keep_text(body.get("return_msg")))


def _read_registration(body: Mapping[str, Any], _: str) -> Frame:
    code = _read_code(body)
    if code is None:
        return Malformed("REG without return_code")
    return RegisterAnswer(code, _keep_text(body.get("return_msg")))


def _read_ping(_: Mapping[str, Any], text: str) -> Frame:
    return Ping(text)


def _read_system(body: Mapping[str, Any], _: str) -> Frame:
    return System(_keep_text(body.get("code"))[:20], _keep_text(body.get("message")))


def _read_real(body: Mapping[str, Any], _: str) -> Frame:
    data = body.get("data")
    if not isinstance(data, list):
        return Malformed("REAL without a list")
    entries = tuple(
        RealEntry(_keep_text(one["type"]), _keep_text(one.get("item")), one["values"])
        for one in data
        if isinstance(one, dict) and isinstance(one.get("type"), str) and isinstance(one.get("values"), dict)
    )
    return Real(entries, unreadable=len(data) - len(entries))


_READERS: Final[dict[str, Callable[[Mapping[str, Any], str], Frame]]] = {
    "LOGIN": _read_login,
    "REG": _read_registration,
    "PING": _read_ping,
    "SYSTEM": _read_system,
    "REAL": _read_real,
}


def _read_code(body: Mapping[str, Any]) -> int | None:
    # A number here, a text elsewhere in the same API [M].
    raw = body.get("return_code")
    text = str(raw).strip() if isinstance(raw, int | str) and not isinstance(raw, bool) else ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _keep_text(value: object) -> str:
    return parse_text(value)[:_LONGEST_TEXT] if isinstance(value, str) else ""


_KINDS: Final = {
    "접수": ReportKind.ACCEPTED,
    "체결": ReportKind.FILLED,
    "확인": ReportKind.CONFIRMED,
    "취소": ReportKind.CANCELED,
    "거부": ReportKind.REFUSED,
}
"""FID 913 [O]. A partial fill has no word of its own [M]."""

_SIDES: Final = {"1": Side.SELL, "2": Side.BUY, "": None}
"""FID 907 [O]."""

_ROUTES: Final = {("N", "KRX"): Route.KRX, ("N", "NXT"): Route.NXT} | {
    ("Y", venue): Route.SOR for venue in ("KRX", "NXT", "통합", "SOR", "")
}
"""FIDs 2136 and 2135: the venue is the route only where the order did not go through the order router, which is told
by 2136 alone [F, for the same field of the ledger]. Any other pair does not tell."""

_CHANGES: Final = ("취소", "정정")
_ACCOUNT_LIKE: Final = re.compile(r"\d{8,}")
"""An account number has ten digits [O]; nothing else of so many is needed to find a fault."""


def decode_report(entry: RealEntry, day: date) -> OrderReport:
    """Read a report of an order (type 00).

    Args:
        entry: As it came.
        day: The Korean day on which it came; the report carries a time only.

    Raises:
        UnreadableReport: A field is missing, unreadable or contradicts another one.
    """
    values = entry.values
    kind = _read(values, "913", _KINDS.__getitem__)
    original = _read(values, "904", parse_number)
    symbol = _read(values, "9001", parse_symbol)
    quantity = _read(values, "900", parse_integer)
    leaves = _read(values, "902", _parse_optional_integer)
    clock = _read(values, "908", parse_clock)
    terminal = _read(values, "921", str)
    totals = _read_totals(kind, quantity, leaves, values)
    is_fill = kind is ReportKind.FILLED
    return OrderReport(
        kind=kind,
        day=day,
        desk=Desk.GOLD if _is_gold(symbol) else Desk.STOCK,
        broker_order_id=_read(values, "9203", require_number),
        action=_read_action(values, original),
        symbol=symbol,
        side=_read_side(values),
        quantity=quantity,
        price=_read(values, "901", _parse_whole_price),
        order_types=parse_order_types(_read(values, "906", str)),
        route=_ROUTES.get((_read(values, "2136", str.upper), _read(values, "2135", str.upper))),
        original=original,
        leaves_quantity=leaves,
        filled_quantity=totals.quantity,
        filled_amount=totals.amount,
        fill_quantity=totals.single_quantity if is_fill else None,
        fill_price=totals.single_price if is_fill else None,
        execution_id=_read(values, "909", _parse_identifier) if is_fill else None,
        at=None if clock is None else datetime.combine(day, clock, KST),
        # 0 stands for none [O].
        reason=_read(values, "919", _parse_identifier) or "" if kind is ReportKind.REFUSED else "",
        terminal=terminal,
        account_digest=_read(values, "9201", make_digest),
        # Not by 922 (신용구분): it is published for executions only, so that the 00 of an acceptance [M, for cash] may
        # stand there for every order. A word of credit in 905 is positive evidence, its absence is none.
        is_credit=parse_credit(_read(values, "905", str), "", None),
    )


def _read(values: Mapping[str, Any], fid: str, parse: Callable[[str], _T]) -> _T:
    raw = values.get(fid)
    with suppress(ValueError, KeyError):
        return parse(parse_text(raw))
    # Not from the cause, which would quote the field as it came, and a misplaced account number with it.
    raise UnreadableReport(fid, _show(raw))


def _show(raw: object) -> str:
    if raw is None:
        return "is missing"
    if not isinstance(raw, str):
        return f"is no text but {type(raw).__name__}"
    return f"says {_ACCOUNT_LIKE.sub('…', raw)[:40]!r}"


def _parse_optional_integer(text: str) -> int | None:
    return parse_integer(text) if text else None


def _parse_whole_price(text: str) -> int | None:
    price = parse_price(text)
    if price is None or not price:
        return None
    if price != price.to_integral_value():
        raise ValueError
    return int(price)


def _parse_identifier(text: str) -> str | None:
    return text if text.strip("0") else None


def _is_gold(symbol: str) -> bool:
    # By the form and not by the list of products, so that a new product is not taken for a share.
    return len(symbol) == 9 and symbol.startswith("M0")


def _read_side(values: Mapping[str, Any]) -> Side:
    coded = _read(values, "907", _SIDES.__getitem__)
    named = _read(values, "905", parse_side)
    side = named or coded
    if side is None:
        raise UnreadableReport("905", "neither it nor 907 tells the side")
    if coded is not None and coded is not side:
        raise UnreadableReport("907", "names the other side than 905")
    return side


def _read_action(values: Mapping[str, Any], original: str | None) -> Action:
    kind = _read(values, "905", str)
    if original is None and any(word in kind for word in _CHANGES):
        # Of a modify or cancel that names no order, or of an order that was canceled? Not seen, so not guessed.
        raise UnreadableReport("904", "names no original, but 905 says that this is a modify or a cancel")
    return parse_action(original, "", kind)


@frozen
class _Totals:
    quantity: int
    amount: int | None
    single_quantity: int | None
    single_price: int | None


def _read_totals(kind: ReportKind, quantity: int, leaves: int | None, values: Mapping[str, Any]) -> _Totals:
    """Read what is filled so far and what this fill is.

    Two measured it that 911 and 910 are the total and its average [M, M]; one program reads 911 as this fill alone [F].
    Counting wrongly would be worse than asking the ledger, so that the report itself has to prove that it is the total.
    """
    total = _read(values, "911", _parse_optional_integer) or 0
    amount = _read(values, "903", _parse_optional_integer)
    average = _read(values, "910", parse_price)
    single = _read(values, "915", _parse_optional_integer) or None
    single_price = _read(values, "914", _parse_whole_price)
    if not total:
        if kind is ReportKind.FILLED or (amount and _read(values, "911", str)):
            raise UnreadableReport("911", "counts nothing, although something is filled")
        # An acceptance leaves 911 empty [M], and so may others: they tell of no fills, whatever there were.
        return _Totals(0, 0 if amount == 0 else None, None, None)
    flaw = _find_flaw(quantity, leaves, total, amount, average, single, single_price)
    if flaw:
        raise UnreadableReport("911", flaw)
    return _Totals(total, amount, single, single_price)


def _find_flaw(
    quantity: int,
    leaves: int | None,
    total: int,
    amount: int | None,
    average: Decimal | None,
    single: int | None,
    single_price: int | None,
) -> str:
    # The average is in whole KRW [M], rounded in a way that nobody has told. One report may blend several executions
    # (prices off the tick grid were seen [M]), so that the price of this fill may be rounded as well.
    if amount is not None and average is not None and abs(amount - average * total) >= total:
        return "the amount in 903 is not that of so many at the average in 910"
    if single is not None and single > total:
        return "counts less than this fill in 915"
    if single == total and single_price and average and abs(single_price - average) >= 1:
        return "is one fill, but the average in 910 is not its price in 914"
    # More cannot be filled than has left the book; and no less than this under either reading.
    if leaves is not None and total + leaves >= quantity:
        return ""
    # What is missing was canceled, or filled before and not counted. It was not filled if this fill is but a part of
    # the total, or if it alone makes up the amount of all.
    is_told = amount is not None and average is not None
    is_part = is_told and single is not None and single < total
    is_all = amount is not None and average is not None and single == total and amount == average * total
    return "" if is_part or is_all else "may be the total or this fill alone"
