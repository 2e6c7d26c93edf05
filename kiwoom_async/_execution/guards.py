"""Guards in front of sending: what is asked before anything slow is done, and the switch that stops it all.

Only the journal's transaction decides (see `_journal.guards`). What is decided here is what one process knows by
itself, so that an order that cannot leave takes no slot of the rate limit from a cancel.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

import anyio

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.guards import (
    HELD,
    Burden,
    KillSwitchState,
    OrderLimits,
    Totals,
    burden_of,
    check_limits,
    halted_text,
)
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.market_rules import highest_next_limit, is_band_of_today
from kiwoom_async._domain.quotes import Quote
from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.trading_calendar import TradingCalendar
from kiwoom_async._domain.vocabulary import Action, Desk, Route
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.journal import Journal
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.quotes import decode_quote, quote_call
from kiwoom_async.errors import KiwoomError, LimitExceeded, NotSent, QueryFailed, Refused, ValidationError

LAST_TURN: Final = 0.1
"""Seconds after the end of a permission within which its first byte may still reach the operating system. Source: our
choice; the transport writes in the same turn of the event loop in which it looks at the clock, or in the next."""

LOOK_INTERVAL: Final = 0.02
"""Seconds between two looks at what may still leave. Source: our choice; a look costs tens of microseconds."""


class ReferencePrices:
    """What orders without a price are counted at: the setting, or the upper price limit.

    That of today is asked once. Where a quote may still show the limit of the day before, the price is the most that
    today's can be, and is not kept.

    Args:
        gateway: Asks.
        ambient: The clocks.
        limits: With the settings; None for none.
        calendar: For the hours in which a quote shows today's limit.
        environment: The same.
    """

    def __init__(
        self,
        gateway: Gateway,
        ambient: Ambient,
        limits: OrderLimits | None,
        calendar: TradingCalendar,
        environment: Environment,
    ) -> None:
        self._gateway = gateway
        self._ambient = ambient
        self._calendar = calendar
        self._environment = environment
        self._given: Mapping[str, int] = {} if limits is None else limits.reference_prices
        self._known: dict[tuple[date, str], int] = {}
        # One for each symbol: a quote that hangs keeps no order of another symbol from its own.
        self._asking: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def get(self, request: OrderRequest, deadline: float | None) -> int:
        """Give the price in KRW.

        Args:
            request: A new order without a price.
            deadline: Monotonic second by which the order must be sent; half of the time until then is for the quote.
                None: as long as a query may take.

        Raises:
            ValidationError: There is none; the text says what to do.
        """
        if request.symbol in self._given:
            return self._given[request.symbol]
        seconds = math.inf if deadline is None else max(0.0, deadline - self._ambient.monotonic()) / 2
        with anyio.move_on_after(seconds):
            return await self._ask(request)
        raise _unvalued(request, f"its quote did not come within {seconds:.1f} s, half of the time that the order has")

    async def _ask(self, request: OrderRequest) -> int:
        now = self._ambient.now()
        if not is_band_of_today(now, self._calendar, self._environment):
            return await self._fetch(request, highest_next_limit)
        place = korean_day(now), request.symbol
        async with self._asking[request.symbol]:
            if place not in self._known:
                self._known[place] = await self._fetch(request, lambda quote: quote.upper_limit)
        return self._known[place]

    async def _fetch(self, request: OrderRequest, choose: Callable[[Quote], int | None]) -> int:
        why = "gold has no such quote"
        if request.desk is not Desk.GOLD:
            call = quote_call(request.symbol, Route.KRX)
            try:
                page = await self._gateway.fetch_page(call)
                limit = choose(decode_quote(call.api_id, request.symbol, Route.KRX, page.body))
            except (QueryFailed, Refused) as error:
                raise _unvalued(request, str(error)) from error
            if limit is not None:
                return limit
            why = "the symbol has none today"
        raise _unvalued(request, why)


def _unvalued(request: OrderRequest, why: str) -> ValidationError:
    return ValidationError(
        "price",
        None,
        f"a price: there is a limit on values, and this order of {request.symbol} cannot be valued by its upper price "
        f"limit ({why}). You may also give OrderLimits(reference_prices={{{request.symbol!r}: …}})",
    )


class OrderGuards:
    """Ask whether a request may go on its way.

    Args:
        journal: Knows the kill switch.
        prices: For orders without a price.
        limits: Of this client; None for none.
        ambient: The clocks.
        may_send: Orders and modifies may leave; False on a live environment without the explicit switch.
        is_dry: Nothing may leave.
    """

    def __init__(
        self,
        journal: Journal,
        prices: ReferencePrices,
        limits: OrderLimits | None,
        ambient: Ambient,
        *,
        may_send: bool,
        is_dry: bool,
    ) -> None:
        self._journal = journal
        self._ambient = ambient
        self._prices = prices
        self._limits = limits
        self._may_send = may_send
        self._is_dry = is_dry
        self._was_halted = False

    def require_wet(self, client_order_id: str) -> None:
        """Refuse to send anything at all in a dry run: the last line of defense, for nothing should get here."""
        if self._is_dry:
            raise NotSent(f"Order {client_order_id!r} was not sent: dry_run=True.", client_order_id=client_order_id)

    async def examine(self, client_order_id: str, request: OrderRequest, deadline: float | None) -> Terms:
        """Find out what the journal's guards need, and refuse what this process can refuse by itself.

        Args:
            client_order_id: For texts.
            request: What is to be sent.
            deadline: Monotonic second by which it must be sent. None: there is none.

        Raises:
            ValidationError: It may not be sent from here, exceeds a limit, or cannot be valued.
            NotSent: The kill switch is engaged.
        """
        if request.action not in HELD:
            return Terms()
        if not self._may_send and not self._is_dry:
            raise ValidationError(
                "allow_live_orders",
                False,
                "True: this environment trades with real money, so new orders and modifies need "
                "KiwoomClient(…, allow_live_orders=True); reading and cancels work without it",
            )
        if self._was_halted:
            # Costs a look into the journal, and only after an order of this process was held.
            state = await self._journal.kill_switch()
            self._was_halted = state.is_engaged
            if state.is_engaged:
                raise NotSent(halted_text(client_order_id, state), client_order_id=client_order_id)
        if self._limits is None:
            return Terms()
        return await self._value(client_order_id, request, self._limits, deadline)

    async def _value(
        self, client_order_id: str, request: OrderRequest, limits: OrderLimits, deadline: float | None
    ) -> Terms:
        reference = None
        if request.action is Action.NEW:
            if limits.needs_value and request.price is None:
                reference = await self._prices.get(request, deadline)
            burden = burden_of(request, reference)
            assert burden is not None, "a new order counts"  # noqa: S101
            await self._check_alone(client_order_id, request, burden, limits)
        return Terms(limits, reference)

    async def _check_alone(
        self, client_order_id: str, request: OrderRequest, burden: Burden, limits: OrderLimits
    ) -> None:
        """Refuse what would exceed a limit even if nothing had been sent today."""
        try:
            check_limits(limits, request, burden, day=Totals(), symbol=Totals(), client_order_id=client_order_id)
        except LimitExceeded:
            # The refusal says how much is left, and something may have been sent.
            today = korean_day(self._ambient.now())
            day = await self._journal.day_totals(today)
            symbol = await self._journal.day_totals(today, request.symbol)
            check_limits(limits, request, burden, day=day, symbol=symbol, client_order_id=client_order_id)
            raise  # pragma: no cover - what was sent today leaves no more room than none

    def note(self, error: KiwoomError) -> None:
        """Take notice of why the journal has not given its permission."""
        self._was_halted = self._was_halted or isinstance(error, NotSent)


async def engage(
    journal: Journal, ambient: Ambient, state: KillSwitchState, longest_lag: float = 0.0
) -> KillSwitchState:
    """Engage the kill switch, and wait until nothing leaves that was permitted before.

    A permission is short: its first byte must leave within `Timing.connect_timeout` of the client that has it.

    Args:
        journal: Holds the switch and the permissions.
        ambient: The clocks.
        state: What to tell the switch.
        longest_lag: Seconds after the end of a permission within which the first byte may still leave, because the
            transport was asked for the request before it had a connection. The journal does not tell what transport a
            permission is used with, so this holds for those of other processes as well.

    Cancellation: ends the wait; the switch is engaged.
    """
    engaged = await journal.move_switch(state)
    began = ambient.monotonic()
    permitted = await journal.permitted_attempts()
    before = {attempt.key: _useless_after(attempt, ambient, began) + longest_lag for attempt in permitted}
    while before:
        now = ambient.monotonic()
        open_keys = {attempt.key for attempt in await journal.permitted_attempts()}
        before = {key: until for key, until in before.items() if key in open_keys and now <= until}
        if before:
            await anyio.sleep(LOOK_INTERVAL)
    return engaged


def _useless_after(attempt: Attempt, ambient: Ambient, now: float) -> float:
    # The stamps of another boot mean nothing here; but a permission never lasts longer than from its first stamp on.
    lasts = attempt.write_until - attempt.dispatched
    until = min(attempt.write_until, now + lasts) if attempt.boot_id == ambient.boot_id else now + lasts
    return until + LAST_TURN
