"""Twins may have each other's numbers; nothing else is hidden by that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kiwoom_async._audit import Answer, Ask, BookEntry, Harm, Terms, Verdict, check_history
from kiwoom_async._proof.evidence import verdict_on
from kiwoom_async._proof.testimony import renamed
from kiwoom_async.errors import JournalError, NotSent, OutcomeUnknown, ValidationError

TERMS = Terms("stock", "new", "005930", "buy", 10, 70_000, "KRX")
OTHER = Terms("stock", "new", "005930", "buy", 11, 70_000, "KRX")


def entry(number: str, name: str | None, terms: Terms = TERMS, *, is_foreign: bool = False) -> BookEntry:
    """Make an order on the book."""
    return BookEntry(number, terms, name, is_foreign=is_foreign)


def told(name: str, number: str | None) -> Answer:
    """Make an answer: a number, or none."""
    return Answer(name, Verdict.NOT_ACCEPTED if number is None else Verdict.ACCEPTED, number)


def harms(asks: Sequence[Ask], answers: Sequence[Answer], book: Sequence[BookEntry]) -> set[tuple[str, Harm]]:
    """Judge a history after renaming."""
    audit = check_history(asks, answers, renamed(asks, answers, book))
    return {(violation.client_order_id, violation.harm) for violation in audit.violations}


ASKS = (Ask("a", TERMS), Ask("b", TERMS))


@pytest.mark.parametrize(
    ("answers", "book"),
    [
        ((told("a", "2"), told("b", "1")), (entry("1", "a"), entry("2", "b"))),
        ((told("a", "1"), told("b", None)), (entry("1", "b"),)),
        ((told("a", None), told("b", "1")), (entry("1", "a"),)),
        ((told("a", "1"), told("b", "2")), (entry("1", "a"), entry("2", "a"))),
    ],
    ids=["swapped", "the_other_was_accepted", "this_one_was_accepted", "sent_twice_in_place_of_its_twin"],
)
def test_twins_may_have_each_others_orders(answers: Sequence[Answer], book: Sequence[BookEntry]) -> None:
    """As many orders as were told, each with one number: which request made which is a name."""
    assert harms(ASKS, answers, book) == set()


def test_one_order_too_many_is_found() -> None:
    """Two told, three there: one of them is a double, however they are named."""
    book = (entry("1", "a"), entry("2", "a"), entry("3", "b"))
    assert harms(ASKS, (told("a", "3"), told("b", "1")), book) == {("a", Harm.DOUBLED)}


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
