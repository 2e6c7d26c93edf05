"""What a careful person puts in the way of orders: a dry run, the live switch, limits, the kill switch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve

from kiwoom_async import (
    AuthenticationError,
    CancelOutcome,
    ClientOrderIdConflict,
    ConfigurationError,
    Delivery,
    Environment,
    KiwoomClient,
    LimitExceeded,
    NotSent,
    Order,
    OrderLimits,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
    ValidationError,
)
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.guards import KillSwitchState, Totals
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async._journal import guards
from kiwoom_async._journal.store import Access, open_writer
from kiwoom_async._wire.answers import Page
from kiwoom_async._wire.requests import Call
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.test_f_resend import place_foreign, witnesses
from tests.scenarios.trading import (
    CREDENTIALS,
    QUICK,
    SYMBOL,
    Hands,
    broker_of,
    client_of,
    eventually,
    gateway_of,
    on_book,
    orders_received,
    resolved,
)

LOST = FaultKind.DROP_BEFORE_ACCEPTANCE
HIDDEN = FaultKind.DROP_AFTER_ACCEPTANCE
BLIND = Fault(FaultKind.QUERY_ERROR, api_ids="kt00007", times=100_000)
MARKET = OrderRequest(
    desk=Desk.STOCK,
    action=Action.NEW,
    symbol=SYMBOL,
    side=Side.BUY,
    quantity=10,
    price=None,
    order_type=OrderType.MARKET,
    route=Route.KRX,
)
FRIDAY: datetime = datetime(2026, 11, 20, 10, 0, tzinfo=KST)


async def buy(client: KiwoomClient, key: str | None = None, **changes: Any) -> Order:
    """Buy ten at 70,000."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


def hands_at(moment: datetime) -> Hands:
    """Give clocks that stand near a moment."""
    return Hands(offset=moment - datetime.now(KST))


def switch_of(broker: Simulator, folder: Path, *, is_engaged: bool = True) -> Callable[[], None]:
    """Move the switch as another process does, at once and without this event loop."""

    def move() -> None:
        connection = open_writer(folder / "orders.db", busy_timeout=5, access=Access())
        assert broker.ambient is not None
        guards.move_switch(connection, KillSwitchState(is_engaged, "elsewhere", "kim", broker.ambient.now()))
        connection.close()

    return move


def hands_of(broker: Simulator) -> Hands:
    """Give the clocks of a broker, whose checkpoints can act."""
    assert isinstance(broker.ambient, Hands)
    return broker.ambient


# ---------------------------------------------------------------- dry run


async def test_dry_run_sends_no_order_and_answers_honestly(tmp_path: Path) -> None:
    """No number, no status, nothing it was resolved by; all four verbs, also on orders of the same dry run."""
    async with broker_of() as broker, client_of(broker, tmp_path, dry_run=True) as client:
        order = await buy(client, "one")
        assert order.is_dry
        assert (order.broker_order_id, order.status, order.resolved_by) == (None, None, None)
        assert (order.delivery, order.attempts, order.quantity) == (Delivery.NOT_SENT, 0, 10)
        assert await buy(client, "one") == order
        with pytest.raises(ClientOrderIdConflict):
            await buy(client, "one", quantity=11)
        with pytest.raises(ValidationError):
            await buy(client, "two", quantity=0)
        modified = await client.stock.modify(order, price=70_500)
        for made in (modified, await client.stock.cancel(modified), await client.credit.buy(SYMBOL, 1, price=70_000)):
            assert made.is_dry
        assert await client.orders.get("one") == order
        with pytest.raises(ValidationError, match="sent by this journal"):
            await client.orders.wait_filled(order)
        assert (await client.account.quote(SYMBOL)).symbol == SYMBOL
        assert await client.orders.unresolved() == ()
        assert orders_received(broker) == []


