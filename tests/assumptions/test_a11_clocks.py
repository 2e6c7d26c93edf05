"""A11 broken on purpose: clocks that are minutes apart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from kiwoom_async import HealthState, ResolvedBy
from kiwoom_async.simulator import Fault, FaultKind
from tests.assumptions.breaking import KEY, WIDE, LyingTransport, Rows, alarmed, assert_one_order, assert_only, buy
from tests.scenarios.listening import listener_of
from tests.scenarios.trading import Hands, broker_of, client_of, eventually, left_open, on_book


@pytest.mark.parametrize("minutes", [-3, 3])
@pytest.mark.parametrize("is_lost", [False, True], ids=["answered", "lost"])
async def test_clock_off_by_minutes_is_an_alarm(tmp_path: Path, minutes: int, *, is_lost: bool) -> None:
    """The answers prove it; a lost order is found all the same, once."""
    faults = [Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")] if is_lost else []
    wrong = Hands()
    wrong.offset += timedelta(minutes=minutes)
    async with broker_of(*faults) as broker, client_of(broker, tmp_path, timing=WIDE, ambient=wrong) as client:
        order = await buy(client)
        assert order.broker_order_id == on_book(broker, KEY)[0].broker_order_id
        assert order.resolved_by is (ResolvedBy.LEDGER if is_lost else ResolvedBy.RESPONSE)
        assert "clock" in (await alarmed(client, "A11")).text
        assert_only(await client.health(), "A11")
        assert_one_order(broker)


async def test_stamps_of_orders_are_watched_as_well(tmp_path: Path) -> None:
    """The hosts that answer and the one that stamps orders may have clocks of their own."""

    def shift(rows: Rows) -> Rows:
        return [row | {"ord_tm": "09:57:00"} for row in rows]

    async with broker_of(listen=False) as broker:
        lying = LyingTransport(broker, rows={"kt00007": shift})
        async with client_of(broker, tmp_path, timing=WIDE, transport=lying) as client:
            await buy(client)
            await client.reconcile()
            await alarmed(client, "A11")
            assert_only(await client.health(), "A11")


async def test_reports_of_the_future_are_an_alarm(tmp_path: Path) -> None:
    """A report tells a time that has not come by far: it counts for nothing, and the ledger is asked."""
    slow = Hands()
    slow.offset -= timedelta(minutes=6)
    async with broker_of() as broker, listener_of(broker, tmp_path, ambient=slow) as (client, record):
        await buy(client)
        await alarmed(client, "A11")
        await eventually(lambda: bool(record.events))
        # The form of the report is well; it is the clock.
        assert (await client.health())["A10"].state is HealthState.OK
        assert_one_order(broker)


@pytest.mark.parametrize(("minutes", "state"), [(5, HealthState.WARNING), (-5, HealthState.ALARM)])
async def test_clock_that_jumps_beside_an_unresolved_order(tmp_path: Path, minutes: int, state: HealthState) -> None:
    """A jump forward may be a paused machine, and is a warning; one back is an alarm. Both stay in the journal."""
    hands = Hands()
    async with broker_of(Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000"), ambient=hands) as broker:
        async with client_of(broker, tmp_path, timing=WIDE, ambient=hands) as client:
            await left_open(lambda: buy(client, deadline=0.5))
            hands.offset += timedelta(minutes=minutes)
            report = await client.reconcile()
            assert any("the clock was set" in alarm for alarm in report.alarms) is (state is HealthState.ALARM)
            told = (await client.health())["A11"]
            assert told.state is state
            assert ("paused" in told.text) is (state is HealthState.WARNING)
        async with client_of(broker, tmp_path, timing=WIDE, ambient=hands) as client:
            assert (await client.health())["A11"].state is state
