"""An event loop without time: when nothing is left to do at one moment, the next moment is now.

Callbacks that are ready run in the order they came, as asyncio's do; what varies a schedule is how long things take,
and that is drawn by who asks for the time. There are no threads, no sockets and no signals.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from itertools import count
from typing import Any, Final, TypeVar

from attrs import define, field

_T = TypeVar("_T")

_TURNS_AT_ONE_MOMENT: Final = 5_000
_TICK: Final = 1e-6
"""After so many turns the clock goes on by so many seconds. Source: our choice. A real clock goes on by itself; here
somebody who waits for what a rounding leaves of a wait would wait for ever at one moment."""


class Killed(BaseException):
    """A process died in the middle of this call; ends the callback that it died in, and is no fault."""


class Standstill(RuntimeError):
    """Everything waits, and nothing will ever happen again."""


@define(eq=False)
class Realm:
    """What stands still together, as the threads of a process do.

    Attributes:
        is_still: Nothing of it runs; what would have run is parked.
        parked: What would have run, in order.
        tasks: Every task that was started in it and is not done.
    """

    name: str
    is_still: bool = False
    parked: deque[asyncio.Handle] = field(factory=deque, repr=False)
    tasks: dict[asyncio.Task[Any], None] = field(factory=dict, repr=False)


REALM: Final[ContextVar[Realm | None]] = ContextVar("kiwoom_async.realm", default=None)
"""Whose code runs. Every callback and every task inherits it from who made it; None: the world's own."""


class _Task(asyncio.Task[_T]):
    """A task whose place in a set does not depend on its address: asyncio and anyio walk through sets of tasks."""

    _serials = count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._serial = next(_Task._serials)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._serial

    @classmethod
    def begin_anew(cls) -> None:
        """Count from the start, so that a second run in this process is like the first."""
        cls._serials = count()


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulation.

    Attributes:
        faults: What asyncio would have logged: exceptions nobody took, with their texts.
        steps: How many callbacks ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self._moment = 0.0
        self._soon: deque[tuple[asyncio.Handle, Realm | None]] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Realm | None]] = []
        self._numbers = count()
        self.faults: list[str] = []
        self.steps = 0
        self._turns = 0
        _Task.begin_anew()
        self.set_task_factory(_make_task)
        self.set_exception_handler(_note_fault)

    def time(self) -> float:
        """Give the virtual second."""
        return self._moment

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback at this moment, after those that are ready."""
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append((handle, REALM.get() if context is None else context.get(REALM)))
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Do the same: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a moment."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        realm = REALM.get() if context is None else context.get(REALM)
        heapq.heappush(self._timers, (when, next(self._numbers), handle, realm))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: it is passed over when its moment comes."""

    def run_in_executor(  # type: ignore[override]
        self,
        executor: object,  # noqa: ARG002 - there is none
        func: Callable[..., _T],
        *args: Any,
    ) -> asyncio.Future[_T]:
        """Carry it out at once."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        return future

    def wake(self, realm: Realm) -> None:
        """Let what stands still run on."""
        realm.is_still = False
        self._soon.extend((handle, realm) for handle in realm.parked)
        realm.parked.clear()

    def _run_once(self) -> None:
        soon, timers = self._soon, self._timers
        self._turns += 1
        if self._turns > _TURNS_AT_ONE_MOMENT:
            self._turns, self._moment = 0, self._moment + _TICK
        if not soon:
            while timers and timers[0][2].cancelled():
                heapq.heappop(timers)
            if not timers:
                raise Standstill(_waiting(self))
            if timers[0][0] > self._moment:
                self._turns, self._moment = 0, timers[0][0]
        while timers and timers[0][0] <= self._moment:
            _, _, timer, realm = heapq.heappop(timers)
            soon.append((timer, realm))
        for _ in range(len(soon)):
            handle, realm = soon.popleft()
            if handle.cancelled():
                continue
            if realm is not None and realm.is_still:
                realm.parked.append(handle)
                continue
            self.steps += 1
            handle._run()  # noqa: SLF001 - what a loop does


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    names = sorted(task.get_name() for task in asyncio.all_tasks(loop) if not task.done())
    return f"everything waits for ever: {', '.join(names)}"


def _make_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
    **arguments: Any,
) -> asyncio.Task[_T]:
    task: asyncio.Task[_T] = _Task(work, loop=loop, **arguments)
    context = arguments.get("context")
    realm = REALM.get() if context is None else context.get(REALM)
    if realm is not None:
        realm.tasks[task] = None
        task.add_done_callback(realm.tasks.pop)
    return task


def _note_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, Killed):
        return
    assert isinstance(loop, VirtualLoop)  # noqa: S101 - it is its handler
    what = context.get("message", "a fault")
    task = context.get("task") or context.get("future")
    whose = f" in {task.get_name()}" if isinstance(task, asyncio.Task) else ""
    loop.faults.append(f"{what}{whose}: {type(error).__name__}: {error}" if error is not None else f"{what}{whose}")
