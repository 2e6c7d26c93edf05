"""One statement about the account or a symbol, and how the broker writes its numbers down.

Written from the published field tables and from answers that were seen, knowing nothing of the library's own reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, TypeAlias

from attrs import frozen

from kiwoom_async.simulator.orders import Flavour
from kiwoom_async.simulator.rejections import GatewayRefusal, Refusal
from kiwoom_async.simulator.rendering import Row, padded

WIDE: Final = 15
"""Digits of an amount in kt00001, kt00018 and kt50021."""
NARROW: Final = 12
"""Digits of an amount in the other kt views."""


@frozen
class Statement:
    """What a query that is no list of orders answers.

    Attributes:
        head: The fields beside the list.
        list_key: Name of the list in the answer; "" where there is none.
        rows: All of them; the service cuts them into pages.
        message: The text beside the code.
    """

    head: Row
    list_key: str = ""
    rows: tuple[Row, ...] = ()
    message: str = "조회가 완료되었습니다."


Told: TypeAlias = Statement | Refusal | GatewayRefusal
Body: TypeAlias = Mapping[str, str]


def zeros(names: str, width: int) -> Row:
    """Fill fields with zeros."""
    return dict.fromkeys(names.split(), padded(0, width))


def empty(names: str) -> Row:
    """Leave fields empty."""
    return dict.fromkeys(names.split(), "")


def amount(value: int | Fraction, width: int) -> str:
    """Write won."""
    return padded(round(value), width)


def percent(part: int | Fraction, whole: int | Fraction, digits: int = 2) -> str:
    """Write a share in percent, unpadded; zero of nothing."""
    rate = Fraction(part) * 100 / whole if whole else Fraction(0)
    return f"{float(rate):.{digits}f}"


def balance_rate(part: int | Fraction, whole: int | Fraction, flavour: Flavour) -> str:
    """Write a share as kt00018 does: padded to twelve places on the mock [M], bare in the published example."""
    text = percent(part, whole)
    return f"{float(text):012.2f}" if flavour is Flavour.MOCK else text


def marked(price: int | None, base: int) -> str:
    """Write a price as quotes do, with a mark for up or down that is no part of the number."""
    if not price:
        return "0"
    return f"{'+' if price > base else '-' if price < base else ''}{price}"


def signed(value: int) -> str:
    """Write a difference with its sign; zero has none."""
    return f"{value:+d}" if value else "0"
