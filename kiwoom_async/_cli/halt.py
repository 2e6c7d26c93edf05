"""`kiwoom-async halt` and `kiwoom-async resume`: the kill switch of a journal, also while clients run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._cli.journal import open_for_reading
from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._guards import KillSwitch
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.store import SCHEMAS, mapped_errors
from kiwoom_async.errors import KiwoomError

FIRST_SCHEMA: Final = 3
"""The schema with which the switch came; a client of an earlier release never looks at it."""

_HALT: Final = """\
Hold new orders and modifies of every client on a journal, from now on and until kiwoom-async resume. Cancels go
through. Orders at the broker stay there."""

_RESUME: Final = """\
Let orders through again after kiwoom-async halt. Nothing that was held is sent by itself."""

_EPILOG: Final = """\
exit codes: 0 done; 1 it is not done, one line says why; 2 wrong arguments"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the console script."""
    for name, is_engaged, told in (("halt", True, _HALT), ("resume", False, _RESUME)):
        parser = subparsers.add_parser(
            name,
            help="stop new orders of a journal" if is_engaged else "let the orders of a journal through again",
            description=told,
            epilog=_EPILOG,
        )
        parser.add_argument("path", type=Path, help="the SQLite file given to KiwoomClient(journal=…)")
        parser.add_argument("--reason", required=True, help="why; kept, and shown to whoever is held")
        parser.add_argument("--by", help="who does it (the user and the process)")
        parser.set_defaults(run=run, is_engaged=is_engaged)


def run(args: argparse.Namespace) -> int:
    """Move the switch; gives the exit status."""
    try:
        is_early = _read_schema(args.path) < FIRST_SCHEMA
        state = asyncio.run(_move(args.path, args.reason, args.by, is_engaged=args.is_engaged))
    except KiwoomError as error:
        wanted = "halted" if args.is_engaged else "resumed"
        sys.stderr.write(f"NOT {wanted}: {error}\n")
        return 1
    sys.stdout.write(spell(state) + "\n")
    if is_early:
        sys.stderr.write(
            f"The journal is of schema {len(SCHEMAS)} now. A client of an earlier release that has it open does not "
            "know the switch: close it.\n"
        )
    return 0


def _read_schema(path: Path) -> int:
    # Also keeps a path with a slip in it from becoming a new journal that nobody trades on.
    with mapped_errors(path):
        connection = open_for_reading(path)
        try:
            version: int = connection.pragma("user_version")
        finally:
            connection.close()
    return version


async def _move(path: Path, reason: str, by: str | None, *, is_engaged: bool) -> KillSwitchState:
    ambient = SystemAmbient()
    # To stop must always work, also on a file of which a part is damaged.
    async with Journal(path, ambient, account="", is_trusted=is_engaged) as journal:
        switch = KillSwitch(journal, ambient)
        return await (switch.engage(reason=reason, by=by) if is_engaged else switch.release(reason=reason, by=by))


def spell(state: KillSwitchState) -> str:
    """Say in one line what the switch was last told."""
    if state.at is None:
        return "Orders go through; the kill switch was never engaged."
    told = f"since {state.at:%Y-%m-%d %H:%M:%S} by {state.by}: {state.reason}"
    if state.is_engaged:
        return f"HALTED {told}. New orders and modifies are held, cancels go through."
    return f"Orders go through {told}."
