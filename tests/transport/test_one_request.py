"""One send is one request on the wire, and the mark tells the truth about delivery (assumption A3)."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kiwoom_async._transport.aiohttp_transport import AiohttpTransport
from kiwoom_async._transport.mark import DeliveryMark, SendAborted
from kiwoom_async._transport.session import USER_AGENT, RestSession
from kiwoom_async._wire.exchange import Answer, Breakdown, BreakdownKind, Exchange
from tests.transport.counting_server import (
    BODY,
    CountingServer,
    Reply,
    answering,
    answering_then_closing,
    closing,
    hanging,
    http,
    resetting,
)


async def send(session: RestSession, **changes: Any) -> Exchange:
    """Send one order."""
    arguments: dict[str, Any] = {
        "headers": {"api-id": "kt10000", "authorization": "Bearer secret-token"},
        "content": b'{"stk_cd":"005930"}',
        "connect_timeout": 2.0,
        "response_timeout": 2.0,
    }
    return await session.post("/api/dostk/ordr", **(arguments | changes))


def broken(exchange: Exchange) -> Breakdown:
    """Expect a breakdown."""
    assert isinstance(exchange, Breakdown), exchange
    return exchange


def answered(exchange: Exchange) -> Answer:
    """Expect an answer."""
    assert isinstance(exchange, Answer), exchange
    return exchange


async def eventually(is_true: Callable[[], bool]) -> None:
    """Let the event loop run until it has seen what the server did; the test's timeout bounds it."""
    while not is_true():  # noqa: ASYNC110 - there is no event for what the HTTP library sees
        await asyncio.sleep(0)


def acquired(session: RestSession) -> int:
    """Count the connections that are neither idle nor closed."""
    transport = session._transport
    assert isinstance(transport, AiohttpTransport)
    assert transport._session is not None
    assert transport._session.connector is not None
    return len(transport._session.connector._acquired)


async def test_one_send_is_one_request() -> None:
    """A plain exchange is one request, with our headers, read to its end."""
    async with CountingServer() as server, RestSession(server.url) as session:
        answer = answered(await send(session))
        assert (answer.status, answer.content) == (200, BODY)
        assert answer.headers["content-type"] == "application/json"
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        assert lines[0] == b"post /api/dostk/ordr http/1.1"
        assert f"user-agent: {USER_AGENT}".encode() in lines
        assert b"content-type: application/json;charset=utf-8" in lines
        assert b"api-id: kt10000" in lines
        assert len([line for line in lines if line.startswith(b"content-length:")]) == 1
        assert body == b'{"stk_cd":"005930"}'
        assert "secret" not in repr(answer)
        assert len(server.requests) == 1


async def test_connections_are_kept_alive() -> None:
    """Requests one after the other share a connection, and cookies are not kept."""
    reply = answering(http("200 OK", headers="Set-Cookie: a=b\r\n"))
    async with CountingServer(reply) as server, RestSession(server.url) as session:
        for _ in range(3):
            answered(await send(session))
        assert (server.connections, len(server.requests)) == (1, 3)
        assert b"cookie" not in server.requests[2].lower()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(closing, BreakdownKind.PROTOCOL), (resetting, BreakdownKind.RESET)],
    ids=["close", "reset"],
)
async def test_connection_lost_after_arrival_is_unknown(reply: Reply, kind: BreakdownKind) -> None:
    """The whole order arrived and the connection went away: handed over, one request."""
    async with CountingServer(reply) as server, RestSession(server.url) as session:
        breakdown = broken(await send(session))
        assert breakdown.handed_over
        assert breakdown.kind is kind
        assert len(server.requests) == 1


