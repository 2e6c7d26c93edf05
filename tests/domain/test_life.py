"""What the broker says of an order is merged: each fill counts once, whatever comes twice, late or never."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.life import FINISHED, TRANSITIONS, Life, LifeEvent, News, Step, follow
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.sights import Move, Sight, effect_on_original, has_taken_effect
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, ResolvedBy, Side

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=KST)
ORDER = Life(Action.NEW, quantity=10)
F, C, M, R, X = (
    OrderEventKind.FILLED,
    OrderEventKind.CANCELED,
    OrderEventKind.MODIFIED,
    OrderEventKind.REFUSED,
    OrderEventKind.EXPIRED,
)


def report(kind: ReportKind = ReportKind.FILLED, second: int = 0, **changes: Any) -> OrderReport:
    """Make a report of the feed about an order for ten."""
    made = OrderReport(
        kind=kind,
        day=NOON.date(),
        desk=Desk.STOCK,
        broker_order_id="0000101",
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=10,
        price=70_000,
        order_types=frozenset(),
        route=None,
        original=None,
        leaves_quantity=10,
        filled_quantity=0,
        filled_amount=0,
        fill_quantity=None,
        fill_price=None,
        execution_id=None,
        at=NOON + timedelta(seconds=second),
    )
    return evolve(made, **changes)


def fill(total: int, quantity: int, amount: int, second: int = 0, *, leaves: int | None = None) -> Sight:
    """See a fill on the feed: the total, the single fill, and the amount of all."""
    return Sight.of_report(
        report(
            second=second,
            filled_quantity=total,
            filled_amount=amount,
            fill_quantity=quantity,
            fill_price=100,
            execution_id=f"x{total}",
            leaves_quantity=10 - total if leaves is None else leaves,
        )
    )


def canceled(leaves: int, second: int = 0, *, amount: int | None = 0) -> Sight:
    """See a cancellation on the feed, which tells no total of the fills."""
    return Sight.of_report(report(ReportKind.CANCELED, second, leaves_quantity=leaves, filled_amount=amount or amount))


def refusal() -> Sight:
    """See on the feed that the order was refused."""
    return Sight.of_report(report(ReportKind.REFUSED, leaves_quantity=0, reason="호가"))


def row(filled: int = 0, leaves: int | None = 10, average: Decimal | None = None, **changes: Any) -> LedgerOrder:
    """Make a row of the ledger about an order for ten."""
    made = LedgerOrder(
        day=NOON.date(),
        desk=Desk.STOCK,
        broker_order_id="0000101",
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=10,
        price=70_000,
        order_types=frozenset(),
        route=None,
        stop_price=None,
        original=None,
        channel="",
        ordered_at=NOON,
        filled_quantity=filled,
        average_fill_price=average,
        leaves_quantity=leaves,
        confirmed_quantity=0,
    )
    return evolve(made, **changes)


def executed(filled: int, leaves: int | None, average: Decimal | None = None) -> Sight:
    """See a row of the executions."""
    return Sight.of_execution(ExecutedOrder(Desk.STOCK, NOON.date(), "0000101", "005930", 10, filled, average, leaves))


def live(*sights: Sight, life: Life = ORDER) -> Step:
    """Follow sights in order; give the life, all the news and all the alarms."""
    news: list[News] = []
    alarms: list[str] = []
    for sight in sights:
        step = follow(life, sight)
        life = step.life
        news += step.news
        alarms += [] if step.alarm is None else [step.alarm]
    return Step(life, tuple(news), "; ".join(alarms) or None)


def heard(step: Step) -> list[tuple[OrderEventKind, int | None]]:
    """Give the kinds and quantities of the news."""
    return [(news.kind, news.quantity) for news in step.news]


# ---------------------------------------------------------------- named scenarios


def test_duplicate_fill_event_once() -> None:
    """The same report of a fill twice counts once."""
    step = live(fill(4, 4, 400), fill(4, 4, 400))
    assert heard(step) == [(F, 4)]
    assert (step.life.filled_quantity, step.life.status, step.alarm) == (4, OrderStatus.PARTIALLY_FILLED, None)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fill_from_rest_and_ws_once(order: tuple[int, ...]) -> None:
    """A fill that feed, ledger and executions tell counts once, with the feed's exact amount."""
    sights = [
        fill(3, 3, 301),
        Sight.of_row(row(3, 7, Decimal(100))),
        executed(3, 7, Decimal(100)),
    ]
    step = live(*(sights[place] for place in order))
    assert heard(step) == [(F, 3)]
    assert (step.life.filled_amount, step.life.is_exact) == (Decimal(301), True)
    assert step.news[0].execution_id == ("x3" if order[0] == 0 else None)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fills_out_of_order_converge(order: tuple[int, ...]) -> None:
    """Three fills in any order end in the same life and in a total of ten."""
    sights = [fill(1, 1, 100, 1), fill(3, 2, 300, 2), fill(10, 7, 1000, 3)]
    step = live(*(sights[place] for place in order))
    assert step.life == live(*sights).life
    assert sum(news.quantity or 0 for news in step.news) == 10
    assert sum((news.price or 0) * (news.quantity or 0) for news in step.news) == pytest.approx(Decimal(1000))
    assert (step.life.status, step.life.leaves_quantity, step.alarm) == (OrderStatus.FILLED, 0, None)


