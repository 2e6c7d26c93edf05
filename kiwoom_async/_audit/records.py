"""What the history checker takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Final

from attrs import field, fields, frozen


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
    RISKED = "risked"
    LATE = "late"


DENIALS: Final = frozenset({Verdict.REFUSED, Verdict.NOT_ACCEPTED, Verdict.NOT_SENT, Verdict.FAILED})
"""Answers that say: there is no such order."""

FINAL: Final = DENIALS - {Verdict.NOT_SENT} | {Verdict.ACCEPTED}
"""Answers after which no other one may follow."""

NO_ANSWER: Final = frozenset({Verdict.UNKNOWN, Verdict.ERROR})
"""What says nothing of the order."""


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
    order_type: str | None = None
    stop_price: int | None = None

    @property
    def ledger(self) -> str:
        """Name the ledger on which its number is valid: gold has one of its own, credit stands among the stocks."""
        return "gold" if self.desk == "gold" else "stock"

    def differences(self, other: Terms) -> tuple[str, ...]:
        """Name the fields that both sides give and that differ."""
        return tuple(
            name
            for name in (one.name for one in fields(Terms))
            if None not in {getattr(self, name), getattr(other, name)} and getattr(self, name) != getattr(other, name)
        )


@frozen
class Ask:
    """A caller began to ask for an order.

    Attributes:
        target: For a modify or cancel: the client order id of the order it is about.
        most_sends: How often the caller has permitted it to be sent in all, each time after a proof of absence.
        call: Names this one ask; the answer to it has the same name. None: asks and answers of the id are counted.
        process: Who asks, as `died` names it; None: not recorded.
        asked_at: Seconds on the clock of the answers; None: not recorded.
    """

    client_order_id: str
    terms: Terms
    target: str | None = None
    most_sends: int = 1
    call: str | None = None
    process: str | None = None
    asked_at: float | None = None

    @property
    def is_repeatable(self) -> bool:
        """Tell whether two of it on the wire are as good as one: a cancel of all that is left."""
        return self.terms.action == "cancel" and self.terms.quantity is None


@frozen
class Answer:
    """A caller was told something.

    Attributes:
        broker_order_id: With ACCEPTED: the number. None only for a cancel whose effect is seen and whose number is not.
        terms: With ACCEPTED: the fields as the client reports them.
        resolved_by: With ACCEPTED: what it rests on.
        detail: A code, a strength of proof, the text of an error.
        day: With ACCEPTED: the day on which the number is valid; None: not recorded.
        asked_at, told_at: Seconds on one clock for all processes; None: not recorded, and the order of the list counts.
        deadline: Seconds the caller was willing to wait; None: not recorded.
        call: Of the ask that it answers; None: not recorded.
    """

    client_order_id: str
    verdict: Verdict = field(converter=Verdict)
    broker_order_id: str | None = None
    terms: Terms | None = None
    filled_quantity: int = 0
    resolved_by: str | None = None
    detail: str = ""
    day: str | None = None
    asked_at: float | None = None
    told_at: float | None = None
    deadline: float | None = None
    call: str | None = None

    @property
    def seconds(self) -> float | None:
        """Give how long the caller waited; None: not recorded."""
        return None if self.asked_at is None or self.told_at is None else self.told_at - self.asked_at

    def is_after(self, other: Answer) -> bool:
        """Tell whether it was asked for when the other one, earlier in the list, had been told."""
        return self.asked_at is None or other.told_at is None or self.asked_at >= other.told_at

    def may_follow(self, first: Answer) -> bool:
        """Tell whether this says the same as an earlier answer. Fills grow, and a number may become known."""
        if self.verdict is not first.verdict:
            return False
        if self.verdict is Verdict.REFUSED and self.detail != first.detail:
            return False
        if self.terms is not None and first.terms is not None and self.terms != first.terms:
            return False
        return first.broker_order_id is None or (self.broker_order_id, self.day) == (first.broker_order_id, first.day)


@frozen
class BookEntry:
    """An order as it stands on the broker's book at the end.

    Attributes:
        client_order_id: What the broker recorded of the request's key; for audits, it does nothing with it.
        is_working: Something of it can still trade.
        day: The day on which the number is valid; None: the book has one day.
        accepted_at: Seconds on the clock of the answers; None: not recorded.
    """

    broker_order_id: str
    terms: Terms
    client_order_id: str | None
    filled_quantity: int = 0
    is_working: bool = False
    is_foreign: bool = False
    day: str | None = None
    accepted_at: float | None = None

    def has_number(self, number: str, day: str | None, ledger: str | None = None) -> bool:
        """Tell whether a number, valid on a day and a ledger, is this order's; None stands for any of them."""
        is_there = None in {day, self.day} or self.day == day
        return self.broker_order_id == number and is_there and ledger in {None, self.terms.ledger}


@frozen
class Attempt:
    """One send, as the client's own durable record has it.

    Attributes:
        number: Rises within the id.
        may_have_left: Its first byte was permitted, and it is not proven that none left.
        is_absent: Nobody has accepted it, and a proof of that is on record which is strong enough to send again.
        is_turned_away: It was refused by an intact answer.
    """

    client_order_id: str
    number: int
    may_have_left: bool = True
    is_absent: bool = False
    is_turned_away: bool = False

    @property
    def may_be_followed(self) -> bool:
        """Tell whether another one may be sent after it."""
        return not self.may_have_left or self.is_absent or self.is_turned_away


@frozen
class FillHeard:
    """A fill as a listener heard of it.

    Attributes:
        sequence: Of the event: one event that was heard twice counts once.
        day: The day on which the number is valid; None: not recorded.
    """

    client_order_id: str
    broker_order_id: str
    quantity: int
    sequence: int
    day: str | None = None


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
