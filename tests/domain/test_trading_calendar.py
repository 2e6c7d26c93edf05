"""The days of trading: what the library says, what is not known, and that the user has the last word."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from kiwoom_async.errors import ConfigurationError
from kiwoom_async.market import SpecialDay, TradingCalendar

CLOSED_IN_2026 = "01-01 02-16 02-17 02-18 03-02 05-01 05-05 05-25 06-03 07-17 08-17 09-24 09-25 10-05 10-09 12-25 12-31"
"""Source: the closing days of 2026 in the press, with Constitution Day (제헌절), a holiday again since that year."""


def test_the_closing_days_of_2026() -> None:
    """Every weekday of the year is open or closed as it was announced, elections and new holidays included."""
    calendar = TradingCalendar()
    days = [date(2026, 1, 1) + timedelta(days=count) for count in range(365)]
    closed = [f"{day:%m-%d}" for day in days if day.weekday() < 5 and not calendar.is_trading_day(day)]
    assert " ".join(closed) == CLOSED_IN_2026


@pytest.mark.parametrize(
    "day",
    [
        date(2020, 8, 17),  # 임시공휴일
        date(2023, 12, 29),  # 연말휴장, because the 31st was a Sunday
        date(2024, 5, 1),  # 근로자의 날
        date(2024, 10, 1),  # 국군의 날, 임시공휴일
        date(2025, 1, 27),  # 임시공휴일
        date(2025, 6, 3),  # 대통령선거
        date(2026, 11, 21),  # Saturday
    ],
)
def test_days_without_trading_that_a_plain_holiday_list_misses(day: date) -> None:
    """Temporary holidays, elections, May Day and the end of the year."""
    calendar = TradingCalendar()
    assert calendar.is_trading_day(day) is False
    assert calendar.why_closed(day)


@pytest.mark.parametrize("day", [date(2000, 5, 8), date(2028, 5, 8), date(2031, 7, 1)])
def test_a_year_nobody_checked_is_unknown(day: date) -> None:
    """Never open by guess; a weekend is one in any year."""
    calendar = TradingCalendar()
    assert calendar.is_trading_day(day) is None
    assert calendar.is_trading_day(day + timedelta(days=5 - day.weekday())) is False
    assert calendar.next_trading_day(date(2027, 12, 30)) is None
    assert TradingCalendar(trusted_until=2031).is_trading_day(day) is (None if day.year < 2001 else True)


def test_the_user_has_the_last_word() -> None:
    """Days that were given win over the library, in any year."""
    calendar = TradingCalendar(
        closed_days=[date(2026, 11, 20)],
        open_days={date(2026, 12, 31), date(2030, 1, 2)},
        special_days={date(2027, 11, 18): SpecialDay.exam(), date(2026, 1, 2): SpecialDay()},
    )
    assert calendar.is_trading_day(date(2026, 11, 20)) is False
    assert calendar.why_closed(date(2026, 11, 20)) == "named in closed_days"
    assert calendar.is_trading_day(date(2026, 12, 31)) is True
    assert calendar.is_trading_day(date(2030, 1, 2)) is True
    assert calendar.next_trading_day(date(2026, 11, 19)) == date(2026, 11, 23)
    assert calendar.special_day(date(2027, 11, 18)) == SpecialDay.exam()
    assert calendar.special_day(date(2026, 1, 2)) == SpecialDay()


@pytest.mark.parametrize(
    ("day", "special"),
    [
        (date(2025, 11, 13), SpecialDay.exam()),
        (date(2026, 1, 2), SpecialDay.new_year()),
        (date(2027, 1, 4), SpecialDay.new_year()),
        (date(2026, 1, 5), None),
        (date(2026, 11, 20), None),
    ],
)
def test_days_with_moved_hours(day: date, special: SpecialDay | None) -> None:
    """The first trading day of a year is found; exams are listed."""
    assert TradingCalendar().special_day(day) == special


@pytest.mark.parametrize(
    "settings",
    [
        {"closed_days": ["2026-11-20"]},
        {"open_days": [datetime(2026, 11, 20)]},  # noqa: DTZ001 - wrong on purpose
        {"special_days": {"2026-11-20": SpecialDay()}},
        {"special_days": {date(2026, 11, 20): "10:00"}},
        {"trusted_until": 2101},
        {"trusted_until": "2030"},
        {"closed_days": [date(2026, 11, 20)], "open_days": [date(2026, 11, 20)]},
        {"closed_days": [date(2026, 11, 20)], "special_days": {date(2026, 11, 20): SpecialDay.exam()}},
    ],
)
def test_a_calendar_that_contradicts_itself_is_refused(settings: dict[str, Any]) -> None:
    """What is no date, or stands on both sides, is found at once."""
    with pytest.raises(ConfigurationError, match="TradingCalendar"):
        TradingCalendar(**settings)
