"""What may be done to the journal: permissions, conclusions, claims, recovery, leases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve

from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.states import AGREEING, TRANSITIONS, Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, ResolvedBy, Route, Side
from kiwoom_async._journal.attempts import store_attempt
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, Known, TwinOpen
from kiwoom_async._journal.records import Finding, LedgerNews, from_json, to_json
from kiwoom_async.errors import ClientOrderIdConflict, IllegalTransition, JournalError
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
    intent,
    obligation,
    permitted,
    plan,
    row,
)

AMBIENT = FixedAmbient()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Open an empty journal."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as opened:
        yield opened


async def put(journal: Journal, attempt: Attempt, state: Delivery) -> None:
    """Set the state of an attempt, past every rule."""
    await journal._write(lambda connection: store_attempt(connection, evolve(attempt, state=state)))


async def state_of(journal: Journal, client_order_id: str = "order-1") -> tuple[Delivery, ...]:
    """Read the states of an id's attempts."""
    record = await journal.find(client_order_id)
    return () if record is None else tuple(attempt.state for attempt in record.attempts)


# ---------------------------------------------------------------- permissions


async def test_dispatch_writes_intent_attempt_and_history(journal: Journal) -> None:
    """A permission is a row that says everything about the send."""
    attempt = await dispatched(journal)
    record = await journal.find("order-1")
    assert record is not None
    assert record.intent == intent()
    assert record.attempts == (attempt,)
    assert (attempt.number, attempt.state, attempt.mark, attempt.runner) == (1, Delivery.DISPATCHED, 0, journal.runner)
    assert [(entry.event, entry.state) for entry in await journal.history("order-1")] == [
        ("dispatched", Delivery.DISPATCHED)
    ]


async def test_same_key_same_request_gives_the_record(journal: Journal) -> None:
    """The second call with an id gets what is known, in every state that may be at the broker or is final."""
    attempt = await dispatched(journal)
    for state in set(Delivery) - {Delivery.NOT_SENT, Delivery.PREPARED}:
        await put(journal, attempt, state)
        known = await journal.dispatch(plan())
        assert isinstance(known, Known)
        assert known.record.decisive.state is state


async def test_in_progress_claim_never_expires(journal: Journal) -> None:
    """A dispatched row forbids another send after any time, also after another boot."""
    await dispatched(journal)
    later = plan(dispatched_at=NOON + timedelta(days=400), dispatched=1e9, write_until=1e9, boot_id="boot-9")
    known = await journal.dispatch(evolve(later, day=TOMORROW))
    assert isinstance(known, Known)
    assert known.record.last.state is Delivery.DISPATCHED


async def test_finding_of_a_monitor_is_kept_with_what_it_is_about(journal: Journal) -> None:
    """In the transaction that moves the state, or not at all."""
    strange = Breach(BreachKind.ECHO_DIFFERS, "another price")
    attempt = await dispatched(journal)
    await journal.conclude(attempt, acknowledged(breaches=(strange,)))
    assert [one.breach for one in (await journal.health(DAY)).kept] == [strange]


async def test_sender_that_ends_after_its_order_was_found_notes_its_end(journal: Journal) -> None:
    """The feed may tell of an order while its answer is still awaited."""
    attempt = await dispatched(journal)
    found = (await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.EVENT))).attempt
    assert found.ended is None
    ended = (await journal.conclude(attempt, LOST)).attempt
    assert (ended.state, ended.ended, ended.ended_at) == (Delivery.ACKNOWLEDGED, LOST.ended, LOST.ended_at)
    record = await journal.find("order-1")
    assert record is not None
    assert record.last == ended


async def test_second_send_of_a_cancel_is_refused_as_itself_while_it_is_unknown(journal: Journal) -> None:
    """Only where it was taken for the one that worked, a refusal says nothing new."""
    first = await dispatched(journal, "cancel", request=CANCEL)
    await journal.conclude(first, LOST)
    second = await dispatched(journal, "cancel", request=CANCEL, follows=1)
    await journal.conclude(second, LOST)
    assert (await journal.conclude(second, REFUSED)).attempt.state is Delivery.REFUSED


async def test_order_found_after_its_day_has_expired(journal: Journal) -> None:
    """What its row shows as left is not in the book any more."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, acknowledged(row=row(leaves=10), is_final=True, resolved_by=ResolvedBy.LEDGER))
    kinds = [event.kind for event in await journal.order_events(0, limit=9)]
    assert kinds == [OrderEventKind.ACCEPTED, OrderEventKind.EXPIRED]


async def test_what_the_broker_confirms_cannot_be_taken_back(journal: Journal) -> None:
    """It rests on a person's word no longer."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.OPERATOR))
    await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.RESPONSE))
    with pytest.raises(IllegalTransition, match="nothing to take back"):
        await journal.withdraw(attempt, "wrong line")


