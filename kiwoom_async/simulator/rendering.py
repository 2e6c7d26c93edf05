"""How the broker writes an order down: each view's row with its own names, paddings, times and texts.

The quirks are Kiwoom's, not ours: left zero padding in the kt views, plain numbers in the ka views, two forms
of time, no time at all for gold, text where the request had a code. Written from the published field tables,
and knowing nothing of the library's own reader, so that a wrong reader cannot be confirmed by its own twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
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
from kiwoom_async.simulator.orders import NO_ORIGINAL, BookOrder, Flavour

Row = dict[str, str]

NAMES: Final[Mapping[str, str]] = {
    "005930": "삼성전자",
    "000660": "SK하이닉스",
    "035420": "NAVER",
    "039490": "키움증권",
    **GOLD_SYMBOLS,
}

_TYPE_TEXTS: Final[Mapping[OrderType, str]] = {
    **{order_type: rule.korean for order_type, rule in ORDER_TYPE_RULES.items()},
    OrderType.LIMIT: "보통",
}
_SIDE_TEXTS: Final = {Side.BUY: "매수", Side.SELL: "매도"}
_SIDE_SIGNS: Final = {Side.BUY: "+", Side.SELL: "-"}
_ACTION_TEXTS: Final = {Action.NEW: "", Action.MODIFY: "정정", Action.CANCEL: "취소"}
_MONEY_TEXTS: Final = {Desk.STOCK: "현금", Desk.CREDIT: "융자", Desk.GOLD: ""}
_VENUE_CODES: Final = {Route.SOR: "0", Route.KRX: "1", Route.NXT: "2"}
_VENUE_TEXTS: Final = {Route.SOR: "SOR", Route.KRX: "KRX", Route.NXT: "NXT"}
_NUMBER: Final = 10
_AMOUNT: Final = 12


@unique
class _Mark(StrEnum):
    ACCEPTED = "접수"
    CONFIRMED = "확인"
    FILLED = "체결"


@frozen
class _Habit:
    """What the two environments print differently in the ledger."""

    normal: str
    changed: Mapping[Action, str]
    acceptance: _Mark


_HABITS: Final[Mapping[Flavour, _Habit]] = {
    # Real: a fixture of a public bot. Mock: "일반" is measured, "취소확인" a fixture.
    Flavour.REAL: _Habit("", {Action.MODIFY: "정정", Action.CANCEL: "취소"}, _Mark.CONFIRMED),
    Flavour.MOCK: _Habit("일반", {Action.MODIFY: "정정확인", Action.CANCEL: "취소확인"}, _Mark.ACCEPTED),
}


@frozen
class Scene:
    """What a row needs beside its order.

    Attributes:
        last_price: Gives the last price of a symbol.
        tells_credit: Whether the ledger's texts tell an order on credit from one for cash.
    """

    account: str
    flavour: Flavour
    last_price: Callable[[str], int]
    tells_credit: bool = True


def padded(value: int | None, width: int = _NUMBER) -> str:
    """Write a number as the kt views do."""
    number = value or 0
    return f"-{-number:0{width - 1}d}" if number < 0 else f"{number:0{width}d}"


def _colons(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%H:%M:%S")


def _compact(moment: datetime) -> str:
    return moment.strftime("%H%M%S")


def name_of(symbol: str) -> str:
    """Give the name of a symbol; for an unknown one the symbol itself."""
    return NAMES.get(symbol, symbol)


def _change_text(order: BookOrder, flavour: Flavour) -> str:
    habit = _HABITS[flavour]
    return habit.changed.get(order.action, habit.normal)


def _acceptance_text(order: BookOrder, flavour: Flavour) -> str:
    return _Mark.ACCEPTED if order.action is Action.NEW else _HABITS[flavour].acceptance


def _ledger_kind(order: BookOrder, scene: Scene) -> str:
    """현금매수, 매수정정, 매수취소: the ledger's word for what a row is."""
    side = _SIDE_TEXTS[order.side]
    if order.action is Action.NEW and scene.tells_credit:
        return f"{_MONEY_TEXTS[order.desk]}{side}"
    return f"{side}{_ACTION_TEXTS[order.action]}"


