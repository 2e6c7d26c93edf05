"""Tick sizes (호가단위): the grids a price may stand on, dated, and how to bring a price onto one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum, unique
from fractions import Fraction
from math import ceil, floor
from typing import Final

from attrs import frozen

from kiwoom_async._domain.validation import choose
from kiwoom_async._domain.vocabulary import Side
from kiwoom_async.errors import ValidationError


@unique
class SymbolKind(StrEnum):
    """What a symbol is. Its code does not tell: 069500 is an ETF, 005930 a stock."""

    STOCK = "stock"
    ETF = "etf"
    ETN = "etn"
    ELW = "elw"
    GOLD = "gold"


@unique
class Rounding(StrEnum):
    """Which neighbor on the grid a price goes to."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


@frozen
class TickTable:
    """The grid of some kinds of symbols from a day on.

    Attributes:
        steps: Pairs of a price and the tick from that price on, in rising order, all KRW.
    """

    kinds: frozenset[SymbolKind]
    valid_from: date
    steps: tuple[tuple[int, int], ...]

    def tick_at(self, price: Fraction | int) -> int:
        """Give the tick at a price; the price itself chooses its band."""
        return self.steps[bisect_right(self.steps, price, key=_starts_at) - 1][1]


def _starts_at(step: tuple[int, int]) -> int:
    return step[0]


_STOCKS: Final = frozenset({SymbolKind.STOCK})
_FUNDS: Final = frozenset({SymbolKind.ETF, SymbolKind.ETN})
_WARRANTS: Final = frozenset({SymbolKind.ELW})
_GOLD: Final = frozenset({SymbolKind.GOLD})

TICK_TABLES: Final[tuple[TickTable, ...]] = (
    # Source: public code citing KRX's notices; 500 KRW between 200,000 and 500,000 was measured on the mock.
    TickTable(
        _STOCKS,
        date(2023, 1, 25),
        ((0, 1), (2_000, 5), (5_000, 10), (20_000, 50), (50_000, 100), (200_000, 500), (500_000, 1_000)),
    ),
    # Source: news of KRX's rule for cheap ETFs and ETNs (mediapen.com, 2023-10-05: in force on 2023-12-18).
    TickTable(_FUNDS, date(2023, 1, 25), ((0, 5),)),
    TickTable(_FUNDS, date(2023, 12, 18), ((0, 1), (2_000, 5))),
    # Source: KRX's page of the ELW market (regulation.krx.co.kr).
    TickTable(_WARRANTS, date(2023, 1, 25), ((0, 5),)),
    # Source: KRX's page of the gold market; KRW per gram.
    TickTable(_GOLD, date(2023, 1, 25), ((0, 10),)),
)
"""Every grid we know, oldest first for each kind. A new one is a new row, and the old row stays for the days before."""

LISTED_KINDS: Final = (SymbolKind.STOCK, SymbolKind.ETF, SymbolKind.ETN, SymbolKind.ELW)
"""What a symbol of the stock desk can be."""


def tick_table(kind: SymbolKind, on: date | None = None) -> TickTable | None:
    """Give the grid of a kind on a day; None where the day is before all we know. No day: the newest."""
    fitting = [table for table in TICK_TABLES if kind in table.kinds and (on is None or table.valid_from <= on)]
    return fitting[-1] if fitting else None


def is_on_grid(price: int, kind: SymbolKind, on: date | None = None) -> bool | None:
    """Tell whether a price stands on the grid of a kind; None where the grid is not known."""
    table = tick_table(kind, on)
    return None if table is None else price % table.tick_at(price) == 0


def neighbors(price: int, kind: SymbolKind, on: date | None = None) -> tuple[int, ...]:
    """Give the allowed prices nearest to one, below and above; one price where the other would not be above zero."""
    table = tick_table(kind, on)
    if table is None:
        return ()
    tick = table.tick_at(price)
    # Every band starts on a multiple of its tick and of the one before, so neither neighbor leaves the grid.
    below = price // tick * tick
    above = below if below == price else below + tick
    return tuple(sorted({found for found in (below, above) if found > 0}))


def _round_half_down(steps: Fraction) -> int:
    return ceil(steps - Fraction(1, 2))


_ROUNDINGS: Final[Mapping[Rounding, Callable[[Fraction], int]]] = {
    Rounding.DOWN: floor,
    Rounding.UP: ceil,
    Rounding.NEAREST: _round_half_down,
}
_FOR_SIDE: Final[Mapping[Side, Rounding]] = {Side.BUY: Rounding.DOWN, Side.SELL: Rounding.UP}
"""So that the rounding never costs: a purchase not dearer, a sale not cheaper than was meant."""


def round_to_tick(
    price: float | Decimal,
    *,
    direction: Rounding | str | None = None,
    side: Side | str | None = None,
    kind: SymbolKind | str = SymbolKind.STOCK,
    on: date | None = None,
) -> int:
    """Bring a price onto the grid of its tick size (호가단위).

    Args:
        price: KRW, per share or per gram; any finite number above zero.
        direction: "down", "up" or "nearest" (the lower one where both are as near). None: what `side` says, and
            "nearest" without a side.
        side: "buy" rounds down, "sell" rounds up: never worse than the price you gave. Not together with `direction`.
        kind: A `SymbolKind` or its text. The code of a symbol does not tell it: ETFs and ETNs have a finer grid.
        on: The day whose grid is meant. None: the newest grid this release knows.

    Returns:
        KRW.

    Raises:
        ValidationError: The price is no number above zero, no price above zero is left after rounding down, both
            `direction` and `side` are given, or the grid of that day is not known.

    Source: `TICK_TABLES`.
    """
    exact = _exact(price)
    if direction is not None and side is not None:
        raise ValidationError("side", side, "None where direction= is given")
    way = Rounding.NEAREST if direction is None else choose("direction", Rounding, direction)
    if side is not None:
        way = _FOR_SIDE[choose("side", Side, side)]
    chosen = choose("kind", SymbolKind, kind)
    table = tick_table(chosen, on)
    if table is None:
        first = next(row.valid_from for row in TICK_TABLES if chosen in row.kinds)
        raise ValidationError("on", on, f"None, or a day from {first} on, the first whose grid is known")
    tick = table.tick_at(exact)
    rounded = _ROUNDINGS[way](exact / tick) * tick
    if rounded <= 0:
        raise ValidationError("price", price, f"at least {tick} KRW, to be rounded {way.value}")
    return rounded


def _exact(price: object) -> Fraction:
    allowed = "a finite number of KRW above zero"
    if isinstance(price, bool) or not isinstance(price, int | float | Decimal):
        raise ValidationError("price", price, allowed)
    try:
        exact = Fraction(price)
    except (ValueError, OverflowError):
        raise ValidationError("price", price, allowed) from None
    if exact <= 0:
        raise ValidationError("price", price, allowed)
    return exact
