"""A person's verdict on an order: what it has to say, of which orders, and how it is taken back."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final, cast

import pytest
from attrs import evolve

from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.states import UNRESOLVED, Delivery, Event
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._execution.verdicts import Verdict, settle, take_back, usual_days
from kiwoom_async._journal.conclusions import Conclusion
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, OrderRecord, ReportNews
from kiwoom_async.errors import JournalError, ValidationError
from tests.domain.test_matching import BUY, DAY, NOON, attempt
from tests.journal.builders import intent

BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)
SEEN: Final = Verdict("0000101", "seen on the screen")
GONE: Final = Verdict(None, "not on the screen")
NEWS: Final = ReportNews(events=3)


def refused_argument(error: pytest.ExceptionInfo[ValidationError]) -> tuple[str, object]:
    """Give the argument that was refused, and what it was."""
    return error.value.argument, error.value.value


# ---------------------------------------------------------------- what a verdict has to say


@pytest.mark.parametrize(
    ("accepted_as", "not_accepted", "day", "verdict"),
    [
        ("0000101", False, None, Verdict("0000101", "seen")),
        ("101", False, DAY, Verdict("0000101", "seen", DAY)),
        (None, True, None, Verdict(None, "seen")),
    ],
)
def test_verdict_is_a_number_or_that_there_is_none(
    accepted_as: str | None, day: date | None, verdict: Verdict, *, not_accepted: bool
) -> None:
    """With the day of the number, where the caller knows it, and the words that are kept."""
    assert Verdict.of(accepted_as, not_accepted=not_accepted, reason=" seen ", day=day) == verdict


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        pytest.param("accepted_as", {"not_accepted": True}, id="both"),
        pytest.param("accepted_as", {"accepted_as": None}, id="neither"),
        pytest.param("accepted_as", {"accepted_as": "seven"}, id="no number"),
        pytest.param("day", {"day": "2026-11-09"}, id="no day"),
        pytest.param("day", {"day": NOON}, id="a moment"),
        pytest.param("day", {"day": DAY, "accepted_as": None, "not_accepted": True}, id="a day of no number"),
        pytest.param("reason", {"reason": " "}, id="no reason"),
    ],
)
def test_verdict_that_says_too_much_or_too_little(argument: str, changes: dict[str, Any]) -> None:
    """The error names the argument."""
    said: dict[str, Any] = {"accepted_as": "0000101", "not_accepted": False, "reason": "seen"}
    with pytest.raises(ValidationError) as error:
        Verdict.of(**said | changes)
    assert refused_argument(error) == (argument, changes.get(argument, "0000101"))


def test_reason_is_kept_as_a_file_can_hold_it() -> None:
    """A terminal may hand in half of a character."""
    assert Verdict.of("101", not_accepted=False, reason="seen \udcec").reason == "seen \\udcec"


# ---------------------------------------------------------------- what is written


def test_verdict_as_evidence() -> None:
    """It is told apart from what the broker has said, in the state and in the history."""
    by_hand: dict[str, Any] = {"resolved_by": ResolvedBy.OPERATOR, "evidence": {"decided_by": "operator"}}
    assert evolve(SEEN, day=AFTER).finding_about(attempt()) == Finding(
        Event.ACKNOWLEDGED, reason=SEEN.reason, broker_order_id="0000101", claim_day=AFTER, **by_hand
    )
    assert GONE.finding_about(attempt()) == Finding(Event.PROVEN_ABSENT, reason=GONE.reason, **by_hand)


@pytest.mark.parametrize(
    ("day", "sent", "is_allowed"),
    [
        pytest.param(DAY, {}, True, id="the day of the send"),
        pytest.param(BEFORE, {}, False, id="the day before"),
        pytest.param(BEFORE, {"dispatched_at": NOON.replace(hour=0, minute=4)}, True, id="by a clock that is behind"),
        pytest.param(BEFORE, {"dispatched_at": NOON.replace(hour=0, minute=5)}, False, id="too long after midnight"),
    ],
)
def test_number_cannot_be_older_than_the_order(day: date, sent: dict[str, Any], *, is_allowed: bool) -> None:
    """It would be another order's; the error says on which day it was sent."""
    verdict = evolve(SEEN, day=day)
    if is_allowed:
        assert verdict.finding_about(attempt(**sent)).claim_day == day
        return
    with pytest.raises(ValidationError, match=f"{DAY}, on which it was sent") as error:
        verdict.finding_about(attempt(**sent))
    assert refused_argument(error) == ("day", day.isoformat())


# ---------------------------------------------------------------- settling, and taking back


