"""What the markets' rules say about an order before it is sent: findings, and what becomes of them.

A finding is certain or not. Only a certain one can hold an order back; where we may be wrong the order goes out and the
caller is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import StrEnum, unique
from fractions import Fraction
from typing import Any, Final

from attrs import field, frozen

from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.quotes import Quote
from kiwoom_async._domain.sessions import PLACES, SESSIONS, Hours, Place, Session, Timetable
from kiwoom_async._domain.settings import KST, Environment
from kiwoom_async._domain.ticks import LISTED_KINDS, SymbolKind, is_on_grid, neighbors, tick_table
from kiwoom_async._domain.trading_calendar import TradingCalendar
from kiwoom_async._domain.validation import check_symbol, choose
from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, ORDER_TYPE_RULES, Action, Desk, OrderType
from kiwoom_async.errors import ConfigurationError, ValidationError

MOST_GOLD_GRAMS: Final = 5_000
"""At most in one order of gold. Source: KRX's page of the gold market."""
GOLD_BAND_PERCENT: Final = 10
"""Width of the daily band of gold around the base price, each way. Source: KRX's page of the gold market."""
BAND_IS_OF_TODAY_FROM: Final = time(9, 0)
"""A quote read before the opening may still show yesterday's band. Source: our caution; nobody has measured it."""
BAND_IS_OF_TODAY_UNTIL: Final = time(20, 0)
"""Where an environment does not say when it closes; later orders are of the next day. Source: the hours of NXT and of
the KRX after-market."""
WIDEST_USUAL_RISE: Final = Fraction(13, 10)
"""How far a price limit may stand above the price it is measured from. Source: KRX's rules, 30 % for stocks."""


@unique
class Strictness(StrEnum):
    """What a check does when it finds something."""

    REFUSE = "refuse"
    """What is certainly wrong is a `ValidationError`; what may be wrong is a warning."""
    WARN = "warn"
    """A log line and a call of `MarketRules.on_warning`; the order is sent."""
    OFF = "off"


@unique
class Rule(StrEnum):
    """The checks, by the names they have in `MarketRules`."""

    TICK = "tick"
    BAND = "band"
    SESSION = "session"
    CALENDAR = "calendar"
    GOLD = "gold"


@frozen
class RuleFinding:
    """One thing a rule says against an order.

    Attributes:
        rule: The check that found it.
        argument: The argument of the order it is about.
        value: What was given.
        allowed: What is allowed, in words.
        is_certain: The exchange will certainly refuse it.
        symbol: The symbol of the order.
        client_order_id: The order's key.
    """

    rule: Rule
    argument: str
    value: object
    allowed: str
    is_certain: bool
    symbol: str
    client_order_id: str | None = None

    def __str__(self) -> str:
        doubt = "is not" if self.is_certain else "may not be"
        return f"{self.symbol}: {self.argument}={self.value!r} {doubt} allowed: {self.allowed}"

    def to_error(self) -> ValidationError:
        """Make the refusal."""
        return ValidationError(self.argument, self.value, self.allowed)


def _to_strictness(value: object) -> Strictness:
    try:
        return Strictness(value)  # type: ignore[arg-type]
    except ValueError:
        allowed = ", ".join(repr(choice.value) for choice in Strictness)
        raise ConfigurationError(f"MarketRules: {value!r} is no strictness; choose one of {allowed}.") from None


def _to_kinds(value: Mapping[str, object]) -> dict[str, SymbolKind]:
    try:
        return {
            check_symbol(Desk.GOLD if symbol in GOLD_SYMBOLS else Desk.STOCK, symbol): choose("kind", SymbolKind, kind)
            for symbol, kind in value.items()
        }
    except ValidationError as error:
        raise ConfigurationError(
            f"MarketRules(kinds=…): {error.argument} {error.value!r} must be {error.allowed}."
        ) from None


def _check_sessions(_rules: object, _attribute: object, value: tuple[object, ...]) -> None:
    if wrong := [row for row in value if not isinstance(row, Session)]:
        raise ConfigurationError(f"MarketRules(sessions=…) must hold sessions; {wrong[0]!r} is none.")


def _check_calendar_type(_rules: object, _attribute: object, value: object) -> None:
    if not isinstance(value, TradingCalendar):
        raise ConfigurationError(f"MarketRules(trading_calendar={value!r}) must be a TradingCalendar.")


