"""The connection to the real-time feed, against a websocket server on real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http import HttpProcessingError, WebSocketError

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._domain.settings import Timing
from kiwoom_async._transport import feed as feed_module
from kiwoom_async._transport.feed import REPLACED_WITHIN, SILENCE_LIMIT, FeedConnection, _breakage_as, open_feed
from kiwoom_async._transport.session import USER_AGENT
from kiwoom_async.errors import StreamError, StreamLoginRefused, StreamLost, StreamReplaced
from tests.transport.clocks import Clock

TOKEN = "made-up-token-7fQ"
TIMING = Timing(connect_timeout=20.0, response_timeout=20.0)
LOGIN_OK = {"trnm": "LOGIN", "return_code": 0, "return_msg": "", "sor_yn": "Y"}
REG_OK = {"trnm": "REG", "return_code": 0, "return_msg": ""}
BUSY = {"trnm": "SYSTEM", "code": "R99", "message": "a notice"}
REPLACED = {"trnm": "SYSTEM", "code": "R10001", "message": "동일한 App key로 접속이 되었습니다."}
NO_HEARTBEAT = {"trnm": "SYSTEM", "code": "R10002", "message": "Heartbeat"}

Script: TypeAlias = Callable[["Session"], Awaitable[None]]


def real(number: int, **more: str) -> dict[str, Any]:
    """Make a REAL frame about an order number."""
    values = {"9201": "1234567890", "9203": f"{number:07d}", **more}
    return {"trnm": "REAL", "data": [{"type": "00", "name": "주문체결", "item": "005930", "values": values}]}


class Session:
    """The server's end of one connection."""

    def __init__(self, request: web.Request, websocket: web.WebSocketResponse) -> None:
        self.request = request
        self.websocket = websocket

    async def send(self, *frames: dict[str, Any] | str) -> None:
        """Send frames, or texts as they are."""
        for frame in frames:
            await self.websocket.send_str(frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False))

    async def expect(self) -> str:
        """Receive a text."""
        return await self.websocket.receive_str(timeout=20)

    async def accept(self) -> None:
        """Let the client in."""
        assert json.loads(await self.expect())["trnm"] == "LOGIN"
        await self.send(LOGIN_OK)
        assert json.loads(await self.expect())["trnm"] == "REG"
        await self.send(REG_OK)

    async def wait_for_the_end(self) -> None:
        """Wait until the client has gone."""
        with suppress(TypeError, ConnectionError):
            while True:
                await self.expect()

    def reset(self) -> None:
        """Send a TCP reset."""
        transport = self.request.transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class FeedServer:
    """A websocket server that plays a script on every connection."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.open = 0
        self.sessions: list[Session] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_get("/feed", self._serve)
        app.router.add_get("/elsewhere", self._redirect)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        scheme = "ws" if self._tls is None else "wss"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}/feed"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self._runner.cleanup()

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/feed")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse(autoclose=True, max_msg_size=0, timeout=0.01)
        await websocket.prepare(request)
        session = Session(request, websocket)
        self.sessions.append(session)
        self.open += 1
        try:
            with suppress(ConnectionError, TypeError, RuntimeError):
                await self._script(session)
        finally:
            self.open -= 1
            async with self._changed:
                self._changed.notify_all()
        return websocket

    async def wait_until_left(self) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.open == 0)


@asynccontextmanager
async def serving(
    script: Script, *, silence_limit: float = SILENCE_LIMIT, ambient: Any = None
) -> AsyncIterator[FeedConnection]:
    """Open a feed at a server that plays a script; afterwards check that nothing is left."""
    async with FeedServer(script) as server:
        try:
            async with open_feed(
                server.url, TOKEN, timing=TIMING, ambient=ambient or SystemAmbient(), silence_limit=silence_limit
            ) as feed:
                yield feed
        finally:
            await server.wait_until_left()
            assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("kiwoom_async feed")]


async def numbers(feed: FeedConnection, into: list[str]) -> None:
    """Read order numbers until the feed ends."""
    async with asyncio.timeout(30):
        async for entry in feed.entries():
            into.append(entry.values["9203"])  # noqa: PERF401 - an error ends it, and what came before must stay


async def open_and_read(script: Script, *, silence_limit: float = SILENCE_LIMIT) -> list[str]:
    """Read everything a script sends, until the feed ends with an error."""
    found: list[str] = []
    async with serving(script, silence_limit=silence_limit) as feed:
        await numbers(feed, found)
    return found


async def test_login_and_registration() -> None:
    """First the token, then both real-time items of the account, under our own name."""
    received: list[Any] = []

    async def script(session: Session) -> None:
        received.append(json.loads(await session.expect()))
        await session.send(LOGIN_OK)
        received.append(json.loads(await session.expect()))
        await session.send(REG_OK)
        await session.send(real(1), real(2))
        received.append(session.request.headers)
        await session.wait_for_the_end()

    async with serving(script) as feed:
        entries = feed.entries()
        first, second = await anext(entries), await anext(entries)
        await entries.aclose()  # type: ignore[attr-defined]
    assert (first.type, first.item, first.values["9203"], second.values["9203"]) == (
        "00",
        "005930",
        "0000001",
        "0000002",
    )
    login, registration, headers = received
    assert login == {"trnm": "LOGIN", "token": TOKEN}
    assert registration == {
        "trnm": "REG",
        "grp_no": "1",
        "refresh": "1",
        "data": [{"item": [""], "type": ["00", "04"]}],
    }
    assert headers["User-Agent"] == USER_AGENT
    assert "Sec-WebSocket-Extensions" not in headers
    assert TOKEN not in str(headers)


@pytest.mark.parametrize(
    ("answer", "is_token_refused"),
    [
        ({"return_code": 805004, "return_msg": f"토큰 인증에 실패했습니다 [CODE=8005, MESSAGE={TOKEN}]"}, True),
        ({"return_code": "105001", "return_msg": "[8031:다른 환경]"}, True),
        ({"return_code": 105001, "return_msg": "[8030:다른 키]"}, False),
        ({"return_code": 9}, False),
    ],
)
async def test_refused_login(answer: dict[str, Any], is_token_refused: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The error says whether a new token may help, and never shows the token."""

    async def script(session: Session) -> None:
        await session.expect()
        await session.send(BUSY, {"trnm": "LOGIN", **answer})

    with caplog.at_level(logging.DEBUG), pytest.raises(StreamLoginRefused) as caught:
        await open_and_read(script)
    assert caught.value.is_token_refused is is_token_refused
    assert caught.value.code == int(answer["return_code"])
    assert TOKEN not in f"{caught.value} {caught.value!r} {caught.value.message} {caplog.text}"


