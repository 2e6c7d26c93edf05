"""The real clock and the real randomness: the only module that may read them."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from attrs import frozen

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.settings import KST

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_COUNTS_SLEEP: Final = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC_RAW"}
"""The clock that never jumps and goes on while the machine sleeps, where `time.monotonic` stands still meanwhile.
Source: clock_gettime(2) of Linux; clock_gettime(3) of macOS. On Windows `time.monotonic` counts sleep (GetTickCount64,
QueryPerformanceCounter)."""


@frozen
class _Clock:
    """A clock that never jumps.

    Attributes:
        name: Tells its seconds from those of another clock of the same boot. Empty for `time.monotonic`.
    """

    name: str
    read: Callable[[], float]


def _choose_clock() -> _Clock:
    """Choose the clock that counts sleep: broker, network and wall clock do not sleep with us."""
    name = _COUNTS_SLEEP.get(sys.platform, "")
    number = getattr(time, name, None)
    if number is not None:
        with suppress(OSError):
            time.clock_gettime(number)
            return _Clock(name, lambda: time.clock_gettime(number))
    return _Clock("", lambda: time.monotonic())  # noqa: PLW0108 - looked up at each call, like the one above


_CLOCK: Final = _choose_clock()


def _name_boot(clock: _Clock) -> str:
    """Name the run of the operating system within which the seconds of a clock can be compared.

    Journals may hold seconds of `time.monotonic` that an older release has written in this very boot: they are of
    another clock, and therefore count as those of another boot.
    """
    boot = _read_boot_id(clock)
    return f"{boot}/{clock.name}" if clock.name else boot


def _read_boot_id(clock: _Clock) -> str:
    """Name this run of the operating system: every process in it alike, and no two runs alike."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    if sys.platform == "darwin":
        with suppress(OSError, AttributeError):
            return _read_sysctl(b"kern.bootsessionuuid")
    # Elsewhere, on Windows above all, the moment of the start, in steps of a minute. It moves a little when the wall
    # clock is set, and two processes of one run can then differ. That errs on the safe side: neither proves anything
    # about the other's attempts, nor touches them while the other lives. A coarser step would be worse, for it could
    # take two runs for one, and an order of the earlier run for a witness in this one.
    return f"booted-{round((time.time() - clock.read()) / 60)}"


def _read_sysctl(name: bytes) -> str:
    # Not kern.boottime: it moves when the wall clock is set.
    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(text))
    if ctypes.CDLL(None).sysctlbyname(name, text, ctypes.byref(size), None, ctypes.c_size_t(0)) or not text.value:
        raise OSError
    return text.value.decode("ascii")


@frozen
class SystemAmbient:
    """Clock and randomness of the operating system.

    Attributes:
        offset: Added to the wall clock; lets a demonstration trade at ten in the morning at any hour.
    """

    offset: timedelta = timedelta(0)
    boot_id: str = _name_boot(_CLOCK)

    def now(self) -> datetime:
        """Read the wall clock, aware, in Korean time."""
        return datetime.now(KST) + self.offset

    def monotonic(self) -> float:
        """Read the clock that never jumps, in seconds. It counts while the machine sleeps; timers do not."""
        return _CLOCK.read()

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes from the operating system."""
        return os.urandom(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing: checkpoints matter to tests only."""
