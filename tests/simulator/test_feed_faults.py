"""What can go wrong on the simulator's feed: each fault alone, and the plans."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from kiwoom_async.simulator import FeedFault, FeedFaultKind, FeedFaultPlan, FeedHabits, Simulator
from kiwoom_async.simulator.feed_faults import FeedFaultDirector
from kiwoom_async.simulator.frames import Frame, FrameWriter
from kiwoom_async.simulator.ledger import Change
from tests.simulator.callers import Caller
from tests.simulator.listeners import FeedListener, connected, listening, until


def broken_by(kind: FeedFaultKind, **more: object) -> Simulator:
    """Make a broker whose feed meets one fault."""
    return Simulator(feed_faults=[FeedFault(kind, **more)])  # type: ignore[arg-type]


async def heard(broker: Simulator, caller: Caller, listener: FeedListener, count: int) -> list[tuple[str, int]]:
    """Buy twice and fill the first; say which frames come, by the place of their order."""
    first = await caller.buy()
    broker.fill(first)
    second = await caller.buy()
    places = {first: 1, second: 2}
    return [(state, places[number]) for state, number in await listener.states(count)]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FeedFault(FeedFaultKind.DROP_FRAME), [("체결", 1), ("접수", 2)]),
        (FeedFault(FeedFaultKind.DROP_FRAME, states="체결"), [("접수", 1), ("접수", 2)]),
        (FeedFault(FeedFaultKind.DROP_FRAME, skip=1), [("접수", 1), ("접수", 2)]),
        (FeedFault(FeedFaultKind.DROP_FRAME, times=2), [("접수", 2)]),
        (FeedFault(FeedFaultKind.DROP_FRAME, order_nos="none"), [("접수", 1), ("체결", 1), ("접수", 2)]),
        (FeedFault(FeedFaultKind.DELAY_FRAME, seconds=0.7), [("체결", 1), ("접수", 2), ("접수", 1)]),
        (FeedFault(FeedFaultKind.REPEAT_FRAME), [("접수", 1), ("접수", 1), ("체결", 1), ("접수", 2)]),
        (FeedFault(FeedFaultKind.REPEAT_FRAME, 0.7), [("접수", 1), ("체결", 1), ("접수", 2), ("접수", 1)]),
        (FeedFault(FeedFaultKind.REORDER, states="체결"), [("접수", 1), ("접수", 2), ("체결", 1)]),
        (FeedFault(FeedFaultKind.INVERT), [("체결", 1), ("접수", 1), ("접수", 2)]),
    ],
)
async def test_frames_are_lost_late_repeated_or_out_of_order(fault: FeedFault, expected: list[tuple[str, int]]) -> None:
    """Each fault hits the frame it names and no other."""
    async with Simulator(feed_faults=[fault]) as broker, listening(broker) as (caller, listener):
        assert await heard(broker, caller, listener, len(expected)) == expected
        assert len(broker.feed_frames) == len(expected)


async def test_held_frame_leaves_in_the_end() -> None:
    """If what it waits for does not come."""
    faults = [FeedFault(FeedFaultKind.INVERT, 0.05), FeedFault(FeedFaultKind.REORDER, 0.05)]
    async with Simulator(feed_faults=faults) as broker, listening(broker) as (caller, listener):
        for _ in faults:
            number = await caller.buy()
            assert await listener.states(1) == [("접수", number)]
        assert broker.feed_faults_injected == {FeedFaultKind.INVERT: 1, FeedFaultKind.REORDER: 1}


async def test_cut_resets_the_connection_instead_of_the_frame() -> None:
    """What was sent before arrives; who logs in again hears what follows."""
    async with broken_by(FeedFaultKind.CUT, skip=1) as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        broker.fill(number)
        assert await listener.states(1) == [("접수", number)]
        assert await listener.end() == 1006
        assert (broker.feed_sessions, len(broker.feed_frames)) == (0, 1)
        async with connected(broker, caller.token) as again:
            await again.login()
            await again.register("00")
            later = await caller.buy()
            assert await again.states(1) == [("접수", later)]


async def test_close_ends_the_connection_in_good_order() -> None:
    """With the code and the word that were seen."""
    async with broken_by(FeedFaultKind.CLOSE) as broker, listening(broker) as (caller, listener):
        await caller.buy()
        received = await listener.socket.receive(timeout=10)
        while isinstance(received.data, str):
            received = await listener.socket.receive(timeout=10)
        assert (received.data, received.extra) == (1000, "Bye")


async def test_half_open_connection_says_and_hears_nothing() -> None:
    """Not even pings, and no answer to anything; cutting it ends it, and so does a newer login."""
    habits = FeedHabits(ping_interval=0.02, ping_patience=5.0)
    half_open = FeedFault(FeedFaultKind.HALF_OPEN, times=2)
    async with Simulator(feed=habits, feed_faults=[half_open]) as broker:
        async with listening(broker) as (caller, listener):
            await caller.buy()
            await listener.say({"trnm": "REG", "grp_no": "2", "data": []})
            await caller.buy()
            assert broker.feed_sessions == 1
            broker.cut_feed()
            assert await listener.end() == 1006
            assert all(json.loads(text)["trnm"] != "REAL" for text in listener.texts)
        async with listening(broker) as (caller, listener), connected(broker, caller.token) as newer:
            await caller.buy()
            await newer.login()
            assert await listener.end() == 1006


async def test_goodbye_on_a_half_open_connection_goes_unanswered() -> None:
    """Who closes in good order waits in vain; the simulator forgets the connection once it is dropped."""
    async with broken_by(FeedFaultKind.HALF_OPEN) as broker:
        async with listening(broker) as (caller, listener):
            await caller.buy()
            await listener.socket.close()
            assert listener.socket.close_code == 1006
        await until(lambda: not broker.feed_sessions)


async def test_half_open_connection_is_cut_after_its_time() -> None:
    """Where the fault says so."""
    async with broken_by(FeedFaultKind.HALF_OPEN, seconds=0.05) as broker, listening(broker) as (caller, listener):
        await caller.buy()
        assert await listener.end() == 1006
        await until(lambda: not broker.feed_sessions)


async def test_garbage_comes_before_the_frame() -> None:
    """A text that is not JSON; the frame itself is whole."""
    async with broken_by(FeedFaultKind.GARBAGE) as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        while "REAL" not in (text := str(await listener.text())):
            pass
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        assert await listener.states(1) == [("접수", number)]


async def test_unknown_things_come_before_the_frame() -> None:
    """An unknown service, and a REAL frame of an unknown type."""
    async with broken_by(FeedFaultKind.UNKNOWN_TYPE) as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        while (message := await listener.next())["trnm"] == "SYSTEM":
            pass
        unknown = await listener.next()
        assert (message["trnm"], unknown["data"][0]["type"]) == ("NOTICE", "ZZ")
        assert await listener.states(1) == [("접수", number)]


async def test_big_frame_is_larger_than_a_mebibyte() -> None:
    """And says the same."""
    async with broken_by(FeedFaultKind.BIG) as broker, listening(broker) as (caller, listener):
        number = await caller.buy()
        assert await listener.states(1) == [("접수", number)]
        assert len(listener.texts[-1]) > 1 << 20


async def test_faults_wait_for_somebody_who_listens() -> None:
    """A frame that leaves for nobody uses none up; the script can be replaced."""
    async with broken_by(FeedFaultKind.DROP_FRAME, times=5) as broker:
        broker.place_foreign(symbol="005930", side="buy", quantity=1, price=70_000)
        assert broker.feed_faults_injected == {}
        async with listening(broker) as (caller, listener):
            await caller.buy()
            broker.set_feed_faults(None)
            number = await caller.buy()
            assert await listener.states(1) == [("접수", number)]
            assert broker.feed_faults_injected == {FeedFaultKind.DROP_FRAME: 1}


async def test_balances_are_spared_unless_named() -> None:
    """A fault hits type 00 by default."""
    fault = FeedFault(FeedFaultKind.DROP_FRAME, types="04")
    async with Simulator(feed_faults=[fault]) as broker, listening(broker, "00", "04") as (caller, listener):
        number = await caller.buy()
        broker.fill(number, 4)
        broker.fill(number, 6)
        assert await listener.states(3) == [("접수", number), ("체결", number), ("체결", number)]
        assert (await listener.values("04"))["930"] == "10"


def frames(broker: Simulator, count: int) -> list[Frame]:
    """Write the acceptances of some orders."""
    writer, now = FrameWriter("1", broker._service.exchange), broker._service.now()
    orders = [broker.place_foreign(symbol="005930", side="buy", quantity=1, price=70_000) for _ in range(count)]
    return [frame for order in orders for frame in writer.frames(Change(None, order, now))]


def test_rates_replay_from_their_seed() -> None:
    """The same frames meet the same faults, whatever came between; another seed gives others."""
    some = frames(Simulator(listen=False), 300)
    kinds: dict[int, list[FeedFault | None]] = {}
    for seed in (1, 2):
        director = FeedFaultDirector(FeedFaultPlan.hostile(seed, 0.5))
        kinds[seed] = [director.choose(frame) for frame in some]
    shuffled = FeedFaultDirector(FeedFaultPlan.hostile(1, 0.5))
    assert [shuffled.choose(frame) for frame in reversed(some)] == kinds[1][::-1]
    assert kinds[1] != kinds[2]
    hit = Counter(fault.kind for fault in kinds[1] if fault is not None)
    assert 90 < hit.total() < 210
    assert set(hit) == set(FeedFaultKind)


def test_hostile_plan_leaves_out_what_is_asked() -> None:
    """Its delays are bounded."""
    plan = FeedFaultPlan.hostile(3, 1.0, longest=0.1, without=[FeedFaultKind.CUT, FeedFaultKind.HALF_OPEN])
    director = FeedFaultDirector(plan)
    drawn = [director.choose(frame) for frame in frames(Simulator(listen=False), 100)]
    assert all(fault is not None and fault.kind is not FeedFaultKind.CUT for fault in drawn)
    assert all(fault is not None and 0 < (fault.seconds or 0) <= 0.1 for fault in drawn)


def test_impossible_rates_are_refused() -> None:
    """More than every frame cannot be hit."""
    with pytest.raises(ValueError, match="exceed 1"):
        FeedFaultPlan(rates={FeedFaultKind.CUT: 0.7, FeedFaultKind.CLOSE: 0.7})


async def test_hostile_feed_leaves_the_broker_whole() -> None:
    """A listener who always comes back hears something; the book does not care."""
    plan = FeedFaultPlan.hostile(5, 0.6, longest=0.05)
    habits = FeedHabits(ping_interval=0.05, ping_patience=5.0)
    async with Simulator(feed_faults=plan, feed=habits, feed_lag=lambda random: random.random() * 0.01) as broker:
        for _ in range(8):
            async with listening(broker) as (caller, _):
                for _ in range(10):
                    number = await caller.buy()
                    broker.fill(number, 3)
        assert len(broker.orders) == 80
        assert broker.feed_faults_injected.total() > 10
        assert broker.feed_frames
