"""Section G: a process that dies anywhere leaves at most one order for its id, and the next one tells the truth."""

from __future__ import annotations

import ast
import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from kiwoom_async import KiwoomClient, NotSent, Order, OrderNotAccepted, OutcomeUnknown
from kiwoom_async._audit import Answer, Ask, Terms, Verdict, Violation, check_history
from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.vocabulary import Action
from kiwoom_async._proof.evidence import book_entry, terms_of
from kiwoom_async.simulator import Fault, FaultKind, Simulator
from tests.crash.processes import KILLED, PATIENCE, ROOT, child, finished, go, heard, is_stopped
from tests.crash.trader import PRICE, SYMBOL, TIMING, Program
from tests.on_disk import value_of
from tests.scenarios.trading import Hands, broker_of, client_of, eventually, on_book, orders_received


def program_of(broker: Simulator, folder: Path, **changes: Any) -> Program:
    """Make a program for a trader on the journal of a folder."""
    assert isinstance(broker.ambient, Hands)
    return Program(broker.url, str(folder / "orders.db"), broker.ambient.offset.total_seconds(), **changes)


def started(program: Program) -> AbstractAsyncContextManager[Process]:
    """Start a trader; it does not outlive the block."""
    return child("trader.py", program.to_json())


async def run(program: Program) -> tuple[int, list[dict[str, Any]]]:
    """Run a trader to its end."""
    async with started(program) as process:
        return await finished(process)


async def ask(client: KiwoomClient, program: Program, key: str = "one") -> Order | str:
    """Ask what the dead trader asked; its order or the words of its error."""
    try:
        if key.endswith("-cancel"):
            target = await client.orders.get(key.removesuffix("-cancel"))
            assert target is not None
            return await client.stock.cancel(
                evolve(target, broker_order_id=None) if await client.orders.get(key) else target, client_order_id=key
            )
        place = program.keys.index(key)
        return await client.stock.buy(
            SYMBOL,
            10 + place,
            price=PRICE,
            client_order_id=key,
            resend_within=program.resend_within,
            deadline=program.deadline,
        )
    except (OrderNotAccepted, OutcomeUnknown) as error:
        return f"{type(error).__name__}: {error}"


def violations(broker: Simulator, program: Program, key: str, answers: Sequence[Order | str]) -> tuple[Violation, ...]:
    """Hold what was told of an id against the broker's book, by the checker that knows nothing of the client."""
    target = key.removesuffix("-cancel")
    terms = Terms("stock", "new", SYMBOL, "buy", 10 + program.keys.index(target), PRICE)
    asks = [Ask(target, terms)]
    if key != target:
        asks = [*asks, Ask(key, Terms("stock", "cancel", SYMBOL, "buy"), target=target)]
    told = [_told(key, answer) for answer in answers]
    book = [book_entry(row) for row in broker.all_orders if row.idempotency_key in {target, key}]
    found = check_history(asks, told, book).violations
    # Of the target nothing was asked here; and a shared account leaves an order to the operator.
    return tuple(one for one in found if one.client_order_id == key and (program.is_exclusive or one.invariant != "I7"))


def _told(key: str, answer: Order | str) -> Answer:
    if isinstance(answer, str):
        word = answer.partition(":")[0]
        verdict = {"OrderNotAccepted": Verdict.NOT_ACCEPTED, "OutcomeUnknown": Verdict.UNKNOWN}[word]
        return Answer(key, verdict, detail=answer)
    by = None if answer.resolved_by is None else answer.resolved_by.value
    return Answer(key, Verdict.ACCEPTED, answer.broker_order_id, terms_of(answer), answer.filled_quantity, by)


async def assert_settled(broker: Simulator, folder: Path, program: Program, key: str = "one") -> Order | str:
    """Restart twice and ask three times: the same true answer, and at most one order on the book."""
    answers: list[Order | str] = []
    for times in (2, 1):
        async with client_of(
            broker, folder, timing=evolve(TIMING, connect_timeout=2), account_exclusive=program.is_exclusive
        ) as client:
            answers += [await ask(client, program, key) for _ in range(times)]
            if program.is_exclusive:
                assert key not in [left.client_order_id for left in await client.orders.unresolved()]
    assert answers[1:] == answers[:1] * 2
    assert violations(broker, program, key, answers) == ()
    rows = on_book(broker, key)
    assert len(rows) <= 1
    first = answers[0]
    if isinstance(first, Order):
        assert [row.broker_order_id for row in rows] == [first.broker_order_id]
    elif first.startswith("OrderNotAccepted"):
        assert rows == []
    return first


