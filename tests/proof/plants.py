"""The bugs that are planted to see the simulation find them: each is a mistake that somebody could make."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import count
from operator import attrgetter
from typing import Any, Final

import apsw
import pytest
from attrs import evolve, frozen

from kiwoom_async._client import KiwoomClient
from kiwoom_async._domain import life, relations
from kiwoom_async._domain.absence import AbsenceProof, NotYet, Strength, prove_absence
from kiwoom_async._domain.cancellations import CancelOutcome, CancelResult
from kiwoom_async._domain.events import OrderEvent, OrderEventKind
from kiwoom_async._domain.guards import KillSwitchState, Totals
from kiwoom_async._domain.intents import Attempt, Intent
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.relations import ChannelKnowledge, Claimant, Relation
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder, Snapshot
from kiwoom_async._domain.settings import Credentials
from kiwoom_async._domain.states import Event
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution import findings, resolver, sweeper
from kiwoom_async._execution.book_view import BookView
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._execution.flights import Flight
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.sweeper import Sweeper
from kiwoom_async._journal import claims, conclusions, guards, queries
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.lives import Hearing
from kiwoom_async._journal.records import Finding
from kiwoom_async._order_call import OrderCall
from kiwoom_async._order_form import OrderForm
from kiwoom_async._proof.day import Day, Happening
from kiwoom_async._transport.session import RestSession
from kiwoom_async._wire.exchange import Breakdown, Exchange
from kiwoom_async._wire.outcomes import Unclear
from kiwoom_async.errors import KiwoomError, NotSent, QueryFailed, Refused

Plant = Callable[[pytest.MonkeyPatch], None]


def failed_query_is_an_empty_ledger(patch: pytest.MonkeyPatch) -> None:
    """A look that fails is taken for a look that found nothing."""
    fetch = LedgerReader.fetch_snapshot

    async def careless(self: LedgerReader, desk: Desk, day: date, since: int, **more: Any) -> Snapshot:
        began = self._ambient.monotonic()
        try:
            return await fetch(self, desk, day, since, **more)
        except (QueryFailed, Refused):
            now = self._ambient.monotonic()
            return Snapshot(
                desk=desk, day=day, since=since, rows=(), began=began, finished=now, is_final=False, queries=1
            )

    patch.setattr(LedgerReader, "fetch_snapshot", careless)
    fetch_open = LedgerReader.fetch_open_orders

    async def find_nothing(self: LedgerReader, desk: Desk, symbol: str = "") -> tuple[OpenOrder, ...]:
        try:
            return await fetch_open(self, desk, symbol)
        except (QueryFailed, Refused):
            return ()

    patch.setattr(LedgerReader, "fetch_open_orders", find_nothing)


def high_water_mark_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """Orders that are older than the attempt are candidates."""

    def by_day(claimant: Claimant, row: LedgerOrder) -> Relation:
        return Relation.LIKELY if row.day in claimant.days else Relation.NONE

    checks = tuple(by_day if check is relations._by_day else check for check in relations._CHECKS)
    patch.setattr(relations, "_CHECKS", checks)


def resend_needs_no_proof(patch: pytest.MonkeyPatch) -> None:
    """The first look that does not show an order is a proof that allows a resend."""

    def careless(attempt: Attempt, history: Any, **evidence: Any) -> AbsenceProof | NotYet:
        found = prove_absence(attempt, history, **evidence)
        if isinstance(found, AbsenceProof) or not history or history[-1].candidates:
            return found
        return AbsenceProof(
            attempt_key=attempt.key,
            days=(attempt.day,),
            since_mark=attempt.mark,
            snapshots=(),
            dead_since=0.0,
            proven_at=evidence["now"],
            boot_id=attempt.boot_id,
            witness=None,
            strength=Strength.STRONG,
            acceptance_bound=0.0,
            visibility_bound=0.0,
        )

    patch.setattr(resolver, "prove_absence", careless)
    match = BookView.match_open

    def hasty(self: BookView) -> Any:
        found = match(self)
        unseen = {attempt.key for attempt in self.attempts} - found.bindings.keys() - found.candidates.keys()
        return evolve(found, absent=found.absent | unseen)

    patch.setattr(BookView, "match_open", hasty)


def exception_releases_the_claim(patch: pytest.MonkeyPatch) -> None:
    """An answer that cannot be read is taken for a request that was never sent."""

    def careless(outcome: Unclear) -> Finding:
        return Finding(Event.PROVEN_UNSENT, reason=outcome.reason)

    patch.setattr(findings, "_FINDINGS", {**findings._FINDINGS, Unclear: careless})


def number_is_claimed_twice(patch: pytest.MonkeyPatch) -> None:
    """A number that one of our orders has is given to another one as well."""
    patch.setattr(BookView, "unclaimed_rows", property(lambda self: self.rows))

    def take_over(connection: apsw.Connection, place: Any, number: str, attempt: Attempt, at: Any) -> bool:
        connection.execute(
            "DELETE FROM claims WHERE account = ? AND ledger = ? AND day = ? AND broker_order_id = ?", (*place, number)
        )
        return insert(connection, place, number, attempt, at)

    insert = claims.insert_claim
    for module in (claims, conclusions):
        patch.setattr(module, "insert_claim", take_over)
    patch.setattr(conclusions, "_find_holder", lambda *_: None)


def channel_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    """A person's order is as good as ours."""
    patch.setattr(ChannelKnowledge, "relation", lambda _, __: Relation.LIKELY)


