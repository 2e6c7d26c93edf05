"""Cancel everything at once: one cancel for each order that may be in the book, each as safe as a single one."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import date
from typing import Any, Final, TypeAlias

import anyio
from attrs import define, evolve, frozen

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.cancellations import CancelOutcome, CancelReport, CancelResult
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder
from kiwoom_async._domain.settings import Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, Side
from kiwoom_async._execution.answers import answer_of
from kiwoom_async._execution.findings import NOTHING_LEFT
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import WorkingOrder
from kiwoom_async._transport.limiter import SlotDenied
from kiwoom_async.errors import (
    KiwoomError,
    NotSent,
    OrderRefused,
    OutcomeUnknown,
    QueryFailed,
    ValidationError,
)

_LOG: Final = logging.getLogger("kiwoom_async")

Place: TypeAlias = Callable[[Intent, float | None, bool, ValidationError | None], Coroutine[Any, Any, Order]]

SLOWEST_RATE: Final = 1.0
"""Cancels a second that are reckoned with where no deadline is given. Source: Kiwoom's portal, which gives each TR
one a second on the mock."""

AT_ONCE: Final = 16
"""Cancels that are under way at once. Source: our choice, three seconds' worth of the published rate; hundreds at once
would crowd each other out of the time in which a permission may be used."""

PAUSE_AFTER_DENIAL: Final = 0.25
"""Seconds until a cancel for which the rate limit had no room before its deadline is tried again. Source: our choice;
on the mock, one second makes room for one."""

LONGEST_ID: Final = 128
"""Source: what `check_client_order_id` takes."""

_OUTCOMES: Final = {OrderStatus.FILLED: CancelOutcome.FINISHED, OrderStatus.REFUSED: CancelOutcome.FAILED}
"""What the status of an accepted cancel means for its order; every other one says that it is canceled."""

_MAY_BE_ON_THE_BOOK: Final = frozenset({Delivery.DISPATCHED, Delivery.UNKNOWN, Delivery.CANDIDATES})


@define
class _Once:
    """Do something once, however often it is called."""

    _act: Callable[[], None] | None

    def __call__(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()


@frozen
class Scope:
    """Which orders to cancel; None means all."""

    symbol: str | None = None
    side: Side | None = None
    desk: Desk | None = None

    def takes(self, desk: Desk, symbol: str) -> bool:
        """Tell whether an order belongs to it, whatever its side."""
        return self.symbol in {None, symbol} and self.desk in {None, desk}

    @property
    def ledgers(self) -> frozenset[Desk]:
        """Name the ledgers that list what belongs to it."""
        return frozenset({Desk.STOCK, Desk.GOLD} if self.desk is None else {self.desk.ledger})


@frozen
class _Aim:
    """An order that is to be canceled.

    Attributes:
        key: Names it for the id of its cancel.
        request: The cancel.
        replaces: The place of the order whose remainder this one took, if it is a modify.
    """

    key: str
    request: OrderRequest
    replaces: tuple[Desk, date, str] | None = None

    @property
    def place(self) -> tuple[Desk, date, str] | None:
        """Name its number, if that is known."""
        if self.request.original is None or self.request.original_day is None:
            return None
        return self.request.desk.ledger, self.request.original_day, self.request.original

    def result(self, outcome: CancelOutcome, **details: Any) -> CancelResult:
        """Say what became of it."""
        request = self.request
        return CancelResult(
            outcome, request.desk, request.symbol, request.side, request.target, request.original, **details
        )


@frozen
class _Patience:
    """How long to try.

    Attributes:
        seconds: What one try of a cancel has.
        until: Monotonic second from which on none is tried again. Reckoned with half the slowest rate, since the time
            of an answer counts, too, and others of the key may be sending.
    """

    seconds: float
    until: float

    def allows_another(self, error: NotSent, began: float, now: float) -> bool:
        """Tell whether a try that left nothing behind may be followed by another one."""
        is_by_rate = isinstance(error.__cause__, SlotDenied) or now - began >= self.seconds
        return is_by_rate and now < self.until


class Sweeper:
    """Find what may be in the book, and cancel it.

    Args:
        journal: Knows our orders.
        reader: Knows everybody's.
        place: Sends an intent and waits for its answer.
        ambient: The clocks.
        timing: For the default deadline.
    """

    def __init__(self, journal: Journal, reader: LedgerReader, place: Place, ambient: Ambient, timing: Timing) -> None:
        self._journal = journal
        self._reader = reader
        self._place = place
        self._ambient = ambient
        self._timing = timing
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def sweep(self, scope: Scope, *, include_foreign: bool, deadline: float | None) -> CancelReport:
        """Cancel every order of a scope; say what became of each.

        Raises:
            JournalError: Our own orders could not be read; nothing was sent.
        """
        aims = await self._find_own(scope)
        results: list[CancelResult] = []
        failures: dict[Desk, KiwoomError] = {}
        patience = self._patience(len(aims), deadline)
        async with anyio.create_task_group() as tasks:
            known, doubtful = _split_by_side(aims, scope)
            results += doubtful
            behind = {aim.place: aim for aim in known if aim.place is not None}
            replaced = {aim.replaces for aim in known if aim.replaces in behind}
            for aim in known:
                if aim.place is None or aim.place not in replaced:
                    tasks.start_soon(self._cancel_chain, aim, behind, patience, results)
            if include_foreign:
                desks = scope.ledgers
                tasks.start_soon(self._sweep_listed, scope, desks, frozenset(behind), deadline, results, failures)
        if failures and aims:
            # Our own cancels move the list while its pages are read; now it may rest.
            again = frozenset(failures)
            failures.clear()
            await self._sweep_listed(scope, again, frozenset(behind), deadline, results, failures)
        return CancelReport(tuple(results), tuple(failures.values()))

    # ------------------------------------------------------------------ what is ours

    async def _find_own(self, scope: Scope) -> list[_Aim]:
        today = korean_day(self._ambient.now())
        # In this order: what is accepted between the two reads is in both, and never in none.
        attempts = await self._journal.open_attempts()
        working = await self._journal.working_orders()
        aims: dict[str, _Aim] = {}
        for attempt in attempts:
            if attempt.state in _MAY_BE_ON_THE_BOOK and attempt.request.action is not Action.CANCEL:
                aims[attempt.key] = _Aim(attempt.key, _cancel_of(attempt.request, target=attempt.client_order_id))
        for order in working:
            # A number of an earlier day means nothing today, and what it meant has expired.
            holder = await self._attempt_of(order) if order.day >= today else None
            if holder is not None:
                aims[holder.key] = _aim_at(order, holder)
        found = [aim for aim in aims.values() if scope.takes(aim.request.desk, aim.request.symbol)]
        return [await self._with_side(aim) for aim in found]

    async def _attempt_of(self, order: WorkingOrder) -> Attempt | None:
        record = await self._journal.find(order.client_order_id)
        assert record is not None, "a claim is made of an order"  # noqa: S101
        claimed = {
            claim.attempt
            for claim in record.claims
            if (claim.day, claim.broker_order_id) == (order.day, order.broker_order_id)
        }
        return next((attempt for attempt in record.attempts if attempt.number in claimed), None)

    async def _with_side(self, aim: _Aim) -> _Aim:
        """Find the side of a modify that was asked for by number alone."""
        request, seen = aim.request, aim.replaces
        if request.side is not None or seen is None:
            return aim
        claim = await self._journal.claim_of(*seen)
        record = None if claim is None else await self._journal.find(claim.client_order_id)
        side = None if record is None else record.speaking.request.side
        return evolve(aim, request=evolve(request, side=side))

    # ------------------------------------------------------------------ canceling

    async def _cancel_chain(
        self,
        aim: _Aim,
        behind: Mapping[tuple[Desk, date, str], _Aim],
        patience: _Patience,
        results: list[CancelResult],
    ) -> None:
        """Cancel an order; and those it replaced, unless its own answer shows that it did replace them."""
        result = await self._cancel(aim, patience)
        results.append(result)
        earlier = None if aim.replaces is None else behind.get(aim.replaces)
        while earlier is not None:
            if result.order is not None and result.outcome is not CancelOutcome.DRY:
                results.append(earlier.result(CancelOutcome.FINISHED))
            else:
                result = await self._cancel(earlier, patience)
                results.append(result)
            earlier = None if earlier.replaces is None else behind.get(earlier.replaces)

    async def _cancel(self, aim: _Aim, patience: _Patience) -> CancelResult:
        cancel_id = None
        try:
            intent = await self._choose_intent(aim)
            cancel_id = intent.client_order_id
            order = await self._place_in_turn(intent, patience)
        except OutcomeUnknown as error:
            return aim.result(CancelOutcome.UNKNOWN, cancel_id=cancel_id, error=error)
        except KiwoomError as error:
            is_over = await self._is_over(aim.request, error)
            outcome = CancelOutcome.FINISHED if is_over else CancelOutcome.FAILED
            return aim.result(outcome, cancel_id=cancel_id, error=None if is_over else error)
        except Exception as error:  # noqa: BLE001 - see below
            # The others must be canceled whatever this one met.
            _LOG.exception("canceling %s met a fault of the library", aim.key)
            return aim.result(CancelOutcome.FAILED, cancel_id=cancel_id, error=error)
        outcome = (
            CancelOutcome.CANCELED if order.status is None else _OUTCOMES.get(order.status, CancelOutcome.CANCELED)
        )
        return aim.result(CancelOutcome.DRY if order.is_dry else outcome, cancel_id=cancel_id, order=order)

    async def _place_in_turn(self, intent: Intent, patience: _Patience) -> Order:
        """Place a cancel when it is its turn, and again while nothing but the rate limit keeps it from leaving.

        A turn ends with the answer, but after the time in which a request must leave in any case: one that hangs, or
        waits for its order to be found, keeps no other from its turn.
        """
        while True:
            await self._turns.acquire()
            release = _Once(self._turns.release)
            timer = asyncio.get_running_loop().call_later(self._timing.connect_timeout, release)
            began = self._ambient.monotonic()
            try:
                return await self._place(intent, patience.seconds, False, None)
            except NotSent as error:
                if intent.request.is_obligation or not patience.allows_another(error, began, self._ambient.monotonic()):
                    raise
                # With the turn: the limiter decides at once, and would deny the next in line just as fast.
                await anyio.sleep(PAUSE_AFTER_DENIAL)
            finally:
                timer.cancel()
                release()

    def _patience(self, count: int, deadline: float | None) -> _Patience:
        more = count / SLOWEST_RATE
        seconds = self._timing.default_deadline + more if deadline is None else deadline
        return _Patience(seconds, self._ambient.monotonic() + seconds + 2 * more)

    async def _is_over(self, request: OrderRequest, error: KiwoomError) -> bool:
        """Tell whether a cancel came to nothing because there is nothing to cancel."""
        if isinstance(error, OrderRefused):
            return error.code in NOTHING_LEFT
        if not isinstance(error, NotSent) or not request.is_obligation or request.target is None:
            return False
        try:
            record = await self._journal.find(request.target)
        except KiwoomError:
            return False
        answer = None if record is None else answer_of(record)
        return isinstance(answer, KiwoomError) and not isinstance(answer, OutcomeUnknown)

    async def _choose_intent(self, aim: _Aim) -> Intent:
        """Give the cancel that is under way for an order already, or a new one.

        The id follows from the order and a count, so that two calls at the same moment, in two processes perhaps, send
        one cancel; and a later call sends another one, since the first has had its answer and the order is still there.
        """
        number = 1
        while True:
            intent = Intent(
                client_order_id=_name(number, aim.key),
                account=self._journal.account,
                request=aim.request,
                created_at=self._ambient.now(),
            )
            record = await self._journal.find(intent.client_order_id)
            if record is None:
                return intent
            if not record.intent.differences(intent) and (record.may_be_sent or answer_of(record) is None):
                return record.intent
            number += 1

    # ------------------------------------------------------------------ what the broker lists

    async def _sweep_listed(
        self,
        scope: Scope,
        desks: frozenset[Desk],
        dealt_with: frozenset[tuple[Desk, date, str]],
        deadline: float | None,
        results: list[CancelResult],
        failures: dict[Desk, KiwoomError],
    ) -> None:
        """Cancel what the broker lists as open and nobody of us is canceling yet."""
        today = korean_day(self._ambient.now())
        aims: list[_Aim] = []
        for desk in sorted(desks):
            try:
                if desk is Desk.GOLD and scope.desk is None and not await self._journal.claims(desk, today, 0):
                    continue  # accounts without gold are refused the query
                found, untold = await self._find_listed(desk, today, scope, dealt_with)
                aims += found
                results += untold
            except KiwoomError as error:
                failures[desk] = error
        patience = self._patience(len(aims), deadline)
        async with anyio.create_task_group() as tasks:
            for aim in aims:
                tasks.start_soon(self._cancel_chain, aim, {}, patience, results)

    async def _find_listed(
        self, desk: Desk, today: date, scope: Scope, dealt_with: frozenset[tuple[Desk, date, str]]
    ) -> tuple[list[_Aim], list[CancelResult]]:
        listed = [
            order
            for order in await self._reader.fetch_steady_open_orders(desk)
            if (desk, today, order.broker_order_id) not in dealt_with and scope.symbol in {None, order.symbol}
        ]
        if not listed:
            return [], []
        # The list of open orders does not tell by which route and on which desk an order was placed; the ledger does.
        since = min(int(order.broker_order_id) for order in listed) - 1
        snapshot = await self._reader.fetch_snapshot(desk, today, since)
        rows = {row.broker_order_id: row for row in snapshot.rows}
        aims: list[_Aim] = []
        untold: list[CancelResult] = []
        for order in listed:
            row = rows.get(order.broker_order_id)
            aim = _aim_at_row(order, row, today)
            if not scope.takes(aim.request.desk, order.symbol) or scope.side not in {None, order.side}:
                continue
            if row is None or (row.route is None and desk is not Desk.GOLD):
                untold.append(aim.result(CancelOutcome.FAILED, error=_routeless(order)))
            else:
                aims.append(aim)
        return aims, untold


def _name(number: int, key: str) -> str:
    name = f"cancel-all-{number}:{key}"
    if len(name) <= LONGEST_ID:
        return name
    return f"cancel-all-{number}:{hashlib.sha256(key.encode()).hexdigest()}"


def _cancel_of(request: OrderRequest, *, target: str | None) -> OrderRequest:
    return OrderRequest(
        desk=request.desk,
        action=Action.CANCEL,
        symbol=request.symbol,
        side=request.side,
        quantity=None,
        route=request.route,
        target=target,
    )


def _aim_at(order: WorkingOrder, attempt: Attempt) -> _Aim:
    request = attempt.request
    takes_all = request.action is Action.MODIFY and request.quantity is None
    replaces = None
    if takes_all and request.original is not None and request.original_day is not None:
        replaces = request.desk.ledger, request.original_day, request.original
    cancel = _cancel_of(request, target=attempt.client_order_id)
    return _Aim(attempt.key, cancel.aimed_at(order.broker_order_id, order.day), replaces)


def _routeless(order: OpenOrder) -> QueryFailed:
    return QueryFailed(
        "ledger",
        f"it does not tell the route of the open order {order.broker_order_id}, which its cancel must name; cancel it "
        "by its number: client.stock.cancel(number, symbol=…, route=…)",
    )


def _aim_at_row(order: OpenOrder, row: LedgerOrder | None, today: date) -> _Aim:
    request = OrderRequest(
        desk=Desk.CREDIT if row is not None and row.is_credit else order.desk,
        action=Action.CANCEL,
        symbol=order.symbol,
        side=order.side,
        quantity=None,
        route=None if row is None else row.route,
        original=order.broker_order_id,
        original_day=today,
    )
    return _Aim(f"{order.desk.value}:{today}:{order.broker_order_id}", request)


def _split_by_side(aims: Iterable[_Aim], scope: Scope) -> tuple[list[_Aim], list[CancelResult]]:
    """Keep the orders of the side that is asked for, and report those whose side nobody knows."""
    if scope.side is None:
        return list(aims), []
    listed = list(aims)
    unknown = ValidationError("side", scope.side.value, "None: the side of this order is not known, so cancel it alone")
    return [aim for aim in listed if aim.request.side is scope.side], [
        aim.result(CancelOutcome.FAILED, error=unknown) for aim in listed if aim.request.side is None
    ]
