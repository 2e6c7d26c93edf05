"""What it takes to say that an attempt was not accepted."""

from __future__ import annotations

import pickle
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._domain.absence import (
    LOOKS_KEPT,
    AbsenceProof,
    Missing,
    NotYet,
    Round,
    Strength,
    Witness,
    WitnessKind,
    prove_absence,
    thin_out,
    vanished_rows,
)
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import KST, Environment, Reliance, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async._journal.records import from_json, to_json

DAY = date(2026, 11, 9)
NEXT_DAY = DAY + timedelta(days=1)
NOON = datetime(2026, 11, 9, 12, 0, tzinfo=KST)
TIMING = Timing(acceptance_bound=10.0, visibility_bound=5.0, clock_skew=5.0)
ALWAYS_OPEN = Environment("http://127.0.0.1:9000")
BUY = OrderRequest(
    Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, price=70_000, order_type=OrderType.LIMIT, route=Route.KRX
)
ATTEMPT = Attempt(
    client_order_id="a",
    number=1,
    account="key-1",
    request=BUY,
    state=Delivery.UNKNOWN,
    day=DAY,
    mark=100,
    runner="r",
    boot_id="boot",
    dispatched_at=NOON,
    dispatched=1000.0,
    write_until=1005.0,
    ended=1030.0,
    ended_at=NOON + timedelta(seconds=30),
)
DEAD = 1040.0
"""Ended, and the acceptance bound later."""
DEAD_AT = NOON + timedelta(seconds=40)


def stranger(number: int, stamp: datetime | None = NOON, **changes: Any) -> LedgerOrder:
    """Make a row of another order."""
    fields: dict[str, Any] = {
        "day": DAY,
        "desk": Desk.STOCK,
        "action": Action.NEW,
        "symbol": "000660",
        "side": Side.SELL,
        "quantity": 1,
        "price": 200_000,
        "order_types": frozenset({OrderType.LIMIT}),
        "route": Route.KRX,
        "stop_price": None,
        "original": None,
        "channel": "REST API",
        "filled_quantity": 0,
        "average_fill_price": None,
        "leaves_quantity": 1,
        "confirmed_quantity": 0,
    }
    return LedgerOrder(broker_order_id=f"{number:07d}", ordered_at=stamp, **fields | changes)


def snapshot(began: float, *rows: LedgerOrder, **changes: Any) -> Snapshot:
    """Make a complete view of the attempt's ledger from its mark on, taken in half a second."""
    fields: dict[str, Any] = {"desk": Desk.STOCK, "day": DAY, "since": 100, "is_final": False, "queries": 1}
    return Snapshot(rows=rows, began=began, finished=began + 0.5, **fields | changes)


def look(began: float, *rows: LedgerOrder, **changes: Any) -> Round:
    """Make a round of one snapshot in which nothing related was found."""
    return Round("boot", (snapshot(began, *rows, **changes),))


FRESH = stranger(200, DEAD_AT + timedelta(seconds=6))
"""An order stamped late enough to witness freshness whatever the clocks say: skew and a whole second."""


def prove(*history: Round, attempt: Attempt = ATTEMPT, **changes: Any) -> AbsenceProof | NotYet:
    """Ask for a proof, long after the last look."""
    arguments: dict[str, Any] = {
        "now_monotonic": 9000.0,
        "now": NOON + timedelta(hours=1),
        "boot_id": "boot",
        "timing": TIMING,
        "environment": ALWAYS_OPEN,
        "own_dispatches": {},
    }
    return prove_absence(attempt, history, **arguments | changes)


def proven(*history: Round, **changes: Any) -> AbsenceProof:
    """Ask for a proof that must be given."""
    answer = prove(*history, **changes)
    assert isinstance(answer, AbsenceProof), answer
    return answer


# The named scenarios.


def test_not_found_once_is_not_absent() -> None:
    """One look, however late and fresh, proves nothing; the next one counts from a visibility bound later."""
    assert prove(look(1045.0, FRESH)) == NotYet(Missing.SECOND_LOOK, 1050.0)
    assert prove(look(1045.0), look(1049.9, FRESH)) == NotYet(Missing.SECOND_LOOK, 1050.0)
    assert proven(look(1045.0), look(1050.0, FRESH)).strength is Strength.STRONG


