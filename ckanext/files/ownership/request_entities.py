"""The dictionaries of a request that have fields: what it describes as a whole, and resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckan.types import FlattenKey


def entities(request: dict[str, Any]) -> Iterator[tuple[FlattenKey, dict[str, Any]]]:
    """Yield the request and its resources, with the starts of the keys of their fields."""
    yield (), request
    resources = request.get("resources")
    for number, resource in enumerate(resources if isinstance(resources, list) else ()):
        if isinstance(resource, dict):
            yield ("resources", number), resource
