"""What findings and measurements mean: states over time, one answer or look at a time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._domain.feed_status import FeedState, FeedStatus
from kiwoom_async._domain.health import (
    ALARM_LASTS,
    KIND_RULES,
    WARNING_LASTS,
    Assumption,
    Breach,
    BreachKind,
    DurableHealth,
    Health,
    HealthState,
    KeptBreach,
    find_doubt,
    judge,
    worst,
)
from kiwoom_async._domain.monitors import (
    TIGHT,
    Series,
    clock_gap,
    explain_missing,
    judge_answer,
    judge_clock,
    judge_delay,
    judge_step,
)
from kiwoom_async._domain.reports import Snapshot
from kiwoom_async._domain.settings import KST, Timing
from kiwoom_async._domain.vocabulary import Desk
from tests.journal.builders import row

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=KST)
TIMING = Timing()
OFF = FeedStatus(FeedState.OFF)
OK, WARNING, ALARM = HealthState


def kept(kind: BreachKind, age: timedelta = timedelta(0), times: int = 1) -> KeptBreach:
    """Make findings of a kind, the last of them some time ago."""
    return KeptBreach(Breach(kind, f"text of {kind}"), NOW - age - timedelta(hours=1), NOW - age, times)


def health_of(*found: KeptBreach, **changes: Any) -> Health:
    """Judge findings of a journal."""
    durable = DurableHealth(kept=found, **changes)
    return judge(durable, now=NOW, measured={Assumption.A4: "1 s"}, feed=OFF)


def test_every_kind_says_what_it_is_about_and_what_to_do() -> None:
    """No kind is left out of the table, no assumption is without a monitor, and no finding is all well."""
    assert set(KIND_RULES) == set(BreachKind)
    assert {rule.assumption for rule in KIND_RULES.values()} == set(Assumption)
    assert all(rule.state is not OK and rule.advice for rule in KIND_RULES.values())
    assert all(assumption.meaning for assumption in Assumption)
    alarming = {rule.assumption for rule in KIND_RULES.values() if rule.state is ALARM}
    assert alarming == set(Assumption)


def test_each_finding_counts_against_the_assumption_that_it_breaks() -> None:
    """By the table of guarantees.md, section 2; only what may still be true is a warning, all else an alarm."""
    about = {
        "A1": {"journal_lost_rows", "journal_unreadable", "forgotten_order"},
        "A2": {"sender_taken_for_dead", "sender_late"},
        "A3": {"second_order", "contradiction"},
        "A4": {"answer_slow", "revived", "duplicate", "may_be_late_twin"},
        "A5": {"listed_slowly", "not_listed", "row_disappeared"},
        "A6": {"ledger_incomplete", "other_account"},
        "A7": {"ledger_stale"},
        "A8": {"number_repeated", "number_fell"},
        "A9": {"foreign_twin", "channel_ambiguous"},
        "A10": {"echo_differs", "statement_impossible", "report_unreadable"},
        "A11": {"clock_near", "clock_off"},
    }
    breaches = [Breach(kind, "seen") for kind in BreachKind]
    found = {name: {one.kind.value for one in breaches if one.assumption.name == name} for name in about}
    assert found == about
    assert {one.kind.value for one in breaches if one.state is WARNING} == {
        *("sender_late", "answer_slow", "may_be_late_twin", "listed_slowly"),
        *("channel_ambiguous", "report_unreadable", "clock_near"),
    }


def test_nothing_found_is_all_well() -> None:
    """Each assumption says what it means, and what was measured."""
    health = health_of()
    assert (health.state, health.alarms) == (OK, ())
    assert [one.assumption for one in health.assumptions] == list(Assumption)
    assert (health["A4"].measured, health["A5"].measured) == ("1 s", "nothing measured yet")
    assert health["A4"].text == Assumption.A4.meaning


@pytest.mark.parametrize("kind", BreachKind)
def test_a_finding_counts_fully_then_as_a_warning_then_no_more(kind: BreachKind) -> None:
    """Time alone lowers a state, and never raises it."""
    moment = timedelta(seconds=1)
    name = KIND_RULES[kind].assumption
    assert health_of(kept(kind, ALARM_LASTS))[name].state is KIND_RULES[kind].state
    assert health_of(kept(kind, ALARM_LASTS + moment))[name].state is WARNING
    assert health_of(kept(kind, WARNING_LASTS))[name].state is WARNING
    old = health_of(kept(kind, WARNING_LASTS + moment))[name]
    assert (old.state, old.times, old.since) == (OK, 0, None)


@pytest.mark.parametrize("kind", list(BreachKind))
def test_what_holds_back_another_send(kind: BreachKind) -> None:
    """A bound that was too tight for the day on which it was, a form for as long as its alarm; nothing else."""
    later = {
        BreachKind.REVIVED: 0,
        BreachKind.DUPLICATE: 0,
        BreachKind.NUMBER_REPEATED: 3,
        BreachKind.NUMBER_FELL: 3,
        BreachKind.ECHO_DIFFERS: 3,
    }
    found, today = kept(kind), NOW.date()
    slow = kept(BreachKind.ANSWER_SLOW)
    for days in (-20, -1, 0, 1, 3, 4):
        doubt = find_doubt([slow, found], today + timedelta(days=days))
        assert doubt == (found.breach if days <= later.get(kind, -99) else None)
    assert find_doubt([found], today, {BreachKind.NUMBER_FELL}) == (
        found.breach if kind is BreachKind.NUMBER_FELL else None
    )


def test_findings_of_one_assumption_are_summed_up() -> None:
    """The worst decides, and stands first in the text; what is over is left out."""
    slow = kept(BreachKind.ANSWER_SLOW, times=3)
    late = kept(BreachKind.REVIVED, timedelta(days=1), times=2)
    over = kept(BreachKind.DUPLICATE, timedelta(days=30))
    found = health_of(slow, late, over)["A4"]
    assert (found.state, found.times) == (ALARM, 5)
    assert (found.since, found.last) == (late.first_at, slow.last_at)
    assert found.text.startswith("text of revived. ")
    assert "text of answer_slow" in found.text
    assert "duplicate" not in found.text
    assert health_of(slow, late).state is ALARM
    assert {one.assumption for one in health_of(slow, late).alarms} == {Assumption.A4}


def test_unresolved_orders_are_a_warning_with_their_age() -> None:
    """The oldest one's; a clock that was set back makes nobody younger than just born."""
    health = health_of(unresolved=(NOW - timedelta(seconds=90), NOW))
    assert (health.state, health.unresolved, health.oldest_unresolved) == (WARNING, 2, 90.0)
    assert health_of(unresolved=(NOW + timedelta(seconds=5),)).oldest_unresolved == 0.0
    assert health_of(kept(BreachKind.DUPLICATE), unresolved=(NOW,)).state is ALARM


