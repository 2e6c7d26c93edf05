"""A run, arranged by client order id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from kiwoom_async._audit.records import FINAL, NO_ANSWER, Answer, Ask, Attempt, BookEntry, FillHeard, Verdict


@frozen
class History:
    """A run, by client order id.

    Attributes:
        asked: The first ask of each id.
        asks: All asks of each id, in order.
        told: All answers of each id, in order.
        last: Of each id that was asked for: the last answer that is one.
        listed: The orders on the book that requests have made, by the key that came with them; "" where none did.
        by_number: Every order on the book, other people's included.
        sends: Requests on the wire; None: not recorded.
        attempts: The client's own record of its sends, in order; None: not recorded.
        fills: What a listener heard, each event once; None: not recorded.
        revived: Ids of which the client has reported that they turned up after a proof of absence.
        died: Processes whose callers need no answer; None: not recorded.
    """

    asked: Mapping[str, Ask]
    asks: Mapping[str, Sequence[Ask]]
    told: Mapping[str, Sequence[Answer]]
    last: Mapping[str, Answer]
    listed: Mapping[str, Sequence[BookEntry]]
    by_number: Mapping[str, Sequence[BookEntry]]
    sends: Mapping[str, int] | None
    attempts: Mapping[str, Sequence[Attempt]] | None
    fills: Sequence[FillHeard] | None
    revived: frozenset[str]
    died: frozenset[str] | None

    @classmethod
    def of(
        cls,
        asks: Iterable[Ask],
        answers: Iterable[Answer],
        book: Iterable[BookEntry],
        *,
        sends: Iterable[str] | None,
        attempts: Iterable[Attempt] | None,
        fills: Iterable[FillHeard] | None,
        revived: Iterable[str] | None,
        died: Iterable[str] | None,
    ) -> History:
        """Arrange the lists of a run."""
        asked: defaultdict[str, list[Ask]] = defaultdict(list)
        for ask in asks:
            asked[ask.client_order_id].append(ask)
        told: defaultdict[str, list[Answer]] = defaultdict(list)
        for answer in answers:
            told[answer.client_order_id].append(answer)
        listed: defaultdict[str, list[BookEntry]] = defaultdict(list)
        by_number: defaultdict[str, list[BookEntry]] = defaultdict(list)
        for entry in book:
            by_number[entry.broker_order_id].append(entry)
            if not entry.is_foreign:
                listed[entry.client_order_id or ""].append(entry)
        return cls(
            {client_order_id: first for client_order_id, (first, *_) in asked.items()},
            dict(asked),
            dict(told),
            {client_order_id: _last(client_order_id, told.get(client_order_id, ())) for client_order_id in asked},
            dict(listed),
            dict(by_number),
            None if sends is None else Counter(sends),
            None if attempts is None else _by_id(attempts),
            None if fills is None else tuple({fill.sequence: fill for fill in fills}.values()),
            frozenset(revived or ()),
            None if died is None else frozenset(died),
        )

    def entries(self, client_order_id: str) -> Sequence[BookEntry]:
        """List what an id has on the book."""
        return self.listed.get(client_order_id, ())

    def ledger_of(self, client_order_id: str) -> str | None:
        """Name the ledger on which the number of an id is valid; None where nobody has asked for it."""
        ask = self.asked.get(client_order_id)
        return None if ask is None else ask.terms.ledger

    def find(self, number: str | None, day: str | None, ledger: str | None) -> BookEntry | None:
        """Find the order that has a number on a day and a ledger."""
        found = (entry for entry in self.by_number.get(number or "", ()) if entry.has_number(number or "", day, ledger))
        return next(found, None)


def _last(client_order_id: str, told: Sequence[Answer]) -> Answer:
    last = Answer(client_order_id, Verdict.UNKNOWN)
    for answer in told:
        # "Not sent" can be about an attempt before the one that came to something, and be told after it.
        is_older = answer.verdict is Verdict.NOT_SENT and last.verdict in FINAL and not answer.is_after(last)
        if answer.verdict not in NO_ANSWER and not is_older:
            last = answer
    return last


def _by_id(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    found: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in sorted(attempts, key=lambda attempt: attempt.number):
        found[attempt.client_order_id].append(attempt)
    return dict(found)
