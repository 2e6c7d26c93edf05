"""What the demonstration's strategies want: drawn from a seed, so that a restarted process wants the same again."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from attrs import evolve, frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async.simulator.chance import Generator, seeded


@unique
class Manner(StrEnum):
    """How a strategy asks for an order the first time. Every one of them asks again when it has got no answer."""

    PATIENT = "patient"
    RESEND = "resend"
    """With `resend_within`: a strongly proven absence is followed by another send."""
    SHORT_DEADLINE = "short_deadline"
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
        hurry: Seconds after which an impatient caller goes away.
        pause: Seconds of thought before it.
        is_blind: A cancel that does not wait for the answer to the order it cancels.
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
    manner: Manner = Manner.PATIENT
    hurry: float = 0.0
    pause: float = 0.0
    is_blind: bool = False


Chain = tuple[Step, ...]
"""An order and what is done with it: each step needs the number that the one before it got."""

_SYMBOLS: Final = ("005930", "000660", "035420", "005380", "051910", "068270", "105560", "207940")
_GOLD: Final = ("M04020000", "M04020100")
_LAST: Final = {Desk.STOCK: 70_000, Desk.GOLD: 180_000}
_TICK: Final = {Desk.STOCK: 100, Desk.GOLD: 10}
_SHARE_OF_GOLD: Final = 0.2
_SHARE_OF_MARKET_ORDERS: Final = 0.1
_SHARE_OF_TWINS: Final = 0.08
_MANNERS: Final = {
    Manner.PATIENT: 0.5,
    Manner.RESEND: 0.2,
    Manner.SHORT_DEADLINE: 0.1,
    Manner.TIMEOUT: 0.1,
    Manner.CANCELED: 0.1,
}
_FOLLOWERS: Final = (
    (0.12, (Action.MODIFY,)),
    (0.12, (Action.CANCEL,)),
    (0.08, (Action.MODIFY, Action.CANCEL)),
)
_LONGEST_HURRY: Final = 0.12
_LONGEST_PAUSE: Final = 0.06


def make_plan(seed: int, orders: int, strategies: int) -> tuple[tuple[Chain, ...], ...]:
    """Draw what every strategy will do.

    Args:
        seed: All of it comes from this.
        orders: Orders, modifies and cancels in all.
        strategies: How many run at once.

    Returns:
        For each strategy its chains.
    """
    chance = seeded(seed)
    plan: list[list[Chain]] = [[] for _ in range(strategies)]
    count = 0
    twin: Step | None = None
    while count < orders:
        strategy = count % strategies
        new = _new(chance, f"s{strategy:02d}-{count:05d}")
        if twin is not None and chance.random() < _SHARE_OF_TWINS:
            # The broker's book cannot tell it from its twin, which another strategy may have in the air now.
            new = evolve(
                twin,
                client_order_id=new.client_order_id,
                manner=new.manner,
                hurry=new.hurry,
                pause=new.pause,
            )
        twin = new
        chain = (new, *_followers(chance, new))[: orders - count]
        plan[strategy].append(chain)
        count += len(chain)
    return tuple(map(tuple, plan))


def _new(chance: Generator, client_order_id: str) -> Step:
    desk = Desk.GOLD if chance.random() < _SHARE_OF_GOLD else Desk.STOCK
    side = chance.choice((Side.BUY, Side.SELL))
    is_market = desk is Desk.STOCK and chance.random() < _SHARE_OF_MARKET_ORDERS
    step = Step(
        client_order_id=client_order_id,
        desk=desk,
        action=Action.NEW,
        symbol=chance.choice(_SYMBOLS if desk is Desk.STOCK else _GOLD),
        side=side,
        quantity=chance.randint(1, 9),
        price=None if is_market else _price(chance, desk, side),
        order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
        route=None if desk is Desk.GOLD else chance.choice((Route.KRX, Route.KRX, Route.SOR)),
    )
    return _with_manner(chance, step)


def _price(chance: Generator, desk: Desk, side: Side) -> int:
    """Draw a price on its side of the market, now and then right at it, where it trades at once."""
    away = chance.randrange(100)
    return _LAST[desk] + (away if side is Side.SELL else -away) * _TICK[desk]


def _with_manner(chance: Generator, step: Step) -> Step:
    return evolve(
        step,
        manner=chance.choices(list(_MANNERS), list(_MANNERS.values()))[0],
        hurry=round(chance.random() * _LONGEST_HURRY, 4),
        pause=round(chance.random() * _LONGEST_PAUSE, 4),
    )


def _followers(chance: Generator, new: Step) -> Chain:
    share = chance.random()
    for chosen, actions in _FOLLOWERS:
        share -= chosen
        if share < 0:
            return tuple(_follower(chance, new, action) for action in actions)
    return ()


def _follower(chance: Generator, new: Step, action: Action) -> Step:
    side = new.side or Side.BUY
    step = Step(
        client_order_id=f"{new.client_order_id}-{action.value}",
        desk=new.desk,
        action=action,
        symbol=new.symbol,
        price=_price(chance, new.desk, side) if action is Action.MODIFY else None,
        route=new.route,
        is_blind=action is Action.CANCEL and chance.random() < 0.5,
    )
    return _with_manner(chance, step)
