"""Rounds, their figures with the interval in which the true one lies, and tables of these."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

CONFIDENCE = 0.95
"""Of the intervals: in so many of a hundred benchmarks they contain the truth."""


class Figure(NamedTuple):
    """A median or a quantile, with its interval."""

    value: float
    low: float = 0.0
    high: float = math.inf


def median(values: Sequence[float]) -> Figure:
    """Return the median; its interval is from the sign test, which assumes no distribution."""
    ordered, n = sorted(values), len(values)
    figure = Figure(statistics.median(ordered))
    tails = itertools.accumulate(math.comb(n, below) / 2**n for below in range(n))
    # each value is above the true median or below, as a coin falls
    outside = sum(tail <= (1 - CONFIDENCE) / 2 for tail in tails)
    return figure._replace(low=ordered[outside - 1], high=ordered[-outside]) if outside else figure


def quantile(rounds: Sequence[Sequence[float]], share: float) -> Figure:
    """Return a quantile of all rounds together, with a bootstrap interval.

    Rounds are drawn, not values: the values of one round share their processes, and what else the
    machine did meanwhile.
    """

    def value(drawn: Sequence[Sequence[float]]) -> float:
        ordered = sorted(itertools.chain.from_iterable(drawn))
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    figure = Figure(value(rounds))
    if math.isinf(median(range(len(rounds))).high):
        return figure
    samples = sorted(value(random.choices(rounds, k=len(rounds))) for _ in range(2000))
    outside = round(len(samples) * (1 - CONFIDENCE) / 2)
    return figure._replace(low=samples[outside], high=samples[-outside - 1])


Turn = Callable[..., Mapping[str, Any]]
"""What a contestant does in a round; it returns what was measured."""


class Rounds:
    """What was measured in each round, by the names of the contestants and of the values."""

    def __init__(self) -> None:
        self._measured: list[Mapping[str, Mapping[str, Any]]] = []

    def run(self, count: int, turns: Mapping[str, Turn]) -> None:
        """Let each contestant have a turn in each round, in random order."""
        for _ in range(count):
            order = random.sample(list(turns), len(turns))
            self._measured.append({name: turns[name]() for name in order})

    def all(self, name: str, value: str) -> list[Any]:
        """Return a value of a contestant in all rounds."""
        return [measured[name][value] for measured in self._measured]

    def ratio(self, name: str, base: str, value: str) -> Figure:
        """Return how many times as much as another one a contestant has, round by round."""
        pairs = zip(self.all(name, value), self.all(base, value), strict=True)
        return median([own / other for own, other in pairs])


def judge(figure: Figure, sign: str, limit: float) -> str:
    """Return whether the whole interval is ``≤`` or ``≥`` a limit; ``open`` if not sure.

    An upper limit of 1 means no difference: it is met unless the whole interval is above it.
    """
    turn = -1 if sign == "≥" else 1
    low, high = sorted((turn * figure.low, turn * figure.high))
    if low > turn * limit:
        return "missed"
    return "met" if high <= turn * limit or turn * limit == 1 else "open"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in reStructuredText; the first column holds words, the others figures."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["=" * width for width in widths]
    lines = [
        [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]
        for line in (rule, head, rule, *rows, rule)
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def number(value: float) -> str:
    """Return three digits, or all of them before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def interval(figure: Figure, show: Callable[[float], str] = number) -> str:
    """Return the interval, if there is one."""
    return "" if math.isinf(figure.high) else f"{show(figure.low)} to {show(figure.high)}"
