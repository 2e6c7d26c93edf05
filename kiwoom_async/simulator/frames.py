"""What the feed says of a change of an order: the values of types `00` (주문체결) and `04` (잔고), by their FIDs.

Shaped after frames recorded from the mock: empty texts where nothing has traded, signs before some prices and a blank
before one, whole seconds, a symbol with or without its letter. No FID carries a reference of the client's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from attrs import define, field, frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, Route, Side
from kiwoom_async.simulator.exchange import DEFAULT_PRICES, Exchange
from kiwoom_async.simulator.ledger import Change
from kiwoom_async.simulator.orders import NO_ORIGINAL, BookOrder, Channel
from kiwoom_async.simulator.rejections import tick_size
from kiwoom_async.simulator.rendering import date_text, name_of, type_text

Values = dict[str, str]


@unique
class FeedType(StrEnum):
    """The types that the simulator pushes."""

    ORDER = "00"
    BALANCE = "04"


_TYPE_NAMES: Final = {FeedType.ORDER: "주문체결", FeedType.BALANCE: "현물잔고"}
"""Source: the recorded frames; the published field tables."""


@unique
class FeedState(StrEnum):
    """What a type `00` frame says happened (FID 913)."""

    ACCEPTED = "접수"
    FILLED = "체결"
    CONFIRMED = "확인"
    CANCELED = "취소"
    REFUSED = "거부"


@unique
class SymbolForm(StrEnum):
    """How FID 9001 names a stock; both forms were recorded."""

    PLAIN = "plain"  # 005930
    PREFIXED = "prefixed"  # A005930
    ALTERNATING = "alternating"


@frozen
class Reporting:
    """What the feed reports in ways that are not settled; each can be played both ways.

    Attributes:
        symbols: How a stock is named.
        cumulative: Whether 911 and 910 sum up all fills of the order; False: of this fill only. The first was
            measured, the second is how one public bot reads them.
        cancel_reports_original: A cancel also reports 취소 under the number it took from.
        modify_reports_original: The same for a modify.
        modify_confirms_leaves: 902 of a modify's 확인 is what lives on; False: "0", as after a cancel.
        tells_credit: Whether 905 and 922 tell an order on credit from one for cash. Nobody has recorded one.
    """

    symbols: SymbolForm = field(default=SymbolForm.ALTERNATING, converter=SymbolForm)
    cumulative: bool = True
    cancel_reports_original: bool = True
    modify_reports_original: bool = False
    modify_confirms_leaves: bool = False
    tells_credit: bool = True


@frozen
class Frame:
    """One REAL frame.

    Attributes:
        item: The symbol it is about.
        action: What the order number stands for.
        state: None for a balance.
    """

    type: FeedType
    item: str
    order_no: str
    action: Action
    state: FeedState | None
    values: Mapping[str, str]

    @property
    def message(self) -> dict[str, object]:
        """The frame as the wire carries it."""
        entry = {"values": dict(self.values), "type": self.type.value, "name": _TYPE_NAMES[self.type]}
        return {"trnm": "REAL", "data": [{**entry, "item": self.item}]}


def written(message: Mapping[str, object]) -> str:
    """Write a message as text."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _was_confirmed(before: BookOrder, after: BookOrder) -> bool:
    return after.confirmed_quantity > before.confirmed_quantity


def _was_filled(before: BookOrder, after: BookOrder) -> bool:
    return after.filled_quantity > before.filled_quantity


def _was_refused(before: BookOrder, after: BookOrder) -> bool:
    return after.status is OrderStatus.REFUSED is not before.status


def _was_canceled(before: BookOrder, after: BookOrder) -> bool:
    # The end of the day is silent: nobody has seen a report of it.
    return after.leaves_quantity < before.leaves_quantity and after.status is not OrderStatus.EXPIRED


_NEWS: Final[tuple[tuple[FeedState, Callable[[BookOrder, BookOrder], bool]], ...]] = (
    (FeedState.CONFIRMED, _was_confirmed),
    (FeedState.FILLED, _was_filled),
    (FeedState.REFUSED, _was_refused),
    (FeedState.CANCELED, _was_canceled),
)
"""What a change is called: the first that fits."""


def state_of(change: Change, reporting: Reporting) -> FeedState | None:
    """Name what a change is to the feed; None: it says nothing of it."""
    if change.before is None:
        return FeedState.ACCEPTED
    before, after = change.before, change.after
    state = next((state for state, fits in _NEWS if fits(before, after)), None)
    is_told = {
        Action.CANCEL: reporting.cancel_reports_original,
        Action.MODIFY: reporting.modify_reports_original,
    }.get(change.taken_by or Action.NEW, True)
    return state if is_told else None


