"""What the broker tells of orders reaches the file once, and strategies hear it in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve

from kiwoom_async._domain.events import OrderEvent, OrderEventKind
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, ResolvedBy, Route, Side
from kiwoom_async._journal import lives, queries
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, Known
from kiwoom_async._journal.records import Bookmark, Doubt, Finding, JournalNews, ReportNews, WorkingOrder, to_json
from kiwoom_async.errors import JournalError
from tests.journal.builders import (
    ABSENT,
    ACCOUNT,
    BUY,
    BY_RESPONSE,
    CANCEL,
    DAY,
    LOST,
    NOON,
    TOMORROW,
    FixedAmbient,
    acknowledged,
    claimed,
    dispatched,
    events,
    fill,
    heard,
    news_of,
    plan,
    report,
    row,
)
from tests.journal.faulty_vfs import FaultyVFS, disk_broken, disk_full
from tests.journal.test_faults import journal_on

AMBIENT = FixedAmbient()
MODIFY = evolve(BUY, action=Action.MODIFY, quantity=None, price=70_100, original="0000101", original_day=DAY)
CANCEL_ALL = evolve(CANCEL, original="0000101", original_day=DAY)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Open an empty journal."""
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as opened:
        yield opened


def took(action: Action, number: str = "0000102", **changes: Any) -> OrderReport:
    """Make the report of a modify or cancel of 0000101 that has taken effect."""
    changes = {"original": "0000101", "leaves_quantity": 0, "at": NOON + timedelta(seconds=30), **changes}
    return report(ReportKind.CONFIRMED, number, action=action, **changes)


GONE = report(ReportKind.CANCELED, leaves_quantity=0, at=NOON + timedelta(seconds=31))


# ---------------------------------------------------------------- claims


async def test_fill_event_before_order_response_buffered(journal: Journal) -> None:
    """Reports that overtake the answer are kept, and told after the acceptance, in their order."""
    attempt = await dispatched(journal)
    news = await journal.note_reports([report(), fill(4, 4), fill(10, 6)])
    assert news == ReportNews(unclaimed=True)
    assert [kept.kind for kept in await journal.kept_reports(Desk.STOCK, DAY)] == ["accepted", "filled", "filled"]
    conclusion = await journal.conclude(attempt, BY_RESPONSE)
    assert (conclusion.news.events, conclusion.news.touched) == (3, ("order-1",))
    told = await events(journal)
    assert [(event.kind, event.source, event.status) for event in told] == [
        (OrderEventKind.ACCEPTED, ResolvedBy.RESPONSE, OrderStatus.WORKING),
        (OrderEventKind.FILLED, ResolvedBy.EVENT, OrderStatus.PARTIALLY_FILLED),
        (OrderEventKind.FILLED, ResolvedBy.EVENT, OrderStatus.FILLED),
    ]
    assert [event.sequence for event in told] == [1, 2, 3]
    assert told[1] == OrderEvent(
        sequence=2,
        kind=OrderEventKind.FILLED,
        client_order_id="order-1",
        broker_order_id="0000101",
        symbol="005930",
        side=Side.BUY,
        day=DAY,
        at=NOON + timedelta(seconds=4),
        recorded_at=NOON,
        source=ResolvedBy.EVENT,
        status=OrderStatus.PARTIALLY_FILLED,
        quantity=4,
        price=Decimal(70_000),
        filled_quantity=4,
        leaves_quantity=6,
        execution_id="x4",
    )
    assert await journal.kept_reports(Desk.STOCK, DAY) == ()
    assert await journal.terminals(Desk.STOCK) == {"6801005"}


async def test_event_for_unknown_ord_no_adopted_after_claim(journal: Journal) -> None:
    """A number that nobody has is kept once, and adopted by whoever is proven to have it, however that is proven."""
    await journal.note_reports([fill(10, 10)])
    assert not (await journal.note_reports([fill(10, 10)])).unclaimed
    assert (await journal.kept_reports(Desk.STOCK, DAY)) == (evolve(fill(10, 10), account_digest=None),)
    attempt = await dispatched(journal)
    found = acknowledged(resolved_by=ResolvedBy.LEDGER, row=row(filled=10, leaves=0))
    await journal.conclude(attempt, found)
    assert await heard(journal) == [("accepted", None), ("filled", 10)]
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000101")
    assert claim is not None
    assert (claim.status, claim.average_fill_price) == (OrderStatus.FILLED, Decimal(70_000))
    # It was bound by a match that may have rested on the terminal, which therefore teaches nothing.
    assert await journal.terminals(Desk.STOCK) == frozenset()


async def test_order_that_is_foreign_takes_no_other_report_along(journal: Journal) -> None:
    """What was reported of a number that may still be ours waits for its claim."""
    await journal.note_reports([fill(10, 10, "0000101"), fill(4, 4, "0000102")])
    await journal.note_ledger(news_of(foreign=(row("0000101"),)))
    assert [kept.broker_order_id for kept in await journal.kept_reports(Desk.STOCK, DAY)] == ["0000102"]
    await claimed(journal, number="0000102")
    assert await heard(journal) == [("accepted", None), ("filled", 4)]


