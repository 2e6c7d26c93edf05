"""`kiwoom-async halt` and `resume`: the kill switch from a command line."""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path

import apsw
import pytest

from kiwoom_async import NotSent
from kiwoom_async._cli.main import main
from kiwoom_async._journal import store
from kiwoom_async._journal.journal import Journal
from kiwoom_async.errors import JournalCorrupt
from tests.journal.builders import ACCOUNT, FixedAmbient, acknowledged, dispatched
from tests.scenarios.trading import SYMBOL, broker_of, client_of


async def run(*arguments: str) -> int:
    """Run the console script in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(main, arguments)


async def test_halt_and_resume_while_a_client_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The client's next order is held with the words of the command line, and goes after resume."""
    path = str(tmp_path / "orders.db")
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await client.stock.buy(SYMBOL, 10, price=70_000)
        assert await run("halt", path, "--reason", "fat finger", "--by", "kim") == 0
        output = capsys.readouterr()
        assert output.out.startswith("HALTED since 2")
        assert "by kim: fat finger" in output.out
        assert output.err == ""
        with pytest.raises(NotSent, match="fat finger"):
            await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="held")
        await client.stock.cancel(order)
        assert await run("journal", path) == 0
        output = capsys.readouterr()
        assert "HALTED" in output.err
        assert "fat finger" in output.err
        assert await run("resume", path, "--reason", "found it") == 0
        assert "found it" in capsys.readouterr().out
        await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id="held")
        assert await run("journal", path) == 0
        assert capsys.readouterr().err == ""


async def test_resume_of_a_journal_that_was_never_halted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and that is no error."""
    async with broker_of() as broker, client_of(broker, tmp_path):
        assert await run("resume", str(tmp_path / "orders.db"), "--reason", "to be sure") == 0
    assert "never engaged" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["halt", "resume"])
def test_path_that_is_no_journal_is_status_1(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip in the path makes no journal, and does not look like success."""
    other = tmp_path / "other.db"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    for path in (tmp_path / "ordres.db", other, tmp_path):
        assert main([command, str(path), "--reason", "stop"]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("NOT ")
        assert len(output.err.splitlines()) == 1
    assert not (tmp_path / "ordres.db").exists()


@pytest.mark.parametrize("arguments", [["halt"], ["halt", "orders.db"], ["resume", "orders.db"]])
def test_reason_is_needed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments are status 2."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_empty_reason_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is moved."""
    path = make_journal(tmp_path, 3)
    assert main(["halt", str(path), "--reason", " "]) == 1
    assert "reason" in capsys.readouterr().err


def test_journal_of_an_earlier_release_is_halted_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has it open since before does not know the switch; looking at it needs no newer schema."""
    path = make_journal(tmp_path, 2)
    assert main(["journal", str(path)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["halt", str(path), "--reason", "stop"]) == 0
    assert "earlier release" in capsys.readouterr().err
    assert main(["halt", str(path), "--reason", "stop"]) == 0
    assert capsys.readouterr().err == ""


def test_locked_journal_is_not_halted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that holds the file too long: one line, status 1, so that nobody takes it for done."""
    defaults = Journal.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "busy_timeout", 0.1)
    path = make_journal(tmp_path, 3)
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert main(["halt", str(path), "--reason", "stop"]) == 1
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert capsys.readouterr().err.startswith("NOT halted: ")


async def test_damaged_journal_is_halted_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To stop works where a client would not open, since it sends nothing; resume does not."""
    path = tmp_path / "orders.db"
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        await journal.conclude(await dispatched(journal), acknowledged())
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA foreign_keys = OFF; CREATE TEMP TABLE ghosts AS SELECT * FROM attempts")
    connection.execute("UPDATE ghosts SET client_order_id = 'ghost', broker_order_id = NULL")
    connection.execute("INSERT INTO attempts SELECT * FROM ghosts")
    connection.close()
    with pytest.raises(JournalCorrupt, match="lacks its intent"):
        store.open_writer(path, busy_timeout=1.0, access=store.Access())
    assert await run("halt", str(path), "--reason", "stop") == 0
    assert capsys.readouterr().out.startswith("HALTED")
    assert await run("resume", str(path), "--reason", "go") == 1
    assert "damaged" in capsys.readouterr().err


def make_journal(folder: Path, schema: int) -> Path:
    """Make an empty journal of a schema."""
    path = folder / "orders.db"
    store.prepare_file(path)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    for name in store.SCHEMAS[:schema]:
        connection.execute(resources.files("kiwoom_async._journal").joinpath(name).read_text(encoding="utf-8"))
    connection.pragma("application_id", store.APPLICATION_ID)
    connection.pragma("user_version", schema)
    connection.close()
    return path
