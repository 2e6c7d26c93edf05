"""Watching how far the broker's clock is from ours (A11), from the `Date` of its answers. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from attrs import define

_RESOLUTION: Final = timedelta(seconds=1)
"""`Date` has whole seconds (RFC 9110), so the broker's clock stood up to a second later."""


@define
class ClockWatch:
    """What the answers have proven about the difference of both clocks.

    Attributes:
        proven: The largest difference proven so far, in seconds: 0 while every answer fits.
    """

    proven: float = 0.0

    def observe(self, date: datetime, sent: datetime, received: datetime) -> None:
        """Learn from one answer.

        Its `Date` was written between sending and receiving. If our clock did not show that time then, the clocks
        differ at least by the gap.
        """
        gap = max(sent - (date + _RESOLUTION), date - received, timedelta(0))
        self.proven = max(self.proven, gap.total_seconds())


def allow_for(clock_skew: float, proven: float) -> float:
    """Give the seconds by which clocks may differ that are proven to differ by some seconds at the least (A11).

    Within the bound that says nothing new; beyond it the bound is broken, and holds only on top of what is proven.
    """
    return clock_skew if proven <= clock_skew else clock_skew + proven
