"""A thin httpx transport over aiohttp that knows exactly whether a connection was handed the request.

Measured against the pools people use (see `docs/decisions`): httpx's own pool collapses under load, and the
ready-made bridges report a connection closed after arrival as a connect error. aiohttp's connector is the one
place through which every request must pass to get a connection, so the guard and the mark live there.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError

from kiwoom_async._transport.bodies import ACCEPTED_CODINGS, read_within, unpack
from kiwoom_async._transport.mark import GUARD, MARK, DeliveryMark, Guard
from kiwoom_async._wire.exchange import Answer

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

POOL_LIMIT: Final = 256
"""Connections at once. Source: our choice; 256 in flight is the highest load measured, and Kiwoom's limits
allow ten requests per second, so waiting for a connection means that something hangs."""

KEEPALIVE_SECONDS: Final = 15.0
"""How long an idle connection is reused. Source: aiohttp's default, below what usual gateways allow (Tomcat
20 s, AWS load balancers 60 s, nginx 75 s; Kiwoom's is not known). A request that meets the server's close on
its way has an unknown outcome, so we close first; a server with a shorter timeout is mostly seen closing
before the next use."""

UNACKNOWLEDGED_SECONDS: Final = 8.0
"""How long the kernel keeps trying to deliver bytes that nobody acknowledges, where it lets itself be told (Linux's
TCP_USER_TIMEOUT). Source: our choice; below the default `acceptance_bound` of 10 s by more than a usual retransmission
interval, so that an order is out of the kernel before its absence can be proven, even if its process is frozen or has
left a copy of the socket in a fork."""

_RESET_ON_CLOSE: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`, on, for no time: closing drops what is not sent and resets the connection."""

_ERRORS: Final[tuple[tuple[type[BaseException], type[httpx.RequestError]], ...]] = (
    # The first match wins, so that leaves stand before their bases. A test enumerates aiohttp's whole tree.
    # The class is for people: what may be concluded about delivery stands in the mark alone.
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientConnectorCertificateError, httpx.ConnectError),
    (aiohttp.ServerFingerprintMismatch, httpx.ConnectError),
    (aiohttp.ClientConnectionResetError, httpx.WriteError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.TooManyRedirects, httpx.TooManyRedirects),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    # A malformed body reaches the reader unwrapped.
    (HttpProcessingError, httpx.RemoteProtocolError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ClientConnectionError, httpx.ReadError),
    (aiohttp.ClientError, httpx.NetworkError),
    (OSError, httpx.ReadError),
)


def counterpart(kind: type[BaseException]) -> type[httpx.RequestError]:
    """Name httpx's class for a class of aiohttp or of the operating system."""
    return next((ours for theirs, ours in _ERRORS if issubclass(kind, theirs)), httpx.NetworkError)


def translate(error: Exception, request: httpx.Request | None = None) -> httpx.RequestError:
    """Turn what aiohttp or the operating system raised into httpx's exception.

    Args:
        error: A `ClientError`, an `HttpProcessingError` or an `OSError`.
        request: The request it happened to, if it is at hand.

    Returns:
        The exception to raise; its text holds nothing the server sent, which could be a token.
    """
    text = type(error).__name__
    if isinstance(error, OSError):
        text = f"{text}: {error}"
    return counterpart(type(error))(text, request=request)


_RawHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]


class _Passage:
    """The mark and the guard of the request that runs in this context, and the connection it was handed to."""

    __slots__ = ("guard", "mark", "transport")

    def __init__(self, mark: DeliveryMark, guard: Guard | None) -> None:
        self.mark = mark
        self.guard = guard
        self.transport: asyncio.Transport | None = None

    def abandon(self) -> None:
        """Drop the bytes that wait to be sent, if aiohttp closes the connection.

        It closes politely: asyncio would first write out its own buffer, and TLS would wait up to half a minute for
        the farewell of the other side, with the socket open and the kernel repeating the order. One that aiohttp has
        kept may carry another's request already.
        """
        if self.transport is not None and self.transport.is_closing():
            self.transport.abort()


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket whose end, also by the death of the process, is the end of every byte in it (decision 8)."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    try:
        # Where this is refused there is no connection, and nothing is sent.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except BaseException:
        made.close()
        raise
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # The second line of defence: a kernel that knows the name only is no reason not to trade.
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED_SECONDS * 1000))
    return made


_PASSAGE: ContextVar[_Passage] = ContextVar("kiwoom_async.passage")


class _GuardedConnector(aiohttp.TCPConnector):
    """A connector that asks the guard and sets the mark between getting a connection and writing to it.

    `connect` is the documented way, and the only one, in which a session gets a connection. aiohttp's trace
    signals come at the same point but leak the connection when the guard refuses it there.
    """

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        """Get a connection, ask the guard, set the mark."""
        passage = _PASSAGE.get()
        # Promised here and not earlier: that this line runs proves that no connection is got around it.
        passage.mark.keep()
        connection = await super().connect(req, traces, timeout)
        # An answer nobody asked for waits on an idle connection (a late or doubled answer to an earlier
        # request). aiohttp would take it for ours.
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(req, traces, timeout)
        try:
            if passage.guard is not None:
                passage.guard()
            passage.transport = connection.transport
            passage.mark.hand_over()
        except BaseException:
            connection.close()
            raise
        return connection


