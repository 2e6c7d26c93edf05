"""Frames of the feed and its reports: every quirk that was seen, and no fill that is not there."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiwoom_async._domain.reports import OrderReport, ReportKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async._wire.frames import (
    Frame,
    LoginAnswer,
    Malformed,
    Ping,
    Real,
    RealEntry,
    RegisterAnswer,
    System,
    Unknown,
    decode_report,
    login_frame,
    read_frame,
    register_frame,
)
from kiwoom_async.errors import UnreadableReport

DAY = date(2026, 11, 2)
ACCOUNT = "8123456711"

ACCEPTED: dict[str, Any] = {
    "9201": ACCOUNT,
    "9203": "0119433",
    "9205": "",
    "9001": "005930",
    "912": "JJ",
    "913": "접수",
    "302": "삼성전자",
    "900": "1",
    "901": "0",
    "902": "1",
    "903": "0",
    "904": "0000000",
    "905": "+매수",
    "906": "시장가",
    "907": "2",
    "908": "115639",
    "909": "",
    "910": "",
    "911": "",
    "10": "-258000",
    "27": "-258000",
    "28": "-257500",
    "914": "",
    "915": "",
    "938": "0",
    "939": "0",
    "919": "0",
    "920": "",
    "921": "6801005",
    "922": "00",
    "923": "",
    "10010": " 269000",
    "2134": "1",
    "2135": "KRX",
    "2136": "N",
}
"""As it came from the mock on 2026-09-11 [M], with another account."""

FILLED = ACCEPTED | {
    "913": "체결",
    "902": "0",
    "903": "258000",
    "908": "115640",
    "909": "847463",
    "910": "258000",
    "911": "1",
    "914": "258000",
    "915": "1",
    "938": "900",
}
"""The fill of the same order [M]."""


def decode(values: dict[str, Any]) -> OrderReport:
    """Read a report."""
    return decode_report(RealEntry("00", "005930", values), DAY)


def test_acceptance() -> None:
    """Empty fields tell nothing, and nothing is not zero."""
    report = decode(ACCEPTED)
    assert report == OrderReport(
        kind=ReportKind.ACCEPTED,
        day=DAY,
        desk=Desk.STOCK,
        broker_order_id="0119433",
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=1,
        price=None,
        order_types=frozenset({OrderType.MARKET, OrderType.MARKET_IOC, OrderType.MARKET_FOK}),
        route=Route.KRX,
        original=None,
        leaves_quantity=1,
        filled_quantity=0,
        filled_amount=0,
        fill_quantity=None,
        fill_price=None,
        execution_id=None,
        at=datetime(2026, 11, 2, 11, 56, 39, tzinfo=KST),
        reason="",
        terminal="6801005",
        account_digest=report.account_digest,
    )
    assert report.account_digest
    assert ACCOUNT not in repr(report)


@pytest.mark.parametrize(
    ("changes", "is_credit"),
    [
        ({"905": "+매수신용"}, True),
        ({"905": "-매도신용", "907": "1", "922": "03", "923": "20261001"}, True),
        ({"905": "+융자매수"}, True),
        ({"905": "+매수"}, None),
        ({"905": "+매수", "922": "00"}, None),
        ({"905": "+매수", "922": "03", "923": "20261001"}, None),
        ({"905": "현금매수"}, False),
    ],
)
def test_credit_is_told_by_the_kind_of_order_only(changes: dict[str, str], is_credit: bool | None) -> None:
    """신용 in 905 tells. 922 and 923 are published for executions, so they exclude nothing."""
    assert decode(ACCEPTED | changes).is_credit is is_credit


@pytest.mark.parametrize("text", ["?", "2026-10-01", None, 7])
def test_fields_of_credit_that_are_not_needed_spoil_no_report(text: object) -> None:
    """A fill counts, whatever stands in 922 and 923: nothing is concluded from them."""
    assert decode(FILLED | {"922": text, "923": text}) == decode(FILLED)


def test_fill() -> None:
    """The total, its amount, and this fill."""
    report = decode(FILLED)
    assert report.kind is ReportKind.FILLED
    assert (report.filled_quantity, report.filled_amount, report.leaves_quantity) == (1, 258000, 0)
    assert (report.fill_quantity, report.fill_price, report.execution_id) == (1, 258000, "847463")
    assert report.at == datetime(2026, 11, 2, 11, 56, 40, tzinfo=KST)


def fill(**fields: int | str) -> dict[str, Any]:
    """Make a fill of an order of nineteen."""
    names = {"quantity": "900", "leaves": "902", "amount": "903", "average": "910", "total": "911"}
    names |= {"single_price": "914", "single": "915"}
    return FILLED | {"900": "19"} | {names[name]: str(value) for name, value in fields.items()}


def test_totals_grow() -> None:
    """Nineteen shares came as 1, 3, 19, with a rounded average [M]."""
    first = decode(fill(leaves=18, amount=259500, average=259500, total=1, single=1, single_price=259500))
    second = decode(fill(leaves=16, amount=779500, average=259833, total=3, single=2, single_price=260000))
    third = decode(fill(leaves=0, amount=4939500, average=259973, total=19, single=16, single_price=260000))
    assert [one.filled_quantity for one in (first, second, third)] == [1, 3, 19]
    assert [one.filled_amount for one in (first, second, third)] == [259500, 779500, 4939500]
    assert [one.fill_quantity for one in (first, second, third)] == [1, 2, 16]


@pytest.mark.parametrize("average", ["259833", "259834", "+259833", "-259833", "259833.3", " 259833"])
def test_average_may_be_rounded_either_way(average: str) -> None:
    """Down, up or not at all, with a sign or a blank."""
    values = fill(leaves=16, amount=779500, average=average, total=3, single=2, single_price=260000)
    assert decode(values).filled_quantity == 3


def test_blended_fill() -> None:
    """One report may tell of several executions, with their average in both prices."""
    report = decode(fill(leaves=16, amount=779500, average=259833, total=3, single=3, single_price=259833))
    assert (report.filled_quantity, report.filled_amount, report.fill_price) == (3, 779500, 259833)


def test_totals_after_a_partial_cancel() -> None:
    """What was canceled is not filled: this fill is a part of the total, or all there was."""
    second = decode(fill(leaves=10, amount=779500, average=259833, total=3, single=2, single_price=260000))
    first = decode(fill(leaves=10, amount=519000, average=259500, total=2, single=2, single_price=259500))
    assert [one.filled_quantity for one in (first, second)] == [2, 3]


@pytest.mark.parametrize(
    "fields",
    [
        # This fill alone, as one program reads it [F]: at the price of the others, and at one of its own.
        {"leaves": 16, "amount": 300, "average": 100, "total": 2, "single": 2, "single_price": 100},
        {"leaves": 16, "amount": 779500, "average": 260000, "total": 2, "single": 2, "single_price": 260000},
        # The same where shares cost less than they are many, so that it might pass for rounding.
        {"leaves": 8, "amount": 42, "average": 4, "total": 10, "single": 10, "single_price": 4},
        # A part of the order was canceled, or others were filled before.
        {"leaves": 10, "amount": 300, "average": 100, "total": 2, "single": 2, "single_price": 100},
        {"leaves": 10, "amount": 201, "average": 100, "total": 2, "single": 2, "single_price": 100},
        {"leaves": 10, "amount": 300, "average": 100, "total": 3, "single": "", "single_price": ""},
        {"leaves": "", "amount": 300, "average": 100, "total": 2, "single": 2, "single_price": 100},
        # This fill is more than all of them, or its price is not the average of one.
        {"leaves": 16, "amount": 300, "average": 100, "total": 3, "single": 4, "single_price": 100},
        {"leaves": 18, "amount": 100, "average": 100, "total": 1, "single": 1, "single_price": 200},
        {"leaves": 16, "amount": 600, "average": 100, "total": 3, "single": 1, "single_price": 100},
        {"leaves": 16, "amount": 303, "average": 100, "total": 3, "single": 1, "single_price": 100},
        {"leaves": 16, "amount": 0, "average": 100, "total": 3, "single": 1, "single_price": 100},
        # No amount and no average: something may be missing.
        {"leaves": 15, "amount": "", "average": 100, "total": 3, "single": 1, "single_price": 100},
        {"leaves": "", "amount": "", "average": "", "total": 3, "single": "", "single_price": ""},
        {"leaves": 16, "amount": "", "average": 100, "total": 3, "single": 4, "single_price": 100},
        # A fill of nothing.
        {"leaves": 16, "amount": 300, "average": 100, "total": "", "single": 1, "single_price": 100},
        {"leaves": 16, "amount": 300, "average": 100, "total": 0, "single": 1, "single_price": 100},
    ],
)
def test_totals_that_do_not_add_up(fields: dict[str, int | str]) -> None:
    """In doubt nothing is counted: the ledger is asked."""
    with pytest.raises(UnreadableReport) as caught:
        decode(fill(**fields))
    assert caught.value.fid == "911"


def test_totals_without_an_amount() -> None:
    """They are believed where nothing is missing between them and what is left."""
    for leaves in (16, 17):  # too much is the follower's alarm
        report = decode(fill(leaves=leaves, amount="", average="", total=3, single="", single_price=""))
        assert (report.filled_quantity, report.filled_amount, report.fill_quantity) == (3, None, None)


FILLS = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 400_000) | st.integers(1, 9)), min_size=1, max_size=6)


@given(FILLS, st.booleans(), st.integers(0, 50), st.integers(0, 50))
def test_cumulative_totals_are_always_read(
    fills: list[tuple[int, int]], is_rounded_down: bool, canceled: int, left: int
) -> None:
    """Whatever the fills, the prices, the rounding and the cancels."""
    total, amount = sum(count for count, _ in fills), sum(count * price for count, price in fills)
    values = fill(
        quantity=total + canceled + left,
        leaves=left,
        amount=amount,
        average=amount // total if is_rounded_down else -(-amount // total),
        total=total,
        single=fills[-1][0],
        single_price=fills[-1][1],
    )
    assert decode(values).filled_quantity == total


@given(FILLS, st.booleans(), st.integers(0, 50), st.integers(0, 50))
def test_a_fill_told_alone_is_never_taken_for_the_total(
    fills: list[tuple[int, int]], is_average: bool, canceled: int, left: int
) -> None:
    """Read as the one program does: the count is right, or there is none."""
    total, amount = sum(count for count, _ in fills), sum(count * price for count, price in fills)
    count, price = fills[-1]
    values = fill(
        quantity=total + canceled + left,
        leaves=left,
        amount=amount,
        average=amount // total if is_average else price,
        total=count,
        single=count,
        single_price=price,
    )
    with suppress(UnreadableReport):
        assert decode(values).filled_quantity == total


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("접수", ReportKind.ACCEPTED),
        ("확인", ReportKind.CONFIRMED),
        ("취소", ReportKind.CANCELED),
        ("거부", ReportKind.REFUSED),
        (" 거부 ", ReportKind.REFUSED),
    ],
)
def test_kinds(word: str, kind: ReportKind) -> None:
    """Five words, and a fill's fields belong to fills."""
    report = decode(ACCEPTED | {"913": word, "909": "12", "914": "7", "915": "7"})
    assert report.kind is kind
    assert (report.fill_quantity, report.fill_price, report.execution_id) == (None, None, None)