def test_bounds_of_the_sender_are_relied_on_where_they_are_longer() -> None:
    """Whoever looks: a proof that is one by its own bounds is none before those of the sender, and names them."""
    patient = Reliance.of(evolve(TIMING, acceptance_bound=20, visibility_bound=8, clock_skew=9), is_exclusive=True)
    sent = evolve(ATTEMPT, relied_on=patient)
    fresh = stranger(200, DEAD_AT + timedelta(seconds=10 + 10))
    assert prove(look(1045.0, fresh), look(1050.0, fresh), attempt=sent) == NotYet(Missing.LOOK_AFTER_BOUNDS, 1058.0)
    assert prove(look(1058.0, fresh), look(1063.0, fresh), attempt=sent) == NotYet(Missing.SECOND_LOOK, 1066.0)
    stale = stranger(200, DEAD_AT + timedelta(seconds=10 + 9))
    assert isinstance(prove(look(1058.0, stale), look(1066.0, stale), attempt=sent), NotYet)
    proof = proven(look(1058.0, fresh), look(1066.0, fresh), attempt=sent)
    assert (proof.strength, proof.acceptance_bound, proof.visibility_bound) == (Strength.STRONG, 20, 8)


def test_stale_replica_without_witness_is_not_proof() -> None:
    """Two looks at what may be one stale copy prove nothing on the simple margins."""
    old = stranger(150, DEAD_AT - timedelta(seconds=1))
    assert prove(look(1045.0, old), look(1050.0, old)) == NotYet(Missing.WITNESS, 1060.0)


def test_weak_proof_informs_and_never_authorizes_a_resend() -> None:
    """Without a witness both margins are doubled, and the proof says that it is weak."""
    proof = proven(look(1045.0), look(1050.0), look(1060.0))
    assert (proof.strength, proof.witness, proof.allows_resend) == (Strength.WEAK, None, False)
    assert [summary.began for summary in proof.snapshots] == [1050.0, 1060.0]


@pytest.mark.parametrize(
    ("history", "not_before"),
    [
        ([1045.0, 1050.0], 1060.0),
        ([1045.0, 1049.0, 1054.0], 1064.0),
        ([1050.0, 1059.9], 1060.0),
    ],
)
def test_weak_proof_needs_twice_the_margins(history: list[float], not_before: float) -> None:
    """The first look counts from two visibility bounds after death, the second two bounds after the first."""
    assert prove(*map(look, history)) == NotYet(Missing.WITNESS, not_before)


def test_weak_proof_waits_for_a_look_after_the_doubled_bound() -> None:
    """Looks that would do with a witness do not do without."""
    assert prove(look(1045.0), look(1049.9)) == NotYet(Missing.SECOND_LOOK, 1050.0)
    tight = evolve(TIMING, visibility_bound=2.0)
    assert prove(look(1042.0), look(1043.9), timing=tight) == NotYet(Missing.SECOND_LOOK, 1044.0)
    assert prove(look(1041.9), look(1042.0), look(1044.0), timing=tight) == NotYet(Missing.WITNESS, 1048.0)


def test_witness_order_present_certifies_freshness() -> None:
    """An own order sent after the attempt was dead shows that the last look is newer than that moment."""
    own = stranger(201, stamp=None)
    proof = proven(look(1045.0), look(1050.0, own), own_dispatches={(DAY, "0000201"): DEAD})
    assert proof.witness is not None
    assert (proof.witness.kind, proof.witness.broker_order_id) == (WitnessKind.OWN_ORDER, "0000201")
    assert proof.allows_resend


@pytest.mark.parametrize(
    "own_dispatches",
    [
        pytest.param({(DAY, "0000201"): DEAD - 0.001}, id="sent too early"),
        pytest.param({(NEXT_DAY, "0000201"): DEAD}, id="number of another day"),
        pytest.param({(DAY, "0000202"): DEAD}, id="not on the look"),
    ],
)
def test_own_order_that_is_not_newer_is_no_witness(own_dispatches: dict[tuple[date, str], float]) -> None:
    """Only an order sent after the attempt was dead, and listed, tells that the look is fresh."""
    answer = prove(look(1045.0), look(1050.0, stranger(201, stamp=None)), own_dispatches=own_dispatches)
    assert answer == NotYet(Missing.WITNESS, 1060.0)


