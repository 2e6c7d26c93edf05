"""A process that plays days for a campaign: a line with a range comes in, a line with a tally of each day goes out."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import cattrs

from kiwoom_async._proof.campaign import Tally, folder, ground, run_days

BATCH: Final = 10
"""Days handed to a worker at once. Source: our choice, about a second of work."""

_LOOK_FOR_RINGS_AFTER: Final = 50_000
"""Objects made and not freed. Source: measured; Python's own 700 cost 8 % of a day."""

COMMAND: Final = (sys.executable, "-m", "kiwoom_async._proof.worker")
"""What starts a worker."""

_LONGEST_LINE: Final = 1 << 24
_CONVERTER: Final = cattrs.Converter()


class WorkerDied(Exception):
    """A worker ended in the middle of its days; the text is what it said last."""


async def run_campaign(
    seed: int,
    total: Tally,
    *,
    workers: int,
    is_enough: Callable[[Tally], bool],
    most_days: int | None,
    tell: Callable[[Tally], None],
) -> None:
    """Carry out days with several processes until it is enough.

    Args:
        seed: Of the campaign.
        total: Every day is added to it as soon as it is over.
        workers: How many processes.
        is_enough: Asked of the tally after every batch.
        most_days: No more days than this; None: as many as it takes.
        tell: Told the tally after every day.

    Raises:
        WorkerDied: A process failed by itself.

    Cancellation: kills the workers; `total` has the days that were over.
    """
    handed_out = 0

    async def work() -> None:
        nonlocal handed_out
        async with _process(place) as process:
            while not is_enough(total) and (most_days is None or handed_out < most_days):
                first, last = handed_out, handed_out + BATCH
                last = last if most_days is None else min(last, most_days)
                handed_out = last
                async for tally in _hand_out(process, seed, range(first, last)):
                    total.add(tally)
                    tell(total)

    try:
        # Here and not there: who is killed clears nothing away.
        with folder() as place:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work())
    except* WorkerDied as deaths:
        raise deaths.exceptions[0] from None


async def _hand_out(process: asyncio.subprocess.Process, seed: int, numbers: range) -> AsyncIterator[Tally]:
    assert process.stdin is not None, "it is a pipe"  # noqa: S101
    assert process.stdout is not None, "it is a pipe"  # noqa: S101
    assert process.stderr is not None, "it is a pipe"  # noqa: S101
    with suppress(ConnectionError):
        process.stdin.write(f"{seed} {numbers.start} {numbers.stop}\n".encode())
        await process.stdin.drain()
    for _ in numbers:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            said = (await process.stderr.read()).decode(errors="replace").strip()
            raise WorkerDied(said.rpartition("\n")[2] or "it ended silently")
        yield _CONVERTER.structure(json.loads(line), Tally)


@asynccontextmanager
async def _process(place: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        env={**os.environ, "TMPDIR": place},
        # Ctrl-C in a terminal is meant for whoever prints the report; that one ends the workers.
        start_new_session=True,
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
            for number in range(first, last):
                before = os.times()
                tally = run_days(seed, [number], place)
                after = os.times()
                tally.processor = after.user + after.system - before.user - before.system
                sys.stdout.write(json.dumps(_CONVERTER.unstructure(tally)) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
