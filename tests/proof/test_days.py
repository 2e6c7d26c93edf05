"""Whole days: they keep every promise, they replay, and they find what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import Answer, Ask, Audit, BookEntry, check_history
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Desk, OrderType, Route
from kiwoom_async._proof import judging
from kiwoom_async._proof.campaign import Ground, Tally, ground, run_days
from kiwoom_async._proof.day import Happening, plan_day, seed_of
from kiwoom_async._proof.judging import excuse, false_alarms
from kiwoom_async._proof.lives import BEYOND, CLOSING, RARE
from kiwoom_async._proof.processes import MORNING, Moment
from kiwoom_async._proof.steps import Manner
from tests.proof.plants import PLANTS

SEED: Final = 1

LEAST: Final = 10
MOST: Final = 300
SECONDS: Final = 25.0
"""How many days the suite plays: as many as go into some seconds, within bounds."""

FIRST_TRIES: Final = {
    "failed_query_is_an_empty_ledger": 88,
    "high_water_mark_is_ignored": 5,
    "resend_needs_no_proof": 42,
    "exception_releases_the_claim": 0,
    "number_is_claimed_twice": 2,
    "channel_is_not_looked_at": 2,
    "transport_sends_again": 0,
    "deadline_is_stretched": 2,
    "fill_is_forgotten_between_reads": 1,
    "fill_is_counted_twice": 1,
    "fill_is_never_told": 0,
    "resend_needs_no_permission": 12,
    "cancellation_is_not_heard": 0,
    "timeout_is_told_as_not_sent": 0,
    "acceptance_bound_is_ignored": 49,
    "halt_is_asked_for_too_early": 22,
    "halt_is_for_one_process": 1,
    "limits_are_for_one_order": 18,
    "cancel_all_forgets_what_is_unknown": 2,
    "unknown_cancel_is_done": 172,
    "dry_run_is_ignored": 26,
    "credit_is_taken_for_cash": 33,
}
"""Days near which a planted bug shows, so that the suite need not play those before: found by playing from 0 on."""

STRIKING: Final = {
    4: "at after_claim_commit",
    5: "at before_commit",
    56: "at after_write_before_response",
    71: "at before_obligation",
}
"""Days on which death strikes at a point that few processes reach: found by playing from 0 on."""

TRIES: Final = 40
"""Days within which a planted bug must be found, of those on which it may show."""


@pytest.fixture
def place() -> Iterator[Ground]:
    """Give a place for days."""
    with ground() as made:
        yield made


def test_days_keep_every_promise(place: Ground) -> None:
    """Day after day with all faults, kills and freezes: no order is doubled, lost, wrongly told or left unknown."""
    clock = SystemAmbient()
    began, tally = clock.monotonic(), Tally()
    for number in range(MOST):
        tally.add(run_days(SEED, [number], place))
        if number >= LEAST and clock.monotonic() - began > SECONDS:
            break
    assert tally.failures == []
    assert tally.orders > tally.days
    assert tally.deaths
    assert tally.faults.total() > tally.days
    assert {"accepted by response", "accepted by ledger"} <= tally.witnesses.keys()


_REPLAY: Final = """
import json
from kiwoom_async._proof.campaign import ground
with ground() as place:
    days = ((7, 2), (7, 3), (1, 68), (1, 72))
    results = [place.run(*day, keeps_timeline=True) for day in days]
print(json.dumps([[result.timeline.digest, result.orders, result.steps] for result in results]))
"""


def test_a_seed_replays_in_another_process() -> None:
    """The same seed gives the same timeline to the last digit, whatever the hashes of texts are."""
    told = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", _REPLAY],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=110,
        )
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    assert len({digest for digest, _, _ in told[0]}) == len(told[0])


def test_writing_the_timeline_changes_nothing(place: Ground) -> None:
    """A day that failed unobserved fails again where somebody looks."""
    silent, seen = place.run(SEED, 3), place.run(SEED, 3, keeps_timeline=True)
    assert not silent.timeline.entries
    assert seen.timeline.entries
    assert (silent.steps, silent.seconds, silent.witnesses) == (seen.steps, seen.seconds, seen.witnesses)


@pytest.mark.parametrize("name", FIRST_TRIES)
def test_planted_bugs_are_found(name: str, place: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the mistakes that must not survive is found within some days, by the promise that it breaks."""
    planted, first = PLANTS[name], FIRST_TRIES[name]
    planted.plant(monkeypatch)
    days = (number for number in count(first) if planted.may_show(plan_day(seed_of(SEED, number))))
    assert any(planted.is_found(place.run(SEED, number).violations) for number in islice(days, TRIES))


