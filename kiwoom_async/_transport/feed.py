"""One connection to the real-time feed: opened, logged in, registered, read until it ends. It never opens itself again.

A task of its own reads the socket, so that the server's PING is echoed and a silence noticed whatever the reader of the
entries is busy with.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import aiohttp
import anyio
from aiohttp.http import HttpProcessingError, WebSocketError
from attrs import evolve

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.settings import Timing
from kiwoom_async._transport.session import USER_AGENT
from kiwoom_async._wire.frames import (
    FEED_TYPES,
    NO_HEARTBEAT,
    REPLACED,
    Frame,
    LoginAnswer,
    Malformed,
    Ping,
    Real,
    RealEntry,
    RegisterAnswer,
    System,
    Unknown,
    login_frame,
    read_frame,
    register_frame,
)
from kiwoom_async.errors import StreamError, StreamLoginRefused, StreamLost, StreamReplaced

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_LOG: Final = logging.getLogger("kiwoom_async")

SILENCE_LIMIT: Final = 35.0
"""Seconds without any frame after which the feed is lost. Source: the mock sends a PING every 10 s (measured
2026-09-10; the live service's interval is not known), so that three of them are missing."""

AWAY_MARGIN: Final = 5.0
"""Seconds beyond the silence limit after which what is read has waited for a process that was stopped. Source: our
choice, the time of a late timer."""

MOST_WAITING: Final = 100_000
"""Reports that may wait to be recorded. Source: our choice; a day of the busiest bot is less."""

REPLACED_WITHIN: Final = 15.0
"""An end this many seconds after R10001 is the end it announced. Source: our choice, more than one interval of PINGs: a
session that is pinged after that has outlived it, as one author saw two sessions do."""

LARGEST_FRAME: Final = 16 * 1024 * 1024
"""Bytes. Source: our choice, to bound the memory; a report of an order has under 2 KiB."""

CLOSE_GRACE: Final = 1.0
"""Seconds for closing. Source: our choice; nothing is told to us in them."""

_KINDS_OF_ODDITIES: Final = 50
"""Names of oddities kept apart. Source: our choice; the server makes them up."""


class FeedSocket(Protocol):
    """What a connection needs of its websocket: the words of aiohttp's."""

    async def send_str(self, text: str, /) -> None:
        """Send a text."""

    async def receive(self) -> aiohttp.WSMessage:
        """Receive whatever comes next, the end too."""

    async def pong(self, message: bytes, /) -> None:
        """Answer a ping."""

    async def close(self) -> object:
        """Say farewell."""


class Line(Protocol):
    """A way to the server that is used once."""

    async def connect(self, url: str, seconds: float) -> FeedSocket:
        """Open the websocket within some seconds.

        Raises:
            StreamLost: There is none.
        """

    def abort(self) -> None:
        """Cut what is left of it."""

    async def aclose(self) -> None:
        """Give everything back."""


Dial: TypeAlias = Callable[[], Line]
"""Makes lines; a simulation gives its own."""


class FeedConnection:
    """An open, registered connection; see `open_feed`.

    Attributes:
        heard: When the last frame of any kind came, a value of `Ambient.monotonic`.
        oddities: How often something came that means nothing to us, by kind.
        on_illegible: Called when something came that may have been a report and cannot be read.
    """

    def __init__(
        self,
        socket: FeedSocket,
        token: str,
        ambient: Ambient,
        silence_limit: float,
    ) -> None:
        self._socket = socket
        self._token = token
        self._ambient = ambient
        self._silence_limit = silence_limit
        self._waiting: deque[RealEntry] = deque()
        self._news = asyncio.Event()
        self._end: Exception | None = None
        self._replaced_at: float | None = None
        self._reader: asyncio.Task[None] | None = None
        self.heard = ambient.monotonic()
        self._heard_at = ambient.now()
        self.oddities: Counter[str] = Counter()
        self.on_illegible: Callable[[], None] = _pass_over

    async def entries(self) -> AsyncIterator[RealEntry]:
        """Give what was registered for, in the order it came, also what came before the registration was answered.

        Raises:
            StreamReplaced: Another login with the same app key ended the feed.
            StreamLost: It ended for another reason; never silently. All that came before has been given.

        Cancellation: No entry is lost; a later call goes on.
        """
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            await self._wait()

    async def batches(self) -> AsyncIterator[tuple[RealEntry, ...]]:
        """Give the same, all that waits at once: for a reader that records many with one commit.

        Raises:
            StreamReplaced, StreamLost: As `entries`.

        Cancellation: As `entries`.
        """
        while True:
            if self._waiting:
                batch = tuple(self._waiting)
                self._waiting.clear()
                yield batch
            await self._wait()

    async def _wait(self) -> None:
        if self._waiting:
            return
        if self._end is not None:
            raise self._end
        self._news.clear()
        await self._news.wait()

    async def log_in(self, types: Sequence[str], seconds: float) -> None:
        """Log in, register and begin to read.

        Args:
            types: Real-time items.
            seconds: For each of the two answers.

        Raises:
            StreamError: As `open_feed`.
        """
        # SYSTEM frames stand around the answer on the live service, and a PING may come before it, so that the answer
        # is known by its name and not by its place.
        await self._ask(login_frame(self._token), "LOGIN", LoginAnswer, seconds)
        await self._ask(register_frame(types), "REG", RegisterAnswer, seconds)
        self._reader = asyncio.create_task(self._read(), name="kiwoom_async feed")

    async def _ask(self, text: str, name: str, kind: type[Frame], seconds: float) -> None:
        with anyio.move_on_after(seconds), _breakage_as(self._lost):
            await self._socket.send_str(text)
            while not isinstance(await self._step(), kind):
                pass
            return
        raise self._lost(f"no answer to {name} within {seconds:g} s")

    async def _read(self) -> None:
        try:
            with _breakage_as(self._lost):
                while True:
                    with anyio.move_on_after(self._silence_limit) as scope:
                        await self._step()
                    if scope.cancelled_caught:
                        raise self._lost(f"silent for {self._silence_limit:g} s")
        except Exception as error:  # noqa: BLE001 - raised in the one who reads, who would wait for ever otherwise
            self._end = error
        finally:
            if self._end is None:
                self._end = StreamLost("it was closed on our side")
            self._news.set()

    async def _step(self) -> Frame | None:
        """Receive one frame and do what it asks for; None for one that is not a text."""
        text = await self._receive()
        if text is None:
            return None
        frame = read_frame(text)
        match frame:
            case Ping():
                await self._socket.send_str(frame.text)
            case Real():
                self._take(frame)
                if frame.unreadable:
                    self._note_oddity("a REAL frame with an entry that is none")
                    self.on_illegible()
            case System():
                self._heed(frame)
            case LoginAnswer() if frame.code:
                text = self._clean(frame.message)
                raise StreamLoginRefused(frame.code, text, is_token_refused=frame.is_token_refused)
            case RegisterAnswer() if frame.code:
                raise self._lost(f"the registration was refused ({frame.code}): {self._clean(frame.message)}")
            case Unknown():
                self._note_oddity(f"a frame named {self._clean(frame.trnm)!r}")
            case Malformed():
                self._note_oddity(frame.reason)
                self.on_illegible()
        return frame

    def _require_presence(self) -> None:
        """Give up a session that we were away from: frames that have waited for us may be of another day.

        The wall clock also counts while the machine sleeps.
        """
        away = max(self._ambient.monotonic() - self.heard, (self._ambient.now() - self._heard_at).total_seconds())
        if self._reader is not None and away > self._silence_limit + AWAY_MARGIN:
            raise self._lost(f"nothing was read for {away:.0f} s")

    async def _receive(self) -> str | None:
        message = await self._socket.receive()
        if message.type not in _ENDS:
            self._require_presence()
            self.heard, self._heard_at = self._ambient.monotonic(), self._ambient.now()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                return str(message.data)
            case aiohttp.WSMsgType.PING:
                # aiohttp would answer it as well, but not let us hear that the server lives.
                await self._socket.pong(message.data)
            case aiohttp.WSMsgType.CLOSE:
                raise self._lost(f"the server closed it ({message.data} {self._clean(message.extra)!r})")
            case aiohttp.WSMsgType.ERROR:
                raise self._lost(f"the connection broke ({_describe(message.data)})")
            case aiohttp.WSMsgType.CLOSED | aiohttp.WSMsgType.CLOSING:
                raise self._lost("the connection broke")
            case _:
                self._note_oddity(f"a {message.type.name.lower()} frame")
        return None

    def _take(self, frame: Real) -> None:
        if len(self._waiting) + len(frame.entries) > MOST_WAITING:
            raise self._lost(f"more than {MOST_WAITING} reports wait to be recorded")
        received_at = self._ambient.now()
        self._waiting.extend(evolve(entry, received_at=received_at) for entry in frame.entries)
        self._news.set()

    def _heed(self, notice: System) -> None:
        if notice.code == REPLACED:
            self._replaced_at = self.heard
        if notice.code == NO_HEARTBEAT:
            raise self._lost(f"the server missed the echo of its PING ({NO_HEARTBEAT})")
        _LOG.info("the real-time feed gives notice %r: %r", self._clean(notice.code), self._clean(notice.message))

    def _lost(self, reason: str) -> StreamError:
        # Whether the older session always ends, and whether the newer one is told as well, is not certain. So R10001
        # itself ends nothing, but gives its name to an end that follows.
        if self._replaced_at is not None and self.heard - self._replaced_at < REPLACED_WITHIN:
            return StreamReplaced()
        return StreamLost(reason)

    def _note_oddity(self, kind: str) -> None:
        if kind not in self.oddities and len(self.oddities) >= _KINDS_OF_ODDITIES:
            kind = "others"
        self.oddities[kind] += 1
        if self.oddities[kind] == 1:
            _LOG.warning("the real-time feed sent %s; it is left out, and more of the kind are only counted", kind)

    def _clean(self, text: str | None) -> str:
        return (text or "").replace(self._token or "\0", "…")

    async def aclose(self) -> None:
        """Stop reading and say farewell. What waits can still be read."""
        try:
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.wait([self._reader])
        finally:
            with _breakage_as(self._lost):
                await self._socket.close()


def _pass_over() -> None:
    """Do nothing: nobody wants to know."""


_ENDS: Final = frozenset(
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
)


@contextmanager
def _breakage_as(make: Callable[[str], StreamError]) -> Iterator[None]:
    """Turn whatever aiohttp and the operating system raise into an error of ours: the only place that does."""
    try:
        yield
    except (aiohttp.ClientError, HttpProcessingError, WebSocketError, OSError) as error:
        raise make(f"the connection broke ({_describe(error)})") from error


def _describe(error: object) -> str:
    # Texts of protocol errors quote what the server sent.
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, OSError) else name


