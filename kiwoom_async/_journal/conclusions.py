"""What was learnt about an attempt, written in one transaction: state, claim of a number, history, findings.

Like `permissions`, these functions run in the committing thread, inside a savepoint.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import apsw
from attrs import evolve, field, frozen

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.states import AGREEING, IN_FLIGHT, ON_THE_BOOK, UNRESOLVED, Delivery, Event, advance
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._journal import breaches, guards
from kiwoom_async._journal.attempts import append_history, require_attempt, store_attempt
from kiwoom_async._journal.claims import (
    Place,
    claimed_place,
    delete_claim,
    find_surprise,
    insert_claim,
    place_of,
    raise_high_water,
    read_claimed,
)
from kiwoom_async._journal.days import reopen_day, was_heard
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.lives import Hearing
from kiwoom_async._journal.records import ATTEMPT_COLUMNS, Finding, ReportNews, read_attempt
from kiwoom_async._journal.twins import INFERRED, has_open_twin, is_name_of, stand_in
from kiwoom_async.errors import IllegalTransition


@frozen
class Conclusion:
    """What became of a finding.

    Attributes:
        attempt: As it is now.
        contradiction: Set where the finding contradicts definite evidence; the state did not move.
        news: What the broker had told of its number before.
    """

    attempt: Attempt
    contradiction: str | None = None
    news: ReportNews = field(factory=ReportNews)


def conclude(
    connection: apsw.Connection,
    client_order_id: str,
    number: int,
    finding: Finding,
    at: datetime,
    *,
    by: str | None = None,
) -> Conclusion:
    """Write what was learnt about an attempt: state, claim, history, in one transaction.

    Args:
        connection: Of the journal.
        client_order_id: The order.
        number: Which send of it.
        finding: What was learnt.
        at: Our clock.
        by: The client that tells it; None where that does not matter.

    Raises:
        IllegalTransition: The event does not fit the state and does not contradict it either.
    """
    attempt = require_attempt(connection, client_order_id, number)
    breaches.note_zombie(connection, attempt, finding, by, at)
    event = _fitting_event(connection, attempt, finding.event)
    news = ReportNews()
    holder = _find_holder(connection, attempt, finding)
    overtaken_by = _find_later_news(connection, attempt, finding, holder)
    if overtaken_by:
        append_history(connection, attempt, None, at, overtaken_by)
        return Conclusion(attempt)
    if holder is not None:
        if not _outranks(attempt, finding, holder):
            return _leave_with(connection, attempt, finding, holder, at)
        reason = f"the broker has answered order {attempt.client_order_id} with it"
        news = _withdraw(connection, holder, reason, at, by="broker", words="it is not ours").news
    if (attempt.state, event) in AGREEING or _is_idle_repetition(attempt, event):
        return _agree(connection, attempt, finding, at)
    if finding.broker_order_id is not None and attempt.broker_order_id not in {None, finding.broker_order_id}:
        return _contradict(connection, attempt, finding, at, _two_numbers(attempt, finding))
    try:
        state = advance(attempt.state, event)
    except IllegalTransition as error:
        return _contradict(connection, attempt, finding, at, str(error))
    moved = evolve(
        attempt,
        state=state,
        reason=finding.reason,
        ended=attempt.ended if finding.ended is None else finding.ended,
        ended_at=attempt.ended_at if finding.ended_at is None else finding.ended_at,
        is_answered=attempt.is_answered or finding.is_answered,
        broker_order_id=finding.broker_order_id or attempt.broker_order_id,
        resolved_by=finding.resolved_by or attempt.resolved_by,
    )
    store_attempt(connection, moved)
    guards.recount(connection, moved, finding.evidence)
    if finding.broker_order_id is not None:
        news = news.followed_by(_claim(connection, moved, finding, at))
    append_history(
        connection,
        moved,
        event,
        at,
        {**finding.evidence, **({"reason": finding.reason} if finding.reason else {})},
    )
    breaches.note_breaches(connection, moved.account, finding.breaches, at)
    breaches.note_late(connection, moved, at)
    if moved.state in ON_THE_BOOK:
        breaches.note_fallen_number(connection, moved, finding, at)
        _mark_duplicate(connection, moved, at)
    return Conclusion(moved, news=news)


def _find_later_news(
    connection: apsw.Connection, attempt: Attempt, finding: Finding, holder: Attempt | None
) -> dict[str, Any]:
    """Say what has overtaken a conclusion since it was drawn; empty if nothing has, or if it was not drawn but told."""
    if finding.event is Event.PROVEN_ABSENT and finding.resolved_by is None:
        surprise = find_surprise(connection, attempt, finding.considered)
        if surprise is not None:
            # The proof was made before the feed told of an order that may be this one.
            return {"proof_held_back_by": surprise}
    is_match = finding.event is Event.ACKNOWLEDGED and finding.resolved_by in INFERRED
    if is_match and _is_overtaken(connection, attempt, finding, holder):
        return {"match_overtaken": finding.broker_order_id}
    return {}


def _is_overtaken(connection: apsw.Connection, attempt: Attempt, finding: Finding, holder: Attempt | None) -> bool:
    """Tell whether the broker has answered since an order was matched with an attempt, and the order is explained.

    The matching chose among possible worlds, and with the answer there are others: the number is another attempt's by
    its own answer, or this attempt has its own end and an open twin may have the order. The next look says whose it is.
    A full cancel that came too late has had a forerunner, ours or a person's, which the row may be.
    """
    if holder is not None and holder.resolved_by is ResolvedBy.RESPONSE:
        return True
    has_another_end = attempt.state in {Delivery.REFUSED, Delivery.NOT_SENT} or (
        attempt.resolved_by is ResolvedBy.RESPONSE and attempt.broker_order_id not in {None, finding.broker_order_id}
    )
    return has_another_end and (has_open_twin(connection, attempt) or _came_after_the_end(connection, attempt))


def _came_after_the_end(connection: apsw.Connection, attempt: Attempt) -> bool:
    """Tell whether a full cancel names an order of ours of which nothing is left."""
    request = attempt.request
    if not request.is_repeatable or request.original is None:
        return False
    place = place_of(attempt.account, request.desk, request.original_day or attempt.day)
    original = read_claimed(connection, place, request.original)
    return original is not None and original.life.is_finished


def _mark_duplicate(connection: apsw.Connection, accepted: Attempt, at: datetime) -> None:
    # An earlier attempt turned up while this one was on its way: with this acceptance there are two.
    for row in connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts "  # noqa: S608
        "WHERE client_order_id = ? AND number <> ? AND state = 'revived'",
        (accepted.client_order_id, accepted.number),
    ).fetchall():
        revived = read_attempt(row)
        duplicate = evolve(revived, state=advance(revived.state, Event.DUPLICATED))
        store_attempt(connection, duplicate)
        append_history(connection, duplicate, Event.DUPLICATED, at, {"beside": accepted.broker_order_id})
        breaches.note_late(connection, duplicate, at)


def _two_numbers(attempt: Attempt, finding: Finding) -> str:
    return f"order {finding.broker_order_id} is reported for it, but {attempt.broker_order_id} is known"


def _fitting_event(connection: apsw.Connection, attempt: Attempt, event: Event) -> Event:
    # Late evidence of an acceptance after a proof of absence: revived, or a duplicate if a resend is on the book.
    if event is not Event.ACKNOWLEDGED or attempt.state is not Delivery.NOT_ACCEPTED:
        return event
    others = connection.execute(
        "SELECT state FROM attempts WHERE client_order_id = ? AND number <> ?",
        (attempt.client_order_id, attempt.number),
    )
    with decoding():
        return Event.DUPLICATED if any(Delivery(state) in ON_THE_BOOK for (state,) in others) else Event.REAPPEARED


def _is_idle_repetition(attempt: Attempt, event: Event) -> bool:
    """Tell whether a full cancel that was sent again did nothing, because an earlier send has done its work.

    Both are one cancel, and the row that was found for it may have been taken for the later send's.
    """
    is_again = attempt.request.is_repeatable and attempt.number > 1
    return is_again and attempt.state is Delivery.ACKNOWLEDGED and event in {Event.REFUSED, Event.PROVEN_UNSENT}


def _agree(connection: apsw.Connection, attempt: Attempt, finding: Finding, at: datetime) -> Conclusion:
    news = ReportNews()
    if finding.broker_order_id is not None and attempt.state in ON_THE_BOOK and attempt.broker_order_id is None:
        # A cancel that was known by its effect alone gets its number.
        attempt = evolve(attempt, broker_order_id=finding.broker_order_id)
        store_attempt(connection, attempt)
        news = _claim(connection, attempt, finding, at)
    if finding.broker_order_id not in {None, attempt.broker_order_id}:
        return _contradict(connection, attempt, finding, at, _two_numbers(attempt, finding))
    if attempt.resolved_by is ResolvedBy.OPERATOR and finding.resolved_by is not None:
        # What the broker confirms rests on a person's word no longer, and cannot be taken back.
        attempt = evolve(attempt, resolved_by=finding.resolved_by)
        store_attempt(connection, attempt)
    if attempt.ended is None or (finding.ended is not None and finding.ended < attempt.ended):
        # The sender itself knows better than the recovery when it was finished.
        attempt = evolve(attempt, ended=finding.ended, ended_at=finding.ended_at or attempt.ended_at)
        store_attempt(connection, attempt)
    by = {} if finding.resolved_by is None else {"by": finding.resolved_by.value}
    append_history(connection, attempt, None, at, {"confirms": finding.event.value, **by, **finding.evidence})
    return Conclusion(attempt, news=news)


def withdraw(connection: apsw.Connection, client_order_id: str, number: int, reason: str, at: datetime) -> Conclusion:
    """Take back what an operator decided: the attempt is unknown again, and its number is nobody's.

    Raises:
        IllegalTransition: It was not decided by an operator, or better evidence has come since.
    """
    attempt = require_attempt(connection, client_order_id, number)
    if attempt.resolved_by is not ResolvedBy.OPERATOR:
        raise IllegalTransition(
            f"Order {client_order_id!r} is {attempt.state.value!r} and not by an operator's verdict; there is nothing "
            "to take back."
        )
    return _withdraw(connection, attempt, reason, at, by="operator", words="an operator took back that it is ours")


def _withdraw(
    connection: apsw.Connection, attempt: Attempt, reason: str, at: datetime, *, by: str, words: str
) -> Conclusion:
    news = ReportNews()
    if attempt.broker_order_id is not None:
        news = _disown(connection, attempt, f"{words}: {reason}", at)
    moved = evolve(
        attempt,
        state=advance(attempt.state, Event.WITHDRAWN),
        reason=reason,
        broker_order_id=None,
        resolved_by=None,
    )
    store_attempt(connection, moved)
    guards.recount(connection, moved, {})
    evidence = {"decided_by": by, "reason": reason, "was": attempt.state.value}
    if attempt.broker_order_id is not None:
        evidence["was_claimed"] = attempt.broker_order_id
    append_history(connection, moved, Event.WITHDRAWN, at, evidence)
    return Conclusion(moved, news=news)


# ---------------------------------------------------------------- a number that another attempt has


def _find_holder(connection: apsw.Connection, attempt: Attempt, finding: Finding) -> Attempt | None:
    """Find the other attempt that has the number of a finding; None if it is free or the attempt's."""
    if finding.broker_order_id is None:
        return None
    claimed = read_claimed(connection, _place(attempt, finding), finding.broker_order_id)
    return None if claimed is None or claimed.attempt.key == attempt.key else claimed.attempt


