"""Whoever waits is woken by what concerns him, and costs nothing until then."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, evolve, field

from kiwoom_async import KiwoomClient, Order, OrderEvent, OrderEventKind, OrderStatus, OutcomeUnknown
from kiwoom_async._domain.states import Event
from kiwoom_async._execution import waiters
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._execution.waiters import Waiters
from kiwoom_async._journal import queries
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, JournalNews, OrderRecord, ReportNews
from kiwoom_async.errors import JournalError, JournalLocked, KiwoomError, StreamClosed, ValidationError
from kiwoom_async.simulator import Fault, FaultKind
from tests.journal.builders import ACCOUNT, FixedAmbient, claimed, dispatched, fill
from tests.scenarios.listening import PATIENT, record_of
from tests.scenarios.trading import SYMBOL, Hands, broker_of, client_of, eventually

AMBIENT = FixedAmbient()
MANY = 300
UNSENT = Finding(Event.PROVEN_UNSENT, reason="nobody waited for it")


@define
class Counts:
    """How often the journal was asked."""

    finds: list[str] = field(factory=list)
    looks: int = 0


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Count the questions to every journal of this process, and look often."""
    made = Counts()
    find, news = Journal.find, Journal.news

    async def counted_find(journal: Journal, client_order_id: str) -> OrderRecord | None:
        made.finds.append(client_order_id)
        return await find(journal, client_order_id)

    async def counted_news(journal: Journal, since: Any) -> JournalNews:
        found = await news(journal, since)
        made.looks += 1
        return found

    monkeypatch.setattr(Journal, "find", counted_find)
    monkeypatch.setattr(Journal, "news", counted_news)
    monkeypatch.setattr(waiters, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(waiters, "IDLE_INTERVAL", 1000.0)
    return made


@define
class Office:
    """One process's waiters, and the journal of another on the same file."""

    journal: Journal
    other: Journal
    waiters: Waiters
    settlements: Settlements
    log: EventLog

    def waiting(self, count: int, name: Callable[[int], str]) -> list[asyncio.Task[Order | KiwoomError]]:
        """Let many wait for the answers of orders."""
        return [asyncio.create_task(self.settlements.wait(name(number))) for number in range(count)]


@asynccontextmanager
async def office_in(folder: Path, *, watches: bool = True) -> AsyncIterator[Office]:
    """Open two journals on one file, and watch one of them."""
    path = folder / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT) as journal, Journal(path, AMBIENT, ACCOUNT) as other:
        made = Waiters(journal)
        await made.begin()
        log = EventLog(journal, made)
        watch = asyncio.create_task(made.watch() if watches else anyio.sleep_forever())
        try:
            yield Office(journal, other, made, Settlements(journal, made, log.tell), log)
        finally:
            made.close()
            watch.cancel()
            await asyncio.wait([watch])


async def more(counts: Counts, looks: int = 3) -> None:
    """Wait until the journal was asked for news some more times."""
    wanted = counts.looks + looks
    await eventually(lambda: counts.looks >= wanted)


# ---------------------------------------------------------------- what it costs


