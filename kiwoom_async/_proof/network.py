"""The network between simulated processes and the broker: it delays, loses and breaks, and never goes back in time.

What was handed to it is on its way, whatever becomes of the sender (A3: once; A4: it arrives within a bound or never).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from enum import StrEnum, unique
from http import HTTPStatus
from typing import Final

import aiohttp
import httpx
from attrs import define, field, frozen

from kiwoom_async._proof.processes import Pace, Process, World
from kiwoom_async._transport.mark import GUARD, MARK, DeliveryMark
from kiwoom_async.errors import StreamLost
from kiwoom_async.simulator import Simulator
from kiwoom_async.simulator.catalog import QUERY_API_IDS
from kiwoom_async.simulator.feed_line import FeedLine
from kiwoom_async.simulator.feed_sessions import Ending

LONGEST_WAY: Final = 0.25
"""Seconds one way, at the most. Source: our choice; with the broker's own delays it stays within the bounds of the
simulated `Timing`, which is what the bounds promise."""

_SHARE_OF_SLOW: Final = 0.4
"""Of the requests, on days with slow ones. Source: our choice."""

LONGEST_CONNECT: Final = 0.3
"""Seconds until there is a connection, where there is one. Source: our choice."""

LONGEST_SLOW_CONNECT: Final = 0.9
"""The same on days on which it is slow. Source: our choice, less than the simulated `Timing.connect_timeout`."""


@unique
class NetworkFault(StrEnum):
    """What goes wrong on the way."""

    NO_ROUTE = "no_route"
    """There is no connection; proven not sent."""
    CONNECT_HANGS = "connect_hangs"
    LOST_UP = "lost_up"
    """The request never arrives, and nobody says so."""
    RESET_UP = "reset_up"
    """The request never arrives, and the connection breaks."""
    LOST_DOWN = "lost_down"
    """The answer never arrives."""
    RESET_DOWN = "reset_down"
    """The answer never arrives, and the connection breaks."""


_FAULTS: Final = tuple(NetworkFault)
_RESETS: Final = frozenset({NetworkFault.RESET_UP, NetworkFault.RESET_DOWN})


@frozen
class Departure:
    """An order, a modify or a cancel whose first byte has left."""

    at: float
    process: str
    api_id: str
    client_order_id: str


@define(eq=False)
class Weather:
    """How bad the network is.

    Attributes:
        intensity: Share of the requests that something befalls.
        injected: How often each fault has hit.
        slow_way: Seconds between which some orders are on their way; None: none is that slow.
        hides_ledger: A gateway in front of the broker answers every query with an error of its own.
        is_frame_big: The next frame of the feed is bigger than the client takes.
        connects_slowly: Some connections take nearly as long as the clients wait for one.
        departures: Every order whose first byte has left, with the second.
    """

    intensity: float
    injected: Counter[NetworkFault] = field(factory=Counter)
    slow_way: tuple[float, float] | None = None
    hides_ledger: bool = False
    is_frame_big: bool = False
    connects_slowly: bool = False
    departures: list[Departure] = field(factory=list)

    def way(self, pace: Pace, *, is_order: bool) -> float:
        """Draw how long a request is on its way."""
        if is_order and self.slow_way is not None and pace.chance.random() < _SHARE_OF_SLOW:
            return pace.chance.uniform(*self.slow_way)
        return pace.draw(LONGEST_WAY)

    def connecting(self, pace: Pace) -> float:
        """Draw how long a request waits for its connection, with the permission to leave."""
        if self.connects_slowly and pace.chance.random() < _SHARE_OF_SLOW:
            return pace.chance.uniform(LONGEST_CONNECT, LONGEST_SLOW_CONNECT)
        return pace.draw(LONGEST_CONNECT)

    def strike(self, world: World) -> NetworkFault | None:
        """Draw what befalls a request."""
        chance = world.pace.chance
        if chance.random() >= self.intensity:
            return None
        fault = chance.choice(_FAULTS)
        self.injected[fault] += 1
        return fault


@frozen(eq=False)
class _Crossing:
    """A request on its way."""

    request: httpx.Request
    answer: asyncio.Future[httpx.Response]
    fault: NetworkFault | None
    label: str

    @property
    def is_order(self) -> bool:
        """Tell whether it has a key of its own."""
        return "idempotency-key" in self.request.headers


@define(eq=False)
class Network(httpx.AsyncBaseTransport):
    """The network as one process sees it. It keeps the marks and asks the guards as the real transport does."""

    process: Process
    broker: Simulator
    weather: Weather
    knows_guard: bool = True
    _lines: list[VirtualLine] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.process.on_death.append(self._hang_up)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request, and its answer if there is one."""
        world, mark = self.process.world, request.extensions.get(MARK) or DeliveryMark()
        mark.keep()
        label = f"{request.headers.get('api-id', '')} {request.headers.get('idempotency-key', '')}".strip()
        fault = self.weather.strike(world)
        if fault is not None:
            world.note(self.process.name, "network", f"{label} {fault.value}")
        await asyncio.sleep(self.weather.connecting(self.process.pace))
        if fault is NetworkFault.CONNECT_HANGS:
            await world.loop.create_future()
        if fault is NetworkFault.NO_ROUTE or self.broker.transport.is_closed():
            raise httpx.ConnectError("no route to host", request=request)
        guard = request.extensions.get(GUARD)
        if guard is not None:
            guard()
        mark.hand_over()
        world.note(self.process.name, "sent", label)
        if "idempotency-key" in request.headers:
            ids = request.headers["api-id"], request.headers["idempotency-key"]
            self.weather.departures.append(Departure(world.now, self.process.name, *ids))
        # Without the marks and the patience of the sender: from here on it is on its own.
        request.extensions = {}
        crossing = _Crossing(request, world.loop.create_future(), fault, label)
        world.start(self._carry(crossing), label)
        try:
            response = await crossing.answer
        except httpx.TransportError as error:
            world.note(self.process.name, "broke", f"{label} {type(error).__name__}")
            raise
        world.note(self.process.name, "answer", f"{label} HTTP {response.status_code}")
        return response

    async def _carry(self, crossing: _Crossing) -> None:
        pace, fault = self.process.world.pace, crossing.fault
        if fault in _RESETS and crossing.is_order and self.weather.slow_way is not None:
            # The sender is done long before the request arrives.
            fault = NetworkFault.RESET_DOWN
            crossing.answer.set_exception(httpx.ReadError("connection reset by peer"))
            await asyncio.sleep(pace.chance.uniform(*self.weather.slow_way))
        else:
            await asyncio.sleep(self.weather.way(pace, is_order=crossing.is_order))
        # Who closes a connection takes back what has not left the machine: it may have, or not.
        is_abandoned = self.process.is_dead or crossing.answer.done()
        if fault is NetworkFault.LOST_UP or (is_abandoned and pace.chance.random() < 0.3):
            return
        outcome: httpx.Response | Exception = httpx.ReadError("connection reset by peer")
        if fault is not NetworkFault.RESET_UP:
            outcome = await self._ask(crossing)
            await asyncio.sleep(pace.draw(LONGEST_WAY))
        if fault is NetworkFault.LOST_DOWN or crossing.answer.done():
            return
        if fault is NetworkFault.RESET_DOWN:
            outcome = httpx.ReadError("connection reset by peer")
        if isinstance(outcome, Exception):
            crossing.answer.set_exception(outcome)
        else:
            crossing.answer.set_result(outcome)

    async def _ask(self, crossing: _Crossing) -> httpx.Response | Exception:
        if self.weather.hides_ledger and crossing.request.headers.get("api-id") in QUERY_API_IDS:
            return httpx.Response(HTTPStatus.SERVICE_UNAVAILABLE, text="<html>maintenance</html>")
        self.process.world.note("broker", "arrived", crossing.label)
        try:
            return await self.broker.transport.handle_async_request(crossing.request)
        except httpx.TransportError as error:
            return error

    def dial_feed(self) -> VirtualLine:
        """Make a line to the real-time feed."""
        line = VirtualLine(self.process, self.broker, self.weather)
        self._lines.append(line)
        return line

    def _hang_up(self) -> None:
        for line in self._lines:
            line.abort()

    async def aclose(self) -> None:
        """Do nothing: a network is not closed."""


