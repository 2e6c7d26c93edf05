"""What the rules find against an order, how sure they are, and what the strictness makes of it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from attrs import evolve
from attrs import fields as attrs_of

from kiwoom_async import ConfigurationError, MarketRules, RuleFinding, Strictness, SymbolKind
from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.market_rules import Rule, SymbolFacts, Verdict, gold_band, highest_next_limit, judge
from kiwoom_async._domain.quotes import Quote
from kiwoom_async._domain.sessions import Timetable
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Route, Side
from kiwoom_async.market import TradingCalendar

OPEN = datetime(2026, 11, 20, 10, 0, tzinfo=KST)
"""A Friday in the regular session."""

STOCK = OrderRequest(
    desk=Desk.STOCK,
    action=Action.NEW,
    symbol="005930",
    side=Side.BUY,
    quantity=10,
    price=70_000,
    order_type=OrderType.LIMIT,
    route=Route.KRX,
)
GOLD = evolve(STOCK, desk=Desk.GOLD, symbol="M04020000", price=180_000, route=None)
STRICT = MarketRules(session="refuse", calendar="refuse")


def verdict(
    request: OrderRequest, rules: MarketRules = STRICT, now: datetime = OPEN, facts: SymbolFacts | None = None
) -> Verdict:
    """Judge an order with the built-in tables."""
    return judge(request, rules, facts or SymbolFacts(), Timetable(rules.trading_calendar, rules.sessions), now)


def at(text: str) -> datetime:
    """Read a moment in Korean time."""
    return datetime.fromisoformat(text).replace(tzinfo=KST)


@pytest.mark.parametrize("request_", [STOCK, GOLD, evolve(STOCK, price=None, order_type=OrderType.MARKET)])
def test_a_proper_order_is_left_alone(request_: OrderRequest) -> None:
    """Nothing is found against it."""
    assert verdict(request_) == Verdict(None, ())


@pytest.mark.parametrize(
    ("price", "kind", "is_refused", "is_warned"),
    [
        (70_050, SymbolKind.STOCK, True, False),
        (70_050, SymbolKind.ETF, False, False),
        (70_052, SymbolKind.ETF, True, False),
        (70_050, None, False, True),
        (70_052, None, True, False),
        (1_001, None, False, False),
        (2_001, None, True, False),
        (101, SymbolKind.ELW, True, False),
    ],
)
def test_ticks_are_refused_where_the_kind_is_certain(
    price: int, kind: SymbolKind | None, is_refused: bool, is_warned: bool
) -> None:
    """A code does not tell a stock from an ETF: only what no kind allows is refused without knowing it."""
    found = verdict(evolve(STOCK, price=price), facts=SymbolFacts(kind=kind))
    assert (found.refusal is not None) is is_refused
    assert bool(found.warnings) is is_warned


def test_a_symbol_whose_limits_are_off_the_grid_is_no_stock() -> None:
    """What a quote has shown to be no stock is not warned about as one."""
    facts = SymbolFacts(is_no_stock=True)
    assert verdict(evolve(STOCK, price=70_005), facts=facts) == Verdict(None, ())
    assert verdict(evolve(STOCK, price=70_001), facts=facts).refusal is not None


def test_the_refusal_names_the_nearest_prices() -> None:
    """Argument, value, both neighbors and the tick."""
    refusal = verdict(evolve(STOCK, price=70_050), facts=SymbolFacts(kind=SymbolKind.STOCK)).refusal
    assert refusal is not None
    error = refusal.to_error()
    assert (error.argument, error.value) == ("price", 70_050)
    assert error.allowed.startswith("70,000 or 70,100 KRW")
    assert "100 KRW" in error.allowed


def test_a_refusal_without_knowing_the_kind_names_the_prices_of_each() -> None:
    """The buyer of a fund is not sent to the wider grid of stocks."""
    refusal = verdict(evolve(STOCK, price=70_001)).refusal
    assert refusal is not None
    assert refusal.allowed.startswith("70,000 or 70,100 KRW")
    assert "etf: 70,000 or 70,005 KRW" in refusal.allowed


def test_a_stop_price_off_the_grid_is_only_a_warning() -> None:
    """Nobody has said what the exchange does with it."""
    request = evolve(STOCK, order_type=OrderType.STOP_LIMIT, stop_price=70_001, route=Route.NXT)
    found = verdict(request)
    assert found.refusal is None
    assert [warning.argument for warning in found.warnings] == ["stop_price"]


@pytest.mark.parametrize("action", [Action.NEW, Action.MODIFY])
@pytest.mark.parametrize(("price", "is_inside"), [(48_900, False), (49_000, True), (91_000, True), (91_100, False)])
def test_the_band_binds_where_it_is_known_to_be_of_today(action: Action, price: int, is_inside: bool) -> None:
    """Its ends are allowed; a band that may be yesterday's only warns; none is no check."""
    request = evolve(STOCK, price=price, action=action, order_type=None)
    band = SymbolFacts(kind=SymbolKind.STOCK, lower_limit=49_000, upper_limit=91_000, is_of_today=True)
    assert (verdict(request, facts=band).refusal is None) is is_inside
    doubtful = verdict(request, facts=evolve(band, is_of_today=False))
    assert doubtful.refusal is None
    assert (not doubtful.warnings) is is_inside
    assert verdict(request) == Verdict(None, ())


