"""Waiting for the answer to an order: woken by this process, and looking after what other processes write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

import anyio

from kiwoom_async._domain.orders import Order
from kiwoom_async._execution.answers import answer_of
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import ReportNews
from kiwoom_async.errors import KiwoomError

POLL_INTERVAL: Final = 0.25
"""Seconds between two looks into the journal for what another process wrote. Source: our choice; a look costs tens of
microseconds and another process's answer is that much late at the most."""


class Bell:
    """Wakes the reconciler when there is something to resolve."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """Tell that there is something to resolve."""
        self._event.set()

    def muffle(self) -> None:
        """Forget earlier rings."""
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Wait for the next ring since `muffle`."""
        await self._event.wait()


class Settlements:
    """Wake whoever waits for an order when something is learnt about it.

    Args:
        journal: Holds the answers.
        ring_events: Wakes whoever listens to events.
        spread: Tells everybody whom it concerns what the broker had said of a number before it was known whose it is.
    """

    def __init__(self, journal: Journal, ring_events: Callable[[], None], spread: Callable[[ReportNews], None]) -> None:
        self._journal = journal
        self._ring_events = ring_events
        self.spread = spread
        # Whoever waits holds the bell; one that nobody waits for goes by itself.
        self._bells: WeakValueDictionary[str, anyio.Event] = WeakValueDictionary()

    def ring(self, client_order_id: str) -> None:
        """Tell that the journal has news of an order."""
        self._ring_events()
        bell = self._bells.pop(client_order_id, None)
        if bell is not None:
            bell.set()

    async def wait(self, client_order_id: str) -> Order | KiwoomError:
        """Wait until an order has an answer, however long that takes.

        Cancellation: ends the wait and nothing else.
        """
        while True:
            bell = self._bells.setdefault(client_order_id, anyio.Event())
            record = await self._journal.find(client_order_id)
            answer = None if record is None else answer_of(record)
            if answer is not None:
                return answer
            with anyio.move_on_after(POLL_INTERVAL):
                await bell.wait()
