"""What we know about the delivery of one attempt, as a table.

The broker's view of an order (`OrderStatus`) is another machine. No timer and no error leads out of UNKNOWN; only
evidence does.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from kiwoom_async.errors import IllegalTransition


@unique
class Delivery(StrEnum):
    """What we know about the delivery of an attempt."""

    PREPARED = "prepared"
    DISPATCHED = "dispatched"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    CANDIDATES = "candidates"
    NOT_ACCEPTED = "not_accepted"
    UNRESOLVED_AT_CLOSE = "unresolved_at_close"
    REVIVED = "revived"
    DUPLICATE = "duplicate"


@unique
class Event(StrEnum):
    """What happens to the delivery of an attempt."""

    DISPATCHED = "dispatched"
    """The durable record that allows the first byte."""
    ACKNOWLEDGED = "acknowledged"
    """A number is known to be this attempt's: by response, event, ledger or operator."""
    REFUSED = "refused"
    """An intact answer with a code that proves that nothing is on the book."""
    PROVEN_UNSENT = "proven_unsent"
    """A positive mark that no byte was handed to a connection, or an obligation that lost its object."""
    LOST = "lost"
    """The outcome is not certain."""
    CANDIDATES_SIGHTED = "candidates_sighted"
    """Orders on the book that may be this attempt's, and no proof."""
    CANDIDATES_GONE = "candidates_gone"
    """The candidates turned out to be others'."""
    PROVEN_ABSENT = "proven_absent"
    """A proof of absence is stored."""
    DAY_CLOSED = "day_closed"
    """The day's ledger is final and does not decide."""
    REAPPEARED = "reappeared"
    """Late evidence that an attempt proven absent is on the book after all."""
    DUPLICATED = "duplicated"
    """The same, while another attempt of the same id is on the book as well."""
    WITHDRAWN = "withdrawn"
    """An operator takes back the verdict that an operator had given; nothing else can be taken back."""


_D, _E = Delivery, Event
_OPEN: Final = (Delivery.UNKNOWN, Delivery.CANDIDATES, Delivery.UNRESOLVED_AT_CLOSE)

TRANSITIONS: Final[dict[tuple[Delivery, Event], Delivery]] = {
    (_D.PREPARED, _E.DISPATCHED): _D.DISPATCHED,
    (_D.PREPARED, _E.PROVEN_UNSENT): _D.NOT_SENT,
    (_D.DISPATCHED, _E.ACKNOWLEDGED): _D.ACKNOWLEDGED,
    (_D.DISPATCHED, _E.REFUSED): _D.REFUSED,
    (_D.DISPATCHED, _E.PROVEN_UNSENT): _D.NOT_SENT,
    (_D.DISPATCHED, _E.LOST): _D.UNKNOWN,
    # A sender that was thought dead may still bring a definite answer.
    **{(state, _E.ACKNOWLEDGED): _D.ACKNOWLEDGED for state in _OPEN},
    **{(state, _E.REFUSED): _D.REFUSED for state in _OPEN},
    **{(state, _E.PROVEN_UNSENT): _D.NOT_SENT for state in _OPEN},
    **{(state, _E.PROVEN_ABSENT): _D.NOT_ACCEPTED for state in _OPEN},
    **{(state, _E.CANDIDATES_SIGHTED): _D.CANDIDATES for state in _OPEN},
    (_D.CANDIDATES, _E.CANDIDATES_GONE): _D.UNKNOWN,
    (_D.UNKNOWN, _E.DAY_CLOSED): _D.UNRESOLVED_AT_CLOSE,
    (_D.CANDIDATES, _E.DAY_CLOSED): _D.UNRESOLVED_AT_CLOSE,
    (_D.NOT_ACCEPTED, _E.REAPPEARED): _D.REVIVED,
    (_D.NOT_ACCEPTED, _E.DUPLICATED): _D.DUPLICATE,
    (_D.REVIVED, _E.DUPLICATED): _D.DUPLICATE,
    (_D.ACKNOWLEDGED, _E.WITHDRAWN): _D.UNKNOWN,
    (_D.NOT_ACCEPTED, _E.WITHDRAWN): _D.UNKNOWN,
}

IN_FLIGHT: Final = frozenset({Delivery.DISPATCHED})
UNRESOLVED: Final = frozenset({Delivery.UNKNOWN, Delivery.CANDIDATES, Delivery.UNRESOLVED_AT_CLOSE})
ON_THE_BOOK: Final = frozenset({Delivery.ACKNOWLEDGED, Delivery.REVIVED, Delivery.DUPLICATE})
SETTLED: Final = frozenset(Delivery) - UNRESOLVED - IN_FLIGHT - {Delivery.PREPARED}

_LOOKED_IN_VAIN: Final = (Event.CANDIDATES_SIGHTED, Event.CANDIDATES_GONE, Event.DAY_CLOSED)

# Late news that agrees with what is known already, or that says less than it: recorded, and nothing moves.
AGREEING: Final[frozenset[tuple[Delivery, Event]]] = frozenset(
    {
        *((state, Event.LOST) for state in Delivery if state is not Delivery.PREPARED),
        *(
            (state, state_event)
            for state, state_event in (
                (Delivery.ACKNOWLEDGED, Event.ACKNOWLEDGED),
                (Delivery.REVIVED, Event.ACKNOWLEDGED),
                (Delivery.DUPLICATE, Event.ACKNOWLEDGED),
                (Delivery.REFUSED, Event.REFUSED),
                (Delivery.NOT_SENT, Event.PROVEN_UNSENT),
                (Delivery.NOT_ACCEPTED, Event.REFUSED),
                (Delivery.NOT_ACCEPTED, Event.PROVEN_UNSENT),
                (Delivery.NOT_ACCEPTED, Event.PROVEN_ABSENT),
                (Delivery.UNRESOLVED_AT_CLOSE, Event.DAY_CLOSED),
            )
        ),
        # A look that began before the answer came knows less than the answer does, and does not contradict it.
        *((state, event) for state in SETTLED for event in _LOOKED_IN_VAIN),
        *((state, Event.CANDIDATES_GONE) for state in UNRESOLVED),
    }
) - frozenset(TRANSITIONS)


def advance(state: Delivery, event: Event) -> Delivery:
    """Give the state that follows.

    Raises:
        IllegalTransition: The event does not fit; the state stays as it is.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(
            f"An attempt that is {state.value!r} cannot take the event {event.value!r}; nothing was changed. "
            "This is contradicting evidence: look at the order on Kiwoom's own screen before you trade on."
        ) from None
