"""The client's own tasks end when they are told to, whatever they are doing at that moment."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest

from kiwoom_async._execution import tasks as tasks_module
from kiwoom_async._execution.tasks import OwnTasks, complete
from kiwoom_async.errors import JournalLocked


async def test_a_cancellation_is_not_lost_over_work_that_fails() -> None:
    """Work that is seen to its end and fails meanwhile does not hide that its task was told to end."""
    may_fail = asyncio.Event()

    async def fail() -> None:
        await may_fail.wait()
        raise JournalLocked("locked")

    task = asyncio.create_task(complete(fail()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_fail.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, JournalLocked)


async def test_work_that_is_canceled_itself_passes_it_on() -> None:
    """Nothing came of the work, and whoever waits for it hears so at once."""

    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await complete(give_up())


async def test_a_task_that_overhears_its_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a client must end, also where an error on the way out hides the cancellation."""
    monkeypatch.setattr(tasks_module, "TELL_AGAIN_AFTER", 0.01)
    own, passes = OwnTasks(), []

    async def overhear() -> None:
        while True:
            passes.append(1)
            try:
                try:
                    await asyncio.Event().wait()
                finally:
                    if len(passes) == 1:
                        raise JournalLocked("locked")
            except JournalLocked:
                continue

    own.start(overhear(), "overhears")
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await own.cancel()
    assert len(passes) == 2


async def test_a_task_that_dies_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody awaits these tasks, so an error that ends one must be heard of."""
    own = OwnTasks()

    async def die() -> None:
        raise RuntimeError("boom")

    task = own.start(die(), "dies")
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError):
        await task
    await asyncio.sleep(0)
    assert "dies" in caplog.text
    await own.cancel()


async def test_a_task_that_is_told_to_end_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log nor the event loop hears of it."""
    heard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    own = OwnTasks()
    own.start(asyncio.sleep(3600), "sleeps")
    await asyncio.sleep(0)
    await own.cancel()
    await asyncio.sleep(0)
    assert (heard, caplog.records) == ([], [])


async def test_work_that_fails_raises_its_own_error() -> None:
    """Where nobody was told to end, there is nothing else to raise."""

    async def fail() -> None:
        raise JournalLocked("locked")

    with pytest.raises(JournalLocked):
        await complete(fail())


async def test_work_in_a_canceled_scope_is_waited_for_and_not_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scope cancels anew at every turn of the loop; the wait must not turn with it."""
    waits, wait = [], asyncio.wait

    async def counted(*given: Any, **known: Any) -> Any:
        waits.append(1)
        return await wait(*given, **known)

    async def work() -> str:
        for _ in range(50):
            await asyncio.sleep(0)
        return "done"

    monkeypatch.setattr(asyncio, "wait", counted)
    told = ""
    with anyio.CancelScope() as scope:
        scope.cancel()
        told, _ = await complete(work())
    assert told == "done"
    assert len(waits) <= 2
