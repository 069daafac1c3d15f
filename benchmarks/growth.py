"""The same work with few rows and with many.

Both are copies of CKAN's database. Each has a process of its own, and they take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial

from .databases import DATABASE, copies
from .figures import Figure, Rounds, Turn, interval, judge, median, number, table
from .process import ckan_process

FEW, MANY = "few", "many"

_LIMIT = 2
"""Times as long as with few rows."""


class Growth:
    """How much longer things take with many rows.

    :param options: of CKAN.
    :param prepare: fills the database with so many rows.
    :param take: returns milliseconds by the names of what takes them.
    """

    def __init__(
        self,
        options: Mapping[str, str],
        prepare: Callable[[int], None],
        take: Callable[[], dict[str, float]],
    ) -> None:
        self._options = options
        self._prepare = prepare
        self._take = take
        self._rounds = Rounds()

    def measure(self, counts: Mapping[str, int], rounds: int) -> None:
        """Measure with so many rows by the names ``few`` and ``many``, in so many rounds."""
        turns = dict[str, Turn]()
        with copies(len(counts)) as databases, ExitStack() as stack:
            for (name, count), database in zip(counts.items(), databases, strict=True):
                variables = {DATABASE: database, "CKAN_SITE_ID": "benchmark"}
                process = stack.enter_context(ckan_process(self._options, **variables))
                process.call(self._prepare, count)
                turns[name] = partial(process.call, self._take)
            self._rounds.run(rounds, turns)

    def table(self, what: str, names: Iterable[str]) -> str:
        """Return the table of some of the things."""
        head = (what, "ms, few", "ms, many", "times", "interval", f"≤ {_LIMIT}")
        return table(head, [self._row(name) for name in names])

    def _row(self, name: str) -> tuple[str, ...]:
        few, many = (median(self._rounds.all(each, name)) for each in (FEW, MANY))
        ratio: Figure = self._rounds.ratio(MANY, FEW, name)
        times, verdict = f"{ratio.value:.2f}", judge(ratio, "≤", _LIMIT)
        return name, number(few.value), number(many.value), times, interval(ratio), verdict
