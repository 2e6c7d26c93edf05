"""What one exchange proves about an order: everything that is not provably something else is unclear."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async._wire.codes import CODE_MEANINGS, CodeMeaning
from kiwoom_async._wire.exchange import Answer, Breakdown, BreakdownKind
from kiwoom_async._wire.outcomes import Accepted, Refused, Unclear, Unsent, classify, parse_order_number
from tests.wire.rejections import EMPTY_LISTS, ORDER_TRS, REFUSALS

TR = "kt10000"
HTML = b"<html><body>Request Blocked</body></html>"


def answer(body: object = None, *, status: int = 200, api_id: str | None = TR, content: bytes | None = None) -> Answer:
    """Make an answer."""
    headers = {} if api_id is None else {"api-id": api_id}
    raw = json.dumps(body, ensure_ascii=False).encode() if content is None else content
    return Answer(status, headers, raw)


def accepted(**fields: Any) -> dict[str, Any]:
    """Make the body of an accepted order."""
    return {
        "ord_no": "0000101",
        "dmst_stex_tp": "KRX",
        "return_code": 0,
        "return_msg": "매수주문이 완료되었습니다.",
    } | fields


def refused(code: str, text: str = "거부", return_code: object = 20) -> dict[str, Any]:
    """Make the body of a refusal by the order host."""
    return {"return_code": return_code, "return_msg": f"[2000]({code}:{text})"}


def turned_away(code: str, return_code: object = 3) -> dict[str, Any]:
    """Make the body of a refusal by the gateway."""
    return {"return_code": return_code, "return_msg": f"처리하지 못했습니다[{code}:상세]"}


def unclear(exchange: Answer | Breakdown, *, is_answered: bool) -> None:
    """Expect an outcome that proves nothing."""
    outcome = classify(exchange, TR)
    assert isinstance(outcome, Unclear), outcome
    assert outcome.is_answered is is_answered
    assert outcome.reason


@pytest.mark.parametrize(
    ("body", "number", "quantity"),
    [
        (accepted(), "0000101", None),
        (accepted(ord_no="00024"), "0000024", None),
        (accepted(ord_no=" 0000101 "), "0000101", None),
        (accepted(return_code="0"), "0000101", None),
        (accepted(return_code="0000"), "0000101", None),
        (accepted(base_orig_ord_no="0000001", mdfy_qty="000000000004"), "0000101", 4),
        (accepted(base_orig_ord_no="0000001", cncl_qty="000000000010"), "0000101", 10),
        (accepted(cncl_qty="-"), "0000101", None),
        (accepted(cncl_qty="9" * 5000), "0000101", None),
        (accepted(cncl_qty=["1"]), "0000101", None),
        (accepted(return_msg=None), "0000101", None),
    ],
)
def test_number_and_success_are_an_acceptance(body: dict[str, Any], number: str, quantity: int | None) -> None:
    """Success with an order number: accepted, whatever the texts say."""
    assert classify(answer(body), TR) == Accepted(number, quantity)
    assert classify(answer(body, api_id=None), TR) == Accepted(number, quantity)


@pytest.mark.parametrize("ord_no", ["", " ", "0000000", "0", None, 101, "1a", "-101", "12345678901", "١٢٣", [], {}])
def test_200_rc0_blank_ord_no_is_unknown(ord_no: object) -> None:
    """Success without a number proves nothing, but nothing is on its way any more."""
    unclear(answer(accepted(ord_no=ord_no)), is_answered=False)
    assert parse_order_number(ord_no) is None


def test_200_rc0_without_ord_no_is_unknown() -> None:
    """The same where the field is missing."""
    unclear(answer({"return_code": 0, "return_msg": "정상"}), is_answered=False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        HTML,
        b"null",
        b"[]",
        b'"0000101"',
        b"17",
        b'{"ord_no":"00024" "return_code":0}',
        b"[" * 200_000,
        b'{"return_msg":' * 50_000,
    ],
)
def test_200_unparsable_is_unknown(content: bytes) -> None:
    """HTTP 200 that is no JSON object proves nothing, however deep it is nested."""
    unclear(answer(content=content), is_answered=False)


@pytest.mark.parametrize("size", range(1, len(json.dumps(accepted())) - 1, 7))
def test_200_truncated_json_is_unknown(size: int) -> None:
    """An answer that breaks off proves nothing, wherever it does."""
    unclear(answer(content=json.dumps(accepted()).encode()[:size]), is_answered=False)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
@pytest.mark.parametrize(
    "content", [HTML, b"", json.dumps(accepted()).encode(), json.dumps(refused("RC4003")).encode()]
)
def test_502_503_504_html_body_is_unknown(status: int, content: bytes) -> None:
    """A server error proves nothing, whatever stands in its body."""
    unclear(answer(status=status, content=content), is_answered=False)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404])
def test_html_under_any_status_is_unknown(status: int) -> None:
    """A firewall's page or a redirect proves nothing."""
    unclear(answer(status=status, content=HTML), is_answered=False)


