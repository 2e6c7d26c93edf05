"""A refused or absent attempt makes room for the next one only while nobody else has settled it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async._domain.health import HOLDS_BACK, Breach, BreachKind
from kiwoom_async._domain.states import SETTLED, UNRESOLVED, Delivery, Event
from kiwoom_async._journal.attempts import store_attempt
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, Known
from kiwoom_async._journal.records import MAY_BE_SENT_AGAIN, Finding
from tests.journal.builders import ABSENT, ACCOUNT, LOST, REFUSED, FixedAmbient, dispatched, plan

TOKEN_REFUSED = Finding(
    Event.REFUSED, reason="refused: 8005", is_answered=True, evidence={"code": "8005", MAY_BE_SENT_AGAIN: True}
)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Open an empty journal."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as opened:
        yield opened


async def states(journal: Journal) -> tuple[Delivery, ...]:
    """Read the states of the order's attempts."""
    record = await journal.find("order-1")
    assert record is not None
    return tuple(attempt.state for attempt in record.attempts)


async def test_refused_token_that_comes_late_does_not_send_again(journal: Journal) -> None:
    """Proven absent meanwhile, and somebody was told so: the frozen sender that wakes up gets no permission."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.conclude(attempt, ABSENT)
    permission = await journal.replace(attempt, TOKEN_REFUSED, plan(runner=journal.runner, follows=1))
    assert isinstance(permission, Known)
    assert await states(journal) == (Delivery.NOT_ACCEPTED,)
    assert isinstance(await journal.dispatch(plan(runner=journal.runner)), Known)


@pytest.mark.parametrize("state", sorted(SETTLED))
@pytest.mark.parametrize("finding", [TOKEN_REFUSED, REFUSED, ABSENT])
async def test_settled_attempt_is_not_replaced(journal: Journal, state: Delivery, finding: Finding) -> None:
    """However it was settled, by whichever evidence: it has given its answer, and no second send follows."""
    attempt = await dispatched(journal)
    await journal._write(lambda connection: store_attempt(connection, evolve(attempt, state=state)))
    permission = await journal.replace(attempt, finding, plan(runner=journal.runner, follows=1))
    assert isinstance(permission, Known)
    assert len(await states(journal)) == 1


@pytest.mark.parametrize("finding", [ABSENT, TOKEN_REFUSED])
@pytest.mark.parametrize("kind", list(BreachKind))
async def test_proof_of_absence_permits_nothing_beside_a_broken_assumption(
    journal: Journal, kind: BreachKind, finding: Finding
) -> None:
    """Found by whichever process, until the last moment; a refused token rests on an answer, and on no assumption."""
    attempt = await dispatched(journal)
    await journal.conclude(attempt, LOST)
    await journal.note_breaches([Breach(kind, "seen")])
    permission = await journal.replace(attempt, finding, plan(runner=journal.runner, follows=1))
    is_held_back = finding is ABSENT and kind in HOLDS_BACK
    assert isinstance(permission, Known if is_held_back else Dispatched)
    assert (await states(journal))[0] is (Delivery.NOT_ACCEPTED if finding is ABSENT else Delivery.REFUSED)


@pytest.mark.parametrize("state", sorted(UNRESOLVED | {Delivery.DISPATCHED}))
async def test_open_attempt_is_replaced_on_a_refused_token(journal: Journal, state: Delivery) -> None:
    """While nothing else is known, an intact refusal closes the attempt and permits the next, once."""
    attempt = await dispatched(journal)
    await journal._write(lambda connection: store_attempt(connection, evolve(attempt, state=state)))
    following = plan(runner=journal.runner, follows=1)
    assert isinstance(await journal.replace(attempt, TOKEN_REFUSED, following), Dispatched)
    assert await states(journal) == (Delivery.REFUSED, Delivery.DISPATCHED)
    assert isinstance(await journal.replace(attempt, TOKEN_REFUSED, following), Known)
    assert await states(journal) == (Delivery.REFUSED, Delivery.DISPATCHED)
