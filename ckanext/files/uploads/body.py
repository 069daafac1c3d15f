"""The body of a request, as it arrives."""

from __future__ import annotations

import time
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

    def discard(self, seconds: float) -> None:
        """Read what comes within some seconds, so that the client gets the answer.

        A server or proxy that closes a connection with bytes in it may cut the answer off. A client
        that sends nothing holds the read, as it holds any request: the proxy has the limit.
        """
        end = time.monotonic() + seconds
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
