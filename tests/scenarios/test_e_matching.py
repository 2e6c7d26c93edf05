"""Section E: whose an order on the book is. What is not certain is never claimed and never called absent."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, time, timedelta
from pathlib import Path
from time import clock_gettime
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import (
    HealthState,
    KiwoomClient,
    Order,
    OrderNotAccepted,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
    Side,
    Timing,
)
from kiwoom_async._domain.settings import KST
from kiwoom_async.simulator import Channel, Fault, FaultKind, Simulator, exchange
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    landed,
    left_open,
    on_book,
    opened,
    orders_received,
    resolved,
)

KEY = "one"
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
DROPPED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)
EVERY_BOUND = 1.5 * (TIMING.acceptance_bound + 4 * TIMING.visibility_bound)


async def buy(client: KiwoomClient, key: str = KEY, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


def place_theirs(broker: Simulator, channel: str = Channel.REST_API) -> str:
    """Let somebody else place an order with the same fields; give its number."""
    order = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=channel)
    return order.broker_order_id


async def assert_open(client: KiwoomClient) -> tuple[str, ...]:
    """Nothing is concluded, for longer than any bound; give the numbers it may be."""
    with pytest.raises(OutcomeUnknown):
        await buy(client, deadline=EVERY_BOUND)
    (left,) = await client.orders.unresolved()
    return left.candidates


async def buy_twins(client: KiwoomClient, keys: tuple[str, ...], **changes: Any) -> dict[str, Order | str]:
    """Place identical orders at the same moment; give what became of each."""
    found: dict[str, Order | str] = {}
    answers = await asyncio.gather(*(buy(client, key, **changes) for key in keys), return_exceptions=True)
    for key, answer in zip(keys, answers, strict=True):
        assert isinstance(answer, Order | OrderNotAccepted), answer
        found[key] = answer if isinstance(answer, Order) else str(answer)
    return found


async def test_k1_m1_exclusive_claims(tmp_path: Path) -> None:
    """One unknown, one order of nobody: it is ours."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        assert (order.broker_order_id, order.resolved_by) == (broker.orders[0].broker_order_id, ResolvedBy.LEDGER)


async def test_k1_m0_absent(tmp_path: Path) -> None:
    """One unknown, nothing on the book after every bound: it was not accepted, with the proof."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(OrderNotAccepted) as caught:
            await buy(client)
        assert caught.value.proof.attempt_key == "one#1"
        assert broker.orders == ()


async def test_k1_m2_never_guesses(tmp_path: Path) -> None:
    """One unknown, two orders that may be it: neither is claimed, both are named, and a person decides."""
    async with broker_of(DROPPED, BLIND) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        theirs = place_theirs(broker)
        broker.set_faults(None)
        assert set(await assert_open(client)) == {theirs, broker.orders[0].broker_order_id}
        decided = await client.orders.resolve(
            KEY, accepted_as=broker.orders[0].broker_order_id, reason="seen on the screen"
        )
        assert decided.resolved_by is ResolvedBy.OPERATOR
        assert await buy(client) == decided
        assert len(orders_received(broker)) == 1


async def test_k2_m2_identical_fifo_binding_is_stable_across_restart(tmp_path: Path) -> None:
    """Two unknown twins, two orders: each gets one, and keeps it in the next run."""
    async with broker_of(evolve(DROPPED, times=2)) as broker:
        async with client_of(broker, tmp_path) as client:
            first = await buy_twins(client, ("a", "b"))
        assert {order.broker_order_id for order in first.values() if isinstance(order, Order)} == {
            row.broker_order_id for row in broker.orders
        }
        async with client_of(broker, tmp_path) as client:
            assert await buy_twins(client, ("a", "b")) == first
        assert len(orders_received(broker)) == len(broker.orders) == 2


async def test_k3_m2_identical_exactly_one_not_accepted(tmp_path: Path) -> None:
    """Three unknown twins, two orders: two are accepted, one is not, for ever."""
    async with broker_of(evolve(DROPPED, times=2), LOST) as broker:
        async with client_of(broker, tmp_path) as client:
            first = await buy_twins(client, ("a", "b", "c"))
        numbers = [order.broker_order_id for order in first.values() if isinstance(order, Order)]
        assert sorted(map(str, numbers)) == [row.broker_order_id for row in broker.orders]
        assert len(numbers) == 2
        async with client_of(broker, tmp_path) as client:
            assert await buy_twins(client, ("a", "b", "c")) == first
        assert len(orders_received(broker)) == 3


async def test_hall_violation_proves_foreign_actor(tmp_path: Path) -> None:
    """More orders than attempts on an exclusive account: an alarm, and no claim."""
    async with broker_of(DROPPED, BLIND) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        place_theirs(broker)
        broker.set_faults(None)
        report = await client.reconcile()
        assert report.alarms == ("foreign_actor: 2 orders",)
        assert report.resolved == ()


async def test_time_windows_force_unique_assignment(tmp_path: Path) -> None:
    """Of two orders that look alike, the one that is older than the send cannot be ours."""
    timing = evolve(TIMING, clock_skew=0.05)
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path, timing=timing) as client:
        theirs = place_theirs(broker)
        later = broker.all_orders[0].accepted_at + timedelta(seconds=2.2)
        await eventually(lambda: client._ambient.now() > later)
        order = await buy(client)
        assert order.broker_order_id != theirs
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]


async def test_older_identical_order_never_claimed(tmp_path: Path) -> None:
    """An order with a number below one we knew when we sent is not ours, however much it looks like it."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        theirs = place_theirs(broker)
        await client.stock.sell(SYMBOL, 1, price=70_000)  # its number is above theirs
        broker.set_faults([LOST])
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        assert theirs in {row.broker_order_id for row in broker.all_orders}


