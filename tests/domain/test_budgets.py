"""The rate budgets: never too many requests in any second at the broker, urgent ones first, nobody starves."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any, Final

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from kiwoom_async._domain.budgets import (
    FORGET_AFTER,
    HANGS_AFTER,
    LESSON_LASTS,
    LOWEST_RATE,
    MARGIN,
    Budgets,
    Lesson,
    News,
    Purpose,
    Rank,
    Refusal,
    RequestClass,
    Sight,
    Start,
    Waiter,
    follow,
    look,
)
from kiwoom_async._domain.settings import Environment, Limits

ORDERS, QUERIES = RequestClass.ORDERS, RequestClass.QUERIES
MOCK: Final = Environment.MOCK.limits
ONE_A_SECOND: Final = Limits(orders_per_second=1, queries_per_second=1, per_tr_per_second=None)
NUMBERS = count(1)


def waiter(
    api_id: str = "kt10000",
    *,
    owner: str = "a",
    asked: float = 0.0,
    latest: float | None = None,
    purpose: Purpose = Purpose.CALLER,
) -> Waiter:
    """Make a waiting request; kt10003 is a cancel."""
    kind = QUERIES if api_id.startswith("ka") or api_id == "kt00007" else ORDERS
    rank = Rank.CANCEL if api_id == "kt10003" else Rank.USUAL
    return Waiter(owner, next(NUMBERS), api_id, kind, rank, asked, latest, purpose)


@define
class Desk:
    """Everything that shares one state, with answers that come at once."""

    limits: Limits = field(factory=Limits)
    budgets: Budgets = field(factory=Budgets)
    waiting: list[Waiter] = field(factory=list)

    def ask(self, *api_ids: str, owner: str = "a", now: float = 0.0, **options: Any) -> list[int]:
        """Let requests wait; give their numbers."""
        asked = [waiter(api_id, owner=owner, asked=now, **options) for api_id in api_ids]
        self.waiting += asked
        return [one.number for one in asked]

    def look(self, now: float, owner: str = "a", **news: object) -> Sight:
        """Let one owner look, and end what it began at once."""
        mine = tuple(one for one in self.waiting if one.owner == owner)
        self.budgets, sight = look(self.budgets, now, self.limits, News(owner, mine, **news))  # type: ignore[arg-type]
        self.waiting = [one for one in self.waiting if one.number not in sight.begun | sight.denied]
        ended = dict.fromkeys(sight.begun, now)
        still = tuple(one for one in self.waiting if one.owner == owner)
        self.budgets, again = look(self.budgets, now, self.limits, News(owner, still, ended=ended))
        assert not again.begun
        return evolve(sight, moments=again.moments)

    def run(self, until: float, owner: str = "a") -> list[tuple[float, str]]:
        """Let time pass for one owner; give what began when."""
        began, now = [], 0.0
        while now <= until:
            names = {one.number: one.api_id for one in self.waiting}
            sight = self.look(now, owner)
            began += [(now, names[number]) for number in sorted(sight.begun)]
            if not sight.moments:
                break
            now = min(sight.moments.values())
        return began


def test_burst_is_free_and_the_next_window_waits() -> None:
    """Five start at once; the sixth a second and a margin after the answers of the first."""
    desk = Desk()
    desk.ask(*["kt10000"] * 11)
    moments = [now for now, _ in desk.run(10)]
    assert moments == pytest.approx([0.0] * 5 + [1 + MARGIN] * 5 + [2 * (1 + MARGIN)])


def test_mock_keeps_the_measured_gap_per_tr() -> None:
    """The mock takes one request per second and TR, with gaps of 1.05 s; each TR by itself."""
    desk = Desk(MOCK)
    desk.ask(*["kt10000"] * 3, "kt10001")
    began = desk.run(10)
    assert (0.0, "kt10001") in began
    buys = [now for now, api_id in began if api_id == "kt10000"]
    assert all(later - sooner >= 1.05 for sooner, later in pairwise(buys))


def test_cancel_goes_before_the_orders_that_wait() -> None:
    """Not only into a gap: it takes the moment of the first one."""
    desk = Desk(ONE_A_SECOND)
    desk.ask(*["kt10000"] * 3)
    desk.look(0.0)
    desk.ask("kt10003", now=0.5)
    assert [api_id for _, api_id in desk.run(10)] == ["kt10003", "kt10000", "kt10000"]


def test_order_fits_into_a_gap_that_costs_the_cancel_nothing() -> None:
    """The cancel waits for the budget of its TR; the buy does not."""
    desk = Desk(Limits(orders_per_second=5, per_tr_per_second=1))
    desk.ask("kt10003", "kt10003", "kt10000")
    assert [api_id for now, api_id in desk.run(10) if now == 0.0] == ["kt10003", "kt10000"]


def test_flood_of_one_query_does_not_starve_another() -> None:
    """TRs take turns: the reconciler's ledger gets its share whatever a chart loader asks."""
    desk = Desk(ONE_A_SECOND)
    desk.ask(*["ka10081"] * 50)
    desk.look(0.0)
    desk.ask("kt00007", "kt00007", now=0.5)
    began = [api_id for _, api_id in desk.run(6)]
    assert began[:4] == ["kt00007", "ka10081", "kt00007", "ka10081"]


