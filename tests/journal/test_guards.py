"""The kill switch, what a day's sends count, and dry orders, in the file that every process shares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve

from kiwoom_async import ClientOrderIdConflict, JournalError, LimitExceeded, NotSent, OrderLimits
from kiwoom_async._domain.guards import Burden, KillSwitchState, Totals
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Action, OrderType, ResolvedBy
from kiwoom_async._journal import guards, store
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, TwinOpen
from kiwoom_async._journal.records import Finding, intent_row
from tests.journal.builders import (
    ABSENT,
    ACCOUNT,
    BUY,
    CANCEL,
    DAY,
    LOST,
    NOON,
    REFUSED,
    TOMORROW,
    FixedAmbient,
    acknowledged,
    dispatched,
    insert_as_before_schema_6,
    intent,
    obligation,
    plan,
)
from tests.journal.runner import ROUNDS
from tests.journal.test_processes import race, start
from tests.journal.test_queries import plans_of

HALT = KillSwitchState(is_engaged=True, reason="fat finger", by="kim", at=NOON)
RESUME = KillSwitchState(is_engaged=False, reason="found it", by="lee", at=NOON)
MODIFY = evolve(BUY, action=Action.MODIFY, quantity=None, price=71_000, original="0000101", original_day=DAY)
MARKET = evolve(BUY, price=None, order_type=OrderType.MARKET)
UNSENT = Finding(Event.PROVEN_UNSENT, reason="no connection")
STRONG = Finding(Event.PROVEN_ABSENT, reason="proven", evidence={"proof": {"strength": "strong"}})
WEAK = Finding(Event.PROVEN_ABSENT, reason="proven", evidence={"proof": {"strength": "weak"}})
BY_OPERATOR = Finding(Event.PROVEN_ABSENT, reason="I looked", evidence={"decided_by": "operator"})
ONE = Totals(orders=1, quantity=10, value=700_000)
BURDEN = Burden(1, 10, 700_000, 10, 700_000)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Open an empty journal."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as opened:
        yield opened


async def send(journal: Journal, name: str, request: OrderRequest = BUY, **terms: Any) -> Any:
    """Ask for the permission to send, under limits."""
    reference = terms.pop("reference", None)
    limits = OrderLimits(**terms) if terms else None
    made = plan(name, request, runner=journal.runner, waits_for_twins=False, terms=Terms(limits, reference))
    return await journal.dispatch(made)


# ---------------------------------------------------------------- the switch


async def test_switch_holds_new_orders_and_modifies_and_no_cancel(journal: Journal) -> None:
    """Nothing of what is held is in the file, and its id is as new as before."""
    assert await journal.kill_switch() == KillSwitchState()
    assert await journal.move_switch(HALT) == HALT
    for name, request in (("new", BUY), ("modify", MODIFY)):
        with pytest.raises(NotSent, match="fat finger"):
            await journal.dispatch(plan(name, request, runner=journal.runner))
        assert await journal.find(name) is None
    assert isinstance(await journal.dispatch(plan("cancel", CANCEL, runner=journal.runner)), Dispatched)
    await journal.prepare(intent("owed", evolve(CANCEL, original=None, target="new")), obligation("owed", "new"))
    await journal.move_switch(RESUME)
    assert isinstance(await journal.dispatch(plan("new", runner=journal.runner)), Dispatched)


async def test_switch_stops_the_second_send_of_an_order(journal: Journal) -> None:
    """A resend leaves nothing behind, not even the end of the attempt before it."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.move_switch(HALT)
    with pytest.raises(NotSent):
        await journal.replace(attempt, STRONG, plan(runner=journal.runner, follows=1))
    record = await journal.find("order-1")
    assert record is not None
    assert [one.state for one in record.attempts] == [Delivery.UNKNOWN]


async def test_stored_answer_and_twins_are_told_as_ever(journal: Journal) -> None:
    """An id that was sent has its answer, whatever the switch says now; a held order does not wait for a twin."""
    await journal.conclude(await dispatched(journal), LOST)
    assert isinstance(await journal.dispatch(plan("twin", runner=journal.runner)), TwinOpen)
    await journal.move_switch(HALT)
    assert not isinstance(await journal.dispatch(plan(runner=journal.runner)), Dispatched)
    with pytest.raises(NotSent, match="kill switch"):
        await journal.dispatch(plan("twin", runner=journal.runner))


