"""A journal that has fallen behind its seal is not used, and nothing else is ever mistaken for one."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from uuid import uuid4

import apsw
import pytest

from kiwoom_async import NotSent
from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.states import Event
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding
from kiwoom_async._journal.seals import EXCHANGED, GONE, KEPT_FILES, Acceptance, Seal, accept, default_folder
from kiwoom_async.errors import ConfigurationError, JournalCorrupt, JournalError, JournalRestored
from tests.journal.builders import ACCOUNT, NOON, FixedAmbient, acknowledged, dispatched, plan
from tests.journal.faulty_vfs import FaultyVFS, disk_broken
from tests.journal.test_faults import journal_on

AMBIENT = FixedAmbient()


def sealed(folder: Path, name: str = "orders.db", account: str = ACCOUNT) -> Journal:
    """Make a journal with a seal."""
    return Journal(folder / name, AMBIENT, account, seals=folder / "seals")


def heights(folder: Path) -> list[int]:
    """Read every seal."""
    texts = (path.read_text(encoding="ascii") for path in (folder / "seals").glob("*.seal"))
    return sorted(int(text) for text in texts if text)


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(path.name for path in folder.iterdir())


def accepted(folder: Path, name: str = "orders.db") -> int:
    """Accept a journal."""
    return accept(folder / name, AMBIENT, reason="the disk died", by="op", folder=folder / "seals", busy_timeout=1.0)


async def backed_up(folder: Path) -> Path:
    """Send an order, make a backup, send another one; give the backup."""
    async with sealed(folder) as journal:
        await dispatched(journal, "order-1")
    backup = Path(shutil.copy(folder / "orders.db", folder / "backup.db"))
    async with sealed(folder) as journal:
        await journal.conclude(await dispatched(journal, "order-2"), acknowledged("0000007"))
    return backup


async def test_restored_journal_is_refused(tmp_path: Path) -> None:
    """An old backup in the place of the journal: refused, again and again, with what happened and what to do."""
    backup = await backed_up(tmp_path)
    shutil.copy(tmp_path / "orders.db", tmp_path / "newest.db")
    shutil.copy(backup, tmp_path / "orders.db")
    for _ in range(2):
        with pytest.raises(JournalRestored, match="older backup") as caught:
            await sealed(tmp_path).__aenter__()
        assert caught.value.missing == 3  # two records of the order and one event
        assert caught.value.written_at is not None
        assert abs(caught.value.written_at - datetime.now(KST)) < timedelta(hours=1)
        assert "accept-journal" in str(caught.value)
        assert names(tmp_path) == ["backup.db", "newest.db", "orders.db", "seals"]
    # The newest file put back is the journal again.
    shutil.copy(tmp_path / "newest.db", tmp_path / "orders.db")
    async with sealed(tmp_path) as journal:
        assert await journal.find("order-2") is not None


async def test_journal_without_its_log_is_refused(tmp_path: Path) -> None:
    """Copied while a client runs, without the -wal file: what was in that is missing."""
    async with sealed(tmp_path) as journal:
        await dispatched(journal, "order-1")
    async with sealed(tmp_path) as journal:
        await dispatched(journal, "order-2")
        content = (tmp_path / "orders.db").read_bytes()
    (tmp_path / "orders.db").write_bytes(content)
    with pytest.raises(JournalRestored):
        async with sealed(tmp_path):
            pass


async def test_every_commit_of_an_order_raises_the_seal(tmp_path: Path) -> None:
    """Each record of a send, an answer, the switch: a backup of before it is refused."""
    async with sealed(tmp_path) as journal:
        assert heights(tmp_path) == []
        seen = [0]

        async def has_risen() -> None:
            while max(heights(tmp_path), default=0) <= seen[-1]:  # noqa: ASYNC110 - sealed in a thread that nobody waits for
                await asyncio.sleep(0.001)
            seen.append(heights(tmp_path)[0])

        async with asyncio.timeout(30):
            attempt = await dispatched(journal)
            await has_risen()
            await journal.conclude(attempt, acknowledged())
            await has_risen()
            await journal.move_switch(KillSwitchState(True, "stop", "op", NOON))
            await has_risen()
    assert seen == [0, 1, 3, 4]


async def test_seal_counts_what_is_committed_only(tmp_path: Path) -> None:
    """A commit that fails does not raise the seal, so that its journal is not refused."""
    vfs = FaultyVFS()
    journal = journal_on(vfs, tmp_path / "orders.db")
    journal._seals = tmp_path / "seals"
    async with journal:
        await dispatched(journal, "order-1")
        vfs.arm(1, disk_broken, is_lasting=True)
        with pytest.raises(JournalError):
            await journal.dispatch(plan("order-2"))
        vfs.disarm()
    assert heights(tmp_path) == [1]
    async with sealed(tmp_path) as journal:
        assert await journal.find("order-2") is None


async def test_accepted_journal_is_used_and_remembers_who_said_so(tmp_path: Path) -> None:
    """After a person's word it opens; the word is in the file, and the next fall is noticed as well."""
    shutil.copy(await backed_up(tmp_path), tmp_path / "orders.db")
    assert accepted(tmp_path) == 3
    assert accepted(tmp_path) == 0
    async with sealed(tmp_path) as journal:
        assert await journal.acceptance() == Acceptance(NOON, "op", "the disk died", 3)
        shutil.copy(tmp_path / "orders.db", tmp_path / "backup.db")
        await dispatched(journal, "order-2")
    shutil.copy(tmp_path / "backup.db", tmp_path / "orders.db")
    with pytest.raises(JournalRestored):
        async with sealed(tmp_path):
            pass


