"""What a look must list, and by when its silence says something."""

from __future__ import annotations

from kiwoom_async import Delivery, Desk, Timing
from kiwoom_async._domain.reports import Snapshot
from kiwoom_async._domain.settings import Environment
from kiwoom_async._execution.book_view import BookView
from kiwoom_async._journal.records import Claim
from tests.domain.test_matching import DAY, attempt

TIMING = Timing(acceptance_bound=10, visibility_bound=2)


def unlisted(looked: float, *, is_answered: bool) -> tuple[str, ...]:
    """Say what an empty look fails to show of an order whose sender ended in second 1030."""
    known = attempt(state=Delivery.ACKNOWLEDGED, broker_order_id="0000101", is_answered=is_answered)
    claim = Claim("key-1", DAY, "0000101", "a", 1, None, 0, None, None)
    look = Snapshot(Desk.STOCK, DAY, 0, (), began=looked, finished=looked + 0.1, is_final=False, queries=1)
    return BookView(
        desk=Desk.STOCK,
        snapshots=(look,),
        attempts=(),
        watched=(),
        claims={(DAY, "0000101"): (claim, known)},
        channels=frozenset(),
        owed=frozenset(),
        ancestors={},
        timing=TIMING,
        environment=Environment.LIVE,
        boot_id="boot",
        is_exclusive=True,
    ).unlisted_own_orders()


def test_answered_order_must_be_listed_within_the_bound_of_its_answer() -> None:
    """Its answer says that it was on the book by then."""
    assert unlisted(1031.9, is_answered=True) == ()
    assert unlisted(1032.1, is_answered=True) == ("0000101",)


def test_order_told_by_the_feed_may_have_been_accepted_after_its_sender_gave_up() -> None:
    """A request without an answer is accepted until acceptance_bound is over, and listed a little later."""
    assert unlisted(1032.1, is_answered=False) == ()
    assert unlisted(1041.9, is_answered=False) == ()
    assert unlisted(1042.1, is_answered=False) == ("0000101",)
