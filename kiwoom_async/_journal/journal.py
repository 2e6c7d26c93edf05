"""The journal: durable intents, attempts, claims and evidence of one account, shared by processes of one machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Final, Self, TypeVar

import anyio
import apsw
from attrs import evolve
from filelock import FileLock, Timeout

from kiwoom_async._domain.ambient import Ambient, new_identifier
from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.events import OrderEvent
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.guards import KillSwitchState, Totals
from kiwoom_async._domain.health import Breach, DurableHealth, KeptBreach
from kiwoom_async._domain.intents import Attempt, Intent
from kiwoom_async._domain.reports import OrderReport
from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._journal import breaches, conclusions, days, guards, lives, ownership, permissions, queries
from kiwoom_async._journal.conclusions import Conclusion
from kiwoom_async._journal.ownership import OwnerEnded
from kiwoom_async._journal.permissions import Dispatched, DispatchPlan, Known, Permission
from kiwoom_async._journal.records import (
    Bookmark,
    Claim,
    FeedSession,
    Finding,
    HistoryEntry,
    JournalNews,
    LedgerNews,
    OrderRecord,
    ReportNews,
    WorkingOrder,
)
from kiwoom_async._journal.seals import Acceptance, Seal, read_acceptance, read_height, unseal
from kiwoom_async._journal.store import Access, mapped_errors, open_reader, open_writer, prepare_file, real_path
from kiwoom_async._journal.workers import CommittingWorker, Worker
from kiwoom_async._workplace import workplace_of
from kiwoom_async.errors import JournalCorrupt, JournalReadOnly

_T = TypeVar("_T")

BUSY_TIMEOUT: Final = 5.0
"""Seconds another program may hold the file before an order fails with `JournalLocked`. Source: our choice; a commit of
ours takes milliseconds, so whoever holds it longer is not one of us."""

FULL: Final = 2
"""What SQLite calls `synchronous=FULL`: a commit is on the disk when it returns. Source: SQLite's page on pragmas."""


