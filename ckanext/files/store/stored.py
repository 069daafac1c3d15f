"""Compare the rows of files with the contents of their storages.

Finds the files whose bytes are missing, and the strays: locations that no row names. Nothing
is changed and no byte is read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from file_keeper.default.adapters.fs import FsStorage
from sqlalchemy.engine import Connection

from ckanext.files.filekeeper.local import scan_folder

from .models import array_literal
from .overlapping_storages import OverlappingStorages, StorageLocation
from .storages import Capability, FileData, Location, exc, get_storage, is_configured

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1000
_NOT_NORMAL = r"(^|/)\.{0,2}(/|$)"


class Stored(NamedTuple):
    """The files of one storage."""

    storage: str
    files: int
    is_configured: bool
    can_be_asked: bool
    """The storage supports the question whether a file exists."""


def list_storages(connection: Connection, table: sa.Table) -> list[Stored]:
    """Return the storages that a table of files names."""
    columns = table.c
    statement = sa.select(columns.storage, sa.func.count()).group_by(columns.storage)
    return [
        Stored(name, files, is_configured(name), can_be_asked(name))
        for name, files in connection.execute(statement.order_by(columns.storage))
    ]


def find_missing(
    connection: Connection, table: sa.Table, stored: Stored, progress: Callable[[int], Any]
) -> list[str]:
    """Return the ids of files whose bytes are not in their storage.

    Slow for a cloud: each file is one request.

    :param table: table of files.
    :param progress: called with the number of files that were checked.
    """
    storage = get_storage(stored.storage)
    missing: list[str] = []
    for rows in _rows(connection, table, stored.storage):
        missing += [id_ for id_, location in rows if not exists(storage, FileData(location))]
        progress(len(rows))
    return missing


def can_be_asked(name: str) -> bool:
    """Return whether a storage is configured, and can report whether a file exists."""
    return is_configured(name) and bool(get_storage(name).supports(Capability.EXISTS))


def exists(storage: Any, data: Any) -> bool:
    """Return whether a storage has the bytes of a file. No byte is read."""
    try:
        return storage.exists(data)
    except exc.LocationError:
        return False  # the storage cannot have this location


def find_strays(
    connection: Connection,
    table: sa.Table,
    storage: str,
    progress: Callable[[int], Any] = lambda _: None,
) -> list[str]:
    """Return the locations in a storage that no row names.

    An upload that is under way is a stray until its transaction commits. A location in a
    folder of another storage, of CKAN itself or of uploads that are not complete, is not. A
    name that is not text is left out, with a warning in the log.

    :param storage: name of a storage that can be scanned.
    :param progress: called with the number of locations that were looked up.
    """
    strays: list[str] = []
    overlapping = OverlappingStorages(storage)
    found = filter(overlapping.owns, map(str, _scan(get_storage(storage))))
    locations = (location for location in found if _is_text(storage, location))
    while some := list(islice(locations, _ROWS_AT_ONCE)):
        strays += unnamed(connection, table, storage, some, overlapping)
        progress(len(some))
    return strays


def _scan(storage: Any) -> Iterable[str]:
    # the scan of CKAN 2.12's own storages leaves out names that begin with a dot
    is_local = isinstance(storage, FsStorage) and storage.supports(Capability.SCAN)
    return scan_folder(storage) if is_local else storage.scan()


def _is_text(storage: str, location: str) -> bool:
    try:
        location.encode()
    except UnicodeEncodeError:  # the file system has a name that is not UTF-8
        log.warning("Storage %s has a file with a name that no row can hold: %a", storage, location)
        return False
    return True


def unnamed(
    connection: Connection,
    table: sa.Table,
    storage: str,
    locations: Sequence[str],
    overlapping: OverlappingStorages,
) -> list[str]:
    """Return the locations that no row names, in this storage or in an overlapping one."""
    names = {
        location: [
            _normal(StorageLocation(storage, location)),
            *overlapping.other_names(location),
        ]
        for location in locations
    }
    wanted = [name for some in names.values() for name in some]
    found = _named(connection, table, wanted)
    rest = {location: some for location, some in names.items() if not found.intersection(some)}
    if rest and isinstance(get_storage(storage), FsStorage):
        # reads many rows, but mostly the first query has left nothing to find
        found = _named_otherwise(connection, table, {name.storage for name in wanted})
    return [location for location, some in rest.items() if not found.intersection(some)]


def _named(
    connection: Connection, table: sa.Table, names: Iterable[StorageLocation]
) -> set[StorageLocation]:
    statement = sa.text(f"""
        SELECT storage, location
        FROM unnest(CAST(:storages AS text[]), CAST(:locations AS text[]))
            AS wanted (storage, location)
            JOIN {table} USING (storage, location)
    """)
    values = {
        "storages": array_literal(name.storage for name in names),
        "locations": array_literal(name.location for name in names),
    }
    return {StorageLocation(*row) for row in connection.execute(statement, values)}


def _named_otherwise(
    connection: Connection, table: sa.Table, storages: Iterable[str]
) -> set[StorageLocation]:
    """Return the locations of rows with a path such as ``./a``, which ``file_register`` accepts."""
    columns = table.c
    statement = sa.select(columns.storage, columns.location).where(
        columns.storage.in_(storages),
        columns.location.contains("/"),  # fast, and true for few
        columns.location.op("~")(_NOT_NORMAL),
    )
    return {_normal(StorageLocation(*row)) for row in connection.execute(statement)}


def _normal(name: StorageLocation) -> StorageLocation:
    """Return the name that a scan yields; only locations in a folder have several names."""
    storage = get_storage(name.storage)
    if not isinstance(storage, FsStorage):
        return name
    try:
        path = storage.full_path(Location(name.location))
    except exc.LocationError:
        return name
    return StorageLocation(name.storage, os.path.relpath(path, storage.settings.path))


def _rows(connection: Connection, table: sa.Table, storage: str) -> Iterator[list[Any]]:
    columns = table.c
    last = ""
    while True:
        statement = (
            sa.select(columns.id, columns.location)
            .where(columns.storage == storage, columns.id > last)
            .order_by(columns.id)
            .limit(_ROWS_AT_ONCE)
        )
        rows = [tuple(row) for row in connection.execute(statement)]
        if not rows:
            return
        yield rows
        last = rows[-1][0]
