"""How frames leave for the sessions that listen: after a lag, in order, and with the faults between.

Time passes only through `later`, which the server lends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from attrs import define, evolve, field, frozen

from kiwoom_async.simulator.feed_faults import FeedFault, FeedFaultDirector, FeedFaultKind
from kiwoom_async.simulator.feed_sessions import Ending, Message, Session
from kiwoom_async.simulator.frames import FeedState, Frame, written

Later = Callable[[float, Callable[[], None]], None]

_GARBAGE: Final = '{"trnm":"REAL","data":[{"values":{"9201":'
_UNKNOWN_FRAMES: Final[tuple[Message, ...]] = (
    {"trnm": "NOTICE", "seq": 7, "body": {"title": "점검 안내"}},
    {"trnm": "REAL", "data": [{"values": {"70001": "1", "70002": ""}, "type": "ZZ", "name": "신규", "item": ""}]},
)
_BIG: Final = {str(90_000 + index): "0" * 1024 for index in range(1_100)}
"""Unknown FIDs, more than a mebibyte of them: the largest message some websocket clients take by default."""


@frozen
class _Hit:
    """A frame that a fault has hit, with those who were to get it."""

    frame: Frame
    audience: tuple[Session, ...]
    fault: FeedFault


@define(eq=False)
class _Held:
    """A frame that waits for another one to pass."""

    frame: Frame
    audience: tuple[Session, ...]
    passes: Callable[[Frame], bool]


def _no_lag() -> float:
    return 0.0


def never(seconds: float, action: Callable[[], None]) -> None:
    """Refuse to wait: nobody has lent a clock.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(f"Nobody lends the feed a clock; {action} cannot wait {seconds} s.")


@define(eq=False)
class Pusher:
    """Sends frames.

    Attributes:
        director: Chooses the faults.
        lag: Draws how many seconds after a change its frames leave; their order stays.
        later: Does something after some seconds.
        sessions: The connections, logged in or not.
        sent: The REAL frames that left for at least one session, in order.
    """

    director: FeedFaultDirector = field(factory=FeedFaultDirector)
    lag: Callable[[], float] = _no_lag
    observer: Callable[[str], None] | None = None
    later: Later = never
    sessions: list[Session] = field(factory=list)
    sent: list[dict[str, object]] = field(factory=list)
    _line: deque[tuple[Frame, list[bool]]] = field(factory=deque)
    _held: list[_Held] = field(factory=list)

    def observe(self, line: str) -> None:
        """Tell the observer."""
        if self.observer is not None:
            self.observer(line)

    def push(self, frame: Frame) -> None:
        """Let a frame leave after the lag, but never before those that were queued before it."""
        seconds = self.lag()
        is_due = [seconds <= 0]
        self._line.append((frame, is_due))
        if is_due[0]:
            self._advance()
            return

        def become_due() -> None:
            is_due[0] = True
            self._advance()

        self.later(seconds, become_due)

    def _advance(self) -> None:
        while self._line and self._line[0][1][0]:
            self._deliver(self._line.popleft()[0])

    def _deliver(self, frame: Frame) -> None:
        audience = tuple(session for session in self.sessions if session.listens_to(frame.type))
        if not audience:
            return
        fault = self.director.choose(frame)
        if fault is None:
            self._send(frame, audience)
            return
        self.observe(f"feed {frame.order_no} fault {fault.kind.value}")
        _CARRIED_OUT[fault.kind](self, _Hit(frame, audience, fault))

    def _send(self, frame: Frame, audience: Iterable[Session], padding: Mapping[str, str] | None = None) -> None:
        """Push a frame to those who still listen; then the frames that waited for it."""
        hearers = [session for session in audience if not (session.is_over or session.is_mute)]
        if not hearers:
            return
        message = frame.message
        self.sent.append(message)
        text = written(_padded(frame, padding).message) if padding else written(message)
        for session in hearers:
            session.push(text)
        for held in [held for held in self._held if held.frame is not frame and held.passes(frame)]:
            self._release(held)

    def _hold(self, hit: _Hit) -> None:
        def passes(other: Frame) -> bool:
            if hit.fault.kind is FeedFaultKind.REORDER:
                return True
            return other.order_no == hit.frame.order_no and other.state is FeedState.FILLED

        held = _Held(hit.frame, hit.audience, passes)
        self._held.append(held)
        self.later(hit.fault.duration or 0.0, partial(self._release, held))

    def _release(self, held: _Held) -> None:
        if held in self._held:
            self._held.remove(held)
            self._send(held.frame, held.audience)

    # Faults

    def _drop(self, hit: _Hit) -> None:
        """Let the frame be lost."""

    def _delay(self, hit: _Hit) -> None:
        self.later(hit.fault.duration or 0.0, partial(self._send, hit.frame, hit.audience))

    def _repeat(self, hit: _Hit) -> None:
        self._send(hit.frame, hit.audience)
        if hit.fault.duration:
            self.later(hit.fault.duration, partial(self._send, hit.frame, hit.audience))
        else:
            self._send(hit.frame, hit.audience)

    def _cut(self, hit: _Hit) -> None:
        for session in hit.audience:
            session.end(Ending.RESET)

    def _close(self, hit: _Hit) -> None:
        for session in hit.audience:
            session.end(Ending.CLOSE)

    def _mute(self, hit: _Hit) -> None:
        for session in hit.audience:
            session.is_mute = True
            if hit.fault.duration is not None:
                self.later(hit.fault.duration, partial(session.end, Ending.RESET))

    def _send_garbage(self, hit: _Hit) -> None:
        for session in hit.audience:
            session.push(_GARBAGE)
        self._send(hit.frame, hit.audience)

    def _send_unknown(self, hit: _Hit) -> None:
        for session in hit.audience:
            for unknown in _UNKNOWN_FRAMES:
                session.push(unknown)
        self._send(hit.frame, hit.audience)

    def _send_big(self, hit: _Hit) -> None:
        self._send(hit.frame, hit.audience, padding=_BIG)


def _padded(frame: Frame, padding: Mapping[str, str]) -> Frame:
    return evolve(frame, values={**frame.values, **padding})


_Trouble = Callable[[Pusher, _Hit], None]
_CARRIED_OUT: Final[Mapping[FeedFaultKind, _Trouble]] = {
    FeedFaultKind.DROP_FRAME: Pusher._drop,  # noqa: SLF001
    FeedFaultKind.DELAY_FRAME: Pusher._delay,  # noqa: SLF001
    FeedFaultKind.REPEAT_FRAME: Pusher._repeat,  # noqa: SLF001
    FeedFaultKind.REORDER: Pusher._hold,  # noqa: SLF001
    FeedFaultKind.INVERT: Pusher._hold,  # noqa: SLF001
    FeedFaultKind.CUT: Pusher._cut,  # noqa: SLF001
    FeedFaultKind.CLOSE: Pusher._close,  # noqa: SLF001
    FeedFaultKind.HALF_OPEN: Pusher._mute,  # noqa: SLF001
    FeedFaultKind.GARBAGE: Pusher._send_garbage,  # noqa: SLF001
    FeedFaultKind.UNKNOWN_TYPE: Pusher._send_unknown,  # noqa: SLF001
    FeedFaultKind.BIG: Pusher._send_big,  # noqa: SLF001
}
