"""What came of a day, in numbers and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from attrs import frozen

from kiwoom_async._audit import Answer, Audit, Verdict
from kiwoom_async._proof.network import NetworkFault, Weather
from kiwoom_async._proof.timeline import Timeline
from kiwoom_async.simulator import FaultKind, FeedFaultKind, Simulator


@frozen
class DayResult:
    """What came of a day.

    Attributes:
        orders: Client order ids that were asked for.
        sends: Order requests that reached the broker.
        violations: Broken promises, in words.
        faults: Faults injected, by kind.
        witnesses: Accepted orders by what their answer rests on, and the other answers by verdict.
        deaths: Of processes, by where they struck.
        freezes: Of processes.
        seconds: Virtual ones.
    """

    seed: int
    orders: int
    sends: int
    violations: tuple[str, ...]
    faults: Mapping[str, int]
    witnesses: Mapping[str, int]
    deaths: Mapping[str, int]
    freezes: int
    seconds: float
    steps: int
    timeline: Timeline


def count_witnesses(audit: Audit) -> dict[str, int]:
    """Count accepted orders by what their last answer rests on, and the other answers by verdict."""
    witnesses: Counter[str] = Counter()
    for answer in audit.last.values():
        is_accepted = answer.verdict is Verdict.ACCEPTED
        witnesses[f"accepted by {_evidence(answer)}" if is_accepted else answer.verdict.value] += 1
    return dict(witnesses)


def _evidence(answer: Answer) -> str:
    if answer.broker_order_id is None:
        return "effect"
    return answer.resolved_by or "nothing"


def count_faults(broker: Simulator, weather: Weather, happened: Mapping[str, int]) -> dict[str, int]:
    """Count what went wrong, by kind: at the broker, on its feed, on the network, in the world."""
    faults: dict[str, int] = {}
    for kind in FaultKind:
        faults[kind.value] = broker.faults_injected[kind]
    for feed_kind in FeedFaultKind:
        faults[f"feed: {feed_kind.value}"] = broker.feed_faults_injected[feed_kind]
    for network_kind in NetworkFault:
        faults[f"network: {network_kind.value}"] = weather.injected[network_kind]
    for what, times in happened.items():
        faults[f"world: {what}"] = times
    return {kind: times for kind, times in faults.items() if times}
