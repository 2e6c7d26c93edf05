"""How far each journal has come, remembered outside of it, so that an old backup is not taken for the journal itself.

A journal that is put back from a backup has forgotten what was sent since, and the ids of those orders would be sent
again. So a small file in a private folder of the user, the seal, keeps the height of the journal: a number that rises
with every record of an order. A journal that is lower than its seal is refused.

Heights are read from what is committed, and sealed after that: no crash and no power cut puts a seal above its journal.
A seal that is lost or unreadable costs the protection until the next commit, never an order.

Beside the seals the folder keeps which journal lay at which path. Another file in the place of one that has sent orders
is used, because people do delete journals and put others back; but a warning says so, and it counts as accepted without
the other one's records.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import apsw
from attrs import define, field, frozen
from platformdirs import user_state_path

from kiwoom_async._domain.ambient import Ambient, new_identifier
from kiwoom_async._domain.settings import KST
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.guards import storable, this_process
from kiwoom_async._journal.store import Access, mapped_errors, open_writer, real_path, transaction
from kiwoom_async.errors import JournalRestored

_LOG: Final = logging.getLogger("kiwoom_async")

DIGITS: Final = 20
"""Digits of a height in its file, all of them always, so that each new one covers the last. Source: SQLite's largest
row number has 19."""

KEPT_FILES: Final = 2_000
"""Files in the folder beyond which those that were written longest ago are removed. Source: our choice; a user has a
handful of journals with two files each, a test run has one for each test."""

GONE: Final = "the journal that lay here before is gone"
"""How the reason begins in the first row of a new journal that took the place of another one."""

EXCHANGED: Final = "another journal lay here in between"
"""How the reason begins in the row of a journal with records that took the place of another one."""

_HEIGHT: Final = """
SELECT (SELECT coalesce(max(sequence), 0) FROM history) + (SELECT coalesce(max(sequence), 0) FROM order_events)
    + (SELECT coalesce(max(sequence), 0) FROM kill_switch)
"""
"""Three tables to which rows are only ever added: none of them can fall, so their sum cannot hide that one did."""


def default_folder() -> Path:
    """Give the usual place: the private folder for state of the user who runs this."""
    return user_state_path("kiwoom-async", appauthor=False) / "seals"


def read_height(connection: apsw.Connection) -> int:
    """Read how far a journal has come."""
    height: int = connection.execute(_HEIGHT).get
    return height


@frozen
class Acceptance:
    """From when on a journal is used although it lacks records that it, or the one in its place, had before.

    Attributes:
        by: Who said so; empty for a new journal in the place of another one.
        missing: Records that are known to be lost.
    """

    at: datetime
    by: str
    reason: str
    missing: int


def read_acceptance(connection: apsw.Connection) -> Acceptance | None:
    """Read since when a journal lacks records; None if it has always been whole."""
    row = connection.execute(
        "SELECT at, accepted_by, reason, missing FROM identities WHERE reason <> '' ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    with decoding():
        return None if row is None else Acceptance(datetime.fromisoformat(row[0]), *row[1:])


@define
class Seal:
    """The seal of one journal. One thread at a time."""

    path: Path
    _descriptor: int | None = None
    _is_writable: bool = True
    _written: int = -1
    _has_warned: bool = field(default=False, init=False)

    @classmethod
    def of(cls, folder: Path, identity: str) -> Seal:
        """Open a journal's seal, made where there is none; a warning tells where that is not possible."""
        path = folder / f"{identity}.seal"
        seal = cls(path)
        flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            seal._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
        except OSError as error:
            # One that can be read still tells of what was lost before.
            seal._is_writable = False
            with suppress(OSError):
                seal._descriptor = os.open(path, os.O_RDONLY | flags)
            seal._warn(error)
        _prune(folder)
        return seal

    def read(self) -> int | None:
        """Read the height; None where none was written, or it cannot be read."""
        if self._descriptor is None:
            return None
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            text = os.read(self._descriptor, DIGITS + 1)
        except OSError as error:
            self._warn(error)
            return None
        if not text:
            return None
        if len(text) != DIGITS or not text.isdigit():
            # What a power cut leaves of a file that is never synced. To refuse the journal for it would stop the bot
            # for nothing: it is no sign that the journal has lost anything.
            _LOG.warning("the seal %s is damaged; it is made anew from the journal", self.path)
            return None
        return int(text)

    def raise_to(self, height: int) -> None:
        """Write a height, unless this or another process has written as high a one."""
        if self._descriptor is None or not self._is_writable or height <= self._written or height <= (self.read() or 0):
            return
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, b"%020d" % height)
        except OSError as error:
            self._warn(error)
        else:
            self._written = height

    def written_at(self) -> datetime | None:
        """Read when it was written last; None where the system does not tell."""
        if self._descriptor is None:
            return None
        with suppress(OSError):
            return datetime.fromtimestamp(os.fstat(self._descriptor).st_mtime, KST)
        return None

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _warn(self, error: OSError) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        _LOG.warning(
            "the seal %s cannot be used (%s), so a journal that is restored from an old backup will not be recognized; "
            "check the rights of its folder, or give KiwoomClient(journal_seals=…) another one",
            self.path,
            error.strerror,
        )


