"""The soak as a user runs it, at its shortest, and what it says of broken promises and of leaks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._audit import Audit, Harm, Violation
from kiwoom_async._cli.main import build_parser
from kiwoom_async._cli.soak_hand import NightFailed
from kiwoom_async._cli.soak_night import STALLED, Day, Night, unexplained
from kiwoom_async._cli.soak_vitals import MEASURES, MEBIBYTE, Sample, Vitals, compare, percentile, take_vitals
from kiwoom_async._cli.soak_worker import PROBED, DayClock, Round

ROOT = Path(__file__).parents[2]
SMALL = ("--hours", "0.0001", "--seed", "5", "--orders", "12", "--strategies", "4", "--processes", "2", "--kills", "1")

CALM = Vitals(60 * MEBIBYTE, 20, 8, 9)
SAMPLE = Sample(CALM, (CALM,), 2 * MEBIBYTE, 4 * MEBIBYTE, 500, (0.005, 0.006, 0.02), 0.004, 0.002, (1.0,))
DAY = Day(Round(1, 7, 10, 2), Audit(10, 9, {}, ()), SAMPLE, 3.0, 5, 1, 0, (), ())


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the console script with a folder of its own for temporary files."""
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-m", "kiwoom_async", "soak", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=folder,
    )


@pytest.mark.timeout(400)
def test_two_small_days_end_well_and_leave_nothing_behind(tmp_path: Path) -> None:
    """Real processes, sockets, kills and days: nothing broken, nothing grown, one line a day, two tables."""
    with start(tmp_path, *SMALL) as process:
        output, progress = process.communicate(timeout=380)
    assert process.returncode == 0, output + progress
    assert [line.split()[:4] for line in progress.splitlines()[1:]] == [
        ["day", "1", "seed", "5"],
        ["day", "2", "seed", "6"],
    ]
    first_table = output.splitlines()[1 : output.splitlines().index("", 1)]
    told = {label.strip(): int(value) for label, value in (line.rsplit(maxsplit=1) for line in first_table)}
    assert (told["days"], told["kills survived"]) == (2, 2)
    assert {told[harm.value.upper()] for harm in Harm} == {0}
    assert told["faults of the client"] == 0
    assert told["told: accepted"] > 50
    assert told["faults injected"] > 0
    for measure in MEASURES:
        assert f"\n{measure.label} " in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to another process")
def test_an_interrupted_soak_tells_what_it_has(tmp_path: Path) -> None:
    """Ctrl-C: the report so far, a fixed exit status, no folder, no process."""
    with start(tmp_path, "--hours", "9", *SMALL[2:]) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("2 processes, 12 orders a day, for 9 h 00 min")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while children.exists() and len(children.read_text(encoding="ascii").split()) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        started = children.read_text(encoding="ascii").split() if children.exists() else []
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "orders asked for" in output
    assert list(tmp_path.iterdir()) == []
    assert not [child for child in started if Path(f"/proc/{child}").exists()]


# What it says


def lived(monkeypatch: pytest.MonkeyPatch, *days: Day, error: BaseException | None = None) -> Callable[[], int]:
    """Make a soak whose days are these."""

    async def live(self: Night) -> None:
        for day in days:
            self.days.append(day)
            self.report(day, 0.0)
        if error is not None:
            raise error

    monkeypatch.setattr(Night, "run", live)
    args = build_parser().parse_args(["soak", *SMALL])
    return lambda: int(args.run(args))


def test_days_without_a_fault_end_with_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything as it was in the beginning."""
    assert lived(monkeypatch, DAY, DAY)() == 0
    output, progress = capsys.readouterr()
    assert "GROWS" not in output
    assert progress.count("\n") == 3


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (
            evolve(DAY, audit=Audit(10, 9, {}, (Violation("I1", Harm.DOUBLED, "r00001-a", "2 orders"),))),
            "day 1: doubled r00001-a (I1): 2 orders",
        ),
        (evolve(DAY, errors=("r00001-a: RuntimeError",)), "day 1: fault of the client: r00001-a: RuntimeError"),
        (evolve(DAY, false_alarms=("foreign_twin: 1",), stall=0.1), "day 1: alarm that nothing explains"),
    ],
)
def test_a_broken_promise_ends_with_one_and_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, day: Day, text: str
) -> None:
    """What was broken, the seed of the day, where its remains are, and how to live it again."""
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    assert lived(monkeypatch, DAY, day)() == 1
    output = capsys.readouterr().out
    assert text in output
    assert f"Seed 6; what is left of the day is in {tmp_path}." in output
    assert "kiwoom-async soak --hours 0.01 --seed 6 --processes 2 --orders 12 --strategies 4 --kills 1" in output
    assert tmp_path.exists()


def test_an_alarm_needs_an_explanation() -> None:
    """Faults explain none; a broker that stood still explains those about seconds; a warning is no alarm."""
    seconds = {"not_listed": "an order", "revived": "an order"}
    assert unexplained(seconds, STALLED) == ()
    assert unexplained(seconds, STALLED / 2) == ("revived: an order",)
    assert unexplained({"foreign_twin": "an order"}, 60.0) == ("foreign_twin: an order",)
    assert unexplained({"answer_slow": "0.6 s", "clock_near": "0.6 s"}, 0.0) == ()


def test_a_day_that_could_not_be_lived_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A process that ended by itself is a failure, with the seed of the day it ended on."""
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    assert lived(monkeypatch, DAY, error=NightFailed("process 1 ended by itself"))() == 1
    output = capsys.readouterr().out
    assert "process 1 ended by itself\nSeed 6;" in output


