"""Where the files of the tables are said to be, and whether they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .arrays import literal
from .neighbours import Neighbours, Place
from .storages import Capability, FileData, exc, get_storage, is_configured

_ROWS_AT_ONCE = 1000


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
    in the folder of another storage, or of CKAN itself, is none.

    :param storage: name of one that can be scanned.
    """
    strays: list[str] = []
    neighbours = Neighbours(storage)
    locations = filter(neighbours.own, map(str, get_storage(storage).scan()))
    while some := list(islice(locations, _ROWS_AT_ONCE)):
        strays += unnamed(connection, table, storage, some, neighbours)
    return strays


def unnamed(
    connection: Connection,
    table: sa.Table,
    storage: str,
    locations: Sequence[str],
    neighbours: Neighbours,
) -> list[str]:
    """Return those locations that no row names, whatever storage it is in."""
    places = {
        location: [Place(storage, location), *neighbours.places(location)] for location in locations
    }
    wanted = [place for some in places.values() for place in some]
    values = {
        "storages": literal(place.storage for place in wanted),
        "locations": literal(place.location for place in wanted),
    }
    found = {Place(*row) for row in connection.execute(_named(table), values)}
    return [location for location, some in places.items() if not found.intersection(some)]


def _named(table: sa.Table) -> Any:
    return sa.text(f"""
        SELECT storage, location
        FROM unnest(CAST(:storages AS text[]), CAST(:locations AS text[]))
            AS place (storage, location)
            JOIN {table} USING (storage, location)
    """)


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
