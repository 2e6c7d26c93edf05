"""What a caller is told of an order: the order, the error that its record means, or nothing yet."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async._domain.absence import AbsenceProof, Strength
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.states import ON_THE_BOOK, Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, ResolvedBy, Route, Side
from kiwoom_async._execution.answers import answer_of, describe, unknown_error
from kiwoom_async._journal.records import DOUBT, Claim, OrderRecord, to_plain
from kiwoom_async._wire.codes import CodeMeaning
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
from tests.domain.test_matching import BUY, CANCEL, DAY, MODIFY, NOON, attempt
from tests.journal.builders import intent

STOP: Final = OrderRequest(
    Desk.CREDIT,
    Action.NEW,
    "000660",
    Side.SELL,
    7,
    price=120_000,
    order_type=OrderType.STOP_LIMIT,
    route=Route.NXT,
    stop_price=121_000,
)


def claim(number: int = 1, **changes: Any) -> Claim:
    """Make the claim of a send's number, of which nothing was reported."""
    return evolve(Claim("key-1", DAY, "0000101", "a", number, None, 0, None, None), **changes)


def record(
    *attempts: Attempt, claims: tuple[Claim, ...] = (), answered_by: int | None = None, **evidence: Any
) -> OrderRecord:
    """Make the record of an order of some account."""
    asked = intent("a", attempts[0].request, account="key-2")
    return OrderRecord(asked, attempts, claims, evidence, answered_by)


def acknowledged(request: OrderRequest = BUY, **changes: Any) -> Attempt:
    """Make a send that has its number."""
    known = {"state": Delivery.ACKNOWLEDGED, "broker_order_id": "0000101", "resolved_by": ResolvedBy.RESPONSE}
    return attempt(request=request, **known | changes)


def refusal(state: Delivery, request: OrderRequest = BUY, reason: str = "", **evidence: Any) -> KiwoomError:
    """Give the error that the caller of a send in this state gets."""
    answer = answer_of(record(attempt(request=request, state=state, reason=reason), **evidence))
    assert isinstance(answer, KiwoomError)
    return answer


# ---------------------------------------------------------------- the order


def test_order_is_described_by_what_was_sent_and_what_was_reported() -> None:
    """Under the day on whose list its number stands, which may be a later one than that of the send."""
    sent = acknowledged(STOP, resolved_by=ResolvedBy.LEDGER)
    told = claim(
        day=DAY + timedelta(days=1),
        status=OrderStatus.PARTIALLY_FILLED,
        filled_quantity=3,
        average_fill_price=Decimal(119_900),
        leaves_quantity=4,
    )
    assert answer_of(record(sent, claims=(told,))) == Order(
        client_order_id="a",
        broker_order_id="0000101",
        symbol="000660",
        side=Side.SELL,
        quantity=7,
        price=120_000,
        order_type=OrderType.STOP_LIMIT,
        route=Route.NXT,
        status=OrderStatus.PARTIALLY_FILLED,
        filled_quantity=3,
        average_fill_price=Decimal(119_900),
        leaves_quantity=4,
        resolved_by=ResolvedBy.LEDGER,
        attempts=1,
        action=Action.NEW,
        desk=Desk.CREDIT,
        stop_price=121_000,
        original_broker_order_id=None,
        day=DAY + timedelta(days=1),
        delivery=Delivery.ACKNOWLEDGED,
        account="key-2",
    )


def test_order_of_which_nothing_was_reported() -> None:
    """It is working, all of it is left, and its day is that of the send."""
    order = describe(record(acknowledged()))
    assert (order.status, order.filled_quantity, order.leaves_quantity) == (OrderStatus.WORKING, 0, 10)
    assert (order.average_fill_price, order.day) == (None, DAY)


def test_order_that_is_not_acknowledged_has_no_status() -> None:
    """Nor a number; it is described all the same."""
    order = describe(record(attempt()))
    assert (order.status, order.broker_order_id, order.resolved_by) == (None, None, None)
    assert (order.delivery, order.client_order_id) == (Delivery.UNKNOWN, "a")


def test_modify_names_its_original() -> None:
    """What was asked of it stands in the order; what is left of it only the broker tells."""
    order = describe(record(acknowledged(evolve(MODIFY, quantity=4))))
    assert (order.original_broker_order_id, order.quantity) == ("0000050", 4)
    assert (order.status, order.leaves_quantity) == (OrderStatus.WORKING, None)