async def test_acceptance_cannot_be_changed(tmp_path: Path) -> None:
    """What a person said stays as it was said."""
    shutil.copy(await backed_up(tmp_path), tmp_path / "orders.db")
    accepted(tmp_path)
    connection = apsw.Connection(str(tmp_path / "orders.db"))
    for change in ("UPDATE identities SET reason = 'other'", "DELETE FROM identities"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            connection.execute(change)
    connection.close()


async def test_copy_that_lacks_nothing_is_used_under_another_path(tmp_path: Path) -> None:
    """A moved or renamed journal goes on; of two copies the one that falls behind is refused."""
    await backed_up(tmp_path)
    shutil.copy(tmp_path / "orders.db", tmp_path / "moved.db")
    async with sealed(tmp_path, "moved.db") as journal:
        await dispatched(journal, "order-3")
    with pytest.raises(JournalRestored):
        async with sealed(tmp_path):
            pass
    # Both are wanted: then they are two journals from now on.
    assert accepted(tmp_path) == 1
    for name in ("orders.db", "moved.db"):
        async with sealed(tmp_path, name) as journal:
            await dispatched(journal, f"more-{name}")
    for name in ("orders.db", "moved.db"):
        async with sealed(tmp_path, name):
            pass


@pytest.mark.parametrize("is_empty", [False, True])
async def test_new_journal_in_the_place_of_another_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_empty: bool
) -> None:
    """Deleted, or copied without all that is in its first log: used, with a warning, once, and marked in the file."""
    async with sealed(tmp_path) as journal:
        await dispatched(journal)
        assert await journal.acceptance() is None
        content = (tmp_path / "orders.db").read_bytes()
    assert "is gone" not in caplog.text
    (tmp_path / "orders.db").unlink()
    if is_empty:
        (tmp_path / "orders.db").write_bytes(content)
    for _ in range(2):
        async with sealed(tmp_path) as journal:
            acceptance = await journal.acceptance()
            assert acceptance is not None
            assert acceptance == Acceptance(NOON, "", acceptance.reason, 1)
            assert acceptance.reason.startswith(GONE)
    assert caplog.text.count("is gone") == 1
    async with sealed(tmp_path, "elsewhere.db") as journal:
        assert await journal.acceptance() is None


async def exchange(folder: Path) -> None:
    """Send with a journal, lose it, send with a new one, and put the first one back."""
    async with sealed(folder) as journal:
        await dispatched(journal, "a-1")
    shutil.move(folder / "orders.db", folder / "first.db")
    async with sealed(folder) as journal:
        await journal.conclude(await dispatched(journal, "b-1"), acknowledged())
    shutil.move(folder / "orders.db", folder / "second.db")
    shutil.copy(folder / "first.db", folder / "orders.db")


