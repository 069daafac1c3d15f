"""Database connections beside the sessions of CKAN."""

from __future__ import annotations

from typing import Any


def connect(engine: Any) -> Any:
    """Return a new connection of the driver that commits each statement.

    CKAN's engine knows how to reach the database. The connection does not count in
    the engine's pool, which may be exhausted, or full of dead connections after the
    server was away.
    """
    pooled = engine.pool.recreate().connect()
    connection: Any = pooled.dbapi_connection
    pooled.detach()
    connection.rollback()
    connection.autocommit = True
    return connection