@pytest.mark.parametrize("return_code", [None, "", " ", True, 0.0, [], {}])
def test_missing_return_code_is_unknown(return_code: object) -> None:
    """Without a readable return code nothing is concluded from a number."""
    unclear(answer(accepted(return_code=return_code)), is_answered=False)
    unclear(answer({"ord_no": "0000101"}), is_answered=False)


@pytest.mark.parametrize("status", [201, 202, 204, 400])
def test_success_under_another_status_is_unknown(status: int) -> None:
    """Kiwoom answers orders with 200; anything else is not an acceptance."""
    assert isinstance(classify(answer(accepted(), status=status), TR), Unclear)


@pytest.mark.parametrize("return_code", [20, "20", 2000, "2000"])
@pytest.mark.parametrize("code", REFUSALS)
def test_200_rc_nonzero_allowlisted_is_rejected(code: str, return_code: object) -> None:
    """An intact answer with a code on the list proves that nothing is on the book, and carries code and text."""
    body = refused(code, REFUSALS[code], return_code)
    assert classify(answer(body), TR) == Refused(code, body["return_msg"], CodeMeaning.BUSINESS_REFUSAL)
    unclear(answer(body, status=500), is_answered=False)
    assert isinstance(classify(answer(body, status=429), TR), Unclear)


@pytest.mark.parametrize("api_id", ORDER_TRS)
def test_codes_mean_the_same_for_every_order(api_id: str) -> None:
    """A refusal, an empty list, a full house and an acceptance, at every desk and for every verb."""
    for code, text in REFUSALS.items():
        body = refused(code, text)
        assert classify(answer(body, api_id=api_id), api_id) == Refused(
            code, body["return_msg"], CodeMeaning.BUSINESS_REFUSAL
        )
    for code in (*EMPTY_LISTS, "999999"):
        outcome = classify(answer(refused(code), api_id=api_id), api_id)
        assert isinstance(outcome, Unclear)
        assert not outcome.is_answered
    limited = classify(answer(turned_away("1700", 5), api_id=api_id), api_id)
    assert isinstance(limited, Unclear)
    assert limited.is_answered
    assert classify(answer(accepted(), api_id=api_id), api_id) == Accepted("0000101", None)


def test_host_code_with_five_digits_in_front_is_read() -> None:
    """`[20000](RC4058:…)` occurs as well."""
    body = {"return_code": 20, "return_msg": "[20000](RC4058:모의투자 장종료)"}
    assert isinstance(classify(answer(body), TR), Refused)


