"""What the simulator says about the account and about symbols, on the wire, from its own book."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from kiwoom_async.simulator import EmptyList, Fault, FaultKind, Funds, LimitFill, Liquidity, Simulator
from tests.simulator.callers import GOLD, Clock, calling, gold_body, order_body

BALANCE = {"qry_tp": "1", "dmst_stex_tp": "KRX"}
EACH_LOAN = {"qry_tp": "2", "dmst_stex_tp": "KRX"}
ESTIMATED = {"qry_tp": "3"}
HOLDINGS = "acnt_evlt_remn_indv_tot"
FUNDS = {"stk_cd": "005930", "trde_tp": "2", "uv": "70000", "trde_qty": "10", "io_amt": "", "exp_buy_unp": ""}
TOMORROW, FIRST = date(2026, 11, 3), date(2026, 10, 5)


def broker_of(**changes: Any) -> Simulator:
    """Make a simulator whose time stands still."""
    arguments: dict[str, Any] = {"ambient": Clock(), "prices": {"005930": 70_000}, "funds": Funds(cash=10_000_000)}
    return Simulator(**(arguments | changes))


def trade(broker: Simulator, side: str, quantity: int, price: int, symbol: str = "005930", **changes: Any) -> str:
    """Place an order and fill it."""
    number = broker.place_foreign(symbol=symbol, side=side, quantity=quantity, price=price, **changes).broker_order_id
    broker.fill(number)
    return number


# ---------------------------------------------------------------- holdings


async def test_a_fill_is_a_holding() -> None:
    """kt00018: the prefix, the padding of fifteen and twelve digits, and the average of what was paid."""
    async with broker_of() as broker, calling(broker) as caller:
        trade(broker, "buy", 10, 70_000)
        trade(broker, "buy", 5, 71_000)
        answer = await caller.call("kt00018", BALANCE)
        (row,) = answer[HOLDINGS]
        assert len(answer) == 8 + 1 + 2
        assert len(row) == 23
        assert (row["stk_cd"], row["stk_nm"], row["crd_tp"]) == ("A005930", "삼성전자", "00")
        assert (row["rmnd_qty"], row["trde_able_qty"]) == ("000000000000015",) * 2
        assert (row["pur_pric"], row["pur_amt"]) == ("000000000070333", "000000001055000")
        assert (row["cur_prc"], row["pred_close_pric"]) == ("000000071000", "000000070000")
        assert (row["evltv_prft"], row["prft_rt"]) == ("000000000010000", "0.95")
        assert (row["tdy_buyq"], row["poss_rt"]) == ("000000000000015", "100.00")
        assert (answer["tot_pur_amt"], answer["tot_evlt_amt"]) == ("000000001055000", "000000001065000")


async def test_a_loss_has_a_minus_in_place_of_a_zero() -> None:
    """And the rates are padded on the mock only."""
    for flavour, rate in (("real", "-7.71"), ("mock", "-00000007.71")):
        async with broker_of(flavour=flavour) as broker, calling(broker) as caller:
            trade(broker, "buy", 12, 70_000)
            broker.move_price("005930", 64_600)
            (row,) = (await caller.call("kt00018", BALANCE))[HOLDINGS]
            assert (row["evltv_prft"], row["prft_rt"]) == ("-00000000064800", rate)


async def test_sales_take_units_at_their_average() -> None:
    """What is offered by an open order is held, but not to be sold; what is sold out is not listed."""
    async with broker_of(funds=Funds(holdings={"005930": 4, "000660": 7})) as broker, calling(broker) as caller:
        trade(broker, "buy", 4, 72_000)
        trade(broker, "sell", 2, 73_000)
        trade(broker, "sell", 7, 70_000, "000660")
        broker.place_foreign(symbol="005930", side="sell", quantity=5, price=80_000)
        (row,) = (await caller.call("kt00018", BALANCE))[HOLDINGS]
        assert (int(row["rmnd_qty"]), int(row["trde_able_qty"])) == (6, 1)
        assert (int(row["pur_pric"]), int(row["tdy_sellq"])) == (71_000, 2)


async def test_loans_are_summed_up_or_told_apart() -> None:
    """Each loan has its day; a sale repays the one it names."""
    loans = {"005930": {FIRST: 4, date(2026, 10, 7): 3}}
    async with broker_of(funds=Funds(holdings={"005930": 1}, loans=loans)) as broker, calling(broker) as caller:
        trade(broker, "buy", 2, 71_000, desk="credit")
        trade(broker, "sell", 3, 70_000, desk="credit", loan_date=FIRST)
        rows = (await caller.call("kt00018", EACH_LOAN))[HOLDINGS]
        told = [(row["crd_tp"], row["crd_loan_dt"], int(row["rmnd_qty"]), int(row["pur_pric"])) for row in rows]
        assert told == [
            ("00", "", 1, 70_000),
            ("03", "20261005", 1, 70_000),
            ("03", "20261007", 3, 70_000),
            ("03", "20261102", 2, 71_000),
        ]
        (row,) = (await caller.call("kt00018", BALANCE))[HOLDINGS]
        assert (int(row["rmnd_qty"]), row["crd_loan_dt"]) == (7, "")


async def test_the_pages_of_the_holdings() -> None:
    """Cut by the page size; a key goes with its own request only, and a page can fail."""
    held = {f"00000{digit}": digit for digit in range(1, 6)}
    async with broker_of(page_size=2, funds=Funds(holdings=held)) as broker, calling(broker) as caller:
        pages = await caller.pages("kt00018", BALANCE)
        listed = [row["stk_cd"] for page in pages for row in page.json()[HOLDINGS]]
        assert listed == [f"A{symbol}" for symbol in held]
        assert [page.headers["cont-yn"] for page in pages] == ["Y", "Y", "N"]
        key = pages[0].headers["next-key"]
        wrong = await caller.call("kt00018", EACH_LOAN, cont_yn="Y", next_key=key)
        assert wrong["return_code"] == 2
        broker.set_faults([Fault(FaultKind.PAGE_FAILS, page=2)])
        answers = [page.json()["return_code"] for page in await caller.pages("kt00018", BALANCE)]
        assert answers == [0, 20]


@pytest.mark.parametrize("api_id", ["kt00018", "kt00005", "kt50020"])
async def test_nothing_held_in_each_form(api_id: str) -> None:
    """As an empty list with sums, as a code, and as a text without a code."""
    body = {"kt00018": BALANCE, "kt00005": {"dmst_stex_tp": "KRX"}, "kt50020": {}}[api_id]
    told = []
    for form in EmptyList:
        async with broker_of(empty_list=form) as broker, calling(broker) as caller:
            answer = await caller.call(api_id, body)
            told.append((answer["return_code"], [] in answer.values(), answer["return_msg"][:15]))
    assert told[0][:2] == (0, True)
    assert told[1] == (20, False, "[2000](501724:관")
    assert told[2][:2] == (1, False)


async def test_a_view_may_be_late() -> None:
    """A fill that the ledger does not show yet is in no balance, and its money is still there."""
    clock = Clock()
    async with broker_of(ambient=clock, ledger_lag=3.0) as broker, calling(broker) as caller:
        trade(broker, "buy", 10, 70_000)
        assert (await caller.call("kt00018", BALANCE))[HOLDINGS] == []
        assert int((await caller.call("kt00001", ESTIMATED))["ord_alow_amt"]) == 10_000_000
        clock.move(3.5)
        assert len((await caller.call("kt00018", BALANCE))[HOLDINGS]) == 1
        assert int((await caller.call("kt00001", ESTIMATED))["ord_alow_amt"]) == 9_300_000


# ---------------------------------------------------------------- cash


async def test_cash_is_reserved_spent_and_settled() -> None:
    """kt00001: an open purchase is reserved, a fill is settled two days later; deposit less margin is orderable."""
    async with broker_of() as broker, calling(broker) as caller:
        trade(broker, "buy", 10, 70_000)
        broker.place_foreign(symbol="005930", side="buy", quantity=10, price=60_000)
        answer = await caller.call("kt00001", ESTIMATED)
        assert (answer["entr"], answer["ord_alow_amt"]) == ("000000010000000", "000000008700000")
        assert int(answer["entr"]) - int(answer["profa_ch"]) == int(answer["ord_alow_amt"])
        assert (int(answer["d1_entra"]), int(answer["d2_entra"])) == (10_000_000, 9_300_000)
        assert (answer["d2_buy_exct_amt"], answer["d2_slby_exct_amt"]) == ("000000000700000", "-00000000700000")
        broker.advance_day()
        answer = await caller.call("kt00001", ESTIMATED)
        assert int(answer["ord_alow_amt"]) == 9_300_000
        assert (int(answer["entr"]), int(answer["d1_entra"])) == (10_000_000, 9_300_000)
        broker.advance_day()
        answer = await caller.call("kt00001", ESTIMATED)
        assert int(answer["entr"]) == 9_300_000


async def test_filled_balance_counts_todays_fills() -> None:
    """kt00005: twelve digits, four digits of a rate, settled two days later."""
    async with broker_of() as broker, calling(broker) as caller:
        trade(broker, "buy", 7, 70_000)
        broker.move_price("005930", 69_000)
        answer = await caller.call("kt00005", {"dmst_stex_tp": "KRX"})
        (row,) = answer["stk_cntr_remn"]
        assert len(row) == 13
        assert (row["stk_cd"], row["cur_qty"], row["setl_remn"]) == ("A005930", "000000000007", "000000000000")
        assert (row["evltv_prft"], row["pl_rt"]) == ("-00000007000", "-1.4286")
        assert (answer["entr"], answer["entr_d2"], answer["ord_alowa"]) == (
            "000010000000",
            "000009510000",
            "000009510000",
        )


@pytest.mark.parametrize("api_id", ["kt00011", "kt00012"])
async def test_what_may_be_ordered_is_what_is_accepted(api_id: str) -> None:
    """One share more is refused."""
    async with broker_of() as broker, calling(broker) as caller:
        trade(broker, "buy", 3, 70_000)
        answer = await caller.call(api_id, {"stk_cd": "005930", "uv": "69900"})
        quantity = int(answer["min_ord_alowq" if api_id == "kt00011" else "min_qty"])
        assert quantity == 9_790_000 // 69_900
        order = "kt10000" if api_id == "kt00011" else "kt10006"
        refused = await caller.call(order, order_body(ord_qty=str(quantity + 1), ord_uv="69900"))
        assert refused["return_code"] == 20
        accepted = await caller.call(order, order_body(ord_qty=str(quantity), ord_uv="69900"))
        assert accepted["return_code"] == 0


async def test_buying_power_leaves_other_rates_empty() -> None:
    """kt00011: 36 fields; rates have a percent sign; without a price the last one is taken."""
    async with broker_of() as broker, calling(broker) as caller:
        answer = await caller.call("kt00011", {"stk_cd": "005930"})
        assert len(answer) == 36 + 2
        assert (answer["profa_20ord_alow_amt"], answer["profa_20ord_alowq"]) == ("", "")
        assert (answer["profa_100ord_alowq"], answer["stk_profa_rt"]) == ("000000000142", "100%")
        malformed = await caller.call("kt00011", {"stk_cd": "005930", "uv": "cheap"})
        assert "1517" in malformed["return_msg"]


async def test_what_an_order_would_do() -> None:
    """kt00010: 28 fields; nothing is changed by asking."""
    async with broker_of() as broker, calling(broker) as caller:
        answer = await caller.call("kt00010", FUNDS)
        assert len(answer) == 28 + 2
        assert (answer["pur_amt"], answer["d2entra"]) == ("000000700000", "000009300000")
        assert answer["profa_100ord_alowq"] == "0000000142"
        assert int((await caller.call("kt00010", FUNDS | {"trde_tp": "1"}))["pur_amt"]) == 0
        assert not broker.all_orders


@pytest.mark.parametrize(("api_id", "code"), [("kt00010", "RC7006"), ("kt00005", "RC9000")])
async def test_what_the_mock_does_not_serve(api_id: str, code: str) -> None:
    """It says so by a code of the order host."""
    async with broker_of(flavour="mock") as broker, calling(broker) as caller:
        answer = await caller.call(api_id, FUNDS | {"dmst_stex_tp": "KRX"})
        assert answer["return_code"] == 20
        assert answer["return_msg"].startswith(f"[2000]({code}:")


async def test_an_account_without_a_limit_has_numbers_too() -> None:
    """It begins with a sum that no view is too narrow for."""
    async with broker_of(funds=Funds()) as broker, calling(broker) as caller:
        trade(broker, "sell", 5, 70_000)
        assert (await caller.call("kt00018", BALANCE))[HOLDINGS] == []
        answer = await caller.call("kt00005", {"dmst_stex_tp": "KRX"}) | await caller.call("kt00001", ESTIMATED)
        assert int(answer["entr_d2"]) == 100_000_350_000
        assert len(answer["entr_d2"]) == 12


# ---------------------------------------------------------------- gold


async def test_gold_balance() -> None:
    """kt50020 and kt50021: grams, no prefix, one price with digits behind the point."""
    async with broker_of(liquidity=Liquidity(limit_orders=LimitFill.ALWAYS)) as broker, calling(broker) as caller:
        for price in ("180000", "180010"):
            assert (await caller.call("kt50000", gold_body(ord_qty="1", ord_uv=price)))["return_code"] == 0
        await caller.call("kt50001", gold_body(ord_qty="1", ord_uv="180100"))
        answer = await caller.call("kt50020", {})
        (row,) = answer["gold_acnt_evlt_prst"]
        assert len(answer) == 8 + 1 + 2
        assert len(row) == 16
        assert (row["stk_cd"], row["real_qty"], row["pl_prch_prc"]) == (GOLD, "000000000001", "180005.00")
        assert (row["est_ratio"], answer["pl_amt"]) == ("0.0528", "000000000095")
        assert (await caller.call("kt00018", BALANCE))[HOLDINGS] == []
        deposit = await caller.call("kt50021", {})
        assert len(deposit) == 14 + 2
        assert (deposit["sell_buy_exct_amt"], deposit["ord_alow_amt"]) == ("-00000000179910", "000000009820090")


# ---------------------------------------------------------------- quotes


async def test_quote() -> None:
    """ka10001: 45 fields; marks for up and down, the band of the day, empty or zero where there is nothing."""
    async with broker_of() as broker, calling(broker) as caller:
        before = await caller.call("ka10001", {"stk_cd": "005930"})
        assert len(before) == 45 + 2
        assert (before["cur_prc"], before["open_pric"], before["flu_rt"], before["trde_qty"]) == (
            "70000",
            "0",
            "0.00",
            "0",
        )
        assert (before["upl_pric"], before["lst_pric"], before["base_pric"]) == ("+91000", "-49000", "70000")
        trade(broker, "buy", 10, 70_500)
        trade(broker, "buy", 10, 69_500)
        after = await caller.call("ka10001", {"stk_cd": "005930_AL"})
        assert (after["cur_prc"], after["pred_pre"], after["flu_rt"]) == ("-69500", "-500", "-0.71")
        assert (after["open_pric"], after["high_pric"], after["low_pric"]) == ("+70500", "+70500", "-69500")
        assert (after["trde_qty"], after["exp_cntr_pric"]) == ("20", "")


async def test_the_band_is_what_is_accepted() -> None:
    """The price one step outside of it is refused."""
    async with broker_of(prices={"005930": 69_900}) as broker, calling(broker) as caller:
        quote = await caller.call("ka10001", {"stk_cd": "005930"})
        top, bottom = int(quote["upl_pric"]), -int(quote["lst_pric"])
        orders = [order_body(ord_qty="1", ord_uv=str(price)) for price in (top, top + 100, bottom, bottom - 50)]
        codes = [(await caller.call("kt10000", order))["return_code"] for order in orders]
        assert codes == [0, 20, 0, 20]


async def test_order_book() -> None:
    """ka10004: 69 fields; the account's own orders stand among the market maker's, stop orders do not."""
    async with broker_of() as broker, calling(broker) as caller:
        broker.place_foreign(symbol="005930", side="buy", quantity=7, price=69_900)
        broker.place_foreign(symbol="005930", side="sell", quantity=9, price=70_050)
        broker.place_foreign(symbol="000660", side="sell", quantity=9, price=70_000)
        book = await caller.call("ka10004", {"stk_cd": "005930"})
        assert len(book) == 69 + 2
        assert (book["bid_req_base_tm"], book["sel_fpr_bid"], book["sel_2th_pre_bid"]) == ("100000", "70000", "+70050")
        assert (book["sel_fpr_req"], book["sel_2th_pre_req"]) == ("1000", "9")
        assert (book["buy_fpr_bid"], book["buy_fpr_req"]) == ("-69900", "1007")
        assert int(book["tot_buy_req"]) == 10_007


async def test_a_book_without_a_market_maker_is_empty() -> None:
    """Places without a price show zeros."""
    async with broker_of(liquidity=Liquidity(market_maker=False)) as broker, calling(broker) as caller:
        book = await caller.call("ka10004", {"stk_cd": "005930_NX"})
        assert {book["sel_fpr_bid"], book["buy_fpr_bid"], book["buy_10th_pre_req"], book["tot_sel_req"]} == {"0"}


@pytest.mark.parametrize("api_id", ["ka10001", "ka10004"])
@pytest.mark.parametrize("code", ["00593", "005930_XX", "M04020000"])
async def test_an_unknown_symbol_is_an_error(api_id: str, code: str) -> None:
    """By the published code."""
    async with broker_of() as broker, calling(broker) as caller:
        assert "[1902:" in (await caller.call(api_id, {"stk_cd": code}))["return_msg"]
