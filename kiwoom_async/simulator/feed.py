"""The real-time feed without a socket: logins, registrations, pings, and what a change of an order says.

`feed_sessions.py` is what a connection has to do, `feed_pusher.py` how frames leave; `feed_server.py` carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

from attrs import define, field, frozen

from kiwoom_async.simulator.feed_pusher import Pusher
from kiwoom_async.simulator.feed_sessions import Ending, Message, Session
from kiwoom_async.simulator.frames import FrameWriter, Reporting
from kiwoom_async.simulator.gate import TokenOffice
from kiwoom_async.simulator.ledger import Change
from kiwoom_async.simulator.orders import Flavour


@frozen
class FeedHabits:
    """Ways of the feed that are not settled or that a test wants otherwise.

    Attributes:
        ping_interval: Seconds from the login to the first PING, and between two of them. Measured on the mock: 10.
        ping_patience: Seconds in which a PING must come back. Nobody has measured it.
        allows_many_sessions: Sessions with one app key live side by side, as one author saw; False: the newest ends
            the others, as most did.
        reporting: What the frames of orders say.
    """

    ping_interval: float = 10.0
    ping_patience: float = 10.0
    allows_many_sessions: bool = False
    reporting: Reporting = field(factory=Reporting)


_PING: Final = {"trnm": "PING"}
_TAKEN_OVER: Final = {
    "trnm": "SYSTEM",
    "code": "R10001",
    "message": "동일한 App key로 접속이 되었습니다. 기존 세션은 종료가 됩니다",
}
_NO_HEARTBEAT: Final = {
    "trnm": "SYSTEM",
    "code": "R10002",
    "message": "사용자 프로그램으로부터 Heartbeat(연결유지) 메시지가 오지않아서 접속을 종료합니다",
}
_BEFORE_LOGIN: Final = {"trnm": "SYSTEM", "code": "R00001", "message": "접속되었습니다"}
_AFTER_LOGIN: Final = {"trnm": "SYSTEM", "code": "R00002", "message": "로그인되었습니다"}
"""Real sends SYSTEM frames around the LOGIN answer; their codes and texts were not recorded, so these are ours."""

_TOKEN_REFUSED: Final = (
    805004,
    "토큰 인증에 실패했습니다. 접속을 종료합니다 [CODE=8005, MESSAGE=Token이 유효하지 않습니다]",
)
_TOO_EARLY: Final = (
    100013,
    "로그인 인증이 들어오기 전에 다른 전문이 들어왔습니다. 해당 전문은 무시됩니다. (TRNM=%s)",
)
"""Recorded; the `%s` is really left as it is."""
_NOT_REGISTERED: Final = (105111, "실시간 항목 등록에 실패했습니다")
_UNKNOWN_SERVICE: Final = (100014, "지원하지 않는 TRNM입니다")
"""Our choice; nobody has recorded the answer to an unknown service."""

_BEFORE_ALL: Final = frozenset({"LOGIN", "PING"})
"""What may come before the login."""
_LONGEST_GROUP: Final = 4


def _answer(service: str, code: int = 0, text: str = "") -> dict[str, object]:
    return {"trnm": service, "return_code": code, "return_msg": text}


def _registrations(message: Message) -> tuple[str, set[str]] | None:
    """Read the group and the types of a REG or a REMOVE; None: it cannot be read."""
    group, entries = message.get("grp_no"), message.get("data")
    if not isinstance(group, str) or not 0 < len(group) <= _LONGEST_GROUP or not isinstance(entries, list):
        return None
    types: set[str] = set()
    for entry in entries:
        named = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            return None
        types.update(named)
    return group, types


@define(eq=False)
class Feed:
    """The broker behind its websocket.

    Attributes:
        now: Reads the wall clock that tokens live by.
        logins: How many logins were accepted.
    """

    office: TokenOffice
    writer: FrameWriter
    now: Callable[[], datetime]
    flavour: Flavour = Flavour.REAL
    habits: FeedHabits = field(factory=FeedHabits)
    pusher: Pusher = field(factory=Pusher)
    logins: int = 0

    @property
    def sessions(self) -> list[Session]:
        """The connections, logged in or not."""
        return self.pusher.sessions

    # Connections

    def connect(self, wake: Callable[[], None]) -> Session:
        """Take a new connection."""
        session = Session(wake)
        self.sessions.append(session)
        return session

    def disconnect(self, session: Session) -> None:
        """Forget a connection that has gone."""
        session.is_over = True
        if session in self.sessions:
            self.sessions.remove(session)

    def cut(self) -> None:
        """Abort every connection now."""
        for session in list(self.sessions):
            session.end(Ending.ABORT)

    def take_over(self, app_key: str | None = None, *, besides: Session | None = None) -> None:
        """End the sessions of an app key, None: of all, because somebody else has logged in with it."""
        for session in list(self.sessions):
            if session.is_logged_in and session is not besides and app_key in {None, session.app_key}:
                self._dismiss(session, _TAKEN_OVER)

    def _dismiss(self, session: Session, notice: Message) -> None:
        session.push(notice)
        session.end(Ending.RESET if session.is_mute else Ending.CLOSE)

    # What a client says

    def receive(self, session: Session, text: str) -> None:
        """Take a message of a client."""
        if session.is_mute or session.is_over:
            return
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        service = message.get("trnm") if isinstance(message, dict) else None
        if not isinstance(service, str):
            session.push(_answer("", *_UNKNOWN_SERVICE))
            return
        if session.app_key is None and service not in _BEFORE_ALL:
            session.push(_answer(service, *_TOO_EARLY))
            return
        handle = _SERVICES.get(service)
        if handle is None:
            session.push(_answer(service, *_UNKNOWN_SERVICE))
        else:
            handle(self, session, message)

    def _login(self, session: Session, message: Message) -> None:
        token = message.get("token")
        app_key = self.office.holder(token, self.now()) if isinstance(token, str) else None
        if app_key is None:
            session.push(_answer("LOGIN", *_TOKEN_REFUSED))
            session.end(Ending.CLOSE)
            return
        is_first = session.app_key is None
        session.app_key = app_key
        self.logins += 1
        self.pusher.observe("feed login")
        if not self.habits.allows_many_sessions:
            self.take_over(app_key, besides=session)
        is_real = self.flavour is Flavour.REAL
        answer = {**_answer("LOGIN"), "sor_yn": "Y"}
        for frame in (_BEFORE_LOGIN, answer, _AFTER_LOGIN) if is_real else (answer,):
            session.push(frame)
        if is_first:
            self.pusher.later(self.habits.ping_interval, partial(self._ping, session))

    def _register(self, session: Session, message: Message) -> None:
        read = _registrations(message)
        if read is None:
            session.push(_answer("REG", *_NOT_REGISTERED))
            return
        group, types = read
        if message.get("refresh") == "0":
            session.groups.clear()
        session.groups.setdefault(group, set()).update(types)
        session.push(_answer("REG"))

    def _remove(self, session: Session, message: Message) -> None:
        read = _registrations(message)
        if read is None:
            session.push(_answer("REMOVE", *_NOT_REGISTERED))
            return
        group, types = read
        session.groups.get(group, set()).difference_update(types)
        session.push(_answer("REMOVE"))

    # Pings

    def _ping(self, session: Session) -> None:
        if session.is_over:
            return
        self.pusher.later(self.habits.ping_interval, partial(self._ping, session))
        if session.is_mute:
            return
        session.pings += 1
        session.push(_PING)
        self.pusher.later(self.habits.ping_patience, partial(self._check_echo, session, session.pings))

    def _check_echo(self, session: Session, ping: int) -> None:
        if session.echoes < ping and not (session.is_over or session.is_mute):
            self._dismiss(session, _NO_HEARTBEAT)

    def _echo(self, session: Session, message: Message) -> None:
        if message == _PING:
            session.echoes = session.pings

    # What the broker says

    def hear(self, change: Change) -> None:
        """Queue what the feed says of a change of an order; while nobody is logged in, it says nothing."""
        if not any(session.is_logged_in for session in self.sessions):
            return
        for frame in self.writer.frames(change):
            self.pusher.push(frame)


_Service = Callable[[Feed, Session, Message], None]
_SERVICES: Final[Mapping[str, _Service]] = {
    "LOGIN": Feed._login,  # noqa: SLF001 - the table of this class
    "REG": Feed._register,  # noqa: SLF001
    "REMOVE": Feed._remove,  # noqa: SLF001
    "PING": Feed._echo,  # noqa: SLF001
}
