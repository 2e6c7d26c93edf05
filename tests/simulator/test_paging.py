"""Lists in pages: the cursor in the headers, and every way it can mislead."""

from __future__ import annotations

import httpx
import pytest

from kiwoom_async.simulator import Channel, Fault, FaultKind, Simulator
from tests.simulator.callers import LEDGER, OPEN, Caller, calling

KEY = "acnt_ord_cntr_prps_dtl"


def numbers(answers: list[httpx.Response], key: str = KEY) -> list[list[str]]:
    """Read the order numbers of each page."""
    return [[row["ord_no"] for row in answer.json().get(key, [])] for answer in answers]


async def five(caller: Caller) -> list[str]:
    """Place five orders."""
    return [await caller.buy() for _ in range(5)]


async def test_pages_cover_the_list_once() -> None:
    """`cont-yn` and `next-key` lead through the list; the last page says N and has no key."""
    async with Simulator(page_size=2) as broker, calling(broker) as caller:
        placed = await five(caller)
        answers = await caller.pages("kt00007", LEDGER)
    assert numbers(answers) == [placed[:2], placed[2:4], placed[4:]]
    assert [answer.headers["cont-yn"] for answer in answers] == ["Y", "Y", "N"]
    assert answers[-1].headers["next-key"] == ""
    assert all(len(answer.headers["next-key"]) <= 50 for answer in answers)


async def test_full_last_page_says_no_more() -> None:
    """A list that fills its last page exactly has no empty page behind it."""
    async with Simulator(page_size=5) as broker, calling(broker) as caller:
        await five(caller)
        answers = await caller.pages("kt00007", LEDGER)
    assert [len(page) for page in numbers(answers)] == [5]


async def test_empty_cursor_headers_are_the_first_page() -> None:
    """A first request with `cont-yn: N` and an empty key is accepted."""
    async with Simulator(page_size=2) as broker, calling(broker) as caller:
        placed = await five(caller)
        answer = await caller.post("kt00007", LEDGER, cont_yn="N", next_key="")
    assert numbers([answer]) == [placed[:2]]


async def test_key_goes_with_its_body_only() -> None:
    """A cursor of another request, or an invented one, is malformed."""
    async with Simulator(page_size=2) as broker, calling(broker) as caller:
        await five(caller)
        key = (await caller.post("kt00007", LEDGER)).headers["next-key"]
        other = await caller.post("kt00007", LEDGER | {"sell_tp": "2"}, cont_yn="Y", next_key=key)
        invented = await caller.post("kt00007", LEDGER, cont_yn="Y", next_key="abc")
    assert "[1517:" in other.text
    assert "[1517:" in invented.text


async def test_rows_that_come_or_go_do_not_disturb_the_pages() -> None:
    """By default a page begins behind the last row seen, whatever happened in between."""
    async with Simulator(page_size=2) as broker, calling(broker) as caller:
        placed = await five(caller)
        first = await caller.post("ka10075", OPEN)
        await caller.buy()
        broker.fill(placed[3])
        second = await caller.post("ka10075", OPEN, cont_yn="Y", next_key=first.headers["next-key"])
    assert numbers([first, second], "oso") == [[placed[4], placed[3]], [placed[2], placed[1]]]


async def test_repeated_page_never_ends() -> None:
    """PAGE_REPEATS hands out the key that was just used."""
    fault = Fault(FaultKind.PAGE_REPEATS, times=100)
    async with Simulator(page_size=2, faults=[fault]) as broker, calling(broker) as caller:
        placed = await five(caller)
        answers = await caller.pages("kt00007", LEDGER, limit=6)
    assert numbers(answers)[1:] == [placed[2:4]] * 5
    assert len({answer.headers["next-key"] for answer in answers}) == 1


@pytest.mark.parametrize("order", ["1", "2"])
async def test_shifted_page_shows_a_row_again(order: str) -> None:
    """Somebody's order comes in between two pages, and a page by offset begins with a row that was shown."""
    async with (
        Simulator(page_size=2, faults=[Fault(FaultKind.PAGE_SHIFTS)]) as broker,
        calling(broker) as caller,
    ):
        placed = await five(caller)
        pages = numbers(await caller.pages("kt00007", LEDGER | {"qry_tp": order}))
    foreign = [row for row in broker.all_orders if row.is_foreign]
    assert pages[1][0] == pages[0][-1]
    assert len(foreign) == 1
    assert foreign[0].channel == Channel.HOME_TRADING
    assert set(placed) <= {number for page in pages for number in page}


async def test_page_of_yesterday_does_not_take_a_number_that_is_still_to_come() -> None:
    """Today's numbers begin anew: what lies below yesterday's page was not skipped today."""
    async with (
        Simulator(page_size=2, faults=[Fault(FaultKind.PAGE_SHIFTS)]) as broker,
        calling(broker) as caller,
    ):
        await five(caller)
        yesterday = {"ord_dt": f"{broker.orders[0].day:%Y%m%d}", "qry_tp": "1"}
        broker.advance_day()
        await caller.pages("kt00007", LEDGER | yesterday)
        (foreign,) = [order for order in broker.all_orders if order.is_foreign]
        assert foreign.broker_order_id < min(await five(caller))


async def test_failing_page_is_the_named_one() -> None:
    """PAGE_FAILS waits for its page."""
    fault = Fault(FaultKind.PAGE_FAILS, page=3)
    async with Simulator(page_size=2, faults=[fault]) as broker, calling(broker) as caller:
        await five(caller)
        answers = await caller.pages("kt00007", LEDGER)
        again = await caller.pages("kt00007", LEDGER)
    assert [answer.json()["return_code"] for answer in answers] == [0, 0, 20]
    assert [answer.json()["return_code"] for answer in again] == [0, 0, 0]


async def test_continuation_without_a_key() -> None:
    """CONT_WITHOUT_KEY promises more and does not say where."""
    fault = Fault(FaultKind.CONT_WITHOUT_KEY)
    async with Simulator(page_size=2, faults=[fault]) as broker, calling(broker) as caller:
        await five(caller)
        answer = await caller.post("kt00007", LEDGER)
    assert (answer.headers["cont-yn"], answer.headers["next-key"]) == ("Y", "")
