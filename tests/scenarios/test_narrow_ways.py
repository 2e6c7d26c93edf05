"""Narrow ways: moments and answers that are rare, each of which has its own right outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import (
    Action,
    CancelOutcome,
    Delivery,
    Desk,
    KiwoomClient,
    NotSent,
    Order,
    OrderLimits,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
    QueryFailed,
    ResolvedBy,
    Side,
    ValidationError,
)
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.states import Event
from kiwoom_async._execution import dispatcher as dispatcher_module
from kiwoom_async._execution import resolver as resolver_module
from kiwoom_async._execution import sender as sender_module
from kiwoom_async._execution.dispatcher import Again
from kiwoom_async._execution.sweeper import AT_ONCE, Scope, Sweeper
from kiwoom_async._journal.records import Finding
from kiwoom_async._transport.mark import DeliveryMark
from kiwoom_async._wire.outcomes import Accepted
from kiwoom_async._wire.quotes import decode_quote
from kiwoom_async.simulator import Fault, FaultKind
from tests.scenarios.short_day import Access, Failure
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    TIMING,
    Hands,
    broker_of,
    client_of,
    eventually,
    gateway_of,
    left_open,
    on_book,
    orders_received,
)

KEY = "one"
BUY, CANCEL = "kt10000", "kt10003"
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=BUY)
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)
TO_GO = evolve(QUICK, drain_timeout=0.05)


async def buy(client: KiwoomClient, key: str = KEY, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


async def hang(*_: object, **__: object) -> Any:
    """Never end."""
    await asyncio.Event().wait()


# ---------------------------------------------------------------------- on the way out


class SlowCommit:
    """Hold a write of the journal back after it is durable, until the client's order task is told to end."""

    def __init__(self, client: KiwoomClient, patch: pytest.MonkeyPatch, method: str) -> None:
        self._client = client
        self.is_durable = asyncio.Event()
        self._may_return = asyncio.Event()
        write = client._journal._write

        async def slow(operation: Callable[[Any], Any]) -> Any:
            result = await write(operation)
            if operation.__qualname__.startswith(f"Journal.{method}."):
                self.is_durable.set()
                await self._may_return.wait()
            return result

        patch.setattr(client._journal, "_write", slow)

    async def close_meanwhile(self) -> None:
        """Close the client while the write is held back."""
        async with asyncio.timeout(60):
            await self.is_durable.wait()
        closing = asyncio.create_task(self._client.__aexit__(None, None, None))
        tasks = self._client._tasks._tasks
        await eventually(lambda: any("kiwoom order" in task.get_name() and task.cancelling() for task in tasks))
        self._may_return.set()
        await closing


@pytest.mark.parametrize("has_twin", [False, True])
async def test_closing_between_permission_and_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_twin: bool
) -> None:
    """Closed while the permission is being written, or denied: nothing was sent, and the record says so."""
    async with broker_of(LOST, BLIND) as broker:
        client = await client_of(broker, tmp_path, timing=TO_GO).__aenter__()
        if has_twin:
            await left_open(lambda: buy(client, "twin", deadline=0.5))
        commit = SlowCommit(client, monkeypatch, "dispatch")
        placing = asyncio.create_task(buy(client))
        await commit.close_meanwhile()
        with pytest.raises(NotSent):
            await placing
        assert orders_received(broker, KEY) == []
        broker.set_faults(None)
        async with client_of(broker, tmp_path, timing=TO_GO) as client:
            record = await client.orders.get(KEY)
            assert (record is None) == has_twin
            assert record is None or record.delivery is Delivery.NOT_SENT
            assert (await buy(client)).broker_order_id is not None


