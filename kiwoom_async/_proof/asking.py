"""A caller of our client: it asks for one step in the step's own manner, and says what it was told and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from attrs import define, evolve

from kiwoom_async._audit import Answer
from kiwoom_async._client import KiwoomClient
from kiwoom_async._desks import CreditDesk, OrderDesk
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.vocabulary import Action, Desk
from kiwoom_async._order_call import OrderCall
from kiwoom_async._proof.evidence import told
from kiwoom_async._proof.steps import Manner, Step
from kiwoom_async.errors import JournalError, KiwoomError, NotSent

_SHORTEST: Final = 0.001
"""Seconds that every deadline has. Source: our choice; none at all would be refused."""


@define
class _Waiting:
    """How long a caller means to wait, and from when on."""

    began: float
    patience: float


@define(eq=False)
class Caller:
    """Asks one client.

    Attributes:
        client: It is told nothing of what it is asked for.
        patience: Seconds that a caller waits who is in no hurry.
        now: Give the second, on one clock for all processes.
        is_over: Tell whether the client is being closed.
    """

    client: KiwoomClient
    patience: float
    now: Callable[[], float]
    is_over: Callable[[], bool] = bool

    async def ask(self, step: Step, target: str | None, *, hurried: bool) -> Answer:
        """Ask once, in the step's own manner or patiently.

        Args:
            step: What to ask for.
            target: For a modify or cancel: the client order id of the order it is about.
            hurried: In the step's own manner.
        """
        asked_at = self.now()
        waiting = _Waiting(asked_at, self.patience)
        outcome = await self._outcome(step, target, step.manner if hurried else Manner.PATIENT, waiting)
        # Who looks something up before asks later; the deadline counts from there.
        deadline = waiting.began - asked_at + waiting.patience
        return evolve(told(step.client_order_id, outcome), asked_at=asked_at, told_at=self.now(), deadline=deadline)

    async def _outcome(
        self, step: Step, target: str | None, manner: Manner, waiting: _Waiting
    ) -> Order | KiwoomError | TimeoutError:
        try:
            return await self._in_its_manner(step, target, manner, waiting)
        except (KiwoomError, TimeoutError) as error:
            return error

    async def _in_its_manner(self, step: Step, target: str | None, manner: Manner, waiting: _Waiting) -> Order:
        if manner is not Manner.PATIENT:
            waiting.patience = max(step.hurry, _SHORTEST)
        if manner is Manner.TIMEOUT:
            async with asyncio.timeout(step.hurry):
                return await (await self._call(step, target, self.patience))
        if manner is Manner.CANCELED:
            return await self._until_canceled(step, target)
        call = await self._call(step, target, waiting.patience)
        waiting.began = self.now()
        return await call

    async def _until_canceled(self, step: Step, target: str | None) -> Order:
        async def call() -> Order:
            return await (await self._call(step, target, self.patience))

        task = asyncio.create_task(call(), name=f"{step.client_order_id} canceled")
        await asyncio.wait([task], timeout=step.hurry)
        task.cancel()
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            raise TimeoutError("the caller was canceled")
        return task.result()

    async def _call(self, step: Step, target: str | None, deadline: float) -> OrderCall:
        desk = self._desk(step.desk)
        asking: dict[str, Any] = {
            "client_order_id": step.client_order_id,
            "deadline": deadline,
            "resend_within": step.resend_within,
        }
        if target is None:
            assert step.quantity is not None, "the plan names it"  # noqa: S101
            verb = desk.buy if step.side == "buy" else desk.sell
            return verb(
                step.symbol,
                step.quantity,
                price=step.price,
                order_type=step.order_type,
                route=step.route,
                stop_price=step.stop_price,
                **asking,
            )
        order = await self._target(target)
        if step.action is Action.CANCEL:
            return desk.cancel(order, quantity=step.quantity, **asking)
        assert step.price is not None, "the plan names it"  # noqa: S101
        return desk.modify(order, price=step.price, stop_price=step.stop_price, **asking)

    def _desk(self, desk: Desk) -> OrderDesk | CreditDesk:
        desks: dict[Desk, OrderDesk | CreditDesk] = {
            Desk.STOCK: self.client.stock,
            Desk.CREDIT: self.client.credit,
            Desk.GOLD: self.client.gold,
        }
        return desks[desk]

    async def _target(self, client_order_id: str) -> Order:
        try:
            order = await self.client.orders.get(client_order_id)
        except JournalError as error:
            if not self.is_over():
                raise
            # Nobody was asked, and another process may have sent it.
            raise TimeoutError("the client was closed before it was asked") from error
        if order is None:
            raise NotSent(f"nobody has heard of {client_order_id}")
        return order
