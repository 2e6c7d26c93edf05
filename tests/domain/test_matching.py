"""What one look at the ledger forces to be true of the attempts that are unresolved."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from random import Random
from time import process_time
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.matching import (
    AlarmKind,
    ChannelKnowledge,
    Claimant,
    Matching,
    Relation,
    match,
    relation,
)
from kiwoom_async._domain.relations import disagreements
from kiwoom_async._domain.reports import LedgerOrder
from kiwoom_async._domain.settings import KST, Environment, Reliance, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderType, Route, Side
from tests.domain.worlds import Problem, check

DAY = date(2026, 11, 9)
NOON = datetime(2026, 11, 9, 12, 0, tzinfo=KST)
OWN, HOME_TRADING, OTHER = "REST API", "영웅문4", "제휴"
NOTHING_LEARNT = ChannelKnowledge()
LEARNT = ChannelKnowledge(frozenset({OWN}))
BUY = OrderRequest(
    Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, price=70_000, order_type=OrderType.LIMIT, route=Route.KRX
)
MODIFY = OrderRequest(Desk.STOCK, Action.MODIFY, "005930", None, None, price=70_500, original="0000050")
CANCEL = OrderRequest(Desk.STOCK, Action.CANCEL, "005930", None, None, original="0000050")
TIMING = Timing()
ALWAYS_OPEN = Environment("http://127.0.0.1:9000")


def claimant(key: str = "a#1", request: OrderRequest = BUY, **changes: Any) -> Claimant:
    """Make an attempt whose window is over, sent at noon after order 100."""
    fields: dict[str, Any] = {
        "day": DAY,
        "mark": 100,
        "days": (DAY,),
        "earliest": NOON - timedelta(seconds=5),
        "latest": NOON + timedelta(seconds=60),
        "age": (float(ord(key[0])), 1),
    }
    return Claimant(key=key, request=request, **fields | changes)


def row(number: int, **changes: Any) -> LedgerOrder:
    """Make a row that shows what `BUY` asks for, accepted at noon."""
    fields: dict[str, Any] = {
        "day": DAY,
        "desk": Desk.STOCK,
        "action": Action.NEW,
        "symbol": "005930",
        "side": Side.BUY,
        "quantity": 10,
        "price": 70_000,
        "order_types": frozenset({OrderType.LIMIT}),
        "route": Route.KRX,
        "stop_price": None,
        "original": None,
        "channel": OWN,
        "ordered_at": NOON,
        "filled_quantity": 0,
        "average_fill_price": None,
        "leaves_quantity": 10,
        "confirmed_quantity": 0,
    }
    return LedgerOrder(broker_order_id=f"{number:07d}", **fields | changes)


def attempt(**changes: Any) -> Attempt:
    """Make an attempt sent at noon whose sender gave up after 30 seconds."""
    fields: dict[str, Any] = {
        "client_order_id": "a",
        "number": 1,
        "account": "key-1",
        "request": BUY,
        "state": Delivery.UNKNOWN,
        "day": DAY,
        "mark": 100,
        "runner": "r",
        "boot_id": "boot",
        "dispatched_at": NOON,
        "dispatched": 1000.0,
        "write_until": 1005.0,
        "ended": 1030.0,
        "ended_at": NOON + timedelta(seconds=30),
    }
    return Attempt(**fields | changes)


def seen(sent: Attempt, environment: Environment = ALWAYS_OPEN, **changes: Any) -> Claimant:
    """See an attempt in a look taken long after it was dead."""
    fields: dict[str, Any] = {
        "timing": TIMING,
        "environment": environment,
        "boot_id": "boot",
        "looked": 9999.0,
    }
    return Claimant.of(sent, **fields | changes)


def find(
    claimants: list[Claimant],
    rows: list[LedgerOrder],
    *,
    is_exclusive: bool = True,
    channels: ChannelKnowledge = LEARNT,
) -> Matching:
    """Match, and check the result against every possible world."""
    matching = match(claimants, rows, is_exclusive=is_exclusive, channels=channels)
    check(Problem.of(claimants, rows, is_exclusive=is_exclusive, channels=channels), matching)
    return matching


def numbers(matching: Matching) -> dict[str, int]:
    """Give the order number each attempt is bound to."""
    return {key: order.number for key, order in matching.bindings.items()}


def candidate_numbers(matching: Matching) -> dict[str, list[int]]:
    """Give the order numbers each attempt may have."""
    return {key: [order.number for order in orders] for key, orders in matching.candidates.items()}


# What the senders have relied on.


def test_nothing_is_bound_near_an_attempt_whose_sender_knew_of_strangers() -> None:
    """The row may be a stranger's, whatever the process relies on that looks; what is elsewhere is bound as ever."""
    shared = attempt(relied_on=Reliance.of(TIMING, is_exclusive=False))
    ours = attempt(client_order_id="b", relied_on=Reliance.of(TIMING, is_exclusive=True))
    other = evolve(ours, client_order_id="c", request=evolve(BUY, quantity=7))
    rows = [row(101), row(102), row(103), row(104, quantity=7)]
    found = match([seen(shared), seen(ours), seen(other)], rows, is_exclusive=True, channels=LEARNT)
    assert numbers(found) == {"c#1": 104}
    assert candidate_numbers(found) == {"a#1": [101, 102, 103], "b#1": [101, 102, 103]}
    assert found.alarms == ()
    assert match([seen(ours), seen(other)], rows, is_exclusive=True, channels=LEARNT).alarms