@frozen
class Script:
    """How a trader gets to a checkpoint.

    Attributes:
        program: Fields of the trader's program.
        requests: Order requests of the id that the broker may have seen in the end, at most.
        is_accepted: What the answer must be; None where the moment of the death leaves it open.
    """

    faults: tuple[Fault, ...] = ()
    program: tuple[tuple[str, Any], ...] = ()
    requests: int = 1
    is_accepted: bool | None = True
    key: str = "one"
    ledger_lag: float = 0.0


DROPPED: Final = (Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10000"),)
LOST: Final = (Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10000"),)
_RESEND: Final = (("resend_within", 60.0), ("has_witnesses", True))

SCRIPTS: Final[dict[Checkpoint, Script]] = {
    Checkpoint.BEFORE_COMMIT: Script(),
    Checkpoint.AFTER_COMMIT_BEFORE_WRITE: Script(requests=0, is_accepted=False),
    Checkpoint.AFTER_WRITE_BEFORE_RESPONSE: Script(is_accepted=None),
    Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT: Script(),
    Checkpoint.AFTER_RESULT_COMMIT: Script(),
    Checkpoint.BEFORE_LEDGER_QUERY: Script(DROPPED),
    Checkpoint.BEFORE_CLAIM_COMMIT: Script(DROPPED),
    Checkpoint.AFTER_CLAIM_COMMIT: Script(DROPPED),
    Checkpoint.DURING_RESEND_DECISION: Script(LOST, _RESEND, requests=2, is_accepted=None),
    Checkpoint.BEFORE_OBLIGATION: Script(
        DROPPED, (("deadline", 0.2), ("cancels", True)), key="one-cancel", ledger_lag=0.4
    ),
    Checkpoint.BEFORE_DAY_CLOSE: Script(DROPPED, (("deadline", 0.3), ("is_exclusive", False)), is_accepted=None),
    Checkpoint.AFTER_DAY_CLOSE: Script(DROPPED, (("deadline", 0.3), ("is_exclusive", False)), is_accepted=None),
}
DAY_CLOSE: Final = {Checkpoint.BEFORE_DAY_CLOSE, Checkpoint.AFTER_DAY_CLOSE}
WITH_A_TEST_OF_ITS_OWN: Final = {
    Checkpoint.BEFORE_COMMIT: "test_killed_before_commit",
    Checkpoint.AFTER_COMMIT_BEFORE_WRITE: "test_killed_after_commit_before_write",
    Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT: "test_killed_after_response_before_result_commit",
    Checkpoint.BEFORE_CLAIM_COMMIT: "test_killed_during_claim_commit",
    Checkpoint.AFTER_CLAIM_COMMIT: "test_killed_during_claim_commit",
    Checkpoint.DURING_RESEND_DECISION: "test_killed_during_resend_decision",
    Checkpoint.DURING_AUTO_CANCEL: "test_killed_during_auto_cancel",
    Checkpoint.BEFORE_DAY_CLOSE: "test_killed_during_day_close",
    Checkpoint.AFTER_DAY_CLOSE: "test_killed_during_day_close",
}


def test_every_checkpoint_has_a_death() -> None:
    """No checkpoint is without a script that reaches it; the deaths below prove that it is reached."""
    # At an automatic cancel two orders are on the book, so its test has a script of its own.
    assert set(SCRIPTS) == set(Checkpoint) - {Checkpoint.DURING_AUTO_CANCEL}
    assert set(WITH_A_TEST_OF_ITS_OWN.values()) <= set(globals())


def named_where_reached(tree: ast.AST) -> set[str]:
    """Name the checkpoints that a module says to have reached."""
    return {
        word.attr
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in ast.walk(call)
        if isinstance(word, ast.Attribute) and isinstance(word.value, ast.Name) and word.value.id == "Checkpoint"
        if "reached" in ast.unparse(call)
    }


def test_every_checkpoint_is_reached() -> None:
    """A checkpoint of the list that no line of the package reaches is a promise that nobody can check."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "kiwoom_async").rglob("*.py")]
    assert {name for tree in trees for name in named_where_reached(tree)} == set(Checkpoint.__members__)
    assert named_where_reached(ast.parse("x = Checkpoint.BEFORE_COMMIT; print(Checkpoint.AFTER_DAY_CLOSE)")) == set()


async def test_killed_before_commit(tmp_path: Path) -> None:
    """Nothing is in the journal and nothing left: the same id is a new order."""
    await die_at(Checkpoint.BEFORE_COMMIT, tmp_path)


async def test_killed_after_commit_before_write(tmp_path: Path) -> None:
    """The permission is in the journal and nothing left: the ledger proves it."""
    await die_at(Checkpoint.AFTER_COMMIT_BEFORE_WRITE, tmp_path)


async def test_killed_after_response_before_result_commit(tmp_path: Path) -> None:
    """The answer was read and is lost: the ledger gives it again."""
    await die_at(Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT, tmp_path)


@pytest.mark.parametrize("checkpoint", [Checkpoint.BEFORE_CLAIM_COMMIT, Checkpoint.AFTER_CLAIM_COMMIT])
async def test_killed_during_claim_commit(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """On either side of the commit; `test_every_commit` and `test_power_loss` stop in the middle of it."""
    await die_at(checkpoint, tmp_path)


async def test_killed_during_resend_decision(tmp_path: Path) -> None:
    """The absence is proven and the new attempt is not permitted yet: it is proven anew, or the order is not there."""
    await die_at(Checkpoint.DURING_RESEND_DECISION, tmp_path)


@pytest.mark.parametrize("checkpoint", sorted(DAY_CLOSE))
async def test_killed_during_day_close(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """An order that its ledger does not decide is listed for the operator, whichever side of the commit was the end."""
    await die_at(checkpoint, tmp_path)


@pytest.mark.parametrize("checkpoint", sorted(set(Checkpoint) - set(WITH_A_TEST_OF_ITS_OWN)))
async def test_killed_at_another_checkpoint(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Killed in the moment of a checkpoint that has no test of its own."""
    await die_at(checkpoint, tmp_path)


async def test_killed_during_auto_cancel(tmp_path: Path) -> None:
    """Killed when a surplus order was about to be cancelled: the next start does it, once."""
    late = Fault(FaultKind.ACCEPT_LATE, seconds=2.0, api_ids="kt10000")
    async with broker_of(late) as broker:
        program = program_of(
            broker,
            tmp_path,
            resend_within=60.0,
            has_witnesses=True,
            cancels_duplicates=True,
            lingers=True,
            signal_at=Checkpoint.DURING_AUTO_CANCEL.value,
        )
        status, told = await run(program)
        assert status == KILLED
        (answer,) = [line for line in told if line["key"] == "one"]
        rows = on_book(broker, "one")
        assert len(rows) == 2
        (surplus,) = [row.broker_order_id for row in rows if row.broker_order_id != answer["number"]]
        for _ in range(2):
            async with client_of(broker, tmp_path, timing=TIMING, cancel_duplicates=True) as client:
                await eventually(lambda: [row.is_working for row in on_book(broker, "one")].count(True) == 1)
                await client.reconcile()
                order = await ask(client, program)
                assert isinstance(order, Order)
                assert order.broker_order_id == answer["number"]
                assert await client.orders.unresolved() == ()
        cancels = [row for row in broker.orders if row.action is Action.CANCEL]
        assert [row.original for row in cancels] == [surplus]
        assert next(row for row in on_book(broker, "one") if row.broker_order_id == surplus).is_working is False


async def die_at(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Killed in the moment of a checkpoint: restart, same id, at most one order, the right and lasting answer."""
    script = SCRIPTS[checkpoint]
    async with broker_of(*script.faults, ledger_lag=script.ledger_lag) as broker:
        program = program_of(broker, tmp_path, **dict(script.program))
        if checkpoint in DAY_CLOSE:
            assert (await run(program))[0] == 0
            assert isinstance(broker.ambient, Hands)
            broker.ambient.live_through_the_night()
            program = evolve(
                program,
                offset=broker.ambient.offset.total_seconds(),
                elapsed=broker.ambient.elapsed,
                closes_day=True,
            )
        status, _ = await run(evolve(program, signal_at=checkpoint.value))
        assert status == KILLED, f"{checkpoint} was not reached"
        assert len(on_book(broker, script.key)) <= 1
        answer = await assert_settled(broker, tmp_path, evolve(program, deadline=None), script.key)
        if script.is_accepted is not None:
            assert isinstance(answer, Order) is script.is_accepted
        if checkpoint in DAY_CLOSE:
            assert isinstance(answer, str)
            assert answer.startswith("OutcomeUnknown")
            assert len(on_book(broker, "one")) == 1
        assert len(orders_received(broker, script.key)) <= script.requests


async def test_killed_mid_write(tmp_path: Path) -> None:
    """Killed with half of the request on the wire: nothing is on the book, and the next start proves it."""
    async with broker_of() as broker:
        program = program_of(broker, tmp_path)
        status, _ = await run(evolve(program, signal_at="mid_write"))
        assert status == KILLED
        answer = await assert_settled(broker, tmp_path, program)
        assert isinstance(answer, str)
        assert orders_received(broker) == []


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_killed_after_write_before_response(tmp_path: Path, *, is_accepted: bool) -> None:
    """Killed when the broker has the whole request and has not answered: the ledger decides."""
    async with broker_of(Fault(FaultKind.HANG, accepted=is_accepted)) as broker:
        program = program_of(broker, tmp_path)
        async with started(program) as process:
            await eventually(lambda: len(orders_received(broker)) == 1)
            process.kill()
            assert (await finished(process))[0] == KILLED
        answer = await assert_settled(broker, tmp_path, program)
        assert isinstance(answer, Order) is is_accepted
        assert len(orders_received(broker)) == 1


async def test_killed_while_many_are_in_flight(tmp_path: Path) -> None:
    """Killed with twenty orders in all stages: each is on the book at most once, and each answer is true."""
    keys = tuple(f"n{number}" for number in range(20))
    faults = [Fault(FaultKind.DELAY_ANSWER, seconds=0.01 * number) for number in range(20)]
    async with broker_of(*faults) as broker:
        program = program_of(broker, tmp_path, keys=keys)
        async with started(program) as process:
            await eventually(lambda: len(orders_received(broker)) >= 10)
            process.kill()
            await finished(process)
        for key in keys:
            await assert_settled(broker, tmp_path, program, key)
            assert len(orders_received(broker, key)) <= 1


@pytest.mark.parametrize("round_", range(3))
async def test_two_processes_same_key_one_post(tmp_path: Path, round_: int) -> None:
    """Two processes place the same eight ids at the same moment: one request each, and the same answer in both."""
    keys = tuple(f"{round_}-{number}" for number in range(8))
    async with broker_of() as broker:
        program = program_of(broker, tmp_path, keys=keys, waits=True)
        async with started(program) as one, started(program) as two:
            for process in (one, two):
                await heard(process, "ready")
            for process in (one, two):
                await go(process)
            (_, first), (_, second) = await asyncio.gather(finished(one), finished(two))
        assert first == second
        assert [line["error"] for line in first] == [None] * len(keys)
        for line in first:
            assert [row.broker_order_id for row in on_book(broker, line["key"])] == [line["number"]]
            assert len(orders_received(broker, line["key"])) == 1


async def test_two_processes_one_dies_the_other_settles(tmp_path: Path) -> None:
    """While one process lives, another one's death is noticed, and its order is settled without a restart."""
    async with broker_of(*DROPPED) as broker, client_of(broker, tmp_path, timing=TIMING) as client:
        program = program_of(broker, tmp_path)
        status, _ = await run(evolve(program, signal_at=Checkpoint.BEFORE_LEDGER_QUERY.value))
        assert status == KILLED
        report = await client.reconcile()
        order = await ask(client, program)
        assert isinstance(order, Order)
        assert [row.broker_order_id for row in on_book(broker, "one")] == [order.broker_order_id]
        assert report.alarms == ()
        assert len(orders_received(broker)) == 1


def write_until(folder: Path) -> float:
    """Read until when the first byte of the only attempt may leave."""
    return float(value_of(folder / "orders.db", "SELECT write_until FROM attempts"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("is_given_up", [False, True])
async def test_zombie_sender_paused_then_writes_after_lease_lost(tmp_path: Path, *, is_given_up: bool) -> None:
    """A sender that sleeps between commit and write past its time sends nothing, whatever was concluded meanwhile."""
    hands = Hands()
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path, timing=TIMING) as client:
        program = program_of(
            broker, tmp_path, signal_at=Checkpoint.AFTER_COMMIT_BEFORE_WRITE.value, signal_name="SIGSTOP"
        )
        async with started(program) as zombie:
            await eventually(lambda: is_stopped(zombie), within=PATIENCE)
            verdict = await ask(client, program) if is_given_up else ""
            limit = write_until(tmp_path)
            await eventually(lambda: hands.monotonic() > limit)
            zombie.send_signal(signal.SIGCONT)
            status, answers = await finished(zombie)
        assert status == 0
        assert orders_received(broker) == []
        if is_given_up:
            assert [f"{line['error']}: {line['text']}" for line in answers] == [verdict]
            assert await ask(client, program) == verdict
        else:
            assert [line["error"] for line in answers] == [NotSent.__name__]
            order = await client.stock.buy(SYMBOL, 10, price=PRICE, client_order_id="one")
            assert [row.broker_order_id for row in on_book(broker, "one")] == [order.broker_order_id]


async def test_cancel_owed_by_a_dead_process_is_sent_once(tmp_path: Path) -> None:
    """An obligation that its process could not fulfil is the next one's: the order is cancelled, once, unasked."""
    script = SCRIPTS[Checkpoint.BEFORE_OBLIGATION]
    async with broker_of(*script.faults, ledger_lag=script.ledger_lag) as broker:
        program = program_of(broker, tmp_path, **dict(script.program))
        status, _ = await run(evolve(program, signal_at=Checkpoint.BEFORE_OBLIGATION.value))
        assert status == KILLED
        async with client_of(broker, tmp_path, timing=TIMING):
            await eventually(lambda: len(on_book(broker, "one-cancel")) == 1)
        assert [row.action for row in broker.orders] == [Action.NEW, Action.CANCEL]
        assert broker.orders[0].leaves_quantity == 0
