"""What each TR says, field by field where Kiwoom's habits matter."""

from __future__ import annotations

import pytest

from kiwoom_async.simulator import EmptyList, Flavour, Simulator
from kiwoom_async.simulator.queries import VIEWS
from kiwoom_async.simulator.rendering import padded
from tests.simulator.callers import (
    GOLD,
    GOLD_LIST,
    LEDGER,
    OPEN,
    Clock,
    calling,
    cancel_body,
    gold_body,
    modify_body,
    order_body,
)

STATUS = {name: LEDGER[name] for name in LEDGER if name != "qry_tp"} | {"qry_tp": "0", "mrkt_tp": "0"}
FILLS = {"stk_cd": "", "qry_tp": "0", "sell_tp": "0", "ord_no": "", "stex_tp": "0"}


def test_padding_keeps_the_sign_within_the_width() -> None:
    """The kt views pad on the left, the sign included."""
    assert (padded(1), padded(None), padded(-3201, 12)) == ("0000000001", "0000000000", "-00000003201")


async def test_accepted_orders_answer_like_kiwoom() -> None:
    """A cancel and gold repeat no route; a chain answers with its root."""
    async with Simulator(seed=3) as broker, calling(broker) as caller:
        bought = await caller.call("kt10000", order_body(dmst_stex_tp="SOR"))
        changed = await caller.call("kt10002", modify_body(bought["ord_no"], "0", "69900", dmst_stex_tp="SOR"))
        gone = await caller.call("kt10003", cancel_body(changed["ord_no"], dmst_stex_tp="SOR"))
        gold = await caller.call("kt50000", gold_body())
    assert (bought["dmst_stex_tp"], bought["return_code"], len(bought["ord_no"])) == ("SOR", 0, 7)
    assert (changed["base_orig_ord_no"], changed["mdfy_qty"]) == (bought["ord_no"], "000000000010")
    assert changed["dmst_stex_tp"] == "SOR"
    assert (gone["base_orig_ord_no"], gone["cncl_qty"]) == (bought["ord_no"], "000000000010")
    assert "dmst_stex_tp" not in gone
    assert set(gold) == {"ord_no", "return_code", "return_msg"}


async def test_kt00007_lists_originals_modifies_and_cancels() -> None:
    """Padded numbers, prefixed symbols, colons in the time, a child row for each change."""
    async with Simulator(seed=3, ambient=Clock()) as broker, calling(broker) as caller:
        number = await caller.buy()
        broker.fill(number, 4, 69_900)
        child = (await caller.call("kt10002", modify_body(number, "2", "69900")))["ord_no"]
        await caller.call("kt10003", cancel_body(number))
        rows = await caller.ledger()
    first, second, third = rows
    assert list(first) == [
        "ord_no",
        "stk_cd",
        "trde_tp",
        "crd_tp",
        "ord_qty",
        "ord_uv",
        "cnfm_qty",
        "acpt_tp",
        "rsrv_tp",
        "ord_tm",
        "ori_ord",
        "stk_nm",
        "io_tp_nm",
        "loan_dt",
        "cntr_qty",
        "cntr_uv",
        "ord_remnq",
        "comm_ord_tp",
        "mdfy_cncl",
        "cnfm_tm",
        "dmst_stex_tp",
        "cond_uv",
    ]
    assert (first["stk_cd"], first["trde_tp"], first["io_tp_nm"]) == ("A005930", "보통", "현금매수")
    assert (first["ord_qty"], first["cntr_qty"], first["ord_remnq"]) == (
        "0000000010",
        "0000000004",
        "0000000000",
    )
    assert (first["cntr_uv"], first["ord_tm"], first["cnfm_tm"]) == ("0000069900", "10:00:00", "")
    assert (first["ori_ord"], first["comm_ord_tp"], first["mdfy_cncl"]) == ("0000000", "REST API", "")
    assert (second["ord_no"], second["ori_ord"], second["mdfy_cncl"]) == (child, number, "정정")
    assert (second["ord_remnq"], second["io_tp_nm"]) == ("0000000002", "매수정정")
    assert (third["ori_ord"], third["mdfy_cncl"], third["acpt_tp"]) == (number, "취소", "확인")
    assert (third["ord_qty"], third["cnfm_qty"], third["ord_remnq"]) == (
        "0000000004",
        "0000000004",
        "0000000000",
    )
    assert (third["cnfm_tm"], third["io_tp_nm"]) == ("10:00:00", "매수취소")


async def test_mock_spells_ledger_and_answers_differently() -> None:
    """The mock marks normal rows and says 모의투자."""
    async with Simulator(flavour=Flavour.MOCK) as broker, calling(broker) as caller:
        answer = await caller.call("kt10000", order_body())
        await caller.call("kt10003", cancel_body(answer["ord_no"]))
        rows = await caller.ledger()
    assert answer["return_msg"] == "모의투자 매수주문완료"
    assert [(row["mdfy_cncl"], row["acpt_tp"]) for row in rows] == [("일반", "접수"), ("취소확인", "접수")]


