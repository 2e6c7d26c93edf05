"""What strategies want, one step at a time: orders, and what is done with them. Pure.

Shared by the simulated days and the demonstration, which draw their plans each in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum, unique
from typing import Final

from attrs import evolve, frozen

from kiwoom_async._audit import Ask, Terms
from kiwoom_async._desks import MAX_ATTEMPTS
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async.simulator.chance import Generator

LAST: Final = {Desk.STOCK: 70_000, Desk.CREDIT: 70_000, Desk.GOLD: 180_000}
"""Where everything trades when a plan begins, KRW. Source: the simulator's."""

TICK: Final = {Desk.STOCK: 100, Desk.CREDIT: 100, Desk.GOLD: 10}
"""The tick there, KRW. Source: the exchange's tables."""

_ALIKE: Final = ("desk", "symbol", "side", "quantity", "price", "order_type", "route", "stop_price")


@unique
class Manner(StrEnum):
    """How a strategy waits for an answer."""

    PATIENT = "patient"
    DEADLINE = "deadline"
    TIMEOUT = "timeout"
    """In `asyncio.timeout`."""
    CANCELED = "canceled"
    """In a task that is canceled."""


@frozen
class Step:
    """One order of a strategy.

    Attributes:
        side: None for a modify or a cancel.
        quantity: None for a modify or a cancel: all that is left.
        stop_price: For a stop order: what the market must reach first.
        hurry: Seconds after which an impatient caller goes away.
        pause: Seconds of thought before it.
        callers: How many tasks ask for it at once.
        is_blind: A cancel that does not wait for the answer to the order it cancels.
        is_preceded: Another program has placed an identical order just before, as bots do that run one after the other.
            It is older than this one, and the journal knows numbers that are newer than it.
    """

    client_order_id: str
    desk: Desk
    action: Action
    symbol: str
    side: Side | None = None
    quantity: int | None = None
    price: int | None = None
    order_type: OrderType | None = None
    route: Route | None = None
    resend_within: float | None = None
    manner: Manner = Manner.PATIENT
    hurry: float = 0.0
    pause: float = 0.0
    callers: int = 1
    is_blind: bool = False
    is_preceded: bool = False
    stop_price: int | None = None

    def as_twin_of(self, other: Step) -> Step:
        """Give it all that the broker's book shows of another one: nobody can tell their orders apart."""
        return evolve(self, **{name: getattr(other, name) for name in _ALIKE})

    def question(self, target: str | None) -> Ask:
        """Say what is asked for, in the words of the history checker; `target` is the id that it is about."""
        terms = Terms(
            desk=self.desk.value,
            action=self.action.value,
            symbol=self.symbol,
            side=None if self.side is None else self.side.value,
            quantity=self.quantity,
            price=self.price,
            route=None if self.route is None else self.route.value,
            order_type=None if self.order_type is None else self.order_type.value,
            stop_price=self.stop_price if self.action is Action.NEW else None,
        )
        most_sends = 1 if self.resend_within is None else MAX_ATTEMPTS
        return Ask(self.client_order_id, terms, target, most_sends)


Chain = tuple[Step, ...]
"""An order and what is done with it: each step is about the one before it."""


def draw_chain(
    chance: Generator,
    new: Step,
    shares: Iterable[tuple[float, tuple[Action, ...]]],
    follow: Callable[[Action, int], Step],
) -> Chain:
    """Draw what is done with an order.

    Args:
        chance: Decides.
        new: The order.
        shares: How often it is followed by what; the rest is left alone.
        follow: Makes the step of an action, which is the how-manieth after the order, from 0.
    """
    share = chance.random()
    for chosen, actions in shares:
        share -= chosen
        if share < 0:
            return (new, *(follow(action, number) for number, action in enumerate(actions)))
    return (new,)
