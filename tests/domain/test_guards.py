"""Limits: what a send counts, and which limit it would exceed."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import ConfigurationError, LimitExceeded, OrderLimits, ValidationError
from kiwoom_async._domain.guards import (
    GIVEN_BACK,
    MAY_BE_RECOUNTED,
    Burden,
    KillSwitchState,
    Original,
    Totals,
    burden_of,
    check_limits,
    halted_text,
    is_counted,
)
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.states import TRANSITIONS, Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side

BUY = OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, 70_000, OrderType.LIMIT, Route.KRX)
MARKET = evolve(BUY, price=None, order_type=OrderType.MARKET)
MODIFY = evolve(BUY, action=Action.MODIFY, quantity=None, price=71_000, original="0000001")
CANCEL = evolve(MODIFY, action=Action.CANCEL, price=None)
PLENTY = Totals(orders=5, quantity=100, value=7_000_000)


def check(limits: OrderLimits, request: OrderRequest = BUY, **changes: Any) -> None:
    """Check a request against what has been counted."""
    burden = burden_of(request, changes.pop("reference", None), changes.pop("original", None))
    assert burden is not None
    arguments: dict[str, Any] = {"day": Totals(), "symbol": Totals(), "client_order_id": "one"} | changes
    check_limits(limits, request, burden, **arguments)


def limit(name: str, value: Any) -> OrderLimits:
    """Set one limit."""
    chosen: dict[str, Any] = {name: value}
    return OrderLimits(**chosen)


@pytest.mark.parametrize(
    ("request_", "reference", "original", "expected"),
    [
        (BUY, None, None, Burden(1, 10, 700_000, 10, 700_000)),
        (BUY, 90_000, None, Burden(1, 10, 700_000, 10, 700_000)),
        (MARKET, 90_000, None, Burden(1, 10, 900_000, 10, 900_000)),
        (MARKET, None, None, Burden(1, 10, None, 10, None)),
        (MODIFY, None, Original(10, 70_000), Burden(0, 0, 10_000, 10, 710_000)),
        (MODIFY, None, Original(10, 72_000), Burden(0, 0, 0, 10, 710_000)),
        (evolve(MODIFY, quantity=4), None, Original(10, 70_000), Burden(0, 0, 4_000, 4, 284_000)),
        (evolve(MODIFY, quantity=4), None, None, Burden(0, 0, 284_000, 4, 284_000)),
        (MODIFY, None, None, Burden(0, 0, None, None, None)),
        (MODIFY, None, Original(None, 72_000), Burden(0, 0, 0, None, None)),
        (CANCEL, None, None, None),
    ],
)
def test_what_a_send_counts(
    request_: OrderRequest, reference: int | None, original: Original | None, expected: Burden | None
) -> None:
    """A modify adds what it raises, all of it where the original is not known; what cannot be valued is None."""
    assert burden_of(request_, reference, original) == expected


@pytest.mark.parametrize(
    ("name", "used", "asked"),
    [
        ("quantity_per_order", 0, 10),
        ("value_per_order", 0, 700_000),
        ("orders_per_day", 5, 1),
        ("quantity_per_day", 100, 10),
        ("value_per_day", 7_000_000, 700_000),
        ("orders_per_symbol", 5, 1),
        ("quantity_per_symbol", 100, 10),
        ("value_per_symbol", 7_000_000, 700_000),
    ],
)
def test_each_limit_is_kept_to_the_last_unit(name: str, used: int, asked: int) -> None:
    """What reaches it passes; one more does not, and the error says how much there was and is left."""
    totals: dict[str, Any] = {"day" if name.endswith("day") else "symbol": PLENTY}
    check(limit(name, used + asked), **totals)
    with pytest.raises(LimitExceeded, match=name) as refusal:
        check(limit(name, used + asked - 1), **totals)
    error = refusal.value
    assert (error.limit, error.maximum) == (name, used + asked - 1)
    assert (error.used, error.asked, error.left) == (used, asked, asked - 1)
    assert error.client_order_id == "one"
    assert f"{asked - 1:,}" in str(error)
    assert isinstance(error, ValidationError)


def test_error_survives_a_pickle() -> None:
    """With its attributes: bots send errors between processes."""
    with pytest.raises(LimitExceeded) as refusal:
        check(OrderLimits(value_per_order=1))
    again = pickle.loads(pickle.dumps(refusal.value))  # noqa: S301 - our own
    assert (str(again), again.left, again.limit) == (str(refusal.value), 1, "value_per_order")


def test_order_without_a_value_is_never_counted_as_zero() -> None:
    """A limit on values refuses it and says what to give; limits on counts alone let it pass."""
    check(OrderLimits(orders_per_day=1, quantity_per_order=10), MARKET)
    for name in ("value_per_order", "value_per_symbol", "value_per_day"):
        with pytest.raises(LimitExceeded, match="reference_prices") as refusal:
            check(limit(name, 10**12), MARKET)
        assert refusal.value.asked is None
    with pytest.raises(LimitExceeded, match="quantity="):
        check(OrderLimits(value_per_order=10**12), MODIFY)


def test_sends_that_nobody_valued_close_the_day_for_limits_on_values() -> None:
    """What is used is not known then, so nothing is said to be left."""
    day = evolve(PLENTY, unvalued=2)
    with pytest.raises(LimitExceeded, match="2 sends of today cannot be valued") as refusal:
        check(OrderLimits(value_per_day=10**12), day=day)
    assert (refusal.value.used, refusal.value.left) == (None, None)
    check(OrderLimits(value_per_symbol=10**12, orders_per_day=6), day=day)


def test_modify_that_adds_nothing_passes_a_limit_that_is_used_up() -> None:
    """A price that is lowered is no new risk."""
    limits = OrderLimits(value_per_day=1, value_per_symbol=1, orders_per_day=1)
    check(limits, MODIFY, original=Original(10, 72_000), day=evolve(PLENTY, unvalued=1), symbol=PLENTY)


def test_limit_of_zero_stops_everything_it_is_about() -> None:
    """Zero is a limit, None is none."""
    with pytest.raises(LimitExceeded):
        check(OrderLimits(orders_per_day=0))
    check(OrderLimits())


def test_huge_orders_are_counted_exactly() -> None:
    """The largest order that passes validation is beyond SQLite's integers, not beyond ours."""
    huge = evolve(BUY, quantity=10**10 - 1, price=10**10 - 1)
    with pytest.raises(LimitExceeded) as refusal:
        check(OrderLimits(value_per_order=10**18), huge)
    assert refusal.value.asked == (10**10 - 1) ** 2


