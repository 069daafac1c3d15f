"""The PostgreSQL schema of background tasks: Procrastinate's tables, and our own.

``ckan db clean`` fails on tables that it does not know, so the tables have a schema
of their own. No search path contains it: queries name it, and its functions set
their own path. Only :func:`install` and :func:`ensure` create it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from procrastinate.schema import SchemaManager

from .errors import NotInstalledError

SCHEMA = "ckanext_files_background"

_LOCK = 7_107_000
"""Key of the advisory lock: one process installs at a time."""

_MISSING = "The tables of background tasks are missing. Run: ckan files background init"

_UNDEFINED = {"3F000", "42704", "42883", "42P01"}
"""PostgreSQL's codes for a missing schema, type, function or table."""

_TABLES = "tables.sql"
_FUNCTIONS = "functions.sql"

_ALL_FUNCTIONS = sa.text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p"
    " WHERE p.pronamespace = CAST(:name AS regnamespace)"
)


def install(engine: Any) -> bool:
    """Create or update the schema in one transaction; return whether it was created.

    Safe to call again, and by several processes at once.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        made = not _is_installed(connection)
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
        if made:
            _run(connection, SchemaManager.get_schema())
        _run(connection, _own(_TABLES))
        _migrate(connection, made)
        _run(connection, _own(_FUNCTIONS))
        for function in connection.execute(_ALL_FUNCTIONS, {"name": SCHEMA}).scalars().all():
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


def check(connection: Any) -> None:
    """Refuse a schema that is missing or out of date.

    :raises NotInstalledError: it is.
    """
    if not _is_installed(connection):
        raise NotInstalledError(_MISSING)
    query = sa.text(f"SELECT * FROM {SCHEMA}.files_version")
    if tuple(connection.execute(query).one()) != (_migrations()[-1].name, _own_version()):
        raise NotInstalledError(
            "The tables of background tasks are those of another version. "
            "Stop the workers and run: ckan files background init"
        )


def explain(error: Exception) -> Exception:
    """Return the error for the caller in place of one of the database."""
    code = getattr(getattr(error.__cause__, "orig", None), "pgcode", None)
    return NotInstalledError(_MISSING) if code in _UNDEFINED else error


def _is_installed(connection: Any) -> bool:
    query = sa.text("SELECT to_regclass(:table)")
    return connection.execute(query, {"table": f"{SCHEMA}.files_version"}).scalar() is not None


def _migrate(connection: Any, made: bool) -> None:
    """Apply Procrastinate's migrations that are newer than the tables."""
    migrations = _migrations()
    if not made:
        last = connection.execute(sa.text("SELECT procrastinate FROM files_version")).scalar()
        for migration in migrations:
            if migration.name > last:
                _run(connection, migration.read_text())
    connection.execute(sa.text("DELETE FROM files_version"))
    connection.execute(
        sa.text("INSERT INTO files_version (procrastinate, own) VALUES (:last, :own)"),
        {"last": migrations[-1].name, "own": _own_version()},
    )


@cache
def _migrations() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


@cache
def _own_version() -> str:
    text = _own(_TABLES) + _own(_FUNCTIONS)
    return hashlib.sha256(text.encode()).hexdigest()


def _own(name: str) -> str:
    return (Path(__file__).parent / "sql" / name).read_text()


def _run(connection: Any, script: str) -> None:
    # the driver reads a single % as a parameter
    connection.exec_driver_sql(script.replace("%", "%%"))
