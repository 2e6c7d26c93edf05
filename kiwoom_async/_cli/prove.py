"""`kiwoom-async prove`: trading days on virtual time, with every fault at once, judged by the broker's own book.

Each day is drawn from a seed: what the strategies want, how the processes live and die, what the network, the broker
and other people do. A day that breaks a promise is printed with the command that replays it, and its timeline.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, field

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._proof.campaign import KEPT, Tally, ground
from kiwoom_async._proof.outcomes import DayResult
from kiwoom_async._proof.worker import WorkerDied, run_campaign

_INTERRUPTED: Final = 130
_DAYS: Final = 200
_INTERVAL: Final = 2.0
_LABEL: Final = 34
_WIDTH: Final = 100
_DESCRIPTION: Final = """\
Play trading days in which everything goes wrong that can, on virtual time and replayably: lost and late answers, a
ledger that lags, a feed that lies, dying tokens, twins of your orders, several processes that share a journal and are
killed and frozen. Then hold what every caller was told against the broker's own book. No order leaves this machine."""
_EPILOG: Final = """\
exit codes: 0 no promise was broken; 1 one was, and the first such day is printed with its timeline, or the days could
not be played; 2 wrong arguments; 130 interrupted by Ctrl-C, after a report of what was played, in which no promise was
broken"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "prove", help="play thousands of hostile trading days from a seed", description=_DESCRIPTION, epilog=_EPILOG
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--orders", type=_positive, metavar="N", help="play days until so many orders were asked for")
    length.add_argument("--days", type=_positive, metavar="N", help=f"play so many days (default: {_DAYS})")
    length.add_argument("--day", type=_count, metavar="K", help="replay one day, by its number")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="everything comes from it (default: 1)")
    parser.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: one per core)"
    )
    parser.add_argument("--timeline", action="store_true", help="with --day: print everything that happened in it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play the days; gives the exit status."""
    if args.day is not None:
        return _replay(args.seed, args.day, shows_timeline=args.timeline)
    clock = SystemAmbient()
    began = clock.monotonic()
    progress = _Progress(clock, began, args.orders, None if args.orders else args.days or _DAYS)
    tally, is_interrupted = Tally(), False
    try:
        asyncio.run(
            run_campaign(
                args.seed,
                tally,
                workers=args.workers,
                is_enough=progress.is_enough,
                most_days=progress.days,
                tell=progress.show,
            )
        )
    except KeyboardInterrupt:
        is_interrupted = True
    except WorkerDied as died:
        sys.stderr.write(f"The days could not be played: {died}\n")
        return 1
    if is_interrupted:
        sys.stdout.write(f"INTERRUPTED after {progress.spell(tally)}. These were played until then:\n\n")
    sys.stdout.write("\n".join(_table(args.seed, tally, clock.monotonic() - began)) + "\n")
    sys.stdout.flush()
    if not is_interrupted and tally.failures:
        _replay(args.seed, tally.failures[0].number, shows_timeline=True)
    if tally.violations:
        return 1
    return _INTERRUPTED if is_interrupted else 0


@define
class _Progress:
    """Says on standard error how far it is."""

    clock: SystemAmbient
    began: float
    orders: int | None
    days: int | None
    _next: float = 0.0
    _told: set[int] = field(factory=set)

    def is_enough(self, tally: Tally) -> bool:
        """Tell whether enough orders were asked for."""
        return self.orders is not None and tally.orders >= self.orders

    def show(self, tally: Tally) -> None:
        """Write a line now and then, and every day that fails at once: long runs are there to find one."""
        seconds = self.clock.monotonic() - self.began
        for failure in tally.failures:
            if failure.number not in self._told:
                self._told.add(failure.number)
                sys.stderr.write(f"{seconds:7.1f} s  VIOLATION on day {failure.number}: {failure.violations[0]}\n")
        is_over = self.is_enough(tally) or tally.days == self.days
        if seconds < self._next and not is_over:
            return
        self._next = seconds + _INTERVAL
        sys.stderr.write(
            f"{seconds:7.1f} s  {self.spell(tally)}  {60 * tally.days / seconds:.0f} days a minute  "
            f"kills {tally.deaths}  faults {tally.faults.total()}  violations {tally.violations}\n"
        )
        sys.stderr.flush()

    def spell(self, tally: Tally) -> str:
        """Say how much of what is wanted is done."""
        return f"{tally.orders}/{self.orders} orders" if self.orders else f"{tally.days}/{self.days} days"


def _replay(seed: int, number: int, *, shows_timeline: bool) -> int:
    with ground() as place:
        result = place.run(seed, number, keeps_timeline=shows_timeline)
    sys.stdout.write("\n".join(_day(seed, number, result)) + "\n")
    return 1 if result.violations else 0


def _day(seed: int, number: int, result: DayResult) -> Iterator[str]:
    yield ""
    yield f"day {number} of seed {seed} (its own seed: {result.seed})"
    yield f"replay: kiwoom-async prove --seed {seed} --day {number} --timeline"
    if result.timeline.is_kept:
        yield from result.timeline.lines()
        yield f"fingerprint of the timeline: {result.timeline.digest}"
    kills = sum(result.deaths.values())
    yield f"{result.orders} orders, {result.sends} requests, {kills} kills, {len(result.violations)} violations"
    for violation in result.violations:
        yield f"VIOLATION {violation}"


def _table(seed: int, tally: Tally, seconds: float) -> Iterator[str]:
    counts: Mapping[str, object] = {
        "seed": seed,
        "trading days": tally.days,
        "orders asked for": tally.orders,
        "order requests at the broker": tally.sends,
        "processes killed": tally.deaths,
        "processes frozen": tally.freezes,
        "faults injected": tally.faults.total(),
        "VIOLATIONS": tally.violations,
        "days with violations": tally.failed,
        "virtual hours": f"{tally.seconds / 3600:.0f}",
        "seconds": f"{seconds:.1f}",
        "days a minute": f"{60 * tally.days / seconds:.0f}",
        "processor seconds a day": f"{tally.processor / tally.days:.2f}" if tally.days else "none played",
    }
    yield from (f"{name:<{_LABEL}}{value:>12}" for name, value in counts.items())
    for title, counted in (
        ("answers by witness", tally.witnesses),
        ("deaths by where they struck", tally.struck),
        ("faults by kind", tally.faults),
    ):
        yield ""
        yield title
        for kind, times in sorted(counted.items()):
            *above, last = textwrap.wrap(kind, _LABEL - 1, initial_indent="  ", subsequent_indent="    ")
            yield from above
            yield f"{last:<{_LABEL}}{times:>12}"
    if tally.failures:
        yield ""
        shown = f"the first {KEPT} of {tally.failed}" if tally.failed > KEPT else f"all {tally.failed}"
        yield f"days with violations, {shown}, by their first"
        yield f"  again: kiwoom-async prove --seed {seed} --day DAY --timeline"
    for failure in tally.failures:
        more = f" (and {len(failure.violations) - 1} more)" if len(failure.violations) > 1 else ""
        day = f"  day {failure.number:<6} "
        yield from textwrap.wrap(
            f"{failure.violations[0]}{more}",
            _WIDTH,
            initial_indent=day,
            subsequent_indent=" " * len(day),
            break_on_hyphens=False,
        )


def _positive(text: str) -> int:
    """Read a number above zero."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _count(text: str) -> int:
    """Read a number, zero allowed."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
