"""The small faults that can be planted in a module: one operator, condition, constant, table entry or step each.

Texts for people are left alone: no promise hangs on a wording. What is asked of SQLite is no such text.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final, TypeAlias

from attrs import frozen

Replacement: TypeAlias = ast.AST | None
"""What stands in a node's place; None takes it out of its list."""


@frozen
class Fault:
    """One fault.

    Attributes:
        place: Function or class it is in; "" for the module itself.
        before: What stands there, in short.
        after: What would stand there.
        lines: Those of its statement, of which a part may be all that is run: where there are blocks, of what is
            before the first.
        plant: Changes the tree it was found in.
    """

    line: int
    place: str
    before: str
    after: str
    lines: range
    plant: Callable[[], None]


def find_faults(tree: ast.Module) -> list[Fault]:
    """List every fault that can be planted in a module, always in the same order."""
    members: dict[str, list[str]] = defaultdict(list)
    nodes: Iterator[Any] = ast.walk(tree)
    for node in nodes:
        if _is_member(node) and node.attr not in members[node.value.id]:
            members[node.value.id].append(node.attr)
    return list(_search(tree, "", members, range(0)))


def _search(node: ast.AST, place: str, members: dict[str, list[str]], lines: range) -> Iterator[Fault]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        place = f"{place}.{node.name}".lstrip(".")
    for name, value in ast.iter_fields(node):
        if name in _NOT_CODE:
            continue
        slots = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in slots:
            if not isinstance(child, ast.AST) or _is_left_alone(child):
                continue
            lines_of_child = _lines_of(child) if isinstance(child, ast.stmt) else lines
            for replacement in _replacements(node, name, child, members):
                yield _to_fault(node, name, index, child, replacement, place, lines_of_child)
            yield from _search(child, place, members, lines_of_child)


def _lines_of(statement: ast.stmt) -> range:
    blocks = [one for name in ("body", "cases") for one in getattr(statement, name, ())]
    if not blocks:
        return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    first = blocks[0].pattern if isinstance(blocks[0], ast.match_case) else blocks[0]
    return range(statement.lineno, max(first.lineno, statement.lineno + 1))


_NOT_CODE: Final = frozenset({"annotation", "returns", "decorator_list", "bases", "type_params", "format_spec"})


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.FormattedValue():
            return True
        case ast.Expr(ast.Constant()) | ast.Expr(ast.Call(ast.Attribute(ast.Name("_LOG")))):
            return True
        case ast.Assign([ast.Name("__all__")]) | ast.AnnAssign(annotation=ast.Name("TypeAlias")):
            return True
        case ast.Assign(value=ast.Call(ast.Name("TypeVar" | "ParamSpec"))):
            return True
        case _:
            return False


def _to_fault(
    parent: ast.AST, name: str, index: int | None, child: ast.AST, replacement: Replacement, place: str, lines: range
) -> Fault:
    def plant() -> None:
        if index is None:
            setattr(parent, name, replacement)
        elif replacement is None:
            _take_out(parent, name, index)
        else:
            getattr(parent, name)[index] = replacement

    line = getattr(child, "lineno", getattr(parent, "lineno", 0))
    after = "nothing" if replacement is None else _shorten(replacement)
    return Fault(line, place, _shorten(child), after, lines, plant)


def _take_out(parent: ast.AST, name: str, index: int) -> None:
    del getattr(parent, name)[index]
    if isinstance(parent, ast.Dict):
        del parent.keys[index]


