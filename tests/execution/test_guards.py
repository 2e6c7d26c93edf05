"""What one process holds back by itself, at which price it counts orders, and what the kill switch waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, cast

import anyio
import pytest
from attrs import Factory, define, evolve

from kiwoom_async._domain.guards import KillSwitchState, OrderLimits, Totals
from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.settings import Environment
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.trading_calendar import TradingCalendar
from kiwoom_async._domain.vocabulary import Desk, OrderType
from kiwoom_async._execution.guards import OrderGuards, ReferencePrices, engage
from kiwoom_async._journal.guards import Terms
from kiwoom_async._wire.answers import Page
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import KiwoomError, LimitExceeded, NotSent, QueryFailed, Refused, ValidationError
from tests.domain.test_matching import BUY, CANCEL, MODIFY, attempt
from tests.journal.builders import DAY, NOON, FixedAmbient

MARKET: Final = evolve(BUY, price=None, order_type=OrderType.MARKET)
ENGAGED: Final = KillSwitchState(is_engaged=True, reason="too fast", by="kim", at=NOON)
EVENING: Final = 1000.0 + 9 * 3600
LIMITS: Final = OrderLimits(value_per_day=10_000_000)


@define
class Around:
    """A gateway and a journal, and what they were asked."""

    ambient: FixedAmbient = Factory(FixedAmbient)
    quote: Mapping[str, str] | KiwoomError = Factory(
        lambda: {"cur_prc": "+70000", "base_pric": "70000", "upl_pric": "+91000", "lst_pric": "-49000"}
    )
    asked: list[str] = Factory(list)
    seconds: list[float] = Factory(list)
    switch: KillSwitchState = Factory(KillSwitchState)
    switch_looks: int = 0
    totals: Mapping[tuple[date, str], Totals] = Factory(dict)
    permitted: Callable[[float], Sequence[Attempt]] = lambda _: ()

    async def fetch_page(self, call: Call) -> Page:
        """Answer with a quote, after a turn of the event loop."""
        self.asked.append(call.body["stk_cd"])
        self.seconds.append(round(anyio.current_effective_deadline() - anyio.current_time(), 1))
        await anyio.lowlevel.checkpoint()
        if isinstance(self.quote, KiwoomError):
            raise self.quote
        return Page(self.quote, None)

    async def kill_switch(self) -> KillSwitchState:
        """Tell how the switch stands."""
        self.switch_looks += 1
        return self.switch

    async def day_totals(self, day: date, symbol: str = "") -> Totals:
        """Tell what was sent."""
        return self.totals.get((day, symbol), Totals())

    async def move_switch(self, state: KillSwitchState) -> KillSwitchState:
        """Move the switch, and tell it as it is kept."""
        self.switch = evolve(state, by=f"{state.by}, process 7")
        return self.switch

    async def permitted_attempts(self) -> tuple[Attempt, ...]:
        """Tell what may be leaving at this moment."""
        return tuple(self.permitted(self.ambient.seconds))

    def prices(self, limits: OrderLimits | None = None) -> ReferencePrices:
        """Give the prices at which orders are counted."""
        environment = Environment("http://127.0.0.1")
        return ReferencePrices(cast("Any", self), self.ambient, limits, TradingCalendar(), environment)

    def guards(self, limits: OrderLimits | None = None, *, may_send: bool = True, is_dry: bool = False) -> OrderGuards:
        """Give the guards."""
        return OrderGuards(
            cast("Any", self), self.prices(limits), limits, self.ambient, may_send=may_send, is_dry=is_dry
        )


# ---------------------------------------------------------------------- prices


async def test_order_without_a_price_is_counted_at_the_upper_limit_of_today() -> None:
    """It is asked once a day and symbol, also by orders that come at the same time."""
    around = Around()
    prices = around.prices()
    found = []

    async def get(request: OrderRequest) -> None:
        found.append(await prices.get(request, None))

    async with anyio.create_task_group() as group:
        group.start_soon(get, MARKET)
        group.start_soon(get, MARKET)
    await get(MARKET)
    assert found == [91_000] * 3
    assert around.asked == ["005930"]
    await get(evolve(MARKET, symbol="000660"))
    around.ambient.seconds += 86_400
    await get(MARKET)
    assert around.asked == ["005930", "000660", "005930"]


async def test_price_of_the_setting_is_asked_from_nobody() -> None:
    """Other symbols are asked all the same."""
    around = Around()
    prices = around.prices(OrderLimits(reference_prices={"005930": 80_000}))
    assert await prices.get(MARKET, None) == 80_000
    assert around.asked == []
    assert await prices.get(evolve(MARKET, symbol="000660"), None) == 91_000


async def test_limit_that_may_be_of_yesterday_is_counted_with_the_most_that_the_next_can_be() -> None:
    """And is not kept for the next order."""
    around = Around(FixedAmbient(monotonic=EVENING))
    prices = around.prices()
    assert await prices.get(MARKET, None) == await prices.get(MARKET, None) == 118_300
    assert len(around.asked) == 2


@pytest.mark.parametrize(("deadline", "seconds"), [(None, float("inf")), (1010.0, 5.0), (1003.0, 1.5)])
async def test_quote_may_take_half_of_the_time_that_the_order_has(deadline: float | None, seconds: float) -> None:
    """The other half is for the order."""
    around = Around()
    assert await around.prices().get(MARKET, deadline) == 91_000
    assert around.seconds == [seconds]


async def test_order_whose_time_is_over_cannot_be_valued() -> None:
    """It says why, and what else can be done."""
    with pytest.raises(ValidationError, match=r"quote did not come within 0\.0 s.*reference_prices=\{'005930'"):
        await Around().prices().get(MARKET, 990.0)


@pytest.mark.parametrize(
    ("quote", "why"),
    [
        (QueryFailed("ka10001", "no connection"), "no connection"),
        (Refused("too many requests", code="1700", broker_message="no"), "too many requests"),
        ({"cur_prc": "", "base_pric": "", "upl_pric": "", "lst_pric": ""}, "the symbol has none today"),
    ],
)
@pytest.mark.parametrize("moment", [1000.0, EVENING])
async def test_order_is_not_counted_at_a_guess(quote: Mapping[str, str] | KiwoomError, why: str, moment: float) -> None:
    """Failure is not zero: it is refused, and the next order asks again."""
    around = Around(FixedAmbient(monotonic=moment), quote)
    prices = around.prices()
    for _ in range(2):
        with pytest.raises(ValidationError, match=why) as caught:
            await prices.get(MARKET, None)
        assert caught.value.argument == "price"
    assert len(around.asked) == 2


async def test_gold_has_no_quote_and_is_not_asked() -> None:
    """Its price has to be given."""
    around = Around()
    with pytest.raises(ValidationError, match="gold has no such quote"):
        await around.prices().get(evolve(MARKET, desk=Desk.GOLD, symbol="M04020000"), None)
    assert around.asked == []


# ---------------------------------------------------------------------- what may go on its way


def test_dry_run_sends_nothing_at_all() -> None:
    """Whatever gets that far; the error names the order."""
    with pytest.raises(NotSent, match=r"'order-1' was not sent: dry_run=True") as caught:
        Around().guards(is_dry=True).require_wet("order-1")
    assert caught.value.client_order_id == "order-1"
    Around().guards().require_wet("order-1")


@pytest.mark.parametrize("request_of_it", [BUY, MODIFY, CANCEL])
@pytest.mark.parametrize("may_send", [True, False])
@pytest.mark.parametrize("is_dry", [True, False])
async def test_real_money_needs_the_switch_of_its_own(
    request_of_it: OrderRequest, *, may_send: bool, is_dry: bool
) -> None:
    """Cancels need none: they take risk away. A dry run is held back elsewhere."""
    guards = Around().guards(may_send=may_send, is_dry=is_dry)
    if may_send or is_dry or request_of_it is CANCEL:
        assert await guards.examine("order-1", request_of_it, None) == Terms()
        return
    with pytest.raises(ValidationError, match="allow_live_orders=True") as caught:
        await guards.examine("order-1", request_of_it, None)
    assert caught.value.argument == "allow_live_orders"
    assert caught.value.value is False


async def test_journal_is_asked_for_the_switch_only_after_an_order_was_held() -> None:
    """Until it is released; cancels go through meanwhile."""
    around = Around(switch=ENGAGED)
    guards = around.guards(LIMITS)
    assert await guards.examine("order-1", BUY, None) == Terms(LIMITS)
    guards.note(ValidationError("price", 1, "two"))
    assert await guards.examine("order-1", BUY, None) == Terms(LIMITS)
    assert around.switch_looks == 0
    guards.note(NotSent("halted"))
    guards.note(ValidationError("price", 1, "two"))
    for _ in range(2):
        with pytest.raises(NotSent, match=r"'order-2' was not sent: the kill switch.*by kim \(too fast\)") as caught:
            await guards.examine("order-2", BUY, None)
        assert caught.value.client_order_id == "order-2"
    assert await guards.examine("cancel-1", CANCEL, None) == Terms()
    around.switch = KillSwitchState()
    assert await guards.examine("order-2", BUY, None) == Terms(LIMITS)
    assert await guards.examine("order-2", BUY, None) == Terms(LIMITS)
    assert around.switch_looks == 3


@pytest.mark.parametrize(
    ("limits", "request_of_it", "reference"),
    [
        pytest.param(LIMITS, MARKET, 91_000, id="a limit on values"),
        pytest.param(LIMITS, BUY, None, id="a price of its own"),
        pytest.param(OrderLimits(orders_per_day=5), MARKET, None, id="a limit on orders only"),
        pytest.param(OrderLimits(orders_per_day=5), BUY, None, id="neither"),
        pytest.param(LIMITS, evolve(MODIFY, price=None, stop_price=70_000), None, id="a modify"),
    ],
)
async def test_order_is_valued_where_that_is_needed(
    limits: OrderLimits, request_of_it: OrderRequest, reference: int | None
) -> None:
    """The journal counts it at that price, in the transaction that permits it."""
    around = Around()
    assert await around.guards(limits).examine("order-1", request_of_it, 1010.0) == Terms(limits, reference)
    assert around.seconds == ([] if reference is None else [5.0])


async def test_order_too_large_for_any_day_is_refused_with_what_is_left_of_this_one() -> None:
    """Before it takes a slot of the rate limit from a cancel."""
    limits = OrderLimits(value_per_day=600_000)
    around = Around(totals={(DAY, ""): Totals(orders=1, quantity=5, value=350_000)})
    with pytest.raises(LimitExceeded) as caught:
        await around.guards(limits).examine("order-1", BUY, None)
    error = caught.value
    assert (error.limit, error.used, error.asked, error.left) == ("value_per_day", 350_000, 700_000, 250_000)
    assert error.client_order_id == "order-1"


async def test_limit_of_a_symbol_is_told_by_what_was_sent_of_the_symbol() -> None:
    """Not by that of the day."""
    around = Around(
        totals={
            (DAY, ""): Totals(orders=3, quantity=100),
            (DAY, "005930"): Totals(orders=1, quantity=2),
        }
    )
    with pytest.raises(LimitExceeded) as caught:
        await around.guards(OrderLimits(quantity_per_symbol=9)).examine("order-1", BUY, None)
    assert (caught.value.limit, caught.value.used, caught.value.left) == ("quantity_per_symbol", 2, 7)


async def test_what_was_sent_today_is_for_the_journal_to_count() -> None:
    """Here it would be counted before others have their permission, and so wrong."""
    around = Around(totals={(DAY, ""): Totals(orders=9)})
    limits = OrderLimits(orders_per_day=1)
    assert await around.guards(limits).examine("order-1", BUY, None) == Terms(limits)


# ---------------------------------------------------------------------- the kill switch


LEAVING: Final = attempt(state=Delivery.DISPATCHED, boot_id="boot-1", dispatched=998.0, write_until=1003.0)


def steps_of(patch: pytest.MonkeyPatch, ambient: FixedAmbient, *moments: float) -> list[float]:
    """Let each sleep last until the next of these moments, or as long as it says; give the seconds asked for."""
    slept: list[float] = []
    left = list(moments)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 1000, "it never ends"
        ambient.seconds = left.pop(0) if left else ambient.seconds + seconds

    patch.setattr(anyio, "sleep", sleep)
    return slept


@pytest.mark.parametrize(
    ("leaving", "lag", "until"),
    [
        pytest.param(LEAVING, 0.0, 1003.1, id="until its permission ends"),
        pytest.param(LEAVING, 2.0, 1005.1, id="and for as long as the transport may hold it"),
        pytest.param(
            evolve(LEAVING, boot_id="before", dispatched=50.0, write_until=54.0), 0.0, 1004.1, id="by another clock"
        ),
        pytest.param(
            evolve(LEAVING, boot_id="before", dispatched=9000.0, write_until=9002.0), 0.0, 1002.1, id="a later one"
        ),
        pytest.param(
            evolve(LEAVING, dispatched=1001.0, write_until=1008.0), 0.0, 1007.1, id="never longer than it lasts"
        ),
    ],
)
async def test_switch_waits_for_what_may_still_leave(
    leaving: Attempt, lag: float, until: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it returns, nothing leaves that was permitted before; a process that died does not hold it up."""
    around = Around(permitted=lambda _: [leaving])
    slept = steps_of(monkeypatch, around.ambient)
    engaged = await engage(cast("Any", around), around.ambient, ENGAGED, lag)
    assert engaged == evolve(ENGAGED, by="kim, process 7")
    assert until < around.ambient.seconds < until + 0.05
    assert slept


