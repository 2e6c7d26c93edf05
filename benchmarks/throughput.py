"""Orders per second and processor time per order, beside bare HTTP clients against the same server."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import frozen

from benchmarks.contestants import OURS, Contestant, bare_aiohttp, bare_httpx, ours
from benchmarks.statistics import Spread, percentile, ratio

_WARM_UP = 64


@frozen
class _Round:
    """What one contestant did in one round."""

    orders_per_second: float
    cpu_milliseconds: float
    median_milliseconds: float
    p99_milliseconds: float


@frozen
class Line:
    """One contestant at one number in flight.

    Attributes:
        cpu_milliseconds: Processor time of the client process per order, user and system, all its threads.
        rate_ratio: Orders per second of this library by those of this contestant: above 1, ours is faster.
        cpu_ratio: Processor time of this library by that of this contestant: above 1, ours costs more.
    """

    contestant: str
    in_flight: int
    orders_per_second: Spread
    cpu_milliseconds: Spread
    median_milliseconds: Spread
    p99_milliseconds: Spread
    rate_ratio: Spread
    cpu_ratio: Spread


async def measure_throughput(url: str, folder: Path, *, rounds: int, counts: dict[int, int]) -> list[Line]:
    """Let the contestants send by turns.

    Args:
        url: The order server.
        folder: Where the journal goes.
        rounds: How often each has its turn.
        counts: In flight, to the orders of one turn.
    """
    lines = []
    async with AsyncExitStack() as stack:
        contestants = [
            await stack.enter_async_context(ours(url, folder)),
            await stack.enter_async_context(bare_aiohttp(url)),
            await stack.enter_async_context(bare_httpx(url)),
        ]
        for in_flight, orders in counts.items():
            found: dict[str, list[_Round]] = {contestant.name: [] for contestant in contestants}
            for contestant in contestants:
                await _take_turn(contestant, min(orders, _WARM_UP), in_flight)
            for number in range(rounds):
                first = number % len(contestants)
                for contestant in contestants[first:] + contestants[:first]:
                    found[contestant.name].append(await _take_turn(contestant, orders, in_flight))
            lines += [_line(name, in_flight, taken, found[OURS]) for name, taken in found.items()]
    return lines


async def _take_turn(contestant: Contestant, orders: int, in_flight: int) -> _Round:
    numbers = iter(range(orders))
    seconds: list[float] = []

    async def send_some() -> None:
        for _ in numbers:
            began = time.perf_counter()
            number = await contestant.send()
            seconds.append(time.perf_counter() - began)
            if not number:
                raise RuntimeError(f"{contestant.name} sent an order and got no number for it")

    gc.collect()
    cpu, began = _cpu_seconds(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(send_some())
    elapsed, used = time.perf_counter() - began, _cpu_seconds() - cpu
    return _Round(
        orders_per_second=orders / elapsed,
        cpu_milliseconds=1000 * used / orders,
        median_milliseconds=1000 * percentile(seconds, 0.5),
        p99_milliseconds=1000 * percentile(seconds, 0.99),
    )


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _line(name: str, in_flight: int, taken: Sequence[_Round], own: Sequence[_Round]) -> Line:
    return Line(
        contestant=name,
        in_flight=in_flight,
        orders_per_second=Spread.of(turn.orders_per_second for turn in taken),
        cpu_milliseconds=Spread.of(turn.cpu_milliseconds for turn in taken),
        median_milliseconds=Spread.of(turn.median_milliseconds for turn in taken),
        p99_milliseconds=Spread.of(turn.p99_milliseconds for turn in taken),
        rate_ratio=ratio([turn.orders_per_second for turn in own], [turn.orders_per_second for turn in taken]),
        cpu_ratio=ratio([turn.cpu_milliseconds for turn in own], [turn.cpu_milliseconds for turn in taken]),
    )
