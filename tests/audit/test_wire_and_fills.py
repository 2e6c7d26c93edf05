"""What only some runs record: the wire, the client's own record, fills as heard, revivals, clocks, days."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._audit import (
    Answer,
    Ask,
    Attempt,
    Audit,
    BookEntry,
    FillHeard,
    Harm,
    Terms,
    Verdict,
    check_history,
)

BUY = Terms("stock", "new", "005930", "buy", 10, 70_000, "KRX", order_type="limit")
CANCEL = Terms("stock", "cancel", "005930", route="KRX")
DAY = "2026-11-02"
ON_BOOK = BookEntry("0000001", BUY, "a", is_working=True, day=DAY)
TOLD = Answer("a", Verdict.ACCEPTED, "0000001", BUY, resolved_by="response", day=DAY)
ABSENT = Attempt("a", 1, is_absent=True)


def check(**changes: Any) -> Audit:
    """Check a history in which "a" was asked for, accepted, and is on the book; something about it is changed."""
    run: dict[str, Any] = {"asks": [Ask("a", BUY)], "answers": [TOLD], "book": [ON_BOOK], **changes}
    return check_history(run.pop("asks"), run.pop("answers"), run.pop("book"), **run)


def only(audit: Audit) -> tuple[str, Harm, str]:
    """Give the one violation."""
    assert len(audit.violations) == 1, audit.violations
    violation = audit.violations[0]
    return violation.invariant, violation.harm, violation.text


def heard(quantity: int, sequence: int, **changes: Any) -> FillHeard:
    """Make a fill of "a" as a listener heard it."""
    return evolve(FillHeard("a", "0000001", quantity, sequence, DAY), **changes)


# I1, on the wire


@pytest.mark.parametrize(
    "recorded",
    [
        {"sends": ["a"], "attempts": [Attempt("a", 1)]},
        {"sends": [], "attempts": [Attempt("a", 1)], "answers": [Answer("a", Verdict.NOT_ACCEPTED)], "book": []},
        {"sends": ["a"], "attempts": [Attempt("a", 1, may_have_left=False), Attempt("a", 2)]},
        {"sends": ["a", "a"], "attempts": [Attempt("a", 1, is_turned_away=True), Attempt("a", 2)]},
        {"sends": ["a", "a"], "attempts": [ABSENT, Attempt("a", 2)], "asks": [Ask("a", BUY, most_sends=2)]},
        {"sends": ["a", "a"], "asks": [Ask("a", BUY, most_sends=2)]},
        {"sends": ["a", "a"], "answers": [Answer("a", Verdict.NOT_SENT), TOLD]},
    ],
    ids=["once", "lost", "not sent", "turned away", "resent", "resent, unrecorded", "told not sent"],
)
def test_sends_that_were_permitted_are_clean(recorded: dict[str, Any]) -> None:
    """One, or another one after proof and permission."""
    assert check(**recorded).violations == ()


@pytest.mark.parametrize(
    ("recorded", "text"),
    [
        ({"sends": ["a", "a"]}, "2 requests on the wire, 1 permitted"),
        (
            {"sends": ["a", "a"], "attempts": [Attempt("a", 1)]},
            "2 requests on the wire, the durable record has 1",
        ),
        (
            {"sends": ["a"], "attempts": []},
            "1 requests on the wire, the durable record has 0",
        ),
        (
            {"sends": ["a"], "attempts": [Attempt("a", 1, may_have_left=False)]},
            "1 requests on the wire, the durable record has 0",
        ),
        (
            {"attempts": [Attempt("a", 1), Attempt("a", 2)], "asks": [Ask("a", BUY, most_sends=2)]},
            "send 2 followed send 1, of which nothing was proven",
        ),
        ({"attempts": [Attempt("a", 2), ABSENT]}, "1 resends after a proof of absence, 0 permitted"),
    ],
)
def test_a_send_without_permission_or_proof_is_a_risk(recorded: dict[str, Any], text: str) -> None:
    """I1, although nothing came of it."""
    assert only(check(**recorded)) == ("I1", Harm.RISKED, text)


def test_a_request_that_nobody_asked_for_is_a_risk() -> None:
    """I1: with a key, or without one."""
    assert only(check(sends=["a", "b"]))[2] == "1 requests on the wire, and nobody asked"
    assert only(check(sends=["a", ""]))[2] == "1 requests on the wire, and nobody asked"


def test_a_full_cancel_may_be_repeated_and_a_partial_one_may_not() -> None:
    """I1: a cancel of all that is left ends in the same state when it arrives twice, and its record must have both."""
    gone = evolve(ON_BOOK, is_working=False)
    for quantity, is_clean in ((None, True), (3, False)):
        terms = evolve(CANCEL, quantity=quantity)
        row = BookEntry("0000002", evolve(terms, side="buy", original="0000001"), "c", day=DAY)
        run: dict[str, Any] = {
            "asks": [Ask("a", BUY), Ask("c", terms, target="a")],
            "answers": [TOLD, Answer("c", Verdict.ACCEPTED, "0000002", terms, day=DAY)],
            "book": [gone, row],
            "sends": ["a", "c", "c"],
        }
        attempts = [Attempt("a", 1), Attempt("c", 1), Attempt("c", 2)]
        assert check(**run).is_clean is is_clean
        assert check(**run, attempts=attempts).is_clean is is_clean
        assert not check(**run, attempts=attempts[:2]).is_clean


# I2


@pytest.mark.parametrize("changes", [{"order_type": "market"}, {"stop_price": 69_000}, {"original": "0000009"}])
def test_every_field_is_compared(changes: dict[str, Any]) -> None:
    """I2, also for the type, the stop price and the original."""
    whole = evolve(BUY, stop_price=71_000, original="0000008")
    audit = check(
        asks=[Ask("a", BUY)],
        answers=[evolve(TOLD, terms=evolve(whole, **changes))],
        book=[evolve(ON_BOOK, terms=whole)],
    )
    assert only(audit) == ("I2", Harm.WRONG, f"told other fields than the book has: {next(iter(changes))}")


def test_the_same_number_on_two_days_is_two_orders() -> None:
    """I2: numbers begin anew every day."""
    next_day = "2026-11-03"
    run: dict[str, Any] = {
        "asks": [Ask("a", BUY), Ask("b", BUY)],
        "answers": [TOLD, evolve(TOLD, client_order_id="b", day=next_day)],
        "book": [ON_BOOK, evolve(ON_BOOK, client_order_id="b", day=next_day)],
    }
    assert check(**run).is_clean
    run["answers"][1] = evolve(run["answers"][1], day=DAY)
    assert {violation.invariant for violation in check(**run).violations} == {"I2"}


def test_an_early_acceptance_that_was_untrue_is_found_under_a_later_true_one() -> None:
    """I2, and I5: what was told first was told."""
    audit = check(answers=[evolve(TOLD, broker_order_id="0000007"), TOLD])
    assert {violation.invariant for violation in audit.violations} == {"I2", "I5"}


# I3


def test_a_revival_must_be_reported_by_the_client() -> None:
    """I3 and I5: turned up after a proof of absence; with a report, the later acceptance is the truth."""
    told = [Answer("a", Verdict.NOT_ACCEPTED), TOLD]
    assert {violation.invariant for violation in check(answers=told, revived=[]).violations} == {"I5"}
    assert check(answers=told, revived=["a"]).is_clean
    assert check(answers=told[:1], revived=["a"]).is_clean
    assert only(check(answers=told[:1], revived=[]))[:2] == ("I3", Harm.LOST)


def test_a_report_excuses_no_refusal_and_no_return() -> None:
    """I5: only "not accepted" may turn out to be wrong, and only once."""
    refused = [Answer("a", Verdict.REFUSED), TOLD]
    back = [Answer("a", Verdict.NOT_ACCEPTED), TOLD, Answer("a", Verdict.NOT_ACCEPTED), TOLD]
    for told in (refused, back):
        assert only(check(answers=told, revived=["a"]))[:2] == ("I5", Harm.WRONG)


def test_a_revival_of_what_is_not_there_is_wrong() -> None:
    """I3."""
    audit = check(answers=[Answer("a", Verdict.NOT_ACCEPTED)], book=[], revived=["a"])
    assert only(audit) == ("I3", Harm.WRONG, "reported to have turned up, but the book has none")


# I4


def test_a_claim_of_somebody_elses_order_is_found_under_a_later_answer() -> None:
    """I4: it was claimed, whatever is said now."""
    foreign = evolve(ON_BOOK, broker_order_id="0000008", client_order_id=None, is_foreign=True)
    audit = check(answers=[evolve(TOLD, broker_order_id="0000008"), TOLD], book=[ON_BOOK, foreign])
    assert ("I4", "order 0000008 is somebody else's") in {(one.invariant, one.text) for one in audit.violations}


# I5


def test_not_sent_may_be_told_late_to_who_asked_early() -> None:
    """I5: two callers, one attempt each; the first one's answer is written down last."""
    accepted = evolve(TOLD, asked_at=1.0, told_at=2.0)
    early = Answer("a", Verdict.NOT_SENT, asked_at=0.5, told_at=2.5)
    assert check(answers=[accepted, early]).is_clean
    repeated = check(answers=[accepted, evolve(early, asked_at=2.2), accepted])
    assert only(repeated)[:2] == ("I5", Harm.WRONG)
    late_refusal = Answer("a", Verdict.REFUSED, asked_at=0.5, told_at=2.5)
    assert only(check(answers=[accepted, late_refusal, accepted]))[:2] == ("I5", Harm.WRONG)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Answer("a", Verdict.REFUSED, detail="855056"), Answer("a", Verdict.REFUSED, detail="571489")),
    ],
)
def test_the_same_verdict_with_another_reason_is_another_answer(first: Answer, second: Answer) -> None:
    """I5."""
    audit = check(answers=[first, second], book=[])
    assert only(audit) == ("I5", Harm.WRONG, "two answers: refused 855056 and refused 571489")


