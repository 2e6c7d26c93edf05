"""What the checker finds where moments, calls and deaths are recorded: denials in passing, silence, answers that go."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._audit import Answer, Ask, Attempt, Audit, BookEntry, FillHeard, Harm, Terms, Verdict, check_history

BUY = Terms("stock", "new", "005930", "buy", 10, 70_000, "KRX")
GOLD = Terms("gold", "new", "M04020000", "buy", 1, 180_000)
CREDIT = Terms("credit", "new", "005930", "buy", 10, 70_000, "KRX")
ON_BOOK = BookEntry("0000001", BUY, "a", accepted_at=1.0)
ACCEPTED = Answer("a", Verdict.ACCEPTED, "0000001", BUY)
SENT: dict[str, Any] = {"sends": ["a"], "attempts": [Attempt("a", 1)]}


def told(verdict: Verdict, asked_at: float, told_at: float, call: str | None = None) -> Answer:
    """Make an answer to "a" with its moments."""
    answer = ACCEPTED if verdict is Verdict.ACCEPTED else Answer("a", verdict)
    return evolve(answer, asked_at=asked_at, told_at=told_at, call=call)


def check(answers: list[Answer], book: list[BookEntry], asks: list[Ask] | None = None, **recorded: Any) -> Audit:
    """Check a history in which "a" was asked for as often as it was answered."""
    return check_history([Ask("a", BUY)] * len(answers) if asks is None else asks, answers, book, **recorded)


def found(audit: Audit) -> list[tuple[str, Harm]]:
    """List what was broken."""
    return [(violation.invariant, violation.harm) for violation in audit.violations]


# I3, at the moment of the answer


@pytest.mark.parametrize("accepted_at", [0.0, 1.0, 2.0, 2.5], ids=["at once", "meanwhile", "as told", "on its way"])
def test_not_sent_while_its_only_send_is_accepted_is_a_lie(accepted_at: float) -> None:
    """I3: also if everybody who asks later is told the truth; nobody else can have made the order."""
    answers = [told(Verdict.NOT_SENT, 0, 2), told(Verdict.ACCEPTED, 3, 4)]
    audit = check(answers, [evolve(ON_BOOK, accepted_at=accepted_at)], **SENT)
    assert found(audit) == [("I3", Harm.LOST)]
    assert check(answers, [evolve(ON_BOOK, accepted_at=None)], **SENT).is_clean  # nobody has recorded the moment


def test_a_lie_that_is_told_twice_is_one_violation() -> None:
    """I3, for each id; and what has no moment is not judged by it."""
    answers = [told(Verdict.NOT_SENT, 0, 2), told(Verdict.NOT_SENT, 2, 3), told(Verdict.ACCEPTED, 3, 4)]
    assert found(check(answers, [ON_BOOK])) == [("I3", Harm.LOST)]
    timeless = [evolve(answers[0], asked_at=None), answers[2]]
    assert check(timeless, [ON_BOOK]).is_clean


def test_not_sent_of_an_order_that_was_there_before_is_a_lie() -> None:
    """I3: whoever made it."""
    answers = [told(Verdict.UNKNOWN, 0, 2), told(Verdict.NOT_SENT, 3, 4), told(Verdict.ACCEPTED, 5, 6)]
    assert found(check(answers, [ON_BOOK])) == [("I3", Harm.LOST)]


def test_not_sent_before_another_caller_makes_the_order_is_true() -> None:
    """Who asked later, or at the same time, or died of it, has made the order."""
    later = [told(Verdict.NOT_SENT, 0, 2), told(Verdict.ACCEPTED, 3, 4)]
    assert check(later, [evolve(ON_BOOK, accepted_at=3.5)]).is_clean
    assert check(later, [evolve(ON_BOOK, accepted_at=3.0 - 1e-9)]).is_clean, "two readings of one moment"
    together = [told(Verdict.NOT_SENT, 0, 2), told(Verdict.ACCEPTED, 0, 4)]
    assert check(together, [ON_BOOK]).is_clean
    asks = [Ask("a", BUY, call=call, asked_at=at) for call, at in (("1", 0.0), ("2", 0.5), ("3", 3.0))]
    dead = [told(Verdict.NOT_SENT, 0, 2, "1"), told(Verdict.ACCEPTED, 3, 4, "3")]
    assert check(dead, [ON_BOOK], asks).is_clean
    assert found(check(dead, [evolve(ON_BOOK, accepted_at=0.2)], asks)) == [("I3", Harm.LOST)]


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.NOT_ACCEPTED, Verdict.FAILED])
def test_a_denial_that_is_taken_back_was_false_all_the_same(verdict: Verdict) -> None:
    """I3, beside I5; where the client reports that the order turned up, a denial by proof is excused."""
    answers = [told(verdict, 0, 2), told(Verdict.ACCEPTED, 3, 4)]
    assert found(check(answers, [ON_BOOK])) == [("I3", Harm.LOST), ("I5", Harm.WRONG)]
    assert found(check(answers, [evolve(ON_BOOK, accepted_at=2.5)])) == [("I5", Harm.WRONG)]
    assert check(answers, [ON_BOOK], revived=["a"]).is_clean is (verdict is Verdict.NOT_ACCEPTED)


# P3, silence


def test_a_caller_who_is_told_nothing_is_found() -> None:
    """P3: another caller's answer is none; the death of the process excuses it, and only of that process."""
    asks = [Ask("a", BUY, call="1", process="A1"), Ask("a", BUY, call="2", process="B1")]
    answers = [evolve(ACCEPTED, call="1")]
    assert check(answers, [ON_BOOK], asks).is_clean  # nobody has recorded who died
    assert found(check(answers, [ON_BOOK], asks, died=[])) == [("P3", Harm.LATE)]
    assert found(check(answers, [ON_BOOK], asks, died=["A1"])) == [("P3", Harm.LATE)]
    assert check(answers, [ON_BOOK], asks, died=["B1"]).is_clean
    assert check([*answers, Answer("a", Verdict.UNKNOWN, call="2"), ACCEPTED], [ON_BOOK], asks, died=[]).is_clean


