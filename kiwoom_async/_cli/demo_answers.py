"""The demonstration's record of what was asked and told: JSON lines that survive the death of who writes them.

It is the audit's witness, so it is not the client's journal: another file, another format, another writer.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Final, Self

import cattrs
from attrs import define, field, frozen

from kiwoom_async._audit import Answer, Ask, FillHeard

_CONVERTER: Final = cattrs.Converter(omit_if_default=True)


@frozen
class Phase:
    """How far the trading process is; `detail` is for people."""

    name: str
    detail: str = ""


Entry = Ask | Answer | FillHeard | Phase
_KINDS: Final[dict[str, type[Entry]]] = {"asked": Ask, "told": Answer, "heard": FillHeard, "phase": Phase}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def to_line(entry: Entry) -> bytes:
    """Write an entry as one line."""
    plain = {"entry": _NAMES[type(entry)], **_CONVERTER.unstructure(entry)}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Entry | None:
    """Read one line; None where a dying process has torn it."""
    try:
        plain: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    kind = _KINDS[plain.pop("entry")]
    entry: Entry = _CONVERTER.structure(plain, kind)
    return entry


@define
class AnswerReader:
    """Reads what has been added since the last time."""

    path: Path
    entries: list[Entry] = field(factory=list)
    _offset: int = 0

    def read(self) -> list[Entry]:
        """Read on to the last whole line; give what is new."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole, end, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        new = [entry for line in whole.splitlines() if line and (entry := from_line(line)) is not None]
        self.entries += new
        return new


class AnswerWriter:
    """Appends entries; each is on the disk when `write` returns, and those that wait together share one fsync."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._turn = asyncio.Lock()
        self._descriptor = -1

    async def __aenter__(self) -> Self:
        """Open the file, after whatever an earlier process has left half-written."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._path, flags, 0o600)
        if os.fstat(self._descriptor).st_size:
            os.write(self._descriptor, b"\n")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the file."""
        os.close(self._descriptor)

    async def write(self, entry: Entry) -> None:
        """Append an entry durably."""
        line = to_line(entry)
        self._waiting.append(line)
        async with self._turn:
            if not self._waiting or line not in self._waiting:
                return  # who had the turn before has taken it along
            batch, self._waiting = b"".join(self._waiting), []
            await asyncio.to_thread(self._append, batch)

    def _append(self, batch: bytes) -> None:
        while batch:
            batch = batch[os.write(self._descriptor, batch) :]
        os.fsync(self._descriptor)
