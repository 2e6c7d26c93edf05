"""The two clients that the demonstration compares: ours, and one as bots write it.

Both get the same steps. What they say is turned into the words of the history checker here, and nowhere is it
believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

import aiohttp
import anyio
from attrs import define, field

from kiwoom_async._audit import Answer, Verdict
from kiwoom_async._client import KiwoomClient
from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._proof.asking import Caller
from kiwoom_async._proof.steps import Step
from kiwoom_async._wire.requests import encode_order

PATIENCE: Final = 20.0
"""Seconds one patient question waits; then it is asked again."""

_NAIVE_SENDS: Final = 3
_NAIVE_PAUSE: Final = 0.2
_WORTH_ANOTHER_TRY: Final = frozenset({429, 500, 502, 503, 504})
"""Source: what client libraries for Kiwoom that retry do retry on."""


class Trader(Protocol):
    """A client as a strategy sees it."""

    async def place(self, step: Step, target: Step | None, *, hurried: bool) -> Answer:
        """Ask for an order, in the step's own manner or patiently, and say what came of it."""

    async def is_recorded(self, step: Step) -> bool:
        """Tell whether the client knows of the order, although not what became of it."""

    async def count_unresolved(self) -> int:
        """Count what the client itself does not know yet."""


class CarefulTrader:
    """Our client. It is told nothing of the demonstration."""

    def __init__(self, client: KiwoomClient, clock: Ambient) -> None:
        self._client = client
        self._caller = Caller(client, PATIENCE, clock.monotonic)

    async def is_recorded(self, step: Step) -> bool:
        """Tell whether the client knows of the order, although not what became of it."""
        return await self._client.orders.get(step.client_order_id) is not None

    async def count_unresolved(self) -> int:
        """Count what the client itself does not know yet."""
        return len(await self._client.orders.unresolved())

    async def place(self, step: Step, target: Step | None, *, hurried: bool) -> Answer:
        """Ask for an order, in the step's own manner or patiently, and say what came of it."""
        return await self._caller.ask(step, None if target is None else target.client_order_id, hurried=hurried)


@define(eq=False)
class NaiveTrader:
    """A client as bots write it: one HTTP session, a timeout, and the request once more when something went wrong.

    It keeps the answers it has got, as a bot with a log of its own does, so that a restart asks only for the rest.
    It carries the same `Idempotency-Key` header, which Kiwoom ignores, so that it meets the same faults.
    """

    rest_url: str
    timeout: float
    answers: Mapping[str, Answer]
    _token: str = ""
    _session: aiohttp.ClientSession | None = None
    _numbers: dict[str, Answer] = field(factory=dict)

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._numbers.update(self.answers)
        self._session = aiohttp.ClientSession(
            self.rest_url,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            headers={"User-Agent": "my-trading-bot/1.0"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def is_recorded(self, step: Step) -> bool:
        """It knows of what it has an answer to."""
        return step.client_order_id in self._numbers

    async def count_unresolved(self) -> int:
        """It has no word for "unknown"."""
        return 0

    async def place(self, step: Step, target: Step | None, *, hurried: bool) -> Answer:  # noqa: ARG002 - it is never hurried
        """Send an order, again and again if need be."""
        known = self._numbers.get(step.client_order_id)
        if known is None:
            known = self._numbers[step.client_order_id] = await self._send(self._request(step, target), step)
        return known

    def _request(self, step: Step, target: Step | None) -> OrderRequest:
        number = None if target is None else self._numbers[target.client_order_id].broker_order_id
        return OrderRequest(
            desk=step.desk,
            action=step.action,
            symbol=step.symbol,
            side=step.side,
            quantity=step.quantity,
            price=step.price,
            order_type=step.order_type,
            route=step.route,
            original=number,
        )

    async def _send(self, request: OrderRequest, step: Step) -> Answer:
        call = encode_order(request)
        detail = ""
        for _ in range(_NAIVE_SENDS):
            try:
                headers = {"api-id": call.api_id, "Idempotency-Key": step.client_order_id}
                status, body = await self._post(call.path, call.body, headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                detail = type(error).__name__
                await anyio.sleep(_NAIVE_PAUSE)
                continue
            code = body.get("return_code")
            if status == 200 and code == 0:
                return Answer(step.client_order_id, Verdict.ACCEPTED, body.get("ord_no", ""))
            detail = f"HTTP {status}, {body.get('return_msg', 'no JSON')}"
            if "[8005:" in detail:
                self._token = ""
            elif status not in _WORTH_ANOTHER_TRY and "[1700:" not in detail:
                break
            await anyio.sleep(_NAIVE_PAUSE)
        return Answer(step.client_order_id, Verdict.FAILED, detail=detail)

    async def _post(self, path: str, body: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        assert self._session is not None, "it is open"  # noqa: S101
        if not self._token and path != "/oauth2/token":
            keys = {"grant_type": "client_credentials", "appkey": "demo", "secretkey": "demo"}
            _, issued = await self._post("/oauth2/token", keys, {})
            self._token = issued.get("token", "")
        authorization = {"authorization": f"Bearer {self._token}"} if self._token else {}
        async with self._session.post(path, json=body, headers={**headers, **authorization}) as response:
            text = await response.text()
            try:
                answer = json.loads(text)
            except ValueError:
                answer = {}
            return response.status, answer if isinstance(answer, dict) else {}
