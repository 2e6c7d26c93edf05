"""Orders, plans and a clock for tests of the journal."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from typing import Any

import apsw
from attrs import evolve

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.states import Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, OrderType, ResolvedBy, Route, Side
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, DispatchPlan, Permission
from kiwoom_async._journal.records import ATTEMPT_COLUMNS, Finding, LedgerNews, attempt_row

ACCOUNT = "key-0123456789abcdef"
NOON = datetime(2026, 11, 2, 12, 0, tzinfo=KST)
DAY = NOON.date()


class FixedAmbient:
    """A clock that stands still until it is moved; identifiers are really random."""

    def __init__(self, boot_id: str = "boot-1", monotonic: float = 1000.0) -> None:
        self.boot_id = boot_id
        self.seconds = monotonic

    def now(self) -> datetime:
        """Read the wall clock."""
        return NOON + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self.seconds

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes: several processes run in these tests."""
        return os.urandom(count)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Do nothing."""


BUY = OrderRequest(Desk.STOCK, Action.NEW, "005930", Side.BUY, 10, 70_000, OrderType.LIMIT, Route.KRX)
CANCEL = OrderRequest(Desk.STOCK, Action.CANCEL, "005930", Side.BUY, None, route=Route.KRX, original="0000001")


def intent(client_order_id: str = "order-1", request: OrderRequest = BUY, account: str = ACCOUNT) -> Intent:
    """Decide on an order."""
    return Intent(client_order_id, account, request, NOON)


def plan(
    client_order_id: str = "order-1", request: OrderRequest = BUY, *, runner: str = "runner", **changes: Any
) -> DispatchPlan:
    """Plan to send an order."""
    account = changes.pop("account", ACCOUNT)
    made = DispatchPlan(
        intent=intent(client_order_id, request, account),
        request=request,
        day=DAY,
        runner=runner,
        boot_id="boot-1",
        dispatched_at=NOON,
        dispatched=1000.0,
        write_until=1005.0,
    )
    return evolve(made, **changes)


def obligation(client_order_id: str = "cancel-1", target: str = "order-1", runner: str = "runner") -> Attempt:
    """Make an attempt that waits for the number of its target."""
    request = evolve(CANCEL, original=None, target=target)
    return Attempt(
        client_order_id, 1, ACCOUNT, request, Delivery.PREPARED, DAY, 0, runner, "boot-1", NOON, 1000.0, 1000.0
    )


def insert_as_before_schema_6(connection: apsw.Connection, attempt: Attempt) -> None:
    """Write an attempt as releases did that kept nothing of their settings."""
    names = ATTEMPT_COLUMNS.removesuffix(", relied_on")
    values = attempt_row(attempt)[: names.count(",") + 1]
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO attempts ({names}) VALUES ({marks})", values)  # noqa: S608 - no text from outside


def permitted(permission: object) -> Attempt:
    """Expect the permission to send."""
    assert isinstance(permission, Dispatched), permission
    return permission.attempt


async def dispatched(journal: Journal, client_order_id: str = "order-1", **changes: Any) -> Attempt:
    """Get the permission to send an order."""
    changes.setdefault("runner", journal.runner)
    permission: Permission = await journal.dispatch(plan(client_order_id, **changes))
    return permitted(permission)


def acknowledged(number: str = "0000101", **changes: Any) -> Finding:
    """Learn an order's number."""
    return evolve(Finding(Event.ACKNOWLEDGED, broker_order_id=number), **changes)


LOST = Finding(Event.LOST, reason="timeout", ended=1003.0, ended_at=NOON + timedelta(seconds=3))
ABSENT = Finding(Event.PROVEN_ABSENT, reason="proven", evidence={"proof": {"rounds": 2}})
REFUSED = Finding(Event.REFUSED, reason="refused: RC4003", evidence={"code": "RC4003", "message": "no"})


def row(number: str = "0000101", *, filled: int = 0, leaves: int | None = 10, **changes: Any) -> LedgerOrder:
    """Read a row of the broker's ledger."""
    made = LedgerOrder(
        day=DAY,
        desk=Desk.STOCK,
        broker_order_id=number,
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=10,
        price=70_000,
        order_types=frozenset({OrderType.LIMIT}),
        route=Route.KRX,
        stop_price=None,
        original=None,
        channel="REST API",
        ordered_at=NOON,
        filled_quantity=filled,
        average_fill_price=None,
        leaves_quantity=leaves,
        confirmed_quantity=0,
    )
    return evolve(made, **changes)


TOMORROW: date = DAY + timedelta(days=1)


def report(kind: ReportKind = ReportKind.ACCEPTED, number: str = "0000101", **changes: Any) -> OrderReport:
    """Make a report of the feed about an order for ten."""
    made = OrderReport(
        kind=kind,
        day=DAY,
        desk=Desk.STOCK,
        broker_order_id=number,
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=10,
        price=70_000,
        order_types=frozenset({OrderType.LIMIT, OrderType.LIMIT_IOC}),
        route=Route.KRX,
        original=None,
        leaves_quantity=10,
        filled_quantity=0,
        filled_amount=0,
        fill_quantity=None,
        fill_price=None,
        execution_id=None,
        at=NOON,
        terminal="6801005",
        account_digest="digest-of-account",
    )
    return evolve(made, **changes)


def fill(total: int, quantity: int, number: str = "0000101", **changes: Any) -> OrderReport:
    """Make the report of a fill at 70,000."""
    return report(
        ReportKind.FILLED,
        number,
        **{
            "filled_quantity": total,
            "filled_amount": total * 70_000,
            "fill_quantity": quantity,
            "fill_price": 70_000,
            "execution_id": f"x{total}",
            "leaves_quantity": 10 - total,
            "at": NOON + timedelta(seconds=total),
            **changes,
        },
    )


BY_RESPONSE = acknowledged(resolved_by=ResolvedBy.RESPONSE)


def news_of(*own: LedgerOrder, **changes: Any) -> LedgerNews:
    """Make what a look at the ledger taught."""
    return evolve(LedgerNews(ACCOUNT, Desk.STOCK, DAY, own, (), 0), **changes)


async def claimed(journal: Journal, name: str = "order-1", number: str = "0000101", **changes: Any) -> None:
    """Send an order and get its number."""
    await journal.conclude(await dispatched(journal, name, **changes), evolve(BY_RESPONSE, broker_order_id=number))


async def events(journal: Journal) -> list[OrderEvent]:
    """Read all events."""
    return list(await journal.order_events(0, limit=1000))


async def heard(journal: Journal, name: str | None = None) -> list[tuple[str, int | None]]:
    """Read kinds and quantities, of all orders or of one."""
    return [
        (event.kind.value, event.quantity) for event in await events(journal) if name in {None, event.client_order_id}
    ]
