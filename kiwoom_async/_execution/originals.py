"""The orders that modifies and cancels name: what is left of them, and what happened to them. Reads, never writes."""

from __future__ import annotations

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.vocabulary import Action, OrderStatus
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._journal.journal import Journal
from kiwoom_async.errors import QueryFailed, Refused


class Originals:
    """Look at the originals of modifies and cancels."""

    def __init__(self, journal: Journal, reader: LedgerReader) -> None:
        self._journal = journal
        self._reader = reader

    async def fetch_status(self, attempt: Attempt) -> OrderStatus | None:
        """Look up an order that a cancel names: FILLED or CANCELED, or None while it is open or cannot be told."""
        original = attempt.request.original
        if original is None:
            return None
        try:
            rows = await self._fetch_chain(attempt)
            row = next((row for row in rows if row.broker_order_id == original), None)
            is_modified = any(row.original == original and row.action is Action.MODIFY for row in rows)
            if row is None or is_modified or await self._fetch_leaves(row):
                return None
        except (QueryFailed, Refused):
            return None
        return OrderStatus.FILLED if row.filled_quantity >= row.quantity else OrderStatus.CANCELED

    async def find_unexplained_loss(self, attempt: Attempt) -> str:
        """Say what a modify or cancel without a row of its own may have done to its original; empty if nothing.

        The mock has been seen to list a cancel only by what it took from the original [M].
        """
        if attempt.request.original is None:
            return ""
        rows = await self._fetch_chain(attempt)
        original = next((row for row in rows if row.broker_order_id == attempt.request.original), None)
        if original is None:
            return "its original is not listed, so nothing shows that it was left alone"
        explained = sum(row.confirmed_quantity for row in rows if row.original == original.broker_order_id)
        if original.quantity > original.filled_quantity + await self._fetch_leaves(original) + explained:
            return "its original lost a quantity that no listed row explains"
        return ""

    async def _fetch_leaves(self, row: LedgerOrder) -> int:
        """Read what is left of an order in the book, from the open orders where the ledger does not tell."""
        if row.leaves_quantity is not None:
            return row.leaves_quantity
        open_orders = await self._reader.fetch_open_orders(row.desk, row.symbol)
        return next((order.leaves_quantity for order in open_orders if order.broker_order_id == row.broker_order_id), 0)

    async def _fetch_chain(self, attempt: Attempt) -> tuple[LedgerOrder, ...]:
        """Read the original of a modify or cancel and everything later of its symbol."""
        original = attempt.request.original
        assert original is not None, "asked for modifies and cancels only"  # noqa: S101
        snapshot = await self._reader.fetch_snapshot(
            attempt.request.desk.ledger, attempt.day, int(original) - 1, symbol=attempt.request.symbol
        )
        return snapshot.rows

    async def read_ancestors(self, attempt: Attempt) -> frozenset[str]:
        """Follow a chain of modifies to its root: the ledger may name any number of it."""
        numbers: list[str] = []
        number = attempt.request.original
        while number is not None and number not in numbers:
            numbers.append(number)
            claim = await self._journal.claim_of(attempt.request.desk, attempt.day, number)
            record = None if claim is None else await self._journal.find(claim.client_order_id)
            number = None if record is None else record.decisive.request.original
        return frozenset(numbers[1:])
