"""`client.market` and the rules at the desks: what is refused leaves no trace, what is warned about is sent."""

from __future__ import annotations

import logging
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    ClientOrderIdConflict,
    ConfigurationError,
    Credentials,
    Environment,
    KiwoomClient,
    MarketRules,
    RuleFinding,
    ValidationError,
)
from kiwoom_async._domain.intents import Intent, OrderRequest
from kiwoom_async._domain.quotes import Quote
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async.market import Rule
from kiwoom_async.simulator import Simulator
from tests.scenarios.trading import Hands, broker_of, client_of, opened, orders_received

FRIDAY: datetime = datetime(2026, 11, 20, 10, 0, tzinfo=KST)


def hands_at(moment: datetime) -> Hands:
    """Give a clock that stands near a moment."""
    return Hands(offset=moment - datetime.now(KST))


def quote_of(**changes: Any) -> Quote:
    """Make a quote with a band."""
    arguments: dict[str, Any] = {
        "symbol": "005930",
        "route": Route.KRX,
        "name": "삼성전자",
        "last_price": 70_000,
        "base_price": 70_000,
        "upper_limit": 91_000,
        "lower_limit": 49_000,
        **dict.fromkeys(
            ("open_price", "high_price", "low_price", "expected_price", "expected_quantity", "change"), None
        ),
        "change_rate": None,
        "volume": None,
    }
    return Quote(**(arguments | changes))


def unopened(moment: datetime, **settings: Any) -> KiwoomClient:
    """Make a client that is never opened."""
    arguments: dict[str, Any] = {"environment": Environment.LIVE, "journal": "never-made.db"} | settings
    return KiwoomClient(Credentials("key", "secret"), ambient=hands_at(moment), **arguments)


def check(client: KiwoomClient, price: int) -> ValidationError | None:
    """Ask a client that is not open what it would say to an order."""
    request = OrderRequest(
        Desk.STOCK, Action.NEW, "005930", Side.BUY, 1, price=price, order_type=OrderType.LIMIT, route=Route.KRX
    )
    return client.market.objection_to(Intent("id", "account", request, FRIDAY))


async def test_a_refused_order_leaves_no_trace(tmp_path: Path) -> None:
    """Nothing is journaled or sent, and the error names the allowed prices; every verb with a price is checked."""
    async with broker_of() as broker, client_of(broker, tmp_path) as client:
        await opened(broker)
        client.market.remember("005930", kind="stock")
        with pytest.raises(ValidationError, match=r"70,000 or 70,100"):
            client.stock.buy("005930", 1, price=70_050)
        with pytest.raises(ValidationError, match="price=70001"):
            client.credit.buy("000660", 1, price=70_001)
        with pytest.raises(ValidationError, match="5,000 grams"):
            client.gold.buy("M04020000", 5_001, price=180_000)
        call = client.stock.buy("005930", 1, price=70_050, client_order_id="held")
        with pytest.raises(ValidationError, match=r"70,000 or 70,100"):
            await call
        assert await client.orders.get("held") is None
        assert not orders_received(broker)
        order = await client.stock.buy("005930", 1, price=70_000, client_order_id="held")
        with pytest.raises(ValidationError, match="price=70050"):
            client.stock.modify(order, price=70_050)
        await client.stock.cancel(order)
        assert len(orders_received(broker)) == 2


async def test_a_stored_answer_comes_back_whatever_the_rules_say_now(tmp_path: Path) -> None:
    """The same id with the same request is answered from the journal; with another request it is a conflict."""
    async with broker_of() as broker:
        async with client_of(broker, tmp_path, market_rules=MarketRules.off()) as client:
            first = await client.stock.buy("005930", 1, price=70_000, client_order_id="alpha-1")
        async with client_of(broker, tmp_path) as client:
            client.market.remember("005930", lower_limit=80_000, upper_limit=90_000)
            again = await client.stock.buy("005930", 1, price=70_000, client_order_id="alpha-1")
            assert again.broker_order_id == first.broker_order_id
            with pytest.raises(ClientOrderIdConflict):
                await client.stock.buy("005930", 1, price=70_100, client_order_id="alpha-1")
            with pytest.raises(ValidationError, match="하한가"):
                await client.stock.buy("005930", 1, price=70_000, client_order_id="alpha-2")
        assert len(orders_received(broker)) == 1