def test_lanes_take_turns_to_the_end() -> None:
    """Not only the first of a lane: whoever asked before has no more than every other moment."""
    desk = Desk(ONE_A_SECOND)
    desk.ask(*["ka10001"] * 9)
    desk.look(0.0)
    mine = desk.ask(*["ka10002"] * 3, now=0.5)
    moments = desk.look(0.5).moments
    assert [moments[number] for number in mine] == pytest.approx([turn * (1 + MARGIN) for turn in (1, 3, 5)])


def test_flood_of_the_callers_own_query_does_not_starve_the_librarys() -> None:
    """The reconciler's look at the ledger waits for one of the bot's, not for all; then the bot has its turn again."""
    desk = Desk(ONE_A_SECOND)
    desk.ask(*["kt00007"] * 50)
    desk.look(0.0)
    looks = desk.ask("kt00007", "kt00007", purpose=Purpose.LIBRARY)
    begun = [desk.look(now).begun for now in (1.06, 2.12, 3.18)]
    assert [bool(one & set(looks)) for one in begun] == [True, False, True]


def test_flood_of_one_process_does_not_starve_another() -> None:
    """Owners take turns as well."""
    desk = Desk(ONE_A_SECOND)
    desk.ask(*["kt10000"] * 50, owner="a")
    desk.look(0.0, "a")
    (mine,) = desk.ask("kt10000", owner="b", now=0.5)
    assert desk.look(0.5, "b").moments[mine] == pytest.approx(1 + MARGIN)
    assert desk.look(1.06, "a").begun == frozenset()
    assert desk.look(1.07, "b").begun == {mine}


def test_dead_process_keeps_its_place_for_a_short_time_only() -> None:
    """Who has not looked for some seconds does not wait any more."""
    desk = Desk(ONE_A_SECOND)
    desk.ask("kt10000", "kt10003", "kt10003", owner="dead")
    desk.look(0.0, "dead")
    desk.waiting.clear()
    (mine,) = desk.ask("kt10000", now=1.0)
    assert desk.look(1.0).moments == {mine: pytest.approx(3 * (1 + MARGIN))}
    assert desk.look(FORGET_AFTER - 0.01).moments
    assert desk.look(FORGET_AFTER + 0.01).begun == {mine}


def test_process_that_looks_at_the_same_moment_keeps_its_place() -> None:
    """On one machine two may look within one tick of the clock: that is no silence."""
    desk = Desk(ONE_A_SECOND)
    desk.ask("kt10003", "kt10003", owner="b")
    desk.look(0.0, "b")
    (number,) = desk.ask("kt10000", owner="a")
    assert desk.look(0.0, "a").moments[number] == pytest.approx(2 * (1 + MARGIN))


def test_orders_and_queries_are_separate() -> None:
    """A full query budget does not hold an order."""
    desk = Desk()
    desk.ask(*["ka10075"] * 20)
    desk.look(0.0)
    (order,) = desk.ask("kt10000")
    assert desk.look(0.0).begun == {order}


