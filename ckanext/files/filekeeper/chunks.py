"""Read what a storage sends, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CHUNK_SIZE = 64 * 1024


class Chunks:
    """The bytes of a stream of a storage, in chunks.

    An open file is read and never iterated: it would yield lines, and a line may be the whole file.
    Other streams yield chunks that the storage chooses.

    :param size: of the chunks of an open file; the last one may be smaller.
    """

    def __init__(self, stream: Any, size: int = CHUNK_SIZE) -> None:
        self._stream = stream
        is_open_file = hasattr(stream, "read")
        # a plugin's stream may be of text, which ends with '' instead of b''
        self._rest = iter(lambda: stream.read(size) or b"", b"") if is_open_file else iter(stream)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._rest)

    def close(self) -> None:
        """Close the stream: a connection of a bucket's client is free for others then."""
        if close := getattr(self._stream, "close", None):
            close()
