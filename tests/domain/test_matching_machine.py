"""One account over a day: orders are sent, lost, listed late and matched step by step, and no claim is ever untrue.

The oracle of `worlds.py` looks at one moment; this looks at what is claimed over time against what is hidden: which
order of the book is whose. A claim of the matcher is kept, as the journal keeps it, and takes part in nothing after.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from attrs import define, evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.matching import AlarmKind, Claimant, Matching, match
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.vocabulary import Action, Route
from tests.domain.test_matching import BUY, CANCEL, HOME_TRADING, LEARNT, MODIFY, NOON, OTHER, OWN, claimant, row
from tests.domain.worlds import Problem, check
from tests.profiles import examples, machine, pick

MOST: int = 6
"""Attempts and rows that the oracle can enumerate."""

FIRST: int = 100
"""The mark of the first attempt."""

SOR_BUY = evolve(BUY, route=Route.SOR)
REQUESTS = (*[BUY] * 8, *[SOR_BUY] * 3, evolve(BUY, quantity=11), MODIFY, CANCEL, evolve(CANCEL, quantity=3))
STEP = timedelta(seconds=1)


@define(eq=False)
class Sent:
    """An attempt, and what nobody but the broker knows of it.

    Attributes:
        number: Its number on the book; None while it has none.
        is_dead: The broker cannot accept it any more.
    """

    key: str
    request: OrderRequest
    mark: int
    at: int
    obligation: str
    number: int | None = None
    is_dead: bool = False


@define(eq=False)
class Listed:
    """An order of the book, and what nobody but the broker knows of it: whose it is, and when it can be seen."""

    order: LedgerOrder
    owner: Sent | None
    is_visible: bool
    is_root: bool = True


class Account(RuleBasedStateMachine):
    """Hidden truth, evidence, and the claims that the matcher makes of it."""

    @initialize(is_exclusive=st.sampled_from([True, True, False]))
    def open(self, *, is_exclusive: bool) -> None:
        """Begin a day."""
        self.is_exclusive = is_exclusive
        self.second = 0
        self.number = FIRST
        self.sent: list[Sent] = []
        self.book: list[Listed] = []
        self.claims: dict[str, int] = {}
        self.absent: set[str] = set()
        # Of an earlier program, which has ended: the same orders, of the same minute, with our channel.
        for number in (51, 52):
            self.book.append(Listed(row(number, channel=OWN, ordered_at=NOON), None, is_visible=True))

    # ------------------------------------------------------------ what happens

    def _open(self) -> list[Sent]:
        return [one for one in self.sent if one.key not in self.claims and one.key not in self.absent]

    def _unclaimed(self) -> list[Listed]:
        return [one for one in self.book if one.order.number > FIRST and one.order.number not in self.claims.values()]

    @precondition(lambda self: len(self._open()) < MOST)
    @rule(request=st.sampled_from(REQUESTS), obligation=st.sampled_from(["", "", "", "cancel it"]))
    def send(self, request: OrderRequest, obligation: str) -> None:
        """Send an order whose answer is lost; it knows every number that has been seen so far."""
        self.second += 1
        known = [one.order.number for one in self.book if one.is_visible]  # all older ones among them
        key = f"{len(self.sent):03d}#1"
        self.sent.append(Sent(key, request, max([FIRST, *known]), self.second, obligation))

    def _list(self, request: OrderRequest, owner: Sent | None, channel: str, *, is_visible: bool) -> Listed:
        self.second += 1
        self.number += 1
        order = row(
            self.number,
            action=request.action,
            quantity=10 if request.quantity is None else request.quantity,
            price=request.price if request.action is not Action.CANCEL else None,
            route=request.route,
            original=request.original,
            channel=channel,
            confirmed_quantity=request.quantity or 10 if request.action is Action.CANCEL else 0,
            ordered_at=NOON + self.second * STEP,
        )
        listed = Listed(order, owner, is_visible)
        self.book.append(listed)
        return listed

    def _on_their_way(self) -> list[Sent]:
        return [one for one in self.sent if one.number is None and not one.is_dead]

    @precondition(lambda self: len(self._unclaimed()) < MOST and self._on_their_way())
    @rule(data=st.data(), is_visible=st.booleans(), is_split=st.booleans())
    def accept(self, data: st.DataObject | Random, *, is_visible: bool, is_split: bool) -> None:
        """Let the broker accept one that is on its way; it may be listed later, and SOR may split it."""
        one = pick(data, self._on_their_way())
        listed = self._list(one.request, one, OWN, is_visible=is_visible)
        one.number = listed.order.number
        if is_split and one.request.route is Route.SOR and len(self._unclaimed()) < MOST:
            child = self._list(one.request, one, OWN, is_visible=is_visible)
            child.is_root = False
            child.order = evolve(child.order, original=listed.order.broker_order_id, route=Route.KRX)

    @precondition(lambda self: self._on_their_way())
    @rule(data=st.data())
    def lose(self, data: st.DataObject | Random) -> None:
        """Let one die on its way: the bound on acceptance has passed for it."""
        pick(data, self._on_their_way()).is_dead = True

    @precondition(lambda self: len(self._unclaimed()) < MOST)
    @rule(request=st.sampled_from(REQUESTS), is_visible=st.booleans())
    def a_person(self, request: OrderRequest, *, is_visible: bool) -> None:
        """Let a person place the same, with the home trading system."""
        self._list(request, None, HOME_TRADING, is_visible=is_visible)

    @precondition(lambda self: not self.is_exclusive and len(self._unclaimed()) < MOST)
    @rule(request=st.sampled_from(REQUESTS), channel=st.sampled_from([OTHER, OWN]), is_visible=st.booleans())
    def another_program(self, request: OrderRequest, channel: str, *, is_visible: bool) -> None:
        """Let another program place the same on a shared account."""
        self._list(request, None, channel, is_visible=is_visible)

    @precondition(lambda self: not all(one.is_visible for one in self.book))
    @rule()
    def catch_up(self) -> None:
        """Let the ledger show everything."""
        for listed in self.book:
            listed.is_visible = True

    # ------------------------------------------------------------ what we see of it

    def _claimants(self) -> list[Claimant]:
        hidden = {one.owner.key for one in self.book if one.owner is not None and not one.is_visible}
        return [
            claimant(
                one.key,
                one.request,
                mark=one.mark,
                earliest=NOON + one.at * STEP - 5 * STEP,
                latest=None,
                age=(float(one.at), 1),
                obligation=one.obligation,
                # As soon as its bounds are over nothing of it can be hidden any more (A4, A5).
                is_hidden_possible=one.key in hidden or (one.number is None and not one.is_dead),
            )
            for one in self._open()
        ]

    def _rows(self) -> list[LedgerOrder]:
        claimed = set(self.claims.values())
        return [one.order for one in self.book if one.is_visible and one.order.number not in claimed]

    @precondition(lambda self: self._open())
    @rule()
    def look(self) -> None:
        """Match what is open, hold every statement against the truth, and keep the claims."""
        claimants, rows = self._claimants(), self._rows()
        matching = match(claimants, rows, is_exclusive=self.is_exclusive, channels=LEARNT)
        check(Problem.of(claimants, rows, is_exclusive=self.is_exclusive, channels=LEARNT), matching)
        self._hold_against_the_truth(matching)
        for key, order in matching.bindings.items():
            assert order.number not in self.claims.values(), "a row is claimed twice"
            self.claims[key] = order.number
        self.absent |= matching.absent

    def _hold_against_the_truth(self, matching: Matching) -> None:
        if any(alarm.kind is AlarmKind.FOREIGN_ACTOR for alarm in matching.alarms):
            raise AssertionError("nobody else has placed an order that is likely ours")
        if not self.is_exclusive:
            assert not matching.bindings, "on a shared account a row without an answer is never claimed"
        for order in matching.foreign:
            (listed,) = (one for one in self.book if one.order == order)
            mine = listed.owner is not None and listed.is_root
            assert not mine or listed.owner is None or listed.owner.key in self.claims, (
                "one of ours is taken for another's"
            )

    # ------------------------------------------------------------ what must always be true

    def _kind(self, one: Sent) -> tuple[OrderRequest, str]:
        return one.request, one.obligation

    @invariant()
    def every_claim_is_true(self) -> None:
        """Up to twins: as many of each kind are claimed as are on the book, and each number is one of that kind's."""
        if not hasattr(self, "book"):
            return
        owners = {one.order.number: one.owner for one in self.book if one.is_root}
        by_key = {one.key: one for one in self.sent}
        numbers = Counter(self.claims.values())
        assert not numbers or max(numbers.values()) == 1, "a number is claimed twice"
        for key, number in self.claims.items():
            owner = owners.get(number)
            assert owner is not None, f"{number} is claimed and is nobody's of ours"
            assert self._kind(owner) == self._kind(by_key[key]), f"{number} is claimed by another kind of order"
            assert number > by_key[key].mark, "an order is claimed that is older than the attempt"

    @invariant()
    def every_absence_is_true(self) -> None:
        """Up to twins: at least as many of each kind are not on the book as are said to be absent."""
        if not hasattr(self, "book"):
            return
        told = Counter(self._kind(one) for one in self.sent if one.key in self.absent)
        true = Counter(self._kind(one) for one in self.sent if one.number is None)
        for kind, count in told.items():
            assert count <= true[kind], "an order that is on the book is said to be absent"


