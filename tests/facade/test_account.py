"""`client.account` against the simulator: what was bought, sold and spent, and what goes wrong while it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kiwoom_async import (
    AuthenticationError,
    ConfigurationError,
    Desk,
    InvalidRequest,
    KiwoomClient,
    OrderStatus,
    OrderType,
    QueryFailed,
    RateLimited,
    Route,
    Side,
    ValidationError,
    records,
)
from kiwoom_async._account import Account
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.answers import Cursor, Page
from kiwoom_async._wire.requests import Call
from kiwoom_async.simulator import EmptyList, Fault, FaultKind, Funds, Simulator
from tests.scenarios.trading import SYMBOL, Hands, broker_of, client_of, eventually, opened

GOLD = "M04020000"
LOAN_DAY = date(2026, 10, 5)
READS: dict[str, Callable[[Account], Any]] = {
    "ka10075": lambda account: account.open_orders(),
    "kt50075": lambda account: account.open_orders(desk="gold"),
    "ka10076": lambda account: account.executions(),
    "kt00007": lambda account: account.ledger(),
    "kt50031": lambda account: account.ledger(desk=Desk.GOLD),
    "kt00018": lambda account: account.balance(),
    "kt00005": lambda account: account.filled_balance(),
    "kt00001": lambda account: account.deposit(),
    "kt00011": lambda account: account.buying_power(SYMBOL),
    "kt00012": lambda account: account.credit_buying_power(SYMBOL),
    "kt00010": lambda account: account.order_funds(SYMBOL, price=70_000),
    "kt50020": lambda account: account.gold_balance(),
    "kt50021": lambda account: account.gold_deposit(),
    "ka00001": lambda account: account.number(),
    "ka10001": lambda account: account.quote(SYMBOL),
    "ka10004": lambda account: account.order_book(SYMBOL),
}
WRONG: tuple[Callable[[Any], Any], ...] = (
    lambda account: account.ledger("20261102"),
    lambda account: account.ledger(datetime(2026, 11, 2, tzinfo=UTC)),
    lambda account: account.ledger(date(2999, 1, 1)),
    lambda account: account.ledger(desk="bonds"),
    lambda account: account.open_orders(desk=5),
    lambda account: account.balance(route="SOR"),
    lambda account: account.filled_balance(route="NYSE"),
    lambda account: account.buying_power("00593"),
    lambda account: account.buying_power(SYMBOL, price=0),
    lambda account: account.credit_buying_power(SYMBOL, price=-1),
    lambda account: account.order_funds(SYMBOL, price=70_000.5),
    lambda account: account.order_funds(SYMBOL, price=70_000, quantity=0),
    lambda account: account.order_funds(SYMBOL, price=70_000, side="both"),
    lambda account: account.quote("005930_NX"),
    lambda account: account.quote(GOLD),
    lambda account: account.order_book(5930),
    lambda account: account.order_book(SYMBOL, route="AL"),
)


@asynccontextmanager
async def trading(folder: Path, **changes: Any) -> AsyncIterator[tuple[Simulator, KiwoomClient]]:
    """Open a client of a simulator with ten million won."""
    settings: dict[str, Any] = {"prices": {SYMBOL: 70_000}, "funds": Funds(cash=10_000_000)}
    async with broker_of(**(settings | changes)) as broker, client_of(broker, folder) as client:
        await opened(broker)
        yield broker, client


async def test_from_an_order_to_a_holding(tmp_path: Path) -> None:
    """Open, partly executed, held and paid: every view tells the same story."""
    async with trading(tmp_path) as (broker, client):
        order = await client.stock.buy(SYMBOL, 10, price=69_000)
        broker.fill(order.broker_order_id or "", 4)
        account = client.account

        (open_order,) = await account.open_orders()
        assert (open_order.broker_order_id, open_order.side, open_order.price) == (
            order.broker_order_id,
            Side.BUY,
            69_000,
        )
        assert (open_order.quantity, open_order.filled_quantity, open_order.leaves_quantity) == (10, 4, 6)
        assert open_order.order_time is not None
        assert open_order.order_time.utcoffset() == timedelta(hours=9)
        assert OrderType.LIMIT in open_order.order_types
        assert open_order.route is Route.KRX

        (execution,) = await account.executions()
        assert (execution.filled_quantity, execution.average_fill_price, execution.side) == (
            4,
            Decimal(69_000),
            Side.BUY,
        )
        assert execution.ordered_at is not None
        assert execution.ordered_at.date() == broker.day == execution.day

        (row,) = await account.ledger()
        assert (row.status, row.filled_quantity, row.leaves_quantity) == (OrderStatus.PARTIALLY_FILLED, 4, 6)

        balance = await account.balance()
        (holding,) = balance.holdings
        assert (holding.symbol, holding.quantity, holding.average_price) == (SYMBOL, 4, Decimal(69_000))
        assert balance.totals is not None
        assert balance.totals.purchase_amount == 276_000
        (position,) = (await account.filled_balance()).positions
        assert (position.quantity, position.settled_quantity) == (4, 0)

        deposit = await account.deposit()
        assert (deposit.deposit, deposit.orderable) == (10_000_000, 10_000_000 - 10 * 69_000)
        assert (deposit.deposit_in_2_days, deposit.bought_in_2_days) == (10_000_000 - 276_000, 276_000)
        assert (await account.deposit(estimated=False)).deposit == deposit.deposit

        await client.stock.cancel(order)
        assert await account.open_orders() == ()
        assert (await account.deposit()).orderable == 10_000_000 - 276_000


async def test_a_past_day(tmp_path: Path) -> None:
    """Its ledger stays readable; the views of today begin anew; what was bought is held."""
    async with trading(tmp_path) as (broker, client):
        filled = await client.stock.buy(SYMBOL, 3, price=70_000)
        broker.fill(filled.broker_order_id or "")
        expired = await client.stock.buy(SYMBOL, 5, price=60_000)
        yesterday = broker.day
        assert isinstance(broker.ambient, Hands)
        broker.ambient.next_day()
        assert broker.day == yesterday + timedelta(days=1)
        today = await client.stock.sell(SYMBOL, 1, price=71_000)

        past = await client.account.ledger(yesterday)
        assert [(row.broker_order_id, row.status) for row in past] == [
            (filled.broker_order_id, OrderStatus.FILLED),
            (expired.broker_order_id, OrderStatus.CANCELED),
        ]
        assert {row.day for row in past} == {yesterday}
        assert [row.ordered_at.date() for row in past if row.ordered_at] == [yesterday] * 2
        assert [row.broker_order_id for row in await client.account.ledger()] == [today.broker_order_id]
        assert await client.account.executions() == ()
        (holding,) = (await client.account.balance()).holdings
        assert (holding.quantity, holding.sellable_quantity, holding.bought_yesterday) == (3, 2, 3)
        assert await client.account.ledger(yesterday - timedelta(days=30)) == ()


async def test_a_day_changed_by_script(tmp_path: Path) -> None:
    """The broker may be a day ahead of the clock; what it settled is settled."""
    async with trading(tmp_path) as (broker, client):
        order = await client.stock.buy(SYMBOL, 10, price=70_000)
        broker.fill(order.broker_order_id or "")
        day = broker.day
        broker.advance_day()
        broker.advance_day()
        (row,) = await client.account.ledger(day)
        assert row.broker_order_id == order.broker_order_id
        assert (await client.account.deposit()).deposit == 9_300_000
        (position,) = (await client.account.filled_balance()).positions
        assert position.settled_quantity == 10


async def test_buying_power_is_what_may_be_bought(tmp_path: Path) -> None:
    """As much is accepted, and what an order would do is told before."""
    async with trading(tmp_path) as (broker, client):
        power = await client.account.buying_power(SYMBOL, price=69_900)
        assert (power.symbol, power.price, power.quantity) == (SYMBOL, 69_900, 10_000_000 // 69_900)
        assert [rate.rate for rate in power.by_margin_rate] == [100]
        funds = await client.account.order_funds(SYMBOL, price=69_900, quantity=power.quantity)
        assert funds.settlement == power.quantity * 69_900
        assert funds.deposit_in_2_days == 10_000_000 - funds.settlement
        sale = await client.account.order_funds(f"A{SYMBOL}", price=69_900, side="sell", quantity=5)
        assert (sale.symbol, sale.side, sale.purchase_amount) == (SYMBOL, Side.SELL, 0)
        await client.stock.buy(SYMBOL, power.quantity, price=69_900)
        assert (await client.account.buying_power(SYMBOL, price=69_900)).quantity == 0
        assert (await client.account.credit_buying_power(SYMBOL, price=10)).quantity == power.amount % 69_900 // 10
        assert len(broker.orders) == 1


async def test_loans(tmp_path: Path) -> None:
    """Summed up, or each by itself with its day."""
    funds = Funds(cash=10_000_000, holdings={SYMBOL: 1}, loans={SYMBOL: {LOAN_DAY: 4}})
    async with trading(tmp_path, funds=funds) as (_, client):
        (summed,) = (await client.account.balance()).holdings
        assert (summed.quantity, summed.loan_date) == (5, None)
        cash, loan = (await client.account.balance(each_loan=True, route="NXT")).holdings
        assert (cash.credit_code, loan.credit_code, loan.loan_date, loan.quantity) == ("00", "03", LOAN_DAY, 4)


async def test_gold(tmp_path: Path) -> None:
    """Its own orders, ledger, balance and deposit."""
    async with trading(tmp_path) as (broker, client):
        order = await client.gold.buy(GOLD, 7, price=180_000)
        broker.fill(order.broker_order_id or "", 5)
        (open_order,) = await client.account.open_orders(desk="gold")
        assert (open_order.symbol, open_order.leaves_quantity, open_order.order_time) == (GOLD, 2, None)
        (row,) = await client.account.ledger(desk="gold")
        assert (row.filled_quantity, row.leaves_quantity) == (5, None)
        balance = await client.account.gold_balance()
        (holding,) = balance.holdings
        assert (holding.symbol, holding.quantity, holding.break_even_price) == (GOLD, 5, Decimal("180000.00"))
        assert balance.totals is not None
        assert balance.totals.purchase_amount == 900_000
        deposit = await client.account.gold_deposit()
        assert (deposit.bought, deposit.orderable) == (900_000, 10_000_000 - 7 * 180_000)
        assert await client.account.open_orders() == ()
        assert (await client.account.balance()).holdings == ()


async def test_quotes(tmp_path: Path) -> None:
    """A price, its band and its book; the prefix of a symbol is taken, its suffix is the route."""
    async with trading(tmp_path) as (broker, client):
        broker.move_price(SYMBOL, 69_500)
        quote = await client.account.quote(f"A{SYMBOL}", route=Route.SOR)
        assert (quote.symbol, quote.route, quote.last_price, quote.change) == (SYMBOL, Route.SOR, 69_500, -500)
        assert (quote.lower_limit, quote.base_price, quote.upper_limit) == (49_000, 70_000, 91_000)
        assert quote.open_price is None
        book = await client.account.order_book(SYMBOL)
        assert (book.asks[0].price, book.bids[0].price) == (69_500, 69_400)
        assert (len(book.asks), len(book.bids)) == (10, 10)
        sent = [request.body for request in broker.requests if request.api_id in {"ka10001", "ka10004"}]
        assert sent == ['{"stk_cd":"005930_AL"}', '{"stk_cd":"005930"}']


async def test_the_account_number_stays_out_of_every_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is given to who asks for its value."""
    caplog.set_level(logging.DEBUG)
    async with trading(tmp_path) as (broker, client):
        number = await client.account.number()
        await client.stock.buy(SYMBOL, 1, price=70_000)
        orders = await client.account.open_orders()
        assert number.value == broker.account
        assert broker.account not in f"{number} {number!r} {orders} {client!r} {client.account!r} {caplog.text}"


