"""What the sender of an order relied on stays with the order, whoever sends it again, and comes with schema 6."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from kiwoom_async._cli.main import main
from kiwoom_async._domain.settings import Reliance, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._journal import store
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import intent_row
from kiwoom_async.errors import JournalCorrupt, JournalError
from tests.journal.builders import (
    ABSENT,
    ACCOUNT,
    BUY,
    LOST,
    FixedAmbient,
    dispatched,
    insert_as_before_schema_6,
    intent,
    obligation,
    permitted,
    plan,
)

HASTY = Reliance.of(Timing(), is_exclusive=True)
CAUTIOUS = evolve(HASTY, acceptance_bound=20.0, is_exclusive=False)
SLOW = evolve(HASTY, visibility_bound=30.0)
LAST_WITHOUT = 5


async def read_back(journal: Journal, client_order_id: str = "order-1") -> tuple[Reliance | None, ...]:
    """Read what the senders of an order relied on, from the file."""
    record = await journal.find(client_order_id)
    assert record is not None
    return tuple(attempt.relied_on for attempt in record.attempts)


async def test_settings_of_the_sender_are_kept_with_the_send(tmp_path: Path) -> None:
    """In the row of the permission, and for as long as that row lives."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        sent = await dispatched(journal, relied_on=CAUTIOUS)
        assert sent.relied_on == CAUTIOUS
        await journal.conclude(sent, LOST)
    async with Journal(tmp_path / "orders.db", FixedAmbient("boot-2", 5.0), ACCOUNT) as journal:
        assert await journal.adopt_orphans() == 1
        assert await read_back(journal) == (CAUTIOUS,)


async def test_who_sends_again_relies_on_the_first_senders_settings_as_well(tmp_path: Path) -> None:
    """The order is the first one's: a third send rests on the most cautious of all that came before."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        sent = await dispatched(journal, relied_on=CAUTIOUS)
        for number, relied_on in ((1, SLOW), (2, HASTY)):
            await journal.conclude(sent, LOST)
            again = plan(runner=journal.runner, follows=number, relied_on=relied_on)
            sent = permitted(await journal.replace(sent, ABSENT, again))
        both = evolve(CAUTIOUS, visibility_bound=30.0)
        assert await read_back(journal) == (CAUTIOUS, both, both)


async def test_who_carries_out_what_another_one_owed_relies_on_both(tmp_path: Path) -> None:
    """A cancel that waited for its order is sent by whoever has inherited it."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        owed = evolve(obligation(), relied_on=CAUTIOUS)
        await journal.prepare(intent("cancel-1", owed.request), owed)
        await dispatched(journal, "cancel-1", request=owed.request, relied_on=HASTY)
        assert await read_back(journal, "cancel-1") == (CAUTIOUS,)


async def test_settings_that_nobody_knows_are_not_made_up(tmp_path: Path) -> None:
    """Neither side of a resend invents what the other did not say."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        sent = await dispatched(journal)
        await journal.conclude(sent, LOST)
        sent = permitted(await journal.replace(sent, ABSENT, plan(runner=journal.runner, follows=1, relied_on=HASTY)))
        await journal.conclude(sent, LOST)
        await journal.replace(sent, ABSENT, plan(runner=journal.runner, follows=2))
        assert await read_back(journal) == (None, HASTY, HASTY)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"acceptance_bound":1}', "NULL"])
async def test_damaged_settings_are_not_believed(tmp_path: Path, text: str) -> None:
    """What cannot be read is no record of an order."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await dispatched(journal, relied_on=HASTY)
        await journal._write(lambda connection: connection.execute("UPDATE attempts SET relied_on = ?", (text,)))
        with pytest.raises(JournalCorrupt, match="cannot be read"):
            await journal.find("order-1")


async def test_who_is_alone(tmp_path: Path) -> None:
    """Others count as long as they live."""
    path = tmp_path / "orders.db"
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        assert await journal.is_alone()
        async with Journal(path, FixedAmbient(), ACCOUNT):
            assert not await journal.is_alone()
        assert await journal.is_alone()


async def test_owner_of_an_order_is_who_sent_it_first(tmp_path: Path) -> None:
    """Not who sent it again, and not whose send never left."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        sent = await dispatched(journal)
        record = await journal.find("order-1")
        assert record is not None
        never = evolve(sent, state=Delivery.NOT_SENT, runner="never left")
        first, again = (evolve(sent, number=number, runner=name) for number, name in ((2, "first"), (3, "again")))
        assert evolve(record, attempts=(never, first, again)).owner == "first"
        assert evolve(record, attempts=(never,)).owner == "never left"


# ---------------------------------------------------------------- schema 5


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Make a journal of schema 5 with an unresolved order."""
    path = tmp_path / "old.db"
    store.prepare_file(path)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    for name in store.SCHEMAS[:LAST_WITHOUT]:
        connection.execute(resources.files("kiwoom_async._journal").joinpath(name).read_text(encoding="utf-8"))
    connection.pragma("application_id", store.APPLICATION_ID)
    connection.pragma("user_version", LAST_WITHOUT)
    connection.execute(
        "INSERT INTO identities (identity, at, accepted_by, reason, missing) VALUES ('one', '2026-11-02', '', '', 0)"
    )
    connection.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)", intent_row(intent()))
    insert_as_before_schema_6(connection, evolve(obligation("order-1"), request=BUY, state=Delivery.UNKNOWN))
    connection.close()
    return path


async def test_orders_of_the_release_before_are_read_and_followed(old: Path) -> None:
    """Nobody knows what their sender relied on; what is sent from now on keeps it."""
    async with Journal(old, FixedAmbient(), ACCOUNT) as journal:
        assert await read_back(journal) == (None,)
        (left,) = await journal.open_attempts()
        await journal.replace(left, ABSENT, plan(runner=journal.runner, follows=1, relied_on=CAUTIOUS))
        assert await read_back(journal) == (None, CAUTIOUS)


async def test_release_before_does_not_open_it_any_more(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not write down what it relied on, and would drop what others have."""
    async with Journal(old, FixedAmbient(), ACCOUNT):
        pass
    monkeypatch.setattr(store, "SCHEMAS", store.SCHEMAS[:LAST_WITHOUT])
    with pytest.raises(JournalError, match="has schema 6"):
        async with Journal(old, FixedAmbient(), ACCOUNT):
            pass


def test_looking_into_a_file_of_the_release_before_leaves_it_as_it_is(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown, and not brought up to date by that."""
    before = old.read_bytes()
    for arguments in ([], ["order-1"]):
        assert main(["journal", str(old), *arguments]) == 0
        assert "order-1" in capsys.readouterr().out
    assert old.read_bytes() == before
