"""One send: all slow work, the durable permission, one request, and the record of what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any, Final

import anyio
from attrs import evolve, frozen

from kiwoom_async._domain.ambient import Ambient, Checkpoint, korean_day
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.midnight import day_of_answer, names_its_original, seconds_to_one_day
from kiwoom_async._domain.settings import Reliance, Timing
from kiwoom_async._domain.sharing import Token
from kiwoom_async._domain.states import ON_THE_BOOK, Delivery, Event
from kiwoom_async._domain.vocabulary import OrderStatus
from kiwoom_async._execution.findings import came_too_late, finding_of
from kiwoom_async._execution.flights import Flight, Stage
from kiwoom_async._execution.guards import OrderGuards
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._execution.originals import Originals
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._execution.tasks import OwnTasks, complete
from kiwoom_async._journal.guards import Terms
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.permissions import Dispatched, DispatchPlan, Known, Permission, TwinOpen
from kiwoom_async._journal.records import Finding
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._transport.limiter import Slot
from kiwoom_async._transport.mark import DeliveryMark, SendAborted
from kiwoom_async._wire.answers import read_date
from kiwoom_async._wire.exchange import Answer, Exchange
from kiwoom_async._wire.outcomes import Accepted, Outcome, Unclear, classify
from kiwoom_async._wire.requests import Call, encode_order
from kiwoom_async.errors import JournalError, KiwoomError, NotSent, QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")


@frozen
class Collaborators:
    """What sending and its supervision work with."""

    journal: Journal
    gateway: Gateway
    ambient: Ambient
    timing: Timing
    settlements: Settlements
    tasks: OwnTasks
    monitor: Monitor


@frozen
class Ready:
    """A durable permission and everything to use it at once."""

    attempt: Attempt
    call: Call
    content: bytes
    token: Token
    slot: Slot


@frozen
class Replacement:
    """What a new attempt takes the place of: the old one, and the evidence that it is not on the book."""

    attempt: Attempt
    finding: Finding


class TwoDays(TimeoutError):
    """Two clocks may tell two days for longer than somebody waits."""


class Sender:
    """Send orders, one attempt at a time.

    Args:
        together: Journal, gateway, clock and the others.
        waits_for_twins: An identical order of unknown outcome forbids a new one.
        on_unknown: Called when there is something to resolve.
        originals: Looks at the original order of a cancel that came too late.
        guards: Hold back what must not leave.
        is_exclusive: No other program places orders on the account that could be taken for ours.
    """

    def __init__(
        self,
        together: Collaborators,
        *,
        waits_for_twins: bool,
        is_exclusive: bool,
        on_unknown: Callable[[], None],
        originals: Originals,
        guards: OrderGuards,
    ) -> None:
        self._journal = together.journal
        self._gateway = together.gateway
        self._ambient = together.ambient
        self._timing = together.timing
        self._settlements = together.settlements
        self._tasks = together.tasks
        self._monitor = together.monitor
        self._relied_on = Reliance.of(together.timing, is_exclusive=is_exclusive)
        self._waits_for_twins = waits_for_twins
        self._on_unknown = on_unknown
        self._originals = originals
        self._guards = guards

    def reject_token(self, token: Token) -> None:
        """Note that Kiwoom refused a token."""
        self._gateway.reject_token(token)

    # ------------------------------------------------------------------ permission

    async def request_permission(
        self,
        flight: Flight,
        request: OrderRequest,
        deadline: float | None,
        *,
        follows: Attempt | None = None,
        replaces: Replacement | None = None,
    ) -> Ready | Known | TwinOpen:
        """Do all slow work, then ask the journal.

        Args:
            flight: What is sent.
            request: The flight's request, aimed at its number.
            deadline: Monotonic second by which a slot and a token must be had.
            follows: The attempt that this one may follow although it went out.
            replaces: Closes that attempt in the same transaction.

        Raises:
            NotSent: No slot or no token before the deadline, midnight, a number of another day, or the kill switch.
            ValidationError: A guard of this client.
            JournalError: There is no durable record.
        """
        self._guards.require_wet(flight.intent.client_order_id)
        call = encode_order(request)
        content = call.to_bytes()
        terms = await self._guards.examine(flight.intent.client_order_id, request, deadline)
        token, slot = await self._gateway.make_ready(call, deadline, is_again=replaces is not None)
        try:
            await self._let_midnight_pass(flight.intent.client_order_id, call, deadline)
            self._ambient.reached(Checkpoint.BEFORE_COMMIT)
            plan = self._plan(flight.intent, request, 0 if follows is None else follows.number, terms)
            before = follows or flight.last
            timing = self._timing if before is None else before.bounds(self._timing)
            permission = await self._ask_for_permission(flight, call, plan, replaces, timing)
        except BaseException:
            slot.give_back()
            raise
        if isinstance(permission, Dispatched):
            flight.last = permission.attempt
            return Ready(permission.attempt, call, content, token, slot)
        slot.give_back()
        flight.stage, flight.is_unsent = Stage.ON_THE_GROUND, False
        return permission

    async def _let_midnight_pass(self, client_order_id: str, call: Call, deadline: float | None) -> None:
        """Wait while two clocks may tell two days: the mark that goes with an order is that of its day (A8, A11).

        Raises:
            NotSent: That would take longer than somebody waits.
        """
        while seconds := seconds_to_one_day(self._ambient.now(), self._timing):
            if deadline is not None and self._ambient.monotonic() + seconds > deadline:
                raise NotSent(
                    f"Order {client_order_id!r} was not sent: for another {seconds:.1f} s it may be of either of two "
                    "days, on which numbers begin anew. Call again with the same client_order_id after that.",
                    api_id=call.api_id,
                ) from TwoDays
            await anyio.sleep(seconds)

    async def _ask_for_permission(
        self, flight: Flight, call: Call, plan: DispatchPlan, replaces: Replacement | None, timing: Timing
    ) -> Permission:
        request = plan.request
        if not names_its_original(request, plan.dispatched_at, timing):
            raise NotSent(
                f"Order {flight.intent.client_order_id!r} was not sent: the number {request.original} means its "
                f"original on {request.original_day} only, and may be somebody else's order on the day when this "
                "arrives.",
                api_id=call.api_id,
            )
        flight.stage, flight.mark = Stage.COMMITTING, DeliveryMark()
        return await self._commit(flight, plan, replaces)

    async def _commit(self, flight: Flight, plan: DispatchPlan, replaces: Replacement | None) -> Permission:
        # To its end: a permission that nobody saw would read as an order that may be at the broker.
        try:
            permission, cancellation = await complete(
                self._journal.dispatch(plan)
                if replaces is None
                else self._journal.replace(replaces.attempt, replaces.finding, plan)
            )
        except KiwoomError as error:
            flight.stage = Stage.ON_THE_GROUND
            self._guards.note(error)
            raise
        flight.is_unsent = not isinstance(permission, Known)
        if cancellation is not None:
            if isinstance(permission, Dispatched):
                finding = Finding(Event.PROVEN_UNSENT, reason="the client was closed before the first byte")
                await complete(self.record(permission.attempt, self.stamp(finding)))
            raise cancellation
        return permission

    def _plan(self, intent: Intent, request: OrderRequest, follows: int, terms: Terms) -> DispatchPlan:
        now, monotonic = self._ambient.now(), self._ambient.monotonic()
        return DispatchPlan(
            intent=intent,
            request=request,
            day=korean_day(now),
            runner=self._journal.runner,
            boot_id=self._ambient.boot_id,
            dispatched_at=now,
            dispatched=monotonic,
            write_until=monotonic + self._timing.connect_timeout,
            follows=follows,
            # What follows an attempt carries a proof about the whole class already.
            waits_for_twins=self._waits_for_twins and not request.is_repeatable and not follows,
            terms=terms,
            relied_on=self._relied_on,
        )

    def plan_obligation(self, intent: Intent) -> Attempt:
        """Give the attempt of an order that is to be sent once its target is known."""
        plan = self._plan(intent, intent.request, 0, Terms())
        return Attempt(
            client_order_id=intent.client_order_id,
            number=1,
            account=intent.account,
            request=intent.request,
            state=Delivery.PREPARED,
            day=plan.day,
            mark=0,
            runner=plan.runner,
            boot_id=plan.boot_id,
            dispatched_at=plan.dispatched_at,
            dispatched=plan.dispatched,
            write_until=plan.dispatched,
            relied_on=plan.relied_on,
        )

    # ------------------------------------------------------------------ the request

    async def send(self, flight: Flight, ready: Ready) -> tuple[Outcome, Finding]:
        """Use a permission: one request. Say what it proves and what the journal has to write about it.

        Cancellation: What is known at that moment is written down before it passes on.
        """
        attempt, mark = ready.attempt, flight.mark
        assert mark is not None, "made with the permission"  # noqa: S101

        def guard() -> None:
            if not flight.is_wanted:
                raise SendAborted("nobody waited for it any more")
            if self._ambient.monotonic() > attempt.write_until:
                self._monitor.held_back(attempt.client_order_id)
                raise SendAborted("the time in which it might leave ran out")
            flight.stage = Stage.IN_THE_AIR
            # The bytes go to the operating system in this turn of the loop or in the next one.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._ambient.reached, Checkpoint.AFTER_WRITE_BEFORE_RESPONSE)

        self._ambient.reached(Checkpoint.AFTER_COMMIT_BEFORE_WRITE)
        try:
            exchange = await self._gateway.send_order(
                ready.call,
                ready.content,
                ready.token,
                ready.slot,
                client_order_id=attempt.client_order_id,
                guard=guard,
                mark=mark,
            )
        except BaseException:
            # The client is being torn down. What is known now is written down; the rest is for the next start.
            await complete(self.record(attempt, self._interrupted(mark)))
            raise
        self._ambient.reached(Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT)
        outcome, day = self._date(attempt, classify(exchange, ready.call.api_id), exchange)
        finding = evolve(self.stamp(finding_of(outcome)), claim_day=day)
        if came_too_late(attempt, outcome) and (status := await self._find_status(attempt)) is not None:
            finding = evolve(finding, evidence={**finding.evidence, "original_status": status.value})
        return outcome, finding

    def _date(self, attempt: Attempt, outcome: Outcome, exchange: Exchange) -> tuple[Outcome, date | None]:
        """Say on which day the number of an accepted order is valid; where that is not known, nothing is known."""
        if not isinstance(outcome, Accepted) or not isinstance(exchange, Answer):
            return outcome, None
        day = day_of_answer(
            attempt,
            finished=self._ambient.now(),
            took=self._ambient.monotonic() - attempt.dispatched,
            stamp=read_date(exchange),
            timing=self._timing,
        )
        if day is not None:
            return outcome, day
        reason = f"it got the number {outcome.broker_order_id} at midnight, and which day's that is has to be looked up"
        return Unclear(reason, is_answered=True), None

    async def _find_status(self, attempt: Attempt) -> OrderStatus | None:
        """Look what left nothing to cancel, for as long as the ledger may still show the time before (A5)."""
        until = self._ambient.monotonic() + self._timing.visibility_bound
        while True:
            with suppress(QueryFailed, Refused):
                state = await self._originals.fetch_state(attempt)
                if state.status is not None:
                    return state.status
            if self._ambient.monotonic() >= until:
                return None
            await anyio.sleep(self._timing.reconcile_interval)

    def _interrupted(self, mark: DeliveryMark) -> Finding:
        if mark.may_have_left:
            return self.stamp(Finding(Event.LOST, reason="the client was closed while it waited for the answer"))
        return self.stamp(Finding(Event.PROVEN_UNSENT, reason="the client was closed before the first byte"))

    def stamp(self, finding: Finding) -> Finding:
        """Note that the sender is finished now."""
        return evolve(finding, ended=self._ambient.monotonic(), ended_at=self._ambient.now())

    # ------------------------------------------------------------------ the record

    async def record_to_the_end(self, attempt: Attempt, finding: Finding) -> Attempt | None:
        """Do as `record`, and pass a cancellation on only when it is done."""
        recorded, cancellation = await complete(self.record(attempt, finding))
        if cancellation is not None:
            raise cancellation
        self._ambient.reached(Checkpoint.AFTER_RESULT_COMMIT)
        return recorded

    async def record(self, attempt: Attempt, finding: Finding) -> Attempt | None:
        """Write what is known now; None if the journal fails, in which case it is written as soon as it can be."""
        try:
            return await self._conclude(attempt, finding)
        except JournalError as error:
            _LOG.error("the outcome of order %s is not recorded yet: %s", attempt.client_order_id, error)
            self._tasks.start(self._record_later(attempt, finding), f"kiwoom record {attempt.client_order_id}")
            return None

    async def _record_later(self, attempt: Attempt, finding: Finding) -> None:
        recorded: Any = None
        while recorded is None:
            await anyio.sleep(self._timing.reconcile_interval)
            with suppress(JournalError):
                recorded = await self._conclude(attempt, finding)
        self._settlements.ring(attempt.client_order_id)
        self._on_unknown()

    async def _conclude(self, attempt: Attempt, finding: Finding) -> Attempt:
        conclusion = await self._journal.conclude(attempt, finding)
        self._monitor.answered(conclusion.attempt, finding)
        self._settlements.spread(conclusion.news)
        if conclusion.contradiction is not None:
            _LOG.error(
                "contradicting evidence about order %s: %s. Look at it on Kiwoom's own screen.",
                attempt.client_order_id,
                conclusion.contradiction,
            )
            # Definite evidence that cannot be true freezes the order: as an unknown one it holds up its twins.
            reason = f"contradicting evidence: {conclusion.contradiction}"
            lost = Finding(Event.LOST, reason=reason, ended=finding.ended, ended_at=finding.ended_at)
            return (await self._journal.conclude(attempt, lost)).attempt
        if conclusion.attempt.state in ON_THE_BOOK - {Delivery.ACKNOWLEDGED}:
            _LOG.error(
                "order %s is on the book after all: %s",
                attempt.client_order_id,
                conclusion.attempt.state.value,
            )
        return conclusion.attempt
