"""Place, lose, find, modify and cancel orders against the local broker. Run: python examples/first_orders.py."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from kiwoom_async import (
    Credentials,
    KiwoomClient,
    NotSent,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
    Timing,
    ValidationError,
)
from kiwoom_async.simulator import Fault, FaultKind, Simulator

# A simulator answers at once, so its bounds may be short. Keep the defaults for Kiwoom.
TIMING = Timing(response_timeout=1.0, acceptance_bound=0.5, visibility_bound=0.2, reconcile_interval=0.1)


async def trade(client: KiwoomClient, broker: Simulator) -> None:
    """Go through the life of an order."""
    order = await client.stock.buy("005930", 10, price=70_000, client_order_id="alpha-0001")
    print(f"accepted as {order.broker_order_id}, known by {order.resolved_by}")

    again = await client.stock.buy("005930", 10, price=70_000, client_order_id="alpha-0001")
    print(f"the same id again gives {again.broker_order_id}; on the book: {len(broker.orders)}")

    # The broker takes the next order and breaks the connection before it answers.
    broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
    lost = await client.stock.buy("000660", 5, price=150_000, client_order_id="alpha-0002")
    print(f"the answer was lost, the order was found as {lost.broker_order_id}, known by {lost.resolved_by}")

    order = await client.stock.modify(order, price=70_500)
    print(f"modified: the order is {order.broker_order_id} now")
    canceled = await client.stock.cancel(order)
    print(f"canceled by {canceled.broker_order_id}: {canceled.status}")

    try:
        await client.stock.buy("005930", 0, price=70_000)
    except ValidationError as error:
        print(f"refused by ourselves: {error}")


async def place_carefully(client: KiwoomClient) -> None:
    """Show what every bot has to tell apart."""
    try:
        order = await client.gold.buy("M04020000", 1, price=180_000, client_order_id="gold-0001", deadline=5)
    except OrderRefused as error:
        print(f"the broker said no: {error.code}")
    except NotSent:
        print("nothing left; the same id may be used again")
    except OrderNotAccepted as error:
        print(f"proven absent: {error.proof}")
    except OutcomeUnknown as error:
        print(f"{error.client_order_id} may be on the book; do not order again, the library goes on resolving")
    else:
        print(f"gold order {order.broker_order_id}")


async def main() -> None:
    """Open a broker and a client, trade, and look at the broker's own book."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Simulator(seed=1) as broker,
            KiwoomClient(
                Credentials(app_key="any", secret_key="any"),  # noqa: S106 - the simulator takes every key
                environment=broker.environment,
                journal=Path(folder) / "orders.db",
                timing=TIMING,
            ) as client,
        ):
            await trade(client, broker)
            await place_carefully(client)
            print(
                f"on the broker's book: {len(broker.orders)} rows; unresolved: {len(await client.orders.unresolved())}"
            )


if __name__ == "__main__":
    asyncio.run(main())
