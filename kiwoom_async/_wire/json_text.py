"""JSON that says one thing: Python's own reader takes more than JSON, and of two values of one name the last.

An answer about money that contradicts itself is no answer. Lives here because everything that Kiwoom sends is read by
it: answers, frames and tokens.
"""

from __future__ import annotations

import json
from math import isinf
from typing import Any, Final, NoReturn


def read_json(content: bytes | str) -> Any:
    """Read JSON.

    Args:
        content: Bytes must be UTF-8; a mark of the byte order before them says nothing.

    Raises:
        ValueError: It is no JSON, or one that cannot be taken at its word: NaN, a number beyond all numbers, a name
            that stands twice with different values, more nesting than can be followed. The text quotes nothing.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        # Not from the cause, which carries the content: it can hold a token.
        raise ValueError(f"not JSON that can be taken at its word ({type(error).__name__})") from None


def storable(text: str) -> str:
    """Give a text as a file can hold it: half a surrogate pair is valid JSON, and no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for name, value in pairs:
            # 0, 0.0 and false are equal, and different statements.
            if type(value) is not type(made[name]) or value != made[name]:
                raise ValueError("a name stands twice with different values")
    return made


def _make_float(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("a number beyond all numbers")
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_make_object, parse_float=_make_float, parse_constant=_refuse_constant
)
