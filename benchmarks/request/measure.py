"""All contests, several times with new processes."""

from __future__ import annotations

import random
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..figures import Scores
from ..site import ROOT, CkanProcess, announce, write_ini
from .contests import EMPTY_TASK, STOCK, Contest, Variant

_WARM_UP = 10
"""Rounds that are not measured; fewer before a contest that is short."""

Workers = Mapping[Variant, CkanProcess]


def run(
    contests: Sequence[Contest], generations: int
) -> tuple[dict[Contest, Scores], list[dict[str, float]]]:
    """Measure everything; return the scores, and the parts of each set of processes."""
    results = {contest: Scores() for contest in contests}
    parts: list[dict[str, float]] = []
    variants = dict.fromkeys(v for contest in contests for v in contest.variants)
    user = f"benchmark-{uuid.uuid4().hex[:8]}"
    with _start("fixtures", STOCK, user, 0) as fixtures:
        fixtures.call("people")
        datasets = {contest: _make_datasets(fixtures, contest) for contest in contests}
        for number in range(generations):
            with _start_all(variants, user, number) as workers:
                for contest, scores in results.items():
                    announce(f"processes {number + 1} of {generations}: {contest.title}")
                    first, last = (contest.rounds * g // generations for g in (number, number + 1))
                    # no dataset stays with a variant, for no dataset is quite like another
                    turn = number % len(datasets[contest])
                    rotated = datasets[contest][turn:] + datasets[contest][:turn]
                    race = Race(contest, workers, fixtures, rotated, range(first, last))
                    scores.rounds.extend(race.run())
                parts.append(workers[EMPTY_TASK].call("parts"))
    return results, parts


def _make_datasets(fixtures: CkanProcess, contest: Contest) -> list[str]:
    """Make a dataset for each variant."""
    resources = contest.size if contest.field == "resources" else 0
    names = [f"benchmark-{uuid.uuid4().hex}" for _ in contest.variants]
    return [fixtures.call("dataset", name=name, resources=resources) for name in names]


@contextmanager
def _start(name: str, variant: Variant, user: str, seed: int) -> Iterator[CkanProcess]:
    """Start a process; it ends with the block."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        plugins = "files files_benchmark" if variant.plugin else "files_benchmark"
        environment = {
            "CKAN_INI": write_ini(Path(folder, "ckan.ini"), {"ckan.plugins": plugins}),
            # CKAN finds plugins by entry points, and this one is not installed
            "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks/entry_points'}",
            # the order of sets is the same for all that are compared
            "PYTHONHASHSEED": str(seed),
        }
        process = CkanProcess("benchmarks.request.worker", name, user, environment=environment)
        stack.callback(process.end)
        yield process


@contextmanager
def _start_all(variants: Iterable[Variant], user: str, seed: int) -> Iterator[Workers]:
    with ExitStack() as stack:
        yield {v: stack.enter_context(_start(v.name, v, user, seed)) for v in variants}


class Race:
    """The rounds of a contest that one set of processes runs."""

    def __init__(
        self,
        contest: Contest,
        workers: Workers,
        fixtures: CkanProcess,
        datasets: Sequence[str],
        rounds: range,
    ) -> None:
        self._contest = contest
        self._workers = workers
        self._datasets = dict(zip(contest.variants, datasets, strict=True))
        self._warm_up = max(1, min(_WARM_UP, len(rounds) // 5))
        unmeasured = [contest.line_up()] * self._warm_up
        self._line_ups = [*unmeasured, *(contest.line_up(number) for number in rounds)]
        # a variant that transfers files in calls of its own needs files of its own
        self._files = {
            alone: fixtures.call("files", count=contest.size * self._rounds_with(alone))
            for alone in (False, True)
        }
        # the planner must not find out about them in the middle of the race
        fixtures.call("analyze")

    def run(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Yield what each variant has measured in each round."""
        for number, line_up in enumerate(self._line_ups):
            if number == self._warm_up:
                for variant in self._contest.variants:
                    self._workers[variant].call("warm")
            measured = self._run_round(line_up)
            if number >= self._warm_up:
                yield measured

    def _run_round(self, line_up: Sequence[Variant]) -> dict[str, dict[str, Any]]:
        title = f"Title {uuid.uuid4().hex}"
        alone = {variant.calls_transfer for variant in line_up}
        files = {key: [self._files[key].pop() for _ in range(self._contest.size)] for key in alone}
        return {
            variant.name: self._workers[variant].call(
                "update",
                dataset=self._datasets[variant],
                field=self._contest.field,
                title=title,
                files=files[variant.calls_transfer],
            )
            for variant in random.sample(line_up, len(line_up))
        }

    def _rounds_with(self, alone: bool) -> int:
        return sum(any(v.calls_transfer is alone for v in line_up) for line_up in self._line_ups)
