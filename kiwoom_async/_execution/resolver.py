"""One look at a ledger, and every conclusion it allows: no more, no less.

What may be concluded is decided by the pure `_domain.matching` and `_domain.absence`; here it is carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date
from typing import Final

from attrs import evolve

from kiwoom_async._domain.absence import AbsenceProof, Missing, NotYet, Round, prove_absence, thin_out
from kiwoom_async._domain.ambient import Ambient, Checkpoint
from kiwoom_async._domain.feed_status import Continuity
from kiwoom_async._domain.health import BreachKind
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.matching import AlarmKind, Matching
from kiwoom_async._domain.monitors import judge_step
from kiwoom_async._domain.reconciliation import ForeignOrder
from kiwoom_async._domain.states import IN_FLIGHT, UNRESOLVED, Delivery, Event
from kiwoom_async._domain.vocabulary import Desk, ResolvedBy
from kiwoom_async._execution.book_view import BookView, is_answer_late
from kiwoom_async._execution.dispatcher import Again, Dispatcher
from kiwoom_async._execution.doubts import Doubts
from kiwoom_async._execution.feed_view import snapshots_of, terminal_channel, what_the_feed_certifies
from kiwoom_async._execution.findings import PassFindings, claim_finding, effect_finding
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.monitor import Monitor
from kiwoom_async._execution.originals import Originals, OriginalState
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._execution.views import Rules, Views, earliest_day, of_desk
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import DOUBT, Finding, LedgerNews, ReportNews
from kiwoom_async._workplace import workplace_of
from kiwoom_async.errors import QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")

MOST_CANCELS: Final = 5
"""How often a full cancel of unknown outcome is sent in all. Source: our choice."""

MATCHED_AT_ONCE: Final = 1_000
"""Pairs of attempts and rows up to which matching runs on the event loop; more go to a thread. Source: a pair costs
microseconds, and a bot's loop should not stand still for more than a few milliseconds."""