async def test_operators_verdict_can_be_taken_back(journal: Journal) -> None:
    """The number is free for another order, the history tells all of it, and a wrong acceptance is told as an alarm."""
    attempt, other = await dispatched(journal), await dispatched(journal, "order-2")
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.OPERATOR))
    conclusion = await journal.withdraw(attempt, "wrong line")
    assert (conclusion.news.events, conclusion.news.touched) == (1, ("order-1",)), "who waits for it is woken"
    withdrawn = conclusion.attempt
    assert (withdrawn.state, withdrawn.broker_order_id, withdrawn.resolved_by) == (Delivery.UNKNOWN, None, None)
    assert withdrawn.reason == "wrong line"
    taken = await journal.conclude(other, acknowledged(resolved_by=ResolvedBy.RESPONSE))
    assert (taken.contradiction, taken.attempt.broker_order_id) == (None, "0000101")
    last = (await journal.history("order-1"))[-1]
    assert (last.event, last.evidence["was_claimed"], last.evidence["reason"]) == ("withdrawn", "0000101", "wrong line")
    events = [(event.client_order_id, event.kind) for event in await journal.order_events(0, limit=9)]
    assert events == [
        ("order-1", OrderEventKind.ACCEPTED),
        ("order-1", OrderEventKind.ALARM),
        ("order-2", OrderEventKind.ACCEPTED),
    ]


async def test_number_that_is_given_back_takes_no_other_along(journal: Journal) -> None:
    """Only the claim of the verdict is gone: not those of the same day, nor the same number of another day."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.OPERATOR))
    await journal.conclude(await dispatched(journal, "beside"), acknowledged("0000102"))
    await journal.conclude(await dispatched(journal, "tomorrow"), acknowledged(claim_day=TOMORROW))
    await journal.withdraw(attempt, "wrong line")
    places = [(DAY, "0000101"), (DAY, "0000102"), (TOMORROW, "0000101")]
    claims = [await journal.claim_of(Desk.STOCK, day, number) for day, number in places]
    assert [claim and claim.client_order_id for claim in claims] == [None, "beside", "tomorrow"]


async def test_answer_takes_back_a_number_that_a_person_gave_to_another_order(journal: Journal) -> None:
    """Else the answered order would have no row of its own, and be proven absent; the other one is unknown again."""
    first = await dispatched(journal)
    await journal.conclude(first, LOST)
    await journal.conclude(first, acknowledged("0000105", resolved_by=ResolvedBy.OPERATOR))
    second = await dispatched(journal, "order-2")
    conclusion = await journal.conclude(second, acknowledged("0000105", resolved_by=ResolvedBy.RESPONSE))
    assert (conclusion.contradiction, conclusion.attempt.broker_order_id) == (None, "0000105")
    assert set(conclusion.news.touched) == {"order-1", "order-2"}
    assert (await state_of(journal), await state_of(journal, "order-2")) == (
        (Delivery.UNKNOWN,),
        (Delivery.ACKNOWLEDGED,),
    )
    last = (await journal.history("order-1"))[-1]
    assert (last.event, last.evidence["decided_by"], last.evidence["was_claimed"]) == ("withdrawn", "broker", "0000105")
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000105")
    assert claim is not None
    assert claim.client_order_id == "order-2"
    assert (await journal.health(DAY)).kept == ()


@pytest.mark.parametrize("source", [ResolvedBy.EVENT, ResolvedBy.LEDGER, ResolvedBy.OPERATOR])
async def test_only_an_answer_takes_a_number_back(journal: Journal, source: ResolvedBy) -> None:
    """What was found by matching, or said by a person, does not know better than a person."""
    first = await dispatched(journal)
    await journal.conclude(first, LOST)
    await journal.conclude(first, acknowledged("0000105", resolved_by=ResolvedBy.OPERATOR))
    second = await dispatched(journal, "order-2")
    await journal.conclude(second, LOST)
    assert (await journal.conclude(second, acknowledged("0000105", resolved_by=source))).contradiction is not None
    assert await state_of(journal) == (Delivery.ACKNOWLEDGED,)


@pytest.mark.parametrize("source", [ResolvedBy.RESPONSE, ResolvedBy.EVENT, ResolvedBy.LEDGER])
async def test_what_the_broker_confirmed_is_not_taken_back(journal: Journal, source: ResolvedBy) -> None:
    """Better evidence takes the place of a person's word; so does an answer that nobody decided."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.OPERATOR))
    confirmed = await journal.conclude(attempt, acknowledged(resolved_by=source))
    assert confirmed.attempt.resolved_by is source
    with pytest.raises(IllegalTransition, match="nothing to take back"):
        await journal.withdraw(attempt, "too late")
    assert await state_of(journal) == (Delivery.ACKNOWLEDGED,)


async def test_unsent_id_may_be_sent_again(journal: Journal) -> None:
    """A send that provably did not leave uses up nothing but its number."""
    await journal.conclude(await dispatched(journal), Finding(Event.PROVEN_UNSENT, reason="no connection"))
    assert (await dispatched(journal)).number == 2
    assert await state_of(journal) == (Delivery.NOT_SENT, Delivery.DISPATCHED)


