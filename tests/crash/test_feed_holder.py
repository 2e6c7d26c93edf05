"""Several processes and one session of the feed: a holder that is killed loses nothing for the others."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import apsw
import pytest

from kiwoom_async import FeedState, OrderEventKind, OrderStatus, Side
from kiwoom_async.simulator import Simulator
from tests.crash.processes import PATIENCE, child, heard, is_stopped
from tests.crash.test_several import expire_lease
from tests.on_disk import value_of
from tests.scenarios.listening import PATIENT, live, on_the_book, record_of
from tests.scenarios.trading import SYMBOL, Hands, broker_of, client_of, eventually

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")


def holder_of(broker: Simulator, folder: Path) -> AbstractAsyncContextManager[Process]:
    """Start a process that holds the feed."""
    assert isinstance(broker.ambient, Hands)
    return child(
        "feed_holder.py",
        broker.url,
        str(broker.environment.websocket_url),
        str(folder / "orders.db"),
        str(broker.ambient.offset.total_seconds()),
    )


async def test_feed_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """Before: the other process's events, by the journal. After: our own session, and what was missed in between."""
    async with broker_of() as broker, holder_of(broker, tmp_path) as process:
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


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(400)
async def test_holder_that_was_frozen_past_its_lease_changes_nothing_when_it_wakes(tmp_path: Path) -> None:
    """It finds old reports in its socket: they count nothing twice, certify nothing, and it leaves the feed alone."""
    async with broker_of() as broker, holder_of(broker, tmp_path) as process:
        await heard(process, "live")
        async with client_of(broker, tmp_path, feed=True, timing=PATIENT) as client, record_of(client) as record:
            await eventually(lambda: client.feed.state is FeedState.ELSEWHERE)
            order = await client.stock.buy(SYMBOL, 10, price=69_000, client_order_id="parts")
            assert order.broker_order_id is not None
            await eventually(lambda: record.kinds("parts") == [OrderEventKind.ACCEPTED])
            await freeze(process, tmp_path)
            stale = await client._journal.feed_session()
            assert stale is not None
            # These wait in its socket, one by one.
            broker.fill(order.broker_order_id, 2)
            broker.fill(order.broker_order_id, 3)
            theirs = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=1, price=69_000)
            expire_lease(tmp_path, "feed of")
            await live(client, within=PATIENCE)
            await eventually(lambda: record.filled() == on_the_book(broker))
            broker.fill(order.broker_order_id, 4)
            await eventually(lambda: record.filled() == on_the_book(broker))
            ours = await client._journal.feed_session()
            assert ours is not None
            assert ours.epoch == stale.epoch + 1
            before = await client.orders.get("parts")
            process.send_signal(signal.SIGCONT)
            # Its report of somebody's order, which nobody else has heard, shows that it has read its socket.
            await eventually(lambda: reports_of(tmp_path, theirs.broker_order_id) > 0, within=PATIENCE)
            await eventually(lambda: certificate_end(tmp_path, stale.epoch) is not None, within=PATIENCE)
            assert await client.orders.get("parts") == before
            session = await client._journal.feed_session()
            assert session is not None
            assert (session.epoch, session.runner, session.is_over) == (ours.epoch, ours.runner, False)
            broker.fill(order.broker_order_id, 1)
            done = await client.orders.wait_filled(order)
            assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 10)
            await eventually(lambda: record.filled() == on_the_book(broker))
            assert not record.of(OrderEventKind.ALARM)
            assert client.feed.state is FeedState.LIVE
            assert broker.feed_logins == 2


async def freeze(process: Process, folder: Path) -> None:
    """Stop a process between two of its commits: one that holds the lock of the file would stop everybody."""
    while True:
        process.send_signal(signal.SIGSTOP)
        await eventually(lambda: is_stopped(process), within=PATIENCE)
        connection = apsw.Connection(str(folder / "orders.db"))
        connection.set_busy_timeout(1000)
        try:
            connection.execute("BEGIN IMMEDIATE; ROLLBACK")
        except apsw.BusyError:
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.05)
        else:
            return
        finally:
            connection.close()


def reports_of(folder: Path, number: str) -> int:
    """Count what is kept of the feed's reports about a number that nobody has."""
    return int(value_of(folder / "orders.db", "SELECT count(*) FROM kept_reports WHERE broker_order_id = ?", number))


def certificate_end(folder: Path, epoch: int) -> float | None:
    """Read when the certificate of a session ended; None while it goes on."""
    ended: float | None = value_of(folder / "orders.db", "SELECT ended FROM feed_sessions WHERE epoch = ?", epoch)
    return ended
