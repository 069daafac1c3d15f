"""Removing bytes, unless a row names them.

Works for any table of files that has a unique index on storage and location.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from ckan.model.types import make_uuid
from file_keeper import FileData
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine

_WAIT = sa.text("SELECT set_config('lock_timeout', :patience, true)")


def remove_unnamed(
    engine: Engine, table: sa.Table, storage: str, keeper: Any, data: FileData, patience: str
) -> bool:
    """Remove bytes whose location no row names; tell whether there were any.

    The location is taken by a row of our own while they are removed. PostgreSQL
    lets us wait for whoever has taken it before and has not committed yet, and
    lets those wait who want it now.

    :param keeper: what the table calls ``storage``.
    :param patience: how long to wait for the others, such as ``10s``.
    """
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(_WAIT, {"patience": patience})
        is_free = connection.execute(take(table, storage, str(data.location))).scalar()
        removed = bool(is_free and keeper.remove(data))
        transaction.rollback()
    return removed


def take(table: sa.Table, storage: str, location: str) -> Any:
    """Return a statement that gives a location a row without a file, and returns its id.

    It returns none if there is a row; it waits for who may commit one.
    """
    nothing = {"size": 0, "hash": "", "algorithm": "", "content_type": "", "name": location}
    values = {"id": make_uuid(), "storage": storage, "location": location, **nothing}
    insert = postgresql.insert(table).values({**values, "storage_data": {}, "plugin_data": {}})
    return insert.on_conflict_do_nothing().returning(table.c.id)
