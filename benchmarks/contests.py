"""What is measured: pieces of work, and the goals of the variants that do them."""

from __future__ import annotations

import dataclasses

from .variants import (
    EMPTY_TASK,
    NO_INTENT,
    NO_TASK,
    STOCK,
    STOCK_AGAIN,
    TRANSFER,
    TWO_CALLS,
    Variant,
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A variant that is compared with stock CKAN, or with another one."""

    variant: Variant
    title: str

    goal: float | None = None
    """The highest ratio that is good enough; 1.0 means no difference."""

    base: Variant = STOCK
    """What it is compared with."""

    every: int = 1
    """Runs in every so many rounds only: for what takes very long."""

    @property
    def commits(self) -> int | None:
        """The number of COMMITs that is right; None where it is only told."""
        return None if self.variant.calls_transfer else 1


@dataclasses.dataclass(frozen=True)
class Contest:
    """One piece of work, done by several variants in every round."""

    field: str
    """Where the files are named: ``attachment``, ``attachments`` or ``resources``."""

    size: int
    """Number of files."""

    title: str
    rounds: int
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return self.title

    @property
    def variants(self) -> list[Variant]:
        compared = (v for entry in self.entries for v in (entry.base, entry.variant))
        return list(dict.fromkeys([STOCK, *compared]))

    def line_up(self, number: int | None = None) -> list[Variant]:
        """Return those that run in a round; without a number, those that run in all."""
        resting = {
            entry.variant
            for entry in self.entries
            if entry.every > 1 and (number is None or number % entry.every)
        }
        return [variant for variant in self.variants if variant not in resting]

    def rounds_of(self, generation: int, generations: int) -> range:
        """Return the numbers of the rounds that one of several sets of processes runs."""
        first, last = (self.rounds * g // generations for g in (generation, generation + 1))
        return range(first, last)

    def quick(self) -> Contest:
        """Return the same for a first look, without what takes long."""
        entries = tuple(entry for entry in self.entries if entry.every == 1)
        return dataclasses.replace(self, rounds=max(2, self.rounds // 20), entries=entries)


_ONE_FILE = (
    Entry(STOCK_AGAIN, "one file: stock CKAN, against itself"),
    Entry(NO_TASK, "one file: no task", goal=1.0),
    Entry(EMPTY_TASK, "one file: a task that does nothing"),
    Entry(
        EMPTY_TASK,
        "one file: intents, against the same task without them",
        goal=1.01,
        base=NO_INTENT,
    ),
    Entry(TRANSFER, "one file: transfer", goal=1.02),
    Entry(TWO_CALLS, "one file: 2 calls"),
)


def _resources(size: int, rounds: int, every: int) -> Contest:
    title = f"{size:,} resources"
    entries = (
        Entry(TRANSFER, f"{title} with a file each: transfer", goal=1.05),
        Entry(TWO_CALLS, f"{title} with a file each: {size + 1:,} calls", every=every),
    )
    return Contest("resources", size, title, rounds, entries)


def _list(size: int, rounds: int, every: int) -> Contest:
    title = f"a list of {size:,} files"
    entries = (
        Entry(TRANSFER, f"{title}: transfer", goal=1.5),
        Entry(TWO_CALLS, f"{title}: {size + 1:,} calls", every=every),
    )
    return Contest("attachments", size, title, rounds, entries)


CONTESTS = [
    Contest("attachment", 1, "one file", 500, _ONE_FILE),
    _resources(10, rounds=200, every=1),
    _resources(100, rounds=100, every=10),
    _resources(1000, rounds=30, every=10),
    _list(700, rounds=150, every=50),
]
