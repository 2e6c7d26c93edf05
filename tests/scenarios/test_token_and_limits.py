"""What a client shows of its token and its limits, with its own file and alone."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    ConfigurationError,
    Environment,
    Limits,
    LimitStatus,
    NotSent,
    QueryFailed,
    RateLimited,
    ResolvedBy,
)
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._sharing import ADOPT_LOCAL_WITHIN, adopts_within, choose_shared_path
from kiwoom_async.simulator import Fault, FaultKind, TokenPolicy
from tests.scenarios.trading import SYMBOL, broker_of, client_of, opened, orders_received


async def test_two_clients_of_a_process_share_one_token(tmp_path: Path) -> None:
    """By the same file as two processes; the second issue that could end the first token does not happen."""
    async with broker_of(token_policy=TokenPolicy.INVALIDATES) as broker:
        shared: dict[str, Any] = {"shared_state": tmp_path / "shared.db"}
        async with client_of(broker, tmp_path, **shared), client_of(broker, tmp_path, **shared):
            pass
        async with client_of(broker, tmp_path, **shared) as client:
            await client.stock.buy(SYMBOL, 1, price=70_000)
    assert broker.count("au10001") == 1


async def test_revoked_token_is_gone_and_the_next_request_gets_another(tmp_path: Path) -> None:
    """au10002 is sent once, both clients go on with one new token."""
    async with broker_of() as broker:
        shared: dict[str, Any] = {"shared_state": tmp_path / "shared.db"}
        async with client_of(broker, tmp_path, **shared) as one, client_of(broker, tmp_path, **shared) as other:
            await opened(broker)
            assert await one.revoke_token()
            await other.stock.buy(SYMBOL, 1, price=70_000)
            await one.stock.buy(SYMBOL, 2, price=70_000)
    assert (broker.count("au10001"), broker.count("au10002"), len(broker.orders)) == (2, 1, 2)
    with pytest.raises(ConfigurationError):
        await one.revoke_token()


async def test_token_and_keys_are_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens to them, at any level."""
    with caplog.at_level(logging.DEBUG):
        async with broker_of() as broker, client_of(broker, tmp_path, shared_state=tmp_path / "shared.db") as client:
            broker.expire_token()
            await client.stock.buy(SYMBOL, 1, price=70_000)
            token = (await client._gateway._tokens.get()).value
            await client.revoke_token()
            assert token not in repr(vars(client))
    assert token not in caplog.text
    assert "secret" not in caplog.text


async def test_status_of_the_limits(tmp_path: Path) -> None:
    """Waiting is counted, and an order that would wait beyond its deadline is not sent."""
    limits = Limits(orders_per_second=1, queries_per_second=None, per_tr_per_second=None)
    async with broker_of(limits=limits) as broker:
        client = client_of(broker, tmp_path)
        assert client.limits == LimitStatus()
        async with client:
            await client.stock.buy(SYMBOL, 1, price=70_000)
            with pytest.raises(NotSent, match="rate limit"):
                await client.stock.buy(SYMBOL, 2, price=70_000, deadline=0.5)
            await client.stock.buy(SYMBOL, 3, price=70_000)
            status = client.limits
        assert not broker.rate_refusals
    assert len(orders_received(broker)) == 2
    assert (status.waiting, status.denied, status.delayed, status.is_shared) == (0, 1, 1, False)
    assert status.longest_wait >= 0.9


async def test_refusals_of_kiwoom_lower_the_rate(tmp_path: Path) -> None:
    """An order's too; what became of it the ledger tells, as ever."""
    faults = [Fault(FaultKind.RATE_LIMITED_GHOST, api_ids="kt10000")]
    async with broker_of(*faults, limits=Limits()) as broker, client_of(broker, tmp_path) as client:
        order = await client.stock.buy(SYMBOL, 1, price=70_000)
        assert client.limits.refused == 1
        assert set(client.limits.lowered) == {"kt10000"}
    assert [row.broker_order_id for row in broker.orders] == [order.broker_order_id]


