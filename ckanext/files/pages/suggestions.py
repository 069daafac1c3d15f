"""Owners whose names or titles contain a text, for a form without an exact name.

CKAN's own actions find what the visitor may see, and nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
from ckan.lib.search.common import SearchError
from ckan.lib.search.query import solr_literal

from ckanext.files.parameters import is_storable

_ACTIONS = {
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
    if not (text and is_storable(text)):
        return []
    try:
        found = _datasets(text) if owner_type == "package" else _others(owner_type, text)
    except (tk.NotAuthorized, tk.ValidationError, SearchError):
        # CKAN refuses a text with the syntax of Solr, such as {!func}, also where it is quoted
        return []
    return [Suggestion(each["name"], _title(each)) for each in found]


def _datasets(text: str) -> Any:
    """Return datasets as ``package_autocomplete`` does, and the visitor's own drafts."""
    fields, user = ("name_ngram", "title_ngram", "name", "title"), tk.current_user.id
    data = {
        "q": " OR ".join(f"{field}:{solr_literal(text)}" for field in fields),
        "fq": f'+(state:active OR (state:draft AND creator_user_id:"{user}"))',
        "include_private": True,
        "include_drafts": True,
        "fl": ["name", "title"],
        "rows": _MOST,
    }
    return tk.get_action("package_search")({}, data)["results"]


def _others(owner_type: str, text: str) -> Any:
    if owner_type not in _ACTIONS:
        return []
    return tk.get_action(_ACTIONS[owner_type])({}, {"q": text, "limit": _MOST})


def _title(found: dict[str, Any]) -> str:
    return found.get("title") or found.get("fullname") or found["name"]
