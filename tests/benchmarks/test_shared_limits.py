"""The minute of several processes on one key, in two seconds."""

from __future__ import annotations

from pathlib import Path

from benchmarks.shared_limits import measure_shared_limits
from kiwoom_async import Limits


async def test_short_run_keeps_the_promise(tmp_path: Path) -> None:
    """Two processes: one token, no refusal, something was sent."""
    result = await measure_shared_limits(tmp_path, seconds=2, processes=2, limits=Limits())
    assert result.is_good
    assert result.most_in_a_second["orders"] <= 5
    assert result.orders_per_second > 0
