"""The answers: true where they deny (I3), one for each id (I5), one for every id (I7), in time (P3)."""

from __future__ import annotations

from collections.abc import Iterator

from kiwoom_async._audit.history import History
from kiwoom_async._audit.records import DENIALS, FINAL, NO_ANSWER, Answer, Harm, Verdict, Violation


def find_false_denials(history: History) -> Iterator[Violation]:
    """I3."""
    for client_order_id, answer in history.last.items():
        entries = history.entries(client_order_id)
        is_reported = answer.verdict is Verdict.NOT_ACCEPTED and client_order_id in history.revived
        if answer.verdict in DENIALS and entries and not is_reported:
            text = f"told {answer.verdict.value}, but the book has {entries[0].broker_order_id}"
            yield Violation("I3", Harm.LOST, client_order_id, text)


def find_false_revivals(history: History) -> Iterator[Violation]:
    """I3: who is reported to have turned up must be there."""
    for client_order_id in sorted(history.revived):
        if not history.entries(client_order_id):
            text = "reported to have turned up, but the book has none"
            yield Violation("I3", Harm.WRONG, client_order_id, text)


def find_changes(history: History) -> Iterator[Violation]:
    """I5."""
    for client_order_id, answers in history.told.items():
        place = next((place for place, answer in enumerate(answers) if answer.verdict in FINAL), None)
        if place is None:
            continue
        first = answers[place]
        for answer in answers[place + 1 :]:
            if answer.verdict in NO_ANSWER or answer.may_follow(first):
                continue
            if answer.verdict is Verdict.NOT_SENT and not answer.is_after(first):
                continue  # it tells of an earlier attempt, which another caller has waited for
            if _has_turned_up(history, first, answer):
                first = answer
                continue
            told = " and ".join(_spelled(one) for one in (first, answer))
            yield Violation("I5", Harm.WRONG, client_order_id, f"two answers: {told}")
            break


def _has_turned_up(history: History, first: Answer, second: Answer) -> bool:
    is_late = (first.verdict, second.verdict) == (Verdict.NOT_ACCEPTED, Verdict.ACCEPTED)
    return is_late and first.client_order_id in history.revived


def _spelled(answer: Answer) -> str:
    return f"{answer.verdict.value} {answer.broker_order_id or answer.detail}".strip()


def find_unknown(history: History) -> Iterator[Violation]:
    """I7."""
    for client_order_id, answer in history.last.items():
        if answer.verdict is Verdict.UNKNOWN:
            entries = history.entries(client_order_id)
            text = f"no answer; the book has {entries[0].broker_order_id if entries else 'nothing'}"
            yield Violation("I7", Harm.UNKNOWN, client_order_id, text)


def find_late(history: History, tolerance: float) -> Iterator[Violation]:
    """P3."""
    for client_order_id, answers in history.told.items():
        for answer in answers:
            seconds = answer.seconds
            if seconds is not None and answer.deadline is not None and seconds > answer.deadline + tolerance:
                text = f"told {answer.verdict.value} after {seconds:.2f} s, the deadline was {answer.deadline:g} s"
                yield Violation("P3", Harm.LATE, client_order_id, text)
