"""The file that the processes of one key share: its token and its rate budgets.

Not the journal: a journal is handed to others when somebody asks for help, and a token must not travel with it; and
processes with different journals and the same key must share as well. It lies in a private folder of the user, and may
be deleted at any time: that costs a token and a second of accuracy.

Nothing here is needed for the truth about orders. So nothing is synced to the disk: a killed process loses nothing,
because what it has written is with the operating system and an interrupted transaction is rolled back by the next one
who opens the file; a power cut may damage the file, and then the warning says to delete it.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import MAXYEAR, datetime
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import anyio
import apsw
import cattrs
from attrs import define, evolve
from cattrs.preconf.json import make_converter
from filelock import FileLock, Timeout
from platformdirs import user_state_path

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.budgets import Budgets, News, Sight, look
from kiwoom_async._domain.settings import KST, Limits
from kiwoom_async._domain.sharing import SharedStateUnusable, Token, TokenRecord
from kiwoom_async._journal.store import network_file_system, real_path
from kiwoom_async._journal.workers import Worker
from kiwoom_async._workplace import workplace_of
from kiwoom_async.errors import JournalError

_T = TypeVar("_T")
_LOG: Final = logging.getLogger("kiwoom_async")
# The first fault is enough: all the faults of a damaged text would take seconds to be written down.
_JSON: Final = make_converter(detailed_validation=False)

LOCKED_AFTER: Final = 1.0
"""Seconds another program may hold the file before this process goes on alone. Source: our choice; a transaction of
ours takes less than a millisecond."""

WARN_EVERY: Final = 60.0
"""Seconds between two warnings that the file cannot be used. Source: our choice."""

ISSUE_PATIENCE: Final = 60.0
"""Seconds to wait for another process that issues a token. It needs 35 s at most with the usual `Timing`, and 10 s more
where it cools down; one that takes longer stands still, and its lock says nothing any more. Source: our choice."""

_ISSUE_POLL: Final = 0.05
"""Seconds between two looks whether another process has issued. Source: our choice; an issue takes a round trip."""

_FIRST_YEAR: Final = 2000
"""Ends of tokens before and at the end of the calendar cannot be reckoned with. Source: our choice."""

APPLICATION_ID: Final = 0x6B697773
"""Marks the file in SQLite's header ("kiws")."""

SCHEMA: Final = 1
"""A file of another release with another schema is left alone; the default name carries this number too."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS tokens (
    key TEXT PRIMARY KEY,
    value TEXT,
    expires_at TEXT,  -- Korean time, with its offset
    boot_id TEXT,     -- the run of the operating system that `attempted` belongs to
    attempted REAL,   -- monotonic seconds
    setbacks INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS budgets (
    key TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;
"""


def default_path() -> Path:
    """Give the usual place: the private folder for state of the user who runs this."""
    return user_state_path("kiwoom-async", appauthor=False) / f"shared-{SCHEMA}.db"


class _Deleted(Exception):
    """The file that is open has no name any more."""


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@define
class _Warnings:
    """When people were told last."""

    told_at: float | None = None