@pytest.mark.parametrize(
    ("stamp", "is_witness"),
    [
        (DEAD_AT + timedelta(seconds=5), False),
        (DEAD_AT + timedelta(seconds=6), True),
        (NOON + timedelta(hours=1, seconds=5), True),
        (NOON + timedelta(hours=1, seconds=6), False),
        (None, False),
    ],
)
def test_foreign_order_is_a_witness_by_its_stamp(stamp: datetime | None, is_witness: bool) -> None:
    """A stranger's order newer than death by the skew and a second is a witness; one yet to come is not."""
    answer = prove(look(1045.0), look(1050.0, stranger(200, stamp)))
    assert isinstance(answer, AbsenceProof) is is_witness
    if isinstance(answer, AbsenceProof):
        assert isinstance(answer.witness, Witness)
        assert answer.witness.kind is WitnessKind.FOREIGN_ORDER


def test_witness_on_the_first_look_does_not_certify_the_last() -> None:
    """What counts is that the last look was fresh."""
    assert prove(look(1045.0, FRESH), look(1050.0)) == NotYet(Missing.STEADY_LEDGER)


def test_settle_time_uses_monotonic_clock() -> None:
    """A wall clock that jumps ahead shortens no wait, and one that jumps back prolongs none."""
    ahead = NOON + timedelta(days=300)
    assert prove(look(1044.9), now=ahead, now_monotonic=1045.0) == NotYet(Missing.LOOK_AFTER_BOUNDS, 1045.0)
    assert prove(look(1045.0), now=ahead, now_monotonic=1046.0) == NotYet(Missing.SECOND_LOOK, 1050.0)
    back = NOON - timedelta(days=1)
    own = {(DAY, "0000200"): DEAD}
    assert proven(look(1045.0), look(1050.0, FRESH), now=back, own_dispatches=own).proven_at == back


def test_snapshot_spanning_midnight_voids() -> None:
    """A snapshot of another day covers nothing, be it the day before or after."""
    for day in (DAY - timedelta(days=1), NEXT_DAY):
        other = [look(1045.0, day=day, since=0), look(1050.0, FRESH, day=day, since=0)]
        assert prove(*other) == NotYet(Missing.COVERAGE)


def test_ledger_shrinks_between_snapshots_alarm() -> None:
    """Where a listed row disappears, a missing one proves nothing; the rows that are gone are named."""
    kept, gone = stranger(150), stranger(151)
    first, second = look(1045.0, kept, gone), look(1050.0, kept, FRESH)
    assert prove(first, second) == NotYet(Missing.STEADY_LEDGER)
    assert vanished_rows(first, second) == (gone,)
    assert vanished_rows(second, first) == (FRESH,)
    assert vanished_rows(first, first) == ()


def test_row_before_the_start_of_a_later_look_has_not_vanished() -> None:
    """An incremental look shows nothing up to the number it starts from, and that is no alarm."""
    first, second = look(1045.0, stranger(120), stranger(151)), look(1050.0, stranger(151), since=120)
    assert vanished_rows(first, second) == ()


def test_row_that_changed_has_not_vanished() -> None:
    """A fill or a cancel changes a row; it stays listed."""
    before = stranger(150)
    after = evolve(before, filled_quantity=1, leaves_quantity=0)
    assert vanished_rows(look(1045.0, before), look(1050.0, after)) == ()


def test_row_that_vanished_between_early_looks_still_counts() -> None:
    """A ledger that forgot a row before the counted looks is not trusted either, until the row is back."""
    early, first, last = look(1000.0, stranger(150)), look(1045.0), look(1050.0, FRESH)
    assert prove(early, first, last) == NotYet(Missing.STEADY_LEDGER)
    assert proven(early, first, last, look(1051.0, stranger(150), FRESH)).allows_resend


