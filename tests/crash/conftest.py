"""What killed processes leave behind is audited: what the journal would tell, against the broker's book."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kiwoom_async._audit import Harm
from kiwoom_async._proof.evidence import audit_journal
from kiwoom_async.simulator import Simulator
from tests.audits import Breach, assert_broken, assert_left_out, listed, reason_not_to

BROKEN_ON_PURPOSE: Final[dict[str, tuple[Breach, ...]]] = {
    # A4 is broken: the broker accepts a send after all that is proven absent and was sent again.
    "test_killed_during_auto_cancel": (("I1", Harm.DOUBLED, "one"),),
    # A1 is broken: the journal is put back to before the order.
    "test_forgotten_orders_of_an_accepted_journal_are_alarmed": (
        ("I1", Harm.RISKED, "forgotten"),
        ("I2", Harm.WRONG, "forgotten"),
    ),
}
"""What the audit must find where a test breaks an assumption, by the name of the test, with or without its case.

A test that is not here must leave a clean history.
"""


UNAUDITED: Final[dict[str, str]] = {
    # Each death has a book and a journal of its own, and is judged by the test itself.
    "test_killed_at_every_commit_of_a_day": "a broker, and no journal",
    "test_killed_at_every_commit_of_a_day_close": "a broker, and no journal",
}
"""Tests that are not audited, by name with or without the case, and what they have instead of a broker and a journal.

A test that needs no broker is not here; every other one is audited.
"""


@pytest.fixture(autouse=True)
def _audited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Record the brokers of a test, and hold its journal against the book at its end."""
    brokers: list[Simulator] = []
    enter = Simulator.__aenter__

    async def note_broker(self: Simulator) -> Simulator:
        brokers.append(self)
        return await enter(self)

    monkeypatch.setattr(Simulator, "__aenter__", note_broker)
    yield
    monkeypatch.undo()
    journal = tmp_path / "orders.db"
    if assert_left_out(request.node.name, reason_not_to(len(brokers), int(journal.exists())), UNAUDITED):
        return
    violations = audit_journal(brokers[0], journal).violations
    assert_broken(violations, listed(request.node.name, BROKEN_ON_PURPOSE))
