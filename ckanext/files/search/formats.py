"""The format of a file: CKAN's name for its suffix, else for its type."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa

SUFFIX = "CASE WHEN name LIKE '_%.%' THEN lower(reverse(split_part(reverse(name), '.', 1))) END"
"""SQL of the suffix of a file's name, as :attr:`pathlib.PurePath.suffix` has it."""

CONTENT_TYPE = "lower(content_type)"
"""SQL of a file's type."""


def format_of(name: str, content_type: str) -> str | None:
    """Return the format of a file; None if CKAN does not know it."""
    known: dict[str, Any] = tk.h.resource_formats()
    # the name first: a storage takes most tables for plain text
    for hint in (PurePath(name).suffix[1:], content_type):
        if found := known.get(hint.lower()):
            return found[1]
    return None


def known_formats() -> list[str]:
    """Return the names of the formats that CKAN knows by a suffix or a type, in their order."""
    known: dict[str, Any] = tk.h.resource_formats()
    return sorted({found[1] for found in known.values() if "/" in (found[0] or "")}, key=str.lower)


def has_format(name: str) -> Any:
    """Return the condition that a file has a format, by any of CKAN's names for it."""
    known: dict[str, Any] = tk.h.resource_formats()
    wanted = known.get(name.lower())
    hints = [hint for hint, found in known.items() if found is wanted] or [name.lower()]
    suffix, type_ = sa.literal_column(SUFFIX), sa.literal_column(CONTENT_TYPE)
    has_known_suffix = sa.func.coalesce(suffix.in_(list(known)), sa.false())
    return sa.or_(suffix.in_(hints), sa.and_(type_.in_(hints), sa.not_(has_known_suffix)))
