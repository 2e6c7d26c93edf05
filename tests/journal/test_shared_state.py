"""The file that the processes of one key share: private, together, and gone without where it cannot be used."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from kiwoom_async._domain.budgets import LESSON_LASTS, LOWEST_RATE, MARGIN, News, Rank, RequestClass, Waiter
from kiwoom_async._domain.settings import KST, Limits
from kiwoom_async._domain.sharing import SharedStateUnusable, Token, TokenRecord
from kiwoom_async._journal import shared_state
from kiwoom_async._journal.shared_state import SharedState, default_path
from tests.transport.clocks import Clock

TOKEN = Token("secret-token-1", datetime(2026, 11, 3, 9, tzinfo=KST))
OTHER = Token("secret-token-2", datetime(2026, 11, 4, 9, tzinfo=KST))


def state_of(folder: Path, key: str = "key-1", clock: Clock | None = None, **options: Any) -> SharedState:
    """Make one process's view of the file of a folder."""
    return SharedState(folder / "state" / "shared.db", key, clock or Clock(), **options)


def asking(owner: str, count: int) -> News:
    """Ask for some orders."""
    return News(
        owner,
        tuple(Waiter(owner, number, "kt10000", RequestClass.ORDERS, Rank.USUAL, 100.0) for number in range(count)),
    )


async def test_token_is_read_by_the_others(tmp_path: Path) -> None:
    """What one has written, the other reads; per key; as Korean time."""
    async with state_of(tmp_path) as one, state_of(tmp_path) as other, state_of(tmp_path, "key-2") as stranger:
        assert await one.load() == TokenRecord()
        await one.save(TokenRecord(TOKEN, 100.0, 2))
        assert await other.load() == TokenRecord(TOKEN, 100.0, 2)
        assert await stranger.load() == TokenRecord()
    async with state_of(tmp_path) as later:
        assert (await later.load()).token == TOKEN


async def test_attempts_of_another_boot_are_no_news(tmp_path: Path) -> None:
    """Its monotonic seconds mean nothing here; its token is as good as ever."""
    async with state_of(tmp_path) as one:
        await one.save(TokenRecord(TOKEN, 100.0, 2))
        await one.look(Limits(orders_per_second=1), asking("a", 1))
    clock = Clock()
    clock.boot_id = "another"
    async with state_of(tmp_path, clock=clock) as other:
        assert await other.load() == TokenRecord(TOKEN, None, 2)
        assert (await other.look(Limits(orders_per_second=1), asking("b", 1))).begun == {0}


async def test_only_the_very_token_is_forgotten(tmp_path: Path) -> None:
    """A newer one of another process stays."""
    async with state_of(tmp_path) as state:
        await state.save(TokenRecord(OTHER))
        await state.forget(TOKEN)
        assert (await state.load()).token == OTHER
        await state.forget(OTHER)
        assert (await state.load()).token is None
    assert b"secret-token" not in state.path.read_bytes()


async def test_budgets_are_counted_together(tmp_path: Path) -> None:
    """Three at once, of ten processes: five begin, whoever they are."""
    states = [state_of(tmp_path) for _ in range(3)]
    for state in states:
        await state.__aenter__()
    sights = await asyncio.gather(*(state.look(Limits(), asking(f"owner-{at}", 3)) for at, state in enumerate(states)))
    assert sum(len(sight.begun) for sight in sights) == 5
    for state in states:
        await state.__aexit__()


async def test_budgets_are_per_key(tmp_path: Path) -> None:
    """Another key is another account, as far as anybody knows."""
    async with state_of(tmp_path) as one, state_of(tmp_path, "key-2") as other:
        for state in (one, other):
            assert len((await state.look(Limits(), asking("a", 9))).begun) == 5