@pytest.mark.parametrize("state", FeedState)
def test_feed_that_was_refused_is_a_warning(state: FeedState) -> None:
    """One that is off, elsewhere, or about to connect is none."""
    health = judge(DurableHealth(), now=NOW, measured={}, feed=FeedStatus(state))
    assert health.state is (WARNING if state in {FeedState.REPLACED, FeedState.REFUSED} else OK)


def test_fresh_findings_count_before_they_are_kept() -> None:
    """The journal may be slow or away."""
    fresh = Breach(BreachKind.LEDGER_STALE, "it stands still")
    health = judge(DurableHealth(), now=NOW, measured={}, fresh=[fresh], feed=OFF)
    assert (health["A7"].state, health["A7"].since, health["A7"].times) == (ALARM, NOW, 1)


def test_journal_that_was_not_read_is_called_neither_durable_nor_cut_short() -> None:
    """What nobody has looked at is claimed in neither direction."""
    unread = DurableHealth()
    assert (unread.has_lost_rows, unread.facts.is_durable) == (False, False)
    assert (unread.revived, unread.duplicates, unread.facts.schema, unread.facts.size) == (0, 0, 0, 0)


def test_worst_of_nothing_is_all_well() -> None:
    """The order of the states is the order of their names."""
    assert (worst([]), worst([WARNING, OK]), worst([WARNING, ALARM, OK])) == (OK, WARNING, ALARM)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, None), (TIGHT * TIMING.clock_skew, None), (2.6, WARNING), (TIMING.clock_skew, WARNING), (5.1, ALARM)],
)
def test_clocks_are_judged_by_their_bound(seconds: float, state: HealthState | None) -> None:
    """Half of it is a warning, more than it an alarm."""
    found = judge_clock(seconds, TIMING)
    assert (None if found is None else found.state) is state


