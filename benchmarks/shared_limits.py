"""Three processes on one app key for a minute: one token, no refusal by the rate limit, cancels first.

    python -m benchmarks.shared_limits              # a minute of load
    python -m benchmarks.shared_limits --seconds 5

Each process keeps orders and queries waiting all the time and cancels one of its orders every second. The broker is the
simulator of this package with its limits on: it refuses what comes too fast. Exit code 1: it had to, or there was more
than one token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from benchmarks.statistics import percentile
from kiwoom_async import Credentials, Environment, KiwoomClient, Limits, Order, Timing
from kiwoom_async.simulator import Simulator

_WAITING: Final = 8
"""Orders that each process keeps waiting, and queries as well."""

_ORDER_TRS: Final = frozenset({"kt10000", "kt10003"})


@frozen
class Task:
    """What one process is told."""

    url: str
    folder: str
    number: int
    seconds: float
    limits: tuple[float | None, float | None, float | None]


@frozen
class Result:
    """What a run has shown.

    Attributes:
        tokens: Requests for a token, of all processes.
        refused: Answers that there were too many requests.
        most_in_a_second: Orders and queries in the fullest second, as the broker counts.
        orders_per_second, queries_per_second: What was let through.
        buy_seconds, cancel_seconds: From the call to the answer, median and longest.
    """

    processes: int
    seconds: float
    tokens: int
    refused: int
    most_in_a_second: dict[str, int]
    orders_per_second: float
    queries_per_second: float
    buy_seconds: tuple[float, float]
    cancel_seconds: tuple[float, float]

    @property
    def is_good(self) -> bool:
        """Whether the promise was kept."""
        return self.tokens == 1 and self.refused == 0


async def _load(task: Task) -> dict[str, list[float]]:
    """Be one of the processes."""
    taken: dict[str, list[float]] = {"buy": [], "cancel": []}
    accepted: asyncio.Queue[Order] = asyncio.Queue()
    numbers = count(1)
    until = time.monotonic() + task.seconds

    async def buy() -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            order = await client.stock.buy("005930", next(numbers), price=70_000)
            taken["buy"].append(time.monotonic() - began)
            accepted.put_nowait(order)

    async def ask(api_id: str) -> None:
        while time.monotonic() < until:
            await client.call(api_id, {})

    async def cancel() -> None:
        while time.monotonic() < until - 1:
            order = await accepted.get()
            began = time.monotonic()
            await client.stock.cancel(order)
            taken["cancel"].append(time.monotonic() - began)
            await asyncio.sleep(1)

    client = KiwoomClient(
        Credentials(app_key="shared-key", secret_key="shared-secret"),  # noqa: S106 - made up
        environment=Environment(rest_url=task.url, limits=Limits(*task.limits)),
        journal=Path(task.folder) / f"orders-{task.number}.db",
        timing=Timing(default_deadline=600),
        shared_state=Path(task.folder) / "shared.db",
    )
    async with client, asyncio.TaskGroup() as group:
        for _ in range(_WAITING):
            group.create_task(buy())
            group.create_task(ask("ka00001"))
        group.create_task(cancel())
    return taken


async def _run_process(task: Task) -> dict[str, list[float]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.shared_limits",
        "--task",
        json.dumps(asdict(task)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"process {task.number} ended with {process.returncode}; its errors stand above")
    taken: dict[str, list[float]] = json.loads(out)
    return taken


async def measure_shared_limits(folder: Path, *, seconds: float, processes: int, limits: Limits) -> Result:
    """Let processes with one key trade beside each other.

    Args:
        folder: Where their files go.
        seconds: How long.
        processes: How many.
        limits: Of the broker and of the clients.
    """
    rates = (limits.orders_per_second, limits.queries_per_second, limits.per_tr_per_second)
    arrived: dict[str, list[float]] = {"orders": [], "queries": []}
    async with Simulator(limits=limits) as broker:
        tasks = [Task(broker.url, str(folder), number, seconds, rates) for number in range(processes)]
        taken = await asyncio.gather(*(_run_process(task) for task in tasks))
        for request in broker.requests:
            kind = "orders" if request.api_id in _ORDER_TRS else "queries"
            if not request.api_id.startswith("au"):
                arrived[kind].append(request.at.timestamp())
        return Result(
            processes=processes,
            seconds=seconds,
            tokens=broker.count("au10001"),
            refused=sum(broker.rate_refusals.values()),
            most_in_a_second={kind: _fullest(moments) for kind, moments in arrived.items()},
            orders_per_second=_rate(arrived["orders"]),
            queries_per_second=_rate(arrived["queries"]),
            buy_seconds=_spread([took for one in taken for took in one["buy"]]),
            cancel_seconds=_spread([took for one in taken for took in one["cancel"]]),
        )


def _fullest(moments: Sequence[float]) -> int:
    most, first = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def _rate(moments: Sequence[float]) -> float:
    return len(moments) / (moments[-1] - moments[0]) if len(moments) > 1 else 0.0


def _spread(seconds: Sequence[float]) -> tuple[float, float]:
    return (percentile(list(seconds), 0.5), max(seconds)) if seconds else (0.0, 0.0)


def main(arguments: list[str]) -> int:
    """Run; give the exit code: 1 if the promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--processes", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--mock", action="store_true", help="one request per second and TR, as the mock environment")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.task is not None:
        print(json.dumps(asyncio.run(_load(_task_of(json.loads(options.task))))))
        return 0
    limits = Limits(per_tr_per_second=1.0) if options.mock else Limits()
    with tempfile.TemporaryDirectory(prefix="kiwoom-shared-limits-") as folder:
        result = asyncio.run(
            measure_shared_limits(Path(folder), seconds=options.seconds, processes=options.processes, limits=limits)
        )
    print(json.dumps(asdict(result), indent=2))
    print("kept: one token, no refusal" if result.is_good else "BROKEN: more than one token, or a refusal")
    return 0 if result.is_good else 1


def _task_of(fields: dict[str, Any]) -> Task:
    return Task(**fields)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