@define(eq=False)
class VirtualLine:
    """One websocket: the client's end, with the way to the broker's."""

    process: Process
    broker: Simulator
    weather: Weather
    _far: FeedLine | None = None
    _inbox: deque[aiohttp.WSMessage] = field(factory=deque)
    _news: asyncio.Event = field(factory=asyncio.Event)
    _up_at: float = 0.0
    _down_at: float = 0.0
    _is_over: bool = False

    async def connect(self, url: str, seconds: float) -> VirtualLine:  # noqa: ARG002 - there is one place to go
        """Open the websocket."""
        world = self.process.world
        fault = self.weather.strike(world)
        if fault is NetworkFault.CONNECT_HANGS:
            await asyncio.sleep(seconds)
            raise StreamLost(f"no connection within {seconds:g} s")
        await asyncio.sleep(self.process.pace.draw(min(LONGEST_CONNECT, seconds)))
        far = None if fault is not None else self.broker.dial_feed(self._drain, world.later)
        if far is None:
            raise StreamLost("the server did not open a websocket")
        self._far = far
        return self

    # As the client's end

    async def send_str(self, text: str) -> None:
        """Send a text."""
        if self._is_over or self._far is None:
            raise ConnectionResetError("the connection is closed")
        loop = self.process.world.loop
        self._up_at = max(self._up_at, loop.time() + self.process.world.pace.draw(LONGEST_WAY))
        loop.call_at(self._up_at, self._far.receive, text, context=self.process.world.context)

    async def receive(self) -> aiohttp.WSMessage:
        """Receive what comes next."""
        while not self._inbox:
            self._news.clear()
            await self._news.wait()
        return self._inbox.popleft()

    async def pong(self, message: bytes) -> None:
        """Do nothing: the broker sends no pings of the protocol."""

    async def close(self) -> None:
        """Say farewell."""
        self.abort()

    def abort(self) -> None:
        """Cut it: the broker learns of it when it does."""
        if not self._is_over and self._far is not None:
            self._is_over = True
            self.process.world.later(self.process.world.pace.draw(LONGEST_WAY), self._far.hang_up)

    async def aclose(self) -> None:
        """Do nothing: it is cut already."""

    # As the way to it

    def _drain(self) -> None:
        """Carry what the broker has put into the outbox, in order."""
        if self._far is None:
            # It speaks while the handshake is under way.
            return
        loop, context = self.process.world.loop, self.process.world.context
        while self._far.outbox:
            step: str | Ending | aiohttp.WebSocketError = self._far.outbox.popleft()
            if self.weather.is_frame_big and isinstance(step, str):
                self.weather.is_frame_big = False
                step = aiohttp.WebSocketError(aiohttp.WSCloseCode.MESSAGE_TOO_BIG, "Message size exceeds limit")
            self._down_at = max(self._down_at, loop.time() + self.process.world.pace.draw(LONGEST_WAY))
            loop.call_at(self._down_at, self._take, _message(step), context=context)
            if not isinstance(step, str):
                self.process.world.later(0.0, self._far.hang_up)
                return

    def _take(self, message: aiohttp.WSMessage) -> None:
        if not self._is_over:
            self._inbox.append(message)
            self._news.set()


def _message(step: str | Ending | aiohttp.WebSocketError) -> aiohttp.WSMessage:
    if isinstance(step, str):
        return aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, step, None)
    if isinstance(step, aiohttp.WebSocketError):
        # What aiohttp makes of a frame that is too big.
        return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, step, None)
    if step is Ending.CLOSE:
        return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, 1000, "Bye")
    return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, ConnectionResetError("connection reset by peer"), None)
