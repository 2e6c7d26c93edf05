"""What the close of a day's books found: every row is ours or somebody's, every order is settled or listed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from attrs import field, frozen

from kiwoom_async._domain.vocabulary import Desk


@frozen
class DayClose:
    """The books of one ledger on one day, closed.

    Attributes:
        day: The Korean day.
        desk: Whose ledger.
        closed_at: When, on our clock.
        rows: Rows of the final ledger.
        own: Rows that are claimed.
        foreign: Rows that are declared somebody else's.
        residue: Order numbers that may be orders of ours whose outcome is not known: for the operator.
        unresolved: Client order ids that the final ledger does not decide.
        unlisted: Client order ids of ours with a number that the final ledger does not list, or whose ledger is out of
            reach by now. They read as expired, and what was filled of them last is not known: look at Kiwoom's own
            screen.
        resolved_by: How many of our orders got their number by which evidence.
        revived: Orders that turned up after a proof of absence; anything but zero says that a bound is wrong.
        duplicates: Orders that were on the book twice; the same.
    """

    day: date
    desk: Desk
    closed_at: datetime
    rows: int = 0
    own: int = 0
    foreign: int = 0
    residue: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    resolved_by: Mapping[str, int] = field(factory=dict)
    revived: int = 0
    duplicates: int = 0
