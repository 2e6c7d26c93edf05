"""Permissions to send: each is a durable row before the first byte leaves, and one transaction.

These functions run in the committing thread, inside a savepoint: an exception leaves nothing behind.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, TypeAlias

import apsw
from attrs import field, frozen

from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.settings import Reliance
from kiwoom_async._domain.states import SETTLED, UNRESOLVED, Delivery, Event
from kiwoom_async._journal import breaches, guards
from kiwoom_async._journal.attempts import append_history, insert_attempt, require_attempt, store_attempt
from kiwoom_async._journal.claims import place_of, read_high_water
from kiwoom_async._journal.conclusions import conclude
from kiwoom_async._journal.days import open_day
from kiwoom_async._journal.queries import read_record
from kiwoom_async._journal.records import Finding, OrderRecord, intent_row
from kiwoom_async.errors import ClientOrderIdConflict


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
        store_attempt(connection, attempt)
    else:
        insert_attempt(connection, attempt)
    guards.count(connection, attempt, burden)
    append_history(connection, attempt, Event.DISPATCHED, plan.dispatched_at, {"mark": attempt.mark})
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
    insert_attempt(connection, attempt)
    append_history(connection, attempt, None, attempt.dispatched_at, {"target": attempt.request.target})
    return Dispatched(attempt)


def replace(
    connection: apsw.Connection, attempt: Attempt, finding: Finding, plan: DispatchPlan, at: datetime
) -> Permission:
    """Close an attempt that is proven not to be on the book and permit the next one, in one transaction.

    If anything was learnt meanwhile, an acceptance above all, the evidence does not fit any more and nothing is sent.
    """
    before = require_attempt(connection, attempt.client_order_id, attempt.number)
    conclusion = conclude(connection, attempt.client_order_id, attempt.number, finding, at)
    # A proof of absence authorizes nothing beside an assumption that was seen not to hold, by whichever process.
    is_doubted = finding.event is Event.PROVEN_ABSENT and breaches.read_doubt(connection, before) is not None
    # Only news close an attempt here: one that was settled before has given its answer already.
    if is_doubted or before.state in SETTLED or conclusion.attempt.state not in _MAY_BE_FOLLOWED:
        record = read_record(connection, attempt.client_order_id)
        assert record is not None, "it was just concluded"  # noqa: S101
        return Known(record)
    return dispatch(connection, plan)