class _Connector(aiohttp.TCPConnector):
    """A connector that keeps hold of its one connection, so that closing cannot leave it open.

    An orderly close first writes out what the other side does not take, and waits for TLS to say farewell.
    """

    held: asyncio.Transport | None = None

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        """Get a connection."""
        connection = await super().connect(req, traces, timeout)
        self.held = connection.transport
        return connection

    def abort(self) -> None:
        """Close it now."""
        if self.held is not None:
            self.held.abort()


async def _refuse_detours(request: ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    # A redirect would be followed, and the token shown to whoever is there.
    answer = await handler(request)
    if answer.status != 101:
        answer.close()
        raise StreamLost(f"the server answered HTTP {answer.status} and did not open a websocket")
    return answer


class _AiohttpLine:
    """A line over aiohttp."""

    def __init__(self) -> None:
        self._connector = _Connector(limit=1)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            timeout=aiohttp.ClientTimeout(total=None),
            middlewares=(_refuse_detours,),
            trust_env=False,
        )

    async def connect(self, url: str, seconds: float) -> FeedSocket:
        """Open the websocket."""
        with anyio.move_on_after(seconds), _breakage_as(StreamLost):
            return await self._session.ws_connect(
                url,
                timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=CLOSE_GRACE),
                autoclose=False,
                autoping=False,
                # Kiwoom's published client sends no pings of the protocol either; the server's PING tells that it
                # lives.
                heartbeat=None,
                compress=0,
                max_msg_size=LARGEST_FRAME,
            )
        raise StreamLost(f"no connection within {seconds:g} s")

    def abort(self) -> None:
        """Close the connection now."""
        self._connector.abort()

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.close()
        # The transport closes its socket when the loop comes round.
        await asyncio.sleep(0)


