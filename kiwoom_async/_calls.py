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
        """Ask one TR and give the first page of its answer; `KiwoomClient.call` tells the rest."""
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
        """Ask one TR page after page, to the last or the `limit`; `KiwoomClient.pages` tells the rest."""
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
