"""Kiwoom's codes, as tables.

Weights of the sources: [O] published specification, [M] measured by somebody who runs a bot, [F] fixture in public
code, [S] said somewhere.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderType, Side

ORDER_PATHS: Final = {
    Desk.STOCK: "/api/dostk/ordr",
    Desk.GOLD: "/api/dostk/ordr",
    Desk.CREDIT: "/api/dostk/crdordr",
}
ACCOUNT_PATH: Final = "/api/dostk/acnt"

ORDER_TRS: Final[dict[tuple[Desk, Action, Side | None], str]] = {
    (Desk.STOCK, Action.NEW, Side.BUY): "kt10000",
    (Desk.STOCK, Action.NEW, Side.SELL): "kt10001",
    (Desk.STOCK, Action.MODIFY, None): "kt10002",
    (Desk.STOCK, Action.CANCEL, None): "kt10003",
    (Desk.CREDIT, Action.NEW, Side.BUY): "kt10006",
    (Desk.CREDIT, Action.NEW, Side.SELL): "kt10007",
    (Desk.CREDIT, Action.MODIFY, None): "kt10008",
    (Desk.CREDIT, Action.CANCEL, None): "kt10009",
    (Desk.GOLD, Action.NEW, Side.BUY): "kt50000",
    (Desk.GOLD, Action.NEW, Side.SELL): "kt50001",
    (Desk.GOLD, Action.MODIFY, None): "kt50002",
    (Desk.GOLD, Action.CANCEL, None): "kt50003",
}
"""The TR of a desk's verb; modify and cancel have one for both sides [O]."""

CANCEL_TRS: Final = frozenset(api_id for (_, action, _), api_id in ORDER_TRS.items() if action is Action.CANCEL)
"""The TRs that take orders back."""

ORDER_TYPE_CODES: Final[dict[OrderType, str]] = {
    OrderType.LIMIT: "0",
    OrderType.MARKET: "3",
    OrderType.CONDITIONAL_LIMIT: "5",
    OrderType.POST_MARKET_CLOSE: "81",
    OrderType.PRE_MARKET_CLOSE: "61",
    OrderType.AFTER_HOURS_SINGLE: "62",
    OrderType.BEST_LIMIT: "6",
    OrderType.PRIORITY_LIMIT: "7",
    OrderType.LIMIT_IOC: "10",
    OrderType.MARKET_IOC: "13",
    OrderType.BEST_LIMIT_IOC: "16",
    OrderType.LIMIT_FOK: "20",
    OrderType.MARKET_FOK: "23",
    OrderType.BEST_LIMIT_FOK: "26",
    OrderType.STOP_LIMIT: "28",
    OrderType.MIDPOINT: "29",
    OrderType.MIDPOINT_IOC: "30",
    OrderType.MIDPOINT_FOK: "31",
}
"""`trde_tp` of the stock desks [O]."""

GOLD_ORDER_TYPE_CODES: Final[dict[OrderType, str]] = {
    OrderType.LIMIT: "00",
    OrderType.LIMIT_IOC: "10",
    OrderType.LIMIT_FOK: "20",
}
"""`trde_tp` of the gold desk: two digits where stocks have one [O]."""


CREDIT_CODES: Final[dict[CreditKind, str]] = {CreditKind.LOAN: "33", CreditKind.ALL_LOANS: "99"}
"""`crd_deal_tp` of kt10007: 융자 and 융자합 [O]."""


@unique
class CodeMeaning(StrEnum):
    """What an intact answer with a code proves about the request."""

    BUSINESS_REFUSAL = "business_refusal"
    INPUT_ERROR = "input_error"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a meaning, not a token
    ACCESS_REFUSED = "access_refused"
    RATE_LIMIT = "rate_limit"
    EMPTY_LIST = "empty_list"


def _meanings() -> dict[str, CodeMeaning]:
    business = (
        # Mock [M], RC4007 and RC5006 [F], RC4025 and RC4061 over another interface of the same host.
        "RC4003 RC4007 RC4010 RC4025 RC4027 RC4033 RC4057 RC4058 RC4061 RC4091 RC5006 RC7006 RC9000 "
        # Real [M]; 505217, 509193, 509247, 571435, 571489, 506560, 571242 [F]; 857024 [S].
        "800033 855056 308003 502048 571357 571557 521790 505217 571412 571435 506550 506560 509193 509247 571489 "
        "857024 508540 571242 "
        # The gateway's own refusals of a whole TR [O].
        "8104 8200"
    )
    inputs = "1501 1504 1505 1511 1512 1513 1514 1515 1516 1517 1901 1902 1903"  # [O]
    access = "8001 8002 8003 8006 8009 8010 8011 8012 8015 8016 8020 8030 8040 8050"  # [O]
    return {
        **dict.fromkeys(business.split(), CodeMeaning.BUSINESS_REFUSAL),
        **dict.fromkeys(inputs.split(), CodeMeaning.INPUT_ERROR),
        # A new token helps against these [O: the published client renews on them].
        **dict.fromkeys(("8005", "8031", "8103"), CodeMeaning.TOKEN_REFUSED),
        # A new token does not help: wrong address, key of the other environment, device not registered.
        **dict.fromkeys(access.split(), CodeMeaning.ACCESS_REFUSED),
        # 1700 has been seen with the order on the book [M], so for an order it proves nothing; 1634 [M].
        **dict.fromkeys(("1700", "1701", "1702", "1634", "1687"), CodeMeaning.RATE_LIMIT),
        "571758": CodeMeaning.EMPTY_LIST,  # no open orders [M]
        "501724": CodeMeaning.EMPTY_LIST,  # no such records [F]
    }


CODE_MEANINGS: Final[dict[str, CodeMeaning]] = _meanings()
"""Every code that proves something. A code that is not here (1999 above all) proves nothing about an order."""