def _outranks(attempt: Attempt, finding: Finding, holder: Attempt) -> bool:
    """Tell whether the broker answers an attempt with a number that a person has given to another one.

    Otherwise this one would have no row of its own, and its absence be proven while it is on the book.
    """
    is_open = attempt.state in UNRESOLVED | IN_FLIGHT and attempt.broker_order_id is None
    is_a_persons = holder.resolved_by is ResolvedBy.OPERATOR and holder.state is Delivery.ACKNOWLEDGED
    return finding.resolved_by is ResolvedBy.RESPONSE and is_open and is_a_persons


def _leave_with(
    connection: apsw.Connection, attempt: Attempt, finding: Finding, holder: Attempt, at: datetime
) -> Conclusion:
    """Leave a number with the attempt that has it: as a name if they are twins, as a contradiction if not."""
    number = finding.broker_order_id
    assert number is not None, "somebody has it"  # noqa: S101
    is_newer = finding.claim_day not in {None, attempt.day} or int(number) > attempt.mark
    is_told = finding.event is Event.ACKNOWLEDGED and finding.resolved_by is ResolvedBy.RESPONSE
    if not (is_told and is_name_of(connection, attempt, holder, is_newer=is_newer)):
        text = f"order {number} is already claimed by {holder.client_order_id!r}"
        return _contradict(connection, attempt, finding, at, text, is_claimed=True)
    if attempt.state in UNRESOLVED:
        attempt = stand_in(attempt, holder, number)
        store_attempt(connection, attempt)
    append_history(connection, attempt, None, at, {"answered_with": number, **finding.evidence})
    return Conclusion(attempt)


