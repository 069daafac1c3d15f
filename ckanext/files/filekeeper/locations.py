"""One transaction at a time changes what a storage has at a location.

CKAN 2.12 looks for a row with the location, stores the bytes, and only then inserts its row. Two
transactions at once would both find no row. The one that stores later would overwrite the bytes of
the other, whose row may be the one that is committed. So each transaction that stores or removes
bytes, or makes a row for bytes that are there, first takes the lock of the location, and looks for
a row after that.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from ckanext.files.advisory_locks import LOCATIONS, lock_text, try_to_lock_text
from ckanext.files.errors import FilesError
from ckanext.files.transaction.connection import LastingConnection

PATIENCE = 10.0
"""Seconds to wait for another transaction, which may have to copy a large file."""

_PAUSE = 0.05

_committed = LastingConnection()
"""Sees what is committed. The own transaction does not see any more what it has deleted."""


class LocationBusyError(FilesError):
    """Another transaction stores or removes bytes at the location, and has not ended yet."""


def lock_location(session: Session, storage: str, location: str) -> None:
    """Keep other transactions from a location until this one ends.

    It polls. If it waited within PostgreSQL, two transactions that lock two locations in opposite
    order would deadlock, and PostgreSQL would abort one of them.

    :raises LocationBusyError: another transaction has the location. The caller's can go on.
    """
    end = time.monotonic() + PATIENCE
    while not try_to_lock_text(session, LOCATIONS, _text(storage, location)):
        if time.monotonic() > end:
            raise LocationBusyError(location)
        time.sleep(_PAUSE)


def wait_for_location(connection: Connection, storage: str, location: str) -> None:
    """Take the lock of a location, waiting within PostgreSQL.

    The transaction either holds this lock already, or holds no other lock of a location and has a
    ``lock_timeout``.
    """
    lock_text(connection, LOCATIONS, _text(storage, location))


def _text(storage: str, location: str) -> str:
    return f"{storage}/{location}"


def has_committed_row(session: Session, table: sa.Table, storage: str, location: str) -> bool:
    """Return whether a file has a location, even if this transaction has deleted it.

    A rollback brings that file back, and it needs its bytes.
    """
    # not by a second connection of the pool: as many uploads as it has connections, each with its
    # own transaction, would wait for each other
    place = {"storage": storage, "location": location}
    query = (
        f"SELECT EXISTS (SELECT FROM {table}"
        " WHERE storage = %(storage)s AND location = %(location)s)"
    )
    [(found,)] = _committed.fetch_all(session.get_bind().engine, query, place)
    return found
