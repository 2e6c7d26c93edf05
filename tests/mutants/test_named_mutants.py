"""Each dangerous mistake, made in a copy of the package, is noticed by the tests that are there to notice it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from tests.mutants.table import MUTANTS, Mutant

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = frozenset(test for mutant in MUTANTS for test in mutant.noticed_by)

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks"),
]


@frozen
class Run:
    """How a run of tests ended.

    Attributes:
        package: Where the package was imported from.
        failed: Test, phase, error and text of each failure.
    """

    package: str
    passed: frozenset[str]
    failed: tuple[tuple[str, str, str, str], ...]


@frozen
class Copy:
    """A copy of the checkout, and a process that runs tests in it."""

    folder: Path
    process: subprocess.Popen[str]

    def run(self, tests: Iterable[str]) -> Run:
        """Run tests of the copy against the package of the copy."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(sorted(tests)) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        assert found is not None, (self.folder / "answer.log").read_text(encoding="utf-8")
        assert found["package"] == str(self.folder / "kiwoom_async" / "__init__.py"), "the copy is what was tested"
        return Run(found["package"], frozenset(found["passed"]), tuple(map(tuple, found["failed"])))

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Make a mistake for as long as this lasts."""
        file = self.folder / "kiwoom_async" / mutant.file
        before, stamps = file.read_text(encoding="utf-8"), file.stat()
        file.write_text(changed(before, mutant), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(before, encoding="utf-8")
            # What was compiled of it before is valid again.
            os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


def changed(text: str, mutant: Mutant) -> str:
    """Make a mistake in a text."""
    for before, after in mutant.changes:
        assert text.count(before) == 1, f"{mutant.file} has {text.count(before)} times: {before}"
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """Copy the checkout, with what Python has compiled of it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("kiwoom_async", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    files = sorted({test.partition("::")[0] for test in TESTS})
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tests.mutants.server", *files],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Copy(folder, process)
        assert process.stdin is not None
        process.stdin.close()


def test_unchanged_copy_passes(copy: Copy) -> None:
    """All tests of the table pass without a mistake, so that a failure is the mistake's."""
    found = copy.run(TESTS)
    assert found.failed == ()
    assert found.passed == TESTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_mistake_is_noticed(copy: Copy, mutant: Mutant) -> None:
    """Every test that is there to notice the mistake fails, and by an assertion: it ran, and the promise was broken."""
    with copy.planted(mutant):
        found = copy.run(mutant.noticed_by)
    assert {test for test, *_ in found.failed} == set(mutant.noticed_by), f"not noticed: {mutant.name}"
    for test, phase, error, text in found.failed:
        # After the call the history of the test is audited.
        assert phase in {"call", "teardown"}, f"{test} did not come to its point: {error}: {text}"
        errors = {"AssertionError"} if phase == "teardown" else mutant.errors
        assert error in errors, f"{test} failed by {error}: {text}"


def test_names_are_unique() -> None:
    """Each mistake has one name, and the six that the project has named are among them."""
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))
    assert set(names) >= {
        "error means absent",
        "drop the channel check",
        "skip the high-water mark",
        "claim twice",
        "resend without proof",
        "release the claim on an exception",
    }
