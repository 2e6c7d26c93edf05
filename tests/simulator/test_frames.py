"""What the simulator's feed says of orders, by FID; the shapes are those of the recorded frames."""

from __future__ import annotations

import pytest

from kiwoom_async._domain.vocabulary import OrderStatus, OrderType
from kiwoom_async.simulator import (
    FeedHabits,
    Funds,
    LimitFill,
    Liquidity,
    Reporting,
    Simulator,
    SymbolForm,
)
from tests.simulator.callers import GOLD, Clock, calling, cancel_body, gold_body, modify_body, order_body
from tests.simulator.listeners import listening

ACCEPTED = {
    "9205": "",
    "9001": "005930",
    "912": "JJ",
    "913": "접수",
    "302": "삼성전자",
    "900": "1",
    "901": "0",
    "902": "1",
    "903": "0",
    "904": "0000000",
    "905": "+매수",
    "906": "시장가",
    "907": "2",
    "908": "100000",
    "909": "",
    "910": "",
    "911": "",
    "10": "-258000",
    "27": "-258000",
    "28": "-257500",
    "914": "",
    "915": "",
    "938": "0",
    "939": "0",
    "919": "0",
    "920": "",
    "921": "6801005",
    "922": "00",
    "923": "",
    "10010": " 258000",
    "2134": "1",
    "2135": "KRX",
    "2136": "N",
}
"""The recorded acceptance of a market order for one share, but for the account, the numbers and the moment."""


def reporting(**said: object) -> FeedHabits:
    """Make habits that report something otherwise."""
    return FeedHabits(reporting=Reporting(**said))  # type: ignore[arg-type]


PLAIN = reporting(symbols=SymbolForm.PLAIN)


async def test_market_order_looks_as_recorded() -> None:
    """Two frames: the acceptance with its empty texts, the fill with what has changed."""
    async with (
        Simulator(ambient=Clock(), prices={"005930": 258_500}, feed=PLAIN) as broker,
        listening(broker) as (caller, listener),
    ):
        broker.move_price("005930", 258_000)
        number = await caller.buy(ord_qty="1", ord_uv="", trde_tp="3")
        accepted, filled = await listener.values(), await listener.values()
        message = broker.feed_frames[0]
    assert accepted == {"9201": broker.account, "9203": number, **ACCEPTED}
    execution = broker.fills[0].execution_id
    changed = {name: value for name, value in filled.items() if accepted[name] != value}
    assert changed == {
        "913": "체결",
        "902": "0",
        "903": "258000",
        "909": execution,
        "910": "258000",
        "911": "1",
        "914": "258000",
        "915": "1",
        "938": "900",
    }
    assert message == {
        "trnm": "REAL",
        "data": [{"values": accepted, "type": "00", "name": "주문체결", "item": "005930"}],
    }


async def test_fills_are_cumulative_and_their_average_is_rounded_down() -> None:
    """911 and 910 sum up, 915 and 914 are the single fill."""
    async with Simulator(prices={"005930": 260_000}) as broker, listening(broker) as (caller, listener):
        number = await caller.buy(ord_qty="19", ord_uv="260000")
        broker.fill(number, 1, 259_500)
        broker.fill(number, 2, 260_000)
        broker.fill(number, 16, 260_000)
        await listener.values()
        heard = [await listener.values() for _ in range(3)]
    shown = [tuple(frame[name] for name in ("902", "903", "910", "911", "914", "915")) for frame in heard]
    assert shown == [
        ("18", "259500", "259500", "1", "259500", "1"),
        ("16", "779500", "259833", "3", "260000", "2"),
        ("0", "4939500", "259973", "19", "260000", "16"),
    ]
    assert [frame["909"] for frame in heard] == [fill.execution_id for fill in broker.fills]
    assert len({frame["909"] for frame in heard}) == 3


async def test_contradicting_report_counts_each_fill_alone() -> None:
    """By the setting; the amount of 903 stays cumulative."""
    async with Simulator(feed=reporting(cumulative=False)) as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        broker.fill(number, 3)
        broker.fill(number, 7, 69_900)
        await listener.values()
        heard = [await listener.values() for _ in range(2)]
    assert [(frame["911"], frame["910"], frame["903"]) for frame in heard] == [
        ("3", "70000", "210000"),
        ("7", "69900", "699300"),
    ]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        (SymbolForm.PLAIN, ["005930"] * 3),
        (SymbolForm.PREFIXED, ["A005930"] * 3),
        (SymbolForm.ALTERNATING, ["005930", "A005930", "005930"]),
    ],
)
async def test_symbols_come_in_two_forms(form: SymbolForm, shown: list[str]) -> None:
    """Both were recorded; the item has never a letter."""
    async with Simulator(feed=reporting(symbols=form)) as broker, listening(broker) as (caller, listener):
        for _ in shown:
            await caller.buy()
        assert [(await listener.values())["9001"] for _ in shown] == shown
        assert '"item": "005930"' in str(broker.feed_frames).replace("'", '"')


