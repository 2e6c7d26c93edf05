"""The broker's memory: every order of every day, with every state it was in.

The succession of states is kept because a view may be late: an order is listed some seconds after it was
accepted, a replica that stopped shows the past. A view is therefore always asked as of a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from attrs import define, evolve, field, frozen

from kiwoom_async._domain.vocabulary import Action
from kiwoom_async.simulator.orders import BookOrder, Instant


@define
class Entry:
    """One order: its states with the moment of each, and how much later the views show them."""

    states: list[tuple[float, BookOrder]]
    lag: float

    @property
    def current(self) -> BookOrder:
        """The truth, whatever the views show."""
        return self.states[-1][1]

    def seen_at(self, tick: float) -> BookOrder | None:
        """Give the state a view shows at a moment; None if the order is not listed yet."""
        seen = tick - self.lag
        for since, order in reversed(self.states):
            if since <= seen:
                return order
        return None


@frozen
class Change:
    """One step in the life of an order.

    Attributes:
        before: None: the order was accepted.
        taken_by: The kind of the request that took a part of the order away; None: the order changed by itself.
    """

    before: BookOrder | None
    after: BookOrder
    now: Instant
    taken_by: Action | None = None


def _ignore(change: Change) -> None:
    """Tell nobody."""


@define
class Ledger:
    """All entries, by day and number, and in the order of acceptance.

    Attributes:
        listener: Hears of every change, right after it was written down.
    """

    days: dict[date, dict[str, Entry]] = field(factory=dict)
    accepted: list[Entry] = field(factory=list)
    listener: Callable[[Change], None] = _ignore

    def add(self, order: BookOrder, now: Instant, lag: float) -> None:
        """Write a new order down.

        Raises:
            ValueError: The number exists on that day.
        """
        entries = self.days.setdefault(order.day, {})
        if order.broker_order_id in entries:
            raise ValueError(f"Order number {order.broker_order_id} exists already on {order.day}.")
        entry = Entry([(now.tick, order)], lag)
        entries[order.broker_order_id] = entry
        self.accepted.append(entry)
        self.listener(Change(None, order, now))

    def change(
        self, day: date, number: str, now: Instant, *, taken_by: Action | None = None, **changes: Any
    ) -> BookOrder:
        """Replace the state of an order; the former ones stay readable."""
        entry = self.days[day][number]
        before = entry.current
        changed = evolve(before, **changes)
        entry.states.append((now.tick, changed))
        self.listener(Change(before, changed, now, taken_by))
        return changed

    def forget_before(self, day: date) -> None:
        """Drop the orders of the days before one: no view shows them any more."""
        self.days = {kept: entries for kept, entries in self.days.items() if kept >= day}
        self.accepted = [entry for entry in self.accepted if entry.current.day >= day]

    def find(self, day: date, number: str) -> BookOrder | None:
        """Give an order as it is now; None if the number is unknown on that day."""
        entry = self.days.get(day, {}).get(number)
        return None if entry is None else entry.current

    def of_day(self, day: date) -> Iterator[BookOrder]:
        """Walk through the orders of a day as they are now, in the order of acceptance."""
        return (entry.current for entry in self.days.get(day, {}).values())

    def view(self, day: date, tick: float) -> list[BookOrder]:
        """List the orders of a day as a view shows them at a moment, in the order of their numbers."""
        shown = (entry.seen_at(tick) for entry in self.days.get(day, {}).values())
        return sorted((order for order in shown if order is not None), key=lambda order: order.broker_order_id)
