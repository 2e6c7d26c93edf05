"""What may be done to the journal, each as one transaction.

These functions run in the committing thread, inside a savepoint: an exception leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeAlias

import apsw
from attrs import evolve, field, frozen

from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.settings import Reliance
from kiwoom_async._domain.states import AGREEING, IN_FLIGHT, ON_THE_BOOK, SETTLED, UNRESOLVED, Delivery, Event, advance
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._journal import breaches, guards
from kiwoom_async._journal.claims import (
    Place,
    claim_holder,
    claimed_place,
    delete_claim,
    find_surprise,
    insert_claim,
    place_of,
    raise_high_water,
    read_claimed,
    read_high_water,
)
from kiwoom_async._journal.days import open_day, reopen_day, was_heard
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.lives import Hearing
from kiwoom_async._journal.queries import read_attempt_of, read_open, read_record
from kiwoom_async._journal.records import (
    ATTEMPT_COLUMNS,
    Finding,
    LedgerNews,
    OrderRecord,
    ReportNews,
    attempt_row,
    intent_row,
    read_attempt,
    to_json,
)
from kiwoom_async.errors import ClientOrderIdConflict, IllegalTransition

__all__ = [
    "Conclusion",
    "DispatchPlan",
    "Dispatched",
    "Known",
    "LedgerNews",
    "OwnerEnded",
    "Permission",
    "TwinOpen",
    "adopt_orphans",
    "conclude",
    "dispatch",
    "prepare",
    "release_lease",
    "replace",
    "take_lease",
    "withdraw",
]

_INSERT_ATTEMPT: Final = (
    f"INSERT INTO attempts ({ATTEMPT_COLUMNS}) VALUES ({', '.join('?' * len(ATTEMPT_COLUMNS.split(',')))})"  # noqa: S608
)


@frozen
class DispatchPlan:
    """Everything a durable permission to send needs.

    Attributes:
        request: What goes on the wire: the intent's request, aimed at its number.
        follows: Number of the attempt this one may follow although that one went out; 0 for none.
        waits_for_twins: An identical attempt whose outcome is not known forbids this one.
        terms: For the guards.
        relied_on: The settings of the client that sends.
    """

    intent: Intent
    request: OrderRequest
    day: date
    runner: str
    boot_id: str
    dispatched_at: datetime
    dispatched: float
    write_until: float
    follows: int = 0
    waits_for_twins: bool = True
    terms: guards.Terms = field(factory=guards.Terms)
    relied_on: Reliance | None = None


@frozen
class Dispatched:
    """The permission to send: this row is durable."""

    attempt: Attempt


@frozen
class Known:
    """The id has a history that forbids another send."""

    record: OrderRecord


@frozen
class TwinOpen:
    """An identical order is unresolved."""

    client_order_id: str


Permission: TypeAlias = Dispatched | Known | TwinOpen

_MAY_BE_FOLLOWED: Final = frozenset({Delivery.REFUSED, Delivery.NOT_ACCEPTED})
"""States after which another send is allowed to whoever holds the evidence: a refused token, a strong proof."""


def dispatch(connection: apsw.Connection, plan: DispatchPlan) -> Permission:
    """Permit one send, or say why not.

    Raises:
        ClientOrderIdConflict: The id belongs to another request.
        NotSent: The kill switch is engaged.
        LimitExceeded: A limit of the client would be exceeded.
    """
    intent = plan.intent
    record = read_record(connection, intent.client_order_id)
    if record is not None:
        _require_same(record.intent, intent)
        if not _may_send_again(record, plan):
            return Known(record)
    burden = guards.admit(connection, intent.client_order_id, intent.account, plan.request, plan.day, plan.terms)
    twin = _open_twin(connection, plan) if plan.waits_for_twins else None
    if twin is not None:
        return TwinOpen(twin)
    if record is None:
        connection.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)", intent_row(intent))
    place = place_of(intent.account, plan.request.desk, plan.day)
    open_day(connection, place)
    number = 1 if record is None else record.last.number + (record.last.state is not Delivery.PREPARED)
    attempt = Attempt(
        client_order_id=intent.client_order_id,
        number=number,
        account=intent.account,
        request=plan.request,
        state=Delivery.DISPATCHED,
        day=plan.day,
        mark=read_high_water(connection, place),
        runner=plan.runner,
        boot_id=plan.boot_id,
        dispatched_at=plan.dispatched_at,
        dispatched=plan.dispatched,
        write_until=plan.write_until,
        relied_on=_relied_on(record, plan),
    )
    if record is not None and record.last.state is Delivery.PREPARED:
        _store(connection, attempt)
    else:
        connection.execute(_INSERT_ATTEMPT, attempt_row(attempt))
    guards.count(connection, attempt, burden)
    _append(connection, attempt, Event.DISPATCHED, plan.dispatched_at, {"mark": attempt.mark})
    return Dispatched(attempt)


def _relied_on(record: OrderRecord | None, plan: DispatchPlan) -> Reliance | None:
    """Give the more cautious settings of this sender and of whoever had the order before: it is that one's, too."""
    before = None if record is None else record.last.relied_on
    return before if plan.relied_on is None else plan.relied_on.joined(before)