GATEWAY = [
    (codes, meaning, return_code)
    for meaning, return_code, listed in (
        (CodeMeaning.INPUT_ERROR, 2, "1501 1504 1505 1511 1512 1513 1514 1515 1516 1517 1901 1902 1903"),
        (CodeMeaning.TOKEN_REFUSED, 3, "8005 8031 8103"),
        (CodeMeaning.ACCESS_REFUSED, 3, "8001 8002 8003 8006 8009 8010 8011 8012 8015 8016 8020 8030 8040 8050"),
        (CodeMeaning.BUSINESS_REFUSAL, 2, "8104 8200"),
    )
    for codes in listed.split()
]


@pytest.mark.parametrize(("code", "meaning", "return_code"), GATEWAY)
def test_gateway_refusals(code: str, meaning: CodeMeaning, return_code: int) -> None:
    """The gateway turned the request away: by the code in its text, or by the code as return code."""
    for body in (turned_away(code, return_code), {"return_code": code, "return_msg": "거부"}):
        outcome = classify(answer(body), TR)
        assert isinstance(outcome, Refused)
        assert (outcome.code, outcome.meaning) == (code, meaning)


@pytest.mark.parametrize(
    ("body", "status", "is_refused"),
    [
        (turned_away("8005"), 401, True),
        (turned_away("8050"), 403, True),
        (turned_away("8050"), 401, True),
        (turned_away("8050"), 402, False),
        (turned_away("1511", 2), 400, True),
        (turned_away("1511", 2), 401, False),
        (turned_away("8005"), 400, False),
        (turned_away("8005"), 503, False),
        (refused("RC4003"), 400, False),
    ],
)
def test_codes_are_believed_under_fitting_statuses(body: dict[str, Any], status: int, is_refused: bool) -> None:
    """Under a status that does not fit, something else may have written the answer."""
    assert isinstance(classify(answer(body, status=status), TR), Refused if is_refused else Unclear)


@pytest.mark.parametrize(
    ("exchange", "reason"),
    [
        (answer(content=HTML), "HTTP 200 without readable JSON"),
        (answer(content=b"[]"), "HTTP 200 with JSON that is not an object"),
        (answer(accepted(), status=500), "HTTP 500"),
        (answer(accepted(ord_no="")), "success without an order number"),
        (answer(refused("RC4003"), status=500), "HTTP 500"),
        (answer(accepted(return_code=20)), "return_code 20 together with an order number"),
        (answer(refused("1999")), "HTTP 200, return_code 20, code 1999 proves nothing"),
    ],
)
def test_reason_says_what_is_wrong(exchange: Answer, reason: str) -> None:
    """Whoever has to look at the order reads what was wrong with its answer."""
    outcome = classify(exchange, TR)
    assert isinstance(outcome, Unclear)
    assert outcome.reason == reason


@pytest.mark.parametrize("code", ["1700", "1701", "1702", "1634", "1687"])
@pytest.mark.parametrize("status", [200, 429])
def test_429_or_rc_rate_limit_defaults_unknown(code: str, status: int) -> None:
    """Orders have been on the book after a rate-limit answer, so it proves nothing."""
    for body in (turned_away(code, 5), {"return_code": code, "return_msg": ""}):
        unclear(answer(body, status=status), is_answered=True)
    unclear(answer(status=429, content=HTML), is_answered=False)


@pytest.mark.parametrize(
    "body",
    [
        turned_away("1999", 1),
        turned_away("9999"),
        refused("RC0001"),
        refused("999999"),
        {"return_code": 1, "return_msg": "조회내역이 없습니다"},
        {"return_code": 3, "return_msg": "인증에 실패했습니다"},
        {"return_code": 20, "return_msg": ""},
        {"return_code": 20},
        {"return_code": 20, "return_msg": ["[2000](RC4003:x)"]},
        {"return_code": -1, "return_msg": "RC4003"},
        refused("571758"),
        refused("501724"),
    ],
)
def test_200_rc_nonzero_not_allowlisted_is_unknown(body: dict[str, Any]) -> None:
    """A code that is not on the list, an empty-list code among them, proves nothing about an order."""
    unclear(answer(body), is_answered=False)


