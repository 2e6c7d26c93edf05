"""`client.orders.cancel_all`: everything of ours at once, each order as safely as by itself, and a report of all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import (
    CancelOutcome,
    CancelReport,
    Desk,
    KiwoomClient,
    NotSent,
    Order,
    OrderRefused,
    OrderStatus,
    OutcomeUnknown,
    QueryFailed,
    Side,
    ValidationError,
)
from kiwoom_async._execution import sweeper
from kiwoom_async._transport.limiter import SlotDenied
from kiwoom_async.simulator import BookOrder, Fault, FaultKind, Simulator
from tests.scenarios.trading import (
    CREDENTIALS,
    QUICK,
    SYMBOL,
    broker_of,
    client_of,
    eventually,
    opened,
    orders_received,
    resolved,
)

CANCELS = ("kt10003", "kt10009", "kt50003")
CANCELED, FINISHED, UNKNOWN, FAILED = (
    CancelOutcome.CANCELED,
    CancelOutcome.FINISHED,
    CancelOutcome.UNKNOWN,
    CancelOutcome.FAILED,
)


async def buy(client: KiwoomClient, key: str, **changes: Any) -> Order:
    """Buy ten at 70,000."""
    arguments: dict[str, Any] = {"symbol": SYMBOL, "quantity": 10, "price": 70_000, "client_order_id": key}
    return await client.stock.buy(**(arguments | changes))


def working(broker: Simulator) -> list[BookOrder]:
    """List what is left in the book, whoever placed it."""
    return [row for row in broker.all_orders if row.leaves_quantity]


def cancels(broker: Simulator) -> int:
    """Count the cancels that arrived."""
    return sum(request.api_id in CANCELS for request in orders_received(broker))


def outcomes(report: CancelReport) -> dict[str | None, CancelOutcome]:
    """Give the outcome of each order of ours."""
    return {result.client_order_id: result.outcome for result in report.results}


async def test_everything_of_ours_is_canceled(tmp_path: Path) -> None:
    """Stock, credit and gold, working and partially filled, of another client of the journal, too; also while held."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path) as earlier:
            await buy(earlier, "earlier")
        async with client_of(broker, tmp_path) as client:
            part = await buy(client, "part")
            assert part.broker_order_id is not None
            broker.fill(part.broker_order_id, 4)
            await client.credit.buy(SYMBOL, 10, price=70_000, client_order_id="credit")
            await client.gold.buy("M04020000", 1, price=180_000, client_order_id="gold")
            await client.kill_switch.engage(reason="enough")
            report = await client.orders.cancel_all()
            assert outcomes(report) == dict.fromkeys(("earlier", "part", "credit", "gold"), CANCELED)
            assert report.is_clean
            assert len(report.of("canceled")) == 4
            assert all(result.order is not None and result.cancel_id is not None for result in report.results)
            assert working(broker) == []
            assert {request.api_id for request in orders_received(broker)} >= set(CANCELS)


async def test_nothing_to_cancel(tmp_path: Path) -> None:
    """An empty report is clean, and nothing was sent."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        report = await client.orders.cancel_all()
        assert report == CancelReport()
        assert report.is_clean
        assert orders_received(broker) == []


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"symbol": "A000660"}, {"other"}),
        ({"side": "sell"}, {"sell"}),
        ({"side": Side.BUY, "symbol": SYMBOL}, {"buy", "credit"}),
        ({"desk": "credit"}, {"credit"}),
        ({"desk": Desk.STOCK}, {"buy", "sell", "other"}),
        ({"desk": "gold"}, {"gold"}),
        ({"symbol": "M04020000"}, {"gold"}),
    ],
)
async def test_scope(tmp_path: Path, scope: dict[str, Any], expected: set[str]) -> None:
    """Symbol, side and desk narrow it down, together if several are given."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await buy(client, "buy")
        await buy(client, "other", symbol="000660")
        await client.stock.sell(SYMBOL, 10, price=71_000, client_order_id="sell")
        await client.credit.buy(SYMBOL, 10, price=70_000, client_order_id="credit")
        await client.gold.buy("M04020000", 1, price=180_000, client_order_id="gold")
        report = await client.orders.cancel_all(**scope)
        assert outcomes(report) == dict.fromkeys(expected, CANCELED)
        assert len(working(broker)) == 5 - len(expected)


