"""What happened in a simulated day, in order: written down only where somebody wants to read it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from attrs import define, field

Entry = tuple[float, str, str, str]
"""The virtual second, who, what kind of thing, and the thing itself."""


@define(eq=False)
class Timeline:
    """The record of a day.

    Attributes:
        is_kept: Whether anything is written down; a day that nobody looks into need not be.
    """

    is_kept: bool = False
    entries: list[Entry] = field(factory=list)

    def note(self, at: float, who: str, what: str, text: str) -> None:
        """Write down that something happened."""
        if self.is_kept:
            self.entries.append((at, who, what, text))

    @property
    def digest(self) -> str:
        """Give the fingerprint of all that happened."""
        digest = hashlib.blake2b(digest_size=16)
        for at, who, what, text in self.entries:
            digest.update(f"{at!r}\x1f{who}\x1f{what}\x1f{text}\x1e".encode())
        return digest.hexdigest()

    def lines(self) -> Iterator[str]:
        """Give it to people, in columns."""
        yield f"{'second':>10}  {'who':<10} {'what':<8} "
        for at, who, what, text in self.entries:
            yield f"{at:>10.4f}  {who:<10} {what:<8} {text}".rstrip()
