"""How the processes of a simulated day live: what they ask for, when they die, freeze and come back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from attrs import frozen

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._proof.processes import Death, Moment
from kiwoom_async._proof.steps import Chain
from kiwoom_async.simulator.chance import Generator

_T = TypeVar("_T")

CLOSING: Final = frozenset({Checkpoint.BEFORE_DAY_CLOSE, Checkpoint.AFTER_DAY_CLOSE})
"""Where only a process is that closes the books of a day."""

BEYOND: Final = frozenset({Checkpoint.DURING_AUTO_CANCEL})
"""Where nobody is while the bounds hold: a surplus order is one that A4 was broken for."""

RARE: Final = frozenset(
    {
        Checkpoint.BEFORE_CLAIM_COMMIT,
        Checkpoint.AFTER_CLAIM_COMMIT,
        Checkpoint.DURING_RESEND_DECISION,
        Checkpoint.BEFORE_OBLIGATION,
    }
)
"""Where a process is only if an answer was lost, or an order was canceled before it was answered."""

_POINTS: Final = tuple(point for point in Checkpoint if point not in CLOSING | BEYOND)


@frozen
class Sweep:
    """A caller has everything canceled.

    Attributes:
        after: Seconds from the start of the process.
        includes_foreign: Other people's orders, too.
        deadline: Seconds to wait for each cancel; None: the client's own.
    """

    after: float
    includes_foreign: bool
    deadline: float | None = None


@frozen
class Life:
    """One process from its start to its end.

    Attributes:
        rest: Seconds between the end of the life before and this one.
        chains: Which chains it asks for, by number.
        leaves_after: Seconds after which it closes its client in good order; None: when it has its answers.
        freezes: Seconds from its start, and how long each.
        reconciles: Seconds from its start at which the caller asks for a full pass.
        sweeps: When the caller has everything canceled.
    """

    rest: float
    chains: tuple[int, ...]
    death: Death | None = None
    leaves_after: float | None = None
    freezes: tuple[tuple[float, float], ...] = ()
    reconciles: tuple[float, ...] = ()
    listens: bool = False
    sweeps: tuple[Sweep, ...] = ()


@frozen
class Machine:
    """A process and all its lives.

    Attributes:
        offset: Seconds by which its wall clock is ahead.
    """

    name: str
    offset: float
    has_feed: bool
    lives: tuple[Life, ...]


def often(chance: Generator, *weighted: tuple[_T, float]) -> _T:
    """Draw one of some values, each as often as its weight says."""
    return chance.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]


def draw_machines(chance: Generator, chains: Sequence[Chain]) -> tuple[Machine, ...]:
    """Draw the processes of a day that has these chains."""
    count = often(chance, (1, 0.4), (2, 0.4), (3, 0.2))
    owned: list[list[int]] = [[] for _ in range(count)]
    for chain, (new, *_) in enumerate(chains):
        owned[chance.randrange(count)].append(chain)
        if count > 1 and not new.is_preceded and chance.random() < 0.25:
            # Two processes ask for the same ids.
            other = owned[chance.randrange(count)]
            other += [] if chain in other else [chain]
    return tuple(_machine(chance, "ABC"[number], tuple(wanted)) for number, wanted in enumerate(owned))


def _machine(chance: Generator, name: str, chains: tuple[int, ...]) -> Machine:
    lives = often(chance, (1, 0.45), (2, 0.4), (3, 0.15))
    return Machine(
        name=name,
        offset=round(chance.uniform(-0.4, 0.4), 3),
        has_feed=chance.random() < 0.7,
        lives=tuple(_life(chance, chains, is_last=life == lives - 1) for life in range(lives)),
    )


def _life(chance: Generator, chains: tuple[int, ...], *, is_last: bool) -> Life:
    return Life(
        rest=round(chance.random() * 2.0, 3),
        chains=chains,
        death=None if is_last and chance.random() < 0.7 else _death(chance),
        leaves_after=round(chance.random() * 10.0, 3) if chance.random() < 0.15 else None,
        freezes=((round(chance.random() * 6.0, 3), _standstill(chance)),) if chance.random() < 0.15 else (),
        reconciles=(round(chance.random() * 8.0, 3),) if chance.random() < 0.2 else (),
        listens=chance.random() < 0.3,
    )


def _standstill(chance: Generator) -> float:
    """Draw how long a process stands still: some shorter, some longer than its leases."""
    return round(often(chance, (0.5, 0.4), (5.0, 0.3), (15.0, 0.2), (75.0, 0.1)) * (0.5 + chance.random()), 3)


def _death(chance: Generator) -> Death:
    moment = chance.choice(tuple(Moment))
    if moment is Moment.AT_SECOND:
        return Death(moment, seconds=round(chance.random() * 6.0, 3))
    if moment is Moment.AT_CHECKPOINT:
        point = chance.choice(_POINTS)
        return Death(moment, checkpoint=point, count=1 if point in RARE else min(chance.randint(1, 4), 2))
    return Death(moment, count=chance.randint(1, 30))
