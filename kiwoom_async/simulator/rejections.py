"""Why the broker refuses: the codes of both environments and the checks that lead to them.

A refusal of the order host is `[2000](CODE:text)` with return_code 20; one of the gateway is
`phrase[CODE:text]` with a return_code of its own. Codes and short texts: collected from live answers and
public fixtures. Where one environment's code is not known, the nearest known one stands in; the table says
so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from enum import StrEnum, unique
from typing import Final

from attrs import frozen

from kiwoom_async._domain.vocabulary import (
    GOLD_SYMBOLS,
    ORDER_TYPE_RULES,
    Action,
    Desk,
    OrderType,
    Route,
    Side,
)
from kiwoom_async.simulator.exchange import Exchange
from kiwoom_async.simulator.loans import loans_left
from kiwoom_async.simulator.orders import Flavour, Instant, OrderRequest

BUSINESS_CODES: Final[Mapping[str, str]] = {
    "RC4003": "모의투자 호가단위 오류입니다.",
    "RC4007": "모의투자 매매제한 종목입니다.",
    "RC4010": "모의투자 영업일이 아닙니다",
    "RC4025": "모의투자 주문가능금액을 확인하세요.",
    "RC4027": "모의투자 상/하한가 오류입니다.",
    "RC4033": "모의투자 정정/취소할 수량이 없습니다.",
    "RC4057": "모의투자 장시작전",
    "RC4058": "모의투자 장종료",
    "RC4061": "모의투자 주문번호를 확인하세요.",
    "RC4091": "모의투자 종료된 계좌입니다. 다시 신청해주시기 바랍니다.",
    "RC5006": "모의투자 개인공매도이수전용",
    "RC7006": "모의투자 조회실패",
    "RC9000": "모의투자에서는 해당업무가 제공되지 않습니다.",
    "800033": "매도가능수량이 부족합니다.",
    "855056": "매수증거금이 부족합니다.",
    "308003": "주문단가를 입력하십시요",
    "501724": "관련자료가없습니다",
    "502048": "단가를 입력하지 않는 호가입니다",
    "505217": "휴장시간으로 취소주문만 가능합니다.",
    "506550": "취소가능수량이 없습니다.",
    "506560": "주문가능금액이 부족합니다.",
    "509193": "CB 발동중입니다.",
    "509247": "파생상품 ETF 거래신청 등록 후 주문이 가능합니다.",
    "521790": "해당 호가유형은 주문 불가능한 시간입니다.",
    "571357": "시간외종가 주문시에는 단가를 입력하지 않습니다",
    "571412": "SOR정정 및 취소주문은 원주문이 SOR주문인 경우 가능합니다.",
    "571435": "원주문이취소주문입니다",
    "571489": "장이 열리지 않는 날입니다.",
    "571557": "주문단가를 잘못입력하셨습니다",
    "571758": "해당 계좌의미체결내역이 없습니다.",
    "857024": "호가단위를 확인하세요",
}


@unique
class Reason(StrEnum):
    """Why an order is refused, without the spelling of an environment."""

    TICK = "tick"
    GOLD_TICK = "gold_tick"
    BAND = "band"
    PRICE_MISSING = "price_missing"
    PRICE_FORBIDDEN = "price_forbidden"
    PRICE_FORBIDDEN_AFTER_HOURS = "price_forbidden_after_hours"
    NOT_SERVED = "not_served"
    UNKNOWN_ORIGINAL = "unknown_original"
    NOTHING_LEFT = "nothing_left"
    ORIGINAL_IS_CANCEL = "original_is_cancel"
    WRONG_ROUTE = "wrong_route"
    BEFORE_HOURS = "before_hours"
    AFTER_HOURS = "after_hours"
    CLOSED_DAY = "closed_day"
    NO_HOLDING = "no_holding"
    NO_CASH = "no_cash"
    QUANTITY = "quantity"


_CODES: Final[Mapping[Reason, Mapping[Flavour, str]]] = {
    Reason.TICK: {Flavour.MOCK: "RC4003", Flavour.REAL: "571557"},
    Reason.GOLD_TICK: {Flavour.MOCK: "857024", Flavour.REAL: "857024"},
    Reason.BAND: {Flavour.MOCK: "RC4027", Flavour.REAL: "571557"},  # real: not known, stands in
    Reason.PRICE_MISSING: {Flavour.MOCK: "308003", Flavour.REAL: "308003"},
    Reason.PRICE_FORBIDDEN: {Flavour.MOCK: "502048", Flavour.REAL: "502048"},
    Reason.PRICE_FORBIDDEN_AFTER_HOURS: {Flavour.MOCK: "571357", Flavour.REAL: "571357"},
    Reason.NOT_SERVED: {Flavour.MOCK: "RC9000", Flavour.REAL: "521790"},
    Reason.UNKNOWN_ORIGINAL: {Flavour.MOCK: "RC4061", Flavour.REAL: "506550"},  # real: not known, stands in
    Reason.NOTHING_LEFT: {Flavour.MOCK: "RC4033", Flavour.REAL: "506550"},
    Reason.ORIGINAL_IS_CANCEL: {Flavour.MOCK: "RC4033", Flavour.REAL: "571435"},
    Reason.WRONG_ROUTE: {Flavour.MOCK: "571412", Flavour.REAL: "571412"},
    Reason.BEFORE_HOURS: {Flavour.MOCK: "RC4057", Flavour.REAL: "505217"},
    Reason.AFTER_HOURS: {Flavour.MOCK: "RC4058", Flavour.REAL: "521790"},
    Reason.CLOSED_DAY: {Flavour.MOCK: "RC4010", Flavour.REAL: "571489"},
    Reason.NO_HOLDING: {Flavour.MOCK: "800033", Flavour.REAL: "800033"},
    Reason.NO_CASH: {Flavour.MOCK: "RC4025", Flavour.REAL: "855056"},
    Reason.QUANTITY: {Flavour.MOCK: "RC4033", Flavour.REAL: "506550"},
}


@frozen
class Refusal:
    """A refusal of the order host."""

    code: str
    message: str

    @classmethod
    def of(cls, reason: Reason, flavour: Flavour, extra: str = "") -> Refusal:
        """Spell a reason for an environment."""
        return cls.with_code(_CODES[reason][flavour], extra)

    @classmethod
    def with_code(cls, code: str, extra: str = "") -> Refusal:
        """Give a code its known text."""
        text = BUSINESS_CODES.get(code, "주문이 거부되었습니다.")
        return cls(code, f"{text} {extra}" if extra else text)


@unique
class GatewayCode(StrEnum):
    """The codes of the gateway that the simulator speaks."""

    API_ID_MISSING = "1501"
    WRONG_URI = "1504"
    API_ID_UNKNOWN = "1505"
    FIELD_MISSING = "1511"
    AUTHORIZATION_MISSING = "1513"
    FIELD_MALFORMED = "1517"
    TOO_MANY_REQUESTS = "1700"
    UNEXPECTED = "1999"
    KEYS_WRONG = "8001"
    TOKEN_INVALID = "8005"  # noqa: S105 - a code


@frozen
class GatewayRefusal:
    """A refusal of the gateway, in front of the order host."""

    code: str
    return_code: int
    phrase: str
    detail: str

    @property
    def message(self) -> str:
        """The text as the wire carries it."""
        return f"{self.phrase}[{self.code}:{self.detail}]"


_INPUT: Final = "입력 값 오류입니다"
_AUTHENTICATION: Final = "인증에 실패했습니다"
_GATEWAY: Final[Mapping[GatewayCode, tuple[int, str, str]]] = {
    GatewayCode.API_ID_MISSING: (2, _INPUT, "API ID가 Null이거나 값이 없습니다"),
    GatewayCode.WRONG_URI: (3, _INPUT, "해당 URI에서는 지원하는 API ID가 아닙니다. API ID={}"),
    GatewayCode.API_ID_UNKNOWN: (2, _INPUT, "해당 API ID는 존재하지 않습니다. API ID={}"),
    GatewayCode.FIELD_MISSING: (2, _INPUT, "필수 입력 값에 값이 존재하지 않습니다. 필수입력 파라미터={}"),
    GatewayCode.AUTHORIZATION_MISSING: (
        2,
        _INPUT,
        "Http header에 authorization 필드가 설정되어 있지 않습니다",
    ),
    GatewayCode.FIELD_MALFORMED: (2, _INPUT, "입력 값 형식이 올바르지 않습니다. 파라미터={}"),
    GatewayCode.TOO_MANY_REQUESTS: (
        5,
        "허용된 요청 개수를 초과하였습니다",
        "허용된 API 요청 개수를 초과하였습니다. 유량={}",
    ),
    GatewayCode.UNEXPECTED: (1, "오류가 발생했습니다", "예기치 못한 에러가 발생했습니다. 실패사유={}"),
    GatewayCode.KEYS_WRONG: (3, _AUTHENTICATION, "App Key와 Secret Key 검증에 실패했습니다"),
    GatewayCode.TOKEN_INVALID: (3, _AUTHENTICATION, "Token이 유효하지 않습니다"),
}


def gateway_refusal(code: GatewayCode, detail: str = "") -> GatewayRefusal:
    """Spell a refusal of the gateway."""
    return_code, phrase, text = _GATEWAY[code]
    return GatewayRefusal(code, return_code, phrase, text.format(detail))


_TICKS: Final = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
"""KRX price steps since 2023-01-25: below this price, this step."""
_LARGEST_TICK: Final = 1_000
_GOLD_TICK: Final = 10
_BAND_PERCENT: Final = {Desk.STOCK: 30, Desk.CREDIT: 30, Desk.GOLD: 10}
_AFTER_HOURS_CLOSE: Final = frozenset({OrderType.PRE_MARKET_CLOSE, OrderType.POST_MARKET_CLOSE})


def tick_size(desk: Desk, price: int) -> int:
    """Give the price step at a price."""
    if desk is Desk.GOLD:
        return _GOLD_TICK
    return next((tick for below, tick in _TICKS if price < below), _LARGEST_TICK)


@unique
class Hours(StrEnum):
    """When the market takes orders."""

    ALWAYS = "always"
    TRADING_DAY = "trading_day"


_OPENS: Final = time(8, 30)
_CLOSES: Final = time(15, 30)
_AFTER_MARKET: Final = (time(16, 0), time(20, 0))
_SATURDAY: Final = 5


@frozen
class Funds:
    """What the account owns; None means: without limit.

    Attributes:
        cash: Won at the start of the simulation. A purchase on credit is counted against it in full, as if nothing
            were lent: our choice, the broker's margin is not played.
        holdings: Units of each symbol at the start; a symbol that is not named has none.
        loans: Units bought on credit before the start, of each symbol by the day of the loan. Purchases on credit add
            to them, under their own day, and only sales on credit sell them.
    """

    cash: int | None = None
    holdings: Mapping[str, int] | None = None
    loans: Mapping[str, Mapping[date, int]] | None = None


@frozen
class Rules:
    """What is checked before an order is accepted."""

    flavour: Flavour = Flavour.REAL
    ticks: bool = True
    hours: Hours = Hours.ALWAYS
    funds: Funds = Funds()

    def refusal(self, request: OrderRequest, exchange: Exchange, now: Instant) -> Refusal | None:
        """Find why a request is refused; None: it is accepted."""
        reason: Reason | None
        if request.action is Action.NEW:
            reason = self._route(request) or self._price_policy(request) or self._price(request, exchange)
            reason = reason or self._hours(request, now)
            if reason is None:
                return self._funds(request, exchange)
        else:
            reason = self._route(request) or self._original(request, exchange) or self._hours(request, now)
            if reason is None and request.action is Action.MODIFY:
                reason = self._price(request, exchange)
        return None if reason is None else Refusal.of(reason, self.flavour)

    def _route(self, request: OrderRequest) -> Reason | None:
        if self.flavour is Flavour.MOCK and request.route is not Route.KRX:
            return Reason.NOT_SERVED
        return None

    @staticmethod
    def _price_policy(request: OrderRequest) -> Reason | None:
        rule = ORDER_TYPE_RULES[request.order_type]
        if rule.needs_price and not request.price:
            return Reason.PRICE_MISSING
        if rule.needs_stop_price and not request.stop_price:
            return Reason.PRICE_MISSING
        if request.price and not rule.needs_price:
            is_close = request.order_type in _AFTER_HOURS_CLOSE
            return Reason.PRICE_FORBIDDEN_AFTER_HOURS if is_close else Reason.PRICE_FORBIDDEN
        return None

    def _price(self, request: OrderRequest, exchange: Exchange) -> Reason | None:
        price = request.price
        if not price:
            return None
        if self.ticks and price % tick_size(request.desk, price):
            return Reason.GOLD_TICK if request.desk is Desk.GOLD else Reason.TICK
        base = exchange.prices.get(request.symbol)
        if base is not None and abs(price - base) * 100 > base * _BAND_PERCENT[request.desk]:
            return Reason.BAND
        return None

    @staticmethod
    def _original(request: OrderRequest, exchange: Exchange) -> Reason | None:
        original = exchange.ledger.find(exchange.day, request.original or "")
        # What Kiwoom says to kt10003 about an order on credit is not known; that it is served is not promised.
        if original is None or original.symbol != request.symbol or original.desk is not request.desk:
            return Reason.UNKNOWN_ORIGINAL
        if original.action is Action.CANCEL:
            return Reason.ORIGINAL_IS_CANCEL
        if original.route is not request.route:
            return Reason.WRONG_ROUTE
        if not original.leaves_quantity:
            return Reason.NOTHING_LEFT
        if request.action is Action.MODIFY and (request.quantity or 0) > original.leaves_quantity:
            return Reason.QUANTITY
        return None

    def _hours(self, request: OrderRequest, now: Instant) -> Reason | None:
        is_free = request.action is Action.CANCEL and self.flavour is Flavour.REAL
        if self.hours is Hours.ALWAYS or is_free:
            return None
        if now.at.weekday() >= _SATURDAY:
            return Reason.CLOSED_DAY
        clock = now.at.time()
        if clock < _OPENS:
            return Reason.BEFORE_HOURS
        if clock < _CLOSES:
            return None
        is_after_market = _AFTER_MARKET[0] <= clock < _AFTER_MARKET[1] and self.flavour is Flavour.REAL
        # KRX after-market since 2026-09-14: limit orders trade, market orders do not; the mock refuses all.
        return None if is_after_market and request.order_type is OrderType.LIMIT else Reason.AFTER_HOURS

    def _funds(self, request: OrderRequest, exchange: Exchange) -> Refusal | None:
        quantity = request.quantity or 0
        if request.side is Side.SELL:
            free = self._sellable(request, exchange)
            if free is not None and quantity > free:
                return Refusal.of(Reason.NO_HOLDING, self.flavour, self._amount(f"{free}주 매도가능"))
        if request.side is Side.BUY and self.funds.cash is not None:
            price = request.price or exchange.last_price(request.symbol, request.desk)
            affordable = max(0, self._cash(self.funds.cash, exchange)) // price
            if quantity > affordable:
                return Refusal.of(Reason.NO_CASH, self.flavour, self._amount(f"{affordable}주 매수가능"))
        return None

    def _amount(self, text: str) -> str:
        return text if self.flavour is Flavour.REAL else ""

    def _sellable(self, request: OrderRequest, exchange: Exchange) -> int | None:
        """Count the units that may be sold; None: without limit."""
        symbol, funds = request.symbol, self.funds
        is_credit = request.desk is Desk.CREDIT
        orders = [
            entry.current
            for entry in exchange.ledger.accepted
            if entry.current.symbol == symbol and (entry.current.desk is Desk.CREDIT) is is_credit
        ]
        if is_credit:
            if funds.loans is None:
                return None
            left = loans_left(funds.loans.get(symbol, {}), orders)
            return sum(left.values()) if request.loan_date is None else left[request.loan_date]
        if funds.holdings is None:
            return None
        traded = sum(order.filled_quantity * (1 if order.side is Side.BUY else -1) for order in orders)
        offered = sum(order.leaves_quantity for order in orders if order.side is Side.SELL)
        return funds.holdings.get(symbol, 0) + traded - offered

    @staticmethod
    def _cash(cash: int, exchange: Exchange) -> int:
        spent = sum(fill.quantity * fill.price * (1 if fill.side is Side.BUY else -1) for fill in exchange.fills)
        reserved = sum(
            order.leaves_quantity * (order.price or order.working_price or 0)
            for order in exchange.ledger.of_day(exchange.day)
            if order.side is Side.BUY
        )
        return cash - spent - reserved


def is_known_symbol(desk: Desk, symbol: str) -> bool:
    """Whether a symbol has the form its desk takes."""
    return symbol in GOLD_SYMBOLS if desk is Desk.GOLD else len(symbol) == 6 and symbol.isalnum()
