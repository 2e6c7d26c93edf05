"""A short trading day with a journal that fails at one moment, and the judgment of what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import pytest
from attrs import define, evolve, field, frozen

from kiwoom_async import (
    AuthenticationError,
    CancelReport,
    FeedState,
    JournalError,
    KiwoomClient,
    KiwoomError,
    NotSent,
    Order,
    OrderNotAccepted,
    OutcomeUnknown,
)
from kiwoom_async._audit import FINAL, Answer, Ask, BookEntry, Terms, Verdict, check_history
from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.states import IN_FLIGHT, UNRESOLVED, Delivery
from kiwoom_async._journal.journal import Journal
from kiwoom_async.errors import JournalLocked, JournalReadOnly, Refused
from kiwoom_async.simulator import BookOrder, Fault, FaultKind, Simulator
from tests.on_disk import states_of
from tests.scenarios.trading import QUICK, SYMBOL, Hands, eventually, gateway_of, on_book, orders_received

_T = TypeVar("_T")

GOLD: Final = "M04020000"
DEADLINE: Final = 4.0
"""Seconds each caller waits."""

SLACK: Final = 10.0
"""Seconds by which a slow machine may be late with an answer."""

DAY: Final = evolve(QUICK, connect_timeout=1, response_timeout=1.5, watch_interval=0.1)

LASTS: Final = 12
"""Calls that fail in a row where a failure lasts."""

FAULTS: Final = (
    Fault(FaultKind.DROP_BEFORE_ACCEPTANCE, api_ids="kt10001"),
    Fault(FaultKind.DROP_AFTER_ACCEPTANCE, api_ids="kt10006"),
    Fault(FaultKind.TOKEN_DIES, api_ids="kt50000"),
    Fault(FaultKind.ORDER_REFUSED, api_ids="kt50001"),
)

BACKGROUND: Final = frozenset(
    {"kiwoom news", "kiwoom reconciler", "kiwoom feed matching", "kiwoom ledger polling", "kiwoom feed"}
)


class Access(StrEnum):
    """What fails."""

    WRITE = "_write"
    READ = "_read"


@define
class Failure:
    """The journal's N-th read or write fails, and perhaps those after it.

    Attributes:
        is_torn: The record is durable all the same: the disk took it, and failed to say so.
        only: Name of the one method of the journal that fails; empty: any.
        struck: What failed.
    """

    access: Access
    number: int
    times: int = 1
    is_torn: bool = False
    only: str = ""
    calls: int = 0
    struck: list[str] = field(factory=list)

    def set_up(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let it happen to a journal."""
        original: Callable[[Any], Awaitable[Any]] = getattr(journal, self.access.value)

        async def call(operation: Callable[[apsw.Connection], Any]) -> Any:
            name = operation.__qualname__.removeprefix("Journal.").partition(".")[0]
            if self.only in {"", name}:
                self.calls += 1
                if self.number <= self.calls < self.number + self.times:
                    self.struck.append(name)
                    return await self._fail(original, operation)
            return await original(operation)

        monkeypatch.setattr(journal, self.access.value, call)

    async def _fail(self, original: Callable[[Any], Awaitable[Any]], operation: Any) -> None:
        if self.is_torn:
            await original(operation)
            raise JournalReadOnly("the disk failed to say that it is done")
        raise JournalLocked("another program holds the file")

    def stop(self) -> None:
        """Let the journal work again, for good."""
        self.times = 0

    def __str__(self) -> str:
        """Name it, for a failing test."""
        return f"{self.access.name} {self.number} x {self.times}{' torn' * self.is_torn}: {self.struck}"


@frozen
class Step:
    """One order of the day.

    Attributes:
        verb: Desk and verb.
        arguments: Of a new order: symbol, quantity; of a modify or cancel: none.
        target: The order that a modify or cancel is about.
    """

    verb: tuple[str, str]
    arguments: tuple[Any, ...] = ()
    changes: dict[str, Any] = field(factory=dict)
    target: str | None = None

    @property
    def terms(self) -> Terms:
        """Give the fields as they were asked for."""
        desk, verb = self.verb
        is_new = self.target is None
        return Terms(
            desk=desk,
            action="new" if is_new else verb,
            symbol=self.arguments[0] if is_new else SYMBOL,
            side=verb if is_new else None,
            quantity=self.arguments[1] if is_new else None,
            price=self.changes.get("price"),
        )


STEPS: Final[dict[str, Step]] = {
    "first": Step(("stock", "buy"), (SYMBOL, 5), {"price": 70_000}),
    "moved": Step(("stock", "modify"), (), {"price": 70_100}, target="first"),
    "gone": Step(("stock", "cancel"), target="moved"),
    "lost": Step(("stock", "sell"), (SYMBOL, 3), {"price": 71_000, "resend_within": 60}),
    "twin": Step(("stock", "sell"), (SYMBOL, 3), {"price": 71_000}),
    "owed": Step(("stock", "cancel"), target="lost"),
    "dropped": Step(("credit", "buy"), (SYMBOL, 6), {"price": 69_000}),
    "renewed": Step(("gold", "buy"), (GOLD, 1), {"price": 180_000}),
    "refused": Step(("gold", "sell"), (GOLD, 2), {"price": 190_000}),
    "filled": Step(("stock", "buy"), (SYMBOL, 4), {"price": 69_900}),
}

