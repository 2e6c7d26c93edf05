"""The requests on the wire: no more than were permitted, and none again without a proof (I1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from kiwoom_async._audit.history import History
from kiwoom_async._audit.records import Ask, Attempt, Harm, Verdict, Violation


def find_unproven_sends(history: History) -> Iterator[Violation]:
    """I1, on the wire."""
    for client_order_id, count in (history.sends or {}).items():
        ask = history.asked.get(client_order_id)
        if ask is None:
            yield _risked(client_order_id, f"{count} requests on the wire, and nobody asked")
        elif history.attempts is None:
            yield from _beyond_permission(history, ask, count)
    if history.attempts is None:
        return
    for client_order_id, ask in history.asked.items():
        attempts = history.attempts.get(client_order_id, ())
        sends = None if history.sends is None else history.sends.get(client_order_id, 0)
        yield from _beyond_record(ask, attempts, sends)


def _beyond_permission(history: History, ask: Ask, sends: int) -> Iterator[Violation]:
    """Without the client's own record: what callers permitted, and what they were told, excuses a send."""
    told = history.told.get(ask.client_order_id, ())
    permitted = ask.most_sends + sum(answer.verdict is Verdict.NOT_SENT for answer in told)
    if sends > permitted and not ask.is_repeatable:
        yield _risked(ask.client_order_id, f"{sends} requests on the wire, {permitted} permitted")


def _beyond_record(ask: Ask, attempts: Sequence[Attempt], sends: int | None) -> Iterator[Violation]:
    left = [attempt for attempt in attempts if attempt.may_have_left]
    if sends is not None and sends > len(left):
        text = f"{sends} requests on the wire, the durable record has {len(left)}"
        yield _risked(ask.client_order_id, text)
    if ask.is_repeatable:
        return
    for before, after in pairwise(left):
        if not before.may_be_followed:
            text = f"send {after.number} followed send {before.number}, of which nothing was proven"
            yield _risked(ask.client_order_id, text)
    resends = sum(attempt.is_absent for attempt in left[:-1])
    if resends > ask.most_sends - 1:
        text = f"{resends} resends after a proof of absence, {ask.most_sends - 1} permitted"
        yield _risked(ask.client_order_id, text)


def _risked(client_order_id: str, text: str) -> Violation:
    return Violation("I1", Harm.RISKED, client_order_id, text)
