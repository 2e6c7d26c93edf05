"""Simulated processes: how they die and freeze, and what that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.states import Delivery
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, Known
from kiwoom_async._proof.processes import Death, Moment, Pace, Process, World
from kiwoom_async._proof.timeline import Timeline
from kiwoom_async._proof.virtual_loop import VirtualLoop
from kiwoom_async.simulator.chance import seeded
from tests.journal.builders import ACCOUNT, plan


def play(scene: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """Carry out a scene in a world of its own, and bury whoever died in it."""
    loop = VirtualLoop()
    world = World(loop, Pace(seeded(1)), Timeline(is_kept=True))
    try:
        loop.run_until_complete(scene(world))
    finally:
        loop.run_until_complete(bury_all())
        loop.close()
    assert loop.faults == []
    return world


_CAST: Final[list[Process]] = []


def process_of(world: World, name: str = "A1", death: Death | None = None) -> Process:
    """Make a process."""
    process = Process(name, world, seeded(int.from_bytes(name.encode(), "big")), death=death)
    _CAST.append(process)
    return process


async def bury_all() -> None:
    """Unwind whoever is dead or still runs."""
    while any([process.bury() for process in _CAST]):  # noqa: ASYNC110, C419 - the dead ring no bell; all of them
        await asyncio.sleep(0)
    _CAST.clear()


def test_dispatches_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    """Group commit holds without threads: what comes while a turn is due is committed in it."""

    async def scene(world: World) -> None:
        process = process_of(world)

        async def trade() -> None:
            async with Journal(tmp_path / "orders.db", process, ACCOUNT) as journal:
                before = len([entry for entry in world.timeline.entries if entry[2] == "commits"])
                permits = await asyncio.gather(*(journal.dispatch(plan(f"order-{number}")) for number in range(64)))
                assert all(isinstance(permit, Dispatched) for permit in permits)
                assert len([entry for entry in world.timeline.entries if entry[2] == "commits"]) == before + 1

        await process.start(trade()).wait()
        assert not process.realm.tasks

    play(scene)


def test_killed_after_a_commit_the_row_stays_and_nobody_hears(tmp_path: Path) -> None:
    """A row that was committed when its process died is there for the next one, which finds the sender dead."""

    async def scene(world: World) -> None:
        first, second = process_of(world, death=Death(Moment.AFTER_COMMIT)), process_of(world, "A2")
        heard: list[str] = []

        async def trade() -> None:
            journal = Journal(tmp_path / "orders.db", first, ACCOUNT)
            first.locks = lambda: (journal._lock,)
            async with journal:
                await journal.dispatch(plan("order-1", runner=journal.runner))
                heard.append("permission")

        await first.start(trade()).wait()
        assert first.is_dead
        await asyncio.sleep(1000)
        assert heard == []

        async def look() -> None:
            async with Journal(tmp_path / "orders.db", second, ACCOUNT) as journal:
                assert await journal.adopt_orphans() == 1
                record = await journal.find("order-1")
                assert record is not None
                assert record.last.state is Delivery.UNKNOWN
                assert isinstance(await journal.dispatch(plan("order-1")), Known)
                heard.append("the truth")

        await second.start(look()).wait()
        assert heard == ["the truth"]

    play(scene)


def test_killed_before_a_commit_nothing_is_there(tmp_path: Path) -> None:
    """A row that was handed in and not committed when its process died was never written."""

    async def scene(world: World) -> None:
        first, second = process_of(world, death=Death(Moment.BEFORE_COMMIT)), process_of(world, "A2")
        seen: list[object] = []

        async def trade() -> None:
            journal = Journal(tmp_path / "orders.db", first, ACCOUNT)
            first.locks = lambda: (journal._lock,)
            async with journal:
                await journal.dispatch(plan("order-1"))

        await first.start(trade()).wait()

        async def look() -> None:
            async with Journal(tmp_path / "orders.db", second, ACCOUNT) as journal:
                await journal.adopt_orphans()
                seen.append(await journal.find("order-1"))

        await second.start(look()).wait()
        assert seen == [None]

    play(scene)


def test_living_process_is_no_orphan(tmp_path: Path) -> None:
    """The lock of a process that stands still is held: nobody takes its orders over before it is dead."""

    async def scene(world: World) -> None:
        first, second = process_of(world), process_of(world, "B1")
        adopted: list[int] = []

        async def trade() -> None:
            journal = Journal(tmp_path / "orders.db", first, ACCOUNT)
            first.locks = lambda: (journal._lock,)
            async with journal:
                await journal.dispatch(plan("order-1", runner=journal.runner))
                await asyncio.sleep(10_000)

        first.start(trade())
        await asyncio.sleep(1)
        first.freeze(100.0)

        async def look() -> None:
            async with Journal(tmp_path / "orders.db", second, ACCOUNT) as journal:
                adopted.append(await journal.adopt_orphans())
                first.kill("for the test")
                adopted.append(await journal.adopt_orphans())

        await second.start(look()).wait()
        assert adopted == [0, 1]

    play(scene)


def test_killed_at_a_checkpoint_the_callback_ends_there() -> None:
    """What follows a checkpoint is not carried out, and cleanup comes too late to change anything."""

    async def scene(world: World) -> None:
        death = Death(Moment.AT_CHECKPOINT, checkpoint=Checkpoint.BEFORE_COMMIT, count=2)
        process, passed = process_of(world, death=death), list[int]()

        async def work() -> None:
            for number in range(5):
                process.reached(Checkpoint.BEFORE_COMMIT)
                passed.append(number)
                await asyncio.sleep(1)

        await process.start(work()).wait()
        assert passed == [0]
        assert process.is_dead

    play(scene)


def test_freezing_lasts_its_time() -> None:
    """A process that was stopped goes on with what was due, later."""

    async def scene(world: World) -> None:
        process, ticks = process_of(world), list[float]()

        async def work() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                ticks.append(world.now)

        over = process.start(work())
        world.later(1.5, process.freeze, 10.0)
        await over.wait()
        assert ticks == [1.0, 11.5, 12.5]
        assert process.frozen == 10.0

    play(scene)


def test_end_with_an_error_is_a_fault() -> None:
    """A process that nobody killed and that fails all the same is found."""

    async def scene(world: World) -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        await process_of(world).start(fail()).wait()
        assert [fault for fault in world.loop.faults if "ZeroDivisionError" in fault]
        world.loop.faults.clear()

    play(scene)


def test_who_has_ended_cannot_be_killed() -> None:
    """A death that comes after the end is none."""

    async def scene(world: World) -> None:
        process = process_of(world, death=Death(Moment.AT_SECOND, seconds=5.0))
        await process.start(asyncio.sleep(1)).wait()
        await asyncio.sleep(10)
        assert not process.is_dead

    play(scene)
