"""One connection to the feed without a socket, for simulations in virtual time."""

from __future__ import annotations

from collections import deque

from attrs import frozen

from kiwoom_async.simulator.feed import Feed
from kiwoom_async.simulator.feed_sessions import Ending, Session


@frozen(eq=False)
class FeedLine:
    """What the two ends of a socket would do; whoever holds it lets time pass between them."""

    feed: Feed
    session: Session

    @property
    def outbox(self) -> deque[str | Ending]:
        """What is to be carried to the client, in order; after an ending nothing comes."""
        return self.session.outbox

    @property
    def is_mute(self) -> bool:
        """Whether it is half open: the client is not heard, its farewell neither."""
        return self.session.is_mute

    def receive(self, text: str) -> None:
        """Hear a text of the client."""
        self.feed.receive(self.session, text)

    def hang_up(self) -> None:
        """Learn that the client has gone."""
        self.feed.disconnect(self.session)
