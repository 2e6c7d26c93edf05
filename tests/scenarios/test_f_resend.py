"""Section F: nothing is sent twice without a strong proof of its own, and what is doubled all the same is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve

from kiwoom_async import (
    Delivery,
    KiwoomClient,
    Order,
    OrderNotAccepted,
    OrderRefused,
    OrderStatus,
    OutcomeUnknown,
    ResolvedBy,
    Side,
)
from kiwoom_async._domain.absence import Strength, WitnessKind
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.states import Event
from kiwoom_async._execution.findings import finding_of
from kiwoom_async._execution.flights import Flight
from kiwoom_async._execution.sender import Ready, Sender
from kiwoom_async._journal.conclusions import conclude
from kiwoom_async._journal.records import Finding
from kiwoom_async._wire.outcomes import Outcome, Unsent
from kiwoom_async.simulator import BookOrder, Channel, Fault, FaultKind, Simulator
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    on_book,
    opened,
    orders_received,
)

KEY = "one"
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
EVERY_BOUND = 1.5 * (TIMING.acceptance_bound + 4 * TIMING.visibility_bound)
CANCELS = ("kt10003", "kt50003")


async def buy(client: KiwoomClient, **changes: Any) -> Order:
    """Place the order of these tests, which may be sent again."""
    arguments: dict[str, Any] = {
        "symbol": SYMBOL,
        "quantity": 10,
        "price": 70_000,
        "client_order_id": KEY,
        "resend_within": 60,
    }
    return await client.stock.buy(**(arguments | changes))


async def place_own(_: Simulator, client: KiwoomClient, number: int) -> None:
    """Place another order of ours."""
    await client.stock.sell(SYMBOL, number, price=71_000)


async def place_foreign(broker: Simulator, _: KiwoomClient, number: int) -> None:
    """Let a person place an order."""
    broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=number, price=71_000, channel=Channel.HOME_TRADING)


@asynccontextmanager
async def witnesses(
    broker: Simulator, client: KiwoomClient, place: Callable[[Simulator, KiwoomClient, int], Any] = place_own
) -> AsyncIterator[None]:
    """Let other orders come in meanwhile: they show how fresh the ledger is."""

    async def go_on() -> None:
        for number in range(1, 1000):
            await place(broker, client, number)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def row_of(broker: Simulator, number: str) -> BookOrder:
    """Give the row of the book with a number."""
    return next(row for row in broker.orders if row.broker_order_id == number)


def sends(broker: Simulator) -> int:
    """Count the requests of the order."""
    return len(orders_received(broker, KEY))


async def test_default_policy_never_resends(tmp_path: Path) -> None:
    """Without `resend_within`, the strongest proof of absence leads to an error and not to another request."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        async with witnesses(broker, client):
            with pytest.raises(OrderNotAccepted) as caught:
                await buy(client, resend_within=None)
        assert caught.value.proof.strength is Strength.STRONG
        with pytest.raises(OrderNotAccepted):
            await buy(client)  # the same request: asking for a resend afterwards changes nothing
        assert sends(broker) == 1
        assert on_book(broker, KEY) == []


@pytest.mark.parametrize("kind", WitnessKind)
async def test_resend_only_with_proof_and_new_attempt_row(tmp_path: Path, kind: WitnessKind) -> None:
    """A strong proof, by an order of ours or of others, is followed by one more request with a row of its own."""
    timing = evolve(TIMING, clock_skew=0.05)
    place = place_own if kind is WitnessKind.OWN_ORDER else place_foreign
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=timing) as client:
        async with witnesses(broker, client, place):
            order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert (order.resolved_by, order.attempts) == (ResolvedBy.RESPONSE, 2)
        assert sends(broker) == 2
        history = [entry for entry in await client.orders.history(KEY) if entry.event != "noted"]
        assert [(entry.attempt, entry.state) for entry in history] == [
            (1, Delivery.DISPATCHED),
            (1, Delivery.UNKNOWN),
            (1, Delivery.NOT_ACCEPTED),
            (2, Delivery.DISPATCHED),
            (2, Delivery.ACKNOWLEDGED),
        ]
        assert history[2].evidence["proof"]["strength"] == Strength.STRONG.value
        assert history[2].evidence["proof"]["witness"]["kind"] == kind.value
        assert await buy(client) == order