async def test_manual_identical_order_same_second_shared_account_is_candidate_not_claim(tmp_path: Path) -> None:
    """On a shared account an order that may be ours is a candidate: not claimed, and it keeps a resend from leaving."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, account_exclusive=False) as client:
        await opened(broker)
        theirs = place_theirs(broker)
        with pytest.raises(OutcomeUnknown):
            await buy(client, resend_within=60, deadline=EVERY_BOUND)
        assert await assert_open(client) == (theirs,)
        assert len(orders_received(broker)) == 1
        with pytest.raises(OrderNotAccepted):
            await settle_by_hand(client)


@pytest.mark.skipif(sys.platform not in {"linux", "darwin"}, reason="sleeps by the clocks of these")
async def test_order_placed_after_the_machine_slept_is_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sleep is no clock that was set: the window stays as it was, and what is placed after it is not ours."""
    asleep, hands = [0.0], Hands()
    monkeypatch.setattr("time.clock_gettime", lambda number: clock_gettime(number) + asleep[0])
    async with (
        broker_of(LOST, ambient=hands) as broker,
        client_of(broker, tmp_path, account_exclusive=False) as client,
    ):
        await left_open(lambda: buy(client, deadline=0.1))
        await landed(client, KEY)
        asleep[0] = 8 * 3600.0
        hands.offset += timedelta(hours=8)
        theirs = place_theirs(broker)
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        assert theirs in {row.broker_order_id for row in broker.all_orders}
        assert (await client.health())["A11"].state is HealthState.OK


async def settle_by_hand(client: KiwoomClient) -> Order:
    """Say as the operator that the order is not there, and ask for it."""
    await client.orders.resolve(KEY, not_accepted=True, reason="that one is the other program's")
    return await buy(client)


async def test_channel_field_excludes_hts_order(tmp_path: Path) -> None:
    """An identical order from the home trading system, in the same second, is a person's: reported, not claimed."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        await opened(broker)
        theirs = place_theirs(broker, Channel.HOME_TRADING)
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        report = await client.reconcile()
        assert theirs in {order.broker_order_id for order in report.foreign}


async def test_claimed_order_never_claimed_twice_unique_constraint_2_processes(tmp_path: Path) -> None:
    """Two clients on one journal, reconciling at once: every order gets one owner, every owner one order."""
    async with (
        broker_of(evolve(DROPPED, times=6)) as broker,
        client_of(broker, tmp_path, timing=QUICK) as one,
        client_of(broker, tmp_path, timing=QUICK) as two,
    ):
        halves = await asyncio.gather(buy_twins(one, ("a", "b", "c")), buy_twins(two, ("d", "e", "f")))
        orders = [order for half in halves for order in half.values() if isinstance(order, Order)]
        assert sorted(str(order.broker_order_id) for order in orders) == [row.broker_order_id for row in broker.orders]
        assert len(orders_received(broker)) == 6
        for client in (one, two):
            assert (await client.reconcile()).alarms == ()


async def test_modified_root_still_matches_by_original_row(tmp_path: Path) -> None:
    """An unknown order that was modified before it was found is still found under its own number."""
    async with broker_of(DROPPED, BLIND) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.1))
        root = broker.orders[0].broker_order_id
        modified = await client.stock.modify(root, symbol=SYMBOL, price=70_100)
        broker.set_faults(None)
        order = await buy(client)
        assert (order.broker_order_id, modified.original_broker_order_id) == (root, root)


async def test_sor_split_children_match_one_intent(tmp_path: Path) -> None:
    """An order for the smart router is one order, and is found as one."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client, route="SOR")
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert (await client.reconcile()).foreign == ()


async def test_market_order_price_zero_echo(tmp_path: Path) -> None:
    """A market order is found, whatever price its row shows."""
    async with broker_of(DROPPED) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client, price=None)
        assert (order.broker_order_id, order.price) == (broker.orders[0].broker_order_id, None)
        assert order.status is OrderStatus.FILLED


