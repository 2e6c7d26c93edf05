"""One trial of the demonstration: a broker, a trading process that is killed now and then, and the audit of both."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, time, timedelta
from tempfile import TemporaryDirectory
from typing import Final

from attrs import define, evolve, field, frozen

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import FINAL, Answer, Ask, Audit, Verdict, check_history
from kiwoom_async._cli.demo_answers import AnswerReader, Phase
from kiwoom_async._cli.demo_worker import Assignment
from kiwoom_async._domain.settings import KST
from kiwoom_async._proof.evidence import attempts_of, book_entry, count_resent, revived_of, sends_of
from kiwoom_async.simulator import (
    QUERY_FAULTS,
    Fault,
    FaultKind,
    FaultPlan,
    FeedFaultPlan,
    LimitFill,
    Liquidity,
    Simulator,
)
from kiwoom_async.simulator.catalog import ORDER_API_IDS, QUERY_API_IDS
from kiwoom_async.simulator.chance import drawn

INTENSITY: Final = 0.35
"""Share of the order requests that meet a fault."""

QUERY_INTENSITY: Final = 0.08
"""Share of the pages of a list that do."""

FEED_INTENSITY: Final = 0.2
"""Share of the real-time feed's frames that do: left out, late, twice, in the wrong order, cut off."""

LARGEST_LAG: Final = 0.4
"""Seconds until the ledger shows an order, and by which a late acceptance is late; both well within the bounds of
`demo_worker.TIMING`, which is what the bounds promise."""

TOLERANCE: Final = 15.0
"""Seconds an answer may come after its deadline: a machine that is busy with something else is no broken promise."""

_HANG: Final = 4.0
_DYING_TOKENS: Final = 1.5
"""In a trial, about. Every one of them makes a careful client wait longer before it asks for the next token."""

_REFUSED: Final = 0.03
_PAGE: Final = 40
_LOOK: Final = 0.02
_REPORT: Final = 0.2
_SHORTEST: Final = 60.0
_PER_ORDER: Final = 0.5
_GIVE_UP: Final = 4


class TrialFailed(Exception):
    """The trading process did not do its work; there is nothing to audit."""


@frozen
class Settings:
    """What is tried.

    Attributes:
        orders: Orders, modifies and cancels in all.
        kills: How often the trading process is killed.
    """

    seed: int
    orders: int
    strategies: int
    kills: int


@frozen
class Progress:
    """Where a trial is."""

    label: str
    phase: str
    seconds: float
    asked: int
    answered: int
    on_the_book: int
    faults: int
    kills: int


