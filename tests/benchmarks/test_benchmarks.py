"""The benchmarks run, say what they measured, and keep their one claim."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TINY = ("--rounds=1", "--orders=32", "--samples=2", "--repeats=1", "--busy-day=110")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run everything once with tiny counts."""
    folder = tmp_path_factory.mktemp("journals")
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks", "--quick", "--json", *TINY, f"--folder={folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == bool(found["growing"]), "the exit code is the claim"
    assert list(folder.iterdir()) == []
    return found


def test_every_contestant_is_measured_at_both_loads(results: Any) -> None:
    """Three clients, at 1 and at 32 in flight, each with ratios to ours."""
    measured = {(line["in_flight"], line["contestant"]) for line in results["throughput"]}
    assert measured == {(count, name) for count in (1, 32) for name in ("kiwoom_async", "aiohttp", "httpx")}
    for line in results["throughput"]:
        for name in ("orders_per_second", "cpu_milliseconds", "rate_ratio", "cpu_ratio"):
            assert 0 < line[name]["low"] <= line[name]["median"] <= line[name]["high"]


def test_no_order_leaves_before_its_record_is_durable(results: Any) -> None:
    """The first byte takes longer than bare HTTP, and a flush is counted for each order that is alone."""
    assert results["first_byte"]["ours"]["median"] > results["first_byte"]["bare"]["median"] > 0
    assert results["first_byte"]["flush"]["median"] > 0
    alone, together = results["commits"]
    assert alone["flushes_per_order"] >= 2
    assert together["flushes_per_order"] < alone["flushes_per_order"]


def test_the_machine_is_named(results: Any) -> None:
    """Numbers without their machine mean nothing."""
    assert {"python", "cores", "sqlite", "aiohttp", "httpx"} <= results["machine"].keys()
    assert results["settings"]["busy_day"] == 110


def test_a_fuller_book_costs_no_more_requests(results: Any) -> None:
    """One unknown order costs as many queries on a busy day as on a quiet one."""
    assert results["growing"] == []