async def test_agreeing_answers_emit_once(journal: Journal) -> None:
    """The same number again is no second acceptance, nor are late answers of any kind."""
    attempt = await dispatched(journal)
    for finding in (BY_RESPONSE, BY_RESPONSE, evolve(BY_RESPONSE, resolved_by=ResolvedBy.EVENT), Finding(Event.LOST)):
        await journal.conclude(attempt, finding)
    assert await heard(journal) == [("accepted", None)]


async def test_conflicting_claim_emits_nothing(journal: Journal) -> None:
    """A number that is another order's makes no acceptance."""
    await claimed(journal)
    await journal.conclude(await dispatched(journal, "order-2"), BY_RESPONSE)
    assert await heard(journal, "order-2") == []


async def test_cancel_that_gets_its_number_later_is_no_event(journal: Journal) -> None:
    """A cancel makes no event of its own; the number is kept."""
    attempt = await dispatched(journal, "cancel-1", request=CANCEL_ALL)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, Finding(Event.ACKNOWLEDGED, resolved_by=ResolvedBy.LEDGER))
    await journal.conclude(attempt, acknowledged("0000102"))
    assert await events(journal) == []
    record = await journal.find("cancel-1")
    assert record is not None
    assert record.last.broker_order_id == "0000102"


async def test_numbers_mean_their_account_day_and_ledger(journal: Journal) -> None:
    """A report is about the order of its own day and ledger only."""
    await claimed(journal)
    for other in (fill(10, 10, day=TOMORROW), fill(10, 10, desk=Desk.GOLD, symbol="M04020000")):
        news = await journal.note_reports([other])
        assert (news.events, news.unclaimed) == (0, True)
    assert [kept.desk for kept in await journal.kept_reports(Desk.GOLD, DAY)] == [Desk.GOLD]
    assert await heard(journal) == [("accepted", None)]


async def test_reported_numbers_leave_the_mark_alone(journal: Journal) -> None:
    """With one strange number from the feed, every order lost afterwards would look older than its mark."""
    await journal.note_reports([report(number="0900000")])
    assert (await dispatched(journal)).mark == 0


@pytest.mark.parametrize(
    ("changes", "is_held_back"),
    [
        ({}, True),
        ({"symbol": "000660"}, False),
        ({"day": DAY - timedelta(days=1)}, False),
        ({"side": Side.SELL}, False),
        ({"quantity": 11}, False),
        ({"quantity": 0}, True),
        ({"price": 69_900}, False),
        ({"price": None}, True),
        # Nobody knows what a report repeats that is not about the acceptance of a new order.
        ({"side": Side.SELL, "kind": ReportKind.FILLED}, True),
        ({"quantity": 11, "kind": ReportKind.CONFIRMED}, True),
        ({"quantity": 11, "action": Action.MODIFY, "original": "0000400"}, True),
        ({"quantity": 11, "original": "0000400"}, True),
    ],
)
async def test_report_that_came_after_a_proof_holds_it_back(
    journal: Journal, changes: dict[str, Any], *, is_held_back: bool
) -> None:
    """Neither the verdict nor the permission of a resend is written beside a report that the proof did not know."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.note_reports([report(number="0000500", **changes)])
    permission = await journal.replace(attempt, ABSENT, evolve(plan(), follows=1))
    assert isinstance(permission, Known) is is_held_back
    concluded = await journal.conclude(attempt, ABSENT)
    assert concluded.attempt.state is (Delivery.UNKNOWN if is_held_back else Delivery.NOT_ACCEPTED)
    if is_held_back:
        considered = evolve(ABSENT, considered=frozenset({(DAY, "0000500")}))
        assert (await journal.conclude(attempt, considered)).attempt.state is Delivery.NOT_ACCEPTED
        history = await journal.history("order-1")
        assert [entry.evidence.get("proof_held_back_by") for entry in history] == [
            None,
            None,
            "0000500",
            "0000500",
            None,
        ]


@pytest.mark.parametrize(
    ("request_", "changes", "is_held_back"),
    [
        (evolve(BUY, route=Route.SOR), {"quantity": 4}, True),
        (evolve(BUY, route=Route.SOR), {"quantity": 4, "price": 69_900}, False),
        (evolve(BUY, price=None, order_type=OrderType.MARKET), {"price": 69_900}, True),
        (evolve(BUY, price=None, order_type=OrderType.MARKET), {"price": 69_900, "quantity": 11}, False),
        (CANCEL, {"quantity": 11, "side": Side.SELL}, True),
    ],
    ids=["part", "part at another price", "derived price", "market order", "cancel"],
)
async def test_report_that_may_be_of_the_order_holds_its_proof_back(
    journal: Journal, request_: OrderRequest, changes: dict[str, Any], *, is_held_back: bool
) -> None:
    """What SOR splits shows parts, an order without a price may show any, and of a cancel not much is known."""
    attempt = await dispatched(journal, request=request_)
    await journal.conclude(attempt, LOST)
    await journal.note_reports([report(number="0000500", **changes)])
    concluded = await journal.conclude(attempt, ABSENT)
    assert concluded.attempt.state is (Delivery.UNKNOWN if is_held_back else Delivery.NOT_ACCEPTED)


async def test_one_report_that_tells_enough_frees_the_proof(journal: Journal) -> None:
    """A number is one order: once its acceptance shows that it is another one, its fills may say what they like."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.note_reports([report(ReportKind.FILLED, "0000500", quantity=11)])
    assert (await journal.conclude(attempt, ABSENT)).attempt.state is Delivery.UNKNOWN
    await journal.note_reports([report(number="0000500", quantity=11), report(number="0000501")])
    assert (await journal.conclude(attempt, ABSENT)).attempt.state is Delivery.UNKNOWN
    history = await journal.history("order-1")
    assert [entry.evidence.get("proof_held_back_by") for entry in history[2:]] == ["0000500", "0000501"]


