"""Looking into a journal: what is open, what happened, and never a touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from kiwoom_async._cli.main import main
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import broker_of, client_of, left_open


async def open_order(broker: Simulator, folder: Path) -> Path:
    """Leave one order unknown and one accepted in a journal."""
    async with client_of(broker, folder) as client:
        await left_open(lambda: client.stock.buy("005930", 10, price=70_000, client_order_id="open-1", deadline=0.05))
        await client.stock.sell("000660", 3, price=71_000, client_order_id="settled-1")
        assert main(["journal", str(folder / "orders.db"), "--json"]) == 0
    return folder / "orders.db"


def hanging(**changes: Any) -> Simulator:
    """Make a broker that keeps the first order without a word, longer than the client waits when it closes."""
    return broker_of(Fault(FaultKind.HANG, accepted=True, api_ids="kt10000"), **changes)


async def test_an_open_order_is_listed_while_the_client_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what is open, unless all is asked for."""
    async with hanging() as broker:
        path = await open_order(broker, tmp_path)
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["client_order_id"] == "open-1"
    assert listed["delivery"] == "dispatched"
    assert listed["broker_order_id"] is None
    assert main(["journal", str(path), "--all", "--json"]) == 0
    assert [order["client_order_id"] for order in json.loads(capsys.readouterr().out)] == ["open-1", "settled-1"]


async def test_one_order_is_shown_with_its_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every event, as text and as JSON."""
    async with hanging() as broker:
        path = await open_order(broker, tmp_path)
        number = next(order.broker_order_id for order in broker.orders if order.idempotency_key == "settled-1")
    capsys.readouterr()
    assert main(["journal", str(path), "settled-1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["broker_order_id"] == number
    assert [event["event"] for event in shown["history"]] == ["dispatched", "acknowledged"]
    assert shown["history"][1]["evidence"]["broker_order_id"] == number
    assert main(["journal", str(path), "settled-1"]) == 0
    text = capsys.readouterr().out
    assert number in text
    assert "dispatched -> dispatched" in text


async def test_no_secret_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No key, no token, no account number."""
    async with hanging() as broker:
        path = await open_order(broker, tmp_path)
        for client_order_id in ("open-1", "settled-1"):
            main(["journal", str(path), client_order_id, "--json"])
        text = capsys.readouterr().out
        assert "secret" not in text
        assert "earer" not in text
        assert broker.account not in text


async def test_looking_leaves_the_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The journal of a client that is gone is read without a write, and read as well in a folder without rights."""
    async with hanging() as broker:
        path = await open_order(broker, tmp_path)
    before = path.read_bytes()
    capsys.readouterr()
    assert main(["journal", str(path), "--all"]) == 0
    assert "settled-1" in capsys.readouterr().out
    assert path.read_bytes() == before


async def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A transaction under way keeps nobody from looking."""
    async with hanging() as broker:
        path = await open_order(broker, tmp_path)
    writer = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    writer.execute("BEGIN IMMEDIATE; DELETE FROM leases")
    try:
        assert main(["journal", str(path), "--all"]) == 0
    finally:
        writer.execute("ROLLBACK")
        writer.close()
    assert "settled-1" in capsys.readouterr().out


def test_a_file_that_is_no_journal_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong: missing, another program's, a text, a folder."""
    other, text = tmp_path / "other.db", tmp_path / "notes.txt"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    text.write_text("these are notes and no journal, long enough to be looked at by SQLite" * 20)
    for path in (tmp_path / "missing.db", other, text, tmp_path):
        assert main(["journal", str(path)]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        assert str(path) in output.err
    assert not (tmp_path / "missing.db").exists()


async def test_an_order_that_is_not_known_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so."""
    async with hanging() as broker:
        path = await open_order(broker, tmp_path)
    capsys.readouterr()
    assert main(["journal", str(path), "never-heard"]) == 1
    assert "never-heard" in capsys.readouterr().err
