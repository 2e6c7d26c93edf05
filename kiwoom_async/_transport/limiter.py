"""The wait for a rate-limit slot: the budgets of the domain, a clock and a sleep."""

from __future__ import annotations

import math

import anyio

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.budgets import RateBudgets, RequestClass, Reservation
from kiwoom_async._domain.settings import Limits


class SlotDenied(TimeoutError):
    """The next free slot comes after the deadline. Nothing was reserved and nothing was sent.

    Attributes:
        api_id: The TR.
    """

    def __init__(self, api_id: str) -> None:
        super().__init__(f"no rate-limit slot for {api_id} before the deadline")
        self.api_id = api_id


class Limiter:
    """Let requests start no faster than the limits allow, in the order in which they ask.

    Args:
        limits: The rates. `Limits.off()` makes `slot` return at once.
        ambient: The clock.
    """

    def __init__(self, limits: Limits, ambient: Ambient) -> None:
        self._budgets = RateBudgets(limits)
        self._ambient = ambient
        self._is_off = self._budgets.is_off

    async def slot(self, api_id: str, kind: RequestClass, deadline: float | None = None) -> None:
        """Wait for the slot of one request.

        Args:
            api_id: The TR.
            kind: Orders or queries.
            deadline: A value of `Ambient.monotonic`. None: wait as long as it takes.

        Raises:
            SlotDenied: The slot would come after the deadline. Decided at once, not after waiting.

        Cancellation: The slot is given back.
        """
        if self._is_off:
            return
        reservation = self._budgets.reserve(self._ambient.monotonic(), api_id, kind, latest=deadline)
        if reservation is None:
            raise SlotDenied(api_id)
        try:
            await self._wait(reservation, deadline)
        finally:
            # Does nothing once the request has begun.
            self._budgets.give_back(reservation)

    async def _wait(self, reservation: Reservation, deadline: float | None) -> None:
        latest = math.inf if deadline is None else deadline
        while (now := self._ambient.monotonic()) <= latest:
            seconds = self._budgets.begin(reservation, now)
            if seconds == 0:
                return
            if reservation.starts_at > latest:
                # A stall has moved the slot back behind the deadline.
                break
            await anyio.sleep(seconds)
        raise SlotDenied(reservation.api_id)
