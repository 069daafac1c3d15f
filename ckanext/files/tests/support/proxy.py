"""A TCP proxy before PostgreSQL or Solr: it refuses, loses and cuts connections."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import sqlalchemy as sa
from ckan import model
from sqlalchemy.engine import Engine

from ckanext.files.tests.support.effects import engine

Cut = Literal["before", "after", "hang"]

# of PostgreSQL's protocol: a simple query, and the answer to it
_COMMIT = b"COMMIT\x00"

_CLOSE_AT_ONCE = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes on between clients and a server.

    :attr:`cut` says what happens to the next connection that sends COMMIT: it
    is lost before PostgreSQL receives it, or after PostgreSQL has done it, or
    it is lost for the client only and PostgreSQL goes on waiting for it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lost: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.cut: Cut | None = None
        self.refuse = False
        """Close each new connection at once."""
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self) -> None:
        """Close the clients' connections.

        The server knows nothing of it, as when a cable is pulled for a while.
        """
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            self._lost.append(server)
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
                client.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        for connections in ([self._listener], self._lost, *self._pairs):
            for connection in connections:
                _close(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    self.refused += 1
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                pair = (client, server)
                self._pairs.append(pair)
                for pass_on in (self._upstream, self._downstream):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.cut in ("before", "hang") and _COMMIT in data:
                    cut, self.cut = self.cut, None
                    _close(client)
                    if cut == "hang":
                        return  # the server still waits for the client's next word
                    break
                server.sendall(data)
        if server not in self._lost:
            _close(server)

    def _downstream(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cut == "after" and _COMMIT in data:
                    self.cut = None
                    break
                client.sendall(data)
        _close(client)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def database_through_proxy() -> Iterator[tuple[Proxy, Any]]:
    """Give a proxy before the database of the tests, and the database's URL through it."""
    url = engine().url
    proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
    yield proxy, url.set(host="127.0.0.1", port=proxy.port)
    proxy.stop()


@contextmanager
def session_through_proxy() -> Iterator[Proxy]:
    """Let CKAN's sessions of this process reach PostgreSQL through a proxy."""
    with database_through_proxy() as (proxy, url):
        through: Engine = sa.create_engine(url)
        model.Session.remove()
        model.Session.configure(bind=through)
        try:
            yield proxy
        finally:
            model.Session.remove()
            model.Session.configure(bind=engine())
            through.dispose()
