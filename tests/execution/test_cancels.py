"""A cancel is one request, by whichever name it calls its target and however often it was sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async import ClientOrderIdConflict, Order, OrderStatus
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._execution.answers import answer_of
from kiwoom_async._journal.records import Claim, OrderRecord
from kiwoom_async.simulator import Fault, FaultKind
from tests.journal.builders import ACCOUNT, CANCEL, DAY, intent, obligation
from tests.scenarios.trading import broker_of, client_of, left_open, on_book, orders_received


async def test_cancel_of_an_unknown_order_is_the_same_cancel_once_the_number_is_known(tmp_path: Path) -> None:
    """A bot that runs again takes the order from the journal, which has its number meanwhile."""
    async with broker_of(Fault(FaultKind.HANG, seconds=0.5, accepted=True)) as broker:
        async with client_of(broker, tmp_path) as client:
            buy: dict[str, Any] = {"symbol": "005930", "quantity": 10, "price": 70_000, "client_order_id": "buy"}
            await left_open(lambda: client.stock.buy(**buy, deadline=0.1))
            unknown = await client.orders.get("buy")
            assert unknown is not None
            assert unknown.broker_order_id is None
            await left_open(lambda: client.stock.cancel(unknown, client_order_id="cancel", deadline=0.01))

            known = await client.stock.buy(**buy)
            canceled = await client.stock.cancel(known, client_order_id="cancel")
        async with client_of(broker, tmp_path) as restarted:
            again = await restarted.stock.cancel(known, client_order_id="cancel")
            other = await restarted.stock.buy("005930", 10, price=70_000)
            with pytest.raises(ClientOrderIdConflict):
                await restarted.stock.cancel(other, client_order_id="cancel")
    assert again.broker_order_id == canceled.broker_order_id is not None
    assert len(orders_received(broker, "cancel")) == len(on_book(broker, "cancel")) == 1


@pytest.mark.parametrize(("answered_by", "number"), [(1, None), (2, "0000007")])
def test_the_send_that_was_known_first_answers_for_a_cancel_that_was_sent_twice(
    answered_by: int, number: str | None
) -> None:
    """Whichever send was known first has given the answer; what is learnt of the other must not change it."""
    by_effect = evolve(obligation(), request=CANCEL, state=Delivery.ACKNOWLEDGED, resolved_by=ResolvedBy.LEDGER)
    by_number = evolve(by_effect, number=2, broker_order_id="0000007", resolved_by=ResolvedBy.RESPONSE)
    record = OrderRecord(intent("cancel-1", CANCEL), (by_effect, by_number), (), {}, answered_by)
    answer = answer_of(record)
    assert isinstance(answer, Order)
    assert answer.broker_order_id == number


@pytest.mark.parametrize(
    ("told", "answered"),
    [
        (None, OrderStatus.CANCELED),
        (OrderStatus.WORKING, OrderStatus.CANCELED),
        (OrderStatus.CANCELED, OrderStatus.CANCELED),
        (OrderStatus.REFUSED, OrderStatus.REFUSED),
    ],
)
def test_cancel_that_was_refused_after_its_acceptance_is_not_called_canceled(
    told: OrderStatus | None, answered: OrderStatus
) -> None:
    """Its order is in the book as before; asked again, the cancel says what its event said."""
    accepted = evolve(
        obligation(),
        request=CANCEL,
        state=Delivery.ACKNOWLEDGED,
        broker_order_id="0000007",
        resolved_by=ResolvedBy.RESPONSE,
    )
    claim = Claim(ACCOUNT, DAY, "0000007", "cancel-1", 1, told, 0, None, None)
    answer = answer_of(OrderRecord(intent("cancel-1", CANCEL), (accepted,), (claim,), {}, 1))
    assert isinstance(answer, Order)
    assert answer.status is answered
