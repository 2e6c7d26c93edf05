"""A transport that the user injects works, and what it cannot prove is never taken for proven."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import respx

from kiwoom_async._transport.mark import DeliveryMark, SendAborted
from kiwoom_async._transport.session import RestSession
from kiwoom_async._wire.exchange import Answer, Breakdown, BreakdownKind, Exchange
from tests.transport.counting_server import CountingServer, answering, closing, hanging, http

URL = "https://mockapi.kiwoom.com"


async def send(session: RestSession, **changes: Any) -> Exchange:
    """Send one request."""
    arguments: dict[str, Any] = {
        "headers": {"api-id": "kt10000"},
        "content": b"{}",
        "connect_timeout": 2.0,
        "response_timeout": 2.0,
    }
    return await session.post("/api/dostk/ordr", **(arguments | changes))


async def test_mock_transport_answers() -> None:
    """The mock transport of httpx."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"return_code": 0}, headers={"Cont-Yn": "N"})

    async with RestSession(URL, httpx.MockTransport(handle)) as session:
        answer = await send(session)
    assert isinstance(answer, Answer)
    assert answer.headers["cont-yn"] == "N"
    assert answer.content == b'{"return_code":0}'
    assert [request.content for request in seen] == [b"{}"]


async def test_respx_router_answers() -> None:
    """A respx router behind httpx's mock transport."""
    router = respx.MockRouter(assert_all_called=False)
    route = router.post(f"{URL}/api/dostk/ordr").respond(200, json={"ord_no": "0000001"})
    async with RestSession(URL, httpx.MockTransport(router.async_handler)) as session:
        answer = await send(session)
    assert isinstance(answer, Answer)
    assert route.call_count == 1


async def test_respx_mock_patches_the_httpx_transport() -> None:
    """The default of respx, which patches the pool under the transport of httpx."""
    with respx.mock() as router:
        route = router.post(f"{URL}/api/dostk/ordr").respond(200, json={})
        async with RestSession(URL, httpx.AsyncHTTPTransport()) as session:
            assert isinstance(await send(session), Answer)
        assert route.call_count == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), BreakdownKind.CONNECT),
        (httpx.ConnectTimeout("late"), BreakdownKind.TIMEOUT),
        (httpx.PoolTimeout("late"), BreakdownKind.TIMEOUT),
        (httpx.ReadError("reset"), BreakdownKind.RESET),
        (httpx.WriteError("reset"), BreakdownKind.WRITE),
        (httpx.RemoteProtocolError("secret"), BreakdownKind.PROTOCOL),
        (httpx.UnsupportedProtocol("secret"), BreakdownKind.OTHER),
        (RuntimeError("secret"), BreakdownKind.OTHER),
        (OSError(5, "secret"), BreakdownKind.OTHER),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_without_a_mark_every_failure_is_ambiguous(error: Exception, kind: BreakdownKind) -> None:
    """The class of an exception proves nothing: two pools say ConnectError after the order has arrived."""

    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    async with RestSession(URL, httpx.MockTransport(handle)) as session:
        breakdown = await send(session)
    assert isinstance(breakdown, Breakdown)
    assert breakdown.handed_over
    assert breakdown.kind is kind
    assert "secret" not in breakdown.detail


async def test_guard_is_asked_before_a_transport_without_hooks() -> None:
    """A refusal proves that nothing left, for the transport was never called."""
    calls: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200)

    def refuse() -> None:
        raise SendAborted("too late")

    async with RestSession(URL, httpx.MockTransport(handle)) as session:
        assert await send(session, guard=refuse) == Breakdown(BreakdownKind.ABORTED, "too late", handed_over=False)
        asked: list[int] = []
        assert isinstance(await send(session, guard=lambda: asked.append(1)), Answer)
    assert asked == [1]
    assert len(calls) == 1


async def test_guard_that_fails_before_a_transport_without_hooks_is_not_sent() -> None:
    """A fault inside the guard refuses, too."""

    def fail() -> None:
        raise ZeroDivisionError

    async with RestSession(URL, httpx.MockTransport(lambda _: httpx.Response(200))) as session:
        assert await send(session, guard=fail) == Breakdown(BreakdownKind.OTHER, "ZeroDivisionError", handed_over=False)


async def test_transport_that_ignores_timeouts_is_bounded() -> None:
    """The whole exchange ends, and its outcome is unknown."""

    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with RestSession(URL, httpx.MockTransport(hang)) as session:
        breakdown = await send(session, connect_timeout=0.05, response_timeout=0.05)
    assert breakdown == Breakdown(BreakdownKind.TIMEOUT, "no answer within 0.1 s", handed_over=True)


async def test_cancellation_passes_through_an_injected_transport() -> None:
    """A caller's cancellation is never swallowed, and never a proof."""
    entered = asyncio.Event()

    async def hang(request: httpx.Request) -> httpx.Response:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with RestSession(URL, httpx.MockTransport(hang)) as session:
        mark = DeliveryMark()
        task = asyncio.create_task(send(session, mark=mark))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mark.may_have_left


async def test_transport_retry_setting_never_resends_after_connect() -> None:
    """The retries of httpx concern connecting only: a lost connection is one request and unknown."""
    async with (
        CountingServer(closing) as server,
        RestSession(server.url, httpx.AsyncHTTPTransport(retries=3)) as session,
    ):
        breakdown = await send(session)
        assert isinstance(breakdown, Breakdown)
        assert breakdown.handed_over
        assert len(server.requests) == 1


async def test_httpx_transport_reads_streamed_answers_and_times_out() -> None:
    """The default transport of httpx: a plain answer, then a hanging one."""
    async with (
        CountingServer(answering(http("200 OK")), hanging) as server,
        RestSession(server.url, httpx.AsyncHTTPTransport()) as session,
    ):
        assert isinstance(await send(session), Answer)
        breakdown = await send(session, response_timeout=0.1)
        assert isinstance(breakdown, Breakdown)
        assert breakdown.handed_over
        assert breakdown.kind is BreakdownKind.TIMEOUT
        assert len(server.requests) == 2


async def test_answer_that_breaks_while_read_is_closed() -> None:
    """A stream of an injected transport is closed when reading it fails."""

    class Broken(httpx.AsyncByteStream):
        is_closed = False

        async def __aiter__(self) -> Any:
            yield b"{"
            raise httpx.ReadError("gone")

        async def aclose(self) -> None:
            self.is_closed = True

    stream = Broken()
    async with RestSession(URL, httpx.MockTransport(lambda _: httpx.Response(200, stream=stream))) as session:
        breakdown = await send(session)
    assert breakdown == Breakdown(BreakdownKind.RESET, "ReadError: gone", handed_over=True)
    assert stream.is_closed
