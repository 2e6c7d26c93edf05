"""When the markets take orders and when they trade (거래시간), as dated tables.

A change of hours is a new row; the old row gets its last day and stays. Much here is second hand: see `Session.source`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import StrEnum, unique
from typing import Final

from attrs import field, frozen

from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.ticks import SymbolKind
from kiwoom_async._domain.trading_calendar import SpecialDay, TradingCalendar
from kiwoom_async._domain.vocabulary import OrderType, Route


@unique
class Place(StrEnum):
    """A market with hours of its own."""

    KRX = "KRX"
    NXT = "NXT"
    GOLD = "gold"


@unique
class SessionName(StrEnum):
    """The parts of a trading day."""

    PRE_MARKET = "pre_market"
    """프리마켓."""
    PRE_MARKET_CLOSE = "pre_market_close"
    """장전 시간외종가: at yesterday's close."""
    REGULAR = "regular"
    """정규장, with the auctions at its ends; on NXT 메인마켓."""
    POST_MARKET_CLOSE = "post_market_close"
    """장후 시간외종가: at today's close."""
    AFTER_HOURS_SINGLE = "after_hours_single"
    """시간외단일가: an auction every ten minutes."""
    AFTER_MARKET = "after_market"
    """애프터마켓."""


@unique
class Bell(StrEnum):
    """What moves a time on a day with moved hours."""

    OPENING = "opening"
    CLOSING = "closing"
    NONE = "none"


@frozen
class Session:
    """A part of the day of one market.

    Attributes:
        entry_from: From then on orders are taken.
        trades_from: From then on they can trade.
        until: End of both.
        takes: The order types it takes, as far as we know.
        source: Where its hours and types come from.
        valid_from: The first day with this row.
        valid_until: The last day with this row; None: still in force.
        refuses: Order types it was seen to refuse.
        is_open_market: A limit order can trade at any moment of it, so that `is_open` counts it.
        bells: What moves `entry_from`, `trades_from` and `until` on a day with moved hours.
        is_held_when_late: It takes place on a day that opens later.
        excludes: Kinds of symbols said not to trade in it.
    """

    place: Place
    name: SessionName
    entry_from: time
    trades_from: time
    until: time
    takes: frozenset[OrderType]
    source: str
    valid_from: date
    valid_until: date | None = None
    refuses: frozenset[OrderType] = frozenset()
    is_open_market: bool = True
    bells: tuple[Bell, Bell, Bell] = (Bell.OPENING, Bell.OPENING, Bell.CLOSING)
    is_held_when_late: bool = True
    excludes: frozenset[SymbolKind] = frozenset()

    def is_in_force(self, day: date) -> bool:
        """Tell whether this row is the one of a day."""
        return self.valid_from <= day and (self.valid_until is None or day <= self.valid_until)


@frozen
class Hours:
    """One session on one day, in Korean time."""

    session: Session
    entry_from: datetime
    trades_from: datetime
    until: datetime

    @classmethod
    def of(cls, session: Session, day: date, special: SpecialDay | None) -> Hours:
        """Put a session on a day."""
        moved = special or _USUAL_DAY
        by_bell = {Bell.OPENING: moved.opens_later, Bell.CLOSING: moved.closes_later, Bell.NONE: timedelta(0)}
        clocks = (session.entry_from, session.trades_from, session.until)
        moments = (
            datetime.combine(day, clock, KST) + by_bell[bell] for clock, bell in zip(clocks, session.bells, strict=True)
        )
        return cls(session, *moments)

    def is_taking(self, moment: datetime) -> bool:
        """Tell whether orders are taken at a moment."""
        return self.entry_from <= moment < self.until

    def is_trading(self, moment: datetime) -> bool:
        """Tell whether orders can trade at a moment."""
        return self.trades_from <= moment < self.until

    def __str__(self) -> str:
        return f"{self.entry_from:%H:%M}-{self.until:%H:%M}"


_USUAL_DAY: Final = SpecialDay()

_LIMITS: Final = frozenset({OrderType.LIMIT, OrderType.LIMIT_IOC, OrderType.LIMIT_FOK})
_OUTSIDE_OF_THE_BOOK: Final = frozenset(
    {OrderType.PRE_MARKET_CLOSE, OrderType.POST_MARKET_CLOSE, OrderType.AFTER_HOURS_SINGLE}
)
_OF_NXT: Final = frozenset({OrderType.STOP_LIMIT, OrderType.MIDPOINT, OrderType.MIDPOINT_IOC, OrderType.MIDPOINT_FOK})
_IN_A_BOOK: Final = frozenset(OrderType) - _OUTSIDE_OF_THE_BOOK

