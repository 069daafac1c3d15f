"""Owners whose names or titles contain a text, for a form without an exact name.

CKAN's own actions for suggestions find what the visitor may see, and nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk

_ACTIONS = {
    "package": "package_autocomplete",
    "organization": "organization_autocomplete",
    "group": "group_autocomplete",
    "user": "user_autocomplete",
}
_MOST = 10


class Suggestion(NamedTuple):
    """An owner that the visitor may have meant."""

    name: str
    title: str


def suggested_owners(owner_type: str, text: str) -> list[Suggestion]:
    """Return some owners of a type, by a part of the name or title."""
    if owner_type not in _ACTIONS or not text:
        return []
    try:
        found: Any = tk.get_action(_ACTIONS[owner_type])({}, {"q": text, "limit": _MOST})
    except (tk.NotAuthorized, tk.ValidationError):
        return []
    return [Suggestion(each["name"], _title(each)) for each in found]


def _title(found: dict[str, Any]) -> str:
    return found.get("title") or found.get("fullname") or found["name"]
