"""On which day something was, where midnight is near: numbers begin anew every day, and two clocks may tell two days.

What the broker's own clock says decides. Where it does not say, nothing is guessed: the ledgers of both days are asked.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import Final

from attrs import evolve

from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._domain.settings import KST, Timing

MIDNIGHT_MARGIN: Final = timedelta(minutes=5)
"""How close to midnight two clocks may tell two days. Source: our choice, far beyond any clock that is set at all."""

_DAY: Final = timedelta(days=1)
_RESOLUTION: Final = timedelta(seconds=1)
"""Of the moments that HTTP tells. Source: RFC 9110, 5.6.7."""


def first_day(attempt: Attempt) -> date:
    """Give the earliest day on which the broker may have reported a request, by its clock."""
    return min(attempt.day, korean_day(attempt.dispatched_at - MIDNIGHT_MARGIN))


def day_of_answer(
    attempt: Attempt, *, finished: datetime, took: float, stamp: datetime | None, timing: Timing
) -> date | None:
    """Say on which day of the broker a request was accepted that was answered; None where it may be either of two.

    Args:
        attempt: The request.
        finished: Our clock when the answer had come.
        took: Seconds from the permission to the answer.
        stamp: The broker's clock when it wrote the answer, cut to whole seconds; None where the answer does not tell.
        timing: How far the clocks may differ (A11). A stamp that differs more is not believed: a host that tells its
            local time as Greenwich's would be nine hours ahead.
    """
    skew = timedelta(seconds=timing.clock_skew)
    earliest, latest = attempt.dispatched_at - skew, finished + skew
    if stamp is not None and earliest - _RESOLUTION <= stamp <= latest:
        earliest, latest = max(earliest, stamp - timedelta(seconds=took)), min(latest, stamp)
    days = {korean_day(earliest), korean_day(latest)}
    return days.pop() if len(days) == 1 else None


def seconds_to_one_day(now: datetime, timing: Timing) -> float:
    """Give the seconds until two clocks tell one day, whichever is ahead (A11); 0 if they do."""
    skew = timedelta(seconds=timing.clock_skew)
    if korean_day(now - skew) == korean_day(now + skew):
        return 0.0
    midnight = datetime.combine(korean_day(now + skew), time(), KST)
    return (midnight + skew - now).total_seconds()


def names_its_original(request: OrderRequest, now: datetime, timing: Timing) -> bool:
    """Tell whether the number a request names means its original still, whenever the request arrives."""
    until = timing.clock_skew + timing.connect_timeout + timing.acceptance_bound
    moments = (now - timedelta(seconds=timing.clock_skew), now, now + timedelta(seconds=until))
    return all(request.may_be_sent_on(korean_day(moment)) for moment in moments)


def date_report(report: OrderReport, received_at: datetime) -> OrderReport | None:
    """Give a report the day that its time of day means; None where that is neither today nor right across midnight.

    Args:
        report: As of the day on which it came.
        received_at: Our clock.
    """
    if report.at is None:
        return report
    soonest = received_at + MIDNIGHT_MARGIN
    if report.at + _DAY <= soonest:
        at = report.at + _DAY
    elif report.at <= soonest:
        return report
    elif report.at - _DAY >= received_at - MIDNIGHT_MARGIN:
        at = report.at - _DAY
    else:
        return None
    return evolve(report, day=korean_day(at), at=at)


def may_be_near(moments: Collection[datetime], day: date) -> bool:
    """Tell whether some moment may be of another day than this one, by another clock."""
    margins = (MIDNIGHT_MARGIN, -MIDNIGHT_MARGIN)
    return any(korean_day(moment + margin) != day for moment in moments for margin in margins)
