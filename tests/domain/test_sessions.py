"""When a market is open: before and after the reform, on every route, on moved days, and never by guess."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async import Route
from kiwoom_async._domain.sessions import PLACES, SESSIONS, SessionName, Timetable
from kiwoom_async._domain.settings import KST
from kiwoom_async.market import SpecialDay, TradingCalendar

TIMETABLE = Timetable(TradingCalendar())
KRX, NXT, SOR, GOLD = PLACES[Route.KRX], PLACES[Route.NXT], PLACES[Route.SOR], PLACES[None]
PLACES_BY_NAME = {"KRX": KRX, "NXT": NXT, "SOR": SOR, "gold": GOLD}


def at(text: str) -> datetime:
    """Read a moment in Korean time."""
    return datetime.fromisoformat(text).replace(tzinfo=KST)


@pytest.mark.parametrize(
    ("route", "moment", "is_open"),
    [
        ("KRX", "2026-11-20T08:59:59", False),
        ("KRX", "2026-11-20T09:00", True),
        ("KRX", "2026-11-20T15:29:59.999999", True),
        ("KRX", "2026-11-20T15:30", False),
        ("KRX", "2026-11-20T15:50", False),
        ("KRX", "2026-11-20T16:00", True),
        ("KRX", "2026-11-20T20:00", False),
        ("KRX", "2026-09-11T17:00", False),
        ("KRX", "2026-09-14T17:00", True),
        ("KRX", "2026-11-21T10:00", False),
        ("KRX", "2026-10-09T10:00", False),
        ("KRX", "2028-03-02T10:00", None),
        ("KRX", "2028-03-04T10:00", False),
        ("NXT", "2026-11-20T07:59", False),
        ("NXT", "2026-11-20T08:00", True),
        ("NXT", "2026-11-20T08:50", False),
        ("NXT", "2026-11-20T09:00:29", False),
        ("NXT", "2026-11-20T09:00:30", True),
        ("NXT", "2026-11-20T15:20", False),
        ("NXT", "2026-11-20T15:40", True),
        ("NXT", "2025-03-03T10:00", False),
        ("NXT", "2024-11-20T10:00", None),
        ("SOR", "2026-11-20T08:10", True),
        ("SOR", "2026-11-20T08:55", False),
        ("SOR", "2026-11-20T15:25", True),
        ("SOR", "2026-11-20T15:35", False),
        ("SOR", "2026-11-20T19:59", True),
        ("gold", "2026-11-20T15:29", True),
        ("gold", "2026-11-20T16:30", False),
        ("KRX", "2025-11-13T09:30", False),
        ("KRX", "2025-11-13T16:29", True),
        ("NXT", "2025-11-13T08:30", False),
        ("NXT", "2025-11-13T16:19", True),
        ("gold", "2025-11-13T09:30", False),
        ("gold", "2025-11-13T15:30", False),
        ("KRX", "2026-01-02T09:30", False),
        ("KRX", "2026-01-02T10:00", True),
        ("KRX", "2026-01-02T15:30", False),
        ("NXT", "2026-01-02T08:30", False),
        ("KRX", "2018-05-10T10:00", None),
    ],
)
def test_open_and_closed(route: str, moment: str, is_open: bool | None) -> None:
    """Both sides of each bell; what is not known is neither open nor closed."""
    assert TIMETABLE.is_open(PLACES_BY_NAME[route], at(moment)) is is_open


@pytest.mark.parametrize(
    ("route", "moment", "opening"),
    [
        ("KRX", "2026-11-20T08:00", "2026-11-20T09:00"),
        ("KRX", "2026-11-20T09:00", "2026-11-20T16:00"),
        ("KRX", "2026-11-20T16:00", "2026-11-23T09:00"),
        ("KRX", "2026-09-11T10:00", "2026-09-14T09:00"),
        ("KRX", "2026-12-30T20:00", "2027-01-04T10:00"),
        ("NXT", "2026-12-30T20:00", "2027-01-04T10:00:30"),
        ("NXT", "2026-11-20T09:00:30", "2026-11-20T15:40"),
        ("SOR", "2026-11-20T08:00", "2026-11-20T09:00"),
        ("SOR", "2026-11-20T09:00", "2026-11-20T15:40"),
        ("SOR", "2026-11-20T15:40", "2026-11-23T08:00"),
        ("gold", "2026-09-23T15:30", "2026-09-28T09:00"),
        ("KRX", "2027-12-30T20:00", None),
        ("NXT", "2024-11-20T10:00", None),
    ],
)
def test_the_next_opening(route: str, moment: str, opening: str | None) -> None:
    """Over nights, weekends and holidays; a market that opens while the other one trades does not count."""
    expected = None if opening is None else at(opening)
    assert TIMETABLE.next_opening(PLACES_BY_NAME[route], at(moment)) == expected


def test_a_session_can_be_asked_for() -> None:
    """The sessions at a fixed price count only for those who name them; the one that was abolished never opens."""
    moment = at("2026-11-20T15:45")
    assert TIMETABLE.is_open(KRX, moment) is False
    assert TIMETABLE.is_open(KRX, moment, SessionName.POST_MARKET_CLOSE) is True
    assert TIMETABLE.next_opening(KRX, moment, SessionName.PRE_MARKET_CLOSE) == at("2026-11-23T08:30")
    single = SessionName.AFTER_HOURS_SINGLE
    assert TIMETABLE.is_open(KRX, at("2026-09-11T16:30"), single) is True
    assert TIMETABLE.next_opening(KRX, at("2026-09-10T18:00"), single) == at("2026-09-11T16:00")
    assert TIMETABLE.next_opening(KRX, at("2026-09-11T18:00"), single) is None


def test_moved_hours_can_be_given() -> None:
    """The user's special day moves the bells, and leaves fixed ends where they are."""
    day = date(2026, 11, 19)
    timetable = Timetable(TradingCalendar(special_days={day: SpecialDay(timedelta(hours=1), timedelta(hours=1))}))
    assert timetable.is_open(KRX, at("2026-11-19T09:30")) is False
    assert timetable.is_open(KRX, at("2026-11-19T16:15")) is True
    assert timetable.is_open(KRX, at("2026-11-19T16:45")) is False
    assert timetable.is_open(KRX, at("2026-11-19T17:00")) is True
    assert timetable.is_open(KRX, at("2026-11-19T20:00")) is False