def test_only_the_claim_of_the_send_that_speaks_is_told() -> None:
    """A second one on the book has a number, a day and fills of its own."""
    first, second = acknowledged(), acknowledged(number=2, broker_order_id="0000102", state=Delivery.DUPLICATE)
    both = (claim(2, broker_order_id="0000102", filled_quantity=9), claim(filled_quantity=2))
    known = record(first, second, claims=both, answered_by=1)
    answer = answer_of(known)
    assert isinstance(answer, Order)
    assert (answer.broker_order_id, answer.filled_quantity, answer.leaves_quantity) == ("0000101", 2, 8)
    other = describe(known, second)
    assert (other.broker_order_id, other.filled_quantity, other.leaves_quantity) == ("0000102", 9, 1)


@pytest.mark.parametrize(
    ("states", "count"),
    [
        ([Delivery.ACKNOWLEDGED], 1),
        ([Delivery.NOT_SENT, Delivery.ACKNOWLEDGED], 1),
        ([Delivery.PREPARED], 0),
        ([Delivery.NOT_ACCEPTED, Delivery.REFUSED, Delivery.UNKNOWN, Delivery.DISPATCHED], 4),
    ],
)
def test_sends_that_may_have_reached_the_broker_are_counted(states: list[Delivery], count: int) -> None:
    """The others never left."""
    sends = [attempt(number=place, state=state) for place, state in enumerate(states, 1)]
    assert describe(record(*sends)).attempts == count


@pytest.mark.parametrize(
    ("request_", "told", "status"),
    [
        (BUY, None, OrderStatus.WORKING),
        (BUY, OrderStatus.FILLED, OrderStatus.FILLED),
        (MODIFY, None, OrderStatus.WORKING),
        (MODIFY, OrderStatus.CANCELED, OrderStatus.CANCELED),
        (CANCEL, None, OrderStatus.CANCELED),
        (CANCEL, OrderStatus.WORKING, OrderStatus.CANCELED),
        (CANCEL, OrderStatus.REFUSED, OrderStatus.REFUSED),
    ],
)
@pytest.mark.parametrize("state", sorted(ON_THE_BOOK))
def test_status_of_an_order_on_the_book(
    request_: OrderRequest, told: OrderStatus | None, status: OrderStatus, state: Delivery
) -> None:
    """As the broker last said; what a cancel has done is not said of its own number, unless it was refused."""
    assert describe(record(acknowledged(request_, state=state), claims=(claim(status=told),))).status is status


def test_status_of_a_cancel_that_is_known_by_its_effect() -> None:
    """It is that of its original, for the send of which the record tells and for no other."""
    first = acknowledged(CANCEL, broker_order_id=None)
    second = evolve(first, number=2, broker_order_id="0000102")
    known = record(first, second, answered_by=1, original_status="filled", claims=(claim(status=OrderStatus.REFUSED),))
    assert describe(known).status is OrderStatus.FILLED
    assert describe(known, first).status is OrderStatus.FILLED
    assert describe(known, second).status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    ("request_", "told", "leaves"),
    [
        pytest.param(BUY, {"leaves_quantity": 4}, 4, id="told"),
        pytest.param(BUY, {"leaves_quantity": 0}, 0, id="told that nothing is left"),
        pytest.param(BUY, {"filled_quantity": 3}, 7, id="reckoned, where only fills were told"),
        pytest.param(evolve(BUY, quantity=None), {}, None, id="nothing to reckon with"),
        pytest.param(evolve(CANCEL, quantity=4), {}, None, id="a cancel leaves what its original leaves"),
        pytest.param(MODIFY, {"leaves_quantity": 6}, 6, id="told of a modify"),
    ],
)
def test_what_is_left_of_an_order(request_: OrderRequest, told: dict[str, Any], leaves: int | None) -> None:
    """As last reported; never more than what was asked for and is not filled."""
    assert describe(record(acknowledged(request_), claims=(claim(**told),))).leaves_quantity == leaves


# ---------------------------------------------------------------- nothing yet


@pytest.mark.parametrize("state", Delivery)
def test_only_a_settled_order_has_an_answer(state: Delivery) -> None:
    """A failed look, a candidate or a send that goes on is none."""
    evidence: dict[str, Any] = {"meaning": "business_refusal", "code": "RC4003", "message": "no"}
    is_open = state in {Delivery.PREPARED, Delivery.DISPATCHED, Delivery.UNKNOWN, Delivery.CANDIDATES}
    assert (answer_of(record(attempt(state=state), **evidence)) is None) == is_open


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("meaning", "kind"),
    [
        (CodeMeaning.BUSINESS_REFUSAL, OrderRefused),
        (CodeMeaning.INPUT_ERROR, InvalidRequest),
        (CodeMeaning.TOKEN_REFUSED, AuthenticationError),
        (CodeMeaning.ACCESS_REFUSED, AuthenticationError),
    ],
)
def test_refusal_says_what_kiwoom_said(meaning: CodeMeaning, kind: type[Refused]) -> None:
    """Its code, its words, the order and the TR."""
    error = refusal(Delivery.REFUSED, code="RC4003", message="no money", meaning=meaning.value)
    assert type(error) is kind
    assert isinstance(error, Refused)
    assert (error.code, error.message, error.api_id, error.client_order_id) == ("RC4003", "no money", "kt10000", "a")
    for part in ("'a'", "RC4003", "no money"):
        assert part in str(error)


