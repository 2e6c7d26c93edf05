"""One statement of the broker about one order number, whichever way it came: what it tells, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final

from attrs import frozen

from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind
from kiwoom_async._domain.vocabulary import Action, ResolvedBy


@frozen
class Move:
    """A modify that may have moved a part of an order to its own number.

    Attributes:
        number: Of the modify.
        quantity: What it has moved, as far as that is told; what it asked for otherwise.
    """

    number: str
    quantity: int


@frozen
class Sight:
    """One statement of the broker about one order number.

    Attributes:
        source: The feed (EVENT), the ledger or the executions (LEDGER).
        quantity: Of the order; None where it does not tell.
        filled_quantity: All fills so far; None where it does not tell.
        filled_amount: KRW of these; None where it does not tell.
        is_exact: False where the amount is an average times the quantity.
        leaves_quantity: What is left in the book; None where it does not tell.
        kind: With a report: what it says happened.
        fill_quantity, fill_price, execution_id: With a report of a fill: that single one.
        at: The broker's clock; None where it does not tell.
        reason: Why it was refused.
        is_final: The day is over, so what is left has expired.
        replaced_by: Number of the modify that took what was left.
        moves: Modifies of a part of which no event has told yet; they explain what is not left any more.
        taken: What modifies and cancels have taken, as far as their rows tell; asked only where it does not tell what
            is left.
    """

    source: ResolvedBy
    quantity: int | None = None
    filled_quantity: int | None = None
    filled_amount: Decimal | None = None
    is_exact: bool = True
    leaves_quantity: int | None = None
    kind: ReportKind | None = None
    fill_quantity: int | None = None
    fill_price: int | None = None
    execution_id: str | None = None
    at: datetime | None = None
    reason: str = ""
    is_final: bool = False
    replaced_by: str | None = None
    moves: tuple[Move, ...] = ()
    taken: int = 0

    @classmethod
    def of_report(cls, report: OrderReport) -> Sight:
        """See what a report of the feed says."""
        amount = None if report.filled_amount is None else Decimal(report.filled_amount)
        if amount is None and report.fill_price is not None and report.fill_quantity == report.filled_quantity:
            amount = Decimal(report.fill_price * report.filled_quantity)  # the first fill is all there is
        # A report that is not about a fill may leave the total empty, whatever was filled before [M, acceptances].
        tells_fills = bool(report.filled_quantity) or report.filled_amount == 0
        return cls(
            source=ResolvedBy.EVENT,
            quantity=report.quantity or None,
            filled_quantity=report.filled_quantity if tells_fills else None,
            filled_amount=amount if report.filled_quantity else None,
            leaves_quantity=_LEAVES.get(report.kind, _leaves_as_told)(report),
            kind=report.kind,
            fill_quantity=report.fill_quantity,
            fill_price=report.fill_price,
            execution_id=report.execution_id,
            at=report.at,
            reason=report.reason,
        )

    @classmethod
    def of_row(cls, row: LedgerOrder, *, is_final: bool = False, taken: int = 0) -> Sight:
        """See what a row of the ledger says.

        Args:
            row: It.
            is_final: The day was over when the row was read.
            taken: What the rows of modifies and cancels say that they took from it.
        """
        return cls(
            source=ResolvedBy.LEDGER,
            quantity=row.size,
            filled_quantity=row.filled_quantity,
            filled_amount=_multiply(row.average_fill_price, row.filled_quantity),
            is_exact=False,
            leaves_quantity=row.leaves_quantity,
            is_final=is_final,
            taken=taken,
        )

    @classmethod
    def of_execution(cls, executed: ExecutedOrder) -> Sight:
        """See what a row of the executions says."""
        return cls(
            source=ResolvedBy.LEDGER,
            quantity=executed.quantity or None,
            filled_quantity=executed.filled_quantity,
            filled_amount=_multiply(executed.average_fill_price, executed.filled_quantity),
            is_exact=False,
            leaves_quantity=executed.leaves_quantity,
        )


def _multiply(average: Decimal | None, quantity: int) -> Decimal | None:
    return None if average is None else average * quantity


def _leaves_as_told(report: OrderReport) -> int | None:
    return report.leaves_quantity


def _leaves_of_acceptance(report: OrderReport) -> int | None:
    # Nothing can have left the book before it was there.
    return report.leaves_quantity or None


def _leaves_of_confirmation(report: OrderReport) -> int | None:
    # Of a modify it is not known whether 0 is said of the new order or of what the confirmation has used up.
    return None if report.action is Action.MODIFY else report.leaves_quantity


_LEAVES: Final[dict[ReportKind, Callable[[OrderReport], int | None]]] = {
    ReportKind.ACCEPTED: _leaves_of_acceptance,
    ReportKind.CONFIRMED: _leaves_of_confirmation,
}


def has_taken_effect(told: OrderReport | LedgerOrder) -> bool:
    """Tell whether a statement about a modify or cancel says that it took something from its original."""
    if told.action is Action.NEW:
        return False
    return told.confirmed_quantity > 0 if isinstance(told, LedgerOrder) else told.kind is ReportKind.CONFIRMED


def effect_on_original(told: OrderReport | LedgerOrder, *, is_whole: bool) -> Sight | None:
    """Give what a modify or cancel that has taken effect says of its original.

    Args:
        told: See `has_taken_effect`.
        is_whole: It is ours and was asked for all that is left.

    Returns:
        None where only the original's own reports and rows tell what is left of it.
    """
    if not is_whole:
        return None
    is_row = isinstance(told, LedgerOrder)
    return Sight(
        source=ResolvedBy.LEDGER if is_row else ResolvedBy.EVENT,
        leaves_quantity=0,
        at=None if isinstance(told, LedgerOrder) else told.at,
        replaced_by=told.broker_order_id if told.action is Action.MODIFY else None,
    )