DIFFERENT = [
    {"symbol": "000660"},
    {"side": Side.SELL},
    {"quantity": 11},
    {"price": 70_100},
    {"price": None, "order_type": OrderType.MARKET},
    {"order_type": OrderType.LIMIT_IOC},
    {"route": Route.NXT},
    {"stop_price": 1},
    {"desk": Desk.CREDIT},
    {"action": Action.MODIFY, "original": "0000001"},
]


@pytest.mark.parametrize("changes", DIFFERENT, ids="-".join)
async def test_same_key_another_request_is_a_conflict(journal: Journal, changes: dict[str, Any]) -> None:
    """Each field of a request is part of it; the error says which differ."""
    await dispatched(journal)
    with pytest.raises(ClientOrderIdConflict) as caught:
        await journal.dispatch(plan(request=evolve(BUY, **changes)))
    assert set(caught.value.differences) == set(changes)
    assert await state_of(journal) == (Delivery.DISPATCHED,)


async def test_cancel_of_our_order_is_named_by_its_id(journal: Journal) -> None:
    """A cancel stays the same when its target has got a number since; of another target it is another cancel."""
    waiting = evolve(CANCEL, original=None, target="order-1")
    known = evolve(CANCEL, original="0000101", target="order-1")
    await dispatched(journal, "cancel-1", request=known)
    assert isinstance(await journal.dispatch(plan("cancel-1", request=known)), Known)
    assert waiting.differences(known) == {}
    with pytest.raises(ClientOrderIdConflict) as caught:
        await journal.dispatch(plan("cancel-1", request=evolve(known, target="order-2")))
    assert set(caught.value.differences) == {"target"}


async def test_same_key_of_another_account_is_a_conflict(journal: Journal) -> None:
    """An id belongs to one account, and the error names neither."""
    await dispatched(journal)
    with pytest.raises(ClientOrderIdConflict, match="another app key") as caught:
        await journal.dispatch(plan(account="key-other"))
    assert ACCOUNT not in str(caught.value)


@pytest.mark.parametrize("state", list(Delivery))
async def test_open_twin_waits(journal: Journal, state: Delivery) -> None:
    """An identical order waits while the outcome of the first is not known, and only then."""
    await put(journal, await dispatched(journal), state)
    permission = await journal.dispatch(plan("order-2"))
    if state in {Delivery.UNKNOWN, Delivery.CANDIDATES}:
        assert permission == TwinOpen("order-1")
        assert await journal.find("order-2") is None
        permitted(await journal.dispatch(plan("order-2", waits_for_twins=False)))
    else:
        assert isinstance(permission, Dispatched)


async def test_different_orders_and_accounts_are_no_twins(journal: Journal) -> None:
    """Only identical orders of the same account pay for an unknown one."""
    await journal.conclude(await dispatched(journal), LOST)
    permitted(await journal.dispatch(plan("order-2", evolve(BUY, price=70_100))))
    permitted(await journal.dispatch(plan("order-3", account="key-other")))


FOLLOWED = {Delivery.REFUSED, Delivery.NOT_ACCEPTED, Delivery.NOT_SENT, Delivery.PREPARED}


@pytest.mark.parametrize("state", list(Delivery))
async def test_only_a_known_end_may_be_followed(journal: Journal, state: Delivery) -> None:
    """A second send needs an end that is known, and the number of the attempt it follows."""
    await put(journal, await dispatched(journal), state)
    permission = await journal.dispatch(plan(follows=1))
    assert isinstance(permission, Dispatched if state in FOLLOWED else Known)
    if isinstance(permission, Dispatched):
        assert isinstance(await journal.dispatch(plan(follows=1)), Known)


@pytest.mark.parametrize("state", list(Delivery))
async def test_full_cancel_may_be_repeated_while_unknown(journal: Journal, state: Delivery) -> None:
    """A cancel of all that is left may go out again while the first is unknown; a partial one never."""
    await put(journal, await dispatched(journal, "full", request=CANCEL), state)
    await put(journal, await dispatched(journal, "part", request=evolve(CANCEL, quantity=3)), state)
    unknown = {Delivery.UNKNOWN, Delivery.CANDIDATES, Delivery.UNRESOLVED_AT_CLOSE}
    full = await journal.dispatch(plan("full", CANCEL, follows=1))
    assert isinstance(full, Dispatched if state in FOLLOWED | unknown else Known)
    part = await journal.dispatch(plan("part", evolve(CANCEL, quantity=3), follows=1))
    assert isinstance(part, Dispatched if state in FOLLOWED else Known)


# ---------------------------------------------------------------- obligations


async def test_obligation_is_sent_as_the_same_attempt(journal: Journal) -> None:
    """A prepared cancel becomes the send of its first attempt, aimed at the number that was found."""
    waiting = obligation(runner=journal.runner)
    cancel = evolve(intent("cancel-1"), request=waiting.request)
    assert isinstance(await journal.prepare(cancel, waiting), Dispatched)
    assert isinstance(await journal.prepare(cancel, waiting), Known)
    aimed = waiting.request.aimed_at("0000101", DAY)
    attempt = permitted(await journal.dispatch(evolve(plan("cancel-1"), intent=cancel, request=aimed)))
    assert (attempt.number, attempt.request) == (1, aimed)
    record = await journal.find("cancel-1")
    assert record is not None
    assert record.intent.request.target == "order-1"
    assert [entry.event for entry in await journal.history("cancel-1")] == ["noted", "dispatched"]


