"""Section B: what each kind of answer means to the caller, and that nothing is sent twice below the dispatcher.

The classification itself is tested in tests/wire and tests/transport; here the whole client meets it on sockets.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from kiwoom_async import (
    AuthenticationError,
    Environment,
    KiwoomClient,
    Limits,
    NotSent,
    Order,
    OrderNotAccepted,
    OrderRefused,
    ResolvedBy,
)
from kiwoom_async._domain.states import Delivery
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.trading import (
    CREDENTIALS,
    QUICK,
    SYMBOL,
    TIMING,
    broker_of,
    client_of,
    eventually,
    gateway_of,
    ledger_queries,
    left_open,
    on_book,
    opened,
    orders_received,
)

KEY = "one"


async def buy(client: KiwoomClient, key: str = KEY, deadline: float | None = None) -> Order:
    """Place the one order of these tests."""
    return await client.stock.buy(SYMBOL, 10, price=70_000, client_order_id=key, deadline=deadline)


async def assert_unknown_then_true(broker: Simulator, client: KiwoomClient) -> None:
    """The outcome is open at first; then the book decides; the answer is true, lasting, and cost one request."""
    await left_open(lambda: buy(client, deadline=0.05))
    # The broker of a slow machine may still be reading.
    await eventually(lambda: len(orders_received(broker, KEY)) == 1)
    if on_book(broker, KEY):
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert order.resolved_by is ResolvedBy.LEDGER
        assert await buy(client) == order
    else:
        for _ in range(2):
            with pytest.raises(OrderNotAccepted):
                await buy(client)
        assert on_book(broker, KEY) == []
    assert len(orders_received(broker, KEY)) == 1


async def test_connect_refused_is_not_sent(tmp_path: Path) -> None:
    """An order that finds no connection is `NotSent`, and the same id may be used again."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        async with broker.refusing_connections():
            with pytest.raises(NotSent):
                await buy(client)
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert order.attempts == 1


async def test_dns_failure_is_not_sent(tmp_path: Path) -> None:
    """A client for a host that has no address does not open, and says that nothing was sent."""
    environment = Environment(rest_url="http://broker.invalid:9")
    with pytest.raises(NotSent):
        async with KiwoomClient(CREDENTIALS, environment=environment, journal=tmp_path / "orders.db", timing=TIMING):
            pytest.fail("it opened")


async def test_tls_handshake_failure_is_not_sent(tmp_path: Path) -> None:
    """A client that speaks TLS to a server that does not never gets further than that."""
    async with broker_of() as broker:
        environment = Environment(rest_url=broker.url.replace("http:", "https:"))
        with pytest.raises(NotSent):
            async with client_of(broker, tmp_path, environment=environment):
                pytest.fail("it opened")
        assert broker.requests == []


async def test_rate_limiter_denied_locally_is_not_sent(tmp_path: Path) -> None:
    """An order that would get its slot after its deadline is `NotSent` at once."""
    limits = Limits(orders_per_second=1, queries_per_second=None, per_tr_per_second=None)
    async with broker_of() as broker, client_of(broker, tmp_path, limits=limits) as client:
        await client.stock.buy(SYMBOL, 1, price=70_000)
        with pytest.raises(NotSent):
            await buy(client, deadline=0.1)
        assert len(orders_received(broker)) == 1
        assert await client.orders.get(KEY) is None


@pytest.mark.parametrize(("after_bytes", "is_accepted"), [(0, True), (30, True), (200, True), (0, False)])
async def test_read_error_is_unknown(tmp_path: Path, after_bytes: int, *, is_accepted: bool) -> None:
    """A connection that breaks before the whole answer leaves the outcome to the ledger."""
    kind = FaultKind.RESET_AFTER_BYTES if is_accepted else FaultKind.DROP_BEFORE_ACCEPTANCE
    fault = Fault(kind, after_bytes=after_bytes)
    async with broker_of(fault, ledger_lag=0.04) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await assert_unknown_then_true(broker, client)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_read_timeout_is_unknown(tmp_path: Path, *, is_accepted: bool) -> None:
    """No answer within `response_timeout` leaves the outcome to the ledger."""
    fault = Fault(FaultKind.HANG, accepted=is_accepted)
    async with broker_of(fault) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await assert_unknown_then_true(broker, client)


