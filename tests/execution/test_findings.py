"""What is written about an exchange, a row that was found, an effect and an absence; and what a pass tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import evolve

from kiwoom_async._domain.absence import AbsenceProof, Strength
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import OrderStatus, ResolvedBy
from kiwoom_async._execution.findings import (
    PassFindings,
    absence_finding,
    came_too_late,
    claim_finding,
    effect_finding,
    finding_of,
)
from kiwoom_async._journal.records import MAY_BE_SENT_AGAIN, Finding, from_plain, to_json
from kiwoom_async._wire.codes import CodeMeaning
from kiwoom_async._wire.outcomes import Accepted, Outcome, Refused, Unclear, Unsent
from tests.domain.test_matching import BUY, CANCEL, DAY, MODIFY, NOON, attempt, row

REFUSED: Final = Refused("RC4003", "no", CodeMeaning.BUSINESS_REFUSAL)
WARNING, ALARM = Breach(BreachKind.CLOCK_NEAR, "nearly"), Breach(BreachKind.CLOCK_OFF, "off")


# ---------------------------------------------------------------- what one exchange says


@pytest.mark.parametrize(
    ("outcome", "finding"),
    [
        (
            Accepted("0000101", 7),
            Finding(
                Event.ACKNOWLEDGED,
                broker_order_id="0000101",
                resolved_by=ResolvedBy.RESPONSE,
                is_answered=True,
                evidence={"broker_order_id": "0000101", "quantity": 7},
            ),
        ),
        (
            REFUSED,
            Finding(
                Event.REFUSED,
                reason="refused: RC4003",
                is_answered=True,
                evidence={"code": "RC4003", "message": "no", "meaning": "business_refusal"},
            ),
        ),
        (Unsent("no connection"), Finding(Event.PROVEN_UNSENT, reason="no connection")),
        (Unclear("no answer", is_answered=False), Finding(Event.LOST, reason="no answer")),
        (Unclear("too many", is_answered=True), Finding(Event.LOST, reason="too many", is_answered=True)),
    ],
)
def test_outcome_in_the_journal(outcome: Outcome, finding: Finding) -> None:
    """Each outcome moves the state by its own event, and what Kiwoom said is kept word for word."""
    assert finding_of(outcome) == finding


@pytest.mark.parametrize("meaning", CodeMeaning)
def test_only_a_refused_token_lets_the_same_id_be_sent_again(meaning: CodeMeaning) -> None:
    """Every other refusal was about the order."""
    evidence = finding_of(Refused("8005", "no", meaning)).evidence
    assert evidence.get(MAY_BE_SENT_AGAIN, False) is (meaning is CodeMeaning.TOKEN_REFUSED)


@pytest.mark.parametrize(
    ("request_", "outcome", "is_late"),
    [
        (CANCEL, evolve(REFUSED, code="RC4033"), True),
        (CANCEL, evolve(REFUSED, code="506550"), True),
        (CANCEL, REFUSED, False),
        (CANCEL, Accepted("RC4033"), False),
        (MODIFY, evolve(REFUSED, code="RC4033"), False),
        (BUY, evolve(REFUSED, code="506550"), False),
    ],
)
def test_cancel_that_came_too_late(request_: OrderRequest, outcome: Outcome, *, is_late: bool) -> None:
    """The broker says so with one of two codes, and of no other request."""
    assert came_too_late(attempt(request=request_), outcome) is is_late


# ---------------------------------------------------------------- what the ledger and the feed say


@pytest.mark.parametrize(
    ("by", "place", "is_row_kept"), [(ResolvedBy.LEDGER, "ledger", True), (ResolvedBy.EVENT, "feed", False)]
)
def test_number_that_was_found(by: ResolvedBy, place: str, *, is_row_kept: bool) -> None:
    """It is claimed on the day of its row, and the row is the evidence; the feed's reports are kept elsewhere."""
    found = row(150, day=DAY + timedelta(days=1), filled_quantity=3)
    finding = claim_finding(attempt(), found, by)
    assert finding.event is Event.ACKNOWLEDGED
    assert (finding.broker_order_id, finding.claim_day) == ("0000150", DAY + timedelta(days=1))
    assert finding.resolved_by is by
    assert place in finding.reason
    assert finding.row == (found if is_row_kept else None)
    assert not finding.is_final
    assert not finding.is_answered
    assert finding.breaches == ()
    assert set(finding.evidence) == {"row"}
    kept = finding.evidence["row"]
    assert (kept["broker_order_id"], kept["ordered_at"], kept["filled_quantity"]) == ("0000150", NOON.isoformat(), 3)
    assert "order_types" not in kept
    to_json(finding.evidence)


