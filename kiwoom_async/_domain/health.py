"""How the assumptions behind the promises are doing: `client.health()`. Pure.

The promises rest on eleven assumptions (A1 to A11). Each has a monitor, and what a monitor finds is a `Breach`.
Breaches are kept in the journal, so that other processes and later runs see them; measurements are one client's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from attrs import field, frozen

from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.feed_status import FeedState, FeedStatus


@unique
class HealthState(StrEnum):
    """How well something is, from best to worst."""

    OK = "ok"
    WARNING = "warning"
    """It holds, but not by much, or it cannot be told."""
    ALARM = "alarm"
    """It was seen not to hold. At most one order per id still leaves; do what the text says before you trade on."""


_SEVERITY: Final = tuple(HealthState)


def worst(states: Iterable[HealthState]) -> HealthState:
    """Give the worst of some states; OK where there is none."""
    return max(states, key=_SEVERITY.index, default=HealthState.OK)


@unique
class Assumption(StrEnum):
    """What the promises rest on."""

    A1 = "A1"
    A2 = "A2"
    A3 = "A3"
    A4 = "A4"
    A5 = "A5"
    A6 = "A6"
    A7 = "A7"
    A8 = "A8"
    A9 = "A9"
    A10 = "A10"
    A11 = "A11"

    @property
    def meaning(self) -> str:
        """Say it in one line."""
        return _MEANINGS[self]


_MEANINGS: Final[Mapping[Assumption, str]] = {
    Assumption.A1: "what the journal has committed stays there",
    Assumption.A2: "one sender per client order id, and none that is taken for dead",
    Assumption.A3: "one send is one request on the wire",
    Assumption.A4: "a request that Kiwoom has not processed within acceptance_bound is dead",
    Assumption.A5: "an accepted order is listed within visibility_bound, and stays listed that day",
    Assumption.A6: "a look at the ledger is complete, of the right account and day",
    Assumption.A7: "a look at the ledger is fresh",
    Assumption.A8: "order numbers are unique on their day and rise",
    Assumption.A9: "nobody else places identical orders, or the channel tells them from ours",
    Assumption.A10: "the ledger repeats what was ordered, in a fixed form",
    Assumption.A11: "the clocks differ by no more than clock_skew",
}


@unique
class BreachKind(StrEnum):
    """What a monitor has found."""

    JOURNAL_LOST_ROWS = "journal_lost_rows"
    JOURNAL_UNREADABLE = "journal_unreadable"
    FORGOTTEN_ORDER = "forgotten_order"
    SENDER_TAKEN_FOR_DEAD = "sender_taken_for_dead"
    SENDER_LATE = "sender_late"
    SECOND_ORDER = "second_order"
    CONTRADICTION = "contradiction"
    ANSWER_SLOW = "answer_slow"
    REVIVED = "revived"
    DUPLICATE = "duplicate"
    MAY_BE_LATE_TWIN = "may_be_late_twin"
    LISTED_SLOWLY = "listed_slowly"
    NOT_LISTED = "not_listed"
    ROW_DISAPPEARED = "row_disappeared"
    LEDGER_INCOMPLETE = "ledger_incomplete"
    OTHER_ACCOUNT = "other_account"
    LEDGER_STALE = "ledger_stale"
    NUMBER_REPEATED = "number_repeated"
    NUMBER_FELL = "number_fell"
    FOREIGN_TWIN = "foreign_twin"
    CHANNEL_AMBIGUOUS = "channel_ambiguous"
    ECHO_DIFFERS = "echo_differs"
    STATEMENT_IMPOSSIBLE = "statement_impossible"
    REPORT_UNREADABLE = "report_unreadable"
    CLOCK_NEAR = "clock_near"
    CLOCK_OFF = "clock_off"


@frozen
class _KindRule:
    """What a kind is about, how bad it is, and what to do about it."""

    assumption: Assumption
    state: HealthState
    advice: str


_A, _W, _X = Assumption, HealthState.WARNING, HealthState.ALARM
_SCREEN: Final = "Look at the orders on Kiwoom's own screen (영웅문)"

KIND_RULES: Final[Mapping[BreachKind, _KindRule]] = {
    BreachKind.JOURNAL_LOST_ROWS: _KindRule(
        _A.A1,
        _X,
        "Nothing is sent any more. Keep the file, put the newest copy back, and compare today's orders with Kiwoom's "
        "own screen before you open a new client",
    ),
    BreachKind.JOURNAL_UNREADABLE: _KindRule(_A.A1, _X, "Nothing is sent while it lasts; the text says what to do"),
    BreachKind.FORGOTTEN_ORDER: _KindRule(
        _A.A1,
        _X,
        "The journal was accepted although it lacks records. " + _SCREEN + ", and decide about each one that it lacks",
    ),
    BreachKind.SENDER_TAKEN_FOR_DEAD: _KindRule(
        _A.A2,
        _X,
        "A process lost its lock while it lived: leave the .lock files beside the journal alone, and never share a "
        "journal between machines or containers without shared locks",
    ),
    BreachKind.SENDER_LATE: _KindRule(
        _A.A2,
        _W,
        "The process stood still between permission and send, and the order was held back. Give it more of the "
        "machine, and keep long work off its event loop",
    ),
    BreachKind.SECOND_ORDER: _KindRule(
        _A.A3,
        _X,
        f"{_SCREEN} and cancel what is too much. Your transport sends twice, or another program placed it: use the "
        "built-in transport, or turn off retries in yours",
    ),
    BreachKind.CONTRADICTION: _KindRule(_A.A3, _X, f"{_SCREEN}; settle it with kiwoom-async resolve"),
    BreachKind.ANSWER_SLOW: _KindRule(
        _A.A4, _W, "Raise Timing.acceptance_bound to several times the longest answer, or find out what is slow"
    ),
    BreachKind.REVIVED: _KindRule(
        _A.A4,
        _X,
        f"{_SCREEN}. Raise Timing.acceptance_bound beyond the lateness seen; nothing is sent again by itself today",
    ),
    BreachKind.DUPLICATE: _KindRule(
        _A.A4,
        _X,
        f"{_SCREEN} and cancel the surplus order. Raise Timing.acceptance_bound, or give up resend_within; nothing is "
        "sent again by itself today",
    ),
    BreachKind.MAY_BE_LATE_TWIN: _KindRule(
        _A.A4, _W, "If both orders matter on their own, compare them with Kiwoom's own screen"
    ),
    BreachKind.LISTED_SLOWLY: _KindRule(_A.A5, _W, "Raise Timing.visibility_bound to several times the delay seen"),
    BreachKind.NOT_LISTED: _KindRule(
        _A.A5, _X, "Raise Timing.visibility_bound; until the order is listed no absence is proven"
    ),
    BreachKind.ROW_DISAPPEARED: _KindRule(_A.A5, _X, f"{_SCREEN}; until it is back no absence is proven"),
    BreachKind.LEDGER_INCOMPLETE: _KindRule(
        _A.A6, _X, "No absence is proven from such a look. If it lasts, tell Kiwoom, and settle by hand"
    ),
    BreachKind.OTHER_ACCOUNT: _KindRule(
        _A.A6, _X, "Check which account the app key belongs to; such a look is thrown away"
    ),
    BreachKind.LEDGER_STALE: _KindRule(
        _A.A7, _X, "No absence is proven from such a look. It goes on by itself when the ledger moves again"
    ),
    BreachKind.NUMBER_REPEATED: _KindRule(
        _A.A8,
        _X,
        f"{_SCREEN}; settle it with kiwoom-async resolve. Nothing is sent again by itself while this lasts",
    ),
    BreachKind.NUMBER_FELL: _KindRule(
        _A.A8, _X, f"{_SCREEN}. Older numbers prove nothing, and nothing is sent again by itself, while this lasts"
    ),
    BreachKind.FOREIGN_TWIN: _KindRule(
        _A.A9, _X, "Stop the other program, or open the client with account_exclusive=False"
    ),
    BreachKind.CHANNEL_AMBIGUOUS: _KindRule(
        _A.A9, _W, "A person's order can no longer be told from ours by its channel: place no identical ones by hand"
    ),
    BreachKind.ECHO_DIFFERS: _KindRule(
        _A.A10,
        _X,
        "A lost order of this form would not be found again: nothing is sent again by itself while this lasts. Report "
        "the form",
    ),
    BreachKind.STATEMENT_IMPOSSIBLE: _KindRule(_A.A10, _X, f"{_SCREEN}; nothing of that statement was counted"),
    BreachKind.REPORT_UNREADABLE: _KindRule(
        _A.A10, _W, "The ledger was asked instead. Report the form if it comes again"
    ),
    BreachKind.CLOCK_NEAR: _KindRule(_A.A11, _W, "Set the clock of this machine, and keep it set (NTP)"),
    BreachKind.CLOCK_OFF: _KindRule(
        _A.A11, _X, "Set the clock of this machine (NTP); until then matching allows for the difference that was proven"
    ),
}
"""Source: guarantees.md, section 2; which state is our choice: ALARM where an assumption was seen not to hold."""


@frozen
class Breach:
    """One finding of a monitor.

    Attributes:
        text: What was seen, with numbers; free of keys, tokens and account numbers.
    """

    kind: BreachKind
    text: str

    @property
    def assumption(self) -> Assumption:
        """Give the assumption that it is about."""
        return KIND_RULES[self.kind].assumption

    @property
    def state(self) -> HealthState:
        """Say how bad it is."""
        return KIND_RULES[self.kind].state

    @property
    def advice(self) -> str:
        """Say what to do about it."""
        return KIND_RULES[self.kind].advice


@frozen
class KeptBreach:
    """All findings of one kind, as the journal keeps them.

    Attributes:
        first_at, last_at: When it was found first and last, on our clock.
        times: How often it was found.
        breach: The last of them.
    """

    breach: Breach
    first_at: datetime
    last_at: datetime
    times: int


ALARM_LASTS: Final = timedelta(days=3)
"""How long a finding counts for what it was. Source: our choice; from a Friday's close to that of the next Monday."""

