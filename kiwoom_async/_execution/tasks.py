"""Tasks that belong to the client and not to whoever called it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import anyio

_T = TypeVar("_T")
_LOG: Final = logging.getLogger("kiwoom_async")

TELL_AGAIN_AFTER: Final = 1.0
"""Seconds after which a task that still runs is told to end once more. Source: our choice; what a task has to finish
takes milliseconds, so one that takes longer waits for the journal or has not heard."""


class OwnTasks:
    """Background tasks of one client.

    Plain tasks of the event loop, on purpose: a task group would tie the client to the task that opened it, and one
    that fails would cancel the bot.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that nobody but this object owns."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("a background task of the client ended with an error: %s", task.get_name(), exc_info=error)

    async def cancel(self) -> None:
        """Cancel what still runs and wait for its last words."""
        while self._tasks:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            # An error that a task meets on its way out can hide the cancellation from it.
            await asyncio.wait(tasks, timeout=TELL_AGAIN_AFTER)


async def complete(work: Coroutine[Any, Any, _T]) -> tuple[_T, asyncio.CancelledError | None]:
    """See a piece of work to its end even if this task is cancelled meanwhile; give its result and the cancellation.

    For work that is short and bounded. The caller must raise the cancellation once it has used the result. Where the
    work fails, the cancellation is raised, with the error as its cause: a loop that goes on after errors would go on.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            # The scope keeps anyio from cancelling anew at every turn of the loop; asyncio cancels through it.
            with anyio.CancelScope(shield=True):
                await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None and not task.cancelled() and (failure := task.exception()) is not None:
        raise cancellation from failure
    return task.result(), cancellation
