"""Where the bytes of an upload go until they are a file: into the bucket or the spool."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import ckan.plugins.toolkit as tk
import file_keeper as fk

from ckanext.files.store.storages import exc, get_storage

from .errors import UploadRefusedError
from .multipart import Multipart, takes_parts
from .spool import Spool
from .table import UploadRow


class Sink(Protocol):
    """Takes the bytes of one upload in their order.

    ``connection`` is of a transaction that has locked the upload.
    """

    chunk_seconds: float
    """How long bytes may wait until they are stored."""

    @property
    def room(self) -> int:
        """How many bytes :meth:`store` takes at most."""
        ...

    def head(self, connection: Any, more: bytes, size: int) -> bytes:
        """Return the first bytes of the file, with those that are about to be stored."""
        ...

    def must_begin(self, more: int) -> bool:
        """Return whether :meth:`begin` has to be called before so many bytes are stored."""
        ...

    def begin(self, connection: Any, content_type: str) -> None:
        """Get ready for the first bytes, which come after the commit."""
        ...

    def store(self, connection: Any, data: bytes, content_type: str) -> None:
        """Store bytes, so that no crash loses them once :meth:`save` is committed."""
        ...

    def save(self, connection: Any) -> None:
        """Write down what has to be known of the bytes that are stored."""
        ...

    def as_upload(self) -> AbstractContextManager[fk.Upload]:
        """Return the complete file for ``file_create``, within a block that makes the file.

        :raises BytesLostError: some of the bytes are lost.
        """
        ...

    def owns_file_at_location(self) -> bool:
        """Return whether the file at the upload's location is this upload's, so that it may go.

        A request whose commit failed leaves such a file.
        """
        ...

    def remove(self, connection: Any) -> None:
        """Remove all bytes that are no file yet."""
        ...


def sink_for(upload: UploadRow) -> Sink:
    """Return the place of the bytes of an upload."""
    storage = find_storage(upload.storage)
    # the storage may have had another type when the upload began
    if takes_parts(storage) and upload.location:
        return Multipart(storage, upload)
    return Spool(storage, upload)


def find_storage(name: str) -> Any:
    """Return a storage.

    :raises UploadRefusedError: it is not configured (any more).
    """
    try:
        return get_storage(name)
    except exc.UnknownStorageError as error:
        sentence = tk._("There is no storage {storage}")
        raise UploadRefusedError(sentence.format(storage=name)) from error