MAY_BE_REPEATED: Final = frozenset({"lost", "owed", "gone"})
"""A resend with a proof, and full cancels."""

SENT_FOR_NOTHING: Final = frozenset({Delivery.REFUSED, Delivery.NOT_SENT})
"""What an attempt that another one follows came to, if not that: a dead token, or no byte left."""


@define
class ShortDay:
    """What is asked and told on one day, whatever happens to the journal."""

    broker: Simulator
    folder: Path
    client: KiwoomClient
    asks: dict[str, Ask] = field(factory=dict)
    targets: dict[str, Order] = field(factory=dict)
    answers: list[Answer] = field(factory=list)
    insecure: list[str] = field(factory=list)
    sent: int = 0

    # ------------------------------------------------------------------ asking

    async def ask(self, key: str) -> Answer | None:
        """Ask once for an order, and note what was told; None where its target is not an order."""
        step = STEPS[key]
        arguments = step.arguments
        if step.target is not None and key not in self.targets:
            target = await self.patiently(lambda: self.client.orders.get(step.target or ""))
            is_cancel = step.verb[1] == "cancel"
            if target is None or (target.broker_order_id is None and not (is_cancel and target.delivery in _OPEN)):
                return None
            self.targets[key] = target
        if step.target is not None:
            arguments = (self.targets[key],)
        self.asks.setdefault(key, Ask(key, step.terms, step.target))
        verb = getattr(getattr(self.client, step.verb[0]), step.verb[1])
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer = _accepted(await verb(*arguments, client_order_id=key, deadline=DEADLINE, **step.changes))
        except KiwoomError as error:
            answer = _denied(key, error)
        assert loop.time() - began < DEADLINE + SLACK, f"{key} was left waiting"
        self.answers.append(answer)
        return answer

    async def insist(self, key: str) -> None:
        """Ask until there is an answer; "not sent" is one when it is said again and again."""
        answer = None
        for _ in range(20):
            answer = await self.ask(key)
            if answer is None or answer.verdict in FINAL:
                return
        assert answer is not None
        assert answer.verdict is Verdict.NOT_SENT, f"{key} has no answer"

    async def patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call until the journal can be read."""
        while True:
            try:
                return await call()
            except JournalError:
                await asyncio.sleep(0.01)

    # ------------------------------------------------------------------ the day

    async def trade(self) -> None:
        """Place every order of the day, then cancel what is left of them."""
        async with self._witnesses():
            await asyncio.gather(
                self._chain("first", "moved", "gone"),
                self._lose(),
                self._fill(),
                *map(self.ask, ("dropped", "renewed", "refused")),
            )
            report = await self._sweep()
            self.note(report)
            await asyncio.gather(*map(self.insist, STEPS))
            await self.patiently(self._all_resolved)

    async def _chain(self, *keys: str) -> None:
        for key in keys:
            await self.ask(key)

    async def _lose(self) -> None:
        losing = asyncio.create_task(self.ask("lost"))
        injected = self.broker.faults_injected
        await eventually(lambda: losing.done() or injected[FaultKind.DROP_BEFORE_ACCEPTANCE] > 0)
        await asyncio.gather(losing, self.ask("twin"), self.ask("owed"))

    async def _fill(self) -> None:
        await self.ask("filled")
        for row in on_book(self.broker, "filled"):
            self.broker.fill(row.broker_order_id, 1)
            self.broker.fill(row.broker_order_id, 3)

    async def _sweep(self) -> CancelReport:
        return await self.patiently(lambda: self.client.orders.cancel_all(deadline=DEADLINE))

    async def _all_resolved(self) -> None:
        async with asyncio.timeout(60):
            while await self.client.orders.unresolved():  # noqa: ASYNC110 - the journal has no event for it
                await asyncio.sleep(0.01)

    def note(self, report: CancelReport) -> None:
        """Note what became of the cancels of a sweep."""
        for result in report.results:
            order = result.order
            if result.cancel_id is None or order is None or result.cancel_id in STEPS:
                continue
            terms = Terms(result.desk.value, "cancel", result.symbol)
            self.asks.setdefault(result.cancel_id, Ask(result.cancel_id, terms, result.client_order_id))
            self.answers.append(_accepted(order))

    @asynccontextmanager
    async def _witnesses(self) -> AsyncIterator[None]:
        """Let people place orders meanwhile: they show how fresh the ledger is."""

        async def go_on() -> None:
            for number in range(1, 10_000):
                self.broker.place_foreign(symbol="000660", side="sell", quantity=number, price=75_000)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    # ------------------------------------------------------------------ afterwards

    async def goes_on(self) -> None:
        """Check that nothing of the client has died: it hears, follows and asks as before."""
        await eventually(lambda: self.client.feed.state is FeedState.LIVE, within=60)
        running = {task.get_name() for task in self.client._tasks._tasks}
        assert running >= BACKGROUND, f"ended: {BACKGROUND - running}"
        for row in on_book(self.broker, "filled"):
            if row.leaves_quantity:
                self.broker.fill(row.broker_order_id)
            async with asyncio.timeout(60):
                done = await self.patiently(lambda: self.client.orders.wait_filled("filled"))
            (row_now,) = on_book(self.broker, "filled")
            assert (done.status, done.filled_quantity) == (row_now.status, row_now.filled_quantity)

    async def close_books(self) -> None:
        """Let the day end, and wait for the close of its books."""
        assert isinstance(self.broker.ambient, Hands)
        today = korean_day(self.broker.ambient.now())
        self.broker.ambient.next_day()
        async with asyncio.timeout(60):
            while today in {
                day
                for _, day in await self.patiently(
                    lambda: self.client._journal.days_to_close(korean_day(self.broker.ambient.now()))  # type: ignore[union-attr]
                )
            }:
                await self.patiently(self.client.reconcile)

    def watch_wire(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look at the disk right before the first byte of every order."""
        gateway = gateway_of(self.client)
        send: Callable[..., Awaitable[Any]] = gateway.send_order

        async def watched(*arguments: Any, client_order_id: str, guard: Callable[[], None], **others: Any) -> Any:
            def looking() -> None:
                guard()
                self.sent += 1
                if "dispatched" not in states_of(self.folder / "orders.db", client_order_id):
                    self.insecure.append(client_order_id)

            return await send(*arguments, client_order_id=client_order_id, guard=looking, **others)

        monkeypatch.setattr(gateway, "send_order", watched)

    async def judge(self) -> None:
        """Hold what was told, the book and the wire against each other."""
        assert not self.insecure, f"left without a durable row: {self.insecure}"
        keys = {row.broker_order_id: row.idempotency_key for row in self.broker.orders}
        for row in self.broker.orders:
            key = row.idempotency_key or ""
            if key in self.asks:
                continue
            # A cancel of a sweep whose answer was another one at that moment.
            found = await self.client.orders.get(key)
            assert found is not None, f"{key} is on the book, and the journal has never heard of it"
            self.asks[key] = Ask(key, Terms(row.desk.value, "cancel", row.symbol), keys[row.original or ""])
            self.answers.append(_accepted(found))
        audit = check_history(self.asks.values(), self.answers, map(_entry, self.broker.all_orders))
        assert audit.is_clean, audit.violations
        received = Counter(request.headers.get("idempotency-key") for request in orders_received(self.broker))
        for sent, count in received.items():
            key = sent or ""
            record = await self.client._journal.find(key)
            assert record is not None, f"{key} was sent without a durable row"
            assert count <= len(record.attempts), f"{key}: {count} requests, {len(record.attempts)} attempts"
            before = {attempt.state for attempt in record.attempts[:-1]}
            may_repeat = key in MAY_BE_REPEATED or key.startswith("cancel-all")
            assert may_repeat or before <= SENT_FOR_NOTHING, f"{key} was sent again after {before}"


