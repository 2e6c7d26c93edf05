"""The client's own tasks: whatever they meet, they go on, and nothing is concluded from what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import Delivery, FeedState, JournalError, KiwoomClient, OrderNotAccepted, OrderStatus, ValidationError
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution import feed_keeper, waiters
from kiwoom_async._execution.feed_keeper import FeedKeeper
from kiwoom_async._execution.follower import Follower
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.reconciler import Reconciler
from kiwoom_async._execution.waiters import Waiters
from kiwoom_async._wire.frames import RealEntry
from kiwoom_async.errors import JournalLocked
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.scenarios.listening import PATIENT, live
from tests.scenarios.short_day import BACKGROUND, Access, Failure
from tests.scenarios.trading import QUICK, SYMBOL, Hands, broker_of, client_of, eventually, left_open

MANY = 1_000_000
TOLD = "the feed has told of an order"


def break_at_first(patch: pytest.MonkeyPatch, owner: type, name: str, error: Exception, times: int = 2) -> list[str]:
    """Let a method fail a few times, then work; give the list of its failures."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)
    failures: list[str] = []

    async def call(*arguments: Any) -> Any:
        if len(failures) < times:
            failures.append(name)
            raise error
        return await original(*arguments)

    patch.setattr(owner, name, call)
    return failures


async def follow_a_fill(broker: Simulator, client: KiwoomClient) -> None:
    """Place an order that is filled at once, and wait until the client knows."""
    order = await client.stock.buy(SYMBOL, 2)
    async with asyncio.timeout(60):
        assert (await client.orders.wait_filled(order)).status is OrderStatus.FILLED


# ---------------------------------------------------------------------- the loops


@pytest.mark.parametrize("error", [JournalLocked("locked"), RuntimeError("a fault of ours")], ids=["journal", "fault"])
@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (Follower, "catch_up"),
        (FeedKeeper, "_take_lease"),
        (Reconciler, "_resolve_from_feed"),
        (Reconciler, "_work"),
        (Waiters, "_look"),
    ],
)
async def test_a_loop_goes_on_after_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    method: str,
    error: Exception,
) -> None:
    """What a loop met is logged, a fault of ours with its traceback; afterwards everything works."""
    for module, name in ((feed_keeper, "ASK_FOR_LEASE_EVERY"), (waiters, "POLL_INTERVAL"), (waiters, "IDLE_INTERVAL")):
        monkeypatch.setattr(module, name, 0.02)
    failures = break_at_first(monkeypatch, owner, method, error)
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        await eventually(lambda: len(failures) == 2)
        await live(client, within=60)
        await follow_a_fill(broker, client)
        assert {task.get_name() for task in client._tasks._tasks} >= BACKGROUND
    with_traceback = [record for record in caplog.records if record.exc_info]
    assert len(with_traceback) == (2 if isinstance(error, RuntimeError) else 0)


async def test_a_pass_waits_for_that_of_another_process(tmp_path: Path) -> None:
    """One process reconciles at a time; who asks meanwhile is answered when the other's lease has run out."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client, client_of(broker, tmp_path) as other:
        lease = client._reconciler._lease
        taken = None
        while taken is None:
            taken = await other._journal.take_lease(lease, 0.3)
        before = broker.ambient.monotonic() if broker.ambient else 0.0
        assert (await client.reconcile()).unresolved == ()
        assert isinstance(broker.ambient, Hands)
        assert broker.ambient.monotonic() - before > 0.1


# ---------------------------------------------------------------------- the feed


async def test_reports_that_cannot_be_recorded_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client says that it is behind; once the journal works, what the feed told is known."""
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=PATIENT) as client:
        await live(client)
        order = await client.stock.buy(SYMBOL, 2, price=69_000)
        failure = Failure(Access.WRITE, 1, times=MANY, only="note_reports")
        failure.set_up(client._journal, monkeypatch)
        assert order.broker_order_id is not None
        broker.fill(order.broker_order_id)
        await eventually(lambda: "cannot be recorded" in client.feed.text and len(failure.struck) > 1)
        assert client.feed.state is FeedState.CONNECTING
        failure.stop()
        assert (await client.orders.wait_filled(order)).status is OrderStatus.FILLED
        await live(client)
        assert broker.feed_logins == 1


