"""Where the file may lie, who may read it, and what its errors mean."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apsw
import pytest

from kiwoom_async._domain.settings import Credentials, Environment
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.store import (
    APPLICATION_ID,
    SCHEMAS,
    Access,
    network_file_system,
    open_writer,
    prepare_file,
    to_journal_error,
)
from kiwoom_async.errors import (
    ConfigurationError,
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalOnNetwork,
    JournalReadOnly,
    JournalTooNew,
)
from tests.journal.builders import ACCOUNT, FixedAmbient, acknowledged, dispatched
from tests.journal.faulty_vfs import FaultyVFS

AMBIENT = FixedAmbient()


async def open_and_close(path: Path | str, access: Access | None = None) -> None:
    """Open a journal and close it."""
    async with Journal(path, AMBIENT, ACCOUNT, access=access):
        pass


def modes(folder: Path) -> dict[str, int]:
    """Give the mode of every file of a folder."""
    return {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()}


async def test_every_file_is_the_owners_alone(tmp_path: Path) -> None:
    """Journal, log, shared memory and locks have mode 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
            await dispatched(journal)
            names = {"orders.db", "orders.db-wal", "orders.db-shm", f"orders.db.{journal.runner}.lock"}
            assert modes(tmp_path) == dict.fromkeys(names, 0o600)
    finally:
        os.umask(before)


def restore(files: dict[str, bytes]) -> None:
    """Write files that everybody can read."""
    for name, content in files.items():
        Path(name).write_bytes(content)
        Path(name).chmod(0o644)


async def test_wide_mode_is_narrowed(tmp_path: Path) -> None:
    """A journal that others could read is closed to them at the next opening, with what a crash left beside it."""
    path = tmp_path / "orders.db"
    vfs = FaultyVFS(remembers_synced=True)
    async with Journal(path, AMBIENT, ACCOUNT, access=Access(vfs.vfs_name)) as journal:
        await dispatched(journal)
        remains = dict(vfs.synced or {})
    restore(remains)
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        assert set(modes(tmp_path).values()) == {0o600}
        assert await journal.find("order-1") is not None


async def test_closing_leaves_the_journal_alone(tmp_path: Path) -> None:
    """Neither log nor lock stays behind."""
    await open_and_close(tmp_path / "orders.db")
    assert list(modes(tmp_path)) == ["orders.db"]


@pytest.mark.parametrize("path", [":memory:", ""])
async def test_memory_is_no_journal(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that forgets is refused."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="must be the path of a file"):
        await open_and_close(path)
    assert modes(tmp_path) == {}


async def test_folder_is_no_journal(tmp_path: Path) -> None:
    """A folder is refused."""
    with pytest.raises(ConfigurationError, match="must be the path of a file"):
        await open_and_close(tmp_path)


async def test_missing_folder_is_not_made(tmp_path: Path) -> None:
    """A mistyped path does not start an empty journal somewhere."""
    with pytest.raises(JournalReadOnly, match="folder that exists"):
        await open_and_close(tmp_path / "missing" / "orders.db")
    assert modes(tmp_path) == {}


async def test_folder_that_takes_no_file() -> None:
    """A folder in which nothing can be made: /proc, because file modes do not stop a test that runs as root."""
    with pytest.raises(JournalReadOnly, match="No order was sent"):
        await open_and_close("/proc/self/orders.db")


async def test_file_that_cannot_be_written() -> None:
    """A file that SQLite cannot write: one of /proc, for the same reason."""
    with pytest.raises(JournalReadOnly, match="cannot be written"):
        await open_and_close("/proc/version")


class ReadOnlyVFS(apsw.VFS):
    """A file system mounted for reading only."""

    def __init__(self) -> None:
        super().__init__("read-only", "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open for reading, and say so."""
        if flags[0] & apsw.SQLITE_OPEN_CREATE:
            raise apsw.CantOpenError
        flags[0] = flags[0] & ~apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_READONLY
        return apsw.VFSFile("", name, flags)


async def test_read_only_file_system_fails_closed(tmp_path: Path) -> None:
    """An existing journal on a disk that became read-only opens for nobody."""
    path = tmp_path / "orders.db"
    await open_and_close(path)
    vfs = ReadOnlyVFS()
    with pytest.raises(JournalReadOnly, match="cannot be written"):
        await open_and_close(path, Access("read-only"))
    vfs.unregister()


async def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    """An SQLite file of another program is refused, and not a byte or a right of it changes."""
    path = tmp_path / "theirs.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(JournalCorrupt, match="another program"):
        await open_and_close(path)
    assert path.read_bytes() == before
    assert modes(tmp_path) == {"theirs.db": 0o644}


async def test_text_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database is refused and kept."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one. " * 50, encoding="utf-8")
    with pytest.raises(JournalCorrupt):
        await open_and_close(path)
    assert path.read_text(encoding="utf-8").startswith("not a database")


async def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A journal of a later release is not touched by an earlier one."""
    path = tmp_path / "orders.db"
    await open_and_close(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", len(SCHEMAS) + 1)
    connection.close()
    with pytest.raises(JournalTooNew, match=f"has schema {len(SCHEMAS) + 1}"):
        await open_and_close(path)


async def test_file_is_marked_and_versioned(tmp_path: Path) -> None:
    """The header says whose file it is and which schema it has."""
    path = tmp_path / "orders.db"
    await open_and_close(path)
    connection = apsw.Connection(str(path))
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == len(SCHEMAS)
    connection.close()


async def test_lock_file_that_cannot_be_removed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to remove a file that somebody has open: closing and taking over go on, the lock is free."""

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(13, "in use", str(path))

    path = tmp_path / "orders.db"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        async with Journal(path, AMBIENT, ACCOUNT) as first:
            await dispatched(first)
        async with Journal(path, AMBIENT, ACCOUNT) as second:
            assert await second.adopt_orphans() == 1
        assert not second._is_alive(first.runner)


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /mnt/share nfs4 rw 0 0
/dev/vdb /mnt/share/local ext4 rw 0 0
//nas/a /mnt/with\\040blank cifs rw 0 0
server:/k /mnt/공유 nfs rw 0 0
drvfs /mnt/c 9p rw 0 0
grpcfuse /mnt/docker fuse.grpcfuse rw 0 0
osxfs /mnt/older fuse.osxfs rw 0 0
/run/host_mark /mnt/mark fakeowner rw 0 0
shared /mnt/vm vboxsf rw 0 0
systemd-1 /auto autofs rw 0 0
server:/auto /auto nfs4 rw 0 0
tmpfs /mnt/sharetmp tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/bot", None),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/deep/er", "nfs4"),
        ("/mnt/share/local/x", None),
        ("/mnt/sharetmp", None),
        ("/mnt/with blank/x", "cifs"),
        ("/mnt/공유/거래", "nfs"),
        ("/mnt/c/Users", "9p"),
        ("/mnt/docker", "fuse.grpcfuse"),
        ("/mnt/older", "fuse.osxfs"),
        ("/mnt/mark", "fakeowner"),
        ("/mnt/vm", "vboxsf"),
        ("/auto/bot", "nfs4"),
    ],
)
def test_network_file_systems_are_recognized(tmp_path: Path, folder: str, kind: str | None) -> None:
    """The deepest mount decides; escapes and Korean names of mount points are understood."""
    table = tmp_path / "mounts"
    table.write_text(MOUNTS, encoding="utf-8")
    assert network_file_system(Path(folder), table) == kind


