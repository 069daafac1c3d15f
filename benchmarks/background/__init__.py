"""``make bench-background``: how fast jobs are done, ours and those of other queues.

A contender has a turn in each round: its workers are started, warmed up, measured and stopped, so
that no other workers compete for the machine. The process that enqueues has CKAN loaded, and so do
all workers. Each job notes when it started, see ``journal``; a turn in which a job is missing, or
was done twice, ends the benchmark.

All of PostgreSQL happens in copies of CKAN's database that are dropped at the end. Not measured:
how fast jobs are enqueued, and retries.
"""

from __future__ import annotations

from ..figures import Verdict
from .contenders import CONTENDERS
from .measure import run
from .report import goals, report

RESULTS = "background-ckan"


def measure(quick: bool) -> tuple[str, set[Verdict]]:
    """Measure everything, and return the report and what it says of the goals."""
    contenders = [contender.quick() for contender in CONTENDERS] if quick else CONTENDERS
    scores = run(contenders, 2 if quick else 15)
    return report(scores, contenders), {goal.verdict for goal in goals(scores)}
