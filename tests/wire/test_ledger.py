"""Rows of the ledger and of the open orders: every quirk of the views, and no number that is not there."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async._domain.reports import LedgerOrder, OpenOrder
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, Route, Side
from kiwoom_async._wire.ledger import decode_ledger, decode_open_orders, parse_order_types, parse_symbol
from kiwoom_async.errors import QueryFailed

DAY = date(2026, 11, 2)

STOCK_ROW: dict[str, Any] = {
    "ord_no": "0000050",
    "stk_cd": "A069500",
    "trde_tp": "시장가",
    "crd_tp": "보통매매",
    "ord_qty": "0000000010",
    "ord_uv": "0000000000",
    "cnfm_qty": "0000000000",
    "acpt_tp": "접수",
    "rsrv_tp": "",
    "ord_tm": "13:05:43",
    "ori_ord": "0000000",
    "stk_nm": "KODEX 200",
    "io_tp_nm": "현금매수",
    "loan_dt": "",
    "cntr_qty": "0000000004",
    "cntr_uv": "0000004900",
    "ord_remnq": "0000000006",
    "comm_ord_tp": "영웅문4",
    "mdfy_cncl": "",
    "cnfm_tm": "",
    "dmst_stex_tp": "KRX",
    "cond_uv": "0000000000",
}
"""A row of kt00007 in the form of the published example."""

GOLD_ROW = STOCK_ROW | {
    "stk_cd": "M04020000",
    "trde_tp": "지정가",
    "io_tp_nm": "매수",
    "ord_uv": "0000180000",
    "cntr_qty": "0000000000",
    "cntr_uv": "0000000000",
    "ord_remnq": "0000000000",
    "comm_ord_tp": "REST API",
}
"""A row of kt50031: an open order without a fill shows nothing left."""

OPEN_ROW: dict[str, Any] = {
    "acnt_no": "1234567890",
    "ord_no": "0000069",
    "stk_cd": "005930",
    "ord_stt": "접수",
    "ord_qty": "1",
    "ord_pric": "74100",
    "oso_qty": "1",
    "orig_ord_no": "0000000",
    "io_tp_nm": "+매수",
    "trde_tp": "보통",
    "tm": "154113",
    "cntr_qty": "0",
    "cur_prc": "+74100",
    "stex_tp": "0",
    "sor_yn": "N",
}
"""A row of ka10075."""

GOLD_OPEN_ROW: dict[str, Any] = {
    "ord_no": "0000016",
    "stk_cd": "M04020000",
    "io_tp_nm": "매도",
    "ord_qty": "0000000005",
    "ord_uv": "0000180000",
    "cntr_qty": "0000000002",
    "cnfm_qty": "0000000001",
    "ord_remnq": "",
    "orig_ord_no": "0000000",
}
"""A row of kt50075, without a time and without a remainder."""


def ledger(*rows: object, desk: Desk = Desk.STOCK) -> tuple[LedgerOrder, ...]:
    """Decode rows of the day's ledger."""
    return decode_ledger("kt00007", desk, DAY, {"acnt_ord_cntr_prps_dtl": list(rows), "return_code": 0})


def stock(**changes: object) -> LedgerOrder:
    """Decode one row that differs from the example."""
    (order,) = ledger(STOCK_ROW | changes)
    return order


def open_orders(row: object, desk: Desk = Desk.STOCK) -> OpenOrder:
    """Decode one row of the open orders."""
    key = "acnt_ord_oso_prst" if desk is Desk.GOLD else "oso"
    (order,) = decode_open_orders("ka10075", desk, {key: [row], "return_code": 0})
    return order