def _check_callable(_rules: object, attribute: Any, value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(f"MarketRules({attribute.name}=…) must be callable, or None.")


@frozen
class MarketRules:
    """What is checked before an order leaves, and how strictly. A cancel is never checked.

    Attributes:
        tick: The tick size (호가단위). Refused where the symbol's kind is known, or no kind of symbol has that price.
        band: The price band of the day (상한가, 하한가), where today's quote is known.
        session: Hours and order types of the route (거래시간).
        calendar: Trading days (개장일).
        gold: Tick, band and quantity of gold (금현물).
        kinds: Symbol to `SymbolKind` or its text, where you know it. Without it an ETF and a stock look the same, and a
            price only an ETF can have is a warning.
        trading_calendar: The calendar, with your own corrections.
        sessions: The table of sessions, where `SESSIONS` is out of date.
        on_warning: Called with a `RuleFinding` for each warning, in your order call. What it raises is logged and goes
            no further.

    Source of the defaults: what the exchange certainly refuses is refused here; hours and holidays may have changed
    since this release, so they only warn.
    """

    tick: Strictness = field(default=Strictness.REFUSE, converter=_to_strictness)
    band: Strictness = field(default=Strictness.REFUSE, converter=_to_strictness)
    session: Strictness = field(default=Strictness.WARN, converter=_to_strictness)
    calendar: Strictness = field(default=Strictness.WARN, converter=_to_strictness)
    gold: Strictness = field(default=Strictness.REFUSE, converter=_to_strictness)
    kinds: Mapping[str, SymbolKind] = field(factory=dict, converter=_to_kinds)
    trading_calendar: TradingCalendar = field(factory=TradingCalendar, validator=_check_calendar_type)
    sessions: tuple[Session, ...] = field(default=SESSIONS, converter=tuple, validator=_check_sessions)
    on_warning: Callable[[RuleFinding], object] | None = field(default=None, validator=_check_callable)

    @classmethod
    def off(cls) -> MarketRules:
        """Check nothing."""
        off = Strictness.OFF
        return cls(tick=off, band=off, session=off, calendar=off, gold=off)

    @classmethod
    def default(cls, environment: Environment) -> MarketRules:
        """Give the rules of an environment: one without hours, such as a simulator, has no calendar either."""
        if environment.opens_at is None:
            return cls(session=Strictness.OFF, calendar=Strictness.OFF)
        return cls()

    def strictness(self, rule: Rule) -> Strictness:
        """Give how strict a check is."""
        found: Strictness = getattr(self, rule.value)
        return found


@frozen
class SymbolFacts:
    """What is known of a symbol today.

    Attributes:
        kind: None: not known.
        lower_limit: 하한가, KRW.
        upper_limit: 상한가, KRW.
        is_of_today: The limits are certainly today's.
        is_no_stock: Its prices stand on no stock's grid, so it is something else.
    """

    kind: SymbolKind | None = None
    lower_limit: int | None = None
    upper_limit: int | None = None
    is_of_today: bool = False
    is_no_stock: bool = False


def gold_band(base_price: int) -> tuple[int, int]:
    """Give the lowest and the highest price of gold on a day, on its grid."""
    tick = 10
    low = -(-base_price * (100 - GOLD_BAND_PERCENT) // (100 * tick)) * tick
    return low, base_price * (100 + GOLD_BAND_PERCENT) // (100 * tick) * tick


def is_band_of_today(now: datetime, calendar: TradingCalendar, environment: Environment) -> bool:
    """Tell whether a quote that is asked for at a moment certainly shows the band that orders of that moment meet."""
    now = now.astimezone(KST)
    closes_at = environment.closes_at or BAND_IS_OF_TODAY_UNTIL
    if not calendar.is_trading_day(now.date()) or now.time() >= closes_at:
        return False
    special = calendar.special_day(now.date())
    later = timedelta(0) if special is None else special.opens_later
    return now >= datetime.combine(now.date(), BAND_IS_OF_TODAY_FROM, KST) + later


def highest_next_limit(quote: Quote) -> int | None:
    """Give the most that the upper limit of the next day can be; None where the quote has no upper limit.

    A day can end at its upper limit, from which the next band is measured. A band that is wider than usual, as that of
    a leveraged fund, stays as wide.
    """
    if quote.upper_limit is None:
        return None
    rise = Fraction(quote.upper_limit, quote.base_price) if quote.base_price else WIDEST_USUAL_RISE
    return math.ceil(quote.upper_limit * max(rise, WIDEST_USUAL_RISE))


@frozen
class Question:
    """An order as the checks see it."""

    request: OrderRequest
    facts: SymbolFacts
    timetable: Timetable
    now: datetime

    @property
    def day(self) -> date:
        """Give the Korean day it would be sent on."""
        return self.now.astimezone(KST).date()

    @property
    def places(self) -> tuple[Place, ...]:
        """Name the markets it may go to."""
        return PLACES[self.request.route]

    @property
    def name(self) -> str:
        """Name them in words."""
        return "the gold market" if self.request.route is None else self.request.route.value

    def find(self, rule: Rule, argument: str, value: object, allowed: str, *, is_certain: bool) -> RuleFinding:
        """Make a finding about it."""
        return RuleFinding(rule, argument, value, allowed, is_certain, self.request.symbol)


def _check_tick(question: Question) -> Iterable[RuleFinding]:
    request = question.request
    if request.desk is Desk.GOLD:
        return
    for argument, price in (("price", request.price), ("stop_price", request.stop_price)):
        if price is not None:
            # Nobody has said that a stop price must stand on the grid, so that is no certainty.
            yield from _check_grid(question, argument, price, is_binding=argument == "price")


def _check_grid(question: Question, argument: str, price: int, *, is_binding: bool) -> Iterable[RuleFinding]:
    facts, day = question.facts, question.day
    kinds: tuple[SymbolKind, ...] = LISTED_KINDS if facts.kind is None else (facts.kind,)
    if facts.kind is None and facts.is_no_stock:
        kinds = tuple(kind for kind in kinds if kind is not SymbolKind.STOCK)
    on_grid = {kind: is_on_grid(price, kind, day) for kind in kinds}
    # A stock is the first kind by far, so it is the one we speak of where the kind is not known.
    kind = kinds[0]
    if on_grid[kind] is not False:
        return
    fitting = [other.value.upper() for other, fits in on_grid.items() if fits is not False]
    allowed = _say_neighbors(price, kind, question)
    if fitting:
        allowed += f" (right for {' or '.join(fitting)}: tell by MarketRules(kinds=…))"
    elif len(kinds) > 1:
        # What no kind allows: who buys a fund must not be sent to the wider grid of stocks.
        allowed += "".join(f"; {other.value}: {_say_near(price, other, day)}" for other in kinds[1:])
    yield question.find(Rule.TICK, argument, price, allowed, is_certain=is_binding and not fitting)


def _say_neighbors(price: int, kind: SymbolKind, question: Question) -> str:
    day = question.day
    table = tick_table(kind, day)
    tick = "unknown" if table is None else f"{table.tick_at(price)} KRW"
    return f"{_say_near(price, kind, day)}; the tick (호가단위) of {kind.value} at this price is {tick}"


def _say_near(price: int, kind: SymbolKind, day: date) -> str:
    return " or ".join(f"{found:,}" for found in neighbors(price, kind, day)) + " KRW"


def _check_band(question: Question) -> Iterable[RuleFinding]:
    if question.request.desk is not Desk.GOLD:
        yield from _check_limits(question, Rule.BAND)


def _check_limits(question: Question, rule: Rule) -> Iterable[RuleFinding]:
    facts, price = question.facts, question.request.price
    if price is None:
        return
    low, high = facts.lower_limit, facts.upper_limit
    if (low is not None and price < low) or (high is not None and price > high):
        from_low = "" if low is None else f"from {low:,} (하한가) "
        to_high = "" if high is None else f"to {high:,} (상한가) "
        allowed = f"{from_low}{to_high}KRW today"
        yield question.find(rule, "price", price, allowed, is_certain=facts.is_of_today)


def _check_gold(question: Question) -> Iterable[RuleFinding]:
    request = question.request
    if request.desk is not Desk.GOLD:
        return
    if request.price is not None and is_on_grid(request.price, SymbolKind.GOLD, question.day) is False:
        allowed = _say_neighbors(request.price, SymbolKind.GOLD, question)
        yield question.find(Rule.GOLD, "price", request.price, allowed, is_certain=True)
    yield from _check_limits(question, Rule.GOLD)
    if request.quantity is not None and request.quantity > MOST_GOLD_GRAMS:
        allowed = f"at most {MOST_GOLD_GRAMS:,} grams in one order"
        yield question.find(Rule.GOLD, "quantity", request.quantity, allowed, is_certain=True)


def _check_calendar(question: Question) -> Iterable[RuleFinding]:
    calendar, day = question.timetable.calendar, question.day
    status = calendar.is_trading_day(day)
    if status:
        return
    route = None if question.request.route is None else question.request.route.value
    if status is None:
        allowed = f"a trading day; whether {day} is one is not known: tell by TradingCalendar"
        yield question.find(Rule.CALENDAR, "route", route, allowed, is_certain=False)
        return
    allowed = f"a trading day; {question.name} is closed on {day}: {calendar.why_closed(day)}"
    yield question.find(Rule.CALENDAR, "route", route, allowed, is_certain=True)


def _check_session(question: Question) -> Iterable[RuleFinding]:
    timetable, moment = question.timetable, question.now
    day = question.day
    if timetable.calendar.is_trading_day(day) is False:
        return
    hours = timetable.hours(question.places, day)
    if not hours:
        return
    request = question.request
    # The hours of NXT, and those of a special day, are known from the press only.
    is_sure = Place.NXT not in question.places and timetable.calendar.special_day(day) is None
    now = [part for part in hours if part.is_taking(moment)]
    if not now:
        route = None if request.route is None else request.route.value
        allowed = f"an hour at which {question.name} takes orders: {_say_hours(hours)} KST"
        yield question.find(Rule.SESSION, "route", route, allowed, is_certain=is_sure)
        return
    if request.order_type is not None:
        yield from _check_type(question, request.order_type, now, hours)
    kind = question.facts.kind
    if kind is not None and all(kind in part.session.excludes for part in now):
        allowed = f"a session that trades {kind.value}; {_say_sessions(now)} does not"
        yield question.find(Rule.SESSION, "symbol", request.symbol, allowed, is_certain=False)


def _check_type(
    question: Question, order_type: OrderType, now: list[Hours], hours: tuple[Hours, ...]
) -> Iterable[RuleFinding]:
    if any(order_type in part.session.takes for part in now):
        return
    korean = ORDER_TYPE_RULES[order_type].korean
    later = [part for part in hours if order_type in part.session.takes]
    when = f"{korean} is taken {_say_hours(later)} KST" if later else f"{question.name} does not take {korean}"
    allowed = f"an order type of the session ({_say_sessions(now)}); {when}"
    is_certain = all(order_type in part.session.refuses for part in now)
    yield question.find(Rule.SESSION, "order_type", order_type.value, allowed, is_certain=is_certain)


def _say_hours(hours: Iterable[Hours]) -> str:
    return ", ".join(dict.fromkeys(str(part) for part in hours))


def _say_sessions(hours: Iterable[Hours]) -> str:
    return ", ".join(f"{part.session.place.value} {part.session.name.value}" for part in hours)


CHECKS: Final[Mapping[Rule, Callable[[Question], Iterable[RuleFinding]]]] = {
    Rule.TICK: _check_tick,
    Rule.BAND: _check_band,
    Rule.GOLD: _check_gold,
    Rule.CALENDAR: _check_calendar,
    Rule.SESSION: _check_session,
}
"""The checks, in the order in which the first refusal is chosen."""


@frozen
class Verdict:
    """What becomes of an order.

    Attributes:
        refusal: The first certain finding of a check that refuses; None: it may be sent.
        warnings: All other findings.
    """

    refusal: RuleFinding | None
    warnings: tuple[RuleFinding, ...]


def judge(
    request: OrderRequest, rules: MarketRules, facts: SymbolFacts, timetable: Timetable, now: datetime
) -> Verdict:
    """Check an order. A cancel is never held back, and never warned about."""
    if request.action is Action.CANCEL:
        return Verdict(None, ())
    question = Question(request, facts, timetable, now)
    findings = [
        finding
        for rule, check in CHECKS.items()
        if rules.strictness(rule) is not Strictness.OFF
        for finding in check(question)
    ]
    refused = [found for found in findings if found.is_certain and rules.strictness(found.rule) is Strictness.REFUSE]
    return Verdict(refused[0] if refused else None, tuple(found for found in findings if found not in refused))
