"""What the account holds and what it may spend, as the broker states it.

Amounts are KRW, exact; a minus is a debt or a loss. Behind each field stand Kiwoom's own word and the name it has on
the wire. `None` means that the answer left the field empty, never that it is zero.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from attrs import field, frozen


@frozen(repr=False)
class AccountNumber:
    """The number of the account; hidden in `repr`, `str` and logs, so that it leaves only where `value` is asked for.

    Attributes:
        value: 계좌번호 (acctNo), ten digits, the last two of them the kind of account.
    """

    value: str

    def __repr__(self) -> str:
        return "AccountNumber(hidden)"


@frozen
class Holding:
    """One holding of the evaluated balance (계좌평가잔고개별합산).

    Attributes:
        symbol: 종목번호 (stk_cd), without the prefix.
        name: 종목명 (stk_nm).
        quantity: 보유수량 (rmnd_qty).
        sellable_quantity: 매매가능수량 (trde_able_qty): what open orders have not taken.
        average_price: 매입가 (pur_pric), KRW per share.
        last_price: 현재가 (cur_prc); None where there is none.
        previous_close: 전일종가 (pred_close_pric); None where there is none.
        purchase_amount: 매입금액 (pur_amt).
        evaluation: 평가금액 (evlt_amt).
        profit: 평가손익 (evltv_prft).
        profit_rate: 수익률 (prft_rt), percent.
        weight: 보유비중 (poss_rt), percent of the account.
        bought_today: 금일매수수량 (tdy_buyq).
        sold_today: 금일매도수량 (tdy_sellq).
        bought_yesterday: 전일매수수량 (pred_buyq).
        sold_yesterday: 전일매도수량 (pred_sellq).
        purchase_commission: 매입수수료 (pur_cmsn).
        sale_commission: 평가수수료 (sell_cmsn): what selling would cost.
        tax: 세금 (tax).
        commissions: 수수료합 (sum_cmsn).
        credit_code: 신용구분 (crd_tp); "00" for cash.
        credit_name: 신용구분명 (crd_tp_nm); "" for cash.
        loan_date: 대출일 (crd_loan_dt); None for cash.
    """

    symbol: str
    name: str
    quantity: int
    sellable_quantity: int
    average_price: Decimal
    last_price: int | None
    previous_close: int | None
    purchase_amount: int
    evaluation: int
    profit: int
    profit_rate: Decimal
    weight: Decimal | None
    bought_today: int | None
    sold_today: int | None
    bought_yesterday: int | None
    sold_yesterday: int | None
    purchase_commission: int | None
    sale_commission: int | None
    tax: int | None
    commissions: int | None
    credit_code: str
    credit_name: str
    loan_date: date | None


@frozen
class BalanceTotals:
    """The sums over all holdings (계좌평가잔고내역).

    Attributes:
        purchase_amount: 총매입금액 (tot_pur_amt).
        evaluation: 총평가금액 (tot_evlt_amt).
        profit: 총평가손익금액 (tot_evlt_pl).
        profit_rate: 총수익률 (tot_prft_rt), percent.
        estimated_assets: 추정예탁자산 (prsm_dpst_aset_amt): holdings and cash together.
        loans: 총대출금 (tot_loan_amt).
        credit_loans: 총융자금액 (tot_crd_loan_amt).
        stock_loans: 총대주금액 (tot_crd_ls_amt).
    """

    purchase_amount: int
    evaluation: int
    profit: int
    profit_rate: Decimal
    estimated_assets: int
    loans: int | None
    credit_loans: int | None
    stock_loans: int | None


@frozen
class Balance:
    """The holdings of the account, evaluated (TR kt00018).

    Attributes:
        totals: None where the broker said by its code for an empty list that there is nothing; it gives no sums then.
        holdings: Complete; a symbol has one row, or one for each credit loan.
    """

    totals: BalanceTotals | None
    holdings: tuple[Holding, ...]


@frozen
class FilledPosition:
    """One position of the filled balance (종목별체결잔고): today's fills count at once.

    Attributes:
        symbol: 종목번호 (stk_cd), without the prefix.
        name: 종목명 (stk_nm).
        quantity: 현재잔고 (cur_qty).
        settled_quantity: 결제잔고 (setl_remn).
        average_price: 매입단가 (buy_uv), KRW per share.
        last_price: 현재가 (cur_prc); None where there is none.
        purchase_amount: 매입금액 (pur_amt).
        evaluation: 평가금액 (evlt_amt).
        profit: 평가손익 (evltv_prft).
        profit_rate: 손익률 (pl_rt), percent.
        credit_code: 신용구분 (crd_tp); "00" for cash.
        loan_date: 대출일 (loan_dt); None for cash.
        expiry_date: 만기일 (expr_dt) of the loan; None for cash.
    """

    symbol: str
    name: str
    quantity: int
    settled_quantity: int
    average_price: Decimal
    last_price: int | None
    purchase_amount: int
    evaluation: int
    profit: int
    profit_rate: Decimal
    credit_code: str
    loan_date: date | None
    expiry_date: date | None


@frozen
class FilledTotals:
    """Cash and sums of the filled balance (체결잔고).

    Attributes:
        deposit: 예수금 (entr).
        deposit_in_1_day: 예수금 D+1 (entr_d1).
        deposit_in_2_days: 예수금 D+2 (entr_d2): once everything traded today is settled.
        withdrawable: 출금가능금액 (pymn_alow_amt).
        orderable_cash: 주문가능현금 (ord_alowa).
        cash_margin: 증거금현금 (profa_ch).
        receivables: 현금미수금 (ch_uncla): what the account owes.
        substitutes: 대용금 (repl_amt).
        unpaid_loans: 미상환융자금 (nrpy_loan).
        purchase_amount: 주식매수총액 (stk_buy_tot_amt).
        evaluation: 평가금액합계 (evlt_amt_tot).
        profit: 총손익합계 (tot_pl_tot).
        profit_rate: 총손익률 (tot_pl_rt), percent.
        repurchase_power: 총재매수가능금액 (tot_re_buy_alowa).
        credit_loans: 신용융자합계 (crd_loan_tot).
        collateral_rate: 신용담보비율 (crd_grnt_rt), percent.
    """

    deposit: int
    deposit_in_1_day: int
    deposit_in_2_days: int
    withdrawable: int
    orderable_cash: int
    cash_margin: int | None
    receivables: int | None
    substitutes: int | None
    unpaid_loans: int | None
    purchase_amount: int
    evaluation: int
    profit: int
    profit_rate: Decimal
    repurchase_power: int | None
    credit_loans: int | None
    collateral_rate: Decimal | None


@frozen
class FilledBalance:
    """Cash and positions with today's fills in them (TR kt00005).

    Attributes:
        totals: None where the broker said by its code for an empty list that there is nothing; it gives no sums then.
        positions: Complete.
    """

    totals: FilledTotals | None
    positions: tuple[FilledPosition, ...]


@frozen
class RateAmount:
    """What may be ordered of symbols with one margin rate.

    Attributes:
        rate: Percent of the price that must be there (증거금율).
        amount: 종목주문가능금액 (…stk_ord_alow_amt).
    """

    rate: int
    amount: int


@frozen
class Deposit:
    """The cash of the account (예수금, TR kt00001).

    Attributes:
        deposit: 예수금 (entr).
        orderable: 주문가능금액 (ord_alow_amt).
        withdrawable: 출금가능금액 (pymn_alow_amt).
        cash_margin: 주식증거금현금 (profa_ch): what open and unsettled orders hold.
        deposit_in_1_day: d+1추정예수금 (d1_entra).
        sold_in_1_day: d+1매도정산금 (d1_sel_exct_amt).
        bought_in_1_day: d+1매수정산금 (d1_buy_exct_amt).
        settlement_in_1_day: d+1매도매수정산금 (d1_slby_exct_amt).
        withdrawable_in_1_day: d+1출금가능금액 (d1_pymn_alow_amt).
        deposit_in_2_days: d+2추정예수금 (d2_entra).
        sold_in_2_days: d+2매도정산금 (d2_sel_exct_amt).
        bought_in_2_days: d+2매수정산금 (d2_buy_exct_amt).
        settlement_in_2_days: d+2매도매수정산금 (d2_slby_exct_amt).
        withdrawable_in_2_days: d+2출금가능금액 (d2_pymn_alow_amt).
        receivables: 현금미수금 (ch_uncla): what the account owes.
        receivables_total: 현금미수금합계 (ch_uncla_tot), with the arrears.
        unpaid_interest: 신용이자미납 (crd_int_npay).
        substitutes: 대용금평가금액 (repl_amt).
        unpaid_loans: 미상환융자금 (nrpy_loan).
        loans: 융자금합계 (loan_sum).
        stock_loans: 대주금합계 (ls_sum).
        collateral_rate: 신용담보비율 (crd_grnt_rt), percent.
        by_margin_rate: One for each margin rate that the answer names (20stk_ord_alow_amt and so on).
    """

    deposit: int
    orderable: int
    withdrawable: int
    cash_margin: int | None
    deposit_in_1_day: int | None
    sold_in_1_day: int | None
    bought_in_1_day: int | None
    settlement_in_1_day: int | None
    withdrawable_in_1_day: int | None
    deposit_in_2_days: int | None
    sold_in_2_days: int | None
    bought_in_2_days: int | None
    settlement_in_2_days: int | None
    withdrawable_in_2_days: int | None
    receivables: int | None
    receivables_total: int | None
    unpaid_interest: int | None
    substitutes: int | None
    unpaid_loans: int | None
    loans: int | None
    stock_loans: int | None
    collateral_rate: Decimal | None
    by_margin_rate: tuple[RateAmount, ...] = field(factory=tuple)


@frozen
class GoldHolding:
    """One gold product of the account (금현물계좌평가현황). Quantities are grams.

    Attributes:
        symbol: 종목코드 (stk_cd).
        name: 종목명 (stk_nm).
        quantity: 보유수량 (real_qty).
        settled_quantity: 결제잔고 (qty).
        sellable_quantity: 가능수량 (able_qty).
        bought_quantity: 매수수량 (buy_qty).
        sold_quantity: 매도수량 (sell_qty).
        average_price: 평균단가 (avg_prc), KRW per gram.
        break_even_price: 손익분기매입가 (pl_prch_prc), KRW per gram.
        last_price: 현재가 (cur_prc); None where there is none.
        purchase_amount: 매입금액 (book_amt2).
        evaluation: 평가금액 (est_amt).
        profit: 손익금액 (est_lspft).
        profit_rate: 손익율 (est_ratio), percent.
        commission: 수수료 (cmsn).
        value_added_tax: 부가가치세 (vlad_tax).
    """

    symbol: str
    name: str
    quantity: int
    settled_quantity: int
    sellable_quantity: int
    bought_quantity: int | None
    sold_quantity: int | None
    average_price: Decimal
    break_even_price: Decimal | None
    last_price: int | None
    purchase_amount: int
    evaluation: int
    profit: int
    profit_rate: Decimal
    commission: int | None
    value_added_tax: int | None


@frozen
class GoldTotals:
    """The sums of the gold account.

    Attributes:
        deposit: 예수금 (tot_entr).
        estimated_deposit: 추정예수금 (net_entr).
        evaluation: 잔고평가액 (tot_est_amt).
        assets: 예탁자산평가액 (net_amt).
        purchase_amount: 총매입금액 (tot_book_amt2).
        estimated_assets: 추정예탁자산 (tot_dep_amt).
        withdrawable: 출금가능금액 (paym_alowa).
        realized_profit: 실현손익 (pl_amt).
    """

    deposit: int
    estimated_deposit: int
    evaluation: int
    assets: int
    purchase_amount: int
    estimated_assets: int
    withdrawable: int
    realized_profit: int


@frozen
class GoldBalance:
    """The gold of the account (금현물 잔고, TR kt50020).

    Attributes:
        totals: None where the broker said by its code for an empty list that there is nothing; it gives no sums then.
        holdings: Complete.
    """

    totals: GoldTotals | None
    holdings: tuple[GoldHolding, ...]


@frozen
class GoldDeposit:
    """The cash of the gold account (금현물 예수금, TR kt50021).

    Attributes:
        deposit: 예수금 (entra).
        orderable: 주문가능금액 (ord_alow_amt).
        withdrawable: 출금가능금액 (pymn_alow_amt).
        cash_margin: 증거금현금 (profa_ch).
        estimated_deposit: 추정예수금 (prsm_entra).
        estimated_withdrawable: 추정출금가능금액 (prsm_pymn_alow_amt).
        bought: 매수정산금 (buy_exct_amt).
        sold: 매도정산금 (sell_exct_amt).
        settlement: 매도매수정산금 (sell_buy_exct_amt).
        checks: 수표입금액 (chck_ina_amt).
        receivables: 미수변제소요금 (dly_amt).
        other_loans: 기타대여금 (etc_loan).
        other_loan_arrears: 기타대여금연체료 (etc_loan_dlfe).
        other_loans_total: 기타대여금합계 (etc_loan_tot).
    """

    deposit: int
    orderable: int
    withdrawable: int
    cash_margin: int | None
    estimated_deposit: int | None
    estimated_withdrawable: int | None
    bought: int | None
    sold: int | None
    settlement: int | None
    checks: int | None
    receivables: int | None
    other_loans: int | None
    other_loan_arrears: int | None
    other_loans_total: int | None