def _prune(folder: Path) -> None:
    with suppress(OSError):
        found = sorted((path.stat().st_mtime, path) for path in folder.iterdir() if path.suffix in {".seal", ".place"})
        for _, path in found[:-KEPT_FILES]:
            path.unlink()


@frozen
class _Other:
    """A journal that lay in the place of the one that is opened."""

    identity: str
    height: int
    written_at: datetime | None

    def has_more_than(self, height: int) -> bool:
        """Tell whether a file without a name, of this height, is a backup of it from before journals had names."""
        return 0 < height < self.height


@frozen
class _Place:
    """Remembers which journal lies at a path."""

    path: Path

    @classmethod
    def of(cls, folder: Path, journal: Path) -> _Place:
        return cls(folder / f"{sha256(os.fsencode(journal)).hexdigest()[:32]}.place")

    def read_other(self, connection: apsw.Connection, folder: Path) -> _Other | None:
        """Give the journal with records that lay here last, unless it is this one, or this one says so already."""
        try:
            identity = self.path.read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
        if not _IDENTITY_TEXT.fullmatch(identity) or not (folder / f"{identity}.seal").exists():
            return None
        if connection.execute(_IDENTITY).get == identity:
            return None
        seal = Seal.of(folder, identity)
        height, written_at = seal.read() or 0, seal.written_at()
        seal.close()
        if not height or connection.execute(_IS_TOLD, (identity, height)).get:
            return None
        return _Other(identity, height, written_at)

    def remember(self, identity: str) -> None:
        """Note which journal lies here now. Whoever cannot has been warned of the folder."""
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(descriptor, identity.encode("ascii"))
            finally:
                os.close(descriptor)


_IDENTITY_TEXT: Final = re.compile(r"[0-9a-f-]{36}")


def identify(connection: apsw.Connection, path: Path, folder: Path, ambient: Ambient) -> str:
    """Give the name of a journal, and one to a journal without.

    Raises:
        JournalRestored: It has no name, and fewer records than the journal that lay there last: it is a backup that an
            earlier release has written.
    """
    place = _Place.of(folder, path)
    known = connection.execute(_IDENTITY).get
    other = place.read_other(connection, folder)
    if known is None or other is not None:
        with transaction(connection, "BEGIN IMMEDIATE"):
            # Another process may have been faster.
            known, other = connection.execute(_IDENTITY).get, place.read_other(connection, folder)
            height = read_height(connection)
            if known is None and other is not None and other.has_more_than(height):
                raise JournalRestored(str(path), missing=other.height - height, written_at=other.written_at)
            if other is not None:
                reason = EXCHANGED if height else GONE
                row = _name_anew(connection, ambient, "", f"{reason} ({other.identity})", other.height)
                known = known or row  # a journal that has a name keeps it, and so its seal
                _LOG.warning(_WARNINGS[reason], path, other.height)
            elif known is None:
                known = _name_anew(connection, ambient, "", "", 0)
    return str(known)


