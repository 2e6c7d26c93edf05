"""What a look at the book, a clock or a text may teach, and what it may not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import (
    Delivery,
    Desk,
    KiwoomClient,
    Order,
    OrderNotAccepted,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
    Side,
)
from kiwoom_async._wire.answers import read_page
from kiwoom_async._wire.exchange import Answer
from kiwoom_async.errors import QueryFailed
from kiwoom_async.simulator import Fault, FaultKind
from tests.scenarios.trading import (
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    left_open,
    offset_to_ten,
    on_book,
    orders_received,
)

KEY = "one"
BUY = "kt10000"
GOLD, GOLD_CANCEL, GOLD_OPEN = "M04020000", "kt50003", "kt50075"
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=BUY)
DROPPED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=BUY)
EVERY_BOUND = 1.5 * (TIMING.acceptance_bound + 4 * TIMING.visibility_bound)
PERSONS_CHANNELS = ("홈페이지", "영업점", "모바일")


async def buy(client: KiwoomClient, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": KEY}
    return await client.stock.buy(**(arguments | changes))


async def buy_among_others(client: KiwoomClient, **changes: Any) -> Order:
    """Place it, and other orders of ours until it has an answer: they make every proof a strong one."""
    task = asyncio.create_task(buy(client, **changes))
    for number in range(1, 400):
        await client.stock.sell(SYMBOL, number, price=72_000)
        if (await asyncio.wait([task], timeout=0.03))[0]:
            break
    return await task


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("code", ["501724", "571758"])
@pytest.mark.parametrize("is_accepted", [True, False])
async def test_nothing_there_on_a_later_page_voids_the_look(tmp_path: Path, code: str, *, is_accepted: bool) -> None:
    """A list that is announced to go on and then is empty by its code is half a list: nothing follows from it."""
    async with broker_of(page_size=3) as broker, client_of(broker, tmp_path) as client:
        # The first question of the day is for the high-water mark: what comes later has to be read.
        await eventually(lambda: broker.count("kt00007") == 1)
        for number in range(8):
            broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=100 + number, price=71_000)
        half = Fault(FaultKind.PAGE_FAILS, page=2, code=code, times=100_000)
        broker.set_faults([DROPPED if is_accepted else LOST, half])
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        assert broker.faults_injected[FaultKind.PAGE_FAILS] > 1
        (left,) = (await client.reconcile()).unresolved
        assert "last look failed" in left.why
        broker.set_faults(None)
        if is_accepted:
            order = await buy(client)
            assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        else:
            with pytest.raises(OrderNotAccepted):
                await buy(client)
        assert len(orders_received(broker, KEY)) == 1


@pytest.mark.parametrize("mark", ["X", "YES", "NO", "0", "true", "N,Y", "\u00a0?"])
def test_continuation_mark_that_is_neither_y_nor_n_voids_the_page(mark: str) -> None:
    """Whoever wrote something else there may have cut the list."""
    with pytest.raises(QueryFailed, match="neither Y nor N"):
        read_page(Answer(200, {"cont-yn": mark}, b'{"return_code":0}'), "kt00007")


@pytest.mark.parametrize("code", ["501724", "571758"])
def test_nothing_there_is_an_answer_to_the_first_page_only(code: str) -> None:
    """The same words are an empty list at the start, and no answer later."""
    answer = Answer(200, {}, f'{{"return_code":20,"return_msg":"[2000]({code}:x)"}}'.encode())
    assert read_page(answer, "kt00007").body == {}
    with pytest.raises(QueryFailed):
        read_page(answer, "kt00007", is_first=False)


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("resend_within", [None, 60])
@pytest.mark.parametrize("seconds", [-30, 30, 3600])
async def test_order_is_found_although_our_clock_is_off(
    tmp_path: Path, seconds: int, resend_within: float | None
) -> None:
    """A clock off by more than `clock_skew` hides no order: the difference is learnt, and there is an alarm."""
    wrong = Hands(offset=offset_to_ten() + timedelta(seconds=seconds))
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path, ambient=wrong) as client:
        order = await buy_among_others(client, resend_within=resend_within)
        assert order.resolved_by is ResolvedBy.LEDGER
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert len(orders_received(broker, KEY)) == 1
        (alarm,) = (await client.reconcile()).alarms
        assert "set the clock" in alarm


async def test_clocks_within_the_skew_raise_no_alarm(tmp_path: Path) -> None:
    """The whole seconds of an HTTP date are no difference."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        await buy(client)
        assert (await client.reconcile()).alarms == ()


# ---------------------------------------------------------------- what an answer proves