def test_attempt_is_hidden_as_long_as_its_sender_had_to_expect() -> None:
    """Its absence is not told before its sender's bounds are over."""
    sent = attempt(relied_on=Reliance.of(evolve(TIMING, acceptance_bound=60, visibility_bound=30), is_exclusive=True))
    assert seen(sent, looked=1030.0 + 60 + 29.9).is_hidden_possible
    assert not seen(sent, looked=1030.0 + 60 + 30).is_hidden_possible


# The named scenarios, in their order.


def test_k1_m1_exclusive_claims() -> None:
    """The only matching order of an exclusive account is the only unresolved attempt's."""
    matching = find([claimant()], [row(101)])
    assert numbers(matching) == {"a#1": 101}
    assert (matching.absent, matching.candidates, matching.foreign, matching.alarms) == (
        frozenset(),
        {},
        (),
        (),
    )


def test_k1_m0_absent() -> None:
    """An attempt that no row can be, and that cannot be hidden, is absent from this look."""
    matching = find([claimant()], [row(101, price=69_900)])
    assert matching.absent == {"a#1"}
    assert [order.number for order in matching.foreign] == [101]


def test_k1_m0_is_not_absent_while_it_may_be_hidden() -> None:
    """Nothing is said of an attempt that may still be accepted or listed."""
    matching = find([claimant(is_hidden_possible=True)], [])
    assert matching == Matching({}, frozenset(), {}, (), ())


def test_k1_m2_never_guesses() -> None:
    """Two orders and one attempt: neither is claimed, both are candidates."""
    matching = find([claimant()], [row(101), row(102)])
    assert matching.bindings == {}
    assert candidate_numbers(matching) == {"a#1": [101, 102]}


def test_k2_m2_identical_fifo_binding_is_stable() -> None:
    """The same attempts and rows in any order give the same binding: the oldest has the smallest number."""
    claimants = [claimant("a#1"), claimant("b#1"), claimant("c#1")]
    rows = [row(103), row(101), row(102)]
    for seed in range(20):
        random = Random(seed)  # noqa: S311 - a replayable shuffle
        random.shuffle(claimants)
        random.shuffle(rows)
        assert numbers(find(claimants, rows)) == {"a#1": 101, "b#1": 102, "c#1": 103}


def test_k3_m2_identical_exactly_one_not_accepted() -> None:
    """Three twins and two orders: two were accepted, one was not, and the youngest is that one."""
    matching = find([claimant("a#1"), claimant("b#1"), claimant("c#1")], [row(101), row(102)])
    assert numbers(matching) == {"a#1": 101, "b#1": 102}
    assert matching.absent == {"c#1"}


def test_k2_m1_different_obligations_is_ambiguous() -> None:
    """Attempts on which different things hang are no twins; which of them was accepted is not guessed."""
    matching = find([claimant("a#1", obligation="cancel it"), claimant("b#1")], [row(101)])
    assert (matching.bindings, matching.absent) == ({}, frozenset())
    assert candidate_numbers(matching) == {"a#1": [101], "b#1": [101]}


def test_k2_m2_different_obligations_is_ambiguous() -> None:
    """That both were accepted does not say which order is whose."""
    matching = find([claimant("a#1", obligation="cancel it"), claimant("b#1")], [row(101), row(102)])
    assert matching.bindings == {}
    assert candidate_numbers(matching) == {"a#1": [101, 102], "b#1": [101, 102]}


def test_hall_violation_proves_foreign_actor() -> None:
    """More orders that must be ours than attempts: an alarm with the proof, and nothing bound there."""
    late = timedelta(minutes=10)
    elsewhere = claimant("z#1", evolve(BUY, symbol="000660"))
    pair = [claimant("a#1"), claimant("b#1", latest=NOON + 2 * late)]
    rows = [row(101), row(102), row(103), row(104, symbol="000660"), row(105, ordered_at=NOON + late)]
    matching = find([*pair, elsewhere], rows)
    (alarm,) = matching.alarms
    assert alarm.kind is AlarmKind.FOREIGN_ACTOR
    assert [order.number for order in alarm.orders] == [101, 102, 103]
    assert set(alarm.attempts) == {"a#1", "b#1"}
    assert numbers(matching) == {"z#1": 104}
    assert candidate_numbers(matching) == {"a#1": [101, 102, 103], "b#1": [101, 102, 103, 105]}


def test_time_windows_force_unique_assignment() -> None:
    """Where windows leave one way only, attempts with different obligations are bound as well."""
    minute = timedelta(minutes=1)
    first = claimant("a#1", obligation="x", latest=NOON + minute)
    second = claimant("b#1", obligation="y", earliest=NOON, latest=NOON + 2 * minute)
    third = claimant("c#1", obligation="z", earliest=NOON + minute, latest=NOON + 3 * minute)
    early = timedelta(seconds=2)
    rows = [row(101, ordered_at=NOON - early), row(102), row(103, ordered_at=NOON + 3 * minute)]
    assert numbers(find([first, second, third], rows)) == {"a#1": 101, "b#1": 102, "c#1": 103}


def test_older_identical_order_never_claimed() -> None:
    """An order up to the mark was on the book before the attempt was sent."""
    matching = find([claimant(mark=100)], [row(99), row(100)])
    assert matching.bindings == {}
    assert matching.absent == {"a#1"}
    assert [order.number for order in matching.foreign] == [99, 100]


def test_manual_identical_order_same_second_shared_account_is_candidate_not_claim() -> None:
    """On a shared account an identical order blocks, and is not claimed."""
    matching = find([claimant()], [row(101)], is_exclusive=False)
    assert (matching.bindings, matching.absent) == ({}, frozenset())
    assert candidate_numbers(matching) == {"a#1": [101]}


