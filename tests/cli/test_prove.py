"""The command that plays days: what it prints, and how it ends."""

from __future__ import annotations

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
    """The command that replays a failed day stands in the table."""
    tally = Tally(days=2, violations=1, failures=[Failure(7, 123, ("I1 o1: 2 orders on the book",))])
    told = "\n".join(_table(9, tally, 1.0))
    assert "kiwoom-async prove --seed 9 --day 7 --timeline" in told
    assert "I1 o1: 2 orders on the book" in told


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