@pytest.mark.parametrize("seed", range(examples(60)))
def test_long_walks_through_a_day(seed: int) -> None:
    """The same machine, driven by a seed."""
    chance = Random(seed)  # noqa: S311 - a replayable walk
    walk = Account()
    walk.open(is_exclusive=seed % 3 > 0)
    few = REQUESTS if seed % 2 else REQUESTS[:1]
    for _ in range(30):
        deed = chance.choice(["send"] * 4 + ["accept"] * 4 + ["look"] * 3 + ["lose", "person", "program", "catch up"])
        request, is_visible = chance.choice(few), chance.random() < 0.6
        has_room = len(walk._unclaimed()) < MOST
        if deed == "send" and len(walk._open()) < MOST:
            walk.send(request, chance.choice(["", "", "", "cancel it"]))
        elif deed == "accept" and has_room and walk._on_their_way():
            walk.accept(chance, is_visible=is_visible, is_split=chance.random() < 0.5)
        elif deed == "lose" and walk._on_their_way():
            walk.lose(chance)
        elif deed == "person" and has_room:
            walk.a_person(request, is_visible=is_visible)
        elif deed == "program" and has_room and not walk.is_exclusive:
            walk.another_program(request, chance.choice([OTHER, OWN]), is_visible=is_visible)
        elif deed == "catch up":
            walk.catch_up()
        elif walk._open():
            walk.look()
        walk.every_claim_is_true()
        walk.every_absence_is_true()


TestAccount = Account.TestCase
TestAccount.settings = machine(15, 20)