WARNING_LASTS: Final = timedelta(days=14)
"""How long it counts as a warning after that. Source: our choice, as long as anything unresolved is looked for."""


_DAY: Final = timedelta(0)

HOLDS_BACK: Final[Mapping[BreachKind, timedelta]] = {
    BreachKind.REVIVED: _DAY,
    BreachKind.DUPLICATE: _DAY,
    BreachKind.NUMBER_REPEATED: ALARM_LASTS,
    BreachKind.NUMBER_FELL: ALARM_LASTS,
    BreachKind.ECHO_DIFFERS: ALARM_LASTS,
}
"""What shows that an order may be on the book although its absence is proven, and how many days later that still
counts. Nothing is sent again by itself meanwhile. Source: our choice; a bound that was too tight can be raised for the
next day, while the form of numbers and rows stays what it is. What voids each look by itself (A5 to A7) is no part."""


def find_doubt(found: Iterable[KeptBreach], day: date, kinds: Collection[BreachKind] = HOLDS_BACK) -> Breach | None:
    """Find what shows that the absence of an order cannot be relied on that was sent on a day."""
    return next(
        (
            kept.breach
            for kept in found
            if kept.breach.kind in kinds and korean_day(kept.last_at) + HOLDS_BACK[kept.breach.kind] >= day
        ),
        None,
    )


