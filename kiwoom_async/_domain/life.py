"""What the broker says of one order number, merged so that each fill is counted once.

Answers, reports of the feed, rows of the ledger and rows of the executions come late, twice, out of order, or not at
all. All of them count cumulatively, so a statement never adds: it raises what is filled and lowers what is left, and
news is what has moved since. The same statements give the same life in whatever order they come.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum, unique
from typing import Final, TypeVar

from attrs import evolve, frozen

from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.reports import ReportKind
from kiwoom_async._domain.sights import Move, Sight
from kiwoom_async._domain.vocabulary import Action, OrderStatus

_T = TypeVar("_T", int, datetime)


@unique
class LifeEvent(StrEnum):
    """What a statement can do to an order."""

    SEEN = "seen"
    """It is told of, and nothing has moved."""
    FILLED_IN_PART = "filled in part"
    FILLED_UP = "filled up"
    REDUCED = "reduced"
    """A part of it has left the book unfilled."""
    GONE = "gone"
    """All that was not filled has left the book."""
    REFUSED = "refused"
    EXPIRED = "expired"
    """The day is over."""


_S, _E = OrderStatus, LifeEvent
_YOUNG: Final = (None, _S.WORKING)

TRANSITIONS: Final[dict[tuple[OrderStatus | None, LifeEvent], OrderStatus]] = {
    **{(status, _E.SEEN): status for status in OrderStatus},
    (None, _E.SEEN): _S.WORKING,
    **{(status, _E.FILLED_IN_PART): _S.PARTIALLY_FILLED for status in (*_YOUNG, _S.PARTIALLY_FILLED)},
    **{(status, _E.FILLED_UP): _S.FILLED for status in (*_YOUNG, _S.PARTIALLY_FILLED)},
    **{(status, _E.REDUCED): _S.WORKING for status in _YOUNG},
    (_S.PARTIALLY_FILLED, _E.REDUCED): _S.PARTIALLY_FILLED,
    **{(status, _E.GONE): _S.CANCELED for status in (*_YOUNG, _S.PARTIALLY_FILLED, _S.CANCELED)},
    **{(status, _E.REFUSED): _S.REFUSED for status in (*_YOUNG, _S.REFUSED)},
    **{(status, _E.EXPIRED): _S.EXPIRED for status in (*_YOUNG, _S.PARTIALLY_FILLED, _S.EXPIRED)},
    # A fill from before the end is told after it: it counts, and the end stays what it was unless nothing was left.
    **{(status, _E.FILLED_IN_PART): status for status in (_S.CANCELED, _S.EXPIRED)},
    **{(status, _E.FILLED_UP): _S.FILLED for status in (_S.CANCELED, _S.EXPIRED)},
    # A row of the ledger cannot tell why nothing is left; whoever knows better corrects it.
    (_S.CANCELED, _E.EXPIRED): _S.CANCELED,
    (_S.EXPIRED, _E.GONE): _S.CANCELED,
    **{(status, _E.REFUSED): _S.REFUSED for status in (_S.CANCELED, _S.EXPIRED)},
    **{(_S.REFUSED, event): _S.REFUSED for event in (_E.GONE, _E.EXPIRED)},
    # It cannot be, but a fill is money: it counts, the refusal does not, and `follow` raises an alarm.
    (_S.REFUSED, _E.FILLED_IN_PART): _S.PARTIALLY_FILLED,
    (_S.REFUSED, _E.FILLED_UP): _S.FILLED,
}
"""A missing key is an alarm; the status stays as it is."""

FINISHED: Final = frozenset({_S.FILLED, _S.CANCELED, _S.REFUSED, _S.EXPIRED})
"""Nothing of it is in the book any more."""


@frozen
class Life:
    """One order number, as far as the broker has told.

    Attributes:
        action: What the number stands for. A cancel has no life of its own: it makes no news unless it is refused.
        quantity: Of the order; None until told, for modifies of all that is left.
        filled_quantity: All fills.
        filled_amount: KRW of all fills; None if not known.
        is_exact: False where the amount was made of an average, which the broker rounds.
        leaves_quantity: What is left in the book; None while nobody told.
        ending: Why nothing is left although not all was filled: CANCELED, REFUSED or EXPIRED. None otherwise.
        filled_at: The broker's stamp of the first report with this total; None where only the ledger told it.
        leaves_at: The same for what is left.
        replaced_by: Number of the modify that took what was left.
        is_seen: The broker has told of the order itself, beyond its number.
    """

    action: Action
    quantity: int | None = None
    filled_quantity: int = 0
    filled_amount: Decimal | None = None
    is_exact: bool = False
    leaves_quantity: int | None = None
    ending: OrderStatus | None = None
    filled_at: datetime | None = None
    leaves_at: datetime | None = None
    replaced_by: str | None = None
    is_seen: bool = False

    @property
    def status(self) -> OrderStatus | None:
        """Say in what state the order is; None while the broker has told its number and nothing else."""
        if self.is_filled:
            return OrderStatus.FILLED
        if self.ending is not None:
            return self.ending
        if self.filled_quantity:
            return OrderStatus.PARTIALLY_FILLED
        return OrderStatus.WORKING if self.is_seen else None

    @property
    def is_filled(self) -> bool:
        """Tell whether all of it is filled."""
        return self.quantity is not None and 0 < self.quantity <= self.filled_quantity

    @property
    def is_finished(self) -> bool:
        """Tell whether nothing of it is in the book any more."""
        return self.status in FINISHED

    @property
    def average_fill_price(self) -> Decimal | None:
        """Give KRW per share; None while nothing is filled, or not known."""
        if self.filled_amount is None or not self.filled_quantity:
            return None
        return self.filled_amount / self.filled_quantity


@frozen
class News:
    """What a strategy hears of one statement; the fields are those of `OrderEvent`."""

    kind: OrderEventKind
    status: OrderStatus | None
    filled_quantity: int
    leaves_quantity: int | None
    quantity: int | None = None
    price: Decimal | None = None
    execution_id: str | None = None
    replaced_by: str | None = None
    text: str = ""


@frozen
class Step:
    """What a statement has changed.

    Attributes:
        life: From now on.
        news: In the order in which they are to be heard.
        alarm: What cannot be true of the statement, in words; None for all is well.
    """

    life: Life
    news: tuple[News, ...] = ()
    alarm: str | None = None


def follow(life: Life, sight: Sight) -> Step:
    """Merge a statement into what is known."""
    if life.action is Action.CANCEL:
        return _follow_cancel(life, sight)
    told = _merge_quantity(evolve(life, is_seen=True), sight)
    if (impossible := _find_impossible(told, sight)) is not None:
        return Step(life, alarm=impossible)
    sight, alarm = _drop_impossible_leaves(told, sight)
    news: list[News] = []
    alarms = [alarm]
    for take in (_take_totals, _take_refusal, _take_end_of_day):
        step = take(told, sight)
        told = step.life
        news += step.news
        alarms.append(step.alarm)
    return Step(told, tuple(news), "; ".join(filter(None, alarms)) or None)


def _merge_quantity(life: Life, sight: Sight) -> Life:
    if life.quantity is None or sight.quantity is None:
        return evolve(life, quantity=sight.quantity if life.quantity is None else life.quantity)
    # A modify can have moved less than it was asked to; any other order is as large as it was sent.
    if life.action is not Action.MODIFY or sight.quantity >= life.quantity:
        return life
    lowered = evolve(life, quantity=sight.quantity)
    room = max(0, sight.quantity - life.filled_quantity)
    if lowered.leaves_quantity is None or lowered.leaves_quantity <= room:
        return lowered
    return evolve(lowered, leaves_quantity=room, leaves_at=None)


def _find_impossible(life: Life, sight: Sight) -> str | None:
    told = sight.filled_quantity
    filled = max(life.filled_quantity, told or 0)
    if life.quantity is not None and filled > life.quantity:
        return f"overfill: {filled} filled of an order for {life.quantity}"
    if told is not None and told < life.filled_quantity and _is_later(sight.at, life.filled_at):
        return f"fills have shrunk: {told} are reported later than {life.filled_quantity} were"
    return None


def _is_later(at: datetime | None, known_at: datetime | None) -> bool:
    # The broker's stamps have whole seconds [M]: of two reports of one second it cannot be said which is newer.
    return at is not None and known_at is not None and at > known_at


def _drop_impossible_leaves(life: Life, sight: Sight) -> tuple[Sight, str | None]:
    leaves, filled = sight.leaves_quantity, sight.filled_quantity or 0
    if leaves is None:
        return sight, None
    if life.quantity is not None and filled + leaves > life.quantity:
        text = f"{filled} filled and {leaves} left are more than the {life.quantity} of the order"
    elif life.leaves_quantity is not None and leaves > life.leaves_quantity and _is_later(sight.at, life.leaves_at):
        text = f"what is left has grown: {leaves} are reported later than {life.leaves_quantity} were"
    else:
        return sight, None
    return evolve(sight, leaves_quantity=None), text


def _step(before: Life, event: LifeEvent, after: Life, *news: News) -> Step:
    """Make a step that the table allows; otherwise an alarm, and nothing has changed."""
    if (before.status, event) in TRANSITIONS:
        return Step(after, news)
    # What is left out of the table is sorted out before it is asked; it has the last word all the same.
    text = f"an order that is {before.status or 'not seen yet'} cannot be {event.value}"  # pragma: no cover
    return Step(before, alarm=text)  # pragma: no cover


def _take_totals(life: Life, sight: Sight) -> Step:
    """Take what is filled and what is left: one statement tells both of the same moment."""
    fills = _take_fills(life, sight)
    leaves = _take_leaves(life, fills.life, sight)
    news = fills.news
    if news and not leaves.news:
        # What is left may be finished by the same statement without being news of its own.
        news = (evolve(news[0], status=leaves.life.status, leaves_quantity=leaves.life.leaves_quantity),)
    return Step(leaves.life, (*news, *leaves.news), fills.alarm or leaves.alarm)


def _take_fills(life: Life, sight: Sight) -> Step:
    told = sight.filled_quantity or 0
    if not told or told < life.filled_quantity:
        return Step(life)
    if told == life.filled_quantity:
        return Step(evolve(_correct_amount(life, sight), filled_at=_lower(life.filled_at, sight.at)))
    alarm = None
    filled = evolve(
        life,
        filled_quantity=told,
        filled_amount=sight.filled_amount,
        is_exact=sight.is_exact and sight.filled_amount is not None,
        filled_at=sight.at,
    )
    if life.ending is OrderStatus.REFUSED:
        alarm = f"it was refused, and {told} are filled"
        filled = evolve(filled, ending=None, leaves_quantity=None, leaves_at=None)
    if filled.is_filled:
        # Nothing is left, whatever else was told.
        was_empty = life.leaves_quantity == 0
        filled = evolve(filled, ending=None, leaves_quantity=0, leaves_at=life.leaves_at if was_empty else None)
    event = LifeEvent.FILLED_UP if filled.is_filled else LifeEvent.FILLED_IN_PART
    step = _step(life, event, filled, _tell_fill(life, filled, sight))
    return evolve(step, alarm=step.alarm or alarm)


def _correct_amount(life: Life, sight: Sight) -> Life:
    if sight.filled_amount is None or (life.is_exact and not sight.is_exact):
        return life
    is_better = life.filled_amount is None or (sight.is_exact and not life.is_exact)
    # Averages are rounded down [M]: of two, the higher one is nearer to the truth.
    if not is_better and life.filled_amount is not None and sight.filled_amount <= life.filled_amount:
        return life
    return evolve(life, filled_amount=sight.filled_amount, is_exact=sight.is_exact)


def _lower(known: _T | None, told: _T | None) -> _T | None:
    if known is None or told is None:
        return told if known is None else known
    return min(known, told)


def _tell_fill(before: Life, filled: Life, sight: Sight) -> News:
    increase = filled.filled_quantity - before.filled_quantity
    is_single = sight.fill_quantity == increase
    room = None if filled.quantity is None else filled.quantity - filled.filled_quantity
    # Where the same statement also tells of a reduction, that one is told after the fill.
    leaves = _lower(room if sight.leaves_quantity is not None else None, filled.leaves_quantity)
    return News(
        OrderEventKind.FILLED,
        filled.status,
        filled.filled_quantity,
        leaves if leaves is None or room is None else min(leaves, room),
        quantity=increase,
        price=Decimal(sight.fill_price) if is_single and sight.fill_price else _price_of(before, filled, increase),
        execution_id=sight.execution_id if is_single else None,
    )


def _price_of(before: Life, after: Life, increase: int) -> Decimal | None:
    paid = before.filled_amount if before.filled_quantity else Decimal(0)
    if paid is None or after.filled_amount is None or after.filled_amount <= paid:
        return None
    return (after.filled_amount - paid) / increase


def _take_leaves(before: Life, life: Life, sight: Sight) -> Step:
    """Lower what is left.

    Args:
        before: As it was before this statement.
        life: The same with the fills of this statement.
        sight: The statement.
    """
    is_moved = sight.replaced_by is not None and life.replaced_by is None
    life = evolve(life, replaced_by=life.replaced_by or sight.replaced_by)
    if life.is_filled:
        return Step(_stamp_leaves(life, sight))
    if sight.kind is ReportKind.REFUSED:
        return Step(life)
    # What a final row does not list as left may have expired just now.
    told = None if sight.is_final and not sight.leaves_quantity else sight.leaves_quantity
    told = _reckon_leaves(life, sight) if told is None else told
    leaves = _lower(life.leaves_quantity, told)
    if leaves is not None and life.quantity is not None:
        leaves = min(leaves, life.quantity - life.filled_quantity)
    is_lower = leaves is not None and (life.leaves_quantity is None or leaves < life.leaves_quantity)
    left = evolve(
        life,
        leaves_quantity=leaves,
        leaves_at=None if is_lower else life.leaves_at,
    )
    left = left if told is None else _stamp_leaves(left, sight)
    is_gone = told == 0 and life.ending is not OrderStatus.REFUSED
    if is_gone:
        left = evolve(left, ending=OrderStatus.CANCELED)
    gone = _count_gone(before, left)
    moved = _share_out(gone, sight.moves, is_gone=is_gone)
    rest = gone - sum(share.quantity for share in moved)
    # An order of unknown size that has gone is news without a number.
    is_news = rest or is_moved or (is_gone and _is_unknown(before))
    if not moved and not is_news and not is_gone:
        return Step(left)
    news = [_tell_move(life, left, share) for share in moved]
    if is_news:
        kind = OrderEventKind.MODIFIED if is_moved else OrderEventKind.CANCELED
        by = sight.replaced_by if is_moved else None
        news.append(News(kind, left.status, left.filled_quantity, None, quantity=rest or None, replaced_by=by))
    return _step(life, LifeEvent.GONE if is_gone else LifeEvent.REDUCED, left, *_count_down(news, left))


def _reckon_leaves(life: Life, sight: Sight) -> int | None:
    """Reckon what is left from what was taken, where the statement does not tell it (gold, and final ledgers)."""
    if not sight.taken or life.quantity is None:
        return None
    left = life.quantity - life.filled_quantity - sight.taken
    return left if left >= 0 else None


def _share_out(gone: int, moves: tuple[Move, ...], *, is_gone: bool) -> list[Move]:
    """Say what of that which has left the book lives on under the numbers of modifies."""
    shares = []
    for move in moves:
        # One that asked for more than was left has taken all of it.
        quantity = min(move.quantity, gone) if is_gone else move.quantity
        if 0 < quantity <= gone:
            shares.append(Move(move.number, quantity))
            gone -= quantity
    return shares


def _tell_move(before: Life, after: Life, move: Move) -> News:
    return News(
        OrderEventKind.MODIFIED,
        before.status,
        after.filled_quantity,
        None,
        quantity=move.quantity,
        replaced_by=move.number,
    )


def _count_down(news: list[News], left: Life) -> list[News]:
    """Give each of the news what was left after it, and the last one the status that the order has in the end."""
    told: list[News] = []
    leaves = left.leaves_quantity
    for each in reversed(news):
        told.append(evolve(each, leaves_quantity=leaves, status=each.status if told else left.status))
        leaves = None if leaves is None else leaves + (each.quantity or 0)
    return told[::-1]


def _is_unknown(life: Life) -> bool:
    return life.quantity is None and life.leaves_quantity is None and life.ending is None


def _stamp_leaves(life: Life, sight: Sight) -> Life:
    if sight.leaves_quantity is None or sight.leaves_quantity != life.leaves_quantity:
        return life
    return evolve(life, leaves_at=_lower(life.leaves_at, sight.at))


def _count_gone(before: Life, after: Life) -> int:
    """Count what left the book without being filled."""
    if after.leaves_quantity is None:
        return 0
    known = before.leaves_quantity
    if known is None:
        known = 0 if before.quantity is None else before.quantity - before.filled_quantity
    return max(0, known - after.leaves_quantity - (after.filled_quantity - before.filled_quantity))


def _take_refusal(life: Life, sight: Sight) -> Step:
    if sight.kind is not ReportKind.REFUSED or life.ending is OrderStatus.REFUSED:
        return Step(life)
    if life.filled_quantity:
        return Step(life, alarm=f"it is reported as refused, and {life.filled_quantity} were filled")
    leaves_at = life.leaves_at if life.leaves_quantity == 0 else None
    refused = evolve(life, ending=OrderStatus.REFUSED, leaves_quantity=0, leaves_at=leaves_at)
    news = _tell_ending(OrderEventKind.REFUSED, refused, text=sight.reason)
    return _step(life, LifeEvent.REFUSED, refused, news)


def _take_end_of_day(life: Life, sight: Sight) -> Step:
    if not sight.is_final or life.ending is not None or life.is_filled:
        return Step(life)
    rest = life.leaves_quantity
    if rest is None and life.quantity is not None:
        rest = life.quantity - life.filled_quantity
    expired = evolve(life, ending=OrderStatus.EXPIRED, leaves_quantity=0, leaves_at=None)
    news = _tell_ending(OrderEventKind.EXPIRED, expired, quantity=rest)
    return _step(life, LifeEvent.EXPIRED, expired, news)


def _tell_ending(kind: OrderEventKind, life: Life, *, quantity: int | None = None, text: str = "") -> News:
    return News(kind, life.status, life.filled_quantity, life.leaves_quantity, quantity=quantity, text=text)


def _follow_cancel(life: Life, sight: Sight) -> Step:
    """Follow a cancel: what it does is told of its original, so that only a refusal is news."""
    life = evolve(life, is_seen=True, quantity=sight.quantity if life.quantity is None else life.quantity)
    # A row of the ledger with nothing left may be that of a refused cancel too.
    if sight.kind is ReportKind.REFUSED and life.ending is not OrderStatus.REFUSED:
        refused = evolve(life, ending=OrderStatus.REFUSED, leaves_quantity=0)
        return Step(refused, (_tell_ending(OrderEventKind.REFUSED, refused, text=sight.reason),))
    leaves = _lower(life.leaves_quantity, sight.leaves_quantity)
    return Step(
        evolve(life, leaves_quantity=leaves, ending=life.ending or (OrderStatus.CANCELED if leaves == 0 else None))
    )
