"""What one answer, one look at the ledger or one report of the feed says about the assumptions. Pure.

Every acknowledged order is a free measurement. Nothing here decides about an order: it only tells people whether what
the decisions rest on still holds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, frozen

from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.relations import (
    HOME_TRADING_CHANNELS,
    ChannelKnowledge,
    Claimant,
    Relation,
    disagreements,
    relation,
)
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.vocabulary import ORDER_TYPE_RULES, Action, ResolvedBy

TIGHT: Final = 0.5
"""Share of a bound from which on it is too tight. Source: our choice; what was measured on a quiet day can double on a
bad one."""

_RESOLUTION: Final = timedelta(seconds=1)
"""The broker's stamps have whole seconds. Source: `ord_tm` of kt00007, `Date` of RFC 9110."""


@define
class Series:
    """Some measurements of one thing, in seconds: how many, the last, the largest."""

    count: int = 0
    latest: float = 0.0
    largest: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one more."""
        self.count += 1
        self.latest = seconds
        self.largest = max(self.largest, seconds)

    def __str__(self) -> str:
        if not self.count:
            return "none"
        return f"{self.largest:.3f} s at most, {self.latest:.3f} s last, in {self.count}"


def is_own_answer(attempt: Attempt) -> bool:
    """Tell whether an order's number came by its own answer: only then its rows can teach anything."""
    return attempt.resolved_by is ResolvedBy.RESPONSE and attempt.request.action is Action.NEW


def judge_answer(client_order_id: str, seconds: float, timing: Timing) -> Breach | None:
    """Judge how long an answer took: as late as that, a request whose answer is lost can be accepted (A4)."""
    if seconds <= TIGHT * timing.acceptance_bound:
        return None
    text = (
        f"the answer to order {client_order_id} took {seconds:.3f} s; acceptance_bound is {timing.acceptance_bound:g} s"
    )
    return Breach(BreachKind.ANSWER_SLOW, text)


def rounded_down(seconds: float) -> str:
    """Spell seconds that are told as "or more"."""
    return f"{math.floor(10 * seconds) / 10:.1f}"


def judge_clock(seconds: float, timing: Timing) -> Breach | None:
    """Judge by how much the clocks are proven to differ (A11)."""
    if seconds <= TIGHT * timing.clock_skew:
        return None
    kind = BreachKind.CLOCK_OFF if seconds > timing.clock_skew else BreachKind.CLOCK_NEAR
    gap = rounded_down(seconds)
    text = f"our clock and the broker's differ by {gap} s or more; clock_skew is {timing.clock_skew:g} s"
    return Breach(kind, text)


def judge_step(client_order_id: str, step: float, timing: Timing, *, is_proven_off: bool) -> Breach | None:
    """Judge by how much the wall clock has jumped since an order was sent (A11).

    Args:
        client_order_id: Of the order.
        step: See `Attempt.clock_step`.
        timing: The bounds.
        is_proven_off: The broker's answers show that the clock is off. Without that, a jump forward may as well be a
            virtual machine that was paused, with a clock that was right all the time.
    """
    if abs(step) <= timing.clock_skew:
        return None
    text = f"the clock was set by {step:+.0f} s after order {client_order_id} was sent, or its sender's was off"
    if step < 0 or is_proven_off:
        return Breach(BreachKind.CLOCK_OFF, text)
    return Breach(BreachKind.CLOCK_NEAR, f"{text}, or the machine was paused")


def clock_gap(stamp: datetime, earliest: datetime, latest: datetime) -> float:
    """Give by how many seconds two clocks differ at least, if what one stamped lay between two moments of the other."""
    return max(earliest - (stamp + _RESOLUTION), stamp - latest, timedelta(0)).total_seconds()


def judge_delay(number: str, seconds: float, timing: Timing) -> Breach | None:
    """Judge that an order was not listed yet, some seconds after its answer and within the bound (A5)."""
    if not TIGHT * timing.visibility_bound < seconds <= timing.visibility_bound:
        return None
    text = (
        f"order {number} was not listed {seconds:.3f} s after its answer; "
        f"visibility_bound is {timing.visibility_bound:g} s"
    )
    return Breach(BreachKind.LISTED_SLOWLY, text)


def explain_missing(number: str, snapshot: Snapshot, *, was_seen: bool, is_open: bool = False) -> Breach:
    """Say which assumption a look breaks that does not list an order of ours although the bounds are over.

    Args:
        number: Of the order.
        snapshot: The look.
        was_seen: An earlier look has listed it.
        is_open: The open orders list it at the same moment.
    """
    highest = max((row.number for row in snapshot.rows), default=0)
    if is_open:
        return Breach(BreachKind.LEDGER_INCOMPLETE, f"the ledger does not list our order {number}, which is open")
    if not was_seen:
        return Breach(BreachKind.NOT_LISTED, f"the ledger does not list our order {number}, visibility_bound after it")
    if int(number) > highest:
        text = f"the ledger does not list our order {number} any more, nor anything after it"
        return Breach(BreachKind.LEDGER_STALE, text)
    text = f"the ledger does not list our order {number} any more, and lists later ones"
    return Breach(BreachKind.ROW_DISAPPEARED, text)