def _require_same(stored: Intent, asked: Intent) -> None:
    if differences := stored.differences(asked):
        raise ClientOrderIdConflict(asked.client_order_id, differences)


def _may_send_again(record: OrderRecord, plan: DispatchPlan) -> bool:
    decisive = record.decisive
    if record.may_be_sent:
        return True
    if plan.follows != decisive.number:
        return False
    # A cancel of all that is left may be repeated while the first is unknown: twice is the same as once.
    return decisive.state in _MAY_BE_FOLLOWED or (plan.request.is_repeatable and decisive.state in UNRESOLVED)


def _open_twin(connection: apsw.Connection, plan: DispatchPlan) -> str | None:
    # The first list of states is the index's, so that SQLite uses it.
    row = connection.execute(
        "SELECT client_order_id FROM attempts WHERE account = ? AND fingerprint = ? AND client_order_id <> ? "
        "AND state IN ('prepared', 'dispatched', 'unknown', 'candidates') "
        "AND state IN ('unknown', 'candidates') LIMIT 1",
        (plan.intent.account, plan.request.fingerprint, plan.intent.client_order_id),
    ).fetchone()
    return None if row is None else str(row[0])


def prepare(connection: apsw.Connection, intent: Intent, attempt: Attempt) -> Known | Dispatched:
    """Record an obligation: something to be sent once its target's number is known."""
    record = read_record(connection, intent.client_order_id)
    if record is not None:
        _require_same(record.intent, intent)
        return Known(record)
    connection.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)", intent_row(intent))
    connection.execute(_INSERT_ATTEMPT, attempt_row(attempt))
    _append(connection, attempt, None, attempt.dispatched_at, {"target": attempt.request.target})
    return Dispatched(attempt)


def replace(
    connection: apsw.Connection, attempt: Attempt, finding: Finding, plan: DispatchPlan, at: datetime
) -> Permission:
    """Close an attempt that is proven not to be on the book and permit the next one, in one transaction.

    If anything was learnt meanwhile, an acceptance above all, the evidence does not fit any more and nothing is sent.
    """
    before = _read_attempt(connection, attempt.client_order_id, attempt.number)
    conclusion = conclude(connection, attempt.client_order_id, attempt.number, finding, at)
    # A proof of absence authorizes nothing beside an assumption that was seen not to hold, by whichever process.
    is_doubted = finding.event is Event.PROVEN_ABSENT and breaches.read_doubt(connection, before) is not None
    # Only news close an attempt here: one that was settled before has given its answer already.
    if is_doubted or before.state in SETTLED or conclusion.attempt.state not in _MAY_BE_FOLLOWED:
        record = read_record(connection, attempt.client_order_id)
        assert record is not None, "it was just concluded"  # noqa: S101
        return Known(record)
    return dispatch(connection, plan)


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
    attempt = _read_attempt(connection, client_order_id, number)
    breaches.note_zombie(connection, attempt, finding, by, at)
    event = _fitting_event(connection, attempt, finding.event)
    if event is Event.PROVEN_ABSENT and finding.resolved_by is None:
        surprise = find_surprise(connection, attempt, finding.considered)
        if surprise is not None:
            # The proof was made before the feed told of an order that may be this one.
            _append(connection, attempt, None, at, {"proof_held_back_by": surprise})
            return Conclusion(attempt)
    holder = None
    if finding.broker_order_id is not None:
        holder = claim_holder(connection, _place(attempt, finding), finding.broker_order_id, attempt)
    news = ReportNews() if holder is None else _overrule(connection, attempt, finding, at)
    if news is None:
        return _contradict(
            connection,
            attempt,
            finding,
            at,
            f"order {finding.broker_order_id} is already claimed by {holder}",
            is_claimed=True,
        )
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
    _store(connection, moved)
    guards.recount(connection, moved, finding.evidence)
    if finding.broker_order_id is not None:
        news = news.followed_by(_claim(connection, moved, finding, at))
    _append(
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


def _mark_duplicate(connection: apsw.Connection, accepted: Attempt, at: datetime) -> None:
    # An earlier attempt turned up while this one was on its way: with this acceptance there are two.
    for row in connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts "  # noqa: S608
        "WHERE client_order_id = ? AND number <> ? AND state = 'revived'",
        (accepted.client_order_id, accepted.number),
    ).fetchall():
        revived = read_attempt(row)
        duplicate = evolve(revived, state=advance(revived.state, Event.DUPLICATED))
        _store(connection, duplicate)
        _append(connection, duplicate, Event.DUPLICATED, at, {"beside": accepted.broker_order_id})
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
        _store(connection, attempt)
        news = _claim(connection, attempt, finding, at)
    if finding.broker_order_id not in {None, attempt.broker_order_id}:
        return _contradict(connection, attempt, finding, at, _two_numbers(attempt, finding))
    if attempt.resolved_by is ResolvedBy.OPERATOR and finding.resolved_by is not None:
        # What the broker confirms rests on a person's word no longer, and cannot be taken back.
        attempt = evolve(attempt, resolved_by=finding.resolved_by)
        _store(connection, attempt)
    if attempt.ended is None or (finding.ended is not None and finding.ended < attempt.ended):
        # The sender itself knows better than the recovery when it was finished.
        attempt = evolve(attempt, ended=finding.ended, ended_at=finding.ended_at or attempt.ended_at)
        _store(connection, attempt)
    _append(connection, attempt, None, at, {"confirms": finding.event.value, **finding.evidence})
    return Conclusion(attempt, news=news)


