"""Section D: an order counts as absent only when the ledger has proven it, whatever the ledger does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve

from kiwoom_async import (
    Credentials,
    Delivery,
    KiwoomClient,
    Order,
    OrderNotAccepted,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
    Side,
)
from kiwoom_async._domain.absence import NO_FEED, Strength
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import (
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    is_look,
    ledger_queries,
    left_open,
    on_book,
    opened,
    orders_received,
)

KEY = "one"
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
DROPPED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
EVERY_BOUND = 1.5 * (TIMING.acceptance_bound + 4 * TIMING.visibility_bound)
"""Seconds after which even a weak proof is there, with room to spare."""


async def buy(client: KiwoomClient, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": KEY}
    return await client.stock.buy(**(arguments | changes))


@asynccontextmanager
async def witnesses(client: KiwoomClient) -> AsyncIterator[None]:
    """Place other orders meanwhile: they show how fresh the ledger is."""

    async def place() -> None:
        for number in range(1, 1000):
            await client.stock.sell(SYMBOL, number, price=71_000)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(place())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def assert_claimed(broker: Simulator, client: KiwoomClient) -> Order:
    """The order is found in the ledger, once, and was sent once."""
    order = await buy(client)
    assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
    assert len(orders_received(broker, KEY)) == 1
    return order


async def assert_absent(broker: Simulator, client: KiwoomClient) -> OrderNotAccepted:
    """The order is proven absent, and was sent once."""
    with pytest.raises(OrderNotAccepted) as caught:
        await buy(client)
    assert on_book(broker, KEY) == []
    assert len(orders_received(broker, KEY)) == 1
    return caught.value


async def test_not_found_once_is_not_absent(tmp_path: Path) -> None:
    """An accepted order that the first looks do not list is found later, and never called absent."""
    async with broker_of(DROPPED, ledger_lag=0.18) as broker, client_of(broker, tmp_path) as client:
        order = await assert_claimed(broker, client)
        assert order.resolved_by is ResolvedBy.LEDGER
        assert ledger_queries(broker) > 1


@pytest.mark.parametrize("is_accepted", [True, False])
@pytest.mark.parametrize("kind", [FaultKind.QUERY_ERROR, FaultKind.QUERY_SERVER_ERROR, FaultKind.QUERY_DROP])
async def test_query_error_never_counts_as_absent(tmp_path: Path, kind: FaultKind, *, is_accepted: bool) -> None:
    """However long queries fail, nothing is concluded; when they work again, the truth is."""
    fault = DROPPED if is_accepted else LOST
    async with broker_of(fault, Fault(kind, times=100_000)) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        assert [left.client_order_id for left in (await client.reconcile()).unresolved] == [KEY]
        broker.set_faults(None)
        await (assert_claimed if is_accepted else assert_absent)(broker, client)


async def fill_pages(broker: Simulator) -> None:
    """Let others place enough orders for several pages, after the day's first question: they have to be read."""
    await opened(broker)
    for number in range(8):
        broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=100 + number, price=71_000)


async def assert_void_while(broker: Simulator, client: KiwoomClient, fault: Fault, *, is_accepted: bool) -> None:
    """While pages come like this, nothing is concluded."""
    await fill_pages(broker)
    broker.set_faults([DROPPED if is_accepted else LOST, evolve(fault, times=100_000)])
    with pytest.raises(OutcomeUnknown):
        await buy(client, deadline=EVERY_BOUND)
    assert broker.faults_injected[fault.kind] > 1
    report = await client.reconcile()
    assert "last look failed" in report.unresolved[0].why
    broker.set_faults(None)
    await (assert_claimed if is_accepted else assert_absent)(broker, client)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_partial_pages_void_snapshot(tmp_path: Path, *, is_accepted: bool) -> None:
    """Two pages and an error are no look."""
    async with broker_of(page_size=3) as broker, client_of(broker, tmp_path) as client:
        await assert_void_while(broker, client, Fault(FaultKind.PAGE_FAILS, page=3), is_accepted=is_accepted)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_cont_yn_without_next_key_voids(tmp_path: Path, *, is_accepted: bool) -> None:
    """A page that announces another one and does not say where is no look."""
    async with broker_of(page_size=3) as broker, client_of(broker, tmp_path) as client:
        await assert_void_while(broker, client, Fault(FaultKind.CONT_WITHOUT_KEY), is_accepted=is_accepted)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_repeated_next_key_voids(tmp_path: Path, *, is_accepted: bool) -> None:
    """A page that names itself as the next is no look, and no endless loop."""
    async with broker_of(page_size=3) as broker, client_of(broker, tmp_path) as client:
        await assert_void_while(broker, client, Fault(FaultKind.PAGE_REPEATS), is_accepted=is_accepted)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_row_inserted_while_paging_no_skip_no_dup(tmp_path: Path, *, is_accepted: bool) -> None:
    """Rows that move from page to page while they are read hide no order and double none."""
    async with broker_of(page_size=3) as broker, client_of(broker, tmp_path) as client:
        await fill_pages(broker)
        broker.set_faults([DROPPED if is_accepted else LOST, Fault(FaultKind.PAGE_SHIFTS, times=12)])
        await (assert_claimed if is_accepted else assert_absent)(broker, client)
        assert broker.faults_injected[FaultKind.PAGE_SHIFTS] > 0
        assert (await client.reconcile()).alarms == ()


