"""Percentiles and medians of rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """How a set of times is spread, in the unit of the times. All zero for an empty set."""

    count: int
    p50: float
    p90: float
    p99: float
    worst: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0..1) of the ascending values do not exceed. 0.0 for none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> Spread:
    """Count and percentiles of unordered values."""
    ordered = sorted(values)
    p50, p90, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99))
    return Spread(len(ordered), p50, p90, p99, ordered[-1] if ordered else 0.0)


def median_of_medians(rounds: Sequence[Sequence[float]]) -> float:
    """The median of each round's median: one disturbed round moves it little. 0.0 without a value."""
    medians = [median(values) for values in rounds if values]
    return median(medians) if medians else 0.0
