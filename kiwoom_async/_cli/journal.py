"""`kiwoom-async journal`: look into a journal without touching it, also while a client runs.

The file is opened for reading only. In a write-ahead log a reader never keeps a writer waiting. What is shown is what
the journal holds, and that has no keys, tokens or account numbers in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._execution.answers import describe
from kiwoom_async._journal import guards, queries
from kiwoom_async._journal.records import HistoryEntry, OrderRecord, to_plain
from kiwoom_async._journal.store import APPLICATION_ID, SCHEMAS, mapped_errors
from kiwoom_async.errors import JournalCorrupt, JournalError, JournalReadOnly, JournalTooNew

_BUSY_TIMEOUT: Final = 1.0
_OPEN: Final = (
    "SELECT DISTINCT client_order_id FROM attempts "  # noqa: S608 - no text from outside
    "WHERE state IN ('prepared', 'dispatched', 'unknown', 'candidates', 'unresolved_at_close') "
    f"AND {queries.UNANSWERED} ORDER BY dispatched_at, client_order_id"
)
RELIANCES: Final = 6
"""The schema with which a send keeps what its sender relied on."""

_ALL: Final = "SELECT client_order_id FROM intents ORDER BY created_at, client_order_id"
_EPILOG: Final = """\
exit codes: 0 done; 1 the journal cannot be read or does not know the order; 2 wrong arguments"""


def account_of(path: Path, client_order_id: str) -> str | None:
    """Read under which name a journal keeps the account of an order; None if it does not know the order.

    Raises:
        JournalError: There is no journal, or it is not one.
    """
    with mapped_errors(path):
        connection = _open_records(path)
        try:
            record = queries.read_record(connection, client_order_id)
        finally:
            connection.close()
    return None if record is None else record.intent.account


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "journal",
        help="look into a journal, also while a client runs",
        description="List the orders of a journal that are open or unresolved, or show all that is known of one.",
        epilog=_EPILOG,
    )
    parser.add_argument("path", type=Path, help="the SQLite file given to KiwoomClient(journal=…)")
    parser.add_argument("client_order_id", nargs="?", help="show this order with its history and the evidence")
    parser.add_argument("--all", action="store_true", help="list settled orders, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show what is asked for; gives the exit status."""
    try:
        with mapped_errors(args.path):
            connection = _open_records(args.path)
            try:
                found = _find(connection, args.client_order_id, is_all=args.all)
                switch = _read_switch(connection)
            finally:
                connection.close()
    except JournalError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if switch.is_engaged and switch.at is not None:
        # Not among the orders, so that a program which reads those finds nothing else there.
        sys.stderr.write(
            f"HALTED since {switch.at:%Y-%m-%d %H:%M:%S} by {switch.by}: {switch.reason}. New orders and modifies are "
            f"held; kiwoom-async resume {args.path} --reason … lets them through.\n"
        )
    if found is None:
        sys.stderr.write(f"The journal {args.path} does not know the order {args.client_order_id!r}.\n")
        return 1
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    elif isinstance(found, list):
        sys.stdout.write("\n".join(_list(found)) + "\n")
    else:
        sys.stdout.write("\n".join(_show(found)) + "\n")
    return 0


def open_for_reading(path: Path) -> apsw.Connection:
    """Open a journal for reading only.

    Raises:
        JournalError: There is none, or it is not one.
    """
    try:
        is_there = path.is_file()
        os.fspath(path).encode()
    except (OSError, ValueError) as error:
        raise JournalReadOnly(f"The journal {path} cannot be read ({type(error).__name__}).") from error
    if not is_there:
        raise JournalReadOnly(f"There is no journal {path}.")
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(int(_BUSY_TIMEOUT * 1000))
        if connection.pragma("application_id") != APPLICATION_ID:
            raise JournalCorrupt(f"{path} is not a journal of this library.")
        if (version := connection.pragma("user_version")) > len(SCHEMAS):
            raise JournalTooNew(f"The journal {path} has schema {version}; this release knows {len(SCHEMAS)}.")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_records(path: Path) -> apsw.Connection:
    connection = open_for_reading(path)
    if connection.pragma("user_version") < RELIANCES:
        # This command changes nothing. The name is this connection's alone and stands before that of the table.
        connection.execute("CREATE TEMP VIEW attempts AS SELECT *, NULL AS relied_on FROM main.attempts")
    return connection


def _read_switch(connection: apsw.Connection) -> KillSwitchState:
    # A journal of an earlier schema has no switch, and this command changes nothing.
    has_switch = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'kill_switch'").get is not None
    return guards.read_switch(connection) if has_switch else KillSwitchState()


def _find(connection: apsw.Connection, client_order_id: str | None, *, is_all: bool) -> Any:
    """Read what is asked for, in one moment of the file; None where an order is not known."""
    with connection:
        if client_order_id is None:
            ids = [name for (name,) in connection.execute(_ALL if is_all else _OPEN)]
            records = [record for name in ids if (record := queries.read_record(connection, name)) is not None]
            return [_order(record) for record in records]
        record = queries.read_record(connection, client_order_id)
        if record is None:
            return None
        history = queries.read_history(connection, client_order_id)
        return {**_order(record), "history": [_event(entry) for entry in history]}


def _order(record: OrderRecord) -> dict[str, Any]:
    order = describe(record)
    return {
        "client_order_id": order.client_order_id,
        "delivery": order.delivery.value,
        "broker_order_id": order.broker_order_id,
        "desk": order.desk.value,
        "action": order.action.value,
        "side": None if order.side is None else order.side.value,
        "symbol": order.symbol,
        "quantity": order.quantity,
        "price": order.price,
        "order_type": None if order.order_type is None else order.order_type.value,
        "route": None if order.route is None else order.route.value,
        "original_broker_order_id": order.original_broker_order_id,
        "status": None if order.status is None else order.status.value,
        "filled_quantity": order.filled_quantity,
        "resolved_by": None if order.resolved_by is None else order.resolved_by.value,
        "attempts": len(record.attempts),
        "since": record.intent.created_at.isoformat(),
        "reason": record.decisive.reason,
    }


def _event(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(),
        "attempt": entry.attempt,
        "event": entry.event,
        "state": entry.state.value,
        "evidence": to_plain(entry.evidence),
    }


def _list(orders: list[dict[str, Any]]) -> Iterator[str]:
    if not orders:
        yield "Nothing is open."
    for order in orders:
        yield f"{order['since'][:19]}  {order['delivery']:<12}  {_spelled(order)}"
        if order["reason"]:
            yield f"{'':21}{order['reason']}"


def _spelled(order: dict[str, Any]) -> str:
    wanted = order["side"] if order["action"] == "new" else order["action"]
    quantity = "all" if order["quantity"] is None else order["quantity"]
    price = "" if order["price"] is None else f" at {order['price']}"
    number = order["broker_order_id"] or "no number"
    return f"{order['client_order_id']}  {wanted} {quantity} {order['symbol']}{price}  ({number})"


def _show(order: dict[str, Any]) -> Iterator[str]:
    yield _spelled(order)
    for name, value in order.items():
        if name != "history" and value not in {None, ""}:
            yield f"  {name}: {value}"
    for event in order["history"]:
        yield f"{event['at'][:23]}  attempt {event['attempt']}  {event['event']} -> {event['state']}"
        for name, value in event["evidence"].items():
            yield f"    {name}: {json.dumps(value, ensure_ascii=False)}"