# Every reason to wait.


def test_sender_at_work_is_waited_for() -> None:
    """While the sender may still write, no look proves anything."""
    sending = evolve(ATTEMPT, state=Delivery.DISPATCHED, ended=None, ended_at=None)
    assert prove(look(1045.0), look(1050.0, FRESH), attempt=sending) == NotYet(Missing.SENDER_FINISHED)


def test_stamps_of_another_boot_are_not_compared() -> None:
    """A reboot starts the monotonic clock anew: neither the attempt nor a look may be of another run."""
    looks = (look(1045.0), look(1050.0, FRESH))
    assert prove(*looks, attempt=evolve(ATTEMPT, boot_id="before")) == NotYet(Missing.SAME_BOOT)
    assert prove(*looks, boot_id="after") == NotYet(Missing.SAME_BOOT)
    foreign = [evolve(each, boot_id="before") for each in looks]
    assert prove(*foreign) == NotYet(Missing.LOOK, 1045.0)


def test_no_look_is_no_evidence() -> None:
    """Time alone proves nothing: a failed query makes no round."""
    assert prove() == NotYet(Missing.LOOK, 1045.0)
    assert prove(Round("boot", ())) == NotYet(Missing.LOOK, 1045.0)


def test_look_of_the_future_is_no_evidence() -> None:
    """A stamp beyond now is not of this clock; one of this very moment is."""
    assert prove(look(1045.0), look(1050.0, FRESH), now_monotonic=1044.0) == NotYet(Missing.LOOK, 1045.0)
    assert prove(look(1045.0), look(1050.0, FRESH), now_monotonic=1049.9) == NotYet(Missing.SECOND_LOOK, 1050.0)
    assert proven(look(1045.0), look(1050.0, FRESH), now_monotonic=1050.0).strength is Strength.STRONG


def test_look_before_the_bounds_is_not_counted() -> None:
    """The order may have been accepted or listed after such a look."""
    assert prove(look(1030.0), look(1044.9, FRESH)) == NotYet(Missing.LOOK_AFTER_BOUNDS, 1045.0)
    assert prove(look(1044.9), look(1045.0, FRESH)) == NotYet(Missing.SECOND_LOOK, 1050.0)


def test_answered_attempt_is_dead_at_once() -> None:
    """A request that was answered is not on its way any more, so only its listing is waited for."""
    answered = evolve(ATTEMPT, is_answered=True)
    fresh = stranger(200, NOON + timedelta(seconds=36))
    proof = proven(look(1035.0), look(1040.0, fresh), attempt=answered)
    assert (proof.dead_since, proof.allows_resend) == (1030.0, True)


def test_candidate_blocks_a_proof() -> None:
    """While a row may be the attempt, its absence is not proven, whatever other looks showed."""
    seen = evolve(look(1050.0, FRESH), candidates=("0000200",))
    assert prove(look(1045.0), seen) == NotYet(Missing.NO_CANDIDATE)


@pytest.mark.parametrize("pause", [0.01, 0.2, 1.0, 30.0])
def test_looks_that_follow_each_other_fast_come_to_a_proof_as_well(pause: float) -> None:
    """However often somebody looks, what is remembered spans the margins; and it stays short."""
    history: list[Round] = []
    began = 1000.0
    while not isinstance(prove(*history), AbsenceProof):
        assert began < DEAD + 6 * TIMING.visibility_bound + 3 * pause
        history = thin_out([*history, look(began)])
        assert len(history) <= LOOKS_KEPT
        began += pause


def spread(*moments: float, sights: tuple[int, ...] = ()) -> list[Round]:
    """Make looks at these moments, and with a candidate at these positions."""
    looks = [look(moment) for moment in moments]
    return [evolve(one, candidates=("0000012",)) if place in sights else one for place, one in enumerate(looks)]


def test_looks_within_the_limit_are_all_kept() -> None:
    """Nothing is dropped before there are too many."""
    looks = spread(*map(float, range(LOOKS_KEPT)))
    assert thin_out(looks) == looks


