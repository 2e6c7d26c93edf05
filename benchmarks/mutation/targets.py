"""The modules in which faults are planted, and the test files that must notice, the likeliest first."""

from __future__ import annotations

from typing import Final

_CORNERS: Final = ("tests/domain/test_corners.py",)
_MATCHING: Final = ("tests/domain/test_matching.py", *_CORNERS)
_JOURNAL: Final = tuple(
    f"tests/journal/test_{name}.py"
    for name in (
        *("transactions", "twins", "replacement", "decisive_attempt", "boot", "lives", "days", "queries", "records"),
        *("breaches", "guards", "corners", "seals", "shared_state", "store", "workers"),
    )
)
_LIVES: Final = ("tests/journal/test_lives.py", "tests/journal/test_days.py")
_WIRE: Final = tuple(
    f"tests/wire/test_{name}.py" for name in ("outcomes", "answers", "requests", "ledger", "corners", "rate_limits")
)
_RECONCILER: Final = (
    "tests/assumptions/test_a11_clocks.py",
    "tests/scenarios/test_f_resend.py",
    "tests/scenarios/test_d_absence.py",
    "tests/scenarios/test_e_matching.py",
    "tests/scenarios/test_i_modify_cancel.py",
    "tests/scenarios/test_h_gaps.py",
    "tests/scenarios/test_j_feed.py",
    "tests/scenarios/test_lifetimes.py",
    "tests/assumptions/test_a05_listed.py",
    "tests/assumptions/test_a06_complete.py",
    "tests/assumptions/test_a09_strangers.py",
    "tests/scenarios/test_other_days.py",
    "tests/scenarios/test_other_settings.py",
    "tests/scenarios/test_evenings.py",
    "tests/scenarios/test_midnight.py",
    "tests/scenarios/test_narrow_ways.py",
)

_RESEND: Final = ("tests/scenarios/test_f_resend.py",)
_BOOK: Final = (
    "tests/scenarios/test_e_matching.py",
    "tests/scenarios/test_d_absence.py",
    "tests/scenarios/test_h_gaps.py",
)
_SENDING: Final = (
    "tests/scenarios/test_b_outcomes.py",
    "tests/scenarios/test_c_cancellation.py",
    "tests/scenarios/test_same_id_elsewhere.py",
    "tests/scenarios/test_narrow_ways.py",
    "tests/scenarios/test_lifetimes.py",
)
_ASSUMPTIONS: Final = (
    "tests/assumptions/test_healthy.py",
    "tests/assumptions/test_a04_dead_requests.py",
    "tests/assumptions/test_a05_listed.py",
    "tests/assumptions/test_a08_numbers.py",
    "tests/assumptions/test_a09_strangers.py",
    "tests/assumptions/test_a10_echo.py",
    "tests/assumptions/test_a11_clocks.py",
)
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
    "_execution/verdicts.py": ("tests/cli/test_resolve.py", "tests/scenarios/test_j_feed.py"),
    "_execution/findings.py": ("tests/scenarios/test_b_outcomes.py", "tests/scenarios/test_i_modify_cancel.py"),
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
    "_execution/resolver.py": _RECONCILER,
    "_execution/views.py": _RECONCILER,
    "_execution/reconciler.py": _RECONCILER,
    "_execution/dispatcher.py": _SENDING,
    "_execution/sender.py": (*_SENDING, "tests/scenarios/test_unrecorded_answers.py"),
    "_execution/doubts.py": (*_RESEND, "tests/scenarios/test_d_absence.py"),
    "_execution/book_view.py": ("tests/execution/test_book_view.py", *_BOOK),
    "_execution/ledger_reader.py": ("tests/execution/test_ledger_reader.py", *_BOOK),
    "_execution/surplus.py": _RESEND,
    "_execution/forgotten.py": ("tests/crash/test_restored.py",),
    "_execution/day_closer.py": ("tests/scenarios/test_other_days.py", "tests/scenarios/test_h_gaps.py"),
    "_execution/follower.py": ("tests/scenarios/test_h_events.py", "tests/scenarios/test_background.py"),
    "_execution/originals.py": (
        "tests/execution/test_originals.py",
        "tests/scenarios/test_i_modify_cancel.py",
        "tests/scenarios/test_other_days.py",
    ),
    "_execution/monitor.py": _ASSUMPTIONS,
    "_execution/answers.py": (*_SENDING, "tests/cli/test_resolve.py"),
    "_execution/flights.py": _SENDING,
    "_execution/settlements.py": _RECONCILER,
    "_execution/sweeper.py": ("tests/scenarios/test_cancel_all.py",),
    "_execution/guards.py": ("tests/scenarios/test_guards.py",),
    "_execution/rehearsal.py": ("tests/scenarios/test_guards.py",),
    "_execution/steady_list.py": ("tests/execution/test_steady_list.py",),
    "_execution/tasks.py": ("tests/execution/test_tasks.py",),
    "_execution/waiters.py": ("tests/execution/test_waiters.py",),
    "_execution/feed_keeper.py": ("tests/scenarios/test_j_feed.py", "tests/scenarios/test_h_gaps.py"),
    "_execution/feed_view.py": ("tests/scenarios/test_j_feed.py", "tests/scenarios/test_h_gaps.py"),
    "_execution/event_log.py": ("tests/scenarios/test_h_events.py", "tests/execution/test_waiters.py"),
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
