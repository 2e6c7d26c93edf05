"""The table of docs/guarantees.md lists all 118 scenarios, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_ROW: Final = re.compile(r"^\| (\d+) \| (\w+) \| (.+) \|$", re.MULTILINE)
_LINK: Final = re.compile(r"\[[^\]]+\]\(\.\./(tests/[\w/]+\.py)\)")

TABLE: Final[tuple[tuple[str, str, str], ...]] = tuple(
    _ROW.findall((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"))
)
"""Number, name and links of each row; what cannot stand in the name of a function is an underscore."""


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """List the test functions of a module."""
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize(("name", "links"), [row[1:] for row in TABLE], ids=[row[1] for row in TABLE])
def test_every_scenario_has_a_test_of_its_name(name: str, links: str) -> None:
    """A scenario without a test is a promise that nobody checks."""
    paths = _LINK.findall(links)
    assert paths, f"{name} names no test"
    for path in paths:
        assert f"test_{name}" in names_of_tests(ROOT / path), f"{path} has no test_{name}"


def test_all_scenarios_are_listed() -> None:
    """The scenarios have the numbers 1 to 118; 117 and 118 are two names each, every other one is one."""
    numbers = [int(number) for number, _, _ in TABLE]
    assert numbers == [*range(1, 117), 117, 117, 118, 118]
    assert len({name for _, name, _ in TABLE}) == len(TABLE)