async def test_report_holds_back_nothing_but_a_proof(journal: Journal) -> None:
    """That the answer is lost is true beside any report, and a person who has looked may say what it means."""
    attempt = await dispatched(journal)
    await journal.note_reports([report(number="0000500")])
    assert (await journal.conclude(attempt, LOST)).attempt.state is Delivery.UNKNOWN
    verdict = evolve(ABSENT, resolved_by=ResolvedBy.OPERATOR)
    assert (await journal.conclude(attempt, verdict)).attempt.state is Delivery.NOT_ACCEPTED


async def test_cancel_whose_proof_is_held_back_is_not_replaced(journal: Journal) -> None:
    """A cancel of all may be repeated while it is unknown, but not as the successor of one that is not closed."""
    attempt = await dispatched(journal, request=CANCEL_ALL)
    await journal.conclude(attempt, LOST)
    await journal.note_reports([report(number="0000500")])
    following = plan(request=CANCEL_ALL, follows=1)
    permission = await journal.replace(attempt, ABSENT, following)
    assert isinstance(permission, Known)
    assert [one.state for one in permission.record.attempts] == [Delivery.UNKNOWN]
    assert isinstance(await journal.dispatch(following), Dispatched)


@pytest.mark.parametrize(("since", "ends", "doubts"), [(900.0, False, 0), (1001.0, False, 1), (900.0, True, 1)])
async def test_claim_whose_order_may_have_been_missed_wants_a_look(
    journal: Journal, since: float, *, ends: bool, doubts: int
) -> None:
    """Only a session that began before the send and goes on has heard all that was reported of the order."""
    epoch = await journal.begin_feed(since, NOON)
    attempt = await dispatched(journal)
    if ends:
        await journal.end_feed(epoch, 1001.0, "cut")
    news = (await journal.conclude(attempt, acknowledged())).news
    assert len(news.doubts) == doubts


# ---------------------------------------------------------------- every source


async def test_fill_told_by_every_source_counts_once(journal: Journal) -> None:
    """Feed, ledger and executions, each twice, in two orders: one fill each, with the exact amount in the end."""
    executed = ExecutedOrder(Desk.STOCK, DAY, "0000101", "005930", 10, 4, Decimal(69_999), 6)
    listed = row(filled=4, leaves=6, average_fill_price=Decimal(69_999))
    await claimed(journal)
    for _ in range(2):
        await journal.note_ledger(news_of(listed))
        await journal.note_executions([executed])
        await journal.note_reports([fill(4, 4)])
    assert await heard(journal) == [("accepted", None), ("filled", 4)]
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000101")
    assert claim is not None
    assert (claim.filled_quantity, claim.average_fill_price, claim.leaves_quantity) == (4, Decimal(70_000), 6)
    assert (await events(journal))[1].source is ResolvedBy.LEDGER
    assert (await events(journal))[1].price == 69_999


async def test_executions_of_others_are_ignored(journal: Journal) -> None:
    """A row of the executions that is nobody's of us changes nothing."""
    news = await journal.note_executions(
        [ExecutedOrder(Desk.STOCK, DAY, "0000600", "005930", 10, 4, Decimal(70_000), 6)]
    )
    assert news == ReportNews()


async def test_alarm_is_told_once(journal: Journal) -> None:
    """What cannot be true is an event, an alarm and a reason to look, once; nothing is counted."""
    await claimed(journal)
    wrong = row(filled=11, leaves=0)
    first = await journal.note_ledger(news_of(wrong))
    assert first.alarms == ("order order-1 (0000101): overfill: 11 filled of an order for 10",)
    assert first.doubts
    assert await journal.note_ledger(news_of(wrong)) == ReportNews()
    told = (await events(journal))[-1]
    assert (told.kind, told.filled_quantity, told.status) == (OrderEventKind.ALARM, 0, None)
    assert told.text == "overfill: 11 filled of an order for 10"


@pytest.mark.parametrize("is_kept", [False, True], ids=["after the answer", "before the answer"])
@pytest.mark.parametrize("changes", [{"symbol": "000660"}, {"side": Side.SELL}], ids=["symbol", "side"])
async def test_report_of_another_order_fills_nothing(
    journal: Journal, changes: dict[str, Any], *, is_kept: bool
) -> None:
    """A report that has the number of an order and cannot be of it is no fill of it, and wants a look."""
    strange = fill(10, 10, **changes)
    if is_kept:
        await journal.note_reports([strange])
    attempt = await dispatched(journal)
    news = (await journal.conclude(attempt, BY_RESPONSE)).news
    if not is_kept:
        news = await journal.note_reports([strange])
    about = "buy 000660" if "symbol" in changes else "sell 005930"
    assert news.alarms == (f"order order-1 (0000101): under its number stands {about}",)
    assert news.doubts == (Doubt(Desk.STOCK, DAY, "0000101"),)
    assert [event.kind for event in await events(journal)] == [OrderEventKind.ACCEPTED, OrderEventKind.ALARM]


