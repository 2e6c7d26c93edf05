"""The night itself: one broker, several processes on one journal, day after day, each day audited.

A day: a few orders on a healthy network, to measure; all strategies at once under every fault, while processes are
killed; the faults stop, and everything gets an answer; midnight; the client closes the books of the day; every process
asks for everything again. Then the broker's book is held against what was asked, told and heard, and every process is
measured. The journal is kept, so that the last day is lived on top of all that were before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import cattrs
from attrs import define, evolve, field, frozen

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import Answer, Ask, Audit, FillHeard, Verdict, check_history
from kiwoom_async._cli.demo_answers import AnswerReader
from kiwoom_async._cli.demo_trial import (
    FEED_INTENSITY,
    LARGEST_LAG,
    TOLERANCE,
    Settings,
    fault_plan,
    trading_hours,
)
from kiwoom_async._cli.demo_worker import TIMING
from kiwoom_async._cli.soak_hand import LONGEST_STEP, Died, Hand, NightFailed
from kiwoom_async._cli.soak_vitals import Sample, Vitals
from kiwoom_async._cli.soak_worker import PROBED, PROBED_AT, DayClock, Post, Round
from kiwoom_async._domain.health import KIND_RULES, BreachKind, HealthState
from kiwoom_async._proof.evidence import attempts_of, book_entry, count_resent, fills_of, revived_of, sends_of
from kiwoom_async.simulator import FeedFaultPlan, LimitFill, Liquidity, Simulator
from kiwoom_async.simulator.catalog import ORDER_API_IDS
from kiwoom_async.simulator.chance import drawn

_T = TypeVar("_T")

_PAGE: Final = 40
_LOOK: Final = 0.03
_FRIDAY: Final = 4
_BUSY: Final = 5000

STALLED: Final = (TIMING.visibility_bound - LARGEST_LAG) / 2
"""Seconds of standstill of the broker's process that can break a bound. Source: our choice, half of what a bound leaves
beyond the longest lag that the broker draws."""

OF_A_STALLED_MACHINE: Final = frozenset({BreachKind.REVIVED, BreachKind.DUPLICATE})
"""Alarms about late requests (A4): true where the broker's process stood still for as long as that on the same day. The
faults alone break no assumption."""

EXPECTED: Final = frozenset({BreachKind.NOT_LISTED})
"""An alarm about seconds (A5) that is not told apart. Source: on a machine with six busy processes on two cores it came
once in 126 orders, while the broker's process was never late by more than 0.2 s."""


def unexplained(alarms: Mapping[str, str], stall: float) -> tuple[str, ...]:
    """List the alarms in the client's health, by kind, that neither the faults nor the machine explain.

    Args:
        alarms: Kinds of findings of one day, with the text of the last.
        stall: The longest standstill of the broker's process on that day, in seconds.
    """
    return tuple(
        f"{kind}: {text}"
        for kind, text in sorted(alarms.items())
        if KIND_RULES[BreachKind(kind)].state is HealthState.ALARM
        and BreachKind(kind) not in EXPECTED
        and (BreachKind(kind) not in OF_A_STALLED_MACHINE or stall < STALLED)
    )


@frozen
class NightSettings:
    """What a night is made of.

    Attributes:
        seed: Of the first day; every day after it has the next one.
        seconds: After which no new day begins.
        processes: On one journal; the first is never killed.
        orders: A day.
        kills: A day.
    """

    seed: int
    seconds: float
    processes: int
    orders: int
    strategies: int
    kills: int


