"""Lists whose rows may leave while their pages are read: complete, or a failed query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar

from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import QueryFailed

_Row = TypeVar("_Row")

LOOKS_AT_A_MOVING_LIST: Final = 3
"""How often a list that moved while it was paged is read anew before the query counts as failed. Source: our choice, as
for the day's ledger."""


async def read_steadily(
    gateway: Gateway,
    call: Call,
    decode: Callable[[str, Mapping[str, Any]], tuple[_Row, ...]],
    name: Callable[[_Row], object],
    *,
    may_repeat: bool = False,
) -> tuple[Mapping[str, Any], tuple[_Row, ...]]:
    """Read a list to its last page, and make sure that no row slipped from one page to another meanwhile.

    A row that leaves moves all that follow one place up, so that the first of a page not yet read is never seen. Where
    there is more than one page, all but the last are therefore read again: with the same rows on them, nothing moved.
    A name that comes twice means that its row slipped onto the next page, or, where names may repeat, that there are
    two such rows: then the last page is read again as well.

    Args:
        gateway: Asks.
        call: The query.
        decode: Reads the rows of a page.
        name: Tells a row from the others, whatever its numbers are.
        may_repeat: Two rows may have the same name.

    Returns:
        The first page as it came, and the rows of all pages.

    Raises:
        QueryFailed: A page failed, or the rows moved at each of several looks.
        AuthenticationError: The credentials were refused.
        RateLimited: Kiwoom's rate limit.
    """
    for _ in range(LOOKS_AT_A_MOVING_LIST):
        pages = [page.body async for page in gateway.fetch_pages(call)]
        parts = [decode(call.api_id, page) for page in pages]
        names = [[name(row) for row in part] for part in parts]
        is_unique = len({each for part in names for each in part}) == sum(map(len, names))
        seen = names[:-1] if is_unique else names
        if len(parts) == 1 or ((is_unique or may_repeat) and await _is_still_there(gateway, call, decode, name, seen)):
            return pages[0], tuple(row for part in parts for row in part)
    raise QueryFailed(call.api_id, "the rows moved while their pages were read; ask again")


async def _is_still_there(
    gateway: Gateway,
    call: Call,
    decode: Callable[[str, Mapping[str, Any]], tuple[_Row, ...]],
    name: Callable[[_Row], object],
    names: list[list[object]],
) -> bool:
    expected = iter(names)
    async with aclosing(gateway.fetch_pages(call)) as pages:
        left = len(names)
        async for page in pages:
            if [name(row) for row in decode(call.api_id, page.body)] != next(expected):
                return False
            left -= 1
            if not left:
                return True
    return False
