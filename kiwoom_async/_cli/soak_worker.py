"""A trading process of the soak: it lives for many days, or until it is killed, and does what it is told.

Commands come on standard input, one JSON object a line, and each is answered by one on standard output. It ends with
the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import signal
import struct
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

import anyio
import cattrs
from attrs import define, evolve, field, frozen

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import FINAL, Answer, Ask
from kiwoom_async._cli.demo_answers import AnswerReader, AnswerWriter
from kiwoom_async._cli.demo_plan import make_plan
from kiwoom_async._cli.demo_traders import CarefulTrader
from kiwoom_async._cli.demo_worker import Desk, ask_again, open_client, settle, trade
from kiwoom_async._cli.soak_vitals import take_vitals, take_yardstick
from kiwoom_async._client import KiwoomClient
from kiwoom_async._domain import vocabulary
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.settings import Environment, Limits
from kiwoom_async._proof.evidence import fill_heard
from kiwoom_async._proof.steps import Chain, Step

PROBES: Final = 25
"""Orders a day whose time is measured, one after the other. Source: our choice."""

PROBED: Final = "000270"
"""The symbol of those orders, in which nobody else trades."""

PROBED_AT: Final = 70_000
"""Where it trades; the orders stand below."""

_PROBE_PRICE: Final = 60_000
_ORPHANED: Final = 3
_OFFSET: Final = struct.Struct("<d")
_LOOK: Final = 0.05


class DayClock:
    """The clocks of this machine, with a wall clock that one process moves for all at the same moment.

    Args:
        path: The file that says by how much; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._system = SystemAmbient()
        with path.open("a+b") as file:
            if file.tell() < _OFFSET.size:
                file.write(_OFFSET.pack(0.0))
                file.flush()
            self._offset = mmap.mmap(file.fileno(), _OFFSET.size)

    @property
    def boot_id(self) -> str:
        """Name this run of the operating system."""
        return self._system.boot_id

    @property
    def offset(self) -> timedelta:
        """Give by how much the wall clock is ahead."""
        return timedelta(seconds=_OFFSET.unpack_from(self._offset)[0])

    def move(self, by: timedelta) -> None:
        """Move the wall clock, for every process."""
        _OFFSET.pack_into(self._offset, 0, (self.offset + by).total_seconds())

    def now(self) -> datetime:
        """Read the wall clock."""
        return self._system.now() + self.offset

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self._system.monotonic()

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes."""
        return self._system.random_bytes(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing."""


@frozen
class Post:
    """Where a process stands.

    Attributes:
        index: Which of all processes it is; 0 is never killed, and listens.
    """

    rest_url: str
    websocket_url: str | None
    folder: str
    index: int
    processes: int

    @property
    def journal(self) -> Path:
        """The journal that all share."""
        return Path(self.folder) / "orders.db"

    @property
    def clock(self) -> Path:
        """The clock that all share."""
        return Path(self.folder) / "clock"

    @property
    def fills(self) -> Path:
        """Where the listener writes down what was filled."""
        return Path(self.folder) / "fills.jsonl"

    def to_text(self) -> str:
        """Write it as one argument."""
        return json.dumps(cattrs.unstructure(self))


@frozen
class Round:
    """One trading day.

    Attributes:
        number: Counts from 1.
        seed: The orders of the day come from it.
    """

    number: int
    seed: int
    orders: int
    strategies: int

    @property
    def prefix(self) -> str:
        """Give what the ids of the day begin with."""
        return f"r{self.number:05d}-"

    def answers(self, folder: Path, index: int) -> Path:
        """Say where a process writes down what it asked and was told."""
        return folder / f"{self.prefix}{index}.jsonl"

    def plan(self) -> tuple[tuple[Chain, ...], ...]:
        """Draw what every strategy wants on this day."""
        plan = make_plan(self.seed, self.orders, self.strategies)
        return tuple(tuple(tuple(map(self._own, chain)) for chain in chains) for chains in plan)

    def _own(self, step: Step) -> Step:
        return evolve(step, client_order_id=f"{self.prefix}{step.client_order_id}")

    def probes(self) -> tuple[Step, ...]:
        """List the orders whose time is measured: far from the market, each unlike the others."""
        return tuple(
            Step(
                f"{self.prefix}probe-{number:02d}",
                vocabulary.Desk.STOCK,
                vocabulary.Action.NEW,
                PROBED,
                vocabulary.Side.BUY,
                100 + number,
                _PROBE_PRICE,
                vocabulary.OrderType.LIMIT,
                vocabulary.Route.KRX,
            )
            for number in range(PROBES)
        )

    def steps(self) -> dict[str, tuple[Step, Step | None]]:
        """Find a step, and what it is about, by its id."""
        chains = [chain for chains in self.plan() for chain in chains] + [(probe,) for probe in self.probes()]
        return {
            step.client_order_id: (step, target)
            for chain in chains
            for step, target in zip(chain, (None, *chain), strict=False)
        }


