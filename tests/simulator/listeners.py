"""A listener for the simulator's feed: bare aiohttp, no part of the library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import define, field

from kiwoom_async.simulator import Simulator
from tests.simulator.callers import Caller, calling

PATIENCE = 10.0
"""Seconds a test waits for what must come."""


@define(eq=False)
class FeedListener:
    """Speaks and hears.

    Attributes:
        echoes: Whether pings go back.
        texts: All it has heard.
    """

    socket: aiohttp.ClientWebSocketResponse
    token: str = field(repr=False)
    echoes: bool = True
    texts: list[str] = field(factory=list)

    async def say(self, message: Any) -> None:
        """Send a message."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def text(self) -> str | None:
        """Wait for the next text; None: the connection has ended."""
        received = await self.socket.receive(timeout=PATIENCE)
        if received.type is not aiohttp.WSMsgType.TEXT:
            return None
        self.texts.append(received.data)
        return str(received.data)

    async def next(self) -> dict[str, Any]:
        """Wait for the next message that is not a ping; pings go back unchanged."""
        while True:
            text = await self.text()
            assert text is not None, f"The feed has ended: {self.socket.close_code}."
            message: dict[str, Any] = json.loads(text)
            if message["trnm"] != "PING":
                return message
            if self.echoes:
                await self.socket.send_str(text)

    async def values(self, kind: str = "00") -> dict[str, str]:
        """Wait for the next frame of a type, and give its values."""
        while True:
            message = await self.next()
            entry = message.get("data", [{}])[0]
            if message["trnm"] == "REAL" and entry["type"] == kind:
                values: dict[str, str] = entry["values"]
                return values

    async def states(self, count: int) -> list[tuple[str, str]]:
        """Wait for some order frames; give the state and the order number of each."""
        heard = [await self.values() for _ in range(count)]
        return [(values["913"], values["9203"]) for values in heard]

    async def login(self) -> dict[str, Any]:
        """Log in, and give the answer."""
        await self.say({"trnm": "LOGIN", "token": self.token})
        while (answer := await self.next())["trnm"] != "LOGIN":
            pass
        return answer

    async def register(self, *types: str, **changed: Any) -> dict[str, Any]:
        """Register types; give the answer."""
        data = [{"item": [""], "type": list(types)}]
        await self.say({"trnm": "REG", "grp_no": "1", "refresh": "1", "data": data, **changed})
        while (answer := await self.next())["trnm"] != "REG":
            pass
        return answer

    async def end(self) -> int | None:
        """Read until the connection ends; give the code: 1000 in good order, 1006 torn."""
        while await self.text() is not None:
            pass
        return self.socket.close_code


@asynccontextmanager
async def connected(broker: Simulator, token: str) -> AsyncIterator[FeedListener]:
    """Connect to the feed without a login."""
    assert broker.environment.websocket_url is not None
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(broker.environment.websocket_url, timeout=aiohttp.ClientWSTimeout(ws_close=0.5)) as socket,
    ):
        yield FeedListener(socket, token)


@asynccontextmanager
async def listening(broker: Simulator, *types: str) -> AsyncIterator[tuple[Caller, FeedListener]]:
    """Call a simulator and listen to its feed, registered for some types (none given: `00`)."""
    async with calling(broker, patience=30) as caller, connected(broker, caller.token) as listener:
        assert (await listener.login())["return_code"] == 0
        assert (await listener.register(*(types or ("00",))))["return_code"] == 0
        yield caller, listener


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true, ten seconds at most."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the simulator tells nobody when a connection has gone
            await asyncio.sleep(0.005)