async def test_every_move_of_the_switch_is_kept(journal: Journal, tmp_path: Path) -> None:
    """Twice engaged is two records; releasing a released switch is none; nothing can be changed or deleted."""
    again = evolve(HALT, reason="still", by="\ud800")
    for state in (RESUME, HALT, again, RESUME):
        await journal.move_switch(state)
    assert await journal.move_switch(RESUME) == RESUME
    connection = apsw.Connection(str(tmp_path / "orders.db"))
    assert [row[0] for row in connection.execute("SELECT reason FROM kill_switch ORDER BY sequence")] == [
        "fat finger",
        "still",
        "found it",
    ]
    for change in ("UPDATE kill_switch SET is_engaged = 0", "DELETE FROM kill_switch"):
        with pytest.raises(apsw.ConstraintError):
            connection.execute(change)
    connection.close()


async def test_permissions_that_may_still_be_used_are_listed(journal: Journal) -> None:
    """New orders and modifies of every account that have no outcome yet; no cancels."""
    await send(journal, "leaving")
    await send(journal, "cancel", CANCEL)
    await journal.conclude(await dispatched(journal, "lost", waits_for_twins=False), LOST)
    await journal.dispatch(plan("other", account="another", runner=journal.runner))
    assert {attempt.client_order_id for attempt in await journal.permitted_attempts()} == {"leaving", "other"}


# ---------------------------------------------------------------- what counts


async def test_what_is_sent_is_counted_once(journal: Journal) -> None:
    """Of the day and of the symbol, by whoever sends, with limits or without; cancels are not."""
    await send(journal, "one")
    await send(journal, "two", evolve(BUY, symbol="000660", quantity=3, price=100_000), orders_per_day=2)
    await send(journal, "cancel", CANCEL)
    assert await journal.day_totals(DAY) == Totals(orders=2, quantity=13, value=1_000_000)
    assert await journal.day_totals(DAY, "005930") == ONE
    assert await journal.day_totals(TOMORROW) == Totals()
    with pytest.raises(LimitExceeded):
        await send(journal, "three", orders_per_day=2)
    assert await journal.find("three") is None
    assert (await journal.day_totals(DAY)).orders == 2


async def test_accounts_are_counted_apart(journal: Journal) -> None:
    """Two accounts in one file have their own days."""
    await send(journal, "one")
    terms = Terms(OrderLimits(orders_per_day=1))
    await journal.dispatch(plan("other", account="another", runner=journal.runner, terms=terms))
    assert await journal.day_totals(DAY) == ONE


@pytest.mark.parametrize(
    ("finding", "is_given_back"),
    [
        (REFUSED, True),
        (UNSENT, True),
        (STRONG, True),
        (BY_OPERATOR, True),
        (WEAK, False),
        (ABSENT, False),
        (LOST, False),
        (acknowledged(), False),
    ],
)
async def test_what_is_proven_not_to_be_there_is_given_back(
    journal: Journal, finding: Finding, is_given_back: bool
) -> None:
    """Refused, not sent, strongly proven absent, decided by a person; nothing less."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, finding)
    assert await journal.day_totals(DAY) == (Totals() if is_given_back else ONE)
    await journal.conclude(attempt, finding)
    assert await journal.day_totals(DAY) == (Totals() if is_given_back else ONE)


async def test_what_turns_up_after_all_counts_again(journal: Journal) -> None:
    """Once, as revived and as a duplicate."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    following = plan(runner=journal.runner, follows=1, terms=Terms(OrderLimits(orders_per_day=1)))
    # The proof gives back in the same transaction what the second send takes.
    assert isinstance(await journal.replace(attempt, STRONG, following), Dispatched)
    assert await journal.day_totals(DAY) == ONE
    await journal.conclude(attempt, acknowledged())
    assert await journal.day_totals(DAY) == ONE.plus(BURDEN)
    await journal.conclude(evolve(attempt, number=2), acknowledged("0000102"))
    assert await journal.day_totals(DAY) == ONE.plus(BURDEN)


