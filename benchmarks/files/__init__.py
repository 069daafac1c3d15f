"""``make bench-files``: the pages of files, among few and among many files.

A page is measured from the request to the answer, without a network.
"""

from __future__ import annotations

from ..growth import FEW, MANY, Growth
from . import turn

_OPTIONS = {"ckan.plugins": "files"}


def measure(quick: bool) -> dict[str, str]:
    """Measure everything, and return the tables."""
    counts = {FEW: 100, MANY: 10_000 if quick else 100_000}
    growth = Growth(_OPTIONS, turn.prepare, turn.take)
    growth.measure(counts, 5 if quick else 45)
    tables = {name: growth.table("page", pages) for name, pages in turn.PAGES.items()}
    return {"many": f"{counts[MANY]:,}", "few": f"{counts[FEW]:,}", **tables}