def test_cancel_that_came_too_late_is_no_error() -> None:
    """There was nothing left to cancel: the caller gets it with the status of its original."""
    answer = answer_of(record(attempt(request=CANCEL, state=Delivery.REFUSED), original_status="filled", code="RC4033"))
    assert isinstance(answer, Order)
    assert (answer.status, answer.delivery) == (OrderStatus.FILLED, Delivery.REFUSED)


def test_order_that_was_not_sent_may_be_called_again() -> None:
    """The error says why, and under which id."""
    error = refusal(Delivery.NOT_SENT, CANCEL, "no connection")
    assert isinstance(error, NotSent)
    assert (error.api_id, error.client_order_id) == ("kt10003", "a")
    for part in ("'a'", "no connection", "same client_order_id"):
        assert part in str(error)


PROOF: Final = AbsenceProof("a#1", (DAY,), 100, (), 1040.0, NOON, "boot", None, Strength.STRONG, 10.0, 5.0)
WEAK: Final = evolve(PROOF, strength=Strength.WEAK)
SCREEN: Final = "Kiwoom's own screen"


@pytest.mark.parametrize(
    ("proof", "doubt", "said", "unsaid"),
    [
        (PROOF, {}, ["proof is strong"], ["weak", SCREEN]),
        (WEAK, {}, ["proof is weak", "stale copy", "not sent again", SCREEN], ["strong"]),
        (WEAK, {DOUBT: "A8: numbers fell"}, ["proof is weak", "(A8: numbers fell)", SCREEN], ["stale copy"]),
    ],
)
def test_proven_absence_says_how_far_it_carries(
    proof: AbsenceProof, doubt: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    """A weak proof sends nothing again, so a person has to look; the proof goes with the error."""
    error = refusal(Delivery.NOT_ACCEPTED, reason="two looks", proof=to_plain(proof), **doubt)
    assert isinstance(error, OrderNotAccepted)
    assert (error.proof, error.api_id, error.client_order_id) == (proof, "kt10000", "a")
    assert all(part in str(error) for part in ["'a'", "two looks", *said])
    assert not any(part in str(error) for part in unsaid)


def test_absence_that_an_operator_decided_has_no_proof() -> None:
    """The error says whose word it is, and why he gave it."""
    error = refusal(Delivery.NOT_ACCEPTED, reason="not on the screen", decided_by="operator")
    assert isinstance(error, OrderNotAccepted)
    assert (error.proof, error.client_order_id) == (None, "a")
    assert "operator" in str(error)
    assert "not on the screen" in str(error)


@pytest.mark.parametrize("candidates", [["0000101", "0000103"], []])
def test_order_that_its_day_has_left_open_is_for_a_person_to_decide(candidates: list[str]) -> None:
    """Nothing else will decide it; the numbers that it may have go with the error."""
    error = refusal(Delivery.UNRESOLVED_AT_CLOSE, reason="two rows fit", candidates=candidates)
    assert isinstance(error, OutcomeUnknown)
    assert (error.api_id, error.client_order_id) == ("kt10000", "a")
    for part in ("two rows fit", "final", "client.orders.resolve()"):
        assert part in error.reason
    cause = error.__cause__
    if not candidates:
        assert cause is None
        return
    assert isinstance(cause, AmbiguousMatch)
    assert (cause.client_order_id, cause.candidates) == ("a", ("0000101", "0000103"))


@pytest.mark.parametrize(
    ("last", "reason", "api_id"),
    [
        (None, "it is being sent", None),
        (attempt(reason="timeout"), "timeout", "kt10000"),
        (attempt(), "no answer yet", "kt10000"),
        (attempt(state=Delivery.PREPARED, request=CANCEL), "it is waiting for its target", "kt10003"),
        (attempt(state=Delivery.PREPARED, reason="its target is open"), "its target is open", "kt10000"),
    ],
)
def test_open_outcome_says_why_it_is_open(last: Attempt | None, reason: str, api_id: str | None) -> None:
    """Under the id that was asked for, whatever is known of its sends."""
    error = unknown_error("b", last)
    assert (error.reason, error.api_id, error.client_order_id) == (reason, api_id, "b")
