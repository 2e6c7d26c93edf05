"""What is believed less once an assumption was seen not to hold, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, cast

import pytest
from attrs import evolve

from kiwoom_async._domain.absence import AbsenceProof, Strength
from kiwoom_async._domain.health import HOLDS_BACK, Breach, BreachKind, KeptBreach
from kiwoom_async._execution.doubts import Doubts
from kiwoom_async._execution.findings import absence_finding
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import DOUBT
from tests.domain.test_matching import DAY, NOON, attempt

SENT: Final = attempt()
PROOF: Final = AbsenceProof("a#1", (DAY,), 100, (), 1040.0, NOON, "boot", None, Strength.STRONG, 10.0, 5.0)


def kept(kind: BreachKind, days_ago: int = 0) -> KeptBreach:
    """Make what was found some days before the order was sent."""
    at = NOON - timedelta(days=days_ago)
    return KeptBreach(Breach(kind, f"{kind} was seen"), at, at, 1)


class Found:
    """Stand in for a journal and a monitor that have found something."""

    def __init__(self, *written: KeptBreach, unwritten: tuple[KeptBreach, ...] = ()) -> None:
        self.written = written
        self.pending = unwritten
        self.times_read = 0

    @property
    def unwritten(self) -> tuple[KeptBreach, ...]:
        """Give what this process has found and not written yet."""
        return self.pending

    async def findings(self) -> tuple[KeptBreach, ...]:
        """Give what every process has written; right afterwards what was waiting is written."""
        self.times_read += 1
        found = self.written
        self.written, self.pending = (*found, *self.pending), ()
        return found

    @property
    def doubts(self) -> Doubts:
        """Ask these."""
        return Doubts(cast("Journal", self), cast("Monitor", self))


@pytest.mark.parametrize("kind", BreachKind)
async def test_what_makes_a_proof_doubtful(kind: BreachKind) -> None:
    """Whatever shows that an order may be on the book although its absence is proven, whoever has found it."""
    for found in (Found(kept(kind)), Found(unwritten=(kept(kind),))):
        doubt = await found.doubts.about(SENT)
        assert doubt == (kept(kind).breach if kind in HOLDS_BACK else None)


@pytest.mark.parametrize(("days_ago", "is_doubtful"), [(0, True), (3, True), (4, False)])
async def test_doubt_is_about_the_day_of_the_order(days_ago: int, *, is_doubtful: bool) -> None:
    """What was seen long before says nothing of it."""
    doubt = await Found(kept(BreachKind.NUMBER_FELL, days_ago)).doubts.about(SENT)
    assert bool(doubt) == is_doubtful


async def test_finding_is_not_missed_while_it_is_written() -> None:
    """What leaves the list of this process during the look stands in that of the journal afterwards."""
    found = Found(unwritten=(kept(BreachKind.REVIVED),))
    assert await found.doubts.about(SENT)
    assert await found.doubts.about(SENT)


async def test_proof_without_a_doubt_is_worth_what_it_is() -> None:
    """A warning, or an assumption that it does not rest on, leaves it alone."""
    found = Found(kept(BreachKind.CLOCK_NEAR), kept(BreachKind.FOREIGN_TWIN))
    assert await found.doubts.weigh(SENT, PROOF) == (PROOF, absence_finding(PROOF))


@pytest.mark.parametrize("strength", Strength)
async def test_doubt_makes_every_proof_weak(strength: Strength) -> None:
    """Nothing is sent again on it; both are kept, with the assumption that was seen not to hold, and why."""
    weak = evolve(PROOF, strength=Strength.WEAK)
    proof, finding = await Found(kept(BreachKind.NUMBER_FELL)).doubts.weigh(SENT, evolve(PROOF, strength=strength))
    assert proof == weak
    assert not proof.allows_resend
    plain = absence_finding(weak)
    assert finding == evolve(plain, evidence={**plain.evidence, DOUBT: "A8: number_fell was seen"})


async def test_marks_prove_nothing_once_numbers_were_seen_to_fall() -> None:
    """An order may have a number below its mark then; what has no mark, or was sent later, stays what it is."""
    found = Found(kept(BreachKind.NUMBER_FELL))
    later = attempt(client_order_id="c", day=DAY + timedelta(days=4))
    sends = (SENT, attempt(client_order_id="b", mark=0), later)
    assert await found.doubts.unmark(iter(sends)) == (evolve(SENT, mark=0), sends[1], later)


@pytest.mark.parametrize("kind", sorted(set(BreachKind) - {BreachKind.NUMBER_FELL}))
async def test_no_other_finding_is_about_marks(kind: BreachKind) -> None:
    """They go on telling older orders from ours."""
    assert await Found(kept(kind)).doubts.unmark([SENT]) == (SENT,)


async def test_nothing_is_read_where_there_is_no_mark() -> None:
    """Every look asks, and usually about nothing."""
    found = Found(kept(BreachKind.NUMBER_FELL))
    unmarked = attempt(mark=0)
    assert await found.doubts.unmark([unmarked]) == (unmarked,)
    assert await found.doubts.unmark([]) == ()
    assert found.times_read == 0