async def test_query_beyond_another_programs_limit_is_told_and_learnt(tmp_path: Path) -> None:
    """Another program with the same key has used the second up."""
    async with broker_of(limits=Limits(per_tr_per_second=1)) as broker:
        generous = Limits(per_tr_per_second=5)
        async with client_of(broker, tmp_path, limits=generous) as client:
            results = await asyncio.gather(*(client.call("ka00001", {}) for _ in range(3)), return_exceptions=True)
            assert sum(isinstance(result, RateLimited) for result in results) == 2
            assert client.limits.lowered == {"ka00001": 1.0}
            for _ in range(2):
                await client.call("ka00001", {})
    assert broker.rate_refusals == {"ka00001": 2}


async def test_callers_own_queries_leave_turns_to_the_reconciler(tmp_path: Path) -> None:
    """The bot floods the very TR that finds a lost answer; the order is found long before the flood is over."""
    limits = Limits(per_tr_per_second=4)
    lost = FaultKind.DROP_AFTER_ACCEPTANCE
    async with broker_of(lost) as broker, client_of(broker, tmp_path, limits=limits) as client:
        await opened(broker)
        flood = [asyncio.create_task(client.account.ledger()) for _ in range(60)]
        while client.limits.waiting < 50:  # noqa: ASYNC110 - they begin to wait in their first turns
            await asyncio.sleep(0)
        order = await client.stock.buy(SYMBOL, 1, price=70_000, deadline=60)
        assert order.resolved_by is ResolvedBy.LEDGER
        assert client.limits.waiting > 20
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


async def test_close_ends_a_query_that_waits_for_the_limit(tmp_path: Path) -> None:
    """With an error, not with silence."""
    limits = Limits(orders_per_second=None, queries_per_second=None, per_tr_per_second=0.01)
    async with broker_of(limits=limits) as broker:
        async with client_of(broker, tmp_path) as client:
            await client.call("ka00001", {})
            waiting = asyncio.create_task(client.call("ka00001", {}))
            while not client.limits.waiting:  # noqa: ASYNC110 - it begins to wait in its first turn
                await asyncio.sleep(0)
        with pytest.raises(QueryFailed, match="closed"):
            await waiting


async def test_unusable_file_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The client works as if nothing were shared."""
    async with broker_of() as broker, client_of(broker, tmp_path, shared_state=tmp_path) as client:
        await client.stock.buy(SYMBOL, 1, price=70_000)
        assert not client.limits.is_shared
    assert [record.levelname for record in caplog.records if "shared_state=" in record.getMessage()] == ["WARNING"]


async def test_usual_place_is_used_by_real_clocks_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated clock or network keeps out of the folder of the user, unless it names a file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    async with broker_of(ambient=None) as broker:
        for options in ({"ambient": SystemAmbient()}, {"transport": broker.transport}, {"shared_state": False}):
            # With a real clock a seal of the journal is kept there, too; it has tests of its own.
            arguments: dict[str, Any] = {"ambient": None, "journal_seals": False, **options}
            async with client_of(broker, tmp_path, **arguments):
                assert not (tmp_path / "home").exists()
        async with client_of(broker, tmp_path, ambient=None):
            files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
            if os.name == "posix":
                assert "shared-1.db" in {path.name for path in files}


@pytest.mark.parametrize("place", ["", 5, True])
def test_place_that_is_none(place: Any) -> None:
    """A path, False or None."""
    with pytest.raises(ConfigurationError, match="shared_state="):
        choose_shared_path(place, is_simulated=False)


async def test_token_of_an_earlier_simulator_at_the_same_port_is_not_used(tmp_path: Path) -> None:
    """Addresses of this machine only: at Kiwoom's a token is good for the day."""
    async with broker_of() as broker:
        assert adopts_within(broker.environment) == ADOPT_LOCAL_WITHIN
    assert adopts_within(Environment.LIVE) is None
