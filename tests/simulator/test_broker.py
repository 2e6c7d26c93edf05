"""The simulator as its user holds it."""

from __future__ import annotations

import argparse
import asyncio
import errno
import signal
import sys
from datetime import date
from pathlib import Path

import httpx
import pytest

from kiwoom_async._cli import simulate
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, Side
from kiwoom_async.simulator import Fault, FaultKind, Flavour, LimitFill, Liquidity, Simulator
from tests.simulator.callers import (
    AGENT,
    LEDGER,
    Caller,
    Clock,
    calling,
    cancel_body,
    modify_body,
    order_body,
    path_of,
)

ROOT = Path(__file__).parents[2]


async def test_environment_points_at_the_broker() -> None:
    """URLs, routes and limits of the environment fit the simulator."""
    async with Simulator() as broker, Simulator(flavour=Flavour.MOCK) as mock:
        environment = broker.environment
        assert environment.rest_url == broker.url
        assert environment.websocket_url == f"ws{broker.url.removeprefix('http')}/api/dostk/websocket"
        assert environment.limits.orders_per_second is None
        assert environment.routes == {"KRX", "NXT", "SOR"}
        assert mock.environment.routes == {"KRX"}


def test_port_is_known_only_after_entering() -> None:
    """Asking too early says what to do."""
    with pytest.raises(RuntimeError, match="async with"):
        _ = Simulator().environment


async def test_book_keeps_what_the_audit_needs() -> None:
    """The snapshots are in the order of acceptance and carry the key as received."""
    async with Simulator(ambient=Clock()) as broker, calling(broker) as caller:
        number = await caller.buy("alpha")
        await caller.call("kt10002", modify_body(number, "4", "69900"), idempotency_key="beta")
        await caller.call("kt10003", cancel_body(number), idempotency_key="gamma")
    first, second, third = broker.orders
    assert (first.day, first.broker_order_id, first.desk, first.side) == (
        date(2026, 11, 2),
        number,
        Desk.STOCK,
        Side.BUY,
    )
    assert [order.idempotency_key for order in broker.orders] == ["alpha", "beta", "gamma"]
    assert [order.action for order in broker.orders] == [Action.NEW, Action.MODIFY, Action.CANCEL]
    assert (first.status, second.status) == (OrderStatus.CANCELED, OrderStatus.WORKING)
    assert (second.original, second.root, second.leaves_quantity) == (number, number, 4)
    assert third.confirmed_quantity == 6
    assert first.accepted_at.isoformat() == "2026-11-02T10:00:00+09:00"


async def test_foreign_orders_are_listed_and_told_apart() -> None:
    """Somebody's order is in the views and in `all_orders`, not in `orders`."""
    async with Simulator() as broker, calling(broker) as caller:
        mine = await caller.buy()
        theirs = broker.place_foreign(symbol="005930", side="buy", quantity=10, price=70_000)
        twin = broker.place_foreign(symbol="005930", side=Side.BUY, quantity=10, price=70_000, channel="REST API")
        broker.cancel_foreign(twin.broker_order_id)
        rows = await caller.ledger()
    assert [order.broker_order_id for order in broker.orders] == [mine]
    assert len(broker.all_orders) == 4
    assert [row["comm_ord_tp"] for row in rows] == ["REST API", "영웅문4", "REST API", "영웅문4"]
    assert rows[1]["ord_no"] == theirs.broker_order_id


async def test_strangers_take_numbers() -> None:
    """Numbers of other accounts are missing from ours."""
    async with Simulator() as broker, calling(broker) as caller:
        before = int(await caller.buy())
        broker.place_stranger(1000)
        assert int(await caller.buy()) > before + 1000


async def test_fill_by_hand() -> None:
    """A scripted trade shows in the views and in `fills`."""
    async with Simulator() as broker, calling(broker) as caller:
        number = await caller.buy()
        broker.fill(number, 3, 69_900)
        broker.fill(number)
        row = (await caller.ledger())[0]
    assert (row["cntr_qty"], row["cntr_uv"]) == ("0000000010", "0000069970")
    assert [(fill.quantity, fill.price) for fill in broker.fills] == [(3, 69_900), (7, 70_000)]
    assert broker.orders[0].average_fill_price == 69_970


async def test_liquidity_is_configurable() -> None:
    """Limit orders may trade by themselves."""
    async with Simulator(liquidity=Liquidity(LimitFill.ALWAYS)) as broker, calling(broker) as caller:
        await caller.buy()
    assert broker.orders[0].status is OrderStatus.FILLED


