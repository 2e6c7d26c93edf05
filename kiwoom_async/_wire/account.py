"""Balances and deposits: the calls, and their answers as domain records.

Source of the field lists: Kiwoom's published guide [O]; of kt00005's, two public clients that agree [F].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kiwoom_async._domain.account import (
    AccountNumber,
    BalanceTotals,
    Deposit,
    FilledPosition,
    FilledTotals,
    GoldDeposit,
    GoldHolding,
    GoldTotals,
    Holding,
    RateAmount,
)
from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._wire.codes import ACCOUNT_PATH
from kiwoom_async._wire.fields import (
    ACCOUNT_NUMBER,
    AMOUNT,
    AVERAGE,
    COUNT,
    DATE,
    MARKET_PRICE,
    RATE,
    SYMBOL,
    TEXT,
    Table,
    read_field,
    read_fields,
    read_rows,
)
from kiwoom_async._wire.requests import Call

_SUM: Final = AMOUNT.optional
_UNITS: Final = COUNT.optional

HOLDINGS_KEY: Final = "acnt_evlt_remn_indv_tot"
HOLDING: Final[Table] = {
    "symbol": ("stk_cd", SYMBOL),
    "name": ("stk_nm", TEXT),
    "quantity": ("rmnd_qty", COUNT),
    "sellable_quantity": ("trde_able_qty", COUNT),
    "average_price": ("pur_pric", AVERAGE),
    "last_price": ("cur_prc", MARKET_PRICE),
    "previous_close": ("pred_close_pric", MARKET_PRICE),
    "purchase_amount": ("pur_amt", AMOUNT),
    "evaluation": ("evlt_amt", AMOUNT),
    "profit": ("evltv_prft", AMOUNT),
    "profit_rate": ("prft_rt", RATE),
    "weight": ("poss_rt", RATE.optional),
    "bought_today": ("tdy_buyq", _UNITS),
    "sold_today": ("tdy_sellq", _UNITS),
    "bought_yesterday": ("pred_buyq", _UNITS),
    "sold_yesterday": ("pred_sellq", _UNITS),
    "purchase_commission": ("pur_cmsn", _SUM),
    "sale_commission": ("sell_cmsn", _SUM),
    "tax": ("tax", _SUM),
    "commissions": ("sum_cmsn", _SUM),
    "credit_code": ("crd_tp", TEXT),
    "credit_name": ("crd_tp_nm", TEXT),
    "loan_date": ("crd_loan_dt", DATE),
}
"""kt00018, one row."""

BALANCE_TOTALS: Final[Table] = {
    "purchase_amount": ("tot_pur_amt", AMOUNT),
    "evaluation": ("tot_evlt_amt", AMOUNT),
    "profit": ("tot_evlt_pl", AMOUNT),
    "profit_rate": ("tot_prft_rt", RATE),
    "estimated_assets": ("prsm_dpst_aset_amt", AMOUNT),
    "loans": ("tot_loan_amt", _SUM),
    "credit_loans": ("tot_crd_loan_amt", _SUM),
    "stock_loans": ("tot_crd_ls_amt", _SUM),
}
"""kt00018, its head."""

POSITIONS_KEY: Final = "stk_cntr_remn"
FILLED_POSITION: Final[Table] = {
    "symbol": ("stk_cd", SYMBOL),
    "name": ("stk_nm", TEXT),
    "quantity": ("cur_qty", COUNT),
    "settled_quantity": ("setl_remn", COUNT),
    "average_price": ("buy_uv", AVERAGE),
    "last_price": ("cur_prc", MARKET_PRICE),
    "purchase_amount": ("pur_amt", AMOUNT),
    "evaluation": ("evlt_amt", AMOUNT),
    "profit": ("evltv_prft", AMOUNT),
    "profit_rate": ("pl_rt", RATE),
    "credit_code": ("crd_tp", TEXT),
    "loan_date": ("loan_dt", DATE),
    "expiry_date": ("expr_dt", DATE),
}
"""kt00005, one row."""

FILLED_TOTALS: Final[Table] = {
    "deposit": ("entr", AMOUNT),
    "deposit_in_1_day": ("entr_d1", AMOUNT),
    "deposit_in_2_days": ("entr_d2", AMOUNT),
    "withdrawable": ("pymn_alow_amt", AMOUNT),
    "orderable_cash": ("ord_alowa", AMOUNT),
    "cash_margin": ("profa_ch", _SUM),
    "receivables": ("ch_uncla", _SUM),
    "substitutes": ("repl_amt", _SUM),
    "unpaid_loans": ("nrpy_loan", _SUM),
    "purchase_amount": ("stk_buy_tot_amt", AMOUNT),
    "evaluation": ("evlt_amt_tot", AMOUNT),
    "profit": ("tot_pl_tot", AMOUNT),
    "profit_rate": ("tot_pl_rt", RATE),
    "repurchase_power": ("tot_re_buy_alowa", _SUM),
    "credit_loans": ("crd_loan_tot", _SUM),
    "collateral_rate": ("crd_grnt_rt", RATE.optional),
}
"""kt00005, its head."""

DEPOSIT: Final[Table] = {
    "deposit": ("entr", AMOUNT),
    "orderable": ("ord_alow_amt", AMOUNT),
    "withdrawable": ("pymn_alow_amt", AMOUNT),
    "cash_margin": ("profa_ch", _SUM),
    "deposit_in_1_day": ("d1_entra", _SUM),
    "sold_in_1_day": ("d1_sel_exct_amt", _SUM),
    "bought_in_1_day": ("d1_buy_exct_amt", _SUM),
    "settlement_in_1_day": ("d1_slby_exct_amt", _SUM),
    "withdrawable_in_1_day": ("d1_pymn_alow_amt", _SUM),
    "deposit_in_2_days": ("d2_entra", _SUM),
    "sold_in_2_days": ("d2_sel_exct_amt", _SUM),
    "bought_in_2_days": ("d2_buy_exct_amt", _SUM),
    "settlement_in_2_days": ("d2_slby_exct_amt", _SUM),
    "withdrawable_in_2_days": ("d2_pymn_alow_amt", _SUM),
    "receivables": ("ch_uncla", _SUM),
    "receivables_total": ("ch_uncla_tot", _SUM),
    "unpaid_interest": ("crd_int_npay", _SUM),
    "substitutes": ("repl_amt", _SUM),
    "unpaid_loans": ("nrpy_loan", _SUM),
    "loans": ("loan_sum", _SUM),
    "stock_loans": ("ls_sum", _SUM),
    "collateral_rate": ("crd_grnt_rt", RATE.optional),
}
"""kt00001; the fields of other products among its 84 are left out."""

MARGIN_RATES: Final = (20, 30, 40, 50, 60, 100)
"""증거금율, percent. Source: the fields of TRs kt00001, kt00010 and kt00011 [O]."""

GOLD_HOLDINGS_KEY: Final = "gold_acnt_evlt_prst"
GOLD_HOLDING: Final[Table] = {
    "symbol": ("stk_cd", SYMBOL),
    "name": ("stk_nm", TEXT),
    "quantity": ("real_qty", COUNT),
    "settled_quantity": ("qty", COUNT),
    "sellable_quantity": ("able_qty", COUNT),
    "bought_quantity": ("buy_qty", _UNITS),
    "sold_quantity": ("sell_qty", _UNITS),
    "average_price": ("avg_prc", AVERAGE),
    "break_even_price": ("pl_prch_prc", AVERAGE.optional),
    "last_price": ("cur_prc", MARKET_PRICE),
    "purchase_amount": ("book_amt2", AMOUNT),
    "evaluation": ("est_amt", AMOUNT),
    "profit": ("est_lspft", AMOUNT),
    "profit_rate": ("est_ratio", RATE),
    "commission": ("cmsn", _SUM),
    "value_added_tax": ("vlad_tax", _SUM),
}
"""kt50020, one row."""

GOLD_TOTALS: Final[Table] = {
    "deposit": ("tot_entr", AMOUNT),
    "estimated_deposit": ("net_entr", AMOUNT),
    "evaluation": ("tot_est_amt", AMOUNT),
    "assets": ("net_amt", AMOUNT),
    "purchase_amount": ("tot_book_amt2", AMOUNT),
    "estimated_assets": ("tot_dep_amt", AMOUNT),
    "withdrawable": ("paym_alowa", AMOUNT),
    "realized_profit": ("pl_amt", AMOUNT),
}
"""kt50020, its head."""

GOLD_DEPOSIT: Final[Table] = {
    "deposit": ("entra", AMOUNT),
    "orderable": ("ord_alow_amt", AMOUNT),
    "withdrawable": ("pymn_alow_amt", AMOUNT),
    "cash_margin": ("profa_ch", _SUM),
    "estimated_deposit": ("prsm_entra", _SUM),
    "estimated_withdrawable": ("prsm_pymn_alow_amt", _SUM),
    "bought": ("buy_exct_amt", _SUM),
    "sold": ("sell_exct_amt", _SUM),
    "settlement": ("sell_buy_exct_amt", _SUM),
    "checks": ("chck_ina_amt", _SUM),
    "receivables": ("dly_amt", _SUM),
    "other_loans": ("etc_loan", _SUM),
    "other_loan_arrears": ("etc_loan_dlfe", _SUM),
    "other_loans_total": ("etc_loan_tot", _SUM),
}
"""kt50021."""


def account_number_call() -> Call:
    """Ask for the account number (ka00001)."""
    return Call("ka00001", ACCOUNT_PATH, {})


def balance_call(venue: Route, *, each_loan: bool) -> Call:
    """Ask for the evaluated holdings (kt00018).

    Args:
        venue: KRX or NXT: whose prices the evaluation uses.
        each_loan: 개별: a row for each loan. False: 합산, summed up.
    """
    return Call("kt00018", ACCOUNT_PATH, {"qry_tp": "2" if each_loan else "1", "dmst_stex_tp": venue.value})


def filled_balance_call(venue: Route) -> Call:
    """Ask for cash and positions with today's fills (kt00005)."""
    return Call("kt00005", ACCOUNT_PATH, {"dmst_stex_tp": venue.value})


