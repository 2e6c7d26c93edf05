"""Who is who among orders that are alike: what the history checker must not take for a fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from math import inf

from attrs import define, evolve, field

from kiwoom_async._audit import DENIALS, FINAL, Answer, Ask, BookEntry, Terms, Verdict

Number = tuple[bool, str | None, str]
"""The ledger (gold has its own), the day and the number: numbers begin anew every day (A8)."""


def number_of(entry: BookEntry) -> Number:
    """Name an order on the book."""
    return entry.terms.desk == "gold", entry.day, entry.broker_order_id


@define
class Moments:
    """When things happened, in seconds on one clock; what is missing is not known, and speaks against a swap.

    Attributes:
        asked: Client order id: when it was asked for first.
        accepted: When the broker accepted an order.
        slack: Seconds by which the client must allow for the clocks and the whole seconds of the broker's times.
    """

    asked: Mapping[str, float] = field(factory=dict)
    accepted: Mapping[Number, float] = field(factory=dict)
    slack: float = 0.0


def renamed(
    asks: Iterable[Ask], answers: Iterable[Answer], book: Iterable[BookEntry], moments: Moments
) -> list[BookEntry]:
    """Give twins each other's orders where the client took them so: nobody can tell orders apart that are alike.

    Which of two identical orders, in the air at the same time, has which number is a name and no fact (section 6 of the
    theory: true up to renaming interchangeable intents). In the air means: the order was accepted after its new owner
    had been asked for, before that one was settled and before the other one was denied. How many orders an id has is a
    fact: one that has two keeps them, and the others change places one for one. But where one of two twins was proven
    absent and sent again, which of them that was is a name, too: an id that was told of its last order may have had the
    first one for a twin that has none. Two cancels of all that is left of one order are twins as well.
    """
    answers = list(answers)
    numbers = _told(answers)
    twins: dict[Terms, dict[str, None]] = defaultdict(dict)
    for ask in asks:
        if (kind := _kind(ask, numbers)) is not None:
            twins[kind][ask.client_order_id] = None
    entries = list(book)
    swap = _Swap(moments, _first(answers, FINAL), _first(answers, FINAL & DENIALS))
    names: dict[Number, str] = {}
    for ids in twins.values():
        own = [entry for entry in entries if entry.client_order_id in ids and not entry.is_foreign]
        count = Counter(entry.client_order_id for entry in own)
        names |= swap.names(own, list(ids), numbers, count)
    return [_give(entry, names.get(number_of(entry), entry.client_order_id)) for entry in entries]


def _give(entry: BookEntry, name: str | None) -> BookEntry:
    """Give an order to an id; the moment of its acceptance says something about the one that it was sent for only."""
    if entry.is_foreign or name == entry.client_order_id:
        return entry
    return evolve(entry, client_order_id=name, accepted_at=None)


def _kind(ask: Ask, numbers: Mapping[str, tuple[str | None, str]]) -> Terms | None:
    """Give what twins have in common: all their fields, or that they cancel all that is left of one order."""
    if ask.target is None and not ask.is_repeatable:
        return ask.terms
    original = ask.terms.original or numbers.get(ask.target or "", (None, None))[1]
    if not ask.is_repeatable or original is None:
        return None
    return Terms(ask.terms.ledger, ask.terms.action, ask.terms.symbol, original=original)


def _first(answers: Iterable[Answer], verdicts: frozenset[Verdict]) -> dict[str, float]:
    """Give when each id was told one of some verdicts first."""
    found: dict[str, float] = {}
    for answer in answers:
        if answer.verdict in verdicts and answer.told_at is not None:
            found[answer.client_order_id] = min(found.get(answer.client_order_id, inf), answer.told_at)
    return found


def _told(answers: Iterable[Answer]) -> dict[str, tuple[str | None, str]]:
    return {
        answer.client_order_id: (answer.day, answer.broker_order_id)
        for answer in answers
        if answer.broker_order_id is not None
    }


@define
class _Swap:
    """Who may have whose order.

    Attributes:
        settled: When each id was told an answer after which no other one may follow.
        denied: When each id was told that there is no order.
    """

    moments: Moments
    settled: Mapping[str, float]
    denied: Mapping[str, float]

    def may(self, entry: BookEntry, owner: str) -> bool:
        """Tell whether an order may as well have been made for another id."""
        accepted = self.moments.accepted.get(number_of(entry))
        asked = self.moments.asked.get(owner)
        if accepted is None or asked is None or accepted < asked - self.moments.slack:
            return False
        return accepted <= min(self.settled.get(owner, inf), self.denied.get(entry.client_order_id or "", inf))

    def is_earlier(self, one: BookEntry, other: BookEntry) -> bool:
        """Tell whether an order was accepted before another one."""
        return self.moments.accepted.get(number_of(one), inf) < self.moments.accepted.get(number_of(other), -inf)

    def names(
        self,
        entries: list[BookEntry],
        ids: list[str],
        told: Mapping[str, tuple[str | None, str]],
        count: Mapping[str | None, int],
    ) -> dict[Number, str]:
        """Give the orders of one kind to who was told of them, and those of ids that have one to who has none."""
        listed = {(entry.day, entry.broker_order_id): entry for entry in entries}
        names: dict[Number, str] = {}
        for name in ids:
            entry = listed.get(told[name]) if name in told else None
            if entry is None:
                continue
            owner = entry.client_order_id
            if count[owner] == 1:
                is_free = count.get(name, 0) <= 1
            else:
                kept = listed.get(told.get(owner or "", (None, "")))
                own = {(one.day, one.broker_order_id) for one in entries if one.client_order_id == name}
                others = {told[each] for each in ids if each != name and each in told}
                is_free = own <= others and kept is not None and self.is_earlier(entry, kept)
            if owner == name or (is_free and self.may(entry, name)):
                names[number_of(entry)] = name
        free = [name for name in ids if name not in names.values() and count.get(name, 0) <= 1]
        left = [entry for entry in entries if number_of(entry) not in names and count[entry.client_order_id] == 1]
        for entry in sorted(left, key=lambda entry: entry.client_order_id not in free):
            if entry.client_order_id in free:
                free.remove(entry.client_order_id)
            elif (taker := next((name for name in free if self.may(entry, name)), None)) is not None:
                free.remove(taker)
                names[number_of(entry)] = taker
        return names