def test_price_of_missed_fills_is_their_average() -> None:
    """What was missed is told with the price that the amounts leave for it, and without an execution number."""
    step = live(fill(1, 1, 100, 1), fill(10, 1, 1000, 5))
    assert [(news.quantity, news.price, news.execution_id) for news in step.news] == [
        (1, Decimal(100), "x1"),
        (9, Decimal(100), None),
    ]


def test_unknown_amount_gives_no_price() -> None:
    """A total without an amount gives a fill without a price, and the next single fill still has its own."""
    step = live(executed(4, 6), fill(5, 1, 777, 3))
    assert [(news.quantity, news.price) for news in step.news] == [(4, None), (1, Decimal(100))]
    assert step.life.filled_amount == 777


@pytest.mark.parametrize(
    ("total", "single", "price", "told", "amount"),
    [
        (4, 4, 100, None, 400),
        (4, 4, 100, 401, 401),
        (6, 2, 100, None, None),
        (4, 4, None, None, None),
    ],
)
def test_amount_that_is_not_told_is_that_of_the_first_fill_alone(
    total: int, single: int, price: int | None, told: int | None, amount: int | None
) -> None:
    """Where the single fill is all that is filled, its price says it; an amount that is told says it better."""
    said = report(filled_quantity=total, fill_quantity=single, fill_price=price, filled_amount=told)
    assert Sight.of_report(said).filled_amount == amount


def test_quantity_of_nothing_tells_no_size() -> None:
    """A modify of all that is left is listed with 0 until it is confirmed: that is no order for 0 shares."""
    unconfirmed = row(action=Action.MODIFY, quantity=0)
    assert Sight.of_row(unconfirmed).quantity is None
    assert Sight.of_row(evolve(unconfirmed, confirmed_quantity=6)).quantity == 6
    assert Sight.of_row(row(confirmed_quantity=6)).quantity == 10
    assert executed(4, 6).quantity == 10
    nameless = ExecutedOrder(Desk.STOCK, NOON.date(), "0000101", "005930", 0, 4, None, 6)
    assert Sight.of_execution(nameless).quantity is None


