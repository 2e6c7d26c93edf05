"""Who holds the feed, and what happens when it breaks: log in, follow, try again, or leave it to somebody else.

Kiwoom allows one session per app key, so of the processes that share a journal one holds the feed, by a lease; the
others read its events from the journal and take over when it dies.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import anyio
from attrs import define, field, frozen

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.feed_status import Continuity, FeedState, FeedStatus
from kiwoom_async._domain.settings import Timing
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.follower import Follower
from kiwoom_async._execution.settlements import Bell
from kiwoom_async._journal.journal import Journal
from kiwoom_async._transport.feed import SILENCE_LIMIT, Dial, FeedConnection, open_feed
from kiwoom_async._transport.tokens import TokenKeeper
from kiwoom_async._wire.frames import RealEntry
from kiwoom_async.errors import (
    AuthenticationError,
    JournalError,
    KiwoomError,
    StreamError,
    StreamLoginRefused,
    StreamLost,
    StreamReplaced,
)

_LOG: Final = logging.getLogger("kiwoom_async")

LEASE_SECONDS: Final = 10.0
"""How long a holder that is not heard of keeps the feed. Source: our choice: a dead process is noticed sooner, by its
lock; this is for one that hangs."""

RENEW_EVERY: Final = 3.0
"""Seconds. Source: our choice, a third of the lease."""

ASK_FOR_LEASE_EVERY: Final = 1.0
"""Seconds between two tries to take over from another process. Source: our choice."""

SLOWEST: Final = 32
"""Tries to connect are spaced out up to this many reconcile intervals. Source: our choice."""

REPLACED_PAUSES: Final = (60.0, 300.0)
"""Seconds before we log in again after another program has taken the session, each time; then never again, because two
clients that both reconnect close each other's session for ever. Source: our choice."""

REFUSED_PAUSE: Final = 60.0
"""Seconds before the next try after a login that was refused for another reason than its token. Source: our choice."""

_REPLACED: Final = (
    "another program logged in with this app key (R10001), so Kiwoom closed our session; orders are followed by asking "
    "the ledger. Stop the other program, or give it a key of its own, and open the client anew"
)


@frozen
class _Ended:
    """How a session ended."""

    error: KiwoomError
    lived: float = 0.0


@define
class _Session:
    """A session under way.

    Attributes:
        is_closed: The gap before it is closed: the ledger was asked, and once more when it must have listed what
            happened before the session began.
        is_behind: What came is not recorded yet.
    """

    connection: FeedConnection
    epoch: int
    since: float
    since_at: datetime
    is_closed: bool = False
    is_behind: bool = False
    ended: list[StreamError] = field(factory=list)