async def test_first_journal_that_is_put_back_has_not_the_orders_of_the_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own seal fits, and yet it lacks what the other one has sent: told and marked, once each way."""
    await exchange(tmp_path)
    assert caplog.text.count("before an order is sent with the new one") == 1
    for _ in range(2):
        async with sealed(tmp_path) as journal:
            acceptance = await journal.acceptance()
            assert acceptance is not None
            assert acceptance == Acceptance(NOON, "", acceptance.reason, 3)
            assert acceptance.reason.startswith(EXCHANGED)
            await dispatched(journal, f"a-{uuid4()}")
    assert caplog.text.count("not the one that lay there last, which has 3 records") == 1
    shutil.copy(tmp_path / "second.db", tmp_path / "orders.db")
    for _ in range(2):
        async with sealed(tmp_path):
            pass
    assert caplog.text.count("not the one that lay there last, which has 3 records") == 2
    # An old copy of the first one is refused as before.
    shutil.copy(tmp_path / "first.db", tmp_path / "orders.db")
    with pytest.raises(JournalRestored):
        async with sealed(tmp_path):
            pass


async def test_journal_that_replaced_another_one_is_told_once_without_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that dies before it notes what lies there now, or cannot: the file knows what it has told."""
    await exchange(tmp_path)
    (place,) = (tmp_path / "seals").glob("*.place")
    before = place.read_text()
    for _ in range(3):
        async with sealed(tmp_path):
            pass
        place.write_text(before)
    assert caplog.text.count("not the one that lay there last") == 1


def forget_name(path: Path) -> None:
    """Make a journal what an earlier release has left behind: without a name."""
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    script = resources.files("kiwoom_async._journal").joinpath("schema_0005.sql").read_text(encoding="utf-8")
    connection.execute("DROP TABLE identities")
    connection.execute(script[script.index("CREATE TABLE identities") : script.index("-- Orders that one id")])
    connection.close()


async def test_backup_of_before_journals_had_names_is_refused(tmp_path: Path) -> None:
    """Made by an earlier release, put back after the upgrade: refused, until a person accepts it, and then used."""
    backup = await backed_up(tmp_path)
    forget_name(backup)
    shutil.copy(backup, tmp_path / "orders.db")
    for _ in range(2):
        with pytest.raises(JournalRestored, match="accept-journal") as caught:
            await sealed(tmp_path).__aenter__()
        assert caught.value.missing == 3
        assert caught.value.written_at is not None
    assert accepted(tmp_path) == 3
    assert accepted(tmp_path) == 0
    for _ in range(2):
        async with sealed(tmp_path) as journal:
            assert await journal.acceptance() == Acceptance(NOON, "op", "the disk died", 3)
            await dispatched(journal, f"order-{uuid4()}")


async def test_journal_of_before_journals_had_names_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The upgrade itself: nothing lay there that has more records, so it gets its name and its seal in silence."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await dispatched(journal)
    for _ in range(2):
        async with sealed(tmp_path) as journal:
            assert await journal.acceptance() is None
    assert heights(tmp_path) == [1]
    assert caplog.text == ""


async def test_place_without_orders_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was sent with the journal before, or nobody knows any more what lay there."""
    for _ in range(2):
        async with sealed(tmp_path) as journal:
            assert await journal.acceptance() is None
        (tmp_path / "orders.db").unlink()
    for damage in ("", "../../etc/passwd", "0" * 36):
        (place,) = (tmp_path / "seals").glob("*.place")
        place.write_text(damage)
        async with sealed(tmp_path) as journal:
            assert await journal.acceptance() is None
        (tmp_path / "orders.db").unlink()
    assert caplog.text == ""


async def test_journal_without_a_seal_gets_one(tmp_path: Path) -> None:
    """On another machine, or after the folder was deleted, the journal opens and is sealed as it is."""
    async with sealed(tmp_path) as journal:
        await dispatched(journal)
    shutil.rmtree(tmp_path / "seals")
    async with sealed(tmp_path):
        assert heights(tmp_path) == [1]


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"7", b"x" * 20, b"0" * 21])
async def test_damaged_seal_is_made_anew(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """What a power cut leaves of it stops nobody; a warning tells, unless there is nothing at all."""
    async with sealed(tmp_path) as journal:
        await dispatched(journal)
    (seal,) = (tmp_path / "seals").glob("*.seal")
    seal.write_bytes(content)
    async with sealed(tmp_path):
        pass
    assert ("is damaged" in caplog.text) is bool(content)
    assert heights(tmp_path) == [1] or content == b"0" * 21


async def test_folder_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a seal orders go on; one warning says what is missing and what to do."""
    (tmp_path / "seals").write_text("a file where the folder should be")
    async with sealed(tmp_path) as journal:
        await dispatched(journal, "order-1")
        await dispatched(journal, "order-2")
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "journal_seals" in warnings[0].getMessage()


