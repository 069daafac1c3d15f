"""Bytes that no row names, seen twice.

Bytes without a row are also what an upload looks like that is not committed
yet, and no storage of any kind tells how old its bytes are. So bytes are strays
if they were seen without a row, and after some time are seen again, the same
bytes, and still without a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from file_keeper.default.adapters.fs import FsStorage
from sqlalchemy.engine import Connection, Engine

from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages, storages_of_ckan
from ckanext.files.store.storages import Capability, FileData, Location, exc
from ckanext.files.store.stored import find_strays

from .errors import StorageRefusedError
from .removal import remove_all, storage_for


class Stray(NamedTuple):
    """A location without a row, and what was there."""

    location: str

    sight: str
    """Other bytes look different, as far as the storage can tell."""


def storage_with_strays(name: str) -> Any:
    """Return a storage in which strays can be told from all the rest.

    :raises StorageRefusedError: it cannot be listed, or CKAN itself keeps
        things without rows there.
    """
    if name in storages_of_ckan():
        raise StorageRefusedError(f"CKAN keeps things in the storage {name} that have no rows")
    return storage_for(name, Capability.SCAN)


def find(connection: Connection, storage: str) -> list[Stray]:
    """Return what a storage has without a row. All of its locations are listed once."""
    keeper = storage_with_strays(storage)
    return list(_look(keeper, find_strays(connection, file_table, storage)))


def remove_again_seen(engine: Engine, storage: str, strays: Iterable[Stray]) -> list[str]:
    """Remove what is still there, as it was, and still without a row; return where it was."""
    keeper, neighbours = storage_with_strays(storage), OverlappingStorages(storage)
    was = {stray.location: stray for stray in strays if neighbours.own(stray.location)}
    same = [stray for stray in _look(keeper, was) if stray == was[stray.location]]
    return remove_all(engine, storage, [FileData(Location(location)) for location, _ in same])


def _look(keeper: Any, locations: Iterable[str]) -> Iterable[Stray]:
    for location in locations:
        try:
            yield Stray(location, _sight(keeper, location))
        except (exc.LocationError, FileNotFoundError):
            continue  # gone meanwhile, or nothing that the storage would touch


def _sight(keeper: Any, location: str) -> str:
    if isinstance(keeper, FsStorage):
        state = Path(keeper.full_path(Location(location))).stat()
        return f"{state.st_mtime_ns}:{state.st_size}"
    if keeper.supports(Capability.ANALYZE):
        data = keeper.analyze(Location(location))
        return f"{data.hash}:{data.size}"
    return ""
