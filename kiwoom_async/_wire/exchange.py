"""What one HTTP request led to: an answer, or a breakdown that says whether the broker may have the request.

The class of an exception never decides about delivery (two popular HTTP pools report a connection that was
closed *after* the whole order had arrived as a connect error); `Breakdown.handed_over` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import TypeAlias

from attrs import field, frozen


@unique
class BreakdownKind(StrEnum):
    """What broke. For people and logs: `Breakdown.handed_over` alone decides what may be concluded."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    RESET = "reset"
    WRITE = "write"
    PROTOCOL = "protocol"
    ABORTED = "aborted"
    OTHER = "other"


@frozen
class Answer:
    """A whole HTTP answer, read to its end. Its repr shows neither headers nor content: both can hold tokens.

    Attributes:
        status: The HTTP status; redirects are answers too, for nothing follows them.
        headers: Names in lower case.
        content: The body, with any content encoding undone.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@frozen
class Breakdown:
    """There is no whole answer.

    Attributes:
        kind: What broke.
        detail: In words, without tokens and without anything the server sent.
        handed_over: False is a positive proof that no byte of the request was handed to a connection. True
            means that the broker may have it.
    """

    kind: BreakdownKind
    detail: str
    handed_over: bool


Exchange: TypeAlias = Answer | Breakdown