async def test_half_an_answer_is_unknown() -> None:
    """An answer that ends before its announced length is no answer."""
    reply = answering_then_closing(http("200 OK")[:-10])
    async with CountingServer(reply) as server, RestSession(server.url) as session:
        breakdown = broken(await send(session))
        assert breakdown == Breakdown(BreakdownKind.PROTOCOL, "RemoteProtocolError", handed_over=True)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"secret-token garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret-token\r\n",
        http("200 OK", b"secret-token", "Content-Encoding: gzip\r\n"),
    ],
    ids=["head", "chunk", "encoding"],
)
async def test_malformed_answer_is_unknown_and_not_quoted(raw: bytes) -> None:
    """What a server sent never reaches a text, for it can be a token."""
    async with CountingServer(answering_then_closing(raw)) as server, RestSession(server.url) as session:
        breakdown = broken(await send(session))
        assert breakdown.handed_over
        assert breakdown.kind is BreakdownKind.PROTOCOL
        assert "secret" not in breakdown.detail
        assert len(server.requests) == 1


async def test_compressed_answer_is_decoded_once() -> None:
    """A content encoding is undone."""
    reply = answering(http("200 OK", gzip.compress(BODY), "Content-Encoding: gzip\r\n"))
    async with CountingServer(reply) as server, RestSession(server.url) as session:
        assert answered(await send(session)).content == BODY
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_never_replays_post(status: int) -> None:
    """A redirect is an answer; nothing follows it."""
    async with CountingServer() as target:
        reply = answering(http(f"{status} Moved", headers=f"Location: {target.url}/elsewhere\r\n"))
        async with CountingServer(reply) as server, RestSession(server.url) as session:
            assert answered(await send(session)).status == status
            assert len(server.requests) == 1
        assert target.connections == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_error_status_is_an_answer_and_not_repeated(status: int) -> None:
    """No status is retried below the reconciler."""
    reply = answering(http(f"{status} Trouble", b"<html>", "Retry-After: 0\r\n"))
    async with CountingServer(reply) as server, RestSession(server.url) as session:
        assert answered(await send(session)).status == status
        assert len(server.requests) == 1


async def test_server_closed_idle_keepalive_is_unknown() -> None:
    """The server closes a kept connection just when the second order arrives: handed over, not repeated."""
    async with (
        CountingServer(answering(http("200 OK")), closing) as server,
        RestSession(server.url) as session,
    ):
        answered(await send(session))
        assert broken(await send(session)).handed_over
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_idle_connection_seen_closed_is_not_used() -> None:
    """A connection whose end was seen while it was idle is replaced before anything is written."""
    reply = answering_then_closing(http("200 OK"))
    async with CountingServer(reply) as server, RestSession(server.url) as session:
        answered(await send(session))
        transport = session._transport
        assert isinstance(transport, AiohttpTransport)
        assert transport._session is not None
        assert transport._session.connector is not None
        idle = [protocol for pool in transport._session.connector._conns.values() for protocol, _ in pool]
        await eventually(lambda: not any(protocol.is_connected() for protocol in idle))
        answered(await send(session))
        assert (server.connections, len(server.requests)) == (2, 2)


async def test_unsolicited_answer_on_idle_connection_is_never_taken_for_ours() -> None:
    """A doubled answer to the first order must not be read as the answer to the second."""
    doubled = http("200 OK") + http("200 OK", b'{"return_code":0,"ord_no":"6666666"}')
    first, late = asyncio.Event(), asyncio.Event()

    async def answer_then_once_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(doubled[: len(http("200 OK"))])
        await first.wait()
        writer.write(doubled[len(http("200 OK")) :])
        late.set()

    async with (
        CountingServer(answer_then_once_more, answering(http("200 OK", b"{}"))) as server,
        RestSession(server.url) as session,
    ):
        assert answered(await send(session)).content == BODY
        transport = session._transport
        assert isinstance(transport, AiohttpTransport)
        assert transport._session is not None
        assert transport._session.connector is not None
        [[(protocol, _)]] = transport._session.connector._conns.values()
        first.set()
        await eventually(lambda: protocol.should_close)
        assert late.is_set()
        assert answered(await send(session)).content == b"{}"
        assert (server.connections, len(server.requests)) == (2, 2)


