"""Damage of the file and faults of ours are told apart: only a row that cannot be read is a corrupt journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import apsw
import pytest

from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.journal import Journal
from kiwoom_async.errors import JournalCorrupt, JournalError
from tests.journal.builders import (
    ACCOUNT,
    DAY,
    LOST,
    NOON,
    TOMORROW,
    FixedAmbient,
    acknowledged,
    dispatched,
    intent,
    news_of,
    plan,
    report,
    row,
)

Use = Callable[[Journal], Awaitable[object]]

SECRET: Final = "seven-eight-nine"

DAMAGES: Final[dict[str, tuple[str, Use]]] = {
    "intents.created_at": ("UPDATE intents SET created_at = ?", lambda journal: journal.find("one")),
    "intents.request": ("UPDATE intents SET request = ?", lambda journal: journal.dispatch(plan("one"))),
    "intents.fingerprint": ("UPDATE intents SET fingerprint = ?", lambda journal: journal.find("one")),
    "attempts.dispatched_at": ("UPDATE attempts SET dispatched_at = ?", lambda journal: journal.open_attempts()),
    "attempts.state": (
        "UPDATE attempts SET state = ? WHERE client_order_id = 'one'",
        lambda journal: journal.dispatch(plan("one")),
    ),
    "attempts.broker_order_id": ("UPDATE attempts SET broker_order_id = ?", lambda journal: journal.find("one")),
    "unresolved": ("UPDATE attempts SET dispatched_at = ?", lambda journal: journal.health(DAY)),
    "claims.status": ("UPDATE claims SET status = ?", lambda journal: journal.find("one")),
    "claims.filled_at": (
        "UPDATE claims SET filled_at = ?",
        lambda journal: journal.note_ledger(news_of(row(filled=3))),
    ),
    "working": ("UPDATE claims SET ledger = ?", lambda journal: journal.working_orders()),
    "history.evidence": ("UPDATE history SET evidence = ?", lambda journal: journal.find("one")),
    "history.at": ("UPDATE history SET at = ?", lambda journal: journal.history("one")),
    "order_events.event": ("UPDATE order_events SET event = ?", lambda journal: journal.order_events(0, limit=9)),
    "kept_reports.report": (
        "UPDATE kept_reports SET report = ?",
        lambda journal: journal.kept_reports(Desk.STOCK, DAY),
    ),
    "kill_switch.at": ("UPDATE kill_switch SET at = ?", lambda journal: journal.kill_switch()),
    "day_totals.value": ("UPDATE day_totals SET value = ?", lambda journal: journal.day_totals(DAY)),
    "open_days.ledger": ("UPDATE open_days SET ledger = ?", lambda journal: journal.days_to_close(TOMORROW)),
    "feed_sessions.since_at": ("UPDATE feed_sessions SET since_at = ?", lambda journal: journal.feed_session()),
    "breaches.first_at": ("UPDATE breaches SET first_at = ?", lambda journal: journal.health(DAY)),
    "dry_orders.created_at": ("UPDATE dry_orders SET created_at = ?", lambda journal: journal.find_rehearsed("dry")),
}


async def fill(journal: Journal) -> None:
    """Put a row into every table that is read."""
    await journal.conclude(await dispatched(journal, "one"), acknowledged())
    await journal.conclude(await dispatched(journal, "lost", waits_for_twins=False), LOST)
    await journal.note_reports([report(number="0000999")])
    await journal.note_ledger(news_of(row(filled=2)))
    await journal.note_breaches([Breach(BreachKind.CLOCK_NEAR, "a finding")])
    await journal.begin_feed(1000.0, NOON)
    await journal.rehearse(intent("dry"), DAY, Terms())
    await journal.move_switch(KillSwitchState(is_engaged=True, reason="why", by="whom", at=NOON))
    await journal.move_switch(KillSwitchState(is_engaged=False, reason="why", by="whom", at=NOON))


def spoil(path: Path, statement: str, value: str) -> None:
    """Change a value behind the journal's back."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5000)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(f"PRAGMA foreign_keys = OFF; {statement}", (value,))
    assert connection.changes() > 0
    connection.close()


@pytest.mark.parametrize("name", DAMAGES)
async def test_value_that_nobody_can_read_is_a_corrupt_journal(tmp_path: Path, name: str) -> None:
    """Whatever the row, and whoever reads it: `JournalCorrupt`, which names the kind of error and not the value."""
    statement, use = DAMAGES[name]
    path = tmp_path / "orders.db"
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        await fill(journal)
        await use(journal)
        spoil(path, statement, SECRET)
        with pytest.raises(JournalCorrupt, match="a value in it cannot be read") as caught:
            await use(journal)
        assert SECRET not in str(caught.value)


async def test_order_that_has_lost_its_sends_is_a_corrupt_journal(tmp_path: Path) -> None:
    """An intent without an attempt was not written by us: the id is not free."""
    path = tmp_path / "orders.db"
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        await dispatched(journal, "one")
        spoil(path, "DELETE FROM attempts WHERE client_order_id = ?", "one")
        with pytest.raises(JournalCorrupt):
            await journal.dispatch(plan("one"))


async def test_bytes_that_are_no_text_are_a_corrupt_journal(tmp_path: Path) -> None:
    """SQLite hands a text over before anything of ours decodes it."""
    path = tmp_path / "orders.db"
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        await dispatched(journal, "one")
        spoil(path, "UPDATE attempts SET reason = CAST(X'ff' AS TEXT) WHERE client_order_id = ?", "one")
        with pytest.raises(JournalCorrupt, match="UnicodeError"):
            await journal.find("one")


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, IndexError, ZeroDivisionError])
@pytest.mark.parametrize("is_write", [True, False], ids=["write", "read"])
async def test_fault_of_ours_is_no_corrupt_journal(tmp_path: Path, error: type[Exception], *, is_write: bool) -> None:
    """A mistake in the code of an operation comes as itself to whoever waits; the journal goes on."""

    def stumble(connection: apsw.Connection) -> None:
        connection.execute("SELECT 1").fetchall()
        raise error("a mistake")

    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        with pytest.raises(error, match="a mistake"):
            await (journal._write if is_write else journal._read)(stumble)
        await dispatched(journal, "one")
        assert await journal.find("one") is not None


async def test_text_that_no_file_can_hold_is_no_corrupt_journal(tmp_path: Path) -> None:
    """Half a surrogate pair comes from a caller, not from the file."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        with pytest.raises(JournalError, match="no file can hold") as caught:
            await journal._write(lambda connection: connection.execute("SELECT ?", ("\ud800",)).fetchall())
        assert not isinstance(caught.value, JournalCorrupt)
