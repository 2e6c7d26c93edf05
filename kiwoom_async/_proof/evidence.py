"""What a run leaves behind, in the words of the history checker: the broker's book and requests, the client's journal.

Made for every judge alike: the simulation, the demonstration, the soak, and tests that kill processes.
`audit_journal` judges a run of which nothing is left but the broker and the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import apsw
from attrs import evolve

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import Answer, Ask, Attempt, Audit, BookEntry, FillHeard, Terms, Verdict, check_history
from kiwoom_async._domain.events import OrderEvent, OrderEventKind
from kiwoom_async._domain.intents import Intent
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action
from kiwoom_async._execution.answers import answer_of
from kiwoom_async._journal.queries import read_record
from kiwoom_async.errors import (
    AuthenticationError,
    NotSent,
    OrderNotAccepted,
    OutcomeUnknown,
    Refused,
    ValidationError,
)
from kiwoom_async.simulator import BookOrder, ReceivedRequest, Simulator
from kiwoom_async.simulator.catalog import ORDER_API_IDS

_ABSENT: Final = frozenset({Delivery.NOT_ACCEPTED, Delivery.REVIVED, Delivery.DUPLICATE})
_REVIVED: Final = frozenset({Delivery.REVIVED, Delivery.DUPLICATE})
_UNSENT: Final = frozenset({Delivery.PREPARED, Delivery.NOT_SENT})
_BUSY: Final = 5000


def book_entry(order: BookOrder) -> BookEntry:
    """Give an order of the simulator's book in the checker's words."""
    is_new = order.action is Action.NEW
    return BookEntry(
        broker_order_id=order.broker_order_id,
        terms=Terms(
            desk=order.desk.value,
            action=order.action.value,
            symbol=order.symbol,
            side=order.side.value,
            quantity=order.quantity,
            price=None if order.action is Action.CANCEL else order.price,
            route=None if order.desk.value == "gold" else order.route.value,
            original=order.original,
            # A modify and a cancel have those of their original, and nobody asks for them.
            order_type=order.order_type.value if is_new else None,
            stop_price=order.stop_price if is_new else None,
        ),
        client_order_id=order.idempotency_key,
        filled_quantity=order.filled_quantity,
        is_working=order.is_working,
        is_foreign=order.is_foreign,
        day=order.day.isoformat(),
        # Every judge lets broker and callers read the same monotonic clock.
        accepted_at=order.accepted_tick,
    )


def book_of(broker: Simulator, boot: float) -> list[BookEntry]:
    """List a broker's whole book, on a clock that shows 0 where the broker's monotonic one shows `boot`."""
    return [evolve(book_entry(order), accepted_at=order.accepted_tick - boot) for order in broker.all_orders]


def sends_of(requests: Iterable[ReceivedRequest]) -> list[str]:
    """List the key of every order request that arrived; "" for one without a key."""
    return [request.headers.get("idempotency-key", "") for request in requests if request.api_id in ORDER_API_IDS]


def _read(journal: Path, what: str, prefix: str) -> list[tuple[Any, ...]]:
    """Read columns of a table of the journal, of the ids that begin so; the ids come first."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(_BUSY)
        return connection.execute(
            f"SELECT client_order_id, {what} WHERE client_order_id GLOB ? ORDER BY client_order_id, 2",
            (f"{prefix}*",),
        ).fetchall()
    finally:
        connection.close()


_ATTEMPTS: Final = """\
number, state, EXISTS (
    SELECT 1 FROM history AS one
    WHERE one.client_order_id = attempts.client_order_id AND one.attempt = attempts.number
    AND one.event = 'refused' AND json_extract(one.evidence, '$.may_be_sent_again')
), EXISTS (
    SELECT 1 FROM history AS one
    WHERE one.client_order_id = attempts.client_order_id AND one.attempt = attempts.number
    AND one.event = 'proven_absent' AND json_extract(one.evidence, '$.proof.strength') = 'strong'
) FROM attempts"""


def attempts_of(journal: Path, prefix: str = "") -> list[Attempt]:
    """List every send that a journal has on record, of the ids that begin so."""
    return [
        Attempt(
            client_order_id,
            number,
            may_have_left=Delivery(state) not in _UNSENT,
            # A weak proof informs, and an operator's word is none: nothing may be sent again on either.
            is_absent=bool(is_proven) and Delivery(state) in _ABSENT,
            # A refused token is no answer to the order; every other refusal is, and nothing may follow it.
            is_turned_away=bool(is_token) and Delivery(state) is Delivery.REFUSED,
        )
        for client_order_id, number, state, is_token, is_proven in _read(journal, _ATTEMPTS, prefix)
    ]


def revived_of(journal: Path, prefix: str = "") -> frozenset[str]:
    """List the ids of which a journal says that they turned up after a proof of absence."""
    rows = _read(journal, "number, state FROM attempts", prefix)
    return frozenset(client_order_id for client_order_id, _, state in rows if Delivery(state) in _REVIVED)


