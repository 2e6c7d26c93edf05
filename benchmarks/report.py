"""The tables people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.statistics import Spread


def print_results(results: Mapping[str, Any]) -> None:
    """Print one run: medians, with the lowest and the highest round in brackets."""
    machine = results["machine"]
    print(
        f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores, load {machine['load']:.1f}, "
        f"SQLite {machine['sqlite']}, aiohttp {machine['aiohttp']}, httpx {machine['httpx']}"
    )
    print(f"{results['settings']}; median (lowest-highest round)\n")
    _print_throughput(results["throughput"])
    _print_first_byte(results["first_byte"])
    for commits in results["commits"]:
        print(f"flushes per order, {commits['in_flight']:>2} in flight: {commits['flushes_per_order']:.2f}")
    print()
    _print_resolution(results["resolution"], results["growing"])


def _show(spread: Mapping[str, float], digits: int = 2) -> str:
    return Spread(**spread).show(digits)


def _print_throughput(lines: list[Mapping[str, Any]]) -> None:
    head = ("in flight", "client", "orders/s", "CPU ms/order", "p50 ms", "p99 ms", "ours by it: orders/s", "CPU")
    rows = [
        (
            str(line["in_flight"]),
            line["contestant"],
            _show(line["orders_per_second"], 0),
            _show(line["cpu_milliseconds"]),
            _show(line["median_milliseconds"]),
            _show(line["p99_milliseconds"], 1),
            _show(line["rate_ratio"]),
            _show(line["cpu_ratio"]),
        )
        for line in lines
    ]
    _print_table(head, rows)


def _print_first_byte(found: Mapping[str, Any]) -> None:
    rows = [
        ("call to first byte, kiwoom_async", _show(found["ours"], 3), _show(found["in_flushes"])),
        ("call to first byte, aiohttp", _show(found["bare"], 3), ""),
        ("added by kiwoom_async", "", _show(found["added_in_flushes"])),
        ("fdatasync of a 4 KiB append", _show(found["flush"], 3), "1"),
    ]
    _print_table(("one order at a time", "ms", "in flushes"), rows)


def _print_resolution(found: list[Mapping[str, Any]], growing: list[str]) -> None:
    rows = [
        (one["case"], str(one["orders_on_book"]), _show(one["requests"], 0), _show(one["seconds"])) for one in found
    ]
    _print_table(("unknown order", "orders on the book", "requests", "seconds"), rows)
    print(
        f"FAILED: a fuller book costs more requests: {', '.join(growing)}"
        if growing
        else "A fuller book costs no more."
    )


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()
