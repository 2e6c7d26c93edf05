"""The same broker without a socket: a transport for httpx that talks to the service within the process.

For simulations in virtual time, where a real socket would bring the real clock back in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
from attrs import define, field

from kiwoom_async.simulator.replies import Manner, Reply
from kiwoom_async.simulator.server import LateTasks, raw_answer
from kiwoom_async.simulator.service import Service


class _BrokenStream(httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, part: bytes, request: httpx.Request) -> None:
        self._part = part
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._part:
            yield self._part
        raise httpx.ReadError("Connection reset by peer", request=self._request)


@define(eq=False)
class InProcessTransport(httpx.AsyncBaseTransport):
    """Hands requests to the service and carries out the replies as far as that is possible without a socket.

    The read timeout of a request is kept; the others cannot run out here.
    """

    service: Service
    late: LateTasks
    is_refusing: Callable[[], bool]
    refusals: int = 0
    _refused_until: float = 0.0
    _closing: asyncio.Event = field(factory=asyncio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if self.is_closed():
            raise httpx.ConnectError("Connection refused", request=request)
        body = await request.aread()
        reply = self.service.handle(request.method, request.url.path, request.headers, body)
        self.late.accept_late(reply.delivery)
        # The other side of a socket would run on its own; give everybody else a turn, as a network does.
        await asyncio.sleep(0)
        return await self._deliver(request, reply)

    def is_closed(self) -> bool:
        """Whether who connects now is refused."""
        is_early = self.service.ambient.monotonic() < self._refused_until
        return self.is_refusing() or self.refusals > 0 or is_early or self._closing.is_set()

    def stop(self) -> None:
        """Release whoever hangs; later requests are refused."""
        self._closing.set()

    async def _deliver(self, request: httpx.Request, reply: Reply) -> httpx.Response:
        delivery = reply.delivery
        if delivery.manner is Manner.ANSWER:
            await self._pause(request, delivery.seconds or 0.0)
            return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)
        if delivery.manner is Manner.RESET:
            return self._reset(request, reply)
        if delivery.manner is Manner.HANG:
            await self._pause(request, delivery.seconds)
        elif delivery.manner is Manner.REFUSE:
            self._refused_until = self.service.ambient.monotonic() + (delivery.seconds or 0.0)
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)

    def _reset(self, request: httpx.Request, reply: Reply) -> httpx.Response:
        raw = raw_answer(reply)
        head = len(raw) - len(reply.body)
        count = len(raw) // 2 if reply.delivery.after_bytes is None else reply.delivery.after_bytes
        if count < head:
            raise httpx.ReadError("Connection reset by peer", request=request)
        if count >= len(raw):
            # The whole answer got through before the reset.
            return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)
        stream = _BrokenStream(reply.body[: count - head], request)
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=stream, request=request)

    async def _pause(self, request: httpx.Request, seconds: float | None) -> None:
        """Wait like a server that takes its time; None: until the end."""
        if seconds == 0.0:
            return
        patience = request.extensions.get("timeout", {}).get("read")
        is_too_long = patience is not None and (seconds is None or seconds > patience)
        try:
            async with asyncio.timeout(patience if is_too_long else seconds):
                await self._closing.wait()
        except TimeoutError:
            if is_too_long:
                raise httpx.ReadTimeout("", request=request) from None