class Resolver:
    """Resolve the unresolved orders of one desk at a time."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a look works with, made in one place
        self,
        journal: Journal,
        reader: LedgerReader,
        originals: Originals,
        dispatcher: Dispatcher,
        settlements: Settlements,
        ambient: Ambient,
        rules: Rules,
        own_continuity: Callable[[], Continuity | None],
        monitor: Monitor,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._originals = originals
        self._dispatcher = dispatcher
        self._settlements = settlements
        self._ambient = ambient
        self._rules = rules
        self._own_continuity = own_continuity
        self._monitor = monitor
        self._doubts = Doubts(journal, monitor)
        self._views = Views(journal, reader, originals, self._doubts, ambient, rules)
        self._rounds: dict[str, list[Round]] = {}
        self._unlisted: dict[tuple[Desk, str], dict[str, float]] = {}

    def days_of(self, attempt: Attempt) -> tuple[date, ...]:
        """Give the days whose ledger may list an attempt."""
        return self._views.days_of(attempt)

    def day_of_candidate(self, attempt: Attempt, number: str) -> date | None:
        """Give the day on which the last look in this process has shown a number as a candidate; None: on none or two.

        Candidates that only the feed has told of are in no look.
        """
        if number not in self.last_candidates(attempt):
            return None
        look = self._rounds[attempt.key][-1]
        days = [snapshot.day for snapshot in look.snapshots if number in {row.broker_order_id for row in snapshot.rows}]
        return days[0] if len(days) == 1 else None

    def forget_settled(self, wanted: Iterable[Attempt]) -> None:
        """Drop the looks that were taken for attempts no longer open."""
        open_keys = {attempt.key for attempt in wanted}
        for key in [key for key in self._rounds if key not in open_keys]:
            del self._rounds[key]

    def last_candidates(self, attempt: Attempt) -> tuple[str, ...]:
        """Give the numbers an attempt may be, as of the last look in this process."""
        rounds = self._rounds.get(attempt.key)
        return rounds[-1].candidates if rounds else ()

    async def resolve_desk(
        self, desk: Desk, wanted: Sequence[Attempt], watched: Sequence[Attempt], found: PassFindings
    ) -> None:
        """Look at a desk's ledger once and draw every conclusion it allows.

        Args:
            desk: Whose ledger.
            wanted: Its unresolved attempts.
            watched: Attempts proven absent that may still turn up.
            found: Told what was found.

        Raises:
            QueryFailed: The look was not complete; nothing was concluded from it.
            Refused: The broker did not let us look.
        """
        self._ambient.reached(Checkpoint.BEFORE_LEDGER_QUERY)
        self._note_clock_steps([*wanted, *watched], found)
        view = await self._views.take(desk, wanted, watched)
        if missing := view.unlisted_own_orders():
            await self._explain_missing(missing[0], view, found)
            raise QueryFailed("ledger", f"it does not list our order {missing[0][1]}: it is stale or incomplete")
        found.alarms += [
            f"order {client_order_id} was settled by hand as {number}, which the ledger does not list: "
            "take it back if that was wrong"
            for client_order_id, number in view.unlisted_verdicts()
        ]
        await self._measure(view, found)
        matching = await self._match(view)
        for alarm in matching.alarms:
            found.raise_alarm(_BROKEN[alarm.kind], f"{alarm.kind.value}: {len(alarm.orders)} orders")
        await self._bind(matching, view, found, ResolvedBy.LEDGER)
        await self._note_candidates(matching, view)
        dealt_with = await self._settle_cancels(matching, view, found)
        if not self._is_stale(view, found):
            await self._judge_absent(matching, view, found, dealt_with)
        await self._revive(matching, view, found)
        await self._note_ledger(matching, view, found)

    async def _explain_missing(self, place: tuple[date, str], view: BookView, found: PassFindings) -> None:
        """Raise the alarm about an order of ours that the ledger must list and does not."""
        day, number = place
        _, attempt = view.claims[place]
        snapshot = next(snapshot for snapshot in view.snapshots if snapshot.day == day)
        if attempt.resolved_by is ResolvedBy.EVENT and not attempt.is_listed_by(snapshot.began, self._views.timing):
            return  # the feed may have told of a late acceptance a moment ago: no bound is over yet
        is_open = False
        with suppress(QueryFailed, Refused):  # without it, one assumption is named in place of another
            rows = await self._reader.fetch_open_orders(view.desk, attempt.request.symbol)
            # The open orders are of today, and numbers begin anew every day.
            is_open = day == view.today and number in {row.broker_order_id for row in rows}
        breach = self._monitor.missing(number, snapshot, is_open=is_open)
        found.raise_alarm(breach.kind, f"{breach.text}; nothing is concluded from it")

    async def _measure(self, view: BookView, found: PassFindings) -> None:
        for snapshot in view.snapshots:
            claims = {number: claimed for (day, number), claimed in view.claims.items() if day == snapshot.day}
            told = await self._monitor.looked(snapshot, claims, view.channels | view.own_channels)
            found.take(told)

    async def resolve_from_feed(self, found: PassFindings) -> None:
        """Give attempts without an answer the numbers that the feed has reported, where no other possibility is left.

        Asks the journal only. Nothing is concluded from what the feed did not report. An attempt in flight is left to
        its answer for one `reconcile_interval`; if that is not over yet, `found.next_look` says when it is.
        """
        late_since = self._ambient.monotonic() - self._views.timing.reconcile_interval
        attempts = await self._journal.open_attempts()
        for desk in dict.fromkeys(attempt.request.desk.ledger for attempt in attempts):
            waiting = [attempt for attempt in of_desk(desk, attempts) if attempt.state in UNRESOLVED | IN_FLIGHT]
            snapshots = (
                snapshots_of(desk, await self._journal.kept_reports(desk, earliest_day(waiting))) if waiting else ()
            )
            if not snapshots:
                continue
            early = [
                a for a in waiting if a.state in IN_FLIGHT and not is_answer_late(a, self._ambient.boot_id, late_since)
            ]
            found.next_look += [attempt.dispatched + self._views.timing.reconcile_interval for attempt in early]
            if len(early) == len(waiting):
                continue
            channels = frozenset(map(terminal_channel, await self._journal.terminals(desk)))
            view = evolve(await self._views.make(desk, snapshots, channels), late_since=late_since)
            await self._bind(await self._match(view), view, found, ResolvedBy.EVENT)

    async def _match(self, view: BookView) -> Matching:
        if len(view.attempts) * len(view.unclaimed_rows) < MATCHED_AT_ONCE:
            return view.match_open()
        return await workplace_of(self._ambient).run(view.match_open)

    def _note_clock_steps(self, attempts: Iterable[Attempt], found: PassFindings) -> None:
        now, monotonic, boot_id = self._ambient.now(), self._ambient.monotonic(), self._ambient.boot_id
        timing = self._rules.timing
        is_proven_off = self._reader.proven_clock_difference > timing.clock_skew
        for attempt in attempts:
            step = attempt.clock_step(now, monotonic, boot_id)
            breach = judge_step(attempt.client_order_id, step, timing, is_proven_off=is_proven_off)
            if breach is not None:
                found.note(breach)

    # ------------------------------------------------------------------ conclusions

    async def _bind(self, matching: Matching, view: BookView, found: PassFindings, by: ResolvedBy) -> None:
        for attempt in view.attempts:
            row = matching.bindings.get(attempt.key)
            if row is not None:
                self._ambient.reached(Checkpoint.BEFORE_CLAIM_COMMIT)
                finding = claim_finding(attempt, row, by, view.rivals_for(row), is_final=view.is_final(row.day))
                for breach in finding.breaches:
                    _LOG.warning("%s", breach.text)
                await self._conclude(attempt, finding, found)
                self._ambient.reached(Checkpoint.AFTER_CLAIM_COMMIT)

    async def _conclude(self, attempt: Attempt, finding: Finding, found: PassFindings) -> None:
        conclusion = await self._journal.conclude(attempt, finding)
        if conclusion.contradiction is not None:
            found.alarms.append(f"order {attempt.client_order_id}: {conclusion.contradiction}")
            _LOG.error("contradicting evidence about order %s: %s", attempt.client_order_id, conclusion.contradiction)
            return
        self._spread(conclusion.news, found)
        if conclusion.attempt.state not in UNRESOLVED:
            found.resolved.append(attempt.client_order_id)
            self._settlements.ring(attempt.client_order_id)
            if attempt.state in IN_FLIGHT:
                await self._dispatcher.tell_early(attempt.client_order_id)
        elif finding.event is Event.PROVEN_ABSENT:
            found.why[attempt.key] = "it looks absent, but the feed has told of an order meanwhile that it may be"

    async def _note_candidates(self, matching: Matching, view: BookView) -> None:
        for attempt in view.attempts:
            candidates = matching.candidates.get(attempt.key, ())
            numbers = ", ".join(
                row.broker_order_id if row.day == attempt.day else f"{row.broker_order_id} of {row.day}"
                for row in candidates
            )
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
        self._rounds[attempt.key] = thin_out([*self._rounds.get(attempt.key, ()), look])

    async def _judge_absent(
        self, matching: Matching, view: BookView, found: PassFindings, dealt_with: frozenset[str]
    ) -> None:
        flaws: dict[str, str] = {}
        has_shrunk = False
        feed = await self._certify_feed()
        for attempt in view.attempts:
            if attempt.state not in UNRESOLVED or attempt.key in {*matching.bindings, *dealt_with}:
                continue
            if attempt.key not in matching.candidates:
                self._remember(attempt, view.look())
            verdict = self._prove(attempt, view, feed)
            if isinstance(verdict, NotYet):
                found.why[attempt.key] = f"{attempt.reason}; {verdict.reason.value}"
                found.next_look += [] if verdict.not_before is None else [verdict.not_before]
                has_shrunk = has_shrunk or verdict.reason is Missing.STEADY_LEDGER
                if numbers := ", ".join(self.last_candidates(attempt)):
                    await self._close_day(attempt, view, found, f"it may be any of the orders {numbers}")
                continue
            if attempt.key not in matching.absent:
                continue
            symbol = attempt.request.symbol
            if symbol not in flaws:
                flaws[symbol] = await self._check_open_orders(view, symbol, found)
            flaw = flaws[symbol] or await self._originals.find_unexplained_loss(attempt)
            if flaw:
                found.why[attempt.key] = flaw
                await self._close_day(attempt, view, found, flaw)
                self._rounds.pop(attempt.key, None)
                continue
            await self._accept_absence(attempt, view, verdict, found)
        if has_shrunk:
            found.raise_alarm(
                _BROKEN[AlarmKind.LEDGER_SHRANK], f"{AlarmKind.LEDGER_SHRANK.value}: {Missing.STEADY_LEDGER.value}"
            )

    def _is_stale(self, view: BookView, found: PassFindings) -> bool:
        """Tell whether this look is older than what the feed has told: what it does not list may be there as well."""
        missing = view.unlisted_reports()
        if missing:
            stale = f"the ledger does not list order {missing[0]}, which the feed has reported"
            found.raise_alarm(BreachKind.LEDGER_STALE, stale)
            found.why.update((attempt.key, stale) for attempt in view.attempts if attempt.state in UNRESOLVED)
        return bool(missing)

    def _prove(self, attempt: Attempt, view: BookView, feed: Continuity | None) -> AbsenceProof | NotYet:
        return prove_absence(
            attempt,
            self._rounds.get(attempt.key, []),
            now_monotonic=self._ambient.monotonic(),
            now=self._ambient.now(),
            boot_id=self._ambient.boot_id,
            timing=self._views.timing,
            environment=self._rules.environment,
            own_dispatches=view.own_dispatches,
            feed=what_the_feed_certifies(attempt, attempt.dead_after(self._views.timing), feed),
        )

    async def _check_open_orders(self, view: BookView, symbol: str, found: PassFindings) -> str:
        """Say what contradicts the ledger's completeness for a symbol; empty where nothing does.

        The ledger may list an open order by visibility_bound later (A5); the look is void at once, the alarm waits.
        """
        if all(snapshot.is_final for snapshot in view.snapshots):
            return ""
        missing = view.unlisted_open_orders(await self._reader.fetch_open_orders(view.desk, symbol))
        before, now = self._unlisted.get((view.desk, symbol), {}), self._ambient.monotonic()
        unlisted = self._unlisted[view.desk, symbol] = {number: before.get(number, now) for number in missing}
        if not missing:
            return ""
        number = min(unlisted, key=lambda each: (unlisted[each], each))
        flaw = f"open order {number} is not in the ledger, which is therefore incomplete"
        if min(snapshot.began for snapshot in view.snapshots) - unlisted[number] > self._views.timing.visibility_bound:
            found.raise_alarm(BreachKind.LEDGER_INCOMPLETE, flaw)
        return flaw

    async def _accept_absence(self, attempt: Attempt, view: BookView, proof: AbsenceProof, found: PassFindings) -> None:
        self._monitor.proved(proof)
        proof, finding = await self._doubts.weigh(attempt, proof)
        finding = evolve(
            finding,
            considered=frozenset((report.day, report.broker_order_id) for report in view.reported),
        )
        record = await self._journal.find(attempt.client_order_id)
        if record is None or record.decisive.key != attempt.key:
            await self._conclude(attempt, finding, found)
            return
        intent = record.intent
        left = 0.0
        if intent.resend_within is not None:
            left = intent.resend_within - (self._ambient.now() - intent.created_at).total_seconds()
        sends = sum(attempt.state not in {Delivery.NOT_SENT, Delivery.REFUSED} for attempt in record.attempts)
        if left > 0 and sends < intent.max_attempts:
            if DOUBT in finding.evidence:
                _LOG.warning("order %s is not sent again: %s", attempt.client_order_id, finding.evidence[DOUBT])
                await self._conclude(attempt, finding, found)
                return
            if not proof.allows_resend:
                # A witness may still come, and then it can be sent again.
                found.why[attempt.key] = "it looks absent, but nothing shows that the ledger is fresh"
                return
            again = await self._dispatcher.resend(intent, attempt, finding, within=left)
            if again is Again.LATER:
                found.why[attempt.key] = (
                    "it is proven absent, and will be sent again: the rate limit has no room now, or midnight is near"
                )
            if again is Again.HELD:
                found.why[attempt.key] = "it is proven absent, and to send it again is left to other processes"
            if again is not Again.NOT:
                return
        await self._conclude(attempt, finding, found)

    async def _close_day(self, attempt: Attempt, view: BookView, found: PassFindings, why: str) -> None:
        """List for the operator what the final ledger does not decide."""
        is_over = all(snapshot.is_final for snapshot in view.snapshots) and len(self._rounds.get(attempt.key, [])) > 1
        if is_over and attempt.state is not Delivery.UNRESOLVED_AT_CLOSE:
            self._ambient.reached(Checkpoint.BEFORE_DAY_CLOSE)
            left = {"candidates": candidates} if (candidates := self.last_candidates(attempt)) else {}
            closed = Finding(Event.DAY_CLOSED, reason=f"the day is over and {why}", evidence=left)
            await self._conclude(attempt, closed, found)
            self._ambient.reached(Checkpoint.AFTER_DAY_CLOSE)

    async def _revive(self, matching: Matching, view: BookView, found: PassFindings) -> None:
        """Report orders that turn up although they were proven absent."""
        if not view.watched:
            return
        late = view.match_watched(matching.foreign)
        for attempt in view.watched:
            row = late.bindings.get(attempt.key)
            if row is None:
                continue
            finding = claim_finding(attempt, row, ResolvedBy.LEDGER, is_final=view.is_final(row.day))
            await self._conclude(attempt, finding, found)
            found.alarms.append(
                f"order {attempt.client_order_id} was proven absent and is on the book as {row.broker_order_id}: "
                "a bound in Timing is too tight"
            )
            _LOG.error(
                "order %s was proven absent and is on the book as %s",
                attempt.client_order_id,
                row.broker_order_id,
            )

    async def _settle_cancels(self, matching: Matching, view: BookView, found: PassFindings) -> frozenset[str]:
        """Settle full cancels by what is left of their originals, and send them again while something is.

        Returns:
            Keys of the attempts that need no further judgment in this look.
        """
        dealt_with = set()
        for attempt in view.attempts:
            if attempt.state not in UNRESOLVED or not attempt.request.is_repeatable or attempt.key in matching.bindings:
                continue
            try:
                state = await self._originals.fetch_state(attempt)
            except (QueryFailed, Refused) as error:
                # A failed look says nothing of the original, least of all that it is open.
                found.why[attempt.key] = f"the look at its original failed: {error}"
                dealt_with.add(attempt.key)
                continue
            if state.status is not None:
                await self._conclude(attempt, effect_finding(state.status), found)
                dealt_with.add(attempt.key)
            elif state is OriginalState.OPEN and await self._repeat(attempt):
                dealt_with.add(attempt.key)
        return frozenset(dealt_with)

    async def _repeat(self, attempt: Attempt) -> bool:
        record = await self._journal.find(attempt.client_order_id)
        if record is None or record.is_on_the_book or record.decisive.key != attempt.key:
            return False
        if len(record.attempts) >= MOST_CANCELS:
            return False
        return attempt.ended is not None and await self._dispatcher.repeat(record.intent, attempt)

    async def _certify_feed(self) -> Continuity | None:
        """Give the certificate of the feed, whichever process holds it; None where nobody has had one."""
        own = self._own_continuity()
        if own is not None:
            return own
        session = await self._journal.feed_session()
        return None if session is None else Continuity(session.boot_id, session.since, session.heard)

    async def _note_ledger(self, matching: Matching, view: BookView, found: PassFindings) -> None:
        found.foreign += [ForeignOrder.of(row) for row in matching.foreign]
        for snapshot in view.snapshots:
            news = await self._journal.note_ledger(
                LedgerNews(
                    account=self._journal.account,
                    desk=view.desk,
                    day=snapshot.day,
                    own=tuple(row for row in view.own_rows if row.day == snapshot.day),
                    foreign=tuple(row for row in matching.foreign if row.day == snapshot.day),
                    highest=max((row.number for row in snapshot.rows), default=0),
                    channels=view.own_channels,
                    is_final=snapshot.is_final,
                    changes=snapshot.changes,
                )
            )
            self._spread(news, found)

    def _spread(self, news: ReportNews, found: PassFindings) -> None:
        # Alarms of a pass are told with its report.
        found.alarms += news.alarms
        self._settlements.spread(evolve(news, alarms=()))


_BROKEN: Final = {
    AlarmKind.FOREIGN_ACTOR: BreachKind.FOREIGN_TWIN,
    AlarmKind.LEDGER_SHRANK: BreachKind.ROW_DISAPPEARED,
}