async def test_stale_replica_without_witness_is_not_proof(tmp_path: Path) -> None:
    """A ledger that stands still never leads to another send; when it moves again, the order is found."""
    stale = Fault(FaultKind.STALE_LEDGER, seconds=3600, times=100_000)
    async with broker_of(DROPPED, stale) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(OutcomeUnknown):
            await buy(client, resend_within=60, deadline=EVERY_BOUND)
        assert broker.faults_injected[FaultKind.STALE_LEDGER] > 1
        broker.set_faults(None)
        await assert_claimed(broker, client)


async def test_stale_replica_that_lacks_our_own_order_proves_nothing(tmp_path: Path) -> None:
    """A ledger without an order of ours that it must list is stale: nothing is concluded, and there is an alarm."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        witness = await client.stock.sell(SYMBOL, 5, price=70_000)
        until = client._ambient.monotonic() + TIMING.visibility_bound
        await eventually(lambda: client._ambient.monotonic() > until)
        # The first look begins below this order, so that it has to be listed.
        broker.set_faults([DROPPED, Fault(FaultKind.STALE_LEDGER, seconds=3600, times=100_000)])
        client._journal._writer._connection.execute("DELETE FROM high_water")  # type: ignore[union-attr]
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        report = await client.reconcile()
        assert any(str(witness.broker_order_id) in alarm for alarm in report.alarms)
        broker.set_faults(None)
        await assert_claimed(broker, client)


async def test_witness_order_present_certifies_freshness(tmp_path: Path) -> None:
    """An own order that was sent after the lost one was dead makes the proof a strong one, and is named in it."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        async with witnesses(client):
            error = await assert_absent(broker, client)
        assert error.proof.strength is Strength.STRONG
        assert error.proof.witness.broker_order_id in {row.broker_order_id for row in broker.orders}
    async with broker_of(LOST) as broker, client_of(broker, tmp_path / "..") as client:
        error = await assert_absent(broker, client)
        assert error.proof.strength is Strength.WEAK
        assert error.proof.witness is None


async def test_settle_time_uses_monotonic_clock(tmp_path: Path) -> None:
    """A wall clock that jumps ahead does not shorten the bounds."""
    hands = Hands()
    patient = evolve(TIMING, acceptance_bound=3600)
    async with broker_of(LOST, ambient=hands) as broker, client_of(broker, tmp_path, timing=patient) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        hands.offset += timedelta(hours=3)
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        assert ledger_queries(broker) > 1