@pytest.mark.parametrize("by", [ResolvedBy.RESPONSE, ResolvedBy.OPERATOR])
@pytest.mark.parametrize("is_row", [True, False])
async def test_number_under_which_another_order_stands(journal: Journal, by: ResolvedBy, *, is_row: bool) -> None:
    """A person may be wrong about a number; where the broker said it, the feed says it twice (A8); a row is A10's."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, acknowledged(resolved_by=by))
    if is_row:
        news = await journal.note_ledger(news_of(row(filled=10, leaves=0, symbol="000660")))
    else:
        news = await journal.note_reports([fill(10, 10, symbol="000660")])
    assert news.alarms == ("order order-1 (0000101): under its number stands buy 000660",)
    (found,) = (await journal.health(DAY)).kept
    is_repeated = by is ResolvedBy.RESPONSE and not is_row
    assert found.breach.kind is (BreachKind.NUMBER_REPEATED if is_repeated else BreachKind.STATEMENT_IMPOSSIBLE)
    record = await journal.find("order-1")
    assert record is not None
    assert record.claims[0].filled_quantity == 0


async def test_execution_of_another_order_is_none_of_ours(journal: Journal) -> None:
    """The ledger tells of it; the executions name a symbol, and at times no side."""
    await claimed(journal)
    strange = ExecutedOrder(Desk.STOCK, DAY, "0000101", "000660", 10, 10, Decimal(70_000), 0)
    assert (await journal.note_executions([strange])).events == 0
    assert (await journal.note_executions([evolve(strange, symbol="005930")])).events == 1


async def test_symbol_may_name_the_market_of_the_trade(journal: Journal) -> None:
    """As quotes do: it is the same order."""
    await claimed(journal)
    assert (await journal.note_reports([fill(10, 10, symbol="005930_NX")])).events == 1


@pytest.mark.parametrize("is_near", [True, False])
async def test_last_word_on_an_order_of_the_day_before(journal: Journal, *, is_near: bool) -> None:
    """Right after midnight, numbers that begin anew are no contradiction."""
    midnight = NOON.replace(hour=0, minute=4 if is_near else 6)
    attempt = await dispatched(journal)
    await journal.conclude(attempt, BY_RESPONSE)
    news = await journal.note_reports([fill(10, 10, symbol="000660", at=midnight)])
    assert bool(news.alarms) is not is_near
    assert news.doubts == (Doubt(Desk.STOCK, DAY, "0000101"),), "the ledger tells what is true"
    assert [event.filled_quantity for event in await events(journal)] == [0] * (1 if is_near else 2)


async def test_refusal_after_acceptance(journal: Journal) -> None:
    """The reason reaches the strategy, half a surrogate pair included, and the order is finished."""
    await claimed(journal)
    refusal = report(ReportKind.REFUSED, leaves_quantity=0, reason="거부 \ud83d")
    await journal.note_reports([refusal, refusal])
    told = (await events(journal))[-1]
    assert (told.kind, told.text, told.status) == (OrderEventKind.REFUSED, "거부 \ud83d", OrderStatus.REFUSED)
    assert await journal.working_orders() == ()
    assert len(await events(journal)) == 2


async def test_final_ledger_expires_what_is_left(journal: Journal) -> None:
    """After the end of the day, what is left has expired, once."""
    await claimed(journal)
    await journal.note_reports([fill(4, 4)])
    for _ in range(2):
        await journal.note_ledger(news_of(row(filled=4, leaves=0), is_final=True))
    assert await heard(journal) == [("accepted", None), ("filled", 4), ("expired", 6)]
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000101")
    assert claim is not None
    assert (claim.status, claim.leaves_quantity) == (OrderStatus.EXPIRED, 0)


# ---------------------------------------------------------------- modifies and cancels


async def test_acknowledgement_of_a_cancel_is_no_effect(journal: Journal) -> None:
    """An answer to a cancel is an acceptance: only the feed or the ledger says that the original has gone."""
    await claimed(journal)
    await claimed(journal, "cancel-1", "0000102", request=CANCEL_ALL)
    assert [order.client_order_id for order in await journal.working_orders()] == ["order-1"]
    assert await heard(journal) == [("accepted", None)]


@pytest.mark.parametrize("is_early", [False, True])
async def test_cancel_that_took_effect_empties_its_original(journal: Journal, is_early: bool) -> None:
    """Reported before or after its answer, by its own number and by the original's: one event."""
    await claimed(journal)
    if not is_early:
        await claimed(journal, "cancel-1", "0000102", request=CANCEL_ALL)
    news = await journal.note_reports([took(Action.CANCEL)])
    # Whose it is, is not known before the answer, but that it took something from ours is.
    assert (bool(news.doubts), news.unclaimed) == (is_early, is_early)
    if is_early:
        await claimed(journal, "cancel-1", "0000102", request=CANCEL_ALL)
    await journal.note_reports([GONE, took(Action.CANCEL)])
    assert await heard(journal) == [("accepted", None), ("canceled", 10)]
    assert (await events(journal))[-1].client_order_id == "order-1"


