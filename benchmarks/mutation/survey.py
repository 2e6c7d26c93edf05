"""Which test runs which line, and how long it takes: what is worth running against a fault in that line."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import pytest
from attrs import frozen
from coverage import Coverage


@frozen
class Survey:
    """What tests run without a fault.

    Attributes:
        seconds: Of each test that passes.
        failed: Tests that fail, which tell nothing.
        imported: By file, the lines that are run before the first test: every test depends on them.
        tests_by_line: By file, the tests that run a line.
    """

    seconds: Mapping[str, float]
    failed: Collection[str]
    imported: Mapping[Path, frozenset[int]]
    tests_by_line: Mapping[Path, Mapping[int, frozenset[str]]]

    def is_run_at_import(self, file: Path, lines: Iterable[int]) -> bool:
        """Tell whether one of the lines is run before the first test."""
        return not self.imported[file].isdisjoint(lines)

    def reaching(self, file: Path, lines: Iterable[int]) -> frozenset[str]:
        """Give the tests that run one of the lines, or that depend on them."""
        if self.is_run_at_import(file, lines):
            return frozenset(self.seconds)
        by_line = self.tests_by_line[file]
        return frozenset().union(*(by_line.get(line, ()) for line in lines)) & self.seconds.keys()


def watched(files: Iterable[Path]) -> Coverage:
    """Watch the lines of these files alone."""
    watch = Coverage(data_file=None, config_file=False, include=[str(file) for file in files])
    # A module of tables alone is not run by any test.
    watch.set_option("run:disable_warnings", ["no-data-collected"])
    return watch


def survey(items: Sequence[pytest.Item], files: Sequence[Path], imported: Coverage) -> Survey:
    """Run all tests once.

    Args:
        items: The tests.
        files: What may get faults.
        imported: What watched the import of the tests, and was stopped.
    """
    seconds: dict[str, float] = {}
    failed: list[str] = []
    watch = watched(files)
    watch.start()
    for item, following in zip_longest(items, items[1:]):
        watch.switch_context(item.nodeid)
        began = time.perf_counter()
        if run_item(item, following):
            seconds[item.nodeid] = time.perf_counter() - began
        else:
            failed.append(item.nodeid)
    watch.stop()
    before, found = imported.get_data(), watch.get_data()
    return Survey(
        seconds=seconds,
        failed=failed,
        imported={file: frozenset(before.lines(str(file)) or ()) for file in files},
        tests_by_line={
            file: {line: frozenset(tests) for line, tests in found.contexts_by_lineno(str(file)).items()}
            for file in files
        },
    )


def run_item(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Run one test and tell whether it passed; take down what the following one does not use."""
    before = item.session.testsfailed
    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
    return item.session.testsfailed == before