async def test_a_warning_is_told_and_the_order_is_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By log (once a day), by callback and by attribute; never as a Python warning, and a broken hook costs nothing."""
    heard: list[RuleFinding] = []

    def hook(finding: RuleFinding) -> None:
        heard.append(finding)
        raise RuntimeError("the hook is broken")

    rules = MarketRules(session="off", calendar="off", on_warning=hook)
    async with broker_of(check_ticks=False) as broker, client_of(broker, tmp_path, market_rules=rules) as client:
        await opened(broker)
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "kiwoom_async"):
            warnings.simplefilter("error")
            first = await client.stock.buy("069500", 1, price=70_005)
            await client.stock.buy("069500", 1, price=70_005)
        assert len(orders_received(broker)) == 2
        assert [finding.rule for finding in heard] == [Rule.TICK, Rule.TICK]
        assert tuple(heard) == client.market.recent_warnings
        assert heard[0].client_order_id == first.client_order_id
        assert caplog.text.count("market rules: 069500: price=70005 may not be allowed") == 1
        assert caplog.text.count("on_warning failed") == 2


async def test_an_order_at_any_hour_is_sent_by_default(tmp_path: Path) -> None:
    """A wrong calendar costs no order: the middle of a holiday's night is only warned about."""
    night = hands_at(datetime(2026, 10, 9, 3, 0, tzinfo=KST))
    rules = MarketRules.default(Environment.LIVE)
    async with broker_of(ambient=night) as broker, client_of(broker, tmp_path, market_rules=rules) as client:
        order = await client.stock.buy("005930", 1, price=70_000)
        assert order.broker_order_id
        assert [warning.rule for warning in client.market.recent_warnings] == [Rule.CALENDAR]
        await client.stock.cancel(order)
        assert len(client.market.recent_warnings) == 1


async def test_a_simulator_has_no_hours(tmp_path: Path) -> None:
    """By default an environment without hours is not measured by the calendar of the exchanges."""
    night = hands_at(datetime(2026, 10, 9, 3, 0, tzinfo=KST))
    async with broker_of(ambient=night) as broker, client_of(broker, tmp_path) as client:
        await client.stock.buy("005930", 1, price=70_000)
        assert client.market.recent_warnings == ()
        assert client.market.is_open() is False
        with pytest.raises(ValidationError, match="price=70001"):
            client.stock.buy("005930", 1, price=70_001)


async def test_strict_hours_hold_an_order_back(tmp_path: Path) -> None:
    """Who wants it gets a refusal, but never for a cancel."""
    rules = MarketRules(session="refuse", calendar="refuse")
    hands = hands_at(FRIDAY)
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path, market_rules=rules) as client:
        order = await client.stock.buy("005930", 1, price=70_000)
        hands.offset += timedelta(hours=10, minutes=30)
        with pytest.raises(ValidationError, match="08:30-15:30"):
            client.stock.buy("005930", 1, price=70_000)
        with pytest.raises(ValidationError, match="08:30-15:30"):
            client.stock.modify(order, price=70_100)
        await client.stock.cancel(order)
        assert len(orders_received(broker)) == 2


async def test_a_quote_of_today_binds_the_band(tmp_path: Path) -> None:
    """`client.account.quote` fills the memory by itself, and it lasts until midnight."""
    hands = hands_at(FRIDAY)
    async with broker_of(ambient=hands) as broker, client_of(broker, tmp_path) as client:
        quote = await client.account.quote("005930")
        assert quote.upper_limit is not None
        assert quote.lower_limit is not None
        too_high, too_low = quote.upper_limit + 1_000, quote.lower_limit - 1_000
        for price in (too_high, too_low):
            with pytest.raises(ValidationError, match="today"):
                client.stock.buy("005930", 1, price=price)
        await client.stock.buy("005930", 1, price=quote.upper_limit)
        hands.next_day()
        client.stock.buy("005930", 1, price=too_high).close()


@pytest.mark.parametrize(
    ("moment", "is_refused"),
    [
        (FRIDAY.replace(hour=8), False),
        (FRIDAY.replace(hour=9), True),
        (FRIDAY.replace(hour=19), True),
        (FRIDAY.replace(hour=20), False),
        (FRIDAY + timedelta(days=1), False),
        (FRIDAY.replace(month=12, day=25), False),
        (FRIDAY.replace(year=2028), False),
    ],
)
def test_a_quote_from_outside_the_hours_only_warns(moment: datetime, is_refused: bool) -> None:
    """It may show the band of the day before, or the order will be of the day after."""
    client = unopened(moment.replace(minute=1))
    client.market.remember_quote(quote_of())
    assert (check(client, price=92_000) is not None) is is_refused
    assert bool(client.market.recent_warnings) is not is_refused


@pytest.mark.parametrize(("hour", "is_refused"), [(8, False), (10, True)])
def test_a_limit_that_is_told_makes_no_doubtful_one_certain(hour: int, is_refused: bool) -> None:
    """The other limit of a quote binds only if the quote was of today; the one that is told binds always."""
    client = unopened(FRIDAY.replace(hour=hour))
    client.market.remember_quote(quote_of())
    client.market.remember("005930", lower_limit=63_700)
    assert (check(client, price=92_000) is not None) is is_refused
    assert check(client, price=63_600) is not None


