"""Domain records as the journal's rows and JSON, both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar

import cattrs
from attrs import field, frozen

from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._domain.health import Breach
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.life import Life
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.settings import Reliance
from kiwoom_async._domain.states import ON_THE_BOOK, Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, ResolvedBy
from kiwoom_async._journal.decoding import decoding

_T = TypeVar("_T")


def _make_converter() -> cattrs.Converter:
    # Sorted, so that the same record is the same text.
    converter = cattrs.Converter(omit_if_default=True, unstruct_collection_overrides={AbstractSet: sorted})
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    converter.register_unstructure_hook(date, date.isoformat)
    converter.register_structure_hook(date, lambda text, _: date.fromisoformat(text))
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    return converter


_CONVERTER: Final = _make_converter()


def to_plain(record: Any) -> Any:
    """Give a record as dictionaries, lists and texts."""
    return _CONVERTER.unstructure(record)


def from_plain(plain: Any, kind: type[_T]) -> _T:
    """Make a record from dictionaries, lists and texts."""
    return _CONVERTER.structure(plain, kind)


def to_json(record: Any) -> str:
    """Write a record as JSON.

    In ASCII: a server may send half of a surrogate pair, which JSON can say and SQLite's UTF-8 cannot.
    """
    return json.dumps(to_plain(record), separators=(",", ":"))


@decoding()
def from_json(text: str, kind: type[_T]) -> _T:
    """Read a record from JSON."""
    return _CONVERTER.structure(json.loads(text), kind)


@frozen
class Claim:
    """An order number that is proven ours, with the last report of the order."""

    account: str
    day: date
    broker_order_id: str
    client_order_id: str
    attempt: int
    status: OrderStatus | None
    filled_quantity: int
    average_fill_price: Decimal | None
    leaves_quantity: int | None


@frozen
class HistoryEntry:
    """One line of an order's history."""

    sequence: int
    client_order_id: str
    attempt: int
    at: datetime
    event: str
    state: Delivery
    evidence: Mapping[str, Any]


MAY_BE_SENT_AGAIN: Final = "may_be_sent_again"
"""Key in the evidence of a refusal that was about the token, not about the order."""

DOUBT: Final = "doubt"
"""Key in the evidence of a proven absence that must not be relied on: which assumption was seen not to hold."""

_CAME_TO_NOTHING: Final = frozenset({Delivery.REFUSED, Delivery.NOT_ACCEPTED})


def decisive_attempt(attempts: tuple[Attempt, ...]) -> Attempt:
    """Give the attempt that decides what is said of the order, and whether it may be sent again.

    That is the latest one that may have left. But one that came to nothing says nothing about an earlier one that is
    on the book or may be: the second send of a cancel can be refused because the first one has worked.
    """
    left = [attempt for attempt in attempts if attempt.state is not Delivery.NOT_SENT] or attempts
    alive = [attempt for attempt in left if attempt.state not in _CAME_TO_NOTHING]
    return (alive or left)[-1]


@frozen
class OrderRecord:
    """All the journal knows of a client order id.

    Attributes:
        attempts: Oldest first; at least one.
        claims: The numbers the broker gave, usually one.
        answered_by: Number of the attempt that was the first to be known on the book. None where none is.
        evidence: What led the speaking attempt to the state it is in: Kiwoom's code and text of a refusal, the proof
            of an absence.
    """

    intent: Intent
    attempts: tuple[Attempt, ...]
    claims: tuple[Claim, ...]
    evidence: Mapping[str, Any]
    answered_by: int | None = None

    @property
    def speaking(self) -> Attempt:
        """Give the attempt that the answer rests on: what happens to others later does not change it."""
        first = (attempt for attempt in self.attempts if attempt.number == self.answered_by)
        return next(first, self.decisive)

    @property
    def last(self) -> Attempt:
        """Give the latest attempt."""
        return self.attempts[-1]

    @property
    def owner(self) -> str:
        """Name the process that sent it first, or has inherited that."""
        return next((one for one in self.attempts if one.state is not Delivery.NOT_SENT), self.last).runner

    @property
    def may_be_sent(self) -> bool:
        """Tell whether a caller may send it: no attempt has left, or the last one was turned away for its token."""
        if self.answered_by is not None:
            return False
        is_unsent = self.decisive.state in {Delivery.NOT_SENT, Delivery.PREPARED}
        return is_unsent or (self.decisive.state is Delivery.REFUSED and bool(self.evidence.get(MAY_BE_SENT_AGAIN)))

    @property
    def is_on_the_book(self) -> bool:
        """Tell whether a send of it is known to be on the book: the order has its answer, whatever became of others."""
        return any(attempt.state in ON_THE_BOOK for attempt in self.attempts)

    @property
    def decisive(self) -> Attempt:
        """Give the attempt that decides; see `decisive_attempt`."""
        return decisive_attempt(self.attempts)