@pytest.mark.parametrize("is_sent", [True, False])
async def test_closing_while_another_client_sends_the_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_sent: bool
) -> None:
    """Called off while it waits for its permission: what another client has sent meanwhile is not told as not sent."""
    async with broker_of() as broker, client_of(broker, tmp_path) as other:
        client = await client_of(broker, tmp_path).__aenter__()
        is_waiting = asyncio.Event()

        async def wait_forever(*_: object, **__: object) -> None:
            is_waiting.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(client._dispatcher._sender, "request_permission", wait_forever)
        placing = asyncio.create_task(buy(client))
        await is_waiting.wait()
        sent = await buy(other) if is_sent else None
        await client.__aexit__(None, None, None)
        if is_sent:
            assert await placing == sent
        else:
            with pytest.raises(NotSent, match="closing"):
                await placing
        assert len(orders_received(broker, KEY)) == is_sent


async def test_closing_before_the_request_has_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No byte was handed over, so the journal says that nothing was sent, and the id may be used again."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, timing=TO_GO) as client:

            async def wait_for_connection(*_: object, mark: DeliveryMark, **__: object) -> None:
                mark.keep()
                await asyncio.Event().wait()

            monkeypatch.setattr(gateway_of(client), "send_order", wait_for_connection)
            placing = asyncio.create_task(buy(client))
            await eventually(lambda: client._ambient.passed.count(Checkpoint.AFTER_COMMIT_BEFORE_WRITE) == 1)  # type: ignore[attr-defined]
        with pytest.raises(NotSent):
            await placing
        async with client_of(broker, tmp_path, timing=TO_GO) as client:
            record = await client.orders.get(KEY)
            assert record is not None
            assert record.delivery is Delivery.NOT_SENT
            assert (await buy(client)).attempts == 1


