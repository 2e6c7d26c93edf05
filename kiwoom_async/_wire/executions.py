"""Rows of the day's executions, from Kiwoom's text to domain records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from attrs import frozen

from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._wire.ledger import (
    Clock,
    Number,
    OptionalPadded,
    Padded,
    Price,
    Symbol,
    parse_side,
    structure_rows,
)
from kiwoom_async.errors import QueryFailed

_KEY: Final = "cntr"


@frozen
class _Row:
    """ka10076."""

    ord_no: Number
    stk_cd: Symbol
    ord_qty: Padded
    cntr_qty: Padded
    cntr_pric: Price | None = None
    oso_qty: OptionalPadded | None = None
    io_tp_nm: str = ""
    ord_pric: OptionalPadded | None = None
    orig_ord_no: Number | None = None
    ord_tm: Clock | None = None
    tdy_trde_cmsn: OptionalPadded | None = None
    tdy_trde_tax: OptionalPadded | None = None


def decode_executions(api_id: str, desk: Desk, day: date, body: Mapping[str, Any]) -> tuple[ExecutedOrder, ...]:
    """Read a page of ka10076.

    Raises:
        QueryFailed: A field is missing or unreadable, or an order number has two rows; the text says which.
    """
    found: dict[str, ExecutedOrder] = {}
    for row in structure_rows(api_id, body, _KEY, _Row):
        # One row per number is what makes its quantity the total [O, M]. With two, no row could be trusted to be one.
        if row.ord_no in found:
            raise QueryFailed(api_id, f"order {row.ord_no} has two rows, so that none of them tells what is filled")
        found[row.ord_no] = ExecutedOrder(
            desk=desk,
            day=day,
            broker_order_id=row.ord_no,
            symbol=row.stk_cd,
            quantity=row.ord_qty,
            filled_quantity=row.cntr_qty,
            average_fill_price=row.cntr_pric or None,
            leaves_quantity=row.oso_qty,
            side=parse_side(row.io_tp_nm),
            price=row.ord_pric or None,
            original=row.orig_ord_no,
            ordered_at=None if row.ord_tm is None else datetime.combine(day, row.ord_tm, KST),
            commission=row.tdy_trde_cmsn,
            tax=row.tdy_trde_tax,
        )
    return tuple(found.values())