async def test_dry_client_sends_nothing_that_comes_past_the_desks(tmp_path: Path) -> None:
    """Whatever asks its dispatcher gets no permission: there is no row, and no request."""
    async with broker_of() as broker, client_of(broker, tmp_path, dry_run=True) as client:
        intent = Intent("one", client._account, MARKET, hands_of(broker).now())
        with pytest.raises(NotSent, match="dry_run=True"):
            await client._dispatcher.place(intent, deadline=None, is_fresh=True)
        assert await client._journal.find("one") is None
        assert orders_received(broker) == []


async def test_dry_id_is_free_for_a_real_order(tmp_path: Path) -> None:
    """A real client has never heard of the dry order; afterwards even a dry one answers with the real one."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, dry_run=True) as dry:
            rehearsed = await buy(dry, "one")
        async with client_of(broker, tmp_path) as client:
            assert await client.orders.get("one") is None
            with pytest.raises(ValidationError, match="dry run"):
                await client.stock.cancel(rehearsed)
            order = await buy(client, "one", quantity=20)
            assert not order.is_dry
        async with client_of(broker, tmp_path, dry_run=True) as dry:
            assert await buy(dry, "one", quantity=20) == await dry.orders.get("one") == order
            with pytest.raises(ClientOrderIdConflict):
                await buy(dry, "one")
        assert len(orders_received(broker)) == len(on_book(broker, "one")) == 1


async def test_dry_run_leaves_what_is_open_to_others(tmp_path: Path) -> None:
    """It takes over no orphan, sends nothing again, carries out no owed cancel, and settles nothing."""
    async with broker_of(Fault(LOST, api_ids="kt10000"), BLIND) as broker:
        hurried = evolve(QUICK, drain_timeout=0.01)
        async with client_of(broker, tmp_path, timing=hurried) as client:
            with pytest.raises(OutcomeUnknown):
                await buy(client, "one", resend_within=600, deadline=0.5)
            target = await client.orders.get("one")
            assert target is not None
            with pytest.raises(OutcomeUnknown):
                await client.stock.cancel(target, client_order_id="owed", deadline=0.05)
        before = len(orders_received(broker))
        broker.set_faults(None)
        async with client_of(broker, tmp_path, dry_run=True, timing=QUICK) as dry:
            with pytest.raises(ConfigurationError, match="dry_run"):
                await dry.reconcile()
            with pytest.raises(OutcomeUnknown):
                await buy(dry, "one", resend_within=600, deadline=0.2)
            left = {entry.client_order_id: entry.state for entry in await dry.orders.unresolved()}
            assert left == {"one": Delivery.UNKNOWN, "owed": Delivery.PREPARED}
        assert len(orders_received(broker)) == before


async def test_dry_run_meets_the_guards(tmp_path: Path) -> None:
    """The limits and the switch refuse as they would; the live switch has nothing to guard."""
    async with broker_of() as broker:
        live = evolve(broker.environment, is_live=True)
        limits = OrderLimits(quantity_per_order=10)
        async with client_of(broker, tmp_path, dry_run=True, environment=live, order_limits=limits) as client:
            assert (await buy(client)).is_dry
            with pytest.raises(LimitExceeded):
                await buy(client, quantity=11)
            await client.kill_switch.engage(reason="rehearsed, too")
            with pytest.raises(NotSent, match="rehearsed"):
                await buy(client)


async def test_dry_cancel_all_cancels_nothing(tmp_path: Path) -> None:
    """Each order of ours is reported as dry and stays in the book."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            await buy(client, "one")
        async with client_of(broker, tmp_path, dry_run=True) as dry:
            report = await dry.orders.cancel_all()
            assert [result.outcome for result in report.results] == [CancelOutcome.DRY]
            assert not report.is_clean
        assert [request.api_id for request in orders_received(broker)] == ["kt10000"]


# ---------------------------------------------------------------- live orders


