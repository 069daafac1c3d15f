"""CKAN's engine within a worker, and what its sessions on the server are used for."""

from __future__ import annotations

import gc
import threading
from typing import Any

from ckan import model
from ckan.common import config
from sqlalchemy import engine_from_config, event
from sqlalchemy.engine import Engine

from .slot import Running, Slot, has_clashed


def close_connections() -> None:
    """Close what this process has of connections, so that each fork of it opens its own.

    Processes that share one get each other's answers.
    """
    model.Session.remove()
    # those of extensions are listed nowhere; the datastore uses one when it is loaded
    for each in gc.get_objects():
        if issubclass(type(each), Engine):  # isinstance() would ask what proxies stand for
            each.dispose()


def new_engine(concurrency: int) -> Any:
    """Give CKAN an engine with a connection for each slot.

    Whether one is alive is not asked at each step: a step that finds out that
    it is not runs again.
    """
    own = {"sqlalchemy.pool_size": concurrency + 3, "sqlalchemy.pool_pre_ping": False}
    before: Any = model.Session.get_bind()
    model.Session.remove()
    before.dispose()
    engine = engine_from_config({**config, **own})
    model.init_model(engine)
    return engine


def name_sessions(engine: Any, name: str) -> None:
    """Have all connections bear a name, by which others can find and end them."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('application_name', %s, false)", (name,))
        connection.commit()

    engine.dispose()


def watch_sessions(engine: Any) -> None:
    """Note which sessions of the server a step uses, and what goes wrong with them."""

    @event.listens_for(engine, "checkout")
    def checked_out(connection: Any, record: Any, proxy: Any) -> None:
        if running := _running_here():
            running.pids.add(connection.get_backend_pid())

    @event.listens_for(engine, "checkin")
    def checked_in(connection: Any, record: Any) -> None:
        running = _running_here()
        if running and connection and not connection.closed:
            running.pids.discard(connection.get_backend_pid())

    _watch_errors(engine)


def _watch_errors(engine: Any) -> None:
    @event.listens_for(engine, "handle_error")
    def failed(context: Any) -> None:
        if running := _running_here():
            running.again |= context.is_disconnect or context.connection is None
            running.clashed |= has_clashed(context.original_exception)

    @event.listens_for(engine, "rollback_savepoint")
    def rolled_back(connection: Any, name: str, savepoint: Any) -> None:
        # the step may go on without what has clashed; if not, its error tells
        if running := _running_here():
            running.clashed = False


def _running_here() -> Running | None:
    """Return the step that this thread runs."""
    thread = threading.current_thread()
    return thread.running if isinstance(thread, Slot) else None
