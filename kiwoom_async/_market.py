"""`client.market`: when the markets are open, and what their rules say of an order before it leaves."""

from __future__ import annotations

import logging
from collections import deque
from datetime import date, datetime
from typing import Final

from attrs import evolve

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.intents import Intent
from kiwoom_async._domain.market_rules import (
    MarketRules,
    RuleFinding,
    SymbolFacts,
    gold_band,
    is_band_of_today,
    judge,
)
from kiwoom_async._domain.quotes import Quote
from kiwoom_async._domain.sessions import PLACES, Place, Session, SessionName, Timetable
from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.ticks import SymbolKind, is_on_grid
from kiwoom_async._domain.validation import check_count, check_route, check_symbol, choose
from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, Desk, Route
from kiwoom_async.errors import ValidationError

_LOG: Final = logging.getLogger("kiwoom_async")

WARNINGS_KEPT: Final = 100
"""How many warnings `Market.recent_warnings` holds. Source: our choice."""

_NOT_ON_THE_MOCK: Final = frozenset({(Place.KRX, SessionName.AFTER_MARKET)})
"""Sessions mock trading has not. Source: measured there on 2026-09-15, every order was RC4058."""


def _sessions_of(environment: Environment, sessions: tuple[Session, ...]) -> tuple[Session, ...]:
    if environment.rest_url != Environment.MOCK.rest_url:
        return sessions
    return tuple(session for session in sessions if (session.place, session.name) not in _NOT_ON_THE_MOCK)


