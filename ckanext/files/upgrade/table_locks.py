"""Locks on whole tables."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from ckanext.files.errors import FilesError

LOCK_SECONDS = 10
"""How long a lock waits for other transactions."""


class TablesInUseError(FilesError):
    """Another transaction uses the tables, so they cannot be locked."""


def lock_tables(connection: Connection, locks: Iterable[str], advice: str) -> None:
    """Lock tables until the transaction ends, or end it if that takes too long.

    :param locks: tables with the mode of their lock, as in ``LOCK TABLE``.
    :param advice: what the operator can do.
    :raises TablesInUseError: another transaction uses a table.
    """
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    try:
        for lock in locks:
            connection.execute(sa.text(f"LOCK TABLE {lock}"))
    except OperationalError as error:
        if error.connection_invalidated:
            raise  # the session has ended: the tables may be free
        raise TablesInUseError(
            f"The tables of files were in use for {LOCK_SECONDS} seconds. Nothing has been "
            f"changed: {advice}."
        ) from error
