"""What a worker hears: jobs that were written, jobs that shall end, and signals.

Its connection also holds the advisory lock that tells the others that the
worker lives: PostgreSQL gives that up the moment the process dies.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from procrastinate.manager import get_channel_for_queues
from psycopg2 import InterfaceError
from psycopg2.extensions import quote_ident

from .connection import connect
from .desk import ALIVE


class Ear:
    """Listens to PostgreSQL and to the worker's own threads."""

    def __init__(self, engine: Any, queues: Sequence[str]) -> None:
        self._engine = engine
        self._channels = get_channel_for_queues(queues or None)
        self._connection: Any = None
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def open(self, worker_id: int) -> None:
        """Connect, also again after the connection was lost."""
        self.close()
        connection = connect(self._engine)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", (ALIVE, worker_id))
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
        self._connection.poll()
        heard = [json.loads(notify.payload) for notify in self._connection.notifies]
        self._connection.notifies.clear()
        return heard
