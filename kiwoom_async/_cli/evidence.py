"""What a run leaves behind, in the words of the history checker: the broker's book and requests, the client's journal.

Made for every judge alike: the demonstration, the soak, and tests that kill processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import apsw

from kiwoom_async._audit import Attempt, BookEntry, FillHeard, Terms
from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action
from kiwoom_async.simulator import BookOrder, ReceivedRequest
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
    )


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


def attempts_of(journal: Path, prefix: str = "") -> list[Attempt]:
    """List every send that a journal has on record, of the ids that begin so."""
    return [
        Attempt(
            client_order_id,
            number,
            may_have_left=Delivery(state) not in _UNSENT,
            is_absent=Delivery(state) in _ABSENT,
            is_turned_away=Delivery(state) is Delivery.REFUSED,
        )
        for client_order_id, number, state in _read(journal, "number, state FROM attempts", prefix)
    ]


def revived_of(journal: Path, prefix: str = "") -> frozenset[str]:
    """List the ids of which a journal says that they turned up after a proof of absence."""
    rows = _read(journal, "number, state FROM attempts", prefix)
    return frozenset(client_order_id for client_order_id, _, state in rows if Delivery(state) in _REVIVED)


def count_resent(attempts: Iterable[Attempt]) -> int:
    """Count the sends that followed a proof of absence."""
    listed = {(attempt.client_order_id, attempt.number): attempt for attempt in attempts}
    return sum(attempt.is_absent and (name, number + 1) in listed for (name, number), attempt in listed.items())


def fills_of(journal: Path, prefix: str = "") -> list[FillHeard]:
    """List the fills that a journal has told of, or will tell a listener who asks for all that ever happened."""
    events: list[tuple[int, dict[str, Any]]] = [
        (sequence, json.loads(event))
        for _, sequence, event in _read(journal, "sequence, event FROM order_events", prefix)
    ]
    return [
        FillHeard(event["client_order_id"], event["broker_order_id"], int(event["quantity"]), sequence, event["day"])
        for sequence, event in events
        if event["kind"] == OrderEventKind.FILLED.value
    ]
