"""The mutation run plants what it says, sees what survives, and knows what is argued for."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutation.__main__ import ARGUED, read_argued
from benchmarks.mutation.faults import find_faults
from benchmarks.mutation.targets import TARGETS

ROOT = Path(__file__).parents[2]

SOURCE = '''
"""Words for people."""
TABLE = {Kind.ONE: 1, Kind.TWO: 2}

def choose(first: int, second: int) -> int | None:
    """Choose."""
    if first < second and not second:
        _LOG.info("nothing is planted in what is logged: %s", first + 1)
        return first + 1
    return min(first, *(one for one in TABLE if one))
'''

EXPECTED = {
    ("", "1", "nothing"),
    ("", "Kind.ONE", "Kind.TWO"),
    ("", "2", "3"),
    ("choose", "first < second", "first <= second"),
    ("choose", "first < second", "first >= second"),
    ("choose", "first < second and (not second)", "first < second or not second"),
    ("choose", "first < second and (not second)", "first < second"),
    ("choose", "not second", "second"),
    ("choose", "first + 1", "first - 1"),
    ("choose", "1", "2"),
    ("choose", "return first + 1", "return None"),
    ("choose", "min(first, *(one for one in TABLE if one))", "max(first, *(one for one in TABLE if one))"),
    ("choose", "one", "True"),
}


def test_faults_are_planted_one_at_a_time() -> None:
    """Each fault changes the code in one place, leaves it valid, and is always found again under its number."""
    found = find_faults(ast.parse(SOURCE))
    assert {(fault.place, fault.before, fault.after) for fault in found} >= EXPECTED
    assert not [fault for fault in found if "logged" in fault.before or "Words" in fault.before]
    plain = ast.unparse(ast.parse(SOURCE))
    changed = set()
    for number in range(len(found)):
        tree = ast.parse(SOURCE)
        fault = find_faults(tree)[number]
        assert (fault.before, fault.after) == (found[number].before, found[number].after)
        fault.plant()
        compile(ast.fix_missing_locations(tree), "planted", "exec")
        changed.add(ast.unparse(tree))
    assert plain not in changed
    assert len(changed) == len(found)


def test_what_is_asked_of_sqlite_is_no_text() -> None:
    """A condition of a query can be wrong as well."""
    found = find_faults(ast.parse('run("SELECT 1 FROM a WHERE b = ? AND c > 0")'))
    assert {fault.after for fault in found} >= {
        "'SELECT 1 FROM a WHERE b <> ? AND c > 0'",
        "'SELECT 1 FROM a WHERE b = ? OR c > 0'",
        "'SELECT 1 FROM a WHERE b = ? AND c >= 0'",
    }


def test_arguments_are_read_from_the_page() -> None:
    """A row needs a reason; bars inside of code are written as Markdown wants them."""
    page = "| file | place | before | after | why |\n|---|---|---|---|---|\n"
    rows = "| `_a.py` | `f` | `a \\| b` | `a & b` | they never overlap |\n| `_a.py` | `f` | `x` | `y` |  |\n"
    assert read_argued(page + rows) == {("_a.py", "f", "a | b", "a & b")}


def test_every_argument_is_about_a_fault_that_exists() -> None:
    """An argument for code that has changed is none."""
    for file, place, before, after in read_argued(ARGUED.read_text(encoding="utf-8")):
        source = (ROOT / "kiwoom_async" / file).read_text(encoding="utf-8")
        faults = find_faults(ast.parse(source))
        assert (place, before, after) in {(fault.place, fault.before, fault.after) for fault in faults}, (file, before)


def test_targets_and_their_tests_exist() -> None:
    """A file that was renamed is noticed."""
    for file, tests in TARGETS.items():
        assert (ROOT / "kiwoom_async" / file).is_file()
        assert tests
        for test in tests:
            assert (ROOT / test).is_file(), test


DECIDING = (
    "_audit",
    "_execution",
    "_domain/monitors.py",
    "_domain/health.py",
    "_journal/breaches.py",
    "_journal/seals.py",
    "_journal/guards.py",
    "_journal/shared_state.py",
)


def test_what_decides_watches_and_judges_is_a_target() -> None:
    """Of what sends, settles, watches and judges, every module is a target."""
    package = ROOT / "kiwoom_async"
    paths = [path for name in DECIDING for path in (package / name, *(package / name).glob("*.py"))]
    files = {str(path.relative_to(package).as_posix()) for path in paths if path.is_file()}
    assert {file for file in files if not file.endswith("__init__.py")} - TARGETS.keys() == set()


@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_command_plants_and_counts(tmp_path: Path) -> None:
    """A few faults of the table of states are planted, and tests notice each."""
    results = tmp_path / "results.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.mutation",
        "_domain/states.py",
        "--every",
        "70",
        "--json",
        str(results),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert {one["result"] for one in found} <= {"killed", "broken"}
    killed = sum(one["result"] == "killed" for one in found)
    assert killed
    assert f"| `_domain/states.py` | {len(found)} | {killed} | {len(found) - killed} | 0 | 0 | 0 |" in done.stdout
