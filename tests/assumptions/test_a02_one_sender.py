"""A2 broken on purpose: a sender that is taken for dead and lives, or that wakes after its time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import define

from kiwoom_async import HealthState, NotSent
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import KEY, WIDE, alarmed, assert_one_order, assert_only, buy, durable_kinds
from tests.scenarios.trading import Hands, broker_of, client_of, eventually, on_book, orders_received


async def test_zombie_that_brings_an_answer_is_reported(tmp_path: Path) -> None:
    """Its lock was lost, another process has taken over and found the order; then its own answer comes."""
    slow = Fault(FaultKind.DELAY_ANSWER, seconds=2, api_ids="kt10000")
    async with broker_of(slow) as broker, client_of(broker, tmp_path, timing=WIDE) as zombie:
        first = asyncio.create_task(buy(zombie))
        await eventually(lambda: len(on_book(broker, KEY)) == 1)
        zombie._journal._lock.release()
        async with client_of(broker, tmp_path, timing=WIDE) as heir:
            second = await buy(heir)
            assert (await first).broker_order_id == second.broker_order_id == on_book(broker, KEY)[0].broker_order_id
            assert_one_order(broker)
            for client in (zombie, heir):
                assert "taken for dead" in (await alarmed(client, "A2")).text
                assert_only(await client.health(), "A2")


@define
class Sleepy(Hands):
    """A process that stands still at a checkpoint: its clock has moved on when it goes on."""

    slept: float = 0.0

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self._system.monotonic() + self.slept


async def test_sender_that_wakes_too_late_sends_nothing(tmp_path: Path) -> None:
    """Between permission and first byte its time runs out: nothing leaves, and health warns."""
    sleepy = Sleepy()

    def sleep() -> None:
        sleepy.slept = WIDE.connect_timeout + 60

    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE, ambient=sleepy) as client:
        sleepy.actions[Checkpoint.AFTER_COMMIT_BEFORE_WRITE] = sleep
        with pytest.raises(NotSent):
            await buy(client)
        assert orders_received(broker, KEY) == []
        assert "held back" in (await alarmed(client, "A2", state=HealthState.WARNING)).text
        await eventually(lambda: "sender_late" in durable_kinds(client))