async def test_hundreds_of_waiters_share_one_look(tmp_path: Path, counts: Counts) -> None:
    """Each looks once for itself; after that only the orders that were touched are looked at."""
    async with office_in(tmp_path) as office:
        for number in range(3):
            await dispatched(office.journal, f"order-{number}", waits_for_twins=False)
        tasks = office.waiting(MANY, lambda number: f"order-{number % 3}")
        # The first shared look still finds what was written before anybody waited.
        await eventually(lambda: len(counts.finds) >= MANY)
        await more(counts)
        before = len(counts.finds)
        assert before <= 2 * MANY
        await claimed(office.other, "else", "0000100", waits_for_twins=False)
        await more(counts, 10)
        assert len(counts.finds) == before
        attempt = (await office.other.open_attempts())[0]
        await office.other.conclude(attempt, UNSENT)
        await eventually(lambda: sum(task.done() for task in tasks) == MANY // 3)
        assert set(counts.finds[before:]) == {attempt.client_order_id}
        assert len(counts.finds) - before <= 2 * MANY // 3
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_without_waiters_the_journal_is_left_alone(tmp_path: Path, counts: Counts) -> None:
    """The look is shared by those who wait, and by nobody if nobody does; whoever is cancelled leaves nothing."""
    async with office_in(tmp_path) as office:
        tasks = office.waiting(MANY, lambda number: f"order-{number}")
        await more(counts)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert not office.waiters._waiting
        # What a cancelled task leaves behind it holds its bell.
        del task
        tasks.clear()
        gc.collect()
        assert not tuple(office.waiters._bells)
        # What the next look of an idle client waits for.
        assert not office.waiters._wanted.is_set()
        (task,) = office.waiting(1, lambda _: "order-0")
        await more(counts)
        task.cancel()
        await asyncio.wait([task])


async def test_too_many_news_wake_everybody(tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the orders are not named, each waiter looks for itself."""
    monkeypatch.setattr(queries, "MOST_NAMED", 0)
    async with office_in(tmp_path) as office:
        tasks = office.waiting(2, lambda number: f"order-{number}")
        await more(counts)
        await office.other.conclude(await dispatched(office.other, "order-0"), UNSENT)
        assert isinstance(await tasks[0], KiwoomError)
        assert not tasks[1].done()
        await eventually(lambda: counts.finds.count("order-1") > 1)
        tasks[1].cancel()
        await asyncio.wait(tasks)


# ---------------------------------------------------------------- no lost wakeup


@pytest.mark.parametrize("by", ["this process", "another process"])
async def test_what_is_written_between_the_look_and_the_wait_is_not_missed(tmp_path: Path, by: str) -> None:
    """The waiter is registered before it looks, so that the bell is heard that rings meanwhile."""
    async with office_in(tmp_path, watches=False) as office:
        looked = 0

        async def look() -> OrderRecord | None:
            nonlocal looked
            looked += 1
            found = await office.journal.find("order-1")
            if looked == 1:
                await dispatched(office.other)
                if by == "this process":
                    office.waiters.ring("order-1")
                else:
                    await office.waiters._look()
            return found

        assert await office.waiters.until("order-1", look) is not None
        assert looked == 2


async def test_what_was_written_while_nobody_waited_wakes_nobody_in_vain_for_ever(
    tmp_path: Path, counts: Counts
) -> None:
    """A bookmark that lags is caught up with by one look, and a waiter that has come since is right either way."""
    async with office_in(tmp_path) as office:
        for number in range(5):
            await claimed(office.other, f"order-{number}", f"000010{number}", waits_for_twins=False)
        assert isinstance(await office.settlements.wait("order-3"), Order)
        (task,) = office.waiting(1, lambda _: "order-9")
        await more(counts, 5)
        assert office.waiters.last_event == 5
        assert counts.finds.count("order-9") == 1
        task.cancel()
        await asyncio.wait([task])


async def test_news_of_this_process_need_no_look(tmp_path: Path) -> None:
    """What the feed or the ledger told wakes waiters and listeners at once, and nobody else."""
    async with office_in(tmp_path, watches=False) as office:
        await claimed(office.journal)
        await claimed(office.journal, "order-2", "0000102", waits_for_twins=False)
        await office.waiters.begin()
        looks = {"order-1": 0, "order-2": 0}
        heard: list[OrderEvent] = []

        def filled(name: str) -> Callable[[], Awaitable[bool | None]]:
            async def look() -> bool | None:
                record = await office.journal.find(name)
                looks[name] += 1  # only now: what is reported from here on was not seen by this look
                return (record is not None and record.claims[0].filled_quantity > 0) or None

            return look

        async def listen() -> None:
            async for event in office.log.read(office.log.last_event):
                heard.append(event)  # noqa: PERF401 - the listener never ends by itself

        tasks = [asyncio.create_task(office.waiters.until(name, filled(name))) for name in looks]
        listener = asyncio.create_task(listen())
        await eventually(lambda: set(looks.values()) == {1})
        assert office.log.is_heard
        office.log.tell(await office.journal.note_reports([fill(4, 4)]))
        assert await tasks[0] is True
        await eventually(lambda: [event.quantity for event in heard] == [4])
        assert looks == {"order-1": 2, "order-2": 1}
        office.waiters.close()
        assert await tasks[1] is None
        await listener
        assert not office.log.is_heard


async def test_listeners_look_only_when_there_are_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is read once by each listener, whoever wrote it and however often it is told."""
    reads = 0
    order_events = Journal.order_events

    async def counted(journal: Journal, since: int, *, limit: int) -> tuple[OrderEvent, ...]:
        nonlocal reads
        reads += 1
        return await order_events(journal, since, limit=limit)

    monkeypatch.setattr(Journal, "order_events", counted)
    async with office_in(tmp_path, watches=False) as office:
        listeners = [office.log.read(0) for _ in range(10)]
        firsts = [asyncio.create_task(anext(listener)) for listener in listeners]  # type: ignore[arg-type, var-annotated]
        await dispatched(office.other, "order-2", waits_for_twins=False)
        await office.waiters._look()
        await asyncio.sleep(0)
        assert reads == 0
        await claimed(office.other, waits_for_twins=False)
        for _ in range(3):
            await office.waiters._look()
            office.log.tell(ReportNews(1, touched=("order-1",), last_event=1))
        assert [event.sequence for event in await asyncio.gather(*firsts)] == [1] * 10
        assert reads == 10
        seconds = [asyncio.create_task(anext(listener)) for listener in listeners]  # type: ignore[arg-type, var-annotated]
        await office.waiters._look()
        office.waiters.close()
        ends = await asyncio.gather(*seconds, return_exceptions=True)
        assert [type(end) for end in ends] == [StopAsyncIteration] * 10
        assert reads == 10


# ---------------------------------------------------------------- failures and ends


def fails(*_: object, **__: object) -> Any:
    """Fail as a journal does that another program has locked."""
    raise JournalLocked("The journal is locked.")


async def test_journal_that_fails_reaches_every_waiter(
    tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shared look wakes everybody, and each raises what it meets itself."""
    async with office_in(tmp_path) as office:
        tasks: list[asyncio.Task[Any]] = [*office.waiting(MANY, lambda number: f"order-{number}")]
        tasks.append(asyncio.create_task(anext(office.log.read(0))))  # type: ignore[arg-type]
        await more(counts)
        for name in ("find", "news", "order_events"):
            monkeypatch.setattr(Journal, name, fails)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {JournalLocked}


@pytest.mark.parametrize("error", [JournalLocked("The journal is locked."), ZeroDivisionError()])
async def test_shared_look_that_fails_loses_nothing(
    tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whoever can look for itself waits on, and the next shared look finds what the failed ones did not."""
    failures = 0

    async def fail(*_: object) -> JournalNews:
        nonlocal failures
        failures += 1
        raise error

    async with office_in(tmp_path) as office:
        tasks = office.waiting(2, lambda number: f"order-{number}")
        await more(counts)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "news", fail)
            await eventually(lambda: failures > 2)
            await office.other.conclude(await dispatched(office.other, "order-0"), UNSENT)
            assert isinstance(await tasks[0], KiwoomError)
        await office.other.conclude(await dispatched(office.other, "order-1"), UNSENT)
        assert isinstance(await tasks[1], KiwoomError)


async def test_end_of_the_client_is_no_answer(tmp_path: Path) -> None:
    """A task of the client that waits for an order's answer goes on waiting until it is cancelled."""
    async with office_in(tmp_path, watches=False) as office:
        (task,) = office.waiting(1, lambda _: "order-1")
        await eventually(lambda: bool(tuple(office.waiters._bells)))
        office.waiters.close()
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


# ---------------------------------------------------------------- the whole client


async def bought(client: KiwoomClient, key: str, **changes: Any) -> Order:
    """Place an order that stays in the book."""
    return await client.stock.buy(SYMBOL, 10, **{"price": 69_000, "client_order_id": key, **changes})


async def test_waiters_are_woken_by_another_client_on_the_same_file(tmp_path: Path) -> None:
    """What one process is told, those who wait in the other hear of, although that one asks nobody."""
    idle = evolve(PATIENT, poll_interval=1000, watch_interval=1000, reconcile_interval=1000)
    async with (
        broker_of() as broker,
        client_of(broker, tmp_path, timing=PATIENT) as one,
        client_of(broker, tmp_path, timing=idle) as two,
    ):
        order = await bought(one, "shared")
        tasks = [asyncio.create_task(two.orders.wait_filled("shared")) for _ in range(20)]
        async with record_of(two) as record, record_of(one):
            await eventually(lambda: len(record.events) == 1)
            assert order.broker_order_id is not None
            broker.fill(order.broker_order_id)
            for done in await asyncio.gather(*tasks):
                assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, 10)
            await eventually(lambda: len(record.of(OrderEventKind.FILLED)) == 1)


async def test_wait_for_an_order_of_unknown_outcome_ends_with_its_answer(tmp_path: Path) -> None:
    """It is one wait, whatever becomes of the order: here a person says that it is not on the book."""
    async with (
        broker_of(Fault(FaultKind.DROP_AFTER_ACCEPTANCE)) as broker,
        client_of(broker, tmp_path, account_exclusive=False) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            await bought(client, "lost", deadline=0.2)
        waiting = asyncio.create_task(client.orders.wait_filled("lost"))
        await eventually(lambda: bool(tuple(client._waiters._bells)))
        await client.orders.resolve("lost", not_accepted=True, reason="looked at the screen")
        with pytest.raises(KiwoomError, match="operator"):
            await waiting
        with pytest.raises(ValidationError):
            await client.orders.wait_filled("never heard of")


async def test_end_of_the_client_is_told_to_whoever_waits(tmp_path: Path) -> None:
    """Also for an order of unknown outcome, and also to those who come when it is over."""
    lost = Fault(FaultKind.DROP_AFTER_ACCEPTANCE), Fault(FaultKind.QUERY_DROP, times=10**6)
    async with broker_of(*lost) as broker:
        async with client_of(broker, tmp_path, timing=PATIENT) as client:
            with pytest.raises(OutcomeUnknown):
                await bought(client, "lost", deadline=0.2)
            waiting = [asyncio.create_task(client.orders.wait_filled("lost")) for _ in range(20)]
            begun = client.orders.events()
            await eventually(lambda: client._waiters._waiting >= 20)
        assert {type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)} == {StreamClosed}
        with pytest.raises(StreamClosed):
            await client.orders.wait_filled("lost")
        assert [event async for event in begun] == []
        assert [event async for event in client.orders.events()] == []
        assert [event async for event in client.orders.events(since=0)] == []
        with pytest.raises(JournalError):
            await client.orders.get("lost")


@pytest.mark.parametrize("listens", [True, False])
async def test_events_from_now_on_do_not_depend_on_the_clock(tmp_path: Path, listens: bool) -> None:
    """A clock that is set back repeats nothing; what is written after the call is there when it is asked for."""
    hands = Hands()
    async with broker_of() as broker, client_of(broker, tmp_path, ambient=hands) as client:
        async with record_of(client) as record:
            for number in range(3):
                await bought(client, f"old-{number}", price=69_000 + 100 * number)
                if listens:
                    await eventually(lambda wanted=number + 1: len(record.events) == wanted)  # type: ignore[misc]
        hands.offset -= timedelta(minutes=10)
        begun = client.orders.events()
        await bought(client, "new", price=69_900)
        first = await anext(begun)
        assert (first.client_order_id, first.kind) == ("new", OrderEventKind.ACCEPTED)
