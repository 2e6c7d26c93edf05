"""Who wants a flight, how far it is, and whether the broker may have its order."""

from __future__ import annotations

import pytest

from kiwoom_async._execution.flights import MAY_BE_CALLED_OFF, Flight, Stage
from kiwoom_async._transport.mark import DeliveryMark
from tests.journal.builders import intent


def flight(stage: Stage = Stage.LOOKING_UP, *, is_ours: bool = False, mark: DeliveryMark | None = None) -> Flight:
    """Make a flight."""
    made = Flight(intent(), is_fresh=True, deadline=None)
    made.stage, made.is_ours, made.mark = stage, is_ours, mark
    return made


async def test_flight_begins_without_anybody_and_before_it_knows_anything() -> None:
    """Whether the id was sent before is not known: it may have left, and nobody may say that it was not sent."""
    made = Flight(intent(), is_fresh=True, deadline=None)
    assert (made.stage, made.passengers, made.answer, made.mark) == (Stage.LOOKING_UP, 0, None, None)
    assert not made.is_unsent
    assert not made.is_ours
    assert not made.is_wanted
    assert made.may_have_left


@pytest.mark.parametrize(
    ("passengers", "is_ours", "is_wanted"), [(0, False, False), (1, False, True), (0, True, True), (2, True, True)]
)
async def test_flight_is_wanted_by_whoever_waits_or_by_the_library(
    passengers: int, *, is_ours: bool, is_wanted: bool
) -> None:
    """An order that nobody wants any more is not sent."""
    made = flight(is_ours=is_ours)
    made.passengers = passengers
    assert made.is_wanted is is_wanted


KEPT, GONE = DeliveryMark(is_kept=True), DeliveryMark(is_kept=True, handed_over=True)


@pytest.mark.parametrize(
    ("stage", "is_ours", "mark", "may_have_left"),
    [
        pytest.param(Stage.LOOKING_UP, False, None, True, id="another process may have sent it"),
        pytest.param(Stage.ON_THE_GROUND, False, None, False, id="nothing is sent"),
        pytest.param(Stage.ON_THE_GROUND, True, None, True, id="the library will send it"),
        pytest.param(Stage.ON_THE_GROUND, False, GONE, False, id="nothing is sent again"),
        pytest.param(Stage.COMMITTING, False, None, False, id="no send has begun"),
        pytest.param(Stage.COMMITTING, True, KEPT, False, id="no connection has it"),
        pytest.param(Stage.COMMITTING, False, GONE, True, id="a connection has it"),
        pytest.param(Stage.IN_THE_AIR, False, KEPT, True, id="in the air"),
        pytest.param(Stage.SETTLING, False, None, True, id="its outcome is looked for"),
    ],
)
async def test_order_may_have_left(
    stage: Stage, mark: DeliveryMark | None, *, is_ours: bool, may_have_left: bool
) -> None:
    """Where this is false, a caller who gives up is told that nothing was sent."""
    assert flight(stage, is_ours=is_ours, mark=mark).may_have_left is may_have_left


@pytest.mark.parametrize("stage", Stage)
def test_flight_may_be_called_off_unless_it_is_being_sent(stage: Stage) -> None:
    """From the commit of the permission until the answer is written it is seen to its end."""
    assert (stage in MAY_BE_CALLED_OFF) is (stage not in {Stage.COMMITTING, Stage.IN_THE_AIR})


async def test_flights_are_told_apart() -> None:
    """Two for the same id are two: a caller of the one must not be counted out of the other."""
    first, second = flight(), flight()
    assert len({first: 1, second: 2}) == 2
    assert first != second
    assert first.landed is not second.landed
    assert first.scope is not second.scope
