"""`kiwoom-async resolve`: settle an order by hand that no evidence decides, or take such a verdict back.

Every verdict stands in the order's history with its reason. Clients that run on the same journal see it at once.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import Final

import anyio

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._cli.journal import account_of
from kiwoom_async._domain.ambient import korean_day
from kiwoom_async._domain.orders import Order
from kiwoom_async._execution.verdicts import Verdict, settle, take_back
from kiwoom_async._journal.journal import Journal
from kiwoom_async._sharing import usual_seal_folder
from kiwoom_async.errors import KiwoomError

_EPILOG: Final = """\
Look at Kiwoom's own screen (영웅문, 주문체결) first: what you say here is believed.
`kiwoom-async journal JOURNAL` lists what is unresolved and why.

exit codes: 0 done; 1 it cannot be settled so; 2 wrong arguments"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "resolve",
        help="settle an order by hand that no evidence decides, or take that back",
        description="Write down what became of an order of unknown outcome, after a look at Kiwoom's own screen.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="the SQLite file given to KiwoomClient(journal=…)")
    parser.add_argument("--key", required=True, metavar="ID", help="the client order id")
    verdict = parser.add_mutually_exclusive_group(required=True)
    verdict.add_argument("--as", dest="accepted_as", metavar="NUMBER", help="it is on the book under this number")
    verdict.add_argument("--not-accepted", action="store_true", help="it is not on the book")
    verdict.add_argument("--take-back", action="store_true", help="an earlier verdict was wrong: unresolved again")
    parser.add_argument("--reason", required=True, help="how you know; kept in the history")
    parser.add_argument(
        "--day",
        type=_day,
        metavar="YYYY-MM-DD",
        help="with --as: the Korean day on whose list the number stands (default: the day of the send; needed where "
        "the list of another day may show the order)",
    )
    parser.set_defaults(run=run)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a day as in 2026-03-04") from None


def run(args: argparse.Namespace) -> int:
    """Write the verdict down; gives the exit status."""
    try:
        order = _settle(args)
    except KiwoomError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    number = order.broker_order_id or "no number"
    sys.stdout.write(f"{order.client_order_id}  {order.delivery.value}  ({number})\n")
    return 0


def _settle(args: argparse.Namespace) -> Order:
    account = account_of(args.path, args.key)

    ambient = SystemAmbient()

    async def work() -> Order:
        # An id that the journal does not know belongs to no account, and ends in the same error as a settled one.
        async with Journal(args.path, ambient, account or "", seals=usual_seal_folder()) as journal:
            if args.take_back:
                return await take_back(journal, args.key, args.reason)
            verdict = Verdict.of(args.accepted_as, not_accepted=args.not_accepted, reason=args.reason, day=args.day)
            return await settle(journal, args.key, verdict, today=korean_day(ambient.now()))

    return anyio.run(work)
