"""``make bench-jobs``: the pages of jobs and the claims of workers, among few and among many jobs.

Both are copies of CKAN's database. Each has a process of its own, and they take turns. A page is
measured from the request to the answer, without a network.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from ..databases import DATABASE, copies
from ..figures import Figure, Rounds, Turn, interval, judge, median, number, table
from ..process import ckan_process
from . import turn

FEW, MANY = "few", "many"

_LIMIT = 2
"""Times as long as among few jobs."""

_OPTIONS = {
    "ckan.plugins": "files files_background",
    "ckanext.files.background.task_modules": f"{__package__}.turn",
}


def measure(quick: bool) -> dict[str, str]:
    """Measure everything, and return the tables."""
    counts = {FEW: 100, MANY: 100_000 if quick else 1_000_000}
    rounds, turns = Rounds(), dict[str, Turn]()
    with copies(2) as databases, ExitStack() as stack:
        for (name, count), database in zip(counts.items(), databases, strict=True):
            variables = {DATABASE: database, "CKAN_SITE_ID": "benchmark"}
            process = stack.enter_context(ckan_process(_OPTIONS, **variables))
            process.call(turn.prepare, count)
            turns[name] = partial(process.call, turn.take)
        rounds.run(5 if quick else 15, turns)
    return {
        "many": f"{counts[MANY]:,}",
        "few": f"{counts[FEW]:,}",
        "pages": _table("page", turn.PAGES, rounds),
        "claims": _table("claim", turn.CLAIMS, rounds),
    }


def _table(what: str, names: dict[str, str], rounds: Rounds) -> str:
    head = (what, "ms, few", "ms, many", "times", "interval", f"≤ {_LIMIT}")
    return table(head, [_row(name, rounds) for name in names])


def _row(name: str, rounds: Rounds) -> tuple[str, ...]:
    few, many = (median(rounds.all(each, name)) for each in (FEW, MANY))
    ratio: Figure = rounds.ratio(MANY, FEW, name)
    times = f"{ratio.value:.2f}"
    verdict = judge(ratio, "≤", _LIMIT)
    return name, number(few.value), number(many.value), times, interval(ratio), verdict