async def test_obligation_under_a_used_id_is_a_conflict(journal: Journal) -> None:
    """An id that stands for an order cannot become a cancel."""
    await dispatched(journal, "cancel-1")
    waiting = obligation()
    with pytest.raises(ClientOrderIdConflict):
        await journal.prepare(evolve(intent("cancel-1"), request=waiting.request), waiting)


# ---------------------------------------------------------------- conclusions


@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("state", list(Delivery))
async def test_state_moves_by_the_table_only(journal: Journal, state: Delivery, event: Event) -> None:
    """Every pair of state and event: a transition, an agreement, or a contradiction that moves nothing."""
    attempt = await dispatched(journal)
    await put(journal, attempt, state)
    conclusion = await journal.conclude(attempt, Finding(event))
    fitting = Event.REAPPEARED if (state, event) == (Delivery.NOT_ACCEPTED, Event.ACKNOWLEDGED) else event
    moves = (state, fitting) in TRANSITIONS
    assert conclusion.attempt.state is TRANSITIONS.get((state, fitting), state)
    assert await state_of(journal) == (conclusion.attempt.state,)
    assert (conclusion.contradiction is None) == (moves or (state, fitting) in AGREEING)
    last = (await journal.history("order-1"))[-1]
    assert last.state is conclusion.attempt.state
    assert last.event == (fitting.value if moves else "noted")
    if conclusion.contradiction is not None:
        assert (last.evidence["contradiction"], last.evidence["event"]) == (conclusion.contradiction, fitting.value)


async def test_acknowledgment_claims_the_number(journal: Journal) -> None:
    """State, number, evidence, claim and high-water mark are written together."""
    attempt = await dispatched(journal)
    finding = acknowledged(resolved_by=ResolvedBy.RESPONSE, ended=1002.0, is_answered=True, evidence={"told": "ok"})
    moved = (await journal.conclude(attempt, finding)).attempt
    assert (moved.broker_order_id, moved.resolved_by, moved.ended, moved.is_answered) == (
        "0000101",
        ResolvedBy.RESPONSE,
        1002.0,
        True,
    )
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000101")
    assert claim is not None
    assert (claim.client_order_id, claim.attempt, claim.status) == ("order-1", 1, None)
    assert await journal.claims(Desk.STOCK, DAY, 0) == {"0000101": (claim, moved)}
    assert await journal.claims(Desk.STOCK, DAY, 101) == {}
    assert (await dispatched(journal, "order-2")).mark == 101
    record = await journal.find("order-1")
    assert record is not None
    assert record.evidence == {"told": "ok"}


async def test_claimed_order_never_claimed_twice(journal: Journal) -> None:
    """A number that is another order's is a contradiction for this one."""
    await journal.conclude(await dispatched(journal, "order-1"), acknowledged())
    second = await dispatched(journal, "order-2")
    conclusion = await journal.conclude(second, acknowledged())
    assert conclusion.contradiction is not None
    assert "'order-1'" in conclusion.contradiction
    assert conclusion.attempt.state is Delivery.DISPATCHED
    assert (await journal.conclude(second, acknowledged(claim_day=TOMORROW))).contradiction is None


async def test_numbers_are_claimed_per_account_day_and_ledger(journal: Journal) -> None:
    """The same number on the gold ledger, or of another account, is another order; credit shares with stocks."""
    gold = OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.BUY, 1, 180_000, OrderType.LIMIT)
    await journal.conclude(await dispatched(journal, "stock"), acknowledged())
    for name, made in {"gold": plan("gold", gold), "other": plan("other", account="key-other")}.items():
        assert (
            await journal.conclude(permitted(await journal.dispatch(made)), acknowledged())
        ).contradiction is None, name
    credit = permitted(await journal.dispatch(plan("credit", evolve(BUY, desk=Desk.CREDIT))))
    assert (await journal.conclude(credit, acknowledged())).contradiction is not None


@pytest.mark.parametrize("finding", [REFUSED, Finding(Event.PROVEN_UNSENT, reason="no connection")])
async def test_repetition_of_a_cancel_that_did_nothing_is_no_contradiction(journal: Journal, finding: Finding) -> None:
    """The row of a full cancel may have been taken for its second send, which comes too late: the first one did it."""
    await put(journal, await dispatched(journal, "full", request=CANCEL), Delivery.UNKNOWN)
    again = permitted(await journal.dispatch(plan("full", CANCEL, follows=1)))
    await journal.conclude(again, acknowledged("0000105", resolved_by=ResolvedBy.LEDGER))
    concluded = await journal.conclude(again, finding)
    assert concluded.contradiction is None
    assert concluded.attempt.state is Delivery.ACKNOWLEDGED
    first = await dispatched(journal, "other", request=evolve(CANCEL, original="0000102"))
    await journal.conclude(first, acknowledged("0000106", resolved_by=ResolvedBy.LEDGER))
    assert (await journal.conclude(first, finding)).contradiction is not None


