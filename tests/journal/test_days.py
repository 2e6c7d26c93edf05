"""Open and closed days, certificates of the feed, and journals of earlier schemas."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, ResolvedBy, Side
from kiwoom_async._journal import days, store
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import intent_row
from kiwoom_async.errors import JournalError
from tests.journal.builders import (
    ACCOUNT,
    BUY,
    CANCEL,
    DAY,
    NOON,
    TOMORROW,
    FixedAmbient,
    acknowledged,
    dispatched,
    events,
    fill,
    heard,
    insert_as_before_schema_6,
    intent,
    news_of,
    obligation,
    report,
    row,
)
from tests.journal.faulty_vfs import FaultyVFS, disk_broken, disk_full
from tests.journal.test_faults import journal_on
from tests.journal.test_queries import plans_of

AMBIENT = FixedAmbient()
LATER = DAY + timedelta(days=30)
GOLD = OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.BUY, 1, 180_000, OrderType.LIMIT)
CLOSE = DayClose(
    day=DAY,
    desk=Desk.STOCK,
    closed_at=NOON + timedelta(hours=8),
    rows=5,
    own=2,
    foreign=2,
    residue=("0000105",),
    unresolved=("order-9",),
    resolved_by={"ledger": 1, "response": 1},
    revived=1,
)


# ---------------------------------------------------------------- days


async def test_days_stay_open_until_they_are_closed(tmp_path: Path) -> None:
    """Days with sends or claims, per ledger, in any order of closing; today is not over."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await dispatched(journal, "order-1")
        await dispatched(journal, "gold-1", request=GOLD, day=TOMORROW)
        attempt = await dispatched(journal, "order-2", day=TOMORROW)
        await journal.conclude(attempt, acknowledged(claim_day=TOMORROW + timedelta(days=1)))
        third = TOMORROW + timedelta(days=1)
        assert await journal.days_to_close(DAY) == ()
        assert await journal.days_to_close(LATER) == (
            (Desk.STOCK, DAY),
            (Desk.GOLD, TOMORROW),
            (Desk.STOCK, TOMORROW),
            (Desk.STOCK, third),
        )
        await journal.close_day(evolve(CLOSE, day=TOMORROW))
        assert await journal.days_to_close(third) == ((Desk.STOCK, DAY), (Desk.GOLD, TOMORROW))
        async with Journal(tmp_path / "orders.db", AMBIENT, "key-other") as other:
            assert await other.days_to_close(LATER) == ()


async def test_close_is_kept_and_the_first_counts(tmp_path: Path) -> None:
    """What the close found can be read; a second close changes nothing, and a late claim opens the day again."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        attempt = await dispatched(journal)
        assert await journal.day_close(Desk.STOCK, DAY) is None
        await journal.close_day(CLOSE)
        await journal.close_day(evolve(CLOSE, rows=6))
        assert await journal.day_close(Desk.STOCK, DAY) == CLOSE
        await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.OPERATOR))
        assert await journal.days_to_close(LATER) == ((Desk.STOCK, DAY),)
        await journal.close_day(CLOSE)
        assert await journal.days_to_close(LATER) == ()


async def test_what_a_close_leaves_working_has_expired(tmp_path: Path) -> None:
    """An order that no ledger settles any more ends with its day, and is told so, once."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await journal.conclude(await dispatched(journal), acknowledged(resolved_by=ResolvedBy.RESPONSE))
        for _ in range(2):
            await journal.close_day(CLOSE)
        assert await journal.working_orders() == ()
        kinds = [event.kind for event in await journal.order_events(0, limit=9)]
        assert kinds == [OrderEventKind.ACCEPTED, OrderEventKind.EXPIRED]


async def test_order_that_an_earlier_close_left_working_opens_its_day_again(tmp_path: Path) -> None:
    """An earlier release closed a day and left a modify of all that is left working: the day is closed once more."""
    modify = evolve(BUY, action=Action.MODIFY, quantity=None, original="0000100", original_day=DAY)
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        attempt = await dispatched(journal, request=modify)
        await journal.close_day(CLOSE)
        await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.RESPONSE))
        await journal._write(lambda connection: connection.execute("DELETE FROM open_days").get)
        assert await journal.days_to_close(DAY) == ()
        assert await journal.days_to_close(LATER) == ((Desk.STOCK, DAY),)
        await journal.close_day(CLOSE)
        assert (await journal.days_to_close(LATER), await journal.working_orders()) == ((), ())


