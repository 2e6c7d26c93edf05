"""Which run of the operating system a monotonic stamp belongs to."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import _ambient
from kiwoom_async._ambient import SystemAmbient, _choose_clock, _Clock, _name_boot

READ = "from kiwoom_async._ambient import SystemAmbient; print(SystemAmbient().boot_id)"


def test_two_processes_name_the_boot_alike() -> None:
    """Another process, started later, gives the same name."""
    other = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert other.stdout.strip() == SystemAmbient().boot_id


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_linux_names_it_itself() -> None:
    """The kernel draws an identifier at each start; the name of the clock tells its seconds from another clock's."""
    drawn = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert SystemAmbient().boot_id == f"{drawn}/CLOCK_BOOTTIME"


class Clocks:
    """The clocks of an operating system, by number; one that is not among them fails."""

    def __init__(self, **values: float) -> None:
        self.values = {getattr(time, name): value for name, value in values.items()}

    def __call__(self, number: int) -> float:
        """Read one."""
        if number not in self.values:
            raise OSError(22, "Invalid argument")
        return self.values[number]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the numbers of the clocks")
@pytest.mark.parametrize(("platform", "name"), [("linux", "CLOCK_BOOTTIME"), ("darwin", "CLOCK_MONOTONIC_RAW")])
def test_the_clock_counts_sleep(monkeypatch: pytest.MonkeyPatch, platform: str, name: str) -> None:
    """On each platform the clock is the one that goes on, and the boot tells of it."""
    if not hasattr(time, name):
        pytest.skip("this platform has no such clock")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(time, "monotonic", lambda: 1234.0)
    clocks = Clocks(**{name: 40_000.0})
    monkeypatch.setattr(time, "clock_gettime", clocks)
    clock = _choose_clock()
    assert clock.read() == 40_000.0
    clocks.values[getattr(time, name)] += 8 * 3600
    assert clock.read() == 68_800.0
    monkeypatch.setattr(_ambient, "_CLOCK", clock)
    assert SystemAmbient().monotonic() == 68_800.0
    assert _name_boot(clock).endswith(f"/{name}")


@pytest.mark.skipif(sys.platform == "win32", reason="needs the numbers of the clocks")
@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_without_such_a_clock_it_is_the_one_of_older_releases(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """Where the clock cannot be read, or none is needed: the seconds and the name of the boot as ever."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(time, "monotonic", lambda: 1234.0)
    monkeypatch.setattr(time, "clock_gettime", Clocks())
    clock = _choose_clock()
    assert (clock.name, clock.read()) == ("", 1234.0)
    assert "/" not in _name_boot(clock)


class Darwin:
    """The C library of macOS, as far as it is asked."""

    def __init__(self, result: int, text: bytes) -> None:
        self.result, self.text, self.asked = result, text, b""

    def __call__(self, _: None) -> Darwin:
        """Load it."""
        return self

    def sysctlbyname(self, name: bytes, text: Any, size: Any, new: None, length: Any) -> int:
        """Write the answer."""
        self.asked = name
        text.value = self.text
        return self.result


UUID = b"EA5FEA49-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("library", "named"),
    [(Darwin(0, UUID), UUID.decode()), (Darwin(-1, b""), "booted-28000000"), (Darwin(0, b""), "booted-28000000")],
    ids=["known", "unknown", "empty"],
)
def test_macos_names_it_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: Darwin, named: str) -> None:
    """The identifier of the session that no setting of the clock and no sleep changes; else the moment of the start."""
    monkeypatch.setattr(_ambient, "_BOOT_ID", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", library)
    monkeypatch.setattr(time, "time", lambda: 28_000_000 * 60 + 1234.0)
    assert _name_boot(_Clock("", lambda: 1234.0)) == named
    assert library.asked == b"kern.bootsessionuuid"


def test_elsewhere_the_moment_of_the_start_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Time that passes does not change it; the next start does."""
    monkeypatch.setattr(_ambient, "_BOOT_ID", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "win32")
    clocks = {"wall": 1_800_000_000.0, "ticks": 100.0}
    monkeypatch.setattr(time, "time", lambda: clocks["wall"])
    clock = _Clock("", lambda: clocks["ticks"])
    before = _name_boot(clock)
    clocks.update(wall=1_800_900_000.0, ticks=900_100.0)
    assert _name_boot(clock) == before
    clocks["ticks"] = 30.0
    assert _name_boot(clock) != before