async def test_a_lease_that_cannot_be_renewed_is_kept_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session goes on over a short failure of the journal, and ends when its lease has run out."""
    monkeypatch.setattr(feed_keeper, "RENEW_EVERY", 0.02)
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        await live(client)
        short = Failure(Access.WRITE, 1, times=3, only="note_feed")
        short.set_up(client._journal, monkeypatch)
        await eventually(lambda: short.calls > 5)
        assert broker.feed_logins == 1
        assert client.feed.state is FeedState.LIVE
        monkeypatch.setattr(feed_keeper, "LEASE_SECONDS", 0.01)
        await eventually(lambda: short.calls > 8)  # the shorter lease is counted from a renewal on
        short.number, short.times = short.calls + 1, 2
        await eventually(lambda: broker.feed_logins > 1)
        monkeypatch.setattr(feed_keeper, "LEASE_SECONDS", 10.0)
        await live(client, within=60)


async def test_the_end_of_a_session_that_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its end a certificate ends where it was last renewed; the next session begins a new one."""
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        await live(client)
        failure = Failure(Access.WRITE, 1, only="end_feed")
        failure.set_up(client._journal, monkeypatch)
        before = await client._journal.feed_session()
        broker.cut_feed()
        await eventually(lambda: len(failure.struck) == 1)
        await live(client)
        after = await client._journal.feed_session()
        assert before is not None
        assert after is not None
        assert after.since > before.since


class Switch:
    """The lease of the feed, which a test gives to somebody else."""

    def __init__(self, client: KiwoomClient, patch: pytest.MonkeyPatch) -> None:
        self.is_ours = True
        original = client._keeper._take_lease

        async def take() -> int | None:
            return await original() if self.is_ours else None

        patch.setattr(client._keeper, "_take_lease", take)


@pytest.mark.parametrize("moment", ["while_it_follows", "while_it_rests", "as_it_is_replaced"])
async def test_a_feed_that_another_process_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whatever it is doing with the feed, a client leaves it to the other process, and comes back after it."""
    monkeypatch.setattr(feed_keeper, "ASK_FOR_LEASE_EVERY", 0.02)
    monkeypatch.setattr(feed_keeper, "RENEW_EVERY", 1000.0 if moment == "as_it_is_replaced" else 0.02)
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        lease = Switch(client, monkeypatch)
        await live(client)
        if moment == "while_it_rests":
            broker.take_over_session()
            await eventually(lambda: client.feed.state is FeedState.REPLACED)
        lease.is_ours = False
        if moment == "as_it_is_replaced":
            broker.take_over_session()
        await eventually(lambda: client.feed.state is FeedState.ELSEWHERE)
        lease.is_ours = True
        await live(client)
        await follow_a_fill(broker, client)
        assert broker.feed_logins == 2
        assert client._keeper._replacements == (moment == "while_it_rests")


async def test_a_replaced_session_rests_although_the_journal_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that fails makes no login come before its time: that would end the other program's session."""
    monkeypatch.setattr(feed_keeper, "REPLACED_PAUSES", (1000.0, 1000.0))
    monkeypatch.setattr(feed_keeper, "RENEW_EVERY", 0.02)
    monkeypatch.setattr(feed_keeper, "ASK_FOR_LEASE_EVERY", 0.02)
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        await live(client)
        failure = Failure(Access.WRITE, 1, times=MANY, only="take_lease")
        failure.set_up(client._journal, monkeypatch)
        broker.take_over_session()
        await eventually(lambda: client.feed.state is FeedState.REPLACED and len(failure.struck) > 5)
        failure.stop()
        calls = failure.calls
        await eventually(lambda: failure.calls > calls + 2)
        assert client.feed.state is FeedState.REPLACED
        assert broker.feed_logins == 1


