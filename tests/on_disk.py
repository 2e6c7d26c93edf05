"""What stands in a journal's file, read over a connection of its own: only what is committed.

By the SQLite of the library, never by another one: a second SQLite in the process that has the journal open takes its
locks away when it closes the file (POSIX), and maps its shared memory anew under it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw


def rows_of(journal: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Read rows."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def value_of(journal: Path, query: str, *values: object) -> Any:
    """Read the only value of the only row."""
    ((value,),) = rows_of(journal, query, *values)
    return value


def states_of(journal: Path, client_order_id: str) -> list[str]:
    """Read the states of an id's attempts."""
    return [
        state for (state,) in rows_of(journal, "SELECT state FROM attempts WHERE client_order_id = ?", client_order_id)
    ]


def falsify(journal: Path, statements: str) -> None:
    """Change a journal behind the library's back."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.execute(statements).fetchall()
    finally:
        connection.close()
