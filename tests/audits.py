"""What an audit at the end of a test must find: nothing, or exactly what the test has broken on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from kiwoom_async._audit import Harm, Violation

Breach = tuple[str, Harm, str]
"""The promise, the harm, and the client order id that it befell."""

NOTHING: Final[tuple[Breach, ...]] = ()


def listed(name: str, table: Mapping[str, tuple[Breach, ...]]) -> tuple[Breach, ...]:
    """Give what a table says of a test, by its name with or without its case."""
    return table.get(name, table.get(name.partition("[")[0], NOTHING))


def assert_broken(violations: Iterable[Violation], expected: Iterable[Breach]) -> None:
    """Compare promise, harm, id and number: another breach of a promise that is broken on purpose is noticed."""
    found = [(violation.invariant, violation.harm, violation.client_order_id) for violation in violations]
    assert Counter(found) == Counter(expected), list(violations)
