"""Carry out one simulated day and judge it.

The processes trade, die and come back; the world does what it does; then the faults stop, a night passes, and a last
process asks for everything until nothing is unknown. Then the history checker holds what was told against the book.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from attrs import define, evolve, field

from kiwoom_async._audit import FINAL, Audit, Verdict
from kiwoom_async._client import KiwoomClient
from kiwoom_async._domain.guards import OrderLimits
from kiwoom_async._domain.settings import Credentials, Environment, Limits
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.store import Access, open_writer, prepare_file
from kiwoom_async._proof.additions import Halt
from kiwoom_async._proof.day import Day, Event
from kiwoom_async._proof.evidence import book_entry, sends_of
from kiwoom_async._proof.happenings import Scene, happen
from kiwoom_async._proof.interventions import DRY, halt, resume
from kiwoom_async._proof.judging import excuse, is_left_open, judge
from kiwoom_async._proof.kernel import close_files, locks_of, locks_of_journal
from kiwoom_async._proof.lives import Life, Machine
from kiwoom_async._proof.network import Network, Weather
from kiwoom_async._proof.observing import heard, no_rings_looked_for
from kiwoom_async._proof.outcomes import DayResult, count_faults, count_witnesses
from kiwoom_async._proof.processes import BOOT, UPTIME, Death, Pace, Process, World
from kiwoom_async._proof.setting import broker_of, limits_of, slow_way, timing_of
from kiwoom_async._proof.strategies import Hearing, Record, Strategies
from kiwoom_async._proof.timeline import Timeline
from kiwoom_async._proof.virtual_loop import Standstill, VirtualLoop
from kiwoom_async.errors import KiwoomError
from kiwoom_async.simulator import BookOrder, Flavour, Simulator
from kiwoom_async.simulator.chance import seeded

_TICK: Final = 0.25
_REOPEN: Final = 0.5
_NIGHT: Final = timedelta(hours=22)
_LONG_NIGHT: Final = timedelta(hours=26)
"""After a day that began right before midnight: the day that followed must be over, too."""

_REBOOT: Final = "the machine went down"
_CLOSES_WITHIN: Final = 20.0
_DAY_AT_MOST: Final = 900.0
_SETTLED_WITHIN: Final = 400.0
_LOOK: Final = 1.0
_SENDS_OF_THE_UNSENT: Final = 8
_OPERATOR_AFTER: Final = 60.0
_TRADES_WITHIN: Final = 2.0
"""Seconds in which an order that was placed just now has traded, several times what the broker of these days takes."""

_LISTENS: Final = 60
_URL: Final = "http://simulator.invalid"


def run_day(day: Day, folder: Path, *, keeps_timeline: bool = False) -> DayResult:
    """Carry out a day in an empty folder.

    Args:
        day: The plan.
        folder: For the journal.
        keeps_timeline: Write down everything that happens; changes nothing of it.
    """
    loop = VirtualLoop()
    timeline = Timeline(keeps_timeline)
    world = World(loop, Pace(seeded(day.seed ^ 1)), timeline)
    trading = _Trading(day, folder, world)
    with heard(world, trading.findings), no_rings_looked_for():
        try:
            loop.run_until_complete(trading.carry_out())
        except Standstill as error:
            trading.findings.append(str(error))
        finally:
            loop.run_until_complete(trading.bury())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    return trading.result()


def make_journal(path: Path) -> None:
    """Make an empty journal, to be copied: the schema costs more than a small day."""
    prepare_file(path)
    open_writer(path, busy_timeout=1.0, access=Access()).close()


@define(eq=False)
class _Trading:
    """A day under way."""

    day: Day
    folder: Path
    world: World
    findings: list[str] = field(factory=list)
    record: Record = field(factory=Record)
    processes: dict[Process, list[KiwoomClient | Journal]] = field(factory=dict)
    broker: Simulator = field(init=False)
    weather: Weather = field(init=False)
    scene: Scene = field(init=False)
    audit: Audit | None = None
    freezes: int = 0
    happened: Counter[str] = field(factory=Counter)
    boot: str = BOOT
    uptime: float = UPTIME
    is_clock_set: bool = False

    def __attrs_post_init__(self) -> None:
        self.weather = Weather(self.day.network_faults, slow_way=slow_way(self.day))
        # So that some have their permission to leave, and have not left, when somebody engages the kill switch.
        self.weather.connects_slowly = self.day.halt is not None
        self.broker = broker_of(self.day, self.world)
        self.scene = Scene(self.day, self.broker, self.world, self.weather)

    @property
    def journal(self) -> Path:
        return self.folder / "orders.db"

    async def carry_out(self) -> None:
        """Trade, let a night pass, settle, and judge."""
        await asyncio.sleep(self.day.begins_at)
        async with self.broker:
            for event in self.day.events:
                self.world.later(event.at, self._happen, event)
            for at, action in ((self.day.reboot_at, self._reboot), (self.day.clock_set_at, self._set_clocks)):
                if at is not None:
                    self.world.later(at, action)
            async with self._ticking():
                machines = [asyncio.create_task(self._run(machine), name=machine.name) for machine in self.day.machines]
                if self.day.halt is not None:
                    machines.append(asyncio.create_task(self._halt(self.day.halt), name="operator"))
                if self.day.rehearsal is not None:
                    machines.append(asyncio.create_task(self._rehearse(self.day.rehearsal), name="dry run"))
                _, late = await asyncio.wait(machines, timeout=_DAY_AT_MOST)
            for task in machines:
                task.cancel()
            if late:
                self.findings.append(f"hang: {_names_of(late)} did not end within {_DAY_AT_MOST:g} s")
                return
            self._calm()
            await self._settle()
            self._judge()

    @asynccontextmanager
    async def _ticking(self) -> AsyncIterator[None]:
        """Let the broker go with the time; not through the nights, when nothing happens that a tick could find."""
        ticking = asyncio.create_task(self._tick(), name="broker's clock")
        try:
            yield
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        while True:
            self.broker.settle()
            await asyncio.sleep(_TICK)

    def _calm(self) -> None:
        self.world.note("world", "calm", "the faults stop")
        self.broker.set_faults(None)
        self.broker.set_feed_faults(None)
        self.weather.intensity = 0.0
        self.weather.slow_way = None
        self.weather.hides_ledger = self.weather.is_frame_big = self.weather.connects_slowly = False

    # Processes

    async def _run(self, machine: Machine) -> None:
        """Live all lives of a machine."""
        for number, life in enumerate(machine.lives, start=1):
            await asyncio.sleep(life.rest)
            process = self._make_process(f"{machine.name}{number}", machine)
            process.death = life.death
            over = process.start(self._live(process, machine, life))
            for after, seconds in life.freezes:
                self.freezes += 1
                self.world.later(after, process.freeze, seconds)
            await over.wait()

    def _make_process(self, name: str, machine: Machine) -> Process:
        process = Process(
            name,
            self.world,
            seeded(self.day.seed ^ int.from_bytes(name.encode(), "big")),
            offset=timedelta(seconds=-machine.offset if self.is_clock_set else machine.offset),
            boot_id=self.boot,
            uptime=self.uptime,
        )
        self.processes[process] = []
        return process

    async def _halt(self, plan: Halt) -> None:
        process = self._make_operator("halt")
        process.death = plan.death
        await process.start(halt(self.journal, process, plan, self.record.holds, self._opened(process))).wait()

    async def _rehearse(self, at: float) -> None:
        await asyncio.sleep(at)
        self.happened["dry_run"] += 1
        process = self._make_operator(DRY)

        async def rehearse() -> None:
            client = await self._open(process, has_feed=False, is_dry=True)
            await Strategies(client, process, self.record, self.broker).rehearse(self.day.chains)
            await client.__aexit__(None, None, None)

        await process.start(rehearse()).wait()

    def _make_operator(self, name: str) -> Process:
        return self._make_process(name, Machine(name, 0.0, has_feed=False, lives=()))

    def _opened(self, process: Process) -> Callable[[Journal], None]:
        """Give what a process without a client tells of its journal, so that the kernel can clear it away."""

        def note(journal: Journal) -> None:
            process.locks = partial(locks_of_journal, journal)
            self.processes[process].append(journal)

        return note

    async def _live(self, process: Process, machine: Machine, life: Life) -> None:
        client = await self._open(process, has_feed=machine.has_feed)
        strategies = Strategies(client, process, self.record, self.broker)
        hearing = self.record.heard.setdefault(machine.name, Hearing())
        listening = asyncio.create_task(strategies.listen(hearing), name="listener") if life.listens else None
        work = asyncio.gather(
            *(strategies.follow(self.day.chains[chain]) for chain in life.chains),
            *(self._reconcile(client, after) for after in life.reconciles),
            *map(strategies.sweep, life.sweeps),
        )
        await asyncio.wait([work], timeout=life.leaves_after)
        strategies.is_over = True
        self.world.note(process.name, "closes", "")
        await client.__aexit__(None, None, None)
        await work
        if listening is not None:
            await listening
        self.world.note(process.name, "closed", "")

    async def _reconcile(self, client: KiwoomClient, after: float) -> None:
        await anyio.sleep(after)
        with suppress(KiwoomError):
            await client.reconcile()

    async def _open(self, process: Process, *, has_feed: bool, is_dry: bool = False) -> KiwoomClient:
        """Open a client; the network may be down just now, so try for a while."""
        while True:
            client = self._make_client(process, has_feed=has_feed, is_dry=is_dry)
            process.locks = partial(locks_of, client)
            self.processes[process].append(client)
            try:
                await client.__aenter__()
            except KiwoomError as error:
                self.world.note(process.name, "shut", f"{type(error).__name__}: {error}")
                await anyio.sleep(_REOPEN)
            else:
                self.world.note(process.name, "open", "")
                return client

    def _make_client(self, process: Process, *, has_feed: bool, is_dry: bool) -> KiwoomClient:
        allowed = self.day.orders_per_day
        routes = {"KRX"} if self.day.habits.flavour is Flavour.MOCK else {"KRX", "NXT", "SOR"}
        return KiwoomClient(
            Credentials("simulated", "simulated"),
            environment=Environment(
                rest_url=_URL, websocket_url="ws://simulator.invalid/feed", routes=frozenset(routes)
            ),
            journal=self.journal,
            timing=timing_of(self.day),
            limits=limits_of(self.day) or Limits.off(),
            account_exclusive=self.day.is_exclusive,
            twins=self.day.twins,
            cancel_duplicates=self.day.cancels_duplicates,
            transport=Network(process, self.broker, self.weather),
            order_limits=None if allowed is None else OrderLimits(orders_per_day=allowed),
            feed=has_feed,
            dry_run=is_dry,
            ambient=process,
            shared_state=self.folder / "shared.db" if self.day.shares else False,
        )

    # The world

    def _happen(self, event: Event) -> None:
        self.happened[event.happening.value] += 1
        happen(self.scene, event)

    def _reboot(self) -> None:
        """Let the machine go down, and all that runs on it; its clock that never jumps begins anew."""
        self.world.note("world", "reboot", "")
        for process in self.processes:
            process.kill(_REBOOT)
        self.boot, self.uptime = f"{BOOT} again", -self.world.now

    def _set_clocks(self) -> None:
        """Set the wall clocks: what was ahead is behind as much, always within what A11 allows."""
        self.world.note("world", "sets the clocks", "")
        self.is_clock_set = True
        for process in self.processes:
            process.offset = -process.offset

    # The end

    async def _settle(self) -> None:
        """Let a night pass, and have one last process ask for everything."""
        await asyncio.sleep((_LONG_NIGHT if self.day.begins_at else _NIGHT).total_seconds())
        self.world.note("world", "morning", "")
        async with self._ticking():
            for number, death in enumerate(self.day.closers, start=1):
                await self._close_books(f"Y{number}", death)
            if self.day.halt is not None:
                process = self._make_operator("resume")
                await process.start(resume(self.journal, process, self.record.holds, self._opened(process))).wait()
            is_another_needed = is_left_open(self.journal)
            if is_another_needed:
                await self._close_books("Y")
        if is_another_needed:
            # A sender whose death was only noted now may have sent until now: today is one of the days to be over (A4).
            await asyncio.sleep(_NIGHT.total_seconds())
        async with self._ticking():
            process = self._make_process("Z", Machine("Z", 0.0, has_feed=True, lives=()))
            over = process.start(self._live_last(process))
            try:
                async with asyncio.timeout(_SETTLED_WITHIN):
                    await over.wait()
            except TimeoutError:
                self.findings.append(f"hang: not everything was settled within {_SETTLED_WITHIN:g} s of calm")

    async def _close_books(self, name: str, death: Death | None = None) -> None:
        """Have a process close the books."""
        process = self._make_process(name, Machine(name, 0.0, has_feed=False, lives=()))
        process.death = death

        async def close() -> None:
            client = await self._open(process, has_feed=False)
            await anyio.sleep(_CLOSES_WITHIN)
            await client.__aexit__(None, None, None)

        await process.start(close()).wait()

    async def _live_last(self, process: Process) -> None:
        client = await self._open(process, has_feed=True)
        strategies = Strategies(client, process, self.record, self.broker)
        operator = asyncio.create_task(self._operate(client), name="operator")
        await asyncio.gather(*(self._insist(strategies, name) for name in sorted(self.record.wanted)))
        while await client.orders.unresolved():  # noqa: ASYNC110 - a journal has no event
            await anyio.sleep(_LOOK)
        operator.cancel()
        hearing = self.record.heard["Z"] = Hearing()
        listening = asyncio.create_task(strategies.listen(hearing), name="listener")
        await self._hear_out(hearing)
        # Once all that has traded is known, every answer has to say so.
        for step, target in list(self.record.wanted.values()):
            await strategies.ask(step, target, hurried=False)
        await client.__aexit__(None, None, None)
        await listening

    async def _hear_out(self, hearing: Hearing) -> None:
        """Wait until every fill that the broker has on its book is told, or for so long that it is not."""
        await anyio.sleep(_TRADES_WITHIN)
        filled = sum(order.filled_quantity for order in self.broker.all_orders if not order.is_foreign)
        for _ in range(_LISTENS):
            if sum(fill.quantity for fill in hearing.fills) >= filled:
                return
            await anyio.sleep(_LOOK)

    async def _insist(self, strategies: Strategies, client_order_id: str) -> None:
        """Ask until there is an answer; "not sent" is one only when it is said again and again."""
        step, target = self.record.wanted[client_order_id]
        unsent = 0
        while unsent < _SENDS_OF_THE_UNSENT:
            answer = await strategies.ask(step, target, hurried=False)
            if answer.verdict in FINAL:
                return
            unsent += answer.verdict in {Verdict.NOT_SENT, Verdict.ERROR}
            await anyio.sleep(_REOPEN)

    async def _operate(self, client: KiwoomClient) -> None:
        """Be the person who looks at Kiwoom's own screen and settles what nothing else can."""
        await anyio.sleep(_OPERATOR_AFTER)
        for left in await client.orders.unresolved():
            reason = excuse(self.day, left.client_order_id, left.why)
            if left.state is not Delivery.UNRESOLVED_AT_CLOSE and not reason:
                continue
            if not reason:
                self.findings.append(f"left open: {left.client_order_id}: {left.why}")
            self.happened[f"settled by the operator: {reason or 'nothing excuses it'}"] += 1
            self.world.note("operator", "settles", f"{left.client_order_id}: {left.why}")
            await self._decide(client, left.client_order_id, left.why)

    async def _decide(self, client: KiwoomClient, client_order_id: str, why: str) -> None:
        """Give an order the number that it has on the screen, or that of a twin where its own is taken; or none.

        Which numbers those are stands in the words; a process that has not looked itself names no candidates. The words
        name orders of other types as well, which a person can tell from this one.
        """
        own = [order for order in self.broker.orders if order.idempotency_key == client_order_id]
        named = [order for order in self.broker.orders if order.broker_order_id in why]
        twins = [order for order in named if own and _are_alike(own[0], order)]
        verdicts = [{"accepted_as": order.broker_order_id, "day": order.day} for order in [*own, *twins]]
        for verdict in [*verdicts, {"not_accepted": True}]:
            with suppress(KiwoomError):
                await client.orders.resolve(client_order_id, reason="seen on the screen", **verdict)  # type: ignore[arg-type]
                return

    def _judge(self) -> None:
        self.record.died = frozenset(process.name for process in self.processes if process.is_dead)
        self.audit, found = judge(self.scene, self.journal, self.record)
        self.findings += found
        for process in self.processes:
            if process.is_running:
                names = sorted(task.get_name() for task in process.realm.tasks)
                self.findings.append(f"{process.name} has ended and its tasks have not: {', '.join(names)}")

    async def bury(self) -> None:
        """Unwind what was killed, so that nothing of it is left to the garbage collector."""
        findings, faults = len(self.findings), list(self.world.loop.faults)
        for _ in range(200):
            is_left = [process.bury() for process in self.processes]
            if not any(is_left):
                break
            await asyncio.sleep(0)
        for process, clients in self.processes.items():
            for client in clients if process.is_dead else ():
                close_files(client)
        del self.findings[findings:]
        self.findings += [f"fault: {fault}" for fault in faults]

    def result(self) -> DayResult:
        """Sum up."""
        happened = {**self.happened, "halt": len(self.record.holds), "cancel_all": len(self.record.swept)}
        return DayResult(
            seed=self.day.seed,
            orders=len(self.record.wanted),
            sends=len(sends_of(self.broker.requests)),
            violations=tuple(self.findings),
            faults=count_faults(self.broker, self.weather, happened),
            witnesses={} if self.audit is None else count_witnesses(self.audit),
            deaths=Counter(_cause(process) for process in self.processes if process.is_dead),
            freezes=self.freezes,
            seconds=self.world.now,
            steps=self.world.loop.steps,
            timeline=self.world.timeline,
        )


def _are_alike(one: BookOrder, other: BookOrder) -> bool:
    """Tell whether a person cannot tell two orders apart; a full cancel takes what is left, whatever that was."""
    first, second = (book_entry(order).terms for order in (one, other))
    if one.action is Action.CANCEL:
        first = evolve(first, quantity=None)
    return not first.differences(second)


def _cause(process: Process) -> str:
    """Say where death struck."""
    if process.cause == _REBOOT or process.death is None:
        return process.cause
    return process.death.name


def _names_of(tasks: set[asyncio.Task[None]]) -> str:
    return ", ".join(sorted(task.get_name() for task in tasks))