def deposit_call(*, estimated: bool) -> Call:
    """Ask for the cash (kt00001): 추정조회 or 일반조회."""
    return Call("kt00001", ACCOUNT_PATH, {"qry_tp": "3" if estimated else "2"})


def gold_balance_call() -> Call:
    """Ask for the gold (kt50020)."""
    return Call("kt50020", ACCOUNT_PATH, {})


def gold_deposit_call() -> Call:
    """Ask for the cash of the gold account (kt50021)."""
    return Call("kt50021", ACCOUNT_PATH, {})


def decode_account_number(api_id: str, body: Mapping[str, Any]) -> AccountNumber:
    """Read ka00001.

    Raises:
        QueryFailed: The number is missing or no number; the text shows nothing of it.
    """
    return AccountNumber(read_field(api_id, body, "acctNo", ACCOUNT_NUMBER))


def decode_holdings(api_id: str, body: Mapping[str, Any]) -> tuple[Holding, ...]:
    """Read the rows of a page of kt00018.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return read_rows(api_id, body, HOLDINGS_KEY, HOLDING, Holding)


def decode_balance_totals(api_id: str, body: Mapping[str, Any]) -> BalanceTotals | None:
    """Read the head of kt00018; None where the broker said by its code that there is nothing.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return BalanceTotals(**read_fields(api_id, body, BALANCE_TOTALS)) if body else None