_HOURS_BEGIN: Final = date(2019, 4, 29)
"""Source: KRX moved the hours before the opening on that day; earlier days are not in these tables."""
_NXT_BEGINS: Final = date(2025, 3, 4)
"""Source: the press on the first day of Nextrade."""
_REFORM: Final = date(2026, 9, 14)
"""Source: the notices of several brokers; a fill on the KRX after-market of that day was measured."""
_BEFORE_REFORM: Final = _REFORM - timedelta(days=1)

SESSIONS: Final[tuple[Session, ...]] = (
    Session(
        Place.KRX,
        SessionName.PRE_MARKET_CLOSE,
        time(8, 30),
        time(8, 30),
        time(8, 40),
        frozenset({OrderType.PRE_MARKET_CLOSE}),
        "press on KRX's hours; one page says that Kiwoom does not offer it",
        _HOURS_BEGIN,
        is_open_market=False,
        bells=(Bell.OPENING, Bell.OPENING, Bell.OPENING),
    ),
    Session(
        Place.KRX,
        SessionName.REGULAR,
        time(8, 30),
        time(9, 0),
        time(15, 30),
        _IN_A_BOOK - _OF_NXT,
        "TR 0s for the hours; the mock took orders at 08:48 and 15:21. That KRX has no stop or midpoint orders is news",
        _HOURS_BEGIN,
    ),
    Session(
        Place.KRX,
        SessionName.POST_MARKET_CLOSE,
        time(15, 0),
        time(15, 40),
        time(16, 0),
        frozenset({OrderType.POST_MARKET_CLOSE}),
        "TR 0s; a guide to Kiwoom's own program for the entry",
        _HOURS_BEGIN,
        is_open_market=False,
        bells=(Bell.CLOSING, Bell.CLOSING, Bell.CLOSING),
    ),
    Session(
        Place.KRX,
        SessionName.AFTER_HOURS_SINGLE,
        time(16, 0),
        time(16, 0),
        time(18, 0),
        frozenset({OrderType.AFTER_HOURS_SINGLE}),
        "notices of brokers that it ended with the reform",
        _HOURS_BEGIN,
        _BEFORE_REFORM,
        is_open_market=False,
        bells=(Bell.CLOSING, Bell.CLOSING, Bell.NONE),
    ),
    Session(
        Place.KRX,
        SessionName.AFTER_MARKET,
        time(16, 0),
        time(16, 0),
        time(20, 0),
        _LIMITS,
        "measured 2026-09-14: a limit order filled, a market order was 521790; that IOC and FOK are taken is a guess",
        _REFORM,
        refuses=frozenset({OrderType.MARKET}),
        bells=(Bell.CLOSING, Bell.CLOSING, Bell.NONE),
        excludes=frozenset({SymbolKind.ETF, SymbolKind.ETN, SymbolKind.ELW}),
    ),
    Session(
        Place.NXT,
        SessionName.PRE_MARKET,
        time(8, 0),
        time(8, 0),
        time(8, 50),
        _LIMITS | _OF_NXT,
        "Nextrade's pages, quoted; its order types are a guess",
        _NXT_BEGINS,
        is_held_when_late=False,
    ),
    Session(
        Place.NXT,
        SessionName.REGULAR,
        time(9, 0),
        time(9, 0, 30),
        time(15, 20),
        _IN_A_BOOK - {OrderType.CONDITIONAL_LIMIT},
        "Nextrade's pages, quoted; its order types are a guess",
        _NXT_BEGINS,
    ),
    Session(
        Place.NXT,
        SessionName.POST_MARKET_CLOSE,
        time(15, 30),
        time(15, 30),
        time(16, 0),
        frozenset({OrderType.POST_MARKET_CLOSE}),
        "a guide to Kiwoom's own program",
        _NXT_BEGINS,
        is_open_market=False,
        bells=(Bell.CLOSING, Bell.CLOSING, Bell.CLOSING),
    ),
    Session(
        Place.NXT,
        SessionName.AFTER_MARKET,
        time(15, 30),
        time(15, 40),
        time(20, 0),
        _LIMITS | _OF_NXT,
        "Nextrade's pages, quoted: limit orders only; that stop and midpoint orders are taken is a guess",
        _NXT_BEGINS,
        refuses=frozenset({OrderType.MARKET}),
        bells=(Bell.CLOSING, Bell.CLOSING, Bell.NONE),
    ),
    Session(
        Place.GOLD,
        SessionName.REGULAR,
        time(9, 0),
        time(9, 0),
        time(15, 30),
        _LIMITS,
        "KRX's page of the gold market; the press on moved hours: only its opening moves",
        _HOURS_BEGIN,
        bells=(Bell.OPENING, Bell.OPENING, Bell.NONE),
    ),
)
"""Every session we know."""

