"""Measure the client in one run: orders/s, CPU per order, call to first byte, flushes, requests per unknown order."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import aiohttp
import apsw
import httpx
from attrs import asdict, frozen

from benchmarks.commits import Commits, measure_commits
from benchmarks.first_byte import FirstByte, measure_first_byte
from benchmarks.order_server import order_server
from benchmarks.report import print_results
from benchmarks.resolution import Resolution, growing, measure_resolution
from benchmarks.throughput import Line, measure_throughput

_EPILOG: Final = (
    "benchmarks/README.md explains each part. Exit code 1: a fuller book cost more requests per unknown order."
)


@frozen
class Results:
    """Everything one run measured."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    throughput: list[Line]
    first_byte: FirstByte
    commits: list[Commits]
    resolution: list[Resolution]
    growing: list[str]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=_EPILOG)
    parser.add_argument("--quick", action="store_true", help="fewer orders, a run of well under a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the tables")
    parser.add_argument("--rounds", type=int, help="turns of each contestant (default: 7, quick: 3)")
    parser.add_argument("--orders", type=int, help="orders of one turn with 32 in flight; half of it with 1 in flight")
    parser.add_argument("--samples", type=int, help="calls to the first byte per round")
    parser.add_argument("--repeats", type=int, help="lost orders per size of the book")
    parser.add_argument(
        "--busy-day", type=int, default=5_000, help="orders on the book of the busy day (default: 5000)"
    )
    parser.add_argument("--folder", type=Path, help="where the journals go; default: a temporary folder")
    options = parser.parse_args(arguments)
    for name, whole, quick in (("rounds", 7, 3), ("orders", 1_000, 200), ("samples", 60, 20), ("repeats", 3, 1)):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else whole)
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


def _describe_machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "sqlite": apsw.sqlite_lib_version(),
        "aiohttp": aiohttp.__version__,
        "httpx": httpx.__version__,
    }


async def _measure(options: argparse.Namespace, folder: Path) -> Results:
    machine = _describe_machine()
    places = {name: folder / name for name in ("throughput", "first_byte", "commits", "resolution")}
    for place in places.values():
        place.mkdir()
    counts = {1: max(1, options.orders // 2), 32: options.orders}
    async with order_server() as url:
        throughput = await measure_throughput(url, places["throughput"], rounds=options.rounds, counts=counts)
        first_byte = await measure_first_byte(url, places["first_byte"], rounds=options.rounds, samples=options.samples)
        commits = await measure_commits(url, places["commits"], counts=counts)
    resolution = await measure_resolution(places["resolution"], sizes=(10, options.busy_day), repeats=options.repeats)
    settings = {name: getattr(options, name) for name in ("rounds", "orders", "samples", "repeats", "busy_day")}
    return Results(machine, settings, throughput, first_byte, commits, resolution, growing(resolution))


def main(arguments: list[str]) -> int:
    """Run everything; give the exit code: 1 if a fuller book costs more requests."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="kiwoom-benchmarks-", dir=options.folder) as folder:
        results = asyncio.run(_measure(options, Path(folder)))
    if options.json:
        print(json.dumps(asdict(results), indent=2))
    else:
        print_results(asdict(results))
    return 1 if results.growing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