_SIDE_TEXTS: Final = {Side.BUY: "매수", Side.SELL: "매도"}
_SIDE_SIGNS: Final = {Side.BUY: "+", Side.SELL: "-"}
_SIDE_CODES: Final = {Side.BUY: "2", Side.SELL: "1"}
_KIND_FORMS: Final = {Action.NEW: "{sign}{side}", Action.MODIFY: "{sign}{side}정정", Action.CANCEL: "{side}취소"}
"""FID 905. Source: a recorded frame for new orders, the published words for the others; their signs are not settled."""

_REST_TERMINALS: Final = {Side.BUY: "6801005", Side.SELL: "7501001"}
"""FID 921 of REST orders. Source: the recorded frames."""
_OTHER_SCREEN: Final = "4989"
_OTHER_TERMINALS: Final = {Channel.HOME_TRADING.value: "0101001", Channel.MOBILE.value: "0301001"}
"""FIDs 920 and 921 of orders from other programs. Our choice; nobody has recorded one."""

_VENUES: Final = {Route.KRX: ("1", "KRX", "N"), Route.NXT: ("2", "NXT", "N"), Route.SOR: ("1", "KRX", "Y")}
"""FIDs 2134, 2135, 2136: the simulator trades a SOR order at KRX."""

_CASH_CODE: Final = "00"
"""FID 922 of an order for cash. Source: the recorded frames."""
_CREDIT_CODE: Final = "03"
"""The same of one on credit. Our choice; nobody has recorded one."""

_FEE_PER_MILLION: Final = 3_500
_TAX_PER_MILLION: Final = 2_000
_FEE_STEP: Final = 10
"""Source: the recorded frames of the mock: 900 won of fee and, for the sell, 516 won of tax on 258,000 won."""


def _charges(order: BookOrder) -> Values:
    fee = order.filled_amount * _FEE_PER_MILLION // 1_000_000 // _FEE_STEP * _FEE_STEP
    tax = order.filled_amount * _TAX_PER_MILLION // 1_000_000 if order.side is Side.SELL else 0
    return {"938": str(fee), "939": str(tax)}


@define
class _Position:
    """What the account holds of a symbol."""

    quantity: int
    cost: int
    bought: int = 0
    net: int = 0


