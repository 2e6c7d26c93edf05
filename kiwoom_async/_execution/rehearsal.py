"""A dry run: everything up to the first byte, and an answer that does not pretend there was one."""

from __future__ import annotations

import anyio

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.intents import Intent
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.settings import Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._execution.answers import answer_of
from kiwoom_async._execution.guards import OrderGuards
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._journal.journal import Journal
from kiwoom_async._wire.requests import encode_order, order_api_id
from kiwoom_async.errors import ClientOrderIdConflict, KiwoomError, NotSent, OutcomeUnknown


class Rehearsal:
    """Take orders in a dry run."""

    def __init__(
        self, journal: Journal, guards: OrderGuards, settlements: Settlements, ambient: Ambient, timing: Timing
    ) -> None:
        self._journal = journal
        self._guards = guards
        self._settlements = settlements
        self._ambient = ambient
        self._timing = timing

    async def place(self, intent: Intent, *, deadline: float | None) -> Order:
        """Check an order as if it were sent, and keep it under its id. An id of a real order gives that one's answer.

        Raises:
            KiwoomError: What a real order would have met before its first byte, or the real order's own error.

        Delivery: The dry order is durable when this returns; nothing is sent.

        Cancellation: Safe; the dry order is kept or not.
        """
        seconds = self._timing.default_deadline if deadline is None else deadline
        with anyio.move_on_after(seconds):
            return await self._place(intent, self._ambient.monotonic() + seconds)
        if await self._journal.find(intent.client_order_id) is not None:
            raise OutcomeUnknown(intent.client_order_id, "it was sent by another client, and a dry run only waits")
        raise NotSent(
            f"The dry order {intent.client_order_id!r} could not be checked within {seconds:g} s.",
            api_id=order_api_id(intent.request),
            client_order_id=intent.client_order_id,
        )

    async def _place(self, intent: Intent, deadline: float) -> Order:
        record = await self._journal.find(intent.client_order_id)
        if record is not None:
            if differences := record.intent.differences(intent):
                raise ClientOrderIdConflict(intent.client_order_id, differences)
            answer = answer_of(record) or await self._settlements.wait(intent.client_order_id)
            if isinstance(answer, KiwoomError):
                raise answer
            return answer
        request = intent.request
        if not request.is_obligation:
            encode_order(request).to_bytes()
        terms = await self._guards.examine(intent.client_order_id, request, deadline)
        return describe_dry(await self._journal.rehearse(intent, korean_day(self._ambient.now()), terms))

    async def find(self, client_order_id: str) -> Order | None:
        """Give a dry order; None if there is none with that id."""
        intent = await self._journal.find_rehearsed(client_order_id)
        if intent is None or intent.account != self._journal.account:
            return None
        return describe_dry(intent)


def describe_dry(intent: Intent) -> Order:
    """Describe an order that was never sent: it has no number, no status and nothing that it was resolved by."""
    request = intent.request
    return Order(
        client_order_id=intent.client_order_id,
        broker_order_id=None,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        price=request.price,
        order_type=request.order_type,
        route=request.route,
        status=None,
        filled_quantity=0,
        average_fill_price=None,
        leaves_quantity=None,
        resolved_by=None,
        attempts=0,
        action=request.action,
        desk=request.desk,
        stop_price=request.stop_price,
        original_broker_order_id=request.original,
        day=korean_day(intent.created_at),
        delivery=Delivery.NOT_SENT,
        account=intent.account,
        is_dry=True,
    )
