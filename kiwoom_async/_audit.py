"""The history checker: what callers asked and were told, held against the broker's own book. Pure.

It knows nothing of the client: not its journal, not its words for a state. It takes three lists and answers with what
contradicts the promises. Whoever wants to prove the client, or another one, fills the lists from a run.

| | what must hold | harm if it does not |
|---|---|---|
| I1 | at most one order on the book per client order id, however often it was sent | doubled |
| I2 | an accepted answer names an order of that id on the book, with its fields; one number, one id | lost, wrong |
| I3 | an id whose answer says "not there" (refused, not accepted, not sent, failed) is not on it | lost |
| I4 | no order of somebody else was claimed or canceled | wrong |
| I5 | one id has one answer. "Not sent" may be followed by another one, "unknown" is none | wrong |
| I6 | no more is reported filled than was | wrong |
| I7 | in the end nothing is unknown | unknown |

The four harms, exactly:

- **doubled**: more than one order on the book with one client order id. A resend that was proven right does not
  change that: there is still one on the book.
- **lost**: an id about which caller and book disagree whether there is an order at all. Either the caller was told
  "accepted" and it is not there, or the caller was told that there is none and it is there, where nobody minds it.
- **wrong**: any other untrue answer: another order's number, other fields, another answer the second time, somebody
  else's order, fills that did not happen.
- **unknown**: an id without an answer at the end of the run.

May import: nothing of ours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum, unique
from typing import Final

from attrs import field, frozen


@unique
class Verdict(StrEnum):
    """What a caller was told.

    FAILED is the exception of a client that does not say what became of the order; bots take it for "there is none".
    ERROR is an exception that is no answer at all, a fault of the client.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_ACCEPTED = "not_accepted"
    NOT_SENT = "not_sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ERROR = "error"


@unique
class Harm(StrEnum):
    """What a violation costs."""

    DOUBLED = "doubled"
    LOST = "lost"
    WRONG = "wrong"
    UNKNOWN = "unknown"


DENIALS: Final = frozenset({Verdict.REFUSED, Verdict.NOT_ACCEPTED, Verdict.NOT_SENT, Verdict.FAILED})
"""Answers that say: there is no such order."""

FINAL: Final = DENIALS - {Verdict.NOT_SENT} | {Verdict.ACCEPTED}
"""Answers after which no other one may follow."""

_NO_ANSWER: Final = frozenset({Verdict.UNKNOWN, Verdict.ERROR})


@frozen
class Terms:
    """The fields of an order; None where the asker left it to the broker."""

    desk: str
    action: str
    symbol: str
    side: str | None = None
    quantity: int | None = None
    price: int | None = None
    route: str | None = None
    original: str | None = None

    def differences(self, other: Terms) -> tuple[str, ...]:
        """Name the fields that both sides give and that differ."""
        return tuple(
            name
            for name in ("desk", "action", "symbol", "side", "quantity", "price", "route", "original")
            if None not in {getattr(self, name), getattr(other, name)} and getattr(self, name) != getattr(other, name)
        )


@frozen
class Ask:
    """A caller began to ask for an order.

    Attributes:
        target: For a modify or cancel: the client order id of the order it is about.
    """

    client_order_id: str
    terms: Terms
    target: str | None = None


@frozen
class Answer:
    """A caller was told something.

    Attributes:
        broker_order_id: With ACCEPTED: the number. None only for a cancel whose effect is seen and whose number is not.
        terms: With ACCEPTED: the fields as the client reports them.
        resolved_by: With ACCEPTED: what it rests on.
        detail: A code, a strength of proof, the text of an error.
    """

    client_order_id: str
    verdict: Verdict = field(converter=Verdict)
    broker_order_id: str | None = None
    terms: Terms | None = None
    filled_quantity: int = 0
    resolved_by: str | None = None
    detail: str = ""

    def may_follow(self, first: Answer) -> bool:
        """Tell whether this says the same as an earlier answer. Fills grow, and a number may become known."""
        if self.verdict is not first.verdict:
            return False
        return first.broker_order_id in {None, self.broker_order_id}


@frozen
class BookEntry:
    """An order as it stands on the broker's book at the end.

    Attributes:
        client_order_id: What the broker recorded of the request's key; for audits, it does nothing with it.
        is_working: Something of it can still trade.
    """

    broker_order_id: str
    terms: Terms
    client_order_id: str | None
    filled_quantity: int = 0
    is_working: bool = False
    is_foreign: bool = False


@frozen
class Violation:
    """One broken promise."""

    invariant: str
    harm: Harm
    client_order_id: str
    text: str