def test_the_same_number_with_other_fields_is_another_answer() -> None:
    """I5: fields that the book does not know of are compared as well."""
    audit = check(answers=[TOLD, evolve(TOLD, terms=evolve(BUY, stop_price=1))])
    assert only(audit)[:2] == ("I5", Harm.WRONG)


# I6


def test_fills_that_sum_up_are_clean() -> None:
    """I6: in parts, and each event as often as it was heard."""
    book = [evolve(ON_BOOK, filled_quantity=7)]
    answers = [TOLD, evolve(TOLD, filled_quantity=7)]
    assert check(book=book, fills=[heard(3, 1), heard(4, 2), heard(3, 1)], answers=answers).is_clean
    assert check(fills=[]).is_clean


@pytest.mark.parametrize(
    ("fills", "text"),
    [
        ([], "heard of 0 filled of 0000001 in 0 events, the book has 7"),
        ([heard(3, 1)], "heard of 3 filled of 0000001 in 1 events, the book has 7"),
        ([heard(3, 1), heard(4, 2), heard(4, 3)], "heard of 11 filled of 0000001 in 3 events, the book has 7"),
    ],
    ids=["none", "too few", "twice"],
)
def test_fills_that_do_not_sum_up_are_wrong(fills: list[FillHeard], text: str) -> None:
    """I6: exactly the book's, neither more nor less."""
    answers = [TOLD, evolve(TOLD, filled_quantity=7)]
    audit = check(book=[evolve(ON_BOOK, filled_quantity=7)], fills=fills, answers=answers)
    assert only(audit) == ("I6", Harm.WRONG, text)


