"""What is known about the real-time feed, and since when it has been unbroken."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum, unique

from attrs import frozen


@unique
class FeedState(StrEnum):
    """How this client hears of its orders."""

    OFF = "off"
    """No feed was asked for, or the environment has none: the ledger is asked while somebody waits for an order."""
    CONNECTING = "connecting"
    """Logging in, for the first time or anew. Until then the ledger is asked every `Timing.poll_interval`."""
    LIVE = "live"
    """Logged in and registered; what was missed before has been asked for."""
    ELSEWHERE = "elsewhere"
    """Another process on this journal holds the feed; its events arrive through the journal."""
    REPLACED = "replaced"
    """Another program logged in with the same app key and Kiwoom closed our session (R10001). The ledger is asked."""
    REFUSED = "refused"
    """Kiwoom refused the login for another reason than an old token. The ledger is asked; we try again, rarely."""


@frozen
class FeedStatus:
    """The feed at one moment: `client.feed`.

    Attributes:
        since: Start of the unbroken session, on our wall clock; None unless LIVE.
        text: What happened last, and what to do if something is wrong.
    """

    state: FeedState
    since: datetime | None = None
    text: str = ""


@frozen
class Continuity:
    """A certificate that the feed was unbroken: from its registration to the last frame heard.

    Stamps are monotonic seconds of one boot. The feed has no sequence number: a frame that Kiwoom did not send, or that
    was lost behind its back, is not covered.

    Attributes:
        since: When the registration was confirmed.
        heard: When the last frame of any kind came.
    """

    boot_id: str
    since: float
    heard: float

    def covers(self, boot_id: str, begin: float, end: float) -> bool:
        """Tell whether nothing can have been missed between two monotonic seconds of a boot."""
        return self.boot_id == boot_id and self.since <= begin and end <= self.heard