class Writer:
    """Stand in for a journal with one order, which writes down what it is told."""

    def __init__(self, *attempts: Attempt, owner: str = "key-1") -> None:
        self.account = "key-1"
        self.record: OrderRecord | None = None
        if attempts:
            self.record = OrderRecord(intent("a", BUY, account=owner), attempts, (), {})
        self.written: list[tuple[str, Finding | str]] = []
        self.contradiction: str | None = None
        self.spread: list[ReportNews] = []

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """Give the order."""
        return self.record if client_order_id == "a" else None

    async def conclude(self, about: Attempt, finding: Finding) -> Conclusion:
        """Write a finding, and the number with it."""
        return self._write(about, finding, evolve(about, broker_order_id=finding.broker_order_id))

    async def withdraw(self, about: Attempt, reason: str) -> Conclusion:
        """Write that a verdict does not count any more."""
        return self._write(about, reason, evolve(about, broker_order_id=None))

    def _write(self, about: Attempt, what: Finding | str, become: Attempt) -> Conclusion:
        self.written.append((about.key, what))
        assert self.record is not None
        sends = tuple(become if one.number == about.number else one for one in self.record.attempts)
        self.record = evolve(self.record, attempts=sends)
        return Conclusion(become, self.contradiction, NEWS)

    async def settle(self, verdict: Verdict, **changes: Any) -> str | None:
        """Settle an order on the day after its send; give the number that it has then."""
        options: dict[str, Any] = {"today": AFTER, "spread": self.spread.append} | changes
        return (await settle(cast("Journal", self), "a", verdict, **options)).broker_order_id

    async def take_back(self, reason: str = "wrong") -> str | None:
        """Take a verdict back; give the number that the order has then."""
        order = await take_back(cast("Journal", self), "a", reason, spread=self.spread.append)
        return order.broker_order_id


def days_written(journal: Writer) -> list[date | None]:
    """Give the days of the numbers that were written."""
    return [what.claim_day for _, what in journal.written if isinstance(what, Finding)]


@pytest.mark.parametrize("state", sorted(UNRESOLVED))
async def test_unresolved_order_is_settled(state: Delivery) -> None:
    """By what the person has seen; whoever listens hears what the broker had said of the number before."""
    journal = Writer(attempt(state=state))
    assert await journal.settle(SEEN) == "0000101"
    assert journal.written == [("a#1", SEEN.finding_about(attempt()))]
    assert journal.spread == [NEWS]


async def test_order_that_is_not_on_the_book_has_no_day() -> None:
    """Neither a look nor a choice of days matters, however close to midnight it was sent."""
    journal = Writer(attempt(dispatched_at=NOON.replace(hour=0, minute=0)))
    assert await journal.settle(GONE, days_of=lambda _: (DAY, AFTER), seen_on=lambda *_: DAY) is None
    assert journal.written == [("a#1", GONE.finding_about(attempt()))]


async def test_verdict_is_about_the_send_that_decides() -> None:
    """The others are settled."""
    journal = Writer(attempt(number=1), attempt(number=2, state=Delivery.NOT_ACCEPTED))
    assert await journal.settle(SEEN) == "0000101"
    assert [key for key, _ in journal.written] == ["a#1"]


@pytest.mark.parametrize(
    "journal",
    [
        pytest.param(Writer(), id="not in the journal"),
        pytest.param(Writer(attempt(), owner="key-2"), id="another account's"),
        *(pytest.param(Writer(attempt(state=state)), id=state) for state in sorted(set(Delivery) - UNRESOLVED)),
    ],
)
async def test_order_that_is_not_unresolved_is_not_settled(journal: Writer) -> None:
    """Nothing is written; the error names the id and says where the unresolved ones are told."""
    with pytest.raises(ValidationError, match=r"client\.orders\.unresolved") as error:
        await journal.settle(SEEN)
    assert refused_argument(error) == ("client_order_id", "a")
    assert (journal.written, journal.spread) == ([], [])


MIDNIGHT: Final = datetime(2026, 11, 9, tzinfo=KST)


@pytest.mark.parametrize(
    ("sent_at", "today", "days", "when"),
    [
        pytest.param(NOON, AFTER, (DAY,), None, id="within the hours"),
        pytest.param(NOON, AFTER, (DAY, AFTER), "while nothing traded", id="outside of the hours"),
        pytest.param(NOON, DAY, (DAY, AFTER), None, id="the next day has not come"),
        pytest.param(NOON, AFTER, (), None, id="no day is known"),
        pytest.param(MIDNIGHT, DAY, (DAY,), "around midnight", id="around midnight"),
        pytest.param(MIDNIGHT + timedelta(minutes=5), DAY, (DAY,), None, id="after midnight"),
        pytest.param(MIDNIGHT + timedelta(hours=23, minutes=56), DAY, (DAY,), "around midnight", id="before midnight"),
    ],
)
async def test_day_of_a_number_is_asked_for_where_it_may_be_either(
    sent_at: datetime, today: date, days: tuple[date, ...], when: str | None
) -> None:
    """Numbers begin anew every day, and a guess would claim somebody else's order."""
    journal = Writer(attempt(dispatched_at=sent_at))
    if when is None:
        assert await journal.settle(SEEN, today=today, days_of=lambda _: days) == "0000101"
        assert days_written(journal) == [None]
        return
    with pytest.raises(ValidationError, match=rf"{when}.*\({DAY}\)") as error:
        await journal.settle(SEEN, today=today, days_of=lambda _: days)
    assert refused_argument(error) == ("day", None)
    assert journal.written == []
    assert await journal.settle(evolve(SEEN, day=DAY), today=today, days_of=lambda _: days) == "0000101"
    assert days_written(journal) == [DAY]


