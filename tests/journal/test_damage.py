"""A journal whose bytes were changed: it gives the right answers, or it says that it is damaged.

A bit that turns one time, or one number of fills, into another is not noticed: SQLite keeps no checksums of the file
itself, and nothing else says the same. So what is compared where single bytes were changed is what a caller is told of
an order, and whether it may be sent.

The suite damages some hundred places; `KIWOOM_ASYNC_THOROUGH=1` thousands.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Known
from kiwoom_async._journal.records import OrderRecord
from kiwoom_async._journal.store import Access
from kiwoom_async.errors import ClientOrderIdConflict, JournalError
from tests.journal.builders import ACCOUNT, DAY, dispatched, plan
from tests.journal.faulty_vfs import FaultyVFS
from tests.journal.test_power_loss import AMBIENT, STEPS, read_content

TRIALS: Final = 3000 if os.environ.get("KIWOOM_ASYNC_THOROUGH") else 60
NAMES: Final = ("order-1", "order-2", "order-3", "cancel-1")
PAGE: Final = 4096

Damage = Callable[[bytearray, Random], None]


def flip_a_bit(content: bytearray, chance: Random) -> None:
    """Change one bit."""
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def overwrite(content: bytearray, chance: Random) -> None:
    """Write nonsense over a part."""
    start = chance.randrange(len(content))
    for place in range(start, min(len(content), start + chance.randrange(1, 600))):
        content[place] = chance.randrange(256)


def zero_a_page(content: bytearray, chance: Random) -> None:
    """Let a page be empty."""
    start = chance.randrange(len(content)) // PAGE * PAGE
    content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))


def swap_pages(content: bytearray, chance: Random) -> None:
    """Let two pages lie in each other's place."""
    one, two = (chance.randrange(len(content) // PAGE) * PAGE for _ in range(2))
    content[one : one + PAGE], content[two : two + PAGE] = content[two : two + PAGE], content[one : one + PAGE]


def truncate(content: bytearray, chance: Random) -> None:
    """Cut the end off."""
    del content[chance.randrange(len(content)) :]


DAMAGES: Final = (flip_a_bit, overwrite, zero_a_page, swap_pages, truncate)


async def make_journal(folder: Path) -> Mapping[str, bytes]:
    """Give the files of a journal: the first orders in the file itself, the later ones in its log alone."""
    vfs = FaultyVFS()
    vfs.is_volatile = True
    path = folder / "whole.db"
    async with Journal(path, AMBIENT, ACCOUNT, access=Access(vfs.vfs_name), seals=folder / "seals") as journal:
        for step in STEPS:
            await step(journal)
        for number in range(40):
            await dispatched(journal, f"many-{number}", waits_for_twins=False)
    async with Journal(path, AMBIENT, ACCOUNT, access=Access(vfs.vfs_name), seals=folder / "seals") as journal:
        await dispatched(journal, "in the log", waits_for_twins=False)
        return {name: (folder / f"whole.db{name}").read_bytes() for name in ("", "-wal")}


async def read_all(journal: Journal) -> dict[str, Any]:
    """Read what strategies and the recovery read."""
    found: dict[str, Any] = {}
    for name in (*NAMES, "in the log", "many-7"):
        found[name] = await journal.find(name)
        found[f"history of {name}"] = await journal.history(name)
    found["open"] = await journal.open_attempts()
    found["watched"] = await journal.watched_attempts(DAY)
    found["working"] = await journal.working_orders()
    found["events"] = await journal.order_events(0, limit=1000)
    found["switch"] = await journal.kill_switch()
    found["totals"] = await journal.day_totals(DAY)
    return found


def answers_in(found: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of what was read the orders, as they were asked for and as they ended."""
    records = {name: record for name, record in found.items() if isinstance(record, OrderRecord)}
    return {
        name: (
            record.intent.request,
            record.answered_by,
            [(attempt.number, attempt.request, attempt.state, attempt.broker_order_id) for attempt in record.attempts],
            [(claim.attempt, claim.broker_order_id) for claim in record.claims],
        )
        for name, record in records.items()
    }


async def use(path: Path, folder: Path) -> dict[str, Any]:
    """Open a journal, read it, and ask whether orders that it knows may be sent."""
    vfs = FaultyVFS()
    vfs.is_volatile = True
    async with Journal(path, AMBIENT, ACCOUNT, access=Access(vfs.vfs_name), seals=folder / "seals") as journal:
        found = await read_all(journal)
        for name in (*NAMES[:3], "in the log", "many-7"):
            try:
                permission = await journal.dispatch(plan(name))
            except ClientOrderIdConflict:
                continue  # nothing is sent; that its request reads differently shows below
            assert isinstance(permission, Known), f"{name} would be sent again"
        await journal._read(read_content)
    return found


@pytest.mark.parametrize("part", ["", "-wal"], ids=["file", "log"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_torn_corrupt_journal_fails_closed(tmp_path: Path, damage: Damage, part: str) -> None:
    """Bits, pages and ends that are not as they were: the same answers, or a `JournalError`. Never a send."""
    files = await make_journal(tmp_path)
    (tmp_path / "right").mkdir()
    for name, content in files.items():
        (tmp_path / "right" / f"orders.db{name}").write_bytes(content)
    right = await use(tmp_path / "right" / "orders.db", tmp_path)
    told: Counter[str] = Counter()
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        folder.mkdir()
        chance = Random(f"{damage.__name__}{part}{trial}")  # noqa: S311 - a test that fails must fail again
        for name, content in files.items():
            changed = bytearray(content)
            if name == part:
                damage(changed, chance)
            (folder / f"orders.db{name}").write_bytes(changed)
        try:
            found = await use(folder / "orders.db", tmp_path)
        except JournalError as error:
            told[type(error).__name__] += 1
        else:
            told["right"] += 1
            is_within_values = damage in {flip_a_bit, overwrite} and not part
            of = answers_in if is_within_values else dict
            assert of(found) == of(right), f"{damage.__name__} {part} {trial}"
    assert told.total() == TRIALS