def test_stock_row() -> None:
    """Padding, prefix, KST, empty texts and zeros that mean nothing."""
    assert ledger(STOCK_ROW) == (
        LedgerOrder(
            day=DAY,
            desk=Desk.STOCK,
            broker_order_id="0000050",
            action=Action.NEW,
            symbol="069500",
            side=Side.BUY,
            quantity=10,
            price=None,
            order_types=frozenset({OrderType.MARKET, OrderType.MARKET_IOC, OrderType.MARKET_FOK}),
            route=Route.KRX,
            stop_price=None,
            original=None,
            channel="영웅문4",
            ordered_at=datetime(2026, 11, 2, 13, 5, 43, tzinfo=KST),
            filled_quantity=4,
            average_fill_price=Decimal(4900),
            leaves_quantity=6,
            confirmed_quantity=0,
            is_credit=False,
        ),
    )
    assert stock().status is OrderStatus.PARTIALLY_FILLED


def test_gold_row_does_not_tell_what_is_left() -> None:
    """An untouched gold order with zero left in its row is not canceled."""
    (order,) = ledger(GOLD_ROW, desk=Desk.GOLD)
    assert (order.symbol, order.price, order.leaves_quantity) == ("M04020000", 180_000, None)
    assert order.status is OrderStatus.WORKING
    assert OrderType.LIMIT in order.order_types


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("A005930", "005930"),
        ("J52A123", "52A123"),
        ("Q500001", "500001"),
        ("005930", "005930"),
        (" 005930 ", "005930"),
        ("A00593", "A00593"),
        ("M04020000", "M04020000"),
        ("B005930", "B005930"),
    ],
)
def test_symbol_prefix_is_stripped_if_six_characters_remain(text: str, symbol: str) -> None:
    """The letter of the kt views goes, and nothing else."""
    assert parse_symbol(text) == symbol
    assert stock(stk_cd=text).symbol == symbol


@pytest.mark.parametrize(
    ("text", "moment"),
    [("13:05:43", time(13, 5, 43)), ("130543", time(13, 5, 43)), ("00:00:00", time(0)), ("", None), (None, None)],
)
def test_both_forms_of_a_time(text: object, moment: time | None) -> None:
    """HH:mm:ss, HHmmss, or nothing."""
    ordered_at = stock(ord_tm=text).ordered_at
    assert (None if ordered_at is None else ordered_at.time()) == moment


@pytest.mark.parametrize(
    "text", ["25:00:00", "240000", "13:05", "9:0:0000", "130 543", "1305430", 130543, "아침", "²²²²²²"]
)
def test_unreadable_time_fails_the_page(text: object) -> None:
    """A time that is none names its field."""
    with pytest.raises(QueryFailed, match="ord_tm"):
        stock(ord_tm=text)


@pytest.mark.parametrize(
    "text", ["", " ", "-", "1_000", "1.5", "-5", "-00000003201", "1e3", "０１", "ten", None, 10, True, [], "9" * 5000]
)
@pytest.mark.parametrize("field", ["ord_qty", "cntr_qty"])
def test_unreadable_number_fails_the_page(field: str, text: object) -> None:
    """A number that is none, and a negative one, names its field; it is never taken for zero."""
    with pytest.raises(QueryFailed, match=field):
        stock(**{field: text})


@pytest.mark.parametrize("field", ["ord_uv", "cntr_uv", "ord_remnq", "cnfm_qty", "cond_uv"])
def test_optional_number_is_read_or_absent(field: str) -> None:
    """An empty text is nothing; an unreadable one fails."""
    stock(**{field: ""})
    with pytest.raises(QueryFailed, match=field):
        stock(**{field: "1_0"})


@pytest.mark.parametrize(
    "field", ["ord_no", "stk_cd", "trde_tp", "io_tp_nm", "ord_qty", "ord_uv", "cntr_qty", "ord_tm"]
)
def test_missing_field_fails_the_page(field: str) -> None:
    """A row without a field that decides is no row."""
    row = dict(STOCK_ROW)
    del row[field]
    with pytest.raises(QueryFailed, match=f"{field}.*missing|missing.*{field}"):
        ledger(STOCK_ROW, row)


