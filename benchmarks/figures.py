"""Figures with the interval in which the true one lies, and what they say of a goal."""

from __future__ import annotations

import dataclasses
import enum
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

CONFIDENCE = 0.95
"""Of the intervals: in so many of a hundred benchmarks they contain the truth."""

FEWEST_ROUNDS = 6
"""Rounds from which there is an interval."""

_SAMPLES = 2000


class Figure(NamedTuple):
    """A median or a quantile of ``n`` values, with its interval."""

    n: int
    value: float
    low: float
    high: float


def median(values: Sequence[float]) -> Figure:
    """Return the median; its interval is from the sign test, which assumes no distribution."""
    ordered, n = sorted(values), len(values)
    outside = _ranks_outside(n)
    low, high = (ordered[outside - 1], ordered[n - outside]) if outside else (0.0, math.inf)
    return Figure(n, statistics.median(ordered), low, high)


def _ranks_outside(n: int) -> int:
    """Return the rank, from either end, at which the interval begins; 0 if it cannot.

    Each value is above the true median or below, as a coin falls.
    """
    probability, rank = 0.5**n, 0
    below = probability
    while below <= (1 - CONFIDENCE) / 2:
        rank += 1
        probability *= (n - rank + 1) / rank
        below += probability
    return rank


def quantile(rounds: Sequence[Sequence[float]], share: float) -> Figure:
    """Return a quantile of all rounds together, with a bootstrap interval.

    Rounds are drawn, not values: the values of one round share their processes, and what else the
    machine did meanwhile.
    """
    n, value = sum(map(len, rounds)), _quantile(rounds, share)
    if len(rounds) < FEWEST_ROUNDS:
        return Figure(n, value, 0.0, math.inf)
    drawn = sorted(_quantile(random.choices(rounds, k=len(rounds)), share) for _ in range(_SAMPLES))
    outside = round(_SAMPLES * (1 - CONFIDENCE) / 2)
    return Figure(n, value, drawn[outside], drawn[-outside - 1])


def _quantile(rounds: Sequence[Sequence[float]], share: float) -> float:
    ordered = sorted(value for values in rounds for value in values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclasses.dataclass
class Scores:
    """What was measured in each round, by the names of the contenders and of the values."""

    rounds: list[Mapping[str, Mapping[str, Any]]] = dataclasses.field(default_factory=list)

    def all(self, name: str, value: str) -> list[Any]:
        """Return a value of a contender in the rounds in which it was measured."""
        return [measured[name][value] for measured in self.rounds if name in measured]

    def ratio(self, name: str, base: str, value: str) -> Figure:
        """Return how many times as much as another one a contender has, round by round."""
        rounds = [measured for measured in self.rounds if name in measured]
        return median([measured[name][value] / measured[base][value] for measured in rounds])


class Verdict(enum.Enum):
    """What is said of a goal, as far as the interval tells."""

    NONE = ""
    MET = "met"
    OPEN = "open"
    """The interval reaches across the goal: more rounds would tell."""

    MISSED = "missed"


def judge(figure: Figure, limit: float, *, at_least: bool = False) -> Verdict:
    """Return whether the whole interval is within a limit.

    An upper limit of 1 means no difference: it is met unless the whole interval is above it.
    """
    low, high = (-figure.high, -figure.low) if at_least else (figure.low, figure.high)
    bound = -limit if at_least else limit
    if low > bound:
        return Verdict.MISSED
    return Verdict.MET if high <= bound or bound == 1 else Verdict.OPEN
