"""What can be read from the journal. Reading never blocks sending."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, Final

import apsw

from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.records import (
    ATTEMPT_COLUMNS,
    CLAIM_COLUMNS,
    Bookmark,
    Claim,
    HistoryEntry,
    JournalNews,
    OrderRecord,
    WorkingOrder,
    decisive_attempt,
    from_json,
    read_attempt,
    read_claim,
    read_event,
    read_intent,
)

UNANSWERED: Final = (
    "NOT (json_extract(request, '$.action') = 'cancel' AND json_extract(request, '$.quantity') IS NULL AND EXISTS ("
    "SELECT 1 FROM attempts AS other WHERE other.client_order_id = attempts.client_order_id "
    "AND other.state IN ('acknowledged', 'revived', 'duplicate')))"
)
"""Of attempts: leaves out full cancels that another send has answered, which are sent again while one is unknown."""


def can_be_stored(text: str) -> bool:
    """Tell whether a file can hold a text: what cannot be stored was not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_record(connection: apsw.Connection, client_order_id: str) -> OrderRecord | None:
    """Read all that is known of an id; None if the journal has never heard of it."""
    if not can_be_stored(client_order_id):
        return None
    row = connection.execute("SELECT * FROM intents WHERE client_order_id = ?", (client_order_id,)).fetchone()
    if row is None:
        return None
    attempts = tuple(
        read_attempt(found)
        for found in connection.execute(
            f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE client_order_id = ? ORDER BY number",  # noqa: S608
            (client_order_id,),
        )
    )
    claims = tuple(
        read_claim(found)
        for found in connection.execute(
            f"SELECT {CLAIM_COLUMNS} FROM claims WHERE client_order_id = ? ORDER BY attempt",  # noqa: S608
            (client_order_id,),
        )
    )
    _require_fitting(attempts, claims)
    answered_by = connection.execute(
        "SELECT attempt FROM history WHERE client_order_id = ? "
        "AND event IN ('acknowledged', 'reappeared', 'duplicated') ORDER BY sequence LIMIT 1",
        (client_order_id,),
    ).get
    evidence = connection.execute(
        "SELECT evidence FROM history WHERE client_order_id = ? AND attempt = ? AND event <> 'noted' "
        "ORDER BY sequence DESC LIMIT 1",
        (client_order_id, answered_by or decisive_attempt(attempts).number),
    ).get
    with decoding():
        told = json.loads(evidence) if evidence else {}
    return OrderRecord(read_intent(row), attempts, claims, told, answered_by)


@decoding()
def _require_fitting(attempts: tuple[Attempt, ...], claims: tuple[Claim, ...]) -> None:
    if not attempts:
        raise LookupError("an order without a send")
    numbers = {attempt.number: attempt.broker_order_id for attempt in attempts}
    if any(claim.broker_order_id != numbers.get(claim.attempt) for claim in claims):
        raise ValueError("an order and its number do not fit each other")


def read_attempt_of(connection: apsw.Connection, client_order_id: str, number: int) -> Attempt | None:
    """Read one send of an id; None if there was none."""
    row = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE client_order_id = ? AND number = ?",  # noqa: S608
        (client_order_id, number),
    ).fetchone()
    return None if row is None else read_attempt(row)


def read_open(connection: apsw.Connection, account: str) -> tuple[Attempt, ...]:
    """Read every attempt that is not settled; the cost grows with their number, not with the history."""
    rows = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE account = ? "  # noqa: S608
        "AND state IN ('prepared', 'dispatched', 'unknown', 'candidates')",
        (account,),
    )
    return tuple(sorted(map(read_attempt, rows), key=lambda attempt: (attempt.dispatched_at, attempt.key)))


def read_watched(connection: apsw.Connection, account: str, since: date) -> tuple[Attempt, ...]:
    """Read the attempts that were proven absent, or left unresolved, on a day from `since` on."""
    rows = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE account = ? AND day >= ? "  # noqa: S608
        "AND state IN ('not_accepted', 'unresolved_at_close')",
        (account, since.isoformat()),
    )
    return tuple(sorted(map(read_attempt, rows), key=lambda attempt: (attempt.dispatched_at, attempt.key)))


def read_left_unresolved(connection: apsw.Connection, account: str) -> tuple[Attempt, ...]:
    """Read the attempts that a day's close left unresolved, of whatever day: nobody but a person settles them."""
    rows = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE account = ? "  # noqa: S608
        "AND state IN ('not_accepted', 'unresolved_at_close') AND state = 'unresolved_at_close'",
        (account,),
    )
    return tuple(sorted(map(read_attempt, rows), key=lambda attempt: (attempt.dispatched_at, attempt.key)))


