"""Requests with everything they need: a rate-limit slot, a valid token, the headers, the cursor of the next page.

A query may be asked again with a new token. An order never is: what it met is reported as it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from copy import copy
from typing import Final, Self

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.budgets import Purpose, Rank, RequestClass
from kiwoom_async._domain.clock_watch import ClockWatch
from kiwoom_async._domain.limit_status import LimitStatus
from kiwoom_async._domain.settings import Timing
from kiwoom_async._domain.sharing import Token
from kiwoom_async._transport.limiter import Limiter, Slot, SlotDenied
from kiwoom_async._transport.mark import DeliveryMark, Guard
from kiwoom_async._transport.session import RestSession
from kiwoom_async._transport.tokens import TokenKeeper
from kiwoom_async._wire.answers import Cursor, Page, read_answer, read_date, read_page
from kiwoom_async._wire.codes import CANCEL_TRS, CodeMeaning
from kiwoom_async._wire.exchange import Answer, Breakdown, Exchange
from kiwoom_async._wire.rate_limits import read_limit
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import NotSent, QueryFailed

MOST_PAGES: Final = 10_000
"""Where a query gives up on an answer that never ends. Source: our choice, far beyond a day of orders."""


class Gateway:
    """Send queries and orders to one environment with one key.

    Args:
        session: Sends single requests.
        tokens: Keeps the token valid.
        limiter: Keeps within the rate limits.
        timing: How long to wait for connections and answers.
        ambient: The wall clock, to be held against the broker's.
        idempotency_header: Name of the header that carries the client order id. None: no such header. Kiwoom does
            not read it; proxies and logs may.
    """

    def __init__(
        self,
        session: RestSession,
        tokens: TokenKeeper,
        limiter: Limiter,
        timing: Timing,
        ambient: Ambient,
        *,
        idempotency_header: str | None,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._limiter = limiter
        self._timing = timing
        self._ambient = ambient
        self.clock_watch = ClockWatch()
        self._announcing: set[str] = set()
        self._idempotency_header = idempotency_header
        self._purpose = Purpose.CALLER

    def for_library(self) -> Self:
        """Give the same gateway for the library's own queries: however many the caller has waiting, they get turns."""
        own = copy(self)
        own._purpose = Purpose.LIBRARY  # noqa: SLF001 - of the same class
        return own

    async def make_ready(self, call: Call, deadline: float | None, *, is_again: bool = False) -> tuple[Token, Slot]:
        """Do all slow work before an order is committed: wait for a slot and for a valid token.

        Args:
            call: The order.
            deadline: A value of `Ambient.monotonic`. None: wait as long as it takes.
            is_again: It has been sent before, and goes before those that were not.

        Returns:
            The token and the slot. Give the slot to `send_order`, or give it back.

        Raises:
            NotSent: There is no slot or no token before the deadline.
            AuthenticationError: The credentials were refused.
        """
        # Without a token no slot is taken.
        await self._tokens.get(deadline=deadline)
        usual = Rank.AGAIN if is_again else Rank.USUAL
        rank = Rank.CANCEL if call.api_id in CANCEL_TRS else usual
        try:
            slot = await self._limiter.slot(call.api_id, RequestClass.ORDERS, deadline, rank=rank)
        except SlotDenied as error:
            raise NotSent(
                f"{call.api_id} was not sent: the rate limit leaves no room before the deadline. Send fewer orders a "
                "second, or give a longer deadline.",
                api_id=call.api_id,
            ) from error
        try:
            # After a long wait it may be another one.
            return await self._tokens.get(deadline=deadline), slot
        except BaseException:
            slot.give_back()
            raise

    async def send_order(
        self,
        call: Call,
        content: bytes,
        token: Token,
        slot: Slot,
        *,
        client_order_id: str,
        guard: Guard,
        mark: DeliveryMark,
    ) -> Exchange:
        """Send an order once.

        Delivery: `mark` tells at any moment whether the broker may have it.

        Cancellation: gives the request up; look at `mark`.
        """
        headers = {
            "api-id": call.api_id,
            "authorization": token.authorization,
            "cont-yn": "N",
            "next-key": "",
        }
        if self._idempotency_header is not None:
            headers[self._idempotency_header] = client_order_id
        try:
            exchange = await self._post(call.path, headers, content, guard=guard, mark=mark)
        finally:
            if mark.may_have_left:
                slot.end()
            else:
                slot.give_back()
        self._learn(exchange, call.api_id, RequestClass.ORDERS)
        return exchange

    async def _post(
        self,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        guard: Guard | None = None,
        mark: DeliveryMark | None = None,
    ) -> Exchange:
        sent = self._ambient.now()
        exchange = await self._session.post(
            path,
            headers=headers,
            content=content,
            connect_timeout=self._timing.connect_timeout,
            response_timeout=self._timing.response_timeout,
            guard=guard,
            mark=mark,
        )
        if isinstance(exchange, Answer) and (date := read_date(exchange)) is not None:
            self.clock_watch.observe(date, sent, self._ambient.now())
        return exchange

    @property
    def limits(self) -> LimitStatus:
        """Tell how the rate limits hold requests up."""
        return self._limiter.status

    @property
    def longest_lag(self) -> float:
        """Give how many seconds after its guard was asked a request may still leave."""
        if self._session.knows_guard:
            return 0.0
        return self._timing.connect_timeout + self._timing.response_timeout

    async def revoke_token(self) -> bool:
        """Give the token back; see `TokenKeeper.revoke`."""
        return await self._tokens.revoke()

    def reject_token(self, token: Token) -> None:
        """Note that Kiwoom refused a token; the next request gets a new one."""
        self._tokens.reject(token)

    async def fetch_page(self, call: Call, cursor: Cursor | None = None) -> Page:
        """Ask one query, again once if the token was refused.

        Raises:
            QueryFailed: There is no complete answer.
            AuthenticationError: The credentials or the new token were refused.
            RateLimited: Kiwoom's rate limit.
            InvalidRequest: Kiwoom did not understand the query.
        """
        token, exchange = await self._ask(call, cursor)
        if not isinstance(exchange, Breakdown):
            if read_answer(exchange, call.api_id).meaning is not CodeMeaning.TOKEN_REFUSED:
                return self._read_page(exchange, call, cursor)
            self._tokens.reject(token)
            _, exchange = await self._ask(call, cursor)
        if isinstance(exchange, Breakdown):
            raise QueryFailed(call.api_id, f"{exchange.kind.value}: {exchange.detail}")
        return self._read_page(exchange, call, cursor)

    def _read_page(self, answer: Answer, call: Call, cursor: Cursor | None) -> Page:
        page = read_page(answer, call.api_id, is_first=cursor is None)
        if "cont-yn" in answer.headers:
            self._announcing.add(call.api_id)
        elif call.api_id in self._announcing:
            # The header is optional, but a TR that had it and has not any more may have lost the news of more pages.
            raise QueryFailed(call.api_id, "cont-yn is missing, although this TR had it before")
        return page

    async def _ask(self, call: Call, cursor: Cursor | None) -> tuple[Token, Exchange]:
        try:
            token = await self._tokens.get()
        except NotSent as error:
            raise QueryFailed(call.api_id, "there is no token to ask with") from error
        try:
            slot = await self._limiter.slot(call.api_id, RequestClass.QUERIES, purpose=self._purpose)
        except SlotDenied as error:
            raise QueryFailed(call.api_id, "the client was closed before it was asked") from error
        headers = {
            "api-id": call.api_id,
            "authorization": token.authorization,
            "cont-yn": "N" if cursor is None else "Y",
            "next-key": "" if cursor is None else cursor.next_key,
        }
        try:
            exchange = await self._post(call.path, headers, call.to_bytes())
        finally:
            slot.end()
        self._learn(exchange, call.api_id, RequestClass.QUERIES)
        return token, exchange

    def _learn(self, exchange: Exchange, api_id: str, kind: RequestClass) -> None:
        """Take a lesson from a rate-limit answer."""
        if isinstance(exchange, Breakdown) or (limit := read_limit(exchange, api_id)) is None:
            return
        self._limiter.note_refusal(kind.value if limit.is_of_class else api_id, limit.stated)

    async def fetch_pages(self, call: Call) -> AsyncGenerator[Page, None]:
        """Ask a query to its last page.

        Raises:
            QueryFailed: A page failed, or the cursor came twice: the pages seen so far are not the whole.
        """
        cursor: Cursor | None = None
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            page = await self.fetch_page(call, cursor)
            yield page
            cursor = page.cursor
            if cursor is None:
                return
            if cursor.next_key in seen:
                raise QueryFailed(call.api_id, "the cursor of a page came twice")
            seen.add(cursor.next_key)
        raise QueryFailed(call.api_id, f"there are more than {MOST_PAGES} pages")