@frozen
class Result:
    """What came of a trial.

    Attributes:
        errors: Exceptions that are no answers: faults of the client.
        resent: Orders that were sent again with a proof that the first send was absent.
        requests: Order requests on the wire.
        queries: Questions to the broker's lists, page by page.
    """

    is_naive: bool
    audit: Audit
    seconds: float
    kills: int
    errors: tuple[str, ...]
    resent: int
    requests: int
    queries: int
    faults: Mapping[str, int]
    is_settled: bool

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was doubled, lost, wrong or unknown, and nothing failed."""
        return self.audit.is_clean and not self.errors and self.is_settled


def fault_plan(settings: Settings) -> FaultPlan:
    """Make a plan of everything at once; the same for both clients, because it goes by the key of each order."""
    plan = FaultPlan.hostile(settings.seed, INTENSITY, query_intensity=QUERY_INTENSITY, longest=LARGEST_LAG)
    rates = dict(plan.rates)
    rates[FaultKind.TOKEN_DIES] = min(rates[FaultKind.TOKEN_DIES], _DYING_TOKENS / settings.orders)
    rates[FaultKind.ORDER_REFUSED] = _REFUSED
    return evolve(plan, rates=rates, templates={FaultKind.HANG: Fault(FaultKind.HANG, seconds=_HANG)})


def trading_hours(now: datetime) -> timedelta:
    """Give what to add to the clock, so that it is ten in the morning of a weekday in Korea."""
    morning = datetime.combine(now.astimezone(KST).date(), time(10), KST)
    while morning.weekday() > 4:
        morning += timedelta(days=1)
    return morning - now


@define(eq=False)
class Trial:
    """One client against one broker.

    Attributes:
        report: Called several times a second.
    """

    settings: Settings
    is_naive: bool
    report: Callable[[Progress], None]
    kills: int = 0
    _broker: Simulator = field(init=False)
    _reader: AnswerReader = field(init=False)
    _keys: set[str] = field(factory=set)
    _seen: int = 0
    _phase: str = "starting"
    _asked: set[str] = field(factory=set)
    _answered: set[str] = field(factory=set)
    _clock: SystemAmbient = field(factory=SystemAmbient)
    _began: float = 0.0

    async def run(self) -> Result:
        """Run it to its end.

        Raises:
            TrialFailed: The trading process failed by itself.
        """
        self._began = self._clock.monotonic()
        ambient = SystemAmbient(trading_hours(self._clock.now()))
        seed = self.settings.seed
        self._broker = Simulator(
            seed=seed,
            faults=fault_plan(self.settings),
            ambient=ambient,
            page_size=_PAGE,
            ledger_lag=lambda random: random.random() * LARGEST_LAG,
            liquidity=Liquidity(limit_orders=LimitFill.MARKETABLE, after=0.1, in_parts=True),
            feed_faults=FeedFaultPlan.hostile(seed, FEED_INTENSITY, longest=LARGEST_LAG),
        )
        with TemporaryDirectory(prefix="kiwoom-demo-", ignore_cleanup_errors=True) as folder:
            async with self._broker:
                assignment = Assignment(
                    self.is_naive,
                    self._broker.url,
                    self._broker.environment.websocket_url,
                    folder,
                    seed,
                    self.settings.orders,
                    self.settings.strategies,
                    ambient.offset.total_seconds(),
                )
                self._reader = AnswerReader(assignment.answers)
                await self._supervise(assignment)
                return self._result(assignment)

    # The process

    async def _supervise(self, assignment: Assignment) -> None:
        """Start the trading process, kill it at its moments, start it again, until it is done."""
        failures = 0
        limit = _SHORTEST * 3 + _PER_ORDER * self.settings.orders
        async with asyncio.timeout(limit):
            while self._phase != "done":
                async with _process(assignment) as process:
                    killed = await self._attend(process)
                    output = b"" if killed else await _last_words(process)
                self._look()
                if killed or self._phase == "done":
                    continue
                failures += 1
                if failures == _GIVE_UP:
                    raise TrialFailed(output.decode(errors="replace").strip() or "the trading process ended silently")

    async def _attend(self, process: asyncio.subprocess.Process) -> bool:
        """Watch one process; tell whether it was killed."""
        next_report = 0.0
        while process.returncode is None:
            self._look()
            if self._is_kill_due():
                self.kills += 1
                # Some die while the broker is still at work on the order, some a little later.
                await asyncio.sleep(max(0.0, drawn(self.settings.seed, "moment", self.kills) - 0.4) * 0.2)
                if process.returncode is None:
                    process.kill()
                await process.wait()
                return True
            if self._clock.monotonic() >= next_report:
                next_report = self._clock.monotonic() + _REPORT
                self._tell()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), _LOOK)
        return False

    def _is_kill_due(self) -> bool:
        if self.kills >= self.settings.kills or self._phase != "trading":
            return False
        # The book, not the clock, decides, so that both clients are killed at about the same orders.
        # Some orders of the plan are never asked for, because what they are about was refused.
        step = 0.9 / (self.settings.kills + 1)
        share = step * (self.kills + 0.6 + 0.8 * drawn(self.settings.seed, "kill", self.kills))
        return len(self._keys) >= share * self.settings.orders

    def _look(self) -> None:
        """Take note of what has happened since the last look."""
        requests = self._broker.requests
        for request in requests[self._seen :]:
            key = request.headers.get("idempotency-key")
            if key is not None and request.api_id in ORDER_API_IDS:
                self._keys.add(key)
        self._seen = len(requests)
        for entry in self._reader.read():
            if isinstance(entry, Phase):
                self._phase = entry.name
                if entry.name != "trading":
                    self._broker.set_faults(None)
            elif isinstance(entry, Ask):
                self._asked.add(entry.client_order_id)
            elif isinstance(entry, Answer) and entry.verdict in FINAL:
                self._answered.add(entry.client_order_id)

    def _tell(self) -> None:
        self.report(
            Progress(
                label="naive client" if self.is_naive else "kiwoom-async",
                phase=self._phase,
                seconds=self._clock.monotonic() - self._began,
                asked=len(self._asked),
                answered=len(self._answered),
                on_the_book=len(self._broker.orders),
                faults=self._broker.faults_injected.total(),
                kills=self.kills,
            )
        )

    # The audit

    def _result(self, assignment: Assignment) -> Result:
        entries = self._reader.entries
        answers = [entry for entry in entries if isinstance(entry, Answer)]
        asks = [entry for entry in entries if isinstance(entry, Ask)]
        book = [book_entry(order) for order in self._broker.all_orders]
        # The naive client keeps no record of its sends, and nobody has promised that it sends once or tells in time.
        attempts = [] if self.is_naive else attempts_of(assignment.journal)
        audit = (
            # What it told is judged by what is there in the end: it denies in passing what it sends again.
            check_history(asks, answers, [evolve(entry, accepted_at=None) for entry in book])
            if self.is_naive
            else check_history(
                asks,
                answers,
                book,
                sends=sends_of(self._broker.requests),
                attempts=attempts,
                revived=revived_of(assignment.journal),
                tolerance=TOLERANCE,
            )
        )
        requests = Counter(request.api_id for request in self._broker.requests)
        injected = self._broker.faults_injected
        return Result(
            is_naive=self.is_naive,
            audit=audit,
            seconds=self._clock.monotonic() - self._began,
            kills=self.kills,
            errors=tuple(
                f"{answer.client_order_id}: {answer.detail}" for answer in answers if answer.verdict is Verdict.ERROR
            ),
            resent=count_resent(attempts),
            requests=sum(requests[api_id] for api_id in ORDER_API_IDS),
            queries=sum(requests[api_id] for api_id in QUERY_API_IDS),
            faults={kind.value: injected[kind] for kind in FaultKind if injected[kind]},
            is_settled=not any(isinstance(entry, Phase) and entry.name == "giving up" for entry in entries),
        )


@asynccontextmanager
async def _process(assignment: Assignment) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the trading process; it is dead and buried afterwards, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kiwoom_async._cli.demo_worker",
        assignment.to_text(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        # Also closes the pipes; waiting alone would leave them to the garbage collector.
        await asyncio.shield(process.communicate())


async def _last_words(process: asyncio.subprocess.Process) -> bytes:
    assert process.stderr is not None, "it is a pipe"  # noqa: S101
    return await process.stderr.read()


__all__ = ["QUERY_FAULTS", "Progress", "Result", "Settings", "Trial", "TrialFailed"]
