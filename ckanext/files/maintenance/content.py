"""Reading the bytes of a file in chunks, and comparing them with the file's row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ckanext.files.filekeeper.chunks import Chunks
from ckanext.files.store.storages import exc

from .errors import DamagedContentError, MissingContentError, UnreadableContentError
from .selection import StoredFile

Progress = Callable[[int], Any]
"""Called with the number of bytes of each chunk that was read."""

_CHUNK = 256 * 1024


@contextmanager
def chunks_of(storage: Any, data: Any) -> Iterator[Iterator[bytes]]:
    """Open bytes for reading.

    Each error of the storage becomes one of the two below, also an error in
    the middle of the bytes.

    :raises MissingContentError: the bytes do not exist.
    :raises UnreadableContentError: the bytes cannot be read.
    """
    chunks = _translating_errors(lambda: Chunks(storage.stream(data), _CHUNK))
    try:
        yield _translated(chunks)
    finally:
        chunks.close()


def _translated(chunks: Chunks) -> Iterator[bytes]:
    while (chunk := _translating_errors(lambda: next(chunks, None))) is not None:
        yield chunk


def _translating_errors(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except exc.LocationError as error:
        raise MissingContentError(str(error)) from error
    except Exception as error:
        # each adapter has its own errors
        raise UnreadableContentError(f"{type(error).__name__}: {error}") from error


def digest_of(file: StoredFile) -> Any:
    """Return a new digest of the algorithm of the file's checksum; None if it cannot be verified.

    Some clouds store a value that only looks like a checksum, for content that
    was uploaded in parts.
    """
    name = file.algorithm.lower()
    if not file.hash or name not in hashlib.algorithms_available or name.startswith("shake"):
        return None
    digest = hashlib.new(name, usedforsecurity=False)
    return digest if len(file.hash) == 2 * digest.digest_size else None


def compare(file: StoredFile, size: int, digest: Any) -> None:
    """Compare the bytes that were read with the file's row.

    :param digest: of the bytes; None if the file has no checksum to compare.
    :raises DamagedContentError: size or checksum differ.
    """
    # a row without a checksum may not know the size either
    if size != file.size and (digest or file.size):
        raise DamagedContentError(f"it has {size} bytes, not {file.size}")
    if digest and digest.hexdigest() != file.hash.lower():
        raise DamagedContentError(f"its {file.algorithm} is {digest.hexdigest()}, not {file.hash}")