@define(eq=False)
class FrameWriter:
    """Writes the frames of one account.

    Attributes:
        holdings: What the account had at the start.
    """

    account: str
    exchange: Exchange
    holdings: Mapping[str, int] = MappingProxyType({})
    reporting: Reporting = Reporting()
    _stock_frames: int = 0
    _positions: dict[str, _Position] = field(factory=dict)
    _fills_seen: int = 0

    def frames(self, change: Change) -> Iterator[Frame]:
        """Write what the feed says of a change."""
        state = state_of(change, self.reporting)
        if state is None:
            return
        yield self._frame(FeedType.ORDER, change.after, state, self._order_values(change, state))
        if state is FeedState.FILLED:
            yield self._frame(FeedType.BALANCE, change.after, None, self._balance_values(change.after))

    @staticmethod
    def _frame(kind: FeedType, order: BookOrder, state: FeedState | None, values: Values) -> Frame:
        return Frame(kind, order.symbol, order.broker_order_id, order.action, state, MappingProxyType(values))

    def _order_values(self, change: Change, state: FeedState) -> Values:
        order = change.after
        is_confirmation = state is FeedState.CONFIRMED
        leaves = order.leaves_quantity
        if is_confirmation and not self.reporting.modify_confirms_leaves:
            leaves = 0
        venue_code, venue, is_smart = _VENUES[order.route]
        return {
            "9201": self.account,
            "9203": order.broker_order_id,
            "9205": "",
            "9001": self._symbol(order),
            "912": "JJ",
            "913": state.value,
            "302": name_of(order.symbol),
            "900": str(order.confirmed_quantity if is_confirmation else order.quantity),
            "901": str(order.price or 0),
            "902": str(leaves),
            "903": str(order.filled_amount),
            "904": order.original or NO_ORIGINAL,
            "905": self._kind(order),
            "906": type_text(order),
            "907": _SIDE_CODES[order.side],
            "908": change.now.at.strftime("%H%M%S"),
            **self._fill_values(change, state),
            **self._quotes(order),
            **_charges(order),
            "919": order.refusal or "0",
            **_origin(order),
            **self._credit(order, "922", "923"),
            "10010": f" {self.exchange.last_price(order.symbol, order.desk)}",
            "2134": venue_code,
            "2135": venue,
            "2136": is_smart,
        }

    def _kind(self, order: BookOrder) -> str:
        """매수신용 for a new order on credit, as in the ka views."""
        text = _KIND_FORMS[order.action].format(sign=_SIDE_SIGNS[order.side], side=_SIDE_TEXTS[order.side])
        return f"{text}신용" if self._is_told_credit(order) and order.action is Action.NEW else text

    def _credit(self, order: BookOrder, code: str, loan_date: str) -> Values:
        is_told = self._is_told_credit(order)
        return {
            code: _CREDIT_CODE if is_told else _CASH_CODE,
            loan_date: date_text(order.loan_date) if is_told else "",
        }

    def _is_told_credit(self, order: BookOrder) -> bool:
        return order.desk is Desk.CREDIT and self.reporting.tells_credit

    def _fill_values(self, change: Change, state: FeedState) -> Values:
        """Write the execution; all is empty in a frame about anything else."""
        before, order = change.before, change.after
        if state is not FeedState.FILLED or before is None:
            return dict.fromkeys(("909", "910", "911", "914", "915"), "")
        quantity = order.filled_quantity - before.filled_quantity
        price = (order.filled_amount - before.filled_amount) // quantity
        shown = (quantity, price)
        if self.reporting.cumulative:
            # Off the tick grid, as recorded (259,833). That it is rounded down is our choice.
            shown = (order.filled_quantity, order.filled_amount // order.filled_quantity)
        return {
            "909": order.execution_id or "",
            "910": str(shown[1]),
            "911": str(shown[0]),
            "914": str(price),
            "915": str(quantity),
        }

    def _symbol(self, order: BookOrder) -> str:
        if order.desk is Desk.GOLD:
            return order.symbol
        self._stock_frames += 1
        is_prefixed = {
            SymbolForm.PLAIN: False,
            SymbolForm.PREFIXED: True,
            SymbolForm.ALTERNATING: self._stock_frames % 2 == 0,
        }[self.reporting.symbols]
        return f"A{order.symbol}" if is_prefixed else order.symbol

    def _reference(self, order: BookOrder) -> int:
        return self.exchange.prices.get(order.symbol, DEFAULT_PRICES[order.desk])

    def _quotes(self, order: BookOrder) -> Values:
        """Write the last price and the best prices; their sign says whether the day is up or down."""
        last = self.exchange.last_price(order.symbol, order.desk)
        sign = "-" if last < self._reference(order) else "+"
        return {"10": f"{sign}{last}", "27": f"{sign}{last}", "28": f"{sign}{last - tick_size(order.desk, last)}"}

    def _position(self, order: BookOrder) -> _Position:
        """Bring the positions up to the last fill, and give the one of a symbol."""
        for fill in self.exchange.fills[self._fills_seen :]:
            held = self._opened(fill.symbol, order)
            if fill.side is Side.BUY:
                held.cost += fill.quantity * fill.price
                held.bought += fill.quantity * fill.price
            elif held.quantity > 0:
                held.cost -= held.cost * min(fill.quantity, held.quantity) // held.quantity
            signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
            held.quantity += signed
            held.net += signed
        self._fills_seen = len(self.exchange.fills)
        return self._opened(order.symbol, order)

    def _opened(self, symbol: str, order: BookOrder) -> _Position:
        if symbol not in self._positions:
            owned = self.holdings.get(symbol, 0)
            self._positions[symbol] = _Position(owned, owned * self._reference(order))
        return self._positions[symbol]

    def _balance_values(self, order: BookOrder) -> Values:
        position = self._position(order)
        held = max(position.quantity, 0)
        offered = order.leaves_quantity if order.side is Side.SELL else 0
        return {
            "9201": self.account,
            "9001": self._symbol(order),
            **self._credit(order, "917", "916"),
            "302": name_of(order.symbol),
            "930": str(held),
            "931": str(position.cost // held if held else 0),
            "932": str(position.bought),
            "933": str(max(held - offered, 0)),
            "945": str(position.net),
            "946": _SIDE_CODES[order.side],
            "950": "0",
            "951": "0",
            **self._quotes(order),
            "307": str(self._reference(order)),
            "8019": "0.00",
            "918": "",
            "924": "0",
            **dict.fromkeys(("957", "958", "959", "990", "991", "992", "993"), "0"),
        }


def _origin(order: BookOrder) -> Values:
    """Write where an order came from (화면번호, 터미널번호)."""
    if order.channel == Channel.REST_API:
        return {"920": "", "921": _REST_TERMINALS[order.side]}
    home = _OTHER_TERMINALS[Channel.HOME_TRADING.value]
    return {"920": _OTHER_SCREEN, "921": _OTHER_TERMINALS.get(order.channel, home)}