@frozen
class Finding:
    """What is learnt about one attempt, to be written in one transaction.

    Attributes:
        event: Moves the state by the table.
        evidence: JSON-ready details for the history.
        broker_order_id: With ACKNOWLEDGED, REAPPEARED and DUPLICATED: the number to claim.
        claim_day: The day the number is valid on.
        ended, ended_at: When the sender was known to be finished, if this finding tells.
        is_answered: Kiwoom itself answered.
        row: The broker's report of the claimed order, where the number was found on the ledger.
        is_final: The day was over when the row was read: what is left has expired.
        considered: With PROVEN_ABSENT: days and numbers of the feed's reports that the proof has taken into account.
        breaches: What it says about the assumptions, kept with it where it moves the state.
    """

    event: Event
    reason: str = ""
    evidence: Mapping[str, Any] = field(factory=dict)
    broker_order_id: str | None = None
    claim_day: date | None = None
    resolved_by: ResolvedBy | None = None
    ended: float | None = None
    ended_at: datetime | None = None
    is_answered: bool = False
    row: LedgerOrder | None = None
    is_final: bool = False
    considered: frozenset[tuple[date, str]] = frozenset()
    breaches: tuple[Breach, ...] = ()


@frozen
class LedgerNews:
    """What a look at the ledger taught beyond the attempts it settled.

    Attributes:
        own: Rows of orders that are claimed.
        foreign: Rows of orders that are proven to be others'.
        highest: The highest order number seen.
        channels: Texts that our acknowledged orders carry.
        is_final: The day was over when the ledger was read: what is left of our orders has expired.
        changes: Rows of modifies and cancels, anybody's, that have taken something from their originals.
    """

    account: str
    desk: Desk
    day: date
    own: tuple[LedgerOrder, ...]
    foreign: tuple[LedgerOrder, ...]
    highest: int
    channels: frozenset[str] = frozenset()
    is_final: bool = False
    changes: tuple[LedgerOrder, ...] = ()


@frozen
class Doubt:
    """A number of ours of which something was reported that only its own row of the ledger can explain."""

    desk: Desk
    day: date
    broker_order_id: str


@frozen
class ReportNews:
    """What a batch of the broker's statements has changed in the journal.

    Attributes:
        events: How many order events were written.
        unclaimed: A report names a number that nobody has; it is kept until somebody claims it.
        doubts: Numbers of ours that want a look at the ledger.
        alarms: What cannot be true, in words, where it was not said before.
        touched: Client order ids with new events, or finished without one.
        last_event: Sequence of the last of the events; 0 if there are none.
    """

    events: int = 0
    unclaimed: bool = False
    doubts: tuple[Doubt, ...] = ()
    alarms: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    last_event: int = 0

    def followed_by(self, later: ReportNews) -> ReportNews:
        """Give both as one."""
        return ReportNews(
            self.events + later.events,
            self.unclaimed or later.unclaimed,
            (*self.doubts, *later.doubts),
            (*self.alarms, *later.alarms),
            tuple(dict.fromkeys([*self.touched, *later.touched])),
            max(self.last_event, later.last_event),
        )


