"""Conditions for the files of a format: :func:`ckanext.files.store.format_of` in SQL."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa

_LONGEST_SUFFIX = 50
SUFFIX = (
    "CASE WHEN name LIKE '%.%' THEN"
    f" left(lower(reverse(split_part(reverse(name), '.', 1))), {_LONGEST_SUFFIX}) ELSE '' END"
)
"""SQL of the suffix of a file's name, as :func:`ckanext.files.store.format_of` finds it.
An index refuses long values."""

CONTENT_TYPE = "lower(content_type)"
"""SQL of a file's type."""


def format_alternatives(name: str) -> list[Any]:
    """Return conditions of which a file with a format fulfils one, and other files none.

    No file fulfils both: callers add up what they find.

    :param name: any of CKAN's names for it.
    """
    known: dict[str, Any] = tk.h.resource_formats()
    wanted = known.get(name.lower())
    hints = [hint for hint, found in known.items() if found is wanted] or [name.lower()]
    suffix, type_ = sa.literal_column(SUFFIX), sa.literal_column(CONTENT_TYPE)
    return [suffix.in_(hints), sa.and_(type_.in_(hints), suffix.not_in([*known, *hints]))]
