"""What is believed less once an assumption was seen not to hold: marks of order numbers, and proofs of absence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve

from kiwoom_async._domain.absence import AbsenceProof, Strength
from kiwoom_async._domain.health import Breach, BreachKind, find_doubt
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._execution.findings import absence_finding
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import DOUBT, Finding

_ABOUT_MARKS: Final = frozenset({BreachKind.NUMBER_FELL})


class Doubts:
    """Ask what was found about the assumptions, by this process and by every other one on the journal."""

    def __init__(self, journal: Journal, monitor: Monitor) -> None:
        self._journal = journal
        self._monitor = monitor

    async def about(self, attempt: Attempt) -> Breach | None:
        """Give what was seen that a proof of an attempt's absence must not rest on; None if nothing was."""
        # In this order: what leaves the first list has entered the second one.
        unwritten = self._monitor.unwritten
        return find_doubt([*unwritten, *await self._journal.findings()], attempt.day)

    async def weigh(self, attempt: Attempt, proof: AbsenceProof) -> tuple[AbsenceProof, Finding]:
        """Give a proof, and what is written about it, for what they are worth: a doubt makes every proof weak."""
        doubt = await self.about(attempt)
        if doubt is None:
            return proof, absence_finding(proof)
        proof = evolve(proof, strength=Strength.WEAK)
        finding = absence_finding(proof)
        return proof, evolve(finding, evidence={**finding.evidence, DOUBT: f"{doubt.assumption.value}: {doubt.text}"})

    async def unmark(self, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
        """See attempts without the marks that prove nothing, since numbers were seen to fall (A8)."""
        attempts = tuple(attempts)
        if not any(attempt.mark for attempt in attempts):
            return attempts
        found = await self._journal.findings()
        return tuple(
            evolve(attempt, mark=0) if attempt.mark and find_doubt(found, attempt.day, _ABOUT_MARKS) else attempt
            for attempt in attempts
        )