async def test_cancel_reports_itself_and_what_it_took() -> None:
    """접수 and 확인 under the new number, 취소 under the original with what is left of it."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        broker.fill(number, 2)
        canceled = (await caller.call("kt10003", cancel_body(number, "3")))["ord_no"]
        heard = [await listener.values() for _ in range(5)]
    accepted, confirmed, original = heard[2:]
    names = ("913", "9203", "904", "905", "900", "902", "911", "909")
    assert [tuple(frame[name] for name in names) for frame in (accepted, confirmed, original)] == [
        ("접수", canceled, number, "매수취소", "3", "3", "", ""),
        ("확인", canceled, number, "매수취소", "3", "0", "", ""),
        ("취소", number, "0000000", "+매수", "10", "5", "", ""),
    ]
    assert original["903"] == "140000"


async def test_cancel_of_more_than_is_left_confirms_what_it_took() -> None:
    """900 of the 확인 is the quantity confirmed."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        await caller.call("kt10003", cancel_body(number, "25"))
        heard = [await listener.values() for _ in range(4)]
    assert [(frame["913"], frame["900"], frame["902"]) for frame in heard[1:]] == [
        ("접수", "25", "25"),
        ("확인", "10", "0"),
        ("취소", "10", "0"),
    ]


async def test_modify_reports_itself_only() -> None:
    """Its 확인 shows nothing left, although it lives and trades under its number."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        modified = (await caller.call("kt10002", modify_body(number, "4", "69900")))["ord_no"]
        broker.fill(modified, 4)
        heard = [await listener.values() for _ in range(4)]
    names = ("913", "9203", "904", "905", "900", "901", "902", "911")
    assert [tuple(frame[name] for name in names) for frame in heard[1:]] == [
        ("접수", modified, number, "+매수정정", "4", "69900", "4", ""),
        ("확인", modified, number, "+매수정정", "4", "69900", "0", ""),
        ("체결", modified, number, "+매수정정", "4", "69900", "0", "4"),
    ]


async def test_reports_of_changes_can_be_otherwise() -> None:
    """No 취소 after a cancel, one after a modify, a 확인 that says what lives on."""
    habits = reporting(cancel_reports_original=False, modify_reports_original=True, modify_confirms_leaves=True)
    async with Simulator(feed=habits) as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        modified = (await caller.call("kt10002", modify_body(number, "4", "69900")))["ord_no"]
        canceled = (await caller.call("kt10003", cancel_body(modified)))["ord_no"]
        last = await caller.buy()
        heard = [await listener.values() for _ in range(7)]
    assert [(frame["913"], frame["9203"], frame["902"]) for frame in heard] == [
        ("접수", number, "10"),
        ("접수", modified, "4"),
        ("확인", modified, "4"),
        ("취소", number, "6"),
        ("접수", canceled, "4"),
        ("확인", canceled, "0"),
        ("접수", last, "10"),
    ]


@pytest.mark.parametrize("code", ["10", "20"])
async def test_what_an_order_may_not_leave_in_the_book_is_canceled(code: str) -> None:
    """IOC and FOK: under its own number, with nothing left."""
    async with Simulator(liquidity=Liquidity(market_maker=False)) as broker, listening(broker) as (caller, listener):
        number = await caller.buy(trde_tp=code)
        await listener.values()
        canceled = await listener.values()
    assert (canceled["913"], canceled["9203"], canceled["902"], canceled["904"]) == ("취소", number, "0", "0000000")


async def test_partly_traded_rest_is_canceled_after_the_fill() -> None:
    """An IOC order that met two of its ten."""
    async with Simulator(liquidity=Liquidity(market_maker=False)) as broker, listening(broker) as (caller, listener):
        broker.place_foreign(symbol="005930", side="sell", quantity=2, price=70_000)
        number = await caller.buy(trde_tp="10")
        own = [frame for frame in [await listener.values() for _ in range(5)] if frame["9203"] == number]
    assert [(frame["913"], frame["902"]) for frame in own] == [("접수", "10"), ("체결", "8"), ("취소", "0")]


async def test_refusal_after_acceptance() -> None:
    """거부 with its reason; the book, the ledger and the open orders agree that nothing is left."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        broker.fill(number, 4)
        refused = broker.refuse(number, reason="증거금부족")
        row = (await caller.ledger())[0]
        still_open = await caller.open_orders()
        with pytest.raises(ValueError, match="nothing left"):
            broker.refuse(number)
        with pytest.raises(ValueError, match="no order"):
            broker.refuse("9999999")
        heard = [await listener.values() for _ in range(3)]
    assert (refused.status, refused.leaves_quantity, refused.filled_quantity) == (OrderStatus.REFUSED, 0, 4)
    assert (row["ord_remnq"], row["cntr_qty"], still_open) == ("0000000000", "0000000004", [])
    last = heard[-1]
    assert (last["913"], last["9203"], last["902"], last["919"]) == ("거부", number, "0", "증거금부족")
    assert {frame["919"] for frame in heard[:2]} == {"0"}