async def test_login_refused_later() -> None:
    """A token that ends in the middle is told by another LOGIN frame."""

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(real(1), {"trnm": "LOGIN", "return_code": 805004, "return_msg": ""})
        await session.wait_for_the_end()

    found: list[str] = []
    async with serving(script) as feed:
        with pytest.raises(StreamLoginRefused):
            await numbers(feed, found)
    assert found == ["0000001"]


async def test_frames_around_the_answers() -> None:
    """Notices and PINGs stand anywhere; what is real before the registration is answered is not lost."""
    echoes: list[str] = []

    async def script(session: Session) -> None:
        await session.send(BUSY, '{"trnm":  "PING", "first": 1}')
        await session.expect()
        echoes.append(await session.expect())
        await session.send(BUSY, LOGIN_OK, BUSY)
        await session.expect()
        await session.send(real(7), BUSY, '{"trnm":"PING"}', real(8), REG_OK, real(9))
        echoes.append(await session.expect())
        await session.websocket.close(code=1000, message=b"Bye")

    found: list[str] = []
    async with serving(script) as feed:
        with pytest.raises(StreamLost, match="1000 'Bye'"):
            await numbers(feed, found)
        assert not feed.oddities
    assert found == ["0000007", "0000008", "0000009"]
    assert echoes == ['{"trnm":  "PING", "first": 1}', '{"trnm":"PING"}']


async def test_ping_is_echoed_unchanged_while_the_reader_is_busy() -> None:
    """Byte for byte, whatever is in it, and also while nobody takes the entries."""
    pings = ['{"trnm":"PING"}', ' { "trnm" : "PING", "시각": "\\u00e9\\n" } ', json.dumps({"trnm": "PING", "n": 1})]
    echoed: list[bytes] = []
    done = asyncio.Event()

    async def script(session: Session) -> None:
        await session.accept()
        for ping in pings:
            await session.send(real(1), ping)
            echoed.append((await session.expect()).encode())
        await session.websocket.ping(b"protocol")
        await session.send(real(2))
        done.set()
        await session.wait_for_the_end()

    async with serving(script) as feed:
        async with asyncio.timeout(20):
            await done.wait()
            batches = [batch async for batch in _until(feed, 4)]
    assert echoed == [ping.encode() for ping in pings]
    assert sum(len(batch) for batch in batches) == 4


