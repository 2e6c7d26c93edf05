"""A strategy that reacts to fills: every share bought is offered again, a little dearer.

It keeps no state but the sequence of the last event it has dealt with, so that it can be stopped and started at any
moment: the client order id of each sale is made from the event that caused it, and the same id is never a second order.

Run: python examples/fill_follower.py
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from kiwoom_async import Credentials, KiwoomClient, OrderEvent, OrderEventKind, Side, Timing
from kiwoom_async.simulator import FeedFault, FeedFaultKind, Simulator

SYMBOL = "005930"
PROFIT = 500
TICK = 100
"""KRW per share, for prices from 50,000 to 200,000 (호가단위)."""

# A simulator answers at once, so its bounds may be short. Keep the defaults for Kiwoom.
TIMING = Timing(response_timeout=1.0, acceptance_bound=0.5, visibility_bound=0.2, reconcile_interval=0.1)


class FillFollower:
    """Offer what was bought."""

    def __init__(self, client: KiwoomClient, bookmark: Path) -> None:
        self._client = client
        self._bookmark = bookmark

    async def run(self, wanted: int) -> None:
        """Follow fills until so many shares were bought and sold again."""
        bought = sold = 0
        since = int(self._bookmark.read_text()) if self._bookmark.exists() else 0
        async for event in self._client.orders.events(since=since):
            if event.kind is OrderEventKind.ALARM:
                print(f"look at the screen: {event.text}")
            if event.kind is OrderEventKind.FILLED and event.quantity is not None:
                print(f"{event.side} {event.quantity} at {event.price}")
                if event.side is Side.BUY:
                    bought += event.quantity
                    await self._offer(event)
                else:
                    sold += event.quantity
            # Only now: if we stop before this line, the event comes again, and its order is the same order.
            self._bookmark.write_text(str(event.sequence))
            if bought == sold == wanted:
                return

    async def _offer(self, event: OrderEvent) -> None:
        if event.quantity is None or event.price is None:
            print(f"not offered, because the fill's price is not known: {event}")
            return
        # An average of several fills may lie between two ticks.
        price = -(-int(event.price) // TICK) * TICK + PROFIT
        await self._client.stock.sell(
            SYMBOL, event.quantity, price=price, client_order_id=f"offer-for-{event.sequence}"
        )


async def trade_in_the_market(broker: Simulator) -> None:
    """Let somebody trade with our orders, in parts; the feed is cut in between."""
    while True:
        await asyncio.sleep(0.02)
        for order in broker.orders:
            if order.leaves_quantity and order.is_working:
                broker.fill(order.broker_order_id, min(3, order.leaves_quantity))
                break


async def main() -> None:
    """Open a broker whose feed breaks, and let the strategy trade."""
    faults = [FeedFault(FeedFaultKind.CUT, states="체결", skip=1), FeedFault(FeedFaultKind.REPEAT_FRAME, states="체결")]
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Simulator(seed=1, feed_faults=faults) as broker,
            KiwoomClient(
                Credentials(app_key="any", secret_key="any"),  # noqa: S106 - the simulator takes every key
                environment=broker.environment,
                journal=Path(folder) / "orders.db",
                timing=TIMING,
            ) as client,
        ):
            market = asyncio.create_task(trade_in_the_market(broker))
            await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="first")
            await FillFollower(client, Path(folder) / "bookmark").run(wanted=10)
            market.cancel()
            bought = sum(fill.quantity for fill in broker.fills if fill.side is Side.BUY)
            sold = sum(fill.quantity for fill in broker.fills if fill.side is Side.SELL)
            print(f"on the broker's book: bought {bought}, sold {sold}; logins to the feed: {broker.feed_logins}")


if __name__ == "__main__":
    asyncio.run(main())