def test_class_budget_is_shared_by_its_trs() -> None:
    """Five orders per second are five of all kinds together."""
    desk = Desk()
    desk.ask(*(f"kt1000{number}" for number in range(9)))
    assert len(desk.look(0.0).begun) == 5


def test_slot_after_latest_is_refused_at_once_and_reserves_nothing() -> None:
    """A denied request leaves no trace, and one that still fits keeps its moment."""
    desk = Desk(ONE_A_SECOND)
    desk.ask("kt10000")
    desk.look(0.0)
    (late,) = desk.ask("kt10000", latest=1.0)
    (early,) = desk.ask("kt10000", latest=1.06)
    sight = desk.look(0.0)
    assert sight.denied == {late}
    assert set(sight.moments) == {early}


def test_slot_at_the_latest_moment_is_taken() -> None:
    """The last moment that is of use is of use."""
    desk = Desk(ONE_A_SECOND)
    desk.ask("kt10000")
    desk.look(0.0)
    (last,) = desk.ask("kt10000", latest=1 + MARGIN)
    assert desk.look(0.0).denied == frozenset()
    assert desk.look(1 + MARGIN).begun == {last}


@pytest.mark.parametrize(
    "limits",
    [
        Limits(orders_per_second=0.25, queries_per_second=5, per_tr_per_second=None),
        Limits(orders_per_second=5, queries_per_second=5, per_tr_per_second=0.25),
        Limits(orders_per_second=0.25, queries_per_second=None, per_tr_per_second=None),
    ],
)
def test_slow_rate_is_kept_however_often_one_looks(limits: Limits) -> None:
    """What began counts for as long as the longest window, and is forgotten after it."""
    desk = Desk(limits)
    desk.ask("kt10000", "kt10000")
    assert len(desk.look(0.0).begun) == 1
    for now in (1.0, 2.5, 4.0):
        assert desk.look(now).moments == {desk.waiting[0].number: pytest.approx(4 + MARGIN)}
    assert len(desk.look(4 + MARGIN).begun) == 1
    desk.look(10.0)
    assert desk.budgets.starts == ()


def test_starts_of_another_owner_are_its_own() -> None:
    """Numbers name requests of one owner: the answer to one of them is no answer to another's."""
    start = Start("b", 1, "kt10000", ORDERS, 0.0)
    for news in (News("a", ended={1: 0.0}), News("a", returned=frozenset({1}))):
        after, _ = look(Budgets(starts=(start,)), 1.0, ONE_A_SECOND, news)
        assert after.starts == (start,)


def test_what_began_by_budgets_kept_elsewhere_is_noted() -> None:
    """So that it still counts when those cannot be reached any more; what still waits does not."""
    first, second = waiter(), waiter()
    noted = follow(Budgets(), 0.0, ONE_A_SECOND, News("a", (first, second)), Sight(begun=frozenset({first.number})))
    noted = follow(noted, 0.5, ONE_A_SECOND, News("a", (second,), ended={first.number: 0.1}), Sight())
    assert [(start.number, start.moment, start.ended) for start in noted.starts] == [(first.number, 0.0, 0.1)]


def test_start_of_another_boot_stops_nobody() -> None:
    """A stamp that is still to come is of another clock."""
    desk = Desk(ONE_A_SECOND, Budgets(starts=(Start("b", 1, "kt10000", ORDERS, 1e6),)))
    (mine,) = desk.ask("kt10000", now=1.0)
    assert desk.look(1.0).begun == {mine}


def test_returned_request_counts_for_nothing() -> None:
    """It was not sent."""
    desk = Desk(ONE_A_SECOND)
    (first,) = desk.ask("kt10000")
    desk.look(0.0)
    (second,) = desk.ask("kt10000")
    assert desk.look(0.0, returned=frozenset({first})).begun == {second}