@pytest.mark.parametrize("row", [None, 5, "row", [], ["ord_no"], True, {}])
def test_row_that_is_no_object_fails_the_page(row: object) -> None:
    """One bad row makes the whole page a failed query."""
    with pytest.raises(QueryFailed):
        ledger(STOCK_ROW, row)


@pytest.mark.parametrize("body", [{"return_code": 0}, {"acnt_ord_cntr_prps_dtl": None, "return_code": 0}])
def test_missing_list_is_no_empty_list(body: dict[str, Any]) -> None:
    """A success without its list proves nothing; only the broker's own code for an empty list does."""
    with pytest.raises(QueryFailed, match="no list"):
        decode_ledger("kt00007", Desk.STOCK, DAY, body)
    for wrong in ("text", 5, {"0": STOCK_ROW}):
        with pytest.raises(QueryFailed, match="no list"):
            decode_ledger("kt00007", Desk.STOCK, DAY, body | {"acnt_ord_cntr_prps_dtl": wrong})
    assert ledger() == ()
    assert decode_ledger("kt00007", Desk.STOCK, DAY, {}) == ()
    assert decode_open_orders("ka10075", Desk.STOCK, {}) == ()


@pytest.mark.parametrize("text", ["0000000", "", "0", None])
def test_no_original(text: object) -> None:
    """Zeros, an empty text and nothing mean that a row is an order of its own."""
    assert stock(ori_ord=text).original is None
    assert stock(ori_ord=text, mdfy_cncl="취소").action is Action.NEW


@pytest.mark.parametrize("text", ["0000000", "", None, "12a", "-12"])
def test_row_without_a_number_fails_the_page(text: object) -> None:
    """An order has a number above zero."""
    with pytest.raises(QueryFailed, match="ord_no"):
        stock(ord_no=text)


@pytest.mark.parametrize(
    ("change", "kind", "action"),
    [
        ("취소", "매수취소", Action.CANCEL),
        ("취소확인", "매수취소", Action.CANCEL),
        ("", "매도취소", Action.CANCEL),
        ("정정", "매수정정", Action.MODIFY),
        ("정정확인", "매도정정", Action.MODIFY),
        ("", "+매수정정", Action.MODIFY),
        ("일반", "현금매수", Action.NEW),
    ],
)
def test_action_of_a_row_that_names_an_original(change: str, kind: str, action: Action) -> None:
    """Words of either field tell a cancel from a modify; a child of a split order is neither."""
    order = stock(ori_ord="0000049", mdfy_cncl=change, io_tp_nm=kind)
    assert (order.action, order.original) == (action, "0000049")


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("현금매수", Side.BUY),
        ("현금매수 K", Side.BUY),
        ("융자매수 K", Side.BUY),
        ("+매수", Side.BUY),
        ("+매수정정", Side.BUY),
        ("-매도", Side.SELL),
        ("현금매도", Side.SELL),
        ("매도취소", Side.SELL),
    ],
)
def test_side_is_found_in_its_text(text: str, side: Side) -> None:
    """Containment, never equality."""
    assert stock(io_tp_nm=text).side is side
    assert open_orders(OPEN_ROW | {"io_tp_nm": text}).side is side


