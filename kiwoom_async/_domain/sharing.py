"""What the processes of one key share, as those see it who use it: the token and the rate budgets.

The file behind it is a convenience. Where it cannot be used each process goes on by itself: nothing about orders
depends on it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from kiwoom_async._domain.budgets import News, Sight
from kiwoom_async._domain.settings import Limits


@frozen
class Token:
    """An access token (접근토큰). Its repr never shows it.

    Attributes:
        value: What follows "Bearer".
        expires_at: The end of its life, aware.
    """

    value: str = field(repr=False)
    expires_at: datetime

    @property
    def authorization(self) -> str:
        """The value of the authorization header."""
        return f"Bearer {self.value}"


@frozen
class TokenRecord:
    """What is known about a key's token by all its processes.

    Attributes:
        token: The token that was issued last. None: there is none, or it was revoked.
        attempted: When an issue was asked for last, in monotonic seconds of this boot. None: not in this boot.
        setbacks: How many attempts have failed since the last one that helped.
    """

    token: Token | None = None
    attempted: float | None = None
    setbacks: int = 0


class SharedStateUnusable(Exception):
    """The shared file cannot be used at this moment. It has told people why; whoever meets this goes on alone."""


class TokenStore(Protocol):
    """Where the processes of a key find their token. Every method may raise `SharedStateUnusable`."""

    async def load(self) -> TokenRecord:
        """Read what some process has written last."""

    async def save(self, record: TokenRecord) -> None:
        """Make an issue known to the others."""

    async def forget(self, token: Token) -> None:
        """Remove a token, unless another one has taken its place."""

    def issuing(self) -> AbstractAsyncContextManager[None]:
        """Be the only process that issues. A process that dies in there lets go."""


class RateStore(Protocol):
    """Where the processes of a key count their requests."""

    async def look(self, limits: Limits, news: News) -> Sight:
        """Do `budgets.look` on the shared state, all or nothing.

        Raises:
            SharedStateUnusable: The file cannot be used at this moment.
        """
