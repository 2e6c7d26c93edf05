"""What we know about an attempt moves by the table, and by evidence only."""

from __future__ import annotations

import pytest

from kiwoom_async._domain.states import (
    AGREEING,
    IN_FLIGHT,
    ON_THE_BOOK,
    SETTLED,
    TRANSITIONS,
    UNRESOLVED,
    Delivery,
    Event,
    advance,
)
from kiwoom_async.errors import IllegalTransition, JournalError

D, E = Delivery, Event

UNCLEAR = (D.UNKNOWN, D.CANDIDATES, D.UNRESOLVED_AT_CLOSE)
EXPECTED: dict[tuple[Delivery, Event], Delivery] = {
    (D.PREPARED, E.DISPATCHED): D.DISPATCHED,
    (D.PREPARED, E.PROVEN_UNSENT): D.NOT_SENT,
    (D.DISPATCHED, E.ACKNOWLEDGED): D.ACKNOWLEDGED,
    (D.DISPATCHED, E.REFUSED): D.REFUSED,
    (D.DISPATCHED, E.PROVEN_UNSENT): D.NOT_SENT,
    (D.DISPATCHED, E.LOST): D.UNKNOWN,
    **{(state, E.ACKNOWLEDGED): D.ACKNOWLEDGED for state in UNCLEAR},
    **{(state, E.REFUSED): D.REFUSED for state in UNCLEAR},
    **{(state, E.PROVEN_UNSENT): D.NOT_SENT for state in UNCLEAR},
    **{(state, E.PROVEN_ABSENT): D.NOT_ACCEPTED for state in UNCLEAR},
    **{(state, E.CANDIDATES_SIGHTED): D.CANDIDATES for state in UNCLEAR},
    (D.CANDIDATES, E.CANDIDATES_GONE): D.UNKNOWN,
    (D.UNKNOWN, E.DAY_CLOSED): D.UNRESOLVED_AT_CLOSE,
    (D.CANDIDATES, E.DAY_CLOSED): D.UNRESOLVED_AT_CLOSE,
    (D.NOT_ACCEPTED, E.REAPPEARED): D.REVIVED,
    (D.NOT_ACCEPTED, E.DUPLICATED): D.DUPLICATE,
    (D.REVIVED, E.DUPLICATED): D.DUPLICATE,
    (D.ACKNOWLEDGED, E.WITHDRAWN): D.UNKNOWN,
    (D.NOT_ACCEPTED, E.WITHDRAWN): D.UNKNOWN,
}
"""The law, written a second time."""


@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("state", list(Delivery))
def test_every_pair_of_state_and_event(state: Delivery, event: Event) -> None:
    """Each pair moves as the law says or is illegal, and the error says what to do."""
    if (state, event) in EXPECTED:
        assert advance(state, event) is EXPECTED[state, event]
        return
    with pytest.raises(IllegalTransition, match="nothing was changed") as caught:
        advance(state, event)
    assert isinstance(caught.value, JournalError)
    assert state.value in str(caught.value)
    assert event.value in str(caught.value)


def test_only_evidence_leads_out_of_unknown() -> None:
    """No loss, no timer and no failed query settles what is unknown."""
    evidence = {E.ACKNOWLEDGED, E.REFUSED, E.PROVEN_UNSENT, E.PROVEN_ABSENT}
    out = {event for (state, event), to in TRANSITIONS.items() if state in UNRESOLVED and to not in UNRESOLVED}
    assert out == evidence


def test_a_definite_answer_is_final() -> None:
    """Nothing leads out of an acceptance, a refusal or a proven non-sending, but an operator's word taken back."""
    for state in (D.ACKNOWLEDGED, D.REFUSED, D.NOT_SENT, D.DUPLICATE):
        leading_out = {event for event in Event if (state, event) in TRANSITIONS}
        assert leading_out <= ({E.WITHDRAWN} if state is D.ACKNOWLEDGED else set())