def state_of(kept: KeptBreach, now: datetime) -> HealthState:
    """Say what a finding means today; it never goes out of the record."""
    age = now - kept.last_at
    if age <= ALARM_LASTS:
        return kept.breach.state
    return HealthState.WARNING if age <= WARNING_LASTS else HealthState.OK


@frozen
class AssumptionHealth:
    """One assumption.

    Attributes:
        state: The worst of what is wrong now.
        measured: What this client has measured, with units.
        text: What was found, and what to do next; what the assumption says where nothing was found.
        since: When the first of the findings that are in force was made; None where there is none.
        last: When the last of them was made.
        times: How often, in all.
    """

    assumption: Assumption
    state: HealthState
    measured: str
    text: str
    since: datetime | None = None
    last: datetime | None = None
    times: int = 0


@frozen
class JournalFacts:
    """The journal file.

    Attributes:
        schema: Its version.
        size: Bytes of the file and of its log.
        is_durable: A commit is on the disk when it returns: a write-ahead log with synchronous=FULL.
        sqlite: Version of the library that writes it.
    """

    path: str
    schema: int = 0
    size: int = 0
    is_durable: bool = False
    sqlite: str = ""


@frozen
class DurableHealth:
    """What the journal tells of the health of one account.

    Attributes:
        kept: Findings of monitors, in the order of the assumptions.
        revived: Orders that turned up after a proof of absence.
        duplicates: Orders that were on the book twice.
        unresolved: Orders whose outcome is not known, by the time they were sent; those that a closed day has left for
            the operator included, until he has decided.
        has_lost_rows: A row that was committed is not there any more.
        facts: The file.
    """

    kept: tuple[KeptBreach, ...] = ()
    revived: int = 0
    duplicates: int = 0
    unresolved: tuple[datetime, ...] = ()
    has_lost_rows: bool = False
    facts: JournalFacts = field(factory=lambda: JournalFacts(""))