class SharedState:
    """One key's part of the shared file: a `TokenStore` and a `RateStore`.

    Open it with ``async with``. Every method raises `SharedStateUnusable` when the file cannot be used, after a warning
    in the log; it may work again the next time.

    Args:
        path: The file.
        key: Digest of the environment's address and the app key.
        ambient: The clock; its monotonic seconds are the same for all processes of one boot.
        locked_after: Seconds to wait for another program's lock.
    """

    def __init__(
        self, path: str | os.PathLike[str], key: str, ambient: Ambient, *, locked_after: float = LOCKED_AFTER
    ) -> None:
        self.path = real_path(path)
        self._key = key
        self._ambient = ambient
        self._workplace = workplace_of(ambient)
        self._locked_after = locked_after
        self._warnings = _Warnings()
        self._issue_lock = FileLock(
            self.path.with_name(f"{self.path.name}.{key}.issue.lock"), mode=0o600, thread_local=False
        )
        self._door = threading.Lock()
        self._worker: Worker | None = None
        self._identity: tuple[int, int] | None = None

    async def __aenter__(self) -> Self:
        """Open the file, make it where there is none.

        Raises:
            SharedStateUnusable: It cannot be used; a warning said why.
        """
        try:
            await self._workplace.run(self._open)
        except SharedStateUnusable as error:
            self._warn(error)
            raise
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what was handed in, let go of the lock and close the file."""
        with anyio.CancelScope(shield=True):
            await self._workplace.run(self._close)

    # ------------------------------------------------------------------ the token

    async def load(self) -> TokenRecord:
        """Read the token of the key."""
        return await self._run(self._load)

    async def save(self, record: TokenRecord) -> None:
        """Write the token of the key."""

        def write(connection: apsw.Connection) -> None:
            token = record.token
            connection.execute(
                "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
                (
                    self._key,
                    None if token is None else token.value,
                    None if token is None else token.expires_at.astimezone(KST).isoformat(),
                    None if record.attempted is None else self._ambient.boot_id,
                    record.attempted,
                    record.setbacks,
                ),
            )

        await self._run(write)

    async def forget(self, token: Token) -> None:
        """Remove a token, unless another one has taken its place."""

        def remove(connection: apsw.Connection) -> None:
            connection.execute(
                "UPDATE tokens SET value = NULL, expires_at = NULL WHERE key = ? AND value = ?",
                (self._key, token.value),
            )

        await self._run(remove)

    @asynccontextmanager
    async def issuing(self) -> AsyncIterator[None]:
        """Be the only process that issues a token for this key.

        The operating system releases the lock of a process that dies. One that stands still in there is waited for
        `ISSUE_PATIENCE` seconds; two tokens harm nobody.
        """
        until = self._ambient.monotonic() + ISSUE_PATIENCE
        try:
            while not await self._run(self._try_issue_lock):
                if self._ambient.monotonic() > until:
                    _LOG.warning("another process has been issuing a token for very long; this one goes ahead")
                    break
                await anyio.sleep(_ISSUE_POLL)
            yield
        finally:
            # By the thread that took it, so that it comes after an attempt that is still under way there. Closing
            # releases it as well.
            with suppress(JournalError):
                self._hand_in(lambda _: self._issue_lock.release())

    def _try_issue_lock(self, _: apsw.Connection) -> bool:
        try:
            self._issue_lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def _load(self, connection: apsw.Connection) -> TokenRecord:
        row = connection.execute(
            "SELECT value, expires_at, boot_id, attempted, setbacks FROM tokens WHERE key = ?", (self._key,)
        ).fetchone()
        if row is None:
            return TokenRecord()
        value, expires_at, boot_id, attempted, setbacks = row
        try:
            token = None if value is None else Token(_header_safe(value), _moment(expires_at))
        except Exception as error:  # noqa: BLE001 - whatever a damaged text leads to
            self._tell_damaged("the token", error)
            connection.execute("DELETE FROM tokens WHERE key = ?", (self._key,))
            return TokenRecord()
        # An attempt in the future would be waited for.
        is_of_now = boot_id == self._ambient.boot_id and (attempted or 0.0) <= self._ambient.monotonic()
        return TokenRecord(token, attempted if is_of_now else None, setbacks)

    # ------------------------------------------------------------------ the budgets

    async def look(self, limits: Limits, news: News) -> Sight:
        """Do `budgets.look` on the shared state in one transaction.

        Cancellation: It is done all the same; what has begun and is not ended by anybody counts until it is old.
        """

        def count(connection: apsw.Connection) -> Sight:
            row = connection.execute(
                "SELECT content FROM budgets WHERE key = ? AND boot_id = ?", (self._key, self._ambient.boot_id)
            ).fetchone()
            # Now, not when it was handed in: another process may have held the file in between.
            now = self._ambient.monotonic()
            budgets, sight = self._look_at(None if row is None else row[0], now, limits, news)
            connection.execute(
                "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?)",
                (self._key, self._ambient.boot_id, _JSON.dumps(budgets)),
            )
            return sight

        return await self._run(count)

    def _look_at(self, content: str | None, now: float, limits: Limits, news: News) -> tuple[Budgets, Sight]:
        if content is not None:
            try:
                budgets = _JSON.loads(content, Budgets)
                lessons = tuple(lesson.within_reason(now) for lesson in budgets.lessons)
                return look(evolve(budgets, lessons=lessons), now, limits, news)
            except Exception as error:  # noqa: BLE001 - whatever a damaged text leads to
                self._tell_damaged("the rate limits", error)
        return look(Budgets(), now, limits, news)

    # ------------------------------------------------------------------ the file

    def _open(self) -> None:
        with self._door:
            self._worker = self._open_file()

    def _open_file(self) -> Worker:
        try:
            _prepare(self.path)
            identity = _identity_of(self.path)
            connection = apsw.Connection(os.fspath(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                self._configure(connection)
            except BaseException:
                connection.close()
                raise
        except (apsw.Error, OSError, UnicodeError) as error:
            raise _unusable(self.path, error) from error
        self._identity = identity
        return Worker("kiwoom shared state", connection, self.path, self._workplace)

    def _is_deleted(self) -> bool:
        return _identity_of(self.path) != self._identity

    def _reopen(self, old: Worker) -> None:
        with self._door:
            if self._worker is old:
                self._worker = self._open_file()
                old.close()

    def _configure(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(int(self._locked_after * 1000))
        # TRUNCATE: a rolled-back journal on the disk, so that a process killed in the middle damages nothing, and no
        # files beside this one between two transactions. secure_delete: a revoked token leaves no trace.
        for name, value in (("journal_mode", "TRUNCATE"), ("synchronous", "OFF"), ("secure_delete", "ON")):
            connection.pragma(name, value)
        connection.execute("BEGIN IMMEDIATE")
        application, version = connection.pragma("application_id"), connection.pragma("user_version")
        is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").get
        if not is_new and (application, version) != (APPLICATION_ID, SCHEMA):
            raise _unusable_because(self.path, "is a file of another program or of another release")
        connection.execute(_TABLES)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA)
        connection.execute("COMMIT")

    def _close(self) -> None:
        with self._door:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.close()
            self._issue_lock.release(force=True)

    def _hand_in(self, operation: Callable[[apsw.Connection], object]) -> None:
        if self._worker is not None:
            self._worker.hand_in(operation)

    async def _run(self, operation: Callable[[apsw.Connection], _T]) -> _T:
        def in_transaction(connection: apsw.Connection) -> _T:
            if self._is_deleted():
                # Before SQLite takes the log of the new file for one of the old one.
                raise _Deleted
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = operation(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        try:
            return await self._run_or_reopen(in_transaction)
        except SharedStateUnusable as error:
            self._warn(error)
            raise
        except (_Deleted, JournalError, OSError, ValueError, cattrs.BaseValidationError) as error:
            # A worker speaks of a journal; its cause is SQLite's.
            unusable = _unusable(self.path, error.__cause__ or error)
            self._warn(unusable)
            raise unusable from error

    async def _run_or_reopen(self, operation: Callable[[apsw.Connection], _T]) -> _T:
        worker = self._worker
        if worker is None:
            raise _unusable_because(self.path, "is closed")
        try:
            return await worker.run(operation)
        except _Deleted:
            pass
        except JournalError:
            if not await self._workplace.run(self._is_deleted):
                raise
        # Somebody has deleted the file, which is allowed at any time: make a new one.
        await self._workplace.run(partial(self._reopen, worker))
        if self._worker is None:
            raise _unusable_because(self.path, "is closed")
        return await self._worker.run(operation)

    def _warn(self, error: SharedStateUnusable) -> None:
        now = self._ambient.monotonic()
        if self._warnings.told_at is None or now >= self._warnings.told_at + WARN_EVERY:
            self._warnings.told_at = now
            _LOG.warning("%s", error)

    def _tell_damaged(self, what: str, error: Exception) -> None:
        # Not its text: it may quote a token.
        _LOG.warning("what %s holds of %s is damaged (%s); it is made anew", self.path, what, type(error).__name__)


_REASONS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((UnicodeError,), "has a name that is no text"),
    ((apsw.BusyError, apsw.LockedError), "is locked by another program; close what has it open"),
    (
        (apsw.CorruptError, apsw.NotADBError, cattrs.BaseValidationError, ValueError),
        "is damaged; delete it, nothing in it is missed",
    ),
    ((apsw.FullError,), "cannot be written because the disk is full; make room"),
)


def _unusable(path: Path, error: BaseException) -> SharedStateUnusable:
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return _unusable_because(path, reason)
    return _unusable_because(
        path, f"cannot be made or written ({type(error).__name__}); check the rights of its folder"
    )


def _unusable_because(path: Path, reason: str) -> SharedStateUnusable:
    return SharedStateUnusable(
        f"The file that shares token and rate limits among the processes of a key, {path}, {reason}; or give "
        "KiwoomClient(shared_state=…) another path. Orders are as safe as ever; until then each process has its own "
        "token and counts its own requests."
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("expires_at has no time zone")
    if not _FIRST_YEAR <= moment.year < MAXYEAR:
        raise ValueError("expires_at is no end of a token")
    return moment


def _header_safe(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,4096}", value):
        raise ValueError("the value is no token")
    return value


def _prepare(path: Path) -> None:
    if path.is_dir():
        raise _unusable_because(path, "is a folder")
    if kind := network_file_system(path.parent):
        raise _unusable_because(path, f"lies on a network file system ({kind}), where locks cannot be trusted")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        # Never opened here: closing a descriptor would give up the locks of another client of this process.
        _require_private(path)


def _require_private(path: Path) -> None:
    if os.name != "posix":
        return  # pragma: no cover - Windows has no such modes
    found = path.stat()
    if found.st_uid != os.getuid():
        raise _unusable_because(path, "belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o600)
