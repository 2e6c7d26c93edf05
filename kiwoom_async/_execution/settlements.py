"""Waiting for the answer to an order."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from kiwoom_async._domain.orders import Order
from kiwoom_async._execution.answers import answer_of
from kiwoom_async._execution.waiters import Waiters
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import ReportNews
from kiwoom_async.errors import KiwoomError


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
        waiters: Woken when this or another process has written something.
        spread: Tells everybody whom it concerns what the broker had said of a number before it was known whose it is.
    """

    def __init__(self, journal: Journal, waiters: Waiters, spread: Callable[[ReportNews], None]) -> None:
        self._journal = journal
        self._waiters = waiters
        self.spread = spread

    def ring(self, client_order_id: str) -> None:
        """Tell that the journal has news of an order."""
        self._waiters.ring(client_order_id)

    async def wait(self, client_order_id: str) -> Order | KiwoomError:
        """Wait until an order has an answer, however long that takes. For the client's own tasks.

        Cancellation: ends the wait and nothing else.

        Raises:
            JournalError: The journal cannot be read.
        """

        async def look() -> Order | KiwoomError | None:
            record = await self._journal.find(client_order_id)
            return None if record is None else answer_of(record)

        while True:
            answer: Order | KiwoomError | None = await self._waiters.until(client_order_id, look)
            if answer is not None:
                return answer
            # The end of the client is no answer: one of its tasks that took it for one might send or give up an order.
            # Cancellation ends them.
            await anyio.sleep_forever()
