"""The setting of a day: the bounds that hold in it, and its broker."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from kiwoom_async._domain.settings import Limits, Timing
from kiwoom_async._proof.day import Day
from kiwoom_async._proof.processes import World, WorldAmbient
from kiwoom_async.simulator import (
    Fault,
    FaultKind,
    FaultPlan,
    FeedFaultKind,
    FeedFaultPlan,
    FeedHabits,
    LimitFill,
    Liquidity,
    Simulator,
)
from kiwoom_async.simulator.chance import Generator

TIMING: Final = Timing(
    connect_timeout=1.0,
    response_timeout=1.5,
    acceptance_bound=1.0,
    visibility_bound=1.2,
    clock_skew=0.5,
    reconcile_interval=0.5,
    watch_interval=5.0,
    poll_interval=2.0,
    drain_timeout=1.0,
    default_deadline=12.0,
)
"""Bounds that hold in the simulated world: a request arrives within 0.25 s and is accepted at most 0.4 s later (A4); an
order is listed at most 0.5 s later and a stale view is at most 0.4 s older than that (A5)."""

_LONGEST_DELAY: Final = 0.4
_SHORT_DELAY: Final = 0.02
"""Of the broker, on days on which the network and the ledger alone are nearly as slow as the bounds allow."""

_HANG: Final = 4.0
_REFUSED: Final = 0.03
_DYING_TOKENS: Final = 0.01


NEAR: Final = (0.9, 0.98)
"""Shares of a bound between which something slow lies on such days; what is left is for the broker's own delay."""


def _near_visibility(chance: Generator) -> float:
    return TIMING.visibility_bound * chance.uniform(*NEAR) if chance.random() < 0.5 else 0.0


_LATE: Final = 10.0
"""Seconds. Source: our choice; a weak proof, the slowest, takes half as long if it forgets the bound."""


def timing_of(day: Day) -> Timing:
    """Give the bounds of the day. Where orders are nearly as slow as A4 allows, a proof that forgets it is early."""
    return evolve(TIMING, acceptance_bound=_LATE) if day.is_near_bounds else TIMING


def slow_way(day: Day) -> tuple[float, float] | None:
    """Give the seconds between which a slow order is on its way, on days that have such orders."""
    if not day.is_near_bounds:
        return None
    first, last = NEAR
    return first * _LATE, (last - _SHORT_DELAY) * _LATE


def limits_of(day: Day) -> Limits | None:
    """Give the rate limits of the day; None: there are none."""
    return Limits(10.0, 10.0, 10.0) if day.habits.has_limits else None


def broker_of(day: Day, world: World) -> Simulator:
    """Make the broker of a day."""
    habits = day.habits
    longest = _SHORT_DELAY if day.is_near_bounds else _LONGEST_DELAY
    plan = FaultPlan.hostile(day.seed, day.order_faults, query_intensity=day.query_faults, longest=longest)
    rates = dict(plan.rates)
    rates[FaultKind.TOKEN_DIES] = min(rates[FaultKind.TOKEN_DIES], _DYING_TOKENS)
    rates[FaultKind.ORDER_REFUSED] = _REFUSED
    return Simulator(
        seed=day.seed,
        faults=evolve(plan, rates=rates, templates={FaultKind.HANG: Fault(FaultKind.HANG, seconds=_HANG)}),
        ambient=WorldAmbient(world),
        flavour=habits.flavour,
        limits=limits_of(day),
        token_policy=habits.token_policy,
        page_size=habits.page_size,
        ledger_lag=_near_visibility if day.is_near_bounds else lambda chance: chance.random() * habits.lag,
        empty_list=habits.empty_list,
        rate_limit_style=habits.rate_limit_style,
        fr_ord_no_inclusive=habits.is_from_inclusive,
        liquidity=Liquidity(
            limit_orders=LimitFill.MARKETABLE, probability=habits.fills, after=0.3, in_parts=habits.in_parts
        ),
        listen=False,
        observer=(lambda line: world.note("broker", "does", line)) if world.timeline.is_kept else None,
        feed=FeedHabits(),
        # A frame of more than a mebibyte takes longer to read than a day; the client's own tests read one.
        feed_faults=FeedFaultPlan.hostile(
            day.seed, day.feed_faults, longest=_LONGEST_DELAY, without=(FeedFaultKind.BIG,)
        ),
        feed_lag=lambda chance: chance.random() * 0.05,
    )
