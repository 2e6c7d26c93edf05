"""What the monitors of the assumptions have found, and what else the file tells of an account's health.

Like `permissions`, the writing functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import apsw
from attrs import frozen

from kiwoom_async._domain.health import Breach, BreachKind, DurableHealth, JournalFacts, KeptBreach, find_doubt
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.midnight import may_be_near
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.queries import UNANSWERED
from kiwoom_async._journal.records import Finding


@frozen
class Witness:
    """A row of the history that was committed: as long as it is there, nothing before it is lost."""

    sequence: int
    client_order_id: str
    at: str


def read_witness(connection: apsw.Connection) -> Witness | None:
    """Read the latest row of the history; None in a new journal."""
    row = connection.execute(
        "SELECT sequence, client_order_id, at FROM history ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Witness(*row)


def has_lost_rows(connection: apsw.Connection, witness: Witness | None) -> bool:
    """Tell whether a row that was committed is gone, or another one is in its place (A1)."""
    if witness is None:
        return False
    row = connection.execute(
        "SELECT sequence, client_order_id, at FROM history WHERE sequence = ?", (witness.sequence,)
    ).fetchone()
    return row is None or Witness(*row) != witness


# ---------------------------------------------------------------- findings


def note_breaches(connection: apsw.Connection, account: str, breaches: Iterable[Breach], at: datetime) -> None:
    """Keep what monitors have found."""
    moment = at.isoformat()
    connection.executemany(
        "INSERT INTO breaches VALUES (?1, ?2, ?3, ?3, 1, ?4) ON CONFLICT (account, kind) DO UPDATE "
        "SET last_at = max(last_at, excluded.last_at), times = times + 1, text = excluded.text",
        [
            # Half a surrogate pair is valid JSON, and no text that a file can hold.
            (account, breach.kind.value, moment, breach.text.encode("utf-8", "backslashreplace").decode())
            for breach in breaches
        ],
    )


def note_zombie(connection: apsw.Connection, attempt: Attempt, finding: Finding, by: str | None, at: datetime) -> None:
    """Keep that an answer was brought by a sender whose attempts another process has taken over (A2)."""
    if finding.is_answered and by not in {None, attempt.runner}:
        text = f"order {attempt.client_order_id} was answered to a process that was taken for dead"
        note_breaches(connection, attempt.account, [Breach(BreachKind.SENDER_TAKEN_FOR_DEAD, text)], at)


_LATE: Final = {Delivery.REVIVED: BreachKind.REVIVED, Delivery.DUPLICATE: BreachKind.DUPLICATE}
_LATE_TEXTS: Final = {
    BreachKind.REVIVED: "was proven absent and is on the book",
    BreachKind.DUPLICATE: "is on the book twice: the send that was proven absent, and the one after it",
}


def note_late(connection: apsw.Connection, moved: Attempt, at: datetime) -> None:
    """Keep that an attempt is on the book although it was proven absent (A4)."""
    kind = _LATE.get(moved.state)
    if kind is not None:
        number = f" as {moved.broker_order_id}" if moved.broker_order_id else ""
        text = f"order {moved.client_order_id} {_LATE_TEXTS[kind]}{number}"
        note_breaches(connection, moved.account, [Breach(kind, text)], at)


def note_fallen_number(connection: apsw.Connection, moved: Attempt, finding: Finding, at: datetime) -> None:
    """Keep that an order got a number below one that was known before it was sent (A8)."""
    number = finding.broker_order_id
    if number is None or finding.resolved_by is not ResolvedBy.RESPONSE or int(number) > moved.mark:
        return
    if not may_be_near((moved.dispatched_at, finding.ended_at or at), moved.day):
        text = f"order {moved.client_order_id} got the number {number}, and {moved.mark:07d} was known before"
        note_breaches(connection, moved.account, [Breach(BreachKind.NUMBER_FELL, text)], at)


def note_contradiction(
    connection: apsw.Connection, attempt: Attempt, finding: Finding, text: str, at: datetime, *, is_claimed: bool
) -> None:
    """Keep that definite evidence cannot be true beside what is known; a person's slip is none."""
    if finding.resolved_by is ResolvedBy.OPERATOR:
        return
    is_repeated = is_claimed and finding.resolved_by is ResolvedBy.RESPONSE
    kind = BreachKind.NUMBER_REPEATED if is_repeated else BreachKind.CONTRADICTION
    note_breaches(connection, attempt.account, [Breach(kind, f"order {attempt.client_order_id}: {text}")], at)


