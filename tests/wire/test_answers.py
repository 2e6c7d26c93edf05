"""Pages of queries: a complete, successful answer, or an error that never means that there is nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async._wire.answers import Cursor, Page, read_date, read_page
from kiwoom_async._wire.exchange import Answer
from kiwoom_async.errors import AuthenticationError, InvalidRequest, KiwoomError, QueryFailed, RateLimited, Refused

TR = "kt00007"
BODY: dict[str, Any] = {"acnt_ord_cntr_prps_dtl": [], "return_code": 0, "return_msg": " 조회가 완료되었습니다."}


def answer(body: object = BODY, *, status: int = 200, **headers: Any) -> Answer:
    """Make an answer; underscores in header names stand for dashes."""
    named: dict[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(body).encode())


def failed(code: str, *, host: bool = False, return_code: int = 20) -> dict[str, Any]:
    """Make the body of an error."""
    text = f"[2000]({code}:문구)" if host else f"분류문구[{code}:상세]"
    return {"return_code": return_code, "return_msg": text}


@pytest.mark.parametrize("headers", [{}, {"cont_yn": "N"}, {"cont_yn": "N", "next_key": "7"}, {"next_key": "7"}])
def test_last_page_has_no_cursor(headers: dict[str, Any]) -> None:
    """Only cont-yn Y announces another page."""
    assert read_page(answer(**headers), TR) == Page(BODY, None)


@pytest.mark.parametrize("more", ["Y", "y", " Y "])
def test_next_page_has_a_cursor(more: str) -> None:
    """cont-yn Y with a next-key leads to the next page."""
    assert read_page(answer(cont_yn=more, next_key=" 00A7 "), TR) == Page(BODY, Cursor("00A7"))


@pytest.mark.parametrize("headers", [{}, {"next_key": ""}, {"next_key": "  "}])
def test_cont_yn_without_next_key_voids(headers: dict[str, Any]) -> None:
    """A page that announces another one and does not say where is no page."""
    with pytest.raises(QueryFailed, match="next-key is empty"):
        read_page(answer(cont_yn="Y", **headers), TR)


@pytest.mark.parametrize("code", ["571758", "501724"])
def test_empty_list_by_its_code(code: str) -> None:
    """Two codes say that the list is empty; under any status but 200 somebody else may have written them."""
    assert read_page(answer(failed(code, host=True)), TR) == Page({}, None)
    for status in (400, 401, 429, 500, 503):
        with pytest.raises(QueryFailed):
            read_page(answer(failed(code, host=True), status=status), TR)


@pytest.mark.parametrize(
    ("exchange", "error"),
    [
        (answer(failed("8005", return_code=3)), AuthenticationError),
        (answer(failed("8050", return_code=3)), AuthenticationError),
        (answer(failed("8030", return_code=2)), AuthenticationError),
        (answer(failed("1700", return_code=5)), RateLimited),
        (answer(failed("1700", return_code=5), status=429), RateLimited),
        (answer(failed("1511", return_code=2)), InvalidRequest),
        (answer(failed("1999", return_code=1)), QueryFailed),
        (answer(failed("RC7006", host=True)), QueryFailed),
        (answer(failed("999999", host=True)), QueryFailed),
        (answer({"return_code": 1, "return_msg": "조회내역이 없습니다"}), QueryFailed),
        (answer({}), QueryFailed),
        (answer([]), QueryFailed),
        (answer(BODY, status=500), QueryFailed),
        (answer(BODY, status=206), QueryFailed),
        (answer(api_id="ka10075"), QueryFailed),
        (Answer(200, {}, b"<html>"), QueryFailed),
        (Answer(200, {}, json.dumps(BODY).encode()[:-3]), QueryFailed),
        (Answer(200, {}, b"[" * 200_000), QueryFailed),
    ],
)
def test_failure_is_not_absence(exchange: Answer, error: type[KiwoomError]) -> None:
    """Everything else raises, each kind its own error with code and text beside it."""
    with pytest.raises(error) as caught:
        read_page(exchange, TR)
    assert type(caught.value) is error
    assert caught.value.api_id == TR  # type: ignore[attr-defined]
    if isinstance(caught.value, Refused):
        assert caught.value.code
        assert caught.value.code in caught.value.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(
    status=st.sampled_from([200, 200, 200, 400, 429, 500]),
    headers=st.dictionaries(
        st.sampled_from(["api-id", "cont-yn", "next-key"]), st.sampled_from(["", "Y", "N", TR, "7"])
    ),
    body=st.one_of(
        _JSON,
        st.fixed_dictionaries(
            {"return_code": st.sampled_from([0, "0", 20, 3, "1700"])}, optional={"return_msg": _JSON}
        ),
    ),
)
def test_read_page_raises_documented_errors_only(status: int, headers: dict[str, str], body: object) -> None:
    """Any JSON gives a page or one of the four documented errors; a page comes from status 200 alone."""
    try:
        page = read_page(Answer(status, headers, json.dumps(body).encode()), TR)
    except (QueryFailed, AuthenticationError, RateLimited, InvalidRequest):
        return
    assert status == 200
    assert page.body in ({}, body)
    assert (page.cursor is not None) == (headers.get("cont-yn") == "Y")


@pytest.mark.parametrize("month", range(1, 13))
def test_date_of_every_month_is_read(month: int) -> None:
    """A month that is taken for another one would look like a clock that is a month off (A11)."""
    moment = datetime(2026, month, 9, 3, 4, 5, tzinfo=UTC)
    assert read_date(answer(date=format_datetime(moment, usegmt=True))) == moment
