"""``make bench``: what an action costs with the extension, as ratios to stock CKAN.

Each variant of a call runs in a process of its own, all on the same servers, and does the same
work. The processes are started anew several times, for no process is quite as fast as another.

Not measured: the web server, uploads, and how long an empty dataset takes to grow; files are made
in the database only, outside of the measured time.
"""

from __future__ import annotations

from ..figures import Verdict
from .contests import CONTESTS
from .measure import run
from .report import report, verdicts

RESULTS = "ckan"
_GENERATIONS = 5
"""How often the processes are started anew."""


def measure(quick: bool) -> tuple[str, set[Verdict]]:
    """Measure everything, and return the report and what it says of the goals."""
    contests = [contest.quick() for contest in CONTESTS] if quick else CONTESTS
    results, parts = run(contests, 1 if quick else _GENERATIONS)
    return report(results, parts), verdicts(results)