def read_duplicates(connection: apsw.Connection, account: str, day: date) -> tuple[Attempt, ...]:
    """Read the attempts of a day whose order is a second one on the book."""
    rows = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE account = ? AND day = ? AND state = 'duplicate' "  # noqa: S608
        "ORDER BY client_order_id, number",
        (account, day.isoformat()),
    )
    return tuple(map(read_attempt, rows))


def read_absent_twins(
    connection: apsw.Connection, account: str, since: date, fingerprints: Collection[str]
) -> tuple[Attempt, ...]:
    """Read the attempts proven absent on a day from `since` on whose request is one of some."""
    rows = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE account = ? AND day >= ? "  # noqa: S608
        "AND state IN ('not_accepted', 'unresolved_at_close') AND state = 'not_accepted' "
        "AND fingerprint IN (SELECT value FROM json_each(?))",
        (account, since.isoformat(), json.dumps(sorted(fingerprints))),
    )
    return tuple(sorted(map(read_attempt, rows), key=lambda attempt: (attempt.dispatched_at, attempt.key)))


def read_claims(
    connection: apsw.Connection, account: str, desk: Desk, day: date, since: int
) -> Mapping[str, tuple[Claim, Attempt]]:
    """Read the claimed order numbers of a day after a number, each with the attempt that has it."""
    rows = connection.execute(
        f"SELECT {', '.join('c.' + name.strip() for name in CLAIM_COLUMNS.split(','))}, "  # noqa: S608
        f"{', '.join('a.' + name.strip() for name in ATTEMPT_COLUMNS.split(','))} "
        "FROM claims c JOIN attempts a ON a.client_order_id = c.client_order_id AND a.number = c.attempt "
        "WHERE c.account = ? AND c.ledger = ? AND c.day = ? AND c.broker_order_id > ?",
        (account, desk.ledger.value, day.isoformat(), f"{since:07d}"),
    )
    width = len(CLAIM_COLUMNS.split(","))
    return {row[2]: (read_claim(row[:width]), read_attempt(row[width:])) for row in rows}


def read_runners(connection: apsw.Connection) -> tuple[str, ...]:
    """Read who has signed on as a sender and not off, dead ones included."""
    return tuple(runner for (runner,) in connection.execute("SELECT runner FROM runners"))


def read_foreign(connection: apsw.Connection, account: str, desk: Desk, day: date, since: int) -> frozenset[str]:
    """Read the order numbers of a day that are proven to be others'."""
    rows = connection.execute(
        "SELECT broker_order_id FROM foreign_orders "
        "WHERE account = ? AND ledger = ? AND day = ? AND broker_order_id > ?",
        (account, desk.ledger.value, day.isoformat(), f"{since:07d}"),
    )
    return frozenset(number for (number,) in rows)


def read_channels(connection: apsw.Connection, account: str, desk: Desk) -> frozenset[str]:
    """Read how the ledger names the channel of our own orders."""
    rows = connection.execute(
        "SELECT channel FROM channels WHERE account = ? AND ledger = ?", (account, desk.ledger.value)
    )
    return frozenset(channel for (channel,) in rows)


def read_terminals(connection: apsw.Connection, account: str, desk: Desk) -> frozenset[str]:
    """Read how the feed names the terminal of our own orders."""
    rows = connection.execute(
        "SELECT terminal FROM terminals WHERE account = ? AND ledger = ?", (account, desk.ledger.value)
    )
    return frozenset(terminal for (terminal,) in rows)


def read_kept_reports(connection: apsw.Connection, account: str, desk: Desk, since: date) -> tuple[OrderReport, ...]:
    """Read what the feed has reported from a day on of numbers that nobody has, oldest first."""
    rows = connection.execute(
        "SELECT report FROM kept_reports WHERE account = ? AND ledger = ? AND day >= ? ORDER BY day, n",
        (account, desk.ledger.value, since.isoformat()),
    )
    return tuple(from_json(text, OrderReport) for (text,) in rows)


