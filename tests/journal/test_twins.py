"""Identical orders of which one number is known: names that stay, and contradictions that are none of names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import ReportKind
from kiwoom_async._domain.settings import Reliance, Timing
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Desk, ResolvedBy
from kiwoom_async._journal.attempts import store_attempt
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding
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
    claimed,
    dispatched,
    permitted,
    plan,
    report,
)

ANSWER: Final = acknowledged(resolved_by=ResolvedBy.RESPONSE, is_answered=True)
"""The broker's own answer, with the number that the other one has."""
UNSENT: Final = Finding(Event.PROVEN_UNSENT)
INFERRED: Final = pytest.mark.parametrize("by", [ResolvedBy.LEDGER, ResolvedBy.EVENT])


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Open an empty journal."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as opened:
        yield opened


async def kinds(journal: Journal) -> list[BreachKind]:
    """Read what was found."""
    return [one.breach.kind for one in (await journal.health(DAY)).kept]


async def sent(journal: Journal, name: str, **changes: Any) -> Attempt:
    """Send an order beside its twins, as happens where they leave at one moment."""
    return await dispatched(journal, name, waits_for_twins=False, **changes)


async def lost(journal: Journal, name: str, **changes: Any) -> Attempt:
    """Send an order whose answer is lost."""
    return (await journal.conclude(await sent(journal, name, **changes), LOST)).attempt


async def put(journal: Journal, attempt: Attempt) -> None:
    """Write an attempt as it is to be, past every rule."""
    await journal._write(lambda connection: store_attempt(connection, attempt))


# ---------------------------------------------------------------- names


@INFERRED
@pytest.mark.parametrize("state", [Delivery.UNKNOWN, Delivery.CANDIDATES, Delivery.UNRESOLVED_AT_CLOSE])
async def test_twins_keep_the_names_that_evidence_has_given_them(
    journal: Journal, by: ResolvedBy, state: Delivery
) -> None:
    """The answer of one comes when its number was given to the other: each is told one thing only."""
    await claimed(journal, "earlier", "0000001", request=evolve(BUY, price=69_000))
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await put(journal, evolve(second, state=state))
    await claimed(journal, "later", "0000002", request=evolve(BUY, price=69_000))
    await journal.conclude(first, acknowledged(resolved_by=by))
    conclusion = await journal.conclude(second, ANSWER)
    assert (conclusion.contradiction, conclusion.attempt.state) == (None, state)
    assert conclusion.attempt.broker_order_id is None
    assert "0000101, which its twin has" in conclusion.attempt.reason
    assert (await journal.history("two"))[-1].evidence["answered_with"] == "0000101"
    record = await journal.find("two")
    assert record is not None
    assert record.decisive == conclusion.attempt
    assert await kinds(journal) == []


async def test_who_stands_for_a_twin_is_on_the_book_whenever_either_can_be(journal: Journal) -> None:
    """Window, mark and bounds of both sends: a proof about one of them alone would be too early."""
    hasty, patient = (Reliance.of(evolve(Timing(), acceptance_bound=bound), is_exclusive=True) for bound in (5.0, 50.0))
    first = await sent(journal, "one", relied_on=patient)
    second = await sent(journal, "two", dispatched=1001.0, dispatched_at=NOON + timedelta(seconds=1), relied_on=hasty)
    late, soon = (evolve(LOST, ended=1000.0 + after, ended_at=NOON + timedelta(seconds=after)) for after in (30.0, 3.0))
    first = (await journal.conclude(first, late)).attempt
    second = evolve((await journal.conclude(second, soon)).attempt, mark=100)
    await put(journal, second)
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    answer = evolve(ANSWER, ended=1002.0, ended_at=NOON + timedelta(seconds=2))
    stands = (await journal.conclude(second, answer)).attempt
    assert (stands.dispatched, stands.dispatched_at, stands.mark) == (1000.0, NOON, 0)
    assert (stands.ended, stands.ended_at) == (1030.0, NOON + timedelta(seconds=30))
    assert stands.relied_on == patient
    assert not stands.is_answered


async def test_twins_whose_numbers_are_exchanged_keep_them(journal: Journal) -> None:
    """Both are on the list, and each is answered with the other's number."""
    pair = await lost(journal, "one"), await lost(journal, "two")
    for attempt, number in zip(pair, ("0000101", "0000102"), strict=True):
        await journal.conclude(attempt, acknowledged(number, resolved_by=ResolvedBy.LEDGER))
    conclusions = [
        await journal.conclude(attempt, evolve(ANSWER, broker_order_id=number))
        for attempt, number in zip(pair, ("0000102", "0000101"), strict=True)
    ]
    assert [one.attempt.broker_order_id for one in conclusions] == ["0000101", "0000102"]
    assert await kinds(journal) == []


