"""The callers of a simulated process: they ask for orders in every manner, and write down what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import anyio
from attrs import define, evolve, field

from kiwoom_async._audit import FINAL, Answer, Ask, FillHeard, Verdict
from kiwoom_async._client import KiwoomClient
from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._journal.claims import place_of, read_high_water
from kiwoom_async._proof.asking import Caller
from kiwoom_async._proof.evidence import fill_heard
from kiwoom_async._proof.interventions import Hold, Swept, working_orders
from kiwoom_async._proof.lives import Sweep
from kiwoom_async._proof.processes import Process
from kiwoom_async._proof.steps import Chain, Step
from kiwoom_async.errors import JournalError, KiwoomError
from kiwoom_async.simulator import BookOrder, Channel, Simulator

PATIENCE: Final = 12.0
"""Seconds a patient caller waits. Source: our choice, several times what a proof of absence takes here."""

PUNCTUALITY: Final = 0.1
"""Seconds by which an answer may miss its deadline, in a world in which computing takes no time. Source: a modify or a
cancel that something speaks against is looked up in the journal before its deadline begins, which is one turn."""

_LOOKS: Final = 20
_LOOK: Final = 0.05
_LONG_AGO: Final = 3.0
_TRIES: Final = 3
_PAUSE: Final = 0.5


@define(eq=False)
class Hearing:
    """What one listener was told, which goes on where it stopped, in the next life too.

    Attributes:
        last: The sequence of the last event.
    """

    last: int = 0
    fills: list[FillHeard] = field(factory=list)


@define(eq=False)
class Record:
    """What was asked and told, by all processes; in the memory of the world, so that no death loses any of it.

    Attributes:
        wanted: Client order id to its step, and the id of the order it is about.
        asked: Client order id to the second in which it was asked for first.
        older: The order of another program that precedes ours.
        died: The processes that were killed: who asked there need not have been told anything.
        holds: When the kill switch was engaged.
        swept_from: The second in which a caller first had everything canceled; None: nobody has.
        swept: What such callers were told.
        heard: What the listeners of each machine were told, over all its lives.
    """

    asks: list[Ask] = field(factory=list)
    answers: list[Answer] = field(factory=list)
    wanted: dict[str, tuple[Step, str | None]] = field(factory=dict)
    asked: dict[str, float] = field(factory=dict)
    older: BookOrder | None = None
    heard: dict[str, Hearing] = field(factory=dict)
    died: frozenset[str] = frozenset()
    holds: list[Hold] = field(factory=list)
    swept_from: float | None = None
    swept: list[Swept] = field(factory=list)

    def ask(self, step: Step, target: str | None, process: str, now: float) -> str:
        """Write down that somebody asks; give the name of this one ask."""
        if step.client_order_id not in self.wanted:
            self.wanted[step.client_order_id] = step, target
            self.asked[step.client_order_id] = now
        call = f"{process}/{len(self.asks)}"
        self.asks.append(evolve(step.question(target), call=call, process=process, asked_at=now))
        return call

    def settled(self) -> Mapping[str, Answer]:
        """Give the answers after which no other one may follow."""
        return {answer.client_order_id: answer for answer in self.answers if answer.verdict in FINAL}


@define(eq=False)
class Strategies:
    """The strategies of one life.

    Attributes:
        is_over: The client is being closed: nothing new is asked for.
    """

    client: KiwoomClient
    process: Process
    record: Record
    broker: Simulator
    is_over: bool = False

    async def follow(self, chain: Chain) -> None:
        """Carry out a chain as far as its answers allow."""
        target: str | None = None
        for step, following in zip(chain, (*chain[1:], None), strict=True):
            await anyio.sleep(step.pause)
            if step.is_preceded and step.client_order_id not in self.record.wanted:
                await self._come_second(step)
            if self.is_over:
                return
            answer = await self.ask_together(step, target)
            if following is not None and not following.is_blind:
                answer = await self.insist(step, target, answer)
            if answer.verdict not in {Verdict.ACCEPTED, Verdict.UNKNOWN}:
                return
            target = step.client_order_id

    async def _come_second(self, step: Step) -> None:
        """Let another program place the same order, and wait until it is known to be older than ours will be.

        That is so when the journal knows a newer number, or when it was placed so long ago that no clock can be that
        wrong (A9, A11). Otherwise nobody could tell it from ours.
        """
        assert step.side is not None, "it is a new order"  # noqa: S101
        assert step.quantity is not None, "the plan names it"  # noqa: S101
        if self.record.older is None:
            self.record.older = self.broker.place_foreign(
                symbol=step.symbol,
                side=step.side,
                quantity=step.quantity,
                price=step.price,
                channel=Channel.REST_API,
                order_type=step.order_type,
                route=step.route or Route.KRX,
                desk=step.desk,
            )
        older = self.record.older
        place = place_of(self.client._account, step.desk, older.day)  # noqa: SLF001 - the world knows everything
        for _ in range(_LOOKS):
            await anyio.sleep(_LOOK)
            with suppress(JournalError):
                read = self.client._journal._read  # noqa: SLF001
                if await read(lambda connection: read_high_water(connection, place)) >= int(older.broker_order_id):
                    return
        await anyio.sleep(_LONG_AGO)

    async def ask_together(self, step: Step, target: str | None) -> Answer:
        """Ask from as many tasks as the step says; give the first one's answer."""
        asking = [
            asyncio.create_task(self.ask(step, target, hurried=number == 0), name=f"{step.client_order_id}/{number}")
            for number in range(step.callers)
        ]
        answers = await asyncio.gather(*asking)
        return answers[0]

    async def insist(self, step: Step, target: str | None, answer: Answer) -> Answer:
        """Ask again while there is no answer, a few times."""
        for _ in range(_TRIES):
            if answer.verdict in FINAL:
                break
            await anyio.sleep(_PAUSE)
            if self.is_over:
                break
            answer = await self.ask(step, target, hurried=False)
        return answer

    async def ask(self, step: Step, target: str | None, *, hurried: bool) -> Answer:
        """Ask once, and write down both the question and the answer."""
        world = self.process.world
        call = self.record.ask(step, target, self.process.name, world.now)
        frozen, manner = self.process.frozen, f", {step.manner.value} {step.hurry}" if hurried else ""
        world.note(self.process.name, "asks", f"{_spelled(step)}{manner}")
        caller = Caller(self.client, PATIENCE, self.process.world.loop.time, lambda: self.is_over)
        answer = await caller.ask(step, target, hurried=hurried)
        assert answer.deadline is not None, "every caller has one"  # noqa: S101
        # Who stands still is not kept waiting.
        answer = evolve(answer, call=call, deadline=answer.deadline + self.process.frozen - frozen)
        self.record.answers.append(answer)
        number = answer.broker_order_id or answer.detail
        world.note(self.process.name, "told", f"{step.client_order_id} {answer.verdict.value} {number}")
        return answer

    async def sweep(self, plan: Sweep) -> None:
        """Have everything canceled, and write down what that came to."""
        await anyio.sleep(plan.after)
        if self.is_over:
            return
        world = self.process.world
        began = world.now
        if self.record.swept_from is None:
            self.record.swept_from = began
        world.note(self.process.name, "sweeps", "")
        try:
            report = await self.client.orders.cancel_all(include_foreign=plan.includes_foreign, deadline=plan.deadline)
        except JournalError:
            if not self.is_over:
                raise
            return
        self.record.swept.append(Swept(began, world.now, report, working_orders(self.broker)))
        for result in report.results:
            number = result.broker_order_id or result.client_order_id
            world.note(self.process.name, "swept", f"{number} {result.outcome.value} {result.error or ''}".rstrip())

    async def rehearse(self, chains: Iterable[Chain]) -> None:
        """Ask for all new orders under the ids of the real ones, with a client that is a dry run.

        What is told of a real order is judged as anybody's answer is; a dry one is on nobody's book.
        """
        await asyncio.gather(*(self._rehearse(new) for new, *_ in chains))

    async def _rehearse(self, new: Step) -> None:
        caller = Caller(self.client, PATIENCE, self.process.world.loop.time)
        answer = await caller.ask(new, None, hurried=False)
        self.process.world.note(self.process.name, "told", f"{new.client_order_id} {answer.verdict.value} in a dry run")
        is_dry = answer.verdict is Verdict.ACCEPTED and answer.broker_order_id is None
        is_held = answer.verdict is Verdict.NOT_SENT and new.client_order_id not in self.record.wanted
        if not is_dry and not is_held:
            assert answer.asked_at is not None, "every caller tells it"  # noqa: S101
            call = self.record.ask(new, None, self.process.name, answer.asked_at)
            self.record.answers.append(evolve(answer, call=call))

    async def listen(self, hearing: Hearing) -> None:
        """Read the events of the account, as a strategy does that follows its orders and goes on where it stopped."""
        with suppress(KiwoomError):
            async for event in self.client.orders.events(since=hearing.last):
                self.process.world.note(self.process.name, "event", f"{event.kind.value} {event.client_order_id}")
                hearing.last = event.sequence
                if (fill := fill_heard(event)) is not None:
                    hearing.fills.append(fill)


def _spelled(step: Step) -> str:
    price = "market" if step.price is None else step.price
    return f"{step.client_order_id} {step.action.value} {step.side or ''} {step.symbol} {step.quantity} at {price}"
