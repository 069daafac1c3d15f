"""One transaction at a time changes what a storage has at a location.

CKAN 2.12 looks for a row with the location, stores the bytes, and only then inserts its row. Two
transactions at once would both find no row. The one that stores later would overwrite the bytes of
the other, whose row may be the one that is committed. So each transaction that stores or removes
bytes, or makes a row for bytes that are there, first takes the lock of the location, and looks for
a row after that.

Locations share a few thousand locks, so that a transaction with many files does not use up the
memory that PostgreSQL has for the locks of all sessions. Two locations with one lock only wait for
each other.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from ckanext.files.advisory_locks import LOCATIONS, lock_text, try_to_lock_text
from ckanext.files.errors import FilesError
from ckanext.files.transaction.connection import LastingConnection

PATIENCE = 10.0
"""Seconds to wait for another transaction, which may have to copy a large file."""

_PAUSE = 0.05

_LOCKS = 4096
"""PostgreSQL has memory for at least 6400 locks by default: 64 for each of 100 connections."""

_CHOICES = 5
"""How often a storage may choose another location because the last one was taken meanwhile."""

_WAITERS = 4
"""How many transactions of this process may wait. Each keeps a connection of the pool, which other
requests need."""

_places_to_wait = threading.Semaphore(_WAITERS)


def _reset_after_fork() -> None:
    # threads that wait, and give their places back, are not in the fork
    global _places_to_wait
    _places_to_wait = threading.Semaphore(_WAITERS)


os.register_at_fork(after_in_child=_reset_after_fork)

_committed = LastingConnection()
"""Sees what is committed. The own transaction does not see any more what it has deleted."""


class LocationBusyError(FilesError):
    """The lock of the location cannot be had now, and may be had later."""


def lock_location(session: Session, storage: str, location: str) -> None:
    """Keep other transactions from a location until this one ends.

    It polls. If it waited within PostgreSQL, two transactions that lock two locations in opposite
    order would deadlock, and PostgreSQL would abort one of them.

    :raises LocationBusyError: another transaction has the location, and does not end soon, or too
        many transactions wait already. The caller's can go on.
    """
    text = _lock_of(storage, location)
    if try_to_lock_text(session, LOCATIONS, text):
        return
    if not _places_to_wait.acquire(blocking=False):
        raise LocationBusyError(location)
    try:
        end = time.monotonic() + PATIENCE
        while not try_to_lock_text(session, LOCATIONS, text):
            if time.monotonic() > end:
                raise LocationBusyError(location)
            time.sleep(_PAUSE)
    finally:
        _places_to_wait.release()


def lock_chosen_location(
    session: Session, name: str, storage: Any, file_name: str, upload: Any
) -> Any:
    """Lock the location that a storage chooses for an upload.

    :param name: name of the storage, as in the table.
    :returns: the location; None if the storage chooses another one each time. Then no two files
        share one, and there is nothing to lock.
    :raises LocationBusyError: as :func:`lock_location`.
    """
    location = storage.prepare_location(file_name, upload)
    if storage.prepare_location(file_name, upload) != location:
        return None
    for _ in range(_CHOICES):
        lock_location(session, name, location)
        # a storage may choose what is free, and another transaction may just have taken it
        chosen = storage.prepare_location(file_name, upload)
        if chosen == location:
            return location
        location = chosen
    raise LocationBusyError(location)


def wait_for_location(connection: Connection, storage: str, location: str) -> None:
    """Take the lock of a location, waiting within PostgreSQL.

    The transaction either holds this lock already, or holds no other lock of a location and has a
    ``lock_timeout``.
    """
    lock_text(connection, LOCATIONS, _lock_of(storage, location))


def _lock_of(storage: str, location: str) -> str:
    """Return which of the locks a location has."""
    place = f"{storage}/{location}".encode(errors="replace")
    return str(zlib.crc32(place) % _LOCKS)


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