@pytest.mark.skipif(os.name != "posix", reason="modes")
async def test_file_and_folder_are_private(tmp_path: Path) -> None:
    """0600 in 0700, whatever the umask; an open file is closed to the others."""
    before = os.umask(0)
    try:
        async with state_of(tmp_path) as state:
            await state.save(TokenRecord(TOKEN))
            async with state.issuing():
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.path.parent.iterdir()}
            assert stat.S_IMODE(state.path.parent.stat().st_mode) == 0o700
            assert set(modes.values()) == {0o600}
            state.path.chmod(0o644)
        async with state_of(tmp_path):
            assert stat.S_IMODE(state.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_one_issues_at_a_time(tmp_path: Path) -> None:
    """The other waits until the first has left, also when that fails."""
    order: list[str] = []
    async with state_of(tmp_path) as one, state_of(tmp_path) as other:
        entered = asyncio.Event()

        async def first() -> None:
            async with one.issuing():
                entered.set()
                await asyncio.sleep(0.1)
                order.append("first")
                raise RuntimeError("no network")

        async def second() -> None:
            await entered.wait()
            async with other.issuing():
                order.append("second")

        results = await asyncio.gather(first(), second(), return_exceptions=True)
    assert order == ["first", "second"]
    assert isinstance(results[0], RuntimeError)


async def test_cancelled_wait_for_the_lock_leaves_nothing(tmp_path: Path) -> None:
    """Neither the one who waits nor the next one holds it afterwards."""
    async with state_of(tmp_path) as one, state_of(tmp_path) as other, state_of(tmp_path) as third:

        async def wait() -> None:
            async with other.issuing():
                pytest.fail("it is taken")

        async with one.issuing():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.12)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(10), third.issuing():
            pass


async def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The operating system lets go for it."""
    async with state_of(tmp_path) as state:
        program = (
            "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire();"
            "print('held', flush=True); time.sleep(600)"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(state._issue_lock.lock_file), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        assert not await state._run(state._try_issue_lock)
        process.kill()
        await process.wait()
        async with asyncio.timeout(10), state.issuing():
            pass


async def test_lock_of_a_process_that_stands_still_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two tokens harm nobody."""
    monkeypatch.setattr(shared_state, "ISSUE_PATIENCE", -1.0)
    async with state_of(tmp_path) as one, state_of(tmp_path) as other, one.issuing(), other.issuing():
        assert "goes ahead" in caplog.text


def damage(path: Path) -> None:
    """Write something that is no database."""
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)


def of_another_program(path: Path) -> None:
    """Write a database of somebody else."""
    path.parent.mkdir()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE things (name)")
    connection.close()


def of_another_release(path: Path) -> None:
    """Write a database with a schema that we do not know."""
    path.parent.mkdir()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE things (name)")
    connection.pragma("application_id", shared_state.APPLICATION_ID)
    connection.pragma("user_version", 99)
    connection.close()


def a_folder(path: Path) -> None:
    """Make a folder of that name."""
    path.mkdir(parents=True)


def in_a_file(path: Path) -> None:
    """Let its folder be a file."""
    path.parent.write_text("a file")


@pytest.mark.parametrize(
    ("prepare", "advice"),
    [
        (damage, "delete it"),
        (of_another_program, "another program"),
        (of_another_release, "another release"),
        (a_folder, "is a folder"),
        (in_a_file, "check the rights"),
    ],
)
async def test_unusable_file_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prepare: Callable[[Path], None], advice: str
) -> None:
    """One warning that says what to do; nothing of another program is touched."""
    state = state_of(tmp_path)
    prepare(state.path)
    content = state.path.read_bytes() if state.path.is_file() else b""
    with pytest.raises(SharedStateUnusable, match=advice):
        await state.__aenter__()
    with pytest.raises(SharedStateUnusable):
        await state.load()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "shared_state=" in caplog.text
    assert (state.path.read_bytes() if state.path.is_file() else b"") == content
    await state.__aexit__()


async def test_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks cannot be trusted."""
    monkeypatch.setattr(shared_state, "network_file_system", lambda _: "nfs4")
    with pytest.raises(SharedStateUnusable, match="nfs4"):
        await state_of(tmp_path).__aenter__()


@pytest.mark.skipif(os.name != "posix", reason="owners")
async def test_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever put it there could read the token."""
    async with state_of(tmp_path):
        pass
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(SharedStateUnusable, match="another user"):
        await state_of(tmp_path).__aenter__()


