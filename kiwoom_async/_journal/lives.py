"""What the broker tells of orders, written down: their lives, and what strategies hear of them.

Like `permissions`, these functions run in the committing thread, inside a savepoint, so that a batch of reports, the
lives it changes and the events it makes are one transaction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import apsw
from attrs import define, evolve, field

from kiwoom_async._domain.events import OrderEvent, OrderEventKind
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.health import Breach, BreachKind
from kiwoom_async._domain.life import Life, Step, follow
from kiwoom_async._domain.midnight import may_be_near
from kiwoom_async._domain.reports import LedgerOrder, OrderReport, ReportKind
from kiwoom_async._domain.sights import Sight, effect_on_original, has_taken_effect
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, ResolvedBy
from kiwoom_async._journal.breaches import note_breaches
from kiwoom_async._journal.claims import (
    Claimed,
    Place,
    declare_foreign,
    find_moves,
    find_successor,
    has_kept_change,
    is_foreign,
    learn_channels,
    learn_terminal,
    place_of,
    raise_high_water,
    read_claimed,
    store_life,
)
from kiwoom_async._journal.records import Doubt, LedgerNews, ReportNews, event_row, from_json, to_json


@define
class Hearing:
    """One batch of statements being written down.

    Attributes:
        at: Our clock.
    """

    connection: apsw.Connection
    at: datetime
    _events: int = 0
    _unclaimed: bool = False
    _doubts: dict[Doubt, None] = field(factory=dict)
    _alarms: list[str] = field(factory=list)
    _touched: dict[str, None] = field(factory=dict)
    _last_event: int = 0

    @property
    def news(self) -> ReportNews:
        """Sum up what has changed so far."""
        return ReportNews(
            self._events,
            self._unclaimed,
            tuple(self._doubts),
            tuple(self._alarms),
            tuple(self._touched),
            self._last_event,
        )

    # ------------------------------------------------------------------ what comes

    def take_report(self, account: str, report: OrderReport) -> None:
        """Apply a report of the feed to the order that has its number, or keep it until one has."""
        place = place_of(account, report.desk, report.day)
        # The day's mark stays where answers and the ledger have put it: with one strange number among the feed's, every
        # order that is lost afterwards would look older than its mark.
        claimed = read_claimed(self.connection, place, report.broker_order_id)
        if claimed is not None:
            self._report(claimed, report)
            return
        if not is_foreign(self.connection, place, report.broker_order_id):
            self._keep(place, report)
        # Somebody's modify or cancel, or ours before its answer, has taken something from an order of ours.
        self._doubt_original(place, report)

    def take_row(
        self, place: Place, row: LedgerOrder, listed: frozenset[str], *, is_final: bool = False, taken: int = 0
    ) -> None:
        """Apply a row of the ledger to the order that has its number.

        Args:
            place: The row's ledger and day.
            row: It.
            listed: Numbers of ours with a row of their own in the same look.
            is_final: The day was over when it was read.
            taken: What modifies and cancels have taken from it, as far as the same look tells.
        """
        claimed = read_claimed(self.connection, place, row.broker_order_id)
        if claimed is None:
            return
        if (another := _other_order(claimed, row)) is not None:
            self._raise_namesake(claimed, ResolvedBy.LEDGER, row.ordered_at, another)
            return
        is_changed = self._see(claimed, Sight.of_row(row, is_final=is_final, taken=taken))
        if has_taken_effect(row):
            self._tell_original(claimed, row, may_look=is_changed, listed=listed)

    def take_foreign(self, place: Place, row: LedgerOrder, listed: frozenset[str]) -> None:
        """Keep that a row is somebody else's order; it may have taken something from one of ours."""
        is_new = declare_foreign(self.connection, place, row, self.at)
        if is_new and row.original not in listed:
            self._doubt_original(place, row)

    def take_execution(self, account: str, executed: ExecutedOrder) -> None:
        """Apply a row of the executions to the order that has its number."""
        place = place_of(account, executed.desk, executed.day)
        claimed = read_claimed(self.connection, place, executed.broker_order_id)
        if claimed is not None and _other_order(claimed, executed) is None:
            self._see(claimed, Sight.of_execution(executed))

    def begin(self, place: Place, number: str, source: ResolvedBy) -> None:
        """Tell that an order has a number now, and apply what was reported of it before."""
        claimed = read_claimed(self.connection, place, number)
        assert claimed is not None, "it was just claimed"  # noqa: S101
        request = claimed.attempt.request
        if request.action is not Action.CANCEL:
            # The number stands in the answer; that it is in the book is what an acceptance means.
            self._write(
                claimed,
                OrderEventKind.ACCEPTED,
                source,
                status=OrderStatus.WORKING,
                leaves_quantity=request.quantity,
            )
        if has_kept_change(self.connection, place, number):
            # Somebody has modified or canceled it before it was known to be ours; only its row tells what is left.
            self._doubt(claimed)
        for report in self._take_kept(place, number):
            claimed = read_claimed(self.connection, place, number)
            assert claimed is not None  # noqa: S101
            self._report(claimed, report)

    def doubt(self, place: Place, number: str) -> None:
        """Want a look at a number of ours that may have been reported of while nobody listened."""
        claimed = read_claimed(self.connection, place, number)
        if claimed is not None and claimed.life.action is not Action.CANCEL:
            self._doubt(claimed)

    def expire(self, place: Place, number: str) -> None:
        """Tell that the day of an order is over, whatever was left of it."""
        claimed = read_claimed(self.connection, place, number)
        assert claimed is not None, "it is a working order of ours"  # noqa: S101
        self._see(claimed, Sight(ResolvedBy.LEDGER, is_final=True))

    def disown(self, place: Place, number: str, text: str) -> None:
        """Tell that a number was wrongly taken for an order of ours; what was told of it cannot be untold."""
        claimed = read_claimed(self.connection, place, number)
        assert claimed is not None, "it is about to be given back"  # noqa: S101
        self._write(claimed, OrderEventKind.ALARM, ResolvedBy.OPERATOR, status=None, text=text)

    # ------------------------------------------------------------------ one order

    def _report(self, claimed: Claimed, report: OrderReport) -> None:
        if (another := _other_order(claimed, report)) is not None:
            self._doubt(claimed)
            # Numbers begin anew every day: right after midnight it may be the last word on an order of the day before.
            if not may_be_near([report.at or self.at], claimed.day):
                self._raise_namesake(claimed, ResolvedBy.EVENT, report.at, another)
            return
        self._see(claimed, Sight.of_report(report))
        if claimed.attempt.resolved_by is ResolvedBy.RESPONSE:
            learn_terminal(self.connection, claimed.place, report.terminal)
        if has_taken_effect(report):
            self._tell_original(claimed, report, may_look=True)
        # It says that something was filled, or that something is left, and not how much.
        tells_too_little = report.leaves_quantity is None or (not report.filled_quantity and report.filled_amount != 0)
        if report.kind is ReportKind.CANCELED and claimed.life.action is not Action.CANCEL and tells_too_little:
            self._doubt(claimed)

    def _see(self, claimed: Claimed, sight: Sight) -> bool:
        """Merge a statement into the life of an order; give whether that has changed it."""
        step = follow(claimed.life, sight)
        if _tells_of_a_loss(claimed.life, step):
            step = follow(claimed.life, self._explain(claimed, sight, is_gone=step.life.ending is OrderStatus.CANCELED))
        if step.life != claimed.life:
            store_life(self.connection, evolve(claimed, life=step.life))
        for news in step.news:
            self._write(
                claimed,
                news.kind,
                sight.source,
                at=sight.at,
                status=news.status,
                quantity=news.quantity,
                price=news.price,
                filled_quantity=news.filled_quantity,
                leaves_quantity=news.leaves_quantity,
                execution_id=news.execution_id,
                replaced_by=news.replaced_by,
                text=news.text,
            )
        if step.life.is_finished and not claimed.life.is_finished and not step.news:
            self._note_end(evolve(claimed, life=step.life))
        if step.alarm is not None:
            self._raise(evolve(claimed, life=step.life), sight.source, sight.at, step.alarm)
        return step.life != claimed.life

    def _note_end(self, claimed: Claimed) -> None:
        """Leave a trace of an end that is no event: an order that turns out to be no larger than what was filled.

        Whoever waits for the order, in any process, is woken by what is appended and by nothing else.
        """
        attempt = claimed.attempt
        self.connection.execute(
            "INSERT INTO history (client_order_id, attempt, at, event, state, evidence) "
            "VALUES (?, ?, ?, 'noted', ?, ?)",
            (
                attempt.client_order_id,
                attempt.number,
                self.at.isoformat(),
                attempt.state.value,
                json.dumps({"status": claimed.life.status}),
            ),
        )
        self._touched[attempt.client_order_id] = None

    def _explain(self, claimed: Claimed, sight: Sight, *, is_gone: bool) -> Sight:
        """Say which modifies took what is not left any more, as far as they are known: it lives on under their numbers.

        The original's own report can come before the modify's.
        """
        successor = sight.replaced_by
        if is_gone and successor is None:
            successor = find_successor(self.connection, claimed.place, claimed.number)
        moves = (move for move in find_moves(self.connection, claimed) if move.number != successor)
        return evolve(sight, replaced_by=successor, moves=tuple(moves))

    def _tell_original(
        self,
        claimed: Claimed,
        told: OrderReport | LedgerOrder,
        *,
        may_look: bool,
        listed: frozenset[str] = frozenset(),
    ) -> None:
        """Apply a modify or cancel of ours that has taken effect to the order it names, if that is ours as well."""
        request = claimed.attempt.request
        if request.original is None:
            return
        day = (request.original_day or claimed.day).isoformat()
        original = read_claimed(self.connection, (*claimed.place[:2], day), request.original)
        if original is None:
            return
        effect = effect_on_original(told, is_whole=request.quantity is None)
        if effect is not None:
            self._see(original, effect)
        elif may_look and request.original not in listed and not original.life.is_finished:
            self._doubt(original)

    def _doubt_original(self, place: Place, told: OrderReport | LedgerOrder) -> None:
        if told.original is None or not has_taken_effect(told):
            return
        original = read_claimed(self.connection, place, told.original)
        if original is not None and not original.life.is_finished:
            self._doubt(original)

    def _doubt(self, claimed: Claimed) -> None:
        self._doubts[Doubt(Desk(claimed.place[1]), claimed.day, claimed.number)] = None

    def _raise_namesake(self, claimed: Claimed, source: ResolvedBy, at: datetime | None, another: str) -> None:
        """Write an alarm about an order of another symbol or side under a number of ours: nothing of it is ours."""
        # A number that a person or evidence has given to our order may be wrong; the broker's own answer is not. What
        # is wrong with a row of the ledger, the monitor of A10 says.
        is_repeated = claimed.attempt.resolved_by is ResolvedBy.RESPONSE and source is ResolvedBy.EVENT
        kind = BreachKind.NUMBER_REPEATED if is_repeated else BreachKind.STATEMENT_IMPOSSIBLE
        self._raise(claimed, source, at, f"under its number stands {another}", kind)

    def _raise(
        self,
        claimed: Claimed,
        source: ResolvedBy,
        at: datetime | None,
        text: str,
        kind: BreachKind = BreachKind.STATEMENT_IMPOSSIBLE,
    ) -> None:
        """Write an alarm, once: a view that is wrong says the same at every look."""
        is_known = self.connection.execute(
            "SELECT 1 FROM order_events WHERE client_order_id = ? AND json_extract(event, '$.kind') = 'alarm' "
            "AND json_extract(event, '$.broker_order_id') = ? AND json_extract(event, '$.text') = ?",
            (claimed.attempt.client_order_id, claimed.number, text),
        ).get
        if is_known is not None:
            return
        life = claimed.life
        self._write(
            claimed,
            OrderEventKind.ALARM,
            source,
            at=at,
            status=life.status,
            filled_quantity=life.filled_quantity,
            leaves_quantity=life.leaves_quantity,
            text=text,
        )
        alarm = f"order {claimed.attempt.client_order_id} ({claimed.number}): {text}"
        self._alarms.append(alarm)
        breach = Breach(kind, alarm)
        note_breaches(self.connection, claimed.attempt.account, [breach], self.at)
        self._doubt(claimed)

    def _write(
        self,
        claimed: Claimed,
        kind: OrderEventKind,
        source: ResolvedBy,
        *,
        at: datetime | None = None,
        **details: Any,
    ) -> None:
        attempt = claimed.attempt
        event = OrderEvent(
            sequence=0,  # the file gives it
            kind=kind,
            client_order_id=attempt.client_order_id,
            broker_order_id=claimed.number,
            symbol=attempt.request.symbol,
            side=attempt.request.side,
            day=claimed.day,
            at=at or self.at,
            recorded_at=self.at,
            source=source,
            **details,
        )
        self.connection.execute(
            "INSERT INTO order_events (account, client_order_id, recorded_at, event) VALUES (?, ?, ?, ?)",
            event_row(attempt.account, event),
        )
        self._last_event = self.connection.last_insert_rowid()
        self._events += 1
        self._touched[attempt.client_order_id] = None

    # ------------------------------------------------------------------ numbers that nobody has

    def _keep(self, place: Place, report: OrderReport) -> None:
        # Whose account it is was checked when it came; its digest is no part of what the file says.
        text = to_json(evolve(report, account_digest=None))
        where = "WHERE account = ? AND ledger = ? AND day = ?"
        is_known = self.connection.execute(
            f"SELECT 1 FROM kept_reports {where} AND broker_order_id = ? AND report = ?",  # noqa: S608
            (*place, report.broker_order_id, text),
        ).get
        if is_known is not None:
            return
        takes_from = report.original if report.action is Action.MODIFY and has_taken_effect(report) else None
        self.connection.execute(
            f"INSERT INTO kept_reports SELECT ?, ?, ?, coalesce(max(n), 0) + 1, ?, ?, ? FROM kept_reports {where}",  # noqa: S608
            (*place, report.broker_order_id, takes_from, text, *place),
        )
        self._unclaimed = True

    def _take_kept(self, place: Place, number: str) -> list[OrderReport]:
        where = "WHERE account = ? AND ledger = ? AND day = ? AND broker_order_id = ?"
        kept = self.connection.execute(
            f"SELECT report FROM kept_reports {where} ORDER BY n",  # noqa: S608
            (*place, number),
        ).fetchall()
        self.connection.execute(f"DELETE FROM kept_reports {where}", (*place, number))  # noqa: S608
        return [from_json(str(text), OrderReport) for (text,) in kept]


