"""The pure exchange: books, numbers, fills, the end of the day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, OrderType, Side
from kiwoom_async.simulator.chance import seeded
from kiwoom_async.simulator.exchange import LARGEST_GAP, Exchange, LimitFill, Liquidity
from kiwoom_async.simulator.orders import BookOrder, Instant, OrderRequest

DAY = date(2026, 11, 2)
NOW = Instant(datetime(2026, 11, 2, 10, 0, tzinfo=KST), 100.0)


def an_exchange(liquidity: Liquidity | None = None, **prices: int) -> Exchange:
    """Open an exchange; prices are given as s005930=70000."""
    known = {symbol.removeprefix("s"): price for symbol, price in prices.items()}
    return Exchange(DAY, seeded(7), liquidity or Liquidity(), prices=known)


def wanted(side: Side = Side.BUY, quantity: int = 10, price: int | None = 70_000, **more: Any) -> OrderRequest:
    """Ask for an order."""
    default = OrderType.LIMIT if price else OrderType.MARKET
    asked = OrderRequest(Action.NEW, Desk.STOCK, "005930", side, quantity, price, default)
    return evolve(asked, **more)


def modify(order: BookOrder, price: int, quantity: int | None = None) -> OrderRequest:
    """Ask for a modify."""
    return OrderRequest(
        Action.MODIFY,
        order.desk,
        order.symbol,
        quantity=quantity,
        price=price,
        original=order.broker_order_id,
    )


def cancel(order: BookOrder, quantity: int | None = None) -> OrderRequest:
    """Ask for a cancel."""
    return OrderRequest(Action.CANCEL, order.desk, order.symbol, quantity=quantity, original=order.broker_order_id)


def test_limit_order_rests_and_market_order_trades_at_the_last_price() -> None:
    """The default market leaves limits open and takes market orders at once."""
    exchange = an_exchange(s005930=70_000)
    limit = exchange.place(wanted(price=69_000), NOW)
    market = exchange.place(wanted(price=None), NOW)
    assert (limit.status, limit.leaves_quantity) == (OrderStatus.WORKING, 10)
    assert (market.status, market.average_fill_price) == (OrderStatus.FILLED, 70_000)


def test_better_price_then_older_order_trades_first() -> None:
    """Price-time priority."""
    exchange = an_exchange(Liquidity(market_maker=False))
    first = exchange.place(wanted(price=70_000), NOW)
    second = exchange.place(wanted(price=70_000), NOW)
    best = exchange.place(wanted(price=70_100), NOW)
    seller = exchange.place(wanted(Side.SELL, 25, 70_000), NOW)
    left = [exchange.get(o.broker_order_id).leaves_quantity for o in (best, first, second)]
    assert left == [0, 0, 5]
    assert seller.status is OrderStatus.FILLED
    assert seller.filled_amount == 10 * 70_100 + 15 * 70_000


def test_partially_traded_order_keeps_its_turn() -> None:
    """A partial fill and a partial cancel do not send an order to the end of the queue."""
    exchange = an_exchange(Liquidity(market_maker=False))
    first = exchange.place(wanted(), NOW)
    second = exchange.place(wanted(), NOW)
    exchange.place(wanted(Side.SELL, 3), NOW)
    exchange.cancel(cancel(first, 2), NOW)
    exchange.place(wanted(Side.SELL, 5), NOW)
    assert exchange.get(first.broker_order_id).leaves_quantity == 0
    assert exchange.get(second.broker_order_id).leaves_quantity == 10


@pytest.mark.parametrize("order_type", [OrderType.LIMIT_IOC, OrderType.LIMIT_FOK])
def test_immediate_order_out_of_reach_is_gone(order_type: OrderType) -> None:
    """An IOC or FOK order that meets nobody leaves a cancelled row and nothing in the book."""
    exchange = an_exchange(s005930=70_000)
    order = exchange.place(wanted(price=60_000, order_type=order_type), NOW)
    assert (order.status, order.leaves_quantity, order.filled_quantity) == (OrderStatus.CANCELED, 0, 0)


def test_ioc_takes_what_is_there_and_fok_all_or_nothing() -> None:
    """With five units on offer, IOC for ten trades five and FOK for ten trades none."""
    exchange = an_exchange(Liquidity(market_maker=False))
    exchange.place(wanted(Side.SELL, 5), NOW)
    fok = exchange.place(wanted(order_type=OrderType.LIMIT_FOK), NOW)
    ioc = exchange.place(wanted(order_type=OrderType.LIMIT_IOC), NOW)
    assert (fok.filled_quantity, fok.status) == (0, OrderStatus.CANCELED)
    assert (ioc.filled_quantity, ioc.leaves_quantity, ioc.status) == (5, 0, OrderStatus.CANCELED)


@pytest.mark.parametrize(
    ("order_type", "status"),
    [
        (OrderType.BEST_LIMIT, OrderStatus.FILLED),
        (OrderType.MARKET_IOC, OrderStatus.FILLED),
        (OrderType.MARKET_FOK, OrderStatus.FILLED),
        (OrderType.BEST_LIMIT_IOC, OrderStatus.FILLED),
        (OrderType.BEST_LIMIT_FOK, OrderStatus.FILLED),
        (OrderType.MIDPOINT_IOC, OrderStatus.FILLED),
        (OrderType.MIDPOINT_FOK, OrderStatus.FILLED),
        (OrderType.PRIORITY_LIMIT, OrderStatus.WORKING),
        (OrderType.MIDPOINT, OrderStatus.WORKING),
        (OrderType.PRE_MARKET_CLOSE, OrderStatus.WORKING),
        (OrderType.POST_MARKET_CLOSE, OrderStatus.WORKING),
    ],
)
def test_priceless_type_finds_its_price_in_the_market(order_type: OrderType, status: OrderStatus) -> None:
    """Types without a price of their own work with the last price."""
    order = an_exchange(s005930=70_000).place(wanted(price=None, order_type=order_type), NOW)
    assert (order.status, order.working_price or 70_000, order.price) == (status, 70_000, None)


def test_stop_order_waits_until_the_price_crosses() -> None:
    """An armed order is in no queue; the stop makes it a limit order."""
    exchange = an_exchange(s005930=70_000)
    stop = exchange.place(wanted(price=71_500, stop_price=71_000, order_type=OrderType.STOP_LIMIT, side=Side.BUY), NOW)
    exchange.place(wanted(Side.SELL, 4, 71_500), NOW)
    assert stop.is_armed
    exchange.move_price("005930", 70_900, NOW)
    assert exchange.get(stop.broker_order_id).is_armed
    exchange.move_price("005930", 71_000, NOW)
    fired = exchange.get(stop.broker_order_id)
    assert (fired.is_armed, fired.filled_quantity, fired.leaves_quantity) == (False, 4, 6)


def test_first_stop_order_of_an_unknown_symbol_stays_armed() -> None:
    """Where no price is known a stop is taken to be out of reach."""
    exchange = an_exchange()
    for side in Side:
        order = exchange.place(
            wanted(
                side=side,
                symbol=f"00000{len(side)}",
                price=50_000,
                stop_price=50_000,
                order_type=OrderType.STOP_LIMIT,
            ),
            NOW,
        )
        assert order.is_armed


def test_modify_moves_the_rest_to_a_new_number() -> None:
    """The parent keeps its fills and has nothing left; the child names parent and root."""
    exchange = an_exchange()
    parent = exchange.place(wanted(), NOW)
    exchange.fill(parent.broker_order_id, 4, None, NOW)
    child = exchange.modify(modify(parent, 69_900), NOW)
    grandchild = exchange.modify(modify(child, 69_800), NOW)
    old = exchange.get(parent.broker_order_id)
    assert (old.filled_quantity, old.leaves_quantity, old.status) == (4, 0, OrderStatus.CANCELED)
    assert (grandchild.quantity, grandchild.leaves_quantity, grandchild.price) == (6, 6, 69_800)
    assert (grandchild.original, grandchild.root) == (child.broker_order_id, parent.broker_order_id)
    with pytest.raises(ValueError, match="0 left"):
        exchange.modify(modify(parent, 69_700), NOW)


def test_partial_modify_leaves_the_parent_working() -> None:
    """Quantities are conserved: parent and child share what was left."""
    exchange = an_exchange()
    parent = exchange.place(wanted(), NOW)
    child = exchange.modify(modify(parent, 69_900, 3), NOW)
    assert exchange.get(parent.broker_order_id).leaves_quantity == 7
    assert (child.leaves_quantity, child.confirmed_quantity) == (3, 3)


def test_cancel_is_a_row_with_its_own_number() -> None:
    """Asked and really cancelled may differ; ordered = filled + cancelled + left."""
    exchange = an_exchange()
    order = exchange.place(wanted(), NOW)
    exchange.fill(order.broker_order_id, 4, None, NOW)
    part = exchange.cancel(cancel(order, 2), NOW)
    rest = exchange.cancel(cancel(order, 9), NOW)
    assert (part.quantity, part.confirmed_quantity, part.leaves_quantity) == (2, 2, 0)
    assert (rest.quantity, rest.confirmed_quantity, rest.original) == (9, 4, order.broker_order_id)
    assert exchange.get(order.broker_order_id).status is OrderStatus.CANCELED
    with pytest.raises(ValueError, match="nothing left"):
        exchange.cancel(cancel(order), NOW)


def test_cancelled_and_modified_stop_orders_leave_and_stay_armed() -> None:
    """A stop order can be modified while armed, and no longer fires once cancelled."""
    exchange = an_exchange(s005930=70_000)
    stop = exchange.place(wanted(price=71_500, stop_price=71_000, order_type=OrderType.STOP_LIMIT), NOW)
    moved = exchange.modify(modify(stop, 71_600), NOW)
    assert moved.is_armed
    exchange.cancel(cancel(moved), NOW)
    exchange.move_price("005930", 72_000, NOW)
    assert exchange.get(moved.broker_order_id).status is OrderStatus.CANCELED


def test_numbers_rise_with_seeded_gaps_and_restart_each_day() -> None:
    """Unique per day only: the same numbers come again on the next day."""
    exchange = an_exchange()
    numbers = [int(exchange.place(wanted(), NOW).broker_order_id) for _ in range(50)]
    steps = [later - earlier for earlier, later in pairwise(numbers)]
    assert numbers[0] <= LARGEST_GAP
    assert set(steps) <= set(range(1, LARGEST_GAP + 1))
    assert len(set(steps)) > 1
    exchange.skip_numbers(100)
    assert int(exchange.place(wanted(), NOW).broker_order_id) > numbers[-1] + 100
    exchange.open_day(DAY + timedelta(days=1), NOW)
    assert int(exchange.place(wanted(), NOW).broker_order_id) <= LARGEST_GAP


def test_day_end_expires_what_works_and_keeps_what_was() -> None:
    """Old days stay readable; a conditional limit trades in the closing auction."""
    exchange = an_exchange(s005930=70_000)
    limit = exchange.place(wanted(price=69_000), NOW)
    closing = exchange.place(wanted(price=69_000, order_type=OrderType.CONDITIONAL_LIMIT), NOW)
    exchange.open_day(DAY + timedelta(days=1), NOW)
    kept = {order.broker_order_id: order for order in exchange.ledger.of_day(DAY)}
    assert kept[limit.broker_order_id].status is OrderStatus.EXPIRED
    assert kept[closing.broker_order_id].status is OrderStatus.FILLED
    assert exchange.ledger.find(exchange.day, limit.broker_order_id) is None


def test_limit_orders_trade_later_and_in_parts_when_asked() -> None:
    """A delayed fill happens when its time has come, not before."""
    exchange = an_exchange(Liquidity(LimitFill.ALWAYS, after=5.0, in_parts=True))
    order = exchange.place(wanted(), NOW)
    exchange.settle(Instant(NOW.at, NOW.tick + 4.9))
    assert exchange.get(order.broker_order_id).filled_quantity == 0
    exchange.settle(Instant(NOW.at, NOW.tick + 5.0))
    assert exchange.get(order.broker_order_id).status is OrderStatus.FILLED
    assert len(exchange.fills) == 2


def test_probability_decides_which_limits_trade() -> None:
    """About half of the orders trade at one half."""
    exchange = an_exchange(Liquidity(LimitFill.ALWAYS, probability=0.5))
    states = [exchange.place(wanted(), NOW).status for _ in range(200)]
    assert 60 < states.count(OrderStatus.FILLED) < 140


def test_marketable_limits_trade_when_the_price_comes() -> None:
    """With MARKETABLE a limit rests until the last price reaches it."""
    exchange = an_exchange(Liquidity(LimitFill.MARKETABLE), s005930=70_000)
    order = exchange.place(wanted(price=69_000), NOW)
    assert order.is_working
    exchange.move_price("005930", 69_000, NOW)
    assert exchange.get(order.broker_order_id).status is OrderStatus.FILLED


def test_fill_refuses_more_than_is_left() -> None:
    """A scripted trade cannot overfill."""
    exchange = an_exchange()
    order = exchange.place(wanted(), NOW)
    with pytest.raises(ValueError, match="cannot trade 11"):
        exchange.fill(order.broker_order_id, 11, None, NOW)
    with pytest.raises(ValueError, match="no order"):
        exchange.fill("9999999", 1, None, NOW)


def test_same_seed_same_day() -> None:
    """Numbers and fills replay exactly."""

    def play() -> list[BookOrder]:
        exchange = an_exchange(Liquidity(LimitFill.ALWAYS, probability=0.5, in_parts=True))
        return [exchange.place(wanted(), NOW) for _ in range(30)]

    assert play() == play()


def test_view_shows_an_order_and_its_changes_late() -> None:
    """A lagging view shows the past, change by change."""
    exchange = Exchange(DAY, seeded(1), lag=lambda: 2.0)
    order = exchange.place(wanted(), NOW)
    exchange.fill(order.broker_order_id, 4, None, Instant(NOW.at, NOW.tick + 10))
    assert exchange.ledger.view(DAY, NOW.tick + 1.9) == []
    assert exchange.ledger.view(DAY, NOW.tick + 11.9)[0].filled_quantity == 0
    assert exchange.ledger.view(DAY, NOW.tick + 12.0)[0].filled_quantity == 4