def grown(**changes: Any) -> list[Sample]:
    """Make nine days, of which the last three have something more."""
    return [SAMPLE] * 6 + [evolve(SAMPLE, **changes)] * 3


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"elder": evolve(CALM, resident=90 * MEBIBYTE)}, "memory"),
        ({"others": (CALM, evolve(CALM, resident=90 * MEBIBYTE))}, "memory, others"),
        ({"elder": evolve(CALM, descriptors=40)}, "descriptors"),
        ({"others": (evolve(CALM, descriptors=40),)}, "descriptors, others"),
        ({"elder": evolve(CALM, threads=20)}, "threads"),
        ({"others": (evolve(CALM, threads=20),)}, "threads, others"),
        ({"elder": evolve(CALM, tasks=30)}, "tasks"),
        ({"others": (evolve(CALM, tasks=30),)}, "tasks, others"),
        ({"log": 40 * MEBIBYTE}, "write-ahead log"),
        ({"journal": 8 * MEBIBYTE}, "journal per order"),
        ({"processor": 0.05}, "an order, processor"),
        ({"latencies": (0.1, 0.1, 0.1)}, "an order, median"),
        ({"latencies": (0.005, 0.006, 0.9)}, "an order, p99"),
        ({"openings": (9.0,)}, "opening a client"),
    ],
)
def test_each_growth_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], label: str
) -> None:
    """One measure beyond its bound, and it alone, is a failure."""
    samples = grown(**changes)
    leaks = [growth.measure.label for growth in compare(samples) if growth.is_leak]
    assert label in leaks
    assert leaks == [label]
    assert lived(monkeypatch, *(evolve(DAY, sample=sample) for sample in samples))() == 1
    assert "GROWS" in capsys.readouterr().out


def test_a_machine_that_is_busy_is_no_leak() -> None:
    """If a fixed piece of work takes ten times as long, an order may as well, and memory may not."""
    slow = grown(latencies=(0.05, 0.06, 0.2), yardstick=0.02, openings=(10.0,), processor=0.05)
    assert [growth.measure.label for growth in compare(slow) if growth.is_leak] == ["an order, processor"]


def test_one_day_is_compared_with_nothing() -> None:
    """And the first of several warms up."""
    assert compare([SAMPLE]) == ()
    cold = evolve(SAMPLE, elder=evolve(CALM, resident=1))
    assert not [growth for growth in compare([cold, *[SAMPLE] * 5]) if growth.is_leak]
    assert [growth for growth in compare([cold, SAMPLE]) if growth.is_leak]


def test_percentiles() -> None:
    """Of few values the largest stands for the last percent."""
    values = [float(value) for value in range(100)]
    assert (percentile(values, 0.99), percentile(values, 0.5), percentile([1.0], 0.99)) == (99.0, 50.0, 1.0)


async def test_vitals_are_of_this_process(tmp_path: Path) -> None:
    """A file that is open and a task that waits are counted."""
    before = take_vitals()
    waiting = asyncio.create_task(asyncio.sleep(60))
    with (tmp_path / "file").open("w"):
        after = take_vitals()
    waiting.cancel()
    assert after.tasks == before.tasks + 1
    assert after.descriptors == before.descriptors + (before.descriptors > 0)
    assert after.resident > MEBIBYTE


def test_a_clock_is_moved_for_everybody_at_once(tmp_path: Path) -> None:
    """Two processes that read one file agree on the day at every moment."""
    one, two = DayClock(tmp_path / "clock"), DayClock(tmp_path / "clock")
    before = two.now()
    one.move(timedelta(days=3))
    assert timedelta(days=3) <= two.now() - before < timedelta(days=3, minutes=1)
    assert two.offset == one.offset == timedelta(days=3)
    assert abs(one.monotonic() - two.monotonic()) < 60
    assert one.now().astimezone(UTC).tzinfo is UTC


def test_every_day_has_ids_of_its_own() -> None:
    """The same orders on another day are other orders, and probes are unlike each other."""
    one, two = Round(1, 5, 40, 4), Round(2, 5, 40, 4)
    assert not set(one.steps()) & set(two.steps())
    assert len(one.steps()) == 40 + len(one.probes())
    assert all(name.startswith("r00001-") for name in one.steps())
    assert len({probe.quantity for probe in one.probes()}) == len(one.probes())
    assert PROBED not in {step.symbol for step, _ in one.steps().values() if "probe" not in step.client_order_id}


@pytest.mark.parametrize(
    "arguments",
    [[], ["--hours", "0"], ["--hours", "nan"], ["--hours", "x"], ["--hours", "1", "--processes", "1"]],
)
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With a sentence that names them."""
    with pytest.raises(SystemExit) as error:
        build_parser().parse_args(["soak", *arguments])
    assert error.value.code == 2
    assert "soak" in capsys.readouterr().err