async def test_ka10075_lists_open_orders_only_newest_first() -> None:
    """Plain numbers, plain symbol, compact time, a blank before the message."""
    async with Simulator(ambient=Clock()) as broker, calling(broker) as caller:
        await caller.buy()
        child = (await caller.call("kt10002", modify_body(await caller.buy(), "0", "69900")))["ord_no"]
        sold = await caller.call("kt10001", order_body(ord_uv="80000", dmst_stex_tp="SOR"))
        await caller.call("kt10000", order_body(ord_uv="", trde_tp="3"))
        answer = await caller.call("ka10075", OPEN)
        sells = await caller.open_orders(trde_tp="1")
        on_krx = await caller.open_orders(stex_tp="1")
    rows = answer["oso"]
    assert answer["return_msg"].startswith(" ")
    assert [row["ord_no"] for row in rows][:2] == [sold["ord_no"], child]
    assert [row["oso_qty"] for row in rows] == ["10", "10", "10"]
    assert (rows[0]["stex_tp"], rows[0]["sor_yn"], rows[0]["io_tp_nm"]) == ("0", "Y", "-매도")
    assert (rows[1]["io_tp_nm"], rows[1]["ord_pric"], rows[1]["tm"]) == ("+매수정정", "69900", "100000")
    assert (rows[1]["stk_cd"], rows[1]["ord_stt"], rows[1]["cur_prc"]) == ("005930", "접수", "+70000")
    assert [row["ord_no"] for row in sells] == [sold["ord_no"]]
    assert len(on_krx) == 2


async def test_ka10076_lists_fills_of_today_going_back_from_a_number() -> None:
    """One cumulative row per order with fills; `ord_no` is an upper bound."""
    async with Simulator() as broker, calling(broker) as caller:
        await caller.buy()
        numbers = [await caller.buy(ord_uv="", trde_tp="3") for _ in range(3)]
        rows = (await caller.call("ka10076", FILLS))["cntr"]
        older = (await caller.call("ka10076", FILLS | {"ord_no": numbers[-1]}))["cntr"]
    assert [row["ord_no"] for row in rows] == numbers[::-1]
    assert [row["ord_no"] for row in older] == numbers[1::-1]
    assert (rows[0]["cntr_qty"], rows[0]["oso_qty"], rows[0]["ord_stt"]) == ("10", "0", "체결")


async def test_ka10088_takes_an_unpadded_number() -> None:
    """A SOR order shows its part at a venue."""
    async with Simulator() as broker, calling(broker) as caller:
        number = await caller.buy(dmst_stex_tp="SOR")
        rows = (await caller.call("ka10088", {"ord_no": number.lstrip("0")}))["osop"]
    assert [(row["ord_no"], row["stex_tp_txt"], row["osop_qty"]) for row in rows] == [(number, "S-KRX", "10")]


async def test_kt00009_sums_and_lists() -> None:
    """Amounts are 12 digits wide; qry_tp 1 keeps rows with fills."""
    async with Simulator() as broker, calling(broker) as caller:
        await caller.buy()
        await caller.buy(ord_uv="", trde_tp="3")
        answer = await caller.call("kt00009", STATUS)
        filled = await caller.call("kt00009", STATUS | {"qry_tp": "1"})
    assert answer["buy_engg_amt"] == answer["engg_amt"] == "000000700000"
    assert len(answer["acnt_ord_cntr_prst_array"]) == 2
    assert len(filled["acnt_ord_cntr_prst_array"]) == 1


async def test_gold_views_hide_time_and_leaves_quantity() -> None:
    """kt50030 has no time and no rest, kt50031 both, kt50075 only what is open; gold is in no stock view."""
    async with Simulator(ambient=Clock()) as broker, calling(broker) as caller:
        first = (await caller.call("kt50000", gold_body()))["ord_no"]
        sold = (await caller.call("kt50001", gold_body(ord_uv="190000")))["ord_no"]
        body = {"orig_ord_no": first, "stk_cd": GOLD}
        moved = await caller.call("kt50002", body | {"mdfy_qty": "0", "mdfy_uv": "179990"})
        await caller.call("kt50003", body | {"orig_ord_no": moved["ord_no"], "cncl_qty": "2"})
        every = (await caller.call("kt50030", GOLD_LIST))["acnt_ord_cntr_prst"]
        sells = (await caller.call("kt50030", GOLD_LIST | {"slby_tp": "1"}))["acnt_ord_cntr_prst"]
        detail = (await caller.call("kt50031", LEDGER))["acnt_ord_cntr_prps_dtl"]
        still = (await caller.call("kt50075", GOLD_LIST))["acnt_ord_oso_prst"]
        stock = await caller.ledger()
    assert [row["ord_remnq"] for row in every] == [""] * 4
    assert not {"ord_tm", "cnfm_tm"} & set(every[0])
    assert (every[0]["stk_cd"], every[0]["trde_tp"], every[0]["io_tp_nm"]) == (GOLD, "지정가", "매수")
    assert [row["ord_no"] for row in sells] == [sold]
    assert [row["ord_tm"] for row in detail] == ["10:00:00"] * 4
    assert detail[0]["ori_ord"] == "0000000"
    assert {row["ord_no"]: row["ord_remnq"] for row in still} == {
        sold: "0000000005",
        moved["ord_no"]: "0000000003",
    }
    assert stock == []