@given(
    moment=st.datetimes(datetime(2025, 3, 4), datetime(2027, 11, 30)),  # noqa: DTZ001 - hypothesis adds the zone
    route=st.sampled_from(sorted(PLACES_BY_NAME)),
)
def test_an_opening_is_where_closed_becomes_open(moment: datetime, route: str) -> None:
    """The next opening lies after the moment, is open, was closed right before, and nothing opened in between."""
    places, start = PLACES_BY_NAME[route], moment.replace(tzinfo=KST)
    opening = TIMETABLE.next_opening(places, start)
    assert opening is not None
    assert opening > start
    assert TIMETABLE.is_open(places, opening) is True
    assert TIMETABLE.is_open(places, opening - timedelta(microseconds=1)) is False
    if TIMETABLE.is_open(places, start) is False:
        halfway = start + (opening - start) / 2
        assert TIMETABLE.is_open(places, halfway) is False


def test_rows_of_one_session_do_not_overlap() -> None:
    """On every day there is at most one row for each session of a market."""
    for day in (date(2019, 4, 29), date(2025, 3, 4), date(2026, 9, 13), date(2026, 9, 14), date(2027, 6, 1)):
        rows = [(row.place, row.name) for row in SESSIONS if row.is_in_force(day)]
        assert len(rows) == len(set(rows))


def test_every_row_is_in_order_and_sourced() -> None:
    """Entry, trading, end; and where the row comes from."""
    for row in SESSIONS:
        assert row.entry_from <= row.trades_from < row.until
        assert row.source
        assert row.takes
        assert not row.takes & row.refuses
