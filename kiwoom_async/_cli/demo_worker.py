"""The trading process of the demonstration: the one that is killed.

Started anew it does the same again under the same client order ids, as a bot would that has a plan and no memory. It
ends by itself when everything has an answer, or with the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import anyio
import cattrs
from attrs import define, evolve, field, frozen

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import FINAL, Answer, Ask, Verdict
from kiwoom_async._cli.demo_answers import AnswerReader, AnswerWriter, Phase
from kiwoom_async._cli.demo_plan import make_plan
from kiwoom_async._cli.demo_traders import CarefulTrader, NaiveTrader, Trader
from kiwoom_async._client import KiwoomClient
from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.settings import Credentials, Environment, Limits, Timing
from kiwoom_async._proof.steps import Chain, Step
from kiwoom_async.errors import KiwoomError

TIMING: Final = Timing(
    connect_timeout=1.0,
    response_timeout=1.5,
    acceptance_bound=1.0,
    visibility_bound=1.0,
    clock_skew=1.0,
    reconcile_interval=0.2,
    watch_interval=2.0,
    drain_timeout=1.0,
    default_deadline=20.0,
)
"""Bounds that suit the simulator: its orders are accepted and listed at most 0.4 s late, each."""

CHAINS_AT_ONCE: Final = 4
"""Per strategy."""

SETTLE_WITHIN: Final = 90.0
"""Seconds for the last unknowns of a quiet account, after which the demonstration gives up and says so."""

_OPENINGS: Final = 30
_SENDS_OF_THE_UNSENT: Final = 8
_PAUSE: Final = 0.3
_SETTLERS: Final = 32
_ORPHANED: Final = 3


@frozen
class Assignment:
    """What the process is told.

    Attributes:
        offset: Seconds by which its clock is ahead.
    """

    is_naive: bool
    rest_url: str
    websocket_url: str | None
    folder: str
    seed: int
    orders: int
    strategies: int
    offset: float

    @property
    def answers(self) -> Path:
        """Where the answers are recorded."""
        return Path(self.folder) / "answers.jsonl"

    @property
    def journal(self) -> Path:
        """Where our client keeps its journal."""
        return Path(self.folder) / "orders.db"

    @property
    def ambient(self) -> SystemAmbient:
        """The clock."""
        return SystemAmbient(timedelta(seconds=self.offset))

    def to_text(self) -> str:
        """Write it as one argument."""
        return json.dumps(cattrs.unstructure(self))


@define(eq=False)
class Desk:
    """Where the strategies of one process meet: one client, one record of answers.

    Attributes:
        asked: Every step asked for, by this process or one before it, with the order that it is about.
        answers: Client order id to the last answer that was one.
    """

    trader: Trader
    record: AnswerWriter
    asked: dict[str, tuple[Step, Step | None]] = field(factory=dict)
    answers: dict[str, Answer] = field(factory=dict)
    clock: Ambient = field(factory=SystemAmbient)

    async def ask(self, step: Step, target: Step | None, *, hurried: bool) -> Answer:
        """Ask once and record both the question and the answer."""
        if step.client_order_id not in self.asked:
            self.asked[step.client_order_id] = step, target
            await self.record.write(step.question(None if target is None else target.client_order_id))
        asked_at = self.clock.monotonic()
        answer = evolve(
            await self.trader.place(step, target, hurried=hurried),
            asked_at=asked_at,
            told_at=self.clock.monotonic(),
        )
        await self.record.write(answer)
        if answer.verdict not in {Verdict.UNKNOWN, Verdict.ERROR}:
            self.answers[step.client_order_id] = answer
        return answer

    async def insist(self, step: Step, target: Step | None, answer: Answer | None = None) -> Answer:
        """Ask until there is an answer; "not sent" is one only when it is said again and again."""
        unsent = 0
        while answer is None or (answer.verdict not in FINAL and unsent < _SENDS_OF_THE_UNSENT):
            if answer is not None:
                await anyio.sleep(_PAUSE)
            answer = await self.ask(step, target, hurried=False)
            unsent += answer.verdict in {Verdict.NOT_SENT, Verdict.ERROR}
        return answer


async def trade(desk: Desk, chains: tuple[Chain, ...]) -> None:
    """Run one strategy: a few of its chains at a time."""
    turns = asyncio.Semaphore(CHAINS_AT_ONCE)

    async def run(chain: Chain) -> None:
        async with turns:
            await _follow(desk, chain)

    async with asyncio.TaskGroup() as group:
        for chain in chains:
            group.create_task(run(chain))


async def _follow(desk: Desk, chain: Chain) -> None:
    target: Step | None = None
    for step, following in zip(chain, (*chain[1:], None), strict=True):
        await anyio.sleep(step.pause)
        answer = await desk.ask(step, target, hurried=True)
        if following is None:
            return  # what is still unknown is asked for at the end
        is_open = answer.verdict is Verdict.UNKNOWN and await desk.trader.is_recorded(step)
        if not (following.is_blind and is_open):
            answer = await desk.insist(step, target, answer)
        if answer.verdict not in {Verdict.ACCEPTED, Verdict.UNKNOWN}:
            return
        target = step


async def settle(desk: Desk) -> bool:
    """Ask for everything until it has an answer and the client itself has no question left; tell whether it has."""
    turns = asyncio.Semaphore(_SETTLERS)

    async def run(step: Step, target: Step | None) -> None:
        async with turns:
            await desk.insist(step, target, desk.answers.get(step.client_order_id))

    try:
        async with asyncio.timeout(SETTLE_WITHIN):
            async with asyncio.TaskGroup() as group:
                for step, target in desk.asked.values():
                    group.create_task(run(step, target))
            while await desk.trader.count_unresolved():  # noqa: ASYNC110 - a journal has no event
                await anyio.sleep(_PAUSE)
    except TimeoutError:
        return False
    return True


async def ask_again(desk: Desk) -> None:
    """Ask for everything once more: the same id must give the same answer."""
    turns = asyncio.Semaphore(_SETTLERS)

    async def run(step: Step, target: Step | None) -> None:
        async with turns:
            await desk.ask(step, target, hurried=False)

    async with asyncio.TaskGroup() as group:
        for step, target in desk.asked.values():
            group.create_task(run(step, target))


@asynccontextmanager
async def open_trader(assignment: Assignment) -> AsyncIterator[Trader]:
    """Open one of the two clients; the network may be down just now, so try for a while."""
    async with AsyncExitStack() as stack:
        if assignment.is_naive:
            reader = AnswerReader(assignment.answers)
            reader.read()
            known = {entry.client_order_id: entry for entry in reader.entries if isinstance(entry, Answer)}
            naive = NaiveTrader(assignment.rest_url, TIMING.response_timeout, known)
            yield await stack.enter_async_context(naive)
            return
        environment = Environment(
            rest_url=assignment.rest_url, websocket_url=assignment.websocket_url, limits=Limits.off()
        )
        ambient = assignment.ambient
        yield CarefulTrader(await open_client(stack, environment, assignment.journal, ambient), ambient)


async def open_client(
    stack: AsyncExitStack,
    environment: Environment,
    journal: Path,
    ambient: Ambient,
    shared_state: Path | None = None,
) -> KiwoomClient:
    """Open our client; the network may be down just now, so try for a while.

    Raises:
        KiwoomError: It could not be opened in all this time.
    """
    for left in range(_OPENINGS, -1, -1):
        client = KiwoomClient(
            Credentials("demo", "demo"),
            environment=environment,
            journal=journal,
            timing=TIMING,
            ambient=ambient,
            shared_state=shared_state,
        )
        try:
            return await stack.enter_async_context(client)
        except KiwoomError:
            if not left:
                raise
            await anyio.sleep(_PAUSE)
    raise AssertionError("the last opening has returned or raised")


async def work(assignment: Assignment) -> None:
    """Trade, settle, ask again."""
    plan = make_plan(assignment.seed, assignment.orders, assignment.strategies)
    async with AnswerWriter(assignment.answers) as record, open_trader(assignment) as trader:
        desk = Desk(trader, record, _asked_before(assignment, plan))
        await record.write(Phase("trading", str(os.getpid())))
        async with asyncio.TaskGroup() as group:
            for chains in plan:
                group.create_task(trade(desk, chains))
        await record.write(Phase("settling"))
        is_settled = await settle(desk)
        await record.write(Phase("asking again" if is_settled else "giving up"))
        await ask_again(desk)
        await record.write(Phase("done"))


def _asked_before(assignment: Assignment, plan: tuple[tuple[Chain, ...], ...]) -> dict[str, tuple[Step, Step | None]]:
    """List what dead processes have asked for: it gets an answer, also where the strategy goes another way now."""
    reader = AnswerReader(assignment.answers)
    asked = {entry.client_order_id for entry in reader.read() if isinstance(entry, Ask)}
    return {
        step.client_order_id: (step, target)
        for chains in plan
        for chain in chains
        for step, target in zip(chain, (None, *chain), strict=False)
        if step.client_order_id in asked
    }


def _end_with_parent() -> None:
    """Wait for the end of standard input, which comes with the end of whoever holds the other side."""
    # Not by `sys.stdin`: its lock, held by this thread, would spoil an orderly end.
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(_ORPHANED)


def main() -> None:
    """Run the process; its one argument is the assignment."""
    # Ctrl-C reaches the whole terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("kiwoom_async").setLevel(logging.CRITICAL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(work(cattrs.structure(json.loads(sys.argv[1]), Assignment)))


if __name__ == "__main__":
    main()
