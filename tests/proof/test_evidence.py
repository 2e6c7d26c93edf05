"""What a run leaves behind, turned into the words of the history checker, shows a planted fault."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async import KiwoomClient, KiwoomError, NotSent, Order, OrderRefused, OutcomeUnknown
from kiwoom_async._audit import Answer, Attempt, Harm, Verdict
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._execution.flights import Flight
from kiwoom_async._proof.evidence import attempts_of, audit_journal, count_resent, fills_of, revived_of, told
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.on_disk import falsify
from tests.scenarios.trading import SYMBOL, broker_of, client_of, left_open, on_book, resolved


async def trade(broker: Simulator, folder: Path) -> None:
    """Place an order whose answer may be lost, one that trades, and one that is canceled."""
    async with client_of(broker, folder) as client:
        await client.stock.buy(SYMBOL, 5, price=69_000, client_order_id="lost")
        await client.stock.buy(SYMBOL, 3, client_order_id="market")
        order = await client.stock.buy(SYMBOL, 4, price=69_000, client_order_id="canceled")
        await client.stock.cancel(order, client_order_id="cancel")
        await client.orders.wait_filled("market")
        await resolved(client)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give the journal of the test's client."""
    return tmp_path / "orders.db"


async def test_a_journal_and_a_book_that_agree_are_clean(tmp_path: Path, journal: Path) -> None:
    """All that a client did, judged when it is gone, with every fill."""
    lost = Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000")
    async with broker_of(lost) as broker:
        await trade(broker, tmp_path)
        audit = audit_journal(broker, journal, is_over=True)
        assert audit.violations == ()
        assert (audit.asked, audit.on_the_book, audit.told(Verdict.ACCEPTED)) == (4, 4, 4)
        assert [(fill.client_order_id, fill.quantity) for fill in fills_of(journal)] == [("market", 3)]
        assert revived_of(journal) == frozenset()


DEARER = "request = replace(request, '69000', '69100'), fingerprint = replace(fingerprint, '69000', '69100')"


def in_both(one: str, other: str, lie: str) -> str:
    """Tell a lie in two tables: a journal that contradicts itself is not read at all."""
    return f"UPDATE {one} SET {lie}; UPDATE {other} SET {lie}"  # noqa: S608 - of our own texts


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ("UPDATE claims SET filled_quantity = 9 WHERE client_order_id = 'market'", ("I6", Harm.WRONG)),
        (
            in_both("attempts", "claims", "broker_order_id = '0099999' WHERE client_order_id = 'lost'"),
            ("I2", Harm.WRONG),
        ),
        ("UPDATE attempts SET state = 'not_sent' WHERE client_order_id = 'lost'", ("I1", Harm.RISKED)),
        (in_both("intents", "attempts", DEARER), ("I2", Harm.WRONG)),
    ],
)
async def test_a_journal_that_lies_is_found(tmp_path: Path, journal: Path, lie: str, found: tuple[str, Harm]) -> None:
    """The judge believes the book and not the journal."""
    async with broker_of() as broker:
        await trade(broker, tmp_path)
        falsify(journal, lie)
        audit = audit_journal(broker, journal, is_over=True)
        assert found in {(violation.invariant, violation.harm) for violation in audit.violations}


@pytest.mark.parametrize("is_planted", [False, True])
async def test_a_timeout_that_is_told_as_not_sent_is_found(
    tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch, *, is_planted: bool
) -> None:
    """I3: the bytes had left when the caller was told that none had, and whoever asks later is told the truth."""

    async def lie(_: Dispatcher, flight: Flight, __: float) -> KiwoomError:
        return NotSent("No byte of it left.", client_order_id=flight.intent.client_order_id)

    if is_planted:
        monkeypatch.setattr(Dispatcher, "_too_late", lie)
    async with broker_of(Fault(FaultKind.HANG, accepted=True)) as broker:
        answers = []

        async def ask(client: KiwoomClient, key: str, deadline: float) -> None:
            assert broker.ambient is not None
            began = broker.ambient.monotonic()
            outcome: Order | KiwoomError
            try:
                outcome = await client.stock.buy(SYMBOL, 5, price=69_000, client_order_id=key, deadline=deadline)
            except (NotSent, OutcomeUnknown) as error:
                outcome = error
            answers.append(evolve(told(key, outcome), asked_at=began, told_at=broker.ambient.monotonic()))

        async with client_of(broker, tmp_path) as client:
            for number in range(100):  # a slow machine sends nothing within the deadline
                await ask(client, f"n{number}", 0.5)
                if on_book(broker, f"n{number}"):
                    break
            await ask(client, f"n{number}", 60.0)
        found = [(one.invariant, one.harm) for one in audit_journal(broker, journal, answers=answers).violations]
        assert found == [("I3", Harm.LOST)] * is_planted


