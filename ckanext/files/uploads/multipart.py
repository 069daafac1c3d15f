"""Bytes of uploads in an S3 bucket, as the parts of one object.

A part has 8 MiB at least, because S3 takes few parts, none of less than 5 MiB but the last. What is
too little for a part waits in the row of the upload: any web server of the portal can go on with
it. No byte is on a disk of the portal.

Other storages of file-keeper have capabilities of this kind, too. They use the spool: nothing here
can be shown to work with them in the tests (Azure, Google), or it would not last (Redis).
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.errors import FilesError
from ckanext.files.filekeeper.safe import SafeStorage
from ckanext.files.store.storages import Capability, FileData, Location, Upload, exc

from .errors import UploadGoneError, UploadsNotReadyError
from .table import known_parts

_MIB = 1024 * 1024
_SMALLEST = 8 * _MIB
_MOST_PARTS = 10_000

MOST_BYTES = 64 * _MIB * _MOST_PARTS
"""The size of the largest file. A part comes from the memory of a web server, and until it is
complete from the row of the upload: parts of any size would let one user fill both."""

log = logging.getLogger(__name__)


def takes_parts(storage: Any) -> bool:
    """Return whether a storage is a bucket that takes the parts of a file."""
    client = getattr(storage.settings, "client", None)
    can = storage.supports(Capability.MULTIPART) and hasattr(client, "upload_part")
    return can and isinstance(storage, SafeStorage)


def part_size(size: int) -> int:
    """Return the size of the parts of a file: 8 MiB for files of up to 78 GiB."""
    return max(_SMALLEST, math.ceil(size / _MOST_PARTS / _MIB) * _MIB)


class Multipart:
    """The bytes of one upload in a bucket.

    :param parts: what the row knows of the parts that are stored.
    :param tail: the bytes after them, from the row.
    """

    chunk_seconds = math.inf
    """Less than a part is only stored at the end of a request."""

    def __init__(
        self, storage: Any, location: str, size: int, parts: dict[str, Any], tail: bytes
    ) -> None:
        self._storage, self._location, self._size = storage, location, size
        self._upload_id: str = parts.get("upload_id", "")
        # JSON has only text as keys
        self._etags = {int(number): etag for number, etag in parts.get("etags", {}).items()}
        self._tail = bytearray(tail)

    @property
    def room(self) -> int:
        """How many bytes :meth:`store` takes at most: those that are missing in a part."""
        return part_size(self._size) - len(self._tail)

    @property
    def _stored(self) -> int:
        return len(self._etags) * part_size(self._size)

    def head(self, more: bytes | bytearray, size: int) -> bytes:
        """Return the first bytes of the file, with those that are about to be stored."""
        return bytes((self._tail + more[:size])[:size])

    def must_begin(self, more: int) -> bool:
        """Return whether the first part is to be stored, so that :meth:`begin` has to be called."""
        return not self._upload_id and self._is_part(more)

    def begin(self, content_type: str) -> None:
        """Announce the parts to the bucket.

        It has bytes only after the commit that keeps the id, without which they could not be found.
        """
        with _errors_as_ours():
            self._abort_unknown()
            place = Location(self._location)
            started = self._storage.multipart_start(place, self._size, content_type=content_type)
            self._upload_id = started.storage_data["upload_id"]

    def _is_part(self, more: int) -> bool:
        return more == self.room or self._stored + len(self._tail) + more == self._size

    def store(self, data: bytes | bytearray, content_type: str) -> None:
        """Store bytes: in the bucket if they are enough for a part, in :meth:`changes` if not."""
        is_part = self._is_part(len(data))
        self._tail += data
        if is_part:
            with _errors_as_ours():
                try:
                    self._store_part(content_type)
                except Exception as error:
                    # other servers than Amazon's report that as an error of their own
                    raise (_gone() if self._are_parts_lost() else error) from error
            self._tail = bytearray()

    def _store_part(self, content_type: str) -> None:
        number, size = len(self._etags), len(self._tail)
        part = Upload(io.BytesIO(self._tail), "", size, content_type)
        stored = self._storage.multipart_update(self.data(), part, number)
        self._etags[number] = stored.storage_data["parts"][number]

    def _are_parts_lost(self) -> bool:
        try:
            return not self._storage.multipart_refresh(self.data())
        except exc.MissingFileError:
            return True
        except Exception:  # the bucket cannot be asked
            return False

    def data(self) -> Any:
        """Return the object as file-keeper knows it until it is complete."""
        etags = dict(sorted(self._etags.items()))
        state = {"upload_id": self._upload_id, "uploaded": self._stored, "parts": etags}
        return FileData(Location(self._location), size=self._size, storage_data=state)

    def changes(self) -> dict[str, Any]:
        """Return what the row has to know of the bytes that are stored."""
        parts = {"upload_id": self._upload_id, "etags": self._etags} if self._upload_id else {}
        return {"parts": parts, "tail": bytes(self._tail)}

    def complete(self) -> Any:
        """Make one object of the parts, or find the one that an earlier attempt has made.

        :raises UploadGoneError: the parts are lost.
        """
        data = self.data()
        data.storage_data["uploaded"] = self._size
        with _errors_as_ours():
            try:
                self._storage.multipart_refresh(data)
            except exc.MissingFileError:
                return self._completed()
            if not self._storage.settings.overwrite_existing and self._storage.exists(data):
                raise exc.ExistingFileError(self._storage, Location(self._location))
            return self._storage.multipart_complete(data)

    def _completed(self) -> Any:
        try:
            found = self._storage.analyze(Location(self._location))
        except exc.MissingFileError as error:
            raise _gone() from error
        if found.size != self._size:
            raise _gone()
        return found

    def remove(self) -> None:
        """Remove the parts, if they are no object yet."""
        if self._location:
            with _errors_as_ours():
                self._abort_unknown()
                if self._upload_id:
                    self._abort(self._upload_id)

    def _abort_unknown(self) -> None:
        """Remove what a killed request has announced at this location, whose id no row has."""
        settings = self._storage.settings
        found = settings.client.list_multipart_uploads(Bucket=settings.bucket, Prefix=self._key)
        ids = {each["UploadId"] for each in found.get("Uploads", []) if each["Key"] == self._key}
        for id_ in ids - known_parts(self._storage.settings.name, self._location):
            self._abort(id_)

    def _abort(self, id_: str) -> None:
        # not by file-keeper, which aborts nothing unless it finds another one first
        settings = self._storage.settings
        with suppress(UploadGoneError), _errors_as_ours():
            settings.client.abort_multipart_upload(
                Bucket=settings.bucket, Key=self._key, UploadId=id_
            )

    @property
    def _key(self) -> str:
        return self._storage.full_path(Location(self._location))


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except (FilesError, exc.StorageError):
        raise
    except Exception as error:  # of boto, which need not be installed
        if getattr(error, "response", {}).get("Error", {}).get("Code") == "NoSuchUpload":
            raise _gone() from error
        log.error("A storage does not take an upload: %s", error)
        raise UploadsNotReadyError(tk._("The storage fails at present, try again")) from error


def _gone() -> UploadGoneError:
    return UploadGoneError(tk._("The first part of the file is lost, upload it again"))
