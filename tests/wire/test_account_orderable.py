"""Buying power: what may be ordered, by rate."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kiwoom_async._domain.vocabulary import Side
from kiwoom_async._wire.buying_power import (
    buying_power_call,
    credit_buying_power_call,
    decode_buying_power,
    decode_credit_buying_power,
    decode_order_funds,
    order_funds_call,
)
from kiwoom_async.errors import QueryFailed
from kiwoom_async.records import BuyingPower, CreditBuyingPower, OrderFunds, RateCapacity
from tests.wire import account_samples as samples

SYMBOL = "005930"


def test_buying_power() -> None:
    """kt00011: a rate with its percent sign; a rate that is empty is left out, and is not one of zero."""
    assert decode_buying_power("kt00011", SYMBOL, 70_000, samples.BUYING_POWER) == BuyingPower(
        symbol=SYMBOL,
        price=70_000,
        quantity=49,
        amount=3_480_000,
        reuse_yesterday=0,
        reuse_today=222,
        symbol_margin_rate=Decimal(20),
        account_margin_rate=Decimal(100),
        applied_margin_rate=Decimal(100),
        deposit=5_000_000,
        orderable_cash=3_500_000,
        substitutes=900_000,
        orderable_substitutes=800_000,
        receivables=0,
        by_margin_rate=(RateCapacity(100, 3_500_000, 50, 0, 111),),
    )


def test_credit_buying_power() -> None:
    """kt00012: the class of a symbol is a letter."""
    assert decode_credit_buying_power("kt00012", SYMBOL, None, samples.CREDIT_BUYING_POWER) == CreditBuyingPower(
        symbol=SYMBOL,
        price=None,
        deposit_class="B",
        deposit_rate=Decimal(45),
        amount=8_700_000,
        quantity=124,
        amount_with_receivables=8_750_000,
        quantity_with_receivables=125,
        deposit=5_000_000,
        orderable_cash=3_500_000,
        substitutes=900_000,
        orderable_substitutes=800_000,
        receivables=0,
        by_deposit_rate=(
            RateCapacity(30, 11_666_666, 166, 0, 111),
            RateCapacity(40, 8_750_000, 125, 0, 111),
        ),
    )


def test_order_funds() -> None:
    """kt00010: the reduced rate is told from the plain one."""
    assert decode_order_funds("kt00010", SYMBOL, Side.BUY, 70_000, samples.ORDER_FUNDS) == OrderFunds(
        symbol=SYMBOL,
        side=Side.BUY,
        price=70_000,
        orderable_cash=3_500_000,
        withdrawable=3_400_000,
        withdrawable_tomorrow=3_300_000,
        deposit=5_000_000,
        deposit_in_2_days=3_614_000,
        purchase_amount=700_000,
        commission=105,
        settlement=700_105,
        reuse_yesterday=0,
        reuse_today=111,
        substitutes=900_000,
        orderable_substitutes=800_000,
        receivables=0,
        has_reduced_margin=False,
        by_margin_rate=(
            RateCapacity(20, 17_500_000, 250),
            RateCapacity(100, 3_500_000, 50),
            RateCapacity(60, 5_833_333, 83, is_reduced=True),
        ),
    )


@pytest.mark.parametrize(("text", "told"), [("1", True), ("0", False), ("", None)])
def test_a_reduced_margin_is_told_by_a_flag(text: str, *, told: bool | None) -> None:
    """None where the answer does not tell."""
    body = samples.ORDER_FUNDS | {"profa_rdex_aplc_tp": text}
    assert decode_order_funds("kt00010", SYMBOL, Side.BUY, 70_000, body).has_reduced_margin is told


def test_another_flag_is_an_error() -> None:
    """What is neither 0 nor 1 is no answer."""
    with pytest.raises(QueryFailed, match="profa_rdex_aplc_tp='2' is not 0 or 1"):
        decode_order_funds("kt00010", SYMBOL, Side.BUY, 70_000, samples.ORDER_FUNDS | {"profa_rdex_aplc_tp": "2"})


def test_queries() -> None:
    """The fields of every request; no price is an empty text."""
    call = buying_power_call(SYMBOL, 70_000)
    assert (call.api_id, call.path, call.body) == ("kt00011", "/api/dostk/acnt", {"stk_cd": SYMBOL, "uv": "70000"})
    call = credit_buying_power_call(SYMBOL, None)
    assert (call.api_id, call.path, call.body) == ("kt00012", "/api/dostk/acnt", {"stk_cd": SYMBOL, "uv": ""})
    call = order_funds_call(SYMBOL, Side.BUY, 70_000, 10)
    body = {"io_amt": "", "stk_cd": SYMBOL, "trde_tp": "2", "trde_qty": "10", "uv": "70000", "exp_buy_unp": ""}
    assert (call.api_id, call.path, call.body) == ("kt00010", "/api/dostk/acnt", body)
    assert order_funds_call(SYMBOL, Side.SELL, 70_000, None).body == body | {"trde_tp": "1", "trde_qty": ""}