async def test_switch_waits_at_the_very_end_of_a_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last turn is part of it."""
    around = Around(permitted=lambda _: [LEAVING])
    slept = steps_of(monkeypatch, around.ambient, 1003.0 + 0.1)
    await engage(cast("Any", around), around.ambient, ENGAGED)
    assert len(slept) == 2


async def test_switch_waits_no_longer_than_anything_may_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for what has its answer meanwhile, nor for what is permitted later, which the journal holds back."""
    later = evolve(LEAVING, client_order_id="later", write_until=1100.0)

    def permitted(now: float) -> list[Attempt]:
        return [LEAVING] if now < 1000.0 + 0.05 else [later]

    around = Around(permitted=permitted)
    steps_of(monkeypatch, around.ambient)
    await engage(cast("Any", around), around.ambient, ENGAGED)
    assert around.ambient.seconds < 1000.1


async def test_switch_waits_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended does not end the wait for another one; where nothing may leave there is none."""
    longer = evolve(LEAVING, client_order_id="longer", write_until=1004.0, dispatched=999.0)
    around = Around(permitted=lambda now: [LEAVING, longer] if now < 1001.0 else [longer])
    steps_of(monkeypatch, around.ambient)
    await engage(cast("Any", around), around.ambient, ENGAGED)
    assert 1004.1 < around.ambient.seconds < 1004.2
    calm = Around()
    assert steps_of(monkeypatch, calm.ambient) == []
    assert (await engage(cast("Any", calm), calm.ambient, ENGAGED)).is_engaged
    assert calm.ambient.seconds == 1000.0
