"""Where an app key and its secret may come from: environment variables, a private file, the system's keyring.

Functions of their own, because `Credentials` lives in a room that reads nothing. No error here quotes what it has read.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kiwoom_async._domain.settings import Credentials
from kiwoom_async._wire.json_text import read_json
from kiwoom_async.errors import ConfigurationError

APP_KEY: Final = "app_key"
SECRET_KEY: Final = "secret_key"  # noqa: S105 - a name


def load_credentials_from_environment(prefix: str = "KIWOOM_") -> Credentials:
    """Read the credentials from the environment variables KIWOOM_APP_KEY and KIWOOM_SECRET_KEY.

    Args:
        prefix: What the names begin with, for example "KIWOOM_MOCK_" for a second pair.

    Raises:
        ConfigurationError: One of the two is missing or cannot be a key.
    """
    names = {name: f"{prefix}{name.upper()}" for name in (APP_KEY, SECRET_KEY)}
    missing = [variable for variable in names.values() if not os.environ.get(variable)]
    if missing:
        raise ConfigurationError(f"The environment has no {' and no '.join(missing)}; set both, or use a file.")
    return _credentials({name: os.environ[variable] for name, variable in names.items()}, "The environment")


def load_credentials_from_file(path: str | os.PathLike[str], *, section: str | None = None) -> Credentials:
    """Read the credentials from a file with the fields `app_key` and `secret_key`.

    Args:
        path: The file; JSON if its name ends in ``.json``, else TOML. Nobody but its owner may have rights on it.
        section: The table that holds the fields, for a file with several pairs. None: they stand at the top.

    Raises:
        ConfigurationError: The file is missing, open to others, not readable as JSON or TOML, or has no such fields.
    """
    place = Path(path)
    content = _read_private(place)
    fields = _parse(content, place)
    if section is not None:
        inner = fields.get(section)
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{place} has no section {section!r}.")
        fields = inner
    return _credentials(fields, str(place))


def load_credentials_from_keyring(
    service: str = "kiwoom-async", *, app_key_name: str = APP_KEY, secret_key_name: str = SECRET_KEY
) -> Credentials:
    """Read the credentials from the keyring of the operating system.

    Put them there with ``keyring set kiwoom-async app_key`` and ``keyring set kiwoom-async secret_key``. It may ask the
    person in front of the machine, and does so before it returns.

    Args:
        service: The name of the service.
        app_key_name: The user name that the app key is kept under.
        secret_key_name: The user name that the secret is kept under.

    Raises:
        ConfigurationError: The extra is not installed, there is no keyring, it refuses, or it does not have them.
    """
    try:
        import keyring  # noqa: PLC0415 - an extra that most people do without
        import keyring.errors  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "The keyring needs an extra package; install it with: pip install 'kiwoom-async[keyring]'."
        ) from error
    fields: dict[str, str | None] = {}
    try:
        for field, name in ((APP_KEY, app_key_name), (SECRET_KEY, secret_key_name)):
            fields[field] = keyring.get_password(service, name)
            if fields[field] is None:
                raise ConfigurationError(
                    f"The keyring has no {name!r} of the service {service!r}; put it there with: "
                    f"keyring set {service} {name}."
                )
    except keyring.errors.KeyringError as error:
        raise ConfigurationError(
            f"The keyring cannot be read ({type(error).__name__}); unlock it, or use a file."
        ) from error
    return _credentials(fields, "The keyring")


def _read_private(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"{path} can be read by others than you; run: chmod 600 {path}")
            return file.read().decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        # Not as the cause: it carries the content.
        raise ConfigurationError(f"{path} is not UTF-8 text.") from None
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} is no path ({error}).") from error


def _parse(content: str, path: Path) -> dict[str, Any]:
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        fields = read_json(content) if kind == "JSON" else tomllib.loads(content)
    except (ValueError, RecursionError):
        # Not as the cause: it carries the content.
        raise ConfigurationError(f"{path} cannot be read as {kind} (its content is not shown).") from None
    if not isinstance(fields, dict):
        raise ConfigurationError(f"{path} must hold an object with {APP_KEY!r} and {SECRET_KEY!r}.")
    return fields


def _credentials(fields: Mapping[str, Any], place: str) -> Credentials:
    missing = [name for name in (APP_KEY, SECRET_KEY) if name not in fields]
    if missing:
        raise ConfigurationError(f"{place} has no {' and no '.join(missing)}.")
    return Credentials(app_key=fields[APP_KEY], secret_key=fields[SECRET_KEY])
