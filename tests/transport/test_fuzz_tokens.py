"""Answers about tokens, the shared file and files of credentials, with anything in them: no exception, no secret."""

from __future__ import annotations

import json
import logging
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiwoom_async import ConfigurationError, Credentials, load_credentials_from_file
from kiwoom_async._domain.budgets import HANGS_AFTER, LOWEST_RATE, MARGIN, News, Rank, Refusal, RequestClass, Waiter
from kiwoom_async._domain.settings import KST, Limits
from kiwoom_async._domain.sharing import SharedStateUnusable, Token, TokenRecord
from kiwoom_async._journal.shared_state import SharedState
from kiwoom_async._transport.tokens import _Failure, _parse, _token_in
from kiwoom_async._wire.exchange import Answer
from tests.nasty import NO_NUMBERS, RAW_DOCUMENTS, RAW_VALUES, mutants, repeated_names, truncated
from tests.profiles import examples
from tests.transport.clocks import START, Clock

KEYS: Final = Credentials("the-app-key", "the-secret-key")
ISSUED: Final[dict[str, Any]] = {
    "expires_dt": "20261103090000",
    "token_type": "bearer",
    "token": "the-secret-token",
    "return_code": 0,
    "return_msg": "정상적으로 처리되었습니다",
}
REFUSED: Final[dict[str, Any]] = {"return_code": 3, "return_msg": "인증에 실패했습니다[8001:App Key를 확인하세요]"}
UNTIL: Final = datetime(2026, 11, 3, 9, tzinfo=KST)


def issued(content: bytes, status: int = 200) -> Token | _Failure:
    """Read an answer to its token, or to why there is none."""
    answer = _parse(Answer(status, {}, content), KEYS)
    found = answer if isinstance(answer, _Failure) else _token_in(answer, START)
    if isinstance(found, _Failure):
        text = str(found.error())
        text.encode()
        assert len(text) < 3000
        assert "the-secret" not in text
        assert "the-app-key" not in text
    return found


def test_answer_with_one_nasty_value_gives_the_token_or_none() -> None:
    """Every field, every nasty value: the token with its very end, the one that stands there, or none."""
    assert issued(json.dumps(ISSUED).encode()) == Token("the-secret-token", UNTIL)
    for mutant in mutants(ISSUED):
        found = issued(mutant.content)
        if isinstance(found, _Failure):
            continue
        assert found.expires_at == UNTIL
        assert found.value == ("the-secret-token" if mutant.name != "token" else mutant.value)
        assert found.value.isascii()
        assert found.value.isprintable()
        assert len(found.value) <= 4096
    for mutant in mutants(REFUSED):
        assert isinstance(issued(mutant.content), _Failure)


