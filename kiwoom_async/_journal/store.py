"""The SQLite file itself: where it may lie, how it is opened, what its errors mean.

Every failure here ends in a `JournalError`, and without a journal no order is sent.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from kiwoom_async._journal.decoding import Unreadable
from kiwoom_async.errors import (
    ConfigurationError,
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalOnNetwork,
    JournalReadOnly,
    JournalTooNew,
)

APPLICATION_ID: Final = 0x6B697761
"""Marks our files in SQLite's header ("kiwa")."""

SCHEMAS: Final = (
    "schema_0001.sql",
    "schema_0002.sql",
    "schema_0003.sql",
    "schema_0004.sql",
    "schema_0005.sql",
    "schema_0006.sql",
)
"""Migrations in order; `user_version` counts the ones that were applied."""

OLDEST_SQLITE: Final = (3, 51, 3)
"""Before it, a WAL file that two connections write can lose pages. Source: SQLite's release notes on the WAL-reset
fix."""

_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ncpfs",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
    }
    | {
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "davfs",
        "fuse.davfs2",
        "beegfs",
        "gfs2",
        "ocfs2",
        "virtiofs",
    }
    | {
        "fakeowner",
        "vboxsf",
        "fuse.grpcfuse",
        "fuse.osxfs",
    }
)
"""Types in the mount table on which SQLite's shared-memory log cannot be trusted. Source: SQLite's page on WAL,
"all processes must be on the same host". The last four are folders that Docker Desktop and VirtualBox share with their
guests."""


class Access:
    """How a connection opens the file; tests put a faulty VFS here."""

    def __init__(self, vfs: str | None = None) -> None:
        self.vfs = vfs

    def connect(self, path: Path, flags: int) -> apsw.Connection:
        """Open a connection."""
        if self.vfs is None:
            return apsw.Connection(os.fspath(path), flags=flags)
        return apsw.Connection(os.fspath(path), flags=flags, vfs=self.vfs)


def real_path(path: str | os.PathLike[str]) -> Path:
    """Give a file's one name: processes that come by a link must find each other's locks.

    Raises:
        ConfigurationError: It is no path.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise ConfigurationError(f"{path!r} is no path ({error}).") from error


def prepare_file(path: Path, *, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Make sure that the file exists, on a local file system; a new one has mode 0600.

    Raises:
        JournalOnNetwork: The folder is mounted over a network.
        JournalReadOnly: The file cannot be made or written.
        ConfigurationError: The path cannot be a file, or this SQLite is too old.
    """
    _require_sqlite()
    try:
        os.fspath(path).encode()
        is_folder = path.is_dir()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"journal={str(path)!r} is no text; SQLite opens files by names in UTF-8.") from error
    except OSError as error:
        raise _unusable(path, error) from error
    if path.name in {"", ":memory:"} or is_folder:
        raise ConfigurationError(
            f"journal={str(path)!r} must be the path of a file; a journal in memory forgets orders."
        )
    if kind := network_file_system(path.parent, mounts):
        raise JournalOnNetwork(
            f"The journal {path} lies on a network file system ({kind}), where two machines could both believe to be "
            "the only sender. Put it on a local disk. No order was sent."
        )
    try:
        with _MAKING:
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        pass  # another process was faster
    except OSError as error:
        raise _unusable(path, error) from error


_MAKING: Final = threading.Lock()
"""One thread makes the file at a time, and nobody opens it meanwhile.

An existing file is never opened here: closing any descriptor of a file gives up every POSIX lock this process holds on
it, those of another client's SQLite connection too, and then another program may take that client's log for abandoned.
"""


def _unusable(path: Path, error: OSError) -> JournalReadOnly:
    return JournalReadOnly(
        f"The journal {path} cannot be made or written ({error.strerror}). Give a path in a folder that exists and "
        "that you own. No order was sent."
    )


