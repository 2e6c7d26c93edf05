"""An operator's verdict on an order that no evidence decides, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime

from attrs import evolve, frozen

from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.midnight import first_day, may_be_near
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import UNRESOLVED, Event
from kiwoom_async._domain.validation import check_order_number
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._execution.answers import describe
from kiwoom_async._journal.conclusions import Conclusion
from kiwoom_async._journal.guards import storable
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, OrderRecord, ReportNews
from kiwoom_async.errors import JournalError, ValidationError


@frozen
class Verdict:
    """What a person has seen on Kiwoom's own screen.

    Attributes:
        number: The broker order number; None: it is not on the book.
        reason: Kept in the history.
        day: The Korean day on whose list the number stands; None: that of the row which the last look has shown, or
            else that of the send.
    """

    number: str | None
    reason: str
    day: date | None = None

    @classmethod
    def of(cls, accepted_as: object, *, not_accepted: bool, reason: str, day: object = None) -> Verdict:
        """Check the arguments of a caller.

        Raises:
            ValidationError: Not exactly one verdict, no number, no reason, or a day that is none or not of a number.
        """
        if (accepted_as is not None) == not_accepted:
            raise ValidationError(
                "accepted_as", accepted_as, "exactly one of accepted_as='0001234' and not_accepted=True"
            )
        number = None if accepted_as is None else check_order_number("accepted_as", accepted_as)
        if day is not None and (not isinstance(day, date) or isinstance(day, datetime) or number is None):
            raise ValidationError("day", day, "with accepted_as, the datetime.date on whose list the number stands")
        return cls(number, check_reason(reason), day)

    def finding_about(self, attempt: Attempt) -> Finding:
        """Give it as evidence.

        Raises:
            ValidationError: The number cannot be of that day.
        """
        if self.day is not None and self.day < first_day(attempt):
            sent = korean_day(attempt.dispatched_at)
            raise ValidationError("day", self.day.isoformat(), f"{sent}, on which it was sent, or a later day")
        return Finding(
            Event.PROVEN_ABSENT if self.number is None else Event.ACKNOWLEDGED,
            reason=self.reason,
            broker_order_id=self.number,
            claim_day=self.day,
            resolved_by=ResolvedBy.OPERATOR,
            evidence={"decided_by": "operator"},
        )


def check_reason(reason: str) -> str:
    """Require a few words; give them as a file can hold them: a terminal may hand in another encoding.

    Raises:
        ValidationError: There are none.
    """
    if not reason.strip():
        raise ValidationError("reason", reason, "a few words about how you know; they are kept")
    return storable(reason.strip())


def keep_to_oneself(_: ReportNews) -> None:
    """Tell nobody: for a process in which nobody listens."""


def usual_days(attempt: Attempt) -> tuple[date, ...]:
    """Give the days whose list may show an order, by Kiwoom's own hours: for a process that knows no others."""
    return attempt.days(Timing(), Environment.LIVE)


def seen_nowhere(_attempt: Attempt, _number: str) -> date | None:
    """Know of no look: for a process that has taken none."""
    return None


async def settle(
    journal: Journal,
    client_order_id: str,
    verdict: Verdict,
    *,
    today: date,
    days_of: Callable[[Attempt], Collection[date]] = usual_days,
    seen_on: Callable[[Attempt, str], date | None] = seen_nowhere,
    spread: Callable[[ReportNews], None] = keep_to_oneself,
) -> Order:
    """Settle an unresolved order of this account by a verdict.

    Args:
        journal: Where it is written.
        client_order_id: The order.
        verdict: What a person has seen.
        today: On our clock; what the lists of later days will show is not asked about.
        days_of: Gives the days whose list may show an order.
        seen_on: Gives the day on which the last look has shown a number as a candidate of an order; None: it has not.
        spread: Told what the broker had said of the number before.

    Raises:
        ValidationError: The id is not that of an unresolved order, or the day is not one of its, or is missing.
        JournalError: The number belongs to another of our orders, or evidence came in between.
    """
    attempt = await _decisive(journal, client_order_id)
    if attempt is None or attempt.state not in UNRESOLVED:
        raise ValidationError(
            "client_order_id", client_order_id, "the id of an unresolved order; see client.orders.unresolved()"
        )
    if verdict.day is not None and verdict.day > today:
        raise ValidationError("day", verdict.day.isoformat(), f"today, {today}, or the day of an earlier list")
    if verdict.number is not None and verdict.day is None:
        verdict = evolve(verdict, day=seen_on(attempt, verdict.number))
        if verdict.day is None:
            _require_one_day(attempt, [day for day in days_of(attempt) if day <= today])
    conclusion = await journal.conclude(attempt, verdict.finding_about(attempt))
    spread(conclusion.news)
    return await _written(journal, client_order_id, conclusion)


def _require_one_day(attempt: Attempt, days: Collection[date]) -> None:
    """Require that a number can only be of the day of the send: a guess would claim somebody else's order."""
    is_near = may_be_near([attempt.dispatched_at], attempt.day)
    if not is_near and len(days) < 2:
        return
    when = "around midnight" if is_near else "while nothing traded, or its sender was not known to have ended that day"
    raise ValidationError(
        "day",
        None,
        f"the day on whose list the number stands: it was sent {when} ({korean_day(attempt.dispatched_at)}), and "
        "numbers begin anew every day",
    )


async def take_back(
    journal: Journal,
    client_order_id: str,
    reason: str,
    *,
    spread: Callable[[ReportNews], None] = keep_to_oneself,
) -> Order:
    """Make an order of this account unresolved again that a verdict had settled.

    Args:
        journal: Where it is written.
        client_order_id: The order.
        reason: What was wrong.
        spread: Told what strategies are to hear of it.

    Raises:
        ValidationError: No verdict has settled it, or the broker has confirmed it since.
    """
    attempt = await _decisive(journal, client_order_id)
    if attempt is None or attempt.resolved_by is not ResolvedBy.OPERATOR:
        raise ValidationError(
            "client_order_id", client_order_id, "the id of an order that was settled by hand and by nothing else"
        )
    conclusion = await journal.withdraw(attempt, check_reason(reason))
    spread(conclusion.news)
    return await _written(journal, client_order_id, conclusion)


async def _decisive(journal: Journal, client_order_id: str) -> Attempt | None:
    record: OrderRecord | None = await journal.find(client_order_id)
    return None if record is None or record.intent.account != journal.account else record.decisive


async def _written(journal: Journal, client_order_id: str, conclusion: Conclusion) -> Order:
    if conclusion.contradiction is not None:
        raise JournalError(f"Order {client_order_id!r} cannot be settled so: {conclusion.contradiction}.")
    record = await journal.find(client_order_id)
    assert record is not None, "it was just written"  # noqa: S101
    return describe(record)
