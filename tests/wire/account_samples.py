"""Answers about the account and about symbols: Kiwoom's field names and quirks, values of our own."""

from __future__ import annotations

from typing import Any, Final

DONE: Final = {"return_code": 0, "return_msg": "조회가 완료되었습니다"}

HOLDING: Final[dict[str, Any]] = {
    "stk_cd": "A005930",
    "stk_nm": "삼성전자",
    "evltv_prft": "-00000000064800",
    "prft_rt": "-7.71",
    "pur_pric": "000000000070000",
    "pred_close_pric": "000000065100",
    "rmnd_qty": "000000000000012",
    "trde_able_qty": "000000000000009",
    "cur_prc": "000000064600",
    "pred_buyq": "000000000000002",
    "pred_sellq": "000000000000001",
    "tdy_buyq": "000000000000005",
    "tdy_sellq": "000000000000004",
    "pur_amt": "000000000840000",
    "pur_cmsn": "000000000000120",
    "evlt_amt": "000000000775200",
    "sell_cmsn": "000000000000110",
    "tax": "000000000001395",
    "sum_cmsn": "000000000000230",
    "poss_rt": "74.12",
    "crd_tp": "00",
    "crd_tp_nm": "",
    "crd_loan_dt": "",
}
LOAN: Final = HOLDING | {
    "stk_cd": "*A0126Z0",
    "prft_rt": "000000002.98",
    "pur_pric": "000000000070000.33",
    "cur_prc": "",
    "pred_buyq": "",
    "crd_tp": "03",
    "crd_tp_nm": "융자",
    "crd_loan_dt": "20261005",
}
BALANCE: Final[dict[str, Any]] = {
    "tot_pur_amt": "000000001680000",
    "tot_evlt_amt": "000000001550400",
    "tot_evlt_pl": "-00000000129600",
    "tot_prft_rt": "-00000007.71",
    "prsm_dpst_aset_amt": "000000009876543",
    "tot_loan_amt": "000000000000000",
    "tot_crd_loan_amt": "000000000840004",
    "tot_crd_ls_amt": "",
    "acnt_evlt_remn_indv_tot": [HOLDING, LOAN],
    **DONE,
}
"""kt00018."""

POSITION: Final[dict[str, Any]] = {
    "crd_tp": "00",
    "loan_dt": "00000000",
    "expr_dt": "",
    "stk_cd": "A035420",
    "stk_nm": "NAVER",
    "setl_remn": "000000000003",
    "cur_qty": "000000000007",
    "cur_prc": "000000201500",
    "buy_uv": "000000198000",
    "pur_amt": "000001386000",
    "evlt_amt": "000001410500",
    "evltv_prft": "000000024500",
    "pl_rt": "1.7677",
}
FILLED_BALANCE: Final[dict[str, Any]] = {
    "entr": "000005000000",
    "entr_d1": "000004800000",
    "entr_d2": "000003614000",
    "pymn_alow_amt": "000003614000",
    "uncl_stk_amt": "000000000000",
    "repl_amt": "000000900000",
    "rght_repl_amt": "000000000000",
    "ord_alowa": "000003500000",
    "ch_uncla": "000000000000",
    "nrpy_loan": "000000000000",
    "profa_ch": "000001500000",
    "repl_profa": "000000000000",
    "stk_buy_tot_amt": "000001386000",
    "evlt_amt_tot": "000001410500",
    "tot_pl_tot": "-00000024500",
    "tot_pl_rt": "-1.7677",
    "tot_re_buy_alowa": "000003400000",
    "20ord_alow_amt": "000003500000",
    "crd_loan_tot": "000000000000",
    "crd_grnt_rt": "0.00",
    "stk_cntr_remn": [POSITION, POSITION | {"stk_cd": "J58JC20", "loan_dt": "20261102", "expr_dt": "20270131"}],
    **DONE,
}
"""kt00005."""