def _shorten(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 110 else f"{text[:70]} … {text[-36:]}"


def _replacements(parent: ast.AST, name: str, node: Any, members: dict[str, list[str]]) -> Iterator[Replacement]:
    yield from _RULES.get(type(node), lambda _: iter(()))(node)
    if name == "test" and isinstance(parent, ast.If | ast.IfExp) and not isinstance(node, ast.Compare):
        yield ast.UnaryOp(ast.Not(), _expression(node))
    elif name == "ifs":
        yield ast.Constant(True)
    elif _may_be_missing(parent, name, node):
        yield None
    if _is_member(node):
        known = members[node.value.id]
        if len(known) > 1:
            yield _changed(node, attr=known[(known.index(node.attr) + 1) % len(known)])


def _may_be_missing(parent: ast.AST, name: str, node: ast.AST) -> bool:
    match parent:
        case ast.Dict():
            return name == "values" and len(parent.values) > 1
        case ast.Set() | ast.List() | ast.Tuple():
            return name == "elts" and _is_table(parent)
        case _:
            return isinstance(node, ast.keyword) and not _is_text(node.value)


def _is_member(node: Any) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr.isupper()


def _is_table(node: ast.Set | ast.List | ast.Tuple) -> bool:
    plain = (ast.Attribute, ast.Constant, ast.Starred, ast.Tuple, ast.Name)
    return len(node.elts) > 1 and isinstance(node.elts[0], plain) and not isinstance(node.elts[0], ast.Name)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _expression(node: ast.AST) -> ast.expr:
    assert isinstance(node, ast.expr), node  # noqa: S101
    return node


def _changed(node: Any, **changes: Any) -> Any:
    copy = deepcopy(node)
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


# ---------------------------------------------------------------- what can be wrong, by the kind of node

_COMPARISONS: Final[dict[type, tuple[type[ast.cmpop], ...]]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type, type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SQL: Final = (
    (" = ?", " <> ?"),
    (" <> ", " = "),
    (" < ", " <= "),
    (" > ", " >= "),
    (" >= ", " > "),
    (" AND ", " OR "),
    (" IS NULL", " IS NOT NULL"),
    (" IS NOT ", " IS "),
    ("NOT EXISTS", "EXISTS"),
    ("max(", "min("),
    ("OR IGNORE", "OR REPLACE"),
    (" DESC", ""),
)


def _of_compare(node: ast.Compare) -> Iterator[Replacement]:
    for index, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            yield _changed(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])


def _of_bool_op(node: ast.BoolOp) -> Iterator[Replacement]:
    yield _changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for index in range(len(node.values)):
        left = node.values[:index] + node.values[index + 1 :]
        yield left[0] if len(left) == 1 else _changed(node, values=left)


def _of_unary(node: ast.UnaryOp) -> Iterator[Replacement]:
    if isinstance(node.op, ast.Not):
        yield node.operand


def _of_binary(node: ast.BinOp) -> Iterator[Replacement]:
    other = _ARITHMETIC.get(type(node.op))
    if other is not None:
        yield _changed(node, op=other())


def _of_constant(node: ast.Constant) -> Iterator[Replacement]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, str):
        for old, new in _SQL:
            parts = node.value.split(old)
            for cut in range(1, len(parts)):
                yield ast.Constant(old.join(parts[:cut]) + new + old.join(parts[cut:]))


def _of_call(node: ast.Call) -> Iterator[Replacement]:
    if isinstance(node.func, ast.Name) and node.func.id in _NAMES:
        yield _changed(node, func=ast.Name(_NAMES[node.func.id], ast.Load()))


def _of_return(node: ast.Return) -> Iterator[Replacement]:
    # Where False is returned, None would be no other answer, and the type checker would see it.
    is_nothing = isinstance(node.value, ast.Constant) and (node.value.value is None or node.value.value is False)
    if node.value is not None and not is_nothing:
        yield ast.Return(ast.Constant(None))


def _left_out(_: ast.AST) -> Iterator[Replacement]:
    yield ast.Pass()


_RULES: Final[dict[type, Callable[[Any], Iterator[Replacement]]]] = {
    ast.Compare: _of_compare,
    ast.BoolOp: _of_bool_op,
    ast.UnaryOp: _of_unary,
    ast.BinOp: _of_binary,
    ast.Constant: _of_constant,
    ast.Call: _of_call,
    ast.Return: _of_return,
    ast.Expr: _left_out,
    ast.AugAssign: _left_out,
    ast.Raise: _left_out,
    ast.Continue: _left_out,
    ast.Break: _left_out,
}
