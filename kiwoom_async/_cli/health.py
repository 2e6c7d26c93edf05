"""`kiwoom-async health`: what a journal tells of the assumptions behind its orders, also while clients run.

The file is opened for reading only. Measurements of a running client are not in it; `client.health()` has those.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import apsw

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._cli.journal import open_for_reading
from kiwoom_async._domain.feed_status import FeedState, FeedStatus
from kiwoom_async._domain.health import Health, HealthState, judge
from kiwoom_async._journal import breaches
from kiwoom_async._journal.store import mapped_errors
from kiwoom_async.errors import JournalError

FIRST_SCHEMA: Final = 4
"""The schema with which findings came."""

ALARMED: Final = 3
"""Exit status where an assumption was seen not to hold. Source: our choice, apart from those of a failure."""

_WIDTH: Final = 100
_EPILOG: Final = """\
exit codes: 0 no alarm; 1 the journal cannot be read; 2 wrong arguments; 3 an assumption was seen not to hold"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "health",
        help="show what the monitors of the assumptions have found",
        description="Show what the monitors have found of the assumptions A1 to A11 on which the promises rest.",
        epilog=_EPILOG,
    )
    parser.add_argument("--journal", type=Path, required=True, help="the SQLite file given to KiwoomClient(journal=…)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show it; gives the exit status."""
    now = SystemAmbient().now()
    try:
        with mapped_errors(args.journal):
            connection = open_for_reading(args.journal)
            try:
                if connection.pragma("user_version") < FIRST_SCHEMA:
                    raise JournalError(
                        f"The journal {args.journal} is of an earlier release, which kept no findings. They begin when "
                        "a client of this release opens it."
                    )
                with connection:
                    found = dict(_read(connection, args.journal, now))
            finally:
                connection.close()
    except JournalError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if args.json:
        told = {account: _plain(health) for account, health in found.items()}
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(
            "\n".join(line for account, health in found.items() for line in _table(account, health)) + "\n"
        )
        if not found:
            sys.stdout.write("No order was sent by this journal yet.\n")
    return ALARMED if any(health.state is HealthState.ALARM for health in found.values()) else 0


def _read(connection: apsw.Connection, path: Path, now: datetime) -> Iterator[tuple[str, Health]]:
    off = FeedStatus(FeedState.OFF, text="not told by a journal")
    facts = breaches.read_facts(connection, path, is_durable=True)
    for account in breaches.read_accounts(connection):
        durable = breaches.read_health(connection, account, date.min, facts)
        yield account, judge(durable, now=now, measured={}, feed=off)


def _plain(health: Health) -> dict[str, Any]:
    return {
        "state": health.state.value,
        "revived": health.revived,
        "duplicates": health.duplicates,
        "unresolved": health.unresolved,
        "oldest_unresolved_seconds": health.oldest_unresolved,
        "assumptions": {
            one.assumption.value: {
                "state": one.state.value,
                "meaning": one.assumption.meaning,
                "times": one.times,
                "since": None if one.since is None else one.since.isoformat(),
                "last": None if one.last is None else one.last.isoformat(),
                "text": one.text if one.times else "",
            }
            for one in health.assumptions
        },
    }


def _table(account: str, health: Health) -> Iterator[str]:
    oldest = "" if health.oldest_unresolved is None else f", the oldest for {health.oldest_unresolved:.0f} s"
    yield f"{account}: {health.state.value.upper()}"
    yield f"  revived {health.revived}, duplicates {health.duplicates}, unresolved {health.unresolved}{oldest}"
    for one in health.assumptions:
        yield f"  {one.assumption.value:<4}{one.state.value.upper():<9}{one.assumption.meaning}"
        if one.since is None or one.last is None:
            continue
        often = "once, on" if one.times == 1 else f"{one.times} times since"
        last = "" if one.last == one.since else f", last {one.last:%Y-%m-%d %H:%M:%S}"
        yield f"{'':17}{often} {one.since:%Y-%m-%d %H:%M:%S}{last}"
        yield from textwrap.wrap(one.text, _WIDTH, initial_indent=" " * 17, subsequent_indent=" " * 17)