DEPOSIT: Final[dict[str, Any]] = {
    "entr": "000000005000000",
    "profa_ch": "000000001500000",
    "ord_alow_amt": "000000003500000",
    "pymn_alow_amt": "000000003400000",
    "20stk_ord_alow_amt": "000000017500000",
    "30stk_ord_alow_amt": "000000011666666",
    "40stk_ord_alow_amt": "",
    "100stk_ord_alow_amt": "000000003500000",
    "ch_uncla": "000000000000000",
    "ch_uncla_tot": "000000000000010",
    "crd_int_npay": "000000000000020",
    "repl_amt": "000000000900000",
    "nrpy_loan": "000000000000030",
    "loan_sum": "000000000000040",
    "ls_sum": "000000000000050",
    "crd_grnt_rt": "0.00",
    "d1_entra": "000000004800000",
    "d1_slby_exct_amt": "-00000000200000",
    "d1_buy_exct_amt": "000000000300000",
    "d1_out_rep_mor": "000000000000000",
    "d1_sel_exct_amt": "000000000100000",
    "d1_pymn_alow_amt": "000000003300000",
    "d2_entra": "-00000000000084",
    "d2_slby_exct_amt": "-00000004800084",
    "d2_buy_exct_amt": "000000004800084",
    "d2_out_rep_mor": "000000000000000",
    "d2_sel_exct_amt": "000000000000000",
    "d2_pymn_alow_amt": "",
    "stk_entr_prst": [],
    **DONE,
}
"""kt00001, without the fields of other products."""

GOLD_HOLDING: Final[dict[str, Any]] = {
    "stk_cd": "M04020000",
    "stk_nm": "금 99.99_1kg",
    "real_qty": "000000000007",
    "avg_prc": "000000181230",
    "cur_prc": "000000179900",
    "est_amt": "000001259300",
    "est_lspft": "-00000009310",
    "est_ratio": "-0.7339",
    "cmsn": "000000003777",
    "vlad_tax": "000000000377",
    "book_amt2": "000001268610",
    "pl_prch_prc": "182410.50",
    "qty": "000000000005",
    "buy_qty": "000000000002",
    "sell_qty": "000000000000",
    "able_qty": "000000000006",
}
GOLD_BALANCE: Final[dict[str, Any]] = {
    "tot_entr": "000002000000",
    "net_entr": "000001640000",
    "tot_est_amt": "000001259300",
    "net_amt": "000003259300",
    "tot_book_amt2": "000001268610",
    "tot_dep_amt": "000002899300",
    "paym_alowa": "000001640000",
    "pl_amt": "-00000000500",
    "gold_acnt_evlt_prst": [GOLD_HOLDING],
    **DONE,
}
"""kt50020."""

GOLD_DEPOSIT: Final[dict[str, Any]] = {
    "entra": "000000002000000",
    "profa_ch": "000000000360000",
    "chck_ina_amt": "000000000000001",
    "etc_loan": "000000000000002",
    "etc_loan_dlfe": "000000000000003",
    "etc_loan_tot": "000000000000005",
    "prsm_entra": "000000001640000",
    "buy_exct_amt": "000000000360000",
    "sell_exct_amt": "000000000000000",
    "sell_buy_exct_amt": "-00000000360000",
    "dly_amt": "000000000000000",
    "prsm_pymn_alow_amt": "000000001640000",
    "pymn_alow_amt": "000000001640000",
    "ord_alow_amt": "000000001640000",
    **DONE,
}
"""kt50021."""


def capacity(prefix: str, money: str, quantity: str, *, has_reuse: bool = True) -> dict[str, str]:
    """Write what may be ordered at one rate."""
    fields = {f"{prefix}ord_alow_amt": money, f"{prefix}ord_alowq": quantity}
    if has_reuse:
        fields |= {f"{prefix}pred_reu_amt": "000000000000", f"{prefix}tdy_reu_amt": "000000000111"}
    return fields


