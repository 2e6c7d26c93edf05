"""Credit orders at the broker's own side: loans, the desks, and the two ways of wording credit."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from kiwoom_async._domain.vocabulary import Desk, Side
from kiwoom_async.simulator import BookOrder, Flavour, Funds, Simulator
from kiwoom_async.simulator.loans import loans_left
from tests.simulator.callers import LEDGER, OPEN, Clock, calling, cancel_body, modify_body, order_body

SYMBOL = "005930"
OLD, NEW = date(2026, 10, 1), date(2026, 10, 20)
TODAY = date(2026, 11, 2)
FILLS = {"stk_cd": "", "qry_tp": "0", "sell_tp": "0", "ord_no": "", "stex_tp": "0"}


def sale(quantity: str = "10", loan: date | None = None, **changed: str) -> dict[str, str]:
    """Write the body of a credit sale that rests in the book."""
    kind = {"crd_deal_tp": "99"} if loan is None else {"crd_deal_tp": "33", "crd_loan_dt": f"{loan:%Y%m%d}"}
    return order_body(ord_qty=quantity, ord_uv="75000", **(kind | changed))


async def book_of(broker: Simulator, *orders: tuple[str, int, date | None, int]) -> list[BookOrder]:
    """Place orders on credit by hand: side, quantity, loan, and how much of it trades."""
    placed = []
    for side, quantity, loan, filled in orders:
        price = 70_000 if side == "buy" else 75_000
        order = broker.place_foreign(
            symbol=SYMBOL, side=side, quantity=quantity, price=price, desk=Desk.CREDIT, loan_date=loan
        )
        if filled:
            broker.fill(order.broker_order_id, filled)
        placed.append(order.broker_order_id)
    return [order for order in broker.all_orders if order.broker_order_id in placed]


@pytest.mark.parametrize(
    ("orders", "left"),
    [
        ([], {OLD: 5, NEW: 7}),
        ([("buy", 10, None, 4)], {OLD: 5, NEW: 7, TODAY: 4}),
        ([("sell", 3, NEW, 0)], {OLD: 5, NEW: 4}),
        ([("sell", 3, NEW, 3)], {OLD: 5, NEW: 4}),
        ([("sell", 6, None, 0)], {OLD: 0, NEW: 6}),
        ([("sell", 6, None, 2), ("sell", 7, NEW, 0)], {OLD: 0, NEW: 0}),
        ([("buy", 2, None, 2), ("sell", 13, None, 0)], {OLD: 0, NEW: 0, TODAY: 1}),
    ],
)
async def test_sales_take_from_the_loan_they_name_or_from_the_oldest(
    orders: list[tuple[str, int, date | None, int]], left: dict[date, int]
) -> None:
    """What is offered is taken already; a purchase adds to the loans of its day."""
    async with Simulator(ambient=Clock(), listen=False) as broker:
        found = loans_left({OLD: 5, NEW: 7}, await book_of(broker, *orders))
    assert found == Counter(left)


@pytest.mark.parametrize(
    ("asked", "is_taken"),
    [
        (sale("5", OLD), True),
        (sale("6", OLD), False),
        (sale("12"), True),
        (sale("13"), False),
        (sale("1", date(2026, 10, 2)), False),
    ],
)
async def test_more_than_the_loan_is_refused(asked: dict[str, str], *, is_taken: bool) -> None:
    """Only what was bought on credit can be sold so, loan by loan."""
    funds = Funds(loans={SYMBOL: {OLD: 5, NEW: 7}})
    async with Simulator(funds=funds) as broker, calling(broker) as caller:
        answer = await caller.call("kt10007", asked)
        assert answer["return_code"] == (0 if is_taken else 20)
        assert len(broker.orders) == is_taken
    assert is_taken or answer["return_msg"].startswith("[2000](800033:")


async def test_shares_of_both_kinds_are_kept_apart() -> None:
    """What was paid in cash cannot be sold on credit, nor the other way round."""
    funds = Funds(holdings={SYMBOL: 3}, loans={SYMBOL: {OLD: 5}})
    async with Simulator(funds=funds) as broker, calling(broker) as caller:
        for api_id, body, code in (
            ("kt10001", order_body(ord_qty="4", ord_uv="75000"), 20),
            ("kt10001", order_body(ord_qty="3", ord_uv="75000"), 0),
            ("kt10007", sale("6"), 20),
            ("kt10007", sale("5"), 0),
        ):
            assert (await caller.call(api_id, body))["return_code"] == code


async def test_canceled_sale_gives_its_loan_back() -> None:
    """And a modified one keeps its loan."""
    funds = Funds(loans={SYMBOL: {OLD: 5}})
    async with Simulator(funds=funds) as broker, calling(broker) as caller:
        first = (await caller.call("kt10007", sale("5", OLD)))["ord_no"]
        moved = (await caller.call("kt10008", modify_body(first, "0", "76000")))["ord_no"]
        assert broker.orders[-1].loan_date == OLD
        assert (await caller.call("kt10007", sale("1", OLD)))["return_code"] == 20
        await caller.call("kt10009", cancel_body(moved))
        assert (await caller.call("kt10007", sale("5", OLD)))["return_code"] == 0


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"crd_deal_tp": ""}, "1511"),
        ({"crd_deal_tp": "11"}, "1517"),
        ({"crd_deal_tp": "33"}, "1511"),
        ({"crd_deal_tp": "33", "crd_loan_dt": "2026-10-01"}, "1517"),
        ({"crd_deal_tp": "33", "crd_loan_dt": "20261301"}, "1517"),
        ({"crd_deal_tp": "33", "crd_loan_dt": "1001"}, "1517"),
    ],
)
async def test_kind_of_credit_and_its_day_are_checked(changed: dict[str, str], code: str) -> None:
    """융자 needs a day that is one; the day of 융자합 is not read."""
    async with Simulator() as broker, calling(broker) as caller:
        answer = await caller.call("kt10007", order_body(**changed))
        assert f"[{code}:" in answer["return_msg"]
        assert broker.orders == ()
        assert (await caller.call("kt10007", sale(crd_loan_dt="anything")))["return_code"] == 0


@pytest.mark.parametrize("flavour", list(Flavour))
async def test_desks_do_not_touch_each_others_orders(flavour: Flavour) -> None:
    """A credit order is not modified or canceled through the stock TRs, nor the other way round: our choice."""
    async with Simulator(flavour=flavour) as broker, calling(broker) as caller:
        cash = await caller.buy()
        credit = (await caller.call("kt10006", order_body()))["ord_no"]
        for api_id, number in (("kt10009", cash), ("kt10003", credit)):
            assert (await caller.call(api_id, cancel_body(number)))["return_code"] == 20
        for api_id, number in (("kt10008", cash), ("kt10002", credit)):
            assert (await caller.call(api_id, modify_body(number, "0", "69900")))["return_code"] == 20
        assert [order.leaves_quantity for order in broker.orders] == [10, 10]


async def test_credit_path_and_stock_path_are_not_the_same() -> None:
    """Each TR is served on its own path only."""
    async with Simulator() as broker, calling(broker) as caller:
        headers = {"authorization": f"Bearer {caller.token}", "api-id": "kt10006"}
        answer: dict[str, Any] = (await caller.http.post("/api/dostk/ordr", json=order_body(), headers=headers)).json()
        assert "[1504:" in answer["return_msg"]
        assert broker.orders == ()


@pytest.mark.parametrize("tells_credit", [True, False])
async def test_views_tell_credit_or_do_not(*, tells_credit: bool) -> None:
    """융자매수 with its loan among the 현금매수, or one word for both: nobody has seen such a row."""
    async with Simulator(ledger_tells_credit=tells_credit) as broker, calling(broker) as caller:
        await caller.buy()
        await caller.call("kt10006", order_body())
        number = (await caller.call("kt10007", sale("3", OLD)))["ord_no"]
        await caller.call("kt10009", cancel_body(number))
        rows = [(row["io_tp_nm"], row["crd_tp"], row["loan_dt"]) for row in await caller.ledger()]
        opened = (await caller.call("ka10075", OPEN))["oso"]
    told = [
        ("현금매수", "보통매매", ""),
        ("융자매수", "융자", ""),
        ("융자매도", "융자", "20261001"),
        ("매도취소", "융자", "20261001"),
    ]
    silent = [
        ("매수", "보통매매", ""),
        ("매수", "보통매매", ""),
        ("매도", "보통매매", ""),
        ("매도취소", "보통매매", ""),
    ]
    assert rows == (told if tells_credit else silent)
    assert sorted(row["io_tp_nm"] for row in opened) == ["+매수", "+매수신용"]


async def test_fills_and_status_list_credit_orders_with_the_others() -> None:
    """ka10076 and kt00009 serve both kinds."""
    status = {name: LEDGER[name] for name in LEDGER if name != "qry_tp"} | {"qry_tp": "0", "mrkt_tp": "0"}
    async with Simulator() as broker, calling(broker) as caller:
        number = (await caller.call("kt10006", order_body()))["ord_no"]
        broker.fill(number)
        (filled,) = (await caller.call("ka10076", FILLS))["cntr"]
        (listed,) = (await caller.call("kt00009", status))["acnt_ord_cntr_prst_array"]
    assert (filled["ord_no"], filled["io_tp_nm"]) == (number, "+매수신용")
    assert (listed["ord_no"], listed["crd_deal_tp"]) == (number, "융자")


@pytest.mark.parametrize("flavour", list(Flavour))
async def test_answers_of_the_credit_trs(flavour: Flavour) -> None:
    """The fields of each answer: a cancel repeats no route, a chain answers with its root."""
    async with Simulator(flavour=flavour) as broker, calling(broker) as caller:
        bought = await caller.call("kt10006", order_body())
        moved = await caller.call("kt10008", modify_body(bought["ord_no"], "0", "69900"))
        gone = await caller.call("kt10009", cancel_body(moved["ord_no"]))
        assert [order.side for order in broker.orders] == [Side.BUY] * 3
    done = {"ord_no", "return_code", "return_msg"}
    assert set(bought) == {*done, "dmst_stex_tp"}
    assert set(moved) == {*done, "base_orig_ord_no", "mdfy_qty", "dmst_stex_tp"}
    assert set(gone) == {*done, "base_orig_ord_no", "cncl_qty"}
    assert moved["base_orig_ord_no"] == gone["base_orig_ord_no"] == bought["ord_no"]
    if flavour is Flavour.REAL:
        assert bought["return_msg"] == "신용 매수주문이 완료되었습니다."


async def test_loan_of_a_day_can_be_sold_the_next_day() -> None:
    """The day of a purchase is the day of its loan."""
    async with Simulator(ambient=Clock(), funds=Funds(loans={})) as broker, calling(broker) as caller:
        number = (await caller.call("kt10006", order_body()))["ord_no"]
        broker.fill(number)
        tomorrow = broker.advance_day()
        assert tomorrow == TODAY + timedelta(days=1)
        assert (await caller.call("kt10007", sale("1", tomorrow)))["return_code"] == 20
        assert (await caller.call("kt10007", sale("10", TODAY)))["return_code"] == 0
