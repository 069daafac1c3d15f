"""Taking over the tables of ckanext-files 1.x.

All rows stay where they are. One transaction repairs everything that differs
from our tables. It changes nothing when there is a difference that it cannot
repair.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ckanext.files import capabilities
from ckanext.files.errors import FilesError
from ckanext.files.search import create_indexes

from .table_check import TABLES, Step, TableCheck, check_tables
from .table_locks import lock_tables


class StepFailedError(FilesError):
    """PostgreSQL has refused a change of the tables, and so all changes are rolled back."""


def tables_exist(engine: Engine) -> bool:
    """Return whether the database has any of the tables."""
    inspector: Any = sa.inspect(engine)
    return any(inspector.has_table(table.name) for table in TABLES)


def look_at_tables(engine: Engine) -> TableCheck:
    """Return what there is to do. Nothing is changed."""
    with engine.connect() as connection:
        return check_tables(connection)


def adapt_tables(engine: Engine) -> TableCheck:
    """Make the tables like ours, unless there is an obstacle.

    :returns: what was done, or the obstacles.
    :raises TablesInUseError: the portal is running, and uses files.
    :raises StepFailedError: PostgreSQL refuses a change for a reason that
        :mod:`.table_check` does not look for.
    """
    check = look_at_tables(engine)
    if check.obstacles or not check.steps:
        return check
    with engine.begin() as connection:
        names = ", ".join(table.name for table in TABLES)
        lock = f"{names} IN ACCESS EXCLUSIVE MODE"
        lock_tables(connection, [lock], "stop CKAN, or try again")
        # again, because the lock now keeps others from changing the tables
        check = check_tables(connection)
        if not check.obstacles:
            for step in check.steps:
                _take(connection, step)
            if not capabilities.CORE_FILES:
                create_indexes(connection)
    return check


def _take(connection: Connection, step: Step) -> None:
    try:
        connection.execute(sa.text(step.statement))
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise StepFailedError(
            f"PostgreSQL has refused to {step.text}: {reason}. Nothing has been changed."
        ) from error