def test_confirmation_tells_what_is_left_of_any_order_but_a_modify() -> None:
    """Only of a modify it is not known whose rest is told; an acceptance tells no empty book."""
    told = {
        (kind, action): Sight.of_report(report(kind, action=action, leaves_quantity=leaves)).leaves_quantity
        for kind, leaves in ((ReportKind.CONFIRMED, 4), (ReportKind.ACCEPTED, 0))
        for action in (Action.NEW, Action.MODIFY)
    }
    assert told == {
        (ReportKind.CONFIRMED, Action.NEW): 4,
        (ReportKind.CONFIRMED, Action.MODIFY): None,
        (ReportKind.ACCEPTED, Action.NEW): None,
        (ReportKind.ACCEPTED, Action.MODIFY): None,
    }
    assert Sight.of_report(report(ReportKind.ACCEPTED, leaves_quantity=10)).leaves_quantity == 10


def test_cum_qty_regression_ignored_and_alarmed() -> None:
    """A later report with fewer fills is ignored with an alarm; an earlier one that is late is ignored in silence."""
    before = live(fill(6, 6, 600, 5))
    late = live(fill(4, 4, 400, 2), life=before.life)
    assert (late.life, late.news, late.alarm) == (before.life, (), None)
    same_second = live(fill(4, 4, 400, 5), life=before.life)
    assert (same_second.life, same_second.alarm) == (before.life, None)
    shrunk = live(fill(4, 4, 400, 6), life=before.life)
    assert (shrunk.life, shrunk.news) == (before.life, ())
    assert shrunk.alarm is not None
    assert "shrunk" in shrunk.alarm


def test_report_that_tells_no_total_is_no_regression() -> None:
    """A cancellation leaves the total of the fills empty: that says nothing about them."""
    step = live(fill(6, 6, 600, 1), canceled(0, 9, amount=None))
    assert (step.life.filled_quantity, step.life.status, step.alarm) == (6, OrderStatus.CANCELED, None)
    assert heard(step) == [(F, 6), (C, 4)]


def test_report_whose_amount_is_zero_tells_that_nothing_is_filled() -> None:
    """That is less than was known: it is alarmed, and nothing is taken back. Any other amount tells no total."""
    before = live(fill(6, 6, 600, 1))
    told = {
        amount: live(
            Sight.of_report(report(ReportKind.CONFIRMED, 9, leaves_quantity=4, filled_amount=amount)), life=before.life
        )
        for amount in (0, 1, None)
    }
    assert {amount: step.alarm is not None for amount, step in told.items()} == {0: True, 1: False, None: False}
    assert {step.life.filled_quantity for step in told.values()} == {6}


def test_leaves_that_grow_are_alarmed_when_newer() -> None:
    """What is left never grows: a later report that says so is alarmed, an older one is old news."""
    before = live(fill(4, 4, 400, 5))
    for second, is_alarmed in ((4, False), (5, False), (6, True)):
        step = live(fill(4, 4, 400, second, leaves=6), canceled(2, 7, amount=None), life=before.life)
        grown = live(evolve(canceled(5, 7 + is_alarmed, amount=None)), life=step.life)
        assert grown.life.leaves_quantity == 2
        assert (grown.alarm is not None) == is_alarmed


def test_fill_after_cancel_confirmed_applied() -> None:
    """A fill from before a cancel that is told after it counts, and the order stays canceled."""
    step = live(canceled(0, 5, amount=None), fill(4, 4, 400, 3, leaves=6))
    assert (step.life.filled_quantity, step.life.status, step.life.leaves_quantity) == (4, OrderStatus.CANCELED, 0)
    assert heard(step) == [(C, 10), (F, 4)]
    assert step.alarm is None
    filled = live(fill(10, 6, 1000, 4), life=step.life)
    assert (filled.life.status, filled.life.ending) == (OrderStatus.FILLED, None)


def test_overfill_alarm() -> None:
    """More filled than ordered cannot be: nothing is counted."""
    before = live(fill(9, 9, 900, 1))
    for sight in (fill(11, 2, 1100, 2, leaves=0), Sight.of_row(row(11, 0, Decimal(100)))):
        step = live(sight, life=before.life)
        assert (step.life, step.news) == (before.life, ())
        assert step.alarm == "overfill: 11 filled of an order for 10"


