"""Findings of the monitors in the file: kept, counted, and brought along from earlier releases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib import resources
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from kiwoom_async._domain.health import Breach, BreachKind, KeptBreach
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._journal import breaches, queries, store
from kiwoom_async._journal.attempts import store_attempt
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, intent_row
from kiwoom_async.errors import JournalCorrupt
from tests.journal.builders import (
    ACCOUNT,
    BUY,
    CANCEL,
    DAY,
    FixedAmbient,
    dispatched,
    insert_as_before_schema_6,
    intent,
    obligation,
)
from tests.journal.test_queries import plans_of

LATE = Breach(BreachKind.REVIVED, "order one was proven absent and is on the book as 0000001")


async def kept(journal: Journal) -> tuple[KeptBreach, ...]:
    """Read what was found."""
    return (await journal.health(DAY)).kept


async def test_findings_of_a_kind_are_one_row(tmp_path: Path) -> None:
    """First and last, how often, and the last text; accounts apart."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await journal.note_breaches([LATE, evolve(LATE, text="the other")])
        (found,) = await kept(journal)
        assert (found.breach.text, found.times, found.first_at) == ("the other", 2, found.last_at)
    async with Journal(tmp_path / "orders.db", FixedAmbient(), "another") as journal:
        assert await kept(journal) == ()


async def test_text_of_half_a_character_is_kept(tmp_path: Path) -> None:
    """A broker may send what SQLite cannot hold."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await journal.note_breaches([evolve(LATE, text="\ud800")])
        assert (await kept(journal))[0].breach.text == "\\ud800"


def answer(number: str) -> Finding:
    """Answer a send."""
    return Finding(Event.ACKNOWLEDGED, broker_order_id=number, resolved_by=ResolvedBy.RESPONSE, is_answered=True)


async def test_revival_and_its_finding_are_one_transaction(tmp_path: Path) -> None:
    """Whoever sees the state sees the finding; it is found once."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        attempt = await dispatched(journal, "one")
        await journal.conclude(attempt, Finding(Event.LOST))
        await journal.conclude(attempt, Finding(Event.PROVEN_ABSENT))
        assert await kept(journal) == ()
        for _ in range(2):
            await journal.conclude(attempt, answer("0000005"))
        (found,) = await kept(journal)
        assert (found.breach.kind, found.times) == (BreachKind.REVIVED, 1)
        assert (await journal.health(DAY)).revived == 1


@pytest.mark.parametrize(("number", "expected"), [("0000001", True), ("0000009", False)])
async def test_number_below_the_mark_is_a_finding(tmp_path: Path, number: str, *, expected: bool) -> None:
    """The mark was known before the order was sent."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        first = await dispatched(journal, "first")
        await journal.conclude(first, answer("0000005"))
        second = await dispatched(journal, "second")
        await journal.conclude(second, answer(number))
        assert [one.breach.kind for one in await kept(journal)] == [BreachKind.NUMBER_FELL] * expected


@pytest.mark.parametrize("event", [Event.CANDIDATES_SIGHTED, Event.CANDIDATES_GONE, Event.DAY_CLOSED])
async def test_look_that_an_answer_overtook_is_no_finding(tmp_path: Path, event: Event) -> None:
    """An answer comes between a look and what is noted of it: nothing moves, and no assumption is called broken."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        attempt = await dispatched(journal, "one")
        await journal.conclude(attempt, Finding(Event.LOST))
        await journal.conclude(attempt, answer("0000005"))
        conclusion = await journal.conclude(attempt, Finding(event, reason="as seen before"))
        assert (conclusion.contradiction, conclusion.attempt.state) == (None, Delivery.ACKNOWLEDGED)
        assert await kept(journal) == ()


async def test_answer_to_a_stranger_is_a_finding(tmp_path: Path) -> None:
    """An attempt that another process has taken over is answered to the one that was taken for dead."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as zombie:
        attempt = await dispatched(zombie, "one")
        zombie._lock.release()
        async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as heir:
            assert await heir.adopt_orphans() == 1
        await zombie.conclude(attempt, answer("0000005"))
        assert [one.breach.kind for one in await kept(zombie)] == [BreachKind.SENDER_TAKEN_FOR_DEAD]


async def test_slip_of_a_person_is_no_finding(tmp_path: Path) -> None:
    """A number that another order has is refused, and says nothing about the broker."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        first = await dispatched(journal, "first")
        await journal.conclude(first, answer("0000005"))
        second = await dispatched(journal, "second")
        await journal.conclude(second, Finding(Event.LOST))
        slip = Finding(Event.ACKNOWLEDGED, broker_order_id="0000005", resolved_by=ResolvedBy.OPERATOR)
        assert (await journal.conclude(second, slip)).contradiction is not None
        assert await kept(journal) == ()
        assert (await journal.conclude(second, answer("0000005"))).contradiction is not None
        assert [one.breach.kind for one in await kept(journal)] == [BreachKind.NUMBER_REPEATED]


