"""The mutation run plants what it says, sees what survives, and knows what is argued for."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation.__main__ import ARGUED, quickest, read_argued
from benchmarks.mutation.faults import find_faults
from benchmarks.mutation.planting import differing_functions, swap
from benchmarks.mutation.survey import Survey
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


SPREAD = """
SIZE = 2


def call(
    first,
    size=SIZE + 1,
):
    if (
        first
        and size
    ):
        return [one for one in range(
            first + 1,
        )]
    match first:
        case 4 if size > 1:
            return size
    return 3
"""


def test_lines_of_a_fault_are_its_statement() -> None:
    """A test that runs a part of the statement runs the fault; what is in its blocks is a statement of its own."""
    found = {fault.before: fault.lines for fault in find_faults(ast.parse(SPREAD))}
    assert found["SIZE + 1"] == range(5, 9)
    assert found["first and size"] == range(9, 13)
    assert found["first + 1"] == range(13, 16)
    assert found["size > 1"] == range(16, 17), "the guard of a case belongs to the match"
    assert found["return size"] == range(18, 19)


PLACES = """
NUMBER = 2


def plus(number=1):
    return number + 1


class Holder:
    size = 3

    def times(self, number):
        return [one * number for one in (1, 2)]


def make():
    def inner():
        return 5

    return inner


MADE = make()
"""


@pytest.mark.parametrize(
    ("before", "after", "functions"),
    [
        ("number + 1", "number - 1", {"plus"}),
        ("one * number", "one / number", {"Holder.times", "Holder.times.<locals>.<listcomp>"}),
        ("return 5", "return 6", {"make", "make.<locals>.inner"}),
        ("NUMBER = 2", "NUMBER = 3", None),
        ("number=1", "number=2", None),
        ("size = 3", "size = 4", None),
    ],
)
def test_only_faults_of_functions_are_swapped(before: str, after: str, functions: set[str] | None) -> None:
    """The code of a function can be changed where it is; what stands outside, and what is a default, is run anew."""
    found = differing_functions(compile(PLACES, "p", "exec"), compile(PLACES.replace(before, after), "p", "exec"))
    if sys.version_info >= (3, 12) and functions is not None:
        functions -= {"Holder.times.<locals>.<listcomp>"}  # inlined
    assert (None if found is None else {code.co_qualname for code in found}) == functions


def test_swapped_functions_run_the_changed_code() -> None:
    """Everywhere: methods, and functions that others have made already."""
    usual = compile(PLACES, "p", "exec")
    room: dict[str, Any] = {}
    exec(usual, room)  # noqa: S102
    changed = PLACES.replace("number + 1", "number + 7").replace("one * number", "one + number").replace("5", "6")
    functions = differing_functions(usual, compile(changed, "p", "exec"))
    assert functions is not None
    assert (room["plus"](), room["Holder"]().times(3), room["MADE"]()) == (2, [3, 6], 5)
    assert swap(functions)
    assert (room["plus"](), room["Holder"]().times(3), room["MADE"]()) == (8, [4, 5], 6)
    assert not swap(functions), "what is there no more was not planted"


def test_tests_that_depend_on_a_line() -> None:
    """Those that run it; all, if it is run at import; none of those that fail anyway."""
    here = Path("a.py")
    known = Survey(
        seconds={"one": 1.0, "two": 2.0},
        failed=("three",),
        imported={here: frozenset({1, 2})},
        tests_by_line={here: {4: frozenset({"one", "three"}), 5: frozenset({"two"})}},
    )
    assert known.reaching(here, range(2, 4)) == {"one", "two"}
    assert known.reaching(here, range(4, 5)) == {"one"}
    assert known.reaching(here, range(4, 6)) == {"one", "two"}
    assert known.reaching(here, range(6, 9)) == set()


def test_bound_on_what_is_tried_leaves_the_first_tests() -> None:
    """As many as usually fit, in their order; one at least, and all without a bound."""
    seconds = {"one": 1.0, "two": 2.0, "three": 3.0}
    assert quickest(list(seconds), seconds, None) == ["one", "two", "three"]
    assert quickest(list(seconds), seconds, 3.0) == ["one", "two"]
    assert quickest(list(seconds), seconds, 0.1) == ["one"]
    assert quickest([], seconds, 0.1) == []


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


REFUSED_TWICE = "(Delivery.REFUSED, Event.REFUSED)"


@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_only_what_has_survived_is_planted_again(tmp_path: Path) -> None:
    """By the words, whatever line or number it has by now; what was killed is left alone."""
    earlier = [
        {"file": "_domain/states.py", "place": "", "before": "Delivery.REVIVED", "after": "x", "result": "killed"},
        {"file": "_domain/states.py", "place": "", "before": REFUSED_TWICE, "after": "nothing", "result": "survived"},
    ]
    file = tmp_path / "earlier.json"
    file.write_text("\n".join(map(json.dumps, earlier)), encoding="utf-8")
    _, found = _run(tmp_path / "a.json", "--again", str(file))
    assert {(one["file"], one["before"], one["after"]) for one in found} == {
        ("_domain/states.py", REFUSED_TWICE, "nothing")
    }


def _run(results: Path, *arguments: str) -> tuple[str, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "benchmarks.mutation", *arguments, "--json", str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)  # noqa: S603
    assert not done.stderr, done.stderr
    return done.stdout, [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_command_plants_and_counts(tmp_path: Path) -> None:
    """A few faults of a table and of functions are planted, and tests notice each."""
    told, found = _run(tmp_path / "a.json", "_domain/states.py", "--every", "70", "--offset", "2")
    assert [one["number"] for one in found] == [2, 72, 142]
    assert {one["result"] for one in found} <= {"killed", "broken"}
    killed = sum(one["result"] == "killed" for one in found)
    assert killed
    assert all(one["tried"] == one["reaching"] > 0 for one in found)
    assert f"| `_domain/states.py` | {len(found)} | {killed} | {len(found) - killed} | 0 | 0 | 0 |" in told
