"""What the tests of the feed share: a client that listens, and a record of what it heard."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field

from kiwoom_async import FeedState, KiwoomClient, OrderEvent, OrderEventKind
from kiwoom_async.simulator import Simulator
from tests.scenarios.trading import TIMING, client_of

PATIENT: Final = evolve(TIMING, reconcile_interval=0.2, watch_interval=60)
"""The feed gets its turn before the ledger does."""


@define
class Record:
    """What a listener has heard so far."""

    events: list[OrderEvent] = field(factory=list)

    def kinds(self, client_order_id: str) -> list[OrderEventKind]:
        """List what happened to an order, in the order heard."""
        return [event.kind for event in self.events if event.client_order_id == client_order_id]

    def of(self, kind: OrderEventKind) -> list[OrderEvent]:
        """List the events of a kind."""
        return [event for event in self.events if event.kind is kind]

    def filled(self) -> Counter[str]:
        """Sum up the fills, by broker order number."""
        total: Counter[str] = Counter()
        for event in self.of(OrderEventKind.FILLED):
            total[event.broker_order_id] += event.quantity or 0
        return total


def on_the_book(broker: Simulator) -> Counter[str]:
    """Sum up the fills of our orders, as the broker's own book has them."""
    total: Counter[str] = Counter()
    own = {order.broker_order_id for order in broker.orders}
    for fill in broker.fills:
        if fill.broker_order_id in own:
            total[fill.broker_order_id] += fill.quantity
    return total


@asynccontextmanager
async def record_of(client: KiwoomClient) -> AsyncIterator[Record]:
    """Listen to everything that ever happens to this journal's orders."""
    record = Record()

    async def listen() -> None:
        async for event in client.orders.events(since=0):
            record.events.append(event)

    task = asyncio.create_task(listen())
    try:
        yield record
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def live(client: KiwoomClient, *, within: float = 10) -> None:
    """Wait until the client hears everything."""
    async with asyncio.timeout(within):
        while client.feed.state is not FeedState.LIVE:  # noqa: ASYNC110 - a status has no event
            await asyncio.sleep(0.002)


@asynccontextmanager
async def listener_of(broker: Simulator, folder: Path, **changes: Any) -> AsyncIterator[tuple[KiwoomClient, Record]]:
    """Open a client with a live feed, and record what it hears."""
    async with client_of(broker, folder, **({"feed": True, "timing": PATIENT} | changes)) as client:
        await live(client)
        async with record_of(client) as record:
            yield client, record