async def test_refused_order_does_not_trade_any_more() -> None:
    """Neither a fill that was on its way nor a stop that is reached."""
    clock = Clock()
    liquidity = Liquidity(LimitFill.ALWAYS, after=1.0)
    async with Simulator(ambient=clock, liquidity=liquidity) as broker, calling(broker) as caller:
        resting = await caller.buy()
        stop = await caller.buy(trde_tp="28", ord_uv="71500", cond_uv="71000")
        broker.refuse(resting)
        assert not broker.refuse(stop).is_armed
        clock.move(2.0)
        broker.move_price("005930", 71_000)
        assert broker.fills == ()


async def test_other_peoples_orders_come_from_other_terminals() -> None:
    """921 and 920 tell a program on a screen from the REST API; a second REST client they do not."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        await caller.buy()
        await caller.call("kt10001", order_body())
        for channel in ("영웅문4", "영웅문S#", "other", "REST API"):
            broker.place_foreign(symbol="000660", side="sell", quantity=1, price=70_000, channel=channel)
        heard = [await listener.values() for _ in range(8)]
    accepted = [frame for frame in heard if frame["913"] == "접수"]
    assert [(frame["920"], frame["921"]) for frame in accepted] == [
        ("", "6801005"),
        ("", "7501001"),
        ("4989", "0101001"),
        ("4989", "0301001"),
        ("4989", "0101001"),
        ("", "7501001"),
    ]
    assert (accepted[1]["905"], accepted[1]["907"]) == ("-매도", "1")


async def test_foreign_cancel_is_heard() -> None:
    """Also of an order of ours."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        canceled = broker.cancel_foreign(number).broker_order_id
        assert await listener.states(4) == [("접수", number), ("접수", canceled), ("확인", canceled), ("취소", number)]