def read_working(connection: apsw.Connection, account: str) -> tuple[WorkingOrder, ...]:
    """Read our numbers that may still be in the book; the cost grows with their number, not with the history."""
    rows = connection.execute(
        "SELECT c.ledger, c.day, c.broker_order_id, json_extract(a.request, '$.symbol'), c.client_order_id "
        "FROM claims c INDEXED BY claims_open "
        "JOIN attempts a ON a.client_order_id = c.client_order_id AND a.number = c.attempt "
        "WHERE c.account = ? AND c.action <> 'cancel' "
        "AND (c.status IS NULL OR c.status IN ('working', 'partially_filled'))",
        (account,),
    )
    return tuple(sorted(map(_read_working, rows), key=lambda order: (order.day, order.desk, order.broker_order_id)))


@decoding()
def _read_working(row: tuple[Any, ...]) -> WorkingOrder:
    return WorkingOrder(Desk(row[0]), date.fromisoformat(row[1]), *row[2:])


def read_order_events(connection: apsw.Connection, account: str, since: int, limit: int) -> tuple[OrderEvent, ...]:
    """Read what happened to the account's orders after a sequence number, oldest first."""
    rows = connection.execute(
        "SELECT sequence, event FROM order_events WHERE account = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        (account, since, limit),
    )
    return tuple(map(read_event, rows))


def read_parts_moved(connection: apsw.Connection, client_order_id: str, number: str) -> frozenset[str]:
    """Read which modifies were seen to leave a part of an order in the book; none where any of it was canceled.

    Events of one statement count what is left down, one by one, and only the last of them says what was there.
    """
    rows = connection.execute(
        "SELECT json_extract(event, '$.kind'), json_extract(event, '$.replaced_by'), "
        "json_extract(event, '$.leaves_quantity') FROM order_events WHERE client_order_id = ? "
        "AND json_extract(event, '$.broker_order_id') = ? "
        "AND json_extract(event, '$.kind') IN ('modified', 'canceled')",
        (client_order_id, number),
    ).fetchall()
    if any(kind == "canceled" or not leaves for kind, _, leaves in rows):
        return frozenset()
    return frozenset(str(by) for _, by, _ in rows)


MOST_NAMED: Final = 1000
"""News whose orders are told one by one. Source: our choice; more than that in the time between two looks means that
this process slept, and everybody had better look for himself."""


def read_bookmark(connection: apsw.Connection, account: str) -> Bookmark:
    """Read the place after which nothing is written yet."""
    history: int | None = connection.execute("SELECT max(sequence) FROM history").get
    event: int | None = connection.execute("SELECT max(sequence) FROM order_events WHERE account = ?", (account,)).get
    return Bookmark(history or 0, event or 0)


def read_news(connection: apsw.Connection, account: str, since: Bookmark) -> JournalNews:
    """Read which orders something was written about; the cost grows with what is new, not with the history."""
    until = read_bookmark(connection, account)
    if until == since:
        return JournalNews(until, frozenset())
    if until.history - since.history + until.event - since.event > MOST_NAMED:
        return JournalNews(until, None)
    # Up to the bookmark: what is written between these statements belongs to the next look.
    touched = connection.execute(
        "SELECT client_order_id FROM history WHERE sequence > ? AND sequence <= ? "
        "UNION SELECT client_order_id FROM order_events WHERE account = ? AND sequence > ? AND sequence <= ?",
        (since.history, until.history, account, since.event, until.event),
    )
    return JournalNews(until, frozenset(name for (name,) in touched))


def read_claim_of(connection: apsw.Connection, account: str, desk: Desk, day: date, number: str) -> Claim | None:
    """Read who has an order number."""
    row = connection.execute(
        f"SELECT {CLAIM_COLUMNS} FROM claims WHERE account = ? AND ledger = ? AND day = ? AND broker_order_id = ?",  # noqa: S608
        (account, desk.ledger.value, day.isoformat(), number),
    ).fetchone()
    return None if row is None else read_claim(row)


def read_history(connection: apsw.Connection, client_order_id: str) -> tuple[HistoryEntry, ...]:
    """Read everything that happened to an id, oldest first."""
    rows = connection.execute(
        "SELECT sequence, client_order_id, attempt, at, event, state, evidence FROM history "
        "WHERE client_order_id = ? ORDER BY sequence",
        (client_order_id,),
    )
    return tuple(map(_read_entry, rows))


@decoding()
def _read_entry(row: tuple[Any, ...]) -> HistoryEntry:
    sequence, name, attempt, at, event, state, evidence = row
    return HistoryEntry(
        sequence, name, attempt, datetime.fromisoformat(at), event, Delivery(state), json.loads(evidence)
    )