@asynccontextmanager
async def open_feed(
    url: str,
    token: str,
    *,
    timing: Timing,
    ambient: Ambient,
    types: Sequence[str] = FEED_TYPES,
    silence_limit: float = SILENCE_LIMIT,
    dial: Dial = _AiohttpLine,
) -> AsyncIterator[FeedConnection]:
    """Open the real-time feed: connect, log in, register. Exactly one attempt.

    Args:
        url: `wss://…`.
        token: The access token, without "Bearer".
        timing: `connect_timeout` bounds the connection, `response_timeout` each of the two answers.
        ambient: The clocks.
        types: Real-time items; those of the whole account.
        silence_limit: Seconds without any frame after which the feed is lost.
        dial: Makes the line it goes over.

    Raises:
        StreamLoginRefused: Kiwoom refused the login; `.is_token_refused` says whether a new token may help.
        StreamReplaced: Another login with the same app key ended the connection.
        StreamLost: Anything else.

    Cancellation: Nothing is left open, within `CLOSE_GRACE`.

    Source: `/api/dostk/websocket`, types 00 and 04.
    """
    line = dial()
    feed: FeedConnection | None = None
    try:
        socket = await line.connect(url, timing.connect_timeout)
        feed = FeedConnection(socket, token, ambient, silence_limit)
        await feed.log_in(types, timing.response_timeout)
        yield feed
    finally:
        await _see_through(_close(feed, line))


def dial_of(transport: object) -> Dial:
    """Give how lines are made: an injected transport may also be the way to the feed."""
    dial: Dial = getattr(transport, "dial_feed", _AiohttpLine)
    return dial


async def _close(feed: FeedConnection | None, line: Line) -> None:
    try:
        if feed is not None:
            with anyio.move_on_after(CLOSE_GRACE, shield=True), suppress(StreamError):
                await feed.aclose()
    finally:
        line.abort()
        with anyio.move_on_after(CLOSE_GRACE, shield=True):
            await line.aclose()


async def _see_through(work: Coroutine[Any, Any, None]) -> None:
    # A second cancellation in the middle of closing would leave the rest open. The work has bounds of its own.
    task = asyncio.create_task(work, name="kiwoom_async feed closing")
    cancellation: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancellation = error
    await task
    if cancellation is not None:
        raise cancellation
