"""Frames of the feed with anything in them: never an exception, and never a fill that is not there."""

from __future__ import annotations

import json
import re
import traceback
from datetime import date
from decimal import Decimal
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._wire.frames import (
    LoginAnswer,
    Malformed,
    Ping,
    Real,
    RealEntry,
    RegisterAnswer,
    System,
    Unknown,
    decode_report,
    read_frame,
)
from kiwoom_async.errors import UnreadableReport
from tests.nasty import ACCOUNT_LIKE, RAW_DOCUMENTS, Mutant, mutants, repeated_names, truncated
from tests.profiles import examples
from tests.wire.test_frames import ACCEPTED, FILLED

DAY: Final = date(2026, 11, 2)
FRAMES: Final = (LoginAnswer, RegisterAnswer, Ping, System, Real, Unknown, Malformed)
LOGIN: Final[dict[str, Any]] = {"trnm": "LOGIN", "return_code": 0, "return_msg": ""}
REG: Final[dict[str, Any]] = {"trnm": "REG", "return_code": 0, "return_msg": ""}
NOTICE: Final[dict[str, Any]] = {"trnm": "SYSTEM", "code": "R10001", "message": "동일한 App key로 접속이 되었습니다."}
PING: Final[dict[str, Any]] = {"trnm": "PING"}


def real(values: dict[str, Any]) -> dict[str, Any]:
    """Make a frame with one report."""
    return {"trnm": "REAL", "data": [{"type": "00", "name": "주문체결", "item": "005930", "values": values}]}


SAMPLES: Final = [LOGIN, REG, NOTICE, PING, real(ACCEPTED), real(FILLED), {"trnm": "CNSRLST", "data": []}]


def reports_of(text: str) -> list[OrderReport | None]:
    """Read a frame to its reports; None for one that cannot be read."""
    frame = read_frame(text)
    assert isinstance(frame, FRAMES)
    repr(frame).encode()
    if not isinstance(frame, Real):
        return []
    found: list[OrderReport | None] = [None] * frame.unreadable
    for entry in frame.entries:
        try:
            found.append(decode_report(entry, DAY))
        except UnreadableReport as error:
            if ACCOUNT_LIKE in text:
                assert ACCOUNT_LIKE not in "".join(traceback.format_exception(error))  # noqa: PT017 - one of two ends
            assert len(str(error)) < 300  # noqa: PT017 - the same
            str(error).encode()
            found.append(None)
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample["trnm"]))
def test_frame_with_anything_in_it_is_read(sample: dict[str, Any]) -> None:
    """Every field, every nasty value, every length, any name twice: one of the frames, and never an exception."""
    documents = [mutant.content for mutant in mutants(sample)]
    documents += truncated(sample)
    documents += (content for _, content in repeated_names(sample))
    for content in documents:
        # The websocket gives texts: what is no UTF-8 ends the connection there.
        reports_of(content.decode("utf-8", "replace"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample["trnm"]))
def test_frame_that_breaks_off_or_says_two_things_is_malformed(sample: dict[str, Any]) -> None:
    """So that whoever listens asks the ledger what it may have said."""
    for content in (*truncated(sample), *(content for _, content in repeated_names(sample))):
        assert isinstance(read_frame(content.decode("utf-8", "ignore")), Malformed)


@pytest.mark.parametrize("content", RAW_DOCUMENTS, ids=lambda raw: repr(raw[:20]))
def test_what_is_no_frame_is_malformed(content: bytes) -> None:
    """Whatever it is."""
    assert isinstance(read_frame(content.decode("utf-8", "replace")), Malformed)


@settings(max_examples=examples(300))
@given(st.text(max_size=200))
def test_text_is_no_frame(text: str) -> None:
    """Chance writes none."""
    assert isinstance(read_frame(text), Malformed)


@settings(max_examples=examples(300))
@given(
    st.dictionaries(
        st.sampled_from([*ACCEPTED, "999"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["0", "1", "체결", "정정"]),
    )
)
def test_values_of_any_kind_are_a_report_or_unreadable(changes: dict[str, Any]) -> None:
    """Several fields wrong at once: a report or `UnreadableReport`, and no other end."""
    for sample in (ACCEPTED, FILLED):
        try:
            decode_report(RealEntry("00", "005930", sample | changes), DAY)
        except UnreadableReport as error:
            assert len(str(error)) < 300  # noqa: PT017 - an error is one of two right ends


NUMBERS: Final[dict[str, tuple[str, ...]]] = {
    "900": ("quantity",),
    "901": ("price",),
    "902": ("leaves_quantity",),
    "903": ("filled_amount",),
    "904": ("original",),
    "911": ("filled_quantity",),
    "914": ("fill_price",),
    "915": ("fill_quantity",),
    "9203": ("broker_order_id",),
}
"""Which attributes each of the fields of a report may move."""

TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "908": ("at",),
    "909": ("execution_id",),
    "919": ("reason",),
    "921": ("terminal",),
    "9001": ("symbol", "desk"),
    "9201": ("account_digest",),
    "905": ("side", "action", "is_credit"),
    "906": ("order_types",),
    "907": (),
    "2135": ("route",),
    "2136": ("route",),
}


def is_right(mutant: Mutant, attribute: str, value: Any) -> bool:
    """Tell whether an attribute is what the changed field says."""
    if attribute not in (*NUMBERS.get(mutant.name, ()), *TEXTS.get(mutant.name, ())):
        return False
    if mutant.name in TEXTS:
        return True
    text = mutant.value.strip() if isinstance(mutant.value, str) else ""
    if value is None or not text or mutant.raw is None:
        return value in {None, 0}
    digits = re.fullmatch(r"[+-]?([0-9]{1,18})", text)
    return digits is not None and Decimal(value) == Decimal(digits[1])


@pytest.mark.parametrize("sample", [ACCEPTED, FILLED], ids=["accepted", "filled"])
def test_report_with_one_nasty_value_is_never_a_wrong_number(sample: dict[str, Any]) -> None:
    """Every field, every nasty value: unreadable, or all as it was but for what that field says."""
    intact = reports_of(json.dumps(real(sample)))[0]
    assert intact is not None
    read = 0
    for mutant in mutants(real(sample)):
        try:
            text = mutant.content.decode()
        except UnicodeDecodeError:
            continue
        for report in reports_of(text):
            if report is None:
                continue
            read += 1
            changed = {
                field.name: getattr(report, field.name)
                for field in attrs.fields(OrderReport)
                if getattr(report, field.name) != getattr(intact, field.name)
            }
            for attribute, value in changed.items():
                assert is_right(mutant, attribute, value), (mutant.path, mutant.raw, attribute, value)
    assert read > 100, "some of the values are harmless where they stand"
