"""Each fault over a real socket: what the caller sees, and whether the order is on the book."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest

from kiwoom_async._domain.vocabulary import OrderStatus
from kiwoom_async.simulator import ORDER_FAULTS, QUERY_FAULTS, Fault, FaultKind, FaultPlan, Simulator
from kiwoom_async.simulator.catalog import Purpose
from kiwoom_async.simulator.faults import FaultDirector
from tests.simulator.callers import AGENT, LEDGER, OPEN, Clock, Listener, calling, order_body

DROPS = [
    (Fault(FaultKind.DROP_BEFORE_ACCEPTANCE), 0),
    (Fault(FaultKind.DROP_AFTER_ACCEPTANCE), 1),
    (Fault(FaultKind.REFUSE_CONNECTION, seconds=0.05), 0),
    (Fault(FaultKind.RESET_AFTER_BYTES, after_bytes=0), 1),
    (Fault(FaultKind.RESET_AFTER_BYTES), 1),
    (Fault(FaultKind.HANG, seconds=0.05), 1),
    (Fault(FaultKind.HANG, accepted=False, seconds=0.05), 0),
]


@pytest.mark.parametrize(("fault", "accepted"), DROPS)
async def test_broken_connection(fault: Fault, accepted: int) -> None:
    """The caller gets no answer; the book knows."""
    async with Simulator(faults=[fault]) as broker, calling(broker) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.post("kt10000", order_body())
    assert (len(broker.orders), broker.count("kt10000")) == (accepted, 1)
    assert broker.faults_injected == Counter({fault.kind: 1})


@pytest.mark.parametrize(
    ("fault", "accepted", "status", "text"),
    [
        (Fault(FaultKind.RATE_LIMITED), 0, 429, "[1700:"),
        (Fault(FaultKind.RATE_LIMITED, status=200), 0, 200, '"return_code":5'),
        (Fault(FaultKind.RATE_LIMITED_GHOST), 1, 429, "[1700:"),
        (Fault(FaultKind.RATE_LIMITED_GHOST, status=200), 1, 200, "[1700:"),
        (Fault(FaultKind.SERVER_ERROR), 0, 502, "<html>"),
        (Fault(FaultKind.SERVER_ERROR, accepted=True, status=503), 1, 503, "<html>"),
        (Fault(FaultKind.HTML_OK), 0, 200, "<html>"),
        (Fault(FaultKind.HTML_OK, accepted=True), 1, 200, "<html>"),
        (Fault(FaultKind.TRUNCATED_JSON), 1, 200, '{"ord_no"'),
        (Fault(FaultKind.NO_ORDER_NUMBER), 1, 200, '"return_code":0'),
        (Fault(FaultKind.NO_ORDER_NUMBER, accepted=False), 0, 200, '"return_code":0'),
        (Fault(FaultKind.UNEXPECTED_ERROR), 0, 200, "[1999:"),
        (Fault(FaultKind.UNEXPECTED_ERROR, accepted=True), 1, 200, "[1999:"),
        (Fault(FaultKind.TOKEN_DIES), 0, 200, "[8005:"),
        (Fault(FaultKind.ORDER_REFUSED, code="RC4091"), 0, 200, "[2000](RC4091:"),
        (Fault(FaultKind.WRONG_API_ID), 1, 200, '"ord_no"'),
        (Fault(FaultKind.REDIRECT), 0, 307, ""),
    ],
)
async def test_misleading_answer(fault: Fault, accepted: int, status: int, text: str) -> None:
    """An answer arrives, and says nothing certain about the book."""
    async with Simulator(faults=[fault]) as broker, calling(broker) as caller:
        answer = await caller.post("kt10000", order_body())
    assert (answer.status_code, len(broker.orders)) == (status, accepted)
    assert text in answer.text
    if fault.kind is FaultKind.TRUNCATED_JSON:
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    if fault.kind is FaultKind.NO_ORDER_NUMBER:
        assert "ord_no" not in answer.json()
    assert (answer.headers.get("location") == "/api/dostk/ordr") is (fault.kind is FaultKind.REDIRECT)
    assert (answer.headers.get("api-id") == "ka10001") is (fault.kind is FaultKind.WRONG_API_ID)


async def test_reset_is_a_reset_after_exactly_so_many_bytes() -> None:
    """Thirty bytes of the answer, then ECONNRESET: a real RST and not an orderly end."""
    fault = Fault(FaultKind.RESET_AFTER_BYTES, after_bytes=30)
    async with Simulator(faults=[fault]) as broker, calling(broker) as caller:
        body = json.dumps(order_body()).encode()
        head = (
            f"POST /api/dostk/ordr HTTP/1.1\r\nHost: x\r\nUser-Agent: {AGENT}\r\napi-id: kt10000\r\n"
            f"authorization: Bearer {caller.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(broker.url).port)
        writer.write(head.encode() + body)
        received = await reader.readexactly(30)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
    assert received == b"HTTP/1.1 200 OK\r\nContent-Type: application/json"[:30]
    assert len(broker.orders) == 1


async def test_delayed_answer_is_accepted_at_once() -> None:
    """The order is on the book while the caller still waits."""
    heard = Listener()
    fault = Fault(FaultKind.DELAY_ANSWER, seconds=0.3)
    async with Simulator(faults=[fault], observer=heard) as broker, calling(broker) as caller:
        waiting = asyncio.create_task(caller.buy())
        await heard.order()
        assert not waiting.done()
        assert await waiting == broker.orders[0].broker_order_id


async def test_late_acceptance_comes_after_the_drop() -> None:
    """Nothing is on the book when the connection breaks, and then it is."""
    heard = Listener()
    fault = Fault(FaultKind.ACCEPT_LATE, seconds=0.1)
    async with Simulator(faults=[fault], observer=heard) as broker, calling(broker) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.post("kt10000", order_body(), idempotency_key="late")
        assert not broker.orders
        await heard.order()
    assert broker.orders[0].idempotency_key == "late"
    assert broker.late_acceptances_dropped == 0


async def test_late_acceptance_pending_at_close_is_dropped_and_counted() -> None:
    """Closing does not wait for it, and does not lose it silently."""
    fault = Fault(FaultKind.ACCEPT_LATE, seconds=60)
    async with asyncio.timeout(5), Simulator(faults=[fault]) as broker, calling(broker) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.post("kt10000", order_body())
    assert (broker.orders, broker.late_acceptances_dropped) == ((), 1)


async def test_late_acceptance_needs_a_valid_token() -> None:
    """What the gateway would have turned away never reaches the book."""
    fault = Fault(FaultKind.ACCEPT_LATE, seconds=0.01)
    async with Simulator(faults=[fault]) as broker, calling(broker) as caller:
        broker.expire_token()
        with pytest.raises(httpx.TransportError):
            await caller.post("kt10000", order_body())
        await asyncio.sleep(0.05)
    assert (broker.orders, broker.late_acceptances_dropped) == ((), 0)


async def test_hanging_request_does_not_hold_the_shutdown() -> None:
    """Leaving the simulator cuts whoever hangs."""
    heard, fault = Listener(), Fault(FaultKind.HANG)
    async with asyncio.timeout(5):
        async with Simulator(faults=[fault], observer=heard) as broker, calling(broker, patience=60) as caller:
            hanging = asyncio.create_task(caller.post("kt10000", order_body()))
            await heard.order()
            await broker.__aexit__(None, None, None)
            with pytest.raises(httpx.TransportError):
                await hanging


async def test_dead_token_stays_dead() -> None:
    """TOKEN_DIES hits one request; the token is refused from then on, another one works."""
    async with Simulator(faults=[Fault(FaultKind.TOKEN_DIES)]) as broker, calling(broker) as caller:
        assert (await caller.call("kt10000", order_body()))["return_code"] == 3
        assert (await caller.call("kt10000", order_body()))["return_code"] == 3
        await caller.login()
        await caller.buy()
    assert len(broker.orders) == 1


async def test_refused_connections_end_by_themselves() -> None:
    """Nobody can connect for a while; then the same port answers again."""
    fault = Fault(FaultKind.REFUSE_CONNECTION, seconds=0.1)
    async with Simulator(faults=[fault]) as broker, calling(broker) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.post("kt10000", order_body())
        with pytest.raises(httpx.ConnectError):
            await caller.post("kt10000", order_body())
        for _ in range(100):
            try:
                await caller.buy()
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                break
    assert len(broker.orders) == 1


async def test_many_refusals_at_once_leave_a_listening_broker() -> None:
    """Refusals that overlap end one after the other, and the port comes back."""
    plan = FaultPlan(rates={FaultKind.REFUSE_CONNECTION: 0.2}, longest=0.03, seed=2)
    async with Simulator(faults=plan) as broker, calling(broker) as caller:
        refused = 0
        for _ in range(15):
            calls = (caller.post("kt10000", order_body()) for _ in range(20))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            refused += sum(isinstance(answer, httpx.TransportError) for answer in answers)
            assert all(isinstance(answer, httpx.TransportError | httpx.Response) for answer in answers)
            statuses = {answer.status_code for answer in answers if isinstance(answer, httpx.Response)}
            assert statuses <= {200}
        broker.set_faults(None)
        await asyncio.sleep(0.1)
        await caller.buy()
    assert refused > broker.faults_injected[FaultKind.REFUSE_CONNECTION] > 5


async def test_refusing_connections_cuts_kept_alive_ones() -> None:
    """Within the block nobody gets through, not even on an open connection."""
    async with Simulator() as broker, calling(broker) as caller:
        await caller.buy()
        async with broker.refusing_connections():
            with pytest.raises(httpx.TransportError):
                await caller.post("kt10000", order_body())
            with pytest.raises(httpx.ConnectError):
                await caller.post("kt10000", order_body())
        await caller.buy()
    assert broker.count("kt10000") == 2


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(FaultKind.QUERY_ERROR), "[2000](RC7006:"),
        (Fault(FaultKind.QUERY_ERROR, code="571758"), "[2000](571758:"),
        (Fault(FaultKind.QUERY_SERVER_ERROR, status=503), "<html>"),
        (Fault(FaultKind.RATE_LIMITED, api_ids="ka10075"), "[1700:"),
        (Fault(FaultKind.PAGE_FAILS, page=1), "[2000]("),
    ],
)
async def test_failed_query(fault: Fault, text: str) -> None:
    """A query fails once; the next one works."""
    async with Simulator(faults=[fault]) as broker, calling(broker) as caller:
        await caller.buy()
        assert text in (await caller.post("ka10075", OPEN)).text
        assert len(await caller.open_orders()) == 1


async def test_dropped_query() -> None:
    """The connection breaks on a query."""
    async with Simulator(faults=[Fault(FaultKind.QUERY_DROP)]) as broker, calling(broker) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.open_orders()


async def test_stale_ledger_shows_the_past() -> None:
    """A frozen replica knows nothing of the last seconds."""
    clock = Clock()
    async with Simulator(ambient=clock) as broker, calling(broker) as caller:
        old = await caller.buy()
        clock.move(3.0)
        broker.fill(old)
        await caller.buy()
        broker.set_faults([Fault(FaultKind.STALE_LEDGER, seconds=2.0)])
        stale = await caller.ledger()
        fresh = await caller.ledger()
    assert [(row["ord_no"], int(row["cntr_qty"])) for row in stale] == [(old, 0)]
    assert [int(row["cntr_qty"]) for row in fresh] == [10, 0]


async def test_script_hits_matching_requests_in_order() -> None:
    """Each entry waits for a request of its own TRs; `times` repeats it; the rest goes through."""
    script = [
        Fault(FaultKind.SERVER_ERROR, api_ids=["kt10001"]),
        Fault(FaultKind.SERVER_ERROR, status=503, times=2),
    ]
    async with Simulator(faults=script) as broker, calling(broker) as caller:
        statuses = [(await caller.post("kt10000", order_body())).status_code for _ in range(3)]
        assert (await caller.post("kt10001", order_body(ord_uv="80000"))).status_code == 502
        assert (await caller.post("kt00007", LEDGER)).status_code == 200
    assert statuses == [503, 503, 200]
    assert broker.faults_injected[FaultKind.SERVER_ERROR] == 3


async def test_faults_can_hit_the_token_tr() -> None:
    """A script may name any TR."""
    fault = Fault(FaultKind.SERVER_ERROR, api_ids="au10001")
    async with Simulator(faults=[fault]) as broker, calling(broker, login=False) as caller:
        body = {"grant_type": "client_credentials", "appkey": "a", "secretkey": "b"}
        assert (await caller.http.post("/oauth2/token", json=body)).status_code == 502
        assert (await caller.login()).status_code == 200


def chosen(plan: FaultPlan, keys: list[str]) -> list[Fault | None]:
    """Ask a plan about orders with these keys."""
    director = FaultDirector(plan)
    return [director.choose("kt10000", Purpose.ORDER, key, 1) for key in keys]


def test_same_keys_meet_same_faults_in_any_order() -> None:
    """A fault depends on the seed, the key and how often it was seen; on nothing else."""
    plan = FaultPlan.hostile(5, 0.5)
    keys = [f"key-{index}" for index in range(200)]
    forth = dict(zip(keys, chosen(plan, keys), strict=True))
    back = dict(zip(keys[::-1], chosen(plan, keys[::-1]), strict=True))
    assert forth == back
    assert chosen(plan, ["key-1"] * 20) != [forth["key-1"]] * 20
    assert list(forth.values()) != chosen(FaultPlan.hostile(6, 0.5), keys)


def test_hostile_plan_has_everything_in_the_asked_measure() -> None:
    """About the asked share is hit, by every kind, and no delay is longer than allowed."""
    plan = FaultPlan.hostile(1, 0.3, longest=0.25)
    faults = chosen(plan, [f"key-{index}" for index in range(4000)])
    hit = [fault for fault in faults if fault is not None]
    assert 0.27 < len(hit) / len(faults) < 0.33
    assert {fault.kind for fault in hit} == set(ORDER_FAULTS) - {FaultKind.ORDER_REFUSED}
    assert all(fault.seconds is not None and 0.0 < fault.seconds <= 0.25 for fault in hit)
    director = FaultDirector(plan)
    queries = [director.choose("kt00007", Purpose.QUERY, None, 2) for _ in range(4000)]
    assert {fault.kind for fault in queries if fault} == set(QUERY_FAULTS)
    coins = Counter(fault.is_accepted for fault in hit if fault.kind is FaultKind.SERVER_ERROR)
    assert set(coins) == {True, False}


def test_templates_fix_what_chance_would_draw() -> None:
    """A rate with a template keeps the template's values."""
    template = Fault(FaultKind.SERVER_ERROR, accepted=True, status=504)
    plan = FaultPlan(rates={FaultKind.SERVER_ERROR: 1.0}, templates={FaultKind.SERVER_ERROR: template})
    fault = chosen(plan, ["a"])[0]
    assert fault is not None
    assert (fault.is_accepted, fault.http_status) == (True, 504)


def test_rates_above_one_are_refused() -> None:
    """Probabilities of one request cannot add up to more than 1."""
    with pytest.raises(ValueError, match="must not exceed 1"):
        FaultPlan(rates={FaultKind.HANG: 0.6, FaultKind.HTML_OK: 0.6})


async def test_hostile_day_keeps_the_book_consistent() -> None:
    """Under every fault at once each request puts at most one order on the book."""
    plan = FaultPlan.hostile(11, 0.7, longest=0.05)
    async with Simulator(faults=plan) as broker, calling(broker, patience=2.0) as caller:
        for index in range(80):
            try:
                answer = await caller.post("kt10000", order_body(), idempotency_key=f"k{index}")
                if "[8005:" in answer.text:
                    await caller.login()
            except httpx.TransportError:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    keys = Counter(order.idempotency_key for order in broker.orders)
    assert set(keys.values()) == {1}
    assert all(order.status is OrderStatus.WORKING for order in broker.orders)
    assert sum(broker.faults_injected.values()) > 30
