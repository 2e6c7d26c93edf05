"""Complete views of the broker's book, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator

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
