"""Several processes with one app key: one token, one rate budget, cancels first."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from kiwoom_async import Limits
from kiwoom_async.simulator import Simulator, TokenPolicy
from tests.crash.processes import child, finished, go, heard
from tests.crash.sharer import Share
from tests.scenarios.trading import Hands, broker_of

NAMES: Final = ("alpha", "beta", "gamma")


def started(share: Share) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Start a bot; it does not outlive the block."""
    return child("sharer.py", share.to_json())


async def reported(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Wait for a bot's end; give what it tells about itself."""
    status, reports = await finished(process)
    assert status == 0
    return reports[-1]


def shares(broker: Simulator, folder: Path, **changes: Any) -> list[Share]:
    """Make the programs of three bots on one key, with journals of their own."""
    assert isinstance(broker.ambient, Hands)
    offset = broker.ambient.offset.total_seconds()
    return [Share(broker.url, str(folder), name, str(folder / "shared.db"), offset, **changes) for name in NAMES]


def assert_cancels_went_first(broker: Simulator) -> None:
    """Each bot's cancel arrived before the rest of its own buys, which had asked before it."""
    arrived = [request.headers.get("idempotency-key", "") for request in broker.requests]
    for name in NAMES:
        buys = [index for index, key in enumerate(arrived) if key.startswith(f"{name}-") and not key.endswith("cancel")]
        assert arrived.index(f"{name}-cancel") < buys[-1]


@pytest.mark.parametrize("policy", list(TokenPolicy))
async def test_three_processes_share_one_token_and_stay_within_the_limits(tmp_path: Path, policy: TokenPolicy) -> None:
    """One au10001 for all, one more when the token dies, no answer that there were too many requests."""
    broker = broker_of(limits=Limits(), token_policy=policy)
    async with broker, AsyncExitStack() as stack:
        bots = [await stack.enter_async_context(started(share)) for share in shares(broker, tmp_path)]
        for bot in bots:
            await heard(bot, "ready")
        assert broker.count("au10001") == 1
        for bot in bots:
            await go(bot)
        for bot in bots:
            await heard(bot, "placed")
        broker.expire_token()
        reports = [await reported(bot) for bot in bots]
    assert [report["errors"] for report in reports] == [[], [], []]
    assert all(report["is_shared"] for report in reports)
    assert broker.count("au10001") == 2
    assert not broker.rate_refusals
    keys = [order.idempotency_key for order in broker.orders]
    assert len(keys) == len(set(keys)) == 33
    assert_cancels_went_first(broker)


async def test_killed_process_blocks_nobody(tmp_path: Path) -> None:
    """Killed with everything it had waiting, it costs the others some seconds of its share at the most."""
    broker = broker_of(limits=Limits(orders_per_second=2))
    async with broker, AsyncExitStack() as stack:
        first, second, _ = shares(broker, tmp_path, orders=6, queries=0, limits=(2, 5, 5))
        victim = await stack.enter_async_context(started(first))
        survivor = await stack.enter_async_context(started(second))
        await heard(victim, "ready")
        await heard(survivor, "ready")
        await go(victim)
        await heard(victim, "placed")
        victim.kill()
        await victim.wait()
        await go(survivor)
        await heard(survivor, "placed")
        report = await reported(survivor)
    assert report["errors"] == []
    assert report["is_shared"]
    assert broker.count("au10001") == 1
    assert not broker.rate_refusals


async def test_damaged_file_is_gone_without(tmp_path: Path) -> None:
    """Each process goes on by itself, with a token of its own; the orders are as safe as ever."""
    (tmp_path / "shared.db").write_bytes(b"no database at all" * 100)
    broker = broker_of(limits=Limits())
    async with broker, AsyncExitStack() as stack:
        share = shares(broker, tmp_path, orders=2, queries=1)[0]
        bot = await stack.enter_async_context(started(share))
        await heard(bot, "ready")
        await go(bot)
        await heard(bot, "placed")
        report = await reported(bot)
    assert report["errors"] == []
    assert not report["is_shared"]
    assert len(broker.orders) == 3