@pytest.mark.parametrize("crowded", [1, 12, LOOKS_KEPT - 1])
def test_look_between_the_closest_two_is_dropped(crowded: int) -> None:
    """Wherever that is; never the first or the last one."""
    moments = [float(number) for number in range(LOOKS_KEPT)]
    moments.insert(crowded, moments[crowded] - 0.5)
    looks = spread(*moments)
    dropped = thin_out(looks)
    assert dropped == looks[:crowded] + looks[crowded + 1 :]


def test_neighbors_of_a_candidate_are_kept() -> None:
    """Looks on both sides of a change between a candidate and none are dropped last, however crowded it is there."""
    moments = [10.0 * number for number in range(LOOKS_KEPT + 1)]
    moments[5:10] = 69.6, 69.8, 70.0, 70.2, 70.4
    moments[15] = 149.0
    looks = spread(*moments, sights=(7,))
    assert thin_out(looks) == looks[:14] + looks[15:]
    alternating = spread(*map(float, range(LOOKS_KEPT + 1)), sights=tuple(range(0, LOOKS_KEPT + 1, 2)))
    assert thin_out(alternating) == alternating[1:]


def test_row_listed_for_a_moment_counts() -> None:
    """A row that only one look in between has shown is gone all the same, be it an early or a late one."""
    row = stranger(150)
    for seen in (1, 2):
        history = [look(1045.0), look(1050.0), look(1055.0), look(1060.0, FRESH)]
        history[seen] = look(history[seen].began, row)
        assert prove(*history) == NotYet(Missing.STEADY_LEDGER)


def test_rows_gone_from_every_ledger_are_named() -> None:
    """A look at two days names what is gone from each."""
    gone, gone_too = stranger(150), stranger(7, day=NEXT_DAY)
    first = Round("boot", (snapshot(1045.0, gone), snapshot(1045.0, gone_too, day=NEXT_DAY, since=0)))
    second = Round("boot", (snapshot(1050.0), snapshot(1050.0, day=NEXT_DAY, since=0)))
    assert vanished_rows(first, second) == (gone, gone_too)


@pytest.mark.parametrize("attempt", [evolve(ATTEMPT, ended=None), evolve(ATTEMPT, ended_at=None)])
def test_end_of_the_sender_is_needed_on_both_clocks(attempt: Attempt) -> None:
    """With one stamp of the end missing, nothing is known of the end."""
    assert prove(look(1045.0), look(1050.0, FRESH), attempt=attempt) == NotYet(Missing.SENDER_FINISHED)


def test_own_order_is_named_as_such() -> None:
    """How long after is said; and one sent a little too early is a witness by its stamp, as a stranger's would be."""
    later = proven(look(1045.0), look(1050.0, FRESH), own_dispatches={(DAY, "0000200"): DEAD + 2})
    assert later.witness is not None
    assert later.witness.description == "sent by us 2.000 s after the attempt was dead"
    early = proven(look(1045.0), look(1050.0, FRESH), own_dispatches={(DAY, "0000200"): DEAD - 1})
    assert early.witness is not None
    assert early.witness.kind is WitnessKind.OWN_ORDER
    assert early.witness.description.startswith("stamped 2026-11-09T12:00:46+09:00")


def test_margins_that_differ_in_their_last_digit_wait() -> None:
    """Twice a bound and two bounds are not the same number to a computer: then there is no look yet, and no error."""
    bound = 0.1
    moments = DEAD + bound, DEAD + bound + bound
    assert moments[1] < DEAD + 2 * bound
    answer = prove(*map(look, moments), timing=evolve(TIMING, visibility_bound=bound))
    assert answer == NotYet(Missing.WITNESS, DEAD + 2 * bound)


def test_empty_ledger_has_no_highest_number() -> None:
    """A proof keeps 0 for it."""
    proof = proven(look(1045.0, is_final=True), look(1050.0, is_final=True))
    assert [summary.highest_number for summary in proof.snapshots] == [0, 0]


