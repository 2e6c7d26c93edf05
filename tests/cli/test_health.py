"""What a journal tells of the assumptions, and never a touch."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import apsw
import pytest

from kiwoom_async._cli.health import ALARMED
from kiwoom_async._cli.main import main
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._journal import store
from tests.assumptions.breaking import WIDE, buy
from tests.scenarios.trading import broker_of, client_of


async def journal_of(folder: Path, *found: Breach) -> Path:
    """Make a journal with one order and some findings."""
    async with broker_of() as broker, client_of(broker, folder, timing=WIDE) as client:
        await buy(client)
        for breach in found:
            client._monitor.note(breach)
    return folder / "orders.db"


DOUBLED = Breach(BreachKind.DUPLICATE, "order one is on the book twice as 0000007")
SLOW = Breach(BreachKind.ANSWER_SLOW, "the answer to order two took 6.000 s")


async def test_nothing_found_is_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each assumption, and nothing to do."""
    path = await journal_of(tmp_path)
    capsys.readouterr()
    assert main(["health", "--journal", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": OK")
    assert [line.split()[1] for line in lines[2:]] == ["OK"] * 11


async def test_warning_is_shown_and_is_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what was seen, since when, how often, and what to do."""
    path = await journal_of(tmp_path, SLOW)
    capsys.readouterr()
    assert main(["health", "--journal", str(path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("A4 WARNING", SLOW.text, "once, on", "Raise Timing.acceptance_bound"):
        assert part in text


async def test_alarm_is_a_status_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a program that watches."""
    path = await journal_of(tmp_path, DOUBLED, SLOW)
    capsys.readouterr()
    assert main(["health", "--journal", str(path), "--json"]) == ALARMED
    ((account, told),) = json.loads(capsys.readouterr().out).items()
    assert account.startswith("key-")
    assert told["state"] == "alarm"
    assert (told["assumptions"]["A4"]["state"], told["assumptions"]["A4"]["times"]) == ("alarm", 2)
    assert {one["state"] for name, one in told["assumptions"].items() if name != "A4"} == {"ok"}


async def test_looking_leaves_the_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It only reads, also while somebody writes."""
    path = await journal_of(tmp_path, DOUBLED)
    before = path.read_bytes()
    writer = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    writer.execute("BEGIN IMMEDIATE; DELETE FROM breaches")
    try:
        assert main(["health", "--journal", str(path)]) == ALARMED
    finally:
        writer.execute("ROLLBACK")
        writer.close()
    assert path.read_bytes() == before
    assert DOUBLED.text in " ".join(capsys.readouterr().out.split())


def test_journal_that_cannot_tell_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing, and one of a release that kept no findings."""
    old = tmp_path / "old.db"
    store.prepare_file(old)
    connection = apsw.Connection(str(old))
    for name in store.SCHEMAS[:3]:
        connection.execute(resources.files("kiwoom_async._journal").joinpath(name).read_text(encoding="utf-8"))
    connection.pragma("application_id", store.APPLICATION_ID)
    connection.pragma("user_version", 3)
    connection.close()
    for path in (tmp_path / "missing.db", old):
        assert main(["health", "--journal", str(path)]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert str(path) in told.err
