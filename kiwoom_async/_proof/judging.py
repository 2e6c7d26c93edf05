"""Hold a day that is over against the promises: answers, wire, records, fills, alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw

from kiwoom_async._audit import Answer, Ask, Audit, BookEntry, FillHeard, Verdict, check_history
from kiwoom_async._domain.health import KIND_RULES, BreachKind, HealthState
from kiwoom_async._domain.states import IN_FLIGHT, Delivery
from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._proof.day import Day
from kiwoom_async._proof.evidence import attempts_of, book_of, revived_of, sends_of, told_by
from kiwoom_async._proof.happenings import Scene
from kiwoom_async._proof.interventions import DRY, find_departures, find_excess, find_unswept, find_wet, swept_history
from kiwoom_async._proof.processes import UPTIME
from kiwoom_async._proof.setting import TIMING
from kiwoom_async._proof.steps import Step
from kiwoom_async._proof.strategies import PUNCTUALITY, Hearing, Record
from kiwoom_async._proof.testimony import Moments, number_of, renamed
from kiwoom_async.simulator import Simulator

_SLACK: Final = 1.0 + 2 * TIMING.clock_skew
"""Seconds by which an order may seem older than it is: the broker's times are whole seconds, and two clocks differ."""


def judge(scene: Scene, journal: Path, record: Record) -> tuple[Audit, list[str]]:
    """Give what the history checker says, and every finding of the day in words."""
    revived, attempts = revived_of(journal), attempts_of(journal)
    begun = {attempt.client_order_id for attempt in attempts if attempt.may_have_left}
    swept = ([], []) if record.swept_from is None else swept_history(*told_by(journal), begun)
    asks, answers = [*record.asks, *swept[0]], [*record.answers, *swept[1]]
    book = _book(scene.broker, record, asks, answers)
    # Where the last process was not done in time, nobody has heard it all; that it was not is a finding already.
    everything = record.heard["Z"].fills if "Z" in record.heard else None
    audit = check_history(
        asks,
        answers,
        book,
        sends=sends_of(scene.broker.requests),
        attempts=attempts,
        fills=everything,
        revived=revived,
        died=record.died,
        tolerance=PUNCTUALITY,
    )
    found = [f"{one.invariant} {one.client_order_id}: {one.text}" for one in audit.violations]
    for name, hearing in record.heard.items():
        found += [
            f"I6 {name}: {text}" for text in _misheard(hearing, hearing.fills if everything is None else everything)
        ]
    found += _interfered(scene, book, record)
    # In a world in which every bound holds there is none.
    found += [f"I3 {name}: turned up after a proof of absence, and no bound was broken" for name in sorted(revived)]
    found += [
        f"no answer: {answer.client_order_id}: {answer.detail}"
        for answer in record.answers
        if answer.verdict is Verdict.ERROR
    ]
    return audit, [*found, *false_alarms(_breaches(journal))]


def _interfered(scene: Scene, book: Sequence[BookEntry], record: Record) -> Iterator[str]:
    yield from find_departures(scene.weather.departures, record.holds)
    yield from find_wet(scene.weather.departures, DRY)
    for swept in record.swept:
        yield from find_unswept(swept, book, record.asks)
    if scene.day.orders_per_day is not None:
        # Near midnight, two clocks tell two days.
        yield from find_excess(book, scene.day.orders_per_day * (2 if scene.day.begins_at else 1))


def excuse(day: Day, client_order_id: str, why: str) -> str:
    """Say why an order may be left to people; empty if the books should have decided."""
    if "lost a quantity that no listed row explains" in why:
        # A cancel without a row of its own, of an order that somebody else may have canceled.
        return "its original lost a quantity that no listed row explains"
    if "it may be any of the orders" in why and _has_other_types(day, client_order_id):
        return "the ledger may word several order types alike"
    if "it may be any of the orders" in why and _has_other_ways(day, client_order_id):
        return "what went by SOR may be listed under the venue of another order"
    if "it may be any of the orders" in why and _has_other_obligations(day, client_order_id):
        # Theory, section 6: where the obligations of twins differ, which of them has the order is a person's to say.
        return "one of its twins is to be canceled or modified, and they are not interchangeable"
    return "people are needed" if day.needs_people else ""


def _has_other_types(day: Day, client_order_id: str) -> bool:
    """Tell whether orders of another type may be this one: few of the ledger's words for types are published."""
    return any(step.order_type is not own.order_type for own, step in _likes(day, client_order_id))


def _has_other_ways(day: Day, client_order_id: str) -> bool:
    """Tell whether orders of another route may be this one: SOR sends an order to any venue."""
    return any(
        step.route is not own.route and Route.SOR in {step.route, own.route}
        for own, step in _likes(day, client_order_id)
    )


def _likes(day: Day, client_order_id: str) -> Iterator[tuple[Step, Step]]:
    """Pair an order with those of the same symbol, side and quantity."""
    new = [chain[0] for chain in day.chains]
    own = next((step for step in new if step.client_order_id == client_order_id), None)
    for step in new:
        if own is not None and (step.symbol, step.side, step.quantity) == (own.symbol, own.side, own.quantity):
            yield own, step


def _has_other_obligations(day: Day, client_order_id: str) -> bool:
    """Tell whether an identical order has other steps to follow."""
    own = next((chain for chain in day.chains if chain[0].client_order_id == client_order_id), None)
    return own is not None and any(
        chain is not own
        and (day.has_sweep or len(chain) + len(own) > 2)
        and chain[0].question(None).terms == own[0].question(None).terms
        for chain in day.chains
    )


def _book(broker: Simulator, record: Record, asks: Iterable[Ask], answers: Iterable[Answer]) -> list[BookEntry]:
    """Give the broker's book, with twins renamed as far as nobody can tell them apart."""
    asks = list(asks)
    asked = {ask.client_order_id: record.swept_from for ask in asks if record.swept_from is not None} | record.asked
    book = book_of(broker, UPTIME)
    accepted = {number_of(entry): entry.accepted_at for entry in book if entry.accepted_at is not None}
    return renamed(asks, answers, book, Moments(asked, accepted, _SLACK))


def _misheard(hearing: Hearing, everything: Sequence[FillHeard]) -> Iterator[str]:
    """Hold what a listener heard, over all its lives, against what one hears who listens to all at the end."""
    told = [fill for fill in dict.fromkeys(everything) if fill.sequence <= hearing.last]
    if hearing.fills != told:
        yield f"a listener was told {len(hearing.fills)} fills and not the {len(told)} up to event {hearing.last}"


def is_left_open(journal: Path) -> bool:
    """Tell whether the outcome of anything is unknown."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        states = {str(state) for (state,) in connection.execute("SELECT DISTINCT state FROM attempts")}
    finally:
        connection.close()
    return not states.isdisjoint({Delivery.UNKNOWN, Delivery.CANDIDATES, *IN_FLIGHT})


def _breaches(journal: Path) -> list[tuple[str, str]]:
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [(str(kind), str(text)) for kind, text in connection.execute("SELECT kind, text FROM breaches")]
    finally:
        connection.close()


def false_alarms(breaches: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Say which assumptions the clients saw broken: in these days none is."""
    for kind, text in breaches:
        if KIND_RULES[BreachKind(kind)].state is HealthState.ALARM:
            yield f"alarm {kind}: {text}"