def test_amount_of_earlier_fills() -> None:
    """A report that does not count fills tells of none, though it shows their amount; one that counts them does."""
    silent = decode(ACCEPTED | {"913": "취소", "902": "0", "903": "258000"})
    assert (silent.filled_quantity, silent.filled_amount) == (0, None)
    values = fill(leaves=0, amount=779500, average=259833, total=3, single=2, single_price=260000)
    counting = decode(values | {"913": "취소"})
    assert (counting.filled_quantity, counting.filled_amount, counting.leaves_quantity) == (3, 779500, 0)


@pytest.mark.parametrize(("text", "reason"), [("0", ""), ("", ""), ("0000", ""), (" 증거금 부족 ", "증거금 부족")])
def test_reason(text: str, reason: str) -> None:
    """Zero stands for none."""
    assert decode(ACCEPTED | {"913": "거부", "919": text}).reason == reason
    assert decode(ACCEPTED | {"919": text}).reason == ""


@pytest.mark.parametrize(
    ("kind", "original", "action", "number"),
    [
        ("+매수", "0000000", Action.NEW, None),
        ("+매수", "", Action.NEW, None),
        ("+매수정정", "0119400", Action.MODIFY, "0119400"),
        ("매수취소", "119400", Action.CANCEL, "0119400"),
        ("+매수", "0119400", Action.NEW, "0119400"),
        ("+매수신용", "0000000", Action.NEW, None),
    ],
)
def test_actions(kind: str, original: str, action: Action, number: str | None) -> None:
    """What the number stands for, and which order it names."""
    report = decode(ACCEPTED | {"905": kind, "904": original})
    assert (report.action, report.original, report.side) == (action, number, Side.BUY)