def _other_order(claimed: Claimed, told: OrderReport | LedgerOrder | ExecutedOrder) -> str | None:
    """Say what a statement is about that has an order's number and cannot be of that order; None if it can.

    A symbol may be told with the market on which the order traded (005930_NX).
    """
    request = claimed.attempt.request
    is_symbol = told.symbol.partition("_")[0] == request.symbol
    if is_symbol and (told.side is request.side or None in {told.side, request.side}):
        return None
    return told.symbol if told.side is None else f"{told.side.value} {told.symbol}"


def _tells_of_a_loss(before: Life, step: Step) -> bool:
    """Tell whether something has left the book that was not filled; a cancel has nothing in it."""
    is_over = step.life.ending is OrderStatus.CANCELED and before.ending is None
    is_told = any(news.kind in {OrderEventKind.CANCELED, OrderEventKind.MODIFIED} for news in step.news)
    return before.action is not Action.CANCEL and (is_over or is_told)


def note_reports(connection: apsw.Connection, account: str, reports: Iterable[OrderReport], at: datetime) -> ReportNews:
    """Write down reports of the feed, in the order in which they came."""
    hearing = Hearing(connection, at)
    for report in reports:
        hearing.take_report(account, report)
    return hearing.news


def note_ledger(connection: apsw.Connection, news: LedgerNews, at: datetime) -> ReportNews:
    """Write down what a look at the ledger shows of our orders, their channel, and whose the others are."""
    place = place_of(news.account, news.desk, news.day)
    hearing = Hearing(connection, at)
    listed = frozenset(row.broker_order_id for row in news.own)
    taken = _count_taken(connection, place, news)
    # Originals before what was done to them: their own rows know what was filled until then.
    for row in sorted(news.own, key=lambda row: row.number):
        hearing.take_row(place, row, listed, is_final=news.is_final, taken=taken[row.broker_order_id])
    for row in news.foreign:
        hearing.take_foreign(place, row, listed)
    learn_channels(connection, place, news.channels)
    if news.highest:
        raise_high_water(connection, place, news.highest)
    return hearing.news


def _count_taken(connection: apsw.Connection, place: Place, news: LedgerNews) -> Counter[str]:
    """Count what modifies and cancels have taken from each order, where some row does not tell what is left of it."""
    taken: Counter[str] = Counter()
    if not news.is_final and all(row.leaves_quantity is not None for row in news.own):
        return taken
    for change in news.changes:
        claimed = read_claimed(connection, place, change.broker_order_id)
        # The row may name the root of a chain where the request has named its last link.
        original = None if claimed is None else claimed.attempt.request.original
        taken[original or change.original or ""] += change.confirmed_quantity
    return taken


def note_executions(
    connection: apsw.Connection, account: str, executed: Iterable[ExecutedOrder], at: datetime
) -> ReportNews:
    """Write down what the executions show of our orders."""
    hearing = Hearing(connection, at)
    for one in executed:
        hearing.take_execution(account, one)
    return hearing.news
