"""The balances and the cash: kt00018, kt00005 and kt00001.

The quirks are Kiwoom's: amounts of fifteen digits in two of these views and of twelve in the third, a minus in place of
a zero, symbols with a prefix, rates that only the mock pads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import evolve

from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async.simulator.books import Books, Cash, Position
from kiwoom_async.simulator.orders import Flavour
from kiwoom_async.simulator.rejections import Refusal
from kiwoom_async.simulator.rendering import Row, date_text, name_of, padded
from kiwoom_async.simulator.statements import (
    NARROW,
    WIDE,
    Body,
    Statement,
    Told,
    amount,
    balance_rate,
    percent,
    zeros,
)

_CREDIT: Final[Mapping[bool, tuple[str, str]]] = {False: ("00", ""), True: ("03", "융자")}
"""`crd_tp` and its name. "00" is seen; what stands beside a loan nobody has shown, and is our choice."""
_SUMMED: Final = "1"
_NOTHING_HELD: Final = "모의투자 해당조회내역이 없습니다."
MARGIN_RATES: Final = (20, 30, 40, 50, 60, 100)


def _summed(positions: Iterable[Position]) -> list[Position]:
    """Add up the cash position and the loans of each symbol. That the row then reads as one for cash is our choice."""
    found: dict[str, Position] = {}
    for position in positions:
        before = found.get(position.symbol)
        found[position.symbol] = evolve(position, loan_date=None) if before is None else before.merged(position)
    return list(found.values())


def holdings(body: Body, books: Books) -> Told:
    """Answer kt00018: what is held, evaluated; summed up by symbol, or each loan by itself."""
    every = books.positions(is_gold=False)
    cost, worth = sum(round(each.cost) for each in every), sum(map(books.worth, every))
    lent = sum(round(each.cost) for each in every if each.desk is Desk.CREDIT)
    head = {
        "tot_pur_amt": padded(cost, WIDE),
        "tot_evlt_amt": padded(worth, WIDE),
        "tot_evlt_pl": padded(worth - cost, WIDE),
        "tot_prft_rt": balance_rate(worth - cost, cost, books.flavour),
        "prsm_dpst_aset_amt": padded(books.cash().in_2_days + worth, WIDE),
        "tot_loan_amt": padded(0, WIDE),
        "tot_crd_loan_amt": padded(lent, WIDE),
        "tot_crd_ls_amt": padded(0, WIDE),
    }
    shown = _summed(every) if body["qry_tp"] == _SUMMED else every
    rows = tuple(_holding(position, books, worth) for position in shown)
    is_empty_mock = not rows and books.flavour is Flavour.MOCK
    return Statement(head, "acnt_evlt_remn_indv_tot", rows, _NOTHING_HELD if is_empty_mock else "조회가 완료되었습니다")


def _holding(position: Position, books: Books, total: int) -> Row:
    cost, worth = round(position.cost), books.worth(position)
    code, name = _CREDIT[position.loan_date is not None]
    return {
        "stk_cd": f"A{position.symbol}",
        "stk_nm": name_of(position.symbol),
        "evltv_prft": padded(worth - cost, WIDE),
        "prft_rt": balance_rate(worth - cost, cost, books.flavour),
        "pur_pric": amount(position.cost / position.quantity, WIDE),
        "pred_close_pric": padded(books.base_price(position.symbol), NARROW),
        "rmnd_qty": padded(position.quantity, WIDE),
        "trde_able_qty": padded(position.sellable, WIDE),
        "cur_prc": padded(books.last_price(position.symbol), NARROW),
        "pred_buyq": padded(position.bought_yesterday, WIDE),
        "pred_sellq": padded(position.sold_yesterday, WIDE),
        "tdy_buyq": padded(position.bought_today, WIDE),
        "tdy_sellq": padded(position.sold_today, WIDE),
        "pur_amt": padded(cost, WIDE),
        "pur_cmsn": padded(0, WIDE),
        "evlt_amt": padded(worth, WIDE),
        "sell_cmsn": padded(0, WIDE),
        "tax": padded(0, WIDE),
        "sum_cmsn": padded(0, WIDE),
        "poss_rt": balance_rate(worth, total, books.flavour),
        "crd_tp": code,
        "crd_tp_nm": name,
        "crd_loan_dt": date_text(position.loan_date),
    }


def filled_balance(body: Body, books: Books) -> Told:  # noqa: ARG001 - one signature for all
    """Answer kt00005: cash and positions with today's fills; the mock does not serve it."""
    if books.flavour is Flavour.MOCK:
        return Refusal.with_code("RC9000")
    cash, every = books.cash(), books.positions(is_gold=False)
    cost, worth = sum(round(each.cost) for each in every), sum(map(books.worth, every))
    lent = sum(round(each.cost) for each in every if each.desk is Desk.CREDIT)
    head = {
        "entr": padded(cash.deposit, NARROW),
        "entr_d1": padded(cash.in_1_day, NARROW),
        "entr_d2": padded(cash.in_2_days, NARROW),
        "pymn_alow_amt": padded(cash.withdrawable, NARROW),
        **zeros("uncl_stk_amt repl_amt rght_repl_amt", NARROW),
        "ord_alowa": padded(cash.orderable, NARROW),
        **zeros("ch_uncla crd_int_npay_gold etc_loana nrpy_loan", NARROW),
        "profa_ch": padded(cash.margin, NARROW),
        "repl_profa": padded(0, NARROW),
        "stk_buy_tot_amt": padded(cost, NARROW),
        "evlt_amt_tot": padded(worth, NARROW),
        "tot_pl_tot": padded(worth - cost, NARROW),
        "tot_pl_rt": percent(worth - cost, cost, 4),
        "tot_re_buy_alowa": padded(cash.orderable, NARROW),
        **{f"{rate}ord_alow_amt": padded(cash.orderable, NARROW) for rate in MARGIN_RATES},
        "crd_loan_tot": padded(lent, NARROW),
        "crd_loan_ls_tot": padded(lent, NARROW),
        "crd_grnt_rt": "0.00",
        **zeros("dpst_grnt_use_amt_amt grnt_loan_amt", NARROW),
    }
    return Statement(head, "stk_cntr_remn", tuple(_position(position, books) for position in every))


