"""What an outcome of one exchange means for the journal, as a table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.states import Event
from kiwoom_async._domain.vocabulary import Action, ResolvedBy
from kiwoom_async._journal.records import MAY_BE_SENT_AGAIN, Finding
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