@pytest.mark.parametrize("text", ["", "정정", "매수매도"])
def test_text_without_a_side_fails_the_page(text: str) -> None:
    """A row whose side is not told is not guessed."""
    with pytest.raises(QueryFailed, match="io_tp_nm"):
        stock(io_tp_nm=text)


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("KRX", Route.KRX),
        ("nxt", Route.NXT),
        ("SOR", Route.SOR),
        ("S-KRX", None),
        ("1", None),
        ("", None),
        (None, None),
    ],
)
def test_route_is_told_or_not(text: object, route: Route | None) -> None:
    """Any other text does not tell."""
    assert stock(dmst_stex_tp=text).route is route


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("보통", {OrderType.LIMIT, OrderType.LIMIT_IOC, OrderType.STOP_LIMIT, OrderType.BEST_LIMIT}),
        ("지정가", {OrderType.LIMIT}),
        ("보통(IOC)", {OrderType.LIMIT_IOC}),
        ("시장가", {OrderType.MARKET}),
        ("시장가(fok)", {OrderType.MARKET_FOK}),
        ("조건부지정가", {OrderType.CONDITIONAL_LIMIT}),
        ("최유리지정가", {OrderType.BEST_LIMIT}),
        ("최우선지정가", {OrderType.PRIORITY_LIMIT}),
        ("스톱지정가", {OrderType.STOP_LIMIT}),
        ("중간가(IOC)", {OrderType.MIDPOINT_IOC}),
        ("장마감후시간외", {OrderType.POST_MARKET_CLOSE}),
        ("시간외단일가", {OrderType.AFTER_HOURS_SINGLE}),
        ("", set(OrderType)),
        ("새로운유형", set(OrderType)),
    ],
)
def test_text_stands_for_at_least_these_types(text: str, kinds: set[OrderType]) -> None:
    """Too many is safe, too few would prove a false absence."""
    assert kinds <= parse_order_types(text)
    assert stock(trde_tp=text).order_types == parse_order_types(text)


@pytest.mark.parametrize(("word", "plain"), [("보통(IOC)", OrderType.LIMIT), ("시장가(FOK)", OrderType.MARKET)])
def test_time_in_force_in_the_text_narrows(word: str, plain: OrderType) -> None:
    """A text that names IOC or FOK excludes the plain type."""
    assert plain not in parse_order_types(word)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"cntr_qty": "0", "ord_remnq": "10"}, OrderStatus.WORKING),
        ({"cntr_qty": "4", "ord_remnq": "6"}, OrderStatus.PARTIALLY_FILLED),
        ({"cntr_qty": "10", "ord_remnq": "0"}, OrderStatus.FILLED),
        ({"cntr_qty": "0", "ord_remnq": "0", "mdfy_cncl": "일반"}, OrderStatus.CANCELED),
        ({"cntr_qty": "4", "ord_remnq": "0"}, OrderStatus.CANCELED),
        ({"cntr_qty": "0", "ord_remnq": ""}, OrderStatus.WORKING),
    ],
)
def test_status_of_a_row(changes: dict[str, str], status: OrderStatus) -> None:
    """What is filled and what is left say in what state an order is."""
    assert stock(**changes).status is status


def test_open_stock_order() -> None:
    """A row of ka10075; the mark before a price of the day is nobody's price."""
    order = open_orders(OPEN_ROW)
    assert (order.broker_order_id, order.symbol, order.side) == ("0000069", "005930", Side.BUY)
    assert (order.quantity, order.price, order.leaves_quantity, order.filled_quantity) == (1, 74_100, 1, 0)
    assert order.original is None
    assert open_orders(OPEN_ROW | {"ord_pric": "0"}).price is None
    assert open_orders(OPEN_ROW | {"orig_ord_no": "0000068", "io_tp_nm": "+매수정정"}).original == "0000068"


def test_what_else_an_open_order_tells() -> None:
    """The time without a day, the words of its type, where it was sent, and its stop price."""
    order = open_orders(OPEN_ROW)
    assert order.order_time == time(15, 41, 13, tzinfo=KST)
    assert OrderType.LIMIT in order.order_types
    assert OrderType.MARKET not in order.order_types
    for row, route in (
        ({"sor_yn": "Y", "stex_tp_txt": "통합"}, Route.SOR),
        ({"sor_yn": "N", "stex_tp_txt": "NXT"}, Route.NXT),
        ({"sor_yn": "", "stex_tp_txt": ""}, None),
    ):
        assert open_orders(OPEN_ROW | row).route is route
    assert open_orders(OPEN_ROW | {"stop_pric": "73000"}).stop_price == 73_000
    assert open_orders(OPEN_ROW | {"stop_pric": "0", "tm": ""}).stop_price is None
    with pytest.raises(QueryFailed, match="tm"):
        open_orders(OPEN_ROW | {"tm": "254113"})