def test_shared_account_tells_no_absence_while_a_row_is_open() -> None:
    """Three twins and two strangers' or own orders: no twin is called absent, so none is sent again."""
    claimants = [claimant("a#1"), claimant("b#1"), claimant("c#1")]
    matching = find(claimants, [row(101), row(102)], is_exclusive=False)
    assert matching.absent == frozenset()
    assert set(matching.candidates) == {"a#1", "b#1", "c#1"}


@pytest.mark.parametrize("channels", [NOTHING_LEARNT, LEARNT])
@pytest.mark.parametrize("is_exclusive", [True, False])
def test_channel_field_excludes_hts_order(channels: ChannelKnowledge, is_exclusive: bool) -> None:
    """An order placed by a person at the home trading system is never ours."""
    manual = row(101, channel=HOME_TRADING)
    matching = find([claimant()], [manual], is_exclusive=is_exclusive, channels=channels)
    assert matching.absent == {"a#1"}
    assert matching.foreign == (manual,)


def test_modified_root_still_matches_by_original_row() -> None:
    """A later modify or cancel has rows of its own; the order that was sent is still the root's row."""
    root = row(101, leaves_quantity=0)
    modified = row(102, action=Action.MODIFY, original="0000101", price=70_500)
    canceled = row(103, action=Action.CANCEL, original="0000102", leaves_quantity=0)
    matching = find([claimant()], [root, modified, canceled])
    assert numbers(matching) == {"a#1": 101}
    assert [order.number for order in matching.foreign] == [102, 103]


def test_sor_split_children_match_one_intent() -> None:
    """Of an order split by SOR only the root is what was sent; its parts match nothing."""
    root = row(101, route=Route.SOR)
    parts = [
        row(102, original="0000101", quantity=4, route=Route.KRX),
        row(103, original="0000101", quantity=6, route=Route.NXT),
        row(104, original="0000101", route=Route.NXT),
    ]
    matching = find([claimant(request=evolve(BUY, route=Route.SOR))], [*parts, root])
    assert numbers(matching) == {"a#1": 101}
    assert len(matching.foreign) == 3


@pytest.mark.parametrize("echo", [None, 0, 71_300])
def test_market_order_price_zero_echo(echo: int | None) -> None:
    """Whatever price the ledger shows for an order that has none, it does not exclude the row."""
    request = evolve(BUY, price=None, order_type=OrderType.MARKET)
    matching = find([claimant(request=request)], [row(101, price=echo, order_types=frozenset({OrderType.MARKET}))])
    assert numbers(matching) == {"a#1": 101}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-6, Relation.NONE),
        (-5, Relation.LIKELY),
        (0, Relation.LIKELY),
        (30, Relation.LIKELY),
        (46, Relation.LIKELY),
        (47, Relation.NONE),
    ],
)
def test_clock_skew_plus_minus_5s(seconds: int, expected: Relation) -> None:
    """Clocks may differ by the skew at both ends; the broker's stamps are whole seconds (30 + 10 + 5 + 1)."""
    sent = attempt(dispatched_at=NOON + timedelta(milliseconds=900))
    stamped = row(101, ordered_at=NOON + timedelta(seconds=seconds))
    assert relation(seen(sent), stamped, LEARNT) is expected


@pytest.mark.parametrize(("seconds", "is_ours"), [(-6, False), (-4, True), (0, True), (86_000, True)])
def test_order_that_was_there_before_the_send_is_not_ours(seconds: int, *, is_ours: bool) -> None:
    """A fill that the feed has told says by when the order was on the book, and nothing of how early or late it was."""
    filled = row(101, ordered_at=None, there_by=NOON + timedelta(seconds=seconds))
    assert numbers(find([seen(attempt())], [filled])) == ({"a#1": 101} if is_ours else {})


def test_ord_no_reuse_next_day() -> None:
    """Numbers start anew each day: yesterday's row is nobody's of today, and no mark is used across days."""
    today = claimant(days=(DAY,), mark=0)
    yesterday = row(101, day=DAY - timedelta(days=1))
    assert find([today], [yesterday]).absent == {"a#1"}
    tomorrow = DAY + timedelta(days=1)
    both = claimant(mark=5000, days=(DAY, tomorrow), latest=None)
    low_number = row(7, day=tomorrow, ordered_at=None)
    assert numbers(find([both], [low_number, row(4999)])) == {"a#1": 7}


@pytest.mark.parametrize(
    "stamp",
    [
        pytest.param(datetime(2026, 11, 10, 7, 0, tzinfo=KST), id="moment of its release"),
        pytest.param(datetime(2026, 11, 10, 22, 0, tzinfo=KST), id="tomorrow's date and tonight's time"),
        pytest.param(None, id="no time"),
    ],
)
def test_reservation_pre_open_order_shows_on_next_day(stamp: datetime | None) -> None:
    """An order sent after hours may be listed tomorrow, with a low number and an odd time."""
    night = datetime(2026, 11, 9, 22, 0, tzinfo=KST)
    sent = attempt(dispatched_at=night, ended_at=night + timedelta(seconds=30), mark=5000)
    listed = row(3, day=DAY + timedelta(days=1), ordered_at=stamp)
    assert numbers(find([seen(sent, Environment.MOCK)], [listed])) == {"a#1": 3}


def test_order_sent_after_hours_is_hidden_until_the_next_day_is_final() -> None:
    """No bound on listing holds for a reservation; only the end of the day settles it."""
    night = datetime(2026, 11, 9, 22, 0, tzinfo=KST)
    sent = attempt(dispatched_at=night, ended_at=night + timedelta(seconds=30))
    assert find([seen(sent, Environment.MOCK)], []).absent == frozenset()
    over = seen(sent, Environment.MOCK, final_days=[DAY + timedelta(days=1)])
    assert find([over], []).absent == {"a#1"}
    no_opening = evolve(ALWAYS_OPEN, closes_at=time(20, 0))
    assert find([seen(sent, no_opening)], []).absent == frozenset()
    assert find([seen(sent, no_opening, final_days=[DAY + timedelta(days=1)])], []).absent == {"a#1"}


