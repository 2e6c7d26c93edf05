"""Simulated processes: each a realm of the loop with clocks, chance and a workplace of its own, that dies and freezes.

A process that is killed stops between two callbacks, as SIGKILL stops it between two instructions: no ``finally`` of it
ever changes the world. What it had committed stays, what it had handed to the network travels on, its locks are free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Any, Final, TypeVar

import anyio
from attrs import define, field, frozen
from filelock import BaseFileLock

from kiwoom_async._domain.ambient import Checkpoint, Turns, Workplace
from kiwoom_async._domain.settings import KST
from kiwoom_async._proof.timeline import Timeline
from kiwoom_async._proof.virtual_loop import REALM, Killed, Realm, VirtualLoop
from kiwoom_async.simulator.chance import Generator

_T = TypeVar("_T")

MORNING: Final = datetime(2026, 3, 3, 10, tzinfo=KST)
"""When every simulated day begins. Source: our choice; a Tuesday in trading hours, without a holiday around it."""

UPTIME: Final = 1_000.0
"""What the monotonic clock shows then. Source: our choice."""

BOOT: Final = "simulated"


@unique
class Moment(StrEnum):
    """When a process dies."""

    AT_SECOND = "second"
    AT_CHECKPOINT = "checkpoint"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"


@frozen
class Death:
    """How a process dies.

    Attributes:
        seconds: AT_SECOND: after its start.
        checkpoint: AT_CHECKPOINT: which.
        count: The other kinds: at the how-manieth, from 1.
    """

    moment: Moment
    seconds: float = 0.0
    checkpoint: Checkpoint | None = None
    count: int = 1

    @property
    def name(self) -> str:
        """Say when, or where."""
        return self.moment.value if self.checkpoint is None else f"at {self.checkpoint.value}"


@define(eq=False)
class Pace:
    """How long things take in this world: mostly no time at all or little, now and then long."""

    chance: Generator

    def draw(self, longest: float) -> float:
        """Draw seconds up to a bound; often none, so that things happen at the same moment."""
        kind = self.chance.random()
        if kind < 0.35:
            return 0.0
        share = self.chance.random()
        return longest * (share if kind > 0.9 else share * share * 0.1)


LONGEST_TURN: Final = 0.08
"""Seconds until a journal's thread gets its turn, at the most. Source: our choice, far longer than a commit takes."""


@define(eq=False)
class World:
    """What all processes of a simulation share.

    Attributes:
        context: In which what belongs to nobody runs.
        errors: What a log line of the library or of asyncio said was a fault.
    """

    loop: VirtualLoop
    pace: Pace
    timeline: Timeline
    context: Context = field(factory=copy_context)

    @property
    def now(self) -> float:
        """Give the virtual second."""
        return self.loop.time()

    def later(self, seconds: float, action: Callable[..., object], *args: Any) -> None:
        """Let something happen in the world, whoever asks for it."""
        self.loop.call_later(seconds, action, *args, context=self.context)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Let something of the world run on its own."""
        self.loop.create_task(work, name=name, context=self.context)

    def note(self, who: str, what: str, text: str) -> None:
        """Write something into the timeline."""
        self.timeline.note(self.loop.time(), who, what, text)


@define(eq=False)
class WorldAmbient:
    """The clocks of the broker's own machine."""

    world: World
    boot_id: str = "broker"

    def now(self) -> datetime:
        """Read the wall clock."""
        return MORNING + timedelta(seconds=self.world.now)

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return UPTIME + self.world.now

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes."""
        return self.world.pace.chance.randbytes(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing: it is not a client."""


