"""What is to be reached, and whether it is."""

from __future__ import annotations

import dataclasses

from ..estimate import Estimate
from ..verdict import Verdict
from .contenders import CKAN, OTHERS, OWN
from .quantile import Quantile
from .scores import Scores


@dataclasses.dataclass(frozen=True)
class Goal:
    """A limit, and the figure that was measured."""

    title: str
    limit: float
    figure: Estimate | Quantile
    at_least: bool = False

    @property
    def verdict(self) -> Verdict:
        """What is said of it, as far as the interval tells."""
        _, _, low, high = self.figure
        if low >= self.limit if self.at_least else high <= self.limit:
            return Verdict.MET
        if high < self.limit if self.at_least else low > self.limit:
            return Verdict.MISSED
        return Verdict.OPEN


def goals(scores: Scores) -> list[Goal]:
    """Return those of which the rounds tell."""
    if OWN not in scores:
        return []
    return [*_rates(scores), *_waits(scores)]


def _rates(scores: Scores) -> list[Goal]:
    found = []
    if CKAN in scores:
        ratio = scores.ratio(OWN, CKAN, "nothing")
        found.append(Goal(f"no-op: times the rate of {CKAN}", 300, ratio, at_least=True))
    if others := [other for other in OTHERS if other in scores]:
        fastest = max(others, key=lambda other: scores.rate(other, "write").median)
        ratio = scores.ratio(OWN, fastest, "write")
        title = f"one row: times the rate of the fastest other ({fastest})"
        found.append(Goal(title, 1, ratio, at_least=True))
    return found


def _waits(scores: Scores) -> list[Goal]:
    return [
        Goal("idle: ms from the commit to the start, p50", 5, scores.wait(OWN, 0.5)),
        Goal("idle: ms from the commit to the start, p99", 9, scores.wait(OWN, 0.99)),
    ]