@pytest.mark.parametrize("order", ["report first", "answer first", "original first", "original before the answer"])
async def test_modify_that_took_effect_says_where_the_order_lives_on(journal: Journal, order: str) -> None:
    """In whatever order it is told: one acceptance of the new number, one change of the old one."""
    await claimed(journal)
    steps: dict[str, list[Any]] = {
        "report first": [[took(Action.MODIFY)], "answer", [GONE]],
        "answer first": ["answer", [took(Action.MODIFY), GONE]],
        "original first": ["answer", [GONE, took(Action.MODIFY)]],
        "original before the answer": [[took(Action.MODIFY), GONE], "answer"],
    }
    for step in steps[order]:
        if step == "answer":
            await claimed(journal, "modify-1", "0000102", request=MODIFY)
        else:
            await journal.note_reports(step)
    await journal.note_ledger(
        news_of(row(leaves=0), row("0000102", action=Action.MODIFY, original="0000101", confirmed_quantity=10))
    )
    assert await heard(journal, "order-1") == [("accepted", None), ("modified", 10)]
    moved = next(event for event in await events(journal) if event.kind is OrderEventKind.MODIFIED)
    assert (moved.replaced_by, moved.broker_order_id, moved.leaves_quantity) == ("0000102", "0000101", 0)
    assert await heard(journal, "modify-1") == [("accepted", None)]
    assert [order.broker_order_id for order in await journal.working_orders()] == ["0000102"]


@pytest.mark.parametrize("action", [Action.CANCEL, Action.MODIFY])
async def test_ledger_tells_of_a_whole_modify_or_cancel(journal: Journal, action: Action) -> None:
    """Without a feed: the rows of the original and of what was done to it make one event."""
    await claimed(journal)
    request = MODIFY if action is Action.MODIFY else CANCEL_ALL
    await claimed(journal, "change-1", "0000102", request=request)
    change = row("0000102", action=action, original="0000101", leaves=0, confirmed_quantity=6, quantity=6)
    # The mark may be above the original, so that its own row is not among them.
    for own in ((change,), (row(filled=4, leaves=0), change)):
        news = await journal.note_ledger(news_of(*own))
        assert not news.doubts
    kind = "modified" if action is Action.MODIFY else "canceled"
    assert await heard(journal, "order-1") == [("accepted", None), (kind, 10), ("filled", 4)]


PART = evolve(MODIFY, quantity=4)


def moved(number: str = "0000102", confirmed: int = 4, **changes: Any) -> LedgerOrder:
    """Make the row of a modify of 0000101."""
    changes = {"original": "0000101", "quantity": confirmed, "confirmed_quantity": confirmed, **changes}
    return row(number, leaves=confirmed, action=Action.MODIFY, **changes)


async def told_of_original(journal: Journal) -> list[tuple[str, int | None, int | None, str | None]]:
    """Read what was told of the first order after its acceptance."""
    return [
        (event.kind.value, event.quantity, event.leaves_quantity, event.replaced_by)
        for event in (await events(journal))[1:]
        if event.client_order_id == "order-1"
    ]


async def test_modify_of_a_part_says_where_that_part_lives_on(journal: Journal) -> None:
    """It is no cancellation, and told once; the rest that is canceled is."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=PART)
    for _ in range(2):
        await journal.note_ledger(news_of(row(leaves=6), moved()))
    assert await told_of_original(journal) == [("modified", 4, 6, "0000102")]
    assert await journal.parts_moved("order-1", "0000101") == {"0000102"}
    assert await journal.parts_moved("modify-1", "0000102") == frozenset()
    # The same number explains no second loss.
    await claimed(journal, "cancel-1", "0000103", request=evolve(CANCEL_ALL, quantity=4))
    await journal.note_ledger(news_of(row(leaves=2), moved()))
    assert (await told_of_original(journal))[1:] == [("canceled", 4, 2, None)]
    assert await journal.parts_moved("order-1", "0000101") == frozenset()


async def test_modify_that_names_all_that_is_left_is_no_cancellation(journal: Journal) -> None:
    """Whether its quantity was named or not: all of it lives on under the new number."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=evolve(MODIFY, quantity=10))
    await journal.note_reports([took(Action.MODIFY), GONE])
    await journal.note_ledger(news_of(row(leaves=0), moved(confirmed=10)))
    assert await told_of_original(journal) == [("modified", 10, 0, "0000102")]


async def test_modifies_of_parts_and_a_cancel_of_the_rest_in_one_look(journal: Journal) -> None:
    """Nobody has looked in between: each part is told with its number, and what was canceled as that."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=PART)
    await claimed(journal, "modify-2", "0000103", request=evolve(PART, quantity=3))
    await claimed(journal, "cancel-1", "0000104", request=CANCEL_ALL)
    gone = row("0000104", leaves=0, action=Action.CANCEL, original="0000101", quantity=3, confirmed_quantity=3)
    await journal.note_ledger(news_of(row(leaves=0), moved(), moved("0000103", 3), gone))
    assert await told_of_original(journal) == [
        ("modified", 4, 6, "0000102"),
        ("modified", 3, 3, "0000103"),
        ("canceled", 3, 0, None),
    ]


async def test_modify_of_a_part_before_one_of_the_rest(journal: Journal) -> None:
    """The modify of all that was left does not take the part of the one before it."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=PART)
    await claimed(journal, "modify-2", "0000103", request=MODIFY)
    await journal.note_ledger(news_of(moved(), moved("0000103", 6)))
    assert await told_of_original(journal) == [("modified", 4, 6, "0000102"), ("modified", 6, 0, "0000103")]
    assert await journal.parts_moved("order-1", "0000101") == frozenset()


