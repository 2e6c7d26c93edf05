"""The answer came and the journal cannot take it: nobody is told anything wrong, and it is written down later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    Delivery,
    JournalError,
    KiwoomClient,
    NotSent,
    Order,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
    ResolvedBy,
)
from kiwoom_async._execution import reconciler as reconciler_module
from kiwoom_async.simulator import Fault, FaultKind
from tests.scenarios.short_day import Access, Failure
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    broker_of,
    client_of,
    eventually,
    on_book,
    orders_received,
)

KEY = "one"
MANY = 1_000_000
BUY = "kt10000"


async def buy(client: KiwoomClient, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": KEY}
    return await client.stock.buy(**(arguments | changes))


def unrecorded(client: KiwoomClient, patch: pytest.MonkeyPatch, **changes: Any) -> Failure:
    """Let the journal take no outcome from now on."""
    arguments: dict[str, Any] = {"times": MANY, "only": "conclude"}
    failure = Failure(Access.WRITE, 1, **(arguments | changes))
    failure.set_up(client._journal, patch)
    return failure


async def told(client: KiwoomClient) -> Order | Exception:
    """Ask for the order, and give what was told."""
    try:
        return await buy(client)
    except (OrderRefused, NotSent, OrderNotAccepted) as error:
        return error


@pytest.mark.parametrize(
    ("fault", "kind"), [(None, Order), (FaultKind.ORDER_REFUSED, OrderRefused)], ids=["accepted", "refused"]
)
async def test_an_answer_that_cannot_be_recorded_is_unknown_and_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: FaultKind | None, kind: type[Any]
) -> None:
    """The caller is told `OutcomeUnknown`; once the journal works, the answer stands, by the response."""
    async with broker_of(*([Fault(fault, api_ids=BUY)] if fault else [])) as broker:
        async with client_of(broker, tmp_path) as client:
            failure = unrecorded(client, monkeypatch)
            with pytest.raises(OutcomeUnknown, match="could not be recorded yet"):
                await buy(client)
            assert [open_.state for open_ in await client.orders.unresolved()] == [Delivery.DISPATCHED]
            waiting = asyncio.create_task(told(client))
            await eventually(lambda: len(failure.struck) > 2)
            assert not waiting.done()
            failure.stop()
            first = await waiting
            assert isinstance(first, kind)
            if isinstance(first, Order):
                assert first.resolved_by is ResolvedBy.RESPONSE
                assert [row.broker_order_id for row in on_book(broker, KEY)] == [first.broker_order_id]
        async with client_of(broker, tmp_path) as client:
            again = await told(client)
            assert again == first if kind is Order else isinstance(again, kind)
        assert len(orders_received(broker, KEY)) == 1


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_an_answer_that_was_never_recorded_is_found_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_accepted: bool
) -> None:
    """The process ends before the journal works again: the next one asks the ledger."""
    faults = [] if is_accepted else [Fault(FaultKind.ORDER_REFUSED, api_ids=BUY)]
    async with broker_of(*faults) as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            failure = unrecorded(client, monkeypatch)
            with pytest.raises(OutcomeUnknown):
                await buy(client)
            await eventually(lambda: len(failure.struck) > 2)
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            answer = await told(client)
            if isinstance(answer, Order):
                assert is_accepted
                assert answer.resolved_by is ResolvedBy.LEDGER
                assert [row.broker_order_id for row in on_book(broker, KEY)] == [answer.broker_order_id]
            else:
                assert not is_accepted
                assert isinstance(answer, OrderNotAccepted)
        assert len(orders_received(broker, KEY)) == 1


async def test_a_record_that_the_disk_took_and_denied_is_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is durable though its commit was reported as failed: writing it again changes nothing."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        failure = unrecorded(client, monkeypatch, times=1, is_torn=True)
        with pytest.raises(OutcomeUnknown):
            await buy(client)
        order = await buy(client)
        assert (order.resolved_by, order.attempts) == (ResolvedBy.RESPONSE, 1)
        await eventually(lambda: failure.calls > 1)
        assert await buy(client) == order
        assert len(on_book(broker, KEY)) == len(orders_received(broker, KEY)) == 1


async def test_a_permission_that_the_disk_took_and_denied_is_used_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatch that failed sends nothing, also where its row is durable; the row is settled as absent later."""
    monkeypatch.setattr(reconciler_module, "OWN_GRACE", 0.1)
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        unrecorded(client, monkeypatch, times=1, is_torn=True, only="dispatch")
        with pytest.raises(JournalError):
            await buy(client)
        with pytest.raises(OrderNotAccepted):
            await buy(client)
        assert orders_received(broker) == []


async def test_a_second_attempt_that_the_disk_took_and_denied_leaves_no_final_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused token whose second permission was reported as failed: that one has to be settled first."""
    monkeypatch.setattr(reconciler_module, "OWN_GRACE", 0.1)
    async with broker_of(Fault(FaultKind.TOKEN_DIES, api_ids=BUY)) as broker:
        async with client_of(broker, tmp_path, timing=QUICK) as client:
            unrecorded(client, monkeypatch, times=1, is_torn=True, only="replace")
            with pytest.raises(OrderNotAccepted):
                await buy(client)
            with pytest.raises(OrderNotAccepted):
                await buy(client)
        assert len(orders_received(broker, KEY)) == 1


# ---------------------------------------------------------------------- the client goes while the journal fails


async def test_a_client_closes_although_the_journal_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that is cut off gives its lease back, which fails: closing ends all the same."""
    async with broker_of() as broker:
        client = await client_of(broker, tmp_path).__aenter__()
        failure = Failure(Access.WRITE, 1, times=MANY, only="release_lease")
        failure.set_up(client._journal, monkeypatch)
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids=BUY)])
        looking = asyncio.Event()

        async def look(*_: object) -> None:
            looking.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(client._reconciler._resolver._views, "take", look)
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=0.5)
        async with asyncio.timeout(30):
            await looking.wait()
            await client.__aexit__(None, None, None)
        assert failure.struck


async def test_a_lease_that_is_not_given_back_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pass has found is reported although its last write failed; the next pass takes the lease again."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        failure = Failure(Access.WRITE, 1, times=MANY, only="release_lease")
        failure.set_up(client._journal, monkeypatch)
        for _ in range(2):
            assert (await client.reconcile()).unresolved == ()
        assert len(failure.struck) >= 2
