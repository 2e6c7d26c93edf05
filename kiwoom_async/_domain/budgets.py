"""Rate budgets: when may the next request start?

Every budget counts the starts within a sliding window, so a burst is free and the next request waits until
the oldest start has left the window. A request draws on two budgets, that of its class and that of its TR,
and starts when both allow it. Requests of one TR start in the order in which they asked; a request of another
TR may take an earlier free moment, so that a cancel is not stuck behind a queue of buys.

`now` is any clock that never jumps back, in seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from enum import StrEnum, unique
from operator import attrgetter
from typing import Final

from attrs import define, field

from kiwoom_async._domain.settings import Limits

MARGIN: Final = 0.05
"""Seconds added to each window, because the gateway counts arrivals and the way there is not equally long
each time.
Source: the runner of a bot on the mock (1/s) measured that gaps of 1.05 s are needed."""

TOLERANCE: Final = 0.01
"""Starting this late moves nobody else. Source: our choice, a fifth of the margin."""

_SPACING: Final = 0.0001
"""Seconds between two waiting requests of one TR, so that timers wake them in their order. Source: the timers
of an event loop with equal times fire in no particular order; their clocks differ by microseconds."""

_MOMENT: Final = attrgetter("starts_at")


@unique
class RequestClass(StrEnum):
    """Kiwoom counts orders and queries separately (measured: a quote right after an order is not refused)."""

    ORDERS = "orders"
    QUERIES = "queries"


@define(eq=False)
class Reservation:
    """A moment at which one request may start.

    Attributes:
        api_id: The TR.
        kind: Orders or queries.
        starts_at: The moment; it moves back if others start late.
        sequence: The order of asking.
        has_begun: The request has used its moment.
    """

    api_id: str
    kind: RequestClass
    starts_at: float
    sequence: int
    has_begun: bool = False


@define
class _Window:
    """At most `count` starts in any window of `length` seconds; `starts` is sorted by moment."""

    count: int
    length: float
    starts: list[Reservation] = field(factory=list)

    @classmethod
    def per_second(cls, rate: float) -> _Window:
        """Make a window for a rate: whole starts over the seconds that belong to them."""
        count = max(1, int(rate))
        return cls(count, count / rate + MARGIN)

    def first_free(self, moment: float) -> float:
        """Give the first moment, not before the given one, at which one more start fits."""
        while (later := self._pushed_to(moment)) is not None:
            moment = later
        return moment

    def _pushed_to(self, moment: float) -> float | None:
        # One more start overfills a window if `count` neighbours lie within its length, however many of them
        # come before it and how many after it.
        at = bisect_right(self.starts, moment, key=_MOMENT)
        for first in range(max(0, at - self.count), min(at, len(self.starts) - self.count) + 1):
            begin = self.starts[first].starts_at
            end = self.starts[first + self.count - 1].starts_at
            # A sum on both sides: the difference of two moments may be rounded to less than the length for
            # ever.
            if max(moment, end) < min(moment, begin) + self.length:
                return begin + self.length
        return None

    def add(self, reservation: Reservation) -> None:
        """Count a start."""
        insort(self.starts, reservation, key=_MOMENT)

    def remove(self, reservation: Reservation) -> None:
        """Stop counting a start."""
        at = bisect_left(self.starts, reservation.starts_at, key=_MOMENT)
        while self.starts[at] is not reservation:
            at += 1
        del self.starts[at]

    def forget(self, now: float) -> None:
        """Drop starts that no window can hold any more; one that has not begun is not over."""
        gone = 0
        for reservation in self.starts:
            if not reservation.has_begun or reservation.starts_at > now - self.length:
                break
            gone += 1
        del self.starts[:gone]


class RateBudgets:
    """All budgets of one client.

    Args:
        limits: The rates; None in a field means that there is no such budget.
    """

    def __init__(self, limits: Limits) -> None:
        self._per_tr_rate = limits.per_tr_per_second
        self._classes: dict[RequestClass, _Window] = {}
        self._trs: dict[str, _Window] = {}
        self._waiting: list[Reservation] = []
        self._asked = 0
        for kind, rate in (
            (RequestClass.ORDERS, limits.orders_per_second),
            (RequestClass.QUERIES, limits.queries_per_second),
        ):
            if rate is not None:
                self._classes[kind] = _Window.per_second(rate)

    @property
    def is_off(self) -> bool:
        """Whether nothing is limited."""
        return not self._classes and self._per_tr_rate is None

    def reserve(
        self, now: float, api_id: str, kind: RequestClass, *, latest: float | None = None
    ) -> Reservation | None:
        """Reserve the first free moment.

        Args:
            now: The present.
            api_id: The TR.
            kind: Orders or queries.
            latest: The last moment that is of use. None: any.

        Returns:
            The reservation, to be given to `begin` or to `give_back`; None if the moment would come after
            `latest`, in which case nothing is reserved.
        """
        windows = self._windows(api_id, kind)
        for window in windows:
            window.forget(now)
        ahead = [other.starts_at for other in self._waiting if other.api_id == api_id]
        moment = _first_free(max(now, max(ahead) + _SPACING) if ahead else now, windows)
        if latest is not None and moment > latest:
            return None
        self._asked += 1
        reservation = Reservation(api_id, kind, moment, self._asked)
        self._waiting.append(reservation)
        for window in windows:
            window.add(reservation)
        return reservation

    def begin(self, reservation: Reservation, now: float) -> float:
        """Start the request, if its moment has come.

        A start that comes late (a stalled event loop, a suspended machine) is counted where it really
        happens, and those that wait are moved back where they would share a window with too many.

        Returns:
            0.0: it has begun. Otherwise the seconds to wait before asking again.
        """
        if now - reservation.starts_at > TOLERANCE:
            self._replan(now)
        if reservation.starts_at > now:
            return reservation.starts_at - now
        reservation.has_begun = True
        self._waiting.remove(reservation)
        return 0.0

    def give_back(self, reservation: Reservation) -> None:
        """Cancel a reservation that has not begun; one that has begun stays counted."""
        if reservation.has_begun:
            return
        self._waiting.remove(reservation)
        for window in self._windows(reservation.api_id, reservation.kind):
            window.remove(reservation)

    def _windows(self, api_id: str, kind: RequestClass) -> list[_Window]:
        windows = [self._classes[kind]] if kind in self._classes else []
        if self._per_tr_rate is not None:
            if api_id not in self._trs:
                self._trs[api_id] = _Window.per_second(self._per_tr_rate)
            windows.append(self._trs[api_id])
        return windows

    def _replan(self, now: float) -> None:
        waiting = sorted(self._waiting, key=attrgetter("starts_at", "sequence"))
        for reservation in waiting:
            for window in self._windows(reservation.api_id, reservation.kind):
                window.remove(reservation)
        earliest: dict[str, float] = {}
        for reservation in waiting:
            windows = self._windows(reservation.api_id, reservation.kind)
            moment = max(now, reservation.starts_at, earliest.get(reservation.api_id, now))
            reservation.starts_at = _first_free(moment, windows)
            earliest[reservation.api_id] = reservation.starts_at + _SPACING
            for window in windows:
                window.add(reservation)


def _first_free(moment: float, windows: list[_Window]) -> float:
    while True:
        later = max((window.first_free(moment) for window in windows), default=moment)
        if later == moment:
            return moment
        moment = later
