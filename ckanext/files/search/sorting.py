"""The orders in which a search returns files."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from ckanext.files.store.models import file_table, owner_table

from .words import SORTED_NAME

NAME_KEY = f"left(lower({SORTED_NAME}), 100)"
"""SQL by which files are sorted by name: an index refuses long values."""

_COLUMNS: dict[str, list[Any]] = {
    "name": [sa.literal_column(NAME_KEY)],
    "created": [file_table.c.created],
    "size": [file_table.c.size],
    # puts together what belongs together
    "owner": [owner_table.c.owner_type, owner_table.c.owner_id],
}

SORTS: frozenset[str] = frozenset(_COLUMNS)
"""By what files can be sorted."""


class Sort(NamedTuple):
    """An order of files."""

    by: str
    """One of :data:`SORTS`."""

    descending: bool = False

    def __str__(self) -> str:
        return f"{self.by} {'desc' if self.descending else 'asc'}"

    @property
    def is_by_owner(self) -> bool:
        """The files of an owner are together. The table of files has no index of this order."""
        return self.by == "owner"

    @property
    def columns(self) -> list[Any]:
        """What it sorts by. The id at the end gives each file one place on one page."""
        return [*_COLUMNS[self.by], file_table.c.id]


NEWEST_FIRST = Sort("created", descending=True)


def parse_sort(text: str) -> Sort | None:
    """Return the order that a text such as ``created desc`` names; None if there is none."""
    by, *direction = text.lower().split() or [""]
    known = by in SORTS and direction in ([], ["asc"], ["desc"])
    return Sort(by, direction == ["desc"]) if known else None