def test_last_look_with_a_candidate_is_remembered() -> None:
    """Looks before it are not taken for looks after it."""
    sight = evolve(look(1040.0), candidates=("0000012",))
    history: list[Round] = []
    for number in range(200):
        history = thin_out([*history, sight if number == 100 else look(1000.0 + number)])
    assert sight in history
    assert history[0] == look(1000.0)
    assert history[-1] == look(1199.0)


def test_looks_are_counted_anew_after_a_candidate() -> None:
    """A candidate that turned out to be another's leaves the looks after it, and only those."""
    seen = evolve(look(1050.0, FRESH), candidates=("0000200",))
    history = [look(1045.0), seen, look(1055.0, FRESH)]
    assert prove(*history) == NotYet(Missing.SECOND_LOOK, 1060.0)
    assert proven(*history, look(1060.0, FRESH)).snapshots[0].began == 1055.0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"since": 101}, id="begins after the mark"),
        pytest.param({"desk": Desk.GOLD}, id="another ledger"),
    ],
)
def test_look_that_does_not_cover_the_attempt_proves_nothing(changes: dict[str, Any]) -> None:
    """The whole ledger from the mark on must have been read, of the desk the order was sent to."""
    assert prove(look(1045.0, **changes), look(1050.0, FRESH, **changes)) == NotYet(Missing.COVERAGE)
    # An earlier look that does not cover is not counted.
    assert prove(look(1045.0, **changes), look(1050.0, FRESH)) == NotYet(Missing.SECOND_LOOK, 1055.0)


def test_credit_order_is_covered_by_the_ledger_of_stocks() -> None:
    """Credit orders stand among the stocks."""
    credit = evolve(ATTEMPT, request=evolve(BUY, desk=Desk.CREDIT))
    assert proven(look(1045.0), look(1050.0, FRESH), attempt=credit).allows_resend


# Several days.

MIDNIGHT = datetime(2026, 11, 10, 0, 0, tzinfo=KST)
LATE = evolve(
    ATTEMPT,
    dispatched_at=MIDNIGHT - timedelta(seconds=20),
    ended_at=MIDNIGHT + timedelta(seconds=10),
)


def both_days(began: float, *rows: LedgerOrder, since: int = 0, is_over: bool = True) -> Round:
    """Look at the day that is over and at the one that follows."""
    over = snapshot(began, is_final=is_over)
    following = snapshot(began + 1, *rows, day=NEXT_DAY, since=since)
    return Round("boot", (over, following))


def test_every_day_that_may_list_the_attempt_is_covered() -> None:
    """An order sent just before midnight may be listed on either side of it."""
    assert LATE.days(TIMING, ALWAYS_OPEN) == (DAY, NEXT_DAY)
    now: dict[str, Any] = {"attempt": LATE, "now": MIDNIGHT + timedelta(hours=1)}
    assert prove(look(1045.0), look(1050.0), **now) == NotYet(Missing.COVERAGE)
    fresh = stranger(5, MIDNIGHT + timedelta(seconds=26), day=NEXT_DAY)
    proof = proven(both_days(1045.0), both_days(1050.0, fresh), **now)
    assert proof.days == (DAY, NEXT_DAY)
    assert len(proof.snapshots) == 4
    assert proof.witness is not None


def test_mark_is_not_used_on_another_day() -> None:
    """Tomorrow's numbers start anew, so tomorrow's ledger must be read from its start."""
    assert prove(both_days(1045.0, since=1), both_days(1050.0, since=1), attempt=LATE) == NotYet(Missing.COVERAGE)


def test_each_ledger_needs_its_own_witness() -> None:
    """A fresh view of one day says nothing about how fresh the view of another one was."""
    fresh = stranger(5, MIDNIGHT + timedelta(seconds=26), day=NEXT_DAY)
    looks = [both_days(1045.0, is_over=False), both_days(1050.0, fresh, is_over=False)]
    answer = prove(*looks, attempt=LATE, now=MIDNIGHT + timedelta(hours=1))
    assert answer == NotYet(Missing.WITNESS, 1060.0)