def _signed_kind(order: BookOrder) -> str:
    """+매수, -매도정정, +매수신용: the same in the ka views."""
    credit = "신용" if order.desk is Desk.CREDIT and order.action is Action.NEW else ""
    return f"{_SIDE_SIGNS[order.side]}{_SIDE_TEXTS[order.side]}{_ACTION_TEXTS[order.action]}{credit}"


def type_text(order: BookOrder) -> str:
    """Give the broker's word for the type of an order."""
    if order.desk is Desk.GOLD and order.order_type is OrderType.LIMIT:
        return "지정가"
    return _TYPE_TEXTS[order.order_type]


def _credit_text(order: BookOrder, scene: Scene) -> str:
    return "융자" if order.desk is Desk.CREDIT and scene.tells_credit else "보통매매"


def date_text(day: date | None) -> str:
    """Write a day; none is empty."""
    return "" if day is None else f"{day:%Y%m%d}"


def _detail(order: BookOrder, scene: Scene, symbol: str, leaves: str) -> Row:
    return {
        "ord_no": order.broker_order_id,
        "stk_cd": symbol,
        "trde_tp": type_text(order),
        "crd_tp": _credit_text(order, scene),
        "ord_qty": padded(order.quantity),
        "ord_uv": padded(order.price),
        "cnfm_qty": padded(order.confirmed_quantity),
        "acpt_tp": _acceptance_text(order, scene.flavour),
        "rsrv_tp": "",
        "ord_tm": _colons(order.accepted_at),
        "ori_ord": order.original or NO_ORIGINAL,
        "stk_nm": name_of(order.symbol),
        "io_tp_nm": _ledger_kind(order, scene),
        "loan_dt": date_text(order.loan_date) if scene.tells_credit else "",
        "cntr_qty": padded(order.filled_quantity),
        "cntr_uv": padded(order.average_fill_price),
        "ord_remnq": leaves,
        "comm_ord_tp": order.channel,
        "mdfy_cncl": _change_text(order, scene.flavour),
        "cnfm_tm": _colons(order.confirmed_at),
        "dmst_stex_tp": order.route.value,
        "cond_uv": padded(order.stop_price),
    }


def kt00007_row(order: BookOrder, scene: Scene) -> Row:
    """One row of the stock ledger."""
    return _detail(order, scene, f"A{order.symbol}", padded(order.leaves_quantity))


def kt50031_row(order: BookOrder, scene: Scene) -> Row:
    """One row of the gold ledger; as in the published example, an open order without a fill has 0 left."""
    leaves = padded(order.leaves_quantity if order.filled_quantity else 0)
    return _detail(order, scene, order.symbol, leaves)


def kt00009_row(order: BookOrder, scene: Scene) -> Row:
    """One row of the day's status."""
    return {
        "stk_bond_tp": "1",
        "ord_no": order.broker_order_id,
        "stk_cd": f"A{order.symbol}",
        "trde_tp": type_text(order),
        "io_tp_nm": _ledger_kind(order, scene),
        "ord_qty": padded(order.quantity),
        "ord_uv": padded(order.price),
        "cnfm_qty": padded(order.confirmed_quantity),
        "rsrv_oppo": "",
        "cntr_no": order.execution_id.zfill(7) if order.execution_id else "",
        "acpt_tp": _acceptance_text(order, scene.flavour),
        "orig_ord_no": order.original or NO_ORIGINAL,
        "stk_nm": name_of(order.symbol),
        "setl_tp": "삼일결제",
        "crd_deal_tp": _credit_text(order, scene),
        "cntr_qty": padded(order.filled_quantity),
        "cntr_uv": padded(order.average_fill_price),
        "comm_ord_tp": order.channel,
        "mdfy_cncl_tp": _change_text(order, scene.flavour),
        "cntr_tm": _colons(order.filled_at),
        "dmst_stex_tp": order.route.value,
        "cond_uv": padded(order.stop_price),
    }


