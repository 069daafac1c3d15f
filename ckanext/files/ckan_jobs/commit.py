"""Which commit a change of jobs belongs to.

With RQ a job exists as soon as it is asked for, and its users never had to commit. But a
worker must not see a job before the change that it is about. So the session decides:

- In a frame or in a step of a job, and in a session that has changed something, the change
  of jobs is written by the session's next commit, and a rollback takes both back. If no
  commit comes, the log names the line of code.
- In a session that has written nothing it is committed at once, over a connection of its own.
- Likewise in a session whose transaction has failed: it can carry nothing any more, and its
  code is perhaps reporting that.

PostgreSQL knows best whether a transaction has changed something: it has an id then. Locks
of rows count, advisory locks and sequences do not.

The own connection is one for the process, beside CKAN's pool: a thread that waited for
another connection of the pool while it has one could wait for itself. It commits each
statement. A statement that has to wait for another transaction, which writes a job with the
same id, gets a connection for itself: other threads do not wait.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from ckan import model
from ckan.lib import jobs
from ckan.model import meta
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy.exc import DBAPIError

from ckanext.files.background import schema
from ckanext.files.transaction import current_block, on_rollback, request_commit
from ckanext.files.transaction.connection import LastingConnection, connect

from .errors import JobLockedError

log = logging.getLogger(jobs.__name__)

Rows = Sequence[tuple[Any, ...]]

_BETWEEN = ("ckan.lib.jobs", "rq", __package__ or "")
"""Packages between code that asks for a job and this one."""

_MOST_PATIENCE = "30s"
"""How long a statement waits for the transaction of another one: requests wait with it."""

_HAS_ID = "SELECT txid_current_if_assigned() IS NOT NULL"


def write(query: str, values: Mapping[str, Any], what: str | None = None) -> Rows:
    """Run a statement that changes jobs, by the rule above; return its rows.

    :param what: what the log calls lost if no commit comes, or rolled back, such as ``Job ...``.
    :raises NotInstalledError: the tables are missing.
    :raises JobLockedError: another transaction has changed the job, and does not end.
    """
    session, block = model.Session(), current_block()
    if _has_failed(session) or not (block or _has_changes(session)):
        return _own.run(query, values)
    rows = _run_in(session, query, values)
    if what and rows and rows[0][0] not in (None, 0):  # it has changed something
        request_commit(what, *_BETWEEN)
        # CKAN has logged a job as added by then
        on_rollback(partial(log.info, "%s is not written: its transaction was rolled back", what))
    elif block:
        block.require_commit()
    return rows


def read(query: str, values: Mapping[str, Any]) -> Rows:
    """Run a query that sees the changes of the session, too; return its rows.

    Where no transaction is open it opens none: callers that only look need not end one.

    :raises NotInstalledError: the tables are missing.
    """
    session = model.Session()
    if _has_failed(session) or not (current_block() or session.in_transaction()):
        return _own.run(query, values)
    return _run_in(session, query, values)


def _has_failed(session: Any) -> bool:
    """Return whether the session's transaction can only be rolled back, or is being ended."""
    if not session.is_active:
        return True
    if not session.in_transaction():
        return False
    connection = session.connection()
    if connection.invalidated:  # SQLAlchemy knows that it is lost
        return True
    driver = connection.connection.dbapi_connection
    return driver.closed or driver.get_transaction_status() == TRANSACTION_STATUS_INERROR


def _has_changes(session: Any) -> bool:
    if session.new or session.deleted or any(map(session.is_modified, session.dirty)):
        return True
    if not session.in_transaction():
        return False
    [(has_id,)] = _run_in(session, _HAS_ID, {})
    return has_id


def _run_in(session: Any, query: str, values: Mapping[str, Any]) -> Rows:
    """Run a query in the session's transaction. SQLAlchemy has to see what fails there."""
    with schema.explained():
        try:
            return session.connection().exec_driver_sql(query, dict(values)).all()
        except DBAPIError as error:
            error.hide_parameters = True  # they have the arguments of the job: not for a log
            raise


class _OwnConnection(LastingConnection):
    """A connection that threads share, one statement at a time.

    Where the server has ended it meanwhile, it runs the statement again, as :mod:`.store` allows.
    """

    lock_timeout = "20ms"

    def run(self, query: str, values: Mapping[str, Any]) -> Rows:
        """Run a statement; return its rows."""
        try:
            return self.fetch_all(meta.engine, query, values)
        except LockNotAvailable:
            return _wait(query, values)

    def _run(self, engine: Any, query: str, values: Mapping[str, Any]) -> list[Any]:
        with schema.explained():
            return super()._run(engine, query, values)


def _wait(query: str, values: Mapping[str, Any]) -> Rows:
    """Run a statement over a connection of its own; return its rows.

    :raises JobLockedError: the other transaction does not end.
    """
    with closing(connect(meta.engine)) as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = %s", (_MOST_PATIENCE,))
        try:
            cursor.execute(query, values)
        except LockNotAvailable as error:
            raise JobLockedError(
                f"Another transaction has changed this job, and has not ended for {_MOST_PATIENCE}."
                " If it is the session's own, and a part of it has failed: call rollback() before"
            ) from error
        return cursor.fetchall()


_own = _OwnConnection()
