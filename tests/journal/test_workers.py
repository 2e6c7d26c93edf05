"""One fsync for everyone who waits, and a record that outlives whoever waited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from kiwoom_async._domain.states import Delivery
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, Known
from kiwoom_async._journal.store import Access
from kiwoom_async.errors import ClientOrderIdConflict, JournalError
from tests.journal.builders import ACCOUNT, FixedAmbient, dispatched, plan
from tests.journal.faulty_vfs import FaultyVFS

AMBIENT = FixedAmbient()


class Gate:
    """An operation that holds the committing thread until it is let go."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.may_go = threading.Event()

    def __call__(self, _: apsw.Connection) -> None:
        """Hold the thread."""
        self.is_reached.set()
        assert self.may_go.wait(10)

    async def hold(self, run: Callable[[Any], Any]) -> asyncio.Future[Any]:
        """Start holding."""
        task: asyncio.Future[Any] = asyncio.ensure_future(run(self))
        await asyncio.to_thread(self.is_reached.wait)
        return task


async def handed_in(journal: Journal, count: int) -> None:
    """Wait until this many operations are waiting for the thread."""
    assert journal._writer is not None
    while len(journal._writer._waiting) < count:  # noqa: ASYNC110 - the queue has no event
        await asyncio.sleep(0)


async def test_64_waiters_share_one_sync(tmp_path: Path) -> None:
    """What waits while a commit runs is committed together: one sync for 64 dispatches."""
    vfs, gate = FaultyVFS(), Gate()
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT, access=Access(vfs.vfs_name)) as journal:
        await dispatched(journal, "first")
        holding = await gate.hold(journal._write)
        waiting = [asyncio.ensure_future(journal.dispatch(plan(f"order-{number}"))) for number in range(64)]
        await handed_in(journal, 64)
        before = vfs.calls["sync"]
        gate.may_go.set()
        await holding
        assert all(isinstance(permission, Dispatched) for permission in await asyncio.gather(*waiting))
        assert vfs.calls["sync"] - before == 1


async def test_64_callers_at_once_need_few_syncs(tmp_path: Path) -> None:
    """The same without a gate: far fewer syncs than callers."""
    vfs = FaultyVFS()
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT, access=Access(vfs.vfs_name)) as journal:
        await dispatched(journal, "first")
        before = vfs.calls["sync"]
        await asyncio.gather(*(journal.dispatch(plan(f"order-{number}")) for number in range(64)))
        assert vfs.calls["sync"] - before <= 16


async def test_conflict_takes_no_other_down(tmp_path: Path) -> None:
    """An operation that raises in the middle of a batch is undone alone."""
    gate = Gate()
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await dispatched(journal, "taken")
        holding = await gate.hold(journal._write)

        def half(connection: apsw.Connection) -> None:
            connection.execute("INSERT INTO leases VALUES ('half', 'x', 1, 'x', 1)")
            raise ZeroDivisionError

        waiting = [
            asyncio.ensure_future(journal.dispatch(plan("order-1"))),
            asyncio.ensure_future(journal.dispatch(plan("taken", account="key-other"))),
            asyncio.ensure_future(journal._write(half)),
            asyncio.ensure_future(journal._write(lambda connection: connection.execute("no SQL"))),
            asyncio.ensure_future(journal.dispatch(plan("order-2"))),
        ]
        await handed_in(journal, len(waiting))
        gate.may_go.set()
        await holding
        results = await asyncio.gather(*waiting, return_exceptions=True)
        kinds = [type(result) for result in results]
        assert kinds == [Dispatched, ClientOrderIdConflict, ZeroDivisionError, JournalError, Dispatched]
        assert await journal.find("order-1") is not None
        assert await journal.find("order-2") is not None
        leases = await journal._read(lambda connection: connection.execute("SELECT * FROM leases").fetchall())
        assert leases == []


async def test_cancelled_waiter_loses_the_news_never_the_record(tmp_path: Path) -> None:
    """A dispatch whose caller is cancelled while the commit runs is in the file all the same."""
    gate = Gate()
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        holding = await gate.hold(journal._write)
        waiting = [asyncio.ensure_future(journal.dispatch(plan(f"order-{number}"))) for number in range(3)]
        await handed_in(journal, 3)
        waiting[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]
        gate.may_go.set()
        await holding
        assert isinstance(await waiting[0], Dispatched)
        assert isinstance(await waiting[2], Dispatched)
        known = await journal.dispatch(plan("order-1"))
        assert isinstance(known, Known)
        assert known.record.last.state is Delivery.DISPATCHED


async def test_closing_finishes_what_was_handed_in(tmp_path: Path) -> None:
    """What waits when the journal is closed is committed first; what comes later is refused."""
    path, gate = tmp_path / "orders.db", Gate()
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        holding = await gate.hold(journal._write)
        waiting = asyncio.ensure_future(journal.dispatch(plan()))
        await handed_in(journal, 1)
        closing = asyncio.ensure_future(asyncio.to_thread(journal._close))
        gate.may_go.set()
        await closing
        await holding
        assert isinstance(await waiting, Dispatched)
        with pytest.raises(JournalError, match="closed"):
            await journal.dispatch(plan("order-2"))
        with pytest.raises(JournalError, match="closed"):
            await journal.find("order-1")
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        assert await journal.find("order-1") is not None


def test_loop_that_ends_before_the_commit_leaves_the_record(tmp_path: Path) -> None:
    """An event loop that is closed while the thread commits hurts neither the thread nor the row."""
    path, gate = tmp_path / "orders.db", Gate()
    journal = Journal(path, AMBIENT, ACCOUNT)

    async def leave() -> None:
        await journal.__aenter__()
        await gate.hold(journal._write)
        waiting = asyncio.ensure_future(journal.dispatch(plan()))
        await handed_in(journal, 1)
        waiting.cancel()

    asyncio.run(leave())
    gate.may_go.set()
    journal._close()

    async def look() -> None:
        async with Journal(path, AMBIENT, ACCOUNT) as again:
            assert await again.find("order-1") is not None

    asyncio.run(look())


async def test_reading_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """Reads go on while a write transaction is open, in this process and in another, and see what is committed."""
    path, gate = tmp_path / "orders.db", Gate()
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        await dispatched(journal, "order-1")
        holding = await gate.hold(journal._write)
        waiting = asyncio.ensure_future(journal.dispatch(plan("order-2")))
        await handed_in(journal, 1)
        assert await journal.find("order-1") is not None
        assert await journal.find("order-2") is None
        assert len(await journal.open_attempts()) == 1
        assert not waiting.done()
        gate.may_go.set()
        await holding
        await waiting


async def test_writing_does_not_wait_for_a_reader(tmp_path: Path) -> None:
    """A reader in the middle of its transaction holds up no dispatch."""
    path, gate = tmp_path / "orders.db", Gate()
    async with Journal(path, AMBIENT, ACCOUNT, busy_timeout=0.05) as journal:

        def read_slowly(connection: apsw.Connection) -> object:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM intents").fetchall()
            gate(connection)
            found = connection.execute("SELECT count(*) FROM intents").get
            connection.execute("ROLLBACK")
            return found

        reading = asyncio.ensure_future(journal._read(read_slowly))
        await asyncio.to_thread(gate.is_reached.wait)
        await dispatched(journal)
        gate.may_go.set()
        assert await reading == 0
        assert await journal.find("order-1") is not None


async def test_reader_cannot_write(tmp_path: Path) -> None:
    """The reading connection refuses to change anything."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        with pytest.raises(JournalError):
            await journal._read(lambda connection: connection.execute("DELETE FROM runners").fetchall())
