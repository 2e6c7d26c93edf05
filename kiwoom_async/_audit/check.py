"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from kiwoom_async._audit import answers as of_answers
from kiwoom_async._audit import fills as of_fills
from kiwoom_async._audit import orders as of_orders
from kiwoom_async._audit import wire as of_wire
from kiwoom_async._audit.history import History
from kiwoom_async._audit.records import Answer, Ask, Attempt, Audit, BookEntry, FillHeard, Violation

_CHECKS: Final[tuple[Callable[[History], Iterator[Violation]], ...]] = (
    of_orders.find_doubles,
    of_wire.find_unproven_sends,
    of_orders.find_orphans,
    of_orders.find_false_acceptances,
    of_orders.find_shared_numbers,
    of_answers.find_false_denials,
    of_answers.find_denials_of_what_was_there,
    of_answers.find_false_revivals,
    of_orders.find_strangers,
    of_answers.find_changes,
    of_fills.find_untrue_fills,
    of_fills.find_miscounts,
    of_answers.find_silences,
)


def check_history(  # noqa: PLR0913 - one list for each thing that can be recorded
    asks: Iterable[Ask],
    answers: Iterable[Answer],
    book: Iterable[BookEntry],
    *,
    sends: Iterable[str] | None = None,
    attempts: Iterable[Attempt] | None = None,
    fills: Iterable[FillHeard] | None = None,
    revived: Iterable[str] | None = None,
    died: Iterable[str] | None = None,
    tolerance: float | None = None,
    is_over: bool = True,
) -> Audit:
    """Hold what was asked and told against the book.

    Args:
        asks: Every ask, in order; an id may be asked for again with the same terms. With `died`: each time again.
        answers: Every answer, in order, over all processes and restarts.
        book: The whole book at the end, with other people's orders.
        sends: The key of every order request that arrived at the broker; "" for one without a key. None: not recorded.
        attempts: Every send in the client's own durable record. None: not recorded; then what a caller was told ("not
            sent", and refused tokens are such) excuses another send.
        fills: Every fill that one listener has heard of, from the first to the last; where the run is over, the answers
            must then have told of all of them, too. None: not recorded, and answers may be old.
        revived: Ids of which the client has reported by itself that they turned up after a proof of absence.
        died: The processes that were killed, by the names that their asks bear: who asked there need not have been told
            anything. None: not recorded, and it is not judged whether everybody was told something.
        tolerance: Seconds that an answer may come after its deadline. None: lateness is not judged.
        is_over: The faults have stopped and the day is closed, so that nothing may be unknown any more.
    """
    history = History.of(asks, answers, book, sends=sends, attempts=attempts, fills=fills, revived=revived, died=died)
    violations = [violation for check in _CHECKS for violation in check(history)]
    if is_over:
        violations += of_answers.find_unknown(history)
        if history.fills is not None:
            violations += of_fills.find_untold_fills(history)
    if tolerance is not None:
        violations += of_answers.find_late(history, tolerance)
    on_the_book = sum(map(len, history.listed.values()))
    return Audit(len(history.asked), on_the_book, history.last, tuple(violations))
