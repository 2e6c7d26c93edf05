"""What is read costs what is open, not what has been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from kiwoom_async._domain.life import Life
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, Desk
from kiwoom_async._journal import permissions, queries
from kiwoom_async._journal.attempts import INSERT_ATTEMPT
from kiwoom_async._journal.claims import Claimed, find_moves
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Bookmark, attempt_row
from tests.journal.builders import ACCOUNT, DAY, TOMORROW, FixedAmbient, dispatched, obligation, plan

AMBIENT = FixedAmbient()
SETTLED, OPEN = 20_000, 20


def plans_of(connection: apsw.Connection, read: Any) -> list[str]:
    """Run a query of the journal and give the plan of every statement it made."""
    statements: list[tuple[str, Any]] = []

    def note(_: apsw.Cursor, sql: str, bindings: Any) -> bool:
        statements.append((sql, bindings))
        return True

    connection.exec_trace = note
    try:
        read(connection)
    finally:
        connection.exec_trace = None
    return [
        row[3]
        for sql, bindings in statements
        if not sql.startswith("INSERT")
        for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)
    ]


READS = {
    "open": lambda connection: queries.read_open(connection, ACCOUNT),
    "watched": lambda connection: queries.read_watched(connection, ACCOUNT, TOMORROW),
    "left unresolved": lambda connection: queries.read_left_unresolved(connection, ACCOUNT),
    "parts moved": lambda connection: queries.read_parts_moved(connection, "open-1", "0000001"),
    "moves": lambda connection: find_moves(
        connection, Claimed((ACCOUNT, "stock", DAY.isoformat()), "0000001", Life(Action.NEW), obligation())
    ),
    "record": lambda connection: queries.read_record(connection, "open-1"),
    "claims": lambda connection: queries.read_claims(connection, ACCOUNT, Desk.STOCK, DAY, 0),
    "claim of": lambda connection: queries.read_claim_of(connection, ACCOUNT, Desk.STOCK, DAY, "0000001"),
    "foreign": lambda connection: queries.read_foreign(connection, ACCOUNT, Desk.STOCK, DAY, 0),
    "channels": lambda connection: queries.read_channels(connection, ACCOUNT, Desk.STOCK),
    "terminals": lambda connection: queries.read_terminals(connection, ACCOUNT, Desk.STOCK),
    "kept reports": lambda connection: queries.read_kept_reports(connection, ACCOUNT, Desk.STOCK, DAY),
    "working": lambda connection: queries.read_working(connection, ACCOUNT),
    "order events": lambda connection: queries.read_order_events(connection, ACCOUNT, 0, 10),
    "bookmark": lambda connection: queries.read_bookmark(connection, ACCOUNT),
    "news": lambda connection: queries.read_news(connection, ACCOUNT, Bookmark()),
    "history": lambda connection: queries.read_history(connection, "open-1"),
    "twin": lambda connection: permissions._open_twin(connection, plan()),
}


@pytest.mark.parametrize("name", READS)
async def test_every_read_uses_an_index(tmp_path: Path, name: str) -> None:
    """No query of the journal scans a table."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await dispatched(journal, "open-1")
        steps = await journal._read(lambda connection: plans_of(connection, READS[name]))
    assert steps
    assert not [step for step in steps if step.startswith("SCAN")]


async def test_open_attempts_among_many_settled(tmp_path: Path) -> None:
    """Twenty open rows among twenty thousand settled ones are found by the index of the open ones."""

    def fill(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        made = obligation()
        for number in range(SETTLED + OPEN):
            state = Delivery.UNKNOWN if number < OPEN else Delivery.ACKNOWLEDGED
            name = f"order-{number:05d}"
            values = list(attempt_row(made))
            values[0], values[6] = name, state.value
            connection.execute("INSERT INTO intents VALUES (?, ?, '', '{}', '', NULL, 1)", (name, ACCOUNT))
            connection.execute(INSERT_ATTEMPT, values)

    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await journal._write(fill)
        assert len(await journal.open_attempts()) == OPEN

        def count_steps(connection: apsw.Connection) -> int:
            steps = 0

            def step() -> bool:
                nonlocal steps
                steps += 1
                return False

            connection.set_progress_handler(step, 100)
            queries.read_open(connection, ACCOUNT)
            connection.set_progress_handler(None)
            return steps

        # One step of this count is a hundred instructions of SQLite; a scan would take thousands of them.
        assert await journal._read(count_steps) < 50
