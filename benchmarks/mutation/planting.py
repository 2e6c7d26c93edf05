"""Two ways to plant a fault: in the functions that are there already, or in a module that is imported anew."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from attrs import frozen


@frozen
class Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
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

    def install(self) -> None:
        """Be asked first."""
        sys.meta_path.insert(0, self)


def differing_functions(usual: CodeType, changed: CodeType) -> dict[CodeType, CodeType] | None:
    """Give the changed code of each function that differs, nested ones too; None if other code differs."""
    if not _is_function(usual) and _without_functions(usual) != _without_functions(changed):
        return None
    pairs = list(zip(_nested(usual), _nested(changed), strict=False))
    found = {usual: changed} if _is_function(usual) and usual != changed else {}
    for one, other in pairs:
        inner = differing_functions(one, other)
        if inner is None:
            return None
        found |= inner
    return found


def swap(functions: dict[CodeType, CodeType]) -> bool:
    """Let functions of this process run other code; tell whether one of them exists."""
    live = [
        (one, functions[one.__code__])
        for one in gc.get_objects()
        if isinstance(one, FunctionType) and one.__code__ in functions
    ]
    if any(len(one.__code__.co_freevars) != len(code.co_freevars) for one, code in live):
        return False
    for one, code in live:
        one.__code__ = code
    return bool(live)


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED)


def _nested(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))


def _without_functions(code: CodeType) -> tuple[Any, ...]:
    constants = tuple((type(one), one) for one in code.co_consts if not isinstance(one, CodeType))
    names = tuple(one.co_qualname for one in _nested(code))
    return code.co_code, code.co_names, constants, names
