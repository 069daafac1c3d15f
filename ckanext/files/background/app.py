"""Procrastinate's app and its shell, on CKAN's own session.

A job that is deferred is a row of the current transaction of ``ckan.model.Session``:
other connections see it after that commits, and only then. Within an action that
carries a task queue it starts the hold, so it shares the action's one commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from ckan import model
from procrastinate import App
from procrastinate.contrib.sqlalchemy.psycopg2_connector import (
    PERCENT_PATTERN,
    SQLAlchemyPsycopg2Connector,
    wrap_exceptions,
)
from procrastinate.shell import ProcrastinateShell
from procrastinate.sql import queries

from ckanext.files.transaction import current_block

from . import schema
from .sql import qualified


class SessionConnector(SQLAlchemyPsycopg2Connector):
    """Runs queries on the connection of this thread's session, and commits nothing.

    The async methods do the same: the session belongs to the thread, and a query
    that waited for the event loop could come after the session's commit.
    """

    def open(self, engine: Any = None) -> None:
        """Do nothing: CKAN opens the session."""

    def close(self) -> None:
        """Do nothing: CKAN closes the session."""

    async def open_async(self, pool: Any = None) -> None:
        """As :meth:`open`."""

    async def close_async(self) -> None:
        """As :meth:`close`."""

    def execute_query(self, query: str, **arguments: Any) -> None:
        self._run(lambda *_: None, query, arguments)

    def execute_query_one(self, query: str, **arguments: Any) -> Any:
        return self._run(lambda result: result.mappings().fetchone(), query, arguments)

    def execute_query_all(self, query: str, **arguments: Any) -> Any:
        return self._run(lambda result: result.mappings().all(), query, arguments)

    async def execute_query_async(self, query: str, **arguments: Any) -> None:
        self.execute_query(query, **arguments)

    async def execute_query_one_async(self, query: str, **arguments: Any) -> Any:
        return self.execute_query_one(query, **arguments)

    async def execute_query_all_async(self, query: str, **arguments: Any) -> Any:
        return self.execute_query_all(query, **arguments)

    def _run(self, read: Callable[[Any], Any], query: str, arguments: dict[str, Any]) -> Any:
        connection = held_connection()
        statement = PERCENT_PATTERN.sub("%%", qualified(query))
        # a caller that catches the error must be able to go on with its transaction
        savepoint = nullcontext() if _cannot_clash(query, arguments) else connection.begin_nested()
        with wrap_exceptions(), savepoint:
            return read(connection.exec_driver_sql(statement, self._wrap_json(arguments)))


def held_connection() -> Any:
    """Return the session's connection, for a statement that shares the session's commit."""
    block = current_block()
    if block is not None:
        block.require_commit()
    session = model.Session()
    session.flush()
    return session.connection()


def _cannot_clash(query: str, arguments: dict[str, Any]) -> bool:
    return query == queries["defer_jobs"] and not any(
        job.queueing_lock is not None for job in arguments["jobs"]
    )


app = App(connector=SessionConnector())
"""Holds the schedules, and writes jobs through CKAN's session."""


class Shell(ProcrastinateShell):
    """Commits the changes of each of its commands."""

    intro = "Procrastinate's shell on the jobs of this portal. Type help or ? to list commands.\n"
    prompt = "background> "

    def onecmd(self, line: str) -> bool:
        try:
            return bool(super().onecmd(line))
        finally:
            model.Session.commit()

    def async_to_sync(self, coro: Any, **kwargs: Any) -> Any:
        # in this thread, because the session belongs to it
        return asyncio.run(coro(**kwargs))

    def emptyline(self) -> bool:
        return False


def run_shell() -> None:
    """Read commands from stdin until it ends.

    :raises NotInstalledError: the tables are missing.
    """
    schema.check(model.Session.connection())
    Shell(app.job_manager).cmdloop()
