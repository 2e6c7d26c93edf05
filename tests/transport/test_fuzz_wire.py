"""Raw bytes instead of an answer: an order's outcome is unknown, a feed is lost, and memory and time have a bound."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx
import pytest

from kiwoom_async import Environment, KiwoomClient, Limits, Timing
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._transport.bodies import LARGEST_BODY
from kiwoom_async._transport.feed import open_feed
from kiwoom_async._transport.session import RestSession
from kiwoom_async._wire.exchange import Answer, Breakdown, BreakdownKind
from kiwoom_async._wire.outcomes import Accepted, Unclear, classify
from kiwoom_async.errors import StreamError
from tests.nasty import RAW_DOCUMENTS
from tests.scenarios.trading import CREDENTIALS, left_open
from tests.transport.counting_server import CountingServer, Reply, answering, answering_then_closing, http

TR: Final = "kt10000"
ACCEPTED: Final = b'{"return_code":0,"ord_no":"0000101"}'
OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(size: object, body: bytes = ACCEPTED) -> bytes:
    """Make an answer that announces a length."""
    return OK + f"Content-Length: {size}\r\n\r\n".encode() + body


BROKEN: Final[tuple[bytes, ...]] = (
    *(
        b"\r\n",
        b"\x00",
        b"HTTP",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 OK 200\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n" + ACCEPTED,
    ),
    *(
        b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 1000 X\r\n\r\n",
        b"HTTP/1.1 -200 X\r\n\r\n",
        b"ICY 200 OK\r\n\r\n" + ACCEPTED,
    ),
    *(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", ACCEPTED, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(sized(size) for size in ("-1", "x", "", "１２", "1e3", "0x20", "9" * 30, len(ACCEPTED) + 1, len(ACCEPTED) - 1)),
    *(OK + b"Content-Length: 5\r\nContent-Length: 36\r\n\r\n" + ACCEPTED,),
    *(CHUNKED + body for body in (b"", b"x\r\n", b"-5\r\nabcde\r\n", b"5\r\nab", b"24\r\n" + ACCEPTED + b"\r\n", b"0")),
    *(CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n" + ACCEPTED, CHUNKED + b"24\n" + ACCEPTED, CHUNKED + b"24;" + b"x" * 70_000),
    *(OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n" + ACCEPTED, OK + b"\x00: x\r\nContent-Length: 36\r\n\r\n" + ACCEPTED),
    *(OK + b"no colon\r\nContent-Length: 36\r\n\r\n" + ACCEPTED, OK + b"X: \xff\r\n" * 20_000 + b"\r\n"),
    *(
        http("200 OK", ACCEPTED, f"Content-Encoding: {name}\r\n")
        for name in ("gzip", "deflate", "br", "x", "gzip,gzip")
    ),
    *(http("200 OK", gzip.compress(ACCEPTED)[:-size], "Content-Encoding: gzip\r\n") for size in (1, 8, 20)),
    *(http("200 OK", ACCEPTED, "Content-Encoding: zstd\r\n"), http("101 Switching", b""), http("100 Continue", b"")),
    *(http("204 No Content"), http("304 Not Modified"), http("200 OK", ACCEPTED, "api-id: kt10000\r\napi-id: x\r\n")),
    *(http("200 OK", raw[:100_000]) for raw in RAW_DOCUMENTS[::4]),
)
"""What a server that is broken, another one, or somebody in between can say to an order."""


async def outcome_of(raw: bytes) -> object:
    """Send an order to a server that answers with these bytes and hangs up."""
    async with CountingServer(answering_then_closing(raw)) as server, RestSession(server.url) as session:
        exchange = await session.post(
            "/api/dostk/ordr", headers={}, content=b"{}", connect_timeout=20, response_timeout=20
        )
        assert len(server.requests) == 1
    if isinstance(exchange, Breakdown):
        assert exchange.handed_over
        assert "0000101" not in exchange.detail
    return classify(exchange, TR)


@pytest.mark.parametrize("raw", BROKEN, ids=lambda raw: repr(raw[:40]))
async def test_broken_http_is_unclear(raw: bytes) -> None:
    """Never an exception, never a second request, never definite, unless the whole intact answer is among the bytes."""
    outcome = await outcome_of(raw)
    assert isinstance(outcome, Unclear), outcome


async def test_answer_cut_at_every_length_is_unclear() -> None:
    """Head, body, and the very end of both kinds of framing; only the last length is an answer."""
    # Where the connection's end ends the body, the JSON itself tells that it is whole.
    for whole in (http("200 OK", ACCEPTED), CHUNKED + b"24\r\n" + ACCEPTED + b"\r\n0\r\n\r\n"):
        outcomes = [await outcome_of(whole[:size]) for size in range(0, len(whole), 3)]
        assert all(isinstance(outcome, Unclear) for outcome in outcomes)
        assert isinstance(await outcome_of(whole), Accepted)


def endless(head: bytes, chunk: bytes, sent: list[int]) -> Reply:
    """Answer without end."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(chunk)
            await writer.drain()
            sent[0] += len(chunk)

    return reply


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (OK + b"\r\n", b" " * 65_536),
        (CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n"),
        (sized("9" * 15, b""), b"[" * 65_536),
    ],
    ids=["until the end", "chunked", "announced"],
)
async def test_endless_body_is_given_up(head: bytes, chunk: bytes) -> None:
    """At a bound, long before the time is over: the order is unclear, and the connection is not used again."""
    sent = [0]
    async with CountingServer(endless(head, chunk, sent)) as server, RestSession(server.url) as session:
        exchange = await session.post("/x", headers={}, content=b"{}", connect_timeout=60, response_timeout=100)
        assert exchange == Breakdown(BreakdownKind.PROTOCOL, "BodyTooLong", handed_over=True)
        assert server.connections == 1
    assert sent[0] < 10 * LARGEST_BODY


