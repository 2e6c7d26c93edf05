"""The real clock and the real randomness: the only module that may read them."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from attrs import frozen

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.settings import KST

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        # Elsewhere the moment of the start, in steps of a minute, tells two boots apart: the difference of both
        # clocks moves by the drift only, and a wrong "another boot" merely makes a proof wait longer.
        return f"booted-{round((time.time() - time.monotonic()) / 60)}"


@frozen
class SystemAmbient:
    """Clock and randomness of the operating system.

    Attributes:
        offset: Added to the wall clock; lets a demonstration trade at ten in the morning at any hour.
    """

    offset: timedelta = timedelta(0)
    boot_id: str = _read_boot_id()

    def now(self) -> datetime:
        """Read the wall clock, aware, in Korean time."""
        return datetime.now(KST) + self.offset

    def monotonic(self) -> float:
        """Read the clock that never jumps, in seconds."""
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes from the operating system."""
        return os.urandom(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing: checkpoints matter to tests only."""
