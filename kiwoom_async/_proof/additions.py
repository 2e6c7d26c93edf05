"""What some days have besides: drawn by a generator of its own, so that the days without it stay what they were. Pure.

Orders on credit, a halt from another process, everything canceled at once, a limit on orders, an outage of every query
that lasts longer than a proof of absence takes, a frame of the feed that is too big, and a dry run beside the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from attrs import evolve, frozen

from kiwoom_async._proof.lives import Life, Machine, Sweep
from kiwoom_async._proof.processes import Death, Moment
from kiwoom_async._proof.steps import Chain
from kiwoom_async.simulator.chance import Generator

_SHARE_OF_CREDIT: Final = 0.25
_SHARE_OF_HALTS: Final = 0.15
_SHARE_OF_SWEEPS: Final = 0.15
_SHARE_OF_LIMITS: Final = 0.1
_SHARE_OF_OUTAGES: Final = 0.15
_SHARE_OF_BIG_FRAMES: Final = 0.1
_SHARE_OF_REHEARSALS: Final = 0.1
"""Of the days. Source: our choice; half of them have none of these."""

_SPAN: Final = 8.0


@frozen
class Halt:
    """Somebody engages the kill switch from a process of his own, and releases it later; several times, perhaps.

    Attributes:
        times: Seconds of rest before it is engaged, and until it is released.
        death: How that process dies; then somebody releases the switch the next morning. None: it does not.
    """

    times: tuple[tuple[float, float], ...]
    death: Death | None = None


@frozen
class Additions:
    """What a day has besides.

    Attributes:
        credit: Orders on credit, with what is done with them.
        outage: From which second on no query is answered, and for how long. None: there is none.
        orders_per_day: The most new orders that the clients let through. None: no limit.
        big_frame: From which second on the next frame of the feed is bigger than the client takes. None: none is.
        rehearsal: In which second a dry run of everything begins, with the same ids. None: there is none.
    """

    credit: tuple[Chain, ...] = ()
    halt: Halt | None = None
    sweep: Sweep | None = None
    outage: tuple[float, float] | None = None
    orders_per_day: int | None = None
    big_frame: float | None = None
    rehearsal: float | None = None


def draw_additions(chance: Generator, draw_credit: Callable[[str], Chain]) -> Additions:
    """Draw them; `draw_credit` makes an order on credit of a name, with what is done with it."""
    credit = range(chance.randint(1, 3)) if chance.random() < _SHARE_OF_CREDIT else range(0)
    return Additions(
        credit=tuple(draw_credit(f"k{number}") for number in credit),
        halt=_halt(chance) if chance.random() < _SHARE_OF_HALTS else None,
        sweep=_sweep(chance) if chance.random() < _SHARE_OF_SWEEPS else None,
        outage=_outage(chance) if chance.random() < _SHARE_OF_OUTAGES else None,
        orders_per_day=chance.randint(2, 6) if chance.random() < _SHARE_OF_LIMITS else None,
        big_frame=_second(chance) if chance.random() < _SHARE_OF_BIG_FRAMES else None,
        rehearsal=_second(chance) if chance.random() < _SHARE_OF_REHEARSALS else None,
    )


def _second(chance: Generator) -> float:
    return round(chance.random() * _SPAN, 3)


def _sweep(chance: Generator) -> Sweep:
    return Sweep(
        after=_second(chance),
        includes_foreign=chance.random() < 0.3,
        deadline=round(chance.uniform(0.2, 3.0), 3) if chance.random() < 0.6 else None,
    )


def _outage(chance: Generator) -> tuple[float, float]:
    return round(chance.random() * 2.0, 3), round(chance.uniform(8.0, 14.0), 3)


def _halt(chance: Generator) -> Halt:
    death = None
    if chance.random() < 0.3:
        moment = chance.choice((Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT))
        death = Death(moment, count=chance.randint(1, 3))
    count = chance.randint(1, 4)
    times = ((round(chance.random() * 3.0, 3), round(chance.random() ** 2 * 5.0, 3)) for _ in range(count))
    return Halt(tuple(times), death)


def assign(
    chance: Generator, machines: tuple[Machine, ...], chains: Iterable[int], sweep: Sweep | None
) -> tuple[Machine, ...]:
    """Give more chains to some processes, and a sweep to one life of one of them."""
    given = [list[int]() for _ in machines]
    for chain in chains:
        given[chance.randrange(len(machines))].append(chain)
    sweeper = chance.randrange(len(machines)) if sweep is not None else None
    return tuple(
        evolve(
            machine,
            lives=tuple(
                _with_more(life, given[number], sweep if number == sweeper and place == 0 else None)
                for place, life in enumerate(machine.lives)
            ),
        )
        for number, machine in enumerate(machines)
    )


def _with_more(life: Life, chains: Iterable[int], sweep: Sweep | None) -> Life:
    return evolve(life, chains=(*life.chains, *chains), sweeps=() if sweep is None else (sweep,))
