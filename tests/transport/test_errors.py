"""One place maps the HTTP library's exceptions, and all of them."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx
import pytest
from aiohttp.http import HttpProcessingError

from kiwoom_async._transport.aiohttp_transport import AiohttpTransport, counterpart, translate
from kiwoom_async._transport.mark import MARK, DeliveryMark

REQUEST = httpx.Request("POST", "http://broker.invalid/")


def tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    """Walk a class and everything derived from it."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize(
    "kind",
    sorted({*tree(aiohttp.ClientError), *tree(HttpProcessingError)}, key=str),
    ids=lambda kind: kind.__name__,
)
def test_every_client_error_has_a_counterpart(kind: type[BaseException]) -> None:
    """Also one that a later aiohttp adds."""
    assert issubclass(counterpart(kind), httpx.RequestError)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
        (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
        (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
        (TimeoutError, httpx.ReadTimeout),
        (aiohttp.ClientConnectorError, httpx.ConnectError),
        (aiohttp.ClientConnectorDNSError, httpx.ConnectError),
        (aiohttp.ClientConnectorSSLError, httpx.ConnectError),
        (aiohttp.ClientConnectorCertificateError, httpx.ConnectError),
        (aiohttp.ServerFingerprintMismatch, httpx.ConnectError),
        (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
        (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
        (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
        (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
        (aiohttp.ClientOSError, httpx.ReadError),
        (aiohttp.ClientConnectionResetError, httpx.WriteError),
        (ConnectionResetError, httpx.ReadError),
        (ssl.SSLError, httpx.ReadError),
        (socket.gaierror, httpx.ReadError),
        (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    ],
    ids=lambda kind: kind.__name__,
)
def test_class_says_what_broke(kind: type[BaseException], expected: type[BaseException]) -> None:
    """The class is for people; a connection lost after arrival must never read as a failure to connect."""
    assert counterpart(kind) is expected


def test_text_never_quotes_the_server() -> None:
    """A malformed answer can hold a token."""
    error = HttpProcessingError(code=400, message="Bad status line: secret-token")
    assert str(translate(error, REQUEST)) == "HttpProcessingError"
    assert translate(ConnectionResetError(104, "reset"), REQUEST).request is REQUEST


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_are_refused(method: str) -> None:
    """The HTTP library repeats idempotent methods on a stale connection; they are impossible here."""
    mark = DeliveryMark()
    request = httpx.Request(method, "http://127.0.0.1:9/", extensions={MARK: mark})
    async with AiohttpTransport(user_agent="test") as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(request)
    assert mark.is_kept
    assert not mark.may_have_left


def test_connector_still_has_the_hook() -> None:
    """The mark is set where the HTTP library gets its connections; the place must not move unnoticed."""
    assert "_connector.connect(" in inspect.getsource(aiohttp.ClientSession._request)
    assert asyncio.iscoroutinefunction(aiohttp.TCPConnector.connect)
