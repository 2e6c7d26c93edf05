"""The console script's commands, help and exit statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kiwoom_async
from kiwoom_async._cli.main import main


def test_the_package_runs_as_a_module() -> None:
    """`python -m kiwoom_async --help` lists the commands and the exit codes."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "kiwoom_async", "--help"], capture_output=True, text=True, check=True, cwd=root
    )
    for word in ("demo", "simulate", "journal", "exit codes"):
        assert word in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert kiwoom_async.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trade"],
        ["demo", "--orders", "0"],
        ["demo", "--orders", "many"],
        ["demo", "--strategies", "-1"],
        ["demo", "--kills", "x"],
        ["demo", "--seed", "x"],
        ["simulate", "--hostile", "2"],
        ["journal"],
    ],
)
def test_wrong_arguments_are_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the usage on standard error, and nothing on standard output."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "usage:" in output.err
