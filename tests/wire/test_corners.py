"""Corners of the decoders: fields that are not there, or that say nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._wire.frames import RealEntry, decode_report
from kiwoom_async._wire.quotes import decode_order_book
from kiwoom_async.errors import QueryFailed, UnreadableReport
from tests.wire import account_samples as samples
from tests.wire.test_frames import FILLED

DAY = date(2026, 11, 2)


def decode(values: dict[str, Any]) -> Any:
    """Read a report."""
    return decode_report(RealEntry("00", "005930", values), DAY)


@pytest.mark.parametrize("fid", ["913", "9203", "900"])
def test_field_that_is_not_there_is_named(fid: str) -> None:
    """A report without it counts for nothing; a default would be an invention."""
    with pytest.raises(UnreadableReport, match="is missing") as caught:
        decode({name: value for name, value in FILLED.items() if name != fid})
    assert caught.value.fid == fid


def test_report_that_tells_no_side() -> None:
    """Neither the word nor the code says whether it is a buy or a sale."""
    with pytest.raises(UnreadableReport, match="neither it nor 907 tells the side"):
        decode(FILLED | {"905": "", "907": ""})


@pytest.mark.parametrize("name", ["sel_fpr_bid", "sel_fpr_req", "buy_10th_pre_bid"])
def test_level_of_a_book_that_is_not_there_is_named(name: str) -> None:
    """An order book without one of its fields is no book with a hole."""
    body = {key: value for key, value in samples.ORDER_BOOK.items() if key != name}
    assert len(body) == len(samples.ORDER_BOOK) - 1
    with pytest.raises(QueryFailed, match=f"{name} is missing"):
        decode_order_book("ka10004", "005930", Route.KRX, body)