def test_half_a_band_is_checked_by_half() -> None:
    """Where a symbol has only one limit, the other side is free."""
    facts = SymbolFacts(upper_limit=91_000, is_of_today=True)
    assert verdict(evolve(STOCK, price=100), facts=facts).refusal is None
    refusal = verdict(evolve(STOCK, price=92_000), facts=facts).refusal
    assert refusal is not None
    assert refusal.allowed == "to 91,000 (상한가) KRW today"


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"price": 180_005}, "price"),
        ({"quantity": 5_001}, "quantity"),
        ({"price": 161_990}, "price"),
        ({"price": 198_010}, "price"),
        ({"quantity": 5_001, "action": Action.MODIFY}, "quantity"),
    ],
)
def test_gold_has_rules_of_its_own(change: dict[str, Any], argument: str) -> None:
    """Tick, band and quantity, held by the one switch `gold`."""
    low, high = gold_band(180_000)
    facts = SymbolFacts(kind=SymbolKind.GOLD, lower_limit=low, upper_limit=high, is_of_today=True)
    refusal = verdict(evolve(GOLD, **change), facts=facts).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.argument) == (Rule.GOLD, argument)
    free = MarketRules(gold="off")
    assert verdict(evolve(GOLD, **change), free, facts=facts) == Verdict(None, ())


@pytest.mark.parametrize(("base", "band"), [(180_000, (162_000, 198_000)), (180_130, (162_120, 198_140))])
def test_the_band_of_gold_stands_on_its_grid(base: int, band: tuple[int, int]) -> None:
    """Ten percent each way, rounded inward."""
    assert gold_band(base) == band


@pytest.mark.parametrize(
    ("moment", "change", "argument", "is_certain"),
    [
        ("2026-11-20T06:33", {}, "route", True),
        ("2026-11-20T20:00", {}, "route", True),
        ("2026-11-20T08:48", {}, None, None),
        ("2026-11-20T15:21", {}, None, None),
        ("2026-11-20T17:00", {}, None, None),
        ("2026-09-11T17:00", {}, "order_type", False),
        ("2026-11-20T17:00", {"order_type": OrderType.MARKET, "price": None}, "order_type", True),
        ("2026-11-20T17:00", {"order_type": OrderType.BEST_LIMIT, "price": None}, "order_type", False),
        ("2026-11-20T17:00", {"order_type": OrderType.AFTER_HOURS_SINGLE}, "order_type", False),
        ("2026-09-11T17:00", {"order_type": OrderType.AFTER_HOURS_SINGLE}, None, None),
        ("2026-11-20T10:00", {"order_type": OrderType.POST_MARKET_CLOSE, "price": None}, "order_type", False),
        ("2026-11-20T15:10", {"order_type": OrderType.POST_MARKET_CLOSE, "price": None}, None, None),
        ("2026-11-20T10:00", {"order_type": OrderType.MIDPOINT, "price": None}, "order_type", False),
        ("2026-11-20T10:00", {"order_type": OrderType.MIDPOINT, "price": None, "route": Route.SOR}, None, None),
        ("2026-11-20T08:10", {"route": Route.NXT}, None, None),
        ("2026-11-20T07:10", {"route": Route.NXT}, "route", False),
        ("2026-11-20T15:35", {"route": Route.NXT}, None, None),
        ("2026-11-20T08:10", {"action": Action.MODIFY, "order_type": None}, "route", True),
        ("2026-01-02T14:30", {}, None, None),
        ("2025-11-13T08:40", {}, "route", False),
    ],
)
def test_hours_and_order_types(
    moment: str, change: dict[str, Any], argument: str | None, is_certain: bool | None
) -> None:
    """Each session takes its types; NXT, moved days and what nobody measured are no certainty."""
    found = verdict(evolve(STOCK, **change), now=at(moment))
    findings = [*found.warnings, *([found.refusal] if found.refusal else [])]
    assert [finding.argument for finding in findings] == ([] if argument is None else [argument])
    assert [finding.is_certain for finding in findings] == ([] if argument is None else [is_certain])
    assert (found.refusal is not None) is bool(is_certain)