@pytest.mark.parametrize("scope", [{"symbol": "Samsung"}, {"side": "short"}, {"desk": "bonds"}, {"deadline": -1}])
async def test_wrong_arguments(tmp_path: Path, scope: dict[str, Any]) -> None:
    """Found before anything is sent."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await buy(client, "one")
        with pytest.raises(ValidationError):
            await client.orders.cancel_all(**scope)
        assert cancels(broker) == 0


async def test_order_of_unknown_outcome_is_canceled_when_it_is_found(tmp_path: Path) -> None:
    """By a durable obligation: the report says unknown if the order is not found in time, and the cancel follows."""
    blind = Fault(FaultKind.QUERY_ERROR, api_ids="kt00007", times=100_000)
    hidden = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await opened(broker)
        broker.set_faults([hidden, blind])
        with pytest.raises(OutcomeUnknown):
            await buy(client, "lost", deadline=0.5)
        report = await client.orders.cancel_all(deadline=0.1)
        assert outcomes(report) == {"lost": UNKNOWN}
        assert not report.is_clean
        assert isinstance(report.results[0].error, OutcomeUnknown)
        broker.set_faults(None)
        report = await client.orders.cancel_all()
        assert outcomes(report) in ({"lost": CANCELED}, {})
        await resolved(client)
        assert working(broker) == []
        assert cancels(broker) == 1


async def test_order_that_was_never_there_is_finished(tmp_path: Path) -> None:
    """Its cancel has nothing to do: no error."""
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
    async with broker_of(lost) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        call = asyncio.create_task(buy(client, "lost"))
        await eventually(lambda: bool(orders_received(broker)))
        report = await client.orders.cancel_all()
        await asyncio.gather(call, return_exceptions=True)
        assert outcomes(report) in ({"lost": FINISHED}, {})
        assert cancels(broker) == 0


async def test_filled_meanwhile_is_finished(tmp_path: Path) -> None:
    """The journal has not heard of the fill yet; the broker has nothing left to cancel."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=evolve(QUICK, poll_interval=600)) as client:
        order = await buy(client, "one")
        await buy(client, "two", quantity=11)
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id)
        report = await client.orders.cancel_all()
        assert outcomes(report) == {"one": FINISHED, "two": CANCELED}
        assert report.is_clean


async def test_order_that_was_modified_is_canceled_once(tmp_path: Path) -> None:
    """By the number it lives on under; the numbers before it are reported as finished."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=evolve(QUICK, poll_interval=600)) as client:
        order = await buy(client, "one")
        second = await client.stock.modify(order, price=70_500, client_order_id="second")
        await client.stock.modify(second, price=70_600, client_order_id="third")
        report = await client.orders.cancel_all()
        assert outcomes(report) == {"one": FINISHED, "second": FINISHED, "third": CANCELED}
        assert (working(broker), cancels(broker)) == ([], 1)


async def test_part_that_was_modified_leaves_two_orders(tmp_path: Path) -> None:
    """A modify of a part takes only that part; both numbers are canceled."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        order = await buy(client, "one")
        await client.stock.modify(order, price=70_500, quantity=4, client_order_id="part")
        report = await client.orders.cancel_all(side="buy")
        assert outcomes(report) == {"one": CANCELED, "part": CANCELED}
        assert working(broker) == []