async def _until(feed: FeedConnection, count: int) -> AsyncIterator[tuple[Any, ...]]:
    async for batch in feed.batches():
        yield batch
        count -= len(batch)
        if count == 0:
            return


@pytest.mark.parametrize("is_reset", [False, True])
async def test_another_login_is_told_from_a_loss(is_reset: bool) -> None:
    """R10001 gives its name to the end that follows; entries before it and after it are given."""

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(real(1), REPLACED, real(2))
        if is_reset:
            await asyncio.sleep(0.05)  # a reset overtakes what is on its way
            session.reset()
        else:
            await session.websocket.close()

    found: list[str] = []
    async with serving(script) as feed:
        with pytest.raises(StreamReplaced):
            await numbers(feed, found)
        with pytest.raises(StreamReplaced):
            await numbers(feed, found)
    assert found == ["0000001", "0000002"]


async def test_another_login_during_ours() -> None:
    """Also before the answers have come."""

    async def script(session: Session) -> None:
        await session.expect()
        await session.send(REPLACED)

    with pytest.raises(StreamReplaced):
        await open_and_read(script)


async def test_a_session_that_outlives_the_notice_was_not_replaced() -> None:
    """Two sessions at once have been seen; an end much later is a loss like any other."""
    clock = Clock()
    go_on = asyncio.Event()

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(REPLACED, real(1))
        await go_on.wait()
        await session.send(real(2))
        await session.websocket.close()

    async with serving(script, ambient=clock) as feed:
        entries = feed.entries()
        await anext(entries)
        clock.passed += REPLACED_WITHIN + 1
        go_on.set()
        await anext(entries)
        assert feed.heard == clock.monotonic()
        with pytest.raises(StreamLost):
            await anext(entries)


async def no_heartbeat(session: Session) -> None:
    """Miss the echo."""
    await session.accept()
    await session.send(NO_HEARTBEAT)
    await session.wait_for_the_end()


async def refused_registration(session: Session) -> None:
    """Refuse REG."""
    await session.expect()
    await session.send(LOGIN_OK)
    await session.expect()
    await session.send({"trnm": "REG", "return_code": 105111, "return_msg": "실패"})
    await session.wait_for_the_end()


async def reset(session: Session) -> None:
    """Break off."""
    await session.accept()
    session.reset()


async def reset_during_login(session: Session) -> None:
    """Break off earlier."""
    await session.expect()
    session.reset()


async def close_without_a_word(session: Session) -> None:
    """End the connection without a closing frame."""
    await session.accept()
    assert session.request.transport is not None
    session.request.transport.close()


async def too_large(session: Session) -> None:
    """Send more than anybody needs."""
    await session.accept()
    await session.send("x" * (17 * 1024 * 1024))


async def not_a_text(session: Session) -> None:
    """Send a text that is not UTF-8."""
    await session.accept()
    await session.websocket._writer.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)  # type: ignore[union-attr]
    await session.wait_for_the_end()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (no_heartbeat, "R10002"),
        (refused_registration, "105111"),
        (reset, "broke"),
        (reset_during_login, "broke"),
        (close_without_a_word, "broke"),
        (too_large, "WebSocketError"),
        (not_a_text, "WebSocketError"),
    ],
)
async def test_every_other_end_is_a_loss(script: Script, reason: str) -> None:
    """Whatever ends the connection has one name and says what was seen."""
    with pytest.raises(StreamLost, match=reason):
        await open_and_read(script)


async def test_silence() -> None:
    """A connection on which nothing comes any more is lost, although it is open."""

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(real(1))
        await session.wait_for_the_end()

    found: list[str] = []
    async with serving(script, silence_limit=1.0) as feed:
        with pytest.raises(StreamLost, match="silent for 1 s"):
            await numbers(feed, found)
    assert found == ["0000001"]


async def test_any_frame_breaks_the_silence() -> None:
    """Also a ping of the protocol, which carries nothing."""

    async def script(session: Session) -> None:
        await session.accept()
        for _ in range(4):
            await asyncio.sleep(0.4)
            await session.websocket.ping()
        await session.send(real(1))
        await session.wait_for_the_end()

    async with serving(script, silence_limit=1.5) as feed:
        assert (await anext(feed.entries())).values["9203"] == "0000001"


@pytest.mark.parametrize("answers", [(), (LOGIN_OK,)])
async def test_no_answer(answers: tuple[dict[str, Any], ...]) -> None:
    """Each of the two answers has its time."""

    async def script(session: Session) -> None:
        await session.expect()
        await session.send(*answers)
        await session.wait_for_the_end()

    async with FeedServer(script) as server:
        timing = Timing(connect_timeout=20.0, response_timeout=0.2)
        with pytest.raises(StreamLost, match=f"no answer to {'REG' if answers else 'LOGIN'}"):
            async with open_feed(server.url, TOKEN, timing=timing, ambient=SystemAmbient()):
                pass
        await server.wait_until_left()