def transport_sends_again(patch: pytest.MonkeyPatch) -> None:
    """A request that breaks is sent once more by the layer that carries it."""
    post = RestSession.post

    async def stubborn(self: RestSession, path: str, **request: Any) -> Exchange:
        exchange = await post(self, path, **request)
        is_order = request.get("guard") is not None
        return await post(self, path, **request) if is_order and isinstance(exchange, Breakdown) else exchange

    patch.setattr(RestSession, "post", stubborn)


def deadline_is_stretched(patch: pytest.MonkeyPatch) -> None:
    """A caller waits longer than it wanted to."""
    place = Dispatcher.place

    async def slow(self: Dispatcher, intent: Intent, *, deadline: float | None, **more: Any) -> Order:
        return await place(self, intent, deadline=None if deadline is None else deadline + 0.5, **more)

    patch.setattr(Dispatcher, "place", slow)


def fill_is_forgotten_between_reads(patch: pytest.MonkeyPatch) -> None:
    """Who goes on listening misses the event that comes next."""
    read = queries.read_order_events

    def careless(connection: apsw.Connection, account: str, since: int, limit: int) -> tuple[OrderEvent, ...]:
        return read(connection, account, since + 1 if since else 0, limit)

    patch.setattr(queries, "read_order_events", careless)


def fill_is_counted_twice(patch: pytest.MonkeyPatch) -> None:
    """What is told of a fill is all that is filled, not what is new."""
    tell = life._tell_fill

    def careless(before: life.Life, filled: life.Life, sight: Any) -> life.News:
        return evolve(tell(before, filled, sight), quantity=filled.filled_quantity)

    patch.setattr(life, "_tell_fill", careless)


def fill_is_never_told(patch: pytest.MonkeyPatch) -> None:
    """Of every second fill no event is written."""
    write, fills = Hearing._write, count(1)

    def careless(self: Hearing, claimed: Any, kind: OrderEventKind, *more: Any, **details: Any) -> None:
        if kind is not OrderEventKind.FILLED or next(fills) % 2:
            write(self, claimed, kind, *more, **details)

    patch.setattr(Hearing, "_write", careless)


def resend_needs_no_permission(patch: pytest.MonkeyPatch) -> None:
    """Every order that is proven absent is sent again, whether its caller has allowed it or not."""
    call = OrderForm.call

    def generous(
        self: OrderForm, request: Any, name: str | None, deadline: float | None, within: float | None, *more: Any
    ) -> OrderCall:
        return call(self, request, name, deadline, 60.0 if within is None else within, *more)

    patch.setattr(OrderForm, "call", generous)


def cancellation_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    """A caller that is canceled is kept until there is an answer."""
    place = Dispatcher.place

    async def deaf(self: Dispatcher, intent: Intent, *, deadline: float | None, **more: Any) -> Order:
        work = asyncio.create_task(place(self, intent, deadline=deadline, **more))
        is_canceled = False
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                is_canceled = True
        if is_canceled:
            work.exception()
            raise asyncio.CancelledError
        return work.result()

    patch.setattr(Dispatcher, "place", deaf)


def timeout_is_told_as_not_sent(patch: pytest.MonkeyPatch) -> None:
    """Who waits no longer is told that no byte has left, and whoever asks later is told the truth."""

    async def lie(_: Dispatcher, flight: Flight, __: float) -> KiwoomError:
        return NotSent("No byte of it left.", client_order_id=flight.intent.client_order_id)

    patch.setattr(Dispatcher, "_too_late", lie)


