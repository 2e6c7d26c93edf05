"""`client.call` and `client.pages`: any query of the public guide by its id, raw."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from kiwoom_async._domain.validation import check_count
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.directory import prepare_call
from kiwoom_async._wire.requests import Call


class Calls:
    """Ask TRs by name. Orders are refused: none may go past the journal."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def call(
        self, api_id: str, body: Mapping[str, str] | None = None, *, path: str | None = None
    ) -> Mapping[str, Any]:
        """Ask one TR and give the first page of its answer as it came.

        Args:
            api_id: The TR's id (TR명), for example ``ka10001``.
            body: Field name to value, every value as text, in Kiwoom's own words. None: no fields.
            path: Where to post it, for a TR that this release does not know. None: found by the id.

        Returns:
            The JSON object, with ``return_code`` and ``return_msg``. Empty where Kiwoom says by an error that there is
            nothing.

        Raises:
            ValidationError: The TR is unknown (near matches are named), is an order or no query, or a value is not
                text. Nothing was sent.
            QueryFailed: There is no complete answer, or it refuses with a code that has no error of its own.
            AuthenticationError: The key, the secret or a new token was refused.
            RateLimited: Kiwoom's rate limit, in spite of ours.
            InvalidRequest: Kiwoom did not understand the query.

        Delivery: Nothing is journaled; neither body nor answer is logged. The query waits for a slot of the rate limit
        and is asked once more if its token was refused. Bound the wait with `asyncio.timeout`.

        Cancellation: Safe. The slot is given back, the answer thrown away.

        Source: any TR of the public guide.
        """
        page = await self._gateway.fetch_page(prepare_call(api_id, body, path))
        return page.body

    def pages(
        self,
        api_id: str,
        body: Mapping[str, str] | None = None,
        *,
        path: str | None = None,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Ask one TR page after page (연속조회) and give each as it came, the last one or `limit` of them ending it.

        Each page waits for a slot of the rate limit, and is asked only when the one before has been dealt with. The
        ledger may move between two pages: rows can come twice or be missing.

        Args:
            api_id: The TR's id (TR명), for example ``ka10081``.
            body: Field name to value, every value as text. None: no fields.
            path: Where to post it, for a TR that this release does not know. None: found by the id.
            limit: Pages at most. None: all there are.
            progress: Called with the count of pages read so far, before each is given. None: not wanted.

        Returns:
            An iterator for ``async for``. Whoever leaves early can close it with `contextlib.aclosing`; nothing is
            held open between two pages in any case.

        Raises:
            ValidationError: At once, as by `call`; `limit` has to be a whole number above zero. Nothing was sent.
            QueryFailed: While iterating: a page failed, or the pages do not end. What came before is not the whole.
            AuthenticationError: As by `call`, while iterating.
            RateLimited: As by `call`, while iterating.
            InvalidRequest: As by `call`, while iterating.

        Delivery: As of `call`.

        Cancellation: Safe, also between two pages. The iterator ends with it.

        Source: ``cont-yn`` and ``next-key`` of the answer's headers, which the next request repeats.
        """
        most = None if limit is None else check_count("limit", limit, unit="pages")
        return self._read(prepare_call(api_id, body, path), most, progress)

    async def _read(
        self, call: Call, limit: int | None, progress: Callable[[int], object] | None
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        count = 0
        async with aclosing(self._gateway.fetch_pages(call)) as pages:
            async for page in pages:
                count += 1
                if progress is not None:
                    progress(count)
                yield page.body
                if count == limit:
                    return