async def test_large_frame() -> None:
    """Two mebibytes of fields nobody knows."""

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(real(1, **{"99999": "x" * (2 * 1024 * 1024)}))
        await session.wait_for_the_end()

    async with serving(script) as feed:
        entry = await anext(feed.entries())
    assert len(entry.values["99999"]) == 2 * 1024 * 1024
    assert "1234567890" not in repr(entry)


async def test_oddities_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """What means nothing ends nothing, and its content is in no log."""

    async def script(session: Session) -> None:
        await session.accept()
        for _ in range(3):
            await session.send("garbage 1234567890", "[1]", "{}", "[" * 200_000, {"trnm": "CNSR"}, {"trnm": TOKEN})
        await session.websocket.send_bytes(b"1234567890")
        await session.send({"trnm": "REAL", "data": [7, real(1)["data"][0], {"type": "00"}]}, {"trnm": "REAL"})
        await session.send(*({"trnm": f"T{n}"} for n in range(60)))
        await session.send(real(2))
        await session.wait_for_the_end()

    async with serving(script) as feed:
        entries = feed.entries()
        assert [(await anext(entries)).values["9203"] for _ in range(2)] == ["0000001", "0000002"]
        counted = feed.oddities
    assert counted["not JSON"] == 6
    assert counted["a frame named 'CNSR'"] == 3
    assert counted["a REAL frame with an entry that is none"] == 1
    assert counted["a binary frame"] == 1
    assert sum(counted.values()) == 18 + 3 + 60
    assert len(counted) == 51
    assert counted["others"] > 1
    assert caplog.text.count("'CNSR'") == 1
    assert "1234567890" not in caplog.text
    assert TOKEN not in caplog.text


async def test_nothing_follows_a_redirect() -> None:
    """The token is shown to nobody else."""

    async def script(session: Session) -> None:
        await session.accept()

    async with FeedServer(script) as server:
        with pytest.raises(StreamLost, match="HTTP 302"):
            async with open_feed(
                server.url.replace("/feed", "/elsewhere"), TOKEN, timing=TIMING, ambient=SystemAmbient()
            ):
                pass
        assert not server.sessions


async def test_handshake_refused() -> None:
    """An HTTP error in place of the websocket."""
    async with FeedServer(no_heartbeat) as server:
        with pytest.raises(StreamLost, match="HTTP 404"):
            async with open_feed(server.url + "/none", TOKEN, timing=TIMING, ambient=SystemAmbient()):
                pass


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/", "ftp://127.0.0.1/", "no url", "ws://[", "ws://x:99999/"])
async def test_nobody_there(url: str) -> None:
    """No connection, or an address that cannot have one."""
    with pytest.raises(StreamLost, match="broke"):
        async with open_feed(url, TOKEN, timing=TIMING, ambient=SystemAmbient()):
            pass


async def test_no_connection_in_time() -> None:
    """A server that takes the connection and says nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StreamLost, match=r"no connection within 0\.2 s"):
            async with open_feed(
                f"ws://127.0.0.1:{port}/", TOKEN, timing=Timing(connect_timeout=0.2), ambient=SystemAmbient()
            ):
                pass


async def test_unknown_certificate() -> None:
    """A server that cannot prove its name gets no token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("localhost.pem"))
    async with FeedServer(no_heartbeat, tls=context) as server:
        with pytest.raises(StreamLost, match="Certificate"):
            async with open_feed(server.url, TOKEN, timing=TIMING, ambient=SystemAmbient()):
                pass
        assert not server.sessions


async def test_closing_does_not_wait_for_the_server() -> None:
    """A server that neither reads nor answers holds nobody up, with bytes of ours on their way or not."""
    silent = asyncio.Event()

    async def script(session: Session) -> None:
        await session.accept()
        transport = session.request.transport
        assert transport is not None
        transport.pause_reading()
        # More to echo than the buffers take.
        await session.send(json.dumps({"trnm": "PING", "n": "x" * 12 * 1024 * 1024}))
        silent.set()
        await asyncio.Event().wait()

    async with FeedServer(script) as server, asyncio.timeout(30):
        async with open_feed(server.url, TOKEN, timing=TIMING, ambient=SystemAmbient()):
            await silent.wait()
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 10.0