@pytest.mark.parametrize(
    ("kind", "code", "side"),
    [
        ("+매수", "2", Side.BUY),
        ("-매도", "1", Side.SELL),
        ("-매도", "", Side.SELL),
        ("", "1", Side.SELL),
        ("정정", "2", Side.BUY),
    ],
)
def test_sides(kind: str, code: str, side: Side) -> None:
    """Either field tells it."""
    values = ACCEPTED | {"905": kind, "907": code, "904": "0119400" if kind == "정정" else ""}
    assert decode(values).side is side


@pytest.mark.parametrize(
    ("symbol", "read", "desk"),
    [
        ("A105560", "105560", Desk.STOCK),
        ("105560", "105560", Desk.STOCK),
        ("Q530036", "530036", Desk.STOCK),
        ("0000J0", "0000J0", Desk.STOCK),
        ("M04020000", "M04020000", Desk.GOLD),
        ("M04020100", "M04020100", Desk.GOLD),
        ("M0402000", "M0402000", Desk.STOCK),
    ],
)
def test_symbols(symbol: str, read: str, desk: Desk) -> None:
    """With and without a letter before it; gold by its form."""
    report = decode(ACCEPTED | {"9001": symbol})
    assert (report.symbol, report.desk) == (read, desk)


@pytest.mark.parametrize(
    ("routed", "venue", "route"),
    [
        ("N", "KRX", Route.KRX),
        ("N", "NXT", Route.NXT),
        ("Y", "KRX", Route.SOR),
        ("y", "nxt", Route.SOR),
        ("Y", "통합", Route.SOR),
        ("", "KRX", None),
        ("N", "통합", None),
        ("N", "S-KRX", None),
        (None, None, None),
    ],
)
def test_routes(routed: str | None, venue: str | None, route: Route | None) -> None:
    """The venue is the route only where the order router had no part in it; in doubt nothing is told."""
    assert decode(ACCEPTED | {"2136": routed, "2135": venue}).route is route