@pytest.mark.parametrize(("status", "is_accepted"), [(500, True), (502, True), (503, True), (504, True), (503, False)])
async def test_502_503_504_html_body_is_unknown(tmp_path: Path, status: int, *, is_accepted: bool) -> None:
    """A page of a gateway proves nothing."""
    fault = Fault(FaultKind.SERVER_ERROR, accepted=is_accepted, status=status)
    async with broker_of(fault, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_200_unparsable_is_unknown(tmp_path: Path, *, is_accepted: bool) -> None:
    """HTTP 200 with a page in it proves nothing."""
    fault = Fault(FaultKind.HTML_OK, accepted=is_accepted)
    async with broker_of(fault, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


async def test_200_truncated_json_is_unknown(tmp_path: Path) -> None:
    """Half an answer proves nothing."""
    async with broker_of(FaultKind.TRUNCATED_JSON, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_200_rc0_blank_ord_no_is_unknown(tmp_path: Path, *, is_accepted: bool) -> None:
    """Success without an order number proves nothing."""
    fault = Fault(FaultKind.NO_ORDER_NUMBER, accepted=is_accepted)
    async with broker_of(fault, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


async def test_200_rc_nonzero_allowlisted_is_rejected(tmp_path: Path) -> None:
    """A code of the table is a refusal at once, without a look at the ledger."""
    async with (
        broker_of(Fault(FaultKind.ORDER_REFUSED, code="509247")) as broker,
        client_of(broker, tmp_path) as client,
    ):
        with pytest.raises(OrderRefused) as caught:
            await buy(client)
        assert caught.value.code == "509247"
        assert ledger_queries(broker) == 0


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_200_rc_nonzero_not_allowlisted_is_unknown(tmp_path: Path, *, is_accepted: bool) -> None:
    """A code that is on no list proves nothing."""
    fault = Fault(FaultKind.UNEXPECTED_ERROR, accepted=is_accepted)
    async with broker_of(fault, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


@pytest.mark.parametrize("status", [429, 200])
async def test_429_or_rc_rate_limit_defaults_unknown_then_fast_absence(tmp_path: Path, status: int) -> None:
    """A rate-limit answer is unknown; because Kiwoom has answered, no acceptance bound is waited for."""
    patient = TIMING.__class__(
        response_timeout=1, acceptance_bound=100, visibility_bound=0.1, clock_skew=1, reconcile_interval=0.05
    )
    fault = Fault(FaultKind.RATE_LIMITED, status=status)
    async with broker_of(fault) as broker, client_of(broker, tmp_path, timing=patient) as client:
        await assert_unknown_then_true(broker, client)


@pytest.mark.parametrize("status", [429, 200])
async def test_rate_limit_reply_but_order_in_ledger_is_claimed(tmp_path: Path, status: int) -> None:
    """The ghost: refused for the rate, and on the book all the same. It is claimed."""
    fault = Fault(FaultKind.RATE_LIMITED_GHOST, status=status)
    async with broker_of(fault, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)
        assert len(broker.orders) == 1


async def test_401_token_expired_never_auto_replays_post_unless_proven(tmp_path: Path) -> None:
    """A token refused by an intact answer is followed by one attempt with a new one, each with a row of its own."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await opened(broker)
        broker.expire_token()
        order = await buy(client)
        assert [row.broker_order_id for row in on_book(broker, KEY)] == [order.broker_order_id]
        assert len(orders_received(broker, KEY)) == 2
        states = [entry.state for entry in await client.orders.history(KEY) if entry.event != "noted"]
        assert states == [Delivery.DISPATCHED, Delivery.REFUSED, Delivery.DISPATCHED, Delivery.ACKNOWLEDGED]


async def test_token_that_dies_twice_is_not_tried_again(tmp_path: Path) -> None:
    """A new token that is refused as well ends the call: two requests, nothing on the book, no third by itself.

    The id is not used up by trouble with a token: called again, it is sent.
    """
    async with broker_of(Fault(FaultKind.TOKEN_DIES, times=2)) as broker, client_of(broker, tmp_path) as client:
        with pytest.raises(AuthenticationError, match="8005"):
            await buy(client)
        assert len(orders_received(broker, KEY)) == 2
        assert not broker.orders
        order = await buy(client)
        assert [row.broker_order_id for row in broker.orders] == [order.broker_order_id]
        # The second token was dropped as the first one: no request was wasted on it.
        assert len(orders_received(broker, KEY)) == 3


async def test_redirect_never_replays_post(tmp_path: Path) -> None:
    """A redirect is not followed and proves nothing."""
    async with broker_of(FaultKind.REDIRECT) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


async def test_response_for_wrong_api_id_is_unknown(tmp_path: Path) -> None:
    """An answer that names another TR is not ours to believe."""
    async with broker_of(FaultKind.WRONG_API_ID, ledger_lag=0.08) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


async def test_server_closed_idle_keepalive_is_unknown(tmp_path: Path) -> None:
    """A kept connection that dies with the request on it is unknown; the pool does not send again."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client.stock.buy(SYMBOL, 1, price=70_000)
        broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE)])
        await assert_unknown_then_true(broker, client)


class Reset(httpx.AsyncBaseTransport):
    """Pass everything on, but break one order in the middle of the write, with or without its arrival."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, arrives: bool) -> None:
        self._inner = inner
        self._arrives = arrives
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Break an order, answer everything else."""
        if request.headers.get("idempotency-key") is None:
            return await self._inner.handle_async_request(request)
        self.calls += 1
        if self._arrives:
            await self._inner.handle_async_request(request)
        raise httpx.ConnectError("Broken pipe", request=request)


@pytest.mark.parametrize("arrives", [True, False])
async def test_write_error_midway_is_unknown(tmp_path: Path, *, arrives: bool) -> None:
    """An injected transport's error, whatever its class says, proves nothing: the ledger decides."""
    async with broker_of(listen=False, ledger_lag=0.08) as broker:
        transport = Reset(broker.transport, arrives=arrives)
        async with client_of(broker, tmp_path, transport=transport) as client:
            await left_open(lambda: buy(client, deadline=0.05))
            if arrives:
                assert (await buy(client)).broker_order_id == on_book(broker, KEY)[0].broker_order_id
            else:
                with pytest.raises(OrderNotAccepted):
                    await buy(client)
        assert transport.calls == 1


async def test_refused_connection_that_ate_the_order_is_unknown(tmp_path: Path) -> None:
    """A broker that takes the request, drops it and refuses connections for a while proves nothing."""
    fault = Fault(FaultKind.REFUSE_CONNECTION, seconds=0.2)
    async with broker_of(fault) as broker, client_of(broker, tmp_path) as client:
        await assert_unknown_then_true(broker, client)


async def test_pool_timeout_is_not_sent(tmp_path: Path) -> None:
    """An order for which no connection comes in time is `NotSent`: the server's queue is full and silent."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(0)
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        session = gateway_of(client)._session
        session._base_url = url
        session._urls.clear()
        try:
            with pytest.raises(NotSent):
                await buy(client)
        finally:
            for opened in (*fillers, silent):
                opened.close()
        assert orders_received(broker) == []
        attempt = [entry.state for entry in await client.orders.history(KEY)][-1]
        assert attempt is Delivery.NOT_SENT


async def test_many_outcomes_at_once_are_all_true(tmp_path: Path) -> None:
    """Sixty orders under every fault at once: at most one each on the book, every answer true, nothing open."""
    kinds = [kind for kind in FaultKind if kind.name not in {"HANG", "ACCEPT_LATE", "TOKEN_DIES", "REFUSE_CONNECTION"}]
    faults = [Fault(kinds[n % len(kinds)]) for n in range(40)]
    async with broker_of(*faults) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        keys = [f"n{n}" for n in range(60)]
        calls = (client.stock.buy(SYMBOL, 1 + n, price=70_000, client_order_id=key) for n, key in enumerate(keys))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for key, answer in zip(keys, answers, strict=True):
            numbers = [row.broker_order_id for row in on_book(broker, key)]
            if isinstance(answer, Order):
                assert numbers == [answer.broker_order_id]
            else:
                assert isinstance(answer, OrderNotAccepted | OrderRefused | NotSent), answer
                assert numbers == []
        assert await client.orders.unresolved() == ()
