"""How many flushes to the disk an order costs: counted by a VFS under SQLite, in a run of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
from attrs import frozen

from benchmarks.contestants import ours

_NAME = "benchmark-counting"


@frozen
class Commits:
    """Flushes per order; two commits are due for each: the permission to send, and the answer."""

    in_flight: int
    flushes_per_order: float


class _CountingVfs(apsw.VFS):
    """The operating system's files, with a count of the flushes."""

    def __init__(self) -> None:
        # By name: once ours is the default, "" would mean itself.
        self.beneath = apsw.vfs_names()[0]
        super().__init__(_NAME, self.beneath, makedefault=True)
        self.flushes = 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file whose flushes are counted."""
        return _CountingFile(self, name, flags)


class _CountingFile(apsw.VFSFile):
    def __init__(self, vfs: _CountingVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(vfs.beneath, name, flags)
        self._vfs = vfs

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Count, and flush."""
        self._vfs.flushes += 1
        super().xSync(flags)


async def measure_commits(url: str, folder: Path, *, counts: dict[int, int]) -> list[Commits]:
    """Send orders through a journal whose flushes are counted.

    Args:
        url: The order server.
        folder: Where the journal goes.
        counts: In flight, to the number of orders.
    """
    vfs = _CountingVfs()
    try:
        async with ours(url, folder) as contestant:
            found = []
            for in_flight, orders in counts.items():
                numbers = iter(range(orders))

                async def send_some() -> None:
                    for _ in numbers:  # noqa: B023 - done before the next turn of the loop
                        await contestant.send()

                before = vfs.flushes
                async with asyncio.TaskGroup() as group:
                    for _ in range(in_flight):
                        group.create_task(send_some())
                found.append(Commits(in_flight, (vfs.flushes - before) / orders))
            return found
    finally:
        vfs.unregister()
