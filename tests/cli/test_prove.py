"""The command that plays days: what it prints, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kiwoom_async._cli.main import main
from kiwoom_async._cli.prove import _table
from kiwoom_async._proof.campaign import Failure, Tally
from tests.proof.plants import exception_releases_the_claim


def test_days_are_played_by_workers_and_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers share three days; the table tells the seed, what was injected and who witnessed the answers."""
    assert main(["prove", "--days", "3", "--workers", "2", "--seed", "5"]) == 0
    told = capsys.readouterr()
    rows = {line[:34].strip(): line[34:].strip() for line in told.out.splitlines() if len(line) > 34}
    assert rows["seed"] == "5"
    assert rows["trading days"] == "3"
    assert rows["VIOLATIONS"] == "0"
    assert int(rows["orders asked for"]) > 3
    assert "answers by witness" in told.out
    assert "faults by kind" in told.out
    assert "3/3 days" in told.err


def test_broken_promise_is_printed_with_its_timeline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day with a violation ends in exit status 1, with the command that replays it and everything that happened."""
    exception_releases_the_claim(monkeypatch)
    numbers = iter(range(20))
    assert any(main(["prove", "--day", str(number), "--timeline"]) for number in numbers)
    told = capsys.readouterr().out
    last = next(numbers) - 1
    assert f"replay: kiwoom-async prove --seed 1 --day {last} --timeline" in told
    assert "VIOLATION" in told
    assert "arrived" in told
    assert "reached" in told


def test_day_that_keeps_its_promises_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """One day by its number: a line of what it was, and no timeline unless it is asked for."""
    assert main(["prove", "--day", "3"]) == 0
    assert "0 violations" in capsys.readouterr().out


def test_table_names_the_days_that_failed() -> None:
    """Every one by its number and its first violation, within a hundred columns, and the command that replays it."""
    failures = [Failure(day, 123, ("I1 o1: 2 orders on the book " + "or more " * 20, "I2")) for day in range(7, 60)]
    tally = Tally(days=90, faults=Counter({"world: settled by the operator: " + "a long reason " * 9: 7}))
    for failure in failures:
        tally.add(Tally(violations=2, failed=1, failures=[failure]))
    told = list(_table(9, tally, 1.0))
    days = [line.split()[1] for line in told if line.startswith("  day ")]
    assert days == [str(day) for day in range(7, 27)]
    assert sum("I1 o1: 2 orders on the book or more" in line for line in told) == 20
    assert sum("(and 1 more)" in line for line in told) == 20
    assert any("the first 20 of 53" in line for line in told)
    assert "  again: kiwoom-async prove --seed 9 --day DAY --timeline" in told
    assert max(map(len, told)) <= 100
    assert dict(line.rsplit(maxsplit=1) for line in told if line)["days with violations"] == "53"


_BROKEN_FIRST_DAYS = """
import json, sys
from kiwoom_async._proof.worker import main
from kiwoom_async._proof import worker
from kiwoom_async._proof.campaign import Failure

def play(seed, numbers, place):
    tally = played(seed, numbers, place)
    if {is_broken} and numbers[0] % 10 == 0:
        tally.violations, tally.failed, tally.failures = 1, 1, [Failure(numbers[0], 5, ("I1 o1: planted",))]
    return tally

played, worker.run_days = worker.run_days, play
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to another process")
@pytest.mark.parametrize("is_broken", [False, True])
def test_an_interrupted_campaign_reports_what_was_played(tmp_path: Path, *, is_broken: bool) -> None:
    """Ctrl-C: the days until then are summed up and marked, no process and no folder is left, the status is fixed."""
    worker = tmp_path / "kiwoom_worker.py"
    worker.write_text(_BROKEN_FIRST_DAYS.format(is_broken=is_broken))
    folder = tmp_path / "place"
    folder.mkdir()
    program = (
        "import sys, kiwoom_async._proof.worker as worker, kiwoom_async._cli.main as cli\n"
        f"worker.COMMAND = (sys.executable, {str(worker)!r})\n"
        "sys.exit(cli.main(['prove', '--days', '100000', '--workers', '2']))"
    )
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        # As in a terminal: Ctrl-C goes to the whole group.
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        # A day that fails has a line of its own.
        while (line := process.stderr.readline()) and ("VIOLATION" in line or int(re.findall(r"(\d+)/", line)[0]) < 3):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    rows = {line[:34].strip(): line[34:].strip() for line in told.splitlines() if len(line) > 34}
    assert told.startswith("INTERRUPTED after ")
    assert f"after {rows['trading days']}/100000 days." in told
    assert int(rows["trading days"]) >= 3
    assert int(rows["order requests at the broker"]) > 0
    assert float(rows["processor seconds a day"]) > 0
    assert bool(int(rows["VIOLATIONS"])) is is_broken
    assert ("0      I1 o1: planted" in told) is is_broken
    assert process.returncode == (1 if is_broken else 130)
    assert "Traceback" not in errors
    assert list(folder.iterdir()) == []


def test_tallies_add_up() -> None:
    """What workers count is added, and the failures of the first days are kept."""
    total = Tally(days=1, orders=2)
    total.add(Tally(days=3, orders=4, failures=[Failure(5, 1, ("x",))]))
    total.add(Tally(days=1, failures=[Failure(2, 1, ("y",))]))
    assert (total.days, total.orders, [failure.number for failure in total.failures]) == (5, 6, [2, 5])


@pytest.mark.parametrize(
    "arguments",
    [["--orders", "0"], ["--days", "-1"], ["--day", "x"], ["--days", "1", "--orders", "1"], ["--workers", "0"]],
)
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, with a line that says why."""
    with pytest.raises(SystemExit) as ended:
        main(["prove", *arguments])
    assert ended.value.code == 2
    assert "prove" in capsys.readouterr().err
