"""Complete views of the broker's book, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from kiwoom_async import Desk, QueryFailed, Timing
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._wire.answers import Page
from kiwoom_async._wire.requests import Call


class TwoAccounts:
    """A gateway whose second look shows another account."""

    def __init__(self) -> None:
        self._accounts = iter(("1111111111", "1111111111", "2222222222"))

    async def fetch_pages(self, _: Call) -> AsyncIterator[Page]:
        """Give one page with one order."""
        row = {
            "acnt_no": next(self._accounts),
            "ord_no": "0000007",
            "stk_cd": "005930",
            "io_tp_nm": "+매수",
            "ord_qty": "1",
            "ord_pric": "70000",
            "oso_qty": "1",
        }
        yield Page({"oso": [row]}, None)


async def test_open_orders_of_another_account_are_no_view_of_ours() -> None:
    """A look that shows another account than before is a failed look (A6)."""
    reader = LedgerReader(TwoAccounts(), SystemAmbient(), Timing())  # type: ignore[arg-type]
    assert len(await reader.fetch_open_orders(Desk.STOCK)) == 1
    assert len(await reader.fetch_open_orders(Desk.STOCK)) == 1
    with pytest.raises(QueryFailed, match="another account"):
        await reader.fetch_open_orders(Desk.STOCK)


DAY = date(2026, 3, 2)


class MovingLedger:
    """A gateway whose pages are other ones at each look; pages are words, order numbers are digits."""

    def __init__(self, *looks: str) -> None:
        self._looks = [look.split() for look in looks]

    async def fetch_pages(self, _: Call) -> AsyncIterator[Page]:
        """Give the pages of the next look."""
        for page in self._looks.pop(0):
            yield _ledger_page(page)

    async def fetch_page(self, _: Call) -> Page:
        """Give the first page as the next look will show it."""
        return _ledger_page(self._looks[0][0])


def _ledger_page(numbers: str) -> Page:
    row = {"stk_cd": "005930", "trde_tp": "보통", "io_tp_nm": "현금매수", "ord_qty": "1", "ord_uv": "70000"}
    rows = [{**row, "ord_no": f"{number:0>7}", "cntr_qty": "0", "ord_tm": "10:00:00"} for number in numbers]
    return Page({"acnt_ord_cntr_prps_dtl": rows}, None)


def _reader_of(*looks: str) -> LedgerReader:
    return LedgerReader(MovingLedger(*looks), SystemAmbient(), Timing())  # type: ignore[arg-type]


async def test_row_that_slips_past_the_reader_voids_the_look() -> None:
    """A row that moved to a page already read is missing from the rest; the first page tells, and it is read anew."""
    reader = _reader_of("12 45", "123 45", "123 45")
    snapshot = await reader.fetch_snapshot(Desk.STOCK, DAY, 0)
    assert [row.number for row in snapshot.rows] == [1, 2, 3, 4, 5]


async def test_ledger_that_never_rests_is_no_look() -> None:
    """Where each try finds the pages moved, the look has failed: nothing may be concluded from it."""
    reader = _reader_of("12 45", "123 5", "124 3", "125 4")
    with pytest.raises(QueryFailed, match="moved"):
        await reader.fetch_snapshot(Desk.STOCK, DAY, 0)


async def test_ledger_at_rest_is_read_once() -> None:
    """The first page again is all that a look of several pages costs more; one of a single page costs nothing more."""
    reader = _reader_of("12 34", "12 34")
    assert (await reader.fetch_snapshot(Desk.STOCK, DAY, 2)).queries == 3
    assert (await _reader_of("12").fetch_snapshot(Desk.STOCK, DAY, 0)).queries == 1