@lru_cache(maxsize=32)
def _client_timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    # No total: it would also end the reading of an answer that the caller wants to wait for.
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=None, sock_read=read)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Send POST requests over aiohttp's pool, each exactly once.

    Follows no redirect, stores no cookie, reads no proxy or netrc from the surroundings, and refuses every
    method other than POST, because aiohttp repeats idempotent ones on a stale connection.

    Extensions of the request: ``timeout`` (httpx's dict; ``connect`` bounds the wait for the pool, the
    resolver, TCP and TLS together, ``read`` each wait for data), and the keys of
    `kiwoom_async._transport.mark`.

    Args:
        user_agent: Sent where the request names none. Required, because a firewall in front of Kiwoom blocks
            aiohttp's own.
        pool_limit: Connections at once.
        keepalive_seconds: How long an idle connection is reused.
        ssl_context: For https. None: aiohttp's default context, made once per process, HTTP/1.1 only.
    """

    knows_guard: Final = True

    def __init__(
        self,
        *,
        user_agent: str,
        pool_limit: int = POOL_LIMIT,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._pool_limit = pool_limit
        self._keepalive_seconds = keepalive_seconds
        self._ssl: ssl.SSLContext | bool = True if ssl_context is None else ssl_context
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its answer to the end.

        Raises:
            httpx.RequestError: There is no whole answer.
            SendAborted: The guard refused; nothing was written.

        Delivery: See the mark in ``request.extensions``.

        Cancellation: The connection is closed; the mark says whether it had been handed the request.
        """
        mark = request.extensions.get(MARK) or DeliveryMark()
        if request.method != "POST" or self._is_closed:
            # Proven without a connection: it ends here.
            mark.keep()
            if self._is_closed:
                raise httpx.ConnectError("the transport is closed", request=request)
            raise httpx.UnsupportedProtocol(f"only POST is sent, not {request.method}", request=request)
        timeout = request.extensions.get("timeout") or {}
        content = await request.aread()
        try:
            status, headers, packed = await self._send(
                str(request.url),
                _headers_to_send(request),
                content,
                _Passage(mark, request.extensions.get(GUARD)),
                _client_timeout(timeout.get("connect"), timeout.get("read")),
            )
            content = unpack(packed, _read_headers(headers).get("content-encoding", ""))
        except httpx.RequestError as error:
            error.request = request
            raise
        # httpx would unpack it again, and without a bound.
        plain = [pair for pair in headers if pair[0].lower() not in _OF_THE_PACKED] if content != packed else headers
        return httpx.Response(status, headers=plain, content=content, request=request)

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        mark: DeliveryMark,
        guard: Guard | None,
        connect_timeout: float,
        read_timeout: float,
    ) -> Answer:
        """Do the same as `handle_async_request` without httpx's objects.

        They cost about a tenth of an order's processor time (source: `benchmarks`, 32 in flight).

        Raises:
            httpx.RequestError: There is no whole answer.
            SendAborted: The guard refused; nothing was written.

        Delivery: See `mark`.

        Cancellation: The connection is closed; the mark says whether it had been handed the request.
        """
        if self._is_closed:
            mark.keep()
            raise httpx.ConnectError("the transport is closed")
        status, raw, received = await self._send(
            url, headers, content, _Passage(mark, guard), _client_timeout(connect_timeout, read_timeout)
        )
        read = _read_headers(raw)
        return Answer(status, read, unpack(received, read.get("content-encoding", "")))

    async def _send(
        self,
        url: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]],
        content: bytes,
        passage: _Passage,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> tuple[int, _RawHeaders, bytes]:
        session = self._session or self._open()
        previous = _PASSAGE.set(passage)
        try:
            async with session.post(
                url, data=content, headers=headers, allow_redirects=False, timeout=timeout
            ) as answer:
                return answer.status, answer.raw_headers, await _read_body(answer)
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            passage.abandon()
            raise translate(error) from error
        except BaseException:
            passage.abandon()
            raise
        finally:
            _PASSAGE.reset(previous)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=_GuardedConnector(
                limit=self._pool_limit,
                keepalive_timeout=self._keepalive_seconds,
                ssl=self._ssl,
                socket_factory=_make_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # `unpack` does, within a bound.
            auto_decompress=False,
            headers={"User-Agent": self._user_agent, "Accept-Encoding": ACCEPTED_CODINGS},
            trust_env=False,
        )
        return self._session

    async def aclose(self) -> None:
        """Close every connection; requests in flight break."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close every connection."""
        await self.aclose()


async def _read_body(answer: aiohttp.ClientResponse) -> bytes:
    try:
        return await read_within(answer.content.iter_any())
    except BaseException:
        # What is still to come must not reach whoever gets the connection next.
        answer.close()
        raise


_OF_THE_PACKED: Final = (b"content-encoding", b"content-length")


def _headers_to_send(request: httpx.Request) -> list[tuple[str, str]]:
    # The length and the encoding of the transfer are aiohttp's to say: two of each would be a malformed
    # request.
    return [
        (name, value) for name, value in request.headers.items() if name not in {"content-length", "transfer-encoding"}
    ]


def _read_headers(raw: _RawHeaders) -> dict[str, str]:
    read: dict[str, str] = {}
    try:
        for name, value in raw:
            key, text = name.decode("ascii").lower(), value.decode("ascii")
            read[key] = f"{read[key]}, {text}" if key in read else text
    except UnicodeDecodeError:
        return dict(httpx.Headers(raw).items())
    return read