async def test_live_environment_needs_the_explicit_switch(tmp_path: Path) -> None:
    """New orders and modifies are refused with nothing journaled or sent; reading and cancels work."""
    async with broker_of() as broker:
        live = evolve(broker.environment, is_live=True)
        async with client_of(broker, tmp_path, environment=live, allow_live_orders=True) as client:
            order = await buy(client, "one")
        async with client_of(broker, tmp_path, environment=live) as client:
            with pytest.raises(ValidationError, match="allow_live_orders=True") as refusal:
                await buy(client, "two")
            assert refusal.value.argument == "allow_live_orders"
            assert await client.orders.get("two") is None
            with pytest.raises(ValidationError, match="real money"):
                await client.stock.modify(order, price=70_500, client_order_id="change")
            assert await buy(client, "one") == order
            assert len(await client.orders.open()) == 1
            assert (await client.stock.cancel(order)).original_broker_order_id == order.broker_order_id
        assert [request.api_id for request in orders_received(broker)] == ["kt10000", "kt10003"]


async def test_live_switch_holds_resends_of_an_earlier_run(tmp_path: Path) -> None:
    """What was placed with the switch is not sent again by a client without it: it ends as not accepted."""
    async with broker_of(Fault(LOST, api_ids="kt10000"), BLIND) as broker:
        live = evolve(broker.environment, is_live=True)
        hurried = evolve(QUICK, drain_timeout=0.01)
        async with client_of(broker, tmp_path, environment=live, allow_live_orders=True, timing=hurried) as client:
            with pytest.raises(OutcomeUnknown):
                await buy(client, "one", resend_within=600, deadline=0.5)
        broker.set_faults(None)
        async with (
            client_of(broker, tmp_path, environment=live, timing=QUICK) as client,
            witnesses(broker, client, place_foreign),
        ):
            with pytest.raises(OrderNotAccepted):
                await buy(client, "one", resend_within=600)
        assert len(orders_received(broker, "one")) == 1


@pytest.mark.parametrize("name", ["allow_live_orders", "dry_run"])
def test_switches_are_yes_or_no(tmp_path: Path, name: str) -> None:
    """A text such as "false" from a file of settings is no yes."""
    settings: dict[str, Any] = {name: "false"}
    with pytest.raises(ConfigurationError, match=name):
        KiwoomClient(CREDENTIALS, environment=Environment.MOCK, journal=tmp_path / "orders.db", **settings)


# ---------------------------------------------------------------- limits


async def test_limits_hold_across_clients_and_days(tmp_path: Path) -> None:
    """What one client sends leaves less for the other; the id that was refused can be used; a new day is new."""
    limits = OrderLimits(orders_per_day=3, value_per_symbol=1_400_000)
    async with broker_of() as broker:
        async with (
            client_of(broker, tmp_path, order_limits=limits) as first,
            client_of(broker, tmp_path, order_limits=limits) as second,
        ):
            await buy(first, "one")
            with pytest.raises(LimitExceeded, match="value_per_symbol") as refusal:
                await buy(second, "two", quantity=11)
            assert (refusal.value.used, refusal.value.left) == (700_000, 700_000)
            assert await second.orders.get("two") is None
            await buy(second, "two")
            await buy(second, "three", symbol="000660")
            with pytest.raises(LimitExceeded, match="orders_per_day"):
                await buy(first, "four", symbol="000660")
        hands_of(broker).next_day()
        broker.advance_day()
        async with client_of(broker, tmp_path, order_limits=limits) as later:
            await buy(later, "four")


async def test_order_that_exceeds_a_limit_by_itself_takes_no_slot(tmp_path: Path) -> None:
    """Refused before anything is waited for; what the refusal says is left is what is left."""
    limits = OrderLimits(value_per_order=150_000, quantity_per_day=100)
    async with broker_of() as broker, client_of(broker, tmp_path, order_limits=limits) as client:
        await buy(client, quantity=2)
        gateway_of(client).make_ready = never  # type: ignore[method-assign, assignment]
        with pytest.raises(LimitExceeded, match="value_per_order"):
            await buy(client)
        with pytest.raises(LimitExceeded) as refusal:
            await buy(client, price=1_000, quantity=150)
        assert (refusal.value.limit, refusal.value.used, refusal.value.left) == ("quantity_per_day", 2, 98)


