"""What a look at the ledger writes down and tells: candidates, reasons, alarms, and cancels that are sent again."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import Delivery, Desk, KiwoomClient, Order, OrderNotAccepted, ResolvedBy, Side
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.matching import Matching
from kiwoom_async._domain.states import Event
from kiwoom_async._execution import resolver as resolver_module
from kiwoom_async._execution.findings import PassFindings
from kiwoom_async._journal.records import Finding
from kiwoom_async.simulator import Channel, Fault, FaultKind, Simulator
from tests.assumptions.breaking import LyingTransport, without
from tests.scenarios.listening import listener_of
from tests.scenarios.trading import (
    QUICK,
    SYMBOL,
    broker_of,
    client_of,
    eventually,
    landed,
    left_open,
    on_book,
    opened,
    orders_received,
    resolved,
)

KEY = "one"
LOST = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
ACCEPTED = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
LOST_CANCEL = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10003", times=100)
BLIND = Fault(FaultKind.QUERY_ERROR, times=100_000)
STALE = Fault(FaultKind.STALE_LEDGER, seconds=3600, times=100_000)
SLOW = evolve(QUICK, reconcile_interval=30)
"""No look but those that a test takes."""


async def buy(client: KiwoomClient, key: str = KEY, **changes: Any) -> Order:
    """Place the order of these tests."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


def place_theirs(broker: Simulator) -> str:
    """Let another program place an order with the same fields; give its number."""
    theirs = broker.place_foreign(symbol=SYMBOL, side=Side.BUY, quantity=10, price=70_000, channel=Channel.REST_API)
    return theirs.broker_order_id


async def events_of(client: KiwoomClient, key: str = KEY) -> list[tuple[str, str]]:
    """List what was written about an order, and why."""
    return [(entry.event, entry.evidence.get("reason", "")) for entry in await client.orders.history(key)]


async def last_attempt(client: KiwoomClient, key: str) -> Attempt:
    """Read the last send of an id."""
    record = await client._journal.find(key)
    assert record is not None
    return record.last


# ---------------------------------------------------------------------- candidates


async def lose_twins(broker: Simulator, client: KiwoomClient) -> tuple[str, str, str]:
    """Place two identical orders; give the id and the number of the one that was accepted, and the id of the other."""
    await opened(broker)
    broker.set_faults([ACCEPTED, LOST, BLIND])
    await asyncio.gather(*(left_open(partial(buy, client, key, deadline=0.3)) for key in ("a", "b")))
    accepted, lost = ("a", "b") if on_book(broker, "a") else ("b", "a")
    return accepted, on_book(broker, accepted)[0].broker_order_id, lost


async def test_candidates_are_written_down_when_they_change_and_only_then(tmp_path: Path) -> None:
    """A look that shows the same says nothing new, and one candidate more does."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK, account_exclusive=False) as client:
        _, number, lost = await lose_twins(broker, client)
        broker.set_faults(None)
        for _ in range(3):
            await client.reconcile()
        theirs = place_theirs(broker)
        for _ in range(2):
            await client.reconcile()
        report = await client.reconcile()
        assert [why for event, why in await events_of(client, lost) if event == "candidates_sighted"] == [
            f"it may be any of the orders {number}",
            f"it may be any of the orders {number}, {theirs}",
        ]
        assert [entry.candidates for entry in report.unresolved] == [(number, theirs)] * 2


async def test_candidate_that_is_anothers_is_gone_and_proves_nothing_by_that(tmp_path: Path) -> None:
    """A person has named whose the only candidate is: the other order is unknown again, until it is proven absent."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK, account_exclusive=False) as client:
        accepted, number, lost = await lose_twins(broker, client)
        broker.set_faults(None)
        await client.reconcile()
        await client.orders.resolve(accepted, accepted_as=number, reason="seen on the screen")
        with pytest.raises(OrderNotAccepted) as caught:
            await buy(client, lost)
        assert caught.value.proof.attempt_key == f"{lost}#1"
        assert [event for event, _ in await events_of(client, lost) if event != "noted"] == [
            *("dispatched", "lost", "candidates_sighted", "candidates_gone", "proven_absent")
        ]


async def test_candidate_that_is_bound_was_never_gone(tmp_path: Path) -> None:
    """What was a candidate and is found to be ours is claimed, and nothing else is written about it."""
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=QUICK) as (client, _):
        broker.set_faults([ACCEPTED, BLIND])
        await left_open(lambda: buy(client, deadline=0.2))
        attempt = await last_attempt(client, KEY)
        await client._journal.conclude(attempt, Finding(Event.CANDIDATES_SIGHTED, reason="as if"))
        broker.set_faults(None)
        await resolved(client)
        events = [event for event, _ in await events_of(client)]
        assert "acknowledged" in events
        assert "candidates_gone" not in events


