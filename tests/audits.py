"""What an audit at the end of a test must find: nothing, or exactly what the test has broken on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from kiwoom_async._audit import Harm, Violation

Breach = tuple[str, Harm, str]
"""The promise, the harm, and the client order id that it befell."""

NO_BROKER: Final = "no broker"
NO_JOURNAL: Final = "a broker, and no journal"

NOTHING: Final[tuple[Breach, ...]] = ()


def listed(name: str, table: Mapping[str, tuple[Breach, ...]]) -> tuple[Breach, ...]:
    """Give what a table says of a test, by its name with or without its case."""
    return table.get(name, table.get(name.partition("[")[0], NOTHING))


def reason_not_to(brokers: int, journals: int) -> str:
    """Say why the end of a test cannot be audited; "" where it can. Without a broker there is no book."""
    if brokers == journals == 1:
        return ""
    if not brokers:
        return NO_BROKER
    if not journals:
        return NO_JOURNAL
    # How many days are played depends on the machine in some tests.
    return f"{_several(brokers)} brokers, {_several(journals)} journals"


def _several(count: int) -> str:
    return "many" if count > 2 else str(count)


def assert_left_out(name: str, reason: str, table: Mapping[str, str]) -> bool:
    """Tell whether a test is left out of the audit, for the reason that a table says; no test slips out by itself."""
    known = table.get(name, table.get(name.partition("[")[0], ""))
    assert known == ("" if reason == NO_BROKER else reason), f"not audited: {reason!r}; the table says {known!r}"
    return bool(reason)


def assert_broken(violations: Iterable[Violation], expected: Iterable[Breach]) -> None:
    """Compare promise, harm, id and number: another breach of a promise that is broken on purpose is noticed."""
    found = [(violation.invariant, violation.harm, violation.client_order_id) for violation in violations]
    assert Counter(found) == Counter(expected), list(violations)
