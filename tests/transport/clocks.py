"""A clock for tests: time passes in `sleep` and by hand."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.settings import KST

START = datetime(2026, 11, 2, 9, 0, tzinfo=KST)
BOOT = 100.0


class Clock:
    """An `Ambient` whose time stands still until it is moved; `sleep` moves it."""

    boot_id = "boot"

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Read the wall clock."""
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return BOOT + self.passed

    def random_bytes(self, count: int) -> bytes:
        """Draw zeros."""
        return bytes(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(round(seconds, 3))
        self.passed += seconds


class SteppedClock(Clock):
    """A clock whose sleepers wake in `run`, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeping: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Wait until `run` comes by."""
        woken = asyncio.Event()
        self._sleeping.append((self.monotonic() + seconds, woken))
        await woken.wait()

    async def run(self, until: float, *, late: float = 0.0) -> None:
        """Let time pass, waking each sleeper this much too late."""
        await self._settle()
        while self._sleeping and min(moment for moment, _ in self._sleeping) <= until:
            self._sleeping.sort(key=lambda one: one[0])
            moment, woken = self._sleeping.pop(0)
            self.passed = max(self.passed, moment + late - BOOT)
            woken.set()
            await self._settle()
        self.passed = max(self.passed, until - BOOT)

    async def _settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)
