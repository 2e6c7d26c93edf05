"""A journal that was put back from an old backup: no process trades on it, until a person has said so."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async import JournalError, KiwoomClient
from kiwoom_async._cli.main import main
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.vocabulary import Side
from kiwoom_async._journal import seals, shared_state
from kiwoom_async._journal.seals import accept
from kiwoom_async.errors import JournalRestored
from kiwoom_async.simulator import Channel, Simulator
from tests.crash.processes import KILLED, child
from tests.crash.test_kill import DROPPED, ask, program_of, run
from tests.crash.trader import PRICE, SYMBOL, TIMING
from tests.scenarios.trading import broker_of, client_of, eventually, on_book, orders_received

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")


def sealed(broker: Simulator, folder: Path) -> KiwoomClient:
    """Make a client whose journal has a seal."""
    return client_of(broker, folder, timing=TIMING, journal_seals=folder / "seals")


def move(name: str, source: Path, target: Path) -> None:
    """Move a journal with its log."""
    for path in source.glob(f"{name}*"):
        path.replace(target / path.name)


async def test_journal_restored_from_an_old_backup_is_refused(tmp_path: Path) -> None:
    """The process that had gone further was killed; the backup of before it opens for nobody, and nothing is sent."""
    async with broker_of(*DROPPED) as broker:
        async with sealed(broker, tmp_path):
            pass
        backup = Path(shutil.copy(tmp_path / "orders.db", tmp_path / "backup.db"))
        program = program_of(broker, tmp_path, seals=str(tmp_path / "seals"))
        status, _ = await run(evolve(program, signal_at=Checkpoint.BEFORE_LEDGER_QUERY.value))
        assert status == KILLED
        killed = tmp_path / "killed"
        killed.mkdir()
        move("orders.db", tmp_path, killed)
        shutil.copy(backup, tmp_path / "orders.db")
        async with child("trader.py", evolve(program, keys=("two",)).to_json()) as process:
            _, told = await process.communicate()
        assert process.returncode == 1
        assert "JournalRestored: The journal" in told.decode()
        with pytest.raises(JournalRestored, match="accept-journal"):
            await sealed(broker, tmp_path).__aenter__()
        assert len(orders_received(broker)) == 1
        # What the killed process left is whole: with its log put back it settles its order.
        move("orders.db", killed, tmp_path)
        async with sealed(broker, tmp_path) as client:
            order = await ask(client, program)
        assert not isinstance(order, str)
        assert [row.broker_order_id for row in on_book(broker, "one")] == [order.broker_order_id]


async def test_forgotten_orders_of_an_accepted_journal_are_alarmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What our channel has on today's book and the journal does not know: an alarm each, in the log and the report."""
    async with broker_of() as broker:
        async with sealed(broker, tmp_path) as client:
            known = await client.stock.buy(SYMBOL, 1, price=PRICE, client_order_id="known")
        backup = Path(shutil.copy(tmp_path / "orders.db", tmp_path / "backup.db"))
        async with sealed(broker, tmp_path) as client:
            forgotten = await client.stock.buy(SYMBOL, 2, price=PRICE, client_order_id="forgotten")
        person = broker.place_foreign(
            symbol=SYMBOL, side=Side.BUY, quantity=3, price=PRICE, channel=Channel.HOME_TRADING
        )
        shutil.copy(backup, tmp_path / "orders.db")
        assert broker.ambient is not None
        missing = accept(
            tmp_path / "orders.db",
            broker.ambient,
            reason="the disk died",
            folder=tmp_path / "seals",
            busy_timeout=5.0,
        )
        assert missing > 0
        async with sealed(broker, tmp_path) as client:
            await eventually(lambda: "do not ask for it again" in caplog.text)
            later = await client.stock.buy(SYMBOL, 4, price=PRICE, client_order_id="later")
            alarms = (await client.reconcile()).alarms
        assert len(alarms) == 1
        assert f"order {forgotten.broker_order_id} (new buy 2 {SYMBOL})" in alarms[0]
        for other in (known, person, later):
            assert str(other.broker_order_id) not in alarms[0]
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert [record.getMessage() for record in errors] == list(alarms)


async def test_whole_journal_asks_nothing_and_alarms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Orders of another program on our channel are no alarm where the journal has always been whole."""
    async with broker_of() as broker:
        broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=3, price=PRICE, channel=Channel.REST_API)
        async with sealed(broker, tmp_path) as client:
            await client.stock.buy(SYMBOL, 1, price=PRICE, client_order_id="known")
            assert (await client.reconcile()).alarms == ()
        async with sealed(broker, tmp_path) as client:
            assert (await client.reconcile()).alarms == ()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_client_of_a_simulation_leaves_no_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an injected clock nothing is left in the user's folder; asked for, it is; with the real clock by itself."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with broker_of() as broker:
        async with client_of(broker, tmp_path):
            pass
        async with client_of(broker, tmp_path, ambient=None, journal_seals=False, shared_state=False):
            pass
        assert not (tmp_path / "state").exists()
        async with client_of(broker, tmp_path, ambient=None, shared_state=False):
            pass
        assert len(list((tmp_path / "state" / "kiwoom-async" / "seals").glob("*.place"))) == 1


async def test_accept_journal_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before, used after; a whole journal and a path with a slip in it are left as they are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "orders.db"
    usual = {"ambient": None, "shared_state": False}
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, **usual):
            pass
        assert main(["accept-journal", str(path), "--reason", "why"]) == 0
        assert "lacks nothing" in capsys.readouterr().out
        shutil.copy(path, tmp_path / "backup.db")
        async with client_of(broker, tmp_path, **usual) as client:
            await client.kill_switch.engage(reason="x")
        shutil.copy(tmp_path / "backup.db", path)
        with pytest.raises(JournalError, match="accept-journal"):
            await client_of(broker, tmp_path, **usual).__aenter__()
        assert main(["accept-journal", str(path), "--reason", " "]) == 1
        assert main(["accept-journal", str(tmp_path / "order.db"), "--reason", "why"]) == 1
        assert not (tmp_path / "order.db").exists()
        assert [line[:13] for line in capsys.readouterr().err.splitlines()] == ["NOT accepted:"] * 2
        by_hand = ["resolve", str(path), "--key", "a", "--not-accepted", "--reason", "why"]
        assert await asyncio.to_thread(main, by_hand) == 1
        assert "accept-journal" in capsys.readouterr().err
        assert main(["accept-journal", str(path), "--reason", "disk died", "--by", "op"]) == 0
        assert capsys.readouterr().out.startswith("Accepted without the 1 records")
        async with client_of(broker, tmp_path, **usual):
            pass


async def test_user_without_a_home(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A container that runs as a number which no user has: the client trades, a warning says what is missing."""

    def refuse(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    for module in (seals, shared_state):
        monkeypatch.setattr(module, "user_state_path", refuse)
    path = str(tmp_path / "orders.db")
    async with broker_of() as broker, client_of(broker, tmp_path, ambient=None, shared_state=None) as client:
        await client.stock.buy(SYMBOL, 1, price=PRICE)
        assert caplog.text.count("KiwoomClient(journal_seals=") == 1
        assert caplog.text.count("KiwoomClient(shared_state=") == 1
    by_hand = ["resolve", path, "--key", "a", "--not-accepted", "--reason", "why"]
    assert await asyncio.to_thread(main, by_hand) == 1
    assert "unresolved order" in capsys.readouterr().err
    assert main(["accept-journal", path, "--reason", "why"]) == 1
    assert "--seals" in capsys.readouterr().err
    assert main(["accept-journal", path, "--reason", "why", "--seals", str(tmp_path / "seals")]) == 0