async def test_verdict_that_is_taken_back_counts_again(journal: Journal) -> None:
    """What an operator called absent, and is unknown again, may be on the book."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, evolve(BY_OPERATOR, resolved_by=ResolvedBy.OPERATOR))
    assert await journal.day_totals(DAY) == Totals()
    await journal.withdraw(attempt, "the wrong screen")
    assert await journal.day_totals(DAY) == ONE


async def test_modify_counts_what_it_raises(journal: Journal) -> None:
    """From the price of the order it names, for all that can be left of it, also through a chain of modifies."""
    await journal.conclude(await dispatched(journal), acknowledged("0000101"))
    first = (await send(journal, "up", MODIFY)).attempt
    await journal.conclude(first, acknowledged("0000102"))
    assert await journal.day_totals(DAY) == evolve(ONE, value=710_000)
    second = evolve(MODIFY, original="0000102", price=71_500)
    with pytest.raises(LimitExceeded) as refusal:
        await send(journal, "up again", second, value_per_order=714_999)
    assert refusal.value.asked == 715_000
    with pytest.raises(LimitExceeded) as refusal:
        await send(journal, "up again", second, value_per_day=714_999)
    assert (refusal.value.asked, refusal.value.left) == (5_000, 4_999)
    await send(journal, "up again", second, value_per_day=715_000)
    await send(journal, "down", evolve(second, price=60_000), value_per_day=1, value_per_order=600_000)
    assert await journal.day_totals(DAY) == evolve(ONE, value=715_000)


async def test_modify_of_an_order_nobody_knows(journal: Journal) -> None:
    """Its whole value is added; without a quantity it has none, and is not counted as zero."""
    await send(journal, "part", evolve(MODIFY, quantity=4, original="0000999"))
    assert await journal.day_totals(DAY) == Totals(value=284_000)
    with pytest.raises(LimitExceeded, match="quantity="):
        await send(journal, "all", evolve(MODIFY, original="0000998"), value_per_day=10**12)
    await send(journal, "all", evolve(MODIFY, original="0000998"))
    assert (await journal.day_totals(DAY)).unvalued == 1


async def test_order_without_a_price_is_counted_at_the_reference(journal: Journal) -> None:
    """Whoever has no reference leaves a mark that limits on values respect."""
    await send(journal, "valued", MARKET, reference=90_000, value_per_day=900_000)
    assert (await journal.day_totals(DAY)).value == 900_000
    unvalued = (await send(journal, "unvalued", MARKET)).attempt
    with pytest.raises(LimitExceeded, match="1 sends of today"):
        await send(journal, "next", value_per_symbol=10**12)
    await journal.conclude(unvalued, REFUSED)
    await send(journal, "next", value_per_symbol=1_600_000)


async def test_values_beyond_the_integers_of_the_file(journal: Journal) -> None:
    """The largest order that passes validation is counted exactly."""
    huge = evolve(BUY, quantity=10**10 - 1, price=10**10 - 1)
    for name in ("one", "two"):
        await send(journal, name, huge)
    assert (await journal.day_totals(DAY)).value == 2 * (10**10 - 1) ** 2


async def test_two_processes_race_for_the_last_slots(tmp_path: Path) -> None:
    """Each passes the limit as long as there is room, and together they never pass it."""
    path = tmp_path / "orders.db"
    said = await race([await start(path, "one", "slots"), await start(path, "two", "slots")])
    assert sum(words.count("sent") for words in said) == ROUNDS + 7
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        assert (await journal.day_totals(DAY)).orders == ROUNDS + 7


async def test_one_process_fills_the_last_slots_at_once(journal: Journal) -> None:
    """Commits that share one transaction see each other."""
    found = await asyncio.gather(
        *(send(journal, f"order-{number}", orders_per_day=5) for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, Dispatched) for one in found) == 5
    assert sum(isinstance(one, LimitExceeded) for one in found) == 15


async def test_asking_the_guards_costs_no_scan(journal: Journal) -> None:
    """However long the history: every step uses an index."""
    await journal.conclude(await dispatched(journal), acknowledged("0000101"))
    terms = Terms(OrderLimits(value_per_day=10**12, value_per_symbol=10**12))
    for request in (BUY, MODIFY):

        def ask(connection: apsw.Connection, request: OrderRequest = request) -> list[str]:
            return plans_of(connection, lambda used: guards.admit(used, "x", ACCOUNT, request, DAY, terms))

        steps = await journal._read(ask)
        # The last row of the switch is found from the end of its table.
        assert not [step for step in steps if step.startswith("SCAN") and step != "SCAN kill_switch"]


# ---------------------------------------------------------------- dry orders


async def test_dry_order_is_no_order(journal: Journal) -> None:
    """It is kept under its id, counts nothing, and a real order with that id is sent as if it were not there."""
    dry = intent("one")
    assert await journal.rehearse(dry, DAY, Terms()) == dry
    assert await journal.rehearse(evolve(dry, resend_within=5.0), DAY, Terms()) == dry
    with pytest.raises(ClientOrderIdConflict):
        await journal.rehearse(intent("one", MARKET), DAY, Terms())
    assert await journal.find("one") is None
    assert await journal.open_attempts() == ()
    assert await journal.day_totals(DAY) == Totals()
    assert isinstance(await send(journal, "one", MARKET), Dispatched)
    assert await journal.find_rehearsed("one") == dry


async def test_dry_order_meets_the_guards(journal: Journal) -> None:
    """The limits, with what was really sent; the switch; a modify of a dry order knows its size."""
    await send(journal, "real")
    with pytest.raises(LimitExceeded):
        await journal.rehearse(intent("one"), DAY, Terms(OrderLimits(orders_per_day=1)))
    await journal.rehearse(intent("one"), DAY, Terms())
    modify = evolve(MODIFY, original=None, original_day=None, target="one")
    with pytest.raises(LimitExceeded) as refusal:
        await journal.rehearse(intent("two", modify), DAY, Terms(OrderLimits(value_per_order=1)))
    assert refusal.value.asked == 710_000
    await journal.move_switch(HALT)
    with pytest.raises(NotSent):
        await journal.rehearse(intent("two"), DAY, Terms())


# ---------------------------------------------------------------- schema 2


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Make a journal of schema 2 with sends of two days in every state."""
    path = tmp_path / "old.db"
    store.prepare_file(path)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    for name in store.SCHEMAS[:2]:
        connection.execute(resources.files("kiwoom_async._journal").joinpath(name).read_text(encoding="utf-8"))
    connection.pragma("application_id", store.APPLICATION_ID)
    connection.pragma("user_version", 2)
    huge = evolve(BUY, quantity=10**10 - 1, price=10**10 - 1, symbol="000660")
    sends = [(f"order-{state}", BUY, state, DAY) for state in Delivery]
    sends += [
        ("yesterday", BUY, Delivery.ACKNOWLEDGED, DAY.replace(day=1)),
        ("market", MARKET, Delivery.UNKNOWN, DAY),
        ("modify", MODIFY, Delivery.ACKNOWLEDGED, DAY),
        ("cancel", CANCEL, Delivery.ACKNOWLEDGED, DAY),
        ("huge", huge, Delivery.ACKNOWLEDGED, DAY),
    ]
    for name, request, state, day in sends:
        attempt = evolve(obligation(name), request=request, state=state, day=day)
        connection.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)", intent_row(intent(name, request)))
        insert_as_before_schema_6(connection, attempt)
    connection.close()
    return path


async def test_orders_of_the_release_before_count(old: Path) -> None:
    """Those of the latest day that may be on the book; what it cannot value is marked so, and can be given back."""
    counted = len(Delivery) - 4
    async with Journal(old, FixedAmbient(), ACCOUNT) as journal:
        assert await journal.day_totals(DAY, "005930") == Totals(
            orders=counted + 1, quantity=10 * (counted + 1), value=700_000 * counted, unvalued=2
        )
        assert (await journal.day_totals(DAY)).unvalued == 3
        assert await journal.day_totals(DAY.replace(day=1)) == Totals()
        record = await journal.find("market")
        assert record is not None
        await journal.conclude(record.last, REFUSED)
        assert (await journal.day_totals(DAY, "005930")).unvalued == 1


async def test_release_before_does_not_open_it_any_more(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not know the switch cannot start on a journal that has one."""
    async with Journal(old, FixedAmbient(), ACCOUNT):
        pass
    monkeypatch.setattr(store, "SCHEMAS", store.SCHEMAS[:2])
    with pytest.raises(JournalError, match="has schema"):
        async with Journal(old, FixedAmbient(), ACCOUNT):
            pass