def gold_row(order: BookOrder, scene: Scene) -> Row:
    """One row of kt50030 and kt50075: no time at all, and no leaves quantity on it."""
    return {
        "stk_bond_tp": "1",
        "ord_no": order.broker_order_id,
        "stk_cd": order.symbol,
        "trde_tp": type_text(order),
        "io_tp_nm": _ledger_kind(order, scene),
        "ord_qty": padded(order.quantity),
        "ord_uv": padded(order.price),
        "cnfm_qty": padded(order.confirmed_quantity),
        "data_send_end_tp": _acceptance_text(order, scene.flavour),
        "mrkt_deal_tp": "5",
        "rsrv_tp": "",
        "orig_ord_no": order.original or NO_ORIGINAL,
        "stk_nm": name_of(order.symbol),
        "dcd_tp_nm": "",
        "crd_deal_tp": "보통매매",
        "cntr_qty": padded(order.filled_quantity),
        "cntr_uv": padded(order.average_fill_price),
        "ord_remnq": "",
        "comm_ord_tp": order.channel,
        "mdfy_cncl_tp": _change_text(order, scene.flavour),
        "dmst_stex_tp": order.route.value,
        "cond_uv": padded(order.stop_price),
    }


def kt50075_row(order: BookOrder, scene: Scene) -> Row:
    """One open gold order; this view does fill in what is left."""
    return gold_row(order, scene) | {"ord_remnq": padded(order.leaves_quantity)}


def _venue(order: BookOrder) -> Row:
    return {
        "stex_tp": _VENUE_CODES[order.route],
        "stex_tp_txt": _VENUE_TEXTS[order.route],
        "sor_yn": "Y" if order.route is Route.SOR else "N",
    }


def ka10075_row(order: BookOrder, scene: Scene) -> Row:
    """One open order."""
    last = scene.last_price(order.symbol)
    filled = order.average_fill_price
    return {
        "acnt_no": scene.account,
        "ord_no": order.broker_order_id,
        "mang_empno": "",
        "stk_cd": order.symbol,
        "tsk_tp": "",
        "ord_stt": _Mark.FILLED if filled else _Mark.ACCEPTED,
        "stk_nm": name_of(order.symbol),
        "ord_qty": str(order.quantity),
        "ord_pric": str(order.price or 0),
        "oso_qty": str(order.leaves_quantity),
        "cntr_tot_amt": str(order.filled_amount),
        "orig_ord_no": order.original or NO_ORIGINAL,
        "io_tp_nm": _signed_kind(order),
        "trde_tp": type_text(order),
        "tm": _compact(order.accepted_at),
        "cntr_no": order.execution_id or "",
        "cntr_pric": str(filled or 0),
        "cntr_qty": str(order.filled_quantity),
        "cur_prc": f"+{last}",
        "sel_bid": f"+{last}",
        "buy_bid": f"+{last}",
        "unit_cntr_pric": str(filled) if filled else "",
        "unit_cntr_qty": str(order.filled_quantity) if filled else "",
        "tdy_trde_cmsn": "0",
        "tdy_trde_tax": "0",
        "ind_invsr": "",
        **_venue(order),
        "stop_pric": str(order.stop_price or 0),
    }


def ka10076_row(order: BookOrder, scene: Scene) -> Row:  # noqa: ARG001 - one signature for all rows
    """One order with fills, cumulative."""
    return {
        "ord_no": order.broker_order_id,
        "stk_nm": name_of(order.symbol),
        "io_tp_nm": _signed_kind(order),
        "ord_pric": str(order.price or 0),
        "ord_qty": str(order.quantity),
        "cntr_pric": str(order.average_fill_price or 0),
        "cntr_qty": str(order.filled_quantity),
        "oso_qty": str(order.leaves_quantity),
        "tdy_trde_cmsn": "0",
        "tdy_trde_tax": "0",
        "ord_stt": _Mark.FILLED,
        "trde_tp": type_text(order),
        "orig_ord_no": order.original or NO_ORIGINAL,
        "ord_tm": _compact(order.accepted_at),
        "stk_cd": order.symbol,
        **_venue(order),
        "stop_pric": str(order.stop_price or 0),
    }