async def test_lock_of_another_program_costs_a_moment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It fails, with a warning, and works again when the other one has gone."""
    async with state_of(tmp_path, locked_after=0.05) as state:
        connection = apsw.Connection(str(state.path))
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SharedStateUnusable, match="locked"):
            await state.look(Limits(), asking("a", 1))
        connection.execute("ROLLBACK")
        connection.close()
        assert (await state.look(Limits(), asking("a", 1))).begun == {0}
    assert len(caplog.records) == 1


def lesson(rate: float, *, until: float = 1e15) -> str:
    """Write budgets with one lesson about orders."""
    lessons = [{"scope": "orders", "rate": rate, "since": 0.0, "until": until}]
    return json.dumps({"starts": [], "waiting": [], "looked": {}, "lessons": lessons})


def execute(state: SharedState, sql: str, *values: object) -> None:
    """Do something to the file behind the back of those who have it open."""
    connection = apsw.Connection(str(state.path))
    connection.execute(sql, values)
    connection.close()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "5",
        '{"starts": 5}',
        '{"lessons": [{}]}',
        '{"looked": {"a": "b"}}',
        "[" * 100_000,
        lesson(float("inf")),
    ],
)
async def test_damaged_budgets_are_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str) -> None:
    """Valid SQLite that holds nonsense is told once and costs a second of accuracy; nothing stops."""
    limits = Limits(orders_per_second=None, per_tr_per_second=None)
    async with state_of(tmp_path) as state:
        await state.look(limits, asking("a", 1))
        execute(state, "UPDATE budgets SET content = ?", content)
        assert (await state.look(limits, asking("a", 1))).begun == {0}
        await state.look(limits, asking("a", 1))
    assert len(caplog.records) == 1
    assert "made anew" in caplog.text


@pytest.mark.parametrize("rate", [0.0, -1.0, 0.001, float("nan")])
async def test_lesson_that_no_refusal_could_teach_stops_nothing(tmp_path: Path, rate: float) -> None:
    """No slower than the lowest rate, no longer than a lesson lasts."""
    clock = Clock()
    async with state_of(tmp_path, clock=clock) as state:
        await state.look(Limits(), asking("a", 0))
        execute(state, "UPDATE budgets SET content = ?", lesson(rate))
        sight = await state.look(Limits(), asking("a", 2))
        assert sight.begun == {0}
        assert sight.moments[1] <= clock.monotonic() + 1 / LOWEST_RATE + MARGIN
        assert [one.rate for one in sight.lessons] == [LOWEST_RATE]
        clock.passed += LESSON_LASTS
        assert (await state.look(Limits(), asking("b", 1))).lessons == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("expires_at", None),
        ("expires_at", "soon"),
        ("expires_at", "2026-11-03T09:00:00"),
        ("expires_at", "0001-01-01T00:00:00+09:00"),
        ("expires_at", "9999-12-31T23:59:59-09:00"),
        ("value", "토큰"),
        ("value", ""),
    ],
)
async def test_damaged_token_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str, value: str | None
) -> None:
    """It is told once, and the next one is issued."""
    async with state_of(tmp_path) as state:
        await state.save(TokenRecord(TOKEN))
        execute(state, f"UPDATE tokens SET {column} = ?", value)  # noqa: S608 - a column of ours
        assert await state.load() == TokenRecord()
        assert await state.load() == TokenRecord()
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


async def test_attempt_in_the_future_is_not_waited_for(tmp_path: Path) -> None:
    """Whatever wrote it."""
    async with state_of(tmp_path) as state:
        await state.save(TokenRecord(TOKEN, 1e12))
        assert await state.load() == TokenRecord(TOKEN)


async def test_deleted_file_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may be deleted at any time: those who have it open find each other in the next one, without a warning."""
    async with state_of(tmp_path) as one, state_of(tmp_path) as other:
        await one.save(TokenRecord(TOKEN))
        one.path.unlink()
        await one.save(TokenRecord(OTHER))
        await other.forget(TOKEN)
        assert (await other.load()).token == OTHER
        one.path.unlink()
        sights = await asyncio.gather(*(state.look(Limits(), asking(str(id(state)), 5)) for state in (one, other)))
        assert sum(len(sight.begun) for sight in sights) == 5
    assert caplog.records == []


async def test_closed_state_is_unusable(tmp_path: Path) -> None:
    """After the client has gone."""
    async with state_of(tmp_path) as state:
        pass
    with pytest.raises(SharedStateUnusable, match="closed"):
        await state.load()
    await state.__aexit__()


async def test_token_is_in_no_text(tmp_path: Path) -> None:
    """Neither the record nor the state shows it."""
    async with state_of(tmp_path) as state:
        await state.save(TokenRecord(TOKEN))
        assert "secret" not in repr(state) + repr(await state.load()) + str(await state.load())


def test_usual_place_is_private_to_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder for state of the user, and the number of the schema in the name."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path().name == "shared-1.db"
    assert "kiwoom-async" in default_path().parts