async def test_number_stands_on_no_list_of_a_day_to_come() -> None:
    """A slip in the date would give the order a number that is another one's by then."""
    journal = Writer(attempt())
    with pytest.raises(ValidationError, match=f"today, {DAY}") as error:
        await journal.settle(evolve(SEEN, day=AFTER), today=DAY)
    assert refused_argument(error) == ("day", AFTER.isoformat())
    assert journal.written == []


async def test_day_on_which_a_look_has_shown_the_number_is_taken() -> None:
    """Unless the person names another one."""
    shown: list[tuple[str, str]] = []

    def seen_on(about: Attempt, number: str) -> date:
        shown.append((about.key, number))
        return AFTER

    journal = Writer(attempt())
    assert await journal.settle(SEEN, days_of=lambda _: (DAY, AFTER), seen_on=seen_on) == "0000101"
    assert shown == [("a#1", "0000101")]
    assert await Writer(attempt()).settle(evolve(SEEN, day=DAY), seen_on=seen_on) == "0000101"
    assert days_written(journal) == [AFTER]
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("hour", "days"), [(7, (DAY,)), (12, (DAY,)), (19, (DAY,)), (6, (DAY, AFTER)), (20, (DAY, AFTER))]
)
def test_process_that_knows_no_hours_takes_those_of_kiwoom(hour: int, days: tuple[date, ...]) -> None:
    """Outside of them an order may stand on the list of the next trading day."""
    at = NOON.replace(hour=hour, minute=30)
    assert usual_days(attempt(dispatched_at=at, ended_at=at)) == days


async def test_evening_order_is_settled_with_a_day_only() -> None:
    """Also where nobody has told the days; nobody has to listen, and no look has to have been taken."""
    at = NOON.replace(hour=21)
    journal = Writer(attempt(dispatched_at=at, ended_at=at))
    with pytest.raises(ValidationError, match="while nothing traded"):
        await settle(cast("Journal", journal), "a", SEEN, today=AFTER)
    order = await settle(cast("Journal", journal), "a", evolve(SEEN, day=AFTER), today=AFTER)
    assert order.broker_order_id == "0000101"


async def test_verdict_that_contradicts_what_is_written_is_an_error() -> None:
    """It says why; what the broker had told is spread all the same."""
    journal = Writer(attempt(resolved_by=ResolvedBy.OPERATOR))
    journal.contradiction = "the number is that of order b"
    with pytest.raises(JournalError, match="'a' cannot be settled so: the number is that of order b"):
        await journal.settle(SEEN)
    with pytest.raises(JournalError, match="'a' cannot be settled so: the number is that of order b"):
        await journal.take_back()
    assert journal.spread == [NEWS, NEWS]


async def test_verdict_is_taken_back_with_a_reason() -> None:
    """It is as if it had not been given, and the history keeps both."""
    journal = Writer(attempt(state=Delivery.ACKNOWLEDGED, resolved_by=ResolvedBy.OPERATOR, broker_order_id="0000101"))
    for empty in ("", " "):
        with pytest.raises(ValidationError) as error:
            await journal.take_back(empty)
        assert refused_argument(error) == ("reason", empty)
    assert journal.written == []
    assert await journal.take_back(" wrong account ") is None
    assert journal.written == [("a#1", "wrong account")]
    assert journal.spread == [NEWS]


@pytest.mark.parametrize(
    "journal",
    [
        pytest.param(Writer(), id="not in the journal"),
        pytest.param(Writer(attempt(resolved_by=ResolvedBy.OPERATOR), owner="key-2"), id="another account's"),
        *(
            pytest.param(Writer(attempt(state=Delivery.ACKNOWLEDGED, resolved_by=by)), id=str(by))
            for by in (None, ResolvedBy.RESPONSE, ResolvedBy.LEDGER, ResolvedBy.EVENT)
        ),
    ],
)
async def test_only_what_a_person_has_settled_is_taken_back(journal: Writer) -> None:
    """What the broker has said stands."""
    with pytest.raises(ValidationError, match="settled by hand") as error:
        await journal.take_back()
    assert refused_argument(error) == ("client_order_id", "a")
    assert (journal.written, journal.spread) == ([], [])
