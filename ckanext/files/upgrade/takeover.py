"""Take over the tables of ckanext-files 1.x.

Its rows stay where they are. What differs from our tables is put right in one
transaction, or, when something is not understood, nothing is changed at all.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from ckanext.files.errors import FilesError

from .table_check import TABLES, Step, TableCheck, check_tables

_SECONDS_TO_WAIT = 10


class TablesInUseError(FilesError):
    """Somebody works with the tables, so that they cannot be changed."""


class StepFailedError(FilesError):
    """PostgreSQL has refused a change of the tables, and all others with it."""


def are_there(engine: Engine) -> bool:
    """Tell whether there is any of the tables."""
    inspector: Any = sa.inspect(engine)
    return any(inspector.has_table(table.name) for table in TABLES)


def look_at_tables(engine: Engine) -> TableCheck:
    """Say what there is to do, and change nothing."""
    with engine.connect() as connection:
        return check_tables(connection)


def adapt_tables(engine: Engine) -> TableCheck:
    """Make the tables what they should be, unless something stands in the way.

    :returns: what was done, or stands in the way.
    :raises TablesInUseError: the portal is running, and busy with files.
    :raises StepFailedError: something that was not looked at forbids a change.
    """
    check = look_at_tables(engine)
    if check.obstacles or not check.steps:
        return check
    with engine.begin() as connection:
        _lock(connection)
        # once more, now that nobody else can change anything
        check = check_tables(connection)
        if not check.obstacles:
            for step in check.steps:
                _take(connection, step)
    return check


def _lock(connection: Connection) -> None:
    names = ", ".join(table.name for table in TABLES)
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_SECONDS_TO_WAIT}s'"))
    try:
        connection.execute(sa.text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
    except OperationalError as error:
        raise TablesInUseError(
            f"The tables of files were in use for {_SECONDS_TO_WAIT} seconds: stop CKAN, or try "
            "again. Nothing has been changed."
        ) from error


def _take(connection: Connection, step: Step) -> None:
    try:
        connection.execute(sa.text(step.statement))
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise StepFailedError(
            f"PostgreSQL has refused to {step.text}: {reason}. Nothing has been changed."
        ) from error