def test_other_fields() -> None:
    """Prices with a sign or padding, a terminal with blanks, an absent time."""
    report = decode(ACCEPTED | {"901": "+00258000", "921": " 0101001 ", "908": "", "902": "", "9201": None, "906": "?"})
    assert (report.price, report.terminal, report.at, report.leaves_quantity) == (258000, "0101001", None, None)
    assert report.account_digest is None
    assert report.order_types == frozenset(OrderType)
    assert decode(ACCEPTED | {"901": " -258000"}).price == 258000
    assert decode(FILLED | {"909": "0000000"}).execution_id is None


@pytest.mark.parametrize(
    ("fid", "text"),
    [
        ("913", "접수확인"),
        ("913", ""),
        ("9203", "0000000"),
        ("9203", ""),
        ("9203", "12a"),
        ("9001", ""),
        ("900", ""),
        ("900", "-1"),
        ("900", 1),
        ("900", ["1"]),
        ("901", "1.5"),
        ("901", "cheap"),
        ("902", "-1"),
        ("903", "1,000"),
        ("904", "none"),
        ("905", "정정취소"),
        ("907", "3"),
        ("907", "1"),
        ("908", "250000"),
        ("908", "noon"),
        ("910", "NaN"),
        ("914", "1.5"),
        ("915", "x"),
        ("921", 6801005),
        ("2136", {}),
        ("9201", [ACCOUNT]),
    ],
)
def test_unreadable_fields(fid: str, text: Any) -> None:
    """The error names the field; the whole report counts for nothing."""
    with pytest.raises(UnreadableReport) as caught:
        decode(FILLED | {fid: text, "907": "" if fid == "905" else (text if fid == "907" else "2")})
    assert caught.value.fid == ("904" if fid == "905" else fid)