async def test_closing_while_the_answer_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is recorded to its end; who waits is told that it is not known, and the next start knows."""
    async with broker_of() as broker:
        client = await client_of(broker, tmp_path, timing=TO_GO).__aenter__()
        commit = SlowCommit(client, monkeypatch, "conclude")
        placing = asyncio.create_task(buy(client))
        await commit.close_meanwhile()
        with pytest.raises(OutcomeUnknown, match="no answer yet"):
            await placing
        async with client_of(broker, tmp_path) as client:
            order = await buy(client)
            assert order.resolved_by is ResolvedBy.RESPONSE
        assert len(orders_received(broker)) == 1


async def test_a_closing_client_takes_nothing(tmp_path: Path) -> None:
    """A new id was not sent; a given one may have been, by whoever, and is not looked up; nothing is sent again."""
    async with broker_of(LOST, BLIND) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.5))
        record = await client._journal.find(KEY)
        assert record is not None
        await client._dispatcher.drain(0.0)
        with pytest.raises(NotSent, match="closing"):
            await client.stock.buy(SYMBOL, 1, price=70_000)
        with pytest.raises(OutcomeUnknown, match="closing"):
            await buy(client)
        proof = Finding(Event.PROVEN_ABSENT, reason="as if")
        assert await client._dispatcher.resend(record.intent, record.last, proof, within=60) is Again.NOT
        assert not await client._dispatcher.repeat(record.intent, record.last)
        assert len(orders_received(broker)) == 1


# ---------------------------------------------------------------------- before the first byte


async def test_deadline_before_the_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token in time: nothing was sent, it says so at the deadline, and the id can be used again."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        with monkeypatch.context() as patch:
            patch.setattr(gateway_of(client), "make_ready", hang)
            with pytest.raises(NotSent, match=r"not sent within 0\.05 s"):
                await buy(client, deadline=0.05)
        assert await client.orders.get(KEY) is None
        assert (await buy(client)).attempts == 1
        assert len(orders_received(broker)) == 1


async def test_permission_that_ran_out_is_not_used(tmp_path: Path) -> None:
    """The event loop stood still after the commit: the time in which the first byte may leave is over."""
    hands = Hands()
    hands.actions[Checkpoint.AFTER_COMMIT_BEFORE_WRITE] = lambda: time.sleep(0.3)
    timing = evolve(TIMING, connect_timeout=0.2)
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path, timing=timing) as client:
        with pytest.raises(NotSent, match="time"):
            await buy(client)
        assert orders_received(broker) == []
        record = await client.orders.get(KEY)
        assert record is not None
        assert record.delivery is Delivery.NOT_SENT


async def test_twin_is_refused_where_that_is_asked_for(tmp_path: Path) -> None:
    """With twins="fail", an identical order of one whose outcome is unknown is not sent and does not wait."""
    async with broker_of(LOST, BLIND) as broker, client_of(broker, tmp_path, twins="fail") as client:
        await left_open(lambda: buy(client, deadline=0.5))
        with pytest.raises(NotSent, match="identical order 'one' has an unknown outcome"):
            await buy(client, "two")
        assert len(orders_received(broker)) == 1
        assert await client.orders.get("two") is None


async def test_no_early_word_without_an_answer(tmp_path: Path) -> None:
    """Whoever waits for an order on the wire is not woken by news that are none, or about an order nobody waits for."""
    slow = Fault(FaultKind.DELAY_ANSWER, api_ids=BUY, seconds=0.3)
    async with broker_of(slow) as broker, client_of(broker, tmp_path) as client:
        placing = asyncio.create_task(buy(client))
        await eventually(lambda: broker.faults_injected[FaultKind.DELAY_ANSWER] == 1)
        (flight,) = client._dispatcher._flights.values()
        await client._dispatcher.tell_early(KEY)
        await client._dispatcher.tell_early("nobody")
        assert flight.answer is None
        assert (await placing).resolved_by is ResolvedBy.RESPONSE


# ---------------------------------------------------------------------- answers that cannot be


async def test_fault_while_an_old_answer_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours on the way to an answer is told as unknown, and changes nothing that is known."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        history = await client._journal.history(KEY)
        with monkeypatch.context() as patch:
            patch.setattr(dispatcher_module, "answer_of", lambda _: 1 // 0)
            with pytest.raises(OutcomeUnknown, match="a fault of the library, ZeroDivisionError"):
                await buy(client)
        assert await buy(client) == order
        assert await client._journal.history(KEY) == history


async def test_answer_with_the_number_of_another_order_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The contradiction is told to people, and the ledger decides what the order's own number is."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        first = await buy(client, "first")
        assert first.broker_order_id is not None
        wrong = Accepted(first.broker_order_id, None)
        monkeypatch.setattr(sender_module, "classify", lambda *_: wrong)
        order = await buy(client, quantity=11)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert order.broker_order_id != first.broker_order_id
        assert order.resolved_by is ResolvedBy.LEDGER
    assert "contradicting evidence about order one: order" in caplog.text


async def test_answer_after_a_proof_of_absence_is_told_to_people(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that was thought dead brings its answer: the order is on the book after all."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        record = await client._journal.find(KEY)
        assert record is not None
        late = Finding(Event.ACKNOWLEDGED, broker_order_id="0009999", resolved_by=ResolvedBy.RESPONSE, is_answered=True)
        recorded = await client._dispatcher._sender.record(record.last, late)
        assert recorded is not None
        assert recorded.state is Delivery.REVIVED
    assert "order one is on the book after all: revived" in caplog.text


async def test_permission_for_a_resend_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proven absent, and the rate limit has no room: it stays open, and says why."""
    async with broker_of(LOST) as broker, client_of(broker, tmp_path, timing=QUICK) as client:

        async def later(*_: object, **__: object) -> Again:
            return Again.LATER

        monkeypatch.setattr(client._dispatcher, "resend", later)
        placing = asyncio.create_task(buy(client, resend_within=60, deadline=60))
        why = ""
        async with asyncio.timeout(60):
            while "rate limit" not in why:
                broker.place_foreign(symbol="000660", side="sell", quantity=1, price=75_000)
                why = " ".join(entry.why for entry in (await client.reconcile()).unresolved)
        assert not placing.done()
        monkeypatch.undo()
        async with asyncio.timeout(60):
            while not placing.done():
                broker.place_foreign(symbol="000660", side="sell", quantity=1, price=75_000)
                await asyncio.sleep(0.02)
        assert (await placing).attempts == 2