async def test_day_change_by_script() -> None:
    """Working orders expire, numbers come again, the old day answers to its date, the token lives."""
    async with Simulator(ambient=Clock()) as broker, calling(broker) as caller:
        old = [await caller.buy() for _ in range(5)]
        assert broker.advance_day() == date(2026, 11, 3) == broker.day
        new = [await caller.buy() for _ in range(5)]
        today = await caller.ledger()
        yesterday = await caller.ledger(ord_dt="20261102")
        still_open = await caller.open_orders()
        gone = await caller.call("kt10003", cancel_body(old[-1]))
    assert set(old) & set(new)
    assert [row["ord_no"] for row in today] == new
    assert [(row["ord_no"], row["ord_remnq"]) for row in yesterday] == [(n, "0000000000") for n in old]
    assert {row["ord_no"] for row in still_open} == set(new)
    assert gone["return_code"] == 20 or old[-1] in new
    assert [order.status for order in broker.orders[:5]] == [OrderStatus.EXPIRED] * 5


async def test_days_can_be_forgotten() -> None:
    """Of the days before, nothing is kept; today's orders, fills and requests stay, and go on."""
    clock = Clock()
    liquidity = Liquidity(LimitFill.ALWAYS)
    async with Simulator(ambient=clock, liquidity=liquidity) as broker, calling(broker) as caller:
        await caller.buy()
        clock.move(24 * 3600)
        await caller.login()
        number = await caller.buy()
        assert (len(broker.orders), len(broker.fills), broker.count("kt10000")) == (2, 2, 2)
        broker.forget_before(broker.day)
        assert [order.broker_order_id for order in broker.orders] == [number]
        assert {fill.day for fill in broker.fills} == {broker.day}
        assert broker.count("kt10000") == 1
        assert await caller.ledger(ord_dt="20261102") == []
        assert [row["ord_no"] for row in await caller.ledger()] == [number]
        assert await caller.buy() != number


async def test_day_change_by_the_clock() -> None:
    """Midnight opens a new day; a scripted change does not add to one that has come by itself."""
    clock = Clock()
    async with Simulator(ambient=clock) as broker, calling(broker) as caller:
        await caller.buy()
        clock.move(24 * 3600)
        assert broker.advance_day() == date(2026, 11, 3)
        clock.move(24 * 3600)
        await caller.login()
        assert await caller.ledger() == []
        assert broker.day == date(2026, 11, 4)


@pytest.mark.parametrize("lag", [2.0, lambda random: 2.0 + random.random()])
async def test_ledger_lag_hides_new_orders(lag: float) -> None:
    """Every view shows an order late; the truth does not wait."""
    clock = Clock()
    async with Simulator(ambient=clock, ledger_lag=lag) as broker, calling(broker) as caller:
        await caller.buy()
        assert (await caller.ledger(), await caller.open_orders()) == ([], [])
        assert len(broker.orders) == 1
        clock.move(3.0)
        assert (len(await caller.ledger()), len(await caller.open_orders())) == (1, 1)


async def test_stop_order_fires_when_the_price_moves() -> None:
    """The market can be moved from outside."""
    async with Simulator(prices={"005930": 70_000}) as broker, calling(broker) as caller:
        await caller.buy(trde_tp="28", ord_uv="71500", cond_uv="71000")
        assert broker.orders[0].is_armed
        broker.move_price("005930", 71_000)
        assert not broker.orders[0].is_armed
        assert (await caller.ledger())[0]["cond_uv"] == "0000071000"


async def test_same_seed_gives_the_same_day() -> None:
    """Numbers, tokens and the account replay from the seed."""

    async def play(seed: int) -> tuple[list[str], str, str]:
        async with Simulator(seed=seed, ambient=Clock()) as broker, calling(broker) as caller:
            return [await caller.buy() for _ in range(10)], caller.token, broker.account

    assert await play(4) == await play(4)
    assert await play(4) != await play(5)


def in_process(broker: Simulator, timeout: float = 5.0) -> httpx.AsyncClient:
    """Call a simulator without its socket."""
    headers = {"User-Agent": AGENT}
    return httpx.AsyncClient(transport=broker.transport, base_url=broker.url, headers=headers, timeout=timeout)


async def test_transport_in_process_is_the_same_broker() -> None:
    """No socket is opened, and the book is the same."""
    async with Simulator(listen=False) as broker, in_process(broker) as http:
        caller = Caller(http)
        await caller.login()
        number = await caller.buy("alpha")
    assert broker.url == "http://simulator.invalid"
    assert broker.orders[0].broker_order_id == number


