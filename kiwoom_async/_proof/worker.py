"""A process that carries out days for a campaign: a line with a range comes in, a line with a tally goes out."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import cattrs

from kiwoom_async._proof.campaign import Tally, ground, run_days

BATCH: Final = 10
"""Days handed to a worker at once. Source: our choice, about a second of work."""

_LOOK_FOR_RINGS_AFTER: Final = 50_000
"""Objects made and not freed. Source: measured; Python's own 700 cost 8 % of a day."""

_LONGEST_LINE: Final = 1 << 24
_CONVERTER: Final = cattrs.Converter()


class WorkerDied(Exception):
    """A worker ended in the middle of its days; the text is what it said last."""


async def run_campaign(
    seed: int, *, workers: int, is_enough: Callable[[Tally], bool], most_days: int | None, tell: Callable[[Tally], None]
) -> Tally:
    """Carry out days with several processes until it is enough.

    Args:
        seed: Of the campaign.
        workers: How many processes.
        is_enough: Asked of the tally after every batch.
        most_days: No more days than this; None: as many as it takes.
        tell: Told the tally after every batch.

    Raises:
        WorkerDied: A process failed by itself.
    """
    total = Tally()
    handed_out = 0

    async def work() -> None:
        nonlocal handed_out
        async with _process() as process:
            while not is_enough(total) and (most_days is None or handed_out < most_days):
                first, last = handed_out, handed_out + BATCH
                last = last if most_days is None else min(last, most_days)
                handed_out = last
                total.add(await _hand_out(process, f"{seed} {first} {last}\n"))
                tell(total)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except* WorkerDied as deaths:
        raise deaths.exceptions[0] from None
    return total


async def _hand_out(process: asyncio.subprocess.Process, order: str) -> Tally:
    assert process.stdin is not None, "it is a pipe"  # noqa: S101
    assert process.stdout is not None, "it is a pipe"  # noqa: S101
    assert process.stderr is not None, "it is a pipe"  # noqa: S101
    with suppress(ConnectionError):
        process.stdin.write(order.encode())
        await process.stdin.drain()
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        said = (await process.stderr.read()).decode(errors="replace").strip()
        raise WorkerDied(said.rpartition("\n")[2] or "it ended silently")
    return _CONVERTER.structure(json.loads(line), Tally)


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kiwoom_async._proof.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        # Also closes the pipes; waiting alone would leave them to the garbage collector.
        await asyncio.shield(process.communicate())


def main() -> None:
    """Carry out ranges of days until standard input ends."""
    # What was imported stays, and a day makes few rings; to look for them again and again would cost a tenth.
    gc.freeze()
    gc.set_threshold(_LOOK_FOR_RINGS_AFTER)
    with ground() as place:
        for line in sys.stdin:
            seed, first, last = map(int, line.split())
            tally = run_days(seed, range(first, last), place)
            sys.stdout.write(json.dumps(_CONVERTER.unstructure(tally)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