async def test_a_session_that_lasts_forgives_what_was_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replacements count only while the sessions between them are short."""
    monkeypatch.setattr(feed_keeper, "REPLACED_PAUSES", (0.05, 0.05))
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        await live(client)
        broker.take_over_session()
        await eventually(lambda: client._keeper._replacements == 1)
        await live(client)
        session = client._keeper._session
        assert session is not None
        await eventually(lambda: client._ambient.monotonic() > session.since + 0.06)
        broker.cut_feed()
        await eventually(lambda: client._keeper._replacements == 0)


# ---------------------------------------------------------------------- the close of the day


async def close_of(client: KiwoomClient, broker: Simulator) -> Any:
    """Let the day end, and wait for its books."""
    assert isinstance(broker.ambient, Hands)
    day = broker.day
    broker.ambient.next_day()
    async with asyncio.timeout(60):
        while (close := await client._journal.day_close(Desk.STOCK, day)) is None:
            await client.reconcile()
    return close


async def test_books_that_cannot_be_read_are_closed_later(tmp_path: Path) -> None:
    """A ledger that answers with an error closes nothing; it is asked again after a pause, and then it does."""
    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one")
        broker.set_faults([Fault(FaultKind.QUERY_ERROR, api_ids="kt00007", times=3)])
        close = await close_of(client, broker)
        assert broker.faults_injected[FaultKind.QUERY_ERROR] == 3
        assert (close.rows, close.own) == (1, 1)


@pytest.mark.parametrize("verb", ["buy", "modify"])
async def test_final_ledger_without_our_order_closes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    """The broker has told us the number, so a ledger that does not list it is not the whole one."""
    caplog.set_level("INFO", "kiwoom_async")
    original = LedgerReader.fetch_snapshot
    hidden: list[str] = []

    async def fetch(self: LedgerReader, *arguments: Any, **others: Any) -> Any:
        snapshot = await original(self, *arguments, **others)
        if snapshot.is_final and len(hidden) < 2:
            hidden.append("look")
            return evolve(snapshot, rows=snapshot.rows[:-1])
        return snapshot

    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        order = await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one")
        if verb == "modify":
            await client.stock.modify(order, price=69_100, client_order_id="two")
        monkeypatch.setattr(LedgerReader, "fetch_snapshot", fetch)
        close = await close_of(client, broker)
        assert len(hidden) == 2
        assert (close.rows, close.own, close.unlisted) == (len(broker.all_orders), len(broker.all_orders), ())
    assert "does not list our order" in caplog.text


async def test_alarms_of_the_final_ledger_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More filled than was ordered is believed of nobody, at the close of the day neither."""
    original = LedgerReader.fetch_snapshot

    async def fetch(self: LedgerReader, *arguments: Any, **others: Any) -> Any:
        snapshot = await original(self, *arguments, **others)
        rows = (evolve(row, filled_quantity=7) for row in snapshot.rows)
        return evolve(snapshot, rows=tuple(rows)) if snapshot.is_final else snapshot

    async with broker_of() as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one")
        monkeypatch.setattr(LedgerReader, "fetch_snapshot", fetch)
        await close_of(client, broker)
        order = await client.orders.get("one")
        assert order is not None
        assert order.filled_quantity == 0
    assert any(record.module == "day_closer" and record.levelname == "ERROR" for record in caplog.records)


