"""What the end of a connection means for the bytes in it: none of them leaves any more (decision 8)."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kiwoom_async._transport import aiohttp_transport
from kiwoom_async._transport.aiohttp_transport import UNACKNOWLEDGED_SECONDS, AiohttpTransport
from kiwoom_async._transport.mark import DeliveryMark
from kiwoom_async._transport.session import RestSession
from kiwoom_async._wire.exchange import Breakdown, BreakdownKind
from tests.transport.counting_server import CountingServer

CERTIFICATE = Path(__file__).with_name("localhost.pem")
ROOT = Path(__file__).parents[2]
LARGE = 1_000_000
"""Bytes; more than the server's kernel and its event loop take in, so that the rest waits on our side. aiohttp warns of
more than 2**20."""


def server_context() -> ssl.SSLContext:
    """Speak TLS as 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def transport() -> AiohttpTransport:
    """Make a transport that trusts the tests' server."""
    return AiohttpTransport(user_agent="test", ssl_context=ssl.create_default_context(cafile=CERTIFICATE))


async def send(session: RestSession, size: int = 2, *, response_timeout: float = 60.0) -> object:
    """Send an order of a size."""
    return await session.post(
        "/api/dostk/ordr",
        headers={},
        content=b" " * size,
        connect_timeout=5.0,
        response_timeout=response_timeout,
    )


class StallingServer(CountingServer):
    """Reads nothing until it is told to; then reads to the end and keeps how it came."""

    def __init__(self, *, tls: bool) -> None:
        self.accepted, self.may_read = asyncio.Event(), asyncio.Event()
        self.end: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        super().__init__(on_connect=self._stall, tls=server_context() if tls else None)

    async def _stall(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = 0
        self.accepted.set()
        await self.may_read.wait()
        try:
            while chunk := await reader.read(65536):
                received += len(chunk)
        except ConnectionResetError:
            self.end.set_result(("reset", received))
        except OSError as error:
            self.end.set_result((type(error).__name__, received))
        else:
            self.end.set_result(("end", received))


_TIME_WAIT = 6


def ends_at(port: int) -> list[tuple[int, str]]:
    """Read the kernel's table of sockets: state and send queue of each that talks to a port of this machine.

    Without those that have ended: one may be left of an earlier connection whose client had the port's number.
    """
    entries = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return [
        (int(state, 16), queues.split(":")[0])
        for _, _, remote, state, queues, *_ in entries
        if int(remote.split(":")[1], 16) == port and int(state, 16) != _TIME_WAIT
    ]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_sockets_carry_the_options(tls: bool) -> None:
    """A connection in use resets on close, gives up what nobody acknowledges, and is what asyncio makes of it."""
    server = CountingServer(tls=server_context() if tls else None)
    async with server, RestSession(server.url, ours := transport()) as session:
        await send(session)
        assert ours._session is not None
        assert ours._session.connector is not None
        [[(protocol, _)]] = ours._session.connector._conns.values()
        assert protocol.transport is not None
        made = protocol.transport.get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert made.gettimeout() == 0.0
        assert not made.get_inheritable()
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED_SECONDS * 1000


async def time_out(session: RestSession) -> None:
    """No answer in time."""
    assert await send(session, LARGE, response_timeout=0.5) == Breakdown(
        BreakdownKind.TIMEOUT, "no answer within 0.5 s", handed_over=True
    )


async def cancel(session: RestSession) -> None:
    """The caller cancels."""
    task = asyncio.create_task(send(session, LARGE))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def close(session: RestSession) -> None:
    """The transport is closed while the order is on its way."""
    task = asyncio.create_task(send(session, LARGE))
    await asyncio.sleep(0.5)
    await session.aclose()
    assert isinstance(await task, Breakdown)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("give_up", [time_out, cancel, close])
async def test_what_is_not_sent_when_we_give_up_is_never_sent(
    give_up: Callable[[RestSession], Awaitable[None]], tls: bool
) -> None:
    """The other side is told of a reset, not of an orderly end, and the kernel keeps nothing of it."""
    async with StallingServer(tls=tls) as server, RestSession(server.url, transport()) as session:
        await give_up(session)
        if sys.platform == "linux":
            await asyncio.sleep(0.05)
            assert ends_at(server.port) == []
        server.may_read.set()
        how, received = await server.end
        assert how == "reset"
        assert received < LARGE


VICTIM = """
import asyncio, sys
from tests.transport.test_sockets import LARGE, RestSession, send, transport

async def main():
    async with RestSession(sys.argv[1], transport()) as session:
        await send(session, LARGE)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_what_is_not_sent_when_the_process_is_killed_is_never_sent(tls: bool) -> None:
    """Nobody closes anything after a SIGKILL: the kernel itself resets the connection."""
    async with StallingServer(tls=tls) as server:
        victim = await asyncio.create_subprocess_exec(sys.executable, "-c", VICTIM, server.url, cwd=ROOT, stderr=PIPE)
        await server.accepted.wait()
        await asyncio.sleep(0.5)
        victim.send_signal(signal.SIGKILL)
        await victim.communicate()
        if sys.platform == "linux":
            assert ends_at(server.port) == []
        server.may_read.set()
        how, received = await server.end
        assert how == "reset"
        assert received < LARGE


async def test_connection_that_aiohttp_keeps_is_not_torn_down() -> None:
    """Cancelled after the whole answer was read: the connection is back in the pool, perhaps another's by now."""
    async with CountingServer() as server, RestSession(server.url, ours := transport()) as session:
        await send(session)
        assert ours._session is not None
        assert ours._session.connector is not None
        [[(protocol, _)]] = ours._session.connector._conns.values()
        passage = aiohttp_transport._Passage(DeliveryMark(), None)
        passage.transport = protocol.transport
        passage.abandon()
        await send(session)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_socket_that_cannot_be_made_to_reset_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the option nothing is sent, and that is proven."""
    monkeypatch.setattr(aiohttp_transport, "_RESET_ON_CLOSE", b"")
    async with CountingServer() as server, RestSession(server.url, transport()) as session:
        breakdown = await send(session)
        assert isinstance(breakdown, Breakdown)
        assert (breakdown.kind, breakdown.handed_over) == (BreakdownKind.CONNECT, False)
        assert server.connections == 0


async def test_kernel_that_does_not_know_the_user_timeout_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second line of defence may be missing."""
    monkeypatch.setattr(aiohttp_transport, "UNACKNOWLEDGED_SECONDS", -1.0)
    async with CountingServer() as server, RestSession(server.url, transport()) as session:
        assert not isinstance(await send(session), Breakdown)