def test_mount_table_that_is_no_text(tmp_path: Path) -> None:
    """A mount point that is not UTF-8 disturbs nobody, and neither does a system without a table."""
    table = tmp_path / "mounts"
    table.write_bytes(b"/dev/vda / ext4 rw 0 0\nx /mnt/\xb0\xf8 nfs rw 0 0\n")
    assert network_file_system(Path("/home"), table) is None
    assert network_file_system(Path("/home"), tmp_path / "missing") is None


def test_journal_on_a_network_is_refused(tmp_path: Path) -> None:
    """No file is made on a network file system."""
    table = tmp_path / "mounts"
    table.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    with pytest.raises(JournalOnNetwork, match="nfs4"):
        prepare_file(tmp_path / "orders.db", mounts=table)
    assert not (tmp_path / "orders.db").exists()


@pytest.mark.parametrize("version", ["3.51.2", "3.9.0"])
def test_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """An SQLite that can lose pages of a log with two writers is refused before anything is made."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    with pytest.raises(ConfigurationError, match="pip install -U apsw"):
        prepare_file(tmp_path / "orders.db")
    assert modes(tmp_path) == {}


@pytest.mark.parametrize("version", ["3.51.3", "3.100.0", "4.0.0"])
def test_new_sqlite_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Versions are compared by number, not by text."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    prepare_file(tmp_path / "orders.db")
    assert modes(tmp_path) == {"orders.db": 0o600}


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (apsw.BusyError, JournalLocked),
        (apsw.LockedError, JournalLocked),
        (apsw.CorruptError, JournalCorrupt),
        (apsw.NotADBError, JournalCorrupt),
        (apsw.ReadOnlyError, JournalReadOnly),
        (apsw.CantOpenError, JournalReadOnly),
        (apsw.FullError, JournalReadOnly),
        (apsw.IOError, JournalError),
        (apsw.NoMemError, JournalError),
    ],
)
def test_errors_say_what_to_do(error: type[apsw.Error], ours: type[JournalError]) -> None:
    """Every error of SQLite becomes a JournalError that names the file and says that nothing is sent."""
    told = to_journal_error(error("told"), Path("/bots/orders.db"))
    assert type(told) is ours
    assert "/bots/orders.db" in str(told)
    assert "Nothing is sent without a durable record" in str(told)


async def test_file_holds_no_secret(tmp_path: Path) -> None:
    """Neither the app key nor the secret nor the account number is in any file of the journal."""
    credentials = Credentials("APPKEY-a1b2c3d4e5f6", "SECRET-f6e5d4c3b2a1")
    account = Environment.MOCK.account_key(credentials)
    async with Journal(tmp_path / "orders.db", AMBIENT, account) as journal:
        await journal.conclude(await dispatched(journal, account=account), acknowledged())
    for name in modes(tmp_path):
        content = (tmp_path / name).read_bytes()
        assert account.encode() in content
        assert credentials.app_key.encode() not in content
        assert credentials.secret_key.encode() not in content


def test_existing_file_is_opened_by_sqlite_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor of our own, when closed, would drop the locks of the whole process."""
    path = tmp_path / "orders.db"
    prepare_file(path)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("the file was opened"))
    prepare_file(path)
    open_writer(path, busy_timeout=1.0, access=Access()).close()
