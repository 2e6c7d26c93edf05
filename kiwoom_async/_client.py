"""`KiwoomClient`: names and lifetimes. What it does is done in the rooms below."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx
from attrs import evolve

from kiwoom_async._account import Account
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._calls import Calls
from kiwoom_async._desks import Counter, CreditDesk, OrderDesk
from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.feed_status import FeedState, FeedStatus
from kiwoom_async._domain.guards import OrderLimits
from kiwoom_async._domain.health import Health
from kiwoom_async._domain.intents import Intent
from kiwoom_async._domain.limit_status import LimitStatus
from kiwoom_async._domain.market_rules import MarketRules
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.reconciliation import ReconciliationReport
from kiwoom_async._domain.settings import Credentials, Environment, Limits, Timing
from kiwoom_async._domain.validation import choose
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.day_closer import DayCloser
from kiwoom_async._execution.dispatcher import Dispatcher, TwinPolicy
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.feed_keeper import FeedKeeper
from kiwoom_async._execution.follower import Follower
from kiwoom_async._execution.forgotten import ForgottenOrders
from kiwoom_async._execution.guards import OrderGuards, ReferencePrices
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._execution.originals import Originals
from kiwoom_async._execution.reconciler import FeedWatch, Reconciler
from kiwoom_async._execution.rehearsal import Rehearsal
from kiwoom_async._execution.resolver import Resolver
from kiwoom_async._execution.sender import Collaborators, Sender
from kiwoom_async._execution.settlements import Bell, Settlements
from kiwoom_async._execution.surplus import SurplusCanceler
from kiwoom_async._execution.sweeper import Sweeper
from kiwoom_async._execution.tasks import OwnTasks, complete
from kiwoom_async._execution.views import Rules
from kiwoom_async._execution.waiters import Waiters
from kiwoom_async._guards import KillSwitch
from kiwoom_async._journal.journal import Journal
from kiwoom_async._market import Market
from kiwoom_async._orders import Orders
from kiwoom_async._sharing import SharedPlace, adopts_within, choose_seal_folder, choose_shared_path, open_shared_state
from kiwoom_async._transport.feed import dial_of
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._transport.limiter import Limiter
from kiwoom_async._transport.session import RestSession
from kiwoom_async._transport.tokens import TokenKeeper
from kiwoom_async.errors import ConfigurationError, ValidationError


class KiwoomClient:
    """One account at Kiwoom, for as long as an ``async with`` block.

    Entering opens the journal, takes a token and picks up what an earlier run left in flight; leaving waits shortly for
    answers that are on their way and records the rest. Share one client among all strategies of a process; several
    processes may share one journal file on one machine.

    Args:
        credentials: App key and secret.
        environment: `Environment.MOCK`, `Environment.LIVE`, or one of your own, for example a simulator's.
        journal: Path of the SQLite file; made with mode 0600. Keep it: it is what prevents a second order. While the
            client is open, nothing else in this process may open the file, not even to read it: that would take its
            locks away (POSIX).
        timing: Bounds in seconds. What any client of the journal concludes about an order rests on the longer of its
            own and those of the client that sent the order.
        limits: Requests per second. None: the environment's published limits.
        account_exclusive: No other program places identical orders on this account (a person's are told apart).
            False: an order whose answer was lost is never claimed from the ledger, by other clients of the journal
            neither; you decide with `client.orders.resolve`.
        twins: What an order does while an identical one is unresolved: "serialize" waits for it, "fail" raises
            `NotSent`, "allow" sends.
        idempotency_header: Header that carries the client order id; None for none. Kiwoom does not read it.
        transport: Any `httpx.AsyncBaseTransport` in place of ours. It must not retry or follow redirects, and it
            gives no proof that nothing was sent, so more outcomes are unknown.
        account: Name under which the journal keeps this account. None: derived from the environment and the app key.
            Give the old name when an app key is renewed.
        feed: Follow orders by the real-time feed (주문체결). None: yes, unless you inject a `transport` or the
            environment has no websocket. Without it the ledger is asked while somebody waits for orders or events.
        market_rules: What is checked before an order leaves. None: `MarketRules()`, which refuses what the exchange
            would certainly refuse for its price, and only warns where hours or trading days look wrong; in an
            environment without hours, such as a simulator, it looks at neither.
        allow_live_orders: On an environment with `is_live`, real money, new orders and modifies are refused with
            `ValidationError` unless this is True. Reading and cancels work without it.
        order_limits: How much may be ordered; see `OrderLimits`. None: no limits.
        dry_run: True: orders, modifies and cancels are checked and kept in the journal as dry, and nothing leaves; they
            are answered by an `Order` with `is_dry`. Reading works. Such a client sends and resolves nothing that
            others have left open, logs in to the feed only with feed=True, and its ids are free for real orders.
        ambient: Clock and randomness; for simulations.
        shared_state: Path of the file through which all processes of this user that have the same app key and
            environment share one token and one rate budget; made with mode 0600, may be deleted at any time. None: a
            private folder of the user, or nothing is shared if you inject a `transport` or an `ambient`. False: nothing
            is shared. Where it cannot be used, a warning says why and the client goes on alone.
        journal_seals: Folder that remembers how far each journal has come, so that one put back from an old backup is
            refused with `JournalRestored`. Keep it apart from what your backups put back. None: a private folder of the
            user, or none if you inject a `transport` or an `ambient`. False: none.
        cancel_duplicates: If an order that was proven absent and sent again (`resend_within`) turns up after all, there
            are two on the book. That is always reported. True: the surplus one is canceled as well, once, while
            nothing of it has traded.

    Attributes:
        market: Hours, trading days and the rules; there before the client is opened.

    Raises:
        ConfigurationError: The settings cannot work.
        JournalError: The journal cannot be used.
        AuthenticationError: Kiwoom refused the credentials.
        NotSent: No token could be had, for reasons of the network.
    """

    stock: OrderDesk
    gold: OrderDesk
    credit: CreditDesk
    orders: Orders
    kill_switch: KillSwitch
    account: Account

    def __init__(  # noqa: PLR0913 - the settings of a client, all but the first by name
        self,
        credentials: Credentials,
        *,
        environment: Environment,
        journal: str | os.PathLike[str],
        timing: Timing | None = None,
        limits: Limits | None = None,
        account_exclusive: bool = True,
        twins: TwinPolicy | str = TwinPolicy.SERIALIZE,
        idempotency_header: str | None = "Idempotency-Key",
        transport: httpx.AsyncBaseTransport | None = None,
        account: str | None = None,
        feed: bool | None = None,
        market_rules: MarketRules | None = None,
        allow_live_orders: bool = False,
        order_limits: OrderLimits | None = None,
        dry_run: bool = False,
        ambient: Ambient | None = None,
        shared_state: SharedPlace = None,
        journal_seals: SharedPlace = None,
        cancel_duplicates: bool = False,
    ) -> None:
        _require_type("credentials", credentials, Credentials)
        _require_type("environment", environment, Environment)
        _require_type("timing", timing, Timing | None)
        _require_type("limits", limits, Limits | None)
        _require_type("market_rules", market_rules, MarketRules | None)
        # A text such as "false" from a file of settings must not count as yes.
        _require_type("allow_live_orders", allow_live_orders, bool)
        _require_type("order_limits", order_limits, OrderLimits | None)
        _require_type("dry_run", dry_run, bool)
        _require_type("cancel_duplicates", cancel_duplicates, bool)
        self._order_limits = order_limits
        self._cancels_duplicates = cancel_duplicates
        self._may_order = allow_live_orders or not environment.is_live
        self._is_dry = dry_run
        self._credentials = credentials
        self._timing = timing or Timing()
        self._limits = limits or environment.limits
        self._is_exclusive = account_exclusive
        self._twins = choose("twins", TwinPolicy, twins)
        self._idempotency_header = idempotency_header
        self._transport = transport
        # The one session of an app key is for a client that trades.
        self._websocket_url = _choose_feed(False if dry_run and feed is None else feed, environment, transport)
        self._ambient: Ambient = ambient or SystemAmbient()
        is_simulated = transport is not None or ambient is not None
        self._shared_path = choose_shared_path(shared_state, is_simulated=is_simulated)
        self.market = Market(market_rules or MarketRules.default(environment), environment, self._ambient)
        # Which days trade is told once, by the rules.
        self._environment = evolve(environment, trading_calendar=self.market.rules.trading_calendar)
        self._account = account or environment.account_key(credentials)
        seals = choose_seal_folder(journal_seals, is_simulated=is_simulated)
        self._journal = Journal(journal, self._ambient, self._account, seals=seals)
        self._tasks = OwnTasks()
        self._stack: AsyncExitStack | None = None
        self._was_opened = False

    def __getattr__(self, name: str) -> Any:
        if name in {"stock", "gold", "credit", "orders", "account", "kill_switch"}:
            raise ConfigurationError(
                f"client.{name} is there once the client is open: async with KiwoomClient(…) as client."
            )
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<KiwoomClient {self._environment.rest_url} journal={str(self._journal.path)!r}>"

    async def __aenter__(self) -> Self:
        """Open the journal, take a token, pick up what is open; see the class for the errors."""
        if self._was_opened:
            raise ConfigurationError("This client is open already, or was closed; make a new one.")
        self._was_opened = True
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._journal)
            session = await stack.enter_async_context(RestSession(self._environment.rest_url, self._transport))
            shared = await open_shared_state(
                stack, self._shared_path, self._environment, self._credentials, self._ambient
            )
            tokens = TokenKeeper(
                session,
                self._credentials,
                self._ambient,
                self._timing,
                store=shared,
                adopts_within=adopts_within(self._environment),
            )
            stack.push_async_callback(tokens.aclose)
            limiter = Limiter(self._limits, self._ambient, shared)
            stack.push_async_callback(limiter.aclose)
            self._build(
                tokens,
                Gateway(
                    session,
                    tokens,
                    limiter,
                    self._timing,
                    self._ambient,
                    idempotency_header=self._idempotency_header,
                ),
            )
            # After the tasks have ended, before the journal closes.
            stack.push_async_callback(self._monitor.flush)
            await tokens.get()
            if not self._is_dry:
                await self._journal.adopt_orphans()
            await self._waiters.begin()
            stack.push_async_callback(self._tasks.cancel)
            stack.callback(self._waiters.close)
            self._tasks.start(self._waiters.watch(), "kiwoom news")
            self._tasks.start(self._monitor.run(), "kiwoom monitor")
            if not self._is_dry:
                self._tasks.start(self._reconciler.run(), "kiwoom reconciler")
                self._tasks.start(self._reconciler.follow_feed(), "kiwoom feed matching")
            self._tasks.start(self._keeper.ask_the_ledger(), "kiwoom ledger polling")
            self._tasks.start(self._keeper.run(), "kiwoom feed")
            self._stack = stack.pop_all()
        return self

    def _build(self, tokens: TokenKeeper, gateway: Gateway) -> None:
        journal, ambient, timing = self._journal, self._ambient, self._timing
        self._gateway = gateway
        self._waiters = Waiters(journal)
        events = EventLog(journal, self._waiters)
        for_library = gateway.for_library()
        reader, callers_reader = LedgerReader(for_library, ambient, timing), LedgerReader(gateway, ambient, timing)
        bell, feed_bell, look_bell = Bell(), Bell(), Bell()
        self._monitor = monitor = Monitor(
            journal,
            ambient,
            timing,
            self._environment,
            is_exclusive=self._is_exclusive,
            is_own_transport=self._transport is None,
            clock_difference=lambda: gateway.clock_watch.proven,
        )
        follower = Follower(journal, reader, events, look_bell, feed_bell.ring, ambient, monitor)
        settlements = Settlements(journal, self._waiters, follower.spread)
        dial = dial_of(self._transport)
        self._keeper = FeedKeeper(
            self._websocket_url, tokens, journal, follower, look_bell, events, ambient, timing, dial
        )

        def on_unknown() -> None:
            bell.ring()
            feed_bell.ring()

        originals = Originals(journal, reader)
        together = Collaborators(journal, gateway, ambient, timing, settlements, self._tasks, monitor)
        prices = ReferencePrices(
            for_library, ambient, self._order_limits, self.market.rules.trading_calendar, self._environment
        )
        guards = OrderGuards(
            journal, prices, self._order_limits, ambient, may_send=self._may_order, is_dry=self._is_dry
        )
        self._rehearsal = Rehearsal(journal, guards, settlements, ambient, timing)
        sender = Sender(
            together,
            waits_for_twins=self._twins is not TwinPolicy.ALLOW,
            is_exclusive=self._is_exclusive,
            on_unknown=on_unknown,
            originals=originals,
            guards=guards,
        )
        self._dispatcher = Dispatcher(together, sender, twins=self._twins, on_unknown=on_unknown)
        resolver = Resolver(
            journal,
            reader,
            originals,
            self._dispatcher,
            settlements,
            ambient,
            Rules(timing, self._environment, self._is_exclusive),
            lambda: self._keeper.continuity,
            monitor,
        )
        closer = DayCloser(journal, reader, events, ambient, self._environment, timing, monitor)
        watch = FeedWatch(feed_bell, lambda: self._keeper.status.state is FeedState.LIVE)
        forgotten = ForgottenOrders(journal, reader, ambient, timing, self._environment)
        surplus = SurplusCanceler(
            journal, reader, self._dispatcher, self._tasks, ambient, is_wanted=self._cancels_duplicates
        )
        self._reconciler = Reconciler(
            journal,
            reader,
            resolver,
            self._dispatcher,
            closer,
            forgotten,
            surplus,
            watch,
            bell,
            ambient,
            timing,
            monitor,
            follower,
        )
        check = self.market.objection_to
        counter = Counter(ambient, self._environment, self._account, self._place, check, self._is_dry)
        self.stock = OrderDesk(Desk.STOCK, counter)
        self.gold = OrderDesk(Desk.GOLD, counter)
        self.credit = CreditDesk(counter)
        sweeper = Sweeper(journal, reader, self._place, ambient, timing)
        rehearsal = self._rehearsal if self._is_dry else None
        self.orders = Orders(
            journal,
            callers_reader,
            self._reconciler,
            settlements,
            events,
            ambient,
            sweeper=sweeper,
            rehearsal=rehearsal,
        )
        self.kill_switch = KillSwitch(journal, ambient, gateway.longest_lag)
        self.account = Account(gateway, callers_reader, ambient, self.market.remember_quote)
        self._calls = Calls(gateway)

    @property
    def feed(self) -> FeedStatus:
        """Say how this client hears of its orders at this moment, and what went wrong if something did."""
        if self._stack is None:
            return FeedStatus(FeedState.OFF, text="the client is not open")
        return self._keeper.status

    async def call(
        self, api_id: str, body: Mapping[str, str] | None = None, *, path: str | None = None
    ) -> Mapping[str, Any]:
        """Ask any query of Kiwoom's public guide by its id and give the first page of its answer as it came.

        Orders are refused: they go through the journal, that is through `stock`, `gold` and `credit`.

        Args:
            api_id: The TR's id (TR명), for example ``ka10081``.
            body: Field name to value, every value as text, in Kiwoom's own words. None: no fields.
            path: Where to post it, for a TR that this release does not know. None: found by the id.

        Returns:
            The JSON object, with ``return_code`` and ``return_msg``. Empty where Kiwoom says by an error that there is
            nothing.

        Raises:
            ConfigurationError: The client is not open.
            ValidationError: The TR is unknown (near matches are named), is an order or no query, or a value is not
                text. Nothing was sent.
            QueryFailed: There is no complete answer, or it refuses with a code that has no error of its own.
            AuthenticationError: The key, the secret or a new token was refused.
            RateLimited: Kiwoom's rate limit, in spite of ours.
            InvalidRequest: Kiwoom did not understand the query.

        Delivery: Nothing is journaled; neither body nor answer is logged. The query waits for a slot of the rate limit
        and is asked once more if its token was refused. Bound the wait with `asyncio.timeout`.

        Cancellation: Safe. The slot is given back, the answer thrown away.

        Source: any TR of the public guide.
        """
        self._require_open("call")
        return await self._calls.call(api_id, body, path=path)

    def pages(
        self,
        api_id: str,
        body: Mapping[str, str] | None = None,
        *,
        path: str | None = None,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Ask any query page after page (연속조회), for ``async for``; each page is given as it came.

        A page is asked when the one before has been dealt with. The pages are no snapshot: rows can come twice or be
        missing where the book moves meanwhile; `account` takes care of that.

        Args:
            api_id: The TR's id (TR명), for example ``ka10081``.
            body: Field name to value, every value as text. None: no fields.
            path: Where to post it, for a TR that this release does not know. None: found by the id.
            limit: Pages at most. None: all there are.
            progress: Called with the count of pages read so far, before each is given. None: not wanted.

        Raises:
            ConfigurationError: At once: the client is not open.
            ValidationError: At once, as by `call`; `limit` has to be a whole number above zero. Nothing was sent.
            QueryFailed: While iterating: a page failed, or the pages do not end. What came before is not the whole.
            AuthenticationError: As by `call`, while iterating.
            RateLimited: As by `call`, while iterating.
            InvalidRequest: As by `call`, while iterating.

        Delivery: As of `call`.

        Cancellation: Safe, also between two pages. Whoever leaves early can close the iterator with
        `contextlib.aclosing`; nothing is held open between two pages in any case.

        Source: ``cont-yn`` and ``next-key`` of the answer's headers, which the next request repeats.
        """
        self._require_open("pages")
        return self._calls.pages(api_id, body, path=path, limit=limit, progress=progress)

    def _require_open(self, name: str) -> None:
        if self._stack is None:
            raise ConfigurationError(f"client.{name} needs an open client: async with KiwoomClient(…) as client.")

    async def _place(
        self, intent: Intent, deadline: float | None, is_fresh: bool, objection: ValidationError | None
    ) -> Order:
        if objection is not None and await self._journal.find(intent.client_order_id) is None:
            raise objection
        if self._is_dry:
            return await self._rehearsal.place(intent, deadline=deadline)
        return await self._dispatcher.place(intent, deadline=deadline, is_fresh=is_fresh)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait shortly for answers on their way, record the rest, close everything."""
        stack, self._stack = self._stack, None
        if stack is None:
            return
        _, cancellation = await complete(self._close(stack))
        if cancellation is not None:
            raise cancellation

    async def _close(self, stack: AsyncExitStack) -> None:
        try:
            await self._dispatcher.drain(self._timing.drain_timeout)
        finally:
            await stack.aclose()

    @property
    def limits(self) -> LimitStatus:
        """Say how many requests wait for the rate limits (유량) at this moment, and what waiting has cost so far."""
        return LimitStatus() if self._stack is None else self._gateway.limits

    async def health(self) -> Health:
        """Say how the assumptions are doing that the promises rest on, and what is unresolved.

        Fast, and asks nobody: it reads the journal and what this client has measured. An alarm does not stop the
        client; it goes on as safely as it can, and `OrderLimits` and `kill_switch` are there to hold orders.

        Returns:
            The state in one word, one entry per assumption with its measurements and what to do next, and counters.
            Findings are kept in the journal, so that every process and the next run see them; they are in force for
            three days, and count as a warning until two weeks are over. A journal that cannot be read is an alarm (A1),
            no error.

        Raises:
            ConfigurationError: The client is not open.

        Cancellation: Safe.
        """
        self._require_open("health")
        return await self._monitor.health(self._keeper.status)

    async def revoke_token(self) -> bool:
        """Give the access token back to Kiwoom (접근토큰폐기), for example before the machine is handed on.

        The token dies for every process that shares it; whoever sends the next request, this client too, gets another.

        Returns:
            Whether Kiwoom confirmed it; False also where there was no token. It is forgotten here in any case.

        Raises:
            ConfigurationError: The client is not open.

        Delivery: Nothing is journaled. Sent once.

        Cancellation: The token is forgotten, and may or may not have died at Kiwoom.

        Source: au10002.
        """
        if self._stack is None:
            raise ConfigurationError(
                "client.revoke_token() needs an open client: async with KiwoomClient(…) as client."
            )
        return await self._gateway.revoke_token()

    async def reconcile(self) -> ReconciliationReport:
        """Do one full pass now over everything unresolved. The client does the same by itself.

        Raises:
            KiwoomError: The journal or the broker could not be asked; nothing was concluded from that.
            ConfigurationError: This client is a dry run.
        """
        if self._is_dry:
            raise ConfigurationError(
                "A client with dry_run=True leaves what is unresolved to clients that send; open one without it."
            )
        return await self._reconciler.reconcile()


def _require_type(name: str, value: object, kind: Any) -> None:
    # The value is not shown: it may be a secret in the wrong place.
    if not isinstance(value, kind):
        wanted = getattr(kind, "__name__", re.sub(r"kiwoom_async\._domain\.[a-z_]+\.", "", str(kind)))
        raise ConfigurationError(f"KiwoomClient({name}=…) must be of the type {wanted}.")


def _choose_feed(feed: bool | None, environment: Environment, transport: httpx.AsyncBaseTransport | None) -> str | None:
    if feed and environment.websocket_url is None:
        raise ConfigurationError("feed=True needs an environment with a websocket_url; this one has none.")
    # Who puts a transport of his own in place of the network does not want another way to it.
    is_wanted = transport is None if feed is None else feed
    return environment.websocket_url if is_wanted else None
