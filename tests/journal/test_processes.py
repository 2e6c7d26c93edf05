"""Several processes share one journal: real processes, really killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

import pytest

from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal.journal import Journal
from tests.journal.builders import ACCOUNT, DAY, FixedAmbient, dispatched
from tests.journal.runner import ROUNDS

AMBIENT = FixedAmbient()
ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(entry.name for entry in folder.iterdir())


async def start(path: Path, name: str, task: str) -> Process:
    """Start a process that uses the journal."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.journal.runner", str(path), name, task, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )


async def hear(process: Process) -> str:
    """Read one line of a process."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def race(processes: Sequence[Process]) -> list[list[str]]:
    """Let processes that are ready go at once; give what each said."""
    for process in processes:
        assert await hear(process) == "ready"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    return [out.decode().split() for out, _ in outputs]


async def test_claimed_order_never_claimed_twice(tmp_path: Path) -> None:
    """Two processes race for fifty order numbers: each number is one's, never both's."""
    path = tmp_path / "orders.db"
    said = await race([await start(path, "one", "claims"), await start(path, "two", "claims")])
    assert [sorted(pair) for pair in zip(*said, strict=True)] == [["claimed", "refused"]] * ROUNDS
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        claims = await journal.claims(Desk.STOCK, DAY, 0)
        assert len(claims) == ROUNDS
        assert {claim.client_order_id for claim, _ in claims.values()} == {
            f"{name}-{place}"
            for name, words in zip(("one", "two"), said, strict=True)
            for place, word in enumerate(words)
            if word == "claimed"
        }


async def test_two_processes_same_key_one_permission(tmp_path: Path) -> None:
    """Two processes ask for the same fifty ids: one permission for each."""
    path = tmp_path / "orders.db"
    said = await race([await start(path, "same", "ids"), await start(path, "same", "ids")])
    assert [sorted(pair) for pair in zip(*said, strict=True)] == [["known", "sent"]] * ROUNDS


async def test_killed_sender_is_adopted_and_a_living_one_is_not(tmp_path: Path) -> None:
    """A SIGKILL frees the lock of its process: its rows become UNKNOWN, those of the living stay DISPATCHED."""
    path = tmp_path / "orders.db"
    doomed, living = await start(path, "doomed", "hold"), await start(path, "living", "hold")
    killed, kept = await hear(doomed), await hear(living)
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        await dispatched(journal, "own")
        assert await journal.adopt_orphans() == 0
        doomed.send_signal(signal.SIGKILL)
        await doomed.wait()
        assert await journal.adopt_orphans() == 1
        states = {attempt.client_order_id: attempt.state for attempt in await journal.open_attempts()}
        assert states == {
            "doomed": Delivery.UNKNOWN,
            "living": Delivery.DISPATCHED,
            "own": Delivery.DISPATCHED,
        }
        assert not [name for name in names(tmp_path) if killed in name]
        assert [name for name in names(tmp_path) if kept in name]
        await living.communicate(b"")
        assert await journal.adopt_orphans() == 1
    assert names(tmp_path) == ["orders.db"]


async def test_processes_that_come_by_a_link_see_each_other(tmp_path: Path) -> None:
    """Two names of one file lead to the same locks, so nobody takes the living for dead."""
    folder, link = tmp_path / "real", tmp_path / "linked"
    folder.mkdir()
    link.symlink_to(folder)
    (tmp_path / "orders.db").symlink_to(folder / "orders.db")
    living = await start(folder / "orders.db", "living", "hold")
    await hear(living)
    for path in (link / "orders.db", tmp_path / "orders.db"):
        async with Journal(path, AMBIENT, ACCOUNT) as journal:
            assert await journal.adopt_orphans() == 0
    await living.communicate(b"")


async def test_journal_stays_found_when_the_bot_changes_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the folder the journal was opened in."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with Journal("orders.db", AMBIENT, ACCOUNT) as journal:
        monkeypatch.chdir(tmp_path / "elsewhere")
        await dispatched(journal)
        assert await journal.adopt_orphans() == 0
    assert names(tmp_path / "elsewhere") == []
    assert names(tmp_path) == ["elsewhere", "orders.db"]


BROWSER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM intents").fetchone()[0])
connection.close()
"""
"""What another program does: Python's own SQLite opens the file, reads, and closes it."""


async def browse(path: Path) -> int:
    """Count the intents as another program sees them."""
    browser = await asyncio.create_subprocess_exec(sys.executable, "-c", BROWSER, str(path), stdout=PIPE)
    output, _ = await browser.communicate()
    return int(output)


async def test_second_client_does_not_give_up_the_locks_of_the_first(tmp_path: Path) -> None:
    """With two clients in one process, a database browser that comes and goes cannot take the log from under them."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT) as first, Journal(path, AMBIENT, ACCOUNT):
        await dispatched(first, "order-1")
        assert await browse(path) == 1
        assert (tmp_path / "orders.db-wal").exists()
        await dispatched(first, "order-2")
        assert await browse(path) == 2