def decode_filled_positions(api_id: str, body: Mapping[str, Any]) -> tuple[FilledPosition, ...]:
    """Read the rows of a page of kt00005.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return read_rows(api_id, body, POSITIONS_KEY, FILLED_POSITION, FilledPosition)


def decode_filled_totals(api_id: str, body: Mapping[str, Any]) -> FilledTotals | None:
    """Read the head of kt00005; None where the broker said by its code that there is nothing.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return FilledTotals(**read_fields(api_id, body, FILLED_TOTALS)) if body else None


def decode_deposit(api_id: str, body: Mapping[str, Any]) -> Deposit:
    """Read kt00001.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    amounts = ((rate, read_field(api_id, body, f"{rate}stk_ord_alow_amt", _SUM)) for rate in MARGIN_RATES)
    by_rate = tuple(RateAmount(rate, amount) for rate, amount in amounts if amount is not None)
    return Deposit(**read_fields(api_id, body, DEPOSIT), by_margin_rate=by_rate)


def decode_gold_holdings(api_id: str, body: Mapping[str, Any]) -> tuple[GoldHolding, ...]:
    """Read the rows of a page of kt50020.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return read_rows(api_id, body, GOLD_HOLDINGS_KEY, GOLD_HOLDING, GoldHolding)


def decode_gold_totals(api_id: str, body: Mapping[str, Any]) -> GoldTotals | None:
    """Read the head of kt50020; None where the broker said by its code that there is nothing.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return GoldTotals(**read_fields(api_id, body, GOLD_TOTALS)) if body else None


def decode_gold_deposit(api_id: str, body: Mapping[str, Any]) -> GoldDeposit:
    """Read kt50021.

    Raises:
        QueryFailed: A field is missing or unreadable; the text names it.
    """
    return GoldDeposit(**read_fields(api_id, body, GOLD_DEPOSIT))