@pytest.mark.parametrize(
    "stray",
    [
        heard(1, 9, broker_order_id="0000002"),
        heard(1, 9, day="2026-11-03"),
        heard(1, 9, client_order_id="b"),
    ],
)
def test_a_fill_of_an_order_that_is_not_there_is_wrong(stray: FillHeard) -> None:
    """I6: another number, another day, another id."""
    audit = check(fills=[stray])
    assert only(audit)[:2] == ("I6", Harm.WRONG)
    assert "which it does not have on the book" in only(audit)[2]


def test_an_answer_with_fewer_fills_than_before_is_wrong() -> None:
    """I6, unless the two were asked for at the same time."""
    book = [evolve(ON_BOOK, filled_quantity=7)]
    more = evolve(TOLD, filled_quantity=5, asked_at=1.0, told_at=3.0)
    fewer = evolve(TOLD, filled_quantity=2, asked_at=4.0, told_at=5.0)
    assert only(check(answers=[more, fewer], book=book)) == ("I6", Harm.WRONG, "told 2 filled after 5")
    assert check(answers=[more, evolve(fewer, asked_at=2.0)], book=book).is_clean


# I7 and P3


def test_before_the_end_something_may_be_unknown() -> None:
    """I7 is about the end."""
    told = [Answer("a", Verdict.UNKNOWN)]
    assert only(check(answers=told))[:2] == ("I7", Harm.UNKNOWN)
    assert check(answers=told, is_over=False).is_clean


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.UNKNOWN])
def test_an_answer_after_the_deadline_is_late(verdict: Verdict) -> None:
    """P3: beyond the tolerance; "unknown" in time is enough, and too late it is late."""
    first = evolve(TOLD, verdict=verdict, asked_at=1.0, told_at=3.5, deadline=2.0)
    assert check(answers=[first, TOLD], tolerance=0.6).is_clean
    assert check(answers=[first, TOLD]).is_clean
    audit = check(answers=[first, TOLD], tolerance=0.4)
    assert only(audit) == ("P3", Harm.LATE, f"told {verdict.value} after 2.50 s, the deadline was 2 s")
    assert check(answers=[evolve(first, deadline=None), TOLD], tolerance=0.0).is_clean
