"""What we decided to ask the broker: requests, intents and attempts.

A request is what the caller wants. An intent is that request under its client order id, durable before the first byte.
An attempt is one send of an intent; only one send is ever on the wire for an id unless an earlier one is proven absent.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.clock_watch import allow_for
from kiwoom_async._domain.settings import Environment, Reliance, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.trading_calendar import LONGEST_REOPENING
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderType, ResolvedBy, Route, Side

_PLAIN_FIELDS: Final = (
    "desk",
    "action",
    "symbol",
    "side",
    "quantity",
    "price",
    "order_type",
    "route",
    "stop_price",
)
_CREDIT_FIELDS: Final = ("credit", "loan_date")


@frozen
class OrderRequest:
    """What is asked of the broker, in one normal form.

    Attributes:
        side: None for a modify or cancel of an order whose side the caller did not tell.
        quantity: Shares (grams for gold); None means all that is left (modify and cancel only).
        price: KRW; None for types that take no price.
        route: None for gold, which has one venue.
        original: Broker's number of the order to modify or cancel; None while it is not known.
        original_day: The only day on which that number means that order.
        target: Client order id of that order, if it is one of ours.
        credit: Which loans a credit sale repays; None for everything else: a purchase always takes a new loan, and a
            modify or cancel concerns what its original does.
        loan_date: The day of the loan (대출일), where `credit` asks for one.
    """

    desk: Desk
    action: Action
    symbol: str
    side: Side | None
    quantity: int | None
    price: int | None = None
    order_type: OrderType | None = None
    route: Route | None = None
    stop_price: int | None = None
    original: str | None = None
    target: str | None = None
    original_day: date | None = None
    credit: CreditKind | None = None
    loan_date: date | None = None

    @property
    def fingerprint(self) -> str:
        """Name the class of requests that the broker's book cannot tell apart."""
        values = [*(getattr(self, name) for name in _PLAIN_FIELDS), self.original or self.target]
        if self.credit is not None:
            # Journals hold fingerprints of orders without these parts; those must stay what they are.
            values += (getattr(self, name) for name in _CREDIT_FIELDS)
        return "|".join("" if value is None else str(value) for value in values)

    @property
    def is_obligation(self) -> bool:
        """Tell whether this waits for the number of the order it names."""
        return self.action is not Action.NEW and self.original is None

    @property
    def is_repeatable(self) -> bool:
        """Tell whether the broker ends in the same state when it gets this twice: a cancel of all that is left."""
        return self.action is Action.CANCEL and self.quantity is None

    def aimed_at(self, original: str, day: date) -> OrderRequest:
        """Give the request that names the number its target turned out to have on a day."""
        return evolve(self, original=original, original_day=day)

    def may_be_sent_on(self, day: date) -> bool:
        """Tell whether the number this names means the right order: numbers begin anew every day (A8)."""
        return self.original is None or self.original_day == day

    def differences(self, other: OrderRequest) -> dict[str, tuple[object, object]]:
        """List the fields in which two requests differ, as (this, other).

        An order of ours is the same by its own id, whether its number was known at that time or not.
        """
        named_by = "target" if self.target is not None and other.target is not None else "original"
        return {
            name: (getattr(self, name), getattr(other, name))
            for name in (*_PLAIN_FIELDS, *_CREDIT_FIELDS, named_by)
            if getattr(self, name) != getattr(other, name)
        }


@frozen
class Intent:
    """A request under its client order id.

    Attributes:
        account: Key of the account in the journal; never its number.
        resend_within: Seconds since `created_at` within which a proven absence is followed by another send.
            None: never.
        max_attempts: Sends in all.
    """

    client_order_id: str
    account: str
    request: OrderRequest
    created_at: datetime
    resend_within: float | None = None
    max_attempts: int = 2

    def differences(self, other: Intent) -> dict[str, tuple[object, object]]:
        """List what makes two intents different ones, as (this, other); how long to resend is no part of it."""
        found = self.request.differences(other.request)
        if self.account != other.account:
            found["account"] = ("another app key", "this app key")
        return found


LONGEST_GAP: Final = timedelta(days=31)
"""Between the first and the last day of a window; more is a clock that was set by years, and no order lies in between.
Source: our choice, far more than a sender that died stays unnoticed while its order can still be resolved."""

SHOWS_UP_WITHIN: Final = timedelta(days=LONGEST_REOPENING)
"""How long after its day an order that was sent outside of the hours may show up."""

USUAL_STEP: Final = 1.0
"""Seconds that two clocks may seem to differ because they are not read at the same moment. Source: our choice; the
broker's times are whole seconds, for which a window has as much to spare."""