@pytest.mark.parametrize(
    "text",
    [
        *NO_NUMBERS,
        *("20261103090000"[:size] for size in range(14)),
        *("202611030900000", "２０２６1103090000", " 20261103090000", "20261103090000\n", "2026-11-03 09:00"),
        *("20261303090000", "20261100090000", "20261103240000", "20261103096000", "00000000000000", "99999999999999"),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_end_of_a_token_is_fourteen_digits_or_there_is_no_token(text: str) -> None:
    """One that breaks off would read as another moment."""
    assert isinstance(issued(json.dumps(ISSUED | {"expires_dt": text}).encode()), _Failure)


def test_what_breaks_off_or_says_two_things_is_no_token() -> None:
    """At every length, any name twice, and anything that is no answer."""
    contents = [*truncated(ISSUED), *(content for _, content in repeated_names(ISSUED)), *RAW_DOCUMENTS]
    for content in contents:
        for status in (200, 401, 429, 500):
            assert isinstance(issued(content, status), _Failure)


@settings(max_examples=examples(200))
@given(content=st.binary(max_size=200), status=st.integers(0, 999))
def test_bytes_are_no_token(content: bytes, status: int) -> None:
    """Chance issues none."""
    assert isinstance(issued(content, status), _Failure)


# ---------------------------------------------------------------- the shared file


def asking(count: int) -> News:
    """Ask for some orders."""
    waiters = (Waiter("a", number, "kt10000", RequestClass.ORDERS, Rank.USUAL, 100.0) for number in range(count))
    return News("a", tuple(waiters))


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Leave out the thousand warnings."""
    caplog.set_level(logging.ERROR)
    return caplog


async def test_budgets_with_nasty_contents_stop_nothing(tmp_path: Path, quiet: pytest.LogCaptureFixture) -> None:
    """Every value at every place, every length: every request begins within the slowest of windows."""
    clock = Clock()
    longest = clock.monotonic() + 3 * (1 / LOWEST_RATE + MARGIN) + HANGS_AFTER
    async with SharedState(tmp_path / "shared.db", "key", clock) as state:
        await state.look(Limits(), asking(2))
        await state.look(Limits(), News("b", refusals=(Refusal("kt10000"),)))
        budgets = json.loads(_execute(state.path, "SELECT content FROM budgets"))
        assert all(budgets[part] for part in ("starts", "looked", "lessons"))
        contents = [mutant.content for mutant in mutants(budgets)] + [*truncated(budgets), *RAW_DOCUMENTS]
        for content in contents:
            text = content.decode("utf-8", "replace")
            _, sight = state._look_at(text, clock.monotonic(), Limits(), asking(3))
            assert all(moment < longest for moment in sight.moments.values()), content[:300]
            assert len(sight.begun) + len(sight.moments) == 3


async def test_token_with_nasty_contents_is_none(tmp_path: Path, quiet: pytest.LogCaptureFixture) -> None:
    """Every value, bytes that are no text among them: a token that a header can carry, none, or no use of the file."""
    async with SharedState(tmp_path / "shared.db", "key", Clock()) as state:
        await state.save(TokenRecord(Token("the-secret-token", UNTIL), 100.0, 2))
        connection = apsw.Connection(str(state.path))
        for column in ("value", "expires_at"):
            for raw in (*RAW_VALUES[::2], *map(_bytes, NO_NUMBERS)):
                row = ("the-secret-token", UNTIL.isoformat())
                connection.execute("REPLACE INTO tokens VALUES ('key', ?, ?, 'boot', 100.0, 2)", row)
                # By a cast, because no text of Python can be bytes that are no UTF-8.
                connection.execute(f"UPDATE tokens SET {column} = CAST(? AS TEXT)", (raw,))  # noqa: S608 - of this test
                try:
                    record = await state.load()
                except SharedStateUnusable:
                    continue  # whoever meets this goes on alone
                if record.token is not None:
                    assert record.token.expires_at == UNTIL
                    assert column == "value"
                    assert record.token.value.encode() == raw
                    assert record.token.value.isascii()
                    assert record.token.value.isprintable()
        connection.close()


def _execute(path: Path, statement: str) -> str:
    connection = apsw.Connection(str(path))
    try:
        return str(connection.execute(statement).get)
    finally:
        connection.close()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


async def test_shared_file_that_is_cut_or_overwritten_is_unusable_or_read(
    tmp_path: Path, quiet: pytest.LogCaptureFixture
) -> None:
    """At many lengths and places: it works, or says that it cannot be used."""
    whole = tmp_path / "whole.db"
    async with SharedState(whole, "key", Clock()) as state:
        await state.save(TokenRecord(Token("the-secret-token", UNTIL)))
        await state.look(Limits(), asking(2))
    content = whole.read_bytes()
    damaged = [content[:size] for size in range(0, len(content), 509)]
    damaged += [content[:at] + b"\xff" * 40 + content[at + 40 :] for at in range(0, len(content), 251)]
    for number, kept in enumerate(damaged):
        path = tmp_path / "damaged" / f"{number}.db"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(kept)
        try:
            async with SharedState(path, "key", Clock()) as state:
                record = await state.load()
                assert record.token is None or record.token.value.isascii()
                await state.look(Limits(), asking(1))
                await state.save(TokenRecord())
        except SharedStateUnusable:
            continue
    shutil.rmtree(tmp_path / "damaged")


# ---------------------------------------------------------------- files of credentials

KEYS_FILE: Final = {
    "app_key": "the-app-key",
    "secret_key": "the-secret-key",
    "live": {"app_key": "a", "secret_key": "b"},
}


def loaded(path: Path, content: bytes) -> Credentials | None:
    """Read a file; None where the documented error says why not."""
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        return load_credentials_from_file(path)
    except ConfigurationError as error:
        assert "the-secret-key" not in str(error)  # noqa: PT017 - one of two ends
        assert "the-app-key" not in str(error)  # noqa: PT017 - the same
        return None


def test_file_of_credentials_with_anything_in_it(tmp_path: Path) -> None:
    """JSON with every nasty value, at every length, with a name twice; TOML of the same bytes: keys, or the error."""
    path = tmp_path / "keys.json"
    for mutant in mutants(KEYS_FILE):
        found = loaded(path, mutant.content)
        if found is None or mutant.path[0] == "live":
            continue
        wanted = {**KEYS_FILE, mutant.name: mutant.value}
        assert (found.app_key, found.secret_key) == (wanted["app_key"], wanted["secret_key"])
    for content in (*truncated(KEYS_FILE), *RAW_DOCUMENTS, *(content for _, content in repeated_names(KEYS_FILE))):
        assert loaded(path, content) is None
    toml = b'app_key = "the-app-key"\nsecret_key = "the-secret-key"\n'
    path = tmp_path / "keys.toml"
    assert loaded(path, toml) == KEYS
    for raw in RAW_VALUES:
        loaded(path, raw)
        loaded(path, b"app_key = " + raw + b'\nsecret_key = "the-secret-key"')
    for size in range(len(toml) - 2):
        assert loaded(path, toml[:size]) is None


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300, "", "a/b/c"])
def test_path_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    """By the documented error."""
    with pytest.raises(ConfigurationError):
        load_credentials_from_file(tmp_path / name)