# Attempts in flight, hidden orders and their twins.


def test_attempt_in_flight_competes_for_a_row() -> None:
    """A row that may be the order of an attempt still being sent is bound to no other attempt, nor to it."""
    flying = seen(attempt(client_order_id="b", state=Delivery.DISPATCHED, ended=None, ended_at=None))
    assert (flying.is_claimable, flying.is_hidden_possible) == (False, True)
    matching = find([claimant("a#1"), flying], [row(101)])
    assert (matching.bindings, matching.absent) == ({}, frozenset())
    assert candidate_numbers(matching) == {"a#1": [101]}


def test_attempt_in_flight_explains_a_row_without_an_alarm() -> None:
    """An order whose answer is still on its way is no proof of a foreign actor."""
    flying = [seen(attempt(client_order_id=key, state=Delivery.DISPATCHED, ended=None, ended_at=None)) for key in "bc"]
    matching = find(flying, [row(101), row(102)])
    assert matching == Matching({}, frozenset(), {}, (), ())


def test_row_of_twins_is_bound_to_the_one_that_cannot_be_hidden() -> None:
    """The younger twin may still be accepted and not be listed; the older one may not, so the row is its."""
    matching = find([claimant("a#1"), claimant("b#1", is_hidden_possible=True)], [row(101)])
    assert numbers(matching) == {"a#1": 101}
    assert (matching.absent, matching.candidates) == (frozenset(), {})


def test_all_twins_are_bound_although_each_could_be_hidden() -> None:
    """As many rows as twins: all are accepted, there is no need to wait until none can be hidden."""
    twins = [claimant(key, is_hidden_possible=True, mark=mark) for key, mark in (("a#1", 99), ("b#1", 100))]
    assert numbers(find(twins, [row(101), row(102)])) == {"a#1": 101, "b#1": 102}


def test_hidden_twin_with_another_window_keeps_the_row_open() -> None:
    """Names are not swapped with a hidden order that could never be the other twin's once it is listed."""
    older = claimant("a#1", is_hidden_possible=True, latest=NOON + timedelta(seconds=20))
    younger = claimant("b#1", is_hidden_possible=True, earliest=NOON - timedelta(seconds=1))
    matching = find([older, younger], [row(101)])
    assert matching.bindings == {}
    # The older one's order is listed late, outside of the younger one's window: so the first row is the
    # younger one's.
    late = row(100, ordered_at=NOON - timedelta(seconds=4))
    marked = [evolve(older, mark=90), evolve(younger, mark=90)]
    assert numbers(find(marked, [row(101), late])) == {"a#1": 100, "b#1": 101}


def test_hidden_twin_of_other_days_keeps_the_row_open() -> None:
    """An order that may be listed tomorrow does not swap its name with one that may not."""
    today = claimant("a#1", is_hidden_possible=True, latest=None)
    either = claimant("b#1", is_hidden_possible=True, latest=None, days=(DAY, DAY + timedelta(days=1)))
    assert find([today, either], [row(101)]).bindings == {}
    assert numbers(find([today, evolve(either, days=today.days)], [row(101)])) == {"a#1": 101}


@pytest.mark.parametrize(
    "changes",
    [
        {"earliest": NOON - timedelta(seconds=4)},
        {"latest": NOON + timedelta(seconds=20)},
        {"mark": 99},
        {"days": (DAY, DAY + timedelta(days=1))},
    ],
)
def test_hidden_twins_swap_names_only_where_the_same_rows_could_be_theirs(changes: dict[str, Any]) -> None:
    """Whatever one of them could be and the other could not keeps the row open."""
    older, younger = (claimant(key, is_hidden_possible=True) for key in ("a#1", "b#1"))
    assert numbers(find([older, younger], [row(101)])) == {"a#1": 101}
    assert find([older, evolve(younger, **changes)], [row(101)]).bindings == {}


def test_confirmed_quantity_speaks_for_a_cancel_alone() -> None:
    """The row of a new order for another quantity is another order, however much of it was confirmed."""
    other = row(101, quantity=20, confirmed_quantity=10)
    assert relation(claimant(), other, LEARNT) is Relation.NONE
    part = evolve(CANCEL, quantity=10)
    listed = evolve(other, action=Action.CANCEL, original="0000050")
    assert relation(claimant(request=part), listed, LEARNT) is Relation.LIKELY


@pytest.mark.parametrize("request_", [MODIFY, CANCEL], ids=lambda one: one.action.value)
def test_route_of_a_modify_or_cancel_excludes_nothing(request_: OrderRequest) -> None:
    """It is its original's, wherever the row says that it went."""
    listed = row(101, action=request_.action, original="0000050", price=request_.price, route=Route.NXT)
    assert relation(claimant(request=evolve(request_, route=Route.KRX)), listed, LEARNT) is Relation.LIKELY


def test_order_type_or_route_that_is_not_known_excludes_nothing() -> None:
    """Whatever the row shows may be it."""
    unrouted = claimant(request=evolve(BUY, route=None))
    assert relation(unrouted, row(101, route=Route.NXT), LEARNT) is Relation.LIKELY
    untyped = claimant(request=evolve(BUY, order_type=None))
    assert relation(untyped, row(101, order_types=frozenset({OrderType.LIMIT_IOC})), LEARNT) is Relation.LIKELY


