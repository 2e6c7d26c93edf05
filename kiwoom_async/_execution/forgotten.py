"""After a journal was accepted although it lacks records: which orders on the book it has forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.intents import Attempt
from kiwoom_async._domain.monitors import Looking
from kiwoom_async._domain.relations import ChannelKnowledge, Relation
from kiwoom_async._domain.reports import LedgerOrder, Snapshot
from kiwoom_async._domain.settings import Environment, Timing
from kiwoom_async._domain.states import UNRESOLVED, Delivery
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.seals import Acceptance
from kiwoom_async.errors import QueryFailed, Refused

_LOG: Final = logging.getLogger("kiwoom_async")

LEDGERS: Final = tuple(dict.fromkeys(desk.ledger for desk in Desk))


class ForgottenOrders:
    """Hold the book of the day on which a journal was accepted against the journal."""

    def __init__(
        self, journal: Journal, reader: LedgerReader, ambient: Ambient, timing: Timing, environment: Environment
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._ambient = ambient
        self._timing = timing
        self._environment = environment
        self._alarms: dict[Desk, tuple[str, ...]] = {}
        self._settled: set[Desk] = set()
        self._next_look = 0.0
        self._acceptance: Acceptance | None = None
        self._is_read = False

    @property
    def alarms(self) -> tuple[str, ...]:
        """Give an alarm for each order that the journal does not know, as of the last look."""
        return tuple(alarm for alarms in self._alarms.values() for alarm in alarms)

    async def is_due(self) -> bool:
        """Tell whether there is a ledger to look at now."""
        return await self._due() is not None

    async def _due(self) -> Acceptance | None:
        """Give the acceptance whose book is to be looked at now; None if there is none, or not now."""
        if not self._is_read:
            # Whoever accepts closes the clients of the journal before.
            self._acceptance, self._is_read = await self._journal.acceptance(), True
        accepted = self._acceptance
        if (
            accepted is not None
            and len(self._settled) < len(LEDGERS)
            and self._ambient.monotonic() >= self._next_look
            and korean_day(accepted.at) == korean_day(self._ambient.now())
        ):
            return accepted
        return None

    async def look(self) -> tuple[str, ...]:
        """Look where that is due; give all alarms. A look that fails is repeated later."""
        accepted = await self._due()
        if accepted is None:
            return self.alarms
        self._next_look = self._ambient.monotonic() + self._timing.watch_interval
        is_settled = await self._is_settled(accepted)
        for desk in [desk for desk in LEDGERS if desk not in self._settled]:
            try:
                self._alarms[desk], is_clear = await self._look_at(desk, accepted)
            except (QueryFailed, Refused) as error:
                _LOG.info("what an accepted journal has forgotten of the %s ledger is asked later: %s", desk, error)
                continue
            if is_settled and is_clear:
                self._settled.add(desk)
        return self.alarms

    async def _is_settled(self, accepted: Acceptance) -> bool:
        """Tell whether the book lists all that was sent before (A4, A5), and none of it is still to be claimed."""
        bounds = self._timing.acceptance_bound + self._timing.visibility_bound + self._timing.clock_skew
        if self._ambient.now() < accepted.at + timedelta(seconds=bounds):
            return False
        attempts = await self._journal.open_attempts()
        return not any(attempt.state in UNRESOLVED and attempt.dispatched_at <= accepted.at for attempt in attempts)

    async def _look_at(self, desk: Desk, accepted: Acceptance) -> tuple[tuple[str, ...], bool]:
        """Look at one ledger.

        Returns:
            An alarm for each order that is known to be forgotten, and whether nothing else may be.
        """
        day = korean_day(accepted.at)
        snapshot = await self._reader.fetch_snapshot(desk, day, 0)
        # In this order: what an attempt is given a number of meanwhile is among the claims.
        attempts = await self._journal.open_attempts()
        claims = await self._journal.claims(desk, day, 0)
        channels = ChannelKnowledge(await self._journal.channels(desk))
        before = accepted.at + timedelta(seconds=self._timing.clock_skew)
        strangers = [
            row
            for row in snapshot.rows
            if row.broker_order_id not in claims
            and channels.relation(row.channel) is Relation.LIKELY
            and (row.ordered_at is None or row.ordered_at <= before)
        ]
        unclear = self._find_unclear(strangers, snapshot, attempts)
        alarms = tuple(_alarm(row, accepted) for row in strangers if row.broker_order_id not in unclear)
        return alarms, not unclear

    def _find_unclear(
        self, rows: Sequence[LedgerOrder], snapshot: Snapshot, attempts: Iterable[Attempt]
    ) -> frozenset[str]:
        """Find the rows that an order may be which the journal knows, and whose number it does not know yet."""
        now, monotonic, boot_id = self._ambient.now(), self._ambient.monotonic(), self._ambient.boot_id
        owners = [
            attempt.dated_by(now, monotonic, boot_id)
            for attempt in attempts
            if attempt.state is not Delivery.PREPARED and attempt.request.desk.ledger is snapshot.desk.ledger
        ]
        looking = Looking(self._timing, self._environment, boot_id, ChannelKnowledge())
        return looking.find_related(snapshot, rows, owners)


def _alarm(row: LedgerOrder, accepted: Acceptance) -> str:
    order = f"{row.action.value} {row.side.value} {row.quantity} {row.symbol}"
    return (
        f"order {row.broker_order_id} ({order}) is on the book and not in the journal, which lacks {accepted.missing} "
        f"records of before {accepted.at:%H:%M:%S}: do not ask for it again under its id"
    )