async def test_books_of_a_day_that_is_not_over_stay_open(tmp_path: Path) -> None:
    """Whatever asks for it: a ledger that can still grow closes nothing."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one")
        assert await client._reconciler._closer.close(Desk.STOCK, broker.day) is None
        assert await client._journal.day_close(Desk.STOCK, broker.day) is None


async def test_number_that_only_a_person_has_seen_is_listed_at_the_close(tmp_path: Path) -> None:
    """The final ledger does not list it, so the person was wrong about it: the books are closed and say so."""
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
    blind = Fault(FaultKind.QUERY_ERROR, times=100_000)
    async with broker_of(lost, blind) as broker, client_of(broker, tmp_path, timing=QUICK) as client:
        await left_open(lambda: client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one", deadline=0.5))
        await client.orders.resolve("one", accepted_as="0009999", reason="misread on the screen")
        broker.set_faults(None)
        close = await close_of(client, broker)
        assert (close.rows, close.unlisted) == (0, ("one",))


# ---------------------------------------------------------------------- reports and verdicts


async def test_report_whose_time_has_not_come_counts_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A report tells a time and no day: the same one, but for its time, is of another day, and the ledger is asked."""
    async with broker_of() as broker, client_of(broker, tmp_path, feed=True, timing=PATIENT) as client:
        await live(client)
        await client.stock.buy(SYMBOL, 10, price=69_000)
        await eventually(lambda: len(broker.feed_frames) > 0)
        entries: Any = broker.feed_frames[-1]["data"]
        assert isinstance(broker.ambient, Hands)
        later = broker.ambient.now() + timedelta(minutes=6)
        values = entries[-1]["values"] | {"908": later.strftime("%H%M%S")}
        before = len(await client._journal.order_events(0, limit=100))
        await client._keeper._follower.take([RealEntry("00", "", values)])
        await eventually(lambda: not client._keeper._follower.owes_a_look)
        assert len(await client._journal.order_events(0, limit=100)) == before
    assert "a time that has not come yet" in caplog.text


async def test_verdict_has_to_be_one_and_to_fit(tmp_path: Path) -> None:
    """A person decides for a number or against the order, and not for a number that another order of ours has."""
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
    blind = Fault(FaultKind.QUERY_ERROR, times=100_000)
    async with broker_of(lost, blind) as broker, client_of(broker, tmp_path) as client:
        await left_open(lambda: client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one", deadline=0.5))
        other = await client.stock.buy(SYMBOL, 3, price=69_000, client_order_id="other")
        with pytest.raises(ValidationError, match="exactly one"):
            await client.orders.resolve("one", reason="no verdict at all")
        with pytest.raises(ValidationError, match="exactly one"):
            await client.orders.resolve("one", accepted_as="0000001", not_accepted=True, reason="both")
        with pytest.raises(JournalError, match="already claimed by 'other'"):
            await client.orders.resolve("one", accepted_as=other.broker_order_id, reason="misread")
        assert [entry.client_order_id for entry in await client.orders.unresolved()] == ["one"]


async def test_wait_that_meets_the_end_of_the_client_is_no_error_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look that fails because the journal was closed meanwhile says nothing about the journal."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:

        async def closed() -> str | None:
            raise JournalLocked("it is closed")

        with pytest.raises(JournalLocked):
            await client._waiters.unless_closed(closed)
        monkeypatch.setattr(client._waiters, "_is_closed", True)
        assert await client._waiters.unless_closed(closed) is None


async def test_proof_that_the_feed_holds_back_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that the feed tells of between the looks and the verdict may be ours: nothing is concluded, and why."""
    lost = Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")
    async with broker_of(lost) as broker, client_of(broker, tmp_path, feed=True, timing=QUICK) as client:
        await live(client)
        find = client._journal.find
        held, why = 0, ""

        async def find_late(client_order_id: str) -> Any:
            nonlocal held
            record = await find(client_order_id)
            if record is not None and record.last.state is Delivery.UNKNOWN and TOLD not in why:
                held += 1
                # The report of a cancel repeats nothing of what was sent, so it may be about any order.
                theirs = broker.place_foreign(symbol=SYMBOL, side="sell", quantity=50 + held, price=75_000)
                number = broker.cancel_foreign(theirs.broker_order_id).broker_order_id
                async with asyncio.timeout(60):
                    while number not in await told():  # noqa: ASYNC110 - the journal has no event for it
                        await asyncio.sleep(0.002)
            return record

        async def told() -> set[str]:
            return {report.broker_order_id for report in await client._journal.kept_reports(Desk.STOCK, broker.day)}

        monkeypatch.setattr(client._journal, "find", find_late)
        placing = asyncio.create_task(client.stock.buy(SYMBOL, 2, price=69_000, client_order_id="one", deadline=60))
        async with asyncio.timeout(60):
            while TOLD not in why:
                why = " ".join(entry.why for entry in (await client.reconcile()).unresolved)
        assert held
        with pytest.raises(OrderNotAccepted):
            await placing
