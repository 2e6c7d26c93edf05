"""What guards need to be durable and shared: the kill switch, what a day's sends count, and dry runs.

Like `permissions`, the writing functions run in the committing thread, inside a savepoint. `admit` is asked in the
transaction that permits a send, so that no two processes can both take what is left, and none can pass the switch.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import apsw
from attrs import frozen

from kiwoom_async._domain.absence import Strength
from kiwoom_async._domain.guards import (
    HELD,
    MAY_BE_RECOUNTED,
    Burden,
    KillSwitchState,
    OrderLimits,
    Original,
    Totals,
    burden_of,
    check_limits,
    halted_text,
    is_counted,
)
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action
from kiwoom_async._journal.decoding import decoding
from kiwoom_async._journal.queries import can_be_stored, read_attempt_of, read_claim_of
from kiwoom_async._journal.records import ATTEMPT_COLUMNS, from_json, read_attempt, to_json
from kiwoom_async.errors import ClientOrderIdConflict, NotSent

LONGEST_CHAIN: Final = 1_000
"""Modifies of modifies that are followed back to the order they began with. Source: our choice; what a longer chain
began with counts as not known."""


@frozen
class Terms:
    """What the sender has found out for the guards before it asks for permission.

    Attributes:
        limits: Of the client; None if it has none.
        reference_price: KRW at which to value an order without a price; None if nobody asked or nobody knows.
    """

    limits: OrderLimits | None = None
    reference_price: int | None = None


def this_process() -> str:
    """Name this process for the record of who moved the kill switch."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown user"  # a container may run a number without a name
    return f"{user}, process {os.getpid()}"


# ---------------------------------------------------------------- the kill switch


def read_switch(connection: apsw.Connection) -> KillSwitchState:
    """Read what the switch was last told."""
    row = connection.execute(
        "SELECT is_engaged, reason, by, at FROM kill_switch ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return KillSwitchState()
    with decoding():
        return KillSwitchState(bool(row[0]), row[1], row[2], datetime.fromisoformat(row[3]))


def move_switch(connection: apsw.Connection, state: KillSwitchState) -> KillSwitchState:
    """Engage or release the switch; give what it was told last. To release a released one changes nothing."""
    assert state.at is not None, "whoever moves it says when"  # noqa: S101
    before = read_switch(connection)
    if not state.is_engaged and not before.is_engaged:
        return before
    connection.execute(
        "INSERT INTO kill_switch (is_engaged, reason, by, at) VALUES (?, ?, ?, ?)",
        (int(state.is_engaged), storable(state.reason), storable(state.by), state.at.isoformat()),
    )
    return read_switch(connection)


def storable(text: str) -> str:
    """Give a text as a file can hold it."""
    # Half a surrogate pair is a valid text of Python, and no text that a file can hold.
    return text.encode("utf-8", "backslashreplace").decode()


def read_permitted(connection: apsw.Connection) -> tuple[Attempt, ...]:
    """Read the new orders and modifies, of every account, that have permission to leave and no outcome yet."""
    rows = connection.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempts INDEXED BY attempts_open "  # noqa: S608
        "WHERE state IN ('prepared', 'dispatched', 'unknown', 'candidates') AND state = 'dispatched'"
    )
    return tuple(attempt for attempt in map(read_attempt, rows) if attempt.request.action in HELD)


# ---------------------------------------------------------------- what a send counts


def admit(
    connection: apsw.Connection, client_order_id: str, account: str, request: OrderRequest, day: date, terms: Terms
) -> Burden | None:
    """Ask every guard whether a request may leave; give what it counts, None for a cancel.

    Raises:
        NotSent: The kill switch is engaged.
        LimitExceeded: A limit of the client would be exceeded.
    """
    if request.action not in HELD:
        return None
    switch = read_switch(connection)
    if switch.is_engaged:
        raise NotSent(halted_text(client_order_id, switch), client_order_id=client_order_id)
    original = None if request.action is Action.NEW else _read_original(connection, account, request)
    burden = burden_of(request, terms.reference_price, original)
    if burden is not None and terms.limits is not None:
        check_limits(
            terms.limits,
            request,
            burden,
            day=read_totals(connection, account, day),
            symbol=read_totals(connection, account, day, request.symbol),
            client_order_id=client_order_id,
        )
    return burden


def _read_original(connection: apsw.Connection, account: str, request: OrderRequest) -> Original:
    """Read what the journal knows of the order that a modify names: its price, and the most that can be left of it."""
    first = named = _read_named(connection, account, request)
    for _ in range(LONGEST_CHAIN):
        if named is None or named.quantity is not None:
            break
        named = _read_named(connection, account, named)
    return Original(None if named is None else named.quantity, None if first is None else first.price)


