"""A ratio, and the interval in which it lies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

#: Of the interval: in so many of a hundred benchmarks it contains the truth.
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """The median of some ratios."""

    n: int
    median: float

    low: float
    """Of the sign test's interval; it knows nothing of how the ratios are distributed."""

    high: float


def estimate(ratios: Sequence[float]) -> Estimate:
    """Return the median with its interval; that of very few is from 0 to infinity."""
    ordered, n = sorted(ratios), len(ratios)
    outside = _ranks_outside(n)
    low, high = (ordered[outside - 1], ordered[n - outside]) if outside else (0.0, math.inf)
    return Estimate(n, statistics.median(ordered), low, high)


def _ranks_outside(n: int) -> int:
    """Return the rank, from either end, at which the interval begins; 0 if it cannot.

    Each ratio is above the true median or below, as a coin falls.
    """
    probability, rank = 0.5**n, 0
    below = probability
    while below <= (1 - CONFIDENCE) / 2:
        rank += 1
        probability *= (n - rank + 1) / rank
        below += probability
    return rank
