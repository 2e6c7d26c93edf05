"""Every scenario is audited: what its callers were told and its journal would tell, against the broker's book."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from kiwoom_async import Order
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._audit import Answer, Harm
from kiwoom_async._domain.intents import Intent
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._journal.journal import Journal
from kiwoom_async._proof.evidence import audit_journal, told
from kiwoom_async.errors import RequestError
from kiwoom_async.simulator import Simulator
from tests.audits import assert_broken, assert_left_out, listed, reason_not_to

_DUPLICATE: Final = (("I1", Harm.DOUBLED, "one"),)
"""The broker accepts a send after all that is proven absent and was sent again: an assumption (A4) is broken."""

_PLAYED: Final = (("I2", Harm.LOST, "one"), ("I4", Harm.WRONG, "one"))
"""A late acceptance is played by an order that the simulator takes for somebody else's."""

_MADE_UP: Final = (("I2", Harm.LOST, "one"), ("I3", Harm.WRONG, "one"))
"""The answer with its number is the test's own, after a proof that was right."""

_UNPROVEN: Final = (("I1", Harm.RISKED, "one"),)
"""The test gives the word to send again, where a proof should."""

_A_SLIP: Final = (("I2", Harm.LOST, "one"),)
"""A person gives a number that is not on the book."""

BROKEN_ON_PURPOSE: Final = {
    "test_number_that_only_a_person_has_seen_is_listed_at_the_close": _A_SLIP,
    "test_resend_says_that_it_was_sent": _UNPROVEN,
    "test_answer_after_a_proof_of_absence_is_told_to_people": _MADE_UP,
    "test_late_first_attempt_after_resend_detected": _DUPLICATE,
    "test_duplicate_unfilled_cancelled_once_when_opted_in": _DUPLICATE,
    "test_duplicate_is_left_alone_without_opting_in": _DUPLICATE,
    "test_duplicate_that_has_traded_is_never_cancelled": _DUPLICATE,
    "test_duplicate_partially_filled_surfaces_no_auto_hedge": _DUPLICATE,
    "test_cancel_of_a_duplicate_that_never_left_is_tried_again": _DUPLICATE,
    "test_acceptance_event_arrives_during_resend_decision_aborts": _PLAYED,
    "test_order_that_is_accepted_after_an_intact_1999_is_found_and_not_doubled": _PLAYED,
    "test_another_loan_date_on_the_ledger_blocks_and_is_not_claimed[None]": _PLAYED,
}
"""What the audit must find where a test breaks an assumption, by the name of the test, with or without its case.

A test that is not here must leave a clean history.
"""


RENAMED: Final = frozenset({"test_claimed_order_never_claimed_twice_unique_constraint_2_processes"})
"""Tests that let two processes send twins at the same moment: which of them has which number is a name and no fact."""

UNAUDITED: Final[dict[str, str]] = {
    "test_every_journal_failure": "many brokers, many journals",  # each day is judged by the test itself
    "test_killed_process_blocks_nobody": "a broker, and no journal",
    "test_damaged_file_is_gone_without": "a broker, and no journal",
    "test_token_of_an_earlier_simulator_at_the_same_port_is_not_used": "a broker, and no journal",
    "test_three_processes_share_one_token_and_stay_within_the_limits": "a broker, and no journal",
    "test_account_that_cannot_look_does_not_hold_up_another": "2 brokers, 1 journals",
    "test_no_client_without_a_journal": "a broker, and no journal",
    "test_order_of_another_account_is_neither_modified_nor_canceled": "2 brokers, 1 journals",
    "test_order_of_another_account_is_not_settled_by_hand": "2 brokers, 1 journals",
    "test_order_of_another_account_is_not_shown": "2 brokers, 1 journals",
    "test_witness_order_present_certifies_freshness": "2 brokers, 2 journals",
    "test_wrong_account_snapshot_rejected": "2 brokers, 1 journals",
}
"""Tests that are not audited, by name with or without the case, and what they have instead of a broker and a journal.

A test that needs no broker is not here; every other one is audited.
"""


def assert_named(error: Exception, client_order_id: str) -> None:
    """Whoever asked for an order without an id finds it in the error."""
    if isinstance(error, RequestError):
        assert error.client_order_id == client_order_id, error


@pytest.fixture(autouse=True)
def _audited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Record brokers, journals and answers of a test, and judge them at its end."""
    brokers: list[Simulator] = []
    journals: set[Path] = set()
    answers: list[Answer] = []

    def tick() -> float:
        """Read the clock that the broker reads."""
        return ((brokers[0].ambient if brokers else None) or SystemAmbient()).monotonic()

    enter, open_journal, place = Simulator.__aenter__, Journal.__aenter__, Dispatcher.place

    async def note_broker(self: Simulator) -> Simulator:
        brokers.append(self)
        return await enter(self)

    async def note_journal(self: Journal) -> Journal:
        opened = await open_journal(self)
        journals.add(self.path)
        return opened

    async def note_answer(self: Dispatcher, intent: Intent, *, deadline: float | None, is_fresh: bool) -> Order:
        asked_at = tick()
        outcome: Order | Exception
        try:
            outcome = await place(self, intent, deadline=deadline, is_fresh=is_fresh)
        except Exception as error:
            assert_named(error, intent.client_order_id)
            answers.append(evolve(told(intent.client_order_id, error), asked_at=asked_at, told_at=tick()))
            raise
        answers.append(evolve(told(intent.client_order_id, outcome), asked_at=asked_at, told_at=tick()))
        return outcome

    monkeypatch.setattr(Simulator, "__aenter__", note_broker)
    monkeypatch.setattr(Journal, "__aenter__", note_journal)
    monkeypatch.setattr(Dispatcher, "place", note_answer)
    yield
    monkeypatch.undo()
    if assert_left_out(request.node.name, reason_not_to(len(brokers), len(journals)), UNAUDITED):
        return  # the orders of several journals on several books cannot be told apart
    violations = audit_journal(brokers[0], journals.pop(), answers=answers).violations
    if request.node.name in RENAMED:
        violations = tuple(one for one in violations if (one.invariant, one.harm) != ("I2", Harm.WRONG))
    assert_broken(violations, listed(request.node.name, BROKEN_ON_PURPOSE))