def _read_named(connection: apsw.Connection, account: str, request: OrderRequest) -> OrderRequest | None:
    if request.original is None or request.original_day is None:
        # Only what is rehearsed names an order without a number: one that was rehearsed, too.
        rehearsed = None if request.target is None else read_rehearsed(connection, request.target)
        return None if rehearsed is None else rehearsed.request
    claim = read_claim_of(connection, account, request.desk, request.original_day, request.original)
    attempt = None if claim is None else read_attempt_of(connection, claim.client_order_id, claim.attempt)
    return None if attempt is None or attempt.request.action is Action.CANCEL else attempt.request


def count(connection: apsw.Connection, attempt: Attempt, burden: Burden | None) -> None:
    """Count a send that has just been permitted."""
    if burden is None:
        return
    connection.execute(
        "INSERT INTO counted_sends VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
        (
            attempt.client_order_id,
            attempt.number,
            attempt.account,
            attempt.day.isoformat(),
            attempt.request.symbol,
            burden.orders,
            burden.quantity,
            None if burden.value is None else str(burden.value),
        ),
    )
    if connection.changes():
        _add(connection, attempt.account, attempt.day.isoformat(), attempt.request.symbol, burden, 1)


def recount(connection: apsw.Connection, attempt: Attempt, evidence: Mapping[str, Any]) -> None:
    """Give back what a send counts that is proven not to be on the book, and count it again if it turns up."""
    if attempt.state not in MAY_BE_RECOUNTED:
        return
    row = connection.execute(
        "SELECT account, day, symbol, orders, quantity, value, is_counted FROM counted_sends "
        "WHERE client_order_id = ? AND attempt = ?",
        (attempt.client_order_id, attempt.number),
    ).fetchone()
    should = is_counted(attempt.state, is_weak=_is_weak(attempt, evidence))
    if row is None or should == bool(row[6]):
        return
    with decoding():
        burden = Burden(row[3], row[4], None if row[5] is None else int(row[5]), None, None)
    account, day, symbol = row[:3]
    _add(connection, account, day, symbol, burden, 1 if should else -1)
    connection.execute(
        "UPDATE counted_sends SET is_counted = ? WHERE client_order_id = ? AND attempt = ?",
        (int(should), attempt.client_order_id, attempt.number),
    )


def _is_weak(attempt: Attempt, evidence: Mapping[str, Any]) -> bool:
    # Without a proof it was an operator, who has looked for himself.
    proof = evidence.get("proof") if attempt.state is Delivery.NOT_ACCEPTED else None
    return proof is not None and proof.get("strength") != Strength.STRONG


def _add(connection: apsw.Connection, account: str, day: str, symbol: str, burden: Burden, sign: int) -> None:
    for name in (symbol, ""):
        totals = _read_totals(connection, account, day, name).plus(burden, sign)
        connection.execute(
            "REPLACE INTO day_totals VALUES (?, ?, ?, ?, ?, ?, ?)",
            (account, day, name, totals.orders, totals.quantity, str(totals.value), totals.unvalued),
        )


def read_totals(connection: apsw.Connection, account: str, day: date, symbol: str = "") -> Totals:
    """Read what the sends of a day count together, of one symbol or of all."""
    return _read_totals(connection, account, day.isoformat(), symbol)


def _read_totals(connection: apsw.Connection, account: str, day: str, symbol: str) -> Totals:
    row = connection.execute(
        "SELECT orders, quantity, value, unvalued FROM day_totals WHERE account = ? AND day = ? AND symbol = ?",
        (account, day, symbol),
    ).fetchone()
    with decoding():
        return Totals() if row is None else Totals(row[0], row[1], int(row[2]), row[3])


# ---------------------------------------------------------------- dry runs


def rehearse(connection: apsw.Connection, intent: Intent, day: date, terms: Terms) -> Intent:
    """Keep a dry order under its id, if the guards would let it pass; give it as it was kept first.

    Raises:
        ClientOrderIdConflict: The id belongs to another dry order.
        NotSent: The kill switch is engaged.
        LimitExceeded: A limit of the client would be exceeded by the real orders and this one.
    """
    kept = read_rehearsed(connection, intent.client_order_id)
    if kept is not None:
        if differences := kept.differences(intent):
            raise ClientOrderIdConflict(intent.client_order_id, differences)
        return kept
    admit(connection, intent.client_order_id, intent.account, intent.request, day, terms)
    connection.execute(
        "INSERT INTO dry_orders VALUES (?, ?, ?, ?, ?, ?)",
        (
            intent.client_order_id,
            intent.account,
            to_json(intent.request),
            intent.created_at.isoformat(),
            intent.resend_within,
            intent.max_attempts,
        ),
    )
    return intent


def read_rehearsed(connection: apsw.Connection, client_order_id: str) -> Intent | None:
    """Read a dry order; None if there is none with that id."""
    if not can_be_stored(client_order_id):
        return None
    row = connection.execute("SELECT * FROM dry_orders WHERE client_order_id = ?", (client_order_id,)).fetchone()
    if row is None:
        return None
    with decoding():
        return Intent(row[0], row[1], from_json(row[2], OrderRequest), datetime.fromisoformat(row[3]), row[4], row[5])
