"""The TRs the simulator serves: name, path, fields, and what each is for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from attrs import frozen

from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, Side


class Purpose(Enum):
    """What a TR does, as far as faults and limits care."""

    TOKEN = auto()
    ORDER = auto()
    QUERY = auto()


@frozen
class Field:
    """One field of a request body.

    Attributes:
        required_with: Another field and the value of it that makes this one required.
    """

    name: str
    length: int
    is_required: bool = True
    choices: frozenset[str] | None = None
    required_with: tuple[str, str] | None = None


def _field(name: str, length: int, choices: str = "") -> Field:
    return Field(name, length, choices=frozenset(choices.split()) or None)


def _optional(name: str, length: int) -> Field:
    return Field(name, length, is_required=False)


@frozen
class TransactionRule:
    """One TR.

    Attributes:
        desk, action, side: What an order TR asks for; None otherwise. A modify or a cancel has no side.
    """

    api_id: str
    path: str
    purpose: Purpose
    fields: tuple[Field, ...] = ()
    desk: Desk | None = None
    action: Action | None = None
    side: Side | None = None


TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path
REVOKE_PATH: Final = "/oauth2/revoke"
ACCOUNT_PATH: Final = "/api/dostk/acnt"
ORDER_PATH: Final = "/api/dostk/ordr"
CREDIT_PATH: Final = "/api/dostk/crdordr"
STOCK_PATH: Final = "/api/dostk/stkinfo"
MARKET_PATH: Final = "/api/dostk/mrkcond"
WEBSOCKET_PATH: Final = "/api/dostk/websocket"

ORDER_TYPE_CODES: Final[Mapping[str, OrderType]] = {
    "0": OrderType.LIMIT,
    "3": OrderType.MARKET,
    "5": OrderType.CONDITIONAL_LIMIT,
    "6": OrderType.BEST_LIMIT,
    "7": OrderType.PRIORITY_LIMIT,
    "10": OrderType.LIMIT_IOC,
    "13": OrderType.MARKET_IOC,
    "16": OrderType.BEST_LIMIT_IOC,
    "20": OrderType.LIMIT_FOK,
    "23": OrderType.MARKET_FOK,
    "26": OrderType.BEST_LIMIT_FOK,
    "28": OrderType.STOP_LIMIT,
    "29": OrderType.MIDPOINT,
    "30": OrderType.MIDPOINT_IOC,
    "31": OrderType.MIDPOINT_FOK,
    "61": OrderType.PRE_MARKET_CLOSE,
    "62": OrderType.AFTER_HOURS_SINGLE,
    "81": OrderType.POST_MARKET_CLOSE,
}
GOLD_TYPE_CODES: Final[Mapping[str, OrderType]] = {
    "00": OrderType.LIMIT,
    "10": OrderType.LIMIT_IOC,
    "20": OrderType.LIMIT_FOK,
}

_ROUTE: Final = _field("dmst_stex_tp", 3, "KRX NXT SOR")
_SYMBOL: Final = _field("stk_cd", 12)
_STOCK_NEW: Final = (
    _ROUTE,
    _SYMBOL,
    _field("ord_qty", 12),
    _optional("ord_uv", 12),
    _field("trde_tp", 2, " ".join(ORDER_TYPE_CODES)),
    _optional("cond_uv", 12),
)
ONE_LOAN: Final = "33"
"""`crd_deal_tp` for 융자, which needs the day of the loan; the other one is 99, 융자합."""
_CREDIT_SELL: Final = (
    *_STOCK_NEW,
    _field("crd_deal_tp", 2, f"{ONE_LOAN} 99"),
    Field("crd_loan_dt", 8, is_required=False, required_with=("crd_deal_tp", ONE_LOAN)),
)
_STOCK_MODIFY: Final = (
    _ROUTE,
    _field("orig_ord_no", 7),
    _SYMBOL,
    _field("mdfy_qty", 12),
    _field("mdfy_uv", 12),
    _optional("mdfy_cond_uv", 12),
)
_STOCK_CANCEL: Final = (_ROUTE, _field("orig_ord_no", 7), _SYMBOL, _field("cncl_qty", 12))
_GOLD_NEW: Final = (
    _SYMBOL,
    _field("ord_qty", 12),
    _optional("ord_uv", 12),
    _field("trde_tp", 2, " ".join(GOLD_TYPE_CODES)),
)
_GOLD_MODIFY: Final = (_SYMBOL, _field("orig_ord_no", 7), _field("mdfy_qty", 12), _field("mdfy_uv", 12))
_GOLD_CANCEL: Final = (_field("orig_ord_no", 7), _SYMBOL, _field("cncl_qty", 12))

_SIDES: Final = "0 1 2"
_BOND: Final = _field("stk_bond_tp", 1, "0 1 2")
_ROUTES: Final = _field("dmst_stex_tp", 6, "% KRX NXT SOR")
_VENUES: Final = _field("stex_tp", 1, "0 1 2")
_DETAIL: Final = (
    _optional("ord_dt", 8),
    _field("qry_tp", 1, "1 2 3 4"),
    _BOND,
    _field("sell_tp", 1, _SIDES),
    _optional("stk_cd", 12),
    _optional("fr_ord_no", 7),
    _ROUTES,
)


def _gold_list(side_field: str) -> tuple[Field, ...]:
    return (
        _field("ord_dt", 8),
        _optional("qry_tp", 1),
        _field("mrkt_deal_tp", 1),
        _BOND,
        _field(side_field, 1, _SIDES),
        _optional("stk_cd", 12),
        _optional("fr_ord_no", 7),
        _optional("dmst_stex_tp", 6),
    )


_ORDERS: Final = (
    ("kt10000", ORDER_PATH, _STOCK_NEW, Desk.STOCK, Action.NEW, Side.BUY),
    ("kt10001", ORDER_PATH, _STOCK_NEW, Desk.STOCK, Action.NEW, Side.SELL),
    ("kt10002", ORDER_PATH, _STOCK_MODIFY, Desk.STOCK, Action.MODIFY, None),
    ("kt10003", ORDER_PATH, _STOCK_CANCEL, Desk.STOCK, Action.CANCEL, None),
    ("kt10006", CREDIT_PATH, _STOCK_NEW, Desk.CREDIT, Action.NEW, Side.BUY),
    ("kt10007", CREDIT_PATH, _CREDIT_SELL, Desk.CREDIT, Action.NEW, Side.SELL),
    ("kt10008", CREDIT_PATH, _STOCK_MODIFY, Desk.CREDIT, Action.MODIFY, None),
    ("kt10009", CREDIT_PATH, _STOCK_CANCEL, Desk.CREDIT, Action.CANCEL, None),
    ("kt50000", ORDER_PATH, _GOLD_NEW, Desk.GOLD, Action.NEW, Side.BUY),
    ("kt50001", ORDER_PATH, _GOLD_NEW, Desk.GOLD, Action.NEW, Side.SELL),
    ("kt50002", ORDER_PATH, _GOLD_MODIFY, Desk.GOLD, Action.MODIFY, None),
    ("kt50003", ORDER_PATH, _GOLD_CANCEL, Desk.GOLD, Action.CANCEL, None),
)
_QUERIES: Final = (
    ("ka00001", ()),
    (
        "ka10075",
        (_field("all_stk_tp", 1, "0 1"), _field("trde_tp", 1, _SIDES), _optional("stk_cd", 6), _VENUES),
    ),
    (
        "ka10076",
        (
            _optional("stk_cd", 6),
            _field("qry_tp", 1, "0 1"),
            _field("sell_tp", 1, _SIDES),
            _optional("ord_no", 10),
            _VENUES,
        ),
    ),
    ("ka10088", (_field("ord_no", 20),)),
    ("kt00007", _DETAIL),
    (
        "kt00009",
        (
            _optional("ord_dt", 8),
            _BOND,
            _field("mrkt_tp", 1, "0 1 2 3 4"),
            _field("sell_tp", 1, _SIDES),
            _field("qry_tp", 1, "0 1"),
            _optional("stk_cd", 12),
            _optional("fr_ord_no", 7),
            _ROUTES,
        ),
    ),
    ("kt50030", _gold_list("slby_tp")),
    ("kt50031", _DETAIL),
    ("kt50075", _gold_list("sell_tp")),
    ("kt00001", (_field("qry_tp", 1, "2 3"),)),
    ("kt00005", (_field("dmst_stex_tp", 6, "KRX NXT"),)),
    (
        "kt00010",
        (
            _optional("io_amt", 12),
            _SYMBOL,
            _field("trde_tp", 1, "1 2"),
            _optional("trde_qty", 10),
            _field("uv", 10),
            _optional("exp_buy_unp", 10),
        ),
    ),
    ("kt00011", (_SYMBOL, _optional("uv", 10))),
    ("kt00012", (_SYMBOL, _optional("uv", 10))),
    ("kt00018", (_field("qry_tp", 1, "1 2"), _field("dmst_stex_tp", 6, "KRX NXT"))),
    ("kt50020", ()),
    ("kt50021", ()),
)
_QUOTES: Final = (("ka10001", STOCK_PATH), ("ka10004", MARKET_PATH))

_KEYS: Final = (_field("appkey", 200), _field("secretkey", 200))

TRANSACTIONS: Final[Mapping[str, TransactionRule]] = {
    rule.api_id: rule
    for rule in (
        TransactionRule("au10001", TOKEN_PATH, Purpose.TOKEN, (_field("grant_type", 30), *_KEYS)),
        TransactionRule("au10002", REVOKE_PATH, Purpose.TOKEN, (*_KEYS, _field("token", 1000))),
        *(
            TransactionRule(api_id, path, Purpose.ORDER, fields, desk, action, side)
            for api_id, path, fields, desk, action, side in _ORDERS
        ),
        *(TransactionRule(api_id, ACCOUNT_PATH, Purpose.QUERY, fields) for api_id, fields in _QUERIES),
        *(TransactionRule(api_id, path, Purpose.QUERY, (_field("stk_cd", 20),)) for api_id, path in _QUOTES),
    )
}

ORDER_API_IDS: Final = frozenset(api_id for api_id, *_ in _ORDERS)
QUERY_API_IDS: Final = frozenset(api_id for api_id, _ in (*_QUERIES, *_QUOTES))
