"""Run tests against planted faults, each in a fork.

One process has imported the package and collected the tests, and stays as it is; in a fork of it the functions get
other code, and the tests run at once. What is run at import cannot be changed so: for such a fault a fork of the
process that has imported nothing of the package imports and collects anew.
"""

from __future__ import annotations

import contextlib
import io
import marshal
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, unique
from itertools import zip_longest
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any, Final, TypeAlias

import pytest
from attrs import frozen
from coverage import Coverage

from benchmarks.mutation.planting import Planted, differing_functions, swap
from benchmarks.mutation.survey import Survey, run_item, survey, watched

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = "kiwoom_async"

STARTING: Final = 300.0
"""Seconds for the import of package and tests. Source: our choice; it takes a few."""
LEAST: Final = 20.0
"""Seconds that every test has, beside `SLOWER` times what it usually takes. Source: our choice, beyond the jitter of a
busy machine."""
SLOWER: Final = 4

# What a run imports has been imported by the one before.
_OPTIONS: Final = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
_NEW_IN_EVERY_RUN: Final = frozenset({PACKAGE, "tests"})

Job: TypeAlias = Callable[["Connection[Any, Any]"], object]


@unique
class Result(Enum):
    """What became of a fault."""

    KILLED = "killed"
    """A test failed."""
    BROKEN = "broken"
    """The tests could not even be collected, so nothing was proven about a promise; it cannot be shipped either."""
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


@frozen
class Trial:
    """What became of a fault.

    Attributes:
        last_test: The test that was run last; "" if there was none.
    """

    result: Result
    last_test: str
    seconds: float


def file_of(target: str) -> Path:
    """Give the file of a target."""
    return ROOT / PACKAGE / target


def warm_up(tests: Iterable[str]) -> None:
    """Import what no fault changes; package and tests are forgotten again, since every run imports them anew."""
    sys.path.insert(0, str(ROOT))
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", *_OPTIONS, *(str(ROOT / test) for test in tests)])
    for name in list(sys.modules):
        if name.split(".")[0] in _NEW_IN_EVERY_RUN:
            del sys.modules[name]


@frozen
class Runner:
    """Carries out trials, one at a time.

    Attributes:
        usual: What the tests run without a fault.
    """

    usual: Survey
    _collected: Connection[Any, Any]
    _folder: str

    def try_fault(self, target: str, lines: Iterable[int], changed: CodeType, tests: Sequence[str]) -> Trial:
        """Run tests against changed code of a module, in this order, up to the first that notices."""
        began = time.monotonic()
        if not tests:
            return Trial(Result.SURVIVED, "", 0.0)
        file = file_of(target)
        limits = {test: LEAST + SLOWER * self.usual.seconds[test] for test in tests}
        functions = differing_functions(compile(file.read_bytes(), str(file), "exec"), changed)
        found = None
        if functions and not self.usual.is_run_at_import(file, lines):
            self._collected.send((marshal.dumps(list(functions.items())), limits))
            found = self._collected.recv()
        if found is None:
            module = ".".join((PACKAGE, *Path(target).with_suffix("").parts))
            found = self._import_and_try(Planted(module, file, changed), limits)
        result, last_test = found
        return Trial(result, last_test, time.monotonic() - began)

    def _import_and_try(self, planted: Planted, limits: Mapping[str, float]) -> tuple[Result, str]:
        def job(answers: Connection[Any, Any]) -> None:
            planted.install()
            _collect(files, self._folder, lambda session: _try(session, limits, answers))

        files = dict.fromkeys(test.partition("::")[0] for test in limits)
        with _fork(job) as answers:
            return _follow(answers, limits) or (Result.BROKEN, "")


@contextmanager
def open_runner(targets: Iterable[str], tests: Sequence[str]) -> Iterator[Runner]:
    """Collect test files, and run them once without a fault. `warm_up` comes before.

    Raises:
        SystemExit: They cannot be collected.
    """
    files = [file_of(target) for target in targets]
    with tempfile.TemporaryDirectory() as folder:

        def job(requests: Connection[Any, Any]) -> None:
            imported = watched(files)
            imported.start()
            _collect(tests, folder, lambda session: _serve(session, files, imported, requests))

        with _fork(job) as collected:
            try:
                usual = collected.recv()
            except EOFError:
                sys.exit(f"these cannot be collected: {', '.join(tests)}")
            yield Runner(usual, collected, folder)


def _serve(session: pytest.Session, files: Sequence[Path], imported: Coverage, requests: Connection[Any, Any]) -> None:
    """Be the process that has collected the tests; nothing is run in it, so that every fork begins with the same."""
    imported.stop()
    with _fork(lambda answers: answers.send(survey(session.items, files, imported))) as answers:
        requests.send(answers.recv())
    with contextlib.suppress(EOFError):
        while True:
            code, limits = requests.recv()
            with _fork(_swapped(session, code, limits)) as answers:
                requests.send(_follow(answers, limits))


def _swapped(session: pytest.Session, code: bytes, limits: Mapping[str, float]) -> Job:
    def job(answers: Connection[Any, Any]) -> None:
        if swap(dict(marshal.loads(code))):  # noqa: S302 - our own
            _try(session, limits, answers)
        else:
            answers.send(None)

    return job


def _try(session: pytest.Session, tests: Iterable[str], answers: Connection[Any, Any]) -> None:
    """Run tests in this order, up to the first that fails; tell which is running, then the result."""
    known = {item.nodeid: item for item in session.items}
    items = [known[test] for test in tests if test in known]
    for item, following in zip_longest(items, items[1:]):
        answers.send(item.nodeid)
        if not run_item(item, following):
            answers.send(Result.KILLED)
            return
    answers.send(Result.SURVIVED)


def _follow(answers: Connection[Any, Any], limits: Mapping[str, float]) -> tuple[Result, str] | None:
    """Wait for the end of `_try`; give None if the fault could not be planted."""
    test, limit = "", STARTING
    try:
        while answers.poll(limit):
            answer = answers.recv()
            if answer is None:
                return None
            if isinstance(answer, Result):
                return answer, test
            test, limit = answer, limits[answer]
    except EOFError:
        return Result.BROKEN, test
    return Result.TIMED_OUT, test


@frozen
class _InsteadOfRunning:
    """Does something else with the tests that were collected."""

    work: Callable[[pytest.Session], None]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do it, unless some could not be collected."""
        if not session.testsfailed:
            self.work(session)
        return True


def _collect(tests: Iterable[str], folder: str, work: Callable[[pytest.Session], None]) -> None:
    pytest.main([*_OPTIONS, "--basetemp", f"{folder}/run", *tests], plugins=[_InsteadOfRunning(work)])


@contextmanager
def _fork(job: Job) -> Iterator[Connection[Any, Any]]:
    """Do something in a fork, which is killed at the end with all processes that it has started."""
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        voice = os.dup(2)
        try:
            _leave_parent()
            job(theirs)
        except Exception:  # noqa: BLE001 - it would be heard by nobody
            os.write(voice, traceback.format_exc().encode())
        finally:
            os._exit(0)
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _leave_parent() -> None:
    os.setpgid(0, 0)
    os.chdir(ROOT)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - for the file descriptors
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
