"""Whose a broker's number is, and what the numbers of a day teach: marks, channels, terminals, strangers.

Like `permissions`, these functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import Final, TypeAlias

import apsw
from attrs import frozen

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.life import Life
from kiwoom_async._domain.midnight import first_day
from kiwoom_async._domain.relations import is_report_of_another
from kiwoom_async._domain.reports import LedgerOrder, OrderReport
from kiwoom_async._domain.sights import Move
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.queries import read_attempt_of
from kiwoom_async._journal.records import LIFE_COLUMNS, from_json, life_row, read_life

Place: TypeAlias = tuple[str, str, str]
"""Account, ledger and day: where a number means one order."""


def place_of(account: str, desk: Desk, day: date) -> Place:
    """Name the ledger and the day on which a number is valid."""
    return account, desk.ledger.value, day.isoformat()


@frozen
class Claimed:
    """A number of ours, with what is known of it.

    Attributes:
        attempt: The send that has it.
    """

    place: Place
    number: str
    life: Life
    attempt: Attempt

    @property
    def day(self) -> date:
        """Give the day on which the number is valid."""
        return date.fromisoformat(self.place[2])


_AT: Final = "account = ? AND ledger = ? AND day = ?"


def read_claimed(connection: apsw.Connection, place: Place, number: str) -> Claimed | None:
    """Read a number of ours; None if nobody of us has it."""
    row = connection.execute(
        f"SELECT {LIFE_COLUMNS}, client_order_id, attempt FROM claims WHERE {_AT} AND broker_order_id = ?",  # noqa: S608
        (*place, number),
    ).fetchone()
    if row is None:
        return None
    attempt = read_attempt_of(connection, *row[-2:])
    assert attempt is not None, "a claim is made of an attempt"  # noqa: S101
    return Claimed(place, number, read_life(row), attempt)


def store_life(connection: apsw.Connection, claimed: Claimed) -> None:
    """Write what is known of a number."""
    columns = ", ".join(f"{name.strip()} = ?" for name in LIFE_COLUMNS.split(","))
    connection.execute(
        f"UPDATE claims SET {columns} WHERE {_AT} AND broker_order_id = ?",  # noqa: S608
        (*life_row(claimed.life), *claimed.place, claimed.number),
    )


def insert_claim(connection: apsw.Connection, place: Place, number: str, attempt: Attempt, at: datetime) -> bool:
    """Write down that a number is an attempt's; give whether that is new."""
    connection.execute(
        "INSERT INTO claims (account, ledger, day, broker_order_id, client_order_id, attempt, claimed_at, action, "
        "quantity) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, ledger, day, broker_order_id) DO NOTHING",
        (
            *place,
            number,
            attempt.client_order_id,
            attempt.number,
            at.isoformat(),
            attempt.request.action.value,
            attempt.request.quantity,
        ),
    )
    is_new = connection.changes() > 0
    connection.execute(f"DELETE FROM foreign_orders WHERE {_AT} AND broker_order_id = ?", (*place, number))  # noqa: S608
    return is_new


def claimed_place(connection: apsw.Connection, attempt: Attempt) -> Place | None:
    """Say where the number of an attempt is valid; None if it has none."""
    row = connection.execute(
        "SELECT account, ledger, day FROM claims WHERE client_order_id = ? AND attempt = ?",
        (attempt.client_order_id, attempt.number),
    ).fetchone()
    if row is None:
        return None
    with decoding():
        return str(row[0]), Desk(row[1]).value, date.fromisoformat(row[2]).isoformat()


def delete_claim(connection: apsw.Connection, place: Place, number: str) -> None:
    """Give a number back: it is nobody's."""
    connection.execute(f"DELETE FROM claims WHERE {_AT} AND broker_order_id = ?", (*place, number))  # noqa: S608


def find_successor(connection: apsw.Connection, place: Place, number: str) -> str | None:
    """Find the modify that took what was left of an order: one of ours, or one that the feed reported as effective."""
    own: str | None = connection.execute(
        "SELECT c.broker_order_id FROM claims c INDEXED BY claims_modifies "
        "JOIN attempts a ON a.client_order_id = c.client_order_id AND a.number = c.attempt "
        "WHERE c.account = ? AND c.ledger = ? AND c.day = ? AND c.action = 'modify' AND c.status IS NOT 'refused' "
        "AND json_extract(a.request, '$.original') = ? AND json_extract(a.request, '$.quantity') IS NULL LIMIT 1",
        (*place, number),
    ).get
    if own is not None:
        return own
    reported: str | None = connection.execute(
        f"SELECT broker_order_id FROM kept_reports WHERE {_AT} AND takes_from = ? ORDER BY n LIMIT 1",  # noqa: S608
        (*place, number),
    ).get
    return reported


