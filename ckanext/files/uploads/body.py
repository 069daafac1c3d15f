"""The body of a request, as it arrives."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

_READ = 16 * 1024
"""Bytes that are read at once. Servers wait until so many have arrived."""


class Body:
    """Bytes that a client sends: never all of them in memory.

    :param stream: of the request. Nothing else has read from it: CKAN and Flask-WTF look for forms,
        and a body of another type is none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: Exception | None = None
        """Why the body has ended before its end; what has arrived until then is good."""

    def read(self, size: int, seconds: float) -> bytes:
        """Return so many bytes; fewer at the end, or when some seconds have passed."""
        # joined once: one object that grows leaves holes in the memory of the process
        found: list[bytes] = []
        end = time.monotonic() + seconds
        while size and time.monotonic() < end:
            part = self._read(min(_READ, size))
            if not part:
                break
            found.append(part)
            size -= len(part)
        return b"".join(found)

    def discard(self, environ: Mapping[str, Any], seconds: float) -> None:
        """Read what comes within some seconds, so that the client gets the answer.

        A server or proxy that closes a connection with bytes in it may cut the answer off.

        :param environ: of WSGI. A client that sends a byte now and then, or none, would hold a read
            for as long as it likes. So the connection stops to receive when the time is over.
        """
        end = time.monotonic() + seconds
        with _receiving_until(end, environ):
            while time.monotonic() < end and self._read(_READ):
                pass

    def _read(self, size: int) -> bytes:
        if self.error is not None:
            return b""
        try:
            return self._stream.read(size)
        except (ClientDisconnected, RequestEntityTooLarge, OSError) as error:
            self.error = error
            return b""


@contextmanager
def _receiving_until(end: float, environ: Mapping[str, Any]) -> Iterator[None]:
    """Let a read that waits for the client end at a time. What the server sends still arrives."""
    connection = _connection(environ)
    if connection is None:
        yield
        return
    timer = threading.Timer(end - time.monotonic(), _stop_receiving, [connection])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # the number of the connection may soon be another one's
        connection.close()


def _stop_receiving(connection: socket.socket) -> None:
    with suppress(OSError):  # the client is gone
        connection.shutdown(socket.SHUT_RD)


def _connection(environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the connection of the request, by a number of its own.

    The servers that CKAN is run with show it. Others have to set a limit to their reads.
    """
    number = _connection_of_uwsgi()
    for key in ("werkzeug.socket", "gunicorn.socket"):
        if key in environ:
            number = environ[key].fileno()
    return None if number is None else socket.socket(fileno=os.dup(number))


def _connection_of_uwsgi() -> int | None:
    try:
        import uwsgi  # pyright: ignore[reportMissingModuleSource] - that server has it
    except ImportError:
        return None
    return uwsgi.connection_fd()