def bomb(size: int, window: int) -> bytes:
    """Pack very many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(size // 2**20)) + packer.flush()


@pytest.mark.parametrize(("name", "window"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
async def test_body_that_unpacks_to_too_much_is_given_up(name: str, window: int) -> None:
    """Little on the wire, much in memory: unpacked up to the bound and no further."""
    raw = http("200 OK", bomb(4 * LARGEST_BODY, window), f"Content-Encoding: {name}\r\n")
    assert len(raw) < LARGEST_BODY / 100
    async with CountingServer(answering(raw)) as server, RestSession(server.url) as session:
        exchange = await session.post("/x", headers={}, content=b"{}", connect_timeout=60, response_timeout=100)
    assert exchange == Breakdown(BreakdownKind.PROTOCOL, "BodyTooLong", handed_over=True)


@pytest.mark.parametrize(("name", "window"), [("gzip", 31), ("deflate", 15), ("deflate", -15), ("identity", 0)])
async def test_packed_answer_is_unpacked(name: str, window: int) -> None:
    """By our transport, and by one that is injected and leaves it to us."""
    packed = ACCEPTED
    if window:
        packer = zlib.compressobj(9, zlib.DEFLATED, window)
        packed = packer.compress(ACCEPTED) + packer.flush()
    assert isinstance(await outcome_of(http("200 OK", packed, f"Content-Encoding: {name}\r\n")), Accepted)

    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def] # noqa: ANN204 - httpx's signature
            yield packed

    headers = {"Content-Encoding": name}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=Stream()))
    async with RestSession("http://127.0.0.1:1", transport) as session:
        exchange = await session.post("/x", headers={}, content=b"{}", connect_timeout=20, response_timeout=20)
    assert isinstance(exchange, Answer)
    assert exchange.content == ACCEPTED


# ---------------------------------------------------------------- the whole client


class Broker:
    """A server with a token, an empty ledger, and raw bytes for every order."""

    def __init__(self, replies: dict[str, bytes]) -> None:
        self.replies = replies
        self.orders: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
            await reader.readexactly(int(fields["content-length"]))
            if " /oauth2/" in head.decode():
                body = {"return_code": 0, "token": "a-token", "expires_dt": "20991231235959", "return_msg": ""}
                writer.write(http("200 OK", json.dumps(body).encode()))
            elif " /api/dostk/ordr" in head.decode():
                self.orders.append(fields["idempotency-key"])
                writer.write(self.replies[fields["idempotency-key"]])
                await writer.drain()
                writer.close()
                return
            else:
                writer.write(http("503 Service Unavailable", b"busy"))
            await writer.drain()


async def test_order_that_meets_raw_bytes_is_unknown_to_its_caller(tmp_path: Path) -> None:
    """Every kind, at once: each caller hears OutcomeUnknown, each order was sent once, and the next one works."""
    replies = {f"order-{number}": raw for number, raw in enumerate(BROKEN)} | {"good": http("200 OK", ACCEPTED)}
    broker = Broker(replies)
    timing = Timing(
        connect_timeout=30, response_timeout=30, acceptance_bound=600, reconcile_interval=5, drain_timeout=30
    )
    async with CountingServer(on_connect=broker) as server:
        client = KiwoomClient(
            CREDENTIALS,
            environment=Environment(server.url),
            journal=tmp_path / "orders.db",
            timing=timing,
            limits=Limits.off(),
            feed=False,
        )
        async with client:

            def place(number: int) -> Awaitable[None]:
                name = f"order-{number}"
                return left_open(
                    lambda: client.stock.buy("005930", number + 1, price=70_000, client_order_id=name, deadline=2)
                )

            async with asyncio.timeout(100):
                await asyncio.gather(*map(place, range(len(BROKEN))))
                order = await client.stock.buy("005930", 1, price=60_000, client_order_id="good")
            assert order.broker_order_id == "0000101"
            assert len(await client.orders.unresolved()) == len(BROKEN)
        assert sorted(broker.orders) == sorted(replies)


# ---------------------------------------------------------------- the feed


def frame(opcode: int, payload: bytes, *, first: int = 0x80, size: int | None = None) -> bytes:
    """Make a frame of the websocket protocol, whose length may be a lie."""
    length = len(payload) if size is None else size
    if length < 126:
        head = bytes([first | opcode, length])
    elif length < 65_536:
        head = bytes([first | opcode, 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first | opcode, 127]) + length.to_bytes(8, "big")
    return head + payload


def text(body: object) -> bytes:
    """Make a frame with JSON."""
    return frame(1, json.dumps(body, ensure_ascii=False).encode())


WELCOME: Final = text({"trnm": "LOGIN", "return_code": 0}) + text({"trnm": "REG", "return_code": 0})
RAW_FRAMES: Final[tuple[bytes, ...]] = (
    *(b"\x00", b"\xff" * 100, b"HTTP/1.1 200 OK\r\n\r\n", frame(1, b"\xff\xfe"), frame(1, b"{}", size=2**40)),
    *(frame(1, b"{}", size=2**63), frame(3, b"x"), frame(11, b""), frame(1, b"{", first=0), frame(0, b"x")),
    *(frame(9, b"x" * 126), frame(8, b"\x03"), frame(8, b"\x03\xe8\xff\xff"), frame(8, b"\x00\x00"), frame(8, b"")),
    *(frame(1, b"{}", first=0xC0), frame(2, b"\x00\xff"), frame(10, b""), b"\x81\x85\x00\x00\x00\x00hello"),
    *(frame(1, raw[:100_000]) for raw in RAW_DOCUMENTS[::4]),
)
"""What can come over a websocket that is broken, and frames that mean nothing."""


def websocket(*, before: bytes = b"", after: bytes = b"") -> Callable[..., Awaitable[None]]:
    """Accept a websocket, send bytes before or after the login, and hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())  # noqa: S324 - RFC 6455
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        writer.write(before)
        if not before:
            await reader.read(1)
            writer.write(WELCOME + after)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return serve


async def follow(server: CountingServer) -> None:
    """Listen to a feed until it ends."""
    timing = Timing(connect_timeout=20, response_timeout=20)
    url = server.url.replace("http", "ws")
    async with asyncio.timeout(60), open_feed(url, "the-secret-token", timing=timing, ambient=SystemAmbient()) as feed:
        async for _ in feed.entries():
            pass


@pytest.mark.parametrize("raw", RAW_FRAMES, ids=lambda raw: repr(raw[:30]))
@pytest.mark.parametrize("is_early", [True, False], ids=["before the login", "after it"])
async def test_feed_of_raw_bytes_is_lost(raw: bytes, *, is_early: bool) -> None:
    """Never another exception, never a wait without end, and no token in the text."""
    serve = websocket(before=raw) if is_early else websocket(after=raw)
    async with CountingServer(on_connect=serve) as server:
        with pytest.raises(StreamError) as caught:
            await follow(server)
    assert "secret" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("raw", BROKEN[::3], ids=lambda raw: repr(raw[:30]))
async def test_handshake_of_raw_bytes_is_lost(raw: bytes) -> None:
    """Whatever answers instead of a websocket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    async with CountingServer(on_connect=serve) as server:
        with pytest.raises(StreamError):
            await follow(server)
