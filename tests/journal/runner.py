"""A process of its own that uses a journal: run with the path, an order id and what to do."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kiwoom_async import LimitExceeded, OrderLimits
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched
from tests.journal.builders import ACCOUNT, FixedAmbient, acknowledged, plan

ROUNDS = 50
SLOTS = OrderLimits(orders_per_day=ROUNDS + 7)


def say(text: str) -> None:
    """Tell the test."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def dispatch_and_hold(path: Path, name: str) -> None:
    """Get one permission, say so, and wait for the end."""
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        await journal.dispatch(plan(name, runner=journal.runner))
        say(journal.runner)
        await asyncio.to_thread(sys.stdin.read)


async def race_for_ids(path: Path, name: str) -> None:
    """Ask for permission for the same ids as the other process."""
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(ROUNDS):
            permission = await journal.dispatch(plan(f"{name}-{number}", runner=journal.runner))
            say("sent" if isinstance(permission, Dispatched) else "known")


async def race_for_claims(path: Path, name: str) -> None:
    """Claim the same order numbers as the other process, for attempts of its own."""
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        attempts = []
        for number in range(ROUNDS):
            permission = await journal.dispatch(plan(f"{name}-{number}", runner=journal.runner))
            assert isinstance(permission, Dispatched)
            attempts.append(permission.attempt)
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        for number, attempt in enumerate(attempts, start=1):
            conclusion = await journal.conclude(attempt, acknowledged(f"{number:07d}"))
            say("refused" if conclusion.contradiction else "claimed")


async def race_for_slots(path: Path, name: str) -> None:
    """Ask for the same few slots of the day as the other process, with ids of its own."""
    async with Journal(path, FixedAmbient(), ACCOUNT) as journal:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(ROUNDS):
            made = plan(f"{name}-{number}", runner=journal.runner, waits_for_twins=False, terms=Terms(SLOTS))
            try:
                await journal.dispatch(made)
            except LimitExceeded:
                say("full")
            else:
                say("sent")


if __name__ == "__main__":
    tasks = {"hold": dispatch_and_hold, "ids": race_for_ids, "claims": race_for_claims, "slots": race_for_slots}
    asyncio.run(tasks[sys.argv[3]](Path(sys.argv[1]), sys.argv[2]))
