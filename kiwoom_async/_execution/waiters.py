"""Everybody of one client who waits for news, and the one look into the journal that they share.

Whoever waits is woken by what this process writes as soon as it is written, and by what other processes write after the
next look. While nothing happens a waiter costs nothing, and what happens to other orders does not wake it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import anyio

from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Bookmark, ReportNews
from kiwoom_async.errors import JournalError

_T = TypeVar("_T")
_LOG: Final = logging.getLogger("kiwoom_async")

POLL_INTERVAL: Final = 0.25
"""Seconds between two looks for what other processes wrote, while anybody waits. Source: our choice; a look costs tens
of microseconds and another process's answer is that much late at the most."""

IDLE_INTERVAL: Final = 5.0
"""The same while nobody waits, so that whoever begins to listen is not told what is older than this. Source: our
choice."""


class Waiters:
    """Wake whoever waits for an order when something is learnt about it, and listeners when there are events.

    No wakeup is lost, because of two orders that are kept everywhere. A waiter registers before it looks; and the look
    that all share moves its bookmark and rings in one step of the loop. So what is written before a waiter's look is
    seen by it, and what is written after it is beyond the bookmark still, or rings a bell that is registered.

    A shared look that fails wakes everybody: each looks for itself, and raises what it meets or waits on. The bookmark
    stays, so that the next look finds what this one did not.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # Whoever waits holds the bell; one that nobody waits for goes by itself.
        self._bells: WeakValueDictionary[str, anyio.Event] = WeakValueDictionary()
        self._listeners_bell = anyio.Event()
        self._bookmark = Bookmark()
        self._last_event = 0
        self._is_closed = False
        self._waiting = 0
        self._wanted = anyio.Event()

    @property
    def last_event(self) -> int:
        """Give the sequence of the account's latest event that this client knows of; never one yet to be written."""
        return self._last_event

    # ------------------------------------------------------------------ the shared look

    async def begin(self) -> None:
        """Take the place from which on things are news. Call it once, before anybody waits.

        Raises:
            JournalError: It cannot be read.
        """
        self._bookmark = await self._journal.bookmark()
        self._note_event(self._bookmark.event)

    async def watch(self) -> None:
        """Look for news for as long as the client lives: often while anybody waits, rarely otherwise."""
        while True:
            with anyio.move_on_after(IDLE_INTERVAL):
                await self._wanted.wait()
                await anyio.sleep(POLL_INTERVAL)
            try:
                await self._look()
            except JournalError as error:
                _LOG.info("news in the journal are looked for later: %s", error)
                self._ring_all()
            except Exception:  # noqa: BLE001 - a fault of ours must not leave anybody waiting for ever
                _LOG.exception("looking for news met a fault of the library and goes on")
                self._ring_all()

    async def _look(self) -> None:
        news = await self._journal.news(self._bookmark)
        # No await from here on: see the class.
        self._bookmark = news.until
        self._ring_bells(tuple(self._bells) if news.touched is None else news.touched)
        self._note_event(news.until.event)

    # ------------------------------------------------------------------ bells

    def tell(self, news: ReportNews) -> None:
        """Tell what this process has written of orders."""
        self._ring_bells(news.touched)
        self._note_event(news.last_event)

    def ring(self, client_order_id: str) -> None:
        """Tell that this process has written something about an order."""
        self._ring_bells((client_order_id,))

    def close(self) -> None:
        """End every wait: the journal is about to be closed."""
        self._is_closed = True
        self._ring_all()

    def _ring_bells(self, client_order_ids: Iterable[str]) -> None:
        # In one order, whatever the texts hash to: a day that is replayed from its seed wakes them as before.
        for client_order_id in sorted(client_order_ids):
            bell = self._bells.pop(client_order_id, None)
            if bell is not None:
                bell.set()

    def _note_event(self, sequence: int) -> None:
        if sequence > self._last_event:
            self._last_event = sequence
            self._ring_listeners()

    def _ring_listeners(self) -> None:
        self._listeners_bell.set()
        self._listeners_bell = anyio.Event()

    def _ring_all(self) -> None:
        self._ring_bells(tuple(self._bells))
        self._ring_listeners()

    # ------------------------------------------------------------------ waiting

    async def until(self, client_order_id: str, look: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Look until something is found, again after all news of an order; None once the client is closed.

        Cancellation: ends the wait and nothing else.

        Raises:
            JournalError: A look failed.
        """
        with self._counted():
            while not self._is_closed:
                bell = self._bells.setdefault(client_order_id, anyio.Event())
                found = await self.unless_closed(look)
                if found is not None:
                    return found
                await bell.wait()
        return None

    async def until_event(self, after: int) -> bool:
        """Wait for an event after a sequence number; False once the client is closed.

        True may be wrong where the shared look has failed: the caller looks for itself.

        Cancellation: ends the wait and nothing else.
        """
        with self._counted():
            if after >= self._last_event and not self._is_closed:
                await self._listeners_bell.wait()
        return not self._is_closed

    async def unless_closed(self, look: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Look; None where that fails because the journal was closed meanwhile.

        Raises:
            JournalError: The look failed.
        """
        try:
            return await look()
        except JournalError:
            if self._is_closed:
                return None
            raise

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._waiting += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._wanted = anyio.Event()