_WARNINGS: Final = {
    GONE: "the journal %s is new, and the one that lay there before, with %s records, is gone: ids that were sent with "
    "it would be sent again. If you did not remove it on purpose, close the client and put it back before an order is "
    "sent with the new one; after that neither knows the orders of the other",
    EXCHANGED: "the journal %s is not the one that lay there last, which has %s records: ids that were sent with that "
    "one would be sent again with this one. Compare today's orders on Kiwoom's own screen with what your bot will ask "
    "for, and keep both files",
}
_IDENTITY: Final = (
    "SELECT identity FROM identities WHERE sequence = 1 OR accepted_by <> '' ORDER BY sequence DESC LIMIT 1"
)
_IS_TOLD: Final = "SELECT count(*) FROM identities WHERE instr(reason, ?) AND missing = ?"


def _name_anew(connection: apsw.Connection, ambient: Ambient, by: str, reason: str, missing: int) -> str:
    identity = new_identifier(ambient)
    connection.execute(
        "INSERT INTO identities (identity, at, accepted_by, reason, missing) VALUES (?, ?, ?, ?, ?)",
        (identity, ambient.now().isoformat(), storable(by), storable(reason), missing),
    )
    return identity


def unseal(connection: apsw.Connection, path: Path, folder: Path, ambient: Ambient) -> Seal:
    """Open the seal of a journal that is about to be used.

    Raises:
        JournalRestored: The journal is lower than its seal.
    """
    identity = identify(connection, path, folder, ambient)
    seal = Seal.of(folder, identity)
    try:
        # In this order: what others commit and seal meanwhile can only make the journal look higher.
        sealed = seal.read()
        height = read_height(connection)
        if sealed is not None and sealed > height:
            raise JournalRestored(str(path), missing=sealed - height, written_at=seal.written_at())
        seal.raise_to(height)
        _Place.of(folder, path).remember(identity)
    except BaseException:
        seal.close()
        raise
    return seal


def accept(
    path: Path, ambient: Ambient, *, reason: str, by: str | None = None, folder: Path, busy_timeout: float
) -> int:
    """Take a journal that is lower than its seal for the journal from now on; give how many records it lacks.

    Why and by whom is kept in the file. One that lacks nothing is left as it is.

    Raises:
        JournalError: The file cannot be used.
        ConfigurationError: The folder is no path.
    """
    folder = real_path(folder)
    connection = open_writer(path, busy_timeout=busy_timeout, access=Access())
    try:
        with mapped_errors(path):
            missing = _accept_unnamed(connection, path, folder, ambient, by or this_process(), reason)
            missing = missing or _accept_named(connection, path, folder, ambient, by or this_process(), reason)
    finally:
        connection.close()
    return missing


def _accept_unnamed(
    connection: apsw.Connection, path: Path, folder: Path, ambient: Ambient, by: str, reason: str
) -> int:
    place = _Place.of(folder, path)
    with transaction(connection, "BEGIN IMMEDIATE"):
        height = read_height(connection)
        other = place.read_other(connection, folder)
        if connection.execute(_IDENTITY).get is not None or other is None or not other.has_more_than(height):
            return 0
        missing = other.height - height
        identity = _name_anew(connection, ambient, by, reason, missing)
    place.remember(identity)
    return missing


def _accept_named(connection: apsw.Connection, path: Path, folder: Path, ambient: Ambient, by: str, reason: str) -> int:
    seal = Seal.of(folder, identify(connection, path, folder, ambient))
    sealed = seal.read()
    seal.close()
    missing = max(0, (sealed or 0) - read_height(connection))
    if missing:
        with transaction(connection, "BEGIN IMMEDIATE"):
            identity = _name_anew(connection, ambient, by, reason, missing)
        fresh = Seal.of(folder, identity)
        fresh.raise_to(read_height(connection))
        fresh.close()
        _Place.of(folder, path).remember(identity)
    return missing