async def test_connect_refused_is_not_sent(unused_tcp_port_factory: Callable[[], int]) -> None:
    """Nobody listens: proven not sent."""
    async with RestSession(f"http://127.0.0.1:{unused_tcp_port_factory()}") as session:
        breakdown = broken(await send(session))
        assert not breakdown.handed_over
        assert breakdown.kind is BreakdownKind.CONNECT


async def test_dns_failure_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host has no address: proven not sent."""

    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    async with RestSession("http://broker.invalid") as session:
        breakdown = broken(await send(session))
        assert not breakdown.handed_over
        assert breakdown.kind is BreakdownKind.CONNECT


async def test_tls_handshake_failure_is_not_sent() -> None:
    """The port speaks no TLS: proven not sent."""

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(4096)
        assert b"authorization" not in hello.lower()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with (
        CountingServer(on_connect=speak_plainly) as server,
        RestSession(server.url.replace("http:", "https:")) as session,
    ):
        breakdown = broken(await send(session))
        assert not breakdown.handed_over
        assert breakdown.kind is BreakdownKind.CONNECT
        assert server.connections == 1


async def test_connect_timeout_is_not_sent() -> None:
    """The handshake never ends: proven not sent."""
    async with (
        CountingServer(on_connect=hanging) as server,
        RestSession(server.url.replace("http:", "https:")) as session,
    ):
        breakdown = broken(await send(session, connect_timeout=0.1))
        assert not breakdown.handed_over
        assert breakdown.kind is BreakdownKind.TIMEOUT


async def test_pool_timeout_is_not_sent() -> None:
    """Every connection is busy: proven not sent."""
    transport = AiohttpTransport(user_agent="test", pool_limit=1)
    async with CountingServer(hanging) as server, RestSession(server.url, transport) as session:
        busy = asyncio.create_task(send(session, response_timeout=60.0))
        await server.arrived.wait()
        breakdown = broken(await send(session, connect_timeout=0.05))
        assert not breakdown.handed_over
        assert breakdown.kind is BreakdownKind.TIMEOUT
        assert len(server.requests) == 1
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        assert acquired(session) == 0


async def test_read_timeout_is_unknown() -> None:
    """The answer does not come in time: handed over, one request, and the connection is not used again."""
    async with CountingServer(hanging) as server, RestSession(server.url) as session:
        breakdown = broken(await send(session, response_timeout=0.1))
        assert breakdown.handed_over
        assert breakdown.kind is BreakdownKind.TIMEOUT
        assert len(server.requests) == 1
        assert acquired(session) == 0


async def test_dripping_answer_is_bounded_by_response_timeout() -> None:
    """The bound is for the whole answer, also when each byte comes in time."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with CountingServer(drip) as server, RestSession(server.url) as session:
        breakdown = broken(await send(session, response_timeout=0.15))
        assert breakdown == Breakdown(BreakdownKind.TIMEOUT, "no answer within 0.15 s", handed_over=True)
        assert len(server.requests) == 1


async def test_write_error_midway_is_unknown() -> None:
    """The connection breaks while a large body is on its way: bytes have left."""

    async def break_midway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        await resetting(reader, writer)

    async with (
        CountingServer(on_connect=break_midway) as server,
        RestSession(server.url) as session,
    ):
        breakdown = broken(await send(session, content=b" " * 1_000_000))
        assert breakdown.handed_over
        assert server.connections == 1


async def test_guard_is_asked_once_with_connection_in_hand() -> None:
    """The guard runs after the connection was made and before the first byte."""
    async with CountingServer() as server, RestSession(server.url) as session:
        seen: list[tuple[int, bool]] = []
        mark = DeliveryMark()

        def guard() -> None:
            seen.append((server.bytes_received, mark.may_have_left))

        answered(await send(session, guard=guard, mark=mark))
        assert seen == [(0, False)]
        assert mark.is_kept
        assert mark.handed_over


