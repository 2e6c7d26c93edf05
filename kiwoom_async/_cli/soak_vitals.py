"""What a night must not make dearer: memory, descriptors, threads, tasks, files, the time an order takes. Pure, almost.

The cost of the client may grow with what is open, and not with what has ever been. So the same things are measured
after every day, when nothing is open, and the last days are held against the first ones.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import StatisticsError, median
from typing import Final

from attrs import frozen

_STATM: Final = Path("/proc/self/statm")
_DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))
MEBIBYTE: Final = 1 << 20


@frozen
class Vitals:
    """One process, when nothing is open.

    Attributes:
        resident: Bytes of memory.
        descriptors: Open files and sockets.
        threads: Of Python.
        tasks: Of asyncio.
    """

    resident: int
    descriptors: int
    threads: int
    tasks: int


def take_vitals() -> Vitals:
    """Measure this process, garbage collected."""
    gc.collect()
    return Vitals(_resident(), _descriptors(), threading.active_count(), len(asyncio.all_tasks()))


def _resident() -> int:
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - Windows has none

    # The most there ever was, which shows a leak as well. macOS counts bytes, the others kibibytes.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _descriptors() -> int:
    folder = next((folder for folder in _DESCRIPTORS if folder.is_dir()), None)
    return 0 if folder is None else sum(1 for _ in folder.iterdir()) - 1


@frozen
class Sample:
    """One day.

    Attributes:
        elder: The process that is never killed.
        others: Those that are.
        journal: Bytes of the journal, wherever its pages are just now.
        log: Bytes of the file of its write-ahead log.
        orders: Client order ids in the journal so far.
        latencies: Seconds that each of some orders took on a healthy network, one after the other.
        processor: Seconds of processor time that such an order took, all told.
        yardstick: Seconds that a fixed piece of work took between those orders: another program slows both down.
        openings: Seconds that each process which was started took until its client was open.
    """

    elder: Vitals
    others: tuple[Vitals, ...]
    journal: int
    log: int
    orders: int
    latencies: tuple[float, ...]
    processor: float = 0.0
    yardstick: float = 1.0
    openings: tuple[float, ...] = ()


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that a share of all values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _largest(name: str) -> Callable[[Sample], float]:
    return lambda sample: max((float(getattr(vitals, name)) for vitals in sample.others), default=0.0)


@frozen
class Measure:
    """What is measured, and how much more of it the end may need than the beginning.

    Attributes:
        unit: By which the value is divided for people, with its name.
        factor, slack: The end is at most the beginning times the factor, plus the slack (in the raw unit).
        is_duration: The bound is as much wider as the yardstick took longer.
    """

    label: str
    read: Callable[[Sample], float | None]
    unit: tuple[float, str]
    factor: float
    slack: float
    is_duration: bool = False


_COUNT: Final = (1.0, "")
_MIB: Final = (float(MEBIBYTE), "MiB")
_MS: Final = (0.001, "ms")

# Source: our choice. The slacks are what measurements of an unchanged process differ by.
MEASURES: Final = (
    Measure("memory", lambda sample: sample.elder.resident, _MIB, 1.0, 16 * MEBIBYTE),
    Measure("memory, others", _largest("resident"), _MIB, 1.0, 16 * MEBIBYTE),
    Measure("descriptors", lambda sample: sample.elder.descriptors, _COUNT, 1.0, 8),
    Measure("descriptors, others", _largest("descriptors"), _COUNT, 1.0, 8),
    Measure("threads", lambda sample: sample.elder.threads, _COUNT, 1.0, 6),
    Measure("threads, others", _largest("threads"), _COUNT, 1.0, 6),
    Measure("tasks", lambda sample: sample.elder.tasks, _COUNT, 1.0, 8),
    Measure("tasks, others", _largest("tasks"), _COUNT, 1.0, 8),
    Measure("write-ahead log", lambda sample: sample.log, _MIB, 1.0, 16 * MEBIBYTE),
    Measure("journal per order", lambda sample: sample.journal / sample.orders, (1024.0, "KiB"), 1.25, 1024),
    Measure("an order, processor", lambda sample: sample.processor, _MS, 2.0, 0.02),
    Measure("an order, median", lambda sample: median(sample.latencies), _MS, 2.0, 0.02, is_duration=True),
    Measure("an order, p99", lambda sample: percentile(sample.latencies, 0.99), _MS, 3.0, 0.5, is_duration=True),
    Measure(
        "opening a client",
        lambda sample: median(sample.openings) if sample.openings else None,
        (1.0, "s"),
        2.0,
        3.0,
        is_duration=True,
    ),
)


@frozen
class Growth:
    """One measure, at the beginning and at the end.

    Attributes:
        most: What the end may be.
    """

    measure: Measure
    beginning: float
    end: float
    most: float

    @property
    def is_leak(self) -> bool:
        """Tell whether it has grown beyond its bound."""
        return self.end > self.most


def compare(samples: Sequence[Sample]) -> tuple[Growth, ...]:
    """Hold the last third of the days against the first third; nothing can be said of one day alone.

    The first day of several warms up: caches fill, and pools reach their size.
    """
    return tuple(_growths(samples))


_WARM: Final = 4


def _growths(samples: Sequence[Sample]) -> Iterator[Growth]:
    warm = samples[1:] if len(samples) >= _WARM else samples
    third = max(1, len(warm) // 3)
    first, last = warm[:third], warm[-third:]
    if len(warm) < 2:
        return
    slower = max(1.0, _middle(last, _yardstick) / _middle(first, _yardstick))
    for measure in MEASURES:
        try:
            beginning, end = _middle(first, measure.read), _middle(last, measure.read)
        except StatisticsError:
            continue  # nothing was measured, for example because no process was started
        most = beginning * measure.factor + measure.slack
        yield Growth(measure, beginning, end, most * slower if measure.is_duration else most)


def _yardstick(sample: Sample) -> float:
    return sample.yardstick


def _middle(samples: Sequence[Sample], read: Callable[[Sample], float | None]) -> float:
    return median(value for sample in samples if (value := read(sample)) is not None)


def take_yardstick(folder: Path) -> None:
    """Do a fixed piece of work of the kind that an order needs: reckon, change the thread, write durably."""
    for _ in range(8):
        hashlib.sha256(bytes(1 << 16)).digest()
    with (folder / "yardstick").open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
