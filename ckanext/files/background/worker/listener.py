"""What a worker hears: jobs that were written, jobs that shall end, and signals.

Its connection also holds the advisory lock that tells the others that the
worker lives: PostgreSQL gives that up the moment the process dies.
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

from ckanext.files.transaction.connection import connect

from .queries import ALIVE, application_name

_ATTEMPTS = 50
_PAUSE = 0.1
"""Seconds between them."""

_LAST = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %(key)s AND objid = %(id)s AND objsubid = 2
      AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND application_name = %(name)s AND pid <> pg_backend_pid()
"""


class Listener:
    """Listens to PostgreSQL and to the worker's own threads."""

    def __init__(self, engine: Any, queues: Sequence[str]) -> None:
        self._engine = engine
        self._channels = get_channel_for_queues(queues or None)
        self._connection: Any = None
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    @property
    def is_open(self) -> bool:
        """Whether it listens, as far as it knows."""
        return self._connection is not None

    def open(self, worker_id: int) -> None:
        """Connect, also again after the connection was lost."""
        self.close()
        connection = connect(self._engine)
        with connection.cursor() as cursor:
            _tell_alive(cursor, worker_id)
            for channel in self._channels:
                cursor.execute(f"LISTEN {quote_ident(channel, cursor)}")
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def poke(self) -> None:
        """End a wait; for signal handlers and other threads."""
        with suppress(BlockingIOError):  # it has been poked often enough
            os.write(self._writing, b"!")

    def wait(self, timeout: float) -> list[dict[str, Any]]:
        """Wait until something is heard; return Procrastinate's notifications.

        :raises psycopg2.OperationalError: the connection is lost.
        :raises psycopg2.InterfaceError: it was lost before, and not opened again.
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
        return [heard for payload in payloads if (heard := _read(payload))]


def _tell_alive(cursor: Any, worker_id: int) -> None:
    """Take the lock that tells that the worker lives.

    After a failure of the network PostgreSQL may believe for hours that the last connection is
    there: that is ended.

    :raises psycopg2.OperationalError: somebody else has it.
    """
    for _ in range(_ATTEMPTS):
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (ALIVE, worker_id))
        if cursor.fetchone()[0]:
            return
        cursor.execute(_LAST, {"key": ALIVE, "id": worker_id, "name": application_name(worker_id)})
        time.sleep(_PAUSE)  # others look for a moment whether it is taken
    raise OperationalError(f"The advisory lock of worker {worker_id} is taken")


def _read(payload: str) -> dict[str, Any] | None:
    """Read a notification; None if it is none of Procrastinate's, as anybody may notify."""
    try:
        heard = json.loads(payload)
    except ValueError:
        return None
    return heard if isinstance(heard, dict) and "type" in heard else None