def _narrow(path: Path) -> None:
    if os.name != "posix":
        return  # pragma: no cover - Windows has no such modes
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        try:
            if stat.S_IMODE(name.stat().st_mode) & 0o077:
                name.chmod(0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unusable(path, error) from error


def _require_sqlite() -> None:
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigurationError(
            f"SQLite {apsw.sqlite_lib_version()} can lose pages of a journal that two connections write; {wanted} or "
            "later is needed. Install a newer apsw from PyPI (pip install -U apsw)."
        )


_OCTAL: Final = re.compile(r"\\([0-7]{3})")
"""How the mount table writes blanks, tabs, line ends and backslashes of a path; all else, Korean too, stands as is."""


def network_file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Name the network file system a folder lies on; None for a local one, or where the system does not tell.

    Linux alone tells. On macOS and Windows there is no such table, so that a network drive is not recognized there: to
    keep the journal on a local disk is the user's part.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        place = folder.resolve()
    except OSError:
        return None
    best, kind = "", ""
    for line in table:
        _, mounted, file_system, *_ = line.split(" ")
        point = _OCTAL.sub(lambda escaped: chr(int(escaped[1], 8)), mounted).rstrip("/") + "/"
        if f"{place}/".startswith(point) and len(point) >= len(best):
            best, kind = point, file_system
    return kind if kind in _NETWORK_FILE_SYSTEMS else None


def open_writer(path: Path, *, busy_timeout: float, access: Access, is_trusted: bool = False) -> apsw.Connection:
    """Open the connection that writes, and bring the schema up to date.

    Args:
        path: Of the file.
        busy_timeout: Seconds that another program may hold the file.
        access: How it is opened.
        is_trusted: The file is not read whole before: nothing is sent on what it says.

    Raises:
        JournalError: One of its kinds; the text says what to do.
    """
    with mapped_errors(path):
        connection = access.connect(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(int(busy_timeout * 1000))
            with transaction(connection, "BEGIN"):
                _require_ours(connection, path)
            _narrow(path)
            _configure(connection, path)
            _migrate(connection, path)
            if not is_trusted:
                _require_whole(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def open_reader(path: Path, *, busy_timeout: float, access: Access) -> apsw.Connection:
    """Open a connection that only reads; in WAL mode it never blocks the one that writes."""
    with mapped_errors(path):
        connection = access.connect(path, apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(int(busy_timeout * 1000))
        connection.execute("PRAGMA query_only = ON")
        return connection


def _require_ours(connection: apsw.Connection, path: Path) -> int:
    """Refuse the file of another program before anything in it is changed; give the version of the schema."""
    version: int = connection.pragma("user_version")
    application = connection.pragma("application_id")
    has_tables = connection.execute("SELECT count(*) FROM sqlite_schema").get > 0
    if application != APPLICATION_ID and (has_tables or version):
        raise JournalCorrupt(f"{path} is an SQLite file of another program; give the journal a path of its own.")
    if version > len(SCHEMAS):
        raise JournalTooNew(
            f"The journal {path} has schema {version}; this release knows {len(SCHEMAS)}. Install the release that "
            "wrote it, or a later one. No order was sent."
        )
    return version


def _configure(connection: apsw.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        raise JournalReadOnly(
            f"The journal {path} cannot use a write-ahead log (SQLite answers {mode!r}); use a local disk."
        )
    # FULL: a commit is on the disk when it returns. NORMAL would lose the last orders at a power cut.
    connection.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA fullfsync = ON")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    with transaction(connection, "BEGIN IMMEDIATE"):
        version = _require_ours(connection, path)
        for number, name in enumerate(SCHEMAS[version:], start=version + 1):
            connection.execute(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
            connection.pragma("user_version", number)
        connection.pragma("application_id", APPLICATION_ID)


LARGEST_CHECKED: Final = 64 * 1024 * 1024
"""Bytes up to which a file is read whole before it is trusted. Source: measured: 20,000 orders are 30 MB, and to read
them takes 0.7 s on a busy machine of two cores; so an opening takes a second longer at most."""


def _require_whole(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file whose pages, indexes or references do not fit: what is lost in it would be sent again."""
    if path.stat().st_size > LARGEST_CHECKED:
        return
    found = connection.execute("PRAGMA integrity_check(1)").get
    if found != "ok":
        raise damaged(path, str(found).splitlines()[-1])
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise damaged(path, "an order lacks its intent")


def damaged(path: Path, why: str) -> JournalCorrupt:
    """Say that a journal cannot be trusted."""
    return JournalCorrupt(f"The journal {path} {_DAMAGED} ({why}). Nothing is sent without a durable record.")


UNREADABLE: Final = (Unreadable, UnicodeError)
"""What comes of texts in the file that are not what we wrote: of decoding a row, or of SQLite's own reading."""


def unreadable(path: Path, error: BaseException) -> JournalError:
    """Say that a value of a journal cannot be read; the error's own text is kept out, it quotes the value."""
    if isinstance(error, UnicodeEncodeError):
        # What is in a file has been decoded, so this came from a caller.
        return JournalError(
            f"The journal {path} was given a text that no file can hold, such as a part of a character. Nothing of it "
            "is written."
        )
    return damaged(path, f"a value in it cannot be read: {error if isinstance(error, Unreadable) else 'UnicodeError'}")


class transaction:  # noqa: N801 - used as a statement
    """One transaction: commit at the end, roll back on any error."""

    def __init__(self, connection: apsw.Connection, begin: str) -> None:
        self._connection = connection
        self._begin = begin

    def __enter__(self) -> None:
        self._connection.execute(self._begin)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


_DAMAGED: Final = (
    "is damaged or not a journal; keep it, check today's orders on Kiwoom's own screen, then start with a new path"
)
_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], type[JournalError], str], ...]] = (
    (
        (apsw.BusyError, apsw.LockedError, apsw.ProtocolError),
        JournalLocked,
        "is locked by another program for longer than the busy timeout; close what has it open, then try again",
    ),
    (
        (apsw.CorruptError, apsw.NotADBError, apsw.FormatError),
        JournalCorrupt,
        _DAMAGED,
    ),
    (
        (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError),
        JournalReadOnly,
        "cannot be written; check the rights of the file and its folder",
    ),
    ((apsw.FullError,), JournalReadOnly, "cannot be written because the disk is full; make room"),
)


class mapped_errors:  # noqa: N801 - used as a statement
    """Turn SQLite's exceptions, and values that nobody can read, into `JournalError`: the one place that does.

    Every other error is a fault of ours, and says so by itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        if isinstance(error, apsw.Error):
            raise to_journal_error(error, self._path) from error
        if isinstance(error, UNREADABLE):
            raise unreadable(self._path, error) from error


def to_journal_error(error: apsw.Error, path: Path) -> JournalError:
    """Say what an SQLite error means for the people who trade."""
    for kinds, ours, advice in _MEANINGS:
        if isinstance(error, kinds):
            return ours(
                f"The journal {path} {advice} ({type(error).__name__}). Nothing is sent without a durable record."
            )
    return JournalError(
        f"The journal {path} failed ({type(error).__name__}: {error}). Nothing is sent without a durable record."
    )


Operation = Callable[[apsw.Connection], object]