@frozen
class Bookmark:
    """A place in what the file tells in rising order; 0 is before everything.

    Attributes:
        history: Sequence in the history, which is of all accounts of the file.
        event: Sequence of an order event of the account.
    """

    history: int = 0
    event: int = 0


@frozen
class JournalNews:
    """What all processes have written since a bookmark.

    Attributes:
        until: The place up to which it was read.
        touched: Client order ids with new history or events, other accounts' among them; None: too many to name.
    """

    until: Bookmark
    touched: frozenset[str] | None


@frozen
class WorkingOrder:
    """A number of ours that may still be in the book.

    Attributes:
        desk: Whose ledger lists it.
    """

    desk: Desk
    day: date
    broker_order_id: str
    symbol: str
    client_order_id: str


@frozen
class FeedSession:
    """A certificate: from `since` to `heard` nothing of the feed was missed.

    Attributes:
        epoch: Rises with every session of the account.
        runner: The client that held it.
        boot_id: The run of the operating system in which the monotonic stamps below are valid.
        since: Monotonic second from which on every report was received.
        since_at: The same on the wall clock.
        heard: Monotonic second of the last frame that was noted.
        is_over: The session was ended, or its client is gone.
        reason: Why it ended; "" while it goes on.
    """

    epoch: int
    runner: str
    boot_id: str
    since: float
    since_at: datetime
    heard: float
    is_over: bool
    reason: str = ""


def intent_row(intent: Intent) -> tuple[Any, ...]:
    """Give the columns of an intent, in the order of the schema."""
    return (
        intent.client_order_id,
        intent.account,
        intent.request.fingerprint,
        to_json(intent.request),
        intent.created_at.isoformat(),
        intent.resend_within,
        intent.max_attempts,
    )


KEPT_REQUESTS: Final = 1024
"""Requests that are kept as they were read. Source: our choice; about a mebibyte. An order is read dozens of times
while it is open, and to read its request again took a third of each reading."""


@lru_cache(maxsize=KEPT_REQUESTS)
def _read_request(text: str, fingerprint: str) -> OrderRequest:
    """Read a request, which stands in each row twice: one that does not fit its fingerprint was damaged."""
    request = from_json(text, OrderRequest)
    if request.fingerprint != fingerprint:
        raise ValueError("a request does not fit its fingerprint")
    return request


@decoding()
def read_intent(row: tuple[Any, ...]) -> Intent:
    """Read the columns of an intent."""
    return Intent(
        client_order_id=row[0],
        account=row[1],
        request=_read_request(row[3], row[2]),
        created_at=datetime.fromisoformat(row[4]),
        resend_within=row[5],
        max_attempts=row[6],
    )


ATTEMPT_COLUMNS: Final = (
    "client_order_id, number, account, ledger, fingerprint, request, state, day, mark, runner, boot_id, dispatched_at, "
    "dispatched, write_until, ended, ended_at, is_answered, broker_order_id, resolved_by, reason, relied_on"
)

KEPT_RELIANCES: Final = 64
"""Settings of senders that are kept as they were read and written. Source: our choice; few processes share a file."""


@lru_cache(maxsize=KEPT_RELIANCES)
def _write_reliance(reliance: Reliance) -> str:
    return to_json(reliance)


@lru_cache(maxsize=KEPT_RELIANCES)
def _read_reliance(text: str) -> Reliance:
    return from_json(text, Reliance)


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    """Give the columns of an attempt, in the order of `ATTEMPT_COLUMNS`."""
    return (
        attempt.client_order_id,
        attempt.number,
        attempt.account,
        attempt.request.desk.ledger.value,
        attempt.request.fingerprint,
        to_json(attempt.request),
        attempt.state.value,
        attempt.day.isoformat(),
        attempt.mark,
        attempt.runner,
        attempt.boot_id,
        attempt.dispatched_at.isoformat(),
        attempt.dispatched,
        attempt.write_until,
        attempt.ended,
        None if attempt.ended_at is None else attempt.ended_at.isoformat(),
        int(attempt.is_answered),
        attempt.broker_order_id,
        None if attempt.resolved_by is None else attempt.resolved_by.value,
        attempt.reason,
        None if attempt.relied_on is None else _write_reliance(attempt.relied_on),
    )