@pytest.mark.parametrize("is_warm", [False, True], ids=["new", "reused"])
async def test_guard_abort_writes_nothing_and_leaks_nothing(is_warm: bool) -> None:
    """A refusal in the last moment: no byte arrives and the connection is given back."""

    def refuse() -> None:
        raise SendAborted("the deadline has passed")

    async with CountingServer() as server, RestSession(server.url) as session:
        if is_warm:
            answered(await send(session))
        before = server.bytes_received
        breakdown = broken(await send(session, guard=refuse))
        assert breakdown == Breakdown(BreakdownKind.ABORTED, "the deadline has passed", handed_over=False)
        assert acquired(session) == 0
        assert server.bytes_received == before
        answered(await send(session))
        assert len(server.requests) == 1 + is_warm


async def test_guard_that_fails_is_not_sent() -> None:
    """A fault inside the guard refuses, too."""

    def fail() -> None:
        raise ZeroDivisionError

    async with CountingServer() as server, RestSession(server.url) as session:
        assert broken(await send(session, guard=fail)) == Breakdown(
            BreakdownKind.OTHER, "ZeroDivisionError", handed_over=False
        )
        assert server.bytes_received == 0


async def test_cancellation_while_reading_passes_through() -> None:
    """The caller's cancellation ends the exchange; the mark says that it was handed over."""
    async with CountingServer(hanging) as server, RestSession(server.url) as session:
        mark = DeliveryMark()
        task = asyncio.create_task(send(session, mark=mark))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mark.handed_over
        assert len(server.requests) == 1
        assert acquired(session) == 0


async def test_cancellation_before_hand_over_is_provably_not_sent() -> None:
    """Cancelled while connecting: the mark proves that nothing left."""
    connected = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await hanging(reader, writer)

    async with (
        CountingServer(on_connect=stall) as server,
        RestSession(server.url.replace("http:", "https:")) as session,
    ):
        mark = DeliveryMark()
        task = asyncio.create_task(send(session, mark=mark))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mark.is_kept
        assert not mark.may_have_left


async def test_closed_session_is_not_sent() -> None:
    """After closing nothing leaves, and that is proven."""
    async with CountingServer() as server:
        async with RestSession(server.url) as session:
            answered(await send(session))
        assert not broken(await send(session)).handed_over
        assert len(server.requests) == 1


async def test_concurrent_orders_are_one_request_each() -> None:
    """A hundred orders at once are a hundred requests with a hundred different bodies."""
    async with CountingServer() as server, RestSession(server.url) as session:
        exchanges = await asyncio.gather(*(send(session, content=b"%d" % number) for number in range(100)))
        assert all(isinstance(exchange, Answer) for exchange in exchanges)
        bodies = sorted(int(request.partition(b"\r\n\r\n")[2]) for request in server.requests)
        assert bodies == list(range(100))
        assert acquired(session) == 0


async def test_http2_goaway_is_unknown_unless_stream_id_proves_unprocessed() -> None:
    """Only HTTP/1.1 is offered in TLS, so there is no GOAWAY whose stream id could prove anything."""
    hello = b""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hello
        hello = await reader.read(4096)

    async with (
        CountingServer(on_connect=listen) as server,
        RestSession(server.url.replace("http:", "https:")) as session,
    ):
        assert not broken(await send(session)).handed_over
    assert b"\x08http/1.1" in hello
    assert b"\x02h2" not in hello


@pytest.mark.parametrize("note", [b"plain", "한글".encode(), b"\xff"])
async def test_headers_of_an_answer_read_as_httpx_reads_them(note: bytes) -> None:
    """Doubled names and bytes beyond ASCII mean the same with our transport and with an injected one."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nNote: " + note + b"\r\nTwice: a\r\nTWICE: b\r\n\r\n{}"
    async with CountingServer(answering(head)) as server, RestSession(server.url) as session:
        read = answered(await send(session)).headers
    assert dict(read) == dict(httpx.Headers([(b"content-length", b"2"), (b"note", note), (b"twice", b"a, b")]).items())