@define(eq=False)
class Worker:
    """One process, with its client open.

    Attributes:
        alarms: What the client has reported as an error since the last time somebody asked.
        heard: Sequence of the last event of the journal that was listened to.
    """

    post: Post
    clock: DayClock
    client: KiwoomClient
    alarms: list[str]
    heard: int = 0
    _round: Round | None = None
    _desk: Desk | None = None
    _files: AsyncExitStack = field(factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._files.aclose()

    async def do(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a command says; give the answer to it."""
        return await _COMMANDS[command["do"]](self, command)

    async def begin(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a day, or go on with it after a death."""
        today = self._round = cattrs.structure(command["round"], Round)
        await self._files.aclose()
        folder = Path(self.post.folder)
        record = await self._files.enter_async_context(AnswerWriter(today.answers(folder, self.post.index)))
        self._desk = Desk(
            CarefulTrader(self.client, self.clock), record, self._asked(self.post.index), clock=self.clock
        )
        return {}

    def _asked(self, *indices: int) -> dict[str, tuple[Step, Step | None]]:
        """List what was asked for today by some processes, of which some may be dead."""
        assert self._round is not None, "the day has begun"  # noqa: S101
        steps = self._round.steps()
        return {
            entry.client_order_id: steps[entry.client_order_id]
            for index in indices
            for entry in AnswerReader(self._round.answers(Path(self.post.folder), index)).read()
            if isinstance(entry, Ask)
        }

    @property
    def desk(self) -> Desk:
        """Give the desk of the day."""
        assert self._desk is not None, "the day has begun"  # noqa: S101
        return self._desk

    async def probe(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Measure what an order takes on a healthy network."""
        assert self._round is not None, "the day has begun"  # noqa: S101
        latencies, yardsticks, used = [], [], 0.0
        for step in self._round.probes():
            began = self.clock.monotonic()
            await asyncio.to_thread(take_yardstick, Path(self.post.folder))
            yardsticks.append(self.clock.monotonic() - began)
            before = os.times()
            answer = await self.desk.ask(step, None, hurried=False)
            after = os.times()
            latencies.append(answer.seconds)
            used += after.user + after.system - before.user - before.system
        return {"latencies": latencies, "yardstick": median(yardsticks), "processor": used / PROBES}

    async def trade(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Run this process's share of the strategies."""
        assert self._round is not None, "the day has begun"  # noqa: S101
        async with asyncio.TaskGroup() as group:
            for chains in self._round.plan()[self.post.index :: self.post.processes]:
                group.create_task(trade(self.desk, chains))
        return {}

    async def settle(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Ask until everything has an answer."""
        return {"is_settled": await settle(self.desk)}

    async def close(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Close the books of the day that is over; the client would do it by itself a little later."""
        await self.client.reconcile()
        return {}

    async def again(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for everything that any process has asked for today: the same id must give the same answer.

        What was not sent is left out: asked for again, it would be an order of the next day.
        """
        asked = self._asked(*range(self.post.processes))
        assert self._round is not None, "the day has begun"  # noqa: S101
        answered: set[str] = set()
        unsent: set[str] = set()
        for index in range(self.post.processes):
            for entry in AnswerReader(self._round.answers(Path(self.post.folder), index)).read():
                if isinstance(entry, Answer):
                    (answered if entry.verdict in FINAL else unsent).add(entry.client_order_id)
        for client_order_id in unsent - answered:
            asked.pop(client_order_id, None)
        await ask_again(Desk(CarefulTrader(self.client, self.clock), self.desk.record, asked, clock=self.clock))
        return {}

    async def catch_up(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until every event up to one was heard."""
        while self.heard < command["event"]:  # noqa: ASYNC110 - it is told from here, not to here
            await anyio.sleep(_LOOK)
        return {}

    async def vitals(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Measure this process."""
        texts = list(self.alarms)
        self.alarms.clear()
        return {"vitals": cattrs.unstructure(take_vitals()), "alarms": texts}

    async def listen(self) -> None:
        """Write down every fill of every process, from the first on."""
        async with AnswerWriter(self.post.fills) as record:
            async for event in self.client.orders.events(since=0):
                if (fill := fill_heard(event)) is not None:
                    await record.write(fill)
                elif event.kind is OrderEventKind.ALARM:
                    self.alarms.append(f"{event.client_order_id}: {event.text}")
                self.heard = event.sequence


_COMMANDS: Final[dict[str, Callable[[Worker, Mapping[str, Any]], Awaitable[dict[str, Any]]]]] = {
    "begin": Worker.begin,
    "probe": Worker.probe,
    "trade": Worker.trade,
    "settle": Worker.settle,
    "close": Worker.close,
    "again": Worker.again,
    "catch up": Worker.catch_up,
    "vitals": Worker.vitals,
}


async def work(post: Post) -> None:
    """Open the client, and do what is told until there is nobody who tells."""
    commands: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    reader = threading.Thread(
        target=_read_commands, args=(lambda one: loop.call_soon_threadsafe(commands.put_nowait, one),), daemon=True
    )
    reader.start()
    clock = DayClock(post.clock)
    alarms: list[str] = []
    logging.getLogger("kiwoom_async").addFilter(lambda record: _note(record, alarms))
    environment = Environment(rest_url=post.rest_url, websocket_url=post.websocket_url, limits=Limits.off())
    async with AsyncExitStack() as stack:
        shared = Path(post.folder) / "shared.db"
        client = await open_client(stack, environment, post.journal, clock, shared)
        worker = await stack.enter_async_context(Worker(post, clock, client, alarms))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        if post.index == 0:
            group.create_task(worker.listen())
        _reply({"ready": os.getpid()})
        while True:
            _reply(await worker.do(await commands.get()))


def _note(record: logging.LogRecord, alarms: list[str]) -> bool:
    """Keep what is an error; nothing of it is printed."""
    if record.levelno >= logging.ERROR:
        alarms.append(record.getMessage())
    return False


def _reply(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


def _read_commands(tell: Callable[[Mapping[str, Any]], object]) -> None:
    """Read standard input to its end, which comes with the end of whoever holds the other side."""
    # Not by `sys.stdin`: its lock, held by this thread, would spoil an orderly end.
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            tell(json.loads(line))
    os._exit(_ORPHANED)


def main() -> None:
    """Run the process; its one argument is its post."""
    # Ctrl-C reaches the whole terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(work(cattrs.structure(json.loads(sys.argv[1]), Post)))


if __name__ == "__main__":
    main()
