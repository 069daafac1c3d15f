"""What the figures say, as text that is reStructuredText too."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from ckan import __version__ as ckan_version

from .contests import Contest, Entry
from .estimate import CONFIDENCE, Estimate
from .scores import Call, Scores
from .table import section, table
from .variants import STOCK, Variant
from .verdict import judge

_FEWEST = 6
"""Rounds from which there is an interval."""

Results = Mapping[Contest, Scores]


def report(results: Results, parts: Sequence[Mapping[str, float]]) -> str:
    """Return all of it."""
    sections = [_ratios(results), _ahead(results), _windows(results), _parts(parts)]
    return "\n\n\n".join(part for part in sections if part)


def _ratios(results: Results) -> str:
    head = ("", "goal", "ratio", "interval", "n", "COMMITs", "goal is", "CPU")
    rows = [_ratio(entry, scores) for _, entry, scores in _entries(results)]
    return section(
        f"How much longer it takes than with stock CKAN {ckan_version}",
        "The median of the ratios of n rounds, and the interval in which the true one lies with"
        f"\n{CONFIDENCE:.0%} confidence (sign test). CPU is the same for the time that CKAN's"
        " process computes, which\nthe other load of the machine disturbs less.",
        table(head, rows),
    )


def _ratio(entry: Entry, scores: Scores) -> tuple[str, ...]:
    ratio = scores.ratio(entry.variant, entry.base, lambda call: call.seconds)
    commits = scores.all(entry.variant, lambda call: call.commits)
    return (
        entry.title,
        _goal(entry.goal),
        f"{ratio.median:.3f}",
        _interval(ratio),
        str(ratio.n),
        f"{min(commits)} to {max(commits)}",
        judge(entry, scores).value,
        f"{scores.ratio(entry.variant, entry.base, lambda call: call.cpu).median:.3f}",
    )


def _goal(goal: float | None) -> str:
    if goal is None:
        return ""
    return "1.00" if goal == 1.0 else f"≤ {goal:.2f}"


def _interval(ratio: Estimate) -> str:
    return f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio.n >= _FEWEST else ""


def _ahead(results: Results) -> str:
    rows = [
        (title, *_milliseconds(scores, variant, lambda call: call.ahead))
        for title, variant, scores in _one_call(results)
    ]
    return section(
        "The instant in which Solr is ahead",
        "From Solr's answer to the end of the COMMIT, in milliseconds.",
        table(("", "p50", "p99", "n"), rows),
    )


def _one_call(results: Results) -> list[tuple[str, Variant, Scores]]:
    """Return what does its work in one call, stock CKAN among it."""
    found = []
    for contest, scores in results.items():
        found.append((f"stock CKAN, {contest}", STOCK, scores))
        found += [
            (entry.title, entry.variant, scores)
            for entry in contest.entries
            if entry.variant.plugin and entry.base is STOCK
        ]
    return found


def _windows(results: Results) -> str:
    rows = [
        (entry.title, *_milliseconds(scores, entry.variant, lambda call: call.between))
        for _, entry, scores in _entries(results)
        if entry.variant.calls_transfer
    ]
    if not rows:
        return ""
    return section(
        "The window that two calls leave",
        "From the first COMMIT, which shows a dataset whose files nobody may have, to the last, in"
        "\nmilliseconds. With one call there is none.",
        table(("", "p50", "p99", "n"), rows),
    )


def _parts(parts: Sequence[Mapping[str, float]]) -> str:
    def median(part: str) -> str:
        return f"{statistics.median(measured[part] for measured in parts) * 1e6:,.1f}"

    rows = [
        ("the queue of an action that queues nothing", median("frame")),
        ("an intent, before a document is written into Solr", median("intent")),
        ("a commit of one changed row that is held back", median("held")),
        ("a real commit of one changed row", median("real")),
    ]
    return section("What the parts cost", "The median, in microseconds.", table(("", "µs"), rows))


def _entries(results: Results) -> list[tuple[Contest, Entry, Scores]]:
    return [
        (contest, entry, scores) for contest, scores in results.items() for entry in contest.entries
    ]


def _milliseconds(
    scores: Scores, variant: Variant, value: Callable[[Call], float]
) -> tuple[str, ...]:
    times = sorted(1000 * seconds for seconds in scores.all(variant, value))
    return (
        f"{statistics.median(times):,.2f}",
        f"{times[min(len(times) - 1, len(times) * 99 // 100)]:,.2f}",
        str(len(times)),
    )