async def test_weak_proof_never_resends(tmp_path: Path) -> None:
    """Without a witness nothing is sent again, however long it lasts; with one it is."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=EVERY_BOUND)
        assert sends(broker) == 1
        assert "fresh" in (await client.reconcile()).unresolved[0].why
        async with witnesses(broker, client):
            order = await buy(client)
        assert sends(broker) == 2
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]


async def test_no_resend_after_its_time(tmp_path: Path) -> None:
    """A proof that comes later than `resend_within` ends the order as not accepted."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path) as client:
        async with witnesses(broker, client):
            with pytest.raises(OrderNotAccepted):
                await buy(client, resend_within=0.2)
        assert sends(broker) == 1


async def test_no_resend_while_a_candidate_is_on_the_book(tmp_path: Path) -> None:
    """An order that may be ours keeps a resend from leaving on a shared account."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, account_exclusive=False) as client:
        await opened(broker)
        broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=Channel.REST_API)
        async with witnesses(broker, client):
            with pytest.raises(OutcomeUnknown):
                await buy(client, deadline=EVERY_BOUND)
        assert sends(broker) == 1


async def double(
    broker: Simulator, client: KiwoomClient, seconds: float, caplog: pytest.LogCaptureFixture
) -> tuple[Order, str]:
    """Break A4 on purpose: the first request is accepted after it was proven dead and sent again.

    Returns:
        The answer to the resend, and the number of the surplus order.
    """
    broker.set_faults([Fault(FaultKind.ACCEPT_LATE, seconds=seconds, api_ids="kt10000")])
    async with witnesses(broker, client):
        order = await buy(client)
    assert len(on_book(broker, KEY)) == 1
    await eventually(lambda: len(on_book(broker, KEY)) == 2)
    surplus = on_book(broker, KEY)[1].broker_order_id
    await client.reconcile()
    assert any(surplus in message and KEY in message for message in caplog.messages), caplog.messages
    return order, surplus


@pytest.mark.parametrize("seconds", [3.0, 5.0], ids=["soon", "far_beyond_the_bounds"])
async def test_late_first_attempt_after_resend_detected(
    tmp_path: Path, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The first request turns up after the resend: DUPLICATE, an alarm, and the same answer as before."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order, surplus = await double(broker, client, seconds, caplog)
        in_book = [found.broker_order_id for found in await client.orders.open() if found.client_order_id == KEY]
        assert sorted(map(str, in_book)) == sorted([str(order.broker_order_id), surplus])
        again = await buy(client)
        assert again.broker_order_id == order.broker_order_id
        states = {(entry.attempt, entry.state) for entry in await client.orders.history(KEY)}
        assert (1, Delivery.DUPLICATE) in states
        assert surplus != order.broker_order_id
        assert sends(broker) == 2


async def test_duplicate_unfilled_cancelled_once_when_opted_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Opted in, the surplus order is cancelled, once, for ever; the one that was answered with stays."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, cancel_duplicates=True) as client:
            order, surplus = await double(broker, client, 3.0, caplog)
            await eventually(lambda: not row_of(broker, surplus).is_working)
            await client.reconcile()
            await client.reconcile()
            assert (await buy(client)).broker_order_id == order.broker_order_id
        async with client_of(broker, tmp_path, cancel_duplicates=True) as client:
            await client.reconcile()
            assert await client.orders.unresolved() == ()
        assert sum(broker.count(api_id) for api_id in CANCELS) == 1
        assert order.broker_order_id is not None
        assert row_of(broker, order.broker_order_id).is_working


async def test_cancel_of_a_duplicate_that_never_left_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is refused proves that nothing was sent: the next pass cancels, and again only once."""
    send, refused = Sender.send, 0

    async def refuse_once(self: Sender, flight: Flight, ready: Ready) -> tuple[Outcome, Finding]:
        nonlocal refused
        if ready.attempt.client_order_id.startswith("surplus:") and not refused:
            refused += 1
            flight.is_ours = False
            outcome = Unsent("connection refused")
            return outcome, self.stamp(finding_of(outcome))
        return await send(self, flight, ready)

    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            _, surplus = await double(broker, client, 3.0, caplog)
        monkeypatch.setattr(Sender, "send", refuse_once)
        async with client_of(broker, tmp_path, cancel_duplicates=True) as client:
            await eventually(lambda: refused == 1)
            async with asyncio.timeout(30):
                while row_of(broker, surplus).is_working:
                    await client.reconcile()
            await client.reconcile()
        assert sum(broker.count(api_id) for api_id in CANCELS) == 1


