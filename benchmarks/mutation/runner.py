"""Run tests against one planted fault: in a fork, so that what never changes is imported only once."""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum, unique
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import pytest
from attrs import frozen

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = "kiwoom_async"
PATIENCE: Final = 1800.0
"""Seconds for a test file whose usual time is not known yet. Source: our choice, far beyond the slowest."""

# What a run imports has been imported by the one before.
_OPTIONS: Final = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
_NEW_IN_EVERY_RUN: Final = frozenset({PACKAGE, "tests"})


@unique
class Result(StrEnum):
    """What became of a fault."""

    KILLED = "killed"
    """A test failed."""
    BROKEN = "broken"
    """The tests could not even be collected, so nothing was proven about a promise; it cannot be shipped either."""
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


_RESULTS: Final = {pytest.ExitCode.OK: Result.SURVIVED, pytest.ExitCode.TESTS_FAILED: Result.KILLED}


@frozen
class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module from other code than its file's."""

    module: str
    file: Path
    code: CodeType

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Answer for the one module."""
        if fullname != self.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self.file, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:  # noqa: ARG002 - named so
        """Let Python make it."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        exec(self.code, module.__dict__)  # noqa: S102 - this is what a module is


def warm_up(tests: Iterable[str]) -> None:
    """Import what no fault changes; package and tests are forgotten again, since every run imports them anew."""
    sys.path.insert(0, str(ROOT))
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", *_OPTIONS, *(str(ROOT / test) for test in tests)])
    for name in list(sys.modules):
        if name.split(".")[0] in _NEW_IN_EVERY_RUN:
            del sys.modules[name]


def run(
    target: str, tree: ast.Module | None, tests: Sequence[str], limits: Mapping[str, float]
) -> tuple[Result, dict[str, float]]:
    """Run test files one after another, up to the first that notices; give the result and the seconds of each.

    Args:
        target: The module's file in the package.
        tree: Its code; None for its file's.
        tests: Test files, from the root.
        limits: Seconds after which each of them is killed; PATIENCE where it is not there.
    """
    taken: dict[str, float] = {}
    for test in tests:
        result, taken[test] = _run_one(target, tree, test, limits.get(test, PATIENCE))
        if result is not Result.SURVIVED:
            return result, taken
    return Result.SURVIVED, taken


def _run_one(target: str, tree: ast.Module | None, test: str, limit: float) -> tuple[Result, float]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(_test(target, tree, test))
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - began
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return _RESULTS.get(code, Result.BROKEN), seconds  # type: ignore[call-overload]
        if seconds > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Result.TIMED_OUT, seconds
        time.sleep(0.01)


def _test(target: str, tree: ast.Module | None, test: str) -> int:
    """Be the fork."""
    os.setpgid(0, 0)
    os.chdir(ROOT)
    try:
        if tree is not None:
            file = ROOT / PACKAGE / target
            code = compile(ast.fix_missing_locations(tree), str(file), "exec")
            module = ".".join((PACKAGE, *Path(target).with_suffix("").parts))
            sys.meta_path.insert(0, _Planted(module, file, code))
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - for the file descriptors
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return int(pytest.main([*_OPTIONS, test]))
    except BaseException:  # noqa: BLE001 - a fork may not return
        return int(pytest.ExitCode.INTERNAL_ERROR)
