"""All that can be shown where CKAN has no files: the ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from .page_file import PageFile


def attached(value: Any) -> list[PageFile]:
    """Return the ids that the value of a field names."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [PageFile(id_, name=id_) for id_ in values if id_ and isinstance(id_, str)]


def own_files() -> list[PageFile]:
    """Return no files: nobody has any."""
    return []


def offered(value: Any, owner_types: Collection[str], owner: str | None) -> list[PageFile]:
    """Return the ids that the field names."""
    return [dataclasses.replace(file, is_chosen=True) for file in attached(value)]
