"""What an answer says about the rate limit it met (유량)."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from kiwoom_async._wire.answers import read_answer
from kiwoom_async._wire.exchange import Answer

_OF_TR: Final = "1700"
_OF_ALL: Final = frozenset({"1701", "1702"})
"""Limits over more than one TR [O]; nobody has met one, so that they are taken for limits of the class."""

_STATED: Final = re.compile(r"유량\s*=\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)(?![\w.])")
"""`유량=5, API ID=ka10081` [M]. Older texts state none, and one for au10001 has the TR where the number belongs [M]."""


@frozen
class MetLimit:
    """A rate limit as an answer states it.

    Attributes:
        is_of_class: It counts more than one TR.
        stated: Requests per second. None: the answer states none.
    """

    is_of_class: bool
    stated: float | None


def read_limit(answer: Answer, api_id: str) -> MetLimit | None:
    """Read the rate limit that an answer says was exceeded; None for every other answer. Never raises.

    1634 and 1687 come in the same words, but a slower client meets them all the same.
    """
    reading = read_answer(answer, api_id)
    if reading.meaning is None or (reading.code != _OF_TR and reading.code not in _OF_ALL):
        return None
    found = _STATED.search(reading.message)
    rate = float(found[1]) if found else 0.0
    return MetLimit(reading.code in _OF_ALL, rate or None)