async def test_intact_answer_without_meaning_waits_for_the_acceptance_bound(tmp_path: Path) -> None:
    """1999 does not say that the order is not on its way any more: it is not absent before the bound."""
    patient = evolve(TIMING, acceptance_bound=100)
    async with (
        broker_of(Fault(FaultKind.UNEXPECTED_ERROR, api_ids=BUY)) as broker,
        client_of(broker, tmp_path, timing=patient) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            await buy_among_others(client, resend_within=60, deadline=EVERY_BOUND)
        assert len(orders_received(broker, KEY)) == 1


async def test_order_that_is_accepted_after_an_intact_1999_is_found_and_not_doubled(tmp_path: Path) -> None:
    """1999 at once and the order on the book a moment later, within the bound: one order, and its number."""
    async with (
        broker_of(Fault(FaultKind.UNEXPECTED_ERROR, api_ids=BUY)) as broker,
        client_of(broker, tmp_path, timing=evolve(TIMING, acceptance_bound=10)) as client,
    ):
        task = asyncio.create_task(buy_among_others(client, resend_within=60))
        await eventually(lambda: broker.count("kt00007") >= 8)
        assert not task.done()
        late = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel="REST API")
        order = await task
        assert order.broker_order_id == late.broker_order_id
        assert len(orders_received(broker, KEY)) == 1


async def test_gold_that_the_open_list_misses_once_is_not_gone(tmp_path: Path) -> None:
    """The gold ledger does not say what is left, and a list that lags does not say that nothing is."""
    stale = Fault(FaultKind.STALE_LEDGER, seconds=3600, api_ids=GOLD_OPEN, times=2)
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await client.gold.buy(GOLD, 5, price=180_000)
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=GOLD_CANCEL), stale])
        canceled = await client.gold.cancel(order, client_order_id=KEY)
        assert broker.faults_injected[FaultKind.STALE_LEDGER] == 2
        assert canceled.status is OrderStatus.CANCELED
        assert broker.orders[0].leaves_quantity == 0
        assert len(on_book(broker, KEY)) == 1


async def test_gold_that_the_open_list_never_shows_stays_open(tmp_path: Path) -> None:
    """However often it is missing there, a cancel is not done while its gold order is on the book."""
    stale = Fault(FaultKind.STALE_LEDGER, seconds=3600, api_ids=GOLD_OPEN, times=100_000)
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await client.gold.buy(GOLD, 5, price=180_000)
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=GOLD_CANCEL), stale])
        with pytest.raises(OutcomeUnknown):
            await client.gold.cancel(order, client_order_id=KEY, deadline=EVERY_BOUND)
        assert broker.faults_injected[FaultKind.STALE_LEDGER] > 2
        assert broker.orders[0].leaves_quantity == 5


# ---------------------------------------------------------------- channels


@pytest.mark.parametrize("channel", PERSONS_CHANNELS)
async def test_order_of_an_unknown_channel_is_a_candidate_and_not_claimed(tmp_path: Path, channel: str) -> None:
    """Before anything is learnt, an identical order of another channel blocks the proof and is not taken for ours."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        task = asyncio.create_task(buy(client, deadline=EVERY_BOUND, resend_within=60))
        await eventually(lambda: len(orders_received(broker)) == 1)
        other = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=channel)
        with pytest.raises(OutcomeUnknown):
            await task
        (left,) = (await client.reconcile()).unresolved
        assert (left.state, left.candidates) == (Delivery.CANDIDATES, (other.broker_order_id,))
        assert await client._journal.claim_of(Desk.STOCK, other.day, other.broker_order_id) is None
        assert len(orders_received(broker)) == 1


async def test_order_of_the_published_channel_is_claimed_at_once(tmp_path: Path) -> None:
    """The text that is published for orders over REST needs no lesson."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]


async def test_channels_are_learnt_from_acknowledged_orders_only(tmp_path: Path) -> None:
    """A number that was found by matching teaches nothing: the match may have rested on the text."""
    blind = Fault(FaultKind.QUERY_DROP, times=100_000)
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        broker.set_faults([DROPPED, LOST, blind])
        for key, quantity in (("matched", 10), ("absent", 3)):
            await left_open(partial(buy, client, client_order_id=key, quantity=quantity, deadline=0.1))
        broker.set_faults(None)
        assert (await buy(client, client_order_id="matched")).resolved_by is ResolvedBy.LEDGER
        with pytest.raises(OrderNotAccepted):
            # Every look for this one lists the other, which is ours by then.
            await buy(client, client_order_id="absent", quantity=3)
        assert await client._journal.channels(Desk.STOCK) == frozenset()
        broker.set_faults([DROPPED, blind])
        await left_open(lambda: buy(client, client_order_id="two", quantity=4, deadline=0.1))
        acknowledged = await buy(client, client_order_id="three", quantity=5)
        assert acknowledged.resolved_by is ResolvedBy.RESPONSE
        broker.set_faults(None)
        assert (await buy(client, client_order_id="two", quantity=4)).resolved_by is ResolvedBy.LEDGER
        await client.reconcile()
        assert await client._journal.channels(Desk.STOCK) == {"REST API"}
