"""Identical orders: which of them has which number is a name and no fact, unless the broker itself has said it.

Like `permissions`, these functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

from typing import Final

import apsw
from attrs import evolve

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.states import UNRESOLVED, Delivery
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._journal.decoding import decoding

INFERRED: Final = frozenset({ResolvedBy.LEDGER, ResolvedBy.EVENT})
"""Evidence about all that is unresolved together: how many of some orders are on the book, and not who said so."""


def has_open_twin(connection: apsw.Connection, attempt: Attempt) -> bool:
    """Tell whether an attempt identical to a settled one is open: a row that looks like both may be its."""
    # The index's states. What is prepared has not left; it names no number yet, and so is nobody's twin.
    row = connection.execute(
        "SELECT 1 FROM attempts WHERE account = ? AND fingerprint = ? "
        "AND state IN ('prepared', 'dispatched', 'unknown', 'candidates') LIMIT 1",
        (attempt.account, attempt.request.fingerprint),
    ).fetchone()
    return row is not None


def is_name_of(connection: apsw.Connection, attempt: Attempt, holder: Attempt, *, is_newer: bool) -> bool:
    """Tell whether a number that the broker answers an attempt with is a twin's in name only.

    That is so if evidence gave it to the twin when it might as well have given it to this one: both were unresolved,
    and one of them had to be chosen. In every other case the broker has said two things (A8), or the number is one that
    this attempt cannot have.

    Args:
        connection: Of the journal.
        attempt: What is answered.
        holder: What has the number.
        is_newer: The number is above all that were known when the attempt was sent.
    """
    is_choice = holder.resolved_by in INFERRED and holder.request.fingerprint == attempt.request.fingerprint
    is_open = attempt.state in UNRESOLVED or attempt.resolved_by in INFERRED
    # What the two windows have in common is reckoned on one clock, and within one day of numbers.
    is_comparable = (attempt.boot_id, attempt.day) == (holder.boot_id, holder.day)
    if not (is_choice and is_open and is_newer and is_comparable) or None in {attempt.ended, holder.ended}:
        return False
    return _were_open(connection, attempt, holder) and not _is_confirmed(connection, holder)


def _were_open(connection: apsw.Connection, one: Attempt, other: Attempt) -> bool:
    """Tell whether two attempts were unresolved when the first of them was found: the order of the history tells."""
    pair = (one.client_order_id, one.number), (other.client_order_id, other.number)
    found = [
        connection.execute(
            "SELECT max(sequence) FROM history WHERE client_order_id = ? AND attempt = ? AND event = 'acknowledged'",
            place,
        ).get
        for place in pair
    ]
    first = min((sequence for sequence in found if sequence is not None), default=0)
    before = [
        connection.execute(
            "SELECT state FROM history WHERE client_order_id = ? AND attempt = ? AND sequence < ? "
            "ORDER BY sequence DESC LIMIT 1",
            (*place, first),
        ).get
        for place in pair
    ]
    with decoding():
        return all(state is not None and Delivery(state) in UNRESOLVED for state in before)


def _is_confirmed(connection: apsw.Connection, holder: Attempt) -> bool:
    """Tell whether the broker has answered the holder itself with its number."""
    row = connection.execute(
        "SELECT 1 FROM history WHERE client_order_id = ? AND attempt = ? "
        "AND json_extract(evidence, '$.confirms') = 'acknowledged' "
        "AND coalesce(json_extract(evidence, '$.by'), 'response') = 'response' LIMIT 1",
        (holder.client_order_id, holder.number),
    ).fetchone()
    return row is not None


def stand_in(attempt: Attempt, holder: Attempt, number: str) -> Attempt:
    """Give an unresolved attempt as it is from now on: it stands for the send of the twin that has its number.

    So it is on the book whenever either of the two sends can be, and what it relied on is what both did.
    """
    assert attempt.ended is not None, "see is_name_of"  # noqa: S101
    assert holder.ended is not None, "see is_name_of"  # noqa: S101
    first = attempt if attempt.dispatched < holder.dispatched else holder
    last = attempt if attempt.ended > holder.ended else holder
    relied_on = attempt.relied_on if holder.relied_on is None else holder.relied_on.joined(attempt.relied_on)
    return evolve(
        attempt,
        reason=f"it was answered with {number}, which its twin has: nobody can tell the two orders apart",
        mark=min(attempt.mark, holder.mark),
        dispatched=first.dispatched,
        dispatched_at=first.dispatched_at,
        ended=last.ended,
        ended_at=last.ended_at,
        relied_on=relied_on,
    )