@frozen
class Day:
    """What came of one day.

    Attributes:
        faults: Injected into requests and frames.
        resent: Orders that were sent again with a proof that the first send was absent.
        errors: Faults of the client: exceptions that are no answers, events that a listener did not hear.
        alarms: What the client has reported as an error.
        false_alarms: What its health says in alarm although neither the faults nor the machine explain it.
        stall: The longest standstill of the broker's process, in seconds.
    """

    round: Round
    audit: Audit
    sample: Sample
    seconds: float
    faults: int
    kills: int
    resent: int
    errors: tuple[str, ...]
    alarms: tuple[str, ...]
    false_alarms: tuple[str, ...] = ()
    stall: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Tell whether every promise was kept, and no alarm was false."""
        return self.audit.is_clean and not self.errors and not self.false_alarms


@define(eq=False)
class Night:
    """Days, one after the other.

    Attributes:
        folder: Where the journal is, and what was asked and told on the day.
        report: Called after every day, with the seconds that are left.
        days: Those that are over.
    """

    settings: NightSettings
    folder: Path
    report: Callable[[Day, float], None]
    days: list[Day] = field(factory=list)
    _system: SystemAmbient = field(factory=SystemAmbient)
    _broker: Simulator = field(init=False)
    _clock: DayClock = field(init=False)
    _hands: Sequence[Hand] = ()
    _fills: AnswerReader = field(init=False)
    _orders: int = 0
    _kills: int = 0
    _stall: float = 0.0
    _findings: Mapping[str, int] = field(factory=dict)

    async def run(self) -> None:
        """Live until the time is up or a promise is broken; at least two days, as one cannot be compared.

        Raises:
            NightFailed: A process did not do what it was told.
        """
        began = self._system.monotonic()
        self._clock = DayClock(self.folder / "clock")
        self._clock.move(trading_hours(self._system.now()))
        self._fills = AnswerReader(self.folder / "fills.jsonl")
        self._broker = Simulator(
            seed=self.settings.seed,
            ambient=self._clock,
            page_size=_PAGE,
            prices={PROBED: PROBED_AT},
            ledger_lag=lambda random: random.random() * LARGEST_LAG,
            liquidity=Liquidity(limit_orders=LimitFill.MARKETABLE, after=0.1, in_parts=True),
        )
        async with self._broker, self._started() as self._hands:
            watch = asyncio.create_task(self._watch_stalls())
            try:
                while True:
                    day = await self._live()
                    self.days.append(day)
                    left = began + self.settings.seconds - self._system.monotonic()
                    self.report(day, left)
                    if not day.is_clean or (left <= 0 and len(self.days) > 1):
                        return
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch

    async def _watch_stalls(self) -> None:
        """Measure by how much this process, which is the broker's too, is late."""
        while True:
            due = self._system.monotonic() + _LOOK
            await asyncio.sleep(_LOOK)
            self._stall = max(self._stall, self._system.monotonic() - due)

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[Sequence[Hand]]:
        url, websocket_url = self._broker.url, self._broker.environment.websocket_url
        count = self.settings.processes
        hands = [Hand(Post(url, websocket_url, str(self.folder), index, count)) for index in range(count)]
        try:
            await _each(hand.start() for hand in hands)
            yield hands
        finally:
            for hand in hands:
                await hand.bury()

    # ------------------------------------------------------------------ a day

    async def _live(self) -> Day:
        began, settings, broker = self._system.monotonic(), self.settings, self._broker
        number = len(self.days) + 1
        today = Round(number, settings.seed + number - 1, settings.orders, settings.strategies)
        date_, faults_before, self._kills, self._stall = broker.day, self._faults, 0, 0.0
        await self._tell_all("begin", round=cattrs.unstructure(today))
        probed = await self._hands[0].tell("probe")
        broker.set_faults(fault_plan(Settings(today.seed, today.orders, today.strategies, settings.kills)))
        broker.set_feed_faults(FeedFaultPlan.hostile(today.seed, FEED_INTENSITY, longest=LARGEST_LAG))
        await self._trade(today)
        broker.set_faults(None)
        broker.set_feed_faults(None)
        if not all(answer["is_settled"] for answer in await self._tell_all("settle")):
            raise NightFailed(f"day {number} (seed {today.seed}) could not be settled")
        # Midnight, and on to the same hour of the next weekday.
        self._clock.move(timedelta(days=7 - date_.weekday() if date_.weekday() >= _FRIDAY else 1))
        await self._hands[0].tell("close")
        await self._wait_for_close()
        await self._tell_all("again")
        await self._hands[0].tell("catch up", event=self._ask_journal("SELECT max(sequence) FROM order_events") or 0)
        told = await self._tell_all("vitals")
        vitals = [cattrs.structure(answer["vitals"], Vitals) for answer in told]
        day = Day(
            round=today,
            audit=Audit(0, 0, {}, ()),
            sample=Sample(
                elder=vitals[0],
                others=tuple(vitals[1:]),
                journal=self._ask_journal("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"),
                log=_size(self._journal.with_name(f"{self._journal.name}-wal")),
                orders=0,
                latencies=tuple(probed["latencies"]),
                processor=probed["processor"],
                yardstick=probed["yardstick"],
                openings=tuple(seconds for hand in self._hands for seconds in hand.openings),
            ),
            seconds=self._system.monotonic() - began,
            faults=self._faults - faults_before,
            kills=self._kills,
            resent=count_resent(attempts_of(self._journal, today.prefix)),
            errors=(),
            alarms=tuple(alarm for answer in told for alarm in answer["alarms"]),
        )
        return self._tidy(self._judge(day, date_), date_)

    @property
    def _faults(self) -> int:
        return self._broker.faults_injected.total() + self._broker.feed_faults_injected.total()

    async def _tell_all(self, what: str, **details: Any) -> list[dict[str, Any]]:
        return await _each(hand.tell(what, **details) for hand in self._hands)

    async def _trade(self, today: Round) -> None:
        """Let all trade, and kill some of them meanwhile."""
        working = set(self._hands)

        async def trade(hand: Hand) -> None:
            while True:
                try:
                    if hand.was_killed:
                        await hand.start()
                        await hand.tell("begin", round=cattrs.unstructure(today))
                    await hand.tell("trade")
                except Died:
                    continue
                working.discard(hand)
                return

        killer = asyncio.create_task(self._kill(today, working))
        try:
            await _each(map(trade, self._hands))
        finally:
            killer.cancel()
            with suppress(asyncio.CancelledError):
                await killer

    async def _kill(self, today: Round, working: set[Hand]) -> None:
        """Kill processes that trade, at moments that the orders on the wire decide."""
        step = 0.9 / (self.settings.kills + 1)
        for number in range(self.settings.kills):
            share = step * (number + 0.6 + 0.8 * drawn(today.seed, "kill", number))
            while self._count_seen(today) < share * today.orders:  # noqa: ASYNC110 - a broker has no event
                await asyncio.sleep(_LOOK)
            # Some die while the broker is still at work on the order, some a little later.
            await asyncio.sleep(max(0.0, drawn(today.seed, "moment", number) - 0.4) * 0.2)
            victims = sorted((hand for hand in working if hand.index), key=lambda hand: hand.index)
            if not victims:
                return
            victims[int(drawn(today.seed, "victim", number) * len(victims))].kill()
            self._kills += 1

    def _count_seen(self, today: Round) -> int:
        seen = {
            request.headers.get("idempotency-key", "")
            for request in self._broker.requests
            if request.api_id in ORDER_API_IDS
        }
        return sum(key.startswith(today.prefix) for key in seen)

    async def _wait_for_close(self) -> None:
        """Wait until the client has closed the books of every day that is over."""
        today = self._broker.day.isoformat()
        try:
            async with asyncio.timeout(LONGEST_STEP):
                while self._ask_journal("SELECT count(*) FROM open_days WHERE day < ?", today):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise NightFailed(f"the books of a day were not closed within {LONGEST_STEP:g} s") from None

    # ------------------------------------------------------------------ the audit

    @property
    def _journal(self) -> Path:
        return self._hands[0].post.journal

    def _ask_journal(self, question: str, *values: str) -> Any:
        connection = apsw.Connection(str(self._journal), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(_BUSY)
            return connection.execute(question, values).get
        finally:
            connection.close()

    def _judge(self, day: Day, date_: date) -> Day:
        """Hold the day against the broker's book."""
        prefix, journal = day.round.prefix, self._journal
        entries = [
            entry for hand in self._hands for entry in AnswerReader(day.round.answers(self.folder, hand.index)).read()
        ]
        answers = sorted(
            (entry for entry in entries if isinstance(entry, Answer)), key=lambda answer: answer.told_at or 0.0
        )
        heard = [entry for entry in self._fills.read() if isinstance(entry, FillHeard)]
        audit = check_history(
            [entry for entry in entries if isinstance(entry, Ask)],
            answers,
            [book_entry(order) for order in self._broker.all_orders if order.day == date_],
            sends=sends_of(request for request in self._broker.requests if request.at.date() == date_),
            attempts=attempts_of(journal, prefix),
            fills=heard,
            revived=revived_of(journal, prefix),
            tolerance=TOLERANCE,
        )
        errors = [f"{answer.client_order_id}: {answer.detail}" for answer in answers if answer.verdict is Verdict.ERROR]
        if set(heard) != set(fills_of(journal, prefix)):
            errors.append("the listener did not hear what the journal tells")
        self._orders += audit.asked
        return evolve(
            day,
            audit=audit,
            sample=evolve(day.sample, orders=self._orders),
            errors=tuple(errors),
            false_alarms=unexplained(self._new_findings(), self._stall),
            stall=self._stall,
        )

    def _new_findings(self) -> dict[str, str]:
        """Give the findings of the client's monitors that came since the last time, by kind."""
        connection = apsw.Connection(str(self._journal), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(_BUSY)
            rows: list[Any] = connection.execute("SELECT kind, times, text FROM breaches").fetchall()
        finally:
            connection.close()
        before, self._findings = self._findings, {kind: times for kind, times, _ in rows}
        return {kind: text for kind, times, text in rows if times > before.get(kind, 0)}

    def _tidy(self, day: Day, date_: date) -> Day:
        """Forget a day that was right; one that was not is left as it is, to be looked at."""
        self._fills.entries.clear()
        for hand in self._hands:
            hand.openings.clear()
            if day.is_clean:
                day.round.answers(self.folder, hand.index).unlink(missing_ok=True)
        if day.is_clean:
            # Not the day itself: the client goes on looking for what it has proven absent there.
            self._broker.forget_before(date_)
        return day


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _each(works: Iterable[Awaitable[_T]]) -> list[_T]:
    """Do all at once; the first that fails ends the others."""

    async def do(work: Awaitable[_T]) -> _T:
        return await work

    tasks = [asyncio.create_task(do(work)) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
