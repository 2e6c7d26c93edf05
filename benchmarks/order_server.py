"""The loopback order server of the benchmarks, in a process of its own: as little HTTP as an order needs.

It accepts every order at once, counts the order numbers up, and notes when the first byte of each order arrived. Its
own cost must stay small beside a client's, hence no web framework.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import define, field

HOST: Final = "127.0.0.1"
ORDER_PATH: Final = "/api/dostk/ordr"
TOKEN: Final = "benchmark-token"  # noqa: S105 - made up
_KST: Final = timezone(timedelta(hours=9))
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_API_ID: Final = re.compile(rb"\r\napi-id: *(\w+)", re.IGNORECASE)
_START_TIMEOUT: Final = 20.0


@define
class _Book:
    """What all connections share.

    Attributes:
        arrivals: CLOCK_MONOTONIC nanoseconds of the first byte of each order, in order of arrival.
    """

    number: int = 0
    arrivals: list[int] = field(factory=list)

    def answer(self, api_id: bytes, arrived: int) -> bytes:
        """Carry out one request."""
        match api_id:
            case b"kt10000":
                self.number += 1
                self.arrivals.append(arrived)
                body = {"ord_no": f"{self.number:07d}", "dmst_stex_tp": "KRX"}
            case b"au10001":
                expires = datetime.now(_KST) + timedelta(days=1)
                body = {"token": TOKEN, "token_type": "bearer", "expires_dt": f"{expires:%Y%m%d%H%M%S}"}
            case b"arrivals":
                body = {"arrivals": json.dumps(self.arrivals)}
                self.arrivals = []
            case _:
                body = {"return_msg": "not part of the benchmark", "return_code": "1"}
        content = json.dumps({"return_code": 0, "return_msg": "done", **body}).encode()
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\napi-id: %b\r\ncont-yn: N\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (api_id, len(content), content)
        )


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._received = b""
        self._arrived = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._arrived = time.monotonic_ns()
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        wanted = int(length[1]) if length else 0
        if not separator or len(rest) < wanted or self._transport is None:
            return
        # A client asks for the next one only after the answer, so nothing follows the body.
        self._received = b""
        api_id = _API_ID.search(head)
        self._transport.write(self._book.answer(api_id[1] if api_id else b"", self._arrived))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    book = _Book()
    server = await loop.create_server(lambda: _Connection(book), HOST, 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # The parent holds the other end of our standard input: it closes however the parent ends.
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


@asynccontextmanager
async def order_server() -> AsyncIterator[str]:
    """Run the server in another process; give its root URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            port = int(await process.stdout.readline())
        yield f"http://{HOST}:{port}"
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