def _disown(connection: apsw.Connection, attempt: Attempt, text: str, at: datetime) -> ReportNews:
    place = claimed_place(connection, attempt)
    assert place is not None, "it has a number"  # noqa: S101
    hearing = Hearing(connection, at)
    assert attempt.broker_order_id is not None  # noqa: S101
    hearing.disown(place, attempt.broker_order_id, text)
    delete_claim(connection, place, attempt.broker_order_id)
    return hearing.news


def _contradict(
    connection: apsw.Connection,
    attempt: Attempt,
    finding: Finding,
    at: datetime,
    text: str,
    *,
    is_claimed: bool = False,
) -> Conclusion:
    breaches.note_contradiction(connection, attempt, finding, text, at, is_claimed=is_claimed)
    evidence = {"contradiction": text, "event": finding.event.value, **finding.evidence}
    append_history(connection, attempt, None, at, evidence)
    return Conclusion(attempt, contradiction=text)


_TELLS_NUMBERS: Final = frozenset({ResolvedBy.RESPONSE, ResolvedBy.LEDGER})
"""Evidence that a number exists. One that a person mistyped, or a strange one among the feed's, would make every order
that is lost afterwards look older than its mark: proven absent, and sent again, while it is on the book."""


def _claim(connection: apsw.Connection, attempt: Attempt, finding: Finding, at: datetime) -> ReportNews:
    """Give an attempt its number, and tell what the broker has said of that number so far."""
    number = finding.broker_order_id
    assert number is not None  # noqa: S101
    place = _place(attempt, finding)
    hearing = Hearing(connection, at)
    source = finding.resolved_by or attempt.resolved_by or ResolvedBy.RESPONSE
    if source in _TELLS_NUMBERS:
        raise_high_water(connection, place, int(number))
    if insert_claim(connection, place, number, attempt, at):
        reopen_day(connection, place)
        hearing.begin(place, number, source)
    if finding.row is not None:
        hearing.take_row(place, finding.row, frozenset(), is_final=finding.is_final)
    if not was_heard(connection, attempt):
        hearing.doubt(place, number)
    return hearing.news


def _place(attempt: Attempt, finding: Finding) -> Place:
    return place_of(attempt.account, attempt.request.desk, finding.claim_day or attempt.day)