async def test_disk_that_takes_no_more_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the seals is full: the orders are not."""
    async with sealed(tmp_path) as journal:

        def refuse(descriptor: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", refuse)
        for number in range(3):
            await dispatched(journal, f"order-{number}")
    assert caplog.text.count("No space left on device") == 1


@pytest.mark.skipif(os.name != "posix", reason="looks at modes")
async def test_seals_are_private(tmp_path: Path) -> None:
    """Nobody else reads how much is traded."""
    async with sealed(tmp_path):
        pass
    assert stat.S_IMODE((tmp_path / "seals").stat().st_mode) == 0o700
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "seals").iterdir()}
    assert modes == {".seal": 0o600, ".place": 0o600}


async def test_two_accounts_and_two_clients_share_one_seal(tmp_path: Path) -> None:
    """The seal is the file's: whoever commits raises it, and nobody lowers it."""
    async with sealed(tmp_path) as one, sealed(tmp_path, account="other") as two:
        for number in range(5):
            await dispatched(one, f"one-{number}")
            await dispatched(two, f"two-{number}", account="other")
    assert heights(tmp_path) == [10]


def test_seal_is_never_lowered(tmp_path: Path) -> None:
    """A process that seals late does not undo what another has sealed."""
    early, late = Seal.of(tmp_path, "x"), Seal.of(tmp_path, "x")
    early.raise_to(5)
    late.raise_to(4)
    assert early.read() == 5
    late.raise_to(6)
    early.raise_to(5)
    assert late.read() == 6
    early.close()
    late.close()
    early.raise_to(9)
    assert early.read() is None
    assert early.written_at() is None


def test_seals_of_long_ago_are_removed(tmp_path: Path) -> None:
    """The folder does not grow for ever; what was written last is kept."""
    for number in range(KEPT_FILES + 3):
        path = tmp_path / f"{number}.seal"
        path.touch()
        os.utime(path, (number, number))
    seal = Seal.of(tmp_path, "new")
    seal.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == KEPT_FILES
    assert {"new.seal", f"{KEPT_FILES + 2}.seal"} <= left
    assert "0.seal" not in left


def test_usual_place_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the token that the processes of a key share."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if os.name == "posix" and os.uname().sysname == "Linux":
        assert default_folder() == tmp_path / "kiwoom-async" / "seals"


async def test_switch_is_not_forgotten_by_a_backup(tmp_path: Path) -> None:
    """A backup of before the kill switch was engaged would let orders through again: refused."""
    async with sealed(tmp_path) as journal:
        await dispatched(journal, "order-1")
    shutil.copy(tmp_path / "orders.db", tmp_path / "backup.db")
    async with sealed(tmp_path) as journal:
        await journal.move_switch(KillSwitchState(True, "stop", "op", NOON))
        with pytest.raises(NotSent):
            await journal.dispatch(plan("order-2"))
    shutil.copy(tmp_path / "backup.db", tmp_path / "orders.db")
    with pytest.raises(JournalRestored):
        async with sealed(tmp_path):
            pass


async def test_seal_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that became read-only: an old backup is refused as before, and one warning says what is missing."""
    backup = await backed_up(tmp_path)
    real_open = os.open

    def refuse_writers(path: str, flags: int, mode: int = 0o777) -> int:
        if "seals" in str(path) and flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse_writers)
    async with sealed(tmp_path) as journal:
        await dispatched(journal, "order-3")
        await dispatched(journal, "order-4")
    assert caplog.text.count("cannot be used (Permission denied)") == 1
    assert heights(tmp_path) == [4]
    shutil.copy(backup, tmp_path / "orders.db")
    with pytest.raises(JournalRestored):
        await sealed(tmp_path).__aenter__()


@pytest.mark.parametrize("folder", ["a\0b", "\ud800"])
def test_folder_that_is_no_path_is_a_wrong_setting(tmp_path: Path, folder: str) -> None:
    """Not a damaged journal, of which people would be told to start a new one."""
    with pytest.raises(ConfigurationError, match="is no path"):
        Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT, seals=Path(folder))
    with pytest.raises(ConfigurationError, match="is no path"):
        accept(tmp_path / "orders.db", AMBIENT, reason="x", folder=Path(folder), busy_timeout=1.0)


async def test_text_that_no_file_can_hold_is_not_called_damage(tmp_path: Path) -> None:
    """It is the caller's text; the journal is as it was."""
    async with sealed(tmp_path) as journal:
        attempt = await dispatched(journal, "order-1")
        with pytest.raises(JournalError, match="no file can hold") as caught:
            await journal.conclude(attempt, Finding(Event.LOST, reason="\ud800"))
        assert not isinstance(caught.value, JournalCorrupt)
        record = await journal.find("order-1")
        assert record is not None
        assert record.last == attempt