async def test_modify_of_a_part_that_only_the_feed_has_told(journal: Journal) -> None:
    """Its number is nobody's yet; once it is ours, nothing is told again."""
    await claimed(journal)
    await journal.note_reports([took(Action.MODIFY, quantity=4, leaves_quantity=4)])
    await journal.note_ledger(news_of(row(leaves=6)))
    await claimed(journal, "modify-1", "0000102", request=PART)
    await journal.note_ledger(news_of(row(leaves=6), moved()))
    assert await told_of_original(journal) == [("modified", 4, 6, "0000102")]


async def test_modify_that_was_refused_explains_nothing(journal: Journal) -> None:
    """What has left the book beside it was canceled."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=PART)
    await journal.note_reports([report(ReportKind.REFUSED, "0000102", action=Action.MODIFY, original="0000101")])
    await journal.note_ledger(news_of(row(leaves=6)))
    assert await told_of_original(journal) == [("canceled", 4, 6, None)]


GOLD_BUY = evolve(BUY, desk=Desk.GOLD, symbol="M04020000", route=None)
GOLD_PART = evolve(GOLD_BUY, action=Action.MODIFY, quantity=4, original="0000101", original_day=DAY)


def gold(number: str = "0000101", filled: int = 0, **changes: Any) -> LedgerOrder:
    """Make a row of the gold ledger, which does not tell what is left."""
    return row(number, filled=filled, leaves=None, desk=Desk.GOLD, symbol="M04020000", route=None, **changes)


async def test_gold_ledger_tells_what_is_left_by_what_was_taken(journal: Journal) -> None:
    """Three were canceled by us or a person, and seven filled: nothing is left of ten, and nothing expires."""
    await claimed(journal, request=GOLD_BUY)
    cancel = gold("0000102", action=Action.CANCEL, original="0000101", quantity=3, confirmed_quantity=3)
    for filled, is_final in ((4, False), (7, False), (7, True)):
        news = news_of(gold(filled=filled), desk=Desk.GOLD, changes=(cancel,), is_final=is_final)
        await journal.note_ledger(news)
    assert await heard(journal) == [("accepted", None), ("filled", 4), ("canceled", 3), ("filled", 3)]
    claim = await journal.claim_of(Desk.GOLD, DAY, "0000101")
    assert claim is not None
    assert (claim.status, claim.leaves_quantity) == (OrderStatus.CANCELED, 0)


async def test_cancel_of_a_modify_takes_nothing_from_the_root_that_its_row_may_name(journal: Journal) -> None:
    """Ours has named its target itself; the ledger may name the root of the chain."""
    await claimed(journal, request=GOLD_BUY)
    await claimed(journal, "modify-1", "0000102", request=GOLD_PART)
    request = evolve(GOLD_PART, action=Action.CANCEL, quantity=None, original="0000102")
    await claimed(journal, "cancel-1", "0000103", request=request)
    part = gold("0000102", action=Action.MODIFY, original="0000101", quantity=4, confirmed_quantity=4)
    cancel = gold("0000103", action=Action.CANCEL, original="0000101", quantity=4, confirmed_quantity=4)
    await journal.note_ledger(news_of(gold(), part, cancel, desk=Desk.GOLD, changes=(part, cancel)))
    assert await told_of_original(journal) == [("modified", 4, 6, "0000102")]
    assert await heard(journal, "modify-1") == [("accepted", None), ("canceled", 4)]


async def test_final_ledger_tells_what_was_canceled_from_what_has_expired(journal: Journal) -> None:
    """Nobody has looked before the day was over: what a person canceled did not expire."""
    await claimed(journal)
    cancel = row("0000102", action=Action.CANCEL, leaves=0, original="0000101", quantity=3, confirmed_quantity=3)
    await journal.note_ledger(news_of(row(leaves=0), changes=(cancel,), is_final=True))
    assert await heard(journal) == [("accepted", None), ("canceled", 3), ("expired", 7)]


async def test_partial_cancel_wants_a_look(journal: Journal) -> None:
    """What a partial one took is known from the original's own statements only."""
    await claimed(journal)
    await claimed(journal, "cancel-1", "0000102", request=evolve(CANCEL_ALL, quantity=3))
    assert (await journal.note_reports([took(Action.CANCEL, quantity=3)])).doubts
    listed = row("0000102", action=Action.CANCEL, original="0000101", leaves=0, confirmed_quantity=3, quantity=3)
    assert not (await journal.note_ledger(news_of(row(leaves=7), listed))).doubts
    assert await heard(journal) == [("accepted", None), ("canceled", 3)]
    assert (await events(journal))[-1].leaves_quantity == 7


async def test_somebody_elses_cancel_of_our_order_wants_a_look(journal: Journal) -> None:
    """Reported while it is nobody's, and after it is declared foreign."""
    await claimed(journal)
    news = await journal.note_reports([took(Action.CANCEL)])
    assert (bool(news.doubts), news.unclaimed) == (True, True)
    listed = row("0000102", action=Action.CANCEL, original="0000101", leaves=0, confirmed_quantity=10)
    assert (await journal.note_ledger(news_of(foreign=(listed,)))).doubts
    assert await journal.kept_reports(Desk.STOCK, DAY) == ()
    news = await journal.note_reports([took(Action.CANCEL)])
    assert (bool(news.doubts), news.unclaimed) == (True, False)
    assert await journal.kept_reports(Desk.STOCK, DAY) == ()