def test_attempt_is_seen_with_its_chain() -> None:
    """The earlier numbers of its chain come along: the ledger may name any of them."""
    assert seen(attempt(request=CANCEL), ancestors=frozenset({"0000040"})).ancestors == {"0000040"}


def test_twins_that_are_all_on_the_book_in_every_world_get_what_is_certain() -> None:
    """Two twins share one certain row and one of two more: neither is hidden, so the oldest gets it."""
    days = tuple(DAY + timedelta(days=offset) for offset in range(3))
    rows = [row(101 + offset, day=day) for offset, day in enumerate(days)]
    hidden: dict[str, Any] = {"is_hidden_possible": True, "latest": None}
    twins = [claimant("a#1", days=days, mark=1, **hidden), claimant("b#1", days=days, mark=2, **hidden)]
    third = claimant("c#1", days=days[1:], **hidden)
    matching = find([*twins, third], rows)
    assert numbers(matching) == {"a#1": 101}
    assert candidate_numbers(matching) == {"b#1": [102, 103], "c#1": [102, 103]}


def test_detour_over_three_obligations_leaves_all_open() -> None:
    """Three rows and three attempts in a ring: two assignments are possible, so nothing is bound."""
    days = tuple(DAY + timedelta(days=offset) for offset in range(3))
    rows = [row(101 + offset, day=day) for offset, day in enumerate(days)]
    ring = [
        claimant(f"{key}#1", days=pair, latest=None, obligation=key)
        for key, pair in (("a", days[:2]), ("b", days[1:]), ("c", (days[0], days[2])))
    ]
    assert find(ring, rows).bindings == {}


def test_row_that_is_certain_by_exclusion_alone_is_not_claimed() -> None:
    """A row left for an attempt that may not claim it stays open, although nothing else can be it."""
    first = claimant("a#1", CANCEL)
    second = claimant("b#1", evolve(CANCEL, original="0000060"), mark=101, ancestors=frozenset({"0000050"}))
    rows = [row(number, action=Action.CANCEL, original="0000050") for number in (101, 102)]
    matching = find([first, second], rows)
    assert numbers(matching) == {"a#1": 101}
    assert candidate_numbers(matching) == {"b#1": [102]}


