"""No order is sent without a durable row, whatever the disk does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from kiwoom_async._domain.states import Delivery
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Known
from kiwoom_async._journal.store import Access
from kiwoom_async.errors import JournalCorrupt, JournalError, JournalLocked, JournalReadOnly
from tests.journal.builders import (
    ABSENT,
    ACCOUNT,
    LOST,
    FixedAmbient,
    acknowledged,
    dispatched,
    permitted,
    plan,
)
from tests.journal.faulty_vfs import FaultyVFS, disk_broken, disk_full, lose_power

AMBIENT = FixedAmbient()
FAILURES = pytest.mark.parametrize("failure", [disk_full, disk_broken])


def journal_on(vfs: FaultyVFS, path: Path) -> Journal:
    """Make a journal on a faulty disk."""
    return Journal(path, AMBIENT, ACCOUNT, busy_timeout=0.2, access=Access(vfs.vfs_name))


async def states(path: Path) -> dict[str, tuple[Delivery, ...]]:
    """Open the file on a healthy disk, check it, and read what became of every id."""
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        names = [f"order-{number}" for number in range(1, 4)]
        found = {name: await journal.find(name) for name in names}
        for name, record in found.items():
            assert (await journal.history(name) != ()) == (record is not None)
            if record is not None:
                for attempt in record.attempts:
                    states = [entry.state for entry in await journal.history(name) if entry.attempt == attempt.number]
                    assert states[-1] is attempt.state
                    numbers = [claim.broker_order_id for claim in record.claims if claim.attempt == attempt.number]
                    assert numbers == ([] if attempt.broker_order_id is None else [attempt.broker_order_id])
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    return {name: tuple(attempt.state for attempt in record.attempts) for name, record in found.items() if record}


async def test_no_send_when_commit_fails_disk_full(tmp_path: Path) -> None:
    """A full disk is a JournalError for the caller, and the order can be placed once there is room again."""
    vfs = FaultyVFS()
    async with journal_on(vfs, tmp_path / "orders.db") as journal:
        vfs.arm(1, disk_full, is_lasting=True)
        with pytest.raises(JournalReadOnly, match="disk is full"):
            await journal.dispatch(plan())
        vfs.disarm()
        assert await journal.find("order-1") is None
        permitted(await journal.dispatch(plan()))


async def test_no_send_when_db_locked_past_busy_timeout(tmp_path: Path) -> None:
    """Another program that holds the file makes the dispatch fail within the busy timeout."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT, busy_timeout=0.05) as journal:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLocked, match="locked by another program"):
            await journal.dispatch(plan())
        other.execute("ROLLBACK")
        other.close()
        assert await journal.find("order-1") is None
        permitted(await journal.dispatch(plan()))


@FAILURES
@pytest.mark.parametrize("is_lasting", [False, True])
async def test_every_journal_failure_of_a_dispatch(
    tmp_path: Path, failure: Callable[[], Exception], is_lasting: bool
) -> None:
    """The N-th disk call fails, for every N: there is a durable row, or a JournalError."""
    failures = 0
    for number in range(1, 1000):
        path, vfs = tmp_path / f"orders-{number}.db", FaultyVFS()
        async with journal_on(vfs, path) as journal:
            permitted(await journal.dispatch(plan("order-1", runner=journal.runner)))
            vfs.arm(number, failure, is_lasting=is_lasting)
            try:
                await journal.dispatch(plan("order-2", runner=journal.runner))
                is_permitted = True
            except JournalError:
                is_permitted = False
                failures += 1
            has_struck = vfs.has_struck
            vfs.disarm()
        found = await states(path)
        assert found["order-1"] == (Delivery.DISPATCHED,)
        assert found.get("order-2", ()) in ({(Delivery.DISPATCHED,)} if is_permitted else {(), (Delivery.DISPATCHED,)})
        if not has_struck:
            break
    assert failures >= 2


@FAILURES
async def test_every_journal_failure_while_opening(tmp_path: Path, failure: Callable[[], Exception]) -> None:
    """The N-th disk call of a first opening fails: a JournalError, and the next opening works."""
    failures = 0
    for number in range(1, 1000):
        path, vfs = tmp_path / f"orders-{number}.db", FaultyVFS()
        vfs.arm(number, failure)
        try:
            async with journal_on(vfs, path) as journal:
                vfs.fail_at = None if not vfs.has_struck else vfs.fail_at
                await dispatched(journal)
                is_open = True
        except JournalError:
            is_open = False
            failures += 1
        has_struck = vfs.has_struck
        vfs.disarm()
        found = await states(path)
        assert found == ({"order-1": (Delivery.DISPATCHED,)} if is_open else {})
        if not has_struck:
            break
    assert failures >= 5


@FAILURES
async def test_every_journal_failure_of_a_conclusion(tmp_path: Path, failure: Callable[[], Exception]) -> None:
    """State, claim and history are written together or not at all."""
    for number in range(1, 1000):
        path, vfs = tmp_path / f"orders-{number}.db", FaultyVFS()
        async with journal_on(vfs, path) as journal:
            attempt = await dispatched(journal)
            vfs.arm(number, failure)
            try:
                await journal.conclude(attempt, acknowledged())
                allowed = {Delivery.ACKNOWLEDGED}
            except JournalError:
                allowed = {Delivery.DISPATCHED, Delivery.ACKNOWLEDGED}
            has_struck = vfs.has_struck
            vfs.disarm()
        ((state,),) = (await states(path)).values()
        assert state in allowed
        if not has_struck:
            break


