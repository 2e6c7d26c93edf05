"""A9 broken on purpose: another program places identical orders by the same channel."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async import OutcomeUnknown, Side
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._execution import monitor as monitor_module
from kiwoom_async.simulator import Channel, Fault, FaultKind, Simulator
from tests.assumptions.breaking import KEY, WIDE, alarmed, assert_one_order, assert_only, buy
from tests.scenarios.trading import QUICK, SYMBOL, broker_of, client_of, eventually, left_open, on_book, opened


def place_twin(broker: Simulator, channel: str = Channel.REST_API) -> str:
    """Let somebody else place the order of these tests."""
    order = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=channel)
    return order.broker_order_id


@pytest.fixture(params=[monitor_module.JUDGED_AT_ONCE, 0], ids=["at_once", "in_a_thread"])
def _everywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge rows on the event loop, and in a thread as where there are many."""
    monkeypatch.setattr(monitor_module, "JUDGED_AT_ONCE", request.param)


@pytest.mark.usefixtures("_everywhere")
async def test_twin_of_an_answered_order_is_an_alarm(tmp_path: Path) -> None:
    """It is not ours, and on an exclusive account it should not be there; nothing is done to it."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        order = await buy(client)
        theirs = place_twin(broker)
        report = await client.reconcile()
        assert any(theirs in alarm for alarm in report.alarms)
        assert theirs in (await alarmed(client, "A9")).text
        assert_only(await client.health(), "A9")
        assert (await client.orders.get(KEY)) == order
        assert_one_order(broker)


async def test_twin_of_an_unknown_order_is_an_alarm_and_nothing_is_claimed(tmp_path: Path) -> None:
    """Two rows and one attempt: one of them is somebody else's, and nobody knows which."""
    lost = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
    blind = Fault(FaultKind.QUERY_ERROR, times=100_000)
    async with broker_of(lost, blind) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await left_open(lambda: buy(client, deadline=0.2))
        place_twin(broker)
        broker.set_faults(None)
        await alarmed(client, "A9")
        with pytest.raises(OutcomeUnknown):
            await buy(client, deadline=0.5)
        assert_one_order(broker)


@pytest.mark.parametrize("is_exclusive", [True, False])
async def test_orders_that_may_be_there_are_no_alarm(tmp_path: Path, *, is_exclusive: bool) -> None:
    """A person's identical order is told apart by its channel, and on a shared account anybody may place one."""
    channel = Channel.HOME_TRADING if is_exclusive else Channel.REST_API
    changes = {"timing": WIDE, "account_exclusive": is_exclusive}
    async with broker_of() as broker, client_of(broker, tmp_path, **changes) as client:
        await opened(broker)
        await buy(client)
        place_twin(broker, channel)
        assert (await client.reconcile()).alarms == ()
        assert_only(await client.health())


async def test_many_twins_cost_one_look_into_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else may own them is read once, however many there are."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        await opened(broker)
        await buy(client)
        theirs = [place_twin(broker) for _ in range(20)]
        reads: list[date] = []
        read = client._journal.watched_attempts

        async def counted(since: date) -> tuple[Attempt, ...]:
            reads.append(since)
            return await read(since)

        monkeypatch.setattr(client._journal, "watched_attempts", counted)
        alarms = (await client.reconcile()).alarms
        assert all(any(number in alarm for alarm in alarms) for number in theirs)
        assert len(reads) < len(theirs)


@pytest.mark.usefixtures("_everywhere")
async def test_our_own_orders_without_an_answer_are_no_strangers(tmp_path: Path) -> None:
    """A twin of ours is on the book, and its answer is on its way: the row is its own."""
    hung = Fault(FaultKind.HANG, seconds=60, accepted=True, api_ids="kt10000")
    blind = evolve(WIDE, response_timeout=30, drain_timeout=0.05)
    async with broker_of() as broker, client_of(broker, tmp_path, timing=blind) as client:
        await buy(client)
        broker.set_faults([hung])
        waiting = asyncio.create_task(buy(client, client_order_id="two"))
        await eventually(lambda: len(on_book(broker, "two")) == 1)
        assert (await client.reconcile()).alarms == ()
        assert_only(await client.health())
        waiting.cancel()
        await asyncio.wait([waiting])
        assert_one_order(broker, KEY, "two")
