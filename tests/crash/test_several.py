"""Several processes on one journal: racing, killed or frozen with a lease in their hands, and with clocks apart."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import apsw
import pytest
from attrs import evolve

from kiwoom_async import HealthState, Order, ResolvedBy
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async.simulator import Simulator
from tests.crash.processes import KILLED, PATIENCE, finished, go, heard, is_stopped
from tests.crash.test_kill import DROPPED, LOST, ask, program_of, run, started, violations
from tests.crash.trader import TIMING, Program
from tests.on_disk import rows_of
from tests.scenarios.trading import Hands, broker_of, client_of, eventually, on_book, orders_received

PROCESSES: Final = 4
IDS: Final = 25


@pytest.mark.timeout(400)
async def test_same_ids_from_many_processes_at_once(tmp_path: Path) -> None:
    """Four processes place the same twenty-five ids at the same moment: one request each, one answer for all."""
    keys = tuple(f"n{number}" for number in range(IDS))
    async with broker_of() as broker, AsyncExitStack() as stack:
        program = program_of(
            broker,
            tmp_path,
            keys=keys,
            waits=True,
            deadline=PATIENCE,
            connect_timeout=PATIENCE,
            response_timeout=PATIENCE,
        )
        processes = [await stack.enter_async_context(started(program)) for _ in range(PROCESSES)]
        for process in processes:
            await heard(process, "ready")
        for process in processes:
            await go(process)
        told = [answers for _, answers in await asyncio.gather(*map(finished, processes))]
        assert told[1:] == told[:1] * (PROCESSES - 1)
        assert [line["text"] for line in told[0] if line["error"]] == []
        assert len(told[0]) == IDS
        for line in told[0]:
            assert [row.broker_order_id for row in on_book(broker, line["key"])] == [line["number"]]
            assert len(orders_received(broker, line["key"])) == 1


def lease_of(folder: Path, name: str) -> tuple[str, float]:
    """Read who holds a lease, and until which monotonic second."""
    ((holder, expires),) = rows_of(
        folder / "orders.db", "SELECT holder, expires FROM leases WHERE name GLOB ?", f"{name}*"
    )
    return str(holder), float(expires)


def expire_lease(folder: Path, name: str) -> None:
    """Let the time of a lease be over, as if its holder had been stopped for longer than it lasts."""
    connection = apsw.Connection(str(folder / "orders.db"))
    connection.set_busy_timeout(5000)
    connection.execute("UPDATE leases SET expires = 0 WHERE name GLOB ?", (f"{name}*",))
    assert connection.changes() == 1
    connection.close()


async def test_killed_with_the_lease_of_the_reconciler(tmp_path: Path) -> None:
    """The lease of a dead process has most of its minute to go: the living one takes it at once and settles."""
    async with broker_of(*DROPPED) as broker, client_of(broker, tmp_path, timing=TIMING) as client:
        program = program_of(broker, tmp_path)
        assert (await run(evolve(program, signal_at=Checkpoint.BEFORE_CLAIM_COMMIT.value)))[0] == KILLED
        assert broker.ambient is not None
        order = await ask(client, program)
        holder, _ = lease_of(tmp_path, "reconciler")
        assert isinstance(order, Order)
        assert order.resolved_by is ResolvedBy.LEDGER
        assert holder == client._journal.runner
        assert violations(broker, program, "one", [order, await ask(client, program)]) == ()
        assert len(orders_received(broker)) == 1


async def frozen_until_settled(broker: Simulator, folder: Path, program: Program) -> list[Order | str]:
    """Stop a process with the lease in its hands, let another one settle its order, and wake it.

    Returns:
        What the other one was told, before and after the sleeper woke, and what the sleeper was told.
    """
    async with client_of(broker, folder, timing=TIMING) as client, started(program) as sleeper:
        await eventually(lambda: is_stopped(sleeper), within=60)
        holder, _ = lease_of(folder, "reconciler")
        assert holder != client._journal.runner
        expire_lease(folder, "reconciler")
        first = await ask(client, program)
        sleeper.send_signal(signal.SIGCONT)
        status, (told,) = await finished(sleeper)
        assert status == 0
        again = await ask(client, program)
        assert (await client.reconcile()).alarms == ()
        record = await client._journal.find("one")
        assert record is not None
        assert len({claim.broker_order_id for claim in record.claims}) == len(record.claims) <= 1
    return [first, again, told["number"] or f"{told['error']}: {told['text']}"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_frozen_in_a_claim_past_its_lease_and_woken(tmp_path: Path) -> None:
    """The sleeper wakes with a claim that another process has made meanwhile: nothing is claimed twice or changed."""
    async with broker_of(*DROPPED) as broker:
        program = program_of(
            broker, tmp_path, signal_at=Checkpoint.BEFORE_CLAIM_COMMIT.value, signal_name="SIGSTOP", deadline=60.0
        )
        first, again, told = await frozen_until_settled(broker, tmp_path, program)
        assert isinstance(first, Order)
        assert (again, told) == (first, first.broker_order_id)
        assert violations(broker, program, "one", [first, again]) == ()
        assert len(orders_received(broker)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_frozen_in_a_resend_decision_past_its_lease_and_woken(tmp_path: Path) -> None:
    """The sleeper wakes with a proof that another process has used meanwhile: it sends nothing of its own."""
    async with broker_of(*LOST) as broker:
        program = program_of(
            broker,
            tmp_path,
            signal_at=Checkpoint.DURING_RESEND_DECISION.value,
            signal_name="SIGSTOP",
            deadline=60.0,
            resend_within=60.0,
            has_witnesses=True,
        )
        first, again, told = await frozen_until_settled(broker, tmp_path, program)
        assert again == first
        assert told == (first.broker_order_id if isinstance(first, Order) else first)
        assert len(orders_received(broker, "one")) <= 2
        assert len(on_book(broker, "one")) == isinstance(first, Order)
        assert violations(broker, program, "one", [first, again]) == ()


@pytest.mark.parametrize("seconds", [-30.0, -1.0, 1.0, 30.0])
async def test_clocks_apart(tmp_path: Path, seconds: float) -> None:
    """A process whose clock is off leaves an order behind; another one settles it: never doubled, never lied about.

    `Timing.clock_skew` is one second. What is beyond is proven by the `Date` of Kiwoom's answers, and alarmed.
    """
    async with broker_of(*DROPPED) as broker:
        assert isinstance(broker.ambient, Hands)
        program = program_of(broker, tmp_path)
        skewed = evolve(program, offset=program.offset + seconds)
        status, _ = await run(evolve(skewed, signal_at=Checkpoint.BEFORE_LEDGER_QUERY.value))
        assert status == KILLED
        off = Hands(offset=broker.ambient.offset + timedelta(seconds=seconds))
        # It cannot know that its stamps are wrong until an answer has shown it; then the window is as much wider.
        async with client_of(broker, tmp_path, timing=TIMING, ambient=off) as client:
            order = await ask(client, program)
            assert isinstance(order, Order)
            report = await client.reconcile()
        is_beyond = abs(seconds) > TIMING.clock_skew
        assert any("our clock is off" in alarm for alarm in report.alarms) is is_beyond
        async with client_of(broker, tmp_path, timing=TIMING) as client:
            again = await ask(client, program)
        assert again == order
        assert violations(broker, program, "one", [order, again]) == ()
        assert len(orders_received(broker)) == 1


@pytest.mark.parametrize("seconds", [-30.0, 30.0])
async def test_clock_that_was_off_when_it_sent(
    tmp_path: Path, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender whose clock was off beyond the bound died: the next one sees it, finds the order, and tells.

    A clock that was behind looks like a machine that was paused, so that is a warning.
    """
    async with broker_of(*DROPPED) as broker:
        program = program_of(broker, tmp_path)
        skewed = evolve(program, offset=program.offset + seconds)
        status, _ = await run(evolve(skewed, signal_at=Checkpoint.BEFORE_LEDGER_QUERY.value))
        assert status == KILLED
        answers = []
        for _ in range(2):
            async with client_of(broker, tmp_path, timing=TIMING) as client:
                answers.append(await ask(client, program))
                await eventually(lambda: f"set by {-seconds:+.0f} s after order one was sent" in caplog.text)
        async with client_of(broker, tmp_path, timing=TIMING) as client:
            told = (await client.health())["A11"]
            assert told.state is (HealthState.ALARM if seconds > 0 else HealthState.WARNING)
            assert f"set by {-seconds:+.0f} s after order one was sent" in told.text
        assert isinstance(answers[0], Order)
        assert violations(broker, program, "one", answers) == ()
        assert len(orders_received(broker)) == 1


async def test_clock_that_was_far_behind_when_it_sent_doubles_nothing(tmp_path: Path) -> None:
    """A sender whose clock was twelve minutes behind died, NTP set the clock: the order is found, not sent again."""
    async with broker_of(*DROPPED) as broker:
        program = program_of(broker, tmp_path, resend_within=3600.0, has_witnesses=True, deadline=60.0)
        skewed = evolve(program, offset=program.offset - 720, signal_at=Checkpoint.BEFORE_LEDGER_QUERY.value)
        assert (await run(skewed))[0] == KILLED
        status, (told,) = await run(program)
        assert status == 0
        assert told["number"] == on_book(broker, "one")[0].broker_order_id
        assert len(orders_received(broker, "one")) == len(on_book(broker, "one")) == 1
