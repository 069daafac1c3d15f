"""What is measured: pieces of work, the variants that do them, and their goals."""

from __future__ import annotations

import dataclasses

from ckan import model


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a process has loaded, and how it does its work.

    :param plugin: whether the plugin ``files`` is enabled.
    :param validator: see ``BenchmarkPlugin.validator``.
    :param intents: whether other processes can see what is about to be written into Solr.
    :param calls_transfer: it calls ``file_ownership_transfer`` for each file after the update.
    """

    name: str
    plugin: bool = True
    validator: str = "nothing"
    intents: bool = True
    calls_transfer: bool = False


STOCK = Variant("stock", plugin=False)
_STOCK_AGAIN = Variant("stock again", plugin=False)
_NO_TASK = Variant("no task")
EMPTY_TASK = Variant("empty task", validator="task")
_NO_INTENT = Variant("empty task without intents", validator="task", intents=False)
_TRANSFER = Variant("transfer", validator="transfer")
# on CKAN 2.11 the action comes with the plugin
_TWO_CALLS = Variant("two calls", plugin=not hasattr(model, "File"), calls_transfer=True)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A variant that is compared with stock CKAN, or with another one.

    :param goal: the highest ratio that is good enough; 1.0 means no difference.
    :param every: it runs in every so many rounds only, because it takes very long.
    """

    variant: Variant
    title: str
    goal: float | None = None
    base: Variant = STOCK
    every: int = 1


@dataclasses.dataclass(frozen=True)
class Contest:
    """One piece of work, done by several variants in every round.

    :param field: where the files are named: ``attachment``, ``attachments`` or ``resources``.
    :param size: number of files.
    """

    field: str
    size: int
    title: str
    rounds: int
    entries: tuple[Entry, ...]

    @property
    def variants(self) -> list[Variant]:
        compared = (v for entry in self.entries for v in (entry.base, entry.variant))
        return list(dict.fromkeys([STOCK, *compared]))

    def line_up(self, number: int | None = None) -> list[Variant]:
        """Return the variants that run in a round; without a number, those that run in all."""
        resting = {
            entry.variant
            for entry in self.entries
            if entry.every > 1 and (number is None or number % entry.every)
        }
        return [variant for variant in self.variants if variant not in resting]

    def quick(self) -> Contest:
        """Return the same for a first look, without what takes long."""
        entries = tuple(entry for entry in self.entries if entry.every == 1)
        return dataclasses.replace(self, rounds=max(2, self.rounds // 20), entries=entries)


def _many(field: str, size: int, title: str, goal: float, rounds: int, every: int) -> Contest:
    files = f"{title} with a file each" if field == "resources" else title
    entries = (
        Entry(_TRANSFER, f"{files}: transfer", goal=goal),
        Entry(_TWO_CALLS, f"{files}: {size + 1:,} calls", every=every),
    )
    return Contest(field, size, title, rounds, entries)


_ONE_FILE = (
    Entry(_STOCK_AGAIN, "one file: stock CKAN, against itself"),
    Entry(_NO_TASK, "one file: no task", goal=1.0),
    Entry(EMPTY_TASK, "one file: a task that does nothing"),
    Entry(EMPTY_TASK, "one file: intents, against the same task without them", 1.01, _NO_INTENT),
    Entry(_TRANSFER, "one file: transfer", goal=1.02),
    Entry(_TWO_CALLS, "one file: 2 calls"),
)
CONTESTS = [
    Contest("attachment", 1, "one file", 500, _ONE_FILE),
    _many("resources", 10, "10 resources", 1.05, rounds=200, every=1),
    _many("resources", 100, "100 resources", 1.05, rounds=100, every=10),
    _many("resources", 1000, "1,000 resources", 1.05, rounds=30, every=10),
    _many("attachments", 700, "a list of 700 files", 1.5, rounds=150, every=50),
]
VARIANTS = {v.name: v for contest in CONTESTS for v in contest.variants}
