"""Where to trade, as whom, how fast, and how long to wait: the settings of a client."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, time, timedelta, timezone
from typing import ClassVar, Final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from kiwoom_async._domain.trading_calendar import TradingCalendar
from kiwoom_async.errors import ConfigurationError

KST: Final = timezone(timedelta(hours=9), "KST")
"""Korean time. Korea has had no daylight saving time since 1988, so a fixed offset is exact."""


@frozen
class Credentials:
    """An app key and its secret, as issued on Kiwoom's portal.

    Neither is part of the repr. Keys of the mock and of the live environment are different pairs.
    """

    app_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        for name in ("app_key", "secret_key"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip() or value != value.strip() or not value.isascii():
                raise ConfigurationError(
                    f"Credentials({name}=…) must be a non-empty text without blanks around it; "
                    "copy it from the portal (the value is not shown here)."
                )


@frozen
class Limits:
    """How many requests may leave per second. A value of None means: no limit.

    Attributes:
        orders_per_second: Orders, modifies and cancels together.
        queries_per_second: Every other TR together.
        per_tr_per_second: Each single TR by itself.

    Source: Kiwoom's portal gives 5 orders/s and 5 queries/s per account, and 1/s per TR on the mock; runners of bots
    have measured separate buckets per TR. The defaults obey both.
    """

    orders_per_second: float | None = 5.0
    queries_per_second: float | None = 5.0
    per_tr_per_second: float | None = 5.0

    def __attrs_post_init__(self) -> None:
        for name in ("orders_per_second", "queries_per_second", "per_tr_per_second"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(f"Limits({name}={value!r}) must be a positive number, or None for no limit.")

    @classmethod
    def off(cls) -> Limits:
        """Limit nothing: for a simulator, never for Kiwoom."""
        return cls(orders_per_second=None, queries_per_second=None, per_tr_per_second=None)


@frozen
class Timing:
    """Every bound the library relies on, in seconds.

    Nobody has published how late Kiwoom may accept or list an order, so `acceptance_bound` and `visibility_bound` are
    cautious guesses.

    Attributes:
        connect_timeout: From the durable intent to a connection. After it the first byte may not leave any more.
            Source: our choice.
        response_timeout: From the first byte to the whole answer; the socket is read this long, whatever the caller
            does. Source: Kiwoom's published client waits 30 s.
        acceptance_bound: A request that has not been processed this long after its last byte is dead (A4).
            Source: not measured by anybody; a guess, longer than any delay reported.
        visibility_bound: An accepted order is listed at the latest this long afterwards (A5).
            Source: one bot waits 1.2 s before it looks; ours is several times that.
        clock_skew: Largest difference between the broker's clock and ours (A11). Source: whole-second stamps plus
            the drift of an unattended machine.
        reconcile_interval: Pause between two looks at the ledger while anything is unresolved. Source: our choice,
            well under the query limit.
        watch_interval: Pause between two looks for orders that were proven absent and may turn up after all, until
            their day is over; and between two looks at working orders while the real-time feed tells of them, in case
            it has left something out. Source: our choice.
        poll_interval: Pause between two looks at the ledger for working orders while the real-time feed does not tell
            of them. Source: our choice.
        drain_timeout: How long closing the client waits for answers that are on their way; later ones are resolved by
            the next start. Source: our choice.
        default_deadline: What `deadline=None` means: how long a caller waits before `OutcomeUnknown`.
            Source: our choice, long enough for two weak proofs.
    """

    connect_timeout: float = 5.0
    response_timeout: float = 30.0
    acceptance_bound: float = 10.0
    visibility_bound: float = 5.0
    clock_skew: float = 5.0
    reconcile_interval: float = 1.0
    watch_interval: float = 30.0
    poll_interval: float = 5.0
    drain_timeout: float = 5.0
    default_deadline: float = 90.0

    def __attrs_post_init__(self) -> None:
        for name in self.__slots__:  # type: ignore[attr-defined]
            if name.startswith("__"):
                continue
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(f"Timing({name}={value!r}) must be a positive number of seconds.")


_RELIED_ON: Final = ("response_timeout", "acceptance_bound", "visibility_bound", "clock_skew")


@frozen
class Reliance:
    """What a client relied on when it sent an order; kept with the order, for every process that reasons about it.

    Attributes:
        response_timeout, acceptance_bound, visibility_bound, clock_skew: As in `Timing`.
        is_exclusive: No other program places orders on the account that could be taken for ours (A9).
    """

    response_timeout: float
    acceptance_bound: float
    visibility_bound: float
    clock_skew: float
    is_exclusive: bool

    def __attrs_post_init__(self) -> None:
        # It is read from a file, where it may be damaged.
        if not all(0 < getattr(self, name) < float("inf") for name in _RELIED_ON):
            raise ValueError("a bound that a client relied on must be a positive number")

    @classmethod
    def of(cls, timing: Timing, *, is_exclusive: bool) -> Reliance:
        """Give what a client with these settings relies on."""
        return cls(**{name: getattr(timing, name) for name in _RELIED_ON}, is_exclusive=is_exclusive)

    def widen(self, timing: Timing) -> Timing:
        """Give some bounds, each as long as this one at least."""
        longer = {name: getattr(self, name) for name in _RELIED_ON if getattr(self, name) > getattr(timing, name)}
        return evolve(timing, **longer) if longer else timing

    def joined(self, other: Reliance | None) -> Reliance:
        """Give the more cautious of both."""
        if other is None or other == self:
            return self
        longest = {name: max(getattr(self, name), getattr(other, name)) for name in _RELIED_ON}
        return Reliance(**longest, is_exclusive=self.is_exclusive and other.is_exclusive)


LIVE_HOST: Final = "api.kiwoom.com"
MOCK_HOST: Final = "mockapi.kiwoom.com"
"""Source: the portal."""

OPENS_AT: Final = time(7, 0)
CLOSES_AT: Final = time(20, 0)
"""Source: our choice, around all sessions of KRX and NXT, the first of which begins at 08:00."""

_USUAL_CALENDAR: Final = TradingCalendar()


@frozen
class Environment:
    """Where the requests go.

    Attributes:
        rest_url: Root of the REST API, without a trailing slash.
        websocket_url: The real-time feed.
        routes: Names of the routes the environment takes; the mock knows KRX only.
        is_live: Real money. Always so at Kiwoom's own address, whatever is said here.
        limits: The published limits of this environment.
        opens_at, closes_at: Between these (Korean time) an order belongs to the day it is sent on. An order sent
            outside of them, or on a day without trading, may show up on any day up to the next trading day. None:
            Kiwoom's own hours at Kiwoom's addresses, and elsewhere the day is the calendar day, always.
        trading_calendar: Which days those are; a client takes that of its `market_rules`.
    """

    LIVE: ClassVar[Environment]
    MOCK: ClassVar[Environment]

    rest_url: str
    websocket_url: str | None = None
    routes: frozenset[str] = frozenset({"KRX", "NXT", "SOR"})
    is_live: bool = False
    limits: Limits = Limits()
    opens_at: time | None = None
    closes_at: time | None = None
    trading_calendar: TradingCalendar = field(default=_USUAL_CALENDAR, kw_only=True, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            parts = urlsplit(self.rest_url)
            is_root = parts.scheme in {"http", "https"} and bool(parts.hostname) and not self.rest_url.endswith("/")
        except (ValueError, AttributeError):
            is_root = False
        if not is_root:
            raise ConfigurationError(
                f"Environment(rest_url={self.rest_url!r}) must look like 'https://api.kiwoom.com': "
                "scheme and host, no trailing slash."
            )
        host = (urlsplit(self.rest_url).hostname or "").rstrip(".").lower()
        # Nobody may take real money for practice by leaving a word out.
        if host == LIVE_HOST:
            object.__setattr__(self, "is_live", True)
        if host in {LIVE_HOST, MOCK_HOST} and self.opens_at is None and self.closes_at is None:
            object.__setattr__(self, "opens_at", OPENS_AT)
            object.__setattr__(self, "closes_at", CLOSES_AT)

    def days_after(self, sent_at: datetime, day: date) -> tuple[date, ...]:
        """Give the later days on which an order may show up; none for one sent within the hours of a trading day.

        Where nothing is known of a day in between, it may be one without trading as well.
        """
        if self.opens_at is None and self.closes_at is None:
            return ()
        moment, calendar = sent_at.time(), self.trading_calendar
        is_open = self.opens_at is None or self.opens_at <= moment
        is_open = is_open and (self.closes_at is None or moment < self.closes_at)
        is_open = is_open and calendar.is_trading_day(day) is not False
        return () if is_open else calendar.days_until_trading(day)

    def account_key(self, credentials: Credentials) -> str:
        """Name the account in the journal without its number or its key."""
        digest = hashlib.sha256(f"{self.rest_url}\n{credentials.app_key}".encode()).hexdigest()
        return f"key-{digest[:16]}"


Environment.LIVE = Environment(
    rest_url=f"https://{LIVE_HOST}",
    websocket_url=f"wss://{LIVE_HOST}:10000/api/dostk/websocket",
)
Environment.MOCK = Environment(
    rest_url=f"https://{MOCK_HOST}",
    websocket_url=f"wss://{MOCK_HOST}:10000/api/dostk/websocket",
    routes=frozenset({"KRX"}),
    limits=Limits(per_tr_per_second=1.0),
)