# What relates a row to an attempt.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"broker_order_id": "0000001", "ordered_at": NOON + timedelta(hours=1)}, ()),
        ({"price": None, "route": None, "order_types": frozenset()}, ()),
        ({"side": Side.SELL}, ("symbol, side or kind",)),
        ({"quantity": 11}, ("quantity",)),
        ({"price": 70_100}, ("price",)),
        ({"original": "0000050"}, ("original",)),
        ({"order_types": frozenset({OrderType.LIMIT_IOC})}, ("order type",)),
        ({"is_credit": True}, ("kind of money",)),
        ({"route": Route.NXT}, ("route",)),
        ({"stop_price": 1}, ("stop price",)),
        ({"quantity": 11, "price": 70_100}, ("quantity", "price")),
    ],
)
def test_what_the_row_of_an_order_repeats_otherwise_is_named(
    changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Each field that was sent is held against the row (A10); what the row does not show is no disagreement."""
    sent = claimant(request=evolve(BUY, stop_price=69_000))
    assert disagreements(sent, evolve(row(101), **changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "000660"},
        {"side": Side.SELL},
        {"quantity": 11},
        {"price": 70_100},
        {"order_types": frozenset({OrderType.LIMIT_IOC, OrderType.LIMIT_FOK})},
        {"route": Route.NXT},
        {"route": Route.SOR},
        {"desk": Desk.GOLD},
        {"action": Action.MODIFY},
        {"action": Action.CANCEL},
        {"original": "0000101"},
        {"price": None, "channel": HOME_TRADING},
        {"day": DAY + timedelta(days=1)},
    ],
)
def test_row_that_differs_in_what_was_sent_is_excluded(changes: dict[str, Any]) -> None:
    """The ledger echoes the fields that were sent (A10)."""
    assert relation(claimant(), row(101, **changes), LEARNT) is Relation.NONE


@pytest.mark.parametrize(
    "changes",
    [
        {"route": None},
        {"order_types": frozenset(OrderType)},
        {"ordered_at": None},
        {"channel": ""},
        {"channel": " "},
    ],
)
def test_what_a_row_does_not_show_excludes_nothing(changes: dict[str, Any]) -> None:
    """An empty field is no evidence."""
    assert relation(claimant(), row(101, **changes), LEARNT) is Relation.LIKELY


def test_price_that_is_not_shown_blocks_without_a_claim() -> None:
    """A limit order is expected to show its price; where it does not, the row may still be ours."""
    assert relation(claimant(), row(101, price=None), LEARNT) is Relation.POSSIBLE


def test_stop_price_excludes_only_where_both_are_known() -> None:
    """A view that shows no stop price does not prove that the order has none."""
    request = evolve(BUY, order_type=OrderType.STOP_LIMIT, stop_price=69_000)
    stop = {"order_types": frozenset({OrderType.STOP_LIMIT})}
    told = [relation(claimant(request=request), row(101, stop_price=at, **stop), LEARNT) for at in (69_000, None, 1)]
    assert told == [Relation.LIKELY, Relation.LIKELY, Relation.NONE]


@pytest.mark.parametrize("shown", [Route.KRX, Route.NXT, Route.SOR, None])
def test_sor_order_may_show_as_any_route(shown: Route | None) -> None:
    """What was sent to SOR may be listed where it went."""
    assert relation(claimant(request=evolve(BUY, route=Route.SOR)), row(101, route=shown), LEARNT) is Relation.LIKELY


CREDIT_BUY = evolve(BUY, desk=Desk.CREDIT)
LOAN_DAY = date(2026, 10, 1)
LOAN_SALE = evolve(CREDIT_BUY, side=Side.SELL, credit=CreditKind.LOAN, loan_date=LOAN_DAY)


@pytest.mark.parametrize(
    ("request_", "is_credit", "expected"),
    [
        (BUY, True, Relation.NONE),
        (BUY, False, Relation.LIKELY),
        (BUY, None, Relation.LIKELY),
        (CREDIT_BUY, True, Relation.LIKELY),
        (CREDIT_BUY, False, Relation.NONE),
        (CREDIT_BUY, None, Relation.LIKELY),
    ],
)
def test_credit_order_stands_among_the_stocks(
    request_: OrderRequest, is_credit: bool | None, expected: Relation
) -> None:
    """The stock ledger lists credit orders too: a row excludes the other kind where it tells its own, only there."""
    assert relation(claimant(request=request_), row(101, is_credit=is_credit), LEARNT) is expected


@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
@pytest.mark.parametrize("is_credit", [True, False, None])
def test_credit_words_of_a_modify_or_cancel_exclude_nothing(action: Action, *, is_credit: bool | None) -> None:
    """The original that they name decides; nobody knows how such a row words credit."""
    for desk in (Desk.STOCK, Desk.CREDIT):
        request = evolve(MODIFY if action is Action.MODIFY else CANCEL, desk=desk)
        shown = row(101, action=action, original="0000050", price=70_500, is_credit=is_credit)
        assert relation(claimant(request=request), shown, LEARNT) is Relation.LIKELY


@pytest.mark.parametrize(
    ("shown", "expected"),
    [(LOAN_DAY, Relation.LIKELY), (None, Relation.LIKELY), (date(2026, 10, 2), Relation.POSSIBLE)],
)
def test_another_loan_date_blocks_without_a_claim(shown: date | None, expected: Relation) -> None:
    """That the ledger repeats the loan date is published and not seen, so another one is a doubt and no proof."""
    sale = row(101, side=Side.SELL, is_credit=True, loan_date=shown)
    assert relation(claimant(request=LOAN_SALE), sale, LEARNT) is expected
    whole = evolve(LOAN_SALE, credit=CreditKind.ALL_LOANS, loan_date=None)
    assert relation(claimant(request=whole), sale, LEARNT) is Relation.LIKELY


def test_cash_and_credit_twins_are_told_apart_where_the_rows_tell() -> None:
    """Both unknown, and both listed: each gets its own; where neither row tells, neither gets one."""
    twins = [claimant("a#1"), claimant("b#1", CREDIT_BUY)]
    assert numbers(find(twins, [row(101, is_credit=True), row(102, is_credit=False)])) == {"a#1": 102, "b#1": 101}
    silent = find(twins, [row(101), row(102)])
    assert (silent.bindings, silent.absent, silent.alarms) == ({}, frozenset(), ())
    assert candidate_numbers(silent) == {"a#1": [101, 102], "b#1": [101, 102]}


def test_one_telling_row_settles_the_silent_one() -> None:
    """A row that only the credit order can be leaves the other one to the order for cash."""
    twins = [claimant("a#1"), claimant("b#1", CREDIT_BUY)]
    assert numbers(find(twins, [row(101), row(102, is_credit=True)])) == {"a#1": 101, "b#1": 102}


def test_silent_row_keeps_both_twins_open() -> None:
    """One row that may be either: nothing is claimed, and neither is absent."""
    matching = find([claimant("a#1"), claimant("b#1", CREDIT_BUY)], [row(101)])
    assert (matching.bindings, matching.absent) == ({}, frozenset())


def test_row_of_the_other_kind_does_not_block_an_absence() -> None:
    """An order for cash is absent although one on credit with the same fields is listed, and the other way round."""
    assert find([claimant()], [row(101, is_credit=True)]).absent == {"a#1"}
    assert find([claimant(request=CREDIT_BUY)], [row(101, is_credit=False)]).absent == {"a#1"}


@pytest.mark.parametrize(
    ("own", "text", "expected"),
    [
        (set(), OWN, Relation.LIKELY),
        (set(), OTHER, Relation.POSSIBLE),
        ({OTHER}, OTHER, Relation.LIKELY),
        ({OWN}, OWN, Relation.LIKELY),
        ({OWN}, f" {OWN} ", Relation.LIKELY),
        ({OWN}, OTHER, Relation.POSSIBLE),
        ({OWN}, "", Relation.LIKELY),
        ({OWN}, "영웅문S#", Relation.NONE),
        (set(), HOME_TRADING, Relation.NONE),
        ({HOME_TRADING}, HOME_TRADING, Relation.POSSIBLE),
    ],
)
def test_channel_is_three_valued(own: set[str], text: str, expected: Relation) -> None:
    """A person's order is excluded, an own channel may be claimed, a channel merely different blocks."""
    assert ChannelKnowledge(frozenset(own)).relation(text) is expected


def test_unfamiliar_channel_blocks_absence_and_is_not_claimed() -> None:
    """A wrong exclusion would double the order, a wrong claim could cancel somebody's."""
    matching = find([claimant()], [row(101, channel=OTHER)])
    assert (matching.bindings, matching.absent) == ({}, frozenset())
    assert candidate_numbers(matching) == {"a#1": [101]}
    assert matching.alarms == ()


def test_unfamiliar_channel_does_not_hide_the_own_order() -> None:
    """The row with our own channel must be ours, so it is claimed although another one looks alike."""
    assert numbers(find([claimant()], [row(101, channel=OTHER), row(102)])) == {"a#1": 102}


@pytest.mark.parametrize(
    ("request_", "changes", "expected"),
    [
        (MODIFY, {"price": 70_500}, Relation.LIKELY),
        (MODIFY, {"price": 70_500, "quantity": 3}, Relation.LIKELY),
        (MODIFY, {"price": 70_000}, Relation.NONE),
        (evolve(MODIFY, quantity=3), {"price": 70_500, "quantity": 3}, Relation.LIKELY),
        (evolve(MODIFY, quantity=3), {"price": 70_500, "quantity": 4}, Relation.NONE),
        (MODIFY, {"price": 70_500, "original": "0000051"}, Relation.NONE),
        (MODIFY, {"price": 70_500, "original": None}, Relation.POSSIBLE),
        (evolve(MODIFY, side=Side.SELL), {"price": 70_500}, Relation.NONE),
        (CANCEL, {"quantity": 3}, Relation.LIKELY),
        (evolve(CANCEL, quantity=3), {"quantity": 3}, Relation.LIKELY),
        (evolve(CANCEL, quantity=3), {"quantity": 10, "confirmed_quantity": 3}, Relation.LIKELY),
        (evolve(CANCEL, quantity=3), {"quantity": 4, "confirmed_quantity": 4}, Relation.NONE),
        # More than was left was asked for: the form of such a row is not known.
        (evolve(CANCEL, quantity=3), {"quantity": 2, "confirmed_quantity": 2}, Relation.POSSIBLE),
        (evolve(MODIFY, quantity=10), {"price": 70_500, "quantity": 6, "confirmed_quantity": 6}, Relation.POSSIBLE),
        (evolve(MODIFY, quantity=10), {"price": 70_500, "quantity": 0, "confirmed_quantity": 10}, Relation.POSSIBLE),
        (evolve(MODIFY, quantity=6), {"price": 70_500, "quantity": 10, "confirmed_quantity": 10}, Relation.NONE),
        (evolve(CANCEL, original="50"), {}, Relation.LIKELY),
        (evolve(CANCEL, route=Route.SOR), {"route": Route.KRX}, Relation.LIKELY),
        (CANCEL, {"action": Action.MODIFY}, Relation.NONE),
        (evolve(CANCEL, price=70_500), {"price": 70_000}, Relation.LIKELY),
        (
            evolve(MODIFY, order_type=OrderType.LIMIT),
            {"price": 70_500, "order_types": frozenset({OrderType.LIMIT_IOC})},
            Relation.LIKELY,
        ),
    ],
)
def test_modify_and_cancel_are_found_by_the_original_they_name(
    request_: OrderRequest, changes: dict[str, Any], expected: Relation
) -> None:
    """The original number is echoed, so attribution is easy; the quantity and the new price must fit."""
    listed = row(101, **{"action": request_.action, "original": "0000050", **changes})
    assert relation(claimant(request=request_), listed, LEARNT) is expected


def test_row_that_names_an_ancestor_blocks_without_a_claim() -> None:
    """Whether the ledger names the root of a chain or its last link is not known."""
    listed = row(101, action=Action.CANCEL, original="0000040")
    told = [
        relation(claimant(request=CANCEL, ancestors=ancestors), listed, LEARNT)
        for ancestors in (frozenset(), frozenset({"0000040"}))
    ]
    assert told == [Relation.NONE, Relation.POSSIBLE]


@pytest.mark.parametrize(
    ("changes", "looked", "is_hidden_possible"),
    [
        ({}, 1044.9, True),
        ({}, 1045.0, False),
        ({"is_answered": True}, 1034.9, True),
        ({"is_answered": True}, 1035.0, False),
        ({"boot_id": "another"}, 9999.0, True),
        ({"ended": None, "ended_at": None}, 9999.0, True),
    ],
)
def test_attempt_may_be_hidden_until_both_bounds_are_over(
    changes: dict[str, Any], looked: float, is_hidden_possible: bool
) -> None:
    """Ended, dead 10 s later, listed another 5 s later: only a look begun after that can show an absence."""
    assert seen(attempt(**changes), looked=looked).is_hidden_possible is is_hidden_possible


# Against every possible world.

EXAMPLES = 500
_DAYS = tuple(DAY + timedelta(days=offset) for offset in range(4))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Claimant], list[LedgerOrder], bool]:
    """Draw attempts that nearly all look alike, and rows that any subset of them may be."""
    size = draw(st.integers(1, 6))
    requests = draw(st.sampled_from([[BUY], [BUY, evolve(BUY, quantity=11)], [BUY, CREDIT_BUY]]))
    shared = draw(st.sampled_from([None, None, _DAYS[:2]]))
    claimants = []
    for place in range(size):
        is_claimable = draw(st.sampled_from([True, True, True, False]))
        days = shared or tuple(sorted(draw(st.sets(st.sampled_from(_DAYS), min_size=1))))
        claimants.append(
            claimant(
                f"{chr(97 + place)}#1",
                draw(st.sampled_from(requests)),
                day=DAY - timedelta(days=1),
                # Marks of another day relate nothing, and make the outlook differ.
                mark=draw(st.integers(0, 1)),
                days=days,
                latest=None,
                age=(float(draw(st.integers(0, 3))), 1),
                obligation=draw(st.sampled_from(["", "", "", "cancel it"])) if is_claimable else f"flying {place}",
                is_claimable=is_claimable,
                is_hidden_possible=draw(st.booleans()),
            )
        )
    rows = [
        row(
            200 + draw(st.integers(0, 50)) * 10 + place,
            day=draw(st.sampled_from(_DAYS)),
            quantity=draw(st.sampled_from([10, 10, 10, 11])),
            channel=draw(st.sampled_from([OWN, OWN, OWN, OTHER, HOME_TRADING])),
            is_credit=draw(st.sampled_from([None, None, True, False])) if CREDIT_BUY in requests else None,
        )
        for place in range(draw(st.integers(0, 6 if size < 6 else 5)))
    ]
    return claimants, rows, draw(st.sampled_from([True, True, True, False]))


