"""CKAN within a worker process: its request context, its engine and its database sessions."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ckan import model
from ckan.common import config
from flask.ctx import RequestContext
from flask.sessions import SecureCookieSession
from psycopg2 import InterfaceError, OperationalError
from sqlalchemy import engine_from_config, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DisconnectionError

from .execution import Execution, is_conflict
from .slot import Slot

_NAME_OF_SESSIONS = "PGAPPNAME"
"""The library of PostgreSQL reads this variable."""


def request_contexts(flask_app: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Return what makes the request context that CKAN's code expects, for each step a new one.

    :param flask_app: None for no request context.
    """
    if flask_app is None:
        return nullcontext
    with flask_app.test_request_context() as request:
        environ = request.request.environ

    def request_context() -> RequestContext:
        # with an empty session: Flask would read and sign a cookie for each step
        return RequestContext(flask_app, dict(environ), session=SecureCookieSession())

    return request_context


def close_connections() -> None:
    """Close the database connections of this process, so that each fork opens its own.

    Processes that share a connection get each other's answers.
    """
    model.Session.remove()
    # engines of extensions are listed nowhere, such as the datastore's
    for each in gc.get_objects():
        if issubclass(type(each), Engine):  # isinstance() would resolve proxies
            each.dispose()


def new_engine(concurrency: int) -> Any:
    """Give CKAN an engine with a connection for each slot.

    The pool does not test a connection before each step: a step that finds its
    connection dead runs again. For steps that are not atomic :func:`watch_sessions` does so.
    """
    own = {"sqlalchemy.pool_size": concurrency + 3, "sqlalchemy.pool_pre_ping": False}
    before: Any = model.Session.get_bind()
    model.Session.remove()
    before.dispose()
    engine = engine_from_config({**config, **own})
    model.init_model(engine)
    return engine


def name_sessions(engine: Any, name: str) -> None:
    """Give all connections an application name, by which other workers find and end them."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('application_name', %s, false)", (name,))
        connection.commit()

    engine.dispose()


def name_sessions_of_tasks(name: str | None) -> str | None:
    """Give all connections an application name that tasks open by engines of their own.

    :param name: None for none.
    :returns: the name before.
    """
    before = os.environ.pop(_NAME_OF_SESSIONS, None)
    if name is not None:
        os.environ[_NAME_OF_SESSIONS] = name
    return before


def watch_sessions(engine: Any) -> None:
    """Note in each execution its PostgreSQL processes, and their errors."""

    @event.listens_for(engine, "checkout")
    def checked_out(connection: Any, record: Any, proxy: Any) -> None:
        if execution := _current_execution():
            if not execution.atomic:
                _check(connection)
            execution.backend_pids.add(connection.get_backend_pid())

    @event.listens_for(engine, "checkin")
    def checked_in(connection: Any, record: Any) -> None:
        execution = _current_execution()
        if execution and connection and not connection.closed:
            execution.backend_pids.discard(connection.get_backend_pid())

    _watch_errors(engine)


def _check(connection: Any) -> None:
    """Refuse a connection that has died in the pool, so that the pool opens another one.

    :raises DisconnectionError: it is dead.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except (OperationalError, InterfaceError) as error:
        raise DisconnectionError from error


def _watch_errors(engine: Any) -> None:
    @event.listens_for(engine, "handle_error")
    def failed(context: Any) -> None:
        if execution := _current_execution():
            execution.connection_failed |= context.is_disconnect or context.connection is None
            execution.conflicted |= is_conflict(context.original_exception)

    @event.listens_for(engine, "rollback_savepoint")
    def rolled_back(connection: Any, name: str, savepoint: Any) -> None:
        # the step may go on without the conflict; if it does not, its own error shows it
        if execution := _current_execution():
            execution.conflicted = False


def _current_execution() -> Execution | None:
    """Return the step that this thread runs."""
    thread = threading.current_thread()
    return thread.execution if isinstance(thread, Slot) else None