def withdraw(connection: apsw.Connection, client_order_id: str, number: int, reason: str, at: datetime) -> Conclusion:
    """Take back what an operator decided: the attempt is unknown again, and its number is nobody's.

    Raises:
        IllegalTransition: It was not decided by an operator, or better evidence has come since.
    """
    attempt = _read_attempt(connection, client_order_id, number)
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
    _store(connection, moved)
    guards.recount(connection, moved, {})
    evidence = {"decided_by": by, "reason": reason, "was": attempt.state.value}
    if attempt.broker_order_id is not None:
        evidence["was_claimed"] = attempt.broker_order_id
    _append(connection, moved, Event.WITHDRAWN, at, evidence)
    return Conclusion(moved, news=news)


def _overrule(connection: apsw.Connection, attempt: Attempt, finding: Finding, at: datetime) -> ReportNews | None:
    """Take a number back that a person has given to another order, where the broker answers this one with it.

    Otherwise this one would have no row of its own, and its absence be proven while it is on the book.

    Returns:
        What strategies are to hear of it; None where the number stays the other order's.
    """
    is_open = attempt.state in UNRESOLVED | IN_FLIGHT and attempt.broker_order_id is None
    if finding.resolved_by is not ResolvedBy.RESPONSE or finding.broker_order_id is None or not is_open:
        return None
    claimed = read_claimed(connection, _place(attempt, finding), finding.broker_order_id)
    assert claimed is not None, "somebody has it"  # noqa: S101
    holder = claimed.attempt
    if holder.resolved_by is not ResolvedBy.OPERATOR or holder.state is not Delivery.ACKNOWLEDGED:
        return None
    reason = f"the broker has answered order {attempt.client_order_id} with it"
    return _withdraw(connection, holder, reason, at, by="broker", words="it is not ours").news


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
    _append(connection, attempt, None, at, evidence)
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


def _read_attempt(connection: apsw.Connection, client_order_id: str, number: int) -> Attempt:
    attempt = read_attempt_of(connection, client_order_id, number)
    if attempt is None:
        raise IllegalTransition(f"The journal has no attempt {number} of order {client_order_id!r}.")
    return attempt


def _store(connection: apsw.Connection, attempt: Attempt) -> None:
    connection.execute(
        f"REPLACE INTO attempts ({ATTEMPT_COLUMNS}) VALUES ({', '.join('?' * len(ATTEMPT_COLUMNS.split(',')))})",  # noqa: S608
        attempt_row(attempt),
    )


def _append(
    connection: apsw.Connection, attempt: Attempt, event: Event | None, at: datetime, evidence: dict[str, Any]
) -> None:
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
            _store(connection, heritage)
            event = Event.LOST if heritage.state is not attempt.state else None
            _append(connection, heritage, event, stamp.at, {"reason": _OWNER_ENDED})
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