@settings(max_examples=EXAMPLES, deadline=None)
@given(problems())
def test_matcher_reports_what_is_true_in_every_world_and_all_of_it(
    problem: tuple[list[Claimant], list[LedgerOrder], bool],
) -> None:
    """Nothing reported fails in any world, and nothing that holds in all of them is kept back."""
    claimants, rows, is_exclusive = problem
    find(claimants, rows, is_exclusive=is_exclusive)


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Claimant], list[LedgerOrder]]:
    """Draw cancels of a chain of orders: a row may be likely for one attempt and possible for another."""
    claimants = []
    for place in range(draw(st.integers(1, 5))):
        last = draw(st.sampled_from(["0000050", "0000060"]))
        claimants.append(
            claimant(
                f"{chr(97 + place)}#1",
                evolve(CANCEL, original=last),
                mark=draw(st.sampled_from([100, 100, 102])),
                ancestors=draw(st.sampled_from([frozenset(), frozenset({"0000050"})])),
                is_hidden_possible=draw(st.booleans()),
            )
        )
    rows = [
        row(
            101 + place,
            action=Action.CANCEL,
            original=draw(st.sampled_from(["0000050", "0000060", None])),
        )
        for place in range(draw(st.integers(0, 5)))
    ]
    return claimants, rows