@FAILURES
async def test_every_journal_failure_of_a_replacement(tmp_path: Path, failure: Callable[[], Exception]) -> None:
    """A resend is permitted together with the proof that allows it, or neither is there."""
    for number in range(1, 1000):
        path, vfs = tmp_path / f"orders-{number}.db", FaultyVFS()
        async with journal_on(vfs, path) as journal:
            attempt = await dispatched(journal)
            await journal.conclude(attempt, LOST)
            vfs.arm(number, failure)
            both = (Delivery.NOT_ACCEPTED, Delivery.DISPATCHED)
            try:
                permitted(await journal.replace(attempt, ABSENT, plan(runner=journal.runner, follows=1)))
                allowed: set[tuple[Delivery, ...]] = {both}
            except JournalError:
                allowed = {(Delivery.UNKNOWN,), both}
            has_struck = vfs.has_struck
            vfs.disarm()
        assert (await states(path))["order-1"] in allowed
        if not has_struck:
            break


async def test_journal_works_again_after_a_failed_commit(tmp_path: Path) -> None:
    """Waiters of one failed batch each get an error of their own; the next batch is committed."""
    vfs = FaultyVFS()
    async with journal_on(vfs, tmp_path / "orders.db") as journal:
        vfs.arm(1, disk_broken, is_lasting=True)
        plans = [plan(f"order-{number}") for number in range(1, 4)]
        results = await asyncio.gather(*map(journal.dispatch, plans), return_exceptions=True)
        assert all(isinstance(result, JournalError) for result in results)
        assert len({id(result) for result in results}) == 3
        vfs.disarm()
        for again in plans:
            permitted(await journal.dispatch(again))


async def test_power_loss_replays(tmp_path: Path) -> None:
    """Every dispatch that returned is there after a power cut that takes all that was not synced."""
    path, vfs = tmp_path / "orders.db", FaultyVFS(remembers_synced=True)
    async with journal_on(vfs, path) as journal:
        await dispatched(journal, "order-1")
        await asyncio.gather(dispatched(journal, "order-2"), dispatched(journal, "order-3"))
        remains = lose_power(vfs, path, tmp_path / "after")
    assert set(await states(remains)) == {"order-1", "order-2", "order-3"}


async def test_power_loss_bites_where_commits_are_not_synced(tmp_path: Path) -> None:
    """The power cut of these tests is a real one: with synchronous=NORMAL it takes orders."""
    path, vfs = tmp_path / "orders.db", FaultyVFS(remembers_synced=True)
    async with journal_on(vfs, path) as journal:
        assert journal._writer is not None
        journal._writer._connection.execute("PRAGMA synchronous = NORMAL")
        await dispatched(journal, "order-1")
        remains = lose_power(vfs, path, tmp_path / "after")
    assert await states(remains) == {}


async def test_power_loss_in_a_commit_leaves_all_or_nothing(tmp_path: Path) -> None:
    """A power cut while a commit is being synced loses at most that commit, whole."""
    path, vfs = tmp_path / "orders.db", FaultyVFS(remembers_synced=True)
    async with journal_on(vfs, path) as journal:
        attempt = await dispatched(journal, "order-1")
        remains: list[Path] = []

        def cut(kind: str) -> None:
            if kind == "sync":
                remains.append(lose_power(vfs, path, tmp_path / f"after-{len(remains)}"))

        vfs.on_call = cut
        await journal.conclude(attempt, acknowledged())
        vfs.on_call = lambda kind: None
    assert remains
    for left in remains:
        assert await states(left) == {"order-1": (Delivery.DISPATCHED,)}


async def test_commits_are_synced_in_full(tmp_path: Path) -> None:
    """The writing connection has synchronous=FULL and foreign keys, in WAL mode."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        names = ("synchronous", "fullfsync", "foreign_keys", "journal_mode")
        assert await journal._write(lambda connection: [connection.pragma(name) for name in names]) == [2, 1, 1, "wal"]


@pytest.mark.parametrize("damage", ["header", "schema", "pages", "half"])
async def test_torn_journal_corrupt_db_fails_closed(tmp_path: Path, damage: str) -> None:
    """A damaged file gives JournalError and no permission; the file is left as it is."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        for number in range(40):
            await dispatched(journal, f"order-{number}")
    content = bytearray(path.read_bytes())
    page = 4096
    match damage:
        case "header":
            content[:100] = b"\x00garbage" * 12 + b"1234"
        case "schema":
            content[100:page] = b"\xff" * (page - 100)
        case "pages":
            content[page:] = b"\xa5" * (len(content) - page)
        case _:
            del content[2 * page :]
    path.write_bytes(content)

    async def use() -> None:
        async with Journal(path, AMBIENT, ACCOUNT) as journal:
            await journal.dispatch(plan("order-1"))

    with pytest.raises(JournalCorrupt, match="damaged or not a journal"):
        await use()


async def test_exception_never_releases_claim(tmp_path: Path) -> None:
    """An operation that raises leaves the dispatched row as it is, and the id gives no second permission."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await dispatched(journal)

        def explode(connection: apsw.Connection) -> None:
            connection.execute("DELETE FROM attempts")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await journal._write(explode)
        known = await journal.dispatch(plan())
        assert isinstance(known, Known)
        assert known.record.last.state is Delivery.DISPATCHED
