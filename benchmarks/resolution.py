"""How many requests one order of unknown outcome costs until it is resolved, on a quiet day and on a busy one.

The simulator plays the broker. Its book is filled with other people's and with our own orders; then one order is lost,
before or after its acceptance, and every query is counted until the caller has an answer.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from attrs import frozen

from benchmarks.contestants import PRICE, QUANTITY, SYMBOL, credentials
from benchmarks.statistics import Spread
from kiwoom_async import KiwoomClient, OrderNotAccepted, Timing
from kiwoom_async.simulator import Fault, FaultKind, Simulator

TIMING: Final = Timing(acceptance_bound=1.0, visibility_bound=0.5, clock_skew=0.1, reconcile_interval=0.25)
"""Short bounds: the count of the looks at the ledger depends on the bounds' relation to the interval only."""

CASES: Final = ("accepted", "absent", "absent, book open")

_OWN: Final = 5
_FOREIGN_SYMBOL: Final = "000660"
_WITNESS_SYMBOL: Final = "035720"
_DEADLINE: Final = 60.0


@frozen
class Resolution:
    """What one unknown order cost.

    Attributes:
        case: "accepted": on the book, its answer lost. "absent": lost on its way, and proven so with a witness; the
            other orders have traded, or, in the case of that name, are all still open.
        orders_on_book: When the order was sent.
        requests: Queries from the send to the answer, of several orders.
        seconds: From the call to the answer.
    """

    case: str
    orders_on_book: int
    requests: Spread
    seconds: Spread


async def measure_resolution(folder: Path, *, sizes: tuple[int, ...], repeats: int) -> list[Resolution]:
    """Lose orders on books of different sizes."""
    found = []
    for number, case in enumerate(CASES):
        for size in sizes:
            counted = [await _lose_one(folder / f"{number}-{size}-{turn}.db", case, size) for turn in range(repeats)]
            requests, seconds = zip(*counted, strict=True)
            found.append(Resolution(case, size, Spread.of(map(float, requests)), Spread.of(seconds)))
    return found


def growing(resolutions: list[Resolution]) -> list[str]:
    """Name the cases in which a fuller book cost more requests."""
    cases: dict[str, list[Resolution]] = {}
    for resolution in resolutions:
        cases.setdefault(resolution.case, []).append(resolution)
    return [
        case
        for case, found in cases.items()
        if max(found, key=lambda one: one.orders_on_book).requests.median
        > min(found, key=lambda one: one.orders_on_book).requests.median
    ]


async def _lose_one(journal: Path, case: str, size: int) -> tuple[int, float]:
    async with (
        Simulator(seed=size) as broker,
        KiwoomClient(credentials(), environment=broker.environment, journal=journal, timing=TIMING) as client,
    ):
        await _fill_book(broker, client, size, is_open=case == CASES[2])
        asked, began = _queries(broker), time.monotonic()
        if case == "accepted":
            broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
            order = await client.stock.buy(SYMBOL, QUANTITY, price=PRICE, deadline=_DEADLINE)
            if order.resolved_by != "ledger" or order.broker_order_id != broker.orders[-1].broker_order_id:
                raise RuntimeError(f"the lost order was resolved by {order.resolved_by}")
        else:
            await _prove_absence(broker, client)
        return _queries(broker) - asked, time.monotonic() - began


async def _fill_book(broker: Simulator, client: KiwoomClient, size: int, *, is_open: bool) -> None:
    # Ours stand among the others, the last of them at the end: a bot that trades knows a recent order number.
    for number in range(_OWN):
        for _ in range((size - _OWN) // _OWN):
            broker.place_foreign(symbol=_FOREIGN_SYMBOL, side="buy", quantity=1, price=100_000 if is_open else None)
        await client.stock.buy(SYMBOL, 1, price=PRICE + 100 * number)
    if len(broker.all_orders) != size:
        raise RuntimeError(f"{len(broker.all_orders)} orders on the book, not {size}")


async def _prove_absence(broker: Simulator, client: KiwoomClient) -> None:
    broker.set_faults([Fault(FaultKind.DROP_BEFORE_ACCEPTANCE)])
    lost = asyncio.ensure_future(client.stock.buy(SYMBOL, QUANTITY, price=PRICE, deadline=_DEADLINE))
    # The witness: an order of ours, sent once the broker cannot accept the lost one any more.
    await asyncio.sleep(TIMING.acceptance_bound + TIMING.visibility_bound / 4)
    await client.stock.buy(_WITNESS_SYMBOL, 1, price=40_000)
    try:
        await lost
    except OrderNotAccepted as absent:
        if absent.proof is None or absent.proof.witness is None:
            raise RuntimeError("the absence was proven without a witness") from absent
    else:
        raise RuntimeError("an order that was lost on its way counts as accepted")


def _queries(broker: Simulator) -> int:
    return sum(not request.api_id.startswith(("kt1000", "kt5000", "au")) for request in broker.requests)
