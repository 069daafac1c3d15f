"""A quantile of what was measured in several rounds, and the interval in which it lies."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from ..estimate import CONFIDENCE

FEWEST = 6
"""Rounds from which there is an interval, as with ``estimate``."""

_SAMPLES = 2000


class Quantile(NamedTuple):
    """The value below which a given share lies."""

    n: int
    value: float
    low: float
    high: float


def quantile(rounds: Sequence[Sequence[float]], share: float) -> Quantile:
    """Return a quantile of all rounds together, with a bootstrap interval.

    Rounds are drawn, not values: those of one round share the processes that
    were started for it, and what else the machine did meanwhile.
    """
    n, value = sum(map(len, rounds)), _quantile(rounds, share)
    if len(rounds) < FEWEST:
        return Quantile(n, value, 0.0, math.inf)
    drawn = sorted(_quantile(random.choices(rounds, k=len(rounds)), share) for _ in range(_SAMPLES))
    outside = round(_SAMPLES * (1 - CONFIDENCE) / 2)
    return Quantile(n, value, drawn[outside], drawn[-outside - 1])


def _quantile(rounds: Sequence[Sequence[float]], share: float) -> float:
    ordered = sorted(value for values in rounds for value in values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