# ---------------------------------------------------------------- reading


def read_breaches(connection: apsw.Connection, account: str) -> tuple[KeptBreach, ...]:
    """Read what was found, in the order of the kinds."""
    rows = connection.execute(
        "SELECT kind, text, first_at, last_at, times FROM breaches WHERE account = ?", (account,)
    ).fetchall()
    found = {row[0]: _read_breach(row) for row in rows}
    return tuple(found[kind] for kind in BreachKind if kind in found)


def read_doubt(connection: apsw.Connection, attempt: Attempt) -> Breach | None:
    """Read what was seen that a proof of an attempt's absence must not rest on; None if nothing was."""
    return find_doubt(read_breaches(connection, attempt.account), attempt.day)


@decoding()
def _read_breach(row: tuple[Any, ...]) -> KeptBreach:
    kind, text, first_at, last_at, times = row
    return KeptBreach(
        Breach(BreachKind(kind), text), datetime.fromisoformat(first_at), datetime.fromisoformat(last_at), times
    )


def count_late(connection: apsw.Connection, account: str, state: Delivery) -> int:
    """Count the attempts that turned up late; the cost grows with their number, not with the history."""
    found: int = connection.execute(
        "SELECT count(*) FROM attempts INDEXED BY attempts_late "
        "WHERE account = ? AND state IN ('revived', 'duplicate') AND state = ?",
        (account, state.value),
    ).get
    return found


def read_unresolved(connection: apsw.Connection, account: str, since: date) -> tuple[datetime, ...]:
    """Read when the orders were sent whose outcome is not known; those that a day's close left, from a day on."""
    rows = connection.execute(
        "SELECT dispatched_at FROM attempts WHERE account = ?1 "  # noqa: S608 - no text from outside
        "AND state IN ('prepared', 'dispatched', 'unknown', 'candidates') AND state IN ('unknown', 'candidates') "
        f"AND {UNANSWERED} UNION ALL SELECT dispatched_at FROM attempts WHERE account = ?1 AND day >= ?2 "
        f"AND state IN ('not_accepted', 'unresolved_at_close') AND state = 'unresolved_at_close' AND {UNANSWERED}",
        (account, since.isoformat()),
    )
    with decoding():
        return tuple(sorted(datetime.fromisoformat(text) for (text,) in rows))


def read_accounts(connection: apsw.Connection) -> tuple[str, ...]:
    """Read the names of the accounts of a file that have sent something, or of which something was found."""
    rows = connection.execute("SELECT account FROM intents UNION SELECT account FROM breaches ORDER BY 1")
    return tuple(account for (account,) in rows)


def read_facts(connection: apsw.Connection, path: Path, *, is_durable: bool) -> JournalFacts:
    """Read what the file is."""
    size = 0
    for part in (path, path.with_name(f"{path.name}-wal")):
        size += part.stat().st_size if part.exists() else 0
    return JournalFacts(
        path=str(path),
        schema=connection.pragma("user_version"),
        size=size,
        is_durable=is_durable and connection.pragma("journal_mode") == "wal",
        sqlite=apsw.sqlite_lib_version(),
    )


def read_health(connection: apsw.Connection, account: str, since: date, facts: JournalFacts) -> DurableHealth:
    """Read what the file tells of an account's health.

    Args:
        connection: Of the journal.
        account: Which account.
        since: What closed days have left unresolved counts from this day on.
        facts: About the file.
    """
    return DurableHealth(
        kept=read_breaches(connection, account),
        revived=count_late(connection, account, Delivery.REVIVED),
        duplicates=count_late(connection, account, Delivery.DUPLICATE),
        unresolved=read_unresolved(connection, account, since),
        facts=facts,
    )
