"""The one place time, randomness and identifiers come from.

Every other module takes an `Ambient`; a linter rule forbids the standard sources elsewhere. A simulation that replays
a day from a seed replaces this object and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum, unique
from typing import Protocol, TypeVar, runtime_checkable

from kiwoom_async._domain.settings import KST

_T = TypeVar("_T")


@unique
class Checkpoint(StrEnum):
    """Named points of sending and reconciling at which a test may kill the process or hold it."""

    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT_BEFORE_WRITE = "after_commit_before_write"
    AFTER_WRITE_BEFORE_RESPONSE = "after_write_before_response"
    AFTER_RESPONSE_BEFORE_RESULT_COMMIT = "after_response_before_result_commit"
    AFTER_RESULT_COMMIT = "after_result_commit"
    BEFORE_LEDGER_QUERY = "before_ledger_query"
    BEFORE_CLAIM_COMMIT = "before_claim_commit"
    AFTER_CLAIM_COMMIT = "after_claim_commit"
    DURING_RESEND_DECISION = "during_resend_decision"
    BEFORE_OBLIGATION = "before_obligation"
    DURING_AUTO_CANCEL = "during_auto_cancel"
    BEFORE_DAY_CLOSE = "before_day_close"
    AFTER_DAY_CLOSE = "after_day_close"


class Ambient(Protocol):
    """Clock, randomness and checkpoints of one process."""

    @property
    def boot_id(self) -> str:
        """Name the run of the operating system within which `monotonic` values can be compared."""

    def now(self) -> datetime:
        """Read the wall clock, aware, in Korean time."""

    def monotonic(self) -> float:
        """Read the clock that never jumps, in seconds; shared by all processes of one boot.

        It counts while the machine sleeps. The event loop's own clock may not, and begins elsewhere: a moment of this
        one becomes a timer only as the seconds that are left until then.
        """

    def random_bytes(self, count: int) -> bytes:
        """Draw random bytes."""

    def reached(self, checkpoint: Checkpoint) -> None:
        """Tell that a checkpoint was reached. Does nothing outside tests."""


class Turns(Protocol):
    """Gives turns to one who does blocking work, one after the other."""

    def wake(self) -> None:
        """Give a turn soon; whatever waits by then is done in it."""

    def end(self) -> None:
        """Give the last turn, if there is something to do, and no more afterwards. Blocks."""


class Workplace(Protocol):
    """Where work that would block the event loop is carried out."""

    def begin(self, name: str, turn: Callable[[], None]) -> Turns:
        """Begin to give turns."""

    async def run(self, work: Callable[[], _T]) -> _T:
        """Carry out one piece of work and give its result."""


@runtime_checkable
class HasWorkplace(Protocol):
    """An `Ambient` that also says where blocking work is carried out; without a word of it that is in threads."""

    @property
    def workplace(self) -> Workplace:
        """Give the workplace of the process."""


def korean_day(moment: datetime) -> date:
    """Give the Korean calendar day of an aware moment."""
    return moment.astimezone(KST).date()


def new_identifier(ambient: Ambient) -> str:
    """Make a time-ordered identifier: a UUID version 7 (RFC 9562), 48 bits of milliseconds before 74 random bits."""
    milliseconds = int(ambient.now().timestamp() * 1000)
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(ambient.random_bytes(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