async def test_second_number_for_an_attempt_is_a_contradiction(journal: Journal) -> None:
    """One send has one number: a different one is recorded and moves nothing, in every state that has one."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, acknowledged())
    other = acknowledged("0000102")
    assert "0000101 is known" in ((await journal.conclude(attempt, other)).contradiction or "")
    await put(journal, evolve(attempt, broker_order_id="0000101"), Delivery.REVIVED)
    duplicated = evolve(other, event=Event.DUPLICATED)
    assert (await journal.conclude(attempt, duplicated)).contradiction is not None
    same = evolve(duplicated, broker_order_id="0000101")
    assert (await journal.conclude(attempt, same)).attempt.state is Delivery.DUPLICATE
    assert await journal.claim_of(Desk.STOCK, DAY, "0000102") is None


async def test_cancel_known_by_its_effect_gets_its_number_later(journal: Journal) -> None:
    """A number for an acknowledged attempt that has none is news, not a contradiction; another's number is one."""
    attempt = await dispatched(journal, request=CANCEL)
    await journal.conclude(attempt, Finding(Event.ACKNOWLEDGED, resolved_by=ResolvedBy.LEDGER))
    await journal.conclude(await dispatched(journal, "order-2"), acknowledged("0000103"))
    assert (await journal.conclude(attempt, acknowledged("0000103"))).contradiction is not None
    conclusion = await journal.conclude(attempt, acknowledged("0000102"))
    assert conclusion.contradiction is None
    assert conclusion.attempt.broker_order_id == "0000102"
    assert await journal.claim_of(Desk.STOCK, DAY, "0000102") is not None


async def test_first_evidence_of_an_acceptance_stays_named(journal: Journal) -> None:
    """What confirms it later, with its number or without one, contradicts nothing and takes nothing away."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, acknowledged(resolved_by=ResolvedBy.RESPONSE))
    for confirming in (acknowledged(resolved_by=ResolvedBy.LEDGER), Finding(Event.ACKNOWLEDGED)):
        confirmed = await journal.conclude(attempt, confirming)
        assert confirmed.contradiction is None
        assert (confirmed.attempt.broker_order_id, confirmed.attempt.resolved_by) == ("0000101", ResolvedBy.RESPONSE)


def end_of(attempt: Attempt) -> tuple[float | None, timedelta | None]:
    """Give when its sender was finished, on both clocks."""
    return attempt.ended, None if attempt.ended_at is None else attempt.ended_at - NOON


async def test_news_without_an_end_keeps_the_one_that_is_known(journal: Journal) -> None:
    """On both clocks: what is dead since when is reckoned from them."""
    attempt = await dispatched(journal)
    lost = (await journal.conclude(attempt, evolve(LOST, is_answered=True))).attempt
    assert end_of(lost) == (1003.0, timedelta(seconds=3))
    found = (await journal.conclude(attempt, acknowledged())).attempt
    assert (found.state, end_of(found)) == (Delivery.ACKNOWLEDGED, end_of(lost))
    assert found.is_answered, "nor is it forgotten that there was an answer"


async def test_agreeing_news_keeps_the_better_end_of_the_sender(journal: Journal) -> None:
    """A sender that was thought dead knows better when it was finished, and never extends the recovery's stamp."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, evolve(LOST, ended=1005.0, ended_at=NOON + timedelta(seconds=5)))
    for told, kept in ((1009.0, 5), (1002.0, 2), (None, 2)):
        at = None if told is None else NOON + timedelta(seconds=told - 1000)
        agreed = (await journal.conclude(attempt, evolve(LOST, ended=told, ended_at=at))).attempt
        assert end_of(agreed) == (1000.0 + kept, timedelta(seconds=kept))
    assert await state_of(journal) == (Delivery.UNKNOWN,)


