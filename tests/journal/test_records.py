"""Requests as the journal's JSON: what older journals hold reads back unchanged, and is written as it was."""

from __future__ import annotations

from datetime import date

import pytest

from kiwoom_async._domain.intents import OrderRequest
from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderType, Route, Side
from kiwoom_async._journal.records import from_json, to_json

DAY = date(2026, 11, 2)
CREDIT_SALE = OrderRequest(
    Desk.CREDIT, Action.NEW, "005930", Side.SELL, 10, 70_000, OrderType.LIMIT, Route.KRX, credit=CreditKind.ALL_LOANS
)

STORED = [
    (
        (
            '{"desk":"stock","action":"new","symbol":"005930","side":"buy","quantity":10,"price":70000,'
            '"order_type":"limit","route":"KRX"}'
        ),
        "stock|new|005930|buy|10|70000|limit|KRX||",
        OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, 70_000, OrderType.LIMIT, Route.KRX),
    ),
    (
        (
            '{"desk":"stock","action":"new","symbol":"005930","side":"sell","quantity":3,"order_type":"market",'
            '"route":"SOR"}'
        ),
        "stock|new|005930|sell|3||market|SOR||",
        OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.SELL, 3, None, OrderType.MARKET, Route.SOR),
    ),
    (
        (
            '{"desk":"gold","action":"new","symbol":"M04020000","side":"sell","quantity":3,"price":180000,'
            '"order_type":"limit"}'
        ),
        "gold|new|M04020000|sell|3|180000|limit|||",
        OrderRequest(Desk.GOLD, Action.NEW, "M04020000", Side.SELL, 3, 180_000, OrderType.LIMIT),
    ),
    (
        (
            '{"desk":"stock","action":"modify","symbol":"005930","side":null,"quantity":null,"price":70500,"route":"KRX",'
            '"original":"0000101","original_day":"2026-11-02"}'
        ),
        "stock|modify|005930|||70500||KRX||0000101",
        OrderRequest(
            Desk.STOCK,
            Action.MODIFY,
            "005930",
            None,
            None,
            70_500,
            route=Route.KRX,
            original="0000101",
            original_day=DAY,
        ),
    ),
    (
        (
            '{"desk":"stock","action":"cancel","symbol":"005930","side":"buy","quantity":4,"route":"KRX",'
            '"original":"0000101","target":"order-0","original_day":"2026-11-02"}'
        ),
        "stock|cancel|005930|buy|4|||KRX||0000101",
        OrderRequest(
            Desk.STOCK,
            Action.CANCEL,
            "005930",
            Side.BUY,
            4,
            route=Route.KRX,
            original="0000101",
            target="order-0",
            original_day=DAY,
        ),
    ),
]
"""What journals held before there were orders on credit, with the fingerprints beside it."""


@pytest.mark.parametrize(("text", "fingerprint", "request_"), STORED)
def test_requests_of_older_journals_are_what_they_were(text: str, fingerprint: str, request_: OrderRequest) -> None:
    """Read back equal, written again to the byte, under the same fingerprint, and without a loan."""
    read = from_json(text, OrderRequest)
    assert read == request_
    assert (read.credit, read.loan_date) == (None, None)
    assert (to_json(read), read.fingerprint) == (text, fingerprint)
    assert read.differences(request_) == {}


@pytest.mark.parametrize(
    ("request_", "tail"),
    [
        (CREDIT_SALE, '"credit":"all_loans"}'),
        (
            OrderRequest(
                Desk.CREDIT,
                Action.NEW,
                "005930",
                Side.SELL,
                10,
                None,
                OrderType.MARKET,
                Route.KRX,
                credit=CreditKind.LOAN,
                loan_date=date(2026, 10, 1),
            ),
            '"credit":"loan","loan_date":"2026-10-01"}',
        ),
        (OrderRequest(Desk.CREDIT, Action.NEW, "005930", Side.BUY, 10, 1, OrderType.LIMIT, Route.KRX), '"KRX"}'),
    ],
)
def test_loans_come_back_from_the_journal(request_: OrderRequest, tail: str) -> None:
    """A restart knows which loan a sale repays."""
    assert to_json(request_).endswith(tail)
    assert from_json(to_json(request_), OrderRequest) == request_


def test_report_kept_before_credit_was_told_reads_back() -> None:
    """It does not tell."""
    kept = (
        '{"kind":"accepted","day":"2026-11-02","desk":"stock","broker_order_id":"0119433","action":"new",'
        '"symbol":"005930","side":"buy","quantity":1,"price":null,"order_types":["market"],"route":"KRX",'
        '"original":null,"leaves_quantity":1,"filled_quantity":0,"filled_amount":0,"fill_quantity":null,'
        '"fill_price":null,"execution_id":null,"at":null,"terminal":"6801005"}'
    )
    report = from_json(kept, OrderReport)
    assert report.is_credit is None
    assert to_json(report) == kept
