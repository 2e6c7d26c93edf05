"""Credentials from the environment, a private file and the keyring; no error shows a key."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import keyring
import keyring.errors
import pytest

from kiwoom_async import (
    ConfigurationError,
    Credentials,
    load_credentials_from_environment,
    load_credentials_from_file,
    load_credentials_from_keyring,
)

KEYS = Credentials("the-app-key", "the-secret-key")


def private(path: Path, content: str) -> Path:
    """Write a file that only its owner may read."""
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables, with another prefix where there are two pairs; a missing one is named."""
    for name in ("KIWOOM_APP_KEY", "KIWOOM_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="no KIWOOM_APP_KEY and no KIWOOM_SECRET_KEY"):
        load_credentials_from_environment()
    monkeypatch.setenv("KIWOOM_APP_KEY", "the-app-key")
    with pytest.raises(ConfigurationError, match="no KIWOOM_SECRET_KEY;"):
        load_credentials_from_environment()
    monkeypatch.setenv("KIWOOM_SECRET_KEY", "the-secret-key")
    assert load_credentials_from_environment() == KEYS
    monkeypatch.setenv("OTHER_APP_KEY", "other")
    monkeypatch.setenv("OTHER_SECRET_KEY", " blank ")
    with pytest.raises(ConfigurationError) as caught:
        load_credentials_from_environment("OTHER_")
    assert "blank " not in str(caught.value).replace("blanks", "")


@pytest.mark.parametrize(
    ("name", "content", "section"),
    [
        ("keys.toml", 'app_key = "the-app-key"\nsecret_key = "the-secret-key"', None),
        ("keys", 'app_key = "the-app-key"\nsecret_key = "the-secret-key"', None),
        ("keys.toml", '[live]\napp_key = "the-app-key"\nsecret_key = "the-secret-key"', "live"),
        ("keys.json", '{"app_key": "the-app-key", "secret_key": "the-secret-key"}', None),
        ("keys.JSON", '{"mock": {"app_key": "the-app-key", "secret_key": "the-secret-key"}}', "mock"),
    ],
)
def test_private_file(tmp_path: Path, name: str, content: str, section: str | None) -> None:
    """TOML or JSON, with or without sections."""
    assert load_credentials_from_file(private(tmp_path / name, content), section=section) == KEYS


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_file_that_others_have_rights_on_is_refused(tmp_path: Path, mode: int) -> None:
    """The error says what to type."""
    path = private(tmp_path / "keys.toml", 'app_key = "the-app-key"\nsecret_key = "the-secret-key"')
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        load_credentials_from_file(path)


@pytest.mark.parametrize(
    ("name", "content", "section", "text"),
    [
        ("keys.toml", 'app_key = "the-secret-key', None, "as TOML"),
        ("keys.json", '{"app_key": the-secret-key', None, "as JSON"),
        ("keys.json", '["the-secret-key"]', None, "must hold an object"),
        ("keys.toml", 'app_key = "the-secret-key"', None, "no secret_key"),
        ("keys.toml", 'app_key = "the-secret-key"', "live", "no section 'live'"),
        ("keys.toml", 'app_key = "the-secret-key"\nsecret_key = 5', None, "secret_key=…"),
    ],
)
def test_unreadable_file_shows_no_key(tmp_path: Path, name: str, content: str, section: str | None, text: str) -> None:
    """Neither in the text nor in what led to it."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        load_credentials_from_file(private(tmp_path / name, content), section=section)
    assert "the-secret-key" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_missing_file_and_strange_bytes(tmp_path: Path) -> None:
    """Both are told as what they are."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_credentials_from_file(tmp_path / "none.toml")
    path = private(tmp_path / "keys.toml", "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_credentials_from_file(path)


class Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        """Read."""
        if self.is_locked:
            raise keyring.errors.KeyringLocked
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write."""
        self.entries[service, username] = password


def test_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is read; what is missing or locked is told with what to do."""
    ring = Ring()
    monkeypatch.setattr(keyring, "get_password", ring.get_password)
    ring.set_password("kiwoom-async", "app_key", "the-app-key")
    with pytest.raises(ConfigurationError, match="keyring set kiwoom-async secret_key"):
        load_credentials_from_keyring()
    ring.set_password("kiwoom-async", "secret_key", "the-secret-key")
    assert load_credentials_from_keyring() == KEYS
    ring.is_locked = True
    with pytest.raises(ConfigurationError, match="unlock it"):
        load_credentials_from_keyring()


def test_keyring_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith("keyring"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"kiwoom-async\[keyring\]"):
        load_credentials_from_keyring()