def ka10088_row(order: BookOrder, scene: Scene) -> Row:
    """The part of an order at one venue; the simulator keeps a SOR order whole, at KRX."""
    is_split = order.route is Route.SOR
    return {
        "acnt_no": scene.account,
        "stk_cd": order.symbol,
        "stk_nm": name_of(order.symbol),
        "ord_no": order.broker_order_id,
        "ord_qty": str(order.quantity),
        "ord_pric": str(order.price or 0),
        "osop_qty": str(order.leaves_quantity),
        "io_tp_nm": _signed_kind(order),
        "trde_tp": type_text(order),
        "sell_tp": "2" if order.side is Side.BUY else "1",
        "cntr_qty": str(order.filled_quantity),
        "ord_stt": _Mark.FILLED if order.filled_quantity else _Mark.ACCEPTED,
        "cur_prc": f"+{scene.last_price(order.symbol)}",
        "stex_tp": "1" if is_split else _VENUE_CODES[order.route],
        "stex_tp_txt": "S-KRX" if is_split else _VENUE_TEXTS[order.route],
    }


def status_totals(orders: list[BookOrder]) -> Row:
    """The sums at the head of kt00009."""
    sold = sum(order.filled_amount for order in orders if order.side is Side.SELL)
    bought = sum(order.filled_amount for order in orders if order.side is Side.BUY)
    return {
        "sell_grntl_engg_amt": padded(sold, _AMOUNT),
        "buy_engg_amt": padded(bought, _AMOUNT),
        "engg_amt": padded(sold + bought, _AMOUNT),
    }


_DONE: Final[Mapping[tuple[Desk, Action], str]] = {
    (Desk.STOCK, Action.NEW): "{}주문이 완료되었습니다.",
    (Desk.STOCK, Action.MODIFY): "{}정정 주문입력이 완료되었습니다",
    (Desk.STOCK, Action.CANCEL): "{}취소 주문입력이 완료되었습니다",
    (Desk.CREDIT, Action.NEW): "신용 {}주문이 완료되었습니다.",
    (Desk.CREDIT, Action.MODIFY): "신용 {}정정 주문입력이 완료되었습니다",
    (Desk.CREDIT, Action.CANCEL): "신용 {}취소 주문입력이 완료되었습니다",
    (Desk.GOLD, Action.NEW): "{}주문이 완료되었습니다.",
    (Desk.GOLD, Action.MODIFY): "{}정정주문입력이 완료되었습니다",
    (Desk.GOLD, Action.CANCEL): "{}취소주문입력이 완료되었습니다",
}


def acceptance(order: BookOrder, flavour: Flavour) -> dict[str, str | int]:
    """The answer to an accepted order request."""
    side = _SIDE_TEXTS[order.side]
    answer: dict[str, str | int] = {"ord_no": order.broker_order_id}
    if order.action is not Action.NEW:
        answer["base_orig_ord_no"] = order.root
    if order.action is Action.MODIFY:
        answer["mdfy_qty"] = padded(order.quantity, _AMOUNT)
    if order.action is Action.CANCEL:
        answer["cncl_qty"] = padded(order.confirmed_quantity, _AMOUNT)
    elif order.desk is not Desk.GOLD:
        # A cancel does not repeat the route, and gold has none.
        answer["dmst_stex_tp"] = order.route.value
    answer["return_code"] = 0
    if flavour is Flavour.MOCK:
        answer["return_msg"] = f"모의투자 {side}{_ACTION_TEXTS[order.action]}주문완료"
    else:
        answer["return_msg"] = _DONE[order.desk, order.action].format(side)
    return answer