async def test_side_that_nobody_knows(tmp_path: Path) -> None:
    """A modify by number of somebody else's order: one side alone leaves it, and says so; both sides cancel it."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        theirs = broker.place_foreign(symbol=SYMBOL, side="buy", quantity=5, price=70_000)
        await client.stock.modify(theirs.broker_order_id, symbol=SYMBOL, price=70_500, client_order_id="change")
        report = await client.orders.cancel_all(side="buy")
        assert outcomes(report) == {"change": FAILED}
        assert isinstance(report.results[0].error, ValidationError)
        assert cancels(broker) == 0
        assert outcomes(await client.orders.cancel_all()) == {"change": CANCELED}
        assert working(broker) == []


async def test_two_calls_at_once_send_one_cancel(tmp_path: Path) -> None:
    """From two clients of one journal, too; a later call sends another one, for what is still there."""
    refused = Fault(FaultKind.ORDER_REFUSED, api_ids="kt10003", code="RC9999")
    async with broker_of() as broker, client_of(broker, tmp_path) as client, client_of(broker, tmp_path) as other:
        await buy(client, "one")
        broker.set_faults([refused])
        first, second, third = await asyncio.gather(
            client.orders.cancel_all(), client.orders.cancel_all(), other.orders.cancel_all()
        )
        assert len({report.results[0].cancel_id for report in (first, second)}) == 1
        assert cancels(broker) <= 2  # the other process may come after the refusal, and then asks anew
        again = await client.orders.cancel_all()
        assert again.is_clean
        assert third.results[0].outcome in {FAILED, CANCELED}
        assert working(broker) == []


async def test_refusal_of_one_keeps_none_from_being_canceled(tmp_path: Path) -> None:
    """The error is in the report; the next call tries again, under another id."""
    refused = Fault(FaultKind.ORDER_REFUSED, api_ids="kt10003", code="RC4025")
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        for number in range(5):
            await buy(client, f"order-{number}", quantity=10 + number)
        broker.set_faults([refused])
        report = await client.orders.cancel_all()
        (failed,) = report.of(FAILED)
        assert isinstance(failed.error, OrderRefused)
        assert not report.is_clean
        assert len(report.of(CANCELED)) == 4
        again = await client.orders.cancel_all(symbol=SYMBOL)
        (result,) = [one for one in again.results if one.client_order_id == failed.client_order_id]
        assert result.outcome is CANCELED
        assert result.cancel_id != failed.cancel_id
        assert working(broker) == []


async def test_rate_limit_makes_cancels_wait_and_fails_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that has room for a few cancels only: the others are tried again when there is room."""
    monkeypatch.setattr(sweeper, "PAUSE_AFTER_DENIAL", 0.001)
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        for number in range(5):
            await buy(client, f"order-{number}", quantity=10 + number)
        place, denied = client.orders._sweeper._place, list(range(20))

        async def crowded(*arguments: Any) -> Order:
            if denied:
                denied.pop()
                raise NotSent("no room") from SlotDenied("kt10003")
            return await place(*arguments)

        client.orders._sweeper._place = crowded
        report = await client.orders.cancel_all(deadline=5)
        assert outcomes(report) == {f"order-{number}": CANCELED for number in range(5)}
        assert (working(broker), cancels(broker)) == ([], 5)


async def test_rate_limit_that_never_has_room_ends_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time for all of them; the error is in the report."""
    monkeypatch.setattr(sweeper, "SLOWEST_RATE", 100.0)
    monkeypatch.setattr(sweeper, "PAUSE_AFTER_DENIAL", 0.001)
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await buy(client, "one")

        async def crowded(*_: Any) -> Order:
            raise NotSent("no room") from SlotDenied("kt10003")

        client.orders._sweeper._place = crowded
        (result,) = (await client.orders.cancel_all(deadline=0.01)).results
        assert (result.outcome, type(result.error)) == (FAILED, NotSent)
        assert cancels(broker) == 0


async def test_call_that_is_cancelled_loses_nothing(tmp_path: Path) -> None:
    """Whatever had left is seen to its end; the next call does the rest."""
    hanging = Fault(FaultKind.HANG, api_ids="kt10003", accepted=False)
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        for number in range(3):
            await buy(client, f"order-{number}", quantity=10 + number)
        broker.set_faults([hanging])
        sweep = asyncio.create_task(client.orders.cancel_all())
        await eventually(lambda: cancels(broker) > 0)
        sweep.cancel()
        await asyncio.wait([sweep])
        assert sweep.cancelled()
        await client.orders.cancel_all()
        await resolved(client)
        assert working(broker) == []


async def test_longest_id_has_room(tmp_path: Path) -> None:
    """An order may have an id of 128 characters; the id of its cancel is as long at the most."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await buy(client, "x" * 128)
        (result,) = (await client.orders.cancel_all()).results
        assert result.outcome is CANCELED
        assert result.cancel_id is not None
        assert len(result.cancel_id) <= 128


