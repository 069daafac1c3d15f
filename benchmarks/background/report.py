"""What the figures say, as text that is reStructuredText too."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence

from ckan import __version__ as ckan_version

from ..figures import CONFIDENCE, Figure, Scores, Verdict, judge, median, quantile
from ..text import interval, number, section, table
from .contenders import CKAN, OTHERS, OWN, VARIANTS, Contender
from .journal import WORKS


def report(scores: Scores, contenders: Sequence[Contender]) -> str:
    """Return all of it."""
    variants = [c for c in contenders if c.name in {v.name for v in VARIANTS}]
    sections = [
        _goals(goals(scores)),
        _rates(scores, contenders),
        _waits(scores, contenders),
        _variants(scores, variants),
        _commands(contenders),
    ]
    return "\n\n\n".join(sections)


@dataclasses.dataclass(frozen=True)
class Goal:
    """A limit, and the figure that was measured."""

    title: str
    limit: float
    figure: Figure
    at_least: bool = False

    @property
    def verdict(self) -> Verdict:
        return judge(self.figure, self.limit, at_least=self.at_least)


def goals(scores: Scores) -> list[Goal]:
    """Return the goals with what the rounds have measured."""

    def rate(work: str, other: Contender) -> Figure:
        return scores.ratio(OWN.name, other.name, work)

    fastest = max(OTHERS, key=lambda other: median(scores.all(other.name, "write")).value)
    title = f"one row: times the rate of the fastest other ({fastest})"
    idle = "idle: ms from the commit to the start"
    return [
        Goal(f"no-op: times the rate of {CKAN}", 300, rate("nothing", CKAN), at_least=True),
        Goal(title, 1, rate("write", fastest), at_least=True),
        Goal(f"{idle}, p50", 5, _wait(scores, OWN, 0.5)),
        Goal(f"{idle}, p99", 9, _wait(scores, OWN, 0.99)),
    ]


def _goals(found: Sequence[Goal]) -> str:
    rows = [
        (
            goal.title,
            f"{'≥' if goal.at_least else '≤'} {goal.limit:g}",
            number(goal.figure.value),
            interval(goal.figure),
            goal.verdict.value,
        )
        for goal in found
    ]
    words = f"With the interval in which the true figure lies with {CONFIDENCE:.0%} confidence."
    return section("The goals", words, table(("", "goal", "measured", "interval", "goal is"), rows))


def _rates(scores: Scores, contenders: Sequence[Contender]) -> str:
    def cells(contender: Contender, work: str) -> tuple[str, str, str]:
        rate = median(scores.all(contender.name, work))
        times = scores.ratio(contender.name, CKAN.name, work).value
        return number(rate.value), interval(rate), number(times)

    head = ("", "no-op", "interval", "to CKAN", "one row", "interval", "to CKAN")
    return section(
        f"Jobs a second, on CKAN {ckan_version}",
        f"The median of {len(scores.rounds)} rounds on {os.cpu_count()} CPUs, of jobs that do"
        " nothing and of jobs that write one row,\nand the ratio to the rate of CKAN's own worker,"
        " round by round.",
        table(head, _rows(contenders, WORKS, cells)),
    )


def _waits(scores: Scores, contenders: Sequence[Contender]) -> str:
    def cells(contender: Contender, share: float) -> tuple[str, str]:
        figure = _wait(scores, contender, share)
        return number(figure.value), interval(figure)

    return section(
        "From the commit to the start on an idle worker",
        "In milliseconds, from the moment in which a change that was made through CKAN's session is"
        "\nto be committed: what commits and then enqueues has the time of both.",
        table(("", "p50", "interval", "p99", "interval"), _rows(contenders, (0.5, 0.99), cells)),
    )


def _wait(scores: Scores, contender: Contender, share: float) -> Figure:
    """Return the milliseconds within which that share of jobs has started."""
    rounds = scores.all(contender.name, "waits")
    return quantile([[1000 * seconds for seconds in waits] for waits in rounds], share)


def _variants(scores: Scores, variants: Sequence[Contender]) -> str:
    def cells(variant: Contender, work: str) -> tuple[str, str]:
        ratio = scores.ratio(variant.name, OWN.name, work)
        return f"{ratio.value:.2f}", interval(ratio)

    return section(
        "What processes and history change",
        f"Times the rate of {OWN} with {OWN.processes} processes, after {OWN.history:,} jobs,"
        " round by round.",
        table(("", "no-op", "interval", "one row", "interval"), _rows(variants, WORKS, cells)),
    )


def _rows(
    contenders: Sequence[Contender],
    columns: Sequence[object],
    cells: Callable[..., Iterable[str]],
) -> list[tuple[str, ...]]:
    return [
        (str(c), *(cell for column in columns for cell in cells(c, column))) for c in contenders
    ]


def _commands(contenders: Sequence[Contender]) -> str:
    commands = []
    for contender in contenders:
        words = f"``{contender.command}``\n\n{textwrap.fill(contender.does, 95)}"
        commands.append(f"{contender}\n{textwrap.indent(words, '    ')}")
    return section(
        "What was run",
        "Each worker has CKAN loaded. A job that writes inserts a row through CKAN's session and"
        " commits,\nin a request context and with a session of its own.",
        "\n\n".join(commands),
    )