_OPEN: Final = UNRESOLVED | IN_FLIGHT


def _accepted(order: Order) -> Answer:
    return Answer(
        order.client_order_id,
        Verdict.ACCEPTED,
        order.broker_order_id,
        Terms(order.desk.value, order.action.value, order.symbol, order.side.value if order.side else None),
        order.filled_quantity,
        None if order.resolved_by is None else order.resolved_by.value,
    )


_VERDICTS: Final[tuple[tuple[type[KiwoomError], Verdict], ...]] = (
    (OrderNotAccepted, Verdict.NOT_ACCEPTED),
    (OutcomeUnknown, Verdict.UNKNOWN),
    # A token that was refused says nothing of the order: the same id may be sent again.
    (AuthenticationError, Verdict.NOT_SENT),
    (Refused, Verdict.REFUSED),
    # There is no durable record, so nothing was sent: that must be as true as where it is said in so many words.
    (JournalError, Verdict.NOT_SENT),
    (NotSent, Verdict.NOT_SENT),
)


def _denied(key: str, error: KiwoomError) -> Answer:
    for kind, verdict in _VERDICTS:
        if isinstance(error, kind):
            return Answer(key, verdict, detail=type(error).__name__)
    raise error


def _entry(row: BookOrder) -> BookEntry:
    return BookEntry(
        row.broker_order_id,
        Terms(
            row.desk.value,
            row.action.value,
            row.symbol,
            row.side.value,
            row.quantity,
            row.price if row.action.value == "new" else None,
            original=row.original,
        ),
        row.idempotency_key,
        row.filled_quantity,
        is_working=row.leaves_quantity > 0,
        is_foreign=row.is_foreign,
    )