def judge_row(claimant: Claimant, row: LedgerOrder) -> Iterable[Breach]:
    """Hold the row of an order of ours against what was sent (A10), and its channel against a person's (A9)."""
    if wrong := disagreements(claimant, row):
        text = f"the ledger repeats order {row.broker_order_id} with another {', '.join(wrong)} than was sent"
        yield Breach(BreachKind.ECHO_DIFFERS, text)
    if row.channel.strip().startswith(HOME_TRADING_CHANNELS):
        text = f"our own order {row.broker_order_id} carries the channel of the home trading system ({row.channel!r})"
        yield Breach(BreachKind.CHANNEL_AMBIGUOUS, text)


@frozen
class Suspect:
    """A row that nobody of us has, and that is the image of an order of ours.

    Attributes:
        owner: The order it looks like.
    """

    row: LedgerOrder
    owner: Attempt

    def to_breach(self, *, is_own_transport: bool) -> Breach:
        """Say what it breaks: with our own transport it cannot be a request that was sent twice."""
        number, owner = self.row.broker_order_id, self.owner
        text = f"order {number} is on the book beside {owner.broker_order_id}, the number of {owner.client_order_id}"
        if is_own_transport:
            return Breach(BreachKind.FOREIGN_TWIN, f"{text}: another program trades on this account")
        return Breach(BreachKind.SECOND_ORDER, f"{text}: it was sent twice, or another program placed it")


def _likeness(request: OrderRequest) -> tuple[object, ...]:
    """Give what a row has to repeat to be the image of an order; None for a price of which the row may tell any."""
    has_own_price = request.order_type is None or ORDER_TYPE_RULES[request.order_type].needs_price
    return request.symbol, request.side, request.quantity, request.price if has_own_price else None


@frozen
class Looking:
    """What a look at a ledger is judged by."""

    timing: Timing
    environment: Environment
    boot_id: str
    channels: ChannelKnowledge

    def claimant(self, attempt: Attempt, snapshot: Snapshot) -> Claimant:
        """See an attempt for a look."""
        return Claimant.of(
            attempt,
            timing=self.timing,
            environment=self.environment,
            boot_id=self.boot_id,
            looked=snapshot.began,
        )

    def find_suspects(
        self, snapshot: Snapshot, rows: Iterable[LedgerOrder], owners: Iterable[Attempt]
    ) -> tuple[Suspect, ...]:
        """Find rows that are the image of an order of ours: the same request, in the time in which it was sent."""
        alike: Mapping[tuple[object, ...], list[Attempt]] = defaultdict(list)
        for owner in owners:
            if owner.request.action is Action.NEW:
                alike[_likeness(owner.request)].append(owner)
        # An owner is seen once, however many rows it is held against, and not at all if none is like it.
        seen: dict[tuple[object, ...], list[tuple[Attempt, Claimant]]] = {}
        found = []
        for row in rows:
            if self.channels.relation(row.channel) is not Relation.LIKELY:
                continue
            kind = row.symbol, row.side, row.quantity
            for key in [(*kind, price) for price in (row.price, None) if (*kind, price) in alike]:
                if key not in seen:
                    seen[key] = [(owner, self.claimant(owner, snapshot)) for owner in alike[key]]
                like = next((one for one, claimant in seen[key] if self._is_image(claimant, row)), None)
                if like is not None:
                    found.append(Suspect(row, like))
                    break
        return tuple(found)

    def _is_image(self, claimant: Claimant, row: LedgerOrder) -> bool:
        return relation(claimant, row, self.channels) is Relation.LIKELY

    def find_related(
        self, snapshot: Snapshot, rows: Iterable[LedgerOrder], attempts: Iterable[Attempt]
    ) -> frozenset[str]:
        """Find the numbers of rows that may be one of some attempts, whenever those were accepted."""
        by_symbol: Mapping[str, list[Claimant]] = defaultdict(list)
        for attempt in attempts:
            by_symbol[attempt.request.symbol].append(evolve(self.claimant(attempt, snapshot), latest=None))
        return frozenset(
            row.broker_order_id
            for row in rows
            if any(
                relation(claimant, row, ChannelKnowledge()) is not Relation.NONE
                for claimant in by_symbol.get(row.symbol, ())
            )
        )

    def is_stamped_at_once(self, attempt: Attempt) -> bool:
        """Tell whether an order's stamp is the moment of its acceptance; outside of the hours it may not be."""
        return len(attempt.days(self.timing, self.environment)) == 1
