"""The fills: each counted once, and all of them in the end (I6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kiwoom_async._audit.history import History
from kiwoom_async._audit.records import Answer, FillHeard, Harm, Verdict, Violation


def find_untrue_fills(history: History) -> Iterator[Violation]:
    """I6, in the answers: no more than the book has, and never fewer than were told before."""
    for client_order_id, answers in history.told.items():
        most: Answer | None = None
        for answer in answers:
            if answer.verdict is not Verdict.ACCEPTED or answer.broker_order_id is None:
                continue
            own = history.find(answer.broker_order_id, answer.day, history.ledger_of(client_order_id))
            if own is not None and answer.filled_quantity > own.filled_quantity:
                text = f"told {answer.filled_quantity} filled, the book has {own.filled_quantity}"
                yield Violation("I6", Harm.WRONG, client_order_id, text)
                break
            if most is not None and answer.filled_quantity < most.filled_quantity and answer.is_after(most):
                text = f"told {answer.filled_quantity} filled after {most.filled_quantity}"
                yield Violation("I6", Harm.WRONG, client_order_id, text)
                break
            most = answer if most is None or answer.filled_quantity > most.filled_quantity else most


def find_untold_fills(history: History) -> Iterator[Violation]:
    """I6, in the end: of every order the answers have told of all that the book has."""
    for client_order_id, last in history.last.items():
        if last.verdict is not Verdict.ACCEPTED or last.broker_order_id is None:
            continue
        own = history.find(last.broker_order_id, last.day, history.ledger_of(client_order_id))
        told = max(
            answer.filled_quantity
            for answer in history.told[client_order_id]
            if (answer.broker_order_id, answer.day) == (last.broker_order_id, last.day)
        )
        if own is not None and told < own.filled_quantity:
            text = f"told {told} filled to the end, the book has {own.filled_quantity}"
            yield Violation("I6", Harm.WRONG, client_order_id, text)


def find_miscounts(history: History) -> Iterator[Violation]:
    """I6, by what a listener heard: its sum is the book's, of every order, exactly."""
    if history.fills is None:
        return
    heard: defaultdict[str, list[FillHeard]] = defaultdict(list)
    for fill in history.fills:
        heard[fill.client_order_id].append(fill)
    for client_order_id in history.listed.keys() | heard.keys():
        if not client_order_id:
            continue
        left = heard.get(client_order_id, [])
        for entry in history.entries(client_order_id):
            own = [fill for fill in left if entry.has_number(fill.broker_order_id, fill.day)]
            left = [fill for fill in left if fill not in own]
            total = sum(fill.quantity for fill in own)
            if total != entry.filled_quantity:
                text = (
                    f"heard of {total} filled of {entry.broker_order_id} in {len(own)} events, "
                    f"the book has {entry.filled_quantity}"
                )
                yield Violation("I6", Harm.WRONG, client_order_id, text)
        for fill in left:
            text = f"heard of {fill.quantity} filled of {fill.broker_order_id}, which it does not have on the book"
            yield Violation("I6", Harm.WRONG, client_order_id, text)
