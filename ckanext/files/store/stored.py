"""Where the files of the tables are said to be, and whether they are there."""

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

from .arrays import literal
from .overlapping_storages import OverlappingStorages, Place
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
    """The storage tells whether a file exists."""


def list_storages(connection: Connection, table: sa.Table) -> list[Stored]:
    """Return the storages that a table of files names."""
    columns = table.c
    statement = sa.select(columns.storage, sa.func.count()).group_by(columns.storage)
    return [
        Stored(name, files, is_configured(name), _can_be_asked(name))
        for name, files in connection.execute(statement.order_by(columns.storage))
    ]


def find_missing(
    connection: Connection, table: sa.Table, stored: Stored, progress: Callable[[int], Any]
) -> list[str]:
    """Return the ids of files whose bytes are not in their storage.

    No byte is read. Slow where each question goes to a cloud.

    :param table: table of files.
    :param progress: called with the number of files that have been looked at.
    """
    storage = get_storage(stored.storage)
    missing: list[str] = []
    for rows in _rows(connection, table, stored.storage):
        missing += [id_ for id_, location in rows if not _exists(storage, location)]
        progress(len(rows))
    return missing


def _can_be_asked(name: str) -> bool:
    return is_configured(name) and bool(get_storage(name).supports(Capability.EXISTS))


def _exists(storage: Any, location: str) -> bool:
    try:
        return storage.exists(FileData(location))
    except exc.FilesError:
        return False  # a location that is not one of this storage


def find_strays(connection: Connection, table: sa.Table, storage: str) -> list[str]:
    """Return the locations in a storage that no row names.

    An upload that is under way is one of them until it is committed. What lies
    in the folder of another storage, or of CKAN itself, is none. A name that is
    no text is left out, with a warning.

    :param storage: name of one that can be scanned.
    """
    strays: list[str] = []
    neighbours = OverlappingStorages(storage)
    found = filter(neighbours.own, map(str, _scan(get_storage(storage))))
    locations = (location for location in found if _is_text(storage, location))
    while some := list(islice(locations, _ROWS_AT_ONCE)):
        strays += unnamed(connection, table, storage, some, neighbours)
    return strays


def _scan(keeper: Any) -> Iterable[str]:
    # that of CKAN 2.12's own storages leaves out what begins with a dot
    is_local = isinstance(keeper, FsStorage) and keeper.supports(Capability.SCAN)
    return scan_folder(keeper) if is_local else keeper.scan()


def _is_text(storage: str, location: str) -> bool:
    try:
        location.encode()
    except UnicodeEncodeError:  # what a folder's bytes become that are no UTF-8
        log.warning("Storage %s has what no row can name: %a", storage, location)
        return False
    return True


def unnamed(
    connection: Connection,
    table: sa.Table,
    storage: str,
    locations: Sequence[str],
    neighbours: OverlappingStorages,
) -> list[str]:
    """Return those locations that no row names, whatever storage it is in."""
    places = {
        location: [_normal(Place(storage, location)), *neighbours.places(location)]
        for location in locations
    }
    wanted = [place for some in places.values() for place in some]
    found = _named(connection, table, wanted)
    rest = {location: some for location, some in places.items() if not found.intersection(some)}
    if rest and isinstance(get_storage(storage), FsStorage):
        # most often there is nothing left that all those rows would have to be read for
        found = _named_otherwise(connection, table, {place.storage for place in wanted})
    return [location for location, some in rest.items() if not found.intersection(some)]


def _named(connection: Connection, table: sa.Table, places: Iterable[Place]) -> set[Place]:
    statement = sa.text(f"""
        SELECT storage, location
        FROM unnest(CAST(:storages AS text[]), CAST(:locations AS text[]))
            AS place (storage, location)
            JOIN {table} USING (storage, location)
    """)
    values = {
        "storages": literal(place.storage for place in places),
        "locations": literal(place.location for place in places),
    }
    return {Place(*row) for row in connection.execute(statement, values)}


def _named_otherwise(
    connection: Connection, table: sa.Table, storages: Iterable[str]
) -> set[Place]:
    """Return what rows name by a path such as ``./a``: ``file_register`` keeps what it is given."""
    columns = table.c
    statement = sa.select(columns.storage, columns.location).where(
        columns.storage.in_(storages),
        columns.location.contains("/"),  # spares the slower question for most
        columns.location.op("~")(_NOT_NORMAL),
    )
    return {_normal(Place(*row)) for row in connection.execute(statement)}


def _normal(place: Place) -> Place:
    """Return a place in a folder as a scan calls it; others have no two names for one."""
    keeper = get_storage(place.storage)
    if not isinstance(keeper, FsStorage):
        return place
    try:
        path = keeper.full_path(Location(place.location))
    except exc.LocationError:
        return place
    return Place(place.storage, os.path.relpath(path, keeper.settings.path))


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
