"""On which day something was, where midnight is near and two clocks may tell two days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import pytest
from attrs import evolve

from kiwoom_async import Timing
from kiwoom_async._domain.midnight import (
    date_report,
    day_of_answer,
    first_day,
    may_be_near,
    names_its_original,
    seconds_to_one_day,
)
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action
from tests.domain.test_life import report
from tests.domain.test_matching import BUY, attempt

MIDNIGHT: Final = datetime(2026, 3, 5, tzinfo=KST)
BEFORE, AFTER = (MIDNIGHT - timedelta(days=1)).date(), MIDNIGHT.date()
TIMING: Final = Timing(clock_skew=0.5, connect_timeout=1, acceptance_bound=3)


def seconds(count: float) -> datetime:
    """Give a moment by its distance from midnight."""
    return MIDNIGHT + timedelta(seconds=count)


@pytest.mark.parametrize(
    ("sent", "finished", "stamp", "day"),
    [
        # Far from midnight nobody has to be asked.
        (-60, -59, None, BEFORE),
        (60, 61, None, AFTER),
        # The broker's clock decides, whatever ours says.
        (0.1, 0.2, -1, BEFORE),
        (-0.4, -0.1, 0, None),
        (-0.3, 2.5, 2, None),
        (0.2, 2.5, 2, None),
        (0.6, 2.5, 2, AFTER),
        (-1.2, -0.2, -1, BEFORE),
        # Without it our clock decides, as far as it can be trusted.
        (0.1, 0.2, None, None),
        (-0.3, -0.2, None, None),
        (0.6, 0.7, None, AFTER),
        (-0.8, -0.6, None, BEFORE),
        # A stamp that cannot be true is none: a host that tells Korean time as Greenwich's is nine hours ahead.
        (-3600, -3599, 8 * 3600, BEFORE),
        (0.1, 0.2, 9 * 3600, None),
        (0.1, 0.2, -9 * 3600, None),
    ],
)
def test_day_of_an_answer(sent: float, finished: float, stamp: float | None, day: object) -> None:
    """The broker's clock says on which day a number is valid; where it cannot, nobody does."""
    found = day_of_answer(
        attempt(dispatched_at=seconds(sent), day=seconds(sent).date()),
        finished=seconds(finished),
        took=finished - sent,
        stamp=None if stamp is None else seconds(stamp),
        timing=TIMING,
    )
    assert found == day


def test_stamp_says_more_than_a_slow_answer_takes_away() -> None:
    """An answer that took long is of the day on which both its beginning and its stamp are."""
    sent = attempt(dispatched_at=seconds(-20), day=BEFORE)

    def day(stamp: float) -> object:
        return day_of_answer(sent, finished=seconds(10), took=30.0, stamp=seconds(stamp), timing=TIMING)

    assert (day(-1), day(0)) == (BEFORE, None)


@pytest.mark.parametrize(
    ("now", "is_sure"),
    [(-86_000, True), (-60, True), (-4.6, True), (-4.4, False), (-0.1, False), (0.1, False), (60, False)],
)
def test_number_names_its_original_only_while_its_day_lasts(now: float, is_sure: bool) -> None:
    """A cancel that may arrive after midnight may meet somebody else's order; an order without one meets nobody's."""
    cancel = evolve(BUY, action=Action.CANCEL, original="0000101", original_day=BEFORE)
    assert names_its_original(cancel, seconds(now), TIMING) is is_sure
    assert names_its_original(BUY, seconds(now), TIMING)


def test_number_of_today_is_not_used_while_the_broker_may_live_in_yesterday() -> None:
    """Right after midnight by our clock the same number may still be yesterday's at the broker."""
    cancel = evolve(BUY, action=Action.CANCEL, original="0000101", original_day=AFTER)
    assert [names_its_original(cancel, seconds(now), TIMING) for now in (-1, 0.4, 0.6)] == [False, False, True]


@pytest.mark.parametrize(
    ("now", "left"), [(-0.6, 0.0), (-0.5, 1.0), (-0.1, 0.6), (0.0, 0.5), (0.4, 0.1), (0.5, 0.0), (40_000, 0.0)]
)
def test_seconds_until_two_clocks_tell_one_day(now: float, left: float) -> None:
    """From clock_skew before midnight until as long after it."""
    assert seconds_to_one_day(seconds(now), TIMING) == pytest.approx(left)


@pytest.mark.parametrize(
    ("received", "told", "expected"),
    [
        (36_000, 35_999, 35_999),
        # Our clock is ahead: what was before midnight there comes after it here.
        (0.3, -1, -1),
        (100, -200, -200),
        # Our clock is behind.
        (-0.3, 0, 0),
        (-100, 199, 199),
        # It came hours late on its own day.
        (80_000, 400, 400),
        # Neither: it is not taken.
        (36_000, 36_301, None),
        (400, -200, None),
    ],
)
def test_report_gets_the_day_that_its_time_means(received: float, told: float, expected: float | None) -> None:
    """The feed tells a time of day; across midnight it means the day on the other side."""
    came = seconds(received)
    clock = seconds(told).timetz()
    found = date_report(report(day=came.date(), at=datetime.combine(came.date(), clock)), came)
    assert (found and found.at) == (None if expected is None else seconds(expected))
    assert found is None or found.at is None or found.day == found.at.date()


def test_report_without_a_time_is_of_the_day_on_which_it_came() -> None:
    """There is nothing better to go by."""
    assert date_report(report(day=AFTER, at=None), seconds(1)) == report(day=AFTER, at=None)


@pytest.mark.parametrize(("sent", "day"), [(1, BEFORE), (299, BEFORE), (301, AFTER), (-1, BEFORE)])
def test_first_day_of_a_request(sent: float, day: object) -> None:
    """Soon after midnight by our clock the broker may still report it on the day before."""
    sent_at = seconds(sent)
    assert first_day(attempt(dispatched_at=sent_at, day=sent_at.date())) == day


@pytest.mark.parametrize(("moments", "is_near"), [((-400, 400), True), ((-400,), False), ((-200,), True)])
def test_near_midnight(moments: tuple[float, ...], is_near: bool) -> None:
    """Minutes before midnight another clock may tell the next day."""
    assert may_be_near([seconds(each) for each in moments], BEFORE) is is_near
