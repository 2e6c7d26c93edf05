"""Complete views of the broker's book: the day's ledger and the open orders, paged to the end or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, Final

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder, Snapshot
from kiwoom_async._domain.settings import Timing
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._execution.steady_list import read_steadily
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.executions import decode_executions
from kiwoom_async._wire.ledger import decode_ledger, decode_open_orders
from kiwoom_async._wire.requests import Call, executions_call, ledger_call, open_orders_call
from kiwoom_async.errors import QueryFailed

LOOKS_AT_A_MOVING_LEDGER: Final = 3
"""How often a ledger that moved while it was paged is read anew before the look counts as failed. Source: our choice;
the next look comes a second later anyway."""


class LedgerReader:
    """Read the book of one account."""

    def __init__(self, gateway: Gateway, ambient: Ambient, timing: Timing) -> None:
        self._gateway = gateway
        self._ambient = ambient
        self._timing = timing
        self._account: str | None = None
        self.queries = 0

    @property
    def proven_clock_difference(self) -> float:
        """Give by how many seconds the broker's clock and ours are proven to differ, at the least."""
        return self._gateway.clock_watch.proven

    async def fetch_snapshot(self, desk: Desk, day: date, since: int, *, symbol: str = "") -> Snapshot:
        """Read a day's ledger after an order number, complete; of one symbol only, where one is named.

        Raises:
            QueryFailed: A page failed, the pages do not fit together, or the day changed meanwhile.
            AuthenticationError: The credentials were refused.
            RateLimited: Kiwoom's rate limit.
        """
        for _ in range(LOOKS_AT_A_MOVING_LEDGER - 1):
            with suppress(_LedgerMoved):
                return await self._read_ledger(desk, day, since, symbol)
        return await self._read_ledger(desk, day, since, symbol)

    async def _read_ledger(self, desk: Desk, day: date, since: int, symbol: str) -> Snapshot:
        call = ledger_call(desk, day, since, symbol)
        began, began_at, asked = self._ambient.monotonic(), self._ambient.now(), self.queries
        rows: dict[str, LedgerOrder] = {}
        first_page: tuple[LedgerOrder, ...] = ()
        pages = 0
        async for page in self._gateway.fetch_pages(call):
            self.queries += 1
            pages += 1
            listed = decode_ledger(call.api_id, desk, day, page.body)
            first_page = listed if pages == 1 else first_page
            for row in listed:
                if row.broker_order_id in rows:
                    raise _LedgerMoved(call.api_id, f"order {row.broker_order_id} is listed twice")
                rows[row.broker_order_id] = row
        if pages > 1:
            await self._require_same_start(call, desk, day, first_page)
        if korean_day(self._ambient.now()) != korean_day(began_at):
            raise QueryFailed(call.api_id, "midnight passed while it was read")
        skew = timedelta(seconds=self._timing.clock_skew)
        return Snapshot(
            desk=desk,
            day=day,
            since=since,
            rows=tuple(row for row in rows.values() if row.number > since),
            began=began,
            finished=self._ambient.monotonic(),
            is_final=korean_day(began_at - skew) > day,
            queries=self.queries - asked,
        )

    async def _require_same_start(self, call: Call, desk: Desk, day: date, first_page: tuple[LedgerOrder, ...]) -> None:
        # A row that slipped from one page to another while we read would be missed: then the first page has moved.
        page = await self._gateway.fetch_page(call)
        self.queries += 1
        again = decode_ledger(call.api_id, desk, day, page.body)
        if [row.broker_order_id for row in again] != [row.broker_order_id for row in first_page]:
            raise _LedgerMoved(call.api_id, "the pages moved while they were read")

    async def fetch_highest_number(self, desk: Desk, day: date) -> int:
        """Read one page of a day's ledger, newest first, and give the highest order number on it; 0 for an empty one.

        Whatever the order of the rows really is, an order that is sent later has a higher number (A8).

        Raises:
            QueryFailed: The page failed.
        """
        call = ledger_call(desk, day, 0, newest_first=True)
        page = await self._gateway.fetch_page(call)
        self.queries += 1
        return max((row.number for row in decode_ledger(call.api_id, desk, day, page.body)), default=0)

    async def fetch_open_orders(self, desk: Desk, symbol: str = "") -> tuple[OpenOrder, ...]:
        """Read the orders still in the book, complete; of one symbol only, where one is named.

        Raises:
            QueryFailed: A page failed, or shows another account.
        """
        call = open_orders_call(desk, korean_day(self._ambient.now()), symbol)
        found: dict[str, OpenOrder] = {}
        async for page in self._gateway.fetch_pages(call):
            self.queries += 1
            for row in decode_open_orders(call.api_id, desk, page.body):
                self._require_same_account(call, row)
                found[row.broker_order_id] = row
        return tuple(found.values())

    async def fetch_steady_open_orders(self, desk: Desk) -> tuple[OpenOrder, ...]:
        """Read the orders still in the book, with a second look where one could have slipped between two pages.

        Raises:
            QueryFailed: A page failed, shows another account, or the book did not rest.
        """
        call = open_orders_call(desk, korean_day(self._ambient.now()))

        def decode(api_id: str, body: Mapping[str, Any]) -> tuple[OpenOrder, ...]:
            return decode_open_orders(api_id, desk, body)

        _, rows = await read_steadily(self._gateway, call, decode, lambda row: row.broker_order_id)
        for row in rows:
            self._require_same_account(call, row)
        return rows

    async def fetch_executions(self, day: date) -> tuple[ExecutedOrder, ...]:
        """Read what today's stock orders have filled, complete.

        Raises:
            QueryFailed: A page failed.
        """
        call = executions_call()
        found: list[ExecutedOrder] = []
        async for page in self._gateway.fetch_pages(call):
            self.queries += 1
            found += decode_executions(call.api_id, Desk.STOCK, day, page.body)
        return tuple(found)

    def _require_same_account(self, call: Call, row: OpenOrder) -> None:
        self._account = self._account or row.account_digest
        if row.account_digest not in {None, self._account}:
            raise WrongAccount(call.api_id, "it shows orders of another account than before")


class WrongAccount(QueryFailed):
    """A look shows orders of another account (A6)."""


class _LedgerMoved(QueryFailed):
    """The pages do not fit together; another try may."""