async def test_late_acceptance_revives(journal: Journal) -> None:
    """An order that was proven absent and turns up after all is revived, with its number."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, ABSENT)
    assert (await journal.conclude(attempt, acknowledged())).attempt.state is Delivery.REVIVED
    assert (await journal.conclude(attempt, acknowledged())).contradiction is None


async def test_late_acceptance_beside_the_resend_of_another_order_revives(journal: Journal) -> None:
    """Only another attempt of the same order makes two of it."""
    other = await dispatched(journal, "order-2")
    await journal.conclude(other, LOST)
    again = permitted(await journal.replace(other, ABSENT, plan("order-2", follows=1)))
    await journal.conclude(again, acknowledged("0000102"))
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, ABSENT)
    assert (await journal.conclude(attempt, acknowledged())).attempt.state is Delivery.REVIVED


async def test_late_acceptance_beside_a_resend_is_a_duplicate(journal: Journal) -> None:
    """Both attempts on the book: the late one is a duplicate."""
    first = await dispatched(journal)
    await journal.conclude(first, LOST)
    second = permitted(await journal.replace(first, ABSENT, plan(follows=1)))
    await journal.conclude(second, acknowledged("0000102"))
    assert (await journal.conclude(first, acknowledged("0000101"))).attempt.state is Delivery.DUPLICATE


async def test_acceptance_of_a_resend_after_a_revival_is_a_duplicate(journal: Journal) -> None:
    """The same the other way round: the first turns up while the second is still on its way."""
    first = await dispatched(journal)
    await journal.conclude(first, LOST)
    second = permitted(await journal.replace(first, ABSENT, plan(follows=1)))
    assert (await journal.conclude(first, acknowledged("0000101"))).attempt.state is Delivery.REVIVED
    await journal.conclude(second, acknowledged("0000102"))
    assert await state_of(journal) == (Delivery.DUPLICATE, Delivery.ACKNOWLEDGED)
    assert (await journal.history("order-1"))[-1].event == "duplicated"


async def test_conclusion_about_an_unheard_attempt_raises(journal: Journal) -> None:
    """Nothing is invented about an id the journal has never heard of."""
    attempt = await dispatched(journal)
    with pytest.raises(IllegalTransition, match="no attempt 2"):
        await journal.conclude(evolve(attempt, number=2), LOST)


# ---------------------------------------------------------------- replace


async def test_replace_closes_and_permits_at_once(journal: Journal) -> None:
    """The proof and the permission are one transaction, under the same id."""
    first = await dispatched(journal)
    await journal.conclude(first, LOST)
    second = permitted(await journal.replace(first, ABSENT, plan(follows=1)))
    assert second.number == 2
    assert await state_of(journal) == (Delivery.NOT_ACCEPTED, Delivery.DISPATCHED)
    assert isinstance(await journal.replace(first, ABSENT, plan(follows=1)), Known)
    assert await state_of(journal) == (Delivery.NOT_ACCEPTED, Delivery.DISPATCHED)


async def test_replace_gives_way_to_an_acceptance(journal: Journal) -> None:
    """What was learnt between proof and resend forbids the resend."""
    first = await dispatched(journal)
    await journal.conclude(first, acknowledged())
    permission = await journal.replace(first, ABSENT, plan(follows=1))
    assert isinstance(permission, Known)
    assert await state_of(journal) == (Delivery.ACKNOWLEDGED,)


async def test_replace_that_fails_leaves_nothing(journal: Journal) -> None:
    """A conflict in the second half undoes the first."""
    first = await dispatched(journal)
    await journal.conclude(first, LOST)
    with pytest.raises(ClientOrderIdConflict):
        await journal.replace(first, ABSENT, plan(request=evolve(BUY, price=1), follows=1))
    assert await state_of(journal) == (Delivery.UNKNOWN,)
    assert [entry.event for entry in await journal.history("order-1")] == ["dispatched", "lost"]


async def test_decisive_attempt_is_the_latest_that_may_have_left(journal: Journal) -> None:
    """A send that provably did not leave does not hide the one before it, nor its evidence."""
    first = await dispatched(journal)
    await journal.conclude(first, REFUSED)
    second = permitted(await journal.dispatch(plan(follows=1)))
    await journal.conclude(second, Finding(Event.PROVEN_UNSENT, evidence={"why": "no slot"}))
    record = await journal.find("order-1")
    assert record is not None
    assert (record.decisive.number, record.last.number) == (1, 2)
    assert record.evidence["code"] == "RC4003"
    assert isinstance(await journal.dispatch(plan(follows=2)), Known)
    assert permitted(await journal.dispatch(plan(follows=1))).number == 3


# ---------------------------------------------------------------- history


@pytest.mark.parametrize("statement", ["UPDATE history SET state = 'refused'", "DELETE FROM history"])
async def test_history_is_append_only(journal: Journal, statement: str) -> None:
    """The file itself refuses to change or to forget what happened."""
    await dispatched(journal)
    with pytest.raises(JournalError, match="append-only"):
        await journal._write(lambda connection: connection.execute(statement).fetchall())
    assert len(await journal.history("order-1")) == 1


async def test_attempt_without_intent_is_refused(journal: Journal) -> None:
    """No send stands in the file without the decision it belongs to."""

    def insert(connection: apsw.Connection) -> None:
        store_attempt(connection, obligation())

    with pytest.raises(JournalError):
        await journal._write(insert)
    assert await journal.open_attempts() == ()


# ---------------------------------------------------------------- ledger news


def news(*own: LedgerOrder, **changes: Any) -> LedgerNews:
    """Make what a look at the ledger taught."""
    return evolve(LedgerNews(ACCOUNT, Desk.STOCK, DAY, (), (), 0), own=own, **changes)


async def test_report_of_an_order_is_kept(journal: Journal) -> None:
    """Status, fills, price and remainder of a claimed order follow the ledger; the channel it teaches is kept."""
    await journal.conclude(await dispatched(journal), acknowledged())
    report = row(filled=4, leaves=6, average_fill_price=Decimal("69950.5"))
    await journal.note_ledger(news(report, channels=frozenset({"REST API"})))
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000101")
    assert claim is not None
    assert claim.status is OrderStatus.PARTIALLY_FILLED
    assert (claim.filled_quantity, claim.average_fill_price, claim.leaves_quantity) == (4, Decimal("69950.5"), 6)
    assert await journal.channels(Desk.STOCK) == {"REST API"}
    assert await journal.channels(Desk.CREDIT) == {"REST API"}
    assert await journal.channels(Desk.GOLD) == frozenset()


async def test_fills_never_shrink(journal: Journal) -> None:
    """A view that lags takes back neither fills nor the status that came with them."""
    await journal.conclude(await dispatched(journal), acknowledged())
    await journal.note_ledger(news(row(filled=10, leaves=0, average_fill_price=Decimal(70_000))))
    told = await journal.claim_of(Desk.STOCK, DAY, "0000101")
    await journal.note_ledger(news(row(filled=0, leaves=10)))
    assert await journal.claim_of(Desk.STOCK, DAY, "0000101") == told
    assert told is not None
    assert told.status is OrderStatus.FILLED


async def test_foreign_orders_are_kept_until_claimed(journal: Journal) -> None:
    """An order of somebody else is remembered once; a claim of ours corrects it."""
    attempt = await dispatched(journal)
    await journal.note_ledger(news(foreign=(row("0000101"), row("0000102")), highest=102))
    await journal.note_ledger(news(foreign=(row("0000101"),)))
    assert await journal.foreign_numbers(Desk.STOCK, DAY, 0) == {"0000101", "0000102"}
    assert await journal.foreign_numbers(Desk.STOCK, DAY, 101) == {"0000102"}
    assert await journal.foreign_numbers(Desk.STOCK, TOMORROW, 0) == frozenset()
    await journal.conclude(attempt, acknowledged("0000101"))
    assert await journal.foreign_numbers(Desk.STOCK, DAY, 0) == {"0000102"}


async def test_high_water_mark_only_rises(journal: Journal) -> None:
    """The mark is the highest number known for account, ledger and day."""
    for highest, mark in ((50, 50), (40, 50), (0, 50), (60, 60)):
        await journal.note_ledger(news(highest=highest))
        attempt = await dispatched(journal, f"order-{highest}-{mark}")
        assert attempt.mark == mark
    gold = OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.BUY, 1, 180_000, OrderType.LIMIT)
    assert permitted(await journal.dispatch(plan("gold", gold))).mark == 0
    assert permitted(await journal.dispatch(plan("next", day=TOMORROW))).mark == 0
    assert permitted(await journal.dispatch(plan("credit", evolve(BUY, desk=Desk.CREDIT)))).mark == 60


@pytest.mark.parametrize(
    ("source", "mark"),
    [(ResolvedBy.RESPONSE, 900), (ResolvedBy.LEDGER, 900), (ResolvedBy.EVENT, 50), (ResolvedBy.OPERATOR, 50)],
)
async def test_only_answers_and_ledgers_raise_the_mark(journal: Journal, source: ResolvedBy, mark: int) -> None:
    """A number that a person mistyped, or a strange one of the feed, makes no later order look older than the mark."""
    await journal.note_ledger(news(highest=50))
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, acknowledged("0000900", resolved_by=source))
    assert (await dispatched(journal, "later")).mark == mark


# ---------------------------------------------------------------- recovery and leases


async def test_orphans_of_a_runner_that_signed_off_are_unknown(tmp_path: Path) -> None:
    """What a closed client had dispatched is UNKNOWN to the next, which ends it no earlier than it could write."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT) as first:
        await dispatched(first, "order-1")
        waiting = obligation(runner=first.runner)
        await first.prepare(evolve(intent("cancel-1"), request=waiting.request), waiting)
    async with Journal(path, FixedAmbient(monotonic=1003.0), ACCOUNT) as second:
        assert await second.adopt_orphans() == 2
        waiting, attempt = sorted(await second.open_attempts(), key=lambda one: one.client_order_id)
        assert (attempt.state, attempt.ended) == (Delivery.UNKNOWN, 1005.0)
        assert attempt.ended_at == NOON + timedelta(seconds=5)
        assert attempt.reason == "the sending process ended"
        assert (waiting.state, waiting.runner) == (Delivery.PREPARED, second.runner)
        last = [(await second.history(name))[-1] for name in ("order-1", "cancel-1")]
        assert [(entry.event, entry.evidence["reason"]) for entry in last] == [
            ("lost", "the sending process ended"),
            ("noted", "the sending process ended"),
        ]
        assert await second.adopt_orphans() == 0


