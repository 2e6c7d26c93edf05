"""Runs tests of the checkout it stands in, one request a line, each in a fork: what never changes is imported once.

A request is a JSON list of tests; the answer is a JSON object, see `Reporter`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.mutation.runner import ROOT, warm_up

_OPTIONS: Final = (
    "-q",
    "--timeout",
    "100",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)


class Reporter:
    """Notes what a run imported and how its tests ended."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"package": "", "passed": [], "failed": []}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that passed."""
        if report.when == "call" and report.passed:
            self.found["passed"].append(report.nodeid.partition("[")[0])

    def pytest_exception_interact(self, node: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        """Note one that failed: its name, the phase, the error and its text."""
        assert call.excinfo is not None
        name = node.nodeid.partition("[")[0]
        self.found["failed"].append([name, call.when, call.excinfo.typename, str(call.excinfo.value)])

    def pytest_sessionfinish(self) -> None:
        """Note where the package came from."""
        self.found["package"] = getattr(sys.modules.get("kiwoom_async"), "__file__", "")


def carry_out(tests: list[str], answer: Path) -> None:
    """Run tests, and leave the answer in a file."""
    sys.dont_write_bytecode = True  # two changes of one second could not be told apart
    reporter = Reporter()
    with answer.with_suffix(".log").open("w", encoding="utf-8") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
        pytest.main([*_OPTIONS, *tests], plugins=[reporter])
    answer.write_text(json.dumps(reporter.found), encoding="utf-8")


def main(tests: list[str]) -> None:
    """Serve until the input ends.

    Args:
        tests: All test files that will be asked for.
    """
    os.chdir(ROOT)
    warm_up(tests)
    answer = ROOT / "answer.json"
    for line in sys.stdin:
        answer.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                carry_out(json.loads(line), answer)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        print(answer.read_text(encoding="utf-8") if answer.exists() else "null", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
