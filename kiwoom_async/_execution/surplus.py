"""Canceling the surplus order where one client order id has two on the book; only for those who asked for it.

A duplicate needs a broken assumption: an order that was proven absent and sent again turns up after all. It is always
reported. Its cancel is sent once, by itself, and only while nothing of it has traded: what has traded is a position,
and what to do about that is a person's decision.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final

from attrs import frozen

from kiwoom_async._domain.ambient import Ambient, Checkpoint, korean_day
from kiwoom_async._domain.intents import Attempt, Intent, OrderRequest
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, OrderStatus, ResolvedBy
from kiwoom_async._execution.dispatcher import Dispatcher
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.tasks import OwnTasks
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Claim, OrderRecord
from kiwoom_async.errors import KiwoomError, OutcomeUnknown, QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")


@frozen
class _Surplus:
    """An order that should not be there, and the cancel of it."""

    attempt: Attempt
    claim: Claim
    cancel: Intent


class SurplusCanceler:
    """Find duplicates of today that have not traded, and cancel each once.

    Args:
        journal: Knows the duplicates, and which cancels were sent.
        reader: Tells whether something of one has traded.
        dispatcher: Sends the cancels as it sends any other.
        tasks: Own the waiting for their answers.
        ambient: The clock.
        is_wanted: Somebody asked for it.
    """

    def __init__(
        self,
        journal: Journal,
        reader: LedgerReader,
        dispatcher: Dispatcher,
        tasks: OwnTasks,
        ambient: Ambient,
        *,
        is_wanted: bool,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._ambient = ambient
        self._is_wanted = is_wanted
        self._begun: set[str] = set()

    async def is_due(self) -> bool:
        """Tell whether there is an order to cancel."""
        return bool(await self._find())

    async def begin(self) -> None:
        """Begin to cancel what is surplus; nobody waits for the answers."""
        for surplus in await self._find():
            try:
                has_traded = await self._has_traded(surplus)
            except (QueryFailed, Refused) as error:
                _LOG.info("the surplus order %s is looked at later: %s", surplus.claim.broker_order_id, error)
                continue
            name = surplus.cancel.client_order_id
            self._begun.add(name)
            if has_traded:
                _LOG.error("the surplus order %s has traded or is over: decide", surplus.claim.broker_order_id)
                continue
            self._ambient.reached(Checkpoint.DURING_AUTO_CANCEL)
            self._tasks.start(self._cancel(surplus), f"kiwoom order {name}")

    async def _has_traded(self, surplus: _Surplus) -> bool:
        """Ask the broker: without a feed the journal does not hear of fills."""
        request, claim = surplus.cancel.request, surplus.claim
        since = int(claim.broker_order_id) - 1
        snapshot = await self._reader.fetch_snapshot(request.desk.ledger, claim.day, since, symbol=request.symbol)
        for row in snapshot.rows:
            if row.broker_order_id == claim.broker_order_id:
                return row.filled_quantity > 0 or row.leaves_quantity == 0
        raise QueryFailed("ledger", f"it does not list our order {claim.broker_order_id}")

    async def _cancel(self, surplus: _Surplus) -> None:
        name, number = surplus.cancel.client_order_id, surplus.claim.broker_order_id
        _LOG.warning("order %s is surplus for %s and is canceled", number, surplus.attempt.client_order_id)
        try:
            await self._dispatcher.place(surplus.cancel, deadline=None, is_fresh=False)
        except OutcomeUnknown as error:
            _LOG.warning("the cancel of the surplus order %s is not answered yet: %s", number, error)
        except KiwoomError as error:
            _LOG.error("the surplus order %s is not canceled: %s", number, error)
        finally:
            # The journal knows whether it left. If it did not, the next pass tries again.
            self._begun.discard(name)

    async def _find(self) -> list[_Surplus]:
        if not self._is_wanted:
            return []
        found = []
        for attempt in await self._journal.duplicates(korean_day(self._ambient.now())):
            record = await self._journal.find(attempt.client_order_id)
            claim = None if record is None else _claim_to_cancel(record, attempt)
            if claim is None:
                continue
            cancel = self._intent(attempt, claim)
            name = cancel.client_order_id
            sent = await self._journal.find(name)
            if name not in self._begun and (sent is None or sent.may_be_sent):
                found.append(_Surplus(attempt, claim, cancel))
        return found

    def _intent(self, attempt: Attempt, claim: Claim) -> Intent:
        request = OrderRequest(
            desk=attempt.request.desk,
            action=Action.CANCEL,
            symbol=attempt.request.symbol,
            side=attempt.request.side,
            quantity=None,
            route=attempt.request.route,
            original=claim.broker_order_id,
            original_day=claim.day,
        )
        # The same in every process and at every start, so that it is sent once.
        digest = hashlib.sha256(attempt.key.encode()).hexdigest()[:32]
        return Intent(f"surplus:{claim.day}:{digest}", attempt.account, request, self._ambient.now())


def _claim_to_cancel(record: OrderRecord, attempt: Attempt) -> Claim | None:
    """Give the number of a duplicate that may be canceled; None where it has traded, is over, or rests on a guess."""
    if attempt.number == record.speaking.number or attempt.resolved_by in {None, ResolvedBy.OPERATOR}:
        return None
    if attempt.request.action is not Action.NEW or attempt.state is not Delivery.DUPLICATE:
        return None
    for claim in record.claims:
        if claim.attempt == attempt.number and not claim.filled_quantity and claim.status in _UNTOUCHED:
            return claim
    return None


_UNTOUCHED: Final = {None, OrderStatus.WORKING}