async def never(*_: Any, **__: Any) -> None:
    """Fail the test that comes here."""
    raise AssertionError("nothing was to be waited for")


async def test_market_order_is_counted_at_the_upper_limit(tmp_path: Path) -> None:
    """상한가, asked once a day and symbol; never as zero."""
    limits = OrderLimits(value_per_day=3_000_000)
    async with (
        broker_of(prices={SYMBOL: 70_000}, ambient=hands_at(FRIDAY)) as broker,
        client_of(broker, tmp_path, order_limits=limits) as client,
    ):
        upper = (await client.account.quote(SYMBOL)).upper_limit
        assert upper is not None
        await buy(client, price=None)
        await buy(client, price=None)
        assert await client._journal.day_totals(hands_of(broker).now().date()) == Totals(2, 20, 20 * upper)
        with pytest.raises(LimitExceeded) as refusal:
            await buy(client, price=None, quantity=15)
        assert refusal.value.asked == 15 * upper
        assert broker.count("ka10001") == 2


async def test_limit_from_before_the_opening_counts_higher_and_is_not_kept(tmp_path: Path) -> None:
    """It may be that of the day before, above which today's can be by 30 %; from nine on it is today's."""
    limits = OrderLimits(value_per_day=100_000_000)
    early = hands_at(FRIDAY.replace(hour=8, minute=35))
    async with (
        broker_of(prices={SYMBOL: 70_000}, ambient=early) as broker,
        client_of(broker, tmp_path, order_limits=limits) as client,
    ):
        for value, questions in ((1_183_000, 1), (2_366_000, 2)):
            await buy(client, price=None)
            assert (await client._journal.day_totals(early.now().date())).value == value
            assert broker.count("ka10001") == questions
        early.offset += timedelta(hours=1)
        for value in (3_276_000, 4_186_000):
            await buy(client, price=None)
            assert (await client._journal.day_totals(early.now().date())).value == value
            assert broker.count("ka10001") == 3


async def test_quote_that_hangs_holds_only_orders_of_its_symbol(tmp_path: Path) -> None:
    """Others are valued and sent meanwhile; its own are refused before their deadline, with a way to go on."""
    limits = OrderLimits(value_per_day=10_000_000)
    async with (
        broker_of(ambient=hands_at(FRIDAY)) as broker,
        client_of(broker, tmp_path, order_limits=limits) as client,
    ):
        gateway, is_asked = client._dispatcher._sender._guards._prices._gateway, asyncio.Event()
        fetch = gateway.fetch_page

        async def hang(call: Call, *arguments: Any) -> Page:
            if call.body.get("stk_cd") == "000660":
                is_asked.set()
                await asyncio.Event().wait()
            return await fetch(call, *arguments)

        gateway.fetch_page = hang  # type: ignore[method-assign, assignment]
        held = asyncio.create_task(buy(client, "held", symbol="000660", price=None))
        await is_asked.wait()
        await buy(client, "one", price=None)
        assert not held.done()
        request = evolve(MARKET, symbol="000660")
        asked = client._dispatcher._sender._guards.examine
        with pytest.raises(ValidationError, match=r"did not come.*reference_prices"):
            await asked("late", request, hands_of(broker).monotonic() + 0.05)
        held.cancel()
        await asyncio.wait([held])