def test_calls_without_a_name_are_counted() -> None:
    """P3: of two who asked, one was answered."""
    asks = [Ask("a", BUY), Ask("a", BUY, process="B1")]
    assert found(check([ACCEPTED], [ON_BOOK], asks, died=())) == [("P3", Harm.LATE)]
    assert check([ACCEPTED], [ON_BOOK], asks, died={"B1"}).is_clean
    assert check([ACCEPTED, ACCEPTED], [ON_BOOK], asks, died=()).is_clean


# I7 and I6, in the end


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.ERROR])
def test_an_answer_that_becomes_unknown_again_is_none(verdict: Verdict) -> None:
    """I7: accepted, and then not known to the end; who asked before it was known may be told so after."""
    answers = [told(Verdict.ACCEPTED, 0, 1), told(verdict, 9, 90)]
    assert found(check(answers, [ON_BOOK])) == [("I7", Harm.UNKNOWN)]
    assert check(answers, [ON_BOOK], is_over=False).is_clean
    assert check([told(Verdict.ACCEPTED, 0, 1), told(verdict, 0.5, 2)], [ON_BOOK]).is_clean
    assert check([*answers, told(Verdict.ACCEPTED, 91, 92)], [ON_BOOK]).is_clean


def test_fills_that_are_never_told_are_found() -> None:
    """I6: in the end, and where fills are recorded, the answers have told of all of them."""
    book = [evolve(ON_BOOK, filled_quantity=10)]
    fills = [FillHeard("a", "0000001", 10, 1)]
    assert found(check([ACCEPTED], book, fills=fills)) == [("I6", Harm.WRONG)]
    assert check([ACCEPTED], book, fills=fills, is_over=False).is_clean
    assert check([ACCEPTED], book).is_clean
    assert check([ACCEPTED, evolve(ACCEPTED, filled_quantity=10)], book, fills=fills).is_clean


# Numbers


def test_a_number_is_valid_on_one_ledger() -> None:
    """Number 1 among the stocks and number 1 of the gold are two orders."""
    asks = [Ask("a", BUY), Ask("g", GOLD)]
    gold, accepted = BookEntry("0000001", GOLD, "g"), Answer("g", Verdict.ACCEPTED, "0000001", GOLD)
    assert check([ACCEPTED, accepted], [ON_BOOK, gold], asks).is_clean
    foreign = evolve(gold, client_order_id=None, is_foreign=True)
    assert check([ACCEPTED], [foreign, ON_BOOK], [Ask("a", BUY)]).is_clean
    assert ("I4", Harm.WRONG) in found(check([ACCEPTED, accepted], [ON_BOOK, foreign], asks))


def test_credit_and_stock_share_a_ledger() -> None:
    """I2: one number there is one order."""
    asks = [Ask("a", BUY), Ask("c", CREDIT)]
    entry, accepted = BookEntry("0000001", CREDIT, "c"), Answer("c", Verdict.ACCEPTED, "0000001", CREDIT)
    assert found(check([ACCEPTED, accepted], [ON_BOOK, entry], asks)) == [("I2", Harm.WRONG)] * 2