def test_unanswered_request_counts_at_the_present_until_it_hangs() -> None:
    """Nobody knows when the broker counts it; but one that never comes back must not stop the cancels."""
    budgets, sight = look(Budgets(), 0.0, ONE_A_SECOND, News("a", (waiter(),)))
    assert sight.begun
    mine = waiter()
    for now in (1.2, 2.4, HANGS_AFTER):
        budgets, sight = look(budgets, now, ONE_A_SECOND, News("a", (mine,)))
        assert sight.moments == {mine.number: pytest.approx(now + 1 + MARGIN)}
    _, sight = look(budgets, HANGS_AFTER + 1 + MARGIN, ONE_A_SECOND, News("a", (mine,)))
    assert sight.begun == {mine.number}


def test_slow_rates_are_whole_requests() -> None:
    """Half a request per second is one every two seconds."""
    desk = Desk(Limits(orders_per_second=0.5))
    desk.ask("kt10000", "kt10000")
    assert [now for now, _ in desk.run(5)] == [0.0, 2.0 + MARGIN]


REFUSALS = [
    (Limits(), "ka10081", 1.0, 1.0),
    (Limits(), "ka10081", None, 2.5),
    (Limits(), "ka10081", 5.0, 2.5),
    (Limits(), "orders", 2.0, 2.0),
    (MOCK, "ka10081", None, 0.5),
    (Limits(per_tr_per_second=None), "ka10081", None, 1.0),
    (Limits(per_tr_per_second=None), "ka10081", 3.0, 3.0),
    (Limits(per_tr_per_second=0.1), "ka10081", None, 0.1),
    (Limits(per_tr_per_second=0.3), "ka10081", None, LOWEST_RATE),
]


@pytest.mark.parametrize(("limits", "scope", "stated", "rate"), REFUSALS)
def test_refusal_lowers_to_what_it_states_or_to_half(
    limits: Limits, scope: str, stated: float | None, rate: float
) -> None:
    """The stated limit where it is lower than ours, else half of ours, never below one in five seconds."""
    _, sight = look(Budgets(), 10.0, limits, News("a", refusals=(Refusal(scope, stated),)))
    (lesson,) = sight.lessons
    assert (lesson.scope, lesson.rate, lesson.until) == (scope, rate, 10.0 + LESSON_LASTS)


def test_burst_of_refusals_is_one_lesson() -> None:
    """The second lesson comes from requests that were sent after the first one."""
    burst = (Refusal("ka10081"),) * 5
    budgets, sight = look(Budgets(), 0.0, Limits(), News("a", refusals=burst))
    assert sight.lessons[0].rate == 2.5
    budgets, sight = look(budgets, 1.0, Limits(), News("b", refusals=burst))
    assert sight.lessons[0].rate == 2.5
    after = 2.0 + MARGIN
    budgets, sight = look(budgets, after, Limits(), News("b", refusals=burst))
    assert sight.lessons[0].rate == 1.25
    assert sight.lessons[0].until == after + LESSON_LASTS
    _, sight = look(budgets, after + LESSON_LASTS, Limits(), News("b"))
    assert sight.lessons == ()


def test_refused_tr_rests_for_a_window() -> None:
    """Kiwoom's window is full; nobody knows since when."""
    desk = Desk()
    desk.look(0.0, refusals=(Refusal("ka10081", 5.0),))
    (mine,) = desk.ask("ka10081")
    assert desk.look(0.0).moments == {mine: pytest.approx(1 + MARGIN)}


@pytest.mark.parametrize(
    ("rate", "until", "expected"),
    [
        (2.0, 30.0, (2.0, 30.0)),
        (0.0, 30.0, (LOWEST_RATE, 30.0)),
        (-1.0, 1e9, (LOWEST_RATE, 10.0 + LESSON_LASTS)),
        (float("nan"), float("inf"), (LOWEST_RATE, 10.0 + LESSON_LASTS)),
    ],
)
def test_lesson_of_a_file_stops_no_request_for_ever(rate: float, until: float, expected: tuple[float, float]) -> None:
    """What others have written is believed as far as a refusal could have taught it."""
    lesson = Lesson("kt10000", rate, since=9.0, until=until).within_reason(10.0)
    assert (lesson.rate, lesson.until) == expected


