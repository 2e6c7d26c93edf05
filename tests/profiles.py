"""How long generated tests look: a little in every run, always at the same cases; far in a run of their own.

`HYPOTHESIS_PROFILE=deep pytest …` tries a hundred times more, at other cases each time. `HYPOTHESIS_PROFILE=hasty`
tries the usual ones, and stops at the first that fails without looking for a shorter one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

_T = TypeVar("_T")

DEEPER: Final = 100

IS_DEEP: Final = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


def examples(count: int) -> int:
    """Give how many examples to try instead of these."""
    return count * DEEPER if IS_DEEP else count


def machine(count: int, steps: int) -> settings:
    """Give the settings of a state machine: so many runs of so many steps.

    What it has found is made short in the deep run only: that takes longer than the time a test has.
    """
    phases = list(Phase) if IS_DEEP else [Phase.explicit, Phase.generate]
    return settings(max_examples=examples(count), stateful_step_count=steps, deadline=None, phases=phases)


def pick(data: st.DataObject | Random, choices: Sequence[_T]) -> _T:
    """Choose one, by whoever drives: hypothesis, or a seed.

    Hypothesis finds short ways to a fault and makes them shorter, and seldom goes far; a walk with a seed goes far.
    """
    if isinstance(data, Random):
        return data.choice(choices)
    return data.draw(st.sampled_from(choices))


def register() -> None:
    """Make both known and load the chosen one."""
    # A run that fails by chance is believed by nobody, and what it has found is in a folder that is thrown away.
    settings.register_profile("suite", deadline=None, derandomize=True, database=None)
    settings.register_profile(
        "deep",
        deadline=None,
        max_examples=100 * DEEPER,
        suppress_health_check=list(HealthCheck),
    )
    settings.register_profile(
        "hasty",
        settings.get_profile("suite"),
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
