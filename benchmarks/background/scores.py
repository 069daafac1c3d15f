"""What was measured in all rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..estimate import Estimate, estimate
from .contenders import Contender
from .quantile import Quantile, quantile
from .turn import Measured


@dataclasses.dataclass
class Scores:
    """All rounds, in each of which everybody had a turn."""

    rounds: list[Mapping[str, Measured]] = dataclasses.field(default_factory=list)
    """By the names of the contenders."""

    def __contains__(self, contender: Contender) -> bool:
        return any(contender.name in measured for measured in self.rounds)

    def add(self, measured: Mapping[str, Measured]) -> None:
        self.rounds.append(measured)

    def rate(self, contender: Contender, work: str) -> Estimate:
        """Return how many jobs are done in a second."""
        return estimate(self._rates(contender, work))

    def ratio(self, contender: Contender, other: Contender, work: str) -> Estimate:
        """Return how many times as fast as another a contender is, round by round."""
        pairs = zip(self._rates(contender, work), self._rates(other, work), strict=True)
        return estimate([rate / others for rate, others in pairs])

    def wait(self, contender: Contender, share: float) -> Quantile:
        """Return the milliseconds within which that share of jobs has started."""
        rounds = [measured[contender.name].waits for measured in self.rounds]
        return quantile([[1000 * seconds for seconds in waits] for waits in rounds], share)

    def _rates(self, contender: Contender, work: str) -> list[float]:
        return [measured[contender.name].rates[work] for measured in self.rounds]
