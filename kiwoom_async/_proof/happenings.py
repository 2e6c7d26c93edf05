"""What the world does to a day besides: other people, the broker's moods, outages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._proof.day import Day, Event, Happening
from kiwoom_async._proof.network import Weather
from kiwoom_async._proof.processes import World
from kiwoom_async._proof.steps import LAST, TICK
from kiwoom_async.simulator import BookOrder, Channel, Simulator

_AWAY_AT_MOST: Final = 8.0
"""Seconds that the broker is away. Source: our choice; longer than a proof of absence takes in this world."""


@frozen(eq=False)
class Scene:
    """Where it happens."""

    day: Day
    broker: Simulator
    world: World
    weather: Weather


def happen(scene: Scene, event: Event) -> None:
    """Let something happen now."""
    scene.world.note("world", "event", event.happening.value)
    _HAPPENINGS[event.happening](scene, event)


def _chosen(event: Event, among: Sequence[Any]) -> Any:
    return among[int(event.draw * len(among))] if among else None


def _own_orders(scene: Scene) -> list[BookOrder]:
    return [order for order in scene.broker.orders if order.is_working and order.day == scene.broker.day]


def _place_twin(scene: Scene, event: Event, channel: Channel) -> None:
    step = _chosen(event, scene.day.chains)[0]
    scene.broker.place_foreign(
        symbol=step.symbol,
        side=step.side,
        quantity=step.quantity,
        price=step.price,
        channel=channel,
        order_type=step.order_type,
        route=step.route or "KRX",
        desk=step.desk,
    )


def _twin_by_hand(scene: Scene, event: Event) -> None:
    _place_twin(scene, event, Channel.HOME_TRADING)


def _twin_by_program(scene: Scene, event: Event) -> None:
    _place_twin(scene, event, Channel.REST_API)


def _cancel_by_hand(scene: Scene, event: Event) -> None:
    order = _chosen(event, _own_orders(scene))
    if order is not None:
        scene.broker.cancel_foreign(order.broker_order_id)


def _strangers(scene: Scene, event: Event) -> None:
    scene.broker.place_stranger(1 + int(event.draw * 50))


def _fill(scene: Scene, event: Event) -> None:
    order = _chosen(event, _own_orders(scene))
    if order is not None:
        part = max(1, order.leaves_quantity // 2) if event.draw * 100 % 1 < 0.5 else None
        scene.broker.fill(order.broker_order_id, part, None if order.price else LAST[Desk.STOCK])


def _price_moves(scene: Scene, event: Event) -> None:
    step = _chosen(event, scene.day.chains)[0]
    ticks = int(event.draw * 5) - 2
    scene.broker.move_price(step.symbol, LAST[step.desk] + ticks * TICK[step.desk], step.desk)


def _refused_later(scene: Scene, event: Event) -> None:
    # What has traded was not refused; a broker that says both is one whose word nobody can take (A10).
    order = _chosen(event, [order for order in _own_orders(scene) if not order.filled_quantity])
    if order is not None:
        scene.broker.refuse(order.broker_order_id)


def _tokens_die(scene: Scene, _: Event) -> None:
    scene.broker.expire_token()


def _broker_away(scene: Scene, event: Event) -> None:
    async def be_away() -> None:
        async with scene.broker.refusing_connections(), scene.broker.refusing_feed():
            await asyncio.sleep(event.draw * _AWAY_AT_MOST)

    scene.world.start(be_away(), "the broker is away")


def _ledger_away(scene: Scene, event: Event) -> None:
    async def be_away() -> None:
        scene.weather.hides_ledger = True
        await asyncio.sleep(event.draw)
        scene.weather.hides_ledger = False

    scene.world.start(be_away(), "the ledger is away")


def _feed_cut(scene: Scene, _: Event) -> None:
    scene.broker.cut_feed()


def _feed_big(scene: Scene, _: Event) -> None:
    scene.weather.is_frame_big = True


def _feed_taken(scene: Scene, _: Event) -> None:
    scene.broker.take_over_session()


_HAPPENINGS: Final[Mapping[Happening, Callable[[Scene, Event], None]]] = {
    Happening.TWIN_BY_HAND: _twin_by_hand,
    Happening.TWIN_BY_PROGRAM: _twin_by_program,
    Happening.CANCEL_BY_HAND: _cancel_by_hand,
    Happening.STRANGERS: _strangers,
    Happening.FILL: _fill,
    Happening.PRICE_MOVES: _price_moves,
    Happening.REFUSED_LATER: _refused_later,
    Happening.TOKENS_DIE: _tokens_die,
    Happening.BROKER_AWAY: _broker_away,
    Happening.FEED_CUT: _feed_cut,
    Happening.FEED_TAKEN: _feed_taken,
    Happening.FEED_BIG: _feed_big,
    Happening.LEDGER_AWAY: _ledger_away,
}
