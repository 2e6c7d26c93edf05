"""Waiting for the answer to an order, and the bell that wakes those who resolve."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
from attrs import define, field

from kiwoom_async import Delivery, NotSent, Order
from kiwoom_async._execution.settlements import Bell, Settlements
from kiwoom_async._execution.waiters import Waiters
from kiwoom_async._journal.records import OrderRecord, ReportNews
from kiwoom_async.errors import JournalError, JournalLocked, KiwoomError
from tests.domain.test_matching import attempt
from tests.execution.stand_ins import owned
from tests.journal.builders import intent


def record(state: Delivery) -> OrderRecord:
    """Give what the journal knows of an order in a state."""
    if state is Delivery.ACKNOWLEDGED:
        claim, known = owned(101)
        return OrderRecord(intent("a"), (known,), (claim,), {})
    return OrderRecord(intent("a"), (attempt(state=state),), (), {})


@define
class Records:
    """A journal that knows one order, or nothing of it yet."""

    known: OrderRecord | JournalError | None = None
    looks: list[str] = field(factory=list)

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """Give what is known."""
        self.looks.append(client_order_id)
        if isinstance(self.known, JournalError):
            raise self.known
        return self.known


async def rest() -> None:
    """Let everybody do what can be done."""
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


@define
class Desk:
    """Settlements, and who waits there."""

    records: Records = field(factory=Records)
    answers: list[Order | KiwoomError] = field(factory=list)
    spread: list[ReportNews] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.waiters = Waiters(cast("Any", self.records))
        self.settlements = Settlements(cast("Any", self.records), self.waiters, self.spread.append)

    waiters: Waiters = field(init=False)
    settlements: Settlements = field(init=False)

    async def wait(self) -> None:
        """Wait for the answer."""
        self.answers.append(await self.settlements.wait("a"))


@pytest.mark.parametrize(("state", "kind"), [(Delivery.ACKNOWLEDGED, Order), (Delivery.NOT_SENT, NotSent)])
async def test_answer_that_is_known_is_given_at_once(state: Delivery, kind: type[object]) -> None:
    """An order, or the error to raise."""
    desk = Desk(Records(record(state)))
    with anyio.fail_after(5):
        await desk.wait()
    (answer,) = desk.answers
    assert isinstance(answer, kind)
    assert desk.records.looks == ["a"]


async def test_wait_ends_with_the_news_that_decide() -> None:
    """It looks again after all news of the order, and after none of another one."""
    desk = Desk()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(desk.wait)
            await rest()
            desk.records.known = record(Delivery.DISPATCHED)
            desk.settlements.ring("b")
            await rest()
            assert (len(desk.records.looks), desk.answers) == (1, [])
            desk.settlements.ring("a")
            await rest()
            assert (len(desk.records.looks), desk.answers) == (2, [])
            desk.records.known = record(Delivery.ACKNOWLEDGED)
            desk.settlements.ring("a")
    (answer,) = desk.answers
    assert isinstance(answer, Order)
    assert answer.broker_order_id == "0000101"


async def test_end_of_the_client_is_no_answer() -> None:
    """A task that took it for one might send or give up an order; its cancellation ends it."""
    desk = Desk()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(desk.wait)
            await rest()
            desk.waiters.close()
            await rest()
            assert desk.answers == []
            group.cancel_scope.cancel()
    assert desk.answers == []


async def test_journal_that_cannot_be_read_is_told() -> None:
    """Nobody waits for an answer that cannot be looked for."""
    with pytest.raises(JournalLocked):
        await Desk(Records(JournalLocked("locked"))).wait()


def test_what_was_said_before_is_spread() -> None:
    """By the one who was given for it."""
    desk = Desk()
    desk.settlements.spread(ReportNews(events=1))
    assert desk.spread == [ReportNews(events=1)]


async def is_rung(bell: Bell) -> bool:
    """Tell whether a bell wakes who waits now."""
    woken: list[bool] = []

    async def wait() -> None:
        await bell.wait()
        woken.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await rest()
        group.cancel_scope.cancel()
    return bool(woken)


async def test_bell_rings_until_it_is_muffled() -> None:
    """A ring before the wait is not lost; one that was heard is forgotten on purpose."""
    bell = Bell()
    assert not await is_rung(bell)
    bell.ring()
    assert await is_rung(bell)
    assert await is_rung(bell)
    bell.muffle()
    assert not await is_rung(bell)
    bell.ring()
    assert await is_rung(bell)
