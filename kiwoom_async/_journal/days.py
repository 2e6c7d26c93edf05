"""Days whose books are open or closed, and how long the feed was listened to without a gap.

Like `permissions`, the writing functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

import apsw

from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal.claims import Place, place_of
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.lives import Hearing
from kiwoom_async._journal.queries import read_working
from kiwoom_async._journal.records import FeedSession, ReportNews, from_json, to_json

KEPT_FOR: Final = timedelta(days=14)
"""How long reports of numbers that nobody has are kept, where their day has no books to close. Source: our choice,
longer than an order can stay unresolved."""


def open_day(connection: apsw.Connection, place: Place) -> None:
    """Note that something of ours went out on a day; one that is closed stays closed."""
    connection.execute(
        "INSERT OR IGNORE INTO open_days SELECT ?1, ?2, ?3 WHERE NOT EXISTS "
        "(SELECT 1 FROM closed_days WHERE account = ?1 AND ledger = ?2 AND day = ?3)",
        place,
    )


def reopen_day(connection: apsw.Connection, place: Place) -> None:
    """Open the books of a day again: a number of it is ours that was not when they were closed."""
    connection.execute("DELETE FROM closed_days WHERE account = ? AND ledger = ? AND day = ?", place)
    open_day(connection, place)


def close_day(connection: apsw.Connection, account: str, close: DayClose) -> ReportNews:
    """Close the books of a day: the first close counts, and reports that nobody claimed are not kept any longer.

    What the final ledger has not settled of our orders has expired, too.
    """
    place = place_of(account, close.desk, close.day)
    hearing = Hearing(connection, close.closed_at)
    for order in read_working(connection, account):
        if (order.desk, order.day) == (close.desk, close.day):
            hearing.expire(place, order.broker_order_id)
    connection.execute(
        "INSERT OR IGNORE INTO closed_days VALUES (?, ?, ?, ?, ?)",
        (*place, close.closed_at.isoformat(), to_json(close)),
    )
    for table in ("open_days", "kept_reports"):
        connection.execute(f"DELETE FROM {table} WHERE account = ? AND ledger = ? AND day = ?", place)  # noqa: S608
    return hearing.news


def read_days_to_close(connection: apsw.Connection, account: str, before: date) -> tuple[tuple[Desk, date], ...]:
    """Read the days before one whose books are open, or on which an order is left working.

    A close ends them all, but an earlier release left modifies of all that is left as they were. The cost grows with
    the number of such days and orders.
    """
    rows = connection.execute(
        "SELECT ledger, day FROM open_days WHERE account = ?1 AND day < ?2 "
        "UNION SELECT ledger, day FROM claims INDEXED BY claims_open WHERE account = ?1 AND day < ?2 "
        "AND action <> 'cancel' AND (status IS NULL OR status IN ('working', 'partially_filled')) "
        "ORDER BY day, ledger",
        (account, before.isoformat()),
    )
    with decoding():
        return tuple((Desk(ledger), date.fromisoformat(day)) for ledger, day in rows)


def read_day_close(connection: apsw.Connection, account: str, desk: Desk, day: date) -> DayClose | None:
    """Read what the close of a day found; None while it is open."""
    evidence = connection.execute(
        "SELECT evidence FROM closed_days WHERE account = ? AND ledger = ? AND day = ?", place_of(account, desk, day)
    ).get
    return None if evidence is None else from_json(evidence, DayClose)


# ---------------------------------------------------------------- the feed


def begin_feed(
    connection: apsw.Connection, account: str, *, runner: str, boot_id: str, since: float, since_at: datetime
) -> int:
    """Certify that the feed is listened to from now on; give the epoch."""
    # What nobody has claimed for so long, nobody will.
    connection.execute(
        "DELETE FROM kept_reports WHERE account = ? AND day < ?",
        (account, (since_at - KEPT_FOR).astimezone(KST).date().isoformat()),
    )
    epoch: int = connection.execute(
        "SELECT coalesce(max(epoch), 0) + 1 FROM feed_sessions WHERE account = ?", (account,)
    ).get
    connection.execute(
        "INSERT INTO feed_sessions (account, epoch, runner, boot_id, since, since_at, heard) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (account, epoch, runner, boot_id, since, since_at.isoformat(), since),
    )
    return epoch


def was_heard(connection: apsw.Connection, attempt: Attempt) -> bool:
    """Tell whether everything that was reported of an attempt's order since it was sent is in the journal.

    True also where nobody has ever listened: then the ledger is asked.
    """
    session = read_feed_session(connection, attempt.account)
    if session is None:
        return True
    return not session.is_over and session.boot_id == attempt.boot_id and session.since <= attempt.dispatched


def note_feed(connection: apsw.Connection, account: str, epoch: int, heard: float) -> None:
    """Extend a certificate to the moment of the last frame; one that has ended is not extended."""
    connection.execute(
        "UPDATE feed_sessions SET heard = max(heard, ?) WHERE account = ? AND epoch = ? AND ended IS NULL",
        (heard, account, epoch),
    )


def end_feed(connection: apsw.Connection, account: str, epoch: int, heard: float, reason: str) -> None:
    """End a certificate at the moment of the last frame."""
    connection.execute(
        "UPDATE feed_sessions SET heard = max(heard, ?1), ended = max(heard, ?1), reason = ?2 "
        "WHERE account = ?3 AND epoch = ?4 AND ended IS NULL",
        (heard, reason.encode("utf-8", "backslashreplace").decode(), account, epoch),
    )


def read_feed_session(connection: apsw.Connection, account: str) -> FeedSession | None:
    """Read the latest certificate; None if nobody has ever listened."""
    row = connection.execute(
        "SELECT epoch, runner, boot_id, since, since_at, heard, reason, "
        # A client that is gone has left its certificate as it was.
        "ended IS NOT NULL OR NOT EXISTS (SELECT 1 FROM runners WHERE runners.runner = feed_sessions.runner) "
        "FROM feed_sessions WHERE account = ? ORDER BY epoch DESC LIMIT 1",
        (account,),
    ).fetchone()
    return None if row is None else _read_session(row)


@decoding()
def _read_session(row: tuple[Any, ...]) -> FeedSession:
    return FeedSession(
        epoch=row[0],
        runner=row[1],
        boot_id=row[2],
        since=row[3],
        since_at=datetime.fromisoformat(row[4]),
        heard=row[5],
        is_over=bool(row[7]),
        reason=row[6],
    )
