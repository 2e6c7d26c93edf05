"""Medians with their spread; ratios are taken within a round, so that a busy moment hits both sides of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from attrs import frozen


@frozen
class Spread:
    """What several rounds gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sum up the values of the rounds."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])

    def show(self, digits: int = 2) -> str:
        """Give the median and the range."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def ratio(values: Sequence[float], others: Sequence[float]) -> Spread:
    """Compare round by round."""
    return Spread.of(value / other for value, other in zip(values, others, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
