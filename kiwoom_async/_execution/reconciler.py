"""Asking the broker what became of orders whose outcome is not known, and drawing no conclusion too many.

One pass looks at each ledger once, for everything that is unresolved; what it may conclude is decided by the pure
`_domain.matching` and `_domain.absence`. Nothing here ever sends an order because a query failed or a timer ran out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final

import anyio
import anyio.to_thread
from attrs import define, field

from kiwoom_async._domain.absence import AbsenceProof, NotYet, Round, prove_absence
from kiwoom_async._domain.ambient import Ambient, Checkpoint, korean_day
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.matching import Matching
from kiwoom_async._domain.reconciliation import ForeignOrder, ReconciliationReport, UnresolvedOrder
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import UNRESOLVED, Delivery, Event
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, ResolvedBy
from kiwoom_async._execution.book_view import BookView
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, to_plain
from kiwoom_async._journal.transactions import LedgerNews
from kiwoom_async.errors import KiwoomError, QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")

LEASE: Final = "reconciler"
LEASE_SECONDS: Final = 60.0
"""How long one pass may take before another process may begin one. Source: our choice; a pass is a handful of
requests, and two passes at once are wasteful but not dangerous."""

IDLE_INTERVAL: Final = 5.0
"""Seconds between two looks into the journal for what other processes left behind. Source: our choice."""

SLOWEST: Final = 8
"""Looks that bring nothing new are spaced out, up to this many reconcile intervals. Source: our choice."""

MOST_CANCELS: Final = 5
"""How often a full cancel of unknown outcome is sent in all. Source: our choice."""

MATCHED_AT_ONCE: Final = 1_000
"""Pairs of attempts and rows up to which matching runs on the event loop; more go to a thread. Source: a pair costs
microseconds, and a bot's loop should not stand still for more than a few milliseconds."""

OVERDUE_GRACE: Final = 1.0
"""Seconds past its own time limits after which another process's send counts as lost. Source: our choice."""


@define
class _Findings:
    """What a pass has found so far."""

    resolved: list[str] = field(factory=list)
    foreign: list[ForeignOrder] = field(factory=list)
    alarms: list[str] = field(factory=list)
    why: dict[str, str] = field(factory=dict)
    next_look: list[float] = field(factory=list)


