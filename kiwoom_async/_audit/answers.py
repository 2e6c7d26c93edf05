"""The answers: true where they deny (I3), one for each id (I5), one for every id (I7), in time (P3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from kiwoom_async._audit.history import History
from kiwoom_async._audit.records import DENIALS, FINAL, NO_ANSWER, Answer, BookEntry, Harm, Verdict, Violation

_ONE_MOMENT: Final = 1e-6
"""Seconds by which two readings of one moment may differ. Source: on virtual time the answer to a call can have no
delay, and a moment that was moved to another zero and back has lost its last digits."""


def find_false_denials(history: History) -> Iterator[Violation]:
    """I3."""
    for client_order_id, answer in history.last.items():
        entries = history.entries(client_order_id)
        is_reported = answer.verdict is Verdict.NOT_ACCEPTED and client_order_id in history.revived
        if answer.verdict in DENIALS and entries and not is_reported:
            text = f"told {answer.verdict.value}, but the book has {entries[0].broker_order_id}"
            yield Violation("I3", Harm.LOST, client_order_id, text)


def find_denials_of_what_was_there(history: History) -> Iterator[Violation]:
    """I3, of every answer and not the last one alone: at that moment the order was there, or on its way."""
    for client_order_id, answers in history.told.items():
        entries = [entry for entry in history.entries(client_order_id) if entry.accepted_at is not None]
        for answer in answers:
            if answer.verdict not in DENIALS or answer is history.last.get(client_order_id):
                continue  # the last one is judged by the book alone
            if answer.verdict is Verdict.NOT_ACCEPTED and client_order_id in history.revived:
                continue
            false = next((entry for entry in entries if _is_denied(history, answer, entry)), None)
            if false is not None:
                number = false.broker_order_id
                moments = f"at {_second(answer.told_at)}, {number} was accepted at {_second(false.accepted_at)}"
                text = f"told {answer.verdict.value} {moments}"
                yield Violation("I3", Harm.LOST, client_order_id, text)
                break


def _second(moment: float | None) -> str:
    return "a time not recorded" if moment is None else f"{moment:.3f} s"


def _is_denied(history: History, answer: Answer, entry: BookEntry) -> bool:
    """Tell whether an answer denies an order that was accepted at a known moment."""
    if answer.verdict is not Verdict.NOT_SENT:
        return answer.told_at is not None and entry.accepted_at is not None and entry.accepted_at <= answer.told_at
    # It speaks of what this one caller has asked for: an order that was not there before is another caller's, or a lie.
    if answer.asked_at is None or entry.accepted_at is None:
        return False
    return entry.accepted_at <= answer.asked_at or not _has_another_maker(history, answer, entry.accepted_at)


def _has_another_maker(history: History, denial: Answer, accepted_at: float) -> bool:
    """Tell whether somebody else asked in time for an order, and was not told that nothing was sent for it."""
    told = history.told[denial.client_order_id]
    makers = [answer for answer in told if answer.verdict is not Verdict.NOT_SENT]
    if any(_is_in_time(answer.asked_at, accepted_at) for answer in makers):
        return True
    in_time = [ask for ask in history.asks.get(denial.client_order_id, ()) if _is_in_time(ask.asked_at, accepted_at)]
    return bool(Counter(ask.call for ask in in_time) - Counter(answer.call for answer in told))


def _is_in_time(asked_at: float | None, accepted_at: float) -> bool:
    """Tell whether an order may be what was asked for then."""
    return asked_at is None or asked_at <= accepted_at + _ONE_MOMENT


def find_silences(history: History) -> Iterator[Violation]:
    """P3: everybody who asks is told something, unless the process has died."""
    if history.died is None:
        return
    for client_order_id, asks in history.asks.items():
        answered = Counter(answer.call for answer in history.told.get(client_order_id, ()))
        asked = Counter(ask.call for ask in asks)
        excused = Counter(ask.call for ask in asks if ask.process in history.died)
        silent = sum(max(0, count - answered[call] - excused[call]) for call, count in asked.items())
        if silent:
            yield Violation("P3", Harm.LATE, client_order_id, f"{silent} of {len(asks)} who asked were told nothing")


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
            continue
        latest = history.told[client_order_id][-1]
        known = next((one for one in history.told[client_order_id] if one.verdict in FINAL), None)
        if known is not None and latest.verdict in NO_ANSWER and latest.is_after(known):
            text = f"told {_spelled(known)}, and {latest.verdict.value} to the end"
            yield Violation("I7", Harm.UNKNOWN, client_order_id, text)


def find_late(history: History, tolerance: float) -> Iterator[Violation]:
    """P3."""
    for client_order_id, answers in history.told.items():
        for answer in answers:
            seconds = answer.seconds
            if seconds is not None and answer.deadline is not None and seconds > answer.deadline + tolerance:
                text = f"told {answer.verdict.value} after {seconds:.2f} s, the deadline was {answer.deadline:g} s"
                yield Violation("P3", Harm.LATE, client_order_id, text)