def test_reject_event_after_acceptance() -> None:
    """A refusal after the acceptance ends the order, with its reason; the ledger's empty row says no more."""
    accepted = Sight.of_report(report(ReportKind.ACCEPTED))
    step = live(accepted, refusal(), refusal(), Sight.of_row(row(0, 0)), Sight.of_row(row(0, 0), is_final=True))
    assert [(news.kind, news.text, news.leaves_quantity) for news in step.news] == [(R, "호가", 0)]
    assert (step.life.status, step.alarm) == (OrderStatus.REFUSED, None)
    # The row may come first, and cannot tell why nothing is left.
    other = live(Sight.of_row(row(0, 0)), refusal())
    assert (heard(other), other.life.status) == ([(C, 10), (R, None)], OrderStatus.REFUSED)


def test_refusal_and_fills_contradict() -> None:
    """A fill is money: it counts, whether the refusal comes before or after it, and there is an alarm."""
    for sights in ((fill(4, 4, 400), refusal()), (refusal(), fill(4, 4, 400))):
        step = live(*sights)
        assert (step.life.filled_quantity, step.life.status) == (4, OrderStatus.PARTIALLY_FILLED)
        assert step.alarm is not None
        assert "refused" in step.alarm
    assert live(fill(10, 10, 1000), refusal()).life.status is OrderStatus.FILLED


# ---------------------------------------------------------------- what leaves the book


def test_remainder_of_an_ioc_order_is_canceled() -> None:
    """A part is filled, and one report says that nothing of the rest is left."""
    step = live(fill(4, 4, 400, leaves=0))
    assert [(news.kind, news.quantity, news.leaves_quantity, news.status) for news in step.news] == [
        (F, 4, 6, OrderStatus.PARTIALLY_FILLED),
        (C, 6, 0, OrderStatus.CANCELED),
    ]


def test_partial_cancel_is_told_with_what_it_took() -> None:
    """A part leaves the book, then the rest is filled: the order is not full, and nothing is told twice."""
    step = live(
        fill(4, 4, 400, 1), canceled(3, 2, amount=None), fill(7, 3, 700, 3, leaves=0), canceled(0, 4, amount=None)
    )
    assert [(news.kind, news.quantity, news.leaves_quantity) for news in step.news] == [(F, 4, 6), (C, 3, 3), (F, 3, 0)]
    assert step.news[-1].status is step.life.status is OrderStatus.CANCELED


def test_more_than_the_order_in_one_statement() -> None:
    """Filled and left are more than the order: the fills are believed, the rest is not."""
    step = live(fill(4, 4, 400, leaves=8))
    assert (step.life.filled_quantity, step.life.leaves_quantity) == (4, None)
    assert step.alarm == "4 filled and 8 left are more than the 10 of the order"


@pytest.mark.parametrize(
    ("told", "moves", "news"),
    [
        (row(0, 6), [Move("2", 4)], [(M, 4, 6, "2")]),
        (row(0, 3), [Move("2", 4)], [(M, 4, 6, "2"), (C, 3, 3, None)]),
        (row(0, 3), [Move("2", 4), Move("3", 3)], [(M, 4, 6, "2"), (M, 3, 3, "3")]),
        # It took less than it moves, so something else has taken it.
        (row(0, 7), [Move("2", 4)], [(C, 3, 7, None)]),
        # Only where all is gone, a modify can have got less than it asked for.
        (row(4, 0), [Move("2", 10)], [(F, 4, 6, None), (M, 6, 0, "2")]),
        (row(6, 0), [Move("2", 4)], [(F, 6, 4, None), (M, 4, 0, "2")]),
        (row(0, 10), [Move("2", 4)], []),
        (row(10, 0), [Move("2", 4)], [(F, 10, 0, None)]),
    ],
)
def test_what_was_moved_is_not_told_as_canceled(
    told: LedgerOrder, moves: list[Move], news: list[tuple[OrderEventKind, int, int, str | None]]
) -> None:
    """A modify of a part explains a loss as large as what it moved; the rest was canceled."""
    step = live(evolve(Sight.of_row(told), moves=tuple(moves)))
    assert [(each.kind, each.quantity, each.leaves_quantity, each.replaced_by) for each in step.news] == news
    assert step.alarm is None
    plain = live(Sight.of_row(told))
    assert step.life == plain.life
    assert [each.status for each in step.news[-1:]] == [step.life.status for _ in step.news[-1:]]


