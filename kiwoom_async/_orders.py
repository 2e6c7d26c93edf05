"""`client.orders`: what became of the orders of this journal."""

from __future__ import annotations

from collections.abc import AsyncIterator

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.cancellations import CancelReport
from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._domain.life import FINISHED
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.reconciliation import UnresolvedOrder
from kiwoom_async._domain.states import UNRESOLVED, Event
from kiwoom_async._domain.validation import check_order_number, check_seconds, check_symbol, choose
from kiwoom_async._domain.vocabulary import GOLD_SYMBOLS, Desk, ResolvedBy, Side
from kiwoom_async._execution.answers import describe
from kiwoom_async._execution.event_log import EventLog
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.reconciler import Reconciler
from kiwoom_async._execution.rehearsal import Rehearsal
from kiwoom_async._execution.settlements import Settlements
from kiwoom_async._execution.sweeper import Scope, Sweeper
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Finding, HistoryEntry, OrderRecord
from kiwoom_async.errors import JournalError, KiwoomError, StreamClosed, ValidationError


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
                own state: a restarted strategy catches up. None: what is written from this call on.

        Delivery: Each event is durable before it is given. Given in the order of the journal; a fill may be known
            before the order's own acceptance, but is given after it.

        Cancellation: Safe; go on with `since`. Ends when the client is closed.
        """
        if since is not None and (type(since) is not int or since < 0):
            raise ValidationError("since", since, "None, 0, or the sequence of an event")
        return self._events.read(since, self._ambient.now())

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

        Delivery: With the feed, as soon as it reports; without it, the ledger is asked every `Timing.poll_interval`.

        Cancellation: Ends the waiting and nothing else; use `asyncio.timeout`.
        """
        client_order_id = order if isinstance(order, str) else order.client_order_id
        if await self._find(client_order_id) is None:
            raise ValidationError("order", client_order_id, "an order that was sent by this journal, or its id")
        outcome = await self._settlements.wait(client_order_id)
        if isinstance(outcome, KiwoomError):
            raise outcome

        async def look() -> Order | None:
            found = await self.get(client_order_id)
            return found if found is not None and found.status in FINISHED else None

        finished = await self._events.until(look)
        if finished is None:
            raise StreamClosed("The client was closed while an order was waited for; it goes on at the broker.")
        return finished

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
                if record is not None:
                    found.append(describe(record))
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
            deadline: Seconds to wait for each cancel. None: `Timing.default_deadline`, and a second more per order.

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
        self, client_order_id: str, *, accepted_as: str | None = None, not_accepted: bool = False, reason: str
    ) -> Order:
        """Settle an unresolved order by hand, after a look at Kiwoom's own screen.

        Args:
            client_order_id: An order of `unresolved()`.
            accepted_as: Its broker order number, if it is on the book.
            not_accepted: True, if it is not on the book.
            reason: Why you are sure; kept in the history.

        Raises:
            ValidationError: The id is not known or not unresolved, or not exactly one verdict is given.
            JournalError: The number belongs to another of our orders.

        Delivery: The verdict is durable when this returns; whoever waits for the order is told.
        """
        if (accepted_as is not None) == not_accepted:
            raise ValidationError(
                "accepted_as", accepted_as, "exactly one of accepted_as='0001234' and not_accepted=True"
            )
        if not reason.strip():
            raise ValidationError("reason", reason, "a few words about how you know; they are kept")
        record = await self._find(client_order_id)
        attempt = None if record is None else record.decisive
        if attempt is None or attempt.state not in UNRESOLVED:
            raise ValidationError(
                "client_order_id",
                client_order_id,
                "the id of an unresolved order; see client.orders.unresolved()",
            )
        number = None if accepted_as is None else check_order_number("accepted_as", accepted_as)
        finding = Finding(
            Event.PROVEN_ABSENT if number is None else Event.ACKNOWLEDGED,
            reason=reason,
            broker_order_id=number,
            resolved_by=None if number is None else ResolvedBy.OPERATOR,
            evidence={"decided_by": "operator"},
        )
        conclusion = await self._journal.conclude(attempt, finding)
        if conclusion.contradiction is not None:
            raise JournalError(f"Order {client_order_id!r} cannot be settled so: {conclusion.contradiction}.")
        self._settlements.ring(client_order_id)
        settled: OrderRecord | None = await self._journal.find(client_order_id)
        assert settled is not None, "it was just written"  # noqa: S101
        return describe(settled)
