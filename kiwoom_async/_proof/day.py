"""What happens in one simulated day, drawn from its seed before it begins. Pure.

A day is three things: what the strategies want (chains of orders, some of them twins that the broker's book cannot tell
apart), how the processes live (which chains they ask for, when they die, freeze and come back), and what else the world
does (the weather of the network, the broker's faults and habits, other people).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum, unique
from functools import partial
from typing import Final

from attrs import evolve, frozen

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.vocabulary import ORDER_TYPE_RULES, Action, Desk, OrderType, Route, Side
from kiwoom_async._proof.additions import Halt, assign, draw_additions
from kiwoom_async._proof.lives import CLOSING, RARE, Machine, draw_machines, often
from kiwoom_async._proof.processes import Death, Moment
from kiwoom_async._proof.steps import LAST, TICK, Chain, Manner, Step, draw_chain
from kiwoom_async.simulator import EmptyList, Flavour, RateLimitStyle, TokenPolicy
from kiwoom_async.simulator.chance import Generator, drawn, seeded


@unique
class Happening(StrEnum):
    """What the world does besides."""

    TWIN_BY_HAND = "twin_by_hand"
    """A person places an order identical to one of ours, in the home trading system."""
    TWIN_BY_PROGRAM = "twin_by_program"
    """Another program does, over the same API."""
    CANCEL_BY_HAND = "cancel_by_hand"
    """A person cancels one of our orders."""
    STRANGERS = "strangers"
    """Other accounts take numbers."""
    FILL = "fill"
    PRICE_MOVES = "price_moves"
    REFUSED_LATER = "refused_later"
    """The broker refuses an order that it had accepted."""
    TOKENS_DIE = "tokens_die"
    BROKER_AWAY = "broker_away"
    """Nobody can connect for a while."""
    FEED_CUT = "feed_cut"
    FEED_TAKEN = "feed_taken"
    """Somebody else logs in with our key."""
    FEED_BIG = "feed_big"
    """The feed sends a frame that is bigger than the client takes."""
    LEDGER_AWAY = "ledger_away"
    """No query is answered for a while, and orders are taken all the same."""


@frozen
class Event:
    """Something the world does.

    Attributes:
        draw: Chooses among what is there, in [0, 1). LEDGER_AWAY: the seconds.
    """

    at: float
    happening: Happening
    draw: float = 0.0


@frozen
class Habits:
    """How the broker is today."""

    flavour: Flavour
    token_policy: TokenPolicy
    empty_list: EmptyList
    rate_limit_style: RateLimitStyle
    page_size: int
    is_from_inclusive: bool
    lag: float
    fills: float
    in_parts: bool
    has_limits: bool


@frozen
class Day:
    """A day.

    Attributes:
        is_exclusive: No other program trades on the account.
        begins_at: Seconds after ten in the morning; some days begin right before midnight, with everybody at work.
        closers: How the processes die that come the next morning, before the last one, to close the books.
        reboot_at: The second in which the machine goes down, with all that runs on it; None: it stays up.
        clock_set_at: The second in which the wall clocks are set, within what A11 allows; None: they are not.
        is_near_bounds: What may be slow is nearly as slow as the bounds allow (A4, A5).
        cancels_duplicates: The clients are allowed to cancel surplus orders.
        halt: Somebody engages the kill switch; None: nobody does.
        orders_per_day: The most new orders that the clients let through; None: no limit.
        rehearsal: The second in which a dry run of everything begins; None: there is none.
        shares: The processes share token and rate limits through a file.
        twins: The clients' policy for identical orders.
        order_faults, query_faults, feed_faults, network_faults: Shares of what is hit.
    """

    seed: int
    chains: tuple[Chain, ...]
    machines: tuple[Machine, ...]
    events: tuple[Event, ...]
    habits: Habits
    is_exclusive: bool
    shares: bool
    twins: str
    order_faults: float
    query_faults: float
    feed_faults: float
    network_faults: float
    begins_at: float = 0.0
    closers: tuple[Death, ...] = ()
    reboot_at: float | None = None
    clock_set_at: float | None = None
    is_near_bounds: bool = False
    cancels_duplicates: bool = False
    halt: Halt | None = None
    orders_per_day: int | None = None
    rehearsal: float | None = None

    @property
    def needs_people(self) -> bool:
        """Tell whether some outcomes cannot be concluded from what the broker says, by design.

        An account that others trade on by the same channel is one case; a broker that says "nothing" with an error that
        could mean anything is another.
        """
        return not self.is_exclusive or self.habits.empty_list is EmptyList.UNCODED_ERROR

    @property
    def has_sweep(self) -> bool:
        """Tell whether somebody has everything canceled."""
        return any(life.sweeps for machine in self.machines for life in machine.lives)

    @property
    def orders(self) -> int:
        """Count the orders, modifies and cancels that are wanted."""
        return sum(map(len, self.chains))


def seed_of(seed: int, number: int) -> int:
    """Give the seed of one day of many."""
    return int(drawn("day", seed, number) * (1 << 53))


CHAINS: Final = (4, 9)
"""How many chains a day has, from and to. Source: our choice; small days replay fast and read well."""

_TYPES: Final = (
    (OrderType.LIMIT, 0.75),
    (OrderType.MARKET, 0.1),
    (OrderType.LIMIT_IOC, 0.04),
    (OrderType.LIMIT_FOK, 0.03),
    (OrderType.BEST_LIMIT, 0.03),
    (OrderType.STOP_LIMIT, 0.05),
)
"""How often an order is of which type. Source: our choice."""

_SYMBOLS: Final = ("005930", "000660")
_GOLD: Final = "M04020000"
_FOLLOWERS: Final = (
    (0.10, (Action.MODIFY,)),
    (0.16, (Action.CANCEL,)),
    (0.06, (Action.MODIFY, Action.CANCEL)),
    (0.03, (Action.MODIFY, Action.MODIFY)),
    (0.03, (Action.CANCEL, Action.CANCEL)),
)
_SHARE_OF_PRECEDED: Final = 0.5
_ODD_QUANTITY: Final = 7
_SPAN: Final = 8.0
"""Seconds in which the strategies begin. Source: our choice."""

_UNTIL_MIDNIGHT: Final = 14 * 3600.0
"""Seconds from ten in the morning on."""

_RESENT_WITHIN: Final = 12.0
_SOME_FAULTS: Final = 0.4
_MANY_FAULTS: Final = 0.6
_LOST_OFTEN: Final = 0.3
_ADDED: Final = 0xADD
_SHARE_OF_CREDIT_TWINS: Final = 0.4


def plan_day(seed: int) -> Day:
    """Draw a day."""
    chance = seeded(seed)
    flavour = Flavour.REAL if chance.random() < 0.8 else Flavour.MOCK
    chains = _chains(chance, flavour)
    is_exclusive = chance.random() < 0.8
    day = Day(
        seed=seed,
        chains=chains,
        machines=draw_machines(chance, chains),
        events=_events(chance, is_exclusive=is_exclusive),
        habits=_habits(chance, flavour),
        is_exclusive=is_exclusive,
        shares=chance.random() < 0.2,
        twins=often(chance, ("serialize", 0.8), ("allow", 0.15), ("fail", 0.05)),
        order_faults=chance.choice((0.0, 0.2, 0.4, 0.6)),
        query_faults=chance.choice((0.0, 0.05, 0.15, 0.5)),
        feed_faults=chance.choice((0.0, 0.2, 0.4)),
        network_faults=chance.choice((0.0, 0.03, 0.1)),
        begins_at=_UNTIL_MIDNIGHT - chance.random() * _SPAN if chance.random() < 0.1 else 0.0,
        reboot_at=round(chance.random() * _SPAN, 3) if chance.random() < 0.08 else None,
        clock_set_at=round(chance.random() * _SPAN, 3) if chance.random() < 0.2 else None,
        is_near_bounds=chance.random() < 0.15,
        cancels_duplicates=chance.random() < 0.3,
    )
    if day.is_near_bounds:
        day = evolve(day, network_faults=_LOST_OFTEN)
    return _with_additions(evolve(_helped_to_die(day), closers=_closers(chance, day)))


def _with_additions(day: Day) -> Day:
    """Add what some days have besides; the others stay as they are, whatever is added here."""
    chance = seeded(day.seed ^ _ADDED)
    more = draw_additions(chance, partial(_on_credit, chance, day))
    chains = (*day.chains, *more.credit)
    events = list(day.events)
    if more.outage is not None:
        # Nothing is at stake where every order is answered.
        day = evolve(day, order_faults=max(day.order_faults, _SOME_FAULTS))
        events.append(Event(more.outage[0], Happening.LEDGER_AWAY, more.outage[1]))
    if more.big_frame is not None:
        events.append(Event(more.big_frame, Happening.FEED_BIG))
    return evolve(
        day,
        chains=chains,
        machines=assign(chance, day.machines, range(len(day.chains), len(chains)), more.sweep),
        events=tuple(sorted(events, key=lambda event: event.at)),
        halt=more.halt,
        rehearsal=more.rehearsal,
        orders_per_day=more.orders_per_day,
    )


def _on_credit(chance: Generator, day: Day, client_order_id: str) -> Chain:
    new = _new(chance, client_order_id, day.habits.flavour, Desk.CREDIT)
    alike = [first for first, *_ in day.chains if first.desk is Desk.STOCK and not first.is_preceded]
    if alike and chance.random() < _SHARE_OF_CREDIT_TWINS:
        # Like one for cash in all but the loan.
        new = evolve(new.as_twin_of(chance.choice(alike)), desk=Desk.CREDIT)
    return draw_chain(chance, new, _FOLLOWERS, partial(_follower, chance, new))


def _helped_to_die(day: Day) -> Day:
    """Make it likely that a process reaches the rare point of its life at which it is to die."""
    deaths = [life.death for machine in day.machines for life in machine.lives if life.death is not None]
    points = {death.checkpoint for death in deaths if death.checkpoint is not None} & RARE
    if not points:
        return day
    chains = day.chains
    if Checkpoint.DURING_RESEND_DECISION in points:
        chains = tuple(
            tuple(evolve(step, resend_within=_RESENT_WITHIN, manner=Manner.PATIENT) for step in chain)
            for chain in chains
        )
        # Many requests that never arrive, and a ledger that proves it soon.
        day = evolve(day, network_faults=_LOST_OFTEN, query_faults=0.0, habits=evolve(day.habits, has_limits=False))
    if Checkpoint.BEFORE_OBLIGATION in points:
        chains = tuple((chain[0], *_blind(chain)) for chain in chains)
    # Only one process at a time reconciles, and nobody knows which.
    death = Death(Moment.AT_CHECKPOINT, checkpoint=min(points))
    machines = tuple(
        evolve(machine, lives=(evolve(machine.lives[0], death=death, leaves_after=None), *machine.lives[1:]))
        for machine in day.machines
    )
    return evolve(day, chains=chains, machines=machines, order_faults=max(day.order_faults, _MANY_FAULTS))


def _blind(chain: Chain) -> Chain:
    """Follow an order by a cancel that does not wait for its answer."""
    new = chain[0]
    return (
        Step(
            client_order_id=f"{new.client_order_id}-{Action.CANCEL.value}0",
            desk=new.desk,
            action=Action.CANCEL,
            symbol=new.symbol,
            route=new.route,
            pause=0.0,
            is_blind=True,
        ),
    )


def _closers(chance: Generator, day: Day) -> tuple[Death, ...]:
    """Draw processes that die while they close the books of the day; most where something is left open."""
    if chance.random() >= (0.6 if day.needs_people else 0.1):
        return ()
    points = tuple(sorted(CLOSING))
    return tuple(Death(Moment.AT_CHECKPOINT, checkpoint=chance.choice(points)) for _ in range(chance.randint(1, 2)))


def _habits(chance: Generator, flavour: Flavour) -> Habits:
    return Habits(
        flavour=flavour,
        token_policy=chance.choice(tuple(TokenPolicy)),
        empty_list=often(chance, (EmptyList.SUCCESS, 0.6), (EmptyList.ERROR, 0.35), (EmptyList.UNCODED_ERROR, 0.05)),
        rate_limit_style=chance.choice(tuple(RateLimitStyle)),
        page_size=chance.choice((3, 10, 40)),
        is_from_inclusive=chance.random() < 0.5,
        lag=chance.choice((0.0, 0.1, 0.5)),
        fills=chance.choice((0.0, 0.5, 1.0)),
        in_parts=chance.random() < 0.5,
        has_limits=chance.random() < 0.15,
    )


# What the strategies want


def _chains(chance: Generator, flavour: Flavour) -> tuple[Chain, ...]:
    chains: list[Chain] = []
    for number in range(chance.randint(*CHAINS)):
        new = _new(chance, f"o{number}", flavour)
        if chains and chance.random() < 0.35:
            # The broker's book cannot tell it from its twin, which may be in the air now.
            new = new.as_twin_of(chance.choice(chains)[0])
        chains.append(draw_chain(chance, new, _FOLLOWERS, partial(_follower, chance, new)))
    if chance.random() < _SHARE_OF_PRECEDED:
        # Of a quantity that no other order has: nobody but the older one is its twin.
        number = chance.randrange(len(chains))
        new, *followers = chains[number]
        chains[number] = (evolve(new, quantity=_ODD_QUANTITY, is_preceded=True), *followers)
    return tuple(chains)


def _new(chance: Generator, client_order_id: str, flavour: Flavour, desk: Desk | None = None) -> Step:
    if desk is None:
        desk = Desk.GOLD if chance.random() < 0.15 else Desk.STOCK
    side = chance.choice((Side.BUY, Side.SELL))
    order_type = OrderType.LIMIT if desk is Desk.GOLD else often(chance, *_TYPES)
    is_usual = order_type in {OrderType.LIMIT, OrderType.MARKET}
    routes = (Route.KRX, Route.KRX, Route.SOR, Route.NXT) if flavour is Flavour.REAL and is_usual else (Route.KRX,)
    price = _price(chance, desk) if ORDER_TYPE_RULES[order_type].needs_price else None
    step = Step(
        client_order_id=client_order_id,
        desk=desk,
        action=Action.NEW,
        symbol=_GOLD if desk is Desk.GOLD else chance.choice(_SYMBOLS),
        side=side,
        quantity=chance.choice((1, 2, 3, 10)),
        price=price,
        stop_price=price if order_type is OrderType.STOP_LIMIT else None,
        order_type=order_type,
        route=None if desk is Desk.GOLD else chance.choice(routes),
        resend_within=often(chance, (None, 0.6), (4.0, 0.1), (12.0, 0.3)),
    )
    return _with_manner(chance, step)


def _price(chance: Generator, desk: Desk) -> int:
    return LAST[desk] + chance.randint(-2, 2) * TICK[desk]


def _with_manner(chance: Generator, step: Step) -> Step:
    manner = often(
        chance, (Manner.PATIENT, 0.55), (Manner.DEADLINE, 0.15), (Manner.TIMEOUT, 0.15), (Manner.CANCELED, 0.15)
    )
    return evolve(
        step,
        manner=manner,
        hurry=round(chance.random() ** 2 * 2.0, 3),
        pause=0.0 if chance.random() < 0.3 else round(chance.random() * 0.5, 3),
        callers=often(chance, (1, 0.8), (2, 0.15), (3, 0.05)),
    )


def _follower(chance: Generator, new: Step, action: Action, number: int) -> Step:
    is_part = chance.random() < 0.3
    step = Step(
        client_order_id=f"{new.client_order_id}-{action.value}{number}",
        desk=new.desk,
        action=action,
        symbol=new.symbol,
        quantity=1 if is_part and action is Action.CANCEL else None,
        price=_price(chance, new.desk) if action is Action.MODIFY else None,
        stop_price=new.stop_price if action is Action.MODIFY else None,
        route=new.route,
        resend_within=often(chance, (None, 0.7), (12.0, 0.3)),
        is_blind=action is Action.CANCEL and chance.random() < 0.5,
    )
    return _with_manner(chance, step)


# What else happens

_USUAL: Final = (
    (Happening.TWIN_BY_HAND, 0.25),
    (Happening.CANCEL_BY_HAND, 0.1),
    (Happening.STRANGERS, 0.1),
    (Happening.FILL, 0.2),
    (Happening.PRICE_MOVES, 0.1),
    (Happening.REFUSED_LATER, 0.05),
    (Happening.TOKENS_DIE, 0.06),
    (Happening.BROKER_AWAY, 0.08),
    (Happening.FEED_CUT, 0.05),
    (Happening.FEED_TAKEN, 0.03),
)


def _events(chance: Generator, *, is_exclusive: bool) -> tuple[Event, ...]:
    weighted: Sequence[tuple[Happening, float]] = _USUAL
    if not is_exclusive:
        weighted = (*_USUAL, (Happening.TWIN_BY_PROGRAM, 0.3))
    events = [
        Event(round(chance.random() * _SPAN, 3), often(chance, *weighted), chance.random())
        for _ in range(chance.randint(0, 8))
    ]
    return tuple(sorted(events, key=lambda event: event.at))