def test_parts_before_a_modify_of_the_rest_keep_their_own_number() -> None:
    """Four were moved by one modify, and the rest by another one: each is told with its own."""
    sight = Sight(ResolvedBy.LEDGER, leaves_quantity=0, replaced_by="3", moves=(Move("2", 4),))
    step = live(sight, sight)
    assert [(each.kind, each.quantity, each.replaced_by) for each in step.news] == [(M, 4, "2"), (M, 6, "3")]
    assert step.life.replaced_by == "3"


def test_what_was_taken_tells_what_is_left_where_the_row_does_not() -> None:
    """Gold: three were canceled and seven filled, so that nothing is left, and nothing expires."""
    taken = live(Sight.of_row(row(0, None), taken=3))
    assert (heard(taken), taken.life.leaves_quantity, taken.life.status) == ([(C, 3)], 7, OrderStatus.WORKING)
    step = live(
        Sight.of_row(row(7, None), taken=3), Sight.of_row(row(7, None), taken=3, is_final=True), life=taken.life
    )
    assert (heard(step), step.life.leaves_quantity, step.life.status) == ([(F, 7)], 0, OrderStatus.CANCELED)
    # What cannot be true tells nothing, and where the row tells itself, it is believed.
    assert live(Sight.of_row(row(8, None), taken=3)).life.leaves_quantity is None
    assert live(Sight.of_row(row(0, 9), taken=3)).life.leaves_quantity == 9


def test_final_row_tells_what_was_taken_from_what_has_expired() -> None:
    """Three were canceled and nobody has looked until the day was over: seven expire."""
    step = live(Sight.of_row(row(0, 0), taken=3, is_final=True))
    assert (heard(step), step.life.status) == ([(C, 3), (X, 7)], OrderStatus.EXPIRED)
    step = live(Sight.of_row(row(0, 0), taken=10, is_final=True))
    assert (heard(step), step.life.status) == ([(C, 10)], OrderStatus.CANCELED)


def test_end_of_day_expires_what_is_left() -> None:
    """The final ledger says how much expired, whether it still lists it as left or not, and once."""
    for left in (6, 0, None):
        final = Sight.of_row(row(4, left, Decimal(100)), is_final=True)
        step = live(fill(4, 4, 400), final, final)
        assert heard(step) == [(F, 4), (X, 6)]
        assert (step.life.status, step.life.leaves_quantity) == (OrderStatus.EXPIRED, 0)
    assert heard(live(Sight.of_row(row(0, None), is_final=True))) == [(X, 10)]
    assert heard(live(canceled(0), Sight.of_row(row(0, 0), is_final=True))) == [(C, 10)]
    assert heard(live(fill(10, 10, 1000), Sight.of_row(row(10, 0), is_final=True))) == [(F, 10)]


def test_order_of_unknown_size_expires_with_its_day() -> None:
    """A modify of all that is left ends with the day although nobody has told how large it was."""
    end = Sight(ResolvedBy.LEDGER, is_final=True)
    modify = Life(Action.MODIFY)
    step = live(end, end, life=modify)
    assert (heard(step), step.life.status, step.life.leaves_quantity) == ([(X, None)], OrderStatus.EXPIRED, 0)
    assert heard(live(evolve(end, filled_quantity=4), life=modify)) == [(F, 4), (X, None)]
    assert heard(live(evolve(end, leaves_quantity=6), life=modify)) == [(X, 6)]