async def test_immediately_filled_order_found_in_full_history_not_open_list(tmp_path: Path) -> None:
    """A market order that traded at once is not open any more, and is found."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client, price=None)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert broker.orders[0].status is OrderStatus.FILLED
        assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, 10)


async def test_immediately_cancelled_rejected_order_still_counts_as_accepted(tmp_path: Path) -> None:
    """An order that left the book at once (out of reach and immediate) was accepted, and is reported so."""
    prices = {SYMBOL: 70_000}
    async with broker_of(DROPPED, prices=prices) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client, price=60_000, order_type="limit_ioc")
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert (broker.orders[0].status, broker.orders[0].filled_quantity) == (OrderStatus.CANCELED, 0)
        assert order.status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    "changes",
    [
        {"route": "KRX"},
        {"route": "NXT"},
        {"route": "SOR"},
        {"order_type": "after_hours_single"},
        {"order_type": "post_market_close", "price": None},
    ],
    ids=["KRX", "NXT", "SOR", "after_hours", "after_close"],
)
async def test_query_covers_KRX_NXT_SOR_and_odd_credit_after_hours(  # noqa: N802 - the scenario's name
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Orders of every route and session are looked for, and found."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client, **changes)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        for request in broker.requests:
            if request.api_id == "kt00007" and is_look(request):
                body = json.loads(request.body)
                asked = (body["dmst_stex_tp"], body["sell_tp"], body["stk_cd"], body["stk_bond_tp"])
                assert asked == ("%", "0", "", "0")


async def test_wrong_account_snapshot_rejected(tmp_path: Path) -> None:
    """A client with another app key on the same journal draws no conclusion about our order from its own ledger."""
    other = Credentials(app_key="other", secret_key="secret")
    async with (
        broker_of() as theirs,
        broker_of(LOST, Fault(FaultKind.QUERY_ERROR, times=100_000)) as ours,
        client_of(ours, tmp_path) as client,
        client_of(theirs, tmp_path, credentials=other) as stranger,
    ):
        theirs.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel="REST API")
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        report = await stranger.reconcile()
        assert (report.resolved, report.unresolved) == ((), ())
        assert ledger_queries(theirs) == 0
        assert [left.client_order_id for left in await client.orders.unresolved()] == [KEY]


class Midnight(httpx.AsyncBaseTransport):
    """Let midnight pass while the first ledger is read."""

    def __init__(self, broker: Simulator, hands: Hands) -> None:
        self._broker = broker
        self._hands = hands
        self.nights = 1

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and time with it."""
        response = await self._broker.transport.handle_async_request(request)
        is_ledger = request.headers.get("api-id") == "kt00007"
        if is_ledger and self.nights and is_look(self._broker.requests[-1]):
            self.nights -= 1
            self._hands.next_day()
        return response


async def test_snapshot_spanning_midnight_voids(tmp_path: Path) -> None:
    """A ledger that was read across midnight is no look; the next one, of yesterday, finds the order."""
    hands = Hands()
    async with broker_of(DROPPED, listen=False, ambient=hands) as broker:
        midnight = Midnight(broker, hands)
        async with client_of(broker, tmp_path, transport=midnight) as client:
            placed_on = broker.day
            order = await assert_claimed(broker, client)
            assert midnight.nights == 0
            assert (order.day, broker.day) == (placed_on, placed_on + timedelta(days=1))
            assert ledger_queries(broker) > 1


async def test_ledger_shrinks_between_snapshots_alarm(tmp_path: Path) -> None:
    """Rows that were listed and are not any more: an alarm, and no absence is concluded."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=3, price=71_000)
        await client.reconcile()
        broker.set_faults([Fault(FaultKind.STALE_LEDGER, seconds=3600, times=100_000)])
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        report = await client.reconcile()
        assert report.alarms
        assert [left.client_order_id for left in report.unresolved] == [KEY]
        broker.set_faults(None)
        await assert_absent(broker, client)


@pytest.mark.parametrize("seconds", [1.6, 4.0], ids=["soon", "far_beyond_the_bounds"])
async def test_acceptance_after_absence_verdict_revives_key(
    tmp_path: Path, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """An order that turns up after it was proven absent is reported: an alarm, and from then on the id gives it."""
    late = Fault(FaultKind.ACCEPT_LATE, seconds=seconds)
    async with broker_of(late) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        assert not broker.orders
        await eventually(lambda: len(broker.orders) == 1)
        await client.reconcile()
        assert any("proven absent and is on the book" in message for message in caplog.messages)
        order = await buy(client)
        assert order.delivery is Delivery.REVIVED
        assert order.broker_order_id == broker.orders[0].broker_order_id
        assert len(orders_received(broker, KEY)) == 1


async def test_feed_gap_voids_feed_certificate(tmp_path: Path) -> None:
    """There is no real-time feed in this release: every proof says so and rests on the ledger alone."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        assert (await assert_absent(broker, client)).proof.feed == NO_FEED
