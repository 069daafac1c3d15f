"""``make bench-jobs``: the pages of jobs and the claims of workers, among few and among many jobs.

A page is measured from the request to the answer, without a network.
"""

from __future__ import annotations

from ..growth import FEW, MANY, Growth
from . import turn

_OPTIONS = {
    "ckan.plugins": "files files_background",
    "ckanext.files.background.task_modules": f"{__package__}.turn",
}


def measure(quick: bool) -> dict[str, str]:
    """Measure everything, and return the tables."""
    counts = {FEW: 100, MANY: 100_000 if quick else 1_000_000}
    growth = Growth(_OPTIONS, turn.prepare, turn.take)
    growth.measure(counts, 5 if quick else 15)
    return {
        "many": f"{counts[MANY]:,}",
        "few": f"{counts[FEW]:,}",
        "pages": growth.table("page", turn.PAGES),
        "claims": growth.table("claim", turn.CLAIMS),
    }
