"""Who is who among orders that are alike: what the history checker must not take for a fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from attrs import evolve

from kiwoom_async._audit import Answer, Ask, BookEntry, Terms

_Number = tuple[str | None, str]
"""The day and the number: numbers begin anew every day (A8)."""


def _number(entry: BookEntry) -> _Number:
    return entry.day, entry.broker_order_id


def renamed(asks: Iterable[Ask], answers: Iterable[Answer], book: Iterable[BookEntry]) -> list[BookEntry]:
    """Give twins each other's orders where the client took them so: nobody can tell orders apart that are alike.

    Which of two identical orders, in the air at the same time, has which number is a name and no fact (section 6 of the
    theory: true up to renaming interchangeable intents). How many there are is a fact: an order beyond those that were
    told stays with its own id, or goes to a twin that was told that it has none.
    """
    classes: dict[Terms, dict[str, None]] = defaultdict(dict)
    for ask in asks:
        if ask.target is None:
            classes[ask.terms][ask.client_order_id] = None
    told = {
        answer.client_order_id: (answer.day, answer.broker_order_id)
        for answer in answers
        if answer.broker_order_id is not None
    }
    names: dict[_Number, str] = {}
    book = list(book)
    for twins in classes.values():
        entries = [entry for entry in book if entry.client_order_id in twins and not entry.is_foreign]
        numbers = set(map(_number, entries))
        taken = {told[name]: name for name in twins if name in told and told[name] in numbers}
        names |= taken
        left = [entry for entry in entries if _number(entry) not in taken]
        free = [name for name in twins if name not in taken.values()]
        for entry in sorted(left, key=lambda entry: entry.client_order_id not in free):
            if entry.client_order_id in free:
                free.remove(entry.client_order_id)
            elif free:
                names[_number(entry)] = free.pop(0)
    return [evolve(entry, client_order_id=names.get(_number(entry), entry.client_order_id)) for entry in book]