def test_absence_is_only_corrected_by_the_order_itself() -> None:
    """A proof of absence gives way to late evidence of the order; an operator's word is taken back as well."""
    leading_out = {event for state, event in TRANSITIONS if state is D.NOT_ACCEPTED}
    assert leading_out == {E.REAPPEARED, E.DUPLICATED, E.WITHDRAWN}


def test_nothing_is_absent_or_lost_before_it_was_sent() -> None:
    """An obligation that was not dispatched has no outcome."""
    assert {event for state, event in TRANSITIONS if state is D.PREPARED} == {E.DISPATCHED, E.PROVEN_UNSENT}
    assert not [event for state, event in AGREEING if state is D.PREPARED]


def test_a_sender_in_flight_is_never_absent() -> None:
    """What may still be written is proven absent by nobody."""
    assert (D.DISPATCHED, E.PROVEN_ABSENT) not in TRANSITIONS
    assert (D.DISPATCHED, E.PROVEN_ABSENT) not in AGREEING


def test_what_agrees() -> None:
    """Late news that says no more than what is known is recorded and moves nothing; all else is an alarm."""
    repeated = {
        D.ACKNOWLEDGED: {E.ACKNOWLEDGED},
        D.REVIVED: {E.ACKNOWLEDGED},
        D.DUPLICATE: {E.ACKNOWLEDGED},
        D.REFUSED: {E.REFUSED},
        D.NOT_SENT: {E.PROVEN_UNSENT},
        D.NOT_ACCEPTED: {E.REFUSED, E.PROVEN_UNSENT, E.PROVEN_ABSENT},
        D.UNRESOLVED_AT_CLOSE: {E.DAY_CLOSED},
    }
    in_vain = {E.CANDIDATES_SIGHTED, E.CANDIDATES_GONE, E.DAY_CLOSED}
    for state in Delivery:
        late_loss = set() if state in {D.PREPARED, D.DISPATCHED} else {E.LOST}
        late_look = in_vain if state in SETTLED else {E.CANDIDATES_GONE} if state in set(UNCLEAR) else set()
        late_look = {event for event in late_look if (state, event) not in TRANSITIONS}
        agreeing = {event for known, event in AGREEING if known is state}
        assert agreeing == late_loss | late_look | repeated.get(state, set())


def test_agreement_and_transition_exclude_each_other() -> None:
    """News either moves a state or agrees with it."""
    assert not AGREEING & set(TRANSITIONS)


@pytest.mark.parametrize("state", sorted(set(Delivery) - {D.PREPARED, D.DISPATCHED}))
def test_a_late_loss_says_nothing_new(state: Delivery) -> None:
    """News that the outcome is not certain never weakens what is known."""
    assert (state, E.LOST) in AGREEING


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (D.REFUSED, E.ACKNOWLEDGED),
        (D.NOT_SENT, E.ACKNOWLEDGED),
        (D.ACKNOWLEDGED, E.REFUSED),
        (D.ACKNOWLEDGED, E.PROVEN_ABSENT),
        (D.ACKNOWLEDGED, E.PROVEN_UNSENT),
        (D.REVIVED, E.PROVEN_ABSENT),
    ],
)
def test_contradictions_are_neither(state: Delivery, event: Event) -> None:
    """Definite evidence against definite evidence is an alarm."""
    assert (state, event) not in TRANSITIONS
    assert (state, event) not in AGREEING


def test_classes_of_states() -> None:
    """Every state is waiting, in flight, unresolved or settled."""
    assert {D.ACKNOWLEDGED, D.REFUSED, D.NOT_SENT, D.NOT_ACCEPTED, D.REVIVED, D.DUPLICATE} == SETTLED
    assert SETTLED | UNRESOLVED | IN_FLIGHT | {D.PREPARED} == set(Delivery)
    assert {D.ACKNOWLEDGED, D.REVIVED, D.DUPLICATE} == ON_THE_BOOK
