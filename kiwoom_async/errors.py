"""The error tree. The first question it answers: may the broker have the order?

```
KiwoomError
├─ ConfigurationError            found before any call
├─ ValidationError (ValueError)  our own check; nothing journaled or sent
│  └─ LimitExceeded              .limit .maximum .used .asked .left
├─ ClientOrderIdConflict         same id, another request
├─ RequestError                  .api_id .client_order_id
│  ├─ NotSent                    provably never left
│  ├─ Refused                    intact answer with a known code
│  │  ├─ OrderRefused
│  │  ├─ AuthenticationError
│  │  ├─ RateLimited             queries only: a rate-limit answer to an order is OutcomeUnknown
│  │  └─ InvalidRequest
│  ├─ OutcomeUnknown             may be at the broker: do not send again
│  └─ OrderNotAccepted           proven absent; carries the proof
├─ ReconciliationError
│  ├─ QueryFailed                a query that failed is never an empty answer
│  └─ AmbiguousMatch             .candidates
├─ JournalError
│  ├─ JournalLocked  JournalCorrupt  JournalReadOnly  JournalTooNew  JournalOnNetwork
│  ├─ JournalRestored            .missing .written_at
│  └─ IllegalTransition
└─ StreamError                   the real-time feed
   ├─ StreamLoginRefused         .code .message .is_token_refused
   ├─ StreamReplaced             another program logged in with the same app key
   ├─ StreamLost                 .reason
   ├─ StreamClosed               the client was closed while somebody waited
   └─ UnreadableReport           .fid .text
```

Leaves are raised, bases are for ``except``. Data is in attributes, never only in the text; tokens, keys and account
numbers are in neither.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class KiwoomError(Exception):
    """Everything this library raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only attributes would be lost by the default, and with them the client order id of an open order.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[KiwoomError], args: tuple[Any, ...], state: dict[str, Any]) -> KiwoomError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(KiwoomError):
    """The client cannot work with these settings; found before any call."""


class ValidationError(KiwoomError, ValueError):
    """Our own check refused an argument; nothing was journaled, nothing was sent.

    Attributes:
        argument: Name of the argument.
        value: What was given.
        allowed: What is allowed, in words.
    """

    def __init__(self, argument: str, value: object, allowed: str) -> None:
        super().__init__(f"{argument}={value!r} is not allowed: {allowed}. Nothing was journaled or sent.")
        self.argument = argument
        self.value = value
        self.allowed = allowed


class LimitExceeded(ValidationError):
    """An order would exceed one of the client's `OrderLimits`; nothing was sent, and its id is not used up.

    Attributes:
        limit: Name of the limit.
        maximum: Its value.
        used: How much of it is used already; 0 for a limit on a single order; None if that is not known.
        asked: How much the order would add; None if that is not known.
        left: How much is left; None if that is not known.
        client_order_id: The order.
    """

    def __init__(
        self,
        limit: str,
        *,
        maximum: int,
        used: int | None,
        asked: int | None,
        client_order_id: str,
        explanation: str = "",
    ) -> None:
        left = None if used is None else max(0, maximum - used)
        known = [f"{name} {value:,}" for name, value in (("it asks for", asked), ("left:", left)) if value is not None]
        told = "; ".join([*known, *([explanation] if explanation else [])])
        super().__init__(limit, asked, f"at most {maximum:,} ({told})")
        message = (
            f"Order {client_order_id!r} was not sent: it would exceed OrderLimits({limit}={maximum}): {told}. Nothing "
            "was journaled or sent; the client_order_id may be used again."
        )
        self.args = (message,)
        self.limit = limit
        self.maximum = maximum
        self.used = used
        self.asked = asked
        self.left = left
        self.client_order_id = client_order_id


