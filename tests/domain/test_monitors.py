"""Rows that look like orders of ours: found as by holding each against each, and at a cost that grows slowly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import pytest
from attrs import evolve

from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.monitors import Looking, Suspect, is_own_answer
from kiwoom_async._domain.relations import ChannelKnowledge, Claimant, Relation, relation
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, ResolvedBy, Route, Side
from tests.domain.test_intents import ATTEMPT, DAY, NOON

LOOKING: Final = Looking(Timing(), Environment.MOCK, "boot", ChannelKnowledge())
ENDED: Final = evolve(ATTEMPT, ended=ATTEMPT.dispatched + 3, ended_at=NOON + timedelta(seconds=3))


def row_of(number: int, **changes: object) -> LedgerOrder:
    """Build a row that is the image of `ATTEMPT`."""
    row = LedgerOrder(
        day=DAY,
        desk=Desk.STOCK,
        broker_order_id=f"{number:07d}",
        action=Action.NEW,
        symbol=ATTEMPT.request.symbol,
        side=Side.BUY,
        quantity=10,
        price=70_000,
        order_types=frozenset({OrderType.LIMIT}),
        route=Route.KRX,
        stop_price=None,
        original=None,
        channel="REST API",
        ordered_at=NOON,
        filled_quantity=0,
        average_fill_price=None,
        leaves_quantity=10,
        confirmed_quantity=0,
    )
    return evolve(row, **changes)  # type: ignore[arg-type]


def snapshot_of(rows: Iterable[LedgerOrder]) -> Snapshot:
    """Build a look that lists rows."""
    return Snapshot(Desk.STOCK, DAY, 0, tuple(rows), 200.0, 201.0, is_final=False, queries=1)


def test_suspects_are_those_of_holding_each_row_against_each_order() -> None:
    """Prices, sides, quantities, symbols, channels and times that fit and do not; market orders fit any price."""
    requests = [
        ATTEMPT.request,
        evolve(ATTEMPT.request, side=Side.SELL),
        evolve(ATTEMPT.request, price=None, order_type=OrderType.MARKET),
        evolve(ATTEMPT.request, symbol="000660", quantity=3),
    ]
    owners = [evolve(ENDED, client_order_id=f"o{place}", request=request) for place, request in enumerate(requests)]
    changes: list[dict[str, object]] = [
        {},
        {"price": 71_000},
        {"price": None},
        {"price": 50_000, "order_types": frozenset({OrderType.MARKET})},
        {"side": Side.SELL},
        {"side": Side.SELL, "quantity": 11},
        {"symbol": "000660", "quantity": 3},
        {"symbol": "035420"},
        {"channel": "영웅문4"},
        {"channel": "somewhere"},
        {"ordered_at": NOON + timedelta(hours=1)},
        {"ordered_at": None},
        {"order_types": frozenset()},
    ]
    rows = [row_of(1000 + place, **change) for place, change in enumerate(changes)]
    snapshot = snapshot_of(rows)

    def is_image(row: LedgerOrder, owner: Attempt) -> bool:
        return relation(LOOKING.claimant(owner, snapshot), row, LOOKING.channels) is Relation.LIKELY

    images = {(row, owner) for row in rows for owner in owners if is_image(row, owner)}
    found = LOOKING.find_suspects(snapshot, rows, owners)
    assert {suspect.row for suspect in found} == {row for row, _ in images} != set()
    assert {(suspect.row, suspect.owner) for suspect in found} <= images
    assert len(found) == len({suspect.row for suspect in found})


def test_each_order_is_seen_once_however_many_rows_it_is_held_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of orders beside hundreds of a stranger's: what is seen of an order is not built anew for each."""
    owners = [evolve(ENDED, client_order_id=f"o{place}") for place in range(300)]
    unlike = [evolve(one, request=evolve(one.request, price=80_000 + place)) for place, one in enumerate(owners)]
    rows = [row_of(1000 + place, ordered_at=NOON + timedelta(hours=1)) for place in range(300)]
    snapshot = snapshot_of(rows)
    seen: list[str] = []
    whole = Claimant.of

    def counted(attempt: Attempt, **others: object) -> Claimant:
        seen.append(attempt.client_order_id)
        return whole(attempt, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(Claimant, "of", counted)
    assert LOOKING.find_suspects(snapshot, rows, unlike) == ()
    assert seen == []
    assert LOOKING.find_suspects(snapshot, rows, owners) == ()
    assert sorted(seen) == sorted(owner.client_order_id for owner in owners)
    seen.clear()
    assert LOOKING.find_related(snapshot, rows, owners) == {row.broker_order_id for row in rows}
    assert sorted(seen) == sorted(owner.client_order_id for owner in owners)


def test_suspect_names_the_order_it_looks_like() -> None:
    """The first one that fits is named, once."""
    row = row_of(1000)
    assert LOOKING.find_suspects(snapshot_of([row]), [row], [ENDED, ENDED]) == (Suspect(row, ENDED),)


@pytest.mark.parametrize("source", [None, *ResolvedBy])
@pytest.mark.parametrize("action", Action)
def test_only_rows_of_orders_that_were_answered_teach(source: ResolvedBy | None, action: Action) -> None:
    """A number that was found by looking says nothing of how our own orders look."""
    attempt = evolve(ENDED, resolved_by=source, request=evolve(ENDED.request, action=action))
    assert is_own_answer(attempt) is ((source, action) == (ResolvedBy.RESPONSE, Action.NEW))


def test_image_of_an_order_is_a_second_one_where_the_transport_is_not_ours() -> None:
    """Ours sends once, so that it was another program (A9); of one that was injected nobody knows (A3)."""
    suspect = Suspect(row_of(1000), evolve(ENDED, broker_order_id="0000999"))
    assert suspect.to_breach(is_own_transport=True).kind is BreachKind.FOREIGN_TWIN
    breach = suspect.to_breach(is_own_transport=False)
    assert breach.kind is BreachKind.SECOND_ORDER
    assert "order 0001000 " in breach.text
    assert "0000999" in breach.text