async def test_evidence_that_json_has_no_word_for_is_kept_as_text(journal: Journal) -> None:
    """An outcome is never lost for a detail of its evidence."""
    finding = evolve(REFUSED, evidence={"day": DAY})
    assert (await journal.conclude(await dispatched(journal), finding)).attempt.state is Delivery.REFUSED
    assert DAY.isoformat() in (await journal.history("order-1"))[-1].evidence["day"]


async def test_half_a_surrogate_pair_is_kept_as_it_came(journal: Journal) -> None:
    r"""JSON may say "\\ud83d" alone, and SQLite's UTF-8 cannot hold it; an answer is never lost for that."""
    message = json.loads('"거부 \\ud83d"')
    finding = evolve(REFUSED, evidence={"message": message})
    await journal.conclude(await dispatched(journal), finding)
    record = await journal.find("order-1")
    assert record is not None
    assert record.evidence["message"] == message
    assert (await journal.history("order-1"))[-1].evidence["message"] == message
    assert from_json(to_json([message]).encode().decode(), list[str]) == [message]


async def test_rows_of_another_boot_are_restamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monotonic stamps of an earlier boot mean nothing: such attempts end now, and unknown ones again.

    None of it looks like a clock that was set, which would widen the window.
    """
    path = tmp_path / "orders.db"
    rebooted, now = FixedAmbient("boot-2", 7.0), NOON + timedelta(minutes=2)
    monkeypatch.setattr(rebooted, "now", lambda: now)
    async with Journal(path, AMBIENT, ACCOUNT) as first:
        await dispatched(first, "order-1")
        await first.conclude(await dispatched(first, "order-2"), LOST)
    async with Journal(path, rebooted, ACCOUNT) as second:
        assert await second.adopt_orphans() == 2
        for attempt in await second.open_attempts():
            assert (attempt.state, attempt.boot_id, attempt.ended) == (Delivery.UNKNOWN, "boot-2", 7.0)
            assert attempt.clock_step(now + timedelta(seconds=5), 12.0, "boot-2") == 0


async def test_living_processes_that_name_the_boot_differently_leave_each_others_attempts_alone(
    tmp_path: Path,
) -> None:
    """Only the attempts of one that is gone are stamped anew, once; they are the heir's then."""
    path = tmp_path / "orders.db"
    elsewhere = FixedAmbient("boot-2", 7.0)
    async with Journal(path, elsewhere, ACCOUNT) as second:
        async with Journal(path, AMBIENT, ACCOUNT) as first:
            for name in ("order-1", "order-2"):
                await first.conclude(await dispatched(first, name, waits_for_twins=False), LOST)
            await dispatched(first, "order-3", waits_for_twins=False)
            before = await first.open_attempts()
            assert (await second.adopt_orphans(), await first.adopt_orphans()) == (0, 0)
            assert await second.open_attempts() == before
        assert await second.adopt_orphans() == 3
        elsewhere.seconds = 9.0
        async with Journal(path, FixedAmbient("boot-3", 5.0), ACCOUNT) as third:
            for _ in range(2):
                assert (await second.adopt_orphans(), await third.adopt_orphans()) == (0, 0)
            for attempt in await third.open_attempts():
                assert (attempt.state, attempt.ended) == (Delivery.UNKNOWN, 7.0)
                assert (attempt.boot_id, attempt.runner) == ("boot-2", second.runner)


