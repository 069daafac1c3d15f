"""Leave long lists of files out of the search index, so that Solr accepts the dataset."""

from __future__ import annotations

import json
from typing import Any

MAX_TERM_LENGTH = 32_766
"""In bytes. Solr refuses a document with a longer term."""


def without_long_lists(document: dict[str, Any]) -> dict[str, Any]:
    """Return a dataset's search document in a form that Solr accepts.

    A field of a dataset goes to Solr twice: ``extras_NAME`` is searched as text, and ``NAME``
    is one term, for facets. A list of a thousand files is too long for a term and useless as a
    facet, so this function leaves the term out.
    """
    return {
        name: value
        for name, value in document.items()
        if name.startswith("extras_") or not _is_long_list(value)
    }


def _is_long_list(value: Any) -> bool:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = json.dumps(value, default=str)  # as ckanext-scheming will, after this
    return (
        isinstance(value, str)
        and value.startswith("[")
        and value.endswith("]")
        and len(value.encode(errors="replace")) > MAX_TERM_LENGTH
    )