class Reconciler:
    """Resolve what is unresolved, in the background and on demand."""

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        ambient: Ambient,
        timing: Timing,
        environment: Environment,
        settlements: Settlements,
        *,
        is_exclusive: bool,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._ambient = ambient
        self._timing = timing
        self._environment = environment
        self._settlements = settlements
        self._is_exclusive = is_exclusive
        self._dispatcher: Dispatcher | None = None
        self._bell = anyio.Event()
        self._pass = anyio.Lock()
        self._rounds: dict[str, list[Round]] = {}
        self._idle_passes = 0
        self._next_watch = 0.0

    def attach(self, dispatcher: Dispatcher) -> None:
        """Name who sends again what may be sent again."""
        self._dispatcher = dispatcher

    def wake(self) -> None:
        """Tell that there is something to resolve."""
        self._idle_passes = 0
        self._bell.set()

    # ------------------------------------------------------------------ when

    async def run(self) -> None:
        """Reconcile for as long as the client lives: at once when woken, and in growing steps while nothing changes."""
        while True:
            self._bell = anyio.Event()
            began = self._ambient.monotonic()
            try:
                pause = await self._work()
            except KiwoomError as error:
                _LOG.warning("reconciliation goes on later: %s", error)
                pause = self._timing.reconcile_interval
            with anyio.move_on_after(pause):
                await self._bell.wait()
            # Whatever became unknown meanwhile is resolved by the same look.
            rest = began + self._timing.reconcile_interval - self._ambient.monotonic()
            await anyio.sleep(max(0.0, rest))

    async def _work(self) -> float:
        await self._journal.adopt_orphans()
        attempts = await self._journal.open_attempts()
        is_watch_due = self._ambient.monotonic() >= self._next_watch
        watched = await self._watched() if is_watch_due else ()
        if not any(self._needs_work(attempt) for attempt in attempts) and not watched:
            return IDLE_INTERVAL
        found = await self._take_turn()
        if found is None:
            return self._timing.reconcile_interval
        self._idle_passes = 0 if found.resolved else self._idle_passes + 1
        slow = self._timing.reconcile_interval * min(2.0 ** (self._idle_passes - 1), SLOWEST)
        now = self._ambient.monotonic()
        due = [moment - now for moment in found.next_look if moment > now]
        return max(0.0, min([slow, *due]))

    def _needs_work(self, attempt: Attempt) -> bool:
        return (
            attempt.state in UNRESOLVED
            or self._is_overdue(attempt)
            or (attempt.state is Delivery.PREPARED and attempt.runner == self._journal.runner)
        )

    def _is_overdue(self, attempt: Attempt) -> bool:
        # Only another process's: a send of our own always reports its end.
        limit = attempt.write_until + self._timing.response_timeout + OVERDUE_GRACE
        return (
            attempt.state is Delivery.DISPATCHED
            and attempt.runner != self._journal.runner
            and attempt.boot_id == self._ambient.boot_id
            and self._ambient.monotonic() > limit
        )

    async def _watched(self) -> tuple[Attempt, ...]:
        """Give the attempts proven absent whose day may still prove us wrong."""
        today = korean_day(self._ambient.now())
        watched = await self._journal.watched_attempts(today - timedelta(days=1))
        return tuple(attempt for attempt in watched if attempt.state is Delivery.NOT_ACCEPTED)

    async def reconcile(self) -> ReconciliationReport:
        """Do one full pass now; wait for one that is under way.

        Raises:
            KiwoomError: The journal or the broker could not be asked; nothing was concluded from that.
        """
        self._next_watch = 0.0
        while True:
            await self._journal.adopt_orphans()
            before = self._reader.queries
            found = await self._take_turn()
            if found is not None:
                return await self._report(found, self._reader.queries - before)
            await anyio.sleep(self._timing.reconcile_interval)

    async def _take_turn(self) -> _Findings | None:
        """Do one pass, if no other process is at it."""
        async with self._pass:
            if await self._journal.take_lease(LEASE, LEASE_SECONDS) is None:
                return None
            try:
                return await self._do_pass()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._journal.release_lease(LEASE)

    async def _report(self, found: _Findings, queries: int) -> ReconciliationReport:
        return ReconciliationReport(
            resolved=tuple(found.resolved),
            unresolved=await self.list_unresolved(found.why),
            foreign=tuple(found.foreign),
            alarms=tuple(found.alarms),
            queries=queries,
        )

    async def list_unresolved(self, why: dict[str, str] | None = None) -> tuple[UnresolvedOrder, ...]:
        """List every order without an answer, from the journal alone."""
        week = korean_day(self._ambient.now()) - timedelta(days=7)
        left = [
            attempt
            for attempt in await self._journal.watched_attempts(week)
            if attempt.state is Delivery.UNRESOLVED_AT_CLOSE
        ]
        attempts = [*left, *await self._journal.open_attempts()]
        return tuple(
            UnresolvedOrder(
                client_order_id=attempt.client_order_id,
                attempt=attempt.number,
                state=attempt.state,
                since=attempt.dispatched_at,
                why=(why or {}).get(attempt.key) or attempt.reason or "it is being sent",
                candidates=self._last_candidates(attempt),
            )
            for attempt in attempts
        )

    def _last_candidates(self, attempt: Attempt) -> tuple[str, ...]:
        rounds = self._rounds.get(attempt.key)
        return rounds[-1].candidates if rounds else ()

    # ------------------------------------------------------------------ one pass

    async def _do_pass(self) -> _Findings:
        found = _Findings()
        attempts = await self._journal.open_attempts()
        for attempt in attempts:
            if self._is_overdue(attempt):
                await self._declare_lost(attempt)
            elif attempt.state is Delivery.PREPARED and attempt.runner == self._journal.runner:
                await self._resume(attempt)
        attempts = await self._journal.open_attempts()
        watched: tuple[Attempt, ...] = ()
        if self._ambient.monotonic() >= self._next_watch:
            watched = await self._watched()
            self._next_watch = self._ambient.monotonic() + self._timing.watch_interval
        wanted = [attempt for attempt in attempts if attempt.state in UNRESOLVED]
        for desk in dict.fromkeys(attempt.request.desk.ledger for attempt in [*wanted, *watched]):
            try:
                await self._reconcile_desk(desk, _of(desk, wanted), _of(desk, watched), found)
            except (QueryFailed, Refused) as error:
                # A failed look is no look. What it would have been for stays as it is.
                _LOG.info("a look at the %s ledger failed: %s", desk.value, error)
                found.why.update((attempt.key, f"the last look failed: {error}") for attempt in _of(desk, wanted))
        self._forget_settled(wanted)
        return found

    def _forget_settled(self, wanted: Iterable[Attempt]) -> None:
        open_keys = {attempt.key for attempt in wanted}
        for key in [key for key in self._rounds if key not in open_keys]:
            del self._rounds[key]

    async def _declare_lost(self, attempt: Attempt) -> None:
        reason = "the process that sent it does not answer"
        finding = Finding(
            Event.LOST,
            reason=reason,
            ended=attempt.write_until,
            ended_at=attempt.dispatched_at + timedelta(seconds=attempt.write_until - attempt.dispatched),
        )
        await self._journal.conclude(attempt, finding)

    async def _resume(self, attempt: Attempt) -> None:
        record = await self._journal.find(attempt.client_order_id)
        if record is not None and self._dispatcher is not None:
            self._dispatcher.resume(record.intent)

    async def _reconcile_desk(
        self, desk: Desk, wanted: Sequence[Attempt], watched: Sequence[Attempt], found: _Findings
    ) -> None:
        self._ambient.reached(Checkpoint.BEFORE_LEDGER_QUERY)
        view = await self._take_view(desk, wanted, watched)
        if missing := view.unlisted_own_orders():
            found.alarms.append(f"the ledger does not list our order {missing[0]}; nothing is concluded from it")
            raise QueryFailed("ledger", f"it does not list our order {missing[0]}: it is stale or incomplete")
        matching = await self._match(view)
        found.alarms += [f"{alarm.kind.value}: {len(alarm.orders)} orders" for alarm in matching.alarms]
        await self._bind(matching, view, found)
        await self._note_candidates(matching, view)
        await self._repeat_cancels(matching, view, found)
        await self._judge_absent(matching, view, found)
        await self._revive(matching, view, found)
        await self._note_ledger(matching, view, found)

    async def _match(self, view: BookView) -> Matching:
        if len(view.attempts) * len(view.unclaimed_rows) < MATCHED_AT_ONCE:
            return view.match_open()
        return await anyio.to_thread.run_sync(view.match_open)

    async def _take_view(self, desk: Desk, wanted: Sequence[Attempt], watched: Sequence[Attempt]) -> BookView:
        today = korean_day(self._ambient.now())
        since: dict[date, int] = {}
        for attempt in [*wanted, *watched]:
            for day in attempt.days(self._timing, self._environment):
                if day <= today:
                    mark = attempt.mark if day == attempt.day else 0
                    since[day] = min(since.get(day, mark), mark)
        snapshots: list[Snapshot] = []
        for day, number in sorted(since.items()):
            snapshots.append(await self._reader.fetch_snapshot(desk, day, number))
        # Only now: whatever the snapshots list, the journal has known for longer.
        attempts = _of(desk, await self._journal.open_attempts())
        claims = {}
        for day, number in since.items():
            for broker_order_id, claimed in (await self._journal.claims(desk, day, number)).items():
                claims[day, broker_order_id] = claimed
        sent = tuple(attempt for attempt in attempts if attempt.state is not Delivery.PREPARED)
        return BookView(
            desk=desk,
            snapshots=tuple(snapshots),
            attempts=sent,
            watched=tuple(watched),
            claims=claims,
            channels=await self._journal.channels(desk),
            ancestors={attempt.key: await self._ancestors(attempt) for attempt in sent},
            timing=self._timing,
            environment=self._environment,
            boot_id=self._ambient.boot_id,
            is_exclusive=self._is_exclusive,
        )

    async def _ancestors(self, attempt: Attempt) -> frozenset[str]:
        """Follow a chain of modifies to its root: the ledger may name any number of it."""
        numbers: list[str] = []
        number = attempt.request.original
        while number is not None and number not in numbers:
            numbers.append(number)
            claim = await self._journal.claim_of(attempt.request.desk, attempt.day, number)
            record = None if claim is None else await self._journal.find(claim.client_order_id)
            number = None if record is None else record.decisive.request.original
        return frozenset(numbers[1:])

    # ------------------------------------------------------------------ conclusions

    async def _bind(self, matching: Matching, view: BookView, found: _Findings) -> None:
        for attempt in view.attempts:
            row = matching.bindings.get(attempt.key)
            if row is not None:
                self._ambient.reached(Checkpoint.BEFORE_CLAIM_COMMIT)
                await self._conclude(attempt, _claim_finding(row, Event.ACKNOWLEDGED), found)
                self._ambient.reached(Checkpoint.AFTER_CLAIM_COMMIT)

    async def _conclude(self, attempt: Attempt, finding: Finding, found: _Findings) -> None:
        conclusion = await self._journal.conclude(attempt, finding)
        if conclusion.contradiction is not None:
            found.alarms.append(f"order {attempt.client_order_id}: {conclusion.contradiction}")
            _LOG.error("contradicting evidence about order %s: %s", attempt.client_order_id, conclusion.contradiction)
            return
        if conclusion.attempt.state not in UNRESOLVED:
            found.resolved.append(attempt.client_order_id)
            self._settlements.ring(attempt.client_order_id)

    async def _note_candidates(self, matching: Matching, view: BookView) -> None:
        for attempt in view.attempts:
            candidates = matching.candidates.get(attempt.key, ())
            numbers = ", ".join(row.broker_order_id for row in candidates)
            if candidates and attempt.state in UNRESOLVED:
                self._remember(attempt, view.look(candidates))
                reason = f"it may be any of the orders {numbers}"
                if attempt.state is not Delivery.CANDIDATES or attempt.reason != reason:
                    await self._journal.conclude(attempt, Finding(Event.CANDIDATES_SIGHTED, reason=reason))
            elif attempt.state is Delivery.CANDIDATES and attempt.key not in matching.bindings:
                await self._journal.conclude(
                    attempt, Finding(Event.CANDIDATES_GONE, reason="its candidates turned out to be others'")
                )

    def _remember(self, attempt: Attempt, look: Round) -> None:
        rounds = self._rounds.setdefault(attempt.key, [])
        rounds.append(look)
        # The first looks after the bounds and the latest ones are all a proof needs.
        del rounds[8:-8]

    async def _judge_absent(self, matching: Matching, view: BookView, found: _Findings) -> None:
        checked: str | None = None
        for attempt in view.attempts:
            if attempt.state not in UNRESOLVED or attempt.key in matching.bindings or attempt.request.is_repeatable:
                continue
            if attempt.key not in matching.candidates:
                self._remember(attempt, view.look())
            verdict = self._prove(attempt, view)
            if isinstance(verdict, NotYet):
                found.why[attempt.key] = f"{attempt.reason}; {verdict.reason.value}"
                found.next_look += [] if verdict.not_before is None else [verdict.not_before]
                await self._close_day(attempt, view, found)
                continue
            if attempt.key not in matching.absent:
                continue
            if checked is None:
                checked = await self._check_open_orders(view)
            flaw = checked or await self._check_original(attempt)
            if flaw:
                found.why[attempt.key] = flaw
                self._rounds.pop(attempt.key, None)
                continue
            await self._accept_absence(attempt, verdict, found)

    def _prove(self, attempt: Attempt, view: BookView) -> AbsenceProof | NotYet:
        return prove_absence(
            attempt,
            self._rounds.get(attempt.key, []),
            now_monotonic=self._ambient.monotonic(),
            now=self._ambient.now(),
            boot_id=self._ambient.boot_id,
            timing=self._timing,
            environment=self._environment,
            own_dispatches=view.own_dispatches,
        )

    async def _check_open_orders(self, view: BookView) -> str:
        """Say what contradicts the ledger's completeness; empty where nothing does."""
        if all(snapshot.is_final for snapshot in view.snapshots):
            return ""
        missing = view.unlisted_open_orders(await self._reader.fetch_open_orders(view.desk))
        return f"open order {missing[0]} is not in the ledger, which is therefore incomplete" if missing else ""

    async def _check_original(self, attempt: Attempt) -> str:
        """Say what a modify or cancel without a row of its own may have done to its original all the same.

        The mock has been seen to list a cancel only by what it took from the original [M].
        """
        if attempt.request.original is None:
            return ""
        rows = await self._fetch_chain(attempt)
        original = next((row for row in rows if row.broker_order_id == attempt.request.original), None)
        if original is None:
            return "its original is not listed, so nothing shows that it was left alone"
        explained = sum(row.confirmed_quantity for row in rows if row.original == original.broker_order_id)
        if original.quantity > original.filled_quantity + await self._fetch_leaves(original) + explained:
            return "its original lost a quantity that no listed row explains"
        return ""

    async def _fetch_leaves(self, row: LedgerOrder) -> int:
        """Read what is left of an order in the book, from the open orders where the ledger does not tell."""
        if row.leaves_quantity is not None:
            return row.leaves_quantity
        open_orders = await self._reader.fetch_open_orders(row.desk)
        return next((order.leaves_quantity for order in open_orders if order.broker_order_id == row.broker_order_id), 0)

    async def _fetch_chain(self, attempt: Attempt) -> tuple[LedgerOrder, ...]:
        """Read the original of a modify or cancel and everything later of its symbol."""
        original = attempt.request.original
        assert original is not None, "asked for modifies and cancels only"  # noqa: S101
        snapshot = await self._reader.fetch_snapshot(
            attempt.request.desk.ledger, attempt.day, int(original) - 1, symbol=attempt.request.symbol
        )
        return snapshot.rows

    async def _accept_absence(self, attempt: Attempt, proof: AbsenceProof, found: _Findings) -> None:
        record = await self._journal.find(attempt.client_order_id)
        if record is None or record.decisive.key != attempt.key or self._dispatcher is None:
            await self._conclude(attempt, _absence_finding(proof), found)
            return
        intent = record.intent
        left = 0.0
        if intent.resend_within is not None:
            left = intent.resend_within - (self._ambient.now() - intent.created_at).total_seconds()
        sends = sum(attempt.state not in {Delivery.NOT_SENT, Delivery.REFUSED} for attempt in record.attempts)
        if left > 0 and sends < intent.max_attempts:
            if not proof.allows_resend:
                # A witness may still come, and then it can be sent again.
                found.why[attempt.key] = "it looks absent, but nothing shows that the ledger is fresh"
                return
            if await self._dispatcher.resend(intent, attempt, _absence_finding(proof), within=left):
                return
        await self._conclude(attempt, _absence_finding(proof), found)

    async def _close_day(self, attempt: Attempt, view: BookView, found: _Findings) -> None:
        """List for the operator what the final ledger does not decide."""
        rounds = self._rounds.get(attempt.key, [])
        is_over = all(snapshot.is_final for snapshot in view.snapshots) and len(rounds) > 1
        if is_over and rounds[-1].candidates and attempt.state is not Delivery.UNRESOLVED_AT_CLOSE:
            self._ambient.reached(Checkpoint.BEFORE_DAY_CLOSE)
            reason = f"the day is over and it may be any of the orders {', '.join(rounds[-1].candidates)}"
            await self._conclude(attempt, Finding(Event.DAY_CLOSED, reason=reason), found)
            self._ambient.reached(Checkpoint.AFTER_DAY_CLOSE)

    async def _revive(self, matching: Matching, view: BookView, found: _Findings) -> None:
        """Report orders that turn up although they were proven absent."""
        if not view.watched:
            return
        late = view.match_watched(matching.foreign)
        for attempt in view.watched:
            row = late.bindings.get(attempt.key)
            if row is None:
                continue
            await self._conclude(attempt, _claim_finding(row, Event.ACKNOWLEDGED), found)
            found.alarms.append(
                f"order {attempt.client_order_id} was proven absent and is on the book as {row.broker_order_id}: "
                "a bound in Timing is too tight"
            )
            _LOG.error(
                "order %s was proven absent and is on the book as %s",
                attempt.client_order_id,
                row.broker_order_id,
            )

    async def _repeat_cancels(self, matching: Matching, view: BookView, found: _Findings) -> None:
        """Settle full cancels by what is left of their originals, and send them again while something is."""
        for attempt in view.attempts:
            if attempt.state not in UNRESOLVED or not attempt.request.is_repeatable or attempt.key in matching.bindings:
                continue
            status = await self.fetch_original_status(attempt)
            if status is not None:
                finding = Finding(
                    Event.ACKNOWLEDGED,
                    reason="nothing of its original is left in the book",
                    resolved_by=ResolvedBy.LEDGER,
                    evidence={"original_status": status.value},
                )
                await self._conclude(attempt, finding, found)
                continue
            record = await self._journal.find(attempt.client_order_id)
            if record is None or record.decisive.key != attempt.key or len(record.attempts) >= MOST_CANCELS:
                continue
            if self._dispatcher is not None and attempt.ended is not None:
                await self._dispatcher.repeat(record.intent, attempt)

    async def fetch_original_status(self, attempt: Attempt) -> OrderStatus | None:
        """Look up an order that a cancel names: FILLED or CANCELED, or None while it is open or cannot be told."""
        original = attempt.request.original
        if original is None:
            return None
        try:
            rows = await self._fetch_chain(attempt)
            row = next((row for row in rows if row.broker_order_id == original), None)
            is_modified = any(row.original == original and row.action is Action.MODIFY for row in rows)
            if row is None or is_modified or await self._fetch_leaves(row):
                return None
        except (QueryFailed, Refused):
            return None
        return OrderStatus.FILLED if row.filled_quantity >= row.quantity else OrderStatus.CANCELED

    async def _note_ledger(self, matching: Matching, view: BookView, found: _Findings) -> None:
        found.foreign += [ForeignOrder.of(row) for row in matching.foreign]
        for snapshot in view.snapshots:
            await self._journal.note_ledger(
                LedgerNews(
                    account=self._journal.account,
                    desk=view.desk,
                    day=snapshot.day,
                    own=tuple(row for row in view.own_rows if row.day == snapshot.day),
                    foreign=tuple(row for row in matching.foreign if row.day == snapshot.day),
                    highest=max((row.number for row in snapshot.rows), default=0),
                )
            )


def _of(desk: Desk, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    return tuple(attempt for attempt in attempts if attempt.request.desk.ledger is desk)


def _claim_finding(row: LedgerOrder, event: Event) -> Finding:
    seen: dict[str, Any] = to_plain(row)
    seen.pop("order_types", None)
    return Finding(
        event,
        reason="found on the broker's ledger",
        broker_order_id=row.broker_order_id,
        claim_day=row.day,
        resolved_by=ResolvedBy.LEDGER,
        evidence={"row": seen},
    )


def _absence_finding(proof: AbsenceProof) -> Finding:
    reason = "two complete looks at the broker's ledger, after every bound, show that it is not there."
    return Finding(Event.PROVEN_ABSENT, reason=reason, evidence={"proof": to_plain(proof)})
