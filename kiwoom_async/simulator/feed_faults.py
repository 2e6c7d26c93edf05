"""What can go wrong between the broker's feed and a client, and the plans that make it happen.

A fault is chosen when a frame is about to leave for somebody who listens. A script hits the next matching frames in
order. Rates hit at random, by the seed, what the frame says and how often that was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum, unique
from typing import Final

from attrs import define, evolve, field, frozen

from kiwoom_async._domain.vocabulary import Action
from kiwoom_async.simulator.chance import drawn
from kiwoom_async.simulator.frames import FeedState, FeedType, Frame


@unique
class FeedFaultKind(StrEnum):
    """What happens to a frame, or to the connections it was to leave on."""

    DROP_FRAME = "drop_frame"
    """It never leaves."""
    DELAY_FRAME = "delay_frame"
    """It leaves later; others overtake it."""
    REPEAT_FRAME = "repeat_frame"
    """It leaves twice."""
    REORDER = "reorder"
    """It leaves after the next one."""
    INVERT = "invert"
    """An acceptance leaves after the first fill of its order."""
    CUT = "cut"
    """The connection is reset instead."""
    CLOSE = "close"
    """The connection is closed in good order instead: code 1000, "Bye"."""
    HALF_OPEN = "half_open"
    """Nothing is sent any more, the frame and pings included, and nothing is heard; the connection stays."""
    GARBAGE = "garbage"
    """A text that is not JSON leaves before it."""
    UNKNOWN_TYPE = "unknown_type"
    """Frames of an unknown service, and of an unknown type with unknown FIDs, leave before it."""
    BIG = "big"
    """It leaves with so many unknown FIDs that it is larger than a mebibyte."""


_SECONDS: Final[Mapping[FeedFaultKind, float]] = {
    FeedFaultKind.DELAY_FRAME: 0.2,
    FeedFaultKind.REORDER: 1.0,
    FeedFaultKind.INVERT: 1.0,
}
"""What `seconds=None` means; for the other kinds: at once, or never. Our choice."""


def _texts(names: Iterable[str] | str | None) -> frozenset[str] | None:
    if names is None:
        return None
    return frozenset({names} if isinstance(names, str) else names)


@frozen
class FeedFault:
    """One fault.

    Attributes:
        kind: What happens.
        seconds: DELAY_FRAME: how long. REORDER, INVERT: the frame leaves after this long at the latest, if what it
            waits for does not come. REPEAT_FRAME: how much later it comes again; None: at once. HALF_OPEN: the
            connection is reset after this long; None: never.
        types: Which types; None: all.
        states: Which words of FID 913; None: all.
        order_nos: Which orders; None: all.
        skip: How many matching frames pass before the first it hits.
        times: How many frames it hits.
    """

    kind: FeedFaultKind
    seconds: float | None = None
    types: frozenset[str] | None = field(default=frozenset({FeedType.ORDER.value}), converter=_texts)
    states: frozenset[str] | None = field(default=None, converter=_texts)
    order_nos: frozenset[str] | None = field(default=None, converter=_texts)
    skip: int = 0
    times: int = 1

    @property
    def duration(self) -> float | None:
        """The seconds, with the usual value of the kind."""
        return _SECONDS.get(self.kind) if self.seconds is None else self.seconds

    def hits(self, frame: Frame) -> bool:
        """Whether a frame is one the fault can hit."""
        if self.kind is FeedFaultKind.INVERT:
            is_acceptance = frame.state is FeedState.ACCEPTED and frame.action is not Action.CANCEL
            if not is_acceptance:
                return False
        asked = ((self.types, frame.type.value), (self.states, frame.state), (self.order_nos, frame.order_no))
        return all(wanted is None or shown in wanted for wanted, shown in asked)


def _in_order(faults: Iterable[FeedFault]) -> tuple[FeedFault, ...]:
    return tuple(faults)


_WEIGHTS: Final[Mapping[FeedFaultKind, float]] = {
    FeedFaultKind.DROP_FRAME: 3,
    FeedFaultKind.DELAY_FRAME: 3,
    FeedFaultKind.REPEAT_FRAME: 3,
    FeedFaultKind.REORDER: 3,
    FeedFaultKind.INVERT: 3,
    FeedFaultKind.CUT: 2,
    FeedFaultKind.CLOSE: 1,
    FeedFaultKind.HALF_OPEN: 1,
    FeedFaultKind.GARBAGE: 1,
    FeedFaultKind.UNKNOWN_TYPE: 2,
    FeedFaultKind.BIG: 1,
}
_SHORTEST: Final = 0.02


@frozen
class FeedFaultPlan:
    """What will go wrong on the feed.

    Attributes:
        script: Hit the next matching frames, in order.
        rates: Probability of each kind, for every frame of type `00`.
        seed: Of the rates.
        longest: Upper bound of the seconds that the rates draw.
    """

    script: tuple[FeedFault, ...] = field(default=(), converter=_in_order)
    rates: Mapping[FeedFaultKind, float] = field(factory=dict)
    seed: int = 0
    longest: float = 0.4

    def __attrs_post_init__(self) -> None:
        if sum(self.rates.values()) > 1.0 + 1e-9:
            raise ValueError("The rates of the feed's faults must not exceed 1 in sum.")

    @classmethod
    def of(cls, faults: FeedFaultPlan | Iterable[FeedFault] | None) -> FeedFaultPlan:
        """Make a plan of what a user gave."""
        if isinstance(faults, FeedFaultPlan):
            return faults
        return cls(script=tuple(faults or ()))

    @classmethod
    def hostile(
        cls, seed: int, intensity: float = 0.3, *, longest: float = 0.4, without: Iterable[FeedFaultKind] = ()
    ) -> FeedFaultPlan:
        """Make a plan of everything at once.

        Args:
            seed: Of the chance.
            intensity: Share of the frames that are hit.
            longest: Upper bound of every delay, in seconds; a half-open connection is reset after it.
            without: Kinds to leave out.
        """
        left_out = frozenset(without)
        weights = {kind: weight for kind, weight in _WEIGHTS.items() if kind not in left_out}
        total = sum(weights.values()) or 1.0
        rates = {kind: intensity * weight / total for kind, weight in weights.items()}
        return cls(rates=rates, seed=seed, longest=longest)


@define
class _Pending:
    """A scripted fault with what is left of it."""

    fault: FeedFault
    skip: int
    times: int


@define
class FeedFaultDirector:
    """Carries a plan out: which fault hits the frame that is about to leave."""

    plan: FeedFaultPlan = FeedFaultPlan()
    injected: Counter[FeedFaultKind] = field(factory=Counter)
    _left: list[_Pending] = field(factory=list)
    _seen: Counter[str] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.follow(self.plan)

    def follow(self, plan: FeedFaultPlan) -> None:
        """Replace the plan; what was counted stays."""
        self.plan = plan
        self._left = [_Pending(fault, fault.skip, fault.times) for fault in plan.script if fault.times > 0]

    def choose(self, frame: Frame) -> FeedFault | None:
        """Decide about a frame."""
        fault = self._scripted(frame) or self._by_chance(frame)
        if fault is not None:
            self.injected[fault.kind] += 1
        return fault

    def _scripted(self, frame: Frame) -> FeedFault | None:
        for pending in self._left:
            if not pending.fault.hits(frame):
                continue
            if pending.skip:
                pending.skip -= 1
                continue
            pending.times -= 1
            if not pending.times:
                self._left.remove(pending)
            return pending.fault
        return None

    def _by_chance(self, frame: Frame) -> FeedFault | None:
        if not self.plan.rates:
            return None
        said = f"{frame.type.value}/{frame.order_no}/{frame.state}"
        self._seen[said] += 1
        label = f"{said}#{self._seen[said]}"
        share = drawn(self.plan.seed, "feed", label)
        for kind, rate in self.plan.rates.items():
            share -= rate
            if share < 0:
                span = max(self.plan.longest - _SHORTEST, 0.0)
                seconds = _SHORTEST + drawn(self.plan.seed, "feed", label, "seconds") * span
                fault = evolve(FeedFault(kind), seconds=seconds)
                return fault if fault.hits(frame) else None
        return None