def test_confirmation_of_a_modify_says_nothing_of_what_is_left() -> None:
    """Whether its 0 is of the new order is not known; that of an acceptance cannot be."""
    modify = Life(Action.MODIFY, quantity=10)
    for kind in (ReportKind.ACCEPTED, ReportKind.CONFIRMED):
        step = live(Sight.of_report(report(kind, action=Action.MODIFY, leaves_quantity=0)), life=modify)
        assert (step.life.status, step.life.leaves_quantity, step.news) == (OrderStatus.WORKING, None, ())


def test_modify_is_as_large_as_what_it_moved() -> None:
    """It asked for ten, six were left to move: six filled is full, and the difference is no cancellation."""
    accepted = Sight.of_report(report(ReportKind.ACCEPTED, action=Action.MODIFY))
    confirmed = Sight.of_report(report(ReportKind.CONFIRMED, 1, action=Action.MODIFY, quantity=6))
    step = live(accepted, confirmed, fill(6, 6, 600, 2, leaves=0), life=Life(Action.MODIFY, quantity=10))
    assert (heard(step), step.life.status) == ([(F, 6)], OrderStatus.FILLED)
    listed = Sight.of_row(row(6, 0, Decimal(100), action=Action.MODIFY, quantity=0, confirmed_quantity=6))
    assert live(listed, life=Life(Action.MODIFY)).life.status is OrderStatus.FILLED


def test_cancel_makes_news_only_when_it_is_refused() -> None:
    """What a cancel does is told of its original."""
    accepted = Sight.of_report(report(ReportKind.ACCEPTED, action=Action.CANCEL))
    confirmed = Sight.of_report(report(ReportKind.CONFIRMED, action=Action.CANCEL, leaves_quantity=0))
    listed = Sight.of_row(row(0, 0, action=Action.CANCEL, quantity=0, confirmed_quantity=6))
    done = live(accepted, confirmed, listed, life=Life(Action.CANCEL))
    assert (done.news, done.alarm, done.life.status) == ((), None, OrderStatus.CANCELED)
    refused = live(accepted, listed, refusal(), refusal(), life=Life(Action.CANCEL))
    assert (heard(refused), refused.life.status) == ([(R, None)], OrderStatus.REFUSED)


@pytest.mark.parametrize("action", [Action.CANCEL, Action.MODIFY])
def test_whole_modify_or_cancel_empties_its_original(action: Action) -> None:
    """Once it has taken effect, nothing of the original is left, and a modify says where it lives on."""
    told = report(ReportKind.CONFIRMED, 5, action=action, broker_order_id="0000102", original="0000101")
    listed = row(action=action, broker_order_id="0000102", confirmed_quantity=6, original="0000101")
    for one, source, at in ((told, ResolvedBy.EVENT, told.at), (listed, ResolvedBy.LEDGER, None)):
        assert has_taken_effect(one)
        effect = effect_on_original(one, is_whole=True)
        assert effect is not None
        assert (effect.source, effect.at) == (source, at)
        step = live(fill(4, 4, 400), effect, effect, canceled(0, 6, amount=None), effect)
        assert heard(step) == [(F, 4), (M if action is Action.MODIFY else C, 6)]
        assert step.news[-1].replaced_by == ("0000102" if action is Action.MODIFY else None)
        assert step.life.status is OrderStatus.CANCELED
        assert effect_on_original(one, is_whole=False) is None
    assert not has_taken_effect(report())
    assert not has_taken_effect(evolve(listed, confirmed_quantity=0))
    assert has_taken_effect(evolve(listed, confirmed_quantity=1))
    assert not has_taken_effect(evolve(told, kind=ReportKind.ACCEPTED))