def test_many_waiting_requests_are_planned_in_little_work() -> None:
    """A thousand in the queue: their moments are known, one behind the other."""
    desk = Desk()
    desk.ask(*["kt10000", "kt10001"] * 500)
    moments = sorted(desk.look(0.0).moments.values())
    assert len(moments) == 995
    assert moments[-1] == pytest.approx(199 * (1 + MARGIN))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "answer", "go away", "return", "refuse"]),
        st.sampled_from(["kt10000", "kt10001", "kt10003"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 30),
        st.floats(0, 1),
        st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3, 1.0, 2.5]),
    ),
    max_size=60,
)


@define
class _World:
    """Three processes on one state, and a broker that counts a request at any moment until its answer is read."""

    limits: Limits
    now: float = 100.0
    budgets: Budgets = field(factory=Budgets)
    waiting: list[Waiter] = field(factory=list)
    flying: list[tuple[float, Waiter]] = field(factory=list)
    arrived: list[tuple[float, Waiter]] = field(factory=list)
    begun: list[Waiter] = field(factory=list)

    def look(self, owner: str, **news: object) -> Sight:
        """Let a process look."""
        mine = tuple(one for one in self.waiting if one.owner == owner)
        self.budgets, sight = look(
            self.budgets,
            self.now,
            self.limits,
            News(owner, mine, **news),  # type: ignore[arg-type]
        )
        for one in mine:
            if one.number in sight.begun:
                self.waiting.remove(one)
                self.flying.append((self.now, one))
                self.begun.append(one)
        return sight

    def answer(self, index: int, share: float) -> None:
        """Let an answer be read; the broker counted the request somewhere on its way."""
        if self.flying:
            began, one = self.flying.pop(index % len(self.flying))
            ended = min(self.now, began + HANGS_AFTER)
            self.arrived.append((began + share * (ended - began), one))
            self.look(one.owner, ended={one.number: self.now})

    def carry_out(self, action: str, api_id: str, owner: str, index: int, share: float, pause: float) -> None:
        """Let one thing happen after a pause."""
        self.now += pause
        mine = [one for one in self.waiting if one.owner == owner]
        own = [(began, one) for began, one in self.flying if one.owner == owner]
        if action == "ask":
            self.waiting.append(waiter(api_id, owner=owner, asked=self.now))
        elif action == "answer":
            self.answer(index, share)
        elif action == "go away" and mine:
            self.waiting.remove(mine[index % len(mine)])
        elif action == "return" and own:
            flight = own[index % len(own)]
            self.flying.remove(flight)
            self.begun.remove(flight[1])
            self.look(owner, returned=frozenset({flight[1].number}))
        elif action == "refuse":
            self.look(owner, refusals=(Refusal(api_id),))
        self.look(owner)

    def finish(self) -> None:
        """Let everything go its way; answers come after a while."""
        for _ in range(400):
            self.now += 0.21
            while self.flying:
                self.answer(0, 0.5)
            for owner in ("a", "b", "c"):
                self.look(owner)
            if not self.waiting and not self.flying:
                return
        raise AssertionError("somebody starves")


@given(
    st.sampled_from([Limits(), Limits(per_tr_per_second=1), Limits(orders_per_second=3, per_tr_per_second=2)]),
    STEPS,
)
def test_no_second_at_the_broker_ever_holds_too_many(
    limits: Limits, steps: list[tuple[str, str, str, int, float, float]]
) -> None:
    """Whatever is asked, late, lost, withdrawn or refused, by three processes: the limits hold, lanes keep their order.

    Nobody starves either.
    """
    world = _World(limits)
    for step in steps:
        world.carry_out(*step)
    world.finish()

    assert limits.orders_per_second is not None
    assert limits.per_tr_per_second is not None
    moments = [moment for moment, _ in world.arrived]
    for first in moments:
        assert sum(first <= other <= first + 1.0 for other in moments) <= limits.orders_per_second
    for api_id in {one.api_id for one in world.begun}:
        mine_at = [moment for moment, one in world.arrived if one.api_id == api_id]
        for first in mine_at:
            assert sum(first <= other <= first + 1.0 for other in mine_at) <= limits.per_tr_per_second
    for lane in {one.lane for one in world.begun}:
        numbers = [one.number for one in world.begun if one.lane == lane]
        assert numbers == sorted(numbers)