async def test_gold_routes_credit_and_their_texts() -> None:
    """Gold has no letter and its own words; a SOR order trades at KRX and says so; credit has its code."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        await caller.call("kt50000", gold_body())
        await caller.buy(dmst_stex_tp="SOR")
        await caller.buy(dmst_stex_tp="NXT")
        await caller.call("kt10006", order_body())
        gold, sor, nxt, credit = [await listener.values() for _ in range(4)]
        assert broker.feed_frames[0]["data"][0]["item"] == GOLD  # type: ignore[index]
    assert (gold["9001"], gold["906"], gold["905"]) == (GOLD, "지정가", "+매수")
    assert (sor["2134"], sor["2135"], sor["2136"]) == ("1", "KRX", "Y")
    assert (nxt["2134"], nxt["2135"], nxt["2136"]) == ("2", "NXT", "N")
    assert (credit["922"], credit["905"], credit["906"]) == ("03", "+매수신용", "보통")
    assert (sor["922"], sor["923"]) == ("00", "")


@pytest.mark.parametrize("tells_credit", [True, False])
async def test_a_credit_sale_names_its_loan_or_reads_like_any_other(*, tells_credit: bool) -> None:
    """What stands in 905, 922 and 923 of an order on credit is not known, so both are played."""
    habits = FeedHabits(reporting=Reporting(tells_credit=tells_credit))
    async with Simulator(feed=habits) as broker, listening(broker) as (caller, listener):
        number = await caller.call("kt10007", order_body(crd_deal_tp="33", crd_loan_dt="20261001"))
        sold = await listener.values()
        await caller.call("kt10009", cancel_body(number["ord_no"]))
        canceled = await listener.values()
    told = ("-매도신용", "03", "20261001") if tells_credit else ("-매도", "00", "")
    assert (sold["905"], sold["922"], sold["923"]) == told
    assert canceled["905"] == "매도취소"


async def test_end_of_the_day_is_silent() -> None:
    """Expiry has no report that anybody has seen; the next day is heard again."""
    async with Simulator(ambient=Clock()) as broker, listening(broker) as (caller, listener):
        first = await caller.buy()
        broker.advance_day()
        second = await caller.buy()
        assert await listener.states(2) == [("접수", first), ("접수", second)]


async def test_stop_order_is_silent_until_it_trades() -> None:
    """Its stop firing is no report."""
    async with Simulator(prices={"005930": 70_000}) as broker, listening(broker) as (caller, listener):
        number = await caller.buy(trde_tp="28", ord_uv="71500", cond_uv="71000")
        broker.move_price("005930", 71_000)
        broker.fill(number)
        frames = [await listener.values() for _ in range(2)]
    assert [(frame["913"], frame["906"]) for frame in frames] == [("접수", "스톱지정가"), ("체결", "스톱지정가")]
    assert broker.orders[0].order_type is OrderType.STOP_LIMIT


async def test_balance_follows_each_fill() -> None:
    """Quantity, average cost, what is bought today, what can still be sold."""
    funds = Funds(holdings={"005930": 5})
    async with (
        Simulator(prices={"005930": 70_000}, funds=funds, feed=PLAIN) as broker,
        listening(broker, "04") as (caller, listener),
    ):
        bought = await caller.buy(ord_qty="15", ord_uv="80000")
        broker.fill(bought, 15, 80_000)
        sold = (await caller.call("kt10001", order_body()))["ord_no"]
        broker.fill(sold, 4)
        frames = [await listener.values("04") for _ in range(2)]
        entry = broker.feed_frames[0]["data"][0]  # type: ignore[index]
    names = ("9001", "930", "931", "932", "933", "945", "946")
    assert [tuple(frame[name] for name in names) for frame in frames] == [
        ("005930", "20", "77500", "1200000", "20", "15", "2"),
        ("005930", "16", "77500", "1200000", "10", "11", "1"),
    ]
    assert (entry["type"], entry["name"], entry["item"]) == ("04", "현물잔고", "005930")
    assert frames[0]["10"] == "+80000"
    assert frames[1]["307"] == "70000"


async def test_balance_without_known_holdings_is_never_negative() -> None:
    """Where the account owns everything, a sell leaves nothing to be shown."""
    async with Simulator() as broker, listening(broker, "04") as (caller, listener):
        number = (await caller.call("kt10001", order_body()))["ord_no"]
        broker.fill(number)
        frame = await listener.values("04")
    assert (frame["930"], frame["931"], frame["933"], frame["945"]) == ("0", "0", "0", "-10")


async def test_frames_tell_the_whole_book() -> None:
    """After a mixed day, the last word on each number is what the book says of it."""
    async with Simulator(liquidity=Liquidity(LimitFill.ALWAYS, 0.5, in_parts=True)) as broker:
        async with listening(broker) as (caller, _):
            for index in range(30):
                number = await caller.buy(trde_tp=("0", "3", "10")[index % 3], ord_uv="" if index % 3 == 1 else "70000")
                if index % 4 == 0:
                    await caller.call("kt10002", modify_body(number, "3", "69900"))
                if index % 5 == 0:
                    await caller.call("kt10003", cancel_body(number))
        said: dict[str, dict[str, str]] = {}
        filled: dict[str, int] = {}
        for message in broker.feed_frames:
            values = message["data"][0]["values"]  # type: ignore[index]
            number = values["9203"]
            said[number] = values
            filled[number] = filled.get(number, 0) + int(values["915"] or 0)
        orders = broker.all_orders
    assert set(said) == {order.broker_order_id for order in orders}
    assert filled == {order.broker_order_id: order.filled_quantity for order in orders}
    for order in orders:
        is_modified = any(other.original == order.broker_order_id and other.action == "modify" for other in orders)
        is_confirmation = said[order.broker_order_id]["913"] == "확인"
        if not (is_modified or is_confirmation):
            assert said[order.broker_order_id]["902"] == str(order.leaves_quantity)
