"""What the tests of the whole client share: a clock at ten in the morning, short bounds, and how to open a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from kiwoom_async import Credentials, KiwoomClient, NotSent, Order, OutcomeUnknown, Timing
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.settings import KST
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async.simulator import BookOrder, Fault, FaultKind, ReceivedRequest, Simulator

CREDENTIALS: Final = Credentials(app_key="key", secret_key="secret")

TIMING: Final = Timing(
    connect_timeout=2,
    response_timeout=1,
    acceptance_bound=0.3,
    visibility_bound=0.2,
    clock_skew=1,
    reconcile_interval=0.05,
    watch_interval=0.2,
    poll_interval=0.1,
    drain_timeout=2,
    default_deadline=10,
)

QUICK: Final = Timing(
    connect_timeout=2,
    response_timeout=0.3,
    acceptance_bound=0.1,
    visibility_bound=0.05,
    clock_skew=1,
    reconcile_interval=0.02,
    watch_interval=0.2,
    poll_interval=0.1,
    drain_timeout=2,
    default_deadline=10,
)
"""For tests that wait for every bound more than once."""

SYMBOL: Final = "005930"
CREDIT_TRS: Final = frozenset({"kt10006", "kt10007", "kt10008", "kt10009"})
ORDER_TRS: Final = CREDIT_TRS | {"kt10000", "kt10001", "kt10002", "kt10003", "kt50000", "kt50001", "kt50002", "kt50003"}


def offset_to_ten() -> timedelta:
    """Give what brings the wall clock to ten in the morning, Korean time, of today."""
    now = datetime.now(KST)
    return now.replace(hour=10, minute=0, second=0, microsecond=0) - now


@define
class Hands:
    """An `Ambient` of the real clocks whose wall clock can be moved, and whose checkpoints can act."""

    offset: timedelta = field(factory=offset_to_ten)
    boot_id: str = "boot"
    passed: list[Checkpoint] = field(factory=list)
    actions: dict[Checkpoint, Callable[[], None]] = field(factory=dict)
    elapsed: float = 0.0
    _system: SystemAmbient = field(factory=SystemAmbient)

    def now(self) -> datetime:
        """Read the wall clock."""
        return datetime.now(KST) + self.offset

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self._system.monotonic() + self.elapsed

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes."""
        return self._system.random_bytes(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Note a checkpoint, and do once what was asked for it."""
        self.passed.append(checkpoint)
        action = self.actions.pop(checkpoint, None)
        if action is not None:
            action()

    def next_day(self) -> None:
        """Set the wall clock to the same hour of the next day."""
        self.offset += timedelta(days=1)

    def live_through_the_night(self) -> None:
        """Let both clocks arrive at the same hour of the next day."""
        self.next_day()
        self.elapsed += timedelta(days=1).total_seconds()


def client_of(broker: Simulator, folder: Path, **changes: Any) -> KiwoomClient:
    """Make a client of a simulator, on the journal of a folder; without the feed, unless it is asked for."""
    arguments: dict[str, Any] = {
        "feed": False,
        "credentials": CREDENTIALS,
        "environment": broker.environment,
        "journal": folder / "orders.db",
        "timing": TIMING,
        "ambient": broker.ambient or Hands(),
    }
    return KiwoomClient(**(arguments | changes))


def broker_of(*faults: Fault | FaultKind, **changes: Any) -> Simulator:
    """Make a simulator at ten in the morning, with these faults for the next requests."""
    script = [Fault(fault) if isinstance(fault, FaultKind) else fault for fault in faults]
    return Simulator(faults=script, **({"ambient": Hands()} | changes))


def orders_received(broker: Simulator, client_order_id: str | None = None) -> list[ReceivedRequest]:
    """List the order requests that arrived, of one id or of all."""
    return [
        request
        for request in broker.requests
        if request.api_id in ORDER_TRS
        and (client_order_id is None or request.headers.get("idempotency-key") == client_order_id)
    ]


def on_book(broker: Simulator, client_order_id: str) -> list[BookOrder]:
    """List the rows of the book that requests of an id have made."""
    return [order for order in broker.orders if order.idempotency_key == client_order_id]


async def eventually(condition: Callable[[], bool], *, within: float = 30) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - conditions of the simulator have no event
            await asyncio.sleep(0.002)


async def left_open(place: Callable[[], Awaitable[Order]]) -> None:
    """Place an order with a deadline that comes before its outcome is known.

    Where a slow machine does not let the first byte out before it, nothing was sent, and it is placed again.
    """
    while True:
        try:
            found = await place()
        except NotSent:
            continue
        except OutcomeUnknown:
            return
        pytest.fail(f"{found} is known")


async def opened(broker: Simulator) -> None:
    """Wait until the question has come that a client asks when it opens: what happens from now on is news to it."""
    await eventually(lambda: broker.count("kt00007") > 0)


def ledger_queries(broker: Simulator) -> int:
    """Count the looks at the day's ledger on behalf of an order; the first question of the day is none."""
    return sum(request.api_id == "kt00007" and is_look(request) for request in broker.requests)


def is_look(request: ReceivedRequest) -> bool:
    """Tell whether a question about the ledger is one for whole pages in rising order."""
    return bool(json.loads(request.body)["qry_tp"] == "1")


async def resolved(client: KiwoomClient, *, within: float = 10) -> None:
    """Wait until nothing is unresolved."""
    async with asyncio.timeout(within):
        while await client.orders.unresolved():  # noqa: ASYNC110 - the journal has no event for it
            await asyncio.sleep(0.005)


async def landed(client: KiwoomClient, client_order_id: str) -> None:
    """Wait until the library works on an id no more; the callers may have gone long before."""
    await eventually(lambda: client_order_id not in client._dispatcher._flights)


def gateway_of(client: KiwoomClient) -> Gateway:
    """Give the gateway that orders go through."""
    return client._dispatcher._sender._gateway
