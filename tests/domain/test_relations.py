"""What tells a report of the feed from an order of ours, and one attempt from another."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._domain.relations import is_report_of_another
from kiwoom_async._domain.reports import ReportKind
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, OrderType, Route, Side
from tests.domain.test_matching import attempt, claimant, seen
from tests.journal.builders import BUY, report


@pytest.mark.parametrize(
    ("asked", "told", "is_another"),
    [
        pytest.param({}, {}, False, id="as it was sent"),
        pytest.param({}, {"side": Side.SELL}, True, id="the other side"),
        pytest.param({}, {"quantity": 9}, True, id="another quantity"),
        pytest.param({}, {"quantity": 0}, False, id="no quantity"),
        pytest.param({}, {"price": 70_100}, True, id="another price"),
        pytest.param({}, {"price": None}, False, id="no price"),
        pytest.param({"route": Route.SOR}, {"quantity": 9}, False, id="a part of what SOR has split"),
        pytest.param({"route": Route.SOR}, {"price": 70_100}, True, id="no part of it"),
        pytest.param({"order_type": OrderType.MARKET, "price": None}, {}, False, id="a market order with a price"),
        pytest.param({"order_type": None}, {"price": 70_100}, False, id="of no type that has a price of its own"),
        pytest.param({"action": Action.CANCEL}, {"quantity": 9}, False, id="ours is a cancel"),
        pytest.param({}, {"action": Action.MODIFY, "quantity": 9}, False, id="a modify of it"),
        pytest.param({}, {"original": "0000001", "quantity": 9}, False, id="it names an original"),
        pytest.param({}, {"kind": ReportKind.FILLED, "quantity": 9}, False, id="a fill repeats nothing"),
    ],
)
def test_report_that_is_certainly_anothers(asked: dict[str, Any], told: dict[str, Any], *, is_another: bool) -> None:
    """Only an acceptance repeats what was sent; every doubt leaves it possible."""
    assert is_report_of_another(evolve(BUY, **asked), evolve(report(), **told)) is is_another


def test_order_in_flight_is_like_no_other() -> None:
    """Its own answer may still name its number; what hangs on an unknown one is told by whoever asks."""
    assert seen(attempt(), obligation="owed").obligation == "owed"
    assert seen(attempt(state=Delivery.DISPATCHED), obligation="owed").obligation == "in flight: a#1"


def test_chain_is_a_part_of_the_outlook() -> None:
    """Two modifies of one original are told apart by what the ledger may name in its place."""
    assert claimant().outlook == claimant().outlook
    assert claimant().outlook != claimant(ancestors=frozenset({"0000001"})).outlook
