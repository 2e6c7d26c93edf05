"""The history checker finds every kind of broken promise, and nothing in a clean history."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._audit import Answer, Ask, Audit, BookEntry, Harm, Terms, Verdict, check_history

BUY = Terms("stock", "new", "005930", "buy", 10, 70_000, "KRX")
CANCEL = Terms("stock", "cancel", "005930", route="KRX")
ON_BOOK = BookEntry("0000001", BUY, "a", is_working=True)
TOLD = Answer("a", Verdict.ACCEPTED, "0000001", BUY, resolved_by="response")


def check(answers: list[Answer], book: list[BookEntry], asks: list[Ask] | None = None) -> Audit:
    """Check a history in which "a" was asked for."""
    return check_history([Ask("a", BUY)] if asks is None else asks, answers, book)


def found(audit: Audit) -> set[tuple[str, Harm]]:
    """List what was broken."""
    return {(violation.invariant, violation.harm) for violation in audit.violations}


def canceled(*, is_working: bool, original: str | None = "0000001") -> tuple[list[Ask], list[BookEntry]]:
    """Make the asks and the book of an order "a" and its cancel "c"."""
    book = [evolve(ON_BOOK, is_working=is_working)]
    if original is not None:
        book.append(BookEntry("0000002", evolve(CANCEL, side="buy", quantity=10, original=original), "c"))
    return [Ask("a", BUY), Ask("c", CANCEL, target="a")], book


def test_a_clean_history_has_no_violation() -> None:
    """Unknown, not sent, then accepted, then the same again after a restart: that is how it should be."""
    told = [Answer("a", Verdict.UNKNOWN), Answer("a", Verdict.NOT_SENT), TOLD, Answer("a", Verdict.UNKNOWN), TOLD]
    audit = check(told, [ON_BOOK])
    assert audit.is_clean
    assert (audit.asked, audit.on_the_book, audit.told(Verdict.ACCEPTED), audit.resolved_by("response")) == (1, 1, 1, 1)


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.NOT_ACCEPTED, Verdict.NOT_SENT, Verdict.FAILED])
def test_a_denial_of_an_order_that_is_not_there_is_clean(verdict: Verdict) -> None:
    """Nothing was told, nothing is there."""
    assert check([Answer("a", verdict)], []).is_clean


def test_two_orders_of_one_id_are_doubled() -> None:
    """I1, whatever the caller was told."""
    audit = check([TOLD], [ON_BOOK, evolve(ON_BOOK, broker_order_id="0000002")])
    assert found(audit) == {("I1", Harm.DOUBLED)}
    assert audit.count(Harm.DOUBLED) == 1
    assert audit.on_the_book == 2


def test_an_accepted_order_that_is_not_there_is_lost() -> None:
    """I2."""
    assert found(check([TOLD], [])) == {("I2", Harm.LOST)}


def test_a_number_that_is_not_its_own_is_wrong() -> None:
    """I2: the order is there, under another number."""
    assert found(check([evolve(TOLD, broker_order_id="0000009")], [ON_BOOK])) == {("I2", Harm.WRONG)}


@pytest.mark.parametrize(
    "changes", [{"quantity": 9}, {"price": 70_100}, {"side": "sell"}, {"symbol": "000660"}, {"route": "SOR"}]
)
def test_an_answer_with_other_fields_is_wrong(changes: dict[str, Any]) -> None:
    """I2, for every field."""
    assert found(check([evolve(TOLD, terms=evolve(BUY, **changes))], [ON_BOOK])) == {("I2", Harm.WRONG)}


@pytest.mark.parametrize("changes", [{"quantity": 9}, {"price": 70_100}, {"side": "sell"}, {"desk": "gold"}])
def test_an_order_that_is_not_what_was_asked_for_is_wrong(changes: dict[str, Any]) -> None:
    """I2, even if the client repeats what the book has."""
    terms = evolve(BUY, **changes)
    audit = check([evolve(TOLD, terms=terms)], [evolve(ON_BOOK, terms=terms)])
    assert found(audit) == {("I2", Harm.WRONG)}


@pytest.mark.parametrize("key", ["nobody", None])
def test_an_order_that_nobody_asked_for_is_wrong(key: str | None) -> None:
    """I2, from the book's side."""
    extra = evolve(ON_BOOK, broker_order_id="0000002", client_order_id=key)
    assert found(check([TOLD], [ON_BOOK, extra])) == {("I2", Harm.WRONG)}


def test_one_number_for_two_ids_is_wrong() -> None:
    """I2: one to one."""
    asks = [Ask("a", BUY), Ask("b", BUY)]
    told = [TOLD, evolve(TOLD, client_order_id="b")]
    audit = check(told, [ON_BOOK], asks)
    assert ("I2", Harm.WRONG) in found(audit)
    assert ("I2", Harm.LOST) in found(audit)  # and the order of "b" is not there


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.NOT_ACCEPTED, Verdict.NOT_SENT, Verdict.FAILED])
def test_an_order_that_is_denied_but_there_is_lost(verdict: Verdict) -> None:
    """I3."""
    assert found(check([Answer("a", verdict)], [ON_BOOK])) == {("I3", Harm.LOST)}


