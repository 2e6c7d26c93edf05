"""From the call to the first byte at the server, beside one fdatasync of a 4 KiB append on the same file system.

The durable record comes before the first byte, so one flush to the disk is the least this time can be.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

from attrs import frozen

from benchmarks.contestants import Contestant, bare_aiohttp, fetch_arrivals, ours
from benchmarks.statistics import Spread, ratio

_BLOCK = bytes(4096)
_flush = getattr(os, "fdatasync", os.fsync)


@frozen
class FirstByte:
    """Milliseconds, and their ratios.

    Attributes:
        ours: From the call of `client.stock.buy` to the first byte at the server.
        bare: The same for bare aiohttp, which makes nothing durable.
        flush: One fdatasync of a 4 KiB append.
        in_flushes: How many flushes long the call to the first byte is.
        added_in_flushes: The same for what this library adds to bare aiohttp.
    """

    ours: Spread
    bare: Spread
    flush: Spread
    in_flushes: Spread
    added_in_flushes: Spread


async def measure_first_byte(url: str, folder: Path, *, rounds: int, samples: int) -> FirstByte:
    """Send one order at a time, each followed by a bare one and a flush; both processes read CLOCK_MONOTONIC."""
    own: list[float] = []
    bare: list[float] = []
    flushes: list[float] = []
    descriptor = os.open(folder / "appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        async with ours(url, folder) as first, bare_aiohttp(url) as second:
            await _alternate(url, descriptor, (first, second), 16)
            for _ in range(rounds):
                delays, others, appended = await _alternate(url, descriptor, (first, second), samples)
                own.append(median(delays))
                bare.append(median(others))
                flushes.append(median(appended))
    finally:
        os.close(descriptor)
    return FirstByte(
        ours=Spread.of(own),
        bare=Spread.of(bare),
        flush=Spread.of(flushes),
        in_flushes=ratio(own, flushes),
        added_in_flushes=ratio([one - other for one, other in zip(own, bare, strict=True)], flushes),
    )


async def _alternate(
    url: str, descriptor: int, pair: tuple[Contestant, Contestant], samples: int
) -> tuple[list[float], list[float], list[float]]:
    called: list[int] = []
    flushes: list[float] = []
    await fetch_arrivals(url)
    for _ in range(samples):
        for contestant in pair:
            called.append(time.monotonic_ns())
            await contestant.send()
        os.write(descriptor, _BLOCK)
        began = time.monotonic_ns()
        _flush(descriptor)
        flushes.append((time.monotonic_ns() - began) / 1e6)
    arrived = await fetch_arrivals(url)
    delays = [(there - here) / 1e6 for here, there in zip(called, arrived, strict=True)]
    return delays[::2], delays[1::2], flushes
