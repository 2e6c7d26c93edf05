"""The orders that modifies and cancels name: what is left of them, and what happened to them. Reads, never writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum, unique

from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.vocabulary import Action, OrderStatus
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._journal.journal import Journal


@unique
class OriginalState(StrEnum):
    """What one complete look shows of an order that a cancel names."""

    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    UNCLEAR = "unclear"
    """It is not listed, a modify may have taken the last of it, or the views do not add up."""

    @property
    def status(self) -> OrderStatus | None:
        """Give the status of an order of which nothing is left; None for the others."""
        return {
            OriginalState.FILLED: OrderStatus.FILLED,
            OriginalState.CANCELED: OrderStatus.CANCELED,
        }.get(self)


class Originals:
    """Look at the originals of modifies and cancels."""

    def __init__(self, journal: Journal, reader: LedgerReader) -> None:
        self._journal = journal
        self._reader = reader

    async def fetch_state(self, attempt: Attempt) -> OriginalState:
        """Look at the order that a cancel names.

        Raises:
            QueryFailed: The look was not complete. That says nothing about the order.
            Refused: The broker did not let us look.
        """
        snapshot = await self._fetch_chain(attempt)
        original = _find_original(attempt, snapshot.rows)
        if original is None:
            return OriginalState.UNCLEAR
        leaves = await self._fetch_leaves(original, snapshot)
        if leaves is None:
            return OriginalState.UNCLEAR
        own = await self._journal.claims(original.desk, original.day, original.number)
        requests = {number: owner.request for number, (_, owner) in own.items()}
        changes = _changes_of(original, snapshot.rows, requests)
        if leaves:
            return OriginalState.OPEN if _adds_up(original, leaves, changes) else OriginalState.UNCLEAR
        return _judge_gone(original, changes, requests, await self._read_parts(original, changes))

    async def find_unexplained_loss(self, attempt: Attempt) -> str:
        """Say what a modify or cancel without a row of its own may have done to its original; empty if nothing.

        The mock has been seen to list a cancel only by what it took from the original [M].

        Raises:
            QueryFailed: The look was not complete.
            Refused: The broker did not let us look.
        """
        if attempt.request.original is None:
            return ""
        snapshot = await self._fetch_chain(attempt)
        original = _find_original(attempt, snapshot.rows)
        if original is None:
            return "its original is not listed, so nothing shows that it was left alone"
        leaves = await self._fetch_leaves(original, snapshot)
        if leaves is None or original.size is None or original.size > leaves + _accounted_for(original, snapshot.rows):
            return "its original lost a quantity that no listed row explains"
        return ""

    async def _fetch_leaves(self, original: LedgerOrder, snapshot: Snapshot) -> int | None:
        """Read what is left of an order in the book; None where the views do not tell.

        Where the ledger does not tell (gold), it may account for all of the order. If not, the open orders tell, but
        only of orders they list: one that they do not list may be gone or not be listed yet. They are those of today,
        and on another day the number is another order's.
        """
        if original.leaves_quantity is not None:
            return original.leaves_quantity
        if _is_used_up(original, snapshot.rows):
            return 0
        if snapshot.is_final:
            return None
        for order in await self._reader.fetch_open_orders(original.desk, original.symbol):
            if order.broker_order_id == original.broker_order_id:
                return order.leaves_quantity
        is_gone = original.size is not None and _accounted_for(original, snapshot.rows) >= original.size
        return 0 if is_gone else None

    async def _read_parts(self, original: LedgerOrder, changes: tuple[LedgerOrder, ...]) -> frozenset[str]:
        """Read which modifies have left a part in the book: an event of the original, if that is ours, has said so."""
        if not any(row.action is Action.MODIFY for row in changes):
            return frozenset()
        number = original.broker_order_id
        claim = await self._journal.claim_of(original.desk, original.day, number)
        return frozenset() if claim is None else await self._journal.parts_moved(claim.client_order_id, number)

    async def _fetch_chain(self, attempt: Attempt) -> Snapshot:
        """Read the original of a modify or cancel and everything later of its symbol."""
        request = attempt.request
        assert request.original is not None, "asked for modifies and cancels only"  # noqa: S101
        return await self._reader.fetch_snapshot(
            request.desk.ledger,
            request.original_day or attempt.day,
            int(request.original) - 1,
            symbol=request.symbol,
        )

    async def read_ancestors(self, attempt: Attempt) -> frozenset[str]:
        """Follow a chain of modifies to its root: the ledger may name any number of it."""
        numbers: list[str] = []
        number = attempt.request.original
        while number is not None and number not in numbers:
            numbers.append(number)
            claim = await self._journal.claim_of(
                attempt.request.desk, attempt.request.original_day or attempt.day, number
            )
            record = None if claim is None else await self._journal.find(claim.client_order_id)
            number = None if record is None else record.speaking.request.original
        return frozenset(numbers[1:])


def _find_original(attempt: Attempt, rows: tuple[LedgerOrder, ...]) -> LedgerOrder | None:
    return next((row for row in rows if row.broker_order_id == attempt.request.original), None)


def _changes_of(
    original: LedgerOrder, rows: tuple[LedgerOrder, ...], own: Mapping[str, OrderRequest]
) -> tuple[LedgerOrder, ...]:
    """Give the modifies and cancels of an order; a row may name the root of a chain, the request of ours does not."""

    def target(row: LedgerOrder) -> str | None:
        request = own.get(row.broker_order_id)
        return row.original if request is None else request.original

    changes = (row for row in rows if row.action is not Action.NEW)
    return tuple(row for row in changes if target(row) == original.broker_order_id)


def _is_used_up(original: LedgerOrder, rows: tuple[LedgerOrder, ...]) -> bool:
    """Tell whether fills and cancels alone account for all of an order: what they have taken does not come back.

    With a modify in between, a cancel that names the root may have taken from what the modify has moved.
    """
    named = [row for row in rows if row.original == original.broker_order_id]
    is_plain = all(row.action is Action.CANCEL for row in named)
    return is_plain and original.size is not None and _accounted_for(original, rows) >= original.size


def _accounted_for(original: LedgerOrder, rows: tuple[LedgerOrder, ...]) -> int:
    """Count what was filled, and what listed cancels and modifies have taken."""
    taken = sum(row.confirmed_quantity for row in rows if row.original == original.broker_order_id)
    return original.filled_quantity + taken


def _taken(changes: Iterable[LedgerOrder], action: Action) -> int:
    return sum(row.confirmed_quantity for row in changes if row.action is action)


def _adds_up(original: LedgerOrder, leaves: int, changes: tuple[LedgerOrder, ...]) -> bool:
    """Tell whether what is listed as left is left beside what modifies have taken.

    What becomes of the remainder in the row of an order that was modified is not known [G]; a modify of a part leaves
    the rest in the book.
    """
    moved = _taken(changes, Action.MODIFY)
    return not moved or original.size is None or leaves + original.filled_quantity + moved <= original.size


def _judge_gone(
    original: LedgerOrder,
    changes: tuple[LedgerOrder, ...],
    own: Mapping[str, OrderRequest],
    parts: frozenset[str],
) -> OriginalState:
    """Say why nothing is left of an order; unclear where it may live on under the number of a modify.

    Args:
        original: Its row.
        changes: The rows of the modifies and cancels that name it.
        own: What our modifies and cancels asked for, by number.
        parts: Modifies that are known to have left something in the book.
    """
    if original.size is None:
        return OriginalState.UNCLEAR
    if original.filled_quantity >= original.size:
        return OriginalState.FILLED
    effective = [row for row in changes if row.action is Action.CANCEL and row.confirmed_quantity]
    asked = [own[row.broker_order_id].quantity for row in effective if row.broker_order_id in own]
    if None in asked:
        return OriginalState.CANCELED  # a cancel of all that was left has found something
    known = [row for row in changes if row.broker_order_id in parts]
    moves = [row for row in changes if row.action is Action.MODIFY and row not in known]
    missing = original.size - original.filled_quantity - _taken(effective, Action.CANCEL)
    missing -= _taken(known, Action.MODIFY)
    moved = _taken(moves, Action.MODIFY)
    # A modify that shows nothing as confirmed may have been refused, or be listed in a form that nobody has seen.
    is_told = all(row.confirmed_quantity for row in moves) or missing <= 0
    if (moved and missing <= moved) or not is_told:
        return OriginalState.UNCLEAR
    came_last = original.filled_quantity > 0 and missing <= 0 and len(asked) == len(effective)
    return OriginalState.FILLED if came_last else OriginalState.CANCELED
