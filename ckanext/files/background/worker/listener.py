"""The notifications that a worker gets: new jobs, jobs to abort, and signals.

The connection also holds the advisory lock that shows other workers that this one
lives: PostgreSQL releases the lock the moment the process dies.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from procrastinate.manager import get_channel_for_queues
from psycopg2 import InterfaceError, OperationalError
from psycopg2.extensions import quote_ident

from ckanext.files import advisory_locks
from ckanext.files.transaction.connection import connect

from ..sql import driver_query
from .queries import application_name

_ATTEMPTS = 50
"""How often a worker tries to take its lock."""

_PAUSE = 0.1
"""Seconds between two attempts."""


class Listener:
    """Waits for notifications of PostgreSQL, and for the worker's own threads."""

    def __init__(self, engine: Any, queues: Sequence[str]) -> None:
        self._engine = engine
        self._channels = get_channel_for_queues(queues or None)
        self._connection: Any = None
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    @property
    def is_open(self) -> bool:
        """Whether it has a connection, which may be lost without its knowledge."""
        return self._connection is not None

    def open(self, worker_id: int) -> None:
        """Connect, also again after the connection was lost.

        :raises psycopg2.OperationalError: the database cannot be reached, or another
            session has the lock of the worker.
        """
        self.close()
        connection = connect(self._engine)
        with connection.cursor() as cursor:
            _take_lock(cursor, worker_id)
            for channel in self._channels:
                cursor.execute(f"LISTEN {quote_ident(channel, cursor)}")
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def poke(self) -> None:
        """End a :meth:`wait`; for signal handlers and other threads."""
        with suppress(BlockingIOError):  # the wait ends anyway
            os.write(self._writing, b"!")

    def wait(self, timeout: float) -> list[dict[str, Any]]:
        """Wait for notifications of Procrastinate, and return them.

        :raises psycopg2.OperationalError: the connection is lost.
        :raises psycopg2.InterfaceError: there is no connection.
        """
        if self._connection is None:
            raise InterfaceError("not connected")
        ready, _, _ = select.select([self._reading, self._connection], [], [], max(0, timeout))
        if self._reading in ready:
            os.read(self._reading, 4096)
        try:
            self._connection.poll()
        except Exception:
            self.close()
            raise
        payloads = [notify.payload for notify in self._connection.notifies]
        self._connection.notifies.clear()
        return [found for payload in payloads if (found := _read(payload))]


def _take_lock(cursor: Any, worker_id: int) -> None:
    """Take the lock that shows that the worker lives.

    After a failure of the network PostgreSQL may keep the session of the last connection for
    hours: this function ends it.

    :raises psycopg2.OperationalError: another session has the lock.
    """
    lock = {"key": advisory_locks.WORKER, "worker": worker_id}
    for _ in range(_ATTEMPTS):
        cursor.execute(driver_query("lock_worker"), lock)
        if cursor.fetchone()[0]:
            return
        cursor.execute(
            driver_query("end_lock_holder"), {**lock, "name": application_name(worker_id)}
        )
        time.sleep(_PAUSE)  # other workers take it for a moment, to see whether it is free
    raise OperationalError(f"The advisory lock of worker {worker_id} is taken")


def _read(payload: str) -> dict[str, Any] | None:
    """Return a notification; None if it is not Procrastinate's: every session may notify."""
    try:
        found = json.loads(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "type" in found else None
