"""The face of the library: names, lifetimes, wrong settings, and calls that know their key."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import kiwoom_async
from kiwoom_async import (
    ConfigurationError,
    Credentials,
    Environment,
    KiwoomClient,
    Limits,
    NotSent,
    Order,
    Route,
    Timing,
    ValidationError,
)
from kiwoom_async.simulator import Simulator

SECRETS = Credentials(app_key="app-key-nobody-may-see", secret_key="secret-nobody-may-see")


def a_client(broker: Simulator, folder: Path, **settings: Any) -> KiwoomClient:
    """Make a client for a simulator."""
    return KiwoomClient(SECRETS, environment=broker.environment, journal=folder / "orders.db", **settings)


def read_all(folder: Path) -> bytes:
    """Read every file of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_every_public_name_is_there() -> None:
    """What __all__ names can be imported."""
    assert all(hasattr(kiwoom_async, name) for name in kiwoom_async.__all__)


@pytest.mark.parametrize(
    "settings",
    [
        {"credentials": "key"},
        {"environment": "https://api.kiwoom.com"},
        {"timing": 5},
        {"limits": 5},
        {"twins": "perhaps"},
        {"journal": ":memory:"},
    ],
)
async def test_wrong_settings_are_found_before_any_call(tmp_path: Path, settings: dict[str, Any]) -> None:
    """A wrong setting is named, and nothing is opened or asked."""
    async with Simulator() as broker:
        chosen: dict[str, Any] = {
            "credentials": SECRETS,
            "environment": broker.environment,
            "journal": tmp_path / "orders.db",
            **settings,
        }
        with pytest.raises((ConfigurationError, ValidationError)) as caught:
            async with KiwoomClient(chosen.pop("credentials"), **chosen):
                pass
        assert next(iter(settings)) in str(caught.value)
        assert not broker.requests


@pytest.mark.parametrize("field", ["response_timeout", "visibility_bound"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), True, "5"])
def test_a_bound_must_be_a_positive_number(field: str, value: Any) -> None:
    """Nonsense bounds name the argument."""
    with pytest.raises(ConfigurationError, match=field):
        Timing(**{field: value})


def test_the_mock_is_slower_and_knows_one_route() -> None:
    """The environments carry their published limits."""
    assert Environment.MOCK.limits.per_tr_per_second == 1
    assert Environment.LIVE.limits == Limits()
    assert Environment.MOCK.routes == {"KRX"}
    assert not Environment.MOCK.is_live


async def test_keys_and_tokens_appear_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the repr, not in a log line, not in an error, not in the journal's files."""
    caplog.set_level(logging.DEBUG)
    async with Simulator() as broker:
        client = a_client(broker, tmp_path)
        async with client:
            await client.stock.buy("005930", 1, price=70_000)
            with pytest.raises(ValidationError) as caught:
                client.stock.buy("005930", -1, price=70_000)
        said = f"{client!r} {SECRETS!r} {caught.value!r} {caplog.text}".encode()
        written = read_all(tmp_path)
        tokens = [request.body for request in broker.requests if request.path == "/oauth2/token"]
        assert tokens
        for secret in (SECRETS.app_key, SECRETS.secret_key, broker.account):
            assert secret.encode() not in said + written


async def test_a_call_knows_its_key_before_it_runs(tmp_path: Path) -> None:
    """The generated id can be written down before the first await; nothing has been sent by then."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        call = client.stock.buy("005930", 1, price=70_000)
        assert call.client_order_id
        assert broker.orders == ()
        order = await call
        assert order.client_order_id == call.client_order_id


async def test_a_call_serves_wherever_a_coroutine_does(tmp_path: Path) -> None:
    """create_task, gather, wait_for and task groups take it."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:

        def call(price: int) -> Any:
            return client.stock.buy("005930", 1, price=price)

        task = asyncio.create_task(call(70_000))
        gathered: list[Order] = await asyncio.gather(call(70_100), call(70_200))
        waited: Order = await asyncio.wait_for(call(70_300), 5)
        async with asyncio.TaskGroup() as group:
            grouped = group.create_task(call(70_400))
        orders = [await task, *gathered, waited, grouped.result()]
        assert len({order.broker_order_id for order in orders}) == len(broker.orders) == 5


async def test_ids_rise_with_time(tmp_path: Path) -> None:
    """Generated ids sort by the time they were made."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        ids = []
        for _ in range(3):
            call = client.stock.buy("005930", 1, price=70_000)
            ids.append(call.client_order_id)
            call.close()
            await asyncio.sleep(0.002)
        assert ids == sorted(ids)


async def test_a_closed_client_sends_nothing(tmp_path: Path) -> None:
    """After the block an order is refused with a clear word."""
    async with Simulator() as broker:
        async with a_client(broker, tmp_path) as client:
            pass
        with pytest.raises(NotSent, match="closing"):
            await client.stock.buy("005930", 1, price=70_000)
        with pytest.raises(ConfigurationError, match="make a new one"):
            async with client:
                pass
        assert broker.orders == ()


def test_an_unopened_client_says_what_to_do(tmp_path: Path) -> None:
    """Who forgets `async with` is told so."""
    client = KiwoomClient(SECRETS, environment=Environment.MOCK, journal=tmp_path / "orders.db")
    with pytest.raises(ConfigurationError, match="async with"):
        client.stock.buy("005930", 1, price=70_000)


async def test_opened_in_one_task_and_closed_in_another(tmp_path: Path) -> None:
    """Frameworks open in one hook and close in another."""
    async with Simulator() as broker:
        client = a_client(broker, tmp_path)
        await asyncio.create_task(client.__aenter__())
        order = await client.stock.buy("005930", 1, price=70_000)
        await asyncio.create_task(client.__aexit__(None, None, None))
        assert order.broker_order_id == broker.orders[0].broker_order_id


async def test_gold_has_one_venue_and_limit_orders_only(tmp_path: Path) -> None:
    """The gold desk refuses what gold does not have, and sends the rest."""
    async with Simulator() as broker, a_client(broker, tmp_path) as client:
        for wrong in ({"route": Route.KRX}, {"order_type": "market"}, {"price": None}):
            arguments: dict[str, Any] = {"price": 180_000, **wrong}
            with pytest.raises(ValidationError):
                client.gold.buy("M04020000", 1, **arguments)
        with pytest.raises(ValidationError, match="M04020100"):
            client.gold.buy("005930", 1, price=180_000)
        order = await client.gold.buy("M04020000", 1, price=180_000)
        order = await client.gold.modify(order, price=180_010)
        await client.gold.cancel(order)
        assert len(broker.orders) == 3
