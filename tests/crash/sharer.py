"""A bot in a process of its own that trades as fast as it is let, beside others with the same key.

Run as a program with one argument, a `Share` as JSON. It prints `ready` when its client is open, begins at a line of
input, prints `placed` after its first order, and at the end one line of JSON about itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

from attrs import asdict, frozen

from kiwoom_async import Credentials, Environment, KiwoomClient, KiwoomError, Limits, Timing
from tests.scenarios.trading import Hands


@frozen
class Share:
    """What one of the bots does.

    Attributes:
        url: Of the broker.
        folder: Where its journal goes.
        name: Of the bot; part of its ids.
        shared_state: The file that all share.
        offset: Seconds to add to the wall clock.
        limits: Orders and queries per second, and requests per TR and second.
        orders: How many to place at once.
        queries: How many to ask at once, of each of two TRs.
    """

    url: str
    folder: str
    name: str
    shared_state: str
    offset: float
    limits: tuple[float, float, float] = (5.0, 5.0, 5.0)
    orders: int = 10
    queries: int = 5

    def to_json(self) -> str:
        """Give it as an argument of the program."""
        return json.dumps(asdict(self))


def open_client(share: Share) -> KiwoomClient:
    """Make the client."""
    return KiwoomClient(
        Credentials(app_key="shared-key", secret_key="shared-secret"),
        environment=Environment(rest_url=share.url, limits=Limits(*share.limits)),
        journal=f"{share.folder}/{share.name}.db",
        timing=Timing(default_deadline=120),
        ambient=Hands(offset=timedelta(seconds=share.offset)),
        shared_state=share.shared_state,
    )


async def trade(client: KiwoomClient, share: Share) -> dict[str, Any]:
    """Flood, and cancel the first order as soon as it is there."""
    errors: list[str] = []

    async def buy(number: int) -> None:
        try:
            order = await client.stock.buy("005930", 1 + number, price=70_000, client_order_id=f"{share.name}-{number}")
            if number == 0:
                print("placed", flush=True)  # noqa: T201 - its output is its report
                await client.stock.cancel(order, client_order_id=f"{share.name}-cancel")
        except KiwoomError as error:
            errors.append(repr(error))

    async def ask(api_id: str) -> None:
        try:
            await client.call(api_id, {})
        except KiwoomError as error:
            errors.append(repr(error))

    async with asyncio.TaskGroup() as group:
        for number in range(share.orders):
            group.create_task(buy(number))
        for _ in range(share.queries):
            group.create_task(ask("ka00001"))
    status = client.limits
    return {"errors": errors, "longest_wait": status.longest_wait, "is_shared": status.is_shared}


async def main(share: Share) -> None:
    """Open a client, trade, tell."""
    async with open_client(share) as client:
        print("ready", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(await trade(client, share)), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(Share(**json.loads(sys.argv[1]))))
