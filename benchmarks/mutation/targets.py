"""The modules in which faults are planted, and the test files whose tests must notice those of the lines they run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_TESTS: Final = Path(__file__).parents[2] / "tests"

_CORNERS: Final = ("tests/domain/test_corners.py",)
_MATCHING: Final = ("tests/domain/test_matching.py", "tests/domain/test_relations.py", *_CORNERS)
_JOURNAL: Final = tuple(
    f"tests/journal/test_{name}.py"
    for name in (
        *("transactions", "twins", "replacement", "decisive_attempt", "boot", "lives", "days", "queries", "records"),
        *("breaches", "guards", "corners", "seals", "shared_state", "store", "workers", "kept_reports"),
    )
)
_WIRE: Final = tuple(
    f"tests/wire/test_{name}.py" for name in ("outcomes", "answers", "requests", "ledger", "corners", "rate_limits")
)


def _tests_in(folder: str, name: str = "") -> tuple[str, ...]:
    return tuple(f"tests/{folder}/{path.name}" for path in sorted((_TESTS / folder).glob(f"test_{name}*.py")))


_ASSUMPTIONS: Final = _tests_in("assumptions")
# Each of these plays a whole day hundreds of times, or starts processes, which no planted fault gets into.
_SLOW: Final = frozenset(
    f"tests/scenarios/test_{name}.py" for name in ("journal_failures", "every_await", "shared_key")
)
_CORE: Final = (*_tests_in("execution"), *sorted({*_tests_in("scenarios")} - _SLOW), *_ASSUMPTIONS)
"""All that works with a client and a broker, for modules without tests of their own."""
_JUDGE: Final = (
    "tests/audit/test_check_history.py",
    "tests/audit/test_wire_and_fills.py",
    "tests/audit/test_moments.py",
)

TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "_domain/states.py": ("tests/domain/test_states.py",),
    "_domain/absence.py": ("tests/domain/test_absence.py", *_CORNERS),
    "_domain/relations.py": _MATCHING,
    "_domain/matching.py": _MATCHING,
    "_wire/outcomes.py": _WIRE,
    "_wire/codes.py": _WIRE,
    "_journal/permissions.py": _JOURNAL,
    "_journal/conclusions.py": _JOURNAL,
    "_journal/ownership.py": _JOURNAL,
    "_journal/attempts.py": _JOURNAL,
    "_journal/twins.py": ("tests/journal/test_twins.py",),
    "_journal/claims.py": _JOURNAL,
    "_wire/answers.py": _WIRE,
    "_domain/intents.py": ("tests/domain/test_intents.py", "tests/domain/test_absence.py", *_MATCHING),
    "_domain/sights.py": ("tests/domain/test_life.py", *_CORNERS, "tests/journal/test_lives.py"),
    "_domain/day_close.py": (*_CORNERS, "tests/journal/test_days.py"),
    "_domain/life.py": ("tests/domain/test_life.py", "tests/journal/test_lives.py"),
    "_domain/guards.py": ("tests/domain/test_guards.py", *_CORNERS, "tests/journal/test_guards.py"),
    "_domain/budgets.py": (
        "tests/domain/test_budgets.py",
        *_CORNERS,
        "tests/transport/test_limiter.py",
        "tests/journal/test_shared_state.py",
    ),
    "_domain/validation.py": ("tests/domain/test_validation.py",),
    "_wire/ledger.py": _WIRE,
    "_journal/lives.py": _JOURNAL,
    "_journal/days.py": _JOURNAL,
    "_journal/records.py": _JOURNAL,
    **{
        f"_execution/{name}.py": _tests_in("execution", name) or _CORE
        for name in (
            *("resolver", "views", "reconciler", "dispatcher", "sender", "answers", "verdicts", "doubts", "book_view"),
            *("ledger_reader", "originals", "findings", "surplus", "forgotten", "day_closer", "follower", "flights"),
            *("settlements", "sweeper", "monitor", "guards", "rehearsal", "feed_keeper", "feed_view", "event_log"),
            *("steady_list", "tasks"),
        )
    },
    "_execution/waiters.py": _CORE,  # its own tests look at a part of it
    "_domain/monitors.py": ("tests/domain/test_monitors.py", "tests/domain/test_health.py", *_ASSUMPTIONS),
    "_domain/health.py": ("tests/domain/test_health.py",),
    "_journal/breaches.py": _JOURNAL,
    "_journal/seals.py": _JOURNAL,
    "_journal/guards.py": _JOURNAL,
    "_journal/shared_state.py": ("tests/journal/test_shared_state.py", "tests/transport/test_limiter.py"),
    "_audit/answers.py": _JUDGE,
    "_audit/orders.py": _JUDGE,
    "_audit/fills.py": _JUDGE,
    "_audit/wire.py": _JUDGE,
    "_audit/history.py": _JUDGE,
    "_audit/records.py": _JUDGE,
    "_audit/check.py": _JUDGE,
}
"""Those on which most money hangs come first; what watches and what judges comes last."""