def test_a_claimed_order_of_somebody_else_is_wrong() -> None:
    """I4: the number exists, but it is not ours."""
    audit = check([TOLD], [evolve(ON_BOOK, client_order_id=None, is_foreign=True)])
    assert ("I4", Harm.WRONG) in found(audit)
    assert audit.on_the_book == 0


def test_a_cancel_of_somebody_elses_order_is_wrong() -> None:
    """I4."""
    asks, book = canceled(is_working=True, original="0000008")
    book.append(evolve(ON_BOOK, broker_order_id="0000008", client_order_id=None, is_foreign=True))
    told = [TOLD, Answer("c", Verdict.ACCEPTED, "0000002")]
    assert ("I4", Harm.WRONG) in found(check(told, book, asks))


def test_a_cancel_of_another_order_of_ours_is_wrong() -> None:
    """I2: it names an order that is not its target's."""
    asks, book = canceled(is_working=True, original="0000003")
    asks.append(Ask("b", BUY))
    book.append(evolve(ON_BOOK, broker_order_id="0000003", client_order_id="b"))
    told = [
        TOLD,
        Answer("c", Verdict.ACCEPTED, "0000002"),
        evolve(TOLD, client_order_id="b", broker_order_id="0000003"),
    ]
    assert found(check(told, book, asks)) == {("I2", Harm.WRONG)}


@pytest.mark.parametrize(
    "second",
    [
        Answer("a", Verdict.REFUSED, detail="855056"),
        Answer("a", Verdict.NOT_SENT),
        Answer("a", Verdict.NOT_ACCEPTED),
        evolve(TOLD, broker_order_id="0000002"),
        evolve(TOLD, broker_order_id=None),
    ],
)
def test_another_answer_the_second_time_is_wrong(second: Answer) -> None:
    """I5, also if the last answer is the true one again."""
    assert ("I5", Harm.WRONG) in found(check([TOLD, second, TOLD], [ON_BOOK]))


@pytest.mark.parametrize("first", [Verdict.REFUSED, Verdict.NOT_ACCEPTED])
def test_an_acceptance_after_a_denial_is_wrong(first: Verdict) -> None:
    """I5: the caller may have acted on the denial already."""
    assert found(check([Answer("a", first), TOLD], [ON_BOOK])) == {("I5", Harm.WRONG)}


def test_fills_that_did_not_happen_are_wrong() -> None:
    """I6; fewer than happened are merely old."""
    assert found(check([evolve(TOLD, filled_quantity=5)], [ON_BOOK])) == {("I6", Harm.WRONG)}
    assert check([TOLD], [evolve(ON_BOOK, filled_quantity=5)]).is_clean


@pytest.mark.parametrize("told", [[], [Answer("a", Verdict.UNKNOWN)], [Answer("a", Verdict.ERROR)]])
@pytest.mark.parametrize("book", [[], [ON_BOOK]])
def test_no_answer_is_unknown(told: list[Answer], book: list[BookEntry]) -> None:
    """I7: a question, a timeout or a crash is no answer."""
    audit = check(told, book)
    assert found(audit) == {("I7", Harm.UNKNOWN)}
    assert audit.count(Harm.UNKNOWN) == 1


def test_a_cancel_may_be_done_by_its_effect() -> None:
    """Without a number of its own, if nothing of its original is left; the number may become known later."""
    asks, book = canceled(is_working=False, original=None)
    done = Answer("c", Verdict.ACCEPTED)
    assert check([TOLD, done], book, asks).is_clean
    asks, book = canceled(is_working=False)
    assert check([TOLD, done, Answer("c", Verdict.ACCEPTED, "0000002")], book, asks).is_clean


def test_a_cancel_that_is_not_done_is_lost() -> None:
    """The original still works, and its owner believes it gone."""
    asks, book = canceled(is_working=True, original=None)
    assert found(check([TOLD, Answer("c", Verdict.ACCEPTED)], book, asks)) == {("I2", Harm.LOST)}


def test_an_order_without_a_number_is_wrong() -> None:
    """Only a cancel can be known by its effect."""
    assert ("I2", Harm.WRONG) in found(check([evolve(TOLD, broker_order_id=None)], [ON_BOOK]))


def test_a_harm_is_counted_once_for_each_id() -> None:
    """Three orders for one id are one doubled order."""
    book = [evolve(ON_BOOK, broker_order_id=f"000000{number}") for number in (1, 2, 3)]
    assert check([TOLD], book).count(Harm.DOUBLED) == 1
