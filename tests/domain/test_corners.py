"""Corners of the pure rooms that no everyday case reaches."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from attrs import evolve

from kiwoom_async import MarketRules, OrderLimits
from kiwoom_async._domain.absence import Missing, NotYet
from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.guards import Original, Totals, burden_of, check_limits
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.market_rules import SymbolFacts, judge
from kiwoom_async._domain.matching import ChannelKnowledge, Relation, relation
from kiwoom_async._domain.sessions import Timetable
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.sights import Sight
from kiwoom_async._domain.ticks import SymbolKind, neighbors, tick_table
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async.errors import LimitExceeded
from kiwoom_async.market import TradingCalendar
from tests.domain import test_absence as absence
from tests.domain.test_budgets import Desk as Counter
from tests.domain.test_life import report
from tests.domain.test_matching import claimant, row

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=KST)
BUY = OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, 70_000, OrderType.LIMIT, Route.KRX)
MODIFY = evolve(BUY, action=Action.MODIFY, quantity=None, price=71_000, original="0000001")


def test_books_out_of_reach_count_nothing() -> None:
    """Where a ledger cannot be read any more, its close says nothing of rows, and invents no late order."""
    close = DayClose(day=NOON.date(), desk=Desk.STOCK, closed_at=NOON, unlisted=("a",))
    assert (close.rows, close.own, close.foreign, close.revived, close.duplicates) == (0, 0, 0, 0, 0)
    assert (close.residue, close.unresolved, close.resolved_by) == ((), (), {})


def test_looks_whose_bounds_add_up_differently_prove_nothing_yet() -> None:
    """Two bounds one after the other may be a rounding short of both at once: then one more look is needed."""
    ended, bound = 999.09, 4.55
    dead = ended + 10.0
    assert dead + bound + bound < dead + 2 * bound
    attempt = evolve(absence.ATTEMPT, ended=ended)
    timing = evolve(absence.TIMING, acceptance_bound=10.0, visibility_bound=bound)
    looks = [absence.look(dead + bound), absence.look(dead + bound + bound)]
    assert absence.prove(*looks, attempt=attempt, timing=timing) == NotYet(Missing.WITNESS, dead + 2 * bound)


def test_request_of_another_process_that_comes_too_late_takes_no_room() -> None:
    """It is denied where it waits; here it is planned for nothing, and ours goes first."""
    desk = Counter(limits=evolve(Counter().limits, orders_per_second=1, queries_per_second=1, per_tr_per_second=None))
    desk.ask("kt10000", owner="b", now=0.0)
    desk.look(0.0, owner="b")
    desk.ask("kt10000", owner="b", now=0.1)
    desk.look(0.1, owner="b")
    desk.waiting = [evolve(one, latest=0.2) for one in desk.waiting]
    late = [one for one in desk.waiting if one.owner == "b"]
    desk.budgets = evolve(desk.budgets, waiting=tuple(late))
    (ours,) = desk.ask("kt10000", now=0.2)
    sight = desk.look(0.2)
    assert not sight.denied
    alone = Counter(limits=desk.limits)
    alone.ask("kt10000", owner="b", now=0.0)
    alone.look(0.0, owner="b")
    (same,) = alone.ask("kt10000", now=0.2)
    assert sight.moments[ours] == alone.look(0.2).moments[same]


def test_modify_of_all_that_is_left_is_no_larger_order() -> None:
    """The most shares of one order hold no modify that names no quantity; one that names too many is held."""
    limits = OrderLimits(quantity_per_order=5)
    burden = burden_of(MODIFY, None, Original(None, 70_000))
    assert burden is not None
    check_limits(limits, MODIFY, burden, day=Totals(), symbol=Totals(), client_order_id="one")
    larger = evolve(MODIFY, quantity=6)
    burden = burden_of(larger, None, Original(None, 70_000))
    assert burden is not None
    with pytest.raises(LimitExceeded):
        check_limits(limits, larger, burden, day=Totals(), symbol=Totals(), client_order_id="one")


def test_market_without_sessions_is_not_judged_by_them() -> None:
    """Whoever takes the table of sessions away wants no finding from it."""
    rules = MarketRules(session="refuse")
    night = NOON.replace(hour=3)
    timetable = Timetable(rules.trading_calendar, rules.sessions)
    assert judge(BUY, rules, SymbolFacts(), timetable, night).refusal is not None
    assert judge(BUY, rules, SymbolFacts(), evolve(timetable, sessions=()), night).refusal is None


def test_price_of_an_order_whose_type_takes_it_from_the_book_says_nothing() -> None:
    """The row shows the price of the moment, which nobody asked for."""
    best = claimant(request=evolve(BUY, order_type=OrderType.BEST_LIMIT))
    shown = row(101, price=70_300, order_types=frozenset({OrderType.BEST_LIMIT}))
    assert relation(best, shown, ChannelKnowledge()) is relation(best, evolve(shown, price=70_000), ChannelKnowledge())
    limit = claimant()
    assert relation(limit, row(101, price=70_300), ChannelKnowledge()) is Relation.NONE


def test_first_fill_without_an_amount_is_worth_its_price() -> None:
    """Where all that is filled is this one fill, its price tells the amount; of a later one it does not."""
    first = report(filled_quantity=3, filled_amount=None, fill_quantity=3, fill_price=70_100)
    assert Sight.of_report(first).filled_amount == Decimal(210_300)
    assert Sight.of_report(evolve(first, filled_quantity=5)).filled_amount is None


def test_grid_that_is_not_known_has_no_neighbors() -> None:
    """Nothing is made up for a day before the oldest table."""
    long_ago = date(1990, 1, 2)
    assert tick_table(SymbolKind.STOCK, long_ago) is None
    assert neighbors(70_050, SymbolKind.STOCK, long_ago) == ()


def test_closure_that_never_ends_has_no_next_trading_day() -> None:
    """A calendar that closes every day for a month does not say when trading goes on."""
    first = NOON.date()
    closed = TradingCalendar(closed_days=frozenset(first + timedelta(days=count) for count in range(60)))
    assert closed.next_trading_day(first) is None
    assert TradingCalendar().next_trading_day(first) == first + timedelta(days=3)