@frozen
class Audit:
    """The verdict on a run.

    Attributes:
        asked: Client order ids.
        on_the_book: Orders, doubles included.
        last: Client order id to its answer at the end.
    """

    asked: int
    on_the_book: int
    last: Mapping[str, Answer]
    violations: tuple[Violation, ...]

    def count(self, harm: Harm) -> int:
        """Count the ids that a harm befell."""
        return len({violation.client_order_id for violation in self.violations if violation.harm is harm})

    def told(self, verdict: Verdict) -> int:
        """Count the ids whose last answer is this."""
        return sum(answer.verdict is verdict for answer in self.last.values())

    def resolved_by(self, evidence: str | None) -> int:
        """Count the accepted ids with a number on the book whose answer rests on this."""
        accepted = (answer for answer in self.last.values() if answer.verdict is Verdict.ACCEPTED)
        return sum(answer.resolved_by == evidence for answer in accepted if answer.broker_order_id is not None)

    @property
    def known_by_effect(self) -> int:
        """Count the accepted cancels without a number: nothing of their original was left in the book."""
        accepted = (answer for answer in self.last.values() if answer.verdict is Verdict.ACCEPTED)
        return sum(answer.broker_order_id is None for answer in accepted)

    @property
    def is_clean(self) -> bool:
        """Tell whether every promise was kept."""
        return not self.violations


def check_history(asks: Iterable[Ask], answers: Iterable[Answer], book: Iterable[BookEntry]) -> Audit:
    """Hold what was asked and told against the book.

    Args:
        asks: Every ask, in order; an id may be asked for again with the same terms.
        answers: Every answer, in order, over all restarts.
        book: The whole book at the end, with other people's orders.
    """
    asked: dict[str, Ask] = {}
    for ask in asks:
        asked.setdefault(ask.client_order_id, ask)
    told: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        told[answer.client_order_id].append(answer)
    entries = tuple(book)
    listed: dict[str, list[BookEntry]] = defaultdict(list)
    for entry in entries:
        if not entry.is_foreign:
            listed[entry.client_order_id or ""].append(entry)
    history = _History(asked, told, listed, {entry.broker_order_id: entry for entry in entries})
    last = {client_order_id: history.last(client_order_id) for client_order_id in asked}
    violations = tuple(
        violation
        for check in (_doubles, _orphans, _accepted, _denied, _changes, _numbers, _strangers, _unknown)
        for violation in check(history, last)
    )
    return Audit(len(asked), sum(map(len, listed.values())), last, violations)


@frozen
class _History:
    """A run, by client order id."""

    asked: Mapping[str, Ask]
    told: Mapping[str, Sequence[Answer]]
    listed: Mapping[str, Sequence[BookEntry]]
    by_number: Mapping[str, BookEntry]

    def last(self, client_order_id: str) -> Answer:
        """Give the answer that counts: the last that is one."""
        answers = [answer for answer in self.told.get(client_order_id, ()) if answer.verdict not in _NO_ANSWER]
        return answers[-1] if answers else Answer(client_order_id, Verdict.UNKNOWN)

    def entries(self, client_order_id: str) -> Sequence[BookEntry]:
        return self.listed.get(client_order_id, ())

    def numbers(self, client_order_id: str) -> frozenset[str]:
        return frozenset(entry.broker_order_id for entry in self.entries(client_order_id))


_Last = Mapping[str, Answer]


def _doubles(history: _History, _: _Last) -> Iterator[Violation]:
    """I1."""
    for client_order_id, entries in history.listed.items():
        if client_order_id and len(entries) > 1:
            numbers = ", ".join(entry.broker_order_id for entry in entries)
            yield Violation("I1", Harm.DOUBLED, client_order_id, f"{len(entries)} orders on the book: {numbers}")


def _orphans(history: _History, _: _Last) -> Iterator[Violation]:
    """I2, from the book's side: somebody must have asked for it, and for this."""
    for client_order_id, entries in history.listed.items():
        ask = history.asked.get(client_order_id)
        for entry in entries:
            if ask is None:
                yield Violation("I2", Harm.WRONG, client_order_id, f"nobody asked for order {entry.broker_order_id}")
            elif ask.target is not None and entry.terms.original not in history.numbers(ask.target):
                text = f"order {entry.broker_order_id} changed {entry.terms.original}, which is not its target's"
                yield Violation("I2", Harm.WRONG, client_order_id, text)
            elif changed := ask.terms.differences(entry.terms):
                text = f"order {entry.broker_order_id} is not what was asked for: {', '.join(changed)}"
                yield Violation("I2", Harm.WRONG, client_order_id, text)


