"""Answers to orders, with anything in them that a broker or a fault can write: never a wrong definite outcome."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiwoom_async._wire.answers import read_date
from kiwoom_async._wire.codes import CODE_MEANINGS
from kiwoom_async._wire.exchange import Answer
from kiwoom_async._wire.outcomes import Accepted, Outcome, Refused, Unclear, classify
from kiwoom_async._wire.rate_limits import read_limit
from tests.nasty import NO_NUMBERS, RAW_DOCUMENTS, Mutant, mutants, repeated_names, truncated
from tests.profiles import examples

TR = "kt10002"
ACCEPTED = {
    "ord_no": "0000101",
    "base_orig_ord_no": "0000099",
    "mdfy_qty": "000000000004",
    "dmst_stex_tp": "KRX",
    "return_code": 0,
    "return_msg": "정정주문이 완료되었습니다.",
}
REFUSED = {"ord_no": "", "return_code": 20, "return_msg": "[2000](RC4003:모의투자 주문가격 오류)"}
TURNED_AWAY = {"return_code": 3, "return_msg": "인증에 실패했습니다[8005:Token이 유효하지 않습니다]"}
SAMPLES: list[tuple[dict[str, Any], Outcome]] = [
    (sample, classify(Answer(200, {"api-id": TR}, json.dumps(sample).encode()), TR))
    for sample in (ACCEPTED, REFUSED, TURNED_AWAY)
]


def judged(content: bytes, **headers: str) -> Outcome:
    """Classify a body."""
    return classify(Answer(200, {"api-id": TR} | headers, content), TR)


def test_samples_are_definite() -> None:
    """Otherwise nothing below would show anything."""
    assert [type(outcome) for _, outcome in SAMPLES] == [Accepted, Refused, Refused]


def may_be(mutant: Mutant, outcome: Accepted | Refused, intact: Outcome) -> bool:
    """Say by the mutated field alone, and by no code of ours, whether a definite outcome can be right."""
    if type(outcome) is not type(intact):
        return False
    value = mutant.value
    text = value.strip() if isinstance(value, str) else None
    if isinstance(outcome, Refused):
        # The code is one of those that prove a refusal, and nothing names an order beside it.
        names_none = mutant.raw is None or value is None or (text is not None and not text.strip("0"))
        return outcome.code in CODE_MEANINGS and (mutant.name != "ord_no" or names_none)
    is_number = text is not None and re.fullmatch("[0-9]{1,7}", text) is not None and int(text) > 0
    right: dict[str, bool] = {
        "ord_no": is_number and outcome == Accepted((text or "").zfill(7), 4),
        "return_code": mutant.raw in {b"0", b"-0", b'"0"', b'"0000"'} and outcome == intact,
        "mdfy_qty": outcome.broker_order_id == "0000101"
        and (outcome.quantity is None or str(outcome.quantity) == ((text or "").lstrip("0") or "0")),
    }
    return right.get(mutant.name, outcome == intact)


@pytest.mark.parametrize(("sample", "intact"), SAMPLES, ids=["accepted", "refused", "turned away"])
def test_answer_with_one_nasty_value_is_never_a_wrong_definite_outcome(sample: dict[str, Any], intact: Outcome) -> None:
    """Every field, every nasty value: the outcome is that of the value, or unclear; its text can be kept in a file."""
    for mutant in mutants(sample):
        outcome = judged(mutant.content)
        if isinstance(outcome, Accepted | Refused):
            assert mutant.value is not ... or mutant.raw is None, mutant
            assert may_be(mutant, outcome, intact), (mutant, outcome)
        text = outcome.reason if isinstance(outcome, Unclear) else repr(outcome)
        assert len(text.encode()) < 2000


@pytest.mark.parametrize(("sample", "intact"), SAMPLES, ids=["accepted", "refused", "turned away"])
def test_answer_that_breaks_off_or_says_two_things_is_unclear(sample: dict[str, Any], intact: Outcome) -> None:
    """At every length; and with any name twice, whichever of both comes first."""
    for content in truncated(sample):
        assert isinstance(judged(content), Unclear), content
    for name, content in repeated_names(sample):
        assert isinstance(judged(content), Unclear), (name, content)
    same = json.dumps(sample).encode()[:-1] + b',"return_code":' + json.dumps(sample["return_code"]).encode() + b"}"
    assert judged(same) == intact


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "euc-kr"])
def test_answer_in_another_encoding_is_unclear(encoding: str) -> None:
    """Kiwoom writes UTF-8; whoever writes something else is somebody else."""
    text = json.dumps(ACCEPTED, ensure_ascii=False)
    outcome = judged(text.encode(encoding))
    # Where the bytes are the same as in UTF-8, they are no other encoding.
    assert isinstance(outcome, Unclear) or text.encode(encoding) == text.encode()


@pytest.mark.parametrize("content", RAW_DOCUMENTS, ids=lambda raw: repr(raw[:20]))
def test_body_that_is_no_answer_is_unclear(content: bytes) -> None:
    """Whatever it is, under every status."""
    for status in (100, 200, 204, 301, 400, 401, 403, 429, 500, 503, 999):
        outcome = classify(Answer(status, {"api-id": TR}, content), TR)
        assert isinstance(outcome, Unclear)
        assert not outcome.is_answered


@settings(max_examples=examples(200))
@given(content=st.binary(max_size=300), status=st.integers(0, 999))
def test_bytes_are_never_a_definite_outcome(content: bytes, status: int) -> None:
    """Chance writes no answer."""
    assert isinstance(classify(Answer(status, {}, content), TR), Unclear)


@settings(max_examples=examples(300))
@given(
    sample=st.sampled_from([sample for sample, _ in SAMPLES]),
    at=st.integers(0, 400),
    length=st.integers(0, 4),
    put=st.binary(max_size=6),
)
@example(sample=ACCEPTED, at=0, length=0, put=b"\xef\xbb\xbf")
def test_damaged_bytes_never_change_the_kind_of_a_definite_outcome(
    sample: dict[str, Any], at: int, length: int, put: bytes
) -> None:
    """Bytes replaced, lost or put in between: no exception, and an acceptance has the number that stands there."""
    whole = json.dumps(sample, ensure_ascii=False).encode()
    at = min(at, len(whole))
    content = whole[:at] + put + whole[at + length :]
    outcome = judged(content)
    if isinstance(outcome, Accepted):
        found = re.search(rb'"ord_no": "\s*([0-9]{1,7})\s*"', content)
        assert found is not None
        assert int(found[1]) == int(outcome.broker_order_id)
        assert sample is ACCEPTED
    if isinstance(outcome, Refused):
        assert sample is not ACCEPTED


ODD_HEADERS = [*NO_NUMBERS, "", " ", "KT10002", "kt10002, kt10002", "kt10002\x00", "kt10003", "k" * 10_000, "주문"]


@pytest.mark.parametrize("text", ODD_HEADERS, ids=lambda text: ascii(text)[:20])
def test_odd_headers_decide_nothing_in_our_favor(text: str) -> None:
    """Another api-id makes an answer unclear; no other header makes it anything."""
    body = json.dumps(ACCEPTED).encode()
    assert isinstance(judged(body, **{"api-id": text}), Unclear)
    odd = dict.fromkeys(("cont-yn", "next-key", "date", "content-type", "content-length", "server", "x"), text)
    assert judged(body, **odd) == SAMPLES[0][1]


GOOD_DATE = "Mon, 02 Nov 2026 01:02:03 GMT"


@pytest.mark.parametrize(
    "text",
    [
        *ODD_HEADERS,
        *(GOOD_DATE[:size] for size in range(len(GOOD_DATE))),
        *(GOOD_DATE.replace("GMT", zone) for zone in ("-0000", "+0900", "KST", "UTC", "gmt", "GMT+9", "", "+9999")),
        *(GOOD_DATE.replace("02", day) for day in ("00", "31", "2", "０２", "99")),
        *(GOOD_DATE.replace("2026", year) for year in ("26", "0000", "10000", "-026", "２０２６")),
        *(GOOD_DATE.replace("01:02:03", clock) for clock in ("24:00:00", "01:60:00", "01:02", "010203", "01.02.03")),
        *(GOOD_DATE.replace("Nov", month) for month in ("Nob", "nov", "11", "November")),
        f"{GOOD_DATE}, {GOOD_DATE}",
        "Monday, 02-Nov-26 01:02:03 GMT",
        "Mon Nov  2 01:02:03 2026",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_date_that_is_none_tells_nothing(text: str) -> None:
    """Our clock is held against it, so that a moment which is read wrongly would be a false alarm."""
    assert read_date(Answer(200, {"date": text}, b"")) is None


def test_date_is_read_in_whole_seconds() -> None:
    """The one form that servers write, in Korean time."""
    found = read_date(Answer(200, {"date": GOOD_DATE}, b""))
    assert found is not None
    assert found.isoformat() == "2026-11-02T10:02:03+09:00"


LIMITED = {"return_code": 5, "return_msg": "허용된 요청 개수를 초과하였습니다[1700:유량=5, API ID=kt10002]"}


def test_stated_limit_is_the_one_that_is_written() -> None:
    """No nasty value makes another rate of it, and none an exception."""
    for mutant in mutants(LIMITED):
        found = read_limit(Answer(200, {}, mutant.content), TR)
        assert found is None or found.stated in {5.0, None}
    for text in ("５", "-5", "5e3", "0", "1" * 400, "5.5.5", "5_0", "NaN", "inf", " 7"):
        body = json.dumps(LIMITED).replace("=5,", f"={text},")
        found = read_limit(Answer(200, {}, body.encode()), TR)
        assert found is not None
        assert found.stated == (7.0 if text == " 7" else None), text
