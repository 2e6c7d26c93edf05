"""What a test breaks on purpose hides nothing else."""

from __future__ import annotations

import pytest

from kiwoom_async._audit import Harm, Violation
from tests.audits import NO_BROKER, assert_broken, assert_left_out, listed, reason_not_to

DOUBLED = Violation("I1", Harm.DOUBLED, "one", "2 orders on the book")
EXPECTED = {"test_doubles": (("I1", Harm.DOUBLED, "one"),), "test_case[late]": (("I1", Harm.RISKED, "one"),)}


def test_what_is_expected_is_found_once() -> None:
    """By the name of the test, with its case or without; who is not listed has broken nothing."""
    assert_broken([DOUBLED], listed("test_doubles", EXPECTED))
    assert_broken([DOUBLED], listed("test_doubles[soon]", EXPECTED))
    assert listed("test_case[late]", EXPECTED) == (("I1", Harm.RISKED, "one"),)
    assert listed("test_case[soon]", EXPECTED) == listed("test_other", EXPECTED) == ()


@pytest.mark.parametrize(
    "found",
    [
        [],
        [DOUBLED, DOUBLED],
        [DOUBLED, Violation("I1", Harm.RISKED, "one", "a third send, of which nothing was proven")],
        [Violation("I1", Harm.RISKED, "one", "")],
        [Violation("I1", Harm.DOUBLED, "two", "")],
    ],
    ids=["nothing", "twice", "and risked", "risked instead", "another id"],
)
def test_another_breach_of_the_same_promise_is_noticed(found: list[Violation]) -> None:
    """The same promise, broken in another way, for another id or more often, fails the test."""
    with pytest.raises(AssertionError):
        assert_broken(found, listed("test_doubles", EXPECTED))


def test_no_test_slips_out_of_the_audit() -> None:
    """One broker and one journal are audited; everything else needs its reason in the table, and the right one."""
    table = {"test_two": "2 brokers, 2 journals"}
    assert reason_not_to(1, 1) == ""
    assert reason_not_to(0, 3) == NO_BROKER
    assert not assert_left_out("test_one", reason_not_to(1, 1), table)
    assert assert_left_out("test_pure", reason_not_to(0, 0), table)
    assert assert_left_out("test_two[case]", reason_not_to(2, 2), table)
    for name, brokers, journals in (("test_one", 2, 1), ("test_one", 1, 0), ("test_two", 1, 1), ("test_two", 2, 1)):
        with pytest.raises(AssertionError):
            assert_left_out(name, reason_not_to(brokers, journals), table)
