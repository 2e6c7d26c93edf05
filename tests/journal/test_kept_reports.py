"""What the feed has told of numbers that nobody has: found where it is meant, and never of another account."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._journal.claims import find_successor, find_surprise, has_kept_change
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import to_json
from tests.journal.builders import ACCOUNT, DAY, TOMORROW, FixedAmbient, dispatched, report

PLACE = (ACCOUNT, "stock", DAY.isoformat())
ELSEWHERE = ("key-somebody-else", "stock", DAY.isoformat())


async def keep(
    journal: Journal, *reports: OrderReport, place: tuple[str, str, str] = PLACE, takes_from: str | None = None
) -> None:
    """Write reports as they are kept."""
    rows = [(*place, n, one.broker_order_id, takes_from, to_json(one)) for n, one in enumerate(reports, start=1)]
    await journal._write(
        lambda connection: connection.executemany("INSERT INTO kept_reports VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    )


@pytest.mark.parametrize(("place", "successor"), [(PLACE, "0000300"), (ELSEWHERE, None)])
async def test_modify_that_took_the_rest_of_an_order(
    tmp_path: Path, place: tuple[str, str, str], successor: str | None
) -> None:
    """The first one that was reported, on this account and for this number."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await keep(journal, report(number="0000300"), report(number="0000301"), place=place, takes_from="0000101")
        await keep(journal, report(number="0000200"), place=(ACCOUNT, "gold", DAY.isoformat()), takes_from="0000102")
        found = await journal._write(lambda connection: find_successor(connection, PLACE, "0000101"))
        assert found == successor


@pytest.mark.parametrize(("place", "is_told"), [(PLACE, True), (ELSEWHERE, False)])
async def test_change_of_an_order_under_a_number_of_nobody(
    tmp_path: Path, place: tuple[str, str, str], *, is_told: bool
) -> None:
    """A report of another order, or about another account, is none."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        await keep(journal, report(number="0000300", original="0000101"), place=place)
        assert await journal._write(lambda connection: has_kept_change(connection, PLACE, "0000101")) is is_told
        assert not await journal._write(lambda connection: has_kept_change(connection, PLACE, "0000102"))


async def test_order_that_a_proof_has_not_considered(tmp_path: Path) -> None:
    """One that came after the send and may be its order; not one below the mark, of the other side, or considered."""
    async with Journal(tmp_path / "orders.db", FixedAmbient(), ACCOUNT) as journal:
        sent = evolve(await dispatched(journal), mark=100)
        older, other = report(number="0000100"), report(number="0000102", quantity=99)
        await keep(journal, older, other, report(number="0000103"), report(number="0000104"))
        considered: set[tuple[object, str]] = set()
        for number in ("0000103", "0000104"):
            found = await journal._write(lambda connection: find_surprise(connection, sent, considered))  # type: ignore[arg-type]
            assert found == number
            considered.add((DAY, number))
        assert await journal._write(lambda connection: find_surprise(connection, sent, considered)) is None  # type: ignore[arg-type]
        # A mark says nothing about another day's numbers.
        await keep(journal, report(number="0000050", day=TOMORROW), place=(ACCOUNT, "stock", TOMORROW.isoformat()))
        found = await journal._write(lambda connection: find_surprise(connection, sent, considered))  # type: ignore[arg-type]
        assert found == "0000050"