@pytest.mark.parametrize("kind", ["connect", "login", "registration", "reading"])
async def test_cancellation_leaves_nothing_open(kind: str) -> None:
    """Wherever the one who opens it is cancelled, the server sees the end and no task stays."""
    here = asyncio.Event()

    async def script(session: Session) -> None:
        if kind in {"registration", "reading"}:
            await session.expect()
            await session.send(LOGIN_OK)
        await session.expect()
        if kind == "reading":
            await session.send(REG_OK)
        here.set()
        await session.wait_for_the_end()

    async with FeedServer(script) as server:
        task = asyncio.create_task(_open_and_wait(server.url))
        if kind != "connect":
            await asyncio.wait_for(here.wait(), 20)
        await _cancel(task)
        await server.wait_until_left()


async def test_cancellation_after_any_number_of_steps() -> None:
    """The same, at each turn of the loop."""

    async def script(session: Session) -> None:
        await session.accept()
        await session.wait_for_the_end()

    async with FeedServer(script) as server:
        for steps in range(60):
            task = asyncio.create_task(_open_and_wait(server.url))
            for _ in range(steps):
                await asyncio.sleep(0)
            await _cancel(task)
        await server.wait_until_left()


async def _open_and_wait(url: str) -> None:
    async with open_feed(url, TOKEN, timing=TIMING, ambient=SystemAmbient()) as feed:
        await anext(feed.entries())


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # The second one comes in the middle of closing.
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("kiwoom_async feed")]


async def test_a_cancelled_reader_loses_nothing() -> None:
    """What comes while nobody reads waits for the next one who does."""
    go_on = asyncio.Event()

    async def script(session: Session) -> None:
        await session.accept()
        await go_on.wait()
        await session.send(real(1))
        await session.wait_for_the_end()

    async with serving(script) as feed:
        waiting = asyncio.ensure_future(anext(feed.entries()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        assert (await anext(feed.entries())).values["9203"] == "0000001"
    with pytest.raises(StreamLost, match="our side"):
        await anext(feed.entries())


async def test_a_fault_of_ours_reaches_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody expected is no wait without an end."""
    go_on = asyncio.Event()

    async def script(session: Session) -> None:
        await session.accept()
        await go_on.wait()
        await session.send(real(1))
        await session.wait_for_the_end()

    async with serving(script) as feed:

        def fail(_: str) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("kiwoom_async._transport.feed.read_frame", fail)
        go_on.set()
        with pytest.raises(ZeroDivisionError):
            await numbers(feed, [])


def tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    """Walk a class and everything derived from it."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize(
    "kind",
    sorted(
        {
            *(kind for kind in tree(aiohttp.ClientError) if not issubclass(kind, OSError)),
            *tree(HttpProcessingError),
            *tree(WebSocketError),
            aiohttp.ClientOSError,
            aiohttp.ClientConnectionResetError,
            ConnectionResetError,
            TimeoutError,
            ssl.SSLError,
            socket.gaierror,
        },
        key=str,
    ),
    ids=lambda kind: kind.__name__,
)
def test_every_breakage_has_one_name(kind: type[BaseException]) -> None:
    """Also one that a later aiohttp adds."""
    error = kind.__new__(kind)
    BaseException.__init__(error)
    with pytest.raises(StreamError) as caught, _breakage_as(StreamLost):
        raise error
    assert kind.__name__ in str(caught.value)
    assert caught.value.__cause__ is error


async def test_what_waited_for_a_stopped_process_is_not_read() -> None:
    """A report tells no day, so one that was read much later than it came may be of another."""
    clock = Clock()
    go = asyncio.Event()

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(real(1))
        await go.wait()
        await session.send(real(2))
        await session.wait_for_the_end()

    async with serving(script, ambient=clock) as feed:
        entries = feed.entries()
        entry = await anext(entries)
        assert (entry.values["9203"], entry.received_at) == ("0000001", clock.now())
        clock.passed += 3600
        go.set()
        with pytest.raises(StreamLost, match="nothing was read for 3600 s"):
            await anext(entries)


async def test_reports_that_nobody_records_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: rather another session and a look at the ledger."""
    monkeypatch.setattr(feed_module, "MOST_WAITING", 3)

    async def script(session: Session) -> None:
        await session.accept()
        await session.send(*map(real, range(1, 6)))
        await session.wait_for_the_end()

    async with serving(script) as feed:
        assert feed._reader is not None
        await asyncio.wait([feed._reader])
        heard: list[str] = []
        with pytest.raises(StreamLost, match="more than 3 reports"):
            await numbers(feed, heard)
        assert heard == ["0000001", "0000002", "0000003"]
