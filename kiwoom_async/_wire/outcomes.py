"""What one exchange proves about an order: accepted, refused, not sent, or unclear.

Exactly one of them for every exchange, decided by the first rule of `_RULES` that applies. Everything that is not
provably something else is unclear: a rate-limit answer too, because an order has been seen on the book after one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen

from kiwoom_async._wire.answers import Reading, read_answer
from kiwoom_async._wire.codes import CodeMeaning
from kiwoom_async._wire.exchange import Breakdown, Exchange

_ORDER_NUMBER: Final = re.compile(r"[0-9]{1,7}")
"""Seven digits [O]; the journal and the ledger compare numbers as texts of that length."""
_QUANTITY: Final = re.compile(r"[0-9]{1,12}")


@frozen
class Accepted:
    """The broker gave the order a number.

    Attributes:
        quantity: What a modify or cancel took, where the answer says so.
    """

    broker_order_id: str
    quantity: int | None = None


@frozen
class Refused:
    """An intact answer proves that nothing is on the book."""

    code: str
    message: str
    meaning: CodeMeaning


@frozen
class Unsent:
    """A positive mark proves that no byte was handed to a connection."""

    reason: str


@frozen
class Unclear:
    """The order may be on the book.

    Attributes:
        is_answered: Kiwoom's gateway turned it away at its door, so the request is not on its way any more. It may
            have let it in all the same.
    """

    reason: str
    is_answered: bool


Outcome: TypeAlias = Accepted | Refused | Unsent | Unclear


def classify(exchange: Exchange, api_id: str) -> Outcome:
    """Say what an exchange proves about the order it carried. Never raises."""
    if isinstance(exchange, Breakdown):
        if exchange.handed_over:
            return Unclear(f"{exchange.kind.value}: {exchange.detail}", is_answered=False)
        return Unsent(f"{exchange.kind.value}: {exchange.detail}")
    reading = read_answer(exchange, api_id)
    return next(outcome for applies, outcome in _RULES if applies(reading))(reading)


def parse_order_number(value: object) -> str | None:
    """Read `ord_no`: digits that are not all zero, padded to seven; None for anything else."""
    text = value.strip() if isinstance(value, str) else ""
    if not _ORDER_NUMBER.fullmatch(text) or not int(text):
        return None
    return f"{int(text):07d}"


def _has_number(reading: Reading) -> bool:
    return parse_order_number(reading.body.get("ord_no")) is not None


def _names_something(reading: Reading) -> bool:
    """Tell whether `ord_no` says anything at all: zeros and blanks mean that there is no order."""
    value = reading.body.get("ord_no")
    return value is not None and not (isinstance(value, str) and not value.strip().strip("0"))


def _accept(reading: Reading) -> Outcome:
    number = parse_order_number(reading.body.get("ord_no"))
    assert number is not None, "the rule asked for it"  # noqa: S101
    quantity = reading.body.get("mdfy_qty") or reading.body.get("cncl_qty")
    if not isinstance(quantity, str) or not _QUANTITY.fullmatch(quantity):
        return Accepted(number)
    return Accepted(number, int(quantity))


def _refuse(reading: Reading) -> Outcome:
    assert reading.meaning is not None, "the rule asked for it"  # noqa: S101
    return Refused(reading.code, reading.message, reading.meaning)


def _unclear(text: str, *, is_answered: bool) -> Callable[[Reading], Outcome]:
    def build(reading: Reading) -> Outcome:
        return Unclear(
            text.format(flaw=reading.flaw, status=reading.status, return_code=reading.return_code, code=reading.code),
            is_answered=is_answered,
        )

    return build


_STATUSES: Final[dict[CodeMeaning, frozenset[int]]] = {
    CodeMeaning.BUSINESS_REFUSAL: frozenset({200}),
    CodeMeaning.INPUT_ERROR: frozenset({200, 400}),
    CodeMeaning.TOKEN_REFUSED: frozenset({200, 401}),
    CodeMeaning.ACCESS_REFUSED: frozenset({200, 401, 403}),
}
"""HTTP statuses under which a code is believed. Kiwoom sends 200 with all of them [M]; the others are what its
published client expects [O]. Under any other status something else than Kiwoom may have written the answer."""


def _is_refusal(reading: Reading) -> bool:
    return reading.meaning in _STATUSES and reading.status in _STATUSES[reading.meaning]


_RULES: Final[tuple[tuple[Callable[[Reading], bool], Callable[[Reading], Outcome]], ...]] = (
    (lambda r: not r.is_intact, _unclear("{flaw}", is_answered=False)),
    (lambda r: r.is_success and _has_number(r), _accept),
    (lambda r: r.is_success, _unclear("success without an order number", is_answered=False)),
    (lambda r: r.status >= 500, _unclear("HTTP {status}", is_answered=False)),
    (_names_something, _unclear("return_code {return_code} together with an order number", is_answered=False)),
    (_is_refusal, _refuse),
    (
        lambda r: r.meaning is CodeMeaning.RATE_LIMIT,
        _unclear("rate limit ({code}), after which orders have been seen on the book", is_answered=True),
    ),
    (
        lambda _: True,
        _unclear("HTTP {status}, return_code {return_code}, code {code} proves nothing", is_answered=False),
    ),
)
