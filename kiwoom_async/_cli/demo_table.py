"""How the demonstration looks: one line while it runs, one table at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from shutil import get_terminal_size
from typing import Any, Final, TextIO

from attrs import define

from kiwoom_async._audit import Harm, Verdict
from kiwoom_async._cli.demo_trial import Progress, Result

_PLAIN_INTERVAL: Final = 1.0
_SHOWN: Final = 8
_LABEL: Final = 30
_COLUMN: Final = 15

_NOTES: Final = """\
Counted on the broker's book, which records the client order id of every request for this audit and for nothing else.
doubled: more than one order on the book for one id.  lost: told accepted and not there, or told otherwise and there.
wrong: another untrue answer (number, fields, fills, a changed answer, somebody else's order).  unknown: no answer."""


@define
class ProgressLine:
    """Shows where a trial is: one line that changes on a terminal, a line a second elsewhere."""

    stream: TextIO = sys.stderr
    _next: float = 0.0
    _label: str = ""
    _is_dirty: bool = False

    def show(self, progress: Progress) -> None:
        """Show where a trial is."""
        if progress.label != self._label:
            self.end()
            self._label, self._next = progress.label, 0.0
        line = (
            f"{progress.label:<12} {progress.seconds:5.1f} s  asked {progress.asked:>4}  "
            f"answered {progress.answered:>4}  faults {progress.faults:>4}  kills {progress.kills:>2}  "
            f"on the book {progress.on_the_book:>4}  {progress.phase}"
        )
        if self.stream.isatty():
            width = get_terminal_size().columns - 1
            self.stream.write(f"\r{line[:width]:<{width}}")
            self._is_dirty = True
        elif progress.seconds >= self._next:
            self._next = progress.seconds + _PLAIN_INTERVAL
            self.stream.write(f"{line}\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the last line standing."""
        if self._is_dirty:
            self.stream.write("\n")
            self._is_dirty = False


def summary(result: Result) -> dict[str, Any]:
    """Give a result as plain values, in the order of the table."""
    audit = result.audit
    return {
        "asked": audit.asked,
        "on_the_book": audit.on_the_book,
        "doubled": audit.count(Harm.DOUBLED),
        "lost": audit.count(Harm.LOST),
        "wrong": audit.count(Harm.WRONG),
        "unknown": audit.count(Harm.UNKNOWN),
        # Nobody has promised either for the naive client, so nobody has judged it.
        "risked": None if result.is_naive else audit.count(Harm.RISKED),
        "late": None if result.is_naive else audit.count(Harm.LATE),
        "accepted": audit.told(Verdict.ACCEPTED),
        "by_response": audit.resolved_by("response"),
        "by_event": audit.resolved_by("event"),
        "by_ledger": audit.resolved_by("ledger"),
        "by_effect": 0 if result.is_naive else audit.known_by_effect,
        "refused": audit.told(Verdict.REFUSED),
        "not_accepted": audit.told(Verdict.NOT_ACCEPTED),
        "not_sent": audit.told(Verdict.NOT_SENT),
        "failed": audit.told(Verdict.FAILED),
        "resent_with_proof": result.resent,
        "errors": len(result.errors),
        "order_requests": result.requests,
        "ledger_queries": result.queries,
        "kills": result.kills,
        "faults": sum(result.faults.values()),
        "seconds": round(result.seconds, 1),
        "is_clean": result.is_clean,
    }


_ROWS: Final = (
    ("asked", "orders asked for"),
    ("on_the_book", "orders on the broker's book"),
    ("", ""),
    ("doubled", "DOUBLED"),
    ("lost", "LOST"),
    ("wrong", "WRONGLY REPORTED"),
    ("unknown", "STILL UNKNOWN"),
    ("risked", "sent again without proof"),
    ("late", "answered after the deadline"),
    ("", ""),
    ("accepted", "told: accepted"),
    ("by_response", "  known by the response"),
    ("by_event", "  known by the real-time feed"),
    ("by_ledger", "  known by the broker's ledger"),
    ("by_effect", "  cancels known by their effect"),
    ("refused", "told: refused"),
    ("not_accepted", "told: proven not accepted"),
    ("not_sent", "told: not sent"),
    ("failed", "told: an exception"),
    ("resent_with_proof", "resent with proof"),
    ("errors", "faults of the client"),
    ("", ""),
    ("order_requests", "order requests on the wire"),
    ("ledger_queries", "ledger queries (pages)"),
    ("kills", "kills survived"),
    ("faults", "faults injected"),
    ("seconds", "seconds"),
)


def render(results: Mapping[str, Result]) -> str:
    """Draw the table."""
    return "\n".join(_lines(results))


def _lines(results: Mapping[str, Result]) -> Iterator[str]:
    summaries = {name: summary(result) for name, result in results.items()}
    yield " " * _LABEL + "".join(f"{name:>{_COLUMN}}" for name in results)
    yield "-" * (_LABEL + _COLUMN * len(results))
    for key, label in _ROWS:
        cells = "".join(f"{_shown(values[key]):>{_COLUMN}}" for values in summaries.values()) if key else ""
        yield f"{label:<{_LABEL}}{cells}".rstrip()
    yield ""
    yield "faults by kind"
    for kind in sorted({kind for result in results.values() for kind in result.faults}):
        cells = "".join(f"{result.faults.get(kind, 0):>{_COLUMN}}" for result in results.values())
        yield f"  {kind:<{_LABEL - 2}}{cells}"
    yield ""
    for name, result in results.items():
        yield from _examples(name, result)
    yield _NOTES


def _shown(value: float | bool | None) -> str:
    return "-" if value is None else str(value)


def _examples(name: str, result: Result) -> Iterator[str]:
    violations = result.audit.violations
    for violation in violations[:_SHOWN]:
        yield f"{name}: {violation.harm.value} {violation.client_order_id} ({violation.invariant}): {violation.text}"
    if len(violations) > _SHOWN:
        yield f"{name}: and {len(violations) - _SHOWN} more"
    for error in result.errors[:_SHOWN]:
        yield f"{name}: fault of the client: {error}"
    if violations or result.errors:
        yield ""
