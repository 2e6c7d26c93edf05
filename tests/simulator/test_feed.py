"""The simulator's websocket: logins, registrations, pings, sessions."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from kiwoom_async.simulator import FeedHabits, Flavour, LimitFill, Liquidity, Simulator, TokenPolicy
from kiwoom_async.simulator.feed import Feed
from kiwoom_async.simulator.feed_pusher import Pusher
from kiwoom_async.simulator.frames import FrameWriter
from kiwoom_async.simulator.gate import TokenOffice
from kiwoom_async.simulator.ledger import Change
from tests.simulator.callers import Clock, calling
from tests.simulator.listeners import connected, listening, until

QUICK = FeedHabits(ping_interval=0.05, ping_patience=10.0)


async def test_login_answer_has_system_frames_around_it_on_real() -> None:
    """Real says more than asked, before and after the answer; the mock does not."""
    heard: dict[Flavour, list[str]] = {}
    for flavour in Flavour:
        async with Simulator(flavour=flavour) as broker, listening(broker) as (_, listener):
            heard[flavour] = [json.loads(text)["trnm"] for text in listener.texts]
            assert (broker.feed_sessions, broker.feed_logins) == (1, 1)
    assert heard == {Flavour.REAL: ["SYSTEM", "LOGIN", "SYSTEM", "REG"], Flavour.MOCK: ["LOGIN", "REG"]}


async def test_login_answer_is_the_recorded_one() -> None:
    """All four fields."""
    async with Simulator() as broker, calling(broker) as caller, connected(broker, caller.token) as listener:
        assert await listener.login() == {"trnm": "LOGIN", "return_code": 0, "return_msg": "", "sor_yn": "Y"}


@pytest.mark.parametrize("token", ["wrong", "", None, 7])
async def test_bad_token_is_refused_and_the_connection_closed(token: str) -> None:
    """The answer says 805004 with the gateway's code in its text."""
    async with Simulator() as broker, calling(broker), connected(broker, token) as listener:
        answer = await listener.login()
        assert answer["return_code"] == 805004
        assert "CODE=8005" in answer["return_msg"]
        assert await listener.end() == 1000
        assert (broker.feed_sessions, broker.feed_logins) == (0, 0)


async def test_token_that_died_is_refused() -> None:
    """The token office decides, not the memory of a token."""
    async with Simulator(token_policy=TokenPolicy.INVALIDATES) as broker, calling(broker) as caller:
        old = caller.token
        await caller.login()
        async with connected(broker, old) as listener:
            assert (await listener.login())["return_code"] == 805004


async def test_registration_before_login_is_ignored_not_punished() -> None:
    """The connection stays, and a login after it works; the text keeps its unfilled mark."""
    async with Simulator() as broker, calling(broker) as caller, connected(broker, caller.token) as listener:
        answer = await listener.register("00")
        assert (answer["trnm"], answer["return_code"]) == ("REG", 100013)
        assert "TRNM=%s" in answer["return_msg"]
        assert (await listener.login())["return_code"] == 0
        assert (await listener.register("00")) == {"trnm": "REG", "return_code": 0, "return_msg": ""}


@pytest.mark.parametrize(
    "changed",
    [{"data": "x"}, {"data": [{"type": "00"}]}, {"data": [{"item": [""]}]}, {"grp_no": "12345"}, {"grp_no": 1}],
)
async def test_unreadable_registration_is_an_error_and_the_session_stays(changed: dict[str, object]) -> None:
    """The next good one works."""
    async with Simulator() as broker, listening(broker) as (_, listener):
        assert (await listener.register("00", **changed))["return_code"] == 105111
        assert (await listener.register("04"))["return_code"] == 0


