"""Balances and deposits: what each view says, in records with exact numbers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from kiwoom_async._domain.vocabulary import Route
from kiwoom_async._wire.account import (
    account_number_call,
    balance_call,
    decode_account_number,
    decode_balance_totals,
    decode_deposit,
    decode_filled_positions,
    decode_filled_totals,
    decode_gold_deposit,
    decode_gold_holdings,
    decode_gold_totals,
    decode_holdings,
    deposit_call,
    filled_balance_call,
    gold_balance_call,
    gold_deposit_call,
)
from kiwoom_async.errors import QueryFailed
from kiwoom_async.records import (
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
from tests.wire import account_samples as samples

NUMBER = "8812345611"


def test_holdings() -> None:
    """kt00018: padding, a minus in place of a zero, the prefix of the symbol, exact rates."""
    assert decode_holdings("kt00018", samples.BALANCE)[0] == Holding(
        symbol="005930",
        name="삼성전자",
        quantity=12,
        sellable_quantity=9,
        average_price=Decimal(70000),
        last_price=64600,
        previous_close=65100,
        purchase_amount=840_000,
        evaluation=775_200,
        profit=-64_800,
        profit_rate=Decimal("-7.71"),
        weight=Decimal("74.12"),
        bought_today=5,
        sold_today=4,
        bought_yesterday=2,
        sold_yesterday=1,
        purchase_commission=120,
        sale_commission=110,
        tax=1395,
        commissions=230,
        credit_code="00",
        credit_name="",
        loan_date=None,
    )


def test_a_holding_on_credit() -> None:
    """A star before the code, the day of the loan, padded rates, and None where the view does not tell."""
    loan = decode_holdings("kt00018", samples.BALANCE)[1]
    assert (loan.symbol, loan.credit_code, loan.credit_name) == ("0126Z0", "03", "융자")
    assert loan.loan_date == date(2026, 10, 5)
    assert (loan.profit_rate, loan.average_price) == (Decimal("2.98"), Decimal("70000.33"))
    assert loan.last_price is None
    assert loan.bought_yesterday is None


def test_the_sums_of_the_holdings() -> None:
    """The head of kt00018, with padded rates as the mock writes them."""
    assert decode_balance_totals("kt00018", samples.BALANCE) == BalanceTotals(
        purchase_amount=1_680_000,
        evaluation=1_550_400,
        profit=-129_600,
        profit_rate=Decimal("-7.71"),
        estimated_assets=9_876_543,
        loans=0,
        credit_loans=840_004,
        stock_loans=None,
    )


def test_filled_balance() -> None:
    """kt00005: cash, sums and positions; eight zeros are no date."""
    totals = decode_filled_totals("kt00005", samples.FILLED_BALANCE)
    assert totals == FilledTotals(
        deposit=5_000_000,
        deposit_in_1_day=4_800_000,
        deposit_in_2_days=3_614_000,
        withdrawable=3_614_000,
        orderable_cash=3_500_000,
        cash_margin=1_500_000,
        receivables=0,
        substitutes=900_000,
        unpaid_loans=0,
        purchase_amount=1_386_000,
        evaluation=1_410_500,
        profit=-24_500,
        profit_rate=Decimal("-1.7677"),
        repurchase_power=3_400_000,
        credit_loans=0,
        collateral_rate=Decimal("0.00"),
    )
    first, second = decode_filled_positions("kt00005", samples.FILLED_BALANCE)
    assert first == FilledPosition(
        symbol="035420",
        name="NAVER",
        quantity=7,
        settled_quantity=3,
        average_price=Decimal(198_000),
        last_price=201_500,
        purchase_amount=1_386_000,
        evaluation=1_410_500,
        profit=24_500,
        profit_rate=Decimal("1.7677"),
        credit_code="00",
        loan_date=None,
        expiry_date=None,
    )
    assert (second.symbol, second.loan_date, second.expiry_date) == ("58JC20", date(2026, 11, 2), date(2027, 1, 31))


def test_deposit() -> None:
    """kt00001: a debt keeps its minus, an empty field is None and no zero, rates that are empty are left out."""
    assert decode_deposit("kt00001", samples.DEPOSIT) == Deposit(
        deposit=5_000_000,
        orderable=3_500_000,
        withdrawable=3_400_000,
        cash_margin=1_500_000,
        deposit_in_1_day=4_800_000,
        sold_in_1_day=100_000,
        bought_in_1_day=300_000,
        settlement_in_1_day=-200_000,
        withdrawable_in_1_day=3_300_000,
        deposit_in_2_days=-84,
        sold_in_2_days=0,
        bought_in_2_days=4_800_084,
        settlement_in_2_days=-4_800_084,
        withdrawable_in_2_days=None,
        receivables=0,
        receivables_total=10,
        unpaid_interest=20,
        substitutes=900_000,
        unpaid_loans=30,
        loans=40,
        stock_loans=50,
        collateral_rate=Decimal("0.00"),
        by_margin_rate=(RateAmount(20, 17_500_000), RateAmount(30, 11_666_666), RateAmount(100, 3_500_000)),
    )


def test_gold() -> None:
    """kt50020: grams, four digits of a rate, one price with digits behind the point."""
    assert decode_gold_holdings("kt50020", samples.GOLD_BALANCE) == (
        GoldHolding(
            symbol="M04020000",
            name="금 99.99_1kg",
            quantity=7,
            settled_quantity=5,
            sellable_quantity=6,
            bought_quantity=2,
            sold_quantity=0,
            average_price=Decimal(181_230),
            break_even_price=Decimal("182410.50"),
            last_price=179_900,
            purchase_amount=1_268_610,
            evaluation=1_259_300,
            profit=-9_310,
            profit_rate=Decimal("-0.7339"),
            commission=3_777,
            value_added_tax=377,
        ),
    )
    assert decode_gold_totals("kt50020", samples.GOLD_BALANCE) == GoldTotals(
        deposit=2_000_000,
        estimated_deposit=1_640_000,
        evaluation=1_259_300,
        assets=3_259_300,
        purchase_amount=1_268_610,
        estimated_assets=2_899_300,
        withdrawable=1_640_000,
        realized_profit=-500,
    )


def test_gold_deposit() -> None:
    """kt50021."""
    assert decode_gold_deposit("kt50021", samples.GOLD_DEPOSIT) == GoldDeposit(
        deposit=2_000_000,
        orderable=1_640_000,
        withdrawable=1_640_000,
        cash_margin=360_000,
        estimated_deposit=1_640_000,
        estimated_withdrawable=1_640_000,
        bought=360_000,
        sold=0,
        settlement=-360_000,
        checks=1,
        receivables=0,
        other_loans=2,
        other_loan_arrears=3,
        other_loans_total=5,
    )


def test_the_account_number_hides_itself() -> None:
    """It is there for who asks for it, and in no text that anything else makes."""
    number = decode_account_number("ka00001", {"acctNo": NUMBER, "return_code": 0})
    assert number.value == NUMBER
    assert NUMBER not in f"{number} {number!r} {[number]}"


@pytest.mark.parametrize("text", [NUMBER[:9], NUMBER + "1", f"{NUMBER[:4]}-{NUMBER[4:]}", int(NUMBER), "", None])
def test_no_account_number_fails_without_showing_it(text: Any) -> None:
    """The error names the field and shows nothing of what stood there."""
    with pytest.raises(QueryFailed, match="acctNo") as caught:
        decode_account_number("ka00001", {"acctNo": text, "return_code": 0})
    assert not any(part in f"{caught.value!r}" for part in (NUMBER[:4], NUMBER[4:9]))


def test_an_account_number_in_another_field_is_not_shown() -> None:
    """Long runs of digits are hidden in errors about any field."""
    with pytest.raises(QueryFailed, match="crd_loan_dt") as caught:
        decode_holdings("kt00018", {"acnt_evlt_remn_indv_tot": [samples.HOLDING | {"crd_loan_dt": NUMBER}]})
    assert NUMBER not in str(caught.value)


def test_the_broker_says_by_a_code_that_there_is_nothing() -> None:
    """There are no rows then, and no sums: None, and no zeros."""
    assert decode_holdings("kt00018", {}) == ()
    assert decode_balance_totals("kt00018", {}) is None
    assert decode_filled_positions("kt00005", {}) == ()
    assert decode_filled_totals("kt00005", {}) is None
    assert decode_gold_holdings("kt50020", {}) == ()
    assert decode_gold_totals("kt50020", {}) is None


@pytest.mark.parametrize("rows", [None, "", {}, "rows", 5, ["row"], [None]])
def test_what_is_no_list_of_rows_fails(rows: Any) -> None:
    """An answer without its list is not an empty one."""
    with pytest.raises(QueryFailed, match="acnt_evlt_remn_indv_tot"):
        decode_holdings("kt00018", samples.BALANCE | {"acnt_evlt_remn_indv_tot": rows})
    with pytest.raises(QueryFailed, match="stk_cntr_remn"):
        decode_filled_positions("kt00005", samples.DONE)


def test_an_unreadable_row_is_named_by_its_place() -> None:
    """Which row, and which field of it."""
    rows = [samples.HOLDING, samples.HOLDING | {"rmnd_qty": "12.5"}]
    with pytest.raises(QueryFailed, match=r"acnt_evlt_remn_indv_tot\[2\]\.rmnd_qty='12\.5'"):
        decode_holdings("kt00018", {"acnt_evlt_remn_indv_tot": rows})


def test_queries() -> None:
    """The fields of every request, as text."""
    path = "/api/dostk/acnt"
    calls = [
        (account_number_call(), ("ka00001", {})),
        (balance_call(Route.KRX, each_loan=False), ("kt00018", {"qry_tp": "1", "dmst_stex_tp": "KRX"})),
        (balance_call(Route.NXT, each_loan=True), ("kt00018", {"qry_tp": "2", "dmst_stex_tp": "NXT"})),
        (filled_balance_call(Route.KRX), ("kt00005", {"dmst_stex_tp": "KRX"})),
        (deposit_call(estimated=True), ("kt00001", {"qry_tp": "3"})),
        (deposit_call(estimated=False), ("kt00001", {"qry_tp": "2"})),
        (gold_balance_call(), ("kt50020", {})),
        (gold_deposit_call(), ("kt50021", {})),
    ]
    for call, (api_id, body) in calls:
        assert (call.api_id, call.path, call.body) == (api_id, path, body)