async def test_close_drops_the_reports_of_its_day(tmp_path: Path) -> None:
    """What nobody has claimed by then is nobody's; other days and ledgers keep theirs."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        await journal.note_reports([report(), report(day=TOMORROW), report(desk=Desk.GOLD)])
        await journal.close_day(CLOSE)
        assert [kept.day for kept in await journal.kept_reports(Desk.STOCK, DAY)] == [TOMORROW]
        assert [kept.day for kept in await journal.kept_reports(Desk.GOLD, DAY)] == [DAY]


@pytest.mark.parametrize("failure", [disk_full, disk_broken])
async def test_every_journal_failure_of_a_close(tmp_path: Path, failure: Callable[[], Exception]) -> None:
    """The N-th disk call fails: a day is closed and off the list, or neither."""
    for number in range(1, 1000):
        path, vfs = tmp_path / f"orders-{number}.db", FaultyVFS()
        async with journal_on(vfs, path) as journal:
            await dispatched(journal)
            vfs.arm(number, failure)
            try:
                await journal.close_day(CLOSE)
                allowed = {True}
            except JournalError:
                allowed = {True, False}
            has_struck = vfs.has_struck
            vfs.disarm()
        async with Journal(path, AMBIENT, ACCOUNT) as journal:
            is_closed = await journal.day_close(Desk.STOCK, DAY) is not None
            assert is_closed in allowed
            assert (await journal.days_to_close(LATER) == ()) == is_closed
        if not has_struck:
            break


# ---------------------------------------------------------------- the feed


async def test_certificate_of_the_feed(tmp_path: Path) -> None:
    """It grows with what is heard, ends once, and is over when its client is gone."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT) as journal:
        assert await journal.feed_session() is None
        async with Journal(path, AMBIENT, ACCOUNT) as other:
            first = await other.begin_feed(10.0, NOON)
            for heard_at in (12.0, 11.0):
                await other.note_feed(first, heard_at)
            session = await journal.feed_session()
            assert session is not None
            assert (session.epoch, session.runner, session.boot_id) == (1, other.runner, "boot-1")
            assert (session.since, session.since_at, session.heard) == (10.0, NOON, 12.0)
            assert not session.is_over
        session = await journal.feed_session()
        assert session is not None
        assert (session.is_over, session.reason) == (True, "")
        second = await journal.begin_feed(20.0, NOON)
        assert second == 2
        await journal.end_feed(second, 25.0, "closed \ud83d")
        await journal.note_feed(second, 30.0)
        await journal.end_feed(second, 31.0, "again")
        session = await journal.feed_session()
        assert session is not None
        assert (session.epoch, session.heard, session.is_over, session.reason) == (2, 25.0, True, r"closed \ud83d")
    async with Journal(path, AMBIENT, "key-other") as stranger:
        assert await stranger.feed_session() is None
        assert await stranger.begin_feed(1.0, NOON) == 1


READS: dict[str, Callable[[apsw.Connection], object]] = {
    "days to close": lambda connection: days.read_days_to_close(connection, ACCOUNT, LATER),
    "day close": lambda connection: days.read_day_close(connection, ACCOUNT, Desk.STOCK, DAY),
    "feed session": lambda connection: days.read_feed_session(connection, ACCOUNT),
    "open a day": lambda connection: days.open_day(connection, (ACCOUNT, "stock", "2026-11-02")),
}