async def test_market_order_that_cannot_be_valued_is_refused(tmp_path: Path) -> None:
    """The text says what to give; with the setting it goes."""
    fault = Fault(FaultKind.QUERY_ERROR, api_ids="ka10001", times=1_000)
    limits = OrderLimits(value_per_day=10_000_000)
    async with broker_of(fault) as broker, client_of(broker, tmp_path, order_limits=limits) as client:
        with pytest.raises(ValidationError, match="reference_prices"):
            await buy(client, "one", price=None)
        assert await client.orders.get("one") is None
        named = evolve(limits, reference_prices={SYMBOL: 91_000})
        async with client_of(broker, tmp_path, order_limits=named) as other:
            await buy(other, "one", price=None)
        assert (await client._journal.day_totals(hands_of(broker).now().date())).value == 910_000


async def test_refused_order_gives_its_share_back_and_an_unknown_one_does_not(tmp_path: Path) -> None:
    """Refused, and sent under its id again, and lost: only what may be on the book counts."""
    faults = [Fault(FaultKind.ORDER_REFUSED, api_ids="kt10000"), Fault(HIDDEN, api_ids="kt10000")]
    limits = OrderLimits(orders_per_day=1)
    async with broker_of(*faults) as broker, client_of(broker, tmp_path, order_limits=limits) as client:
        with pytest.raises(OrderRefused):
            await buy(client, "one")
        assert (await buy(client, "two")).attempts == 1
        with pytest.raises(LimitExceeded):
            await buy(client, "three")


async def test_modify_is_held_by_its_value_and_a_cancel_never(tmp_path: Path) -> None:
    """A raise that fits goes, one that does not is refused; what lowers the price goes, and so does the cancel."""
    limits = OrderLimits(value_per_day=705_000, orders_per_day=1)
    async with broker_of() as broker, client_of(broker, tmp_path, order_limits=limits) as client:
        order = await buy(client)
        with pytest.raises(LimitExceeded, match="value_per_day"):
            await client.stock.modify(order, price=70_600)
        order = await client.stock.modify(order, price=70_500)
        order = await client.stock.modify(order, price=60_000)
        await client.stock.cancel(order)
        assert not [row for row in broker.orders if row.leaves_quantity]


# ---------------------------------------------------------------- kill switch


async def test_kill_switch_holds_orders_until_it_is_released(tmp_path: Path) -> None:
    """Of every client of the journal, and after a restart; cancels go through; the held id goes afterwards."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client, client_of(broker, tmp_path) as other:
            order = await buy(client, "one")
            state = await client.kill_switch.engage(reason="fat finger", by="kim")
            assert (state.is_engaged, state.reason, state.by) == (True, "fat finger", "kim")
            assert await other.kill_switch.status() == state
            with pytest.raises(NotSent, match=r"fat finger.*release"):
                await buy(other, "two")
            with pytest.raises(NotSent):
                await client.stock.modify(order, price=70_500, client_order_id="change")
            assert await buy(other, "one") == order
            await other.stock.cancel(order)
        async with client_of(broker, tmp_path) as later:
            for _ in range(2):
                with pytest.raises(NotSent, match="fat finger"):
                    await buy(later, "two")
            state = await later.kill_switch.release(reason="it was the cat")
            assert not state.is_engaged
            assert "process" in state.by
            await buy(later, "two")
        assert [request.api_id for request in orders_received(broker)] == ["kt10000", "kt10003", "kt10000"]


async def test_held_orders_take_no_slot_from_cancels(tmp_path: Path) -> None:
    """Once a client has met the switch, its orders are refused before they wait for the rate limit."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client.kill_switch.engage(reason="stop")
        with pytest.raises(NotSent, match="stop"):
            await buy(client)
        ready = gateway_of(client).make_ready
        gateway_of(client).make_ready = never  # type: ignore[method-assign, assignment]
        with pytest.raises(NotSent, match="stop"):
            await buy(client)
        gateway_of(client).make_ready = ready  # type: ignore[method-assign]
        switch_of(broker, tmp_path, is_engaged=False)()
        await buy(client)


