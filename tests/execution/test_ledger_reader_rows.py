"""What a look at the book holds, when it is final, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from kiwoom_async import Desk, QueryFailed, Timing
from kiwoom_async._domain.clock_watch import ClockWatch
from kiwoom_async._domain.settings import KST
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._wire.answers import Page
from kiwoom_async._wire.requests import Call
from tests.execution.stand_ins import DAY, Clock

TOMORROW = DAY + timedelta(days=1)
MIDNIGHT = datetime.combine(TOMORROW, datetime.min.time(), KST)
LEDGER_KEY, OPEN_KEY, EXECUTED_KEY = "acnt_ord_cntr_prps_dtl", "oso", "cntr"


def ledger_page(*numbers: int) -> Mapping[str, Any]:
    """Give a page of the ledger."""
    row = {"stk_cd": "005930", "trde_tp": "보통", "io_tp_nm": "현금매수", "ord_qty": "1", "ord_uv": "70000"}
    return {LEDGER_KEY: [{**row, "ord_no": f"{one:07d}", "cntr_qty": "0", "ord_tm": "10:00:00"} for one in numbers]}


def open_page(*numbers: int, account: str | None = "1111111111") -> Mapping[str, Any]:
    """Give a page of the open orders."""
    row = {"stk_cd": "005930", "io_tp_nm": "+매수", "ord_qty": "1", "ord_pric": "70000", "oso_qty": "1"}
    shown = {} if account is None else {"acnt_no": account}
    return {OPEN_KEY: [{**row, **shown, "ord_no": f"{one:07d}"} for one in numbers]}


def executed_page(*numbers: int) -> Mapping[str, Any]:
    """Give a page of the executions."""
    rows = [{"stk_cd": "005930", "ord_qty": "2", "cntr_qty": "1", "ord_no": f"{one:07d}"} for one in numbers]
    return {EXECUTED_KEY: rows}


class Pages:
    """A gateway that gives the pages of each look in turn; a single page is asked for as a look of one."""

    def __init__(self, *looks: list[Mapping[str, Any]], after_page: Callable[[], None] | None = None) -> None:
        self._looks = list(looks)
        self._after_page = after_page or (lambda: None)
        self.clock_watch = ClockWatch(proven=7.0)
        self.calls: list[Call] = []

    async def fetch_pages(self, call: Call) -> AsyncIterator[Page]:
        """Give the pages of the next look."""
        self.calls.append(call)
        for body in self._looks.pop(0):
            self._after_page()
            yield Page(body, None)

    async def fetch_page(self, call: Call) -> Page:
        """Give a page."""
        self.calls.append(call)
        (body,) = self._looks.pop(0)
        return Page(body, None)


def reader(gateway: Pages, clock: Clock | None = None) -> LedgerReader:
    """Read through a gateway."""
    return LedgerReader(cast("Any", gateway), cast("Any", clock or Clock(MIDNIGHT)), Timing())


def test_reader_tells_what_the_clocks_are_proven_to_differ_by() -> None:
    """By the answers that its gateway has seen (A11); and it has asked nothing yet."""
    made = reader(Pages())
    assert made.proven_clock_difference == 7.0
    assert made.queries == 0


# ---------------------------------------------------------------------- the day's ledger


async def test_ledger_that_comes_to_rest_is_read() -> None:
    """Two looks that moved are thrown away, and the third counts."""
    first, moved = [ledger_page(1, 2), ledger_page(3)], [ledger_page(9)]
    made = reader(Pages(first, moved, first, moved, first, [ledger_page(1, 2)]))
    snapshot = await made.fetch_snapshot(Desk.STOCK, DAY, 0)
    assert [row.number for row in snapshot.rows] == [1, 2, 3]
    assert (snapshot.queries, made.queries) == (3, 9)
    assert (snapshot.desk, snapshot.day, snapshot.since) == (Desk.STOCK, DAY, 0)


async def test_order_that_is_listed_twice_voids_the_look() -> None:
    """The pages moved, or the broker repeats a number: no row of it is believed."""
    twice = [ledger_page(1, 2), ledger_page(2, 3)]
    with pytest.raises(QueryFailed, match=r"kt00007 .*order 0000002 is listed twice"):
        await reader(Pages(twice, twice, twice)).fetch_snapshot(Desk.STOCK, DAY, 0)


async def test_empty_first_page_may_be_followed_by_another() -> None:
    """Nothing is listed on it at the second look either."""
    snapshot = await reader(Pages([ledger_page(), ledger_page(7)], [ledger_page()])).fetch_snapshot(Desk.STOCK, DAY, 0)
    assert [row.number for row in snapshot.rows] == [7]


async def test_only_later_orders_are_in_the_look() -> None:
    """Whether Kiwoom lists the number itself that is asked for is not known; and older rows are no complete view."""
    gateway = Pages([ledger_page(4, 5, 6)])
    snapshot = await reader(gateway).fetch_snapshot(Desk.STOCK, DAY, 5, symbol="005930")
    assert [row.number for row in snapshot.rows] == [6]
    (call,) = gateway.calls
    assert (call.body["fr_ord_no"], call.body["stk_cd"], call.body["ord_dt"]) == ("0000005", "005930", f"{DAY:%Y%m%d}")


@pytest.mark.parametrize(("seconds", "is_final"), [(-60, False), (0, False), (4, False), (5, True), (60, True)])
async def test_day_is_over_by_both_clocks(seconds: int, *, is_final: bool) -> None:
    """The broker's clock may be behind by as much as they may differ (A11)."""
    clock = Clock(MIDNIGHT + timedelta(seconds=seconds))
    assert (await reader(Pages([ledger_page()]), clock).fetch_snapshot(Desk.STOCK, DAY, 0)).is_final is is_final


