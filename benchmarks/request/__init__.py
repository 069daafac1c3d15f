"""``make bench``: what an action costs with the extension, as ratios to stock CKAN.

Each variant of a call runs in a process of its own, all on the same servers, and does the same
work. Processes and datasets are made anew several times, for none is quite like another.

Not measured: the web server, uploads, and how long an empty dataset takes to grow; files are made
in the database only, outside of the measured time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

from ckan import model

from dev.environments import say

from ..figures import Rounds, Turn
from ..process import CkanProcess, ckan_process
from . import work
from .contests import CONTESTS, VARIANTS, Contest, make_tables


def measure(quick: bool) -> dict[str, str]:
    """Measure everything, and return the tables."""
    generations, share = (1, 0.05) if quick else (5, 0.2)
    results = {contest: Rounds() for contest in CONTESTS}
    parts: list[dict[str, float]] = []
    for generation in range(generations):
        with _start_all(seed=generation) as workers:
            for contest, rounds in results.items():
                say(f"processes {generation + 1} of {generations}: {contest.title}")
                _race(contest, workers, rounds, max(2, int(contest.rounds * share)))
            parts.append(workers["empty task"].call(work.measure_parts))
    return make_tables(results, parts)


@contextmanager
def _start_all(seed: int) -> Iterator[Mapping[str, CkanProcess]]:
    # the order of sets is the same for all that are compared
    os.environ["PYTHONHASHSEED"] = str(seed)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_start(name)) for name in VARIANTS}
        for name, worker in workers.items():
            worker.call(work.begin, VARIANTS[name])
        yield workers


def _start(name: str) -> AbstractContextManager[CkanProcess]:
    variant = VARIANTS[name]
    # on CKAN 2.11 the action comes with the plugin
    plugin = variant.plugin or (variant.calls_transfer and not hasattr(model, "File"))
    plugins = "files files_benchmark" if plugin else "files_benchmark"
    return ckan_process({"ckan.plugins": plugins, "benchmark.validator": variant.validator})


def _race(contest: Contest, workers: Mapping[str, CkanProcess], rounds: Rounds, count: int) -> None:
    turns: dict[str, Turn] = {}
    warm_up = min(10, 1 + count // 5)  # fewer before a contest that is short
    for name in contest.variants:
        workers[name].call(work.prepare, contest, warm_up + count)
        turns[name] = partial(workers[name].call, work.update, contest, VARIANTS[name])
    Rounds().run(warm_up, turns)
    rounds.run(count, turns)