@pytest.mark.parametrize(
    ("fault", "error", "accepted"),
    [
        (Fault(FaultKind.DROP_BEFORE_ACCEPTANCE), httpx.RemoteProtocolError, 0),
        (Fault(FaultKind.DROP_AFTER_ACCEPTANCE), httpx.RemoteProtocolError, 1),
        (Fault(FaultKind.RESET_AFTER_BYTES, after_bytes=10), httpx.ReadError, 1),
        (Fault(FaultKind.RESET_AFTER_BYTES, after_bytes=230), httpx.ReadError, 1),
        (Fault(FaultKind.RESET_AFTER_BYTES, after_bytes=10_000), None, 1),
        (Fault(FaultKind.HANG), httpx.ReadTimeout, 1),
        (Fault(FaultKind.HANG, accepted=False), httpx.ReadTimeout, 0),
        (Fault(FaultKind.HANG, seconds=0.01), httpx.RemoteProtocolError, 1),
        (Fault(FaultKind.DELAY_ANSWER, seconds=0.01), None, 1),
        (Fault(FaultKind.DELAY_ANSWER, seconds=10), httpx.ReadTimeout, 1),
        (Fault(FaultKind.REFUSE_CONNECTION), httpx.RemoteProtocolError, 0),
    ],
)
async def test_faults_in_process(fault: Fault, error: type[Exception] | None, accepted: int) -> None:
    """The transport raises what httpx would raise on a socket."""
    async with Simulator(listen=False, faults=[fault]) as broker, in_process(broker, 0.1) as http:
        caller = Caller(http)
        await caller.login()
        if error is None:
            assert (await caller.post("kt10000", order_body())).status_code == 200
        else:
            with pytest.raises(error):
                await caller.post("kt10000", order_body())
    assert len(broker.orders) == accepted


async def test_refused_connections_in_process() -> None:
    """By fault, by the block, and after the end."""
    clock = Clock()
    fault = Fault(FaultKind.REFUSE_CONNECTION, seconds=1.0)
    async with Simulator(listen=False, ambient=clock, faults=[fault]) as broker, in_process(broker) as http:
        caller = Caller(http)
        await caller.login()
        with pytest.raises(httpx.RemoteProtocolError):
            await caller.buy()
        with pytest.raises(httpx.ConnectError):
            await caller.buy()
        clock.move(1.0)
        await caller.buy()
        async with broker.refusing_connections():
            with pytest.raises(httpx.ConnectError):
                await caller.buy()
        await caller.buy()
        await broker.__aexit__(None, None, None)
        with pytest.raises(httpx.ConnectError):
            await caller.buy()


async def test_observer_hears_orders_refusals_and_faults() -> None:
    """One line each."""
    lines: list[str] = []
    async with (
        Simulator(observer=lines.append, faults=[Fault(FaultKind.HTML_OK)]) as broker,
        calling(broker) as caller,
    ):
        await caller.post("kt10000", order_body())
        number = await caller.buy()
        await caller.call("kt10000", order_body(ord_uv="1"), idempotency_key="x")
        await caller.call("kt10000", order_body(ord_uv=""))
    assert lines[0] == "kt10000 fault html_ok"
    assert lines[1] == f"kt10000 {number} buy 005930 10 at 70000: working"
    assert lines[-1] == "kt10000 refused 308003"


async def test_many_callers_at_once() -> None:
    """Two hundred orders in flight together: two hundred numbers."""
    async with Simulator() as broker, calling(broker, patience=30) as caller:
        numbers = await asyncio.gather(*(caller.buy(f"k{index}") for index in range(200)))
    assert len(set(numbers)) == len(broker.orders) == 200
    assert path_of("kt00007") == "/api/dostk/acnt"


def parsed(*words: str) -> argparse.Namespace:
    """Read a command line."""
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())
    return parser.parse_args(["simulate", *words])


def test_command_line_has_safe_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything has a default; an impossible intensity is refused."""
    args = parsed()
    assert (args.host, args.hostile, args.flavour, args.limits) == ("127.0.0.1", 0.0, "real", "off")
    with pytest.raises(SystemExit):
        parsed("--hostile", "2")
    assert "from 0 to 1" in capsys.readouterr().err


def test_taken_port_is_a_clear_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with status 1 and names the address."""

    async def fail(args: argparse.Namespace) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(simulate, "_serve", fail)
    assert simulate.run(parsed("--port", "9000")) == 1
    assert "127.0.0.1:9000: Address already in use" in capsys.readouterr().err


async def test_command_serves_until_interrupted() -> None:
    """It tells where it is, logs a line per order, and Ctrl-C ends it."""
    code = (
        "import argparse, sys; from kiwoom_async._cli import simulate; p = argparse.ArgumentParser(); "
        "simulate.add_parser(p.add_subparsers()); a = p.parse_args(); sys.exit(simulate.run(a))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        "simulate",
        "--port",
        "0",
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    shown = ""
    while "Ctrl-C" not in shown:
        shown += (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    url = shown.split('rest_url="')[1].split('"')[0]
    async with httpx.AsyncClient(base_url=url, headers={"User-Agent": AGENT}) as http:
        caller = Caller(http)
        await caller.login()
        number = await caller.buy()
        assert len((await caller.call("kt00007", LEDGER))["acnt_ord_cntr_prps_dtl"]) == 1
    process.send_signal(signal.SIGINT)
    rest, _ = await asyncio.wait_for(process.communicate(), 20)
    assert number in rest.decode()
    assert process.returncode == 130
