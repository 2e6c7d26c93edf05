"""`kiwoom-async accept-journal`: use a journal although it lacks records that it had before."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._cli.journal import open_for_reading
from kiwoom_async._journal.journal import BUSY_TIMEOUT
from kiwoom_async._journal.seals import accept
from kiwoom_async._journal.store import mapped_errors
from kiwoom_async._sharing import usual_seal_folder
from kiwoom_async.errors import KiwoomError

_TOLD: Final = """\
Use a journal that was refused as restored, from now on. What it lacks stays forgotten: an id that was sent since would
be sent again. Look for the newest file first, and at today's orders on Kiwoom's own screen. Close every client of the
journal before."""

_EPILOG: Final = """\
Clients that are opened on the same day then compare the broker's book with the journal, and raise an alarm for each
order that came by the REST API and that the journal does not know.

exit codes: 0 done, or nothing is missing; 1 it is not done, one line says why; 2 wrong arguments"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "accept-journal",
        help="use a journal that was refused as restored from a backup",
        description=_TOLD,
        epilog=_EPILOG,
    )
    parser.add_argument("path", type=Path, help="the SQLite file given to KiwoomClient(journal=…)")
    parser.add_argument("--reason", required=True, help="why; kept in the journal")
    parser.add_argument("--by", help="who does it (the user and the process)")
    parser.add_argument(
        "--seals", type=Path, help="the folder given to KiwoomClient(journal_seals=…), if one was (the usual place)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Accept the journal; gives the exit status."""
    try:
        if not args.reason.strip():
            raise _NoReason
        _require_journal(args.path)
        folder = args.seals or usual_seal_folder()
        if folder is None:
            raise _NoSeals
        missing = accept(
            args.path.resolve(),
            SystemAmbient(),
            reason=args.reason.strip(),
            by=args.by,
            folder=folder,
            busy_timeout=BUSY_TIMEOUT,
        )
    except KiwoomError as error:
        sys.stderr.write(f"NOT accepted: {error}\n")
        return 1
    if missing:
        sys.stdout.write(f"Accepted without the {missing} records that it lacks; they stay forgotten.\n")
    else:
        sys.stdout.write("This journal lacks nothing that this machine knows of; it is left as it is.\n")
    return 0


class _NoReason(KiwoomError):
    def __init__(self) -> None:
        super().__init__("give a few words as --reason; they are kept in the journal.")


class _NoSeals(KiwoomError):
    def __init__(self) -> None:
        super().__init__("this user has no usual place for seals; give the folder as --seals.")


def _require_journal(path: Path) -> None:
    # Keeps a path with a slip in it from becoming a new journal.
    with mapped_errors(path):
        open_for_reading(path).close()