async def test_refused_cancel_is_told(journal: Journal) -> None:
    """A cancel that was accepted and then refused leaves the original as it is."""
    await claimed(journal)
    await claimed(journal, "cancel-1", "0000102", request=CANCEL_ALL)
    refusal = report(ReportKind.REFUSED, "0000102", action=Action.CANCEL, original="0000101", reason="늦음")
    await journal.note_reports([refusal, refusal])
    assert await heard(journal) == [("accepted", None), ("refused", None)]
    assert [order.client_order_id for order in await journal.working_orders()] == ["order-1"]


async def test_cancellation_that_tells_no_fills_wants_a_look(journal: Journal) -> None:
    """It says that something was filled, and not how much."""
    await claimed(journal)
    assert not (await journal.note_reports([fill(4, 4)])).doubts
    assert (await journal.note_reports([evolve(GONE, filled_amount=None)])).doubts
    assert await heard(journal) == [("accepted", None), ("filled", 4), ("canceled", 6)]


# ---------------------------------------------------------------- reading


async def test_events_are_read_by_account_and_sequence(journal: Journal, tmp_path: Path) -> None:
    """Each account hears of its own orders, from any sequence number on, as many as it asks for."""
    await claimed(journal)
    async with Journal(tmp_path / "orders.db", AMBIENT, "key-other") as other:
        await claimed(other, "other-1", account="key-other")
        assert [event.client_order_id for event in await events(other)] == ["other-1"]
        assert (await other.bookmark()).event == 2
    news = await journal.note_reports([fill(1, 1), fill(2, 1), fill(3, 1)])
    assert (news.events, news.last_event) == (3, 5)
    assert [event.sequence for event in await journal.order_events(1, limit=2)] == [3, 4]
    assert [event.sequence for event in await journal.order_events(4, limit=2)] == [5]
    assert await journal.order_events(5, limit=2) == ()
    assert (await journal.bookmark()).event == 5


async def test_news_name_the_orders_that_any_process_has_written_about(journal: Journal, tmp_path: Path) -> None:
    """From a bookmark on: by history whosever account it is, by events of one's own; then there are none."""
    assert await journal.bookmark() == Bookmark()
    await claimed(journal)
    start = await journal.bookmark()
    assert await journal.news(start) == JournalNews(start, frozenset())
    async with Journal(tmp_path / "orders.db", AMBIENT, ACCOUNT) as other:
        await other.note_reports([fill(1, 1)])
        await dispatched(other, "order-2")
    news = await journal.news(start)
    assert news.touched == frozenset({"order-1", "order-2"})
    assert news.until == Bookmark(start.history + 1, start.event + 1)
    async with Journal(tmp_path / "orders.db", AMBIENT, "key-other") as stranger:
        await claimed(stranger, "other-1", account="key-other")
        theirs = await stranger.news(Bookmark())
    until = evolve(news.until, history=theirs.until.history)
    assert await journal.news(news.until) == JournalNews(until, frozenset({"other-1"}))
    assert (await journal.news(theirs.until)).until.event == news.until.event < theirs.until.event