@define(eq=False)
class Process:
    """One process of a trading machine. It is also the `Ambient` of its client, and where its blocking work is done.

    Attributes:
        name: With the number of its life, as in "B2".
        offset: How far its wall clock is ahead.
        death: How it dies; None: it does not.
        locks: Give the locks that the kernel frees when it dies.
        on_death: Told when it has died: its connections break.
        cause: Why it died.
        uptime: What the monotonic clock of this boot would show in the second 0 of the world.
        frozen: Seconds it has stood still in all.
        over: Set when it has ended.
    """

    name: str
    world: World
    chance: Generator
    offset: timedelta = timedelta(0)
    death: Death | None = None
    locks: Callable[[], tuple[BaseFileLock, ...]] = tuple
    on_death: list[Callable[[], object]] = field(factory=list)
    is_dead: bool = False
    cause: str = ""
    frozen: float = 0.0
    over: asyncio.Event = field(factory=asyncio.Event)
    realm: Realm = field(init=False)
    pace: Pace = field(init=False)
    boot_id: str = BOOT
    uptime: float = UPTIME
    _passed: int = 0
    _commits: int = 0

    def __attrs_post_init__(self) -> None:
        self.realm = Realm(self.name)
        self.pace = Pace(self.chance)

    # As an ambient

    def now(self) -> datetime:
        """Read the wall clock."""
        return MORNING + timedelta(seconds=self.world.now) + self.offset

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self.uptime + self.world.now

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes."""
        return self.chance.randbytes(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Die here, if that is its fate."""
        if self.is_dead:
            return
        self.world.note(self.name, "reached", checkpoint.value)
        death = self.death
        if death is not None and death.moment is Moment.AT_CHECKPOINT and death.checkpoint is checkpoint:
            self._passed += 1
            if self._passed == death.count:
                self.kill(f"at {checkpoint.value}")
                raise Killed

    @property
    def workplace(self) -> Workplace:
        """Do blocking work on the loop, after a while."""
        return _Inline(self)

    # Life and death

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Event:
        """Begin to run; give what is set when it has ended, by itself or not."""
        context = copy_context()
        context.run(REALM.set, self.realm)
        main = self.world.loop.create_task(work, name=self.name, context=context)
        main.add_done_callback(self._note_end, context=self.world.context)
        if self.death is not None and self.death.moment is Moment.AT_SECOND:
            self.world.later(self.death.seconds, self.kill, "by the clock")
        return self.over

    def _note_end(self, main: asyncio.Task[Any]) -> None:
        self.over.set()
        if not main.cancelled() and (error := main.exception()) is not None and not isinstance(error, Killed):
            self.world.loop.faults.append(f"{self.name} ended with {type(error).__name__}: {error}")

    @property
    def is_running(self) -> bool:
        """Tell whether anything of it is left to run."""
        return not self.is_dead and bool(self.realm.tasks)

    def kill(self, why: str) -> None:
        """End it as SIGKILL does; nothing happens if it has ended by itself."""
        if not self.is_running:
            return
        self.is_dead = self.realm.is_still = True
        self.cause = why
        self.world.note(self.name, "killed", why)
        for lock in self.locks():
            lock.release(force=True)
        for tell in self.on_death:
            tell()
        self.over.set()

    def freeze(self, seconds: float) -> None:
        """Stop it as SIGSTOP does, and let it run on later."""
        if not self.is_running or self.realm.is_still:
            return
        self.realm.is_still = True
        self.world.note(self.name, "frozen", f"for {seconds:.3f} s")
        self.world.later(seconds, self._wake, seconds)

    def _wake(self, seconds: float) -> None:
        if not self.is_dead:
            self.frozen += seconds
            self.world.note(self.name, "awake", "")
            self.world.loop.wake(self.realm)

    def take_turn(self, turn: Callable[[], None], *, is_commit: bool) -> None:
        """Carry out what waits for a thread, and die before or after it, if that is its fate."""
        if self.is_dead:
            return
        if is_commit:
            self._commits += 1
            if self._dies(Moment.BEFORE_COMMIT):
                self.kill("before a commit")
                return
        turn()
        if is_commit:
            self.world.note(self.name, "commits", "")
        if is_commit and self._dies(Moment.AFTER_COMMIT):
            # What waited for it will never hear of it.
            self.kill("after a commit")

    def _dies(self, moment: Moment) -> bool:
        return self.death is not None and self.death.moment is moment and self._commits == self.death.count

    def bury(self) -> bool:
        """Let what is left of a dead one unwind, at the end of the simulation; tell whether something is left."""
        for task in list(self.realm.tasks):
            task.cancel()
        self.world.loop.wake(self.realm)
        return bool(self.realm.tasks)


@define(eq=False)
class _Turns:
    """The turns of one thread that is none."""

    process: Process
    name: str
    turn: Callable[[], None]
    _is_due: bool = False

    def wake(self) -> None:
        """Give a turn after a while: whatever waits by then shares it."""
        if not self._is_due:
            self._is_due = True
            self.process.world.loop.call_later(self.process.pace.draw(LONGEST_TURN), self._take)

    def end(self) -> None:
        """Give the last turn now."""
        self._take()

    def _take(self) -> None:
        if self._is_due:
            self._is_due = False
            self.process.take_turn(self.turn, is_commit="writer" in self.name)


@define(eq=False)
class _Inline:
    """The loop instead of threads."""

    process: Process

    def begin(self, name: str, turn: Callable[[], None]) -> Turns:
        """Begin to give turns."""
        return _Turns(self.process, name, turn)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Carry out work on the loop, after a while."""
        await anyio.sleep(self.process.pace.draw(LONGEST_TURN))
        if self.process.is_dead:
            await anyio.sleep_forever()
        return work()
