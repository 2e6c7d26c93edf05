"""Rows of attempts and of their history, as every transaction writes them.

Like `permissions`, these functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import apsw

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.states import Event
from kiwoom_async._journal.queries import read_attempt_of
from kiwoom_async._journal.records import ATTEMPT_COLUMNS, attempt_row, to_json
from kiwoom_async.errors import IllegalTransition

INSERT_ATTEMPT: Final = (
    f"INSERT INTO attempts ({ATTEMPT_COLUMNS}) VALUES ({', '.join('?' * len(ATTEMPT_COLUMNS.split(',')))})"  # noqa: S608
)


def require_attempt(connection: apsw.Connection, client_order_id: str, number: int) -> Attempt:
    """Read an attempt.

    Raises:
        IllegalTransition: There is none.
    """
    attempt = read_attempt_of(connection, client_order_id, number)
    if attempt is None:
        raise IllegalTransition(f"The journal has no attempt {number} of order {client_order_id!r}.")
    return attempt


def insert_attempt(connection: apsw.Connection, attempt: Attempt) -> None:
    """Write a new attempt."""
    connection.execute(INSERT_ATTEMPT, attempt_row(attempt))


def store_attempt(connection: apsw.Connection, attempt: Attempt) -> None:
    """Write an attempt as it is now."""
    connection.execute(
        f"REPLACE INTO attempts ({ATTEMPT_COLUMNS}) VALUES ({', '.join('?' * len(ATTEMPT_COLUMNS.split(',')))})",  # noqa: S608
        attempt_row(attempt),
    )


def append_history(
    connection: apsw.Connection, attempt: Attempt, event: Event | None, at: datetime, evidence: dict[str, Any]
) -> None:
    """Write down what happened to an attempt; None for what has not moved its state."""
    connection.execute(
        "INSERT INTO history (client_order_id, attempt, at, event, state, evidence) VALUES (?, ?, ?, ?, ?, ?)",
        (
            attempt.client_order_id,
            attempt.number,
            at.isoformat(),
            "noted" if event is None else event.value,
            attempt.state.value,
            # In ASCII, for the reason given at `to_json`.
            json.dumps(evidence, default=to_json),
        ),
    )