async def test_look_across_midnight_is_none() -> None:
    """Numbers begin anew, and half of it may be of the other day."""
    clock = Clock(MIDNIGHT - timedelta(seconds=1))

    def move() -> None:
        clock.at += timedelta(seconds=2)

    with pytest.raises(QueryFailed, match=r"kt00007 .*midnight passed while it was read"):
        await reader(Pages([ledger_page(1)], after_page=move), clock).fetch_snapshot(Desk.STOCK, DAY, 0)


async def test_look_tells_when_it_began_and_ended() -> None:
    """Before its first request and after its last answer: what was sent in between may be in it or not."""
    clock = Clock(MIDNIGHT)
    began = clock.monotonic()

    def move() -> None:
        clock.at += timedelta(seconds=2)

    snapshot = await reader(Pages([ledger_page(1)], after_page=move), clock).fetch_snapshot(Desk.STOCK, DAY, 0)
    assert (snapshot.began, snapshot.finished) == (began, began + 2)


@pytest.mark.parametrize(("numbers", "highest"), [((7, 9, 8), 9), ((), 0)])
async def test_highest_number_is_read_from_the_newest_page(numbers: tuple[int, ...], highest: int) -> None:
    """Of the whole day, in one query: an order that is sent later has a higher one (A8)."""
    gateway = Pages([ledger_page(*numbers)])
    made = reader(gateway)
    assert await made.fetch_highest_number(Desk.STOCK, DAY) == highest
    assert [(call.body["qry_tp"], call.body["fr_ord_no"]) for call in gateway.calls] == [("2", "")]
    assert made.queries == 1


# ---------------------------------------------------------------------- open orders and executions


async def test_open_orders_of_all_pages_are_read() -> None:
    """Each page is a query; a view that shows no account says nothing about it."""
    made = reader(Pages([open_page(1), open_page(2)], [open_page(3, account=None)]))
    assert [row.broker_order_id for row in await made.fetch_open_orders(Desk.STOCK)] == ["0000001", "0000002"]
    assert made.queries == 2
    assert [row.broker_order_id for row in await made.fetch_open_orders(Desk.STOCK)] == ["0000003"]


async def test_steady_open_orders_are_of_our_account_only() -> None:
    """One that shows another account than before is a failed look (A6)."""
    made = reader(Pages([open_page(1)], [open_page(2, account="2222222222")]))
    assert [row.broker_order_id for row in await made.fetch_steady_open_orders(Desk.STOCK)] == ["0000001"]
    with pytest.raises(QueryFailed, match="another account"):
        await made.fetch_steady_open_orders(Desk.STOCK)


async def test_executions_of_all_pages_are_read() -> None:
    """Each page is a query."""
    made = reader(Pages([executed_page(1), executed_page(2)]))
    executed = await made.fetch_executions(DAY)
    assert [(one.broker_order_id, one.day, one.desk) for one in executed] == [
        ("0000001", DAY, Desk.STOCK),
        ("0000002", DAY, Desk.STOCK),
    ]
    assert made.queries == 2