@st.composite
def tight_problems(draw: st.DrawFn) -> tuple[list[Claimant], list[LedgerOrder], bool]:
    """Draw about as many rows as attempts, all ours: little freedom is left, and long detours matter."""
    size = draw(st.integers(3, 5))
    days = draw(st.lists(st.sampled_from(_DAYS), min_size=size - 1, max_size=size))
    rows = [row(201 + place, day=day) for place, day in enumerate(days)]
    claimants = [
        claimant(
            f"{chr(97 + place)}#1",
            day=DAY - timedelta(days=1),
            mark=draw(st.integers(0, 1)),
            days=tuple(sorted(draw(st.sets(st.sampled_from(_DAYS), min_size=1, max_size=3)))),
            latest=None,
            obligation=draw(st.sampled_from(["", "", "cancel it"])),
            is_hidden_possible=draw(st.booleans()),
        )
        for place in range(size)
    ]
    return claimants, rows, True


@settings(max_examples=EXAMPLES, deadline=None)
@given(tight_problems())
def test_matcher_follows_long_detours(problem: tuple[list[Claimant], list[LedgerOrder], bool]) -> None:
    """Whether a row can be another's may depend on attempts that have nothing to do with it directly."""
    claimants, rows, is_exclusive = problem
    find(claimants, rows, is_exclusive=is_exclusive)


@settings(max_examples=EXAMPLES, deadline=None)
@given(chains())
def test_row_likely_for_one_and_possible_for_another_is_settled_as_the_worlds_say(
    problem: tuple[list[Claimant], list[LedgerOrder]],
) -> None:
    """A row that must be covered may be covered by an attempt that may not claim it."""
    find(*problem)


@given(problems(), st.integers())
@settings(max_examples=100, deadline=None)
def test_result_does_not_depend_on_the_order_of_the_arguments(
    problem: tuple[list[Claimant], list[LedgerOrder], bool], seed: int
) -> None:
    """The same evidence gives the same answer in every process and after every restart."""
    claimants, rows, is_exclusive = problem
    first = match(claimants, rows, is_exclusive=is_exclusive, channels=LEARNT)
    random = Random(seed)  # noqa: S311 - a replayable shuffle
    random.shuffle(claimants)
    random.shuffle(rows)
    assert match(claimants, rows, is_exclusive=is_exclusive, channels=LEARNT) == first


def minute_of_orders(count: int) -> tuple[list[Claimant], list[LedgerOrder]]:
    """Make the unknowns of a bad minute and their ledger: identical ones, distinct ones, chained windows."""
    at_nine = datetime.combine(DAY, time(9), KST)
    twins = [claimant(f"t{index:03d}#1", age=(index, 1)) for index in range(count)]
    distinct = [claimant(f"d{index:03d}#1", evolve(BUY, symbol=f"{index:06d}")) for index in range(count)]
    chained = [
        claimant(
            f"c{index:03d}#1",
            evolve(BUY, quantity=77),
            obligation=str(index),
            earliest=at_nine + timedelta(seconds=index),
            latest=at_nine + timedelta(seconds=index + 20),
        )
        for index in range(count)
    ]
    rows = [
        *(row(1000 + index) for index in range(count)),
        *(row(2000 + index, symbol=f"{index:06d}") for index in range(0, count, 2)),
        *(row(3000 + index, quantity=77, ordered_at=at_nine + timedelta(seconds=index)) for index in range(count)),
    ]
    return [*twins, *distinct, *chained], rows


def test_cost_of_a_bad_minute_grows_no_faster_than_the_square_of_its_orders() -> None:
    """One snapshot resolves hundreds of unknowns; three times as many take nine times as long, and not for ever."""
    spent = {}
    for count in (100, 300):
        claimants, rows = minute_of_orders(count)
        began = process_time()
        matching = match(claimants, rows, is_exclusive=True, channels=LEARNT)
        spent[count] = process_time() - began
        assert len(matching.bindings) == count + count // 2 + count
        assert len(matching.absent) == count // 2
        assert matching.bindings["c050#1"].number == 3050
    assert spent[300] < 20 * spent[100], f"took {spent}"
