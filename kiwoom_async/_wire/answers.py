"""Intact answers, read once: status, JSON, Kiwoom's two layers of codes, the page cursor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen

from kiwoom_async._domain.settings import KST
from kiwoom_async._wire.codes import CODE_MEANINGS, CodeMeaning
from kiwoom_async._wire.exchange import Answer
from kiwoom_async._wire.json_text import read_json, storable
from kiwoom_async.errors import AuthenticationError, InvalidRequest, QueryFailed, RateLimited

_GATEWAY_CODE: Final = re.compile(r"\[(\d{3,5}):")
"""`phrase[CODE:text]`, written by the gateway [M]."""
_HOST_CODE: Final = re.compile(r"^\s*\[\d{3,6}\]\((\w{3,8}):")
"""`[2000](CODE:text)`, written by the order and account host [M]."""
_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
"""The one form that a server may write. Source: RFC 9110, 5.6.7; the two older forms are of the last century."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BLANKS: Final = " \t\r\n"
_RETURN_CODE: Final = re.compile(r"-?[0-9A-Za-z]{1,8}")
"""The published ones have up to four digits [O]; those inside the text up to eight characters."""
_ACCOUNT_LIKE: Final = re.compile(r"(?<![0-9])[0-9]{10}(?![0-9])")
"""An account number has ten digits [O]."""
_LONGEST_MESSAGE: Final = 500
"""Characters of a message that are kept. Source: our choice; those seen have under 100."""
_SUCCESS: Final = frozenset({"0", "0000"})
"""An integer on most TRs, a text on some [M]."""


@frozen
class Reading:
    """An answer as far as it can be read.

    Attributes:
        is_intact: HTTP 200 (or a status that carries Kiwoom's JSON) with a JSON object and a `return_code`.
        flaw: What is wrong with it, where it is not intact.
        return_code: As text; empty where it is missing.
        code: The code inside `return_msg`, or the return code itself where it is one of the table's.
    """

    status: int
    is_intact: bool
    flaw: str
    body: Mapping[str, Any]
    return_code: str = ""
    code: str = ""
    message: str = ""

    @property
    def is_success(self) -> bool:
        """Tell whether `return_code` says success."""
        return self.is_intact and self.status == 200 and self.return_code in _SUCCESS

    @property
    def meaning(self) -> CodeMeaning | None:
        """Give what the code proves; None for a code that is not on the table."""
        return CODE_MEANINGS.get(self.code) if self.is_intact and not self.is_success else None


def read_answer(answer: Answer, api_id: str) -> Reading:
    """Read an answer without judging it. Never raises."""
    try:
        body = read_json(answer.content)
    except ValueError:
        return _broken(answer, f"HTTP {answer.status} without readable JSON")
    if not isinstance(body, dict):
        return _broken(answer, f"HTTP {answer.status} with JSON that is not an object")
    answered = answer.headers.get("api-id", api_id)
    if answered != api_id:
        return _broken(answer, f"the answer is for {answered!r}, not for {api_id}")
    raw = body.get("return_code")
    text = "" if isinstance(raw, bool) or not isinstance(raw, int | str) else str(raw).strip(_BLANKS)
    if not _RETURN_CODE.fullmatch(text):
        return _broken(answer, f"HTTP {answer.status}, return_code missing or unreadable")
    told = body.get("return_msg")
    message = storable(told) if isinstance(told, str) else ""
    code = _extract_code(text, message)
    message = _ACCOUNT_LIKE.sub("…", message)[:_LONGEST_MESSAGE]
    return Reading(answer.status, is_intact=True, flaw="", body=body, return_code=text, code=code, message=message)


def _broken(answer: Answer, flaw: str) -> Reading:
    return Reading(answer.status, is_intact=False, flaw=flaw, body={})


def _extract_code(return_code: str, message: str) -> str:
    for pattern in (_HOST_CODE, _GATEWAY_CODE):
        if found := pattern.search(message):
            return found[1]
    return return_code


def read_date(answer: Answer) -> datetime | None:
    """Read the moment the broker's host wrote an answer, whole seconds; None where it does not tell."""
    found = _DATE.fullmatch(answer.headers.get("date", ""))
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC).astimezone(KST)
    except (ValueError, OverflowError):
        return None


@frozen
class Cursor:
    """Where the next page starts: `next-key`."""

    next_key: str


@frozen
class Page:
    """One page of a query.

    Attributes:
        body: The JSON object; empty where the broker says by an error that the list is empty.
        cursor: None on the last page.
    """

    body: Mapping[str, Any]
    cursor: Cursor | None


def read_page(answer: Answer, api_id: str, *, is_first: bool = True) -> Page:
    """Read a query's answer.

    Args:
        answer: The answer.
        api_id: The TR.
        is_first: It answers the first request of a query. "There is nothing" is no answer to a later one.

    Raises:
        QueryFailed: Anything that is not a complete, successful answer. Never means that there is nothing.
        AuthenticationError: The token or the key was refused.
        RateLimited: Kiwoom's rate limit.
        InvalidRequest: Kiwoom did not understand the query.
    """
    reading = read_answer(answer, api_id)
    if reading.is_success:
        return Page(reading.body, _read_cursor(answer, api_id))
    if not reading.is_intact:
        raise QueryFailed(api_id, reading.flaw)
    if reading.meaning is CodeMeaning.EMPTY_LIST and reading.status == 200 and is_first:
        return Page({}, None)
    raise _query_error(reading, api_id)


def _read_cursor(answer: Answer, api_id: str) -> Cursor | None:
    announced = answer.headers.get("cont-yn", "").strip().upper()
    # The header is optional, and Y where there is more [O]; anything else than that and N is not understood.
    if announced in {"", "N"}:
        return None
    if announced != "Y":
        raise QueryFailed(api_id, f"cont-yn {announced[:8]!r} is neither Y nor N")
    next_key = answer.headers.get("next-key", "").strip()
    if not next_key:
        raise QueryFailed(api_id, "more pages are announced (cont-yn Y) but next-key is empty")
    return Cursor(next_key)


def _query_error(reading: Reading, api_id: str) -> Exception:
    details = {"code": reading.code, "broker_message": reading.message, "api_id": api_id}
    match reading.meaning:
        case CodeMeaning.TOKEN_REFUSED | CodeMeaning.ACCESS_REFUSED:
            return AuthenticationError(f"{api_id}: access was refused ({reading.code}).", **details)
        case CodeMeaning.RATE_LIMIT:
            return RateLimited(f"{api_id}: too many requests ({reading.code}); wait a second and ask again.", **details)
        case CodeMeaning.INPUT_ERROR:
            return InvalidRequest(f"{api_id}: not understood ({reading.code}): {reading.message}", **details)
        case _:
            return QueryFailed(api_id, f"return_code {reading.return_code}, code {reading.code}: {reading.message}")
