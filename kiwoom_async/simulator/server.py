"""The broker on a socket: carries out replies, also those that break off.

A dropped connection must look to the client like the real thing, so a reset is a real RST (`SO_LINGER` with 0
seconds) and a refused connection is a port on which nobody listens.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from attrs import define, field

from kiwoom_async.simulator.catalog import WEBSOCKET_PATH
from kiwoom_async.simulator.feed_server import FeedServer
from kiwoom_async.simulator.replies import Delivery, Manner, Reply
from kiwoom_async.simulator.service import Service
from kiwoom_async.simulator.sockets import GRACE, reset

_BACKLOG: Final = 1024
_log: Final = logging.getLogger("kiwoom_async.simulator")


def raw_answer(reply: Reply) -> bytes:
    """Write a reply as the bytes of HTTP/1.1."""
    phrase = HTTPStatus(reply.status).phrase
    headers = {**reply.headers, "Content-Length": str(len(reply.body))}
    lines = [
        f"HTTP/1.1 {reply.status} {phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + reply.body


@define(eq=False)
class LateTasks:
    """What happens after its connection has gone: late acceptances and the end of a refusal.

    Attributes:
        pending: Late acceptances that have not happened. What is left of them after `close` never will.
    """

    pending: int = 0
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on its own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def accept_late(self, delivery: Delivery) -> None:
        """Carry out a dropped request later, if the reply asks for it."""
        if delivery.late is not None:
            # Counted here: a task that is cancelled before its first step could not count itself.
            self.pending += 1
            self.start(self._accept(delivery.late, delivery.late_seconds))

    async def _accept(self, accept: Callable[[], None], seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.pending -= 1
        accept()

    async def close(self) -> None:
        """Give up what is pending, and count it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@define(eq=False)
class SocketServer:
    """Listens, and delivers what the service replies.

    Attributes:
        host, port: Where to listen; port 0 takes a free one, and `port` then tells which.
    """

    service: Service
    feed: FeedServer
    late: LateTasks
    host: str
    port: int
    _runner: web.ServerRunner | None = None
    _socket: socket.socket | None = None
    _site: web.SockSite | None = None
    _closing: asyncio.Event = field(factory=asyncio.Event)
    # Two faults may refuse at once; the port must not be bound and given back at the same time.
    _turn: asyncio.Lock = field(factory=asyncio.Lock)
    _refusals: int = 0

    async def start(self) -> None:
        """Begin to listen."""
        self.feed.start()
        server = web.Server(
            self._serve,
            access_log=None,
            logger=_log,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        self._reserve()
        await self._listen()

    async def close(self) -> None:
        """Cut every connection and stop; hanging requests do not delay it."""
        self._closing.set()
        await self._stop_accepting()
        self.feed.close()
        self.cut_connections()
        await asyncio.sleep(0)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()

    def _reserve(self) -> None:
        """Bind the port without listening: nobody else gets it, and who connects is refused."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((self.host, self.port))
        self.port = bound.getsockname()[1]
        self._socket = bound

    async def _listen(self) -> None:
        if self._runner is None or self._socket is None:
            raise RuntimeError("The server has not been started.")
        self._site = web.SockSite(self._runner, self._socket, backlog=_BACKLOG)
        await self._site.start()

    async def refuse(self) -> None:
        """Stop listening and cut every connection, until `accept` is called as often."""
        self._refusals += 1
        async with self._turn:
            if self._site is not None and not self._closing.is_set():
                await self._stop_accepting()
                await self._site.stop()
                self._site = None
                self._reserve()
        self.cut_connections()

    async def _stop_accepting(self) -> None:
        """Take no more connections, and let those that are taken already get their transport.

        asyncio closes a server under connections it is still accepting, and leaves their sockets to the collector.
        """
        if self._socket is None or self._socket.fileno() < 0:
            return
        with suppress(NotImplementedError):
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        for _ in range(3):
            await asyncio.sleep(0)

    async def accept(self) -> None:
        """Listen again."""
        self._refusals -= 1
        async with self._turn:
            if self._refusals == 0 and self._site is None and not self._closing.is_set():
                await self._listen()

    @property
    def is_refusing(self) -> bool:
        """Whether nobody can connect."""
        return self._refusals > 0

    def cut_connections(self) -> None:
        """Close every open connection, idle or not."""
        server = self._runner.server if self._runner is not None else None
        for connection in list(server.connections) if server is not None else []:
            if connection.transport is not None:
                connection.transport.abort()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == WEBSOCKET_PATH and web.WebSocketResponse().can_prepare(request):
            return await self.feed.serve(request)
        body = await request.read()
        reply = self.service.handle(request.method, request.path, request.headers, body)
        self.late.accept_late(reply.delivery)
        await self._deliver(request, reply)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _deliver(self, request: web.BaseRequest, reply: Reply) -> None:
        """Do to the connection what the reply asks for; what is left to do is a plain answer."""
        delivery, transport = reply.delivery, request.transport
        if delivery.manner is Manner.ANSWER:
            if delivery.seconds:
                await self._pause(delivery.seconds)
            return
        if delivery.manner is Manner.RESET and transport is not None:
            raw = raw_answer(reply)
            count = len(raw) // 2 if delivery.after_bytes is None else min(delivery.after_bytes, len(raw))
            if count:
                transport.write(raw[:count])
                await self._pause(GRACE)
            reset(transport)
        elif delivery.manner is Manner.HANG:
            await self._pause(delivery.seconds)
        elif delivery.manner is Manner.REFUSE:
            await self.refuse()
            self.late.start(self._accept_after(delivery.seconds or 0.0))
        if transport is not None:
            transport.close()
        # The connection is gone; a cancelled handler keeps aiohttp from writing an answer to it.
        raise asyncio.CancelledError

    async def _accept_after(self, seconds: float) -> None:
        await self._pause(seconds)
        await self.accept()

    async def _pause(self, seconds: float | None) -> None:
        """Wait, but never longer than the server lives; None: just as long."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