@pytest.mark.parametrize("reason", ["", "  ", None])
async def test_switch_is_not_moved_without_a_reason(tmp_path: Path, reason: Any) -> None:
    """Whoever is held has to hear why."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        for move in (client.kill_switch.engage, client.kill_switch.release):
            with pytest.raises(ValidationError, match="reason"):
                await move(reason=reason)
        assert await client.kill_switch.status() == KillSwitchState()


async def test_order_that_waited_for_slot_and_token_does_not_leave(tmp_path: Path) -> None:
    """Engaged by another process between the last wait and the permission to send."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        hands_of(broker).actions[Checkpoint.BEFORE_COMMIT] = switch_of(broker, tmp_path)
        with pytest.raises(NotSent, match="elsewhere"):
            await buy(client, "one")
        assert await client.orders.get("one") is None
        assert orders_received(broker) == []


async def test_order_that_waited_for_its_twin_does_not_leave(tmp_path: Path) -> None:
    """The twin is found, the switch was engaged meanwhile, the order is held."""
    async with broker_of(Fault(HIDDEN, api_ids="kt10000")) as broker:
        await stale(broker, times=1_000)
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            with pytest.raises(OutcomeUnknown):
                await buy(client, "one", deadline=0.5)
            second = asyncio.create_task(buy(client, "two"))
            await eventually(lambda: "two" in client._dispatcher._flights)
            await client.kill_switch.engage(reason="stop")
            broker.set_faults(None)
            with pytest.raises(NotSent, match="stop"):
                await second
        assert len(orders_received(broker)) == 1


async def stale(broker: Simulator, *, times: int) -> None:
    """Let the next order be accepted without an answer, and the ledger fail until further notice."""
    broker.set_faults([Fault(HIDDEN, api_ids="kt10000"), Fault(FaultKind.QUERY_ERROR, api_ids="kt00007", times=times)])


async def test_resend_is_stopped(tmp_path: Path) -> None:
    """Absence is proven, the switch is engaged: not sent again, but told as not accepted."""
    async with broker_of(Fault(LOST, api_ids="kt10000")) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        call = asyncio.create_task(buy(client, "one", resend_within=600))
        await eventually(lambda: bool(orders_received(broker)))
        # Before the witnesses come, there is no proof that would allow it.
        await client.kill_switch.engage(reason="stop")
        async with witnesses(broker, client, place_foreign):
            with pytest.raises(OrderNotAccepted):
                await call
        assert len(orders_received(broker)) == 1


async def test_second_attempt_after_a_refused_token_is_stopped(tmp_path: Path) -> None:
    """The refusal is the answer then, and the same id goes once the switch is released."""
    async with broker_of(Fault(FaultKind.TOKEN_DIES, api_ids="kt10000")) as broker:
        async with client_of(broker, tmp_path) as client:
            hands_of(broker).actions[Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT] = switch_of(broker, tmp_path)
            with pytest.raises(AuthenticationError):
                await buy(client, "one")
            assert len(orders_received(broker)) == 1
            await client.kill_switch.release(reason="go on")
            assert (await buy(client, "one")).attempts == 2
        assert len(on_book(broker, "one")) == 1


async def test_obligations_are_carried_out_while_engaged(tmp_path: Path) -> None:
    """A cancel that waits for its order to be found is a cancel."""
    async with broker_of() as broker:
        await stale(broker, times=1_000)
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            with pytest.raises(OutcomeUnknown):
                await buy(client, "one", deadline=0.5)
            target = await client.orders.get("one")
            assert target is not None
            cancel = asyncio.create_task(client.stock.cancel(target))
            await client.kill_switch.engage(reason="stop")
            broker.set_faults(None)
            await cancel
            await resolved(client)
        assert not [row for row in broker.orders if row.leaves_quantity]