class Market:
    """Hours, trading days and price grids. Nothing here asks the network.

    What a rule finds against an order is a `ValidationError` or a warning, as `MarketRules` says. A warning is a line
    of the log ``kiwoom_async`` (once a day for each text), a call of `MarketRules.on_warning`, and stands in
    `recent_warnings`. It comes when the order call is made, so also for a call that gives a stored answer.
    """

    def __init__(self, rules: MarketRules, environment: Environment, ambient: Ambient) -> None:
        self._rules = rules
        self._environment = environment
        self._ambient = ambient
        self._timetable = Timetable(rules.trading_calendar, _sessions_of(environment, rules.sessions))
        self._kinds = dict(rules.kinds)
        self._no_stocks: set[str] = set()
        self._day = korean_day(ambient.now())
        self._limits: dict[str, SymbolFacts] = {}
        self._logged: set[str] = set()
        self._warnings: deque[RuleFinding] = deque(maxlen=WARNINGS_KEPT)

    # ------------------------------------------------------------------ hours

    def is_open(
        self,
        *,
        route: Route | str | None = None,
        at: datetime | None = None,
        desk: Desk | str = Desk.STOCK,
        session: SessionName | str | None = None,
    ) -> bool | None:
        """Tell whether a market trades.

        Args:
            route: "KRX", "NXT", or "SOR" for either of them. None: KRX. Not for gold.
            at: An aware moment. None: now.
            desk: "gold" asks about the gold market.
            session: One part of the day, a `SessionName` or its text. None: any in which a limit order can trade at
                any moment: the regular session with its closing auction, the pre-market and the after-market.

        Returns:
            True or False; None where our calendar does not know the day, so that ``if is_open()`` errs on the side of
            closed.

        Raises:
            ValidationError: An argument is wrong, for example a moment without a time zone.

        Source: `SESSIONS` and `TradingCalendar`, which may lag behind the exchanges' notices.
        """
        return self._timetable.is_open(self._places(route, desk), self._moment(at), _session(session))

    def next_open(
        self,
        *,
        route: Route | str | None = None,
        at: datetime | None = None,
        desk: Desk | str = Desk.STOCK,
        session: SessionName | str | None = None,
    ) -> datetime | None:
        """Give the moment at which a market opens next, also while it is open now.

        Args:
            route: See `is_open`, as for the following ones. With "SOR" a market that opens while the other one is
                open does not count.
            at: Given is the first opening after it.
            desk: A `Desk` or its text.
            session: A `SessionName` or its text.

        Returns:
            Korean time. None where our calendar does not know a day on the way, or nothing opens within a month.

        Raises:
            ValidationError: An argument is wrong, for example a moment without a time zone.

        Source: `SESSIONS` and `TradingCalendar`, which may lag behind the exchanges' notices.
        """
        return self._timetable.next_opening(self._places(route, desk), self._moment(at), _session(session))

    def is_trading_day(self, day: date | None = None) -> bool | None:
        """Tell whether the markets trade on a day (개장일).

        Args:
            day: A Korean calendar day. None: today.

        Returns:
            None where our calendar does not know the day.

        Raises:
            ValidationError: It is no date.
        """
        chosen = korean_day(self._ambient.now()) if day is None else _check_day(day)
        return self._timetable.calendar.is_trading_day(chosen)

    def _places(self, route: Route | str | None, desk: Desk | str) -> tuple[Place, ...]:
        return PLACES[check_route(choose("desk", Desk, desk), route, self._environment)]

    def _moment(self, at: datetime | None) -> datetime:
        return self._ambient.now() if at is None else _check_moment(at)

    # ------------------------------------------------------------------ what is known of a symbol

    def remember(
        self,
        symbol: str,
        *,
        kind: SymbolKind | str | None = None,
        lower_limit: int | None = None,
        upper_limit: int | None = None,
        base_price: int | None = None,
    ) -> None:
        """Tell what you know of a symbol, so that its orders are checked by it. `client.account.quote` does it, too.

        Args:
            symbol: 종목코드, of a stock or of gold.
            kind: What it is; kept as long as the client. None: as before.
            lower_limit: Today's 하한가, KRW; kept until midnight in Korea. None: as before, unless that may be the
                limit of another day.
            upper_limit: Today's 상한가, KRW; the same.
            base_price: Today's 기준가 of gold, KRW per gram, in place of its limits.

        Raises:
            ValidationError: An argument is wrong.
        """
        desk = Desk.GOLD if symbol in GOLD_SYMBOLS else Desk.STOCK
        symbol = check_symbol(desk, symbol)
        chosen = None if kind is None else choose("kind", SymbolKind, kind)
        if chosen is not None and (chosen is SymbolKind.GOLD) is not (desk is Desk.GOLD):
            raise ValidationError("kind", chosen.value, "'gold' for the two codes of gold, and only for them")
        low = None if lower_limit is None else check_count("lower_limit", lower_limit, unit="KRW")
        high = None if upper_limit is None else check_count("upper_limit", upper_limit, unit="KRW")
        if base_price is not None:
            if desk is not Desk.GOLD or low is not None or high is not None:
                raise ValidationError(
                    "base_price", base_price, "None: it is for gold, without limits; limits of stocks are in the quote"
                )
            low, high = gold_band(check_count("base_price", base_price, unit="KRW"))
        if low is not None and high is not None and low > high:
            raise ValidationError("lower_limit", low, f"at most upper_limit, {high:,} KRW")
        if chosen is not None:
            self._kinds[symbol] = chosen
        if low is not None or high is not None:
            self._turn_the_day()
            known = self._limits.get(symbol, SymbolFacts())
            if not known.is_of_today:
                # What a quote of another day said must not become certain by what you say.
                known = SymbolFacts()
            self._limits[symbol] = evolve(
                known,
                lower_limit=known.lower_limit if low is None else low,
                upper_limit=known.upper_limit if high is None else high,
                is_of_today=True,
            )

    def remember_quote(self, quote: Quote) -> None:
        """Keep the daily band of a quote that was just read. `client.account.quote` calls this."""
        self._turn_the_day()
        low, high = quote.lower_limit, quote.upper_limit
        if any(limit is not None and is_on_grid(limit, SymbolKind.STOCK) is False for limit in (low, high)):
            # The limits of a stock stand on its grid, so this is an ETF, an ETN or an ELW.
            self._no_stocks.add(quote.symbol)
        if low is None and high is None:
            return
        self._limits[quote.symbol] = SymbolFacts(
            lower_limit=low,
            upper_limit=high,
            is_of_today=is_band_of_today(self._ambient.now(), self._rules.trading_calendar, self._environment),
        )

    def _turn_the_day(self) -> None:
        today = korean_day(self._ambient.now())
        if today != self._day:
            self._day = today
            self._limits.clear()
            self._logged.clear()

    # ------------------------------------------------------------------ orders

    @property
    def rules(self) -> MarketRules:
        """Give the rules in force."""
        return self._rules

    @property
    def recent_warnings(self) -> tuple[RuleFinding, ...]:
        """Give the last warnings, the newest last."""
        return tuple(self._warnings)

    def objection_to(self, intent: Intent) -> ValidationError | None:
        """Check an order that is about to be placed; the desks do it with each.

        Returns:
            Why it must not be sent; None: it may, and what may be wrong with it has been told as warnings.
        """
        self._turn_the_day()
        request, symbol = intent.request, intent.request.symbol
        facts = evolve(
            self._limits.get(symbol, SymbolFacts()),
            kind=self._kinds.get(symbol),
            is_no_stock=symbol in self._no_stocks,
        )
        verdict = judge(request, self._rules, facts, self._timetable, self._ambient.now())
        if verdict.refusal is not None:
            return verdict.refusal.to_error()
        for finding in verdict.warnings:
            self._warn(evolve(finding, client_order_id=intent.client_order_id))
        return None

    def _warn(self, finding: RuleFinding) -> None:
        self._warnings.append(finding)
        text = str(finding)
        if text not in self._logged:
            self._logged.add(text)
            _LOG.warning("market rules: %s", text)
        if self._rules.on_warning is None:
            return
        try:
            self._rules.on_warning(finding)
        except Exception:  # noqa: BLE001 - a broken hook must not cost an order
            _LOG.exception("MarketRules.on_warning failed")


def _check_day(day: object) -> date:
    if not isinstance(day, date) or isinstance(day, datetime):
        raise ValidationError("day", day, "None for today, or a date")
    return day


def _check_moment(at: object) -> datetime:
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise ValidationError("at", at, "None for now, or a datetime with a time zone")
    return at


def _session(name: SessionName | str | None) -> SessionName | None:
    return None if name is None else choose("session", SessionName, name)