def _accepted(history: _History, last: _Last) -> Iterator[Violation]:
    """I2, from the caller's side, and I6."""
    for client_order_id, answer in last.items():
        if answer.verdict is not Verdict.ACCEPTED:
            continue
        entries = history.entries(client_order_id)
        if answer.broker_order_id is None:
            yield from _effect(history, answer)
            continue
        own = next((entry for entry in entries if entry.broker_order_id == answer.broker_order_id), None)
        if own is None:
            numbers = ", ".join(entry.broker_order_id for entry in entries)
            text = f"told it is {answer.broker_order_id}, the book has " + (numbers or "none")
            yield Violation("I2", Harm.WRONG if entries else Harm.LOST, client_order_id, text)
            continue
        if answer.terms is not None and (changed := answer.terms.differences(own.terms)):
            text = f"told other fields than the book has: {', '.join(changed)}"
            yield Violation("I2", Harm.WRONG, client_order_id, text)
        if answer.filled_quantity > own.filled_quantity:
            text = f"told {answer.filled_quantity} filled, the book has {own.filled_quantity}"
            yield Violation("I6", Harm.WRONG, client_order_id, text)


def _effect(history: _History, answer: Answer) -> Iterator[Violation]:
    """A cancel may be reported done by its effect: then nothing of its original may be left in the book."""
    ask = history.asked[answer.client_order_id]
    originals = history.entries(ask.target or "")
    if ask.terms.action != "cancel" or not originals:
        yield Violation("I2", Harm.WRONG, answer.client_order_id, "accepted without an order number")
    for original in originals:
        if original.is_working:
            text = f"told it is done, but {original.broker_order_id} is still in the book"
            yield Violation("I2", Harm.LOST, answer.client_order_id, text)


def _denied(history: _History, last: _Last) -> Iterator[Violation]:
    """I3."""
    for client_order_id, answer in last.items():
        entries = history.entries(client_order_id)
        if answer.verdict in DENIALS and entries:
            text = f"told {answer.verdict.value}, but the book has {entries[0].broker_order_id}"
            yield Violation("I3", Harm.LOST, client_order_id, text)


def _changes(history: _History, _: _Last) -> Iterator[Violation]:
    """I5."""
    for client_order_id, answers in history.told.items():
        first = next((answer for answer in answers if answer.verdict in FINAL), None)
        if first is None:
            continue
        for answer in answers[answers.index(first) :]:
            if answer.verdict not in _NO_ANSWER and not answer.may_follow(first):
                told = " and ".join(_spelled(one) for one in (first, answer))
                yield Violation("I5", Harm.WRONG, client_order_id, f"two answers: {told}")
                break


def _spelled(answer: Answer) -> str:
    return f"{answer.verdict.value} {answer.broker_order_id or answer.detail}".strip()


def _numbers(_: _History, last: _Last) -> Iterator[Violation]:
    """I2: one to one."""
    numbers = Counter(answer.broker_order_id for answer in last.values() if answer.broker_order_id is not None)
    for client_order_id, answer in last.items():
        if answer.broker_order_id is not None and numbers[answer.broker_order_id] > 1:
            text = f"order {answer.broker_order_id} is the answer to {numbers[answer.broker_order_id]} ids"
            yield Violation("I2", Harm.WRONG, client_order_id, text)


def _strangers(history: _History, last: _Last) -> Iterator[Violation]:
    """I4."""
    for client_order_id, answer in last.items():
        entry = history.by_number.get(answer.broker_order_id or "")
        if entry is not None and entry.is_foreign:
            text = f"order {entry.broker_order_id} is somebody else's"
            yield Violation("I4", Harm.WRONG, client_order_id, text)
    for client_order_id, entries in history.listed.items():
        for entry in entries:
            original = history.by_number.get(entry.terms.original or "")
            if original is not None and original.is_foreign:
                text = f"it changed somebody else's order {original.broker_order_id}"
                yield Violation("I4", Harm.WRONG, client_order_id, text)


def _unknown(history: _History, last: _Last) -> Iterator[Violation]:
    """I7."""
    for client_order_id, answer in last.items():
        if answer.verdict is Verdict.UNKNOWN:
            entries = history.entries(client_order_id)
            text = f"no answer; the book has {entries[0].broker_order_id if entries else 'nothing'}"
            yield Violation("I7", Harm.UNKNOWN, client_order_id, text)