@frozen
class Attempt:
    """One send of an intent, as the journal knows it.

    Attributes:
        number: 1 for the first send.
        request: What was sent; a cancel of an unknown order carries its number here.
        mark: Highest order number known for the account and day when this was sent; older orders cannot be ours.
        runner: The process that sent it.
        boot_id: The run of the operating system in which the monotonic stamps below are valid.
        dispatched: Monotonic second of the durable record.
        write_until: Monotonic second after which the first byte may not leave any more.
        ended: Monotonic second at which the sender was known to be finished; None while it may still be at work.
        ended_at: The same on the wall clock.
        is_answered: Kiwoom's gateway turned it away for its rate limit, so the request is not on its way any more.
        broker_order_id: The number, once it is known.
        relied_on: The settings of the client that sent it. None: an earlier release did, which did not keep them.
    """

    client_order_id: str
    number: int
    account: str
    request: OrderRequest
    state: Delivery
    day: date
    mark: int
    runner: str
    boot_id: str
    dispatched_at: datetime
    dispatched: float
    write_until: float
    ended: float | None = None
    ended_at: datetime | None = None
    is_answered: bool = False
    broker_order_id: str | None = None
    resolved_by: ResolvedBy | None = None
    reason: str = ""
    relied_on: Reliance | None = None

    @property
    def key(self) -> str:
        """Name the attempt."""
        return f"{self.client_order_id}#{self.number}"

    @property
    def is_account_shared(self) -> bool:
        """Tell whether its sender knew of other programs that place such orders: a row proves nothing then (A9)."""
        return self.relied_on is not None and not self.relied_on.is_exclusive

    def bounds(self, timing: Timing) -> Timing:
        """Give the more cautious of these bounds and those of its sender: what is concluded of it rests on both."""
        return timing if self.relied_on is None else self.relied_on.widen(timing)

    def with_clocks_apart(self, seconds: float) -> Attempt:
        """Give it with a bound on the clocks that allows for what they are proven to differ by (A11)."""
        if self.relied_on is None:
            return self
        return evolve(self, relied_on=evolve(self.relied_on, clock_skew=allow_for(self.relied_on.clock_skew, seconds)))

    def dead_after(self, timing: Timing) -> float | None:
        """Give the monotonic second after which the broker cannot accept this request any more (A4).

        None while the sender may still write.
        """
        if self.ended is None:
            return None
        return self.ended if self.is_answered else self.ended + self.bounds(timing).acceptance_bound

    def is_listed_by(self, moment: float, timing: Timing) -> bool:
        """Tell whether an accepted request is listed at a monotonic second, however late it was accepted (A4, A5)."""
        dead_after = self.dead_after(timing)
        return dead_after is not None and dead_after + self.bounds(timing).visibility_bound < moment

    def acceptance_window(self, timing: Timing) -> tuple[datetime, datetime | None]:
        """Give the broker's clock times between which an acceptance of this request can lie (A4, A11)."""
        timing = self.bounds(timing)
        skew = timedelta(seconds=timing.clock_skew)
        # Cut to the whole second last: the broker tells no fractions, and the bound on the clocks may have one.
        earliest = (self.dispatched_at - skew).replace(microsecond=0)
        if self.ended_at is None:
            return earliest, None
        return earliest, self.ended_at + timedelta(seconds=timing.acceptance_bound + 1) + skew

    def clock_step(self, now: datetime, monotonic: float, boot_id: str) -> float:
        """Give by how many seconds the wall clock runs ahead of what it was when this was sent; 0 for a usual little.

        The clock that never jumps tells, within one run of the operating system. It counts while the machine sleeps.
        It stands still while a virtual machine is paused, so that a pause looks like a clock that was set forward by
        as much: nobody can tell them apart here.
        """
        if boot_id != self.boot_id:
            return 0.0
        step = (now - self.dispatched_at).total_seconds() - (monotonic - self.dispatched)
        return step if abs(step) > USUAL_STEP else 0.0

    def dated_by(self, now: datetime, monotonic: float, boot_id: str) -> Attempt:
        """Give it with wall times that hold for the sender's clock and for this one, where one was set in between.

        The broker's times fit one of the two clocks, and nobody knows which: the window becomes as much wider, however
        long the step is. A window that is too wide makes us wait; one that is too narrow doubles an order.
        """
        step = timedelta(seconds=self.clock_step(now, monotonic, boot_id))
        if not step:
            return self
        return evolve(
            self,
            dispatched_at=min(self.dispatched_at, self.dispatched_at + step),
            ended_at=None if self.ended_at is None else max(self.ended_at, self.ended_at + step),
        )

    def days(self, timing: Timing, environment: Environment) -> tuple[date, ...]:
        """Give the Korean days whose ledger may list this request."""
        earliest, latest = self.acceptance_window(timing)
        days = {korean_day(earliest), self.day, korean_day(latest or self.dispatched_at)}
        if self.ended is not None and self.ended_at is not None:
            # Where a clock was set in between, each end has its own: the other end of both is as far away as it took.
            took = timedelta(seconds=self.ended - self.dispatched)
            known = evolve(self, dispatched_at=self.ended_at - took, ended_at=self.dispatched_at + took)
            days |= {korean_day(moment) for moment in known.acceptance_window(timing) if moment is not None}
        days.update(environment.days_after(self.dispatched_at, self.day))
        return _with_those_between(days)


def _with_those_between(days: Collection[date]) -> tuple[date, ...]:
    """Fill the gaps: an end that was noted late may lie days after the send, and the order on any day between."""
    first, last = min(days), max(days)
    if last - first > LONGEST_GAP:
        return tuple(sorted(days))
    return tuple(first + timedelta(days=count) for count in range((last - first).days + 1))