async def test_credit_orders_share_the_stock_views() -> None:
    """The four credit TRs go through their own path."""
    async with Simulator() as broker, calling(broker) as caller:
        bought = await caller.call("kt10006", order_body())
        sold = await caller.call("kt10007", order_body(ord_uv="80000", crd_deal_tp="33", crd_loan_dt="20261001"))
        moved = await caller.call("kt10008", modify_body(bought["ord_no"], "0", "69900"))
        await caller.call("kt10009", cancel_body(moved["ord_no"]))
        rows = await caller.ledger()
        still = await caller.open_orders()
    assert [row["io_tp_nm"] for row in rows] == ["융자매수", "융자매도", "매수정정", "매수취소"]
    assert [(row["ord_no"], row["io_tp_nm"]) for row in still] == [(sold["ord_no"], "-매도신용")]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sell_tp": "1"}, [1]),
        ({"sell_tp": "2"}, [0, 2, 3]),
        ({"stk_cd": "000660"}, [2]),
        ({"stk_cd": "A000660"}, [2]),
        ({"dmst_stex_tp": "NXT"}, [3]),
        ({"qry_tp": "2"}, [3, 2, 1, 0]),
        ({"qry_tp": "3"}, [0, 2, 3]),
        ({"qry_tp": "4"}, [1]),
        ({"stk_bond_tp": "2"}, []),
    ],
)
async def test_ledger_filters(changed: dict[str, str], expected: list[int]) -> None:
    """Each filter of kt00007 keeps what it names."""
    async with Simulator(prices={"005930": 70_000}) as broker, calling(broker) as caller:
        numbers = [await caller.buy(ord_uv="60000")]
        numbers.append((await caller.call("kt10001", order_body(ord_uv="", trde_tp="13")))["ord_no"])
        numbers.append(await caller.buy(stk_cd="000660"))
        numbers.append(await caller.buy(dmst_stex_tp="NXT", ord_uv="59900"))
        rows = await caller.ledger(**changed)
    assert [row["ord_no"] for row in rows] == [numbers[index] for index in expected]


@pytest.mark.parametrize(("inclusive", "skipped"), [(True, 1), (False, 2)])
async def test_first_number_bounds_the_ledger(inclusive: bool, skipped: int) -> None:
    """Whether the named order is listed is not settled, so both are played."""
    async with Simulator(fr_ord_no_inclusive=inclusive) as broker, calling(broker) as caller:
        numbers = [await caller.buy() for _ in range(4)]
        rows = await caller.ledger(fr_ord_no=numbers[1])
    assert [row["ord_no"] for row in rows] == numbers[skipped:]


@pytest.mark.parametrize("api_id", sorted(VIEWS))
@pytest.mark.parametrize("form", list(EmptyList))
async def test_empty_list_has_three_faces(form: EmptyList, api_id: str) -> None:
    """Plain success, an error with a code, an error without one."""
    body = {
        "ka10075": OPEN,
        "ka10076": FILLS,
        "ka10088": {"ord_no": "1"},
        "kt00007": LEDGER,
        "kt00009": STATUS,
        "kt50031": LEDGER,
    }.get(api_id, GOLD_LIST)
    async with Simulator(empty_list=form) as broker, calling(broker) as caller:
        answer = await caller.call(api_id, body)
    if form is EmptyList.SUCCESS:
        assert (answer["return_code"], answer[VIEWS[api_id].list_key]) == (0, [])
    elif form is EmptyList.ERROR:
        code = "571758" if api_id in {"ka10075", "ka10088", "kt50075"} else "501724"
        assert answer["return_code"] == 20
        assert answer["return_msg"].startswith(f"[2000]({code}:")
    else:
        assert answer == {"return_code": 1, "return_msg": "조회내역이 없습니다"}


async def test_account_number_has_ten_digits() -> None:
    """ka00001 names the account; every key has the same one."""
    async with Simulator() as broker, calling(broker) as caller:
        number = (await caller.call("ka00001", {}))["acctNo"]
        await caller.login("another")
        assert (await caller.call("ka00001", {}))["acctNo"] == number == broker.account
    assert len(number) == 10
    assert number.isdigit()


async def test_mock_status_needs_a_date() -> None:
    """Measured on the mock: kt00009 without a date finds nothing."""
    async with Simulator(flavour=Flavour.MOCK, ambient=Clock()) as broker, calling(broker) as caller:
        await caller.buy()
        without = await caller.call("kt00009", STATUS)
        dated = await caller.call("kt00009", STATUS | {"ord_dt": "20261102"})
    assert without["acnt_ord_cntr_prst_array"] == []
    assert len(dated["acnt_ord_cntr_prst_array"]) == 1