async def test_twins_found_on_the_next_day_have_its_numbers(journal: Journal) -> None:
    """A mark says nothing about another day's numbers."""
    await claimed(journal, "earlier", "0000001", request=evolve(BUY, price=69_000))
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await put(journal, evolve(second, mark=500))
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER, claim_day=TOMORROW))
    answer = evolve(ANSWER, claim_day=TOMORROW, evidence={"code": "0"})
    assert (await journal.conclude(second, answer)).contradiction is None
    assert (await journal.history("two"))[-1].evidence == {"answered_with": "0000101", "code": "0"}


# ---------------------------------------------------------------- no names


async def test_person_who_names_the_number_of_a_twin_is_told(journal: Journal) -> None:
    """Only the broker's answer is a name; a slip is none."""
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    slip = acknowledged(resolved_by=ResolvedBy.OPERATOR)
    assert (await journal.conclude(second, slip)).contradiction is not None


async def test_order_with_an_end_takes_no_number_from_a_person(journal: Journal) -> None:
    """The broker has refused it before: what it answers now contradicts that, whoever has the number."""
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.OPERATOR))
    await journal.conclude(second, REFUSED)
    assert (await journal.conclude(second, ANSWER)).contradiction is not None
    assert (await journal.find("one")).decisive.broker_order_id == "0000101"  # type: ignore[union-attr]


async def test_number_that_was_known_before_an_order_was_sent_is_not_its(journal: Journal) -> None:
    """The broker gives one number twice (A8): whoever was sent afterwards never could have had it."""
    first = await lost(journal, "one")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.EVENT))
    second = await lost(journal, "two")
    assert second.mark == 0, "what the feed tells raises no mark"
    assert (await journal.conclude(second, ANSWER)).contradiction is not None
    assert await kinds(journal) == [BreachKind.NUMBER_REPEATED]


async def test_number_below_the_mark_is_no_name(journal: Journal) -> None:
    """Another order has raised the mark: this one cannot have been a choice."""
    first = await lost(journal, "one")
    second = await lost(journal, "two")
    await put(journal, evolve(second, mark=101))
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(second, ANSWER)).contradiction is not None


async def test_number_that_the_broker_has_confirmed_is_no_name(journal: Journal) -> None:
    """The twin's own answer came after the evidence: the broker has told both the same number."""
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(first, ANSWER)).contradiction is None
    assert (await journal.conclude(second, ANSWER)).contradiction is not None
    assert await kinds(journal) == [BreachKind.NUMBER_REPEATED]


@pytest.mark.parametrize(
    ("by", "request_", "day"),
    [
        (ResolvedBy.RESPONSE, BUY, DAY),
        (ResolvedBy.LEDGER, evolve(BUY, price=71_000), DAY),
        (ResolvedBy.LEDGER, BUY, TOMORROW),
    ],
    ids=["both answered", "no twins", "numbers of another day"],
)
async def test_number_that_comes_twice_is_a_contradiction(
    journal: Journal, by: ResolvedBy, request_: OrderRequest, day: Any
) -> None:
    """The broker has said both, or the two orders can be told apart."""
    first, second = await lost(journal, "one"), await lost(journal, "two", request=request_, day=day)
    await journal.conclude(first, acknowledged(resolved_by=by))
    conclusion = await journal.conclude(second, evolve(ANSWER, claim_day=DAY))
    assert conclusion.contradiction == "order 0000101 is already claimed by 'one'"
    assert conclusion.attempt == second


@pytest.mark.parametrize(
    "before",
    [REFUSED, UNSENT, ABSENT, evolve(ANSWER, broker_order_id="0000105")],
    ids=["refused", "unsent", "absent", "another number"],
)
async def test_second_answer_is_a_contradiction(journal: Journal, before: Finding) -> None:
    """Whoever has an end of his own stands for nobody, and was told two things."""
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    settled = (await journal.conclude(second, before)).attempt
    conclusion = await journal.conclude(second, ANSWER)
    assert (conclusion.contradiction is not None, conclusion.attempt) == (True, settled)
    assert await kinds(journal) == [BreachKind.NUMBER_REPEATED]


async def test_late_answer_to_a_send_that_was_replaced_is_a_contradiction(journal: Journal) -> None:
    """It was proven absent and is on the book (A4), whichever of the two sends the number was given to."""
    first = await lost(journal, "one")
    second = permitted(await journal.replace(first, ABSENT, plan("one", runner=journal.runner, follows=1)))
    await journal.conclude(second, LOST)
    await journal.conclude(second, acknowledged(resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(first, ANSWER)).contradiction is not None
    assert await kinds(journal) == [BreachKind.NUMBER_REPEATED]


async def test_sender_that_is_still_at_work_has_no_end_to_stand_for(journal: Journal) -> None:
    """Nobody knows until when the other send may be accepted."""
    first, second = await sent(journal, "one"), await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.EVENT))
    assert (await journal.conclude(second, ANSWER)).contradiction is not None