class Journal:
    """One account's view of the journal file.

    Open it with ``async with``. Writing methods return when the record is on the disk; cancelling them loses the news,
    never the record.

    Args:
        path: The SQLite file.
        ambient: Clock and identifiers.
        account: Key of the account in the file.
        seals: Folder that remembers how far each journal has come. None: an old backup is not recognized.
        is_trusted: The file is not checked for damage: for a process that sends nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        ambient: Ambient,
        account: str,
        *,
        busy_timeout: float = BUSY_TIMEOUT,
        access: Access | None = None,
        seals: Path | None = None,
        is_trusted: bool = False,
    ) -> None:
        # At once, because a bot may change folders.
        self.path = real_path(path)
        self.account = account
        self.runner = new_identifier(ambient)
        self._ambient = ambient
        self._workplace = workplace_of(ambient)
        self._busy_timeout = busy_timeout
        self._access = access or Access()
        self._seals = None if seals is None else real_path(seals)
        self._seal: Seal | None = None
        self._is_trusted = is_trusted
        self._lock = FileLock(self._lock_path(self.runner), mode=0o600, thread_local=False)
        # A task that is canceled while a thread opens the file closes it in another thread.
        self._door = threading.Lock()
        self._writer: CommittingWorker | None = None
        self._reader: Worker | None = None
        self._witness: breaches.Witness | None = None
        self._is_durable = False

    async def __aenter__(self) -> Self:
        """Open the file and sign on as a sender.

        Raises:
            JournalError: The file cannot be used; the text says what to do.
            ConfigurationError: The path is no place for a journal.
        """
        try:
            await self._workplace.run(self._open)
        except BaseException:
            # Canceled while the thread opened it: what is open by then would stay open.
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what was handed in, sign off and close the file."""
        with anyio.CancelScope(shield=True):
            await self._workplace.run(self._close)

    def _open(self) -> None:
        with self._door:
            self._open_file()

    def _open_file(self) -> None:
        prepare_file(self.path)
        writer = open_writer(
            self.path, busy_timeout=self._busy_timeout, access=self._access, is_trusted=self._is_trusted
        )
        try:
            if self._seals is not None:
                with mapped_errors(self.path):
                    self._seal = unseal(writer, self.path, self._seals, self._ambient)
            self._lock.acquire(timeout=0)
            with mapped_errors(self.path):
                writer.execute(
                    "INSERT INTO runners VALUES (?, ?, ?)",
                    (self.runner, os.getpid(), self._ambient.now().isoformat()),
                )
                self._witness = breaches.read_witness(writer)
                self._is_durable = writer.pragma("synchronous") == FULL
            reader = open_reader(self.path, busy_timeout=self._busy_timeout, access=self._access)
        except OSError as error:
            writer.close()
            self._close_seal()
            raise JournalReadOnly(f"The folder of {self.path} cannot be written ({error.strerror}).") from error
        except BaseException:
            writer.close()
            self._close_seal()
            self._lock.release()
            self._remove_lock(self.runner)
            raise
        self._writer = CommittingWorker(
            "kiwoom-journal-writer", writer, self.path, self._workplace, on_commit=self._raise_seal
        )
        self._reader = Worker("kiwoom-journal-reader", reader, self.path, self._workplace)

    def _close(self) -> None:
        with self._door:
            self._close_file()

    def _close_file(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            self._writer.close()
            self._close_seal()
            with suppress(apsw.Error):
                connection = self._access.connect(self.path, apsw.SQLITE_OPEN_READWRITE)
                try:
                    connection.set_busy_timeout(int(self._busy_timeout * 1000))
                    connection.execute("DELETE FROM runners WHERE runner = ?", (self.runner,))
                finally:
                    connection.close()
        self._lock.release()
        self._remove_lock(self.runner)

    def _raise_seal(self, connection: apsw.Connection) -> None:
        if self._seal is not None:
            self._seal.raise_to(read_height(connection))

    def _close_seal(self) -> None:
        seal, self._seal = self._seal, None
        if seal is not None:
            seal.close()

    def _lock_path(self, runner: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{runner}.lock")

    def _remove_lock(self, runner: str) -> None:
        # Windows refuses while anybody, a virus scanner for instance, has the file open. The lock counts, not the file:
        # one that stays is a few bytes of litter, and an error here would hide what was done.
        with suppress(OSError):
            self._lock_path(runner).unlink(missing_ok=True)

    async def _write(self, operation: Callable[[apsw.Connection], _T]) -> _T:
        assert self._writer is not None, "the journal is open"  # noqa: S101
        return await self._writer.run(operation)

    async def _read(self, operation: Callable[[apsw.Connection], _T]) -> _T:
        assert self._reader is not None, "the journal is open"  # noqa: S101
        return await self._reader.run(operation)

    async def dispatch(self, plan: DispatchPlan) -> Permission:
        """Ask for the durable permission to send.

        Raises:
            ClientOrderIdConflict: The id belongs to another request.
            NotSent: The kill switch is engaged.
            LimitExceeded: A limit of the client would be exceeded.
            JournalError: There is no durable record; nothing may be sent.
        """
        return await self._permit(lambda connection: permissions.dispatch(connection, plan))

    async def _permit(self, operation: Callable[[apsw.Connection], Permission]) -> Permission:
        """Ask for a permission, if all that this client knows to be committed is still there (A1)."""
        before = self._witness

        @wraps(operation)  # what SQLite is asked keeps its name: a trace shows who asked
        def ask(connection: apsw.Connection) -> tuple[Permission, breaches.Witness | None]:
            if breaches.has_lost_rows(connection, before):
                raise JournalCorrupt(
                    f"The journal {self.path} has lost rows that were committed: was an older copy put in its place? "
                    "Nothing is sent any more. Keep the file, check today's orders on Kiwoom's own screen, then open a "
                    "new client."
                )
            return operation(connection), breaches.read_witness(connection)

        permission, witness = await self._write(ask)
        if witness is not None and (self._witness is None or witness.sequence > self._witness.sequence):
            self._witness = witness
        return permission

    async def prepare(self, intent: Intent, attempt: Attempt) -> Known | Dispatched:
        """Record an obligation to be sent later."""
        return await self._write(lambda connection: permissions.prepare(connection, intent, attempt))

    async def conclude(self, attempt: Attempt, finding: Finding) -> Conclusion:
        """Write what was learnt about an attempt."""
        at = self._ambient.now()
        return await self._write(
            lambda connection: conclusions.conclude(
                connection, attempt.client_order_id, attempt.number, finding, at, by=self.runner
            )
        )

    async def withdraw(self, attempt: Attempt, reason: str) -> Conclusion:
        """Take back what an operator decided about an attempt.

        Raises:
            IllegalTransition: It was not decided by an operator.
        """
        at = self._ambient.now()
        return await self._write(
            lambda connection: conclusions.withdraw(connection, attempt.client_order_id, attempt.number, reason, at)
        )

    async def replace(self, attempt: Attempt, finding: Finding, plan: DispatchPlan) -> Permission:
        """Close an attempt that is proven not to be on the book, and ask to send again, in one transaction."""
        at = self._ambient.now()
        return await self._permit(lambda connection: permissions.replace(connection, attempt, finding, plan, at))

    async def adopt_orphans(self) -> int:
        """Take over what senders left behind that are gone; give the count."""
        signed_on = await self._read(queries.read_runners)
        others = [runner for runner in signed_on if runner != self.runner]
        dead = await self._workplace.run(partial(self._find_dead, others)) if others else ()
        stamp = OwnerEnded(self._ambient.boot_id, self._ambient.monotonic(), self._ambient.now())
        adopted = await self._write(
            lambda connection: ownership.adopt_orphans(connection, self.account, self.runner, dead, stamp)
        )
        for runner in dead:
            self._remove_lock(runner)
        return adopted

    async def is_alone(self) -> bool:
        """Tell whether no other client has the file open, as of when it was last seen who is gone."""
        return set(await self._read(queries.read_runners)) <= {self.runner}

    def _find_dead(self, runners: Iterable[str]) -> tuple[str, ...]:
        return tuple(runner for runner in runners if not self._is_alive(runner))

    def _is_alive(self, runner: str) -> bool:
        # The kernel frees the lock the moment its holder dies, however it dies.
        lock = FileLock(self._lock_path(runner), mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            return True
        lock.release()
        return False

    async def note_reports(self, reports: Sequence[OrderReport]) -> ReportNews:
        """Write down reports of the feed, in one transaction: each changes its order or is kept until somebody has it.

        The same reports again change nothing.
        """
        at = self._ambient.now()
        return await self._write(lambda connection: lives.note_reports(connection, self.account, reports, at))

    async def note_ledger(self, news: LedgerNews) -> ReportNews:
        """Keep what a look at the ledger taught about claimed and foreign orders."""
        at = self._ambient.now()
        return await self._write(lambda connection: lives.note_ledger(connection, news, at))

    async def note_executions(self, executed: Sequence[ExecutedOrder]) -> ReportNews:
        """Keep what a look at the executions taught about claimed orders."""
        at = self._ambient.now()
        return await self._write(lambda connection: lives.note_executions(connection, self.account, executed, at))

    async def close_day(self, close: DayClose) -> ReportNews:
        """Close the books of a day; the first close counts."""
        return await self._write(lambda connection: days.close_day(connection, self.account, close))

    async def begin_feed(self, since: float, since_at: datetime) -> int:
        """Certify that this client listens to the feed from a moment on; give the epoch."""
        return await self._write(
            lambda connection: days.begin_feed(
                connection,
                self.account,
                runner=self.runner,
                boot_id=self._ambient.boot_id,
                since=since,
                since_at=since_at,
            )
        )

    async def note_feed(self, epoch: int, heard: float) -> None:
        """Certify that nothing was missed until the moment of the last frame."""
        await self._write(lambda connection: days.note_feed(connection, self.account, epoch, heard))

    async def end_feed(self, epoch: int, heard: float, reason: str) -> None:
        """End a certificate at the moment of the last frame."""
        await self._write(lambda connection: days.end_feed(connection, self.account, epoch, heard, reason))

    async def acceptance(self) -> Acceptance | None:
        """Read the last word by which a person took this file for the journal although it lacked records."""
        return await self._read(read_acceptance)

    async def move_switch(self, state: KillSwitchState) -> KillSwitchState:
        """Engage or release the kill switch; give what it was told last."""
        return await self._write(lambda connection: guards.move_switch(connection, state))

    async def kill_switch(self) -> KillSwitchState:
        """Read what the kill switch was last told."""
        return await self._read(guards.read_switch)

    async def permitted_attempts(self) -> tuple[Attempt, ...]:
        """Read the new orders and modifies, of every account, that may be leaving at this moment."""
        return await self._read(guards.read_permitted)

    async def day_totals(self, day: date, symbol: str = "") -> Totals:
        """Read what the sends of a day count toward limits, of one symbol or of all."""
        return await self._read(lambda connection: guards.read_totals(connection, self.account, day, symbol))

    async def rehearse(self, intent: Intent, day: date, terms: guards.Terms) -> Intent:
        """Keep a dry order, if the guards would let it pass; give it as it was kept first.

        Raises:
            ClientOrderIdConflict: The id belongs to another dry order.
            NotSent: The kill switch is engaged.
            LimitExceeded: A limit would be exceeded.
        """
        return await self._write(lambda connection: guards.rehearse(connection, intent, day, terms))

    async def find_rehearsed(self, client_order_id: str) -> Intent | None:
        """Read a dry order; None if there is none with that id."""
        return await self._read(lambda connection: guards.read_rehearsed(connection, client_order_id))

    async def take_lease(self, name: str, seconds: float) -> int | None:
        """Take or renew a lease; give its epoch, or None while another living process holds it."""
        now, boot_id = self._ambient.monotonic(), self._ambient.boot_id
        return await self._write(
            lambda connection: ownership.take_lease(
                connection, name, self.runner, boot_id=boot_id, now=now, seconds=seconds
            )
        )

    async def release_lease(self, name: str) -> None:
        """Give a lease back."""
        await self._write(lambda connection: ownership.release_lease(connection, name, self.runner))

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """Read all that is known of an id; None if the journal has never heard of it."""
        return await self._read(lambda connection: queries.read_record(connection, client_order_id))

    async def open_attempts(self) -> tuple[Attempt, ...]:
        """Read every attempt of the account that is not settled, oldest first."""
        return await self._read(lambda connection: queries.read_open(connection, self.account))

    async def watched_attempts(self, since: date) -> tuple[Attempt, ...]:
        """Read the attempts proven absent, or left unresolved, on a day from `since` on."""
        return await self._read(lambda connection: queries.read_watched(connection, self.account, since))

    async def left_unresolved(self) -> tuple[Attempt, ...]:
        """Read the attempts that a day's close left unresolved, of whatever day."""
        return await self._read(lambda connection: queries.read_left_unresolved(connection, self.account))

    async def duplicates(self, day: date) -> tuple[Attempt, ...]:
        """Read the attempts of a day whose order is a second one on the book."""
        return await self._read(lambda connection: queries.read_duplicates(connection, self.account, day))

    async def absent_twins(self, since: date, fingerprints: Collection[str]) -> tuple[Attempt, ...]:
        """Read the attempts proven absent on a day from `since` on whose request is one of some."""
        return await self._read(
            lambda connection: queries.read_absent_twins(connection, self.account, since, fingerprints)
        )

    async def claims(self, desk: Desk, day: date, since: int) -> Mapping[str, tuple[Claim, Attempt]]:
        """Read our order numbers of a day after a number, each with its attempt."""
        return await self._read(lambda connection: queries.read_claims(connection, self.account, desk, day, since))

    async def claim_of(self, desk: Desk, day: date, broker_order_id: str) -> Claim | None:
        """Read which of our orders has a number; None if none has."""
        return await self._read(
            lambda connection: queries.read_claim_of(connection, self.account, desk, day, broker_order_id)
        )

    async def foreign_numbers(self, desk: Desk, day: date, since: int) -> frozenset[str]:
        """Read the order numbers of a day that are proven to be others'."""
        return await self._read(lambda connection: queries.read_foreign(connection, self.account, desk, day, since))

    async def channels(self, desk: Desk) -> frozenset[str]:
        """Read how the ledger names the channel of our own orders."""
        return await self._read(lambda connection: queries.read_channels(connection, self.account, desk))

    async def terminals(self, desk: Desk) -> frozenset[str]:
        """Read how the feed names the terminal of our own orders whose number came by an answer."""
        return await self._read(lambda connection: queries.read_terminals(connection, self.account, desk))

    async def kept_reports(self, desk: Desk, since: date) -> tuple[OrderReport, ...]:
        """Read what the feed reported from a day on of numbers that nobody has, oldest first."""
        return await self._read(lambda connection: queries.read_kept_reports(connection, self.account, desk, since))

    async def working_orders(self) -> tuple[WorkingOrder, ...]:
        """Read our numbers that may still be in the book, of any day; cancels have none."""
        return await self._read(lambda connection: queries.read_working(connection, self.account))

    async def order_events(self, since: int, *, limit: int) -> tuple[OrderEvent, ...]:
        """Read what happened to the account's orders after a sequence number, oldest first."""
        return await self._read(lambda connection: queries.read_order_events(connection, self.account, since, limit))

    async def parts_moved(self, client_order_id: str, number: str) -> frozenset[str]:
        """Read which modifies were seen to leave a part of an order in the book; none where any of it was canceled."""
        return await self._read(lambda connection: queries.read_parts_moved(connection, client_order_id, number))

    async def bookmark(self) -> Bookmark:
        """Read the place after which nothing is written yet."""
        return await self._read(lambda connection: queries.read_bookmark(connection, self.account))

    async def news(self, since: Bookmark) -> JournalNews:
        """Read about which orders any process has written something since a place; one cheap look for all who wait."""
        return await self._read(lambda connection: queries.read_news(connection, self.account, since))

    async def days_to_close(self, before: date) -> tuple[tuple[Desk, date], ...]:
        """Read the ledger days before one on which something of ours went out, and whose books are not closed."""
        return await self._read(lambda connection: days.read_days_to_close(connection, self.account, before))

    async def day_close(self, desk: Desk, day: date) -> DayClose | None:
        """Read what the close of a day found; None while it is open."""
        return await self._read(lambda connection: days.read_day_close(connection, self.account, desk, day))

    async def feed_session(self) -> FeedSession | None:
        """Read the latest certificate of the feed; None if nobody has ever listened."""
        return await self._read(lambda connection: days.read_feed_session(connection, self.account))

    async def note_breaches(self, found: Sequence[Breach]) -> None:
        """Keep what monitors of the assumptions have found."""
        at = self._ambient.now()
        await self._write(lambda connection: breaches.note_breaches(connection, self.account, found, at))

    async def findings(self) -> tuple[KeptBreach, ...]:
        """Read what monitors of the assumptions have found, in the order of the kinds."""
        return await self._read(lambda connection: breaches.read_breaches(connection, self.account))

    async def health(self, since: date = date.min) -> DurableHealth:
        """Read what the file tells of the account's health; what closed days have left counts from a day on."""
        witness = self._witness

        def read(connection: apsw.Connection) -> DurableHealth:
            facts = breaches.read_facts(connection, self.path, is_durable=self._is_durable)
            durable = breaches.read_health(connection, self.account, since, facts)
            return evolve(durable, has_lost_rows=breaches.has_lost_rows(connection, witness))

        return await self._read(read)

    async def history(self, client_order_id: str) -> tuple[HistoryEntry, ...]:
        """Read everything that happened to an id, oldest first."""
        return await self._read(lambda connection: queries.read_history(connection, client_order_id))
