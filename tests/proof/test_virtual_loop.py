"""The loop without time: order, jumps, standstill, realms that stand still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from kiwoom_async._proof.virtual_loop import REALM, Killed, Realm, Standstill, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """Give a loop, closed afterwards."""
    made = VirtualLoop()
    yield made
    made.close()


def start_in(loop: VirtualLoop, realm: Realm, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task in a realm."""
    context = copy_context()
    context.run(REALM.set, realm)
    return loop.create_task(work, context=context)


def test_time_jumps_to_the_next_timer(loop: VirtualLoop) -> None:
    """A day of sleep takes a day of virtual time, exactly."""

    async def sleep() -> float:
        await asyncio.sleep(86_400.125)
        return loop.time()

    assert loop.run_until_complete(sleep()) == 86_400.125


def test_ready_callbacks_run_in_the_order_they_came(loop: VirtualLoop) -> None:
    """First come, first served, also among timers of one moment."""
    seen: list[int] = []

    async def watch() -> None:
        for number in range(5):
            loop.call_later(1.0, seen.append, 10 + number)
        for number in range(5):
            loop.call_soon(seen.append, number)
        await asyncio.sleep(2)

    loop.run_until_complete(watch())
    assert seen == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]


def test_timers_of_one_moment_do_not_jump_the_queue(loop: VirtualLoop) -> None:
    """No time passes while anything is ready, unless it is ready for ever."""

    async def count() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return loop.time()

    assert loop.run_until_complete(count()) == 0.0


def test_a_hang_is_found(loop: VirtualLoop) -> None:
    """Where everything waits and no timer is left, the loop says who waits."""

    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    task = loop.create_task(wait_for_ever(), name="the one that hangs")
    with pytest.raises(Standstill, match="the one that hangs"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_canceled_timers_move_no_time(loop: VirtualLoop) -> None:
    """A timeout that was not needed leaves no trace."""

    async def be_quick() -> float:
        async with asyncio.timeout(1000):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        return loop.time()

    assert loop.run_until_complete(be_quick()) == 2.0


def test_anyio_lives_by_the_same_time(loop: VirtualLoop) -> None:
    """Scopes, deadlines and task groups of anyio need no other loop."""

    async def work() -> float:
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 3)
                group.start_soon(anyio.sleep_forever)
        assert scope.cancelled_caught
        return anyio.current_time()

    assert loop.run_until_complete(work()) == 5.0


def test_what_stands_still_runs_on_where_it_stopped(loop: VirtualLoop) -> None:
    """A frozen realm does nothing while time passes for others, and everything in order afterwards."""
    seen: list[tuple[str, float]] = []
    realm = Realm("frozen")

    async def tick(name: str) -> None:
        for _ in range(4):
            await asyncio.sleep(1)
            seen.append((name, loop.time()))

    async def main() -> None:
        inside = start_in(loop, realm, tick("inside"))
        loop.call_later(1.5, setattr, realm, "is_still", True)
        loop.call_later(10.0, loop.wake, realm)
        await asyncio.gather(inside, tick("outside"))

    loop.run_until_complete(main())
    assert [at for name, at in seen if name == "outside"] == [1.0, 2.0, 3.0, 4.0]
    assert [at for name, at in seen if name == "inside"] == [1.0, 10.0, 11.0, 12.0]


def test_a_dead_realm_runs_no_finally(loop: VirtualLoop) -> None:
    """What is killed changes nothing any more, not even by its cleanup, however much time passes."""
    seen: list[str] = []
    realm = Realm("dead")

    async def work() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            seen.append("cleanup")

    async def main() -> None:
        task = start_in(loop, realm, work())
        await asyncio.sleep(0.5)
        realm.is_still = True
        task.cancel()
        await asyncio.sleep(100)
        assert seen == []
        assert list(realm.tasks) == [task]
        loop.wake(realm)
        await asyncio.wait([task])

    loop.run_until_complete(main())
    assert seen == ["cleanup"]
    assert loop.faults == []


def test_children_belong_to_the_realm_of_their_parent(loop: VirtualLoop) -> None:
    """Tasks, timers and futures that a realm makes stand still with it."""
    seen: list[str] = []
    realm = Realm("parent")

    async def parent() -> None:
        loop.call_later(2.0, seen.append, "timer")
        await asyncio.gather(child(), child())

    async def child() -> None:
        await asyncio.sleep(2)
        seen.append("child")

    async def main() -> None:
        task = start_in(loop, realm, parent())
        await asyncio.sleep(1)
        assert len(realm.tasks) == 3
        realm.is_still = True
        await asyncio.sleep(5)
        assert seen == []
        loop.wake(realm)
        await task

    loop.run_until_complete(main())
    assert seen == ["timer", "child", "child"]


def test_exceptions_that_nobody_took_are_faults(loop: VirtualLoop) -> None:
    """A callback that raises is noted; one that died with its process is not."""

    def fail() -> None:
        raise ZeroDivisionError

    def die() -> None:
        raise Killed

    async def main() -> None:
        loop.call_soon(fail)
        loop.call_soon(die)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert len(loop.faults) == 1
    assert "ZeroDivisionError" in loop.faults[0]


def test_work_for_threads_is_done_at_once(loop: VirtualLoop) -> None:
    """There are no threads: what is meant for one is done in the same moment, and raises what it raises."""

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 42)

    assert loop.run_until_complete(main()) == 42
    assert loop.time() == 0.0


async def give_up() -> None:
    """Wait for something that never happens, with no patience at all."""
    with anyio.move_on_after(1e-17):
        await asyncio.Event().wait()


@pytest.mark.parametrize("spin", [lambda: asyncio.sleep(1e-17), lambda: asyncio.sleep(0), give_up])
def test_wait_for_what_a_rounding_leaves_ends(loop: VirtualLoop, spin: Callable[[], Awaitable[None]]) -> None:
    """Waits too short to move the clock move it all the same in the end: who waits until a moment gets there."""

    async def main() -> int:
        await asyncio.sleep(1.7)
        until, turns = loop.time() + 4e-16, 0
        while loop.time() < until and turns < 50_000:
            await spin()
            turns += 1
        return turns

    assert 1 < loop.run_until_complete(main()) < 50_000
    assert loop.time() < 1.7001
