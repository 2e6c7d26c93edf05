"""A process that is killed before or after any of its commits leaves a journal from which the next one tells the truth.

The suite takes every seventh commit, the ones between in turn with each kind of kill. All of them:
`KIWOOM_ASYNC_THOROUGH=1 pytest tests/crash/test_every_commit.py --timeout=3600`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import asdict, evolve

from kiwoom_async import Desk
from kiwoom_async._audit import Answer
from kiwoom_async.simulator import Simulator
from tests.crash.processes import KILLED, PATIENCE, child, heard
from tests.crash.session import (
    AFTER,
    BEFORE,
    FAULTS,
    Kill,
    audit,
    client_of,
    close_yesterday,
    read_told,
    trade,
)
from tests.scenarios.trading import Hands, broker_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks, and sends SIGKILL")

STRIDE: Final = 1 if os.environ.get("KIWOOM_ASYNC_THOROUGH") else 7
FIRST: Final = {BEFORE: 1, AFTER: min(4, STRIDE)}
"""The two kinds of kill take different commits, so that together they come closer to all."""

MOST: Final = 1000


@asynccontextmanager
async def mother() -> AsyncIterator[Process]:
    """Start the process that forks the others."""
    async with child("session.py") as process:
        await heard(process, "ready")
        yield process


async def end_of(process: Process, kill: Kill) -> int:
    """Have a session run to its end, by itself or killed; give its status."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asdict(kill)).encode() + b"\n")
    async with asyncio.timeout(PATIENCE):
        return int(json.loads(await process.stdout.readline())["status"])


def kill_of(broker: Simulator, folder: Path, **changes: Any) -> Kill:
    """Make the plan of a session on the journal of a folder."""
    folder.mkdir(exist_ok=True)
    assert isinstance(broker.ambient, Hands)
    kill = Kill(
        broker.url,
        str(broker.environment.websocket_url),
        str(folder / "orders.db"),
        broker.ambient.offset.total_seconds(),
        str(folder / "told.jsonl"),
    )
    return evolve(kill, **changes)


async def told_after(kill: Kill) -> list[Answer]:
    """Open the journal that a process has left, twice, and ask everything again; give all answers since its birth."""
    answers = read_told(kill)
    for _ in range(2):
        async with client_of(kill, feed=False) as client:
            await trade(client, answers.append)
    return answers


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
async def test_killed_at_every_commit_of_a_day(tmp_path: Path, moment: str) -> None:
    """Before or after the N-th commit: at most one order for each id, the right answers, nothing unknown."""
    kills = 0
    async with mother() as process:
        for number in range(FIRST[moment], MOST, STRIDE):
            async with broker_of(*FAULTS) as broker:
                kill = kill_of(broker, tmp_path / str(number), commit=number, moment=moment)
                status = await end_of(process, kill)
                assert status in {0, KILLED}
                answers = await told_after(kill)
                result = audit(broker, answers)
                assert result.violations == (), f"killed {moment} commit {number}"
                assert result.asked >= 3
            if status == 0:
                break
            kills += 1
    assert kills >= 3


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
async def test_killed_at_every_commit_of_a_day_close(tmp_path: Path, moment: str) -> None:
    """Before or after the N-th commit: the books of the day are closed once, and every answer is as it was."""
    kills = 0
    async with mother() as process, broker_of(*FAULTS) as broker:
        day = kill_of(broker, tmp_path / "day")
        assert await end_of(process, day) == 0
        assert isinstance(broker.ambient, Hands)
        yesterday = broker.ambient.now().date()
        broker.ambient.next_day()
        for number in range(FIRST[moment], MOST, max(1, STRIDE // 2)):
            folder = Path(shutil.copytree(tmp_path / "day", tmp_path / str(number)))
            kill = kill_of(broker, folder, commit=number, moment=moment, closes_day=True)
            status = await end_of(process, kill)
            assert status in {0, KILLED}
            answers = read_told(kill)
            async with client_of(kill, feed=False) as client:
                await close_yesterday(client)
                close = await client._journal.day_close(Desk.STOCK, yesterday)
                assert close is not None
                assert (close.own, close.foreign, close.residue, close.unresolved) == (5, 0, (), ())
                await trade(client, answers.append)
            assert audit(broker, answers).violations == (), f"killed {moment} commit {number}"
            if status == 0:
                break
            kills += 1
    assert kills >= 3
