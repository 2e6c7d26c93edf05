"""Every journal failure, over the whole client: the N-th write or read fails, for every N, and no order goes wrong."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from kiwoom_async import JournalError, KiwoomClient, NotSent
from kiwoom_async._audit import Verdict
from kiwoom_async._execution import reconciler as reconciler_module
from kiwoom_async.simulator import Simulator
from tests.scenarios.short_day import DAY, FAULTS, LASTS, STEPS, Access, Failure, ShortDay
from tests.scenarios.trading import broker_of, client_of, orders_received

STEP: Final = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 30
"""Every N-th N is tried, each kind of failure with its own. Source: our choice, what the suite has time for; with
HYPOTHESIS_PROFILE=deep every one is."""

AT_ONCE: Final = 3
"""Days that run at the same time: they wait most of the time."""

NEVER: Final = 1_000_000


@pytest.fixture(autouse=True)
def _no_long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A permission that was reported as failed and is on the disk all the same shows after a minute; here, at once."""
    monkeypatch.setattr(reconciler_module, "OWN_GRACE", 0.3)


async def open_patiently(broker: Simulator, folder: Path, failure: Failure, patch: pytest.MonkeyPatch) -> KiwoomClient:
    """Open a client on a failing journal, again where it fails at that moment."""
    for _ in range(2 * LASTS):
        client = client_of(broker, folder, feed=True, timing=DAY)
        failure.set_up(client._journal, patch)
        try:
            return await client.__aenter__()
        except (JournalError, NotSent):
            continue  # no journal, or no token in time
    pytest.fail("the client does not open")


async def run_day(folder: Path, failure: Failure, patch: pytest.MonkeyPatch) -> ShortDay:
    """Live through a day with a failure, start again, and judge."""
    async with broker_of(*FAULTS) as broker:
        client = await open_patiently(broker, folder, failure, patch)
        day = ShortDay(broker, folder, client)
        try:
            day.watch_wire(patch)
            await day.trade()
            await day.goes_on()
            await day.close_books()
        finally:
            async with asyncio.timeout(60):
                await client.__aexit__(None, None, None)
        day.client = await open_patiently(broker, folder, Failure(Access.WRITE, NEVER), patch)
        async with AsyncExitStack() as stack:
            stack.push_async_exit(day.client)
            await asyncio.gather(*map(day.insist, day.asks.keys() & STEPS.keys()))
            assert await day.client.orders.unresolved() == ()
            await day.judge()
    return day


def faults_of_the_library(caplog: pytest.LogCaptureFixture) -> list[str]:
    """List what was logged that no failure of a disk excuses."""
    return [record.getMessage() for record in caplog.records if record.exc_info]


async def test_a_day_without_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The day that is meant to fail reaches everything: resend, refused token, waiting twin, owed cancel."""
    failure = Failure(Access.WRITE, NEVER)
    day = await run_day(tmp_path, failure, monkeypatch)
    last = {answer.client_order_id: answer.verdict for answer in day.answers}
    assert {key: last[key] for key in STEPS} == dict.fromkeys(STEPS, Verdict.ACCEPTED) | {"refused": Verdict.REFUSED}
    sends = {key: len(orders_received(day.broker, key)) for key in STEPS}
    assert sends == dict.fromkeys(STEPS, 1) | {"lost": 2, "renewed": 2}
    assert day.sent == len(orders_received(day.broker))
    assert failure.calls > 50
    assert not faults_of_the_library(caplog)


@pytest.mark.timeout(0 if STEP == 1 else 300)
@pytest.mark.parametrize(
    ("offset", "kind"),
    [
        (17, {"access": Access.WRITE}),
        (2, {"access": Access.WRITE, "is_torn": True}),
        (7, {"access": Access.WRITE, "times": LASTS}),
        (12, {"access": Access.READ}),
        (22, {"access": Access.READ, "times": LASTS}),
    ],
    ids=["write", "torn_write", "lasting_write", "read", "lasting_read"],
)
async def test_every_journal_failure(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, offset: int, kind: dict[str, Any]
) -> None:
    """Whichever call of the journal fails: each id has at most one order, and all are told the truth in the end."""
    numbers = iter(range(1 if STEP == 1 else offset, NEVER, STEP))
    reached = []

    async def go_through() -> None:
        for number in numbers:
            failure = Failure(**kind, number=number)
            with pytest.MonkeyPatch.context() as patch:
                try:
                    await run_day(tmp_path_factory.mktemp("day"), failure, patch)
                except BaseException as error:
                    error.add_note(str(failure))
                    raise
            if not failure.struck:
                return
            reached.append(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(go_through())
    assert max(reached) > 50
    assert not faults_of_the_library(caplog)
