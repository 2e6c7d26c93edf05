"""A caller for the simulator's wire: bare httpx, no part of the library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
from attrs import define, field

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.settings import KST
from kiwoom_async.simulator import Simulator

AGENT = "simulator-tests/1"
PATHS = {
    "kt1": "/api/dostk/ordr",
    "kt5000": "/api/dostk/ordr",
    "ka10001": "/api/dostk/stkinfo",
    "ka10004": "/api/dostk/mrkcond",
}
CREDIT = {"kt10006", "kt10007", "kt10008", "kt10009"}

LEDGER = {
    "ord_dt": "",
    "qry_tp": "1",
    "stk_bond_tp": "0",
    "sell_tp": "0",
    "stk_cd": "",
    "fr_ord_no": "",
    "dmst_stex_tp": "%",
}
OPEN = {"all_stk_tp": "0", "trde_tp": "0", "stk_cd": "", "stex_tp": "0"}
GOLD_LIST = {
    "ord_dt": "20261102",
    "qry_tp": "1",
    "mrkt_deal_tp": "5",
    "stk_bond_tp": "0",
    "slby_tp": "0",
    "sell_tp": "0",
    "stk_cd": "",
    "fr_ord_no": "",
    "dmst_stex_tp": "KRX",
}
GOLD = "M04020000"


@define
class Clock:
    """An `Ambient` whose time stands still until it is moved."""

    moment: datetime = datetime(2026, 11, 2, 10, 0, tzinfo=KST)
    tick: float = 100.0
    boot_id: str = "boot"

    def now(self) -> datetime:
        """Read the wall clock."""
        return self.moment

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self.tick

    def random_bytes(self, count: int) -> bytes:
        """Draw zeros."""
        return bytes(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing."""

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)
        self.tick += seconds


@define
class Listener:
    """Hears what the broker does; `order` waits until an order is on the book."""

    accepted: asyncio.Event = field(factory=asyncio.Event)

    def __call__(self, line: str) -> None:
        """Hear one line."""
        if "working" in line:
            self.accepted.set()

    async def order(self) -> None:
        """Wait for an order, five seconds at most."""
        async with asyncio.timeout(5):
            await self.accepted.wait()


def order_body(**changed: str) -> dict[str, str]:
    """Write the body of a stock order."""
    body = {"dmst_stex_tp": "KRX", "stk_cd": "005930", "ord_qty": "10", "ord_uv": "70000", "trde_tp": "0"}
    return {**body, "cond_uv": "", **changed}


def gold_body(**changed: str) -> dict[str, str]:
    """Write the body of a gold order."""
    return {"stk_cd": GOLD, "ord_qty": "5", "ord_uv": "180000", "trde_tp": "00", **changed}


def modify_body(original: str, quantity: str, price: str, **changed: str) -> dict[str, str]:
    """Write the body of a stock modify."""
    body = {"dmst_stex_tp": "KRX", "orig_ord_no": original, "stk_cd": "005930", "mdfy_qty": quantity}
    return {**body, "mdfy_uv": price, "mdfy_cond_uv": "", **changed}


def cancel_body(original: str, quantity: str = "0", **changed: str) -> dict[str, str]:
    """Write the body of a stock cancel."""
    body = {"dmst_stex_tp": "KRX", "orig_ord_no": original, "stk_cd": "005930", "cncl_qty": quantity}
    return {**body, **changed}


def path_of(api_id: str) -> str:
    """Find the path of a TR."""
    if api_id in CREDIT:
        return "/api/dostk/crdordr"
    return next((path for start, path in PATHS.items() if api_id.startswith(start)), "/api/dostk/acnt")


@define
class Caller:
    """Calls TRs with a token."""

    http: httpx.AsyncClient
    token: str = field(default="", repr=False)

    async def login(self, app_key: str = "key") -> httpx.Response:
        """Take a token."""
        body = {"grant_type": "client_credentials", "appkey": app_key, "secretkey": "secret"}
        answer = await self.http.post("/oauth2/token", json=body)
        self.token = answer.json().get("token", "")
        return answer

    async def post(self, api_id: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Call a TR; keyword arguments are headers, with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"authorization": f"Bearer {self.token}", "api-id": api_id, **named}
        return await self.http.post(path_of(api_id), json=dict(body), headers=sent)

    async def call(self, api_id: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Call a TR and read its answer."""
        answer: dict[str, Any] = (await self.post(api_id, body, **headers)).json()
        return answer

    async def buy(self, key: str | None = None, **changed: str) -> str:
        """Buy, and give the order number."""
        headers = {} if key is None else {"idempotency_key": key}
        number: str = (await self.call("kt10000", order_body(**changed), **headers))["ord_no"]
        return number

    async def ledger(self, **changed: str) -> list[dict[str, str]]:
        """Read the first page of kt00007."""
        rows: list[dict[str, str]] = (await self.call("kt00007", LEDGER | changed))["acnt_ord_cntr_prps_dtl"]
        return rows

    async def open_orders(self, **changed: str) -> list[dict[str, str]]:
        """Read the first page of ka10075."""
        rows: list[dict[str, str]] = (await self.call("ka10075", OPEN | changed))["oso"]
        return rows

    async def pages(self, api_id: str, body: Mapping[str, Any], limit: int = 20) -> list[httpx.Response]:
        """Follow the pages of a list, at most `limit` of them."""
        answers = [await self.post(api_id, body)]
        while answers[-1].headers.get("cont-yn") == "Y" and len(answers) < limit:
            key = answers[-1].headers["next-key"]
            answers.append(await self.post(api_id, body, cont_yn="Y", next_key=key))
        return answers


@asynccontextmanager
async def calling(broker: Simulator, *, login: bool = True, patience: float = 5.0) -> AsyncIterator[Caller]:
    """Call a running simulator over its socket, waiting at most `patience` seconds for an answer."""
    headers = {"User-Agent": AGENT, "Content-Type": "application/json;charset=UTF-8"}
    async with httpx.AsyncClient(base_url=broker.url, headers=headers, timeout=patience) as http:
        caller = Caller(http)
        if login:
            await caller.login()
        yield caller
