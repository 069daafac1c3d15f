"""Database connections beside the sessions of CKAN."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from psycopg2 import Error
from sqlalchemy.exc import SQLAlchemyError


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


class LastingConnection:
    """The one connection of this process for short statements, beside the engine's pool.

    For code within a transaction, which has a connection of the pool already. Requests that
    wait for a second one of the pool could wait for each other.
    """

    lock_timeout = "10s"
    """How long a statement waits for a lock; all threads wait with it."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._connection: Any = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._abandon)

    def fetch_all(self, engine: Any, query: str, values: Mapping[str, Any]) -> list[Any]:
        """Run a query and commit it; return its rows.

        :raises psycopg2.errors.LockNotAvailable: it has waited for a lock too long.
        """
        with self._lock:
            try:
                return self._run(engine, query, values)
            except (Error, SQLAlchemyError):
                if self._connection and not self._connection.closed:
                    raise
                self._drop()  # it was an old one, of a server that was restarted
                return self._run(engine, query, values)

    def _run(self, engine: Any, query: str, values: Mapping[str, Any]) -> list[Any]:
        with self._connected(engine).cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    def _connected(self, engine: Any) -> Any:
        if self._connection is None or self._engine is not engine:
            self._drop()
            self._open(engine)
        return self._connection

    def _open(self, engine: Any) -> None:
        self._connection, self._engine = connect(engine), engine
        with self._connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = %s", (self.lock_timeout,))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _abandon(self) -> None:
        """Leave the connection to the process that this one was forked from."""
        self._connection = None  # psycopg2 closes only what its own process has opened
        self._lock = threading.Lock()
