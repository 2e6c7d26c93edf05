"""The simulated network: what was handed over travels on, and what was not, does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import httpx
import pytest

from kiwoom_async._proof.network import LONGEST_WAY, Network, NetworkFault, Weather
from kiwoom_async._proof.processes import Pace, Process, World, WorldAmbient
from kiwoom_async._proof.timeline import Timeline
from kiwoom_async._proof.virtual_loop import VirtualLoop
from kiwoom_async._transport.mark import GUARD, MARK, DeliveryMark, SendAborted
from kiwoom_async._transport.session import USER_AGENT
from kiwoom_async.simulator import Simulator
from kiwoom_async.simulator.chance import seeded

KEYS: Final = b'{"grant_type":"client_credentials","appkey":"a","secretkey":"b"}'

Scene = Callable[[Simulator, Process, Network], Coroutine[Any, Any, None]]


class Forecast(Weather):
    """A weather that is known."""

    def __init__(self, fault: NetworkFault | None = None) -> None:
        super().__init__(0.0)
        self.fault = fault

    def strike(self, _: World) -> NetworkFault | None:
        """Give what was ordered."""
        return self.fault


def play(scene: Scene, fault: NetworkFault | None = None, seed: int = 1) -> None:
    """Carry out a scene with one process and a broker."""
    loop = VirtualLoop()
    world = World(loop, Pace(seeded(seed)), Timeline())

    async def main() -> None:
        async with Simulator(listen=False, ambient=WorldAmbient(world)) as broker:
            process = Process("A1", world, seeded(seed))
            await scene(broker, process, Network(process, broker, Forecast(fault)))
            while process.bury():  # noqa: ASYNC110 - the dead ring no bell
                await asyncio.sleep(0)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert loop.faults == []


def request_of(mark: DeliveryMark, guard: Callable[[], None] | None = None) -> httpx.Request:
    """Make a request for a token: the one that the broker answers without another."""
    headers = {"api-id": "au10001", "User-Agent": USER_AGENT, "Content-Type": "application/json"}
    return httpx.Request(
        "POST",
        "http://simulator.invalid/oauth2/token",
        headers=headers,
        content=KEYS,
        extensions={MARK: mark, GUARD: guard},
    )


def test_request_and_answer_cross() -> None:
    """Without faults a request arrives once and its answer comes back."""

    async def scene(broker: Simulator, _: Process, network: Network) -> None:
        mark = DeliveryMark()
        answer = await network.handle_async_request(request_of(mark))
        assert answer.status_code == 200
        assert mark.handed_over
        assert broker.count("au10001") == 1

    play(scene)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_handed_over_outlives_its_sender(seed: int) -> None:
    """The request of a process that dies arrives within the bound, or never: not later (A4), and not twice (A3)."""

    async def scene(broker: Simulator, process: Process, network: Network) -> None:
        mark = DeliveryMark()

        async def send() -> None:
            await network.handle_async_request(request_of(mark))

        process.start(send())
        while not mark.handed_over:  # noqa: ASYNC110 - a mark rings no bell
            await asyncio.sleep(0.001)
        process.kill("for the test")
        await asyncio.sleep(LONGEST_WAY)
        arrived = broker.count("au10001")
        assert arrived <= 1
        await asyncio.sleep(1000)
        assert broker.count("au10001") == arrived

    play(scene, seed=seed)


def test_guard_that_refuses_keeps_the_request_here() -> None:
    """Nothing leaves when the guard says no, and the mark proves it."""

    def refuse() -> None:
        raise SendAborted("too late")

    async def scene(broker: Simulator, _: Process, network: Network) -> None:
        mark = DeliveryMark()
        with pytest.raises(SendAborted):
            await network.handle_async_request(request_of(mark, refuse))
        assert not mark.may_have_left
        await asyncio.sleep(100)
        assert broker.count("au10001") == 0

    play(scene)


def test_no_route_is_proven_not_sent() -> None:
    """Where there is no connection, the mark says that nothing left."""

    async def scene(broker: Simulator, _: Process, network: Network) -> None:
        mark = DeliveryMark()
        with pytest.raises(httpx.ConnectError):
            await network.handle_async_request(request_of(mark))
        assert not mark.may_have_left
        assert broker.count("au10001") == 0

    play(scene, NetworkFault.NO_ROUTE)


@pytest.mark.parametrize(
    ("fault", "arrives", "breaks"),
    [
        (NetworkFault.LOST_UP, 0, False),
        (NetworkFault.RESET_UP, 0, True),
        (NetworkFault.LOST_DOWN, 1, False),
        (NetworkFault.RESET_DOWN, 1, True),
    ],
)
def test_lost_requests_and_lost_answers_look_alike(fault: NetworkFault, arrives: int, breaks: bool) -> None:
    """Whether a request or its answer was lost, the sender sees the same: silence, or a reset."""

    async def scene(broker: Simulator, _: Process, network: Network) -> None:
        mark = DeliveryMark()
        with pytest.raises(httpx.ReadError if breaks else TimeoutError):
            async with asyncio.timeout(100):
                await network.handle_async_request(request_of(mark))
        assert mark.handed_over
        assert broker.count("au10001") == arrives

    play(scene, fault)
