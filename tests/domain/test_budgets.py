"""The rate budgets: never too many starts in any second, no needless waiting, first come, first served."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async._domain.budgets import MARGIN, RateBudgets, RequestClass, Reservation
from kiwoom_async._domain.settings import Environment, Limits

ORDERS, QUERIES = RequestClass.ORDERS, RequestClass.QUERIES


def most_in_a_second(starts: list[float]) -> int:
    """Count the starts in the fullest second."""
    return max(sum(first <= other <= first + 1.0 for other in starts) for first in starts)


def moments(budgets: RateBudgets, count: int, api_id: str = "kt10000", now: float = 0.0) -> list[float]:
    """Reserve several times at once."""
    reserved = [budgets.reserve(now, api_id, ORDERS) for _ in range(count)]
    return [reservation.starts_at for reservation in reserved if reservation is not None]


def test_burst_is_free_and_the_next_window_waits() -> None:
    """Five start at once; the sixth when the first has left the window."""
    planned = moments(RateBudgets(Limits()), 11)
    assert planned[0] == 0.0
    assert planned[4] < 0.001
    assert 1.0 + MARGIN <= planned[5] < 1.0 + MARGIN + 0.001
    assert 2 * (1.0 + MARGIN) <= planned[10] < 2 * (1.0 + MARGIN) + 0.002


def test_mock_keeps_the_measured_gap_per_tr() -> None:
    """The mock takes one request per second and TR, with gaps of 1.05 s."""
    budgets = RateBudgets(Environment.MOCK.limits)
    planned = moments(budgets, 3)
    assert all(later - sooner >= 1.05 for sooner, later in pairwise(planned))
    cancel = budgets.reserve(0.0, "kt10003", ORDERS)
    assert cancel is not None
    assert cancel.starts_at == 0.0


def test_cancel_is_not_stuck_behind_a_queue_of_buys() -> None:
    """Another TR takes an earlier moment that the class leaves free."""
    budgets = RateBudgets(Limits(orders_per_second=5, per_tr_per_second=2))
    moments(budgets, 10)
    cancel = budgets.reserve(0.0, "kt10003", ORDERS)
    assert cancel is not None
    assert cancel.starts_at == 0.0


def test_orders_and_queries_are_separate() -> None:
    """A full query budget does not hold an order."""
    budgets = RateBudgets(Limits())
    for _ in range(20):
        budgets.reserve(0.0, "ka10075", QUERIES)
    assert moments(budgets, 1) == [0.0]


def test_class_budget_is_shared_by_its_trs() -> None:
    """Five orders per second are five of all kinds together."""
    budgets = RateBudgets(Limits())
    planned = [start for number in range(10) for start in moments(budgets, 1, f"kt1000{number}")]
    assert most_in_a_second(planned) == 5


def test_slot_after_latest_is_refused_at_once_and_reserves_nothing() -> None:
    """A denied request leaves no trace."""
    budgets = RateBudgets(Limits())
    moments(budgets, 5)
    assert budgets.reserve(0.0, "kt10000", ORDERS, latest=1.0) is None
    assert len(moments(budgets, 5, now=10.0)) == 5


def test_given_back_moment_is_free_again() -> None:
    """A cancelled reservation costs nobody anything; one that has begun stays counted."""
    budgets = RateBudgets(Limits(orders_per_second=1))
    first = budgets.reserve(0.0, "kt10000", ORDERS)
    second = budgets.reserve(0.0, "kt10000", ORDERS)
    assert first is not None
    assert second is not None
    assert budgets.begin(first, 0.0) == 0.0
    budgets.give_back(first)
    budgets.give_back(second)
    assert moments(budgets, 1) == [1.0 + MARGIN]


def test_given_back_moment_is_no_way_past_those_who_wait() -> None:
    """Requests of one TR keep their order, also where somebody in the middle went away."""
    budgets = RateBudgets(Limits(orders_per_second=1))
    moments(budgets, 1)
    gone = budgets.reserve(0.0, "kt10000", ORDERS)
    waiting = budgets.reserve(0.0, "kt10000", ORDERS)
    assert gone is not None
    assert waiting is not None
    budgets.give_back(gone)
    assert moments(budgets, 1) > [waiting.starts_at]


def test_late_start_moves_those_that_wait() -> None:
    """After a stall the starts are counted where they really happen."""
    budgets = RateBudgets(Limits(orders_per_second=1))
    first = budgets.reserve(0.0, "kt10000", ORDERS)
    second = budgets.reserve(0.0, "kt10000", ORDERS)
    assert first is not None
    assert second is not None
    assert budgets.begin(first, 0.9) == 0.0
    assert budgets.begin(second, 1.06) > 0.8
    assert budgets.begin(second, 1.96) == 0.0


def test_slow_rates_are_whole_starts() -> None:
    """Half a request per second is one every two seconds."""
    assert moments(RateBudgets(Limits(orders_per_second=0.5)), 2) == [0.0, 2.0 + MARGIN]


def test_limits_off_is_off() -> None:
    """No limit, no budget."""
    budgets = RateBudgets(Limits.off())
    assert budgets.is_off
    assert most_in_a_second(moments(budgets, 100)) == 100


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "wake", "give back"]),
        st.sampled_from(["kt10000", "kt10001", "kt10003"]),
        st.integers(0, 30),
        st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3, 1.0, 2.5]),
    ),
    max_size=80,
)


@given(
    st.sampled_from([Limits(), Limits(per_tr_per_second=1), Limits(orders_per_second=3, per_tr_per_second=2)]),
    STEPS,
)
def test_no_second_ever_holds_too_many_starts(limits: Limits, steps: list[tuple[str, str, int, float]]) -> None:
    """Whatever is asked, woken late, cancelled or stalled: the limits hold, and each TR keeps its order."""
    budgets, now = RateBudgets(limits), 0.0
    waiting: list[Reservation] = []
    begun: list[tuple[float, Reservation]] = []

    def wake() -> None:
        # Timers fire in the order of their moments.
        for reservation in sorted(waiting, key=lambda one: one.starts_at):
            if reservation.starts_at <= now and budgets.begin(reservation, now) == 0.0:
                waiting.remove(reservation)
                begun.append((now, reservation))

    for action, api_id, index, pause in steps:
        now += pause
        if action == "ask":
            reservation = budgets.reserve(now, api_id, ORDERS)
            assert reservation is not None
            waiting.append(reservation)
        elif action == "give back" and waiting:
            budgets.give_back(waiting.pop(index % len(waiting)))
        wake()
    while waiting:
        now = max(now, min(reservation.starts_at for reservation in waiting))
        wake()

    starts = [moment for moment, _ in begun]
    assert limits.orders_per_second is not None
    assert limits.per_tr_per_second is not None
    if starts:
        assert most_in_a_second(starts) <= limits.orders_per_second
    for api_id in {reservation.api_id for _, reservation in begun}:
        mine = [(moment, reservation) for moment, reservation in begun if reservation.api_id == api_id]
        assert most_in_a_second([moment for moment, _ in mine]) <= limits.per_tr_per_second
        assert [one.sequence for _, one in mine] == sorted(one.sequence for _, one in mine)
