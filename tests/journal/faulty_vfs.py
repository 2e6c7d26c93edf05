"""A file system of SQLite for tests: it counts, fails on purpose, and forgets or tears what was not synced."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import apsw
from attrs import frozen

_NAMES = itertools.count()

SECTOR: Final = 512
"""What a disk writes whole or not at all. Source: the smallest that disks have; some have eight times as much."""


@frozen
class Change:
    """A write or a truncation that the disk may not have yet.

    Attributes:
        data: None: the file is cut or extended to `offset`.
    """

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it."""
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        if self.data is None:
            del content[self.offset :]
        else:
            content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> list[Change]:
        """Split it into what is written whole."""
        if self.data is None:
            return [self]
        cuts = [self.offset, *range(self.offset + SECTOR - self.offset % SECTOR, self.offset + len(self.data), SECTOR)]
        ends = [*cuts[1:], self.offset + len(self.data)]
        return [
            Change(start, self.data[start - self.offset : end - self.offset])
            for start, end in zip(cuts, ends, strict=True)
        ]


class FaultyVFS(apsw.VFS):
    """The default file system with a hook before every write, sync and truncation.

    Attributes:
        calls: How often each kind of call was made.
        fail_at: The call that fails, counted over all kinds from 1; None for none.
        is_lasting: Every later call fails as well.
        is_short: A write that fails has written its first half.
        is_volatile: Nothing is ever synced, which is faster.
        synced: What the disk surely has of each file; None where nobody asks.
        pending: What was written to each file since its last sync.
    """

    def __init__(self, *, remembers_synced: bool = False) -> None:
        self.vfs_name = f"faulty-{next(_NAMES)}"
        self.calls: Counter[str] = Counter()
        self.count = 0
        self.fail_at: int | None = None
        self.is_lasting = False
        self.error: Callable[[], Exception] = apsw.IOError
        self.is_short = False
        self.is_volatile = False
        self.on_call: Callable[[str], None] = lambda kind: None
        self.synced: dict[str, bytes] | None = {} if remembers_synced else None
        self.pending: dict[str, list[Change]] = {}
        self.deleted: dict[str, bytes] = {}
        self.created: set[str] = set()
        super().__init__(self.vfs_name, "")

    def arm(self, at: int, error: Callable[[], Exception], *, is_lasting: bool = False) -> None:
        """Let the call fail that comes as number `at` from now on."""
        self.count, self.fail_at, self.error, self.is_lasting = 0, at, error, is_lasting

    def disarm(self) -> None:
        """Let every call pass again."""
        self.fail_at = None

    @property
    def has_struck(self) -> bool:
        """Tell whether the armed failure has happened."""
        return self.fail_at is not None and self.count >= self.fail_at

    def check(self, kind: str) -> None:
        """Count a call, and fail it if it is its turn."""
        self.on_call(kind)
        self.calls[kind] += 1
        self.count += 1
        if self.fail_at is not None and (self.count == self.fail_at or (self.is_lasting and self.count > self.fail_at)):
            raise self.error()

    def xOpen(self, name: Any, flags: Any) -> FaultyFile:  # noqa: N802 - the name apsw calls
        """Open a file with hooks."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if self.synced is not None and path is not None and path not in self.synced:
            file = Path(path)
            self.synced[path] = file.read_bytes() if file.exists() else b""
            self.pending[path] = []
            self.deleted.pop(path, None)
            if not file.exists():
                self.created.add(path)
        return FaultyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete; after a power cut the file may be back as the disk had it."""
        self.on_call("delete")
        super().xDelete(filename, syncdir)
        if self.synced is not None:
            self.deleted[filename] = self.synced.pop(filename, b"")
            self.pending.pop(filename, None)


class FaultyFile(apsw.VFSFile):
    """A file of `FaultyVFS`."""

    def __init__(self, vfs: FaultyVFS, path: str | None, name: Any, flags: Any) -> None:
        self._vfs = vfs
        self._path = path
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        """Write, or fail."""
        content = bytes(data)
        try:
            self._vfs.check("write")
        except Exception:
            if self._vfs.is_short:
                self._write(content[: len(content) // 2], offset)
            raise
        self._write(content, offset)

    def _write(self, content: bytes, offset: int) -> None:
        self._note(Change(offset, content))
        super().xWrite(content, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Sync, or fail: then what was written until now never gets to the disk by itself."""
        try:
            self._vfs.check("sync")
        except Exception:
            self._vfs.pending.get(self._path or "", []).clear()
            raise
        if not self._vfs.is_volatile:
            super().xSync(flags)
        synced = self._vfs.synced
        if synced is not None and self._path in synced:
            content = bytearray(synced[self._path])
            for change in self._vfs.pending[self._path]:
                change.apply(content)
            self._vfs.pending[self._path].clear()
            synced[self._path] = bytes(content)
            if self._path in self._vfs.created:
                # The first sync of a new log syncs its folder as well (UNIXFILE_DIRSYNC in os_unix.c): what was
                # deleted in it before is gone for good.
                self._vfs.created.discard(self._path)
                self._vfs.deleted.clear()

    def xTruncate(self, size: int) -> None:  # noqa: N802
        """Truncate, or fail."""
        self._vfs.check("truncate")
        self._note(Change(size, None))
        super().xTruncate(size)

    def _note(self, change: Change) -> None:
        if self._vfs.synced is not None and self._path in self._vfs.synced:
            self._vfs.pending[self._path].append(change)


Disk = Mapping[str, bytes]
"""The files that a power cut has left, by name."""


def torn(vfs: FaultyVFS, seed: str) -> Disk:
    """Give a disk as a power cut at this moment may leave it.

    Of what was not synced any part may be there, in units of a sector and in any order; deleted files may be back.
    """
    assert vfs.synced is not None
    chance = Random(seed)  # noqa: S311 - a test that fails must fail again
    left = {name: content for name, content in vfs.deleted.items() if chance.random() < 0.5}
    share, is_in_order = chance.choice([0.0, 0.2, 0.5, 0.8, 1.0]), chance.random() < 0.5
    for name, content in vfs.synced.items():
        units = [unit for change in vfs.pending[name] for unit in change.sectors()]
        survivors = [unit for unit in units if chance.random() < share]
        if not is_in_order:
            chance.shuffle(survivors)
        file = bytearray(content)
        for unit in survivors:
            unit.apply(file)
        left[name] = bytes(file)
    return left


def put_on_disk(disk: Disk, journal: Path, folder: Path) -> Path:
    """Write the files that a power cut has left into a folder; give the journal among them."""
    folder.mkdir()
    for name, content in disk.items():
        (folder / Path(name).name).write_bytes(content)
    return folder / journal.name


def lose_power(vfs: FaultyVFS, journal: Path, folder: Path) -> Path:
    """Give a journal as the disk has it after a power cut: of each file only what its last sync covered."""
    assert vfs.synced is not None
    return put_on_disk(vfs.synced, journal, folder)


def disk_full() -> Exception:
    """Make the error of a full disk."""
    return apsw.FullError("database or disk is full")


def disk_broken() -> Exception:
    """Make the error of a failing disk."""
    return apsw.IOError("disk I/O error")
