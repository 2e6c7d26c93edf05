"""The console script with anything on its command line: status 0, 1 or 2, one line that says why, and no traceback."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiwoom_async._cli.main import build_parser, main
from kiwoom_async._journal.journal import Journal
from tests.journal.builders import ACCOUNT, LOST, FixedAmbient, dispatched
from tests.nasty import NO_NUMBERS
from tests.profiles import examples

OFFLINE: Final = ("journal", "resolve", "halt", "resume")
"""What ends by itself; the others are only parsed."""

WORDS: Final = (
    *("\ud800", *NO_NUMBERS[::4]),
    *(
        "",
        " ",
        "-",
        "--",
        "-h",
        "--json",
        "--all",
        "--reason",
        "--by",
        "--key",
        "--as",
        "--not-accepted",
        "--take-back",
    ),
    *("1", "0000101", "99999999", "a\tb", "\udcff", "한글", "🙂", "/", ".", "..", "/dev/null", "~", "@file", "a=b"),
    *("--reason=", "--as=1", "--port=70000", "--orders=0", "--seed=x", "\x1b[31m", "'; DROP TABLE intents; --", "%s"),
    *("x" * 300, "x" * 5000, "order-1", "order-2"),
)


def commands() -> list[str]:
    """List every subcommand, later ones too."""
    actions = build_parser()._subparsers
    assert actions is not None
    (choices,) = (one.choices for one in actions._group_actions if isinstance(one, argparse._SubParsersAction))
    return sorted(choices)


def status_of(arguments: list[str]) -> int:
    """Run the console script."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """Make a journal with one order that is unknown."""
    path = tmp_path / "orders.db"
    async with Journal(path, FixedAmbient(), ACCOUNT) as opened:
        # Before a halt returns, it waits for what may still be leaving.
        await opened.conclude(await dispatched(opened, "order-1"), LOST)
    return path


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.sampled_from(OFFLINE),
    words=st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=6),
    on_journal=st.booleans(),
)
def test_any_arguments_end_in_a_status(
    journal: Path, capsys: pytest.CaptureFixture[str], command: str, words: list[str], *, on_journal: bool
) -> None:
    """On a journal and on anything else."""
    arguments = [command, *([str(journal)] if on_journal else []), *words]
    assert status_of(arguments) in {0, 1, 2}
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err


@pytest.mark.parametrize("command", commands())
@pytest.mark.parametrize("word", WORDS, ids=lambda word: ascii(word)[:20])
def test_every_option_takes_a_value_or_refuses_it(command: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Parsed, or refused with the usage; later commands too."""
    parser = build_parser()
    assert parser._subparsers is not None
    (choices,) = (
        one.choices for one in parser._subparsers._group_actions if isinstance(one, argparse._SubParsersAction)
    )
    # The parser is asked without `main`, which makes the streams take everything.
    word = word.encode("utf-8", "backslashreplace").decode()
    options = [option for action in choices[command]._actions for option in action.option_strings]
    for option in [*options, ""]:
        try:
            parser.parse_args([command, *([option] if option else []), word])
        except SystemExit as end:
            assert end.code in {0, 2}  # noqa: PT017 - one of two ends
    capsys.readouterr()


@pytest.mark.parametrize("word", WORDS, ids=lambda word: ascii(word)[:20])
def test_every_place_takes_anything(journal: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    """A path, an id, a number, a reason and a name: none of them ends in a traceback."""
    path = str(journal)
    for arguments in (
        ["journal", word],
        ["journal", path, "--", word],
        ["resolve", path, f"--key={word}", "--not-accepted", "--reason=seen"],
        ["resolve", path, "--key=order-2", f"--as={word}", "--reason=seen"],
        ["resolve", path, "--key=order-2", "--take-back", f"--reason={word}"],
        ["halt", path, f"--reason={word}", f"--by={word}"],
        ["halt", f"{word}", "--reason=x"],
        ["journal", path, "--all", "--json"],
        ["resume", path, f"--reason={word}"],
    ):
        assert status_of(arguments) in {0, 1, 2}, arguments
        output = capsys.readouterr()
        assert "Traceback" not in output.err


@pytest.mark.parametrize("encoding", ["ascii", "euc-kr"])
def test_terminal_that_knows_few_characters_is_no_error(journal: Path, encoding: str) -> None:
    """Korean and bytes that are no text are spelled out where they cannot be shown."""
    for arguments in (["halt", str(journal), "--reason", b"\xff \xea\xb8\x88"], ["--help"]):
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-m", "kiwoom_async", *arguments],
            check=False,
            capture_output=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_folder_without_rights_is_told(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot even be seen whether there is a journal."""
    journal.parent.chmod(0)
    try:
        assert status_of(["journal", str(journal)]) == 1
    finally:
        journal.parent.chmod(0o700)
    assert "cannot be read" in capsys.readouterr().err
