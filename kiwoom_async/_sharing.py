"""What the processes of one key share: where it lies, when it is shared, and going on without it."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.settings import Credentials, Environment
from kiwoom_async._domain.sharing import SharedStateUnusable
from kiwoom_async._journal.seals import default_folder
from kiwoom_async._journal.shared_state import SharedState, default_path
from kiwoom_async.errors import ConfigurationError

_LOG: Final = logging.getLogger("kiwoom_async")

SharedPlace: TypeAlias = str | os.PathLike[str] | Literal[False] | None
"""A path; None: the usual place; False: nothing is shared."""

ADOPT_LOCAL_WITHIN: Final = 60.0
"""Seconds in which a process that opens takes over a token for an address of this machine. A simulator forgets its
tokens when it ends, and another one may get its port. Source: our choice; processes of one trial start together."""


def choose_shared_path(place: SharedPlace, *, is_simulated: bool) -> Path | None:
    """Decide where the shared file lies; None where nothing is shared.

    Args:
        place: What the user gave.
        is_simulated: The clock or the network is not the real one: by itself such a client shares nothing.

    Raises:
        ConfigurationError: It is no path.
    """
    if place is False or (place is None and is_simulated):
        return None
    if place is None:
        return usual(default_path, "the token and the rate limits are shared with no other process", "shared_state")
    if not is_path(place):
        raise ConfigurationError(
            "KiwoomClient(shared_state=…) must be the path of a file, False to share nothing, or None for the usual "
            "place."
        )
    return Path(place)


def choose_seal_folder(place: SharedPlace, *, is_simulated: bool) -> Path | None:
    """Decide where the seals of journals lie; None where there are none.

    Args:
        place: What the user gave.
        is_simulated: The clock or the network is not the real one: by itself such a client leaves no seal.

    Raises:
        ConfigurationError: It is no path.
    """
    if place is False or (place is None and is_simulated):
        return None
    if place is None:
        return usual_seal_folder()
    if not is_path(place):
        raise ConfigurationError(
            "KiwoomClient(journal_seals=…) must be the path of a folder, False for none, or None for the usual place."
        )
    return Path(place)


def usual_seal_folder() -> Path | None:
    """Give the usual place of the seals; None, after a warning in the log, where the user has none."""
    return usual(
        default_folder, "a journal that is restored from an old backup will not be recognized", "journal_seals"
    )


def usual(find: Callable[[], Path], loss: str, setting: str) -> Path | None:
    """Find a place in the home of the user; None, after a warning in the log, where there is no home.

    Args:
        find: Gives the place.
        loss: What is not there without it.
        setting: The argument of the client that names another one.
    """
    try:
        return find()
    except RuntimeError as error:
        # A container that runs as a number which no user has. Orders do not depend on it.
        _LOG.warning(
            "there is no place for private state (%s), so %s; KiwoomClient(%s=…) gives one", error, loss, setting
        )
        return None


def is_path(value: object) -> bool:
    """Tell whether a setting names a file."""
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


async def open_shared_state(
    stack: AsyncExitStack, path: Path | None, environment: Environment, credentials: Credentials, ambient: Ambient
) -> SharedState | None:
    """Open the shared file; None, after a warning in the log, where it cannot be used."""
    if path is None:
        return None
    try:
        return await stack.enter_async_context(SharedState(path, environment.account_key(credentials), ambient))
    except SharedStateUnusable:
        return None


def adopts_within(environment: Environment) -> float | None:
    """Give how old a token may be that a process takes over when it opens; None: any age."""
    host = urlsplit(environment.rest_url).hostname or ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    return ADOPT_LOCAL_WITHIN if is_local else None
