"""Whose the open attempts are: what senders that are gone have left behind, and leases among the living.

Like `permissions`, these functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import apsw
from attrs import evolve, frozen

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.states import Delivery, Event, advance
from kiwoom_async._journal.attempts import append_history, store_attempt
from kiwoom_async._journal.queries import read_open


@frozen
class OwnerEnded:
    """How the recovery stamps attempts whose sender is gone."""

    boot_id: str
    now: float
    at: datetime


def adopt_orphans(connection: apsw.Connection, account: str, heir: str, dead: Iterable[str], stamp: OwnerEnded) -> int:
    """Take over what senders left behind that are gone; give the count.

    A sender is gone if its lock was free (`dead`) or if it has signed off. What it had dispatched is UNKNOWN now, what
    it had prepared is the heir's. Stamps of an earlier boot mean nothing in this one, so such attempts end now.

    Where two living processes name the boot differently, an attempt whose stamps are one's is left alone by the other;
    otherwise each would end it anew in turn, and no proof would ever come.
    """
    gone = set(dead)
    living = {runner for (runner,) in connection.execute("SELECT runner FROM runners")} - gone
    connection.executemany("DELETE FROM runners WHERE runner = ?", [(runner,) for runner in gone])
    adopted = 0
    for attempt in read_open(connection, account):
        heritage = _inherit(attempt, is_orphan=attempt.runner not in living, heir=heir, stamp=stamp)
        if heritage is not None:
            store_attempt(connection, heritage)
            event = Event.LOST if heritage.state is not attempt.state else None
            append_history(connection, heritage, event, stamp.at, {"reason": _OWNER_ENDED})
            adopted += 1
    return adopted


_OWNER_ENDED: Final = "the sending process ended"


def _inherit(attempt: Attempt, *, is_orphan: bool, heir: str, stamp: OwnerEnded) -> Attempt | None:
    """Give an orphan as it is from now on; None for an attempt that is in good hands.

    Whoever stamps an attempt becomes its runner: the stamps hold as long as that one lives.
    """
    if not is_orphan:
        return None
    if attempt.state is Delivery.PREPARED:
        return evolve(attempt, runner=heir)
    if attempt.state is Delivery.DISPATCHED:
        is_same_boot = attempt.boot_id == stamp.boot_id
        attempt = attempt if is_same_boot else _dispatched_before_boot(attempt, stamp)
        # The lock may have been freed by something else than death; the first byte could leave until `write_until`.
        ended = max(stamp.now, attempt.write_until) if is_same_boot else stamp.now
        return evolve(
            attempt,
            state=advance(attempt.state, Event.LOST),
            reason=_OWNER_ENDED,
            runner=heir,
            boot_id=stamp.boot_id,
            ended=ended,
            ended_at=stamp.at + timedelta(seconds=ended - stamp.now),
        )
    if attempt.boot_id != stamp.boot_id:
        attempt = _dispatched_before_boot(attempt, stamp)
        return evolve(attempt, runner=heir, boot_id=stamp.boot_id, ended=stamp.now, ended_at=stamp.at)
    return None


def _dispatched_before_boot(attempt: Attempt, stamp: OwnerEnded) -> Attempt:
    """Give an attempt of an earlier boot with the second at which it was sent on this boot's clock, counted backwards.

    Only the wall clock tells it. Left as it was, it would look as if the clock had been set.
    """
    return evolve(attempt, dispatched=stamp.now - (stamp.at - attempt.dispatched_at).total_seconds())


def take_lease(
    connection: apsw.Connection, name: str, holder: str, *, boot_id: str, now: float, seconds: float
) -> int | None:
    """Take or renew a lease; give its epoch, or None while another holds it."""
    row = connection.execute("SELECT holder, epoch, boot_id, expires FROM leases WHERE name = ?", (name,)).fetchone()
    epoch = 1
    if row is not None:
        held_by, epoch, boot, expires = row
        if held_by != holder:
            is_alive = connection.execute("SELECT 1 FROM runners WHERE runner = ?", (held_by,)).get is not None
            if is_alive and boot == boot_id and expires > now:
                return None
            epoch += 1
    connection.execute("REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", (name, holder, epoch, boot_id, now + seconds))
    return epoch


def release_lease(connection: apsw.Connection, name: str, holder: str) -> None:
    """Give a lease back, if it is still ours."""
    connection.execute("UPDATE leases SET expires = 0 WHERE name = ? AND holder = ?", (name, holder))
