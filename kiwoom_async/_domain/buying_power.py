"""How much of a symbol the account may order, as the broker computes it.

Amounts are KRW, quantities shares. Behind each field stand Kiwoom's own word and the name it has on the wire. `None`
means that the answer left the field empty, never that it is zero.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen

from kiwoom_async._domain.vocabulary import Side


@frozen
class RateCapacity:
    """What may be ordered if the symbol had one margin rate.

    Attributes:
        rate: Percent of the price that must be there: 증거금율, for credit 보증금율.
        is_reduced: The reduced rate of an account that is granted one (증거금감면, profa_rdex_…).
        amount: 주문가능금액 (…ord_alow_amt).
        quantity: 주문가능수량 (…ord_alowq).
        reuse_yesterday: 전일재사용금액 (…pred_reu_amt).
        reuse_today: 금일재사용금액 (…tdy_reu_amt).
    """

    rate: int
    amount: int | None
    quantity: int | None
    reuse_yesterday: int | None = None
    reuse_today: int | None = None
    is_reduced: bool = False


@frozen
class BuyingPower:
    """How much of a symbol may be bought at a price (증거금율별주문가능수량, TR kt00011).

    Attributes:
        symbol: As it was asked for.
        price: As it was asked for (uv); None where none was named.
        quantity: 미수불가주문가능수량 (min_ord_alowq): what may be bought without owing anything.
        amount: 미수불가주문가능금액 (min_ord_alow_amt).
        reuse_yesterday: 미수불가전일재사용금액 (min_pred_reu_amt).
        reuse_today: 미수불가금일재사용금액 (min_tdy_reu_amt).
        symbol_margin_rate: 종목증거금율 (stk_profa_rt), percent.
        account_margin_rate: 계좌증거금율 (profa_rt), percent.
        applied_margin_rate: 적용증거금율 (aplc_rt), percent.
        deposit: 예수금 (entr).
        orderable_cash: 주문가능현금 (ord_alowa).
        substitutes: 대용금 (repl_amt).
        orderable_substitutes: 주문가능대용 (ord_pos_repl).
        receivables: 미수금 (uncla).
        by_margin_rate: One for each rate the answer fills in (profa_20ord_alow_amt, profa_20ord_alowq, and so on).
    """

    symbol: str
    price: int | None
    quantity: int
    amount: int
    reuse_yesterday: int | None
    reuse_today: int | None
    symbol_margin_rate: Decimal | None
    account_margin_rate: Decimal | None
    applied_margin_rate: Decimal | None
    deposit: int
    orderable_cash: int
    substitutes: int | None
    orderable_substitutes: int | None
    receivables: int | None
    by_margin_rate: tuple[RateCapacity, ...]


@frozen
class CreditBuyingPower:
    """How much of a symbol may be bought on credit (신용보증금율별주문가능수량, TR kt00012).

    Attributes:
        symbol: As it was asked for.
        price: As it was asked for (uv); None where none was named.
        deposit_class: 종목보증금율 (stk_assr_rt): a letter such as "B".
        deposit_rate: 종목보증금율명 (stk_assr_rt_nm), percent.
        amount: 미수불가금액 (min_amt): without owing anything beyond the loan.
        quantity: 미수불가수량 (min_qty).
        amount_with_receivables: 미수가능금액 (out_alowa).
        quantity_with_receivables: 미수가능수량 (out_pos_qty).
        deposit: 예수금 (entr).
        orderable_cash: 주문가능현금 (ord_alowa).
        substitutes: 대용금 (repl_amt).
        orderable_substitutes: 주문가능대용 (ord_pos_repl).
        receivables: 미수금 (uncla).
        by_deposit_rate: One for each rate the answer fills in (assr_30ord_alow_amt, assr_30ord_alowq, and so on).
    """

    symbol: str
    price: int | None
    deposit_class: str
    deposit_rate: Decimal | None
    amount: int
    quantity: int
    amount_with_receivables: int | None
    quantity_with_receivables: int | None
    deposit: int
    orderable_cash: int
    substitutes: int | None
    orderable_substitutes: int | None
    receivables: int | None
    by_deposit_rate: tuple[RateCapacity, ...]


@frozen
class OrderFunds:
    """What an order would do to the cash, and what could be withdrawn (주문인출가능금액, TR kt00010).

    Attributes:
        symbol, side, price: As they were asked for.
        orderable_cash: 주문가능현금 (ord_alowa).
        withdrawable: 인출가능금액 (wthd_alowa).
        withdrawable_tomorrow: 익일인출가능금액 (nxdy_wthd_alowa).
        deposit: 예수금 (entr).
        deposit_in_2_days: D2추정예수금 (d2entra).
        purchase_amount: 매입금액 (pur_amt) of the order asked about.
        commission: 수수료 (cmsn) of it.
        settlement: 매입정산금 (pur_exct_amt) of it.
        reuse_yesterday: 전일재사용가능금액 (pred_reu_alowa).
        reuse_today: 금일재사용가능금액 (tdy_reu_alowa).
        substitutes: 대용금 (repl_amt).
        orderable_substitutes: 주문가능대용 (ord_pos_repl).
        receivables: 미수금 (uncla).
        has_reduced_margin: 증거금감면적용구분 (profa_rdex_aplc_tp): the reduced margin of 60 % applies; None where the
            answer does not tell.
        by_margin_rate: One for each rate the answer fills in (profa_20ord_alow_amt, profa_20ord_alowq, and so on).
    """

    symbol: str
    side: Side
    price: int
    orderable_cash: int
    withdrawable: int
    withdrawable_tomorrow: int | None
    deposit: int
    deposit_in_2_days: int | None
    purchase_amount: int | None
    commission: int | None
    settlement: int | None
    reuse_yesterday: int | None
    reuse_today: int | None
    substitutes: int | None
    orderable_substitutes: int | None
    receivables: int | None
    has_reduced_margin: bool | None
    by_margin_rate: tuple[RateCapacity, ...]
