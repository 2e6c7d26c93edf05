"""`client.orders`: what became of the orders of this journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.cancellations import CancelReport
from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._domain.life import FINISHED
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.reconciliation import UnresolvedOrder
from kiwoom_async._domain.validation import check_seconds, check_symbol, choose
from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, Desk, Side
from kiwoom_async._execution.answers import answer_of, describe
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.reconciler import Reconciler
from kiwoom_async._execution.rehearsal import Rehearsal
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._execution.sweeper import Scope, Sweeper
from kiwoom_async._execution.verdicts import Verdict, settle, take_back
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import HistoryEntry, OrderRecord
from kiwoom_async.errors import KiwoomError, StreamClosed, ValidationError


class Orders:
    """Read and settle the orders of a client."""

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        reconciler: Reconciler,
        settlements: Settlements,
        events: EventLog,
        ambient: Ambient,
        *,
        sweeper: Sweeper,
        rehearsal: Rehearsal | None,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._reconciler = reconciler
        self._settlements = settlements
        self._events = events
        self._ambient = ambient
        self._sweeper = sweeper
        self._rehearsal = rehearsal

    async def get(self, client_order_id: str) -> Order | None:
        """Read an order from the journal; None if the journal has never heard of the id on this account.

        An order whose outcome is unknown has no `broker_order_id` and no `status`; it can be canceled all the same.
        A client with `dry_run=True` knows its dry orders as well; every other client has never heard of them.
        """
        record = await self._find(client_order_id)
        if record is None and self._rehearsal is not None:
            return await self._rehearsal.find(client_order_id)
        return None if record is None else describe(record)

    async def _find(self, client_order_id: str) -> OrderRecord | None:
        """Read an order of this account; other accounts' orders in the same file are none of its business."""
        record = await self._journal.find(client_order_id)
        return record if record is not None and record.intent.account == self._journal.account else None

    def events(self, *, since: int | None = None) -> AsyncIterator[OrderEvent]:
        """Iterate over what happens to the orders of this journal, from all processes, and go on as it happens.

        The journal is the queue: every listener reads on from its own place, a batch at a time, so a slow one delays
        nobody, holds no memory and loses nothing, however late it is.

        Args:
            since: The `sequence` of the last event you have dealt with; 0 for all that ever happened. Keep it with your
                own state: a restarted strategy catches up. None: what follows the last event that this client knows of
                at this call, whatever the clocks say. So nothing that is written after the call, by whichever process,
                is missing, also if you ask for the first event much later. What this client has written before is left
                out. What another client has written shortly before may be given: within 0.25 s, or within 5 s if nobody
                waited or listened at this one.

        Delivery: Each event is durable before it is given. Given in the order of the journal; a fill may be known
            before the order's own acceptance, but is given after it.

        Cancellation: Safe; go on with `since`. Ends when the client is closed, at once if it is closed already.

        Raises:
            JournalError: The journal cannot be read; go on with `since`.
        """
        if since is not None and (type(since) is not int or since < 0):
            raise ValidationError("since", since, "None, 0, or the sequence of an event")
        return self._events.read(self._events.last_event if since is None else since)

    async def wait_filled(self, order: Order | str) -> Order:
        """Wait until nothing is left of an order in the book, and give it as it is then.

        Args:
            order: The order, or its client order id. One of unknown outcome is waited for, too.

        Returns:
            The order; look at its `status`: FILLED, or what else ended it (CANCELED, REFUSED, EXPIRED), perhaps after a
            part was filled. An order that was modified ends as CANCELED: it lives on under the modify's own id.

        Raises:
            KiwoomError: It is no order: the error that placing it raised, or would have.
            ValidationError: The journal has never heard of it.
            StreamClosed: The client was closed; the order goes on at the broker.
            JournalError: The journal cannot be read.

        Delivery: With the feed, as soon as it reports; without it, the ledger is asked every `Timing.poll_interval`.

        Cancellation: Ends the waiting and nothing else; use `asyncio.timeout`.
        """
        client_order_id = order if isinstance(order, str) else order.client_order_id

        async def look() -> Order | KiwoomError | None:
            record = await self._find(client_order_id)
            if record is None:
                raise ValidationError("order", client_order_id, "an order that was sent by this journal, or its id")
            answer = answer_of(record)
            return None if isinstance(answer, Order) and answer.status not in FINISHED else answer

        end: Order | KiwoomError | None = await self._events.until(client_order_id, look)
        if end is None:
            raise StreamClosed("The client was closed while an order was waited for; it goes on at the broker.")
        if isinstance(end, KiwoomError):
            raise end
        return end

    async def open(self) -> tuple[Order, ...]:
        """Ask the broker which orders are still in the book, and give those that are ours.

        Raises:
            QueryFailed: The broker did not answer completely. This never means that nothing is open.
        """
        found = []
        today = korean_day(self._ambient.now())
        # Gold is asked for only where it is traded: other accounts are refused the query.
        has_gold = bool(await self._journal.claims(Desk.GOLD, today, 0))
        for desk in (Desk.STOCK, Desk.GOLD) if has_gold else (Desk.STOCK,):
            for row in await self._reader.fetch_open_orders(desk):
                claim = await self._journal.claim_of(desk, today, row.broker_order_id)
                record = None if claim is None else await self._journal.find(claim.client_order_id)
                if claim is not None and record is not None:
                    # Where two sends of an id are on the book, each is told under its own number.
                    found.append(describe(record, next(a for a in record.attempts if a.number == claim.attempt)))
        return tuple(found)

    async def cancel_all(
        self,
        *,
        symbol: str | None = None,
        side: Side | str | None = None,
        desk: Desk | str | None = None,
        include_foreign: bool = False,
        deadline: float | None = None,
    ) -> CancelReport:
        """Cancel every order of ours that may be in the book, at once and within the rate limit.

        Ours are the orders of this journal and account, from every process: working ones, partially filled ones, and
        those of unknown outcome, whose cancels are durable obligations. Orders that are placed meanwhile are not seen:
        engage `client.kill_switch` first. Calling it twice does no harm: a cancel that is under way is joined, and an
        order that is still there is canceled anew.

        Args:
            symbol: Of this symbol only. None: of all.
            side: "buy" or "sell" only. None: both.
            desk: "stock", "gold" or "credit" only. None: all.
            include_foreign: Ask the broker as well, and cancel whatever else it lists as open, people's orders at
                Kiwoom's own screens included. Gold is asked for with desk="gold", or where this journal has traded it
                today.
            deadline: Seconds to wait for each cancel, from its turn on; some have theirs at once. One that the rate
                limit keeps from leaving within them is tried again, for two seconds more per order. None:
                `Timing.default_deadline`, and a second more per order.

        Returns:
            What became of each order. No order's error keeps another from being canceled, and none is raised.

        Raises:
            ValidationError: An argument is wrong; nothing was sent.
            JournalError: Our orders could not be read; nothing was sent.

        Delivery: Each cancel is durable before its first byte, under the id in its result.

        Cancellation: Safe at any moment. Cancels that have not left are called off, the others are seen to their end;
            call again for what is left.

        Source: kt10003, kt10009, kt50003; ka10075 and kt50075 for orders of others.
        """
        scope = Scope(
            symbol=None
            if symbol is None
            else check_symbol(Desk.GOLD if symbol in GOLD_SYMBOLS else Desk.STOCK, symbol),
            side=None if side is None else choose("side", Side, side),
            desk=None if desk is None else choose("desk", Desk, desk),
        )
        seconds = check_seconds("deadline", deadline)
        return await self._sweeper.sweep(scope, include_foreign=include_foreign, deadline=seconds)

    async def unresolved(self) -> tuple[UnresolvedOrder, ...]:
        """List the orders without an answer, and what keeps each of them open. Asks the journal only."""
        return await self._reconciler.list_unresolved()

    async def history(self, client_order_id: str) -> tuple[HistoryEntry, ...]:
        """Read everything that happened to an order, with its evidence, oldest first."""
        if await self._find(client_order_id) is None:
            return ()
        return await self._journal.history(client_order_id)

    async def resolve(
        self,
        client_order_id: str,
        *,
        accepted_as: str | None = None,
        not_accepted: bool = False,
        reason: str,
        day: date | None = None,
    ) -> Order:
        """Settle an unresolved order by hand, after a look at Kiwoom's own screen.

        Args:
            client_order_id: An order of `unresolved()`.
            accepted_as: Its broker order number, if it is on the book.
            not_accepted: True, if it is not on the book.
            reason: Why you are sure; kept in the history.
            day: With `accepted_as`: the Korean day on whose list the number stands. None: that of the candidate, if the
                number is one that `unresolved()` names; else the day on which it was sent. Where more than one day's
                list may show the order (sent around midnight, in the evening, on a day without trading), it is needed,
                since numbers begin anew every day.

        Raises:
            ValidationError: The id is not known or not unresolved, not exactly one verdict is given, or the day is
                needed or impossible.
            JournalError: The number belongs to another of our orders.

        Delivery: The verdict is durable when this returns; whoever waits for the order is told. A wrong one can be
            taken back: see `take_back`.
        """
        verdict = Verdict.of(accepted_as, not_accepted=not_accepted, reason=reason, day=day)
        settled = await settle(
            self._journal,
            client_order_id,
            verdict,
            today=korean_day(self._ambient.now()),
            days_of=self._reconciler.days_of,
            seen_on=self._reconciler.day_of_candidate,
            spread=self._settlements.spread,
        )
        self._settlements.ring(client_order_id)
        return settled

    async def take_back(self, client_order_id: str, *, reason: str) -> Order:
        """Take back what `resolve` decided: the order is unresolved again, and the library looks for it anew.

        For a wrong number, or an order that was there after all. Whoever has been given the wrong answer is not told
        again; `events()` tells an ALARM if a number was wrongly taken for the order's.

        Args:
            client_order_id: An order that was settled by hand and that the broker has not confirmed since.
            reason: What was wrong; kept in the history.

        Raises:
            ValidationError: The order was not settled by hand.

        Delivery: Durable when this returns.
        """
        order = await take_back(self._journal, client_order_id, reason, spread=self._settlements.spread)
        self._settlements.ring(client_order_id)
        self._reconciler.wake()
        return order
