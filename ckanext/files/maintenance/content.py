"""The bytes of files, in chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckanext.files.store.storages import exc

from .errors import MissingContentError, UnreadableContentError
from .stored_file import StoredFile

_CHUNK = 256 * 1024


@contextmanager
def chunks_of(keeper: Any, data: Any) -> Iterator[Iterator[bytes]]:
    """Open bytes for reading.

    What goes wrong in the storage, also while the chunks are read, is one of
    the two errors.

    :param keeper: the storage.
    :raises MissingContentError: they are not there.
    :raises UnreadableContentError: they cannot be read.
    """
    stream = _asked(lambda: keeper.stream(data))
    try:
        yield _chunks(stream)
    finally:
        getattr(stream, "close", bool)()


def _chunks(stream: Any) -> Iterator[bytes]:
    read = getattr(stream, "read", None)
    if read:
        while chunk := _asked(lambda: read(_CHUNK)):
            yield chunk
    else:
        rest = iter(stream)
        while (chunk := _asked(lambda: next(rest, None))) is not None:
            yield chunk


def _asked(ask: Any) -> Any:
    try:
        return ask()
    except exc.LocationError as error:
        raise MissingContentError(str(error)) from error
    except Exception as error:
        # each adapter has errors of its own
        raise UnreadableContentError(f"{type(error).__name__}: {error}") from error


def digest_of(file: StoredFile) -> Any:
    """Return what computes the file's checksum; None if the stored one tells nothing.

    Some clouds store what only looks like a checksum, for content that was
    sent in parts.
    """
    name = file.algorithm.lower()
    if not file.hash or name not in hashlib.algorithms_available or name.startswith("shake"):
        return None
    digest = hashlib.new(name, usedforsecurity=False)
    return digest if len(file.hash) == 2 * digest.digest_size else None