def test_modify_is_told_even_if_the_original_was_seen_to_go_before() -> None:
    """The strategy has to hear under which number it lives on, once."""
    effect = Sight(ResolvedBy.EVENT, leaves_quantity=0, replaced_by="0000102")
    step = live(canceled(0), effect, effect)
    assert [(news.kind, news.quantity, news.replaced_by) for news in step.news] == [(C, 10, None), (M, None, "0000102")]
    assert heard(live(fill(10, 10, 1000), effect)) == [(F, 10)]


def test_order_of_unknown_size_that_goes_is_news() -> None:
    """A modify of all that was left, replaced before anything was told of it."""
    step = live(Sight(ResolvedBy.EVENT, leaves_quantity=0), life=Life(Action.MODIFY))
    assert heard(step) == [(C, None)]


# ---------------------------------------------------------------- every history


@frozen
class History:
    """What happened to an order, as the statements the broker can make of it."""

    sights: tuple[Sight, ...]
    filled: int
    amount: int


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Let an order be filled, reduced, canceled or expire, and tell it in every way at every moment."""
    filled, amount, leaves, second = 0, 0, 10, 0
    sights: list[Sight] = [Sight.of_report(report(ReportKind.ACCEPTED))]
    while leaves and draw(st.booleans()):
        second += draw(st.integers(0, 2))
        quantity = draw(st.integers(1, leaves))
        leaves -= quantity
        if draw(st.integers(0, 3)):
            price = draw(st.integers(99, 103))
            filled, amount = filled + quantity, amount + price * quantity
            sights.append(evolve(fill(filled, quantity, amount, second, leaves=leaves), fill_price=price))
        else:
            sights.append(canceled(leaves, second, amount=None if filled else 0))
        average = Decimal(amount // filled) if filled else None
        sights.append(Sight.of_row(row(filled, draw(st.sampled_from([leaves, None])), average)))
        sights.append(executed(filled, leaves, average))
    if draw(st.booleans()):
        average = Decimal(amount // filled) if filled else None
        sights.append(Sight.of_row(row(filled, draw(st.sampled_from([leaves, 0, None])), average), is_final=True))
    kept = draw(st.lists(st.sampled_from(sights), min_size=1, max_size=12))
    return History(tuple(kept), filled, amount)


def expected(sights: tuple[Sight, ...]) -> tuple[int, int | None, OrderStatus]:
    """Say what a set of statements amounts to, without looking at their order."""
    filled = max(sight.filled_quantity or 0 for sight in sights)
    told = [
        sight.leaves_quantity
        for sight in sights
        if sight.leaves_quantity is not None and (sight.leaves_quantity or not sight.is_final)
    ]
    if filled == 10:
        return filled, 0, OrderStatus.FILLED
    if 0 in told:
        return filled, 0, OrderStatus.CANCELED
    if any(sight.is_final for sight in sights):
        return filled, 0, OrderStatus.EXPIRED
    leaves = min(*told, 10 - filled, 10) if told else None
    return filled, leaves, OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.WORKING


@settings(max_examples=400, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_of_any_statements_converges(history: History, chance: Any) -> None:
    """Statements in any order, any of them twice, any missing: one life, and each fill counted once."""
    first = live(*history.sights)
    shuffled = list(history.sights) * 2
    chance.shuffle(shuffled)
    second = live(*shuffled)
    assert first.life == second.life
    filled, leaves, status = expected(history.sights)
    for step in (first, second):
        assert step.alarm is None
        assert (step.life.filled_quantity, step.life.leaves_quantity, step.life.status) == (filled, leaves, status)
        assert sum(news.quantity or 0 for news in step.news if news.kind is F) == filled
        assert all((news.quantity or 0) > 0 for news in step.news if news.kind is F)
        assert sum(news.kind is X for news in step.news) <= 1
        if step.news:
            assert step.news[-1].filled_quantity == filled
    exact = [sight for sight in history.sights if sight.filled_quantity == filled and sight.is_exact]
    if filled and exact:
        assert (first.life.filled_amount, first.life.is_exact) == (exact[0].filled_amount, True)


@settings(max_examples=200, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_money_and_reductions_add_up_on_the_feed_and_the_executions(history: History, chance: Any) -> None:
    """Where every statement tells fills and rest of one moment, the parts add up to the whole in any order."""
    sights = [sight for sight in history.sights if sight.filled_quantity is not None]
    sights = [sight for sight in sights if sight.leaves_quantity is not None and not sight.is_final]
    chance.shuffle(sights)
    step = live(*sights)
    gone = sum(news.quantity or 0 for news in step.news if news.kind is C)
    if sights and step.life.leaves_quantity is not None:
        assert gone == 10 - step.life.filled_quantity - step.life.leaves_quantity
    if all(sight.is_exact for sight in sights) and step.life.filled_quantity:
        paid = sum((news.price or 0) * (news.quantity or 0) for news in step.news if news.kind is F)
        assert paid == pytest.approx(step.life.filled_amount)


# ---------------------------------------------------------------- the table


def life_of(status: OrderStatus | None) -> Life:
    """Bring an order into a status."""
    sights = {
        None: (),
        OrderStatus.WORKING: (Sight.of_report(report(ReportKind.ACCEPTED)),),
        OrderStatus.PARTIALLY_FILLED: (fill(4, 4, 400),),
        OrderStatus.FILLED: (fill(10, 10, 1000),),
        OrderStatus.CANCELED: (canceled(0),),
        OrderStatus.REFUSED: (refusal(),),
        OrderStatus.EXPIRED: (Sight.of_row(row(), is_final=True),),
    }
    return live(*sights[status]).life


def cause_of(event: LifeEvent) -> Sight:
    """See what brings an event about."""
    causes = {
        LifeEvent.SEEN: Sight.of_report(report(ReportKind.ACCEPTED)),
        LifeEvent.FILLED_IN_PART: fill(5, 1, 500, leaves=5),
        LifeEvent.FILLED_UP: fill(10, 1, 1100),
        LifeEvent.REDUCED: canceled(1, amount=None),
        LifeEvent.GONE: canceled(0, amount=None),
        LifeEvent.REFUSED: refusal(),
        LifeEvent.EXPIRED: Sight.of_row(row(0, None), is_final=True),
    }
    return causes[event]


@pytest.mark.parametrize("event", LifeEvent)
@pytest.mark.parametrize("status", [None, *OrderStatus])
def test_status_moves_by_the_table(status: OrderStatus | None, event: LifeEvent) -> None:
    """Every pair of status and event: what the table says, or the status stays."""
    life = life_of(status)
    assert life.status is status
    step = follow(life, cause_of(event))
    follows = TRANSITIONS.get((status, event))
    assert step.life.status is (status if follows is None else follows)
    if event is LifeEvent.REFUSED and follows is None:
        assert step.alarm is not None
    assert all(news.status is step.life.status for news in step.news)


def test_being_seen_moves_nothing() -> None:
    """An order that is told of again stays what it was, and what is finished cannot lose a part."""
    for status in (None, *OrderStatus):
        assert TRANSITIONS[status, LifeEvent.SEEN] is (status or OrderStatus.WORKING)
    assert not [status for status in FINISHED if (status, LifeEvent.REDUCED) in TRANSITIONS]


def test_no_order_goes_back() -> None:
    """From a finished status only a better explanation, or the rest of the fills, leads anywhere."""
    finished = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED}
    for (status, _), follows in TRANSITIONS.items():
        if status in finished:
            assert follows in {*finished, OrderStatus.REFUSED}
    assert {follows for (status, _), follows in TRANSITIONS.items() if status is OrderStatus.FILLED} == {
        OrderStatus.FILLED
    }
