"""What was measured in the rounds of a contest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from .estimate import Estimate, estimate
from .variants import Variant


class Call(NamedTuple):
    """One measured call; times are in seconds. See ``stopwatch.Stopwatch.stop``."""

    seconds: float
    cpu: float
    commits: int
    ahead: float
    between: float


@dataclasses.dataclass
class Scores:
    """All rounds of a contest."""

    rounds: list[dict[Variant, Call]] = dataclasses.field(default_factory=list)

    def add(self, measured: dict[Variant, dict[str, Any]]) -> None:
        self.rounds.append({variant: Call(**values) for variant, values in measured.items()})

    def ratio(self, variant: Variant, base: Variant, value: Callable[[Call], float]) -> Estimate:
        """Return how much more of something a variant needs than another one, round by round."""
        rounds = [calls for calls in self.rounds if variant in calls]
        return estimate([value(calls[variant]) / value(calls[base]) for calls in rounds])

    def all(self, variant: Variant, value: Callable[[Call], Any]) -> list[Any]:
        """Return one value of each call of a variant."""
        return [value(calls[variant]) for calls in self.rounds if variant in calls]
