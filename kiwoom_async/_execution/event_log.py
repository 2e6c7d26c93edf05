"""Events for everybody who listens, from the journal: nothing waits in memory, so nothing is lost there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._execution.waiters import Waiters
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import ReportNews

_T = TypeVar("_T")

BATCH: Final = 256
"""Events a listener holds at once. Source: our choice; a slow one reads the next when it is ready."""


class EventLog:
    """Read the journal's events as they come, and know whether anybody does.

    Args:
        journal: Keeps the events.
        waiters: Woken when there are new ones.
    """

    def __init__(self, journal: Journal, waiters: Waiters) -> None:
        self._journal = journal
        self._waiters = waiters
        self._listeners = 0

    @property
    def is_heard(self) -> bool:
        """Tell whether anybody of this process listens or waits."""
        return self._listeners > 0

    @property
    def last_event(self) -> int:
        """Give the sequence of the latest event that this client knows of; see `Waiters.last_event`."""
        return self._waiters.last_event

    def tell(self, news: ReportNews) -> None:
        """Tell that this process has written events."""
        self._waiters.tell(news)

    async def until(self, client_order_id: str, look: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Look until something is found, again after all news of an order; None once the client is closed.

        Cancellation: ends the wait and nothing else.

        Raises:
            JournalError: A look failed.
        """
        with self._listening():
            return await self._waiters.until(client_order_id, look)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    async def read(self, since: int) -> AsyncIterator[OrderEvent]:
        """Give every event after a sequence number, and go on with those that come; end with the client.

        Raises:
            JournalError: The journal cannot be read; go on with the sequence of the last event.
        """
        last = since

        async def look() -> tuple[OrderEvent, ...] | None:
            return await self._journal.order_events(last, limit=BATCH)

        with self._listening():
            while await self._waiters.until_event(last):
                for event in await self._waiters.unless_closed(look) or ():
                    last = event.sequence
                    yield event