def test_etfs_are_said_not_to_trade_in_the_after_market() -> None:
    """Second hand, so a warning; and only where the kind is known."""
    evening = at("2026-11-20T17:00")
    found = verdict(STOCK, now=evening, facts=SymbolFacts(kind=SymbolKind.ETF))
    assert found.refusal is None
    assert [warning.argument for warning in found.warnings] == ["symbol"]
    assert verdict(STOCK, now=evening) == Verdict(None, ())


def test_a_closed_day_is_certain_and_an_unknown_one_is_not() -> None:
    """The reason is named, and hours are not complained about on top."""
    refusal = verdict(STOCK, now=at("2026-10-09T03:00")).refusal
    assert refusal is not None
    assert refusal.rule is Rule.CALENDAR
    assert "한글날" in refusal.allowed
    unknown = verdict(STOCK, now=at("2028-03-02T10:00"))
    assert unknown.refusal is None
    assert [warning.rule for warning in unknown.warnings] == [Rule.CALENDAR]
    told = evolve(STRICT, trading_calendar=TradingCalendar(open_days=[date(2026, 10, 9)]))
    assert verdict(STOCK, told, at("2026-10-09T10:00")) == Verdict(None, ())


def test_by_default_hours_and_days_only_warn() -> None:
    """No order is lost because our calendar is wrong."""
    for moment in ("2026-10-09T10:00", "2026-11-20T03:00"):
        found = verdict(STOCK, MarketRules(), at(moment))
        assert found.refusal is None
        assert len(found.warnings) == 1


@pytest.mark.parametrize("strictness", Strictness)
def test_each_check_can_refuse_warn_or_be_off(strictness: Strictness) -> None:
    """The same finding, three ways."""
    found = verdict(evolve(STOCK, price=70_001), MarketRules(tick=strictness))
    assert (found.refusal is not None) is (strictness is Strictness.REFUSE)
    assert bool(found.warnings) is (strictness is Strictness.WARN)


def test_off_is_off() -> None:
    """Every check at once."""
    assert verdict(evolve(GOLD, price=1, quantity=9_999), MarketRules.off(), at("2026-10-09T03:00")) == Verdict(
        None, ()
    )
    assert all(MarketRules.off().strictness(rule) is Strictness.OFF for rule in Rule)


@pytest.mark.parametrize("moment", ["2026-10-09T03:00", "2028-03-02T10:00", "2026-11-20T06:00"])
def test_a_cancel_is_never_checked(moment: str) -> None:
    """Whoever wants out must get out."""
    cancel = evolve(STOCK, action=Action.CANCEL, price=None, order_type=None, quantity=None)
    assert verdict(cancel, now=at(moment)) == Verdict(None, ())


def test_a_finding_reads_as_a_sentence() -> None:
    """It says whether we are sure."""
    finding = RuleFinding(Rule.TICK, "price", 1, "2 KRW", is_certain=True, symbol="005930")
    assert str(finding) == "005930: price=1 is not allowed: 2 KRW"
    assert str(evolve(finding, is_certain=False)) == "005930: price=1 may not be allowed: 2 KRW"


def test_kinds_have_one_normal_form() -> None:
    """A code with a prefix and a kind as text mean what they mean at the desks."""
    rules = MarketRules(kinds={"A069500": "etf", "M04020000": SymbolKind.GOLD})
    assert rules.kinds == {"069500": SymbolKind.ETF, "M04020000": SymbolKind.GOLD}


@pytest.mark.parametrize(
    "settings",
    [
        {"tick": "perhaps"},
        {"session": None},
        {"kinds": {"069500": "fund"}},
        {"kinds": {"69500": "etf"}},
        {"on_warning": "print"},
        {"sessions": ["regular"]},
        {"trading_calendar": "XKRX"},
    ],
)
def test_rules_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    """A wrong setting is found before any order."""
    with pytest.raises(ConfigurationError, match="MarketRules"):
        MarketRules(**settings)


@pytest.mark.parametrize(
    ("base", "upper", "highest"),
    [
        (70_000, 91_000, 118_300),
        (10_000, 16_000, 25_600),
        (None, 91_000, 118_300),
        (1_003, 1_303, 1_694),
        (1, None, None),
    ],
)
def test_next_limit_is_measured_from_a_day_that_ends_at_its_own(
    base: int | None, upper: int | None, highest: int | None
) -> None:
    """By 30 %, by as much as the band is wide where that is more, and never rounded down."""
    fields: dict[str, Any] = dict.fromkeys(field.name for field in attrs_of(Quote))
    quote = Quote(**(fields | {"base_price": base, "upper_limit": upper}))
    assert highest_next_limit(quote) == highest