class ClientOrderIdConflict(KiwoomError):
    """The client order id stands in the journal for another request; nothing was sent.

    Attributes:
        client_order_id: The id.
        differences: Field name to (value in the journal, value asked for now).
    """

    def __init__(self, client_order_id: str, differences: dict[str, tuple[object, object]]) -> None:
        listed = ", ".join(f"{name} was {was!r}, now {now!r}" for name, (was, now) in differences.items())
        super().__init__(
            f"client_order_id {client_order_id!r} already belongs to another request ({listed}). "
            "Nothing was sent. Use a new id for a new order, or repeat the old request exactly."
        )
        self.client_order_id = client_order_id
        self.differences = differences


class RequestError(KiwoomError):
    """A request to Kiwoom did not end in an accepted answer.

    Attributes:
        api_id: The TR, for example ``kt10000``; None where no single TR is meant.
        client_order_id: The order's id; None for queries.
    """

    def __init__(self, message: str, *, api_id: str | None = None, client_order_id: str | None = None) -> None:
        super().__init__(message)
        self.api_id = api_id
        self.client_order_id = client_order_id


class NotSent(RequestError):
    """No byte of the request left this process; the same client order id may be used again."""


class Refused(RequestError):
    """Kiwoom answered, intact, that it did not take the request.

    Attributes:
        code: Kiwoom's code, for example ``RC4003``, ``855056`` or ``8005``.
        message: Kiwoom's own text.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        broker_message: str,
        api_id: str | None = None,
        client_order_id: str | None = None,
    ) -> None:
        super().__init__(message, api_id=api_id, client_order_id=client_order_id)
        self.code = code
        self.message = broker_message


class OrderRefused(Refused):
    """The order was refused with a code that proves it is not on the book."""


class AuthenticationError(Refused):
    """The app key, the secret or the token was refused. An order that met this is not on the book."""


class RateLimited(Refused):
    """A query met Kiwoom's rate limit. An order that meets it is `OutcomeUnknown` instead."""


class InvalidRequest(Refused):
    """Kiwoom did not understand the request (a missing or malformed field, a wrong TR)."""


class OutcomeUnknown(RequestError):
    """The order may be at the broker. Do not send it again: the library goes on resolving it.

    Attributes:
        reason: Why the outcome is not certain, in a few words.
    """

    def __init__(self, client_order_id: str, reason: str, *, api_id: str | None = None) -> None:
        super().__init__(
            f"The outcome of order {client_order_id!r} is not known yet ({reason}). Do not send it again under "
            "another id: it may be on the broker's book. The library goes on resolving it; call again with the same "
            "client_order_id to wait for the answer, or see client.orders.unresolved().",
            api_id=api_id,
            client_order_id=client_order_id,
        )
        self.reason = reason


class OrderNotAccepted(RequestError):
    """The order is proven absent from the broker's book.

    Attributes:
        proof: The `AbsenceProof` that stands in the journal, or None where an operator decided.
    """

    def __init__(self, client_order_id: str, explanation: str, *, proof: Any = None, api_id: str | None = None) -> None:
        super().__init__(
            f"Order {client_order_id!r} was not accepted: {explanation}",
            api_id=api_id,
            client_order_id=client_order_id,
        )
        self.proof = proof


class ReconciliationError(KiwoomError):
    """Asking the broker about orders did not lead to an answer."""


class QueryFailed(ReconciliationError):
    """A query failed or its answer is not whole. This never means that there are no orders.

    Attributes:
        api_id: The TR that was asked.
        reason: What was wrong with the answer.
    """

    def __init__(self, api_id: str, reason: str) -> None:
        super().__init__(f"{api_id} did not give a complete answer: {reason}. Nothing is concluded from it.")
        self.api_id = api_id
        self.reason = reason


class AmbiguousMatch(ReconciliationError):
    """More than one explanation fits the broker's book, which is final; a person has to decide.

    The cause of the `OutcomeUnknown` that such an order is answered with from then on.

    Attributes:
        client_order_id: The order in question.
        candidates: Broker order numbers that it may be.
    """

    def __init__(self, client_order_id: str, candidates: tuple[str, ...]) -> None:
        super().__init__(
            f"Order {client_order_id!r} may be any of {', '.join(candidates) or 'none'}. Decide with "
            "client.orders.resolve(client_order_id, accepted_as=…) or (…, not_accepted=True)."
        )
        self.client_order_id = client_order_id
        self.candidates = candidates


