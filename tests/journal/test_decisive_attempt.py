"""Which of several sends decides what is said of an order."""

from __future__ import annotations

import pytest
from attrs import evolve

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.states import Delivery
from kiwoom_async._journal.records import decisive_attempt
from tests.journal.builders import obligation

D = Delivery


def attempts(*states: Delivery) -> tuple[Attempt, ...]:
    """Make one attempt for each state, oldest first."""
    return tuple(evolve(obligation(), number=number, state=state) for number, state in enumerate(states, start=1))


@pytest.mark.parametrize(
    ("states", "number"),
    [
        ((D.UNKNOWN,), 1),
        ((D.REFUSED,), 1),
        ((D.NOT_SENT, D.NOT_SENT), 2),
        ((D.NOT_ACCEPTED, D.NOT_SENT), 1),
        ((D.NOT_ACCEPTED, D.ACKNOWLEDGED), 2),
        ((D.NOT_ACCEPTED, D.UNKNOWN), 2),
        ((D.NOT_ACCEPTED, D.REFUSED), 2),
        ((D.UNKNOWN, D.DISPATCHED), 2),
    ],
)
def test_the_latest_send_that_may_have_left_decides(states: tuple[Delivery, ...], number: int) -> None:
    """A resend takes the place of what it follows."""
    assert decisive_attempt(attempts(*states)).number == number


@pytest.mark.parametrize("nothing", [D.REFUSED, D.NOT_ACCEPTED])
@pytest.mark.parametrize("alive", [D.UNKNOWN, D.CANDIDATES, D.ACKNOWLEDGED, D.REVIVED, D.UNRESOLVED_AT_CLOSE])
def test_a_send_that_came_to_nothing_does_not_speak_for_an_earlier_one(alive: Delivery, nothing: Delivery) -> None:
    """Or a cancel is reported refused that was carried out, and a third send is allowed beside a revived first."""
    assert decisive_attempt(attempts(alive, nothing)).number == 1
