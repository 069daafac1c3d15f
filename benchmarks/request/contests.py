"""What is measured, see ``contests.yaml``: pieces of work, their variants, and the tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..figures import Figure, Rounds, interval, judge, quantile, table

STOCK = "stock"


class Variant(NamedTuple):
    """What a process has loaded, and how it does its work.

    :param plugin: whether the plugin ``files`` is enabled.
    :param validator: what the fields of files do, see ``work``.
    :param intents: whether other processes can see what is about to be written into Solr.
    :param calls_transfer: it calls ``file_ownership_transfer`` for each file after the update.
    """

    plugin: bool = True
    validator: str = "nothing"
    intents: bool = True
    calls_transfer: bool = False


class Entry(NamedTuple):
    """A variant that is compared with another one.

    :param goal: the highest ratio that is good enough; 1.0 means no difference.
    """

    title: str
    variant: str
    goal: float | None = None
    base: str = STOCK


class Contest(NamedTuple):
    """One piece of work, done by several variants in every round.

    :param size: number of files.
    :param in_resources: a resource names each, instead of one field of the dataset.
    """

    title: str
    size: int
    rounds: int
    entries: tuple[Entry, ...]
    in_resources: bool = False

    @property
    def variants(self) -> list[str]:
        compared = (name for entry in self.entries for name in (entry.base, entry.variant))
        return list(dict.fromkeys([STOCK, *compared]))


_FILE: Any = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
VARIANTS = {name: Variant(**options) for name, options in _FILE["variants"].items()}
CONTESTS = [
    Contest(**{**contest, "entries": tuple(Entry(**entry) for entry in contest["entries"])})
    for contest in _FILE["contests"]
]
Results = Mapping[Contest, Rounds]
_TIMES = ("", "p50", "p99", "n")


def make_tables(results: Results, parts: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Return all of them, by the names that ``report.rst`` has for them."""
    costs = [(p, f"{1e6 * statistics.median(each[p] for each in parts):,.1f}") for p in parts[0]]
    head = ("", "goal", "ratio", "interval", "n", "COMMITs", "goal is", "CPU")
    windows = [
        _times(entry.title, rounds.all(entry.variant, "between"))
        for entry, rounds in _entries(results)
        if VARIANTS[entry.variant].calls_transfer
    ]
    return {
        "ratios": table(head, [_ratio(entry, rounds) for entry, rounds in _entries(results)]),
        "ahead": table(_TIMES, [row for each in results.items() for row in _ahead(*each)]),
        "windows": table(_TIMES, windows),
        "parts": table(("", "µs"), costs),
    }


def _judge(entry: Entry, rounds: Rounds) -> str:
    """Return what the rounds say; COMMITs too many miss any goal."""
    name = entry.variant
    if not VARIANTS[entry.variant].calls_transfer and set(rounds.all(name, "commits")) != {1}:
        return "missed"
    return "" if entry.goal is None else judge(_compare(entry, rounds, "seconds"), "≤", entry.goal)


def _compare(entry: Entry, rounds: Rounds, value: str) -> Figure:
    return rounds.ratio(entry.variant, entry.base, value)


def _entries(results: Results) -> list[tuple[Entry, Rounds]]:
    return [(entry, rounds) for contest, rounds in results.items() for entry in contest.entries]


def _ratio(entry: Entry, rounds: Rounds) -> tuple[str, ...]:
    ratio, commits = _compare(entry, rounds, "seconds"), rounds.all(entry.variant, "commits")
    return (
        entry.title,
        {None: "", 1.0: "1.00"}.get(entry.goal, f"≤ {entry.goal or 0:.2f}"),
        f"{ratio.value:.3f}",
        interval(ratio, "{:.3f}".format),
        str(len(commits)),
        f"{min(commits)} to {max(commits)}",
        _judge(entry, rounds),
        f"{_compare(entry, rounds, 'cpu').value:.3f}",
    )


def _ahead(contest: Contest, rounds: Rounds) -> list[tuple[str, ...]]:
    compared = [
        (entry.title, entry.variant)
        for entry in contest.entries
        if VARIANTS[entry.variant].plugin and entry.base == STOCK
    ]
    names = [(f"stock CKAN, {contest.title}", STOCK), *compared]
    return [_times(title, rounds.all(name, "ahead")) for title, name in names]


def _times(title: str, seconds: Sequence[float]) -> tuple[str, ...]:
    p50, p99 = 1000 * statistics.median(seconds), 1000 * quantile([seconds], 0.99).value
    return title, f"{p50:,.2f}", f"{p99:,.2f}", str(len(seconds))
