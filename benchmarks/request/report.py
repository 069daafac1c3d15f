"""What the figures say, as text that is reStructuredText too."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from ckan import __version__ as ckan_version

from ..figures import CONFIDENCE, FEWEST_ROUNDS, Scores, Verdict, judge
from ..text import section, table
from .contests import STOCK, Contest, Entry

Results = Mapping[Contest, Scores]


def report(results: Results, parts: Sequence[Mapping[str, float]]) -> str:
    """Return all of it."""
    sections = [_ratios(results), _ahead(results), _windows(results), _parts(parts)]
    return "\n\n\n".join(sections)


def verdicts(results: Results) -> set[Verdict]:
    """Return what is said of the goals."""
    return {_judge(entry, scores) for entry, scores in _entries(results)}


def _judge(entry: Entry, scores: Scores) -> Verdict:
    """Return what the rounds say; COMMITs too many miss any goal."""
    name = entry.variant.name
    if not entry.variant.calls_transfer and set(scores.all(name, "commits")) != {1}:
        return Verdict.MISSED
    if entry.goal is None:
        return Verdict.NONE
    return judge(scores.ratio(name, entry.base.name, "seconds"), entry.goal)


def _entries(results: Results) -> list[tuple[Entry, Scores]]:
    return [(entry, scores) for contest, scores in results.items() for entry in contest.entries]


def _ratios(results: Results) -> str:
    head = ("", "goal", "ratio", "interval", "n", "COMMITs", "goal is", "CPU")
    return section(
        f"How much longer it takes than with stock CKAN {ckan_version}",
        "The median of the ratios of n rounds, and the interval in which the true one lies with"
        f"\n{CONFIDENCE:.0%} confidence (sign test). CPU is the same for the time that CKAN's"
        " process computes, which\nthe other load of the machine disturbs less.",
        table(head, [_ratio(entry, scores) for entry, scores in _entries(results)]),
    )


def _ratio(entry: Entry, scores: Scores) -> tuple[str, ...]:
    name, base = entry.variant.name, entry.base.name
    n, value, low, high = scores.ratio(name, base, "seconds")
    commits = scores.all(name, "commits")
    goal = "" if entry.goal is None else f"≤ {entry.goal:.2f}"
    return (
        entry.title,
        "1.00" if entry.goal == 1.0 else goal,
        f"{value:.3f}",
        f"{low:.3f} to {high:.3f}" if n >= FEWEST_ROUNDS else "",
        str(n),
        f"{min(commits)} to {max(commits)}",
        _judge(entry, scores).value,
        f"{scores.ratio(name, base, 'cpu').value:.3f}",
    )


def _ahead(results: Results) -> str:
    rows: list[tuple[str, ...]] = []
    for contest, scores in results.items():
        one_call = [(f"stock CKAN, {contest.title}", STOCK)] + [
            (entry.title, entry.variant)
            for entry in contest.entries
            if entry.variant.plugin and entry.base is STOCK
        ]
        rows += [_times(title, scores.all(v.name, "ahead")) for title, v in one_call]
    words = "From Solr's answer to the end of the COMMIT, in milliseconds."
    return section("The instant in which Solr is ahead", words, table(_TIMES, rows))


def _windows(results: Results) -> str:
    rows = [
        _times(entry.title, scores.all(entry.variant.name, "between"))
        for entry, scores in _entries(results)
        if entry.variant.calls_transfer
    ]
    return section(
        "The window that two calls leave",
        "From the first COMMIT, which shows a dataset without access to its files, to the last, in"
        "\nmilliseconds. With one call there is none.",
        table(_TIMES, rows),
    )


_TIMES = ("", "p50", "p99", "n")


def _times(title: str, seconds: Iterable[float]) -> tuple[str, ...]:
    times = sorted(1000 * each for each in seconds)
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
    return title, f"{statistics.median(times):,.2f}", f"{p99:,.2f}", str(len(times))


def _parts(parts: Sequence[Mapping[str, float]]) -> str:
    names = {
        "frame": "the queue of an action that queues nothing",
        "intent": "an intent, before a document is written into Solr",
        "held": "a commit of one changed row that is held back",
        "real": "a real commit of one changed row",
    }
    medians = {part: statistics.median(measured[part] for measured in parts) for part in names}
    rows = [(name, f"{medians[part] * 1e6:,.1f}") for part, name in names.items()]
    return section("What the parts cost", "The median, in microseconds.", table(("", "µs"), rows))
