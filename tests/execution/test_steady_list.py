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
    """A gateway that shows one list after the other, the last one for good; pages are words, rows are letters.

    Attributes:
        asked: How often it was asked for a list.
    """

    def __init__(self, *lists: str) -> None:
        """Prepare the lists."""
        self._lists = [text.split() for text in lists]
        self.asked = 0

    async def fetch_pages(self, _: Call) -> AsyncGenerator[Page, None]:
        """Give the pages of the next list."""
        self.asked += 1
        pages = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        for page in pages:
            yield Page({"rows": page}, None)


def decode(_: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the rows of a page."""
    return tuple(body["rows"])


async def read(*lists: str, may_repeat: bool) -> str:
    """Read a list to its end."""
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


async def test_list_of_one_page_is_read_once() -> None:
    """Nothing can slip from it, and it is given as it came."""
    script = Script("abA")
    first, rows = await read_steadily(cast("Gateway", script), CALL, decode, str.upper)
    assert (first, rows, script.asked) == ({"rows": "abA"}, ("a", "b", "A"), 1)


async def test_first_page_is_given_beside_the_rows_of_all() -> None:
    """What it says of the whole list stands on it; and by itself no name may repeat."""
    first, rows = await read_steadily(cast("Gateway", Script("ab cd")), CALL, decode, str.upper)
    assert (first, rows) == ({"rows": "ab"}, ("a", "b", "c", "d"))
    with pytest.raises(QueryFailed, match="moved"):
        await read_steadily(cast("Gateway", Script("ab bc")), CALL, decode, str.upper)


async def test_list_that_became_shorter_is_read_anew() -> None:
    """Pages that are not there any more are no proof that nothing moved."""
    assert await read("ab cd ef", "ab", "ab cd", may_repeat=False) == "abcd"