async def test_what_is_open_is_unknown_in_the_end_only(tmp_path: Path, journal: Path) -> None:
    """I7 is asked for when the day is over."""
    async with broker_of(Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000"), ledger_lag=60.0) as broker:
        async with client_of(broker, tmp_path) as client:
            await left_open(lambda: client.stock.buy(SYMBOL, 5, price=69_000, client_order_id="open", deadline=0.2))
        assert audit_journal(broker, journal).is_clean
        assert [one.invariant for one in audit_journal(broker, journal, is_over=True).violations] == ["I7"]


async def test_what_a_caller_was_told_is_held_against_what_the_journal_would_tell(
    tmp_path: Path, journal: Path
) -> None:
    """I5: the answer from before the restart counts as much as the one after it."""
    async with broker_of() as broker:
        await trade(broker, tmp_path)
        audit = audit_journal(broker, journal, answers=[Answer("lost", Verdict.NOT_ACCEPTED)])
        assert [(one.invariant, one.client_order_id) for one in audit.violations] == [("I5", "lost")]


async def test_a_resend_and_a_refused_token_are_told_apart(tmp_path: Path, journal: Path) -> None:
    """Both are two sends of one id; a proof of absence and a permission are needed for the first alone."""
    faults = [Fault(FaultKind.TOKEN_DIES, api_ids="kt10000"), Fault(FaultKind.ORDER_REFUSED, api_ids="kt10001")]
    async with broker_of(*faults) as broker:
        async with client_of(broker, tmp_path) as client:
            await client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="token")
            with pytest.raises(OrderRefused):
                await client.stock.sell(SYMBOL, 1, price=71_000, client_order_id="refused")
        assert attempts_of(journal) == [
            Attempt("refused", 1),
            Attempt("token", 1, is_turned_away=True),
            Attempt("token", 2),
        ]
        assert count_resent(attempts_of(journal)) == 0
        assert audit_journal(broker, journal).is_clean


@pytest.mark.parametrize(
    ("lie", "text"),
    [
        (None, None),
        ("UPDATE history SET evidence = replace(evidence, '\"strong\"', '\"weak\"')", "of which nothing was proven"),
        ("UPDATE intents SET resend_within = NULL", "1 resends after a proof of absence, 0 permitted"),
    ],
)
async def test_a_resend_needs_a_strong_proof_and_a_permission_on_record(
    tmp_path: Path, journal: Path, lie: str | None, text: str | None
) -> None:
    """I1: the second send is right only beside what the journal says of the first."""
    async with broker_of(Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000")) as broker:
        async with client_of(broker, tmp_path) as client:
            wanted = asyncio.create_task(
                client.stock.buy(SYMBOL, 1, price=69_000, client_order_id="resent", resend_within=60, deadline=60)
            )
            number = 0
            while not wanted.done():
                number += 1
                await client.stock.sell(SYMBOL, number, price=71_000)  # it shows how fresh the ledger is
                await asyncio.wait({wanted}, timeout=0.05)
            assert (await wanted).attempts == 2
        assert count_resent(attempts_of(journal)) == 1
        if lie is not None:
            falsify(journal, f"DROP TRIGGER history_is_never_changed; {lie}")
        violations = audit_journal(broker, journal).violations
        assert [violation.invariant for violation in violations] == ([] if text is None else ["I1"])
        assert text is None or text in violations[0].text
