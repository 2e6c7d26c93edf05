"""`kiwoom-async demo`: orders over a hostile network, a trading process that is killed, and an audit at the broker.

The simulator runs in this process, the strategies in another one, which is killed with SIGKILL while orders are in
flight and started again with the same plan. When the strategies are through, the faults stop, everything still unknown
is settled, and every order is asked for once more. Then the broker's own book is held against what was asked and told
(`kiwoom_async._audit` defines every word of the table). The same orders then go through a naive client, which meets
the same faults and the same kills.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from typing import Final

import cattrs

from kiwoom_async._cli.demo_table import ProgressLine, render, summary
from kiwoom_async._cli.demo_trial import Result, Settings, Trial, TrialFailed

OURS: Final = "kiwoom-async"
NAIVE: Final = "naive client"
_INTERRUPTED: Final = 130
_ORDERS: Final = 200
_STRATEGIES: Final = 8
_MOST_KILLS: Final = 10
_ORDERS_PER_KILL: Final = 66
_MOST_DIGITS: Final = 6
"""Of a number of orders, which are planned in memory. Source: our choice; a million take half a day."""
_WHOLE: Final = re.compile(rf"[0-9]{{1,{_MOST_DIGITS}}}")
_DESCRIPTION: Final = """\
Place orders with several strategies over a network that drops, delays, resets, truncates and lies, kill the trading
process while orders are in flight, start it again, and count at the broker what came of it; then the same with a
naive client. No order leaves this machine."""
_EPILOG: Final = """\
exit codes: 0 nothing was doubled, lost, wrong or left unknown by kiwoom-async; 1 something was, or the demonstration
could not run; 2 wrong arguments; 130 interrupted"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "demo", help="prove it: faults, kills, and an audit at the broker", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="plan, faults and kills come from it (default: %(default)s)"
    )
    parser.add_argument("--orders", type=_positive, default=_ORDERS, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--strategies", type=_positive, default=_STRATEGIES, metavar="N", help="run at once (default: %(default)s)"
    )
    parser.add_argument(
        "--kills",
        type=_count,
        metavar="N",
        help=f"how often the trading process is killed (default: once in {_ORDERS_PER_KILL} orders, "
        f"at most {_MOST_KILLS})",
    )
    parser.add_argument("--skip-naive", action="store_true", help="leave out the naive client")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; gives the exit status."""
    kills = min(_MOST_KILLS, max(1, args.orders // _ORDERS_PER_KILL)) if args.kills is None else args.kills
    settings = Settings(args.seed, args.orders, args.strategies, kills)
    progress = ProgressLine()
    try:
        results = asyncio.run(_try_both(settings, progress, skip_naive=args.skip_naive))
    except KeyboardInterrupt:
        progress.end()
        sys.stderr.write("Interrupted.\n")
        return _INTERRUPTED
    except (TrialFailed, TimeoutError) as error:
        progress.end()
        sys.stderr.write(f"The demonstration could not be finished: {error if str(error) else 'it took too long'}\n")
        return 1
    progress.end()
    sys.stdout.write(_as_json(settings, results) if args.json else f"\n{render(results)}\n")
    return 0 if results[OURS].is_clean else 1


async def _try_both(settings: Settings, progress: ProgressLine, *, skip_naive: bool) -> dict[str, Result]:
    results = {OURS: await Trial(settings, is_naive=False, report=progress.show).run()}
    if not skip_naive:
        results[NAIVE] = await Trial(settings, is_naive=True, report=progress.show).run()
    return results


def _as_json(settings: Settings, results: dict[str, Result]) -> str:
    plain = {
        "settings": cattrs.unstructure(settings),
        "clients": {
            name: {
                **summary(result),
                "faults_by_kind": dict(result.faults),
                "violations": cattrs.unstructure(result.audit.violations),
                "client_faults": list(result.errors),
            }
            for name, result in results.items()
        },
    }
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _positive(text: str) -> int:
    """Read a number above zero."""
    if not _WHOLE.fullmatch(text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0 and below {10**_MOST_DIGITS}")
    return int(text)


def _count(text: str) -> int:
    """Read a number, zero allowed."""
    if not _WHOLE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number below {10**_MOST_DIGITS}")
    return int(text)
