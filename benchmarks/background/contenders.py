"""Whose workers are measured, and how they are started, see ``contenders.yaml``; the tables."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import NamedTuple

import yaml

from ..figures import Figure, Rounds, interval, judge, median, number, quantile, table

WORKS = ("nothing", "write")  # the functions of `jobs` that are the tasks of every queue


class Contender(NamedTuple):
    """One queue with its workers.

    :param queue: its name in this package.
    :param does: what it does for a job, for the reader who compares.
    :param processes: how many of them do jobs.
    :param jobs: how many are done for one rate.
    :param requests: how many jobs find an idle worker.
    :param history: how many finished jobs the queue holds, of those that keep them.
    :param asks: how many jobs are asked for one by one, without a worker.
    """

    title: str
    queue: str
    command: str
    does: str
    processes: int = 1
    jobs: int = 2000
    requests: int = 100
    history: int = 0
    plugins: str = ""
    asks: int = 0


_FILE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
_GROUPS = {name: [Contender(**each) for each in group] for name, group in _FILE.items()}
_NAMES = ("ckan", "jobs", "others", "own", "variants")
[CKAN], [JOBS], OTHERS, [OWN], VARIANTS = (_GROUPS[name] for name in _NAMES)
CONTENDERS = [CKAN, JOBS, *OTHERS, OWN, *VARIANTS]


def make_tables(rounds: Rounds, count: int) -> dict[str, str]:
    """Return all of them, by the names that ``report.rst`` has for them."""

    def rate(name: str, work: str) -> tuple[str, str, str]:
        times = rounds.ratio(name, CKAN.title, work).value
        return *_cells(median(rounds.all(name, work))), number(times)

    def to_own(name: str, work: str) -> tuple[str, str]:
        ratio = rounds.ratio(name, OWN.title, work)
        return f"{ratio.value:.2f}", interval(ratio)

    names = [contender.title for contender in CONTENDERS]
    rates = [(name, *rate(name, "nothing"), *rate(name, "write")) for name in names]
    waits = [(n, *_cells(_wait(rounds, n, 0.5)), *_cells(_wait(rounds, n, 0.99))) for n in names]
    asking = [(name, *rate(name, "asked"), *rate(name, "committed")) for name in names[:2]]
    variants = [(v.title, *to_own(v.title, "nothing"), *to_own(v.title, "write")) for v in VARIANTS]
    head = ("", "no-op", "interval", "to CKAN", "one row", "interval", "to CKAN")
    return {
        "goals": table(("", "goal", "measured", "interval", "goal is"), _goals(rounds)),
        "rates": table(head, rates),
        "asking": table(("", "alone", *head[2:4], "with a row", *head[5:]), asking),
        "waits": table(("", "p50", "interval", "p99", "interval"), waits),
        "variants": table(("", "no-op", "interval", "one row", "interval"), variants),
        "commands": "\n\n".join(map(_command, CONTENDERS)),
        "own": f"{OWN.title} with {OWN.processes} processes, after {OWN.history:,} jobs",
        "rounds": str(count),
        "cpus": str(os.cpu_count()),
    }


def _cells(figure: Figure) -> tuple[str, str]:
    return number(figure.value), interval(figure)


def _goals(rounds: Rounds) -> list[tuple[str, ...]]:
    """Return title, limit, figure, interval and verdict of each."""
    own, names = OWN.title, [other.title for other in OTHERS]
    fastest = max(names, key=lambda name: median(rounds.all(name, "write")).value)
    no_op, one_row = rounds.ratio(own, CKAN.title, "nothing"), rounds.ratio(own, fastest, "write")
    idle = "idle: ms from the commit to the start"
    goals = [
        (f"no-op: times the rate of {CKAN.title}", "≥", 300, no_op),
        (f"one row: times the rate of the fastest other ({fastest})", "≥", 1, one_row),
        (f"{idle}, p50", "≤", 5, _wait(rounds, own, 0.5)),
        (f"{idle}, p99", "≤", 9, _wait(rounds, own, 0.99)),
    ]
    return [
        (title, f"{sign} {limit}", *_cells(figure), judge(figure, sign, limit))
        for title, sign, limit, figure in goals
    ]


def _wait(rounds: Rounds, name: str, share: float) -> Figure:
    """Return the milliseconds within which that share of jobs has started."""
    return quantile([[1000 * s for s in waits] for waits in rounds.all(name, "waits")], share)


def _command(contender: Contender) -> str:
    words = f"``{contender.command}``\n\n{textwrap.fill(contender.does, 95)}"
    return f"{contender.title}\n{textwrap.indent(words, '    ')}"
