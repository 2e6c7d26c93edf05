"""What became of canceling everything at once."""

from __future__ import annotations

from enum import StrEnum, unique

from attrs import frozen

from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.vocabulary import Desk, Side
from kiwoom_async.errors import KiwoomError


@unique
class CancelOutcome(StrEnum):
    """What became of one order in `client.orders.cancel_all`."""

    CANCELED = "canceled"
    """The broker has taken what was left of it from the book."""
    FINISHED = "finished"
    """There was nothing left to cancel: filled, canceled or replaced before, or it never came onto the book."""
    UNKNOWN = "unknown"
    """It is not certain whether the cancel has arrived, or whether the order is on the book at all. The library goes
    on: a cancel of an unknown order is a durable obligation."""
    FAILED = "failed"
    """It was not canceled; `error` says why."""
    DRY = "dry"
    """The client is a dry run, and nothing was sent."""


@frozen
class CancelResult:
    """What became of one order.

    Attributes:
        desk: The desk of the order.
        symbol: Its symbol.
        side: Its side; None if nobody knows.
        client_order_id: The order's own id; None for an order of somebody else.
        broker_order_id: Its number; None if that is not known.
        cancel_id: The client order id of the cancel; None if there was no need for one.
        order: The cancel itself, where it was accepted.
        error: What the cancel met, where it was not.
    """

    outcome: CancelOutcome
    desk: Desk
    symbol: str
    side: Side | None
    client_order_id: str | None
    broker_order_id: str | None
    cancel_id: str | None = None
    order: Order | None = None
    error: Exception | None = None


@frozen
class CancelReport:
    """What became of all orders.

    Attributes:
        results: One for each order.
        failures: Views of the broker's book that could not be read, so that orders of others may be missing here.
    """

    results: tuple[CancelResult, ...] = ()
    failures: tuple[KiwoomError, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing of what was asked for can be in the book any more."""
        done = {CancelOutcome.CANCELED, CancelOutcome.FINISHED}
        return not self.failures and all(result.outcome in done for result in self.results)

    def of(self, outcome: CancelOutcome | str) -> tuple[CancelResult, ...]:
        """List the orders of one outcome."""
        return tuple(result for result in self.results if result.outcome == outcome)