@pytest.mark.parametrize(("seconds", "spelled"), [(0.3, "0.3"), (2.6, "2.6"), (2.69, "2.6"), (31.0, "31.0")])
def test_difference_of_clocks_is_told_as_it_is_proven(seconds: float, spelled: str) -> None:
    """A11: "or more" is true only of what was rounded down, and half a second is no 0 s."""
    found = judge_clock(seconds, evolve(TIMING, clock_skew=0.5))
    assert found is not None
    assert f"differ by {spelled} s or more" in found.text


@pytest.mark.parametrize(
    ("stamp", "gap"), [(-5.0, 4.0), (-1.0, 0.0), (0.0, 0.0), (2.0, 0.0), (2.5, 0.5), (-1.5, 0.5), (180.0, 178.0)]
)
def test_gap_of_clocks_is_what_is_proven(stamp: float, gap: float) -> None:
    """A stamp of whole seconds between two moments of ours proves nothing; outside of them the rest is proven."""
    assert clock_gap(NOW + timedelta(seconds=stamp), NOW, NOW + timedelta(seconds=2)) == pytest.approx(gap)


@pytest.mark.parametrize(
    ("step", "is_proven_off", "kind"),
    [
        (-5.0, True, None),
        (5.0, True, None),
        (-5.1, False, BreachKind.CLOCK_OFF),
        (5.1, False, BreachKind.CLOCK_NEAR),
        (5.1, True, BreachKind.CLOCK_OFF),
        (36_000.0, False, BreachKind.CLOCK_NEAR),
    ],
)
def test_jump_of_the_clock_is_an_alarm_unless_it_may_be_a_pause(
    step: float, kind: BreachKind | None, *, is_proven_off: bool
) -> None:
    """A machine that is paused sets no clock back, and answers do not show that its clock is off."""
    found = judge_step("one", step, Timing(clock_skew=5), is_proven_off=is_proven_off)
    assert (found and found.kind) == kind


def test_answers_are_held_against_the_acceptance_bound() -> None:
    """As late as an answer, an order can be accepted."""
    assert judge_answer("one", TIGHT * TIMING.acceptance_bound, TIMING) is None
    found = judge_answer("one", TIGHT * TIMING.acceptance_bound + 0.1, TIMING)
    assert found is not None
    assert (found.kind, found.state) == (BreachKind.ANSWER_SLOW, WARNING)


@pytest.mark.parametrize(("seconds", "is_found"), [(2.5, False), (2.6, True), (5.0, True), (5.1, False)])
def test_slow_listing_is_found_up_to_its_bound(seconds: float, *, is_found: bool) -> None:
    """Beyond the bound it is no warning any more."""
    found = judge_delay("0000001", seconds, TIMING)
    assert (None if found is None else found.kind) is (BreachKind.LISTED_SLOWLY if is_found else None)


MISSING = "0000103"


@pytest.mark.parametrize(
    ("listed", "was_seen", "is_open", "kind"),
    [
        (["0000101"], False, False, BreachKind.NOT_LISTED),
        (["0000104"], False, False, BreachKind.NOT_LISTED),
        (["0000101", "0000104"], True, False, BreachKind.ROW_DISAPPEARED),
        (["0000101"], True, False, BreachKind.LEDGER_STALE),
        ([], True, False, BreachKind.LEDGER_STALE),
        (["0000104"], True, True, BreachKind.LEDGER_INCOMPLETE),
        ([], False, True, BreachKind.LEDGER_INCOMPLETE),
    ],
)
def test_missing_order_names_the_assumption(
    listed: list[str], kind: BreachKind, *, was_seen: bool, is_open: bool
) -> None:
    """Open and not listed: incomplete. Listed before: gone, or the past. Never listed: too late."""
    snapshot = Snapshot(Desk.STOCK, date(2026, 11, 2), 100, tuple(map(row, listed)), 1.0, 2.0, False, 1)
    found = explain_missing(MISSING, snapshot, was_seen=was_seen, is_open=is_open)
    assert found.kind is kind
    assert MISSING in found.text


def test_series_tells_its_largest_and_last() -> None:
    """In seconds, with the count."""
    series = Series()
    assert str(series) == "none"
    for seconds in (1.0, 3.0, 2.0):
        series.add(seconds)
    assert str(series) == "3.000 s at most, 2.000 s last, in 3"