@pytest.mark.parametrize("said", [{"trnm": "CNSRREQ"}, {"trnm": ["x"]}, {}, [], "no json", '"text"'])
async def test_unknown_service_gets_an_error_and_the_session_stays(said: object) -> None:
    """Whatever a client says, it may go on."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        await listener.say(said)
        assert (await listener.next())["return_code"] != 0
        number = await caller.buy()
        assert await listener.states(1) == [("접수", number)]


async def test_only_registered_types_are_pushed() -> None:
    """Nothing without a registration; `refresh` 0 and REMOVE end one."""
    async with Simulator() as broker, listening(broker, "04") as (caller, listener):
        await caller.buy()
        assert broker.feed_frames == []
        await listener.register("00")
        first = await caller.buy()
        assert await listener.states(1) == [("접수", first)]
        await listener.register("04", refresh="0")
        await caller.buy()
        assert len(broker.feed_frames) == 1
        await listener.register("00", grp_no="2")
        await listener.say({"trnm": "REMOVE", "grp_no": "2", "data": [{"item": [""], "type": ["00"]}]})
        assert await listener.next() == {"trnm": "REMOVE", "return_code": 0, "return_msg": ""}
        await listener.say({"trnm": "REMOVE", "grp_no": "2", "data": None})
        assert (await listener.next())["return_code"] == 105111
        await caller.buy()
        assert len(broker.feed_frames) == 1


async def test_pings_come_and_an_echo_keeps_the_session() -> None:
    """The first comes an interval after the login."""
    async with (
        Simulator(feed=FeedHabits(ping_interval=0.05, ping_patience=5.0)) as broker,
        listening(broker) as (caller, listener),
    ):
        for _ in range(3):
            while (text := await listener.text()) != '{"trnm":"PING"}':
                pass
            await listener.say(text)
        await caller.buy()
        await listener.values()
        assert broker.feed_sessions == 1


async def test_ping_without_echo_ends_the_session() -> None:
    """With R10002; a changed ping is no echo."""
    async with (
        Simulator(feed=FeedHabits(ping_interval=0.02, ping_patience=0.5)) as broker,
        listening(broker) as (_, listener),
    ):
        listener.echoes = False
        await listener.say({"trnm": "PING", "mine": True})
        while (message := await listener.next())["trnm"] != "SYSTEM" or message["code"] != "R10002":
            pass
        assert await listener.end() == 1000
        assert broker.feed_sessions == 0


async def test_protocol_pings_are_answered() -> None:
    """A library that keeps its connection alive by itself is not cut."""
    async with Simulator() as broker, calling(broker) as caller, connected(broker, caller.token) as listener:
        await listener.socket.ping(b"x")
        assert (await listener.login())["return_code"] == 0


async def test_second_login_ends_the_older_session() -> None:
    """With R10001, in good order; the newer one is served."""
    async with Simulator() as broker, listening(broker) as (caller, older), connected(broker, caller.token) as newer:
        await newer.login()
        while (message := await older.next()).get("code") != "R10001":
            pass
        assert message["trnm"] == "SYSTEM"
        assert await older.end() == 1000
        await newer.register("00")
        number = await caller.buy()
        assert await newer.states(1) == [("접수", number)]
        assert (broker.feed_sessions, broker.feed_logins) == (1, 2)
        await newer.login()
        assert broker.feed_sessions == 1


async def test_two_sessions_live_side_by_side_where_they_may() -> None:
    """By the setting; also two app keys do not end each other."""
    async with (
        Simulator(feed=FeedHabits(allows_many_sessions=True)) as broker,
        listening(broker) as (caller, one),
        listening(broker) as (_, other),
    ):
        number = await caller.buy()
        assert await one.states(1) == await other.states(1) == [("접수", number)]
        assert len(broker.feed_frames) == 1
    async with Simulator() as broker, listening(broker) as (caller, one):
        await caller.login("another key")
        async with connected(broker, caller.token) as other:
            await other.login()
            assert broker.feed_sessions == 2


async def test_session_taken_over_and_connections_cut_by_script() -> None:
    """The handles of a test; both end what is there."""
    async with Simulator() as broker:
        broker.cut_feed()
        broker.take_over_session()
        async with listening(broker) as (_, listener):
            broker.take_over_session()
            assert await listener.end() == 1000
            assert json.loads(listener.texts[-1])["code"] == "R10001"
        async with listening(broker) as (_, listener):
            broker.cut_feed()
            assert await listener.end() == 1006
            await until(lambda: not broker.feed_sessions)
            assert broker.feed_logins == 2


@pytest.mark.parametrize(("status", "error"), [(503, aiohttp.WSServerHandshakeError), (None, aiohttp.ClientError)])
async def test_feed_alone_is_refused(status: int | None, error: type[Exception]) -> None:
    """REST works meanwhile, an open session stays, and afterwards the handshake works again."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        async with broker.refusing_feed(status):
            with pytest.raises(error):
                async with connected(broker, caller.token):
                    pass
            number = await caller.buy()
            assert await listener.states(1) == [("접수", number)]
        async with connected(broker, caller.token) as again:
            await again.login()


