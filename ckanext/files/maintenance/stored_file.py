"""A file as its row describes it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckanext.files.store.models import file_table
from ckanext.files.store.storages import FileData, Location


class StoredFile(NamedTuple):
    """What is known of a file and of its bytes."""

    id: str
    name: str
    storage: str
    location: str
    content_type: str
    size: int
    hash: str
    algorithm: str
    storage_data: dict[str, Any]

    @property
    def data(self) -> Any:
        """What a storage is asked with."""
        return as_data(self._asdict())


COLUMNS = [file_table.c[name] for name in StoredFile._fields]


def as_data(values: dict[str, Any]) -> Any:
    """Return what a storage is asked with, from the columns of a row."""
    return FileData(
        Location(values["location"]),
        size=values["size"],
        content_type=values["content_type"],
        hash=values["hash"],
        storage_data=dict(values["storage_data"] or {}),
    )
