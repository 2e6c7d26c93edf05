"""The way of an order from its caller to its answer.

Every order flies in a task of the client. Callers only wait for it: a deadline, a cancellation or a dying task group
ends the waiting. As long as the first byte has not left, a flight that nobody waits for any more is called off; after
that it reads on, whoever waits.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum, unique
from functools import partial
from typing import Final

import anyio

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.midnight import names_its_original
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.states import UNRESOLVED, Delivery, Event
from kiwoom_async._domain.vocabulary import ResolvedBy
from kiwoom_async._execution.answers import answer_of, unknown_error
from kiwoom_async._execution.flights import MAY_BE_CALLED_OFF, Flight, Stage
from kiwoom_async._execution.sender import Collaborators, Ready, Replacement, Sender, TwoDays
from kiwoom_async._journal.permissions import Dispatched, Known, TwinOpen
from kiwoom_async._journal.records import MAY_BE_SENT_AGAIN, Finding, OrderRecord
from kiwoom_async._transport.limiter import SlotDenied
from kiwoom_async._wire.codes import CodeMeaning
from kiwoom_async._wire.outcomes import Outcome, Refused
from kiwoom_async._wire.requests import order_api_id
from kiwoom_async.errors import (
    AuthenticationError,
    ClientOrderIdConflict,
    JournalError,
    KiwoomError,
    NotSent,
    OutcomeUnknown,
    RequestError,
    ValidationError,
)

_LOG: Final = logging.getLogger("kiwoom_async")


@unique
class TwinPolicy(StrEnum):
    """What happens to an order while an identical one has an unknown outcome."""

    SERIALIZE = "serialize"
    FAIL = "fail"
    ALLOW = "allow"


@unique
class Again(StrEnum):
    """What became of the wish to send an order again."""

    SENT = "sent"
    NOT = "not"
    LATER = "later"
    HELD = "held"
    """Not by this process: its own settings do not allow it, or it is closing."""


AGAIN_PATIENCE: Final = 2.0
"""Seconds that a pass of the reconciler waits for the slot of an order that is sent again; others wait for the pass.
Source: our choice, two requests at the slowest published limit."""


class Dispatcher:
    """Send orders, each at most once, and tell what became of them.

    Args:
        together: Journal, clock and the others.
        sender: Does the sending.
        twins: What an order does while an identical one is unresolved.
        on_unknown: Called when there is something to resolve.
    """

    def __init__(
        self,
        together: Collaborators,
        sender: Sender,
        *,
        twins: TwinPolicy,
        on_unknown: Callable[[], None],
    ) -> None:
        self._journal = together.journal
        self._ambient = together.ambient
        self._timing = together.timing
        self._settlements = together.settlements
        self._tasks = together.tasks
        self._sender = sender
        self._twins = twins
        self._on_unknown = on_unknown
        self._flights: dict[str, Flight] = {}
        self._repeats: set[Flight] = set()
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
            if not flight.is_wanted and flight.stage in MAY_BE_CALLED_OFF:
                flight.scope.cancel()
        answer = await self._too_late(flight, seconds) if flight.answer is None else flight.answer
        if isinstance(answer, KiwoomError):
            raise answer
        return answer

    def _board(self, intent: Intent, *, is_fresh: bool, seconds: float) -> Flight:
        if self._is_closing:
            if is_fresh:
                raise NotSent("The client is closing; nothing was sent.", client_order_id=intent.client_order_id)
            raise OutcomeUnknown(intent.client_order_id, "the client is closing and does not look it up any more")
        flight = self._flights.get(intent.client_order_id)
        if flight is not None and not flight.scope.cancel_called:
            if differences := flight.intent.differences(intent):
                raise ClientOrderIdConflict(intent.client_order_id, differences)
            return flight
        flight = Flight(intent, is_fresh=is_fresh and flight is None, deadline=self._ambient.monotonic() + seconds)
        self._take_off(flight)
        return flight

    async def _too_late(self, flight: Flight, seconds: float) -> Order | KiwoomError:
        client_order_id = flight.intent.client_order_id
        if flight.is_wanted or flight.may_have_left:
            return unknown_error(client_order_id, flight.last)
        # The guard runs in this event loop right before the first byte, and from now on it refuses.
        elsewhere = await self._told_elsewhere(flight)
        if elsewhere is not None:
            return elsewhere
        return NotSent(
            f"Order {client_order_id!r} was not sent within {seconds:g} s. No byte of it left; you may call again with "
            "the same client_order_id.",
            api_id=order_api_id(flight.intent.request),
            client_order_id=client_order_id,
        )

    async def drain(self, seconds: float) -> None:
        """Take no new orders, and wait for the answers of those on the wire, at most some seconds."""
        self._is_closing = True
        for flight in self._flights.values():
            if flight.stage in MAY_BE_CALLED_OFF:
                flight.scope.cancel()
        with anyio.move_on_after(seconds):
            for flight in (*self._flights.values(), *self._repeats):
                await flight.landed.wait()

    # ------------------------------------------------------------------ the reconciler

    def resume(self, intent: Intent) -> None:
        """Carry on with an obligation that an earlier run left behind."""
        if not self._is_closing and intent.client_order_id not in self._flights:
            self._take_off(Flight(intent, is_fresh=False, deadline=None, is_ours=True))

    async def repeat(self, intent: Intent, unknown: Attempt) -> bool:
        """Send a full cancel once more while the first one is unknown: twice is the same as once.

        Returns:
            Whether it was sent again.
        """
        deadline = self._ambient.monotonic() + AGAIN_PATIENCE
        return await self._send_again(intent, unknown, deadline=deadline, replaces=None) is Again.SENT

    async def resend(self, intent: Intent, absent: Attempt, finding: Finding, *, within: float) -> Again:
        """Send an order again whose last attempt is proven absent.

        The proof and the permission of the new attempt are one transaction: if anything was learnt meanwhile, nothing
        is sent.

        Args:
            intent: The order.
            absent: Its last attempt.
            finding: The proof.
            within: Seconds left in which it may be sent again.

        Returns:
            Whether the attempt was replaced by a new one. LATER: the rate limit has no room now, or midnight is near,
            and there is time left, so it is to be proven absent anew and tried again. HELD: the same, but what holds it
            back is this process's own, and the order is another one's.
        """
        self._ambient.reached(Checkpoint.DURING_RESEND_DECISION)
        deadline = self._ambient.monotonic() + min(within, AGAIN_PATIENCE)
        sent = await self._send_again(intent, absent, deadline=deadline, replaces=Replacement(absent, finding))
        if sent is Again.LATER and within > AGAIN_PATIENCE:
            return sent
        if sent in {Again.LATER, Again.HELD}:
            return Again.HELD if await self._may_others_send(intent) else Again.NOT
        return sent

    async def _may_others_send(self, intent: Intent) -> bool:
        """Tell whether an order that this process holds back may be sent by another one, and so is not over."""
        if (await self._journal.kill_switch()).is_engaged:
            return False  # which holds everybody
        record = await self._journal.find(intent.client_order_id)
        is_own = record is not None and record.owner == self._journal.runner
        return not is_own and not await self._journal.is_alone()

    async def _send_again(
        self, intent: Intent, last: Attempt, *, deadline: float, replaces: Replacement | None
    ) -> Again:
        if self._is_closing:
            return Again.HELD
        flight = Flight(intent, is_fresh=False, deadline=deadline, is_ours=True)
        try:
            ready = await self._sender.request_permission(
                flight, last.request, deadline, follows=last, replaces=replaces
            )
        except (NotSent, ValidationError) as error:
            _LOG.info("order %s is not sent again: %s", intent.client_order_id, error)
            return Again.LATER if isinstance(error.__cause__, SlotDenied | TwoDays) else Again.HELD
        if not isinstance(ready, Ready):
            return Again.NOT
        # The reconciler goes on meanwhile; the answer rings for whoever waits. Their flight has the id, this one none.
        self._repeats.add(flight)
        self._tasks.start(
            self._run(flight, partial(self._fly, flight, ready)), f"kiwoom order {intent.client_order_id}, again"
        )
        return Again.SENT

    async def tell_early(self, client_order_id: str) -> None:
        """Give the answer to whoever waits for an order whose own answer is late; that one is read to its end."""
        flight = self._flights.get(client_order_id)
        if flight is None or flight.stage is not Stage.IN_THE_AIR:
            return
        record = await self._journal.find(client_order_id)
        answer = None if record is None else answer_of(record)
        if answer is not None and not flight.landed.is_set():
            flight.answer = answer
            flight.landed.set()

    # ------------------------------------------------------------------ flights

    def _take_off(self, flight: Flight) -> None:
        client_order_id = flight.intent.client_order_id
        self._flights[client_order_id] = flight
        self._tasks.start(self._run(flight, partial(self._carry, flight)), f"kiwoom order {client_order_id}")

    async def _run(self, flight: Flight, work: Callable[[], Awaitable[Order | KiwoomError | None]]) -> None:
        client_order_id = flight.intent.client_order_id
        try:
            with flight.scope:
                flight.answer = await work()
            if flight.answer is None:
                flight.answer = await self._called_off(flight)
        except KiwoomError as error:
            flight.answer = self._stopped_by(flight, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must reach the caller as what it means for the order
            _LOG.exception("order %s met a fault of the library", client_order_id)
            flight.answer = await self._fault(flight, error)
        finally:
            if flight.answer is None:
                flight.answer = self._cut_off(flight)
            flight.landed.set()
            self._repeats.discard(flight)
            if self._flights.get(client_order_id) is flight:
                del self._flights[client_order_id]

    def _stopped_by(self, flight: Flight, error: KiwoomError) -> KiwoomError:
        """Say what an error on the way means for the order."""
        # An obligation stands until it is carried out; and a journal that fails once the order may have left, or before
        # it was looked up, does not mean that nothing was sent.
        is_no_answer = flight.is_ours or (isinstance(error, JournalError) and flight.may_have_left)
        if isinstance(error, RequestError):  # whoever has raised it need not know for which order
            error.client_order_id = flight.intent.client_order_id
        if not is_no_answer:
            return error
        unsure = unknown_error(flight.intent.client_order_id, flight.last)
        unsure.__cause__ = error
        return unsure

    async def _called_off(self, flight: Flight) -> Order | KiwoomError:
        """Say what became of a flight that was called off; another process may have sent the order meanwhile."""
        elsewhere = None if flight.may_have_left else await self._told_elsewhere(flight)
        return self._not_left(flight) if elsewhere is None else elsewhere

    def _cut_off(self, flight: Flight) -> KiwoomError:
        """Say what became of a flight whose task was ended, so that it cannot ask the journal any more.

        Another process may have sent the order since it was looked up, unless nobody else can have its id.
        """
        is_unsent = flight.is_unsent and not flight.is_ours  # what is owed is carried out by the next start
        if flight.may_have_left or is_unsent or (flight.is_fresh and flight.last is None):
            return self._not_left(flight)
        return OutcomeUnknown(flight.intent.client_order_id, "the client is closing and does not look it up any more")

    def _not_left(self, flight: Flight) -> KiwoomError:
        client_order_id = flight.intent.client_order_id
        if flight.may_have_left:
            return unknown_error(client_order_id, flight.last)
        reason = "the client is closing" if self._is_closing else "nobody waits for it any more"
        return NotSent(f"Order {client_order_id!r} was not sent: {reason}.", client_order_id=client_order_id)

    async def _fault(self, flight: Flight, error: Exception) -> Order | KiwoomError:
        reason = f"a fault of the library, {type(error).__name__}"
        if flight.stage is Stage.ON_THE_GROUND and flight.last is None and not flight.is_ours:
            elsewhere = await self._told_elsewhere(flight)
            if elsewhere is not None:
                return elsewhere
            unsent = NotSent(
                f"Order {flight.intent.client_order_id!r} was not sent: {reason}. No byte of it left.",
                api_id=order_api_id(flight.intent.request),
                client_order_id=flight.intent.client_order_id,
            )
            unsent.__cause__ = error
            return unsent
        if flight.last is not None and flight.last.state is Delivery.DISPATCHED:
            await self._sender.record(flight.last, self._sender.stamp(Finding(Event.LOST, reason=reason)))
            self._on_unknown()
        unsure = OutcomeUnknown(flight.intent.client_order_id, reason)
        unsure.__cause__ = error
        return unsure

    async def _carry(self, flight: Flight) -> Order | KiwoomError:
        """Look the id up, get the permission, send, and settle."""
        intent = flight.intent
        record = None if flight.is_fresh else await self._journal.find(intent.client_order_id)
        flight.stage = Stage.ON_THE_GROUND
        if record is not None:
            if differences := record.intent.differences(intent):
                raise ClientOrderIdConflict(intent.client_order_id, differences)
            if not record.may_be_sent:
                return await self._settle(flight, record)
            if record.last.state is Delivery.PREPARED:
                # It stands whatever becomes of this call, so nobody may be told that it was not sent.
                flight.last, flight.is_ours = record.last, True
        request = intent.request
        if request.is_obligation:
            aimed = await self._await_target(flight)
            if not isinstance(aimed, OrderRequest):
                return aimed
            request = aimed
        try:
            permission = await self._get_permission(flight, request)
        except (NotSent, AuthenticationError, ValidationError):
            if (elsewhere := await self._find_sent(flight)) is None:
                raise
            return await self._settle(flight, elsewhere)
        if isinstance(permission, Known):
            return await self._settle(flight, permission.record)
        return await self._fly(flight, permission) or await self._settle(flight, None)

    async def _find_sent(self, flight: Flight) -> OrderRecord | None:
        """Look for an order of this id that another process has sent, or owes, since it was looked up: one answer."""
        record = None if flight.is_fresh else await self._journal.find(flight.intent.client_order_id)
        if record is None:
            return None
        is_owed_elsewhere = record.last.state is Delivery.PREPARED and not flight.is_ours
        if record.may_be_sent and not is_owed_elsewhere:
            return None
        if differences := record.intent.differences(flight.intent):
            raise ClientOrderIdConflict(flight.intent.client_order_id, differences)
        return record

    async def _told_elsewhere(self, flight: Flight) -> Order | KiwoomError | None:
        """Give what the id means if another process has sent it meanwhile, or may have; None if nobody has."""
        client_order_id = flight.intent.client_order_id
        try:
            record = await self._find_sent(flight)
        except ClientOrderIdConflict as conflict:
            return conflict
        except JournalError as error:
            unsure = unknown_error(client_order_id, flight.last)
            unsure.__cause__ = error
            return unsure
        return None if record is None else answer_of(record) or unknown_error(client_order_id, record.decisive)

    async def _get_permission(self, flight: Flight, request: OrderRequest) -> Ready | Known:
        while True:
            # An obligation has no deadline: it is carried out whenever its target is found.
            deadline = None if flight.is_ours else flight.deadline
            permission = await self._sender.request_permission(flight, request, deadline)
            if not isinstance(permission, TwinOpen):
                return permission
            await self._wait_for_twin(flight, permission)

    async def _wait_for_twin(self, flight: Flight, twin: TwinOpen) -> None:
        client_order_id = flight.intent.client_order_id
        if self._twins is TwinPolicy.FAIL:
            raise NotSent(
                f"Order {client_order_id!r} was not sent: the identical order {twin.client_order_id!r} has an unknown "
                "outcome, and twins='fail'."
            )
        self._on_unknown()
        _LOG.info("order %s waits for its twin %s", client_order_id, twin.client_order_id)
        await self._settlements.wait(twin.client_order_id)

    async def _await_target(self, flight: Flight) -> OrderRequest | Order | KiwoomError:
        """Keep a cancel of an unknown order, durably, until that order is found."""
        intent = flight.intent
        target = intent.request.target
        assert target is not None, "the desk names an order by its number or by its id"  # noqa: S101
        # A write that was begun is carried out, so from here on the cancel may be owed whatever becomes of this call.
        flight.is_ours = True
        try:
            known = await self._journal.prepare(intent, self._sender.plan_obligation(intent))
        except ClientOrderIdConflict:
            flight.is_ours = False
            raise
        attempt = known.attempt if isinstance(known, Dispatched) else known.record.last
        flight.last = attempt
        self._on_unknown()
        outcome = await self._settlements.wait(target)
        self._ambient.reached(Checkpoint.BEFORE_OBLIGATION)
        if isinstance(outcome, Order) and outcome.broker_order_id is not None:
            aimed = intent.request.aimed_at(outcome.broker_order_id, outcome.day)
            if names_its_original(aimed, self._ambient.now(), attempt.bounds(self._timing)):
                return aimed
        reason = f"its target {target!r} is not on the book, so there is nothing to cancel"
        if isinstance(outcome, Order | OutcomeUnknown):
            reason = f"its target {target!r} was not found before the day was over"
        await self._journal.conclude(attempt, Finding(Event.PROVEN_UNSENT, reason=reason))
        return NotSent(
            f"The cancel {intent.client_order_id!r} was not sent: {reason}.",
            client_order_id=intent.client_order_id,
        )

    async def _fly(self, flight: Flight, ready: Ready) -> Order | KiwoomError | None:
        """Send once; give the answer, or None where the outcome is not certain.

        A refused token is followed by one more attempt with a new one, only on an intact answer. Its permission and
        the refusal are one transaction, so that nobody takes the refusal for the answer.
        """
        outcome, finding = await self._send(flight, ready)
        if isinstance(outcome, Refused) and outcome.meaning is CodeMeaning.TOKEN_REFUSED:
            again = await self._replace_refused(flight, ready.attempt, finding)
            if again is not None:
                ready = again
                outcome, finding = await self._send(flight, again)
        return await self._land(flight, ready.attempt, finding)

    async def _send(self, flight: Flight, ready: Ready) -> tuple[Outcome, Finding]:
        outcome, finding = await self._sender.send(flight, ready)
        if isinstance(outcome, Refused) and outcome.meaning is CodeMeaning.TOKEN_REFUSED:
            self._sender.reject_token(ready.token)
        return outcome, finding

    async def _replace_refused(self, flight: Flight, attempt: Attempt, finding: Finding) -> Ready | None:
        try:
            again = await self._sender.request_permission(
                flight, attempt.request, flight.deadline, follows=attempt, replaces=Replacement(attempt, finding)
            )
        except KiwoomError as error:
            _LOG.info("order %s gets no second attempt: %s", attempt.client_order_id, error)
            return None
        return again if isinstance(again, Ready) else None

    async def _land(self, flight: Flight, attempt: Attempt, finding: Finding) -> Order | KiwoomError | None:
        recorded = await self._sender.record_to_the_end(attempt, finding)
        flight.stage = Stage.SETTLING
        if recorded is None:
            raise OutcomeUnknown(attempt.client_order_id, "the answer came and could not be recorded yet")
        self._settlements.ring(attempt.client_order_id)
        if recorded.state in UNRESOLVED:
            self._on_unknown()
        # A refused token whose second permission failed: that one may be in the journal all the same.
        may_be_followed = recorded.state is Delivery.NOT_ACCEPTED or MAY_BE_SENT_AGAIN in finding.evidence
        is_of_its_day = finding.claim_day in {None, recorded.day}
        # Found on the ledger meanwhile, it may have fills already.
        is_first_told = recorded.resolved_by in {None, ResolvedBy.RESPONSE}
        if recorded.number == 1 and is_of_its_day and is_first_told and not may_be_followed:
            # The usual case, and all the journal knows of the order: no need to read it back.
            return answer_of(OrderRecord(flight.intent, (recorded,), (), finding.evidence))
        record = await self._journal.find(attempt.client_order_id)
        return None if record is None else answer_of(record)

    async def _settle(self, flight: Flight, record: OrderRecord | None) -> Order | KiwoomError:
        """Give the answer of an order that is sent, or wait for it as long as somebody does."""
        flight.stage = Stage.SETTLING
        if record is not None:
            flight.last = record.decisive
            answer = answer_of(record)
            if answer is not None:
                return answer
        if self._is_closing or not flight.is_wanted:
            flight.scope.cancel()
        return await self._settlements.wait(flight.intent.client_order_id)
