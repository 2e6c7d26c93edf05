"""A trading day that is killed at its N-th commit; as a program, a mother of processes that do it.

The program preloads everything once and forks for each line of input, a `Kill` as JSON: a new process in milliseconds,
as real as any other. It answers with one line of JSON, the status of the child, once that has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import apsw
from attrs import asdict, evolve, frozen

from kiwoom_async import (
    Credentials,
    Environment,
    KiwoomClient,
    KiwoomError,
    Limits,
    NotSent,
    Order,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
)
from kiwoom_async._audit import Answer, Ask, Audit, Terms, Verdict, check_history
from kiwoom_async._proof.evidence import book_entry, terms_of
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.crash.trader import PRICE, SYMBOL, TIMING
from tests.scenarios.trading import Hands

BEFORE: Final = "before"
AFTER: Final = "after"

FAULTS: Final = (
    Fault(FaultKind.DELAY_ANSWER, seconds=0.0, api_ids="kt10000"),
    Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000"),
)
"""The answer to the second order is lost, if the first one reaches the broker."""


@frozen
class Kill:
    """Which process dies, and where.

    Attributes:
        commit: Number of the commit, counted over all files from 1. 0: it lives.
        moment: `BEFORE` or `AFTER` that commit.
        told: File that its answers are added to.
        closes_day: Close the books of yesterday instead of trading.
    """

    url: str
    websocket: str
    journal: str
    offset: float
    told: str
    commit: int = 0
    moment: str = BEFORE
    closes_day: bool = False


def arm(kill: Kill) -> None:
    """Let this process die at a commit, of whichever connection."""
    seen = 0

    def count() -> bool:
        nonlocal seen
        seen += 1
        return seen == kill.commit

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def before() -> bool:
        if count():
            die()
        return False

    def after(connection: apsw.Connection, name: str, pages: int) -> int:
        if count():
            die()
        return apsw.SQLITE_OK

    def hook(connection: apsw.Connection) -> None:
        if kill.moment == BEFORE:
            connection.set_commit_hook(before)
        else:
            connection.set_wal_hook(after)

    apsw.connection_hooks.append(hook)


def client_of(kill: Kill, **changes: Any) -> KiwoomClient:
    """Make a client as the sessions have it."""
    arguments: dict[str, Any] = {
        "environment": Environment(rest_url=kill.url, websocket_url=kill.websocket, limits=Limits.off()),
        "journal": kill.journal,
        "timing": evolve(TIMING, connect_timeout=5, response_timeout=2, poll_interval=0.05),
        "ambient": Hands(offset=timedelta(seconds=kill.offset)),
    }
    return KiwoomClient(Credentials(app_key="key", secret_key="secret"), **(arguments | changes))


# ---------------------------------------------------------------- what is asked for


async def _find(client: KiwoomClient, key: str) -> Order:
    order = await client.orders.get(key)
    assert order is not None, f"{key} was answered"
    return order


async def _modify(client: KiwoomClient) -> Order:
    return await client.stock.modify(await _find(client, "a"), price=PRICE + 100, client_order_id="a-modify")


async def _cancel(client: KiwoomClient) -> Order:
    return await client.stock.cancel(await _find(client, "b"), client_order_id="b-cancel")


async def _fill(client: KiwoomClient) -> Order:
    order = await client.stock.buy(SYMBOL, 3, client_order_id="c")
    return await client.orders.wait_filled(order)


STEPS: Final[Mapping[str, Callable[[KiwoomClient], Awaitable[Order]]]] = {
    "a": lambda client: client.stock.buy(SYMBOL, 10, price=PRICE, client_order_id="a"),
    "b": lambda client: client.stock.buy(SYMBOL, 11, price=PRICE, client_order_id="b"),
    "a-modify": _modify,
    "b-cancel": _cancel,
    "c": _fill,
}
TARGETS: Final = {"a-modify": "a", "b-cancel": "b"}
ASKS: Final = (
    Ask("a", Terms("stock", "new", SYMBOL, "buy", 10, PRICE)),
    Ask("b", Terms("stock", "new", SYMBOL, "buy", 11, PRICE)),
    Ask("a-modify", Terms("stock", "modify", SYMBOL, "buy"), target="a"),
    Ask("b-cancel", Terms("stock", "cancel", SYMBOL, "buy"), target="b"),
    Ask("c", Terms("stock", "new", SYMBOL, "buy", 3)),
)
_VERDICTS: Final[Mapping[type[KiwoomError], Verdict]] = {
    NotSent: Verdict.NOT_SENT,
    OrderNotAccepted: Verdict.NOT_ACCEPTED,
    OrderRefused: Verdict.REFUSED,
    OutcomeUnknown: Verdict.UNKNOWN,
}


async def ask(client: KiwoomClient, key: str) -> Answer:
    """Do a step; say what came of it."""
    try:
        order = await STEPS[key](client)
    except KiwoomError as error:
        return Answer(key, _VERDICTS.get(type(error), Verdict.ERROR), detail=f"{type(error).__name__}: {error}")
    by = None if order.resolved_by is None else order.resolved_by.value
    return Answer(key, Verdict.ACCEPTED, order.broker_order_id, terms_of(order), order.filled_quantity, by)


async def trade(client: KiwoomClient, tell: Callable[[Answer], None]) -> None:
    """Do every step whose target is there; ask again what was not sent or is not known."""
    accepted: set[str] = set()
    for key in STEPS:
        if TARGETS.get(key, key) not in {key, *accepted}:
            continue
        answer = await ask(client, key)
        tell(answer)
        while answer.verdict in {Verdict.NOT_SENT, Verdict.UNKNOWN}:
            answer = await ask(client, key)
            tell(answer)
        if answer.verdict is Verdict.ACCEPTED:
            accepted.add(key)


async def close_yesterday(client: KiwoomClient) -> None:
    """Reconcile until the books of every day before today are closed."""
    while await client._journal.days_to_close(client._ambient.now().date()):
        await client.reconcile()


def audit(broker: Simulator, answers: list[Answer]) -> Audit:
    """Hold what was told against the broker's book. A step whose target is not there was not asked for."""
    asked = {answer.client_order_id for answer in answers}
    asks = [one for one in ASKS if one.client_order_id in asked]
    return check_history(asks, answers, map(book_entry, broker.all_orders))


# ---------------------------------------------------------------- the process


def read_told(kill: Kill) -> list[Answer]:
    """Read what a process has told before it died."""
    path = Path(kill.told)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [
        Answer(**{**line, "terms": None if line["terms"] is None else Terms(**line["terms"])})
        for line in map(json.loads, lines)
    ]


async def main(kill: Kill) -> None:
    """Trade, or close the day."""
    descriptor = os.open(kill.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(answer: Answer) -> None:
        os.write(descriptor, json.dumps(asdict(answer)).encode() + b"\n")

    async with client_of(kill) as client:
        if kill.closes_day:
            await close_yesterday(client)
            return
        await trade(client, tell)
        await client.kill_switch.engage(reason="the day is done")
        await client.kill_switch.release(reason="it is not")


def bear(kill: Kill) -> int:
    """Fork a process for a session, and wait for its end; give its status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    with suppress(BaseException):
        arm(kill)
        asyncio.run(main(kill))
        status = 0
    os._exit(status)


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"status": bear(Kill(**json.loads(line)))}) + "\n")
        sys.stdout.flush()
