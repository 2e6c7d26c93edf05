"""Python processes of the tests: started, listened to, and never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
KILLED: Final = -signal.SIGKILL

PATIENCE: Final = 90.0
"""Seconds to wait for anything a process does. Source: our choice; a slow machine needs seconds to start one."""


@asynccontextmanager
async def child(program: str, *arguments: str) -> AsyncIterator[Process]:
    """Start a program of this folder; it does not outlive the block. Warnings are errors in it, too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "tests" / "crash" / program),
        *arguments,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: Process, line: str) -> None:
    """Wait until a process has said something; what it says before is passed over."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = []
    async with asyncio.timeout(PATIENCE):
        while word := await process.stdout.readline():
            said.append(word.decode().strip())
            if said[-1] == line:
                return
    raise AssertionError(f"it said {said} and not {line!r}: {(await process.stderr.read()).decode()}")


async def go(process: Process) -> None:
    """Give a process the line of input that it waits for."""
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    await process.stdin.drain()


async def finished(process: Process) -> tuple[int, list[dict[str, Any]]]:
    """Wait for the end of a process, by itself or killed; give its status and the lines of JSON that it wrote."""
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode in {0, KILLED}, err.decode()
    lines = [line for line in out.decode().splitlines() if line.startswith("{")]
    return process.returncode, [json.loads(line) for line in lines]


def is_stopped(process: Process) -> bool:
    """Tell whether a process is stopped by a signal."""
    text = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
    return text.rpartition(")")[2].split()[0] == "T"
