"""Pages of every view with anything in them: the record of the sample, the value that stands there, or an error."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import attrs
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._wire import ledger
from kiwoom_async._wire.answers import Page, read_page
from kiwoom_async._wire.exchange import Answer
from kiwoom_async.errors import AuthenticationError, InvalidRequest, QueryFailed, RateLimited
from tests.nasty import ACCOUNT_LIKE, RAW_DOCUMENTS, Mutant, mutants, repeated_names, truncated
from tests.profiles import examples
from tests.wire.test_account_fuzz import VIEWS, View
from tests.wire.test_ledger import STOCK_ROW

DOCUMENTED = (QueryFailed, AuthenticationError, RateLimited, InvalidRequest)
LONGEST_ERROR = 3_000


def page_of(content: bytes, api_id: str, **headers: str) -> Page:
    """Read a page of bytes, as the gateway does."""
    return read_page(Answer(200, {"api-id": api_id} | headers, content), api_id)


def sample_of(view: View) -> dict[str, Any]:
    """Make a whole answer of a view."""
    return {**view.body, "return_code": 0, "return_msg": "정상적으로 처리되었습니다"}


def read(view: View, content: bytes) -> Any:
    """Read an answer to its record; None where the text of a documented error says why not."""
    api_id = view.name.split()[0]
    try:
        return view.read(page_of(content, api_id).body)
    except DOCUMENTED as error:
        if ACCOUNT_LIKE.encode() in content:
            # A log shows what it was raised from as well.
            assert ACCOUNT_LIKE not in "".join(traceback.format_exception(error))  # noqa: PT017 - one of two ends
        assert len(str(error)) < LONGEST_ERROR, len(str(error))  # noqa: PT017 - the same
        str(error).encode()
        return None


def atoms(record: Any) -> Iterator[Any]:
    """Give every single value of a record, however deep."""
    if attrs.has(type(record)):
        for field in attrs.fields(type(record)):
            yield from atoms(getattr(record, field.name))
    elif isinstance(record, tuple | list):
        for one in record:
            yield from atoms(one)
    else:
        yield record


NUMBER = re.compile(r"\s*[+-]?([0-9]{1,18})(\.[0-9]{1,9})?%?\s*")


def meanings(value: Any) -> list[Any]:
    """Say what a text may be read as: a number with its digits, signs and padding, a time, a text; and nothing else."""
    if not isinstance(value, str):
        return []
    text = value.strip()
    found: list[Any] = [text, text.encode("utf-8", "backslashreplace").decode()]
    if NUMBER.fullmatch(value):
        number = Decimal(text.removesuffix("%"))
        found += [number, abs(number), f"{int(abs(number)):07d}"]
    return found


def is_explained(before: Any, after: Any, mutant: Mutant) -> bool:
    """Tell whether everything that has changed in a record is what the changed field says, or nothing."""
    known = list(atoms(before))
    for value in atoms(after):
        if value is None or value == "" or isinstance(value, bool | frozenset) or value in known:
            continue
        if isinstance(value, time | datetime):
            return False  # no nasty value is a time
        if isinstance(value, Decimal) and mutant.raw is None:
            return False
        if isinstance(value, int) and str(value) in re.findall("[0-9]+", mutant.name):
            continue  # a rate that the name of the field tells
        if value not in meanings(mutant.value) and not is_derived(value, mutant):
            return False
    return True


def is_derived(value: Any, mutant: Mutant) -> bool:
    """Tell whether a value is made of several fields: what is left of an order of gold, the digest of an account."""
    is_left = isinstance(value, int) and mutant.name in {"ord_qty", "cntr_qty", "cnfm_qty"}
    is_digest = isinstance(value, str) and mutant.name == "acnt_no" and re.fullmatch("[0-9a-f]{16}", value) is not None
    return is_left or is_digest


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_page_with_one_nasty_value_is_never_a_wrong_number(view: View) -> None:
    """Every field of every view, every nasty value: an error, or what the field says, and the rest as it was."""
    sample = sample_of(view)
    intact = read(view, json.dumps(sample, ensure_ascii=False).encode())
    assert intact is not None
    for mutant in mutants(sample):
        record = read(view, mutant.content)
        if record is None or record == intact:
            continue
        assert mutant.value is not ... or mutant.raw is None, mutant
        if isinstance(record, tuple) and isinstance(intact, tuple) and len(record) < len(intact):
            assert mutant.raw in {b"[]", None}, mutant
            continue
        assert is_explained(intact, record, mutant), (mutant.path, mutant.raw, record)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_page_that_breaks_off_or_says_two_things_is_an_error(view: View) -> None:
    """At every length; with any name of its head twice; and anything that is no page at all."""
    sample = sample_of(view)
    for content in (*truncated(sample), *(content for _, content in repeated_names(sample)), *RAW_DOCUMENTS):
        assert read(view, content) is None


@settings(max_examples=examples(300))
@given(view=st.sampled_from(VIEWS), content=st.binary(max_size=200))
def test_bytes_are_no_page(view: View, content: bytes) -> None:
    """Chance writes no page."""
    assert read(view, content) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=examples(300))
@given(view=st.sampled_from(VIEWS), data=st.data())
def test_documents_of_the_right_names_are_read_or_refused(view: View, data: st.DataObject) -> None:
    """The names of a view with any values: a record or a documented error, and no other end."""
    row = view.body[view.key][0] if view.key else view.body
    made = {
        name: data.draw(json_values, label=name)
        for name in data.draw(st.sets(st.sampled_from(sorted(row)), max_size=4))
    }
    whole = {**row, **made}
    read(view, json.dumps({**view.body, view.key: [whole]} if view.key else whole).encode())


@frozen
class CursorCase:
    """Headers of a page, and whether there is another one."""

    headers: Mapping[str, str]
    is_last: bool | None


ODD = ("１", "T", "YES", "true", "Y\x00", "ＹＹ", "Y,Y", "Y, N", "1", "null", "y" * 10_000)


@pytest.mark.parametrize(
    "case",
    [
        *(CursorCase({"cont-yn": text}, is_last=True) for text in ("", " ", "N", "n", " N ")),
        *(CursorCase({"cont-yn": text, "next-key": "k"}, is_last=False) for text in ("Y", "y", " Y ")),
        *(CursorCase({"cont-yn": "Y", "next-key": text}, is_last=None) for text in ("", " ")),
        *(CursorCase({"cont-yn": text, "next-key": "k"}, is_last=None) for text in ODD),
        CursorCase({"cont-yn": "Y"}, is_last=None),
    ],
    ids=lambda case: ascii(dict(case.headers))[:40],
)
def test_odd_cursor_is_never_the_last_page(case: CursorCase) -> None:
    """A page is the last one if the header says so or says nothing; whatever is not understood fails the query."""
    content = json.dumps({"oso": [], "return_code": 0}).encode()
    try:
        page = page_of(content, "ka10075", **case.headers)
    except QueryFailed as error:
        assert case.is_last is None
        assert len(str(error)) < LONGEST_ERROR  # noqa: PT017 - the same
        return
    assert (page.cursor is None) is case.is_last


@pytest.mark.parametrize(
    ("number", "reads"),
    [
        ("9999999", "9999999"),
        ("0000000000101", "0000101"),
        ("10000000", None),
        ("999999999999999999", None),
        ("-0000101", None),
    ],
)
def test_number_beyond_seven_digits_is_none(number: str, reads: str | None) -> None:
    """It would be the highest of the day, and hide every order that is lost afterwards."""
    make: Callable[[str], Any] = lambda field: ledger.decode_ledger(  # noqa: E731 - read twice
        "kt00007", Desk.STOCK, date(2026, 11, 2), {"acnt_ord_cntr_prps_dtl": [STOCK_ROW | {field: number}]}
    )
    if reads is not None:
        assert make("ord_no")[0].broker_order_id == reads
        return
    for field in ("ord_no", "ori_ord"):
        with pytest.raises(QueryFailed, match=field):
            make(field)
