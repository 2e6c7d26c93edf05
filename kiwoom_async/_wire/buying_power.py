"""How much may be ordered: the calls, and their answers as domain records.

Source of the field lists: Kiwoom's published guide [O]; of kt00012's, two public clients that agree [F].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kiwoom_async._domain.buying_power import BuyingPower, CreditBuyingPower, OrderFunds, RateCapacity
from kiwoom_async._domain.vocabulary import Side
from kiwoom_async._wire.account import MARGIN_RATES
from kiwoom_async._wire.codes import ACCOUNT_PATH
from kiwoom_async._wire.fields import AMOUNT, COUNT, FLAG, RATE, TEXT, Table, read_fields
from kiwoom_async._wire.requests import Call

_SUM: Final = AMOUNT.optional
_UNITS: Final = COUNT.optional

BUYING_POWER: Final[Table] = {
    "quantity": ("min_ord_alowq", COUNT),
    "amount": ("min_ord_alow_amt", AMOUNT),
    "reuse_yesterday": ("min_pred_reu_amt", _SUM),
    "reuse_today": ("min_tdy_reu_amt", _SUM),
    "symbol_margin_rate": ("stk_profa_rt", RATE.optional),
    "account_margin_rate": ("profa_rt", RATE.optional),
    "applied_margin_rate": ("aplc_rt", RATE.optional),
    "deposit": ("entr", AMOUNT),
    "orderable_cash": ("ord_alowa", AMOUNT),
    "substitutes": ("repl_amt", _SUM),
    "orderable_substitutes": ("ord_pos_repl", _SUM),
    "receivables": ("uncla", _SUM),
}
"""kt00011, without its rates."""

CREDIT_BUYING_POWER: Final[Table] = {
    "deposit_class": ("stk_assr_rt", TEXT),
    "deposit_rate": ("stk_assr_rt_nm", RATE.optional),
    "amount": ("min_amt", AMOUNT),
    "quantity": ("min_qty", COUNT),
    "amount_with_receivables": ("out_alowa", _SUM),
    "quantity_with_receivables": ("out_pos_qty", _UNITS),
    "deposit": ("entr", AMOUNT),
    "orderable_cash": ("ord_alowa", AMOUNT),
    "substitutes": ("repl_amt", _SUM),
    "orderable_substitutes": ("ord_pos_repl", _SUM),
    "receivables": ("uncla", _SUM),
}
"""kt00012, without its rates."""

ORDER_FUNDS: Final[Table] = {
    "orderable_cash": ("ord_alowa", AMOUNT),
    "withdrawable": ("wthd_alowa", AMOUNT),
    "withdrawable_tomorrow": ("nxdy_wthd_alowa", _SUM),
    "deposit": ("entr", AMOUNT),
    "deposit_in_2_days": ("d2entra", _SUM),
    "purchase_amount": ("pur_amt", _SUM),
    "commission": ("cmsn", _SUM),
    "settlement": ("pur_exct_amt", _SUM),
    "reuse_yesterday": ("pred_reu_alowa", _SUM),
    "reuse_today": ("tdy_reu_alowa", _SUM),
    "substitutes": ("repl_amt", _SUM),
    "orderable_substitutes": ("ord_pos_repl", _SUM),
    "receivables": ("uncla", _SUM),
    "has_reduced_margin": ("profa_rdex_aplc_tp", FLAG.optional),
}
"""kt00010, without its rates."""

DEPOSIT_RATES: Final = (30, 40, 50, 60)
"""보증금율, percent. Source: the fields of TR kt00012 [F]."""


def capacity_table(prefix: str, *, has_reuse: bool) -> Table:
    """Name the fields of one rate.

    Args:
        prefix: What stands before each, for example "profa_20".
        has_reuse: The TR shows money that is used again, too.
    """
    table: Table = {"amount": (f"{prefix}ord_alow_amt", _SUM), "quantity": (f"{prefix}ord_alowq", _UNITS)}
    if not has_reuse:
        return table
    return {
        **table,
        "reuse_yesterday": (f"{prefix}pred_reu_amt", _SUM),
        "reuse_today": (f"{prefix}tdy_reu_amt", _SUM),
    }


def _read_capacities(
    api_id: str, body: Mapping[str, Any], prefixes: Mapping[str, RateCapacity], *, has_reuse: bool
) -> Iterator[RateCapacity]:
    for prefix, named in prefixes.items():
        fields = read_fields(api_id, body, capacity_table(prefix, has_reuse=has_reuse))
        # The rates that do not concern an account are left empty [O, example].
        if fields["amount"] is not None or fields["quantity"] is not None:
            yield RateCapacity(rate=named.rate, is_reduced=named.is_reduced, **fields)


MARGIN_PREFIXES: Final = {f"profa_{rate}": RateCapacity(rate, None, None) for rate in MARGIN_RATES}
REDUCED_PREFIXES: Final = {"profa_rdex_60": RateCapacity(60, None, None, is_reduced=True)}
DEPOSIT_PREFIXES: Final = {f"assr_{rate}": RateCapacity(rate, None, None) for rate in DEPOSIT_RATES}


def _unit_price(price: int | None) -> str:
    return "" if price is None else str(price)


def buying_power_call(symbol: str, price: int | None) -> Call:
    """Ask what may be bought (kt00011)."""
    return Call("kt00011", ACCOUNT_PATH, {"stk_cd": symbol, "uv": _unit_price(price)})


def credit_buying_power_call(symbol: str, price: int | None) -> Call:
    """Ask what may be bought on credit (kt00012)."""
    return Call("kt00012", ACCOUNT_PATH, {"stk_cd": symbol, "uv": _unit_price(price)})


def order_funds_call(symbol: str, side: Side, price: int, quantity: int | None) -> Call:
    """Ask what an order would do to the cash (kt00010)."""
    body = {
        "io_amt": "",
        "stk_cd": symbol,
        "trde_tp": "2" if side is Side.BUY else "1",
        "trde_qty": "" if quantity is None else str(quantity),
        "uv": str(price),
        "exp_buy_unp": "",
    }
    return Call("kt00010", ACCOUNT_PATH, body)


def decode_buying_power(api_id: str, symbol: str, price: int | None, body: Mapping[str, Any]) -> BuyingPower:
    """Read kt00011.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return BuyingPower(
        symbol=symbol,
        price=price,
        by_margin_rate=tuple(_read_capacities(api_id, body, MARGIN_PREFIXES, has_reuse=True)),
        **read_fields(api_id, body, BUYING_POWER),
    )


def decode_credit_buying_power(
    api_id: str, symbol: str, price: int | None, body: Mapping[str, Any]
) -> CreditBuyingPower:
    """Read kt00012.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return CreditBuyingPower(
        symbol=symbol,
        price=price,
        by_deposit_rate=tuple(_read_capacities(api_id, body, DEPOSIT_PREFIXES, has_reuse=True)),
        **read_fields(api_id, body, CREDIT_BUYING_POWER),
    )


def decode_order_funds(api_id: str, symbol: str, side: Side, price: int, body: Mapping[str, Any]) -> OrderFunds:
    """Read kt00010.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    rates = MARGIN_PREFIXES | REDUCED_PREFIXES
    return OrderFunds(
        symbol=symbol,
        side=side,
        price=price,
        by_margin_rate=tuple(_read_capacities(api_id, body, rates, has_reuse=False)),
        **read_fields(api_id, body, ORDER_FUNDS),
    )
