"""Who sends the orders: this library with its journal on, bare aiohttp, bare httpx. All send the same JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Final

import aiohttp
import httpx
from attrs import frozen

from benchmarks.order_server import ORDER_PATH, TOKEN
from kiwoom_async import Credentials, Environment, KiwoomClient, Limits

OURS: Final = "kiwoom_async"
AIOHTTP: Final = "aiohttp"
HTTPX: Final = "httpx"

SYMBOL: Final = "005930"
QUANTITY: Final = 10
PRICE: Final = 70_000
HEADERS: Final = {"api-id": "kt10000", "authorization": f"Bearer {TOKEN}", "cont-yn": "N", "next-key": ""}


@frozen
class Contestant:
    """One way to send an order.

    Attributes:
        send: Sends one and returns its number once the answer is read.
    """

    name: str
    send: Callable[[], Awaitable[str]]


def _prices() -> Iterator[int]:
    # A thousand different orders, so that nothing is fast only because the last one was the same.
    return cycle(range(PRICE, PRICE + 100_000, 100))


def _body(price: int) -> dict[str, str]:
    return {
        "dmst_stex_tp": "KRX",
        "stk_cd": SYMBOL,
        "ord_qty": str(QUANTITY),
        "ord_uv": str(price),
        "trde_tp": "0",
        "cond_uv": "",
    }


def credentials() -> Credentials:
    """Give made-up keys."""
    return Credentials(app_key="benchmark", secret_key="benchmark")  # noqa: S106 - made up


@asynccontextmanager
async def ours(url: str, folder: Path) -> AsyncIterator[Contestant]:
    """Send through `KiwoomClient.stock.buy`, with a new journal in a folder."""
    environment = Environment(rest_url=url, limits=Limits.off())
    prices = _prices()
    async with KiwoomClient(credentials(), environment=environment, journal=folder / "orders.db") as client:

        async def send() -> str:
            order = await client.stock.buy(SYMBOL, QUANTITY, price=next(prices))
            return order.broker_order_id or ""

        yield Contestant(OURS, send)


@asynccontextmanager
async def bare_aiohttp(url: str) -> AsyncIterator[Contestant]:
    """Send through `aiohttp.ClientSession.post`."""
    prices = _prices()
    async with aiohttp.ClientSession() as session:

        async def send() -> str:
            async with session.post(url + ORDER_PATH, json=_body(next(prices)), headers=HEADERS) as answer:
                return str((await answer.json())["ord_no"])

        yield Contestant(AIOHTTP, send)


@asynccontextmanager
async def bare_httpx(url: str) -> AsyncIterator[Contestant]:
    """Send through `httpx.AsyncClient` with the pool it comes with."""
    prices = _prices()
    async with httpx.AsyncClient(trust_env=False) as client:

        async def send() -> str:
            answer = await client.post(url + ORDER_PATH, json=_body(next(prices)), headers=HEADERS)
            return str(answer.json()["ord_no"])

        yield Contestant(HTTPX, send)


async def fetch_arrivals(url: str) -> list[int]:
    """Ask the server when the first byte of each order arrived, since the last time of asking."""
    async with aiohttp.ClientSession() as session, session.post(url, headers={"api-id": "arrivals"}) as answer:
        return [int(moment) for moment in json.loads((await answer.json())["arrivals"])]
