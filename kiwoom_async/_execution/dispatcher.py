"""The way of an order: slow work, durable record, one send, one classified outcome.

Every order flies in a task of the client. Callers only wait for it: a deadline, a cancellation or a dying task group
ends the waiting. As long as the first byte has not left, a flight that nobody waits for any more is called off; after
that it reads on, whoever waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import StrEnum, unique
from typing import Any, Final

import anyio
from attrs import define, evolve, field, frozen

from kiwoom_async._domain.ambient import Ambient, Checkpoint, korean_day
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.settings import Timing
from kiwoom_async._domain.states import ON_THE_BOOK, Delivery, Event
from kiwoom_async._domain.vocabulary import Action, OrderStatus, ResolvedBy
from kiwoom_async._execution.answers import answer_of, unknown_error
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._execution.tasks import OwnTasks, complete
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, OrderRecord
from kiwoom_async._journal.transactions import Dispatched, DispatchPlan, Known, Permission, TwinOpen
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._transport.mark import DeliveryMark, SendAborted
from kiwoom_async._transport.tokens import Token
from kiwoom_async._wire.codes import CodeMeaning
from kiwoom_async._wire.outcomes import Accepted, Outcome, Refused, Unclear, Unsent, classify
from kiwoom_async._wire.requests import Call, encode_order, order_api_id
from kiwoom_async.errors import ClientOrderIdConflict, JournalError, KiwoomError, NotSent, OutcomeUnknown

_LOG: Final = logging.getLogger("kiwoom_async")

_NOTHING_LEFT: Final = frozenset({"RC4033", "506550"})
"""Refusals of a cancel that mean: there was nothing left to cancel (mock, real) [M]."""


@unique
class TwinPolicy(StrEnum):
    """What happens to an order while an identical one has an unknown outcome."""

    SERIALIZE = "serialize"
    FAIL = "fail"
    ALLOW = "allow"


@unique
class _Stage(StrEnum):
    """How far a flight is."""

    LOOKING_UP = "looking_up"
    """Whether the id was sent before is not known yet."""
    ON_THE_GROUND = "on_the_ground"
    COMMITTING = "committing"
    IN_THE_AIR = "in_the_air"
    SETTLING = "settling"


_MAY_BE_CALLED_OFF: Final = frozenset({_Stage.LOOKING_UP, _Stage.ON_THE_GROUND, _Stage.SETTLING})
"""Stages in which a flight does nothing that must be seen to its end."""


@define(eq=False)
class _Flight:
    """The work on one client order id in this process, and who waits for it.

    Attributes:
        mark: Of the send under way; tells whether the broker may have it.
        is_ours: The library itself wants it, whoever waits: a resend, a durable obligation.
    """

    intent: Intent
    is_fresh: bool
    deadline: float | None
    landed: anyio.Event = field(factory=anyio.Event)
    answer: Order | KiwoomError | None = None
    passengers: int = 0
    is_ours: bool = False
    stage: _Stage = _Stage.LOOKING_UP
    mark: DeliveryMark | None = None
    last: Attempt | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)

    @property
    def is_wanted(self) -> bool:
        return self.passengers > 0 or self.is_ours

    @property
    def may_have_left(self) -> bool:
        """Whether the broker may have the order now, or may get it. Changes only where the loop runs the guard."""
        if self.stage is _Stage.ON_THE_GROUND:
            return self.is_ours
        if self.stage is _Stage.COMMITTING:
            return self.mark is not None and self.mark.handed_over
        return True


@frozen
class Collaborators:
    """What a dispatcher works with."""

    journal: Journal
    gateway: Gateway
    ambient: Ambient
    timing: Timing
    settlements: Settlements
    tasks: OwnTasks


class Dispatcher:
    """Send orders, each at most once, and tell what became of them.

    Args:
        together: Journal, gateway, clock and the others.
        twins: What an order does while an identical one is unresolved.
        on_unknown: Called when there is something to resolve.
        look_up: Fetches the state of the original order of a cancel that came too late; None if it cannot tell.
    """

    def __init__(
        self,
        together: Collaborators,
        *,
        twins: TwinPolicy,
        on_unknown: Callable[[], None],
        look_up: Callable[[Attempt], Awaitable[OrderStatus | None]],
    ) -> None:
        self._journal = together.journal
        self._gateway = together.gateway
        self._ambient = together.ambient
        self._timing = together.timing
        self._settlements = together.settlements
        self._tasks = together.tasks
        self._twins = twins
        self._on_unknown = on_unknown
        self._look_up = look_up
        self._flights: dict[str, _Flight] = {}
        self._is_closing = False

    # ------------------------------------------------------------------ callers

    async def place(self, intent: Intent, *, deadline: float | None, is_fresh: bool) -> Order:
        """Place an order, or join the flight that carries its id already, and wait for the answer.

        Args:
            intent: What to send.
            deadline: Seconds to wait; None means `Timing.default_deadline`.
            is_fresh: The id was just generated, so the journal cannot know it.

        Delivery: The intent is durable before the first byte; the answer is durable before it is returned.

        Cancellation: Safe at any moment. Before the first byte it calls the order off, if nobody else waits for it.

        Raises:
            KiwoomError: One of the order errors; see `errors`.
        """
        seconds = self._timing.default_deadline if deadline is None else deadline
        flight = self._board(intent, is_fresh=is_fresh, seconds=seconds)
        flight.passengers += 1
        try:
            with anyio.move_on_after(seconds):
                await flight.landed.wait()
        finally:
            flight.passengers -= 1
            if not flight.is_wanted and flight.stage in _MAY_BE_CALLED_OFF:
                flight.scope.cancel()
        if flight.answer is None:
            raise self._too_late(flight, seconds)
        if isinstance(flight.answer, KiwoomError):
            raise flight.answer
        return flight.answer

    def _board(self, intent: Intent, *, is_fresh: bool, seconds: float) -> _Flight:
        if self._is_closing:
            if is_fresh:
                raise NotSent("The client is closing; nothing was sent.", client_order_id=intent.client_order_id)
            raise OutcomeUnknown(intent.client_order_id, "the client is closing and does not look it up any more")
        flight = self._flights.get(intent.client_order_id)
        if flight is not None and not flight.scope.cancel_called:
            differences = flight.intent.request.differences(intent.request)
            if differences:
                raise ClientOrderIdConflict(intent.client_order_id, differences)
            return flight
        flight = _Flight(intent, is_fresh=is_fresh and flight is None, deadline=self._ambient.monotonic() + seconds)
        self._take_off(flight)
        return flight

    def _too_late(self, flight: _Flight, seconds: float) -> KiwoomError:
        client_order_id = flight.intent.client_order_id
        if flight.is_wanted or flight.may_have_left:
            return unknown_error(client_order_id, flight.last)
        # The guard runs in this event loop right before the first byte, and from now on it refuses.
        return NotSent(
            f"Order {client_order_id!r} was not sent within {seconds:g} s. No byte of it left; you may call again with "
            "the same client_order_id.",
            api_id=order_api_id(flight.intent.request),
            client_order_id=client_order_id,
        )

    def resume(self, intent: Intent) -> None:
        """Carry on with an obligation that an earlier run left behind."""
        if not self._is_closing and intent.client_order_id not in self._flights:
            self._take_off(_Flight(intent, is_fresh=False, deadline=None, is_ours=True))

    async def repeat(self, intent: Intent, unknown: Attempt) -> bool:
        """Send a full cancel once more while the first one is unknown: twice is the same as once.

        Returns:
            Whether it was sent again.
        """
        return await self._send_again(intent, unknown, deadline=None, replaces=None)

    async def resend(self, intent: Intent, absent: Attempt, finding: Finding, *, within: float) -> bool:
        """Send an order again whose last attempt is proven absent.

        The proof and the permission of the new attempt are one transaction: if anything was learnt meanwhile, nothing
        is sent.

        Args:
            intent: The order.
            absent: Its last attempt.
            finding: The proof.
            within: Seconds left in which it may be sent again.

        Returns:
            Whether the attempt was replaced by a new one.
        """
        self._ambient.reached(Checkpoint.DURING_RESEND_DECISION)
        deadline = self._ambient.monotonic() + within
        return await self._send_again(intent, absent, deadline=deadline, replaces=(absent, finding))

    async def _send_again(
        self,
        intent: Intent,
        last: Attempt,
        *,
        deadline: float | None,
        replaces: tuple[Attempt, Finding] | None,
    ) -> bool:
        if self._is_closing:
            return False
        flight = _Flight(intent, is_fresh=False, deadline=deadline, is_ours=True)
        try:
            permission = await self._request_permission(
                flight, last.request, deadline, follows=last.number, replaces=replaces
            )
        except NotSent:
            return False
        if not isinstance(permission, _Ready):
            return False
        # The reconciler goes on meanwhile; the answer rings for whoever waits.
        self._tasks.start(self._fly_alone(flight, permission), f"kiwoom order {intent.client_order_id}, again")
        return True

    async def _fly_alone(self, flight: _Flight, ready: _Ready) -> None:
        await self._fly(flight, ready)

    async def drain(self, seconds: float) -> None:
        """Take no new orders, and wait for the answers of those on the wire, at most some seconds."""
        self._is_closing = True
        for flight in self._flights.values():
            if flight.stage in _MAY_BE_CALLED_OFF:
                flight.scope.cancel()
        with anyio.move_on_after(seconds):
            for flight in tuple(self._flights.values()):
                await flight.landed.wait()

    # ------------------------------------------------------------------ flights

    def _take_off(self, flight: _Flight) -> None:
        client_order_id = flight.intent.client_order_id
        self._flights[client_order_id] = flight
        self._tasks.start(self._run(flight), f"kiwoom order {client_order_id}")

    async def _run(self, flight: _Flight) -> None:
        client_order_id = flight.intent.client_order_id
        try:
            with flight.scope:
                flight.answer = await self._carry(flight)
        except KiwoomError as error:
            flight.answer = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must reach the caller as what it means for the order
            _LOG.exception("order %s met a fault of the library", client_order_id)
            flight.answer = await self._fault(flight, error)
        finally:
            if flight.answer is None:
                flight.answer = self._called_off(flight)
            flight.landed.set()
            if self._flights.get(client_order_id) is flight:
                del self._flights[client_order_id]

    def _called_off(self, flight: _Flight) -> KiwoomError:
        client_order_id = flight.intent.client_order_id
        if flight.may_have_left:
            return unknown_error(client_order_id, flight.last)
        reason = "the client is closing" if self._is_closing else "nobody waits for it any more"
        return NotSent(f"Order {client_order_id!r} was not sent: {reason}.", client_order_id=client_order_id)

    async def _fault(self, flight: _Flight, error: Exception) -> KiwoomError:
        reason = f"a fault of the library, {type(error).__name__}"
        if flight.last is not None and flight.last.state is Delivery.DISPATCHED:
            await self._record(flight.last, self._stamped(Finding(Event.LOST, reason=reason)))
        unsure = OutcomeUnknown(flight.intent.client_order_id, reason)
        unsure.__cause__ = error
        return unsure

    async def _carry(self, flight: _Flight) -> Order | KiwoomError:
        intent = flight.intent
        record = None if flight.is_fresh else await self._journal.find(intent.client_order_id)
        flight.stage = _Stage.ON_THE_GROUND
        request = intent.request
        if record is not None:
            if differences := record.intent.differences(intent):
                raise ClientOrderIdConflict(intent.client_order_id, differences)
            if record.decisive.state not in {Delivery.NOT_SENT, Delivery.PREPARED}:
                return await self._settle(flight, record)
        if request.target is not None:
            aimed = await self._await_target(flight, request)
            if not isinstance(aimed, OrderRequest):
                return aimed
            request = aimed
        permission = await self._request_permission(flight, request, flight.deadline)
        if isinstance(permission, Known):
            return await self._settle(flight, permission.record)
        return await self._fly(flight, permission) or await self._settle(flight, None)

    async def _settle(self, flight: _Flight, record: OrderRecord | None) -> Order | KiwoomError:
        flight.stage = _Stage.SETTLING
        if record is not None:
            flight.last = record.decisive
            answer = answer_of(record)
            if answer is not None:
                return answer
        if self._is_closing or not flight.is_wanted:
            flight.scope.cancel()
        return await self._settlements.wait(flight.intent.client_order_id)

    async def _await_target(self, flight: _Flight, request: OrderRequest) -> OrderRequest | KiwoomError | Order:
        """Keep a cancel of an unknown order until that order is found."""
        assert request.target is not None  # noqa: S101
        prepared = self._prepared_attempt(flight.intent, request)
        known = await self._journal.prepare(flight.intent, prepared)
        attempt = known.attempt if isinstance(known, Dispatched) else known.record.last
        flight.last, flight.is_ours = attempt, True  # from here on the obligation is the library's
        self._on_unknown()
        outcome = await self._settlements.wait(request.target)
        self._ambient.reached(Checkpoint.BEFORE_OBLIGATION)
        if isinstance(outcome, Order) and outcome.broker_order_id is not None:
            flight.stage = _Stage.ON_THE_GROUND
            return request.aimed_at(outcome.broker_order_id)
        reason = f"its target {request.target!r} is not on the book, so there is nothing to cancel"
        if isinstance(outcome, OutcomeUnknown):
            reason = f"its target {request.target!r} was not found before the day was over"
        await self._journal.conclude(attempt, Finding(Event.PROVEN_UNSENT, reason=reason))
        return NotSent(
            f"The cancel {flight.intent.client_order_id!r} was not sent: {reason}.",
            client_order_id=flight.intent.client_order_id,
        )

    def _prepared_attempt(self, intent: Intent, request: OrderRequest) -> Attempt:
        now, monotonic = self._ambient.now(), self._ambient.monotonic()
        return Attempt(
            client_order_id=intent.client_order_id,
            number=1,
            account=intent.account,
            request=request,
            state=Delivery.PREPARED,
            day=korean_day(now),
            mark=0,
            runner=self._journal.runner,
            boot_id=self._ambient.boot_id,
            dispatched_at=now,
            dispatched=monotonic,
            write_until=monotonic,
        )

    # ------------------------------------------------------------------ one send

    async def _request_permission(
        self,
        flight: _Flight,
        request: OrderRequest,
        deadline: float | None,
        *,
        follows: int = 0,
        replaces: tuple[Attempt, Finding] | None = None,
    ) -> _Ready | Known:
        """Do all slow work, then ask the journal; wait for an unresolved twin to settle."""
        call = encode_order(request)
        content = call.to_bytes()
        while True:
            token = await self._gateway.make_ready(call, deadline)
            self._ambient.reached(Checkpoint.BEFORE_COMMIT)
            flight.stage, flight.mark = _Stage.COMMITTING, DeliveryMark()
            permission = await self._commit(flight, self._plan(flight.intent, request, follows), replaces)
            if isinstance(permission, Dispatched):
                flight.last = permission.attempt
                return _Ready(permission.attempt, call, content, token)
            flight.stage = _Stage.ON_THE_GROUND
            if isinstance(permission, Known):
                return permission
            await self._wait_for_twin(flight, permission)

    async def _commit(
        self, flight: _Flight, plan: DispatchPlan, replaces: tuple[Attempt, Finding] | None
    ) -> Permission:
        # To its end: a permission that nobody saw would read as an order that may be at the broker.
        try:
            permission, cancellation = await complete(
                self._journal.dispatch(plan) if replaces is None else self._journal.replace(*replaces, plan)
            )
        except JournalError:
            flight.stage = _Stage.ON_THE_GROUND
            raise
        if cancellation is not None:
            if isinstance(permission, Dispatched):
                finding = Finding(Event.PROVEN_UNSENT, reason="the client was closed before the first byte")
                await complete(self._record(permission.attempt, self._stamped(finding)))
            raise cancellation
        return permission

    def _plan(self, intent: Intent, request: OrderRequest, follows: int) -> DispatchPlan:
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
            # A resend carries a proof about the whole class already.
            waits_for_twins=self._twins is not TwinPolicy.ALLOW and not request.is_repeatable and not follows,
        )

    async def _wait_for_twin(self, flight: _Flight, twin: TwinOpen) -> None:
        client_order_id = flight.intent.client_order_id
        if self._twins is TwinPolicy.FAIL:
            raise NotSent(
                f"Order {client_order_id!r} was not sent: the identical order {twin.client_order_id!r} has an unknown "
                "outcome, and twins='fail'.",
                client_order_id=client_order_id,
            )
        self._on_unknown()
        _LOG.info("order %s waits for its twin %s", client_order_id, twin.client_order_id)
        await self._settlements.wait(twin.client_order_id)

    async def _fly(self, flight: _Flight, ready: _Ready) -> Order | KiwoomError | None:
        """Send once; give the answer, or None where the outcome is not certain.

        A refused token is followed by one more attempt with a new one, only on an intact answer.
        """
        record, outcome = await self._send(flight, ready)
        if isinstance(outcome, Refused) and outcome.meaning is CodeMeaning.TOKEN_REFUSED and record is not None:
            self._gateway.reject_token(ready.token)
            again = await self._request_permission(
                flight, ready.attempt.request, flight.deadline, follows=ready.attempt.number
            )
            if isinstance(again, Known):
                return answer_of(again.record)
            record, outcome = await self._send(flight, again)
        flight.stage = _Stage.SETTLING
        self._settlements.ring(flight.intent.client_order_id)
        if isinstance(outcome, Unclear):
            self._on_unknown()
        return None if record is None else answer_of(record)

    async def _send(self, flight: _Flight, ready: _Ready) -> tuple[OrderRecord | None, Outcome]:
        attempt, mark = ready.attempt, flight.mark
        assert mark is not None, "made with the permission"  # noqa: S101

        def guard() -> None:
            if not flight.is_wanted:
                raise SendAborted("nobody waited for it any more")
            if self._ambient.monotonic() > attempt.write_until:
                raise SendAborted("the time in which it might leave ran out")
            flight.stage = _Stage.IN_THE_AIR
            # The bytes go to the operating system in this turn of the loop or in the next one.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._ambient.reached, Checkpoint.AFTER_WRITE_BEFORE_RESPONSE)

        self._ambient.reached(Checkpoint.AFTER_COMMIT_BEFORE_WRITE)
        try:
            exchange = await self._gateway.send_order(
                ready.call,
                ready.content,
                ready.token,
                client_order_id=attempt.client_order_id,
                guard=guard,
                mark=mark,
            )
        except BaseException:
            # The client is being torn down. What is known now is written down; the rest is for the next start.
            await complete(self._record(attempt, self._interrupted(mark)))
            raise
        self._ambient.reached(Checkpoint.AFTER_RESPONSE_BEFORE_RESULT_COMMIT)
        outcome = classify(exchange, ready.call.api_id)
        finding = await self._find(attempt, outcome)
        concluded, cancellation = await complete(self._record(attempt, finding))
        if cancellation is not None:
            raise cancellation
        if concluded is None:
            raise OutcomeUnknown(attempt.client_order_id, "the answer came and could not be recorded yet")
        self._ambient.reached(Checkpoint.AFTER_RESULT_COMMIT)
        if concluded.number == 1:
            # The usual case, and all the journal knows of the order: no need to read it back.
            return OrderRecord(flight.intent, (concluded,), (), finding.evidence), outcome
        return await self._journal.find(attempt.client_order_id), outcome

    def _interrupted(self, mark: DeliveryMark) -> Finding:
        if mark.may_have_left:
            return self._stamped(Finding(Event.LOST, reason="the client was closed while it waited for the answer"))
        return self._stamped(Finding(Event.PROVEN_UNSENT, reason="the client was closed before the first byte"))

    async def _find(self, attempt: Attempt, outcome: Outcome) -> Finding:
        if isinstance(outcome, Refused) and attempt.request.action is Action.CANCEL and outcome.code in _NOTHING_LEFT:
            status = await self._look_up(attempt)
            if status is not None:
                return self._stamped(_FINDINGS[Refused](outcome), original_status=status.value)
        return self._stamped(_FINDINGS[type(outcome)](outcome))

    def _stamped(self, finding: Finding, **evidence: Any) -> Finding:
        return evolve(
            finding,
            ended=self._ambient.monotonic(),
            ended_at=self._ambient.now(),
            evidence={**finding.evidence, **evidence},
        )

    async def _record(self, attempt: Attempt, finding: Finding) -> Attempt | None:
        """Write what is known now; None if the journal fails, in which case it is written as soon as it can be."""
        try:
            return await self._conclude(attempt, finding)
        except JournalError as error:
            _LOG.error("the outcome of order %s is not recorded yet: %s", attempt.client_order_id, error)
            if not self._is_closing:
                self._tasks.start(self._record_later(attempt, finding), f"kiwoom record {attempt.client_order_id}")
            return None

    async def _record_later(self, attempt: Attempt, finding: Finding) -> None:
        while True:
            await anyio.sleep(self._timing.reconcile_interval)
            with suppress(JournalError):
                await self._conclude(attempt, finding)
                break
        self._settlements.ring(attempt.client_order_id)
        self._on_unknown()

    async def _conclude(self, attempt: Attempt, finding: Finding) -> Attempt:
        conclusion = await self._journal.conclude(attempt, finding)
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


@frozen
class _Ready:
    """A durable permission and everything to use it at once."""

    attempt: Attempt
    call: Call
    content: bytes
    token: Token


def _accepted(outcome: Accepted) -> Finding:
    return Finding(
        Event.ACKNOWLEDGED,
        broker_order_id=outcome.broker_order_id,
        resolved_by=ResolvedBy.RESPONSE,
        is_answered=True,
        evidence={"broker_order_id": outcome.broker_order_id, "quantity": outcome.quantity},
    )


def _refused(outcome: Refused) -> Finding:
    evidence = {"code": outcome.code, "message": outcome.message, "meaning": outcome.meaning.value}
    return Finding(Event.REFUSED, reason=f"refused: {outcome.code}", is_answered=True, evidence=evidence)


def _unsent(outcome: Unsent) -> Finding:
    return Finding(Event.PROVEN_UNSENT, reason=outcome.reason)


def _unclear(outcome: Unclear) -> Finding:
    return Finding(Event.LOST, reason=outcome.reason, is_answered=outcome.is_answered)


_FINDINGS: Final[Mapping[type, Callable[[Any], Finding]]] = {
    Accepted: _accepted,
    Refused: _refused,
    Unsent: _unsent,
    Unclear: _unclear,
}