@pytest.mark.parametrize(("remainder", "leaves"), [("", 2), ("0000000000", 2), ("0000000002", 2), ("0000000003", 3)])
def test_open_gold_order_computes_what_is_left(remainder: str, leaves: int) -> None:
    """Gold rows leave the remainder empty: it is what was neither filled nor taken back."""
    order = open_orders(GOLD_OPEN_ROW | {"ord_remnq": remainder}, Desk.GOLD)
    assert (order.symbol, order.side, order.quantity, order.leaves_quantity) == ("M04020000", Side.SELL, 5, leaves)


def test_gold_row_that_cannot_be_fails_the_page() -> None:
    """More filled than ordered leaves no remainder to compute."""
    with pytest.raises(QueryFailed, match="0000016"):
        open_orders(GOLD_OPEN_ROW | {"cntr_qty": "0000000009"}, Desk.GOLD)


@pytest.mark.parametrize("number", [1234567890, "1234567890", None, ["1234567890"]])
def test_account_number_is_in_no_error(number: object) -> None:
    """Whatever is wrong with a row, its account number stays out of the text."""
    order = open_orders(OPEN_ROW | {"acnt_no": number})
    assert "1234567890" not in repr(order)
    with pytest.raises(QueryFailed) as caught:
        open_orders(OPEN_ROW | {"acnt_no": number, "ord_qty": "?"})
    assert "1234567890" not in str(caught.value)


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.text("0123456789+-_. :", max_size=12),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def _mutations(row: dict[str, Any]) -> st.SearchStrategy[Any]:
    changed = st.dictionaries(st.sampled_from(sorted(row)), _JUNK, max_size=3).map(lambda changes: row | changes)
    dropped = st.sets(st.sampled_from(sorted(row)), max_size=2).map(
        lambda names: {name: value for name, value in row.items() if name not in names}
    )
    return st.one_of(changed, dropped, _JUNK)


def _told(row: dict[str, Any], field: str) -> int:
    text = row.get(field)
    assert text is None or isinstance(text, str)
    if text in (None, ""):
        return 0
    assert text.strip().lstrip("+").isascii()
    assert text.strip().lstrip("+").isdecimal()
    return int(text)


@given(row=st.one_of(_mutations(STOCK_ROW), _mutations(GOLD_ROW)), desk=st.sampled_from([Desk.STOCK, Desk.GOLD]))
def test_ledger_reads_right_or_fails(row: Any, desk: Desk) -> None:
    """A mutated row gives the numbers that stand in it, or QueryFailed; nothing else is raised."""
    try:
        (order,) = ledger(row, desk=desk)
    except QueryFailed:
        return
    assert int(order.broker_order_id) == _told(row, "ord_no") > 0
    assert order.quantity == _told(row, "ord_qty")
    assert order.filled_quantity == _told(row, "cntr_qty")
    assert (order.price or 0) == _told(row, "ord_uv")
    assert (order.stop_price or 0) == _told(row, "cond_uv")
    assert int(order.original or 0) == _told(row, "ori_ord")
    assert order.confirmed_quantity == _told(row, "cnfm_qty")
    if order.leaves_quantity is not None:
        assert order.leaves_quantity == _told(row, "ord_remnq")
    if order.average_fill_price is not None:
        assert order.average_fill_price == _told(row, "cntr_uv")
    assert ("매수" in row["io_tp_nm"]) == (order.side is Side.BUY)