@pytest.mark.parametrize("place", [0, 1])
async def test_send_whose_end_nobody_has_noted_stands_for_nobody(journal: Journal, place: int) -> None:
    """Until when the broker may accept it is not known."""
    pair = [await lost(journal, "one"), await lost(journal, "two")]
    await put(journal, evolve(pair[place], ended=None, ended_at=None))
    await journal.conclude(pair[0], acknowledged(resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(pair[1], ANSWER)).contradiction is not None


async def test_order_that_was_on_its_way_is_no_choice(journal: Journal) -> None:
    """Its answer was still awaited when the number was given to the other one: it competes, and nothing is chosen."""
    first, second = await lost(journal, "one"), await sent(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    await journal.conclude(second, LOST)
    assert (await journal.conclude(second, ANSWER)).contradiction is not None


async def test_choice_is_the_last_one(journal: Journal) -> None:
    """What a person had said of it and taken back does not count."""
    first = await lost(journal, "one")
    claimed_by_hand = (await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.OPERATOR))).attempt
    await journal.withdraw(claimed_by_hand, "wrong line")
    second = await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(second, ANSWER)).contradiction is None


async def test_order_that_turned_up_late_is_no_choice(journal: Journal) -> None:
    """It was proven absent when its number was given to it, so the other one was not passed over for it."""
    first = await lost(journal, "one")
    await journal.conclude(first, ABSENT)
    second = await lost(journal, "two")
    await journal.conclude(first, acknowledged(resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(second, ANSWER)).contradiction is not None


# ---------------------------------------------------------------- matches that an answer has overtaken


@INFERRED
@pytest.mark.parametrize(
    "answer", [REFUSED, UNSENT, evolve(ANSWER, broker_order_id="0000102")], ids=["refused", "unsent", "another number"]
)
@pytest.mark.parametrize("has_twin", [True, False])
async def test_match_that_an_answer_has_overtaken(
    journal: Journal, by: ResolvedBy, answer: Finding, *, has_twin: bool
) -> None:
    """The order is the open twin's, as the next look will say; without one nobody can explain it (A3)."""
    attempt = await lost(journal, "one")
    if has_twin:
        await sent(journal, "two")
    settled = (await journal.conclude(attempt, answer)).attempt
    conclusion = await journal.conclude(attempt, acknowledged(resolved_by=by))
    assert (conclusion.contradiction is None, conclusion.attempt) == (has_twin, settled)
    assert "0000101" not in await journal.claims(Desk.STOCK, DAY, 0)
    assert await kinds(journal) == ([] if has_twin else [BreachKind.CONTRADICTION])
    if has_twin:
        assert (await journal.history("one"))[-1].evidence["match_overtaken"] == "0000101"


@INFERRED
@pytest.mark.parametrize(
    ("is_over", "changes"),
    [
        (True, {"original_day": DAY}),
        (True, {}),
        (False, {"original_day": DAY}),
        (False, {"original": "0000009"}),
        (False, {"quantity": 5}),
    ],
    ids=["over", "over, of the day of the send", "working", "somebody's", "of a part"],
)
async def test_match_of_a_cancel_that_came_too_late(
    journal: Journal, by: ResolvedBy, changes: dict[str, Any], *, is_over: bool
) -> None:
    """Another cancel of all has done its work, and the row is that one's; nothing of it is wrong."""
    await claimed(journal, "order", "0000001")
    if is_over or "quantity" in changes:
        await journal.note_reports([report(ReportKind.CANCELED, "0000001", leaves_quantity=0)])
    cancel = await lost(journal, "cancel", request=evolve(CANCEL, **changes))
    await journal.conclude(cancel, REFUSED)
    conclusion = await journal.conclude(cancel, acknowledged(resolved_by=by))
    assert (conclusion.contradiction is None) is is_over
    assert await kinds(journal) == ([] if is_over else [BreachKind.CONTRADICTION])


@INFERRED
async def test_match_that_agrees_with_the_answer_is_confirmation(journal: Journal, by: ResolvedBy) -> None:
    """Also beside an open twin."""
    attempt = await lost(journal, "one")
    await sent(journal, "two")
    await journal.conclude(attempt, ANSWER)
    assert (await journal.conclude(attempt, acknowledged(resolved_by=by))).contradiction is None
    assert (await journal.history("one"))[-1].evidence["by"] == by.value


@INFERRED
async def test_match_whose_number_has_become_anothers_by_its_answer(journal: Journal, by: ResolvedBy) -> None:
    """The look did not know the answer yet; the next one does."""
    first, second = await lost(journal, "one"), await lost(journal, "two")
    await journal.conclude(first, ANSWER)
    conclusion = await journal.conclude(second, acknowledged(resolved_by=by))
    assert (conclusion.contradiction, conclusion.attempt) == (None, second)
    assert await kinds(journal) == []
