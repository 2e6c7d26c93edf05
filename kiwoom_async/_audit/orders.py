"""The orders on the book: one for each id (I1), the one that was asked for and told (I2), nobody else's (I4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kiwoom_async._audit.history import History
from kiwoom_async._audit.records import Answer, BookEntry, Harm, Verdict, Violation


def find_doubles(history: History) -> Iterator[Violation]:
    """I1, on the book."""
    for client_order_id, entries in history.listed.items():
        if client_order_id and len(entries) > 1:
            numbers = ", ".join(entry.broker_order_id for entry in entries)
            yield Violation("I1", Harm.DOUBLED, client_order_id, f"{len(entries)} orders on the book: {numbers}")


def find_orphans(history: History) -> Iterator[Violation]:
    """I2, from the book's side: somebody must have asked for it, and for this."""
    for client_order_id, entries in history.listed.items():
        ask = history.asked.get(client_order_id)
        for entry in entries:
            if ask is None:
                yield Violation("I2", Harm.WRONG, client_order_id, f"nobody asked for order {entry.broker_order_id}")
            elif ask.target is not None and not _is_about(history, entry, ask.target):
                text = f"order {entry.broker_order_id} changed {entry.terms.original}, which is not its target's"
                yield Violation("I2", Harm.WRONG, client_order_id, text)
            elif changed := ask.terms.differences(entry.terms):
                text = f"order {entry.broker_order_id} is not what was asked for: {', '.join(changed)}"
                yield Violation("I2", Harm.WRONG, client_order_id, text)


def _is_about(history: History, entry: BookEntry, target: str) -> bool:
    original = entry.terms.original
    if original is None:
        return False
    return any(one.has_number(original, entry.day, entry.terms.ledger) for one in history.entries(target))


def find_false_acceptances(history: History) -> Iterator[Violation]:
    """I2, from the caller's side: every answer that says "accepted", not the last one alone."""
    for client_order_id in history.asked:
        seen = set()
        for answer in history.told.get(client_order_id, ()):
            if answer.verdict is Verdict.ACCEPTED and (key := (answer.broker_order_id, answer.day)) not in seen:
                seen.add(key)
                yield from _false_acceptance(history, answer)


def _false_acceptance(history: History, answer: Answer) -> Iterator[Violation]:
    client_order_id, number = answer.client_order_id, answer.broker_order_id
    entries, ledger = history.entries(client_order_id), history.ledger_of(answer.client_order_id)
    if number is None:
        yield from _false_effect(history, answer)
        return
    own = next((entry for entry in entries if entry.has_number(number, answer.day, ledger)), None)
    if own is None:
        numbers = ", ".join(entry.broker_order_id for entry in entries)
        text = f"told it is {number}, the book has " + (numbers or "none")
        yield Violation("I2", Harm.WRONG if entries else Harm.LOST, client_order_id, text)
    elif answer.terms is not None and (changed := answer.terms.differences(own.terms)):
        text = f"told other fields than the book has: {', '.join(changed)}"
        yield Violation("I2", Harm.WRONG, client_order_id, text)


def _false_effect(history: History, answer: Answer) -> Iterator[Violation]:
    """A cancel may be reported done by its effect: then nothing of its original may be left in the book."""
    ask = history.asked[answer.client_order_id]
    named = history.find(ask.terms.original, None, ask.terms.ledger)
    originals = history.entries(ask.target or "") or ([] if named is None else [named])
    if ask.terms.action != "cancel" or not originals:
        yield Violation("I2", Harm.WRONG, answer.client_order_id, "accepted without an order number")
    for original in originals:
        if original.is_working:
            text = f"told it is done, but {original.broker_order_id} is still in the book"
            yield Violation("I2", Harm.LOST, answer.client_order_id, text)


def find_shared_numbers(history: History) -> Iterator[Violation]:
    """I2: one to one, on each ledger and day."""
    told = {
        client_order_id: (history.ledger_of(client_order_id), answer.day, answer.broker_order_id)
        for client_order_id, answer in history.last.items()
        if answer.broker_order_id
    }
    numbers = Counter(told.values())
    for client_order_id, answer in history.last.items():
        count = numbers[told[client_order_id]] if client_order_id in told else 0
        if count > 1:
            text = f"order {answer.broker_order_id} is the answer to {count} ids"
            yield Violation("I2", Harm.WRONG, client_order_id, text)


def find_strangers(history: History) -> Iterator[Violation]:
    """I4. Who names another's order by its number wants that."""
    for client_order_id, answers in history.told.items():
        numbers = {(answer.broker_order_id, answer.day) for answer in answers if answer.broker_order_id}
        for number, day in sorted(numbers, key=str):
            entry = history.find(number, day, history.ledger_of(client_order_id))
            if entry is not None and entry.is_foreign:
                yield Violation("I4", Harm.WRONG, client_order_id, f"order {number} is somebody else's")
    for client_order_id, entries in history.listed.items():
        for entry in entries:
            original = history.find(entry.terms.original, entry.day, entry.terms.ledger)
            ask = history.asked.get(client_order_id)
            is_named = ask is not None and ask.terms.original == entry.terms.original
            if original is not None and original.is_foreign and not is_named:
                text = f"it changed somebody else's order {original.broker_order_id}"
                yield Violation("I4", Harm.WRONG, client_order_id, text)
