"""What evidence means for the journal: an outcome of one exchange, as a table, and what was found elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from kiwoom_async._domain.absence import AbsenceProof
from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.health import Breach, BreachKind, HealthState
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.reconciliation import ForeignOrder
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.states import Event
from kiwoom_async._domain.vocabulary import Action, OrderStatus, ResolvedBy
from kiwoom_async._journal.records import MAY_BE_SENT_AGAIN, Finding, to_plain
from kiwoom_async._wire.codes import CodeMeaning
from kiwoom_async._wire.outcomes import Accepted, Outcome, Refused, Unclear, Unsent

NOTHING_LEFT: Final = frozenset({"RC4033", "506550"})
"""Refusals of a cancel that mean: there was nothing left to cancel (mock, real) [M]."""


def finding_of(outcome: Outcome) -> Finding:
    """Give what the journal has to write about an outcome."""
    return _FINDINGS[type(outcome)](outcome)


def came_too_late(attempt: Attempt, outcome: Outcome) -> bool:
    """Tell whether this is a cancel that the broker refused because there was nothing left to cancel."""
    is_cancel = attempt.request.action is Action.CANCEL
    return is_cancel and isinstance(outcome, Refused) and outcome.code in NOTHING_LEFT


def _accepted(outcome: Accepted) -> Finding:
    return Finding(
        Event.ACKNOWLEDGED,
        broker_order_id=outcome.broker_order_id,
        resolved_by=ResolvedBy.RESPONSE,
        is_answered=True,
        evidence={"broker_order_id": outcome.broker_order_id, "quantity": outcome.quantity},
    )


def _refused(outcome: Refused) -> Finding:
    evidence: dict[str, Any] = {
        "code": outcome.code,
        "message": outcome.message,
        "meaning": outcome.meaning.value,
    }
    if outcome.meaning is CodeMeaning.TOKEN_REFUSED:
        evidence[MAY_BE_SENT_AGAIN] = True
    return Finding(Event.REFUSED, reason=f"refused: {outcome.code}", is_answered=True, evidence=evidence)


def _unsent(outcome: Unsent) -> Finding:
    return Finding(Event.PROVEN_UNSENT, reason=outcome.reason)


def _unclear(outcome: Unclear) -> Finding:
    return Finding(Event.LOST, reason=outcome.reason, is_answered=outcome.is_answered)


_FINDINGS: Final[Mapping[type, Callable[[Any], Finding]]] = {
    Accepted: _accepted,
    Refused: _refused,
    Unsent: _unsent,
    Unclear: _unclear,
}


# ---------------------------------------------------------------- what the ledger and the feed tell

_FOUND: Final = {ResolvedBy.LEDGER: "found on the broker's ledger", ResolvedBy.EVENT: "reported by the real-time feed"}


def _may_be_late(attempt: Attempt, row: LedgerOrder, rivals: Sequence[Attempt]) -> Breach:
    """Say that a row is taken for an attempt's that is another one's if a bound is broken (A4)."""
    text = (
        f"order {row.broker_order_id} is taken for {attempt.client_order_id}, and would be the late order of "
        f"{', '.join(rival.key for rival in rivals)}, proven absent, if acceptance_bound did not hold"
    )
    return Breach(BreachKind.MAY_BE_LATE_TWIN, text)


def claim_finding(
    attempt: Attempt, row: LedgerOrder, by: ResolvedBy, rivals: Sequence[Attempt] = (), *, is_final: bool = False
) -> Finding:
    """Give what is written about a number that was found by matching.

    Args:
        attempt: Whose number it is.
        row: What was found.
        by: Where.
        rivals: Attempts proven absent whose late order it would be if a bound were broken.
        is_final: The day was over when it was found.
    """
    seen: dict[str, Any] = to_plain(row)
    seen.pop("order_types", None)
    return Finding(
        Event.ACKNOWLEDGED,
        reason=_FOUND[by],
        broker_order_id=row.broker_order_id,
        claim_day=row.day,
        resolved_by=by,
        evidence={"row": seen, **({"or_late_order_of": [rival.key for rival in rivals]} if rivals else {})},
        breaches=(_may_be_late(attempt, row, rivals),) if rivals else (),
        # What the feed has told of the number is kept beside the claim already.
        row=row if by is ResolvedBy.LEDGER else None,
        is_final=is_final,
    )


def effect_finding(status: OrderStatus) -> Finding:
    """Give what is written about a full cancel that is known by what is left of its original."""
    return Finding(
        Event.ACKNOWLEDGED,
        reason="nothing of its original is left in the book",
        resolved_by=ResolvedBy.LEDGER,
        evidence={"original_status": status.value},
    )


def absence_finding(proof: AbsenceProof) -> Finding:
    """Give what is written about a proven absence."""
    reason = "two complete looks at the broker's ledger, after every bound, show that it is not there."
    return Finding(Event.PROVEN_ABSENT, reason=reason, evidence={"proof": to_plain(proof)})


@define
class PassFindings:
    """What a pass has found so far."""

    resolved: list[str] = field(factory=list)
    foreign: list[ForeignOrder] = field(factory=list)
    closed: list[DayClose] = field(factory=list)
    alarms: list[str] = field(factory=list)
    why: dict[str, str] = field(factory=dict)
    next_look: list[float] = field(factory=list)
    breaches: list[Breach] = field(factory=list)
    told: set[str] = field(factory=set)

    def raise_alarm(self, kind: BreachKind, text: str) -> None:
        """Note that an assumption does not hold."""
        self.note(Breach(kind, text))

    def note(self, breach: Breach) -> None:
        """Note what was found about an assumption; a warning is no alarm of the pass."""
        self.alarms += [breach.text] if breach.state is HealthState.ALARM else []
        self.breaches.append(breach)

    def take(self, told: Iterable[Breach]) -> None:
        """Report what the monitors have found, kept and logged."""
        texts = [breach.text for breach in told if breach.state is HealthState.ALARM]
        self.alarms += texts
        self.told.update(texts)