def asked(intent: Intent) -> Ask:
    """Give what our client was asked for in the checker's words."""
    request = intent.request
    is_new = request.action is Action.NEW
    return Ask(
        intent.client_order_id,
        Terms(
            desk=request.desk.value,
            action=request.action.value,
            symbol=request.symbol,
            side=None if request.side is None else request.side.value,
            quantity=request.quantity,
            price=request.price,
            route=None if request.route is None else request.route.value,
            original=request.original,
            order_type=request.order_type.value if is_new and request.order_type is not None else None,
            stop_price=request.stop_price if is_new else None,
        ),
        request.target,
        most_sends=1 if intent.resend_within is None else intent.max_attempts,
    )


_VERDICTS: Final[tuple[tuple[type[Exception], Verdict], ...]] = (
    (OutcomeUnknown, Verdict.UNKNOWN),
    (TimeoutError, Verdict.UNKNOWN),
    (NotSent, Verdict.NOT_SENT),
    # Like NotSent: no order, and the same id may be used again.
    (AuthenticationError, Verdict.NOT_SENT),
    (ValidationError, Verdict.NOT_SENT),
    (OrderNotAccepted, Verdict.NOT_ACCEPTED),
    (Refused, Verdict.REFUSED),
)


def verdict_on(error: Exception) -> Verdict:
    """Say what an error means for the order; one that says nothing of it is a fault of the client."""
    return next((verdict for kind, verdict in _VERDICTS if isinstance(error, kind)), Verdict.ERROR)


def told(client_order_id: str, outcome: Order | Exception) -> Answer:
    """Give what our client told a caller in the checker's words."""
    if isinstance(outcome, Exception):
        detail = outcome.code if isinstance(outcome, Refused) else f"{type(outcome).__name__}: {outcome}"
        return Answer(client_order_id, verdict_on(outcome), detail=detail)
    return Answer(
        client_order_id,
        Verdict.ACCEPTED,
        outcome.broker_order_id,
        terms_of(outcome),
        outcome.filled_quantity,
        None if outcome.resolved_by is None else outcome.resolved_by.value,
        day=outcome.day.isoformat(),
    )


def terms_of(order: Order) -> Terms:
    """Give the fields of an order as our client reports them."""
    is_new = order.action is Action.NEW
    return Terms(
        desk=order.desk.value,
        action=order.action.value,
        symbol=order.symbol,
        side=None if order.side is None else order.side.value,
        quantity=order.quantity,
        price=order.price,
        route=None if order.route is None else order.route.value,
        original=order.original_broker_order_id,
        order_type=order.order_type.value if is_new and order.order_type is not None else None,
        stop_price=order.stop_price if is_new else None,
    )


def told_by(journal: Path) -> tuple[list[Ask], list[Answer]]:
    """Give what was asked for by way of a journal, and what it would answer everybody who asks for that again."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(_BUSY)
        names = [str(name) for (name,) in connection.execute("SELECT client_order_id FROM intents ORDER BY created_at")]
        records = [record for name in names if (record := read_record(connection, name)) is not None]
    finally:
        connection.close()
    answers = [
        told(record.intent.client_order_id, answer) for record in records if (answer := answer_of(record)) is not None
    ]
    return [asked(record.intent) for record in records], answers


def audit_journal(broker: Simulator, journal: Path, *, answers: Iterable[Answer] = (), is_over: bool = False) -> Audit:
    """Hold a journal against the book of a simulator that all its orders went to.

    Args:
        broker: Nobody else has sent requests to it.
        journal: Its ids are all that was asked for.
        answers: What callers were told, before what the journal would tell them now.
        is_over: Nothing may be unknown any more, and every fill must have been told.
    """
    asks, now = told_by(journal)
    moment = (broker.ambient or SystemAmbient()).monotonic()
    return check_history(
        asks,
        [*answers, *(evolve(answer, asked_at=moment, told_at=moment) for answer in now)],
        [book_entry(order) for order in broker.all_orders],
        sends=sends_of(broker.requests),
        attempts=attempts_of(journal),
        fills=fills_of(journal) if is_over else None,
        revived=revived_of(journal),
        is_over=is_over,
    )


def count_resent(attempts: Iterable[Attempt]) -> int:
    """Count the sends that followed a proof of absence."""
    listed = {(attempt.client_order_id, attempt.number): attempt for attempt in attempts}
    return sum(attempt.is_absent and (name, number + 1) in listed for (name, number), attempt in listed.items())


def fills_of(journal: Path, prefix: str = "") -> list[FillHeard]:
    """List the fills that a journal has told of, or will tell a listener who asks for all that ever happened."""
    return [
        FillHeard(event["client_order_id"], event["broker_order_id"], int(event["quantity"]), sequence, event["day"])
        for _, sequence, text in _read(journal, "sequence, event FROM order_events", prefix)
        if (event := json.loads(text))["kind"] == OrderEventKind.FILLED.value
    ]


def fill_heard(event: OrderEvent) -> FillHeard | None:
    """Give an event that a listener has heard in the checker's words; None for one that tells of no fill."""
    if event.kind is not OrderEventKind.FILLED:
        return None
    assert event.quantity is not None, "a fill tells how much of it is new"  # noqa: S101
    return FillHeard(
        event.client_order_id, event.broker_order_id, event.quantity, event.sequence, event.day.isoformat()
    )