@pytest.mark.parametrize("ord_no", ["", "  ", "0", "0000000", " 0000000 ", None])
def test_refusal_whose_number_is_blank_or_zero_is_a_refusal(ord_no: str | None) -> None:
    """That is how Kiwoom writes that there is no order."""
    assert isinstance(classify(answer(refused("RC4003") | {"ord_no": ord_no}), TR), Refused)


@pytest.mark.parametrize("ord_no", ["0000010", "1a", 101, 0, [], {}])
def test_refusal_that_names_anything_else_is_unknown(ord_no: object) -> None:
    """Whatever it is, it may be an order."""
    unclear(answer(refused("RC4003") | {"ord_no": ord_no}), is_answered=False)


def test_refusal_with_an_order_number_is_unknown() -> None:
    """A refusal that names a number contradicts itself."""
    unclear(answer(refused("RC4003") | {"ord_no": "0000101"}), is_answered=False)


@pytest.mark.parametrize("api_id", ["kt10001", "ka10075", ""])
@pytest.mark.parametrize("body", [accepted(), refused("RC4003")])
def test_response_for_wrong_api_id_is_unknown(api_id: str, body: dict[str, Any]) -> None:
    """The answer to another request says nothing about this one."""
    unclear(answer(body, api_id=api_id), is_answered=False)


@pytest.mark.parametrize("kind", list(BreakdownKind))
def test_breakdowns_are_judged_by_the_mark_alone(kind: BreakdownKind) -> None:
    """What broke decides nothing: only the proof that no byte was handed over does."""
    assert isinstance(classify(Breakdown(kind, "told", handed_over=False), TR), Unsent)
    unclear(Breakdown(kind, "told", handed_over=True), is_answered=False)


def test_reasons_hold_nothing_of_the_answer() -> None:
    """A token in a body or a header stands in no reason and no repr."""
    secret = "Bearer-abcdef"
    for exchange in (
        Answer(200, {"authorization": secret}, secret.encode()),
        Answer(200, {"authorization": secret}, json.dumps({"return_code": 1, "return_msg": secret}).encode()),
    ):
        assert secret not in repr(exchange)
        assert secret not in repr(classify(exchange, TR))


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["0", "0000", "0000101", "20", "[2000](RC4003:x)", "x[8005:y]", "x[1700:y]", "0000000"]),
    st.lists(st.integers(), max_size=3),
)
_BODIES = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(
        st.sampled_from(["return_code", "return_msg", "ord_no", "mdfy_qty", "cncl_qty", "other"]), _VALUES
    ).map(lambda body: json.dumps(body).encode()),
    st.recursive(_VALUES, lambda inner: st.lists(inner, max_size=3)).map(lambda body: json.dumps(body).encode()),
)
_HEADERS = st.dictionaries(
    st.sampled_from(["api-id", "cont-yn", "next-key", "content-type"]),
    st.one_of(st.sampled_from([TR, "kt10001", "Y", "N"]), st.text(max_size=10)),
)


@given(status=st.integers(100, 599), headers=_HEADERS, content=_BODIES)
def test_classify_never_raises_and_never_invents(status: int, headers: dict[str, str], content: bytes) -> None:
    """Any bytes under any status give one outcome; an acceptance has a number, status 200 and success."""
    outcome = classify(Answer(status, headers, content), TR)
    assert isinstance(outcome, Accepted | Refused | Unclear)
    if isinstance(outcome, Accepted):
        body = json.loads(content)
        assert int(outcome.broker_order_id) == int(body["ord_no"]) > 0
        assert len(outcome.broker_order_id) >= 7
        assert status == 200
        assert str(body["return_code"]).strip() in {"0", "0000"}
    if isinstance(outcome, Refused):
        assert outcome.meaning is CODE_MEANINGS[outcome.code]
        assert outcome.meaning not in {CodeMeaning.RATE_LIMIT, CodeMeaning.EMPTY_LIST}