@pytest.mark.parametrize("name", READS)
async def test_every_read_uses_an_index(tmp_path: Path, name: str) -> None:
    """What is read about days and feeds costs what is open, not what has been."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as journal:
        steps = await journal._write(lambda connection: plans_of(connection, READS[name]))
    assert not [step for step in steps if step.startswith("SCAN") and "CONSTANT" not in step]


# ---------------------------------------------------------------- schema 1


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """Make a journal of schema 1 with orders in every state of their lives."""
    path = tmp_path / "orders.db"
    store.prepare_file(path)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(resources.files("kiwoom_async._journal").joinpath("schema_0001.sql").read_text(encoding="utf-8"))
    connection.pragma("application_id", store.APPLICATION_ID)
    connection.pragma("user_version", 1)
    write_old_orders(connection)
    connection.close()
    yield path
    assert apsw.Connection(str(path)).execute("PRAGMA integrity_check").get == "ok"


OLD_CLAIMS = {
    "silent": (BUY, DAY, None, 0, None, None),
    "part": (BUY, DAY, "partially_filled", 4, "69950.5", 6),
    "full": (BUY, DAY - timedelta(days=1), "filled", 10, "70000", 0),
    "gone": (BUY, DAY, "canceled", 0, None, 0),
    "cancel": (CANCEL, DAY, "canceled", 0, None, 0),
    "cancel-silent": (CANCEL, DAY, None, 0, None, None),
    "modify": (evolve(BUY, action=Action.MODIFY, quantity=None, original="0000101"), DAY, "working", 0, None, 10),
}


def write_old_orders(connection: apsw.Connection) -> None:
    """Write what an earlier release wrote."""
    for number, (name, (request, day, *told)) in enumerate(OLD_CLAIMS.items(), start=1):
        attempt = evolve(obligation(name), request=request, day=day, broker_order_id=f"{number:07d}")
        attempt = evolve(attempt, state=type(attempt.state).ACKNOWLEDGED)
        connection.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)", intent_row(intent(name, request)))
        insert_as_before_schema_6(connection, attempt)
        connection.execute(
            "INSERT INTO claims (account, ledger, day, broker_order_id, client_order_id, attempt, claimed_at, status, "
            "filled_quantity, average_fill_price, leaves_quantity) VALUES (?, 'stock', ?, ?, ?, 1, '', ?, ?, ?, ?)",
            (ACCOUNT, day.isoformat(), f"{number:07d}", name, *told),
        )


async def test_schema_1_is_brought_up_to_date(old: Path) -> None:
    """Every order keeps what was known of it, its size is filled in, and its day is open."""
    async with Journal(old, AMBIENT, ACCOUNT) as journal:
        assert [order.client_order_id for order in await journal.working_orders()] == ["silent", "part", "modify"]
        assert await journal.days_to_close(LATER) == ((Desk.STOCK, DAY - timedelta(days=1)), (Desk.STOCK, DAY))
        for number, (name, (_, day, *told)) in enumerate(OLD_CLAIMS.items(), start=1):
            claim = await journal.claim_of(Desk.STOCK, day, f"{number:07d}")
            assert claim is not None
            average = None if told[2] is None else Decimal(str(told[2]))
            kept = (claim.status, claim.filled_quantity, claim.average_fill_price, claim.leaves_quantity)
            assert (claim.client_order_id, *kept) == (name, told[0], told[1], average, told[3])
        assert await events(journal) == []


async def test_life_goes_on_after_the_upgrade(old: Path) -> None:
    """What was counted before is not told again; what comes is."""
    async with Journal(old, AMBIENT, ACCOUNT) as journal:
        await journal.note_ledger(
            news_of(
                row("0000002", filled=4, leaves=6, average_fill_price=Decimal("69950.5")),
                row("0000004", filled=0, leaves=0),
            )
        )
        assert await events(journal) == []
        await journal.note_reports([fill(10, 6, "0000002"), fill(10, 10, "0000001")])
        assert await heard(journal) == [("filled", 6), ("filled", 10)]
        claim = await journal.claim_of(Desk.STOCK, DAY, "0000002")
        assert claim is not None
        assert (claim.status, claim.average_fill_price) == (OrderStatus.FILLED, Decimal(70_000))


async def test_two_releases_of_the_schema_are_the_same(old: Path, tmp_path: Path) -> None:
    """A file that was brought up to date has the tables of a new one."""

    def shape(path: Path) -> list[tuple[object, ...]]:
        connection = apsw.Connection(str(path))
        found = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        connection.close()
        return list(found)

    for path in (old, tmp_path / "new.db"):
        async with Journal(path, AMBIENT, ACCOUNT):
            pass
    assert shape(old) == shape(tmp_path / "new.db")


@pytest.mark.parametrize("failure", [disk_full, disk_broken])
async def test_every_journal_failure_of_an_upgrade(tmp_path: Path, old: Path, failure: Callable[[], Exception]) -> None:
    """The N-th disk call fails: the file is of one schema or of the other, and the next opening works."""
    failures = 0
    for number in range(1, 1000):
        path, vfs = Path(shutil.copy(old, tmp_path / f"copy-{number}.db")), FaultyVFS()
        vfs.arm(number, failure)
        try:
            async with journal_on(vfs, path):
                vfs.fail_at = None if not vfs.has_struck else vfs.fail_at
        except JournalError:
            failures += 1
        has_struck = vfs.has_struck
        vfs.disarm()
        async with Journal(path, AMBIENT, ACCOUNT) as journal:
            assert len(await journal.working_orders()) == 3
        if not has_struck:
            break
    assert failures >= 5