@decoding()
def read_attempt(row: tuple[Any, ...]) -> Attempt:
    """Read the columns of an attempt."""
    return Attempt(
        client_order_id=row[0],
        number=row[1],
        account=row[2],
        request=_read_request(row[5], row[4]),
        state=Delivery(row[6]),
        day=date.fromisoformat(row[7]),
        mark=row[8],
        runner=row[9],
        boot_id=row[10],
        dispatched_at=datetime.fromisoformat(row[11]),
        dispatched=row[12],
        write_until=row[13],
        ended=row[14],
        ended_at=None if row[15] is None else datetime.fromisoformat(row[15]),
        is_answered=bool(row[16]),
        broker_order_id=row[17],
        resolved_by=None if row[18] is None else ResolvedBy(row[18]),
        reason=row[19],
        relied_on=None if row[20] is None else _read_reliance(row[20]),
    )


CLAIM_COLUMNS: Final = (
    "account, day, broker_order_id, client_order_id, attempt, status, filled_quantity, average_fill_price, "
    "leaves_quantity"
)


@decoding()
def read_claim(row: tuple[Any, ...]) -> Claim:
    """Read the columns of a claim."""
    return Claim(
        account=row[0],
        day=date.fromisoformat(row[1]),
        broker_order_id=row[2],
        client_order_id=row[3],
        attempt=row[4],
        status=None if row[5] is None else OrderStatus(row[5]),
        filled_quantity=row[6],
        average_fill_price=None if row[7] is None else Decimal(row[7]),
        leaves_quantity=row[8],
    )


LIFE_COLUMNS: Final = (
    "action, quantity, status, filled_quantity, average_fill_price, filled_amount, leaves_quantity, filled_at, "
    "leaves_at, replaced_by"
)

_ENDINGS: Final = frozenset({OrderStatus.CANCELED, OrderStatus.REFUSED, OrderStatus.EXPIRED})


def life_row(life: Life) -> tuple[Any, ...]:
    """Give the columns of a life, in the order of `LIFE_COLUMNS`."""
    average = life.average_fill_price
    return (
        life.action.value,
        life.quantity,
        None if life.status is None else life.status.value,
        life.filled_quantity,
        None if average is None else str(average),
        str(life.filled_amount) if life.is_exact else None,
        life.leaves_quantity,
        None if life.filled_at is None else life.filled_at.isoformat(),
        None if life.leaves_at is None else life.leaves_at.isoformat(),
        life.replaced_by,
    )


@decoding()
def read_life(row: tuple[Any, ...]) -> Life:
    """Read the columns of a life."""
    status = None if row[2] is None else OrderStatus(row[2])
    amount = None if row[5] is None else Decimal(row[5])
    if amount is None and row[4] is not None:
        amount = Decimal(row[4]) * row[3]
    return Life(
        action=Action(row[0]),
        quantity=row[1],
        filled_quantity=row[3],
        filled_amount=amount,
        is_exact=row[5] is not None,
        leaves_quantity=row[6],
        ending=status if status in _ENDINGS else None,
        filled_at=None if row[7] is None else datetime.fromisoformat(row[7]),
        leaves_at=None if row[8] is None else datetime.fromisoformat(row[8]),
        replaced_by=row[9],
        is_seen=status is not None,
    )


def event_row(account: str, event: OrderEvent) -> tuple[Any, ...]:
    """Give the columns of an order event that the file has not numbered yet."""
    plain = to_plain(event)
    del plain["sequence"]
    return account, event.client_order_id, event.recorded_at.isoformat(), to_json(plain)


@decoding()
def read_event(row: tuple[Any, ...]) -> OrderEvent:
    """Read an order event from its sequence number and its JSON."""
    return from_plain({"sequence": row[0], **json.loads(row[1])}, OrderEvent)