def find_moves(connection: apsw.Connection, claimed: Claimed) -> tuple[Move, ...]:
    """Find the modifies of a part of an order of which no event has told yet, oldest first.

    They are ours, or the feed has reported them as effective.
    """
    number, place = claimed.number, claimed.place
    own = connection.execute(
        "SELECT c.broker_order_id, c.quantity FROM claims c INDEXED BY claims_modifies "
        "JOIN attempts a ON a.client_order_id = c.client_order_id AND a.number = c.attempt "
        "WHERE c.account = ? AND c.ledger = ? AND c.day = ? AND c.action = 'modify' AND c.status IS NOT 'refused' "
        "AND json_extract(a.request, '$.original') = ? AND json_extract(a.request, '$.quantity') IS NOT NULL",
        (*place, number),
    ).fetchall()
    reported = connection.execute(
        f"SELECT broker_order_id, json_extract(report, '$.quantity') FROM kept_reports WHERE {_AT} AND takes_from = ?",  # noqa: S608
        (*place, number),
    ).fetchall()
    told = {
        by
        for (by,) in connection.execute(
            "SELECT json_extract(event, '$.replaced_by') FROM order_events WHERE client_order_id = ? "
            "AND json_extract(event, '$.kind') = 'modified' AND json_extract(event, '$.broker_order_id') = ?",
            (claimed.attempt.client_order_id, number),
        )
    }
    moves = {by: quantity for by, quantity in (*reported, *own) if quantity and by not in told}
    return tuple(Move(str(by), int(quantity)) for by, quantity in sorted(moves.items()))


def has_kept_change(connection: apsw.Connection, place: Place, number: str) -> bool:
    """Tell whether the feed has told of a modify or cancel of an order under a number that nobody has."""
    row = connection.execute(
        f"SELECT 1 FROM kept_reports WHERE {_AT} AND json_extract(report, '$.original') = ? LIMIT 1",  # noqa: S608
        (*place, number),
    ).get
    return row is not None


def find_surprise(
    connection: apsw.Connection, attempt: Attempt, considered: Collection[tuple[date, str]]
) -> str | None:
    """Find an order that may be an attempt's, told of by the feed, that a proof has not taken into account."""
    rows = connection.execute(
        "SELECT day, broker_order_id, report FROM kept_reports WHERE account = ? AND ledger = ? AND day >= ? "
        "AND json_extract(report, '$.symbol') = ? ORDER BY day, n",
        (attempt.account, attempt.request.desk.ledger.value, first_day(attempt).isoformat(), attempt.request.symbol),
    )
    strange: dict[tuple[date, str], bool] = {}
    for day_text, number, text in rows:
        with decoding():
            place = date.fromisoformat(day_text), str(number)
            is_older = place[0] == attempt.day and int(number) <= attempt.mark
        if is_older or place in considered:
            continue
        is_another = is_report_of_another(attempt.request, from_json(text, OrderReport))
        strange[place] = strange.get(place, False) or is_another
    return next((number for (_, number), is_another in strange.items() if not is_another), None)


# ---------------------------------------------------------------- what a day's numbers teach


def read_high_water(connection: apsw.Connection, place: Place) -> int:
    """Read the highest number known to exist; 0 if none is."""
    return connection.execute(f"SELECT number FROM high_water WHERE {_AT}", place).get or 0  # noqa: S608


def raise_high_water(connection: apsw.Connection, place: Place, number: int) -> None:
    """Note an order number that is known to exist."""
    connection.execute(
        "INSERT INTO high_water VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = max(number, excluded.number)",
        (*place, number),
    )


def learn_channels(connection: apsw.Connection, place: Place, channels: Iterable[str]) -> None:
    """Keep how the ledger names the channel of our own orders."""
    connection.executemany("INSERT OR IGNORE INTO channels VALUES (?, ?, ?)", [(*place[:2], text) for text in channels])


def learn_terminal(connection: apsw.Connection, place: Place, terminal: str) -> None:
    """Keep how the feed names the terminal of our own orders."""
    if terminal:
        # Half a surrogate pair is valid JSON, and no text that a file can hold.
        text = terminal.encode("utf-8", "backslashreplace").decode()
        connection.execute("INSERT OR IGNORE INTO terminals VALUES (?, ?, ?)", (*place[:2], text))


def is_foreign(connection: apsw.Connection, place: Place, number: str) -> bool:
    """Tell whether a number is proven to be somebody else's."""
    query = f"SELECT 1 FROM foreign_orders WHERE {_AT} AND broker_order_id = ?"  # noqa: S608
    return connection.execute(query, (*place, number)).get is not None


def declare_foreign(connection: apsw.Connection, place: Place, row: LedgerOrder, at: datetime) -> bool:
    """Keep that an order is somebody else's, and nothing that was reported of it; give whether that is new."""
    connection.execute(
        "INSERT OR IGNORE INTO foreign_orders VALUES (?, ?, ?, ?, ?, ?)",
        (*place, row.broker_order_id, row.channel, at.isoformat()),
    )
    is_new = connection.changes() > 0
    connection.execute(f"DELETE FROM kept_reports WHERE {_AT} AND broker_order_id = ?", (*place, row.broker_order_id))  # noqa: S608
    return is_new