@frozen
class Health:
    """The client at one moment.

    Attributes:
        state: The worst of all assumptions; WARNING at least while anything is unresolved, or the feed was refused or
            taken over.
        at: On our clock.
        assumptions: A1 to A11, in this order.
        revived: Orders that turned up after a proof of absence; anything but zero says that a bound is wrong.
        duplicates: Orders that were on the book twice; the same.
        unresolved: Orders whose outcome is not known.
        oldest_unresolved: Seconds since the oldest of them was sent; None where there is none.
        feed: How the client hears of its orders.
        journal: The file.
    """

    state: HealthState
    at: datetime
    assumptions: tuple[AssumptionHealth, ...]
    revived: int
    duplicates: int
    unresolved: int
    oldest_unresolved: float | None
    feed: FeedStatus
    journal: JournalFacts

    def __getitem__(self, assumption: Assumption | str) -> AssumptionHealth:
        """Give one assumption by its name, for example ``health["A4"]``."""
        return self.assumptions[list(Assumption).index(Assumption(assumption))]

    @property
    def alarms(self) -> tuple[AssumptionHealth, ...]:
        """List the assumptions that were seen not to hold."""
        return tuple(one for one in self.assumptions if one.state is HealthState.ALARM)


NOT_MEASURED: Final = "nothing measured yet"

_FEED_TROUBLE: Final = frozenset({FeedState.REPLACED, FeedState.REFUSED})
"""What does not end by itself soon."""


def judge(
    durable: DurableHealth,
    *,
    now: datetime,
    measured: Mapping[Assumption, str],
    fresh: Iterable[Breach] = (),
    feed: FeedStatus,
) -> Health:
    """Sum up what is known.

    Args:
        durable: From the journal.
        now: The wall clock.
        measured: By this client.
        fresh: Findings of this moment, which the journal does not have yet.
        feed: At this moment.
    """
    found = [*durable.kept]
    found += [KeptBreach(breach, now, now, 1) for breach in fresh]
    assumptions = tuple(
        _judge_one(
            assumption,
            [kept for kept in found if kept.breach.assumption is assumption],
            now,
            measured.get(assumption, NOT_MEASURED),
        )
        for assumption in Assumption
    )
    oldest = min(durable.unresolved, default=None)
    is_troubled = bool(durable.unresolved) or feed.state in _FEED_TROUBLE
    return Health(
        state=worst([*(one.state for one in assumptions), *[HealthState.WARNING] * is_troubled]),
        at=now,
        assumptions=assumptions,
        revived=durable.revived,
        duplicates=durable.duplicates,
        unresolved=len(durable.unresolved),
        oldest_unresolved=None if oldest is None else max(0.0, (now - oldest).total_seconds()),
        feed=feed,
        journal=durable.facts,
    )


def _judge_one(assumption: Assumption, found: list[KeptBreach], now: datetime, measured: str) -> AssumptionHealth:
    in_force = [kept for kept in found if state_of(kept, now) is not HealthState.OK]
    if not in_force:
        return AssumptionHealth(assumption, HealthState.OK, measured, assumption.meaning)
    in_force.sort(key=lambda kept: (_SEVERITY.index(state_of(kept, now)), kept.last_at), reverse=True)
    return AssumptionHealth(
        assumption,
        worst(state_of(kept, now) for kept in in_force),
        measured,
        " ".join(f"{kept.breach.text}. {kept.breach.advice}." for kept in in_force),
        since=min(kept.first_at for kept in in_force),
        last=max(kept.last_at for kept in in_force),
        times=sum(kept.times for kept in in_force),
    )
