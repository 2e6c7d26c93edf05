"""A1 broken on purpose: a journal that loses what it has committed, or that may lose it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from kiwoom_async import ConfigurationError, HealthState, JournalError
from kiwoom_async._journal import store
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import KEY, WIDE, alarmed, assert_one_order, assert_only, buy
from tests.scenarios.trading import broker_of, client_of, eventually, on_book

FORGET = (
    "DROP TRIGGER history_is_never_deleted",
    "DELETE FROM history WHERE sequence > {kept}",
    "DELETE FROM claims",
    "DELETE FROM attempts WHERE client_order_id NOT IN (SELECT client_order_id FROM history)",
    "DELETE FROM intents WHERE client_order_id NOT IN (SELECT client_order_id FROM attempts)",
)


def forget(path: Path, kept: int) -> None:
    """Let a journal forget all that came after a row of its history, as an older copy in its place has."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5000)
    with connection:
        for statement in FORGET:
            connection.execute(statement.format(kept=kept))
    connection.close()


def remove(path: Path) -> None:
    """Remove a journal with its log and its place."""
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()


@pytest.mark.parametrize("kept", [0, 2], ids=["all", "the_last_order"])
async def test_journal_that_lost_rows_sends_nothing_more(tmp_path: Path, kept: int) -> None:
    """An id that the file has forgotten is not sent again, nor is anything else; health says so."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        await buy(client, client_order_id="before")
        await buy(client)
        assert (await client.health())["A1"].state is HealthState.OK
        forget(tmp_path / "orders.db", kept)
        with pytest.raises(JournalError, match="lost rows"):
            await buy(client)
        with pytest.raises(JournalError, match="lost rows"):
            await client.stock.sell("000660", 1, price=71_000)
        assert_one_order(broker)
        assert len(broker.orders) == 2
        assert "Nothing is sent any more" in (await alarmed(client, "A1")).text
        assert_only(await client.health(), "A1")


async def test_rows_in_place_of_lost_ones_are_noticed(tmp_path: Path) -> None:
    """Another process that writes on after the loss does not hide it: the row that was there is another one now."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        await buy(client)
        forget(tmp_path / "orders.db", 0)
        async with client_of(broker, tmp_path, timing=WIDE) as other:
            await other.stock.sell("000660", 1, price=71_000)
            await other.stock.sell("000660", 2, price=71_000)
        with pytest.raises(JournalError, match="lost rows"):
            await buy(client)
        assert_one_order(broker)
        await alarmed(client, "A1")


async def test_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that can lose pages is no base for orders."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    async with broker_of() as broker:
        with pytest.raises(ConfigurationError, match=r"3\.51\.3"):
            async with client_of(broker, tmp_path):
                pass
        assert broker.requests == []


async def test_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines on one file could both believe to be the only sender."""
    monkeypatch.setattr(store, "network_file_system", lambda *_: "nfs4")
    async with broker_of() as broker:
        with pytest.raises(JournalError, match="nfs4"):
            async with client_of(broker, tmp_path):
                pass
        assert broker.requests == []


async def test_unreadable_journal_is_an_alarm_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health answers even where the file cannot be read."""

    async def fail(*_: object) -> None:
        raise JournalError("The journal cannot be read.")

    async with broker_of() as broker, client_of(broker, tmp_path, timing=WIDE) as client:
        await buy(client, client_order_id=KEY)
        monkeypatch.setattr(client._journal, "health", fail)
        health = await client.health()
        assert (health.state, health["A1"].state) == (HealthState.ALARM, HealthState.ALARM)
        assert "cannot be read" in health["A1"].text


@pytest.mark.parametrize("ending", ["answered", "lost"])
async def test_orders_that_the_journal_knows_are_not_forgotten(tmp_path: Path, ending: str) -> None:
    """A journal is gone and a new one is used: what it has sent and has no number of yet is no forgotten order."""
    changes = {
        "journal_seals": tmp_path / "seals",
        "timing": evolve(WIDE, watch_interval=0.02, response_timeout=30, drain_timeout=0.05),
    }
    kind = FaultKind.DELAY_ANSWER if ending == "answered" else FaultKind.DROP_AFTER_ACCEPTANCE
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, **changes) as client:
            theirs = await buy(client, client_order_id="before", price=60_000)
        remove(tmp_path / "orders.db")
        async with client_of(broker, tmp_path, **changes) as client:
            await buy(client, client_order_id="first", price=61_000)  # teaches the channel
            broker.set_faults([Fault(kind, api_ids="kt10000", seconds=1)])
            asking = asyncio.create_task(buy(client))
            await eventually(lambda: len(on_book(broker, KEY)) == 1)
            alarms: list[str] = []
            while not asking.done():
                alarms += (await client.reconcile()).alarms
            order = await asking
            alarms += (await client.reconcile()).alarms
            assert any(f"order {theirs.broker_order_id} " in alarm for alarm in alarms)
            assert not any(f"order {order.broker_order_id} " in alarm for alarm in alarms)
            assert str(order.broker_order_id) not in (await alarmed(client, "A1")).text