async def test_full_cancel_is_sent_so_often_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel whose answers are lost again and again ends as unknown or absent, not as one more request."""
    monkeypatch.setattr(resolver_module, "MOST_CANCELS", 2)
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids=CANCEL, times=100)
    async with broker_of(lost) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        order = await buy(client)
        with pytest.raises((OutcomeUnknown, OrderNotAccepted)):
            await client.stock.cancel(order, deadline=2)
        assert broker.count(CANCEL) == 2
        assert on_book(broker, KEY)[0].leaves_quantity == 10


async def test_much_to_match_is_matched_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot's loop does not stand still for it, and the result is the same."""
    monkeypatch.setattr(resolver_module, "MATCHED_AT_ONCE", 0)
    async with broker_of(FaultKind.DROP_AFTER_ACCEPTANCE) as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert order.resolved_by is ResolvedBy.LEDGER


# ---------------------------------------------------------------------- guards and dry runs


VALUED = OrderLimits(value_per_day=10**12)


async def test_orders_of_one_symbol_share_one_quote(tmp_path: Path) -> None:
    """Two market orders at once are valued by the same look."""
    ambient = Hands(datetime(2026, 11, 20, 10, 0, tzinfo=KST) - datetime.now(KST))
    async with broker_of(ambient=ambient) as broker, client_of(broker, tmp_path, order_limits=VALUED) as client:
        await asyncio.gather(*(buy(client, key, price=None) for key in ("a", "b")))
        assert broker.count("ka10001") == 1


async def test_symbol_without_an_upper_limit_cannot_be_valued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that names no upper limit values no market order; nothing is sent."""
    monkeypatch.setattr(
        "kiwoom_async._execution.guards.decode_quote", lambda *given: evolve(decode_quote(*given), upper_limit=None)
    )
    async with broker_of() as broker, client_of(broker, tmp_path, order_limits=VALUED) as client:
        with pytest.raises(ValidationError, match="has none today"):
            await buy(client, price=None)
        assert orders_received(broker) == []


async def test_dry_order_that_cannot_be_checked_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at the deadline, and no dry order is kept."""
    async with broker_of() as broker, client_of(broker, tmp_path, dry_run=True) as dry:
        monkeypatch.setattr(dry._rehearsal._guards, "examine", hang)
        with pytest.raises(NotSent, match="could not be checked"):
            await buy(dry, deadline=0.05)
        assert await dry.orders.get(KEY) is None
        assert orders_received(broker) == []


async def test_dry_run_repeats_the_refusal_of_a_real_order(tmp_path: Path) -> None:
    """The id has its answer, and the dry client tells it."""
    async with broker_of(Fault(FaultKind.ORDER_REFUSED, api_ids=BUY)) as broker:
        async with client_of(broker, tmp_path) as client:
            with pytest.raises(OrderRefused):
                await buy(client)
        async with client_of(broker, tmp_path, dry_run=True) as dry:
            with pytest.raises(OrderRefused):
                await buy(dry)
        assert len(orders_received(broker)) == 1


# ---------------------------------------------------------------------- cancel_all


def sweeper_of(client: KiwoomClient) -> Sweeper:
    """Give what cancels everything."""
    return client.orders._sweeper


async def test_slow_cancel_gives_its_turn_back_once(tmp_path: Path) -> None:
    """A turn ends with its time or with the answer, whichever is first, and not with both."""
    timing = evolve(TIMING, connect_timeout=0.1)
    async with broker_of() as broker, client_of(broker, tmp_path, timing=timing) as client:
        await buy(client)
        broker.set_faults([Fault(FaultKind.DELAY_ANSWER, api_ids=CANCEL, seconds=0.4)])
        report = await client.orders.cancel_all()
        assert [result.outcome for result in report.results] == [CancelOutcome.CANCELED]
        assert sweeper_of(client)._turns._value == AT_ONCE


