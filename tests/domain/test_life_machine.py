"""The life of one order against what happens to it: told by three sources, late, twice, out of order, and wrongly.

The truth is a list of moments; a source tells any of them at any time. What must follow is computed from the set of
what was told, without looking at the order in which it came.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Final

import pytest
from attrs import evolve, frozen
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiwoom_async._domain.events import OrderEventKind
from kiwoom_async._domain.life import Step, follow
from kiwoom_async._domain.sights import Sight
from kiwoom_async._domain.vocabulary import OrderStatus
from tests.domain.test_life import ORDER, canceled, executed, fill, refusal, row
from tests.profiles import examples, machine, pick

WHOLE: Final = 10
FINAL: Final = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED)


@frozen
class Moment:
    """How the order stands at the broker: what is filled, for how much, what is left, and the broker's second."""

    filled: int
    amount: int
    leaves: int
    second: int


class OrderLife(RuleBasedStateMachine):
    """One order for ten, the broker's truth, and our picture of it."""

    @initialize()
    def place(self) -> None:
        """Place it."""
        self.life = ORDER
        self.truth = [Moment(0, 0, WHOLE, 0)]
        self.sights: list[Sight] = []
        self.told = 0
        self.closed = False
        self.largest = 0

    # ------------------------------------------------------------ what happens at the broker

    @precondition(lambda self: self.truth[-1].leaves and not self.closed)
    @rule(
        data=st.data(),
        price=st.integers(99, 103),
        seconds=st.integers(0, 2),
        is_fill=st.sampled_from([True, True, False]),
    )
    def move(self, data: st.DataObject | Random, price: int, seconds: int, *, is_fill: bool) -> None:
        """Fill a part, or take it off the book."""
        now = self.truth[-1]
        quantity = pick(data, range(1, now.leaves + 1))
        filled = now.filled + quantity * is_fill
        amount = now.amount + price * quantity * is_fill
        self.truth.append(Moment(filled, amount, now.leaves - quantity, now.second + seconds))

    # ------------------------------------------------------------ what is told of it

    def _tell(self, sight: Sight) -> Step:
        before = self.life
        step = follow(before, sight)
        self.life = step.life
        self.sights.append(sight)
        self.told += sum(news.quantity or 0 for news in step.news if news.kind is OrderEventKind.FILLED)
        if before.status in FINAL:
            assert step.life.status in FINAL, "a finished order has come to life"
        return step

    @rule(data=st.data(), source=st.sampled_from(["feed", "ledger", "executions"]))
    def tell(self, data: st.DataObject | Random, source: str) -> None:
        """Let a source tell of any moment, the present one or an old one, as often as it likes."""
        moment = pick(data, self.truth)
        average = Decimal(moment.amount // moment.filled) if moment.filled else None
        sight = executed(moment.filled, moment.leaves, average)
        if source == "ledger":
            sight = Sight.of_row(row(moment.filled, pick(data, [moment.leaves, None]), average))
        elif source == "feed":
            place = self.truth.index(moment)
            gained = moment.filled - self.truth[place - 1].filled if place else 0
            sight = canceled(moment.leaves, moment.second, amount=None if moment.filled else 0)
            if gained:
                sight = fill(moment.filled, gained, moment.amount, moment.second, leaves=moment.leaves)
        assert self._tell(sight).alarm is None, "an alarm about the truth"

    @rule()
    def end_of_day(self) -> None:
        """Let the final ledger tell; nothing happens after it."""
        self.closed = True
        now = self.truth[-1]
        average = Decimal(now.amount // now.filled) if now.filled else None
        assert self._tell(Sight.of_row(row(now.filled, now.leaves, average), is_final=True)).alarm is None

    @rule(excess=st.integers(1, 5))
    def overfill(self, excess: int) -> None:
        """Let something tell of more fills than the order has: an alarm, and not one share of it is counted."""
        before = self.life
        step = follow(before, executed(WHOLE + excess, 0, None))
        assert step.alarm is not None
        assert (step.life, step.news) == (before, ())

    @precondition(lambda self: self.life.filled_quantity and self.life.filled_at is not None)
    @rule()
    def shrink(self) -> None:
        """Let the feed tell later of fewer fills: an alarm, and nothing is taken away."""
        before = self.life
        later = fill(before.filled_quantity - 1, 0, 1, 10_000) if before.filled_quantity > 1 else None
        step = follow(before, later or evolve(fill(1, 1, 100, 10_000), filled_quantity=0, filled_amount=None))
        assert step.alarm is not None
        assert (step.life, step.news) == (before, ())

    @precondition(lambda self: self.life.filled_quantity)
    @rule()
    def refuse(self) -> None:
        """Let something tell that it was refused, although some of it is filled: an alarm, and the fills stay."""
        before = self.life
        step = follow(before, refusal())
        assert step.alarm is not None
        assert step.life.filled_quantity == before.filled_quantity
        assert step.life.status is before.status

    # ------------------------------------------------------------ what must always be true

    @invariant()
    def every_fill_is_counted_once(self) -> None:
        """What strategies have heard of is what is known to be filled: the most that anybody told; it never falls."""
        if not hasattr(self, "life"):
            return
        most = max((sight.filled_quantity or 0 for sight in self.sights), default=0)
        assert self.life.filled_quantity == self.told == most
        assert self.life.filled_quantity >= self.largest
        self.largest = self.life.filled_quantity
        leaves = self.life.leaves_quantity
        assert leaves is None or 0 <= leaves <= WHOLE - self.life.filled_quantity

    @invariant()
    def any_order_gives_the_same_life(self) -> None:
        """The same statements backwards, and sorted in another way, each of them twice: the same life."""
        if not hasattr(self, "life"):
            return
        for sights in (self.sights[::-1], sorted(self.sights * 2, key=repr)):
            life = ORDER
            for sight in sights:
                step = follow(life, sight)
                assert step.alarm is None
                life = step.life
            assert life == self.life

    @invariant()
    def the_end_is_the_truth(self) -> None:
        """A finished order is finished at the broker, or its day is over; a filled one is filled."""
        if not hasattr(self, "life"):
            return
        now = self.truth[-1]
        if self.life.status is OrderStatus.FILLED:
            assert now.filled == WHOLE
        if self.life.status is OrderStatus.CANCELED:
            assert now.leaves == 0
        if self.life.status is OrderStatus.EXPIRED:
            assert self.closed


@pytest.mark.parametrize("seed", range(examples(60)))
def test_long_walks_through_a_life(seed: int) -> None:
    """The same machine, driven by a seed."""
    chance = Random(seed)  # noqa: S311 - a replayable walk
    walk = OrderLife()
    walk.place()
    for _ in range(25):
        deed = chance.choice(
            ["move"] * 3 + ["tell"] * 6 + ["overfill", "shrink", "refuse"] + ["close"] * (len(walk.truth) > 3)
        )
        if deed == "move" and walk.truth[-1].leaves and not walk.closed:
            walk.move(chance, chance.randint(99, 103), chance.randrange(3), is_fill=chance.random() < 0.7)
        elif deed == "overfill":
            walk.overfill(chance.randint(1, 5))
        elif deed == "shrink" and walk.life.filled_quantity and walk.life.filled_at is not None:
            walk.shrink()
        elif deed == "refuse" and walk.life.filled_quantity:
            walk.refuse()
        elif deed == "close":
            walk.end_of_day()
        else:
            walk.tell(chance, chance.choice(["feed", "ledger", "executions"]))
        walk.every_fill_is_counted_once()
        walk.any_order_gives_the_same_life()
        walk.the_end_is_the_truth()


TestOrderLife = OrderLife.TestCase
TestOrderLife.settings = machine(30, 20)
