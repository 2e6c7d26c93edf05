"""The simulator as a user holds it: one object that is a broker, its market and its misfortunes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import date, timedelta
from types import TracebackType
from typing import Self

from attrs import define, field

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.settings import Credentials, Environment, Limits
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async.simulator.catalog import WEBSOCKET_PATH
from kiwoom_async.simulator.chance import Generator, digits, seeded
from kiwoom_async.simulator.exchange import Exchange, Liquidity
from kiwoom_async.simulator.faults import Fault, FaultDirector, FaultKind, FaultPlan
from kiwoom_async.simulator.feed import Feed, FeedHabits
from kiwoom_async.simulator.feed_faults import FeedFault, FeedFaultDirector, FeedFaultKind, FeedFaultPlan
from kiwoom_async.simulator.feed_line import FeedLine
from kiwoom_async.simulator.feed_pusher import Later, Pusher
from kiwoom_async.simulator.feed_server import FeedServer
from kiwoom_async.simulator.frames import FrameWriter
from kiwoom_async.simulator.gate import RateGate, RateLimitStyle, TokenOffice, TokenPolicy
from kiwoom_async.simulator.orders import BookOrder, Channel, Fill, Flavour, OrderRequest, ReceivedRequest
from kiwoom_async.simulator.queries import EmptyList
from kiwoom_async.simulator.rejections import Funds, Hours, Rules
from kiwoom_async.simulator.server import LateTasks, SocketServer
from kiwoom_async.simulator.service import Habits, Service
from kiwoom_async.simulator.transport import InProcessTransport

_Lag = float | Callable[[Generator], float]


def _drawing(lag: _Lag, random: Generator) -> Callable[[], float]:
    """Make a function without arguments of a lag."""
    return (lambda: lag(random)) if callable(lag) else (lambda: lag)


def _as_credentials(value: Credentials | Iterable[Credentials] | None) -> tuple[Credentials, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, Credentials) else tuple(value)


@define(kw_only=True, eq=False)
class Simulator:
    """A local broker. Use it with `async with`; it listens on a free port of this machine.

    Attributes:
        seed: Everything left to chance comes from it.
        faults: What goes wrong: a plan, some faults for the next requests, or nothing.
        ambient: The clock; None: the real one.
        host, port: Where to listen; port 0 takes a free one.
        flavour: Which of Kiwoom's environments is played.
        limits: Requests per second; None: no limit.
        token_policy: What a second token does to the first.
        page_size: Rows per page of a list.
        ledger_lag: Seconds until a view shows an order or a change of it; a function draws it for each order.
        empty_list: How an empty list is answered.
        credentials: The keys that get a token; None: any. All keys trade on one account.
        accept_any_user_agent: Whether the firewall lets the default names of HTTP libraries in.
        rate_limit_style: How too many requests are answered.
        ledger_tells_credit: Whether the texts of the stock ledger tell an order on credit from one for cash.
        fr_ord_no_inclusive: Whether the order number that a query starts from is listed.
        liquidity: How willingly the market trades.
        prices: The last price of symbols; for these the daily price band is checked.
        check_ticks: Whether prices off the grid are refused.
        hours: Whether the market ever closes.
        funds: What the account owns; nothing given: without limit.
        listen: False: no socket, only `transport`.
        observer: Gets one line for each order and each fault.
        feed: How the real-time feed behaves.
        feed_faults: What goes wrong on it: a plan, some faults for the next frames, or nothing.
        feed_lag: Seconds from a change of an order to its frames; a function draws it for each. Their order stays.
    """

    seed: int = 1
    faults: FaultPlan | Iterable[Fault] | None = None
    ambient: Ambient | None = None
    host: str = "127.0.0.1"
    port: int = 0
    flavour: Flavour = field(default=Flavour.REAL, converter=Flavour)
    limits: Limits | None = None
    token_policy: TokenPolicy = field(default=TokenPolicy.SAME, converter=TokenPolicy)
    page_size: int = 20
    ledger_lag: _Lag = 0.0
    empty_list: EmptyList = field(default=EmptyList.SUCCESS, converter=EmptyList)
    credentials: Credentials | Iterable[Credentials] | None = None
    accept_any_user_agent: bool = False
    rate_limit_style: RateLimitStyle = RateLimitStyle.HTTP_429
    ledger_tells_credit: bool = True
    fr_ord_no_inclusive: bool = True
    liquidity: Liquidity = field(factory=Liquidity)
    prices: Mapping[str, int] = field(factory=dict)
    check_ticks: bool = True
    hours: Hours = Hours.ALWAYS
    funds: Funds = field(factory=Funds)
    listen: bool = True
    observer: Callable[[str], None] | None = None
    feed: FeedHabits = field(factory=FeedHabits)
    feed_faults: FeedFaultPlan | Iterable[FeedFault] | None = None
    feed_lag: _Lag = 0.0
    _service: Service = field(init=False)
    _server: SocketServer | None = field(init=False, default=None)
    _late: LateTasks = field(init=False, factory=LateTasks)
    _transport: InProcessTransport = field(init=False)
    _feed: Feed = field(init=False)
    _feed_server: FeedServer = field(init=False)
    _is_running: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        clock = self.ambient or SystemAmbient()
        random = seeded(self.seed)
        self._service = Service(
            clock,
            Exchange(
                korean_day(clock.now()),
                random,
                self.liquidity,
                _drawing(self.ledger_lag, random),
                dict(self.prices),
            ),
            Rules(self.flavour, self.check_ticks, self.hours, self.funds),
            TokenOffice(self.seed, self.token_policy, _as_credentials(self.credentials)),
            FaultDirector(FaultPlan.of(self.faults)),
            f"8{digits(7, self.seed, 'account')}11",
            RateGate(self.limits) if self.limits is not None else None,
            Habits(
                self.page_size,
                self.empty_list,
                self.fr_ord_no_inclusive,
                self.rate_limit_style,
                self.accept_any_user_agent,
                self.ledger_tells_credit,
            ),
            observer=self.observer,
        )
        self._transport = InProcessTransport(self._service, self._late, self._is_refusing)
        exchange, holdings = self._service.exchange, self.funds.holdings or {}
        self._feed = Feed(
            self._service.office,
            FrameWriter(self.account, exchange, holdings, self.feed.reporting),
            clock.now,
            self.flavour,
            self.feed,
            Pusher(
                FeedFaultDirector(FeedFaultPlan.of(self.feed_faults)),
                _drawing(self.feed_lag, seeded(int(digits(9, self.seed, "feed")))),
                self.observer,
            ),
        )
        self._feed_server = FeedServer(self._feed, self._service.now)
        exchange.ledger.listener = self._feed.hear

    async def __aenter__(self) -> Self:
        if self.listen:
            self._server = SocketServer(self._service, self._feed_server, self._late, self.host, self.port)
            await self._server.start()
        self._is_running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_running = False
        self._transport.stop()
        if self._server is not None:
            await self._server.close()
        # Last: a request that arrived until now may have left something to do.
        await self._late.close()

    # Where it is

    @property
    def url(self) -> str:
        """The root of the REST API.

        Raises:
            RuntimeError: The simulator has not been entered, so it has no port yet.
        """
        if not self.listen:
            return "http://simulator.invalid"
        if self._server is None:
            raise RuntimeError("Enter the simulator first: `async with Simulator() as broker`.")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._server.port}"

    @property
    def environment(self) -> Environment:
        """The settings for a client."""
        routes = {Route.KRX.value} if self.flavour is Flavour.MOCK else {route.value for route in Route}
        return Environment(
            rest_url=self.url,
            websocket_url=f"ws{self.url.removeprefix('http')}{WEBSOCKET_PATH}" if self.listen else None,
            routes=frozenset(routes),
            limits=self.limits or Limits.off(),
        )

    @property
    def transport(self) -> InProcessTransport:
        """The same broker for httpx, without a socket."""
        return self._transport

    @property
    def account(self) -> str:
        """The account number."""
        return self._service.account

    # What it knows

    @property
    def orders(self) -> tuple[BookOrder, ...]:
        """Every order, modify and cancel that a request has put on the book, any day, as accepted."""
        return tuple(order for order in self.all_orders if not order.is_foreign)

    @property
    def all_orders(self) -> tuple[BookOrder, ...]:
        """The same with the orders other people placed on the account."""
        self._service.now()
        return tuple(entry.current for entry in self._service.exchange.ledger.accepted)

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Every execution, in order."""
        self._service.now()
        return tuple(self._service.exchange.fills)

    @property
    def requests(self) -> list[ReceivedRequest]:
        """What arrived on the wire, in the order of arrival."""
        return self._service.requests

    def count(self, api_id: str) -> int:
        """Count the requests that arrived for a TR."""
        return sum(request.api_id == api_id for request in self._service.requests)

    @property
    def rate_refusals(self) -> Counter[str]:
        """How often each TR was refused because there were too many requests; faults are not counted."""
        return Counter() if self._service.gate is None else self._service.gate.refused

    @property
    def faults_injected(self) -> Counter[FaultKind]:
        """How often each fault has hit."""
        return self._service.director.injected

    @property
    def feed_faults_injected(self) -> Counter[FeedFaultKind]:
        """How often each fault of the feed has hit."""
        return self._feed.pusher.director.injected

    @property
    def feed_sessions(self) -> int:
        """How many sessions are logged in to the feed."""
        return sum(session.is_logged_in for session in self._feed.sessions)

    @property
    def feed_logins(self) -> int:
        """How many logins the feed has accepted."""
        return self._feed.logins

    @property
    def feed_frames(self) -> list[dict[str, object]]:
        """The REAL frames that have left for at least one session, in order; repeated ones as often as they left."""
        return self._feed.pusher.sent

    @property
    def late_acceptances_dropped(self) -> int:
        """Requests still to be accepted when the simulator was closed; they never reached the book."""
        return 0 if self._is_running else self._late.pending

    @property
    def tokens_issued(self) -> int:
        """How many different tokens were given out."""
        return self._service.office.issued

    @property
    def day(self) -> date:
        """The trading day that is open."""
        self._service.now()
        return self._service.exchange.day

    # Without a socket

    def dial_feed(self, wake: Callable[[], None], later: Later) -> FeedLine | None:
        """Connect to the feed within the process; None where handshakes are refused.

        Args:
            wake: Called when there is something in the line's outbox.
            later: Does something after some seconds; lends the feed its clock.
        """
        if self._feed_server.refusals or not self._is_running:
            return None
        self._feed.pusher.later = later
        return FeedLine(self._feed, self._feed.connect(wake))

    def settle(self) -> None:
        """Carry out what is due by the clock: nobody else does while no request comes and no socket is served."""
        self._service.now()

    # What can be done to it

    def set_faults(self, faults: FaultPlan | Iterable[Fault] | None) -> None:
        """Replace what goes wrong from now on."""
        self._service.director.follow(FaultPlan.of(faults))

    def set_feed_faults(self, faults: FeedFaultPlan | Iterable[FeedFault] | None) -> None:
        """Replace what goes wrong on the feed from now on."""
        self._feed.pusher.director.follow(FeedFaultPlan.of(faults))

    def place_foreign(  # noqa: PLR0913 - the fields of an order
        self,
        *,
        symbol: str,
        side: Side | str,
        quantity: int,
        price: int | None = None,
        channel: str = Channel.HOME_TRADING,
        order_type: OrderType | None = None,
        route: Route | str = Route.KRX,
        desk: Desk | str = Desk.STOCK,
        stop_price: int | None = None,
        loan_date: date | None = None,
    ) -> BookOrder:
        """Place somebody else's order on the same account, unchecked."""
        wanted = OrderRequest(
            Action.NEW,
            Desk(desk),
            symbol,
            Side(side),
            quantity=quantity,
            price=price,
            order_type=order_type or (OrderType.MARKET if price is None else OrderType.LIMIT),
            route=Route(route),
            stop_price=stop_price,
            channel=channel,
            is_foreign=True,
            loan_date=loan_date,
        )
        return self._service.exchange.place(wanted, self._service.now())

    def cancel_foreign(self, order_no: str, quantity: int | None = None) -> BookOrder:
        """Cancel an order of today from another program."""
        now = self._service.now()
        order = self._service.exchange.get(order_no)
        wanted = OrderRequest(
            Action.CANCEL,
            order.desk,
            order.symbol,
            quantity=quantity,
            original=order_no,
            channel=Channel.HOME_TRADING,
            is_foreign=True,
        )
        return self._service.exchange.cancel(wanted, now)

    def place_stranger(self, count: int = 1) -> None:
        """Let other accounts take order numbers."""
        self._service.exchange.skip_numbers(count)

    def fill(self, order_no: str, quantity: int | None = None, price: int | None = None) -> BookOrder:
        """Trade against a working order of today.

        Args:
            order_no: Its number.
            quantity: None: all that is left.
            price: None: the price the order works with.
        """
        now = self._service.now()
        return self._service.exchange.fill(order_no, quantity, price, now)

    def refuse(self, order_no: str, reason: str = "주문 거부") -> BookOrder:
        """Refuse what is left of a working order of today, after it was accepted.

        Args:
            order_no: Its number.
            reason: What the feed says; no view shows it.
        """
        now = self._service.now()
        return self._service.exchange.refuse(order_no, reason, now)

    def move_price(self, symbol: str, price: int, desk: Desk | str = Desk.STOCK) -> None:
        """Let the market trade a symbol at a price; stop orders that it reaches begin to work."""
        self._service.exchange.move_price(symbol, price, self._service.now(), Desk(desk))

    def advance_day(self) -> date:
        """Change the day by script: working orders expire, order numbers restart low, old days stay readable.

        The broker's calendar goes to the day after the open one. If the clock has arrived there by itself,
        nothing more is added to it; otherwise the broker is a day ahead of the clock from now on.
        """
        day = self._service.exchange.day + timedelta(days=1)
        self._service.advance_day(day)
        return self._service.exchange.day

    def forget_before(self, day: date) -> None:
        """Drop what is remembered of the days before one: orders, fills, requests; and every frame of the feed.

        For runs of many days, which would fill the memory. Whoever asks for such a day finds it empty.
        """
        exchange, requests = self._service.exchange, self._service.requests
        exchange.ledger.forget_before(day)
        exchange.fills[:] = [fill for fill in exchange.fills if fill.day >= day]
        requests[:] = [request for request in requests if request.at.date() >= day]
        self.feed_frames.clear()

    def expire_token(self) -> None:
        """Let the current tokens die: their next use is answered with 8005."""
        self._service.office.revoke_all()

    def cut_feed(self) -> None:
        """Abort every connection of the feed now."""
        self._feed.cut()

    def take_over_session(self) -> None:
        """End every session of the feed, as when another program logs in with the same key."""
        self._feed.take_over()

    @asynccontextmanager
    async def refusing_feed(self, status: int | None = 503) -> AsyncIterator[None]:
        """Refuse websocket handshakes for a while; sessions that are open stay, and REST works.

        Args:
            status: The HTTP status of the refusal; None: the connection is closed without an answer.
        """
        server = self._feed_server
        server.refusals, server.refusal_status = server.refusals + 1, status
        try:
            yield
        finally:
            server.refusals -= 1

    @asynccontextmanager
    async def refusing_connections(self) -> AsyncIterator[None]:
        """Stop listening for a while and cut every connection: who connects is refused."""
        if self._server is None:
            self._transport.refusals += 1
            try:
                yield
            finally:
                self._transport.refusals -= 1
            return
        await self._server.refuse()
        try:
            yield
        finally:
            await self._server.accept()

    def _is_refusing(self) -> bool:
        return not self._is_running or (self._server is not None and self._server.is_refusing)
