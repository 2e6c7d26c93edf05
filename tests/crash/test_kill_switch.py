"""The kill switch among real processes: what holds one holds all, whatever happens to whoever engaged it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from kiwoom_async import NotSent
from kiwoom_async.simulator import Simulator
from tests.crash.processes import ROOT, child, finished, heard
from tests.crash.test_kill import program_of, started
from tests.on_disk import value_of
from tests.scenarios.trading import SYMBOL, broker_of, client_of, eventually, orders_received

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")


def hammering(broker: Simulator, folder: Path) -> AbstractAsyncContextManager[Process]:
    """Start a process that buys and cancels without a pause; it does not outlive the block."""
    return child("hammer.py", program_of(broker, folder).to_json())


async def command(*arguments: str) -> tuple[int | None, str]:
    """Run the console script in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiwoom_async", *arguments, cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, (out + err).decode()


def bought(broker: Simulator) -> int:
    """Count the new orders that arrived."""
    return sum(request.api_id == "kt10000" for request in orders_received(broker))


def permissions(folder: Path) -> int:
    """Count the new orders that were ever permitted to leave."""
    return int(value_of(folder / "orders.db", "SELECT sum(orders) FROM counted_sends"))


async def test_halt_stops_a_process_that_hammers_and_lets_its_cancels_through(tmp_path: Path) -> None:
    """Once `halt` has returned, no new order arrives; what rests in the book is canceled all the same."""
    async with broker_of() as broker, hammering(broker, tmp_path) as process:
        await heard(process, "trading")
        await eventually(lambda: bought(broker) > 20, within=60)
        status, told = await command("halt", str(tmp_path / "orders.db"), "--reason", "fat finger")
        assert status == 0, told
        permitted = permissions(tmp_path)
        await heard(process, "held")
        received = bought(broker)  # every answer of before is there by now
        await heard(process, "canceled")
        assert (bought(broker), permissions(tmp_path)) == (received, permitted)
        assert not [row for row in broker.orders if row.leaves_quantity]
        status, told = await command("resume", str(tmp_path / "orders.db"), "--reason", "found it")
        assert status == 0, told
        await eventually(lambda: bought(broker) > received, within=60)


async def test_switch_outlives_whoever_engaged_it(tmp_path: Path) -> None:
    """Engaged by a process that is killed the moment it was: it holds for the others and for the next start."""
    program = """
import asyncio, json, os, signal, sys
from kiwoom_async._guards import KillSwitch
from kiwoom_async._journal.journal import Journal
from kiwoom_async._ambient import SystemAmbient
from tests.on_disk import value_of

async def main():
    ambient = SystemAmbient()
    async with Journal(sys.argv[1], ambient, "") as journal:
        await KillSwitch(journal, ambient).engage(reason="last words")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as client:
            doomed = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, str(tmp_path / "orders.db"), env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
            assert await doomed.wait() == -signal.SIGKILL
            with pytest.raises(NotSent, match="last words"):
                await client.stock.buy(SYMBOL, 10, price=70_000)
        async with client_of(broker, tmp_path) as client:
            with pytest.raises(NotSent, match="last words"):
                await client.stock.buy(SYMBOL, 10, price=70_000)
        assert orders_received(broker) == []


async def test_process_that_was_stopped_with_a_permission_does_not_send_when_it_wakes(tmp_path: Path) -> None:
    """Frozen between its permission and the first byte: halt outwaits the permission, and the late waker gives up."""
    async with broker_of() as broker:
        frozen = program_of(broker, tmp_path, signal_at="after_commit_before_write", signal_name="SIGSTOP")
        async with started(frozen) as process:
            await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            status, told = await command("halt", str(tmp_path / "orders.db"), "--reason", "stop")
            assert status == 0, told
            process.send_signal(signal.SIGCONT)
            _, answers = await finished(process)
            assert [answer["number"] for answer in answers] == [None]
            assert orders_received(broker) == []