async def test_refused_connections_end_the_feed_too() -> None:
    """Nobody can connect meanwhile."""
    async with Simulator() as broker, listening(broker) as (caller, listener):
        async with broker.refusing_connections():
            assert await listener.end() == 1006
            with pytest.raises(aiohttp.ClientConnectorError):
                async with connected(broker, caller.token):
                    pass
        async with connected(broker, caller.token) as again:
            await again.login()


async def test_closing_simulator_ends_sessions_at_once() -> None:
    """Timers, ticker and connections go with it."""
    broker = Simulator(feed=QUICK, feed_lag=30.0, liquidity=Liquidity(LimitFill.ALWAYS, after=30.0))
    async with broker, asyncio.TaskGroup() as group, listening(broker) as (caller, listener):
        await caller.buy()
        closed = group.create_task(listener.end())
        async with asyncio.timeout(5):
            await broker.__aexit__(None, None, None)
        assert await closed == 1006
    broker.place_foreign(symbol="005930", side="buy", quantity=1)
    assert (broker.feed_sessions, broker.feed_frames) == (0, [])


async def test_plain_request_to_the_feed_is_not_a_handshake() -> None:
    """It meets the REST gateway."""
    async with Simulator() as broker, calling(broker) as caller:
        answer = await caller.http.post("/api/dostk/websocket", json={})
        assert answer.json()["return_code"] == 2


def test_without_a_socket_there_is_no_feed() -> None:
    """The in-process broker says so."""
    broker = Simulator(listen=False)
    assert broker.environment.websocket_url is None
    broker.place_foreign(symbol="005930", side="buy", quantity=1)
    assert broker.feed_frames == []


async def test_fills_in_time_are_pushed_in_time() -> None:
    """Nobody has to ask the broker anything for its market to move on."""
    async with (
        Simulator(liquidity=Liquidity(LimitFill.ALWAYS, after=0.1, in_parts=True)) as broker,
        listening(broker) as (caller, listener),
    ):
        number = await caller.buy()
        assert await listener.states(3) == [("접수", number), ("체결", number), ("체결", number)]


async def test_lag_delays_frames_and_keeps_their_order() -> None:
    """A function draws the lag of each."""
    lags = iter([0.1, 0.0, 0.02])
    async with (
        Simulator(ambient=Clock(), feed_lag=lambda random: next(lags)) as broker,
        listening(broker) as (caller, listener),
    ):
        numbers = [await caller.buy() for _ in range(3)]
        assert await listener.states(3) == [("접수", number) for number in numbers]


async def test_feed_without_a_clock_cannot_wait() -> None:
    """A mistake of the caller is not silent."""
    broker = Simulator(listen=False)
    office = TokenOffice(1)
    feed = Feed(office, FrameWriter("1", broker._service.exchange), Clock().now, pusher=Pusher(lag=lambda: 1.0))
    session = feed.connect(lambda: None)
    session.app_key = "key"
    order = broker.place_foreign(symbol="005930", side="buy", quantity=1)
    with pytest.raises(RuntimeError, match="clock"):
        feed.hear(Change(None, order, broker._service.now()))


async def test_observer_hears_logins_and_faults() -> None:
    """Keys and tokens are not in the lines, nor in what a session shows of itself."""
    lines: list[str] = []
    async with Simulator(observer=lines.append) as broker, listening(broker) as (caller, _):
        assert lines == ["feed login"]
        shown = repr(broker._feed.sessions)
        assert caller.token not in shown
        assert "'key'" not in shown


async def test_many_connections_come_and_go() -> None:
    """Fifty at once, in every stage of a session, leave nothing behind."""
    async with Simulator(feed=FeedHabits(allows_many_sessions=True)) as broker, calling(broker) as caller:

        async def visit(index: int) -> None:
            async with connected(broker, caller.token) as listener:
                if index % 3:
                    await listener.login()
                if index % 3 == 2:
                    await listener.register("00")
                    await caller.buy()
                    await listener.values()

        await asyncio.gather(*(visit(index) for index in range(50)))
        await until(lambda: not broker._feed.sessions)
