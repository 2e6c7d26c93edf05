"""The modules in which faults are planted, and the test files that must notice, the likeliest first."""

from __future__ import annotations

from typing import Final

_MATCHING: Final = ("tests/domain/test_matching.py",)
_JOURNAL: Final = (
    "tests/journal/test_transactions.py",
    "tests/journal/test_replacement.py",
    "tests/journal/test_decisive_attempt.py",
    "tests/journal/test_boot.py",
)
_LIVES: Final = ("tests/journal/test_lives.py", "tests/journal/test_days.py")
_RECONCILER: Final = (
    "tests/scenarios/test_f_resend.py",
    "tests/scenarios/test_d_absence.py",
    "tests/scenarios/test_e_matching.py",
    "tests/scenarios/test_i_modify_cancel.py",
    "tests/scenarios/test_h_gaps.py",
    "tests/scenarios/test_j_feed.py",
    "tests/scenarios/test_lifetimes.py",
)

TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "_domain/states.py": ("tests/domain/test_states.py",),
    "_domain/absence.py": ("tests/domain/test_absence.py",),
    "_domain/relations.py": _MATCHING,
    "_domain/matching.py": _MATCHING,
    "_wire/outcomes.py": ("tests/wire/test_outcomes.py",),
    "_wire/codes.py": ("tests/wire/test_outcomes.py", "tests/wire/test_requests.py", "tests/wire/test_answers.py"),
    "_journal/transactions.py": (*_JOURNAL, *_LIVES, "tests/journal/test_guards.py", "tests/journal/test_queries.py"),
    "_journal/claims.py": (*_JOURNAL, *_LIVES, "tests/journal/test_queries.py"),
    "_execution/verdicts.py": ("tests/cli/test_resolve.py", "tests/scenarios/test_j_feed.py"),
    "_execution/findings.py": ("tests/scenarios/test_b_outcomes.py", "tests/scenarios/test_i_modify_cancel.py"),
    "_wire/answers.py": ("tests/wire/test_answers.py", "tests/wire/test_outcomes.py"),
    "_domain/intents.py": ("tests/domain/test_intents.py", "tests/domain/test_absence.py", *_MATCHING),
    "_domain/sights.py": ("tests/domain/test_life.py", "tests/journal/test_lives.py"),
    "_domain/day_close.py": ("tests/journal/test_days.py",),
    "_domain/life.py": ("tests/domain/test_life.py", "tests/journal/test_lives.py"),
    "_domain/guards.py": ("tests/domain/test_guards.py", "tests/journal/test_guards.py"),
    "_domain/budgets.py": ("tests/domain/test_budgets.py",),
    "_domain/validation.py": ("tests/domain/test_validation.py",),
    "_wire/ledger.py": ("tests/wire/test_ledger.py", "tests/wire/test_account_fuzz.py"),
    "_journal/lives.py": _LIVES,
    "_journal/days.py": (*_LIVES, "tests/journal/test_queries.py"),
    "_journal/records.py": ("tests/journal/test_records.py", *_JOURNAL, "tests/journal/test_queries.py"),
    "_execution/resolver.py": _RECONCILER,
    "_execution/reconciler.py": _RECONCILER,
}
"""Those on which most money hangs come first."""
