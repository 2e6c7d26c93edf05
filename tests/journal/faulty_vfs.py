"""File systems of SQLite for tests: one that counts, one that fails on purpose, one that loses what was not synced."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

_NAMES = itertools.count()
_SPAN = 4096


class FaultyVFS(apsw.VFS):
    """The default file system with a hook before every write, sync and truncation.

    Attributes:
        calls: How often each kind of call was made.
        fail_at: The call that fails, counted over all kinds from 1; None for none.
        is_lasting: Every later call fails as well.
    """

    def __init__(self, *, remembers_synced: bool = False) -> None:
        self.vfs_name = f"faulty-{next(_NAMES)}"
        self.calls: Counter[str] = Counter()
        self.count = 0
        self.fail_at: int | None = None
        self.is_lasting = False
        self.error: Callable[[], Exception] = apsw.IOError
        self.on_sync: Callable[[], None] = lambda: None
        self.synced: dict[str, bytes] | None = {} if remembers_synced else None
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
        self.calls[kind] += 1
        self.count += 1
        if self.fail_at is not None and (self.count == self.fail_at or (self.is_lasting and self.count > self.fail_at)):
            raise self.error()

    def xOpen(self, name: Any, flags: Any) -> FaultyFile:  # noqa: N802 - the name apsw calls
        """Open a file with hooks."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return FaultyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete; after a power cut the file is gone as well."""
        super().xDelete(filename, syncdir)
        if self.synced is not None:
            self.synced.pop(filename, None)


class FaultyFile(apsw.VFSFile):
    """A file of `FaultyVFS`."""

    def __init__(self, vfs: FaultyVFS, path: str | None, name: Any, flags: Any) -> None:
        self._vfs = vfs
        self._path = path
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        """Write, or fail."""
        self._vfs.check("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Sync, or fail."""
        self._vfs.on_sync()
        self._vfs.check("sync")
        super().xSync(flags)
        if self._vfs.synced is not None and self._path is not None:
            self._vfs.synced[self._path] = self._content()

    def xTruncate(self, size: int) -> None:  # noqa: N802
        """Truncate, or fail."""
        self._vfs.check("truncate")
        super().xTruncate(size)

    def _content(self) -> bytes:
        size = self.xFileSize()
        return b"".join(self.xRead(min(_SPAN, size - start), start) for start in range(0, size, _SPAN))


def lose_power(vfs: FaultyVFS, journal: Path, folder: Path) -> Path:
    """Give a journal as the disk has it after a power cut: of each file only what its last sync covered."""
    assert vfs.synced is not None
    folder.mkdir()
    for name, content in vfs.synced.items():
        (folder / Path(name).name).write_bytes(content)
    return folder / journal.name


def disk_full() -> Exception:
    """Make the error of a full disk."""
    return apsw.FullError("database or disk is full")


def disk_broken() -> Exception:
    """Make the error of a failing disk."""
    return apsw.IOError("disk I/O error")