def acceptance_bound_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A request counts as dead as soon as its sender has given up."""
    patch.setattr(Attempt, "dead_after", lambda self, _: self.ended)


def halt_is_asked_for_too_early(patch: pytest.MonkeyPatch) -> None:
    """Whoever engages the kill switch is told so while orders still leave that had their permission before."""

    async def nobody(_: Journal) -> tuple[Attempt, ...]:
        return ()

    patch.setattr(Journal, "permitted_attempts", nobody)


def halt_is_for_one_process(patch: pytest.MonkeyPatch) -> None:
    """The permission to send does not ask the journal's kill switch."""
    patch.setattr(guards, "read_switch", lambda _: KillSwitchState())


def limits_are_for_one_order(patch: pytest.MonkeyPatch) -> None:
    """What others have sent today does not count."""
    patch.setattr(guards, "read_totals", lambda *_: Totals())


def cancel_all_forgets_what_is_unknown(patch: pytest.MonkeyPatch) -> None:
    """Only what is known to be in the book is canceled."""
    patch.setattr(sweeper, "_MAY_BE_ON_THE_BOOK", frozenset())


def unknown_cancel_is_done(patch: pytest.MonkeyPatch) -> None:
    """A cancel whose answer is not there yet is reported as one that came to its end."""
    cancel = sweeper.Sweeper._cancel

    async def hopeful(self: Sweeper, aim: Any, patience: Any) -> CancelResult:
        result = await cancel(self, aim, patience)
        return evolve(result, outcome=CancelOutcome.FINISHED) if result.outcome is CancelOutcome.UNKNOWN else result

    patch.setattr(Sweeper, "_cancel", hopeful)


def credit_is_taken_for_cash(patch: pytest.MonkeyPatch) -> None:
    """An order for cash may be one on credit."""
    checks = tuple(check for check in relations._CHECKS if check is not relations._by_credit)
    patch.setattr(relations, "_CHECKS", checks)


def dry_run_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A client that should only rehearse sends what it is asked for."""
    begin = KiwoomClient.__init__

    def forgetful(self: KiwoomClient, credentials: Credentials, **settings: Any) -> None:
        begin(self, credentials, **(settings | {"dry_run": False}))

    patch.setattr(KiwoomClient, "__init__", forgetful)


@frozen
class Planted:
    """A plant, and what it must be found by.

    Attributes:
        found_by: Where a violation of one of these promises is told, it is found; anything else is something else.
        may_show: Tells whether a day has what it takes for it to show.
    """

    plant: Plant
    found_by: frozenset[str]
    may_show: Callable[[Day], object] = bool

    def is_found(self, violations: Sequence[str]) -> bool:
        """Tell whether violations of a day show it."""
        return any(violation.split(" ", 1)[0].rstrip(":") in self.found_by for violation in violations)


def _has_outage(day: Day) -> bool:
    return any(event.happening is Happening.LEDGER_AWAY for event in day.events)


def _has_credit(day: Day) -> bool:
    return any(new.desk is Desk.CREDIT for new, *_ in day.chains)


def _has_halt(day: Day) -> bool:
    return day.halt is not None


def _has_rehearsal(day: Day) -> bool:
    return day.rehearsal is not None


def _has_limit(day: Day) -> bool:
    return day.orders_per_day is not None


PLANTS: Final[Mapping[str, Planted]] = {
    plant.__name__: Planted(plant, frozenset(found_by.split()), *may_show)
    for plant, found_by, *may_show in (
        (failed_query_is_an_empty_ledger, "I1 I3", _has_outage),
        (high_water_mark_is_ignored, "I2 I4"),
        (resend_needs_no_proof, "I1"),
        (exception_releases_the_claim, "I1 I3"),
        (number_is_claimed_twice, "I2"),
        (channel_is_not_looked_at, "I4"),
        (transport_sends_again, "I1"),
        (deadline_is_stretched, "P3"),
        (fill_is_forgotten_between_reads, "I6"),
        (fill_is_counted_twice, "I6"),
        (fill_is_never_told, "I6"),
        (resend_needs_no_permission, "I1"),
        (cancellation_is_not_heard, "P3"),
        (timeout_is_told_as_not_sent, "I3"),
        (acceptance_bound_is_ignored, "I1 I3", attrgetter("is_near_bounds")),
        (halt_is_asked_for_too_early, "halt", _has_halt),
        (halt_is_for_one_process, "halt", _has_halt),
        (limits_are_for_one_order, "limit", _has_limit),
        (cancel_all_forgets_what_is_unknown, "sweep", attrgetter("has_sweep")),
        (unknown_cancel_is_done, "sweep", attrgetter("has_sweep")),
        (dry_run_is_ignored, "dry", _has_rehearsal),
        (credit_is_taken_for_cash, "I2 left", _has_credit),
    )
}
