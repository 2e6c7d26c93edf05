"""Where blocking work is carried out: in threads, unless the `Ambient` knows another place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

from kiwoom_async._domain.ambient import Ambient, HasWorkplace, Turns, Workplace

_T = TypeVar("_T")


class _ThreadTurns:
    """A thread of its own."""

    def __init__(self, name: str, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._bell = threading.Condition()
        self._is_due = False
        self._is_ending = False
        # A daemon: a bot that dies without closing its client must not hang at its exit. A commit that is cut off then
        # is a crash like any other.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Give a turn soon."""
        with self._bell:
            self._is_due = True
            self._bell.notify()

    def end(self) -> None:
        """Give the last turn and end the thread."""
        with self._bell:
            self._is_ending = True
            self._bell.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._bell:
                while not self._is_due and not self._is_ending:
                    self._bell.wait()
                if not self._is_due:
                    return
                self._is_due = False
            self._turn()


class _Threads:
    """The threads of the operating system."""

    def begin(self, name: str, turn: Callable[[], None]) -> Turns:
        """Start a thread that takes turns."""
        return _ThreadTurns(name, turn)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Carry out work in a thread of the pool."""
        return await anyio.to_thread.run_sync(work)


THREADS: Workplace = _Threads()
"""The usual workplace."""


def workplace_of(ambient: Ambient) -> Workplace:
    """Give the place where a process carries out what blocks."""
    return ambient.workplace if isinstance(ambient, HasWorkplace) else THREADS