async def test_orphans_of_another_account_stay_its_own(tmp_path: Path) -> None:
    """A client adopts for its account only; the other account's next client still finds its own."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, "key-other") as first:
        await dispatched(first, "order-1", account="key-other")
    async with Journal(path, AMBIENT, ACCOUNT) as second:
        assert await second.adopt_orphans() == 0
    async with Journal(path, AMBIENT, "key-other") as third:
        assert await third.adopt_orphans() == 1


async def test_lease_has_one_holder_and_an_epoch(tmp_path: Path) -> None:
    """A lease changes hands when it expires, is given back, or its holder signs off; each time the epoch grows."""
    path, clock = tmp_path / "orders.db", FixedAmbient()
    async with Journal(path, clock, ACCOUNT) as one, Journal(path, clock, ACCOUNT) as two:
        assert await one.take_lease("reconciler", 10.0) == 1
        assert await one.take_lease("reconciler", 10.0) == 1
        assert await two.take_lease("reconciler", 10.0) is None
        assert await two.take_lease("other", 10.0) == 1
        clock.seconds += 10.0
        assert await two.take_lease("reconciler", 10.0) == 2
        assert await one.take_lease("reconciler", 10.0) is None
        await one.release_lease("reconciler")
        assert await one.take_lease("reconciler", 10.0) is None
        await two.release_lease("reconciler")
        assert await one.take_lease("reconciler", 10.0) == 3
        async with Journal(path, FixedAmbient("boot-2", 1.0), ACCOUNT) as three:
            assert await three.take_lease("reconciler", 10.0) == 4
        assert await two.take_lease("reconciler", 10.0) == 5


async def test_evidence_is_read_back_as_it_was(journal: Journal) -> None:
    """Korean texts and nested details survive the file."""
    evidence = {"message": "호가단위 오류", "looks": [{"at": 1.5}, None]}
    await journal.conclude(await dispatched(journal), evolve(REFUSED, evidence=evidence))
    record = await journal.find("order-1")
    assert record is not None
    assert record.evidence == {**evidence, "reason": REFUSED.reason}
    assert json.dumps(record.evidence)