class JournalError(KiwoomError):
    """The journal cannot be used; no order is sent without it."""


class JournalLocked(JournalError):
    """Another program holds the journal's lock for longer than the busy timeout."""


class JournalCorrupt(JournalError):
    """The file is not a journal of this library, or it is damaged."""


class JournalReadOnly(JournalError):
    """The file or its folder cannot be written, or the disk is full."""


class JournalTooNew(JournalError):
    """The file was written by a newer release of this library."""


class JournalOnNetwork(JournalError):
    """The file lies on a network file system, where SQLite's locks and its log cannot be trusted."""


class JournalRestored(JournalError):
    """The file is older than what this machine remembers of it: orders that were sent since then are forgotten.

    Attributes:
        missing: Records that the file lacks.
        written_at: When the newest of them was written; None where that is not known.
    """

    def __init__(self, path: str, *, missing: int, written_at: datetime | None) -> None:
        when = "" if written_at is None else f", the newest of {written_at:%Y-%m-%d %H:%M:%S} Korean time"
        super().__init__(
            f"The journal {path} lacks {missing} records that it had before{when}. It was put back from an older "
            "backup, or copied without its -wal file, or it is a copy of a journal that went on elsewhere. Orders sent "
            "since then are forgotten in it, and their ids would be sent again. No order was sent. Put the newest file "
            "back, together with its -wal file. If there is none, compare today's orders on Kiwoom's own screen with "
            f"what your bot will ask for, and then: kiwoom-async accept-journal {path} --reason …"
        )
        self.missing = missing
        self.written_at = written_at


class IllegalTransition(JournalError):
    """An event does not fit the state an attempt is in; the state is unchanged."""


class StreamError(KiwoomError):
    """The real-time feed refused the login, was closed or has a gap."""


class StreamLoginRefused(StreamError):
    """Kiwoom refused the login to the real-time feed. Orders do not need it.

    Attributes:
        code: Kiwoom's code, for example 805004.
        message: Kiwoom's own text.
        is_token_refused: It was the token that was refused; a new one may help.
    """

    def __init__(self, code: int, message: str, *, is_token_refused: bool = False) -> None:
        super().__init__(
            f"Kiwoom refused the login to the real-time feed ({code}): {message}. "
            "Events are missing until it works; the ledger still tells what became of each order."
        )
        self.code = code
        self.message = message
        self.is_token_refused = is_token_refused


class StreamReplaced(StreamError):
    """Kiwoom ended this feed because another program logged in with the same app key.

    Two programs that both log in again at once end each other's feed for ever: let one of them use another app key.
    """

    def __init__(self) -> None:
        super().__init__(
            "Kiwoom ended the real-time feed: another program has logged in with the same app key. "
            "Close that program, or give it an app key of its own."
        )


class StreamLost(StreamError):
    """The real-time feed ended or could not be opened. What happened since then only the ledger tells.

    Attributes:
        reason: What was seen, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"The real-time feed is lost: {reason}. Nothing is concluded from its silence.")
        self.reason = reason


class StreamClosed(StreamError):
    """The client was closed while somebody waited for news of an order. The order goes on at the broker."""


class UnreadableReport(StreamError):
    """A report of the real-time feed cannot be read, or contradicts itself; it counts for nothing. Ask the ledger.

    Attributes:
        fid: Kiwoom's number of the field.
        text: What the field says, long runs of digits hidden, or what is wrong with it.
    """

    def __init__(self, fid: str, text: str) -> None:
        super().__init__(f"A report of the real-time feed is not readable: field {fid}: {text}. It counts for nothing.")
        self.fid = fid
        self.text = text
