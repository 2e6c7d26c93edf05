"""Settling an order by hand from the command line, audited and reversible."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kiwoom_async._cli.main import main
from kiwoom_async._domain.settings import KST
from tests.cli.test_journal import hanging
from tests.scenarios.trading import Hands, client_of, left_open


async def leave_unknown(folder: Path) -> tuple[str, str]:
    """Close a client while an order hangs; give the journal and the order's number on the book."""
    async with hanging() as broker:
        async with client_of(broker, folder) as client:
            await left_open(
                lambda: client.stock.buy("005930", 10, price=70_000, client_order_id="open-1", deadline=0.05)
            )
        return str(folder / "orders.db"), broker.orders[0].broker_order_id


def resolve(*arguments: str) -> int:
    """Run the command."""
    return main(["resolve", *arguments])


def states(path: str, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Read the history of the order."""
    capsys.readouterr()
    assert main(["journal", path, "open-1", "--json"]) == 0
    return [(event["event"], event["state"]) for event in json.loads(capsys.readouterr().out)["history"]]


async def test_resolve_key_as_is_audited_and_reversible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A verdict, its reversal and the next verdict all stand in the history with their reasons."""
    path, number = await leave_unknown(tmp_path)

    def play() -> None:
        assert states(path, capsys)[-1] == ("lost", "unknown")
        assert resolve(path, "--key", "open-1", "--not-accepted", "--reason", "not on the screen") == 0
        assert "not_accepted" in capsys.readouterr().out
        assert resolve(path, "--key", "open-1", "--take-back", "--reason", "wrong account looked at") == 0
        assert "unknown" in capsys.readouterr().out
        assert resolve(path, "--key", "open-1", "--as", number, "--reason", "seen on the screen") == 0
        assert number in capsys.readouterr().out
        assert states(path, capsys)[-3:] == [
            ("proven_absent", "not_accepted"),
            ("withdrawn", "unknown"),
            ("acknowledged", "acknowledged"),
        ]

    await asyncio.to_thread(play)


async def test_what_cannot_be_settled_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown id, a verdict that was never given, a number that is none, a file that is not there."""
    path, _ = await leave_unknown(tmp_path)

    def play() -> None:
        for arguments, text in (
            (("--key", "nobody", "--not-accepted", "--reason", "x"), "unresolved order"),
            (("--key", "open-1", "--take-back", "--reason", "x"), "settled by hand"),
            (("--key", "open-1", "--as", "seven", "--reason", "x"), "accepted_as"),
            (("--key", "open-1", "--not-accepted", "--reason", " "), "reason"),
            (("--key", "open-1", "--not-accepted", "--reason", "x", "--day", "2026-03-04"), "day"),
            (("--key", "open-1", "--as", "7", "--reason", "x", "--day", "2001-03-04"), "or a later day"),
        ):
            assert resolve(path, *arguments) == 1
            assert text in capsys.readouterr().err
        with pytest.raises(SystemExit) as usage:
            resolve(path, "--key", "open-1", "--as", "7", "--reason", "x", "--day", "yesterday")
        assert usage.value.code == 2
        assert resolve(str(tmp_path / "none.db"), "--key", "x", "--not-accepted", "--reason", "x") == 1
        assert not (tmp_path / "none.db").exists()

    await asyncio.to_thread(play)


async def test_reason_of_another_encoding_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal in EUC-KR hands in what is no UTF-8: kept as it can be, and the journal is not called damaged."""
    path, _ = await leave_unknown(tmp_path)
    told = b"\xc8\xad\xb8\xe9".decode("utf-8", "surrogateescape")

    def play() -> None:
        assert resolve(path, "--key", "open-1", "--not-accepted", "--reason", told) == 0
        assert resolve(path, "--key", "open-1", "--take-back", "--reason", told) == 0
        assert states(path, capsys)[-1] == ("withdrawn", "unknown")
        assert main(["journal", path, "open-1"]) == 0
        assert "udcb8" in capsys.readouterr().out
        assert resolve(path, "--key", told, "--not-accepted", "--reason", "x") == 1
        assert "unresolved order" in capsys.readouterr().err

    await asyncio.to_thread(play)


async def test_number_needs_its_day_where_another_list_may_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent on a Friday evening some weeks ago: the number may be of any day up to Monday."""
    now = datetime.now(KST)
    friday = (now - timedelta(days=14 + (now.weekday() - 4) % 7)).replace(hour=21)
    hands = Hands(offset=friday - now)
    async with hanging(ambient=hands) as broker:
        async with client_of(broker, tmp_path) as client:
            await left_open(
                lambda: client.stock.buy("005930", 10, price=70_000, client_order_id="open-1", deadline=0.05)
            )
        number = broker.orders[0].broker_order_id
    path = str(tmp_path / "orders.db")

    def play() -> None:
        arguments = (path, "--key", "open-1", "--as", number, "--reason", "seen on the screen")
        assert resolve(*arguments) == 1
        assert "numbers begin anew every day" in capsys.readouterr().err
        assert resolve(*arguments, "--day", f"{friday:%Y-%m-%d}") == 0

    await asyncio.to_thread(play)
