"""`kiwoom-async soak`: a night of trading days under every fault, on one journal, audited and measured day by day."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from kiwoom_async._audit import Harm, Verdict
from kiwoom_async._cli.soak_hand import NightFailed
from kiwoom_async._cli.soak_night import Day, Night, NightSettings
from kiwoom_async._cli.soak_vitals import MEBIBYTE, Growth, compare, percentile

_INTERRUPTED: Final = 130
_PROCESSES: Final = 3
_ORDERS: Final = 150
_STRATEGIES: Final = 9
_KILLS: Final = 2
_SHOWN: Final = 12
_LABEL: Final = 24
_COLUMN: Final = 14
_WRONG: Final = "A promise was broken, or an alarm was false."
_DESCRIPTION: Final = """\
Live through one trading day after another against a local broker that does everything wrong: several real processes
on one journal, real sockets, real SIGKILLs. Every day is audited at the broker. The journal is kept, and the processes
are measured: what the client costs may grow with what is open, and not with what has ever been. No order leaves this
machine."""
_EPILOG: Final = """\
exit codes: 0 every promise was kept, no alarm was false, and nothing has grown; 1 something was not or has,
or the soak could not run; 2 wrong arguments; 130 interrupted, and all was well so far"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "soak", help="a night of it: days of faults and kills, audits, leaks", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--hours", type=_hours, required=True, metavar="H", help="for example 8, or 0.01")
    parser.add_argument("--seed", type=int, default=1, help="of the first day; the next has the next (%(default)s)")
    parser.add_argument(
        "--processes", type=_at_least(2), default=_PROCESSES, metavar="N", help="one is never killed (%(default)s)"
    )
    parser.add_argument("--orders", type=_at_least(1), default=_ORDERS, metavar="N", help="a day (%(default)s)")
    parser.add_argument(
        "--strategies", type=_at_least(1), default=_STRATEGIES, metavar="N", help="run at once (%(default)s)"
    )
    parser.add_argument("--kills", type=_at_least(0), default=_KILLS, metavar="N", help="a day (%(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the soak; gives the exit status."""
    settings = NightSettings(args.seed, args.hours * 3600, args.processes, args.orders, args.strategies, args.kills)
    folder = Path(tempfile.mkdtemp(prefix="kiwoom-soak-"))
    night = Night(settings, folder, _tell)
    sys.stderr.write(
        f"{args.processes} processes, {args.orders} orders a day, for {_duration(settings.seconds)}; Ctrl-C ends it.\n"
    )
    sys.stderr.flush()
    failure, is_interrupted = "", False
    try:
        asyncio.run(night.run())
    except KeyboardInterrupt:
        is_interrupted = True
    except NightFailed as error:
        failure = str(error)
    growths = compare([day.sample for day in night.days])
    sys.stdout.write("\n".join(_report(night.days, growths)) + "\n")
    is_wrong = bool(failure) or not all(day.is_clean for day in night.days)
    if is_wrong:
        seed = settings.seed + len(night.days) - (not failure)
        sys.stdout.write(
            f"\n{failure or _WRONG}\nSeed {seed}; what is left of the day is in {folder}.\nAgain: "
            f"kiwoom-async soak --hours 0.01 --seed {seed} --processes {args.processes} --orders {args.orders} "
            f"--strategies {args.strategies} --kills {args.kills}\n"
        )
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if is_wrong or any(growth.is_leak for growth in growths):
        return 1
    return _INTERRUPTED if is_interrupted else 0


def _tell(day: Day, left: float) -> None:
    sys.stderr.write(f"{_line(day, left)}\n")
    sys.stderr.flush()


def _line(day: Day, left: float) -> str:
    """Tell of one day."""
    sample = day.sample
    return (
        f"day {day.round.number:>4}  seed {day.round.seed}  {day.seconds:5.1f} s  orders {day.audit.asked:>4}  "
        f"faults {day.faults:>4}  kills {day.kills}  violations {len(day.audit.violations) + len(day.errors)}  "
        f"alarms {len(day.alarms)}  median {1000 * median(sample.latencies):.1f} ms  "
        f"p99 {1000 * percentile(sample.latencies, 0.99):.0f} ms  "
        f"memory {sample.elder.resident / MEBIBYTE:.1f} MiB  fds {sample.elder.descriptors}  "
        f"threads {sample.elder.threads}  tasks {sample.elder.tasks}  journal {sample.journal / MEBIBYTE:.1f}"
        f"+{sample.log / MEBIBYTE:.1f} MiB  left {_duration(max(0.0, left))}"
    )


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {int(seconds % 60):02d} s"


def _report(days: Sequence[Day], growths: Sequence[Growth]) -> Iterator[str]:
    """Draw the tables of the end."""
    told = Counter[str]()
    for day in days:
        told.update(answer.verdict.value for answer in day.audit.last.values())
    yield ""
    rows = {
        "days": len(days),
        "orders asked for": sum(day.audit.asked for day in days),
        "orders on the book": sum(day.audit.on_the_book for day in days),
        **{harm.value.upper(): sum(day.audit.count(harm) for day in days) for harm in Harm},
        "faults of the client": sum(len(day.errors) for day in days),
        **{f"told: {verdict.value}": told[verdict.value] for verdict in Verdict if told[verdict.value]},
        "resent with proof": sum(day.resent for day in days),
        "kills survived": sum(day.kills for day in days),
        "faults injected": sum(day.faults for day in days),
        "alarms unexplained": sum(len(day.false_alarms) for day in days),
        "alarms of the client": sum(len(day.alarms) for day in days),
        "seconds": round(sum(day.seconds for day in days)),
    }
    for label, value in rows.items():
        yield f"{label:<{_LABEL}}{value:>{_COLUMN}}"
    yield ""
    if not growths:
        yield "Nothing to compare: it takes two days."
    else:
        yield f"{'':<{_LABEL}}{'beginning':>{_COLUMN}}{'end':>{_COLUMN}}{'at most':>{_COLUMN}}"
    for growth in growths:
        cells = "".join(f"{_shown(growth, value):>{_COLUMN}}" for value in (growth.beginning, growth.end, growth.most))
        yield f"{growth.measure.label:<{_LABEL}}{cells}{'  GROWS' if growth.is_leak else ''}"
    if growths:
        yield "The bounds of durations are as much wider as a fixed piece of work took longer in the end."
    for day in days:
        yield from _wrongs(day)


def _wrongs(day: Day) -> Iterator[str]:
    """Tell what was wrong with a day, and of its alarms."""
    for violation in day.audit.violations[:_SHOWN]:
        text = f"{violation.harm.value} {violation.client_order_id} ({violation.invariant}): {violation.text}"
        yield f"day {day.round.number}: {text}"
    for text in day.errors[:_SHOWN]:
        yield f"day {day.round.number}: fault of the client: {text}"
    for text in day.false_alarms:
        yield f"day {day.round.number}: alarm that nothing explains (longest standstill {day.stall:.2f} s): {text}"
    for text, count in Counter(day.alarms).most_common(_SHOWN):
        yield f"day {day.round.number}: alarm, {count} times: {text}"


def _shown(growth: Growth, value: float) -> str:
    size, name = growth.measure.unit
    return f"{value / size:.1f} {name}" if name else f"{value:.0f}"


class _at_least:  # noqa: N801 - it reads as a type of argparse
    """Reads a whole number that is not below another."""

    def __init__(self, least: int) -> None:
        self._least = least

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < self._least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self._least} on")
        return int(text)


def _hours(text: str) -> float:
    """Read a number above zero."""
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours above 0")
    return hours
