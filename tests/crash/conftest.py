"""What killed processes leave behind is audited: what the journal would tell, against the broker's book."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kiwoom_async._proof.evidence import audit_journal
from kiwoom_async.simulator import Simulator

BROKEN_ON_PURPOSE: Final[dict[str, frozenset[str]]] = {}
"""What the audit must find where a test breaks an assumption, by the name of the test, with or without its case.

A test that is not here must leave a clean history.
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
    if len(brokers) != 1 or not journal.exists():
        return
    violations = audit_journal(brokers[0], journal).violations
    node = request.node
    expected = BROKEN_ON_PURPOSE.get(node.name, BROKEN_ON_PURPOSE.get(node.originalname, frozenset()))
    assert {violation.invariant for violation in violations} == expected, violations
