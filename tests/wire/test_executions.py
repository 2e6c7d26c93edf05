"""Rows of the day's executions."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Desk, Side
from kiwoom_async._wire.executions import decode_executions
from kiwoom_async._wire.requests import executions_call
from kiwoom_async.errors import QueryFailed

DAY = date(2026, 11, 2)

ROW: dict[str, Any] = {
    "ord_no": "0000037",
    "stk_nm": "삼성전자",
    "io_tp_nm": "-매도",
    "ord_pric": "158200",
    "ord_qty": "10",
    "cntr_pric": "158200",
    "cntr_qty": "4",
    "oso_qty": "6",
    "tdy_trde_cmsn": "310",
    "ord_stt": "체결",
    "trde_tp": "보통",
    "orig_ord_no": "0000000",
    "ord_tm": "153815",
    "stk_cd": "005930",
    "stex_tp": "0",
    "stex_tp_txt": "SOR",
    "sor_yn": "N",
}
"""A row of ka10076."""


def decode(*rows: Any) -> tuple[ExecutedOrder, ...]:
    """Read a page."""
    return decode_executions("ka10076", Desk.STOCK, DAY, {"cntr": list(rows), "return_code": 0})


def test_rows() -> None:
    """One per order number, with all its fills."""
    first, second = decode(ROW, ROW | {"ord_no": "36", "stk_cd": "A069500", "cntr_pric": "", "oso_qty": ""})
    assert first == ExecutedOrder(
        desk=Desk.STOCK,
        day=DAY,
        broker_order_id="0000037",
        symbol="005930",
        quantity=10,
        filled_quantity=4,
        average_fill_price=Decimal(158200),
        leaves_quantity=6,
        side=Side.SELL,
        price=158_200,
        original=None,
        ordered_at=datetime(2026, 11, 2, 15, 38, 15, tzinfo=KST),
        commission=310,
        tax=None,
    )
    assert (second.broker_order_id, second.symbol) == ("0000036", "069500")
    assert (second.average_fill_price, second.leaves_quantity) == (None, None)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("+259833", Decimal(259833)),
        ("-259833", Decimal(259833)),
        (" 259833.33", Decimal("259833.33")),
        ("0", None),
        ("0000259833", Decimal(259833)),
    ],
)
def test_prices(text: str, price: Decimal | None) -> None:
    """A sign marks up or down; an average may have digits behind the point."""
    assert decode(ROW | {"cntr_pric": text})[0].average_fill_price == price


def test_there_is_nothing() -> None:
    """As an empty list, or as the broker's word for it, which has no body."""
    assert decode() == ()
    assert decode_executions("ka10076", Desk.STOCK, DAY, {}) == ()


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([ROW | {"cntr_qty": "four"}], "cntr_qty"),
        ([ROW | {"cntr_qty": ""}], "cntr_qty"),
        ([ROW | {"cntr_pric": "cheap"}], "cntr_pric"),
        ([ROW | {"cntr_pric": "--1"}], "cntr_pric"),
        ([ROW | {"cntr_pric": "NaN"}], "cntr_pric"),
        ([ROW | {"cntr_pric": 158200}], "cntr_pric"),
        ([ROW | {"ord_no": "0000000"}], "ord_no"),
        ([ROW | {"ord_tm": "153860"}], "ord_tm"),
        ([ROW | {"tdy_trde_tax": "a lot"}], "tdy_trde_tax"),
        ([{name: text for name, text in ROW.items() if name != "ord_qty"}], "ord_qty"),
        (["text"], "cntr"),
        ([ROW, ROW | {"cntr_qty": "2"}], "two rows"),
    ],
)
def test_unreadable_rows_fail_the_query(rows: list[Any], named: str) -> None:
    """Parse or raise; two rows of one number cannot both be its total."""
    with pytest.raises(QueryFailed, match=named):
        decode(*rows)


def test_a_missing_list_fails_the_query() -> None:
    """An answer without the list is not an empty one."""
    with pytest.raises(QueryFailed, match="cntr"):
        decode_executions("ka10076", Desk.STOCK, DAY, {"return_code": 0})


def test_query() -> None:
    """ka10076: every side and venue, and no number, which would cut the newest off."""
    call = executions_call()
    body = {"stk_cd": "", "qry_tp": "0", "sell_tp": "0", "ord_no": "", "stex_tp": "0"}
    assert (call.api_id, call.path, call.body) == ("ka10076", "/api/dostk/acnt", body)
    assert executions_call("005930").body == body | {"stk_cd": "005930", "qry_tp": "1"}
