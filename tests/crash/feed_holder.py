"""A process that holds the feed of a journal until it is killed; its arguments: address, websocket, journal, offset."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from attrs import evolve

from kiwoom_async import Credentials, Environment, FeedState, KiwoomClient, Limits
from tests.crash.trader import TIMING
from tests.scenarios.trading import Hands


async def main() -> None:
    """Say "live" once the feed is, and stay."""
    url, websocket, journal, offset = sys.argv[1:]
    async with KiwoomClient(
        Credentials(app_key="key", secret_key="secret"),
        environment=Environment(rest_url=url, websocket_url=websocket, limits=Limits.off()),
        journal=journal,
        timing=evolve(TIMING, reconcile_interval=0.2),
        ambient=Hands(offset=timedelta(seconds=float(offset))),
    ) as client:
        while client.feed.state is not FeedState.LIVE:  # noqa: ASYNC110 - a status has no event
            await asyncio.sleep(0.01)
        sys.stdout.write("live\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
