"""The threads that talk to SQLite: one commits for everyone who waits, one reads.

The event loop never touches the disk. What was handed to the committing thread is carried out, whatever happens to the
task that waits for it: cancellation loses the news, never the record.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import apsw

from kiwoom_async._domain.ambient import Workplace
from kiwoom_async._journal.store import UNREADABLE, to_journal_error, unreadable
from kiwoom_async._workplace import THREADS
from kiwoom_async.errors import JournalError

_T = TypeVar("_T")
_Result = tuple[Any, BaseException | None]


class _Job(Generic[_T]):
    """One operation and the future of whoever waits for it."""

    __slots__ = ("future", "loop", "operation")

    def __init__(self, operation: Callable[[apsw.Connection], _T], loop: asyncio.AbstractEventLoop) -> None:
        self.operation = operation
        self.loop = loop
        self.future: asyncio.Future[_T] = loop.create_future()


class Worker:
    """A thread that owns one connection and takes all waiting jobs at once.

    Args:
        name: Of the thread.
        connection: Belongs to the worker from now on.
        path: Of the file, for errors.
        workplace: What it gets its turns from; by itself a thread.
    """

    def __init__(self, name: str, connection: apsw.Connection, path: Path, workplace: Workplace = THREADS) -> None:
        self._connection = connection
        self._path = path
        self._waiting: deque[_Job[Any]] = deque()
        self._door = threading.Lock()
        self._is_closing = False
        self._turns = workplace.begin(name, self._take_turn)

    async def run(self, operation: Callable[[apsw.Connection], _T]) -> _T:
        """Carry out an operation in the thread.

        Cancellation: the operation is carried out all the same.

        Raises:
            JournalError: SQLite failed; nothing of this operation is in the file, as far as SQLite can tell.
        """
        return await self.hand_in(operation)

    def hand_in(self, operation: Callable[[apsw.Connection], _T]) -> asyncio.Future[_T]:
        """Have an operation carried out in the thread, after all that was handed in before; give what tells of it.

        Raises:
            JournalError: The worker is closed.
        """
        job = _Job(operation, asyncio.get_running_loop())
        with self._door:
            if self._is_closing:
                raise JournalError("The journal is closed; open a new client.")
            self._waiting.append(job)
            self._turns.wake()
        return job.future

    def close(self) -> None:
        """Finish what was handed in, close the connection and end the thread. Blocks; call it in a thread."""
        with self._door:
            self._is_closing = True
        self._turns.end()
        self._connection.close()

    def _take_turn(self) -> None:
        with self._door:
            batch = list(self._waiting)
            self._waiting.clear()
        if batch:
            _deliver(batch, self._carry_out([job.operation for job in batch]))
            self._on_done()

    def _on_done(self) -> None:
        """Do what comes after a batch; nobody waits for it."""

    def _carry_out(self, operations: list[Callable[[apsw.Connection], Any]]) -> list[_Result]:
        return [self._attempt(operation) for operation in operations]

    def _attempt(self, operation: Callable[[apsw.Connection], Any]) -> _Result:
        try:
            return operation(self._connection), None
        except apsw.Error as error:
            return None, self._explain(error)
        except UNREADABLE as error:
            return None, self._blame(error)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits, not to this thread
            return None, error

    def _explain(self, error: apsw.Error) -> JournalError:
        explained = to_journal_error(error, self._path)
        explained.__cause__ = error
        return explained

    def _blame(self, error: Exception) -> JournalError:
        blamed = unreadable(self._path, error)
        blamed.__cause__ = error
        return blamed


class CommittingWorker(Worker):
    """Group commit: one transaction, and so one fsync, for every operation that waits at that moment.

    Each operation runs in a savepoint of its own, so that one that fails takes no other with it.

    Args:
        name: Of the thread.
        connection: To the file.
        path: Of the file.
        workplace: What it gets its turns from; by itself a thread.
        on_commit: Called in its turn after each commit, once all who waited for it are told. None: nobody is.
    """

    def __init__(
        self,
        name: str,
        connection: apsw.Connection,
        path: Path,
        workplace: Workplace = THREADS,
        *,
        on_commit: Callable[[apsw.Connection], None] | None = None,
    ) -> None:
        self._on_commit = on_commit
        super().__init__(name, connection, path, workplace)

    def _on_done(self) -> None:
        if self._on_commit is not None:
            # A connection that is beyond use tells the next one who needs it.
            with suppress(apsw.Error):
                self._on_commit(self._connection)

    def _carry_out(self, operations: list[Callable[[apsw.Connection], Any]]) -> list[_Result]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._in_savepoint(operation) for operation in operations]
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - every waiter has to hear of it
            self._roll_back()
            # One for each: a traceback grows with every task that raises it.
            return [(None, self._explain(error) if isinstance(error, apsw.Error) else error) for _ in operations]
        return results

    def _in_savepoint(self, operation: Callable[[apsw.Connection], Any]) -> _Result:
        self._connection.execute("SAVEPOINT operation")
        result = self._attempt(operation)
        error = result[1]
        if error is not None:
            if not self._connection.in_transaction:
                raise error  # a full disk or a failing one: SQLite has rolled everything back
            self._connection.execute("ROLLBACK TO operation")
        self._connection.execute("RELEASE operation")
        return result

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            # The connection is beyond use; every later operation fails and says so.
            pass


def _deliver(batch: list[_Job[Any]], results: list[_Result]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Result]]] = {}
    for job, result in zip(batch, results, strict=True):
        by_loop.setdefault(job.loop, []).append((job.future, result))
    for loop, outcomes in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, outcomes)
        except RuntimeError:
            # The loop was closed while we committed: nobody waits any more, and the record stands.
            continue


def _settle(outcomes: list[tuple[asyncio.Future[Any], _Result]]) -> None:
    for future, (value, error) in outcomes:
        if future.done():
            continue  # the waiter was cancelled
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
