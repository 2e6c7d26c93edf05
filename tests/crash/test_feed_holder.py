"""Several processes and one session of the feed: a holder that is killed loses nothing for the others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kiwoom_async import FeedState, OrderEventKind, OrderStatus
from tests.crash.processes import child, heard
from tests.scenarios.listening import PATIENT, live, on_the_book, record_of
from tests.scenarios.trading import SYMBOL, Hands, broker_of, client_of, eventually

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")


async def test_feed_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """Before: the other process's events, by the journal. After: our own session, and what was missed in between."""
    async with broker_of() as broker:
        assert isinstance(broker.ambient, Hands)
        holder = child(
            "feed_holder.py",
            broker.url,
            str(broker.environment.websocket_url),
            str(tmp_path / "orders.db"),
            str(broker.ambient.offset.total_seconds()),
        )
        async with holder as process:
            await heard(process, "live")
            async with (
                client_of(broker, tmp_path, feed=True, timing=PATIENT) as client,
                record_of(client) as record,
            ):
                await eventually(lambda: client.feed.state is FeedState.ELSEWHERE)
                order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
                assert order.broker_order_id is not None
                broker.fill(order.broker_order_id, 4)
                await eventually(lambda: record.filled() == on_the_book(broker))
                assert broker.feed_logins == 1
                process.send_signal(signal.SIGKILL)
                await process.wait()
                broker.fill(order.broker_order_id, 3)
                await live(client, within=30)
                broker.fill(order.broker_order_id, 3)
                done = await client.orders.wait_filled(order)
                assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 10)
                await eventually(lambda: record.filled() == on_the_book(broker))
                assert broker.feed_logins == 2
                assert not record.of(OrderEventKind.ALARM)
