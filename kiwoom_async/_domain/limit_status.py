"""How the rate limits hold requests up: `client.limits`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class LimitStatus:
    """The rate limits at one moment, and what they have cost this client since it was opened.

    Attributes:
        waiting: Requests of this client that wait for their start now.
        longest_wait: Seconds that the longest wait took, one that goes on included.
        total_wait: Seconds that all waits took together.
        begun: Requests that were let through.
        delayed: How many of them had to wait.
        denied: Requests whose moment would have come after their deadline; they were not sent (`NotSent`).
        refused: Answers of Kiwoom that there were too many requests (1700 and its family).
        lowered: Rates that such answers have lowered, per second, by TR id, or by "orders" and "queries".
        is_shared: The limits are kept together with the other processes of this key.
    """

    waiting: int = 0
    longest_wait: float = 0.0
    total_wait: float = 0.0
    begun: int = 0
    delayed: int = 0
    denied: int = 0
    refused: int = 0
    lowered: Mapping[str, float] = field(factory=dict)
    is_shared: bool = False