@pytest.mark.parametrize("form", EmptyList)
async def test_nothing_held(tmp_path: Path, form: EmptyList) -> None:
    """An empty list and the broker's code for one are nothing; an error without a code is a failed query."""
    async with trading(tmp_path, empty_list=form) as (_, client):
        reads = (client.account.balance, client.account.filled_balance, client.account.gold_balance)
        for read in reads:
            if form is EmptyList.UNCODED_ERROR:
                with pytest.raises(QueryFailed):
                    await read()
                continue
            found: Any = await read()
            assert (found.positions if isinstance(found, records.FilledBalance) else found.holdings) == ()
            assert (found.totals is None) is (form is EmptyList.ERROR)


async def test_what_the_mock_does_not_serve(tmp_path: Path) -> None:
    """The code is in the error, and nothing is made up."""
    async with trading(tmp_path, flavour="mock") as (_, client):
        with pytest.raises(QueryFailed, match="RC7006"):
            await client.account.order_funds(SYMBOL, price=70_000)
        with pytest.raises(QueryFailed, match="RC9000"):
            await client.account.filled_balance()
        assert (await client.account.balance()).holdings == ()


# ---------------------------------------------------------------- pages


HELD = {f"00{digit}000": digit for digit in range(1, 6)}


class Moving:
    """Does something before the n-th page of a list is asked for."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        actions: Mapping[int, Callable[[], object]],
        api_id: str = "kt00018",
    ) -> None:
        self.asked: list[str] = []
        self.actions = actions
        original = Gateway.fetch_page

        async def fetch_page(gateway: Gateway, call: Call, cursor: Cursor | None = None) -> Page:
            if call.api_id == api_id:
                self.asked.append("" if cursor is None else cursor.next_key)
                self.actions.get(len(self.asked), lambda: None)()
            return await original(gateway, call, cursor)

        monkeypatch.setattr(Gateway, "fetch_page", fetch_page)


async def test_holdings_are_read_to_the_last_page(tmp_path: Path) -> None:
    """Three pages, and all but the last again to see that nothing moved."""
    async with trading(tmp_path, page_size=2, funds=Funds(holdings=HELD)) as (broker, client):
        balance = await client.account.balance()
        assert {row.symbol: row.quantity for row in balance.holdings} == HELD
        assert broker.count("kt00018") == 5


@pytest.mark.parametrize(("page", "sold"), [(2, "001000"), (3, "003000"), (3, "001000")])
async def test_holdings_that_move_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, sold: str
) -> None:
    """A holding that is sold out between two pages shifts the rest: without a second look one would be missed."""
    async with trading(tmp_path, page_size=2, funds=Funds(holdings=HELD)) as (broker, client):

        def sell_out() -> None:
            order = broker.place_foreign(symbol=sold, side="sell", quantity=HELD[sold], price=70_000)
            broker.fill(order.broker_order_id)

        Moving(monkeypatch, {page: sell_out})
        balance = await client.account.balance()
        assert [row.symbol for row in balance.holdings] == [symbol for symbol in HELD if symbol != sold]


async def test_open_orders_that_move_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that is filled between two pages hides none of those that follow."""
    async with trading(tmp_path, page_size=2) as (broker, client):
        placed = [
            broker.place_foreign(symbol=SYMBOL, side="buy", quantity=1, price=60_000).broker_order_id for _ in range(5)
        ]
        Moving(monkeypatch, {3: lambda: broker.fill(placed[2])}, "ka10075")
        orders = await client.account.open_orders()
        assert sorted(order.broker_order_id for order in orders) == [*placed[:2], *placed[3:]]


