"""Database connections of a worker, beside those of CKAN's sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event


def connect(engine: Any) -> Any:
    """Return a new connection of the driver that commits each statement.

    CKAN's engine knows how to reach the database. Its own pool may have nothing
    but dead connections, after the server was away.
    """
    pooled = engine.pool.recreate().connect()
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
