"""What the figures say, as text that is reStructuredText too."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence

from ckan import __version__ as ckan_version

from ..estimate import CONFIDENCE, Estimate
from ..table import section, table
from .contenders import CKAN, OWN, VARIANTS, Contender
from .goals import Goal, goals
from .quantile import Quantile
from .scores import Scores
from .tasks import WORKS

Figure = Estimate | Quantile


def report(scores: Scores, contenders: Sequence[Contender]) -> str:
    """Return all of it."""
    sections = [
        _goals(goals(scores)),
        _rates(scores, contenders),
        _waits(scores, contenders),
        _variants(scores, [variant for variant in contenders if variant.name in _VARIANTS]),
        _commands(contenders),
    ]
    return "\n\n\n".join(part for part in sections if part)


_VARIANTS = {variant.name for variant in VARIANTS}


def _goals(found: Sequence[Goal]) -> str:
    if not found:
        return ""
    rows = [
        (
            goal.title,
            f"{'≥' if goal.at_least else '≤'} {goal.limit:g}",
            _number(goal.figure[1]),
            _interval(goal.figure),
            goal.verdict.value,
        )
        for goal in found
    ]
    words = f"With the interval in which the true figure lies with {CONFIDENCE:.0%} confidence."
    return section("The goals", words, table(("", "goal", "measured", "interval", "goal is"), rows))


def _rates(scores: Scores, contenders: Sequence[Contender]) -> str:
    head = ("", "no-op", "interval", "to CKAN", "one row", "interval", "to CKAN")
    rows = [
        (str(contender), *(cell for work in WORKS for cell in _rate(scores, contender, work)))
        for contender in contenders
    ]
    return section(
        f"Jobs a second, on CKAN {ckan_version}",
        f"The median of {len(scores.rounds)} rounds on {os.cpu_count()} CPUs, of jobs that do"
        " nothing and of jobs that write one row,\nand the ratio to the rate of CKAN's own worker,"
        " round by round.",
        table(head, rows),
    )


def _rate(scores: Scores, contender: Contender, work: str) -> tuple[str, str, str]:
    rate = scores.rate(contender, work)
    times = _number(scores.ratio(contender, CKAN, work).median) if CKAN in scores else ""
    return _number(rate.median), _interval(rate), times


def _waits(scores: Scores, contenders: Sequence[Contender]) -> str:
    rows = [
        (str(contender), *_quantile(scores, contender, 0.5), *_quantile(scores, contender, 0.99))
        for contender in contenders
    ]
    return section(
        "From the commit to the start on an idle worker",
        "In milliseconds, from the moment in which a change that was made through CKAN's session is"
        "\nto be committed: what commits and then enqueues has the time of both.",
        table(("", "p50", "interval", "p99", "interval"), rows),
    )


def _quantile(scores: Scores, contender: Contender, share: float) -> tuple[str, str]:
    figure = scores.wait(contender, share)
    return _number(figure.value), _interval(figure)


def _variants(scores: Scores, variants: Sequence[Contender]) -> str:
    if OWN not in scores or not variants:
        return ""
    rows = [
        (str(variant), *(cell for work in WORKS for cell in _ratio(scores, variant, work)))
        for variant in variants
    ]
    return section(
        "What processes and history change",
        f"Times the rate of {OWN} with {OWN.processes} processes, after {OWN.history:,} jobs,"
        " round by round.",
        table(("", "no-op", "interval", "one row", "interval"), rows),
    )


def _ratio(scores: Scores, variant: Contender, work: str) -> tuple[str, str]:
    ratio = scores.ratio(variant, OWN, work)
    return f"{ratio.median:.2f}", _interval(ratio)


def _commands(contenders: Sequence[Contender]) -> str:
    return section(
        "What was run",
        "Each worker has CKAN loaded. A job that writes inserts a row through CKAN's session and"
        " commits,\nin a request context and with a session of its own.",
        "\n\n".join(_command(contender) for contender in contenders),
    )


def _command(contender: Contender) -> str:
    words = textwrap.fill(contender.does, 95)
    return f"{contender}\n" + textwrap.indent(f"``{contender.command}``\n\n{words}", "    ")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _interval(figure: Figure) -> str:
    _, _, low, high = figure
    return "" if math.isinf(high) else f"{_number(low)} to {_number(high)}"
