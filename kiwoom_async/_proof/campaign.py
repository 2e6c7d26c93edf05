"""Many days: what came of all of them together, and the days of a campaign one after the other.

Days are independent: the seed of each comes from the campaign's seed and the day's number alone, so that it does not
matter which worker carries it out, and one day replays without the others.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from kiwoom_async._proof.day import plan_day, seed_of
from kiwoom_async._proof.outcomes import DayResult
from kiwoom_async._proof.run import make_journal, run_day

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder of Linux that lies in memory

KEPT: Final = 20
"""Failing days of which a tally keeps the violations. Source: our choice, what one reads."""


@frozen
class Failure:
    """A day with broken promises."""

    number: int
    seed: int
    violations: tuple[str, ...]


@define
class Tally:
    """What came of some days.

    Attributes:
        seconds: Virtual ones.
        processor: Seconds of processor time that the days took, where it was measured.
        failed: How many days broke a promise.
        struck: Deaths of processes, by where they struck.
        failures: The first of the days that broke a promise.
    """

    days: int = 0
    orders: int = 0
    sends: int = 0
    freezes: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    violations: int = 0
    failed: int = 0
    faults: Counter[str] = field(factory=Counter)
    witnesses: Counter[str] = field(factory=Counter)
    struck: Counter[str] = field(factory=Counter)
    failures: list[Failure] = field(factory=list)

    @property
    def deaths(self) -> int:
        """Count the processes that died."""
        return self.struck.total()

    def add_day(self, number: int, result: DayResult) -> None:
        """Count a day."""
        self.days += 1
        self.orders += result.orders
        self.sends += result.sends
        self.struck.update(result.deaths)
        self.freezes += result.freezes
        self.seconds += result.seconds
        self.violations += len(result.violations)
        self.faults.update(result.faults)
        self.witnesses.update(result.witnesses)
        self.failed += bool(result.violations)
        if result.violations and len(self.failures) < KEPT:
            self.failures.append(Failure(number, result.seed, result.violations))

    def add(self, other: Tally) -> None:
        """Count the days of another tally."""
        for name in ("days", "orders", "sends", "freezes", "seconds", "processor", "violations", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults.update(other.faults)
        self.witnesses.update(other.witnesses)
        self.struck.update(other.struck)
        self.failures = sorted([*self.failures, *other.failures], key=lambda failure: failure.number)[:KEPT]


@define(eq=False)
class Ground:
    """Where days take place: a folder that is as new for each of them.

    Attributes:
        folder: For the journal.
        template: An empty journal.
    """

    folder: Path
    template: Path

    def run(self, seed: int, number: int, *, keeps_timeline: bool = False) -> DayResult:
        """Carry out one day of a campaign."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        shutil.copy(self.template, self.folder / "orders.db")
        return run_day(plan_day(seed_of(seed, number)), self.folder, keeps_timeline=keeps_timeline)


@contextmanager
def folder() -> Iterator[str]:
    """Make a folder for a while: in memory where that can be, and where ``TMPDIR`` says nothing else."""
    place = _MEMORY if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="kiwoom-prove-", dir=place) as name:
        yield name


@contextmanager
def ground() -> Iterator[Ground]:
    """Make a place for days."""
    with folder() as name:
        template = Path(name) / "template.db"
        make_journal(template)
        yield Ground(Path(name) / "day", template)


def run_days(seed: int, numbers: Iterable[int], place: Ground) -> Tally:
    """Carry out some days of a campaign."""
    tally = Tally()
    for number in numbers:
        tally.add_day(number, place.run(seed, number))
    return tally