async def test_duplicate_is_left_alone_without_opting_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By itself a surplus order is reported and stays on the book."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        _, surplus = await double(broker, client, 3.0, caplog)
        await client.reconcile()
        assert sum(broker.count(api_id) for api_id in CANCELS) == 0
        assert row_of(broker, surplus).is_working


async def test_duplicate_that_has_traded_is_never_cancelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Opted in later, after it was partly filled: it is a position by then, and stays as it is."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            _, surplus = await double(broker, client, 3.0, caplog)
            broker.fill(surplus, 4)
        async with client_of(broker, tmp_path, cancel_duplicates=True) as client:
            await client.reconcile()
        assert f"the surplus order {surplus} has traded" in caplog.text
        assert sum(broker.count(api_id) for api_id in CANCELS) == 0


async def test_duplicate_partially_filled_surfaces_no_auto_hedge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A surplus order that has traded is reported; nothing is sold, bought or cancelled to make up for it."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        _, surplus = await double(broker, client, 3.0, caplog)
        broker.fill(surplus, 4)
        placed = len(orders_received(broker))
        await client.reconcile()
        assert len(orders_received(broker)) == placed
        row = next(row for row in broker.orders if row.broker_order_id == surplus)
        assert (row.status, row.leaves_quantity) == (OrderStatus.PARTIALLY_FILLED, 6)


async def test_auto_cancel_never_touches_foreign_order(tmp_path: Path) -> None:
    """Nothing is ever cancelled without being asked for; others' orders that look like ours stay as they are."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await opened(broker)
        theirs = [
            broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=channel)
            for channel in (Channel.HOME_TRADING, Channel.REST_API, Channel.REST_API)
        ]
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=1.5)
        await client.reconcile()
        assert sum(broker.count(api_id) for api_id in CANCELS) == 0
        for order in theirs:
            assert next(row for row in broker.all_orders if row == order).is_working


def acknowledge_from_outside(journal: Path, number: str, hands: Hands) -> None:
    """Write an acceptance into the journal, as another process with the answer would."""
    connection = apsw.Connection(str(journal))
    connection.set_busy_timeout(1000)
    finding = Finding(Event.ACKNOWLEDGED, broker_order_id=number, resolved_by=ResolvedBy.EVENT)
    with connection:
        conclude(connection, KEY, 1, finding, hands.now())
    connection.close()


async def test_acceptance_event_arrives_during_resend_decision_aborts(tmp_path: Path) -> None:
    """Evidence of an acceptance between the proof and its commit keeps the resend from leaving."""
    hands = Hands()
    async with broker_of(LOST, ambient=hands) as broker, client_of(broker, tmp_path) as client:
        numbers: list[str] = []

        def accept() -> None:
            late = broker.place_foreign(
                symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=Channel.REST_API
            )
            numbers.append(late.broker_order_id)
            acknowledge_from_outside(tmp_path / "orders.db", late.broker_order_id, hands)

        hands.actions[Checkpoint.DURING_RESEND_DECISION] = accept
        async with witnesses(broker, client):
            order = await buy(client)
        assert [order.broker_order_id] == numbers
        assert sends(broker) == 1
        assert order.attempts == 1


@pytest.mark.parametrize("most", [None, 1, 3])
async def test_max_two_attempts(tmp_path: Path, most: int | None) -> None:
    """An order is sent twice at most, or as often as it was asked for; then it is not accepted, for ever."""
    changes = {} if most is None else {"max_attempts": most}
    async with (
        broker_of(evolve(LOST, times=100)) as broker,
        client_of(broker, tmp_path, timing=QUICK) as client,
        witnesses(broker, client),
    ):
        for _ in range(2):
            with pytest.raises(OrderNotAccepted):
                await buy(client, **changes)
        assert sends(broker) == (most or 2)
        assert on_book(broker, KEY) == []


@pytest.mark.parametrize("fault", [FaultKind.DROP_AFTER_ACCEPTANCE, FaultKind.ORDER_REFUSED, FaultKind.DELAY_ANSWER])
async def test_resend_has_an_outcome_of_its_own(tmp_path: Path, fault: FaultKind) -> None:
    """The second request is classified like the first: claimed from the ledger, refused, or answered late."""
    second = Fault(fault, api_ids="kt10000")
    async with broker_of(LOST, second) as broker, client_of(broker, tmp_path) as client:
        async with witnesses(broker, client):
            if fault is FaultKind.ORDER_REFUSED:
                with pytest.raises(OrderRefused):
                    await buy(client)
                assert on_book(broker, KEY) == []
            else:
                order = await buy(client)
                assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert sends(broker) == 2
