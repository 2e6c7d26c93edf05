"""The demonstration as a user runs it: a process, its output, its exit status, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async._audit import Answer, Ask, Terms, Verdict
from kiwoom_async._cli.demo_answers import AnswerReader, AnswerWriter, Phase
from kiwoom_async._cli.demo_plan import make_plan
from kiwoom_async._cli.demo_trial import Settings, fault_plan, trading_hours
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk
from kiwoom_async._proof.steps import Manner
from kiwoom_async.simulator import ORDER_FAULTS, QUERY_FAULTS

ROOT = Path(__file__).parents[2]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the console script with a folder of its own for temporary files."""
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-m", "kiwoom_async", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=folder,
    )


def test_a_small_demonstration_ends_well_and_says_so_in_json(tmp_path: Path) -> None:
    """Nothing doubled, lost, wrong or unknown at the broker; the naive client shows that the faults were real."""
    with start(tmp_path, "--orders", "40", "--kills", "1", "--seed", "7", "--json") as process:
        output, progress = process.communicate(timeout=100)
    result: dict[str, Any] = json.loads(output)
    ours, naive = result["clients"]["kiwoom-async"], result["clients"]["naive client"]
    assert process.returncode == 0, (ours["violations"], ours["client_faults"], progress)
    assert result["settings"] == {"seed": 7, "orders": 40, "strategies": 8, "kills": 1}
    assert {name: ours[name] for name in ("doubled", "lost", "wrong", "unknown", "errors", "failed")} == dict.fromkeys(
        ("doubled", "lost", "wrong", "unknown", "errors", "failed"), 0
    )
    assert ours["is_clean"]
    assert not naive["is_clean"]
    assert naive["doubled"] + naive["lost"] + naive["wrong"] > 0
    assert ours["asked"] == ours["accepted"] + ours["refused"] + ours["not_accepted"] + ours["not_sent"]
    assert ours["kills"] == naive["kills"] == 1
    assert ours["faults"] == sum(ours["faults_by_kind"].values()) > 0
    assert ours["ledger_queries"] > 0
    assert "kiwoom-async" in progress
    assert "\r" not in progress
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to another process")
def test_an_interrupted_demonstration_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C: a fixed exit status, no temporary folder, no process."""
    with start(tmp_path, "--orders", "500") as process:
        assert process.stderr is not None
        while "trading" not in process.stderr.readline():
            assert process.poll() is None
        children = [int(line) for line in _children(process.pid)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert not [child for child in children if _is_alive(child)]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
def test_the_trading_process_does_not_outlive_the_demonstration(tmp_path: Path) -> None:
    """Even if the demonstration itself is killed, nobody goes on trading."""
    with start(tmp_path, "--orders", "500") as process:
        assert process.stderr is not None
        while "trading" not in process.stderr.readline():
            assert process.poll() is None
        children = [int(line) for line in _children(process.pid)]
        assert children
        process.kill()
    limit = time.monotonic() + 10
    while any(map(_is_alive, children)):
        assert time.monotonic() < limit
        time.sleep(0.05)


def _children(pid: int) -> list[str]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return listing.read_text().split() if listing.exists() else []


def _is_alive(pid: int) -> bool:
    try:
        # A zombie that nobody has collected yet is dead for our purposes.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_plan_depends_on_its_seed_alone() -> None:
    """A restarted process wants the same under the same ids."""
    assert make_plan(3, 200, 8) == make_plan(3, 200, 8)
    assert make_plan(3, 200, 8) != make_plan(4, 200, 8)


def test_the_plan_has_everything_in_it() -> None:
    """Both desks, every verb, every manner, twins; and exactly as many orders as asked for."""
    steps = [step for chains in make_plan(1, 300, 8) for chain in chains for step in chain]
    assert len(steps) == len({step.client_order_id for step in steps}) == 300
    assert {step.desk for step in steps} == {Desk.STOCK, Desk.GOLD}
    assert {step.action for step in steps} == set(Action)
    assert {step.manner for step in steps} == set(Manner)
    assert any(step.resend_within for step in steps)
    assert any(step.is_blind for step in steps)
    new = [(step.symbol, step.side, step.quantity, step.price, step.route) for step in steps if step.side]
    assert len(set(new)) < len(new)


def test_every_fault_of_the_simulator_can_strike() -> None:
    """Of orders and of queries."""
    rates = fault_plan(Settings(1, 200, 8, 3)).rates
    assert all(rates[kind] > 0 for kind in (*ORDER_FAULTS, *QUERY_FAULTS))


@pytest.mark.parametrize("day", range(1, 8))
@pytest.mark.parametrize("hour", [0, 9, 23])
def test_it_is_always_ten_in_the_morning_of_a_weekday(day: int, hour: int) -> None:
    """Midnight and weekends must not break a demonstration."""
    from datetime import datetime  # noqa: PLC0415 - the name is used nowhere else

    now = datetime(2026, 11, day, hour, 59, tzinfo=KST)
    then = now + trading_hours(now)
    assert (then.hour, then.minute) == (10, 0)
    assert then.weekday() < 5


async def test_answers_survive_a_torn_line(tmp_path: Path) -> None:
    """A process that is killed while it writes spoils its own line and no other."""
    path = tmp_path / "answers.jsonl"
    ask = Ask("a", Terms("stock", "new", "005930", "buy", 1, 70_000))
    answer = Answer("a", Verdict.ACCEPTED, "0000001", ask.terms, resolved_by="response")
    async with AnswerWriter(path) as writer:
        await writer.write(Phase("trading"))
        await writer.write(ask)
    with path.open("ab") as file:
        file.write(b'{"entry":"told","client_order')
    reader = AnswerReader(path)
    assert reader.read() == [Phase("trading"), ask]
    async with AnswerWriter(path) as writer:
        await writer.write(answer)
    assert reader.read() == [answer]
    assert reader.entries == [Phase("trading"), ask, answer]
