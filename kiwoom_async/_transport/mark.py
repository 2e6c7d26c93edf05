"""The delivery mark and the guard: how the caller of a transport learns whether the request may have left.

Both travel in the extensions of an `httpx.Request`, so that every transport can be given them and a transport
that does not know them does no harm: its mark stays un-kept, which reads as "may have left".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

MARK: Final = "kiwoom_async.mark"
"""Key of the `DeliveryMark` in `request.extensions`."""

GUARD: Final = "kiwoom_async.guard"
"""Key of the `Guard` in `request.extensions`."""

Guard: TypeAlias = Callable[[], None]
"""Called once, when a connection is in hand and before the first byte. Raises `SendAborted` to refuse."""


class SendAborted(Exception):
    """The guard refused the request; nothing was written.

    Attributes:
        reason: Why, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@define(eq=False)
class DeliveryMark:
    """What a transport knows about one request. Make a new one for each request.

    Attributes:
        is_kept: The transport promises to set `handed_over` before it hands over the first byte. A transport
            that has never heard of marks leaves this False.
        handed_over: A connection was handed the request: its bytes may have left.
        on_handed_over: Told at that moment, so that the time for the answer starts to run then.
    """

    is_kept: bool = False
    handed_over: bool = False
    on_handed_over: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def may_have_left(self) -> bool:
        """Whether the broker may have the request. False is a proof."""
        return self.handed_over or not self.is_kept

    def keep(self) -> None:
        """Promise to keep this mark."""
        self.is_kept = True

    def hand_over(self) -> None:
        """Note that the request goes to a connection now."""
        self.handed_over = True
        if self.on_handed_over is not None:
            self.on_handed_over()
