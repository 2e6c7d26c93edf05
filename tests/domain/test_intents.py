"""Requests in one normal form, and the times an attempt can have an effect in."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.settings import KST, Environment, Reliance, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.trading_calendar import TradingCalendar
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderType, Route, Side

NOON = datetime(2026, 11, 2, 12, 0, 0, 700_000, tzinfo=KST)
DAY, NEXT = date(2026, 11, 2), date(2026, 11, 3)
TIMING = Timing(acceptance_bound=10.0, clock_skew=5.0)
BUY = OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, 70_000, OrderType.LIMIT, Route.KRX)
ATTEMPT = Attempt("order-1", 2, "key-a", BUY, Delivery.UNKNOWN, DAY, 0, "runner", "boot", NOON, 100.0, 105.0)

OTHER: dict[str, Any] = {
    "desk": Desk.CREDIT,
    "action": Action.CANCEL,
    "symbol": "000660",
    "side": Side.SELL,
    "quantity": 11,
    "price": 70_100,
    "order_type": OrderType.LIMIT_IOC,
    "route": Route.SOR,
    "stop_price": 1,
    "original": "0000101",
    "credit": CreditKind.LOAN,
    "loan_date": date(2026, 10, 1),
}
LOAN_SALE = evolve(BUY, desk=Desk.CREDIT, side=Side.SELL, credit=CreditKind.ALL_LOANS)


@pytest.mark.parametrize("name", OTHER)
def test_every_field_is_part_of_a_request(name: str) -> None:
    """Two requests that differ in one field are another class, and the difference is named."""
    base = LOAN_SALE if name in {"credit", "loan_date"} else BUY
    other = evolve(base, **{name: OTHER[name]})
    assert other.fingerprint != base.fingerprint
    assert base.differences(other) == {name: (getattr(base, name), OTHER[name])}


def test_no_field_is_forgotten() -> None:
    """A field that is added is compared; the day of a number is not, so that an id keeps its answer on the next."""
    assert {*OTHER, "target", "original_day"} == {name for name in BUY.__slots__ if not name.startswith("__")}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("request_", "fingerprint"),
    [
        (BUY, "stock|new|005930|buy|10|70000|limit|KRX||"),
        (
            OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.SELL, 3, 180_000, OrderType.LIMIT),
            "gold|new|M04020000|sell|3|180000|limit|||",
        ),
        (
            evolve(BUY, action=Action.CANCEL, quantity=None, price=None, order_type=None, original="0000101"),
            "stock|cancel|005930|buy||||KRX||0000101",
        ),
        (evolve(BUY, desk=Desk.CREDIT), "credit|new|005930|buy|10|70000|limit|KRX||"),
        (LOAN_SALE, "credit|new|005930|sell|10|70000|limit|KRX|||all_loans|"),
        (
            evolve(LOAN_SALE, credit=CreditKind.LOAN, loan_date=date(2026, 10, 1)),
            "credit|new|005930|sell|10|70000|limit|KRX|||loan|2026-10-01",
        ),
    ],
)
def test_fingerprints_never_change(request_: OrderRequest, fingerprint: str) -> None:
    """Journals hold them: what credit orders add stands behind, and only where there is some."""
    assert request_.fingerprint == fingerprint


def test_same_request_is_the_same() -> None:
    """Equal requests have one fingerprint and no differences."""
    again = evolve(BUY)
    assert again.fingerprint == BUY.fingerprint
    assert BUY.differences(again) == {}


def test_no_price_is_not_zero() -> None:
    """Neighbouring fields cannot be taken for each other."""
    market = evolve(BUY, price=None, order_type=OrderType.MARKET)
    assert evolve(market, quantity=None, price=10).fingerprint != market.fingerprint


@pytest.mark.parametrize(
    ("request_", "is_repeatable"),
    [
        (BUY, False),
        (evolve(BUY, quantity=None), False),
        (evolve(BUY, action=Action.MODIFY, quantity=None), False),
        (evolve(BUY, action=Action.CANCEL, quantity=3), False),
        (evolve(BUY, action=Action.CANCEL, quantity=None), True),
    ],
)
def test_only_a_full_cancel_is_repeatable(request_: OrderRequest, is_repeatable: bool) -> None:
    """Twice is the same as once for a cancel of all that is left, and for nothing else."""
    assert request_.is_repeatable is is_repeatable


def test_obligation_is_aimed_at_a_number() -> None:
    """The request that goes on the wire names the number, and is otherwise what was decided."""
    waiting = evolve(BUY, action=Action.CANCEL, quantity=None, target="order-0")
    aimed = waiting.aimed_at("0000101", date(2026, 11, 9))
    assert aimed.original == "0000101"
    assert evolve(aimed, original=None, original_day=None) == waiting
    assert aimed.may_be_sent_on(date(2026, 11, 9))
    assert not aimed.may_be_sent_on(date(2026, 11, 10))


def test_request_for_an_order_of_ours_is_the_same_before_and_after_its_number() -> None:
    """An obligation repeated once the number is known is the same request; one for another order is not."""
    waiting = evolve(BUY, action=Action.CANCEL, quantity=None, target="order-0")
    other = evolve(waiting, target="order-1")
    assert waiting.differences(waiting.aimed_at("0000101", date(2026, 11, 9))) == {}
    assert waiting.aimed_at("0000101", date(2026, 11, 9)).differences(waiting) == {}
    assert waiting.differences(other) == {"target": ("order-0", "order-1")}
    assert waiting.fingerprint != other.fingerprint
    assert waiting.is_obligation
    assert not waiting.aimed_at("0000101", date(2026, 11, 9)).is_obligation
    assert not BUY.is_obligation


def test_records_are_frozen() -> None:
    """Nobody changes a request after it was decided."""
    with pytest.raises(FrozenInstanceError):
        BUY.quantity = 11  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        ATTEMPT.state = Delivery.NOT_SENT  # type: ignore[misc]


def test_attempt_has_a_key() -> None:
    """Id and number."""
    assert ATTEMPT.key == "order-1#2"


def test_attempt_is_dead_after_the_acceptance_bound() -> None:
    """Never while the sender may write; at once where Kiwoom itself answered; else after the bound."""
    assert ATTEMPT.dead_after(TIMING) is None
    assert evolve(ATTEMPT, is_answered=True).dead_after(TIMING) is None
    ended = evolve(ATTEMPT, ended=103.0, ended_at=NOON + timedelta(seconds=3))
    assert ended.dead_after(TIMING) == 113.0
    assert evolve(ended, is_answered=True).dead_after(TIMING) == 103.0


def test_accepted_request_is_listed_after_both_bounds() -> None:
    """However late it was accepted; the answer itself leaves only the second bound to be waited for."""
    timing = evolve(TIMING, visibility_bound=5.0)
    assert not ATTEMPT.is_listed_by(1e9, timing)
    ended = evolve(ATTEMPT, ended=103.0, ended_at=NOON + timedelta(seconds=3))
    assert [ended.is_listed_by(moment, timing) for moment in (118.0, 118.1)] == [False, True]
    answered = evolve(ended, is_answered=True)
    assert [answered.is_listed_by(moment, timing) for moment in (108.0, 108.1)] == [False, True]


def test_longer_bounds_of_the_sender_count() -> None:
    """The process that looks may rely on shorter ones: the attempt is dead no earlier than its sender had to expect."""
    cautious = Reliance.of(evolve(TIMING, acceptance_bound=20, clock_skew=40), is_exclusive=True)
    ended = evolve(ATTEMPT, ended=103.0, ended_at=NOON + timedelta(seconds=3), relied_on=cautious)
    assert ended.dead_after(TIMING) == 123.0
    earliest = datetime(2026, 11, 2, 11, 59, 20, tzinfo=KST)
    assert ended.acceptance_window(TIMING) == (earliest, NOON + timedelta(seconds=3 + 20 + 1 + 40))
    assert ended.acceptance_window(evolve(TIMING, acceptance_bound=30))[1] == NOON + timedelta(seconds=74)
    late = evolve(ended, dispatched_at=NOON.replace(hour=23, minute=59, second=30), ended_at=None, ended=None)
    assert late.days(TIMING, Environment(rest_url="http://127.0.0.1:9000")) == (DAY,)
    over = evolve(late, ended=103.0, ended_at=late.dispatched_at + timedelta(seconds=3))
    assert over.days(TIMING, Environment(rest_url="http://127.0.0.1:9000")) == (DAY, NEXT)


def test_proven_difference_of_the_clocks_comes_on_top_of_the_senders_bound() -> None:
    """As it does with this process's own (A11); where the sender's is not known, there is nothing to add to."""
    cautious = Reliance.of(evolve(TIMING, clock_skew=40), is_exclusive=True)
    sent = evolve(ATTEMPT, relied_on=cautious)
    assert [sent.with_clocks_apart(proven).bounds(TIMING).clock_skew for proven in (7, 40, 41)] == [40, 40, 81]
    assert ATTEMPT.with_clocks_apart(7) is ATTEMPT
    assert ATTEMPT.bounds(TIMING) is TIMING


@pytest.mark.parametrize("skew", [0.5, 1.0, 2.75])
def test_acceptance_window_holds_any_bound_on_the_clocks(skew: float) -> None:
    """An order that the broker shows by the whole second is in the window, however little the clocks differ."""
    for fraction in range(0, 1_000_000, 50_000):
        dispatched_at = NOON.replace(microsecond=fraction)
        shown = (dispatched_at - timedelta(seconds=skew)).replace(microsecond=0)
        attempt = evolve(ATTEMPT, dispatched_at=dispatched_at)
        assert attempt.acceptance_window(evolve(TIMING, clock_skew=skew))[0] <= shown


def test_acceptance_window_allows_for_both_clocks() -> None:
    """From the second of the dispatch to the bound after the end, widened by the skew; open while it is not ended."""
    earliest = datetime(2026, 11, 2, 11, 59, 55, tzinfo=KST)
    assert ATTEMPT.acceptance_window(TIMING) == (earliest, None)
    ended = evolve(ATTEMPT, ended=103.0, ended_at=NOON + timedelta(seconds=3))
    assert ended.acceptance_window(TIMING) == (earliest, NOON + timedelta(seconds=3 + 10 + 1 + 5))


@pytest.mark.parametrize(
    ("moment", "seconds", "environment", "days"),
    [
        ((12, 0, 0), 3, Environment.LIVE, (DAY,)),
        ((7, 0, 0), 3, Environment.LIVE, (DAY,)),
        ((6, 59, 59), 3, Environment.LIVE, (DAY, NEXT)),
        ((19, 59, 59), 3, Environment.LIVE, (DAY,)),
        ((20, 0, 0), 3, Environment.LIVE, (DAY, NEXT)),
        ((21, 0, 0), None, Environment.MOCK, (DAY, NEXT)),
        ((21, 0, 0), 3, Environment(rest_url="http://127.0.0.1:9000"), (DAY,)),
        ((23, 59, 50), 3, Environment(rest_url="http://127.0.0.1:9000"), (DAY, NEXT)),
        ((0, 0, 3), 3, Environment(rest_url="http://127.0.0.1:9000"), (date(2026, 11, 1), DAY)),
    ],
)
def test_days_whose_ledger_may_list_it(
    moment: tuple[int, int, int], seconds: int | None, environment: Environment, days: tuple[date, ...]
) -> None:
    """Its own day, the other side of midnight, and the next day where the market was closed."""
    sent = datetime(2026, 11, 2, *moment, tzinfo=KST)
    ended_at = None if seconds is None else sent + timedelta(seconds=seconds)
    attempt = evolve(ATTEMPT, dispatched_at=sent, ended=None if seconds is None else 103.0, ended_at=ended_at)
    assert attempt.days(TIMING, environment) == days


NEW_HOLIDAY = TradingCalendar(closed_days=[date(2026, 11, 3)])


@pytest.mark.parametrize(
    ("sent", "last", "environment"),
    [
        pytest.param("2026-11-06 21:00", date(2026, 11, 9), Environment.LIVE, id="Friday evening"),
        pytest.param("2026-11-07 12:00", date(2026, 11, 9), Environment.LIVE, id="Saturday noon"),
        pytest.param("2026-11-08 23:00", date(2026, 11, 9), Environment.LIVE, id="Sunday evening"),
        pytest.param("2026-09-23 20:00", date(2026, 9, 28), Environment.LIVE, id="before a holiday"),
        pytest.param("2026-09-24 10:00", date(2026, 9, 28), Environment.LIVE, id="on a holiday"),
        pytest.param(
            "2026-11-02 21:00",
            date(2026, 11, 4),
            evolve(Environment.LIVE, trading_calendar=NEW_HOLIDAY),
            id="before a holiday that the user has told",
        ),
        pytest.param("2031-03-03 21:00", date(2031, 3, 14), Environment.LIVE, id="nothing is known of the days"),
        pytest.param("2031-03-03 12:00", date(2031, 3, 3), Environment.LIVE, id="within hours, nothing known"),
        pytest.param(
            "2026-11-07 12:00", date(2026, 11, 7), Environment(rest_url="http://127.0.0.1:9000"), id="no hours"
        ),
    ],
)
def test_days_up_to_the_next_trading_day(sent: str, last: date, environment: Environment) -> None:
    """What was sent while nothing traded may show up until trading has gone on; where that is not known, longer."""
    moment = datetime.fromisoformat(sent).replace(tzinfo=KST)
    first = moment.date()
    days = evolve(ATTEMPT, dispatched_at=moment, day=first).days(TIMING, environment)
    assert days == tuple(first + timedelta(days=count) for count in range((last - first).days + 1))


def test_clock_that_was_set_widens_the_window_both_ways() -> None:
    """Within one boot a step of the wall clock is seen, and the window holds for both readings of it."""
    timing = Timing()
    sent = evolve(ATTEMPT, ended=ATTEMPT.dispatched + 3, ended_at=ATTEMPT.dispatched_at + timedelta(seconds=3))
    later = sent.dispatched + 60
    for step in (-45.0, 45.0, 700.0, -700.0, 36_000.0):
        now = sent.dispatched_at + timedelta(seconds=60 + step)
        assert sent.clock_step(now, later, sent.boot_id) == step
        dated = sent.dated_by(now, later, sent.boot_id)
        (earliest, latest), (before, after) = dated.acceptance_window(timing), sent.acceptance_window(timing)
        assert latest is not None
        assert after is not None
        moved = timedelta(seconds=step)
        assert (earliest, latest) == (min(before, before + moved), max(after, after + moved))
        assert (dated.dispatched, dated.ended, dated.key) == (sent.dispatched, sent.ended, sent.key)


@pytest.mark.parametrize(
    ("step", "boot_id"), [(0.0, "boot"), (0.9, "boot"), (-0.9, "boot"), (3600.0, "another"), (-45.0, "another")]
)
def test_clock_that_was_not_set_changes_nothing(step: float, boot_id: str) -> None:
    """Two readings that were not taken at once, another run of the machine."""
    sent = evolve(ATTEMPT, boot_id="boot")
    now = sent.dispatched_at + timedelta(seconds=60 + step)
    assert sent.clock_step(now, sent.dispatched + 60, boot_id) == 0.0
    assert sent.dated_by(now, sent.dispatched + 60, boot_id) is sent


@pytest.mark.parametrize("days", [-3, -1, 1, 3])
def test_clock_that_was_set_by_days_asks_the_ledgers_of_both(days: int) -> None:
    """By either clock the order may stand on either side of midnight; the days between are asked as well."""
    sent = evolve(
        ATTEMPT,
        dispatched_at=datetime(2026, 11, 2, 23, 59, 55, tzinfo=KST),
        ended=ATTEMPT.dispatched + 3,
        ended_at=datetime(2026, 11, 2, 23, 59, 58, tzinfo=KST),
    )
    now = sent.dispatched_at + timedelta(seconds=60, days=days)
    dated = sent.dated_by(now, sent.dispatched + 60, sent.boot_id)
    both = {DAY, NEXT, DAY + timedelta(days=days), NEXT + timedelta(days=days)}
    assert set(dated.days(TIMING, Environment(rest_url="http://127.0.0.1:9000"))) >= both


def test_end_that_was_noted_days_later_asks_every_day_between() -> None:
    """Sent right before midnight by a process that died, found dead days later: the order may be on the next day's."""
    sent = datetime(2026, 11, 2, 23, 59, 55, tzinfo=KST)
    late = timedelta(days=3)
    attempt = evolve(ATTEMPT, dispatched_at=sent, ended=ATTEMPT.dispatched + late.total_seconds(), ended_at=sent + late)
    days = attempt.days(TIMING, Environment(rest_url="http://127.0.0.1:9000"))
    assert days == tuple(DAY + timedelta(days=count) for count in range(5))


def test_clock_that_was_set_by_years_does_not_ask_a_thousand_ledgers() -> None:
    """A machine that starts in 1970: by either clock the order is at an end of the window."""
    sent = datetime(1970, 1, 1, 9, tzinfo=KST)
    attempt = evolve(
        ATTEMPT,
        day=sent.date(),
        dispatched_at=sent,
        ended=ATTEMPT.dispatched + 3,
        ended_at=datetime.combine(DAY, sent.timetz()),
    )
    assert len(attempt.days(TIMING, Environment(rest_url="http://127.0.0.1:9000"))) <= 6