async def test_engage_returns_only_when_nothing_leaves_any_more(tmp_path: Path) -> None:
    """An order with the permission to send keeps it; the caller of engage hears back after it has left."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        gateway, may_go = gateway_of(client), asyncio.Event()
        send = gateway.send_order

        async def hold(*arguments: Any, **keywords: Any) -> Any:
            await may_go.wait()
            return await send(*arguments, **keywords)

        gateway.send_order = hold  # type: ignore[method-assign]
        order = asyncio.create_task(buy(client, "one"))
        async with asyncio.timeout(10):
            while not await client._journal.permitted_attempts():  # noqa: ASYNC110 - the journal has no event for it
                await asyncio.sleep(0.002)
        engaging = asyncio.create_task(client.kill_switch.engage(reason="stop"))
        async with asyncio.timeout(10):
            while not (await client.kill_switch.status()).is_engaged:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert not engaging.done()
        may_go.set()
        await engaging
        # It left, or its time to leave had run out on a slow machine; both before engage returned.
        received = len(orders_received(broker))
        await asyncio.gather(order, return_exceptions=True)
        assert len(orders_received(broker)) == received


async def test_engage_does_not_wait_for_a_permission_that_ran_out(tmp_path: Path) -> None:
    """The answer may take for ever; after connect_timeout nothing can leave, whoever holds it."""
    timing = evolve(QUICK, connect_timeout=0.2, response_timeout=30)
    hanging = Fault(FaultKind.HANG, api_ids="kt10000")
    async with broker_of(hanging) as broker, client_of(broker, tmp_path, timing=timing) as client:
        order = asyncio.create_task(buy(client, "one"))
        await eventually(lambda: bool(orders_received(broker)))
        async with asyncio.timeout(20):
            await client.kill_switch.engage(reason="stop")
        assert not order.done()
        order.cancel()
        await asyncio.wait([order])


class Unguarded(httpx.AsyncBaseTransport):
    """A transport that knows no guards, and lets an order wait for its connection."""

    def __init__(self, broker: Simulator) -> None:
        self._broker = broker
        self.waits = asyncio.Event()
        self.may_connect = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if request.headers.get("api-id") == "kt10000":
            self.waits.set()
            await self.may_connect.wait()
        return await self._broker.transport.handle_async_request(request)


async def test_engage_waits_as_long_as_an_injected_transport_may_look_for_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard was asked before that, so the end of the permission says nothing about the first byte."""
    leap, looks, clock = [0.0], [0], Hands.monotonic
    monkeypatch.setattr(Hands, "monotonic", lambda hands: clock(hands) + leap[0])
    timing = evolve(QUICK, response_timeout=1_000)
    async with broker_of() as broker:
        transport = Unguarded(broker)
        async with client_of(broker, tmp_path, transport=transport, timing=timing) as client:
            read = client._journal.permitted_attempts

            async def look() -> tuple[Attempt, ...]:
                looks[0] += 1
                return await read()

            monkeypatch.setattr(client._journal, "permitted_attempts", look)
            order = asyncio.create_task(buy(client, "one"))
            await transport.waits.wait()
            engaging = asyncio.create_task(client.kill_switch.engage(reason="stop"))
            await eventually(lambda: looks[0] > 1)
            leap[0], before = timing.connect_timeout + 1, looks[0]
            await eventually(lambda: engaging.done() or looks[0] > before + 2)
            assert not engaging.done()
            transport.may_connect.set()
            await engaging
            assert len(orders_received(broker)) == 1
            await order


async def test_cancelled_engage_has_engaged(tmp_path: Path) -> None:
    """The wait ends, the switch holds."""
    async with broker_of(Fault(FaultKind.HANG, api_ids="kt10000")) as broker, client_of(broker, tmp_path) as client:
        order = asyncio.create_task(buy(client, "one"))
        await eventually(lambda: bool(orders_received(broker)))
        engaging = asyncio.create_task(client.kill_switch.engage(reason="stop"))
        async with asyncio.timeout(10):
            while not (await client.kill_switch.status()).is_engaged:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        engaging.cancel()
        await asyncio.wait([engaging, order], return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(NotSent, match="stop"):
            await buy(client, "two", quantity=11)
        order.cancel()
        await asyncio.wait([order])