def test_own_number_of_another_day_is_no_witness() -> None:
    """The same number was given on both days; only the order of the ledger's own day counts."""
    looks = [both_days(1045.0), both_days(1050.0, stranger(5, None, day=NEXT_DAY))]
    assert prove(*looks, attempt=LATE, own_dispatches={(DAY, "0000005"): DEAD}) == NotYet(Missing.WITNESS, 1060.0)
    assert proven(*looks, attempt=LATE, own_dispatches={(NEXT_DAY, "0000005"): DEAD}).allows_resend


def test_final_first_look_does_not_make_up_for_a_last_one_that_is_not() -> None:
    """A ledger that is not final any more at the last look is not trusted to be over."""
    history = [look(1045.0, is_final=True), look(1050.0)]
    assert prove(*history) == NotYet(Missing.WITNESS, 1060.0)


def test_day_that_is_over_needs_no_witness() -> None:
    """Nothing is added to a final ledger, so two looks at it make a strong proof."""
    proof = proven(look(1045.0, is_final=True), look(1050.0, is_final=True))
    assert (proof.strength, proof.witness) == (Strength.STRONG, None)


def test_final_look_alone_is_not_enough() -> None:
    """The first look must have been final, too; an earlier one that was not is passed over."""
    assert prove(look(1045.0), look(1050.0, is_final=True)) == NotYet(Missing.WITNESS, 1060.0)
    history = [look(1045.0), look(1050.0, is_final=True), look(1055.0, is_final=True)]
    assert proven(*history).snapshots[0].began == 1050.0


def test_order_sent_after_hours_is_not_absent_before_the_next_day_is_over() -> None:
    """A reservation may be listed on the next day at any time, so only that day's end settles it."""
    night = NOON + timedelta(hours=10)
    sent = evolve(ATTEMPT, dispatched_at=night, ended_at=night + timedelta(seconds=30))
    fresh = stranger(200, night + timedelta(seconds=46))
    now: dict[str, Any] = {
        "attempt": sent,
        "environment": Environment.MOCK,
        "now": night + timedelta(hours=30),
    }
    assert prove(look(1045.0), look(1050.0, fresh), **now) == NotYet(Missing.DAY_OVER)

    def later(began: float, *, is_final: bool) -> Round:
        following = snapshot(began, day=NEXT_DAY, since=0, is_final=is_final)
        return Round("boot", (snapshot(began, is_final=True), following))

    running = [later(50_000.0, is_final=False), later(50_010.0, is_final=False)]
    now["now_monotonic"] = 90_000.0
    assert prove(*running, **now) == NotYet(Missing.DAY_OVER)
    assert prove(*running, later(80_000.0, is_final=True), **now) == NotYet(Missing.SECOND_LOOK, 80_005.0)
    over = [later(80_000.0, is_final=True), later(80_005.0, is_final=True)]
    assert proven(*running, *over, **now).allows_resend


# The proof as a record.


def test_proof_says_what_it_rests_on() -> None:
    """Who reads the journal can check every condition again."""
    proof = proven(look(1045.0, stranger(150)), look(1050.0, stranger(150), FRESH), feed="continuous")
    assert (proof.attempt_key, proof.days, proof.since_mark, proof.dead_since) == ("a#1", (DAY,), 100, DEAD)
    assert (proof.acceptance_bound, proof.visibility_bound, proof.feed) == (10.0, 5.0, "continuous")
    assert [(each.rows, each.highest_number, each.since) for each in proof.snapshots] == [
        (1, 150, 100),
        (2, 200, 100),
    ]
    assert (proof.boot_id, proof.proven_at) == ("boot", NOON + timedelta(hours=1))
    assert proven(look(1045.0), look(1050.0, FRESH)).feed == "no feed"


@pytest.mark.parametrize("history", [[1045.0, 1050.0], [1050.0, 1060.0]])
def test_proof_survives_the_journal_and_a_pickle(history: list[float]) -> None:
    """A proof is stored as JSON, and travels with `OrderNotAccepted` between processes."""
    rows = [FRESH] if history[0] < 1050.0 else []
    proof = proven(look(history[0]), look(history[1], *rows))
    assert from_json(to_json(proof), AbsenceProof) == proof
    assert pickle.loads(pickle.dumps(proof)) == proof  # noqa: S301 - our own bytes
