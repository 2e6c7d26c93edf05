"""Plant small faults one by one and see whether the tests notice; list those that neither tests nor arguments cover."""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from types import CodeType
from typing import Final

from attrs import asdict, frozen

from benchmarks.mutation.faults import Fault, find_faults
from benchmarks.mutation.runner import ROOT, Result, Runner, file_of, open_runner, warm_up
from benchmarks.mutation.targets import TARGETS

ARGUED: Final = ROOT / "docs" / "mutants.md"
LIKELIER: Final = 10
"""How many times likelier than others to notice a fault are tests that have noticed one of the same function.
Source: our choice."""
_EPILOG: Final = (
    "docs/mutants.md holds the results and the faults that change nothing that can be observed. "
    "Exit code 1: a fault survived that is not argued for there."
)


@frozen
class Verdict:
    """What became of one fault.

    Attributes:
        number: Its place among all faults of the file.
        reaching: How many tests run its statement.
        tried: How many of them it was tried with; all, unless `--most` says otherwise.
    """

    file: str
    number: int
    line: int
    place: str
    before: str
    after: str
    reaching: int
    tried: int
    result: Result
    last_test: str
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Name the fault whatever its line."""
        return self.file, self.place, self.before, self.after


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description=__doc__, epilog=_EPILOG)
    parser.add_argument("files", nargs="*", help="such as _domain/states.py (default: every target)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="plant each N-th fault only")
    parser.add_argument("--offset", type=int, default=0, metavar="K", help="begin with the K-th of them")
    parser.add_argument("--line", type=int, action="append", help="plant the faults of this line only")
    parser.add_argument("--again", type=Path, metavar="JSON", help="plant what has survived in these results only")
    parser.add_argument("--most", type=float, metavar="S", help="try tests that usually take so many seconds in all")
    parser.add_argument("--seconds", type=float, help="begin with no further fault after so long")
    parser.add_argument("--json", type=Path, help="append every result to this file, one object a line")
    options = parser.parse_args(arguments)
    options.survivors = _read_survivors(options.again) if options.again else None
    if options.survivors is not None and not options.files:
        options.files = sorted({file for file, *_ in options.survivors})
    for file in options.files:
        if file not in TARGETS:
            parser.error(f"{file} is not in benchmarks/mutation/targets.py")
    return options


def read_argued(text: str) -> frozenset[tuple[str, str, str, str]]:
    """Read the faults of a page that are argued for: rows of file, place, before, after, reason."""
    rows = (
        [cell.strip().strip("`").replace("\\|", "|") for cell in line.replace("\\|", "\0").strip("| \n").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| `_")
    )
    return frozenset(
        tuple(cell.replace("\0", "|") for cell in row[:4])  # type: ignore[misc]
        for row in rows
        if len(row) == 5 and row[4]
    )


def _is_wanted(file: str, number: int, fault: Fault, options: argparse.Namespace) -> bool:
    if options.survivors is not None:
        return (file, fault.place, fault.before, fault.after) in options.survivors
    if options.line:
        return fault.line in options.line
    return bool(number % options.every == options.offset)


def _read_survivors(results: Path) -> frozenset[tuple[str, ...]]:
    found = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return frozenset(
        (one["file"], one["place"], one["before"], one["after"])
        for one in found
        if one["result"] == Result.SURVIVED.value
    )


def _faults_of(file: str, options: argparse.Namespace) -> Iterator[tuple[int, Fault, CodeType]]:
    source = file_of(file).read_text(encoding="utf-8")
    for number, fault in enumerate(find_faults(ast.parse(source))):
        if _is_wanted(file, number, fault, options):
            tree = ast.parse(source)  # a fault changes the tree it was found in
            find_faults(tree)[number].plant()
            yield number, fault, compile(ast.fix_missing_locations(tree), str(file_of(file)), "exec")


def examine(runner: Runner, file: str, options: argparse.Namespace) -> Iterator[Verdict]:
    """Plant the faults of one file.

    Raises:
        SystemExit: Its tests do not run it.
    """
    usual, path = runner.usual, file_of(file)
    if not usual.imported[path] and not usual.tests_by_line[path]:
        sys.exit(f"the tests of {file} do not import it from this checkout")
    noticing: dict[str, set[str]] = defaultdict(set)
    for number, fault, code in _faults_of(file, options):
        reaching = [test for test in usual.reaching(path, fault.lines) if test.partition("::")[0] in TARGETS[file]]
        known = noticing[fault.place]
        tests = sorted(reaching, key=lambda test: usual.seconds[test] / (LIKELIER if test in known else 1))
        tried = quickest(tests, usual.seconds, options.most)
        trial = runner.try_fault(file, fault.lines, code, tried)
        if trial.result is Result.KILLED:
            known.add(trial.last_test)
        what = (file, number, fault.line, fault.place, fault.before, fault.after)
        yield Verdict(*what, len(tests), len(tried), trial.result, trial.last_test, trial.seconds)


def quickest(tests: Sequence[str], seconds: Mapping[str, float], most: float | None) -> Sequence[str]:
    """Give the first tests, as many as usually take so long in all; one at least."""
    if most is None:
        return tests
    sums = accumulate(seconds[test] for test in tests)
    return tests[: max(1, sum(taken <= most for taken in sums))]


def _tell(verdict: Verdict, options: argparse.Namespace, argued: frozenset[tuple[str, ...]]) -> None:
    if verdict.result is Result.SURVIVED and verdict.key not in argued:
        note = "" if verdict.reaching else " (no test runs it)"
        if verdict.tried < verdict.reaching:
            note = f" (tried with {verdict.tried} of {verdict.reaching} tests)"
        print(f"{verdict.file}:{verdict.line} {verdict.place}: {verdict.before}  ->  {verdict.after}{note}", flush=True)
    if options.json:
        with options.json.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(verdict), ensure_ascii=False, default=lambda result: result.value) + "\n")


def _print_table(verdicts: list[Verdict], argued: frozenset[tuple[str, ...]]) -> None:
    print("\n| file | faults | killed | broken | timed out | argued for | survived | minutes |")
    print("|---|---|---|---|---|---|---|---|")
    for file in dict.fromkeys(verdict.file for verdict in verdicts):
        of_file = [verdict for verdict in verdicts if verdict.file == file]
        counts = Counter(verdict.result for verdict in of_file)
        excused = sum(verdict.result is Result.SURVIVED and verdict.key in argued for verdict in of_file)
        print(
            f"| `{file}` | {len(of_file)} | {counts[Result.KILLED]} | {counts[Result.BROKEN]} "
            f"| {counts[Result.TIMED_OUT]} | {excused} | {counts[Result.SURVIVED] - excused} "
            f"| {sum(verdict.seconds for verdict in of_file) / 60:.1f} |"
        )


def main(arguments: list[str]) -> int:
    """Run the command line; give the exit code."""
    options = _parse(arguments)
    until = time.monotonic() + (options.seconds or float("inf"))
    argued = read_argued(ARGUED.read_text(encoding="utf-8")) if ARGUED.exists() else frozenset()
    files = options.files or list(TARGETS)
    tests = list(dict.fromkeys(test for file in files for test in TARGETS[file]))
    os.environ["HYPOTHESIS_PROFILE"] = "hasty"
    warm_up(tests)
    verdicts: list[Verdict] = []
    with open_runner(files, tests) as runner:
        print(
            f"{len(runner.usual.seconds)} tests, {sum(runner.usual.seconds.values()):.0f} s without a fault", flush=True
        )
        for test in runner.usual.failed:
            print(f"left out, since it fails without a fault: {test}", flush=True)
        for file in files:
            for verdict in examine(runner, file, options):
                verdicts.append(verdict)
                _tell(verdict, options, argued)
                if time.monotonic() > until:
                    print(f"{file}: out of time after {sum(one.file == file for one in verdicts)} faults")
                    break
            if time.monotonic() > until:
                break
    _print_table(verdicts, argued)
    stale = argued & {verdict.key for verdict in verdicts if verdict.result is not Result.SURVIVED}
    for key in sorted(stale):
        print(f"argued for and killed all the same: {' | '.join(key)}")
    return int(any(verdict.result is Result.SURVIVED and verdict.key not in argued for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