# ---------------------------------------------------------------------- what voids a look


async def test_look_behind_the_feed_says_so_of_every_open_order(tmp_path: Path) -> None:
    """Whoever asks why an order is open reads that the ledger does not list what the feed has reported."""
    async with broker_of() as broker, listener_of(broker, tmp_path, timing=QUICK) as (client, _):
        broker.set_faults([LOST, STALE])
        await left_open(lambda: buy(client, deadline=0.2, resend_within=60))  # a weak proof settles nothing
        theirs = broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=3, price=71_000).broker_order_id
        why = ""
        async with asyncio.timeout(30):
            while "the feed has reported" not in why:
                why = " ".join(entry.why for entry in (await client.reconcile()).unresolved)
        assert f"the ledger does not list order {theirs}" in why


async def test_alarm_names_the_order_that_is_missing_for_longest(tmp_path: Path) -> None:
    """Of two open orders that the ledger leaves out, the one that has waited longer than the bound is the alarm."""
    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker)
        async with client_of(broker, tmp_path, timing=QUICK, transport=lying) as client:
            await opened(broker)
            broker.set_faults([LOST, BLIND])
            await left_open(lambda: buy(client, deadline=0.05))
            first, second, _ = (
                broker.place_foreign(symbol=SYMBOL, side=Side.SELL, quantity=quantity, price=71_000).broker_order_id
                for quantity in (3, 4, 5)
            )
            lying.rows["kt00007"] = without(first, second)
            lying.rows["ka10075"] = without(first)  # the second one is seen to be missing before the first
            broker.set_faults(None)
            named: list[str] = []
            async with asyncio.timeout(30):
                while len(named) < 6:
                    why = " ".join(entry.why for entry in (await client.reconcile()).unresolved)
                    named += re.findall(r"open order (\d+) is not in the ledger", why)
                    if len(named) == 3:
                        lying.rows.pop("ka10075", None)
            assert set(named) == {second}


async def test_what_the_matching_leaves_open_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two complete looks prove nothing about an order that may be hidden, or one of whose twins waits for a row."""
    async with broker_of(LOST, BLIND) as broker, client_of(broker, tmp_path, timing=SLOW) as client:
        await left_open(lambda: buy(client, deadline=0.5))
        await landed(client, KEY)
        broker.set_faults(None)
        resolver = client._reconciler._resolver
        async with client._reconciler._pass:
            view = await resolver._views.take(Desk.STOCK, [await last_attempt(client, KEY)], [])
            monkeypatch.setattr(resolver, "_prove", lambda *_: "proven")
            open_yet = Matching(bindings={}, absent=frozenset(), candidates={}, foreign=())
            await resolver._judge_absent(open_yet, view, PassFindings(), frozenset())
        assert (await last_attempt(client, KEY)).state is Delivery.UNKNOWN


# ---------------------------------------------------------------------- cancels


async def test_cancel_that_is_not_sent_again_is_judged_like_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent as often as it may be, and not on the book: it was not accepted, and does not stay open."""
    monkeypatch.setattr(resolver_module, "MOST_CANCELS", 1)
    async with broker_of(LOST_CANCEL) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        order = await buy(client)
        with pytest.raises(OrderNotAccepted):
            await client.stock.cancel(order, client_order_id="cancel")
        assert len(orders_received(broker, "cancel")) == 1


async def test_answered_cancel_is_not_sent_again(tmp_path: Path) -> None:
    """Whatever its second send is: the first one is on the book, and there is nothing to ask for any more."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=SLOW) as client:
        order = await buy(client)
        broker.set_faults([Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10003"), LOST_CANCEL, BLIND])
        await left_open(lambda: client.stock.cancel(order, client_order_id="cancel", deadline=0.5))
        await landed(client, "cancel")
        first = await last_attempt(client, "cancel")
        resolver = client._reconciler._resolver
        async with client._reconciler._pass:
            assert await resolver._repeat(first)
            await eventually(lambda: len(orders_received(broker, "cancel")) == 2)
            await eventually(lambda: not client._dispatcher._repeats)
            second = await last_attempt(client, "cancel")
            assert (second.number, second.state) == (2, Delivery.UNKNOWN)
            number = on_book(broker, "cancel")[0].broker_order_id
            found = Finding(Event.ACKNOWLEDGED, broker_order_id=number, resolved_by=ResolvedBy.LEDGER)
            await client._journal.conclude(first, found)
            assert not await resolver._repeat(second)
        assert len(orders_received(broker, "cancel")) == 2
