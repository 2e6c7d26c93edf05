"""What the tests of broken assumptions share: a broker that lies on purpose, and what must hold all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from attrs import define, evolve, field

from kiwoom_async import AssumptionHealth, Health, HealthState, KiwoomClient, Order
from kiwoom_async.simulator import Simulator
from tests.on_disk import rows_of
from tests.scenarios.trading import SYMBOL, TIMING, on_book, orders_received

KEY: Final = "one"
WIDE: Final = evolve(TIMING, acceptance_bound=5, visibility_bound=5, response_timeout=10, clock_skew=5)
"""Bounds that no answer of a busy machine comes near to."""

Rows = list[dict[str, str]]
Answer = dict[str, Any]
LISTS: Final = {"kt00007": "acnt_ord_cntr_prps_dtl", "ka10075": "oso"}


@define(eq=False)
class LyingTransport(httpx.AsyncBaseTransport):
    """Hand requests to a simulator, and change what it answers.

    Attributes:
        rows: By TR, changes the rows of a list.
        answers: By TR, changes the whole answer.
        headers: Changes the headers of every answer.
        copies: How many times an order is sent.
        day: Asks for this day's ledger in place of the one that was asked for.
    """

    broker: Simulator
    rows: dict[str, Callable[[Rows], Rows]] = field(factory=dict)
    answers: dict[str, Callable[[Answer], Answer]] = field(factory=dict)
    headers: Callable[[str, httpx.Headers], None] | None = None
    copies: int = 1
    day: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and lie about the answer."""
        api_id = request.headers.get("api-id", "")
        if self.day is not None and api_id == "kt00007":
            body = json.loads(request.content) | {"ord_dt": self.day}
            request = httpx.Request(request.method, request.url, headers=_headers(request), json=body)
        response = await self.broker.transport.handle_async_request(request)
        for _ in range(self.copies - 1 if api_id == "kt10000" else 0):
            response = await self.broker.transport.handle_async_request(request)
        answer = await response.aread()
        if (change := self.rows.get(api_id)) is not None:
            told = json.loads(answer)
            told[LISTS[api_id]] = change(told.get(LISTS[api_id], []))
            answer = json.dumps(told).encode()
        if (rewrite := self.answers.get(api_id)) is not None:
            answer = json.dumps(rewrite(json.loads(answer))).encode()
        headers = httpx.Headers({name: value for name, value in response.headers.items() if name != "content-length"})
        if self.headers is not None:
            self.headers(api_id, headers)
        return httpx.Response(response.status_code, headers=headers, content=answer, request=request)


def _headers(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name != "content-length"}


def without(*numbers: str | None) -> Callable[[Rows], Rows]:
    """Leave the rows of some order numbers out."""
    return lambda rows: [row for row in rows if row["ord_no"] not in numbers]


async def buy(client: KiwoomClient, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": KEY}
    return await client.stock.buy(**(arguments | changes))


@asynccontextmanager
async def strangers_trade(broker: Simulator) -> AsyncIterator[None]:
    """Let others place orders meanwhile: they show how fresh the ledger is."""

    async def go_on() -> None:
        for _ in range(1000):
            broker.place_foreign(symbol=SYMBOL, side="sell", quantity=99, price=80_000)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def alarmed(
    client: KiwoomClient, name: str, *, state: HealthState = HealthState.ALARM, within: float = 15
) -> AssumptionHealth:
    """Wait until health shows an assumption as broken, and check that it says what happened and what to do."""
    async with asyncio.timeout(within):
        while (found := (await client.health())[name]).state is not state:  # noqa: ASYNC110 - health has no event
            await asyncio.sleep(0.01)
    assert found.times >= 1
    assert found.since is not None
    assert found.since <= (found.last or found.since)
    assert found.text != found.assumption.meaning
    return found


def assert_only(health: Health, *names: str) -> None:
    """Nothing but these assumptions is said to be broken."""
    assert {one.assumption.value for one in health.alarms} == set(names), health.alarms


def assert_one_order(broker: Simulator, *keys: str) -> None:
    """The first of the promises: at most one order for each id, and one request."""
    for key in keys or (KEY,):
        assert len(on_book(broker, key)) <= 1
        assert len(orders_received(broker, key)) <= 1


def durable_kinds(client: KiwoomClient) -> set[str]:
    """Read which findings stand in the file."""
    return {kind for (kind,) in rows_of(client._journal.path, "SELECT kind FROM breaches")}
