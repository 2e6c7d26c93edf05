"""A bot in a process of its own, which a test kills, stops or races.

Run as a program with one argument, a `Program` as JSON. It prints one line for each answer; `ready` when its client is
open, where it is asked to wait for a line of input.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

import apsw
import httpx
from attrs import asdict, evolve, frozen

from kiwoom_async import Credentials, Environment, KiwoomClient, KiwoomError, Limits, Order, OutcomeUnknown, Timing
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._transport.aiohttp_transport import AiohttpTransport
from kiwoom_async._transport.session import USER_AGENT
from tests.scenarios.trading import Hands

SYMBOL: Final = "005930"
PRICE: Final = 70_000

TIMING: Final = Timing(
    connect_timeout=0.5,
    response_timeout=0.5,
    acceptance_bound=0.2,
    visibility_bound=0.1,
    clock_skew=1,
    reconcile_interval=0.03,
    watch_interval=0.2,
    drain_timeout=2,
    default_deadline=10,
)


@frozen
class Program:
    """What a trader does.

    Attributes:
        url: Of the broker.
        offset: Seconds to add to the wall clock.
        elapsed: Seconds to add to the clock that never jumps.
        keys: Ids to place an order for, at once; the quantities are 10, 11, …
        signal_at: A checkpoint at which to send oneself `signal_name`; "mid_write" for half a request on the wire.
        deadline: Of each order.
        resend_within: Of each order.
        has_witnesses: Place other orders meanwhile, until the answers are there.
        cancels: Cancel the first order under the id "<key>-cancel", while it is unknown.
        is_exclusive: Of the account.
        waits: Say `ready`, and go on at a line of input.
        closes_day: Reconcile until nothing is open, instead of placing orders.
        seals: Folder of the journal's seal.
        cancels_duplicates: What the client is told.
        connect_timeout, response_timeout: Of its client, where a slow machine must turn nothing into a fault.
        lingers: Stay until killed once everything is answered, and tell the answers before.
    """

    url: str
    journal: str
    offset: float
    elapsed: float = 0.0
    keys: tuple[str, ...] = ("one",)
    signal_at: str | None = None
    signal_name: str = "SIGKILL"
    deadline: float | None = None
    resend_within: float | None = None
    has_witnesses: bool = False
    cancels: bool = False
    is_exclusive: bool = True
    waits: bool = False
    closes_day: bool = False
    seals: str | None = None
    cancels_duplicates: bool = False
    lingers: bool = False
    connect_timeout: float = TIMING.connect_timeout
    response_timeout: float = TIMING.response_timeout

    @property
    def timing(self) -> Timing:
        """The bounds of its client."""
        return evolve(TIMING, connect_timeout=self.connect_timeout, response_timeout=self.response_timeout)

    def to_json(self) -> str:
        """Give it as an argument of the program."""
        return json.dumps(asdict(self))

    def strike(self) -> None:
        """Send oneself the signal. Who is only stopped must not hold the journal's lock meanwhile."""
        if self.signal_name == "SIGSTOP":
            # The event loop stands still here, so the journal's thread runs out of work and lets go of the lock.
            for _ in range(3):
                connection = apsw.Connection(self.journal)
                connection.set_busy_timeout(5000)
                connection.execute("BEGIN IMMEDIATE; ROLLBACK")
                connection.close()
        os.kill(os.getpid(), getattr(signal, self.signal_name))


class HalfWritten(httpx.AsyncBaseTransport):
    """Write half of the first order on a socket of its own, then strike."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._inner = AiohttpTransport(user_agent=USER_AGENT)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass on what is no order."""
        if request.headers.get("idempotency-key") is None:
            return await self._inner.handle_async_request(request)
        body = await request.aread()
        lines = [
            f"POST {request.url.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in request.headers.items()),
            "",
            "",
        ]
        whole = "\r\n".join(lines).encode() + body
        with socket.create_connection((request.url.host, request.url.port or 80)) as connection:
            connection.sendall(whole[: len(whole) - len(body) // 2])
            self._program.strike()
        raise AssertionError("it is dead")

    async def aclose(self) -> None:
        """Close the transport for the others."""
        await self._inner.aclose()


def open_client(program: Program) -> KiwoomClient:
    """Make the client, with the trap set."""
    hands = Hands(offset=timedelta(seconds=program.offset), elapsed=program.elapsed)
    is_half = program.signal_at == "mid_write"
    if program.signal_at is not None and not is_half:
        hands.actions[Checkpoint(program.signal_at)] = program.strike
    return KiwoomClient(
        Credentials(app_key="key", secret_key="secret"),
        environment=Environment(rest_url=program.url, limits=Limits.off()),
        journal=program.journal,
        timing=program.timing,
        ambient=hands,
        account_exclusive=program.is_exclusive,
        transport=HalfWritten(program) if is_half else None,
        journal_seals=program.seals,
        cancel_duplicates=program.cancels_duplicates,
    )


async def answer(key: str, call: Awaitable[Order]) -> dict[str, Any]:
    """Wait for an order, and say what became of it."""
    try:
        order = await call
    except KiwoomError as error:
        return {"key": key, "error": type(error).__name__, "text": str(error), "number": None}
    return {"key": key, "error": None, "text": repr(order), "number": order.broker_order_id}


async def place_witnesses(client: KiwoomClient) -> None:
    """Place other orders, which show by themselves how fresh the ledger is."""
    for number in range(1, 1000):
        await client.stock.sell(SYMBOL, number, price=PRICE + 1000, client_order_id=f"witness-{os.getpid()}-{number}")
        await asyncio.sleep(0.05)


async def trade(program: Program, client: KiwoomClient) -> list[dict[str, Any]]:
    """Do what the program says."""
    if program.closes_day:
        for _ in range(1000):
            await client.reconcile()
        return []
    witnesses = asyncio.create_task(place_witnesses(client)) if program.has_witnesses else None
    calls = [
        answer(
            key,
            client.stock.buy(
                SYMBOL,
                10 + place,
                price=PRICE,
                client_order_id=key,
                deadline=program.deadline,
                resend_within=program.resend_within,
            ),
        )
        for place, key in enumerate(program.keys)
    ]
    answers = await asyncio.gather(*calls)
    if program.cancels:
        key = program.keys[0]
        order = await client.orders.get(key)
        assert order is not None, "it was just placed"
        answers.append(
            await answer(f"{key}-cancel", client.stock.cancel(order, client_order_id=f"{key}-cancel")),
        )
    if witnesses is not None:
        witnesses.cancel()
        await asyncio.wait([witnesses])
    return answers


async def main(program: Program) -> None:
    """Open a client, trade, tell."""
    async with open_client(program) as client:
        if program.waits:
            print("ready", flush=True)  # noqa: T201 - its output is its report
            await asyncio.to_thread(sys.stdin.readline)
        for line in await trade(program, client):
            print(json.dumps(line), flush=True)  # noqa: T201
        while program.lingers:
            await client.reconcile()


__all__ = ["PRICE", "SYMBOL", "TIMING", "OutcomeUnknown", "Program"]

if __name__ == "__main__":
    asyncio.run(main(Program(**json.loads(sys.argv[1]))))
