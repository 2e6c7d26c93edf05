"""What a reconciliation found, for the people who run it."""

from __future__ import annotations

from datetime import date, datetime

from attrs import frozen

from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.states import Delivery


@frozen
class UnresolvedOrder:
    """An order whose outcome is not known.

    Attributes:
        state: UNKNOWN, CANDIDATES, UNRESOLVED_AT_CLOSE, or DISPATCHED and PREPARED while it is still being worked on.
        since: When it was sent.
        why: What keeps it open, in words.
        candidates: Numbers on the broker's book that it may be.
    """

    client_order_id: str
    attempt: int
    state: Delivery
    since: datetime
    why: str
    candidates: tuple[str, ...] = ()


@frozen
class ForeignOrder:
    """An order on the account that is not ours.

    Attributes:
        channel: The broker's words for where it came from.
    """

    day: date
    broker_order_id: str
    symbol: str
    channel: str

    @classmethod
    def of(cls, row: LedgerOrder) -> ForeignOrder:
        """Describe a row of the ledger."""
        return cls(row.day, row.broker_order_id, row.symbol, row.channel)


@frozen
class ReconciliationReport:
    """One full pass over everything unresolved.

    Attributes:
        resolved: Client order ids that got an answer in this pass.
        unresolved: What is still unknown, and why.
        foreign: Orders of others seen in this pass.
        alarms: Broken assumptions, in words; an empty tuple is what you want.
        queries: Requests to the broker that it took.
        closed: Days whose books were closed in this pass.
    """

    resolved: tuple[str, ...] = ()
    unresolved: tuple[UnresolvedOrder, ...] = ()
    foreign: tuple[ForeignOrder, ...] = ()
    alarms: tuple[str, ...] = ()
    queries: int = 0
    closed: tuple[DayClose, ...] = ()