async def test_executions_that_move_have_one_record_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that comes to the front between two pages shifts the last of the first onto the second."""
    async with trading(tmp_path, page_size=2) as (broker, client):
        placed = [
            broker.place_foreign(symbol=SYMBOL, side="buy", quantity=3, price=60_000).broker_order_id for _ in range(4)
        ]
        for number in placed[:3]:
            broker.fill(number, 1)

        def fill_more() -> None:
            broker.fill(placed[3])
            broker.fill(placed[1])

        broker.set_faults([Fault(FaultKind.PAGE_SHIFTS, api_ids="ka10076")])
        Moving(monkeypatch, {2: fill_more}, "ka10076")
        executions = await client.account.executions()
        told = {order.broker_order_id: order.filled_quantity for order in executions}
        assert len(executions) == len(told)
        assert told == {placed[0]: 1, placed[1]: 3, placed[2]: 1}


async def test_holdings_that_never_rest_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better no answer than half of one."""
    async with trading(tmp_path, page_size=1, funds=Funds(holdings=HELD)) as (broker, client):

        def buy_another() -> None:
            order = broker.place_foreign(symbol=f"0000{len(moving.asked):02d}", side="buy", quantity=1, price=70_000)
            broker.fill(order.broker_order_id)

        moving = Moving(monkeypatch, dict.fromkeys(range(2, 100, 2), buy_another))
        with pytest.raises(QueryFailed, match="moved while"):
            await client.account.balance()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.PAGE_FAILS, page=2, code="501724"),
        Fault(FaultKind.PAGE_FAILS, page=3),
        Fault(FaultKind.PAGE_REPEATS),
        Fault(FaultKind.CONT_WITHOUT_KEY),
    ],
    ids=lambda fault: fault.kind.value,
)
async def test_half_a_list_is_none(tmp_path: Path, fault: Fault) -> None:
    """Every page, or an error; "there is nothing" on a later page is no end."""
    async with trading(tmp_path, page_size=2, funds=Funds(holdings=HELD)) as (broker, client):
        broker.set_faults([fault])
        with pytest.raises(QueryFailed, match="kt00018"):
            await client.account.balance()


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", [FaultKind.QUERY_DROP, FaultKind.QUERY_SERVER_ERROR, FaultKind.QUERY_ERROR])
async def test_a_broken_answer_is_a_failed_query(tmp_path: Path, kind: FaultKind) -> None:
    """Never nothing, never a number: no connection, no JSON, a refusal; and the next question is answered."""
    async with trading(tmp_path) as (broker, client):
        for api_id, read in READS.items():
            broker.set_faults([Fault(kind, api_ids=api_id)])
            with pytest.raises(QueryFailed) as caught:
                await read(client.account)
            assert caught.value.api_id == api_id
            assert await read(client.account) is not None


