"""What the demonstration's strategies want: drawn from a seed, so that a restarted process wants the same again."""

from __future__ import annotations

from functools import partial
from typing import Final

from attrs import evolve

from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async._proof.steps import LAST, TICK, Chain, Manner, Step, draw_chain
from kiwoom_async.simulator.chance import Generator, seeded

_SYMBOLS: Final = ("005930", "000660", "035420", "005380", "051910", "068270", "105560", "207940")
_GOLD: Final = ("M04020000", "M04020100")
_SHARE_OF_GOLD: Final = 0.2
_SHARE_OF_MARKET_ORDERS: Final = 0.1
_SHARE_OF_TWINS: Final = 0.08
RESEND_WITHIN: Final = 8.0
"""Seconds: long enough for a strong proof where somebody trades on, and no longer, as a quiet account waits for it."""

_MANNERS: Final = {
    (Manner.PATIENT, None): 0.5,
    (Manner.PATIENT, RESEND_WITHIN): 0.2,
    (Manner.DEADLINE, None): 0.1,
    (Manner.TIMEOUT, None): 0.1,
    (Manner.CANCELED, None): 0.1,
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
            new = new.as_twin_of(twin)
        twin = new
        chain = draw_chain(chance, new, _FOLLOWERS, partial(_follower, chance, new))[: orders - count]
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
    return LAST[desk] + (away if side is Side.SELL else -away) * TICK[desk]


def _with_manner(chance: Generator, step: Step) -> Step:
    manner, resend_within = chance.choices(list(_MANNERS), list(_MANNERS.values()))[0]
    return evolve(
        step,
        manner=manner,
        resend_within=resend_within,
        hurry=round(chance.random() * _LONGEST_HURRY, 4),
        pause=round(chance.random() * _LONGEST_PAUSE, 4),
    )


def _follower(chance: Generator, new: Step, action: Action, _: int) -> Step:
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