async def test_too_many_news_are_not_named(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long sleep the cost of a look is what it always is."""
    await claimed(journal)
    monkeypatch.setattr(queries, "MOST_NAMED", 2)
    assert (await journal.news(Bookmark())).touched is None
    assert (await journal.news(Bookmark(1, 0))).touched == frozenset({"order-1"})


async def test_end_without_an_event_leaves_a_trace(journal: Journal) -> None:
    """An order that turns out to be no larger than what was filled: whoever waits for it is told, in any process."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=MODIFY)
    part = fill(6, 6, "0000102", action=Action.MODIFY, original="0000101", leaves_quantity=None)
    await journal.note_reports([part])
    start = await journal.bookmark()
    news = await journal.note_reports([evolve(part, quantity=6)])
    claim = await journal.claim_of(Desk.STOCK, DAY, "0000102")
    assert claim is not None
    assert claim.status is OrderStatus.FILLED
    assert (news.events, news.touched) == (0, ("modify-1",))
    assert (await journal.news(start)).touched == frozenset({"modify-1"})
    last = (await journal.history("modify-1"))[-1]
    assert (last.event, last.evidence) == ("noted", {"status": "filled"})


@pytest.mark.parametrize("statement", ["UPDATE order_events SET event = ''", "DELETE FROM order_events"])
async def test_order_events_are_append_only(journal: Journal, statement: str) -> None:
    """The file itself refuses to change or to forget what strategies were told."""
    await claimed(journal)
    with pytest.raises(JournalError, match="append-only"):
        await journal._write(lambda connection: connection.execute(statement).fetchall())


async def test_working_orders_are_those_that_may_be_in_the_book(journal: Journal) -> None:
    """Orders and modifies that are not finished, of any day and desk; cancels never."""
    await claimed(journal)
    await claimed(journal, "order-2", "0000103")
    await claimed(journal, "order-3", "0000104", day=TOMORROW)
    await claimed(journal, "credit-1", "0000105", request=evolve(BUY, desk=Desk.CREDIT))
    await claimed(journal, "cancel-1", "0000102", request=CANCEL_ALL)
    await journal.note_reports([fill(4, 4), fill(10, 10, "0000103")])
    assert await journal.working_orders() == (
        WorkingOrder(Desk.STOCK, DAY, "0000101", "005930", "order-1"),
        WorkingOrder(Desk.STOCK, DAY, "0000105", "005930", "credit-1"),
        WorkingOrder(Desk.STOCK, TOMORROW, "0000104", "005930", "order-3"),
    )


async def test_file_holds_no_account_digest(journal: Journal, tmp_path: Path) -> None:
    """What the feed says of the account is checked when it comes, and not kept."""
    await claimed(journal)
    await journal.note_reports([fill(4, 4), fill(4, 4, "0000999")])
    assert b"digest-of-account" not in contents(tmp_path)


def contents(folder: Path) -> bytes:
    """Read every file of a folder."""
    return b"".join(entry.read_bytes() for entry in folder.iterdir())


# ---------------------------------------------------------------- together or not at all


@pytest.mark.parametrize("failure", [disk_full, disk_broken])
async def test_every_journal_failure_of_a_batch_of_reports(tmp_path: Path, failure: Callable[[], Exception]) -> None:
    """The N-th disk call fails, for every N: the whole batch is written, or none of it, and it may come again."""
    failures = 0
    batch = [fill(4, 4), fill(10, 6), report(number="0000200")]
    for number in range(1, 1000):
        path, vfs = tmp_path / f"orders-{number}.db", FaultyVFS()
        async with journal_on(vfs, path) as journal:
            await claimed(journal)
            vfs.arm(number, failure)
            try:
                await journal.note_reports(batch)
                is_written = True
            except JournalError:
                is_written = False
                failures += 1
            has_struck = vfs.has_struck
            vfs.disarm()
        async with Journal(path, AMBIENT, ACCOUNT) as journal:
            told = await heard(journal)
            kept = await journal.kept_reports(Desk.STOCK, DAY)
            assert (len(told), len(kept)) in ([(3, 1)] if is_written else [(1, 0), (3, 1)])
            await journal.note_reports(batch)
            assert await heard(journal) == [("accepted", None), ("filled", 4), ("filled", 6)]
            assert len(await journal.kept_reports(Desk.STOCK, DAY)) == 1
        if not has_struck:
            break
    assert failures >= 2


async def test_one_bad_report_undoes_its_batch_only(journal: Journal) -> None:
    """A batch that cannot be written leaves nothing behind."""
    await claimed(journal)
    with pytest.raises(AttributeError, match="isoformat"):
        await journal.note_reports([fill(4, 4), report(day="not a day")])
    assert await heard(journal) == [("accepted", None)]


async def test_two_clients_write_the_same_reports(tmp_path: Path) -> None:
    """Two connections that hear the same feed: every fill is told once."""
    path = tmp_path / "orders.db"
    async with Journal(path, AMBIENT, ACCOUNT) as one, Journal(path, AMBIENT, ACCOUNT) as two:
        attempt = await dispatched(one)
        await two.note_reports([report(), fill(4, 4)])
        await one.note_reports([report(), fill(4, 4)])
        await one.conclude(attempt, BY_RESPONSE)
        for journal in (one, two):
            await journal.note_reports([fill(10, 6), fill(4, 4)])
        expected = [("accepted", None), ("filled", 4), ("filled", 6)]
        assert (await heard(one), await heard(two)) == (expected, expected)


def test_reports_of_one_meaning_are_one_text() -> None:
    """The set of order types is written in one order, so that a repeated report is recognized."""
    assert '"order_types":["limit","limit_ioc"]' in to_json(report())


async def test_feed_tells_of_a_resolved_order(journal: Journal) -> None:
    """An order whose number came by an event is told with that evidence, and teaches no terminal."""
    await journal.note_reports([report()])
    finding = evolve(BY_RESPONSE, resolved_by=ResolvedBy.EVENT)
    await journal.conclude(await dispatched(journal), finding)
    assert [event.source for event in await events(journal)] == [ResolvedBy.EVENT]
    assert await journal.terminals(Desk.STOCK) == frozenset()


async def test_trace_of_a_batch_uses_indexes(journal: Journal) -> None:
    """Writing down a report costs the same however long the history is."""
    await claimed(journal)
    await claimed(journal, "modify-1", "0000102", request=MODIFY)

    def plans(connection: apsw.Connection) -> list[str]:
        statements: list[tuple[str, Any]] = []

        def note(_: apsw.Cursor, sql: str, bindings: Any) -> bool:
            statements.append((sql, bindings))
            return True

        connection.exec_trace = note
        batch = [
            report(number="0000200"),
            fill(4, 4),
            fill(11, 1),
            GONE,
            took(Action.MODIFY),
            took(Action.MODIFY, "0000300"),
        ]
        try:
            lives.note_reports(connection, ACCOUNT, batch, NOON)
        finally:
            connection.exec_trace = None
        return [
            step[3]
            for sql, bindings in statements
            if not sql.startswith(("SAVEPOINT", "RELEASE"))
            for step in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)
        ]

    steps = await journal._write(plans)
    assert steps
    assert not [step for step in steps if step.startswith("SCAN") and "CONSTANT" not in step]
