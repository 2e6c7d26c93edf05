"""The rooms of the house and what may enter them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kiwoom_async"

CLOCKS_AND_CHANCE = {"time", "random", "secrets", "uuid"}
READINGS = {("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("os", "urandom")}


def check_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a checkout."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, "--config", str(ROOT / ".importlinter"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8", "PATH": ""},
    )


def test_imports_run_downward_only() -> None:
    """Every contract of .importlinter holds."""
    result = check_contracts(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("_domain/matching.py", "import asyncio\n"),
        ("_wire/ledger.py", "import httpx\n"),
        ("_journal/journal.py", "from kiwoom_async._wire import codes\n"),
        ("_transport/session.py", "from kiwoom_async._journal import store\n"),
        ("simulator/service.py", "from kiwoom_async._wire import codes\n"),
        ("_unlisted/__init__.py", '"""A room nobody has drawn."""\n'),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path: Path, file: str, line: str) -> None:
    """The check can fail: an import that runs upward, and a room that is not listed."""
    shutil.copytree(PACKAGE, tmp_path / "kiwoom_async", ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / "kiwoom_async" / file
    target.parent.mkdir(exist_ok=True)
    text = target.read_text(encoding="utf-8") if target.exists() else ""
    target.write_text(text.replace("from __future__ import annotations\n", "", 1) + line, encoding="utf-8")
    assert check_contracts(tmp_path).returncode != 0


def readings(tree: ast.AST) -> set[str]:
    """Name what a module reads of clocks and chance."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & CLOCKS_AND_CHANCE
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found |= {node.module} & CLOCKS_AND_CHANCE
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and (node.func.value.id, node.func.attr) in READINGS
        ):
            found.add(f"{node.func.value.id}.{node.func.attr}")
    return found


def test_time_and_chance_come_from_one_place() -> None:
    """Only _ambient.py reads clocks and randomness; the simulator may make seeded generators."""
    for path in PACKAGE.rglob("*.py"):
        found = readings(ast.parse(path.read_text(encoding="utf-8")))
        if path.relative_to(PACKAGE).parts[0] in {"simulator", "_cli"}:
            found.discard("random")
        if path.name != "_ambient.py":
            assert not found, f"{path.relative_to(ROOT)} reads {sorted(found)}; take an Ambient"


def test_one_sqlite_in_every_process() -> None:
    """Nothing opens a file by the SQLite of the standard library: closing it would take the locks of ours away."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"sqlite3", "aiosqlite"}, f"{path.relative_to(ROOT)}: open it with apsw"


def test_every_room_says_what_it_is_for() -> None:
    """Each room opens with a docstring."""
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