async def test_fault_in_one_cancel_keeps_none_from_being_canceled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one meets is reported for that one."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await buy(client, "good")
        await buy(client, "bad", quantity=11)
        choose = sweeper_of(client)._choose_intent

        async def choose_or_fail(aim: Any) -> Any:
            if aim.request.target == "bad":
                raise RuntimeError("a fault of ours")
            return await choose(aim)

        monkeypatch.setattr(sweeper_of(client), "_choose_intent", choose_or_fail)
        report = await client.orders.cancel_all()
        outcomes = {result.client_order_id: result.outcome for result in report.results}
        assert outcomes == {"good": CancelOutcome.CANCELED, "bad": CancelOutcome.FAILED}
        assert [row.leaves_quantity for row in (*on_book(broker, "good"), *on_book(broker, "bad"))] == [0, 11]


async def test_order_of_an_earlier_day_is_not_canceled(tmp_path: Path) -> None:
    """Its number means nothing today; that its books are not closed yet changes nothing."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            await buy(client)
        assert isinstance(broker.ambient, Hands)
        broker.ambient.next_day()
        async with client_of(broker, tmp_path, dry_run=True) as dry:
            assert [order.client_order_id for order in await dry._journal.working_orders()] == [KEY]
            assert (await dry.orders.cancel_all()).results == ()


async def test_order_that_only_one_view_lists_is_named_and_left(tmp_path: Path) -> None:
    """Without its row in the ledger nobody knows the route that its cancel must name."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        broker.set_faults([Fault(FaultKind.STALE_LEDGER, seconds=1000, api_ids="kt00007", times=100_000)])
        broker.place_foreign(symbol=SYMBOL, side="buy", quantity=3, price=69_000)
        report = await client.orders.cancel_all(include_foreign=True)
        (result,) = report.results
        assert result.outcome is CancelOutcome.FAILED
        assert isinstance(result.error, QueryFailed)
        assert "route" in str(result.error)
        assert orders_received(broker) == []


async def test_journal_that_fails_does_not_finish_an_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is nothing to cancel is not known, so the cancel is reported as failed and not as finished."""
    async with broker_of(LOST, BLIND) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: buy(client, deadline=0.5))
        (aim,) = await sweeper_of(client)._find_own(Scope())
        unsent = NotSent("as if", client_order_id="cancel")
        Failure(Access.READ, 1, times=1, only="find").set_up(client._journal, monkeypatch)
        assert not await sweeper_of(client)._is_over(aim.request, unsent)


async def test_gold_without_a_price_cannot_be_valued(tmp_path: Path) -> None:
    """Gold has no quote that names its upper limit; nothing is asked and nothing is sent."""
    async with broker_of() as broker, client_of(broker, tmp_path, order_limits=VALUED) as client:
        request = OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.BUY, 1)
        with pytest.raises(ValidationError, match="gold has no such quote"):
            await client._dispatcher._sender._guards.examine("one", request, None)
        assert broker.count("ka10001") == 0


async def test_modify_that_cannot_be_canceled_leaves_the_original_to_be_tried(tmp_path: Path) -> None:
    """The cancel of the modify is refused, so it is not shown to be in the original's place: that one is canceled."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client)
        await client.stock.modify(order, price=70_100, client_order_id="modify")
        aims = {aim.key.partition("#")[0]: aim for aim in await sweeper_of(client)._find_own(Scope())}
        first = aims.get(KEY) or evolve(
            aims["modify"],
            key="one#1",
            request=evolve(aims["modify"].request, target=KEY, original=order.broker_order_id),
            replaces=None,
        )
        assert first.place is not None
        broker.set_faults([Fault(FaultKind.ORDER_REFUSED, api_ids=CANCEL)])
        results: list[Any] = []
        patience = sweeper_of(client)._patience(2, 5)
        await sweeper_of(client)._cancel_chain(aims["modify"], {first.place: first}, patience, results)
        assert [(result.client_order_id, result.outcome) for result in results] == [
            ("modify", CancelOutcome.FAILED),
            (KEY, CancelOutcome.FINISHED),
        ]