class FeedKeeper:
    """Hold the feed as long as this process may, and look at the ledger while nobody does.

    Args:
        url: The websocket; None: no feed.
        tokens: For logging in.
        journal: Keeps the lease and the certificates of continuity.
        follower: Told what the feed says.
        bell: Rings when a look at the ledger is owed.
        events: Tells whether anybody listens.
        ambient: The clocks.
        timing: The bounds.
        dial: Makes the line of each session.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place
        self,
        url: str | None,
        tokens: TokenKeeper,
        journal: Journal,
        follower: Follower,
        bell: Bell,
        events: EventLog,
        ambient: Ambient,
        timing: Timing,
        dial: Dial,
    ) -> None:
        self._url = url
        self._dial = dial
        self._tokens = tokens
        self._journal = journal
        self._follower = follower
        self._events = events
        self._ambient = ambient
        self._timing = timing
        self._lease = f"feed of {journal.account}"
        self._state = FeedState.OFF if url is None else FeedState.CONNECTING
        self._text = ""
        self._session: _Session | None = None
        self._held: int | None = None  # the lease under which the session began
        self._replacements = 0
        self._failures = 0
        self._refused_tokens = 0
        self._bell = bell
        self._next_audit = 0.0

    @property
    def status(self) -> FeedStatus:
        """Say how this client hears of its orders at this moment."""
        if self._session is None:
            return FeedStatus(self._state, text=self._text)
        if self._session.is_behind:
            return FeedStatus(FeedState.CONNECTING, text="what the feed reports cannot be recorded at the moment")
        if self._follower.owes_a_look or not self._session.is_closed:
            return FeedStatus(FeedState.CONNECTING, text="what was missed is being asked for")
        return FeedStatus(FeedState.LIVE, since=self._session.since_at)

    @property
    def continuity(self) -> Continuity | None:
        """Certify how long this process's session has been unbroken; None without one."""
        session = self._session
        if session is None:
            return None
        return Continuity(self._ambient.boot_id, session.since, session.connection.heard)

    # ------------------------------------------------------------------ the ledger, while there is no feed

    async def ask_the_ledger(self) -> None:
        """Look at the working orders whenever the feed does not tell of them, for as long as the client lives.

        While it does, a rare look finds what it has left out: frames carry no sequence number, so one that never came
        leaves no gap to be seen.
        """
        while True:
            self._bell.muffle()
            if self._must_ask:
                self._next_audit = self._ambient.monotonic() + self._timing.watch_interval
                try:
                    await self._look(self._session)
                except KiwoomError as error:
                    _LOG.info("working orders are looked at later: %s", error)
                except Exception:  # noqa: BLE001 - a fault of ours must not end the watch over open orders
                    _LOG.exception("following orders met a fault of the library and goes on later")
                # Whatever is missed meanwhile is found by the same look.
                await anyio.sleep(self._timing.reconcile_interval)
            if self._is_fed and self._follower.owes_a_look:
                continue
            with anyio.move_on_after(min(self._timing.poll_interval, self._gap_closes_in)):
                await self._bell.wait()

    async def _look(self, session: _Session | None) -> None:
        began = self._ambient.monotonic()
        has_asked = await self._follower.catch_up()
        # The ledger may list late what happened before the session; what happens in it is told by the feed.
        if session is not None and (not has_asked or began >= session.since + self._timing.visibility_bound):
            session.is_closed = True

    @property
    def _gap_closes_in(self) -> float:
        if self._session is None or self._session.is_closed:
            return math.inf
        return max(0.0, self._session.since + self._timing.visibility_bound - self._ambient.monotonic())

    @property
    def _is_fed(self) -> bool:
        return self._session is not None or self._state is FeedState.ELSEWHERE

    @property
    def _must_ask(self) -> bool:
        if self._session is not None and (self._ambient.monotonic() >= self._next_audit or not self._gap_closes_in):
            return True
        if self._is_fed:
            return self._follower.owes_a_look
        return self._events.is_heard if self._state is FeedState.OFF else True

    # ------------------------------------------------------------------ the feed

    async def run(self) -> None:
        """Hold the feed for as long as the client lives."""
        while self._url is not None:
            try:
                held = await self._take_lease()
                if held is None:
                    self._note(FeedState.ELSEWHERE, "another process on this journal holds the feed")
                    await anyio.sleep(ASK_FOR_LEASE_EVERY)
                    continue
                self._held = held
                self._note(FeedState.CONNECTING, self._text)
                await self._rest(await self._pause_after(await self._hold(self._url)))
            except KiwoomError as error:
                _LOG.warning("the feed is tried again later: %s", error)
                await anyio.sleep(ASK_FOR_LEASE_EVERY)
            except Exception:  # noqa: BLE001 - see `ask_the_ledger`
                _LOG.exception("the feed met a fault of the library and is tried again")
                await anyio.sleep(ASK_FOR_LEASE_EVERY)

    def _note(self, state: FeedState, text: str) -> None:
        self._state, self._text = state, text

    async def _take_lease(self) -> int | None:
        return await self._journal.take_lease(self._lease, LEASE_SECONDS)

    async def _rest(self, seconds: float | None) -> None:
        """Wait without giving the feed away; None: for ever."""
        until = float("inf") if seconds is None else self._ambient.monotonic() + seconds
        while (left := until - self._ambient.monotonic()) > 0:
            await anyio.sleep(min(left, RENEW_EVERY))
            if left > RENEW_EVERY and not await self._keep_lease():
                return

    async def _keep_lease(self) -> bool:
        return await self._renew_lease() is not None

    async def _renew_lease(self) -> int | None:
        try:
            return await self._take_lease()
        except JournalError as error:
            # A login before its time would be worse than a lease that runs out.
            _LOG.warning("the lease of the feed is not renewed yet: %s", error)
            return self._held

    async def _pause_after(self, ended: _Ended) -> float | None:
        error = ended.error
        if isinstance(error, StreamReplaced):
            return await self._pause_after_replacement(error)
        _LOG.warning("the feed ended: %s", error)
        if isinstance(error, AuthenticationError) or (
            isinstance(error, StreamLoginRefused) and (not error.is_token_refused or self._refused_tokens > 1)
        ):
            self._note(FeedState.REFUSED, str(error))
            return REFUSED_PAUSE
        self._note(FeedState.CONNECTING, str(error))
        interval = self._timing.reconcile_interval
        # A session that lived shows that Kiwoom takes us; only failures in a row are spaced out.
        self._failures = 0 if ended.lived > interval * SLOWEST else self._failures + 1
        if ended.lived > REPLACED_PAUSES[-1]:
            self._replacements = 0
        return interval * float(min(2 ** min(self._failures - 1, 10), SLOWEST)) if self._failures else 0.0

    async def _pause_after_replacement(self, error: StreamReplaced) -> float | None:
        if await self._renew_lease() != self._held:
            # It was our own other process, which has taken the feed over from us. It may have given it back since: a
            # process that stalls hears of the end of its session late.
            _LOG.warning("the feed ended: another process of this journal had taken it over")
            return 0.0
        _LOG.error("the feed ended: %s", error)
        self._note(FeedState.REPLACED, _REPLACED)
        self._replacements += 1
        if self._replacements > len(REPLACED_PAUSES):
            return None
        return REPLACED_PAUSES[self._replacements - 1]

    async def _hold(self, url: str) -> _Ended:
        """Log in and follow until the session ends; say how it did."""
        began = self._ambient.monotonic()
        try:
            token = await self._tokens.get()
            try:
                async with open_feed(
                    url,
                    token.value,
                    timing=self._timing,
                    ambient=self._ambient,
                    silence_limit=SILENCE_LIMIT,
                    dial=self._dial,
                ) as connection:
                    began = self._ambient.monotonic()
                    error: KiwoomError = await self._follow(connection)
            except StreamLoginRefused as refusal:
                if refusal.is_token_refused:
                    self._refused_tokens += 1
                # Orders are sent with the same token. A login that refuses a fresh one as well has another reason.
                if self._refused_tokens == 1:
                    self._tokens.reject(token)
                raise
        except KiwoomError as failure:
            error = failure
        return _Ended(error, self._ambient.monotonic() - began)

    async def _follow(self, connection: FeedConnection) -> StreamError:
        since, since_at = self._ambient.monotonic(), self._ambient.now()
        epoch = await self._journal.begin_feed(since, since_at)
        session = _Session(connection, epoch, since, since_at)
        self._refused_tokens = 0
        connection.on_illegible = self._follower.owe_a_look
        # What happened before nobody has told us.
        self._session = session
        self._follower.owe_a_look()
        try:
            await self._carry_on(session)
        finally:
            self._session = None
            with anyio.CancelScope(shield=True):
                reason = str(session.ended[0]) if session.ended else "the client was closed"
                await self._end_certificate(session, reason)
        return session.ended[0]

    async def _end_certificate(self, session: _Session, reason: str) -> None:
        try:
            await self._journal.end_feed(session.epoch, session.connection.heard, reason)
        except JournalError as error:
            # Without an end it reads as broken where it was last renewed.
            _LOG.warning("the end of the feed's session is not recorded: %s", error)

    async def _carry_on(self, session: _Session) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._renew, session, group.cancel_scope)
            try:
                async for batch in session.connection.batches():
                    await self._write(session, batch)
            except StreamError as error:
                session.ended.append(error)
            group.cancel_scope.cancel()

    async def _write(self, session: _Session, batch: Sequence[RealEntry]) -> None:
        while True:
            try:
                await self._follower.take(batch)
                session.is_behind = False
                break
            except JournalError as error:
                session.is_behind = True
                _LOG.error("reports of the feed are not recorded yet: %s", error)
                await anyio.sleep(self._timing.reconcile_interval)

    async def _renew(self, session: _Session, scope: anyio.CancelScope) -> None:
        held_until = self._ambient.monotonic() + LEASE_SECONDS
        while True:
            await anyio.sleep(RENEW_EVERY)
            try:
                is_held = await self._take_lease() is not None
                await self._journal.note_feed(session.epoch, session.connection.heard)
                held_until = self._ambient.monotonic() + LEASE_SECONDS
            except JournalError as error:
                _LOG.warning("the lease of the feed is not renewed yet: %s", error)
                is_held = self._ambient.monotonic() < held_until
            if not is_held:
                session.ended.append(StreamLost("another process of this journal has taken it over"))
                scope.cancel()
                return
