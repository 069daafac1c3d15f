"""A contest, run by one set of processes."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from .contests import Contest
from .crew import Crew
from .variants import STOCK, Variant

_WARM_UP = 10
"""Rounds that are not measured; fewer before a race that is short."""


class Race:
    """The rounds of a contest, one after the other."""

    def __init__(
        self, contest: Contest, crew: Crew, datasets: Sequence[str], rounds: range
    ) -> None:
        self._contest = contest
        self._crew = crew
        self._datasets = dict(zip(contest.variants, datasets, strict=True))
        self._warm_up = max(1, min(_WARM_UP, len(rounds) // 5))
        self._line_ups = [
            *[contest.line_up()] * self._warm_up,
            *[contest.line_up(number) for number in rounds],
        ]
        # who transfers files in calls of its own needs files of its own
        self._files = {alone: self._make_files(alone) for alone in (False, True)}
        # the planner shall not find out about them in the middle of the race
        crew[STOCK].ask("analyze")

    def run(self) -> Iterator[dict[Variant, dict[str, Any]]]:
        """Yield what each variant has measured in each round."""
        for number, line_up in enumerate(self._line_ups):
            if number == self._warm_up:
                for variant in self._contest.variants:
                    self._crew[variant].ask("warm")
            measured = self._run_round(line_up)
            if number >= self._warm_up:
                yield measured

    def _run_round(self, line_up: Sequence[Variant]) -> dict[Variant, dict[str, Any]]:
        title = f"Title {uuid.uuid4().hex}"
        alone = {variant.calls_transfer for variant in line_up}
        files = {key: [self._files[key].pop() for _ in range(self._contest.size)] for key in alone}
        return {
            variant: self._crew[variant].ask(
                "update",
                dataset=self._datasets[variant],
                field=self._contest.field,
                title=title,
                files=files[variant.calls_transfer],
            )
            for variant in random.sample(line_up, len(line_up))
        }

    def _make_files(self, alone: bool) -> list[str]:
        rounds = sum(
            any(variant.calls_transfer is alone for variant in line_up)
            for line_up in self._line_ups
        )
        return self._crew[STOCK].ask("files", count=rounds * self._contest.size)
