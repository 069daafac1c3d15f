"""The format of a file: CKAN's name for its suffix, else for its type."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk


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
