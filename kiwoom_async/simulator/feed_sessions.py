"""The connections of the feed, without their sockets.

A session's outbox holds what its connection has to do, in order: texts to send, and at last how to end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, auto

from attrs import define, field

from kiwoom_async.simulator.frames import FeedType, written

Message = Mapping[str, object]


class Ending(Enum):
    """How a connection ends."""

    CLOSE = auto()  # code 1000, "Bye"
    RESET = auto()  # RST, after what was sent before has had time to arrive
    ABORT = auto()  # at once


@define(eq=False)
class Session:
    """One connection.

    Attributes:
        wake: Tells the connection that there is something in the outbox.
        app_key: Who logged in; None: nobody.
        groups: Types registered, by group number.
        is_mute: Half open: nothing leaves and nothing is heard.
        is_over: Its end stands in the outbox, or it has gone.
    """

    wake: Callable[[], None]
    outbox: deque[str | Ending] = field(factory=deque)
    app_key: str | None = field(default=None, repr=False)
    groups: dict[str, set[str]] = field(factory=dict)
    is_mute: bool = False
    is_over: bool = False
    pings: int = 0
    echoes: int = 0

    @property
    def is_logged_in(self) -> bool:
        """Whether it is a session to the broker."""
        return self.app_key is not None and not self.is_over

    def listens_to(self, kind: FeedType) -> bool:
        """Whether a frame of a type would reach it."""
        return self.is_logged_in and not self.is_mute and any(kind.value in types for types in self.groups.values())

    def push(self, message: Message | str) -> None:
        """Send something."""
        if self.is_over or self.is_mute:
            return
        self.outbox.append(message if isinstance(message, str) else written(message))
        self.wake()

    def end(self, ending: Ending) -> None:
        """End the connection after what is in the outbox; an abort does not wait for that."""
        if ending is Ending.ABORT:
            self.outbox.clear()
        elif self.is_over:
            return
        self.is_over = True
        self.outbox.append(ending)
        self.wake()
