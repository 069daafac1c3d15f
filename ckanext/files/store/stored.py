"""Where the files of the tables are said to be, and whether they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .arrays import literal
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

    An upload that is under way is one of them until it is committed.

    :param storage: name of one that can be scanned.
    """
    strays: list[str] = []
    locations = iter(get_storage(storage).scan())
    named = sa.text(
        f"SELECT location FROM {table}"
        " WHERE storage = :storage AND location = ANY (CAST(:locations AS text[]))"
    )
    while some := [str(location) for location in islice(locations, _ROWS_AT_ONCE)]:
        values = {"storage": storage, "locations": literal(some)}
        found = {location for (location,) in connection.execute(named, values)}
        strays += [location for location in some if location not in found]
    return strays


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
