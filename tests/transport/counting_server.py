"""A raw TCP server that counts what really arrives, so that "one send is one request" is seen on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

Reply: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BODY = b'{"return_code":0,"ord_no":"0000001"}'


def http(status: str, body: bytes = BODY, headers: str = "") -> bytes:
    """Build an answer with the right length."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body


def answering(raw: bytes) -> Reply:
    """Answer and keep the connection open."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return reply


def answering_then_closing(raw: bytes) -> Reply:
    """Answer, then close although keep-alive was agreed."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return reply


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    writer.close()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a TCP reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


class CountingServer:
    """Count connections, bytes and whole HTTP requests, and answer from a script.

    Args:
        replies: One per request in the order of arrival; the last one repeats.
        on_connect: Replaces the whole talk on a connection, for everything that is not HTTP.
        tls: Speak TLS.
    """

    def __init__(self, *replies: Reply, on_connect: Reply | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._replies = replies or (answering(http("200 OK")),)
        self._on_connect = on_connect
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.bytes_received = 0
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """The root of the server."""
        return f"http{'' if self._tls is None else 's'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        # Small, so that a large request is still on its way when a script breaks the connection.
        self._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and drop every connection."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                if self._on_connect is not None:
                    await self._on_connect(reader, writer)
                    return
                while not writer.is_closing():
                    await self._serve_one(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        self.bytes_received += 1
        head = first + await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
        self.bytes_received += len(head) - 1 + length
        self.requests.append(head + body)
        self.arrived.set()
        await self._replies[min(len(self.requests), len(self._replies)) - 1](reader, writer)