async def test_another_account_of_the_journal_is_left_alone(tmp_path: Path) -> None:
    """One file, two accounts: each cancels its own."""
    other_key = evolve(CREDENTIALS, app_key="other")
    async with broker_of() as broker, client_of(broker, tmp_path, credentials=other_key) as other:
        await buy(other, "other")
        async with client_of(broker, tmp_path) as client:
            assert (await client.orders.cancel_all()).results == ()
        assert len(working(broker)) == 1


# ---------------------------------------------------------------- orders of others


async def test_orders_of_others_are_left_alone(tmp_path: Path) -> None:
    """Unless they are asked for; then each is canceled by its number, its route and its desk."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await opened(broker)
        await buy(client, "ours")
        broker.place_foreign(symbol=SYMBOL, side="buy", quantity=5, price=70_000, route="NXT")
        broker.place_foreign(symbol=SYMBOL, side="sell", quantity=6, price=71_000)
        broker.place_foreign(symbol=SYMBOL, side="buy", quantity=7, price=70_000, desk="credit")
        assert outcomes(await client.orders.cancel_all()) == {"ours": CANCELED}
        assert len(working(broker)) == 3
        report = await client.orders.cancel_all(include_foreign=True, side="buy")
        assert sorted((result.desk, result.outcome) for result in report.results if result.client_order_id is None) == [
            (Desk.CREDIT, CANCELED),
            (Desk.STOCK, CANCELED),
        ]
        assert [row.quantity for row in working(broker)] == [6]
        assert (await client.orders.cancel_all(include_foreign=True)).is_clean
        assert working(broker) == []


async def test_view_that_fails_keeps_none_of_ours_from_being_canceled(tmp_path: Path) -> None:
    """The failure is in the report: orders of others may be missing there."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await opened(broker)
        await buy(client, "ours")
        broker.set_faults([Fault(FaultKind.QUERY_ERROR, api_ids="ka10075", times=100)])
        report = await client.orders.cancel_all(include_foreign=True)
        assert outcomes(report) == {"ours": CANCELED}
        assert len(report.failures) == 1
        assert isinstance(report.failures[0], QueryFailed)
        assert not report.is_clean


async def test_order_of_others_that_slips_between_two_pages_is_canceled(tmp_path: Path) -> None:
    """The list is read again until it rests; after our own cancels, if they are what moves it."""
    async with broker_of(page_size=2) as broker, client_of(broker, tmp_path) as client:
        await opened(broker)
        await buy(client, "ours")
        for number in range(5):
            broker.place_foreign(symbol=SYMBOL, side="buy", quantity=5 + number, price=70_000)
        broker.set_faults([Fault(FaultKind.PAGE_SHIFTS, api_ids="ka10075")])
        report = await client.orders.cancel_all(include_foreign=True)
        assert report.is_clean
        assert working(broker) == []


async def test_gold_of_others_by_its_desk(tmp_path: Path) -> None:
    """kt50075 is asked where gold is named."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        broker.place_foreign(symbol="M04020000", side="buy", quantity=1, price=180_000, desk="gold")
        assert (await client.orders.cancel_all(include_foreign=True)).results == ()
        (result,) = (await client.orders.cancel_all(include_foreign=True, desk="gold")).results
        assert (result.outcome, result.desk) == (CANCELED, Desk.GOLD)
        assert working(broker) == []


async def test_cancel_that_the_exchange_refused_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was accepted and then refused, so the order is in the book as before."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await buy(client, "one")
        place = client.orders._sweeper._place

        async def refuse(*arguments: Any) -> Order:
            return evolve(await place(*arguments), status=OrderStatus.REFUSED)

        monkeypatch.setattr(client.orders._sweeper, "_place", refuse)
        report = await client.orders.cancel_all()
        assert outcomes(report) == {"one": FAILED}
        assert not report.is_clean
