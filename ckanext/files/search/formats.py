"""The format of a file: CKAN's name for its suffix, else for its type."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa

_LONGEST_SUFFIX = 50
SUFFIX = (
    "CASE WHEN name LIKE '%.%' THEN"
    f" left(lower(reverse(split_part(reverse(name), '.', 1))), {_LONGEST_SUFFIX}) ELSE '' END"
)
"""SQL of the suffix of a file's name, as :func:`_suffix_of` finds it.
An index refuses long values."""

CONTENT_TYPE = "lower(content_type)"
"""SQL of a file's type."""


def format_of(name: str, content_type: str) -> str | None:
    """Return the format of a file; None if CKAN does not know it."""
    return format_by(_suffix_of(name), content_type.lower())


def _suffix_of(name: str) -> str:
    """Return what follows the last dot: of ``данные.csv`` CKAN leaves ``.csv`` as the name."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def format_by(suffix: str, content_type: str) -> str | None:
    """Return the format of files with a suffix and a type, both in lower case."""
    known: dict[str, Any] = tk.h.resource_formats()
    # the name first: a storage takes most tables for plain text
    found = known.get(suffix) or known.get(content_type)
    return found[1] if found else None


def known_formats() -> list[str]:
    """Return the names of the formats that CKAN knows by a suffix or a type, in their order."""
    known: dict[str, Any] = tk.h.resource_formats()
    return sorted({found[1] for found in known.values() if "/" in (found[0] or "")}, key=str.lower)


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