def test_limits_off_the_grid_of_stocks_show_a_fund() -> None:
    """The quote of an ETF ends the warnings about its finer grid."""
    client = unopened(FRIDAY)
    check(client, price=70_005)
    assert len(client.market.recent_warnings) == 1
    client.market.remember_quote(quote_of(upper_limit=91_005, lower_limit=49_005))
    assert check(client, price=70_005) is None
    assert len(client.market.recent_warnings) == 1


def test_gold_is_checked_by_its_base_price() -> None:
    """Ten percent each way of what was told."""
    client = unopened(FRIDAY)
    client.market.remember("M04020000", base_price=180_000)
    facts = client.market._limits["M04020000"]
    assert (facts.lower_limit, facts.upper_limit, facts.is_of_today) == (162_000, 198_000, True)


@pytest.mark.parametrize(
    ("symbol", "arguments", "argument"),
    [
        ("5930", {}, "symbol"),
        ("005930", {"kind": "bond"}, "kind"),
        ("005930", {"kind": "gold"}, "kind"),
        ("M04020000", {"kind": "etf"}, "kind"),
        ("005930", {"base_price": 70_000}, "base_price"),
        ("M04020000", {"base_price": 180_000, "lower_limit": 1}, "base_price"),
        ("005930", {"lower_limit": 0}, "lower_limit"),
        ("005930", {"upper_limit": "?"}, "upper_limit"),
        ("005930", {"lower_limit": 2, "upper_limit": 1}, "lower_limit"),
    ],
)
def test_nonsense_is_not_remembered(symbol: str, arguments: dict[str, Any], argument: str) -> None:
    """What is told of a symbol is checked like an order."""
    client = unopened(FRIDAY)
    with pytest.raises(ValidationError) as caught:
        client.market.remember(symbol, **arguments)
    assert caught.value.argument == argument
    assert not client.market._limits


def test_hours_are_known_before_the_client_is_open() -> None:
    """Open, next opening and trading day, now and at a moment, in Korean time from any zone."""
    market = unopened(FRIDAY).market
    assert market.is_open() is True
    assert market.is_open(route="NXT") is True
    assert market.is_open(desk="gold") is True
    assert market.is_trading_day() is True
    assert market.is_trading_day((FRIDAY + timedelta(days=1)).date()) is False
    assert market.is_open(at=datetime.fromisoformat("2026-11-20T07:00+00:00")) is True
    assert market.is_open(at=datetime.fromisoformat("2026-11-20T06:45+00:00")) is False
    assert market.is_open(at=datetime.fromisoformat("2028-11-20T10:00+09:00")) is None
    opening = market.next_open(route="SOR", at=datetime.fromisoformat("2026-11-20T12:00+00:00"))
    assert opening == datetime(2026, 11, 23, 8, 0, tzinfo=KST)
    assert opening is not None
    assert opening.utcoffset() == timedelta(hours=9)
    assert market.next_open() == FRIDAY.replace(hour=16)


def test_the_mock_has_no_after_market() -> None:
    """There every order between four and eight in the evening was refused."""
    market = unopened(FRIDAY, environment=Environment.MOCK).market
    evening = FRIDAY.replace(hour=17)
    assert market.is_open(at=evening) is False
    assert market.next_open(at=evening) == datetime(2026, 11, 23, 9, 0, tzinfo=KST)
    with pytest.raises(ValidationError, match="KRX"):
        market.is_open(route="NXT")


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"at": datetime(2026, 11, 20, 10, 0)}, "at"),  # noqa: DTZ001 - wrong on purpose
        ({"at": "2026-11-20"}, "at"),
        ({"route": "XKRX"}, "route"),
        ({"route": "KRX", "desk": "gold"}, "route"),
        ({"desk": "bonds"}, "desk"),
        ({"session": "lunch"}, "session"),
    ],
)
def test_a_question_without_an_answer_is_refused(arguments: dict[str, Any], argument: str) -> None:
    """A moment without a zone above all: it would be answered for another hour."""
    market = unopened(FRIDAY).market
    for question in (market.is_open, market.next_open):
        with pytest.raises(ValidationError) as caught:
            question(**arguments)
        assert caught.value.argument == argument
    with pytest.raises(ValidationError):
        market.is_trading_day(FRIDAY)


async def test_rules_of_the_wrong_type_are_found_before_any_call(tmp_path: Path) -> None:
    """A setting that is no `MarketRules` is named."""
    async with Simulator() as broker:
        with pytest.raises(ConfigurationError, match=r"market_rules.*MarketRules"):
            client_of(broker, tmp_path, market_rules="strict")
