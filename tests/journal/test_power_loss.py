"""Power cuts and failing disks at every call of a session: what was reported durable is there, whole, or nothing opens.

The suite takes some of the calls, `KIWOOM_ASYNC_THOROUGH=1` all of them with more chances of tearing.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._domain.states import Event
from kiwoom_async._domain.vocabulary import Desk, ResolvedBy
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding
from kiwoom_async._journal.store import Access
from kiwoom_async.errors import JournalError, JournalRestored
from tests.journal.builders import (
    ABSENT,
    ACCOUNT,
    BY_RESPONSE,
    DAY,
    LOST,
    NOON,
    FixedAmbient,
    acknowledged,
    fill,
    intent,
    news_of,
    obligation,
    permitted,
    plan,
    report,
    row,
)
from tests.journal.faulty_vfs import Disk, FaultyVFS, disk_broken, disk_full, put_on_disk, torn

AMBIENT: Final = FixedAmbient()
IS_THOROUGH: Final = bool(os.environ.get("KIWOOM_ASYNC_THOROUGH"))
CHANCES: Final = 12 if IS_THOROUGH else 1
"""Ways in which a disk is torn at each call."""

STRIDE: Final = 1 if IS_THOROUGH else 13
"""Every so many calls fail."""

Content = dict[str, list[tuple[Any, ...]]]

_OF_A_PROCESS: Final = {"runners", "leases", "identities"}
"""Tables that differ from one process to the next."""


def read_content(connection: apsw.Connection) -> Content:
    """Read everything a journal says about orders."""
    names = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    columns = {
        name: [column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})") if column != "runner"]
        for name in names
    }
    return {
        name: connection.execute(f"SELECT {', '.join(columns[name])} FROM {name}").fetchall()  # noqa: S608 - our own
        for name in names
        if name not in _OF_A_PROCESS
    }


async def _decide(journal: Journal, name: str, finding: Finding) -> None:
    record = await journal.find(name)
    assert record is not None
    await journal.conclude(record.last, finding)


async def _resend(journal: Journal) -> None:
    record = await journal.find("order-2")
    assert record is not None
    permitted(await journal.replace(record.last, ABSENT, plan("order-2", follows=1)))


async def _take_back(journal: Journal) -> None:
    record = await journal.find("order-3")
    assert record is not None
    await journal.withdraw(record.last, "it was another one")


BY_HAND: Final = acknowledged("0000103", resolved_by=ResolvedBy.OPERATOR, reason="seen on the screen")
CLOSE: Final = DayClose(desk=Desk.STOCK, day=DAY, closed_at=NOON, rows=3, own=2)

STEPS: Final[tuple[Callable[[Journal], Awaitable[object]], ...]] = (
    lambda journal: journal.dispatch(plan("order-1")),
    lambda journal: _decide(journal, "order-1", BY_RESPONSE),
    lambda journal: journal.dispatch(plan("order-2")),
    lambda journal: _decide(journal, "order-2", LOST),
    _resend,
    lambda journal: _decide(journal, "order-2", acknowledged("0000102")),
    lambda journal: journal.prepare(intent("cancel-1", obligation().request), obligation(target="order-3")),
    lambda journal: journal.note_reports([fill(4, 4), report(number="0000103")]),
    lambda journal: journal.dispatch(plan("order-3")),
    lambda journal: _decide(journal, "order-3", LOST),
    lambda journal: _decide(journal, "order-3", BY_HAND),
    _take_back,
    lambda journal: journal.begin_feed(1000.0, NOON),
    lambda journal: journal.note_feed(1, 1001.0),
    lambda journal: journal.end_feed(1, 1002.0, "closed"),
    lambda journal: journal.move_switch(KillSwitchState(True, "stop", "op", NOON)),
    lambda journal: journal.move_switch(KillSwitchState(False, "go", "op", NOON)),
    lambda journal: journal.rehearse(intent("dry-1"), DAY, Terms()),
    lambda journal: _decide(journal, "order-3", Finding(Event.DAY_CLOSED, reason="over")),
    lambda journal: journal.note_ledger(news_of(row(filled=10, leaves=0), highest=103, is_final=True)),
    lambda journal: journal.close_day(CLOSE),
)
"""Each is one transaction, and together they write every table."""


def journal_of(path: Path, vfs: FaultyVFS, **changes: Any) -> Journal:
    """Open a journal on a disk of these tests."""
    return Journal(path, AMBIENT, ACCOUNT, access=Access(vfs.vfs_name), **changes)


async def checkpoint_often(journal: Journal) -> None:
    """Have the log brought into the file again and again: that is where a power cut has most to tear."""
    await journal._write(lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 5"))


async def contents(folder: Path) -> list[Content]:
    """Give what a journal holds before the first step and after each, on a disk that does as it should."""
    vfs = FaultyVFS()
    vfs.is_volatile = True
    async with journal_of(folder / "healthy.db", vfs) as journal:
        found = [await journal._read(read_content)]
        for step in STEPS:
            await step(journal)
            found.append(await journal._read(read_content))
    return found


async def content_of(disk: Disk, journal: Path, folder: Path, **changes: Any) -> Content:
    """Open what a power cut has left, as the next start does, and read it; SQLite finds no fault with it."""
    vfs = FaultyVFS()
    vfs.is_volatile = True
    async with journal_of(put_on_disk(disk, journal, folder), vfs, **changes) as opened:
        found = await opened._read(read_content)
        assert await opened._read(lambda connection: connection.execute("PRAGMA integrity_check").get) == "ok"
        assert await opened._read(lambda connection: connection.execute("PRAGMA foreign_key_check").fetchall()) == []
    return found


async def cut_everywhere(path: Path, *, is_synced: bool) -> list[tuple[int, Disk]]:
    """Run the session; give for each call of the disk the steps reported before, and what a cut then may leave."""
    vfs = FaultyVFS(remembers_synced=True)
    vfs.is_volatile = True
    disks: list[tuple[int, Disk]] = []
    done = 0

    def cut(kind: str) -> None:
        disks.extend((done, torn(vfs, f"{len(disks)}-{number}")) for number in range(CHANCES))

    vfs.on_call = cut
    async with journal_of(path, vfs) as journal:
        await checkpoint_often(journal)
        if not is_synced:
            await journal._write(lambda connection: None)
            assert journal._writer is not None
            journal._writer._connection.execute("PRAGMA synchronous = NORMAL")
        for step in STEPS:
            await step(journal)
            done += 1
            cut("pause")
    cut("end")
    return disks


async def test_steps_write_every_table(tmp_path: Path) -> None:
    """The session of these tests leaves no table of orders out, and no step without a trace."""
    found = await contents(tmp_path)
    assert all(before != after for before, after in pairwise(found))
    written = {name for content in found for name, rows in content.items() if rows}
    assert set(found[0]) - written == {"breaches", "channels", "foreign_orders"}


async def test_power_loss_replays_sync_full_vs_normal(tmp_path: Path) -> None:
    """A cut at every call, torn at random: with FULL all that was reported is there, whole; NORMAL forgets orders."""
    expected = await contents(tmp_path)
    for is_synced in (True, False):
        disks = await cut_everywhere(tmp_path / f"{is_synced}.db", is_synced=is_synced)
        forgotten = 0
        for number, (done, disk) in list(enumerate(disks))[:: 1 if IS_THOROUGH else 5]:
            found = await content_of(disk, tmp_path / f"{is_synced}.db", tmp_path / f"{is_synced}-{number}")
            allowed = expected[done : done + 2]
            if is_synced:
                assert found in allowed, f"cut {number} after {done} steps"
            else:
                # Never in pieces, not even then.
                assert found in expected, f"cut {number} after {done} steps"
                forgotten += found not in allowed
        assert len(disks) >= 100
        assert (forgotten > 0) is not is_synced


async def test_what_a_disk_forgets_is_noticed_by_the_seal(tmp_path: Path) -> None:
    """A disk that does not sync what it says it has synced: the next start is refused, and not told old news (A1)."""
    path, vfs = tmp_path / "orders.db", FaultyVFS(remembers_synced=True)
    vfs.is_volatile = True
    async with journal_of(path, vfs, seals=tmp_path / "seals") as journal:
        await STEPS[0](journal)
        before = torn(vfs, "seed")
        await STEPS[1](journal)
    with pytest.raises(JournalRestored):
        await content_of(before, path, tmp_path / "after", seals=tmp_path / "seals")


async def fail_at(
    path: Path, number: int, failure: Callable[[], Exception], *, is_short: bool
) -> tuple[int, Any, bool]:
    """Run the session until the N-th call of the disk fails; then cut the power, and go on without failures.

    Returns:
        The steps that were reported before the failure, -1 if it came while opening; what the cut has left, None if
        no step failed; whether the N-th call was reached.
    """
    vfs = FaultyVFS(remembers_synced=True)
    vfs.is_volatile, vfs.is_short = True, is_short
    vfs.arm(number, failure)
    done = -1
    try:
        async with journal_of(path, vfs) as journal:
            await checkpoint_often(journal)
            done = 0
            for step in STEPS:
                try:
                    await step(journal)
                except JournalError:
                    left = torn(vfs, str(number))
                    vfs.disarm()
                    # What has failed can be done again, unless it was done after all.
                    async with journal_of(path, vfs) as other:
                        is_done = await other._read(read_content)
                    return done, (left, is_done), True
                done += 1
    except JournalError:
        vfs.disarm()
        return -1, (torn(vfs, str(number)), None), True
    return done, None, vfs.has_struck


@pytest.mark.parametrize(
    ("failure", "is_short"),
    [(disk_full, False), (disk_broken, False), (disk_broken, True)],
    ids=["full", "io", "short"],
)
async def test_disk_that_fails_and_then_loses_power(
    tmp_path: Path, failure: Callable[[], Exception], *, is_short: bool
) -> None:
    """The N-th call fails, for each N; after a sync that fails the disk never gets those pages: all or nothing."""
    expected = await contents(tmp_path)
    failures = 0
    for number in range(1 + STRIDE // 2, 10_000, STRIDE):
        path = tmp_path / f"orders-{number}.db"
        done, failed, has_struck = await fail_at(path, number, failure, is_short=is_short)
        if failed is not None:
            failures += 1
            left, is_done = failed
            allowed = expected[max(done, 0) : max(done, 0) + 2]
            assert await content_of(left, path, tmp_path / f"left-{number}") in allowed
            assert is_done is None or is_done in allowed
        else:
            # It struck where nobody was told, in a checkpoint, which is done again later; or not at all.
            assert done == len(STEPS)
            async with Journal(path, AMBIENT, ACCOUNT) as journal:
                assert await journal._read(read_content) == expected[-1]
        if not has_struck:
            break
    assert failures >= 3
