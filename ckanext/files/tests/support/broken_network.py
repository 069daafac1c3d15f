"""A network between workers and PostgreSQL that fails on one side only."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Any

from ckanext.files.tests.support.effects import engine, look

_CLOSE_AT_ONCE = struct.pack("ii", 1, 0)


class Network:
    """Passes on what workers and PostgreSQL say to each other.

    After :meth:`fail` a worker's connection is closed, and PostgreSQL knows
    nothing of it, as when a cable is pulled for a while.
    """

    def __init__(self) -> None:
        url = engine().url
        self._server = (url.host or "127.0.0.1", url.port or 5432)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._failed: list[socket.socket] = []
        self.is_down = False
        """Whether it refuses new connections."""

        port = self._listening.getsockname()[1]
        through: Any = url.set(host="127.0.0.1", port=port)
        self.url = through.render_as_string(hide_password=False)
        """Of the database, for those that shall use the network."""

        threading.Thread(target=self._accept, daemon=True).start()

    def fail(self, pid: int | None = None) -> None:
        """Close the connections of the workers, or the one that a process of PostgreSQL serves."""
        query = "SELECT client_port FROM pg_stat_activity WHERE pid = :pid"
        port = look(query, pid=pid) if pid else None
        for pair in list(self._pairs):
            worker, server = pair
            if port in (None, server.getsockname()[1]):
                self._pairs.remove(pair)
                self._failed.append(server)
                worker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
                _shut(worker)

    def close(self) -> None:
        """End all connections."""
        self._listening.close()
        for one in [*self._failed, *(side for pair in self._pairs for side in pair)]:
            _shut(one)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                worker, _ = self._listening.accept()
                if self.is_down:
                    worker.close()
                    continue
                server = socket.create_connection(self._server)
                self._pairs.append((worker, server))
                for one, other in ((worker, server), (server, worker)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while said := one.recv(65536):
                other.sendall(said)
        if one not in self._failed and other not in self._failed:
            _shut(other)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
