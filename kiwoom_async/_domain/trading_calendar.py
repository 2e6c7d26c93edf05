"""On which days the Korean markets trade (개장일), and on which of them the hours are moved.

The holidays come from the library ``holidays``, which is a table: no clock, no network. It was checked for the years
named here, and says nothing for others: a day we do not know is neither open nor closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from attrs import field, frozen
from holidays.financial.korea_exchange import KoreaExchange

from kiwoom_async.errors import ConfigurationError

FIRST_TRUSTED_YEAR: Final = 2001
"""Source: ``holidays`` 0.109 and ``exchange-calendars`` 4.13.2 agree on every weekday of 2001 to 2025."""

LAST_TRUSTED_YEAR: Final = 2027
"""Source: 2026 compared with the closing days in the press, 2027 with the holidays in force in 2026."""

_SATURDAY: Final = 5
LONGEST_REOPENING: Final = 11
"""Days after one until trading is sure to go on. Source: the longest closure of 2001 to 2027 has ten."""

_LONGEST_CLOSURE: Final = 31
"""Days we look ahead for a trading day. Source: our choice; the longest closure of 2001 to 2027 has ten."""


@frozen
class SpecialDay:
    """A trading day whose hours are moved.

    Attributes:
        opens_later: How much later the opening bell rings. The pre-market of NXT does not take place then.
        closes_later: How much later the closing bell rings, and what begins after it.
        reason: In words, for warnings.

    Source: the press on 2025-11-13 (수능) and 2026-01-02 (연초 개장일).
    """

    opens_later: timedelta = timedelta(0)
    closes_later: timedelta = timedelta(0)
    reason: str = "moved hours"

    @classmethod
    def new_year(cls) -> SpecialDay:
        """Give the first trading day of a year: it opens at ten and closes as always."""
        return cls(opens_later=timedelta(hours=1), reason="first trading day of the year (연초 개장일)")

    @classmethod
    def exam(cls) -> SpecialDay:
        """Give the day of the university entrance exam (수능): the stock market is moved by an hour."""
        return cls(timedelta(hours=1), timedelta(hours=1), "university entrance exam (수능)")


KNOWN_SPECIAL_DAYS: Final[Mapping[date, SpecialDay]] = {
    date(2021, 11, 18): SpecialDay.exam(),
    date(2022, 11, 17): SpecialDay.exam(),
    date(2024, 11, 14): SpecialDay.exam(),
    date(2025, 11, 13): SpecialDay.exam(),
}
"""Source: the press of those days. Later ones are yours to give: `TradingCalendar(special_days=…)`."""


def _days(value: Iterable[date]) -> frozenset[date]:
    return frozenset(value)


def _to_special(value: Mapping[date, SpecialDay]) -> dict[date, SpecialDay]:
    special = dict(value)
    for day, moved in special.items():
        if not isinstance(moved, SpecialDay):
            raise ConfigurationError(f"TradingCalendar(special_days=…): {day} must have a SpecialDay, not {moved!r}.")
    return special


def _check_year(_calendar: object, _attribute: object, value: object) -> None:
    last = KoreaExchange.end_year
    if isinstance(value, bool) or not isinstance(value, int) or value > last:
        raise ConfigurationError(f"TradingCalendar(trusted_until={value!r}) must be a year, {last} at most.")


def _check_days(_calendar: object, attribute: Any, value: Iterable[object]) -> None:
    for day in value:
        if not isinstance(day, date) or isinstance(day, datetime):
            raise ConfigurationError(f"TradingCalendar({attribute.name}=…) must hold dates; {day!r} is none.")


def _korean_holidays() -> KoreaExchange:
    return KoreaExchange(language="ko")  # type: ignore[no-untyped-call]


@frozen
class TradingCalendar:
    """The days of trading. What you give wins over what the library says.

    Attributes:
        closed_days: Further days without trading, such as a temporary holiday (임시공휴일) the library does not know.
        open_days: Days with trading in spite of the library.
        special_days: Trading days whose hours are moved, such as `SpecialDay.exam()`. The first trading day of each
            year and the exams up to 2025 are known.
        trusted_until: The last year for which the library is believed; `open_days` and `closed_days` need no trust.
    """

    closed_days: frozenset[date] = field(default=frozenset(), converter=_days, validator=_check_days)
    open_days: frozenset[date] = field(default=frozenset(), converter=_days, validator=_check_days)
    special_days: Mapping[date, SpecialDay] = field(factory=dict, converter=_to_special, validator=_check_days)
    trusted_until: int = field(default=LAST_TRUSTED_YEAR, validator=_check_year)
    _holidays: KoreaExchange = field(factory=_korean_holidays, init=False, repr=False, eq=False, hash=False)

    def __attrs_post_init__(self) -> None:
        if both := sorted(self.closed_days & self.open_days):
            raise ConfigurationError(f"TradingCalendar: {both[0]} stands in closed_days and in open_days.")
        if both := sorted(self.closed_days & self.special_days.keys()):
            raise ConfigurationError(f"TradingCalendar: {both[0]} stands in closed_days and in special_days.")

    def is_trading_day(self, day: date) -> bool | None:
        """Tell whether the markets trade on a day; None: not known."""
        if day in self.closed_days:
            return False
        if day in self.open_days or day in self.special_days:
            return True
        if day.weekday() >= _SATURDAY:
            return False
        if not FIRST_TRUSTED_YEAR <= day.year <= self.trusted_until:
            return None
        return day not in self._holidays

    def why_closed(self, day: date) -> str:
        """Name why a day without trading is one."""
        if day in self.closed_days:
            return "named in closed_days"
        return "a weekend" if day.weekday() >= _SATURDAY else str(self._holidays.get(day))

    def special_day(self, day: date) -> SpecialDay | None:
        """Give how the hours of a trading day are moved; None: they are not."""
        found = self.special_days.get(day) or KNOWN_SPECIAL_DAYS.get(day)
        return found or (SpecialDay.new_year() if self._is_first_of_year(day) else None)

    def next_trading_day(self, day: date) -> date | None:
        """Give the first trading day after a day; None where a day in between is not known."""
        for later in (day + timedelta(days=count) for count in range(1, _LONGEST_CLOSURE + 1)):
            status = self.is_trading_day(later)
            if status is not False:
                return later if status else None
        return None

    def days_until_trading(self, day: date) -> tuple[date, ...]:
        """Give the days after a day, up to and including the first that is known to trade, but no more than eleven."""
        days: list[date] = []
        for later in (day + timedelta(days=count) for count in range(1, LONGEST_REOPENING + 1)):
            days.append(later)
            if self.is_trading_day(later):
                break
        return tuple(days)

    def _is_first_of_year(self, day: date) -> bool:
        eve = date(day.year, 1, 1) - timedelta(days=1)
        return day.month == 1 and self.next_trading_day(eve) == day