MONEY: Final = {
    "entr": "000005000000",
    "repl_amt": "000000900000",
    "uncla": "000000000000",
    "ord_pos_repl": "000000800000",
    "ord_alowa": "000003500000",
}
BUYING_POWER: Final[dict[str, Any]] = {
    "stk_profa_rt": "20%",
    "profa_rt": "100%",
    "aplc_rt": "100%",
    **capacity("profa_20", "", ""),
    **capacity("profa_30", "", ""),
    **capacity("profa_100", "000003500000", "000000000050"),
    "min_ord_alow_amt": "000003480000",
    "min_ord_alowq": "000000000049",
    "min_pred_reu_amt": "000000000000",
    "min_tdy_reu_amt": "000000000222",
    **MONEY,
    **DONE,
}
"""kt00011: rates that do not concern the account are empty."""

CREDIT_BUYING_POWER: Final[dict[str, Any]] = {
    "stk_assr_rt": "B",
    "stk_assr_rt_nm": "45%",
    **capacity("assr_30", "000011666666", "000000000166"),
    **capacity("assr_40", "000008750000", "000000000125"),
    **capacity("assr_50", "", ""),
    **capacity("assr_60", "", ""),
    **MONEY,
    "out_alowa": "000008750000",
    "out_pos_qty": "000000000125",
    "min_amt": "000008700000",
    "min_qty": "000000000124",
    **DONE,
}
"""kt00012."""

ORDER_FUNDS: Final[dict[str, Any]] = {
    **capacity("profa_20", "000017500000", "0000000250", has_reuse=False),
    **capacity("profa_rdex_60", "000005833333", "0000000083", has_reuse=False),
    **capacity("profa_100", "000003500000", "0000000050", has_reuse=False),
    "pred_reu_alowa": "000000000000",
    "tdy_reu_alowa": "000000000111",
    **MONEY,
    "wthd_alowa": "000003400000",
    "nxdy_wthd_alowa": "000003300000",
    "pur_amt": "000000700000",
    "cmsn": "000000000105",
    "pur_exct_amt": "000000700105",
    "d2entra": "000003614000",
    "profa_rdex_aplc_tp": "0",
    **DONE,
}
"""kt00010."""

QUOTE: Final[dict[str, Any]] = {
    "stk_cd": "005930",
    "stk_nm": "삼성전자",
    "setl_mm": "12",
    "per": "",
    "high_pric": "+71200",
    "open_pric": "-69800",
    "low_pric": "-69500",
    "upl_pric": "+91000",
    "lst_pric": "-49000",
    "base_pric": "70000",
    "exp_cntr_pric": "-0",
    "exp_cntr_qty": "",
    "250hgst_pric_dt": "20260619",
    "cur_prc": "-69750",
    "pre_sig": "5",
    "pred_pre": "-250",
    "flu_rt": "-0.36",
    "trde_qty": "5158006",
    "return_code": 0,
    "return_msg": "정상적으로 처리되었습니다",
}
"""ka10001: marks before prices are no signs."""


def order_book(asks: list[tuple[str, str]], bids: list[tuple[str, str]], **changes: Any) -> dict[str, Any]:
    """Write ka10004 with these levels, the best first; the deeper ones are empty."""
    body: dict[str, Any] = {"bid_req_base_tm": "154113"}
    for side, levels in (("sel", asks), ("buy", bids)):
        for place in range(1, 11):
            price, quantity = levels[place - 1] if place <= len(levels) else ("0", "0")
            named = f"{side}_fpr" if place == 1 else f"{side}_{place}th_pre"
            body |= {f"{named}_bid": price, f"{named}_req": quantity, f"{side}_{place}th_pre_req_pre": "-5"}
    totals = {"tot_sel_req": "4012", "tot_buy_req": "3300", "ovt_sel_req": "0", "ovt_buy_req": ""}
    return body | totals | DONE | changes


ORDER_BOOK: Final = order_book(
    [("+70100", "12"), ("+70200", "4000")],
    [("70000", "300"), ("-69900", "1000"), ("-69800", "2000")],
)
"""ka10004."""
