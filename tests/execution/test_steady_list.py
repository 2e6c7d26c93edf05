"""A list of several pages is given whole or not at all, also where two of its rows have the same name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest

from kiwoom_async._execution.steady_list import read_steadily
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._wire.answers import Page
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import QueryFailed

CALL = Call("kt00018", "/api/dostk/acnt", {})


class Script:
    """A gateway that shows one list after the other, the last one for good; pages are words, rows are letters."""

    def __init__(self, *lists: str) -> None:
        self._lists = [text.split() for text in lists]

    async def fetch_pages(self, _: Call) -> AsyncGenerator[Page, None]:
        """Give the pages of the next list."""
        pages = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        for page in pages:
            yield Page({"rows": page}, None)


async def read(*lists: str, may_repeat: bool) -> str:
    """Read a list to its end."""

    def decode(_: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(body["rows"])

    gateway = cast("Gateway", Script(*lists))
    _, rows = await read_steadily(gateway, CALL, decode, str.upper, may_repeat=may_repeat)
    return "".join(rows)


async def test_two_rows_of_one_name_are_two_rows() -> None:
    """Two loans of a symbol on one day, on one page or on two."""
    assert await read("ab aC d", may_repeat=True) == "abaCd"
    assert await read("ab Ac", may_repeat=True) == "abAc"


async def test_name_that_may_not_repeat_fails() -> None:
    """It came twice because the list moved."""
    with pytest.raises(QueryFailed, match="moved"):
        await read("ab bc", may_repeat=False)


async def test_row_that_slips_onto_the_next_page_is_given_once() -> None:
    """The second look at all pages shows it, whether names may repeat or not; also at a list that moved back."""
    for may_repeat in (True, False):
        assert await read("ab bc", "xa bc", may_repeat=may_repeat) == "xabc"
        assert await read("ab bc", "ab cd", may_repeat=may_repeat) == "abcd"
