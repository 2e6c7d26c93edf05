"""What the journal's record of an order means for whoever asked: an order, an error, or nothing yet. Pure."""

from __future__ import annotations

from typing import Any, Final

from kiwoom_async._domain.absence import AbsenceProof, Strength
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.states import ON_THE_BOOK, Delivery
from kiwoom_async._domain.vocabulary import Action, OrderStatus
from kiwoom_async._journal.records import DOUBT, Claim, OrderRecord, from_plain
from kiwoom_async._wire.codes import CodeMeaning
from kiwoom_async._wire.requests import order_api_id
from kiwoom_async.errors import (
    AmbiguousMatch,
    AuthenticationError,
    InvalidRequest,
    KiwoomError,
    NotSent,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
    Refused,
)

_STATUS_WHEN_ACKNOWLEDGED: Final = {
    Action.NEW: OrderStatus.WORKING,
    Action.MODIFY: OrderStatus.WORKING,
    Action.CANCEL: OrderStatus.CANCELED,
}

_REFUSALS: Final[dict[CodeMeaning, type[Refused]]] = {
    CodeMeaning.BUSINESS_REFUSAL: OrderRefused,
    CodeMeaning.INPUT_ERROR: InvalidRequest,
    CodeMeaning.TOKEN_REFUSED: AuthenticationError,
    CodeMeaning.ACCESS_REFUSED: AuthenticationError,
}

_STRENGTHS: Final = {
    Strength.STRONG: "The proof is strong.",
    Strength.WEAK: (
        "The proof is weak: nothing in the ledger is newer than this order, so a stale copy cannot be excluded, and it "
        "was not sent again. Look at Kiwoom's own screen before you order anew."
    ),
}

_DOUBTED: Final = (
    "The proof is weak: something that it rests on was seen not to hold ({}), so it was not sent again. Look at "
    "Kiwoom's own screen before you order anew."
)

_MAY_HAVE_REACHED: Final = frozenset(Delivery) - {Delivery.PREPARED, Delivery.NOT_SENT}


def answer_of(record: OrderRecord) -> Order | KiwoomError | None:
    """Give the order, or the error to raise, or None while the outcome is open.

    The same record gives the same answer for ever, in every process.
    """
    speaking = record.speaking
    if speaking.state in ON_THE_BOOK:
        return describe(record, speaking)
    if speaking.state not in _ERRORS:
        return None
    answer: Order | KiwoomError = _ERRORS[speaking.state](record, speaking)
    return answer


def describe(record: OrderRecord, attempt: Attempt | None = None) -> Order:
    """Describe an order as the journal knows it, acknowledged or not."""
    attempt = record.speaking if attempt is None else attempt
    claim = next((claim for claim in record.claims if claim.attempt == attempt.number), None)
    request = attempt.request
    filled = claim.filled_quantity if claim else 0
    return Order(
        client_order_id=record.intent.client_order_id,
        broker_order_id=attempt.broker_order_id,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        price=request.price,
        order_type=request.order_type,
        route=request.route,
        status=_status(record, attempt, claim),
        filled_quantity=filled,
        average_fill_price=claim.average_fill_price if claim else None,
        leaves_quantity=_leaves(attempt, claim),
        resolved_by=attempt.resolved_by,
        attempts=sum(attempt.state in _MAY_HAVE_REACHED for attempt in record.attempts),
        action=request.action,
        desk=request.desk,
        stop_price=request.stop_price,
        original_broker_order_id=request.original,
        # An order sent in the evening can be listed on the next day: that is where its number is valid.
        day=claim.day if claim else attempt.day,
        delivery=attempt.state,
        account=record.intent.account,
    )


def _status(record: OrderRecord, attempt: Attempt, claim: Claim | None) -> OrderStatus | None:
    if attempt == record.speaking and "original_status" in record.evidence:
        return OrderStatus(record.evidence["original_status"])
    if attempt.state not in ON_THE_BOOK:
        return None
    # What a cancel has done is told of its original; of its own number, a refusal alone says more than the acceptance.
    is_cancel = attempt.request.action is Action.CANCEL
    if claim is not None and claim.status is not None and (not is_cancel or claim.status is OrderStatus.REFUSED):
        return claim.status
    return _STATUS_WHEN_ACKNOWLEDGED[attempt.request.action]


def _leaves(attempt: Attempt, claim: Claim | None) -> int | None:
    if claim is not None and claim.leaves_quantity is not None:
        return claim.leaves_quantity
    if attempt.request.action is not Action.NEW or attempt.request.quantity is None:
        return None
    # Not more than that: the views of gold do not tell.
    return attempt.request.quantity - (claim.filled_quantity if claim else 0)


def _refused(record: OrderRecord, last: Attempt) -> Order | KiwoomError:
    evidence = record.evidence
    if "original_status" in evidence:
        # A cancel that came after the last fill: the broker had nothing left to cancel, and that is no error.
        return describe(record, last)
    kind = _REFUSALS[CodeMeaning(evidence["meaning"])]
    code, text = str(evidence["code"]), str(evidence["message"])
    return kind(
        f"Kiwoom refused order {last.client_order_id!r} ({code}): {text}",
        code=code,
        broker_message=text,
        api_id=order_api_id(last.request),
        client_order_id=last.client_order_id,
    )


def _not_sent(_: OrderRecord, last: Attempt) -> KiwoomError:
    return NotSent(
        f"Order {last.client_order_id!r} was not sent ({last.reason}). No byte of it left; you may call again with the "
        "same client_order_id.",
        api_id=order_api_id(last.request),
        client_order_id=last.client_order_id,
    )


def _not_accepted(record: OrderRecord, last: Attempt) -> KiwoomError:
    stored = record.evidence.get("proof")
    if stored is None:
        return OrderNotAccepted(last.client_order_id, f"an operator decided so ({last.reason}).")
    proof = from_plain(stored, AbsenceProof)
    doubt = record.evidence.get(DOUBT)
    weight = _STRENGTHS[proof.strength] if doubt is None else _DOUBTED.format(doubt)
    return OrderNotAccepted(
        last.client_order_id,
        f"{last.reason} {weight}",
        proof=proof,
        api_id=order_api_id(last.request),
    )


def _at_close(record: OrderRecord, last: Attempt) -> KiwoomError:
    unsure = unknown_error(record.intent.client_order_id, last)
    if candidates := record.evidence.get("candidates"):
        unsure.__cause__ = AmbiguousMatch(record.intent.client_order_id, tuple(candidates))
    return unsure


def unknown_error(client_order_id: str, last: Attempt | None) -> OutcomeUnknown:
    """Make the error for an outcome that is still open."""
    if last is None:
        return OutcomeUnknown(client_order_id, "it is being sent")
    reason = last.reason or ("it is waiting for its target" if last.state is Delivery.PREPARED else "no answer yet")
    if last.state is Delivery.UNRESOLVED_AT_CLOSE:
        reason += "; the day's ledger is final and does not decide, so you have to: client.orders.resolve()"
    return OutcomeUnknown(client_order_id, reason, api_id=order_api_id(last.request))


_ERRORS: Final[dict[Delivery, Any]] = {
    Delivery.REFUSED: _refused,
    Delivery.NOT_SENT: _not_sent,
    Delivery.NOT_ACCEPTED: _not_accepted,
    Delivery.UNRESOLVED_AT_CLOSE: _at_close,
}
