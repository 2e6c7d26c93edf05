"""Corners of the journal: places where it cannot be, and numbers that nobody has."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve
from filelock import FileLock

from kiwoom_async._domain.vocabulary import Action
from kiwoom_async._journal import guards, store
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import ReportNews
from kiwoom_async.errors import JournalReadOnly
from tests.journal.builders import ACCOUNT, CANCEL, FixedAmbient, claimed, events, news_of, row

AMBIENT = FixedAmbient()
MODIFY = evolve(CANCEL, price=71_000)


def denied(*_: Any, **__: Any) -> Any:
    """Refuse as the operating system does."""
    raise PermissionError(13, "Permission denied")


async def test_folder_that_takes_no_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can be written in a folder that cannot is no journal; the error names the folder."""
    path = tmp_path / "orders.db"
    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", denied)
        with pytest.raises(JournalReadOnly, match=r"folder of .*orders\.db cannot be written \(Permission denied\)"):
            await Journal(path, AMBIENT, ACCOUNT).__aenter__()
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        assert await journal.open_attempts() == ()


async def test_file_whose_rights_cannot_be_narrowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that others can read, and that we cannot close to them, is not used."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT):
        pass
    path.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", denied)
    with pytest.raises(JournalReadOnly, match="Permission denied"):
        await Journal(path, AMBIENT, ACCOUNT).__aenter__()


def test_file_that_another_process_makes_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen as missing, and there when we make it: it is that file then, and nothing of it is touched."""
    path = tmp_path / "orders.db"
    path.write_bytes(b"theirs")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    store.prepare_file(path)
    assert path.read_bytes() == b"theirs"


def test_database_without_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    """Several processes could not share it."""
    connection = apsw.Connection(":memory:")
    with pytest.raises(JournalReadOnly, match="write-ahead log"):
        store._configure(connection, tmp_path / "orders.db")
    connection.close()


def test_transaction_that_sqlite_has_ended_is_not_rolled_back_again() -> None:
    """A full disk rolls back by itself; what is raised then is what went wrong, not that."""
    connection = apsw.Connection(":memory:")

    def fail() -> None:
        with store.transaction(connection, "BEGIN"):
            connection.execute("ROLLBACK")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    connection.close()


def test_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run a number without a name; the record of the kill switch says so."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert guards.this_process().startswith("unknown user, process ")


async def test_row_of_a_number_that_nobody_has_changes_nothing(tmp_path: Path) -> None:
    """It is told as ours by a look that began before its claim was taken back: nothing is made up for it."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await claimed(journal)
        before = await events(journal)
        assert await journal.note_ledger(news_of(row("0000999", filled=10, leaves=0))) == ReportNews()
        assert await events(journal) == before


@pytest.mark.parametrize("original", ["0000050", None])
async def test_modify_of_an_order_that_is_not_ours_changes_none_of_ours(tmp_path: Path, original: str | None) -> None:
    """Somebody else's order was modified by us, by its number: no order of ours has lost anything."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await claimed(journal, "ours", "0000101")
        request = evolve(MODIFY, action=Action.MODIFY, quantity=3, original=original, original_day=None)
        await claimed(journal, "modify", "0000102", request=request)
        shown = row("0000102", action=request.action, quantity=3, leaves=3, original=original, confirmed_quantity=3)
        await journal.note_ledger(news_of(shown))
        order = next(order for order in await journal.working_orders() if order.client_order_id == "ours")
        assert order.broker_order_id == "0000101"
        told = [event for event in await events(journal) if event.client_order_id == "ours"]
        assert [event.kind.value for event in told] == ["accepted"]
