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

_FOREIGN_SYMBOL: Final = "000660"
_WITNESS_SYMBOL: Final = "035720"
_NEWEST_SYMBOL: Final = "035420"
_DEADLINE: Final = 60.0


@frozen
class Case:
    """One way to lose an order.

    Attributes:
        is_accepted: On the book, its answer lost. Otherwise lost on its way, and proven so with a witness.
        is_open: Everybody else's orders are still open. Otherwise they have traded.
        own: How many of the orders on the book are ours, the last one the newest on the book.
    """

    name: str
    is_accepted: bool
    is_open: bool = False
    own: int = 5


CASES: Final = (
    Case("accepted", is_accepted=True),
    Case("absent", is_accepted=False),
    Case("absent, book open", is_accepted=False, is_open=True),
    # The journal knows what the client learns at its start, after others have traded on the account.
    Case("accepted, new journal", is_accepted=True, own=0),
)


@frozen
class Resolution:
    """What one unknown order cost.

    Attributes:
        case: Name of the case.
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
            found.append(Resolution(case.name, size, Spread.of(map(float, requests)), Spread.of(seconds)))
    return found


def growing(resolutions: list[Resolution]) -> list[str]:
    """Name the cases in which a fuller book cost more requests: there must be none."""
    cases: dict[str, list[Resolution]] = {}
    for resolution in resolutions:
        cases.setdefault(resolution.case, []).append(resolution)
    return [
        case
        for case, found in cases.items()
        if max(found, key=lambda one: one.orders_on_book).requests.median
        > min(found, key=lambda one: one.orders_on_book).requests.median
    ]


async def _lose_one(journal: Path, case: Case, size: int) -> tuple[int, float]:
    async with Simulator(seed=size) as broker:
        for _ in range(size if case.own == 0 else 0):
            broker.place_foreign(symbol=_FOREIGN_SYMBOL, side="buy", quantity=1)
        # Without the feed: what is measured is how the ledger is asked.
        client = KiwoomClient(credentials(), environment=broker.environment, journal=journal, timing=TIMING, feed=False)
        async with client:
            return await _lose_at(broker, client, case, size)


async def _lose_at(broker: Simulator, client: KiwoomClient, case: Case, size: int) -> tuple[int, float]:
    await _wait_for_mark(broker)
    if case.own:
        await _fill_book(broker, client, size, case)
    asked, began = _queries(broker), time.monotonic()
    if case.is_accepted:
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE)])
        order = await client.stock.buy(SYMBOL, QUANTITY, price=PRICE, deadline=_DEADLINE)
        if order.resolved_by != "ledger" or order.broker_order_id != broker.orders[-1].broker_order_id:
            raise RuntimeError(f"the lost order was resolved by {order.resolved_by}")
    else:
        await _prove_absence(broker, client)
    return _queries(broker) - asked, time.monotonic() - began


async def _wait_for_mark(broker: Simulator) -> None:
    """Wait until the client has learnt the day's highest order number, which it asks for at its start."""
    while not _queries(broker):  # noqa: ASYNC110 - another process's news come by looking
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


async def _fill_book(broker: Simulator, client: KiwoomClient, size: int, case: Case) -> None:
    price = 100_000 if case.is_open else None
    for number in range(size - case.own):
        broker.place_foreign(symbol=_FOREIGN_SYMBOL, side="buy", quantity=1, price=price)
        if number % ((size - case.own) // case.own) == 0 and len(broker.orders) < case.own - 1:
            await client.stock.buy(SYMBOL, 1, price=PRICE + 100 * (len(broker.orders) + 1))
    # A bot that trades knows a recent order number.
    await client.stock.buy(_NEWEST_SYMBOL, 1, price=50_000)
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
