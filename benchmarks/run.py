"""Run all contests."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from types import TracebackType

from .contests import Contest
from .crew import Crew
from .race import Race
from .scores import Scores
from .variants import EMPTY_TASK, STOCK, Variant


class Run:
    """All contests, several times with new processes.

    As a context manager, it removes at its end what was made for it.
    """

    def __init__(self, contests: Sequence[Contest], generations: int) -> None:
        self.scores: dict[Contest, Scores] = {contest: Scores() for contest in contests}
        self.parts: list[dict[str, float]] = []
        """See ``parts.measure``; once for each set of processes."""

        self._generations = generations
        self._user = f"benchmark-{uuid.uuid4().hex[:8]}"
        self._datasets: dict[Contest, list[str]] = {}

    def __enter__(self) -> Run:
        with Crew([STOCK], self._user, seed=0) as crew:
            crew[STOCK].ask("people")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with Crew([STOCK], self._user, seed=0) as crew:
            crew[STOCK].ask("remove")

    def go(self) -> None:
        """Measure everything."""
        with Crew([STOCK], self._user, seed=0) as crew:
            for contest in self.scores:
                self._datasets[contest] = _make_datasets(crew, contest)
        for generation in range(self._generations):
            with Crew(self._variants(), self._user, seed=generation) as crew:
                self._measure(crew, generation)

    def _variants(self) -> dict[Variant, None]:
        return dict.fromkeys(v for contest in self.scores for v in contest.variants)

    def _measure(self, crew: Crew, generation: int) -> None:
        for contest, scores in self.scores.items():
            rounds = contest.rounds_of(generation, self._generations)
            _tell(f"processes {generation + 1} of {self._generations}: {contest}")
            # no dataset stays with a variant, for no dataset is quite like another
            datasets = self._datasets[contest]
            turn = generation % len(datasets)
            race = Race(contest, crew, datasets[turn:] + datasets[:turn], rounds)
            for measured in race.run():
                scores.add(measured)
        self.parts.append(crew[EMPTY_TASK].ask("parts"))


def _make_datasets(crew: Crew, contest: Contest) -> list[str]:
    """Make a dataset for each variant."""
    resources = contest.size if contest.field == "resources" else 0
    return [
        crew[STOCK].ask("dataset", name=f"benchmark-{uuid.uuid4().hex}", resources=resources)
        for _ in contest.variants
    ]


def _tell(what: str) -> None:
    print(f">>> {what}", file=sys.stderr, flush=True)
