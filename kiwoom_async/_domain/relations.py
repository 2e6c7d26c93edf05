"""Whether one row of the ledger can be one attempt: never, possibly, or likely.

Every doubt is resolved towards "possibly": a row wrongly excluded would prove a false absence and double an
order, a row wrongly kept only makes us wait. What a row does not show excludes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime
from enum import StrEnum, unique
from typing import Final

from attrs import frozen

from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import IN_FLIGHT
from kiwoom_async._domain.vocabulary import ORDER_TYPE_RULES, Action, Desk, Route

HOME_TRADING_CHANNELS: Final = ("영웅문",)
"""How the channel text of an order begins that a person placed at the home trading system or its app.

Source: the official example of TR kt00007 (`comm_ord_tp` "영웅문4"). An order over REST reads "REST API" in
those of kt50030 and kt50031.
"""

REST_CHANNELS: Final = frozenset({"REST API"})
"""What the channel text of an order over REST is published to be.

Source: the official examples of kt50030 and kt50031; for stocks no live value is known.
"""


@unique
class Relation(StrEnum):
    """What a row is to an attempt."""

    NONE = "none"
    """The row is certainly not this attempt."""
    POSSIBLE = "possible"
    """The row may be this attempt, but may not be claimed: it blocks a proof of absence and a resend."""
    LIKELY = "likely"
    """The row may be claimed where no other actor can have placed it."""


@frozen
class ChannelKnowledge:
    """What the account's own orders have taught about the channel texts of one desk.

    Attributes:
        own: Texts seen on orders of ours that were acknowledged by an answer; empty while nothing is learnt.
    """

    own: frozenset[str] = frozenset()

    def relation(self, text: str) -> Relation:
        """Say what a channel text alone tells about a row."""
        text = text.strip()
        if not text:
            return Relation.LIKELY
        if text.startswith(HOME_TRADING_CHANNELS):
            # Where our own acknowledged orders carry such a text, it cannot tell a person's order from ours
            # any more.
            return Relation.POSSIBLE if text in self.own else Relation.NONE
        if text in self.own or text in REST_CHANNELS:
            return Relation.LIKELY
        # A branch, a phone, another application, or our own channel under a spelling not seen so far: on another
        # route, session or order type. Excluding the row on that ground could prove a false absence, and the
        # resend would double the order; claiming it could cancel a person's order. So it blocks, and is not
        # claimed, until an acknowledged order of ours has taught the spelling.
        return Relation.POSSIBLE


@frozen
class Claimant:
    """An attempt as the matcher sees it.

    Attributes:
        key: Key of the attempt.
        day: The day on which `mark` was taken.
        mark: Orders of `day` up to this number are older than the attempt. Says nothing about other days.
        days: Korean days whose ledger may list the attempt.
        earliest: On the broker's clock; earlier rows cannot be the attempt.
        latest: The same at the other end; None while the sender may still write.
        age: Sort key, oldest first.
        obligation: What hangs on the attempt beyond its request. Only attempts with equal obligations are
            interchangeable; "" for an ordinary order.
        is_claimable: False for an attempt in flight. It competes for rows, and nothing is said about it.
        is_hidden_possible: It may be accepted and not be listed yet, so its absence cannot be told.
        ancestors: Numbers the ledger might name in place of `request.original`: the earlier orders of its
            chain.
        is_exclusive: False where its sender knew of other programs whose orders could be taken for it.
    """

    key: str
    request: OrderRequest
    day: date
    mark: int
    days: tuple[date, ...]
    earliest: datetime
    latest: datetime | None
    age: tuple[float, int]
    obligation: str = ""
    is_claimable: bool = True
    is_hidden_possible: bool = False
    ancestors: frozenset[str] = frozenset()
    is_exclusive: bool = True

    @property
    def outlook(self) -> tuple[object, ...]:
        """Give what decides, besides the request, which rows can be this attempt, listed now or later."""
        return (self.day, self.mark, self.days, self.earliest, self.latest, self.ancestors)

    @classmethod
    def of(
        cls,
        attempt: Attempt,
        *,
        timing: Timing,
        environment: Environment,
        boot_id: str,
        looked: float,
        final_days: Collection[date] = (),
        obligation: str = "",
        ancestors: frozenset[str] = frozenset(),
    ) -> Claimant:
        """See an attempt for a look at the ledger.

        Args:
            attempt: The attempt, in flight or unresolved.
            timing: The bounds relied on.
            environment: Tells whether the order may show up on the next day.
            boot_id: The run of the operating system in which `looked` was read.
            looked: Monotonic second before the first request of the look left (`Snapshot.began`).
            final_days: Days whose ledger the look has read after their end.
            obligation: See the class. An attempt in flight gets one of its own.
            ancestors: See the class.
        """
        earliest, latest = attempt.acceptance_window(timing)
        days = attempt.days(timing, environment)
        is_in_flight = attempt.state in IN_FLIGHT
        return cls(
            key=attempt.key,
            request=attempt.request,
            day=attempt.day,
            mark=attempt.mark,
            days=days,
            earliest=earliest,
            latest=latest,
            age=(attempt.dispatched_at.timestamp(), attempt.number),
            obligation=f"in flight: {attempt.key}" if is_in_flight else obligation,
            is_claimable=not is_in_flight,
            is_hidden_possible=_is_hidden_possible(attempt, timing, boot_id, looked)
            or not later_days(attempt, timing, environment) <= set(final_days),
            ancestors=ancestors,
            is_exclusive=not attempt.is_account_shared,
        )


def _is_hidden_possible(attempt: Attempt, timing: Timing, boot_id: str, looked: float) -> bool:
    dead_after = attempt.dead_after(timing)
    if dead_after is None or attempt.boot_id != boot_id:
        return True
    return looked < dead_after + attempt.bounds(timing).visibility_bound


def later_days(attempt: Attempt, timing: Timing, environment: Environment) -> frozenset[date]:
    """Give the days on which an order sent outside of the market's hours may show up late.

    On these days the bounds on acceptance and visibility say nothing: only the day's end settles them. Where
    the environment has no hours, an order is listed at once, on whichever side of midnight.
    """
    if environment.opens_at is None and environment.closes_at is None:
        return frozenset()
    return frozenset(day for day in attempt.days(timing, environment) if day > attempt.day)


def relation(claimant: Claimant, row: LedgerOrder, channels: ChannelKnowledge) -> Relation:
    """Say what a row is to an attempt."""
    found = Relation.LIKELY
    for check in _CHECKS:
        told = check(claimant, row)
        if told is Relation.NONE:
            return told
        if told is Relation.POSSIBLE:
            found = told
    told = channels.relation(row.channel)
    return told if found is Relation.LIKELY else min(found, told, key=_STRENGTH.index)


def is_report_of_another(request: OrderRequest, report: OrderReport) -> bool:
    """Tell whether a report is certainly of another order than a new one of ours.

    Only an acceptance repeats what was sent, and only where nothing else can be told of our order under that number:
    what SOR has sent on in parts shows the quantity of a part.
    """
    if request.action is not Action.NEW or report.kind is not ReportKind.ACCEPTED:
        return False
    if report.action is not Action.NEW or report.original is not None:
        return False
    has_own_price = request.order_type is not None and ORDER_TYPE_RULES[request.order_type].needs_price
    return (
        report.side is not request.side
        or (request.route is not Route.SOR and report.quantity not in {0, request.quantity})
        or (has_own_price and report.price not in {None, request.price})
    )


def disagreements(claimant: Claimant, row: LedgerOrder) -> tuple[str, ...]:
    """Name what the row of an order repeats otherwise than it was sent (A10); its number and time are left out."""
    return tuple(name for name, check in _ECHOED.items() if check(claimant, row) is Relation.NONE)


def _likely_if(is_compatible: bool) -> Relation:
    return Relation.LIKELY if is_compatible else Relation.NONE


def _by_kind(claimant: Claimant, row: LedgerOrder) -> Relation:
    request = claimant.request
    return _likely_if(
        row.action is request.action
        and row.symbol == request.symbol
        # Credit orders stand among the stocks; `_by_credit` reads what tells them apart.
        and row.desk.ledger is request.desk.ledger
        and (request.side is None or row.side is request.side)
    )


def _by_day(claimant: Claimant, row: LedgerOrder) -> Relation:
    if row.day not in claimant.days:
        return Relation.NONE
    # Numbers start anew each day (A8), so a mark is never compared with another day's number.
    return _likely_if(row.day != claimant.day or row.number > claimant.mark)


def _by_origin(claimant: Claimant, row: LedgerOrder) -> Relation:
    request = claimant.request
    if request.action is Action.NEW:
        # A part of an order that SOR has split names its root; the root itself is what was sent.
        return _likely_if(row.original is None)
    if row.original is None or request.original is None:
        return Relation.POSSIBLE
    if int(row.original) == int(request.original):
        return Relation.LIKELY
    # Answers name the root of a chain where the request named its last link; which one the ledger names is
    # not known.
    return Relation.POSSIBLE if int(row.original) in map(int, claimant.ancestors) else Relation.NONE


def _by_quantity(claimant: Claimant, row: LedgerOrder) -> Relation:
    wanted = claimant.request.quantity
    if wanted is None or row.quantity == wanted:
        return Relation.LIKELY
    if claimant.request.action is Action.CANCEL and row.confirmed_quantity == wanted:
        return Relation.LIKELY
    # A modify or cancel of more than is left may be listed with what was left, or with a quantity of 0 [G].
    is_smaller = claimant.request.action is not Action.NEW and row.quantity < wanted
    return Relation.POSSIBLE if is_smaller else Relation.NONE


def _by_price(claimant: Claimant, row: LedgerOrder) -> Relation:
    request = claimant.request
    if request.price is None or request.action is Action.CANCEL:
        # Without a price of its own, an order may be echoed with none, with zero or with a derived price.
        return Relation.LIKELY
    if request.order_type is not None and not ORDER_TYPE_RULES[request.order_type].needs_price:
        return Relation.LIKELY
    return Relation.POSSIBLE if row.price is None else _likely_if(row.price == request.price)


def _by_order_type(claimant: Claimant, row: LedgerOrder) -> Relation:
    request = claimant.request
    # A modify cannot change the type, so its row says nothing that the original number has not said.
    is_untold = request.action is not Action.NEW or request.order_type is None or not row.order_types
    return _likely_if(is_untold or request.order_type in row.order_types)


def _by_credit(claimant: Claimant, row: LedgerOrder) -> Relation:
    request = claimant.request
    # The rows of modifies and cancels read alike for both; the original they name says more. A row that does not tell
    # excludes nothing: where orders of both kinds wait for it, neither gets it, for they are no twins.
    if request.action is not Action.NEW or row.is_credit is None:
        return Relation.LIKELY
    if row.is_credit is not (request.desk is Desk.CREDIT):
        return Relation.NONE
    # That the ledger repeats the loan date of a sale is published as a field and seen by nobody, so another one
    # does not prove another order.
    is_same_loan = request.loan_date is None or row.loan_date in {None, request.loan_date}
    return Relation.LIKELY if is_same_loan else Relation.POSSIBLE


def _by_route(claimant: Claimant, row: LedgerOrder) -> Relation:
    request = claimant.request
    # The route of a modify or cancel is its original's. What was sent to SOR may show where it went.
    if request.action is not Action.NEW or request.route in _SHOWN_ANYWHERE or row.route is None:
        return Relation.LIKELY
    return _likely_if(row.route is request.route)


def _by_stop_price(claimant: Claimant, row: LedgerOrder) -> Relation:
    wanted = claimant.request.stop_price
    return _likely_if(wanted is None or row.stop_price is None or row.stop_price == wanted)


def _by_time(claimant: Claimant, row: LedgerOrder) -> Relation:
    if row.there_by is not None and row.there_by < claimant.earliest:
        return Relation.NONE
    if row.ordered_at is None:
        return Relation.LIKELY
    if row.ordered_at < claimant.earliest:
        return Relation.NONE
    # An order sent outside of the market's hours may be stamped with the moment of its release, or with
    # tomorrow's date and tonight's time; its window has no end.
    is_within = claimant.latest is None or row.ordered_at <= claimant.latest
    return _likely_if(is_within or claimant.days[-1] > claimant.day)


_SHOWN_ANYWHERE: Final = (None, Route.SOR)
_STRENGTH: Final = (Relation.NONE, Relation.POSSIBLE, Relation.LIKELY)
_CHECKS: Final[tuple[Callable[[Claimant, LedgerOrder], Relation], ...]] = (
    _by_kind,
    _by_quantity,
    _by_day,
    _by_price,
    _by_time,
    _by_origin,
    _by_order_type,
    _by_credit,
    _by_route,
    _by_stop_price,
)
"""Cheap and telling ones first: most pairs differ in kind or quantity."""

_ECHOED: Final = {
    "symbol, side or kind": _by_kind,
    "quantity": _by_quantity,
    "price": _by_price,
    "original": _by_origin,
    "order type": _by_order_type,
    "kind of money": _by_credit,
    "route": _by_route,
    "stop price": _by_stop_price,
}
