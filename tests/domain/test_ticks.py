"""Prices and their grids: what is allowed, what is next to it, and rounding that never costs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async import Side, round_to_tick
from kiwoom_async._domain.ticks import (
    TICK_TABLES,
    Rounding,
    SymbolKind,
    is_on_grid,
    neighbors,
    tick_table,
)
from kiwoom_async.errors import ValidationError

PRICES = st.integers(min_value=1, max_value=3_000_000)
KINDS = st.sampled_from(SymbolKind)


@pytest.mark.parametrize(
    ("price", "tick"),
    [
        (1, 1),
        (1_999, 1),
        (2_000, 5),
        (4_995, 5),
        (5_000, 10),
        (19_990, 10),
        (20_000, 50),
        (49_950, 50),
        (50_000, 100),
        (199_900, 100),
        (200_000, 500),
        (244_750, 500),
        (499_500, 500),
        (500_000, 1_000),
        (1_500_000, 1_000),
    ],
)
def test_the_price_chooses_the_tick_of_a_stock(price: int, tick: int) -> None:
    """The table of 2023-01-25, at both sides of each step."""
    table = tick_table(SymbolKind.STOCK)
    assert table is not None
    assert table.tick_at(price) == tick


@pytest.mark.parametrize(
    ("kind", "on", "price", "is_on"),
    [
        (SymbolKind.ETF, date(2023, 12, 17), 1_001, False),
        (SymbolKind.ETF, date(2023, 12, 18), 1_001, True),
        (SymbolKind.ETN, date(2026, 11, 20), 2_001, False),
        (SymbolKind.ETF, date(2026, 11, 20), 69_505, True),
        (SymbolKind.STOCK, date(2026, 11, 20), 69_505, False),
        (SymbolKind.ELW, date(2026, 11, 20), 101, False),
        (SymbolKind.GOLD, date(2026, 11, 20), 180_005, False),
        (SymbolKind.GOLD, date(2026, 11, 20), 180_010, True),
        (SymbolKind.STOCK, date(2023, 1, 24), 69_505, None),
    ],
)
def test_each_kind_and_day_has_its_grid(kind: SymbolKind, on: date, price: int, is_on: bool | None) -> None:
    """The grid of the day is asked, and a day before all we know is unknown, not allowed or refused."""
    assert is_on_grid(price, kind, on) is is_on


@pytest.mark.parametrize("table", TICK_TABLES)
def test_bands_meet_on_both_grids(table: Any) -> None:
    """A band begins on a multiple of its own tick and of the one before, so that a neighbor never leaves the grid."""
    assert table.steps[0][0] == 0
    for (_, before), (start, tick) in pairwise(table.steps):
        assert start % before == start % tick == 0
        assert before < tick


@given(price=PRICES, kind=KINDS)
def test_neighbors_are_the_nearest_allowed_prices(price: int, kind: SymbolKind) -> None:
    """Both stand on the grid, enclose the price, and no allowed price lies between."""
    near = neighbors(price, kind)
    assert all(is_on_grid(found, kind) for found in near)
    if is_on_grid(price, kind):
        assert near == (price,)
        return
    below = near[0] if len(near) == 2 else 0
    assert below < price < near[-1]
    assert not any(is_on_grid(between, kind) for between in range(below + 1, near[-1]))


@given(price=st.one_of(PRICES, st.decimals("1000", "2000000", places=3), st.floats(1_000, 2e6)), kind=KINDS)
def test_rounding_stays_within_a_tick(price: Any, kind: SymbolKind) -> None:
    """Down is never above, up never below, nearest is one of the two, and all stand on the grid."""
    up = round_to_tick(price, direction="up", kind=kind)
    assert up >= price
    assert is_on_grid(up, kind)
    try:
        down = round_to_tick(price, direction=Rounding.DOWN, kind=kind)
    except ValidationError:
        table = tick_table(kind)
        assert table is not None
        assert price < table.tick_at(1)
        return
    assert down <= price
    assert is_on_grid(down, kind)
    nearest = round_to_tick(price, kind=kind)
    assert nearest in {down, up}
    assert abs(nearest - price) <= min(price - down, up - price)


@given(price=st.decimals("10", "2000000", places=2))
def test_the_side_never_pays_for_the_rounding(price: Decimal) -> None:
    """A purchase is not dearer and a sale not cheaper than was meant."""
    assert round_to_tick(price, side=Side.BUY) <= price <= round_to_tick(price, side="sell")


@pytest.mark.parametrize(
    ("price", "arguments", "rounded"),
    [
        (70_049, {}, 70_000),
        (70_050, {}, 70_000),
        (70_051, {}, 70_100),
        (1_999.5, {"direction": "up"}, 2_000),
        (Decimal(199999), {"side": "sell"}, 200_000),
        (69_503, {"kind": "etf"}, 69_505),
        (180_004, {"kind": SymbolKind.GOLD}, 180_000),
        (1_003, {"kind": "etn", "on": date(2023, 6, 1)}, 1_005),
    ],
)
def test_rounding_by_example(price: Any, arguments: dict[str, Any], rounded: int) -> None:
    """Half way goes down; the step between two bands belongs to both."""
    assert round_to_tick(price, **arguments) == rounded


@pytest.mark.parametrize(
    ("price", "arguments", "argument"),
    [
        (0, {}, "price"),
        (-1, {}, "price"),
        (float("nan"), {}, "price"),
        (float("inf"), {}, "price"),
        (Decimal("sNaN"), {}, "price"),
        (True, {}, "price"),
        ("70000", {}, "price"),
        (0.5, {"direction": "down"}, "price"),
        (3, {"kind": "gold"}, "price"),
        (70_000, {"direction": "sideways"}, "direction"),
        (70_000, {"side": "hold"}, "side"),
        (70_000, {"side": "buy", "direction": "up"}, "side"),
        (70_000, {"kind": "bond"}, "kind"),
        (70_000, {"on": date(2020, 1, 1)}, "on"),
    ],
)
def test_what_cannot_be_rounded_is_named(price: Any, arguments: dict[str, Any], argument: str) -> None:
    """No price is invented: not zero, not from text, not for a day whose grid we do not know."""
    with pytest.raises(ValidationError) as caught:
        round_to_tick(price, **arguments)
    assert caught.value.argument == argument
