"""The REST session: one POST, one exchange, never an exception for what the network did."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx

from kiwoom_async._transport.aiohttp_transport import AiohttpTransport
from kiwoom_async._transport.bodies import read_within, unpack
from kiwoom_async._transport.mark import GUARD, MARK, DeliveryMark, Guard, SendAborted
from kiwoom_async._version import __version__
from kiwoom_async._wire.exchange import Answer, Breakdown, BreakdownKind, Exchange

USER_AGENT: Final = f"kiwoom-async/{__version__}"
"""Ours, because a firewall in front of Kiwoom answers aiohttp's own name with HTTP 400 "Request Blocked"
(source: measured by one project)."""

_BASE_HEADERS: Final = {"Content-Type": "application/json;charset=UTF-8", "User-Agent": USER_AGENT}

_CLOSE_GRACE: Final = 1.0
"""Seconds for closing a broken answer of an injected transport. Source: our choice; nothing waits for it."""

_KINDS: Final[tuple[tuple[type[Exception], BreakdownKind], ...]] = (
    (httpx.TimeoutException, BreakdownKind.TIMEOUT),
    (httpx.ConnectError, BreakdownKind.CONNECT),
    (httpx.ProxyError, BreakdownKind.CONNECT),
    (httpx.WriteError, BreakdownKind.WRITE),
    (httpx.NetworkError, BreakdownKind.RESET),
    (httpx.ProtocolError, BreakdownKind.PROTOCOL),
    (httpx.DecodingError, BreakdownKind.PROTOCOL),
)


def _breakdown(error: Exception, mark: DeliveryMark) -> Breakdown:
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), BreakdownKind.OTHER)
    detail = type(error).__name__
    # Texts of protocol errors quote what the server sent, and that can be a token.
    if kind not in {BreakdownKind.PROTOCOL, BreakdownKind.OTHER} and str(error):
        detail = f"{detail}: {error}"
    return Breakdown(kind, detail, handed_over=mark.may_have_left)


async def _read_body(response: httpx.Response) -> bytes:
    if response.is_stream_consumed:
        # Made with its content in hand.
        return response.content
    return unpack(await read_within(response.aiter_raw()), response.headers.get("content-encoding", ""))


def _refusal(guard: Guard, mark: DeliveryMark) -> Breakdown | None:
    try:
        guard()
    except Exception as error:  # noqa: BLE001 - whatever stops the guard stops the request
        # Proven: the transport has not been called.
        mark.keep()
        if isinstance(error, SendAborted):
            return Breakdown(BreakdownKind.ABORTED, error.reason, handed_over=False)
        return _breakdown(error, mark)
    return None


async def _exchange(work: Coroutine[Any, Any, Answer], mark: DeliveryMark) -> Exchange:
    try:
        return await work
    except SendAborted as refusal:
        return Breakdown(BreakdownKind.ABORTED, refusal.reason, handed_over=mark.may_have_left)
    except Exception as error:  # noqa: BLE001 - an injected transport may raise anything
        return _breakdown(error, mark)


class RestSession:
    """Send requests to one host over one transport.

    Args:
        base_url: Scheme and host, without a trailing slash.
        transport: None: an `AiohttpTransport`. One that is given belongs to the session and is closed with
            it; it must neither retry nor follow redirects. If it does not know delivery marks, everything
            that breaks after the call began is reported as handed over.
    """

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._base_url = base_url
        self._transport = AiohttpTransport(user_agent=USER_AGENT) if transport is None else transport
        self._knows_guard = getattr(self._transport, "knows_guard", False) is True
        self._urls: dict[str, httpx.URL] = {}

    async def __aenter__(self) -> Self:
        """Open the transport."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the transport."""
        await self._transport.__aexit__(exc_type, exc_value, traceback)

    @property
    def knows_guard(self) -> bool:
        """Whether the transport asks the guard with a connection in hand, not before it looks for one."""
        return self._knows_guard

    async def aclose(self) -> None:
        """Close the transport; requests in flight end in a `Breakdown`."""
        await self._transport.aclose()

    async def post(
        self,
        path: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        connect_timeout: float,
        response_timeout: float,
        guard: Guard | None = None,
        mark: DeliveryMark | None = None,
    ) -> Exchange:
        """Send exactly one request.

        Args:
            path: Path on the host, for example ``/api/dostk/ordr``.
            headers: Added to Content-Type and User-Agent: ``api-id``, ``authorization``, ``cont-yn``,
            ``next-key``.
            content: The JSON body.
            connect_timeout: Seconds from the call to a connection in hand.
            response_timeout: Seconds from there to the whole answer.
            guard: Asked in the last moment before the first byte; raises `SendAborted` to refuse. With a
                transport that does not know guards it is asked before the transport is called.
            mark: A new one, for a caller that wants to look at it after a cancellation.

        Returns:
            The whole `Answer`, whatever its status, or the `Breakdown`. Trouble of the network is never
            raised.

        Delivery: `Breakdown.handed_over` is False only where it is proven that no byte left.

        Cancellation: The request is given up and `CancelledError` passes through, before the hand-over and
        after it. Only ``mark.may_have_left`` tells which; without a mark the caller must treat it as possibly
        sent.
        """
        mark = DeliveryMark() if mark is None else mark
        if guard is not None and not self._knows_guard and (refused := _refusal(guard, mark)) is not None:
            return refused
        to_send = {**_BASE_HEADERS, **headers}
        if isinstance(self._transport, AiohttpTransport):
            work = self._transport.post(
                self._base_url + path,
                to_send,
                content,
                mark=mark,
                guard=guard,
                connect_timeout=connect_timeout,
                read_timeout=response_timeout,
            )
        else:
            seconds = {
                "connect": connect_timeout,
                "pool": connect_timeout,
                "write": response_timeout,
                "read": response_timeout,
            }
            extensions = {MARK: mark, GUARD: guard if self._knows_guard else None, "timeout": seconds}
            url = self._url(path)
            work = self._ask(httpx.Request("POST", url, headers=to_send, content=content, extensions=extensions))
        # Transports bound single phases at best; the scope bounds the whole, also where one ignores its
        # timeouts. One without a mark does not tell when the answer's time begins.
        patience = connect_timeout if self._knows_guard else connect_timeout + response_timeout
        outcome: Exchange | None = None
        with anyio.move_on_after(patience) as scope:

            def start_response_time() -> None:
                scope.deadline = anyio.current_time() + response_timeout

            mark.on_handed_over = start_response_time
            outcome = await _exchange(work, mark)
        if outcome is None:
            waited_for = "answer" if mark.may_have_left else "connection"
            waited = response_timeout if mark.handed_over else patience
            detail = f"no {waited_for} within {waited:g} s"
            return Breakdown(BreakdownKind.TIMEOUT, detail, handed_over=mark.may_have_left)
        return outcome

    async def _ask(self, request: httpx.Request) -> Answer:
        response = await self._transport.handle_async_request(request)
        try:
            content = await _read_body(response)
        except BaseException:
            with anyio.move_on_after(_CLOSE_GRACE, shield=True):
                await response.aclose()
            raise
        return Answer(response.status_code, dict(response.headers.items()), content)

    def _url(self, path: str) -> httpx.URL:
        # Parsing a URL costs as much as a tenth of the request; there are a dozen paths.
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._base_url + path)
        return url