@pytest.mark.parametrize("api_id", ["kt00018", "kt00001"])
async def test_a_dead_token_is_renewed(tmp_path: Path, api_id: str) -> None:
    """The query is asked once more with a new one, be it a list or a single statement."""
    async with trading(tmp_path) as (broker, client):
        broker.expire_token()
        assert await READS[api_id](client.account) is not None
        assert broker.count(api_id) == 2


async def test_a_wrong_argument_asks_nothing(tmp_path: Path) -> None:
    """It is named before anything is sent."""
    async with trading(tmp_path) as (broker, client):
        asked = len(broker.requests)
        for read in WRONG:
            with pytest.raises(ValidationError):
                await read(client.account)
        assert len(broker.requests) == asked


async def test_a_query_can_be_given_up(tmp_path: Path) -> None:
    """A hanging answer ends with the caller's patience, and the next query is served."""
    async with trading(tmp_path) as (broker, client):
        broker.set_faults([Fault(FaultKind.HANG, api_ids="kt00018")])
        task = asyncio.create_task(client.account.balance())
        await eventually(lambda: broker.count("kt00018") > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        broker.set_faults(None)
        assert (await client.account.balance()).holdings == ()


# ---------------------------------------------------------------- any TR


async def test_any_query_by_its_id(tmp_path: Path) -> None:
    """`client.call` and `client.pages` find the path, page by headers, and refuse orders."""
    async with trading(tmp_path, page_size=2, funds=Funds(holdings=HELD)) as (broker, client):
        answer = await client.call("ka10001", {"stk_cd": SYMBOL})
        assert (answer["stk_cd"], answer["return_code"]) == (SYMBOL, 0)
        progress: list[int] = []
        body = {"qry_tp": "1", "dmst_stex_tp": "KRX"}
        pages = [page async for page in client.pages("kt00018", body, limit=2, progress=progress.append)]
        assert [len(page["acnt_evlt_remn_indv_tot"]) for page in pages] == [2, 2]
        assert progress == [1, 2]
        with pytest.raises(ValidationError, match=r"client\.stock\.buy"):
            await client.call("kt10000", {"stk_cd": SYMBOL})
        with pytest.raises(ValidationError, match="kt00018"):
            client.pages("kt0018")
        with pytest.raises(InvalidRequest):
            await client.call("kt00018", {"qry_tp": "1"})
        assert broker.orders == ()


async def test_a_client_that_is_not_open_says_so(tmp_path: Path) -> None:
    """Before the block and after it; nothing is asked."""
    async with broker_of() as broker:
        client = client_of(broker, tmp_path)
        with pytest.raises(ConfigurationError, match=r"client\.account .*async with"):
            _ = client.account
        with pytest.raises(ConfigurationError, match=r"client\.call"):
            await client.call("ka00001")
        async with client:
            account = client.account
            await opened(broker)
        asked = len(broker.requests)
        with pytest.raises(ConfigurationError, match=r"client\.pages"):
            client.pages("kt00018")
        with pytest.raises(ConfigurationError, match=r"client\.call"):
            await client.call("ka00001")
        with pytest.raises(QueryFailed, match="closed"):
            await account.deposit()
        assert len(broker.requests) == asked


def test_errors_of_queries_can_be_imported() -> None:
    """Who reads the account can name what can go wrong, and what he gets."""
    assert {AuthenticationError, InvalidRequest, QueryFailed, RateLimited, ValidationError}
    assert all(hasattr(records, name) for name in records.__all__)
