"""Twins may have each other's numbers; nothing else is hidden by that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from kiwoom_async._audit import Answer, Ask, BookEntry, Harm, Terms, Verdict, check_history
from kiwoom_async._proof.evidence import verdict_on
from kiwoom_async._proof.testimony import Moments, number_of, renamed
from kiwoom_async.errors import JournalError, NotSent, OutcomeUnknown, ValidationError

TERMS = Terms("stock", "new", "005930", "buy", 10, 70_000, "KRX")
OTHER = Terms("stock", "new", "005930", "buy", 11, 70_000, "KRX")


def entry(number: str, name: str | None, terms: Terms = TERMS, *, is_foreign: bool = False) -> BookEntry:
    """Make an order on the book."""
    return BookEntry(number, terms, name, is_foreign=is_foreign)


def told(name: str, number: str | None, *, asked_at: float = 0.0, told_at: float = 9.0) -> Answer:
    """Make an answer: a number, or none."""
    verdict = Verdict.NOT_ACCEPTED if number is None else Verdict.ACCEPTED
    return Answer(name, verdict, number, asked_at=asked_at, told_at=told_at)


def harms(
    asks: Sequence[Ask],
    answers: Sequence[Answer],
    book: Sequence[BookEntry],
    accepted: Mapping[str, float] | None = None,
) -> set[tuple[str, Harm]]:
    """Judge a history after renaming; every order was accepted after a second, unless it is said otherwise."""
    moments = Moments(
        {answer.client_order_id: answer.asked_at for answer in answers if answer.asked_at is not None},
        {number_of(order): (accepted or {}).get(order.broker_order_id, 1.0) for order in book},
        slack=2.0,
    )
    audit = check_history(asks, answers, renamed(asks, answers, book, moments))
    return {(violation.client_order_id, violation.harm) for violation in audit.violations}


ASKS = (Ask("a", TERMS), Ask("b", TERMS))


@pytest.mark.parametrize(
    ("answers", "book"),
    [
        ((told("a", "2"), told("b", "1")), (entry("1", "a"), entry("2", "b"))),
        ((told("a", "1"), told("b", None)), (entry("1", "b"),)),
        ((told("a", None), told("b", "1")), (entry("1", "a"),)),
    ],
    ids=["swapped", "the_other_was_accepted", "this_one_was_accepted"],
)
def test_twins_may_have_each_others_orders(answers: Sequence[Answer], book: Sequence[BookEntry]) -> None:
    """As many orders as were told, each with one number: which request made which is a name."""
    assert harms(ASKS, answers, book) == set()


def test_an_order_sent_twice_is_doubled_although_its_twin_never_arrived() -> None:
    """Two told, two there, and both are of one request: that the other one was lost does not make it right."""
    book = (entry("1", "a"), entry("2", "a"))
    assert ("a", Harm.DOUBLED) in harms(ASKS, (told("a", "1"), told("b", "2")), book)


def test_the_twin_that_was_sent_again_may_be_either() -> None:
    """One of two arrived, one was proven absent and sent again: the id that has the later order had no earlier one."""
    book = (entry("1", "a"), entry("2", "a"))
    answers = (told("a", "2"), told("b", "1"))
    assert harms(ASKS, answers, book, {"1": 1.0, "2": 7.0}) == set()
    assert ("a", Harm.DOUBLED) in harms(ASKS, answers, (*book, entry("3", "b")), {"1": 1.0, "2": 7.0, "3": 1.0})
    assert ("a", Harm.DOUBLED) in harms(ASKS, (told("a", "2"),), book, {"1": 1.0, "2": 7.0})


def test_three_twins_may_change_places_around_the_one_that_was_sent_again() -> None:
    """The first order of one is told to the second, whose own is told to the third, which has none."""
    book = (entry("1", "a"), entry("2", "b"), entry("3", "a"))
    answers = (told("a", "3"), told("b", "1"), told("c", "2"))
    moments = {"1": 1.0, "2": 1.0, "3": 7.0}
    assert harms((*ASKS, Ask("c", TERMS)), answers, book, moments) == set()
    assert harms((*ASKS, Ask("c", TERMS)), answers[:2], book, moments) != set()


def test_an_order_from_before_it_was_asked_for_is_not_taken() -> None:
    """Told that it has none, although it stands there; its twin, asked a minute later, is given it."""
    answers = (told("a", None, told_at=5.0), told("b", "1", asked_at=60.0, told_at=61.0))
    assert {("a", Harm.LOST), ("b", Harm.LOST)} <= harms(ASKS, answers, (entry("1", "a"),))


def test_an_order_that_came_after_the_answer_is_not_taken() -> None:
    """Who was settled when it was accepted is not in the air any more, in either of the two places."""
    denied_before = (told("a", None, told_at=5.0), told("b", "1"))
    assert ("b", Harm.LOST) in harms(ASKS, denied_before, (entry("1", "a"),), {"1": 6.0})
    told_before = (told("a", None), told("b", "1", told_at=5.0))
    assert ("b", Harm.LOST) in harms(ASKS, told_before, (entry("1", "a"),), {"1": 6.0})


def test_without_moments_nobody_is_renamed() -> None:
    """What is not known excuses nothing."""
    book = [entry("1", "a"), entry("2", "b")]
    assert renamed(ASKS, (told("a", "2"), told("b", "1")), book, Moments()) == book


def test_one_order_too_many_is_found() -> None:
    """Two told, three there: one of them is a double, however they are named."""
    book = (entry("1", "a"), entry("2", "a"), entry("3", "b"))
    assert ("a", Harm.DOUBLED) in harms(ASKS, (told("a", "3"), told("b", "1")), book)


def test_one_order_that_nobody_was_told_of_is_found() -> None:
    """One told, two there: the twin that was told that it has none has one."""
    assert harms(ASKS, (told("a", "2"), told("b", None)), (entry("1", "a"), entry("2", "b"))) == {("b", Harm.LOST)}


def test_one_order_too_few_is_found() -> None:
    """Two told, one there."""
    assert harms(ASKS, (told("a", "1"), told("b", "2")), (entry("1", "b"),)) == {("b", Harm.LOST)}


def test_orders_of_strangers_and_others_are_not_given_away() -> None:
    """Only twins of ours share: a person's order and one with other fields stay what they are."""
    asks = (*ASKS, Ask("c", OTHER))
    book = (entry("1", "a"), entry("2", None, is_foreign=True), entry("3", "c", OTHER))
    answers = (told("a", "1"), told("b", "2"), told("c", "3"))
    assert ("b", Harm.WRONG) in harms(asks, answers, book)
    answers = (told("a", "1"), told("b", "3"), told("c", None))
    assert {name for name, _ in harms(asks, answers, book)} >= {"b", "c"}


def test_only_an_error_about_the_order_is_an_answer() -> None:
    """What says nothing about the order is a fault of the client."""
    assert verdict_on(OutcomeUnknown("a", "lost")) is Verdict.UNKNOWN
    assert verdict_on(NotSent("no slot")) is Verdict.NOT_SENT
    assert verdict_on(ValidationError("price", 1, "2")) is Verdict.NOT_SENT
    assert verdict_on(JournalError("locked")) is Verdict.ERROR
