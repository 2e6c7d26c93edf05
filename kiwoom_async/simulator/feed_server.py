"""The feed on a socket: carries out what the sessions' outboxes say, and lends the feed its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import WSMsgType, web
from attrs import define, field

from kiwoom_async.simulator.feed import Feed
from kiwoom_async.simulator.feed_sessions import Ending, Session
from kiwoom_async.simulator.sockets import GRACE, reset

_TICK: Final = 0.02
"""Seconds between two looks for fills whose time has come, while somebody is connected. Our choice."""
_CLOSE_TIMEOUT: Final = 1.0
_LARGEST_MESSAGE: Final = 1 << 20


@define(eq=False)
class _Line:
    """A connection with what a session needs of it."""

    request: web.BaseRequest
    socket: web.WebSocketResponse
    has_more: asyncio.Event = field(factory=asyncio.Event)


@define(eq=False)
class FeedServer:
    """Speaks on the websockets for a feed.

    Attributes:
        settle: Carries out the fills whose time has come.
        refusals: While above zero, handshakes are refused.
        refusal_status: With this HTTP status; None: the connection is closed without an answer.
    """

    feed: Feed
    settle: Callable[[], object]
    refusals: int = 0
    refusal_status: int | None = 503
    _timers: set[asyncio.TimerHandle] = field(factory=set)
    _ticker: asyncio.Task[None] | None = None
    _is_open: bool = False

    def start(self) -> None:
        """Lend the feed the clock of the running loop."""
        self.feed.pusher.later = self._later
        self._is_open = True

    def close(self) -> None:
        """Cancel what is to happen later, and end every session."""
        self._is_open = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        self.feed.cut()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a handshake, and serve the session until its end."""
        if self.refusals:
            if self.refusal_status is not None:
                return web.Response(status=self.refusal_status)
            if request.transport is not None:
                request.transport.close()
            # The connection is gone; a cancelled handler keeps aiohttp from writing an answer to it.
            raise asyncio.CancelledError
        socket = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT,
            autoclose=False,
            autoping=False,
            compress=False,
            max_msg_size=_LARGEST_MESSAGE,
        )
        await socket.prepare(request)
        line = _Line(request, socket)
        session = self.feed.connect(line.has_more.set)
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.get_running_loop().create_task(self._tick())
        writing = asyncio.get_running_loop().create_task(self._write(line, session))
        try:
            await self._read(line, session)
            if session.is_mute:
                await self._outlast(line, writing)
        finally:
            self.feed.disconnect(session)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    async def _read(self, line: _Line, session: Session) -> None:
        while True:
            message = await line.socket.receive()
            if message.type is WSMsgType.TEXT:
                self.feed.receive(session, message.data)
            elif message.type is WSMsgType.PING:
                if not session.is_mute:
                    await line.socket.pong(message.data)
            elif message.type is WSMsgType.CLOSE:
                if not session.is_mute:
                    await line.socket.close(drain=False)
                return
            elif message.type not in {WSMsgType.PONG, WSMsgType.BINARY}:
                return

    @staticmethod
    async def _outlast(line: _Line, writing: asyncio.Task[None]) -> None:
        """Let the goodbye on a half-open connection go unanswered, until the client drops it or it is cut."""
        while line.request.transport is not None and not writing.done():
            await asyncio.wait({writing}, timeout=_TICK)

    async def _write(self, line: _Line, session: Session) -> None:
        """Empty the outbox whenever something is in it, until the connection ends."""
        try:
            while True:
                while session.outbox:
                    step = session.outbox.popleft()
                    if isinstance(step, Ending):
                        await self._end(line, step)
                        return
                    await line.socket.send_str(step)
                line.has_more.clear()
                await line.has_more.wait()
        except ConnectionError:
            # The reader learns of it as well, and ends the session.
            return

    @staticmethod
    async def _end(line: _Line, ending: Ending) -> None:
        if ending is Ending.CLOSE:
            await line.socket.close(code=1000, message=b"Bye")
            return
        if ending is Ending.RESET:
            await asyncio.sleep(GRACE)
        reset(line.request.transport)

    async def _tick(self) -> None:
        while self.feed.sessions:
            self.settle()
            await asyncio.sleep(_TICK)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        if not self._is_open:
            return

        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
