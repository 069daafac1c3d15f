"""Remove bytes that no row names.

Rows and bytes have no common commit. Bytes are therefore stored before the commit of their row, and
removed after the commit that deletes the row. A crash in between leaves bytes without a row, never
a row without bytes.

What cannot be removed then, because the location is busy or the storage fails, is left to a job of
:class:`IRemovalJobs`.

Works for any table of files that has a unique index on storage and location.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from typing import Any

import ckan.plugins as p
import sqlalchemy as sa
from ckan.model.types import make_uuid
from file_keeper import FileData, exc
from psycopg2.errors import LockNotAvailable
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ckanext.files.transaction import after_commit, on_rollback

from .locations import wait_for_location

LOCK_TIMEOUT = "10s"
"""How long a removal waits for transactions that have locked the location and do not commit.

One of them can be the caller's own transaction, when it has rolled back to a savepoint.
"""

SHORT_LOCK_TIMEOUT = "1s"
"""How long it waits right after a commit or rollback, if a job can remove the bytes later."""

log = logging.getLogger(__name__)

_SET_TIMEOUT = sa.text("SELECT set_config('lock_timeout', :timeout, true)")


class IRemovalJobs(p.Interface):
    """Implemented by the plugin ``files_background``."""

    def write_removal_job(self, storage: str, data: FileData) -> bool:
        """Commit a job that removes bytes unless a row names them; return False if none can.

        The caller's session may have an open transaction, which stays as it is. An error is logged.
        """
        return False


def remove_unless_committed(
    session: Session, table: sa.Table, name: str, storage: Any, data: FileData
) -> None:
    """Remove bytes that were just stored if the transaction rolls their row back."""
    engine = session.get_bind().engine
    on_rollback(functools.partial(remove_or_log, engine, table, name, storage, data))


def remove_when_committed(
    session: Session, table: sa.Table, name: str, storage: Any, data: FileData
) -> None:
    """Remove bytes after the commit that deletes their row."""
    engine = session.get_bind().engine
    after_commit(functools.partial(remove_or_log, engine, table, name, storage, data))


def remove_or_log(engine: Engine, table: sa.Table, name: str, storage: Any, data: FileData) -> None:
    """Remove bytes that no row names, now or by a job; log an error, and bytes that stay."""
    try:
        _remove_now_or_by_job(engine, table, name, storage, data)
    except Exception:
        # an error could undo nothing: the transaction has ended
        log.exception("Storage %s keeps what no row names: %s", name, data.location)


def _remove_now_or_by_job(
    engine: Engine, table: sa.Table, name: str, storage: Any, data: FileData
) -> None:
    plugins = list(p.PluginImplementations(IRemovalJobs))
    timeout = SHORT_LOCK_TIMEOUT if plugins else LOCK_TIMEOUT
    try:
        remove_unnamed(engine, table, name, storage, data, timeout)
    except Exception as error:
        if _write_job(plugins, name, data, error):
            log.warning("A job will remove %s from storage %s: %s", data.location, name, error)
        elif plugins and _is_busy(error):
            remove_unnamed(engine, table, name, storage, data)  # waits as long as without them
        else:
            raise


def _is_busy(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and isinstance(error.orig, LockNotAvailable)


def _write_job(
    plugins: Iterable[IRemovalJobs], name: str, data: FileData, error: Exception
) -> bool:
    if isinstance(error, exc.LocationError):  # it would fail again
        return False
    try:
        return any(plugin.write_removal_job(name, data) for plugin in plugins)
    except Exception:
        log.warning("No job removes %s from storage %s", data.location, name, exc_info=True)
        return False


def remove_unnamed(
    engine: Engine,
    table: sa.Table,
    name: str,
    storage: Any,
    data: FileData,
    lock_timeout: str | None = None,
) -> bool:
    """Remove bytes whose location no row names; return whether there were any.

    It waits for transactions that have locked the location before and have not committed yet, and
    lets later ones wait. A row of this function's own, which is rolled back, does the same with
    code that inserts a row without the lock.

    :param name: name of the storage, as in the table.
    :param storage: the storage itself.
    :param lock_timeout: in place of :data:`LOCK_TIMEOUT`.
    """
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(_SET_TIMEOUT, {"timeout": lock_timeout or LOCK_TIMEOUT})
        removed = _remove_if_free(connection, table, name, storage, data)
        transaction.rollback()
    return removed


def remove_unnamed_within(
    connection: Connection, table: sa.Table, name: str, storage: Any, data: FileData
) -> bool:
    """Do the same in a transaction of the caller, who has not written a row for the location."""
    savepoint = connection.begin_nested()
    try:
        return _remove_if_free(connection, table, name, storage, data)
    finally:
        savepoint.rollback()


def _remove_if_free(
    connection: Connection, table: sa.Table, name: str, storage: Any, data: FileData
) -> bool:
    location = str(data.location)
    wait_for_location(connection, name, location)
    is_free = connection.execute(reserve(table, name, location)).scalar()
    return bool(is_free and storage.remove(data))


def reserve(table: sa.Table, name: str, location: str) -> Any:
    """Return a statement that inserts a row for a location, without a file, and returns its id.

    The statement waits for other transactions that have inserted a row for the location, and
    returns no id if there is one.
    """
    nothing = {"size": 0, "hash": "", "algorithm": "", "content_type": "", "name": location}
    values = {"id": make_uuid(), "storage": name, "location": location, **nothing}
    insert = postgresql.insert(table).values({**values, "storage_data": {}, "plugin_data": {}})
    return insert.on_conflict_do_nothing().returning(table.c.id)
