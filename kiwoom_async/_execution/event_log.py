"""Events for everybody who listens, from the journal: nothing waits in memory, so nothing is lost there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar

import anyio

from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._journal.journal import Journal

_T = TypeVar("_T")

BATCH: Final = 256
"""Events a listener holds at once. Source: our choice; a slow one reads the next when it is ready."""

POLL_INTERVAL: Final = 0.25
"""Seconds between two looks for what other processes wrote. Source: our choice; a look costs tens of microseconds."""


class EventLog:
    """Read the journal's events as they come."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._bell = anyio.Event()
        self._is_closed = False
        self._listeners = 0

    @property
    def is_heard(self) -> bool:
        """Tell whether anybody of this process listens or waits."""
        return self._listeners > 0

    def ring(self) -> None:
        """Tell that this process has written events."""
        self._bell.set()
        self._bell = anyio.Event()

    def close(self) -> None:
        """End every wait: the journal is about to be closed."""
        self._is_closed = True
        self.ring()

    async def until(self, look: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Look until something is found, again after every ring; None once the client is closed.

        Cancellation: ends the wait and nothing else.
        """
        with self._listening():
            while not self._is_closed:
                # Taken before the look: a ring between the look and the wait must not be missed.
                bell = self._bell
                found = await look()
                if found is not None:
                    return found
                with anyio.move_on_after(POLL_INTERVAL):
                    await bell.wait()
        return None

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    async def read(self, since: int | None, asked_at: datetime) -> AsyncIterator[OrderEvent]:
        """Give every event after a sequence number, and go on with those that come; end with the client.

        Args:
            since: A sequence number; None: what is written from `asked_at` on.
            asked_at: On the wall clock.
        """
        last = await self._journal.last_event(before=asked_at) if since is None else since

        async def look() -> tuple[OrderEvent, ...] | None:
            return await self._journal.order_events(last, limit=BATCH) or None

        with self._listening():
            while (events := await self.until(look)) is not None:
                for event in events:
                    last = event.sequence
                    yield event