@pytest.mark.parametrize("states", [("unknown", "acknowledged"), ("acknowledged", "unknown")])
@pytest.mark.parametrize("left", [Delivery.UNKNOWN, Delivery.UNRESOLVED_AT_CLOSE])
async def test_full_cancel_with_an_answer_is_not_unresolved(
    tmp_path: Path, states: tuple[str, str], left: Delivery
) -> None:
    """It is sent again while one send is unknown; an order that was sent twice may be on the book twice."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        for name, request in (("cancel", CANCEL), ("order", BUY)):
            first = await dispatched(journal, name, request=request)
            attempts = [evolve(first, number=1 + place, state=Delivery(state)) for place, state in enumerate(states)]
            unknown = next(attempt for attempt in attempts if attempt.state is Delivery.UNKNOWN)
            attempts[attempts.index(unknown)] = evolve(unknown, state=left)
            for attempt in attempts:
                await journal._write(partial(store_attempt, attempt=attempt))
            found = (await journal.health(DAY)).unresolved
            assert len(found) == (name == "order")


def forget(connection: apsw.Connection) -> None:
    """Lose what was committed."""
    connection.execute("DROP TRIGGER history_is_never_deleted; DELETE FROM history")


async def test_lost_row_closes_the_journal(tmp_path: Path) -> None:
    """No permission is given once a row that was committed is gone, and none that it had before is taken back."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await dispatched(journal, "one")
        assert not (await journal.health(DAY)).has_lost_rows
        await journal._write(forget)
        assert (await journal.health(DAY)).has_lost_rows
        with pytest.raises(JournalCorrupt, match="lost rows"):
            await dispatched(journal, "two")
        assert await journal.find("two") is None


READS: tuple[Callable[[apsw.Connection], object], ...] = (
    lambda connection: breaches.count_late(connection, ACCOUNT, Delivery.REVIVED),
    lambda connection: breaches.read_unresolved(connection, ACCOUNT, DAY),
    lambda connection: breaches.read_breaches(connection, ACCOUNT),
    lambda connection: queries.read_absent_twins(connection, ACCOUNT, DAY, {"fingerprint"}),
    lambda connection: breaches.has_lost_rows(connection, breaches.read_witness(connection)),
)


async def test_reading_health_scans_no_table(tmp_path: Path) -> None:
    """However long the history is."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await dispatched(journal, "one")

        steps = await journal._write(lambda connection: [step for read in READS for step in plans_of(connection, read)])
        # The last row of the history is where a scan from its end begins.
        scans = {step.split()[1] for step in steps if step.startswith("SCAN")}
        assert not scans & {"attempts", "breaches", "claims", "intents"}
        assert any("attempts_late" in step for step in steps)


# ---------------------------------------------------------------- schema 3


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Make a journal of schema 3 with sends of every state on two days."""
    path = tmp_path / "old.db"
    store.prepare_file(path)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    for name in store.SCHEMAS[:3]:
        connection.execute(resources.files("kiwoom_async._journal").joinpath(name).read_text(encoding="utf-8"))
    connection.pragma("application_id", store.APPLICATION_ID)
    connection.pragma("user_version", 3)
    for days in (0, 1):
        for state in Delivery:
            name = f"{state}-{days}"
            attempt = obligation(name)
            attempt = evolve(attempt, state=state, dispatched_at=attempt.dispatched_at + timedelta(days=days))
            connection.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)", intent_row(intent(name)))
            insert_as_before_schema_6(connection, attempt)
    connection.close()
    return path


async def test_late_orders_of_the_release_before_are_findings(old: Path) -> None:
    """They are counted, and the alarm says since when."""
    async with Journal(old, FixedAmbient(), ACCOUNT) as journal:
        health = await journal.health(DAY)
        assert (health.revived, health.duplicates) == (2, 2)
        assert [one.breach.kind for one in health.kept] == [BreachKind.REVIVED, BreachKind.DUPLICATE]
        for one in health.kept:
            assert (one.times, one.last_at - one.first_at) == (2, timedelta(days=1))
        assert health.facts.schema == len(store.SCHEMAS)
        assert len(health.unresolved) == 6


async def test_upgraded_file_is_that_of_a_new_one(old: Path, tmp_path: Path) -> None:
    """The same tables and indexes, whatever release made it."""

    def shape(path: Path) -> list[object]:
        connection = apsw.Connection(str(path))
        found = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        connection.close()
        return list(found)

    for path in (old, tmp_path / "new.db"):
        async with Journal(path, FixedAmbient(), ACCOUNT):
            pass
    assert shape(old) == shape(tmp_path / "new.db")


@pytest.mark.parametrize("told", [answer("0000006"), Finding(Event.REFUSED, resolved_by=ResolvedBy.RESPONSE)])
async def test_answers_that_contradict_each_other_repeat_no_number(tmp_path: Path, told: Finding) -> None:
    """A second number or a refusal for an accepted order is about the one request (A3), not about numbers (A8)."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        attempt = await dispatched(journal, "one")
        await journal.conclude(attempt, answer("0000005"))
        assert (await journal.conclude(attempt, told)).contradiction is not None
        assert [one.breach.kind for one in await kept(journal)] == [BreachKind.CONTRADICTION]
