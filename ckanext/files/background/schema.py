"""The PostgreSQL schema of background tasks: Procrastinate's tables, and our own.

``ckan db clean`` fails on tables that it does not know, so the tables have a schema
of their own. No search path contains it: queries name it, and its functions set
their own path. Only :func:`install` and :func:`ensure` create it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ckan import model
from procrastinate.schema import SchemaManager

from ckanext.files import advisory_locks

from .errors import NotInstalledError
from .sql import SCHEMA, query, scripts

_MISSING = "The tables of background tasks are missing. Run: ckan files background init"

_UNDEFINED = {"3F000", "42704", "42883", "42P01"}
"""PostgreSQL's codes for a missing schema, type, function or table."""


def install(engine: Any) -> bool:
    """Create or update the schema in one transaction; return whether it was created.

    Safe to call again, and by several processes at once.
    """
    tables, functions = scripts()
    with engine.begin() as connection:
        connection.execute(query("lock_installation"), {"key": advisory_locks.INSTALLATION})
        made = not _is_installed(connection)
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
        if made:
            _run(connection, SchemaManager.get_schema())
        elif not _is_current(connection):
            # REPLACE would keep functions that are gone, and refuses new names of parameters
            for function in _functions(connection, own=True):
                connection.exec_driver_sql(f"DROP FUNCTION {function}")
        _run(connection, tables)
        _migrate(connection, made)
        _run(connection, functions)
        for function in _functions(connection):
            # again after each migration: CREATE OR REPLACE removes the setting
            connection.exec_driver_sql(
                f"ALTER FUNCTION {function} SET search_path = {SCHEMA}, pg_temp"
            )
    return made


def ensure(engine: Any) -> None:
    """Create or update the schema, unless it is up to date."""
    with engine.connect() as connection:
        try:
            check(connection)
            return
        except NotInstalledError:
            pass
    install(engine)


def connection() -> Any:
    """Return the connection of CKAN's session, after a check that the tables are there.

    :raises NotInstalledError: they are missing or out of date.
    """
    found: Any = model.Session.connection()
    check(found)
    return found


def check(connection: Any) -> None:
    """Refuse a schema that is missing or out of date.

    :raises NotInstalledError: it is.
    """
    if not _is_installed(connection):
        raise NotInstalledError(_MISSING)
    if not _is_current(connection):
        raise NotInstalledError(
            "The tables of background tasks belong to another version. "
            "Stop the workers and run: ckan files background init"
        )


@contextmanager
def explained() -> Iterator[None]:
    """Raise an error with the command to run where an error inside means that tables are missing.

    :raises NotInstalledError: in place of that error of Procrastinate, SQLAlchemy or the driver.
    """
    try:
        yield
    except Exception as error:
        causes = (error, error.__cause__, getattr(error.__cause__, "orig", None))
        codes = {getattr(cause, "pgcode", None) for cause in causes}
        if codes & _UNDEFINED:
            raise NotInstalledError(_MISSING) from error
        raise


def _is_installed(connection: Any) -> bool:
    return connection.execute(query("is_installed")).scalar()


def _is_current(connection: Any) -> bool:
    return tuple(connection.execute(query("installed_version")).one()) == _version()


def _functions(connection: Any, own: bool = False) -> list[str]:
    """Return the signatures of the functions in the schema, of all or only of our own."""
    rows = connection.execute(query("all_functions"), {"schema": SCHEMA})
    return [row.function for row in rows if row.own or not own]


def _migrate(connection: Any, made: bool) -> None:
    """Apply Procrastinate's migrations that are newer than the tables."""
    if not made:
        last = connection.execute(query("installed_version")).one().procrastinate
        for migration in _migrations():
            if migration.name > last:
                _run(connection, migration.read_text())
    connection.execute(query("forget_version"))
    procrastinate, own = _version()
    connection.execute(query("set_version"), {"procrastinate": procrastinate, "own": own})


@cache
def _migrations() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


@cache
def _version() -> tuple[str, str]:
    """Return the last migration of Procrastinate, and a checksum of our own scripts."""
    return _migrations()[-1].name, hashlib.sha256("".join(scripts()).encode()).hexdigest()


def _run(connection: Any, script: str) -> None:
    # the driver reads a single % as a parameter
    connection.exec_driver_sql(script.replace("%", "%%"))