@given(row=st.one_of(_mutations(OPEN_ROW), _mutations(GOLD_OPEN_ROW)), desk=st.sampled_from([Desk.STOCK, Desk.GOLD]))
def test_open_orders_read_right_or_fail(row: Any, desk: Desk) -> None:
    """The same for the open orders."""
    try:
        order = open_orders(row, desk)
    except QueryFailed:
        return
    assert int(order.broker_order_id) == _told(row, "ord_no") > 0
    assert order.quantity == _told(row, "ord_qty")
    assert order.filled_quantity == _told(row, "cntr_qty")
    assert (order.price or 0) == _told(row, "ord_uv" if desk is Desk.GOLD else "ord_pric")
    assert order.leaves_quantity >= 0


@given(body=st.one_of(st.dictionaries(st.sampled_from(["acnt_ord_cntr_prps_dtl", "oso", "return_code"]), _JUNK)))
def test_any_body_reads_or_fails(body: dict[str, Any]) -> None:
    """A body without the right list is QueryFailed, unless it is the broker's empty list."""
    for decode in (
        lambda: decode_ledger("kt00007", Desk.STOCK, DAY, body),
        lambda: decode_open_orders("ka10075", Desk.STOCK, body),
    ):
        try:
            assert decode() == ()
        except QueryFailed:
            continue


@pytest.mark.parametrize(
    ("kind", "credit", "loan", "is_credit"),
    [
        ("현금매수", "보통매매", "", False),
        ("현금매도 K", "", "00000000", False),
        ("융자매수 K", "", "", True),
        ("융자매도", "융자", "20261001", True),
        ("+매수신용", "", "", True),
        ("대주매도", "", "", True),
        ("매수", "융자", "", True),
        ("매수", "자기융자", "", True),
        ("매수", "신용", "", None),
        ("매수", "보통매매", "", None),
        ("매수", "", "", None),
        ("매도", "", "20261001", None),
        ("현금매도", "보통매매", "20261001", None),
        ("현금매수", "융자", "", None),
        ("융자현금매도", "", "", None),
    ],
)
def test_credit_is_told_by_words_and_nothing_else(kind: str, credit: str, loan: str, is_credit: bool | None) -> None:
    """현금 or 융자 in the kind of an order; where the texts do not tell, or tell both, it may be either."""
    assert stock(io_tp_nm=kind, crd_tp=credit, loan_dt=loan).is_credit is is_credit


@pytest.mark.parametrize(
    ("text", "day"),
    [("20261001", date(2026, 10, 1)), (" 20261001 ", date(2026, 10, 1)), ("", None), ("00000000", None), (None, None)],
)
def test_loan_date(text: str | None, day: date | None) -> None:
    """A day; empty and zeros mean none."""
    assert stock(loan_dt=text).loan_date == day


@pytest.mark.parametrize("text", ["2026-10-01", "20261301", "20260230", "202610", "2026100１", "loan", 20261001])
def test_loan_date_that_is_no_day_is_named(text: object) -> None:
    """It fails the page, and the error says which field of which row reads how."""
    with pytest.raises(QueryFailed) as caught:
        ledger(STOCK_ROW, STOCK_ROW | {"ord_no": "0000051", "loan_dt": text})
    assert "acnt_ord_cntr_prps_dtl[2].loan_dt" in str(caught.value)
    assert repr(text) in str(caught.value)


def test_row_without_the_fields_of_credit_does_not_tell_of_it() -> None:
    """They are read where they are there."""
    bare = {name: text for name, text in STOCK_ROW.items() if name not in {"crd_tp", "loan_dt"}}
    (order,) = ledger(bare | {"io_tp_nm": "매수"})
    assert (order.is_credit, order.loan_date) == (None, None)


def test_gold_is_never_on_credit_and_never_told_to_be_for_cash() -> None:
    """Its ledger has the same fields; they say nothing of it."""
    (order,) = ledger(GOLD_ROW | {"io_tp_nm": "현금매수"}, desk=Desk.GOLD)
    assert order.is_credit is None