@pytest.mark.parametrize("seconds", [-4.5, 4.5])
async def test_clock_skew_plus_minus_5s(tmp_path: Path, seconds: float) -> None:
    """A broker whose clock is off by less than `clock_skew` still shows us our order."""
    ours = Hands()
    theirs = Hands(ours.offset + timedelta(seconds=seconds))
    timing = evolve(TIMING, clock_skew=5)
    async with (
        broker_of(DROPPED, ambient=theirs) as broker,
        client_of(broker, tmp_path, timing=timing, ambient=ours) as client,
    ):
        order = await buy(client)
        assert order.broker_order_id == broker.orders[0].broker_order_id


async def test_mistyped_number_of_one_order_hides_no_other(tmp_path: Path) -> None:
    """A person's wrong number, taken back or not, makes no later order older than the mark: none is sent again."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await opened(broker)
        broker.set_faults([DROPPED, BLIND])
        await left_open(lambda: buy(client, deadline=0.1))
        await client.orders.resolve(KEY, accepted_as="0000900", reason="misread")
        await client.orders.take_back(KEY, reason="wrong line")
        broker.set_faults([DROPPED])
        order = await buy(client, "two", quantity=3, resend_within=60)
        assert [row.broker_order_id for row in on_book(broker, "two")] == [order.broker_order_id]
        assert len(orders_received(broker)) == 2
        assert await buy(client) == await client.orders.get(KEY)


async def test_mistyped_number_holds_up_no_other_order(tmp_path: Path) -> None:
    """The ledger does not list it: that is told, voids no look, and no assumption is called broken for it."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await opened(broker)
        broker.set_faults([evolve(DROPPED, times=2), BLIND])
        await left_open(lambda: buy(client, deadline=0.1))
        await left_open(lambda: buy(client, "two", quantity=3, deadline=0.1))
        await client.orders.resolve(KEY, accepted_as="0000900", reason="misread")
        await asyncio.sleep(QUICK.acceptance_bound + QUICK.visibility_bound)
        broker.set_faults(None)
        report = await client.reconcile()
        order = await buy(client, "two", quantity=3)
        assert [row.broker_order_id for row in on_book(broker, "two")] == [order.broker_order_id]
        assert {one.state for one in (await client.health()).assumptions} == {HealthState.OK}
        if "two" in report.resolved:  # else another look has done it a moment before
            (alarm,) = report.alarms
            assert "one was settled by hand as 0000900" in alarm
        await client.orders.take_back(KEY, reason="wrong line")
        assert (await buy(client)).broker_order_id == on_book(broker, KEY)[0].broker_order_id


async def test_ord_no_reuse_next_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number on two days is two orders, each of its own id."""
    monkeypatch.setattr(exchange, "LARGEST_GAP", 1)
    hands = Hands()
    async with broker_of(evolve(DROPPED, times=2), ambient=hands) as broker:
        async with client_of(broker, tmp_path) as client:
            first = await buy(client, "monday")
        hands.next_day()
        async with client_of(broker, tmp_path) as client:
            second = await buy(client, "tuesday")
            assert first.broker_order_id == second.broker_order_id == "0000001"
            assert first.day + timedelta(days=1) == second.day
            assert await buy(client, "monday") == first
        assert len(orders_received(broker)) == 2


async def test_reservation_pre_open_order_shows_on_next_day(tmp_path: Path) -> None:
    """What was sent outside of the hours may show up tomorrow: it is not absent before tomorrow is over."""
    hands = Hands(datetime(2026, 11, 9, 10, tzinfo=KST) - datetime.now(KST))  # a Monday
    async with broker_of(LOST, ambient=hands) as broker:
        environment = evolve(broker.environment, opens_at=time(11), closes_at=time(20))
        async with client_of(broker, tmp_path, environment=environment, timing=QUICK) as client:
            for _ in range(2):
                await left_open(lambda: buy(client, deadline=0.7))
                hands.live_through_the_night()
            await resolved(client)
            with pytest.raises(OrderNotAccepted):
                await buy(client)
        assert len(orders_received(broker)) == 1


async def test_wide_bounds_do_not_confuse_a_quick_sequence(tmp_path: Path) -> None:
    """Identical orders one after the other, some of them unknown, each get their own number, in a sensible order."""
    timing = Timing(response_timeout=1, acceptance_bound=1, visibility_bound=0.2, clock_skew=5, reconcile_interval=0.02)
    faults = [DROPPED, Fault(FaultKind.DELAY_ANSWER, seconds=0.01), DROPPED, DROPPED]
    async with broker_of(*faults) as broker, client_of(broker, tmp_path, timing=timing) as client:
        numbers = [(await buy(client, f"n{n}")).broker_order_id for n in range(6)]
        assert numbers == [row.broker_order_id for row in broker.orders]
        assert [on_book(broker, f"n{n}")[0].broker_order_id for n in range(6)] == numbers