def test_number_that_was_found_after_the_day() -> None:
    """What is left of it has expired."""
    assert claim_finding(attempt(), row(150), ResolvedBy.LEDGER, is_final=True).is_final


def test_number_that_may_be_a_late_order_of_a_rival() -> None:
    """It is claimed, and both ids are told: one of them is wrong if the bound did not hold."""
    rivals = [attempt(client_order_id=name, number=2, state=Delivery.NOT_ACCEPTED) for name in ("b", "c")]
    finding = claim_finding(attempt(), row(150), ResolvedBy.LEDGER, rivals)
    assert finding.evidence["or_late_order_of"] == ["b#2", "c#2"]
    (breach,) = finding.breaches
    assert breach.kind is BreachKind.MAY_BE_LATE_TWIN
    for part in ("order 0000150", "for a,", "b#2, c#2", "acceptance_bound"):
        assert part in breach.text


def test_cancel_that_is_known_by_its_effect() -> None:
    """It has no number, and what became of its original answers for it."""
    finding = effect_finding(OrderStatus.FILLED)
    assert finding == Finding(
        Event.ACKNOWLEDGED,
        reason=finding.reason,
        resolved_by=ResolvedBy.LEDGER,
        evidence={"original_status": "filled"},
    )
    assert "original" in finding.reason


def proof(**changes: Any) -> AbsenceProof:
    """Make a proof of absence."""
    made = AbsenceProof("a#1", (DAY,), 100, (), 1040.0, NOON, "boot", None, Strength.STRONG, 10.0, 5.0)
    return evolve(made, **changes)


@pytest.mark.parametrize("strength", Strength)
def test_proof_of_absence_can_be_read_again(strength: Strength) -> None:
    """The journal keeps all of it."""
    finding = absence_finding(proof(strength=strength))
    assert finding == Finding(Event.PROVEN_ABSENT, reason=finding.reason, evidence=finding.evidence)
    assert "ledger" in finding.reason
    assert from_plain(finding.evidence["proof"], AbsenceProof) == proof(strength=strength)


# ---------------------------------------------------------------- what a pass tells


@pytest.mark.parametrize(("breach", "alarms"), [(WARNING, []), (ALARM, ["off"])])
def test_warning_is_no_alarm_of_a_pass(breach: Breach, alarms: Sequence[str]) -> None:
    """It is kept with the others all the same."""
    for told in (PassFindings(), PassFindings()):
        told.note(breach)
        assert (told.alarms, told.breaches, told.told) == (alarms, [breach], set())


def test_alarms_of_a_pass_stand_in_their_order() -> None:
    """None is lost to a later one, whether the pass has found it or the monitors have."""
    found = PassFindings()
    found.raise_alarm(BreachKind.OTHER_ACCOUNT, "another account")
    found.take([evolve(ALARM, text="first"), WARNING])
    found.take([evolve(ALARM, text="second")])
    found.note(ALARM)
    assert found.alarms == ["another account", "first", "second", "off"]


def test_what_the_monitors_have_found_is_kept_by_them() -> None:
    """A pass reports it, does not keep it a second time, and knows that it is told."""
    found = PassFindings()
    found.take([ALARM, WARNING])
    found.raise_alarm(BreachKind.OTHER_ACCOUNT, "another account")
    assert found.breaches == [Breach(BreachKind.OTHER_ACCOUNT, "another account")]
    assert found.told == {"off"}


def test_passes_share_nothing() -> None:
    """Each begins with nothing found."""
    first = PassFindings()
    first.raise_alarm(BreachKind.OTHER_ACCOUNT, "another account")
    first.resolved.append("a")
    assert PassFindings() == PassFindings([], [], [], [], {}, [], [], set())
