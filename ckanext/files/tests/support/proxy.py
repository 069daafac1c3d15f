"""A TCP proxy before PostgreSQL that can cut a connection at its COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import sqlalchemy as sa
from ckan import model
from sqlalchemy.engine import Engine

from ckanext.files.tests.support.effects import engine

Cut = Literal["before", "after", "hang"]

# of PostgreSQL's protocol: a simple query, and the answer to it
_COMMIT = b"COMMIT\x00"
_COMMITTED = b"COMMIT\x00"


class Proxy:
    """StepOwner bytes on between a client and PostgreSQL.

    :attr:`cut` says what happens to the next connection that sends COMMIT: it
    is lost before PostgreSQL receives it, or after PostgreSQL has done it, or
    it is lost for the client only and PostgreSQL goes on waiting for it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.cut: Cut | None = None
        self.refuse = False
        """Close each new connection at once."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        for connection in (self._listener, *self._open):
            _close(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                self._open += [client, server]
                threading.Thread(target=self._upstream, args=(client, server), daemon=True).start()
                threading.Thread(
                    target=self._downstream, args=(client, server), daemon=True
                ).start()

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
        _close(server)

    def _downstream(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cut == "after" and _COMMITTED in data:
                    self.cut = None
                    break
                client.sendall(data)
        _close(client)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def session_through_proxy() -> Iterator[Proxy]:
    """Let CKAN's sessions of this process reach PostgreSQL through a proxy."""
    url = engine().url
    proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
    through: Engine = sa.create_engine(url.set(host="127.0.0.1", port=proxy.port))
    model.Session.remove()
    model.Session.configure(bind=through)
    try:
        yield proxy
    finally:
        model.Session.remove()
        model.Session.configure(bind=engine())
        through.dispose()
        proxy.stop()