@pytest.mark.parametrize("value", [-1, 1.5, True, "100"])
def test_limits_are_whole_numbers(value: Any) -> None:
    """Anything else is a mistake in the settings, found at once."""
    with pytest.raises(ConfigurationError, match="value_per_day"):
        OrderLimits(value_per_day=value)


def test_reference_prices_are_checked_and_named_plainly() -> None:
    """A prefix is no other symbol, and a price is whole KRW."""
    assert OrderLimits(reference_prices={"A005930": 90_000}).reference_prices == {"005930": 90_000}
    assert OrderLimits(reference_prices={"005930": 1}).reference_prices == {"005930": 1}
    wrong: Any
    for wrong in (0, -1, 90_000.5, True, "90000"):
        with pytest.raises(ConfigurationError, match="whole KRW"):
            OrderLimits(reference_prices={"005930": wrong})
    with pytest.raises(ValidationError):
        OrderLimits(reference_prices={"Samsung": 90_000})


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (OrderLimits(), False),
        (OrderLimits(quantity_per_order=1, orders_per_day=1, quantity_per_symbol=1), False),
        (OrderLimits(value_per_order=0), True),
        (OrderLimits(value_per_day=1), True),
        (OrderLimits(value_per_symbol=1), True),
    ],
)
def test_orders_are_valued_only_where_a_value_is_limited(limits: OrderLimits, expected: bool) -> None:
    """Without a limit in KRW no quote is asked for."""
    assert limits.needs_value is expected


def test_what_counts_in_each_state() -> None:
    """Given back only on proof; a weak proof gives nothing back; what turns up counts again."""
    assert {state for state in Delivery if not is_counted(state)} == GIVEN_BACK
    assert is_counted(Delivery.NOT_ACCEPTED, is_weak=True)
    assert not is_counted(Delivery.REFUSED, is_weak=True)
    changing = {
        after
        for (before, _), after in TRANSITIONS.items()
        if is_counted(before) != is_counted(after) and before is not Delivery.PREPARED
    }
    assert changing <= MAY_BE_RECOUNTED


def test_totals_add_and_take_away() -> None:
    """Taking away what was added leaves what was there."""
    for burden in (Burden(1, 10, 700_000, 10, 700_000), Burden(1, 10, None, 10, None)):
        assert PLENTY.plus(burden).plus(burden, -1) == PLENTY
    assert PLENTY.plus(Burden(1, 1, None, 1, None)).unvalued == 1


def test_text_of_a_held_order_says_how_to_go_on() -> None:
    """Who, why, and both ways to release it."""
    text = halted_text("one", KillSwitchState(is_engaged=True, reason="fat finger", by="kim"))
    for words in ("'one'", "fat finger", "kim", "kill_switch.release", "kiwoom-async resume", "same client_order_id"):
        assert words in text