@pytest.mark.parametrize("fid", sorted(ACCEPTED.keys() - {"9201"}))
def test_misplaced_account_number_is_hidden(fid: str) -> None:
    """Neither the error nor its cause shows it, wherever it stands."""
    for text in (f"x{ACCOUNT}", f"{'y' * 35}{ACCOUNT}"):
        shown = ""
        try:
            decode(FILLED | {fid: text})
        except UnreadableReport as error:
            shown = "".join((*traceback.format_exception(error), repr(error), error.text, repr(error.__context__)))
        assert ACCOUNT[:5] not in shown


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"trnm":"LOGIN","return_code":0,"return_msg":"","sor_yn":"Y"}', LoginAnswer(0, "")),
        ('{"trnm":"LOGIN","return_code":"0000"}', LoginAnswer(0, "")),
        ('{"trnm":"LOGIN","return_code":"805004","return_msg":" no "}', LoginAnswer(805004, "no")),
        ('{"trnm":"LOGIN"}', Malformed("LOGIN without return_code")),
        ('{"trnm":"LOGIN","return_code":true}', Malformed("LOGIN without return_code")),
        ('{"trnm":"LOGIN","return_code":0.0}', Malformed("LOGIN without return_code")),
        ('{"trnm":"LOGIN","return_code":' + "9" * 4000 + "}", Malformed("LOGIN without return_code")),
        ('{"trnm":"REG","return_code":0,"return_msg":""}', RegisterAnswer(0, "")),
        ('{"trnm":"REG","return_code":100013,"return_msg":7}', RegisterAnswer(100013, "")),
        ('{"trnm":"REG"}', Malformed("REG without return_code")),
        ('{"trnm":"PING", "n": 1}', Ping('{"trnm":"PING", "n": 1}')),
        ('{"trnm":"SYSTEM","code":"R10001","message":"m"}', System("R10001", "m")),
        ('{"trnm":"SYSTEM"}', System("", "")),
        ('{"trnm":"REAL","data":[]}', Real(())),
        ('{"trnm":"REAL","data":{}}', Malformed("REAL without a list")),
        ('{"trnm":"REAL","data":[1,{"type":"00","values":{"a":"b"}}]}', Real((RealEntry("00", "", {"a": "b"}),), 1)),
        ('{"trnm":"REAL","data":[{"type":"04","item":"i","values":{}}]}', Real((RealEntry("04", "i", {}),))),
        ('{"trnm":"REAL","data":[{"type":0,"values":{}},{"type":"00","values":[]}]}', Real((), 2)),
        ('{"trnm":"CNSRREQ"}', Unknown("CNSRREQ")),
        ('{"trnm":"' + "x" * 30 + '"}', Unknown("x" * 20)),
        ('{"trnm":"\\ud800"}', Unknown("\\ud800")),
        ('{"trnm":1}', Malformed("an object without trnm")),
        ("[]", Malformed("JSON that is not an object")),
        ("", Malformed("not JSON")),
        ("[" * 500_000, Malformed("not JSON")),
        ('{"a":' * 200_000, Malformed("not JSON")),
        ("9" * 5000, Malformed("not JSON")),
        ("NaN", Malformed("not JSON")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_frames(text: str, frame: Frame) -> None:
    """Each by its name; what is none says why, and quotes nothing."""
    assert read_frame(text) == frame


@pytest.mark.parametrize(
    ("code", "message", "is_token_refused"),
    [
        (805004, "", True),
        (805004, "[CODE=8005, MESSAGE=Token]", True),
        (1, "[CODE=8031, MESSAGE=…]", True),
        (1, "인증[8005:Token이 유효하지 않습니다]", True),
        (1, "[CODE=8030, MESSAGE=…]", False),
        (1, "[CODE=80055]", False),
        (1, "", False),
    ],
)
def test_refused_token(code: int, message: str, is_token_refused: bool) -> None:
    """A new token helps against some codes only."""
    assert LoginAnswer(code, message).is_token_refused is is_token_refused


def test_our_frames() -> None:
    """As the published client writes them."""
    assert json.loads(login_frame("t")) == {"trnm": "LOGIN", "token": "t"}
    assert json.loads(register_frame(["00"])) == {
        "trnm": "REG",
        "grp_no": "1",
        "refresh": "1",
        "data": [{"item": [""], "type": ["00"]}],
    }


def test_values_are_not_in_the_repr() -> None:
    """There is an account number among them."""
    frame = read_frame(json.dumps({"trnm": "REAL", "data": [{"type": "00", "item": "i", "values": ACCEPTED}]}))
    assert isinstance(frame, Real)
    assert ACCOUNT not in repr(frame)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.text())
@example("\ud800")
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever is sent, it is a frame."""
    read_frame(text)


@given(
    st.sampled_from(["LOGIN", "REG", "PING", "SYSTEM", "REAL", "?"]),
    st.dictionaries(st.sampled_from(["return_code", "return_msg", "code", "message", "data"]), JSON_VALUES),
    st.lists(st.dictionaries(st.sampled_from(["type", "item", "values"]), JSON_VALUES), max_size=3),
)
def test_no_object_breaks_the_reader(name: str, fields: dict[str, Any], data: list[Any]) -> None:
    """Whatever stands where something else belongs."""
    read_frame(json.dumps({"trnm": name} | fields))
    read_frame(json.dumps({"trnm": name, "data": data}))


TEXTS = st.text(max_size=12) | st.from_regex(r"[+\- ]?[0-9]{0,12}", fullmatch=True)


@given(st.dictionaries(st.sampled_from(sorted(ACCEPTED)), TEXTS | JSON_VALUES, min_size=1), st.booleans())
def test_no_report_breaks_the_reader(fields: dict[str, Any], is_fill: bool) -> None:
    """It is read, or it is said to be unreadable; it never has fills without a count."""
    with suppress(UnreadableReport):
        report = decode((FILLED if is_fill else ACCEPTED) | fields)
        assert report.kind is not ReportKind.FILLED or report.filled_quantity > 0
        assert report.fill_quantity is None or report.fill_quantity <= report.filled_quantity