def _position(position: Position, books: Books) -> Row:
    cost, worth = round(position.cost), books.worth(position)
    return {
        "crd_tp": _CREDIT[position.loan_date is not None][0],
        "loan_dt": date_text(position.loan_date),
        "expr_dt": "",
        "stk_cd": f"A{position.symbol}",
        "stk_nm": name_of(position.symbol),
        "setl_remn": padded(position.settled, NARROW),
        "cur_qty": padded(position.quantity, NARROW),
        "cur_prc": padded(books.last_price(position.symbol), NARROW),
        "buy_uv": amount(position.cost / position.quantity, NARROW),
        "pur_amt": padded(cost, NARROW),
        "evlt_amt": padded(worth, NARROW),
        "evltv_prft": padded(worth - cost, NARROW),
        "pl_rt": percent(worth - cost, cost, 4),
    }


def deposit(body: Body, books: Books) -> Told:  # noqa: ARG001 - both kinds of question are answered alike
    """Answer kt00001: the cash, and what it will be when today's trades are settled."""
    cash = books.cash()
    head = {
        "entr": padded(cash.deposit, WIDE),
        "profa_ch": padded(cash.margin, WIDE),
        **zeros("bncr_profa_ch nxdy_bncr_sell_exct fc_stk_krw_repl_set_amt crd_grnta_ch crd_grnt_ch", WIDE),
        **zeros("add_grnt_ch etc_profa uncl_stk_amt shrts_prica crd_set_grnta chck_ina_amt etc_chck_ina_amt", WIDE),
        **zeros("crd_grnt_ruse knx_asset_evltv elwdpst_evlta crd_ls_rght_frcs_amt lvlh_join_amt", WIDE),
        **zeros("lvlh_trns_alowa repl_amt remn_repl_evlta trst_remn_repl_evlta bncr_remn_repl_evlta", WIDE),
        **zeros("profa_repl crd_grnta_repl crd_grnt_repl add_grnt_repl rght_repl_amt", WIDE),
        "pymn_alow_amt": padded(cash.withdrawable, WIDE),
        "wrap_pymn_alow_amt": padded(0, WIDE),
        "ord_alow_amt": padded(cash.orderable, WIDE),
        "bncr_buy_alowa": padded(cash.orderable, WIDE),
        **{f"{rate}stk_ord_alow_amt": padded(cash.orderable, WIDE) for rate in MARGIN_RATES},
        **zeros("ch_uncla ch_uncla_dlfe ch_uncla_tot crd_int_npay int_npay_amt_dlfe int_npay_amt_tot", WIDE),
        **zeros("etc_loana etc_loana_dlfe etc_loan_tot nrpy_loan loan_sum ls_sum", WIDE),
        "crd_grnt_rt": "0.00",
        **zeros("mdstrm_usfe min_ord_alow_yn loan_remn_evlt_amt dpst_grntl_remn sell_grntl_remn", WIDE),
        **_settlement(cash, 1, cash.in_1_day),
        **_settlement(cash, 2, cash.in_2_days),
    }
    # An account without foreign money has no rows here [M, mock]; they are of no concern to us.
    return Statement(head, "stk_entr_prst", ())


def _settlement(cash: Cash, days: int, left: int) -> Row:
    return {
        f"d{days}_entra": padded(left, WIDE),
        f"d{days}_slby_exct_amt": padded(cash.sold[days] - cash.bought[days], WIDE),
        f"d{days}_buy_exct_amt": padded(cash.bought[days], WIDE),
        f"d{days}_out_rep_mor": padded(0, WIDE),
        f"d{days}_sel_exct_amt": padded(cash.sold[days], WIDE),
        f"d{days}_pymn_alow_amt": padded(max(0, min(left, cash.withdrawable)), WIDE),
    }
