"""What is done to a whole account in the middle of a day: a halt from another process, and everything canceled at once.

And what must hold after it: nothing leaves while the kill switch is engaged, what `cancel_all` reports is true at the
book, and the clients of a journal let no more orders through than its limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import define, frozen

from kiwoom_async._audit import Answer, Ask, BookEntry
from kiwoom_async._domain.cancellations import CancelOutcome, CancelReport, CancelResult
from kiwoom_async._domain.vocabulary import Action
from kiwoom_async._guards import KillSwitch
from kiwoom_async._journal.journal import Journal
from kiwoom_async._proof.additions import Halt
from kiwoom_async._proof.evidence import book_of
from kiwoom_async._proof.network import Departure
from kiwoom_async._proof.processes import UPTIME, Process
from kiwoom_async._proof.testimony import Number, number_of
from kiwoom_async.simulator import Simulator
from kiwoom_async.simulator.catalog import ORDER_API_IDS

SWEPT: Final = "cancel-all-"
"""How the ids of cancels begin that `cancel_all` has made. Source: its reports."""

DRY: Final = "dry run"
"""The process that only rehearses."""

_CANCELS: Final = frozenset({"kt10003", "kt10009", "kt50003"}) & ORDER_API_IDS
_DONE: Final = frozenset({CancelOutcome.CANCELED, CancelOutcome.FINISHED})


@define
class Hold:
    """The kill switch is engaged.

    Attributes:
        since: The second in which whoever engaged it was told that it is.
        until: The second in which somebody began to release it; None: nobody has.
    """

    since: float
    until: float | None = None


async def halt(
    journal: Path, process: Process, plan: Halt, holds: list[Hold], opened: Callable[[Journal], None]
) -> None:
    """Engage the kill switch from a process of its own, as from a command line, and release it later."""
    for rest, seconds in plan.times:
        await anyio.sleep(rest)
        await _move(journal, process, opened, is_engaged=True)
        holds.append(Hold(process.world.now))
        await anyio.sleep(seconds)
        await resume(journal, process, holds, opened)


async def resume(journal: Path, process: Process, holds: Iterable[Hold], opened: Callable[[Journal], None]) -> None:
    """Release the kill switch."""
    for hold in holds:
        hold.until = process.world.now if hold.until is None else hold.until
    await _move(journal, process, opened, is_engaged=False)


async def _move(path: Path, process: Process, opened: Callable[[Journal], None], *, is_engaged: bool) -> None:
    journal = Journal(path, process, account="", is_trusted=is_engaged)
    opened(journal)
    async with journal:
        switch = KillSwitch(journal, process)
        move = switch.engage if is_engaged else switch.release
        await move(reason="simulated", by=process.name)
    process.world.note(process.name, "halts" if is_engaged else "resumes", "")


def find_departures(departures: Iterable[Departure], holds: Sequence[Hold]) -> Iterator[str]:
    """Say which new orders and modifies left while the switch was engaged."""
    for one in departures:
        if one.api_id in _CANCELS:
            continue
        for hold in holds:
            if hold.since < one.at and (hold.until is None or one.at < hold.until):
                yield f"halt {one.client_order_id}: it left at {one.at:.3f} s, the switch held since {hold.since:.3f} s"


def find_wet(departures: Iterable[Departure], dry: str) -> Iterator[str]:
    """Say what has left a dry run."""
    return (f"dry {one.client_order_id}: it left at {one.at:.3f} s" for one in departures if one.process == dry)


def find_excess(book: Iterable[BookEntry], limit: int) -> Iterator[str]:
    """Say on which day more new orders of ours were accepted than the clients may let through."""
    counted = Counter(entry.day for entry in book if entry.terms.action == Action.NEW.value and not entry.is_foreign)
    for day, count in counted.items():
        if count > limit:
            yield f"limit: {count} new orders on {day}, {limit} are allowed"


@frozen
class Swept:
    """What a caller was told who had everything canceled.

    Attributes:
        began, told_at: Seconds.
        working: Our orders that were in the book when it was told, and since which second each.
    """

    began: float
    told_at: float
    report: CancelReport
    working: Mapping[Number, float]


def working_orders(broker: Simulator) -> dict[Number, float]:
    """Give our orders of today of which something can trade now, and the second in which each was accepted."""
    today = broker.day.isoformat()
    return {
        number_of(entry): entry.accepted_at
        for entry in book_of(broker, UPTIME)
        if entry.is_working and not entry.is_foreign and entry.day == today and entry.accepted_at is not None
    }


def find_unswept(swept: Swept, book: Sequence[BookEntry], asks: Iterable[Ask] = ()) -> Iterator[str]:
    """Say what a report does not tell, or tells wrongly, by the book as it stood then.

    An id that was not sent after all, and was asked for again meanwhile, is an order that was placed meanwhile.
    """
    anew = [(ask.client_order_id, ask.asked_at) for ask in asks if (ask.asked_at or 0.0) > swept.began]
    owners = {number_of(entry): entry.client_order_id for entry in book}
    named = {_number(result) for result in swept.report.results}
    ids = {result.client_order_id for result in swept.report.results}
    for result in swept.report.results:
        if result.outcome not in _DONE:
            continue
        for number, accepted_at in swept.working.items():
            is_named = (number[0], number[2]) == _number(result)
            is_its_own = result.broker_order_id is None and owners.get(number) == result.client_order_id
            is_anew = any(name == result.client_order_id and at <= accepted_at for name, at in anew if at is not None)
            is_found_later = is_its_own and not is_anew
            if is_named or is_found_later:
                yield f"sweep {result.client_order_id}: told {result.outcome.value}, and {number[2]} is in the book"
    for number, accepted_at in swept.working.items():
        is_told = (number[0], number[2]) in named or owners.get(number) in ids
        if accepted_at <= swept.began and not is_told:
            yield f"sweep {owners.get(number)}: {number[2]} is in the book, and the report does not tell of it"


def _number(result: CancelResult) -> tuple[bool, str | None]:
    return result.desk.value == "gold", result.broker_order_id


def swept_history(
    asks: Iterable[Ask], answers: Iterable[Answer], begun: Iterable[str]
) -> tuple[list[Ask], list[Answer]]:
    """Give what the cancels of `cancel_all` asked and were told, of those that came to something.

    Args:
        asks: Of a whole journal.
        answers: What it would tell whoever asks now.
        begun: The ids of which something may have left.
    """
    told = [answer for answer in answers if answer.client_order_id.startswith(SWEPT)]
    known = {answer.client_order_id for answer in told} | set(begun)
    return [ask for ask in asks if ask.client_order_id.startswith(SWEPT) and ask.client_order_id in known], told
