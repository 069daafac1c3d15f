"""Where the bytes of an upload go until they are a file: into the bucket or the spool."""

from __future__ import annotations

from typing import Any, Protocol

import ckan.plugins.toolkit as tk

from ckanext.files.store.storages import exc, get_storage

from .errors import UploadRefusedError
from .multipart import Multipart, takes_parts
from .spool import Spool
from .table import Upload


class Sink(Protocol):
    """Takes the bytes of one upload in their order."""

    chunk_seconds: float
    """How long bytes may wait until they are stored."""

    @property
    def room(self) -> int:
        """How many bytes :meth:`store` takes at most."""
        ...

    def head(self, more: bytes | bytearray, size: int) -> bytes:
        """Return the first bytes of the file, with those that are about to be stored."""
        ...

    def must_begin(self, more: int) -> bool:
        """Return whether :meth:`begin` has to be called before so many bytes are stored."""
        ...

    def begin(self, content_type: str) -> None:
        """Get ready for the first bytes; :meth:`changes` are committed before these come."""
        ...

    def store(self, data: bytes | bytearray, content_type: str) -> None:
        """Store bytes, so that no crash loses them once :meth:`changes` is committed."""
        ...

    def changes(self) -> dict[str, Any]:
        """Return what the row has to know of the bytes that are stored."""
        ...

    def remove(self) -> None:
        """Remove all bytes that are no file yet."""
        ...


def sink_for(upload: Upload, tail: bytes = b"") -> Sink:
    """Return the place of the bytes of an upload."""
    storage = find_storage(upload.storage)
    # the storage may have had another type when the upload began
    if takes_parts(storage) and upload.location:
        return Multipart(storage, upload.location, upload.size, upload.parts, tail)
    return Spool(upload.id, upload.offset)


def find_storage(name: str) -> Any:
    """Return a storage.

    :raises UploadRefusedError: it is not configured (any more).
    """
    try:
        return get_storage(name)
    except exc.UnknownStorageError as error:
        sentence = tk._("There is no storage {storage}")
        raise UploadRefusedError(sentence.format(storage=name)) from error