PLACES: Final[Mapping[Route | None, tuple[Place, ...]]] = {
    None: (Place.GOLD,),
    Route.KRX: (Place.KRX,),
    Route.NXT: (Place.NXT,),
    Route.SOR: (Place.KRX, Place.NXT),
}
"""Where a route leads; None is the gold desk. SOR goes to whichever of its markets is open."""

_DAYS_KEPT: Final = 64
"""How many days a `Timetable` keeps worked out. Source: our choice."""
_DAYS_AHEAD: Final = 31
"""How far `next_opening` looks. Source: our choice; the longest closure of 2001 to 2027 has ten days."""


def hours_of(
    sessions: Iterable[Session], places: Iterable[Place], day: date, special: SpecialDay | None
) -> tuple[Hours, ...]:
    """Give the sessions of a trading day at some markets, in the order in which they begin."""
    wanted = frozenset(places)
    is_late = special is not None and special.opens_later > timedelta(0)
    held = (
        Hours.of(session, day, special)
        for session in sessions
        if session.place in wanted and session.is_in_force(day) and (session.is_held_when_late or not is_late)
    )
    return tuple(sorted(held, key=_begin))


def _begin(hours: Hours) -> datetime:
    return hours.trades_from


@frozen
class Timetable:
    """Sessions and calendar of some markets together: when they are open."""

    calendar: TradingCalendar
    sessions: tuple[Session, ...] = SESSIONS
    _known: dict[tuple[tuple[Place, ...], date], tuple[Hours, ...]] = field(
        factory=dict, init=False, repr=False, eq=False
    )

    def hours(self, places: tuple[Place, ...], day: date) -> tuple[Hours, ...]:
        """Give the sessions of a day at some markets, whether it is a trading day or not."""
        known = self._known.get((places, day))
        if known is None:
            # Every order asks for the same day again, so few days are worth their room.
            if len(self._known) >= _DAYS_KEPT:
                self._known.clear()
            known = hours_of(self.sessions, places, day, self.calendar.special_day(day))
            self._known[places, day] = known
        return known

    def is_open(self, places: tuple[Place, ...], moment: datetime, name: SessionName | None = None) -> bool | None:
        """Tell whether a market trades at a moment.

        Args:
            places: The markets; one that is open suffices.
            moment: Aware.
            name: The session that is meant. None: any in which a limit order can trade at any moment.

        Returns:
            None where the day is not known.
        """
        day = moment.astimezone(KST).date()
        status = self.calendar.is_trading_day(day)
        if not status:
            return status
        hours = self.hours(places, day)
        if not hours:
            return None
        return any(part.is_trading(moment) for part in hours if _is_meant(part.session, name))

    def next_opening(
        self, places: tuple[Place, ...], moment: datetime, name: SessionName | None = None
    ) -> datetime | None:
        """Give the first moment after another at which markets that are all closed begin to trade.

        Returns:
            Korean time. None where a day on the way is not known, or nothing opens within a month.
        """
        today = moment.astimezone(KST).date()
        for day in (today + timedelta(days=count) for count in range(_DAYS_AHEAD)):
            status = self.calendar.is_trading_day(day)
            if status is None:
                return None
            hours = self.hours(places, day) if status else ()
            if status and not hours:
                return None
            for start in _openings(part for part in hours if _is_meant(part.session, name)):
                if start > moment:
                    return start
        return None


def _is_meant(session: Session, name: SessionName | None) -> bool:
    return session.is_open_market if name is None else session.name is name


def _openings(hours: Iterable[Hours]) -> list[datetime]:
    """List when a union of hours, given in the order of their beginnings, begins anew."""
    openings: list[datetime] = []
    end: datetime | None = None
    for part in hours:
        if end is None or part.trades_from > end:
            openings.append(part.trades_from)
        end = part.until if end is None else max(end, part.until)
    return openings
