"""Database connections of a worker, beside those of CKAN's sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event


def connect(engine: Any) -> Any:
    """Return a connection of the driver, out of the pool, that commits each statement.

    CKAN's engine knows how to reach the database.
    """
    pooled = engine.raw_connection()
    connection: Any = pooled.dbapi_connection
    pooled.detach()
    connection.rollback()
    connection.autocommit = True
    return connection


def name_sessions(engine: Any, name: Callable[[], str]) -> None:
    """Have all connections made from now on bear a name, by which they can be found."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('application_name', %s, false)", (name(),))
        connection.commit()