def test_who_is_told_nothing_is_found(place: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that never came is missed, by the process and the call that it was asked in."""
    missed: list[str | None] = []

    def deaf(asks: Sequence[Ask], answers: Sequence[Answer], book: Sequence[BookEntry], **more: Any) -> Audit:
        missed.append(answers[0].call)
        return check_history(asks, answers[1:], book, **more)

    monkeypatch.setattr(judging, "check_history", deaf)
    violations = place.run(SEED, 3).violations
    assert len(missed) == 1
    assert missed[0] is not None
    assert [violation.split()[0] for violation in violations] == ["P3"]


def test_every_plant_is_tried() -> None:
    """No planted bug is left out."""
    assert FIRST_TRIES.keys() == PLANTS.keys()


def test_plans_hold_everything_that_can_happen() -> None:
    """Over some hundred days every manner, death, checkpoint and happening is planned, alone and several at once."""
    days = [plan_day(seed_of(SEED, number)) for number in range(400)]
    steps = [step for day in days for chain in day.chains for step in chain]
    lives = [life for day in days for machine in day.machines for life in machine.lives]
    deaths = [life.death for life in lives if life.death is not None]
    assert {step.manner for step in steps} == set(Manner)
    assert {event.happening for day in days for event in day.events} == set(Happening)
    assert {death.moment for death in deaths} == set(Moment)
    deaths += [death for day in days for death in day.closers]
    assert {death.checkpoint for death in deaths} - {None} == set(Checkpoint) - BEYOND
    assert all(death.count == 1 for death in deaths if death.checkpoint in RARE | CLOSING)
    assert {step.route for step in steps} == {None, *Route}
    assert {step.order_type for step in steps} >= {OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_LIMIT}
    assert {step.stop_price is None for step in steps} == {True, False}
    assert {step.desk for step in steps} == set(Desk)
    for name in (
        *("begins_at", "reboot_at", "clock_set_at", "is_near_bounds", "cancels_duplicates", "closers"),
        *("halt", "has_sweep", "orders_per_day", "rehearsal"),
    ):
        assert {bool(getattr(day, name)) for day in days} == {True, False}, name
    assert Counter(len(day.machines) for day in days).keys() == {1, 2, 3}
    assert any(life.freezes for life in lives)
    assert {day.halt.death is None for day in days if day.halt is not None} == {True, False}
    assert {sweep.includes_foreign for life in lives for sweep in life.sweeps} == {True, False}
    assert {sweep.deadline is None for life in lives for sweep in life.sweeps} == {True, False}
    assert {day.is_exclusive for day in days} == {True, False}


@pytest.mark.parametrize("number", STRIKING)
def test_death_strikes_where_it_is_planned(number: int, place: Ground) -> None:
    """A process dies at the point of its life at which it is to die, not on paper alone."""
    assert STRIKING[number] in place.run(SEED, number).deaths


def test_what_people_must_settle_is_excused_by_name_alone() -> None:
    """On a day on which the books decide everything, an order that is left open is a finding."""
    day = next(day for number in range(50) if not (day := plan_day(seed_of(SEED, number))).needs_people)
    step = evolve(day.chains[0][0], client_order_id="one", order_type=OrderType.LIMIT)
    alone = evolve(day, chains=((step,),))
    open_question = "the day is over and it may be any of the orders 0000001"
    assert not excuse(alone, "one", open_question)
    assert not excuse(alone, "one", "the day is over")
    assert excuse(alone, "one", "its original lost a quantity that no listed row explains")
    other = evolve(step, client_order_id="other", order_type=OrderType.BEST_LIMIT)
    assert excuse(evolve(day, chains=((step,), (other,))), "one", open_question)
    assert excuse(evolve(alone, is_exclusive=False), "one", open_question)


def test_a_false_alarm_is_a_finding() -> None:
    """Where no assumption is broken, a client that says so is wrong; a warning is none."""
    breaches = [(BreachKind.CLOCK_OFF.value, "off"), (BreachKind.CLOCK_NEAR.value, "near")]
    assert list(false_alarms(breaches)) == ["alarm clock_off: off"]


def test_another_programs_twins_come_only_where_they_may() -> None:
    """On an exclusive account nobody else places orders that could be ours: the client is promised that (A9)."""
    for number in range(300):
        day = plan_day(seed_of(SEED, number))
        if day.is_exclusive:
            assert all(event.happening is not Happening.TWIN_BY_PROGRAM for event in day.events)


def test_days_have_seeds_of_their_own() -> None:
    """The seed of a day comes from the campaign's and its number, and from nothing else."""
    seeds = {seed_of(seed, number) for seed in range(20) for number in range(50)}
    assert len(seeds) == 1000
    assert seed_of(1, 2) == seed_of(1, 2)


def test_days_begin_in_trading_hours() -> None:
    """Ten in the morning of a weekday."""
    assert MORNING.weekday() < 5
    assert MORNING - datetime.combine(MORNING.date(), datetime.min.time(), KST) == timedelta(hours=10)
